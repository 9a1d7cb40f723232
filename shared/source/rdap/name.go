package rdap

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// lookup is IDNA as a resolver applies it (UTS 46, non-transitional).
var lookup = idna.New(idna.MapForLookup(), idna.VerifyDNSLength(true), idna.StrictDomainName(true))

// maxRaw bounds the names that IDNA looks at, in bytes: 253 characters of four bytes each have less, and its work
// grows with the square of the length.
const maxRaw = 1024

// canonicalName brings a name into the form in which names are compared: lower case, A-labels, no trailing dot.
// A name that IDNA refuses is only lowered: it then equals nothing that was asked for.
func canonicalName(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	if !ascii(s) && len(s) <= maxRaw && utf8.ValidString(s) {
		if a, err := lookup.ToASCII(s); err == nil {
			return strings.TrimSuffix(a, ".")
		}
	}
	return strings.ToLower(s)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// hostName gives the canonical form of a name that can stand in a URL's path and in the DNS.
func hostName(s string) (string, bool) {
	s = canonicalName(s)
	if s == "" || len(s) > 253 {
		return "", false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return "", false
		}
		if label++; label > 63 {
			return "", false
		}
	}
	return s, label > 0
}

// sameName compares a name of an answer with the canonical one that was asked for.
func sameName(b []byte, asked string) bool {
	if string(b) == asked { // does not allocate, and is the rule
		return true
	}
	return canonicalName(string(b)) == asked
}
