package fanout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// observed gives the world a store that counts calls, metrics and a log to look at.
func (w *world) observed() (calls *faulty, stats, log *bytes.Buffer) {
	calls, stats, log = &faulty{Store: w.Store}, &bytes.Buffer{}, &bytes.Buffer{}
	w.Store = calls
	w.Metrics = telemetry.NewMetrics(stats, w.Now, slog.New(slog.DiscardHandler))
	w.Log = slog.New(slog.NewJSONHandler(log, nil))
	return calls, stats, log
}

func (w *world) run(t *testing.T) records.Run {
	t.Helper()
	r, err := w.book().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.V
}

func (w *world) invoke(t *testing.T, action string) Result {
	t.Helper()
	res, err := w.Handle(t.Context(), Event{Action: action})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestAnotherRunBeginsAfterAnHour, and not before; a resume never begins one.
func TestAnotherRunBeginsAfterAnHour(t *testing.T) {
	w := newWorld(t)
	w.Segments = 0 // one at least
	w.list.set("example-one.com", 1, long)
	_, stats, _ := w.observed()
	first := w.day(t)
	if r := w.run(t); r.ID != "20260303T030000Z" || r.Segments != 1 || !r.Sync.Done || !r.Sync.Believed || !r.Sent || first.Run != r.ID || first.Changed != 1 {
		t.Errorf("%+v %+v", r, first)
	}
	if strings.Contains(stats.String(), "ListFailing") || !strings.Contains(stats.String(), `"DomainsDue":1`) {
		t.Errorf("after a list that is believed: %s", stats)
	}
	stats.Reset()
	w.clock.advance(59*time.Minute + 59*time.Second)
	if again := w.invoke(t, "run"); again.Run != first.Run || !again.Finished || stats.Len() > 0 || len(w.out.messages) != 1 {
		t.Errorf("within the hour: %+v, %d messages, measured %s", again, len(w.out.messages), stats)
	}
	w.clock.advance(time.Second)
	if res, err := w.work(t.Context(), Event{Action: "resume"}); err != nil || res.Run != first.Run || !res.Finished {
		t.Errorf("a resume that comes as another invocation finishes: %+v %v", res, err)
	}
	if next := w.invoke(t, "run"); next.Run == first.Run || !next.Finished {
		t.Errorf("an hour later: %+v", next)
	}
}

// TestAResumeWithNothingToDoCostsOneRead.
func TestAResumeWithNothingToDoCostsOneRead(t *testing.T) {
	w := newWorld(t)
	calls, _, _ := w.observed()
	if res := w.invoke(t, "resume"); !res.Finished || res.Run != "" || calls.n != 1 {
		t.Errorf("before the first run: %+v, %d calls", res, calls.n)
	}
	first := w.day(t)
	calls.n = 0
	if res := w.invoke(t, "resume"); !res.Finished || res.Run != first.Run || calls.n != 1 {
		t.Errorf("after a run: %+v, %d calls", res, calls.n)
	}
	calls.n, calls.at = 0, 1
	if _, err := w.Handle(t.Context(), Event{Action: "resume"}); !errors.Is(err, errThrottled) {
		t.Errorf("a run that cannot be read counts as finished: %v", err)
	}
}

// TestOneInvocationAtATime, for as long as one may last; who finds another at work goes, and that is no error.
func TestOneInvocationAtATime(t *testing.T) {
	w := newWorld(t)
	w.list.set("example-one.com", 1, long)
	_, _, log := w.observed()
	if _, err := w.book().TakeLease(t.Context(), "fanout", w.Now(), leaseTime(t.Context())); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(15*time.Minute - time.Second)
	if res := w.invoke(t, "run"); res.Run != "" || len(w.out.messages) != 0 || !strings.Contains(log.String(), "fanout_busy") {
		t.Errorf("beside another one: %+v, %d messages, the log says %s", res, len(w.out.messages), log)
	}
	w.clock.advance(time.Second)
	if res := w.invoke(t, "run"); !res.Finished {
		t.Errorf("after it: %+v", res)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if d := leaseTime(ctx); d > time.Hour || d < 59*time.Minute {
		t.Errorf("an invocation with an hour left takes a lease of %v", d)
	}
}

// TestTheNextInvocationGoesOnAtEachStep.
func TestTheNextInvocationGoesOnAtEachStep(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
	}
	w.list.pageSize = 10
	w.Margin = time.Hour
	w.clock.advance(24 * time.Hour)
	late := func() Result {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		res, err := w.Handle(ctx, Event{Action: "run"})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := late(); res.Finished || len(w.list.calls) != 0 {
		t.Errorf("no time for a page: %+v, the list was asked for %d times", res, len(w.list.calls))
	}
	run, err := w.book().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for !run.V.Sync.Listing { // as steps does
		if err := w.syncPage(t.Context(), &run.V); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Store.Write(t.Context(), run.Put()); err != nil {
		t.Fatal(err)
	}
	if res := late(); res.Finished || len(w.out.messages) != 0 || !w.run(t).Sync.Done {
		t.Errorf("no time for a segment: %+v, %d messages", res, len(w.out.messages))
	}
	calls := len(w.list.calls)
	if res := w.invoke(t, "resume"); !res.Finished || res.Watched != 30 || len(w.list.calls) != calls {
		t.Errorf("resumed: %+v, the list was asked for %d times more", res, len(w.list.calls)-calls)
	}
}

// TestNewSyncChoosesTheList: whole at first, on an operator's word for two days, and once a week.
func TestNewSyncChoosesTheList(t *testing.T) {
	now := time.Date(2026, 3, 10, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) lifecycle.Instant { return lifecycle.At(now.Add(-d)) }
	const day = 24 * time.Hour
	if s := newSync(records.Synced{WholeAt: ago(day), AsOf: ago(day)}, now); !s.Whole || s.Since != 0 {
		t.Errorf("addresses were not counted yet: %+v", s)
	}
	for name, tt := range map[string]struct {
		last            records.Synced
		whole, accepted bool
	}{
		"the first":                    {records.Synced{}, true, false},
		"yesterday":                    {records.Synced{WholeAt: ago(day), AsOf: ago(day)}, false, false},
		"this very second":             {records.Synced{WholeAt: ago(0), AsOf: ago(0)}, false, false},
		"almost a week":                {records.Synced{WholeAt: ago(7*day - 4*time.Hour - time.Minute), AsOf: ago(day)}, false, false},
		"a week, less what runs vary":  {records.Synced{WholeAt: ago(7*day - 4*time.Hour), AsOf: ago(day)}, true, false},
		"accepted two days ago":        {records.Synced{WholeAt: ago(day), AsOf: ago(day), Accepted: ago(2 * day)}, true, true},
		"accepted longer ago":          {records.Synced{WholeAt: ago(day), AsOf: ago(day), Accepted: ago(2*day + time.Minute)}, false, false},
		"accepted, and nothing before": {records.Synced{Accepted: ago(time.Hour)}, true, true},
	} {
		tt.last.Hosts, tt.last.Counted = 7, true
		s := newSync(tt.last, now)
		if s.Whole != tt.whole || s.Accepted != tt.accepted || s.Known != 7 || (s.Since == 0) != tt.whole || !tt.whole && s.Since != tt.last.AsOf {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestLargeZonesHaveSeveralGroups, which share the zone's budget; every message is noted with its upstream.
func TestLargeZonesHaveSeveralGroups(t *testing.T) {
	w := newWorld(t)
	w.Segments = 1
	for i := range 1700 {
		w.list.set(fmt.Sprintf("example-%04d.com", i), 1, long)
	}
	for i := range 10 {
		w.list.set(fmt.Sprintf("example-%04d.net", i), 1, long)
		w.list.set(fmt.Sprintf("example-%04d.de", i), 1, long)
	}
	calls := &pages{Sender: w.out}
	w.Queue = calls
	w.day(t)
	if w.list.limit != 10_000 {
		t.Errorf("asks for %d hosts a page, the API gives 10,000", w.list.limit)
	}
	groups, sizes := map[string]float64{}, map[string][]int{}
	for _, m := range w.out.messages {
		groups[m.Group] = m.Share
		sizes[m.Upstream] = append(sizes[m.Upstream], len(m.Domains))
	}
	for group, share := range groups {
		want := map[string]float64{"com": 0.1, "net": 0.25, "de": 1}[strings.Split(group, "/")[1]]
		if share != want {
			t.Errorf("%s has share %v, want %v", group, share, want)
		}
	}
	var com []string
	for g := range groups {
		if strings.HasPrefix(g, "delegation/com/") {
			com = append(com, g)
		}
	}
	if len(com) != 10 || groups["delegation/de"] != 1 || len(groups) != 12 {
		t.Errorf("groups %v", slices.Sorted(maps.Keys(groups)))
	}
	if n := len(sizes["com"]); n != 12 || slices.Max(sizes["com"]) != 150 || len(sizes["de"]) != 1 || len(sizes["net"]) != 1 {
		t.Errorf("messages to com %v, de %v, net %v", sizes["com"], sizes["de"], sizes["net"])
	}
	if !slices.Equal(calls.sent, []int{10, 4}) {
		t.Errorf("sent in requests of %v messages, want ten as soon as there are ten", calls.sent)
	}
	tally, err := w.book().Balance(t.Context(), w.run(t).ID)
	if err != nil || tally.Missing["delegation/com"] != 12 || tally.Missing["delegation/de"] != 1 || tally.Missing["delegation/net"] != 1 {
		t.Errorf("%+v %v: the run waits for what it sent", tally, err)
	}
	calls.fail = 1
	w.clock.advance(24 * time.Hour)
	if _, err := w.Handle(t.Context(), Event{Action: "run"}); !errors.Is(err, errDown) || w.run(t).Sent {
		t.Errorf("the first request failed: %v", err)
	}
}

// TestWhatRaisesQuestionsIsSentTogether: the domains whose MX or registry is due; the others' messages raise none.
func TestWhatRaisesQuestionsIsSentTogether(t *testing.T) {
	w := newWorld(t)
	w.Segments, w.BaselineDays = 1, 60
	for i := range 2000 {
		w.list.set(fmt.Sprintf("example-%04d.com", i), 1, long)
	}
	w.day(t)
	began, full := w.run(t).Started, map[bool]int{}
	for _, m := range w.out.messages {
		raises := map[bool]int{}
		for _, e := range m.Domains {
			d, err := records.ParseDomain(store.Item{Key: store.Key{PK: e.Name}, Data: e.Item})
			if err != nil {
				t.Fatal(err)
			}
			raises[lifecycle.Raises(d.Name, d.State, began)]++
		}
		if len(raises) != 1 {
			t.Errorf("a message of %d domains: %v", len(m.Domains), raises)
		}
		if len(m.Domains) == queue.MaxDelegation {
			full[raises[true] > 0]++
		}
	}
	if n := len(w.out.domains()); n != 2000 || full[true] < 1 || full[false] < 9 {
		t.Errorf("%d domains, full messages %v", n, full)
	}
}

// TestAListThatDoesNotComeIsGivenUp twenty hours after its run began, before the next one's time.
func TestAListThatDoesNotComeIsGivenUp(t *testing.T) {
	w := newWorld(t)
	for since, over := range map[time.Duration]bool{0: false, 20*time.Hour - time.Second: false, 20 * time.Hour: true} {
		run := records.Run{ID: "x", Started: lifecycle.At(w.clock.at.Add(-since)), Sent: true, Sync: records.Sync{Behind: true}}
		if got := w.over(run); got != over {
			t.Errorf("after %s: over %t", since, got)
		}
		if run.Sent = false; w.over(run) {
			t.Errorf("after %s: over before it was dispatched", since)
		}
	}
}

// TestWhatIsSentIsNotHeldBack: a stretch goes on, and costs one write, while its messages are full and leave.
func TestWhatIsSentIsNotHeldBack(t *testing.T) {
	w := newWorld(t)
	w.Store = large{w.Store, maxBuffered + scanPage}
	run := records.Run{ID: "20260302T030000Z", Segments: 1}
	if err := w.dispatch(t.Context(), &run); err != nil || run.Watched != maxBuffered+scanPage || len(w.out.domains()) != run.Watched {
		t.Fatalf("%+v, %d sent: %v", run, len(w.out.domains()), err)
	}
	if seg, err := w.book().Segment(t.Context(), run.ID, 0); err != nil || seg.V.Part != 1 {
		t.Errorf("the place was noted %d times: %v", seg.V.Part, err)
	}
}

// large is a table of so many domains of one zone.
type large struct {
	store.Store
	domains int
}

func (l large) Scan(_ context.Context, _, _ int, cursor string, limit int) (items []store.Item, next string, err error) {
	from, _ := strconv.Atoi(cursor)
	for n := from; n < min(from+limit, l.domains); n++ {
		d := records.NewDomain(fmt.Sprintf("d-%05d.com", n), 0)
		d.Listed = true
		items = append(items, d.Put().Item)
	}
	if from+limit < l.domains {
		next = strconv.Itoa(from + limit)
	}
	return items, next, nil
}

// pages counts messages by call.
type pages struct {
	queue.Sender
	sent []int
	fail int
}

func (p *pages) Send(ctx context.Context, m []queue.Message) ([]queue.Message, error) {
	if p.fail--; p.fail == 0 {
		return m, errDown
	}
	p.sent = append(p.sent, len(m))
	return p.Sender.Send(ctx, m)
}

// TestManyThatLeftAreMarkedInRounds: what a round holds must not follow the list.
func TestManyThatLeftAreMarkedInRounds(t *testing.T) {
	w := newWorld(t)
	for i := range 2100 {
		w.list.set(fmt.Sprintf("example-%04d.com", i), 1, long)
	}
	w.day(t)
	for i := range 2050 {
		delete(w.list.hosts, fmt.Sprintf("example-%04d.com", i))
	}
	synced, err := w.book().Synced(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	synced.V.Accepted = lifecycle.At(w.clock.at)
	if err := w.Store.Write(t.Context(), synced.Put()); err != nil {
		t.Fatal(err)
	}
	rounds := &sized{Store: w.Store}
	w.Store = rounds
	w.day(t)
	if !w.run(t).Sync.Believed || len(w.out.domains()) != 50 {
		t.Errorf("%+v, %d domains are asked about", w.run(t).Sync, len(w.out.domains()))
	}
	slices.Sort(rounds.groups)
	if !slices.Equal(rounds.groups, []int{50, 1000, 1000, 2050}) { // 2050: that they left is noted, a page at a time
		t.Errorf("rounds of %v domains", rounds.groups)
	}
}

type sized struct {
	store.Store
	groups []int
}

func (s *sized) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	if len(groups) > 0 {
		s.groups = append(s.groups, len(groups))
	}
	return s.Store.WriteEach(ctx, groups)
}

// TestAHostsChangeInItsDomainsSums.
func TestAHostsChangeInItsDomainsSums(t *testing.T) {
	w := newWorld(t)
	old, young := long.AddDate(-1, 0, 0), long.AddDate(1, 0, 0)
	w.list.set("a.example-one.com", 2, long)
	w.day(t)
	check := func(what string, listed bool, hosts, addresses int, oldest, newest time.Time) {
		t.Helper()
		d := w.domain(t, "example-one.com")
		if d.Listed != listed || d.Hosts != hosts || d.Addresses != addresses || d.Oldest != lifecycle.At(oldest) || d.Newest != lifecycle.At(newest) {
			t.Errorf("%s: %t %d %d %v %v", what, d.Listed, d.Hosts, d.Addresses, d.Oldest, d.Newest)
		}
	}
	check("one host", true, 1, 2, long, long)
	w.list.set("a.example-one.com", 5, young)
	w.day(t)
	check("a single host gives its own times", true, 1, 5, young, young)
	w.list.set("b.example-one.com", 1, old)
	w.day(t)
	check("an older one beside it", true, 2, 6, old, young)
	w.list.set("b.example-one.com", 3, young)
	w.day(t)
	check("among several the times only widen", true, 2, 8, old, young)
	w.list.set("b.example-one.com", 3, time.Time{})
	w.day(t)
	check("an unknown time is the oldest", true, 2, 8, time.Time{}, young)
	d := w.domain(t, "example-one.com")
	d.Hosts, d.Listed, d.MailHost, d.State.NS = 0, false, true, "noted while it was watched for others"
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	w.list.set("c.example-one.com", 1, long)
	w.day(t)
	if d := w.domain(t, "example-one.com"); d.State.NS != "" || !d.Listed {
		t.Errorf("listed from now on: %+v", d)
	}
	d = w.domain(t, "example-one.com")
	d.State.NS = "noted since"
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	w.list.set("d.example-one.com", 1, long)
	w.day(t)
	if d := w.domain(t, "example-one.com"); d.State.NS != "noted since" {
		t.Errorf("listed all along: %q", d.State.NS)
	}
}

// TestHostsThatCannotBeWatchedAreCounted, of a whole list and of changes, and named up to fifty a page.
func TestHostsThatCannotBeWatchedAreCounted(t *testing.T) {
	w := newWorld(t)
	_, stats, log := w.observed()
	for i := range 100 {
		w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
	}
	for i := range 52 {
		w.list.set(fmt.Sprintf("shop-%02d.uk.com", i), 1, long)
	}
	w.list.set("[192.0.2.1]", 1, long) // nobody's to lose
	w.day(t)
	if n := strings.Count(log.String(), `"host_not_covered"`); n != 50 || !strings.Contains(log.String(), `"hosts_not_covered","count":52,"named":50`) {
		t.Errorf("%d hosts are named: %s", n, log)
	}
	counted := func(want int) {
		t.Helper()
		synced, err := w.book().Synced(t.Context())
		if err != nil || synced.V.Uncovered != want || !strings.Contains(stats.String(), fmt.Sprintf(`"HostsNotCovered":%d,`, want)) {
			t.Errorf("%+v %v, measured %s; want %d", synced.V, err, stats, want)
		}
		stats.Reset()
	}
	counted(52)
	log.Reset()
	w.list.set("shop-00.uk.com", 0, time.Time{}) // of a list of changes: one left, one changed, one is new
	w.list.set("shop-01.uk.com", 4, long)
	w.list.set("shop-new.uk.com", 1, long)
	w.day(t)
	counted(52)
	if n := strings.Count(log.String(), `"host_not_covered"`); n != 2 || strings.Contains(log.String(), "hosts_not_covered") {
		t.Errorf("%d hosts are named: %s", n, log)
	}
	w.clock.advance(8 * 24 * time.Hour)
	w.day(t)
	counted(52)
}
