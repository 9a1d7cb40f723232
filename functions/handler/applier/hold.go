package applier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

func holdKey(name string) store.Key {
	return store.Key{Table: store.Records, PK: store.PKGuard, SK: store.HoldSK(name)}
}

// holdAll records a hold for every verdict that asks a person, and hands a mail host's lapse on to the domains
// that depend on it.
func (h *Handler) holdAll(ctx context.Context, found findings, res *Result) error {
	if found.holds == 0 {
		return nil
	}
	return h.eachDue(ctx, func(d store.Domain) error {
		switch {
		case d.Untold():
			if err := h.tellDependents(ctx, d, d.Name); err != nil {
				return err
			}
			if d.Told = lifecycle.At(h.Now()); !d.Unheld() {
				return h.put(ctx, d)
			}
		case d.Recovered():
			if err := h.tellDependents(ctx, d, ""); err != nil {
				return err
			}
			d.Held, d.Told = "", 0
			return h.put(ctx, d)
		}
		if !d.Unheld() {
			return nil
		}
		return h.hold(ctx, d, string(d.Reason), res)
	})
}

func (h *Handler) put(ctx context.Context, d store.Domain) error {
	if err := h.Store.Write(ctx, d.Put()); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("store %s: %w", d.Name, err)
	}
	return nil // after a conflict the next tick finds it again
}

// hold records that a person must decide, and why. A hold that stands already for the same reason costs a read.
func (h *Handler) hold(ctx context.Context, d store.Domain, why string, res *Result) error {
	return h.holdAs(ctx, d, safety.Hold{Why: why}, res)
}

// holdRefused records that the registry said no.
func (h *Handler) holdRefused(ctx context.Context, d store.Domain, why string, res *Result) error {
	return h.holdAs(ctx, d, safety.Hold{Why: why, Refused: true}, res)
}

// holdAs records a hold of which why and what kind are given.
func (h *Handler) holdAs(ctx context.Context, d store.Domain, hold safety.Hold, res *Result) error {
	var old safety.Hold
	it, err := store.Load(ctx, h.Store, store.PKGuard, store.HoldSK(d.Name), &old)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	same := old.DecisionID == d.Decision() && old.Reason == string(d.Reason)
	if same && d.Action != lifecycle.Hold && !hold.Refused {
		return nil // stands already; the decision stays pending beside it
	}
	now := h.Now().UTC()
	if hold, err = h.described(ctx, d, hold, now); err != nil {
		return err
	}
	if same {
		hold.Since = old.Since
	}
	d.MarkHeld()
	entry := store.PutEntry(d.Name, store.Entry{
		At: now, What: "held", After: d.State.Phase, Action: d.Action, Confidence: d.Confidence, Reason: d.Reason, Sentence: hold.Why,
	}, 20)
	err = h.Store.Write(ctx, d.Put(), store.Save(it, hold), entry, h.digestLine(d, "held", registry.Answer{}))
	if errors.Is(err, store.ErrConflict) {
		return nil // changed meanwhile: the next tick judges what is there then
	}
	if err != nil {
		return fmt.Errorf("hold %s: %w", d.Name, err)
	}
	res.Held++
	h.Log.WarnContext(ctx, "held", "domain", d.Name, "phase", d.State.Phase, "reason", d.Reason, "why", hold.Why, "addresses", d.Addresses)
	return h.Metrics.Emit(map[string]float64{telemetry.Held: 1})
}

// described is the hold with what is known of the domain, and of a mail host with whom it endangers.
func (h *Handler) described(ctx context.Context, d store.Domain, hold safety.Hold, now time.Time) (safety.Hold, error) {
	hold.Domain, hold.Since = d.Name, now
	hold.Reason, hold.Phase, hold.Action, hold.Confidence = string(d.Reason), string(d.State.Phase), string(d.Action), string(d.Confidence)
	v := lifecycle.Verdict{Phase: d.State.Phase, Reason: d.Reason}
	hold.Sentence = strings.TrimSpace(lifecycle.Sentence(d.State, v) + " " + lifecycle.Meaning(v))
	hold.Class, hold.DecisionID, hold.Addresses = class(d), d.Decision(), d.Addresses
	if !d.MailHost {
		return hold, nil
	}
	items, _, err := h.Store.Query(ctx, store.Query{PK: store.DependentsPK(d.Name), Limit: 2 * safety.MaxAffected})
	if err != nil {
		return hold, fmt.Errorf("dependents of %s: %w", d.Name, err)
	}
	names := make([]string, len(items))
	for i, it := range items {
		names[i], _, _ = strings.Cut(it.SK, "/")
	}
	return hold.Affecting(names), nil
}

// tellDependents notes the lapse (or, with an empty host, the recovery) of a mail host at every domain whose
// mail depends on it. They are held by their next judgement; nothing is ever done to them without a person.
func (h *Handler) tellDependents(ctx context.Context, d store.Domain, host string) error {
	for after, more := "", true; more; {
		var items []store.Item
		var err error
		items, more, err = h.Store.Query(ctx, store.Query{PK: store.DependentsPK(d.Name), After: after, Limit: page})
		if err != nil {
			return fmt.Errorf("dependents of %s: %w", d.Name, err)
		}
		for _, it := range items {
			after = it.SK
			name, _, _ := strings.Cut(it.SK, "/")
			if err := h.tellDependent(ctx, name, d.Name, host); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Handler) tellDependent(ctx context.Context, name, mailHost, host string) error {
	for range 4 {
		d, err := store.GetDomain(ctx, h.Store, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if host == "" && d.State.MailLapsed == mailHost {
			host, err = h.otherLapsed(ctx, name, mailHost)
		}
		if err != nil {
			return err
		}
		if lapsed := d.State.MailLapsed; lapsed == host || host == "" && lapsed != mailHost || host == mailHost && lapsed != "" {
			return nil // it knows, or what it knows is the lapse of another host
		}
		d.MailHostBack()
		d.State.MailLapsed = host
		if host != "" && d.Action.Weight() < lifecycle.Hold.Weight() {
			d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Low, lifecycle.ReasonMailHost
			if d.State.LapseAt == 0 {
				d.State.LapseAt = lifecycle.At(h.Now()) // as the next judgement would, so that it is the same hold
			}
		}
		entry := store.PutEntry(name, store.Entry{
			At: h.Now().UTC(), What: "mail host " + mailHost, After: d.State.Phase, Action: d.Action, Reason: d.Reason,
		}, 30)
		if err = h.Store.Write(ctx, d.Put(), entry); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// otherLapsed finds another host that name's mail depends on and whose lapse was reported, now that one is back.
func (h *Handler) otherLapsed(ctx context.Context, name, back string) (string, error) {
	deps, err := store.Dependencies(ctx, h.Store, name)
	if err != nil {
		return "", err
	}
	for _, dep := range slices.Concat(deps[store.DependsMail], deps[store.DependsServers]) {
		d, err := store.GetDomain(ctx, h.Store, dep)
		if err == nil && dep != back && d.Told != 0 {
			return dep, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	return "", nil
}
