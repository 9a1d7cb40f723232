package applier

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

// apocalypseSize is how many domains an apocalypse has: few in each test run, 100,000 by `make apocalypse`.
func apocalypseSize(t *testing.T) int {
	t.Helper()
	text, set := os.LookupEnv("LAPSEGUARD_APOCALYPSE")
	if !set {
		return 500
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// realm is a crowd of domains in their holders' hands, and what the sources say of them.
type realm struct {
	*world
	l      *lever
	names  []string
	worst  map[string]int // most closings within a day, and most unverified within two weeks
	shut   map[string]bool
	closed []time.Time
	unset  []time.Time
}

var (
	realmNS    = []string{"ns1.host.example", "ns2.host.example"}
	realmMX    = source.Observation{Source: source.SourceMail, Server: "resolver", Outcome: source.Observed, Mail: &source.Mail{Hosts: []string{"mx.host.example"}}}
	registered = time.Date(2015, 3, 1, 0, 0, 0, 0, time.UTC)
)

func referral(ns []string) source.Observation {
	return source.Observation{Source: source.SourceDelegation, Server: "zone", Outcome: source.Observed, Delegation: &source.Delegation{NS: ns, Form: source.FormReferral}}
}

func gone() source.Observation {
	return source.Observation{Source: source.SourceDelegation, Server: "zone", Outcome: source.Absent}
}

func notFound() source.Observation {
	return source.Observation{Source: source.SourceRDAP, Server: "https://rdap.example.net/", Outcome: source.Absent}
}

func said(statuses ...string) source.Observation {
	return source.Observation{Source: source.SourceRDAP, Server: "https://rdap.example.net/", Outcome: source.Observed, Registration: &source.Registration{
		Authoritative: true, Statuses: statuses, Registered: registered, Expires: time.Date(2035, 3, 1, 0, 0, 0, 0, time.UTC), Registrar: "146", NameServers: realmNS,
	}}
}

func market(tokens ...string) source.Observation {
	return source.Observation{Source: source.SourceStatus, Server: "fastly", Outcome: source.Observed, Market: &source.Market{Tokens: tokens, Precise: true}}
}

// factsOf are those of a TLD; where it asks the status API no registry is asked.
func factsOf(name string) lifecycle.Facts {
	parsed, _ := domain.Parse(name)
	f := lifecycle.Facts{TLD: lifecycle.TLDOf(parsed.Suffix), Authority: lifecycle.AuthorityIANA, Control: true, Oldest: lifecycle.At(registered)}
	if f.TLD.Ask == source.SourceStatus {
		f.Authority = lifecycle.AuthorityNone
	}
	return f
}

// newRealm has every tenth domain in a country's TLD.
func newRealm(t *testing.T, ns []string, suffixes ...string) *realm {
	w, l := leverWorld(t)
	r := &realm{world: w, l: l, worst: map[string]int{}, shut: map[string]bool{}}
	n := apocalypseSize(t)
	for i := range n {
		r.names = append(r.names, fmt.Sprintf("example-%06d.%s", i, suffixes[i%len(suffixes)]))
	}
	w.Limits = safety.DefaultLimits()
	w.write(records.Record(records.PKGuard, records.SKRun, records.Run{
		ID: "20260302T030000Z", Started: lifecycle.At(w.at), Sent: true, Complete: true, Watched: n, Addresses: 3 * n,
	}, time.Time{}))
	r.each(r.names, func(d *records.Domain) {
		d.Listed, d.Hosts, d.Addresses = true, 1, 3
		d.State = lifecycle.NewState(1)
		r.hear(d, referral(ns), r.fine(d.Name), realmMX)
		if d.State.Home == "" { // its DNS host was put on the list of parking services after its first look
			d.State.Home, d.State.Deleg = d.State.NS, lifecycle.DelegationHome
		}
	})
	r.pass(time.Hour)
	if len(l.asked) > 0 {
		t.Fatalf("closed to begin with: %v", l.asked)
	}
	return r
}

// fine is what the registry says of a domain in its holder's hands; the status API where there is none to ask.
func (r *realm) fine(name string) source.Observation {
	if factsOf(name).Authority == lifecycle.AuthorityNone {
		return market("active")
	}
	return said("active")
}

// hear folds answers of now, as the checker does.
func (r *realm) hear(d *records.Domain, obs ...source.Observation) {
	f, now := factsOf(d.Name), lifecycle.At(r.at)
	for _, o := range obs {
		o.At = r.at
		if o.Source == source.SourceMail {
			d.State = lifecycle.SeeMail(d.State, o, f, now)
			continue
		}
		state, v := lifecycle.Visit(d.State, []source.Observation{o}, f, now)
		d.State = state
		if v.Confidence == lifecycle.NoConfidence && d.Action.Weight() >= lifecycle.Hold.Weight() {
			continue
		}
		d.Action, d.Confidence, d.Reason, d.VerifiedBefore, d.ExposedSince = v.Action, v.Confidence, v.Reason, v.VerifiedBefore, v.ExposedSince
	}
}

// each changes domains and stores those that changed.
func (r *realm) each(names []string, change func(*records.Domain)) {
	for some := range slices.Chunk(names, store.MaxGetMany) {
		stored, err := r.book().Domains(r.t.Context(), some)
		if err != nil {
			r.t.Fatal(err)
		}
		var groups [][]store.Write
		for _, name := range some {
			d, ok := stored[name]
			if !ok {
				d = records.NewDomain(name, 1)
			}
			before := d.Data()
			if change(&d); !bytes.Equal(d.Data(), before) {
				groups = append(groups, []store.Write{d.Put()})
			}
		}
		for _, err := range r.Store.WriteEach(r.t.Context(), groups) {
			if err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// pass lets time pass, tick by tick, and watches the budgets.
func (r *realm) pass(long time.Duration) {
	for until := r.at.Add(long); r.at.Before(until); r.at = r.at.Add(15 * time.Minute) {
		r.l.asked = nil
		unset := len(r.reg.requests)
		if _, err := r.Handle(context.WithoutCancel(r.t.Context()), Event{Action: "tick"}); err != nil {
			r.t.Fatal(err)
		}
		for _, q := range r.l.asked {
			closing := q.Desired == registry.RecoveryClosed
			if closing && !r.shut[q.Domain] { // a newer gap of a closed domain is no other closing
				r.closed = append(r.closed, r.at)
			}
			r.shut[q.Domain] = closing
		}
		for range r.reg.requests[unset:] {
			r.unset = append(r.unset, r.at)
		}
		r.closed = slices.DeleteFunc(r.closed, func(at time.Time) bool { return r.at.Sub(at) >= 24*time.Hour })
		r.unset = slices.DeleteFunc(r.unset, func(at time.Time) bool { return r.at.Sub(at) >= safety.FortnightDays*24*time.Hour })
		r.worst["closed"], r.worst["unverified"] = max(r.worst["closed"], len(r.closed)), max(r.worst["unverified"], len(r.unset))
	}
}

// again is the next good day: everything is as it was, for everybody.
func (r *realm) again(ns []string) {
	for range 2 {
		r.pass(12 * time.Hour)
		r.each(r.names, func(d *records.Domain) { r.hear(d, referral(ns), r.fine(d.Name), realmMX) })
	}
	r.pass(2 * time.Hour)
}

// end holds the realm to what every apocalypse must come to.
func (r *realm) end(alarm bool) {
	r.t.Helper()
	n := len(r.names)
	if most := safety.ClosingLimits(n).Total(n); r.worst["closed"] > most {
		r.t.Errorf("%d were closed within a day, %d may be", r.worst["closed"], most)
	}
	if most := safety.DefaultLimits().Total(n); r.worst["unverified"] > most {
		r.t.Errorf("%d were unverified, %d may be in a day", r.worst["unverified"], most)
	}
	if closed := r.l.closedNames(); len(closed) > 0 {
		r.t.Errorf("%d are closed still on the next good day: %v", len(closed), closed[:min(len(closed), 5)])
	}
	if holds := r.holds(); len(holds) > 0 {
		r.t.Errorf("%d holds are left", len(holds))
	}
	if told := strings.Contains(r.stats.String(), `"BreakerTripped":`); told != alarm {
		r.t.Errorf("an alarm: %t, want %t", told, alarm)
	}
	r.t.Logf("%d domains: at most %d closed in a day, %d unverified", n, r.worst["closed"], r.worst["unverified"])
}

// TestFalseApocalypses: what is wrong about everybody for an afternoon closes no more than the budget for closings has
// room for, unverifies nobody beyond its own, raises an alarm, and is over on the next good day without a person.
func TestFalseApocalypses(t *testing.T) {
	for _, c := range []struct {
		name     string
		suffixes []string
		wrong    func(name string) []source.Observation // nil: it is as it was
		quiet    bool                                   // nobody is closed; what is wrong about its control names has an alarm of its own
	}{
		{"not found, all of them", []string{"com"}, func(string) []source.Observation { return []source.Observation{referral(realmNS), notFound()} }, false},
		{"not in the zone, all of them", []string{"com"}, func(string) []source.Observation { return []source.Observation{gone(), said("active")} }, false},
		{"neither, all of them", []string{"com"}, func(string) []source.Observation { return []source.Observation{gone(), notFound()} }, false},
		{"in redemption, all of them", []string{"com"}, func(string) []source.Observation { return []source.Observation{gone(), said("redemption period")} }, false},
		{"expiring by the status API, all of them", []string{"ch"}, func(string) []source.Observation { return []source.Observation{referral(realmNS), market("expiring")} }, false},
		{"inactive by the status API, all of them", []string{"ch"}, func(string) []source.Observation { return []source.Observation{referral(realmNS), market("inactive")} }, true},
		{"a country's zone is empty", []string{"com", "org", "net", "de"}, func(name string) []source.Observation {
			if !strings.HasSuffix(name, ".de") {
				return nil
			}
			return []source.Observation{gone(), said("active")}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRealm(t, realmNS, c.suffixes...)
			for range 8 { // from noon to eight: two looks agree by then
				r.each(r.names, func(d *records.Domain) {
					if obs := c.wrong(d.Name); obs != nil {
						r.hear(d, obs...)
					}
				})
				r.pass(time.Hour)
			}
			r.again(realmNS)
			if r.end(!c.quiet); c.quiet && r.worst["closed"] > 0 {
				t.Error("somebody was closed")
			}
		})
	}
}

// TestAParkingListThatNamesAGreatDNSHost: who was there before is at home.
func TestAParkingListThatNamesAGreatDNSHost(t *testing.T) {
	great := []string{"ns1.sedoparking.com", "ns2.sedoparking.com"}
	r := newRealm(t, great, "com")
	for range 6 {
		r.each(r.names, func(d *records.Domain) { r.hear(d, referral(great), said("active")) })
		r.pass(time.Hour)
	}
	r.again(great)
	if r.end(false); r.worst["closed"]+r.worst["unverified"] > 0 {
		t.Error("somebody was closed")
	}
}

// TestASlowWrongUpstream: 0.04 % of the names, others every day, are about to be released, from midnight to midnight, for
// two weeks. That stays within each day's limits; what shows it is that they come back.
func TestASlowWrongUpstream(t *testing.T) {
	r := newRealm(t, realmNS, "com")
	daily := max(8, len(r.names)*4/10_000)
	for d := range 14 {
		today := r.names[d*daily : (d+1)*daily]
		for range 3 {
			r.each(today, func(d *records.Domain) { r.hear(d, gone(), said("pending delete")) })
			r.pass(7 * time.Hour)
		}
		r.each(today, func(d *records.Domain) { r.hear(d, referral(realmNS), said("active"), realmMX) })
		r.pass(3 * time.Hour)
	}
	r.again(realmNS)
	r.worst["unverified"] = 0 // of two weeks; a day's is a class's budget
	if n := len(r.reg.requests); n > daily {
		t.Errorf("%d domains were unverified, %d on the first day alone", n, daily)
	}
	r.end(true)
	if !strings.Contains(r.log.String(), "class_doubtful") {
		t.Error("the class is not doubtful")
	}
}
