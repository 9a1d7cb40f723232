package checker

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// TestBudgetIsShared: what one checker learns of a server, another one heeds: it stays away, and asks at half the rate
// when that is over; a usable answer with a quota notice slows down too, and keeps what it said.
func TestBudgetIsShared(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	good := source.Observation{Source: source.SourceRDAP, Outcome: source.Observed, Registration: &source.Registration{}}
	unknown := func(c source.Cause, away time.Duration) source.Observation {
		return source.Observation{Source: source.SourceRDAP, Outcome: source.Unknown, Cause: c, RetryAfter: away}
	}
	notice := good
	notice.Slower = true
	for name, tt := range map[string]struct {
		says     source.Observation
		asked    int // by the first checker, of six
		slow     int
		waits    bool // the second one asks nothing
		answered bool
	}{
		"fine":            {good, 6, 0, false, true},
		"429":             {unknown(source.CauseRateLimited, time.Hour), 1, 1, true, false},
		"429, no time":    {unknown(source.CauseRateLimited, 0), 1, 1, false, false},
		"403":             {unknown(source.CauseForbidden, 0), 4, 1, false, false},
		"503 with a time": {unknown(source.CauseServerError, time.Hour), 4, 0, true, false},
		"quota notice":    {notice, 1, 1, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			asked := 0
			checker := func(says source.Observation) *OneByOne {
				return &OneByOne{Source: source.SourceRDAP, AtOnce: 1, Patience: 4, Now: clock,
					Budget: &Budget{Store: db, Log: slog.New(slog.DiscardHandler), Rate: func(base string) rdap.Rate { return rdap.RateOf(base, 1000) }},
					Lookup: func(context.Context, string, string) source.Observation { asked++; return says }}
			}
			m := queue.Message{Kind: queue.KindRDAP, Upstream: "https://rdap.example.net/one/", Group: "g", Share: 1, Domains: make([]queue.Entry, 6)}
			for i := range m.Domains {
				m.Domains[i].Name = "a.net"
			}
			obs := checker(tt.says).Ask(t.Context(), m)
			if asked != tt.asked || (obs[0].Outcome == source.Observed) != tt.answered {
				t.Errorf("asked %d times, the first answer is %+v", asked, obs[0])
			}
			b, err := records.In(db).Budget(t.Context(), "rdap.example.net")
			if err != nil || b.V.Slow != tt.slow {
				t.Errorf("%+v %v", b.V, err)
			}
			asked = 0
			m.Upstream = "https://rdap.example.net/two/" // another path on the same server
			obs = checker(good).Ask(t.Context(), m)
			if waits := asked == 0; waits != tt.waits || waits && obs[0].RetryAfter.Round(time.Minute) != time.Hour {
				t.Errorf("then asked %d times, away for %s", asked, obs[0].RetryAfter)
			}
		})
	}
}

// TestBudgetOfAnEndedInvocation: who cannot ask takes nothing from the others.
func TestBudgetOfAnEndedInvocation(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &Budget{Store: db, Log: slog.New(slog.DiscardHandler), Rate: func(base string) rdap.Rate { return rdap.RateOf(base, 0.1) }}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if err := b.turns("https://a.example/", 5, time.Now).Wait(ended); err == nil {
		t.Error("a turn in an invocation that is over")
	}
	soon, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	turns := b.turns("https://a.example/", 5, time.Now)
	for n := range 4 {
		wait, err := turns.turn(soon)
		if due := time.Duration(n) * 10 * time.Second; (err != nil) != (n == 3) || err == nil && (wait > due || wait < due-time.Second) {
			t.Errorf("turn %d, of 25 s at one in 10 s: in %s, %v", n, wait, err)
		}
	}
	if away := turns.away(); away < 29*time.Second || away > 30*time.Second {
		t.Errorf("away for %s", away)
	}
}

// TestLatePlacesAreLost: who was held up does not catch up.
func TestLatePlacesAreLost(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &Budget{Store: db, Log: slog.New(slog.DiscardHandler), Rate: func(base string) rdap.Rate { return rdap.RateOf(base, 0.1) }}
	turns := b.turns("https://a.example/", 5, time.Now)
	if wait, err := turns.turn(t.Context()); err != nil || wait > 0 {
		t.Fatal(wait, err)
	}
	turns.began = turns.began.Add(-45 * time.Second) // held up: the places at 10, 20 and 30 s are over
	if wait, err := turns.turn(t.Context()); err != nil || wait > -4*time.Second || wait < -6*time.Second {
		t.Errorf("the place at 40 s: in %s, %v", wait, err)
	}
	if wait, err := turns.turn(t.Context()); err != nil || wait < 49*time.Second || wait > 50*time.Second {
		t.Errorf("a new place behind those that were taken: in %s, %v", wait, err)
	}
}

// TestASilentServerIsLeftAlone: for longer each time, up to a day, whoever asks; with its first answer all is as before.
func TestASilentServerIsLeftAlone(t *testing.T) {
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	now := start
	clock := func() time.Time { return now }
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	says := source.Observation{Source: source.SourceRDAP, Outcome: source.Unknown, Cause: source.CauseTimeout}
	asked := 0
	m := queue.Message{Kind: queue.KindRDAP, Upstream: "https://rdap.example.net/one/", Group: "g", Share: 1, Domains: make([]queue.Entry, 6)}
	ask := func() int {
		before := asked
		checker := &OneByOne{Source: source.SourceRDAP, AtOnce: 1, Patience: 4, Now: clock,
			Budget: &Budget{Store: db, Log: slog.New(slog.DiscardHandler), Rate: func(base string) rdap.Rate { return rdap.RateOf(base, 1000) }},
			Lookup: func(context.Context, string, string) source.Observation { asked++; return says }}
		checker.Ask(t.Context(), m)
		return asked - before
	}
	var at []time.Duration
	for ; now.Before(start.Add(5 * 24 * time.Hour)); now = now.Add(30 * time.Minute) {
		if n := ask(); n > 4 {
			t.Fatalf("asked %d questions at once", n)
		} else if n > 0 {
			at = append(at, now.Sub(start))
		}
	}
	want := []time.Duration{0, 30 * time.Minute, 90 * time.Minute, 210 * time.Minute, 450 * time.Minute, 930 * time.Minute, 1890 * time.Minute, 3330 * time.Minute, 4770 * time.Minute, 6210 * time.Minute}
	if !slices.Equal(at, want) {
		t.Errorf("asked after %v, want %v", at, want)
	}
	says = source.Observation{Source: source.SourceRDAP, Outcome: source.Observed, Registration: &source.Registration{}}
	now = now.Add(24 * time.Hour)
	if n := ask(); n != 6 {
		t.Errorf("%d asked when it answers again", n)
	}
	says = source.Observation{Source: source.SourceRDAP, Outcome: source.Unknown, Cause: source.CauseTimeout}
	first, soon := ask(), 0
	for now = now.Add(30 * time.Minute); soon == 0; now = now.Add(time.Minute) {
		if soon = ask(); now.After(start.Add(8 * 24 * time.Hour)) {
			break
		}
	}
	if b, err := records.In(db).Budget(t.Context(), "rdap.example.net"); first != 4 || soon != 4 || err != nil || b.V.Silent != 2 {
		t.Errorf("after an answer: %d, %d, %+v %v", first, soon, b.V, err)
	}
}
