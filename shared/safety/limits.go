// Package safety keeps the guard from being wrong about many domains at once: a breaker that counts what was
// acted on and what is pending, the holds that ask a person, and the domains that are never acted on.
// Everything in it is pure: no clock, no network, no store.
package safety

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Window is the time over which the breaker counts.
const Window = 24 * time.Hour

// FortnightDays is the longer time over which the breaker counts, and FortnightTimes how many days' limits may be used up
// in it: an upstream that is wrong about a few names every day stays below each day's.
const (
	FortnightDays  = 14
	FortnightTimes = 10
)

// What no setting crosses: one wrong digit must not lock out thousands.
const (
	// MaxCount is the largest Count, ClassCount and Approval.PerDay, in domains per Window.
	MaxCount = 5000
	// MinCount is the smallest Count and ClassCount: with less the guard could never act.
	MinCount = 1
	// MaxShare is the largest Share and ClassShare, as a fraction of the watched domains.
	MaxShare = 0.05
)

// MinCeiling is what Ceiling leaves of the smallest registry, in domains per Window.
const MinCeiling = 50

// Ceiling is how many domains at most are acted on within Window, by the guard's own judgement and by approvals
// together, before an approved one waits: no person's word lets more through in a day.
func Ceiling(watched int) int {
	return min(max(MinCeiling, int(MaxShare*float64(max(watched, 0)))), MaxCount)
}

// The defaults of Limits.
const (
	DefaultCount = 20
	DefaultShare = 0.002
)

// Limits bound how many domains may be acted on within Window without a person's approval: the larger of the
// count and the share of the watched domains, for all classes together and for each class alone.
type Limits struct {
	Count int     // domains, in total
	Share float64 // fraction of the watched domains, in total
	// ClassCount and ClassShare are the same for one class; zero is half of the total.
	ClassCount int
	ClassShare float64
}

// DefaultLimits are 20 domains or 0.2 % of the watched ones in total, and half of that for a class.
func DefaultLimits() Limits { return Limits{Count: DefaultCount, Share: DefaultShare} }

// Validate lists everything that is wrong with the limits, and what to set instead. The breaker clamps such
// limits to the nearest allowed ones, so an error that is overlooked does no harm.
func (l Limits) Validate() error {
	var errs []error
	count := func(name string, n, low int) {
		if n < low || n > MaxCount {
			errs = append(errs, fmt.Errorf("breaker: %s is %d: set %d to %d domains", name, n, low, MaxCount))
		}
	}
	share := func(name string, f float64) {
		if !(f >= 0 && f <= MaxShare) { // so written that NaN is refused
			errs = append(errs, fmt.Errorf("breaker: %s is %g: set 0 to %g (a fraction: 0.002 is 0.2 %%)", name, f, MaxShare))
		}
	}
	count("count", l.Count, MinCount)
	share("share", l.Share)
	count("class count", l.ClassCount, 0)
	share("class share", l.ClassShare)
	if l.ClassCount > l.Count {
		errs = append(errs, fmt.Errorf("breaker: class count %d is more than count %d: a class is part of the total, set at most %d", l.ClassCount, l.Count, l.Count))
	}
	if l.ClassShare > l.Share {
		errs = append(errs, fmt.Errorf("breaker: class share %g is more than share %g: a class is part of the total, set at most %g", l.ClassShare, l.Share, l.Share))
	}
	return errors.Join(errs...)
}

// Total is how many domains may be acted on within Window when watched domains are watched.
func (l Limits) Total(watched int) int { return allowed(l.Count, l.Share, watched) }

// Class is the same for one class; never more than Total.
func (l Limits) Class(watched int) int {
	count, share := l.ClassCount, l.ClassShare
	if count == 0 {
		count = min(l.Count, MaxCount) / 2
	}
	if share == 0 {
		share = min(l.Share, MaxShare) / 2
	}
	return min(allowed(count, share, watched), l.Total(watched))
}

func allowed(count int, share float64, watched int) int {
	n := min(max(count, MinCount), MaxCount)
	f := share * float64(max(watched, 0))
	if !(share > 0) || math.IsInf(f, 0) { // NaN and nonsense count as no share
		return n
	}
	return max(n, int(min(f, MaxShare*float64(watched))))
}
