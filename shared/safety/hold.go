package safety

// What a hold tells the person who decides. When one ends is decided in shared/decision (hold.go).

import (
	"slices"
	"time"
)

// StaleHold is how long a hold waits for a decision before it is reported as stale. It never expires.
const StaleHold = 3 * 24 * time.Hour

// MaxAffected bounds Hold.Affected: a mail host may carry the mail of many domains.
const MaxAffected = 100

// WhyProtected is why a protected domain is held. No approval has it acted on.
const WhyProtected = "protected domain: never acted on"

// Hold is a decision that waits for a person: what about, why, and what it rests on. It holds no address.
type Hold struct {
	Domain     string    `json:"domain"`
	Why        string    `json:"why"`    // why a person is asked, and what to decide
	Reason     string    `json:"reason"` // the verdict's (lifecycle.Reason)
	Phase      string    `json:"phase"`
	Action     string    `json:"action"`
	Confidence string    `json:"confidence"`
	Sentence   string    `json:"sentence"` // the evidence
	Since      time.Time `json:"since"`    // first held, UTC
	Class      string    `json:"class"`    // the breaker's
	DecisionID string    `json:"decision"`
	Addresses  int       `json:"addresses"` // verified addresses at the domain

	Breaker bool `json:"breaker,omitempty"` // of a class that the breaker holds as a whole: one decision, however many domains

	Refused bool `json:"refused,omitempty"` // the registry said no; it is asked again once a person approves

	Pinned bool `json:"pinned,omitempty"` // by an operator, on purpose: it waits for nobody

	ApprovedBy string    `json:"approved_by,omitempty"`
	ApprovedAt time.Time `json:"approved_at,omitzero"`

	// Affected are domains that depend on this one (their mail goes through it): at most MaxAffected, sorted.
	Affected []string `json:"affected,omitempty"`
}

// Stale tells whether the hold has waited for a decision for longer than StaleHold.
func (h Hold) Stale(now time.Time) bool {
	return h.ApprovedAt.IsZero() && now.Sub(h.Since) > StaleHold
}

// Affecting is the hold with domains that depend on it: sorted, unique, at most MaxAffected.
func (h Hold) Affecting(domains []string) Hold {
	all := slices.Clone(domains)
	slices.Sort(all)
	all = slices.Compact(all)
	h.Affected = all[:min(len(all), MaxAffected)]
	return h
}
