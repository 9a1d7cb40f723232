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

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// lever is a registry that closes recovery and opens it again: a desired state by domain.
type lever struct {
	*fakeRegistry
	asked  []registry.RecoveryRequest
	closed map[string]bool
	lost   int // answers that are lost after the work was done
	fails  error
}

func (l *lever) SetRecovery(_ context.Context, r registry.RecoveryRequest) (registry.RecoveryAnswer, error) {
	l.asked = append(l.asked, r)
	if l.fails != nil {
		return registry.RecoveryAnswer{}, l.fails
	}
	if err := r.Check(); err != nil {
		return registry.RecoveryAnswer{}, err
	}
	if !r.DryRun {
		l.closed[r.Domain] = r.Desired == registry.RecoveryClosed
	}
	if l.lost--; l.lost == 0 {
		return registry.RecoveryAnswer{}, errLost
	}
	return registry.RecoveryAnswer{Answer: registry.Answer{Changed: 2, Recovery: r.Desired}, Closed: 2}, nil
}

func leverWorld(t *testing.T) (*world, *lever) {
	w := newWorld(t)
	l := &lever{fakeRegistry: w.reg, closed: map[string]bool{}}
	w.Registry, w.DryRun, w.Restorer = l, l, l
	w.offers(records.Synced{Recovery: true})
	return w, l
}

// offers is what the registry's list says of the lever.
func (w *world) offers(s records.Synced) {
	s.AsOf = lifecycle.At(w.at)
	w.write(records.Record(records.PKGuard, records.SKSynced, s, time.Time{}))
}

// gap puts a listed domain under watch whose recovery should be closed since a while.
func (w *world) gap(name string, gap lifecycle.Gap) {
	w.lapsed(name, func(d *records.Domain) {
		now := lifecycle.At(w.at)
		d.State.Phase, d.State.LapseAt, d.Action, d.Reason = lifecycle.Active, 0, lifecycle.Watch, lifecycle.ReasonOutOfService
		d.State.Control = lifecycle.Continuity{Since: now.Add(-time.Hour), Until: now.Add(-25 * time.Hour), Gap: gap}
	})
}

func TestRecoveryIsClosedAndOpened(t *testing.T) {
	w, l := leverWorld(t)
	w.gap("a.com", lifecycle.GapGone)
	w.tick()
	if len(l.asked) != 1 || !l.closed["a.com"] {
		t.Fatalf("closed: %+v", l.asked)
	}
	r := l.asked[0]
	if !r.Since.Equal(w.at.Add(-time.Hour)) || !r.ContinuousUntil.Equal(w.at.Add(-25*time.Hour)) || !r.AsOf.Equal(w.at) || r.MaxAddresses < 5 ||
		r.Reason != registry.ReasonInterrupted || !strings.Contains(r.Evidence[0], "out of the zone") || r.Advice.Code != "renew_domain" {
		t.Errorf("the request: %+v", r)
	}
	for range 3 {
		w.at = w.at.Add(15 * time.Minute)
		w.tick()
	}
	if len(l.asked) != 1 {
		t.Errorf("a quiet tick asked %d times", len(l.asked)-1)
	}
	w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
	w.tick()
	if len(l.asked) != 2 || l.closed["a.com"] {
		t.Fatalf("opened: %+v", l.asked)
	}
	history, err := w.book().History(t.Context(), "a.com", 10)
	if err != nil {
		t.Fatal(err)
	}
	if said := fmt.Sprint(history[0].What, history[1].What); said != "openedclosed" {
		t.Errorf("history: %s", said)
	}
	if m := w.stats.String(); strings.Count(m, `"Closings":1`) != 1 || strings.Count(m, `"Openings":1`) != 1 || strings.Contains(m, "WouldClose") {
		t.Errorf("metrics: %s", m)
	}
}

// A newer gap is told, with its own since: what was verified in between is bound too.
func TestANewerGapIsTold(t *testing.T) {
	w, l := leverWorld(t)
	w.gap("a.com", lifecycle.GapGone)
	w.tick()
	w.at = w.at.Add(time.Hour)
	w.change("a.com", func(d *records.Domain) { d.State.Control.Since = lifecycle.At(w.at) })
	w.tick()
	if len(l.asked) != 2 || !l.asked[1].Since.After(l.asked[0].Since) {
		t.Errorf("%+v", l.asked)
	}
}

// Whatever is lost between two calls, the next tick brings known and desired state together.
func TestALostAnswerEndsInTheDesiredState(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(w *world, l *lever)
	}{
		{"the registry's answer", func(_ *world, l *lever) { l.lost = 1 }},
		{"the budget's write", func(w *world, _ *lever) { w.fault.lose = w.fault.lose + 2 }},
		{"the note of what was done", func(w *world, _ *lever) { w.fault.lose = w.fault.lose + 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, l := leverWorld(t)
			w.gap("a.com", lifecycle.GapGone)
			w.fault.lose = 0
			c.lose(w, l)
			for range 3 {
				_, err := w.Handle(t.Context(), Event{Action: "tick"})
				if err != nil && !errors.Is(err, errLost) {
					t.Fatal(err)
				}
				w.at = w.at.Add(15 * time.Minute)
			}
			known, err := w.book().Recovery(t.Context(), "a.com")
			if err != nil {
				t.Fatal(err)
			}
			if d := w.get("a.com"); !l.closed["a.com"] || known.V.Since != d.State.Control.Since || d.Differs() {
				t.Errorf("closed %t, known %+v, desired %+v", l.closed["a.com"], known.V, d.State.Control)
			}
		})
	}
}

func TestWhoIsNotClosed(t *testing.T) {
	t.Run("stop sends nothing and leaves what is closed", func(t *testing.T) {
		w, l := leverWorld(t)
		w.gap("a.com", lifecycle.GapGone)
		w.tick()
		w.gap("b.com", lifecycle.GapGone)
		w.mode = Stop
		w.tick()
		if !l.closed["a.com"] || len(l.asked) != 1 {
			t.Errorf("%+v", l.asked)
		}
		if w.mode = Enforce; w.tick().Mode != Enforce || !l.closed["b.com"] {
			t.Error("what was found meanwhile is not closed afterwards")
		}
	})
	t.Run("observe says what it would do, once, and enforce does it", func(t *testing.T) {
		w, l := leverWorld(t)
		w.DryRun = dry{l}
		w.gap("a.com", lifecycle.GapGone)
		w.mode = Observe
		w.tick()
		w.tick()
		if l.closed["a.com"] || len(l.asked) != 1 || !l.asked[0].DryRun || !strings.Contains(w.log.String(), wordWouldClose) {
			t.Errorf("%+v", l.asked)
		}
		w.mode = Enforce
		w.tick()
		if !l.closed["a.com"] {
			t.Error("enforce did not close")
		}
	})
	t.Run("a protected domain", func(t *testing.T) {
		w, l := leverWorld(t)
		w.Protected = []string{"a.com"}
		w.gap("a.com", lifecycle.GapGone)
		w.tick()
		if len(l.asked) != 0 || w.get("a.com").Differs() {
			t.Errorf("%+v", l.asked)
		}
	})
	t.Run("a registry that does not offer it", func(t *testing.T) {
		w, l := leverWorld(t)
		w.offers(records.Synced{})
		w.gap("a.com", lifecycle.GapGone)
		w.tick()
		before := w.get("a.com").Version()
		if w.tick(); len(l.asked) != 0 || w.get("a.com").Version() != before {
			t.Errorf("%+v, written each tick %t", l.asked, w.get("a.com").Version() != before)
		}
		w.offers(records.Synced{Recovery: true})
		w.at = w.at.Add(24 * time.Hour)
		if w.tick(); !l.closed["a.com"] {
			t.Error("what was found before the registry offered it is not closed afterwards")
		}
	})
	t.Run("where a mail alone signs in, what does not take the mail away", func(t *testing.T) {
		w, l := leverWorld(t)
		w.offers(records.Synced{Recovery: true, MailIsSignIn: true})
		w.gap("a.com", lifecycle.GapNewServers)
		w.gap("b.com", lifecycle.GapParked)
		w.tick()
		if len(l.asked) != 1 || !l.closed["b.com"] {
			t.Errorf("%+v", l.asked)
		}
		w.change("a.com", func(d *records.Domain) { d.State.Control.Gap = lifecycle.GapDeleted })
		w.at = w.at.Add(6 * time.Hour)
		if w.tick(); !l.closed["a.com"] {
			t.Error("it was deleted meanwhile, and is not closed")
		}
		w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
		if w.tick(); l.closed["a.com"] {
			t.Error("it is not opened")
		}
	})
	t.Run("a registry that fails is asked again", func(t *testing.T) {
		w, l := leverWorld(t)
		w.gap("a.com", lifecycle.GapGone)
		l.fails = &registry.Problem{Status: 503}
		if w.tick(); w.get("a.com").Differs() == false {
			t.Error("it counts as done")
		}
		l.fails = nil
		if w.tick(); !l.closed["a.com"] {
			t.Error("it was not asked again")
		}
	})
}

// dry is the registry as observe mode has it.
type dry struct{ *lever }

func (d dry) SetRecovery(ctx context.Context, r registry.RecoveryRequest) (registry.RecoveryAnswer, error) {
	r.DryRun = true
	return d.lever.SetRecovery(ctx, r)
}

// The budget for closings: ten of a thousand domains in a day, those who only depend on a lapsed host last, and five of
// them at most; what does not fit waits.
func TestClosingsHaveABudget(t *testing.T) {
	w, l := leverWorld(t)
	for i := range 8 {
		w.gap(fmt.Sprintf("dependent-%d.com", i), lifecycle.GapMailHost)
	}
	for i := range 7 {
		w.gap(fmt.Sprintf("own-%d.com", i), lifecycle.GapGone)
	}
	w.tick()
	count := func(prefix string) (n int) {
		for name, closed := range l.closed {
			if closed && strings.HasPrefix(name, prefix) {
				n++
			}
		}
		return n
	}
	if count("dependent") != 3 || count("own") != 7 {
		t.Errorf("the first day: %d dependents and %d of its own", count("dependent"), count("own"))
	}
	if holds := w.holds(); len(holds) != 0 {
		t.Errorf("held: %v", holds)
	}
	w.at = w.at.Add(25 * time.Hour)
	w.tick()
	if count("dependent") != 8 || count("own") != 7 {
		t.Errorf("the next day: %d dependents and %d of its own", count("dependent"), count("own"))
	}
}

// deleted is a domain whose deletion was seen together with the gap.
func (w *world) deleted(name string, edit func(*records.Domain)) {
	w.lapsed(name, func(d *records.Domain) {
		d.State.Deleted, d.State.RegSince = d.State.LapseAt, d.State.LapseAt
		d.State.Control = lifecycle.Continuity{Since: d.State.LapseAt, Until: d.State.LapseAt.Add(-lifecycle.Daily), Gap: lifecycle.GapDeleted}
		if edit != nil {
			edit(d)
		}
	})
}

// heard is a fresh answer about a domain, as the checker stores it.
func (w *world) heard(name string, edit func(*records.Domain)) {
	w.change(name, func(d *records.Domain) {
		d.State.RegAt, d.State.DelegAt = lifecycle.At(w.at), lifecycle.At(w.at)
		if edit != nil {
			edit(d)
		}
	})
}

func (w *world) holds() (names []string) {
	for h, err := range w.book().Holds(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		names = append(names, h.V.Domain)
	}
	return names
}

// With the lever a deletion is closed at once and unverified when its holder cannot have it back any more.
func TestADeletedDomainIsClosedFirstAndUnverifiedWhenItIsLost(t *testing.T) {
	pending := func(d *records.Domain) {
		d.State.Phase, d.State.Since, d.State.Reg = lifecycle.PendingDelete, d.State.RegAt, lifecycle.WordPendingDelete
	}
	for _, c := range []struct {
		name, domain string
		early        bool
		after        time.Duration
		heard        func(*records.Domain)
		want         int
	}{
		{"redemption", "a.com", false, 29 * 24 * time.Hour, nil, 0},
		{"redemption, early by the operator's wish", "a.com", true, 0, nil, 1},
		{"pending delete", "a.com", false, 31 * 24 * time.Hour, pending, 1},
		{"a TLD without pending delete", "a.nl", false, 37 * 24 * time.Hour, nil, 0},
		{"a TLD without pending delete, two days before its end", "a.nl", false, 38 * 24 * time.Hour, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, l := leverWorld(t)
			w.UnverifyEarly = c.early
			w.deleted(c.domain, nil)
			w.tick()
			if !l.closed[c.domain] {
				t.Fatal("not closed")
			}
			if c.after > 0 {
				w.at = w.at.Add(c.after)
				w.heard(c.domain, c.heard)
			}
			w.tick()
			if w.tick(); len(w.reg.requests) != c.want || len(w.holds()) != 0 {
				t.Errorf("%d unverified, want %d; holds %v", len(w.reg.requests), c.want, w.holds())
			}
		})
	}
}

// It is due by itself when a verdict comes to ask for something else: no look need find anything new.
func TestADomainIsDueWhenItsQuarantineEnds(t *testing.T) {
	w, _ := leverWorld(t)
	w.deleted("a.nl", nil)
	w.tick()
	w.at = w.at.Add(38 * 24 * time.Hour)
	if w.tick(); len(w.out.messages) != 1 || len(w.reg.requests) != 0 {
		t.Errorf("looks %d, unverified %d on old evidence", len(w.out.messages), len(w.reg.requests))
	}
}

func TestWhereRecoveryIsClosedNobodyIsAsked(t *testing.T) {
	hands := func(d *records.Domain) {
		d.State.Phase, d.Action, d.Confidence, d.Reason = lifecycle.ChangedHands, lifecycle.Hold, lifecycle.Medium, lifecycle.ReasonReviewHands
	}
	contradiction := func(d *records.Domain) {
		d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Contradiction, lifecycle.ReasonStillThere
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		name  string
		edit  func(*records.Domain)
		l     func(*world, *lever)
		after time.Duration
		held  bool
	}{
		{"changed hands", hands, nil, 30 * day, false},
		{"without the lever", hands, func(w *world, _ *lever) {
			w.write(records.Record(records.PKGuard, records.SKSynced, records.Synced{}, time.Time{}))
		}, 0, true},
		{"a lapse that a second look must confirm", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} }, nil, 23 * time.Hour, false},
		{"protected, which is never closed", hands, func(w *world, _ *lever) { w.Protected = []string{"a.com"} }, 0, true},
		{"the registry is down", hands, func(_ *world, l *lever) { l.fails = &registry.Problem{Status: 503} }, 23 * time.Hour, false},
		{"the registry is down for more than a day", hands, func(_ *world, l *lever) { l.fails = &registry.Problem{Status: 503} }, day, true},
		{"too many addresses by an old count", hands, func(_ *world, l *lever) { l.fails = &registry.Problem{Status: 422, Type: registry.TypeTooMany} }, 23 * time.Hour, false},
		{"the registry refuses", hands, func(_ *world, l *lever) { l.fails = &registry.Problem{Status: 422, Type: registry.TypePublicSuffix} }, 0, true},
		{"the registry refuses to close what else would be watched", func(d *records.Domain) { d.Action = lifecycle.Watch },
			func(_ *world, l *lever) { l.fails = &registry.Problem{Status: 422, Type: registry.TypePublicSuffix} }, 0, true},
		{"a contradiction", contradiction, nil, day, false},
		{"a contradiction that lasts", contradiction, nil, 8 * day, true},
		{"an account that may have been taken", func(d *records.Domain) {
			d.State.Phase, d.Action, d.Reason = lifecycle.ReRegistered, lifecycle.Hold, lifecycle.ReasonReviewNew
		}, nil, 0, true},
		{"who has no addresses and only carries others' mail", func(d *records.Domain) {
			d.Listed, d.MailHost, d.Action, d.Reason = false, true, lifecycle.Hold, lifecycle.ReasonMailHost
		}, nil, 2 * day, false},
		{"observe mode, which only says that it would close", hands, func(w *world, l *lever) { w.mode, w.DryRun = Observe, dry{l} }, 2 * day, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, l := leverWorld(t)
			if c.l != nil {
				c.l(w, l)
			}
			w.deleted("a.com", c.edit)
			w.tick()
			w.at = w.at.Add(c.after)
			w.heard("a.com", nil)
			w.tick()
			if held := len(w.holds()) > 0; held != c.held || len(w.reg.requests) > 0 {
				t.Errorf("held %t, want %t; %d unverified", held, c.held, len(w.reg.requests))
			}
		})
	}
}

// Without the lever, or where it does not work, a deletion is unverified as ever.
func TestAClosingThatIsRefusedSparesNothing(t *testing.T) {
	w, l := leverWorld(t)
	l.fails = &registry.Problem{Status: 422, Type: registry.TypePublicSuffix, Title: "public suffix"}
	w.deleted("a.com", nil)
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Errorf("%d unverified", len(w.reg.requests))
	}
	asked := len(l.asked)
	w.at = w.at.Add(time.Hour)
	w.tick()
	if len(l.asked) != asked {
		t.Error("the registry was asked again at once")
	}
	l.fails = nil
	w.at = w.at.Add(24 * time.Hour)
	if w.tick(); !l.closed["a.com"] {
		t.Error("the registry was not asked again on the next day")
	}
}

// A person may have a closed domain unverified earlier.
func TestAnOperatorCanHaveAClosedDomainUnverified(t *testing.T) {
	w, _ := leverWorld(t)
	w.deleted("a.com", nil)
	w.tick()
	if _, err := w.Handle(t.Context(), Event{Action: "approve", Domain: "a.com", By: "on-call"}); err != nil {
		t.Fatal(err)
	}
	w.tick() // asks for the look
	w.at = w.at.Add(time.Minute)
	w.heard("a.com", nil)
	if w.tick(); len(w.reg.requests) != 1 {
		t.Errorf("%d unverified", len(w.reg.requests))
	}
}

// List implements lists.
func (l *lever) List(context.Context, string, int, time.Time) (registry.Page, error) {
	page := registry.Page{Complete: true}
	for _, name := range slices.Sorted(maps.Keys(l.closed)) {
		if l.closed[name] {
			page.Hosts = append(page.Hosts, registry.HostCount{Host: "mail." + name, Closed: registry.Closed{Addresses: 2}})
		}
	}
	return page, nil
}

func (w *world) says(action, name string) string {
	w.t.Helper()
	res, err := w.Handle(w.t.Context(), Event{Action: action, Domain: name, All: name == "", By: "on-call", Why: "a false alarm"})
	if err != nil {
		w.t.Fatal(err)
	}
	return res.Text
}

// What an operator says of recovery is done at once, in every mode; no tick takes it back, and a new gap does.
func TestAnOperatorsWordStandsAgainstThisGap(t *testing.T) {
	for _, mode := range []Mode{Enforce, Observe, Stop} {
		t.Run("open, "+string(mode), func(t *testing.T) {
			w, l := leverWorld(t)
			w.gap("a.com", lifecycle.GapGone)
			w.tick()
			w.mode = mode
			w.says("open", "a.com")
			for range 3 {
				w.at = w.at.Add(24 * time.Hour)
				w.tick()
			}
			if len(l.asked) != 2 || l.closed["a.com"] || len(w.holds()) != 0 {
				t.Fatalf("asked %d, closed %t, held %v", len(l.asked), l.closed["a.com"], w.holds())
			}
			w.change("a.com", func(d *records.Domain) { d.State.Control.Since = lifecycle.At(w.at) })
			w.mode = Enforce
			if w.tick(); !l.closed["a.com"] {
				t.Error("a new gap does not close")
			}
		})
		t.Run("close, "+string(mode), func(t *testing.T) {
			w, l := leverWorld(t)
			w.gap("a.com", lifecycle.GapGone)
			w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
			w.mode = mode
			w.says("close", "a.com")
			for range 3 {
				w.at = w.at.Add(24 * time.Hour)
				w.tick()
			}
			if len(l.asked) != 1 || !l.closed["a.com"] || l.asked[0].Since.IsZero() || strings.Contains(fmt.Sprint(l.asked), "on-call") {
				t.Fatalf("%+v", l.asked)
			}
			w.mode = Enforce
			w.change("a.com", func(d *records.Domain) {
				d.State.Control = lifecycle.Continuity{Since: lifecycle.At(w.at), Until: lifecycle.At(w.at), Gap: lifecycle.GapGone}
			})
			w.tick()
			w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
			if w.tick(); l.closed["a.com"] || len(l.asked) != 3 {
				t.Errorf("after a new gap that ended: %+v", l.asked)
			}
		})
	}
	t.Run("close, of a gap that ends", func(t *testing.T) {
		w, l := leverWorld(t)
		w.gap("a.com", lifecycle.GapGone)
		w.tick()
		w.says("close", "a.com")
		w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
		if w.tick(); !l.closed["a.com"] {
			t.Error("the tick opened it")
		}
		if w.says("open", "a.com"); l.closed["a.com"] {
			t.Error("the operator could not open it")
		}
	})
	t.Run("history", func(t *testing.T) {
		w, _ := leverWorld(t)
		w.gap("a.com", lifecycle.GapGone)
		w.says("close", "a.com")
		history, err := w.book().History(t.Context(), "a.com", 10)
		if err != nil || !slices.ContainsFunc(history, func(e records.Entry) bool {
			return e.What == "close" && e.By == "on-call" && e.Sentence == "a false alarm"
		}) {
			t.Errorf("%+v %v", history, err)
		}
	})
}

func TestAnOperatorOpensEverything(t *testing.T) {
	w, l := leverWorld(t)
	w.gap("a.com", lifecycle.GapGone)
	w.gap("b.com", lifecycle.GapParked)
	w.tick()
	l.closed["unwatched.com"] = true
	w.mode = Stop
	if text := w.says("open", ""); !strings.Contains(text, "all 3 domains") {
		t.Error(text)
	}
	w.mode = Enforce
	w.tick()
	for name, closed := range l.closed {
		if closed {
			t.Errorf("%s is closed", name)
		}
	}
	if d, err := w.book().Domain(t.Context(), "unwatched.com"); err != nil || d.Known() {
		t.Error("a domain that is not watched came into the table")
	}
	if text, err := w.say(Event{Action: "open", All: true}); err == nil || !strings.Contains(err.Error(), "holds nothing closed") {
		t.Errorf("said again: %v %v", text, err)
	}
}

func TestWhatAnOperatorCannotSayOfRecovery(t *testing.T) {
	for what, c := range map[string]struct {
		e    Event
		do   func(*world, *lever)
		want string
	}{
		"no reason":            {Event{Action: "close", By: "on-call"}, nil, "no reason"},
		"no name":              {Event{Action: "close", Why: "w"}, nil, "no name"},
		"an address":           {Event{Action: "close", By: "on-call", Why: "alice@a.com asked"}, nil, "not an address"},
		"a protected domain":   {Event{Action: "close", By: "on-call", Why: "w"}, func(w *world, _ *lever) { w.Protected = []string{"a.com"} }, "protected"},
		"a registry without":   {Event{Action: "open", By: "on-call", Why: "w"}, func(w *world, _ *lever) { w.Restorer = w.reg }, "does not offer"},
		"a registry's refusal": {Event{Action: "close", By: "on-call", Why: "w"}, func(_ *world, l *lever) { l.fails = &registry.Problem{Status: 422, Type: registry.TypePublicSuffix} }, "refused"},
	} {
		w, l := leverWorld(t)
		w.gap("a.com", lifecycle.GapGone)
		w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
		if c.do != nil {
			c.do(w, l)
		}
		c.e.Domain = "a.com"
		if _, err := w.Handle(t.Context(), c.e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A word that was not carried out is taken up by the next tick.
func TestAnOperatorsWordIsTakenUpByTheNextTick(t *testing.T) {
	w, l := leverWorld(t)
	w.gap("a.com", lifecycle.GapGone)
	w.change("a.com", func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
	l.fails = &registry.Problem{Status: 503}
	if text := w.says("close", "a.com"); !strings.Contains(text, "noted") {
		t.Error(text)
	}
	l.fails = nil
	if w.tick(); !l.closed["a.com"] {
		t.Error("not closed")
	}
}

// Of a young registration what is verified until its youth ends is bound by a call of its own, once the list shows it.
func TestAYoungRegistrationIsBoundAgain(t *testing.T) {
	w, l := leverWorld(t)
	w.gap("a.com", lifecycle.GapYoung)
	end := lifecycle.At(w.at.Add(3 * 24 * time.Hour))
	w.change("a.com", func(d *records.Domain) { d.State.Control.Since = end })
	w.tick()
	w.at = w.at.Add(24 * time.Hour)
	w.tick()
	if len(l.asked) != 1 || !l.asked[0].Since.Equal(w.at.Add(-24*time.Hour)) {
		t.Fatalf("%+v", l.asked)
	}
	w.change("a.com", func(d *records.Domain) { d.Closed = records.Unsent }) // as sync notes what the list shows
	w.tick()
	if w.tick(); len(l.asked) != 2 || !l.asked[1].Since.Equal(w.at) || w.get("a.com").Closed != end {
		t.Errorf("%d asked, %+v", len(l.asked), l.asked[len(l.asked)-1])
	}
}

// A domain that was found closed is opened by no tick, and by an operator.
func TestADomainThatWasFoundClosedIsOpenedByAnOperator(t *testing.T) {
	w, l := leverWorld(t)
	since := lifecycle.At(w.at.Add(-time.Hour))
	w.gap("a.com", lifecycle.GapGone)
	w.change("a.com", func(d *records.Domain) { d.State, d.Closed = lifecycle.FoundClosed(d.State, since, since), since })
	known, err := w.book().Recovery(t.Context(), "a.com")
	if known.V.Since, known.V.Sent = since, since; err != nil {
		t.Fatal(err)
	}
	w.write(known.Put())
	l.closed["a.com"] = true
	if w.tick(); len(l.asked) != 0 || len(w.holds()) != 0 {
		t.Fatalf("%+v, held %v", l.asked, w.holds())
	}
	if w.says("open", "a.com"); l.closed["a.com"] {
		t.Error("not opened")
	}
	if w.tick(); l.closed["a.com"] {
		t.Error("the tick closed it")
	}
}
