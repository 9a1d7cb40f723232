// Package dns asks three questions about a registrable domain and gives what it hears as observations: what the zone
// directly above says about its delegation (the tripwire), which hosts take its mail, and whether the servers that it is
// delegated to serve it.
//
// Only the zone above can say that a name is gone, so Delegation asks that zone's own servers, without
// recursion, and keeps NXDOMAIN, NODATA, a referral, an authoritative answer, SERVFAIL, REFUSED, silence,
// truncation and nonsense apart. What cannot be believed is Unknown with its cause, never Absent.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

// Defaults of Config, and the bounds that no configuration crosses.
const (
	DefaultTimeout  = 3 * time.Second
	DefaultTries    = 2
	DefaultInFlight = 32

	maxTries    = 8
	maxInFlight = 256
)

// resolvConf is where Config.Resolver is looked for by default (resolv.conf(5)).
const resolvConf = "/etc/resolv.conf"

// Config configures a Client. The zero value asks each zone's own servers, found through the system's
// resolver.
type Config struct {
	// Servers (host:port, or host for port 53) answer in place of every zone's own servers and of the
	// resolver. Empty: the real ones.
	Servers []string
	// Resolver (host:port, or host) finds the zones' servers and answers Mail. Empty: the first
	// nameserver of /etc/resolv.conf. Not used with Servers.
	Resolver string
	// Timeout is for one try at one server; 0 is DefaultTimeout. The context's deadline comes first.
	Timeout time.Duration
	// Tries is how many servers are tried (UDP, and TCP where the answer was truncated) before the
	// answer is Unknown; 0 is DefaultTries.
	Tries int
	// Now stamps observations and ages the cache of zones; nil is time.Now.
	Now func() time.Time
	// Log gets failures at debug level and defects at error level; nil discards them.
	Log *slog.Logger
	// InFlight is how many questions one Delegations call has open at once; 0 is DefaultInFlight.
	InFlight int
}

// Client asks. It is safe for concurrent use and keeps sockets between calls.
type Client struct {
	servers  []string // nil: find each zone's own
	resolver []string
	timeout  time.Duration
	tries    int
	inFlight int
	now      func() time.Time
	log      *slog.Logger
	zonePort string // the port of the zones' own servers
	// reachable tells which addresses of domains' own servers may be asked: Public.
	reachable func(netip.Addr) bool

	zones zoneCache
	hosts hostCache
	quiet quiet
	slots chan struct{} // one a question to a domain's own server: sockets are few
	folds folding
	idle  chan *worker

	buffers sync.Pool // of *buffers
}

// New checks the configuration; it asks nobody.
func New(config Config) (*Client, error) {
	if config.Tries < 0 || config.Tries > maxTries || config.InFlight < 0 || config.InFlight > maxInFlight || config.Timeout < 0 {
		return nil, fmt.Errorf("dns: tries must be at most %d, questions in flight at most %d, the timeout not negative", maxTries, maxInFlight)
	}
	client := &Client{
		timeout:  orDefault(config.Timeout, DefaultTimeout),
		tries:    orDefault(config.Tries, DefaultTries),
		inFlight: orDefault(config.InFlight, DefaultInFlight),
		now:      config.Now,
		log:      config.Log,
		zonePort: "53",
		zones:    zoneCache{entries: map[string]*zoneEntry{}},

		reachable: Public,
	}
	if client.now == nil {
		client.now = time.Now
	}
	if client.log == nil {
		client.log = slog.New(slog.DiscardHandler)
	}
	client.buffers.New = func() any { return newBuffers() }
	client.slots = make(chan struct{}, maxInFlight)
	client.idle = make(chan *worker, client.inFlight)
	for _, server := range config.Servers {
		address, err := hostPort(server)
		if err != nil {
			return nil, fmt.Errorf("dns: server %q: %w", server, err)
		}
		client.servers = append(client.servers, address)
	}
	if client.servers != nil {
		client.resolver = client.servers
		return client, nil
	}
	resolver, err := resolverAddress(config.Resolver, resolvConf)
	if err != nil {
		return nil, fmt.Errorf("dns: resolver: %w", err)
	}
	client.resolver = []string{resolver}
	return client, nil
}

// Close closes the kept sockets. Calls under way finish; the Client can still be used afterwards.
func (c *Client) Close() {
	for {
		select {
		case w := <-c.idle:
			w.close()
		default:
			return
		}
	}
}

// Question names a registrable domain and the public suffix it stands under, both canonical.
type Question struct {
	Name   string // example.co.uk
	Suffix string // co.uk
}

// Delegation asks the servers of the zone directly above name what they delegate it to. Observation.Server
// is that zone ("com"), or the suffix where the zone could not be found or Config.Servers answer.
func (c *Client) Delegation(ctx context.Context, name, suffix string) source.Observation {
	w := c.take()
	defer c.put(w)
	return c.asked(ctx, w, Question{Name: name, Suffix: suffix}, query{tries: c.tries})
}

// Confirm asks two of the zone's servers about name, the second over TCP, which nobody forges from afar: for an answer on
// which recovery is opened again. Where they differ the outcome is Unknown with CauseDisagree; where one gives no answer to
// believe, that is the outcome. A zone with one server has it asked twice.
func (c *Client) Confirm(ctx context.Context, question Question) source.Observation {
	w := c.take()
	defer c.put(w)
	first := c.asked(ctx, w, question, query{tries: c.tries})
	if first.Outcome == source.Unknown {
		return first
	}
	w.offset++
	second := c.asked(ctx, w, question, query{tries: c.tries, stream: true})
	same := first.Outcome == second.Outcome && (first.Delegation == nil || slices.Equal(first.Delegation.NS, second.Delegation.NS))
	if second.Outcome == source.Unknown || same {
		return second
	}
	v := unknown(source.CauseDisagree, first.Said+"; another server: "+second.Said)
	return c.observe(source.SourceDelegation, second.Server, v)
}

// Delegations asks many questions, InFlight at a time, and returns the answers in the questions' places.
// What the context's deadline does not leave time for is Unknown with CauseNotAsked; so is the rest of a
// zone whose servers were silent many times in a row, because a dead zone must not use up the time
// of the others.
func (c *Client) Delegations(ctx context.Context, questions []Question) []source.Observation {
	all := call{
		client:       c,
		questions:    questions,
		observations: make([]source.Observation, len(questions)),
		again:        make([]again, len(questions)),
		silent:       silence{limit: 2 * c.inFlight, streak: map[string]int{}},
	}
	all.firstPass(ctx)
	all.secondPass(ctx)
	return all.observations
}

// secondPass asks what the first one left, each question by itself.
func (c *call) secondPass(ctx context.Context) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(c.client.inFlight, c.left()) {
		group.Go(func() {
			w := c.client.take()
			defer c.client.put(w)
			for i := next.Add(1) - 1; i < int64(len(c.questions)); i = next.Add(1) - 1 {
				if c.needs(int(i)) {
					c.askAgain(ctx, w, int(i))
				}
			}
		})
	}
	group.Wait()
}

// needs tells whether a question is for the second pass.
func (c *call) needs(i int) bool { return c.observations[i].Outcome == "" || c.again[i].wanted }

func (c *call) left() (n int) {
	for i := range c.questions {
		if c.needs(i) {
			n++
		}
	}
	return n
}

func (c *call) askAgain(ctx context.Context, w *worker, i int) {
	question, first := c.questions[i], c.again[i]
	switch over := ctx.Err() != nil || c.silent.tooLong(question.Suffix); {
	case over && first.wanted:
		return // it keeps what the first pass heard
	case over:
		v := unknown(source.CauseNotAsked, "")
		c.observations[i] = c.client.observe(source.SourceDelegation, question.Suffix, v)
		return
	}
	tries := c.client.tries
	if first.wanted {
		w.offset, tries = first.offset, max(1, tries-1)
	}
	c.observations[i] = c.client.asked(ctx, w, question, query{tries: tries})
	c.silent.heard(question.Suffix, c.observations[i].Cause)
}

// Mail asks the resolver (or Config.Servers) for the MX set of a name. No such name and no MX are an empty set: a resolver
// has no authority to say that a name is Absent. The null MX (RFC 7505) is the root: who takes no mail is told from who
// takes it at the name's own address. Of hosts at or below the name the addresses are asked too.
func (c *Client) Mail(ctx context.Context, name string) source.Observation {
	w := c.take()
	defer c.put(w)
	query := query{name: mdns.Fqdn(name), kind: mdns.TypeMX, recurse: true, tries: c.tries}
	v := c.guarded(name, func() verdict {
		v := c.ask(ctx, w, c.resolver, query, func(m *mdns.Msg) verdict { return judgeMail(query.name, m) })
		if v.mail != nil {
			c.mailAddresses(ctx, w, name, v.mail)
		}
		return v
	})
	return c.observe(source.SourceMail, "resolver", v)
}

// maxOwnMail is of how many of a name's own mail hosts the addresses are asked: what is below a name is its owner's to write.
const maxOwnMail = 8

// mailAddresses finds out where mail hosts at or below the name are. One that cannot be found leaves all unheard.
func (c *Client) mailAddresses(ctx context.Context, w *worker, name string, mail *source.Mail) {
	var own []string
	for _, host := range mail.Hosts {
		if host != "." && mdns.IsSubDomain(mdns.Fqdn(name), mdns.Fqdn(host)) {
			own = append(own, host)
		}
	}
	if len(mail.Hosts) == 0 {
		own = []string{name}
	}
	if mail.Own = len(own) > 0; !mail.Own || len(own) > maxOwnMail {
		return
	}
	all := []string{}
	for _, host := range own {
		for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
			q := query{name: mdns.Fqdn(host), kind: kind, recurse: true, tries: c.tries}
			var these []string
			v := c.ask(ctx, w, c.resolver, q, func(m *mdns.Msg) verdict {
				these = mailAddressesIn(m)
				return judgeResolved(m)
			})
			if v.outcome == source.Unknown {
				return
			}
			all = append(all, these...)
		}
	}
	mail.Addresses = unique(all)
}

func mailAddressesIn(m *mdns.Msg) (addresses []string) {
	for _, record := range m.Answer {
		switch a := record.(type) {
		case *mdns.A:
			addresses = append(addresses, a.A.String())
		case *mdns.AAAA:
			addresses = append(addresses, a.AAAA.String())
		}
	}
	return addresses
}

// delegationQuery is the question for a name's NS records; ok is false where the name is not below its suffix.
func delegationQuery(question Question) (q query, ok bool) {
	ok = question.Suffix != "" && strings.HasSuffix(question.Name, "."+question.Suffix)
	return query{name: mdns.Fqdn(question.Name), kind: mdns.TypeNS}, ok
}

// asked puts one question to the zone above; how says how often and over what.
func (c *Client) asked(ctx context.Context, w *worker, question Question, how query) source.Observation {
	server := question.Suffix
	v := c.guarded(question.Name, func() verdict {
		query, ok := delegationQuery(question)
		if !ok {
			return unknown(source.CauseInternal, "")
		}
		zone := c.zoneAbove(ctx, w, question.Suffix)
		if zone.cause != source.CauseNone {
			return unknown(zone.cause, "")
		}
		server = zone.name
		query.tries, query.stream = how.tries, how.stream
		judge := func(m *mdns.Msg) verdict { return judgeDelegation(query.name, zone.lowest, m) }
		return c.ask(ctx, w, zone.servers, query, judge)
	})
	return c.observe(source.SourceDelegation, server, v)
}

// guarded keeps a domain that breaks the program from breaking the others.
func (c *Client) guarded(name string, ask func() verdict) (v verdict) {
	defer func() {
		if broken := recover(); broken != nil {
			c.log.Error("dns: question failed", "domain", name, "panic", fmt.Sprint(broken))
			v = unknown(source.CauseInternal, "")
		}
	}()
	v = ask()
	if v.outcome == source.Unknown {
		c.log.Debug("dns: no answer to believe", "domain", name, "cause", string(v.cause), "said", v.said)
	}
	return v
}

// ask tries up to q.tries servers until one gives an answer that may be believed, and otherwise returns
// what the last one tried gave.
func (c *Client) ask(ctx context.Context, w *worker, servers []string, q query, judge func(*mdns.Msg) verdict) verdict {
	v := unknown(source.CauseNoServer, "")
	for range q.tries {
		if ctx.Err() != nil {
			return unknown(source.CauseNotAsked, "")
		}
		server := servers[w.offset%len(servers)]
		v = c.askOnce(ctx, w, server, q, judge)
		if v.outcome != source.Unknown {
			return v
		}
		// The worker's next question starts at another server, not at the one that just failed.
		w.offset++
	}
	if ctx.Err() != nil {
		return unknown(source.CauseNotAsked, "")
	}
	return v
}

func (c *Client) askOnce(ctx context.Context, w *worker, server string, q query, judge func(*mdns.Msg) verdict) verdict {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, cause := w.exchange(ctx, server, q)
	if cause != source.CauseNone {
		return unknown(cause, "")
	}
	return judge(answer)
}

func (c *Client) observe(kind source.Source, server string, v verdict) source.Observation {
	return source.Observation{
		Source:     kind,
		Server:     server,
		At:         c.now().UTC(),
		Outcome:    v.outcome,
		Cause:      v.cause,
		Said:       v.said,
		Delegation: v.delegation,
		Mail:       v.mail,
		Service:    v.service,
	}
}

func (c *Client) take() *worker {
	select {
	case w := <-c.idle:
		return w
	default:
		// Workers start at different servers, so that the load spreads over all of them.
		return newWorker(int(c.zones.started.Add(1)-1), &c.folds)
	}
}

func (c *Client) put(w *worker) {
	select {
	case c.idle <- w:
	default:
		w.close()
	}
}

// silence counts per suffix how many questions in a row nobody answered.
type silence struct {
	limit  int
	mu     sync.Mutex
	streak map[string]int
}

func (s *silence) tooLong(suffix string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streak[suffix] >= s.limit
}

func (s *silence) heard(suffix string, cause source.Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cause == source.CauseTimeout || cause == source.CauseUnreachable {
		s.streak[suffix]++
	} else if cause != source.CauseNotAsked {
		s.streak[suffix] = 0
	}
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// hostPort completes a server's address with port 53.
func hostPort(server string) (string, error) {
	if net.ParseIP(server) != nil || !strings.Contains(server, ":") && server != "" {
		return net.JoinHostPort(server, "53"), nil
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return "", err
	}
	if host == "" || port == "" {
		return "", errors.New("host or port is missing")
	}
	return server, nil
}

// resolverAddress is the configured resolver, or the first nameserver of a resolv.conf.
func resolverAddress(configured, file string) (string, error) {
	if configured != "" {
		return hostPort(configured)
	}
	system, err := mdns.ClientConfigFromFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the system's configuration: %w", err)
	}
	if len(system.Servers) == 0 {
		return "", fmt.Errorf("%s names none", file)
	}
	return net.JoinHostPort(system.Servers[0], system.Port), nil
}
