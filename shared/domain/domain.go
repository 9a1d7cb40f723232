// Package domain turns the host of an e-mail address into the registrable domain whose loss would let
// another person read that mail, or says by name why there is none. It is pure: it asks nobody.
//
// What a domain registry sells is the name below an ICANN suffix of the Public Suffix List. The list's
// private section tells browsers where one site ends and another begins; it decides nothing here.
package domain

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Reason is why a host has no registrable domain that can be watched. The set is closed: it labels logs,
// metrics and reports.
type Reason string

// The reasons. A host has the first of them that applies, in this order.
const (
	// ReasonNone: the host has a registrable domain.
	ReasonNone Reason = ""
	// ReasonEmpty: there is no host, or only the root's dot.
	ReasonEmpty Reason = "empty"
	// ReasonIPLiteral: an address, with or without the brackets of RFC 5321 section 4.1.3.
	ReasonIPLiteral Reason = "ip literal"
	// ReasonMalformed: not a host name by RFC 1123 and UTS 46 (characters, lengths, empty labels).
	ReasonMalformed Reason = "malformed"
	// ReasonSpecialUse: reserved by RFC 6761 and its successors; nobody can register it.
	ReasonSpecialUse Reason = "special use"
	// ReasonPublicSuffix: a suffix under which names are registered, itself not a registered name.
	ReasonPublicSuffix Reason = "public suffix"
	// ReasonSingleLabel: one label that is no top-level domain.
	ReasonSingleLabel Reason = "single label"
	// ReasonUnknownTLD: the list of ListDate knows no such top-level domain.
	ReasonUnknownTLD Reason = "unknown tld"
	// ReasonNotCovered: a name let by the holder of a registered name (uk.com, eu.org), of which neither
	// RDAP nor the zone above knows anything. See not_covered.txt.
	ReasonNotCovered Reason = "not covered"
)

// Reasons lists every reason except ReasonNone, in the order in which they are judged.
func Reasons() []Reason {
	return []Reason{
		ReasonEmpty, ReasonIPLiteral, ReasonMalformed, ReasonSpecialUse, ReasonPublicSuffix,
		ReasonSingleLabel, ReasonUnknownTLD, ReasonNotCovered,
	}
}

// Name is a parsed host. All three are in lower case, in A-labels (RFC 5890), without a trailing dot.
type Name struct {
	Host        string // mail.example.co.uk
	Registrable string // example.co.uk
	Suffix      string // co.uk
}

// Parse finds the registrable domain of an e-mail host in Unicode or ASCII, in any case, with or without
// one trailing dot. With a Reason, Registrable and Suffix are empty, and Host is set only where the host
// is a well-formed name (for reports). Parse is idempotent: parsing Host again gives the same Name.
// It is safe for concurrent use; the first call in a process also reads the embedded list (about 2 ms).
func Parse(host string) (Name, Reason) {
	if host == "" || host == "." {
		return Name{}, ReasonEmpty
	}
	if isIP(host) {
		return Name{}, ReasonIPLiteral
	}
	host, ok := canonical(host)
	if !ok {
		return Name{}, ReasonMalformed
	}
	if isIP(host) { // written in full-width digits or dots
		return Name{}, ReasonIPLiteral
	}
	bare := Name{Host: host}
	if specialUse(host) {
		return bare, ReasonSpecialUse
	}
	known := suffixes()
	registrable, suffix := known.cut(host)
	switch {
	case suffix == host:
		return bare, ReasonPublicSuffix
	case !strings.Contains(host, "."):
		return bare, ReasonSingleLabel
	case suffix == "":
		return bare, ReasonUnknownTLD
	case known.belowNotCovered(host):
		return bare, ReasonNotCovered
	}
	return Name{Host: host, Registrable: registrable, Suffix: suffix}, ReasonNone
}

// HostOf returns what follows the last @ of an address as it stands (the local part may be quoted and
// hold others, RFC 5321 section 4.1.2). ok is false without an @, a local part or a host.
func HostOf(address string) (host string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 {
		return "", false
	}
	return address[at+1:], true
}

// ValidRegistrable reports whether name is a registrable domain in canonical form, as Parse gives it.
func ValidRegistrable(name string) bool {
	parsed, reason := Parse(name)
	return reason == ReasonNone && parsed.Registrable == name
}

// Below reports whether host is domain or lies below it, by whole labels: notexample.com is not below
// example.com. Both must be canonical; nothing is below the empty domain.
func Below(host, domain string) bool {
	if domain == "" || !strings.HasSuffix(host, domain) {
		return false
	}
	rest := len(host) - len(domain)
	return rest == 0 || rest > 1 && host[rest-1] == '.'
}

// maxInput bounds a host in bytes before any work is done on it. A legal name has at most 253 bytes in
// A-labels; no Unicode spelling of one is this long.
const maxInput = 1024

// Lengths of RFC 1035 section 2.3.4, without the root's dot.
const (
	maxName  = 253
	maxLabel = 63
)

// isIP tells addresses from names: [192.0.2.1], [IPv6:2001:db8::1], 192.0.2.1, 2001:db8::1.
func isIP(host string) bool {
	inner, opened := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if opened != closed {
		return false
	}
	if len(inner) > 5 && strings.EqualFold(inner[:5], "ipv6:") && opened {
		inner = inner[5:]
	}
	if !opened {
		inner = strings.TrimSuffix(inner, ".")
	}
	_, err := netip.ParseAddr(inner)
	return err == nil
}

// canonical gives the lower-case A-label form without a trailing dot, or false.
func canonical(host string) (string, bool) {
	if len(host) > maxInput || !utf8.ValidString(host) || strings.ContainsRune(host, utf8.RuneError) {
		return "", false
	}
	host = trimDot(host)
	if !plain(host) {
		ascii, err := lookup.ToASCII(host)
		if err != nil {
			return "", false
		}
		// Whether the Bidi rule (RFC 5893) applies is judged before the mapping: a symbol that maps to a Hebrew letter
		// passes where the letter itself does not. What comes out must pass, too.
		if again, err := lookup.ToASCII(ascii); err != nil || again != ascii {
			return "", false
		}
		host = ascii
	}
	return host, wellFormed(host)
}

// trimDot takes off one trailing dot, also in the spellings that UTS 46 maps to one.
func trimDot(host string) string {
	for _, dot := range []string{".", "\u3002", "\uff0e", "\uff61"} {
		if cut, found := strings.CutSuffix(host, dot); found {
			return cut
		}
	}
	return host
}

// plain reports whether host is lower-case ASCII without A-labels, so that UTS 46 would not change it.
func plain(host string) bool {
	for i := range len(host) {
		if c := host[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return !strings.Contains(host, "xn--")
}

// lookup is UTS 46 for look-ups, non-transitional; a Profile is immutable. Hyphens in the third and fourth
// place are allowed (such names are registered); wellFormed judges the ends of labels.
var lookup = idna.New(
	idna.MapForLookup(),
	idna.CheckHyphens(false),
	idna.BidiRule(),
	idna.VerifyDNSLength(true),
	idna.StrictDomainName(true),
)

// wellFormed checks an ASCII name against RFC 1123 section 2.1: letters, digits and inner hyphens.
func wellFormed(host string) bool {
	if host == "" || len(host) > maxName {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}
