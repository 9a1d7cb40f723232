package checker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

func silence(c source.Cause) source.Observation {
	return source.Observation{Outcome: source.Unknown, Cause: c, Said: string(c)}
}

// TestParkedForLongerEachTime: half an hour, doubled three times; an upstream that says for how long is heard.
func TestParkedForLongerEachTime(t *testing.T) {
	w := newWorld(t)
	for tries, want := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 4 * time.Hour, 4 * time.Hour} {
		rest := queue.Pack(queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Share: 1, Sent: w.at, Tries: tries}, []queue.Entry{{Name: fmt.Sprintf("a-%d.com", tries)}})[0]
		for asked, want := range map[time.Duration]time.Duration{0: want, time.Minute: want, 9 * time.Hour: 9 * time.Hour} {
			m, err := w.park(t.Context(), rest, asked)
			if err != nil || m.Tries != tries+1 || m.ID == rest.ID {
				t.Errorf("%+v %v", m, err)
			}
			if _, err := w.Store.Get(t.Context(), store.Key{Table: store.Records, PK: records.PKParked, SK: records.ParkedSK(w.at.Add(want), m.ID)}); err != nil {
				t.Errorf("after %d tries, asked to wait %v: not parked for %v: %v", tries, asked, want, err)
			}
		}
	}
	w.Park = time.Minute
	w.rdap.by["a-one.com"] = silence(source.CauseRateLimited)
	busy := w.rdap.by["a-one.com"]
	busy.RetryAfter = 7 * time.Hour
	w.rdap.by["a-one.com"] = busy
	w.handle(queue.Pack(queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Share: 1, Sent: w.at}, []queue.Entry{w.add("a-one.com")})...)
	woken, _, err := w.Store.Query(t.Context(), records.Woken(w.at.Add(7*time.Hour), 100))
	early, _, err2 := w.Store.Query(t.Context(), records.Woken(w.at.Add(7*time.Hour-time.Second), 100))
	if err != nil || err2 != nil || len(woken) != len(early)+1 {
		t.Errorf("Retry-After was not heard: %d and %d, %v %v", len(early), len(woken), err, err2)
	}
}

// TestWhatIsParked, of four answers: a failing upstream's rest, but no lone failure, and no second look.
func TestWhatIsParked(t *testing.T) {
	ok, timeout, noise := registered("active"), silence(source.CauseTimeout), silence(source.CauseMalformed)
	for name, tt := range map[string]struct {
		obs    []source.Observation
		urgent bool
		want   int
	}{
		"one of four fails":                          {[]source.Observation{ok, timeout, ok, ok}, false, 0},
		"two of four fail":                           {[]source.Observation{ok, timeout, timeout, ok}, false, 2},
		"all fail":                                   {[]source.Observation{timeout, timeout, timeout, timeout}, false, 4},
		"all fail, and the registry is due":          {[]source.Observation{timeout, timeout, timeout, timeout}, true, 0},
		"their own trouble":                          {[]source.Observation{noise, noise, noise, noise}, false, 0},
		"one was not asked":                          {[]source.Observation{ok, ok, ok, silence(source.CauseNotAsked)}, false, 1},
		"one was refused as too many":                {[]source.Observation{ok, silence(source.CauseRateLimited), ok, ok}, false, 1},
		"one is not believed":                        {[]source.Observation{ok, ok, silence(source.CauseNotBelieved), ok}, false, 1},
		"two fail, one has trouble of its own, a ok": {[]source.Observation{timeout, timeout, noise, ok}, false, 2},
	} {
		m := queue.Message{Kind: queue.KindRDAP, ID: "x", Tries: 2}
		for i := range tt.obs {
			m.Domains = append(m.Domains, queue.Entry{Name: fmt.Sprintf("%d.com", i)})
		}
		answered, rest, _ := split(m, tt.obs, func(int) bool { return tt.urgent })
		if len(rest.Domains) != tt.want || len(answered) != 4-tt.want || rest.Tries != 2 {
			t.Errorf("%s: %d parked, %d answered, want %d parked", name, len(rest.Domains), len(answered), tt.want)
		}
		for _, a := range answered {
			if a.obs.Said != tt.obs[a.place].Said || slices.ContainsFunc(rest.Domains, func(e queue.Entry) bool { return e.Name == m.Domains[a.place].Name }) {
				t.Errorf("%s: the answer at %d is another's, or parked too", name, a.place)
			}
		}
	}
	w := newWorld(t)
	log := w.logged()
	look := queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Look: true, Share: 1, Sent: w.at}
	w.rdap.by["a-one.com"] = silence(source.CauseNotAsked)
	w.handle(queue.Pack(look, []queue.Entry{w.add("a-one.com")})...)
	if len(w.parked()) != 0 || !strings.Contains(log.String(), `"unasked":1`) {
		t.Errorf("a second look is parked: %v, %s", w.parked(), log)
	}
}

// TestUpstreamsFaultOrTheDomains.
func TestUpstreamsFaultOrTheDomains(t *testing.T) {
	for c, want := range map[source.Cause]bool{
		source.CauseTimeout: true, source.CauseUnreachable: true, source.CauseRateLimited: true, source.CauseForbidden: true, source.CauseServerError: true,
		source.CauseServfail: true, source.CauseRefused: true, source.CauseNotAsked: true, source.CauseLame: true, source.CauseNotBelieved: true,
		source.CauseMalformed: false, source.CauseHTML: false, source.CauseNotRDAP: false, source.CauseEmptyBody: false,
	} {
		if got := upstreamFault(c); got != want {
			t.Errorf("%s: %t", c, got)
		}
	}
}

// TestUrgent: a second look always, else what the registry is due to be asked about, or what is in trouble.
func TestUrgent(t *testing.T) {
	w := newWorld(t)
	due, quiet, trouble := w.add("due.com"), w.quiet("quiet.com"), w.quiet("trouble.com")
	d := w.get("trouble.com")
	d.State.Phase, d.State.LapseAt = lifecycle.Redemption, lifecycle.At(w.at)
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	trouble = w.entry(trouble.Name)
	ask := func(m queue.Message) (got []bool) {
		m.Domains = []queue.Entry{due, quiet, trouble, {Name: "due.com"}}
		w.count.gets = 0
		for i := range m.Domains {
			got = append(got, w.urgent(t.Context(), m, newSubjects(w.Store, m.Domains), i))
		}
		return got
	}
	if got := ask(queue.Message{Kind: queue.KindDelegation}); !slices.Equal(got, []bool{true, false, true, false}) || w.count.gets != 0 {
		t.Errorf("%v, %d reads", got, w.count.gets)
	}
	if got := ask(queue.Message{Kind: queue.KindDelegation, Look: true}); slices.Contains(got, false) {
		t.Errorf("a second look: %v", got)
	}
	if got := ask(queue.Message{Kind: queue.KindRDAP, Look: true}); slices.Contains(got, true) {
		t.Errorf("the registry itself: %v", got)
	}
	if got := ask(queue.Message{Kind: queue.KindRDAP}); slices.Contains(got, true) {
		t.Errorf("the registry itself: %v", got)
	}
}

// hasty asks until its context ends.
type hasty struct{ left time.Duration }

func (h *hasty) Ask(ctx context.Context, m queue.Message) []source.Observation {
	if d, ok := ctx.Deadline(); ok {
		h.left = time.Until(d)
	}
	return []source.Observation{gone()}
}

// TestTimeIsLeftForWritingDown, and an answer that was cut off is none.
func TestTimeIsLeftForWritingDown(t *testing.T) {
	w := newWorld(t)
	w.Margin = 30 * time.Minute
	up := &hasty{}
	w.Ask[queue.KindDelegation] = up
	m := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: w.at}, []queue.Entry{w.quiet("a-one.com")})[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := w.message(ctx, "", m); err != nil || up.left > 30*time.Minute || up.left < 29*time.Minute {
		t.Errorf("%v left for asking, of an hour: %v", up.left, err)
	}
	if err := w.message(t.Context(), "", m); err != nil {
		t.Errorf("without a deadline: %v", err)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	log := w.logged()
	if err := w.message(ended, "", m); !errors.Is(err, context.Canceled) || !strings.Contains(log.String(), `"level":"ERROR"`) || !strings.Contains(log.String(), "cut off") {
		t.Errorf("cut off: %v, the log says %s", err, log)
	}
}

// TestAMessageIsToldInOneEvent.
func TestAMessageIsToldInOneEvent(t *testing.T) {
	w, _, out, m := faultyWorld(t)
	log := w.logged()
	w.Queue = out
	w.handle(m[0])
	var e struct {
		Level, Kind, Upstream, Run                                                            string
		Domains, Checked, Unknown, Changed, Parked, Raised, Dropped, Unasked, Broken, Skipped int
		Causes                                                                                map[string]int
	}
	line := log.String()
	for l := range strings.Lines(line) {
		if strings.Contains(l, "message_answered") {
			line = l
		}
	}
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatal(err)
	}
	if e.Level != "INFO" || e.Kind != "delegation" || e.Upstream != "com" || e.Run != faultyRun || e.Domains != 5 || e.Checked != 4 || e.Unknown != 0 || e.Changed != 2 ||
		e.Parked != 1 || e.Raised != 3 || e.Dropped+e.Unasked+e.Broken+e.Skipped+len(e.Causes) != 0 {
		t.Errorf("%+v", e)
	}
	log.Reset()
	w.dns.by["d-four.com"] = silence(source.CauseMalformed)
	m[0].Domains = m[0].Domains[3:4]
	w.handle(m[0])
	if s := log.String(); !strings.Contains(s, `"checked":1,"unknown":1`) || !strings.Contains(s, `"causes":{"malformed":1}`) {
		t.Errorf("an unknown: %s", s)
	}
	log.Reset()
	if err := w.message(t.Context(), "20260304T030000Z", m[0]); err != nil || !strings.Contains(log.String(), `"dropped":1`) {
		t.Errorf("of a superseded run: %v, %s", err, log)
	}
	if err := w.message(t.Context(), faultyRun, m[0]); err != nil || strings.Count(log.String(), `"dropped":1`) != 1 {
		t.Errorf("of the present run: %v, %s", err, log)
	}
}

// TestALookHasNoMarker: no run waits for it.
func TestALookHasNoMarker(t *testing.T) {
	w := newWorld(t)
	w.dns.by["a-one.com"] = delegated("ns1.host.example")
	w.ask(queue.Message{}, w.quiet("a-one.com"))
	items, _, err := w.Store.Query(t.Context(), store.Query{PK: records.RunPK(""), Limit: 10})
	if err != nil || len(items) != 0 {
		t.Errorf("%+v %v", items, err)
	}
}

// TestWhoLeftTheTableStopsNobody behind it in its message.
func TestWhoLeftTheTableStopsNobody(t *testing.T) {
	w := newWorld(t)
	log := w.logged()
	w.dns.by["a-left.com"], w.dns.by["b-two.com"] = delegated("ns1.host.example"), delegated("ns1.host.example")
	w.quiet("b-two.com")
	w.ask(queue.Message{}, queue.Entry{Name: "a-left.com"}, queue.Entry{Name: "b-two.com"})
	if w.get("b-two.com").State.DelegAt == 0 || !strings.Contains(log.String(), `"broken":0`) {
		t.Errorf("%+v, the log says %s", w.get("b-two.com"), log)
	}
}

// TestFactsOfADomain: whose word counts for its TLD, and since when an address may be verified.
func TestFactsOfADomain(t *testing.T) {
	w := newWorld(t)
	w.GraceUnverify = true
	for name, want := range map[string]lifecycle.Authority{
		"a.com": lifecycle.AuthorityIANA, "a.de": lifecycle.AuthoritySupplemental, "a.me": lifecycle.AuthorityNone,
	} {
		n, reason := domain.Parse(name)
		if reason != "" {
			t.Fatal(reason)
		}
		d := records.NewDomain(name, 0)
		d.Listed, d.Oldest, d.State.First = true, 7, 9
		f := w.facts(n, d)
		if f.Authority != want || f.Oldest != 7 || !f.GraceUnverify || f.TLD != lifecycle.TLDOf(n.Suffix) {
			t.Errorf("%s: %+v", name, f)
		}
		d.Listed = false
		if f := w.facts(n, d); f.Oldest != 9 {
			t.Errorf("%s, a mail host: %+v", name, f)
		}
	}
	dead := brokenDirectory{}
	w.Servers = dead
	if f := w.facts(domain.Name{Registrable: "a.com", Suffix: "com"}, records.Domain{}); f.Authority != lifecycle.AuthorityNone {
		t.Errorf("without a server: %+v", f)
	}
}

// brokenDirectory knows no server, and would call it authoritative.
type brokenDirectory struct{}

func (brokenDirectory) Server(string) (string, bool, bool) { return "", true, false }

// TestWhatAVerdictCarriesOn: a look in which nothing was learned takes back nothing that was decided on evidence.
func TestWhatAVerdictCarriesOn(t *testing.T) {
	w := newWorld(t)
	now := lifecycle.At(w.at)
	decided := func(action lifecycle.Action, c lifecycle.Confidence, regAt lifecycle.Instant) records.Domain {
		d := records.NewDomain("a-one.com", 0)
		d.Listed, d.Action, d.Confidence, d.Reason, d.State.RegAt = true, action, c, lifecycle.ReasonDeleted, regAt
		return d
	}
	day := lifecycle.Instant(24 * 60 * 60)
	for name, tt := range map[string]struct {
		before records.Domain
		keeps  bool
	}{
		"an unverify":                        {decided(lifecycle.Unverify, lifecycle.Low, 0), true},
		"a hold":                             {decided(lifecycle.Hold, lifecycle.Low, 0), true},
		"medium, within a day":               {decided(lifecycle.Confirm, lifecycle.Medium, now-day), true},
		"high, within a day":                 {decided(lifecycle.Confirm, lifecycle.High, now-day), true},
		"low, within a day":                  {decided(lifecycle.Confirm, lifecycle.Low, now-day), false},
		"high, longer ago":                   {decided(lifecycle.Confirm, lifecycle.High, now-day-1), false},
		"high, and the registry never asked": {decided(lifecycle.Confirm, lifecycle.High, 0), false},
	} {
		v := visit{before: tt.before, after: tt.before, verdict: lifecycle.Verdict{Action: lifecycle.None, Confidence: lifecycle.NoConfidence, Reason: lifecycle.ReasonDelegated, Next: now + 60}}
		w.carryVerdict(&v, now)
		if kept := v.after.Reason == lifecycle.ReasonDeleted; kept != tt.keeps || v.after.NextLook != now+60 {
			t.Errorf("%s: kept %t, next look %v", name, kept, v.after.NextLook)
		}
		v.verdict.Confidence = lifecycle.Low
		w.carryVerdict(&v, now)
		if v.after.Reason != lifecycle.ReasonDelegated {
			t.Errorf("%s: what was learned is not carried", name)
		}
	}
	for before, want := range map[lifecycle.Instant]lifecycle.Instant{0: now + 60, now - 1: now + 60, now: now + 60, now + 1: now + 1, now + 90: now + 60} {
		v := visit{before: records.Domain{NextLook: before}, verdict: lifecycle.Verdict{Next: now + 60, Confidence: lifecycle.High}}
		if w.carryVerdict(&v, now); v.after.NextLook != want {
			t.Errorf("a look at %v stood, the next one is %v, want %v", before-now, v.after.NextLook-now, want-now)
		}
	}
	v := visit{before: records.Domain{NextLook: now + 9}, verdict: lifecycle.Verdict{Confidence: lifecycle.High}}
	if w.carryVerdict(&v, now); v.after.NextLook != 0 {
		t.Errorf("nothing is to be looked at, and a look stands at %v", v.after.NextLook)
	}
	for _, host := range []struct {
		mail, listed bool
		want         lifecycle.Action
	}{{true, false, lifecycle.Hold}, {true, true, lifecycle.Unverify}, {false, true, lifecycle.Unverify}} {
		v := visit{verdict: lifecycle.Verdict{Action: lifecycle.Unverify, Confidence: lifecycle.High, Reason: lifecycle.ReasonDeleted, VerifiedBefore: 5, ExposedSince: 6}}
		v.after.MailHost, v.after.Listed = host.mail, host.listed
		w.carryVerdict(&v, now)
		if v.after.Action != host.want || (v.after.Reason == lifecycle.ReasonMailHost) != (host.want == lifecycle.Hold) || v.after.VerifiedBefore != 5 || v.after.ExposedSince != 6 {
			t.Errorf("%+v: %+v", host, v.after)
		}
	}
	v = visit{verdict: lifecycle.Verdict{Action: lifecycle.Confirm, Confidence: lifecycle.High, Reason: lifecycle.ReasonDeleted}}
	v.after.MailHost = true
	if w.carryVerdict(&v, now); v.after.Action != lifecycle.Confirm {
		t.Errorf("a mail host is confirmed as any other: %+v", v.after)
	}
}

// TestAnotherVerdictIsAChange, whichever part of it is another.
func TestAnotherVerdictIsAChange(t *testing.T) {
	a := records.Domain{Action: lifecycle.Confirm, Confidence: lifecycle.Low, Reason: lifecycle.ReasonDeleted, NextLook: 1}
	if !sameVerdict(a, a) {
		t.Error("the same is another")
	}
	for i := range 4 {
		b := a
		switch i {
		case 0:
			b.Action = lifecycle.Hold
		case 1:
			b.Confidence = lifecycle.High
		case 2:
			b.Reason = lifecycle.ReasonDelegated
		default:
			b.NextLook = 2
		}
		if sameVerdict(a, b) || sameVerdict(b, a) {
			t.Errorf("%+v is the same as %+v", a, b)
		}
	}
}

// TestHistoryHasWhatIsNews: a witness that says otherwise, another action, another reason; and nothing else.
func TestHistoryHasWhatIsNews(t *testing.T) {
	w := newWorld(t)
	b := records.NewDomain("a-one.com", 0)
	for i, want := range []bool{false, true, true, true, false} {
		a := b
		switch i {
		case 1:
			a.State.Deleg = lifecycle.DelegationGone
		case 2:
			a.Action = lifecycle.Hold
		case 3:
			a.Reason = lifecycle.ReasonDeleted
		case 4:
			a.NextLook = 7
		}
		if writes := w.writes(visit{before: b, after: a}); (len(writes) == 2) != want {
			t.Errorf("%d: %d writes, history %t", i, len(writes), want)
		}
	}
	order := map[int]bool{}
	for _, s := range []source.Source{source.SourceDelegation, source.SourceRDAP, source.SourceStatus, source.SourceMail} {
		order[entryOrder(s)] = true
	}
	if len(order) != 4 {
		t.Errorf("entries of one moment overwrite each other: %v", order)
	}
}

// TestAnEstimateOfTheStatusAPIIsNoFirstLook: a word that is not precise proves nothing, however often it is said.
func TestAnEstimateOfTheStatusAPIIsNoFirstLook(t *testing.T) {
	w := newWorld(t)
	estimate, precise := market("undelegated", "inactive"), market("undelegated", "inactive")
	estimate.Market.Precise = false
	w.dns.by["a-one.me"] = gone()
	look := queue.Message{Kind: queue.KindDelegation, Upstream: "me"}
	w.statusA.by["a-one.me"] = estimate
	w.ask(look, w.add("a-one.me"))
	look.Look = true
	again := func() records.Domain {
		w.at = w.at.Add(lifecycle.SecondLook)
		w.ask(look, w.entry("a-one.me"))
		return w.get("a-one.me")
	}
	if d := again(); d.Action == lifecycle.Unverify {
		t.Errorf("two estimates: %+v", d)
	}
	w.statusA.by["a-one.me"] = precise
	if d := again(); d.Action == lifecycle.Unverify {
		t.Errorf("an estimate counts as the first look: %+v", d)
	}
	if d := again(); d.Action != lifecycle.Unverify {
		t.Errorf("two looks that were precise: %+v", d)
	}
}

// TestARunThatCannotBeReadGivesEverythingBack: it is not known which messages are of a superseded run.
func TestARunThatCannotBeReadGivesEverythingBack(t *testing.T) {
	w, f, _, m := faultyWorld(t)
	f.at = 1
	body, err := queue.Encode(m[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Handle(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record(0, "g", string(body))}}); !errors.Is(err, errThrottled) {
		t.Errorf("got %v", err)
	}
	if res, err := w.Handle(t.Context(), events.SQSEvent{}); err != nil || res.BatchItemFailures == nil || f.n != 1 {
		t.Errorf("no messages: %+v %v, %d calls", res, err, f.n)
	}
}

// TestLimits of what an upstream is asked a second: its share of the rate, from the first question on.
func TestLimits(t *testing.T) {
	a := &OneByOne{Rate: 2}
	for upstream, want := range map[string]float64{"https://rdap.example.net/": 1, "resolver": 1} {
		m := queue.Message{Upstream: upstream, Group: "g/" + upstream, Share: 0.5}
		l := a.limiter(m)
		if float64(l.Limit()) != want || l.Burst() != 1 || a.limiter(m) != l {
			t.Errorf("%s: %v a second, %d at once", upstream, l.Limit(), l.Burst())
		}
	}
	if l := a.limiter(queue.Message{Group: "h"}); float64(l.Limit()) != 0.02 {
		t.Errorf("without a share: %v", l.Limit())
	}
}

// TestOneByOneAsksEachOnce, a few at a time, in the order of the message, and each of its own TLD.
func TestOneByOneAsksEachOnce(t *testing.T) {
	var mu sync.Mutex
	asked, busy, most := map[string]string{}, 0, 0
	full := make(chan struct{})
	a := &OneByOne{Source: source.SourceRDAP, Rate: 1e6, AtOnce: 3, Patience: 2, Now: time.Now,
		Lookup: func(_ context.Context, name, tld string) source.Observation {
			mu.Lock()
			asked[name] = tld
			if busy++; busy > most {
				if most = busy; most == 3 {
					close(full)
				}
			}
			mu.Unlock()
			<-full // three are asked at once, or nobody is
			mu.Lock()
			defer mu.Unlock()
			busy--
			return source.Observation{Source: source.SourceRDAP, Outcome: source.Observed, Said: name}
		}}
	var m queue.Message
	for i := range 20 {
		m.Domains = append(m.Domains, queue.Entry{Name: fmt.Sprintf("d%02d.co.t%02d", i, i)})
	}
	for i, o := range a.Ask(t.Context(), m) {
		if want := m.Domains[i].Name; o.Said != want || asked[want] != fmt.Sprintf("t%02d", i) {
			t.Errorf("%d: %s was answered for %s, TLD %q", i, o.Said, want, asked[want])
		}
	}
	if len(asked) != 20 || most != 3 {
		t.Errorf("%d asked, %d at once", len(asked), most)
	}
}

// TestOneByOnesPatience: failures in a row count, of the upstream; a refusal as too many is enough.
func TestOneByOnesPatience(t *testing.T) {
	ok, fault, own := source.Observation{Outcome: source.Observed}, silence(source.CauseServerError), silence(source.CauseMalformed)
	odd := source.Observation{Outcome: source.Absent, Cause: source.CauseTimeout}
	for name, tt := range map[string]struct {
		says []source.Observation
		want int
	}{
		"three in a row":             {[]source.Observation{fault, fault, fault, ok}, 3},
		"an answer between":          {[]source.Observation{fault, fault, ok, fault, fault, own, fault, fault, odd, fault}, 10},
		"refused as too many":        {[]source.Observation{ok, silence(source.CauseRateLimited), ok, ok}, 2},
		"domains with their trouble": {[]source.Observation{own, own, own, own, own}, 5},
	} {
		n := 0
		a := &OneByOne{Source: source.SourceRDAP, Rate: 1e6, Patience: 3, Now: time.Now, Lookup: func(context.Context, string, string) source.Observation {
			o := tt.says[n]
			n++
			o.Source = source.SourceRDAP
			return o
		}}
		obs := a.Ask(t.Context(), queue.Message{Upstream: "u", Share: 1, Domains: make([]queue.Entry, len(tt.says))})
		notAsked := 0
		for _, o := range obs {
			if o.Cause == source.CauseNotAsked {
				notAsked++
				if o.Source != source.SourceRDAP || o.Server != "u" || o.Outcome != source.Unknown || o.At.IsZero() {
					t.Errorf("%s: %+v", name, o)
				}
			}
		}
		if n != tt.want || notAsked != len(obs)-n {
			t.Errorf("%s: asked %d times, want %d; %d were not", name, n, tt.want, notAsked)
		}
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	a := &OneByOne{Source: source.SourceRDAP, Rate: 1, Patience: 3, Now: time.Now, Lookup: func(context.Context, string, string) source.Observation {
		t.Error("asked although the time is over")
		return ok
	}}
	if obs := a.Ask(ended, queue.Message{Share: 1, Domains: make([]queue.Entry, 2)}); obs[0].Cause != source.CauseNotAsked || obs[1].Cause != source.CauseNotAsked {
		t.Errorf("%+v", obs)
	}
}
