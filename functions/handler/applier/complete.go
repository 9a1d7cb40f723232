package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

const (
	// settleTime is how long the breaker waits for a run to be whole before it judges what is there.
	settleTime = 6 * time.Hour
	// silentAfter is how long an upstream may go without an answer to believe; less than two days by the length of
	// a run, so that the second daily run without one tells.
	silentAfter = 2*24*time.Hour - 4*time.Hour
)

// completeRun marks the run as complete once every message of it was answered, and names what is missing.
func (h *Handler) completeRun(ctx context.Context) (store.Run, error) {
	var run store.Run
	it, err := store.Load(ctx, h.Store, store.PKGuard, "run", &run)
	if err != nil || !run.Sent || run.Complete {
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return run, err
	}
	tally, err := store.Balance(ctx, h.Store, run.ID)
	if err != nil {
		return run, err
	}
	took := lifecycle.At(h.Now()).Since(run.Started)
	if len(tally.Missing) > 0 {
		if took <= settleTime {
			return run, nil
		}
		h.Log.WarnContext(ctx, "run_incomplete", "run", run.ID, "answered", tally.Answered, "missing", tally.Missing)
		return run, h.noteUpstreams(ctx, run, tally)
	}
	if err := h.noteUpstreams(ctx, run, tally); err != nil {
		return run, err
	}
	run.Complete = true
	if err := h.Store.Write(ctx, store.Save(it, run)); err != nil {
		return run, fmt.Errorf("mark run %s as complete: %w", run.ID, err)
	}
	h.Log.InfoContext(ctx, "run_complete", "run", run.ID, "messages", tally.Answered, "checked", tally.Checked, "watched", run.Watched, "took_s", took.Seconds())
	return run, h.Metrics.Emit(map[string]float64{
		telemetry.RunCompleted: 1, telemetry.DomainsChecked: float64(tally.Checked), telemetry.RunDuration: took.Seconds(),
	})
}

// noteUpstreams keeps the time of each upstream's last answer that could be believed, and names and counts those
// that the run asked and that gave none for silentAfter: not looked at is not unchanged. A run that is not complete
// counts too: it may be one silent upstream that keeps it so.
func (h *Handler) noteUpstreams(ctx context.Context, run store.Run, tally store.Tally) error {
	known, err := h.upstreams(ctx)
	if err != nil {
		return err
	}
	asked := map[string]bool{}
	for upstream := range tally.Good {
		asked[upstream] = true
	}
	for upstream := range tally.Missing {
		asked[upstream] = true
	}
	var groups [][]store.Write
	silent := 0
	for _, upstream := range slices.Sorted(maps.Keys(asked)) {
		u := known[upstream]
		if u.Asked == 0 {
			u.Asked = run.Started
		}
		if tally.Good[upstream] > 0 {
			u.LastGood = run.Started
		}
		if u != known[upstream] {
			groups = append(groups, []store.Write{store.Record(store.PKUpstreams, upstream, u, time.Time{})})
		}
		if u.LastGood == run.Started {
			continue
		}
		long := lifecycle.At(h.Now()).Since(max(u.LastGood, u.Asked)) >= silentAfter
		if long {
			silent++
		}
		if !long && len(tally.Missing) > 0 {
			continue // it may still answer; run_incomplete names it
		}
		h.Log.WarnContext(ctx, "upstream_without_good_answer", "upstream", upstream, "run", run.ID, "last_good", u.LastGood.String(), "asked_since", u.Asked.String())
	}
	if err := errors.Join(h.Store.WriteEach(ctx, groups)...); err != nil {
		return fmt.Errorf("note the last good answers of run %s: %w", run.ID, err)
	}
	return h.Metrics.Emit(map[string]float64{telemetry.UpstreamsSilent: float64(silent)})
}

// upstreams reads what is known of every upstream.
func (h *Handler) upstreams(ctx context.Context) (map[string]store.Upstream, error) {
	known := map[string]store.Upstream{}
	for after, more := "", true; more; {
		var items []store.Item
		var err error
		items, more, err = h.Store.Query(ctx, store.Query{PK: store.PKUpstreams, After: after, Limit: 1000})
		if err != nil {
			return nil, fmt.Errorf("known upstreams after %q: %w", after, err)
		}
		for _, it := range items {
			var u store.Upstream
			if err := json.Unmarshal(it.Data, &u); err != nil {
				return nil, fmt.Errorf("known upstream %q: %w", it.SK, err)
			}
			known[it.SK], after = u, it.SK
		}
	}
	return known, nil
}
