package applier

import (
	"context"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// canary takes the synthetic domain over its last hop, a dry run at the registry, in every mode but stop. The metric
// says that a lapse found today would have reached the registry; without it for a day an alarm goes off. What the answer
// says of recovery is that of every mark there is.
func (p *Parts) canary(ctx context.Context, dry unverifier, d *records.Domain) error {
	if d == nil || dry == nil {
		return nil
	}
	stored, err := p.book().Canary(ctx)
	if err != nil {
		return err
	}
	c := stored.V
	answer, err := dry.Unverify(ctx, registry.Request{
		Domain: d.Name, VerifiedBefore: d.VerifiedBefore.Time(), MaxAddresses: 1, Reason: registry.ReasonCanary, Phase: string(d.State.Phase),
		Evidence: []string{"a synthetic domain that nobody registered, sent through every part of the guard once a day"},
		Run:      c.Run, Advice: advice(), DryRun: true,
	})
	if err != nil {
		return fmt.Errorf("dry run of the synthetic domain %s: %w", d.Name, err)
	}
	if answer.CountsUnknown {
		return fmt.Errorf("dry run of the synthetic domain %s: the registry gave no answer", d.Name)
	}
	if answer.Recovery == registry.RecoveryOpen { // every mark protects nobody, and the next lapse is not waited for
		p.Log.ErrorContext(ctx, "recovery_open", "domain", d.Name, "meaning", "the registry says to the daily probe that what was marked can still be recovered by mail")
		p.Metrics.Emit(map[string]float64{telemetry.RecoveryOpen: 1})
	}
	d.NextLook = 0
	d.Settle(false)
	if err := p.put(ctx, *d); err != nil {
		return err
	}
	p.Log.InfoContext(ctx, "canary_completed", "domain", d.Name, "run", c.Run, "took_s", lifecycle.At(p.Now()).Since(c.Planted).Seconds())
	p.Metrics.Emit(map[string]float64{telemetry.CanaryCompleted: 1})
	return nil
}
