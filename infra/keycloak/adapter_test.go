package keycloak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/infra/conform"
	"github.com/lapseguard/lapseguard/infra/refregistry/contract"
	"github.com/lapseguard/lapseguard/shared/registry"
)

const guardToken = "the-guard's-token"

func day(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }

// loadSpec reads the document once for all tests.
var loadSpec = sync.OnceValues(func() (*contract.Spec, error) { return contract.Load(context.Background()) })

// logs is a log that tests read.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *logs) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

// rig is an adapter before a Keycloak, and the guard's client.
type rig struct {
	*Server
	fake   *fake
	log    *logs
	clock  *clock
	url    string
	client *registry.Client
	path   string
}

func newRig(t *testing.T, f *fake, change func(*Config)) *rig {
	t.Helper()
	r := &rig{fake: f, log: &logs{}, clock: &clock{t: day(20)}, path: filepath.Join(t.TempDir(), "journal.db")}
	r.open(t, change)
	t.Cleanup(func() {
		if s := r.log.String(); strings.Contains(s, "@") || strings.Contains(s, secret) || strings.Contains(s, guardToken) {
			t.Error("an address or a secret is in the log")
		}
	})
	return r
}

// open starts an adapter over the rig's journal, as a new process would.
func (r *rig) open(t *testing.T, change func(*Config)) {
	t.Helper()
	admin, err := NewAdmin(AdminConfig{URL: r.fake.serve(t), Realm: realmName, ClientID: "lapseguard", Secret: secret, Timeout: 2 * time.Second, Now: r.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Admin: admin, Path: r.path, Token: guardToken, Now: r.clock.now, Log: slog.New(slog.NewJSONHandler(r.log, nil))}
	if change != nil {
		change(&cfg)
	}
	if r.Server, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	s := r.Server
	t.Cleanup(func() { _ = s.Close() })
	web := httptest.NewServer(r.Handler())
	t.Cleanup(web.Close)
	r.url = web.URL
	r.client = r.guard(t, func(err error) { t.Error(err) })
}

// guard is the real client, with every exchange held against the contract.
func (r *rig) guard(t *testing.T, report func(error)) *registry.Client {
	t.Helper()
	spec, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	c, err := registry.New(registry.Config{URL: r.url, Token: func(context.Context, bool) (string, error) { return guardToken, nil },
		Transport: spec.Transport(r.url, http.DefaultTransport, report)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request(domain, key string) registry.Request {
	return registry.Request{Domain: domain, VerifiedBefore: day(15), MaxAddresses: 10, Reason: registry.ReasonLapsed, Phase: "redemption",
		Evidence: []string{"seen"}, Run: "run-1", Key: key, Advice: registry.Advice{Code: "add_other_address", Text: "Add a verified address at another domain."}}
}

func wantAnswer(t *testing.T, got registry.Answer, err error, changed, already, kept int) {
	t.Helper()
	if want := (registry.Answer{Changed: changed, AlreadyUnset: already, KeptLater: kept, Recovery: registry.RecoveryClosed}); err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func (r *rig) wantState(t *testing.T, want map[string]string) {
	t.Helper()
	if got := r.fake.state(); !maps.Equal(got, want) {
		t.Fatalf("accounts are %v, want %v", got, want)
	}
}

// small is a realm with a lapsed domain in it.
func small() *fake {
	f := newFake()
	f.add("ann", "ann@lapsed.example", true, day(1))
	f.add("ben", "ben@mail.lapsed.example", true, time.Time{})
	f.add("cay", "cay@notlapsed.example", true, day(1))
	f.add("dee", "dee@lapsed.example", true, day(16))
	f.add("eli", "eli@lapsed.example", false, time.Time{})
	f.add("fay", "fay@lapsed.example.org", true, day(1))
	return f
}

func TestUnverifyClosesMarksAndReadsBack(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.edit(t, "id-ann", func(u *fakeUser) { u.Actions = []string{"CONFIGURE_TOTP"} })
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	r.wantState(t, map[string]string{"ann": "Q", "ben": "Q", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"})
	r.fake.edit(t, "id-ann", func(u *fakeUser) {
		if !slices.Equal(u.Actions, []string{"CONFIGURE_TOTP"}) { // another action would be a door
			t.Error(u.Actions)
		}
	})
	writes := len(r.fake.writes)
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2"))
	wantAnswer(t, a, err, 0, 3, 1)
	if len(r.fake.writes) != writes {
		t.Errorf("written again: %v", r.fake.writes[writes:])
	}
	other := request("lapsed.example", "k")
	other.Run = "run-2"
	if _, err := r.client.Unverify(t.Context(), other); registry.Kind(err) != registry.KindConflict {
		t.Error(err)
	}
}

func TestUnknownTimesAndEventsSwitchedOff(t *testing.T) {
	r := newRig(t, small(), nil)
	in := request("lapsed.example", "k")
	in.Phase = "grace"
	a, err := registry.NewObserver(r.client).Unverify(t.Context(), in)
	wantAnswer(t, a, err, 1, 1, 2) // ben's time is unknown
	c, err := r.Count(t.Context())
	if err != nil || c.EventsOff || c.Addresses != 5 || c.Hosts != 4 || c.Unknown != 1 {
		t.Fatalf("%+v %v", c, err)
	}
	r.fake.eventsOn = false
	c, err = r.Count(t.Context())
	if err != nil || !c.EventsOff || c.Unknown != 5 || !strings.Contains(r.log.String(), "events_off") {
		t.Fatalf("%+v %v", c, err)
	}
	page, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || len(page.Hosts) != 4 || slices.ContainsFunc(page.Hosts, func(h registry.HostCount) bool { return !h.Newest.IsZero() }) {
		t.Fatalf("%+v %v", page, err)
	}
	a, err = registry.NewObserver(r.client).Unverify(t.Context(), in)
	wantAnswer(t, a, err, 0, 1, 3)
	r.fake.eventsOn = true
	a, err = registry.NewObserver(r.client).Unverify(t.Context(), in)
	wantAnswer(t, a, err, 1, 1, 2)
}

// A change of address that nobody confirmed is no verification.
func TestUnconfirmedChangeIsNoVerification(t *testing.T) {
	f := small()
	for name, details := range map[string]map[string]string{
		"ben": {"updated_email": "ben@mail.lapsed.example"}, "cay": {"updated_email": "cay@notlapsed.example", "action": "update-email"}} {
		f.event(actionUpdate, "id-"+name, day(2), details)
	}
	r := newRig(t, f, nil)
	c, err := r.Count(t.Context())
	if err != nil || c.Unknown != 1 {
		t.Fatalf("%+v %v", c, err)
	}
	page, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || page.Hosts[3].Host != "notlapsed.example" || !page.Hosts[3].Newest.Equal(day(2)) {
		t.Fatalf("%+v %v", page, err)
	}
}

// An account that was made since is the new owner's affair, and one in quarantine is unverified whatever its flag.
func TestUnverifiedAccounts(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.add("new", "new@lapsed.example", false, time.Time{})
	r.fake.edit(t, "id-new", func(u *fakeUser) { u.Created = day(16).UnixMilli() })
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 2, 1)
	if got := r.fake.state(); got["new"] != "" || got["eli"] != "Q" {
		t.Fatal(got)
	}
	r.fake.edit(t, "id-ann", func(u *fakeUser) { u.Verified = true })
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2"))
	wantAnswer(t, a, err, 0, 4, 1)
	if c, err := r.Count(t.Context()); err != nil || c.Addresses != 3 {
		t.Fatalf("%+v %v", c, err)
	}
}

// What was marked while there was no group is closed when there is one: by a retry, which has a key of its own, and
// by the sweep. The way back is still there.
func TestMarkedBeforeThereWasAGroup(t *testing.T) {
	for _, by := range []string{"retry", "sweep"} {
		f := small()
		g := f.group
		f.group = nil
		r := newRig(t, f, nil)
		a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
		if err != nil || a.Changed != 2 || a.Recovery != registry.RecoveryOpen {
			t.Fatalf("%+v %v", a, err)
		}
		r.wantState(t, map[string]string{"ann": "", "ben": "", "cay": "V", "dee": "V", "eli": "", "fay": "V"})
		f.mu.Lock()
		f.group = g
		f.mu.Unlock()
		if by == "sweep" {
			if err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2"))
			wantAnswer(t, a, err, 0, 3, 1)
		}
		r.wantState(t, map[string]string{"ann": "Q", "ben": "Q", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"})
		if got, err := r.client.Restore(t.Context(), "k"); err != nil || got != (registry.Restored{Restored: 2}) {
			t.Fatal(got, err)
		}
		r.wantState(t, map[string]string{"ann": "V", "ben": "V", "cay": "V", "dee": "V", "eli": "", "fay": "V"})
	}
}

// An account that an administrator let out is not in quarantine: asked again, the adapter puts it there again.
func TestLetOutAndUnverifiedAgain(t *testing.T) {
	r := newRig(t, small(), nil)
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	r.fake.edit(t, "id-ann", func(u *fakeUser) { u.groups, u.Verified = nil, true })
	r.fake.edit(t, "id-ben", func(u *fakeUser) { u.groups = nil })
	a, err = registry.NewObserver(r.client).Unverify(t.Context(), request("lapsed.example", "k2"))
	if want := (registry.Answer{Changed: 1, AlreadyUnset: 2, KeptLater: 1, Recovery: registry.RecoveryOpen}); err != nil || a != want { // two marks are not in force
		t.Fatalf("got %+v, %v; want %+v", a, err, want)
	}
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2"))
	wantAnswer(t, a, err, 1, 2, 1)
	r.wantState(t, map[string]string{"ann": "Q", "ben": "Q", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"})
}

// Times outlive Keycloak's events, but not a gap in which a later verification may have been missed.
func TestTimesOutliveEventsButNoGap(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.expire = int64((48 * time.Hour).Seconds())
	if _, err := r.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.fake.mu.Lock()
	r.fake.events = nil
	r.fake.mu.Unlock()
	r.clock.add(47 * time.Hour)
	if c, err := r.Count(t.Context()); err != nil || c.Unknown != 1 {
		t.Fatalf("%+v %v", c, err)
	}
	r.clock.add(49 * time.Hour)
	if c, err := r.Count(t.Context()); err != nil || c.Unknown != 5 {
		t.Fatalf("%+v %v", c, err)
	}
}

func TestUnicodeHosts(t *testing.T) {
	f := newFake()
	f.add("ann", "ann@b\u00fccher.example", true, day(1))
	f.add("ben", "ben@xn--bcher-kva.example", true, day(1))
	f.add("cay", "cay@b\uff55\u0308cher.example", true, day(1)) // full width, decomposed
	r := newRig(t, f, nil)
	if _, err := r.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := r.client.Unverify(t.Context(), request("xn--bcher-kva.example", "k"))
	wantAnswer(t, a, err, 3, 0, 0)
}

// Hosts are compared by the name that Keycloak mails to, however the realm spells them.
func TestSpellingsOfOneHost(t *testing.T) {
	for _, counted := range []bool{true, false} {
		f := newFake()
		f.add("ann", "ann@\uff4capsed.dev", true, day(1))              // full width
		f.add("ben", "ben@lapsed\u3002dev", true, day(1))              // ideographic full stop
		f.add("cay", "cay@mail.lapsed\uff0edev", false, time.Time{})   // full-width stop, never verified
		f.add("dee", "dee@stra\u00dfe.dev", true, day(1))              // is mailed at strasse.dev
		f.add("eli", "eli@xn--strae-oqa.dev", true, day(1))            // and this one is not
		f.add("fay", "fay@\uff4e\uff4f\uff54lapsed.dev", true, day(1)) // another domain
		r := newRig(t, f, nil)
		if counted {
			if c, err := r.Count(t.Context()); err != nil || c.Addresses != 5 || c.Hosts != 4 {
				t.Fatalf("%+v %v", c, err)
			}
		}
		a, err := r.client.Unverify(t.Context(), request("lapsed.dev", "k"))
		wantAnswer(t, a, err, 2, 1, 0)
		a, err = r.client.Unverify(t.Context(), request("strasse.dev", "k2"))
		wantAnswer(t, a, err, 1, 0, 0)
		r.wantState(t, map[string]string{"ann": "Q", "ben": "Q", "cay": "Q", "dee": "Q", "eli": "V", "fay": "V"})
	}
}

func TestRecoveryIsClosedOnlyWhenSeen(t *testing.T) {
	broker := func(deny bool, requirement string) []execution {
		list := []execution{
			{ID: "1", Requirement: required, SubFlow: true, Name: "handle existing"},
			{ID: "2", Requirement: required, Provider: providerLinkAsk, Level: 1},
			{ID: "3", Requirement: required, SubFlow: true, Name: "options", Level: 1, Index: 1},
			{ID: "4", Requirement: requirement, Provider: providerLinkMail, Level: 2},
		}
		if deny {
			list = append(list, execution{ID: "5", Requirement: conditional, SubFlow: true, Name: "deny", Level: 1, Index: 2},
				execution{ID: "6", Requirement: required, Provider: providerCondition, Config: "c", Level: 2}, execution{ID: "7", Requirement: required, Provider: providerDeny, Level: 2, Index: 1})
		}
		return list
	}
	own := []provider{{Alias: "other", Enabled: true}}
	for name, c := range map[string]struct {
		change func(f *fake)
		want   registry.Recovery
	}{
		"as installed":          {func(*fake) {}, registry.RecoveryClosed},
		"no deny step":          {func(f *fake) { f.flows["reset"] = resetFlow(false) }, registry.RecoveryOpen},
		"no reset at all":       {func(f *fake) { f.flows["reset"], f.realm.ResetAllowed = resetFlow(false), false }, registry.RecoveryClosed},
		"step switched off":     {func(f *fake) { f.flows["reset"][2].Requirement = disabled }, registry.RecoveryOpen},
		"condition off":         {func(f *fake) { f.flows["reset"][3].Requirement = disabled }, registry.RecoveryOpen},
		"refusal off":           {func(f *fake) { f.flows["reset"][4].Requirement = disabled }, registry.RecoveryOpen},
		"condition negated":     {func(f *fake) { f.configs["c"]["not"] = "true" }, registry.RecoveryOpen},
		"another attribute":     {func(f *fake) { f.configs["c"]["attribute_name"] = "x" }, registry.RecoveryOpen},
		"groups not looked at":  {func(f *fake) { delete(f.configs["c"], "include_group_attributes") }, registry.RecoveryOpen},
		"a condition more":      {func(f *fake) { f.flows["reset"][5].Level = 1 }, registry.RecoveryOpen},
		"step before the mail":  {func(f *fake) { l := resetFlow(true); f.flows["reset"] = slices.Concat(l[:1], l[2:5], l[1:2], l[5:]) }, registry.RecoveryOpen},
		"a flow without a mail": {func(f *fake) { f.flows["reset"][1].Provider = "custom" }, registry.RecoveryOpen},
		"no group":              {func(f *fake) { f.group = nil }, registry.RecoveryOpen},
		"group without mark":    {func(f *fake) { f.group.Attributes = nil }, registry.RecoveryOpen},
		"links by mail":         {func(f *fake) { f.providers, f.flows["broker"] = own, broker(false, "ALTERNATIVE") }, registry.RecoveryOpen},
		"links by mail, denied": {func(f *fake) { f.providers, f.flows["broker"] = own, broker(true, "ALTERNATIVE") }, registry.RecoveryClosed},
		"no links by mail":      {func(f *fake) { f.providers, f.flows["broker"] = own, broker(false, disabled) }, registry.RecoveryClosed},
		"its own flow": {func(f *fake) {
			f.providers, f.flows["own"] = []provider{{Alias: "other", Enabled: true, Flow: "own"}}, broker(false, required)
		}, registry.RecoveryOpen},
		"switched off": {func(f *fake) { f.providers, f.flows["broker"] = []provider{{Alias: "other"}}, broker(false, required) }, registry.RecoveryClosed},
	} {
		t.Run(name, func(t *testing.T) {
			f := small()
			c.change(f)
			r := newRig(t, f, nil)
			a, err := registry.NewObserver(r.client).Unverify(t.Context(), request("lapsed.example", "k"))
			if err != nil || a.Recovery != c.want {
				t.Fatalf("dry: %+v %v", a, err)
			}
			a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k"))
			if err != nil || a.Recovery != c.want || a.Changed != 2 {
				t.Fatalf("%+v %v", a, err)
			}
			if c.want == registry.RecoveryOpen && !strings.Contains(r.log.String(), "recovery_open") {
				t.Error("nobody is told why")
			}
		})
	}
}

// The adapter keeps the contract, as the reference registry does.
func TestAdapterConforms(t *testing.T) {
	f := newFake()
	for i, host := range []string{"rehearsal.example", "rehearsal.example", "mail.rehearsal.example", "notrehearsal.example", "a.example", "b.example", "c.example", "d.example"} {
		at := day(1)
		if i == 1 {
			at = time.Time{}
		}
		f.add(fmt.Sprint("u", i), fmt.Sprintf("u%d@%s", i, host), true, at)
	}
	r := newRig(t, f, nil)
	if _, err := r.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := f.state()
	conforms(t, r.url, "rehearsal.example", "", func() time.Time { return r.clock.add(time.Second) }, func() {
		r.clock.add(time.Minute)
		if _, err := r.Count(t.Context()); err != nil {
			t.Error(err)
		}
	})
	r.wantState(t, before)
}

// conforms walks the contract over an adapter; count makes the counts anew, as Run would. Without the site's hooks two
// checks cannot be made.
func conforms(t *testing.T, url, domain, site string, now func() time.Time, count func()) {
	t.Helper()
	spec, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	report, err := conform.Walk(t.Context(), conform.Config{URL: url, Token: guardToken, Domain: domain, Site: site, Now: now, Key: func() string { return "conform:" + domain },
		Wait: func(context.Context, time.Duration) error { count(); return nil },
		Transport: spec.Transport(url, http.DefaultTransport, func(err error) {
			if strings.HasPrefix(err.Error(), "response") { // requests are broken on purpose
				t.Error(err)
			}
		})})
	unseen := slices.DeleteFunc(slices.Clone(report.Findings), func(f conform.Finding) bool { return site == "" && f.Level == conform.NotChecked })
	if err != nil || len(unseen) > 0 || len(report.Findings) > 2 || len(report.Checks) != 33 {
		t.Fatalf("%v: %d checks, %v", err, len(report.Checks), report.Findings)
	}
}

func TestRestore(t *testing.T) {
	r := newRig(t, small(), nil)
	if _, err := r.client.Restore(t.Context(), "never"); registry.Kind(err) != registry.KindRefused {
		t.Fatal(err)
	}
	r.fake.edit(t, "id-ben", func(u *fakeUser) { u.Actions = []string{actionUpdate, "CONFIGURE_TOTP"} }) // not of our making
	f := r.fake
	f.add("gus", "gus@lapsed.example", true, day(2))
	f.add("hal", "hal@lapsed.example", true, day(2))
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 4, 1, 1)
	f.edit(t, "id-gus", func(u *fakeUser) { u.Email = "gus@else.example" })
	f.remove("id-hal")
	for range 2 {
		got, err := r.client.Restore(t.Context(), "k")
		if err != nil || got != (registry.Restored{Restored: 2, Kept: 2}) {
			t.Fatal(got, err)
		}
	}
	r.wantState(t, map[string]string{"ann": "V", "ben": "VU", "cay": "V", "dee": "V", "eli": "", "fay": "V", "gus": ""})
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); registry.Kind(err) != registry.KindConflict {
		t.Fatal(err)
	}
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2")) // the old times still hold
	wantAnswer(t, a, err, 2, 1, 1)
}

func TestTooManyChangeNothing(t *testing.T) {
	r := newRig(t, small(), nil)
	in := request("lapsed.example", "k")
	in.MaxAddresses = 1
	if _, err := r.client.Unverify(t.Context(), in); registry.Kind(err) != registry.KindRefused || len(r.fake.writes) > 0 {
		t.Fatal(err, r.fake.writes)
	}
	in.MaxAddresses = 2
	a, err := r.client.Unverify(t.Context(), in)
	wantAnswer(t, a, err, 2, 1, 1)
}

func TestConcurrentRepetitionsAreOneUnverify(t *testing.T) {
	r := newRig(t, small(), nil)
	var all sync.WaitGroup
	answers, errs := make([]registry.Answer, 6), make([]error, 6)
	for i := range answers {
		all.Go(func() { answers[i], errs[i] = r.client.Unverify(t.Context(), request("lapsed.example", "k")) })
	}
	all.Wait()
	for i := range answers {
		wantAnswer(t, answers[i], errs[i], 2, 1, 1)
	}
	if len(r.fake.writes) != 8 { // each of three accounts into the group, two marked, all told
		t.Error(r.fake.writes)
	}
}

// What was done under a key is answered also after a newer list called the domain a public suffix.
func TestKnownKeyOfWhatBecameAPublicSuffix(t *testing.T) {
	became := false
	r := newRig(t, small(), func(c *Config) { c.IsPublicSuffix = func(string) bool { return became } })
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	became = true
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k2")); registry.Kind(err) != registry.KindRefused {
		t.Fatal(err)
	}
}

// Every failure leaves the guard's work pending, and says in words what is wrong.
func TestFailuresOfKeycloak(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(r *http.Request) (int, bool)
		says  string
	}{
		"role missing for lists":  {func(r *http.Request) (int, bool) { return only(r, "GET", "/users", 403), false }, "manage-users"},
		"role missing for events": {func(r *http.Request) (int, bool) { return only(r, "GET", "/events", 403), false }, "view-events"},
		"role missing for flows":  {func(r *http.Request) (int, bool) { return only(r, "GET", "/executions", 403), false }, "view-realm"},
		"role missing to write":   {func(r *http.Request) (int, bool) { return only(r, "PUT", "", 403), false }, "manage-users"},
		"down":                    {func(*http.Request) (int, bool) { return 503, false }, "Keycloak answers 503"},
		"says done, does nothing": {func(r *http.Request) (int, bool) { return only(r, "PUT", "/id-ann", 204), false }, "nothing has changed"},
		"slow": {func(r *http.Request) (int, bool) {
			if r.Method == "PUT" {
				_, _ = io.Copy(io.Discard, r.Body) // without this the server does not see that the caller is gone
				<-r.Context().Done()
			}
			return 0, false
		}, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, small(), nil)
			r.cfg.Admin.http.Timeout = 100 * time.Millisecond
			r.fake.spoil(c.fault)
			_, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
			var p *registry.Problem
			if registry.Kind(err) != registry.KindRetryable || !errors.As(err, &p) || !strings.Contains(p.Detail, c.says) || p.RetryAfter == 0 {
				t.Fatalf("%v", err)
			}
			r.fake.spoil(nil)
			r.cfg.Admin.http.Timeout = 2 * time.Second
			a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
			wantAnswer(t, a, err, 2, 1, 1)
		})
	}
}

func only(r *http.Request, method, path string, status int) int {
	if r.Method == method && strings.HasSuffix(r.URL.Path, path) {
		return status
	}
	return 0
}

func TestWrongSecretAndTokenThatEnds(t *testing.T) {
	r := newRig(t, small(), nil)
	if _, err := r.Count(t.Context()); err != nil || r.fake.tokens != 1 {
		t.Fatal(err, r.fake.tokens)
	}
	r.clock.add(281 * time.Second) // within the margin
	if _, err := r.Count(t.Context()); err != nil || r.fake.tokens != 2 {
		t.Fatal(err, r.fake.tokens)
	}
	r.fake.mu.Lock()
	r.fake.token = "taken back"
	r.fake.mu.Unlock()
	if _, err := r.Count(t.Context()); err != nil || r.fake.tokens != 3 {
		t.Fatal(err, r.fake.tokens)
	}
	r.cfg.Admin.cfg.Secret = "wrong"
	r.clock.add(time.Hour)
	_, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	if registry.Kind(err) != registry.KindRetryable || !strings.Contains(err.Error(), "check client id and secret") {
		t.Fatal(err)
	}
}

// An account that is deleted or changed between list and write is left alone; one that Keycloak refuses to change
// leaves recovery open.
func TestAccountsThatMoveMeanwhile(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.add("gus", "gus@lapsed.example", true, day(2))
	r.fake.spoil(func(req *http.Request) (int, bool) {
		if req.Method != "PUT" {
			return 0, false
		}
		r.fake.spoil(nil)
		r.fake.remove("id-ben")
		r.fake.edit(t, "id-gus", func(u *fakeUser) { u.Email = "gus@else.example" })
		return 0, false
	})
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 1, 1, 1)
	r.wantState(t, map[string]string{"ann": "Q", "cay": "V", "dee": "V", "eli": "Q", "fay": "V", "gus": "V"})
}

func TestReadOnlyAccountLeavesRecoveryOpen(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.spoil(func(req *http.Request) (int, bool) {
		if req.Method == "PUT" && strings.HasSuffix(req.URL.Path, "/id-ben") {
			return 400, false
		}
		return 0, false
	})
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	if err != nil || a.Changed != 1 || a.Recovery != registry.RecoveryOpen || !strings.Contains(r.log.String(), "accounts_not_changed") {
		t.Fatalf("%+v %v", a, err)
	}
	r.fake.spoil(nil)
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2"))
	wantAnswer(t, a, err, 1, 2, 1)
}

// Whatever Keycloak does to single calls, and however often the adapter's process ends: asking again until there is
// an answer does the work once, and the answer is that of an undisturbed run. So with the way back.
func TestEveryFaultIsHealedByAskingAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, small(), nil)
		script := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "500", "500 done", "404", "drop", "drop done", "restart"}), 0, 15).Draw(rt, "faults")
		var mu sync.Mutex
		next := func() string {
			mu.Lock()
			defer mu.Unlock()
			if len(script) == 0 {
				return ""
			}
			f := script[0]
			script = script[1:]
			return f
		}
		r.fake.spoil(func(req *http.Request) (int, bool) {
			switch f := next(); f {
			case "500", "500 done":
				return 500, f == "500 done"
			case "404": // of a proxy in between: only where it means nothing
				if req.Method == "GET" && strings.HasSuffix(req.URL.Path, "/events") {
					return 404, false
				}
			case "drop":
				panic(http.ErrAbortHandler)
			}
			return 0, false
		})
		insist := func(do func(c *registry.Client) error) {
			var err error
			for range 40 {
				c := r.guard(t, func(err error) { t.Error(err) })
				if err = do(c); err == nil {
					return
				}
				if registry.Kind(err) != registry.KindRetryable {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "new process") {
					_ = r.Close()
					r.open(t, nil)
				}
			}
			rt.Fatal(err)
		}
		insist(func(c *registry.Client) error {
			a, err := c.Unverify(t.Context(), request("lapsed.example", "k"))
			if err == nil {
				wantAnswer(t, a, err, 2, 1, 1)
			}
			return err
		})
		r.wantState(t, map[string]string{"ann": "Q", "ben": "Q", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"})
		insist(func(c *registry.Client) error {
			got, err := c.Restore(t.Context(), "k")
			if err == nil && got != (registry.Restored{Restored: 2}) {
				rt.Fatal(got)
			}
			return err
		})
		r.wantState(t, map[string]string{"ann": "V", "ben": "V", "cay": "V", "dee": "V", "eli": "", "fay": "V"})
	})
}

// Work that was begun is finished whether or not the caller asks again.
func TestSweepFinishesWhatWasBegun(t *testing.T) {
	r := newRig(t, small(), nil)
	r.fake.spoil(func(req *http.Request) (int, bool) { return only(req, "PUT", "/id-ben", 500), false })
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err == nil {
		t.Fatal("done")
	}
	if _, err := r.client.Restore(t.Context(), "k"); registry.Kind(err) != registry.KindRetryable {
		t.Fatal(err)
	}
	r.fake.spoil(nil)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wantState(t, map[string]string{"ann": "Q", "ben": "Q", "cay": "V", "dee": "V", "eli": "Q", "fay": "V"})
	if got, err := r.client.Restore(t.Context(), "k"); err != nil || got.Restored != 2 {
		t.Fatal(got, err)
	}
}

func TestWorkThatTakesLongIsAccepted(t *testing.T) {
	r := newRig(t, small(), func(c *Config) { c.Patience = 300 * time.Millisecond })
	slow := make(chan struct{})
	r.fake.spoil(func(req *http.Request) (int, bool) {
		if req.Method == "PUT" {
			<-slow
		}
		return 0, false
	})
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	if err != nil || !a.Pending {
		t.Fatalf("%+v %v", a, err)
	}
	close(slow)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
}
