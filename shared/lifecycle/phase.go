// Package lifecycle decides where a domain stands between registration and loss, from what witnesses said.
// Everything in it is pure: state, observations, facts and the time go in, a new state and a verdict come out.
package lifecycle

import (
	"math"
	"time"
)

// Phase is where a registrable domain stands. The words are used in code, state, JSON and reports alike.
type Phase string

// The phases.
const (
	Active        Phase = "active"
	Grace         Phase = "grace"          // expired, taken out of service or parked, the holder can still renew
	Redemption    Phase = "redemption"     // deleted, the holder can still restore (RFC 3915)
	PendingDelete Phase = "pending delete" // to be released within days, nobody can restore
	Released      Phase = "released"       // free: anyone can register it
	ReRegistered  Phase = "re-registered"  // registered anew after the addresses were verified
	ChangedHands  Phase = "changed hands"  // never released, but under new control
	PhaseUnknown  Phase = "unknown"        // nothing that can be believed was learned yet
)

// Phases lists every phase in order of rising risk, with unknown first.
func Phases() []Phase {
	return []Phase{PhaseUnknown, Active, Grace, Redemption, PendingDelete, Released, ChangedHands, ReRegistered}
}

// Risk orders phases: a higher number is nearer to, or beyond, the loss of the domain.
func (p Phase) Risk() int {
	for i, q := range Phases() {
		if p == q {
			return i
		}
	}
	return 0
}

// lapsing are the phases of one lapse, before anyone else can own the name or on its release.
func (p Phase) lapsing() bool {
	return p == Grace || p == Redemption || p == PendingDelete || p == Released
}

// deleted are the phases of a lapse after the deletion.
func (p Phase) deleted() bool { return p == Redemption || p == PendingDelete || p == Released }

// Action is what a verdict asks for.
type Action string

// The actions, in order of rising weight.
const (
	None     Action = "none"
	Watch    Action = "watch"    // look at it daily, nobody needs to decide
	Confirm  Action = "confirm"  // a second look is needed before anything is believed
	Hold     Action = "hold"     // a person decides
	Unverify Action = "unverify" // mark the addresses unverified
)

// Weight orders actions.
func (a Action) Weight() int {
	for i, b := range []Action{None, Watch, Confirm, Hold, Unverify} {
		if a == b {
			return i
		}
	}
	return 0
}

// Confidence says how much the witnesses behind a verdict are worth together.
type Confidence string

// The confidences.
const (
	NoConfidence  Confidence = "none"          // nothing that can be believed
	Low           Confidence = "low"           // one witness, or a sign with innocent explanations
	Medium        Confidence = "medium"        // one authority twice, or two witnesses of which one is no authority
	High          Confidence = "high"          // the registry's word and an independent witness agree
	Contradiction Confidence = "contradiction" // two witnesses that cannot both be right
)

// Reason is the named value behind a verdict: one for each row of the decision table.
type Reason string

// Reasons.
const (
	ReasonDelegated     Reason = "registered and delegated"
	ReasonRegistered    Reason = "registered"
	ReasonDelegatedOnly Reason = "delegated, registry not asked yet"
	ReasonSilent        Reason = "delegated, the registry does not answer"
	ReasonAutoRenew     Reason = "auto-renewed, delegation unchanged"
	ReasonOutOfService  Reason = "registered but out of service"
	ReasonUnknownSource Reason = "a source gave no answer that can be believed"
	ReasonOneWitness    Reason = "one witness without authority"
	ReasonGraceOnce     Reason = "expired and out of service, seen once"
	ReasonGraceTwice    Reason = "expired and out of service, seen twice"
	ReasonRestore       Reason = "pending restore"
	ReasonDeleted       Reason = "deleted, by the registry and a second witness"
	ReasonDeletedAlone  Reason = "deleted, by the registry's word alone"
	ReasonStillThere    Reason = "deleted by the registry's word, yet still delegated"
	ReasonStatusDeleted Reason = "deleted by the status API, and gone from DNS"
	ReasonReleased      Reason = "released"
	ReasonFreeButThere  Reason = "not registered by the registry's word, yet still delegated"
	ReasonReRegistered  Reason = "registered again after a lapse we saw"
	ReasonReviewNew     Reason = "registered after the verification: review account"
	ReasonReviewHands   Reason = "changed hands after an interim: review account"
	ReasonNewControl    Reason = "new control without an interim"
	ReasonMailHost      Reason = "mail host lapsed"
	ReasonQuarantine    Reason = "not found, which may hide a name that its holder can get back"
	ReasonUndescribed   Reason = "the TLD's rules are not described: a person decides"
	ReasonNothingYet    Reason = "not looked at yet"
)

// Instant is a time in whole seconds since 1970 UTC; zero is unknown. State holds Instants so that it stays
// small when stored and comparable with ==.
type Instant int64

// At turns a time into an Instant; the zero time becomes 0.
func At(t time.Time) Instant {
	if t.IsZero() {
		return 0
	}
	return Instant(t.Unix())
}

// Time is the Instant as a UTC time; 0 becomes the zero time.
func (i Instant) Time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.Unix(int64(i), 0).UTC()
}

// Add moves an Instant; an unknown one stays unknown.
func (i Instant) Add(d time.Duration) Instant {
	if i == 0 {
		return 0
	}
	return i + Instant(d/time.Second)
}

// Since is the time from j to i; zero when either is unknown. Beyond what a Duration holds (292 years; registries
// write years like 9999) it is the longest.
func (i Instant) Since(j Instant) time.Duration {
	const longest = Instant(math.MaxInt64 / time.Second)
	d := i - j
	switch {
	case i == 0 || j == 0:
		return 0
	case i > j && (d < 0 || d > longest):
		return math.MaxInt64
	case i < j && (d > 0 || d < -longest):
		return math.MinInt64
	default:
		return time.Duration(d) * time.Second
	}
}

// String is RFC 3339 to the minute in UTC, as evidence sentences use it.
func (i Instant) String() string {
	if i == 0 {
		return "unknown"
	}
	return i.Time().Format("2006-01-02 15:04 UTC")
}
