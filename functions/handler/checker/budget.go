package checker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/store"
)

// Budget is what all checkers together may ask of each server: places in time, taken for a message's questions by one
// conditional write. A write for up to queue.MaxSlow questions costs less than any division of the rate would waste.
type Budget struct {
	Store store.Store
	Rate  func(base string) rdap.Rate
	Log   *slog.Logger
}

// patience is how long a message waits for its first place. It is far below an invocation's time, and above the time
// that another message's questions take at 10 a minute.
const patience = 5 * time.Minute

// late is how much later than its place a question may be put, if its server's distance is not longer. What is later
// lost its place: who was held up must not catch up, because the places behind are others'.
const late = 100 * time.Millisecond

// errNoTurn: there is no place before the deadline, or within patience.
var errNoTurn = errors.New("no turn at this server in time")

// turns are the places for one message's questions. It is safe for concurrent use.
type turns struct {
	b    *Budget
	rate rdap.Rate
	now  func() time.Time

	mu     sync.Mutex
	left   int // questions that have no place yet
	places records.Places
	began  time.Time // the real time at which places.From was zero away
	first  time.Duration
	next   int
	over   bool
	silent bool // the server answered nobody lately
}

func (b *Budget) turns(base string, n int, now func() time.Time) *turns {
	return &turns{b: b, rate: b.Rate(base), now: now, left: n}
}

// Wait waits for the next question's place.
func (t *turns) Wait(ctx context.Context) error {
	wait, err := t.turn(ctx)
	if err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// turn gives the time until the next place.
func (t *turns) turn(ctx context.Context) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for ; t.next < t.places.N; t.next++ {
			if wait := t.until(t.next); wait >= -max(late, t.places.Every) {
				t.next++
				t.left--
				return wait, nil
			}
		}
		if t.over || ctx.Err() != nil {
			return 0, errNoTurn
		}
		if err := t.take(ctx); err != nil {
			t.b.Log.ErrorContext(ctx, "budget_not_taken", "server", t.rate.Server, "error", err)
			t.over = true // a budget that cannot be read or written lets nobody ask
		}
	}
}

// until is the time until a place; turns are waited for in real time, also where the present is another.
func (t *turns) until(place int) time.Duration {
	return t.first + time.Duration(place)*t.places.Every - time.Since(t.began)
}

// take takes places for the questions that have none.
func (t *turns) take(ctx context.Context) error {
	now := t.now().UTC()
	var until time.Time
	t.began = time.Now()
	if d, ok := ctx.Deadline(); ok {
		until = now.Add(d.Sub(t.began))
	}
	err := records.In(t.b.Store).ChangeBudget(ctx, t.rate.Server, func(budget *records.Budget) {
		t.places, t.silent = budget.Take(now, until, t.rate.Every(), patience, t.left), budget.Silent > 0
	})
	t.next, t.first, t.over = 0, t.places.From.Sub(now), t.places.N == 0
	if err != nil {
		t.places.N = 0
	}
	return err //nolint:wrapcheck // it names what was done
}

// wasSilent tells whether the server had answered nobody when the places were taken.
func (t *turns) wasSilent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.silent
}

// away is how long those who were not asked wait at least: until the places that were taken are over.
func (t *turns) away() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, t.until(t.places.N))
}

// answered tells whether nobody who was asked of got an answer of any kind, and whether somebody did.
func answered(obs []source.Observation) (silent, heard bool) {
	for _, o := range obs {
		switch o.Cause {
		case source.CauseNotAsked:
		case source.CauseTimeout, source.CauseUnreachable, source.CauseServerError:
			silent = true
		default:
			heard = heard || o.Source != ""
		}
	}
	return silent && !heard, heard
}

// learn notes what the answers say of the rate, one step slower at most for what was under way at the same time, and
// whether there were any: a server that answers nobody is left alone for longer each time (wasSilent: it did not answer
// before). It gives the time for which the server sent us away.
func (b *Budget) learn(ctx context.Context, base string, obs []source.Observation, wasSilent bool, now time.Time) (away time.Duration) {
	if b == nil {
		return 0
	}
	slower := false
	for _, o := range obs {
		slower = slower || o.Slower || o.Cause == source.CauseRateLimited || o.Cause == source.CauseForbidden
		away = max(away, o.RetryAfter)
	}
	silent, heard := answered(obs)
	if !slower && away == 0 && !silent && !(heard && wasSilent) {
		return 0
	}
	server := b.Rate(base).Server
	// The invocation may be at its end: what was learned is written all the same.
	err := records.In(b.Store).ChangeBudget(context.WithoutCancel(ctx), server, func(budget *records.Budget) {
		budget.Refuse(now.UTC(), away, slower)
		switch {
		case silent:
			budget.Silence(now.UTC())
		case heard:
			budget.Heard()
		}
	})
	if err != nil {
		b.Log.ErrorContext(ctx, "budget_not_changed", "server", server, "error", err)
		return away
	}
	if slower || away > 0 {
		b.Log.WarnContext(ctx, "server_asked_slower", "server", server, "slower", slower, "away", away)
	}
	return away
}
