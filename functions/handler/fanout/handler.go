// Package fanout brings the registry's list of e-mail domains into the table (sync) and sends the day's
// questions about them (dispatch). Both steps are resumable and hold a page at a time.
package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// Event is what the schedules send.
type Event struct {
	// Action is "run" (begin the day's run; within an hour of the last one, or while that is unfinished, the
	// same as resume) or "resume" (finish what a deadline or a crash left, and begin the run that the day's schedule
	// did not; nothing to do is no error).
	Action string `json:"action"`
}

// Result tells what an invocation did.
type Result struct {
	Run      string `json:"run"`
	Listed   int    `json:"listed"`
	Changed  int    `json:"changed"`
	Watched  int    `json:"watched"`
	Finished bool   `json:"finished"`
}

var errDeadline = errors.New("the deadline is near, the next invocation goes on")

// minRun is the least distance of two runs: a schedule that fires twice starts one.
const minRun = time.Hour

// overdue is the age of a run from which on resume begins the next: the answer to the day's event was lost, or it died
// before it had noted anything, and the retries found its lease and said that all was well.
const overdue = 25 * time.Hour

const (
	// listFor bounds the time from a run's start in which the list alone is worked on. Then what is known is asked.
	listFor = 2 * time.Hour
	// syncFor bounds the time from a run's start in which a list that failed, or took longer, goes on.
	syncFor = 20 * time.Hour
)

// Job is what the lease is on.
const Job = "fanout"

// Handle does as much of the run as time allows.
func (h *Handler) Handle(ctx context.Context, e Event) (Result, error) {
	if e.Action != "run" && e.Action != "resume" {
		return Result{}, fmt.Errorf("event has action %q: send {\"action\":\"run\"} or {\"action\":\"resume\"}", e.Action)
	}
	if e.Action == "resume" { // every quarter of an hour, and nearly always for nothing: that costs one read
		if run, done, err := h.finished(ctx); done || err != nil {
			return run, err
		}
	}
	release, err := h.book().TakeLease(ctx, Job, h.Now(), leaseTime(ctx))
	if errors.Is(err, records.ErrLeased) {
		h.Log.InfoContext(ctx, "fanout_busy", "action", e.Action)
		return Result{}, nil
	}
	if err != nil {
		return Result{}, err
	}
	res, err := h.work(ctx, e)
	if errors.Is(err, errDeadline) {
		h.Log.InfoContext(ctx, "fanout_paused", "run", res.Run)
		err = nil
	}
	return res, errors.Join(err, release(context.WithoutCancel(ctx)))
}

// finished tells whether the last run has nothing left to resume.
func (h *Handler) finished(ctx context.Context) (Result, bool, error) {
	run, err := h.book().Run(ctx)
	return Result{Run: run.V.ID, Finished: true}, h.over(run.V) && !h.begins("resume", run.V), err
}

// book is the guard's records.
func (h *Handler) book() records.Book { return records.In(h.Store) }

// leaseTime covers what is left of the invocation.
func leaseTime(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return time.Until(d)
	}
	return 15 * time.Minute
}

func (h *Handler) work(ctx context.Context, e Event) (Result, error) {
	stored, err := h.book().Run(ctx)
	if err != nil {
		return Result{}, err
	}
	run := &stored.V
	if h.ahead(*run) {
		h.Log.ErrorContext(ctx, "run_ahead_of_the_clock", "run", run.ID, "started", run.Started.String(), "next", "a new run takes its place")
	}
	switch {
	case h.begins(e.Action, *run):
		if *run, err = h.begin(ctx); err != nil {
			return Result{}, err
		}
	case h.over(*run):
		return Result{Run: run.ID, Finished: true}, nil
	}
	save := func() error {
		if err := h.Store.Write(ctx, stored.Put(), records.PutCurrent(run.ID)); err != nil {
			return fmt.Errorf("note the place of run %s: %w", run.ID, err)
		}
		stored = stored.Stored()
		return nil
	}
	if err := save(); err != nil {
		return Result{}, err
	}
	err = h.steps(ctx, run, save)
	res := Result{Run: run.ID, Listed: run.Sync.Listed, Changed: run.Sync.Changed, Watched: run.Watched, Finished: run.Sent}
	return res, err
}

// ahead tells whether a run began in the future. No clock errs so far: to wait for it would stop the watch until then.
func (h *Handler) ahead(run records.Run) bool {
	return run.ID != "" && lifecycle.At(h.Now()).Since(run.Started) < -minRun
}

// begins tells whether a new run is to take the last one's place.
func (h *Handler) begins(action string, run records.Run) bool {
	age := lifecycle.At(h.Now()).Since(run.Started)
	if action == "run" {
		return run.ID == "" || h.ahead(run) || run.Sent && age >= minRun
	}
	return h.ahead(run) || run.ID != "" && run.Sent && age >= overdue
}

func (h *Handler) begin(ctx context.Context) (records.Run, error) {
	synced, err := h.book().Synced(ctx)
	if err != nil {
		return records.Run{}, err
	}
	now := h.Now()
	return records.Run{
		ID: now.UTC().Format("20060102T150405Z"), Started: lifecycle.At(now), Segments: max(h.Segments, 1), Sync: newSync(synced.V, now),
	}, nil
}

func (h *Handler) steps(ctx context.Context, run *records.Run, save func() error) error {
	if err := h.sync(ctx, run, save); err != nil {
		return err
	}
	if run.Sent {
		return h.catchUp(ctx, run, save)
	}
	if h.plant(ctx, run) {
		if err := save(); err != nil { // planted: a dispatch that is resumed must not plant it anew
			return err
		}
	}
	if err := h.dispatch(ctx, run); err != nil {
		return err
	}
	h.Log.InfoContext(ctx, "dispatched", "run", run.ID, "watched", run.Watched)
	run.Sync.Behind = !run.Sync.Done
	if err := save(); err != nil {
		return err
	}
	return h.measure(ctx, run)
}

// sync works through the registry's list for as long as it may; what it leaves is for a later invocation.
func (h *Handler) sync(ctx context.Context, run *records.Run, save func() error) error {
	for !run.Sync.Listing {
		if h.late(ctx) {
			return errDeadline
		}
		if took := lifecycle.At(h.Now()).Since(run.Started); !run.Sync.Behind && took >= listFor {
			h.Log.ErrorContext(ctx, "list_does_not_end", "run", run.ID, "listed", run.Sync.Listed, "after_s", took.Seconds(), "next", "what is known is asked now, the list goes on then")
			h.Metrics.Emit(map[string]float64{telemetry.ListFailing: 1})
			return nil
		}
		if err := h.syncPage(ctx, run); err != nil {
			// A registry that cannot be listed must not stop the watch over what is known already.
			h.Log.ErrorContext(ctx, "sync_failed", "run", run.ID, "error", err)
			h.Metrics.Emit(map[string]float64{telemetry.ListFailing: 1})
			return nil
		}
		if err := save(); err != nil {
			return err
		}
	}
	if run.Sync.Done {
		return nil
	}
	if err := h.finishSync(ctx, run); err != nil {
		return err
	}
	h.Log.InfoContext(ctx, "synced", "run", run.ID, "whole", run.Sync.Whole, "listed", run.Sync.Listed,
		"changed", run.Sync.Changed, "gone", run.Sync.Gone, "believed", run.Sync.Believed)
	if !run.Sync.Believed {
		h.Metrics.Emit(map[string]float64{telemetry.ListFailing: 1})
	}
	return save()
}

// catchUp asks about the domains that came with a list which was worked through only after the run was dispatched.
func (h *Handler) catchUp(ctx context.Context, run *records.Run, save func() error) error {
	if !run.Sync.Done {
		return nil // the next invocation tries again
	}
	before := run.Watched
	if err := h.dispatch(ctx, run); err != nil {
		return err
	}
	h.Log.InfoContext(ctx, "caught_up", "run", run.ID, "watched", run.Watched, "more", run.Watched-before)
	run.Sync.Behind = false
	return save()
}

// over tells whether nothing is left to do for the run: dispatched, and its list worked through or given up.
func (h *Handler) over(run records.Run) bool {
	return run.ID == "" || run.Sent && (!run.Sync.Behind || lifecycle.At(h.Now()).Since(run.Started) >= syncFor)
}
