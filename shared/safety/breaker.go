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
// surplus. What is left must fit the total limit; where it does not, the classes are held largest first (of
// equal ones the first by name) until the rest fits. An approved class goes on at its daily rate and counts
// for neither limit. watched is the number of watched domains.
func Judge(l Ledger, limits Limits, watched int, pending map[string]int, now time.Time) map[string]Ruling {
	rulings := make(map[string]Ruling, len(pending))
	p := l.prune(now)
	total, class := limits.Total(watched), limits.Class(watched)
	sum := p.total()
	var open []string
	for c, n := range pending {
		a, approved := p.Approvals[c]
		switch acted := p.acted(c); {
		case n <= 0:
			rulings[c] = Ruling{}
		case p.Schema > LedgerSchema:
			rulings[c] = held("%s: the breaker's ledger was written by a newer version (%d). Decide: deploy that version again.", c, p.Schema)
		case approved:
			rulings[c] = paced(p, a, c, n)
		case acted+n > class:
			rulings[c] = held("%s: %d acted on within 24 hours and %d pending are more than the %d allowed for one class (%d domains watched). %s",
				c, acted, n, class, watched, decide)
		case !p.room(c):
			rulings[c] = held("%s: more than %d classes were acted on within 24 hours. Decide: find out why; the oldest leave within a day.", c, MaxClasses)
		default:
			open = append(open, c)
			sum += n
			rulings[c] = Ruling{Allow: n}
		}
	}
	slices.SortFunc(open, func(a, b string) int { return cmp.Or(cmp.Compare(pending[b], pending[a]), cmp.Compare(a, b)) })
	for _, c := range open {
		if sum <= total {
			break
		}
		rulings[c] = held("%s: %d acted on within 24 hours and %d pending in all classes not yet held are more than the %d allowed in total (%d domains watched); this class, with %d, is the largest. %s",
			c, p.total(), sum-p.total(), total, watched, pending[c], decide)
		sum -= pending[c]
	}
	return rulings
}

const decide = "Decide: look at the pending domains; if they lapsed, approve the class with a daily rate; if the upstream or this guard is at fault, leave the class held, it is judged again with every run."

func held(format string, args ...any) Ruling {
	return Ruling{Held: true, Why: fmt.Sprintf(format, args...)}
}

// paced is the ruling on an approved class.
func paced(l Ledger, a Approval, class string, pending int) Ruling {
	r := Ruling{Allow: min(pending, rate(l, a, class))}
	if r.Allow < pending {
		r.Why = fmt.Sprintf("%s: approved by %s for %d more domains until %s at %d a day; %d were acted on within 24 hours, %d of %d pending go on now. Nothing to decide.",
			class, a.By, a.Left, a.Until.UTC().Format("2006-01-02 15:04 UTC"), a.PerDay, l.approved(class), r.Allow, pending)
	}
	return r
}

// rate is how many more domains an approval lets through now.
func rate(l Ledger, a Approval, class string) int {
	return max(0, min(a.Left, min(a.PerDay, MaxCount)-l.approved(class)))
}

// Reserve takes one unit of the class's budget. The caller stores the returned ledger by a conditional write
// before it calls the registry, so that no number of invocations at the same time exceeds the limits. False,
// with the ledger as it was, when the limits leave no room (or an approval's daily rate is used up).
func Reserve(l Ledger, limits Limits, watched int, class string, now time.Time) (Ledger, bool) {
	p := l.prune(now)
	if p.Schema > LedgerSchema {
		return l, false
	}
	if a, ok := p.Approvals[class]; ok {
		if rate(p, a, class) == 0 {
			return l, false
		}
		a.Left--
		p.Approvals[class] = a
		return p.ActedApproved(now, class, 1), true
	}
	if p.acted(class) >= limits.Class(watched) || p.total() >= limits.Total(watched) || !p.room(class) {
		return l, false
	}
	return p.Acted(now, class, 1), true
}

// Refund gives back one unit that was reserved at the stated time, for a call that certainly did nothing. A
// unit that is no longer in the ledger is gone.
func Refund(l Ledger, class string, reserved, now time.Time) Ledger {
	next := l.prune(now)
	for i, h := range next.Classes[class] {
		if h.Hour != hourOf(reserved) {
			continue
		}
		// Where it may have been either, the unit beside the limits is given back: the limits stay strict.
		switch {
		case h.Approved > 0:
			next.Classes[class][i].Approved--
			if a, ok := next.Approvals[class]; ok {
				a.Left++
				next.Approvals[class] = a
			}
		case h.Acted > 0:
			next.Classes[class][i].Acted--
		}
	}
	return next.prune(now)
}
