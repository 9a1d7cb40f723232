package keycloak

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// refresh gets a refresh token for who is signed in; again tells whether it is still good.
func (b *browser) refresh() (again func() bool) {
	b.t.Helper()
	if !b.holds() {
		b.t.Fatal("nobody is signed in")
	}
	code := mustURL(b.t, b.at).Query().Get("code")
	var token struct {
		Refresh string `json:"refresh_token"`
	}
	ask := func(form url.Values) bool {
		b.t.Helper()
		form.Set("client_id", "account-console")
		token.Refresh = ""
		b.open(b.base+"/protocol/openid-connect/token", form)
		return json.Unmarshal([]byte(b.page), &token) == nil && token.Refresh != ""
	}
	if !ask(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {b.base + "/account/"}, "code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}}) {
		b.t.Fatal("no token")
	}
	return func() bool {
		return ask(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.Refresh}})
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestRealFormsEnd: what ends a form that is open costs the others a page: sessions, tokens and mailed links stay good.
func TestRealFormsEnd(t *testing.T) {
	const other, address = "bystander", "bystander@" + safe
	a := start(t).arena(t, attempt{}, newSink(t))
	a.protect(attempt{})
	a.turnTo(victims[0])
	a.openForm()
	kept := a.form[a.name]
	a.openForm()
	inside, page, form := a.browser(t), a.browser(t), a.browser(t)
	inside.signIn(other, password(other))
	again := inside.refresh()
	link := a.next(address, func() { a.browser(t).forgot(other) })
	formsLink := a.next(address, func() { form.forgot(other) })
	if !form.opens(formsLink) {
		t.Fatal("a link opens nothing")
	}
	page.open(page.base+"/protocol/openid-connect/auth?"+page.console().Encode(), nil)

	take, give := a.guard.roleMapping(t, "manage-realm")
	take()
	a.adapter.cfg.Admin.forget()
	a.close()
	if got := a.recovery(); got != registry.RecoveryOpen || !strings.Contains(a.log.String(), "forms_not_ended") {
		t.Errorf("without the role recovery is said to be %s", got)
	}
	give()
	a.adapter.cfg.Admin.forget()
	a.sweep()
	if got := a.recovery(); got != registry.RecoveryClosed || strings.Count(a.log.String(), "forms_ended") != 1 {
		t.Errorf("with the role recovery is said to be %s", got)
	}

	if a.sendForm() {
		t.Error("the form of before sets a password")
	}
	holder := a.browser(t)
	if holder.signIn(a.name, password(a.name)); !holder.holds() {
		t.Error("the holder does not sign in")
	}
	if !inside.holds() || !again() {
		t.Error("somebody else's session has ended")
	}
	credentials := url.Values{"username": {other}, "password": {password(other)}}
	page.submit("kc-form-login", credentials)
	page.want("Login will start from the beginning")
	if page.submit("kc-form-login", credentials); !page.signedIn() {
		t.Errorf("whoever was at a sign-in page does not sign in by the page that follows: %s", page.text())
	}
	form.submit("kc-passwd-update-form", url.Values{"password-new": {"second"}, "password-confirm": {"second"}})
	if form.holds() {
		t.Error("somebody else's form is still open: not all of them end")
	}
	for _, l := range []string{formsLink, link} { // the form's link is not used up
		if !a.browser(t).opens(l) {
			t.Error("a link mailed to somebody else has ended")
		}
	}

	before, err := a.realm.keys(t.Context())
	a.must(err)
	a.sweep()
	a.turnTo(victims[1])
	a.unverify() // nothing was mailed to it
	if after, err := a.realm.keys(t.Context()); err != nil || len(after.Keys) != len(before.Keys) {
		t.Errorf("a key too many: %d, %d before, %v", len(after.Keys), len(before.Keys), err)
	}

	a.turnTo(victims[0])
	a.must(a.realm.do(t.Context(), call{doing: "let links end", method: http.MethodPut, in: map[string]any{"actionTokenGeneratedByUserLifespan": 0}}))
	open := registry.RecoveryRequest{Domain: lapsed, Desired: registry.RecoveryOpen, AsOf: time.Now()}
	if _, err := a.client.SetRecovery(t.Context(), open); err != nil || a.quarantined() {
		t.Fatal("recovery does not open", err)
	}
	a.form[a.name] = kept
	if a.sendForm() {
		t.Error("a form of before the closing comes alive when recovery is open again")
	}
}
