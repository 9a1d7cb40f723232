package fanout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

// TestSyntheticDomainIsPlantedOnceARun, anew each day and under the name of the first day.
func TestSyntheticDomainIsPlantedOnceARun(t *testing.T) {
	w := newWorld(t)
	w.CanaryLabel = "lapseguard-first"
	w.list.set("example-one.com", 1, long)
	w.day(t)
	const name = "lapseguard-first.com"
	if !slices.Contains(w.out.domains(), name) {
		t.Fatalf("dispatched %v, want the synthetic domain among them", w.out.domains())
	}
	first := w.domain(t, name)
	if !first.Synthetic || first.State.Phase != lifecycle.PendingDelete || first.Unsettled() || first.Listed {
		t.Errorf("planted %+v", first)
	}
	done := first
	done.State.Phase, done.Action = lifecycle.Released, lifecycle.Unverify
	done.Settle(false)
	if err := w.Store.Write(t.Context(), done.Put()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Handle(t.Context(), Event{Action: "resume"}); err != nil {
		t.Fatal(err)
	}
	if d := w.domain(t, name); d.State.Phase != lifecycle.Released {
		t.Error("a resumed run planted it again")
	}
	w.CanaryLabel = "lapseguard-second" // another process has another label
	w.day(t)
	second := w.domain(t, name)
	if second.State.Phase != lifecycle.PendingDelete || second.Decision() == first.Decision() || second.Action != "" {
		t.Errorf("on the next day: %+v", second)
	}
	if d, err := w.book().Domain(t.Context(), "lapseguard-second.com"); err != nil || d.Known() {
		t.Errorf("a second name was planted: %v", err)
	}
}

// TestSyntheticDomainComesToAnUnverify by the same judgement as a real one: the zone, then the registry, say it is gone.
func TestSyntheticDomainComesToAnUnverify(t *testing.T) {
	now := time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)
	d := records.NewDomain("lapseguard-x.com", 0).Lapsing(lifecycle.At(now), lifecycle.At(now.Add(-canaryAge)))
	facts := lifecycle.Facts{TLD: lifecycle.TLDOf(records.CanaryZone), Authority: lifecycle.AuthorityIANA, Oldest: d.State.First}
	gone := source.Observation{Source: source.SourceDelegation, At: now, Outcome: source.Absent, Said: "NXDOMAIN"}
	state, v := lifecycle.Visit(d.State, []source.Observation{gone}, facts, lifecycle.At(now))
	ask := lifecycle.Questions(d.State, state, facts, v, lifecycle.At(now), gone.Source, false)
	if v.Action == lifecycle.Unverify || !slices.Equal(ask, []source.Source{source.SourceRDAP}) {
		t.Fatalf("after the zone's word: %+v, then ask %v", v, ask)
	}
	free := source.Observation{Source: source.SourceRDAP, Server: "https://rdap.example/", At: now, Outcome: source.Absent, Said: "HTTP 404"}
	d.State, v = lifecycle.Visit(state, []source.Observation{free}, facts, lifecycle.At(now))
	d.Action = v.Action
	if !d.Arrived() || v.Phase != lifecycle.Released {
		t.Errorf("after the registry's word: %+v", v)
	}
}

// TestARunGoesOnWithoutTheSyntheticDomain: its alarm tells that it is missing.
func TestARunGoesOnWithoutTheSyntheticDomain(t *testing.T) {
	w := newWorld(t)
	w.CanaryLabel = strings.Repeat("x", 5000) // a name that no store takes
	w.list.set("example-one.com", 1, long)
	if res := w.day(t); !res.Finished || !slices.Contains(w.out.domains(), "example-one.com") {
		t.Errorf("the run ended: %+v, %v", res, w.out.domains())
	}
}
