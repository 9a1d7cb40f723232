package sim

// DNSAnswer is how the servers of the zone above answer a question about a domain.
type DNSAnswer string

// What a zone's servers answer. Only Gone is absence.
const (
	Referral      DNSAnswer = "referral"       // NS in the authority section, with glue
	Gone          DNSAnswer = "gone"           // NXDOMAIN with authority and SOA
	NoData        DNSAnswer = "nodata"         // the name is there and has no NS
	Authority     DNSAnswer = "authority"      // the server hosts the child too
	Servfail      DNSAnswer = "servfail"       // SERVFAIL
	Refused       DNSAnswer = "refused"        // REFUSED
	Timeout       DNSAnswer = "timeout"        // no answer at all, also over TCP
	Truncated     DNSAnswer = "truncated"      // cut short over UDP, whole over TCP
	TruncatedOnly DNSAnswer = "truncated only" // cut short over UDP, and TCP is closed
	Lame          DNSAnswer = "lame"           // NXDOMAIN by a server of another zone
	Upward        DNSAnswer = "upward"         // a referral to the root
	HalfLame      DNSAnswer = "half lame"      // for a domain's own servers: the first of Internet.DNSAddrs has the zone, the second refuses
	Malformed     DNSAnswer = "malformed"      // the right question, then rubbish
)

// DNSAnswers lists all of them.
func DNSAnswers() []DNSAnswer {
	return []DNSAnswer{Referral, Gone, NoData, Authority, Servfail, Refused, Timeout, Truncated, TruncatedOnly, Lame, Upward, Malformed}
}

// RDAPAnswer is how a registry's RDAP server answers a question about a domain.
type RDAPAnswer string

// What an RDAP server answers. Only the first three come from a registry that is in order.
const (
	Object           RDAPAnswer = "object"            // the registration (RFC 9083)
	NotFound         RDAPAnswer = "404"               // with RDAP's own error object
	NotFoundEmpty    RDAPAnswer = "404 empty"         // without a body
	NotFoundHTML     RDAPAnswer = "404 html"          // of something in between
	TooMany          RDAPAnswer = "429"               // without a word about when to come back
	TooManyRetry     RDAPAnswer = "429 retry"         // Retry-After: 1800
	Forbidden        RDAPAnswer = "403"               //
	ServerError      RDAPAnswer = "500"               //
	Unavailable      RDAPAnswer = "503"               //
	Reset            RDAPAnswer = "reset"             // the connection
	Silence          RDAPAnswer = "silence"           // until the asker goes away, at most Config.Silence
	WrongName        RDAPAnswer = "wrong name"        // an object about another domain
	SearchResult     RDAPAnswer = "search"            // a list of domains
	ErrorInside      RDAPAnswer = "error inside"      // an error object within a 200
	Broken           RDAPAnswer = "malformed"         // the object, cut off
	HTML             RDAPAnswer = "html"              // a page with a 200
	Huge             RDAPAnswer = "huge"              // 30 MB that begin like an object
	RedirectLoopback RDAPAnswer = "redirect loopback" // to https on this machine
	RedirectHTTP     RDAPAnswer = "redirect http"     // to plain http elsewhere
)

// RDAPAnswers lists all of them.
func RDAPAnswers() []RDAPAnswer {
	return []RDAPAnswer{
		Object, NotFound, NotFoundEmpty, NotFoundHTML, TooMany, TooManyRetry, Forbidden, ServerError, Unavailable, Reset,
		Silence, WrongName, SearchResult, ErrorInside, Broken, HTML, Huge, RedirectLoopback, RedirectHTTP,
	}
}

// StatusAnswer is how a status API answers a question about a domain.
type StatusAnswer string

// What a status API answers.
const (
	Tokens         StatusAnswer = "tokens"       // those in Status.Words
	StatusBad      StatusAnswer = "400"          // a problem object with an integer status; Domainr: a message
	StatusDenied   StatusAnswer = "401"          //
	StatusTooMany  StatusAnswer = "429"          // Retry-After: 60
	StatusFailed   StatusAnswer = "500"          //
	StatusInside   StatusAnswer = "error inside" // errors within a 200
	StatusBroken   StatusAnswer = "malformed"    // an object, cut off
	StatusOther    StatusAnswer = "wrong name"   // an answer about another domain
	StatusSilenced StatusAnswer = "silence"      // as RDAP's
)

// StatusAnswers lists all of them.
func StatusAnswers() []StatusAnswer {
	return []StatusAnswer{Tokens, StatusBad, StatusDenied, StatusTooMany, StatusFailed, StatusInside, StatusBroken, StatusOther, StatusSilenced}
}
