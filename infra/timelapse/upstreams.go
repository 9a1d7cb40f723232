package main

import (
	"context"
	"fmt"
	"github.com/lapseguard/lapseguard/shared/source"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
)

// Upstreams is everything that the guard asks, answering in process as the population is at the clock's time. What it
// answers depends on the seed, the question and the time alone, not on what was asked before.
type Upstreams struct {
	p   *Population
	now func() time.Time
	// Asked counts questions by kind and domain; names that nobody has an account at count under "".
	Asked map[queue.Kind]map[string]int
	// Failed counts the answers about domains that failed for a moment, by kind.
	Failed map[queue.Kind]int
	// Watch is called with every answer; nil: by nobody.
	Watch func(name string, o source.Observation)
}

// NewUpstreams answers about a population.
func NewUpstreams(p *Population, now func() time.Time) *Upstreams {
	u := &Upstreams{p: p, now: now, Asked: map[queue.Kind]map[string]int{}, Failed: map[queue.Kind]int{}}
	for _, k := range []queue.Kind{queue.KindDelegation, queue.KindRDAP, queue.KindStatus, queue.KindMail, queue.KindServers} {
		u.Asked[k] = map[string]int{}
	}
	return u
}

// controlLabel and freeLabel make the names whose answer is known in every zone that has control names.
const (
	controlLabel = "control"
	freeLabel    = "lapseguard-free"
)

// Controls are the names known to be registered.
func (u *Upstreams) Controls() []string {
	var names []string
	for _, t := range u.p.World.TLDs {
		if t.Control {
			names = append(names, controlLabel+"."+t.Suffix)
		}
	}
	return names
}

// Server is the directory of RDAP servers.
func (u *Upstreams) Server(tld string) (base string, authoritative, ok bool) {
	for _, t := range u.p.World.TLDs {
		if lastLabel(t.Suffix) == tld && t.RDAP != ListedNone {
			return t.Server, t.RDAP == ListedIANA, true
		}
	}
	return "", false, false
}

// control is the domain of a name that is always there.
var control = View{NS: []string{"ns1.control.example"}, MX: []string{"mx.control.example"}, Statuses: []string{"active"}}

// look finds out what is so about a name, and what its upstream does wrong just now.
func (u *Upstreams) look(kind queue.Kind, name string) (v View, d *Domain, wrong source.Observation, fault bool) {
	now := u.now()
	label, suffix, _ := strings.Cut(name, ".")
	d = u.p.Find(name)
	counted := ""
	if d != nil && len(d.Accounts) > 0 {
		counted = name
	}
	u.Asked[kind][counted]++
	switch {
	case label == controlLabel:
		v = control
		v.Registered, v.Expires = u.p.World.Start.AddDate(-20, 0, 0), u.p.World.Start.AddDate(5, 0, 0)
	case d == nil:
		v = View{Owner: Nobody, Absent: true}
	default:
		suffix = d.TLD.Suffix
		v = d.At(now)
	}
	o := source.Observation{At: now, Outcome: source.Unknown}
	if u.p.chance(u.p.World.Answers.Fails, "fails", string(kind), name, now.Format(time.RFC3339)) {
		if counted != "" {
			u.Failed[kind]++
		}
		o.Cause, o.Said = source.CauseTimeout, "no answer"
		return v, d, o, true
	}
	for i := range u.p.World.Faults {
		f := &u.p.World.Faults[i]
		if f.Suffix != suffix || !u.during(f, now) || f.NamesADay > 0 && !u.p.Size.Oversampled {
			continue
		}
		switch {
		case f.What == "silent" && f.Source == string(kind):
			o.Cause, o.Said = source.CauseTimeout, "no answer"
			return v, d, o, true
		case f.What == "absent" && f.Source == string(kind):
			return View{Owner: Nobody, Absent: true}, d, o, false
		case f.What == "deleted" && f.Source == "registry" && d != nil && len(d.Accounts) > 0 && u.wrongToday(f, name, now):
			v.NS, v.Absent, v.Statuses = nil, false, []string{"redemption period"}
		}
	}
	return v, d, o, false
}

func (u *Upstreams) during(f *Fault, now time.Time) bool {
	from, to := u.p.faulty(f)
	return !now.Before(from) && now.Before(to)
}

// faulty is from when to when an upstream is wrong or silent.
func (p *Population) faulty(f *Fault) (from, to time.Time) {
	from = p.World.Start.Add(time.Duration(f.From * float64(p.Size.Days) * float64(24*time.Hour))).Truncate(24 * time.Hour)
	return from, from.Add(days(f.Days))
}

// wrongToday draws the names about which a registry is wrong from midnight to midnight.
func (u *Upstreams) wrongToday(f *Fault, name string, now time.Time) bool {
	wrong := float64(f.NamesADay*u.p.Size.Domains) / 5000
	share := min(wrong/float64(max(u.p.count[f.Suffix], 1)), 0.2)
	return u.p.chance(share, "registry is wrong", name, now.Format(time.DateOnly))
}

// Ask implements the checker's asker for the delegation, as the client for a zone's servers does.
func (u *Upstreams) Ask(_ context.Context, m queue.Message) []source.Observation {
	obs := make([]source.Observation, len(m.Domains))
	for i, e := range m.Domains {
		obs[i] = u.seen(e.Name, u.delegation(e.Name, m.Upstream))
	}
	return obs
}

// Confirm implements the checker's Confirmer: two questions more.
func (u *Upstreams) Confirm(ctx context.Context, m queue.Message) []source.Observation {
	u.Ask(ctx, m)
	return u.Ask(ctx, m)
}

func (u *Upstreams) seen(name string, o source.Observation) source.Observation {
	if u.Watch != nil {
		u.Watch(name, o)
	}
	return o
}

func (u *Upstreams) delegation(name, zone string) source.Observation {
	v, _, o, fault := u.look(queue.KindDelegation, name)
	o.Source, o.Server = source.SourceDelegation, zone
	switch {
	case fault:
	case v.NS == nil:
		o.Outcome, o.Said = source.Absent, "NXDOMAIN"
	default:
		o.Outcome, o.Said = source.Observed, "referral to "+strings.Join(v.NS, " ")
		o.Delegation = &source.Delegation{NS: slices.Clone(v.NS), Form: source.FormReferral}
	}
	return o
}

func (u *Upstreams) rdap(_ context.Context, name, tld string) source.Observation {
	v, _, o, fault := u.look(queue.KindRDAP, name)
	base, authoritative, _ := u.Server(tld)
	o.Source, o.Server = source.SourceRDAP, base
	switch {
	case fault:
	case v.Absent && !authoritative:
		o.Cause, o.Said = source.CauseNotAuthority, "404"
	case v.Absent:
		o.Outcome, o.Said = source.Absent, "404"
	default:
		o.Outcome = source.Observed
		o.Said = fmt.Sprintf("statuses %q, registered %s, expires %s", v.Statuses, v.Registered.Format(time.DateOnly), v.Expires.Format(time.DateOnly))
		o.Registration = &source.Registration{
			Authoritative: authoritative, Statuses: slices.Clone(v.Statuses), Registered: v.Registered, Expires: v.Expires,
			RegistrarExpires: v.RegistrarExpires, Transferred: v.Transferred, Registrar: v.Registrar, NameServers: slices.Clone(v.NS),
		}
	}
	return u.seen(name, o)
}

func (u *Upstreams) mail(_ context.Context, name, _ string) source.Observation {
	v, _, o, fault := u.look(queue.KindMail, name)
	o.Source, o.Server = source.SourceMail, "resolver"
	switch {
	case fault:
	case v.NS == nil:
		o.Outcome, o.Said = source.Absent, "NXDOMAIN"
	case v.Down, v.Lame:
		o.Cause, o.Said = source.CauseServfail, "SERVFAIL"
	default:
		o.Outcome, o.Said = source.Observed, "MX "+strings.Join(v.MX, " ")
		o.Mail = &source.Mail{Hosts: slices.Clone(v.MX)}
		if o.Mail.Own = len(v.MX) == 0 || slices.ContainsFunc(v.MX, func(host string) bool { return strings.HasSuffix(host, "."+name) }); o.Mail.Own {
			o.Mail.Addresses = []string{v.address(name)}
			for range 2 { // A and AAAA
				u.look(queue.KindMail, name)
			}
		}
	}
	return u.seen(name, o)
}

// servers is what a domain's own name servers make of its zone.
func (u *Upstreams) servers(_ context.Context, name, _ string) source.Observation {
	v, _, o, fault := u.look(queue.KindServers, name)
	o.Source, o.Server = source.SourceServers, checker.OwnUpstream
	serves := source.Service{Serves: source.Served, NS: slices.Sorted(slices.Values(v.NS))}
	switch {
	case fault:
		return u.seen(name, o)
	case v.NS == nil:
		o.Cause, o.Said = source.CauseNoServer, "delegated to nobody"
		return u.seen(name, o)
	case v.Down:
		serves.Serves = source.Unreachable
	case v.Lame:
		serves.Serves, serves.Lame = source.Lame, v.NS
	case v.Half:
		serves.Lame = v.NS[:1]
	}
	o.Outcome, o.Service = source.Observed, &serves
	o.Said = fmt.Sprintf("%s by %s; %d of them lame", serves.Serves, strings.Join(v.NS, " "), len(serves.Lame))
	return u.seen(name, o)
}

func (u *Upstreams) status(_ context.Context, name, _ string) source.Observation {
	v, d, o, fault := u.look(queue.KindStatus, name)
	o.Source, o.Server = source.SourceStatus, "fastly"
	if !fault {
		o.Outcome, o.Said = source.Observed, statusOf(v, d)
		o.Market = &source.Market{Tokens: strings.Fields(o.Said), Precise: true}
	}
	return u.seen(name, o)
}

// statusOf is what the status API says of a name, the most important word last.
func statusOf(v View, d *Domain) string {
	if d != nil && d.StatusIs != "" {
		return d.StatusIs
	}
	deleted := v.Absent || slices.ContainsFunc(v.Statuses, func(s string) bool { return slices.Contains(wordsOfDeletion, s) })
	switch {
	case v.Owner == Nobody && v.Absent:
		return "undelegated inactive"
	case deleted && d != nil && d.silent, v.NS == nil && !deleted:
		return "undelegated active"
	case deleted && len(v.Statuses) == 1 && v.Statuses[0] == "pending delete" && d != nil && d.TLD.where() == InGTLD:
		return "undelegated deleting"
	case deleted:
		return "undelegated expiring"
	case lifecycle.Parking(v.NS):
		return "active parked"
	default:
		return "active"
	}
}

// wordsOfDeletion are the courses' words for a name that was deleted.
var wordsOfDeletion = []string{"redemption period", "pending delete", "pending restore", "in quarantine", "deactivated", "suspended"}

// askers are what the checker asks, in place of its clients for the network.
func (u *Upstreams) askers(status bool) map[queue.Kind]*checker.OneByOne {
	one := func(s source.Source, lookup func(ctx context.Context, name, tld string) source.Observation) *checker.OneByOne {
		// One at a time, so that which answers come in a row is always the same; without a pause.
		return &checker.OneByOne{Source: s, Rate: 1e12, AtOnce: 1, Patience: 4, Now: u.now, Lookup: lookup}
	}
	askers := map[queue.Kind]*checker.OneByOne{
		queue.KindRDAP: one(source.SourceRDAP, u.rdap),
		queue.KindMail: one(source.SourceMail, u.mail),

		queue.KindServers: one(source.SourceServers, u.servers),
	}
	if status {
		askers[queue.KindStatus] = one(source.SourceStatus, u.status)
	}
	return askers
}
