package applier

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// An operator's actions. Each is an entry in the domain's (or the class's) history: when, who, which invocation.
const (
	actApprove = "approve" // a hold, or a whole class
	actRevoke  = "revoke"  // the approval of a class
	actRelease = "release" // a hold: the verdict is declined
	actHold    = "hold"    // a domain: never acted on until it is released or approved
	actRecheck = "recheck"
	actRetry   = "retry" // an unverify that was carried out and yet protects nobody, or was taken back
	actRestore = "restore"
	actAccept  = "accept" // the registry's list, although it lost many hosts
)

// maxBy bounds a stated name, in bytes.
const maxBy = 100

// operator carries out what a person decided.
func (h *Handler) operator(ctx context.Context, e Event) (Result, error) {
	if err := checkBy(e.By); err != nil {
		return Result{}, fmt.Errorf("%s: %w", e.Action, err)
	}
	switch {
	case e.Action == actRevoke:
		return h.revokeClass(ctx, e)
	case e.Action == actAccept:
		return h.accept(ctx, e)
	case e.Action == actApprove && e.Class != "":
		return h.approveClass(ctx, e)
	}
	d, err := store.GetDomain(ctx, h.Store, strings.ToLower(strings.TrimSuffix(e.Domain, ".")))
	if errors.Is(err, store.ErrNotFound) {
		return Result{}, fmt.Errorf("%s %q: no such domain in the table; give the registrable domain, such as example.org", e.Action, e.Domain)
	}
	if err != nil {
		return Result{}, err
	}
	if e.Action == actRestore {
		return h.restore(ctx, e, d)
	}
	text, more, err := h.decided(ctx, e, &d)
	if err != nil {
		return Result{}, fmt.Errorf("%s %s: %w", e.Action, d.Name, err)
	}
	entry := store.PutEntry(d.Name, h.entry(ctx, e, d, text), 40)
	if err := h.Store.Write(ctx, append(more, d.Put(), entry)...); err != nil {
		return Result{}, fmt.Errorf("%s %s: %w", e.Action, d.Name, err)
	}
	h.logAction(ctx, e, d.Name, "")
	return Result{Text: text}, nil
}

// decided writes an operator's word into the domain; it gives the answer in words and what else is to be written.
func (h *Handler) decided(ctx context.Context, e Event, d *store.Domain) (text string, more []store.Write, err error) {
	now := h.Now()
	switch e.Action {
	case actApprove: // judged again on fresh evidence: the look comes first
		if safety.Protected(d.Name, h.Protected) {
			return "", nil, errors.New("it is a protected domain, which is never acted on: decide about its accounts in your registry, and take the hold off with release")
		}
		if d.HeldBy == "" && d.Action.Weight() < lifecycle.Hold.Weight() {
			return "", nil, fmt.Errorf("it is %s and nothing about it waits for a decision: recheck has it looked at again", d.State.Phase)
		}
		d.Approved, d.Released, d.HeldBy = d.Decision(), "", ""
		d.NextLook = lifecycle.At(now)
		more, err = h.approvedHold(ctx, e, *d)
		text = fmt.Sprintf("approved: %s will be looked at again and, if the evidence stands, its addresses unverified", d.Name)
	case actRelease:
		if d.HeldBy != "" { // the operator's own hold: what was found meanwhile counts again
			d.HeldBy, d.Held = "", ""
		} else {
			d.Release()
		}
		more = []store.Write{{Item: store.Item{Key: holdKey(d.Name)}, Delete: true, Any: true}}
		text = fmt.Sprintf("released: the hold on %s is off; it stays under watch, and another verdict counts anew", d.Name)
	case actHold:
		d.HeldBy, d.Approved = e.By, ""
		hold, err := h.described(ctx, *d, safety.Hold{Why: "held by " + e.By}, now.UTC())
		if err != nil {
			return "", nil, err
		}
		more = []store.Write{store.Record(store.PKGuard, store.HoldSK(d.Name), hold, time.Time{}), h.digestLine(*d, "held", registry.Answer{})}
		text = fmt.Sprintf("held: nothing will be done about %s, whatever is found, until it is released or approved", d.Name)
		return text, more, nil
	case actRecheck:
		d.NextLook = lifecycle.At(now)
		text = fmt.Sprintf("recheck: %s will be looked at with the next tick", d.Name)
	case actRetry:
		text, err = h.retry(ctx, d)
	}
	return text, more, err
}

// retry opens again a decision that was carried out, where doing it again can change anything: recovery was left
// open, or it was taken back. It is judged as approved: one by one, beside the breaker's limits.
func (h *Handler) retry(ctx context.Context, d *store.Domain) (string, error) {
	if d.Done != d.Key() {
		return "", errors.New("nothing was unverified in its present lapse; what is pending is sent by itself, what is held needs approve")
	}
	if d.Action.Weight() < lifecycle.Hold.Weight() {
		return "", fmt.Errorf("it is %s now: nothing is to be unverified", d.State.Phase)
	}
	var last request
	if _, err := store.Load(ctx, h.Store, store.PKRequest, d.Key(), &last); err != nil {
		return "", fmt.Errorf("the last request: %w", err)
	}
	why := "was taken back"
	if last.Restored == nil {
		if last.Answer == nil || last.Answer.Recovery == registry.RecoveryClosed {
			return "", errors.New("the registry answered that recovery is closed: there is nothing to do again")
		}
		why = "left recovery " + string(last.Answer.Recovery)
	}
	d.Retry()
	d.NextLook = lifecycle.At(h.Now())
	return fmt.Sprintf("retry: the last unverify of %s %s; the next tick sends it again, as %s", d.Name, why, d.Key()), nil
}

// approvedHold notes the approval in the hold: it waits for nobody any more.
func (h *Handler) approvedHold(ctx context.Context, e Event, d store.Domain) ([]store.Write, error) {
	var hold safety.Hold
	it, err := store.Load(ctx, h.Store, store.PKGuard, store.HoldSK(d.Name), &hold)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	hold.ApprovedBy, hold.ApprovedAt = e.By, h.Now().UTC()
	return []store.Write{store.Save(it, hold)}, err
}

// entry is an operator's action as history keeps it.
func (h *Handler) entry(ctx context.Context, e Event, d store.Domain, text string) store.Entry {
	return store.Entry{
		At: h.Now().UTC(), What: e.Action, By: e.By, After: d.State.Phase, Action: d.Action, Reason: d.Reason, Sentence: text, Request: invocation(ctx),
	}
}

// invocation is the id of the Lambda invocation, by which CloudTrail and the log know it; empty on one machine.
func invocation(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// logAction is the log event of an operator's action.
func (h *Handler) logAction(ctx context.Context, e Event, domain, class string) {
	h.Log.InfoContext(ctx, "operator", "action", e.Action, "domain", domain, "class", class, "by", e.By, "request", invocation(ctx))
}

// checkBy: a decision without a name is nobody's, and no address goes into the table.
func checkBy(by string) error {
	switch {
	case strings.TrimSpace(by) == "":
		return errors.New("nobody's name is given: say who decides (by)")
	case len(by) > maxBy:
		return fmt.Errorf("by is longer than %d bytes: state a name", maxBy)
	case strings.ContainsFunc(by, func(r rune) bool { return r == '@' || !unicode.IsPrint(r) }):
		return errors.New("by holds an @ or a sign that cannot be printed: state a name, not an address")
	}
	return nil
}

// approveClass takes a person's word for a whole class: a first day's backlog, reviewed as one list and applied
// at a daily rate.
func (h *Handler) approveClass(ctx context.Context, e Event) (Result, error) {
	now := h.Now()
	text := fmt.Sprintf("approved: %d domains of %s, %d a day", e.Count, e.Class, e.PerDay)
	held, err := h.heldOf(ctx, e.Class)
	if err != nil {
		return Result{}, err
	}
	if held == 0 {
		text += "; nothing of this class is held now: if that is not what you meant, revoke it, and write the class as the hold does"
	}
	return h.class(ctx, e, text, func(l safety.Ledger) (safety.Ledger, error) {
		return l.Approve(e.Class, safety.Approval{By: e.By, At: now, Until: now.Add(safety.MaxApproval), PerDay: e.PerDay, Left: e.Count})
	})
}

// heldOf counts the holds of a class, up to maxHolds.
func (h *Handler) heldOf(ctx context.Context, class string) (n int, err error) {
	for after, seen, more := "", 0, true; more && seen < maxHolds; {
		var items []store.Item
		if items, more, err = h.Store.Query(ctx, store.Holds(after, page)); err != nil {
			return n, fmt.Errorf("holds of %s: %w", class, err)
		}
		seen += len(items)
		for _, it := range items {
			after = it.SK
			var hold safety.Hold
			if err := json.Unmarshal(it.Data, &hold); err != nil {
				return n, fmt.Errorf("hold of %s: %w", store.Held(it), err)
			}
			if hold.Class == class {
				n++
			}
		}
	}
	return n, nil
}

// revokeClass takes the approval of a class back: the breaker judges it again.
func (h *Handler) revokeClass(ctx context.Context, e Event) (Result, error) {
	text := fmt.Sprintf("revoked: %s is judged by the breaker again; what was done stays done", e.Class)
	return h.class(ctx, e, text, func(l safety.Ledger) (safety.Ledger, error) {
		if _, ok := l.Approvals[e.Class]; !ok {
			return l, fmt.Errorf("revoke %q: no such class is approved", e.Class)
		}
		return l.Revoke(e.Class), nil
	})
}

// accept takes a person's word that the registry's list really lost the hosts that it lacks: the next one, if it is
// marked complete, is believed, and they are watched no more. The entry is in the history of "list".
func (h *Handler) accept(ctx context.Context, e Event) (Result, error) {
	var synced store.Synced
	it, err := store.Load(ctx, h.Store, store.PKGuard, "synced", &synced)
	if err != nil {
		return Result{}, fmt.Errorf("accept the list: no list was read yet: %w", err)
	}
	synced.Accepted = lifecycle.At(h.Now())
	text := "accepted: the next list is believed however many hosts it lost, if the registry marks it complete"
	if err := h.Store.Write(ctx, store.Save(it, synced), store.PutEntry("list", h.entry(ctx, e, store.Domain{}, text), 40)); err != nil {
		return Result{}, fmt.Errorf("accept the list: %w", err)
	}
	h.logAction(ctx, e, "", "")
	return Result{Text: text}, nil
}

// class changes the breaker's ledger on a person's word. The entry is in the history of the class.
func (h *Handler) class(ctx context.Context, e Event, text string, change func(safety.Ledger) (safety.Ledger, error)) (Result, error) {
	ledger, it, err := h.ledger(ctx)
	if err != nil {
		return Result{}, err
	}
	if ledger, err = change(ledger); err != nil {
		return Result{}, err
	}
	entry := store.PutEntry(e.Class, h.entry(ctx, e, store.Domain{}, text), 40)
	if err := h.Store.Write(ctx, store.Save(it, ledger), entry); err != nil {
		return Result{}, fmt.Errorf("%s %s: %w", e.Action, e.Class, err)
	}
	h.logAction(ctx, e, "", e.Class)
	return Result{Text: text}, nil
}

// errNotCarriedOut: the request was sent and never answered, and the registry knows nothing of its key.
var errNotCarriedOut = errors.New("it was not carried out")

// restore takes a decision back: the registry verifies again those addresses that this decision changed and that
// are still unverified for that reason. A decision that was retried is taken back whole, request by request.
func (h *Handler) restore(ctx context.Context, e Event, d store.Domain) (Result, error) {
	keys := []string{e.Decision}
	if e.Decision == "" {
		keys = store.Keys(d.Done)
	}
	if keys[0] == "" { // what was sent and never answered may have been done all the same
		items, _, err := h.Store.Query(ctx, store.Query{PK: store.PKRequest, After: d.Name + ":", Before: d.Name + ";", Limit: page})
		if err != nil {
			return Result{}, fmt.Errorf("requests about %s: %w", d.Name, err)
		}
		keys = keys[:0]
		for _, it := range items {
			keys = append(keys, it.SK)
		}
	}
	if len(keys) == 0 {
		return Result{}, fmt.Errorf("restore %s: nothing was unverified by this guard", d.Name)
	}
	var sum registry.Restored
	var missing error
	anew, found := false, 0
	for i, key := range keys {
		restored, first, err := h.restoreKey(ctx, e, d, key, i)
		if errors.Is(err, errNotCarriedOut) {
			missing = fmt.Errorf("restore %s (%s): %w", d.Name, key, err)
			continue
		}
		if err != nil {
			return Result{}, fmt.Errorf("restore %s (%s): %w", d.Name, key, err)
		}
		found++
		anew = anew || first
		sum.Restored += restored.Restored
		sum.Kept += restored.Kept
	}
	if found == 0 {
		return Result{}, missing
	}
	text := restoredText(d.Name, sum)
	if !anew {
		text = fmt.Sprintf("%s was taken back before: %s", d.Name, text)
	}
	return Result{Text: text}, nil
}

func restoredText(name string, r registry.Restored) string {
	return fmt.Sprintf("restored %d addresses at %s; %d were changed again meanwhile and left alone", r.Restored, name, r.Kept)
}

// restoreKey takes one request back. What was taken back before is answered from the record.
func (h *Handler) restoreKey(ctx context.Context, e Event, d store.Domain, key string, n int) (r registry.Restored, first bool, err error) {
	var req request
	it, err := store.Load(ctx, h.Store, store.PKRequest, key, &req)
	switch {
	case errors.Is(err, store.ErrNotFound):
		req.Domain = d.Name
	case err != nil:
		return r, false, err
	case req.Restored != nil:
		return *req.Restored, false, nil
	}
	restored, err := h.Restorer.Restore(ctx, key)
	var p *registry.Problem
	if req.Answer == nil && errors.As(err, &p) && p.Type == registry.TypeUnknownKey {
		return restored, true, errors.Join(errNotCarriedOut, err)
	}
	if err != nil {
		return restored, true, err
	}
	req.Restored = &restored
	it.Expires = cmp.Or(it.Expires, h.Now().Add(store.HistoryTTL))
	entry := h.entry(ctx, e, d, restoredText(d.Name, restored))
	entry.What = "restored"
	if err := h.Store.Write(ctx, store.Save(it, req), store.PutEntry(d.Name, entry, 40+n)); err != nil {
		return restored, true, err
	}
	h.Log.InfoContext(ctx, "restored", "domain", d.Name, "decision", key, "by", e.By, "restored", restored.Restored, "kept", restored.Kept, "request", invocation(ctx))
	return restored, true, nil
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
	w, err := h.waiting(ctx, false)
	if err != nil {
		return Result{}, err
	}
	text := fmt.Sprintf("mode %s; run %s: %d domains, dispatched %t, complete %t; %s", mode, cmp.Or(run.ID, "none"), run.Watched, run.Sent, run.Complete, w.words())
	return Result{Mode: mode, Text: text, Held: w.open}, nil
}
