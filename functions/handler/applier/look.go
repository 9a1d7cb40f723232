package applier

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// due is a domain that is to be looked at.
type due struct {
	d       records.Domain
	decides bool // a decision waits for the registry's word
}

// lookAt sends second looks, those at one zone together, and notes when to ask again should they bring no answer. While
// recovery is closed it is the zone that is asked so often, and what that raises; the registry, where a decision waits for
// its word.
func (p *Parts) lookAt(ctx context.Context, domains []due) error {
	type question struct {
		suffix string
		look   bool
	}
	var order []question
	entries := map[question][]queue.Entry{}
	now := p.Now()
	var notes [][]store.Write
	for _, l := range domains {
		d := l.d
		d.LookSent = lifecycle.At(now)
		d.NextLook = cmp.Or(d.State.NextLook(0, d.LookSent), d.LookSent.Add(lifecycle.RetryLook))
		name, reason := domain.Parse(d.Name)
		if reason != "" { // a newer list of suffixes: the domain's own trouble, which must not stop the others
			p.Log.ErrorContext(ctx, "domain_not_registrable", "domain", d.Name, "reason", reason)
			d.NextLook = 0
			notes = append(notes, []store.Write{d.Put()})
			continue
		}
		q := question{name.Suffix, d.State.Control.Since == 0 || l.decides}
		if entries[q] == nil {
			order = append(order, q)
		}
		entries[q] = append(entries[q], queue.Entry{Name: d.Name})
		notes = append(notes, []store.Write{d.Put()})
	}
	var messages []queue.Message
	for _, q := range order {
		messages = append(messages, queue.Pack(queue.Message{
			Kind: queue.KindDelegation, Upstream: q.suffix, Group: queue.Group(queue.KindDelegation, q.suffix), Share: 1, Sent: now, Look: q.look,
		}, entries[q])...)
	}
	if len(messages) > 0 {
		if _, err := p.Queue.Send(ctx, messages); err != nil {
			return fmt.Errorf("send looks at %d domains, first %s: %w", len(domains), domains[0].d.Name, err)
		}
	}
	for i, err := range p.Store.WriteEach(ctx, notes) {
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("note the look at %s: %w", domains[i].d.Name, err)
		}
	}
	return nil
}
