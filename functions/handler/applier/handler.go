// Package applier carries verdicts out: it sends what is due to be looked at again, asks the breaker, tells the
// registry, records holds for a person to decide, and sums up the day.
//
// It reads top-down: handler, tick, operator; then walk (what is due), plan (pure), act and hold (what is written). A
// file uses what stands in it or below it, never above (order_test.go).
package applier

import (
	"context"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// Event is what the schedule or an operator sends.
type Event struct {
	Action   string `json:"action"`             // tick, status, or an operator's: approve, revoke, trust, unhold, hold, recheck, retry, restore, accept, close, open
	Domain   string `json:"domain,omitempty"`   // what an operator's action is about
	Decision string `json:"decision,omitempty"` // restore: which one; empty: the domain's last, with its retries
	By       string `json:"by,omitempty"`       // the stated name of the operator; no address
	Why      string `json:"why,omitempty"`      // close, open and approve: the reason; no address
	Ask      bool   `json:"ask,omitempty"`      // approve: say what would be approved, and do nothing
	All      bool   `json:"all,omitempty"`      // open: everything that the registry holds closed, in the place of a domain
	// approve and revoke of a whole class in place of a domain: the class as its holds name it; to approve it, how
	// many domains the reviewed list has, and how many of them may be acted on a day.
	Class  string `json:"class,omitempty"`
	Count  int    `json:"count,omitempty"`
	PerDay int    `json:"per_day,omitempty"`
	// restore of many: what was sent of Class from Since on and before Until (the zero time: now). Without Count it says
	// what it would take back; with the number of domains that it said, it does.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
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
	Asked   bool     `json:"asked,omitempty"` // nothing was done: the text says what would be approved
	Status  *Status  `json:"status,omitempty"`
}

// Config is what a Handler works with. To gives what the registry is in it; without one nothing is put to a registry.
type Config struct {
	Parts
	Mode func(ctx context.Context) (Mode, error)
	// Registry is what enforce mode asks, DryRun what observe mode does; nil: nothing is put to a registry.
	Registry, DryRun unverifier
}

// Handler orders the steps.
type Handler struct{ Config }

// To is the part of a Config that speaks to the registry through its client: in enforce mode directly, in observe mode
// as a dry run, in stop mode not at all.
func To(reg *registry.Client) Config {
	return Config{Parts: Parts{Restorer: reg}, Registry: reg, DryRun: registry.NewObserver(reg)}
}

// New builds a handler; the error names what c lacks.
func New(c Config) (*Handler, error) {
	if err := handler.Complete(c, "Restorer", "Registry", "DryRun", "Differ", "Metrics", "Mail"); err != nil {
		return nil, err
	}
	return &Handler{c}, nil
}

// Handle does a tick's work, or an operator's action.
func (h *Handler) Handle(ctx context.Context, e Event) (Result, error) {
	switch e.Action {
	case "tick":
		t := ticker{Parts: &h.Parts, mode: h.Mode, registry: h.Registry, dry: h.DryRun}
		done, err := t.tick(ctx)
		return Result{Mode: done.mode, Text: done.text, Acted: done.acted, Held: done.held, Looks: done.looks, Resent: done.resent, Waiting: done.waiting, Tripped: done.tripped}, err
	case actApprove, actRevoke, actTrust, actUnhold, actHold, actRecheck, actRetry, actRestore, actAccept, actClose, actOpen:
		w := word{action: e.Action, domain: e.Domain, decision: e.Decision, by: e.By, why: e.Why, ask: e.Ask, all: e.All, class: e.Class, count: e.Count, perDay: e.PerDay, since: e.Since, until: e.Until}
		text, err := h.operate(ctx, w)
		return Result{Text: text, Asked: e.Ask && err == nil}, err
	case "status":
		mode, err := h.Mode(ctx)
		if err != nil {
			return Result{}, err
		}
		status, err := h.Stand(ctx)
		status.Mode = mode
		return Result{Mode: mode, Text: status.Words(), Held: status.Open, Status: &status}, err
	default:
		return Result{}, fmt.Errorf("event has action %q: send tick, status, approve, revoke, trust, unhold, hold, recheck, retry, restore, accept, close or open", e.Action)
	}
}

// ResendParked sends what is parked and due, outside a tick: a one-shot audit has no schedule.
func (h *Handler) ResendParked(ctx context.Context) error {
	_, err := h.resendParked(ctx)
	return err
}
