package lifecycle

import (
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// Times of the tests are hours after t0; the domain is known and quiet since the day before.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24.0

func hour(h float64) time.Time  { return t0.Add(time.Duration(h * float64(time.Hour))) }
func instant(h float64) Instant { return At(hour(h)) }

var (
	homeNS   = []string{"ns1.example-host.net", "ns2.example-host.net"}
	movedNS  = []string{"ns1.buyer.example", "ns2.buyer.example"}
	parkedNS = []string{"ns1.sedoparking.com", "ns2.sedoparking.com"}

	verified   = time.Date(2020, 5, 5, 0, 0, 0, 0, time.UTC)
	registered = time.Date(2015, 3, 3, 0, 0, 0, 0, time.UTC)
	expires    = hour(200 * day)
)

// com are the facts of a described gTLD with an authoritative RDAP server and a known verification time.
var com = Facts{TLD: TLDOf("com"), Authority: AuthorityIANA, Oldest: At(verified)}

func with(f Facts, change func(*Facts)) Facts { change(&f); return f }

// The answers, without their time: see step.
func gone() source.Observation {
	return source.Observation{Source: source.SourceDelegation, Server: "com", Outcome: source.Absent}
}

func ns(hosts []string) source.Observation {
	return source.Observation{Source: source.SourceDelegation, Server: "com", Outcome: source.Observed, Delegation: &source.Delegation{NS: hosts, Form: source.FormReferral}}
}
func home() source.Observation   { return ns(homeNS) }
func moved() source.Observation  { return ns(movedNS) }
func parked() source.Observation { return ns(parkedNS) }

func free() source.Observation {
	return source.Observation{Source: source.SourceRDAP, Server: "https://rdap.verisign.com/com/v1/", Outcome: source.Absent}
}

// rdap is the registry's answer about a domain registered in 2015 and paid well ahead.
func rdap(statuses ...string) source.Observation {
	return source.Observation{Source: source.SourceRDAP, Server: "https://rdap.verisign.com/com/v1/", Outcome: source.Observed, Registration: &source.Registration{
		Authoritative: true, Statuses: statuses, Registered: registered, Expires: expires, Registrar: "146", NameServers: homeNS,
	}}
}

func but(o source.Observation, change func(*source.Registration)) source.Observation {
	r := *o.Registration
	change(&r)
	o.Registration = &r
	return o
}

func dated(o source.Observation, at time.Time) source.Observation {
	return but(o, func(r *source.Registration) { r.Registered = at })
}

func status(tokens ...string) source.Observation {
	return source.Observation{Source: source.SourceStatus, Server: "fastly", Outcome: source.Observed, Market: &source.Market{Tokens: tokens, Precise: true}}
}

func estimate(tokens ...string) source.Observation {
	o := status(tokens...)
	o.Market.Precise = false
	return o
}

func unknown(s source.Source, c source.Cause) source.Observation {
	return source.Observation{Source: s, Server: "somewhere", Outcome: source.Unknown, Cause: c}
}

func allUnknown() []source.Observation {
	return []source.Observation{unknown(source.SourceDelegation, source.CauseTimeout), unknown(source.SourceRDAP, source.CauseRateLimited), unknown(source.SourceStatus, source.CauseServerError)}
}

// step is one visit.
type step struct {
	at  float64 // hours after t0
	obs []source.Observation
}

func visit(at float64, obs ...source.Observation) step { return step{at, obs} }

func at(t time.Time, obs []source.Observation) []source.Observation {
	out := make([]source.Observation, len(obs))
	for i, o := range obs {
		o.At = t
		out[i] = o
	}
	return out
}

// known is the state of a domain that was looked at a day before t0 and was in order.
func known(t testing.TB, f Facts) State {
	t.Helper()
	first := []source.Observation{home(), rdap("client transfer prohibited")}
	if f.Authority == AuthorityNone {
		first = []source.Observation{home(), status("active")}
	}
	s, v := Visit(NewState(instant(-day)), at(hour(-day), first), f, instant(-day))
	if s.Phase != Active || v.Action != None {
		t.Fatalf("known domain: %s, %s", s.Phase, v.Action)
	}
	return s
}

// walk makes the visits one after the other and gives the last verdict.
func walk(s State, f Facts, steps ...step) (State, Verdict) {
	var v Verdict
	for _, st := range steps {
		s, v = Visit(s, at(hour(st.at), st.obs), f, instant(st.at))
	}
	return s, v
}
