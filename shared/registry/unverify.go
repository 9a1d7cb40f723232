package registry

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	maxEvidence     = 32   // entries
	maxEvidenceText = 2000 // bytes of one
	maxRun          = 100
	maxAdvice       = 1000
	maxDomain       = 253
	maxKey          = 320
	// defaultWait is the pause after a 202 that names none.
	defaultWait = time.Minute
)

// The contract's patterns, compiled when first needed: a cold start does not wait for them.
var (
	domainPattern = pattern(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	keyPattern    = pattern(`^[A-Za-z0-9._:~-]+$`)
	phasePattern  = pattern(`^[a-z][a-z -]{0,63}$`)
	advicePattern = pattern(`^[a-z][a-z0-9_]{0,63}$`)
)

func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

type wireAnswer struct {
	Changed  *int     `json:"changed"`
	Already  *int     `json:"already_unverified"`
	Kept     *int     `json:"kept_verified_later"`
	Recovery Recovery `json:"recovery"`
}

// Unverify sends a request. The same request may be sent any number of times: what was done under its key is
// answered, not done again. Evidence is cut to the contract's lengths and masked on the way, always alike.
// Answer.Pending means accepted and not finished: send the same request again after Answer.RetryAfter.
func (c *Client) Unverify(ctx context.Context, r Request) (Answer, error) {
	a, err := c.unverify(ctx, r)
	if err != nil {
		return Answer{}, fmt.Errorf("unverify addresses at %s: %w", clean(r.Domain, maxDomain), err)
	}
	return a, nil
}

func (c *Client) unverify(ctx context.Context, r Request) (Answer, error) {
	r = r.wire()
	if err := r.Check(); err != nil {
		return Answer{}, err
	}
	body, err := stdjson.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("encode the request: %w", err)
	}
	out, err := c.do(ctx, call{
		method: http.MethodPost, path: "/v1/email-domains/" + url.PathEscape(r.Domain) + "/unverify", body: body, limit: maxBody,
	})
	switch {
	case err != nil:
		return Answer{}, err
	case out.status == http.StatusAccepted && r.DryRun:
		return Answer{}, badAnswer("a dry run was accepted for later")
	case out.status == http.StatusAccepted:
		wait := out.retryAfter
		if wait == 0 {
			wait = defaultWait
		}
		return Answer{Recovery: RecoveryUnknown, Pending: true, RetryAfter: wait}, nil
	}
	a, err := parseAnswer(out.body)
	if err == nil && a.Changed > r.MaxAddresses {
		// It is done, and must be recorded; but somebody has to hear that the bound does not hold.
		c.cfg.Log.ErrorContext(ctx, "registry_exceeded_bound", "domain", r.Domain, "key", r.Key, "changed", a.Changed, "max_addresses", r.MaxAddresses)
	}
	return a, err
}

func parseAnswer(data []byte) (Answer, error) {
	var wire wireAnswer
	if err := json.Unmarshal(data, &wire); err != nil {
		return Answer{}, badAnswer("it is not the JSON that the contract describes") // the error quotes the body
	}
	for _, n := range []*int{wire.Changed, wire.Already, wire.Kept} {
		if n == nil || *n < 0 {
			return Answer{}, badAnswer("a count is missing or negative")
		}
		*n = min(*n, MaxAddresses) // it is done, and must be recorded, whatever it counts
	}
	a := Answer{Changed: *wire.Changed, AlreadyUnset: *wire.Already, KeptLater: *wire.Kept, Recovery: wire.Recovery}
	if a.Recovery != RecoveryClosed && a.Recovery != RecoveryOpen {
		a.Recovery = RecoveryUnknown
	}
	return a, nil
}

// Restore takes back what was done under key: addresses that it changed and that are still unverified for that
// reason are verified again. Asked again it gives the same answer.
func (c *Client) Restore(ctx context.Context, key string) (Restored, error) {
	r, err := c.restore(ctx, key)
	if err != nil {
		return Restored{}, fmt.Errorf("restore %q: %w", clean(key, maxKey), err)
	}
	return r, nil
}

func (c *Client) restore(ctx context.Context, key string) (Restored, error) {
	if !ValidKey(key) {
		return Restored{}, invalidRequest("the key does not fit the contract")
	}
	out, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/unverifications/" + url.PathEscape(key) + "/restore", limit: maxBody})
	if err != nil {
		return Restored{}, err
	}
	if out.status == http.StatusAccepted {
		return Restored{}, &Problem{
			Status: out.status, Type: TypeInProgress, Title: "accepted, not finished", Detail: "ask again later", RetryAfter: out.retryAfter,
		}
	}
	var wire struct {
		Restored *int `json:"restored"`
		Kept     *int `json:"kept"`
	}
	if err := json.Unmarshal(out.body, &wire); err != nil {
		return Restored{}, badAnswer("it is not the JSON that the contract describes")
	}
	if wire.Restored == nil || wire.Kept == nil || *wire.Restored < 0 || *wire.Kept < 0 {
		return Restored{}, badAnswer("a count is missing or negative")
	}
	return Restored{Restored: min(*wire.Restored, MaxAddresses), Kept: min(*wire.Kept, MaxAddresses)}, nil
}

// wire is the request as it is sent: times in UTC, evidence within the contract's lengths and without addresses.
func (r Request) wire() Request {
	r.VerifiedBefore, r.ExposedSince = r.VerifiedBefore.UTC(), r.ExposedSince.UTC()
	evidence := make([]string, 0, len(r.Evidence))
	for _, e := range r.Evidence[:min(len(r.Evidence), maxEvidence)] {
		evidence = append(evidence, clean(e, maxEvidenceText))
	}
	r.Evidence = evidence
	return r
}

// Check tells why a request does not fit the contract, nil when it does. The error's Kind is KindRefused.
func (r Request) Check() error {
	switch {
	case !validDomain(r.Domain):
		return invalidRequest("the domain is not one in lower case and A-labels, without a trailing dot")
	case r.VerifiedBefore.IsZero():
		return invalidRequest("no verified_before: without it everything would be unverified")
	case r.MaxAddresses < 1:
		return invalidRequest(fmt.Sprintf("max_addresses is %d: at least 1", r.MaxAddresses))
	case !slices.Contains(Reasons(), r.Reason):
		return invalidRequest("the reason is none of the contract's")
	case !phasePattern().MatchString(r.Phase):
		return invalidRequest("the phase does not fit the contract")
	case r.Run == "" || len(r.Run) > maxRun:
		return invalidRequest("the run's id is missing or too long")
	case r.DryRun && r.Key != "":
		return invalidRequest("a dry run with a key")
	case !r.DryRun && !ValidKey(r.Key):
		return invalidRequest("the key does not fit the contract")
	case !advicePattern().MatchString(r.Advice.Code) || r.Advice.Text == "" || len(r.Advice.Text) > maxAdvice:
		return invalidRequest("the advice's code or text does not fit the contract")
	case hasAt(r.Run + r.Advice.Text):
		return invalidRequest("the run's id or the advice holds an @: no address crosses the API")
	}
	return nil
}

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{ReasonLapsed, ReasonReRegistered, ReasonGrace, ReasonCanary}
}

func validDomain(s string) bool { return len(s) <= maxDomain && domainPattern().MatchString(s) }

// ValidKey tells whether a key fits the contract.
func ValidKey(s string) bool { return len(s) <= maxKey && keyPattern().MatchString(s) }
