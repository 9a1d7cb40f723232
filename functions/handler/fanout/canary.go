package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
)

// canaryAge is how long ago the synthetic domain expired: it is taken up where a lapse is about to end.
const canaryAge = 70 * 24 * time.Hour

// plantCanary puts a synthetic domain into the table, once a run: a name that nobody registered, remembered as one
// that is about to be deleted. The zone and the registry then say, truthfully, that it is gone, and it goes through
// the queue, the checker, the table and the applier to a dry run at the registry. Its absence there is an alarm.
func (h *Handler) plantCanary(ctx context.Context, run *store.Run) error {
	if h.CanaryLabel == "" || run.Canary != "" {
		return nil
	}
	var c store.Canary
	it, err := store.Load(ctx, h.Store, store.PKGuard, "canary", &c)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if c.Name == "" {
		c.Name = h.CanaryLabel + "." + store.CanaryZone
	}
	d, err := store.GetDomain(ctx, h.Store, c.Name)
	if errors.Is(err, store.ErrNotFound) {
		d, err = store.NewDomain(c.Name, 0), nil
	}
	if err != nil {
		return err
	}
	now := lifecycle.At(h.Now())
	c.Planted, c.Run = now, run.ID
	if err := h.Store.Write(ctx, d.Lapsing(now, now.Add(-canaryAge)).Put(), store.Save(it, c)); err != nil {
		return fmt.Errorf("plant the synthetic domain %s: %w", c.Name, err)
	}
	run.Canary = c.Name
	return nil
}
