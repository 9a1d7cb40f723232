package lifecycle

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/source"
)

func TestNext(t *testing.T) {
	baseline := NewState(instant(30))
	for _, c := range []struct {
		name  string
		s     State
		f     Facts
		steps []step
		want  Instant
		words string
	}{
		{name: "not looked at", s: baseline, f: com, want: instant(30), words: "nobody looked at it yet"},
		{name: "overdue", s: NewState(instant(-30)), f: com, want: instant(-30), words: "Due since"},
		{name: "no answer", s: baseline, f: com, steps: []step{visit(0, allUnknown()...)}, want: instant(6), words: "no answer that can be believed"},
		{name: "second look", f: com, steps: []step{visit(0, gone(), free())}, want: instant(6), words: "a second look must agree (released)"},
		{name: "grace once", f: com, steps: []step{visit(0, gone(), expired(rdap()))}, want: instant(20), words: "a second look must agree"},
		{name: "in redemption", f: com, steps: []step{visit(0, gone(), rdap("redemption period"))}, want: instant(20), words: "daily, because the phase is redemption"},
		{name: "gone", f: com, steps: []step{visit(0, gone(), rdap())}, want: instant(20), words: "the tripwire is blind"},
		{name: "gone by status", f: de, steps: []step{visit(0, gone(), status("active"))}, want: instant(20), words: "the status API is daily"},
		{name: "left for parking", f: com, steps: []step{visit(0, parked(), rdap())}, want: instant(20), words: "a parking service's"},
		{name: "on hold", f: com, steps: []step{visit(0, home(), rdap("client hold"))}, want: instant(20), words: `the registry said "on hold"`},
		{name: "near expiry, where the zone shows a lapse", f: com, steps: []step{visit(0, home(), expired(rdap()))}, want: instant(60 * day), words: "every 60 days"},
		{name: "near expiry, where it need not", f: with(com, func(f *Facts) { f.TLD = TLDOf("ru") }), steps: []step{visit(0, home(), expired(rdap()))}, want: instant(0).Add(Weekly), words: "weekly"},
		{name: "quiet", f: com, steps: []step{visit(0, home(), rdap())}, want: instant(60 * day), words: "every 60 days"},
		{name: "nothing known", s: State{DelegAt: 1, Deleg: DelegationHome, Phase: Active}, f: com, want: 0, words: "The zone is asked daily; "},
	} {
		if c.s == (State{}) {
			c.s = known(t, c.f)
		}
		s, _ := walk(c.s, c.f, c.steps...)
		at, why := Next(s, c.f, instant(0))
		if at != c.want || !strings.Contains(why, c.words) {
			t.Errorf("%s: %s, want %s; %s", c.name, at, c.want, why)
		}
	}
}

// What a verdict asks for, Next finds again from the stored state.
func TestNextAgreesWithTheVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, h := genState(t, f)
		next, v := Visit(s, at(hour(h), genGood(t)), f, instant(h))
		if next.Silent > s.Silent {
			return // nothing was learned: the registry's turn is no second look
		}
		due, why := Next(next, f, instant(h))
		if why == "" {
			t.Error("no sentence")
		}
		if v.Next != 0 && due != v.Next {
			t.Errorf("verdict %+v, next look %s: %s", v, due, why)
		}
	})
}

// Next and Questions agree: the registry is asked when Next says that it is due, and not before.
func TestNextAgreesWithQuestions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, _ := genState(t, f)
		if s.RegAt == 0 || s.RetryAt != 0 {
			return // a second look asks every source
		}
		due, why := Next(s, f, s.RegAt)
		if strings.Contains(why, "second look") {
			return
		}
		now := s.RegAt.Add(time.Duration(rapid.IntRange(0, 50*24).Draw(t, "hours later")) * time.Hour)
		if asks := Questions(s, s, f, Verdict{}, now, source.SourceDelegation, false); (len(asks) > 0) != (due <= now) {
			t.Errorf("due %s (%s), asks %v on %s", due, why, asks, now)
		}
	})
}

func BenchmarkVisit(b *testing.B) {
	s := known(b, com)
	obs := at(hour(0), []source.Observation{gone(), rdap("client transfer prohibited", "client update prohibited", "redemption period")})
	uk := with(com, func(f *Facts) { f.TLD = TLDOf("co.uk") })
	for name, f := range map[string]Facts{"com": com, "co.uk": uk} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Visit(s, obs, f, instant(0))
			}
		})
	}
}
