package lifecycle

import (
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// deletedObject is what some registries go on publishing of a name that is no registration any more.
func deletedObject(change func(*source.Registration)) source.Observation {
	return but(rdap(), func(r *source.Registration) {
		r.Deleted = hour(-100 * day)
		if change != nil {
			change(r)
		}
	})
}

// TestADeletedObjectWithoutAStatusIsUndecided: it does not say that somebody holds the name, nor that nobody does.
func TestADeletedObjectWithoutAStatusIsUndecided(t *testing.T) {
	for name, c := range map[string]struct {
		obs    source.Observation
		word   Word
		delegs source.Observation
		action Action
		reason Reason
	}{
		"gone from the zone":      {deletedObject(nil), WordUndecided, gone(), Confirm, ReasonOneWitness},
		"parked":                  {deletedObject(nil), WordUndecided, parked(), Confirm, ReasonOneWitness},
		"delegated as before":     {deletedObject(nil), WordUndecided, home(), None, ReasonDelegatedOnly},
		"with a status":           {deletedObject(func(r *source.Registration) { r.Statuses = []string{"active"} }), WordRegistered, home(), None, ReasonDelegated},
		"registered since":        {deletedObject(func(r *source.Registration) { r.Registered, r.Deleted = registered, registered.Add(-time.Hour) }), WordRegistered, home(), None, ReasonDelegated},
		"no status, no deletion":  {rdap(), WordRegistered, home(), None, ReasonDelegated},
		"gone, no deletion event": {rdap(), WordRegistered, gone(), Watch, ReasonOutOfService},
	} {
		t.Run(name, func(t *testing.T) {
			before := known(t, com)
			s, v := Visit(before, at(hour(0), []source.Observation{c.delegs, c.obs}), com, instant(0))
			if s.Reg != c.word || v.Action != c.action || v.Reason != c.reason {
				t.Errorf("%s; %s, %s: want %s; %s, %s", s.Reg, v.Action, v.Reason, c.word, c.action, c.reason)
			}
			if s.Phase != Active {
				t.Errorf("phase %s", s.Phase)
			}
			if c.word == WordUndecided && (s.NextRDAP.Since(instant(0)) > Daily || s.Registered != before.Registered || s.Expires != before.Expires) {
				t.Errorf("asked again in %s; dates taken from what is in doubt: %+v", s.NextRDAP.Since(instant(0)), s)
			}
		})
	}
}

// TestAnUndecidedObjectEndsNoLapse, and makes no new name servers the holder's.
func TestAnUndecidedObjectEndsNoLapse(t *testing.T) {
	s, v := walk(known(t, com), com, visit(0, gone(), rdap("redemption period")), visit(24, home(), deletedObject(nil)))
	if s.Phase != Redemption || v.Action != Confirm {
		t.Errorf("from redemption: %s, %s", s.Phase, v.Action)
	}
	s, _ = walk(known(t, com), com, visit(0, moved(), deletedObject(nil)))
	if s.Deleg != DelegationMoved {
		t.Errorf("moved name servers are %s on an undecided word", s.Deleg)
	}
}

// TestItsDatesDoNotMatter: a registration that the object dates later than it was known is no new one.
func TestItsDatesDoNotMatter(t *testing.T) {
	later := deletedObject(func(r *source.Registration) { r.Registered, r.Registrar = verified.Add(400*24*time.Hour), "9999" })
	s, v := walk(known(t, com), com, visit(0, home(), later))
	if s.Moved != 0 || s.ControlAt != 0 || v.Phase != Active {
		t.Errorf("%+v", s)
	}
}
