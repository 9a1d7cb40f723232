package fanout

import (
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// TestWhatBindsMore: addresses that were verified before the end of what is closed, and were not there when it was told.
func TestWhatBindsMore(t *testing.T) {
	before := records.Host{Addresses: 3, Newest: 100}
	for what, c := range map[string]struct {
		now    records.Host
		closed lifecycle.Instant
		left   bool
		want   bool
	}{
		"one more":                        {records.Host{Addresses: 4, Newest: 100}, 200, false, true},
		"another newest one":              {records.Host{Addresses: 3, Newest: 150}, 200, false, true},
		"as many, and as new":             {before, 200, false, false},
		"one less":                        {records.Host{Addresses: 2, Newest: 100}, 200, false, false},
		"verified when it was over":       {records.Host{Addresses: 4, Newest: 200}, 200, false, false},
		"verified just before":            {records.Host{Addresses: 4, Newest: 199}, 200, false, true},
		"nothing is closed":               {records.Host{Addresses: 4, Newest: 100}, 0, false, false},
		"it is to be sent already":        {records.Host{Addresses: 4, Newest: 100}, records.Unsent, false, false},
		"the host left":                   {records.Host{Addresses: 4, Newest: 100}, 200, true, false},
		"one more, and nobody knows when": {records.Host{Addresses: 4}, 200, false, true},
	} {
		old := records.NewHost("a.com")
		old.V = before
		if got := (change{old: old, now: c.now, left: c.left}).bindsMore(c.closed); got != c.want {
			t.Errorf("%s: %t", what, got)
		}
	}
}

// TestHowManyMore: of a whole list all that are reported or cannot be watched count, of changes what changed.
func TestHowManyMore(t *testing.T) {
	stored := func(v records.Host) records.Of[records.Host] {
		r := records.NewHost("a.com")
		r.V = v
		return r.Stored()
	}
	nowhere := records.Host{Why: string(domain.ReasonNotCovered)}
	for what, c := range map[string]struct {
		old               records.Of[records.Host]
		now               records.Host
		there             bool
		whole, changes    int // uncovered
		reported, changed int
	}{
		"new":                                {records.NewHost("a.com"), nowhere, true, 1, 1, 0, 0},
		"still there":                        {stored(nowhere), nowhere, true, 1, 0, 0, 0},
		"gone":                               {stored(nowhere), nowhere, false, 0, -1, 0, 0},
		"covered by now":                     {stored(nowhere), records.Host{Domain: "a.com"}, true, 0, -1, 0, 0},
		"covered":                            {stored(records.Host{Domain: "a.com"}), records.Host{Domain: "a.com", Reported: 2}, true, 0, 0, 2, 2},
		"covered, and fewer are reported":    {stored(records.Host{Reported: 3}), records.Host{Reported: 1}, true, 0, 0, 1, -2},
		"nobody's, and nobody's to lose":     {records.NewHost("a.com"), records.Host{Why: string(domain.ReasonIPLiteral)}, true, 0, 0, 0, 0},
		"malformed, which somebody may have": {records.NewHost("a.com"), records.Host{Why: string(domain.ReasonMalformed)}, true, 1, 1, 0, 0},
	} {
		ch := change{old: c.old, now: c.now}
		if whole, changes := moreUncovered(true, ch, c.there), moreUncovered(false, ch, c.there); whole != c.whole || changes != c.changes {
			t.Errorf("%s: of a whole list %d, of changes %d", what, whole, changes)
		}
		if whole, changes := moreReported(true, ch), moreReported(false, ch); whole != c.reported || changes != c.changed {
			t.Errorf("%s: reported, of a whole list %d, of changes %d", what, whole, changes)
		}
	}
}

// TestWhoReportsIsHeard: accounts that the registry names are told once, with how many more there are.
func TestWhoReportsIsHeard(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 3, long)
	w.day(t)
	for _, c := range []struct{ reported, told int }{{2, 2}, {2, 0}, {5, 3}, {1, 0}} {
		w.list.closed("example-one.com", registry.Closed{Reported: c.reported})
		w.day(t)
		lines, err := w.book().Lines(t.Context(), w.clock.at.Format(records.Day))
		if err != nil || (len(lines) > 0) != (c.told > 0) || c.told > 0 && (lines[0].What != "reported" || lines[0].Changed != c.told || lines[0].Domain != "example-one.com") {
			t.Errorf("%d reported: told %+v %v, want %d", c.reported, lines, err, c.told)
		}
		synced, err := w.book().Synced(t.Context())
		if err != nil || synced.V.Reported != c.reported {
			t.Errorf("%d reported: noted %+v %v", c.reported, synced.V, err)
		}
	}
	w.clock.advance(7 * 24 * time.Hour) // a whole list
	w.day(t)
	if synced, err := w.book().Synced(t.Context()); err != nil || synced.V.Reported != 1 {
		t.Errorf("%+v %v", synced.V, err)
	}
}
