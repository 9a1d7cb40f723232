package applier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/cloud"
	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// fakeRegistry answers as told and remembers what it was asked.
type fakeRegistry struct {
	requests []registry.Request
	restored []string
	answer   registry.Answer
	err      error
	unknown  map[string]bool // keys that it never heard of
}

func (f *fakeRegistry) Unverify(_ context.Context, r registry.Request) (registry.Answer, error) {
	f.requests = append(f.requests, r)
	return f.answer, f.err
}

func (f *fakeRegistry) Restore(_ context.Context, key string) (registry.Restored, error) {
	if f.unknown[key] {
		return registry.Restored{}, &registry.Problem{Status: 404, Type: registry.TypeUnknownKey, Title: "unknown key"}
	}
	f.restored = append(f.restored, key)
	return registry.Restored{Restored: 2, Kept: 1}, nil
}

type outbox struct{ messages []queue.Message }

func (o *outbox) Send(_ context.Context, m []queue.Message) ([]queue.Message, error) {
	o.messages = append(o.messages, m...)
	return nil, nil
}

// faulty fails the next write after applying it: the answer is lost, the work is done.
type faulty struct {
	store.Store
	lose int
}

var errLost = errors.New("the answer was lost")

func (f *faulty) Write(ctx context.Context, w ...store.Write) error {
	if err := f.Store.Write(ctx, w...); err != nil {
		return err
	}
	if f.lose--; f.lose == 0 {
		return errLost
	}
	return nil
}

type world struct {
	*Handler
	t     *testing.T
	at    time.Time
	mode  Mode
	reg   *fakeRegistry
	out   *outbox
	fault *faulty
	log   *bytes.Buffer
	stats *bytes.Buffer
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, at: time.Date(2026, 3, 2, 3, 30, 0, 0, time.UTC), mode: Enforce, out: &outbox{}, log: &bytes.Buffer{}, stats: &bytes.Buffer{}}
	now := func() time.Time { return w.at }
	s, err := bolt.Open(filepath.Join(t.TempDir(), "guard.db"), bolt.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.fault = &faulty{Store: s}
	w.reg = &fakeRegistry{answer: registry.Answer{Changed: 3, Recovery: registry.RecoveryClosed}}
	w.Handler, err = New(Config{
		Parts: Parts{
			Store: w.fault, Queue: w.out, Restorer: w.reg, Limits: safety.Limits{Count: 20, Share: 0.002},
			Log: slog.New(slog.NewJSONHandler(w.log, nil)), Metrics: telemetry.NewMetrics(w.stats, now, slog.New(slog.DiscardHandler)), Now: now,
		},
		Mode:     func(context.Context) (Mode, error) { return w.mode, nil },
		Registry: w.reg, DryRun: w.reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.write(records.Record(records.PKGuard, records.SKRun, records.Run{ID: "20260302T030000Z", Started: lifecycle.At(w.at.Add(-30 * time.Minute)), Sent: true, Watched: 1000}, time.Time{}))
	return w
}

func (w *world) write(writes ...store.Write) {
	w.t.Helper()
	if err := w.Store.Write(w.t.Context(), writes...); err != nil {
		w.t.Fatal(err)
	}
}

// lapsed stores a domain whose deletion was just seen.
func (w *world) lapsed(name string, edit func(*records.Domain)) {
	w.t.Helper()
	now := lifecycle.At(w.at)
	d := records.NewDomain(name, now)
	d.Listed, d.Hosts, d.Addresses = true, 1, 3
	d.State.Phase, d.State.Since, d.State.LapseAt = lifecycle.Redemption, now, now
	d.State.Reg, d.State.RegAt, d.State.RegServer = lifecycle.WordRedemption, now, "rdap.example.net"
	d.State.Deleg, d.State.DelegAt = lifecycle.DelegationGone, now
	d.Action, d.Confidence, d.Reason = lifecycle.Unverify, lifecycle.High, lifecycle.ReasonDeleted
	d.VerifiedBefore = now.Add(-lifecycle.ClockMargin)
	if edit != nil {
		edit(&d)
	}
	w.write(d.Put())
	w.listed(name, d.Addresses)
}

// listed notes how many addresses the registry's list names at a domain, as fanout does.
func (w *world) listed(name string, addresses int) {
	w.t.Helper()
	counts, err := w.book().Counts(w.t.Context(), []string{name})
	if err != nil {
		w.t.Fatal(err)
	}
	c := counts[name]
	c.V.Addresses = addresses
	w.write(c.Put())
}

func (w *world) tick() Result {
	w.t.Helper()
	res, err := w.Handle(w.t.Context(), Event{Action: "tick"})
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) get(name string) records.Domain {
	w.t.Helper()
	return w.matter(name).Domain
}

func (w *world) matter(name string) records.Matter {
	w.t.Helper()
	m, err := w.book().Matter(w.t.Context(), name)
	if err != nil || !m.Domain.Known() {
		w.t.Fatal(m, err)
	}
	return m
}

// status is where the decision about a domain stands.
func (w *world) stands(name string) decision.Status { return w.matter(name).Case.V.At() }

func (w *world) held(name string) (h safety.Hold, ok bool) {
	w.t.Helper()
	r, err := w.book().Hold(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.V, r.Found()
}

func TestUnverifiesOnceWithTheFrozenRequest(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	seen := w.at
	if res := w.tick(); res.Acted != 1 {
		t.Fatalf("result %+v, log %s", res, w.log)
	}
	w.at = w.at.Add(15 * time.Minute)
	if res := w.tick(); res.Acted != 0 || len(w.reg.requests) != 1 {
		t.Fatalf("a second tick asked again: %+v, %d requests", res, len(w.reg.requests))
	}
	r := w.reg.requests[0]
	if r.Key == "" || r.Key != w.matter("example-one.com").Case.V.Key() || r.DryRun {
		t.Errorf("key %q, case %+v", r.Key, w.matter("example-one.com").Case.V)
	}
	if want := seen.Add(-5 * time.Minute); !r.VerifiedBefore.Equal(want) {
		t.Errorf("verified_before %s, want %s: when the lapse was first seen less five minutes, never the time of the call", r.VerifiedBefore, want)
	}
	if r.MaxAddresses < 3 || r.Reason != registry.ReasonLapsed || len(r.Evidence) == 0 || r.Advice.Code == "" {
		t.Errorf("request %+v", r)
	}
	entries, err := w.book().History(t.Context(), "example-one.com", 1)
	if err != nil || len(entries) != 1 || entries[0].What != "unverified" || entries[0].Answer.Changed != 3 {
		t.Errorf("history %+v %v", entries, err)
	}
}

func TestObserveReportsAndEnforceStillFindsItPending(t *testing.T) {
	w := newWorld(t)
	w.mode = Observe
	w.lapsed("example-one.com", nil)
	w.tick()
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Errorf("%d dry runs, want 1", len(w.reg.requests))
	}
	if s := w.stands("example-one.com"); s != decision.Reported {
		t.Errorf("after observing: %s", s)
	}
	w.mode = Enforce
	if res := w.tick(); res.Acted != 1 || w.stands("example-one.com") != decision.Done {
		t.Errorf("enforce did not take up what observe saw: %+v", res)
	}
}

func TestStopAndUnreadableSwitchActOnNothing(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.mode = Stop
	if res := w.tick(); res.Acted != 0 {
		t.Errorf("stop acted: %+v", res)
	}
	w.Mode = func(context.Context) (Mode, error) { return Enforce, errors.New("no such parameter") }
	if _, err := w.Handle(t.Context(), Event{Action: "tick"}); err == nil {
		t.Error("an unreadable kill switch must fail the run")
	}
	if len(w.reg.requests) != 0 {
		t.Errorf("%d requests although the switch could not be read", len(w.reg.requests))
	}
}

func TestBreakerHoldsTheWholeClassAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t)
	for i := range 11 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.lapsed("other.org", func(d *records.Domain) { d.State.RegServer = "rdap.other.example" })
	res := w.tick()
	if res.Acted != 1 || len(w.reg.requests) != 1 || w.reg.requests[0].Domain != "other.org" {
		t.Fatalf("acted on %d, requests %d: the class must be held whole and the rest go on", res.Acted, len(w.reg.requests))
	}
	if len(res.Tripped) != 1 || !strings.Contains(w.stats.String(), `"BreakerTripped":1`) {
		t.Errorf("tripped %v, metrics %s", res.Tripped, w.stats)
	}
	h, ok := w.held("example-00.com")
	if !ok || !strings.Contains(h.Why, "10 allowed for one class") {
		t.Errorf("hold %+v: it must say why and what to decide", h)
	}
	w.at = w.at.Add(25 * time.Hour)
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Error("a hold expired in silence")
	}
}

func TestABacklogIsApprovedAsOneListAndAppliedAtADailyRate(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.tick()
	res, err := w.Handle(t.Context(), Event{Action: "approve", Class: "rdap.example.net/redemption", By: "on-call", PerDay: 12, Count: 30})
	if err != nil || !strings.Contains(res.Text, "12 a day") {
		t.Fatalf("%+v %v", res, err)
	}
	if res := w.tick(); res.Acted != 12 {
		t.Errorf("acted on %d the first day, want 12", res.Acted)
	}
	if res := w.tick(); res.Acted != 0 {
		t.Errorf("acted on %d more the same day", res.Acted)
	}
	if _, err := w.Handle(t.Context(), Event{Action: "approve", Class: "x/y", PerDay: 12, Count: 3}); err == nil {
		t.Error("an approval without a name was taken")
	}
}

func TestBreakerWaitsForTheRunToBeWhole(t *testing.T) {
	w := newWorld(t)
	w.write(records.Record(records.RunPK("20260302T030000Z"), "s/0/000001", records.Sent{IDs: []records.SentID{{ID: "x", Upstream: "delegation/com"}}}, time.Time{}))
	w.lapsed("example-one.com", nil)
	if res := w.tick(); res.Acted != 0 || res.Waiting != 1 {
		t.Errorf("judged half a run: %+v", res)
	}
	w.write(records.Mark("20260302T030000Z", "x", records.Marker{Checked: 1}, w.at))
	if res := w.tick(); res.Acted != 1 || !strings.Contains(w.stats.String(), `"RunCompleted":1`) {
		t.Errorf("complete run: %+v, metrics %s", res, w.stats)
	}
	if at, err := w.book().LastGood(t.Context(), "delegation/com"); err != nil || at == 0 {
		t.Errorf("the time of the upstream's last good answer is not known: %s %v", at, err)
	}
}

// TestACompleteRunIsToldBeforeItIsMarked: when the mark's answer is lost, or the function ends there, the run counts as
// complete, and nobody would tell the alarm ever after.
func TestACompleteRunIsToldBeforeItIsMarked(t *testing.T) {
	w := newWorld(t)
	w.write(records.Mark("20260302T030000Z", "x", records.Marker{Checked: 1}, w.at))
	w.fault.lose = 1
	if _, err := w.completeRun(t.Context()); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	if run, err := w.completeRun(t.Context()); err != nil || !run.Complete || !strings.Contains(w.stats.String(), `"RunCompleted":1`) {
		t.Errorf("%+v %v, metrics %s", run, err, w.stats)
	}
}

func TestAnIncompleteRunHoldsNothingBackForever(t *testing.T) {
	w := newWorld(t)
	w.write(records.Record(records.RunPK("20260302T030000Z"), "s/0/000001", records.Sent{IDs: []records.SentID{{ID: "x", Upstream: "rdap/slow"}}}, time.Time{}))
	w.lapsed("example-one.com", nil)
	w.at = w.at.Add(6*time.Hour + time.Minute)
	if res := w.tick(); res.Acted != 1 {
		t.Errorf("after six hours: %+v", res)
	}
	if !strings.Contains(w.log.String(), "run_incomplete") || !strings.Contains(w.log.String(), "rdap/slow") {
		t.Error("the missing upstream is not named")
	}
}

// TestARunThatHeardNobodyIsNotComplete: a dead upstream ends a run, a network that is cut does not.
func TestARunThatHeardNobodyIsNotComplete(t *testing.T) {
	for unknown, complete := range map[int]bool{0: true, 40: true, 50: true, 51: false, 100: false} {
		w := newWorld(t)
		w.write(records.Record(records.RunPK("20260302T030000Z"), "s/0/000001", records.Sent{IDs: []records.SentID{{ID: "x", Upstream: "rdap/dead"}}}, time.Time{}))
		w.write(records.Mark("20260302T030000Z", "x", records.Marker{Checked: 100, Unknown: unknown}, w.at))
		run, err := w.completeRun(t.Context())
		if err != nil || run.Complete != complete || strings.Contains(w.log.String(), "run_incomplete") == complete {
			t.Errorf("%d of 100 unknown: complete %t %v", unknown, run.Complete, err)
		}
	}
}

// TestAnAcceptedSilentUpstreamIsNoNews: the others are counted, in a run that is complete with one that is dead.
func TestAnAcceptedSilentUpstreamIsNoNews(t *testing.T) {
	for accepted, silent := range map[string]string{"": `"UpstreamsSilent":2`, "rdap/https://dead.example/": `"UpstreamsSilent":1`} {
		w := newWorld(t)
		w.AcceptedSilent = []string{accepted}
		var ids []records.SentID
		for id, upstream := range map[string]string{"a": "delegation/com", "b": "rdap/https://dead.example/", "c": "rdap/https://down.example/"} {
			ids = append(ids, records.SentID{ID: id, Upstream: upstream})
			m := records.Marker{Checked: 10}
			if id != "a" {
				m = records.Marker{Checked: 2, Unknown: 2}
				w.write(records.Record(records.PKUpstreams, upstream, records.Upstream{Asked: lifecycle.At(w.at.Add(-90 * 24 * time.Hour))}, time.Time{}))
			}
			w.write(records.Mark("20260302T030000Z", id, m, w.at))
		}
		w.write(records.Record(records.RunPK("20260302T030000Z"), "s/0/000001", records.Sent{IDs: ids}, time.Time{}))
		run, err := w.completeRun(t.Context())
		if err != nil || !run.Complete || !strings.Contains(w.stats.String(), silent) || strings.Contains(w.log.String(), "dead.example") != (accepted == "") {
			t.Errorf("accepted %q: %+v %v\n%s\n%s", accepted, run, err, w.stats, w.log)
		}
	}
}

func TestProtectedDomainsAreHeld(t *testing.T) {
	w := newWorld(t)
	w.Protected = []string{"Our-Own.example.org."}
	w.lapsed("gmail.com", nil)
	w.tick()
	if h, ok := w.held("gmail.com"); !ok || !strings.Contains(h.Why, "protected") || len(w.reg.requests) != 0 {
		t.Errorf("hold %+v, %d requests", h, len(w.reg.requests))
	}
}

func TestStaleEvidenceIsLookedAtAgain(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.at = w.at.Add(25 * time.Hour)
	res := w.tick()
	if len(w.reg.requests) != 0 || res.Looks != 1 || len(w.out.messages) != 1 || !w.out.messages[0].Look {
		t.Fatalf("result %+v, requests %d, messages %+v", res, len(w.reg.requests), w.out.messages)
	}
	w.at = w.at.Add(15 * time.Minute)
	if res := w.tick(); res.Looks != 0 {
		t.Errorf("the look was sent again a quarter of an hour later: %+v", res)
	}
}

// TestLooksAtOneZoneAreSentTogether, and each is noted, so that none is sent again before its time: an hour later on the first
// day, six hours later after it.
func TestLooksAtOneZoneAreSentTogether(t *testing.T) {
	w, l := leverWorld(t)
	for name, age := range map[string]time.Duration{"a.com": time.Hour, "b.com": 2 * 24 * time.Hour, "c.com": time.Hour, "a.de": time.Hour, "a.co.uk": time.Hour} {
		w.gap(name, lifecycle.GapGone)
		w.change(name, func(d *records.Domain) {
			since := lifecycle.At(w.at).Add(-age)
			d.State.Control.Since, d.Closed, d.NextLook = since, since, lifecycle.At(w.at)
		})
	}
	odd := records.NewDomain("not registrable", lifecycle.At(w.at))
	odd.Listed, odd.NextLook = true, lifecycle.At(w.at)
	w.write(odd.Put())
	res := w.tick()
	got := map[string]string{}
	for _, m := range w.out.messages {
		var names []string
		for _, e := range m.Domains {
			names = append(names, e.Name)
		}
		slices.Sort(names)
		got[m.Upstream] += strings.Join(names, " ")
		if m.Look || m.Kind != queue.KindDelegation || m.Group != queue.Group(queue.KindDelegation, m.Upstream) {
			t.Errorf("message %+v", m)
		}
	}
	if diff := cmp.Diff(map[string]string{"com": "a.com b.com c.com", "de": "a.de", "co.uk": "a.co.uk"}, got); diff != "" || len(w.out.messages) != 3 {
		t.Errorf("%d messages, looks %d, -want +got:\n%s", len(w.out.messages), res.Looks, diff)
	}
	for name, hours := range map[string]time.Duration{"a.com": 1, "b.com": 6, "a.de": 1} {
		if d := w.get(name); d.LookSent != lifecycle.At(w.at) || d.NextLook != lifecycle.At(w.at.Add(hours*time.Hour)) {
			t.Errorf("%s: sent %s, next %s", name, d.LookSent, d.NextLook)
		}
	}
	if d := w.get("not registrable"); d.NextLook != 0 || !strings.Contains(w.log.String(), "domain_not_registrable") {
		t.Errorf("a name that cannot be asked about: %+v", d)
	}
	w.at = w.at.Add(15 * time.Minute)
	if res := w.tick(); res.Looks != 0 {
		t.Errorf("a quarter of an hour later: %+v", res)
	}
	if len(l.asked) > 5 {
		t.Errorf("%d requests", len(l.asked))
	}
}

func TestAFailingRegistryLeavesTheDecisionPending(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.err = errors.New("connection reset")
	w.tick()
	w.at = w.at.Add(15 * time.Minute)
	w.tick()
	w.reg.err = nil
	w.at = w.at.Add(15 * time.Minute)
	if res := w.tick(); res.Acted != 1 {
		t.Fatalf("result %+v", res)
	}
	first := w.reg.requests[0]
	for _, r := range w.reg.requests[1:] {
		if a, b := mustJSON(t, first), mustJSON(t, r); a != b || r.Domain != "example-one.com" {
			t.Errorf("a retry is another request:\n%s\n%s %s", a, r.Domain, b)
		}
	}
	if spent, _ := w.ledgerCounts(); spent != 1 {
		t.Errorf("%d units of the budget spent on one decision", spent)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUnfinishedWorkIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.answer = registry.Answer{Pending: true, RetryAfter: time.Minute}
	if res := w.tick(); res.Acted != 0 || res.Waiting != 1 {
		t.Errorf("202: %+v", res)
	}
	w.reg.answer = registry.Answer{Changed: 3, Recovery: registry.RecoveryClosed}
	if res := w.tick(); res.Acted != 1 || w.reg.requests[0].Key != w.reg.requests[1].Key {
		t.Errorf("asked again: %+v", res)
	}
}

func TestARefusalIsHeld(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.err = &registry.Problem{Status: 422, Type: registry.TypeTooMany, Title: "too many addresses"}
	w.tick()
	if h, ok := w.held("example-one.com"); !ok || !strings.Contains(h.Why, "refused") {
		t.Errorf("hold %+v", h)
	}
}

func TestOpenRecoveryIsAnAlarm(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.answer.Recovery = registry.RecoveryOpen
	w.tick()
	if !strings.Contains(w.stats.String(), `"RecoveryOpen":1`) || !strings.Contains(w.log.String(), "recovery_open") {
		t.Errorf("metrics %s", w.stats)
	}
}

// TestLostAnswersAreHarmless loses the answer of each write of a tick in turn: whatever was done, the next ticks
// finish it, with one key.
func TestLostAnswersAreHarmless(t *testing.T) {
	for n := 1; n <= 6; n++ {
		w := newWorld(t)
		w.lapsed("example-one.com", nil)
		w.fault.lose = n
		_, _ = w.Handle(t.Context(), Event{Action: "tick"}) // fails where the answer was lost
		w.fault.lose = 0
		w.at = w.at.Add(20 * time.Minute) // the lease of the failed invocation runs out
		w.tick()
		keys := map[string]bool{}
		for _, r := range w.reg.requests {
			keys[r.Domain+mustJSON(t, r)] = true
		}
		if len(keys) != 1 || w.stands("example-one.com") != decision.Done {
			t.Errorf("answer %d lost: %d different requests, %s", n, len(keys), w.stands("example-one.com"))
		}
	}
}

func TestHoldsAreRecordedOnceAndApproved(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", func(d *records.Domain) {
		d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Medium, lifecycle.ReasonRestore
	})
	if res := w.tick(); res.Held != 1 {
		t.Fatalf("result %+v", res)
	}
	if res := w.tick(); res.Held != 0 {
		t.Errorf("held twice: %+v", res)
	}
	res, err := w.Handle(t.Context(), Event{Action: "approve", Domain: "Example-One.com.", By: "on-call"})
	if err != nil || !strings.Contains(res.Text, "looked at again") {
		t.Fatalf("%+v %v", res, err)
	}
	if res := w.tick(); res.Acted != 1 || res.Looks != 1 {
		t.Errorf("after approval: %+v", res)
	}
	if _, ok := w.held("example-one.com"); ok {
		t.Error("the hold stands although it was acted on")
	}
}

func TestAddressesVerifiedByTheNewOwnerAreAWarning(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", func(d *records.Domain) {
		d.State.Phase, d.State.Registered, d.Reason = lifecycle.ReRegistered, lifecycle.At(w.at.Add(-48*time.Hour)), lifecycle.ReasonReRegistered
	})
	w.reg.answer.KeptLater = 1
	w.tick()
	if w.reg.requests[0].Reason != registry.ReasonReRegistered || !strings.Contains(w.log.String(), "verified_after_change_of_owner") {
		t.Errorf("request %+v, log %s", w.reg.requests[0], w.log)
	}
}

func TestRestoreByKey(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.tick()
	res, err := w.Handle(t.Context(), Event{Action: "restore", Domain: "example-one.com", By: "on-call"})
	if err != nil || len(w.reg.restored) != 1 || w.reg.restored[0] != w.reg.requests[0].Key {
		t.Fatalf("%+v %v, restored %v", res, err, w.reg.restored)
	}
	entries, _ := w.book().History(t.Context(), "example-one.com", 1)
	if len(entries) != 1 || entries[0].What != "restored" || entries[0].By != "on-call" {
		t.Errorf("history %+v", entries)
	}
}

func TestParkedMessages(t *testing.T) {
	w := newWorld(t)
	park := func(run string, due time.Time) {
		m := queue.Message{Schema: queue.Schema, Kind: queue.KindRDAP, Upstream: "https://rdap.example.net/", Group: "rdap/x", Run: run, Share: 1,
			Sent: w.at, Domains: []queue.Entry{{Name: "example-" + strings.ToLower(run) + ".com"}}}
		m.ID = queue.ContentID(m)
		w.write(records.Record(records.PKParked, records.ParkedSK(due, m.ID), m, time.Time{}))
		w.write(records.Wake(due, time.Time{}))
	}
	park("20260302T030000Z", w.at)
	park("20260301T030000Z", w.at)
	park("20260302T030001Z", w.at.Add(time.Hour))
	w.tick()
	if len(w.out.messages) != 1 || w.out.messages[0].Run != "20260302T030000Z" {
		t.Fatalf("sent %+v: want the due one of this run; the superseded one is dropped", w.out.messages)
	}
	if !strings.Contains(w.log.String(), `"not_looked_at":1`) {
		t.Error("a dropped message is not counted as not looked at")
	}
	w.at = w.at.Add(time.Hour)
	w.tick()
	if len(w.out.messages) != 2 {
		t.Errorf("%d messages after an hour, want 2", len(w.out.messages))
	}
	if left, _, err := w.Store.Query(t.Context(), records.Woken(w.at, 10)); err != nil || len(left) != 0 {
		t.Errorf("%v %v: would wake every tick", left, err)
	}
}

// TestAMessageThatCannotBeSentWakesTheNextTick: what was due stays due.
func TestAMessageThatCannotBeSentWakesTheNextTick(t *testing.T) {
	w, _ := newQuiet(t)
	w.write(records.Record(records.PKParked, records.ParkedSK(w.at, "x"), queue.Message{Run: "20260302T030000Z", Sent: w.at}, time.Time{}), records.Wake(w.at, time.Time{}))
	w.Queue = closed{}
	if _, err := w.Handle(t.Context(), Event{Action: "tick"}); !errors.Is(err, errClosed) {
		t.Fatalf("%v", err)
	}
	w.Queue = w.out
	if res := w.tick(); res.Resent != 1 || len(w.out.messages) != 1 {
		t.Errorf("%+v, sent %+v", res, w.out.messages)
	}
}

// closed is a queue that takes nothing.
type closed struct{}

var errClosed = errors.New("the queue takes nothing")

func (closed) Send(context.Context, []queue.Message) ([]queue.Message, error) { return nil, errClosed }

func TestDigestTellsTheDayInWords(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.tick()
	w.at = w.at.AddDate(0, 0, 1)
	w.tick()
	stored, err := w.book().Digest(t.Context(), "2026-03-02")
	digest := stored.V
	if err != nil {
		t.Fatal(err)
	}
	text := digest.Text
	if want := "Unverified 3 addresses at 1 domain: example-one.com (redemption)."; !strings.Contains(text, want) {
		t.Errorf("digest %q lacks %q", text, want)
	}
}

// posted is what was mailed.
type posted struct {
	subjects, texts []string
	err             error
}

func (p *posted) Publish(_ context.Context, subject, text string) error {
	if p.err == nil {
		p.subjects, p.texts = append(p.subjects, subject), append(p.texts, text)
	}
	return p.err
}

// TestTheMorningMail comes once, short and in words, on days that have something to tell; one that cannot be sent is
// sent by the next tick.
func TestTheMorningMail(t *testing.T) {
	w := newWorld(t)
	post := &posted{err: errors.New("the topic is gone")}
	w.Mail = post
	w.lapsed("example-one.com", nil)
	w.lapsed("example-two.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	w.tick()
	w.at = w.at.AddDate(0, 0, 1)
	if _, err := w.Handle(t.Context(), Event{Action: "tick"}); err == nil || !strings.Contains(err.Error(), "the topic is gone") {
		t.Fatalf("a mail that was not sent: %v", err)
	}
	if d, err := w.book().Digest(t.Context(), "2026-03-02"); err != nil || d.Found() {
		t.Errorf("a digest that was not mailed is written: %v %v", d.V, err)
	}
	post.err = nil
	for range 3 {
		w.at = w.at.Add(15 * time.Minute)
		w.tick()
	}
	if len(post.texts) != 1 || post.subjects[0] != "lapseguard on 2 March: 1 unverified, 1 held, 1 waits" {
		t.Fatalf("mails %q", post.subjects)
	}
	lines := strings.Split(post.texts[0], "\n")
	if len(lines) != 7 || lines[2] != "Unverified 3 addresses at 1 domain: example-one.com (redemption)." || !strings.HasPrefix(lines[5], "1 domain waits for a decision: `lapseguard holds`") || strings.Contains(post.texts[0], "@") {
		t.Errorf("%d lines: %s", len(lines), post.texts[0])
	}
	w.at = w.at.AddDate(0, 0, 1)
	w.tick() // a day without anything
	if d, err := w.book().Digest(t.Context(), "2026-03-03"); err != nil || !d.Found() || len(post.texts) != 1 {
		t.Errorf("a quiet day was mailed, or not written: %v %v %q", d.V, err, post.subjects)
	}
}

func TestMailHostLapseHoldsItsDependents(t *testing.T) {
	w := newWorld(t)
	w.lapsed("mail-host.net", func(d *records.Domain) {
		d.Listed, d.Addresses, d.MailHost = false, 0, true
		d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonMailHost
	})
	w.lapsed("customer.com", func(d *records.Domain) {
		d.State.Phase, d.State.LapseAt, d.Action, d.Reason = lifecycle.Active, 0, lifecycle.None, lifecycle.ReasonDelegated
	})
	w.dependsOn("customer.com", "mail-host.net")
	w.tick()
	w.tick()
	h, ok := w.held("customer.com")
	if !ok || h.Reason != "mail host lapsed" || len(w.reg.requests) != 0 {
		t.Fatalf("hold %+v, %d requests", h, len(w.reg.requests))
	}
	d := w.get("mail-host.net")
	d.State.Phase, d.Action, d.Reason = lifecycle.Active, lifecycle.None, lifecycle.ReasonDelegated
	w.write(d.Put())
	w.tick()
	if d := w.get("customer.com"); d.State.MailLapsed != "" || d.Action != lifecycle.None {
		t.Errorf("after the mail host recovered: %+v", d)
	}
}

func (w *world) dependsOn(name string, hosts ...string) {
	w.t.Helper()
	w.write(records.PutDependencies(name, records.DependsMail, hosts, time.Time{}))
	for _, host := range hosts {
		w.write(records.Record(records.DependentsPK(host), name+"/"+string(records.DependsMail), struct{}{}, time.Time{}))
	}
}

func (w *world) change(name string, edit func(*records.Domain)) {
	w.t.Helper()
	d := w.get(name)
	edit(&d)
	w.write(d.Put())
}

func quiet(d *records.Domain) {
	d.State.Phase, d.State.LapseAt, d.Action, d.Reason = lifecycle.Active, 0, lifecycle.None, lifecycle.ReasonDelegated
}

// TestAListedMailHostIsActedOnAndReported: a domain that is in the list and others' mail host too loses its own
// addresses, and those who depend on it are held.
func TestAListedMailHostIsActedOnAndReported(t *testing.T) {
	w := newWorld(t)
	w.lapsed("both.net", func(d *records.Domain) { d.MailHost = true })
	w.lapsed("customer.com", quiet)
	w.dependsOn("customer.com", "both.net")
	w.tick()
	w.tick()
	if h, ok := w.held("customer.com"); !ok || h.Reason != "mail host lapsed" {
		t.Errorf("hold %+v", h)
	}
	if len(w.reg.requests) != 1 || w.reg.requests[0].Domain != "both.net" {
		t.Errorf("requests %+v, want one for both.net", w.reg.requests)
	}
}

// TestWhoComesLateHearsOfTheLapseWithinADay: a domain that came to depend on a host after its lapse was reported.
func TestWhoComesLateHearsOfTheLapseWithinADay(t *testing.T) {
	w := newWorld(t)
	w.lapsed("both.net", func(d *records.Domain) { d.MailHost = true })
	w.tick()
	w.lapsed("late.com", quiet)
	w.dependsOn("late.com", "both.net")
	w.tick()
	if _, ok := w.held("late.com"); ok {
		t.Fatal("told again at once: every tick reads every dependent")
	}
	w.at = w.at.AddDate(0, 0, 1)
	w.change("both.net", func(d *records.Domain) { d.State.DelegAt = lifecycle.At(w.at) })
	w.tick()
	w.tick()
	if h, ok := w.held("late.com"); !ok || h.Reason != "mail host lapsed" {
		t.Errorf("a day later: hold %+v, %t", h, ok)
	}
}

// TestOneOfTwoLapsedHostsComesBack: the other one still endangers the domain.
func TestOneOfTwoLapsedHostsComesBack(t *testing.T) {
	w := newWorld(t)
	for _, host := range []string{"first.net", "second.net"} {
		w.lapsed(host, func(d *records.Domain) {
			d.Listed, d.MailHost, d.Action, d.Reason = false, true, lifecycle.Hold, lifecycle.ReasonMailHost
		})
	}
	w.lapsed("customer.com", quiet)
	w.dependsOn("customer.com", "first.net", "second.net")
	w.tick()
	w.tick()
	first := w.get("customer.com").State.MailLapsed
	w.change(first, quiet)
	w.tick()
	second := w.get("customer.com").State.MailLapsed
	if second == "" || second == first {
		t.Fatalf("%q lapsed, and is back: the domain is held for %q, want the other host", first, second)
	}
	w.change(second, quiet)
	w.tick()
	if d := w.get("customer.com"); d.State.MailLapsed != "" || d.Action != lifecycle.None {
		t.Errorf("both are back: %+v", d)
	}
}

func TestConfigListsEverythingWrong(t *testing.T) {
	_, err := ParseEnvironment([]string{"LAPSEGUARD_MODE=maybe", "LAPSEGUARD_BREAKER_COUNT=0", "LAPSEGUARD_BREAKER_SHARE=90"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"LAPSEGUARD_TABLE_DOMAINS", "LAPSEGUARD_REGISTRY_URL", "LAPSEGUARD_CONTACT", `"maybe"`, "count is 0", "share is 0.9"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestKillSwitchCanOnlyMakeMoreCareful(t *testing.T) {
	for _, tc := range []struct {
		configured Mode
		value      string
		want       Mode
		fails      bool
	}{
		{Observe, "enforce", Observe, false}, {Enforce, "enforce", Enforce, false}, {Enforce, "observe", Observe, false},
		{Enforce, "stop", Stop, false}, {Observe, "stop", Stop, false}, {Enforce, "", Enforce, false}, {Enforce, "halt", Stop, true},
		{Stop, "enforce", Stop, false}, {Stop, "observe", Stop, false},
	} {
		got, err := Switch(tc.configured, func(context.Context, bool) (string, error) { return tc.value, nil })(t.Context())
		if got != tc.want || (err != nil) != tc.fails {
			t.Errorf("%s with %q: %s %v, want %s", tc.configured, tc.value, got, err, tc.want)
		}
	}
}

// TestASwitchThatNobodyMadeSaysObserve, and any other failure to read it stops.
func TestASwitchThatNobodyMadeSaysObserve(t *testing.T) {
	for _, tc := range []struct {
		configured Mode
		err        error
		want       Mode
		fails      bool
	}{
		{Enforce, cloud.ErrNoParameter, Observe, false}, {Observe, cloud.ErrNoParameter, Observe, false}, {Enforce, errLost, Stop, true},
	} {
		got, err := Switch(tc.configured, func(context.Context, bool) (string, error) { return "", tc.err })(t.Context())
		if got != tc.want || (err != nil) != tc.fails {
			t.Errorf("%s, %v: %s %v, want %s", tc.configured, tc.err, got, err, tc.want)
		}
	}
}

// TestTwoKeysThatDifferAreTold, every six hours, quiet or not: for a day of it there is an alarm.
func TestTwoKeysThatDifferAreTold(t *testing.T) {
	for _, tc := range []struct {
		configured Mode
		value      string
		err        error
		want       string
	}{
		{Observe, "observe", nil, `"ModeDiffers":0`}, {Observe, "", cloud.ErrNoParameter, `"ModeDiffers":0`}, {Enforce, "enforce", nil, `"ModeDiffers":0`},
		{Enforce, "observe", nil, `"ModeDiffers":1`}, {Enforce, "", cloud.ErrNoParameter, `"ModeDiffers":1`}, {Observe, "enforce", nil, `"ModeDiffers":1`},
		{Observe, "stop", nil, `"ModeDiffers":1`},
	} {
		w := newWorld(t)
		w.Differ = Differ(tc.configured, func(context.Context, bool) (string, error) { return tc.value, tc.err })
		for w.at.UTC().Hour()%measureHours != 0 {
			w.at = w.at.Add(time.Hour)
		}
		if w.tick(); !strings.Contains(w.stats.String(), tc.want) {
			t.Errorf("%s and %q: %s, want %s", tc.configured, tc.value, w.stats, tc.want)
		}
		w.stats.Reset()
		w.at = w.at.Add(time.Hour)
		if w.tick(); strings.Contains(w.stats.String(), "ModeDiffers") {
			t.Errorf("told an hour later: a metric is paid for by the hour")
		}
	}
}

// TestManyAreTakenBack: first only said, then done with the number that was said, and never what is of another class or time.
func TestManyAreTakenBack(t *testing.T) {
	w := newWorld(t)
	const class = "rdap.example.net/redemption"
	for _, name := range []string{"example-one.com", "example-two.com", "example-three.com"} {
		w.lapsed(name, nil)
	}
	w.tick()
	if len(w.reg.requests) != 3 {
		t.Fatalf("%d requests", len(w.reg.requests))
	}
	since := w.at.Add(-time.Hour)
	w.at = w.at.Add(time.Minute)
	for _, none := range []Event{
		{Class: "rdap.example.net/released", Since: since}, {Class: class, Since: w.at}, {Class: class, Since: since.Add(-time.Hour), Until: since},
	} {
		none.Action, none.By = "restore", "on-call"
		if res, err := w.Handle(t.Context(), none); err != nil || !strings.HasPrefix(res.Text, "nothing of") {
			t.Errorf("%+v: %+v %v", none, res, err)
		}
	}
	e := Event{Action: "restore", Class: class, Since: since, By: "on-call"}
	res, err := w.Handle(t.Context(), e)
	if err != nil || !strings.Contains(res.Text, "3 domains") || !strings.Contains(res.Text, "example-three.com") || len(w.reg.restored) != 0 {
		t.Errorf("the dry run: %+v %v, restored %v", res, err, w.reg.restored)
	}
	e.Count = 2
	if _, err := w.Handle(t.Context(), e); err == nil || len(w.reg.restored) != 0 {
		t.Errorf("another number than was said: %v, restored %v", err, w.reg.restored)
	}
	e.Count = 3
	if res, err := w.Handle(t.Context(), e); err != nil || len(w.reg.restored) != 3 || !strings.Contains(res.Text, "taken back at 3 domains") {
		t.Errorf("%+v %v, restored %v", res, err, w.reg.restored)
	}
	for _, name := range []string{"example-one.com", "example-two.com", "example-three.com"} {
		entries, _ := w.book().History(t.Context(), name, 1)
		m, err := w.book().Matter(t.Context(), name)
		if err != nil || len(entries) != 1 || entries[0].What != "restored" || entries[0].By != "on-call" || m.Case.V.Status != decision.Restored {
			t.Errorf("%s: history %+v, %s %v", name, entries, m.Case.V.At(), err)
		}
	}
	if res, err := w.Handle(t.Context(), e); err != nil || len(w.reg.restored) != 3 || !strings.HasPrefix(res.Text, "nothing of") {
		t.Errorf("once more: %+v %v, restored %v", res, err, w.reg.restored)
	}
	if _, err := w.Handle(t.Context(), Event{Action: "restore", Class: class, By: "on-call"}); err == nil {
		t.Error("without a time")
	}
}
