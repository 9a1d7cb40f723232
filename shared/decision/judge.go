package decision

import (
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
	// Closed: account recovery through its addresses is closed, or about to be. Who waits harms nobody then.
	Closed bool
	Final  bool // nobody can get the name back any more, or not for long
	Lasts  bool // what contradicts itself has done so for long
}

// wants is what a verdict asks for. Where recovery is closed that is nothing until the name is lost for good: a person is
// asked about what contradicts itself for long, and about an account that may have been taken.
func (v Verdict) wants() lifecycle.Action {
	if !v.Closed || v.Action.Weight() < lifecycle.Hold.Weight() {
		return v.Action
	}
	switch v.Reason {
	case lifecycle.ReasonReviewNew:
		return v.Action
	case lifecycle.ReasonStillThere, lifecycle.ReasonFreeButThere:
		if v.Lasts {
			return v.Action
		}
	case lifecycle.ReasonDeleted, lifecycle.ReasonDeletedAlone, lifecycle.ReasonStatusDeleted, lifecycle.ReasonReleased,
		lifecycle.ReasonReRegistered, lifecycle.ReasonQuarantine:
		if v.Final {
			return lifecycle.Unverify
		}
	default:
	}
	return lifecycle.None
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
	if event != AsksNothing && v.Protected && c.Open() {
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
	action := v.wants()
	if c.Status == Approved { // a person has it done earlier
		action = v.Action
	}
	switch {
	case action == lifecycle.Unverify && known && !c.covered(v):
		return AsksUnset
	case action == lifecycle.Hold && v.Watched:
		return AsksHold
	default:
		return AsksNothing
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

// move carries out what the verdict asks for.
func (c Case) move(e Event, v Verdict) Case {
	if e == AsksHold && c.Status == Held {
		c.Decision, _ = c.on(AsksNothing) // held for another reason: a hold of its own
	}
	d, ok := c.on(e)
	if !ok {
		return c
	}
	switch d = d.free(); {
	case e == AsksHold:
		d = d.held(ByVerdict, v)
	case e == AsksNothing && d.DoneAt != 0:
		d.Status = Done // of a repetition that came to nothing
	}
	c.Decision = d
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
