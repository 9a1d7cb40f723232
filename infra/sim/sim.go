// Package sim is a small internet on loopback: the servers of all zones (DNS), registries (RDAP, RFC 9082 and
// 9083) and their bootstrap file (RFC 9224), and the status APIs of Fastly and Domainr. What they answer follows
// from a World and a clock, well-formed or ugly, and everything that was asked is on record.
package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Defaults of Config.
const (
	// DefaultSilence bounds how long Silence keeps a connection open.
	DefaultSilence = 10 * time.Second
	// DefaultMaxAsked is how many questions are kept; later ones are only counted.
	DefaultMaxAsked = 200_000
)

// Config of an Internet.
type Config struct {
	Now      func() time.Time // the world's clock; required
	Log      *slog.Logger     // nil discards
	Silence  time.Duration    // 0: DefaultSilence
	MaxAsked int              // 0: DefaultMaxAsked
	Host     string           // IP address to listen on, which its URLs name too; empty: loopback
}

// Internet is the servers. It is safe for concurrent use.
type Internet struct {
	world   World
	cfg     Config
	domains map[string][]stage
	hosts   map[string]bool // name servers and mail hosts that the world names
	ended   chan struct{}   // closed by Close: silent handlers end

	webAddr string
	tlds    map[string]string // where each TLD's RDAP server listens: what one asks of its clients binds no other
	dns     []*mdns.Server    // UDP and TCP of each of dnsAddrs

	dnsAddrs []string
	web      *http.Server
	served   sync.WaitGroup
	closing  sync.Once

	mu    sync.Mutex
	asked []Ask
	count map[string]int
}

// Ask is one question that was put to a simulated upstream.
type Ask struct {
	At     time.Time // by the world's clock, UTC
	Source string    // "dns:com", "rdap:org", "status:fastly", "status:domainr-v2", "own" (a domain's name servers), "resolver", "bootstrap"
	Name   string    // the name asked about, lower case, without trailing dot
	Answer string    // a DNSAnswer, RDAPAnswer or StatusAnswer; "no such name", "unauthorized", "bad request"
}

// New checks the world. It opens nothing.
func New(world World, cfg Config) (*Internet, error) {
	if cfg.Now == nil {
		return nil, errors.New("sim: Config.Now is required")
	}
	if err := world.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Silence <= 0 {
		cfg.Silence = DefaultSilence
	}
	if cfg.MaxAsked <= 0 {
		cfg.MaxAsked = DefaultMaxAsked
	}
	n := &Internet{
		world: world, cfg: cfg, domains: map[string][]stage{}, hosts: map[string]bool{},
		ended: make(chan struct{}), count: map[string]int{},
	}
	for _, d := range world.Domains {
		if err := n.add(d); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Internet) add(d Domain) error {
	if !nameForm.MatchString(d.Name) {
		return fmt.Errorf("sim: %q is no canonical domain name", d.Name)
	}
	if _, known := n.world.TLDs[lastLabel(d.Name)]; !known {
		return fmt.Errorf("sim: %s: there is no top-level domain .%s", d.Name, lastLabel(d.Name))
	}
	if n.domains[d.Name] != nil {
		return fmt.Errorf("sim: %s is there twice", d.Name)
	}
	stages, err := d.stages()
	if err != nil {
		return err
	}
	n.domains[d.Name] = stages
	for _, g := range stages {
		for _, host := range slices.Concat(g.ns, g.reg.NS, g.mx) {
			n.hosts[host] = true
		}
	}
	return nil
}

// Start opens the servers on ports of their own. They run until Close, or until ctx ends.
func (n *Internet) Start(ctx context.Context) error {
	anyPort := net.JoinHostPort(cmp.Or(n.cfg.Host, "127.0.0.1"), "0")
	n.tlds = map[string]string{}
	n.web = &http.Server{Handler: n.routes(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(n.cfg.Log.Handler(), slog.LevelDebug)}
	var web []net.Listener
	for tld := range n.world.TLDs {
		n.tlds[tld] = ""
	}
	n.tlds[""] = "" // everything else
	for tld := range n.tlds {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", anyPort)
		if err != nil {
			n.giveUp(web)
			return fmt.Errorf("sim: open the web server: %w", err)
		}
		web, n.tlds[tld] = append(web, listener), listener.Addr().String()
	}
	n.webAddr = n.tlds[""]
	for i := range dnsServers {
		packets, stream, err := listenDNS(ctx, anyPort)
		if err != nil {
			n.giveUp(web)
			return fmt.Errorf("sim: open the DNS server: %w", err)
		}
		n.dnsAddrs = append(n.dnsAddrs, stream.Addr().String())
		n.dns = append(n.dns,
			&mdns.Server{PacketConn: packets, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) { n.answerDNS(w, q, i, false) })},
			&mdns.Server{Listener: stream, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) { n.answerDNS(w, q, i, true) })})
	}
	for _, listener := range web {
		n.serve("web", func() error { return n.web.Serve(listener) })
	}
	for _, s := range n.dns {
		n.serve("dns", s.ActivateAndServe)
	}
	context.AfterFunc(ctx, n.Close)
	return nil
}

func (n *Internet) serve(what string, run func() error) {
	n.served.Go(func() {
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			n.cfg.Log.Error("sim: server ended", "server", what, "error", err)
		}
	})
}

// listenDNS opens UDP and TCP on the same port, which takes a few tries where others open ports too.
func listenDNS(ctx context.Context, anyPort string) (net.PacketConn, net.Listener, error) {
	var lc net.ListenConfig
	var last error
	for range 20 {
		stream, err := lc.Listen(ctx, "tcp", anyPort)
		if err != nil {
			return nil, nil, err
		}
		packets, err := lc.ListenPacket(ctx, "udp", stream.Addr().String())
		if err == nil {
			return packets, stream, nil
		}
		_ = stream.Close()
		last = err
	}
	return nil, nil, last
}

// Close ends the servers and waits for them. It may be called again, and without Start.
func (n *Internet) Close() {
	n.closing.Do(func() {
		close(n.ended)
		if n.web == nil {
			return
		}
		_ = n.web.Close() // loopback: nobody waits for the rest of an answer
		n.closeDNS()
	})
	n.served.Wait()
}

// giveUp closes what a failed Start had opened.
func (n *Internet) giveUp(web []net.Listener) {
	for _, listener := range web {
		_ = listener.Close()
	}
	n.closeDNS()
}

func (n *Internet) closeDNS() {
	for _, s := range n.dns {
		switch err := s.Shutdown(); { // a server that has not begun to serve refuses to stop: then its socket does
		case err != nil && s.PacketConn != nil:
			_ = s.PacketConn.Close()
		case err != nil:
			_ = s.Listener.Close()
		}
	}
}

// dnsServers answer alike, but for what is HalfLame: real delegations have more than one server.
const dnsServers = 2

// DNSAddr is host:port of the first server that answers for every zone, and as a resolver. Set by Start.
func (n *Internet) DNSAddr() string { return n.dnsAddrs[0] }

// DNSAddrs are both of them.
func (n *Internet) DNSAddrs() []string { return slices.Clone(n.dnsAddrs) }

// BootstrapURL is where BootstrapJSON is served.
func (n *Internet) BootstrapURL() string { return "http://" + n.webAddr + "/bootstrap/dns.json" }

// RDAPURL is the base URL of a TLD's RDAP server, with its slash.
func (n *Internet) RDAPURL(tld string) string { return "http://" + n.tlds[tld] + "/rdap/" + tld + "/" }

// The status APIs that StatusURL knows.
const (
	Fastly  = "fastly"
	Domainr = "domainr-v2"
)

// StatusURL is the status resource of an API, Fastly or Domainr.
func (n *Internet) StatusURL(api string) string {
	if api == Domainr {
		return "http://" + n.webAddr + domainrPath
	}
	return "http://" + n.webAddr + fastlyPath
}

// now is the world's time, and how long the world exists.
func (n *Internet) now() (time.Time, time.Duration) {
	at := n.cfg.Now().UTC()
	return at, at.Sub(n.world.Start)
}

// find gives the registered name at or above name, and its stage; ok is false when there is none.
func (n *Internet) find(name string, age time.Duration) (registered string, g stage, ok bool) {
	for registered = name; registered != ""; registered = parent(registered) {
		if stages := n.domains[registered]; stages != nil {
			g = stages[0] // before the first step it is as in the first
			for _, s := range stages[1:] {
				if s.from <= age {
					g = s
				}
			}
			return registered, g, true
		}
	}
	return "", stage{}, false
}

// outage gives the answer of an upstream that is out of order; about may lie below what the outage names.
func (n *Internet) outage(kind, about string, age time.Duration) (string, bool) {
	for _, o := range n.world.Outages {
		k, a, _ := strings.Cut(o.Upstream, ":")
		if k == kind && (a == "" || a == about || strings.HasSuffix(about, "."+a)) && o.From <= age && age < o.To {
			return o.Answer, true
		}
	}
	return "", false
}

// note writes a question down.
func (n *Internet) note(at time.Time, source, name, answer string) {
	n.mu.Lock()
	n.count[source]++
	if len(n.asked) < n.cfg.MaxAsked {
		n.asked = append(n.asked, Ask{At: at, Source: source, Name: name, Answer: answer})
	}
	n.mu.Unlock()
	n.cfg.Log.Debug("sim: asked", "source", source, "name", name, "answer", answer)
}

// Asked is everything that was asked so far, in order, up to Config.MaxAsked.
func (n *Internet) Asked() []Ask {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}

// AskedAbout is what one source was asked about one name; an empty source or name stands for all.
func (n *Internet) AskedAbout(source, name string) []Ask {
	return slices.DeleteFunc(n.Asked(), func(a Ask) bool {
		return source != "" && a.Source != source || name != "" && a.Name != name
	})
}

// Counts is how many questions each source got, by Ask.Source.
func (n *Internet) Counts() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.count)
}
