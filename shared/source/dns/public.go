package dns

import "net/netip"

// reserved are prefixes that are globally scoped by their form and nobody's to be asked at (IANA's special-purpose
// registries, RFC 6890): what is written into a delegation must not lead into our own network, nor through a translator
// or a tunnel to an address of the writer's choice.
var reserved = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", // IETF protocols with Teredo, documentation, 6to4
)

// unicast is what IANA gave out of IPv6: all but that is no address to ask at, NAT64 and v4-mapped ones among it.
var unicast = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

// Public tells whether an address is one of the public internet.
func Public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !unicast.Contains(a) {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
