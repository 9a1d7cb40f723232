package applier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
)

func TestAHoldThatEndedAsksAgain(t *testing.T) {
	w := newWorld(t)
	hold := func(d *records.Domain) {
		d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Medium, lifecycle.ReasonUndescribed
	}
	w.lapsed("example-one.gg", hold)
	w.tick()
	w.later(30*24*time.Hour, "example-one.gg")
	w.change("example-one.gg", func(d *records.Domain) { // the status API says "deleting" instead of "expiring"
		d.State.Phase, d.Action, d.Confidence, d.Reason = lifecycle.PendingDelete, lifecycle.Confirm, lifecycle.Low, lifecycle.ReasonStatusDeleted
	})
	w.tick()
	w.later(6*time.Hour, "example-one.gg")
	w.change("example-one.gg", hold)
	for range 10 {
		w.tick()
		w.at = w.at.Add(15 * time.Minute)
	}
	if _, ok := w.held("example-one.gg"); !ok {
		t.Error("the verdict is hold, and no hold is recorded")
	}
}

func TestAnApprovalWaitsForItsLook(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	w.tick()
	w.at = w.at.Add(20 * time.Hour) // restored meanwhile: the look would tell
	w.must(Event{Action: "approve", Domain: "example-one.com"})
	w.tick()
	if len(w.reg.requests) != 0 {
		t.Errorf("acted on evidence 20 hours old, in the tick that sent the look (%d messages)", len(w.out.messages))
	}
}

func TestANameThatIsNoLongerRegistrableStopsNobodyElse(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.lapsed("co.uk", func(d *records.Domain) { // a public suffix by the new list
		d.Action, d.NextLook = lifecycle.Confirm, lifecycle.At(w.at)
	})
	for range 5 {
		w.tick()
		w.at = w.at.Add(15 * time.Minute)
	}
	if len(w.reg.requests) != 1 {
		t.Errorf("%d requests: a name that is a public suffix now stops every decision", len(w.reg.requests))
	}
}

func TestACrowdAnsweredInPartsIsACrowd(t *testing.T) {
	w := newWorld(t)
	for i := range 60 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.tick()
	if len(w.reg.requests) != 0 {
		t.Fatal("the breaker did not hold")
	}
	for day := range 6 { // the upstream is throttled: it answers for eight a day
		w.at = w.at.Add(25 * time.Hour)
		for i := range 8 {
			w.change(fmt.Sprintf("example-%02d.com", day*8+i), func(d *records.Domain) { d.State.RegAt, d.State.DelegAt = lifecycle.At(w.at), lifecycle.At(w.at) })
		}
		w.tick()
	}
	if n := len(w.reg.requests); n != 0 {
		t.Errorf("%d of a held class of 60 acted on, nobody approved", n)
	}
}

// late is a registry that acts, and meanwhile the checker writes the domain.
type late struct {
	*fakeRegistry
	w  *world
	do func()
}

func (l *late) Unverify(ctx context.Context, r registry.Request) (registry.Answer, error) {
	a, err := l.fakeRegistry.Unverify(ctx, r)
	l.do()
	return a, err
}

func TestWhatWasDoneIsRecordedWhateverBecameOfTheDomain(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	l := &late{fakeRegistry: w.reg, w: w, do: func() { w.change("example-one.com", quiet) }}
	w.Registry = l
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Fatal("no request")
	}
	entries, _ := w.book().History(t.Context(), "example-one.com", 5)
	if len(entries) == 0 || entries[0].What != "unverified" {
		t.Errorf("addresses were unverified and history says %+v", entries)
	}
	if _, err := w.say(Event{Action: "restore", Domain: "example-one.com"}); err != nil {
		t.Errorf("cannot be taken back: %v", err)
	}
}

func TestALostAnswerCanBeTakenBack(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.err = errors.New("timeout") // the registry did it, the answer was lost
	w.tick()
	w.reg.err = nil
	w.change("example-one.com", quiet)
	w.at = w.at.Add(15 * time.Minute)
	w.tick()
	if _, err := w.say(Event{Action: "restore", Domain: "example-one.com"}); err != nil {
		t.Errorf("cannot be taken back: %v", err)
	}
}

func TestEachRegistrationWithoutADateAsksAnew(t *testing.T) {
	w := newWorld(t)
	rereg := func(d *records.Domain) {
		d.State.Phase, d.State.Registered, d.State.LapseAt = lifecycle.ReRegistered, 0, lifecycle.At(w.at.Add(-24*time.Hour))
		d.State.Since = lifecycle.At(w.at)
		d.State.Reg, d.State.RegServer, d.State.RegAt = "", "", 0
		d.State.Mkt, d.State.MktAt = lifecycle.WordRegistered, lifecycle.At(w.at)
		d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Medium, lifecycle.ReasonReviewNew
	}
	w.lapsed("example-one.gg", rereg)
	w.tick()
	w.must(Event{Action: "approve", Domain: "example-one.gg"})
	w.tick()
	w.at = w.at.Add(time.Minute)
	w.change("example-one.gg", func(d *records.Domain) { d.State.MktAt = lifecycle.At(w.at) })
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Fatalf("%d requests", len(w.reg.requests))
	}
	w.at = w.at.Add(300 * 24 * time.Hour)
	w.change("example-one.gg", quiet)
	w.tick()
	w.at = w.at.Add(300 * 24 * time.Hour)
	w.change("example-one.gg", rereg)
	for range 8 {
		w.tick()
		w.at = w.at.Add(15 * time.Minute)
	}
	if _, ok := w.held("example-one.gg"); !ok {
		t.Error("another registration two years later asks nobody")
	}
}

func TestAnApprovalIsForOneRegistration(t *testing.T) {
	w := newWorld(t)
	rereg := func(d *records.Domain) {
		d.State.Phase, d.State.Registered, d.State.LapseAt = lifecycle.ReRegistered, 0, lifecycle.At(w.at.Add(-24*time.Hour))
		d.State.Since = lifecycle.At(w.at)
		d.State.Reg, d.State.RegServer, d.State.RegAt = "", "", 0
		d.State.Mkt, d.State.MktAt = lifecycle.WordRegistered, lifecycle.At(w.at)
		d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Medium, lifecycle.ReasonReviewNew
	}
	w.lapsed("example-one.gg", rereg)
	w.tick()
	w.must(Event{Action: "approve", Domain: "example-one.gg"})
	w.change("example-one.gg", quiet) // the holders verified anew before the tick
	w.tick()
	w.at = w.at.Add(600 * 24 * time.Hour)
	w.change("example-one.gg", rereg)
	w.tick()
	w.tick()
	if len(w.reg.requests) != 0 {
		t.Error("another registration, years later, is acted on by the old approval")
	}
}

func TestAnOperatorsHoldReleasedLetsTheLapseCount(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", quiet)
	w.must(Event{Action: "hold", Domain: "example-one.com"})
	w.lapsedAgain("example-one.com")
	w.tick()
	w.must(Event{Action: "unhold", Domain: "example-one.com"})
	for range 4 {
		w.later(15*time.Minute, "example-one.com")
		w.tick()
	}
	if len(w.reg.requests) != 1 {
		t.Errorf("%d requests: held until it is released, and never acted on after that", len(w.reg.requests))
	}
}

func TestWhoSaysRegisteredMakesNoDeletionFresh(t *testing.T) {
	for name, edit := range map[string]func(*records.Domain){
		"status says active again": func(d *records.Domain) {
			d.State.Reg, d.State.RegAt, d.State.RegServer = "", 0, ""
			d.State.Mkt, d.State.MktAt, d.State.MktFine = lifecycle.WordRegistered, d.State.Since, true
		},
		"registry says auto renew": func(d *records.Domain) { d.State.Reg = lifecycle.WordAutoRenew },
	} {
		w := newWorld(t)
		w.lapsed("example-one.com", edit)
		w.tick()
		if len(w.reg.requests) != 0 {
			t.Errorf("%s, and the addresses are unverified", name)
		}
	}
}

// TestADeclinedLapseStaysDeclined whichever witness of it is heard that day; its next phase counts anew.
func TestADeclinedLapseStaysDeclined(t *testing.T) {
	w := newWorld(t)
	w.Protected = []string{"example-one.com"}
	w.lapsed("example-one.com", nil)
	w.tick()
	w.Protected = nil
	w.must(Event{Action: "unhold", Domain: "example-one.com"})
	for _, reason := range []lifecycle.Reason{lifecycle.ReasonDeletedAlone, lifecycle.ReasonDeleted} {
		w.change("example-one.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Unverify, reason })
		if w.tick(); len(w.reg.requests) != 0 {
			t.Fatalf("declined, and acted on as %q", reason)
		}
	}
	w.change("example-one.com", func(d *records.Domain) { d.State.Phase = lifecycle.PendingDelete })
	if w.tick(); len(w.reg.requests) != 1 {
		t.Errorf("%d requests in its next phase, want it to count anew", len(w.reg.requests))
	}
}

// TestAnApprovalThatCanDoNothingIsRefused: a person who reads "approved" believes that the case is closed.
func TestAnApprovalThatCanDoNothingIsRefused(t *testing.T) {
	w := newWorld(t)
	w.Protected = []string{"example-one.com"}
	w.lapsed("example-one.com", nil)
	w.lapsed("example-two.com", quiet)
	w.tick()
	for name, want := range map[string]string{"example-one.com": "protected", "example-two.com": "nothing about it waits"} {
		if _, err := w.say(Event{Action: "approve", Domain: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("approve %s: %v, want a refusal that says %q", name, err, want)
		}
	}
	if _, ok := w.held("example-one.com"); !ok {
		t.Error("the hold of the protected domain is gone")
	}
	if _, err := w.say(Event{Action: "approve", Class: "rdap.example.net/redemtion", Count: 3, PerDay: 1}); err == nil || !strings.Contains(err.Error(), "holds nothing of this class") {
		t.Errorf("a class that holds nothing: %v", err)
	}
}

func TestARestoreRepeatedSaysSo(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.tick()
	first := w.must(Event{Action: "restore", Domain: "example-one.com"})
	again := w.must(Event{Action: "restore", Domain: "example-one.com"})
	if strings.Contains(first.Text, "before") || !strings.Contains(again.Text, "taken back before") {
		t.Errorf("first %q, again %q", first.Text, again.Text)
	}
}
