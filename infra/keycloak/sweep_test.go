package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source"
)

// What lifts a quarantine, and what does not.
func TestSweep(t *testing.T) {
	verified := func(f *fake, at time.Time, session string) {
		f.event(actionVerify, "id-ann", at, map[string]string{"email": "ann@lapsed.example", "action": "verify-email", "code_id": session})
	}
	login := func(f *fake, at time.Time, session string) {
		f.event("LOGIN", "id-ann", at, map[string]string{"code_id": session})
	}
	same := func(u *fakeUser) { u.Verified, u.Actions = true, nil }
	soon, later := day(20).Add(time.Hour), day(20).Add(2*time.Hour)
	moved := func(f *fake, u *fakeUser, broker map[string]string) {
		same(u)
		u.Email = "ann@else.example"
		f.event(actionUpdate, "id-ann", soon, map[string]string{"updated_email": u.Email, "action": "update-email", "code_id": "s"})
		if broker != nil {
			f.event("LOGIN", "id-ann", later, broker)
		}
	}
	for name, c := range map[string]struct {
		back  bool
		fails bool // nobody knows whether it is back
		edit  func(f *fake, u *fakeUser)
		want  string // of ann
	}{
		"nothing":                          {edit: func(*fake, *fakeUser) {}, want: "Q"},
		"moved, by no event":               {edit: func(_ *fake, u *fakeUser) { same(u); u.Email = "ann@else.example" }, want: "VQ"},
		"moved, by whoever reads the mail": {edit: func(f *fake, u *fakeUser) { moved(f, u, nil); login(f, later, "other") }, want: "VQ"},
		"moved, in a session":              {edit: func(f *fake, u *fakeUser) { moved(f, u, nil); login(f, later, "s") }, want: "V"},
		"moved, asked for in a session": {edit: func(f *fake, u *fakeUser) {
			moved(f, u, nil)
			login(f, soon.Add(-2*time.Minute), "console")
			f.event(eventSend, u.ID, soon.Add(-time.Minute), map[string]string{"email": u.Email, "code_id": "console"})
		}, want: "V"},
		"moved, asked for by a mail's link": {edit: func(f *fake, u *fakeUser) {
			moved(f, u, nil)
			login(f, soon, "console")
			f.event(eventSend, u.ID, soon.Add(-time.Minute), map[string]string{"email": u.Email, "code_id": "t"})
		}, want: "VQ"},
		"moved, signed in by a provider":   {edit: func(f *fake, u *fakeUser) { moved(f, u, map[string]string{"identity_provider": "p", "code_id": "s"}) }, want: "VQ"},
		"moved, by a password of since":    {edit: func(f *fake, u *fakeUser) { u.reset = 10000 * time.Hour; moved(f, u, nil); login(f, later, "s") }, want: "VQ"},
		"another address, not verified":    {edit: func(_ *fake, u *fakeUser) { u.Email = "ann@else.example" }, want: "Q"},
		"another one at the same domain":   {edit: func(_ *fake, u *fakeUser) { same(u); u.Email = "ann2@mail.lapsed.example" }, want: "Q"},
		"a link followed by anybody":       {edit: func(f *fake, u *fakeUser) { same(u); verified(f, soon, "s"); login(f, later, "other") }, want: "Q"},
		"in a session, still lapsed":       {edit: func(f *fake, u *fakeUser) { same(u); verified(f, soon, "s"); login(f, later, "s") }, want: "Q"},
		"in a session, nobody knows":       {back: true, fails: true, edit: func(f *fake, u *fakeUser) { same(u); verified(f, soon, "s"); login(f, later, "s") }, want: "Q"},
		"in a session, back":               {back: true, edit: func(f *fake, u *fakeUser) { same(u); verified(f, soon, "s"); login(f, later, "s") }, want: "V"},
		"back, a link followed by anybody": {back: true, edit: func(f *fake, u *fakeUser) { same(u); verified(f, soon, "s"); login(f, later, "other") }, want: "QU"},
		"back, in a session of before":     {back: true, edit: func(f *fake, u *fakeUser) { same(u); verified(f, day(19), "s"); login(f, day(19), "s") }, want: "QU"},
		"back, signed in before the link":  {back: true, edit: func(f *fake, u *fakeUser) { same(u); verified(f, later, "s"); login(f, soon, "s") }, want: "V"},
		"back, without a session's name":   {back: true, edit: func(f *fake, u *fakeUser) { same(u); verified(f, soon, ""); login(f, later, "") }, want: "QU"},
		"back, verified by no event":       {back: true, edit: func(_ *fake, u *fakeUser) { same(u) }, want: "QU"},
		"back, another one there": {back: true, edit: func(f *fake, u *fakeUser) {
			same(u)
			u.Email = "ann2@mail.lapsed.example"
			verified(f, soon, "s")
			login(f, later, "s")
		}, want: "QU"},
		"back, another one, in a session": {back: true, edit: func(f *fake, u *fakeUser) {
			same(u)
			u.Email = "ann2@mail.lapsed.example"
			f.event(actionVerify, "id-ann", soon, map[string]string{"email": u.Email, "action": "verify-email", "code_id": "s"})
			login(f, later, "s")
		}, want: "V"},
		"taken out by another tool":                       {edit: func(_ *fake, u *fakeUser) { u.groups = nil }, want: "Q"},
		"taken out and verified by another tool":          {edit: func(_ *fake, u *fakeUser) { same(u); u.groups = nil }, want: "Q"},
		"taken out by another tool, unverified elsewhere": {edit: func(_ *fake, u *fakeUser) { u.groups, u.Email = nil, "ann@else.example" }, want: "Q"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, small(), func(cfg *Config) {
				cfg.Standing = func(_ context.Context, domain string, before time.Time) (bool, error) {
					if domain != "lapsed.example" || !before.Equal(day(15)) {
						t.Error(domain, before)
					}
					if c.fails {
						return c.back, errors.New("no answer")
					}
					return c.back, nil
				}
				cfg.Delegated = func(context.Context, string) (bool, error) {
					if c.fails {
						return false, errors.New("no answer")
					}
					return c.back, nil
				}
			})
			others := "Q"
			if c.back && !c.fails {
				others = "QU" // offered to verify again
			}
			a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
			wantAnswer(t, a, err, 2, 1, 1)
			r.fake.edit(t, "id-ann", func(u *fakeUser) { c.edit(r.fake, u) })
			for range 2 { // and it stays so
				if err := r.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := r.fake.state(); got["ann"] != c.want || got["ben"] != others {
					t.Fatalf("%v, want ann to be %s", got, c.want)
				}
			}
			if got, err := r.client.Restore(t.Context(), "k"); err != nil || got.Restored+got.Kept != 2 {
				t.Fatal(got, err)
			}
			if got := r.fake.state(); strings.Contains(got["ann"]+got["ben"], "Q") {
				t.Fatalf("%v are in quarantine after a restore", got)
			}
		})
	}
}

// A lifted quarantine is over: another lapse of the new address's domain is another mark.
func TestLiftedAccountCanBeMarkedAgain(t *testing.T) {
	r := newRig(t, small(), nil)
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	r.fake.edit(t, "id-ann", func(u *fakeUser) {
		u.Verified, u.Actions, u.Email = true, nil, "ann@else.example"
		at := day(20).Add(time.Hour)
		r.fake.event(actionUpdate, "id-ann", at, map[string]string{"updated_email": u.Email, "action": "update-email", "code_id": "s"})
		r.fake.event("LOGIN", "id-ann", at, map[string]string{"code_id": "s"})
	})
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := request("else.example", "k2")
	again.VerifiedBefore = day(21) // after the move
	a, err := r.client.Unverify(t.Context(), again)
	wantAnswer(t, a, err, 1, 0, 0)
	if got := r.fake.state()["ann"]; got != "Q" {
		t.Fatal(got)
	}
	if got, err := r.client.Restore(t.Context(), "k"); err != nil || got != (registry.Restored{Restored: 1, Kept: 1}) {
		t.Fatal(got, err)
	}
	if got := r.fake.state()["ann"]; got != "Q" {
		t.Fatal("the first key's restore undid the second's mark")
	}
}

func TestMembersOfOthersAreLeftAlone(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.edit(t, "id-cay", func(u *fakeUser) { u.groups = []string{"g"} })
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.fake.state()["cay"]; got != "VQ" || !strings.Contains(r.log.String(), "quarantined_by_others") {
		t.Fatal(got, r.log)
	}
}

func TestStanding(t *testing.T) {
	before := day(15)
	served := source.Observation{Outcome: source.Observed, Delegation: &source.Delegation{Form: source.FormReferral, NS: []string{"ns1.hoster.example"}}}
	reg := func(change func(*source.Registration)) source.Observation {
		r := source.Registration{Authoritative: true, Registered: day(1), Statuses: []string{"active"}}
		change(&r)
		return source.Observation{Outcome: source.Observed, Registration: &r}
	}
	plainly := reg(func(*source.Registration) {})
	for name, c := range map[string]struct {
		rdap, dns source.Observation
		back, ok  bool
	}{
		"as before":             {plainly, served, true, true},
		"registered anew":       {reg(func(r *source.Registration) { r.Registered = day(16) }), served, false, true},
		"registered that day":   {reg(func(r *source.Registration) { r.Registered = before }), served, false, true},
		"transferred since":     {reg(func(r *source.Registration) { r.Transferred = day(16) }), served, false, true},
		"in redemption":         {reg(func(r *source.Registration) { r.Statuses = []string{"redemption period"} }), served, false, true},
		"deleted, no status":    {reg(func(r *source.Registration) { r.Statuses, r.Deleted = nil, day(14) }), served, false, true},
		"not delegated":         {plainly, source.Observation{Outcome: source.Absent}, false, true},
		"parked":                {plainly, source.Observation{Outcome: source.Observed, Delegation: &source.Delegation{Form: source.FormReferral, NS: []string{"ns1.sedoparking.com"}}}, false, true},
		"no date":               {reg(func(r *source.Registration) { r.Registered = time.Time{} }), served, false, false},
		"RDAP does not answer":  {source.Observation{Outcome: source.Unknown, Cause: source.CauseTimeout}, served, false, false},
		"RDAP knows no such":    {source.Observation{Outcome: source.Absent}, served, false, false},
		"zone does not answer":  {plainly, source.Observation{Outcome: source.Unknown, Cause: source.CauseServfail}, false, false},
		"named, not delegated":  {plainly, source.Observation{Outcome: source.Observed, Delegation: &source.Delegation{Form: source.FormNoData}}, false, true},
		"on hold, so not there": {reg(func(r *source.Registration) { r.Statuses = []string{"client hold"} }), served, false, true},
	} {
		w := Witnesses{
			Registration: func(_ context.Context, name, tld string) source.Observation {
				if name != "lapsed.co.uk" || tld != "uk" {
					t.Error(name, tld)
				}
				return c.rdap
			},
			Delegation: func(_ context.Context, name, suffix string) source.Observation {
				if name != "lapsed.co.uk" || suffix != "co.uk" {
					t.Error(name, suffix)
				}
				return c.dns
			},
		}
		if back, err := w.Standing(t.Context(), "lapsed.co.uk", before); back != c.back || (err == nil) != c.ok {
			t.Errorf("%s: %t %v", name, back, err)
		}
	}
}

// Accounts that come and go while they are counted: whoever was there all the time is counted once.
func TestCountWhileAccountsMove(t *testing.T) {
	f := newFake()
	const stay = 3 * DefaultPage
	for i := range stay {
		f.add(fmt.Sprintf("m%05d", i), fmt.Sprintf("m%d@h%d.example", i, i%7), true, day(1))
	}
	for i := range 4 {
		f.add(fmt.Sprintf("a%d", i), fmt.Sprintf("a%d@gone.example", i), true, day(1))
	}
	r := newRig(t, f, nil)
	lists := 0
	f.spoil(func(req *http.Request) (int, bool) {
		if strings.HasSuffix(req.URL.Path, "/users") {
			switch lists++; lists { // between the pages
			case 2:
				f.remove("id-a0")
				f.remove("id-a1")
			case 4:
				f.add("b0", "b0@new.example", true, day(1))
			}
		}
		return 0, false
	})
	c, err := r.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := r.client.List(t.Context(), "", 100, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, h := range page.Hosts {
		if strings.HasPrefix(h.Host, "h") {
			sum += h.Addresses
		}
	}
	if sum != stay || lists < 6 {
		t.Fatalf("%d of %d who stayed are counted, in %d lists: %+v", sum, stay, lists, c)
	}
}

func TestListStatesItsTimeAndRefusesWhatIsTooOld(t *testing.T) {
	r := newRig(t, small(), nil)
	if _, err := r.client.List(t.Context(), "", 10, time.Time{}); registry.Kind(err) != registry.KindRetryable || !strings.Contains(err.Error(), "not counted yet") {
		t.Fatal(err)
	}
	if _, err := r.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || !first.AsOf.Equal(day(20)) || len(first.Hosts) != 4 {
		t.Fatal(first, err)
	}
	r.clock.add(2 * time.Hour)
	if again, err := r.client.List(t.Context(), "", 10, time.Time{}); err != nil || !again.AsOf.Equal(day(20)) || len(r.stale) != 1 {
		t.Fatal(again, err, "and no new count is asked for")
	}
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	changes, err := r.client.List(t.Context(), "", 10, first.AsOf.Add(time.Minute))
	if err != nil || len(changes.Hosts) != 2 || changes.Hosts[0].Host != "lapsed.example" || changes.Hosts[0].Addresses != 1 || changes.Hosts[1].Addresses != 0 {
		t.Fatalf("%+v %v", changes, err)
	}
	r.clock.add(25 * time.Hour)
	if _, err := r.client.List(t.Context(), "", 10, time.Time{}); registry.Kind(err) != registry.KindRetryable || !strings.Contains(err.Error(), "no recent count") {
		t.Fatal(err)
	}
}

// Run counts at once, again when asked, finishes what was begun, and ends with its context.
func TestRun(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.spoil(func(req *http.Request) (int, bool) { return only(req, "PUT", "/id-ben", 500), false })
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err == nil {
		t.Fatal("done")
	}
	counted := make(chan struct{}, 100)
	r.fake.spoil(func(req *http.Request) (int, bool) {
		if strings.HasSuffix(req.URL.Path, "/users") && req.URL.Query().Get("email") == "" { // a count reads every account
			counted <- struct{}{}
		}
		return 0, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	<-counted
	r.recount()
	<-counted
	cancel()
	<-ended
	if got := r.fake.state(); got["ann"] != "Q" || got["ben"] != "Q" {
		t.Fatal(got)
	}
	page, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || slices.ContainsFunc(page.Hosts, func(h registry.HostCount) bool { return h.Host == "mail.lapsed.example" }) {
		t.Fatalf("%+v %v", page, err)
	}
}

// BenchmarkCount counts 100,000 accounts at 20,000 hosts, pages of a fake included.
func BenchmarkCount(b *testing.B) {
	f := newFake()
	for i := range 100_000 {
		u := &fakeUser{name: fmt.Sprintf("u%06d", i), account: account{ID: fmt.Sprintf("id-%06d", i), Email: fmt.Sprintf("u%d@h%05d.example", i, i%20_000), Verified: true}}
		f.users = append(f.users, u)
	}
	now := func() time.Time { return day(20) }
	admin, err := NewAdmin(AdminConfig{URL: f.serve(b), Realm: realmName, ClientID: "lapseguard", Secret: secret, Now: now})
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(Config{Admin: admin, Path: b.TempDir() + "/journal.db", Token: guardToken, Now: now})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		if c, err := s.Count(b.Context()); err != nil || c.Addresses != 100_000 || c.Hosts != 20_000 {
			b.Fatal(c, err)
		}
	}
}
