package main

import (
	"fmt"
	"slices"
	"time"
)

// stories tells for each kind of world.yaml what becomes of a domain.
var stories map[string]func(*life)

func init() {
	stories = map[string]func(*life){
		quiet:                      (*life).quiet,
		"deleted-parked":           func(l *life) { l.lapse(l.parkedKnown()) },
		"deleted-parked-elsewhere": func(l *life) { l.lapse(l.parkedElsewhere()) },
		"deleted-in-service":       func(l *life) { l.lapse(nil) },
		"deleted-by-holder":        (*life).deletedEarly,
		"deleted-add-grace":        (*life).deletedAddGrace,
		"late-renewal":             func(l *life) { l.renewedLate(false, false) },
		"late-renewal-moved":       func(l *life) { l.renewedLate(true, false) },
		"late-renewal-verified":    func(l *life) { l.renewedLate(false, true) },
		"restored":                 (*life).restored,
		"sold-parked":              func(l *life) { l.sold(sale{parked: true, transfer: true}) },
		"sold-parked-push":         func(l *life) { l.sold(sale{parked: true}) },
		"sold-straight":            func(l *life) { l.sold(sale{transfer: true}) },
		"sold-straight-push":       func(l *life) { l.sold(sale{}) },
		"sold-old-servers":         func(l *life) { l.sold(sale{parked: true, transfer: true, oldNS: true}) },
		"sold-old-servers-and-mx":  func(l *life) { l.sold(sale{parked: true, transfer: true, oldNS: true, oldMX: true}) },
		"sold-alike-push":          func(l *life) { l.mailAt(false); l.sold(sale{parked: true, oldNS: true, oldMX: true}) },
		"sold-own-mail-push":       func(l *life) { l.mailAt(true); l.sold(sale{parked: true, oldNS: true, oldMX: true}) },
		"sold-unseen":              func(l *life) { l.sold(sale{transfer: true, oldNS: true}) },
		"sold-unseen-push":         func(l *life) { l.sold(sale{oldNS: true}) },
		"cc-iana":                  func(l *life) { l.lapse(nil) },
		"cc-supplemental":          func(l *life) { l.lapse(nil) },
		"cc-none":                  func(l *life) { l.lapse(nil) },
		"cc-undescribed":           func(l *life) { l.lapse(nil) },
		"moved-in-auto-renew":      (*life).movedInAutoRenew,
		"portfolio":                (*life).portfolio,
		"mail-host-of-five":        (*life).quiet, // see hostLapse
		"mail-host-of-many":        (*life).quiet,
		"transferred":              (*life).transferred,
		"servers-changed":          (*life).serversChanged,
		"mail-changed":             (*life).mailChanged,
		"servers-down":             (*life).serversDown,
		"held-for-abuse":           (*life).heldForAbuse,
		"taken-out-by-holder":      (*life).takenOut,
		"lame-claimed":             (*life).lameClaimed,
		"lame-outage":              func(l *life) { l.lameOutage(false) },
		"lame-outage-giving":       func(l *life) { l.lameOutage(true) },
		"lame-moved":               (*life).lameMoved,
		"lame-half":                (*life).lameHalf,
	}
}

// quiet is the kind of a domain to which nothing happens but its yearly renewal.
const quiet = "quiet"

func (l *life) course() Course { return l.w.Courses[l.d.TLD.Course] }

func (l *life) pick(format string, n int) string { return fmt.Sprintf(format, l.r.IntN(n)) }

func (l *life) dnsHost() []string {
	n := l.r.IntN(l.w.Answers.DNSHosts)
	return []string{fmt.Sprintf("ns1.dnshost-%d.net", n), fmt.Sprintf("ns2.dnshost-%d.net", n)}
}

func (l *life) mailHost() []string {
	return []string{l.pick("mx.provider-%d.com", l.w.Answers.Providers)}
}

// mailAt has the domain's mail at a host of its own, or at a provider.
func (l *life) mailAt(own bool) {
	l.now.MX = l.mailHost()
	if l.d.OwnMail = own; own {
		l.now.MX = []string{"mx." + l.d.Name}
	}
	l.d.Spans[0].MX = l.now.MX
}

// parkedKnown are name servers of shared/lifecycle/parking.txt, parkedElsewhere of nobody's list.
func (l *life) parkedKnown() []string {
	return [][]string{{"ns1.sedoparking.com", "ns2.sedoparking.com"}, {"ns1.renewyourname.net", "ns2.renewyourname.net"}, {"ns1.bodis.com", "ns2.bodis.com"}}[l.r.IntN(3)]
}

func (l *life) parkedElsewhere() []string {
	n := l.r.IntN(3)
	return []string{fmt.Sprintf("ns1.expired-page-%d.net", n), fmt.Sprintf("ns2.expired-page-%d.net", n)}
}

// parkedMail is what a parking page's servers say of a name's mail: nothing, or a host of their own.
func parkedMail(ns []string) []string {
	if len(ns) == 0 || len(ns[0])%2 == 0 {
		return []string{}
	}
	return []string{"mx" + ns[0][len("ns1"):]}
}

// base is a domain as it was before the simulated time.
func (l *life) base() {
	v := &l.now
	v.Registered = l.jitter(l.begin.Add(-days(1600 + l.r.IntN(4400))))
	v.Expires = l.jitter(l.begin.Add(days(l.r.IntN(365))))
	v.Registrar = fmt.Sprint(100 + l.r.IntN(40))
	v.NS, v.MX = l.dnsHost(), l.mailHost()
	if l.chance(l.w.Answers.OwnMail) {
		v.MX, l.d.OwnMail = []string{"mx." + l.d.Name}, true
	}
	v.Statuses = l.usual()
	l.d.Spans = append(l.d.Spans, Span{From: l.begin.Add(-days(6100)), What: "in use by its holder", View: *v})
}

func (l *life) usual() []string {
	if l.d.TLD.where() == InGTLD {
		return []string{"client transfer prohibited"}
	}
	return []string{"active"}
}

// expire lets the registration's year end: a registry with auto-renew adds a year at once and says so.
func (l *life) expire(at time.Time) {
	shows := l.chance(l.w.Answers.RegistrarDate)
	l.d.Spans[0].Expires = at // what the registry has said for a year
	l.at(at, "expires", func(v *View) {
		v.Expires = at
		if !l.course().AutoRenew {
			return
		}
		v.Expires = at.AddDate(1, 0, 0)
		v.Statuses = append(l.usual(), "auto renew period")
		if shows {
			v.RegistrarExpires = at
		}
	})
}

// paid ends the year's end: the holder renewed.
func (l *life) paid(at, expired time.Time, what string, change func(v *View)) {
	l.at(at, what, func(v *View) {
		v.Owner, v.Expires = Holder, expired.AddDate(1, 0, 0)
		if !v.RegistrarExpires.IsZero() {
			v.RegistrarExpires = v.Expires
		}
		change(v)
	})
	if l.course().AutoRenew {
		l.at(expired.Add(days(45)), "auto-renew period ends", func(v *View) { v.Statuses = l.usual() })
	}
}

// quiet renews in time.
func (l *life) quiet() { l.renew() }

// renew is the yearly renewal, where it falls into the simulated time.
func (l *life) renew() {
	at := l.now.Expires
	if at.After(l.end) {
		return
	}
	l.expire(at)
	l.paid(at.Add(time.Minute), at, "renewed in time", func(*View) {})
}

// lapse is a registration that nobody renews: parked (or not), out of service, deleted, released.
func (l *life) lapse(parked []string) {
	c := l.course()
	grace := l.between(c.Grace)
	expiry := l.jitter(l.place(days(grace + c.Redemption + c.Pending + 1)))
	l.lapseFrom(expiry, grace, parked)
}

func (l *life) lapseFrom(expiry time.Time, grace int, parked []string) {
	c := l.course()
	l.expire(expiry)
	deletion := expiry.Add(days(grace)).Add(time.Hour)
	off := deletion
	if c.OffBeforeDeletion > 0 {
		off = later(deletion.Add(-days(c.OffBeforeDeletion)), expiry.Add(time.Hour))
	}
	if at := expiry.Add(days(l.between(l.w.Story.ParkedAfter))); parked != nil && at.Before(off) {
		l.sign(at)
		l.at(at, "parked", func(v *View) { v.NS, v.MX, v.Owner = parked, parkedMail(parked), Registrar })
	}
	if off.Before(deletion) {
		l.sign(off)
		l.at(off, "out of service", func(v *View) { v.NS, v.Owner = nil, Registrar })
	}
	l.delete(deletion)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// delete takes the name through redemption and pending delete to its release.
func (l *life) delete(at time.Time) {
	c := l.course()
	l.sign(at)
	if c.Redemption > 0 {
		l.at(at, "deleted: its holder can restore it", func(v *View) { l.deleted(v, c) })
	}
	at = at.Add(days(c.Redemption))
	l.d.Lost = at
	if c.Pending > 0 {
		l.at(at, "deleted: nobody can restore it", func(v *View) {
			v.Statuses, v.NS, v.Owner, v.Absent = c.PendingSays, nil, Registrar, false
		})
	}
	l.release(at.Add(days(c.Pending)))
}

func (l *life) deleted(v *View, c Course) {
	v.Absent, v.Statuses = c.RedemptionAbsent, c.RedemptionSays
	if c.AutoRenew {
		v.Expires = v.Expires.AddDate(-1, 0, 0)
	}
	if !c.StaysInZone {
		v.NS, v.Owner = nil, Registrar
	}
}

// release lets anybody have the name, and somebody does.
func (l *life) release(at time.Time) {
	if l.d.Lost.IsZero() {
		l.d.Lost = at
	}
	l.sign(at)
	l.at(at, "released", func(v *View) { *v = View{Owner: Nobody, Absent: true} })
	once, soon := l.w.Story.TakenAtOnceTrue, l.w.Story.TakenLaterTrue
	if l.oversampled {
		once, soon = l.w.Story.TakenAtOnce, l.w.Story.TakenLater
	}
	switch p := l.r.Float64(); {
	case p < once:
		l.taken(at.Add(time.Duration(1+l.r.IntN(59)) * time.Second))
	case p < once+soon:
		l.taken(l.jitter(at.Add(days(1 + l.r.IntN(60)))))
	}
}

// taken is the registration by somebody else.
func (l *life) taken(at time.Time) {
	ns, mx := l.dnsHost(), l.mailHost()
	if l.chance(0.5) {
		ns = l.parkedKnown() // who buys names by the thousand parks them, and reads their mail
	}
	l.d.Taken = at
	fresh := View{Owner: Taker, NS: ns, MX: mx, Statuses: l.usual(), Registered: at, Expires: at.AddDate(1, 0, 0), Registrar: fmt.Sprint(200 + l.r.IntN(20))}
	l.at(at, "registered by somebody else", func(v *View) { *v = fresh })
}

func (l *life) deletedEarly() {
	c := l.course()
	l.delete(l.jitter(l.place(days(c.Redemption + c.Pending + 1))))
}

// deletedAddGrace is a new name, which its holder uses for some days.
func (l *life) deletedAddGrace() {
	kept := time.Duration(24+l.r.IntN(72)) * time.Hour
	at := l.jitter(l.place(kept + days(2)))
	mine := l.now
	mine.Registered, mine.Expires = at, at.AddDate(1, 0, 0)
	l.d.Spans[0].View = View{Owner: Nobody, Absent: true}
	l.d.Spans[0].What = "free"
	l.at(at, "registered by its holder", func(v *View) { *v = mine })
	l.d.Lost = at.Add(kept)
	l.sign(l.d.Lost)
	l.at(l.d.Lost, "deleted within the add grace period: released", func(v *View) { *v = View{Owner: Nobody, Absent: true} })
	l.taken(l.d.Lost.Add(time.Duration(1+l.r.IntN(59)) * time.Second))
}

// renewedLate is a lapse that its holder ends in the grace period.
func (l *life) renewedLate(moved, again bool) {
	late := min(l.between(l.w.Story.LateRenewal), max(3, l.course().Grace[1]))
	expiry := l.jitter(l.place(days(late + 1)))
	l.expire(expiry)
	off := expiry.Add(time.Duration(1+l.r.IntN(late*24-2)) * time.Hour)
	if at := expiry.Add(days(l.w.Story.ParkedAfter[1])); off.After(at) {
		off = at
	}
	ns := [][]string{l.parkedKnown(), l.parkedElsewhere(), nil}[l.r.IntN(3)]
	home, mx := l.now.NS, l.now.MX
	l.sign(off)
	l.at(off, "out of service or parked after expiry", func(v *View) { v.NS, v.MX, v.Owner = ns, parkedMail(ns), Registrar })
	what := "renewed by its holder"
	if moved {
		home, mx, what = l.dnsHost(), l.mailHost(), "renewed by its holder, on other name servers"
	}
	at := expiry.Add(days(late))
	l.paid(at, expiry, what, func(v *View) { v.NS, v.MX = home, mx })
	if again || l.chance(0.2) {
		l.verifyAgain(at)
	}
}

// verifyAgain has the first account's holder verify some days later; the accounts are made afterwards.
func (l *life) verifyAgain(at time.Time) {
	l.d.Accounts = append(l.d.Accounts, Account{Again: l.jitter(at.Add(days(1)))})
}

func (l *life) restored() {
	wait := l.between(l.w.Story.RestoreAfter)
	grace := l.between(l.course().Grace)
	expiry := l.jitter(l.place(days(grace + wait + 3)))
	home := l.now.NS
	l.expire(expiry)
	deletion := expiry.Add(days(grace)).Add(time.Hour)
	off := later(deletion.Add(-days(l.course().OffBeforeDeletion)), expiry.Add(time.Hour))
	l.sign(off)
	l.at(off, "out of service", func(v *View) { v.NS, v.Owner = nil, Registrar })
	l.at(deletion, "deleted: its holder can restore it", func(v *View) { l.deleted(v, l.course()) })
	back := deletion.Add(days(wait))
	l.at(back, "restore asked for", func(v *View) { v.Statuses = []string{"pending restore"} })
	l.at(back.Add(time.Duration(12+l.r.IntN(36))*time.Hour), "restored by its holder", func(v *View) {
		v.Owner, v.NS, v.Statuses, v.Expires = Holder, home, l.usual(), expiry.AddDate(1, 0, 0)
	})
	if l.chance(0.5) {
		l.verifyAgain(back.Add(days(3)))
	}
}

// sale is how a name passes to a buyer in the grace period: it never enters redemption, and its date stays.
type sale struct{ parked, transfer, oldNS, oldMX bool }

func (l *life) sold(s sale) {
	after := l.between(l.w.Story.SoldAfter)
	expiry := l.jitter(l.place(days(after + 1)))
	home, mx := l.now.NS, l.now.MX
	l.expire(expiry)
	if s.parked {
		at := expiry.Add(days(l.between(l.w.Story.ParkedAfter)))
		l.sign(at)
		ns := [][]string{l.parkedKnown(), l.parkedElsewhere()}[l.r.IntN(2)]
		l.at(at, "parked", func(v *View) { v.NS, v.MX, v.Owner = ns, parkedMail(ns), Registrar })
	}
	at := expiry.Add(days(after))
	l.sign(at)
	ns := l.dnsHost()
	for slices.Equal(ns, home) {
		ns = l.dnsHost() // the buyer's are others
	}
	if !s.oldNS {
		home = ns
	}
	m := l.mailHost()
	for slices.Equal(m, mx) {
		m = l.mailHost()
	}
	if !s.oldMX {
		mx = m
	}
	l.d.Taken, l.d.Lost = at, at
	l.at(at, "sold to somebody else", func(v *View) {
		v.Owner, v.NS, v.MX = Taker, home, mx
		if s.transfer {
			v.Registrar, v.Transferred = fmt.Sprint(200+l.r.IntN(20)), at
		}
	})
	l.at(expiry.Add(days(45)), "auto-renew period ends", func(v *View) { v.Statuses = l.usual() })
}

func (l *life) movedInAutoRenew() {
	expiry := l.jitter(l.place(days(46)))
	l.expire(expiry)
	l.paid(expiry.Add(time.Minute), expiry, "renewed in time", func(*View) {})
	ns, mx := l.dnsHost(), l.now.MX
	if l.chance(l.w.Story.MovedWithMail) {
		mx = l.mailHost()
	}
	l.at(expiry.Add(days(2+l.r.IntN(40))), "moved to other name servers by its holder", func(v *View) { v.NS, v.MX = ns, mx })
}

// portfolio: r draws the same for each name of the group up to here.
func (l *life) portfolio() {
	grace := l.w.Story.PortfolioGrace
	l.lapseFrom(l.shared().place(days(grace+36)), grace, nil)
}

// shared draws what a group has in common.
func (l *life) shared() *life { return &life{w: l.w, r: l.groupRand(), begin: l.begin, end: l.end} }

// sometime is any time of the simulated one, after the warm-up.
func (l *life) sometime(long time.Duration) time.Time { return l.jitter(l.place(long)) }

func (l *life) transferred() {
	l.renew()
	at := l.sometime(days(2))
	registrar := fmt.Sprint(150 + l.r.IntN(20))
	l.at(at, "transferred to another registrar by its holder", func(v *View) { v.Registrar, v.Transferred = registrar, at })
}

func (l *life) serversChanged() {
	l.renew()
	ns, mx := l.dnsHost(), l.now.MX
	if l.chance(l.w.Story.MovedWithMail) {
		mx = l.mailHost()
	}
	l.at(l.sometime(days(2)), "moved to other name servers by its holder", func(v *View) { v.NS, v.MX = ns, mx })
}

func (l *life) mailChanged() {
	l.renew()
	mx := l.mailHost()
	l.at(l.sometime(days(2)), "another mail host, by its holder", func(v *View) { v.MX = mx })
}

func (l *life) serversDown() {
	l.renew()
	long := time.Duration(l.between(l.w.Story.DownHours)) * time.Hour
	at := l.sometime(long + days(1))
	l.at(at, "its name servers fail", func(v *View) { v.Down = true })
	l.at(at.Add(long), "its name servers answer again", func(v *View) { v.Down = false })
}

func (l *life) heldForAbuse() {
	l.renew()
	long := days(l.between(l.w.Story.AbuseDays))
	at := l.sometime(long + days(2))
	word := []string{"client hold", "server hold"}[l.r.IntN(2)]
	var home []string
	l.at(at, "held: out of the zone", func(v *View) {
		home, v.NS, v.Owner = v.NS, nil, Registrar
		v.Statuses = append(slices.Clone(v.Statuses), word)
	})
	l.at(at.Add(long), "hold taken off", func(v *View) { v.NS, v.Owner, v.Statuses = home, Holder, l.usual() })
}

func (l *life) takenOut() {
	l.renew()
	long := days(l.between(l.w.Story.TakenOutDays))
	at := l.sometime(long + days(2))
	var home []string
	l.at(at, "taken out of the zone by its holder", func(v *View) {
		home, v.NS = v.NS, nil
		v.Statuses = append(slices.Clone(v.Statuses), "inactive")
	})
	l.at(at.Add(long), "put back by its holder", func(v *View) { v.NS, v.Statuses = home, l.usual() })
}

// givenAway has the domain's zone at a DNS host that gives zones to whoever asks.
func (l *life) givenAway() {
	l.now.NS = [][]string{{"ns1.digitalocean.com", "ns2.digitalocean.com"}, {"ns1.linode.com", "ns2.linode.com"}, {"ns1.reg.ru", "ns2.reg.ru"}}[l.r.IntN(3)]
	l.d.Spans[0].NS = l.now.NS
}

// lameClaimed: half of those who claim a zone set the MX that it had.
func (l *life) lameClaimed() {
	l.givenAway()
	l.renew()
	after := l.between(l.w.Story.ClaimedAfter)
	at := l.sometime(days(after + 2))
	mx := l.now.MX
	if l.chance(0.5) {
		mx = l.mailHost()
	}
	l.sign(at)
	l.at(at, "its zone is deleted at its DNS host", func(v *View) { v.Lame = true })
	l.d.Taken = at.Add(days(after))
	l.at(l.d.Taken, "its zone is claimed by somebody else", func(v *View) { v.Lame, v.Owner, v.MX = false, Taker, mx })
}

func (l *life) lameOutage(giving bool) {
	if giving {
		l.givenAway()
	}
	l.renew()
	long := time.Duration(l.w.Story.LameHours) * time.Hour
	at := l.sometime(long + days(2))
	l.at(at, "its name servers lose its zone", func(v *View) { v.Lame = true })
	l.at(at.Add(long), "its name servers have its zone again", func(v *View) { v.Lame = false })
	if giving {
		l.verifyAgain(at.Add(long))
	}
}

func (l *life) lameMoved() {
	l.renew()
	ns, at := l.dnsHost(), l.sometime(days(2))
	l.at(at, "its name servers lose its zone: it moves", func(v *View) { v.Lame = true })
	l.at(at.Add(time.Duration(l.between(l.w.Story.MovingHours))*time.Hour), "moved to other name servers by its holder", func(v *View) { v.Lame, v.NS = false, ns })
}

func (l *life) lameHalf() {
	l.renew()
	long := days(l.between(l.w.Story.HalfDays))
	at := l.sometime(long)
	l.at(at, "one of its name servers loses its zone", func(v *View) { v.Half = true })
	l.at(at.Add(long), "that name server has its zone again", func(v *View) { v.Half = false })
}
