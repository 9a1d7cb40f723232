package applier

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

const redemption = "rdap.example.net/redemption"

// short is an invocation in which so many domains can be read and no more: then its deadline is near.
type short struct {
	store.Store
	left int
}

func (s *short) GetMany(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	for _, k := range keys {
		if k.Table == store.Domains {
			s.left--
		}
	}
	return s.Store.GetMany(ctx, keys)
}

type deadline struct {
	context.Context
	s *short
}

func (d deadline) Deadline() (time.Time, bool) {
	if d.s.left <= 0 {
		return time.Now(), true
	}
	return time.Now().Add(time.Hour), true
}

// TestACrowdDoesNotStarveTheNewestLapse: 2,000 due items, and invocations that each fit 500. The walk goes on where it
// ended; what the breaker lets pass goes first.
func TestACrowdDoesNotStarveTheNewestLapse(t *testing.T) {
	w := newWorld(t)
	for i := range 1999 {
		w.lapsed(fmt.Sprintf("crowd-%04d.com", i), nil)
	}
	w.at = w.at.Add(time.Minute)
	w.lapsed("newest.org", func(d *records.Domain) { d.State.RegServer = "rdap.other.example" })
	full := w.Store
	ticks := 0
	for ; ticks < 8 && len(w.reg.requests) == 0; ticks++ {
		s := &short{Store: full, left: 500}
		w.Store = s
		if _, err := w.Handle(deadline{t.Context(), s}, Event{Action: "tick"}); err != nil {
			t.Fatal(err)
		}
		w.at = w.at.Add(15 * time.Minute)
	}
	if len(w.reg.requests) != 1 || w.reg.requests[0].Domain != "newest.org" {
		t.Fatalf("%d requests after %d ticks: %+v", len(w.reg.requests), ticks, w.reg.requests)
	}
	s := &short{Store: full, left: 500} // the next invocation holds some of the crowd, and remembers the rest
	w.Store = s
	if res, err := w.Handle(deadline{t.Context(), s}, Event{Action: "tick"}); err != nil || res.Held == 0 || len(w.reg.requests) != 1 {
		t.Errorf("%+v, %d requests, %v", res, len(w.reg.requests), err)
	}
	if at, err := w.book().Walk(t.Context()); err != nil || len(at.V.Names[redemption]) == 0 {
		t.Errorf("what is left of the walk is forgotten: %+v, %v", at.V, err)
	}
}

// TestAHeldDomainCostsATickNothing: neither what a verdict holds nor what the breaker does.
// TestWhatIsGoneForLongWaitsForADayWithRoom: a portfolio of twelve that zone and registry showed deleted for three weeks is no
// upstream's mistake, and passes ten a day. A crowd of yesterday's is held whole, and with it what is gone for long; so is
// a doubtful class.
func TestWhatIsGoneForLongWaitsForADayWithRoom(t *testing.T) {
	long := func(back time.Duration, edit func(*records.Domain)) func(*records.Domain) {
		return func(d *records.Domain) {
			since := d.State.DelegAt.Add(-back)
			d.State.DelegSince, d.State.Deleted = since, since
			if edit != nil {
				edit(d)
			}
		}
	}
	const held = 12
	for name, tt := range map[string]struct {
		edit   func(*records.Domain)
		before func(*world)
		acted  []int // a day
		holds  int
	}{
		"for three weeks":           {edit: long(longDeleted, nil), acted: []int{10, 2}},
		"not quite":                 {edit: long(longDeleted-time.Second, nil), acted: []int{0, 0}, holds: held},
		"the zone, since yesterday": {edit: long(longDeleted, func(d *records.Domain) { d.State.DelegSince = d.State.DelegAt.Add(-24 * time.Hour) }), acted: []int{0, 0}, holds: held},
		"the registry, since then":  {edit: long(longDeleted, func(d *records.Domain) { d.State.Deleted = d.State.DelegAt.Add(-24 * time.Hour) }), acted: []int{0, 0}, holds: held},
		"delegated as ever":         {edit: long(longDeleted, func(d *records.Domain) { d.State.Deleg = lifecycle.DelegationHome }), acted: []int{0, 0}, holds: held},
		"in a doubtful class": {edit: long(longDeleted, nil), acted: []int{0, 0}, holds: held, before: func(w *world) {
			w.write(records.Record(records.PKGuard, records.SKBreaker, safety.Ledger{Doubted: map[string]time.Time{redemption: w.at}}, time.Time{}))
		}},
		"beside a crowd of yesterday's": {edit: long(longDeleted, nil), acted: []int{0, 0}, holds: held + 11, before: func(w *world) {
			for i := range 11 {
				w.lapsed(fmt.Sprintf("yesterday-%02d.com", i), nil)
			}
			w.tick()
		}},
	} {
		w := newWorld(t)
		if tt.before != nil {
			tt.before(w)
		}
		for i := range held {
			w.lapsed(fmt.Sprintf("gone-%02d.com", i), tt.edit)
		}
		for day, want := range tt.acted {
			w.reg.requests = nil
			for range 3 {
				w.tick()
				w.at = w.at.Add(15 * time.Minute)
			}
			if len(w.reg.requests) != want {
				t.Errorf("%s: %d acted on on day %d, want %d", name, len(w.reg.requests), day+1, want)
			}
			w.at = w.at.Add(23*time.Hour + 20*time.Minute)
			for i := range held {
				w.change(fmt.Sprintf("gone-%02d.com", i), func(d *records.Domain) { d.State.RegAt, d.State.DelegAt = lifecycle.At(w.at), lifecycle.At(w.at) })
			}
		}
		if n := len(w.holds()); n != tt.holds || tt.holds == 0 && strings.Contains(w.log.String(), "breaker_tripped") {
			t.Errorf("%s: %d holds, want %d", name, n, tt.holds)
		}
	}
}

func TestAHeldDomainCostsATickNothing(t *testing.T) {
	w, m := newQuiet(t)
	for i := range 50 {
		w.lapsed(fmt.Sprintf("crowd-%02d.com", i), nil)
		w.lapsed(fmt.Sprintf("hold-%02d.net", i), func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	}
	if res := w.tick(); res.Held != 100 {
		t.Fatalf("%+v", res)
	}
	w.at = w.at.Add(15 * time.Minute)
	m.reads, m.writes = 0, 0
	if w.tick(); m.reads != 2+store.Shards || m.writes != 0 {
		t.Errorf("a tick beside 100 holds: %d reads, %d writes", m.reads, m.writes)
	}
}

// TestTheBreakersHoldEndsWhenTheClassFits: it is judged again when one of the crowd is renewed.
func TestTheBreakersHoldEndsWhenTheClassFits(t *testing.T) {
	w := newWorld(t)
	for i := range 11 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	if res := w.tick(); res.Held != 11 {
		t.Fatalf("%+v", res)
	}
	w.change("example-05.com", quiet)
	if res := w.tick(); res.Acted != 10 || w.stands("example-05.com") != decision.Idle {
		t.Errorf("%+v, and the renewed one is %s", res, w.stands("example-05.com"))
	}
	if l, _ := w.book().Ledger(t.Context()); len(l.V.Held) != 0 {
		t.Errorf("still counted: %v", l.V.Held)
	}
}

// TestTheBreakersHoldEndsWithTheDay: what filled the total yesterday leaves it, on a tick that has nothing else to do.
func TestTheBreakersHoldEndsWithTheDay(t *testing.T) {
	w, _ := newQuiet(t)
	for class := range 3 {
		for i := range 8 {
			w.lapsed(fmt.Sprintf("example-%d-%d.com", class, i), func(d *records.Domain) { d.State.RegServer = fmt.Sprintf("rdap-%d.example", class) })
		}
	}
	if res := w.tick(); res.Acted != 16 || res.Held != 8 {
		t.Fatalf("%+v", res)
	}
	w.at = w.at.Add(15 * time.Minute)
	if w.tick(); len(w.reg.requests) != 16 {
		t.Fatal("more than the limit of a day")
	}
	w.at = w.at.Add(25 * time.Hour)
	w.write(records.Record(records.PKGuard, records.SKDigest, records.Digested{Day: "2026-03-02"}, time.Time{}))
	if res := w.tick(); res.Looks != 8 && res.Acted != 8 {
		t.Errorf("a day later: %+v", res)
	}
}

// TestApprovingTheGracePeriodDoesNotDisarmTheDeletion: they are two decisions.
func TestApprovingTheGracePeriodDoesNotDisarmTheDeletion(t *testing.T) {
	for name, act := range map[string]bool{"approved and carried out, addresses kept": true, "released": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.lapsed("example-one.com", func(d *records.Domain) {
				d.State.Phase, d.State.Reg, d.Action, d.Reason = lifecycle.Grace, lifecycle.WordAutoRenew, lifecycle.Hold, lifecycle.ReasonGraceTwice
			})
			w.tick()
			first := 0
			if act {
				w.reg.answer.KeptLater = 2
				w.must(Event{Action: "approve", Domain: "example-one.com"})
				w.tick()
				w.later(time.Minute, "example-one.com")
				w.tick()
				first = 1
			} else {
				w.must(Event{Action: "unhold", Domain: "example-one.com"})
			}
			if len(w.reg.requests) != first {
				t.Fatalf("%d requests in the grace period", len(w.reg.requests))
			}
			w.at = w.at.Add(20 * 24 * time.Hour)
			w.change("example-one.com", func(d *records.Domain) {
				now := lifecycle.At(w.at)
				d.State.Phase, d.State.Since, d.State.Reg, d.State.RegAt, d.State.DelegAt = lifecycle.Redemption, now, lifecycle.WordRedemption, now, now
				d.Action, d.Reason, d.VerifiedBefore = lifecycle.Unverify, lifecycle.ReasonDeleted, now
			})
			if w.tick(); len(w.reg.requests) != first+1 {
				t.Fatalf("%d requests after the deletion", len(w.reg.requests))
			}
			if act && w.reg.requests[0].Key == w.reg.requests[1].Key {
				t.Error("both under one key: the registry answers what it answered before")
			}
		})
	}
}

// TestOneApprovedTripsNoClass: with a limit of ten, ten pending and one approved by itself.
func TestOneApprovedTripsNoClass(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-10.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	w.tick()
	w.at = w.at.Add(time.Minute)
	w.must(Event{Action: "approve", Domain: "example-10.com"})
	w.tick() // sends its look
	w.later(time.Minute, "example-10.com")
	for i := range 10 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	if res := w.tick(); res.Acted != 11 || res.Held != 0 {
		t.Errorf("%+v: the one that a person approved holds the ten", res)
	}
}

// TestTheApprovalOfAClassIsBoundToWhatIsHeld by name; another number is refused with both, and status says what stands.
func TestTheApprovalOfAClassIsBoundToWhatIsHeld(t *testing.T) {
	w := newWorld(t)
	if _, err := w.say(Event{Action: "approve", Class: redemption, Count: 999, PerDay: 500}); err == nil || !strings.Contains(err.Error(), "holds nothing") {
		t.Fatalf("approved with nothing held: %v", err)
	}
	for i := range 30 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.tick()
	for _, n := range []int{29, 31, 999} {
		if _, err := w.say(Event{Action: "approve", Class: redemption, Count: n, PerDay: 5}); err == nil || !strings.Contains(err.Error(), fmt.Sprint(n)) || !strings.Contains(err.Error(), "30 are held") {
			t.Errorf("%d for 30: %v", n, err)
		}
	}
	w.must(Event{Action: "approve", Class: redemption, Count: 30, PerDay: 5})
	if res := w.must(Event{Action: "status"}); !strings.Contains(res.Text, redemption+" is approved by on-call until 2 April 03:30 UTC: 30 of its list are left, 5 a day") {
		t.Errorf("status %q", res.Text)
	}
	for i := range 60 { // lapses that nobody reviewed
		w.lapsed(fmt.Sprintf("fresh-%02d.com", i), nil)
	}
	if res := w.tick(); res.Acted != 5 || res.Held != 60 {
		t.Errorf("%+v: want five of the list, and the sixty held", res)
	}
	for _, r := range w.reg.requests {
		if strings.HasPrefix(r.Domain, "fresh") {
			t.Errorf("%s was let through by an approval that does not name it", r.Domain)
		}
	}
	w.must(Event{Action: "revoke", Class: redemption})
	if res := w.tick(); res.Acted != 0 || w.stands("example-29.com") != decision.Held {
		t.Errorf("after it was revoked: %+v, %s", res, w.stands("example-29.com"))
	}
	if res := w.must(Event{Action: "status"}); strings.Contains(res.Text, "is approved") || !strings.Contains(res.Text, "1 hold waits") {
		t.Errorf("status %q", res.Text)
	}
	w.must(Event{Action: "approve", Class: redemption, Count: 85, PerDay: 7})
	if res := w.tick(); res.Acted != 2 {
		t.Errorf("%+v: want the seven of a day, less five", res)
	}
}

// TestAHoldFollowsItsClass: a crowd that was held in redemption and is about to be released is approved by that name.
func TestAHoldFollowsItsClass(t *testing.T) {
	w := newWorld(t)
	const released = "rdap.example.net/pending delete"
	for i := range 12 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.tick()
	for i := range 12 {
		w.change(fmt.Sprintf("example-%02d.com", i), func(d *records.Domain) {
			d.State.Phase, d.State.Reg = lifecycle.PendingDelete, lifecycle.WordPendingDelete
		})
	}
	if res := w.tick(); res.Acted != 0 {
		t.Fatalf("%+v", res)
	}
	if l, _ := w.book().Ledger(t.Context()); len(l.V.Held) != 1 || l.V.Held[released] != 12 {
		t.Errorf("held %v", l.V.Held)
	}
	w.must(Event{Action: "approve", Class: released, Count: 12, PerDay: 12})
	if res := w.tick(); res.Acted != 12 {
		t.Errorf("%+v", res)
	}
}

// TestApprovedDomainsHaveADailyCeiling, whatever rate was stated.
func TestApprovedDomainsHaveADailyCeiling(t *testing.T) {
	w := newWorld(t)
	for i := range 120 {
		w.lapsed(fmt.Sprintf("example-%03d.com", i), nil)
	}
	w.tick()
	w.must(Event{Action: "approve", Class: redemption, Count: 120, PerDay: 5000})
	if res := w.tick(); res.Acted != 50 || res.Waiting != 70 {
		t.Errorf("%+v: 1,000 domains are watched, want a ceiling of 50 a day", res)
	}
}

// TestAListedDomainsBoundIsFanouts: the bound of a request follows from what fanout took from the registry's list, not
// from the domain's item, which checker writes too.
func TestAListedDomainsBoundIsFanouts(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.change("example-one.com", func(d *records.Domain) { d.Addresses = 1_000_000 })
	w.tick()
	if n := w.reg.requests[0].MaxAddresses; n != 8 {
		t.Errorf("max_addresses %d, want the list's 3 and five", n)
	}
}

// TestTheSecondStageOfAFullUnverifyIsNotSent while the list was not read since.
func TestTheSecondStageOfAFullUnverifyIsNotSent(t *testing.T) {
	w := newWorld(t)
	w.reg.answer = registry.Answer{Changed: 3, Recovery: registry.RecoveryClosed}
	w.lapsed("example-one.com", func(d *records.Domain) {
		d.State.Phase, d.State.Reg, d.Reason = lifecycle.Grace, lifecycle.WordAutoRenew, lifecycle.ReasonGraceTwice
	})
	w.tick()
	w.change("example-one.com", func(d *records.Domain) {
		d.State.Phase, d.State.Reg, d.Reason = lifecycle.Redemption, lifecycle.WordRedemption, lifecycle.ReasonDeleted
	})
	if w.tick(); len(w.reg.requests) != 1 {
		t.Fatalf("%d requests", len(w.reg.requests))
	}
	w.write(records.Record(records.PKGuard, records.SKSynced, records.Synced{AsOf: lifecycle.At(w.at.Add(time.Hour))}, time.Time{}))
	w.change("example-one.com", func(d *records.Domain) { d.State.Phase = lifecycle.PendingDelete })
	if w.tick(); len(w.reg.requests) != 2 {
		t.Errorf("%d requests, although the list still names addresses", len(w.reg.requests))
	}
}

// TestWhatFitsAgainIsTakenUpBesideWhatWasApproved: each is put to the registry once, in the same tick.
func TestWhatFitsAgainIsTakenUpBesideWhatWasApproved(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	if res := w.tick(); res.Held != 30 {
		t.Fatalf("%+v, want a crowd that is held", res)
	}
	for i := range 20 {
		w.must(Event{Action: "approve", Domain: fmt.Sprintf("example-%02d.com", i)})
	}
	if res := w.tick(); res.Acted != 30 || len(w.reg.requests) != 30 {
		t.Errorf("%+v, %d requests; want all of them, once", res, len(w.reg.requests))
	}
}
