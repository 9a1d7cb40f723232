package fanout

import (
	"context"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// put writes a record of the guard's own over what is there.
func (w *world) put(t *testing.T, sk string, v any) {
	t.Helper()
	if err := w.Store.Write(t.Context(), records.Record(records.PKGuard, sk, v, time.Time{})); err != nil {
		t.Fatal(err)
	}
}

// TestAStoredTimeThatIsAheadDoesNotStopTheWatch: what a wrong clock once wrote would else be waited for.
func TestAStoredTimeThatIsAheadDoesNotStopTheWatch(t *testing.T) {
	for _, sent := range []bool{true, false} {
		w := newWorld(t)
		w.list.set("example-one.com", 1, long)
		w.day(t)
		ahead := w.clock.at.AddDate(0, 0, 400)
		w.put(t, "run", records.Run{ID: ahead.Format("20060102T150405Z"), Started: lifecycle.At(ahead), Segments: 2, Sent: sent, Sync: records.Sync{Listing: true, Done: true}})
		w.put(t, records.LeaseSK("fanout"), records.Lease{Until: lifecycle.At(ahead)})
		if res := w.day(t); res.Watched != 1 || res.Run != w.clock.at.Format("20060102T150405Z") || len(w.out.messages) != 1 {
			t.Errorf("sent %t: %+v, %d messages", sent, res, len(w.out.messages))
		}
		if res := w.day(t); res.Watched != 1 {
			t.Errorf("sent %t: the day after: %+v", sent, res)
		}
	}
}

// TestResumeBeginsTheRunThatTheDayMissed: an event whose answer was lost, or an invocation that died between its lease and
// its first record, would else cost a day.
func TestResumeBeginsTheRunThatTheDayMissed(t *testing.T) {
	resume := func(w *world, after time.Duration) Result {
		t.Helper()
		w.clock.at = w.clock.at.Add(after)
		res, err := w.Handle(t.Context(), Event{Action: "resume"})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	if res := resume(w, 0); res.Run != "" {
		t.Errorf("%+v: the first run is the schedule's", res)
	}
	first := w.day(t)
	if res := resume(w, overdue-time.Minute); res.Run != first.Run {
		t.Errorf("%+v: the day's event may still come", res)
	}
	res := resume(w, time.Minute)
	if res.Run == first.Run || res.Watched != 1 || !res.Finished {
		t.Errorf("%+v: no run took the place of %s", res, first.Run)
	}
	if again := resume(w, 15*time.Minute); again.Run != res.Run {
		t.Errorf("%+v: two for one day", again)
	}
	ahead := w.clock.at.AddDate(0, 0, 400)
	w.put(t, "run", records.Run{ID: "ahead", Started: lifecycle.At(ahead), Segments: 2, Sent: true, Sync: records.Sync{Listing: true, Done: true}})
	if res := resume(w, time.Hour); res.Run == "ahead" {
		t.Errorf("%+v: it waits for 400 days", res)
	}
}

func TestALeaseOfAnotherInvocationStands(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	w.put(t, records.LeaseSK("fanout"), records.Lease{Until: lifecycle.At(w.clock.at.Add(24*time.Hour + 15*time.Minute))})
	if res := w.day(t); res.Run != "" {
		t.Errorf("%+v: two at work", res)
	}
}

// TestAListOfTheFutureIsNotBelieved: changes until then would never be asked for.
func TestAListOfTheFutureIsNotBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		ahead  time.Duration
		listed int
	}{"two hours": {2 * time.Hour, 1}, "a day and more": {25 * time.Hour, 0}, "400 days": {400 * 24 * time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.list.set("example-one.com", 1, long)
			w.List = listedAt{w.list, w.clock.at.Add(24*time.Hour + c.ahead)}
			if res := w.day(t); res.Listed != c.listed || !res.Finished {
				t.Errorf("%+v, want %d listed", res, c.listed)
			}
			w.List = w.list
			w.clock.at = w.clock.at.Add(-23 * time.Hour) // day adds one
			w.day(t)
			if since := w.list.calls[len(w.list.calls)-1]; since.After(w.clock.at) {
				t.Errorf("asked for changes since %s, in the future", since)
			}
		})
	}
	for field, synced := range map[string]records.Synced{"whole": {WholeAt: 1}, "as of": {AsOf: 1}, "accepted": {Accepted: 1}} {
		now := newClock().at
		ahead := lifecycle.At(now.AddDate(0, 0, 400))
		past := lifecycle.At(now.Add(-time.Hour))
		s := records.Synced{Counted: true, WholeAt: max(past, synced.WholeAt*ahead), AsOf: max(past, synced.AsOf*ahead), Accepted: synced.Accepted * ahead}
		if got := newSync(s, now); got.Accepted || got.Whole == (field == "accepted") || got.Since > lifecycle.At(now) {
			t.Errorf("%s ahead: %+v", field, got)
		}
	}
}

// listedAt is a list with another as_of.
type listedAt struct {
	Lister
	at time.Time
}

func (l listedAt) List(ctx context.Context, after string, limit int, since time.Time) (registry.Page, error) {
	p, err := l.Lister.List(ctx, after, limit, since)
	p.AsOf = l.at
	return p, err
}
