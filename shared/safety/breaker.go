package safety

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Ruling is the breaker's word about one class of pending decisions.
type Ruling struct {
	Allow int    // how many may be acted on now
	Held  bool   // a person must decide about the class; Allow is 0
	Why   string // in numbers, and what to decide; empty when everything pending is allowed
}

// Judge rules on the pending decisions, counted by class. A crowd is a bug until a person says otherwise: a
// class that together with what was acted on in it within Window exceeds its limit is held whole, not its
// surplus; so is one that within FortnightDays exceeds FortnightTimes as much, or that is doubtful. What is left must fit the total limits; where it does not, the classes are held largest first (of
// equal ones the first by name) until the rest fits. pending counts what a person did not approve, held or not:
// what was approved counts for neither limit. watched is the number of watched domains.
func Judge(l Ledger, limits Limits, watched int, pending map[string]int, now time.Time) map[string]Ruling {
	rulings := make(map[string]Ruling, len(pending))
	p := l.prune(now)
	total, class := limits.Total(watched), limits.Class(watched)
	sum := p.total()
	var open []string
	for c, n := range pending {
		switch acted := p.acted(c); {
		case n <= 0:
			rulings[c] = Ruling{}
		case p.Schema > LedgerSchema:
			rulings[c] = held("%s: the breaker's ledger was written by a newer version (%d). Decide: deploy that version again.", c, p.Schema)
		case !p.Doubted[c].IsZero():
			rulings[c] = held("%s: doubtful since %s: %d of the %d domains acted on within %d days came back to the same registration. Decide: look whether the upstream was wrong, restore whom it wronged, and end the doubt (trust).",
				c, p.Doubted[c].Format("2 January 2006"), summed(p.Back[c]), p.fortnight(c), FortnightDays)
		case acted+n > class:
			rulings[c] = held("%s: %d acted on within 24 hours and %d pending are more than the %d allowed for one class (%d domains watched). %s",
				c, acted, n, class, watched, decide)
		case FortnightTimes*class < p.fortnight(c)+n:
			rulings[c] = held("%s: %d acted on within %d days and %d pending are more than the %d allowed for one class in that time (%d domains watched). %s",
				c, p.fortnight(c), FortnightDays, n, FortnightTimes*class, watched, decide)
		case !p.room(c):
			rulings[c] = held("%s: more than %d classes were acted on within 24 hours. Decide: find out why; the oldest leave within a day.", c, MaxClasses)
		default:
			open = append(open, c)
			sum += n
			rulings[c] = Ruling{Allow: n}
		}
	}
	long := p.fortnightAll() - p.total() + sum // what is to be acted on now comes to the fortnight's, as it does to the day's
	slices.SortFunc(open, func(a, b string) int { return cmp.Or(cmp.Compare(pending[b], pending[a]), cmp.Compare(a, b)) })
	for _, c := range open {
		if sum <= total && long <= FortnightTimes*total {
			break
		}
		if long -= pending[c]; sum <= total {
			rulings[c] = held("%s: %d acted on within %d days and %d pending in all classes not yet held are more than the %d allowed in total in that time (%d domains watched); this class, with %d, is the largest. %s",
				c, p.fortnightAll(), FortnightDays, sum-p.total(), FortnightTimes*total, watched, pending[c], decide)
			sum -= pending[c]
			continue
		}
		rulings[c] = held("%s: %d acted on within 24 hours and %d pending in all classes not yet held are more than the %d allowed in total (%d domains watched); this class, with %d, is the largest. %s",
			c, p.total(), sum-p.total(), total, watched, pending[c], decide)
		sum -= pending[c]
	}
	return rulings
}

const decide = "Decide: look at the pending domains; if they lapsed, approve the class, as one list, with a daily rate; if the upstream or this guard is at fault, leave the class held, it is judged again with every run."

func held(format string, args ...any) Ruling {
	return Ruling{Held: true, Why: fmt.Sprintf(format, args...)}
}

// rate is how many more domains an approval lets through now.
func rate(l Ledger, a Approval, class string) int {
	return max(0, min(a.Left, min(a.PerDay, MaxCount)-l.approved(class)))
}

// Reserve takes one unit of the class's budget. The caller stores the returned ledger by a conditional write
// before it calls the registry, so that no number of invocations at the same time exceeds the limits. False,
// with the ledger as it was, when the limits leave no room.
func Reserve(l Ledger, limits Limits, watched int, class string, now time.Time) (Ledger, bool) {
	p := l.prune(now)
	if p.Schema > LedgerSchema {
		return l, false
	}
	if p.acted(class) >= limits.Class(watched) || p.total() >= limits.Total(watched) || !p.room(class) || !p.Doubted[class].IsZero() {
		return l, false
	}
	if p.fortnight(class) >= FortnightTimes*limits.Class(watched) || p.fortnightAll() >= FortnightTimes*limits.Total(watched) {
		return l, false
	}
	return p.Acted(now, class, 1), true
}

// ReserveApproved is Reserve for what a person approved: beside the limits, under Ceiling. With listed it is one of its
// class's reviewed list, and goes at that approval's daily rate.
func ReserveApproved(l Ledger, watched int, class string, listed bool, now time.Time) (Ledger, bool) {
	p := l.prune(now)
	if p.Schema > LedgerSchema || p.all() >= Ceiling(watched) {
		return l, false
	}
	if listed {
		a, ok := p.Approvals[class]
		if !ok || rate(p, a, class) == 0 {
			return l, false
		}
		a.Left--
		p.Approvals[class] = a
	}
	return p.ActedApproved(now, class, 1), true
}

// Unit is one unit of the breaker's budget, as it was reserved.
type Unit struct {
	Class    string    `json:"class"`
	Approved bool      `json:"approved,omitempty"` // a person approved it: beside the limits
	Listed   bool      `json:"listed,omitempty"`   // as one of its class's list
	At       time.Time `json:"at"`
}

// Refund gives back a unit, for a call that certainly did nothing. One that is no longer in the ledger is gone.
func Refund(l Ledger, u Unit, now time.Time) Ledger {
	next := l.prune(now)
	if day := dayOf(u.At); !u.Approved && next.Days[u.Class][day] > 0 {
		next.Days[u.Class][day]--
	}
	for i, h := range next.Classes[u.Class] {
		switch {
		case h.Hour != hourOf(u.At):
		case u.Approved && h.Approved > 0:
			next.Classes[u.Class][i].Approved--
			if a, ok := next.Approvals[u.Class]; ok && u.Listed {
				a.Left++
				next.Approvals[u.Class] = a
			}
		case !u.Approved && h.Acted > 0:
			next.Classes[u.Class][i].Acted--
		}
	}
	return next.prune(now)
}
