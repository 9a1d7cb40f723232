package applier

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// hold records that a person must decide, and why. With again, a hold that stands already for the same reason is left
// as it is: it was told.
func (p *Parts) hold(ctx context.Context, m records.Matter, c change, why string, again bool) (records.Matter, bool, error) {
	d := m.Domain
	old, err := p.book().Hold(ctx, d.Name)
	if err != nil {
		return m, false, err
	}
	same := old.V.DecisionID == string(d.Decision()) && old.V.Reason == string(d.Reason)
	if same && again { // its class, and who approved it, may be others by now
		old.V.Class, old.V.Phase, old.V.Why, old.V.Breaker = d.Class(), string(d.State.Phase), why, true
		old.V.ApprovedBy, old.V.ApprovedAt = "", time.Time{}
		c.With = append(c.With, old.Put())
		m, _, err = p.carry(ctx, m, c)
		return m, false, err
	}
	now := p.Now().UTC()
	hold, err := p.described(ctx, d, safety.Hold{Why: why, Breaker: c.Case.Cause == decision.ByBreaker, Refused: c.Case.Cause == decision.ByRegistry}, now)
	if err != nil {
		return m, false, err
	}
	if same {
		hold.Since = old.V.Since
	}
	entry := records.PutEntry(d.Name, records.Entry{
		At: now, What: "held", After: d.State.Phase, Action: d.Action, Confidence: d.Confidence, Reason: d.Reason, Sentence: hold.Why,
	}, 20)
	c.With = append(c.With, records.PutHold(hold), entry, p.line(d, m.Case.V.Key(), "held", registry.Answer{}))
	m, ok, err := p.carry(ctx, m, c)
	if err != nil || !ok {
		return m, false, err
	}
	p.Log.WarnContext(ctx, "held", "domain", d.Name, "phase", d.State.Phase, "reason", d.Reason, "why", hold.Why, "addresses", d.Addresses)
	p.Metrics.Emit(map[string]float64{telemetry.Held: 1})
	return m, true, nil
}

// endHold takes the hold off a domain about which nothing is left to decide.
func (p *Parts) endHold(ctx context.Context, m records.Matter, c change) (records.Matter, bool, error) {
	d := m.Domain
	old, err := p.book().Hold(ctx, d.Name)
	if err != nil {
		return m, false, err
	}
	if !old.Found() {
		return p.carry(ctx, m, c)
	}
	c.With = append(c.With, old.Delete(), records.PutEntry(d.Name, records.Entry{
		At: p.Now().UTC(), What: "hold ended", After: d.State.Phase, Action: d.Action, Reason: d.Reason, Sentence: "nothing is left to decide",
	}, 20))
	m, ok, err := p.carry(ctx, m, c)
	if ok {
		p.Log.InfoContext(ctx, "hold_ended", "domain", d.Name, "phase", d.State.Phase)
	}
	return m, ok, err
}

// described is the hold with what is known of the domain, and of a mail host with whom it endangers.
func (p *Parts) described(ctx context.Context, d records.Domain, hold safety.Hold, now time.Time) (safety.Hold, error) {
	hold.Domain, hold.Since = d.Name, now
	hold.Reason, hold.Phase, hold.Action, hold.Confidence = string(d.Reason), string(d.State.Phase), string(d.Action), string(d.Confidence)
	v := lifecycle.Verdict{Phase: d.State.Phase, Reason: d.Reason}
	hold.Sentence = strings.TrimSpace(lifecycle.Sentence(d.State, v) + " " + lifecycle.Meaning(v))
	hold.Class, hold.DecisionID, hold.Addresses = d.Class(), string(d.Decision()), d.Addresses
	if !d.MailHost {
		return hold, nil
	}
	var names []string
	for dep, err := range p.book().Dependents(ctx, d.Name) {
		if err != nil {
			return hold, fmt.Errorf("who depends on %s: %w", d.Name, err)
		}
		if names = append(names, dep.Name); len(names) == 2*safety.MaxAffected {
			break
		}
	}
	return hold.Affecting(names), nil
}

// line is the write of what the day's digest tells of a domain.
func (p *Parts) line(d records.Domain, key, what string, a registry.Answer) store.Write {
	return records.PutLine(p.Now(), key, records.Line{What: what, Domain: d.Name, Phase: string(d.State.Phase), Changed: a.Changed, Unknown: a.CountsUnknown})
}
