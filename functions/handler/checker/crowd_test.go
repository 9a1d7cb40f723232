package checker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

// homes are domains whose zone delegated them yesterday, and says of them today what is given.
func (w *world) homes(now source.Observation, names ...string) {
	w.t.Helper()
	var entries []queue.Entry
	for _, name := range names {
		w.dns.by[name], w.rdap.by[name] = delegated("ns1.host.example"), registered("active")
		entries = append(entries, w.add(name))
	}
	w.ask(queue.Message{}, entries...)
	w.at = w.at.Add(24 * time.Hour)
	for _, name := range names {
		w.dns.by[name] = now
	}
}

// tell puts a zone's message about some of them.
func (w *world) tell(names ...string) {
	w.t.Helper()
	var entries []queue.Entry
	for _, name := range names {
		entries = append(entries, w.entry(name))
	}
	w.ask(queue.Message{Run: "20260303T030000Z"}, entries...)
}

func (w *world) delegations(names ...string) (seen []lifecycle.Delegated) {
	for _, name := range names {
		seen = append(seen, w.get(name).State.Deleg)
	}
	return seen
}

// TestTheRestOfACrowdDoesNotPass: whatever number of them a message has, and where the zone has names known to be
// registered too.
func TestTheRestOfACrowdDoesNotPass(t *testing.T) {
	for _, known := range []bool{false, true} {
		w := newWorld(t)
		if known {
			w.know("known.com")
			w.dns.by["known.com"], w.dns.by[freeLabel+".com"] = delegated("ns.example"), gone()
		}
		w.homes(gone(), "a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com", "f-six.com", "g-seven.com")
		w.tell("a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com")
		w.tell("f-six.com", "g-seven.com")
		for i, d := range w.delegations("a-one.com", "f-six.com", "g-seven.com") {
			if d != lifecycle.DelegationHome {
				t.Errorf("names known: %t: domain %d of a zone that lost everything is believed to be %s", known, i, d)
			}
		}
		w.at = w.at.Add(27 * time.Hour)
		if w.tell("g-seven.com"); w.get("g-seven.com").State.Deleg != lifecycle.DelegationGone {
			t.Errorf("names known: %t: a lone name is doubted a day later, when no crowd is seen any more", known)
		}
	}
}

// TestACrowdInPartsIsACrowd where nobody is known: four segments of the table send four messages.
func TestACrowdInPartsIsACrowd(t *testing.T) {
	w := newWorld(t)
	w.homes(gone(), "a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com", "f-six.com")
	w.tell("a-one.com", "b-two.com")
	w.tell("c-three.com", "d-four.com")
	w.tell("e-five.com", "f-six.com")
	if d := w.delegations("e-five.com", "f-six.com"); d[0] != lifecycle.DelegationHome || d[1] != lifecycle.DelegationHome {
		t.Errorf("the fifth and the sixth in a day are believed: %v", d)
	}
	w.tell("a-one.com") // it is asked again: no further name
	if n := len(w.parked()); n == 0 {
		t.Error("nothing waits to be asked again")
	}
}

// TestALoneNameOfAZoneIsBelieved, again and again.
func TestALoneNameOfAZoneIsBelieved(t *testing.T) {
	w := newWorld(t)
	w.homes(gone(), "a-one.com")
	if w.tell("a-one.com"); w.get("a-one.com").State.Deleg != lifecycle.DelegationGone {
		t.Error("the only name of a zone can never be lost")
	}
}

// TestParkedIsBadNews: a zone that gives everything to a parking company at once is in doubt, and so is one that does
// it to a name known to be registered.
func TestParkedIsBadNews(t *testing.T) {
	parking := delegated("ns1.sedoparking.com")
	if !lifecycle.Parking(parking.Delegation.NS) {
		t.Fatal("no parking company")
	}
	w := newWorld(t)
	w.homes(parking, "a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com")
	if w.tell("a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com"); w.get("a-one.com").State.Deleg != lifecycle.DelegationHome {
		t.Errorf("a crowd is parked at once, and believed: %s", w.get("a-one.com").State.Deleg)
	}
	for _, sane := range []bool{true, false} {
		w := newWorld(t)
		w.know("known.com")
		w.dns.by["known.com"], w.dns.by[freeLabel+".com"] = parking, gone()
		if sane {
			w.dns.by["known.com"] = delegated("ns.example")
		}
		w.homes(parking, "a-one.com")
		w.tell("a-one.com")
		if got := w.get("a-one.com").State.Deleg == lifecycle.DelegationParked; got != sane {
			t.Errorf("the zone is right about the known name: %t, and believed: %t", sane, got)
		}
	}
}

// TestAParkingListThatNamesAGreatDNSHost raises an alarm: names in their holders' hands are on its name servers, too many.
func TestAParkingListThatNamesAGreatDNSHost(t *testing.T) {
	for name, tt := range map[string]struct {
		there, elsewhere int
		doubtful         bool
	}{"a tenth": {30, 260, true}, "a few": {20, 40, false}, "a small part": {30, 400, false}} {
		w := newWorld(t)
		log := w.know("known.com")
		stats := w.stats()
		listed := []string{"ns1.sedoparking.com", "ns2.sedoparking.com"}
		m := queue.Message{Kind: queue.KindDelegation, Upstream: "com"}
		var obs []source.Observation
		for i := range tt.there + tt.elsewhere {
			ns := listed
			if i >= tt.there {
				ns = []string{"ns.example"}
			}
			d := records.NewDomain(fmt.Sprintf("example-%d.com", i), lifecycle.At(w.at))
			d.State.Home = source.Fingerprint(ns)
			m.Domains = append(m.Domains, queue.Entry{Name: d.Name, Item: []byte(d.Data())})
			obs = append(obs, delegated(ns...))
		}
		w.doubtParking(t.Context(), m, newSubjects(w.Store, m.Domains), obs)
		if got := strings.Contains(log.String(), "parking_list_doubtful") && strings.Contains(stats.String(), "BreakerTripped"); got != tt.doubtful {
			t.Errorf("%s: an alarm %t, want %t", name, got, tt.doubtful)
		}
	}
}
