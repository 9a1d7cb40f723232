package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/functions/applier/applier"
	"github.com/lapseguard/lapseguard/functions/checker/checker"
	"github.com/lapseguard/lapseguard/infra/host"
	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// rehearsal is the whole scenario on one machine, without anything around it.
type rehearsal struct {
	scenario *Scenario
	coming   []Verification
	at       atomic.Int64
	registry *refregistry.Server
	net      *sim.Internet
	host     *host.Host
}

func (r *rehearsal) now() time.Time { return time.Unix(0, r.at.Load()).UTC() }

func (r *rehearsal) set(at time.Time) { r.at.Store(at.UnixNano()) }

func rehearse(t *testing.T) *rehearsal {
	t.Helper()
	r := &rehearsal{scenario: load(t)}
	r.coming = r.scenario.Verifications()
	r.set(r.scenario.Start)
	var err error
	if r.registry, err = refregistry.Open(refregistry.Config{Path: ":memory:", Token: "token", Now: r.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.registry.Close() })
	rows := func(yield func(refregistry.Row) bool) {
		for _, a := range r.scenario.Accounts() {
			if !yield(refregistry.Row{Address: a.Address, VerifiedAt: a.VerifiedAt}) {
				return
			}
		}
	}
	if err := r.registry.Load(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(r.registry.Handler())
	t.Cleanup(web.Close)
	token := func(token string) func(context.Context, bool) (string, error) {
		return func(context.Context, bool) (string, error) { return token, nil }
	}
	client, err := registry.New(registry.Config{URL: web.URL, Token: token("token")})
	if err != nil {
		t.Fatal(err)
	}
	if r.net, err = sim.New(r.scenario.World(), sim.Config{Now: r.now, Silence: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := r.net.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.net.Close)
	log := slog.New(slog.DiscardHandler)
	r.host, err = host.Open(t.Context(), host.Config{
		Path: filepath.Join(t.TempDir(), "guard.db"), List: client, Registry: client, Mode: applier.Enforce, Workers: 8, Log: log, Now: r.now,
		Limits: safety.DefaultLimits(), BaselineDays: r.scenario.BaselineDays,
		Sources: checker.Sources{
			Contact: "rehearsal", Bootstrap: r.net.BootstrapURL(), RDAPRate: 1e6, DNSServers: []string{r.net.DNSAddr()}, DNSTimeout: 100 * time.Millisecond,
			RDAPTimeout: 2 * time.Second, StatusURL: r.net.StatusURL(sim.Fastly), StatusAPI: sim.Fastly, StatusToken: token(r.scenario.StatusToken), Log: log, Now: r.now,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.host.Close() })
	return r
}

// play runs the schedules until then: daily at the start's hour, the applier every quarter of an hour.
func (r *rehearsal) play(t *testing.T, until time.Time) {
	t.Helper()
	for at := r.now(); at.Before(until); at = at.Add(15 * time.Minute) {
		r.set(at)
		for ; len(r.coming) > 0 && !r.coming[0].At.After(at); r.coming = r.coming[1:] {
			r.verify(t, r.coming[0])
		}
		if at.Sub(r.scenario.Start)%(24*time.Hour) == 0 {
			if err := r.host.Day(t.Context()); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
		}
		if _, err := r.host.Tick(t.Context()); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
	}
	r.set(until)
}

func (r *rehearsal) verify(t *testing.T, v Verification) {
	t.Helper()
	if v.New {
		if err := r.registry.AddAddress(t.Context(), v.Address, &v.At); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := r.registry.Verify(t.Context(), v.Address, v.At); err != nil {
		t.Fatal(err)
	}
}

// TestRehearsal plays the scenario through the real functions, a real registry and real sockets: what the file
// expects is what comes of it, address by address, and still is after another daily run.
func TestRehearsal(t *testing.T) {
	r := rehearse(t)
	for _, end := range []time.Time{r.scenario.End(), r.scenario.End().Add(6*time.Hour + time.Minute)} {
		r.play(t, end)
		r.check(t)
	}
	r.nothingTwice(t)
	r.everyAnswerWasGiven(t)
}

// everyAnswerWasGiven: a trap that nobody walks past proves nothing.
func (r *rehearsal) everyAnswerWasGiven(t *testing.T) {
	t.Helper()
	given := map[string]bool{}
	for _, a := range r.net.Asked() {
		kind, _, _ := strings.Cut(a.Source, ":")
		given[kind+" "+a.Answer] = true
	}
	for _, a := range sim.DNSAnswers() {
		if !given["dns "+string(a)] {
			t.Errorf("no zone was seen to answer %q", a)
		}
	}
	for _, a := range sim.RDAPAnswers() {
		if !given["rdap "+string(a)] {
			t.Errorf("no registry was seen to answer %q", a)
		}
	}
	for _, a := range sim.StatusAnswers() {
		if !given["status "+string(a)] {
			t.Errorf("the status API was not seen to answer %q", a)
		}
	}
}

func (r *rehearsal) check(t *testing.T) {
	t.Helper()
	for _, d := range r.scenario.Domains {
		got, err := store.GetDomain(t.Context(), r.host.Store, d.Name)
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		want := d.Expect
		if action := effective(got); got.State.Phase != want.Phase || action != want.Action || want.Reason != "" && got.Reason != want.Reason {
			t.Errorf("%s (%s) at %s: %s, %s (%s), want %s, %s %s\n%s", d.Name, d.Row, r.now(), got.State.Phase, action, got.Reason, want.Phase, want.Action, want.Reason, r.story(t, d.Name))
		}
	}
	addresses, err := r.registry.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expected := r.scenario.Unverified()
	for i, a := range addresses {
		if lost := slices.Contains(expected, a.Address); lost == a.Verified {
			t.Errorf("address %d, at %s, at %s: verified %v, expected unverified %v", i, a.Domain, r.now(), a.Verified, lost)
		}
	}
}

// nothingTwice: the registry's own log has no decision that changed addresses a second time, and every host of
// the scenario without a domain is still verified.
func (r *rehearsal) nothingTwice(t *testing.T) {
	t.Helper()
	calls, err := r.registry.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]int{}
	for _, c := range calls {
		if c.Changed > 0 {
			changed[c.Key]++
		}
	}
	if len(changed) == 0 {
		t.Error("the registry was never told anything")
	}
	for key, n := range changed {
		if n > 1 {
			t.Errorf("%s changed addresses %d times", key, n)
		}
	}
}

// effective is what became of a domain: a decision that is held instead of carried out is a hold.
func effective(d store.Domain) lifecycle.Action {
	if d.Action == lifecycle.Unverify && d.Done != d.Decision() && d.Held != "" {
		return lifecycle.Hold
	}
	return d.Action
}

// story is a domain's history, oldest first.
func (r *rehearsal) story(t *testing.T, name string) string {
	t.Helper()
	entries, err := store.History(t.Context(), r.host.Store, name, 40)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range slices.Backward(entries) {
		said := ""
		for _, w := range e.Evidence {
			said += fmt.Sprintf(" [%s: %s %s]", w.Source, w.Said, w.Cause)
		}
		text += fmt.Sprintf("  %s %s: %s > %s, %s (%s)%s\n", e.At.Sub(r.scenario.Start), e.What, e.Before, e.After, e.Action, e.Reason, said)
	}
	return text
}
