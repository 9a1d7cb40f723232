package lifecycle

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// parking.txt lists domains of name servers known for parking and expiry pages. It is a hint: it only
// matters together with a passed expiry.
//
//go:embed parking.txt
var parkingList string

var parkingDomains = sync.OnceValue(func() []string {
	var list []string
	for line := range strings.Lines(parkingList) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
})

// Parking tells whether every one of the name servers (canonical) is known for parking or expiry pages.
func Parking(ns []string) bool {
	if len(ns) == 0 {
		return false
	}
	for _, host := range ns {
		if !slices.ContainsFunc(parkingDomains(), func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) }) {
			return false
		}
	}
	return true
}
