package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// Job is what the lease is on.
const Job = "applier"

// agenda is how many items of PKGuard a glance reads: with more of them something waits.
const agenda = 100

// leased does work that no two invocations may do at once. busy says in words that another one is at it.
func (p *Parts) leased(ctx context.Context, work func(context.Context) error) (busy string, err error) {
	lease := 15 * time.Minute
	if d, ok := ctx.Deadline(); ok {
		lease = time.Until(d)
	}
	release, err := p.book().TakeLease(ctx, Job, p.Now(), lease)
	if errors.Is(err, records.ErrLeased) {
		p.Log.InfoContext(ctx, "applier_busy")
		return "another invocation is at work; try again in a minute", nil
	}
	if err != nil {
		return "", err
	}
	err = work(ctx)
	return "", errors.Join(err, release(context.WithoutCancel(ctx)))
}

// quiet tells whether the steps of a tick would find nothing to do, by three looks at once. A look that fails is not
// quiet: the step that needs what could not be read says so.
func (p *Parts) quiet(ctx context.Context) bool {
	looks := []func(context.Context) (bool, error){p.nothingDue, p.nothingWoken, p.settled}
	found := make(chan bool, len(looks))
	for _, look := range looks {
		go func() {
			ok, err := look(ctx)
			found <- ok && err == nil
		}()
	}
	quiet := true
	for range looks {
		quiet = <-found && quiet
	}
	return quiet
}

// nothingDue tells whether the index of due items is empty.
func (p *Parts) nothingDue(ctx context.Context) (bool, error) {
	for shard := range store.Shards {
		names, next, err := p.Store.Due(ctx, shard, p.Now(), "", 1)
		if err != nil || len(names) > 0 || next != "" {
			return false, err //nolint:wrapcheck // only whether it is so
		}
	}
	return true, nil
}

// nothingWoken tells whether no parked message is to be sent again.
func (p *Parts) nothingWoken(ctx context.Context) (bool, error) {
	woken, _, err := p.Store.Query(ctx, records.Woken(p.Now(), 1))
	return len(woken) == 0, err //nolint:wrapcheck // only whether it is so
}

// settled tells whether nobody else is at work, the walk came to its end, what the breaker holds is still too much, the
// run has nothing left to weigh, and yesterday's digest is written. What waits for a person costs nothing here.
func (p *Parts) settled(ctx context.Context) (bool, error) {
	items, more, err := p.Store.Query(ctx, store.Query{PK: records.PKGuard, Limit: agenda})
	if err != nil || more {
		return false, err //nolint:wrapcheck // only whether it is so
	}
	var run *records.Run
	var lease records.Lease
	var told records.Digested
	var walk records.Walk
	var ledger safety.Ledger
	into := map[string]any{
		records.SKRun: &run, records.LeaseSK(Job): &lease, records.SKDigest: &told, records.SKWalk: &walk, records.SKBreaker: &ledger,
	}
	for _, it := range items {
		v, ok := into[it.SK]
		if !ok {
			continue
		}
		if err := json.Unmarshal(it.Data, v); err != nil {
			return false, fmt.Errorf("read %s %s: %w", it.PK, it.SK, err)
		}
	}
	now := p.Now()
	yesterday := now.UTC().AddDate(0, 0, -1).Format(records.Day)
	weighed := run == nil || (!run.Sent || run.Complete) && told.Day >= yesterday
	going := walk.Cursor != "" || walk.Shard > 0
	return weighed && !going && lease.Until <= lifecycle.At(now) && !p.fits(ledger, run, now), nil
}

// fits tells whether the breaker would let something go that it holds.
func (p *Parts) fits(l safety.Ledger, run *records.Run, now time.Time) bool {
	if run == nil || len(l.Held) == 0 {
		return false
	}
	for _, r := range safety.Judge(l, p.Limits, run.Watched, l.Held, now) {
		if !r.Held {
			return true
		}
	}
	return false
}
