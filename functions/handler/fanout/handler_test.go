package fanout

import (
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
	pageSize   int
	failAfter  string // fail when asked for the page after this host
	calls      []time.Time
}

var errDown = errors.New("registry is down")

func (l *list) List(_ context.Context, after string, limit int, since time.Time) (registry.Page, error) {
	l.calls = append(l.calls, since)
	if l.failAfter != "" && after >= l.failAfter {
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
	p.Complete = !l.incomplete
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
	w.Handler = &Handler{Store: s, Queue: w.out, List: w.list, Log: slog.New(slog.DiscardHandler), Now: c.now, Segments: 2}
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
	w.list.failAfter = " "
	w.list.hosts = map[string]registry.HostCount{}
	w.list.failAfter = "\x00"
	res := w.day(t)
	if res.Watched != 1 {
		t.Errorf("watched %d: a registry that cannot be listed must not stop the watch", res.Watched)
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

// TestSyncFollowsTheList is a model test: after any series of lists the table is what the last one says.
func TestSyncFollowsTheList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.list.pageSize = rapid.IntRange(1, 4).Draw(rt, "page")
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"a.com", "b.com", "x.b.com", "y.b.com", "c.org", "d.co.uk", "m.d.co.uk", "e.net", "z.e.net", "10.0.0.1",
		}), 1, 10, rapid.ID[string])
		for range rapid.IntRange(1, 3).Draw(rt, "lists") {
			w.list.hosts = map[string]registry.HostCount{}
			for _, n := range names.Draw(rt, "hosts") {
				w.list.set(n, rapid.IntRange(1, 5).Draw(rt, "n"), long)
			}
			w.clock.advance(8 * 24 * time.Hour)
			w.day(t)
		}
		run, err := w.book().Run(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		if !run.V.Sync.Believed {
			return // the list shrank: nothing is said about what left
		}
		want := map[string]int{}
		for h, hc := range w.list.hosts {
			if d := hostOf(hc).Domain; d != "" {
				want[d] += w.list.hosts[h].Addresses
			}
		}
		items, _, err := w.Store.Scan(t.Context(), 0, 1, "", 1000)
		if err != nil {
			rt.Fatal(err)
		}
		got := map[string]int{}
		for _, it := range items {
			d, err := records.ParseDomain(it)
			if err != nil {
				rt.Fatal(err)
			}
			if d.Listed {
				got[d.Name] = d.Addresses
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}
