// Package applier carries verdicts out: it sends what is due to be looked at again, asks the breaker, tells the
// registry, records holds for a person to decide, and sums up the day.
package applier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// Mode is what the applier may do. It is read by each tick that has work, so that it changes without a deployment.
type Mode string

// The modes.
const (
	Observe Mode = "observe" // writes "would …", changes nothing
	Enforce Mode = "enforce"
	Stop    Mode = "stop" // the kill switch: no call to the registry at all
)

// Event is what the schedule or an operator sends.
type Event struct {
	Action   string `json:"action"`             // tick, status, or an operator's: approve, revoke, release, hold, recheck, retry, restore
	Domain   string `json:"domain,omitempty"`   // what an operator's action is about
	Decision string `json:"decision,omitempty"` // restore: which one; empty: the domain's last, with its retries
	By       string `json:"by,omitempty"`       // the stated name of the operator; no address
	// approve and revoke of a whole class in place of a domain: the class as its holds name it; to approve it, how
	// many domains the reviewed list has, and how many of them may be acted on a day.
	Class  string `json:"class,omitempty"`
	Count  int    `json:"count,omitempty"`
	PerDay int    `json:"per_day,omitempty"`
}

// Result answers an invocation in words.
type Result struct {
	Mode    Mode     `json:"mode,omitempty"`
	Text    string   `json:"text,omitempty"`
	Acted   int      `json:"acted"`
	Held    int      `json:"held"`
	Looks   int      `json:"looks"`
	Resent  int      `json:"resent"`
	Waiting int      `json:"waiting"`
	Tripped []string `json:"tripped,omitempty"`
}

// actor is the registry as a mode sees it. Observing is another actor, not a condition in the steps.
type actor interface {
	// Open tells whether the domain's decision still is to be put to the registry by this actor.
	Open(d store.Domain) bool
	Unverify(ctx context.Context, r registry.Request) (registry.Answer, error)
	// Note writes into the domain that the decision was put to the registry.
	Note(d *store.Domain)
	// Spends tells whether acting uses up the breaker's budget.
	Spends() bool
	// Word is what history calls it.
	Word() string
}

// restorer takes an unverification back.
type restorer interface {
	Restore(ctx context.Context, key string) (registry.Restored, error)
}

// Handler orders the steps.
type Handler struct {
	Store    store.Store
	Queue    queue.Sender
	Mode     func(ctx context.Context) (Mode, error)
	Actors   map[Mode]actor
	Restorer restorer
	Limits   safety.Limits
	// Protected domains are never acted on, beside the built-in great mail providers.
	Protected []string
	Log       *slog.Logger
	Metrics   *telemetry.Metrics
	Now       func() time.Time
	// Margin is the time before the deadline at which no further domain is begun.
	Margin time.Duration
}

// Handle does a tick's work, or an operator's action.
func (h *Handler) Handle(ctx context.Context, e Event) (Result, error) {
	switch e.Action {
	case "tick":
		return h.tick(ctx)
	case actApprove, actRevoke, actRelease, actHold, actRecheck, actRetry, actRestore, actAccept:
		return h.leased(ctx, func(ctx context.Context) (Result, error) { return h.operator(ctx, e) })
	case "status":
		return h.status(ctx)
	default:
		return Result{}, fmt.Errorf("event has action %q: send tick, status, approve, revoke, release, hold, recheck, retry, restore or accept", e.Action)
	}
}

// job is what the lease is on.
const job = "applier"

func (h *Handler) leased(ctx context.Context, work func(context.Context) (Result, error)) (Result, error) {
	lease := 15 * time.Minute
	if d, ok := ctx.Deadline(); ok {
		lease = time.Until(d)
	}
	release, err := store.TakeLease(ctx, h.Store, job, h.Now(), lease)
	if errors.Is(err, store.ErrLeased) {
		h.Log.InfoContext(ctx, "applier_busy")
		return Result{Text: "another invocation is at work; try again in a minute"}, nil
	}
	if err != nil {
		return Result{}, err
	}
	res, err := work(ctx)
	return res, errors.Join(err, release(context.WithoutCancel(ctx)))
}

// work is a tick's: each step fails alone, so that a registry that is down stops no second look.
func (h *Handler) work(ctx context.Context) (Result, error) {
	var res Result
	var errs []error
	step := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	var err error
	res.Resent, err = h.resendParked(ctx)
	step("parked messages", err)
	run, err := h.completeRun(ctx)
	step("completeness", err)
	found, err := h.survey(ctx)
	step("survey", err)
	res.Looks = found.looks
	res.Mode, err = h.Mode(ctx)
	if err != nil {
		res.Mode = Stop // who cannot read the kill switch may not act
		step("mode", err)
	}
	if found.complete {
		step("holds", h.holdAll(ctx, found, &res))
		step("decisions", h.decideAll(ctx, run, found, &res))
	}
	waiting, err := h.holds(ctx)
	step("open holds", err)
	step("synthetic domain", h.canary(ctx, res.Mode, found.arrived))
	step("digest", h.digest(ctx, waiting))
	h.Log.InfoContext(ctx, "tick", "mode", res.Mode, "acted", res.Acted, "held", res.Held, "looks", res.Looks,
		"resent", res.Resent, "waiting", res.Waiting, "tripped", res.Tripped)
	return res, errors.Join(errs...)
}
