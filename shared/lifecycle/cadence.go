package lifecycle

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// Every period of the guard, in one place with its reason.
const (
	// Freshness is how old evidence may be when an unverify rests on it: a holder can renew within hours.
	Freshness = 24 * time.Hour
	// SecondLook separates two looks that must agree when only one authority speaks: long enough for a
	// registry's maintenance or a bad deployment to be noticed, short against redemption's 30 days.
	SecondLook = 6 * time.Hour
	// GraceLook separates two looks in the grace period: a day, less the jitter of a daily schedule.
	GraceLook = 20 * time.Hour
	// RetryLook is when a domain is asked again after an answer that cannot be believed.
	RetryLook = 6 * time.Hour
	// punctual is how much sooner than due the next look at a closed domain may be.
	punctual = 30 * time.Minute
	// repeated is how old the zone's last answer may be as it is stored, where the new one says the same: well below Freshness.
	repeated = 10 * time.Hour
	// Daily is the distance of RDAP looks while the tripwire is blind or something is wrong; less than a
	// day, so that a daily run always finds it due.
	Daily = 20 * time.Hour
	// Weekly is the distance of RDAP looks around expiry.
	Weekly = 7*24*time.Hour - 4*time.Hour
	// Rarely is the distance of RDAP looks otherwise: the tripwire covers what happens in between.
	Rarely = 60 * 24 * time.Hour
	// Reserve is what must be left between the look that finds a lapse and the release: a second look, a silent
	// upstream, a hold that waits for a person.
	Reserve = 2 * 24 * time.Hour
	// NearExpiry is the distance from expiry, or from its anniversary, within which RDAP is asked weekly:
	// 45 days of auto-renew grace (RFC 3915) and five to spare.
	NearExpiry = 50 * 24 * time.Hour
	// Margin is how far registrars' and registries' clocks differ about one registration.
	Margin = 24 * time.Hour
	// ClockMargin is taken off verified_before: the moment a lapse is seen is not the moment it began.
	ClockMargin = 5 * time.Minute
	// NewControl is how long control that changed without an interim is watched before it counts as home.
	NewControl = 45 * 24 * time.Hour
	// MinSecondLook is the floor under every second look: no setting makes it shorter.
	MinSecondLook = time.Hour
)

// BaselineAt spreads the first RDAP look at a domain over days from first on, by the domain's name, so that a
// registry that adds a million domains does not ask one server about all of them at once.
func BaselineAt(name string, first Instant, days int) Instant {
	if days <= 0 {
		return first
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	span := uint64(days) * 86_400
	return first + Instant(h.Sum64()%span) // #nosec G115 -- below days*86400
}

const daySeconds = 86_400

// MailDay is the day of the week on which a domain's MX and its own name servers are asked, counted from 1 January 1970 (0 to
// 6): the days are spread by name.
func MailDay(name string) int64 { return int64(BaselineAt(name, 1, 7)-1) / daySeconds }

// IsMailDay tells whether a run that began then falls on a domain's MailDay.
func IsMailDay(name string, began Instant) bool { return MailDay(name) == int64(began)/daySeconds%7 }

// Raises tells whether the zone's daily answer about a domain will have others asked, as far as is known before: its MX, or
// its registry.
func Raises(name string, s State, began Instant) bool {
	return IsMailDay(name, began) || s.MailWatched(began) || s.NextRDAP <= began
}

// RegistryAt is when the registry is first asked about a domain of the first list: within days from first on, those with
// more addresses earlier. A domain with one address, as most have, gets a place in the last three quarters, one with two
// in what is left down to a ninth, and so on. What looks lost does not wait for its place (see Questions).
func RegistryAt(name string, first Instant, days, addresses int) Instant {
	n := int64(min(max(addresses, 1), 1000)) // beyond, a place is narrower than a second
	span := int64(max(days, 0)) * 86_400
	from, to := span/((n+1)*(n+1)), span/(n*n)
	place := int64(BaselineAt(name, 0, days)) // uniform in the span
	return first + Instant(from+place*(to-from)/max(span, 1))
}

// nextRDAP is when the registry is to be asked again, given what it said at the state's RegAt: daily in trouble,
// weekly around expiry where the zone is blind, else rarely, but never so rarely that a whole lapse fits between two looks.
func nextRDAP(s State, t TLD, now Instant) Instant {
	if s.Trouble() {
		return now.Add(s.pause())
	}
	return now.Add(quietPause(s, t, now))
}

// pause is the distance of looks at the registry while something is wrong: daily; weekly when it has said for a week that
// the name is lost, or had nothing to say for two months. The zone shows when somebody has it, and who waits for a
// decision has it asked all the same.
func (s State) pause() time.Duration {
	c, gone := s.Control, s.Deleg == DelegationGone
	switch {
	case c.Lost && s.RegAt.Since(c.Since) >= Weekly && s.RegAt >= s.DelegSince,
		gone && s.Reg == WordAbsent && s.RegAt.Since(s.RegSince) >= Weekly,
		gone && s.Silent > 0 && s.DelegAt.Since(s.DelegSince) >= SixHourlyLooks:
		return Weekly
	default:
		return Daily
	}
}

// quietPause is the distance of looks at the registry while nothing is wrong.
func quietPause(s State, t TLD, now Instant) time.Duration {
	near := nearExpiry(s.Expires, now) || nearExpiry(s.RegistrarExpires, now)
	expiry := s.Expires != 0 || s.RegistrarExpires != 0
	switch {
	case t.blind() && near:
		return min(Weekly, t.longestPause())
	case t.Shows, t.Release == 0 && expiry: // far from it, a lapse has not begun
		return Rarely
	default:
		return min(Rarely, t.longestPause())
	}
}

// silence is how long a registry is left alone that did not answer: longer each time, but not longer than what it is
// asked about can wait.
func silence(s State) time.Duration {
	most := Weekly
	if s.Trouble() || s.Control.Since != 0 {
		most = s.pause()
	}
	return min(most, RetryLook<<min(max(s.Silent-1, 0), 10))
}

// inVain is from how many vain questions on a registry counts as one that does not answer: fewer are a mishap.
const inVain = 3

// unheard notes a look that brought no answer. One that only the registry owed waits for its turn, where all is quiet.
func unheard(s State, obs []source.Observation, now Instant) State {
	s.RetryAt = now.Add(RetryLook)
	if len(obs) == 0 || slices.ContainsFunc(obs, func(o source.Observation) bool { return o.Source != source.SourceRDAP }) {
		return s
	}
	s.Silent++
	s.NextRDAP, s.RetryAt = now.Add(silence(s)), 0
	if s.Trouble() || s.Control.Since != 0 {
		s.RetryAt = s.NextRDAP
	}
	return s
}

// blind tells whether a lapse need not show in the TLD's zone. Where it must, the daily question to the zone sees it, and
// the registry is asked at once.
func (t TLD) blind() bool { return !t.Described || !t.OffInDeletion }

// longestPause is how long the registry may go unasked: so that a look falls into the TLD's shortest path from lapse
// to release, with Reserve to spare. Where that path is not known it is taken for short.
func (t TLD) longestPause() time.Duration {
	if t.Release == 0 {
		return Weekly
	}
	return max(Daily, t.Release-Reserve)
}

// nearExpiry tells whether now is within NearExpiry of the expiry or of its anniversary a year or more before
// (in auto-renew grace the registry's date is already a year ahead).
func nearExpiry(expires, now Instant) bool {
	if expires == 0 {
		return false
	}
	year := 365 * 24 * time.Hour
	for d := expires.Since(now); ; d -= year {
		if d.Abs() <= NearExpiry {
			return true
		}
		if d < NearExpiry {
			return false
		}
	}
}
