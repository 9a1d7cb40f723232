package lifecycle

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

func TestBaselineAtSpreads(t *testing.T) {
	const names, days = 20_000, 5
	first := instant(0)
	perDay := make([]int, days)
	for i := range names {
		at := BaselineAt(fmt.Sprintf("name-%d.example", i), first, days)
		if at < first || at >= first.Add(days*24*time.Hour) {
			t.Fatalf("name %d at %s", i, at)
		}
		perDay[at.Since(first)/(24*time.Hour)]++
	}
	for d, n := range perDay {
		if n < names/days*9/10 || n > names/days*11/10 {
			t.Errorf("day %d has %d of %d names", d, n, names)
		}
	}
	if once, again := BaselineAt("a.example", first, days), BaselineAt("a.example", first, days); once != again {
		t.Error("not the same twice")
	}
	for _, none := range []int{0, -3} {
		if at := BaselineAt("a.example", first, none); at != first {
			t.Errorf("%d days: %s", none, at)
		}
	}
}

// TestRegistryAtFollowsTheAddresses: no domain with more addresses comes after one with fewer, and one address more or less
// of two lists brings no burst.
func TestRegistryAtFollowsTheAddresses(t *testing.T) {
	const names, days = 2000, 14
	first := instant(0)
	latest := first
	for _, n := range []int{1_000_000, 1000, 50, 7, 3, 2, 1} {
		before, perDay := latest, make([]int, days)
		for i := range names {
			at := RegistryAt(fmt.Sprintf("name-%d.example", i), first, days, n)
			if at < before || at >= first.Add(days*24*time.Hour) {
				t.Fatalf("%d addresses: at %s, fewer at %s", n, at, before)
			}
			latest = max(latest, at)
			perDay[at.Since(first)/(24*time.Hour)]++
		}
		if n == 1 && slices.Max(perDay) > names/days*3/2 {
			t.Errorf("by day: %v", perDay)
		}
	}
	if latest < first.Add((days-1)*24*time.Hour) {
		t.Errorf("the last is at %s", latest)
	}
	for _, days := range []int{0, -3} {
		if at := RegistryAt("a.example", first, days, 1); at != first {
			t.Errorf("%d days: %s", days, at)
		}
	}
	if RegistryAt("a.example", first, days, 0) != RegistryAt("a.example", first, days, 1) {
		t.Error("none known is not as one")
	}
}

func TestNearExpiry(t *testing.T) {
	const year = 365 * day
	for _, c := range []struct {
		name    string
		expires Instant
		want    bool
	}{
		{"unknown", 0, false},
		{"today", instant(0), true},
		{"in 50 days", instant(50 * day), true},
		{"in 51 days", instant(51 * day), false},
		{"50 days ago", instant(-50 * day), true},
		{"51 days ago", instant(-51 * day), false},
		{"two years ago", instant(-2 * year), false},
		{"in a year: renewed today", instant(year), true},
		{"in a year less 50 days: the grace period is over", instant(year - 50*day), true},
		{"in a year less 51 days", instant(year - 51*day), false},
		{"in half a year", instant(year / 2), false},
		{"in nine years and 20 days", instant(9*year + 20*day), true},
		{"in nine years and 100 days", instant(9*year + 100*day), false},
		{"in the year 294247", Instant(math.MaxInt64), true}, // beyond what a Duration holds: any answer, but an answer
	} {
		if got := nearExpiry(c.expires, instant(0)); got != c.want && c.expires != math.MaxInt64 {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestNextRDAP(t *testing.T) {
	far := State{Phase: Active, Reg: WordRegistered, Deleg: DelegationHome, Expires: instant(200 * day)}
	change := func(f func(*State)) State { s := far; f(&s); return s }
	path := func(days int) TLD { return TLD{Release: time.Duration(days) * 24 * time.Hour} }
	shown := TLD{Described: true, OffInDeletion: true, Shows: true, Release: 20 * 24 * time.Hour}
	lost := func(since float64, reg Word) State {
		return State{Phase: Released, Reg: reg, RegAt: instant(0), Deleg: DelegationGone, Control: Continuity{Since: instant(since), Gap: GapReleased, Lost: true}}
	}
	for _, c := range []struct {
		name string
		s    State
		tld  TLD
		want time.Duration
	}{
		{"quiet", far, path(95), Rarely},
		{"quiet, 35 days from lapse to release", far, path(35), 33 * 24 * time.Hour},
		{"quiet, 5 days from lapse to release", far, path(5), 3 * 24 * time.Hour},
		{"quiet, released within two days", far, path(2), Daily},
		{"quiet, the path is not known", far, TLD{}, Rarely},
		{"neither path nor expiry is known", change(func(s *State) { s.Expires = 0 }), TLD{}, Weekly},
		{"quiet, and its zone shows a lapse", far, shown, Rarely},
		{"near expiry, and its zone shows a lapse", change(func(s *State) { s.Expires = instant(9 * day) }), shown, Rarely},
		{"near expiry, the path is not known", change(func(s *State) { s.Expires = instant(9 * day) }), TLD{}, Weekly},
		{"lost a week ago", lost(-7*day, WordAbsent), shown, Weekly},
		{"lost six days ago", lost(-6*day, WordAbsent), shown, Daily},
		{"lost, and the zone changed since the registry spoke", func() State { s := lost(-9*day, WordAbsent); s.DelegSince = instant(1); return s }(), shown, Daily},
		{"expiry unknown", change(func(s *State) { s.Expires = 0 }), path(95), Rarely},
		{"near expiry", change(func(s *State) { s.Expires = instant(9 * day) }), path(95), Weekly},
		{"near expiry, 5 days from lapse to release", change(func(s *State) { s.Expires = instant(9 * day) }), path(5), 3 * 24 * time.Hour},
		{"near its anniversary", change(func(s *State) { s.Expires = instant(365 * day) }), path(95), Weekly},
		{"near the registrar's expiry", change(func(s *State) { s.RegistrarExpires = instant(-9 * day) }), path(95), Weekly},
		{"in grace", change(func(s *State) { s.Phase = Grace }), path(95), Daily},
		{"near expiry and gone", change(func(s *State) { s.Expires, s.Deleg = instant(9*day), DelegationGone }), path(95), Daily},
	} {
		if got := nextRDAP(c.s, c.tld, instant(0)).Since(instant(0)); got != c.want {
			t.Errorf("%s: in %s, want %s", c.name, got, c.want)
		}
	}
}

func TestNextRDAPAfterVisit(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Facts
		obs  source.Observation
		want bool
	}{
		{"registry's answer", com, rdap(), true},
		{"registry's 404", com, free(), true},
		{"a 404 without authority", io, free(), false},
		{"registry unknown", com, unknown(source.SourceRDAP, source.CauseTimeout), false},
		{"delegation", com, home(), false},
		{"status where there is a registry", com, status("active"), false},
		{"status where there is none", de, status("active"), true},
		{"status unknown", de, unknown(source.SourceStatus, source.CauseServerError), false},
	} {
		s := NewState(instant(-day))
		s, _ = walk(s, c.f, visit(0, home(), c.obs))
		if got := s.NextRDAP > instant(0); got != c.want {
			t.Errorf("%s: next RDAP %s", c.name, s.NextRDAP)
		}
	}
}

func TestTrouble(t *testing.T) {
	quiet := State{Phase: Active, Reg: WordRegistered, Deleg: DelegationHome, NS: "a", Home: "a"}
	if quiet.Trouble() {
		t.Error("a quiet domain")
	}
	for name, f := range map[string]func(*State){
		"grace": func(s *State) { s.Phase = Grace }, "redemption": func(s *State) { s.Phase = Redemption },
		"pending delete": func(s *State) { s.Phase = PendingDelete }, "released": func(s *State) { s.Phase = Released },
		"on hold": func(s *State) { s.Reg = WordOnHold }, "inactive": func(s *State) { s.Reg = WordInactive },
		"restore": func(s *State) { s.Reg = WordRestore }, "word redemption": func(s *State) { s.Reg = WordRedemption },
		"word pending delete": func(s *State) { s.Reg = WordPendingDelete }, "word absent": func(s *State) { s.Reg = WordAbsent },
		"gone": func(s *State) { s.Deleg = DelegationGone }, "parked": func(s *State) { s.Deleg, s.NS = DelegationParked, "p" },
	} {
		s := quiet
		if f(&s); !s.Trouble() {
			t.Errorf("%s is no trouble", name)
		}
	}
	for name, f := range map[string]func(*State){
		"retry": func(s *State) { s.RetryAt = 1 }, "auto renew": func(s *State) { s.Reg = WordAutoRenew }, "never asked": func(s *State) { s.Reg = WordNone },
		"moved": func(s *State) { s.Deleg, s.NS = DelegationMoved, "m" }, "first seen parked": func(s *State) { s.Deleg, s.Home = DelegationParked, "" },
		"changed hands": func(s *State) { s.Phase = ChangedHands }, "re-registered": func(s *State) { s.Phase = ReRegistered },
	} {
		s := quiet
		if f(&s); s.Trouble() {
			t.Errorf("%s is trouble", name)
		}
	}
}

func TestQuestions(t *testing.T) {
	now := instant(0)
	quiet := State{Phase: Active, Deleg: DelegationHome, NS: "a", Home: "a", Reg: WordRegistered, RegAt: instant(-day), NextRDAP: instant(day)}
	set := func(f func(*State)) State { s := quiet; f(&s); return s }
	alone := verdict(Redemption, Confirm, Medium, ReasonDeletedAlone)
	for _, c := range []struct {
		name          string
		before, after State
		f             Facts
		v             Verdict
		asked         source.Source
		look          bool
		want          []source.Source
	}{
		{name: "quiet", after: quiet, f: com, asked: source.SourceDelegation},
		{name: "a second look asks all", after: quiet, f: com, asked: source.SourceDelegation, look: true, want: []source.Source{source.SourceRDAP}},
		{name: "RDAP due", after: set(func(s *State) { s.NextRDAP = now }), f: com, asked: source.SourceDelegation, want: []source.Source{source.SourceRDAP}},
		{name: "RDAP due in a second", after: set(func(s *State) { s.NextRDAP = now + 1 }), f: com, asked: source.SourceDelegation},
		{name: "tripped: gone", after: set(func(s *State) { s.Deleg, s.NS = DelegationGone, "" }), f: com, asked: source.SourceDelegation, want: []source.Source{source.SourceRDAP}},
		{name: "tripped: other name servers", after: set(func(s *State) { s.NS, s.Home = "b", "b" }), f: com, asked: source.SourceDelegation, want: []source.Source{source.SourceRDAP}},
		{name: "tripped: other word, same name servers", before: set(func(s *State) { s.Deleg = DelegationMoved }), after: quiet, f: com, asked: source.SourceDelegation, want: []source.Source{source.SourceRDAP}},
		{name: "first answer is no trip", before: set(func(s *State) { s.Deleg, s.NS = DelegationUnknown, "" }), after: quiet, f: com, asked: source.SourceDelegation},
		{name: "trouble, asked a day ago", before: set(func(s *State) { s.Phase = Grace }), after: set(func(s *State) { s.Phase = Grace }), f: com, asked: source.SourceDelegation, want: []source.Source{source.SourceRDAP}},
		{name: "trouble, asked an hour ago", after: set(func(s *State) { s.Phase, s.RegAt = Grace, instant(-1) }), f: com, asked: source.SourceDelegation},
		{name: "trouble, never asked", after: set(func(s *State) { s.Phase, s.RegAt = Grace, 0 }), f: com, asked: source.SourceDelegation, want: []source.Source{source.SourceRDAP}},
		{name: "first seen parked, never asked", before: set(func(s *State) { s.Deleg = DelegationUnknown }), after: set(func(s *State) { s.Deleg, s.Home, s.RegAt = DelegationParked, "", 0 }), f: com,
			asked: source.SourceDelegation, want: []source.Source{source.SourceRDAP}},
		{name: "first seen parked, asked", before: set(func(s *State) { s.Deleg = DelegationParked }), after: set(func(s *State) { s.Deleg, s.Home = DelegationParked, "" }), f: com, asked: source.SourceDelegation},
		{name: "first seen parked, asked in vain", before: set(func(s *State) { s.Deleg = DelegationParked }), after: set(func(s *State) { s.Deleg, s.Home, s.RegAt, s.Silent = DelegationParked, "", 0, 1 }), f: com, asked: source.SourceDelegation},
		{name: "lame, never asked", after: set(func(s *State) { s.Service.Serves, s.RegAt = source.Lame, 0 }), f: com, asked: source.SourceServers, want: []source.Source{source.SourceRDAP}},
		{name: "lame, asked", after: set(func(s *State) { s.Service.Serves = source.Lame }), f: com, asked: source.SourceServers},
		{name: "lame, nobody to ask", after: set(func(s *State) { s.Service.Serves, s.RegAt = source.Lame, 0 }), f: de, asked: source.SourceServers},
		{name: "served, never asked", after: set(func(s *State) { s.RegAt = 0 }), f: com, asked: source.SourceServers},
		{name: "due, no RDAP", after: quiet, f: de, asked: source.SourceDelegation, look: true, want: []source.Source{source.SourceStatus}},
		{name: "due, supplemental", after: quiet, f: io, asked: source.SourceDelegation, look: true, want: []source.Source{source.SourceRDAP}},
		{name: "after RDAP: quiet", after: quiet, f: com, asked: source.SourceRDAP, look: true},
		{name: "after RDAP: deleted by its word alone", after: quiet, f: com, v: alone, asked: source.SourceRDAP, want: []source.Source{source.SourceStatus}},
		{name: "after a supplemental server: home", after: quiet, f: io, asked: source.SourceRDAP},
		{name: "after a supplemental server: gone", after: set(func(s *State) { s.Deleg = DelegationGone }), f: io, asked: source.SourceRDAP, want: []source.Source{source.SourceStatus}},
		{name: "after IANA's server: gone", after: set(func(s *State) { s.Deleg = DelegationGone }), f: com, asked: source.SourceRDAP},
		{name: "after status", after: quiet, f: com, v: alone, asked: source.SourceStatus, look: true},
		{name: "after mail", after: quiet, f: com, asked: source.SourceMail, look: true},
	} {
		if c.before == (State{}) {
			c.before = quiet
		}
		if got := Questions(c.before, c.after, c.f, c.v, now, c.asked, c.look); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParking(t *testing.T) {
	for _, c := range []struct {
		ns   []string
		want bool
	}{
		{nil, false},
		{[]string{"ns1.sedoparking.com"}, true},
		{[]string{"sedoparking.com"}, true},
		{[]string{"ns1.sedoparking.com", "ns2.parkingcrew.net"}, true},
		{[]string{"ns1.sedoparking.com", "ns1.example.net"}, false},
		{[]string{"ns1.notsedoparking.com"}, false},
		{[]string{"ns1.expired.uniregistry-dns.com"}, true},
		{[]string{"ns1.uniregistry-dns.com"}, false},
		{[]string{""}, false},
	} {
		if got := Parking(c.ns); got != c.want {
			t.Errorf("%v: %t", c.ns, got)
		}
	}
	for _, d := range parkingDomains() {
		if d != strings.ToLower(d) || strings.ContainsAny(d, " \t#") || !strings.Contains(d, ".") {
			t.Errorf("parking.txt: %q is no canonical domain", d)
		}
	}
	if len(parkingDomains()) < 10 {
		t.Errorf("parking.txt holds %d domains", len(parkingDomains()))
	}
}

func TestSentence(t *testing.T) {
	reg := State{Reg: WordRedemption, RegAt: instant(0), RegServer: "rdap.example"}
	set := func(f func(*State)) State { s := State{DelegAt: instant(1), DelegSince: instant(0)}; f(&s); return s }
	for _, c := range []struct {
		name string
		s    State
		v    Verdict
		want string
	}{
		{"nothing", State{}, Verdict{}, "No source gave an answer yet."},
		{"registry", reg, Verdict{}, "The registry (rdap.example) said `redemption period` on 2026-03-01 12:00 UTC."},
		{"gone", set(func(s *State) { s.Deleg = DelegationGone }), Verdict{},
			"The delegation was gone on 2026-03-01 13:00 UTC (first seen gone 2026-03-01 12:00 UTC)."},
		{"parked", set(func(s *State) { s.Deleg = DelegationParked }), Verdict{},
			"The delegation led to parking name servers on 2026-03-01 13:00 UTC (first seen 2026-03-01 12:00 UTC)."},
		{"moved", set(func(s *State) { s.Deleg = DelegationMoved }), Verdict{},
			"The delegation led to new name servers on 2026-03-01 13:00 UTC (first seen 2026-03-01 12:00 UTC)."},
		{"home", set(func(s *State) { s.Deleg = DelegationHome }), Verdict{}, "It was delegated as known on 2026-03-01 13:00 UTC."},
		{"status", State{Mkt: WordPendingDelete, MktAt: instant(2)}, Verdict{}, "The status API said `deleting` on 2026-03-01 14:00 UTC."},
		{"status expiring, to be confirmed", State{Mkt: WordRedemption, MktAt: instant(2)}, Verdict{Phase: Redemption, Action: Confirm, Confidence: Low, Reason: ReasonStatusDeleted},
			"The status API said `expiring` on 2026-03-01 14:00 UTC."},
		{"status inactive", State{Mkt: WordAbsent, MktAt: instant(2)}, Verdict{}, "The status API said `inactive` on 2026-03-01 14:00 UTC."},
		{"status active", State{Mkt: WordRegistered, MktAt: instant(2)}, Verdict{}, "The status API said `registered` on 2026-03-01 14:00 UTC."},
		{"re-registered", State{Registered: instant(0)}, Verdict{Phase: ReRegistered, Reason: ReasonReviewNew},
			"The registration dates from 2026-03-01 12:00 UTC."},
		{"re-registered after a lapse", State{Registered: instant(24), LapseAt: instant(0), Worst: PendingDelete}, Verdict{Phase: ReRegistered, Reason: ReasonReRegistered},
			"The registration dates from 2026-03-02 12:00 UTC; a lapse (pending delete) had been seen since 2026-03-01 12:00 UTC."},
		{"re-registered, nobody says when", State{}, Verdict{Phase: ReRegistered}, "No source gave an answer yet."},
		{"grace, by the registrar's date", State{RegAt: instant(48), Expires: instant(240), RegistrarExpires: instant(0)}, Verdict{Phase: Grace, Reason: ReasonGraceOnce},
			"It had expired on 2026-03-01 12:00 UTC."},
		{"grace, expired when it was asked", State{RegAt: instant(0), Expires: instant(0)}, Verdict{Phase: Grace}, "It had expired on 2026-03-01 12:00 UTC."},
		{"grace, no date", State{RegAt: instant(48)}, Verdict{Phase: Grace, Reason: ReasonGraceTwice}, "No source gave an answer yet."},
		{"changed hands", State{Interim: instant(0)}, Verdict{Phase: ChangedHands, Reason: ReasonReviewHands},
			"After its expiry it had been parked or out of the zone on 2026-03-01 12:00 UTC."},
		{"new control", State{ControlAt: instant(0)}, Verdict{Phase: ChangedHands, Reason: ReasonNewControl},
			"Another registrar, or a transfer, was seen on 2026-03-01 12:00 UTC."},
		{"mail host", State{MailLapsed: "mail.example"}, Verdict{Reason: ReasonMailHost}, "Its mail depends on mail.example, which lapsed."},
		{"mail host beside the point", State{MailLapsed: "mail.example"}, Verdict{Reason: ReasonDelegated}, "No source gave an answer yet."},
		{"two", State{Reg: WordAbsent, RegServer: "r.example", Deleg: DelegationGone}, Verdict{},
			"The registry (r.example) said `not found` on unknown; the delegation was gone on unknown (first seen gone unknown)."},
	} {
		if got := Sentence(c.s, c.v); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// Every verdict on which somebody may have to act says what it means.
func TestMeaning(t *testing.T) {
	for reason, phase := range map[Reason]Phase{
		ReasonGraceOnce: Grace, ReasonGraceTwice: Grace, ReasonRestore: Redemption, ReasonDeleted: Redemption, ReasonDeletedAlone: PendingDelete, ReasonStatusDeleted: Released,
		ReasonReleased: Released, ReasonReRegistered: ReRegistered, ReasonReviewNew: ReRegistered, ReasonReviewHands: ChangedHands, ReasonNewControl: ChangedHands,
		ReasonOutOfService: Active, ReasonStillThere: Redemption, ReasonFreeButThere: Active, ReasonQuarantine: Released, ReasonUndescribed: Redemption,
		ReasonOneWitness: Active, ReasonUnknownSource: Active,
	} {
		if got := Meaning(Verdict{Phase: phase, Reason: reason}); !strings.HasSuffix(got, ".") {
			t.Errorf("%s: %q", reason, got)
		}
	}
	if got := Meaning(Verdict{Phase: Released, Action: Confirm, Confidence: Low, Reason: ReasonStatusDeleted}); !strings.HasPrefix(got, "A second look must agree") {
		t.Errorf("to be confirmed: %q", got)
	}
	for _, quiet := range []Reason{ReasonDelegated, ReasonRegistered, ReasonDelegatedOnly, ReasonAutoRenew, ReasonMailHost, ""} {
		if got := Meaning(Verdict{Phase: Active, Reason: quiet}); got != "" {
			t.Errorf("%s: %q", quiet, got)
		}
	}
}

// The rule of confidence, written out.
func TestConfidence(t *testing.T) {
	for e, want := range map[evidence]Confidence{
		{}:                                        NoConfidence,
		{sign: true, again: true}:                 NoConfidence,
		{registry: true}:                          Medium,
		{registry: true, again: true}:             Medium,
		{registry: true, other: true}:             High,
		{other: true}:                             Low,
		{other: true, again: true}:                Medium,
		{registry: true, sign: true}:              Low,
		{other: true, sign: true}:                 Low,
		{registry: true, other: true, sign: true}: Low,
		{registry: true, other: true, sign: true, again: true}: Medium,
		{against: true}: Contradiction,
		{registry: true, other: true, sign: true, again: true, against: true}: Contradiction,
	} {
		if got := e.confidence(); got != want {
			t.Errorf("%+v: %s, want %s", e, got, want)
		}
	}
}

func TestChangedAndNews(t *testing.T) {
	quiet := known(t, com)
	moment := func(f func(*State)) State { s := quiet; f(&s); return s }
	next, _ := walk(quiet, com, visit(day, home()))
	if Changed(quiet, next) || News(quiet, next) {
		t.Error("a quiet look is a change")
	}
	trouble := moment(func(s *State) { s.Deleg = DelegationGone })
	later := trouble
	for _, c := range []struct {
		after  time.Duration
		stored bool
	}{{6 * time.Hour, false}, {repeated - time.Second, false}, {repeated, true}} {
		if later.DelegAt = trouble.DelegAt.Add(c.after); Changed(trouble, later) != c.stored {
			t.Errorf("in trouble, the time of the newest answer is evidence, stored after %s: %t", c.after, !c.stored)
		}
	}
	if first := moment(func(s *State) { s.Deleg, s.DelegAt = DelegationGone, 0 }); !Changed(first, trouble) {
		t.Error("in trouble, the first answer is not stored")
	}
	if News(trouble, later) {
		t.Error("the same answer again is news")
	}
	for name, f := range map[string]func(*State){
		"phase": func(s *State) { s.Phase = Grace }, "delegation": func(s *State) { s.Deleg = DelegationMoved }, "name servers": func(s *State) { s.NS = "x" },
		"registry": func(s *State) { s.Reg = WordOnHold }, "status": func(s *State) { s.Mkt = WordAbsent }, "registered": func(s *State) { s.Registered++ },
		"expires": func(s *State) { s.Expires++ }, "registrar": func(s *State) { s.Registrar = "1" },
	} {
		if s := moment(f); !News(quiet, s) || !Changed(quiet, s) {
			t.Errorf("%s: news %t, changed %t", name, News(quiet, s), Changed(quiet, s))
		}
	}
	heard := func(s *State) { s.Control.MXAt++ }
	if s := moment(heard); Changed(quiet, s) {
		t.Error("the same MX of a quiet domain, heard again, is stored")
	}
	away := moment(func(s *State) { s.Control.Away = 1 })
	if back := away; !Changed(away, func() State { heard(&back); return back }()) {
		t.Error("of one that is away, when its MX was heard is not stored: it would never be back")
	}
	if s := moment(func(s *State) { s.RegAt++ }); News(quiet, s) || !Changed(quiet, s) {
		t.Error("another answer of the registry is stored, and no news")
	}
}

func TestOrders(t *testing.T) {
	for i, p := range Phases() {
		if p.Risk() != i {
			t.Errorf("%s has risk %d", p, p.Risk())
		}
	}
	if Phase("").Risk() != 0 || Phase("rubbish").Risk() != 0 {
		t.Error("an unknown phase has a risk")
	}
	for i, a := range []Action{None, Watch, Confirm, Hold, Unverify} {
		if a.Weight() != i {
			t.Errorf("%s weighs %d", a, a.Weight())
		}
	}
	if Action("rubbish").Weight() != 0 {
		t.Error("an unknown action weighs something")
	}
}

func TestInstant(t *testing.T) {
	if At(time.Time{}) != 0 || !Instant(0).Time().IsZero() || Instant(0).Add(time.Hour) != 0 || Instant(0).String() != "unknown" {
		t.Error("the unknown instant")
	}
	i := At(t0.Add(999 * time.Millisecond).In(time.FixedZone("", 7200)))
	if !i.Time().Equal(t0) || i.Time().Location() != time.UTC || i.String() != "2026-03-01 12:00 UTC" {
		t.Errorf("%s", i)
	}
	if i.Add(90*time.Minute).Since(i) != 90*time.Minute || i.Since(i+3600) != -time.Hour {
		t.Error("distance")
	}
	if i.Since(0) != 0 || Instant(0).Since(i) != 0 {
		t.Error("distance from unknown")
	}
	const first, last = math.MinInt64, math.MaxInt64
	for _, c := range []struct {
		i, j Instant
		want time.Duration
	}{{last, 1, last}, {last, first, last}, {1, last, first}, {first, last, first}, {first, 1, first}, {last, last, 0}, {1, first, last}} {
		if got := c.i.Since(c.j); got != c.want {
			t.Errorf("%d since %d: %d", int64(c.i), int64(c.j), got)
		}
	}
}

func TestRegistryWord(t *testing.T) {
	for _, c := range []struct {
		statuses string
		own      Words
		want     Word
	}{
		{"", "", WordRegistered}, {"active", "", WordRegistered}, {"something new", "", WordRegistered},
		{"pending restore,redemption period,pending delete", "", WordRestore},
		{"pending delete,redemption period,client hold", "", WordRedemption},
		{"pending delete,client hold,auto renew period", "", WordPendingDelete},
		{"auto renew period,client hold,inactive", "", WordAutoRenew},
		{"client hold,inactive", "", WordOnHold}, {"server hold", "", WordOnHold}, {"inactive", "", WordInactive},
		{"renew period", "", WordRegistered}, {"pending transfer", "", WordRegistered},
		{"pending delete", TLDOf("uk").Words, WordRedemption}, {"pending delete", TLDOf("ee").Words, WordOnHold},
		{"client hold,suspended", TLDOf("jp").Words, WordRedemption}, {"to be suspended", TLDOf("jp").Words, WordOnHold},
		{"suspended", "", WordRegistered}, {"suspended,in quarantine", TLDOf("nl").Words, WordRedemption},
	} {
		if got := registryWord(strings.Split(c.statuses, ","), c.own); got != c.want {
			t.Errorf("%s: %s", c.statuses, got)
		}
	}
}

func TestMarketWord(t *testing.T) {
	for _, c := range []struct {
		tokens string
		want   Word
	}{
		{"", WordUndecided}, {"active", WordRegistered}, {"active zone tld", WordRegistered}, {"inactive active", WordRegistered},
		{"undelegated active", WordRegistered}, {"undelegated inactive", WordAbsent}, {"inactive", WordAbsent}, {"undelegated", WordUndecided},
		{"unknown", WordUndecided}, {"active expiring", WordRedemption}, {"active deleting", WordPendingDelete}, {"active parked", WordRegistered},
		{"marketed", WordRegistered}, {"priced", WordRegistered}, {"transferable", WordRegistered}, {"inactive premium", WordUndecided},
		{"active surprise", WordUndecided}, {"inactive reserved", WordUndecided}, {"suffix zone tld", WordUndecided},
	} {
		if got := marketWord(strings.Fields(c.tokens)); got != c.want {
			t.Errorf("%s: %q", c.tokens, got)
		}
	}
}

func TestServerHost(t *testing.T) {
	for in, want := range map[string]string{
		"https://rdap.verisign.com/com/v1/": "rdap.verisign.com", "https://r.example:8443/": "r.example", "fastly": "fastly", "": "", "http://[::1": "http://[::1",
	} {
		if got := serverHost(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// Answers that carry nothing are no witnesses.
func TestEmptyAnswersSayNothing(t *testing.T) {
	for name, o := range map[string]source.Observation{
		"delegation": {Source: source.SourceDelegation, Outcome: source.Observed}, "rdap": {Source: source.SourceRDAP, Outcome: source.Observed}, "status": {Source: source.SourceStatus, Outcome: source.Observed},
		"mail":          {Source: source.SourceMail, Outcome: source.Observed, Mail: &source.Mail{}},
		"absent status": {Source: source.SourceStatus, Outcome: source.Absent}, "absent mail": {Source: source.SourceMail, Outcome: source.Absent},
	} {
		if _, v := walk(known(t, com), com, visit(0, o)); v.Action != Confirm || v.Confidence != NoConfidence {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
