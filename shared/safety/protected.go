package safety

import (
	_ "embed"
	"strings"
	"sync"
)

// protected.txt lists the great mail providers.
//
//go:embed protected.txt
var protectedList string

var protectedDomains = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(protectedList) {
		line, _, _ = strings.Cut(line, "#")
		for name := range strings.FieldsSeq(line) {
			set[name] = true
		}
	}
	return set
})

// Protected tells whether a domain is never acted on: a great mail provider, one of the operator's own (extra),
// or a name below one. Upper case and a trailing dot do not matter.
func Protected(domain string, extra []string) bool {
	mine := make(map[string]bool, len(extra))
	for _, e := range extra {
		mine[normal(strings.TrimPrefix(strings.TrimSpace(e), "*."))] = true
	}
	delete(mine, "")
	for name, more := normal(domain), true; more; _, name, more = strings.Cut(name, ".") {
		if protectedDomains()[name] || mine[name] {
			return true
		}
	}
	return false
}

func normal(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
}
