package lifecycle

import (
	"testing"

	"github.com/lapseguard/lapseguard/shared/source"
)

// After a takeover whose addresses were dealt with, a look at the zone alone must not take the new holder for the
// known one: the registry and the zone agree on that, or nobody does.
func TestNewControlOutlastsALookWithoutTheRegistry(t *testing.T) {
	other := func(o source.Observation) source.Observation {
		r := *o.Registration
		r.Registrar = "another"
		o.Registration = &r
		return o
	}
	s, v := walk(known(t, com), com, visit(0, gone(), rdap("pending delete")), visit(day, moved(), other(dated(rdap(), hour(0.5*day)))))
	if v.Phase != ReRegistered || v.Action != Unverify {
		t.Fatalf("taken over: %+v", v)
	}
	later := with(com, func(f *Facts) { f.Oldest = instant(2 * day) })
	want := verdict(ChangedHands, Watch, Low, ReasonNewControl)
	s, v = walk(s, later, visit(3.5*day, moved()))
	if v != want || s.Home == s.NS {
		t.Errorf("the zone alone: %+v, its name servers count as the holder's: %t", v, s.Home == s.NS)
	}
	if _, v = walk(s, later, visit(3.6*day, moved(), other(dated(rdap(), hour(0.5*day))))); v != want {
		t.Errorf("the registry again: %+v", v)
	}
}

// A time-out of one DNS question during the 45 days after new control ends the watch as little as any unknown answer:
// phase, delegation and home stay, the look is repeated, and the next good one watches on.
func TestNewControlOutlastsAnUnknownDelegation(t *testing.T) {
	other := rdap()
	r := *other.Registration
	r.Registrar = "another"
	other.Registration = &r
	s, v := walk(known(t, com), com, visit(3*day, moved(), other))
	want := verdict(ChangedHands, Watch, Low, ReasonNewControl)
	if v != want {
		t.Fatalf("new control: %+v", v)
	}
	home := s.Home
	for _, c := range []source.Cause{source.CauseTimeout, source.CauseRefused} {
		s, v = walk(s, com, visit(10*day, unknown(source.SourceDelegation, c), other))
		if v.Phase != ChangedHands || v.Action != Confirm || v.Reason != ReasonUnknownSource || s.Home != home || s.Deleg != DelegationMoved {
			t.Errorf("%s: %+v, home as before: %t, delegation %s", c, v, s.Home == home, s.Deleg)
		}
	}
	if _, v = walk(s, com, visit(11*day, moved(), other)); v != want {
		t.Errorf("the next good look: %+v", v)
	}
}
