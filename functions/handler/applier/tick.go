package applier

import (
	"context"
	"errors"
	"fmt"
)

// ticker does what the schedule asks for.
type ticker struct {
	*Parts
	mode          func(ctx context.Context) (Mode, error)
	registry, dry unverifier
}

// ticked is what a tick did.
type ticked struct {
	mode                                Mode
	text                                string
	acted, held, looks, resent, waiting int
	tripped                             []string
}

// tick does the work of the schedule. Most ticks have none, and see that at a glance: no lease, no write, not even
// the kill switch, which only who acts needs to know.
func (t ticker) tick(ctx context.Context) (res ticked, err error) {
	if t.quiet(ctx) {
		t.Log.InfoContext(ctx, "tick", "quiet", true)
		return ticked{text: "there was nothing to do"}, errors.Join(t.measureHolds(ctx), t.measureMode(ctx))
	}
	busy, err := t.leased(ctx, func(ctx context.Context) (err error) {
		res, err = t.work(ctx)
		return err
	})
	res.text = busy
	return res, err
}

// work is a tick's: each step fails alone, so that a registry that is down stops no second look.
func (t ticker) work(ctx context.Context) (res ticked, err error) {
	var errs []error
	step := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	res.resent, err = t.resendParked(ctx)
	step("parked messages", err)
	run, err := t.completeRun(ctx)
	step("completeness", err)
	res.mode, err = t.mode(ctx)
	if err != nil {
		res.mode = Stop // who cannot read the kill switch may not act
		step("mode", err)
	}
	w, err := t.newWalk(ctx, run, t.seam(res.mode))
	if err == nil {
		err = w.goOn(ctx)
	}
	step("what is due", err)
	res.looks, res.held, res.acted, res.waiting, res.tripped = w.looks, w.held, w.acted, w.waiting, w.tripped
	step("open holds", t.measureHolds(ctx))
	step("the two keys", t.measureMode(ctx))
	step("synthetic domain", t.canary(ctx, t.probe(res.mode), w.arrived))
	step("digest", t.digest(ctx))
	t.Log.InfoContext(ctx, "tick", "mode", res.mode, "acted", res.acted, "held", res.held, "looks", res.looks,
		"resent", res.resent, "waiting", res.waiting, "tripped", res.tripped)
	return res, errors.Join(errs...)
}

// seam is the registry as the mode sees it; nil: not at all.
func (t ticker) seam(m Mode) seam {
	switch {
	case m == Enforce && t.registry != nil:
		return enforcer{t.Parts, t.registry}
	case m == Observe && t.dry != nil:
		return observer{t.Parts, t.dry}
	default:
		return nil
	}
}

// probe is what the synthetic domain is put to: a dry run in every mode but stop.
func (t ticker) probe(m Mode) unverifier {
	if m == Stop {
		return nil
	}
	return t.dry
}
