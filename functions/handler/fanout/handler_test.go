package fanout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// clock is a time that only tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *clock { return &clock{at: time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)} }

// list is a registry's list in memory.
type list struct {
	hosts      map[string]registry.HostCount
	incomplete bool
	down       bool // fail
	pageSize   int
	failAfter  string // fail when asked for the page after this host
	calls      []time.Time
	limit      int  // of the last call
	lever      bool // it closes recovery, and a mail alone signs in
}

var errDown = errors.New("registry is down")

func (l *list) List(_ context.Context, after string, limit int, since time.Time) (registry.Page, error) {
	l.calls, l.limit = append(l.calls, since), limit
	if l.down || l.failAfter != "" && after >= l.failAfter {
		return registry.Page{}, errDown
	}
	if l.pageSize > 0 {
		limit = min(limit, l.pageSize)
	}
	p := registry.Page{AsOf: time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)}
	for _, h := range slices.Sorted(maps.Keys(l.hosts)) {
		switch hc := l.hosts[h]; {
		case h <= after, since.IsZero() && hc.Addresses == 0:
		case len(p.Hosts) == limit:
			p.Next = p.Hosts[limit-1].Host
			return p, nil
		default:
			p.Hosts = append(p.Hosts, hc)
		}
	}
	p.Complete, p.Recovery, p.MailIsSignIn = !l.incomplete, l.lever, l.lever
	return p, nil
}

func (l *list) set(host string, n int, oldest time.Time) {
	l.hosts[host] = registry.HostCount{Host: host, Addresses: n, Oldest: oldest, Newest: oldest}
}

// outbox collects what was sent.
type outbox struct {
	mu       sync.Mutex
	messages []queue.Message
	failNext int
}

func (o *outbox) Send(_ context.Context, m []queue.Message) ([]queue.Message, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failNext > 0 {
		o.failNext--
		return m, errDown
	}
	o.messages = append(o.messages, m...)
	return nil, nil
}

func (o *outbox) domains() []string {
	seen := map[string]bool{}
	for _, m := range o.messages {
		for _, e := range m.Domains {
			seen[e.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

type world struct {
	*Handler
	clock *clock
	list  *list
	out   *outbox
}

func newWorld(t testing.TB) *world {
	t.Helper()
	c := newClock()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "guard.db"), bolt.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{clock: c, list: &list{hosts: map[string]registry.HostCount{}}, out: &outbox{}}
	w.Handler, err = New(Config{Store: s, Queue: w.out, List: w.list, Log: slog.New(slog.DiscardHandler), Now: c.now, Segments: 2})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// day runs one daily run, a day after the last one.
func (w *world) day(t testing.TB) Result {
	t.Helper()
	w.clock.advance(24 * time.Hour)
	w.out.messages = nil
	res, err := w.Handle(t.Context(), Event{Action: "run"})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func (w *world) domain(t testing.TB, name string) records.Domain {
	t.Helper()
	d, err := records.In(w.Store).Domain(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var long = time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)

func TestRunSyncsAndDispatches(t *testing.T) {
	w := newWorld(t)
	w.list.set("Mail.Example-One.com", 2, long)
	w.list.set("example-one.com", 3, long.AddDate(0, 1, 0))
	w.list.set("example-two.co.uk", 1, time.Time{})
	w.list.set("[192.0.2.1]", 1, long)
	w.list.set("shop.uk.com", 1, long)
	res := w.day(t)
	if !res.Finished || res.Listed != 5 || res.Watched != 2 {
		t.Fatalf("result %+v", res)
	}
	one := w.domain(t, "example-one.com")
	if one.Addresses != 5 || one.Hosts != 2 || one.Oldest != lifecycle.At(long) || !one.Listed {
		t.Errorf("example-one.com: %+v", one)
	}
	if two := w.domain(t, "example-two.co.uk"); two.Oldest != 0 || two.Addresses != 1 {
		t.Errorf("an unknown time must stay unknown: %+v", two)
	}
	if diff := cmp.Diff([]string{"example-one.com", "example-two.co.uk"}, w.out.domains()); diff != "" {
		t.Error(diff)
	}
	upstreams := map[string]bool{}
	for _, m := range w.out.messages {
		upstreams[m.Upstream] = true
	}
	if !upstreams["com"] || !upstreams["co.uk"] {
		t.Errorf("asked %v, want the zones directly above", upstreams)
	}
	for host, why := range map[string]string{"[192.0.2.1]": "ip literal", "shop.uk.com": "not covered"} {
		h, err := w.book().Host(t.Context(), host)
		if err != nil || h.V.Why != why || h.V.Domain != "" {
			t.Errorf("%s: %+v %v, want the reason %q", host, h, err, why)
		}
	}
}

func TestARunTwiceIsOneRun(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	first := w.day(t)
	w.clock.advance(time.Minute)
	again, err := w.Handle(t.Context(), Event{Action: "run"})
	if err != nil || again.Run != first.Run {
		t.Fatalf("a schedule that fires twice: %+v %v, want run %s", again, err, first.Run)
	}
	if n := len(w.out.messages); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestUnchangedHostsCostNoWrite(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	w.list.set("example-two.com", 1, long)
	w.day(t)
	before := w.domain(t, "example-one.com").Version()
	w.clock.advance(8 * 24 * time.Hour) // a whole list again
	if res := w.day(t); res.Changed != 0 {
		t.Errorf("changed %d hosts of an unchanged list", res.Changed)
	}
	if after := w.domain(t, "example-one.com").Version(); after != before {
		t.Errorf("version %d after %d: an unchanged host was written", after, before)
	}
}

func TestOnlyABelievableListMarksHostsAsLeft(t *testing.T) {
	fill := func(w *world, n int) {
		for i := range n {
			w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
		}
	}
	for name, tc := range map[string]struct {
		drop       int
		incomplete bool
		left       bool
	}{
		"within five percent":    {drop: 5, left: true},
		"more than five percent": {drop: 6},
		"not complete":           {drop: 1, incomplete: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			fill(w, 100)
			w.day(t)
			for i := range tc.drop {
				delete(w.list.hosts, fmt.Sprintf("example-%03d.com", i))
			}
			w.list.incomplete = tc.incomplete
			w.clock.advance(8 * 24 * time.Hour)
			w.day(t)
			if listed := w.domain(t, "example-000.com").Listed; listed == tc.left {
				t.Errorf("listed %t, want left %t", listed, tc.left)
			}
			watched := 100
			if tc.left {
				watched -= tc.drop
			}
			if n := len(w.out.domains()); n != watched {
				t.Errorf("%d domains asked about, want %d", n, watched)
			}
		})
	}
}

// TestHostsOfNoDomainCountAsShrinkToo.
func TestHostsOfNoDomainCountAsShrinkToo(t *testing.T) {
	for drop, believed := range map[int]bool{5: true, 6: false} {
		w := newWorld(t)
		for i := range 90 {
			w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
		}
		for i := range 10 {
			w.list.set(fmt.Sprintf("[192.0.2.%d]", i), 1, long)
		}
		w.day(t)
		for i := range drop {
			delete(w.list.hosts, fmt.Sprintf("[192.0.2.%d]", i))
		}
		w.clock.advance(8 * 24 * time.Hour)
		w.day(t)
		if r := w.run(t); r.Sync.Believed != believed || r.Sync.Gone != drop {
			t.Errorf("%d of 100 left: %+v", drop, r.Sync)
		}
	}
}

func TestIncrementalListAsksForChangesOnly(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
	}
	w.day(t)
	w.list.hosts = map[string]registry.HostCount{}
	w.list.set("example-000.com", 4, long)
	w.list.hosts["example-001.com"] = registry.HostCount{Host: "example-001.com"} // zero: it left
	w.day(t)
	if since := w.list.calls[len(w.list.calls)-1]; since.IsZero() {
		t.Fatal("the second day asked for the whole list")
	}
	if d := w.domain(t, "example-000.com"); d.Addresses != 4 || d.Hosts != 1 {
		t.Errorf("changed host: %+v", d)
	}
	if d := w.domain(t, "example-001.com"); d.Listed || d.Addresses != 0 {
		t.Errorf("host that left: %+v", d)
	}
	if d := w.domain(t, "example-002.com"); !d.Listed {
		t.Error("a host that did not change was marked as left")
	}
}

func TestUnverifiedDomainsDoNotCountAsShrink(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
	}
	w.day(t)
	for i := range 5 {
		d := w.domain(t, fmt.Sprintf("example-%03d.com", i))
		d.Acted = true
		if err := w.Store.Write(t.Context(), d.Put()); err != nil {
			t.Fatal(err)
		}
		w.list.hosts[d.Name] = registry.HostCount{Host: d.Name}
	}
	w.day(t)
	if d := w.domain(t, "example-000.com"); d.Listed {
		t.Error("half the list left because the guard unverified it: that is no shrink")
	}
}

func TestRegistryDownStillDispatches(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	w.day(t)
	var stats bytes.Buffer
	w.Metrics = telemetry.NewMetrics(&stats, w.Now, w.Log)
	w.list.down = true
	calls := len(w.list.calls)
	res := w.day(t)
	if !res.Finished || res.Watched != 1 || len(w.out.domains()) != 1 {
		t.Errorf("%+v, asked about %v: a registry that cannot be listed must not stop the watch", res, w.out.domains())
	}
	if n := len(w.list.calls) - calls; n != 1 {
		t.Errorf("the list was asked for %d times, want once a run", n)
	}
	run, err := w.book().Run(t.Context())
	if err != nil || run.V.Sync.Listing || run.V.Sync.Done || run.V.Sync.Believed {
		t.Errorf("%+v %v: a list that never came counts as read", run.V.Sync, err)
	}
	if !strings.Contains(stats.String(), `"ListFailing":1`) {
		t.Errorf("nobody is told: %s", &stats)
	}
	if w.domain(t, "example-one.com").Listed != true {
		t.Error("a list that never came marks hosts as left")
	}
}

func TestResumesAfterAFailedSend(t *testing.T) {
	w := newWorld(t)
	for i := range 300 {
		w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
	}
	w.clock.advance(24 * time.Hour)
	w.out.failNext = 1
	if _, err := w.Handle(t.Context(), Event{Action: "run"}); !errors.Is(err, errDown) {
		t.Fatalf("got %v, want the queue's failure", err)
	}
	res, err := w.Handle(t.Context(), Event{Action: "resume"})
	if err != nil || !res.Finished {
		t.Fatalf("resume: %+v %v", res, err)
	}
	if n := len(w.out.domains()); n != 300 {
		t.Errorf("%d domains asked about, want 300", n)
	}
	if _, err := w.Handle(t.Context(), Event{Action: "resume"}); err != nil {
		t.Errorf("nothing to resume is no error: %v", err)
	}
}

func TestPausesBeforeTheDeadline(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	w.Margin = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := w.Handle(ctx, Event{Action: "run"})
	if err != nil || res.Finished {
		t.Fatalf("%+v %v, want an unfinished run and no error", res, err)
	}
	if res, err = w.Handle(t.Context(), Event{Action: "resume"}); err != nil || !res.Finished {
		t.Fatalf("resume: %+v %v", res, err)
	}
}

func TestUnknownActionSaysWhatToSend(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Handle(t.Context(), Event{Action: "go"}); err == nil || !strings.Contains(err.Error(), `"run"`) {
		t.Errorf("got %v", err)
	}
}

// model is the table as the lists so far make it, by rules of its own.
type model struct {
	hosts map[string]registry.HostCount
	known int // hosts in the last whole list that was believed
}

// follow takes over a list. What left is taken away only if no more than one host in twenty did.
func (m *model) follow(hosts map[string]registry.HostCount, whole bool) (believed bool) {
	gone := 0
	for name := range m.hosts {
		if hosts[name].Addresses == 0 {
			gone++
		}
	}
	listed := 0
	for name, hc := range hosts {
		if hc.Addresses > 0 {
			m.hosts[name] = hc
			listed++
		}
	}
	if believed = gone*20 <= m.known; !believed {
		return false
	}
	for name := range m.hosts {
		if hosts[name].Addresses == 0 {
			delete(m.hosts, name)
		}
	}
	if whole {
		m.known = listed
	}
	return true
}

func (m *model) domains() map[string]string {
	type sum struct{ hosts, addresses int }
	sums := map[string]sum{}
	for _, hc := range m.hosts {
		if d := hostOf(hc).Domain; d != "" {
			sums[d] = sum{sums[d].hosts + 1, sums[d].addresses + hc.Addresses}
		}
	}
	want := map[string]string{}
	for d, s := range sums {
		want[d] = fmt.Sprint(s.hosts, s.addresses)
	}
	return want
}

// TestSyncFollowsTheList is a model test: after any series of lists, whole or of changes, the table is what the model says.
func TestSyncFollowsTheList(t *testing.T) {
	believed, left := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.list.pageSize = rapid.IntRange(7, 30).Draw(rt, "page")
		m := &model{hosts: map[string]registry.HostCount{}}
		for i := range 40 { // so many that one or two may leave
			w.list.set(fmt.Sprintf("m%02d.d%02d.com", i, i/3), 1, long)
		}
		for n := range rapid.IntRange(2, 5).Draw(rt, "lists") {
			whole := n == 0 || rapid.Bool().Draw(rt, "whole")
			for range rapid.IntRange(0, 4).Draw(rt, "changes") {
				name := rapid.SampledFrom([]string{"a.com", "x.b.com", "y.b.com", "m00.d00.com", "m01.d00.com", "m02.d00.com", "m03.d01.com", "m39.d13.com", "10.0.0.1", "d.co.uk"}).Draw(rt, "host")
				w.list.set(name, rapid.IntRange(0, 5).Draw(rt, "n"), long)
			}
			wait := 24 * time.Hour
			if whole {
				wait = 8 * 24 * time.Hour
			}
			w.clock.advance(wait - 24*time.Hour)
			w.day(t)
			run, err := w.book().Run(t.Context())
			if err != nil {
				rt.Fatal(err)
			}
			before := len(m.hosts)
			want := m.follow(w.list.hosts, run.V.Sync.Whole)
			if run.V.Sync.Believed != want {
				rt.Fatalf("list %d believed: %t, want %t: %+v", n, run.V.Sync.Believed, want, run.V.Sync)
			}
			if want {
				believed++
			}
			if len(m.hosts) < before {
				left++
			}
			if diff := cmp.Diff(m.domains(), w.sums(t)); diff != "" {
				rt.Fatal(diff)
			}
		}
	})
	if believed == 0 || left == 0 {
		t.Errorf("%d lists were believed, in %d of them hosts left: the test shows nothing", believed, left)
	}
}

// sums are hosts and addresses of each listed domain.
func (w *world) sums(t *testing.T) map[string]string {
	t.Helper()
	items, _, err := w.Store.Scan(t.Context(), 0, 1, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, it := range items {
		d, err := records.ParseDomain(it)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := w.book().Counts(t.Context(), []string{d.Name})
		if err != nil || counts[d.Name].V.Addresses != d.Addresses {
			t.Errorf("%s has %d addresses, the count beside it %+v %v", d.Name, d.Addresses, counts[d.Name].V, err)
		}
		if d.Listed {
			got[d.Name] = fmt.Sprint(d.Hosts, d.Addresses)
		} else if d.Hosts != 0 || d.Addresses != 0 {
			t.Errorf("%s is not listed and has %d hosts, %d addresses", d.Name, d.Hosts, d.Addresses)
		}
	}
	return got
}
