package applier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// maxNames bounds the decisions that one walk puts to the registry, and what its record holds; those beyond it are
// counted, and found again by the next.
const maxNames = 5000

// walk is one way through everything that is due: each domain is planned, and what the breaker has no part in is done.
// When the whole is counted, the breaker judges, and what it lets through is put to the registry. It goes on in the
// next invocation where this one ended, so that a crowd delays the newest lapse by its own length, and no more.
type walk struct {
	*Parts
	view
	act  seam // nil: nothing is put to the registry
	at   records.Of[records.Walk]
	kept bool // the record says where an earlier invocation ended

	closings closings
	causes   map[string]cause

	told                        map[string]bool // domains whose mail host's lapse, or recovery, it noted
	relieved                    []string        // those of them whose mail host is back, and whose hold is to end
	relieving                   bool
	due                         []due // of this page
	names                       int   // that it found
	looks, held, acted, waiting int
	arrived                     *records.Domain
	tripped                     []string
}

var errLate = errors.New("too many due items for one invocation; the next one goes on")

func (p *Parts) newWalk(ctx context.Context, run records.Run, act seam) (*walk, error) {
	w := &walk{Parts: p, act: act, closings: newClosings(), causes: map[string]cause{}, told: map[string]bool{}}
	var err error
	if w.view, err = p.view(ctx, run); err != nil {
		return w, err
	}
	_, w.observe = act.(observer)
	w.at, err = p.book().Walk(ctx)
	if w.kept = w.at.V.Cursor != "" || w.at.V.Shard > 0; w.at.V.Pending == nil {
		w.at.V.Pending = map[string]int{}
	}
	if w.at.V.Closings == nil {
		w.at.V.Closings = map[int][]string{}
	}
	if w.at.V.Names == nil {
		w.at.V.Names = map[string][]string{}
	}
	for _, names := range w.at.V.Names {
		w.names += len(names)
	}
	return w, err
}

// goOn walks until everything is done, or time is up.
func (w *walk) goOn(ctx context.Context) error {
	err := w.survey(ctx)
	if err == nil {
		err = w.decide(ctx)
	}
	if errors.Is(err, errLate) {
		w.Log.InfoContext(ctx, "walk_paused", "whole", w.at.V.Whole, "to_decide", w.names)
		w.closings.sort(w.at.V.Closings)
		w.at.V.Closings = keepFirst(w.at.V.Closings, maxNames)
		return w.keep(ctx, w.at.V)
	}
	if err != nil { // what was found is counted anew
		return errors.Join(err, w.forget(ctx))
	}
	return w.forget(ctx)
}

// keep notes where the walk stands.
func (w *walk) keep(ctx context.Context, at records.Walk) error {
	w.at.V = at
	if err := w.Store.Write(ctx, w.at.Put()); err != nil {
		return fmt.Errorf("note how far the due items were walked: %w", err)
	}
	w.at, w.kept = w.at.Stored(), true
	return nil
}

// forget lets the next walk begin anew. Where nothing was kept, it costs nothing.
func (w *walk) forget(ctx context.Context) error {
	if !w.kept {
		return nil
	}
	return w.keep(ctx, records.Walk{})
}

// survey goes through what is due, from where the last invocation ended.
func (w *walk) survey(ctx context.Context) error {
	for !w.at.V.Whole {
		if w.late(ctx) {
			return errLate
		}
		names, next, err := w.Store.Due(ctx, w.at.V.Shard, w.now, w.at.V.Cursor, page)
		if err != nil {
			return fmt.Errorf("due items of shard %d after %q: %w", w.at.V.Shard, w.at.V.Cursor, err)
		}
		if err := w.each(ctx, names, w.visit); err != nil {
			return err
		}
		if w.at.V.Cursor = next; next == "" {
			w.at.V.Shard++
			w.at.V.Whole = w.at.V.Shard >= store.Shards
		}
	}
	if err := w.close(ctx); err != nil {
		return err
	}
	return w.relieve(ctx)
}

// close goes through the domains at which recovery is to be closed, in the order in which the day's budget is theirs, and
// says what does not fit.
func (w *walk) close(ctx context.Context) error {
	w.closings.ordered = true
	w.closings.sort(w.at.V.Closings)
	for rank := range ranks {
		for names := w.at.V.Closings[rank]; len(names) > 0; names = w.at.V.Closings[rank] {
			if w.late(ctx) {
				return errors.Join(errLate, w.sayWaiting(ctx))
			}
			n := min(len(names), page)
			if err := w.each(ctx, names[:n], w.visit); err != nil {
				return err
			}
			w.at.V.Closings[rank] = names[n:]
		}
	}
	return w.sayWaiting(ctx)
}

// sayWaiting says how many closings found no room: one event for each class, not one for each of them.
func (w *walk) sayWaiting(ctx context.Context) error {
	for class, n := range w.closings.waits {
		first := w.closings.first[class]
		w.Log.WarnContext(ctx, "closings_wait", "class", class, "count", n, "first", first.Name, "why", errNoRoom)
		w.Metrics.Emit(map[string]float64{telemetry.BreakerTripped: 1})
		if err := w.Store.Write(ctx, w.line(first, "closings/"+class, "waits", registry.Answer{Changed: n})); err != nil {
			return fmt.Errorf("note that closings wait: %w", err)
		}
	}
	return nil
}

// relieve ends the holds about which nothing is left to decide, after the whole was walked: what it told others may
// have given a domain a reason to be held, or have taken it away where the walk was past it.
func (w *walk) relieve(ctx context.Context) error {
	names := w.relieved
	w.relieved, w.relieving = nil, true
	for some := range slices.Chunk(names, page) {
		err := w.each(ctx, some, func(ctx context.Context, m records.Matter) error {
			if s := w.plan(m); s.Case.At() != decision.Idle {
				return nil
			}
			return w.visit(ctx, m)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each reads a page of domains consistently, with their cases; the index is only a hint. The looks that they want are sent
// together.
func (w *walk) each(ctx context.Context, names []string, do func(context.Context, records.Matter) error) error {
	w.due = nil
	matters, err := w.book().Matters(ctx, names)
	if newer := (*records.Newer)(nil); errors.As(err, &newer) {
		w.skip(ctx, newer)
	} else if err != nil {
		return err
	}
	for _, name := range names {
		m, ok := matters[name]
		if !ok {
			continue
		}
		if w.told[name] { // since the page was read
			if m, err = w.book().Matter(ctx, name); err != nil {
				return err
			}
		}
		if err := do(ctx, m); err != nil {
			return err
		}
	}
	return w.lookAt(ctx, w.due)
}

// visit carries out what is planned for one due domain, and counts it.
func (w *walk) visit(ctx context.Context, m records.Matter) error {
	if !w.closings.ordered && m.Domain.Differs() && w.takes(m) && m.Domain.CloseAt <= lifecycle.At(w.now) {
		rank := rank(m.Domain, lifecycle.At(w.now))
		w.at.V.Closings[rank] = append(w.at.V.Closings[rank], m.Domain.Name) // when all of them are known
		w.closings.since[m.Domain.Name] = m.Domain.State.First
		return nil
	}
	m, settled, err := w.recover(ctx, m)
	if err != nil {
		return err
	}
	if !settled {
		w.waiting++
	}
	if m, err = w.returned(ctx, m); err != nil {
		return err
	}
	s := w.plan(m)
	if s.Arrived {
		d := m.Domain
		if w.arrived = &d; w.act != nil {
			return nil // its probe settles it: one that fails is made again by the next tick
		}
	}
	if s.ends(m) && !w.relieving {
		w.relieved = append(w.relieved, m.Domain.Name)
		return nil
	}
	m, ok, err := w.settle(ctx, m, s)
	if err != nil || !ok {
		return err
	}
	c := m.Case.V
	if c.Counts() && w.defers(m.Domain) {
		w.waiting++
		return nil
	}
	if c.Counts() { // stale ones too: of a crowd whose upstream answers for a few at a time, those few are no less a crowd
		w.at.V.Pending[m.Domain.Class()]++
	}
	if c.Open() && w.names < maxNames {
		class := ""
		if c.Counts() {
			class = m.Domain.Class()
		}
		w.at.V.Names[class] = append(w.at.V.Names[class], m.Domain.Name)
		w.names++
	}
	if s.Look {
		w.looks++
		w.due = append(w.due, due{m.Domain, s.Decides})
	}
	return nil
}

// defers tells whether a decision waits for a day with room, and not with its class for a person: one about a domain that is
// gone for long, where nothing of its class is held.
func (w *walk) defers(d records.Domain) bool {
	class := d.Class()
	if !w.longGone(d) || w.ledger.Held[class] > 0 || !w.ledger.Doubted[class].IsZero() {
		return false
	}
	pending := w.pending(w.ledger)
	pending[class]++
	return safety.Judge(w.ledger, w.Limits, w.run.Watched, pending, w.now)[class].Held
}

// pending counts what waits for the breaker's word, by class: what was found due, and what it holds.
func (w *walk) pending(ledger safety.Ledger) map[string]int {
	pending := maps.Clone(w.at.V.Pending)
	if pending == nil {
		pending = map[string]int{}
	}
	for class, n := range ledger.Held {
		pending[class] += n
	}
	return pending
}

// ends tells whether a plan says that a hold ends, and nothing else.
func (s step) ends(m records.Matter) bool {
	return m.Case.V.Status == decision.Held && s.Case.At() == decision.Idle && !s.Tell && !s.Back
}

// settle writes what a plan changes.
func (w *walk) settle(ctx context.Context, m records.Matter, s step) (records.Matter, bool, error) {
	if s.Tell || s.Back {
		host := m.Domain.Name
		if s.Back {
			host = ""
		}
		names, err := w.tellDependents(ctx, m.Domain.Name, host, m.Domain.State.Control.Since)
		if err != nil {
			return m, false, err
		}
		for _, name := range names {
			w.told[name] = true
		}
		if s.Back {
			w.relieved = append(w.relieved, names...)
		}
	}
	told := func(d *records.Domain) {
		d.Turns = s.Turns
		switch {
		case s.Tell:
			d.Told = lifecycle.At(w.now)
		case s.Back:
			d.Told = 0
		}
	}
	c := change{Case: s.Case, Edit: told}
	if s.Hold {
		next, ok, err := w.hold(ctx, m, c, w.why(s.Case.Decision, m), false)
		if ok {
			w.held++
		}
		return next, ok, err
	}
	quiet := m.Domain
	told(&quiet)
	quiet.Settle(s.Case.Open())
	if !s.changes(m) && quiet.Settled == m.Domain.Settled && quiet.Told == m.Domain.Told && quiet.Turns == m.Domain.Turns {
		return m, true, nil
	}
	if m.Case.V.Status != s.Case.Status && s.Case.At() == decision.Idle {
		return w.endHold(ctx, m, c)
	}
	return w.carry(ctx, m, c)
}

// changes tells whether the plan says more of the case than is stored.
func (s step) changes(m records.Matter) bool {
	return m.Case.Found() && m.Case.V.Decision != s.Case.Decision || !m.Case.Found() && s.Case.At() != decision.Idle
}

// why says in words why a person is asked.
func (w *walk) why(d decision.Decision, of records.Matter) string {
	switch {
	case d.Cause == decision.ByProtected:
		return safety.WhyProtected
	case w.asks(of):
		return fmt.Sprintf("closing recovery for this one cause would shut out %d of %d addresses. Decide: if it lapsed, close %s; if not, unhold it", of.Domain.Shuts, w.run.Addresses, of.Domain.Name)
	case w.refused(of):
		return "the registry refused to close account recovery: " + of.Recovery.V.Why
	default:
		return string(of.Domain.Reason)
	}
}

// decide asks the breaker about every class, and works through the decisions: first those that it lets pass.
func (w *walk) decide(ctx context.Context) error {
	if w.act == nil {
		return nil
	}
	rulings, err := w.rulings(ctx)
	if err != nil {
		return err
	}
	if err := w.fit(ctx, rulings); err != nil {
		return err
	}
	classes := slices.Sorted(maps.Keys(w.at.V.Names))
	for _, held := range []bool{false, true} {
		for _, class := range classes {
			if rulings[class].Held != held {
				continue
			}
			if err := w.decideClass(ctx, class, rulings); err != nil {
				return err
			}
		}
	}
	return nil
}

// decideClass works through the decisions of one class.
func (w *walk) decideClass(ctx context.Context, class string, rulings map[string]safety.Ruling) error {
	for names := w.at.V.Names[class]; len(names) > 0; names = w.at.V.Names[class] {
		if w.late(ctx) {
			return errLate
		}
		n := min(len(names), page)
		err := w.each(ctx, names[:n], func(ctx context.Context, m records.Matter) error { return w.decideOne(ctx, m, rulings) })
		if err != nil {
			return err
		}
		w.at.V.Names[class] = names[n:]
		w.names -= n
	}
	return nil
}

// rulings are the breaker's, on what is due and on what it holds.
func (w *walk) rulings(ctx context.Context) (map[string]safety.Ruling, error) {
	ledger, err := w.book().Ledger(ctx)
	if err != nil {
		return nil, err
	}
	w.ledger = ledger.V
	pending := w.pending(ledger.V)
	rulings := safety.Judge(ledger.V, w.Limits, w.run.Watched, pending, w.now)
	for class, r := range rulings {
		if r.Held {
			w.tripped = append(w.tripped, class)
		}
		if r.Held && w.at.V.Pending[class] > 0 {
			w.Log.WarnContext(ctx, "breaker_tripped", "class", class, "pending", pending[class], "why", r.Why)
		}
	}
	if slices.Sort(w.tripped); len(w.tripped) == 0 {
		return rulings, nil
	}
	w.Metrics.Emit(map[string]float64{telemetry.BreakerTripped: float64(len(w.tripped))})
	return rulings, nil
}

// fit takes up again what the breaker held of classes that fit their limits by now.
func (w *walk) fit(ctx context.Context, rulings map[string]safety.Ruling) error {
	fits := func(class string) bool { r, ok := rulings[class]; return ok && !r.Held && w.ledger.Held[class] > 0 }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(rulings)), fits) {
		return nil
	}
	var names []string
	for h, err := range w.book().Holds(ctx) {
		if err != nil {
			return err
		}
		if fits(h.V.Class) && w.names+len(names) < maxNames {
			names = append(names, h.V.Domain)
		}
	}
	for some := range slices.Chunk(names, page) {
		err := w.each(ctx, some, func(ctx context.Context, m records.Matter) error {
			if !m.Case.V.Breaks(m.Case.V.Class) {
				return nil // approved, and due by itself
			}
			c := w.judged(m.Case.V, w.verdict(m)).Fit()
			if !c.Open() {
				return nil // its verdict is another one by now: it is due for that
			}
			m, ok, err := w.carry(ctx, m, change{Case: c})
			if err != nil || !ok {
				return err
			}
			return w.visit(ctx, m) // as if it were due
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decideOne puts one decision to the registry, or holds it with its class.
func (w *walk) decideOne(ctx context.Context, m records.Matter, rulings map[string]safety.Ruling) error {
	v := w.verdict(m)
	c := w.judged(m.Case.V, v)
	if !w.act.Wants(c) || w.stale(m.Domain) {
		return nil // a look is on its way
	}
	class := m.Domain.Class()
	r := rulings[class]
	switch {
	case w.waits(m.Domain, c):
		w.waiting++
		return nil
	case c.Counts() && r.Held:
		w.at.V.Pending[class]--
		_, ok, err := w.hold(ctx, m, change{Case: c.Hold(decision.ByBreaker, v)}, r.Why, true)
		if ok {
			w.held++
		}
		return err
	case c.Counts() && r.Allow <= 0:
		w.waiting++
		return nil
	}
	m.Case.V = c
	became, err := w.act.Put(ctx, m, v, w.run)
	switch became {
	case did:
		w.acted++
	case refused:
		w.held++
	case waits:
		w.waiting++
	}
	if became != waits && c.Counts() {
		r.Allow--
		rulings[class] = r
		w.at.V.Pending[class]--
	}
	return err
}

// recover has the registry hold to what recovery through a domain's addresses should be: one call for each change. It
// is a desired state, so that whoever died in the middle sends it again. False: it waits.
func (w *walk) recover(ctx context.Context, m records.Matter) (records.Matter, bool, error) {
	if !m.Domain.Differs() {
		return m, true, nil
	}
	switch {
	case safety.Protected(m.Domain.Name, w.Protected), m.Held():
		m, err := w.matches(ctx, m, nil) // there is nothing to send
		return m, true, err
	case m.Domain.CloseAt > lifecycle.At(w.now):
		return m, !w.closable(m), nil
	case !w.synced.Recovery: // it may come to offer it
		m, _, err := w.postpone(ctx, m, closingTime)
		return m, true, err
	case !w.closable(m): // the gap may become another one
		m, _, err := w.postpone(ctx, m, 6*time.Hour)
		return m, true, err
	}
	why, err := w.cause(ctx, m)
	switch {
	case err != nil:
		return m, false, err
	case why.wide:
		m, _, err := w.postpone(ctx, m, lifecycle.SecondLook)
		return m, false, err
	case why.approved: // a person's word takes no room
		m.Recovery.V.Counted = lifecycle.At(w.now)
	}
	class, limits := closingBudget(m.Domain.State.Control.Gap, w.run.Watched)
	pause := w.closings.pause(class, limits, w.run.Watched)
	switch {
	case w.act == nil:
		return m, false, nil
	case w.takes(m) && w.closings.full[class]:
		w.closings.missed(class, m.Domain)
		return w.postpone(ctx, m, pause)
	}
	next, ok, err := w.act.Recover(ctx, m, w.run.ID)
	switch {
	case errors.Is(err, errNoRoom):
		w.closings.missed(class, m.Domain)
		return w.postpone(ctx, m, pause)
	case errors.Is(err, errRefused):
		return w.postpone(ctx, next, closingTime)
	}
	return next, ok, err
}

// cause is what closes a domain: itself, or its mail host with all who depend on that one.
type cause struct{ wide, approved bool }

// cause tells whether a domain is closed for a cause that would shut out so many that a person decides, and did.
func (w *walk) cause(ctx context.Context, m records.Matter) (c cause, err error) {
	d := m.Domain
	name := d.Name
	if d.State.Control.Gap == lifecycle.GapMailHost {
		name = cmp.Or(d.State.MailLapsed, name)
	}
	c, known := w.causes[name]
	if known || m.Wanted() == 0 || m.Recovery.V.Since != 0 || m.Recovery.V.Stands(d.State.Control.Since) {
		return c, nil
	}
	shuts := 0
	if name == d.Name {
		listed, err := w.book().Listed(ctx, name)
		if err != nil {
			return c, err
		}
		shuts = listed.Addresses
	} else {
		if m, err = w.book().Matter(ctx, name); err != nil {
			return c, err
		}
		if shuts, err = w.carried(ctx, name); err != nil {
			return c, err
		}
	}
	word := m.Recovery.V.Word
	c.approved = word != nil && word.Closed && m.Recovery.V.Stands(m.Domain.State.Control.Since)
	c.wide = !c.approved && safety.Wide(shuts, w.run.Addresses)
	if w.causes[name] = c; !c.wide || m.Domain.Wide == m.Domain.State.Control.Since {
		return c, nil
	}
	w.Log.WarnContext(ctx, "closing_wide", "domain", name, "addresses", shuts, "of", w.run.Addresses)
	_, err = w.book().Update(ctx, name, func(now *records.Domain) ([]store.Write, bool, error) {
		now.Wide, now.Shuts = now.State.Control.Since, shuts
		return nil, now.Known(), nil
	})
	return c, err
}

// carried counts the addresses at the domains that depend on a mail host.
func (w *walk) carried(ctx context.Context, host string) (n int, err error) {
	var names []string
	for dep, err := range w.book().Dependents(ctx, host) {
		if err != nil {
			return 0, fmt.Errorf("who depends on %s: %w", host, err)
		}
		names = append(names, dep.Name)
	}
	slices.Sort(names)
	for some := range slices.Chunk(slices.Compact(names), page) {
		counts, err := w.book().Counts(ctx, some)
		if err != nil {
			return 0, fmt.Errorf("addresses of those who depend on %s: %w", host, err)
		}
		for _, c := range counts {
			n += c.V.Addresses
		}
	}
	return n, nil
}

// postpone notes when a closing is tried again that found no room, or that the registry refused.
func (w *walk) postpone(ctx context.Context, m records.Matter, pause time.Duration) (records.Matter, bool, error) {
	d, err := w.book().Update(ctx, m.Domain.Name, func(now *records.Domain) ([]store.Write, bool, error) {
		now.CloseAt = lifecycle.At(w.now).Add(pause)
		return nil, true, nil
	})
	if err == nil {
		m.Domain = d
	}
	return m, false, err
}
