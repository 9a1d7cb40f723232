package fanout

import (
	"context"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
)

// canaryAge is how long ago the synthetic domain expired: it is taken up where a lapse is about to end.
const canaryAge = 70 * 24 * time.Hour

// plantCanary puts a synthetic domain into the table, once a run: a name that nobody registered, remembered as one
// that is about to be deleted. The zone and the registry then say, truthfully, that it is gone, and it goes through
// the queue, the checker, the table and the applier to a dry run at the registry. Its absence there is an alarm.
func (h *Handler) plantCanary(ctx context.Context, run *records.Run) error {
	if h.CanaryLabel == "" || run.Canary != "" {
		return nil
	}
	c, err := h.book().Canary(ctx)
	if err != nil {
		return err
	}
	if c.V.Name == "" {
		c.V.Name = h.CanaryLabel + "." + records.CanaryZone
	}
	d, err := h.book().Domain(ctx, c.V.Name)
	if err != nil {
		return err
	}
	now := lifecycle.At(h.Now())
	c.V.Planted, c.V.Run = now, run.ID
	if err := h.Store.Write(ctx, d.Lapsing(now, now.Add(-canaryAge)).Put(), c.Put()); err != nil {
		return fmt.Errorf("plant the synthetic domain %s: %w", c.V.Name, err)
	}
	run.Canary = c.V.Name
	return nil
}
