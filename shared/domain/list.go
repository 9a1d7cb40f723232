package domain

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// ListDate is the day of the embedded Public Suffix List, as its header says. A top-level domain newer
// than this is ReasonUnknownTLD.
const ListDate = "2026-10-22"

// publicSuffixList is the list of publicsuffix.org, unchanged, under the MPL 2.0 as its header says.
//
//go:embed public_suffix_list.dat
var publicSuffixList string

//go:embed not_covered.txt
var notCoveredList string

// suffixes reads the embedded lists once, when a process first needs them: a function that parses no
// host does not pay for them.
var suffixes = sync.OnceValue(readLists)

// rule is what the list says of a name.
type rule byte

const (
	suffixRule    rule = iota + 1 // com: names are registered right below it
	exceptionRule                 // !city.kawasaki.jp: registered, whatever the wildcard says
)

// suffixList is immutable after readLists.
type suffixList struct {
	rules map[string]rule
	// bases are the names that a wildcard rule stands on (ck of *.ck). Registrations happen two labels
	// further down, so a base is no registered name, though the list has no rule of its own for it.
	bases      map[string]bool
	notCovered map[string]bool
}

// endOfICANN is the line after the last rule of the ICANN section, which comes first.
const endOfICANN = "// ===END ICANN DOMAINS==="

// readLists panics on a list that cannot be read: it is part of the program, and a test reads it.
func readLists() *suffixList {
	known := &suffixList{rules: make(map[string]rule, 8192), bases: map[string]bool{}, notCovered: map[string]bool{}}
	icann, _, found := strings.Cut(publicSuffixList, endOfICANN)
	if !found {
		panic("domain: the embedded public suffix list has no end of its ICANN section")
	}
	for line := range strings.Lines(icann) {
		known.add(line)
	}
	for _, name := range notCoveredNames() {
		known.notCovered[ascii(name)] = true
	}
	return known
}

// add reads a line of the list (https://github.com/publicsuffix/list/wiki/Format).
func (s *suffixList) add(line string) {
	if strings.HasPrefix(line, "//") {
		return
	}
	name, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	if name == "" {
		return
	}
	if base, wildcard := strings.CutPrefix(name, "*."); wildcard {
		s.bases[ascii(base)] = true
		return
	}
	if name, exception := strings.CutPrefix(name, "!"); exception {
		s.rules[ascii(name)] = exceptionRule
		return
	}
	s.rules[ascii(name)] = suffixRule
}

// ascii is the canonical form of a name of an embedded list.
func ascii(name string) string {
	plain := true
	for i := range len(name) {
		c := name[i]
		plain = plain && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.')
	}
	if plain { // nearly all: no need to ask
		return name
	}
	out, ok := canonical(name)
	if !ok {
		panic(fmt.Sprintf("domain: embedded list: %q is no name", name))
	}
	return out
}

// notCoveredNames are the lines of not_covered.txt that are no comments.
func notCoveredNames() []string {
	var names []string
	for line := range strings.Lines(notCoveredList) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			names = append(names, line)
		}
	}
	return names
}

// cut divides a canonical host at its ICANN suffix. For a host that is itself a suffix, suffix is the
// host; without any rule for the host both are empty.
func (s *suffixList) cut(host string) (registrable, suffix string) {
	if s.bases[host] {
		return "", host
	}
	suffix = s.suffix(host)
	if suffix == "" || suffix == host {
		return "", suffix
	}
	left := host[:len(host)-len(suffix)-1]
	return left[strings.LastIndexByte(left, '.')+1:] + "." + suffix, suffix
}

// suffix is the host's public suffix by the longest rule that matches, an exception before a wildcard. There is
// no default rule: an unlisted top-level domain must show as such, not as "*".
func (s *suffixList) suffix(host string) string {
	for name := host; name != ""; {
		_, parent, _ := strings.Cut(name, ".")
		switch r := s.rules[name]; {
		case r == exceptionRule:
			return parent
		case r == suffixRule, s.bases[parent]:
			return name
		}
		name = parent
	}
	return ""
}

// belowNotCovered reports whether host lies below, not at, a suffix of not_covered.txt.
func (s *suffixList) belowNotCovered(host string) bool {
	for {
		_, parent, found := strings.Cut(host, ".")
		if !found {
			return false
		}
		if s.notCovered[parent] {
			return true
		}
		host = parent
	}
}

// specialUse reports whether a canonical host lies in a name that the special-use registry of IANA
// (RFC 6761, 6762, 7686, 9476) or ICANN (internal, 2024) keeps from registration, or in arpa (RFC 3172).
// example.com, .net and .org are ordinary registered names that IANA holds.
func specialUse(host string) bool {
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test":
		return true
	}
	return false
}
