package decision

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// What an operator asks for and cannot have. Each says what to do instead.
var (
	errProtected = errors.New("it is a protected domain, which is never acted on: decide about its accounts in your registry, and take the hold off with unhold")
	errCarried   = errors.New("it was carried out already: retry repeats it, restore takes it back")
	errNotDone   = errors.New("nothing was unverified in its present lapse; what is pending is sent by itself, what is held needs approve")
)

// Approve is the case that a person approved by itself: judged again on fresh evidence, beside the breaker's limits.
func (c Case) Approve(v Verdict) (Case, error) {
	pinned := c.Status == Pinned
	under := c
	if pinned {
		under = c.take(c.ID)
	}
	switch {
	case v.Protected:
		return c, errProtected
	case under.Status == Done || under.Status == Restored:
		return c, errCarried
	case !pinned && v.Action.Weight() < lifecycle.Hold.Weight():
		return c, fmt.Errorf("it is %s and nothing about it waits for a decision: recheck has it looked at again", v.Phase)
	}
	if c.Status == Approved {
		c.Decision = c.free() // by itself, whatever becomes of its class
		return c, nil
	}
	under.Status = c.Status
	d, _ := under.on(Approves)
	c.Decision, c.Past, c.By = d.free(), under.Past, ""
	return c, nil
}

// ApproveWith is the case approved as one of its class's list, at that time. Only what the breaker holds is: what waits
// for another reason is decided one by one. False where it is not of that list.
func (c Case) ApproveWith(class string, at lifecycle.Instant) (Case, bool) {
	if !c.Breaks(class) {
		return c, false
	}
	d, ok := c.on(Approves)
	c.Decision = d.free()
	c.Class, c.ClassApproved = class, at
	return c, ok
}

// Breaks tells whether the breaker holds the case as one of this class.
func (c Case) Breaks(class string) bool {
	return c.Status == Held && c.Cause == ByBreaker && c.Class == class
}

// Release takes a hold off: an operator's own, after which what was found meanwhile counts, or the guard's, which
// declines the verdict. Another verdict, or the next phase, counts anew.
func (c Case) Release(v Verdict) (Case, error) {
	if c.Status == Pinned {
		c.By = ""
		return c.take(c.ID), nil
	}
	d, ok := c.on(Declines)
	if !ok {
		return c, fmt.Errorf("it is %s: no hold stands on it", c.At())
	}
	d = d.free()
	d.Verdict = v.name()
	c.Decision = d
	return c, nil
}

// Pin is the case that an operator holds, whatever is found, until it is released or approved.
func (c Case) Pin(by string) Case {
	if c.Status != Pinned {
		c = c.file()
		past := c.Past
		c.Past = nil
		for _, d := range past { // approvals end with the hold; a repetition that was approved leaves what was done
			switch {
			case d.Status != Approved:
				c.Past = append(c.Past, d)
			case d.DoneAt != 0:
				d = d.free()
				d.Status = Done
				c.Past = append(c.Past, d)
			}
		}
		c.Decision = Decision{ID: c.ID, Status: Pinned}
	}
	c.By = by
	return c
}

// Restore notes that the registry took the request with this key back.
func (c Case) Restore(key string) Case {
	id, _ := parse(key)
	if c.ID == id {
		if d, ok := c.on(Restores); ok {
			c.Decision = d
		}
		return c
	}
	c.Past = slices.Clone(c.Past)
	for i, p := range c.Past {
		if p.ID == id {
			c.Past[i], _ = p.on(Restores)
		}
	}
	return c
}

// Retry opens a decision that was carried out once more, under the next key. Whether doing it again can change
// anything is for the caller to see in the registry's answer.
func (c Case) Retry(v Verdict) (Case, error) {
	if v.Action.Weight() < lifecycle.Hold.Weight() {
		return c, fmt.Errorf("it is %s now: nothing is to be unverified", v.Phase)
	}
	if c.Status != Done && c.Status != Restored {
		return c, errNotDone
	}
	d, _ := c.on(Retries)
	d.Retries++
	c.Decision = d
	return c, nil
}

// parse takes a request's key apart.
func parse(key string) (ID, int) {
	id, number, _ := strings.Cut(key, retryMark)
	n, _ := strconv.Atoi(number) // 0 for the decision itself
	return ID(id), n
}

// Adopt is the case that an earlier version kept as the key of what was done, the verdict that was declined
// (decision/phase/reason), and the name of who holds the domain. Each may be empty.
func Adopt(done, declined, by string) (c Case) {
	if done != "" {
		id, retries := parse(done)
		c.Past = append(c.Past, Decision{ID: id, Status: Done, Retries: retries, DoneAt: 1})
	}
	if id, verdict, ok := strings.Cut(declined, "/"); ok && done == "" {
		c.Past = append(c.Past, Decision{ID: ID(id), Status: Declined, Verdict: verdict})
	}
	if by != "" {
		c.Status, c.By = Pinned, by
	}
	return c
}
