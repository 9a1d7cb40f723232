package lifecycle

// StateSchema is the version of State in storage and in messages.
const StateSchema = 1

// Delegated is what the zone directly above last said about a domain.
type Delegated string

// What a delegation can be.
const (
	DelegationUnknown Delegated = ""
	DelegationHome    Delegated = "home"   // delegated as known
	DelegationMoved   Delegated = "moved"  // delegated to other name servers than known
	DelegationParked  Delegated = "parked" // delegated to name servers known for parking or expiry pages
	DelegationGone    Delegated = "gone"   // NXDOMAIN
)

// Word is what the registry (RDAP) or the status API last said, reduced to one word.
type Word string

// The words.
const (
	WordNone          Word = ""
	WordRegistered    Word = "registered"
	WordOnHold        Word = "on hold"  // clientHold or serverHold: out of the zone
	WordInactive      Word = "inactive" // registered without name servers (not Domainr's word)
	WordAutoRenew     Word = "auto renew period"
	WordRestore       Word = "pending restore"
	WordRedemption    Word = "redemption period"
	WordPendingDelete Word = "pending delete"
	WordAbsent        Word = "not found"
	WordUndecided     Word = "undecided" // the status API's undelegated, unknown, and words we do not know; source.Registration.Undecided
)

// State is what the guard remembers of a domain: small, comparable, and enough to judge the next answer.
type State struct {
	Schema int     `json:"v"`
	Phase  Phase   `json:"ph"`
	Since  Instant `json:"ps,omitempty"` // first look that found this phase
	First  Instant `json:"f,omitempty"`  // first look at all

	// The delegation witness.
	Deleg      Delegated `json:"d,omitempty"`
	DelegAt    Instant   `json:"da,omitempty"` // newest answer
	DelegSince Instant   `json:"ds,omitempty"` // first of the uninterrupted answers that say Deleg
	NS         string    `json:"ns,omitempty"` // fingerprint of the answer
	Home       string    `json:"hn,omitempty"` // fingerprint of the name servers known as the holder's

	// The registry witness (RDAP).
	Reg       Word    `json:"r,omitempty"`
	RegAt     Instant `json:"ra,omitempty"`
	RegSince  Instant `json:"rs,omitempty"`
	RegServer string  `json:"rh,omitempty"` // host of the server that said it
	RegAuth   bool    `json:"rx,omitempty"` // IANA's bootstrap names that server

	Registered       Instant `json:"cr,omitempty"`
	Expires          Instant `json:"ex,omitempty"`
	RegistrarExpires Instant `json:"rex,omitempty"`
	Transferred      Instant `json:"tr,omitempty"`
	Registrar        string  `json:"rr,omitempty"`

	// The status API witness.
	Mkt      Word    `json:"m,omitempty"`
	MktAt    Instant `json:"ma,omitempty"`
	MktSince Instant `json:"ms,omitempty"`
	MktFine  bool    `json:"mp,omitempty"` // precise: the registry was asked

	// Milestones of the current lapse.
	LapseAt    Instant `json:"la,omitempty"` // first look that found the lapse
	Deleted    Instant `json:"dl,omitempty"` // first look that found it deleted
	Worst      Phase   `json:"lw,omitempty"` // the furthest phase of it that was seen; Released only if no deletion was
	GraceAt    Instant `json:"ga,omitempty"` // first look that found expiry passed and the delegation off
	Interim    Instant `json:"im,omitempty"` // delegation seen parked or gone after expiry
	Moved      Instant `json:"mv,omitempty"` // registration date seen to move to a later one
	ControlAt  Instant `json:"ca,omitempty"` // registrar or transfer date seen to change
	MailLapsed string  `json:"ml,omitempty"` // mail or name-server host's domain that lapsed

	Service Service    `json:"sv,omitzero"` // whether its own name servers serve it
	Control Continuity `json:"c,omitzero"`  // who controls it, and whether recovery is to be open

	NextRDAP Instant `json:"nr,omitempty"`
	Silent   int     `json:"q,omitempty"`  // how often the registry was asked in vain since its last answer
	NextMail Instant `json:"nm,omitempty"` // MX to be asked again, after a failure
	MailSet  string  `json:"mx,omitempty"` // fingerprint of the domains that mail depends on
	RetryAt  Instant `json:"ry,omitempty"` // look again after an answer that could not be believed
}

// NewState is the state of a domain that nobody looked at yet; baseline is when its first RDAP look is due.
func NewState(baseline Instant) State {
	return State{Schema: StateSchema, Phase: PhaseUnknown, NextRDAP: baseline}
}

// Trouble tells whether the domain needs a daily look by RDAP: the tripwire cannot see what happens to a
// name that is out of the zone, and a lapse must be followed.
func (s State) Trouble() bool {
	if s.Phase.lapsing() {
		return true
	}
	switch s.Reg {
	case WordOnHold, WordInactive, WordRestore, WordRedemption, WordPendingDelete, WordAbsent, WordUndecided:
		return true
	case WordNone, WordRegistered, WordAutoRenew:
	}
	return s.Deleg == DelegationGone || s.Deleg == DelegationParked && s.Home != ""
}

// LooksLost tells whether a domain is out of its zone, on a parking service's servers or on servers that do not have it, or
// in trouble otherwise: its registry is asked before the others'.
func (s State) LooksLost() bool {
	return s.Trouble() || s.Deleg == DelegationParked || s.Service.lame() && s.delegated()
}

// askedFirst tells whether a domain looks lost and nobody was asked about its registration yet.
func (s State) askedFirst() bool {
	return s.RegAt == 0 && s.MktAt == 0 && s.Silent == 0 && s.LooksLost()
}

// Changed tells whether next says anything that old did not: the daily look at a quiet domain, which only
// moves the time of its newest answer, is no change and costs no write. Where something is wrong, that time counts, but not
// each of the many looks of a day.
func Changed(old, next State) bool {
	closed := next.Control.Since != 0 && next.DelegAt.Since(next.Control.Since) < SixHourlyLooks
	if !closed && next.Control.Away == 0 { // which waits for all to be heard, in messages of their own
		old.Control.MXAt, next.Control.MXAt = 0, 0
	}
	if !closed && !next.Trouble() || old.DelegAt != 0 && next.DelegAt.Since(old.DelegAt) < repeated {
		old.DelegAt, next.DelegAt = 0, 0
	}
	return old != next
}

// News tells whether a witness or the phase says something else than before: then history gets an entry.
func News(old, next State) bool {
	return old.Phase != next.Phase || old.Deleg != next.Deleg || old.NS != next.NS || old.Reg != next.Reg ||
		old.Mkt != next.Mkt || old.Registered != next.Registered || old.Expires != next.Expires || old.Registrar != next.Registrar || old.Service.lame() != next.Service.lame()
}
