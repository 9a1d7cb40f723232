package keycloak

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is the part of Keycloak that the adapter uses. TestFakeIsLikeKeycloak holds it and a real one to the same
// checks.
type fake struct {
	mu        sync.Mutex
	users     []*fakeUser // by name, as Keycloak sorts them
	events    []event     // oldest first
	eventsOn  bool
	resetsOff bool  // to whom a reset was mailed is not kept
	keys      []int // their priorities; the first of the highest is active
	expire    int64 // seconds
	group     *group
	flows     map[string][]execution
	configs   map[string]map[string]string
	realm     realm
	providers []provider
	notice    bool   // accounts have the attribute
	token     string // the one that is good
	tokens    int    // given out
	writes    []string
	ended     map[string]int // how often an account's sessions were ended
	// fault may spoil a request: a status to answer with, after doing the work or instead of it. Called without mu.
	fault func(r *http.Request) (status int, after bool)
}

type fakeUser struct {
	reset time.Duration // the password was made that long after the account
	account
	name   string
	groups []string
	linked bool // to an identity provider
}

const (
	realmName = "test"
	secret    = "a-secret-for-tests"
)

// resetFlow is Keycloak's own, and the guarded one.
func resetFlow(guarded bool) []execution {
	list := []execution{
		{ID: "1", Requirement: required, Provider: "reset-credentials-choose-user"},
		{ID: "2", Requirement: required, Provider: providerResetMail, Index: 1},
	}
	if guarded {
		list = append(list, execution{ID: "3", Requirement: conditional, SubFlow: true, Name: "deny", Index: 2},
			execution{ID: "4", Requirement: required, Provider: providerCondition, Config: "c", Level: 1},
			execution{ID: "5", Requirement: required, Provider: providerDeny, Level: 1, Index: 1})
	}
	return append(list, execution{ID: "6", Requirement: required, Provider: "reset-password", Index: 3})
}

func newFake() *fake {
	return &fake{eventsOn: true, notice: true, keys: []int{100}, ended: map[string]int{}, group: &group{ID: "g", Attributes: map[string][]string{attribute: {attributeValue}}},
		flows: map[string][]execution{"reset": resetFlow(true)}, configs: map[string]map[string]string{"c": stepWants()},
		realm: realm{ResetFlow: "reset", ResetAllowed: true, BrokerFlow: "broker"}}
}

// add adds a user; a zero at is verified without an event, at an unknown time.
func (f *fake) add(name, email string, verified bool, at time.Time) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := &fakeUser{name: name, account: account{ID: "id-" + name, Email: strings.ToLower(email), Verified: verified, Created: day(1).AddDate(-1, 0, 0).UnixMilli()}}
	f.users = append(f.users, u)
	slices.SortFunc(f.users, func(a, b *fakeUser) int { return cmp.Compare(a.name, b.name) })
	if !at.IsZero() {
		f.event(actionVerify, u.ID, at, map[string]string{"email": u.Email, "action": "verify-email", "code_id": "s-" + name})
	}
	return u.ID
}

// event adds an event; with mu held.
func (f *fake) event(kind, user string, at time.Time, details map[string]string) {
	f.events = append(f.events, event{Time: at.UnixMilli(), Type: kind, User: user, Details: details})
	slices.SortStableFunc(f.events, func(a, b event) int { return cmp.Compare(a.Time, b.Time) })
}

// edit changes a user as its holder or an administrator would.
func (f *fake) edit(t *testing.T, id string, change func(u *fakeUser)) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.user(id)
	if u == nil {
		t.Fatalf("no user %s", id)
	}
	change(u)
}

// spoil sets the fault; nil ends it.
func (f *fake) spoil(fault func(r *http.Request) (status int, after bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *fake) user(id string) *fakeUser {
	for _, u := range f.users {
		if u.ID == id {
			return u
		}
	}
	return nil
}

func (f *fake) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users = slices.DeleteFunc(f.users, func(u *fakeUser) bool { return u.ID == id })
}

// state says of each user, by name: V verified, Q in quarantine, U asked for an address, C asked to verify it.
func (f *fake) state() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]string{}
	for _, u := range f.users {
		for _, flag := range []struct {
			letter string
			on     bool
		}{{"V", u.Verified}, {"Q", f.group != nil && slices.Contains(u.groups, f.group.ID)}, {"U", slices.Contains(u.Actions, actionUpdate)}, {"C", slices.Contains(u.Actions, actionVerify)}} {
			if flag.on {
				out[u.name] += flag.letter
			}
		}
		out[u.name] += "" // everybody is in it
	}
	return out
}

func (f *fake) serve(t testing.TB) string {
	t.Helper()
	mux := http.NewServeMux()
	base := "/admin/realms/" + realmName
	mux.HandleFunc("POST /realms/"+realmName+"/protocol/openid-connect/token", f.giveToken)
	for pattern, do := range map[string]func(r *http.Request) (int, any){
		"GET ": f.getRealm, "GET /users": f.listUsers, "GET /users/{id}": f.getUser, "PUT /users/{id}": f.putUser,
		"GET /users/profile": f.getProfile, "GET /keys": f.getKeys, "POST /components": f.makeKey,
		"GET /users/{id}/groups": f.getGroups, "PUT /users/{id}/groups/{group}": f.join, "DELETE /users/{id}/groups/{group}": f.leave,
		"GET /group-by-path/" + Group: f.getGroup, "POST /groups": f.makeGroup, "PUT /groups/{group}": f.putGroup, "GET /groups/{group}/members": f.members, "GET /events": f.getEvents, "GET /users/{id}/credentials": f.credentials, "POST /users/{id}/logout": f.logout, "GET /users/{id}/federated-identity": f.federated, "GET /events/config": f.getConfig,
		"GET /authentication/flows/{flow}/executions": f.getFlow, "GET /authentication/config/{config}": f.getStep, "GET /identity-provider/instances": f.getProviders,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+base+path, f.checked(do))
	}
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL
}

func (f *fake) giveToken(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("client_secret") != secret {
		http.Error(w, `{"error":"unauthorized_client"}`, http.StatusUnauthorized)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens++
	f.token = fmt.Sprint("token-", f.tokens)
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": f.token, "expires_in": 300})
}

func (f *fake) checked(do func(r *http.Request) (int, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, after := 0, false
		f.mu.Lock()
		fault := f.fault
		f.mu.Unlock()
		if fault != nil {
			status, after = fault(r)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+f.token {
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		if status != 0 && !after {
			http.Error(w, "{}", status)
			return
		}
		if r.Method != http.MethodGet {
			f.writes = append(f.writes, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/admin/realms/"+realmName))
		}
		code, body := do(r)
		if status != 0 {
			code, body = status, map[string]string{"error": "unknown_error"}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if body != nil {
			_ = json.NewEncoder(w).Encode(body)
		}
	}
}

func notFound() (int, any) { return http.StatusNotFound, map[string]string{"error": "not found"} }

func (f *fake) getRealm(*http.Request) (int, any) { return 200, f.realm }

func (f *fake) listUsers(r *http.Request) (int, any) {
	q := r.URL.Query()
	first, _ := strconv.Atoi(q.Get("first"))
	most, _ := strconv.Atoi(q.Get("max"))
	out, skip := []account{}, first
	for _, u := range f.users {
		if email := q.Get("email"); email != "" && !strings.Contains(u.Email, strings.ToLower(email)) || q.Get("emailVerified") == "true" && !u.Verified {
			continue
		}
		if skip--; skip >= 0 {
			continue
		}
		if len(out) == most {
			break
		}
		a := u.account
		a.Actions = nil
		out = append(out, a)
	}
	return 200, out
}

func (f *fake) getUser(r *http.Request) (int, any) {
	if u := f.user(r.PathValue("id")); u != nil {
		return 200, u.account
	}
	return notFound()
}

func (f *fake) credentials(r *http.Request) (int, any) {
	u := f.user(r.PathValue("id"))
	if u == nil {
		return notFound()
	}
	return 200, []map[string]any{{"type": "password", "createdDate": u.Created + u.reset.Milliseconds()}}
}

func (f *fake) logout(r *http.Request) (int, any) {
	if f.user(r.PathValue("id")) == nil {
		return notFound()
	}
	f.ended[r.PathValue("id")]++
	return http.StatusNoContent, nil
}

func (f *fake) federated(r *http.Request) (int, any) {
	u := f.user(r.PathValue("id"))
	if u == nil {
		return notFound()
	}
	list := []map[string]string{}
	if u.linked {
		list = append(list, map[string]string{"identityProvider": "p"})
	}
	return 200, list
}

func (f *fake) getProfile(*http.Request) (int, any) {
	list := []map[string]any{{"name": "email"}}
	if f.notice {
		list = append(list, map[string]any{"name": noticeName})
	}
	return 200, map[string]any{"attributes": list}
}

func (f *fake) putUser(r *http.Request) (int, any) {
	u := f.user(r.PathValue("id"))
	if u == nil {
		return notFound()
	}
	var in struct {
		Verified *bool     `json:"emailVerified"`
		Email    *string   `json:"email"`
		Actions  *[]string `json:"requiredActions"`

		Attributes map[string][]string `json:"attributes"`
		First      string              `json:"firstName"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		return http.StatusBadRequest, nil
	}
	if in.Verified != nil {
		u.Verified = *in.Verified
	}
	if in.Attributes != nil { // what is not sent beside them is emptied
		u.Email, u.First = "", in.First
		if !f.notice {
			delete(in.Attributes, noticeName)
		}
		u.Attributes = in.Attributes
	}
	if in.Email != nil {
		u.Email = *in.Email
	}
	if in.Actions != nil {
		u.Actions = *in.Actions
	}
	return http.StatusNoContent, nil
}

func (f *fake) getGroups(r *http.Request) (int, any) {
	u := f.user(r.PathValue("id"))
	if u == nil {
		return notFound()
	}
	out := []group{}
	for _, g := range u.groups {
		out = append(out, group{ID: g})
	}
	return 200, out
}

func (f *fake) join(r *http.Request) (int, any) {
	u := f.user(r.PathValue("id"))
	if u == nil || f.group == nil || r.PathValue("group") != f.group.ID {
		return notFound()
	}
	if !slices.Contains(u.groups, f.group.ID) {
		u.groups = append(u.groups, f.group.ID)
	}
	return http.StatusNoContent, nil
}

func (f *fake) leave(r *http.Request) (int, any) {
	u := f.user(r.PathValue("id"))
	if u == nil || f.group == nil {
		return notFound()
	}
	u.groups = without(u.groups, r.PathValue("group"))
	return http.StatusNoContent, nil
}

func (f *fake) getGroup(*http.Request) (int, any) {
	if f.group == nil {
		return notFound()
	}
	return 200, f.group
}

func (f *fake) makeGroup(r *http.Request) (int, any) {
	if f.group != nil {
		return http.StatusConflict, nil
	}
	f.group = &group{ID: fmt.Sprint("g", len(f.writes))}
	if json.NewDecoder(r.Body).Decode(f.group) != nil {
		return http.StatusBadRequest, nil
	}
	return http.StatusCreated, nil
}

func (f *fake) putGroup(r *http.Request) (int, any) {
	if f.group == nil || r.PathValue("group") != f.group.ID {
		return notFound()
	}
	if json.NewDecoder(r.Body).Decode(f.group) != nil {
		return http.StatusBadRequest, nil
	}
	return http.StatusNoContent, nil
}

// deleteGroup is another tool's doing: members lose it with it.
func (f *fake) deleteGroup() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.users {
		u.groups = without(u.groups, f.group.ID)
	}
	f.group = nil
}

func (f *fake) members(r *http.Request) (int, any) {
	first, _ := strconv.Atoi(r.URL.Query().Get("first"))
	most, _ := strconv.Atoi(r.URL.Query().Get("max"))
	out := []account{}
	for _, u := range f.users {
		if !slices.Contains(u.groups, r.PathValue("group")) {
			continue
		}
		if first--; first < 0 && len(out) < most {
			out = append(out, u.account)
		}
	}
	return 200, out
}

func (f *fake) getEvents(r *http.Request) (int, any) {
	q := r.URL.Query()
	first, _ := strconv.Atoi(q.Get("first"))
	most, _ := strconv.Atoi(q.Get("max"))
	out := []event{}
	for i := len(f.events) - 1; i >= 0 && len(out) < most; i-- {
		e := f.events[i]
		if !slices.Contains(q["type"], e.Type) || q.Get("user") != "" && e.User != q.Get("user") || q.Has("dateFrom") && e.at().Format(time.DateOnly) < q.Get("dateFrom") {
			continue
		}
		if first--; first < 0 {
			out = append(out, e)
		}
	}
	return 200, out
}

func (f *fake) getConfig(*http.Request) (int, any) {
	types := []string{"LOGIN"}
	if f.eventsOn {
		types = append(types, actionVerify, actionUpdate)
		if !f.resetsOff {
			types = append(types, eventReset)
		}
	}
	return 200, map[string]any{"eventsEnabled": f.eventsOn, "enabledEventTypes": types, "eventsExpiration": f.expire}
}

func (f *fake) getFlow(r *http.Request) (int, any) {
	if list, ok := f.flows[r.PathValue("flow")]; ok {
		return 200, list
	}
	return notFound()
}

func (f *fake) getStep(r *http.Request) (int, any) {
	if c, ok := f.configs[r.PathValue("config")]; ok {
		return 200, map[string]any{"config": c}
	}
	return notFound()
}

func (f *fake) getProviders(*http.Request) (int, any) { return 200, f.providers }

func (f *fake) getKeys(*http.Request) (int, any) {
	active, list := 0, []map[string]any{}
	for i, p := range f.keys {
		if p > f.keys[active] {
			active = i
		}
		list = append(list, map[string]any{"kid": fmt.Sprint("key", i), "algorithm": formsKeys, "providerPriority": p})
	}
	return 200, map[string]any{"active": map[string]string{formsKeys: fmt.Sprint("key", active)}, "keys": list}
}

func (f *fake) makeKey(r *http.Request) (int, any) {
	var in struct {
		Type   string `json:"providerType"`
		ID     string `json:"providerId"`
		Config struct {
			Priority  []string `json:"priority"`
			Algorithm []string `json:"algorithm"`
		} `json:"config"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Type != "org.keycloak.keys.KeyProvider" || in.ID != "hmac-generated" || !slices.Equal(in.Config.Algorithm, []string{formsKeys}) {
		return http.StatusBadRequest, nil
	}
	p, err := strconv.Atoi(strings.Join(in.Config.Priority, ""))
	if err != nil {
		return http.StatusBadRequest, nil
	}
	f.keys = append(f.keys, p)
	return http.StatusCreated, nil
}
