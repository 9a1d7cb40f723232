package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// World is the internet that is simulated: its top-level domains, and what becomes of every domain over time.
// A name that is not in it is not registered.
type World struct {
	Start time.Time // UTC; every Step and Outage counts from here
	// TLDs by name, A-labels without a dot. A domain below a TLD that is not here is invalid.
	TLDs    map[string]TLD
	Domains []Domain
	Outages []Outage
	// StatusToken is the key that the status APIs want; empty: none.
	StatusToken string
}

// Listing says whether a TLD has an RDAP server, and who names it.
type Listing string

// The listings. Every TLD's server answers at RDAPURL, but for NoServer's.
const (
	Listed       Listing = "listed"       // in the bootstrap file (RFC 9224)
	Supplemental Listing = "supplemental" // it exists, and the bootstrap file does not know it
	NoServer     Listing = "none"
)

// Dialect is how a TLD's RDAP server spells a well-formed answer (RFC 9083).
type Dialect string

// The dialects; the empty one is Plain.
const (
	Plain    Dialect = "plain"     // as the RFC has it
	EPP      Dialect = "epp"       // statuses as in EPP (RFC 8056): pendingDelete
	Upper    Dialect = "upper"     // ldhName in upper case with a trailing dot, statuses in capitals
	OneWord  Dialect = "string"    // status a string in the place of a list
	NoStatus Dialect = "no status" // as .no
	Offset   Dialect = "offset"    // dates in local time with +0200
)

// TLD is one top-level domain.
type TLD struct {
	RDAP    Listing
	Dialect Dialect
}

// Domain is one registrable domain and its history, which starts at or before the world's.
type Domain struct {
	Name  string // lower case, A-labels
	Steps []Step // ascending
}

// Step is what is so from a moment on, until the next step. A part that is not set stays as it was.
type Step struct {
	From       time.Duration // since World.Start
	Delegation Delegation
	RDAP       RDAP
	Status     Status
	// Own is what the domain's own name servers answer for its zone: Authority, HalfLame, Refused, Servfail, Lame or Timeout;
	// empty: as before, at first Authority. A resolver finds nothing behind those that nobody serves.
	Own DNSAnswer
	// MX are the mail hosts; nil: as before, at first mx.NAME; empty: null MX (RFC 7505).
	MX []string
}

// Delegation is what the servers of the zone above answer.
type Delegation struct {
	Answer DNSAnswer
	NS     []string // lower case; nil: as before
}

// RDAP is what the registry's server answers.
type RDAP struct {
	Answer RDAPAnswer
	// New: a registration that has nothing in common with the one before; what is not set is not known.
	New bool
	Registration
}

// Registration is a domain's entry in its registry. What is zero stays as it was; zero from the start: not told.
type Registration struct {
	Statuses         []string // RDAP spelling; nil: as before
	Registered       time.Time
	Expires          time.Time
	RegistrarExpires time.Time
	Transferred      time.Time
	Registrar        string   // IANA id, or a name
	NS               []string // nil: those of the last delegation
	Signed           bool     // stays set
}

// Status is what the status APIs answer.
type Status struct {
	Answer   StatusAnswer
	Words    string // tokens as sent, the last has precedence; empty: as before
	Estimate bool   // scope=estimate: DNS only
}

// Outage is a time in which an upstream answers everything alike.
type Outage struct {
	// Upstream is "dns:SUFFIX", "rdap:TLD", "status" or "resolver" (MX and addresses).
	Upstream string
	From, To time.Duration // since World.Start, To excluded
	Answer   string        // a DNSAnswer, RDAPAnswer or StatusAnswer
}

// stage is a Step with nothing left open.
type stage struct {
	from   time.Duration
	dns    DNSAnswer
	ns     []string
	rdap   RDAPAnswer
	reg    Registration
	own    DNSAnswer
	status Status
	mx     []string
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)
	tldForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

// stages resolves a domain's steps.
func (d Domain) stages() ([]stage, error) {
	if len(d.Steps) == 0 {
		return nil, fmt.Errorf("sim: %s has no history", d.Name)
	}
	now := stage{dns: Referral, own: Authority, rdap: Object, status: Status{Answer: Tokens, Words: "active"}, mx: []string{"mx." + d.Name}}
	list := make([]stage, 0, len(d.Steps))
	for i, s := range d.Steps {
		if i > 0 && s.From <= now.from {
			return nil, fmt.Errorf("sim: %s: step %d begins at or before the one before it", d.Name, i)
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("sim: %s: step %d: %w", d.Name, i, err)
		}
		now = now.after(s)
		if now.dns == Referral && len(now.ns) == 0 {
			return nil, fmt.Errorf("sim: %s: step %d is delegated to nobody", d.Name, i)
		}
		list = append(list, now)
	}
	return list, nil
}

func (s Step) check() error {
	switch {
	case s.Delegation.Answer != "" && !slices.Contains(DNSAnswers(), s.Delegation.Answer):
		return fmt.Errorf("there is no DNS answer %q", s.Delegation.Answer)
	case s.Own != "" && !slices.Contains([]DNSAnswer{Authority, HalfLame, Refused, Servfail, Lame, Timeout}, s.Own):
		return fmt.Errorf("no name server of its own answers %q", s.Own)
	case s.RDAP.Answer != "" && !slices.Contains(RDAPAnswers(), s.RDAP.Answer):
		return fmt.Errorf("there is no RDAP answer %q", s.RDAP.Answer)
	case s.Status.Answer != "" && !slices.Contains(StatusAnswers(), s.Status.Answer):
		return fmt.Errorf("there is no status answer %q", s.Status.Answer)
	}
	for _, host := range slices.Concat(s.Delegation.NS, s.RDAP.NS, s.MX) {
		if !nameForm.MatchString(host) {
			return fmt.Errorf("%q is no canonical host name", host)
		}
	}
	return nil
}

// after is the stage that a step leads to.
func (g stage) after(s Step) stage {
	g.from = s.From
	if s.Delegation.NS != nil {
		g.ns, g.dns = s.Delegation.NS, Referral
	}
	if s.Delegation.Answer != "" {
		g.dns = s.Delegation.Answer
	}
	if s.Own != "" {
		g.own = s.Own
	}
	if s.RDAP.Answer != "" {
		g.rdap = s.RDAP.Answer
	}
	if s.RDAP.New {
		g.reg = Registration{}
	}
	g.reg = g.reg.with(s.RDAP.Registration)
	if s.Status.Words != "" {
		g.status = Status{Answer: Tokens, Words: s.Status.Words, Estimate: s.Status.Estimate}
	}
	if s.Status.Answer != "" {
		g.status.Answer = s.Status.Answer
	}
	if s.MX != nil {
		g.mx = s.MX
	}
	return g
}

func (r Registration) with(n Registration) Registration {
	set := func(old *time.Time, at time.Time) {
		if !at.IsZero() {
			*old = at.UTC()
		}
	}
	set(&r.Registered, n.Registered)
	set(&r.Expires, n.Expires)
	set(&r.RegistrarExpires, n.RegistrarExpires)
	set(&r.Transferred, n.Transferred)
	if n.Statuses != nil {
		r.Statuses = n.Statuses
	}
	if n.Registrar != "" {
		r.Registrar = n.Registrar
	}
	if n.NS != nil {
		r.NS = n.NS
	}
	r.Signed = r.Signed || n.Signed
	return r
}

// check judges what is not a domain's.
func (w World) check() error {
	if w.Start.IsZero() {
		return fmt.Errorf("sim: the world has no start")
	}
	for tld, t := range w.TLDs {
		if !tldForm.MatchString(tld) {
			return fmt.Errorf("sim: %q is no top-level domain", tld)
		}
		if !slices.Contains([]Listing{Listed, Supplemental, NoServer}, t.RDAP) {
			return fmt.Errorf("sim: .%s: there is no listing %q", tld, t.RDAP)
		}
		if !slices.Contains([]Dialect{"", Plain, EPP, Upper, OneWord, NoStatus, Offset}, t.Dialect) {
			return fmt.Errorf("sim: .%s: there is no dialect %q", tld, t.Dialect)
		}
	}
	for _, o := range w.Outages {
		if err := o.check(); err != nil {
			return err
		}
	}
	return nil
}

func (o Outage) check() error {
	kind, about, _ := strings.Cut(o.Upstream, ":")
	known := false
	switch {
	case kind == "dns" && about != "", o.Upstream == "resolver":
		known = slices.Contains(DNSAnswers(), DNSAnswer(o.Answer)) && o.Answer != string(Referral) && o.Answer != string(Authority)
	case kind == "rdap" && about != "":
		known = slices.Contains(RDAPAnswers(), RDAPAnswer(o.Answer)) && o.Answer != string(Object)
	case o.Upstream == "status":
		known = slices.Contains(StatusAnswers(), StatusAnswer(o.Answer)) && o.Answer != string(Tokens)
	}
	if !known || o.From >= o.To {
		return fmt.Errorf("sim: outage of %q with answer %q from %s to %s is none", o.Upstream, o.Answer, o.From, o.To)
	}
	return nil
}

// lastLabel is a name's top-level domain.
func lastLabel(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// parent is the name one label up; empty above a top-level domain.
func parent(name string) string {
	_, above, _ := strings.Cut(name, ".")
	return above
}
