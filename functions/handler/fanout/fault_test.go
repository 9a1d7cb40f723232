package fanout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

var errThrottled = errors.New("throttled")

// faulty is a store whose at-th call fails, once; meet is called before each write of domains with their names.
type faulty struct {
	store.Store
	mu    sync.Mutex // segments are dispatched at the same time
	n, at int
	what  string // the call that failed
	meet  func(names []string)
}

func (f *faulty) fails(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n == f.at {
		f.what = what
		return true
	}
	return false
}

func (f *faulty) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if f.fails("Get " + k.PK + " " + k.SK) {
		return store.Item{}, errThrottled
	}
	return f.Store.Get(ctx, k)
}

func (f *faulty) GetMany(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	if f.fails("GetMany") {
		return nil, errThrottled
	}
	return f.Store.GetMany(ctx, keys)
}

func (f *faulty) Query(ctx context.Context, q store.Query) ([]store.Item, bool, error) {
	if f.fails("Query " + q.PK) {
		return nil, false, errThrottled
	}
	return f.Store.Query(ctx, q)
}

func (f *faulty) Scan(ctx context.Context, segment, segments int, cursor string, limit int) ([]store.Item, string, error) {
	if f.fails("Scan") {
		return nil, "", errThrottled
	}
	return f.Store.Scan(ctx, segment, segments, cursor, limit)
}

func (f *faulty) Write(ctx context.Context, w ...store.Write) error {
	if f.fails("Write " + w[0].PK + " " + w[0].SK) {
		return errThrottled
	}
	return f.Store.Write(ctx, w...)
}

// WriteEach fails for the last group: the others are written.
func (f *faulty) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	if f.meet != nil {
		var names []string
		for _, g := range groups {
			for _, w := range g {
				if w.Table == store.Domains {
					names = append(names, w.PK)
				}
			}
		}
		f.meet(names)
	}
	if len(groups) > 0 && f.fails("WriteEach") {
		last := len(groups) - 1
		return append(f.Store.WriteEach(ctx, groups[:last]), errThrottled)
	}
	return f.Store.WriteEach(ctx, groups)
}

// faultyWorld has a list of more hosts of one domain than a transaction takes, hosts of no domain, and a day later
// new, changed and left ones.
func faultyWorld(t *testing.T) (*world, *faulty, *bytes.Buffer) {
	t.Helper()
	w := newWorld(t)
	w.Segments = 1
	w.CanaryLabel = "lapseguard-x"
	w.list.pageSize = 150 // the second page has more hosts of one domain than a transaction takes
	for i := range 210 {
		w.list.set(fmt.Sprintf("h%03d.many.com", i), 1, long)
	}
	for i := range 60 {
		w.list.set(fmt.Sprintf("example-%03d.org", i), 2, long.AddDate(0, 0, i))
	}
	w.list.set("[192.0.2.1]", 1, long)
	w.list.set("[192.0.2.2]", 1, long)
	w.day(t)
	for i := range 5 {
		delete(w.list.hosts, fmt.Sprintf("h%03d.many.com", i))
	}
	delete(w.list.hosts, "[192.0.2.2]")
	delete(w.list.hosts, "example-000.org")
	w.list.set("example-001.org", 9, long.AddDate(0, 0, -9))
	w.list.set("a-new.net", 1, long)
	w.clock.advance(8 * 24 * time.Hour)
	w.out.messages = nil
	f := &faulty{Store: w.Store}
	w.Store = f
	var log bytes.Buffer
	w.Log = slog.New(slog.NewJSONHandler(&log, nil))
	return w, f, &log
}

// table is what the list made of the table: hosts and domains.
func (w *world) table(t *testing.T) map[string]string {
	t.Helper()
	got := map[string]string{}
	for r, err := range w.book().Hosts(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(r.V)
		if err != nil {
			t.Fatal(err)
		}
		got["host "+r.SK()] = string(data)
	}
	items, _, err := w.Store.Scan(t.Context(), 0, 1, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		d, err := records.ParseDomain(it)
		if err != nil {
			t.Fatal(err)
		}
		got[d.Name] = fmt.Sprint(d.Listed, d.Hosts, d.Addresses, d.Oldest, d.Newest, d.Synthetic)
	}
	return got
}

// TestWhateverCallFailsIsToldAndMadeGood: the call's failure is an error of the invocation, or an error in its log, and
// what the next ones do leads where an undisturbed run does.
func TestWhateverCallFailsIsToldAndMadeGood(t *testing.T) {
	w, f, _ := faultyWorld(t)
	w.day(t)
	calls := f.n
	w.day(t)
	want, domains := w.table(t), w.out.domains()
	if len(want) < 300 || calls < 20 {
		t.Fatalf("%d rows, %d calls", len(want), calls)
	}
	for at := range calls {
		w, f, log := faultyWorld(t)
		f.at = at + 1
		w.clock.advance(24 * time.Hour)
		_, err := w.Handle(t.Context(), Event{Action: "run"})
		if f.what == "" {
			t.Fatalf("call %d was not made", f.at)
		}
		if (err == nil || !errors.Is(err, errThrottled)) && !strings.Contains(log.String(), `"level":"ERROR"`) {
			t.Errorf("%s (%d): %v, and the log says\n%s", f.what, f.at, err, log)
		}
		w.clock.advance(16 * time.Minute) // the lease of an invocation that could not give it back is over
		for range 2 {
			if _, err := w.Handle(t.Context(), Event{Action: "run"}); err != nil {
				t.Errorf("%s (%d), and then: %v", f.what, f.at, err)
			}
			w.clock.advance(15 * time.Minute)
		}
		run, err := w.book().Run(t.Context())
		if err != nil || !run.V.Sent || run.V.Watched < 60 {
			t.Errorf("%s (%d): %+v %v", f.what, f.at, run.V, err)
		}
		w.clock.advance(8*24*time.Hour - 46*time.Minute)
		w.day(t)
		if diff := cmp.Diff(want, w.table(t)); diff != "" {
			t.Errorf("%s (%d): after the next list: %s", f.what, f.at, diff)
		}
		if diff := cmp.Diff(domains, w.out.domains()); diff != "" {
			t.Errorf("%s (%d): %s", f.what, f.at, diff)
		}
	}
}

// TestAFailedPageMovesNoCursor: the next page is not begun, and the list is not believed.
func TestAFailedPageMovesNoCursor(t *testing.T) {
	w, _, log := faultyWorld(t)
	w.list.failAfter = "a" // the first page is given
	res := w.day(t)
	run, err := w.book().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := run.V.Sync; s.Listing || s.Done || s.Believed || s.After != "h093.many.com" || s.Listed != 150 {
		t.Errorf("%+v", s)
	}
	if !res.Finished || res.Watched < 60 || !strings.Contains(log.String(), "sync_failed") {
		t.Errorf("%+v; the log says %s", res, log)
	}
	synced, err := w.book().Synced(t.Context())
	if err != nil || synced.V.Hosts != 272 {
		t.Errorf("%+v %v: the next sync starts from the last whole list", synced.V, err)
	}
}

// TestAConflictDuringSyncLosesNothing: each domain is changed by another writer before its first write.
func TestAConflictDuringSyncLosesNothing(t *testing.T) {
	w, _, _ := faultyWorld(t)
	w.day(t)
	want := w.table(t)
	w, f, _ := faultyWorld(t)
	met := map[string]int{}
	f.meet = func(names []string) {
		for _, name := range names {
			if met[name]++; met[name] > 2 {
				continue
			}
			d, err := records.In(f.Store).Domain(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if !d.Known() {
				continue
			}
			d.Told++
			if err := f.Store.Write(t.Context(), d.Put()); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.day(t)
	if diff := cmp.Diff(want, w.table(t)); diff != "" {
		t.Error(diff)
	}
	if d := w.domain(t, "many.com"); d.Told != 2 || met["many.com"] < 3 {
		t.Errorf("what the other writer wrote is gone: %d of %d", d.Told, met["many.com"])
	}
}

// TestAConflictThatDoesNotEndIsAnError, so that the page comes again.
func TestAConflictThatDoesNotEndIsAnError(t *testing.T) {
	w, f, log := faultyWorld(t)
	f.meet = func(names []string) {
		for _, name := range names {
			if d, err := records.In(f.Store).Domain(t.Context(), name); err == nil && d.Known() {
				_ = f.Store.Write(t.Context(), d.Put())
			}
		}
	}
	if res := w.day(t); !res.Finished || !strings.Contains(log.String(), "sync_failed") {
		t.Errorf("%+v; the log says %s", res, log)
	}
	if run, err := w.book().Run(t.Context()); err != nil || run.V.Sync.Listing {
		t.Errorf("%+v %v", run.V.Sync, err)
	}
}
