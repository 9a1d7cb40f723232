package dns

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

const (
	// maxServers is how many of a zone's servers are used. Answers differ by seconds between them.
	maxServers = 4
	// minZoneTTL and maxZoneTTL bound how long the found servers are kept, whatever the records say.
	minZoneTTL = 5 * time.Minute
	maxZoneTTL = 6 * time.Hour
	// failedZoneTTL is how long a failed search is kept: long enough that a message full of names of one
	// zone does not repeat it for each.
	failedZoneTTL = time.Minute
)

// zone is the zone directly above the names of a suffix, or why it was not found.
type zone struct {
	name    string   // without trailing dot
	lowest  string   // with trailing dot; see judgeDelegation
	servers []string // host:port
	cause   source.Cause
	ttl     time.Duration
}

type zoneCache struct {
	mu      sync.Mutex
	entries map[string]*zoneEntry // by suffix
	started atomic.Int64          // workers made
}

type zoneEntry struct {
	ready chan struct{} // closed when zone and until are set
	zone  zone
	until time.Time
}

// zoneAbove finds the zone for a suffix once, while all others that ask for it wait.
func (c *Client) zoneAbove(ctx context.Context, w *worker, suffix string) zone {
	if c.servers != nil {
		top := suffix[strings.LastIndexByte(suffix, '.')+1:]
		return zone{name: suffix, lowest: mdns.Fqdn(top), servers: c.servers}
	}
	for {
		entry, mine := c.zones.entry(suffix, c.now())
		if mine {
			return c.fill(ctx, w, suffix, entry)
		}
		select {
		case <-entry.ready:
		case <-ctx.Done():
			return zone{cause: source.CauseNotAsked}
		}
		// The one who searched may have run out of time; this caller may have some left.
		if entry.zone.cause != source.CauseNotAsked || ctx.Err() != nil {
			return entry.zone
		}
	}
}

// entry returns the entry of a suffix; mine tells that the caller must fill it.
func (z *zoneCache) entry(suffix string, now time.Time) (entry *zoneEntry, mine bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if entry = z.entries[suffix]; entry != nil {
		select {
		case <-entry.ready:
			if now.Before(entry.until) {
				return entry, false
			}
		default:
			return entry, false
		}
	}
	entry = &zoneEntry{ready: make(chan struct{}), zone: zone{cause: source.CauseInternal}}
	z.entries[suffix] = entry
	return entry, true
}

// fill searches, and releases those who wait even if the search panics.
func (c *Client) fill(ctx context.Context, w *worker, suffix string, entry *zoneEntry) zone {
	defer close(entry.ready)
	found := c.findZone(ctx, w, suffix)
	if found.cause != source.CauseNone {
		c.log.Warn("dns: zone not found", "suffix", suffix, "cause", string(found.cause))
	}
	entry.zone = found
	if found.cause != source.CauseNotAsked { // else until stays in the past, and the next one searches
		entry.until = c.now().Add(found.ttl)
	}
	return found
}

// findZone walks from the suffix upwards to the first name that has NS records of its own: a public
// suffix need not be a zone cut.
func (c *Client) findZone(ctx context.Context, w *worker, suffix string) zone {
	for name := suffix; name != ""; name = parent(name) {
		var hosts []string
		var ttl time.Duration
		query := query{name: mdns.Fqdn(name), kind: mdns.TypeNS, recurse: true, tries: c.tries}
		v := c.ask(ctx, w, c.resolver, query, func(m *mdns.Msg) verdict {
			hosts, ttl = zoneHosts(query.name, m)
			return judgeResolved(m)
		})
		if v.outcome == source.Unknown {
			return zone{cause: v.cause, ttl: failedZoneTTL}
		}
		if len(hosts) > 0 {
			return c.resolveHosts(ctx, w, zone{name: name, lowest: query.name, ttl: ttl}, hosts)
		}
	}
	return zone{cause: source.CauseNoServer, ttl: failedZoneTTL}
}

// resolveHosts adds IPv4 addresses: a function outside a VPC has no IPv6.
func (c *Client) resolveHosts(ctx context.Context, w *worker, found zone, hosts []string) zone {
	cause := source.CauseNoServer
	for _, host := range hosts {
		if len(found.servers) >= maxServers {
			break
		}
		var addresses []net.IP
		query := query{name: host, kind: mdns.TypeA, recurse: true, tries: c.tries}
		v := c.ask(ctx, w, c.resolver, query, func(m *mdns.Msg) verdict {
			addresses = addressesIn(m)
			return judgeResolved(m)
		})
		if v.outcome == source.Unknown {
			cause = v.cause
		}
		for _, address := range addresses {
			if len(found.servers) < maxServers {
				found.servers = append(found.servers, net.JoinHostPort(address.String(), c.zonePort))
			}
		}
	}
	if len(found.servers) == 0 {
		return zone{cause: cause, ttl: failedZoneTTL}
	}
	found.ttl = min(max(found.ttl, minZoneTTL), maxZoneTTL)
	return found
}

// judgeResolved accepts what a resolver may say of a name that is asked for only to find servers.
func judgeResolved(m *mdns.Msg) verdict {
	if v, failed := judgeCode(m); failed {
		return v
	}
	return verdict{outcome: source.Observed}
}

// zoneHosts are the NS targets that name itself has, in the order of the answer, which resolvers vary.
func zoneHosts(name string, m *mdns.Msg) (hosts []string, ttl time.Duration) {
	for _, record := range m.Answer {
		if ns, ok := record.(*mdns.NS); ok && strings.EqualFold(ns.Hdr.Name, name) && len(hosts) < maxHosts {
			hosts = append(hosts, ns.Ns)
			ttl = time.Duration(ns.Hdr.Ttl) * time.Second
		}
	}
	return hosts, ttl
}

// addressesIn are the IPv4 addresses in an answer that can be a server's.
func addressesIn(m *mdns.Msg) []net.IP {
	var addresses []net.IP
	for _, record := range m.Answer {
		if a, ok := record.(*mdns.A); ok && !a.A.IsUnspecified() && !a.A.IsMulticast() && a.A.To4() != nil {
			addresses = append(addresses, a.A)
		}
	}
	return addresses
}

func parent(name string) string {
	_, above, _ := strings.Cut(name, ".")
	return above
}
