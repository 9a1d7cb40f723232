package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// metered counts calls, and fails one kind of them.
type metered struct {
	store.Store
	mu            sync.Mutex
	reads, writes int
	fail          string
}

var errDown = errors.New("the table is down")

func (m *metered) read(kind string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.fail == kind {
		return errDown
	}
	return nil
}

func (m *metered) Get(ctx context.Context, k store.Key) (store.Item, error) {
	return unlessFailed(m.read("get"), func() (store.Item, error) { return m.Store.Get(ctx, k) })
}

func (m *metered) GetMany(ctx context.Context, k []store.Key) ([]store.Item, error) {
	return unlessFailed(m.read("get"), func() ([]store.Item, error) { return m.Store.GetMany(ctx, k) })
}

func unlessFailed[T any](err error, do func() (T, error)) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return do()
}

func (m *metered) Query(ctx context.Context, q store.Query) ([]store.Item, bool, error) {
	if err := m.read("query"); err != nil {
		return nil, false, err
	}
	return m.Store.Query(ctx, q)
}

func (m *metered) Due(ctx context.Context, shard int, until time.Time, cursor string, limit int) ([]string, string, error) {
	if err := m.read("due"); err != nil {
		return nil, "", err
	}
	return m.Store.Due(ctx, shard, until, cursor, limit)
}

func (m *metered) Write(ctx context.Context, w ...store.Write) error {
	m.writes++
	return m.Store.Write(ctx, w...)
}

// newQuiet is a world whose run is complete and whose digest is written.
func newQuiet(t *testing.T) (*world, *metered) {
	w := newWorld(t)
	w.at = time.Date(2026, 3, 2, 7, 30, 0, 0, time.UTC)
	w.run(true, true)
	w.write(records.Record(records.PKGuard, records.SKDigest, records.Digested{Day: "2026-03-01"}, time.Time{}))
	m := &metered{Store: w.Store}
	w.Store = m
	return w, m
}

func (w *world) run(sent, complete bool) {
	w.t.Helper()
	w.write(records.Record(records.PKGuard, records.SKRun, records.Run{ID: "20260302T030000Z", Started: lifecycle.At(w.at), Sent: sent, Complete: complete, Watched: 1000}, time.Time{}))
}

// worked tells whether a tick took the lease, and so did its steps.
func worked(log string) bool { return !strings.Contains(log, `"quiet":true`) }

func TestAQuietTickOnlyReads(t *testing.T) {
	w, m := newQuiet(t)
	asked := 0
	w.Mode = func(context.Context) (Mode, error) { asked++; return Enforce, nil }
	res := w.tick()
	if m.reads != 2+store.Shards || m.writes != 0 || asked != 0 || worked(w.log.String()) || res.Text == "" {
		t.Errorf("%d reads, %d writes, mode asked %d times, %+v\n%s", m.reads, m.writes, asked, res, w.log)
	}
	if w.stats.Len() != 0 {
		t.Errorf("measured at 7:30: %s", w.stats)
	}
	w.at = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	w.tick()
	if got := w.stats.String(); !strings.Contains(got, `"HoldsOpen":0`) || !strings.Contains(got, `"HoldsStale":0`) {
		t.Errorf("the open holds are measured every six hours, on quiet days too: %s", got)
	}
}

func TestWhatIsNoQuietTick(t *testing.T) {
	parked := func(w *world, at time.Time) {
		m := queue.Message{Schema: queue.Schema, Kind: queue.KindDelegation, Upstream: "com", Group: "delegation/com", Run: "20260302T030000Z", Share: 1, Sent: w.at, Domains: []queue.Entry{{Name: "example-00.com"}}}
		m.ID = queue.ContentID(m)
		w.write(records.Record(records.PKParked, records.ParkedSK(at, m.ID), m, time.Time{}), records.Wake(at, time.Time{}))
	}
	cases := map[string]struct {
		edit func(w *world, m *metered)
		work bool
	}{
		"nothing":         {func(*world, *metered) {}, false},
		"a domain is due": {func(w *world, _ *metered) { w.lapsed("example-00.com", nil) }, true},
		"a hold": {func(w *world, _ *metered) {
			w.write(records.PutHold(safety.Hold{Domain: "example-00.com"}))
		}, false},
		"a message is to be sent":     {func(w *world, _ *metered) { parked(w, w.at) }, true},
		"a message waits for later":   {func(w *world, _ *metered) { parked(w, w.at.Add(time.Second)) }, false},
		"the run is being sent":       {func(w *world, _ *metered) { w.run(false, false) }, false},
		"the run is to be weighed":    {func(w *world, _ *metered) { w.run(true, false) }, true},
		"the digest is to be written": {func(w *world, _ *metered) { w.at = w.at.Add(24 * time.Hour) }, true},
		"more than a glance shows": {func(w *world, _ *metered) {
			for i := range agenda {
				w.write(records.Record(records.PKGuard, fmt.Sprintf("a%03d", i), struct{}{}, time.Time{}))
			}
		}, true},
		"a hold behind the page is not seen, but that there is more": {func(w *world, _ *metered) {
			for i := range agenda {
				w.write(records.Record(records.PKGuard, fmt.Sprintf("a%03d", i), struct{}{}, time.Time{}))
			}
			w.write(records.PutHold(safety.Hold{Domain: "example-00.com"}))
		}, true},
		"the breaker holds more than it allows": {func(w *world, _ *metered) {
			w.write(records.Record(records.PKGuard, records.SKBreaker, safety.Ledger{Held: map[string]int{"rdap.example.net/redemption": 100}}, time.Time{}))
		}, false},
		"the breaker holds what fits by now": {func(w *world, _ *metered) {
			w.write(records.Record(records.PKGuard, records.SKBreaker, safety.Ledger{Held: map[string]int{"rdap.example.net/redemption": 1}}, time.Time{}))
		}, true},
		"the breaker holds something, and there is no run to measure it by": {func(w *world, _ *metered) {
			w.write(records.Forget(records.PKGuard, records.SKRun), records.Record(records.PKGuard, records.SKBreaker, safety.Ledger{Held: map[string]int{"rdap.example.net/redemption": 1}}, time.Time{}))
		}, false},
		"a run that nobody can read": {func(w *world, _ *metered) {
			w.write(records.Record(records.PKGuard, "run", json.RawMessage(`{"id":7}`), time.Time{}))
		}, true},
		"the index is down": {func(_ *world, m *metered) { m.fail = "due" }, true},
		"the table is down": {func(_ *world, m *metered) { m.fail = "query" }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, m := newQuiet(t)
			c.edit(w, m)
			m.reads, m.writes = 0, 0
			_, err := w.Handle(t.Context(), Event{Action: "tick"})
			if worked(w.log.String()) != c.work || m.writes > 0 != c.work {
				t.Errorf("%d writes, want work %v (%v)\n%s", m.writes, c.work, err, w.log)
			}
			if m.fail != "" && !errors.Is(err, errDown) {
				t.Errorf("%v: want what failed", err)
			}
		})
	}
}

func TestATickBesideAnotherIsNotQuiet(t *testing.T) {
	w, _ := newQuiet(t)
	release, err := w.book().TakeLease(t.Context(), Job, w.at, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if res := w.tick(); !strings.Contains(res.Text, "another invocation") {
		t.Errorf("%+v", res)
	}
	if err := release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.tick(); !strings.Contains(res.Text, "nothing to do") {
		t.Errorf("%+v", res)
	}
}

// TestAnUnreadableModeIsToldWhereItMatters: the next tick with work, the synthetic domain's at the latest, fails.
func TestAnUnreadableModeIsToldWhereItMatters(t *testing.T) {
	w, _ := newQuiet(t)
	w.Mode = func(context.Context) (Mode, error) { return "", errDown }
	w.tick()
	w.lapsed("example-00.com", nil)
	if _, err := w.Handle(t.Context(), Event{Action: "tick"}); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
}
