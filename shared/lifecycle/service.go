package lifecycle

import (
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/nameserver"
)

// Service is what is remembered of the domain's own name servers. Nothing is, while all is well.
type Service struct {
	Serves source.Serves `json:"s,omitempty"` // lame; or served, once recovery is closed
	At     Instant       `json:"a,omitempty"` // newest answer
	Since  Instant       `json:"b,omitempty"` // first of the uninterrupted answers that say Serves
	Giver  string        `json:"g,omitempty"` // the DNS host that gives the zone away while it is lame
}

// lame tells whether the newest answer is that nobody serves the zone.
func (v Service) lame() bool { return v.Serves == source.Lame }

// Lame tells whether no name server of the domain served it when they were last heard, and, where it is so, at which
// DNS host whoever asks for the zone gets it.
func (s State) Lame() (giver string, lame bool) { return s.Service.Giver, s.Service.lame() }

// SeeService folds what the domain's own name servers said of its zone. Silence changes nothing, nor does what other
// servers said than those that the zone above last named.
func SeeService(s State, o source.Observation, f Facts, now Instant) State {
	v := o.Service
	if o.Outcome != source.Observed || v == nil || v.Serves == source.Unreachable || source.Fingerprint(v.NS) != s.NS {
		return s
	}
	before, at := s, At(o.At)
	switch closed := s.Control.Since != 0; {
	case v.Serves == source.Served && !closed:
		s.Service = Service{}
	case v.Serves == s.Service.Serves:
		s.Service.At = at
	default:
		s.Service = Service{Serves: v.Serves, At: at, Since: at}
	}
	if giver, ok := nameserver.GivesAway(v.Lame); ok && s.Service.lame() {
		s.Service.Giver = giver.Name
	}
	return control(before, s, f, now)
}

// ServiceDue tells whether the domain's own name servers are to be asked whatever the day: while nobody serves the zone,
// at the distance of two looks that must agree.
func (s State) ServiceDue(now Instant) bool {
	return s.Service.lame() && s.delegated() && now.Since(s.Service.At) >= RetryLook
}

// NextLook is when the domain is to be looked at again beyond the daily round, for what its continuity asks; 0: the
// daily round is enough. A zone that nobody serves is looked at again until two looks agree, or somebody does. A time
// noted before stays where it is punctual: moving it in the index of what is due is charged twice.
func (s State) NextLook(noted, now Instant) Instant {
	if s.Control.Since != 0 || !s.Service.lame() {
		look := s.Control.NextLook(now)
		if due := s.DelegSince.Add(SecondLook); s.Control.Away != 0 && due > now && (s.RegAt < s.DelegSince || s.delegated()) {
			look = due // whether it is closed does not wait for the daily round
		}
		if noted > now && noted <= look && look.Since(noted) <= punctual && !s.Service.lame() {
			return noted
		}
		return look
	}
	if second := s.Service.At.Add(RetryLook); second > now {
		return second
	}
	return now.Add(RetryLook)
}
