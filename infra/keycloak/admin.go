// Package keycloak serves the registry admin API (infra/registry-admin.openapi.yaml) in front of Keycloak's admin
// API. It runs on the registry's side: the secret that can change every account never reaches the guard.
//
// To close recovery is, for each account, to put it into the quarantine group, whose members a deny step in the realm's
// reset flow refuses, and to read that back; to unverify is the same, and takes the flag where that holds nobody at
// sign-in. An account leaves the group when the journal has no reason for it any more. See Guard for the deny step, and
// README.md for what a holder meets.
package keycloak

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultTimeout bounds one call of Keycloak, body included.
	DefaultTimeout = 30 * time.Second
	// maxBody bounds an answer of Keycloak's in bytes: a page of users with long attributes is a fraction of it.
	maxBody = 32 << 20
	// tokenMargin is how long before its end a token is not used any more.
	tokenMargin = 20 * time.Second
)

// AdminConfig says which realm is administered, and by whom.
type AdminConfig struct {
	URL   string // Keycloak's base, such as https://id.example; http is for this machine alone
	Realm string
	// TokenRealm is where the token comes from; empty: Realm.
	TokenRealm string
	// ClientID and Secret of a service account; or, with Username and Password, an administrator who signs in by
	// ClientID (empty: admin-cli).
	ClientID, Secret   string
	Username, Password string
	Transport          http.RoundTripper // nil: the standard library's
	Timeout            time.Duration     // of one call; 0: DefaultTimeout
	Page               int               // accounts or events in one answer; 0: DefaultPage
	Now                func() time.Time  // required
}

// Admin speaks Keycloak's admin REST API about one realm. It is safe for concurrent use.
type Admin struct {
	cfg  AdminConfig
	http *http.Client

	mu    sync.Mutex
	token string
	until time.Time
}

// NewAdmin checks the configuration. It does not reach for Keycloak.
func NewAdmin(cfg AdminConfig) (*Admin, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("keycloak: set its URL, such as https://id.example, without user and query")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("keycloak: http to %s would show the secret to the network: set an https URL", u.Hostname())
	case cfg.Realm == "":
		return nil, errors.New("keycloak: set the realm")
	case cfg.Now == nil:
		return nil, errors.New("keycloak: set a clock")
	case cfg.Username == "" && (cfg.ClientID == "" || cfg.Secret == ""):
		return nil, errors.New("keycloak: set client id and secret of a service account")
	}
	cfg.URL = strings.TrimRight(cfg.URL, "/")
	cfg.TokenRealm = cmp.Or(cfg.TokenRealm, cfg.Realm)
	cfg.ClientID = cmp.Or(cfg.ClientID, "admin-cli")
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Page = cmp.Or(cfg.Page, DefaultPage)
	return &Admin{cfg: cfg, http: &http.Client{Transport: cfg.Transport, Timeout: cfg.Timeout,
		// A redirect would take the token to a place that nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host) // a name such as 127.evil.example is anywhere
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Error is a failure of Keycloak, or of the way to it. It holds no body: bodies have addresses in them.
type Error struct {
	Doing  string // what was being done, without an address
	Status int    // of the answer; 0: there was none
	cause  error
}

// Error says what failed and, where it is known, what to do.
func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("%s: Keycloak does not answer: %v", e.Doing, e.cause)
	case e.Status == http.StatusUnauthorized:
		return e.Doing + ": Keycloak refuses the credentials (401): check client id and secret, and that the client may use its service account"
	case e.Status == http.StatusForbidden:
		return e.Doing + ": Keycloak answers 403: the service account lacks a role of realm-management (" + strings.Join(Roles(), ", ") + ")"
	case e.cause != nil:
		return fmt.Sprintf("%s: Keycloak answers %d: %v", e.Doing, e.Status, e.cause)
	}
	return fmt.Sprintf("%s: Keycloak answers %d", e.Doing, e.Status)
}

func (e *Error) Unwrap() error { return e.cause }

// Roles are the roles of the client realm-management that the adapter's service account needs: to change
// accounts, to read when addresses were verified, to see the deny step, to see other ways in, and to end open forms,
// for which Keycloak knows no smaller role than the last.
func Roles() []string {
	return []string{"manage-users", "view-events", "view-realm", "view-identity-providers", "manage-realm"}
}

// status is the answer's status that an error tells of; 0 when there was no answer.
func status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func gone(err error) bool { return status(err) == http.StatusNotFound }

// refused: asking again will not help; anything else may pass.
func refused(err error) bool {
	s := status(err)
	return s == http.StatusBadRequest || s == http.StatusMethodNotAllowed || s == http.StatusConflict || s == http.StatusUnprocessableEntity
}

// call is one request: path below the realm, in and out as JSON where they are not nil.
type call struct {
	doing, method, path string
	query               url.Values
	in, out             any
}

// do sends a call, and once more with a new token after a 401: tokens end, and secrets are rotated.
func (a *Admin) do(ctx context.Context, c call) error {
	_, err := a.send(ctx, c)
	return err
}

// send is do, and gives the Location of what was created.
func (a *Admin) send(ctx context.Context, c call) (location string, err error) {
	for _, fresh := range []bool{false, true} {
		var token string
		if token, err = a.bearer(ctx, fresh); err != nil {
			return "", err
		}
		if location, err = a.once(ctx, c, token); status(err) != http.StatusUnauthorized {
			return location, err
		}
	}
	return "", err
}

func (a *Admin) once(ctx context.Context, c call, token string) (string, error) {
	target := a.cfg.URL + "/admin/realms/" + url.PathEscape(a.cfg.Realm) + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	var body io.Reader
	if c.in != nil {
		data, err := json.Marshal(c.in)
		if err != nil {
			return "", fmt.Errorf("%s: encode: %w", c.doing, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, target, body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.doing, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return a.exchange(req, c)
}

// exchange does the request and reads the answer.
func (a *Admin) exchange(req *http.Request, c call) (string, error) {
	resp, err := a.http.Do(req)
	if err != nil {
		return "", &Error{Doing: c.doing, cause: plain(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return "", &Error{Doing: c.doing, Status: resp.StatusCode}
	case err != nil:
		return "", &Error{Doing: c.doing, cause: plain(err)}
	case len(data) > maxBody:
		return "", &Error{Doing: c.doing, Status: resp.StatusCode, cause: fmt.Errorf("more than %d bytes", maxBody)}
	case c.out == nil:
		return resp.Header.Get("Location"), nil
	}
	if err := json.Unmarshal(data, c.out); err != nil {
		return "", &Error{Doing: c.doing, Status: resp.StatusCode, cause: errors.New("the body is not the JSON that was expected")}
	}
	return "", nil
}

// plain takes the URL out of an error of the HTTP client.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// bearer gives a token that is good for a while; Keycloak's last five minutes and are not refreshed.
func (a *Admin) bearer(ctx context.Context, fresh bool) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Now()
	if !fresh && a.token != "" && now.Before(a.until) {
		return a.token, nil
	}
	form := url.Values{"client_id": {a.cfg.ClientID}, "grant_type": {"client_credentials"}}
	if a.cfg.Username != "" {
		form = url.Values{"client_id": {a.cfg.ClientID}, "grant_type": {"password"}, "username": {a.cfg.Username}, "password": {a.cfg.Password}}
	}
	if a.cfg.Secret != "" {
		form.Set("client_secret", a.cfg.Secret)
	}
	target := a.cfg.URL + "/realms/" + url.PathEscape(a.cfg.TokenRealm) + "/protocol/openid-connect/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var out struct {
		Token string `json:"access_token"`
		For   int    `json:"expires_in"` // seconds
	}
	if _, err := a.exchange(req, call{doing: "get a token", out: &out}); err != nil {
		if s := status(err); s == http.StatusBadRequest { // how Keycloak answers a wrong client or grant
			return "", &Error{Doing: "get a token", Status: http.StatusUnauthorized}
		}
		return "", err
	}
	a.token, a.until = out.Token, now.Add(max(time.Duration(out.For)*time.Second-tokenMargin, 0))
	return a.token, nil
}
