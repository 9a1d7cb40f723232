package lifecycle

import (
	"fmt"
	"time"
)

// Next says when a domain is to be looked at next beyond the daily question to its zone, and why, in a sentence
// for a person. It is a pure function: the same state, facts and time give the same answer. A time that is not
// after now means that the look is due; 0 means that nothing is known to be due. What a verdict asked for in
// Verdict.Next is found again from the state.
func Next(s State, f Facts, now Instant) (Instant, string) {
	at, why := nextLook(s, f)
	switch {
	case at == 0:
		return 0, "The zone is asked daily; " + why + "."
	case at <= now:
		return at, fmt.Sprintf("Due since %s: %s.", at, why)
	default:
		return at, fmt.Sprintf("Due on %s: %s. The zone is asked daily besides.", at, why)
	}
}

// nextLook takes the rules in the order of their urgency.
func nextLook(s State, f Facts) (Instant, string) {
	heard := max(s.DelegAt, s.RegAt, s.MktAt)
	asked := "the registry is asked"
	if f.authority() == AuthorityNone {
		asked = "no registry can be asked, so the status API is"
	}
	switch {
	case heard == 0 && s.RetryAt == 0:
		return s.NextRDAP, "nobody looked at it yet; first looks are spread over days, and this is its turn"
	case s.RetryAt != 0:
		return s.RetryAt, "the last look gave no answer that can be believed, or only one witness without authority; asked again then"
	}
	if v := (judge{s: s, f: f, now: heard}).decide(); v.Action == Confirm {
		return v.Next, fmt.Sprintf("a second look must agree (%s)", v.Reason)
	}
	if s.askedFirst() {
		return min(s.NextRDAP, heard), asked + " before those that look well, for the first time"
	}
	if s.Service.lame() && s.delegated() {
		return s.Service.At.Add(RetryLook), "its own name servers, which did not serve it, are asked again"
	}
	switch at := s.openingDue(); {
	case s.Silent > 0:
		return s.NextRDAP, fmt.Sprintf("the registry was asked %d times in vain; longer is waited each time, up to a week", s.Silent)
	case at != 0:
		return min(at, s.NextRDAP), asked + ", because the domain is back on its name servers and recovery opens when nothing objects"
	case s.Trouble():
		every := map[bool]string{true: "daily", false: "weekly"}[s.pause() == Daily]
		return min(daily(s), s.NextRDAP), fmt.Sprintf("%s %s, because %s", asked, every, trouble(s))
	case f.TLD.blind() && (nearExpiry(s.Expires, s.RegAt) || nearExpiry(s.RegistrarExpires, s.RegAt)):
		return s.NextRDAP, asked + " weekly within 50 days of an expiry or its anniversary"
	default:
		pause := quietPause(s, f.TLD, max(s.RegAt, s.MktAt))
		return s.NextRDAP, fmt.Sprintf("%s every %d days while all is quiet", asked, (pause+12*time.Hour)/(24*time.Hour))
	}
}

// daily is when the daily question to the registry is due again.
func daily(s State) Instant {
	if s.RegAt == 0 {
		return s.NextRDAP
	}
	return s.RegAt.Add(s.pause())
}

// trouble says what Trouble found.
func trouble(s State) string {
	switch {
	case s.Phase.lapsing():
		return fmt.Sprintf("the phase is %s", s.Phase)
	case s.Deleg == DelegationGone:
		return "it is out of its zone, where the tripwire is blind"
	case s.Deleg == DelegationParked:
		return "its name servers are a parking service's"
	default:
		return fmt.Sprintf("the registry said %q", s.Reg)
	}
}
