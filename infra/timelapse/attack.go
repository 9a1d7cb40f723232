package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
)

// attackers are the new owners: as soon as they have a name (or the mail of its users) they ask for a new password at
// every address that was verified before. What is mailed to them is the evidence that a takeover was missed; the
// ledger, which is read from the registry's tables, must agree.
type attackers struct {
	due   []*Domain // by the time at which they are taken
	mails int       // in the registry's sink so far
	got   int       // resets that reached a new owner
}

func newAttackers(p *Population) *attackers {
	a := &attackers{}
	for _, d := range p.Domains {
		if d.Taken.After(p.World.Start) && d.Taken.Before(p.end) {
			a.due = append(a.due, d)
		}
	}
	slices.SortStableFunc(a.due, func(x, y *Domain) int { return x.Taken.Compare(y.Taken) })
	return a
}

// attack asks for the resets that are due at the clock's time.
func (a *attackers) attack(ctx context.Context, g *Guard, l *Ledger) error {
	for len(a.due) > 0 && !a.due[0].Taken.After(g.clock.now()) {
		d := a.due[0]
		a.due = a.due[1:]
		for _, account := range d.Accounts {
			if account.Other || account.Verified.After(d.Taken) {
				continue
			}
			if err := g.reset(ctx, account.Address); err != nil {
				return fmt.Errorf("attack %s: %w", d.Name, err)
			}
		}
		mails, err := g.registry.Mails(ctx)
		if err != nil {
			return fmt.Errorf("attack %s: %w", d.Name, err)
		}
		got := 0
		for _, m := range mails[a.mails:] {
			got += one(m.Kind == "reset")
		}
		a.mails = len(mails)
		a.got += got
		if open := l.open(d, d.Taken); open != (got > 0) {
			return fmt.Errorf("attack %s: %d resets were mailed, while by the registry's tables an address could be used: %t", d.Name, got, open)
		}
	}
	return nil
}

// reset asks the registry for a new password, as anybody can.
func (g *Guard) reset(ctx context.Context, address string) error {
	body, err := json.Marshal(map[string]string{"email": address})
	if err != nil {
		return fmt.Errorf("ask for a reset: %w", err)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/reset", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	if w.Code != http.StatusAccepted {
		return fmt.Errorf("ask for a reset: status %d", w.Code)
	}
	return nil
}
