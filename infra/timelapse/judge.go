package main

import (
	"cmp"
	"slices"
	"time"
)

// change is one change of what an account's address is good for.
type change struct {
	at       time.Time
	account  int
	verified bool
	closed   bool // recovery through it is closed, although it is verified
}

// usable tells whether a reset through the address would be sent.
func (c change) usable() bool { return c.verified && !c.closed }

// Ledger is what became of every address under one policy.
type Ledger struct {
	p       *Population
	changes map[*Domain][]change
}

func newLedger(p *Population) *Ledger { return &Ledger{p: p, changes: map[*Domain][]change{}} }

// note writes a change down; one that changes nothing is none.
func (l *Ledger) note(d *Domain, c change) {
	if last, ok := l.last(d, c.account); ok && last.verified == c.verified && last.closed == c.closed {
		return
	}
	l.changes[d] = append(l.changes[d], c)
}

// verify notes that an account's owner verified: at its first time, or again.
func (l *Ledger) verify(d *Domain, account int, at time.Time) {
	l.note(d, change{at: at, account: account, verified: true})
}

func (l *Ledger) last(d *Domain, account int) (change, bool) {
	for _, c := range slices.Backward(l.changes[d]) {
		if c.account == account {
			return c, true
		}
	}
	return change{}, false
}

// open tells whether any address of the former holder can be used at a time.
func (l *Ledger) open(d *Domain, at time.Time) bool {
	state := map[int]bool{}
	for _, c := range l.changes[d] {
		if !c.at.After(at) && !d.Accounts[c.account].Other {
			state[c.account] = c.usable()
		}
	}
	for _, usable := range state {
		if usable {
			return true
		}
	}
	return false
}

// Fate is what a policy did about one domain.
type Fate struct {
	Domain    string    `json:"domain"`
	Kind      string    `json:"kind"`
	Suffix    string    `json:"suffix"`
	Takeover  bool      `json:"takeover"`            // somebody else got it, or its mail, within the simulated time
	Unseen    bool      `json:"unseen,omitempty"`    // control passed between two daily looks
	Blind     bool      `json:"blind,omitempty"`     // its zone shows no lapse, and no registry can be asked
	Disturbed bool      `json:"disturbed,omitempty"` // an upstream was wrong or silent at its first sign, or two looks must agree
	Missed    bool      `json:"missed"`              // and an address could be used then, or later
	Late      float64   `json:"late_h,omitempty"`    // hours from then to protection; -1: never
	Hours     float64   `json:"hours,omitempty"`     // from the first sign to protection; -1: never
	Wrong     int       `json:"wrong,omitempty"`     // addresses unverified although their owner kept the domain
	Shut      float64   `json:"shut_h,omitempty"`    // hours in which recovery was closed although the holder had the mail
	Still     bool      `json:"still,omitempty"`     // and an address is shut out at the end still
	Lapsed    bool      `json:"lapsed,omitempty"`    // it lapsed, whoever has it in the end
	Left      bool      `json:"left,omitempty"`      // deleted beyond restore by the registry's word, and an address is still verified at the end
	Protected time.Time `json:"protected,omitzero"`  // when no address of the former holder could be used any more
}

// settle is how long after a loss an address must have been unverified.
const settle = 2 * 24 * time.Hour

// Fates judges every domain.
func (l *Ledger) Fates() []Fate {
	fates := make([]Fate, 0, len(l.p.Domains))
	for _, d := range l.p.Domains {
		fates = append(fates, l.fate(d))
	}
	slices.SortFunc(fates, func(a, b Fate) int { return cmp.Compare(a.Domain, b.Domain) })
	return fates
}

func (l *Ledger) fate(d *Domain) Fate {
	begin, end := l.p.World.Start, l.p.end
	f := Fate{Domain: d.Name, Kind: d.Kind, Suffix: d.TLD.Suffix}
	f.Takeover = !d.Taken.IsZero() && d.Taken.After(begin) && d.Taken.Before(end)
	if f.Takeover {
		whose := d
		if host := l.p.Find(d.Host); host != nil {
			whose = host
		}
		f.Unseen, f.Disturbed = whose.passedUnseen(), l.p.disturbed(whose)
		f.Blind = whose.TLD.RDAP == ListedNone && l.p.World.Courses[whose.TLD.Course].StaysInZone
		f.Unseen = f.Unseen && !f.Blind
		f.Missed = l.open(d, d.Taken) || slices.ContainsFunc(l.changes[d], func(c change) bool { return c.at.After(d.Taken) && l.open(d, c.at) })
		f.Protected = l.protected(d)
		f.Late, f.Hours = -1, -1
		if !f.Protected.IsZero() {
			f.Late = max(0, f.Protected.Sub(d.Taken).Hours())
			f.Hours = max(0, f.Protected.Sub(later(d.Sign, begin)).Hours())
		}
	}
	for _, c := range l.changes[d] {
		if a := d.Accounts[c.account]; !c.verified && (a.Other || d.Taken.IsZero() && d.Lost.IsZero()) {
			f.Wrong++
		}
	}
	f.Shut, f.Still = l.shut(d)
	f.Lapsed = !d.Sign.IsZero()
	if !d.Lost.IsZero() && d.Lost.After(begin) && d.Lost.Add(settle).Before(end) && d.saidDeleted() {
		for i, a := range d.Accounts {
			last, ok := l.last(d, i)
			f.Left = f.Left || ok && last.verified && !a.Other && !a.Verified.After(d.Lost)
		}
	}
	return f
}

// disturbed tells whether the first sign of a domain's lapse could not be believed at sight: its zone has no names whose
// answer is known, or an upstream of its TLD was wrong or silent within two days of it. One that is wrong about many names
// of another TLD fills the day's budget, which is everybody's.
func (p *Population) disturbed(d *Domain) bool {
	for i := range p.World.Faults {
		f := &p.World.Faults[i]
		from, to := p.faulty(f)
		if (f.Suffix == d.TLD.Suffix || f.NamesADay > 0) && d.Sign.Before(to) && d.Sign.Add(settle).After(from) {
			return true
		}
	}
	return !d.TLD.Control
}

// protected is the first time from which on no address of the former holder could be used until the name was taken,
// or, where one could, the first such time after that; zero: never.
func (l *Ledger) protected(d *Domain) time.Time {
	var since time.Time
	for _, c := range l.changes[d] {
		if l.open(d, c.at) {
			if !c.at.After(d.Taken) || !since.After(d.Taken) {
				since = time.Time{}
			}
			continue
		}
		if since.IsZero() {
			since = c.at
		}
	}
	return since
}

// shut sums up the time for which an address of a domain that its holder had, and whose mail arrived, was closed or
// unverified wrongly; still: at the end it is.
func (l *Ledger) shut(d *Domain) (hours float64, still bool) {
	if !d.Taken.IsZero() || !d.Lost.IsZero() {
		return 0, false
	}
	for i := range d.Accounts {
		var from time.Time
		for _, c := range append(slices.Clone(l.changes[d]), change{at: l.p.end, account: i, verified: true}) {
			if c.account != i {
				continue
			}
			if !from.IsZero() {
				h := l.mailWorked(d, from, c.at)
				hours, still = max(hours, h), still || h > 0 && c.at.Equal(l.p.end)
			}
			if from = c.at; c.usable() {
				from = time.Time{}
			}
		}
	}
	return hours, still
}

// mailWorked is for how many hours of a time the holder's mail arrived.
func (l *Ledger) mailWorked(d *Domain, from, to time.Time) float64 {
	hours := 0.0
	for i, s := range d.Spans {
		until := to
		if i+1 < len(d.Spans) && d.Spans[i+1].From.Before(to) {
			until = d.Spans[i+1].From
		}
		begin := later(s.From, from)
		if s.Owner == Holder && s.NS != nil && !s.Down && !s.Lame && until.After(begin) {
			hours += until.Sub(begin).Hours()
		}
	}
	return hours
}

// Totals sums fates up, of all or of a kind.
type Totals struct {
	Domains   int     `json:"domains"`
	Takeovers int     `json:"takeovers"`
	Missed    int     `json:"missed"`
	Soon      int     `json:"missed_closed_within_a_day"` // of these: protected within a day
	Wrong     int     `json:"wrong"`                      // domains
	Shut      int     `json:"shut"`                       // domains whose holder was shut out for an hour or more while the mail worked
	Left      int     `json:"left"`
	Median    float64 `json:"median_h"` // from the first sign to protection; of takeovers that were not missed for good
	P99       float64 `json:"p99_h"`
	Max       float64 `json:"max_h"`
	ShutHours float64 `json:"shut_median_h"` // of who was shut out: for how long
}

// Sum sums up the fates for which keep holds.
func Sum(fates []Fate, keep func(Fate) bool) Totals {
	var t Totals
	var hours, shut []float64
	for _, f := range fates {
		if !keep(f) {
			continue
		}
		t.Domains++
		t.Takeovers += one(f.Takeover)
		t.Missed += one(f.Missed)
		t.Soon += one(f.Missed && f.Late >= 0 && f.Late <= 24)
		t.Wrong += one(f.Wrong > 0)
		t.Shut += one(f.Shut >= 1)
		t.Left += one(f.Left)
		if f.Takeover && f.Hours >= 0 {
			hours = append(hours, f.Hours)
		}
		if f.Shut > 0 {
			shut = append(shut, f.Shut)
		}
	}
	slices.Sort(hours)
	slices.Sort(shut)
	t.ShutHours = quantile(shut, 0.5)
	t.Median, t.P99, t.Max = quantile(hours, 0.5), quantile(hours, 0.99), quantile(hours, 1)
	return t
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// quantile of sorted numbers; 0 of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
