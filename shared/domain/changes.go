package domain

import (
	"slices"
	"strings"
)

// ListChanges compares a Public Suffix List with the built-in one: the registries' suffixes that it has more, and those
// that it has no more, in order.
func ListChanges(list string) (more, gone []string) {
	old, now := registrySuffixes(publicSuffixList), registrySuffixes(list)
	for s := range now {
		if !old[s] {
			more = append(more, s)
		}
	}
	for s := range old {
		if !now[s] {
			gone = append(gone, s)
		}
	}
	slices.Sort(more)
	slices.Sort(gone)
	return more, gone
}

// registrySuffixes are the rules of the list's first section.
func registrySuffixes(list string) map[string]bool {
	rules := map[string]bool{}
	section, _, _ := strings.Cut(list, endOfICANN)
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			rules[line] = true
		}
	}
	return rules
}
