package applier

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/lapseguard/lapseguard/shared/records"
)

// An operator's actions. Each is an entry in the domain's (or the class's) history: when, who, which invocation.
const (
	actApprove = "approve" // a hold, or a whole class
	actRevoke  = "revoke"  // the approval of a class
	actTrust   = "trust"   // ends the doubt about a class
	actUnhold  = "unhold"  // a hold: the verdict is declined
	actHold    = "hold"    // a domain: never acted on until its hold is taken off or approved
	actRecheck = "recheck"
	actRetry   = "retry" // an unverify that was carried out and yet protects nobody, or was taken back
	actRestore = "restore"
	actAccept  = "accept" // the registry's list, although it lost many hosts
	actClose   = "close"  // account recovery through a domain's addresses
	actOpen    = "open"   // it again, at a domain or everywhere
)

// maxBy bounds a stated name, and maxWhy a stated reason, in bytes.
const (
	maxBy  = 100
	maxWhy = 300
)

// word is what an operator asks for, see Event.
type word struct {
	action, domain, decision, by, why, class string
	all, ask                                 bool
	count, perDay                            int
	since, until                             time.Time
}

// entry is an operator's action as history keeps it.
func (p *Parts) entry(ctx context.Context, w word, d records.Domain, text string) records.Entry {
	return records.Entry{
		At: p.Now().UTC(), What: w.action, By: w.by, After: d.State.Phase, Action: d.Action, Reason: d.Reason, Sentence: text, Request: invocation(ctx),
	}
}

// invocation is the id of the Lambda invocation, by which CloudTrail and the log know it; empty on one machine.
func invocation(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// logAction is the log event of an operator's action.
func (p *Parts) logAction(ctx context.Context, w word, domain, class string) {
	p.Log.InfoContext(ctx, "operator", "action", w.action, "domain", domain, "class", class, "by", w.by, "request", invocation(ctx))
}

// check: a decision without a name is nobody's, and no address goes into the table.
func check(field, what, said string, most int) error {
	switch {
	case strings.TrimSpace(said) == "":
		return fmt.Errorf("no %s is given: say it (%s)", what, field)
	case len(said) > most:
		return fmt.Errorf("%s is longer than %d bytes: state a %s", field, most, what)
	case strings.ContainsFunc(said, func(r rune) bool { return r == '@' || !unicode.IsPrint(r) }):
		return fmt.Errorf("%s holds an @ or a sign that cannot be printed: state a %s, not an address", field, what)
	}
	return nil
}
