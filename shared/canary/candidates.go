package canary

import (
	"cmp"
	_ "embed"
	"strings"
	"sync"
)

//go:embed candidates.txt
var candidates string

// candidateOf gives the candidate of a zone.
var candidateOf = sync.OnceValue(func() map[string]string {
	of := map[string]string{}
	for line := range strings.Lines(candidates) {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsSeq(line) {
			label, zone, whole := strings.Cut(word, ".")
			if !whole {
				label, zone = "nic", word
			}
			of[zone] = label + "." + zone
		}
	}
	return of
})

// Candidate is a name directly below a zone that is said to be registered there, for upstreams of the real internet;
// empty: there is none, or the zone has names that are known to be.
func (s *Set) Candidate(zone string) string {
	if !s.real || len(s.Zone(zone)) > 0 {
		return ""
	}
	return candidateOf()[zone]
}

// CandidateBelow is Candidate for a registry, which answers for all zones of its TLD: one directly below it, or else one in
// a zone below.
func (s *Set) CandidateBelow(tld string) string {
	if !s.real || len(s.TLD(tld)) > 0 {
		return ""
	}
	return cmp.Or(candidateOf()[tld], candidateBelow()[tld])
}

// candidateBelow gives the candidate of a TLD that has some in zones below it: the first by name.
var candidateBelow = sync.OnceValue(func() map[string]string {
	below := map[string]string{}
	for zone, name := range candidateOf() {
		tld := zone[strings.LastIndexByte(zone, '.')+1:]
		if first := below[tld]; tld != zone && (first == "" || name < first) {
			below[tld] = name
		}
	}
	return below
})

// Zones gives the zones that have names known to be registered, or a candidate, by zone.
func (s *Set) Zones() map[string]bool {
	zones := map[string]bool{}
	for _, n := range s.names() {
		zones[n.Suffix] = true
	}
	if s.real {
		for zone := range candidateOf() {
			zones[zone] = true
		}
	}
	return zones
}

// Confirmed is the number of zones that have names known to be registered.
func (s *Set) Confirmed() int {
	zones := map[string]bool{}
	for _, n := range s.names() {
		zones[n.Suffix] = true
	}
	return len(zones)
}
