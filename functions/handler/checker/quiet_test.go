package checker

import (
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
)

// TestAQuietDomainForFourHundredDays: while all sources say the same, nothing is written beyond the looks at the registry,
// and history has the first of them.
func TestAQuietDomainForFourHundredDays(t *testing.T) {
	home := delegated("ns1.host.net", "ns2.host.net")
	in := func(days int) source.Observation {
		o := registered("active")
		o.Registration.Expires = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).AddDate(0, 0, days)
		return o
	}
	for name, c := range map[string]struct {
		zone, first, then      source.Observation
		calls, writes, entries int // at most
	}{
		"registered":                           {home, in(200), in(200), 7, 8, 2},
		"its expiry passes, said by nobody":    {home, in(20), in(20), 7, 8, 2},
		"in auto-renew":                        {home, registered("auto renew period"), registered("auto renew period"), 7, 8, 2},
		"a registry that never answers":        {home, silence(source.CauseMalformed), silence(source.CauseMalformed), 64, 66, 2},
		"a registry that answered once":        {home, in(200), silence(source.CauseMalformed), 57, 58, 2},
		"on hold, out of the zone":             {gone(), registered("client hold"), registered("client hold"), 402, 1300, 4},
		"out of the zone, the registry silent": {gone(), registered("client hold"), silence(source.CauseMalformed), 140, 1300, 4},
		"registered, but never in service":     {gone(), registered("inactive"), registered("inactive"), 402, 1300, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add("a-one.com")
			w.dns.by["a-one.com"], w.rdap.by["a-one.com"] = c.zone, c.first
			start := w.at
			for day := range 400 {
				w.at = start.Add(time.Duration(day)*24*time.Hour + time.Duration(day%7)*time.Minute) // no two daily runs are a day apart
				w.ask(queue.Message{}, w.entry("a-one.com"))
				w.rdap.by["a-one.com"] = c.then
				for looks := 0; looks < 4; looks++ { // what applier sends
					d := w.get("a-one.com")
					if d.NextLook == 0 || d.NextLook.Time().After(start.AddDate(0, 0, day+1)) {
						break
					}
					w.at = d.NextLook.Time().Add(time.Second)
					w.ask(queue.Message{Look: d.State.Control.Since == 0}, w.entry("a-one.com"))
				}
			}
			entries, err := w.book().History(t.Context(), "a-one.com", 2000)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d calls, %d writes, %d entries", len(w.rdap.asked), w.count.writes, len(entries))
			if calls := len(w.rdap.asked); calls > c.calls || w.count.writes > c.writes || len(entries) > c.entries {
				t.Errorf("%d calls, %d writes, %d history entries; want at most %d, %d, %d", calls, w.count.writes, len(entries), c.calls, c.writes, c.entries)
				for _, e := range entries[max(0, len(entries)-8):] {
					t.Log(e.At, e.Before, e.After, e.Action, e.Reason)
				}
			}
			if d := w.get("a-one.com"); d.Action == lifecycle.Unverify {
				t.Errorf("%+v", d)
			}
		})
	}
}
