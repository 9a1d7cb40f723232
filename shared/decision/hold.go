package decision

import (
	"strings"
)

// When a hold ends: with a verdict for which it does not stand (stands), with its class fitting the limits again (Fit),
// by what an operator says (operator.go), and by another stage or lapse, which is another decision (another), but for an
// operator's own. Nothing else ends one; transition.go says what follows.

// stands tells whether a verdict says nothing that the decision does not answer already: a person was asked, or said
// no, about the very same.
func (c Case) stands(e Event, v Verdict) bool {
	_, reason, _ := strings.Cut(c.Verdict, "/")
	switch {
	case e == AsksNothing:
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
