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

// TestWhatARunCounts of a domain: addresses and a gap of one that is listed, nothing of the synthetic one but that it is asked.
func TestWhatARunCounts(t *testing.T) {
	w := newWorld(t)
	name, _ := domain.Parse("example.com")
	for what, c := range map[string]struct {
		edit                       func(*records.Domain)
		addresses, closed, counted int
	}{
		"listed":             {func(d *records.Domain) { d.Listed = true }, 3, 0, 1},
		"listed, in a gap":   {func(d *records.Domain) { d.Listed, d.State.Control.Since = true, 7 }, 3, 1, 1},
		"a host, in a gap":   {func(d *records.Domain) { d.MailHost, d.State.Control.Since = true, 7 }, 0, 0, 1},
		"the synthetic one":  {func(d *records.Domain) { d.Synthetic, d.Listed, d.State.Control.Since = true, true, 7 }, 0, 0, 0},
		"unverified, lapsed": {func(d *records.Domain) { d.Acted, d.State.LapseAt = true, 7 }, 0, 0, 1},
	} {
		d := records.NewDomain("example.com", 0)
		d.Addresses = 3
		c.edit(&d)
		var seg records.Segment
		if w.count(d, name, &seg); seg.Watched != 1 || seg.Addresses != c.addresses || seg.Closed != c.closed || seg.Phases[d.State.Phase] != c.counted {
			t.Errorf("%s: %+v", what, seg)
		}
	}
}
