package rdap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Plan is what a scan asks of each server, the one that takes longest first.
type Plan []Part

// Part is one server's part of a plan.
type Part struct {
	Rate
	Questions int
}

// Takes is how long the server's questions take at its rate.
func (p Part) Takes() time.Duration { return time.Duration(p.Questions) * p.Every() }

// PlanOf is the plan for questions, given by base URL; cautious is the rate of servers that nobody described, in
// questions a second. Bases on one host share its budget.
func PlanOf(questions map[string]int, cautious float64) Plan {
	by := map[string]*Part{}
	for base, n := range questions {
		r := RateOf(base, cautious)
		if by[r.Server] == nil {
			by[r.Server] = &Part{Rate: r}
		}
		by[r.Server].Questions += n
	}
	plan := make(Plan, 0, len(by))
	for _, p := range by {
		plan = append(plan, *p)
	}
	slices.SortFunc(plan, func(a, b Part) int { return cmp.Or(cmp.Compare(b.Takes(), a.Takes()), cmp.Compare(a.Server, b.Server)) })
	return plan
}

// Takes is how long the whole takes: servers are asked at the same time.
func (p Plan) Takes() (longest time.Duration) {
	for _, part := range p {
		longest = max(longest, part.Takes())
	}
	return longest
}

// Without is what is left of the plan after so many questions, given by base URL.
func (p Plan) Without(asked map[string]int) Plan {
	by := map[string]int{}
	for base, n := range asked {
		by[RateOf(base, 1).Server] += n
	}
	left := slices.Clone(p)
	for i := range left {
		left[i].Questions = max(0, left[i].Questions-by[left[i].Server])
	}
	return left
}

// String is the plan for a person, a line a server, of at most ten.
func (p Plan) String() string {
	const shown = 10
	var b strings.Builder
	for i, part := range p {
		if i == shown {
			fmt.Fprintf(&b, "and %d servers more, each done before\n", len(p)-shown)
			break
		}
		sure := part.Sure
		if sure == "" {
			sure = "cautious: its limit is not known"
		}
		fmt.Fprintf(&b, "%-36s %7d questions at %g a minute (%s): %s\n", part.Server, part.Questions, part.PerMinute, sure, long(part.Takes()))
	}
	return b.String()
}

// long is a duration in the unit that a person would take.
func long(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	default:
		return fmt.Sprintf("%.0f seconds", d.Seconds())
	}
}
