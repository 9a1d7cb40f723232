package fanout

import (
	"fmt"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

func TestAListThatShrankIsBelievedOnAPersonsWord(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.list.set(fmt.Sprintf("a%03d.com", i), 1, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	w.day(t)
	for i := range 6 { // six users close their accounts
		w.list.set(fmt.Sprintf("a%03d.com", i), 0, time.Time{})
	}
	believed := func() bool {
		w.day(t)
		run, err := w.book().Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return run.V.Sync.Believed
	}
	for range 8 {
		if believed() {
			t.Fatal("a list that lost six of a hundred hosts is believed without a person's word")
		}
	}
	accept := func() {
		synced, err := w.book().Synced(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synced.V.Accepted = lifecycle.At(w.clock.at)
		if err := w.Store.Write(t.Context(), synced.Put()); err != nil {
			t.Fatal(err)
		}
	}
	accept()
	if !believed() || w.domain(t, "a000.com").Listed || !w.domain(t, "a050.com").Listed {
		t.Errorf("accepted, and not believed: %+v", w.domain(t, "a000.com"))
	}
	for i := range 50 {
		w.list.set(fmt.Sprintf("a%03d.com", i), 0, time.Time{})
	}
	if believed() {
		t.Error("one word counts for two lists")
	}
	accept()
	w.clock.advance(acceptedFor)
	if believed() {
		t.Error("a word of days ago still counts")
	}
}

func TestAResumedDispatchPlantsNothingAnew(t *testing.T) {
	w := newWorld(t)
	w.CanaryLabel = "lapseguard-x"
	w.list.set("a.com", 1, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	w.out.failNext = 1
	w.clock.advance(24 * time.Hour)
	_, err := w.Handle(t.Context(), Event{Action: "run"})
	if err == nil {
		t.Fatal("no failure")
	}
	d := w.domain(t, "lapseguard-x.com")
	d.Reason = "a verdict that the checker reached meanwhile"
	_ = w.Store.Write(t.Context(), d.Put())
	if _, err := w.Handle(t.Context(), Event{Action: "resume"}); err != nil {
		t.Fatal(err)
	}
	if w.domain(t, "lapseguard-x.com").Reason == "" {
		t.Error("the resumed run plants it anew and erases what was found")
	}
}
