package safety

import (
	"strings"
	"testing"
	"time"
)

// An upstream that is wrong about a few names every day stays within each day's limits. It meets that of two weeks.
func TestAFewEveryDayMeetTheFortnight(t *testing.T) {
	limits, watched, l, acted := DefaultLimits(), 1000, Ledger{}, 0
	for d := range 30 {
		now := t0.Add(time.Duration(d) * 25 * time.Hour) // the day's budget is free again after its last hour
		r := Judge(l, limits, watched, map[string]int{redemption: 9}, now)[redemption]
		for range r.Allow {
			var ok bool
			if l, ok = Reserve(l, limits, watched, redemption, now); !ok {
				t.Fatalf("day %d: allowed and not reserved", d)
			}
			acted++
		}
		if within := l.prune(now).fortnight(redemption); within > FortnightTimes*limits.Class(watched) {
			t.Fatalf("day %d: %d within two weeks", d, within)
		}
		if d == 11 && (acted != 99 || !r.Held || !strings.Contains(r.Why, "99 acted on within 14 days and 9 pending")) {
			t.Errorf("on the twelfth day %d: %+v", acted, r)
		}
	}
	if acted < 150 {
		t.Errorf("in thirty days only %d", acted)
	}
}

// All classes together have ten days' limits too; the largest that does not fit is held.
func TestTheFortnightOfAllClasses(t *testing.T) {
	limits, l := DefaultLimits(), Ledger{}
	for d := range 10 {
		at := t0.Add(-time.Duration(d+2) * 24 * time.Hour)
		l = l.Acted(at, redemption, 10).Acted(at, released, 9)
	}
	got := Judge(l, limits, 1000, map[string]int{org: 8, status: 7}, t0)
	if r := got[org]; !r.Held || !strings.Contains(r.Why, "within 14 days and 15 pending") {
		t.Errorf("%+v", r)
	}
	if r := got[status]; r.Held {
		t.Errorf("%+v", r)
	}
	l = l.Acted(t0.Add(-2*24*time.Hour), "elsewhere", 10)
	if _, ok := Reserve(l, limits, 1000, status, t0); ok {
		t.Error("reserved beyond two weeks' limit")
	}
	if _, ok := Reserve(l, limits, 1000, status, t0.Add(12*24*time.Hour)); !ok {
		t.Error("not reserved when the first of them are two weeks old")
	}
}

// A class of which more than a tenth came back to the same registration is doubtful until an operator ends that.
func TestADoubtfulClass(t *testing.T) {
	unit := Unit{Class: redemption, At: t0}
	l := Ledger{}.Acted(t0, redemption, 30)
	now := t0.Add(2 * 24 * time.Hour)
	for i := range 3 {
		var anew bool
		if l, anew = l.CameBack(now, unit); anew {
			t.Fatalf("doubtful after %d of 30", i+1)
		}
	}
	l, anew := l.CameBack(now, unit)
	if _, twice := l.CameBack(now, unit); !anew || twice {
		t.Errorf("after 4 of 30: %t, told twice: %t", anew, twice)
	}
	for _, at := range []time.Time{now, now.Add(300 * 24 * time.Hour)} {
		r := Judge(l, DefaultLimits(), 1000, map[string]int{redemption: 1, org: 1}, at)
		if !r[redemption].Held || !strings.Contains(r[redemption].Why, "doubtful since") || r[org].Held {
			t.Errorf("%+v", r)
		}
		if _, ok := Reserve(l, DefaultLimits(), 1000, redemption, at); ok {
			t.Error("reserved in a doubtful class")
		}
		if _, ok := ReserveApproved(l, 1000, redemption, false, at); !ok {
			t.Error("a person's approval waits for it")
		}
	}
	if r := Judge(l.Trust(redemption), DefaultLimits(), 1000, map[string]int{redemption: 1}, now.Add(24*time.Hour)); r[redemption].Held {
		t.Errorf("trusted again: %+v", r)
	}
	few := Ledger{}.Acted(t0, redemption, 2)
	for range 2 {
		if few, anew = few.CameBack(now, unit); anew {
			t.Error("doubtful for two that were restored")
		}
	}
	for name, u := range map[string]Unit{"one that a person approved": {Class: redemption, At: t0, Approved: true}, "one of a month ago": {Class: redemption, At: t0.Add(-30 * 24 * time.Hour)}} {
		if next, _ := l.CameBack(now, u); summed(next.Back[redemption]) != 4 {
			t.Errorf("%s counts", name)
		}
	}
}
