package applier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

var errThrottled = errors.New("throttled")

// shaky is a store whose at-th call fails, once. What a tick reads to see whether it is quiet does not count: a look that
// fails makes it work.
type shaky struct {
	store.Store
	n, at int
	what  string // the call that failed
}

func (f *shaky) fails(format string, args ...any) bool {
	if f.n++; f.n == f.at {
		f.what = fmt.Sprintf(format, args...)
		return true
	}
	return false
}

func (f *shaky) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if f.fails("Get %s %s", k.PK, k.SK) {
		return store.Item{}, errThrottled
	}
	return f.Store.Get(ctx, k)
}

func (f *shaky) GetMany(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	if f.fails("GetMany %v", keys) {
		return nil, errThrottled
	}
	return f.Store.GetMany(ctx, keys)
}

func (f *shaky) Query(ctx context.Context, q store.Query) ([]store.Item, bool, error) {
	if glance := q.Limit == 1 || q.Limit == agenda; !glance && f.fails("Query %+v", q) {
		return nil, false, errThrottled
	}
	return f.Store.Query(ctx, q)
}

func (f *shaky) Due(ctx context.Context, shard int, until time.Time, cursor string, limit int) ([]string, string, error) {
	if glance := limit == 1; !glance && f.fails("Due %d", shard) {
		return nil, "", errThrottled
	}
	return f.Store.Due(ctx, shard, until, cursor, limit)
}

func (f *shaky) Write(ctx context.Context, w ...store.Write) error {
	if f.fails("Write %s %s", w[0].PK, w[0].SK) {
		return errThrottled
	}
	return f.Store.Write(ctx, w...)
}

// WriteEach fails for the last group: the others are written.
func (f *shaky) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	if len(groups) > 0 && f.fails("WriteEach %s %s", groups[0][0].PK, groups[0][0].SK) {
		last := len(groups) - 1
		return append(f.Store.WriteEach(ctx, groups[:last]), errThrottled)
	}
	return f.Store.WriteEach(ctx, groups)
}

// aMorning is a world with a little of everything that a tick does.
func aMorning(t *testing.T) (*world, *lever) {
	w, l := leverWorld(t)
	w.at = w.at.Add(3 * time.Hour) // when the open holds are measured too
	w.offers(records.Synced{Recovery: true})
	w.write(records.PutSent(w.runID(), 0, 1, records.Sent{IDs: []records.SentID{{ID: "x", Upstream: "delegation/com"}}}, w.at),
		records.Mark(w.runID(), "x", records.Marker{Checked: 1}, w.at))
	w.deleted("lost.com", func(d *records.Domain) { d.State.Phase = lifecycle.PendingDelete })
	w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
	w.lapsed("looked.com", func(d *records.Domain) { d.Action, d.NextLook = lifecycle.Confirm, lifecycle.At(w.at) })
	w.gap("gap.com", lifecycle.GapGone)
	w.lapsed("host.net", func(d *records.Domain) {
		d.Listed, d.Addresses, d.MailHost, d.Action, d.Reason = false, 0, true, lifecycle.Hold, lifecycle.ReasonMailHost
	})
	w.lapsed("customer.com", quiet)
	w.dependsOn("customer.com", "host.net")
	w.arrive()
	m := queue.Message{Schema: queue.Schema, Kind: queue.KindDelegation, Upstream: "com", Group: "delegation/com", Run: w.runID(), Share: 1, Sent: w.at, Domains: []queue.Entry{{Name: "parked.com"}}}
	m.ID = queue.ContentID(m)
	w.write(records.Record(records.PKParked, records.ParkedSK(w.at, m.ID), m, time.Time{}), records.Wake(w.at, time.Time{}),
		records.PutLine(w.at.AddDate(0, 0, -1), "x", records.Line{What: wordUnverified, Domain: "before.com", Changed: 1}))
	return w, l
}

func (w *world) runID() string { return "20260302T030000Z" }

// came is what became of everybody.
func (w *world) came(l *lever, names ...string) map[string]string {
	w.t.Helper()
	got := map[string]string{"closed": fmt.Sprint(slices.Sorted(maps.Keys(l.closed)))}
	keys := map[string]bool{}
	for _, r := range l.requests {
		if !r.DryRun { // the synthetic domain's
			keys[r.Key] = true
		}
	}
	got["requests"] = fmt.Sprint(slices.Sorted(maps.Keys(keys)))
	for _, name := range names {
		m := w.matter(name)
		_, held := w.held(name)
		got[name] = fmt.Sprint(m.Case.V.At(), held, m.Recovery.V.Since != 0, m.Domain.State.MailLapsed, m.Domain.LookSent != 0, m.Domain.Told != 0)
	}
	digest, err := w.book().Digest(w.t.Context(), "2026-03-01")
	if err != nil {
		w.t.Fatal(err)
	}
	got["digest"] = digest.V.Text
	got["canary"] = fmt.Sprint(strings.Contains(w.stats.String(), `"CanaryCompleted":1`))
	sent := map[string]bool{}
	for _, m := range w.out.messages {
		sent[fmt.Sprint(m.Kind, m.Upstream, len(m.Domains), m.Look)] = true
	}
	got["sent"] = fmt.Sprint(slices.Sorted(maps.Keys(sent)))
	return got
}

// TestWhateverCallOfATickFailsIsToldAndMadeGood: the tick says so, does the rest, and the next ones lead where an
// undisturbed one does.
func TestWhateverCallOfATickFailsIsToldAndMadeGood(t *testing.T) {
	names := []string{"lost.com", "asked.com", "looked.com", "gap.com", "host.net", "customer.com"}
	for _, mode := range []Mode{Enforce, Observe} {
		w, l := aMorning(t)
		w.mode = mode
		f := &shaky{Store: w.Store}
		w.Store = f
		w.tick()
		calls := f.n
		w.at = w.at.Add(20 * time.Minute)
		w.tick()
		w.tick()
		want := w.came(l, names...)
		if calls < 40 {
			t.Fatalf("%d calls, %v", calls, want)
		}
		for at := 1; at <= calls; at++ {
			w, l := aMorning(t)
			w.mode = mode
			f := &shaky{Store: w.Store, at: at}
			w.Store = f
			if _, err := w.Handle(t.Context(), Event{Action: "tick"}); !errors.Is(err, errThrottled) {
				t.Errorf("%s, %s (%d) fails: %v", mode, f.what, at, err)
			}
			w.at = w.at.Add(20 * time.Minute) // the lease of who could not give it back is over
			w.tick()
			w.tick()
			if diff := cmp.Diff(want, w.came(l, names...)); diff != "" {
				t.Errorf("%s, %s (%d) fails: %s", mode, f.what, at, diff)
			}
		}
	}
}

// TestWhateverCallOfAnOperatorsActionFailsIsTold: nobody reads "done" of what was not written down.
func TestWhateverCallOfAnOperatorsActionFailsIsTold(t *testing.T) {
	const class, crowd = "rdap.example.net/" + string(lifecycle.PendingDelete), "rdap.crowd.example/" + string(lifecycle.PendingDelete)
	lost := func(d *records.Domain) { d.State.Phase = lifecycle.PendingDelete }
	for _, e := range []Event{
		{Action: "approve", Domain: "asked.com"}, {Action: "approve", Domain: "asked.com", Ask: true}, {Action: "unhold", Domain: "asked.com"},
		{Action: "hold", Domain: "gap.com"}, {Action: "hold", Domain: "host.net"}, {Action: "recheck", Domain: "gap.com"},
		{Action: "retry", Domain: "done.com"}, {Action: "restore", Domain: "done.com"}, {Action: "restore", Domain: "unanswered.com"},
		{Action: "restore", Class: class, Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Count: 2}, {Action: "accept"},
		{Action: "close", Domain: "asked.com", Why: "seen"},
		{Action: "open", Domain: "gap.com", Why: "seen"}, {Action: "open", All: true, Why: "seen"},
		{Action: "approve", Class: crowd, Count: 11, PerDay: 5}, {Action: "status"},
	} {
		prepared := func() (*world, *shaky) {
			w, _ := leverWorld(t)
			w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
			w.lapsed("host.net", func(d *records.Domain) { quiet(d); d.MailHost = true })
			w.dependsOn("customer.com", "host.net")
			w.gap("gap.com", lifecycle.GapGone)
			w.deleted("done.com", lost)
			w.reg.answer.Recovery = registry.RecoveryOpen
			if e.PerDay > 0 {
				for i := range e.Count {
					w.deleted(fmt.Sprintf("crowd-%02d.com", i), func(d *records.Domain) { lost(d); d.State.RegServer = "rdap.crowd.example" })
				}
			}
			w.tick()
			w.deleted("unanswered.com", lost)
			w.reg.err = errLost
			w.tick()
			if w.reg.err = nil; w.stands("done.com") != decision.Done || w.stands("asked.com") != decision.Held {
				t.Fatal(w.log)
			}
			f := &shaky{Store: w.Store}
			w.Store = f
			return w, f
		}
		w, f := prepared()
		w.must(e)
		calls := f.n
		if calls < 4 {
			t.Errorf("%+v: %d calls", e, calls)
		}
		for at := 1; at <= calls; at++ {
			w, f := prepared()
			f.at = at
			if res, err := w.say(e); !errors.Is(err, errThrottled) {
				t.Errorf("%+v: %s (%d) fails: %+v %v", e, f.what, at, res, err)
			}
		}
	}
}
