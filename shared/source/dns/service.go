package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/nameserver"
)

// Bounds of Service. Whoever writes a delegation chooses whom we ask: so it is few questions to each, whatever it says.
const (
	// maxOwn is how many of a name's servers are asked, one address each. Real delegations have at most 13.
	maxOwn = 13
	// ownTries is how often a server that is silent is asked.
	ownTries = 2
	// ownTimeout is for one try, if Config.Timeout is longer: a message of names waits for the slowest.
	ownTimeout = time.Second
	// serviceTimeout is for all of a name's servers together: they are asked side by side.
	serviceTimeout = 15 * time.Second
	// quietAfter is after how many questions in a row that nobody answered a server is left alone for quietFor.
	quietAfter = 3
	quietFor   = time.Minute
	// maxHostsKept bounds the addresses and the silent servers that are remembered.
	maxHostsKept = 10_000
	// hostTTL is for how long a server's address is kept, whatever the records say.
	hostTTL = 10 * time.Minute
)

// Service asks the zone directly above for the servers that name is delegated to, and each of these for the zone's SOA.
// One that has it is enough: the zone is served. It is lame where some answer and all of these say that they do not
// have it. Silence, nonsense, and an address that is not public are no answer. Where the zone above gives no answer,
// or delegates the name to nobody, the outcome is Unknown.
func (c *Client) Service(ctx context.Context, question Question) source.Observation {
	within, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	v := c.guarded(question.Name, func() verdict { return c.service(within, question) })
	if ctx.Err() != nil && (v.service == nil || v.service.Serves != source.Served) {
		v = unknown(source.CauseNotAsked, "") // what was not waited for is no word of theirs
	}
	return c.observe(source.SourceServers, "own servers", v)
}

func (c *Client) service(ctx context.Context, question Question) verdict {
	glue := map[string]netip.Addr{}
	v := c.delegatedTo(ctx, question, glue)
	switch {
	case v.outcome == source.Unknown:
		return v
	case v.outcome == source.Absent, v.delegation.Form == source.FormNoData:
		return unknown(source.CauseNoServer, "delegated to nobody")
	case v.delegation.Form == source.FormAuthority: // the zone above's servers have it, and gave it
		return verdict{outcome: source.Observed, said: "served by the servers of the zone above", service: &source.Service{Serves: source.Served, NS: v.delegation.NS}}
	}
	hosts := v.delegation.NS
	said := make([]ownWord, min(len(hosts), maxOwn))
	var group sync.WaitGroup
	var asked sync.Map // by address
	for i := range said {
		group.Go(func() {
			c.slots <- struct{}{}
			defer func() { <-c.slots }()
			w := c.take()
			defer c.put(w)
			server, why := c.ownAddress(ctx, w, hosts[i], i, glue)
			if said[i] = noWord(why); server != "" {
				one, _ := asked.LoadOrStore(server, &oneServer{})
				said[i] = one.(*oneServer).ask(func() ownWord { return c.ownServer(ctx, w, server, question.Name) })
			}
		})
	}
	group.Wait()
	return judgeOwn(hosts, said)
}

// delegatedTo asks the zone above, and notes the addresses that it gives for servers below the name itself: nobody else
// has them while the zone is not served.
func (c *Client) delegatedTo(ctx context.Context, question Question, glue map[string]netip.Addr) verdict {
	query, ok := delegationQuery(question)
	if !ok {
		return unknown(source.CauseInternal, "")
	}
	w := c.take()
	defer c.put(w)
	zone := c.zoneAbove(ctx, w, question.Suffix)
	if zone.cause != source.CauseNone {
		return unknown(zone.cause, "")
	}
	query.tries = c.tries
	return c.ask(ctx, w, zone.servers, query, func(m *mdns.Msg) verdict {
		for _, record := range m.Extra {
			if a, ok := record.(*mdns.A); ok && a.Hdr.Class == mdns.ClassINET && mdns.IsSubDomain(query.name, a.Hdr.Name) {
				if address, ok := netip.AddrFromSlice(a.A.To4()); ok {
					glue[canonicalHost(a.Hdr.Name)] = address
				}
			}
		}
		return judgeDelegation(query.name, zone.lowest, m)
	})
}

// ownWord is what one of a name's servers came to.
type ownWord struct {
	serves source.Serves
	said   string
}

// notAsked: the time for all of a name's servers was over. What they would have said is open.
const notAsked = "not asked"

func noWord(said string) ownWord { return ownWord{source.Unreachable, said} }

// oneServer is asked once: many names of a delegation may lead to one address.
type oneServer struct {
	once sync.Once
	word ownWord
}

func (s *oneServer) ask(f func() ownWord) ownWord {
	s.once.Do(func() { s.word = f() })
	return s.word
}

// ownServer asks one of a name's servers for the SOA.
func (c *Client) ownServer(ctx context.Context, w *worker, server, name string) ownWord {
	if c.quiet.is(server, c.now()) {
		return noWord("silent lately")
	}
	q := query{name: mdns.Fqdn(name), kind: mdns.TypeSOA}
	word := noWord(notAsked)
	for range ownTries {
		if ctx.Err() != nil {
			return word
		}
		word = c.ownOnce(ctx, w, server, q)
		if word.serves != source.Unreachable {
			break
		}
	}
	c.quiet.note(server, word.serves == source.Unreachable, c.now())
	return word
}

func (c *Client) ownOnce(ctx context.Context, w *worker, server string, q query) ownWord {
	ctx, cancel := context.WithTimeout(ctx, min(c.timeout, ownTimeout))
	defer cancel()
	m, cause := w.exchange(ctx, server, q)
	if cause != source.CauseNone {
		return noWord(string(cause))
	}
	return judgeSOA(q.name, m)
}

// judgeSOA says what an answer to the SOA question for name means. What is neither the zone nor a plain word that the
// server does not have it means nothing.
func judgeSOA(name string, m *mdns.Msg) ownWord {
	lame := func(said string) ownWord { return ownWord{source.Lame, said} }
	switch m.Rcode {
	case mdns.RcodeSuccess:
	case mdns.RcodeServerFailure, mdns.RcodeRefused, mdns.RcodeNotAuth:
		return lame(mdns.RcodeToString[m.Rcode])
	case mdns.RcodeNameError:
		if len(m.Answer) > 0 {
			return noWord("NXDOMAIN with records")
		}
		return lame("NXDOMAIN")
	default:
		return noWord(fmt.Sprintf("code %d", m.Rcode))
	}
	if len(m.Answer) > 0 {
		own := slices.ContainsFunc(m.Answer, func(r mdns.RR) bool {
			return strings.EqualFold(r.Header().Name, name) && r.Header().Class == mdns.ClassINET
		})
		switch {
		case !own:
			return noWord("answer about another name")
		case !m.Authoritative:
			return lame("answer without authority")
		}
		return ownWord{source.Served, ""}
	}
	switch owner, found := soaOwner(m); {
	case found && strings.EqualFold(owner, name):
		return ownWord{source.Served, ""} // a strange way to say it, and no sign that it is not there
	case found:
		return lame("only zone " + canonicalHost(owner))
	case len(nameServers("", m.Ns)) > 0:
		return lame("referral")
	case !m.Authoritative:
		return lame("empty answer without authority")
	}
	return noWord("empty answer")
}

// judgeOwn brings together what a name's servers came to.
func judgeOwn(hosts []string, said []ownWord) verdict {
	service := source.Service{Serves: source.Unreachable, NS: hosts}
	by := map[source.Serves][]string{}
	for i, word := range said {
		by[word.serves] = append(by[word.serves], strings.TrimSpace(hosts[i]+" "+word.said))
		if word.serves == source.Lame {
			service.Lame = append(service.Lame, hosts[i])
		}
	}
	served := len(by[source.Served]) > 0
	switch {
	case served:
		service.Serves = source.Served
	case len(hosts) > len(said): // the others may have it
		return unknown(source.CauseTooLarge, fmt.Sprintf("%d NS", len(hosts)))
	case slices.ContainsFunc(said, func(w ownWord) bool { return w.said == notAsked }):
	case len(service.Lame) > 0:
		service.Serves = source.Lame
	}
	var parts []string
	if giver, ok := nameserver.GivesAway(service.Lame); ok {
		parts = append(parts, giver.Claim())
	}
	if note := nameserver.Note(hosts); note != "" {
		parts = append(parts, note)
	}
	for _, s := range []source.Serves{source.Served, source.Lame, source.Unreachable} {
		if len(by[s]) > 0 {
			parts = append(parts, string(s)+": "+strings.Join(by[s], ", "))
		}
	}
	return verdict{outcome: source.Observed, said: clip(strings.Join(parts, "; ")), service: &service}
}

// ownAddress is host:port of one of a name's servers: of glue where the zone above has some, else of the resolver's first
// public address. IPv4 alone: a function outside a VPC has no IPv6.
func (c *Client) ownAddress(ctx context.Context, w *worker, host string, i int, glue map[string]netip.Addr) (server, why string) {
	if c.servers != nil {
		return c.servers[i%len(c.servers)], ""
	}
	addresses, known := c.hosts.get(host, c.now())
	if g, ok := glue[host]; ok {
		addresses, known = []netip.Addr{g}, true
	}
	if !known {
		query := query{name: mdns.Fqdn(host), kind: mdns.TypeA, recurse: true, tries: c.tries}
		v := c.ask(ctx, w, c.resolver, query, func(m *mdns.Msg) verdict {
			for _, ip := range addressesIn(m) {
				if a, ok := netip.AddrFromSlice(ip.To4()); ok {
					addresses = append(addresses, a)
				}
			}
			return judgeResolved(m)
		})
		if v.cause == source.CauseNotAsked {
			return "", notAsked
		}
		c.hosts.put(host, addresses, c.now())
	}
	if len(addresses) == 0 {
		return "", "no address"
	}
	for _, a := range addresses {
		if c.reachable(a) {
			return net.JoinHostPort(a.String(), c.zonePort), ""
		}
	}
	return "", "no public address"
}

// hostCache keeps the addresses of name servers: those of providers are asked for by thousands of names.
type hostCache struct {
	mu    sync.Mutex
	hosts map[string]keptHost
}

type keptHost struct {
	addresses []netip.Addr
	until     time.Time
}

func (h *hostCache) get(host string, now time.Time) ([]netip.Addr, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept, ok := h.hosts[host]
	return kept.addresses, ok && now.Before(kept.until)
}

func (h *hostCache) put(host string, addresses []netip.Addr, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hosts == nil || len(h.hosts) >= maxHostsKept {
		h.hosts = map[string]keptHost{}
	}
	ttl := hostTTL
	if len(addresses) == 0 {
		ttl = failedZoneTTL
	}
	h.hosts[host] = keptHost{addresses[:min(len(addresses), maxServers)], now.Add(ttl)}
}

// quiet remembers servers that did not answer many times in a row: a dead one must not use up the time of all its names,
// and one that is under attack must not hear from us as well.
type quiet struct {
	mu      sync.Mutex
	servers map[string]silentServer
}

type silentServer struct {
	streak int
	at     time.Time
}

func (q *quiet) is(server string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.servers[server]
	return s.streak >= quietAfter && now.Sub(s.at) < quietFor
}

func (q *quiet) note(server string, silent bool, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !silent {
		delete(q.servers, server)
		return
	}
	if q.servers == nil || len(q.servers) >= maxHostsKept {
		q.servers = map[string]silentServer{}
	}
	q.servers[server] = silentServer{q.servers[server].streak + 1, now}
}
