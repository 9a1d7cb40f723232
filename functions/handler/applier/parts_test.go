package applier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// TestWhoIsToldOfAMailHost: whoever does not know yet, or knows it of an older gap; not who hears of another host, and
// nobody who is not watched.
func TestWhoIsToldOfAMailHost(t *testing.T) {
	for what, c := range map[string]struct {
		knows, lapsed, other string // other: a further host it depends on, whose lapse was told
		older                bool   // what it knows is an older gap
		told                 bool
		then                 string
	}{
		"a lapse that it does not know":              {"", "host.net", "", false, true, "host.net"},
		"a lapse that it knows":                      {"host.net", "host.net", "", false, false, "host.net"},
		"a newer gap":                                {"host.net", "host.net", "", true, true, "host.net"},
		"a lapse, and it knows of another":           {"other.net", "host.net", "", true, false, "other.net"},
		"it is back":                                 {"host.net", "", "", false, true, ""},
		"it is back, and another is not":             {"host.net", "", "other.net", false, true, "other.net"},
		"it is back, and it never knew":              {"", "", "", false, false, ""},
		"it is back, and what it knows is another's": {"other.net", "", "other.net", false, false, "other.net"},
	} {
		w := newWorld(t)
		since := lifecycle.At(w.at)
		w.lapsed("customer.com", func(d *records.Domain) {
			quiet(d)
			if d.State.MailLapsed = c.knows; c.knows != "" {
				d.Action, d.Reason, d.State.Control = lifecycle.Hold, lifecycle.ReasonMailHost, lifecycle.Continuity{Since: since, Gap: lifecycle.GapMailHost}
			}
			if c.older {
				d.State.Control.Since = since.Add(-time.Hour)
			}
		})
		w.dependsOn("customer.com", "host.net", "fine.net")
		w.lapsed("fine.net", func(d *records.Domain) { d.MailHost = true })
		w.lapsed("host.net", func(d *records.Domain) { d.MailHost, d.Told = true, since })
		if c.other != "" {
			w.dependsOn("customer.com", "host.net", "fine.net", "gone.net", c.other)
			w.lapsed(c.other, func(d *records.Domain) { d.MailHost, d.Told = true, since })
		}
		w.dependsOn("unwatched.com", "host.net")
		names, err := w.tellDependents(t.Context(), "host.net", c.lapsed, since)
		if err != nil || (len(names) > 0) != c.told || c.told && !slices.Equal(names, []string{"customer.com"}) {
			t.Errorf("%s: told %v, %v", what, names, err)
		}
		d := w.get("customer.com")
		if d.State.MailLapsed != c.then || (d.Action == lifecycle.Hold) != (c.then != "") || c.told && c.then == "host.net" && (d.State.LapseAt == 0 || d.Reason != lifecycle.ReasonMailHost) {
			t.Errorf("%s: it knows of %q: %+v", what, d.State.MailLapsed, d)
		}
		if entries, err := w.book().History(t.Context(), "customer.com", 5); err != nil || (len(entries) > 0) != c.told || c.told && entries[0].What != "mail host host.net" {
			t.Errorf("%s: history %+v %v", what, entries, err)
		}
		if d, err := w.book().Domain(t.Context(), "unwatched.com"); err != nil || d.Known() {
			t.Errorf("%s: a domain that is not watched came into the table", what)
		}
	}
}

// TestADependentThatANewerVersionWroteStopsNobody.
func TestADependentThatANewerVersionWroteStopsNobody(t *testing.T) {
	w := newWorld(t)
	w.lapsed("b.com", quiet)
	newer := records.NewDomain("a.com", 0).Put()
	newer.Data = []byte(`{"v":99}`)
	w.write(newer)
	w.dependsOn("a.com", "host.net")
	w.dependsOn("b.com", "host.net")
	names, err := w.tellDependents(t.Context(), "host.net", "host.net", lifecycle.At(w.at))
	if err != nil || !slices.Equal(names, []string{"b.com"}) || !strings.Contains(w.log.String(), "items_skipped") {
		t.Errorf("%v %v", names, err)
	}
}

// TestTheBoundOfARequest: a tenth more addresses than the list names, five at least.
func TestTheBoundOfARequest(t *testing.T) {
	for listed, want := range map[int]int{0: 5, 3: 8, 50: 55, 60: 66, 1000: 1100} {
		w, l := leverWorld(t)
		w.lapsed("a.com", nil)
		w.listed("a.com", listed)
		r, err := w.draft(t.Context(), w.matter("a.com"), records.Run{})
		if err != nil || r.MaxAddresses != want || r.Run != "none" {
			t.Errorf("%d listed: at most %d, run %q, %v", listed, r.MaxAddresses, r.Run, err)
		}
		w.gap("b.com", lifecycle.GapGone)
		w.listed("b.com", listed)
		run, err := w.book().Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		run.V.Addresses = 1_000_000
		w.write(run.Put())
		w.tick()
		if len(l.asked) != 1 || l.asked[0].MaxAddresses != want || l.asked[0].Run != w.runID() {
			t.Errorf("%d listed: closed with %+v", listed, l.asked)
		}
	}
}

// TestWhyItIsClosed: a deletion is a lapse, anything else an interruption; by an operator's word it is theirs.
func TestWhyItIsClosed(t *testing.T) {
	for gap, reason := range map[lifecycle.Gap]registry.Reason{
		lifecycle.GapGone: registry.ReasonInterrupted, lifecycle.GapDeleted: registry.ReasonLapsed, lifecycle.GapReleased: registry.ReasonLapsed, lifecycle.GapMailHost: registry.ReasonInterrupted,
	} {
		w, _ := leverWorld(t)
		w.gap("a.com", gap)
		r, err := w.recovery(t.Context(), w.matter("a.com"), "")
		if err != nil || r.Reason != reason || r.Desired != registry.RecoveryClosed || r.Run != "none" || !r.Since.Equal(w.at.Add(-time.Hour)) || len(r.Evidence) < 2 || strings.Contains(r.Evidence[0], "operator") {
			t.Errorf("%s: %+v %v", gap, r, err)
		}
		w.back("a.com")
		if r, err := w.recovery(t.Context(), w.matter("a.com"), "x"); err != nil || r.Desired != registry.RecoveryOpen || !r.Since.IsZero() || r.Run != "x" {
			t.Errorf("%s, and back: %+v %v", gap, r, err)
		}
		m := w.matter("a.com")
		m.Recovery.V.Word = &records.Word{Closed: true, At: lifecycle.At(w.at)}
		if r, err := w.recovery(t.Context(), m, "x"); err != nil || r.Desired != registry.RecoveryClosed || r.Evidence[0] != "an operator of the guard closed it" || !r.ContinuousUntil.Equal(w.at) {
			t.Errorf("%s, by a person: %+v %v", gap, r, err)
		}
	}
}

// working is a lever that is not done yet.
type working struct{ *lever }

func (l working) SetRecovery(context.Context, registry.RecoveryRequest) (registry.RecoveryAnswer, error) {
	return registry.RecoveryAnswer{Answer: registry.Answer{Pending: true, RetryAfter: time.Minute}}, nil
}

// TestAClosingThatIsUnderWayIsAskedForAgain, and nothing is noted as done.
func TestAClosingThatIsUnderWayIsAskedForAgain(t *testing.T) {
	w, l := leverWorld(t)
	w.gap("a.com", lifecycle.GapGone)
	w.Registry = working{l}
	if res := w.tick(); res.Waiting != 1 || !w.get("a.com").Differs() || w.matter("a.com").Recovery.V.Since != 0 || strings.Contains(w.stats.String(), "Closings") {
		t.Errorf("%+v, %+v", res, w.matter("a.com").Recovery.V)
	}
	w.Registry = l
	if res := w.tick(); res.Waiting != 0 || !l.closed["a.com"] || w.matter("a.com").Recovery.V.Bound != 2 {
		t.Errorf("%+v, %+v", res, w.matter("a.com").Recovery.V)
	}
}

// TestWhichRefusalsStand: a person must know of those that no later try undoes.
func TestWhichRefusalsStand(t *testing.T) {
	for what, c := range map[string]struct {
		err    error
		stands bool
	}{
		"refused":       {&registry.Problem{Status: 422, Type: registry.TypePublicSuffix}, true},
		"too many":      {&registry.Problem{Status: 422, Type: registry.TypeTooMany}, false},
		"outdated":      {&registry.Problem{Status: 409, Type: registry.TypeOutdated}, false},
		"unavailable":   {&registry.Problem{Status: 503}, false},
		"no connection": {errLost, false},
	} {
		w, l := leverWorld(t)
		w.gap("a.com", lifecycle.GapGone)
		l.fails = c.err
		w.tick()
		m := w.matter("a.com")
		if stands := m.Recovery.V.Refused == m.Domain.State.Control.Since; stands != c.stands || (m.Recovery.V.Why != "") != c.stands || !strings.Contains(w.stats.String(), `"RegistryFailing":1`) {
			t.Errorf("%s: %+v", what, m.Recovery.V)
		}
	}
}

// TestAHoldTellsWhatIsKnown of its domain, and who asks.
func TestAHoldTellsWhatIsKnown(t *testing.T) {
	w := newWorld(t)
	w.lapsed("asked.com", func(d *records.Domain) {
		d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Medium, lifecycle.ReasonReviewNew
	})
	w.lapsed("refused.com", func(d *records.Domain) { d.State.RegServer = "rdap.other.example" })
	for i := range 11 {
		w.lapsed(fmt.Sprintf("crowd-%02d.com", i), nil)
	}
	w.reg.err = &registry.Problem{Status: 422, Type: registry.TypeTooMany}
	res := w.tick()
	for name, c := range map[string]struct{ breaker, refused bool }{"asked.com": {false, false}, "refused.com": {false, true}, "crowd-00.com": {true, false}} {
		h, ok := w.held(name)
		d := w.get(name)
		if !ok || h.Domain != name || !h.Since.Equal(w.at) || h.Reason != string(d.Reason) || h.Phase != "redemption" || h.Action != string(d.Action) || h.Confidence != string(d.Confidence) ||
			h.Class != d.Class() || h.DecisionID != string(d.Decision()) || h.Addresses != 3 || len(h.Sentence) < 20 || h.Breaker != c.breaker || h.Refused != c.refused || h.Pinned || len(h.Affected) != 0 {
			t.Errorf("%s: %+v", name, h)
		}
		if e := w.newest(name); e.What != "held" || e.Sentence != h.Why || e.Reason != d.Reason || e.After != d.State.Phase {
			t.Errorf("%s: history %+v", name, e)
		}
	}
	if res.Held != 13 || strings.Count(w.stats.String(), `"Held":1`) != 13 {
		t.Errorf("%+v", res)
	}
	w.later(time.Hour, "crowd-00.com")
	w.change("crowd-00.com", func(d *records.Domain) { d.Settled = "" }) // as if it were due: the same hold is told to nobody again
	if res := w.tick(); res.Held != 0 {
		t.Errorf("held again: %+v", res)
	}
	w.change("asked.com", quiet)
	w.tick()
	if e := w.newest("asked.com"); e.What != "hold ended" || !strings.Contains(w.log.String(), `"msg":"hold_ended","domain":"asked.com"`) {
		t.Errorf("%+v", e)
	}
}

// picky is a queue that refuses messages of a schema it does not know.
type picky struct{ *outbox }

func (p picky) Send(ctx context.Context, m []queue.Message) ([]queue.Message, error) {
	if m[0].Schema != queue.Schema {
		return m, fmt.Errorf("send: %w", queue.ErrSchema)
	}
	return p.outbox.Send(ctx, m)
}

// TestAParkedMessageOfANewerVersionWaitsForIt: the others are sent, and it wakes the next tick.
func TestAParkedMessageOfANewerVersionWaitsForIt(t *testing.T) {
	w, _ := newQuiet(t)
	w.Queue = picky{w.out}
	for id, schema := range map[string]int{"a": queue.Schema + 1, "b": queue.Schema} {
		w.write(records.Record(records.PKParked, records.ParkedSK(w.at, id), queue.Message{Schema: schema, Run: w.runID(), Sent: w.at, Upstream: id}, time.Time{}))
	}
	w.write(records.Wake(w.at, time.Time{}))
	for range 2 {
		if res := w.tick(); len(w.out.messages) != 1 || w.out.messages[0].Upstream != "b" || !worked(w.log.String()) || !strings.Contains(w.log.String(), "parked_skipped") {
			t.Errorf("%+v, sent %+v", res, w.out.messages)
		}
		w.log.Reset()
	}
	if left, _, err := w.Store.Query(t.Context(), records.Parked("", 10)); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
}

// TestALeaseCoversTheInvocation: what is left of it, a quarter of an hour where nobody says.
func TestALeaseCoversTheInvocation(t *testing.T) {
	w := newWorld(t)
	var until lifecycle.Instant
	look := func(ctx context.Context) error {
		l, err := w.book().Lease(ctx, Job)
		until = l.V.Until
		return errors.Join(err, errLost)
	}
	if busy, err := w.leased(t.Context(), look); busy != "" || !errors.Is(err, errLost) || until != lifecycle.At(w.at.Add(15*time.Minute)) {
		t.Errorf("%q %v, until %s", busy, err, until)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := w.leased(ctx, look); !errors.Is(err, errLost) || until > lifecycle.At(w.at.Add(time.Hour)) || until < lifecycle.At(w.at.Add(59*time.Minute)) {
		t.Errorf("%v, until %s", err, until)
	}
	if l, err := w.book().Lease(t.Context(), Job); err != nil || l.V.Until != 0 {
		t.Errorf("given back: %+v %v", l.V, err)
	}
}

// TestTimeIsUp: less than the margin before the deadline; never where there is none.
func TestTimeIsUp(t *testing.T) {
	p := &Parts{Margin: time.Hour}
	for left, late := range map[time.Duration]bool{30 * time.Minute: true, 2 * time.Hour: false} {
		ctx, cancel := context.WithTimeout(t.Context(), left)
		if got := p.late(ctx); got != late {
			t.Errorf("%s left: late %t", left, got)
		}
		cancel()
	}
	if p.late(t.Context()) {
		t.Error("there is no deadline")
	}
}

// many is a table of so many holds.
type many struct {
	store.Store
	holds int
}

func (m many) Query(ctx context.Context, q store.Query) ([]store.Item, bool, error) {
	if q.PK != "holds" {
		return m.Store.Query(ctx, q)
	}
	var items []store.Item
	for i := range m.holds {
		if name := fmt.Sprintf("h%05d.com", i); name > q.After && len(items) < q.Limit {
			items = append(items, records.PutHold(safety.Hold{Domain: name}).Item)
		}
	}
	return items, len(items) == q.Limit, nil
}

// TestMoreHoldsThanAreCountedAreSaidToBe.
func TestMoreHoldsThanAreCountedAreSaidToBe(t *testing.T) {
	for n, more := range map[int]bool{maxHolds: false, maxHolds + 1: true} {
		w := newWorld(t)
		w.Store = many{w.Store, n}
		if got, err := w.waiting(t.Context()); err != nil || got.open != maxHolds || got.more != more {
			t.Errorf("%d: %d open, more %t, %v", n, got.open, got.more, err)
		}
	}
}

// TestWhoComesBackIsToldOnce, by its own registration; one that is registered anew is nobody's return.
func TestWhoComesBackIsToldOnce(t *testing.T) {
	for what, c := range map[string]struct {
		edit func(*records.Domain)
		came bool
	}{
		"the same registration":             {func(d *records.Domain) { d.State.Registered = 7 }, true},
		"another one":                       {func(d *records.Domain) { d.State.Registered = d.State.RegAt.Add(time.Hour) }, false},
		"no date, and its own name servers": {func(d *records.Domain) { d.State.Registered, d.State.Deleg = 0, lifecycle.DelegationHome }, true},
		"no date, and other name servers":   {func(d *records.Domain) { d.State.Registered, d.State.Deleg = 0, lifecycle.DelegationMoved }, false},
	} {
		w := newWorld(t)
		w.lapsed("a.com", nil)
		w.tick()
		w.at = w.at.Add(time.Hour)
		w.change("a.com", func(d *records.Domain) { quiet(d); c.edit(d) })
		for range 2 {
			w.tick()
		}
		l, err := w.book().Ledger(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if came := strings.Contains(mustJSON(t, l.V), `"b":{"rdap.example.net/redemption":{"20514":1}}`); came != c.came || !w.get("a.com").Returned || w.get("a.com").CameBack() {
			t.Errorf("%s: counted %t, %s", what, came, mustJSON(t, l.V))
		}
	}
}

// TestAGuardWithoutARegistryActsOnNothing, whatever the switch says.
func TestAGuardWithoutARegistryActsOnNothing(t *testing.T) {
	for _, mode := range []Mode{Enforce, Observe, Stop} {
		w := newWorld(t)
		w.mode, w.Registry, w.DryRun, w.Restorer = mode, nil, nil, nil
		w.lapsed("a.com", nil)
		w.arrive()
		if res := w.tick(); res.Acted != 0 || res.Mode != mode || w.stands("a.com") != decision.Pending {
			t.Errorf("%s: %+v, %s", mode, res, w.stands("a.com"))
		}
		if _, err := w.say(Event{Action: "restore", Domain: "a.com", Decision: "a.com:lapse:1"}); err == nil || !strings.Contains(err.Error(), "no registry is configured") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}
