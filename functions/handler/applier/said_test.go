package applier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// TestWhatAnOperatorIsAnswered, and that the history says the same, who said it and why.
func TestWhatAnOperatorIsAnswered(t *testing.T) {
	const class = "rdap.crowd.example/redemption"
	for _, c := range []struct {
		e       Event
		text    string
		history string // in which it stands; empty: in none
	}{
		{Event{Action: "approve", Domain: "asked.com", Why: "seen"}, "approved: asked.com will be looked at again and, if the evidence stands, its addresses unverified (seen)", "asked.com"},
		{Event{Action: "unhold", Domain: "asked.com"}, "unheld: the hold on asked.com is off; it stays under watch, and another verdict counts anew", "asked.com"},
		{Event{Action: "hold", Domain: "asked.com"}, "held: nothing will be unverified at asked.com, whatever is found, until the hold is taken off or approved", "asked.com"},
		{Event{Action: "recheck", Domain: "Asked.com."}, "recheck: asked.com will be looked at with the next tick", "asked.com"},
		{Event{Action: "approve", Class: class, Count: 11, PerDay: 5, Why: "renamed"}, "approved: the 11 domains of " + class + " that are held now, 5 a day (renamed)", class},
		{Event{Action: "approve", Class: class, Ask: true}, "would approve: 11 domains of " + class + ", 33 accounts (by verified address)\n", ""},
		{Event{Action: "approve", Class: class, Ask: true, Count: 11}, "would approve: 11 domains of " + class, ""},
		{Event{Action: "trust", Class: "doubted/redemption"}, "trusted: doubted/redemption is judged by the breaker's limits again", "doubted/redemption"},
		{Event{Action: "revoke", Class: "approved/redemption"}, "revoked: approved/redemption is judged by the breaker again; what was done stays done", "approved/redemption"},
		{Event{Action: "accept"}, "accepted: the next list is believed however many hosts it lost, if the registry marks it complete", "list"},
		{Event{Action: "restore", Domain: "done.com"}, "restored 2 addresses at done.com; 1 were changed again meanwhile and left alone", "done.com"},
		{Event{Action: "restore", Domain: "done.com", Decision: "done.com:lapse:9"}, "restored 2 addresses at done.com; 1 were changed again meanwhile and left alone", "done.com"},
		{Event{Action: "close", Domain: "asked.com", Why: "seen"}, "closed: recovery through 2 addresses at asked.com, until you open it, or control of it is in doubt anew and shown again", "asked.com"},
		{Event{Action: "open", Domain: "asked.com", Why: "seen"}, "opened: recovery at asked.com; no tick closes it for what is known now, a new gap does", "asked.com"},
		{Event{Action: "open", All: true, Why: "seen"}, "opened: all 2 domains that the registry held closed", "gap.com"},
	} {
		w := crowded(t)
		c.e.By = "Ada"
		res := w.must(c.e)
		if !strings.HasPrefix(res.Text, c.text) || c.e.Ask != res.Asked {
			t.Errorf("%+v: %q, want %q", c.e, res.Text, c.text)
		}
		logged := strings.Contains(w.log.String(), fmt.Sprintf(`"msg":"operator","action":%q`, c.e.Action)) || strings.Contains(w.log.String(), `"msg":"restored"`)
		if logged != (c.history != "") {
			t.Errorf("%+v: logged %t", c.e, logged)
		}
		if c.history == "" {
			continue
		}
		entries, err := w.book().History(t.Context(), c.history, 3)
		if err != nil || !slices.ContainsFunc(entries, func(e records.Entry) bool {
			return e.By == "Ada" && (e.What == c.e.Action || e.What == "restored") && e.At.Equal(w.at) && e.Request == "invocation-"+c.e.Action && (e.Sentence == res.Text || e.Sentence == c.e.Why)
		}) {
			t.Errorf("%+v: history %+v %v", c.e, entries, err)
		}
	}
}

// crowded is a world in which there is something of everything to say.
func crowded(t *testing.T) *world {
	w, _ := leverWorld(t)
	lost := func(d *records.Domain) { d.State.Phase = lifecycle.PendingDelete }
	w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
	w.gap("gap.com", lifecycle.GapGone)
	w.deleted("done.com", lost)
	w.tick()
	w.offers(records.Synced{})
	for i := range 11 {
		w.lapsed(fmt.Sprintf("crowd-%02d.com", i), func(d *records.Domain) { d.State.RegServer = "rdap.crowd.example" })
	}
	w.tick()
	w.offers(records.Synced{Recovery: true})
	ledger, err := w.book().Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ledger.V.Doubted = map[string]time.Time{"doubted/redemption": w.at}
	ledger.V.Approvals = map[string]safety.Approval{"approved/redemption": {By: "Zoë", At: w.at, Until: w.at.Add(time.Hour), PerDay: 1, Left: 1}}
	w.write(ledger.Put())
	if w.stands("done.com") != decision.Done || w.stands("asked.com") != decision.Held || w.stands("crowd-00.com") != decision.Held {
		t.Fatal(w.log)
	}
	w.log.Reset()
	return w
}

// TestWhatAnOperatorIsRefused, with the reason.
func TestWhatAnOperatorIsRefused(t *testing.T) {
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Action: "trust", Class: "x/y"}, "no such class is doubtful"}, {Event{Action: "revoke", Class: "x/y"}, "no such class is approved"},
		{Event{Action: "approve", Class: "rdap.crowd.example/redemption", Ask: true, Count: 10}, "you reviewed 10 domains and 11 are held now"},
		{Event{Action: "approve", Class: "rdap.crowd.example/redemption", Count: 11}, "daily rate is 0"},
		{Event{Action: "restore", Class: "x/y"}, "since when?"}, {Event{Action: "restore", Domain: "asked.com"}, "nothing was unverified by this guard"},
		{Event{Action: "retry", Domain: "done.com"}, "recovery is closed: there is nothing to do again"}, {Event{Action: "unhold", Domain: "gap.com"}, "no hold stands on it"},
		{Event{Action: "recheck", Domain: "nowhere.com"}, "no such domain in the table"}, {Event{Action: "close", Domain: "asked.com"}, "no reason is given"},
		{Event{Action: "trick"}, `action "trick"`},
	} {
		w := crowded(t)
		if res, err := w.say(c.e); err == nil || res.Text != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %+v %v, want %q and no more", c.e, res, err, c.want)
		}
	}
}

// TestWhatIsSaidSoonIsLookedAtSoon: with the next tick.
func TestWhatIsSaidSoonIsLookedAtSoon(t *testing.T) {
	for action, soon := range map[string]bool{"approve": true, "recheck": true, "hold": false, "unhold": false} {
		w := crowded(t)
		w.at = w.at.Add(time.Minute)
		w.must(Event{Action: action, Domain: "asked.com"})
		if d := w.get("asked.com"); (d.NextLook == lifecycle.At(w.at)) != soon {
			t.Errorf("%s: the next look %s", action, d.NextLook)
		}
	}
}

// TestARestoreSumsUpWhatWasRepeated, and leaves out what was never carried out.
func TestARestoreSumsUpWhatWasRepeated(t *testing.T) {
	w := newWorld(t)
	w.lapsed("a.com", nil)
	w.reg.answer.Recovery = registry.RecoveryOpen
	w.tick()
	w.later(time.Hour, "a.com")
	w.must(Event{Action: "retry", Domain: "a.com"})
	w.tick()
	if len(w.reg.requests) != 2 {
		t.Fatal(w.log)
	}
	if res := w.must(Event{Action: "restore", Domain: "a.com"}); res.Text != "restored 4 addresses at a.com; 2 were changed again meanwhile and left alone" || len(w.reg.restored) != 2 {
		t.Errorf("%+v, %v", res, w.reg.restored)
	}
	if res := w.must(Event{Action: "restore", Domain: "a.com"}); res.Text != "a.com was taken back before: restored 4 addresses at a.com; 2 were changed again meanwhile and left alone" || len(w.reg.restored) != 2 {
		t.Errorf("%+v, %v", res, w.reg.restored)
	}
	w = newWorld(t)
	w.lapsed("b.com", nil)
	w.reg.err = errLost
	w.tick()
	w.reg.err = nil
	key := w.reg.requests[0].Key
	w.reg.unknown = map[string]bool{key: true}
	if res, err := w.say(Event{Action: "restore", Domain: "b.com"}); err == nil || !strings.Contains(err.Error(), "it was not carried out") || res.Text != "" {
		t.Errorf("%+v %v", res, err)
	}
	if res := w.must(Event{Action: "restore", Class: redemption, Since: w.at, Count: 1}); !strings.Contains(res.Text, "taken back at 1 domains of "+redemption+": 0 addresses restored; 0 were changed again meanwhile and left alone; 1 requests had never been carried out") {
		t.Errorf("%+v", res)
	}
}

// TestWhoVerifiedAfterAChangeOfOwnerIsAWarning; where nobody did, or nothing changed hands, it is none.
func TestWhoVerifiedAfterAChangeOfOwnerIsAWarning(t *testing.T) {
	for _, c := range []struct {
		phase  lifecycle.Phase
		kept   int
		warned bool
		reason registry.Reason
	}{
		{lifecycle.ReRegistered, 1, true, registry.ReasonReRegistered}, {lifecycle.ReRegistered, 0, false, registry.ReasonReRegistered}, {lifecycle.Redemption, 1, false, registry.ReasonLapsed},
		{lifecycle.Grace, 0, false, registry.ReasonGrace}, {lifecycle.ChangedHands, 1, false, registry.ReasonReRegistered},
	} {
		w := newWorld(t)
		w.lapsed("a.com", func(d *records.Domain) { d.State.Phase = c.phase })
		w.reg.answer.KeptLater = c.kept
		w.tick()
		if len(w.reg.requests) != 1 || w.reg.requests[0].Reason != c.reason || w.reg.requests[0].Phase != string(c.phase) {
			t.Fatalf("%s: %+v", c.phase, w.reg.requests)
		}
		if warned := strings.Contains(w.log.String(), "verified_after_change_of_owner"); warned != c.warned || !strings.Contains(w.stats.String(), `"Unverified":1`) || !strings.Contains(w.stats.String(), string(c.reason)) {
			t.Errorf("%s, %d kept: warned %t, %s", c.phase, c.kept, warned, w.stats)
		}
		if w.matter("a.com").Case.V.Kept != c.kept {
			t.Errorf("%s: %+v", c.phase, w.matter("a.com").Case.V)
		}
	}
}

// TestAClassIsSaidToBeTrippedWhileItIsDue, and not again by each tick that finds it held.
func TestAClassIsSaidToBeTrippedWhileItIsDue(t *testing.T) {
	w := newWorld(t)
	for i := range 11 {
		w.lapsed(fmt.Sprintf("crowd-%02d.com", i), nil)
	}
	w.tick()
	if !strings.Contains(w.log.String(), `"breaker_tripped","class":"rdap.example.net/redemption","pending":11`) {
		t.Errorf("%s", w.log)
	}
	w.log.Reset()
	w.lapsed("other.org", func(d *records.Domain) { d.State.RegServer = "rdap.other.example" })
	if res := w.tick(); len(res.Tripped) != 1 || res.Acted != 1 || strings.Contains(w.log.String(), "breaker_tripped") {
		t.Errorf("%+v: %s", res, w.log)
	}
}

// TestTimeIsUpWhileEverythingIsOpened: what is left is found by saying it again.
func TestTimeIsUpWhileEverythingIsOpened(t *testing.T) {
	w, l := leverWorld(t)
	l.closed["a.com"] = true
	w.Margin = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := w.Handle(ctx, Event{Action: "open", All: true, By: "Ada", Why: "seen"})
	if err != nil || res.Text != "opened: 0 domains, and time is up; say it again for the rest" || !l.closed["a.com"] {
		t.Errorf("%+v %v", res, err)
	}
}
