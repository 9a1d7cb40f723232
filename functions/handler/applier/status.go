package applier

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lapseguard/lapseguard/shared/records"
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
	if err != nil {
		return "", 0, err
	}
	lever, err := p.lever(ctx, stored.V)
	run := stored.V
	return fmt.Sprintf("run %s: %d domains, dispatched %t, complete %t; %s; %s%s", cmp.Or(run.ID, "none"), run.Watched, run.Sent, run.Complete, lever, w.words(), standing), w.open, err
}

// lever says what is closed, and which accounts the registry reports.
func (p *Parts) lever(ctx context.Context, run records.Run) (string, error) {
	synced, err := p.book().Synced(ctx)
	switch {
	case err != nil:
		return "", err
	case !synced.V.Recovery:
		return "the registry does not offer to close account recovery", nil
	}
	text := fmt.Sprintf("account recovery is to be closed at %d domains", run.Closed)
	if n := synced.V.Reported; n > 0 {
		text += fmt.Sprintf(", and the registry reports %d accounts that may have been taken (explain names them by domain)", n)
	}
	closings, err := p.book().Closings(ctx)
	if n, _ := closings.V.Counted(p.Now()); n > 0 {
		text += fmt.Sprintf("; %d closings took room within 24 hours", n)
	}
	return text, err
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
