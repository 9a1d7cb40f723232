package applier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// operator carries out what a person decided. Each is an entry in the domain's history with the stated name.
func (h *Handler) operator(ctx context.Context, e Event) (Result, error) {
	if e.Action == "approve" && e.Class != "" {
		return h.approveClass(ctx, e)
	}
	d, err := store.GetDomain(ctx, h.Store, strings.ToLower(strings.TrimSuffix(e.Domain, ".")))
	if errors.Is(err, store.ErrNotFound) {
		return Result{}, fmt.Errorf("%s %q: no such domain in the table; give the registrable domain, such as example.org", e.Action, e.Domain)
	}
	if err != nil {
		return Result{}, err
	}
	if e.Action == "restore" {
		return h.restore(ctx, e, d)
	}
	now := lifecycle.At(h.Now())
	var text string
	switch e.Action {
	case "approve": // judged again on fresh evidence: the look comes first
		d.Approved = d.Decision()
		d.NextLook = now
		text = fmt.Sprintf("approved: %s will be looked at again and, if the evidence stands, its addresses unverified", d.Name)
	case "release":
		d.Approved, d.Held = "", d.Decision()+"/released"
		text = fmt.Sprintf("released: the hold on %s is off; it stays under watch", d.Name)
	case "recheck":
		d.NextLook = now
		text = fmt.Sprintf("recheck: %s will be looked at with the next tick", d.Name)
	}
	writes := []store.Write{d.Put(), store.PutEntry(d.Name, store.Entry{At: h.Now().UTC(), What: e.Action, By: e.By, After: d.State.Phase, Sentence: text}, 40)}
	if e.Action == "release" {
		writes = append(writes, store.Write{Item: store.Item{Key: holdKey(d.Name)}, Delete: true, Any: true})
	}
	if err := h.Store.Write(ctx, writes...); err != nil {
		return Result{}, fmt.Errorf("%s %s: %w", e.Action, d.Name, err)
	}
	h.Log.InfoContext(ctx, "operator", "action", e.Action, "domain", d.Name, "by", e.By)
	return Result{Text: text}, nil
}

// approveClass takes a person's word for a whole class: a first day's backlog, reviewed as one list and applied
// at a daily rate.
func (h *Handler) approveClass(ctx context.Context, e Event) (Result, error) {
	ledger, it, err := h.ledger(ctx)
	if err != nil {
		return Result{}, err
	}
	now := h.Now()
	ledger, err = ledger.Approve(e.Class, safety.Approval{By: e.By, At: now, Until: now.Add(safety.MaxApproval), PerDay: e.PerDay, Left: e.Count})
	if err != nil {
		return Result{}, err
	}
	if err := h.Store.Write(ctx, store.Save(it, ledger)); err != nil {
		return Result{}, fmt.Errorf("approve %s: %w", e.Class, err)
	}
	h.Log.InfoContext(ctx, "operator", "action", e.Action, "class", e.Class, "count", e.Count, "per_day", e.PerDay, "by", e.By)
	return Result{Text: fmt.Sprintf("approved: %d domains of %s, %d a day", e.Count, e.Class, e.PerDay)}, nil
}

// restore takes a decision back: the registry verifies again those addresses that this decision changed and that
// are still unverified for that reason.
func (h *Handler) restore(ctx context.Context, e Event, d store.Domain) (Result, error) {
	key := cmp.Or(e.Decision, d.Done)
	if key == "" {
		return Result{}, fmt.Errorf("restore %s: nothing was unverified by this guard", d.Name)
	}
	restored, err := h.Restorer.Restore(ctx, key)
	if err != nil {
		return Result{}, fmt.Errorf("restore %s (%s): %w", d.Name, key, err)
	}
	text := fmt.Sprintf("restored %d addresses at %s; %d were changed again meanwhile and left alone", restored.Restored, d.Name, restored.Kept)
	entry := store.PutEntry(d.Name, store.Entry{At: h.Now().UTC(), What: "restored", By: e.By, After: d.State.Phase, Sentence: text}, 40)
	if err := h.Store.Write(ctx, entry); err != nil {
		return Result{}, fmt.Errorf("restore %s: %w", d.Name, err)
	}
	h.Log.InfoContext(ctx, "restored", "domain", d.Name, "decision", key, "by", e.By, "restored", restored.Restored, "kept", restored.Kept)
	return Result{Text: text}, nil
}

func (h *Handler) status(ctx context.Context) (Result, error) {
	mode, err := h.Mode(ctx)
	if err != nil {
		return Result{}, err
	}
	var run store.Run
	if _, err := store.Load(ctx, h.Store, store.PKGuard, "run", &run); err != nil && !errors.Is(err, store.ErrNotFound) {
		return Result{}, err
	}
	holds, more, err := h.Store.Query(ctx, store.Query{PK: store.PKHolds, Limit: page})
	if err != nil {
		return Result{}, err
	}
	many := ""
	if more {
		many = " or more"
	}
	text := fmt.Sprintf("mode %s; run %s: %d domains, dispatched %t, complete %t; %d%s holds wait for a decision", mode, cmp.Or(run.ID, "none"),
		run.Watched, run.Sent, run.Complete, len(holds), many)
	return Result{Mode: mode, Text: text, Held: len(holds)}, nil
}
