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
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

// TestAContradictionLastsFromAWeekOn.
func TestAContradictionLastsFromAWeekOn(t *testing.T) {
	now := time.Date(2026, 3, 2, 3, 30, 0, 0, time.UTC)
	for since, lasts := range map[time.Duration]bool{7*24*time.Hour - time.Second: false, 7 * 24 * time.Hour: true} {
		m := records.Matter{Domain: records.NewDomain("example-one.com", 0)}
		m.Domain.State.RegSince = lifecycle.At(now.Add(-since))
		if got := (view{now: now}).verdict(m).Lasts; got != lasts {
			t.Errorf("after %s: %t", since, got)
		}
	}
}

// TestAnUpstreamIsSilentAfterTheSecondRun without an answer to believe: two days, less what runs vary.
func TestAnUpstreamIsSilentAfterTheSecondRun(t *testing.T) {
	for ago, silent := range map[time.Duration]int{44*time.Hour - time.Second: 0, 44 * time.Hour: 1} {
		w := newWorld(t)
		const upstream = "rdap/https://down.example/"
		w.write(records.Record(records.PKUpstreams, upstream, records.Upstream{Asked: 1, LastGood: lifecycle.At(w.at.Add(-ago))}, time.Time{}),
			records.PutSent(w.runID(), 0, 1, records.Sent{IDs: []records.SentID{{ID: "a", Upstream: upstream}}}, w.at),
			records.Mark(w.runID(), "a", records.Marker{Checked: 2, Unknown: 2}, w.at))
		if _, err := w.completeRun(t.Context()); err != nil || !strings.Contains(w.stats.String(), fmt.Sprintf(`"UpstreamsSilent":%d`, silent)) {
			t.Errorf("after %s: %v, %s", ago, err, w.stats)
		}
	}
}

// TestTheEvidenceIsWhatEachWitnessSaidLast.
func TestTheEvidenceIsWhatEachWitnessSaidLast(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	for i, saw := range [][]source.Source{{source.SourceRDAP}, {source.SourceDelegation, source.SourceStatus}, {source.SourceRDAP}} {
		e := records.Entry{At: w.at.Add(time.Duration(i-3) * time.Hour), What: "look"}
		for _, s := range saw {
			e.Evidence = append(e.Evidence, records.Witness{Source: s, Server: "server", At: e.At, Said: fmt.Sprintf("its word %d", i)})
		}
		w.write(records.PutEntry("example-one.com", e, 0))
	}
	w.tick()
	got := w.reg.requests[0].Evidence
	want := []string{
		got[0], "rdap (server) at 2026-03-02T02:30:00Z: its word 2", "delegation (server) at 2026-03-02T01:30:00Z: its word 1", "status (server) at 2026-03-02T01:30:00Z: its word 1",
	}
	if !slices.Equal(got, want) || got[0] == "" {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// answering is a lever whose answers say this of recovery.
type answering struct {
	*lever
	recovery registry.Recovery
}

func (a answering) SetRecovery(ctx context.Context, r registry.RecoveryRequest) (registry.RecoveryAnswer, error) {
	answer, err := a.lever.SetRecovery(ctx, r)
	answer.Recovery = a.recovery
	return answer, err
}

// TestAClosingAfterWhichRecoveryIsOpenIsAnAlarm; one that is closed is none, nor what is open on purpose.
func TestAClosingAfterWhichRecoveryIsOpenIsAnAlarm(t *testing.T) {
	for recovery, alarm := range map[registry.Recovery]bool{registry.RecoveryOpen: true, registry.RecoveryClosed: false, registry.RecoveryUnknown: false} {
		w, l := leverWorld(t)
		w.Registry = answering{l, recovery}
		w.gap("a.com", lifecycle.GapGone)
		w.change("a.com", func(d *records.Domain) { d.CloseAt = lifecycle.At(w.at.Add(-time.Hour)) }) // it waited for room
		w.tick()
		if says := strings.Contains(w.stats.String(), `"RecoveryOpen":1`) && strings.Contains(w.log.String(), "recovery_open"); says != alarm {
			t.Errorf("closed, and recovery is %s: alarm %t", recovery, says)
		}
		if d := w.get("a.com"); d.CloseAt != 0 || d.Differs() {
			t.Errorf("closed, and it waits for %s", d.CloseAt)
		}
		w.stats.Reset()
		w.back("a.com")
		if w.tick(); strings.Contains(w.stats.String(), "RecoveryOpen") {
			t.Errorf("opened, and recovery is %s: an alarm", recovery)
		}
	}
}

// TestWhateverCallOfARefusalFailsIsTold, and the refusal is written down by the next tick.
func TestWhateverCallOfARefusalFailsIsTold(t *testing.T) {
	refused := func() (*world, *shaky) {
		w := newWorld(t)
		w.lapsed("example-one.com", nil)
		w.reg.err = &registry.Problem{Status: 422, Type: registry.TypeTooMany, Title: "too many addresses"}
		f := &shaky{Store: w.Store}
		w.Store = f
		return w, f
	}
	w, f := refused()
	w.tick()
	for at := 1; at <= f.n; at++ {
		w, f := refused()
		f.at = at
		if _, err := w.Handle(t.Context(), Event{Action: "tick"}); !errors.Is(err, errThrottled) {
			t.Errorf("%s (%d) fails: %v", f.what, at, err)
		}
		w.at = w.at.Add(20 * time.Minute)
		w.tick()
		if h, ok := w.held("example-one.com"); !ok || !h.Refused {
			t.Errorf("%s (%d) failed, and then: %+v", f.what, at, h)
		}
	}
}

// TestALeverThatIsNotOfferedIsAskedForDaily, and what waits for it is judged in the same tick.
func TestALeverThatIsNotOfferedIsAskedForDaily(t *testing.T) {
	w, l := leverWorld(t)
	w.offers(records.Synced{})
	w.gap("a.com", lifecycle.GapGone)
	w.change("a.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewHands })
	res := w.tick()
	if d := w.get("a.com"); d.CloseAt != lifecycle.At(w.at.Add(24*time.Hour)) || res.Held != 1 || len(l.asked) != 0 {
		t.Errorf("%+v, tried again at %s, asked %v", res, d.CloseAt, l.asked)
	}
}

// TestAWalkThatWasKeptIsForgottenAtItsEnd, wherever it was kept: the next one begins with the first.
func TestAWalkThatWasKeptIsForgottenAtItsEnd(t *testing.T) {
	w := newWorld(t)
	for i := range 8 {
		w.lapsed(fmt.Sprintf("example-%03d.com", i), func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	}
	_, cursor, err := w.Store.Due(t.Context(), 0, w.at, "", 1)
	if err != nil || cursor == "" {
		t.Fatal(cursor, err)
	}
	for _, kept := range []records.Walk{{Cursor: cursor}, {Shard: store.Shards, Whole: true}} {
		w.write(records.Record(records.PKGuard, records.SKWalk, kept, time.Time{}))
		w.tick()
		if at, err := w.book().Walk(t.Context()); err != nil || at.V.Cursor != "" || at.V.Shard != 0 || at.V.Whole {
			t.Errorf("kept %+v, and after the walk %+v, %v", kept, at.V, err)
		}
	}
	if w.tick(); len(w.holds()) != 8 {
		t.Errorf("%d of %d are held", len(w.holds()), 8)
	}
}

// TestWhoLeftTheTableStopsNobodyWhoIsDue: the index of what is due is a hint.
func TestWhoLeftTheTableStopsNobodyWhoIsDue(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	walk, err := w.newWalk(t.Context(), records.Run{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = walk.each(t.Context(), []string{"left.com", "example-one.com"}, func(_ context.Context, m records.Matter) error {
		got = append(got, m.Domain.Name)
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"example-one.com"}) {
		t.Errorf("%v %v", got, err)
	}
}

// TestWhoHoldsADomainIsNamed to whoever holds it too.
func TestWhoHoldsADomainIsNamed(t *testing.T) {
	w := newWorld(t)
	w.lapsed("example-one.com", nil)
	w.must(Event{Action: "hold", Domain: "example-one.com", By: "Ada"})
	if res, err := w.say(Event{Action: "hold", Domain: "example-one.com", By: "Zoë"}); err == nil || !strings.Contains(err.Error(), "Ada holds it already") {
		t.Errorf("%+v %v", res, err)
	}
	if c := w.matter("example-one.com").Case.V; c.By != "Ada" {
		t.Errorf("held by %s", c.By)
	}
}

// TestWhatIsOpenedIsWhatIsClosed: of a page each domain at which recovery is closed, once, and nothing that is nobody's.
func TestWhatIsOpenedIsWhatIsClosed(t *testing.T) {
	closed := registry.Closed{Addresses: 1}
	got := closedAt(registry.Page{Hosts: []registry.HostCount{
		{Host: "open.com", Addresses: 3}, {Host: "a.com", Closed: closed}, {Host: "mail.a.com", Closed: closed}, {Host: "open.a.com"},
		{Host: "[192.0.2.1]", Closed: closed}, {Host: "co.uk", Closed: closed}, {Host: "mail.b.co.uk", Closed: closed},
	}})
	if !slices.Equal(got, []string{"a.com", "b.co.uk"}) {
		t.Errorf("%v", got)
	}
}

// TestAnApprovalIsNotedInItsHold, which waits for nobody then; where nothing is held there is nothing to note.
func TestAnApprovalIsNotedInItsHold(t *testing.T) {
	w, _ := leverWorld(t)
	w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
	w.deleted("closed.com", nil)
	w.tick()
	w.at = w.at.Add(time.Minute)
	for name, held := range map[string]bool{"asked.com": true, "closed.com": false} {
		w.must(Event{Action: "approve", Domain: name, By: "Ada"})
		h, ok := w.held(name)
		if ok != held || held && (h.ApprovedBy != "Ada" || !h.ApprovedAt.Equal(w.at) || h.Domain != name) {
			t.Errorf("%s: %+v %t", name, h, ok)
		}
	}
	if res := w.must(Event{Action: "status"}); res.Held != 0 {
		t.Errorf("%+v", res)
	}
}

// TestWhoseTimeIsUpEndsAfterThePageAtHand: two hundred domains, and the next invocation goes on behind them.
func TestWhoseTimeIsUpEndsAfterThePageAtHand(t *testing.T) {
	w := newWorld(t)
	for i := range 250 {
		w.lapsed(fmt.Sprintf("example-%03d.com", i), func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonRestore })
	}
	full := w.Store
	for _, want := range []int{200, 50} {
		s := &short{Store: full, left: 1}
		w.Store = s
		res, err := w.Handle(deadline{t.Context(), s}, Event{Action: "tick"})
		if err != nil || res.Held != want {
			t.Errorf("%+v %v, want %d held", res, err, want)
		}
		w.at = w.at.Add(15 * time.Minute)
	}
}

// TestAWalkTakesUpNoMoreThanItCanNote of what fits again; the next one takes up the rest.
func TestAWalkTakesUpNoMoreThanItCanNote(t *testing.T) {
	w := newWorld(t)
	for i := range 11 {
		w.lapsed(fmt.Sprintf("example-%02d.com", i), nil)
	}
	if res := w.tick(); res.Held != 11 {
		t.Fatalf("%+v", res)
	}
	w.Limits = safety.Limits{Count: 100, Share: 0.5}
	run, err := w.book().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	walk, err := w.newWalk(t.Context(), run.V, enforcer{&w.Parts, w.reg})
	if err != nil {
		t.Fatal(err)
	}
	walk.names = maxNames - 3
	rulings, err := walk.rulings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := walk.fit(t.Context(), rulings); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range 11 {
		if w.stands(fmt.Sprintf("example-%02d.com", i)) == decision.Pending {
			taken++
		}
	}
	if taken != 3 || walk.names != maxNames {
		t.Errorf("%d are taken up, %d noted", taken, walk.names)
	}
}

// TestWhoWasWatchedForLong goes first from more than ninety days on, and a name takes room again after thirty.
func TestWhoWasWatchedForLong(t *testing.T) {
	w := newWorld(t)
	now := lifecycle.At(w.at)
	d := records.NewDomain("a.com", 0)
	d.Listed, d.State.Control = true, lifecycle.Continuity{Since: now, Gap: lifecycle.GapGone}
	ranked := func(ago time.Duration) int {
		d.State.First = now.Add(-ago)
		return rank(d, now)
	}
	if long, short := ranked(90*24*time.Hour+time.Second), ranked(90*24*time.Hour); long >= short || ranked(0) != short || ranked(400*24*time.Hour) != long {
		t.Errorf("watched for long %d, for ninety days %d", long, short)
	}
	for ago, takes := range map[time.Duration]bool{0: false, 30*24*time.Hour - time.Second: false, 30 * 24 * time.Hour: true} {
		m := records.Matter{Domain: d}
		m.Recovery.V.Counted = now.Add(-ago)
		if got := w.takes(m); got != takes {
			t.Errorf("took room %s ago, and takes it again: %t", ago, got)
		}
	}
}

// busy is a table whose first write about a domain meets another writer.
type busy struct {
	store.Store
	name string
	met  bool
}

func (b *busy) Write(ctx context.Context, w ...store.Write) error {
	if w[0].PK == b.name && !b.met {
		b.met = true
		return store.ErrConflict
	}
	return b.Store.Write(ctx, w...)
}

// TestAHoldThatMetAnotherWriterIsNone: it is not told, and the next tick judges what is there then.
func TestAHoldThatMetAnotherWriterIsNone(t *testing.T) {
	w := newWorld(t)
	w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
	w.Store = &busy{Store: w.Store, name: "asked.com"}
	for _, want := range []int{0, 1, 0} {
		if res := w.tick(); res.Held != want {
			t.Errorf("%+v, want %d held", res, want)
		}
	}
	if n := strings.Count(w.stats.String(), `"Held":1`); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestOneStaleHoldIsLogged, where the open ones are measured.
func TestOneStaleHoldIsLogged(t *testing.T) {
	for n := range 3 {
		w, _ := newQuiet(t)
		w.at = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
		for i := range n {
			w.write(records.PutHold(safety.Hold{Domain: fmt.Sprintf("h%d.com", i), Since: w.at.Add(-safety.StaleHold - time.Duration(i+1)*time.Hour)}))
		}
		w.tick()
		if logged := strings.Contains(w.log.String(), fmt.Sprintf(`"msg":"holds_stale","count":%d,"oldest":"h%d.com"`, n, n-1)); logged != (n > 0) || !strings.Contains(w.stats.String(), fmt.Sprintf(`"HoldsOpen":%d,"HoldsStale":%d`, n, n)) {
			t.Errorf("%d: %s, %s", n, w.log, w.stats)
		}
	}
}

// TestWhichPlansOnlyEndAHold: those that tell nobody of anything.
func TestWhichPlansOnlyEndAHold(t *testing.T) {
	held := records.Matter{}
	held.Case.V.Status = decision.Held
	idle := decision.Case{Decision: decision.Decision{Status: decision.Idle}}
	pending := decision.Case{Decision: decision.Decision{Status: decision.Pending}}
	for _, c := range []struct {
		m    records.Matter
		s    step
		want bool
	}{
		{held, step{Case: idle}, true}, {held, step{Case: idle, Tell: true}, false}, {held, step{Case: idle, Back: true}, false}, {held, step{Case: pending}, false}, {records.Matter{}, step{Case: idle}, false},
	} {
		if got := c.s.ends(c.m); got != c.want {
			t.Errorf("%s to %s, tell %t, back %t: ends %t", c.m.Case.V.At(), c.s.Case.At(), c.s.Tell, c.s.Back, got)
		}
	}
}

// TestAStatusThatCannotBeReadIsAnError: of the kill switch as of the tables.
func TestAStatusThatCannotBeReadIsAnError(t *testing.T) {
	w := newWorld(t)
	w.Mode = func(context.Context) (Mode, error) { return Stop, errLost }
	if res, err := w.say(Event{Action: "status"}); !errors.Is(err, errLost) || res.Status != nil {
		t.Errorf("%+v %v", res, err)
	}
}
