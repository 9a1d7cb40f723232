package safety

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

const (
	redemption = "rdap.verisign.com/redemption"
	released   = "rdap.verisign.com/released"
	org        = "rdap.publicinterestregistry.org/redemption"
	status     = "status/pending delete"
)

func approval(perDay, left int) Approval {
	return Approval{By: "Ada", At: t0, Until: t0.Add(10 * 24 * time.Hour), PerDay: perDay, Left: left}
}

func approve(t testing.TB, l Ledger, class string, a Approval) Ledger {
	t.Helper()
	l, err := l.Approve(class, a)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestJudge(t *testing.T) {
	var none Ledger
	ok := func(n int) Ruling { return Ruling{Allow: n} }
	no := Ruling{Held: true}
	full := none
	for i := range MaxClasses {
		full = full.ActedApproved(t0, fmt.Sprintf("class %d", i), 1)
	}
	for _, c := range []struct {
		name    string
		l       Ledger
		limits  Limits
		watched int
		pending map[string]int
		want    map[string]Ruling
	}{
		{name: "nothing pending", want: map[string]Ruling{}},
		{name: "none of a class", pending: map[string]int{redemption: 0, org: -1}, want: map[string]Ruling{redemption: {}, org: {}}},
		{name: "below the class's limit", pending: map[string]int{redemption: 9}, want: map[string]Ruling{redemption: ok(9)}},
		{name: "at the class's limit", pending: map[string]int{redemption: 10}, want: map[string]Ruling{redemption: ok(10)}},
		{name: "above it: the whole class", pending: map[string]int{redemption: 11, org: 2}, want: map[string]Ruling{redemption: no, org: ok(2)}},
		{name: "acted and pending at the limit", l: none.Acted(t0, redemption, 7), pending: map[string]int{redemption: 3}, want: map[string]Ruling{redemption: ok(3)}},
		{name: "acted and pending above it", l: none.Acted(t0, redemption, 7), pending: map[string]int{redemption: 4}, want: map[string]Ruling{redemption: no}},
		{name: "acted a day ago", l: none.Acted(t0.Add(-25*time.Hour), redemption, 7), pending: map[string]int{redemption: 10}, want: map[string]Ruling{redemption: ok(10)}},
		{name: "acted less than a day ago", l: none.Acted(t0.Add(-Window+time.Minute), redemption, 7), pending: map[string]int{redemption: 4}, want: map[string]Ruling{redemption: no}},
		{name: "a held class leaves the total to the others", pending: map[string]int{redemption: 500, org: 10, released: 10},
			want: map[string]Ruling{redemption: no, org: ok(10), released: ok(10)}},
		{name: "total: the largest is held", pending: map[string]int{redemption: 10, org: 9, released: 8, status: 3},
			want: map[string]Ruling{redemption: no, org: ok(9), released: ok(8), status: ok(3)}},
		{name: "total: until the rest fits", l: none.Acted(t0, "elsewhere", 8), pending: map[string]int{redemption: 10, org: 9, released: 8, status: 4},
			want: map[string]Ruling{redemption: no, org: no, released: ok(8), status: ok(4)}},
		{name: "total: of equal ones the first by name", pending: map[string]int{org: 9, redemption: 9, released: 9},
			want: map[string]Ruling{org: no, redemption: ok(9), released: ok(9)}},
		{name: "total: used up", l: none.Acted(t0, "elsewhere", 20), pending: map[string]int{org: 1}, want: map[string]Ruling{org: no}},
		{name: "share of many", watched: 100_000, pending: map[string]int{redemption: 100, org: 100}, want: map[string]Ruling{redemption: ok(100), org: ok(100)}},
		{name: "share of many, above", watched: 100_000, pending: map[string]int{redemption: 101, org: 100}, want: map[string]Ruling{redemption: no, org: ok(100)}},
		{name: "limits of a class", limits: Limits{Count: 20, ClassCount: 3}, pending: map[string]int{redemption: 4, org: 3}, want: map[string]Ruling{redemption: no, org: ok(3)}},
		{name: "an approval lets nothing through that it does not name", l: approve(t, none, redemption, approval(500, 999)), pending: map[string]int{redemption: 60},
			want: map[string]Ruling{redemption: no}},
		{name: "acts that a person approved count for no limit", l: none.ActedApproved(t0, redemption, 40), pending: map[string]int{redemption: 10, org: 10},
			want: map[string]Ruling{redemption: ok(10), org: ok(10)}},
		{name: "ledger of a newer version", l: Ledger{Schema: LedgerSchema + 1}, pending: map[string]int{redemption: 1}, want: map[string]Ruling{redemption: no}},
		{name: "too many classes", l: full, pending: map[string]int{redemption: 1, "class 1": 1}, want: map[string]Ruling{redemption: no, "class 1": ok(1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.limits == (Limits{}) {
				c.limits = DefaultLimits()
			}
			if c.watched == 0 {
				c.watched = 1000
			}
			got := Judge(c.l, c.limits, c.watched, c.pending, t0)
			for range 20 { // a map is met in another order each time
				if diff := cmp.Diff(got, Judge(c.l, c.limits, c.watched, c.pending, t0)); diff != "" {
					t.Fatalf("not the same twice:\n%s", diff)
				}
			}
			for class, r := range got {
				if asked := r.Held || r.Allow < c.pending[class]; (r.Why != "") != asked {
					t.Errorf("%s: allowed %d of %d, held %t, says %q", class, r.Allow, c.pending[class], r.Held, r.Why)
				}
				if r.Held && !strings.Contains(r.Why, "Decide:") {
					t.Errorf("%s: a hold that does not say what to decide: %s", class, r.Why)
				}
				r.Why = ""
				got[class] = r
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhySaysTheNumbers(t *testing.T) {
	l := Ledger{}.Acted(t0, redemption, 3)
	limits := Limits{Count: 40}
	for want, r := range map[string]Ruling{
		"rdap.verisign.com/redemption: 3 acted on within 24 hours and 45 pending are more than the 20 allowed for one class (1200 domains watched). Decide: ": Judge(l, limits, 1200,
			map[string]int{redemption: 45}, t0)[redemption],
		"rdap.publicinterestregistry.org/redemption: 3 acted on within 24 hours and 53 pending in all classes not yet held are more than the 40 allowed in total (1200 domains watched); this class, with 20, is the largest. Decide: ": Judge(l, limits, 1200,
			map[string]int{org: 20, released: 18, redemption: 15}, t0)[org],
	} {
		if !strings.HasPrefix(r.Why, want) {
			t.Errorf("says %s\nwant %s", r.Why, want)
		}
	}
}

func TestReserveAndRefund(t *testing.T) {
	limits, watched := DefaultLimits(), 1000
	take := func(l Ledger, class string, n int, now time.Time) (Ledger, int) {
		for i := range n {
			next, ok := Reserve(l, limits, watched, class, now)
			if !ok {
				if diff := cmp.Diff(l, next); diff != "" {
					t.Errorf("refused, and yet changed:\n%s", diff)
				}
				return l, i
			}
			l = next
		}
		return l, n
	}
	l, n := take(Ledger{}, redemption, 100, t0)
	if n != 10 {
		t.Errorf("one class took %d", n)
	}
	l, n = take(l, released, 6, t0.Add(time.Hour))
	if n != 6 {
		t.Errorf("another class took %d", n)
	}
	l, n = take(l, org, 100, t0.Add(time.Hour))
	if n != 4 {
		t.Errorf("the total left %d for a third class", n)
	}
	if _, n = take(l, status, 1, t0.Add(Window)); n != 0 {
		t.Error("the day is not over for the first hour")
	}
	if _, n = take(l, status, 100, t0.Add(Window+time.Hour)); n != 10 {
		t.Errorf("a day later the first hour's are free: %d", n)
	}
	unit := func(class string, at time.Time) Unit { return Unit{Class: class, At: at} }
	back := Refund(l, unit(org, t0.Add(time.Hour)), t0.Add(2*time.Hour))
	if _, n = take(back, org, 100, t0.Add(2*time.Hour)); n != 1 {
		t.Errorf("after a refund there is room for %d", n)
	}
	for name, same := range map[string]Ledger{
		"another hour's":     Refund(l, unit(org, t0), t0.Add(2*time.Hour)),
		"another class's":    Refund(l, unit(status, t0.Add(time.Hour)), t0.Add(2*time.Hour)),
		"one of no class":    Refund(l, unit("", t0), t0.Add(2*time.Hour)),
		"an approved one":    Refund(l, Unit{Class: org, Approved: true, At: t0.Add(time.Hour)}, t0.Add(2*time.Hour)),
		"one beyond the day": Refund(l, unit(org, t0.Add(-48*time.Hour)), t0.Add(2*time.Hour)),
	} {
		if acted, _ := same.Counted(t0.Add(2 * time.Hour)); acted != 20 {
			t.Errorf("refund of %s changed the ledger: %d", name, acted)
		}
	}
	if _, ok := Reserve(Ledger{Schema: LedgerSchema + 1}, limits, watched, org, t0); ok {
		t.Error("reserved in a ledger of a newer version")
	}
}

func TestReserveUnderApproval(t *testing.T) {
	full := Ledger{}.Acted(t0, redemption, 10)
	l := approve(t, full, redemption, approval(3, 5))
	now := t0
	taken := map[int]int{}
	for d := range 4 {
		for range 10 {
			next, ok := ReserveApproved(l, 1000, redemption, true, now)
			if !ok {
				break
			}
			l = next
			taken[d]++
		}
		now = now.Add(Window + time.Hour)
	}
	// At the daily rate until the list is through; what is not in it is the limits'.
	if want := map[int]int{0: 3, 1: 2}; !maps.Equal(taken, want) {
		t.Errorf("took %v, want %v", taken, want)
	}
	l = approve(t, full, redemption, approval(3, 5))
	if _, ok := Reserve(l, DefaultLimits(), 1000, redemption, t0); ok {
		t.Error("an approval made room for what it does not name")
	}
	// A refund gives back to the list, not to the limits.
	one, ok := ReserveApproved(l, 1000, redemption, true, t0)
	if !ok || one.Approvals[redemption].Left != 4 {
		t.Fatalf("%t, %+v", ok, one.Approvals)
	}
	unit := Unit{Class: redemption, Approved: true, Listed: true, At: t0}
	back := Refund(one, unit, t0)
	if acted, approved := back.Counted(t0); acted != 10 || approved != 0 || back.Approvals[redemption].Left != 5 {
		t.Errorf("after the refund %d acted, %d approved, %+v", acted, approved, back.Approvals)
	}
	single, ok := ReserveApproved(l, 1000, redemption, false, t0)
	if unit.Listed = false; !ok || single.Approvals[redemption].Left != 5 || Refund(single, unit, t0).Approvals[redemption].Left != 5 {
		t.Errorf("one that was approved by itself is none of the list's: %t, %+v", ok, single.Approvals)
	}
	// The approval may be gone by then.
	unit.Listed = true
	back = Refund(one.Revoke(redemption), unit, t0)
	if acted, approved := back.Counted(t0); acted != 10 || approved != 0 || len(back.Approvals) != 0 {
		t.Errorf("after revoke and refund %d acted, %d approved, %+v", acted, approved, back.Approvals)
	}
	if _, ok := ReserveApproved(one.Revoke(redemption), 1000, redemption, true, t0); ok {
		t.Error("an approval that was taken back lets something through")
	}
	if _, ok := ReserveApproved(Ledger{Schema: LedgerSchema + 1}, 1000, org, false, t0); ok {
		t.Error("reserved in a ledger of a newer version")
	}
}

// What people approve, one by one or by the class, is under a daily ceiling that no word raises.
func TestApprovedDomainsHaveACeiling(t *testing.T) {
	for watched, want := range map[int]int{0: MinCeiling, 300: 50, 1000: 50, 2000: 100, 60_000: 3000, 10_000_000: MaxCount} {
		if got := Ceiling(watched); got != want {
			t.Errorf("%d watched: %d, want %d", watched, got, want)
		}
	}
	l := approve(t, Ledger{}.Acted(t0, org, 10), redemption, approval(500, 999))
	n := 0
	for i := range 300 {
		next, ok := ReserveApproved(l, 300, redemption, i%2 == 0, t0)
		if ok {
			n++
		}
		l = next
	}
	if n != 40 {
		t.Errorf("%d of 300 let through in one tick beside 10 of the guard's own, want 40", n)
	}
	if _, ok := Reserve(l, DefaultLimits(), 300, status, t0); !ok {
		t.Error("what people approved takes nothing from the guard's own limits")
	}
	if _, ok := ReserveApproved(l, 300, org, false, t0.Add(Window+time.Hour)); !ok {
		t.Error("a day later there is room")
	}
}

// A second list of a class goes on beside the first: what each covers is named by the decisions.
func TestApprovalsOfOneClassAddUp(t *testing.T) {
	l := approve(t, Ledger{}, redemption, approval(3, 5))
	id := l.Approvals[redemption].ID
	second := approval(7, 20)
	second.At = t0.Add(time.Hour)
	l = approve(t, l, redemption, second)
	if a := l.Approvals[redemption]; a.ID != id || a.Left != 25 || a.PerDay != 7 {
		t.Errorf("%+v", a)
	}
	if !l.Stands(redemption, id, t0) || l.Stands(redemption, id+1, t0) || l.Stands(org, id, t0) || l.Stands(redemption, id, t0.Add(MaxApproval)) || l.Revoke(redemption).Stands(redemption, id, t0) {
		t.Error("what stands")
	}
	if s := l.Standing(t0); len(s) != 1 || len(l.Standing(t0.Add(MaxApproval))) != 0 {
		t.Errorf("%+v", s)
	}
}

// What the breaker holds is counted, and what was never held is not.
func TestCountsWhatIsHeld(t *testing.T) {
	l := Ledger{}.Count(org, 2).Count(redemption, 1).Count(redemption, -1).Count(status, -1)
	if want := map[string]int{org: 2}; !maps.Equal(l.Held, want) || !maps.Equal(l.Acted(t0, org, 1).prune(t0.Add(48*time.Hour)).Held, want) {
		t.Errorf("%v", l.Held)
	}
}

func TestLedgerIsNeverChangedInPlace(t *testing.T) {
	l := approve(t, Ledger{}.Acted(t0, redemption, 2).ActedApproved(t0, org, 1), redemption, approval(3, 5))
	before, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	l.Acted(t0, redemption, 1)
	l.ActedApproved(t0, released, 1)
	l.Revoke(redemption)
	Reserve(l, DefaultLimits(), 1000, redemption, t0)
	ReserveApproved(l, 1000, redemption, true, t0)
	Refund(l, Unit{Class: redemption, At: t0}, t0)
	Refund(l, Unit{Class: org, Approved: true, Listed: true, At: t0}, t0)
	l.Count(org, 1)
	Judge(l, DefaultLimits(), 1000, map[string]int{redemption: 9}, t0)
	l.Counted(t0.Add(48 * time.Hour))
	approve(t, l, org, approval(1, 1))
	l.CameBack(t0, Unit{Class: redemption, At: t0})
	l.Trust(redemption)
	if after, _ := json.Marshal(l); string(after) != string(before) {
		t.Errorf("%s\nbecame %s", before, after)
	}
	var back Ledger
	if err := json.Unmarshal(before, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, back); diff != "" {
		t.Errorf("JSON:\n%s", diff)
	}
	if l.Acted(t0, redemption, -5).acted(redemption) != 2 {
		t.Error("a negative count was counted")
	}
}

// The worst that can be stored: as many classes as are kept apart, each acted on in every hour.
func TestLedgerStaysSmall(t *testing.T) {
	l := Ledger{Classes: map[string][]Hour{}, Days: map[string]map[int64]int{}, Back: map[string]map[int64]int{}, Doubted: map[string]time.Time{}}
	for i := range MaxClasses {
		class := fmt.Sprintf("rdap-%d.registry.example/pending delete", i)
		for h := range 26 {
			l.Classes[class] = append(l.Classes[class], Hour{Hour: hourOf(t0) - int64(h), Acted: 5, Approved: 5})
		}
		l.Days[class], l.Back[class], l.Doubted[class] = map[int64]int{}, map[int64]int{}, t0
		for d := range int64(FortnightDays) {
			l.Days[class][dayOf(t0)-d], l.Back[class][dayOf(t0)-d] = 99, 99
		}
	}
	l = l.Acted(t0, redemption, 2).ActedApproved(t0, org, 1)
	if l.acted(overflow) != 2 || l.approved(overflow) != 1 || len(l.Classes) != MaxClasses+1 {
		t.Errorf("beyond the classes: %d acted, %d approved, %d classes", l.acted(overflow), l.approved(overflow), len(l.Classes))
	}
	if _, ok := Reserve(l, Limits{Count: MaxCount}, 1e9, released, t0); ok {
		t.Error("the guard's own judgement opened a class beyond MaxClasses")
	}
	if text, _ := json.Marshal(l); len(text) > 380<<10 { // store.MaxData
		t.Errorf("%d bytes", len(text))
	}
	l.Doubted = nil // which only an operator ends
	if text, _ := json.Marshal(l.prune(t0.Add(FortnightDays * 24 * time.Hour))); string(text) != `{"v":1}` {
		t.Errorf("two weeks later %d bytes", len(text))
	}
}

func TestApproveRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		class  string
		change func(*Approval)
		want   string
	}{
		"no class": {"", func(*Approval) {}, "no class"}, "nobody": {org, func(a *Approval) { a.By = "" }, "nobody's name"},
		"no rate": {org, func(a *Approval) { a.PerDay = 0 }, "daily rate is 0"}, "rate": {org, func(a *Approval) { a.PerDay = MaxCount + 1 }, "daily rate is 5001: set 1 to 5000"},
		"empty list": {org, func(a *Approval) { a.Left = 0 }, "covers 0 domains"}, "over": {org, func(a *Approval) { a.Until = a.At }, "ends 0s after"},
		"too long": {org, func(a *Approval) { a.Until = a.At.Add(MaxApproval + 1) }, "at most 744h"},
	} {
		a := approval(10, 10)
		c.change(&a)
		l, err := Ledger{}.Approve(c.class, a)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(l.Approvals) != 0 {
			t.Errorf("%s: %v, %+v", name, err, l)
		}
	}
	_, err := Ledger{}.Approve("", Approval{})
	if n := strings.Count(err.Error(), "\n") + 1; n != 5 {
		t.Errorf("%d problems listed:\n%v", n, err)
	}
	edge := approval(MaxCount, 1)
	edge.Until = edge.At.Add(MaxApproval)
	approve(t, Ledger{}, org, edge)
}

func TestLimits(t *testing.T) {
	if err := DefaultLimits().Validate(); err != nil {
		t.Error(err)
	}
	for _, ok := range []Limits{{Count: MinCount}, {Count: MaxCount, Share: MaxShare, ClassCount: MaxCount, ClassShare: MaxShare}} {
		if err := ok.Validate(); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
	nan := math.NaN()
	for _, c := range []struct {
		l        Limits
		problems int
	}{
		{Limits{}, 1}, {Limits{Count: -1}, 2}, {Limits{Count: MaxCount + 1}, 1}, {Limits{Count: 1, Share: 0.051}, 1}, {Limits{Count: 1, Share: nan}, 1},
		{Limits{Count: 1, Share: -0.1}, 2}, {Limits{Count: 1, ClassCount: 2}, 1}, {Limits{Count: 1, ClassCount: -1}, 1}, {Limits{Count: 1, ClassShare: 0.01}, 1},
		{Limits{Count: 9000, Share: 2, ClassCount: 9001, ClassShare: 3}, 6}, {Limits{Count: 1, ClassShare: nan}, 1},
	} {
		err := c.l.Validate()
		if err == nil || strings.Count(err.Error(), "\n")+1 != c.problems || strings.Count(err.Error(), "set ") != c.problems {
			t.Errorf("%+v: want %d problems, each with a remedy:\n%v", c.l, c.problems, err)
		}
	}
	for _, c := range []struct {
		l            Limits
		watched      int
		total, class int
	}{
		{DefaultLimits(), 0, 20, 10}, {DefaultLimits(), 10_000, 20, 10}, {DefaultLimits(), 100_000, 200, 100}, {DefaultLimits(), -5, 20, 10},
		{Limits{}, 1000, 1, 1}, {Limits{Count: 1}, 0, 1, 1}, {Limits{Count: 7}, 0, 7, 3},
		{Limits{Count: 1 << 40}, 0, MaxCount, MaxCount / 2}, {Limits{Count: 1, Share: 1}, 1_000_000, 50_000, 25_000},
		{Limits{Count: 1, Share: math.Inf(1)}, 1000, 1, 1}, {Limits{Count: 3, Share: nan}, 1000, 3, 1}, {Limits{Count: 3, Share: -1}, 1000, 3, 1},
		{Limits{Count: 20, ClassCount: 50}, 0, 20, 20}, {Limits{Count: 20, Share: 0.01, ClassCount: 5, ClassShare: 0.001}, 10_000, 100, 10},
		{Limits{Count: -20, ClassCount: -20}, 0, 1, 1},
	} {
		if total, class := c.l.Total(c.watched), c.l.Class(c.watched); total != c.total || class != c.class {
			t.Errorf("%+v of %d: %d and %d, want %d and %d", c.l, c.watched, total, class, c.total, c.class)
		}
	}
}

// Properties.

var classes = []string{redemption, released, org, status, "rdap.nic.io/grace"}

func genLimits(t *rapid.T) Limits {
	return Limits{
		Count: rapid.IntRange(0, 40).Draw(t, "count"), Share: rapid.Float64Range(0, 0.01).Draw(t, "share"),
		ClassCount: rapid.IntRange(0, 40).Draw(t, "class count"), ClassShare: rapid.Float64Range(0, 0.01).Draw(t, "class share"),
	}
}

func genPending(t *rapid.T) map[string]int {
	return rapid.MapOf(rapid.SampledFrom(classes), rapid.IntRange(0, 30)).Draw(t, "pending")
}

// Whatever is pending when, however often it is judged, and however many invocations act at once on rulings that
// are out of date: within any 24 hours no more is acted on than the limits say, for each class and in total.
func TestNeverMoreThanTheLimits(t *testing.T) {
	type act struct {
		at    time.Time
		class string
	}
	rapid.Check(t, func(t *rapid.T) {
		limits, watched := genLimits(t), rapid.IntRange(0, 10_000).Draw(t, "watched")
		var l Ledger
		var acts []act
		now := t0
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 6*3600).Draw(t, "seconds")) * time.Second)
			rulings := Judge(l, limits, watched, genPending(t), now)
			invocations := rapid.IntRange(1, 2).Draw(t, "invocations at once")
			for class, r := range rulings {
				for range r.Allow * invocations {
					next, ok := Reserve(l, limits, watched, class, now)
					if !ok {
						continue
					}
					l = next
					if rapid.IntRange(0, 9).Draw(t, "did nothing") == 0 {
						l = Refund(l, Unit{Class: class, At: now}, now)
						continue
					}
					acts = append(acts, act{now, class})
				}
			}
		}
		for i, first := range acts {
			count := map[string]int{}
			total := 0
			for _, a := range acts[i:] {
				if a.at.Sub(first.at) < Window {
					count[a.class]++
					total++
				}
			}
			if total > limits.Total(watched) {
				t.Fatalf("%d within 24 hours from %s, allowed %d", total, first.at, limits.Total(watched))
			}
			for class, n := range count {
				if n > limits.Class(watched) {
					t.Fatalf("%s: %d within 24 hours from %s, allowed %d", class, n, first.at, limits.Class(watched))
				}
			}
		}
	})
}

func genLedger(t *rapid.T) Ledger {
	var l Ledger
	for range rapid.IntRange(0, 8).Draw(t, "acts") {
		at := t0.Add(-time.Duration(rapid.IntRange(0, 30).Draw(t, "hours ago")) * time.Hour)
		l = l.Acted(at, rapid.SampledFrom(classes).Draw(t, "class"), rapid.IntRange(0, 6).Draw(t, "acted"))
		l = l.ActedApproved(at, rapid.SampledFrom(classes).Draw(t, "class"), rapid.IntRange(0, 3).Draw(t, "approved"))
	}
	if rapid.Bool().Draw(t, "approval") {
		l, _ = l.Approve(rapid.SampledFrom(classes).Draw(t, "class"), approval(rapid.IntRange(1, 9).Draw(t, "per day"), rapid.IntRange(1, 20).Draw(t, "left")))
	}
	return l
}

// Without an approval a class goes on whole or not at all; what goes on fits the limits; and nothing that would
// fit beside the rest is held for the total.
func TestRulingsHoldWholeClasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, limits, watched, pending := genLedger(t), genLimits(t), rapid.IntRange(0, 10_000).Draw(t, "watched"), genPending(t)
		rulings := Judge(l, limits, watched, pending, t0)
		if !slices.Equal(slices.Sorted(maps.Keys(rulings)), slices.Sorted(maps.Keys(pending))) {
			t.Fatalf("rulings on %v, pending %v", rulings, pending)
		}
		p := l.prune(t0)
		sum := p.total()
		for class, r := range rulings {
			switch {
			case r.Held && r.Allow != 0:
				t.Errorf("%s: held, and yet %d allowed", class, r.Allow)
			case r.Allow != 0 && r.Allow != pending[class]:
				t.Errorf("%s: %d of %d", class, r.Allow, pending[class])
			case pending[class] > 0 && !r.Held && r.Allow == 0:
				t.Errorf("%s: neither held nor allowed", class)
			case r.Allow > 0 && p.acted(class)+r.Allow > limits.Class(watched):
				t.Errorf("%s: %d acted, %d allowed, limit %d", class, p.acted(class), r.Allow, limits.Class(watched))
			}
			sum += r.Allow
		}
		if sum > limits.Total(watched) && sum > p.total() {
			t.Errorf("%d acted and allowed, limit %d", sum, limits.Total(watched))
		}
	})
}

// A larger crowd is never ruled on more kindly.
func TestMorePendingNeverAllowsTheClassAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, limits, pending := genLedger(t), genLimits(t), genPending(t)
		class := rapid.SampledFrom(classes).Draw(t, "class")
		before := Judge(l, limits, 0, pending, t0)[class]
		more := maps.Clone(pending)
		more[class] += rapid.IntRange(1, 30).Draw(t, "more")
		if after := Judge(l, limits, 0, more, t0)[class]; before.Held && !after.Held {
			t.Errorf("held with %d pending, allowed with %d", pending[class], more[class])
		}
	})
}

// The order in which acts were written down, or in which the classes are met, does not matter.
func TestOrderDoesNotMatter(t *testing.T) {
	type entry struct {
		at    time.Time
		class string
		n     int
	}
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) entry {
			return entry{t0.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "hours")) * time.Hour), rapid.SampledFrom(classes).Draw(t, "class"), rapid.IntRange(1, 4).Draw(t, "n")}
		}), 0, 10).Draw(t, "entries")
		limits, pending := genLimits(t), genPending(t)
		judge := func(es []entry) map[string]Ruling {
			var l Ledger
			for _, e := range es {
				l = l.Acted(e.at, e.class, e.n)
			}
			return Judge(l, limits, 5000, maps.Clone(pending), t0)
		}
		if diff := cmp.Diff(judge(entries), judge(rapid.Permutation(entries).Draw(t, "order"))); diff != "" {
			t.Errorf("another order, another ruling:\n%s", diff)
		}
	})
}

// A unit that was taken never makes room: after it everything is refused that was refused before.
func TestReservingIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, limits, watched := genLedger(t), genLimits(t), rapid.IntRange(0, 10_000).Draw(t, "watched")
		one := rapid.SampledFrom(classes).Draw(t, "one")
		next, ok := Reserve(l, limits, watched, one, t0)
		acted, approved := l.Counted(t0)
		a, b := next.Counted(t0)
		if took := a + b - acted - approved; ok && took != 1 || !ok && took != 0 {
			t.Errorf("reserved %t, counted %d more", ok, took)
		}
		for _, other := range classes {
			_, before := Reserve(l, limits, watched, other, t0)
			_, after := Reserve(next, limits, watched, other, t0)
			_, stood := l.prune(t0).Approvals[other]
			_, stands := next.prune(t0).Approvals[other]
			if after && !before && stood == stands { // an approval that is used up gives way to the limits
				t.Errorf("%s was refused until %s took one", other, one)
			}
		}
		if ok {
			back := Refund(next, Unit{Class: one, At: t0}, t0)
			if c, d := back.Counted(t0); c+d != acted+approved {
				t.Errorf("after the refund %d and %d, before %d and %d", c, d, acted, approved)
			}
		}
	})
}
