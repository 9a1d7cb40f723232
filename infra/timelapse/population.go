package main

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
)

// Size says how large a world is and for how long it lives.
type Size struct {
	Domains     int
	Days        int
	Seed        uint64
	Oversampled bool // rare kinds by their factors; else all at true rates
	// Unknown: the registry knows no verification time at all.
	Unknown bool
}

// Population is everybody in a world: the domains behind accounts, the mail hosts and name servers that they use, and
// names that only serve as controls.
type Population struct {
	World   *World
	Size    Size
	Domains []*Domain // behind accounts
	byName  map[string]*Domain
	tlds    map[string]*TLD // by suffix
	count   map[string]int  // names of a suffix
	end     time.Time
}

// Populate makes the world of a size. The same seed gives the same world.
func Populate(w *World, s Size) (*Population, error) {
	if s.Domains < minDomains || s.Days < 30 {
		return nil, fmt.Errorf("a world of %d domains and %d days is too small: at least %d and 30", s.Domains, s.Days, minDomains)
	}
	p := &Population{World: w, Size: s, byName: map[string]*Domain{}, tlds: map[string]*TLD{}, count: map[string]int{}, end: w.Start.AddDate(0, 0, s.Days)}
	for i := range w.TLDs {
		p.tlds[w.TLDs[i].Suffix] = &w.TLDs[i]
	}
	for _, k := range w.Kinds {
		for n := range w.cases(k, s.Domains, s.Days, s.Oversampled) {
			if err := p.oneCase(k, n); err != nil {
				return nil, err
			}
		}
	}
	if len(p.Domains) > s.Domains {
		return nil, fmt.Errorf("the kinds alone have %d cases, more than %d domains: take a larger world", len(p.Domains), s.Domains)
	}
	for n := len(p.Domains); n < s.Domains; n++ {
		if _, err := p.domain(Kind{Name: quiet, Where: Anywhere}, n, 0, nil); err != nil {
			return nil, err
		}
	}
	p.infrastructure()
	return p, nil
}

// draw is a generator for one thing of the world, told apart by its name: what is added later changes nothing else.
func (p *Population) draw(what string) *rand.Rand {
	return rand.New(rand.NewPCG(p.Size.Seed, hash(what)))
}

func hash(what ...string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(what, "\x00"))) // never fails
	return mix(h.Sum64())
}

// mix spreads what two similar texts have in common over all bits (splitmix64's finish).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is a draw of probability q that depends on its arguments alone.
func (p *Population) chance(q float64, what ...string) bool {
	return float64(mix(hash(what...)^p.Size.Seed)>>11)/(1<<53) < q
}

// oneCase makes a case of a kind: one domain, or a group.
func (p *Population) oneCase(k Kind, n int) error {
	var host *Domain
	if strings.HasPrefix(k.Name, "mail-host") {
		var err error
		if host, err = p.mailHost(k, n); err != nil {
			return err
		}
	}
	for i := range k.group(p.Size.Domains) {
		if _, err := p.domain(k, n, i, host); err != nil {
			return err
		}
	}
	return nil
}

// tld draws a TLD for a kind.
func (p *Population) tld(r *rand.Rand, where Where) *TLD {
	sum := 0.0
	for _, t := range p.World.TLDs {
		if t.in(where) {
			sum += t.Share
		}
	}
	x := r.Float64() * sum
	var last *TLD
	for i := range p.World.TLDs {
		t := &p.World.TLDs[i]
		if !t.in(where) {
			continue
		}
		if last = t; x < t.Share {
			return t
		}
		x -= t.Share
	}
	return last
}

func (p *Population) newLife(kind, label string, r *rand.Rand, tld *TLD, group uint64) *life {
	d := &Domain{Name: label + "." + tld.Suffix, Kind: kind, TLD: tld}
	if tld.country() && p.chance(p.World.Answers.StatusWrong, "status is wrong", d.Name) {
		d.StatusIs = "undelegated inactive"
		if p.chance(0.5, "status is wrong, how", d.Name) {
			d.StatusIs = "undelegated unknown"
		}
	}
	d.silent = p.chance(p.World.Answers.StatusSilent, "status is silent", d.Name)
	l := &life{w: p.World, r: r, d: d, begin: p.World.Start, end: p.end, oversampled: p.Size.Oversampled, groupSeed: group}
	l.base()
	return l
}

// domain makes one domain with its accounts.
func (p *Population) domain(k Kind, n, i int, host *Domain) (*Domain, error) {
	label := fmt.Sprintf("%s-%d", k.Name, n)
	group := mix(hash(label) ^ p.Size.Seed)
	if k.Group > 1 {
		label += fmt.Sprintf("-%d", i)
	}
	r := p.draw(label)
	where := r
	if k.Name == "portfolio" { // one registrar, one registry
		where = rand.New(rand.NewPCG(group, 2))
	}
	l := p.newLife(k.Name, label, r, p.tld(where, k.Where), group)
	if host != nil {
		l.now.MX, l.d.OwnMail, l.d.Host = []string{"mx." + host.Name}, false, host.Name
		l.d.Spans[0].MX = l.now.MX
	}
	stories[k.Name](l)
	if host != nil {
		p.usesHost(l, host)
	}
	l.live()
	l.accounts(p.Size.Unknown)
	return l.d, p.add(l.d, true)
}

// mailHost makes the domain of a mail host that lapses and is taken at once.
func (p *Population) mailHost(k Kind, n int) (*Domain, error) {
	label := fmt.Sprintf("%s-%d-host", k.Name, n)
	l := p.newLife(k.Name, label, p.draw(label), p.tlds["com"], 0)
	l.w = &World{}
	*l.w = *p.World
	l.w.Story.TakenAtOnce, l.w.Story.TakenAtOnceTrue = 1, 1
	l.lapse([][]string{nil, l.parkedKnown()}[n%2])
	l.live()
	return l.d, p.add(l.d, false)
}

// usesHost makes a domain's mail depend on a host: whoever takes the host reads it. Some holders leave in time.
func (p *Population) usesHost(l *life, host *Domain) {
	if l.chance(0.15) {
		mx, left := l.mailHost(), host.Taken.Add(-days(3+l.r.IntN(30)))
		l.at(left, "another mail host, by its holder", func(v *View) { v.MX = mx })
		if left.After(host.Sign) {
			l.d.Sign = host.Sign // while it lapsed, the mail was with it
		}
		return
	}
	l.d.Sign, l.d.Taken = host.Sign, host.Taken
}

func (p *Population) add(d *Domain, listed bool) error {
	if p.byName[d.Name] != nil {
		return fmt.Errorf("%s is in the world twice", d.Name)
	}
	if n, reason := domain.Parse(d.Name); reason != "" || n.Registrable != d.Name {
		return fmt.Errorf("%s is no registrable domain (%s)", d.Name, reason)
	}
	p.byName[d.Name] = d
	p.count[d.TLD.Suffix]++
	if listed {
		p.Domains = append(p.Domains, d)
	}
	return nil
}

// infrastructure registers whatever is used as name server or mail host and is nobody's in particular.
func (p *Population) infrastructure() {
	names := map[string]bool{}
	for _, d := range p.byName {
		for _, s := range d.Spans {
			for _, host := range slices.Concat(s.NS, s.MX) {
				if n, reason := domain.Parse(host); reason == "" && p.byName[n.Registrable] == nil {
					names[n.Registrable] = true
				}
			}
		}
	}
	for name := range names {
		d := &Domain{Name: name, Kind: "infrastructure", TLD: p.tlds[lastLabel(name)]}
		at := p.World.Start.AddDate(-12, 0, 0)
		d.Spans = []Span{{From: at, What: "in use", View: View{
			NS: []string{"ns1." + name, "ns2." + name}, MX: []string{"mx." + name}, Statuses: []string{"client transfer prohibited"},
			Registered: at, Expires: p.World.Start.AddDate(4, 0, 0), Registrar: "99",
		}}}
		p.byName[name] = d
	}
}

// accounts are the addresses at the domain: before, between and after.
func (l *life) accounts(unknown bool) {
	again := time.Time{}
	for _, a := range l.d.Accounts {
		again = a.Again
	}
	l.d.Accounts = nil
	first := l.firstUse()
	for n := 0; n == 0 || n < 6 && l.chance(l.w.Accounts.Another); n++ {
		at := l.begin.Add(-days(l.between(l.w.Accounts.VerifiedDays)))
		if first.After(l.begin) { // a new name: its holder verifies within the first day
			at = first.Add(time.Duration(1+l.r.IntN(20)) * time.Hour)
		}
		l.account(at, false, unknown)
		if n == 0 {
			l.d.Accounts[0].Again = again
		}
	}
	if at := l.sometime(days(2)); l.chance(l.w.Accounts.Between) && l.d.At(at).Owner == Holder && !l.d.At(at).Lame && at.After(first.Add(days(1))) && (l.d.Taken.IsZero() || at.Before(l.d.Taken)) &&
		(l.d.Host == "" || at.Before(l.d.Sign)) { // while its mail host is out of service no mail arrives
		l.account(at, false, unknown)
	}
	if at := l.d.Taken; !at.IsZero() && l.d.Host == "" && l.chance(l.w.Accounts.After) {
		l.account(l.jitter(at.Add(days(1+l.r.IntN(20)))), true, unknown)
	}
}

// firstUse is when its holder had the domain first.
func (l *life) firstUse() time.Time {
	for _, s := range l.d.Spans {
		if s.Owner == Holder {
			return s.From
		}
	}
	return l.begin
}

func (l *life) account(at time.Time, other, unknown bool) {
	host := l.d.Name
	if l.chance(l.w.Accounts.Below) {
		host = "mail." + host
	}
	a := Account{Address: fmt.Sprintf("u%d@%s", len(l.d.Accounts), host), Verified: at.Truncate(time.Second), Other: other}
	a.Known = !unknown && !l.chance(l.w.Accounts.UnknownTimes)
	l.d.Accounts = append(l.d.Accounts, a)
}

// Find gives a domain of the world by its name; nil: it is not registered and never was.
func (p *Population) Find(name string) *Domain { return p.byName[name] }

// Kinds lists the kinds that have cases, with how many, by name.
func (p *Population) Kinds() []KindCount {
	count := map[string]int{}
	for _, d := range p.Domains {
		count[d.Kind]++
	}
	var list []KindCount
	for name, n := range count {
		list = append(list, KindCount{name, n})
	}
	slices.SortFunc(list, func(a, b KindCount) int { return cmp.Compare(a.Kind, b.Kind) })
	return list
}

// KindCount is how many domains of a kind there are.
type KindCount struct {
	Kind    string
	Domains int
}
