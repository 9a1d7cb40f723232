package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

type holdsCommand struct {
	tables
	Class  string `help:"Only this class."`
	Format string `enum:"table,json" default:"table" help:"table, or json (one object a hold)."`
}

// Run lists the holds by what is lost.
func (c *holdsCommand) Run(ctx context.Context, s streams) (err error) {
	ctx, cancel := context.WithTimeout(ctx, cloudTime)
	defer cancel()
	st, _, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	holds, err := readHolds(ctx, st, c.Class)
	if err != nil {
		return err
	}
	if len(holds) == 0 && c.Class != "" {
		return fmt.Errorf("nothing of the class %s waits for a decision: write it as `lapseguard holds` does", masked(c.Class))
	}
	if c.Format == "json" {
		for _, h := range holds {
			if err := writeObject(s.out, h); err != nil {
				return err
			}
		}
		return nil
	}
	if len(holds) == 0 {
		fmt.Fprintln(s.out, "Nothing waits for a decision.")
		return nil
	}
	var rows [][]string
	byClass := map[string]int{}
	for _, h := range holds {
		if h.Action == string(lifecycle.Unverify) && h.Why != safety.WhyProtected && !h.Refused && !h.Pinned { // the breaker's: other verdicts are decided one by one
			byClass[h.Class]++
		}
		rows = append(rows, []string{cell(h.Domain), h.Since.UTC().Format("2006-01-02 15:04"), strconv.Itoa(h.Addresses), cell(h.Phase), cell(h.Class), cell(h.Why)})
	}
	to := screenOf(s.out)
	if err := to.grid([]string{"domain", "since", "addr.", "phase", "class", "why"}, rows, 2); err != nil {
		return err
	}
	to.words("Read the evidence with `lapseguard explain DOMAIN`; decide with `approve DOMAIN` or `unhold DOMAIN`.")
	if len(byClass) > 0 {
		to.words("What the breaker holds can be approved as one reviewed list, applied at a daily rate:")
	}
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		fmt.Fprintf(s.out, "  lapseguard approve --class '%s' \\\n    --reviewed %d --per-day %d --by NAME\n", masked(class), byClass[class], min(byClass[class], 20))
	}
	return nil
}

// readHolds reads the holds that no person has approved yet.
func readHolds(ctx context.Context, s store.Store, class string) ([]safety.Hold, error) {
	var holds []safety.Hold
	for h, err := range records.In(s).Holds(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read the holds: %w", err)
		}
		if h.V.ApprovedAt.IsZero() && (class == "" || h.V.Class == class) {
			holds = append(holds, h.V)
		}
	}
	slices.SortFunc(holds, func(a, b safety.Hold) int { return riskOfHold(a).before(riskOfHold(b)) })
	return holds, nil
}

func riskOfHold(h safety.Hold) risk {
	return risk{lifecycle.Action(h.Action), lifecycle.Phase(h.Phase), h.Addresses, h.Domain, 0}
}
