package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// look sends a second look and notes when to ask again should it bring no answer. While recovery is closed it is the zone
// that is asked so often, and what that raises; the registry, where a decision waits for its word.
func (p *Parts) look(ctx context.Context, d records.Domain, decides bool) error {
	name, reason := domain.Parse(d.Name)
	now := p.Now()
	if reason != "" { // a newer list of suffixes: the domain's own trouble, which must not stop the others
		p.Log.ErrorContext(ctx, "domain_not_registrable", "domain", d.Name, "reason", reason)
		d.LookSent, d.NextLook = lifecycle.At(now), 0
		return p.put(ctx, d)
	}
	m := queue.Message{Kind: queue.KindDelegation, Upstream: name.Suffix, Group: queue.Group(queue.KindDelegation, name.Suffix), Share: 1, Sent: now,
		Look: d.State.Control.Since == 0 || decides}
	if _, err := p.Queue.Send(ctx, queue.Pack(m, []queue.Entry{{Name: d.Name}})); err != nil {
		return fmt.Errorf("send a look at %s: %w", d.Name, err)
	}
	d.LookSent = lifecycle.At(now)
	d.NextLook = d.LookSent.Add(lifecycle.RetryLook)
	if err := p.Store.Write(ctx, d.Put()); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("note the look at %s: %w", d.Name, err)
	}
	return nil
}
