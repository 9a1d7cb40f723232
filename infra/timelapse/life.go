package main

import (
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// Owner is in whose hands a name is, and so who reads its mail.
type Owner uint8

// The owners.
const (
	Holder    Owner = iota // whoever verified the addresses
	Registrar              // parked, on hold or deleted: its mail reaches nobody
	Nobody                 // not registered
	Taker                  // somebody else
)

func (o Owner) String() string {
	return [...]string{"its holder", "its registrar", "nobody", "somebody else"}[o]
}

// View is what is so about a domain for some time: what upstreams show, and whose it is.
type View struct {
	Owner            Owner
	NS               []string // delegated name servers; nil: not in the zone
	MX               []string
	Down             bool     // its own name servers do not answer
	Lame             bool     // they answer that they do not have the zone
	Half             bool     // one of them does
	Absent           bool     // the registry has no such object
	Statuses         []string // RDAP's words
	Registered       time.Time
	Expires          time.Time
	RegistrarExpires time.Time
	Transferred      time.Time
	Registrar        string
}

// address is where mail hosts below the name are: with whoever has it.
func (v View) address(name string) string {
	if v.Owner == Taker {
		return "192.0.2.2"
	}
	return "192.0.2.1"
}

// Span is a View from a moment on.
type Span struct {
	From time.Time
	What string // in words, for the trace
	View
}

// Account is an address of the registry, the truth about it.
type Account struct {
	Address  string
	Verified time.Time // when it was verified first
	Known    bool      // the registry knows that time
	Again    time.Time // its owner verifies it again; zero: never
	Other    bool      // it belongs to the next owner
}

// Domain is one name and all that becomes of it.
type Domain struct {
	Name, Kind string
	TLD        *TLD
	Spans      []Span
	Accounts   []Account
	Host       string // of the mail host that lapses, where the story is one of its users

	Sign     time.Time // the first sign of the lapse that zone or registry show; zero: none
	Lost     time.Time // nobody can get it back from then on; zero: never
	Taken    time.Time // somebody else has it, or its mail; zero: never
	OwnMail  bool      // its MX is below itself
	StatusIs string    // what the status API says whatever is so; empty: the truth
	silent   bool      // the status API shows neither expiring nor deleting
}

// At is what is so at a time.
func (d *Domain) At(t time.Time) View {
	n := sort.Search(len(d.Spans), func(i int) bool { return d.Spans[i].From.After(t) })
	return d.Spans[max(n-1, 0)].View
}

// life builds a domain's spans.
type life struct {
	w           *World
	r           *rand.Rand
	d           *Domain
	now         View // what is so before the story begins
	begin, end  time.Time
	oversampled bool
	groupSeed   uint64 // what the domains of one case have in common
	events      []event
}

// event changes what is so.
type event struct {
	at     time.Time
	what   string
	change func(v *View)
}

// at notes an event; the order in which they are noted does not matter.
func (l *life) at(t time.Time, what string, change func(v *View)) {
	l.events = append(l.events, event{t, what, change})
}

// live turns the events into spans.
func (l *life) live() {
	slices.SortStableFunc(l.events, func(a, b event) int { return a.at.Compare(b.at) })
	now := l.d.Spans[0].View
	for _, e := range l.events {
		if last := l.d.Spans[len(l.d.Spans)-1].From; !e.at.After(last) {
			e.at = last.Add(time.Second)
		}
		now.Statuses = slices.Clone(now.Statuses)
		e.change(&now)
		l.d.Spans = append(l.d.Spans, Span{From: e.at, What: e.what, View: now})
	}
}

// groupRand draws the same for every domain of a case.
func (l *life) groupRand() *rand.Rand { return rand.New(rand.NewPCG(l.groupSeed, 1)) }

// sign notes the first sign of a lapse.
func (l *life) sign(t time.Time) {
	if l.d.Sign.IsZero() {
		l.d.Sign = t
	}
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// between draws a whole number.
func (l *life) between(r Range) int { return r[0] + l.r.IntN(r[1]-r[0]+1) }

func (l *life) chance(p float64) bool { return l.r.Float64() < p }

// place draws the beginning of a story that takes so long, so that its end falls into the simulated time: what is
// longer than that has begun before.
func (l *life) place(long time.Duration) time.Time {
	first, last := l.begin.Add(days(l.w.WarmUp)), l.end.Add(-long-days(2))
	if !last.After(first) {
		return last.Add(-time.Duration(l.r.IntN(48*60)) * time.Minute)
	}
	return first.Add(time.Duration(l.r.Int64N(int64(last.Sub(first)/time.Minute))) * time.Minute)
}

// jitter moves a time within a day.
func (l *life) jitter(t time.Time) time.Time {
	return t.Add(time.Duration(l.r.IntN(24*60)) * time.Minute)
}

// passedUnseen tells whether nobody who looks once a day could see the name out of its holder's hands before somebody else
// had it: neither in the zone above nor, where there is a registry to ask, in its words.
func (d *Domain) passedUnseen() bool {
	first := slices.IndexFunc(d.Spans, func(s Span) bool { return s.Owner == Holder })
	home := d.Spans[first].NS
	for _, s := range d.Spans[first:] {
		asked := d.TLD.RDAP != ListedNone && (s.Absent || slices.ContainsFunc(s.Statuses, func(w string) bool { return slices.Contains(wordsOfDeletion, w) }))
		if (asked || !slices.Equal(s.NS, home)) && s.From.Before(d.Taken) {
			return d.Taken.Sub(s.From) < lookEvery
		}
	}
	return true
}

// lookEvery is a day, and what a run may take.
const lookEvery = 26 * time.Hour

// saidDeleted tells whether the registry said for longer than a look takes that the name is deleted, where one can be
// asked whose word counts, and what it means is described.
func (d *Domain) saidDeleted() bool {
	for i, s := range d.Spans {
		said := s.Owner == Nobody && s.Absent || slices.ContainsFunc(s.Statuses, func(w string) bool { return slices.Contains(wordsOfDeletion, w) })
		if i > 0 && said && d.TLD.RDAP == ListedIANA && d.TLD.where() != InUndescribed && (i+1 == len(d.Spans) || d.Spans[i+1].From.Sub(s.From) > lookEvery) {
			return true
		}
	}
	return false
}
