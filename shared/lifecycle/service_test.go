package lifecycle

import (
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/source"
)

// own is what the name servers of a delegation make of the zone; those in lame do not have it.
func own(s source.Serves, ns []string, lame ...string) source.Observation {
	return source.Observation{Source: source.SourceServers, Server: "own servers", Outcome: source.Observed, Service: &source.Service{Serves: s, NS: ns, Lame: lame}}
}

var (
	givingNS = []string{"ns1.digitalocean.com", "ns2.digitalocean.com"}
	lame     = own(source.Lame, homeNS, homeNS...)
	served   = own(source.Served, homeNS)
	nobody   = own(source.Unreachable, homeNS)
)

func TestUnservedZone(t *testing.T) {
	mine, theirs := mx("mx.provider.example"), mx("mx.buyer.example")
	given := func(s source.Serves) source.Observation {
		if s == source.Lame {
			return own(s, givingNS, givingNS...)
		}
		return own(s, givingNS)
	}
	giving := ns(givingNS)
	for _, c := range []struct {
		name  string
		home  source.Observation
		looks []look
	}{
		{"lame twice six hours apart, and served again", home(), []look{
			{"lame", 0, []source.Observation{lame}, GapNone, 0},
			{"too soon", 5, []source.Observation{home(), lame}, GapNone, 0},
			{"six hours apart", 6, []source.Observation{home(), lame}, GapLame, 6},
			{"still", 12, []source.Observation{home(), lame}, GapLame, 6},
			{"all else is well", 13, []source.Observation{home(), mine, rdap()}, GapLame, 6},
			{"served", 18, []source.Observation{home(), served}, GapLame, 6},
			{"and the MX, which was heard already while nobody served it", 18, []source.Observation{mine}, GapNone, 0},
		}},
		{"what was heard before the gap opens nothing", home(), []look{
			{"lame", 0, []source.Observation{lame, mine}, GapNone, 0},
			{"again", 6, []source.Observation{home(), mine, rdap(), lame}, GapLame, 6},
			{"served", 7, []source.Observation{home(), served, rdap()}, GapLame, 6},
			{"the MX is another", 7, []source.Observation{theirs, rdap()}, GapLame, 6},
			{"the MX is back", 8, []source.Observation{mine, rdap()}, GapNone, 0},
		}},
		{"served in between", home(), []look{
			{"lame", 0, []source.Observation{lame}, GapNone, 0},
			{"served", 3, []source.Observation{served}, GapNone, 0},
			{"lame", 7, []source.Observation{lame}, GapNone, 0},
			{"served", 12, []source.Observation{served}, GapNone, 0},
		}},
		{"silence is not lameness", home(), []look{
			{"silent", 0, []source.Observation{nobody}, GapNone, 0},
			{"silent", 6, []source.Observation{nobody}, GapNone, 0},
			{"lame", 12, []source.Observation{lame}, GapNone, 0},
			{"silent again", 18, []source.Observation{nobody, unknown(source.SourceServers, source.CauseTimeout)}, GapNone, 0},
			{"lame again", 24, []source.Observation{lame}, GapLame, 24},
			{"silence ends it not", 48, []source.Observation{home(), nobody, mine, rdap()}, GapLame, 24},
		}},
		{"moved within six hours", home(), []look{
			{"lame", 0, []source.Observation{lame}, GapNone, 0},
			{"moved", 5, []source.Observation{moved(), rdap(), own(source.Served, movedNS)}, GapNone, 0},
			{"the old ones stay lame", 30, []source.Observation{lame}, GapNone, 0},
		}},
		{"half of the servers", home(), []look{
			{"half", 0, []source.Observation{own(source.Served, homeNS, homeNS[0])}, GapNone, 0},
			{"half", 24, []source.Observation{own(source.Served, homeNS, homeNS[0])}, GapNone, 0},
		}},
		{"claimed where zones are given away", giving, []look{
			{"lame", 0, []source.Observation{given(source.Lame)}, GapNone, 0},
			{"again", 6, []source.Observation{giving, given(source.Lame)}, GapLame, 6},
			{"claimed, with another MX", 5 * day, []source.Observation{giving, given(source.Served), theirs, rdap()}, GapLame, 6},
			{"with the MX as it was", 6 * day, []source.Observation{giving, given(source.Served), mine, rdap()}, GapLame, 6},
			{"a month later", 40 * day, []source.Observation{giving, given(source.Served), mine, rdap()}, GapLame, 6},
			{"lame once more", 50 * day, []source.Observation{giving, given(source.Lame)}, GapLame, 6},
			{"a new gap", 51 * day, []source.Observation{giving, given(source.Lame)}, GapLame, 51 * day},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fed(NewState(instant(-2*day)), watched, -day, []source.Observation{c.home, rdap(), mine})
			for _, l := range c.looks {
				s = fed(s, watched, l.at, l.obs)
				want := (map[bool]Instant{true: instant(l.since)})[l.want != GapNone]
				if s.Control.Gap != l.want || s.Control.Since != want {
					t.Errorf("%s: gap %q since %s, want %q since %s", l.name, s.Control.Gap, s.Control.Since, l.want, want)
				}
			}
		})
	}
}

// The holder's sign-in opens what was given away, and nothing while it is not served.
func TestUnservedZoneOpensByItsHolder(t *testing.T) {
	giving := ns(givingNS)
	s := fed(NewState(instant(-2*day)), watched, -day, []source.Observation{giving, rdap(), mx("mx.provider.example")})
	s = fed(s, watched, 0, []source.Observation{own(source.Lame, givingNS, givingNS...)})
	if giver, lame := s.Lame(); giver != "Digital Ocean" || !lame {
		t.Fatalf("given away by %q: %+v", giver, s.Service)
	}
	s = fed(s, watched, 6, []source.Observation{giving, own(source.Lame, givingNS, givingNS...)})
	if got := GapSentence(s); !strings.Contains(got, "not served; all was well on 2026-03-01 12:00 UTC") || !strings.Contains(got, "whoever asked Digital Ocean for the zone got it") {
		t.Error(got)
	}
	if got := Sentence(s, Verdict{}); !strings.Contains(got, "none of its name servers served it on 2026-03-01 18:00 UTC (first seen 2026-03-01 12:00 UTC), and anybody can claim this zone at Digital Ocean") {
		t.Error(got)
	}
	claimed := fed(s, watched, 12, []source.Observation{own(source.Served, givingNS)})
	for want, s := range map[string]State{
		"no name server serves it: anybody can claim this zone at Digital Ocean":                     s,
		"no name server served it for a while: somebody may have claimed this zone at Digital Ocean": claimed,
		"no name server serves it": fed(ours(t, watched, rdap()), watched, 0, []source.Observation{lame}),
		"":                         ours(t, watched, rdap()),
	} {
		if got := Unserved(s); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
	signed := with(watched, func(f *Facts) { f.Oldest = instant(10) })
	if still := fed(s, signed, 12, []source.Observation{giving, own(source.Lame, givingNS, givingNS...), rdap()}); still.Control.Gap != GapLame {
		t.Errorf("verified while nobody serves it: %+v", still.Control)
	}
	if open := fed(s, signed, 12, []source.Observation{own(source.Served, givingNS), giving, rdap()}); open.Control.Since != 0 {
		t.Errorf("verified since: %+v", open.Control)
	}
}

func TestWhenOwnServersAreAsked(t *testing.T) {
	s := ours(t, watched, rdap())
	if s.ServiceDue(instant(0)) || s.NextLook(0, instant(0)) != 0 {
		t.Error("a zone that was never heard to be lame is due")
	}
	if well := fed(s, watched, 0, []source.Observation{served, nobody}); well != s {
		t.Errorf("a zone that is served costs a write: %+v", well)
	}
	once := fed(s, watched, 0, []source.Observation{lame})
	for _, c := range []struct {
		at, next float64
		due      bool
	}{{0, 6, false}, {5, 6, false}, {6, 12, true}, {30, 36, true}} {
		if got := once.NextLook(0, instant(c.at)); got != instant(c.next) || once.ServiceDue(instant(c.at)) != c.due {
			t.Errorf("after %v hours: due %t, next look %s", c.at, once.ServiceDue(instant(c.at)), got)
		}
	}
	if at, why := Next(once, watched, instant(1)); at != instant(6) || !strings.Contains(why, "its own name servers") {
		t.Errorf("%s: %s", at, why)
	}
	twice := fed(once, watched, 6, []source.Observation{home(), lame})
	if got := twice.NextLook(0, instant(6)); got != instant(7) || twice.openingDue() != 0 {
		t.Errorf("closed: next look %s, opening due %s", got, twice.openingDue())
	}
	if got := twice.NextLook(0, instant(6+61*day)); got != 0 || !twice.ServiceDue(instant(6+61*day)) {
		t.Errorf("closed for two months: next look %s; the daily round asks its servers: %t", got, twice.ServiceDue(instant(6+61*day)))
	}
	if out := fed(once, watched, 6, []source.Observation{gone()}); out.ServiceDue(instant(12)) || out.Service != (Service{}) {
		t.Errorf("out of the zone: %+v", out.Service)
	}
	if !Changed(s, once) || !News(s, once) || !Changed(once, fed(once, watched, 3, []source.Observation{lame})) {
		t.Error("what was heard of a lame zone is not kept")
	}
}
