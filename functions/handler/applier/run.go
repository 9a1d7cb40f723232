package applier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// silentAfter is how long an upstream may go without an answer to believe; less than two days by the length of a run,
// so that the second daily run without one tells.
const silentAfter = 2*24*time.Hour - 4*time.Hour

// completeRun marks the run as complete once every message of it was answered, and names what is missing.
func (p *Parts) completeRun(ctx context.Context) (records.Run, error) {
	stored, err := p.book().Run(ctx)
	run := stored.V
	if err != nil || !run.Sent || run.Complete {
		return run, err
	}
	tally, err := p.book().Balance(ctx, run.ID)
	if err != nil {
		return run, err
	}
	took := lifecycle.At(p.Now()).Since(run.Started)
	if len(tally.Missing) > 0 {
		if took <= settleTime {
			return run, nil
		}
		p.Log.WarnContext(ctx, "run_incomplete", "run", run.ID, "answered", tally.Answered, "missing", tally.Missing)
		return run, p.noteUpstreams(ctx, run, tally)
	}
	if err := p.noteUpstreams(ctx, run, tally); err != nil {
		return run, err
	}
	if tally.Deaf() {
		p.Log.ErrorContext(ctx, "run_incomplete", "run", run.ID, "answered", tally.Answered, "checked", tally.Checked, "heard", tally.Heard())
		return run, nil
	}
	if run.Blind() {
		p.Log.ErrorContext(ctx, "run_incomplete", "run", run.ID, "answered", tally.Answered, "watched", run.Watched, "skipped", run.Skipped)
		return run, nil
	}
	// The metric goes first: an alarm counts on it, and who fails after it only says twice what is true.
	p.Metrics.Emit(map[string]float64{
		telemetry.RunCompleted: 1, telemetry.DomainsChecked: float64(tally.Checked), telemetry.RunDuration: took.Seconds(),
	})
	run.Complete = true
	stored.V = run
	if err := p.Store.Write(ctx, stored.Put()); err != nil {
		return run, fmt.Errorf("mark run %s as complete: %w", run.ID, err)
	}
	p.Log.InfoContext(ctx, "run_complete", "run", run.ID, "messages", tally.Answered, "checked", tally.Checked, "watched", run.Watched, "took_s", took.Seconds())
	return run, nil
}

// noteUpstreams keeps the time of each upstream's last answer that could be believed, and names and counts those
// that the run asked and that gave none for silentAfter: not looked at is not unchanged. A run that is not complete
// counts too: it may be one silent upstream that keeps it so. Those that an operator accepted are no news.
func (p *Parts) noteUpstreams(ctx context.Context, run records.Run, tally records.Tally) error {
	known, err := p.book().Upstreams(ctx)
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
			groups = append(groups, []store.Write{records.Record(records.PKUpstreams, upstream, u, time.Time{})})
		}
		if u.LastGood == run.Started {
			continue
		}
		long := lifecycle.At(p.Now()).Since(max(u.LastGood, u.Asked)) >= silentAfter
		accepted := slices.Contains(p.AcceptedSilent, upstream)
		if long && !accepted {
			silent++
		}
		if accepted || !long && len(tally.Missing) > 0 {
			continue // an operator knows; or it may still answer, and run_incomplete names it
		}
		p.Log.WarnContext(ctx, "upstream_without_good_answer", "upstream", upstream, "run", run.ID, "last_good", u.LastGood.String(), "asked_since", u.Asked.String())
	}
	if err := errors.Join(p.Store.WriteEach(ctx, groups)...); err != nil {
		return fmt.Errorf("note the last good answers of run %s: %w", run.ID, err)
	}
	p.Metrics.Emit(map[string]float64{telemetry.UpstreamsSilent: float64(silent)})
	return nil
}
