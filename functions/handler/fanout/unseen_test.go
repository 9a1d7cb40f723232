package fanout

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
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

// TestWhatIsUnknownForAWeekIsCounted, and a lapse that nobody would see a week after everybody was to be asked.
func TestWhatIsUnknownForAWeekIsCounted(t *testing.T) {
	w := newWorld(t)
	w.BaselineDays = 14
	name, _ := domain.Parse("example.ch")
	for _, c := range []struct {
		since           time.Duration
		phase           lifecycle.Phase
		unknown, unseen int
	}{
		{7*24*time.Hour - time.Second, lifecycle.PhaseUnknown, 0, 0}, {7 * 24 * time.Hour, lifecycle.PhaseUnknown, 1, 0}, {7 * 24 * time.Hour, lifecycle.Active, 0, 0},
		{21*24*time.Hour - time.Second, lifecycle.PhaseUnknown, 1, 0}, {21 * 24 * time.Hour, lifecycle.PhaseUnknown, 1, 1}, {21 * 24 * time.Hour, lifecycle.Active, 0, 1},
	} {
		d := records.NewDomain("example.ch", 0)
		d.Listed, d.State.Phase, d.State.First = true, c.phase, lifecycle.At(w.clock.at.Add(-c.since))
		var seg records.Segment
		if w.count(d, name, &seg); seg.Unknown != c.unknown || seg.Unseen["ch"] != c.unseen || seg.Phases[c.phase] != 1 {
			t.Errorf("%s since %s: %+v", c.phase, c.since, seg)
		}
	}
}
