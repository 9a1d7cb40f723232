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

// plantTries bounds the attempts to plant it: one failed write is not to cost a day's probe.
const plantTries = 3

// plant plants the synthetic domain, if it can be done. The watch over real domains goes on without it; that it is
// missing is told by its alarm.
func (h *Handler) plant(ctx context.Context, run *records.Run) bool {
	for try := range plantTries {
		err := h.plantCanary(ctx, run)
		if err == nil {
			return true
		}
		h.Log.ErrorContext(ctx, "canary_not_planted", "run", run.ID, "try", try+1, "of", plantTries, "error", err)
	}
	return false
}

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
