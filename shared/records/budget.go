package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/store"
)

// pkBudgets is what is left of the servers' budgets. It is all that checkers share about a server.
const pkBudgets = "budgets"

// Budget is what one server may still be asked, by whoever asks it: questions are places in time, one after another.
type Budget struct {
	Next    time.Time `json:"next"`             // the first place that nobody took
	Slow    int       `json:"slow,omitempty"`   // halvings of the rate
	Refused time.Time `json:"refused,omitzero"` // when it last said that it was asked too fast
	Until   time.Time `json:"until,omitzero"`   // it sent everybody away until then, or is left alone
	Silent  int       `json:"silent,omitempty"` // how often in a row it answered nobody
}

const (
	// maxSlow bounds the halvings of a rate: a sixty-fourth of 2 a second is one in half a minute.
	maxSlow = 6
	// refusedFor is how long a refusal keeps the rate down: the rest of a daily run, and the next. Then a step a day.
	refusedFor = 48 * time.Hour
	slowStep   = 24 * time.Hour
	// silentFor is how long a server that answered nobody is left alone, twice as long each time, and silentMost the
	// longest: a lapse that it would tell of takes days.
	silentFor  = 30 * time.Minute
	silentMost = 24 * time.Hour
)

// Slowed is how often the rate is halved at now.
func (b Budget) Slowed(now time.Time) int {
	since := now.Sub(b.Refused)
	if b.Slow == 0 || since < refusedFor {
		return b.Slow
	}
	return max(0, b.Slow-1-int((since-refusedFor)/slowStep))
}

// Places are turns at a server, the first at From.
type Places struct {
	From  time.Time
	Every time.Duration
	N     int
}

// Take takes up to n places for a server that may be asked once in every, none later than until (zero: any time), nor
// the first later than patience from now: who would wait longer asks again later, as does who was sent away.
func (b *Budget) Take(now, until time.Time, every, patience time.Duration, n int) Places {
	p := Places{From: latest(now, b.Next, b.Until), Every: every << b.Slowed(now)}
	switch {
	case b.Until.After(now), p.From.Sub(now) > patience, !until.IsZero() && p.From.After(until):
		return p
	case until.IsZero() || p.Every <= 0:
		p.N = n
	default:
		p.N = min(n, 1+int(until.Sub(p.From)/p.Every))
	}
	b.Next = p.From.Add(time.Duration(p.N) * p.Every)
	return p
}

// Refuse notes that the server refused at now, and sent everybody away for a time (0: it did not say). A refusal for
// another reason than the rate does not slow down.
func (b *Budget) Refuse(now time.Time, away time.Duration, rate bool) {
	if rate {
		b.Slow, b.Refused = min(b.Slowed(now)+1, maxSlow), now
	}
	b.Until = latest(b.Until, now.Add(away))
}

// Silence notes that the server answered nobody, and leaves it alone.
func (b *Budget) Silence(now time.Time) {
	b.Silent++
	b.Until = latest(b.Until, now.Add(min(silentMost, silentFor<<min(b.Silent-1, 10))))
}

// Heard notes that it answered somebody.
func (b *Budget) Heard() { b.Silent = 0 }

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// Budget reads a server's budget.
func (b Book) Budget(ctx context.Context, server string) (Of[Budget], error) {
	return get[Budget](ctx, b, pkBudgets, server)
}

// ChangeBudget changes a server's budget, whoever else does so at the same time.
func (b Book) ChangeBudget(ctx context.Context, server string, change func(*Budget)) error {
	for {
		r, err := b.Budget(ctx, server)
		if err != nil {
			return err
		}
		before := r.V
		if change(&r.V); r.V == before {
			return nil
		}
		// Who loses has seen another one win, so that this ends.
		if err := b.Write(ctx, r.Put()); !errors.Is(err, store.ErrConflict) {
			if err != nil {
				return fmt.Errorf("write the budget of %s: %w", server, err)
			}
			return nil
		}
	}
}
