package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
)

func testWorld(t *testing.T) *World {
	t.Helper()
	w, err := LoadWorld()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func populate(t *testing.T, s Size) *Population {
	t.Helper()
	p, err := Populate(testWorld(t), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWorldSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, old, replaced, want string }{
		{"a kind without a story", "name: restored,", "name: restart,", `kind "restart": there is no story`},
		{"a course that is not there", "course: se,", "course: sweden,", `.se: there is no course "sweden"`},
		{"a field that nobody reads", "warm_up_days:", "warmup:", "field warmup not found"},
		{"a server where there is none", "suffix: it, share: 1, course: hidden, rdap: none", "suffix: it, share: 1, course: hidden, rdap: none, server: x", ".it: rdap"},
		{"a fault of nobody", "{source: rdap, suffix: org", "{source: rdap, suffix: example", "fault"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(string(worldText), c.old, c.replaced, 1)
			if text == string(worldText) {
				t.Fatal("the text to break is not there")
			}
			if _, err := parseWorld([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestSameSeedSameWorld: spans and accounts, to the second; and another seed is another world.
func TestSameSeedSameWorld(t *testing.T) {
	say := func(p *Population) string {
		var b strings.Builder
		for _, d := range p.Domains {
			fmt.Fprintf(&b, "%s %v %v %v %v\n", d.Name, d.Taken, d.Lost, d.Spans, d.Accounts)
		}
		return b.String()
	}
	size := Size{Domains: 400, Days: 91, Seed: 7, Oversampled: true}
	one, two := say(populate(t, size)), say(populate(t, size))
	if one != two {
		t.Error("the same seed gave two worlds")
	}
	size.Seed = 8
	if one == say(populate(t, size)) {
		t.Error("another seed gave the same world")
	}
}

// TestTrueRates: the kinds at true rates are as many as world.yaml says, and the factor multiplies them.
func TestTrueRates(t *testing.T) {
	w := testWorld(t)
	i := slices.IndexFunc(w.Kinds, func(k Kind) bool { return k.Name == "servers-changed" })
	if n := w.cases(w.Kinds[i], 10_000, 365, false); n != 800 {
		t.Errorf("8 %% of 10,000 domains change their servers in a year, not %d", n)
	}
	if n := w.cases(w.Kinds[i], 10_000, 365, true); n != int(800*w.Kinds[i].Factor) {
		t.Errorf("oversampled: %d", n)
	}
	if n := w.cases(w.Kinds[i], 50, 30, true); n != w.Least {
		t.Errorf("oversampled in a small world: %d, want the least %d", n, w.Least)
	}
}

// TestStoriesEndInTime: every takeover of the year's world falls into the year, or into the days of a short one.
func TestStoriesEndInTime(t *testing.T) {
	for _, days := range []int{91, 365} {
		p := populate(t, Size{Domains: 800, Days: days, Seed: 3, Oversampled: true})
		for _, d := range p.Domains {
			if d.Sign.IsZero() && !d.Taken.IsZero() {
				t.Errorf("%s is taken without any sign", d.Name)
			}
			if !d.Taken.IsZero() && d.Taken.Before(d.Sign) {
				t.Errorf("%s is taken before the first sign", d.Name)
			}
			if strings.HasPrefix(d.Kind, "sold") && (d.Taken.Before(p.World.Start) || d.Taken.After(p.end)) {
				t.Errorf("%d days: %s is sold at %s, outside of the time", days, d.Name, d.Taken)
			}
			for _, s := range d.Spans {
				if s.Owner == Taker && s.NS == nil {
					t.Errorf("%s: %s is out of the zone", d.Name, s.What)
				}
			}
		}
	}
}

// handMade is a population of one domain that is taken after 20 days.
func handMade(taken bool) (*Population, *Domain) {
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	d := &Domain{Name: "example.com", Kind: quiet, TLD: &TLD{Suffix: "com", Course: "gtld", RDAP: ListedIANA, Control: true}, Sign: start.Add(days(10)), Accounts: []Account{{Verified: start.Add(-days(9))}, {Verified: start.Add(days(25)), Other: true}}}
	d.Spans = []Span{{From: start.Add(-days(100)), View: View{NS: []string{"ns1.example.net"}}}}
	if taken {
		d.Taken, d.Lost = start.Add(days(20)), start.Add(days(20))
		d.Spans = append(d.Spans, Span{From: start.Add(days(15)), View: View{NS: d.Spans[0].NS, Statuses: []string{"pending delete"}}})
		d.Spans = append(d.Spans, Span{From: d.Taken, View: View{Owner: Taker, NS: []string{"ns1.example.net"}}})
	}
	return &Population{World: &World{Start: start}, end: start.Add(days(60)), Domains: []*Domain{d}}, d
}

func TestFates(t *testing.T) {
	type at struct {
		day, account   int
		verified, shut bool
	}
	for _, c := range []struct {
		name    string
		taken   bool
		changes []at
		want    Fate
	}{
		{"protected in time", true, []at{{12, 0, false, false}}, Fate{Takeover: true, Hours: 48}},
		{"closed in time", true, []at{{11, 0, true, true}}, Fate{Takeover: true, Hours: 24, Left: true}},
		{"opened again for the taker", true, []at{{11, 0, true, true}, {15, 0, true, false}}, Fate{Takeover: true, Missed: true, Hours: -1, Late: -1, Left: true}},
		{"opened for the taker, and closed again", true, []at{{11, 0, true, true}, {21, 0, true, false}, {25, 0, false, false}},
			Fate{Takeover: true, Missed: true, Hours: 360, Late: 120}},
		{"a day late", true, []at{{21, 0, false, false}}, Fate{Takeover: true, Missed: true, Hours: 264, Late: 24}},
		{"never", true, nil, Fate{Takeover: true, Missed: true, Hours: -1, Late: -1, Left: true}},
		{"the next owner is wronged", true, []at{{12, 0, false, false}, {30, 1, false, false}}, Fate{Takeover: true, Hours: 48, Wrong: 1}},
		{"a holder is wronged, for two days", false, []at{{12, 0, false, false}, {14, 0, true, false}}, Fate{Wrong: 1, Shut: 48}},
		{"a holder is shut out for a day", false, []at{{12, 0, true, true}, {13, 0, true, false}}, Fate{Shut: 24}},
		{"a holder is shut out until the end", false, []at{{12, 0, true, true}, {13, 0, true, false}, {50, 0, true, true}}, Fate{Shut: 240, Still: true}},
		{"nothing", false, nil, Fate{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, d := handMade(c.taken)
			l := newLedger(p)
			l.verify(d, 0, d.Accounts[0].Verified)
			for _, ch := range c.changes {
				at := p.World.Start.Add(days(ch.day))
				if other := d.Accounts[1].Verified; c.taken && at.After(other) {
					l.verify(d, 1, other)
				}
				l.note(d, change{at: at, account: ch.account, verified: ch.verified, closed: ch.shut})
			}
			got := l.Fates()[0]
			c.want.Domain, c.want.Kind, c.want.Suffix, c.want.Lapsed = d.Name, d.Kind, "com", true
			got.Protected = time.Time{}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestHoldsStood(t *testing.T) {
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	d := func(hour int, name, what string) Decision {
		return Decision{At: start.Add(time.Duration(hour) * time.Hour), Domain: name, What: what}
	}
	open, stood := holdsStood([]Decision{d(0, "a.example", "held"), d(1, "a.example", "held"), d(5, "a.example", "hold_ended"), d(5, "b.example", "held")}, start.Add(10*time.Hour))
	slices.Sort(stood)
	if open != 1 || !slices.Equal(stood, []float64{5, 5}) {
		t.Errorf("%d open, stood %v", open, stood)
	}
}

// TestUpstreams: what each upstream answers in each state, and what it does wrong.
func TestUpstreams(t *testing.T) {
	p := populate(t, Size{Domains: 400, Days: 91, Seed: 1, Oversampled: true})
	p.World.Answers.Fails = 0
	c := &clock{}
	u := NewUpstreams(p, c.now)
	find := func(kind string) *Domain {
		i := slices.IndexFunc(p.Domains, func(d *Domain) bool { return d.Kind == kind && !d.Taken.IsZero() && d.TLD.Suffix != "com" })
		if i < 0 {
			t.Fatalf("no %s that is taken", kind)
		}
		return p.Domains[i]
	}
	d := find("deleted-by-holder")
	ask := func(at time.Time) (zone, rdap, status, mail source.Observation) {
		c.set(at)
		m := queue.Message{Upstream: d.TLD.Suffix, Domains: []queue.Entry{{Name: d.Name}}}
		return u.Ask(context.Background(), m)[0], u.rdap(t.Context(), d.Name, lastLabel(d.Name)), u.status(t.Context(), d.Name, ""), u.mail(t.Context(), d.Name, "")
	}
	zone, rdap, status, mail := ask(d.Sign.Add(-time.Hour))
	if zone.Delegation == nil || rdap.Registration == nil || status.Said != "active" || mail.Mail == nil {
		t.Errorf("in use: %v %v %v %v", zone.Said, rdap.Said, status.Said, mail.Said)
	}
	zone, rdap, status, mail = ask(d.Sign.Add(time.Hour))
	if zone.Outcome != source.Absent || rdap.Registration == nil || !slices.Contains(rdap.Registration.Statuses, "redemption period") || mail.Outcome != source.Absent {
		t.Errorf("deleted: %v %v %v %v", zone.Said, rdap.Said, status.Said, mail.Said)
	}
	zone, rdap, status, _ = ask(d.Taken.Add(time.Hour))
	if zone.Delegation == nil || rdap.Registration == nil || !rdap.Registration.Registered.Equal(d.Taken) || strings.Contains(status.Said, "inactive") {
		t.Errorf("taken: %v %v %v", zone.Said, rdap.Said, status.Said)
	}
	for i := range p.World.Faults {
		f := &p.World.Faults[i]
		c.set(p.World.Start.Add(days(int(f.From*91)) + 12*time.Hour))
		if !u.during(f, c.now()) || u.during(f, c.now().Add(days(f.Days+1))) {
			t.Errorf("%+v is not when it should be", f)
		}
	}
}

// TestPeers: each acts on its own words, and RubyGems on none where there are too many.
func TestPeers(t *testing.T) {
	p := populate(t, Size{Domains: 400, Days: 91, Seed: 1, Oversampled: true})
	sum := func(name string, policy *Peer) Totals {
		return Sum(playPeer(p, name, policy).Ledger.Fates(), func(Fate) bool { return true })
	}
	none, pypi := sum("none", nil), sum("PyPI", &p.World.Peers.PyPI)
	if none.Missed != none.Takeovers || none.Wrong != 0 || none.Takeovers == 0 {
		t.Errorf("without a policy: %+v", none)
	}
	if pypi.Missed >= none.Missed || pypi.Wrong == 0 {
		t.Errorf("PyPI's: %+v", pypi)
	}
	timid := p.World.Peers.RubyGems
	timid.AtMost = 1
	if gems, t1 := sum("RubyGems", &p.World.Peers.RubyGems), sum("timid", &timid); gems.Missed >= t1.Missed {
		t.Errorf("a limit of 1 account misses %d, of %d accounts %d", t1.Missed, p.World.Peers.RubyGems.AtMost, gems.Missed)
	}
}

func TestPictureSaysWhatItShows(t *testing.T) {
	r := Result{Size: Size{Domains: 10, Days: 3}, Columns: []Column{{Name: "one", All: Totals{Takeovers: 8, Missed: 3, Soon: 1, Wrong: 2}}}}
	got := r.picture()
	for _, want := range []string{"<desc>one: 3 of 8 takeovers missed, 2 holders unverified wrongly</desc>", `width="262.5"`, "3 missed, 2 wronged"} {
		if !strings.Contains(got, want) {
			t.Errorf("the picture has no %q:\n%s", want, got)
		}
	}
}

// TestPassedUnseen: a gap that stands for less than a day, or nowhere that can be asked, is seen by nobody.
func TestPassedUnseen(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	home, theirs := []string{"ns1.home.example"}, []string{"ns1.buyer.example"}
	deleted := []string{"redemption period"}
	span := func(before time.Duration, owner Owner, ns, words []string) Span {
		return Span{From: at.Add(-before), View: View{Owner: owner, NS: ns, Statuses: words}}
	}
	old := span(1000*time.Hour, Holder, home, nil)
	for name, c := range map[string]struct {
		rdap  Listing
		spans []Span
		want  bool
	}{
		"sold straight":                    {ListedIANA, []Span{old, span(0, Taker, theirs, nil)}, true},
		"free for a minute":                {ListedIANA, []Span{old, span(time.Minute, Nobody, nil, nil), span(0, Taker, theirs, nil)}, true},
		"a new name, free for a minute":    {ListedIANA, []Span{span(2000*time.Hour, Nobody, nil, nil), old, span(time.Minute, Nobody, nil, nil), span(0, Taker, theirs, nil)}, true},
		"parked for a week":                {ListedIANA, []Span{old, span(168*time.Hour, Registrar, theirs, nil), span(0, Taker, theirs, nil)}, false},
		"in the zone, deleted, with RDAP":  {ListedIANA, []Span{old, span(168*time.Hour, Holder, home, deleted), span(0, Taker, theirs, nil)}, false},
		"in the zone, deleted, and silent": {ListedNone, []Span{old, span(168*time.Hour, Holder, home, deleted), span(0, Taker, theirs, nil)}, true},
	} {
		d := &Domain{TLD: &TLD{RDAP: c.rdap}, Spans: c.spans, Taken: at}
		if d.passedUnseen() != c.want {
			t.Errorf("%s: unseen %t", name, !c.want)
		}
	}
}

// What could not be believed at sight is told apart: a zone without names whose answer is known, and a first sign while its
// upstream was wrong or silent.
func TestDisturbed(t *testing.T) {
	w := testWorld(t)
	p := &Population{World: w, Size: Size{Days: 100}}
	w.Faults = []Fault{{Suffix: "com", Source: "rdap", What: "silent", From: 0.5, Days: 3}}
	from, to := p.faulty(&w.Faults[0])
	com, blind := &TLD{Suffix: "com", Control: true}, &TLD{Suffix: "org"}
	for name, c := range map[string]struct {
		d    Domain
		want bool
	}{
		"long before":     {Domain{TLD: com, Sign: from.Add(-days(3))}, false},
		"a day before":    {Domain{TLD: com, Sign: from.Add(-days(1))}, true},
		"while it lasts":  {Domain{TLD: com, Sign: from.Add(days(1))}, true},
		"after it":        {Domain{TLD: com, Sign: to}, false},
		"of another zone": {Domain{TLD: &TLD{Suffix: "net", Control: true}, Sign: from}, false},
		"of a blind zone": {Domain{TLD: blind, Sign: to}, true},
	} {
		if got := p.disturbed(&c.d); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
