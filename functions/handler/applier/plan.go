package applier

import (
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// view is what due domains are judged by: the same for all of a tick.
type view struct {
	now    time.Time
	run    records.Run
	ledger safety.Ledger
}

// step is what is to be done about one due domain, as far as the breaker has no part in it.
type step struct {
	Case decision.Case
	Look bool // a second look is due
	// Tell those who depend on the domain that it lapsed, or that it is Back.
	Tell, Back bool
	Hold       bool // a person is to be asked
	Arrived    bool // the synthetic domain is at its last hop
}

// plan is pure: a domain, what was decided about it, and its verdict go in.
func (w view) plan(m records.Matter, v decision.Verdict) step {
	d := m.Domain
	s := step{Case: w.judged(m.Case.V, v), Arrived: d.Arrived(), Tell: d.Untold(), Back: d.Recovered()}
	s.Hold = s.Case.Status == decision.Held && (m.Case.V.Status != decision.Held || m.Case.V.Decision != s.Case.Decision)
	now := lifecycle.At(w.now)
	asked := d.LookSent.Add(lifecycle.RetryLook)
	s.Look = d.NextLook != 0 && d.NextLook <= now || s.Case.Open() && w.stale(d) && asked <= now
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

func deleted(w lifecycle.Word) bool {
	switch w {
	case lifecycle.WordRestore, lifecycle.WordRedemption, lifecycle.WordPendingDelete, lifecycle.WordAbsent:
		return true
	default:
		return false
	}
}
