package applier

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
)

// renewed is a domain that its holder has again: registered on a day.
func renewed(registered lifecycle.Instant) func(*records.Domain) {
	return func(d *records.Domain) {
		quiet(d)
		d.State.Phase, d.State.LapseAt, d.State.Registered = lifecycle.Active, 0, registered
		d.State.Reg, d.State.Deleg = lifecycle.WordRegistered, lifecycle.DelegationHome
	}
}

// A class of which more than a tenth came back to the same registration is doubtful: nothing of it is unverified, an alarm
// says so, and an operator ends it.
func TestAClassWhoseDomainsComeBackIsDoubtful(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		w.lapsed(fmt.Sprintf("example-%d.com", i), nil)
	}
	if res := w.tick(); res.Acted != 6 {
		t.Fatalf("%+v", res)
	}
	w.at = w.at.Add(25 * time.Hour)
	old := lifecycle.At(w.at.AddDate(-3, 0, 0))
	w.change("example-0.com", renewed(lifecycle.At(w.at))) // somebody else's
	for i := 1; i < 3; i++ {
		w.change(fmt.Sprintf("example-%d.com", i), renewed(old))
	}
	w.tick()
	w.tick() // each counts once
	w.lapsed("first.com", nil)
	if res := w.tick(); res.Acted != 1 {
		t.Fatalf("two came back: %+v", res)
	}
	w.change("example-3.com", renewed(old))
	w.tick()
	if !strings.Contains(w.log.String(), `"class_doubtful","class":"`+redemption+`"`) || !strings.Contains(w.stats.String(), `"BreakerTripped":1`) {
		t.Error("nothing says that the class is doubtful")
	}
	w.lapsed("second.com", nil)
	if res := w.tick(); res.Acted != 0 || res.Held != 1 {
		t.Fatalf("unverified in a doubtful class: %+v", res)
	}
	if text := w.must(Event{Action: "status"}).Text; !strings.Contains(text, redemption+" is doubtful since 3 March") {
		t.Errorf("status: %s", text)
	}
	w.must(Event{Action: "trust", Class: redemption})
	if _, err := w.say(Event{Action: "trust", Class: redemption}); err == nil {
		t.Error("trusted what is not doubtful")
	}
	if res := w.tick(); res.Acted != 1 {
		t.Errorf("trusted again: %+v", res)
	}
}

// What the breaker holds of a class is one hold, however many domains it is.
func TestAHeldClassIsOneHold(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.lapsed("alone.org", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	w.tick()
	w.at = w.at.Add(4 * 24 * time.Hour)
	waits, err := w.waiting(t.Context())
	if err != nil || waits.open != 2 || len(waits.stale) != 2 {
		t.Errorf("%+v, %v", waits, err)
	}
	if said := staleWords(waits.stale); !strings.Contains(said, redemption) || !strings.Contains(said, "alone.org") {
		t.Error(said)
	}
}
