package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

// oneThrottled is a store in which the last transaction of the at-th round of writes is throttled.
type oneThrottled struct {
	store.Store
	n, at int
}

func (o *oneThrottled) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	if len(groups) > 0 {
		if o.n++; o.n == o.at {
			last := len(groups) - 1
			return append(o.Store.WriteEach(ctx, groups[:last]), errThrottled)
		}
	}
	return o.Store.WriteEach(ctx, groups)
}

// TestASyncThatFailedGoesOnTheSameDay: what is known is asked at once, the rest once the list comes, and nothing is
// asked for again that came already.
func TestASyncThatFailedGoesOnTheSameDay(t *testing.T) {
	for name, fail := range map[string]func(w *world) (heal func()){
		"the registry's list": func(w *world) func() {
			w.list.failAfter = "example-0"
			return func() { w.list.failAfter = "" }
		},
		"a write": func(w *world) func() {
			w.Store = &oneThrottled{Store: w.Store, at: 2} // of the second page
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i := range 1500 {
				w.list.set(fmt.Sprintf("example-%04d.com", i), 1, long)
			}
			w.list.pageSize = 500
			calls, stats, log := w.observed()
			heal := fail(w)
			res := w.day(t)
			if n := len(w.out.domains()); !res.Finished || n < 500 || n >= 1500 || !strings.Contains(stats.String(), `"ListFailing":1`) || !strings.Contains(log.String(), "sync_failed") {
				t.Fatalf("%+v, %d domains asked about, %s", res, n, log)
			}
			heal()
			w.clock.advance(15 * time.Minute)
			res = w.invoke(t, "resume")
			if n := len(w.out.domains()); res.Run != w.run(t).ID || n != 1500 || res.Watched != 1500 {
				t.Errorf("a quarter of an hour later: %+v, %d domains asked about in all, want 1500", res, n)
			}
			if r := w.run(t); !r.Sent || !r.Sync.Done || !r.Sync.Believed || r.Sync.Behind || r.Sync.Listed != 1500 {
				t.Errorf("%+v", r)
			}
			w.clock.advance(15 * time.Minute)
			calls.n = 0
			if w.invoke(t, "resume"); calls.n != 1 {
				t.Errorf("caught up: %d calls, want one read", calls.n)
			}
		})
	}
}

// endless is a registry's list without an end; each page takes ten minutes.
type endless struct {
	w     *world
	pages int
}

func (e *endless) List(context.Context, string, int, time.Time) (registry.Page, error) {
	e.w.clock.advance(10 * time.Minute)
	e.pages++
	host := fmt.Sprintf("page-%06d.com", e.pages)
	return registry.Page{AsOf: e.w.clock.at.Add(-time.Hour), Hosts: []registry.HostCount{{Host: host, Addresses: 1, Oldest: long, Newest: long}}, Next: host}, nil
}

// TestAListThatDoesNotEnd keeps neither what is known from being asked, nor the next day's run from beginning.
func TestAListThatDoesNotEnd(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	w.day(t)
	_, stats, log := w.observed()
	list := &endless{w: w}
	w.List = list
	first := w.day(t)
	if n := len(w.out.domains()); !first.Finished || list.pages != 12 || n != 13 {
		t.Fatalf("%+v after %d pages, %d domains asked about", first, list.pages, n)
	}
	if !strings.Contains(log.String(), "list_does_not_end") || !strings.Contains(stats.String(), `"ListFailing":1`) {
		t.Errorf("nobody is told: %s", log)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.clock.advance(syncFor)
	if res, err := w.Handle(ctx, Event{Action: "resume"}); err != nil || list.pages != 12 {
		t.Errorf("given up: %+v %v, %d pages", res, err, list.pages)
	}
	w.List = w.list
	if res := w.day(t); res.Run == first.Run || !res.Finished {
		t.Errorf("the next day: %+v", res)
	}
}

// TestAnEmptyFirstListIsAskedAgain the next day, whole, and somebody is told.
func TestAnEmptyFirstListIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	_, stats, log := w.observed()
	w.day(t)
	if r := w.run(t); r.Sync.Believed || !strings.Contains(log.String(), "list_empty") || !strings.Contains(stats.String(), `"ListFailing":1`) {
		t.Errorf("%+v, the log says %s", r.Sync, log)
	}
	w.list.set("example-one.com", 1, long)
	w.day(t)
	if since := w.list.calls[len(w.list.calls)-1]; !since.IsZero() || len(w.out.domains()) != 1 {
		t.Errorf("asked for changes since %s, %d domains", since, len(w.out.domains()))
	}
}

// vast is a table of domains of one zone that exists only as it is scanned; it keeps the records of what was sent.
type vast struct {
	store.Store
	n     int
	item  []byte
	mu    sync.Mutex
	parts []int
	cut   int // the store fails at this part, once
}

func (v *vast) Scan(_ context.Context, _, _ int, cursor string, limit int) (items []store.Item, next string, err error) {
	from := 0
	if cursor != "" {
		if _, err := fmt.Sscanf(cursor, "d%07d.com", &from); err != nil {
			return nil, "", err
		}
		from++
	}
	to := min(from+limit, v.n)
	for i := from; i < to; i++ {
		items = append(items, store.Item{Key: store.Key{Table: store.Domains, PK: fmt.Sprintf("d%07d.com", i)}, Version: 1, Data: v.item})
	}
	if to < v.n {
		next = items[len(items)-1].PK
	}
	return items, next, nil
}

func (v *vast) Write(ctx context.Context, writes ...store.Write) error {
	for _, w := range writes {
		if !strings.HasPrefix(w.SK, "s/") {
			continue
		}
		v.mu.Lock()
		v.parts = append(v.parts, len(w.Data))
		cut := len(v.parts) == v.cut
		v.mu.Unlock()
		if cut {
			return errThrottled
		}
	}
	return v.Store.Write(ctx, writes...)
}

// tally counts what is sent.
type tally struct {
	mu      sync.Mutex
	domains int
	onSend  func()
}

func (c *tally) Send(_ context.Context, m []queue.Message) ([]queue.Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range m {
		c.domains += len(m.Domains)
	}
	if c.onSend != nil {
		c.onSend()
	}
	return nil, nil
}

func vastWorld(t *testing.T, n int) (*world, *vast, *tally) {
	t.Helper()
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	w.day(t)
	item, err := json.Marshal(w.domain(t, "example-one.com"))
	if err != nil {
		t.Fatal(err)
	}
	v, c := &vast{Store: w.Store, n: n, item: item}, &tally{}
	w.Store, w.Queue, w.Segments = v, c, 1
	return w, v, c
}

// TestAMillionDomainsInOneSegment are dispatched to the end, and a failure in between repeats a part, not the whole.
func TestAMillionDomainsInOneSegment(t *testing.T) {
	const n = 1_000_000
	w, v, c := vastWorld(t, n)
	v.cut = 2
	w.clock.advance(24 * time.Hour)
	if _, err := w.Handle(t.Context(), Event{Action: "run"}); !errors.Is(err, errThrottled) {
		t.Fatalf("%v, want the failure of the second part", err)
	}
	res := w.invoke(t, "resume")
	if !res.Finished || res.Watched != n || c.domains < n || c.domains > n+(maxSent+scanPage)*queue.MaxDelegation {
		t.Errorf("%+v, %d sent: want all, and one part twice", res, c.domains)
	}
	for i, size := range v.parts {
		if size > store.MaxData*3/4 {
			t.Errorf("part %d is noted in %d bytes, near the limit of %d", i, size, store.MaxData)
		}
	}
}

// TestAStretchEndsByTheClock: a slow queue does not keep the place from being noted.
func TestAStretchEndsByTheClock(t *testing.T) {
	w, v, c := vastWorld(t, 20_000)
	c.onSend = func() { w.clock.advance(20 * time.Second) }
	w.clock.advance(24 * time.Hour)
	res := w.invoke(t, "run")
	run, err := records.In(v).Segment(t.Context(), res.Run, 0)
	if err != nil || !res.Finished || run.V.Part < 4 {
		t.Errorf("%+v, %d parts, %v", res, run.V.Part, err)
	}
}

// refusing is a store that fails writes with a record of that SK, n times.
type refusing struct {
	store.Store
	sk string
	n  int
}

func (r *refusing) Write(ctx context.Context, writes ...store.Write) error {
	for _, w := range writes {
		if w.SK == r.sk && r.n > 0 {
			r.n--
			return errThrottled
		}
	}
	return r.Store.Write(ctx, writes...)
}

// TestAFailedWriteCostsNoProbe of the day: the synthetic domain is planted with the next attempt, and asked about.
func TestAFailedWriteCostsNoProbe(t *testing.T) {
	w := newWorld(t)
	w.CanaryLabel = "lapseguard-x"
	w.list.set("example-one.com", 1, long)
	w.Store = &refusing{Store: w.Store, sk: records.SKCanary, n: 2}
	w.day(t)
	if r := w.run(t); r.Canary == "" || len(w.out.domains()) != 2 {
		t.Errorf("planted %q, asked about %v", r.Canary, w.out.domains())
	}
}
