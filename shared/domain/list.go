package domain

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/weppos/publicsuffix-go/publicsuffix"
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

// suffixList is immutable after readLists.
type suffixList struct {
	icann *publicsuffix.List
	// bases are the names that a wildcard rule stands on (ck of *.ck). Registrations happen two labels
	// further down, so a base is no registered name, though the list has no rule of its own for it.
	bases      map[string]bool
	notCovered map[string]bool
}

// readLists panics on a list that cannot be read: it is part of the program, and a test reads it.
func readLists() *suffixList {
	list := publicsuffix.NewList()
	rules, err := list.LoadString(publicSuffixList, &publicsuffix.ParserOption{PrivateDomains: false})
	if err != nil {
		panic(fmt.Sprintf("domain: embedded public suffix list: %v", err))
	}
	known := &suffixList{icann: list, bases: map[string]bool{}, notCovered: map[string]bool{}}
	for _, rule := range rules {
		if rule.Type == publicsuffix.WildcardType {
			known.bases[rule.Value] = true
		}
	}
	for _, name := range notCoveredNames() {
		ascii, ok := canonical(name)
		if !ok {
			panic(fmt.Sprintf("domain: embedded list of names not covered: %q", name))
		}
		known.notCovered[ascii] = true
	}
	return known
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
	// No default rule: an unlisted top-level domain must show as such, not as "*".
	rule := s.icann.Find(host, &publicsuffix.FindOptions{})
	if rule == nil {
		return "", ""
	}
	left, suffix := split(rule, host)
	if suffix == "" {
		return "", host
	}
	label := left[strings.LastIndexByte(left, '.')+1:]
	return label + "." + suffix, suffix
}

func split(rule *publicsuffix.Rule, host string) (left, suffix string) {
	parts := rule.Decompose(host)
	return parts[0], parts[1]
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
