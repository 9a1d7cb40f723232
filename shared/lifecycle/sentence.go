package lifecycle

import (
	"fmt"
	"strings"

	"github.com/lapseguard/lapseguard/shared/source/nameserver"
)

// Sentence explains a verdict to a support agent: who said what when, from the state alone. The registry's words are
// given by their meaning (tld.txt); the evidence has them as they were sent. Of the verdict it needs phase and reason.
func Sentence(s State, v Verdict) string {
	parts := said(s)
	switch {
	case v.Phase == Grace && s.RegAt != 0 && max(passedBy(s.Expires, s.RegAt), passedBy(s.RegistrarExpires, s.RegAt)) != 0:
		parts = append(parts, fmt.Sprintf("it had expired on %s", max(passedBy(s.Expires, s.RegAt), passedBy(s.RegistrarExpires, s.RegAt))))
	case v.Reason == ReasonReviewHands && s.Interim != 0:
		parts = append(parts, fmt.Sprintf("after its expiry it had been parked or out of the zone on %s", s.Interim))
	case v.Reason == ReasonNewControl && s.ControlAt != 0:
		parts = append(parts, fmt.Sprintf("another registrar, or a transfer, was seen on %s", s.ControlAt))
	case v.Phase == ReRegistered && s.Registered != 0:
		parts = append(parts, fmt.Sprintf("the registration dates from %s", s.Registered))
	}
	if v.Phase == ReRegistered && s.LapseAt != 0 && s.Worst != "" {
		parts = append(parts, fmt.Sprintf("a lapse (%s) had been seen since %s", s.Worst, s.LapseAt))
	}
	if s.MailLapsed != "" && v.Reason == ReasonMailHost {
		parts = append(parts, fmt.Sprintf("its mail depends on %s, which lapsed", s.MailLapsed))
	}
	text := strings.Join(parts, "; ") + "."
	if len(parts) == 0 {
		text = "No source gave an answer yet."
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// GapSentence says since when and why control of a domain is not continuous, or that it is.
func GapSentence(s State) string {
	c := s.Control
	switch {
	case c.Since == 0 && c.Away != 0:
		return fmt.Sprintf("It is out of the zone since %s, for which its registry gives a reason, or is asked: recovery through its addresses stays open unless it comes back otherwise.", c.Away)
	case c.Since == 0:
		return "Control of it is continuous; recovery through its addresses is open."
	}
	text := fmt.Sprintf("Control of it is not continuous since %s (%s; all was well on %s): recovery through its addresses is closed.", c.Since, c.Gap, c.Until)
	if c.Giver != "" {
		text += fmt.Sprintf(" Nobody served it while whoever asked %s for the zone got it: its holder's sign-in opens it, and nothing that it shows.", c.Giver)
	}
	return text
}

// Unserved is what is to be known of a domain whose own name servers do not serve it, or did not while anybody could
// have claimed its zone; empty where nothing is.
func Unserved(s State) string {
	switch giver, lame := s.Lame(); {
	case lame && giver != "":
		return "no name server serves it: " + nameserver.ClaimAt(giver)
	case lame:
		return "no name server serves it"
	case s.Control.Giver != "":
		return fmt.Sprintf("no name server served it for a while: somebody may have claimed this zone at %s", s.Control.Giver)
	default:
		return ""
	}
}

// passedBy is the expiry if it had passed when the registry was asked, else 0.
func passedBy(expires, asked Instant) Instant {
	if expires > asked {
		return 0
	}
	return expires
}

// said is what each witness last said.
func said(s State) (parts []string) {
	if s.Reg != WordNone {
		parts = append(parts, fmt.Sprintf("the registry (%s) said `%s` on %s", s.RegServer, s.Reg, s.RegAt))
	}
	switch s.Deleg {
	case DelegationGone:
		parts = append(parts, fmt.Sprintf("the delegation was gone on %s (first seen gone %s)", s.DelegAt, s.DelegSince))
	case DelegationParked:
		parts = append(parts, fmt.Sprintf("the delegation led to parking name servers on %s (first seen %s)", s.DelegAt, s.DelegSince))
	case DelegationMoved:
		parts = append(parts, fmt.Sprintf("the delegation led to new name servers on %s (first seen %s)", s.DelegAt, s.DelegSince))
	case DelegationHome:
		parts = append(parts, fmt.Sprintf("it was delegated as known on %s", s.DelegAt))
	case DelegationUnknown:
	}
	if giver, lame := s.Lame(); lame {
		part := fmt.Sprintf("none of its name servers served it on %s (first seen %s)", s.Service.At, s.Service.Since)
		if giver != "" {
			part += ", and " + nameserver.ClaimAt(giver)
		}
		parts = append(parts, part)
	}
	if s.Mkt != WordNone {
		parts = append(parts, fmt.Sprintf("the status API said `%s` on %s", token(s.Mkt), s.MktAt))
	}
	return parts
}

// token is the status API's word for what it said (see marketWord).
func token(w Word) string {
	switch w {
	case WordRedemption:
		return "expiring"
	case WordPendingDelete:
		return "deleting"
	case WordAbsent:
		return "inactive"
	default:
		return string(w)
	}
}

// Meaning says what a verdict means for whoever holds an account with such an address: the sentence after Sentence.
// It is empty where all is well. Of the verdict it needs phase and reason; action and confidence, where given, say
// whether it is believed yet.
func Meaning(v Verdict) string {
	if v.Action == Confirm && v.Confidence != NoConfidence {
		return "A second look must agree before that is believed."
	}
	switch v.Reason {
	case ReasonGraceOnce, ReasonGraceTwice:
		return "Whoever held it can still renew it."
	case ReasonRestore:
		return "Whoever held it is getting it back."
	case ReasonDeleted, ReasonDeletedAlone, ReasonStatusDeleted, ReasonReleased:
		return map[Phase]string{
			Redemption:    "Whoever held it can still restore it; after that anyone can register it.",
			PendingDelete: "It will be released within days, and nobody can restore it.",
			Released:      "Anyone can register it.",
		}[v.Phase]
	case ReasonReRegistered:
		return "Mail to its addresses may reach somebody else."
	case ReasonReviewNew:
		return "It was registered after an address was verified: the holder may be another."
	case ReasonReviewHands:
		return "It may have been sold to somebody else."
	case ReasonNewControl:
		return "Most likely its holder moved it."
	case ReasonOutOfService:
		return "It is registered; that it is out of service is no lapse by itself."
	case ReasonStillThere, ReasonFreeButThere:
		return "These cannot both be right."
	case ReasonQuarantine:
		return "In this TLD that may hide a name which its holder can still get back."
	case ReasonUndescribed:
		return "This TLD's rules are not described, so a person decides."
	case ReasonOneWitness, ReasonUnknownSource:
		return "That is not enough to believe anything; it is asked again."
	default: // all is well, or the sentence says it already
		return ""
	}
}
