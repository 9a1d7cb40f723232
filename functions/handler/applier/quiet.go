package applier

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
)

// agenda is how many items of PKGuard a glance reads: with more of them something waits.
const agenda = 100

// tick does the work of the schedule. Most ticks have none, and see that at a glance: no lease, no write, not even
// the kill switch, which only who acts needs to know.
func (h *Handler) tick(ctx context.Context) (Result, error) {
	if h.quiet(ctx) {
		h.Log.InfoContext(ctx, "tick", "quiet", true)
		return Result{Text: "there was nothing to do"}, h.measureHolds(waiting{})
	}
	return h.leased(ctx, h.work)
}

// quiet tells whether the steps of a tick would find nothing to do, by two looks at once. A look that fails is not
// quiet: the step that needs what could not be read says so.
func (h *Handler) quiet(ctx context.Context) bool {
	index := make(chan bool, 1)
	go func() { index <- h.nothingDue(ctx) }()
	settled, err := h.settled(ctx)
	return <-index && err == nil && settled
}

// nothingDue tells whether the index of due items is empty.
func (h *Handler) nothingDue(ctx context.Context) bool {
	for shard := range store.Shards {
		names, next, err := h.Store.Due(ctx, shard, h.Now(), "", 1)
		if err != nil || len(names) > 0 || next != "" {
			return false
		}
	}
	return true
}

// settled tells whether nobody else is at work, nothing is held or to be sent again, the run has nothing left to
// weigh, and yesterday's digest is written.
func (h *Handler) settled(ctx context.Context) (bool, error) {
	items, more, err := h.Store.Query(ctx, store.Query{PK: store.PKGuard, Limit: agenda})
	if err != nil || more {
		return false, err //nolint:wrapcheck // only whether it is so
	}
	var run *store.Run
	var lease store.Lease
	var told digested
	for _, it := range items {
		var err error
		switch {
		case store.Waits(it, h.Now()):
			return false, nil
		case it.SK == "run":
			err = json.Unmarshal(it.Data, &run)
		case it.SK == store.LeaseSK(job):
			err = json.Unmarshal(it.Data, &lease)
		case it.SK == digestSK:
			err = json.Unmarshal(it.Data, &told)
		}
		if err != nil {
			return false, fmt.Errorf("read %s %s: %w", it.PK, it.SK, err)
		}
	}
	yesterday := h.Now().UTC().AddDate(0, 0, -1).Format(day)
	return lease.Until <= lifecycle.At(h.Now()) && (run == nil || (!run.Sent || run.Complete) && told.Day >= yesterday), nil
}
