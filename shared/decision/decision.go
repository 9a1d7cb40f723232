// Package decision says what is to be done about a verdict, and what became of it: one transition table for the
// verdict, the breaker, the registry's answer, observe mode and the operator (README.md draws it). Everything in it is
// pure. When a hold ends is decided here and nowhere else.
package decision

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// Lever is what a decision is about to pull. Each has a case of its own for each domain.
type Lever string

// Unverify marks addresses unverified: final, but for a restore.
const Unverify Lever = "unverify"

// Status is where a decision stands.
type Status string

// The statuses.
const (
	Idle     Status = "idle"     // the verdict asks for nothing
	Pending  Status = "pending"  // to be put to the registry, within the breaker
	Reported Status = "reported" // pending, and observe mode said what it would do
	Held     Status = "held"     // a person must decide; Cause says who asks
	Approved Status = "approved" // a person approved: put to the registry on fresh evidence, beside the breaker's limits
	Declined Status = "declined" // a person declined this verdict; another one, or the next phase, counts anew
	Pinned   Status = "pinned"   // an operator holds the domain, whatever is found
	Done     Status = "done"     // the registry did it
	Restored Status = "restored" // it was taken back
)

// Statuses lists every status.
func Statuses() []Status {
	return []Status{Idle, Pending, Reported, Held, Approved, Declined, Pinned, Done, Restored}
}

// Cause is who asks a person about a held decision.
type Cause string

// The causes.
const (
	ByVerdict   Cause = "verdict"   // the evidence is not enough, or contradicts itself
	ByBreaker   Cause = "breaker"   // too many at once; the decision counts as pending for its class
	ByProtected Cause = "protected" // the domain is never acted on
	ByRegistry  Cause = "registry"  // the registry refused
)

// ID names one thing to be done once: a domain, and the stage of the lapse (or the new registration) that it is about.
// It is the key of the request too.
type ID string

// Of is the decision that a domain's state is about. Before and after the deletion are two: who approved, declined or
// carried out the one said nothing about the other.
func Of(name string, s lifecycle.State) ID {
	switch s.Phase {
	case lifecycle.ReRegistered:
		// Where the registry gives no date, the lapse before tells one new registration from the next.
		return ID(fmt.Sprintf("%s:re-registered:%d", name, cmp.Or(s.Registered, s.LapseAt)))
	case lifecycle.Redemption, lifecycle.PendingDelete, lifecycle.Released:
		return ID(fmt.Sprintf("%s:lapse:%d", name, s.LapseAt))
	default:
		return ID(fmt.Sprintf("%s:before-deletion:%d", name, s.LapseAt))
	}
}

// lapse is the lapse that two stages have in common; empty for a new registration, which is none.
func (id ID) lapse() string {
	for _, stage := range []string{":lapse:", ":before-deletion:"} {
		if name, at, ok := strings.Cut(string(id), stage); ok {
			return name + ":" + at
		}
	}
	return ""
}

// Decision is one decision and what became of it. The zero value is idle and about nothing.
type Decision struct {
	ID      ID     `json:"id,omitempty"`
	Status  Status `json:"st,omitempty"` // empty: Idle
	Cause   Cause  `json:"c,omitempty"`  // of a hold
	Verdict string `json:"y,omitempty"`  // that was held or declined: phase and reason
	Class   string `json:"cl,omitempty"` // the breaker's, of a hold, and of what was approved with its class
	// ClassApproved is when the whole class was approved with this domain in its list; 0: approved by itself, or not at all.
	ClassApproved lifecycle.Instant `json:"ca,omitempty"`
	Retries       int               `json:"rt,omitempty"` // how often an operator had it repeated
	Told          string            `json:"wd,omitempty"` // key of the request that observe mode reported
	DoneAt        lifecycle.Instant `json:"da,omitempty"`
	Kept          int               `json:"k,omitempty"` // addresses that the registry kept, as verified later
}

// retryMark stands between a decision and the number of its repetition.
const retryMark = ":retry:"

// Key is the key of the request to the registry. A repetition that an operator asked for has a key of its own: under a
// known key the registry answers what it answered before.
func (d Decision) Key() string {
	if d.Retries == 0 {
		return string(d.ID)
	}
	return string(d.ID) + retryMark + strconv.Itoa(d.Retries)
}

// Keys are the keys of every request about the decision so far, oldest first.
func (d Decision) Keys() []string {
	keys := []string{string(d.ID)}
	for n := range d.Retries {
		keys = append(keys, string(d.ID)+retryMark+strconv.Itoa(n+1))
	}
	return keys
}

// At is the status; the zero Decision is idle.
func (d Decision) At() Status { return cmp.Or(d.Status, Idle) }

// Open tells whether the decision is to be put to the registry, by the guard's own judgement or by a person's.
func (d Decision) Open() bool {
	return d.Status == Pending || d.Status == Reported || d.Status == Approved
}

// Counts tells whether the decision counts for its class as pending. What a person approved does not: who approves one
// domain must not stop the others.
func (d Decision) Counts() bool {
	return d.Status == Pending || d.Status == Reported || d.Status == Held && d.Cause == ByBreaker
}

// Schema is the version of Case in storage.
const Schema = 1

// maxPast bounds the earlier decisions that a case remembers; older ones are in the domain's history.
const maxPast = 16

// Case is what was decided about one domain with one lever: the present decision and those before it.
type Case struct {
	Schema int `json:"v"`
	Decision
	By   string     `json:"by,omitempty"`   // who holds the domain (Pinned)
	Past []Decision `json:"past,omitempty"` // newest first: other stages and lapses, and what a pin covers
}

// Done are the decisions that the registry carried out, newest first.
func (c Case) Done() (done []Decision) {
	for _, d := range append([]Decision{c.Decision}, c.Past...) {
		if d.DoneAt != 0 {
			done = append(done, d)
		}
	}
	return done
}

// file puts the present decision behind the others, where it says more than that something was asked for.
func (c Case) file() Case {
	d := c.Decision
	switch {
	case d.Status == Done, d.Status == Restored, d.Status == Approved, d.Status == Declined:
	case d.DoneAt != 0:
		d = d.free() // of a repetition that is not wanted any more, what was done stays
		d.Status = Done
	default:
		return c
	}
	c.Past = slices.Insert(slices.Clone(c.Past), 0, d)
	c.Past = c.Past[:min(len(c.Past), maxPast)]
	return c
}

// take makes id the present decision: as it was left, where it is known.
func (c Case) take(id ID) Case {
	c.Past = slices.Clone(c.Past)
	c.Decision = Decision{ID: id, Status: Idle}
	if i := slices.IndexFunc(c.Past, func(d Decision) bool { return d.ID == id }); i >= 0 {
		c.Decision = c.Past[i]
		c.Past = slices.Delete(c.Past, i, i+1)
	}
	return c
}
