package lifecycle

import (
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

func TestTLDOf(t *testing.T) {
	const days = 24 * time.Hour
	gtld := TLD{Described: true, OffInDeletion: true, Shows: true, FreeWhenAbsent: true, Ask: source.SourceRDAP, Redemption: 30 * days, Release: 35 * days}
	for suffix, want := range map[string]TLD{
		"com": gtld, "shop": gtld, "x": gtld, "cc": gtld,
		"co.uk":  {Described: true, OffInDeletion: true, Shows: true, Ask: source.SourceRDAP, Redemption: 60 * days, Release: 95 * days, Words: "pending delete = redemption period"},
		"ru":     {Described: true, Ask: source.SourceStatus, Redemption: 30 * days, Release: 30 * days},
		"museum": {OffInDeletion: true, Ask: source.SourceRDAP}, "edu": {OffInDeletion: true, Ask: source.SourceStatus},
		"ac.uk": {}, "xx": {}, "xn--vermgensberatung-pwb": {}, "": {},
	} {
		if got := TLDOf(suffix); got != want {
			t.Errorf("%s: %+v, want %+v", suffix, got, want)
		}
	}
	if got := TLDOf("xn--p1ai"); got != TLDOf("ru") {
		t.Errorf("xn--p1ai: %+v", got)
	}
}

func TestTLDFileIsSound(t *testing.T) {
	table, err := parseTLDs(tldList)
	if err != nil {
		t.Fatal(err)
	}
	for _, tld := range strings.Fields("* io co me de eu nl be uk us it ch se jp ru cn fr") {
		if !table[tld].Described {
			t.Errorf("%s is not described", tld)
		}
	}
	for suffix, d := range table {
		if d.Described && (d.Redemption == 0 || d.Release < d.Redemption) {
			t.Errorf("%s: redemption of %s, release after %s", suffix, d.Redemption, d.Release)
		}
		if !d.Described && (d.FreeWhenAbsent || d.Release != 0) {
			t.Errorf("%s is not described, yet %+v", suffix, d)
		}
	}
}

func TestTLDFileIsReadStrictly(t *testing.T) {
	const good = "xx | status | held | 30 | yes | 35 | expired = on hold | somewhere | 2026-01-01"
	if table, err := parseTLDs("# comment\n\n" + good + "\n"); err != nil || len(table) != 1 || table["xx"].Words != "expired = on hold" {
		t.Fatalf("%+v, %v", table, err)
	}
	for name, bad := range map[string]string{
		"a column too few": strings.Replace(good, "| yes ", "", 1), "no suffix": strings.TrimPrefix(good, "xx"),
		"no source": strings.Replace(good, "somewhere", "", 1), "no date": strings.Replace(good, "2026-01-01", "2026", 1),
		"another source to ask": strings.Replace(good, "status", "whois", 1), "another 404": strings.Replace(good, "held", "maybe", 1),
		"another off": strings.Replace(good, "yes", "", 1), "no number of days": strings.Replace(good, "30", "a month", 1),
		"negative days": strings.Replace(good, "35", "-1", 1), "too many days": strings.Replace(good, "35", "512", 1),
		"no meaning": strings.Replace(good, "= on hold", "", 1), "another meaning": strings.Replace(good, "on hold", "gone", 1),
		"status in capitals": strings.Replace(good, "expired", "Expired", 1), "no status": strings.Replace(good, "expired", "", 1),
		"listed twice": good + "\n" + good, "twice in a line": strings.Replace(good, "xx", "xx xx", 1),
		"capitals": strings.Replace(good, "xx", "XX", 1), "a dot before": strings.Replace(good, "xx", ".xx", 1),
	} {
		if table, err := parseTLDs("# comment\n" + bad); err == nil || table != nil || !strings.Contains(err.Error(), "tld.txt line ") {
			t.Errorf("%s: %+v, %v", name, table, err)
		}
	}
}

// A supplemental server that the data says not to ask is none: its TLD is judged and asked as one without RDAP.
func TestTLDNotToAsk(t *testing.T) {
	ch := Facts{TLD: TLDOf("ch"), Authority: AuthoritySupplemental, Oldest: At(verified)}
	for _, f := range []Facts{ch, with(ch, func(f *Facts) { f.Authority = AuthorityNone })} {
		before := known(t, with(f, func(f *Facts) { f.Authority = AuthorityNone }))
		s, v := walk(before, f, visit(0, gone()))
		if q := Questions(before, s, f, v, instant(0), source.SourceDelegation, false); len(q) != 1 || q[0] != source.SourceStatus {
			t.Errorf("%s: asks %v", f.Authority, q)
		}
		if s, v = walk(s, f, visit(0, gone(), status("deleting")), visit(6, gone(), status("deleting"))); v.Action != Unverify || s.NextRDAP <= instant(0) {
			t.Errorf("%s: %+v, next question %s", f.Authority, v, s.NextRDAP)
		}
	}
	named := with(ch, func(f *Facts) { f.Authority = AuthorityIANA }) // IANA's word at run time goes before
	if q := Questions(known(t, named), known(t, named), named, Verdict{}, instant(0), source.SourceDelegation, true); len(q) != 1 || q[0] != source.SourceRDAP {
		t.Errorf("named by IANA: asks %v", q)
	}
}

// A name first seen on a parking service's name servers: nobody knows whether that is the holder's choice or the page
// of a registration that expired.
func TestFirstSeenParked(t *testing.T) {
	paid := rdap()
	s, v := walk(NewState(0), com, visit(0, parked()))
	if v.Action != Confirm || s.Home != "" {
		t.Errorf("the zone alone: %+v, home %q", v, s.Home)
	}
	// Not expired: the holder parks it. It is home, and what follows expiry is judged as ever.
	if h, v := walk(s, com, visit(1, parked(), paid)); v != verdict(Active, None, High, ReasonDelegated) || h.Home != h.NS || h.Deleg != DelegationHome || h.Trouble() {
		t.Errorf("paid: %+v, %+v", v, h)
	}
	// Expired, or auto-renewed: it may be the expiry page.
	for name, o := range map[string]source.Observation{"expired": expired(rdap()), "auto-renewed": rdap("auto renew period")} {
		g, v := walk(s, com, visit(1, parked(), o))
		if v.Reason != ReasonGraceOnce || g.Home != "" {
			t.Errorf("%s: %+v, home %q", name, v, g.Home)
		}
		if _, v = walk(g, com, visit(day+1, parked(), o)); v.Action != Hold || v.Reason != ReasonGraceTwice {
			t.Errorf("%s, twice: %+v", name, v)
		}
		// The first other name servers may be the buyer's as well as the holder's.
		if _, v = walk(g, com, visit(2*day, moved(), paid)); v.Reason != ReasonReviewHands {
			t.Errorf("%s, then moved: %+v", name, v)
		}
	}
	// The same by the status API: what comes after a deletion is not the holder's for being the first that was seen.
	d, v := walk(NewState(0), de, visit(0, gone(), status("expiring")), visit(7, gone(), status("expiring")))
	if v.Action != Unverify {
		t.Fatalf("%+v", v)
	}
	if _, v = walk(d, de, visit(5*day, moved(), status("active"))); v.Reason != ReasonReviewNew {
		t.Errorf("after a deletion by status: %+v", v)
	}
}

// Where the registry shows no pending delete, the end of the quarantine tells when a name is lost.
func TestLostAt(t *testing.T) {
	s := State{Deleted: instant(0)}
	for suffix, days := range map[string]float64{
		"com": 0, "co": 0, "cc": 0, "ai": 0, "zz": 0, // a pending delete, or nothing is known
		"nl": 38, "fr": 28, "de": 28, "uk": 58, "se": 58, "it": 28, "jp": 18, "au": 28,
	} {
		var want Instant
		if days > 0 {
			want = instant(days * day)
		}
		if got := TLDOf(suffix).LostAt(s); got != want {
			t.Errorf(".%s: %s, want %s", suffix, got, want)
		}
		if got := TLDOf(suffix).LostAt(State{}); got != 0 {
			t.Errorf(".%s, not deleted: %s", suffix, got)
		}
	}
}
