package keycloak

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

func (a *arena) quarantined() bool {
	a.t.Helper()
	g, err := a.realm.group(a.t.Context())
	a.must(err)
	in, err := a.realm.member(a.t.Context(), a.victim, g.ID)
	a.must(err)
	return in
}

// TestRealExposed: somebody else may have read the mail for a while. The accounts' sessions end, nothing that happens
// later lets them out, and those that were reset or are linked since are reported.
func TestRealExposed(t *testing.T) {
	began := time.Now()
	var thief, holder *browser
	a := start(t).arena(t, attempt{arrange: func(a *arena) {
		if a.name == victims[0][0] {
			if !a.reset(a.name) {
				a.t.Fatal("the attack fails anyway")
			}
			thief = a.browser(a.t)
			thief.signIn(a.name, thiefsPassword)
			return
		}
		a.identify()
		holder = a.browser(a.t)
		holder.signIn(a.name, password(a.name))
	}}, newSink(t))
	if !thief.holds() || !holder.holds() {
		t.Fatal("nobody is signed in")
	}
	a.protect(attempt{})
	for _, v := range victims {
		a.turnTo(v)
		in := request(a.host, "k-"+a.name)
		in.VerifiedBefore, in.ExposedSince = time.Now(), began
		got, err := a.client.Unverify(t.Context(), in)
		if err != nil || got.Changed != 1 || got.Recovery != registry.RecoveryClosed {
			t.Fatalf("%+v %v", got, err)
		}
	}
	if thief.holds() || holder.holds() {
		t.Error("a session of before goes on")
	}
	a.back = true // which elsewhere lets a holder out who verifies again
	a.sweep()
	const to = "moved@" + safe
	holder.signIn(a.name, password(a.name))
	holder.action(actionUpdate)
	holder.follow(a.next(to, func() { holder.submit("kc-update-email-form", url.Values{"email": {to}}) }))
	a.sweep()
	for _, v := range victims {
		if a.turnTo(v); !a.quarantined() {
			t.Errorf("%s left the quarantine by itself", a.name)
		}
		if u, err := a.realm.account(t.Context(), a.victim); err != nil || slices.Contains(u.Actions, actionUpdate) {
			t.Errorf("%s is offered to verify: %v %v", a.name, u.Actions, err)
		}
	}
	for i, report := range []string{"account_reset_by_mail", "account_linked_while_exposed"} {
		a.turnTo(victims[i])
		if log := a.log.String(); strings.Count(log, report) != 1 || !strings.Contains(log, `"msg":"`+report+`","domain":"`+a.host+`","account":"`+a.victim+`"`) {
			t.Errorf("%s is not reported once:\n%s", a.name, log)
		}
	}
	a.must(a.adapter.Release(t.Context(), a.victim))
	a.sweep()
	if a.quarantined() {
		t.Error("the staff cannot let an account out")
	}
}

// TestRealWithoutVerifyEmail: a realm that does not verify addresses. Whoever installs hears first what becomes of holders
// who move, and then a holder who moves is let out, since the change is confirmed.
func TestRealWithoutVerifyEmail(t *testing.T) {
	a := start(t).arena(t, attempt{realm: map[string]any{"verifyEmail": false}}, newSink(t))
	warned, changes := "", 0
	a.guard.Say = func(string) { changes++ }
	a.guard.Warn = func(what string) {
		r, err := a.realm.realm(t.Context())
		if _, group := a.realm.group(t.Context()); changes == 0 && (err != nil || r.ResetFlow != "reset credentials" || !gone(group)) {
			t.Error("something was changed before it was said", r.ResetFlow, group, err)
		}
		if changes == 0 {
			warned += what
		}
	}
	a.protect(attempt{})
	if !strings.Contains(warned, "stays locked out of recovery") || changes == 0 {
		t.Fatalf("before %d changes it was said: %q", changes, warned)
	}
	a.turnTo(victims[1])
	a.unverify()
	b := a.browser(t)
	b.signIn(a.name, password(a.name))
	if !b.signedIn() {
		t.Fatalf("the holder does not get in: %s", b.text())
	}
	const to = "moved@" + safe
	b.action(actionUpdate)
	b.follow(a.next(to, func() { b.submit("kc-update-email-form", url.Values{"email": {to}}) }))
	a.sweep()
	if a.quarantined() {
		t.Error("the holder who moved stays locked out")
	}
	if link := a.next(to, func() { a.browser(t).forgot(a.name) }); !a.browser(t).setPassword(link, "second-of-"+a.name) {
		t.Error("the holder cannot recover by the new address")
	}
}
