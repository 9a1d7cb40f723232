package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// closeAt is a request to close lapsed.example, of a gap that began at a day and was all well a day before.
func closeAt(asOf, since int) registry.RecoveryRequest {
	return registry.RecoveryRequest{Domain: "lapsed.example", Desired: registry.RecoveryClosed, AsOf: day(asOf), Since: day(since), ContinuousUntil: day(since - 1),
		MaxAddresses: 10, Reason: registry.ReasonInterrupted, Phase: "grace", Evidence: []string{"seen"}, Run: "run-1",
		Advice: registry.Advice{Code: "renew_domain", Text: "Renew the domain."}}
}

func openAt(asOf int) registry.RecoveryRequest {
	return registry.RecoveryRequest{Domain: "lapsed.example", Desired: registry.RecoveryOpen, AsOf: day(asOf)}
}

func (r *rig) wantRecovery(t *testing.T, in registry.RecoveryRequest, changed, already, kept, closed int) {
	t.Helper()
	want := registry.RecoveryAnswer{Answer: registry.Answer{Changed: changed, AlreadyUnset: already, KeptLater: kept, Recovery: in.Desired}, Closed: closed}
	if got, err := r.client.SetRecovery(t.Context(), in); err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

// A closing changes nothing but the group: the address stays verified, and nothing is asked of the holder.
func TestCloseAndOpen(t *testing.T) {
	r := newRig(t, small(), nil)
	dry := closeAt(16, 15)
	dry.DryRun = true
	r.wantRecovery(t, dry, 2, 1, 1, 2)
	if len(r.fake.writes) > 0 {
		t.Fatal(r.fake.writes)
	}
	r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
	closed := map[string]string{"ann": "VQ", "ben": "VQ", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"}
	r.wantState(t, closed)
	writes := len(r.fake.writes)
	r.wantRecovery(t, closeAt(17, 15), 0, 1, 1, 2)
	r.wantRecovery(t, closeAt(17, 14), 0, 1, 1, 2) // an earlier gap is none
	for _, in := range []registry.RecoveryRequest{openAt(16), closeAt(16, 15)} {
		if _, err := r.client.SetRecovery(t.Context(), in); !registry.IsOutdated(err) {
			t.Fatal(err)
		}
	}
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.fake.writes) != writes {
		t.Fatalf("written again: %v", r.fake.writes[writes:])
	}
	r.wantRecovery(t, closeAt(18, 17), 1, 1, 0, 3) // of a later gap, dee too
	if _, err := r.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || !page.Recovery || len(page.Hosts) != 4 {
		t.Fatalf("%+v %v", page, err)
	}
	if h := page.Hosts[0]; h.Host != "lapsed.example" || h.Addresses != 2 || h.Closed.Addresses != 3 || !h.Closed.Since.Equal(day(17)) || !h.Closed.ContinuousUntil.Equal(day(14)) {
		t.Fatalf("%+v", h)
	}
	r.wantRecovery(t, openAt(19), 3, 1, 3, 0)
	r.wantState(t, map[string]string{"ann": "V", "ben": "V", "cay": "V", "dee": "V", "eli": "", "fay": "V"})
	r.wantRecovery(t, openAt(19), 0, 1, 3, 0)
	if _, err := r.client.Restore(t.Context(), "closing lapsed.example"); registry.Kind(err) != registry.KindRefused {
		t.Fatal(err)
	}
}

// The two levers do not undo each other: an account leaves the group with its last reason.
func TestReasonsOfTheGroup(t *testing.T) {
	r := newRig(t, small(), nil)
	r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1) // they were verified all the time
	both := map[string]string{"ann": "Q", "ben": "Q", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"}
	r.wantState(t, both)
	r.wantRecovery(t, openAt(17), 0, 3, 1, 0)
	r.wantState(t, both)
	r.wantRecovery(t, closeAt(18, 15), 0, 3, 1, 0)
	if got, err := r.client.Restore(t.Context(), "k"); err != nil || got.Restored != 2 {
		t.Fatal(got, err)
	}
	r.wantState(t, map[string]string{"ann": "VQ", "ben": "VQ", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"})
	r.wantRecovery(t, openAt(19), 2, 1, 3, 0)
	r.wantState(t, map[string]string{"ann": "V", "ben": "V", "cay": "V", "dee": "V", "eli": "", "fay": "V"})
}

// The holder's own verification opens the one address, and never the domain; who was let out stays out of this gap.
func TestHolderOpensOneAddress(t *testing.T) {
	back := false
	r := newRig(t, small(), func(c *Config) { c.Delegated = func(context.Context, string) (bool, error) { return back, nil } })
	r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
	sweep := func() {
		t.Helper()
		r.forgetAsked()
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	back = true
	sweep()
	r.wantState(t, map[string]string{"ann": "QU", "ben": "QU", "cay": "V", "dee": "V", "eli": "QU", "fay": "V"}) // offered
	r.wantRecovery(t, closeAt(17, 15), 0, 1, 1, 2)                                                               // and verified all the same
	back = false
	sweep()
	r.wantState(t, map[string]string{"ann": "VQ", "ben": "VQ", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"}) // taken back
	back = true
	sweep()
	verify := func(name, session, signedInAs string) {
		r.fake.edit(t, "id-"+name, func(u *fakeUser) {
			u.Verified, u.Actions = true, nil
			at := day(20).Add(time.Hour)
			r.fake.event(actionUpdate, u.ID, at, map[string]string{"updated_email": u.Email, "previous_email": u.Email, "action": "update-email", "code_id": session})
			r.fake.event(eventLogin, u.ID, at, map[string]string{"code_id": signedInAs})
		})
	}
	verify("ann", "s", "s")
	verify("ben", "s1", "s2") // by whoever reads the mail
	sweep()
	r.wantState(t, map[string]string{"ann": "V", "ben": "QU", "cay": "V", "dee": "V", "eli": "QU", "fay": "V"})
	r.wantRecovery(t, closeAt(18, 15), 0, 1, 2, 1)
	later := closeAt(22, 21) // after ann's verification
	r.clock.add(48 * time.Hour)
	r.wantRecovery(t, later, 2, 1, 0, 3)
}

// A credential that was set by mail since the gap began opens nothing, and the account is reported.
func TestResetWithinTheGap(t *testing.T) {
	for name, c := range map[string]struct {
		at       time.Time
		login    string // the session that somebody signed in to, a second before
		reported int
		want     registry.Recovery
	}{
		"before the gap":              {day(10), "", 0, registry.RecoveryClosed},
		"within it":                   {day(15), "", 1, registry.RecoveryClosed},
		"within it, in the site":      {day(15), "s", 0, registry.RecoveryClosed},
		"by a form open at the mark":  {day(20).Add(time.Minute), "another", 1, registry.RecoveryOpen},
		"in the site, after the mark": {day(20).Add(time.Minute), "s", 0, registry.RecoveryClosed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, small(), nil)
			r.fake.mu.Lock()
			r.fake.event(eventLogin, "id-ann", c.at.Add(-time.Second), map[string]string{"code_id": c.login})
			if c.at.Before(day(20)) {
				r.fake.event(eventSet, "id-ann", c.at, map[string]string{"code_id": "s"})
			}
			r.fake.mu.Unlock()
			r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
			r.fake.mu.Lock()
			r.fake.event(eventSet, "id-ann", c.at, map[string]string{"code_id": "s"})
			r.fake.mu.Unlock()
			for range 2 {
				if err := r.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.Count(t.Context()); err != nil {
				t.Fatal(err)
			}
			page, err := r.client.List(t.Context(), "", 10, time.Time{})
			if err != nil || page.Hosts[0].Closed.Reported != c.reported || strings.Count(r.log.String(), "account_reset_by_mail") != c.reported {
				t.Fatalf("%+v %v %s", page.Hosts[0].Closed, err, r.log)
			}
			if got := r.fake.ended["id-ann"]; got != c.reported {
				t.Errorf("sessions ended %d times", got)
			}
			probe, err := registry.NewObserver(r.client).Unverify(t.Context(), request("elsewhere.example", "p"))
			if err != nil || probe.Recovery != c.want {
				t.Errorf("%+v %v", probe, err)
			}
		})
	}
}

// The holder reads why, until when and what to do, for as long as there is a reason; one whom Keycloak will not let be
// told is closed all the same.
func TestHolderIsTold(t *testing.T) {
	f := small()
	f.edit(t, "id-ann", func(u *fakeUser) { u.First, u.Attributes = "Ann", map[string][]string{"team": {"a"}} })
	r := newRig(t, f, nil)
	told := func(name string) string {
		f.mu.Lock()
		defer f.mu.Unlock()
		u := f.user("id-" + name)
		if name == "ann" && (u.First != "Ann" || u.Email != "ann@lapsed.example" || u.Attributes["team"][0] != "a") {
			t.Errorf("something else of the account was changed: %v", u.Attributes)
		}
		return u.notice()
	}
	f.spoil(func(req *http.Request) (int, bool) {
		if req.Method != http.MethodPut || req.URL.Path != "/admin/realms/"+realmName+"/users/id-ben" {
			return 0, false
		}
		return http.StatusBadRequest, false
	})
	in := closeAt(16, 15)
	in.RenewableUntil = day(25)
	r.wantRecovery(t, in, 2, 1, 1, 2)
	f.spoil(nil)
	const closing = "Your account cannot be recovered by mail to an address at lapsed.example until further notice; signing in works as before. Seen: seen. The domain can be renewed until 2026-01-25. Renew the domain."
	if ann, ben, dee := told("ann"), told("ben"), told("dee"); ann != closing || ben != "" || dee != "" {
		t.Fatalf("%q, %q, %q", ann, ben, dee)
	}
	if !strings.Contains(r.log.String(), "holder_not_told") {
		t.Error("nobody hears who was not told")
	}
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	const unverified = "Your account cannot be recovered by mail to an address at lapsed.example until further notice; signing in works as before. Seen: seen. Add a verified address at another domain."
	if ann := told("ann"); ann != unverified {
		t.Fatalf("%q", ann)
	}
	if _, err := r.client.Restore(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if ann := told("ann"); ann != closing {
		t.Fatalf("%q", ann)
	}
	r.wantRecovery(t, openAt(17), 2, 1, 3, 0)
	if ann := told("ann"); ann != "" {
		t.Fatalf("%q", ann)
	}
	f.mu.Lock()
	f.notice = false
	f.mu.Unlock()
	r.wantRecovery(t, closeAt(18, 17), 3, 1, 0, 3) // a realm where guard install has not run again
	if ann := told("ann"); ann != "" {
		t.Fatalf("%q", ann)
	}
}

// exposed_since: the sessions end, nothing lifts by itself, and accounts with a reset or a link since are reported.
func TestExposedSince(t *testing.T) {
	r := newRig(t, small(), func(c *Config) {
		c.Standing = func(context.Context, string, time.Time) (bool, error) { return true, nil }
		c.Delegated = func(context.Context, string) (bool, error) { return true, nil }
	})
	r.fake.edit(t, "id-ben", func(u *fakeUser) { u.linked = true })
	r.fake.mu.Lock()
	r.fake.event(eventReset, "id-ann", day(17), map[string]string{"code_id": "s"})
	r.fake.event(eventPassword, "id-ann", day(17), map[string]string{"code_id": "s"})
	r.fake.mu.Unlock()
	in := request("lapsed.example", "k")
	in.ExposedSince = day(16)
	if _, err := r.client.Unverify(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r.fake.edit(t, "id-ann", func(u *fakeUser) { // what lifts it elsewhere
		u.Verified = true
		at := day(20).Add(time.Hour)
		r.fake.event(actionVerify, u.ID, at, map[string]string{"email": u.Email, "action": "verify-email", "code_id": "v"})
		r.fake.event(eventLogin, u.ID, at, map[string]string{"code_id": "v"})
	})
	for range 2 {
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.fake.state(); got["ann"] != "Q" || got["ben"] != "Q" {
		t.Fatal(got)
	}
	log := r.log.String()
	if strings.Count(log, "account_reset_by_mail") != 1 || strings.Count(log, "account_linked_while_exposed") != 1 || r.fake.ended["id-ann"] < 1 {
		t.Fatal(log, r.fake.ended)
	}
}

// A realm that holds whoever has no verified address at sign-in: the flag stays, and the mark is the group.
func TestRealmThatHoldsTheUnverified(t *testing.T) {
	f := small()
	f.realm.VerifyEmail = true
	r := newRig(t, f, nil)
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	marked := map[string]string{"ann": "VQ", "ben": "VQ", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"}
	r.wantState(t, marked)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wantState(t, marked)
	if c, err := r.Count(t.Context()); err != nil || c.Addresses != 3 {
		t.Fatalf("%+v %v", c, err)
	}
	if got, err := r.client.Restore(t.Context(), "k"); err != nil || got != (registry.Restored{Restored: 2}) {
		t.Fatal(got, err)
	}
	r.wantState(t, map[string]string{"ann": "V", "ben": "V", "cay": "V", "dee": "V", "eli": "", "fay": "V"})
}

// A change of address that nobody signed in for is undone, once a sign-in that was under way has had its time.
func TestChangeOfAddressIsUndone(t *testing.T) {
	r := newRig(t, small(), nil)
	r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
	r.clock.add(time.Minute)
	r.fake.edit(t, "id-ann", func(u *fakeUser) {
		r.fake.event(actionUpdate, u.ID, r.clock.now(), map[string]string{"updated_email": "thief@else.example", "previous_email": u.Email, "action": "update-email", "code_id": "t"})
		u.Email, u.Verified = "thief@else.example", true
	})
	for _, after := range []struct {
		pass time.Duration
		want string
	}{{time.Minute, "thief@else.example"}, {time.Hour, "ann@lapsed.example"}, {time.Hour, "ann@lapsed.example"}} {
		r.clock.add(after.pass)
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.fake.edit(t, "id-ann", func(u *fakeUser) {
			if u.Email != after.want || !u.Verified {
				t.Fatalf("after %s it is another address", after.pass)
			}
		})
		if got := r.fake.state()["ann"]; got != "VQ" {
			t.Fatal(got)
		}
	}
	if strings.Count(r.log.String(), "change_of_address_undone") != 1 || r.fake.ended["id-ann"] == 0 {
		t.Fatal(r.log)
	}
}

// What was mailed before recovery opens is dead when it does: the account stays in the group until its link is.
func TestOpeningWaitsForLinks(t *testing.T) {
	f := small()
	f.realm.LinksLast = 300
	r := newRig(t, f, nil)
	r.wantRecovery(t, closeAt(16, 15), 2, 1, 1, 2)
	f.mu.Lock()
	f.event(eventReset, "id-ann", day(20).Add(-time.Minute), map[string]string{"code_id": "s"})
	f.mu.Unlock()
	a, err := r.client.SetRecovery(t.Context(), openAt(17))
	if err != nil || !a.Pending {
		t.Fatalf("%+v %v", a, err)
	}
	if got := f.state(); got["ann"] != "VQ" || got["ben"] != "V" {
		t.Fatal(got)
	}
	r.clock.add(2 * time.Minute)
	f.mu.Lock()
	f.event(eventReset, "id-ann", r.clock.now(), map[string]string{"code_id": "s2"}) // asking again does not hold it shut
	f.mu.Unlock()
	r.clock.add(2*time.Minute + time.Second)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.state(); got["ann"] != "V" {
		t.Fatal(got)
	}
	r.wantRecovery(t, openAt(17), 0, 1, 3, 0)
}

// Whatever Keycloak does to single calls, and however often the adapter's process ends: the state that was asked for
// last is the state.
func TestRecoveryIsHealedByAskingAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, small(), nil)
		script := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "500", "500 done", "drop"}), 0, 15).Draw(rt, "faults")
		r.fake.spoil(func(*http.Request) (int, bool) {
			r.fake.mu.Lock()
			defer r.fake.mu.Unlock()
			f := ""
			if len(script) > 0 {
				f, script = script[0], script[1:]
			}
			if f == "drop" {
				panic(http.ErrAbortHandler)
			}
			if f == "" {
				return 0, false
			}
			return 500, f == "500 done"
		})
		for i, in := range []registry.RecoveryRequest{closeAt(16, 15), openAt(17), closeAt(18, 15)} {
			var err error
			for range 40 {
				if _, err = r.client.SetRecovery(t.Context(), in); err == nil {
					break
				}
				if registry.Kind(err) != registry.KindRetryable {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "new process") {
					err = errors.Join(err, r.Close())
					r.open(t, nil)
				}
				if rapid.Bool().Draw(rt, "left alone") { // the guard's next tick may come late
					_ = r.Sweep(t.Context())
				}
			}
			if err != nil {
				rt.Fatal(i, err)
			}
			want := map[string]string{"ann": "VQ", "ben": "VQ", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"}
			if in.Desired == registry.RecoveryOpen {
				want = map[string]string{"ann": "V", "ben": "V", "cay": "V", "dee": "V", "eli": "", "fay": "V"}
			}
			if got := r.fake.state(); fmt.Sprint(got) != fmt.Sprint(want) {
				rt.Fatalf("step %d: %v, want %v", i, got, want)
			}
		}
	})
}
