package applier

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
)

const synthetic = "lapseguard-x.com"

// arrive stores the synthetic domain as the checker leaves it after the registry's 404.
func (w *world) arrive() {
	w.t.Helper()
	now := lifecycle.At(w.at)
	w.write(records.Record(records.PKGuard, records.SKCanary, records.Canary{Name: synthetic, Planted: now, Run: "20260302T030000Z"}, time.Time{}))
	d := records.NewDomain(synthetic, now).Lapsing(now, now.Add(-70*24*time.Hour))
	d.State.Phase, d.State.Reg, d.State.RegAt, d.State.DelegAt = lifecycle.Released, lifecycle.WordAbsent, now, now
	d.Action, d.Confidence, d.Reason = lifecycle.Unverify, lifecycle.High, lifecycle.ReasonReleased
	w.write(d.Put())
}

// TestSyntheticDomainEndsInADryRun, once a day, whatever the mode but stop; nothing of it is counted or held.
func TestSyntheticDomainEndsInADryRun(t *testing.T) {
	for _, mode := range []Mode{Observe, Enforce} {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t)
			w.mode = mode
			w.arrive()
			res := w.tick()
			if len(w.reg.requests) != 1 {
				t.Fatalf("%d requests, want 1", len(w.reg.requests))
			}
			if r := w.reg.requests[0]; !r.DryRun || r.Domain != synthetic || r.Reason != registry.ReasonCanary {
				t.Errorf("request %+v", r)
			}
			if !strings.Contains(w.stats.String(), `"CanaryCompleted":1`) {
				t.Errorf("no metric: %s", w.stats)
			}
			if res.Acted != 0 || res.Held != 0 {
				t.Errorf("it counts as real: %+v", res)
			}
			if w.tick(); len(w.reg.requests) != 1 {
				t.Error("sent again at the next tick")
			}
		})
	}
}

// TestTheDailyProbeHearsThatRecoveryIsOpen: the registry has lost what keeps marks in force, and no lapse is due.
func TestTheDailyProbeHearsThatRecoveryIsOpen(t *testing.T) {
	for recovery, alarm := range map[registry.Recovery]bool{registry.RecoveryOpen: true, registry.RecoveryClosed: false, registry.RecoveryUnknown: false} {
		w := newWorld(t)
		w.reg.answer.Recovery = recovery
		w.arrive()
		w.tick()
		if says := strings.Contains(w.stats.String(), `"RecoveryOpen":1`) && strings.Contains(w.log.String(), "recovery_open"); says != alarm || !strings.Contains(w.stats.String(), `"CanaryCompleted":1`) {
			t.Errorf("%s: alarm %t: %s", recovery, says, w.stats)
		}
	}
}

func TestSyntheticDomainIsMissing(t *testing.T) {
	tests := map[string]func(w *world) (fails bool){
		"the kill switch says stop": func(w *world) bool { w.mode = Stop; return false },
		"the registry is down":      func(w *world) bool { w.reg.err = errLost; return true },
		"the registry knows no dry run": func(w *world) bool {
			w.reg.answer = registry.Answer{CountsUnknown: true}
			return true
		},
		"it never arrived": func(w *world) bool {
			d := w.get(synthetic)
			d.Action = lifecycle.Confirm
			w.write(d.Put())
			return false
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.arrive()
			fails := spoil(w)
			_, err := w.Handle(t.Context(), Event{Action: "tick"})
			if (err != nil) != fails {
				t.Errorf("tick: %v", err)
			}
			if strings.Contains(w.stats.String(), "CanaryCompleted") {
				t.Error("the metric says that it completed")
			}
		})
	}
}

// TestAProbeThatFailedIsMadeByTheNextTick: an answer that was lost is not to cost a day's probe.
func TestAProbeThatFailedIsMadeByTheNextTick(t *testing.T) {
	for _, mode := range []Mode{Observe, Enforce} {
		w := newWorld(t)
		w.mode, w.reg.err = mode, errLost
		w.arrive()
		if _, err := w.Handle(t.Context(), Event{Action: "tick"}); !errors.Is(err, errLost) {
			t.Fatal(err)
		}
		w.reg.err = nil
		for range 3 {
			w.at = w.at.Add(15 * time.Minute)
			w.tick()
		}
		if n := strings.Count(w.stats.String(), `"CanaryCompleted":1`); n != 1 || len(w.reg.requests) != 2 {
			t.Errorf("%s: it completed %d times, by %d requests", mode, n, len(w.reg.requests))
		}
		if d := w.get(synthetic); d.Arrived() || d.Unsettled() {
			t.Errorf("%s: it is due again: %+v", mode, d)
		}
	}
}
