package main

import (
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// PeerRun is what another registry's policy came to.
type PeerRun struct {
	Name   string
	Ledger *Ledger
	Asked  int // questions to the status API
	Days   int
}

// playPeer lives the population's time under another registry's policy, at the same hour of each day.
func playPeer(p *Population, name string, policy *Peer) *PeerRun {
	c := &clock{}
	u := NewUpstreams(p, c.now)
	run := &PeerRun{Name: name, Ledger: newLedger(p), Days: p.Size.Days}
	news := newsOf(p)
	for day := range p.Size.Days {
		at := p.World.Start.Add(days(day) + time.Duration(p.World.RunsAt)*time.Hour)
		c.set(at)
		for len(news) > 0 && !news[0].at.After(at) {
			run.Ledger.verify(news[0].d, news[0].account, news[0].at)
			news = news[1:]
		}
		if policy != nil {
			run.day(u, *policy, day, at)
		}
	}
	for _, n := range news {
		run.Ledger.verify(n.d, n.account, n.at)
	}
	run.Asked = asked(u.Asked[queue.KindStatus])
	return run
}

func asked(by map[string]int) int {
	n := 0
	for _, m := range by {
		n += m
	}
	return n
}

// day is one run of the policy.
func (r *PeerRun) day(u *Upstreams, policy Peer, day int, at time.Time) {
	var bad []*Domain
	addresses, concerned := 0, 0
	for _, d := range r.Ledger.p.Domains {
		if policy.EveryDays > 1 && (day+int(hash(d.Name)%uint64(policy.EveryDays)))%policy.EveryDays != 0 {
			continue
		}
		verified := r.verified(d)
		if verified == 0 {
			continue
		}
		if addresses += verified; policy.ADay > 0 && addresses > policy.ADay {
			break
		}
		if r.condemned(u, policy, d) {
			bad = append(bad, d)
			concerned += verified
		}
	}
	if policy.AtMost > 0 && concerned > policy.AtMost {
		return
	}
	for _, d := range bad {
		for i := range d.Accounts {
			if last, ok := r.Ledger.last(d, i); ok && last.verified {
				r.Ledger.note(d, change{at: at, account: i})
			}
		}
	}
}

func (r *PeerRun) verified(d *Domain) int {
	n := 0
	for i := range d.Accounts {
		if last, ok := r.Ledger.last(d, i); ok && last.verified {
			n++
		}
	}
	return n
}

// condemned asks the status API, and acts on any of the policy's words. A failed call is no answer; the word "unknown"
// is one.
func (r *PeerRun) condemned(u *Upstreams, policy Peer, d *Domain) bool {
	o := u.status(nil, d.Name, lastLabel(d.Name)) //nolint:staticcheck // nothing in this process waits
	if o.Market == nil {
		return false
	}
	bad := slices.ContainsFunc(strings.Fields(o.Said), func(t string) bool { return slices.Contains(policy.ActsOn, t) })
	if !bad || policy.AtMost == 0 {
		return bad
	}
	mail := u.mail(nil, d.Name, "") //nolint:staticcheck // as above
	return mail.Mail == nil || len(mail.Mail.Hosts) == 0
}

// news is one verification.
type news struct {
	at      time.Time
	d       *Domain
	account int
	again   bool
}

// newsOf lists every verification by time.
func newsOf(p *Population) []news {
	var all []news
	for _, d := range p.Domains {
		for i, a := range d.Accounts {
			all = append(all, news{a.Verified, d, i, false})
			if !a.Again.IsZero() && a.Again.After(a.Verified) {
				all = append(all, news{a.Again, d, i, true})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b news) int { return a.at.Compare(b.at) })
	return all
}
