package applier

import (
	"cmp"
	"context"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

const (
	// closingTime is how long a closing may take before its domain is judged as if there were none.
	closingTime = 24 * time.Hour
	// longDeleted is from when on a deletion that the zone and the registry show all the while is no upstream's mistake.
	longDeleted = 21 * 24 * time.Hour
	// lasting is for how long a contradiction stands before a person is asked about a domain whose recovery is closed.
	lasting = 7 * 24 * time.Hour
)

// view is what due domains are judged by: the same for all of a tick.
type view struct {
	now       time.Time
	run       records.Run
	ledger    safety.Ledger
	synced    records.Synced // what the registry's list said last
	protected []string
	early     bool // a deleted domain is unverified although it can be had back
	observe   bool // what would be closed counts as closed
}

// view reads it.
func (p *Parts) view(ctx context.Context, run records.Run) (view, error) {
	v := view{now: p.Now(), run: run, protected: p.Protected, early: p.UnverifyEarly}
	synced, err := p.book().Synced(ctx)
	if err != nil {
		return v, err
	}
	ledger, err := p.book().Ledger(ctx)
	v.synced, v.ledger = synced.V, ledger.V
	return v, err
}

// verdict is a domain's stored one, with what bears on it here.
func (w view) verdict(m records.Matter) decision.Verdict {
	v := m.Domain.Verdict()
	v.Protected, v.ListRead = safety.Protected(m.Domain.Name, w.protected), max(w.synced.AsOf, w.synced.WholeAt)
	v.Closed = !v.Protected && w.closed(m)
	v.Final, v.Lasts = w.passed(w.finalAt(m.Domain)), w.passed(lastsAt(m.Domain))
	if w.asks(m) && !v.Final {
		v.Action = lifecycle.Hold // nor what a person is to decide about
	}
	if w.refused(m) && v.Action.Weight() < lifecycle.Hold.Weight() {
		v.Action = lifecycle.Hold // what it would not close a person must know of
	}
	return v
}

// closed tells whether recovery through a domain's addresses is closed, or on its way to be.
func (w view) closed(m records.Matter) bool {
	gap, known := m.Domain.State.Control.Since, m.Recovery.V
	switch {
	case !w.closable(m), w.asks(m):
		return false
	case known.Since != 0, known.Stands(gap), gap != 0 && !m.Domain.Listed: // who has no address here needs no closing
		return true
	case w.refused(m):
		return false
	default:
		// Of a crowd those that wait for room are spared too: else they would be unverified bit by bit, each day's few
		// within the limits.
		waits := m.Domain.CloseAt != 0 && !w.passed(m.Domain.CloseAt.Add(closingTime))
		return waits || doubt(m) != 0 && !w.passed(doubt(m).Add(closingTime)) || gap != 0 && w.observe && known.Would == gap
	}
}

// asks tells whether a person is to decide about closing recovery for what a domain is in, and did not yet.
func (w view) asks(m records.Matter) bool {
	return w.synced.Recovery && m.Domain.Asks() && !m.Recovery.V.Stands(m.Domain.State.Control.Since)
}

// closable tells whether the registry's lever is for a domain in its present state. Where a mail alone signs in, closing
// locks out, and only what takes the mail away closes.
func (w view) closable(m records.Matter) bool {
	c, known := m.Domain.State.Control, m.Recovery.V
	if !w.synced.Recovery || !w.synced.MailIsSignIn || known.Since != 0 || known.Stands(c.Since) {
		return w.synced.Recovery
	}
	switch c.Gap {
	case lifecycle.GapNone, lifecycle.GapGone, lifecycle.GapParked, lifecycle.GapDeleted, lifecycle.GapReleased:
		return true
	default:
		return false
	}
}

// doubt is since when control of a domain is in doubt: since its gap, or since a lapse was seen that a second look must
// confirm to be one.
func doubt(m records.Matter) lifecycle.Instant {
	return cmp.Or(m.Domain.State.Control.Since, m.Domain.State.LapseAt)
}

// refused tells whether the registry refused to close a domain for its present gap.
func (w view) refused(m records.Matter) bool {
	gap := m.Domain.State.Control.Since
	return w.synced.Recovery && gap != 0 && m.Recovery.V.Refused == gap
}

func (w view) passed(at lifecycle.Instant) bool { return at != 0 && at <= lifecycle.At(w.now) }

// finalAt is when a lapsed domain is not to be had back any more; 0: not known, or not yet.
func (w view) finalAt(d records.Domain) lifecycle.Instant {
	switch d.State.Phase {
	case lifecycle.PendingDelete, lifecycle.ReRegistered:
		return d.State.Since
	case lifecycle.Released, lifecycle.Redemption:
		early := w.early && d.State.Phase == lifecycle.Redemption
		if early || d.State.Phase == lifecycle.Released && d.Reason != lifecycle.ReasonQuarantine {
			return d.State.Since
		}
		name, _ := domain.Parse(d.Name)
		return lifecycle.TLDOf(name.Suffix).LostAt(d.State)
	default:
		return 0
	}
}

// lastsAt is when what its registry says, and the zone contradicts, has lasted.
func lastsAt(d records.Domain) lifecycle.Instant { return d.State.RegSince.Add(lasting) }

// longGone tells whether a domain was deleted by both its zone and its registry for so long that no upstream was mistaken:
// many of them on one day are many holders', or one's, and pass one day's budget after the other.
func (w view) longGone(d records.Domain) bool {
	s, now := d.State, lifecycle.At(w.now)
	return s.Deleg == lifecycle.DelegationGone && deleted(s.Reg) && s.Deleted != 0 && min(now.Since(s.DelegSince), now.Since(s.Deleted)) >= longDeleted
}

// turns is when a domain is to be judged anew although nothing new is heard of it; 0: never.
func (w view) turns(m records.Matter) (first lifecycle.Instant) {
	if !w.synced.Recovery || m.Domain.Action.Weight() < lifecycle.Hold.Weight() {
		return 0
	}
	for _, at := range []lifecycle.Instant{doubt(m).Add(closingTime), w.finalAt(m.Domain), lastsAt(m.Domain)} {
		if at > lifecycle.At(w.now) && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

// step is what is to be done about one due domain, as far as the breaker has no part in it.
type step struct {
	Case    decision.Case
	Look    bool // a second look is due
	Decides bool // the registry is to be asked in it
	// Tell those who depend on the domain that it lapsed, or that it is Back.
	Tell, Back bool
	Hold       bool // a person is to be asked
	Arrived    bool // the synthetic domain is at its last hop
	Turns      lifecycle.Instant
}

// plan is pure: a domain, and what was decided about it, go in.
func (w view) plan(m records.Matter) step {
	d := m.Domain
	s := step{Case: w.judged(m.Case.V, w.verdict(m)), Arrived: d.Arrived(), Tell: d.Untold(), Back: d.Recovered(), Turns: w.turns(m)}
	s.Hold = s.Case.Status == decision.Held && (m.Case.V.Status != decision.Held || m.Case.V.Decision != s.Case.Decision)
	now := lifecycle.At(w.now)
	asked := d.LookSent.Add(lifecycle.RetryLook)
	waits := s.Case.Open() && w.stale(d) && asked <= now
	s.Look = d.NextLook != 0 && d.NextLook <= now || waits
	s.Decides = waits || d.Action == lifecycle.Confirm && now.Since(evidenceAt(d)) >= lifecycle.SecondLook && d.State.Silent == 0
	return s
}

// judged is the case by the present verdict. What was approved with its class and is not any more is the breaker's.
func (w view) judged(c decision.Case, v decision.Verdict) decision.Case {
	c = c.Judge(v)
	if c.ClassApproved != 0 && !w.ledger.Stands(c.Class, int64(c.ClassApproved), w.now) {
		c = c.Over()
	}
	return c
}

// waits tells whether a decision that is open is not to be put to the registry yet: its evidence is old, the look that
// its approval asked for is not answered, or the run that found it is not whole.
func (w view) waits(d records.Domain, c decision.Case) bool {
	byItself := c.Status == decision.Approved && c.ClassApproved == 0 && c.DoneAt == 0 // else a repetition of what was done
	switch {
	case w.stale(d), byItself && unanswered(d):
		return true
	default:
		return !w.run.Complete && lifecycle.At(w.now).Since(d.State.Since) < settleTime
	}
}

// unanswered tells whether the last look that was sent brought no answer of an authority yet.
func unanswered(d records.Domain) bool { return max(d.State.RegAt, d.State.MktAt) < d.LookSent }

// stale tells whether the evidence behind a decision is too old to act on.
func (w view) stale(d records.Domain) bool {
	newest := evidenceAt(d)
	return newest == 0 || lifecycle.At(w.now).Since(newest) > lifecycle.Freshness
}

// evidenceAt is when the newest witness spoke who bears the verdict out. A deletion that was decided stays while
// nothing can be believed (see the checker's carryVerdict); who meanwhile says otherwise does not make it fresh.
func evidenceAt(d records.Domain) lifecycle.Instant {
	reg, mkt := d.State.RegAt, d.State.MktAt
	switch d.State.Phase {
	case lifecycle.Redemption, lifecycle.PendingDelete, lifecycle.Released:
		if !deleted(d.State.Reg) {
			reg = 0
		}
		if !deleted(d.State.Mkt) {
			mkt = 0
		}
	default:
	}
	return max(reg, mkt)
}
