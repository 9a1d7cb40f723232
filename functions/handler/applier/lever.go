package applier

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

var (
	// errNoRoom: the day's budget for such closings is used up.
	errNoRoom = errors.New("the day's budget for closings is used up")
	// errRefused: the registry will not do this. It is asked again tomorrow, and a person meanwhile.
	errRefused = errors.New("the registry refused to close recovery")
)

// recovers is the registry's other call, as the client and the dry run both have it.
type recovers interface {
	SetRecovery(ctx context.Context, r registry.RecoveryRequest) (registry.RecoveryAnswer, error)
}

// matches notes at the domain that the registry holds to what it should.
func (p *Parts) matches(ctx context.Context, m records.Matter, with []store.Write) (records.Matter, error) {
	since := m.Domain.State.Control.Since
	d, err := p.book().Update(ctx, m.Domain.Name, func(now *records.Domain) ([]store.Write, bool, error) {
		now.Closed, now.CloseAt = since, 0
		return with, now.Known(), nil
	})
	if err == nil && d.Known() {
		m.Domain = d
	} else if err == nil && len(with) > 0 { // closed in the registry, and not watched
		err = p.Store.Write(ctx, with...) //nolint:wrapcheck // the caller says what of which domain
	}
	return m, err
}

// recovery is the request about a domain, from what is known now.
func (p *Parts) recovery(ctx context.Context, m records.Matter, run string) (registry.RecoveryRequest, error) {
	d, now := m.Domain, lifecycle.At(p.Now())
	c := d.State.Control
	r := registry.RecoveryRequest{Domain: d.Name, Desired: registry.RecoveryOpen, AsOf: p.Now().UTC(), Run: cmp.Or(run, "none")}
	since := min(m.Wanted(), now)
	if since == 0 {
		return r, nil
	}
	evidence, err := p.evidence(ctx, d)
	if err != nil {
		return r, err
	}
	listed, err := p.book().Listed(ctx, d.Name)
	why, until := "an operator of the guard closed it", max(d.State.DelegAt, d.State.RegAt)
	if c.Since != 0 {
		why, until = lifecycle.GapSentence(d.State), c.Until
	}
	r.Desired, r.Since = registry.RecoveryClosed, since.Time()
	r.ContinuousUntil = min(cmp.Or(until, since), since).Time()
	r.MaxAddresses, r.Evidence, r.Phase = listed.Addresses+max(5, listed.Addresses/10), append([]string{why}, evidence...), string(d.State.Phase)
	r.Reason = registry.ReasonInterrupted
	if c.Gap == lifecycle.GapDeleted || c.Gap == lifecycle.GapReleased {
		r.Reason = registry.ReasonLapsed
	}
	r.Advice = registry.Advice{
		Code: "renew_domain",
		Text: "Renew the domain if it is yours, and add a verified address at another domain; sign in with your password or second factor to verify this address again.",
	}
	return r, err
}

// Recover has the registry do it, within the budget for closings.
func (e enforcer) Recover(ctx context.Context, m records.Matter, run string) (records.Matter, bool, error) {
	call, can := e.registry.(recovers)
	if !can {
		m, err := e.matches(ctx, m, nil)
		return m, true, err
	}
	if e.takes(m) {
		var err error
		if m, err = e.mayClose(ctx, m); err != nil {
			return m, false, err
		}
	}
	return e.setRecovery(ctx, call, m, run)
}

// setRecovery sends what recovery at a domain should be, and writes down what came of it. False: it waits.
func (p *Parts) setRecovery(ctx context.Context, call recovers, m records.Matter, run string) (records.Matter, bool, error) {
	d := m.Domain
	r, err := p.recovery(ctx, m, run)
	if err != nil {
		return m, false, err
	}
	a, err := call.SetRecovery(ctx, r)
	if err != nil {
		p.Log.ErrorContext(ctx, "recovery_failed", "domain", d.Name, "desired", r.Desired, "error", err)
		p.Metrics.Emit(map[string]float64{telemetry.RegistryFailing: 1})
		return p.unwilling(ctx, m, err)
	}
	if a.Pending {
		p.Log.InfoContext(ctx, "registry_working", "domain", d.Name, "retry_after", a.RetryAfter)
		return m, false, nil
	}
	known, word := m.Recovery, wordOpened
	known.V = records.Recovery{AsOf: lifecycle.At(r.AsOf), Since: m.Wanted(), Sent: lifecycle.At(r.Since), Counted: m.Recovery.V.Counted}
	if m.Recovery.V.Stands(d.State.Control.Since) {
		known.V.Word = m.Recovery.V.Word
	}
	closing := known.V.Since != 0
	if closing {
		word = wordClosed
		known.V.Gap, known.V.Bound = d.State.Control.Gap, a.Changed
	}
	m, err = p.matches(ctx, m, append(p.toldRecovery(d, word, a), known.Put()))
	if err != nil {
		return m, false, fmt.Errorf("note that recovery at %s is %s: %w", d.Name, word, err)
	}
	m.Recovery = known.Stored()
	p.reportRecovery(ctx, d, word, a)
	if closing && a.Recovery == registry.RecoveryOpen {
		p.Log.ErrorContext(ctx, "recovery_open", "domain", d.Name, "meaning", "it was to be closed, but a reset mail still goes out")
		p.Metrics.Emit(map[string]float64{telemetry.RecoveryOpen: 1})
	}
	return m, true, nil
}

// unwilling notes a refusal. Whatever else went wrong, the state it should have stays, and the next tick sends it again:
// after an outdated one with a newer time, after one about too many addresses with the count of a newer list.
func (p *Parts) unwilling(ctx context.Context, m records.Matter, err error) (records.Matter, bool, error) {
	kind := registry.Kind(err)
	if kind != registry.KindConflict && kind != registry.KindRefused || registry.IsOutdated(err) || registry.IsTooMany(err) {
		return m, false, nil
	}
	known := m.Recovery
	known.V.Refused, known.V.Why = m.Domain.State.Control.Since, err.Error()
	if err := p.Store.Write(ctx, known.Put()); err != nil {
		return m, false, fmt.Errorf("note that recovery at %s is not closed: %w", m.Domain.Name, err)
	}
	m.Recovery = known.Stored()
	return m, false, errRefused
}

// mayClose takes one unit of the budget for closings before the call, and notes at the name that it did, so that a
// registry that fails is asked again for nothing; errNoRoom where there is none.
func (e enforcer) mayClose(ctx context.Context, m records.Matter) (records.Matter, error) {
	run, err := e.book().Run(ctx)
	if err != nil {
		return m, err
	}
	ledger, err := e.book().Closings(ctx)
	if err != nil {
		return m, err
	}
	var ok bool
	class, limits := closingBudget(m.Domain.State.Control.Gap, run.V.Watched)
	if ledger.V, ok = safety.Reserve(ledger.V, limits, run.V.Watched, class, e.Now()); !ok {
		return m, errNoRoom
	}
	m.Recovery.V.Counted = lifecycle.At(e.Now())
	if err := e.Store.Write(ctx, ledger.Put(), m.Recovery.Put()); err != nil {
		return m, fmt.Errorf("take a unit of the budget for closing %s: %w", m.Domain.Name, err)
	}
	m.Recovery = m.Recovery.Stored()
	return m, nil
}

// Recover says what an enforcer would do, once for each gap; nothing is noted at the domain, so that it is done when
// enforce mode begins.
func (o observer) Recover(ctx context.Context, m records.Matter, run string) (records.Matter, bool, error) {
	d, known := m.Domain, m.Recovery
	call, can := o.dry.(recovers)
	would := cmp.Or(m.Wanted(), records.Unsent)
	if !can || known.V.Would == would {
		return m, false, nil
	}
	r, err := o.recovery(ctx, m, run)
	if err != nil {
		return m, false, err
	}
	a, err := call.SetRecovery(ctx, r)
	if err != nil {
		o.Log.ErrorContext(ctx, "recovery_failed", "domain", d.Name, "desired", r.Desired, "error", err)
		return m, false, nil
	}
	word := wordWouldOpen
	if r.Desired == registry.RecoveryClosed {
		word = wordWouldClose
	}
	known.V.Would = would
	if err := o.Store.Write(ctx, append(o.toldRecovery(d, word, a), known.Put())...); err != nil {
		return m, false, fmt.Errorf("note what would be done about recovery at %s: %w", d.Name, err)
	}
	m.Recovery = known.Stored()
	o.reportRecovery(ctx, d, word, a)
	return m, false, nil
}

// toldRecovery are the writes of what history and the day's digest tell.
func (p *Parts) toldRecovery(d records.Domain, word string, a registry.RecoveryAnswer) []store.Write {
	entry := records.PutEntry(d.Name, records.Entry{
		At: p.Now().UTC(), What: word, After: d.State.Phase, Reason: lifecycle.Reason(d.State.Control.Gap), Sentence: lifecycle.GapSentence(d.State), Answer: &a.Answer,
	}, 15)
	return []store.Write{entry, p.line(d, string(d.Decision()), word, a.Answer)}
}

func (p *Parts) reportRecovery(ctx context.Context, d records.Domain, word string, a registry.RecoveryAnswer) {
	metrics := map[string]string{wordClosed: telemetry.Closings, wordWouldClose: telemetry.WouldClose, wordOpened: telemetry.Openings}
	if name := metrics[word]; name != "" {
		p.Metrics.Emit(map[string]float64{name: 1})
	}
	p.Log.InfoContext(ctx, word, "domain", d.Name, "phase", d.State.Phase, "reason", d.State.Control.Gap, "changed", a.Changed, "recovery", a.Recovery)
}
