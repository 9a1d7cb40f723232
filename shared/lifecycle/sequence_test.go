package lifecycle

import (
	"slices"
	"testing"

	"github.com/lapseguard/lapseguard/shared/source"
)

// A domain's whole life, one look a day: grace, redemption, pending delete, release, somebody else's registration.
func TestSequenceDeletion(t *testing.T) {
	s := known(t, com)
	var phases []Phase
	var acted []Instant
	look := func(d float64, obs ...source.Observation) Verdict {
		var v Verdict
		s, v = Visit(s, at(hour(d*day), obs), com, instant(d*day))
		if len(phases) == 0 || phases[len(phases)-1] != v.Phase {
			phases = append(phases, v.Phase)
		}
		if v.Action == Unverify && v.Phase != ReRegistered {
			acted = append(acted, v.VerifiedBefore)
		}
		return v
	}
	for d := 0.0; d < 30; d++ {
		look(d, gone(), rdap("auto renew period", "client hold"))
	}
	for d := 30.0; d < 60; d++ {
		look(d, gone(), rdap("redemption period", "pending delete"))
	}
	for d := 60.0; d < 65; d++ {
		look(d, gone(), rdap("pending delete"))
	}
	look(65, gone(), free())
	v := look(66, moved(), dated(rdap(), hour(65.5*day)))
	if want := []Phase{Grace, Redemption, PendingDelete, Released, ReRegistered}; !slices.Equal(phases, want) {
		t.Errorf("phases %v, want %v", phases, want)
	}
	if len(acted) != 36 || slices.Max(acted) != lapsed(30*day) || slices.Min(acted) != lapsed(30*day) {
		t.Errorf("%d looks asked to unverify, by dates between %s and %s; want 36, all by %s", len(acted), slices.Min(acted), slices.Max(acted), lapsed(30*day))
	}
	if want := sureAgain(65.5 * day); v != want {
		t.Errorf("at last %+v, want %+v", v, want)
	}
	// The addresses are verified anew, or gone: nothing is left to act on.
	later := with(com, func(f *Facts) { f.Oldest = instant(70 * day) })
	s, v = walk(s, later, visit(71*day, moved(), dated(rdap(), hour(65.5*day))))
	if v.Action != None || s.LapseAt != 0 || s.Worst != "" || s.Deleg != DelegationHome {
		t.Errorf("after all: %+v, %+v", v, s)
	}
}

func sureAgain(h float64) Verdict {
	return verdict(ReRegistered, Unverify, High, ReasonReRegistered).before(instant(h)).since(instant(h))
}

func TestSequenceRenewalReturnsHome(t *testing.T) {
	for name, away := range map[string]source.Observation{"gone": gone(), "parked": parked()} {
		t.Run(name, func(t *testing.T) {
			s, v := walk(known(t, com), com, visit(0, away, expired(rdap())), visit(day, away, expired(rdap())))
			if v.Action != Hold || s.Interim == 0 || s.GraceAt == 0 {
				t.Fatalf("in grace: %+v, %+v", v, s)
			}
			s, v = walk(s, com, visit(3*day, home(), rdap()))
			if v != verdict(Active, None, High, ReasonDelegated) {
				t.Errorf("renewed: %+v", v)
			}
			if s.LapseAt != 0 || s.Worst != "" || s.GraceAt != 0 || s.Interim != 0 {
				t.Errorf("milestones stay after the renewal: %+v", s)
			}
			// A later move is no change of hands: the interim was the holder's own.
			if _, v = walk(s, com, visit(90*day, moved(), rdap())); v.Phase != Active {
				t.Errorf("moved long after: %+v", v)
			}
		})
	}
}

// Without an interim between expiry and new name servers nothing says that somebody else has the name.
func TestSequenceChangedHandsNeedsTheInterim(t *testing.T) {
	without := []step{visit(0, home(), expired(rdap())), visit(day, moved(), rdap())}
	interim := []step{visit(0, parked(), expired(rdap())), visit(day, moved(), rdap())}
	if _, v := walk(known(t, com), com, without...); v.Phase != Active || v.Action != None {
		t.Errorf("without the interim: %+v", v)
	}
	if _, v := walk(known(t, com), com, interim...); v.Phase != ChangedHands || v.Action != Hold {
		t.Errorf("with the interim: %+v", v)
	}
	// An interim before expiry is none: an operator's error, or a hold.
	early := []step{visit(0, gone(), rdap()), visit(day, moved(), rdap())}
	if _, v := walk(known(t, com), com, early...); v.Phase != Active {
		t.Errorf("out of service before expiry: %+v", v)
	}
	// A deletion ends the interim: who restores a name may take it elsewhere.
	restored := []step{visit(0, parked(), expired(rdap())), visit(9*day, gone(), rdap("redemption period")), visit(12*day, moved(), rdap())}
	if s, v := walk(known(t, com), com, restored...); v.Phase != Active || s.Interim != 0 || s.LapseAt != 0 {
		t.Errorf("restored: %+v", v)
	}
}

// The tripwire speaks before the registry: name servers that moved must not be taken for home before the registry
// was asked who the registrar is.
func TestSequenceMovedWaitsForTheRegistry(t *testing.T) {
	other := but(rdap(), func(r *source.Registration) { r.Registrar = "1479" })
	before := known(t, com)
	s, v := walk(before, com, visit(3*day, moved()))
	if s.Deleg != DelegationMoved {
		t.Errorf("after the tripwire alone: %s", s.Deleg)
	}
	if q := Questions(before, s, com, v, instant(3*day), source.SourceDelegation, false); !slices.Equal(q, []source.Source{source.SourceRDAP}) {
		t.Errorf("asks %v", q)
	}
	if s, v = walk(s, com, visit(3*day, other)); v.Reason != ReasonNewControl {
		t.Errorf("another registrar: %+v", v)
	}
	// The same where the registry spoke hours before the move.
	s, _ = walk(known(t, com), com, visit(0, home(), rdap()), visit(4, moved()))
	if _, v = walk(s, com, visit(4, other)); v.Reason != ReasonNewControl {
		t.Errorf("another registrar, hours later: %+v", v)
	}
	// Where there is no registry to ask, the move is taken as it is.
	if s, _ = walk(known(t, de), de, visit(3*day, moved())); s.Deleg != DelegationHome {
		t.Errorf("no RDAP: %s", s.Deleg)
	}
}

// PyPI's bug #18356: a person renews and verifies the address again; the nightly task unverified it once more
// from the state of the days before.
func TestSequenceRenewedAndVerifiedAgain(t *testing.T) {
	s, first := walk(known(t, com), com, visit(0, gone(), rdap("redemption period")))
	if first.Action != Unverify || first.VerifiedBefore != lapsed(0) {
		t.Fatalf("in redemption: %+v", first)
	}
	// Restored at hour 30 and verified at hour 31; both registry and zone are slow, or silent, for two days.
	again := with(com, func(f *Facts) { f.Oldest = instant(31) })
	for h, obs := range map[float64][]source.Observation{
		36: {gone(), rdap("redemption period")}, 40: allUnknown(), 44: {gone()}, 46: {home(), rdap("pending restore")},
	} {
		if _, v := walk(s, again, visit(h, obs...)); v.VerifiedBefore > again.Oldest {
			t.Errorf("hour %g: the request would reach an address verified at %s: %+v", h, again.Oldest, v)
		}
	}
	s, v := walk(s, again, visit(50, home(), rdap()))
	if v.Action != None || s.LapseAt != 0 {
		t.Errorf("renewed: %+v", v)
	}
	// A later lapse has a date of its own.
	if _, v = walk(s, again, visit(400*day, gone(), rdap("redemption period"))); v.VerifiedBefore != lapsed(400*day) {
		t.Errorf("second lapse: %+v", v)
	}
}

func TestSequenceGraceTwiceInTwoYears(t *testing.T) {
	s, v := walk(known(t, com), com, visit(0, gone(), expired(rdap())), visit(day, home(), rdap()))
	if v.Action != None {
		t.Fatalf("renewed: %+v", v)
	}
	late := but(rdap(), func(r *source.Registration) { r.Expires = hour(364 * day) })
	s, v = walk(s, com, visit(365*day, gone(), late))
	if v.Reason != ReasonGraceOnce {
		t.Errorf("a year later, once: %+v", v)
	}
	if _, v = walk(s, com, visit(366*day, gone(), late)); v.Action != Hold || v.VerifiedBefore != lapsed(365*day) {
		t.Errorf("a year later, twice: %+v", v)
	}
}

// Whoever took the name over lets it lapse in turn: that is another lapse, with a date of its own.
func TestSequenceLapseOfTheNextHolder(t *testing.T) {
	buyer := []step{visit(0, parked(), expired(rdap())), visit(day, moved(), rdap())}
	squatter := []step{visit(0, gone(), free()), visit(day, moved(), dated(rdap(), hour(12)))}
	later := map[string]struct {
		obs  []source.Observation
		want Verdict
	}{
		"redemption": {[]source.Observation{gone(), dated(rdap("redemption period"), hour(12))},
			verdict(Redemption, Unverify, High, ReasonDeleted).before(lapsed(300 * day))},
		"404":          {[]source.Observation{gone(), free()}, verdict(Released, Confirm, Medium, ReasonReleased).next(300*day + 6)},
		"restore":      {[]source.Observation{gone(), rdap("pending restore")}, verdict(Redemption, Hold, Medium, ReasonRestore).before(lapsed(300 * day))},
		"404 at home":  {[]source.Observation{moved(), free()}, Verdict{}},
		"status alone": {[]source.Observation{status("deleting")}, Verdict{}},
	}
	for who, steps := range map[string][]step{"buyer": buyer, "squatter": squatter} {
		for name, l := range later {
			t.Run(who+"/"+name, func(t *testing.T) {
				before, _ := walk(known(t, com), com, steps...)
				s, v := walk(before, com, visit(300*day, l.obs...))
				if l.want == (Verdict{}) {
					if s.Phase != before.Phase || s.LapseAt != before.LapseAt {
						t.Errorf("no lapse, yet %s since %s became %s since %s", before.Phase, before.LapseAt, s.Phase, s.LapseAt)
					}
					return
				}
				if v != l.want || s.LapseAt != instant(300*day) {
					t.Errorf("%+v since %s, want %+v", v, s.LapseAt, l.want)
				}
			})
		}
	}
	// The buyer's expiry: seen once, whatever was seen of the seller's.
	s, _ := walk(known(t, com), com, buyer...)
	if _, v := walk(s, com, visit(300*day, gone(), expired(rdap()))); v.Reason != ReasonGraceOnce {
		t.Errorf("the buyer's grace: %+v", v)
	}
}

// Every address was verified under the new registration: a quiet look ends the review even before the registry is
// asked again.
func TestSequenceReviewEnds(t *testing.T) {
	s, _ := walk(known(t, com), com, visit(0, gone(), free()), visit(day, moved(), dated(rdap(), hour(12))))
	later := with(com, func(f *Facts) { f.Oldest = instant(2 * day) })
	s, v := walk(s, later, visit(4*day, moved()))
	if v.Phase != Active || v.Action != None || s.Worst != "" {
		t.Errorf("%+v, %+v", v, s)
	}
	s, _ = walk(known(t, com), com, visit(0, gone(), free()), visit(day, moved(), dated(rdap(), hour(12))))
	if _, v = walk(s, later, visit(4*day, parked())); v.Confidence != NoConfidence || v.Phase != ReRegistered {
		t.Errorf("parked meanwhile: the registry is asked first: %+v", v)
	}
}

// By status after a supplemental server's date: the old registration's date must not speak for the new one.
func TestSequenceStatusForgetsTheOldDate(t *testing.T) {
	s, _ := walk(known(t, io), io, visit(2*day, gone(), status("deleting")), visit(2*day+7, gone(), status("deleting")))
	s, v := walk(s, io, visit(8*day, moved(), status("active")))
	if v.Phase != ReRegistered || v.Action != Hold || s.Registered != 0 {
		t.Fatalf("%+v, registered %s", v, s.Registered)
	}
	if _, v = walk(s, io, visit(8*day, moved(), status("active"))); v.Phase != ReRegistered || v.Action != Hold {
		t.Errorf("looked at again: %+v", v)
	}
}

// A mail host that lapses while new control is watched is held all the same.
func TestSequenceMailHostOfNewControl(t *testing.T) {
	other := but(rdap(), func(r *source.Registration) { r.Registrar = "1479" })
	s, v := walk(known(t, com), com, visit(0, moved(), other))
	if v.Reason != ReasonNewControl {
		t.Fatalf("%+v", v)
	}
	s.MailLapsed = "mail-host.example"
	if _, v = walk(s, com, visit(3*day, moved())); v != verdict(Active, Hold, Low, ReasonMailHost).before(lapsed(3*day)) {
		t.Errorf("%+v", v)
	}
}

// A new registration ends the interim of the old one: what moves after the review is settled is nobody's sale.
func TestSequenceNewRegistrationEndsTheInterim(t *testing.T) {
	anew := dated(rdap(), hour(9*day))
	s, v := walk(known(t, com), com, visit(0, parked(), expired(rdap())), visit(10*day, moved(), anew))
	if v.Phase != ReRegistered || s.Interim != 0 || s.GraceAt != 0 {
		t.Fatalf("%+v, %+v", v, s)
	}
	later := with(com, func(f *Facts) { f.Oldest = instant(11 * day) })
	if _, v = walk(s, later, visit(12*day, moved(), anew)); v.Phase != Active || v.Action != None {
		t.Errorf("%+v", v)
	}
}

// What cannot be believed moves no milestone of the grace period.
func TestSequenceInterimIsSeenNotGuessed(t *testing.T) {
	s, _ := walk(known(t, com), com, visit(0, parked(), expired(rdap())))
	next, v := walk(s, com, visit(3*day, moved()))
	if v.Phase != Grace || v.Confidence != NoConfidence || next.Interim != s.Interim || next.GraceAt != s.GraceAt {
		t.Errorf("%+v: interim %s became %s", v, s.Interim, next.Interim)
	}
}

// A clock that was set back: no request reaches beyond the present.
func TestSequenceClockSetBack(t *testing.T) {
	s, _ := walk(known(t, com), com, visit(5, gone(), rdap("redemption period")))
	if _, v := walk(s, com, visit(3, gone(), rdap("redemption period"))); v.VerifiedBefore != lapsed(3) {
		t.Errorf("%+v", v)
	}
	s, _ = walk(known(t, com), com, visit(0, parked(), expired(rdap())), visit(day, parked(), rdap()))
	s.Interim = instant(9 * day)
	if _, v := walk(s, com, visit(2*day, moved(), rdap())); v.VerifiedBefore != lapsed(2*day) {
		t.Errorf("after an interim ahead of us: %+v", v)
	}
}
