package applier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// class is what the breaker counts together: who said it, and what.
func class(d store.Domain) string {
	return cmp.Or(d.State.RegServer, "status") + "/" + string(d.State.Phase)
}

// request is the frozen request of a decision, and what became of it. PKRequest, SK its key.
type request struct {
	Domain   string             `json:"domain"`
	Request  registry.Request   `json:"request"`
	At       time.Time          `json:"at"`
	Answer   *registry.Answer   `json:"answer,omitempty"`
	Restored *registry.Restored `json:"restored,omitempty"` // taken back

	sent bool // it was written down before, so that it may have been sent, and carried out, before
}

// decideAll asks the breaker about every class and works through the domains that it lets pass.
func (h *Handler) decideAll(ctx context.Context, run store.Run, found findings, res *Result) error {
	act := h.Actors[res.Mode]
	if act == nil || len(found.pending) == 0 {
		return nil
	}
	ledger, _, err := h.ledger(ctx)
	if err != nil {
		return err
	}
	rulings := safety.Judge(ledger, h.Limits, run.Watched, found.pending, h.Now())
	for class, r := range rulings {
		if r.Held {
			res.Tripped = append(res.Tripped, class)
			h.Log.WarnContext(ctx, "breaker_tripped", "class", class, "pending", found.pending[class], "why", r.Why)
		}
	}
	slices.Sort(res.Tripped)
	if len(res.Tripped) > 0 {
		if err := h.Metrics.Emit(map[string]float64{telemetry.BreakerTripped: float64(len(res.Tripped))}); err != nil {
			return err
		}
	}
	return h.eachDue(ctx, func(d store.Domain) error {
		if !d.Pending() || !act.Open(d) || h.stale(d) {
			return nil
		}
		repeat := slices.Contains(store.Keys(d.Key()), d.Done) // an operator's retry of what was carried out
		if d.Approved == d.Decision() && !repeat && unanswered(d) {
			res.Waiting++ // approved: judged again on fresh evidence first
			return nil
		}
		if !run.Complete && lifecycle.At(h.Now()).Since(d.State.Since) < settleTime {
			res.Waiting++
			return nil
		}
		return h.decide(ctx, act, d, run, rulings, res)
	})
}

// decide carries out one domain's decision, or holds it. A registry that fails leaves it pending.
func (h *Handler) decide(ctx context.Context, act actor, d store.Domain, run store.Run, rulings map[string]safety.Ruling, res *Result) error {
	approved := d.Approved == d.Decision()
	r := rulings[class(d)]
	switch {
	case safety.Protected(d.Name, h.Protected):
		return h.hold(ctx, d, safety.WhyProtected, res)
	case r.Held && !approved:
		return h.hold(ctx, d, r.Why, res)
	case r.Allow <= 0 && !approved:
		res.Waiting++
		return nil
	}
	if refused, err := h.refused(ctx, act, d); err != nil || refused {
		return err
	}
	it, req, ok, err := h.prepare(ctx, act, d, run)
	if err != nil || !ok {
		return err
	}
	r.Allow--
	rulings[class(d)] = r
	answer, err := act.Unverify(ctx, req.Request)
	if err != nil || answer.Pending {
		return h.unanswered(ctx, act, d, it, req, answer, err, res)
	}
	res.Acted++
	return h.record(ctx, act, d, it, req, answer)
}

// prepare gives the decision's request. An actor that spends gets it frozen: written down, together with one
// unit of the breaker's budget, before it is sent, so that a retry is the same request and costs nothing more.
func (h *Handler) prepare(ctx context.Context, act actor, d store.Domain, run store.Run) (it store.Item, req request, ok bool, err error) {
	it, err = store.Load(ctx, h.Store, store.PKRequest, d.Key(), &req)
	if err == nil {
		req.Request.Domain = req.Domain // it is no part of the request's JSON, but of its path
		req.sent = true
		return it, req, true, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return it, req, false, err
	}
	evidence, err := h.evidence(ctx, d)
	if err != nil {
		return it, req, false, err
	}
	req = request{Domain: d.Name, At: h.Now().UTC(), Request: registry.Request{
		Domain: d.Name, VerifiedBefore: d.VerifiedBefore.Time(), MaxAddresses: d.Addresses + max(5, d.Addresses/10),
		Reason: reason(d.State.Phase), Phase: string(d.State.Phase), Evidence: evidence, ExposedSince: d.ExposedSince.Time(),
		Run: cmp.Or(run.ID, "none"), Key: d.Key(), Advice: advice,
	}}
	if !act.Spends() {
		return it, req, true, nil
	}
	ledger, budget, err := h.ledger(ctx)
	if err != nil {
		return it, req, false, err
	}
	if d.Approved == d.Decision() { // one by one, by a person: counted apart from the limits
		ledger = ledger.ActedApproved(h.Now(), class(d), 1)
	} else if ledger, ok = safety.Reserve(ledger, h.Limits, run.Watched, class(d), h.Now()); !ok {
		return it, req, false, nil
	}
	it.Expires = h.Now().Add(store.HistoryTTL)
	if err := h.Store.Write(ctx, store.Save(it, req), store.Save(budget, ledger)); err != nil {
		return it, req, false, fmt.Errorf("freeze the request about %s: %w", d.Name, err)
	}
	it.Version++
	return it, req, true, nil
}

var advice = registry.Advice{
	Code: "add_other_address",
	Text: "Add a verified address at another domain, and a second factor, here and at your mail provider.",
}

func reason(p lifecycle.Phase) registry.Reason {
	switch p {
	case lifecycle.ReRegistered, lifecycle.ChangedHands:
		return registry.ReasonReRegistered
	case lifecycle.Grace:
		return registry.ReasonGrace
	default:
		return registry.ReasonLapsed
	}
}

// evidence is the newest words of each witness, in words.
func (h *Handler) evidence(ctx context.Context, d store.Domain) ([]string, error) {
	entries, err := store.History(ctx, h.Store, d.Name, 10)
	if err != nil {
		return nil, err
	}
	evidence := []string{lifecycle.Sentence(d.State, lifecycle.Verdict{Phase: d.State.Phase, Reason: d.Reason})}
	seen := map[source.Source]bool{}
	for _, e := range entries {
		for _, w := range e.Evidence {
			if !seen[w.Source] {
				seen[w.Source] = true
				evidence = append(evidence, fmt.Sprintf("%s (%s) at %s: %s", w.Source, w.Server, w.At.Format(time.RFC3339), w.Said))
			}
		}
	}
	return evidence, nil
}

// refused tells whether the registry said no to this decision before: a person decides, it is not asked again.
func (h *Handler) refused(ctx context.Context, act actor, d store.Domain) (bool, error) {
	if !act.Spends() || !d.OnHold() || d.Approved == d.Decision() {
		return false, nil
	}
	var hold safety.Hold
	_, err := store.Load(ctx, h.Store, store.PKGuard, store.HoldSK(d.Name), &hold)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return hold.Refused && hold.DecisionID == d.Decision(), err
}

// unanswered leaves the decision pending, or holds it where the registry refused for good.
func (h *Handler) unanswered(ctx context.Context, act actor, d store.Domain, it store.Item, req request, a registry.Answer, err error, res *Result) error {
	if err == nil { // accepted, not finished: asked again with the same key
		h.Log.InfoContext(ctx, "registry_working", "domain", d.Name, "retry_after", a.RetryAfter)
		res.Waiting++
		return nil
	}
	h.Log.ErrorContext(ctx, "registry_failed", "domain", d.Name, "decision", d.Key(), "error", err)
	switch registry.Kind(err) {
	case registry.KindConflict, registry.KindRefused:
		why := "the registry refused: " + err.Error()
		switch {
		case !act.Spends():
		case registry.NothingDone(err) && !req.sent:
			if err := h.giveBack(ctx, d, it, req); err != nil {
				return err
			}
		default: // budget, key and frozen request stay spent, so that restore can take back what may have been done
			why += mayBeDone
			d.NextKey()
		}
		d.Approved = "" // the approval is used up: who approves again has read the refusal
		return h.holdRefused(ctx, d, why, res)
	default:
		res.Waiting++
		return h.Metrics.Emit(map[string]float64{telemetry.RegistryFailing: 1})
	}
}

// mayBeDone is what a person must know of a refusal that does not prove that nothing was done.
const mayBeDone = "; under this key something may have been done all the same: restore takes it back, approve sends the request anew under the next key"

// giveBack returns the budget of a call that certainly did nothing, together with the frozen request: the next
// one, if a person wants it, is made from what is known then.
func (h *Handler) giveBack(ctx context.Context, d store.Domain, it store.Item, req request) error {
	ledger, budget, err := h.ledger(ctx)
	if err != nil {
		return err
	}
	ledger = safety.Refund(ledger, class(d), req.At, h.Now())
	if err := h.Store.Write(ctx, store.Write{Item: it, Delete: true}, store.Save(budget, ledger)); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("give back the budget for %s: %w", d.Name, err)
	}
	return nil
}

// record writes down what the registry did: domain, request and history in one transaction.
func (h *Handler) record(ctx context.Context, act actor, d store.Domain, it store.Item, req request, a registry.Answer) error {
	key := d.Key()
	for range 4 {
		if d.Key() == key {
			act.Note(&d)
		} else {
			d.Done = key // it is about something else now; what was done must be known, and can be taken back
		}
		req.Answer = &a
		entry := store.PutEntry(d.Name, store.Entry{
			At: h.Now().UTC(), What: act.Word(), After: d.State.Phase, Action: lifecycle.Unverify, Confidence: d.Confidence, Reason: d.Reason,
			Sentence: req.Request.Evidence[0], Answer: &a,
		}, 10)
		writes := []store.Write{d.Put(), entry, h.digestLine(d, act.Word(), a)}
		if act.Spends() {
			writes = append(writes, store.Save(it, req))
			if d.Key() == key {
				writes = append(writes, store.Write{Item: store.Item{Key: holdKey(d.Name)}, Delete: true, Any: true})
			}
		}
		err := h.Store.Write(ctx, writes...)
		if !errors.Is(err, store.ErrConflict) {
			if err == nil {
				err = h.told(ctx, act, d, a)
			}
			return err
		}
		// The checker wrote the domain meanwhile; what the registry did stays true.
		if d, err = store.GetDomain(ctx, h.Store, d.Name); err != nil || d.Key() != key && !act.Spends() {
			return err
		}
	}
	return fmt.Errorf("record what was done about %s: %w", d.Name, store.ErrConflict)
}

func (h *Handler) told(ctx context.Context, act actor, d store.Domain, a registry.Answer) error {
	h.Log.InfoContext(ctx, act.Word(), "domain", d.Name, "phase", d.State.Phase, "reason", d.Reason, "confidence", d.Confidence,
		"changed", a.Changed, "already", a.AlreadyUnset, "kept", a.KeptLater, "recovery", a.Recovery, "decision", d.Key())
	if d.State.Phase == lifecycle.ReRegistered && a.KeptLater > 0 {
		h.Log.WarnContext(ctx, "verified_after_change_of_owner", "domain", d.Name, "addresses", a.KeptLater,
			"meaning", "verified under the new registration; an account older than that may have been taken over: review it")
	}
	name := telemetry.WouldUnverify
	values := map[string]float64{}
	if act.Spends() {
		name = telemetry.Unverified
		if a.Recovery == registry.RecoveryOpen {
			values[telemetry.RecoveryOpen] = 1
			h.Log.ErrorContext(ctx, "recovery_open", "domain", d.Name, "decision", d.Key(),
				"meaning", "the addresses are marked, but a reset mail still goes out: whoever owns the domain can take the accounts")
		}
		if a.Recovery == registry.RecoveryUnknown {
			h.Log.WarnContext(ctx, "recovery_unknown", "domain", d.Name, "decision", d.Key())
		}
	}
	if err := h.Metrics.EmitBy(telemetry.DimReason, string(reason(d.State.Phase)), map[string]float64{name: 1}); err != nil {
		return err
	}
	return h.Metrics.Emit(values)
}

// unanswered tells whether the last look that was sent brought no answer of an authority yet.
func unanswered(d store.Domain) bool { return max(d.State.RegAt, d.State.MktAt) < d.LookSent }

func (h *Handler) ledger(ctx context.Context) (safety.Ledger, store.Item, error) {
	var l safety.Ledger
	it, err := store.Load(ctx, h.Store, store.PKGuard, "breaker", &l)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return l, it, err
}
