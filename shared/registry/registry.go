// Package registry is the client of the registry's admin API (infra/registry-admin.openapi.yaml): list the
// e-mail domains in use, unverify a domain's addresses, restore what was unverified, close recovery and open it
// again. No address crosses it.
//
// A Client never follows a redirect, never echoes a body, and repeats a call only once, with a fresh token, after
// a 401. Everything else is the caller's to repeat: every change has a key, so that asking again is harmless.
// Kind says of an error what to do about it.
package registry

import "time"

// HostCount is one e-mail host in use, as the registry counts it.
type HostCount struct {
	Host      string // the part after the @, as stored by the registry
	Addresses int    // verified addresses; 0 (only with changed_since) says that the host left
	// Oldest and Newest verification times, UTC; zero means unknown.
	Oldest, Newest time.Time
	// Closed are the host's addresses through which recovery is closed by SetRecovery; zero where there is none.
	// They may be all that is left: Addresses is 0 then in a list of hosts in use too.
	Closed Closed
}

// Closed counts a host's addresses through which recovery is closed.
type Closed struct {
	Addresses int // verified or not
	// Since is the newest for which any of them is bound, ContinuousUntil the oldest of any of them (UTC).
	Since, ContinuousUntil time.Time
	// Reported accounts may have been taken: a credential was set by mail through a closed address at its
	// ContinuousUntil or later.
	Reported int
}

// Page is a page of the list, ascending by host (byte order).
type Page struct {
	Hosts    []HostCount
	Next     string // cursor for the next page: the last host; empty on the last page
	Complete bool   // only on the last page: the list is whole
	// AsOf is when the counts were true; a later changed_since starts there.
	AsOf time.Time
	// Recovery and MailIsSignIn stand on the first page: whether the registry offers SetRecovery, and whether a mail
	// alone signs in there.
	Recovery, MailIsSignIn bool
}

// Reason is the code that goes to the registry with an unverify.
type Reason string

// Reasons of an unverify.
const (
	ReasonLapsed       Reason = "domain_lapsed"
	ReasonReRegistered Reason = "domain_re_registered"
	ReasonGrace        Reason = "domain_in_grace"
	ReasonCanary       Reason = "canary"
)

// Request asks the registry to unverify every address at Domain and below it that was verified before
// VerifiedBefore. It is frozen when the decision is taken: a retry is the same request with the same key.
type Request struct {
	Domain         string    `json:"-"` // in the path
	VerifiedBefore time.Time `json:"verified_before"`
	MaxAddresses   int       `json:"max_addresses"`
	Reason         Reason    `json:"reason"`
	Phase          string    `json:"phase"`
	Evidence       []string  `json:"evidence"`
	ExposedSince   time.Time `json:"exposed_since,omitzero"`
	Run            string    `json:"run"`
	Key            string    `json:"key,omitempty"` // empty in a dry run
	DryRun         bool      `json:"dry_run,omitempty"`
	Advice         Advice    `json:"advice"`
}

// Advice is what the account holder should be told, by another address or in the site.
type Advice struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Recovery says what the change is worth: whether the address can still be used to recover the account.
type Recovery string

// Recovery values (the effect, not the flag).
const (
	RecoveryClosed  Recovery = "closed"
	RecoveryOpen    Recovery = "open"
	RecoveryUnknown Recovery = "unknown"
)

// Answer is the registry's answer to a Request.
type Answer struct {
	Changed      int      `json:"changed"`
	AlreadyUnset int      `json:"already_unverified"`
	KeptLater    int      `json:"kept_verified_later"`
	Recovery     Recovery `json:"recovery"`
	// CountsUnknown: nobody counted, the three numbers say nothing. Only an Observer answers so.
	CountsUnknown bool `json:"counts_unknown,omitempty"`
	// Pending: the registry accepted the work (202) and has not finished; ask again with the same key
	// after RetryAfter.
	Pending    bool          `json:"-"`
	RetryAfter time.Duration `json:"-"`
}

// Restored is the registry's answer to a restore.
type Restored struct {
	Restored int `json:"restored"`
	Kept     int `json:"kept"` // changed by that call but meanwhile changed again: left alone
}
