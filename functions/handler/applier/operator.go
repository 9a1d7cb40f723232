package applier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// operate carries out what a person decided.
func (p *Parts) operate(ctx context.Context, w word) (text string, err error) {
	busy, err := p.leased(ctx, func(ctx context.Context) (err error) {
		text, err = p.operator(ctx, w)
		return err
	})
	return text + busy, err
}

func (p *Parts) operator(ctx context.Context, w word) (string, error) {
	if err := check("by", "name", w.by, maxBy); err != nil {
		return "", fmt.Errorf("%s: %w", w.action, err)
	}
	switch {
	case w.action == actOpen && w.all:
		return p.openAll(ctx, w)
	case w.action == actRevoke:
		return p.revokeClass(ctx, w)
	case w.action == actTrust:
		return p.trustClass(ctx, w)
	case w.action == actAccept:
		return p.accept(ctx, w)
	case w.action == actRestore && w.class != "":
		return p.restoreMany(ctx, w)
	case w.action == actApprove && w.why != "":
		if err := check("why", "reason", w.why, maxWhy); err != nil {
			return "", fmt.Errorf("%s: %w", w.action, err)
		}
	}
	if w.action == actApprove && w.class != "" {
		return p.approveClass(ctx, w)
	}
	m, err := p.book().Matter(ctx, strings.ToLower(strings.TrimSuffix(w.domain, ".")))
	if err != nil {
		return "", err
	}
	if !m.Domain.Known() {
		return "", fmt.Errorf("%s %q: no such domain in the table; give the registrable domain, such as example.org", w.action, w.domain)
	}
	switch w.action {
	case actRestore:
		return p.restore(ctx, w, m)
	case actClose, actOpen:
		return p.pull(ctx, w, m)
	}
	text, c, err := p.decided(ctx, w, m)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", w.action, m.Domain.Name, err)
	}
	if w.ask {
		return p.wouldApprove(ctx, m)
	}
	c.With = append(c.With, records.PutEntry(m.Domain.Name, p.entry(ctx, w, m.Domain, text), 40))
	_, ok, err := p.carry(ctx, m, c)
	if err == nil && !ok {
		err = store.ErrConflict
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w; try again", w.action, m.Domain.Name, err)
	}
	p.logAction(ctx, w, m.Domain.Name, "")
	return text, nil
}

// decided is what an operator's word makes of a case, with the answer in words.
func (p *Parts) decided(ctx context.Context, w word, m records.Matter) (text string, c change, err error) {
	look, err := p.view(ctx, records.Run{})
	if err != nil {
		return "", c, err
	}
	d, v := m.Domain, look.verdict(m)
	c.Case = m.Case.V.Judge(v)
	soon := func(d *records.Domain) { d.NextLook = lifecycle.At(p.Now()) }
	switch w.action {
	case actApprove: // judged again on fresh evidence: the look comes first
		c.Edit = soon
		if c.Case, err = c.Case.Approve(v); err == nil {
			c.With, err = p.approvedHold(ctx, w, d.Name)
		}
		return fmt.Sprintf("approved: %s will be looked at again and, if the evidence stands, its addresses unverified%s", d.Name, because(w)), c, err
	case actUnhold:
		c.Case, err = c.Case.Release(v)
		c.Case = c.Case.Judge(v)
		c.With = []store.Write{records.EndHold(d.Name)}
		return fmt.Sprintf("unheld: the hold on %s is off; it stays under watch, and another verdict counts anew", d.Name), c, err
	case actHold:
		if c.Case.Status == decision.Pinned {
			return "", c, fmt.Errorf("%s holds it already", c.Case.By)
		}
		c.Case = c.Case.Pin(w.by)
		hold, err := p.described(ctx, d, safety.Hold{Why: "held by " + w.by, Pinned: true}, p.Now().UTC())
		c.With = []store.Write{records.PutHold(hold), p.line(d, string(d.Decision()), "held", registry.Answer{})}
		return fmt.Sprintf("held: nothing will be unverified at %s, whatever is found, until the hold is taken off or approved", d.Name), c, err
	case actRecheck:
		c.Edit = soon
		return fmt.Sprintf("recheck: %s will be looked at with the next tick", d.Name), c, nil
	default:
		c.Edit = soon
		text, c.Case, err = p.retry(ctx, d.Name, c.Case, v)
		return text, c, err
	}
}

// retry opens again a decision that was carried out, where doing it again can change anything: recovery was left
// open, or it was taken back. It is judged as approved: one by one, beside the breaker's limits.
func (p *Parts) retry(ctx context.Context, name string, c decision.Case, v decision.Verdict) (string, decision.Case, error) {
	again, err := c.Retry(v)
	if err != nil {
		return "", c, err //nolint:wrapcheck // says itself what is wrong
	}
	last, err := p.book().Request(ctx, c.Key())
	if err != nil {
		return "", c, fmt.Errorf("the last request: %w", err)
	}
	why := "was taken back"
	if c.Status != decision.Restored {
		if last.V.Answer == nil || last.V.Answer.Recovery == registry.RecoveryClosed {
			return "", c, errors.New("the registry answered that recovery is closed: there is nothing to do again")
		}
		why = "left recovery " + string(last.V.Answer.Recovery)
	}
	return fmt.Sprintf("retry: the last unverify of %s %s; the next tick sends it again, as %s", name, why, again.Key()), again, nil
}

// because is a stated reason, as history keeps it.
func because(w word) string {
	if w.why == "" {
		return ""
	}
	return " (" + w.why + ")"
}

// wouldApprove says whom an approval concerns.
func (p *Parts) wouldApprove(ctx context.Context, m records.Matter) (string, error) {
	d := m.Domain
	hold, err := p.book().Hold(ctx, d.Name)
	text := fmt.Sprintf("would approve: 1 domain, %s (by verified address)\n%s, %s: %s", plural(d.Addresses, "account", "accounts"), d.Name, d.State.Phase, d.Reason)
	if hold.Found() {
		text += fmt.Sprintf("\nheld since %s: %s", hold.V.Since.UTC().Format("2 January 15:04 UTC"), hold.V.Why)
	}
	return text, err
}

// shownOfClass bounds the domains that an answer names; holds lists them all.
const shownOfClass = 50

// wouldApproveAll says whom the approval of a class concerns: those with most to lose first.
func wouldApproveAll(class string, held []safety.Hold) string {
	sum := 0
	for _, h := range held {
		sum += h.Addresses
	}
	slices.SortFunc(held, func(a, b safety.Hold) int {
		return cmp.Or(cmp.Compare(b.Addresses, a.Addresses), cmp.Compare(a.Domain, b.Domain))
	})
	text := fmt.Sprintf("would approve: %s of %s, %s (by verified address)", plural(len(held), "domain", "domains"), class, plural(sum, "account", "accounts"))
	for _, h := range held[:min(len(held), shownOfClass)] {
		text += fmt.Sprintf("\n%s, %s", h.Domain, plural(h.Addresses, "account", "accounts"))
	}
	if n := len(held) - shownOfClass; n > 0 {
		text += fmt.Sprintf("\nand %d more: lapseguard holds lists them", n)
	}
	return text
}

// approvedHold notes the approval in the hold: it waits for nobody any more.
func (p *Parts) approvedHold(ctx context.Context, w word, name string) ([]store.Write, error) {
	hold, err := p.book().Hold(ctx, name)
	if err != nil || !hold.Found() {
		return nil, err
	}
	hold.V.ApprovedBy, hold.V.ApprovedAt, hold.V.Pinned = w.by, p.Now().UTC(), false
	return []store.Write{hold.Put()}, nil
}

// approveClass takes a person's word for what the breaker holds of a class now, by name: reviewed as one list, applied
// at a daily rate. What lapses later is judged by itself.
func (p *Parts) approveClass(ctx context.Context, w word) (string, error) {
	held, err := p.heldOf(ctx, w.class)
	if err != nil {
		return "", err
	}
	if len(held) == 0 {
		return "", fmt.Errorf("approve %s: the breaker holds nothing of this class; write it as its holds do", w.class)
	}
	if len(held) != w.count && (!w.ask || w.count != 0) {
		return "", fmt.Errorf("approve %s: you reviewed %d domains and %d are held now: review the list again (holds --class), and give its length", w.class, w.count, len(held))
	}
	if w.ask {
		return wouldApproveAll(w.class, held), nil
	}
	now := p.Now()
	text := fmt.Sprintf("approved: the %d domains of %s that are held now, %d a day%s", w.count, w.class, w.perDay, because(w))
	var id int64
	text, err = p.class(ctx, w, text, func(l safety.Ledger) (safety.Ledger, error) {
		l, err := l.Approve(w.class, safety.Approval{By: w.by, At: now, Until: now.Add(safety.MaxApproval), PerDay: w.perDay, Left: w.count})
		id = l.Approvals[w.class].ID
		return l, err //nolint:wrapcheck // says itself what is wrong
	})
	if err != nil {
		return "", err
	}
	for _, h := range held {
		if err := p.approveOne(ctx, w, h.Domain, id); err != nil {
			return "", fmt.Errorf("approve %s as one of %s: %w; approve again what is still held, with the number that holds --class gives now", h.Domain, w.class, err)
		}
	}
	return text, nil
}

// approveOne notes at one domain of a reviewed list that it was approved.
func (p *Parts) approveOne(ctx context.Context, w word, name string, id int64) error {
	for range 4 {
		m, err := p.book().Matter(ctx, name)
		if err != nil {
			return err
		}
		c, ok := m.Case.V.ApproveWith(w.class, lifecycle.Instant(id))
		if !ok {
			return nil // its verdict changed meanwhile
		}
		noted, err := p.approvedHold(ctx, w, name)
		if err != nil {
			return err
		}
		if _, ok, err = p.carry(ctx, m, change{Case: c, With: noted}); ok || err != nil {
			return err
		}
	}
	return store.ErrConflict
}

// heldOf are the holds of the breaker's class.
func (p *Parts) heldOf(ctx context.Context, class string) (held []safety.Hold, err error) {
	var names []string
	holds := map[string]safety.Hold{}
	for h, err := range p.book().Holds(ctx) {
		if err != nil {
			return nil, err
		}
		if h.V.Class == class && h.V.ApprovedAt.IsZero() { // the case says who holds it
			names = append(names, h.V.Domain)
			holds[h.V.Domain] = h.V
		}
	}
	for len(names) > 0 {
		n := min(len(names), page)
		matters, err := p.book().Matters(ctx, names[:n])
		if newer := (*records.Newer)(nil); errors.As(err, &newer) {
			p.skip(ctx, newer)
		} else if err != nil {
			return nil, err
		}
		for _, name := range names[:n] {
			if matters[name].Case.V.Breaks(class) {
				held = append(held, holds[name])
			}
		}
		names = names[n:]
	}
	return held, nil
}

// revokeClass takes the approval of a class back: the breaker judges it again.
func (p *Parts) revokeClass(ctx context.Context, w word) (string, error) {
	text := fmt.Sprintf("revoked: %s is judged by the breaker again; what was done stays done", w.class)
	return p.class(ctx, w, text, func(l safety.Ledger) (safety.Ledger, error) {
		if _, ok := l.Approvals[w.class]; !ok {
			return l, fmt.Errorf("revoke %q: no such class is approved", w.class)
		}
		return l.Revoke(w.class), nil
	})
}

// trustClass ends the doubt about a class: the breaker judges it by its limits alone.
func (p *Parts) trustClass(ctx context.Context, w word) (string, error) {
	text := fmt.Sprintf("trusted: %s is judged by the breaker's limits again", w.class)
	return p.class(ctx, w, text, func(l safety.Ledger) (safety.Ledger, error) {
		if l.Doubted[w.class].IsZero() {
			return l, fmt.Errorf("trust %q: no such class is doubtful", w.class)
		}
		return l.Trust(w.class), nil
	})
}

// accept takes a person's word that the registry's list really lost the hosts that it lacks: the next one, if it is
// marked complete, is believed, and they are watched no more. The entry is in the history of "list".
func (p *Parts) accept(ctx context.Context, w word) (string, error) {
	synced, err := p.book().Synced(ctx)
	if err == nil && !synced.Found() {
		err = errors.New("no list was read yet")
	}
	if err != nil {
		return "", fmt.Errorf("accept the list: %w", err)
	}
	synced.V.Accepted = lifecycle.At(p.Now())
	text := "accepted: the next list is believed however many hosts it lost, if the registry marks it complete"
	if err := p.Store.Write(ctx, synced.Put(), records.PutEntry("list", p.entry(ctx, w, records.Domain{}, text), 40)); err != nil {
		return "", fmt.Errorf("accept the list: %w", err)
	}
	p.logAction(ctx, w, "", "")
	return text, nil
}

// class changes the breaker's ledger on a person's word, and gives the text back once it is done. The entry is in the history
// of the class.
func (p *Parts) class(ctx context.Context, w word, text string, change func(safety.Ledger) (safety.Ledger, error)) (string, error) {
	ledger, err := p.book().Ledger(ctx)
	if err != nil {
		return "", err
	}
	if ledger.V, err = change(ledger.V); err != nil {
		return "", err
	}
	entry := records.PutEntry(w.class, p.entry(ctx, w, records.Domain{}, text), 40)
	if err := p.Store.Write(ctx, ledger.Put(), entry); err != nil {
		return "", fmt.Errorf("%s %s: %w", w.action, w.class, err)
	}
	p.logAction(ctx, w, "", w.class)
	return text, nil
}

// errNotCarriedOut: the request was sent and never answered, and the registry knows nothing of its key.
var errNotCarriedOut = errors.New("it was not carried out")

// restore takes a decision back: the registry verifies again those addresses that this decision changed and that
// are still unverified for that reason. A decision that was retried is taken back whole, request by request.
func (p *Parts) restore(ctx context.Context, w word, m records.Matter) (string, error) {
	keys, err := p.restorable(ctx, w, m)
	if err != nil {
		return "", err
	}
	var sum registry.Restored
	var missing error
	anew, found := false, 0
	for i, key := range keys {
		restored, first, err := p.restoreKey(ctx, w, m.Domain, key, i)
		if errors.Is(err, errNotCarriedOut) {
			missing = fmt.Errorf("restore %s (%s): %w", m.Domain.Name, key, err)
			continue
		}
		if err != nil {
			return "", fmt.Errorf("restore %s (%s): %w", m.Domain.Name, key, err)
		}
		found++
		anew = anew || first
		sum.Restored += restored.Restored
		sum.Kept += restored.Kept
	}
	if found == 0 {
		return "", missing
	}
	text := restoredText(m.Domain.Name, sum)
	if !anew {
		text = fmt.Sprintf("%s was taken back before: %s", m.Domain.Name, text)
	}
	return text, nil
}

// maxNamed is how many domains a dry run names.
const maxNamed = 100

// restoreMany takes back what was sent of a class within a time: an upstream that was wrong for a night. Without the
// number of domains it only says what it would do.
func (p *Parts) restoreMany(ctx context.Context, w word) (string, error) {
	if w.since.IsZero() {
		return "", fmt.Errorf("restore %s: since when? Say it (since)", w.class)
	}
	keys := map[string][]string{}
	for r, err := range p.book().AllRequests(ctx) {
		switch {
		case err != nil:
			return "", err
		case r.V.Budget.Class == w.class && r.V.Restored == nil && !r.V.At.Before(w.since) && (w.until.IsZero() || r.V.At.Before(w.until)):
			keys[r.V.Domain] = append(keys[r.V.Domain], r.SK())
		}
	}
	names := slices.Sorted(maps.Keys(keys))
	switch {
	case len(names) == 0:
		return fmt.Sprintf("nothing of %s was sent in that time that is not taken back already", w.class), nil
	case w.count == 0:
		more := ""
		if len(names) > maxNamed {
			more = fmt.Sprintf(" and %d more", len(names)-maxNamed)
		}
		return fmt.Sprintf("would take back what was done at %d domains of %s: %s%s. Nothing is changed yet; say it again with this number (reviewed)", len(names), w.class, strings.Join(names[:min(len(names), maxNamed)], ", "), more), nil
	case w.count != len(names):
		return "", fmt.Errorf("restore %s: you reviewed %d domains, and it would be %d now: have them listed again", w.class, w.count, len(names))
	}
	var sum registry.Restored
	undone := 0
	for n, name := range names {
		if p.late(ctx) {
			return fmt.Sprintf("time is up: taken back at %d domains of %s, %d addresses restored; %d are left, say it again with that number", n, w.class, sum.Restored, len(names)-n), nil
		}
		d, err := p.book().Domain(ctx, name)
		if err != nil {
			return "", err
		}
		d.Name = name // also one that left the table meanwhile
		for i, key := range keys[name] {
			r, _, err := p.restoreKey(ctx, w, d, key, i)
			if errors.Is(err, errNotCarriedOut) {
				undone++
				continue
			}
			if err != nil {
				return "", fmt.Errorf("restore %s (%s), after %d of %d domains: %w", name, key, n, len(names), err)
			}
			sum.Restored += r.Restored
			sum.Kept += r.Kept
		}
	}
	p.logAction(ctx, w, "", w.class)
	return fmt.Sprintf("taken back at %d domains of %s: %d addresses restored; %d were changed again meanwhile and left alone; %d requests had never been carried out", len(names), w.class, sum.Restored, sum.Kept, undone), nil
}

// restorable are the keys of what is to be taken back: the one that was named, or the last that was done, with its
// repetitions. What was sent and never answered may have been done all the same.
func (p *Parts) restorable(ctx context.Context, w word, m records.Matter) ([]string, error) {
	if w.decision != "" {
		return []string{w.decision}, nil
	}
	if done := m.Case.V.Done(); len(done) > 0 {
		return done[0].Keys(), nil
	}
	keys, err := p.book().Requests(ctx, m.Domain.Name)
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("restore %s: nothing was unverified by this guard", m.Domain.Name)
	}
	return keys, err
}

func restoredText(name string, r registry.Restored) string {
	return fmt.Sprintf("restored %d addresses at %s; %d were changed again meanwhile and left alone", r.Restored, name, r.Kept)
}

// restoreKey takes one request back. What was taken back before is answered from the record.
func (p *Parts) restoreKey(ctx context.Context, w word, d records.Domain, key string, n int) (r registry.Restored, first bool, err error) {
	req, err := p.book().Request(ctx, key)
	switch {
	case err != nil:
		return r, false, err
	case req.V.Restored != nil:
		return *req.V.Restored, false, nil
	}
	if p.Restorer == nil {
		return r, false, errors.New("nothing can be taken back: no registry is configured")
	}
	r, err = p.Restorer.Restore(ctx, key)
	var refusal *registry.Problem
	if req.V.Answer == nil && errors.As(err, &refusal) && refusal.Type == registry.TypeUnknownKey {
		return r, true, errors.Join(errNotCarriedOut, err)
	}
	if err != nil {
		return r, true, err //nolint:wrapcheck // says what of which domain
	}
	req.V.Restored, req.V.Domain = &r, d.Name
	if !req.Found() {
		req = req.Until(p.Now().Add(records.HistoryTTL))
	}
	entry := p.entry(ctx, w, d, restoredText(d.Name, r))
	entry.What = "restored"
	m, err := p.book().Matter(ctx, d.Name)
	if err != nil {
		return r, true, err
	}
	m.Case.V = m.Case.V.Restore(key)
	if err := p.Store.Write(ctx, req.Put(), m.Case.Put(), records.PutEntry(d.Name, entry, 40+n)); err != nil {
		return r, true, fmt.Errorf("note that it was taken back: %w", err)
	}
	p.Log.InfoContext(ctx, "restored", "domain", d.Name, "decision", key, "by", w.by, "restored", r.Restored, "kept", r.Kept, "request", invocation(ctx))
	return r, true, nil
}
