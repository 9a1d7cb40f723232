package applier

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// became is what came of a decision that was put to the registry.
type became int

const (
	waits   became = iota // it stays open: no answer yet, or no room in the budget
	did                   // it was done, or reported
	refused               // the registry said no, a person is asked
)

// seam is the registry as a mode sees it.
type seam interface {
	// Wants tells whether a decision still is to be put to the registry.
	Wants(c decision.Case) bool
	// Put puts it there, and writes down what came of it. A registry that fails leaves it open.
	Put(ctx context.Context, m records.Matter, v decision.Verdict, run records.Run) (became, error)
	// Recover puts there what recovery through a domain's addresses should be. False: it waits.
	Recover(ctx context.Context, m records.Matter, run string) (records.Matter, bool, error)
}

// enforcer acts on the registry.
type enforcer struct {
	*Parts
	registry unverifier
}

func (enforcer) Wants(c decision.Case) bool { return c.Open() }

func (e enforcer) Put(ctx context.Context, m records.Matter, v decision.Verdict, run records.Run) (became, error) {
	req, first, ok, err := e.freeze(ctx, m, run)
	if err != nil || !ok {
		return waits, err
	}
	a, err := e.registry.Unverify(ctx, req.V.Request)
	if err != nil {
		return e.failed(ctx, m, v, req, first, err)
	}
	if a.Pending { // accepted, not finished: asked again with the same key
		e.Log.InfoContext(ctx, "registry_working", "domain", m.Domain.Name, "retry_after", a.RetryAfter)
		return waits, nil
	}
	return did, e.done(ctx, m, req, a)
}

// freeze gives the decision's request, written down, together with one unit of the breaker's budget, before it is
// sent: a retry is the same request and costs nothing more. first: nothing was sent under its key before.
func (e enforcer) freeze(ctx context.Context, m records.Matter, run records.Run) (req records.Of[records.Request], first, ok bool, err error) {
	c, now := m.Case.V, e.Now()
	req, err = e.book().Request(ctx, c.Key())
	if err != nil || req.Found() {
		return req, false, err == nil, err
	}
	r, err := e.draft(ctx, m, run)
	if err != nil {
		return req, false, false, err
	}
	ledger, err := e.book().Ledger(ctx)
	if err != nil {
		return req, false, false, err
	}
	budget := safety.Unit{Class: m.Domain.Class(), Approved: c.Status == decision.Approved, Listed: c.ClassApproved != 0, At: now.UTC()}
	if budget.Listed {
		budget.Class = c.Class
	}
	if budget.Approved {
		ledger.V, ok = safety.ReserveApproved(ledger.V, run.Watched, budget.Class, budget.Listed, now)
	} else {
		ledger.V, ok = safety.Reserve(ledger.V, e.Limits, run.Watched, budget.Class, now)
	}
	if !ok {
		return req, false, false, nil
	}
	req.V = records.Request{Domain: m.Domain.Name, At: now.UTC(), Request: r, Budget: budget}
	req = req.Until(now.Add(records.HistoryTTL))
	if err := e.Store.Write(ctx, req.Put(), ledger.Put()); err != nil {
		return req, false, false, fmt.Errorf("freeze the request about %s: %w", m.Domain.Name, err)
	}
	return req.Stored(), true, true, nil
}

// mayBeDone is what a person must know of a refusal that does not prove that nothing was done.
const mayBeDone = "; under this key something may have been done all the same: restore takes it back, approve sends the request anew under the next key"

// failed leaves the decision open, or holds it where the registry refused for good. Budget, key and frozen request are
// given back only where nothing can have been done: else restore could not take it back.
func (e enforcer) failed(ctx context.Context, m records.Matter, v decision.Verdict, req records.Of[records.Request], first bool, err error) (became, error) {
	e.Log.ErrorContext(ctx, "registry_failed", "domain", m.Domain.Name, "decision", req.SK(), "error", err)
	switch registry.Kind(err) {
	case registry.KindConflict, registry.KindRefused:
	default:
		e.Metrics.Emit(map[string]float64{telemetry.RegistryFailing: 1})
		return waits, nil
	}
	c, why := m.Case.V.Refuse(v), "the registry refused: "+err.Error()
	if first && registry.NothingDone(err) {
		if err := e.giveBack(ctx, req); err != nil {
			return waits, err
		}
	} else {
		c, why = c.NextKey(), why+mayBeDone
	}
	_, ok, err := e.hold(ctx, m, change{Case: c}, why, false)
	if !ok {
		return waits, err
	}
	return refused, err
}

// giveBack returns the budget of a call that certainly did nothing, together with the frozen request: the next
// one, if a person wants it, is made from what is known then.
func (e enforcer) giveBack(ctx context.Context, req records.Of[records.Request]) error {
	ledger, err := e.book().Ledger(ctx)
	if err != nil {
		return err
	}
	ledger.V = safety.Refund(ledger.V, req.V.Budget, e.Now())
	if err := e.Store.Write(ctx, req.Delete(), ledger.Put()); err != nil {
		return fmt.Errorf("give back the budget for %s: %w", req.V.Domain, err)
	}
	return nil
}

// done writes down what the registry did: case, domain, request, history, and the hold that ends, in one transaction.
// The checker may write the domain meanwhile; what the registry did stays true.
func (e enforcer) done(ctx context.Context, m records.Matter, req records.Of[records.Request], a registry.Answer) error {
	req.V.Answer = &a
	was := m.Case
	m.Case.V = m.Case.V.Answer(a.KeptLater, lifecycle.At(e.Now()))
	counted, err := e.counted(ctx, was.V, m.Case.V)
	if err != nil {
		return err
	}
	d := m.Domain
	_, err = e.book().Update(ctx, d.Name, func(now *records.Domain) ([]store.Write, bool, error) {
		now.Acted, now.Returned, now.NextLook = true, false, 0
		now.Settle(false)
		return append(e.told(d, req.SK(), wordUnverified, req.V.Request, a), append(counted, m.Case.Put(), req.Put(), records.EndHold(d.Name))...), true, nil
	})
	if err != nil {
		return err
	}
	e.tellDone(ctx, d, req.SK(), a)
	return nil
}

func (e enforcer) tellDone(ctx context.Context, d records.Domain, key string, a registry.Answer) {
	values := map[string]float64{}
	switch a.Recovery {
	case registry.RecoveryOpen:
		values[telemetry.RecoveryOpen] = 1
		e.Log.ErrorContext(ctx, "recovery_open", "domain", d.Name, "decision", key,
			"meaning", "the addresses are marked, but a reset mail still goes out: whoever owns the domain can take the accounts")
	case registry.RecoveryUnknown:
		e.Log.WarnContext(ctx, "recovery_unknown", "domain", d.Name, "decision", key)
	case registry.RecoveryClosed:
	}
	e.report(ctx, d, key, wordUnverified, telemetry.Unverified, a)
	e.Metrics.Emit(values)
}

// returned tells the class of a domain whose addresses were unverified that its holder has it again, by the same
// registration: of a class in which many do, somebody was wrong.
func (p *Parts) returned(ctx context.Context, m records.Matter) (records.Matter, error) {
	done := m.Case.V.Done()
	if !m.Domain.CameBack() {
		return m, nil
	}
	var writes []store.Write
	doubtful := ""
	if len(done) > 0 {
		req, err := p.book().Request(ctx, done[0].Key())
		if err != nil {
			return m, err
		}
		if req.Found() && sameRegistration(m.Domain.State, req.V.Request) {
			ledger, err := p.book().Ledger(ctx)
			if err != nil {
				return m, err
			}
			var anew bool
			if ledger.V, anew = ledger.V.CameBack(p.Now(), req.V.Budget); anew {
				doubtful = req.V.Budget.Class
			}
			writes = append(writes, ledger.Put())
		}
	}
	d, err := p.book().Update(ctx, m.Domain.Name, func(now *records.Domain) ([]store.Write, bool, error) {
		now.Returned = true
		return writes, true, nil
	})
	if err != nil {
		return m, err
	}
	m.Domain = d
	if doubtful != "" {
		p.Log.ErrorContext(ctx, "class_doubtful", "class", doubtful, "domain", d.Name, "meaning", "more than a tenth of the domains that were unverified came back to the same registration: nothing of this class is unverified until an operator trusts it again")
		p.Metrics.Emit(map[string]float64{telemetry.BreakerTripped: 1})
	}
	return m, nil
}

// sameRegistration tells whether a domain is registered as it was before the lapse that a request is about; where no date
// is known, whether it is on its former name servers.
func sameRegistration(s lifecycle.State, r registry.Request) bool {
	if s.Registered == 0 {
		return s.Deleg == lifecycle.DelegationHome
	}
	return s.Registered.Time().Before(r.VerifiedBefore)
}

// observer says what an enforcer would do; the decision stays open.
type observer struct {
	*Parts
	dry unverifier
}

func (observer) Wants(c decision.Case) bool { return c.Open() && c.Told != c.Key() }

func (o observer) Put(ctx context.Context, m records.Matter, _ decision.Verdict, run records.Run) (became, error) {
	r, err := o.draft(ctx, m, run)
	if err != nil {
		return waits, err
	}
	a, err := o.dry.Unverify(ctx, r)
	if err != nil {
		o.Log.ErrorContext(ctx, "registry_failed", "domain", m.Domain.Name, "decision", r.Key, "error", err)
		o.Metrics.Emit(map[string]float64{telemetry.RegistryFailing: 1})
		return waits, nil
	}
	_, ok, err := o.carry(ctx, m, change{Case: m.Case.V.Report(), With: o.told(m.Domain, r.Key, wordWould, r, a)})
	if err != nil || !ok {
		return waits, err
	}
	o.report(ctx, m.Domain, r.Key, wordWould, telemetry.WouldUnverify, a)
	return did, nil
}

// draft is the request about a decision, from what is known now.
func (p *Parts) draft(ctx context.Context, m records.Matter, run records.Run) (registry.Request, error) {
	d := m.Domain
	evidence, err := p.evidence(ctx, d)
	if err != nil {
		return registry.Request{}, err
	}
	listed, err := p.book().Listed(ctx, d.Name)
	return registry.Request{
		Domain: d.Name, VerifiedBefore: d.VerifiedBefore.Time(), MaxAddresses: listed.Addresses + max(5, listed.Addresses/10),
		Reason: reason(d.State.Phase), Phase: string(d.State.Phase), Evidence: evidence, ExposedSince: d.ExposedSince.Time(),
		Run: cmp.Or(run.ID, "none"), Key: m.Case.V.Key(), Advice: advice(),
	}, err
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
func (p *Parts) evidence(ctx context.Context, d records.Domain) ([]string, error) {
	entries, err := p.book().History(ctx, d.Name, 10)
	if err != nil {
		return nil, err
	}
	evidence := []string{lifecycle.Sentence(d.State, lifecycle.Verdict{Phase: d.State.Phase, Reason: d.Reason})}
	seen := map[string]bool{}
	for _, e := range entries {
		for _, w := range e.Evidence {
			if !seen[string(w.Source)] {
				seen[string(w.Source)] = true
				evidence = append(evidence, fmt.Sprintf("%s (%s) at %s: %s", w.Source, w.Server, w.At.Format(time.RFC3339), w.Said))
			}
		}
	}
	return evidence, nil
}

// told are the writes of what history and the day's digest tell of an answer.
func (p *Parts) told(d records.Domain, key, word string, r registry.Request, a registry.Answer) []store.Write {
	entry := records.PutEntry(d.Name, records.Entry{
		At: p.Now().UTC(), What: word, After: d.State.Phase, Action: lifecycle.Unverify, Confidence: d.Confidence, Reason: d.Reason,
		Sentence: r.Evidence[0], Answer: &a,
	}, 10)
	return []store.Write{entry, p.line(d, key, word, a)}
}

// report logs and counts an answer.
func (p *Parts) report(ctx context.Context, d records.Domain, key, word, metric string, a registry.Answer) {
	p.Log.InfoContext(ctx, word, "domain", d.Name, "phase", d.State.Phase, "reason", d.Reason, "confidence", d.Confidence,
		"changed", a.Changed, "already", a.AlreadyUnset, "kept", a.KeptLater, "recovery", a.Recovery, "decision", key)
	if d.State.Phase == lifecycle.ReRegistered && a.KeptLater > 0 {
		p.Log.WarnContext(ctx, "verified_after_change_of_owner", "domain", d.Name, "addresses", a.KeptLater,
			"meaning", "verified under the new registration; an account older than that may have been taken over: review it")
	}
	p.Metrics.EmitBy(telemetry.DimReason, string(reason(d.State.Phase)), map[string]float64{metric: 1})
}
