package fanout

import (
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

// closed makes the list say that recovery is closed through addresses at a host.
func (l *list) closed(host string, c registry.Closed) {
	hc := l.hosts[host]
	hc.Closed = c
	l.hosts[host] = hc
}

func (w *world) recovery(t *testing.T, name string) records.Recovery {
	t.Helper()
	r, err := w.book().Recovery(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return r.V
}

// A table that is new, or was emptied, learns from the list what is closed. Nothing that a look shows opens it: nobody
// remembers how it looked before.
func TestANewTableLearnsWhatIsClosed(t *testing.T) {
	w := newWorld(t)
	since, until := w.Now().Add(-48*time.Hour), w.Now().Add(-72*time.Hour)
	for _, host := range []string{"example-one.com", "mail.example-one.com", "example-two.com"} {
		w.list.set(host, 3, long)
	}
	w.list.closed("example-one.com", registry.Closed{Addresses: 2, Since: since.Add(-time.Hour), ContinuousUntil: until})
	w.list.closed("mail.example-one.com", registry.Closed{Addresses: 1, Since: since, ContinuousUntil: until.Add(time.Hour), Reported: 2})
	w.day(t)
	d, known := w.domain(t, "example-one.com"), w.recovery(t, "example-one.com")
	if c := d.State.Control; c.Since != lifecycle.At(since) || c.Until != lifecycle.At(until) || c.Gap != lifecycle.GapFound || c.MX != "" || d.Differs() {
		t.Errorf("%+v, differs %t", c, d.Differs())
	}
	if known.Since != lifecycle.At(since) || known.Bound != 3 {
		t.Errorf("known %+v", known)
	}
	if d := w.domain(t, "example-two.com"); d.State.Control.Since != 0 || w.recovery(t, "example-two.com").Since != 0 {
		t.Error("a domain that is open was found closed")
	}
	history, err := w.book().History(t.Context(), "example-one.com", 10)
	if err != nil || len(history) != 2 || history[0].What != "reported" || history[1].What != "found closed" {
		t.Errorf("%+v %v", history, err)
	}
	sum, err := w.book().Listed(t.Context(), "example-one.com")
	synced, err2 := w.book().Synced(t.Context())
	if err != nil || err2 != nil || sum.Reported != 2 || synced.V.Reported != 2 {
		t.Errorf("reported %+v %+v %v %v", sum, synced.V, err, err2)
	}
	before := d.Version()
	_, stats, _ := w.observed()
	w.clock.advance(24 * time.Hour)
	if w.day(t); !strings.Contains(stats.String(), `"RecoveryClosed":1`) {
		t.Errorf("one domain is closed, measured %s", stats)
	}
	if w.domain(t, "example-one.com").Version() != before {
		t.Error("the same list wrote again")
	}
}

// What the guard did itself comes back in the list, and is nothing new; nor is what an older list says of what it opened.
func TestTheListSaysNothingNewOfWhatIsKnown(t *testing.T) {
	for what, c := range map[string]struct {
		known records.Recovery
		gap   lifecycle.Instant
		found bool
	}{
		"closed by the guard":             {records.Recovery{Since: 7, Sent: 7, AsOf: 9}, 7, false},
		"a gap whose answer was lost":     {records.Recovery{}, 7, false},
		"opened later than the list says": {records.Recovery{AsOf: lifecycle.At(time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC))}, 0, false},
		"opened before, and closed again": {records.Recovery{AsOf: 9}, 0, true},
	} {
		w := newWorld(t)
		w.list.set("example-one.com", 3, long)
		w.day(t)
		d := w.domain(t, "example-one.com")
		d.State.Control.Since, d.Closed = c.gap, c.gap
		known, err := w.book().Recovery(t.Context(), "example-one.com")
		if known.V = c.known; err != nil {
			t.Fatal(err)
		}
		if err := w.Store.Write(t.Context(), d.Put(), known.Put()); err != nil {
			t.Fatal(err)
		}
		w.list.closed("example-one.com", registry.Closed{Addresses: 1, Since: w.Now(), ContinuousUntil: w.Now()})
		w.clock.advance(24 * time.Hour)
		w.day(t)
		if found := w.domain(t, "example-one.com").State.Control.Gap == lifecycle.GapFound; found != c.found {
			t.Errorf("%s: found closed %t", what, found)
		}
	}
}

// Addresses that were verified before the end of a registration's youth, and after it was closed, are bound too.
func TestAddressesAddedToAYoungRegistrationAreToBeBound(t *testing.T) {
	for what, c := range map[string]struct {
		closed func(time.Time) lifecycle.Instant
		add    func(*world)
		want   bool
	}{
		"young": {func(now time.Time) lifecycle.Instant { return lifecycle.At(now.Add(3 * 24 * time.Hour)) },
			func(w *world) { w.list.set("example-one.com", 4, w.Now()) }, true},
		"young, at another host": {func(now time.Time) lifecycle.Instant { return lifecycle.At(now.Add(3 * 24 * time.Hour)) },
			func(w *world) { w.list.set("mail.example-one.com", 1, w.Now()) }, true},
		"young, nothing new": {func(now time.Time) lifecycle.Instant { return lifecycle.At(now.Add(3 * 24 * time.Hour)) }, func(*world) {}, false},
		"verified after the gap": {func(now time.Time) lifecycle.Instant { return lifecycle.At(now.Add(-time.Hour)) },
			func(w *world) { w.list.set("example-one.com", 4, w.Now()) }, false},
		"open": {func(time.Time) lifecycle.Instant { return 0 }, func(w *world) { w.list.set("example-one.com", 4, w.Now()) }, false},
	} {
		w := newWorld(t)
		w.list.set("example-one.com", 3, long)
		w.day(t)
		d := w.domain(t, "example-one.com")
		d.Closed = c.closed(w.Now())
		d.State.Control.Since = d.Closed
		if err := w.Store.Write(t.Context(), []store.Write{d.Put()}...); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(24 * time.Hour)
		c.add(w)
		w.day(t)
		if got := w.domain(t, "example-one.com").Closed == records.Unsent; got != c.want {
			t.Errorf("%s: to be sent again %t", what, got)
		}
	}
}

func TestTheListSaysWhatTheRegistryOffers(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 3, long)
	w.list.lever = true
	w.day(t)
	if s, err := w.book().Synced(t.Context()); err != nil || !s.V.Recovery || !s.V.MailIsSignIn {
		t.Errorf("%+v %v", s.V, err)
	}
}

// TestAnotherClosingOfAHostIsAChange of the list, and the same one is none.
func TestAnotherClosingOfAHostIsAChange(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 3, long)
	w.day(t)
	since := w.clock.at
	for _, c := range []struct {
		what    string
		closed  registry.Closed
		changed int
	}{
		{"open", registry.Closed{}, 0}, {"closed", registry.Closed{Addresses: 1, Since: since}, 1}, {"closed still", registry.Closed{Addresses: 1, Since: since}, 0},
		{"closed anew", registry.Closed{Addresses: 1, Since: since.Add(time.Hour)}, 1}, {"opened", registry.Closed{Since: since.Add(time.Hour)}, 1},
		{"closed, and nobody knows since when", registry.Closed{Addresses: 1}, 1}, {"opened again", registry.Closed{}, 1},
	} {
		w.list.closed("example-one.com", c.closed)
		if res := w.day(t); res.Changed != c.changed {
			t.Errorf("%s: %d changes, want %d", c.what, res.Changed, c.changed)
		}
	}
}
