package applier

import (
	"context"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// canary takes the synthetic domain over its last hop, a dry run at the registry, in every mode but stop. The metric
// says that a lapse found today would have reached the registry; without it for a day an alarm goes off.
func (h *Handler) canary(ctx context.Context, mode Mode, d *store.Domain) error {
	act := h.Actors[Observe]
	if d == nil || mode == Stop || act == nil {
		return nil
	}
	var c store.Canary
	if _, err := store.Load(ctx, h.Store, store.PKGuard, "canary", &c); err != nil {
		return err
	}
	answer, err := act.Unverify(ctx, registry.Request{
		Domain: d.Name, VerifiedBefore: d.VerifiedBefore.Time(), MaxAddresses: 1, Reason: registry.ReasonCanary, Phase: string(d.State.Phase),
		Evidence: []string{"a synthetic domain that nobody registered, sent through every part of the guard once a day"},
		Run:      c.Run, Advice: advice, DryRun: true,
	})
	if err != nil {
		return fmt.Errorf("dry run of the synthetic domain %s: %w", d.Name, err)
	}
	if answer.CountsUnknown {
		return fmt.Errorf("dry run of the synthetic domain %s: the registry gave no answer", d.Name)
	}
	d.Done, d.NextLook = d.Decision(), 0
	if err := h.put(ctx, *d); err != nil {
		return err
	}
	h.Log.InfoContext(ctx, "canary_completed", "domain", d.Name, "run", c.Run, "took_s", lifecycle.At(h.Now()).Since(c.Planted).Seconds())
	return h.Metrics.Emit(map[string]float64{telemetry.CanaryCompleted: 1})
}
