package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// The documented types of a Problem.
const (
	TypeMalformed     = "urn:lapseguard:problem:malformed-request"
	TypeUnauthorized  = "urn:lapseguard:problem:unauthorized"
	TypeForbidden     = "urn:lapseguard:problem:forbidden"
	TypeUnknownKey    = "urn:lapseguard:problem:unknown-key"
	TypeKeyReused     = "urn:lapseguard:problem:key-reused"
	TypeRestored      = "urn:lapseguard:problem:restored"
	TypeInProgress    = "urn:lapseguard:problem:in-progress"
	TypeOutdated      = "urn:lapseguard:problem:outdated"
	TypePublicSuffix  = "urn:lapseguard:problem:public-suffix"
	TypeTooMany       = "urn:lapseguard:problem:too-many-addresses"
	typeNothingToSay  = "about:blank"
	maxTitle, maxText = 200, 500 // bytes that are kept of a problem's words
)

// ErrorKind says what to do about an error. The set is closed.
type ErrorKind string

// The kinds.
const (
	// KindNone: no error.
	KindNone ErrorKind = ""
	// KindRetryable: ask again later, with the same key. The work may have been done.
	KindRetryable ErrorKind = "retryable"
	// KindConflict: the key belongs to another request, or was taken back. A person decides.
	KindConflict ErrorKind = "conflict"
	// KindRefused: the registry will not do this, or the request is not sound. A person decides. Only a type that
	// the contract names, at the status that it names, is the registry's word: whatever stands before a registry
	// has the same statuses, and a plain 404, 409 or 422 of a gateway is retryable.
	KindRefused ErrorKind = "refused"
	// KindUnauthorized: the token, read afresh, does not open the API. Nothing was done; asking again helps
	// once the token is right.
	KindUnauthorized ErrorKind = "unauthorized"
)

// Kind classifies an error of a Client. An error of unknown origin is retryable: every change has a key.
func Kind(err error) ErrorKind {
	var p *Problem
	var invalid invalidRequest
	var bad badToken
	switch {
	case err == nil:
		return KindNone
	case errors.As(err, &invalid):
		return KindRefused
	case errors.As(err, &bad):
		return KindUnauthorized
	case errors.As(err, &p):
		return p.kind()
	default:
		return KindRetryable
	}
}

// IsOutdated tells of an error of SetRecovery whether the registry had accepted a state with a newer as_of: nothing
// was changed, and asking again is in vain; whoever is newer decides. Its Kind is KindConflict.
func IsOutdated(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == http.StatusConflict && p.Type == TypeOutdated
}

// IsTooMany tells of an error whether more addresses would have changed than max_addresses allowed.
func IsTooMany(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == http.StatusUnprocessableEntity && p.Type == TypeTooMany
}

// Problem is an answer other than success (RFC 9457). Its words are the registry's, cut and masked; where it
// sent none, the status's own.
type Problem struct {
	Status              int
	Type, Title, Detail string
	RetryAfter          time.Duration // 0: not said
}

// Error gives status and words.
func (p *Problem) Error() string {
	text := fmt.Sprintf("the registry answered %d %s", p.Status, p.Title)
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.Type != typeNothingToSay {
		text += " (" + p.Type + ")"
	}
	return text
}

func (p *Problem) kind() ErrorKind {
	switch s := p.Status; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return KindUnauthorized
	case !p.documented():
		return KindRetryable
	case p.Type == TypeInProgress:
		return KindRetryable
	case s == http.StatusConflict:
		return KindConflict
	default:
		return KindRefused
	}
}

// documented tells whether the contract names this type at this status.
func (p *Problem) documented() bool {
	switch p.Type {
	case TypeMalformed:
		return p.Status == http.StatusBadRequest || p.Status == http.StatusRequestEntityTooLarge || p.Status == http.StatusUnsupportedMediaType
	case TypeUnknownKey:
		return p.Status == http.StatusNotFound
	case TypeKeyReused, TypeRestored, TypeInProgress, TypeOutdated:
		return p.Status == http.StatusConflict
	case TypePublicSuffix, TypeTooMany:
		return p.Status == http.StatusUnprocessableEntity
	default:
		return false
	}
}

// NothingDone tells whether an error of Unverify proves that the registry changed nothing with this call. What an
// earlier call with the same key may have done it does not tell: whoever sent the request before, and got no
// answer, does not have the key back. A 409 proves the contrary: something was done under the key.
func NothingDone(err error) bool {
	var p *Problem
	var invalid invalidRequest
	switch {
	case errors.As(err, &invalid):
		return true
	case errors.As(err, &p):
		return p.documented() && slices.Contains([]string{TypeMalformed, TypePublicSuffix, TypeTooMany}, p.Type)
	default:
		return false
	}
}

// readProblem never fails: what cannot be read as a problem is one without words of its own.
func readProblem(resp *http.Response, wait time.Duration, secrets []string) *Problem {
	p := &Problem{Status: resp.StatusCode, Type: typeNothingToSay, Title: http.StatusText(resp.StatusCode), RetryAfter: wait}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/problem+json" {
		return p
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return p
	}
	var words struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(data, &words); err != nil {
		return p
	}
	if words.Type != "" {
		p.Type = clean(words.Type, maxTitle, secrets...)
	}
	if words.Title != "" {
		p.Title = clean(words.Title, maxTitle, secrets...)
	}
	p.Detail = clean(words.Detail, maxText, secrets...)
	return p
}

// badToken: what the token function gave cannot be a bearer token.
type badToken struct{}

func (badToken) Error() string {
	return "the registry's token is empty, too long or not one word: store the bearer token alone, without quotes or spaces"
}

// invalidRequest: the request is not sent, because it does not fit the contract.
type invalidRequest string

func (e invalidRequest) Error() string { return "not sent: " + string(e) }

// badAnswer: a 200 that does not fit the contract. The work may have been done.
type badAnswer string

func (e badAnswer) Error() string {
	return "the registry's answer does not fit the contract: " + string(e)
}

// brokenError is a failure below HTTP. Its text is masked, since some errors quote what the other side sent;
// the cause is kept for errors.Is alone.
type brokenError struct {
	text  string
	cause error
}

func broken(what string, err error, secrets ...string) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return brokenError{what + ": not within the time allowed", context.DeadlineExceeded}
	}
	if errors.Is(err, context.Canceled) {
		return brokenError{what + ": canceled", context.Canceled}
	}
	return brokenError{what + ": " + clean(err.Error(), maxText, secrets...), nil}
}

func (e brokenError) Error() string { return e.text }
func (e brokenError) Unwrap() error { return e.cause }

// ats are the spellings of @ that a careless encoder may leave.
func ats() []string {
	return []string{"@", "\uff20", "\ufe6b", "%40", "&#64;", "&#x40;", "&commat;", `\u0040`, `\x40`}
}

func hasAt(s string) bool {
	for _, at := range ats() {
		if strings.Contains(strings.ToLower(s), at) {
			return true
		}
	}
	return false
}

// hide replaces a secret, also in other case.
func hide(s, secret string) string {
	if secret == "" {
		return s
	}
	var out strings.Builder
	for len(s) >= len(secret) {
		if strings.EqualFold(s[:len(secret)], secret) {
			out.WriteString("[token]")
			s = s[len(secret):]
			continue
		}
		out.WriteByte(s[0])
		s = s[1:]
	}
	return out.String() + s
}

// clean makes words of another side fit for a log: one line, valid UTF-8, at most limit bytes, and every word
// that holds an @ masked, and every secret. A quoted local part may hold spaces; then the whole text is masked.
func clean(s string, limit int, secrets ...string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	for _, secret := range secrets { // before the text is cut, lest half of it stays
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			s = hide(s, form)
		}
	}
	if hasAt(s) && strings.ContainsAny(s, `"'<`) {
		s = "[masked]"
	}
	words := strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 })
	for i, w := range words {
		if hasAt(w) {
			words[i] = "[masked]"
		}
	}
	s = strings.Join(words, " ")
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimRight(s, " ")
}
