package lifecycle

import (
	"cmp"
	"net/url"
	"slices"

	"github.com/lapseguard/lapseguard/shared/source"
)

// credible: an unknown answer says nothing, nor does absence from an RDAP server that IANA does not name.
func credible(o source.Observation, a Authority) bool {
	return o.Outcome != source.Unknown && (o.Source != source.SourceRDAP || o.Outcome != source.Absent || a == AuthorityIANA)
}

// observe folds the observations of one visit into the witnesses and milestones of s; what is not credible
// changes none. good tells whether there was any answer to judge by. Of the facts it uses what the RDAP server is
// worth, and what the TLD's own words mean.
func observe(s State, obs []source.Observation, f Facts) (next State, good bool) {
	a := f.authority()
	obs = slices.Clone(obs)
	// A fixed order makes the verdict independent of the order in which answers came.
	slices.SortStableFunc(obs, func(a, b source.Observation) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Said, b.Said))
	})
	for _, o := range obs {
		if s.First == 0 {
			s.First = At(o.At)
		}
		if !credible(o, a) {
			continue
		}
		switch {
		case o.Source == source.SourceDelegation && o.Outcome == source.Absent:
			s, good = seeDelegation(s, DelegationGone, "", At(o.At)), true
		case o.Source == source.SourceDelegation && o.Delegation != nil:
			s, good = seeNameServers(s, o.Delegation.NS, At(o.At)), true
		case o.Source == source.SourceRDAP && o.Outcome == source.Absent:
			s, good = seeRegistry(s, o, WordAbsent, true), true
		case o.Source == source.SourceRDAP && o.Registration != nil:
			s, good = seeRegistration(s, o, f.TLD.Words), true
		case o.Source == source.SourceStatus && o.Market != nil:
			s, good = seeMarket(s, o), true
		}
	}
	return s, good
}

func seeNameServers(s State, ns []string, at Instant) State {
	fp := source.Fingerprint(ns)
	switch {
	case fp == s.Home:
		return seeDelegation(s, DelegationHome, fp, at)
	case Parking(ns): // also where it is the first set seen: it may be the expiry page (see renewed)
		return seeDelegation(s, DelegationParked, fp, at)
	case s.Home == "" && s.Deleg == DelegationUnknown:
		s.Home = fp // the first answer of the zone is taken as the holder's
		return seeDelegation(s, DelegationHome, fp, at)
	default:
		return seeDelegation(s, DelegationMoved, fp, at)
	}
}

func seeDelegation(s State, d Delegated, fp string, at Instant) State {
	if s.Deleg != d || s.NS != fp {
		s.DelegSince = at
	}
	if s.NS != fp {
		s.Service = Service{} // it was said by other servers
	}
	s.Deleg, s.NS, s.DelegAt = d, fp, at
	return s
}

func seeRegistry(s State, o source.Observation, w Word, authoritative bool) State {
	if s.Reg != w {
		s.RegSince = At(o.At)
	}
	s.Reg, s.RegAt, s.RegServer, s.RegAuth = w, At(o.At), serverHost(o.Server), authoritative
	return s
}

func seeRegistration(s State, o source.Observation, own Words) State {
	r := o.Registration
	if r.Undecided() {
		return seeRegistry(s, o, WordUndecided, r.Authoritative) // its dates are as doubtful as itself
	}
	s = seeRegistry(s, o, registryWord(r.Statuses, own), r.Authoritative)
	at, reg := At(o.At), At(r.Registered)
	if s.Registered != 0 && reg.Since(s.Registered) > Margin {
		s.Moved = at
	}
	if changed(s.Registrar, r.Registrar) || s.Transferred != 0 && At(r.Transferred) > s.Transferred {
		s.ControlAt = at
	}
	over := s.Phase == PendingDelete || s.Phase == Released
	if out := s.Reg == WordRestore || s.Reg == WordRedemption || s.Reg == WordPendingDelete; !over || out {
		reg = cmp.Or(reg, s.Registered)
	}
	s.Registered = reg // registered after its end, and no date: a registration that we do not know
	s.Expires = cmp.Or(At(r.Expires), s.Expires)
	s.RegistrarExpires = cmp.Or(At(r.RegistrarExpires), s.RegistrarExpires)
	s.Transferred = cmp.Or(At(r.Transferred), s.Transferred)
	s.Registrar = cmp.Or(r.Registrar, s.Registrar)
	return s
}

func changed(old, now string) bool { return old != "" && now != "" && old != now }

// registryWords are the words that a status can come to, the one that says most about a lapse first: a restore in
// progress outranks redemption, and `pending delete` beside `redemption period` is redemption (RFC 3915);
// `auto renew period` beside a hold is how registrars interrupt a name that expired.
var registryWords = []Word{WordRestore, WordRedemption, WordPendingDelete, WordAutoRenew, WordOnHold, WordInactive, WordRegistered}

// registryWord picks the status that says most about a lapse, by the TLD's own words where it has some.
func registryWord(statuses []string, own Words) Word {
	word := WordRegistered
	for _, s := range statuses {
		w, ok := own.Means(s)
		if !ok {
			w = meaning(s)
		}
		if slices.Index(registryWords, w) < slices.Index(registryWords, word) {
			word = w
		}
	}
	return word
}

// meaning is what a status means by RFC 3915 and RFC 8056; one that says nothing of a lapse means registered.
func meaning(status string) Word {
	switch w := Word(status); w {
	case WordRestore, WordRedemption, WordPendingDelete, WordAutoRenew, WordInactive:
		return w
	case "client hold", "server hold":
		return WordOnHold
	default:
		return WordRegistered
	}
}

func seeMarket(s State, o source.Observation) State {
	w := marketWord(o.Market.Tokens)
	if s.Mkt != w || s.MktFine != o.Market.Precise {
		s.MktSince = At(o.At)
	}
	s.Mkt, s.MktAt, s.MktFine = w, At(o.At), o.Market.Precise
	return s
}

// marketWord reads the tokens by precedence: the last one decides, kinds of name set aside. What is not listed
// neither reassures nor accuses; nor does "premium", which the registry sells and nobody need own.
func marketWord(tokens []string) Word {
	for _, t := range slices.Backward(tokens) {
		switch t {
		case "deleting":
			return WordPendingDelete
		case "expiring":
			return WordRedemption
		case "inactive":
			return WordAbsent
		case "active", "parked", "marketed", "priced", "transferable":
			return WordRegistered
		case "suffix", "zone", "tld":
			continue // the kind of name, not its standing
		default:
			return WordUndecided
		}
	}
	return WordUndecided
}

// serverHost keeps the host of an RDAP base URL: enough for evidence, and short.
func serverHost(server string) string {
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return server
}
