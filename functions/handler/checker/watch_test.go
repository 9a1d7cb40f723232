package checker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

// TestAFailedMXLookIsMadeTheNextDay, and an answer ends that.
func TestAFailedMXLookIsMadeTheNextDay(t *testing.T) {
	w, resolver := mailWorld(t)
	w.BaselineDays = 14
	w.quiet("customer.com")
	for _, o := range []source.Observation{silence(source.CauseMalformed), {Outcome: source.Observed, Said: "no MX in it"}} {
		resolver.by["customer.com"] = o
		w.askMail("customer.com")
		if d := w.get("customer.com"); d.State.NextMail != lifecycle.At(w.at.Add(20*time.Hour)) || d.State.MailSet != "" {
			t.Errorf("after %q: %+v", o.Said, d.State)
		}
	}
	resolver.by["customer.com"] = mx("mx.mail-host.net")
	w.askMail("customer.com")
	d := w.get("customer.com")
	if d.State.NextMail != 0 || d.State.MailSet == "" {
		t.Errorf("after an answer: %+v", d.State)
	}
	d.State.NextMail = 7
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	w.askMail("customer.com") // the same set
	if d := w.get("customer.com"); d.State.NextMail != 0 {
		t.Errorf("after the same answer: %+v", d.State)
	}
	w.count.writes = 0
	w.askMail("customer.com")
	if w.count.writes != 0 {
		t.Errorf("%d writes for the same answer again", w.count.writes)
	}
}

// TestAFailedMXLookIsMadeInSixHours while the MX is watched, after an expiry: whom the resolver did not tell of may have
// bought the name. A look that is due sooner stays.
func TestAFailedMXLookIsMadeInSixHours(t *testing.T) {
	w, resolver := mailWorld(t)
	resolver.by["customer.com"] = silence(source.CauseTimeout)
	w.quiet("customer.com")
	for _, noted := range []time.Duration{0, -time.Hour, time.Hour, 9 * time.Hour} {
		d := w.get("customer.com")
		d.State.Expires, d.NextLook = lifecycle.At(w.at).Add(-24*time.Hour), 0
		if noted != 0 {
			d.NextLook = lifecycle.At(w.at).Add(noted)
		}
		if err := w.Store.Write(t.Context(), d.Put()); err != nil {
			t.Fatal(err)
		}
		w.askMail("customer.com")
		next, look := lifecycle.At(w.at).Add(6*time.Hour), lifecycle.At(w.at).Add(6*time.Hour)
		if noted == time.Hour {
			look = d.NextLook
		}
		if d := w.get("customer.com"); d.State.NextMail != next || d.NextLook != look {
			t.Errorf("a look noted in %s: MX %s, next look %s", noted, d.State.NextMail, d.NextLook)
		}
	}
}

// TestMailIsDue on the domain's day of the week, when its name servers moved, and after a failure.
func TestMailIsDue(t *testing.T) {
	w, _ := mailWorld(t)
	w.BaselineDays = 14
	const day = 24 * 60 * 60
	ours := lifecycle.Instant(lifecycle.MailDay("a-one.com")*day + 700*day)
	other := ours + day
	d := records.NewDomain("a-one.com", 0)
	d.Listed, d.State.Deleg, d.State.NS, d.State.MailSet = true, lifecycle.DelegationHome, "ns", "mx"
	due := func(change func(d *records.Domain, before *lifecycle.State), now, began lifecycle.Instant) bool {
		after, before := d, d.State
		change(&after, &before)
		return w.mailDue(&after, before, now, began)
	}
	same := func(*records.Domain, *lifecycle.State) {}
	for i := range lifecycle.Instant(7) {
		if got := due(same, ours, ours+i*day+day-1); got != (i == 0) {
			t.Errorf("%d days after its day: due %t", i, got)
		}
	}
	for name, tt := range map[string]struct {
		change func(d *records.Domain, before *lifecycle.State)
		want   bool
	}{
		"nothing":                          {same, false},
		"name servers moved":               {func(_ *records.Domain, b *lifecycle.State) { b.NS = "old" }, true},
		"name servers are known now":       {func(_ *records.Domain, b *lifecycle.State) { b.NS = "" }, false},
		"failed, and its time has come":    {func(d *records.Domain, _ *lifecycle.State) { d.State.NextMail = other }, true},
		"failed, and its time will come":   {func(d *records.Domain, _ *lifecycle.State) { d.State.NextMail = other + 1 }, false},
		"never asked, spread over a week":  {func(d *records.Domain, _ *lifecycle.State) { d.State.MailSet = "" }, false},
		"moved, and not listed":            {func(d *records.Domain, b *lifecycle.State) { b.NS = "old"; d.Listed = false }, false},
		"moved, and gone from the zone":    {func(d *records.Domain, b *lifecycle.State) { b.NS = "old"; d.State.Deleg = lifecycle.DelegationGone }, false},
		"moved, and the zone does not say": {func(d *records.Domain, b *lifecycle.State) { b.NS = "old"; d.State.Deleg = lifecycle.DelegationUnknown }, false},
	} {
		if got := due(tt.change, other, other); got != tt.want {
			t.Errorf("%s: due %t", name, got)
		}
	}
	w.BaselineDays = 0
	if !due(func(d *records.Domain, _ *lifecycle.State) { d.State.MailSet = "" }, other, other) {
		t.Error("never asked, and nothing is spread: not due at once")
	}
	if due(same, other, other) {
		t.Error("asked before, and due on another day than its own")
	}
	delete(w.Ask, queue.KindMail)
	if due(same, ours, ours) {
		t.Error("due, and nobody to ask")
	}
	days := map[int64]int{}
	for i := range 700 {
		days[lifecycle.MailDay(fmt.Sprintf("example-%d.com", i))]++
	}
	for n := range int64(7) {
		if days[n] < 60 {
			t.Errorf("the week's days have %v of 700 domains", days)
		}
	}
	if len(days) != 7 {
		t.Errorf("days %v", days)
	}
}

// TestNothingIsFollowedFromAMailHost: what it depends on itself is not watched in turn.
func TestNothingIsFollowedFromAMailHost(t *testing.T) {
	w, resolver := mailWorld(t)
	w.quiet("customer.com")
	resolver.by["customer.com"] = mx("mx.mail-host.net")
	w.askMail("customer.com")
	w.dns.by["mail-host.net"] = delegated("ns1.third-host.org")
	w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: "net"}, w.entry("mail-host.net"))
	if got := w.dependents("third-host.org"); len(got) != 0 || w.get("mail-host.net").State.DelegAt == 0 {
		t.Errorf("followed to %v", got)
	}
}

// TestHostsAreNotedSorted, each once, as many as twenty; none that nobody could own.
func TestHostsAreNotedSorted(t *testing.T) {
	got := registrables([]string{"mx.b-two.net", "mx.a-one.net", "mx2.b-two.net", "localhost", ".", "192.0.2.1", "mx.own.com", "x.c-three.co.uk"}, "own.com")
	if !slices.Equal(got, []string{"a-one.net", "b-two.net", "c-three.co.uk"}) {
		t.Errorf("%v", got)
	}
	w, resolver := mailWorld(t)
	w.quiet("customer.com")
	var hosts []string
	for i := range 30 {
		hosts = append(hosts, fmt.Sprintf("mx.host-%03d.net", i))
	}
	resolver.by["customer.com"] = mx(hosts...)
	w.askMail("customer.com")
	deps, err := w.book().Dependencies(t.Context(), "customer.com")
	if err != nil || len(deps[records.DependsMail]) != 20 || deps[records.DependsMail][19] != "host-019.net" {
		t.Errorf("%v %v", deps, err)
	}
}

// TestAFirstLookReadsNoDependencies: there are none, unless the domain is in danger from one.
func TestAFirstLookReadsNoDependencies(t *testing.T) {
	w, f, _, _ := faultyWorld(t)
	visitOf := func(s lifecycle.State) *visit {
		d := records.NewDomain("a-one.com", 0)
		d.State = s
		return &visit{before: d, after: d}
	}
	for name, tt := range map[string]struct {
		s     lifecycle.State
		on    records.DependsOn
		reads int
	}{
		"first look at servers":                    {lifecycle.State{MailSet: "mx"}, records.DependsServers, 0},
		"servers were known":                       {lifecycle.State{NS: "ns"}, records.DependsServers, 1},
		"servers were gone":                        {lifecycle.State{Deleg: lifecycle.DelegationGone}, records.DependsServers, 1},
		"first look at mail":                       {lifecycle.State{NS: "ns", Deleg: lifecycle.DelegationHome}, records.DependsMail, 0},
		"mail was known":                           {lifecycle.State{MailSet: "mx"}, records.DependsMail, 1},
		"first look at servers, and in danger":     {lifecycle.State{MailLapsed: "x.net"}, records.DependsServers, 1},
		"first look at mail, and in danger by one": {lifecycle.State{MailLapsed: "x.net"}, records.DependsMail, 1},
	} {
		if tt.s.Deleg == "" {
			tt.s.Deleg = lifecycle.DelegationUnknown
		}
		before := f.n
		deps, err := w.dependencies(t.Context(), visitOf(tt.s), tt.on)
		if err != nil || f.n-before != tt.reads || (len(deps) > 0) != (tt.reads > 0) {
			t.Errorf("%s: %d reads, %v %v", name, f.n-before, deps, err)
		}
	}
}

// TestDangerEndsWithTheDependency: only if the domain depended on the host that lapsed, and in no way does any more.
func TestDangerEndsWithTheDependency(t *testing.T) {
	for name, tt := range map[string]struct {
		lapsed string
		now    []string
		ends   bool
	}{
		"moved away":                 {"mail-host.net", []string{"other.net"}, true},
		"still there":                {"mail-host.net", []string{"mail-host.net", "other.net"}, false},
		"still its name servers":     {"old-host.net", []string{"other.net"}, false},
		"in danger from another one": {"elsewhere.net", []string{"other.net"}, false},
	} {
		w, _, _, _ := faultyWorld(t)
		d := w.get("a-one.com")
		d.State.MailLapsed, d.Action, d.Reason = tt.lapsed, lifecycle.Hold, lifecycle.ReasonMailHost
		v := &visit{before: d, after: d}
		if err := w.depend(t.Context(), v, records.DependsMail, tt.now); err != nil {
			t.Fatal(err)
		}
		if ended := v.after.State.MailLapsed == ""; ended != tt.ends || (v.after.Action == lifecycle.None) != tt.ends {
			t.Errorf("%s: %+v", name, v.after)
		}
		if v.deps == nil || v.deps.on != records.DependsMail || !slices.Equal(v.deps.now, tt.now) || !slices.Equal(v.deps.old, []string{"mail-host.net"}) {
			t.Errorf("%s: %+v", name, v.deps)
		}
	}
}

// TestWatchedHostsAreRememberedUpToABound.
func TestWatchedHostsAreRememberedUpToABound(t *testing.T) {
	var hosts watched
	for i := range 20_000 {
		hosts.add(fmt.Sprint(i), time.Time{})
	}
	if !hosts.has("0", time.Time{}) || !hosts.has("19999", time.Time{}) || hosts.has("20000", time.Time{}) {
		t.Error("forgotten before the bound")
	}
	hosts.add("20000", time.Time{})
	if hosts.has("0", time.Time{}) || !hosts.has("20000", time.Time{}) || len(hosts.names) != 1 {
		t.Errorf("%d names behind the bound", len(hosts.names))
	}
}

// TestAMailHostThatIsListedStaysWhatItIs, and is written once, however many depend on it.
func TestAMailHostThatIsListedStaysWhatItIs(t *testing.T) {
	w, resolver := mailWorld(t)
	w.quiet("mail-host.net")
	w.quiet("first.com")
	w.quiet("second.com")
	resolver.by["first.com"], resolver.by["second.com"] = mx("mx.first.com"), mx("mx.mail-host.net")
	w.askMail("first.com")
	w.askMail("first.com", "second.com") // nothing is new of the first
	d := w.get("mail-host.net")
	if !d.MailHost || !d.Listed || d.Addresses != 1 || d.State.NextRDAP == 0 {
		t.Errorf("%+v", d)
	}
	before := d.Version()
	w.watched = watched{} // another invocation
	if err := w.watchMailHost(t.Context(), "mail-host.net"); err != nil || w.get("mail-host.net").Version() != before {
		t.Errorf("written again: %v", err)
	}
	if err := w.watchMailHost(t.Context(), "new-host.net"); err != nil || w.get("new-host.net").State.NextRDAP != lifecycle.At(w.at) {
		t.Errorf("%+v %v: a new one is to be asked about at once", w.get("new-host.net").State, err)
	}
}

// TestDoubtBeginsWithAZoneThatLostFive: all of what it delegated before, and five of that.
func TestDoubtBeginsWithAZoneThatLostFive(t *testing.T) {
	for name, tt := range map[string]struct {
		kind                        queue.Kind
		lost, never, left, mum, new int
		want                        int
	}{
		"five":                               {queue.KindDelegation, 5, 0, 0, 0, 0, 5},
		"four":                               {queue.KindDelegation, 4, 0, 0, 0, 0, 4},
		"four, and one that never was there": {queue.KindDelegation, 4, 1, 0, 0, 0, 4},
		"four, and one of which it is mum":   {queue.KindDelegation, 4, 0, 0, 1, 0, 4},
		"five, and some it never delegated":  {queue.KindDelegation, 5, 3, 0, 0, 0, 5},
		"six, and one is left":               {queue.KindDelegation, 6, 0, 1, 0, 0, 0},
		"six, and another one is new":        {queue.KindDelegation, 6, 0, 0, 0, 1, 0},
		"six in the registry":                {queue.KindRDAP, 6, 0, 0, 0, 0, 0},
	} {
		w := newWorld(t)
		m := queue.Message{Kind: tt.kind, Upstream: "com"}
		add := func(n int, deleg lifecycle.Delegated, o source.Observation) (obs []source.Observation) {
			for range n {
				d := records.NewDomain(fmt.Sprintf("d%d.com", len(m.Domains)), 0)
				d.State.Deleg = deleg
				m.Domains = append(m.Domains, queue.Entry{Name: d.Name, Item: d.Data()})
				obs = append(obs, o)
			}
			return obs
		}
		obs := slices.Concat(add(tt.never, lifecycle.DelegationGone, gone()), add(tt.lost, lifecycle.DelegationHome, gone()),
			add(tt.left, lifecycle.DelegationHome, delegated("ns.example")), add(tt.mum, lifecycle.DelegationHome, silence(source.CauseTimeout)), add(tt.new, lifecycle.DelegationGone, delegated("ns.example")))
		m.Domains = append(m.Domains, queue.Entry{Name: "damaged.com", Item: []byte(`{"v":"x"}`)})
		obs = append(obs, gone())
		lost := w.lostEverything(t.Context(), m, newSubjects(w.Store, m.Domains), obs)
		if len(lost) != tt.want {
			t.Errorf("%s: %d, want %d", name, len(lost), tt.want)
		}
		if why := w.doubtZone(t.Context(), m, lost); (why != "") != (tt.want >= crowd) {
			t.Errorf("%s: doubt %q", name, why)
		}
	}
}

// TestTrustLastsFiveMinutes, of one upstream's zone, and not from the future.
func TestTrustLastsFiveMinutes(t *testing.T) {
	var tr trust
	at := time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)
	if tr.fresh("a", at) {
		t.Error("trusted unheard")
	}
	tr.note("a", at)
	for age, want := range map[time.Duration]bool{0: true, 5*time.Minute - 1: true, 5 * time.Minute: false, -1: false} {
		if got := tr.fresh("a", at.Add(age)); got != want || tr.fresh("b", at.Add(age)) {
			t.Errorf("after %v: %t", age, got)
		}
	}
}

// TestThreeKnownNamesAreAsked, and one that the upstream knows is enough.
func TestThreeKnownNamesAreAsked(t *testing.T) {
	w := newWorld(t)
	w.know("known-1.com", "known-2.com", "known-3.com", "known-4.com")
	w.dns.by["victim.com"], w.dns.by[freeLabel+".com"] = gone(), gone()
	for i := 1; i <= 4; i++ {
		w.dns.by[fmt.Sprintf("known-%d.com", i)] = gone()
	}
	m := queue.Message{Kind: queue.KindDelegation, Upstream: "com", Domains: []queue.Entry{{Name: "victim.com"}}}
	if obs := w.hear(m, w.dns); obs[0].Cause != source.CauseNotBelieved || len(w.dns.asked) != 5 {
		t.Errorf("%+v, asked %v", obs[0], w.dns.asked)
	}
	w.dns.by["known-3.com"] = delegated("ns.example")
	if obs := w.hear(m, w.dns); obs[0].Cause == source.CauseNotBelieved {
		t.Errorf("one of three is known: %+v", obs[0])
	}
}

// TestATLDsWordsForADeletion are bad news, and its other words are not.
func TestATLDsWordsForADeletion(t *testing.T) {
	for status, want := range map[string]bool{"in quarantine": true, "active": false, "no such word": false} {
		if got := bad("victim.nl", registered(status)); got != want {
			t.Errorf(".nl: %s is bad news: %t", status, got)
		}
	}
	if !bad("victim.com", registered("redemption period")) || bad("victim.com", registered("active")) || !bad("victim.com", gone()) || bad("victim.com", delegated("ns.example")) {
		t.Error("what is bad news everywhere")
	}
}

// TestWordsOfADeletion.
func TestWordsOfADeletion(t *testing.T) {
	for w, want := range map[lifecycle.Word]bool{
		lifecycle.WordRedemption: true, lifecycle.WordPendingDelete: true, lifecycle.WordRestore: true,
		lifecycle.WordRegistered: false, lifecycle.WordOnHold: false, lifecycle.WordAutoRenew: false, lifecycle.WordAbsent: false, lifecycle.WordNone: false,
	} {
		if got := deletion(w); got != want {
			t.Errorf("%q: %t", w, got)
		}
	}
}
