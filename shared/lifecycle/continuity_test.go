package lifecycle

import (
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// look is one answer, or several of one moment, with the resolver's among them, and what recovery must be after it.
type look struct {
	name string
	at   float64 // hours after t0
	obs  []source.Observation
	want Gap
	// since is the hour of the newest gap; -1: as it was.
	since float64
}

func mx(hosts ...string) source.Observation {
	return source.Observation{Source: source.SourceMail, Server: "resolver", Outcome: source.Observed, Mail: &source.Mail{Hosts: hosts}}
}

func noMX() source.Observation {
	return source.Observation{Source: source.SourceMail, Server: "resolver", Outcome: source.Observed, Mail: &source.Mail{}}
}

// watched are the facts of a gTLD whose zone has names whose answer is known.
var watched = with(com, func(f *Facts) { f.Control = true })

// fed folds answers as the checker does: the resolver's by SeeMail, those of its own servers by
// SeeService, all others by Visit.
func fed(s State, f Facts, h float64, obs []source.Observation) State {
	for _, o := range at(hour(h), obs) {
		if o.Source == source.SourceMail {
			s = SeeMail(s, o, f, instant(h))
			continue
		}
		if o.Source == source.SourceServers {
			s = SeeService(s, o, f, instant(h))
			continue
		}
		s, _ = Visit(s, []source.Observation{o}, f, instant(h))
	}
	return s
}

// ours is a domain in its holder's hands, known with its MX.
func ours(t testing.TB, f Facts, r source.Observation) State {
	t.Helper()
	s := fed(NewState(instant(-2*day)), f, -day, []source.Observation{home(), r, mx("mx.provider.example")})
	if s.Control.Since != 0 || s.Control.MX == "" {
		t.Fatalf("it is not well to begin with: %+v", s.Control)
	}
	return s
}

func expiresAt(h float64) source.Observation {
	return but(rdap(), func(r *source.Registration) { r.Expires = hour(h) })
}

func autoRenew(h float64) source.Observation {
	return but(rdap("auto renew period"), func(r *source.Registration) { r.Expires = hour(h).AddDate(1, 0, 0) })
}

func TestRecoveryFollowsContinuity(t *testing.T) {
	theirs, mine := mx("mx.buyer.example"), mx("mx.provider.example")
	undescribed := with(watched, func(f *Facts) { f.TLD = TLDOf("pl") })
	blind := with(undescribed, func(f *Facts) { f.Authority = AuthorityNone })
	quarantine := with(blind, func(f *Facts) { f.TLD = TLDOf("se") })
	unwatched := with(com, func(f *Facts) {})
	other := func(statuses ...string) source.Observation {
		return but(rdap(statuses...), func(r *source.Registration) { r.Registrar = "999" })
	}
	for _, c := range []struct {
		name  string
		facts Facts
		begin source.Observation
		looks []look
	}{
		{"gone at first sight, and back", watched, expiresAt(340 * day), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
			{"the registry knows nothing bad", 1, []source.Observation{expiresAt(340 * day)}, GapGone, 0},
			{"back, by the zone alone", 5, []source.Observation{home()}, GapGone, 0},
			{"the MX too", 5, []source.Observation{mine}, GapGone, 0},
			{"and the registry", 5, []source.Observation{rdap()}, GapNone, 0},
		}},
		{"a zone without known names: after a second look", unwatched, rdap(), []look{
			{"gone", 0, []source.Observation{gone()}, GapNone, 0},
			{"gone again", 7, []source.Observation{gone()}, GapGone, 7},
		}},
		{"an answer that is not known changes nothing", watched, expiresAt(340 * day), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
			{"no answers", 2, allUnknown(), GapGone, 0},
			{"no MX heard", 2, []source.Observation{unknown(source.SourceMail, source.CauseServfail)}, GapGone, 0},
		}},
		{"parked, sold to a buyer who sets the old name servers", watched, expiresAt(-1), []look{
			{"parked", 0, []source.Observation{parked(), autoRenew(-1), noMX()}, GapParked, 0},
			{"old servers, new MX", 20 * day, []source.Observation{home(), autoRenew(-1), theirs}, GapNewMail, 20 * day},
			{"the MX stays", 60 * day, []source.Observation{home(), rdap(), theirs}, GapNewMail, 20 * day},
		}},
		{"parked, renewed", watched, expiresAt(-1), []look{
			{"parked", 0, []source.Observation{parked(), autoRenew(-1), noMX()}, GapParked, 0},
			{"renewed", 9 * day, []source.Observation{home(), autoRenew(-1), mine}, GapNone, 0},
			{"another MX within 45 days", 20 * day, []source.Observation{theirs}, GapNewMail, 20 * day},
		}},
		{"parked, renewed and moved: the holder's sign-in opens", watched, expiresAt(-1), []look{
			{"parked", 0, []source.Observation{parked(), autoRenew(-1), noMX()}, GapParked, 0},
			{"moved", 9 * day, []source.Observation{moved(), autoRenew(-1), theirs}, GapNewServers, 9 * day},
			{"it stays closed", 50 * day, []source.Observation{moved(), rdap(), theirs}, GapNewServers, 9 * day},
		}},
		{"parked where no list knows it, renewed", watched, expiresAt(-1), []look{
			{"other servers", 0, []source.Observation{moved(), autoRenew(-1)}, GapNone, 0},
			{"without an MX", 0, []source.Observation{noMX()}, GapNewServers, 0},
			{"renewed", 9 * day, []source.Observation{home(), autoRenew(-1), mine}, GapNone, 0},
		}},
		{"sold without a gap", watched, expiresAt(-1), []look{
			{"other servers", 20 * day, []source.Observation{moved(), autoRenew(-1)}, GapNone, 0},
			{"and another MX", 20 * day, []source.Observation{theirs}, GapNewServers, 20 * day},
		}},
		{"its holder moves, far from an expiry", watched, rdap(), []look{
			{"other servers and MX", 0, []source.Observation{moved(), rdap(), theirs}, GapNone, 0},
		}},
		{"deleted by the registry's word, yet delegated: after a second look", watched, rdap(), []look{
			{"the registry", 0, []source.Observation{home(), rdap("redemption period")}, GapNone, 0},
			{"again", 7, []source.Observation{home(), rdap("redemption period")}, GapDeleted, 7},
			{"restored", 8, []source.Observation{home(), mine, rdap()}, GapNone, 0},
		}},
		{"released, and registered by somebody else", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap("redemption period")}, GapDeleted, 0},
			{"free", 35 * day, []source.Observation{gone(), free()}, GapDeleted, 0},
			{"still free", 35*day + 7, []source.Observation{gone(), free()}, GapReleased, 35*day + 7},
			{"anew, with all as it was", 36 * day, []source.Observation{home(), mine, dated(rdap(), hour(36*day-1))}, GapReleased, 36 * day},
		}},
		{"a name that is six days old", watched, rdap(), []look{
			{"its date moved", 0, []source.Observation{dated(rdap(), hour(-2))}, GapReleased, 0},
		}},
		{"where nobody can be asked: back within less than any path to release", quarantine, home(), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
			{"back", 2 * day, []source.Observation{home(), mine}, GapNone, 0},
		}},
		{"where nobody can be asked: away for longer than that", quarantine, home(), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
			{"back", 70 * day, []source.Observation{home(), mine}, GapGone, 0},
		}},
		{"where nobody can be asked and nobody described it: the holder alone opens", blind, home(), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
			{"back", 1, []source.Observation{home(), mine}, GapGone, 0},
		}},
		{"where nobody can be asked: sold, or moved by its holder with its mail", quarantine, home(), []look{
			{"other servers", 0, []source.Observation{moved()}, GapNone, 0},
			{"another MX", 1, []source.Observation{theirs}, GapNewServers, 1},
			{"they stay", 50 * day, []source.Observation{moved(), theirs}, GapNewServers, 1},
		}},
		{"where nobody can be asked: moved without its mail", quarantine, home(), []look{
			{"other servers, MX unknown", 0, []source.Observation{moved(), unknown(source.SourceMail, source.CauseServfail)}, GapNone, 0},
			{"the same MX", 1, []source.Observation{mine, moved()}, GapNone, 0},
			{"another MX, later", 90 * day, []source.Observation{moved(), theirs}, GapNone, 0},
		}},
		{"gone, back and gone: a new gap", watched, expiresAt(340 * day), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
			{"back, the registry silent", 5, []source.Observation{home(), mine}, GapGone, 0},
			{"gone again", 9, []source.Observation{gone()}, GapGone, 9},
		}},
		{"held in the middle of its term, and back", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone()}, GapNone, 0},
			{"the registry says why", 0.1, []source.Observation{rdap("server hold"), noMX()}, GapNone, 0},
			{"the same, a day later", day, []source.Observation{gone(), rdap("server hold")}, GapNone, 0},
			{"one question is lost", 2 * day, []source.Observation{gone(), unknown(source.SourceRDAP, source.CauseTimeout)}, GapNone, 0},
			{"back", 3 * day, []source.Observation{home(), rdap(), mine}, GapNone, 0},
			{"another MX within 45 days", 20 * day, []source.Observation{theirs}, GapNewMail, 20 * day},
		}},
		{"taken out by its holder, and back on other servers", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap("inactive"), noMX()}, GapNone, 0},
			{"back elsewhere", 9 * day, []source.Observation{gone(), rdap("inactive"), moved()}, GapGone, 9 * day},
			{"it stays closed", 10 * day, []source.Observation{moved(), rdap(), mine}, GapGone, 9 * day},
		}},
		{"taken out by its holder, and back with another MX", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap("inactive"), noMX()}, GapNone, 0},
			{"back", day, []source.Observation{home(), rdap(), theirs}, GapGone, day},
		}},
		{"held, and back with another registrar, moved later", watched, rdap(), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapNone, 0},
			{"passed on meanwhile", 2 * day, []source.Observation{gone(), other("client hold")}, GapNone, 0},
			{"back", 3 * day, []source.Observation{home(), other(), mine}, GapGone, 3 * day},
			{"moved", 4 * day, []source.Observation{moved(), other(), theirs}, GapGone, 3 * day},
			{"as it was, but for the registrar", 5 * day, []source.Observation{home(), other(), mine}, GapGone, 3 * day},
		}},
		{"held, back with an MX that is not heard, and gone elsewhere", watched, rdap(), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapNone, 0},
			{"back, the resolver fails", day, []source.Observation{home(), rdap(), unknown(source.SourceMail, source.CauseServfail)}, GapNone, 0},
			{"elsewhere", day + 2, []source.Observation{moved(), rdap(), theirs}, GapGone, day + 2},
		}},
		{"held, and back with an MX that is not heard for hours", watched, rdap(), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapNone, 0},
			{"back, the resolver fails", day, []source.Observation{home(), rdap(), unknown(source.SourceMail, source.CauseServfail)}, GapNone, 0},
			{"the second look", day + 6, []source.Observation{home()}, GapGone, day + 6},
			{"heard", day + 7, []source.Observation{home(), mine, rdap()}, GapNone, 0},
		}},
		{"held, by the registry's date in its term, by the registrar's long expired", watched, but(rdap(), func(r *source.Registration) { r.RegistrarExpires = hour(-60 * day) }), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapGone, 0},
		}},
		{"one answer from a zone without known names, and moved", unwatched, rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap()}, GapNone, 0},
			{"moved by its holder", 1, []source.Observation{moved(), rdap(), mine}, GapNone, 0},
			{"another MX", 20 * day, []source.Observation{theirs}, GapNone, 0},
		}},
		{"held, back with another MX while the registry fails", watched, rdap(), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapNone, 0},
			{"back", day, []source.Observation{home(), unknown(source.SourceRDAP, source.CauseTimeout), theirs}, GapGone, day},
		}},
		{"out for hours where two looks must agree, and moved by its holder", unwatched, rdap(), []look{
			{"taken out", 0, []source.Observation{gone(), rdap("inactive")}, GapNone, 0},
			{"elsewhere", 3, []source.Observation{moved(), rdap(), mine}, GapNone, 0},
		}},
		{"out for longer where two looks must agree", unwatched, rdap(), []look{
			{"taken out", 0, []source.Observation{gone(), rdap("inactive")}, GapNone, 0},
			{"still", 7, []source.Observation{gone(), rdap("inactive")}, GapNone, 0},
			{"elsewhere", day, []source.Observation{moved(), rdap(), mine}, GapGone, day},
		}},
		{"closed, back elsewhere, and held: a new gap", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap()}, GapGone, 0},
			{"elsewhere", 5 * day, []source.Observation{moved(), rdap()}, GapGone, 0},
			{"held", 10 * day, []source.Observation{gone(), rdap("client hold")}, GapGone, 10 * day},
		}},
		{"held, and all verified again", with(watched, func(f *Facts) { f.Oldest = instant(2 * day) }), rdap(), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapNone, 0},
			{"back elsewhere", 3 * day, []source.Observation{moved(), rdap(), theirs}, GapNone, 0},
		}},
		{"held without a date of registration, for longer than any path to release", watched, dated(rdap(), time.Time{}), []look{
			{"held", 0, []source.Observation{gone(), dated(rdap("client hold"), time.Time{})}, GapNone, 0},
			{"held still", 2 * day, []source.Observation{gone(), dated(rdap("client hold"), time.Time{})}, GapNone, 0},
			{"held still", 40 * day, []source.Observation{dated(rdap("client hold"), time.Time{}), gone()}, GapNone, 0},
			{"back elsewhere", 41 * day, []source.Observation{gone(), dated(rdap("client hold"), time.Time{}), moved()}, GapGone, 41 * day},
			{"as it was", 42 * day, []source.Observation{home(), dated(rdap(), time.Time{}), mine}, GapGone, 41 * day},
		}},
		{"held while it was in the zone, and gone", watched, rdap(), []look{
			{"held", 0, []source.Observation{home(), rdap("server hold")}, GapNone, 0},
			{"gone", 1, []source.Observation{gone()}, GapNone, 0},
			{"the registry fails", 1, []source.Observation{unknown(source.SourceRDAP, source.CauseTimeout)}, GapNone, 0},
			{"the next look", 2, []source.Observation{gone()}, GapGone, 2},
		}},
		{"held, long after an expiry that nobody paid", watched, expiresAt(-60 * day), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
		}},
		{"deleted, and back on other servers", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap("redemption period")}, GapDeleted, 0},
			{"elsewhere", 5 * day, []source.Observation{moved()}, GapDeleted, 0},
		}},
		{"held, and deleted", watched, rdap(), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapNone, 0},
			{"deleted", day, []source.Observation{gone(), rdap("redemption period")}, GapDeleted, day},
		}},
		{"held, until the registry says no more", watched, rdap(), []look{
			{"held", 0, []source.Observation{gone(), rdap("client hold")}, GapNone, 0},
			{"silent for two days", 2 * day, []source.Observation{gone()}, GapNone, 0},
			{"and a mishap", 2*day + 7, []source.Observation{gone()}, GapGone, 2*day + 7},
		}},
		{"held after its expiry", watched, expiresAt(-1), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
		}},
		{"held after its expiry, as the registry's own renewal shows", watched, expiresAt(340 * day), []look{
			{"gone", 0, []source.Observation{gone()}, GapGone, 0},
		}},
		{"gone in the middle of its term, and the registry does not say why", watched, rdap(), []look{
			{"registered, it says", 0, []source.Observation{gone(), rdap()}, GapGone, 0},
		}},
		{"gone in the middle of its term, and the registry fails", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone()}, GapNone, 0},
			{"no answer", 0, []source.Observation{unknown(source.SourceRDAP, source.CauseTimeout)}, GapNone, 0},
			{"the next look", 1, []source.Observation{gone()}, GapGone, 1},
		}},
		{"gone in the middle of its term, and the registry has no time", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone()}, GapNone, 0},
			{"the second look", 6, []source.Observation{gone()}, GapGone, 6},
		}},
		{"gone and back before the registry could be asked", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone()}, GapNone, 0},
			{"on its servers", 1, []source.Observation{home()}, GapNone, 0},
			{"and with its MX, the registry too", 1, []source.Observation{mine, rdap()}, GapNone, 0},
			{"another MX within 45 days", 20 * day, []source.Observation{theirs}, GapNewMail, 20 * day},
		}},
		{"gone and back, and nobody tells whether as before", watched, rdap(), []look{
			{"gone", 0, []source.Observation{gone()}, GapNone, 0},
			{"on its servers", 1, []source.Observation{home()}, GapNone, 0},
			{"the second look", 7, []source.Observation{home()}, GapGone, 7},
		}},
		{"held, by a server that IANA does not name", with(watched, func(f *Facts) { f.Authority = AuthoritySupplemental }), rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap("server hold")}, GapGone, 0},
		}},
		{"held, in a zone where a deletion may take no time", undescribed, rdap(), []look{
			{"gone", 0, []source.Observation{gone(), rdap("server hold")}, GapGone, 0},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ours(t, c.facts, c.begin)
			for _, l := range c.looks {
				s = fed(s, c.facts, l.at, l.obs)
				gap := s.Control.Gap
				if s.Control.Since == 0 && gap != GapNone {
					t.Errorf("%s: a gap %q since never", l.name, gap)
				}
				if want := (map[bool]Instant{true: instant(l.since)})[l.want != GapNone]; gap != l.want || s.Control.Since != want {
					t.Errorf("%s: gap %q since %s, want %q since %s", l.name, gap, s.Control.Since, l.want, want)
				}
			}
		})
	}
}

// A new registration is closed until the add grace period is over, and what was verified until then with it.
func TestYoungRegistration(t *testing.T) {
	young := dated(rdap(), hour(-1))
	f := with(watched, func(f *Facts) { f.Oldest = instant(-0.5) })
	s := fed(NewState(instant(0)), f, 0, []source.Observation{home(), young, mx("mx.provider.example")})
	if s.Control.Gap != GapYoung || s.Control.Since != At(hour(-1).Add(AddGrace)) || s.Control.Recovery() != RecoveryClosed {
		t.Fatalf("a new name: %+v", s.Control)
	}
	if still := fed(s, f, 5*day, []source.Observation{home(), young, mx("mx.provider.example")}); still.Control.Gap != GapYoung {
		t.Errorf("after five days: %+v", still.Control)
	}
	if old := fed(s, f, 6.1*day, []source.Observation{home(), mx("mx.provider.example"), young}); old.Control.Since != 0 {
		t.Errorf("after six days: %+v", old.Control)
	}
	if taken := fed(s, f, 6.1*day, []source.Observation{home(), mx("mx.provider.example"), dated(rdap(), hour(5*day))}); taken.Control.Gap != GapReleased {
		t.Errorf("deleted and registered anew within: %+v", taken.Control)
	}
}

// The baseline moves with its holder while control is continuous, and not while it is not.
func TestBaseline(t *testing.T) {
	s := ours(t, watched, rdap())
	s = fed(s, watched, 0, []source.Observation{moved(), rdap(), mx("mx.other.example")})
	if s.Deleg != DelegationHome || s.Control.MX != s.Control.NowMX || s.Control.Since != 0 {
		t.Errorf("its holder moved: %+v", s)
	}
	s = fed(s, watched, day, []source.Observation{gone()})
	s = fed(s, watched, 2*day, []source.Observation{home(), rdap(), mx("mx.third.example")})
	if s.Deleg != DelegationMoved || s.Control.Since == 0 {
		t.Errorf("other servers after a gap became the holder's: %+v", s)
	}
	later := with(watched, func(f *Facts) { f.Oldest = instant(3 * day) })
	s = fed(s, later, 4*day, []source.Observation{home(), rdap(), mx("mx.third.example")})
	if s.Control.Since != 0 || s.Control.MX != s.Control.NowMX {
		t.Errorf("every address was verified since: %+v", s.Control)
	}
}

func TestMailHostCloses(t *testing.T) {
	s := MailHost(ours(t, watched, rdap()), "host.example", instant(-1), instant(0))
	if s.Control.Gap != GapMailHost || s.Control.Since != instant(0) || s.Control.Until != instant(-day) {
		t.Fatalf("the host lapsed: %+v", s.Control)
	}
	if again := MailHost(s, "host.example", instant(-1), instant(5)); again != s {
		t.Errorf("told again: %+v", again.Control)
	}
	if newer := MailHost(s, "host.example", instant(4), instant(5)); newer.Control.Since != instant(5) {
		t.Errorf("it was taken since: %+v", newer.Control)
	}
	s = MailHost(s, "", 0, instant(10))
	if s.Control.Since != instant(0) {
		t.Errorf("no look has shown yet that all is well: %+v", s.Control)
	}
	if s = fed(s, watched, 11, []source.Observation{home(), mx("mx.provider.example"), rdap()}); s.Control.Since != 0 {
		t.Errorf("all is well: %+v", s.Control)
	}
}

// TestWhoLeavesAMailHostOpens: what its holder set instead counts as what was before; but not where the name itself may
// have changed hands meanwhile.
func TestWhoLeavesAMailHostOpens(t *testing.T) {
	other := mx("mx.other.example")
	lapsed := func(r source.Observation) State {
		return MailHost(ours(t, watched, r), "host.example", instant(-1), instant(0))
	}
	left := func(s State, h float64, obs ...source.Observation) State {
		return LeftMailHost(fed(s, watched, h, obs), instant(h))
	}
	for name, c := range map[string]struct {
		s    State
		open bool
	}{
		"another MX":                          {left(lapsed(rdap()), 5, other), true},
		"other servers, where they lapsed":    {left(lapsed(rdap()), 5, moved(), other), false}, // opened below, by the same servers
		"other servers and MX, after expiry":  {left(lapsed(expiresAt(-3*day)), 5, moved(), other), false},
		"closed for another reason meanwhile": {left(fed(lapsed(rdap()), watched, 4, []source.Observation{gone()}), 5, other), false},
	} {
		s := fed(c.s, watched, 30, []source.Observation{home(), other, rdap()})
		if (s.Control.Since == 0) != c.open {
			t.Errorf("%s: %+v", name, s.Control)
		}
	}
	s := fed(left(lapsed(rdap()), 5, moved(), other), watched, 30, []source.Observation{moved(), other, rdap()})
	if s.Control.Since != 0 || s.Deleg != DelegationHome {
		t.Errorf("new servers in the place of those that lapsed: %+v", s)
	}
}

func TestLooksWhileClosed(t *testing.T) {
	for gap, until := range map[Gap]float64{ // hours for which it is looked at
		GapYoung: 60 * day, GapGone: 60 * day, GapParked: 60 * day, GapLame: 60 * day, // what the holder ends in the zone
		GapNewServers: 7 * day, GapNewMail: 7 * day, GapDeleted: 23, GapReleased: 23, GapMailHost: -1,
	} {
		for _, c := range []struct{ age, want float64 }{{0, 1}, {23, 24}, {24, 30}, {7 * day, 7*day + 6}, {7*day + 1, 7*day + 7}, {60 * day, 60*day + 6}, {60*day + 1, 0}} {
			got := Continuity{Since: instant(0), Gap: gap, Lost: gap == GapReleased}.NextLook(instant(c.age))
			if want := (map[bool]Instant{true: instant(c.want)})[c.age <= until]; got != want {
				t.Errorf("closed as %s for %v hours: next look %s, want %s", gap, c.age, got, want)
			}
		}
	}
	if got := (Continuity{}).NextLook(instant(0)); got != 0 {
		t.Errorf("open: next look %s", got)
	}
}

// TestALookStaysWhereItIsNoted: each move in the index is charged, and half an hour more or less does not matter. The own
// name servers must be asked at their time.
func TestALookStaysWhereItIsNoted(t *testing.T) {
	closed := State{Control: Continuity{Since: instant(0)}}
	lame := closed
	lame.Service = Service{Serves: source.Lame, Since: instant(1), At: instant(30)}
	for _, c := range []struct {
		s           State
		noted, want float64
	}{{closed, 35.9, 35.9}, {closed, 35.5, 35.5}, {closed, 35.4, 36}, {closed, 36.1, 36}, {closed, 29, 36}, {closed, 30, 36}, {lame, 35.9, 36}} {
		if got := c.s.NextLook(instant(c.noted), instant(30)); got != instant(c.want) {
			t.Errorf("noted for hour %v, seen at hour 30: %s, want %s", c.noted, got, instant(c.want))
		}
	}
	if got := (State{}).NextLook(instant(30.1), instant(30)); got != 0 {
		t.Errorf("recovery is open: %s", got)
	}
}

// While recovery is closed and everything is back but the registry's word, the registry is asked, and Next says why.
func TestTheRegistryIsAskedBeforeRecoveryOpens(t *testing.T) {
	s := ours(t, watched, expiresAt(340*day))
	if s.openingDue() != 0 || s.Control.Recovery() != RecoveryOpen {
		t.Errorf("while it is open: %s", s.openingDue())
	}
	s = fed(s, watched, 0, []source.Observation{gone()})
	if s.openingDue() != 0 || s.Control.Recovery() != RecoveryClosed {
		t.Errorf("while it is gone: %s", s.openingDue())
	}
	back := fed(s, watched, 5, []source.Observation{home(), mx("mx.provider.example")})
	at, why := Next(back, watched, instant(5))
	if back.openingDue() != instant(5) || at != instant(5) || !strings.Contains(why, "recovery opens when nothing objects") {
		t.Errorf("back: due %s; %s (%s)", back.openingDue(), why, at)
	}
	objected := fed(back, watched, 5, []source.Observation{but(rdap(), func(r *source.Registration) { r.Registrar = "another" })})
	if objected.Control.Since == 0 || objected.openingDue() != instant(5).Add(Daily) {
		t.Errorf("another registrar: %+v, due %s", objected.Control, objected.openingDue())
	}
	young := back
	young.Control.Gap, young.Control.Since, young.RegAt = GapYoung, instant(100), instant(0)
	if young.openingDue() != instant(100) {
		t.Errorf("young: due %s, want the end of its youth", young.openingDue())
	}
}

// The MX is asked daily after an expiry, while closed, and for 45 days after opening.
func TestWhenTheMXIsWatched(t *testing.T) {
	for _, c := range []struct {
		name string
		s    State
		want bool
	}{
		{"quiet", State{Expires: instant(200 * day)}, false},
		{"expired yesterday", State{Expires: instant(-day)}, true},
		{"in auto-renew", State{Expires: instant(330 * day)}, true},
		{"by the registrar's date", State{RegistrarExpires: instant(-30 * day)}, true},
		{"expired long ago", State{Expires: instant(-60 * day)}, false},
		{"closed", State{Control: Continuity{Since: instant(-day)}}, true},
		{"away", State{Control: Continuity{Away: instant(-day)}}, true},
		{"opened lately", State{Control: Continuity{Back: instant(-44 * day)}}, true},
		{"opened long ago", State{Control: Continuity{Back: instant(-46 * day)}}, false},
	} {
		if got := c.s.MailWatched(instant(0)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestGapSentence(t *testing.T) {
	s := ours(t, watched, expiresAt(340*day))
	if got := GapSentence(s); !strings.Contains(got, "is continuous") {
		t.Error(got)
	}
	away := fed(ours(t, watched, rdap()), watched, 0, []source.Observation{gone(), rdap("client hold")})
	if got := GapSentence(away); !strings.Contains(got, "out of the zone since 2026-03-01 12:00 UTC") || !strings.Contains(got, "stays open") {
		t.Error(got)
	}
	s = fed(s, watched, 0, []source.Observation{gone()})
	if got := GapSentence(s); !strings.Contains(got, "not continuous since 2026-03-01 12:00 UTC (out of the zone; all was well on 2026-02-28 12:00 UTC)") {
		t.Error(got)
	}
}

// Who paid need not be watched by the anniversary: where the dates show it, and zone and MX were as before after that. A
// registry that renews by itself shows the same date for who did not pay.
func TestAnAnniversaryThatWasPaidFor(t *testing.T) {
	theirs, mine := mx("mx.buyer.example"), mx("mx.provider.example")
	paid := but(rdap("auto renew period"), func(r *source.Registration) {
		r.Expires = hour(-day).AddDate(1, 0, 0)
		r.RegistrarExpires = r.Expires
	})
	unpaid := but(rdap("auto renew period"), func(r *source.Registration) {
		r.Expires, r.RegistrarExpires = hour(-day).AddDate(1, 0, 0), hour(-day)
	})
	ahead := but(rdap(), func(r *source.Registration) { r.Expires = hour(2*day).AddDate(1, 0, 0) })
	for name, c := range map[string]struct {
		said  source.Observation
		after source.Observation // MX of the day after
		watch bool
	}{
		"paid for, by the registrar's date":  {paid, mine, false},
		"renewed before the day":             {ahead, mine, false},
		"renewed by the registry itself":     {autoRenew(-day), mine, true},
		"not paid for, by the registrar":     {unpaid, mine, true},
		"paid for by who has another MX now": {paid, theirs, true},
	} {
		s := ours(t, watched, expiresAt(-day))
		s = fed(s, watched, 0, []source.Observation{home(), c.said, mine})
		s = fed(s, watched, day, []source.Observation{home(), c.after})
		if got := s.MailWatched(instant(3 * day)); got != c.watch {
			t.Errorf("%s: MX asked daily %t, want %t", name, got, c.watch)
		}
	}
}

// After an expiry another MX under the same name servers has the registry asked. It is a holder's move, unless the
// registrar changed too.
func TestAnotherMXAfterAnExpiry(t *testing.T) {
	theirs := mx("mx.buyer.example")
	sold := but(autoRenew(-day), func(r *source.Registration) { r.Registrar = "another" })
	expired := ours(t, watched, expiresAt(-day))
	s := fed(expired, watched, day, []source.Observation{home(), theirs})
	if !MailInDoubt(s, watched, instant(day)) || s.Control.Since != 0 || s.Control.MX == s.Control.NowMX {
		t.Fatalf("before the registry spoke: %+v", s.Control)
	}
	kept := fed(s, watched, day+1, []source.Observation{autoRenew(-day)})
	if kept.Control.Since != 0 || kept.Control.MX != kept.Control.NowMX || MailInDoubt(kept, watched, instant(day+1)) {
		t.Errorf("the same registrar: %+v", kept.Control)
	}
	if lost := fed(s, watched, day+1, []source.Observation{sold}); lost.Control.Gap != GapNewMail {
		t.Errorf("another registrar, after the MX: %+v", lost.Control)
	}
	first := fed(expired, watched, day, []source.Observation{home(), sold})
	if lost := fed(first, watched, 2*day, []source.Observation{home(), theirs}); lost.Control.Gap != GapNewMail {
		t.Errorf("another registrar, before the MX: %+v", lost.Control)
	}
	if quiet := fed(ours(t, watched, rdap()), watched, day, []source.Observation{home(), theirs}); MailInDoubt(quiet, watched, instant(day)) || quiet.Control.MX != quiet.Control.NowMX {
		t.Errorf("far from an expiry: %+v", quiet.Control)
	}
	unheard := fed(s, watched, day+1, []source.Observation{unknown(source.SourceRDAP, source.CauseTimeout)})
	if !MailInDoubt(unheard, watched, instant(day+1)) || unheard.Control.MX == unheard.Control.NowMX {
		t.Errorf("the registry is silent: %+v", unheard.Control)
	}
}

// An MX host at or below the name is wherever who has the zone points it: it is as before at the same addresses alone.
func TestAMailHostOfItsOwnIsAsBeforeAtItsAddresses(t *testing.T) {
	at := func(addresses ...string) source.Observation {
		o := mx("mx.example.com")
		o.Mail.Own, o.Mail.Addresses = true, addresses
		return o
	}
	unheard, none := at(), at()
	unheard.Mail.Addresses, none.Mail.Addresses = nil, []string{}
	for name, c := range map[string]struct {
		before []source.Observation
		after  source.Observation
		want   Recovery
	}{
		"the same":                   {[]source.Observation{at("192.0.2.1", "2001:db8::1")}, at("2001:db8::1", "192.0.2.1"), RecoveryOpen},
		"another":                    {[]source.Observation{at("192.0.2.1")}, at("192.0.2.2"), RecoveryClosed},
		"one more":                   {[]source.Observation{at("192.0.2.1")}, at("192.0.2.1", "192.0.2.2"), RecoveryClosed},
		"none, and none":             {[]source.Observation{none}, none, RecoveryOpen},
		"none, and one":              {[]source.Observation{none}, at("192.0.2.1"), RecoveryClosed},
		"never heard":                {[]source.Observation{unheard}, at("192.0.2.1"), RecoveryClosed},
		"not heard now":              {[]source.Observation{at("192.0.2.1")}, unheard, RecoveryClosed},
		"not heard since, once":      {[]source.Observation{at("192.0.2.1"), unheard}, at("192.0.2.1"), RecoveryOpen},
		"moved by the holder before": {[]source.Observation{at("192.0.2.1"), at("192.0.2.2")}, at("192.0.2.2"), RecoveryOpen},
		"where it was before that":   {[]source.Observation{at("192.0.2.1"), at("192.0.2.2")}, at("192.0.2.1"), RecoveryClosed},
	} {
		s := fed(NewState(instant(-2*day)), watched, -day, append([]source.Observation{home(), rdap()}, c.before...))
		for _, away := range []source.Observation{rdap(), rdap("client hold")} { // closed meanwhile, and not
			s := fed(s, watched, 0, []source.Observation{gone(), away})
			if s = fed(s, watched, day, []source.Observation{home(), rdap(), c.after}); s.Control.Recovery() != c.want {
				t.Errorf("%s: %s, want %s", name, s.Control.Recovery(), c.want)
			}
		}
	}
}

// The status API alone says that a name is deleted, which the zone delegates as before: where the zone must show a deletion
// it is wrong; where that is not known, it counts after a second look. No zone delegates a name that is free.
func TestTheStatusAPIAgainstTheZone(t *testing.T) {
	for _, c := range []struct {
		suffix, says string
		want         Gap
	}{
		{"it", "expiring", GapNone}, {"it", "inactive", GapNone},
		{"ch", "expiring", GapDeleted}, {"ru", "deleting", GapDeleted}, {"ch", "inactive", GapNone}, {"ru", "inactive", GapNone},
	} {
		f := with(watched, func(f *Facts) { f.TLD, f.Authority = TLDOf(c.suffix), AuthorityNone })
		s := fed(NewState(instant(-2*day)), f, -day, []source.Observation{home(), status("active"), mx("mx.provider.example")})
		s = fed(s, f, 0, []source.Observation{home(), status(c.says)})
		if s.Control.Since != 0 {
			t.Errorf("%s, %s: closed at first sight", c.suffix, c.says)
		}
		if s = fed(s, f, 7, []source.Observation{home(), status(c.says)}); s.Control.Gap != c.want {
			t.Errorf("%s, %s: %q, want %q", c.suffix, c.says, s.Control.Gap, c.want)
		}
		if s = fed(s, f, 13, []source.Observation{gone(), status(c.says)}); s.Control.Since == 0 {
			t.Errorf("%s, %s: open though the zone agrees", c.suffix, c.says)
		}
	}
	f := with(watched, func(f *Facts) { f.TLD, f.Authority = TLDOf("ch"), AuthorityNone })
	s := fed(NewState(instant(-2*day)), f, -day, []source.Observation{home(), status("active"), mx("mx.provider.example")})
	if elsewhere := fed(s, f, 0, []source.Observation{moved(), status("inactive")}); elsewhere.Control.Gap != GapDeleted {
		t.Errorf("free, and delegated elsewhere, whoever has it: %+v", elsewhere.Control)
	}
	s = fed(s, f, 12, []source.Observation{status("inactive")})
	if s = fed(s, f, 30, []source.Observation{status("inactive")}); s.Control.Gap != GapDeleted {
		t.Errorf("free, and the zone was not heard for a day: %+v", s.Control)
	}
}

// TestALookThatDoesNotWaitForTheDailyRound: at a domain that is out of the zone before its registry said why, and at one
// that is back before all was heard.
func TestALookThatDoesNotWaitForTheDailyRound(t *testing.T) {
	s := ours(t, watched, rdap())
	for _, c := range []struct {
		name string
		at   float64
		obs  []source.Observation
		want Instant
	}{
		{"gone", 0, []source.Observation{gone()}, instant(6)},
		{"held", 0.1, []source.Observation{rdap("client hold")}, 0},
		{"held still", day, []source.Observation{gone(), rdap("client hold")}, 0},
		{"back", 2 * day, []source.Observation{home()}, instant(2*day + 6)},
		{"as before", 2 * day, []source.Observation{rdap(), mx("mx.provider.example")}, 0},
	} {
		if s = fed(s, watched, c.at, c.obs); s.NextLook(0, instant(c.at)) != c.want {
			t.Errorf("%s: next look %s, want %s", c.name, s.NextLook(0, instant(c.at)), c.want)
		}
	}
}

// A null MX is as before only where it was one, and a set that was never heard is not as before.
func TestANullMXEqualsOnlyANullMX(t *testing.T) {
	null := mx(".")
	for name, c := range map[string]struct {
		before, after source.Observation
		want          Recovery
	}{
		"null, and null":       {null, null, RecoveryOpen},
		"none, and none":       {noMX(), noMX(), RecoveryOpen},
		"null, and none":       {null, noMX(), RecoveryClosed},
		"none, and null":       {noMX(), null, RecoveryClosed},
		"never heard, and one": {source.Observation{Source: source.SourceMail, Outcome: source.Unknown, Cause: source.CauseTimeout}, mx("mx.provider.example"), RecoveryClosed},
	} {
		s := fed(NewState(instant(-2*day)), watched, -day, []source.Observation{home(), rdap(), c.before})
		s = fed(s, watched, 0, []source.Observation{gone(), rdap()})
		s = fed(s, watched, day, []source.Observation{home(), rdap(), c.after})
		if got := s.Control.Recovery(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
