package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"

	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/shared/queue"
)

// People is who sits at the keyboard.
type People string

// The people.
const (
	NobodyThere People = "nobody"  // no hold is ever decided
	Right       People = "right"   // each is decided rightly within a day
	Approver    People = "approve" // everything is approved within a day
)

// tickEvery is the quarter-hourly schedule, decidesAt the hour at which people decide.
const (
	tickEvery = 15 * time.Minute
	decidesAt = 9
)

// Options of a run of the guard.
type Options struct {
	Policy
	People People
	Only   string                   // a domain whose answers are all kept
	Tell   func(day int, holds int) // progress; may be nil
	Saw    func(source.Observation) // every answer about Only
}

// GuardRun is what the guard did in a population's time.
type GuardRun struct {
	Ledger    *Ledger
	Decisions []Decision
	Histories map[string][]records.Entry // of domains that were missed or wronged, oldest first
	Asked     map[queue.Kind]map[string]int
	Looks     int64 // at domains between the daily runs
	Failed    int   // answers of zones that failed for a moment
	Events    map[string]int
	Reads     int64
	Writes    int64
	History   int64 // of the writes, those of history entries
	Scanned   int64
	Attacks   int // resets that a new owner asked for, and that were mailed
}

// play lives the population's time under the guard.
func play(ctx context.Context, p *Population, o Options) (run *GuardRun, err error) {
	dir, err := os.MkdirTemp("", "lapseguard-year-")
	if err != nil {
		return nil, fmt.Errorf("folder of the simulated guard: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c := &clock{}
	c.set(p.World.Start)
	u := NewUpstreams(p, c.now)
	g, err := openGuard(p, o.Policy, u, c, dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.Close() }()
	y := &year{p: p, g: g, o: o, u: u, ledger: newLedger(p), news: newsOf(p), people: newPeople(p, o.People), thieves: newAttackers(p), address: map[string]place{}}
	if err := y.live(ctx); err != nil {
		return nil, err
	}
	return y.result(ctx)
}

// place is whose an address is.
type place struct {
	d       *Domain
	account int
}

// year is a run under way.
type year struct {
	p       *Population
	g       *Guard
	o       Options
	u       *Upstreams
	ledger  *Ledger
	news    []news
	people  *people
	thieves *attackers
	address map[string]place
}

func (y *year) live(ctx context.Context) error {
	if err := y.load(ctx); err != nil {
		return err
	}
	y.u.Watch = func(name string, o source.Observation) {
		if name == y.o.Only && y.o.Saw != nil {
			y.o.Saw(o)
		}
	}
	first := y.p.World.Start.Add(time.Duration(y.p.World.RunsAt) * time.Hour)
	for at := first; at.Before(y.p.end); at = at.Add(tickEvery) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped at %s: %w", at.Format(time.DateOnly), err)
		}
		y.g.clock.set(at)
		if err := y.quarter(ctx, at); err != nil {
			return fmt.Errorf("at %s: %w", at.Format("2006-01-02 15:04"), err)
		}
	}
	return nil
}

// load fills the registry with the addresses of the first day.
func (y *year) load(ctx context.Context) error {
	var rows []refregistry.Row
	for _, d := range y.p.Domains {
		for i, a := range d.Accounts {
			y.address[a.Address] = place{d, i}
		}
	}
	for len(y.news) > 0 && !y.news[0].at.After(y.p.World.Start) {
		n := y.news[0]
		y.news = y.news[1:]
		y.ledger.verify(n.d, n.account, n.at)
		a := n.d.Accounts[n.account]
		row := refregistry.Row{Address: a.Address, VerifiedAt: a.Verified}
		if !a.Known {
			row.VerifiedAt = time.Time{}
		}
		rows = append(rows, row)
	}
	return y.g.registry.Load(ctx, slices.Values(rows)) //nolint:wrapcheck // it says what it was doing
}

// quarter is a quarter of an hour.
func (y *year) quarter(ctx context.Context, at time.Time) error {
	if err := y.thieves.attack(ctx, y.g, y.ledger); err != nil {
		return err
	}
	for len(y.news) > 0 && !y.news[0].at.After(at) {
		if err := y.verified(ctx, y.news[0]); err != nil {
			return err
		}
		y.news = y.news[1:]
	}
	if at.Hour() == decidesAt && at.Minute() == 0 {
		if err := y.people.decide(ctx, y.g); err != nil {
			return err
		}
	}
	if at.Hour() == y.p.World.RunsAt && at.Minute() == 0 {
		if y.o.Tell != nil {
			y.o.Tell(int(at.Sub(y.p.World.Start)/days(1)), len(y.people.open))
		}
		if err := y.g.Day(ctx); err != nil {
			return err
		}
	}
	if err := y.g.Tick(ctx); err != nil {
		return err
	}
	y.people.hear(y.g.record)
	return y.refresh(ctx, at)
}

// verified lets an account's owner verify.
func (y *year) verified(ctx context.Context, n news) error {
	a := n.d.Accounts[n.account]
	if n.again {
		return y.verifiedAgain(ctx, n)
	}
	y.ledger.verify(n.d, n.account, n.at)
	at := &n.at
	if !a.Known {
		at = nil
	}
	return y.g.registry.AddAddress(ctx, a.Address, at)
}

// verifiedAgain lets an account's owner verify once more: by the mail, or, where recovery is closed, signed in with the
// password that is as old as the account.
func (y *year) verifiedAgain(ctx context.Context, n news) error {
	a := n.d.Accounts[n.account]
	err := y.g.registry.Verify(ctx, a.Address, n.at)
	if errors.Is(err, refregistry.ErrClosed) {
		err = y.signedIn(ctx, a)
	}
	if errors.Is(err, refregistry.ErrClosed) {
		return nil // the password is younger than the gap: the registry's staff decides, and nobody is there
	}
	if err == nil {
		y.ledger.verify(n.d, n.account, n.at)
	}
	return err
}

func (y *year) signedIn(ctx context.Context, a Account) error {
	states, err := y.g.registry.Addresses(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(states, func(s refregistry.AddressState) bool { return s.Address == a.Address })
	if i < 0 {
		return fmt.Errorf("an account that verifies again is not in the registry")
	}
	if err := y.g.registry.SetCredential(ctx, states[i].Account, refregistry.Password, a.Verified); err != nil {
		return err
	}
	session, err := y.g.registry.SignIn(ctx, states[i].Account, refregistry.Password)
	if err != nil {
		return err
	}
	return y.g.registry.VerifyIn(ctx, session, a.Address)
}

// refresh reads what calls to the registry changed from the registry itself.
func (y *year) refresh(ctx context.Context, at time.Time) error {
	if len(y.g.touched) == 0 {
		return nil
	}
	states, err := y.g.registry.Addresses(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		where := y.address[s.Address]
		if where.d == nil || !y.g.touched[where.d.Name] {
			continue
		}
		closed, err := y.g.registry.IsClosed(ctx, s.Address)
		if err != nil {
			return err
		}
		y.ledger.note(where.d, change{at: at, account: where.account, verified: s.Verified, closed: closed})
	}
	clear(y.g.touched)
	return nil
}

func (y *year) result(ctx context.Context) (*GuardRun, error) {
	r := &GuardRun{Ledger: y.ledger, Decisions: y.g.record.Decisions(), Asked: y.u.Asked, Events: y.g.record.Events, Looks: y.g.record.Looks, Failed: y.u.Failed[queue.KindDelegation], Histories: map[string][]records.Entry{},
		Reads: y.g.store.reads.Load(), Writes: y.g.store.writes.Load(), History: y.g.store.history.Load(), Scanned: y.g.store.scanned.Load(), Attacks: y.thieves.got}
	for _, f := range y.ledger.Fates() {
		if !f.told() && f.Domain != y.o.Only {
			continue
		}
		entries, err := records.In(y.g.store).History(ctx, f.Domain, 200)
		if err != nil {
			return nil, err
		}
		slices.Reverse(entries)
		r.Histories[f.Domain] = entries
	}
	return r, nil
}
