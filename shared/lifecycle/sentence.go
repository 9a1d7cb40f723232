package lifecycle

import (
	"fmt"
	"strings"
)

// Sentence explains a verdict to a support agent: who said what when, from the state alone.
func Sentence(s State, v Verdict) string {
	var parts []string
	if s.Reg != WordNone {
		parts = append(parts, fmt.Sprintf("The registry (%s) said `%s` on %s", s.RegServer, s.Reg, s.RegAt))
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
	if s.Mkt != WordNone {
		parts = append(parts, fmt.Sprintf("the status API said `%s` on %s", s.Mkt, s.MktAt))
	}
	if v.Phase == ReRegistered && s.Registered != 0 {
		parts = append(parts, fmt.Sprintf("the registration dates from %s", s.Registered))
	}
	if s.MailLapsed != "" && v.Reason == ReasonMailHost {
		parts = append(parts, fmt.Sprintf("its mail depends on %s, which lapsed", s.MailLapsed))
	}
	if len(parts) == 0 {
		return "No source gave an answer yet."
	}
	text := strings.Join(parts, "; ") + "."
	return strings.ToUpper(text[:1]) + text[1:]
}
