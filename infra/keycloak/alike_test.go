package keycloak

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// likeKeycloak are the checks that the fake and a real Keycloak both pass. add makes an account and gives its id.
func likeKeycloak(t *testing.T, a *Admin, add func(name, email string, verified bool) string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]string{}
	for i, email := range []string{"Alike1@Sub.Alike.example", "alike2@notalike.example", "alike3@alike.example", "alike4@alike.example.org"} {
		name := fmt.Sprint("alike", i+1)
		ids[name] = add(name, email, i != 3)
	}
	found, err := a.accounts(ctx, accountQuery{email: "alike.example", max: 10})
	must(err)
	var emails []string
	for _, u := range found {
		emails = append(emails, u.Email)
		if len(u.Actions) > 0 || u.Created == 0 || u.ID != ids[u.Email[:6]] {
			t.Errorf("%+v", u)
		}
	}
	if want := []string{"alike1@sub.alike.example", "alike2@notalike.example", "alike3@alike.example", "alike4@alike.example.org"}; !slices.Equal(emails, want) {
		t.Errorf("a substring, in lower case, by name: %d found", len(emails))
	}
	page, err := a.accounts(ctx, accountQuery{email: "alike.example", verified: true, first: 1, max: 1})
	must(err)
	past, err := a.accounts(ctx, accountQuery{email: "alike.example", verified: true, first: 3, max: 5})
	must(err)
	if len(page) != 1 || page[0].ID != ids["alike2"] || len(past) != 0 {
		t.Error("first and max", len(page), len(past))
	}
	likeAccount(t, a, ids["alike3"])
	for what, err := range map[string]error{
		"read": second(a.account(ctx, "no-such-account")), "set": a.set(ctx, "no-such-account", false, nil),
		"groups": second(a.member(ctx, "no-such-account", "g")), "flow": second(a.executions(ctx, "no such flow")),
	} {
		if !gone(err) {
			t.Errorf("%s of what is not there: %v", what, err)
		}
	}
	kept, err := a.eventsConfig(ctx)
	must(err)
	events, err := a.events(ctx, eventQuery{types: []string{actionVerify, actionUpdate}, user: ids["alike3"], since: time.Now(), max: 5})
	must(err)
	if !kept.times || !kept.resets || len(events) != 0 {
		t.Error(kept, len(events))
	}
	first, err := a.keys(ctx)
	must(err)
	must(a.endForms(ctx, time.Now()))
	then, err := a.keys(ctx)
	must(err)
	if len(first.Active) == 0 || len(then.Keys) != len(first.Keys)+1 || then.Active[formsKeys] == first.Active[formsKeys] {
		t.Errorf("a new key: %v %v", first, then)
	}
}

func second[T any](_ T, err error) error { return err }

// likeAccount changes one account in every way that the adapter does.
func likeAccount(t *testing.T, a *Admin, id string) {
	t.Helper()
	ctx := t.Context()
	g, err := a.group(ctx)
	if err != nil || !g.sound() {
		t.Fatal(g, err)
	}
	before, err := a.account(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{
		func() error { return a.set(ctx, id, false, []string{"UPDATE_PASSWORD", actionUpdate}) },
		func() error { return a.set(ctx, id, false, []string{actionUpdate}) }, // replaces
		func() error { return a.join(ctx, id, g.ID) },
		func() error { return a.join(ctx, id, g.ID) }, // again
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	u, err := a.account(ctx, id)
	in, err2 := a.member(ctx, id, g.ID)
	if err != nil || err2 != nil || u.Verified || !slices.Equal(u.Actions, []string{actionUpdate}) || u.Email != before.Email || u.Email == "" || !in {
		t.Errorf("set and joined: %v %v %v %v %t", err, err2, u.Verified, u.Actions, in)
	}
	for _, words := range []string{"words", "other words", ""} { // and nothing else changes
		err := a.setNotice(ctx, u, words)
		told, err2 := a.account(ctx, id)
		if err != nil || err2 != nil || told.notice() != words || told.Email != u.Email || told.First != u.First || told.Last != u.Last || told.Username != u.Username ||
			told.Verified != u.Verified || !slices.Equal(told.Actions, u.Actions) {
			t.Errorf("told %q: %v %v", words, err, err2)
		}
		u = told
	}
	for _, do := range []func() error{
		func() error { return a.leave(ctx, id, g.ID) }, func() error { return a.leave(ctx, id, g.ID) }, // again
		func() error { return a.set(ctx, id, true, nil) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	u, err = a.account(ctx, id)
	in, err2 = a.member(ctx, id, g.ID)
	if err != nil || err2 != nil || !u.Verified || len(u.Actions) > 0 || in {
		t.Errorf("taken back: %v %v %v %v %t", err, err2, u.Verified, u.Actions, in)
	}
}

func TestFakeIsLikeKeycloak(t *testing.T) {
	f := newFake()
	a, err := NewAdmin(AdminConfig{URL: f.serve(t), Realm: realmName, ClientID: "lapseguard", Secret: secret, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	likeKeycloak(t, a, func(name, email string, verified bool) string { return f.add(name, email, verified, time.Time{}) })
}

// addReal makes an account in a real Keycloak, for the time of a test.
func addReal(t *testing.T, a *Admin) func(name, email string, verified bool) string {
	return func(name, email string, verified bool) string {
		t.Helper()
		err := a.do(t.Context(), call{doing: "make an account", method: http.MethodPost, path: "/users", in: map[string]any{
			"username": name, "email": email, "emailVerified": verified, "enabled": true, "firstName": "A", "lastName": "B"}})
		if err != nil {
			t.Fatal(err)
		}
		list, err := a.accounts(t.Context(), accountQuery{email: email, max: 2})
		if err != nil || len(list) != 1 {
			t.Fatal(len(list), err)
		}
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			if err := a.do(ctx, call{doing: "delete an account", method: http.MethodDelete, path: "/users/" + list[0].ID}); err != nil {
				t.Error(err)
			}
		})
		return list[0].ID
	}
}
