package fanout

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// Where the zone need not show a lapse and nobody who could be asked ever answered, domains are counted by TLD, and said.
func TestDomainsWhoseLapseNobodyWouldSeeAreCounted(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"shown.com", "shown.eu", "unseen.ch", "another.ch", "unseen.ru", "asked.jp"} {
		w.list.set(name, 1, long)
	}
	w.day(t)
	for _, name := range []string{"shown.com", "shown.eu", "unseen.ch", "another.ch", "unseen.ru", "asked.jp"} {
		d := w.domain(t, name)
		d.State.First = lifecycle.At(w.clock.now())
		if name == "asked.jp" {
			d.State.MktAt = d.State.First
		}
		if err := w.Store.Write(t.Context(), d.Put()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		after time.Duration
		want  map[string]int
	}{
		{24 * time.Hour, nil}, // nobody had the time to answer
		{30 * 24 * time.Hour, map[string]int{"ch": 2, "ru": 1}},
	} {
		w.clock.advance(c.after)
		_, stats, _ := w.observed()
		w.day(t)
		run, err := w.book().Run(t.Context())
		if err != nil || !maps.Equal(run.V.Unseen, c.want) {
			t.Errorf("after %s: %v, %v", c.after, run.V.Unseen, err)
		}
		if c.want != nil && !strings.Contains(stats.String(), `"DomainsUnseen":3`) {
			t.Errorf("not measured: %s", stats)
		}
		if said := run.V.UnseenWords(); c.want != nil && !strings.Contains(said, "a lapse of 3: ") || c.want != nil && !strings.Contains(said, "(ch 2, ru 1)") {
			t.Error(said)
		}
	}
}
