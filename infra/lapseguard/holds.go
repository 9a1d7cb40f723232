package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

type holdsCommand struct {
	tables
	Class string `help:"Only this class."`
}

// Run lists the holds by class, the oldest first.
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
	if len(holds) == 0 {
		fmt.Fprintln(s.out, "Nothing waits for a decision.")
		return nil
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"domain", "since", "phase", "addresses", "class", "why"})
	t.SetColumnConfigs([]table.ColumnConfig{{Name: "why", WidthMax: 44, WidthMaxEnforcer: text.WrapSoft}, {Name: "addresses", Align: text.AlignRight}})
	byClass := map[string]int{}
	for _, h := range holds {
		if h.Action == string(lifecycle.Unverify) && h.Why != safety.WhyProtected && !h.Refused && !h.Pinned { // the breaker's: other verdicts are decided one by one
			byClass[h.Class]++
		}
		t.AppendRow(table.Row{cell(h.Domain), h.Since.UTC().Format("2006-01-02 15:04"), cell(h.Phase), h.Addresses, cell(h.Class), cell(h.Why)})
	}
	fmt.Fprintln(s.out, t.Render())
	fmt.Fprintln(s.out, "Read the evidence with `lapseguard explain DOMAIN`; decide with `approve DOMAIN` or `release DOMAIN`.")
	if len(byClass) > 0 {
		fmt.Fprintln(s.out, "What the breaker holds can be approved as one reviewed list, applied at a daily rate:")
	}
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		fmt.Fprintf(s.out, "  lapseguard approve --class '%s' --reviewed %d --per-day %d --by NAME\n", masked(class), byClass[class], min(byClass[class], 20))
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
	slices.SortFunc(holds, func(a, b safety.Hold) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), a.Since.Compare(b.Since), cmp.Compare(a.Domain, b.Domain))
	})
	return holds, nil
}
