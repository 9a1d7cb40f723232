package lifecycle

import (
	"slices"
	"strings"
	"testing"
)

// TestParkingListNamesItsSources: every line says whose name servers these are, and where that is written.
func TestParkingListNamesItsSources(t *testing.T) {
	sources := map[string]bool{}
	var seen []string
	for line := range strings.Lines(parkingList) {
		domain, comment, _ := strings.Cut(strings.TrimSpace(line), "#")
		domain, comment = strings.TrimSpace(domain), strings.TrimSpace(comment)
		if domain == "" {
			if letter, _, found := strings.Cut(comment, "  "); found && len(letter) == 1 {
				sources[letter] = true
			}
			continue
		}
		owner, letters, found := strings.Cut(comment, "; ")
		if owner == "" || !found {
			t.Errorf("%s: no owner or no source", domain)
		}
		for letter := range strings.FieldsSeq(letters) {
			if !sources[letter] {
				t.Errorf("%s: source %q is not one of the header's", domain, letter)
			}
		}
		if slices.Contains(seen, domain) {
			t.Errorf("%s stands twice", domain)
		}
		seen = append(seen, domain)
	}
	if len(sources) < 2 || len(seen) == 0 || !slices.Equal(seen, parkingDomains()) {
		t.Errorf("%d sources, %d domains", len(sources), len(seen))
	}
}

// TestParkingSparesLiveNames: these name servers serve names that are in use as well.
func TestParkingSparesLiveNames(t *testing.T) {
	for _, ns := range []string{
		"ns1.dns-parking.com", "ns1.namebrightdns.com", "ns01.domaincontrol.com", "dns1.registrar-servers.com", "ns1.dnsowl.com",
	} {
		if Parking([]string{ns}) {
			t.Errorf("%s counts as parking", ns)
		}
	}
	if !Parking([]string{"expired1.namebrightdns.com", "expired2.namebrightdns.com"}) {
		t.Error("an expiry page does not count as parking")
	}
}
