package decision

import (
	"strings"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// Verdict is what a domain's stored verdict says, and what bears on it.
type Verdict struct {
	ID     ID
	Action lifecycle.Action
	Phase  lifecycle.Phase
	Reason lifecycle.Reason
	Class  string // the breaker's: what fails together
	// Listed: the registry's list names addresses at the domain. Watched: it is looked at for whatever reason.
	Listed, Watched bool
	Protected       bool              // never acted on
	ListRead        lifecycle.Instant // when the list was last read: what it names was there then
}

// name tells one verdict from another in what was held, declined or refused, whichever witness of a deletion is heard
// today.
func (v Verdict) name() string {
	reason := v.Reason
	if reason == lifecycle.ReasonDeletedAlone || reason == lifecycle.ReasonStatusDeleted {
		reason = lifecycle.ReasonDeleted
	}
	return string(v.Phase) + "/" + string(reason)
}

// Judge brings the case up to date with a verdict. The same verdict again changes nothing.
func (c Case) Judge(v Verdict) Case {
	c.Schema = Schema
	if c.ID != v.ID {
		c = c.another(v.ID)
	}
	event := c.asks(v)
	if !c.stands(event, v) {
		c = c.move(event, v)
	}
	if event != RiskGone && v.Protected && c.Open() {
		c = c.Hold(ByProtected, v)
	}
	return c
}

// another is the case about another stage or lapse. A pin is on the domain, and stays.
func (c Case) another(id ID) Case {
	if c.Status == Pinned {
		c.Decision = Decision{ID: id, Status: Pinned}
		return c
	}
	return c.file().take(id)
}

// asks is what the verdict asks for. A domain that left the list has nothing to unverify, but for a repetition that an
// operator asked for; one that is watched for others can be held all the same.
func (c Case) asks(v Verdict) Event {
	known := v.Listed || c.Retries > 0
	switch {
	case v.Action == lifecycle.Unverify && known && !c.covered(v):
		return AsksUnset
	case v.Action == lifecycle.Hold && v.Watched:
		return AsksHold
	default:
		return RiskGone
	}
}

// covered tells whether an earlier stage of the same lapse left nothing to do: the registry kept no address, and its
// list was not read since.
func (c Case) covered(v Verdict) bool {
	for _, p := range c.Past {
		if p.Status == Done && p.ID.lapse() != "" && p.ID.lapse() == v.ID.lapse() && p.Kept == 0 && v.ListRead < p.DoneAt {
			return true
		}
	}
	return false
}

// stands tells whether a verdict says nothing that the decision does not answer already: a person was asked, or said
// no, about the very same. Here, in the rows from Held, and in what an operator says, lies when a hold ends.
func (c Case) stands(e Event, v Verdict) bool {
	_, reason, _ := strings.Cut(c.Verdict, "/")
	switch {
	case e == RiskGone:
		return false
	case c.Status == Declined:
		return c.Verdict == v.name()
	case c.Status != Held:
		return false
	case e == AsksHold:
		return (c.Cause == ByVerdict || c.Cause == ByRegistry) && reason == string(v.Reason)
	case c.Cause == ByBreaker:
		return c.Class == v.Class
	case c.Cause == ByRegistry:
		return c.Verdict == v.name()
	default:
		return c.Cause == ByProtected && v.Protected
	}
}

// move carries out what the verdict asks for.
func (c Case) move(e Event, v Verdict) Case {
	if e == AsksHold && c.Status == Held {
		c.Decision, _ = c.on(RiskGone) // held for another reason: a hold of its own
	}
	d, ok := c.on(e)
	if !ok {
		return c
	}
	switch d = d.free(); {
	case e == AsksHold:
		d = d.held(ByVerdict, v)
	case e == RiskGone && d.DoneAt != 0:
		d.Status = Done // of a repetition that came to nothing
	}
	c.Decision = d
	return c
}

// free is the decision without what a hold, or an approval, said about it.
func (d Decision) free() Decision {
	d.Cause, d.Verdict, d.Class, d.ClassApproved = "", "", "", 0
	return d
}

func (d Decision) held(by Cause, v Verdict) Decision {
	d = d.free()
	d.Cause, d.Verdict, d.Class = by, v.name(), v.Class
	return d
}

// Hold is the case held by the breaker, or because the domain is protected.
func (c Case) Hold(by Cause, v Verdict) Case {
	event := Tripped
	if by == ByProtected {
		event = Protected
	}
	if d, ok := c.on(event); ok {
		c.Decision = d.held(by, v)
	}
	return c
}

// Fit is a case that the breaker held and whose class fits the limits again.
func (c Case) Fit() Case {
	if c.Cause == ByBreaker {
		if d, ok := c.on(Fits); ok {
			c.Decision = d.free()
		}
	}
	return c
}

// Over is a case whose class's approval does not stand any more: the breaker judges it again.
func (c Case) Over() Case {
	if c.ClassApproved != 0 {
		if d, ok := c.on(ApprovalOver); ok {
			c.Decision = d.free()
		}
	}
	return c
}

// Report notes that observe mode said what it would do. An approval stays one.
func (c Case) Report() Case {
	c.Told = c.Key()
	c.Decision, _ = c.on(Reports)
	return c
}

// Answer notes that the registry did it, and how many addresses it kept as verified later.
func (c Case) Answer(kept int, now lifecycle.Instant) Case {
	if d, ok := c.on(Answers); ok {
		c.Decision = d.free()
		c.DoneAt, c.Kept = now, kept
	}
	return c
}

// Refuse notes that the registry said no. The approval, if there was one, is used up: who approves again has read the
// refusal.
func (c Case) Refuse(v Verdict) Case {
	if d, ok := c.on(Refuses); ok {
		c.Decision = d.held(ByRegistry, v)
	}
	return c
}

// NextKey leaves the present key behind, under which something may have been done: the next request has its own.
func (c Case) NextKey() Case {
	c.Retries++
	return c
}
