package applier

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

// killer dies at the nth call that changes anything, of the store or of the registry: before it or after it.
type killer struct {
	n, at int
	after bool
}

// dies tells whether it dies now; do is the change.
func (k *killer) dies(do func() error) error {
	k.n++
	if k.n == k.at && !k.after {
		return errLost
	}
	err := do()
	if k.n == k.at {
		return errLost
	}
	return err
}

type dyingStore struct {
	store.Store
	*killer
}

func (s dyingStore) Write(ctx context.Context, w ...store.Write) error {
	return s.dies(func() error { return s.Store.Write(ctx, w...) })
}

type dyingLever struct {
	*lever
	*killer
}

func (l dyingLever) SetRecovery(ctx context.Context, r registry.RecoveryRequest) (a registry.RecoveryAnswer, err error) {
	err = l.dies(func() error { a, err = l.lever.SetRecovery(ctx, r); return err })
	return a, err
}

// Whoever dies between any two calls, known state equals desired state after the next tick: of a closing, a newer gap, an
// opening, and an operator's word.
func TestWhoDiesBetweenTwoCallsEndsInTheDesiredState(t *testing.T) {
	gap := func(w *world, since lifecycle.Instant) {
		w.change("a.com", func(d *records.Domain) {
			d.State.Control = lifecycle.Continuity{Since: since, Until: since, Gap: lifecycle.GapGone}
		})
	}
	back := func(w *world) {
		w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
	}
	tick := Event{Action: "tick"}
	say := func(action string) Event { return Event{Action: action, Domain: "a.com", By: "on-call", Why: "why"} }
	for name, c := range map[string]struct {
		before func(*world) // already carried out
		change func(*world)
		event  Event
		closed bool
	}{
		"close":      {func(*world) {}, func(w *world) { gap(w, lifecycle.At(w.at)) }, tick, true},
		"newer gap":  {func(w *world) { gap(w, lifecycle.At(w.at)-100) }, func(w *world) { gap(w, lifecycle.At(w.at)) }, tick, true},
		"open":       {func(w *world) { gap(w, lifecycle.At(w.at)-100) }, back, tick, false},
		"said close": {func(*world) {}, func(*world) {}, say("close"), true},
		"said open":  {func(w *world) { gap(w, lifecycle.At(w.at)-100) }, func(*world) {}, say("open"), false},
	} {
		calls, done := 0, false
		for at := 1; !done; at++ {
			for _, after := range []bool{false, true} {
				w, l := leverWorld(t)
				w.gap("a.com", lifecycle.GapGone)
				back(w)
				c.before(w)
				w.tick()
				c.change(w)
				k := &killer{at: at, after: after}
				sound, lever := w.Store, dyingLever{l, k}
				w.Store, w.Registry, w.Restorer = dyingStore{sound, k}, lever, lever
				_, _ = w.Handle(t.Context(), c.event)
				if calls, done = max(calls, k.n), k.n < at; done { // nobody died: there are no more calls
					break
				}
				w.Store, w.Registry, w.Restorer = sound, l, l
				said := "" // what was not even written down the operator says again
				if r, err := w.book().Recovery(t.Context(), "a.com"); c.event != tick && err == nil && r.V.Word == nil {
					said = c.event.Action
				}
				w.at = w.at.Add(time.Hour) // its lease is over
				if said != "" {
					w.says(said, "a.com")
				}
				w.tick()
				where := fmt.Sprintf("%s, died at call %d, after it %t", name, at, after)
				m := w.matter("a.com")
				if l.closed["a.com"] != c.closed || (m.Recovery.V.Since != 0) != c.closed || !m.Held() || m.Domain.Differs() {
					t.Errorf("%s: closed %t, known %+v, wanted %s, differs %t", where, l.closed["a.com"], m.Recovery.V, m.Wanted(), m.Domain.Differs())
				}
				asked := len(l.asked)
				if w.tick(); len(l.asked) != asked {
					t.Errorf("%s: asked again though nothing changed", where)
				}
			}
		}
		if calls < 3 {
			t.Errorf("%s: only %d calls", name, calls)
		}
	}
}
