package checker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

const rdapBase = "https://rdap.example.net/"

// answers is an upstream in memory: what it says of each name.
type answers struct {
	w      *world
	source source.Source
	by     map[string]source.Observation
	asked  []string
	mu     sync.Mutex
}

func (a *answers) Ask(_ context.Context, m queue.Message) []source.Observation {
	a.mu.Lock()
	defer a.mu.Unlock()
	obs := make([]source.Observation, len(m.Domains))
	for i, e := range m.Domains {
		a.asked = append(a.asked, e.Name)
		o, ok := a.by[e.Name]
		if !ok {
			o = source.Observation{Outcome: source.Unknown, Cause: source.CauseTimeout, Said: "silence"}
		}
		o.Source, o.Server, o.At = a.source, m.Upstream, a.w.at
		obs[i] = o
	}
	return obs
}

type servers struct{}

func (servers) Server(tld string) (string, bool, bool) {
	switch tld {
	case "com":
		return rdapBase, true, true
	case "de":
		return "https://rdap.de.example/", false, true
	default:
		return "", false, false
	}
}

type outbox struct {
	mu       sync.Mutex
	messages []queue.Message
}

func (o *outbox) Send(_ context.Context, m []queue.Message) ([]queue.Message, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.messages = append(o.messages, m...)
	return nil, nil
}

// counting counts reads and writes of domains.
type counting struct {
	store.Store
	mu           sync.Mutex
	gets, writes int
	fail         error
}

func (c *counting) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if k.Table == store.Domains {
		c.mu.Lock()
		c.gets++
		c.mu.Unlock()
	}
	return c.Store.Get(ctx, k)
}

func (c *counting) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	c.mu.Lock()
	c.writes += len(groups)
	c.mu.Unlock()
	if c.fail != nil {
		errs := make([]error, len(groups))
		for i := range errs {
			errs[i] = c.fail
		}
		return errs
	}
	return c.Store.WriteEach(ctx, groups)
}

type world struct {
	*Handler
	t                  *testing.T
	at                 time.Time
	out                *outbox
	count              *counting
	dns, rdap, statusA *answers
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, at: time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC), out: &outbox{}}
	now := func() time.Time { return w.at }
	s, err := bolt.Open(filepath.Join(t.TempDir(), "guard.db"), bolt.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.count = &counting{Store: s}
	w.dns = &answers{w: w, source: source.SourceDelegation, by: map[string]source.Observation{}}
	w.rdap = &answers{w: w, source: source.SourceRDAP, by: map[string]source.Observation{}}
	w.statusA = &answers{w: w, source: source.SourceStatus, by: map[string]source.Observation{}}
	w.Handler, err = New(Config{
		Store: w.count, Queue: w.out, DeadLetters: &grave{}, Servers: servers{}, Log: slog.New(slog.DiscardHandler), Now: now, StatusUpstream: "fastly",
		Ask: map[queue.Kind]Asker{queue.KindDelegation: w.dns, queue.KindRDAP: w.rdap, queue.KindStatus: w.statusA},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func delegated(ns ...string) source.Observation {
	return source.Observation{Outcome: source.Observed, Said: "NS", Delegation: &source.Delegation{NS: ns, Form: source.FormReferral}}
}

func gone() source.Observation {
	return source.Observation{Outcome: source.Absent, Said: "NXDOMAIN"}
}

func registered(statuses ...string) source.Observation {
	return source.Observation{Outcome: source.Observed, Said: strings.Join(statuses, ", "), Registration: &source.Registration{
		Authoritative: true, Statuses: statuses, Registered: time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC),
		Expires: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Registrar: "292",
	}}
}

// add stores a listed domain and gives its entry for a message.
func (w *world) add(name string) queue.Entry {
	w.t.Helper()
	d := records.NewDomain(name, lifecycle.At(w.at))
	d.Listed, d.Hosts, d.Addresses, d.Oldest = true, 1, 1, lifecycle.At(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	if err := w.Store.Write(w.t.Context(), d.Put()); err != nil {
		w.t.Fatal(err)
	}
	return w.entry(name)
}

// quiet is add for a domain whose registry is not due to be asked.
func (w *world) quiet(name string) queue.Entry {
	w.t.Helper()
	w.add(name)
	d := w.get(name)
	d.State.NextRDAP = lifecycle.At(w.at.Add(lifecycle.Weekly))
	if err := w.Store.Write(w.t.Context(), d.Put()); err != nil {
		w.t.Fatal(err)
	}
	return w.entry(name)
}

func (w *world) entry(name string) queue.Entry {
	w.t.Helper()
	d := w.get(name)
	return queue.Entry{Name: name, Version: d.Version(), Item: json.RawMessage(d.Data())}
}

func (w *world) get(name string) records.Domain {
	w.t.Helper()
	d, err := w.book().Domain(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// ask handles one message about entries and then every message that it raises.
func (w *world) ask(m queue.Message, entries ...queue.Entry) {
	w.t.Helper()
	if m.Kind == "" {
		m.Kind, m.Upstream = queue.KindDelegation, "com"
	}
	m.Share, m.Sent = 1, w.at
	w.out.messages = queue.Pack(m, entries)
	for len(w.out.messages) > 0 {
		next := w.out.messages
		w.out.messages = nil
		if res := w.handle(next...); len(res.BatchItemFailures) > 0 {
			w.t.Fatalf("failed: %v", res)
		}
	}
}

func (w *world) handle(messages ...queue.Message) events.SQSEventResponse {
	w.t.Helper()
	var e events.SQSEvent
	for i, m := range messages {
		body, err := queue.Encode(m)
		if err != nil {
			w.t.Fatal(err)
		}
		e.Records = append(e.Records, record(i, m.Group, string(body)))
	}
	res, err := w.Handle(w.t.Context(), e)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) handleRecords(records ...events.SQSMessage) events.SQSEventResponse {
	w.t.Helper()
	res, err := w.Handle(w.t.Context(), events.SQSEvent{Records: records})
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func record(i int, group, body string) events.SQSMessage {
	return events.SQSMessage{MessageId: fmt.Sprint("m", i), Body: body, Attributes: map[string]string{"MessageGroupId": group}}
}

func TestUnchangedDomainCostsNeitherReadNorWrite(t *testing.T) {
	w := newWorld(t)
	w.dns.by["example-one.com"] = delegated("ns1.host.example")
	w.rdap.by["example-one.com"] = registered("active")
	w.ask(queue.Message{}, w.add("example-one.com"))
	if d := w.get("example-one.com"); d.State.Phase != lifecycle.Active || d.Action != lifecycle.None {
		t.Fatalf("baseline: %+v", d)
	}
	w.at = w.at.Add(24 * time.Hour)
	e := w.entry("example-one.com")
	w.count.gets, w.count.writes, w.rdap.asked = 0, 0, nil
	w.ask(queue.Message{}, e)
	if w.count.gets != 0 || w.count.writes != 0 || len(w.rdap.asked) != 0 {
		t.Errorf("%d reads, %d writes, RDAP asked about %v", w.count.gets, w.count.writes, w.rdap.asked)
	}
}

func TestALapseIsSeenThroughTheChainOfQuestions(t *testing.T) {
	w := newWorld(t)
	w.dns.by["example-one.com"] = delegated("ns1.host.example")
	w.rdap.by["example-one.com"] = registered("active")
	w.ask(queue.Message{}, w.add("example-one.com"))
	w.at = w.at.Add(24 * time.Hour)
	w.dns.by["example-one.com"] = gone()
	w.rdap.by["example-one.com"] = registered("redemption period", "pending delete")
	w.ask(queue.Message{Run: "20260303T030000Z"}, w.entry("example-one.com"))
	d := w.get("example-one.com")
	if d.State.Phase != lifecycle.Redemption || d.Action != lifecycle.Unverify || !d.Unsettled() {
		t.Fatalf("after the lapse: %+v", d)
	}
	names, _, err := w.Store.Due(t.Context(), 0, w.at.Add(time.Hour), "", 10)
	for shard := 1; err == nil && shard < store.Shards; shard++ {
		var more []string
		more, _, err = w.Store.Due(t.Context(), shard, w.at.Add(time.Hour), "", 10)
		names = append(names, more...)
	}
	if err != nil || !slices.Contains(names, "example-one.com") {
		t.Errorf("the applier does not find it: %v %v", names, err)
	}
	entries, err := w.book().History(t.Context(), "example-one.com", 10)
	if err != nil || len(entries) < 3 || entries[0].Evidence[0].Said != "redemption period, pending delete" {
		t.Errorf("history: %+v %v", entries, err)
	}
}

// TestHowLongALookIsRemembered: a first one at which all was well for a quarter, as the state says the same; what is news, for
// two years.
func TestHowLongALookIsRemembered(t *testing.T) {
	w := newWorld(t)
	at := lifecycle.At(w.at)
	well := records.NewDomain("a-one.com", at)
	well.State.Phase, well.Action = lifecycle.Active, lifecycle.None
	with := func(edit func(*records.Domain)) records.Domain { d := well; edit(&d); return d }
	zone := with(func(d *records.Domain) { d.State.Deleg, d.State.DelegAt = lifecycle.DelegationHome, at })
	both := zone
	both.State.Reg, both.State.RegAt = lifecycle.WordRegistered, at
	closed := both
	closed.State.Control.Since = at
	for name, tt := range map[string]struct {
		before, after records.Domain
		want          time.Duration
	}{
		"the zone, for the first time":     {with(func(*records.Domain) {}), zone, records.FirstTTL},
		"the registry, for the first time": {zone, both, records.FirstTTL},
		"first seen deleted":               {zone, func() records.Domain { d := both; d.State.Phase = lifecycle.Redemption; return d }(), records.HistoryTTL},
		"first seen parked":                {zone, func() records.Domain { d := both; d.Action = lifecycle.Watch; return d }(), records.HistoryTTL},
		"closed at once":                   {zone, closed, records.HistoryTTL},
		"other name servers":               {both, func() records.Domain { d := both; d.State.NS = "other"; return d }(), records.HistoryTTL},
		"other name servers, unregistered": {zone, func() records.Domain { d := zone; d.State.NS = "other"; return d }(), records.HistoryTTL},
	} {
		writes := w.writes(visit{before: tt.before, after: tt.after, obs: source.Observation{Source: source.SourceDelegation}})
		if len(writes) != 2 || !writes[1].Item.Expires.Equal(w.at.Add(tt.want)) {
			t.Errorf("%s: %d writes, kept until %s", name, len(writes), writes[len(writes)-1].Item.Expires)
		}
	}
}

func TestUnknownAnswersChangeNoPhase(t *testing.T) {
	w := newWorld(t)
	w.dns.by["example-one.com"] = delegated("ns1.host.example")
	w.rdap.by["example-one.com"] = registered("active")
	w.ask(queue.Message{}, w.add("example-one.com"))
	w.at = w.at.Add(24 * time.Hour)
	w.dns.by["example-one.com"] = source.Observation{Outcome: source.Unknown, Cause: source.CauseMalformed, Said: "rubbish"}
	delete(w.rdap.by, "example-one.com") // and the registry does not answer
	w.ask(queue.Message{}, w.entry("example-one.com"))
	d := w.get("example-one.com")
	if d.State.Phase != lifecycle.Active || d.Action == lifecycle.Unverify || d.NextLook != lifecycle.At(w.at.Add(lifecycle.RetryLook)) {
		t.Errorf("after rubbish: %+v", d)
	}
}

func TestAFailingUpstreamParksTheRest(t *testing.T) {
	w := newWorld(t)
	entries := []queue.Entry{w.quiet("a-one.com"), w.quiet("b-two.com"), w.quiet("c-three.com")}
	w.dns.by["a-one.com"] = delegated("ns1.host.example")
	m := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Run: "20260302T030000Z", Share: 1, Sent: w.at}, entries)
	if res := w.handle(m...); len(res.BatchItemFailures) != 0 || res.BatchItemFailures == nil {
		t.Fatalf("a failing upstream failed the message: %+v", res)
	}
	items, _, err := w.Store.Query(t.Context(), records.Parked("", 10))
	if err != nil || len(items) != 1 {
		t.Fatalf("%d parked, %v", len(items), err)
	}
	var parked queue.Message
	if err := json.Unmarshal(items[0].Data, &parked); err != nil || len(parked.Domains) != 2 {
		t.Fatalf("parked %+v %v", parked, err)
	}
	due, _, _ := strings.Cut(items[0].SK, "/")
	at, err := time.Parse(time.RFC3339, due)
	if err != nil {
		t.Fatal(err)
	}
	for when, want := range map[time.Time]int{at: 1, at.Add(-time.Second): 0} {
		if woken, _, err := w.Store.Query(t.Context(), records.Woken(when, 10)); err != nil || len(woken) != want {
			t.Errorf("%v %v: a parked message wakes the applier %d times at %s, want %d", woken, err, len(woken), when, want)
		}
	}
	tally, err := w.book().Balance(t.Context(), "20260302T030000Z")
	if err != nil || tally.Missing["delegation/com"] != 1 {
		t.Errorf("%+v %v: a run with parked domains is not complete", tally, err)
	}
	for _, name := range []string{"b-two.com", "c-three.com"} {
		w.dns.by[name] = delegated("ns1.host.example")
	}
	w.handle(parked)
	w.handle(w.out.messages...)
	if d := w.get("c-three.com"); d.State.Phase != lifecycle.Active {
		t.Errorf("asked again: %+v", d)
	}
}

// TestAMessageParkedWholeIsNotAnswered: the run waits for it, and the answer it gets in the end counts.
func TestAMessageParkedWholeIsNotAnswered(t *testing.T) {
	const run = "20260302T030000Z"
	w := newWorld(t)
	m := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Run: run, Share: 1, Sent: w.at}, []queue.Entry{w.quiet("a-one.com"), w.quiet("b-two.com")})
	for try := range 3 {
		w.handle(m...)
		tally, err := w.book().Balance(t.Context(), run)
		if err != nil || tally.Missing["delegation/com"] != 1 {
			t.Fatalf("after try %d: %+v %v: nobody answered", try, tally, err)
		}
		items, _, err := w.Store.Query(t.Context(), records.Parked("", 10))
		if err != nil || len(items) != 1 {
			t.Fatalf("%d parked, %v", len(items), err)
		}
		if err := json.Unmarshal(items[0].Data, &m[0]); err != nil {
			t.Fatal(err)
		}
		if err := w.Store.Write(t.Context(), store.Write{Item: items[0], Delete: true}); err != nil {
			t.Fatal(err)
		}
	}
	w.dns.by["a-one.com"], w.dns.by["b-two.com"] = delegated("ns1.host.example"), delegated("ns1.host.example")
	w.handle(m...)
	tally, err := w.book().Balance(t.Context(), run)
	if err != nil || len(tally.Missing) != 0 || tally.Good["delegation/com"] != 2 {
		t.Errorf("%+v %v: both were answered", tally, err)
	}
}

func TestAnUrgentDomainIsNotParkedForItsZone(t *testing.T) {
	w := newWorld(t)
	w.rdap.by["a-one.com"] = registered("redemption period")
	w.ask(queue.Message{}, w.add("a-one.com"), w.quiet("b-two.com")) // no zone's server answers
	if d := w.get("a-one.com"); d.State.Phase != lifecycle.Redemption || d.Action != lifecycle.Confirm {
		t.Errorf("the registry was not asked: %+v", d)
	}
	if d := w.get("b-two.com"); d.Action != "" {
		t.Errorf("b-two.com: %+v, want it parked", d)
	}
}

func TestAnUpstreamThatLostEverythingIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	var entries []queue.Entry
	names := []string{"a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com", "f-six.com"}
	for _, name := range names {
		w.dns.by[name] = delegated("ns1.host.example")
		w.rdap.by[name] = registered("active")
		entries = append(entries, w.add(name))
	}
	w.ask(queue.Message{}, entries...)
	w.at = w.at.Add(24 * time.Hour)
	entries = nil
	for _, name := range names {
		w.dns.by[name] = gone()
		entries = append(entries, w.entry(name))
	}
	w.rdap.asked = nil
	w.ask(queue.Message{Run: "20260303T030000Z"}, entries...)
	if d := w.get("a-one.com"); d.State.Deleg != lifecycle.DelegationHome || len(w.rdap.asked) != 0 {
		t.Errorf("believed a zone that lost all its names at once: %+v", d)
	}
	w.dns.by["f-six.com"] = delegated("ns1.host.example") // one of them still there: the zone is sound
	w.ask(queue.Message{Run: "20260303T030000Z"}, entries...)
	if d := w.get("a-one.com"); d.State.Deleg != lifecycle.DelegationGone {
		t.Errorf("not believed although the zone still has others: %+v", d)
	}
}

func TestFIFORulesForFailures(t *testing.T) {
	w := newWorld(t)
	w.DeadLetters = &grave{fail: errors.New("no room there")}
	w.dns.by["a-one.com"], w.dns.by["b-two.com"] = delegated("ns1.host.example"), delegated("ns1.host.example")
	good := func(name string) string {
		m := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: w.at}, []queue.Entry{w.add(name)})
		body, err := queue.Encode(m[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	off, err := queue.Encode(queue.Pack(queue.Message{Kind: queue.KindMail, Upstream: "resolver", Share: 1, Sent: w.at}, []queue.Entry{{Name: "c-three.com"}})[0])
	if err != nil {
		t.Fatal(err)
	}
	one := record(1, "g1", good("a-one.com"))
	res, err := w.Handle(t.Context(), events.SQSEvent{Records: []events.SQSMessage{
		record(0, "g1", `{"v":1}`), one, record(2, "g2", good("b-two.com")), record(3, "g1", string(off)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, f := range res.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	slices.Sort(failed)
	if !slices.Equal(failed, []string{"m0", "m3"}) {
		t.Errorf("failed %v, want what cannot be read and what has no source, and nothing else", failed)
	}
	if w.get("a-one.com").Action == "" || w.get("b-two.com").Action == "" {
		t.Error("a message behind or beside one that cannot be read was not answered")
	}
	// A failure that may pass stops its group: what is behind keeps its place.
	w.at = w.at.Add(24 * time.Hour)
	w.dns.by["d-four.com"], w.count.fail = delegated("ns1.host.example"), errors.New("throttled")
	if res := w.handleRecords(record(0, "g1", good("d-four.com")), one); len(res.BatchItemFailures) != 2 {
		t.Errorf("a store that fails gives back %+v, want the message and the one behind it", res.BatchItemFailures)
	}
}

func TestAStoreThatFailsGivesTheMessageBack(t *testing.T) {
	w := newWorld(t)
	w.dns.by["a-one.com"] = delegated("ns1.host.example")
	e := w.add("a-one.com")
	w.count.fail = errors.New("throttled")
	m := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: w.at}, []queue.Entry{e})
	if res := w.handle(m...); len(res.BatchItemFailures) != 1 {
		t.Errorf("%+v", res)
	}
}

func TestConflictIsJudgedAgainOnWhatIsStored(t *testing.T) {
	w := newWorld(t)
	w.dns.by["a-one.com"] = delegated("ns1.host.example")
	e := w.add("a-one.com")
	d := w.get("a-one.com")
	d.Addresses = 7 // the list changed while the message was under way
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	w.rdap.by["a-one.com"] = registered("active")
	w.ask(queue.Message{}, e)
	if d := w.get("a-one.com"); d.Addresses != 7 || d.State.Phase != lifecycle.Active {
		t.Errorf("after a conflict: %+v", d)
	}
}

func TestSupersededRunIsDropped(t *testing.T) {
	w := newWorld(t)
	w.dns.by["a-one.com"] = delegated("ns1.host.example")
	e := w.add("a-one.com")
	if err := w.Store.Write(t.Context(), records.PutCurrent("20260303T030000Z")); err != nil {
		t.Fatal(err)
	}
	w.ask(queue.Message{Run: "20260302T030000Z"}, e)
	if len(w.dns.asked) != 0 {
		t.Errorf("asked %v for a run that a newer one replaced", w.dns.asked)
	}
}

func TestADomainThatBreaksTheProgramIsRecordedAlone(t *testing.T) {
	w := newWorld(t)
	w.dns.by["a-one.com"], w.dns.by["b-two.com"] = delegated("ns1.host.example"), delegated("ns1.host.example")
	w.rdap.by["b-two.com"] = registered("active")
	bad := w.add("a-one.com")
	bad.Item = json.RawMessage(`{"v":"one"}`)
	w.ask(queue.Message{}, bad, w.add("b-two.com"))
	if _, err := w.Store.Get(t.Context(), store.Key{Table: store.Records, PK: records.PKBroken, SK: "a-one.com"}); err != nil {
		t.Errorf("not recorded: %v", err)
	}
	if w.get("b-two.com").State.Phase != lifecycle.Active {
		t.Error("the other domain suffered")
	}
}

func TestNoRDAPGoesToTheStatusAPI(t *testing.T) {
	w := newWorld(t)
	w.dns.by["a-one.me"] = gone()
	w.statusA.by["a-one.me"] = source.Observation{Outcome: source.Observed, Said: "undelegated inactive",
		Market: &source.Market{Tokens: []string{"undelegated", "inactive"}, Precise: true}}
	m := queue.Message{Kind: queue.KindDelegation, Upstream: "me"}
	w.ask(m, w.add("a-one.me"))
	if d := w.get("a-one.me"); d.Action != lifecycle.Confirm {
		t.Fatalf("once: %+v", d)
	}
	w.at = w.at.Add(lifecycle.SecondLook)
	m.Look = true
	w.ask(m, w.entry("a-one.me"))
	if d := w.get("a-one.me"); d.Action != lifecycle.Unverify || d.State.Phase != lifecycle.Released {
		t.Errorf("twice: %+v", d)
	}
}

func TestOneByOneLeavesAFailingUpstreamAlone(t *testing.T) {
	asked := 0
	a := &OneByOne{Source: source.SourceRDAP, Rate: 1e6, AtOnce: 1, Patience: 3, Now: time.Now,
		Lookup: func(context.Context, string, string) source.Observation {
			asked++
			return source.Observation{Source: source.SourceRDAP, Outcome: source.Unknown, Cause: source.CauseServerError}
		}}
	obs := a.Ask(t.Context(), queue.Message{Kind: queue.KindRDAP, Share: 1, Domains: make([]queue.Entry, 10)})
	if asked != 3 || obs[9].Cause != source.CauseNotAsked {
		t.Errorf("asked %d times, last %+v", asked, obs[9])
	}
}

func TestEnvironmentListsEverythingWrong(t *testing.T) {
	_, err := ParseEnvironment([]string{"LAPSEGUARD_GRACE_ACTION=maybe", "LAPSEGUARD_RDAP_RATE=-1", "LAPSEGUARD_STATUS_API=whois", "LAPSEGUARD_OWN_SERVERS=perhaps"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"LAPSEGUARD_TABLE_DOMAINS", "LAPSEGUARD_CONTACT", `"maybe"`, "LAPSEGUARD_RDAP_RATE is -1", `"whois"`, `"perhaps"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}
