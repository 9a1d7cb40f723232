// Package source says what a source can answer about a domain. A package below it asks one kind of upstream each (dns,
// rdap, status); what an answer leads to is not known here.
package source

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Source names one kind of witness about a domain.
type Source string

// The witnesses. Each is asked by one package below this one.
const (
	SourceDelegation Source = "delegation" // the servers of the zone directly above the domain
	SourceRDAP       Source = "rdap"       // the registry's RDAP server (RFC 9082, 9083)
	SourceStatus     Source = "status"     // Fastly Domain Research, or Domainr v2
	SourceMail       Source = "mail"       // the domain's MX set, from the configured resolver
	SourceServers    Source = "servers"    // the domain's own name servers, for the zone's SOA
)

// Outcome says how far an answer may be believed.
type Outcome string

const (
	// Observed: the source said something about this very domain.
	Observed Outcome = "observed"
	// Absent: a source that has the authority to say so says that there is no such domain
	// (NXDOMAIN from the zone above; 404 from the RDAP server that IANA names for the TLD).
	Absent Outcome = "absent"
	// Unknown: nothing may be concluded; Cause says why. It is never "not registered".
	Unknown Outcome = "unknown"
)

// Cause is why an answer is Unknown. The set is closed: it labels logs and metrics.
type Cause string

// Causes of an Unknown outcome.
const (
	CauseNone         Cause = ""
	CauseTimeout      Cause = "timeout"       // no answer within the deadline
	CauseUnreachable  Cause = "unreachable"   // refused or reset connection, no route, no such host
	CauseServfail     Cause = "servfail"      // DNS SERVFAIL
	CauseRefused      Cause = "refused"       // DNS REFUSED or NOTIMP
	CauseLame         Cause = "lame"          // the server does not serve the zone it was asked about
	CauseTruncated    Cause = "truncated"     // truncated over UDP and not to be had over TCP
	CauseMalformed    Cause = "malformed"     // cannot be decoded, or does not match the question
	CauseTooLarge     Cause = "too large"     // the body exceeds the limit
	CauseWrongName    Cause = "wrong name"    // an answer about another domain
	CauseTooDeep      Cause = "too deep"      // JSON nested deeper than any answer is
	CauseWrongClass   Cause = "wrong class"   // another kind of object (a name server, an entity)
	CauseSearch       Cause = "search result" // results of a search, which is not what was asked
	CauseEmptyBody    Cause = "empty body"    // a success that says nothing
	CauseHTML         Cause = "html"          // a page: something in between, or not RDAP at all
	CauseNotRDAP      Cause = "not rdap"      // text, or JSON of another protocol
	CauseErrorInside  Cause = "error inside"  // an error object inside a success
	CauseRateLimited  Cause = "rate limited"  // 429
	CauseForbidden    Cause = "forbidden"     // 401, 403, 451
	CauseServerError  Cause = "server error"  // 5xx
	CauseBadRequest   Cause = "bad request"   // another 4xx
	CauseRedirect     Cause = "redirect"      // a redirect that may not be followed
	CauseNotAuthority Cause = "not authority" // a 404 from a server that cannot prove absence
	CauseNoServer     Cause = "no server"     // no server is known for this TLD
	CauseDisabled     Cause = "disabled"      // the operator switched this source off
	CauseNotAsked     Cause = "not asked"     // the deadline came first
	CauseNotBelieved  Cause = "not believed"  // bad news from an upstream that is wrong about names whose answer is known
	CauseDisagree     Cause = "disagree"      // two of the upstream's servers say different things
	CauseInternal     Cause = "internal"      // the program failed on this domain; see the log
)

// Observation is what one source answered about one registrable domain at one time. Exactly one of the
// pointers is set when Outcome is Observed, none otherwise.
type Observation struct {
	Source  Source
	Server  string    // the upstream asked: "com" servers, an RDAP base URL, "fastly"
	At      time.Time // when the answer arrived, UTC
	Outcome Outcome
	Cause   Cause
	// RetryAfter is how long the upstream asked us to stay away; zero when it did not say.
	RetryAfter time.Duration
	// Slower: the upstream said that it is asked too fast, be it in an answer that is good for the rest.
	Slower bool
	// Said is the answer in the source's own words, printable and at most MaxSaid bytes, for evidence.
	Said string

	Delegation   *Delegation
	Registration *Registration
	Market       *Market
	Mail         *Mail
	Service      *Service
}

// MaxSaid bounds Observation.Said in bytes: evidence is stored and shown, a hostile answer must not fill it.
const MaxSaid = 240

// Delegation is what the zone directly above says.
type Delegation struct {
	// NS are the delegated name servers: lower case, no trailing dot, sorted, unique. Empty with
	// Form "nodata", and possible with "authority".
	NS []string
	// Form is "referral" (a delegation), "authority" (the server hosts the child, or the zone holds
	// records for it without a delegation, as .de does) or "nodata". None of them is absence.
	Form string
}

// The forms of a Delegation.
const (
	FormReferral  = "referral"
	FormAuthority = "authority"
	FormNoData    = "nodata"
)

// Registration is a domain object of RDAP, reduced to what judgement needs. Zero times are unknown. Registrar,
// NameServers, DS, Transferred and Registered together are the fingerprint of who controls the name.
type Registration struct {
	// Authoritative: the server is the one that IANA's bootstrap names for the TLD. A server of the
	// supplemental list is believed in what it says, not in what it says is absent.
	Authoritative bool
	// Statuses in RDAP spelling (RFC 8056): lower case, words apart, sorted, unique; unlisted ones kept.
	Statuses []string

	Registered       time.Time // event "registration"
	Expires          time.Time // event "expiration" (the registry's)
	RegistrarExpires time.Time // event "registrar expiration"
	Transferred      time.Time // event "transfer"
	Deleted          time.Time // event "deletion" (RFC 9083 section 10.2.3) that lies in the past, the latest

	Registrar   string   // the sponsoring registrar's IANA id, or its name where there is no id
	NameServers []string // canonical as in Delegation.NS
	Signed      bool     // secureDNS.delegationSigned
	// DS are the DS records in the parent, "keyTag algorithm digestType digest" (RFC 4034 section 5.3), the
	// digest in lower case: sorted, unique.
	DS []string
}

// Undecided tells of an object that says that it was deleted and has no status at all: some registries go on
// publishing what is no registration any more. It is none again once it was registered later than deleted.
func (r Registration) Undecided() bool {
	return len(r.Statuses) == 0 && !r.Deleted.IsZero() && !r.Registered.After(r.Deleted)
}

// Market is an answer of the status API.
type Market struct {
	Tokens  []string // as sent, lower case; the last has precedence
	Precise bool     // the registry was asked; false for scope=estimate, which is DNS only
}

// Mail is the domain's MX set.
type Mail struct {
	Hosts []string // canonical MX hosts, sorted; empty means none; the root alone is a null MX (RFC 7505)
	// Own: some of the hosts lie at or below the name, or there are none, so that mail goes to the name's own address
	// (RFC 5321 section 5.1). Addresses are those of them all, sorted; nil: they were not heard.
	Own       bool
	Addresses []string
}

// Serves is what the servers that a domain is delegated to make of its zone.
type Serves string

// What they make of it.
const (
	Served      Serves = "served"      // at least one of them has it
	Lame        Serves = "lame"        // all that answer say that they do not have it
	Unreachable Serves = "unreachable" // none gave an answer that can be believed
)

// Service is whether a domain's zone is served by the servers that it is delegated to.
type Service struct {
	Serves Serves
	NS     []string // the delegation, canonical as in Delegation.NS
	Lame   []string // those of NS that answered and do not have the zone; one among good ones is a remark
}

// Fingerprint reduces a set of canonical host names to a short comparable value; order and repetition do not
// matter. The empty set has a fingerprint of its own.
func Fingerprint(hosts []string) string {
	set := slices.Clone(hosts)
	slices.Sort(set)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(set), " ")))
	return hex.EncodeToString(sum[:8])
}
