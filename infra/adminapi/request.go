package adminapi

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"golang.org/x/net/publicsuffix"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// maxHost is the longest host in bytes (RFC 5321 section 4.5.3.1.2).
const maxHost = 255

// HostCount is the contract's entry of a list.
type HostCount struct {
	Host      string     `json:"host"`
	Addresses int        `json:"addresses"`
	Oldest    *time.Time `json:"oldest"`
	Newest    *time.Time `json:"newest"`
	Closed    *Closed    `json:"closed,omitempty"`
}

// Closed is the contract's count of a host's closed addresses, in its entry of the list.
type Closed struct {
	Addresses       int       `json:"addresses"`
	Since           time.Time `json:"since"`            // the newest of theirs
	ContinuousUntil time.Time `json:"continuous_until"` // the oldest of theirs
	Reported        int       `json:"reported,omitempty"`
}

// Page is the contract's page of a list.
type Page struct {
	Hosts    []HostCount `json:"hosts"`
	Next     *string     `json:"next"`
	Complete bool        `json:"complete"`
	AsOf     time.Time   `json:"as_of"`
	// Recovery and MailIsSignIn belong on the first page.
	Recovery     bool `json:"recovery,omitempty"`
	MailIsSignIn bool `json:"mail_is_sign_in,omitempty"`
}

// Answer is the contract's answer to an unverify.
type Answer struct {
	Changed  int               `json:"changed"`
	Already  int               `json:"already_unverified"`
	Kept     int               `json:"kept_verified_later"`
	Recovery registry.Recovery `json:"recovery"`
}

// RecoveryAnswer is the contract's answer to a recovery call.
type RecoveryAnswer struct {
	Answer
	Closed int `json:"closed"`
}

// Restored is the contract's answer to a restore.
type Restored struct {
	Restored int `json:"restored"`
	Kept     int `json:"kept"`
}

// ListQuery is what a list call asks for.
type ListQuery struct {
	After string    // hosts above this one; empty: from the first
	Limit int       // 1 to registry.MaxPage
	Since time.Time // hosts that changed since; zero: everything in use
}

func parseList(q url.Values) (ListQuery, string) {
	in := ListQuery{After: q.Get("after"), Limit: registry.MaxPage}
	if q.Has("after") && !ValidHost(in.After) {
		return in, "after must be a host"
	}
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 1 || n > registry.MaxPage {
			return in, "limit must be from 1 to 10000"
		}
		in.Limit = n
	}
	if q.Has("changed_since") {
		t, err := time.Parse(time.RFC3339Nano, q.Get("changed_since"))
		if err != nil {
			return in, "changed_since must be a time as in RFC 3339"
		}
		in.Since = t
	}
	return in, ""
}

// parseUnverify reads a request. The client's own check is the contract's; what a decoder cannot tell from
// an empty value, a missing member, is asked here.
func parseUnverify(r *http.Request) (registry.Request, Reply, bool) {
	var in registry.Request
	if out, ok := ReadJSON(r, &in); !ok {
		return in, out, false
	}
	in.Domain = r.PathValue("domain")
	if in.Evidence == nil || !fits(in.Evidence) {
		return in, Malformed(evidenceFits), false
	}
	if err := in.Check(); err != nil {
		return in, Malformed(err.Error()), false
	}
	in.VerifiedBefore, in.ExposedSince = in.VerifiedBefore.UTC(), in.ExposedSince.UTC()
	return in, Reply{}, true
}

const evidenceFits = "evidence must be at most 32 texts of at most 2000 characters"

func fits(evidence []string) bool {
	return len(evidence) <= 32 && !slices.ContainsFunc(evidence, func(s string) bool { return len([]rune(s)) > 2000 })
}

// parseRecovery reads a recovery request; what belongs to a closing alone is left out of an open one.
func parseRecovery(r *http.Request) (registry.RecoveryRequest, Reply, bool) {
	var in registry.RecoveryRequest
	if out, ok := ReadJSON(r, &in); !ok {
		return in, out, false
	}
	in.Domain = r.PathValue("domain")
	if in.Desired == registry.RecoveryClosed && in.Evidence == nil || !fits(in.Evidence) {
		return in, Malformed(evidenceFits), false
	}
	if err := in.Check(); err != nil {
		return in, Malformed(err.Error()), false
	}
	if in.Desired == registry.RecoveryOpen {
		in = registry.RecoveryRequest{Domain: in.Domain, Desired: in.Desired, AsOf: in.AsOf, Run: in.Run, DryRun: in.DryRun}
	}
	in.AsOf, in.Since, in.ContinuousUntil = in.AsOf.UTC(), in.Since.UTC(), in.ContinuousUntil.UTC()
	in.RenewableUntil = in.RenewableUntil.UTC()
	return in, Reply{}, true
}

// Outdated is the refusal of a recovery request that is older than the last one accepted.
func Outdated(last time.Time) Reply {
	return Problem(http.StatusConflict, registry.TypeOutdated, "a newer state was accepted", "the last one is as of "+last.UTC().Format(time.RFC3339Nano))
}

// ReadJSON decodes a request's body into v; the reply says why that cannot be. Duplicate names and invalid UTF-8
// are refused; unknown members are ignored, as the contract wants.
func ReadJSON(r *http.Request, v any) (Reply, bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return Problem(http.StatusUnsupportedMediaType, registry.TypeMalformed, "the body must be application/json", ""), false
	}
	data, err := io.ReadAll(r.Body)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return Problem(http.StatusRequestEntityTooLarge, registry.TypeMalformed, "the body is too long", fmt.Sprintf("at most %d bytes", MaxBody)), false
	case err != nil:
		return Malformed("the body broke off"), false
	}
	if err := json.Unmarshal(data, v); err != nil {
		return Malformed("the body is not the JSON object that the contract describes"), false
	}
	return Reply{}, true
}

// Fingerprint is the form in which two requests under one key are compared, the domain among it.
func Fingerprint(in registry.Request) (string, error) {
	data, err := stdjson.Marshal(struct {
		Domain string
		registry.Request
	}{in.Domain, in})
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	return string(data), nil
}

// ValidHost tells whether a host may stand in a list; it need not be a domain name.
func ValidHost(s string) bool {
	return s != "" && len(s) <= maxHost && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == '@' || unicode.IsSpace(r) || unicode.IsControl(r) })
}

// IsPublicSuffix tells of a canonical domain whether names of many owners lie below it, by the ICANN section of the
// Public Suffix List that Go's x/net embeds: a list other than the guard's own, so that two must err to agree.
func IsPublicSuffix(name string) bool {
	if !strings.Contains(name, ".") {
		return true
	}
	suffix, icann := publicsuffix.PublicSuffix(name)
	for !icann && strings.Contains(suffix, ".") { // a private rule: is there an ICANN one above it?
		_, suffix, _ = strings.Cut(suffix, ".")
		suffix, icann = publicsuffix.PublicSuffix(suffix)
	}
	return suffix == name
}

// Canonical is the form of a host in which domains are compared.
func Canonical(host string) string {
	if name, _ := domain.Parse(host); name.Host != "" {
		return name.Host
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// UnknownIsOlder tells for a phase whether an unknown verification time is an old one: nobody can have verified an
// address since the domain was deleted.
func UnknownIsOlder(phase string) bool {
	return phase == "redemption" || phase == "pending delete" || phase == "released"
}
