package keycloak

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/lapseguard/lapseguard/infra/adminapi"
)

// account is a user, as far as it matters here.
type account struct {
	ID       string   `json:"id"`
	Email    string   `json:"email"`
	Verified bool     `json:"emailVerified"`
	Actions  []string `json:"requiredActions"`  // absent in lists
	Created  int64    `json:"createdTimestamp"` // milliseconds since 1970

	Username   string              `json:"username"`
	First      string              `json:"firstName"`
	Last       string              `json:"lastName"`
	Attributes map[string][]string `json:"attributes"` // absent in lists
}

// The required actions that the adapter sets and takes.
const (
	actionUpdate = "UPDATE_EMAIL" // asks for an address, and confirms it by mail
	actionVerify = "VERIFY_EMAIL" // confirms the present one
)

// idna2003 is the mapping by which Keycloak's Java mails (RFC 3490: the sharp s becomes ss); UTS 46 calls it
// transitional.
var idna2003 = idna.New(idna.MapForLookup(), idna.Transitional(true), idna.StrictDomainName(false))

// mailHost is the host that mail to a host as it is spelled in an address goes to, in A-labels and lower case.
func mailHost(host string) string {
	if ascii(host) {
		return adminapi.Canonical(host)
	}
	name, err := idna2003.ToASCII(host)
	if err != nil {
		return adminapi.Canonical(host)
	}
	return adminapi.Canonical(name)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// Events of a sign-in, and of a credential that is set.
const (
	eventLogin    = "LOGIN"
	eventReset    = "SEND_RESET_PASSWORD"
	eventSend     = "SEND_VERIFY_EMAIL"
	eventPassword = "UPDATE_PASSWORD"
	eventSet      = "UPDATE_CREDENTIAL"
)

// accountQuery selects users of a page. Keycloak orders them by user name.
type accountQuery struct {
	email      string // a substring; Keycloak takes % and _ in it for wildcards
	verified   bool   // only those
	first, max int
}

func (a *Admin) accounts(ctx context.Context, q accountQuery) ([]account, error) {
	v := url.Values{"first": {strconv.Itoa(q.first)}, "max": {strconv.Itoa(q.max)}, "briefRepresentation": {"true"}}
	if q.email != "" {
		v.Set("email", q.email)
	}
	if q.verified {
		v.Set("emailVerified", "true")
	}
	var page []account
	err := a.do(ctx, call{doing: "list accounts", method: http.MethodGet, path: "/users", query: v, out: &page})
	return page, err
}

// account reads one user as it is now.
func (a *Admin) account(ctx context.Context, id string) (account, error) {
	var u account
	err := a.do(ctx, call{doing: "read an account", method: http.MethodGet, path: "/users/" + url.PathEscape(id), out: &u})
	if err == nil {
		u.ID = cmp.Or(u.ID, id)
	}
	return u, err
}

// setFlag writes the flag alone.
func (a *Admin) setFlag(ctx context.Context, id string, verified bool) error {
	return a.do(ctx, call{doing: "mark an account", method: http.MethodPut, path: "/users/" + url.PathEscape(id), in: map[string]any{"emailVerified": verified}})
}

// logout ends an account's sessions. Forms that are open do not end.
func (a *Admin) logout(ctx context.Context, id string) error {
	return a.do(ctx, call{doing: "end an account's sessions", method: http.MethodPost, path: "/users/" + url.PathEscape(id) + "/logout", in: struct{}{}})
}

// linked tells whether an identity provider signs in to an account.
func (a *Admin) linked(ctx context.Context, id string) (bool, error) {
	var list []struct{}
	err := a.do(ctx, call{doing: "read an account's identity providers", method: http.MethodGet, path: "/users/" + url.PathEscape(id) + "/federated-identity", out: &list})
	return len(list) > 0, err
}

// setEmail writes an address and the flag.
func (a *Admin) setEmail(ctx context.Context, id, email string, verified bool) error {
	return a.do(ctx, call{doing: "undo a change of address", method: http.MethodPut, path: "/users/" + url.PathEscape(id), in: map[string]any{"email": email, "emailVerified": verified}})
}

// set writes the flag and the required actions, and nothing else: what is not sent stays.
func (a *Admin) set(ctx context.Context, id string, verified bool, actions []string) error {
	if actions == nil {
		actions = []string{}
	}
	return a.do(ctx, call{doing: "mark an account", method: http.MethodPut, path: "/users/" + url.PathEscape(id),
		in: map[string]any{"emailVerified": verified, "requiredActions": actions}})
}

// join and leave are harmless when they are true already.
func (a *Admin) join(ctx context.Context, id, group string) error {
	return a.do(ctx, call{doing: "put an account into the quarantine group", method: http.MethodPut,
		path: "/users/" + url.PathEscape(id) + "/groups/" + url.PathEscape(group), in: struct{}{}})
}

func (a *Admin) leave(ctx context.Context, id, group string) error {
	return a.do(ctx, call{doing: "take an account out of the quarantine group", method: http.MethodDelete,
		path: "/users/" + url.PathEscape(id) + "/groups/" + url.PathEscape(group)})
}

// member reads whether an account is in a group.
func (a *Admin) member(ctx context.Context, id, group string) (bool, error) {
	var groups []struct {
		ID string `json:"id"`
	}
	err := a.do(ctx, call{doing: "read an account's groups", method: http.MethodGet, path: "/users/" + url.PathEscape(id) + "/groups",
		query: url.Values{"first": {"0"}, "max": {"10000"}, "briefRepresentation": {"true"}}, out: &groups})
	for _, g := range groups {
		if g.ID == group {
			return true, err
		}
	}
	return false, err
}

// event is a user event.
type event struct {
	Time    int64             `json:"time"` // milliseconds since 1970
	Type    string            `json:"type"`
	User    string            `json:"userId"`
	Details map[string]string `json:"details"`
}

func (e event) at() time.Time { return time.UnixMilli(e.Time).UTC() }

// address is the address that an event says was confirmed; empty when it says no such thing. An UPDATE_EMAIL
// without a token behind it is a change that nobody confirmed.
func (e event) address() string {
	switch {
	case e.Type == actionVerify:
		return e.Details["email"]
	case e.Type == actionUpdate && e.Details["action"] == "update-email":
		return e.Details["updated_email"]
	}
	return ""
}

// eventQuery selects user events, newest first.
type eventQuery struct {
	types      []string
	user       string    // empty: of all
	since      time.Time // to the day
	first, max int
}

func (a *Admin) events(ctx context.Context, q eventQuery) ([]event, error) {
	v := url.Values{"type": q.types, "first": {strconv.Itoa(q.first)}, "max": {strconv.Itoa(q.max)}}
	if q.user != "" {
		v.Set("user", q.user)
	}
	if !q.since.IsZero() {
		v.Set("dateFrom", q.since.UTC().Format(time.DateOnly))
	}
	var page []event
	err := a.do(ctx, call{doing: "read events", method: http.MethodGet, path: "/events", query: v, out: &page})
	return page, err
}

// eventsKept is what a realm writes down of its users' doings.
type eventsKept struct {
	times  bool          // when addresses were verified
	resets bool          // to whom a reset was mailed
	long   time.Duration // 0: for ever
}

func (a *Admin) eventsConfig(ctx context.Context) (eventsKept, error) {
	var c struct {
		Enabled bool     `json:"eventsEnabled"`
		Types   []string `json:"enabledEventTypes"`
		Seconds int64    `json:"eventsExpiration"` // 0 or absent: for ever
	}
	err := a.do(ctx, call{doing: "read whether events are kept", method: http.MethodGet, path: "/events/config", out: &c})
	return eventsKept{times: c.Enabled && slices.Contains(c.Types, actionVerify) && slices.Contains(c.Types, actionUpdate),
		resets: c.Enabled && slices.Contains(c.Types, eventReset), long: time.Duration(c.Seconds) * time.Second}, err
}

// credentialsOlder is true if an account has credentials of its own, and all were made before a time: only then a
// sign-in was by one of that age. A password's creation moves with a reset.
func (a *Admin) credentialsOlder(ctx context.Context, id string, before time.Time) (bool, error) {
	var list []struct {
		Created int64 `json:"createdDate"` // milliseconds since 1970
	}
	err := a.do(ctx, call{doing: "read the credentials of an account", method: http.MethodGet, path: "/users/" + url.PathEscape(id) + "/credentials", out: &list})
	for _, c := range list {
		if c.Created <= 0 || !time.UnixMilli(c.Created).Before(before) {
			return false, err
		}
	}
	return err == nil && len(list) > 0, err
}
