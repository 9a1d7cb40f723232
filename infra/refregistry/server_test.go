package refregistry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/refregistry/contract"
	"github.com/lapseguard/lapseguard/shared/registry"
)

const token = "a-token-for-tests"

func day(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }

func ptr(t time.Time) *time.Time { return &t }

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// loadSpec reads the document once for all tests.
var loadSpec = sync.OnceValues(func() (*contract.Spec, error) { return contract.Load(context.Background()) })

// rig is a registry, its HTTP server, and the real client, with every exchange held against the contract.
type rig struct {
	*Server
	clock  *clock
	url    string
	client *registry.Client
	spec   *contract.Spec
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	c := &clock{t: day(20)}
	cfg := Config{Path: ":memory:", Token: token, ReadToken: "a-reader", Now: c.now}
	if change != nil {
		change(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	spec, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: s, clock: c, url: web.URL, spec: spec}
	r.client = r.clientOver(t, http.DefaultTransport)
	return r
}

func (r *rig) clientOver(t *testing.T, next http.RoundTripper) *registry.Client {
	t.Helper()
	c, err := registry.New(registry.Config{
		URL: r.url, Token: func(context.Context, bool) (string, error) { return token, nil },
		Transport: r.spec.Transport(r.url, next, func(err error) { t.Error(err) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fill adds verified addresses; a zero day is an unknown time.
func (r *rig) fill(t *testing.T, addresses map[string]int) {
	t.Helper()
	for _, a := range slices.Sorted(func(yield func(string) bool) {
		for a := range addresses {
			if !yield(a) {
				return
			}
		}
	}) {
		var at *time.Time
		if n := addresses[a]; n > 0 {
			at = ptr(day(n))
		}
		if err := r.AddAddress(t.Context(), a, at); err != nil {
			t.Fatal(err)
		}
	}
}

// unverified are the numbers, in the order of adding, of addresses that are not verified.
func (r *rig) unverified(t *testing.T) []int {
	t.Helper()
	all, err := r.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for i, a := range all {
		if !a.Verified {
			out = append(out, i)
		}
	}
	return out
}

func request(domain, key string) registry.Request {
	return registry.Request{
		Domain: domain, VerifiedBefore: day(15), MaxAddresses: 10, Reason: registry.ReasonLapsed, Phase: "redemption",
		Evidence: []string{"seen"}, Run: "run-1", Key: key,
		Advice: registry.Advice{Code: "add_other_address", Text: "Add a verified address at another domain."},
	}
}

func wantAnswer(t *testing.T, got registry.Answer, err error, changed, already, kept int) {
	t.Helper()
	if want := (registry.Answer{Changed: changed, AlreadyUnset: already, KeptLater: kept, Recovery: registry.RecoveryClosed}); err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func wantKind(t *testing.T, err error, kind registry.ErrorKind, problem string) {
	t.Helper()
	var p *registry.Problem
	if registry.Kind(err) != kind || problem != "" && (!errors.As(err, &p) || p.Type != problem) {
		t.Fatalf("got %v (%s), want %s, %s", err, registry.Kind(err), kind, problem)
	}
}

func TestUnverifyTakesTheDomainAndWhatIsBelowItAndNothingElse(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{ // in this order
		"a@lapsed.example":           1,
		"b@LAPSED.Example":           1,
		"c@mail.lapsed.example":      1,
		"d@notlapsed.example":        1,
		"e@lapsed.example.org":       1,
		"f@example":                  1,
		"g@lapsed.example":           15, // verified at that very moment: later
		"h@lapsed.example.":          1,
		"i@lapsed.examplex":          1,
		"j@lapsed-example.example":   1,
		"k@lapsed.example-x.example": 1,
		"l@lapsed/x.example":         1,
	})
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k1"))
	wantAnswer(t, a, err, 4, 0, 1)
	if got := r.unverified(t); !slices.Equal(got, []int{0, 1, 2, 7}) {
		t.Fatal(got)
	}
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2"))
	wantAnswer(t, a, err, 0, 4, 1)
}

func TestUnverifyMatchesUnicodeHosts(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@B\u00dcCHER.example": 1, "b@xn--bcher-kva.example": 1})
	a, err := r.client.Unverify(t.Context(), request("xn--bcher-kva.example", "k"))
	wantAnswer(t, a, err, 2, 0, 0)
	p, err := r.client.List(t.Context(), "", 10, day(1))
	if err != nil || len(p.Hosts) != 2 || p.Hosts[0].Host != "B\u00dcCHER.example" || p.Hosts[0].Addresses != 0 {
		t.Fatalf("%+v %v: hosts are listed as stored", p, err)
	}
}

func TestUnknownTimeCountsAsOlderOnlyWhereNobodyCanHaveVerifiedSince(t *testing.T) {
	for phase, changed := range map[string]int{
		"redemption": 1, "pending delete": 1, "released": 1, "grace": 0, "re-registered": 0, "changed hands": 0, "active": 0,
	} {
		r := newRig(t, nil)
		r.fill(t, map[string]int{"a@lapsed.example": 0})
		in := request("lapsed.example", "k")
		in.Phase = phase
		a, err := r.client.Unverify(t.Context(), in)
		wantAnswer(t, a, err, changed, 0, 1-changed)
	}
}

func TestTooManyAddressesChangeNothingAndLeaveTheKeyFree(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 2, "c@lapsed.example": 16})
	in := request("lapsed.example", "k")
	in.MaxAddresses = 1
	_, err := r.client.Unverify(t.Context(), in)
	wantKind(t, err, registry.KindRefused, registry.TypeTooMany)
	if got := r.unverified(t); got != nil {
		t.Fatal(got)
	}
	in.MaxAddresses = 2 // those that would stay do not count
	a, err := r.client.Unverify(t.Context(), in)
	wantAnswer(t, a, err, 2, 0, 1)
}

func TestPublicSuffixIsRefused(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@shop.co.uk": 1, "b@me.github.io": 1})
	for _, suffix := range []string{"co.uk", "any.ck"} {
		_, err := r.client.Unverify(t.Context(), request(suffix, "k"))
		wantKind(t, err, registry.KindRefused, registry.TypePublicSuffix)
	}
	a, err := r.client.Unverify(t.Context(), request("github.io", "k")) // a private suffix is a domain that can lapse
	wantAnswer(t, a, err, 1, 0, 0)
}

// TestAKeyWithWorkUnderItIsNeverRefused: the caller lost the answer, and the world moved on.
func TestAKeyWithWorkUnderItIsNeverRefused(t *testing.T) {
	suffix := false
	r := newRig(t, func(c *Config) { c.IsPublicSuffix = func(string) bool { return suffix } })
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	in := request("lapsed.example", "k")
	in.MaxAddresses = 1
	first, err := r.client.Unverify(t.Context(), in)
	wantAnswer(t, first, err, 1, 0, 0)
	suffix = true
	r.fill(t, map[string]int{"b@lapsed.example": 1, "c@lapsed.example": 1})
	again, err := r.client.Unverify(t.Context(), in)
	wantAnswer(t, again, err, 1, 0, 0)
}

func TestDryRunCountsAndChangesNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SlowOver = 1 })
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 2})
	watch := registry.NewObserver(r.client)
	for range 2 {
		a, err := watch.Unverify(t.Context(), request("lapsed.example", "k"))
		wantAnswer(t, a, err, 2, 0, 0)
	}
	mails, err1 := r.Mails(t.Context())
	notices, err2 := r.Notices(t.Context())
	if r.unverified(t) != nil || mails != nil || notices != nil || err1 != nil || err2 != nil {
		t.Fatal("a dry run left traces")
	}
	in := request("lapsed.example", "k")
	in.MaxAddresses = 1
	a, err := watch.Unverify(t.Context(), in)
	if err != nil || !a.CountsUnknown || a.Recovery != registry.RecoveryUnknown {
		t.Fatalf("%+v %v", a, err)
	}
	calls, err := r.Calls(t.Context())
	if err != nil || len(calls) != 3 || !calls[0].DryRun || calls[0].Key != "" || calls[0].Changed != 0 || calls[2].Problem != registry.TypeTooMany {
		t.Fatalf("%+v %v", calls, err)
	}
}

func TestKeys(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 2})
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 0, 0)
	if err := r.Verify(t.Context(), "a@lapsed.example", day(3)); err != nil {
		t.Fatal(err)
	}
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k")) // not done again
	wantAnswer(t, a, err, 2, 0, 0)
	if got := r.unverified(t); !slices.Equal(got, []int{1}) {
		t.Fatal(got)
	}
	for name, change := range map[string]func(*registry.Request){
		"domain": func(in *registry.Request) { in.Domain = "other.example" },
		"before": func(in *registry.Request) { in.VerifiedBefore = day(14) },
		"max":    func(in *registry.Request) { in.MaxAddresses++ },
		"run":    func(in *registry.Request) { in.Run = "run-2" },
		"words":  func(in *registry.Request) { in.Evidence = nil },
		"since":  func(in *registry.Request) { in.ExposedSince = day(14) },
	} {
		in := request("lapsed.example", "k")
		change(&in)
		_, err := r.client.Unverify(t.Context(), in)
		if registry.Kind(err) != registry.KindConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := request("lapsed.example", "k")
	same.VerifiedBefore = same.VerifiedBefore.In(time.FixedZone("east", 3600)) // the same moment
	a, err = r.client.Unverify(t.Context(), same)
	wantAnswer(t, a, err, 2, 0, 0)
}

func TestRestore(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 2, "c@lapsed.example": 0, "d@lapsed.example": 3})
	_, err := r.client.Restore(t.Context(), "never")
	wantKind(t, err, registry.KindRefused, registry.TypeUnknownKey)
	first := request("lapsed.example", "k1")
	first.Phase = "grace" // not the one of unknown time
	a, err := r.client.Unverify(t.Context(), first)
	wantAnswer(t, a, err, 3, 0, 1)
	a, err = r.client.Unverify(t.Context(), request("lapsed.example", "k2"))
	wantAnswer(t, a, err, 1, 3, 0)
	if err := r.Verify(t.Context(), "b@lapsed.example", day(18)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // asked again: the same answer
		got, err := r.client.Restore(t.Context(), "k1")
		if err != nil || got != (registry.Restored{Restored: 2, Kept: 1}) {
			t.Fatal(got, err)
		}
	}
	if got := r.unverified(t); !slices.Equal(got, []int{2}) {
		t.Fatalf("%v: what the other key changed stays", got)
	}
	all, err := r.Addresses(t.Context())
	if err != nil || !all[0].VerifiedAt.Equal(day(1)) || all[0].Why != "" || all[2].Why != "domain_lapsed" || all[2].Key != "k2" {
		t.Fatalf("%v", err)
	}
	_, err = r.client.Unverify(t.Context(), first)
	wantKind(t, err, registry.KindConflict, registry.TypeRestored)
	if got := r.unverified(t); !slices.Equal(got, []int{2}) {
		t.Fatal(got)
	}
}

func TestSlowWork(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SlowOver, c.SlowFor = 1, 90*time.Second })
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 2})
	in := request("lapsed.example", "k")
	for _, left := range []time.Duration{90, 60} {
		a, err := r.client.Unverify(t.Context(), in)
		if err != nil || !a.Pending || a.RetryAfter != left*time.Second {
			t.Fatalf("%+v %v", a, err)
		}
		r.clock.add(30 * time.Second)
	}
	_, err := r.client.Restore(t.Context(), "k")
	wantKind(t, err, registry.KindRetryable, registry.TypeInProgress)
	r.clock.add(30 * time.Second)
	a, err := r.client.Unverify(t.Context(), in)
	wantAnswer(t, a, err, 2, 0, 0)
	got, err := r.client.Restore(t.Context(), "k")
	if err != nil || got.Restored != 2 {
		t.Fatal(got, err)
	}
}

func TestHoldersAreToldElsewhere(t *testing.T) {
	r := newRig(t, nil)
	account := func(rows ...Row) int64 {
		id, err := r.AddAccount(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			rows[i].Account = id
		}
		if err := r.Load(t.Context(), slices.Values(rows)); err != nil {
			t.Fatal(err)
		}
		return id
	}
	two := account(Row{Address: "a@lapsed.example", VerifiedAt: day(1)}, Row{Address: "a@good.example", VerifiedAt: day(1)})
	one := account(Row{Address: "b@lapsed.example", VerifiedAt: day(1)}, Row{Address: "b2@lapsed.example", VerifiedAt: day(16)})
	unproven := account(Row{Address: "c@lapsed.example", VerifiedAt: day(1)}, Row{Address: "c@good.example", Unverified: true})
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 3, 0, 1)
	mails, err := r.Mails(t.Context())
	if err != nil || len(mails) != 1 || mails[0].Account != two || mails[0].Address != "a@good.example" || mails[0].Kind != "notice" {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	notices, err := r.Notices(t.Context())
	if err != nil || len(notices) != 2 || notices[0].Account != one || notices[1].Account != unproven || notices[0].Code != "add_other_address" {
		t.Fatalf("%+v %v", notices, err)
	}
}

func TestAuthorization(t *testing.T) {
	r := newRig(t, nil)
	for given, kind := range map[string]registry.ErrorKind{"wrong": registry.KindUnauthorized, "a-reader": registry.KindUnauthorized, token: ""} {
		c, err := registry.New(registry.Config{
			URL: r.url, Token: func(context.Context, bool) (string, error) { return given, nil },
			Transport: r.spec.Transport(r.url, http.DefaultTransport, func(err error) { t.Error(err) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Unverify(t.Context(), request("lapsed.example", "k"))
		wantKind(t, err, kind, "")
		_, err = c.List(t.Context(), "", 10, time.Time{})
		if given == "a-reader" {
			kind = ""
		}
		wantKind(t, err, kind, "")
	}
}

func TestConcurrentRepetitionsAreOneUnverify(t *testing.T) {
	r := newRig(t, nil)
	for i := range 20 {
		r.fill(t, map[string]int{fmt.Sprintf("a%02d@lapsed.example", i): 1})
	}
	in := request("lapsed.example", "k")
	in.MaxAddresses = 20
	var wg sync.WaitGroup
	answers := make([]registry.Answer, 8)
	errs := make([]error, 8)
	for i := range answers {
		wg.Go(func() { answers[i], errs[i] = r.client.Unverify(t.Context(), in) })
	}
	wg.Wait()
	for i := range answers {
		wantAnswer(t, answers[i], errs[i], 20, 0, 0)
	}
	r.wantOneUnverify(t, "k", 20, 8)
}

// wantOneUnverify reads the registry's own log: one call changed everything, the others were repetitions.
func (r *rig) wantOneUnverify(t *testing.T, key string, changed, atLeast int) {
	t.Helper()
	calls, err := r.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, sum := 0, 0
	for _, c := range calls {
		if c.Key == key && !c.Repeated {
			first++
		}
		sum += c.Changed
	}
	if first != 1 || sum != changed || len(calls) < atLeast {
		t.Fatalf("%d first calls, %d changed, %d calls: want 1, %d, at least %d", first, sum, len(calls), changed, atLeast)
	}
}
