package lifecycle

import (
	"cmp"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// Recovery is the desired state of account recovery through a domain's addresses.
type Recovery string

// The states.
const (
	RecoveryOpen   Recovery = "open"
	RecoveryClosed Recovery = "closed"
)

// Gap is why control of a domain is not continuous: what closed recovery.
type Gap string

// The gaps, in the order in which they are looked for.
const (
	GapNone       Gap = ""
	GapReleased   Gap = "released"          // free, or registered anew: its holder has lost it
	GapYoung      Gap = "registered lately" // within the add grace period a deletion frees it at once (RFC 3915)
	GapDeleted    Gap = "deleted"           // by the registry's word, or the status API's
	GapGone       Gap = "out of the zone"   // NXDOMAIN from the zone above; or back otherwise than it went
	GapParked     Gap = "parked"            // on name servers known for parking and expiry pages
	GapLame       Gap = "not served"        // none of its own name servers has the zone
	GapMailHost   Gap = "mail host"         // the domain of its mail host or name servers is in a gap
	GapNewServers Gap = "new servers"       // other name servers and another MX, after its expiry or where nobody can be asked
	GapNewMail    Gap = "new mail host"     // another MX under the same name servers, after a gap, or after its expiry with another registrar
)

const (
	// AddGrace is how long a registration counts as young: five days of add grace (RFC 3915), and one.
	AddGrace = 6 * 24 * time.Hour
	// Expiring is for how long after an expiry another MX is no holder's move: the auto-renew period (RFC 3915).
	Expiring = 45 * 24 * time.Hour
	// HourlyLooks and then SixHourlyLooks are for how long a domain whose recovery is closed is looked at so often; MovedLooks,
	// for how long six-hourly where it went to other servers or another MX.
	HourlyLooks    = 24 * time.Hour
	SixHourlyLooks = 60 * 24 * time.Hour
	MovedLooks     = 7 * 24 * time.Hour
)

// Continuity is what is remembered of who controls a domain, and since when that is in doubt.
type Continuity struct {
	Since Instant `json:"g,omitempty"` // first look that found the newest gap; 0: recovery is open
	Gap   Gap     `json:"w,omitempty"` // of the first look, or of a worse one since
	Until Instant `json:"u,omitempty"` // last look before it at which all was well; 0: none
	Back  Instant `json:"b,omitempty"` // it was back as before then: opened again, or no longer away; 0: not lately
	// Away is the first look that found it out of the zone while its registry says why, or is asked: recovery stays open, and
	// what counts as its holder's stays what it was, until all of it is back. 0: it is not away.
	Away  Instant `json:"y,omitempty"`
	Lost  bool    `json:"x,omitempty"` // a release was seen: nothing the domain shows opens it again
	Giver string  `json:"z,omitempty"` // the DNS host that gave the unserved zone to whoever asked: the same

	// The baseline: how the domain looked in its holder's hands. The name servers are State.Home.
	Registered Instant `json:"d,omitempty"`
	Registrar  string  `json:"r,omitempty"`
	MX         string  `json:"m,omitempty"` // fingerprint; empty: never heard
	// MailAt is the fingerprint of the addresses of MX hosts at or below the name, which whoever has the zone points where
	// they like; elsewhere: there is no such host; empty: never heard.
	MailAt string `json:"h,omitempty"`
	// Paid is the expiry of which the registry's dates showed, with all else as before, that it was paid for: its
	// anniversary needs no watch.
	Paid Instant `json:"p,omitempty"`
	// What was heard last.
	NowMX     string  `json:"n,omitempty"`
	NowMailAt string  `json:"i,omitempty"`
	MXAt      Instant `json:"a,omitempty"`
}

// Recovery is what recovery through the domain's addresses should be.
func (c Continuity) Recovery() Recovery {
	if c.Since != 0 {
		return RecoveryClosed
	}
	return RecoveryOpen
}

// MailWatched tells whether the MX is asked daily: after an expiry, while closed or away, and for 45 days after that.
func (s State) MailWatched(now Instant) bool {
	c := s.Control
	return s.expiredLately(now) || c.Since != 0 || c.Away != 0 || c.Back != 0 && now.Since(c.Back) < Expiring
}

// expiredLately tells whether now is within Expiring after an expiry, or after its anniversary a year or more before
// (in auto-renew the registry's date is already a year ahead).
func (s State) expiredLately(now Instant) bool {
	for _, expiry := range []Instant{s.Expires, s.RegistrarExpires} {
		const year = 365 * 24 * time.Hour
		if expiry == 0 {
			continue
		}
		since := now.Since(expiry)
		if since < 0 && s.Control.Paid != 0 && expiry.Since(s.Control.Paid).Abs() <= Margin {
			continue
		}
		if since < 0 {
			since = (since%year + year) % year
		}
		if since <= Expiring+24*time.Hour { // and a day, which the daily look may be late
			return true
		}
	}
	return false
}

// SeeMail folds what the resolver said of the domain's MX set; what is not known changes nothing, nor what is heard of a
// name that is out of the zone: it has no MX just then, or one from a cache.
func SeeMail(s State, o source.Observation, f Facts, now Instant) State {
	if o.Outcome != source.Observed || o.Mail == nil || s.Deleg == DelegationGone {
		return s
	}
	before := s
	s.Control.NowMX, s.Control.NowMailAt, s.Control.MXAt = source.Fingerprint(o.Mail.Hosts), mailAt(o.Mail), At(o.At)
	if s = control(before, s, f, now); s.Phase == Active && s.LapseAt == 0 {
		s = judge{s: s, f: f, now: now}.settled(s)
	}
	return s
}

// elsewhere is in the place of a fingerprint of addresses where all MX hosts are somebody else's.
const elsewhere = "-"

func mailAt(m *source.Mail) string {
	switch {
	case !m.Own:
		return elsewhere
	case m.Addresses == nil:
		return ""
	default:
		return source.Fingerprint(m.Addresses)
	}
}

// MailInDoubt tells whether the registry is to be asked because of the MX that was just heard: it is another one under the
// same name servers after an expiry. A holder changes it then as at any time; if the registrar changed too, it may be who
// bought the name.
func MailInDoubt(s State, f Facts, now Instant) bool {
	c := s.Control
	return c.Since == 0 && c.MX != "" && c.MX != c.NowMX && s.RegAt < c.MXAt && s.expiredLately(now) && f.authority() != AuthorityNone
}

// MailHost notes that the domain of the mail host or the name servers is in a gap since a time, or (an empty host) that
// none is any more. It closes at once, a newer gap of the host too; what opens is the next look at the domain.
func MailHost(s State, host string, since, now Instant) State {
	s.MailLapsed = host
	switch c := &s.Control; {
	case host == "":
	case c.Since == 0:
		*c = c.closed(now, GapMailHost, s.wellUntil(now))
	case since > c.Since:
		c.Since = now
	}
	return s
}

// LeftMailHost notes that the domain does not depend on the lapsed host any more. What its holder set instead counts as
// what was before, so that it can open; but not where the name may have changed hands itself.
func LeftMailHost(s State, now Instant) State {
	s.MailLapsed = ""
	c := &s.Control
	if c.Gap != GapMailHost || !s.delegated() || s.expiredLately(now) && s.Deleg == DelegationMoved {
		return s
	}
	if c.MX, c.MailAt = c.NowMX, c.NowMailAt; s.Deleg == DelegationMoved {
		s.Home, s.Deleg = s.NS, DelegationHome
	}
	return s
}

// wellUntil is the last look that is remembered.
func (s State) wellUntil(now Instant) Instant {
	if s.Service.lame() {
		return s.Service.Since
	}
	if at := max(s.DelegAt, s.RegAt); at != 0 {
		return at
	}
	return now
}

// control keeps the continuity: it closes, opens and takes over what counts as the holder's. before is the state as it
// was before this answer.
func control(before, s State, f Facts, now Instant) State {
	j := judge{s: s, f: f, now: now}
	if at := cmp.Or(s.Control.Since, s.Control.Away); at != 0 && at <= now && j.verifiedSince(at) && s.delegated() {
		j.s.Control = s.Control.begun(s) // nobody is left who verified before the gap
	}
	c := &j.s.Control
	gap := j.gap()
	if gap == GapNone && c.Since == 0 {
		gap = j.away(before.wellUntil(now))
	}
	c.Lost = c.Lost || gap == GapReleased
	switch {
	case gap != GapNone && c.Since == 0:
		*c = c.closed(j.gapSince(gap), gap, before.wellUntil(now))
	case gap != GapNone && (before.inService(f, now) || gap == GapReleased && c.Gap != GapReleased):
		c.Since, c.Gap = j.gapSince(gap), gap // it was back in service, or control changed again: a new gap begins
	case gap != GapNone:
		c.Gap = gap
	case c.Since != 0 && j.back():
		*c = c.begun(j.s)
		c.Back = now
	case c.Since == 0 && c.Away == 0:
		if c.MX == c.NowMX && j.paid() {
			c.Paid = j.s.Expires
		}
		c.Registered, c.Registrar = j.s.Registered, j.s.Registrar
		if c.NowMX != c.MX && !MailInDoubt(j.s, f, now) {
			c.MX, c.MailAt = c.NowMX, ""
		}
		if c.NowMX == c.MX {
			c.MailAt = cmp.Or(c.NowMailAt, c.MailAt)
		}
	}
	if gap == GapLame {
		c.Giver = cmp.Or(s.Service.Giver, c.Giver)
	}
	if c.Gap == GapYoung { // there is nothing older that it could be compared with
		c.Registered, c.Registrar, c.MX = cmp.Or(c.Registered, j.s.Registered), cmp.Or(c.Registrar, j.s.Registrar), cmp.Or(c.MX, c.NowMX)
		if c.MX == c.NowMX {
			c.MailAt = cmp.Or(c.MailAt, c.NowMailAt)
		}
	}
	return j.s
}

// away follows a domain that is out of the zone with its registry's word for it. What comes back otherwise than it went, or
// is not known to be back as it was after the time of a second look, is in a gap.
func (j *judge) away(well Instant) Gap {
	s, c := j.s, &j.s.Control
	switch {
	case s.Deleg == DelegationGone && j.f.Control && j.mayBeTakenOff(),
		s.Deleg == DelegationGone && j.takenOff() && (j.f.Control || s.DelegAt.Since(s.DelegSince) >= j.f.secondLook()):
		if c.Away == 0 {
			c.Away, c.Until = j.now, well
		}
	case c.Away == 0 || s.Deleg == DelegationGone:
	case j.back():
		*c = c.begun(s)
		c.Back = j.now
	case s.Deleg != DelegationHome, c.MXAt >= s.DelegSince && !c.mailAsBefore(), min(c.MXAt, s.RegAt) >= s.DelegSince, j.now.Since(s.DelegSince) >= j.f.secondLook():
		return GapGone
	}
	return GapNone
}

// closed is the continuity as it is closed. All was well until the time given, or until it was away.
func (c Continuity) closed(since Instant, gap Gap, until Instant) Continuity {
	if c.Away == 0 {
		c.Until = until
	}
	c.Since, c.Gap, c.Away, c.Back = since, gap, 0, 0
	return c
}

// paid tells whether the registration was paid for until its expiry, by its dates: the registry's is more than a year ahead,
// so that it was renewed before it could be by itself, or the registrar's is the same. Zone and MX were as before since:
// else it may be who bought it that paid.
func (j judge) paid() bool {
	s := j.s
	same := s.RegistrarExpires != 0 && s.RegistrarExpires.Since(s.Expires).Abs() <= Margin
	early := s.Expires.Since(s.RegAt) > 366*24*time.Hour
	return s.Expires > j.now && (same || early) && s.Deleg == DelegationHome && min(s.DelegAt, s.Control.MXAt) > s.RegAt
}

// delegated tells whether the zone last delegated the name to servers that are not a parking service's.
func (s State) delegated() bool { return s.Deleg == DelegationHome || s.Deleg == DelegationMoved }

// begun is the continuity of a domain whose present state is its holder's.
func (c Continuity) begun(s State) Continuity {
	return Continuity{Registered: s.Registered, Registrar: s.Registrar, MX: c.NowMX, MailAt: c.NowMailAt, NowMX: c.NowMX, NowMailAt: c.NowMailAt, MXAt: c.MXAt}
}

// gapSince dates a gap: now; of a young registration the end of its youth, so that what is verified until then is closed
// too.
func (j judge) gapSince(gap Gap) Instant {
	if gap == GapYoung {
		return j.s.Registered.Add(AddGrace)
	}
	return j.now
}

// inService tells whether a name whose recovery is closed was delegated, and nothing was wrong with it. One that was
// closed for another MX is not while the MX is not known.
func (s State) inService(f Facts, now Instant) bool {
	j, c := judge{s: s, f: f, now: now}, s.Control
	heard := c.Gap != GapNewServers && c.Gap != GapNewMail || j.fresh(c.MXAt)
	return c.Since != 0 && c.Since <= now && s.delegated() && heard && j.gap() == GapNone
}

// verifiedSince tells whether every address was verified after a time: then the domain as it is now is its holder's.
func (j judge) verifiedSince(at Instant) bool {
	return at != 0 && j.f.Oldest > at && j.f.Oldest <= j.now
}

// gap finds what is wrong just now; GapNone where nothing is, or where nothing is known.
func (j judge) gap() Gap {
	s := j.s
	d, reg, market := j.delegation(), j.registry(), j.market()
	again := func(at, since Instant) bool { return at.Since(since) >= j.f.secondLook() }
	deleted := map[Word]bool{WordRedemption: true, WordPendingDelete: true, WordRestore: true, WordAbsent: true}
	mistaken := market == WordAbsent && d == DelegationHome // no zone delegates a name that is free
	there := d == DelegationHome || d == DelegationUnknown
	switch {
	case reg == WordAbsent && d == DelegationGone && j.f.TLD.FreeWhenAbsent && again(s.RegAt, s.RegSince):
		return GapReleased
	case j.anew():
		return GapReleased
	case s.Registered != 0 && j.now.Since(s.Registered) < AddGrace:
		return GapYoung
	case deleted[reg] && (!there || again(s.RegAt, s.RegSince)):
		return GapDeleted
	case deleted[market] && !mistaken && (!there || !j.f.TLD.Shows && again(s.MktAt, s.MktSince)): // else the zone would show it
		return GapDeleted
	case d == DelegationGone && !j.takenOff() && (again(s.DelegAt, s.DelegSince) || j.f.Control && !j.mayBeTakenOff()):
		return GapGone
	case d == DelegationParked && (s.Home != "" || j.expired()):
		return GapParked
	case s.Service.lame() && again(s.Service.At, s.Service.Since):
		return GapLame
	case s.MailLapsed != "":
		return GapMailHost
	}
	return j.movedGap()
}

// takenOff tells whether the registry itself says why the name is out of the zone, and the reason is no lapse: in the middle
// of its term it is held, or has no name servers (RFC 8056). It says so daily, and a deletion takes longer.
func (j judge) takenOff() bool {
	w := j.registry()
	return j.midTerm() && (w == WordOnHold || w == WordInactive) && j.s.RegAt >= j.s.DelegSince && j.now.Since(j.s.RegAt) <= 2*Freshness+RetryLook
}

// mayBeTakenOff tells whether the registry could still say so: it is asked for the first time since.
func (j judge) mayBeTakenOff() bool {
	return j.midTerm() && j.s.RegAt < j.s.DelegSince && j.s.Silent == 0 && j.now.Since(j.s.DelegSince) < j.f.secondLook()
}

// midTerm tells whether the registration ends later than now by each of its dates, did not end lately nor renew itself, and
// whether a deletion would show before anybody else could have the name. What is closed is away no more.
func (j judge) midTerm() bool {
	return j.s.Control.Since == 0 && j.f.authority() == AuthorityIANA && j.f.TLD.Release > 4*Freshness && j.s.Expires != 0 && !j.expired() && !j.s.expiredLately(j.now)
}

// anew: it was registered after it had been somebody's. The date of the baseline is the same server's.
func (j judge) anew() bool {
	s := j.s
	if s.Registered == 0 || j.verifiedSince(s.Registered) {
		return false
	}
	return s.Phase == ReRegistered || s.Control.Registered != 0 && s.Registered > s.Control.Registered
}

// movedGap finds new control: where the holder would have to be who moved, but need not be.
func (j judge) movedGap() Gap {
	c := j.s.Control
	otherMX := c.MX != "" && c.NowMX != "" && c.MX != c.NowMX && j.fresh(c.MXAt)
	after := j.s.expiredLately(j.now)
	blind := j.f.authority() == AuthorityNone
	switch d := j.s.Deleg; { // as it was before the MX was asked
	case d == DelegationMoved && otherMX && (after || blind):
		return GapNewServers
	case d == DelegationHome && otherMX && (after && (c.Since != 0 || j.passedOn()) || c.Back != 0 && j.now.Since(c.Back) < Expiring):
		return GapNewMail
	default:
		return GapNone
	}
}

// passedOn tells whether the registration went to another registrar lately, or was transferred. Another MX alone is a
// holder's move, after an expiry as at any time.
func (j judge) passedOn() bool { return j.s.ControlAt != 0 && j.now.Since(j.s.ControlAt) <= Expiring }

// back tells whether everything is as it was in the holder's hands, all of it fresh, and nothing objects.
func (j judge) back() bool {
	s, c := j.s, j.s.Control
	home := j.delegation() == DelegationHome && s.DelegAt > c.Since
	mail := c.mailAsBefore() && c.MXAt >= s.DelegSince && j.fresh(c.MXAt)
	if !home || !mail || s.MailLapsed != "" || j.now < c.Since || c.Giver != "" || s.Service.lame() {
		return false
	}
	if c.Gap == GapLame && (s.Service.Serves != source.Served || c.MXAt < s.Service.Since) {
		return false // the delegation never changed: what was heard before somebody served it is no sign of who does
	}
	if j.f.authority() == AuthorityNone || c.Registered == 0 {
		// Nobody tells whether it is the same registration: only where there was no time for another.
		return !c.Lost && j.f.TLD.Release > 0 && s.DelegSince.Since(c.Until) < j.f.TLD.Release
	}
	said := s.Reg == WordRegistered || s.Reg == WordAutoRenew
	return said && j.fresh(s.RegAt) && s.RegAt >= s.DelegSince && s.Registered == c.Registered && (c.Registrar == "" || s.Registrar == c.Registrar)
}

// mailAsBefore tells whether the MX, and the addresses of MX hosts below the name itself, are those of the baseline.
func (c Continuity) mailAsBefore() bool {
	return c.MX != "" && c.NowMX == c.MX && c.MailAt != "" && c.NowMailAt == c.MailAt
}

// WouldOpen tells whether the domain is closed or away, and these are the holder's name servers: then the answer is to be had
// from two of the zone's servers.
func (s State) WouldOpen(ns []string) bool {
	return (s.Control.Since != 0 || s.Control.Away != 0) && s.Home != "" && source.Fingerprint(ns) == s.Home
}

// openingDue is when the registry is to be asked because recovery could be opened, or stay open: the zone shows the holder's
// name servers again, the resolver the same MX, and no mail host is in a gap. 0: it could not.
func (s State) openingDue() Instant {
	c := s.Control
	switch {
	case c.Since == 0 && c.Away == 0 || s.Deleg != DelegationHome || s.MailLapsed != "" || !c.mailAsBefore() || c.Giver != "" || s.Service.lame():
		return 0
	case c.Gap == GapYoung && s.RegAt < c.Since:
		return c.Since
	case s.RegAt < s.DelegSince:
		return s.DelegSince
	default:
		return s.RegAt.Add(Daily)
	}
}

// NextLook is when a domain whose recovery is closed is to be looked at again: hourly for a day, for what was a mistake of
// the moment, then every six hours for sixty days, of one that went elsewhere for a week; 0: the daily round is enough, as for
// a name that was deleted, or that only waits for a mail host.
func (c Continuity) NextLook(now Instant) Instant {
	moved := c.Gap == GapNewServers || c.Gap == GapNewMail
	switch age := now.Since(c.Since); {
	case c.Since == 0 || c.Gap == GapMailHost || age > SixHourlyLooks:
		return 0
	case age < HourlyLooks:
		return now.Add(time.Hour)
	case c.Lost || c.Gap == GapDeleted || moved && age > MovedLooks:
		return 0
	default:
		return now.Add(6 * time.Hour)
	}
}
