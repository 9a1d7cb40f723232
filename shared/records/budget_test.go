package records

import (
	"testing"
	"time"
)

var budgetNoon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// TestBudgetTakesPlaces one after another, and none that the taker could not use.
func TestBudgetTakesPlaces(t *testing.T) {
	var b Budget
	until := budgetNoon.Add(time.Minute)
	if p := b.Take(budgetNoon, until, 6*time.Second, time.Hour, 4); p.N != 4 || !p.From.Equal(budgetNoon) {
		t.Errorf("first: %+v", p)
	}
	if p := b.Take(budgetNoon, until, 6*time.Second, time.Hour, 40); p.N != 7 || !p.From.Equal(budgetNoon.Add(24*time.Second)) {
		t.Errorf("second, cut off by its deadline: %+v", p)
	}
	before := b
	if p := b.Take(budgetNoon, until, 6*time.Second, time.Hour, 1); p.N != 0 || b != before {
		t.Errorf("a place behind the deadline: %+v", p)
	}
	if p := b.Take(budgetNoon, time.Time{}, 6*time.Second, time.Minute, 1); p.N != 0 || b != before {
		t.Errorf("a place farther off than patience: %+v", p)
	}
	if p := b.Take(budgetNoon.Add(time.Hour), time.Time{}, 6*time.Second, time.Minute, 40); p.N != 40 || !p.From.Equal(budgetNoon.Add(time.Hour)) {
		t.Errorf("nobody asked meanwhile; what was not taken is not saved up: %+v", p)
	}
}

// TestBudgetRecovers: slower for the run and the next, then a step a day; each refusal is a step down, to a floor.
func TestBudgetRecovers(t *testing.T) {
	var b Budget
	for range 3 {
		b.Refuse(budgetNoon, 0, true)
	}
	for hours, want := range map[int]int{0: 3, 47: 3, 48: 2, 71: 2, 72: 1, 96: 0, 1000: 0} {
		if got := b.Slowed(budgetNoon.Add(time.Duration(hours) * time.Hour)); got != want {
			t.Errorf("after %d h: %d steps, want %d", hours, got, want)
		}
	}
	if p := b.Take(budgetNoon, time.Time{}, time.Second, time.Hour, 2); p.Every != 8*time.Second {
		t.Errorf("one every %s", p.Every)
	}
	if b.Refuse(budgetNoon.Add(72*time.Hour), 0, true); b.Slow != 2 {
		t.Errorf("refused again while recovering: %d", b.Slow)
	}
	for range 20 {
		b.Refuse(budgetNoon, 0, true)
	}
	if b.Slow != maxSlow {
		t.Errorf("%d steps", b.Slow)
	}
}

// TestBudgetStaysAway as long as the server said, whatever the reason.
func TestBudgetStaysAway(t *testing.T) {
	var b Budget
	b.Refuse(budgetNoon, 10*time.Minute, false)
	b.Refuse(budgetNoon, time.Minute, false)
	if b.Slow != 0 {
		t.Errorf("slower for a refusal of another kind")
	}
	if p := b.Take(budgetNoon, time.Time{}, time.Second, time.Minute, 1); p.N != 0 || !p.From.Equal(budgetNoon.Add(10*time.Minute)) {
		t.Errorf("%+v", p)
	}
	if p := b.Take(budgetNoon.Add(10*time.Minute), time.Time{}, time.Second, time.Hour, 1); p.N != 1 || !p.From.Equal(budgetNoon.Add(10*time.Minute)) {
		t.Errorf("%+v", p)
	}
}

// TestASilentServerIsLeftAloneForLonger each time, up to a day, until it is heard again.
func TestASilentServerIsLeftAloneForLonger(t *testing.T) {
	var b Budget
	at := budgetNoon
	for n, away := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour, 24 * time.Hour} {
		if b.Silence(at); b.Silent != n+1 || !b.Until.Equal(at.Add(away)) {
			t.Errorf("silent %d times: away until %s, want %s", b.Silent, b.Until, at.Add(away))
		}
		at = b.Until
	}
	b.Heard()
	if b.Silence(at); !b.Until.Equal(at.Add(30 * time.Minute)) {
		t.Errorf("heard meanwhile, and silent again: away until %s", b.Until)
	}
}

// TestACandidateIsDeniedForAWeek until it is dropped, which is told once.
func TestACandidateIsDeniedForAWeek(t *testing.T) {
	b := newBook(t)
	for _, c := range []struct {
		after          time.Duration
		dropped, first bool
	}{{0, false, false}, {7*24*time.Hour - time.Second, false, false}, {7 * 24 * time.Hour, true, true}, {8 * 24 * time.Hour, true, false}} {
		d, first, err := b.Deny(t.Context(), "delegation/com", "nic.com", now.Add(c.after))
		if err != nil || first != c.first || d.Dropped.IsZero() == c.dropped || !d.Since.Equal(now) {
			t.Errorf("after %s: %+v %t %v", c.after, d, first, err)
		}
	}
	if err := b.Admitted(t.Context(), "delegation/com", "nic.com"); err != nil {
		t.Error(err)
	}
	if d, err := b.Denied(t.Context(), "delegation/com", "nic.com"); err != nil || !d.Dropped.IsZero() || !d.Since.IsZero() {
		t.Errorf("it is known again: %+v %v", d, err)
	}
}
