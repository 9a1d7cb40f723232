package applier

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// status says where the guard stands, and how many holds wait for a person.
func (p *Parts) status(ctx context.Context) (text string, open int, err error) {
	stored, err := p.book().Run(ctx)
	if err != nil {
		return "", 0, err
	}
	w, err := p.waiting(ctx)
	if err != nil {
		return "", 0, err
	}
	standing, err := p.standing(ctx)
	run := stored.V
	return fmt.Sprintf("run %s: %d domains, dispatched %t, complete %t; %s%s", cmp.Or(run.ID, "none"), run.Watched, run.Sent, run.Complete, w.words(), standing), w.open, err
}

// standing lists the approvals of classes that stand.
func (p *Parts) standing(ctx context.Context) (string, error) {
	ledger, err := p.book().Ledger(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	approvals := ledger.V.Standing(p.Now())
	for _, class := range slices.Sorted(maps.Keys(approvals)) {
		a := approvals[class]
		fmt.Fprintf(&b, "; %s is approved by %s until %s: %d of its list are left, %d a day", class, a.By, a.Until.UTC().Format("2 January 15:04 UTC"), a.Left, a.PerDay)
	}
	return b.String(), nil
}
