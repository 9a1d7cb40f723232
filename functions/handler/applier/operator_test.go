package applier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// say carries an operator's action out, as an invocation with an id.
func (w *world) say(e Event) (Result, error) {
	ctx := lambdacontext.NewContext(w.t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "invocation-" + e.Action})
	if e.By == "" {
		e.By = "on-call"
	}
	return w.Handle(ctx, e)
}

func (w *world) must(e Event) Result {
	w.t.Helper()
	res, err := w.say(e)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// newest is the newest entry of a history.
func (w *world) newest(name string) records.Entry {
	w.t.Helper()
	entries, err := w.book().History(w.t.Context(), name, 1)
	if err != nil || len(entries) == 0 {
		w.t.Fatalf("history of %s: %v %v", name, entries, err)
	}
	return entries[0]
}

// later moves the clock and lets the guard look again, so that the evidence is fresh.
func (w *world) later(d time.Duration, names ...string) {
	w.t.Helper()
	w.at = w.at.Add(d)
	for _, name := range names {
		w.change(name, func(d *records.Domain) { d.State.RegAt, d.State.DelegAt = lifecycle.At(w.at), lifecycle.At(w.at) })
	}
}

func (w *world) ledgerCounts() (acted, approved int) {
	w.t.Helper()
	l, err := w.book().Ledger(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return l.V.Counted(w.at)
}

// TestRetryAfterOpenRecovery: the answer is final until a person retries; then the same decision goes out under
// another key, beside the breaker's limits, although the registry's list lacks the domain by then.
func TestRetryAfterOpenRecovery(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.answer.Recovery = registry.RecoveryOpen
	w.tick()
	w.later(time.Hour, "example-one.com")
	w.change("example-one.com", func(d *records.Domain) { d.Listed, d.Addresses, d.Hosts = false, 0, 0 })
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Fatalf("%d requests: open recovery is final until an operator retries", len(w.reg.requests))
	}
	w.reg.answer.Recovery = registry.RecoveryClosed
	res := w.must(Event{Action: "retry", Domain: "example-one.com"})
	if !strings.Contains(res.Text, "left recovery open") {
		t.Errorf("answer %q", res.Text)
	}
	e := w.newest("example-one.com")
	if e.What != "retry" || e.By != "on-call" || e.Request != "invocation-retry" || !e.At.Equal(w.at) {
		t.Errorf("history %+v: want when, who and which invocation", e)
	}
	w.at = w.at.Add(15 * time.Minute)
	if res := w.tick(); res.Acted != 1 || len(w.reg.requests) != 2 {
		t.Fatalf("after the retry: %+v, %d requests", res, len(w.reg.requests))
	}
	first, second := w.reg.requests[0], w.reg.requests[1]
	if second.Key != first.Key+":retry:1" || !registry.ValidKey(second.Key) || !second.VerifiedBefore.Equal(first.VerifiedBefore) {
		t.Errorf("keys %q and %q, verified before %s and %s", first.Key, second.Key, first.VerifiedBefore, second.VerifiedBefore)
	}
	if acted, approved := w.ledgerCounts(); acted != 1 || approved != 1 {
		t.Errorf("%d acted on, %d approved: a retry is judged as approved", acted, approved)
	}
	w.at = w.at.Add(15 * time.Minute)
	w.tick()
	if _, err := w.say(Event{Action: "retry", Domain: "example-one.com"}); err == nil || len(w.reg.requests) != 2 {
		t.Errorf("closed recovery was retried: %v, %d requests", err, len(w.reg.requests))
	}
}

// TestRetryAfterARestore: the registry answers 409 to a key that was taken back, so the second unverify has its own.
func TestRetryAfterARestore(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.tick()
	w.must(Event{Action: "restore", Domain: "example-one.com"})
	if e := w.newest("example-one.com"); e.What != "restored" || e.Request != "invocation-restore" {
		t.Errorf("history %+v", e)
	}
	w.at = w.at.Add(time.Hour)
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Fatal("what was taken back was done again by itself")
	}
	w.must(Event{Action: "retry", Domain: "example-one.com"})
	w.tick()
	w.must(Event{Action: "restore", Domain: "example-one.com"})
	if got := strings.Join(w.reg.restored, " "); got != w.reg.requests[0].Key+" "+w.reg.requests[1].Key {
		t.Errorf("restored %s: each request once", got)
	}
	w.must(Event{Action: "retry", Domain: "example-one.com"})
	w.tick()
	if key := w.reg.requests[2].Key; !strings.HasSuffix(key, ":retry:2") {
		t.Errorf("third key %q", key)
	}
}

func TestRetryHasToHaveAReason(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(w *world)
		words   string
	}{
		"nothing was done": {func(w *world) { w.mode = Observe }, "nothing was unverified"},
		"it works":         {func(*world) {}, "recovery is closed"},
		"risk is over": {func(w *world) {
			w.reg.answer.Recovery = registry.RecoveryOpen
			w.tick()
			w.change("example-one.com", func(d *records.Domain) { d.State.Phase, d.Action = lifecycle.Active, lifecycle.None })
		}, "is active now"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.lapsed("example-one.com", nil)
			c.prepare(w)
			w.tick()
			if _, err := w.say(Event{Action: "retry", Domain: "example-one.com"}); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("error %v, want one with %q", err, c.words)
			}
		})
	}
}

// TestAnOperatorsHoldStands whatever is found, through every later verdict, until it is released or approved.
func TestAnOperatorsHoldStands(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", quiet)
	w.must(Event{Action: "hold", Domain: "example-one.com"})
	if h, ok := w.held("example-one.com"); !ok || h.Why != "held by on-call" {
		t.Fatalf("hold %+v", h)
	}
	w.lapsedAgain("example-one.com")
	w.tick()
	w.at = w.at.Add(time.Hour)
	w.tick()
	if len(w.reg.requests) != 0 {
		t.Fatal("a domain that an operator holds was acted on")
	}
	w.must(Event{Action: "approve", Domain: "example-one.com"})
	if w.tick(); len(w.reg.requests) != 0 {
		t.Fatal("acted on before the look was answered")
	}
	w.later(time.Minute, "example-one.com")
	if w.tick(); len(w.reg.requests) != 1 {
		t.Errorf("%d requests after the approval", len(w.reg.requests))
	}
}

// lapsedAgain lets a stored domain lapse.
func (w *world) lapsedAgain(name string) {
	now := lifecycle.At(w.at)
	w.change(name, func(d *records.Domain) {
		d.State.Phase, d.State.Since, d.State.LapseAt = lifecycle.Redemption, now, now
		d.State.Reg, d.State.RegAt, d.State.DelegAt = lifecycle.WordRedemption, now, now
		d.Action, d.Confidence, d.Reason = lifecycle.Unverify, lifecycle.High, lifecycle.ReasonDeleted
		d.VerifiedBefore = now.Add(-lifecycle.ClockMargin)
	})
}

// TestAReleaseLasts until there is another verdict: it is neither held nor acted on at the next tick.
func TestAReleaseLasts(t *testing.T) {
	for name, action := range map[string]lifecycle.Action{"a hold": lifecycle.Hold, "what the breaker stopped": lifecycle.Unverify} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Protected = []string{"example-one.com"}
			w.lapsed("example-one.com", func(d *records.Domain) { d.Action, d.Reason = action, lifecycle.ReasonRestore })
			w.tick()
			w.Protected = nil
			w.must(Event{Action: "unhold", Domain: "example-one.com"})
			w.at = w.at.Add(15 * time.Minute)
			if res := w.tick(); res.Held != 0 || res.Acted != 0 {
				t.Fatalf("the tick after the release: %+v", res)
			}
			if _, ok := w.held("example-one.com"); ok {
				t.Error("the hold is there again")
			}
			w.change("example-one.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Unverify, lifecycle.ReasonDeleted })
			if res := w.tick(); res.Acted != 1 {
				t.Errorf("another verdict counts anew: %+v", res)
			}
		})
	}
}

func TestAnApprovedClassIsRevoked(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.tick()
	const class = "rdap.example.net/redemption"
	w.must(Event{Action: "approve", Class: class, PerDay: 12, Count: 30})
	if e := w.newest(class); e.What != "approve" || e.By != "on-call" || e.Request != "invocation-approve" {
		t.Errorf("history of the class %+v", e)
	}
	w.must(Event{Action: "revoke", Class: class})
	if e := w.newest(class); e.What != "revoke" {
		t.Errorf("history of the class %+v", e)
	}
	if res := w.tick(); res.Acted != 0 {
		t.Errorf("acted on %d of a class whose approval was taken back", res.Acted)
	}
	if _, err := w.say(Event{Action: "revoke", Class: class}); err == nil {
		t.Error("revoked what is not approved")
	}
}

// TestAClassIsApprovedBesideAnItemThatANewerVersionWrote: that one is left alone, the others are approved.
func TestAClassIsApprovedBesideAnItemThatANewerVersionWrote(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.tick()
	it, err := w.Store.Get(t.Context(), records.DomainKey("example-07.com"))
	if err != nil {
		t.Fatal(err)
	}
	it.Data = []byte(`{"v":99,"s":"otherwise"}`)
	if err := w.Store.Write(t.Context(), store.Write{Item: it}); err != nil {
		t.Fatal(err)
	}
	w.must(Event{Action: "approve", Class: "rdap.example.net/redemption", PerDay: 12, Count: 29})
	if res := w.tick(); res.Acted != 12 {
		t.Errorf("acted on %d, want the day's 12", res.Acted)
	}
}

func TestNobodysWordIsNotTaken(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	for _, action := range []string{actApprove, actRevoke, actUnhold, actHold, actRecheck, actRetry, actRestore} {
		for _, by := range []string{"", "  ", "on-call" + "@" + "example.org", strings.Repeat("x", 101), "a\nb"} {
			_, err := w.Handle(t.Context(), Event{Action: action, Domain: "example-one.com", Class: "a/b", By: by})
			if err == nil || !strings.Contains(err.Error(), "by") {
				t.Errorf("%s by %d bytes: %v", action, len(by), err)
			}
		}
	}
}

// TestWhatAPersonMaySay: a name of a hundred bytes, a reason of three hundred, and neither with an address in it.
func TestWhatAPersonMaySay(t *testing.T) {
	for _, c := range []struct {
		by, why string
		ok      bool
	}{
		{"Ada", "seen", true}, {strings.Repeat("x", maxBy), strings.Repeat("x", maxWhy), true}, {"Zoë", "gültig bis März", true},
		{strings.Repeat("x", maxBy+1), "seen", false}, {"Ada", strings.Repeat("x", 301), false}, {strings.Repeat("x", 101), "seen", false},
		{"Ada", "said by ada" + "@" + "example.org", false}, {"Ada", "a\tb", false}, {"Ada", " ", false}, {" ", "seen", false},
	} {
		w, _ := leverWorld(t)
		w.gap("gap.com", lifecycle.GapGone)
		if _, err := w.Handle(t.Context(), Event{Action: "close", Domain: "gap.com", By: c.by, Why: c.why}); (err == nil) != c.ok {
			t.Errorf("%d bytes by %d bytes: %v", len(c.why), len(c.by), err)
		}
		w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
		said := c.ok || c.why == " " && c.by != " " // an approval needs no reason
		if _, err := w.Handle(t.Context(), Event{Action: "approve", Domain: "asked.com", By: c.by, Why: strings.TrimSpace(c.why)}); (err == nil) != said {
			t.Errorf("approve: %d bytes by %d bytes: %v", len(c.why), len(c.by), err)
		}
	}
}

// TestARefusalGivesTheBudgetBackAndIsNotRepeated until a person approves; then the request is made anew.
func TestARefusalGivesTheBudgetBackAndIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.err = &registry.Problem{Status: 422, Type: registry.TypeTooMany, Title: "too many addresses"}
	w.tick()
	if acted, _ := w.ledgerCounts(); acted != 0 {
		t.Errorf("a call that did nothing cost %d of the budget", acted)
	}
	w.at = w.at.Add(15 * time.Minute)
	w.tick()
	if len(w.reg.requests) != 1 {
		t.Fatalf("%d requests: what was refused is not asked again by itself", len(w.reg.requests))
	}
	w.listed("example-one.com", 50)
	w.must(Event{Action: "approve", Domain: "example-one.com"})
	w.tick() // looked at
	w.later(time.Minute, "example-one.com")
	w.tick() // refused again: the approval is used up
	w.at = w.at.Add(15 * time.Minute)
	w.tick()
	if len(w.reg.requests) != 2 {
		t.Fatalf("%d requests after one approval", len(w.reg.requests))
	}
	w.reg.err = nil
	w.must(Event{Action: "approve", Domain: "example-one.com"})
	w.tick()
	w.later(time.Minute, "example-one.com")
	if res := w.tick(); res.Acted != 1 || w.reg.requests[2].MaxAddresses < 50 {
		t.Errorf("%+v, requests %+v", res, w.reg.requests)
	}
}

// TestARefusalAfterTheWorkFreesNothing: where the work may have been done, key, budget and request stay, restore
// reaches what was done, and an approved repetition goes out under the next key.
func TestARefusalAfterTheWorkFreesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		lost    error // the first answer, before the refusal; nil: none
		refusal *registry.Problem
	}{
		"422 after a lost answer": {errors.New("connection reset"), &registry.Problem{Status: 422, Type: registry.TypeTooMany, Title: "too many addresses"}},
		"409 after a lost answer": {errors.New("connection reset"), &registry.Problem{Status: 409, Type: registry.TypeKeyReused, Title: "reused"}},
		"422 after a 500":         {&registry.Problem{Status: 500, Title: "oops"}, &registry.Problem{Status: 422, Type: registry.TypePublicSuffix, Title: "suffix"}},
		"409 at once: reused":     {nil, &registry.Problem{Status: 409, Type: registry.TypeKeyReused, Title: "reused"}},
		"409 at once: restored":   {nil, &registry.Problem{Status: 409, Type: registry.TypeRestored, Title: "taken back"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.lapsed("example-one.com", nil)
			if c.lost != nil {
				w.reg.err = c.lost
				w.tick()
				w.at = w.at.Add(15 * time.Minute)
			}
			w.reg.err = c.refusal
			w.tick()
			if acted, _ := w.ledgerCounts(); acted != 1 {
				t.Errorf("%d of the budget: what may have been done counts", acted)
			}
			if h, _ := w.held("example-one.com"); !strings.Contains(h.Why, "may have been done") {
				t.Errorf("the hold does not say what may be: %q", h.Why)
			}
			sent := len(w.reg.requests)
			w.at = w.at.Add(15 * time.Minute)
			w.tick()
			if len(w.reg.requests) != sent {
				t.Fatal("a refusal was asked again by itself")
			}
			w.must(Event{Action: "restore", Domain: "example-one.com"})
			if got := strings.Join(w.reg.restored, " "); got != w.reg.requests[0].Key {
				t.Fatalf("restored %q, want the first request's key", got)
			}
			w.reg.err = nil
			w.must(Event{Action: "approve", Domain: "example-one.com"})
			w.tick()
			if len(w.reg.requests) != sent {
				t.Fatal("approved, and sent before it was looked at afresh")
			}
			w.later(time.Minute, "example-one.com")
			if res := w.tick(); res.Acted != 1 || w.reg.requests[sent].Key != w.reg.requests[0].Key+":retry:1" {
				t.Fatalf("%+v, %+v", res, w.reg.requests)
			}
		})
	}
}

// TestRestoreAfterARequestThatCameToNothing takes back what was done, though the registry knows one key only.
func TestRestoreAfterARequestThatCameToNothing(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.reg.err = errors.New("connection reset")
	w.tick()
	w.reg.err = &registry.Problem{Status: 422, Type: registry.TypeTooMany, Title: "too many addresses"}
	w.at = w.at.Add(15 * time.Minute)
	w.tick()
	key := w.reg.requests[0].Key
	w.reg.unknown = map[string]bool{key: true}
	if _, err := w.say(Event{Action: "restore", Domain: "example-one.com"}); err == nil || !strings.Contains(err.Error(), "not carried out") {
		t.Fatalf("nothing was done at all: %v", err)
	}
	w.reg.err = nil
	w.must(Event{Action: "approve", Domain: "example-one.com"})
	w.tick()
	w.later(time.Minute, "example-one.com")
	w.tick()
	w.must(Event{Action: "restore", Domain: "example-one.com"})
	if got := strings.Join(w.reg.restored, " "); got != key+":retry:1" {
		t.Errorf("restored %q", got)
	}
}

func TestAMailHostsHoldNamesWhomItEndangers(t *testing.T) {
	w := newWorld(t)
	w.lapsed("mail-host.net", func(d *records.Domain) {
		d.Listed, d.MailHost, d.Action, d.Reason = false, true, lifecycle.Hold, lifecycle.ReasonMailHost
	})
	w.lapsed("customer-b.com", quiet)
	w.lapsed("customer-a.com", quiet)
	w.dependsOn("customer-b.com", "mail-host.net")
	w.dependsOn("customer-a.com", "mail-host.net")
	w.tick()
	if h, ok := w.held("mail-host.net"); !ok || strings.Join(h.Affected, " ") != "customer-a.com customer-b.com" {
		t.Errorf("hold %+v", h)
	}
}

// TestHoldsThatWaitTooLong are counted and named; those of an operator, and those that were approved, do not wait.
func TestHoldsThatWaitTooLong(t *testing.T) {
	w := newWorld(t)
	w.at = w.at.Add(3 * time.Hour) // holds are measured every six hours
	for _, name := range []string{"a.com", "b.com", "c.com"} {
		w.lapsed("example-"+name, func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	}
	w.tick()
	w.must(Event{Action: "hold", Domain: "example-b.com"})
	w.later(safety.StaleHold, "example-a.com", "example-c.com")
	w.stats.Reset()
	w.tick()
	if !strings.Contains(w.stats.String(), `"HoldsOpen":2,"HoldsStale":0`) {
		t.Errorf("at three days: %s", w.stats)
	}
	w.must(Event{Action: "approve", Domain: "example-c.com"})
	w.mode = Observe
	w.later(time.Second, "example-a.com")
	w.stats.Reset()
	w.tick()
	if !strings.Contains(w.stats.String(), `"HoldsOpen":1,"HoldsStale":1`) {
		t.Errorf("after three days: %s", w.stats)
	}
	res, err := w.Handle(t.Context(), Event{Action: "status"})
	if err != nil || !strings.Contains(res.Text, "1 hold waits for a decision: lapseguard holds\nof these 1 has waited for more than three days: example-a.com (since 2 March)\n1 domain is held by an operator") {
		t.Errorf("status %q %v", res.Text, err)
	}
	w.later(24*time.Hour, "example-a.com")
	w.tick()
	stored, err := w.book().Digest(t.Context(), "2026-03-05")
	digest := stored.V
	if err != nil || !strings.Contains(digest.Text, "1 has waited for more than three days: example-a.com") {
		t.Errorf("digest %q %v", digest.Text, err)
	}
}

// TestAHoldEndsWithItsRisk: a hold has nothing to ask any more once the domain is renewed.
// TestAHoldIsToldOnceForEachReason: a look at a domain that waits for a person tells nobody again; another reason, or another
// lapse, is another question, which waits from then on.
func TestAHoldIsToldOnceForEachReason(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.gg", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonUndescribed })
	began := w.at
	tell := func(what string, held int, since time.Time, edit func(*records.Domain)) {
		t.Helper()
		w.change("example-one.gg", func(d *records.Domain) {
			edit(d)
			d.NextLook = lifecycle.At(w.at)
		})
		res := w.tick()
		if h, _ := w.held("example-one.gg"); res.Held != held || res.Looks != 1 || !h.Since.Equal(since) {
			t.Errorf("%s: %+v, held since %s, want %s", what, res, h.Since, since)
		}
		w.later(24*time.Hour, "example-one.gg")
	}
	tell("at first", 1, began, func(*records.Domain) {})
	tell("a look at it", 0, began, func(*records.Domain) {})
	tell("another reason", 1, began.Add(48*time.Hour), func(d *records.Domain) { d.Reason = lifecycle.ReasonRestore })
	tell("a look at that", 0, began.Add(48*time.Hour), func(*records.Domain) {})
	tell("another lapse", 1, began.Add(96*time.Hour), func(d *records.Domain) { d.State.LapseAt = lifecycle.At(w.at) })
}

func TestAHoldEndsWithItsRisk(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	w.tick()
	w.tick()
	if _, ok := w.held("example-one.com"); !ok {
		t.Fatal("the hold ended while the risk stands")
	}
	w.change("example-one.com", quiet)
	w.tick()
	if _, ok := w.held("example-one.com"); ok {
		t.Error("the hold outlived its risk")
	}
	if e := w.newest("example-one.com"); e.What != "hold ended" {
		t.Errorf("history %+v", e)
	}
}

func TestDigestSaysWhereNobodyCounted(t *testing.T) {
	w := newWorld(t)
	w.mode = Observe
	w.lapsed("example-one.com", nil)
	w.reg.answer = registry.Answer{Recovery: registry.RecoveryUnknown, CountsUnknown: true}
	w.tick()
	w.lapsed("example-two.com", nil)
	w.reg.answer = registry.Answer{Changed: 4, Recovery: registry.RecoveryClosed}
	w.tick()
	w.at = w.at.AddDate(0, 0, 1)
	w.tick()
	stored, err := w.book().Digest(t.Context(), "2026-03-02")
	digest := stored.V
	if err != nil {
		t.Fatal(err)
	}
	want := "Would have unverified 4 addresses at 2 domains: example-one.com (redemption, count unknown), example-two.com (redemption)."
	if !strings.Contains(digest.Text, want) {
		t.Errorf("digest %q lacks %q", digest.Text, want)
	}
}

// TestALostAnswerOfARetryIsHarmless: whatever write of the retry's tick is lost, one key goes out.
func TestALostAnswerOfARetryIsHarmless(t *testing.T) {
	for n := 1; n <= 6; n++ {
		w := newWorld(t)
		w.lapsed("example-one.com", nil)
		w.reg.answer.Recovery = registry.RecoveryOpen
		w.tick()
		w.must(Event{Action: "retry", Domain: "example-one.com"})
		w.fault.lose = n
		_, _ = w.Handle(context.Background(), Event{Action: "tick"})
		w.fault.lose = 0
		w.at = w.at.Add(20 * time.Minute)
		w.tick()
		keys := map[string]bool{}
		for _, r := range w.reg.requests {
			keys[r.Key] = true
		}
		if len(keys) != 2 || w.stands("example-one.com") != decision.Done {
			t.Errorf("answer %d lost: keys %v, %s", n, keys, w.stands("example-one.com"))
		}
	}
}

// TestAskedIsNotApproved: who asks first is told whom it concerns, and nothing is done; the reason is kept.
func TestAskedIsNotApproved(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	w.listed("example-07.com", 40)
	w.tick()
	const class = "rdap.example.net/redemption"
	res := w.must(Event{Action: "approve", Class: class, Ask: true})
	if lines := strings.Split(res.Text, "\n"); !res.Asked || !strings.HasPrefix(lines[0], "would approve: 30 domains of "+class+", ") || !strings.HasSuffix(lines[0], " accounts (by verified address)") || len(lines) != 31 {
		t.Errorf("class: %q", res.Text)
	}
	res = w.must(Event{Action: "approve", Domain: "example-07.com", Ask: true})
	if !res.Asked || !strings.Contains(res.Text, "would approve: 1 domain, ") || !strings.Contains(res.Text, "example-07.com, redemption") || !strings.Contains(res.Text, "held since ") {
		t.Errorf("domain: %q", res.Text)
	}
	if res := w.tick(); res.Acted != 0 {
		t.Errorf("a question approved: %+v", res)
	}
	if h, _ := w.held("example-07.com"); !h.ApprovedAt.IsZero() {
		t.Error("a question approved a hold")
	}
	if _, err := w.say(Event{Action: "approve", Class: class, Count: 29, PerDay: 1, Ask: true}); err == nil {
		t.Error("another number than is held was not refused")
	}
	if _, err := w.say(Event{Action: "approve", Domain: "example-07.com", Why: "jo" + "@" + "example.org said so"}); err == nil {
		t.Error("an address was taken as a reason")
	}
	w.must(Event{Action: "approve", Domain: "example-07.com", Why: "the registrar confirmed it"})
	if e := w.newest("example-07.com"); !strings.Contains(e.Sentence, "the registrar confirmed it") {
		t.Errorf("history %+v", e)
	}
}

// TestActingOnNothingIsAnError: what has nothing to act on says so.
func TestActingOnNothingIsAnError(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", quiet)
	w.must(Event{Action: "hold", Domain: "example-one.com"})
	for _, e := range []Event{{Action: "hold", Domain: "example-one.com"}, {Action: "revoke", Class: "a/b"}, {Action: "approve", Class: "a/b", Count: 1, PerDay: 1}, {Action: "approve", Class: "a/b", Ask: true}} {
		if res, err := w.say(e); err == nil {
			t.Errorf("%+v: %q", e, res.Text)
		}
	}
	w.must(Event{Action: "unhold", Domain: "example-one.com"})
	for _, action := range []string{"unhold", "approve", "retry", "restore"} {
		if res, err := w.say(Event{Action: action, Domain: "example-one.com"}); err == nil {
			t.Errorf("%s: %q", action, res.Text)
		}
	}
}
