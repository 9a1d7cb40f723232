package registry

// The call that closes and opens recovery. When it is made is decided in shared/lifecycle (continuity.go).

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// ReasonInterrupted is a reason to close recovery, never to unverify: the registration stands, or nothing is known of
// it, but the domain was out of service or changed control.
const ReasonInterrupted Reason = "domain_control_interrupted"

// RecoveryRequest asks the registry to close account recovery through the addresses at Domain and below it that were
// verified before Since, or to open it again. It has no key: the registry holds to the newest AsOf.
type RecoveryRequest struct {
	Domain  string   `json:"-"`       // in the path
	Desired Recovery `json:"desired"` // RecoveryClosed or RecoveryOpen
	// AsOf is when the guard knew. The registry refuses an older one than the last it accepted (IsOutdated).
	AsOf time.Time `json:"as_of"`
	// What follows up to Advice belongs to RecoveryClosed; an open may leave it out.

	// Since is the first look that found the newest gap, not after AsOf. A later one than before is a new gap.
	Since time.Time `json:"since,omitzero"`
	// ContinuousUntil is the last look at which all was well, not after Since; equal to it where there was none.
	ContinuousUntil time.Time `json:"continuous_until,omitzero"`
	// MaxAddresses is the most verified addresses that may be bound anew.
	MaxAddresses int      `json:"max_addresses,omitempty"`
	Reason       Reason   `json:"reason,omitempty"`
	Phase        string   `json:"phase,omitempty"`
	Evidence     []string `json:"evidence,omitzero"`
	// RenewableUntil is until when the holder can renew the domain; zero: not known.
	RenewableUntil time.Time `json:"renewable_until,omitzero"`
	Advice         Advice    `json:"advice,omitzero"`

	Run    string `json:"run,omitempty"` // the guard's run; may be empty
	DryRun bool   `json:"dry_run,omitempty"`
}

// RecoveryAnswer is the registry's answer to a RecoveryRequest. Changed counts the verified addresses that this very
// request bound or let go, 0 when it was asked again. Pending: send the same request again after RetryAfter.
type RecoveryAnswer struct {
	Answer
	// Closed is how many verified addresses are closed now (in a dry run: would be); -1: the registry does not say.
	Closed int `json:"closed"`
}

// SetRecovery sends a request; the same may be sent any number of times. Evidence is cut to the contract's lengths
// and masked on the way.
func (c *Client) SetRecovery(ctx context.Context, r RecoveryRequest) (RecoveryAnswer, error) {
	a, err := c.setRecovery(ctx, r)
	if err != nil {
		return RecoveryAnswer{}, fmt.Errorf("set recovery at %s: %w", clean(r.Domain, maxDomain), err)
	}
	return a, nil
}

func (c *Client) setRecovery(ctx context.Context, r RecoveryRequest) (RecoveryAnswer, error) {
	r = r.wire()
	if err := r.Check(); err != nil {
		return RecoveryAnswer{}, err
	}
	body, err := stdjson.Marshal(r)
	if err != nil {
		return RecoveryAnswer{}, fmt.Errorf("encode the request: %w", err)
	}
	out, err := c.do(ctx, call{
		method: http.MethodPut, path: "/v1/email-domains/" + url.PathEscape(r.Domain) + "/recovery", body: body, limit: maxBody,
	})
	switch {
	case err != nil:
		return RecoveryAnswer{}, err
	case out.status == http.StatusAccepted && r.DryRun:
		return RecoveryAnswer{}, badAnswer("a dry run was accepted for later")
	case out.status == http.StatusAccepted:
		wait := out.retryAfter
		if wait == 0 {
			wait = defaultWait
		}
		return RecoveryAnswer{Answer: Answer{Recovery: RecoveryUnknown, Pending: true, RetryAfter: wait}, Closed: -1}, nil
	}
	a, err := parseRecoveryAnswer(out.body)
	if err == nil && r.Desired == RecoveryClosed && a.Changed > r.MaxAddresses {
		c.cfg.Log.ErrorContext(ctx, "registry_exceeded_bound", "domain", r.Domain, "changed", a.Changed, "max_addresses", r.MaxAddresses)
	}
	return a, err
}

func parseRecoveryAnswer(data []byte) (RecoveryAnswer, error) {
	a, err := parseAnswer(data)
	if err != nil {
		return RecoveryAnswer{}, err
	}
	var wire struct {
		Closed *int `json:"closed"`
	}
	if err := json.Unmarshal(data, &wire); err != nil || wire.Closed != nil && *wire.Closed < 0 {
		return RecoveryAnswer{}, badAnswer("closed is no count")
	}
	if wire.Closed == nil {
		return RecoveryAnswer{Answer: a, Closed: -1}, nil
	}
	return RecoveryAnswer{Answer: a, Closed: *wire.Closed}, nil
}

// wire is the request as it is sent: an open without what belongs to a closing, times in UTC, evidence within the
// contract's lengths and without addresses.
func (r RecoveryRequest) wire() RecoveryRequest {
	if r.Desired == RecoveryOpen {
		return RecoveryRequest{Domain: r.Domain, Desired: r.Desired, AsOf: r.AsOf.UTC(), Run: r.Run, DryRun: r.DryRun}
	}
	for _, t := range []*time.Time{&r.AsOf, &r.Since, &r.ContinuousUntil, &r.RenewableUntil} {
		*t = t.UTC()
	}
	evidence := make([]string, 0, len(r.Evidence))
	for _, e := range r.Evidence[:min(len(r.Evidence), maxEvidence)] {
		evidence = append(evidence, clean(e, maxEvidenceText))
	}
	r.Evidence = evidence
	return r
}

// Check tells why a request does not fit the contract, nil when it does. The error's Kind is KindRefused.
func (r RecoveryRequest) Check() error {
	switch {
	case !validDomain(r.Domain):
		return invalidRequest("the domain is not one in lower case and A-labels, without a trailing dot")
	case r.Desired != RecoveryClosed && r.Desired != RecoveryOpen:
		return invalidRequest("desired is neither closed nor open")
	case r.AsOf.IsZero():
		return invalidRequest("no as_of: without it nobody could tell which of two requests is newer")
	case slices.ContainsFunc([]time.Time{r.AsOf, r.Since, r.ContinuousUntil, r.RenewableUntil}, strange):
		return invalidRequest("a time is before 1970 or after the year 9999")
	case len(r.Run) > maxRun:
		return invalidRequest("the run's id is too long")
	case hasAt(r.Run + r.Advice.Text):
		return invalidRequest("the run's id or the advice holds an @: no address crosses the API")
	case r.Desired == RecoveryOpen:
		return nil
	}
	return r.checkClosed()
}

func (r RecoveryRequest) checkClosed() error {
	switch {
	case r.Since.IsZero() || r.Since.After(r.AsOf):
		return invalidRequest("since is missing or after as_of")
	case r.ContinuousUntil.IsZero() || r.ContinuousUntil.After(r.Since):
		return invalidRequest("continuous_until is missing or after since")
	case r.MaxAddresses < 1:
		return invalidRequest(fmt.Sprintf("max_addresses is %d: at least 1", r.MaxAddresses))
	case !advicePattern().MatchString(string(r.Reason)): // a code as well
		return invalidRequest("the reason does not fit the contract")
	case !phasePattern().MatchString(r.Phase):
		return invalidRequest("the phase does not fit the contract")
	case !advicePattern().MatchString(r.Advice.Code) || r.Advice.Text == "" || len(r.Advice.Text) > maxAdvice:
		return invalidRequest("the advice's code or text does not fit the contract")
	}
	return nil
}

// strange times are set, and neither now nor in a domain's life.
func strange(t time.Time) bool {
	return !t.IsZero() && (t.Unix() < 0 || t.Year() > 9999)
}

// SetRecovery tells what the request would change, and changes nothing. As with Unverify, a registry that refuses
// makes no error; the answer then has CountsUnknown.
func (o *Observer) SetRecovery(ctx context.Context, r RecoveryRequest) (RecoveryAnswer, error) {
	r.DryRun = true
	a, err := o.client.SetRecovery(ctx, r)
	var invalid invalidRequest
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil || errors.As(err, &invalid):
		return RecoveryAnswer{}, err
	}
	o.client.cfg.Log.WarnContext(ctx, "registry_dry_run_failed", "domain", r.Domain, "kind", string(Kind(err)), "error", err)
	return RecoveryAnswer{Answer: Answer{Recovery: RecoveryUnknown, CountsUnknown: true}, Closed: -1}, nil
}
