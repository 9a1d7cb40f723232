package checker

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/dns"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/source/status"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// Off as a status URL switches the status API off.
const Off = "off"

// Fastly is the status API by default.
const Fastly = status.Fastly

// Sources configures the upstreams; empty fields are the real ones.
type Sources struct {
	Contact   string
	Bootstrap string  // RFC 9224 file or URL in the place of IANA's
	RDAPRate  float64 // questions a second to an RDAP server whose limit nobody knows (see rdap.RateOf)
	// Store holds the RDAP servers' budgets, for all checkers together; nil: this process is the only one.
	Store       store.Store
	DNSServers  []string
	DNSTimeout  time.Duration
	Resolver    string
	StatusURL   string
	StatusAPI   string
	StatusToken func(ctx context.Context, fresh bool) (string, error)
	// OwnServers switches the questions to domains' own name servers Off; empty: they are asked.
	OwnServers  string
	RDAPTimeout time.Duration
	// Canaries are further names known to be registered. Those that are known of the real internet are asked of
	// real upstreams only: whoever configures another one knows what is registered there.
	Canaries []string
	// CanaryLabel makes names known to be free; empty: a random one, which nobody can have registered.
	CanaryLabel string
	Log         *slog.Logger
	Now         func() time.Time
}

// Config is the part of a handler's Config that the sources are; the caller adds store, queue and policy, and may put
// askers of its own in.
func (s Sources) Config() (Config, error) {
	dnsClient, err := dns.New(dns.Config{Servers: s.DNSServers, Resolver: s.Resolver, Timeout: s.DNSTimeout, Now: s.Now, Log: s.Log})
	if err != nil {
		return Config{}, fmt.Errorf("DNS: %w", err)
	}
	known, err := s.known()
	if err != nil {
		return Config{}, err
	}
	agent := telemetry.UserAgent(s.Contact)
	rdapClient, err := rdap.New(rdap.Config{Bootstrap: s.Bootstrap, Timeout: s.RDAPTimeout, UserAgent: agent, Now: s.Now, Log: s.Log})
	if err != nil {
		return Config{}, fmt.Errorf("RDAP: %w", err)
	}
	c := Config{Servers: rdapClient, Published: rdapClient.Published, Known: known, Log: s.Log, Now: s.Now, Ask: map[queue.Kind]Asker{
		queue.KindDelegation: Delegations{Client: dnsClient},
		queue.KindRDAP:       &OneByOne{Source: source.SourceRDAP, Rate: s.RDAPRate, AtOnce: 4, Patience: 4, Now: s.Now, Lookup: rdapClient.Lookup, Budget: s.budget()},
		queue.KindMail: &OneByOne{Source: source.SourceMail, Rate: mailRate, AtOnce: 16, Patience: 16, Now: s.Now,
			Lookup: func(ctx context.Context, name, _ string) source.Observation { return dnsClient.Mail(ctx, name) }},
	}}
	if !strings.EqualFold(s.OwnServers, Off) {
		c.Ask[queue.KindServers] = &OneByOne{Source: source.SourceServers, Rate: serversRate, AtOnce: 64, Patience: 64, Now: s.Now,
			Lookup: func(ctx context.Context, name, _ string) source.Observation {
				n, _ := domain.Parse(name)
				return dnsClient.Service(ctx, dns.Question{Name: name, Suffix: n.Suffix})
			}}
	}
	if strings.EqualFold(s.StatusURL, Off) {
		return c, nil
	}
	statusClient, err := status.New(status.Config{URL: s.StatusURL, API: s.StatusAPI, Token: s.StatusToken, UserAgent: agent, Now: s.Now, Log: s.Log})
	if err != nil {
		return Config{}, fmt.Errorf("status API: %w", err)
	}
	c.StatusUpstream = s.StatusAPI
	c.Ask[queue.KindStatus] = &OneByOne{Source: source.SourceStatus, Rate: max(s.RDAPRate, statusRate), AtOnce: 4, Patience: 4, Now: s.Now,
		Lookup: func(ctx context.Context, name, _ string) source.Observation { return statusClient.Status(ctx, name) }}
	return c, nil
}

// budget is the RDAP servers' budgets.
func (s Sources) budget() *Budget {
	if s.Store == nil {
		return nil
	}
	return &Budget{Store: s.Store, Rate: func(base string) rdap.Rate { return rdap.RateOf(base, s.RDAPRate) }, Log: s.Log}
}

// known gives the names whose answer is known, for each kind of upstream.
func (s Sources) known() (map[queue.Kind]*canary.Set, error) {
	label := cmp.Or(s.CanaryLabel, "lapseguard-"+strings.ToLower(rand.Text()))
	real := map[queue.Kind]bool{
		queue.KindDelegation: len(s.DNSServers) == 0,
		queue.KindServers:    len(s.DNSServers) == 0,
		queue.KindRDAP:       s.Bootstrap == "",
		queue.KindStatus:     s.StatusURL == "" || strings.Contains(s.StatusURL, "://api.fastly.com/") || strings.Contains(s.StatusURL, "://api.domainr.com/"),
	}
	sets := map[queue.Kind]*canary.Set{}
	for kind, builtin := range real {
		build := canary.New
		if builtin {
			build = canary.NewReal
		}
		set, err := build(s.Canaries, label)
		if err != nil {
			return nil, fmt.Errorf("LAPSEGUARD_CANARIES: %w", err)
		}
		sets[kind] = set
	}
	return sets, nil
}

const (
	// mailRate is MX questions a second to the resolver: our own, or the cloud's.
	mailRate = 200
	// serversRate is domains a second and group whose own name servers are asked.
	serversRate = 100
	// statusRate is questions a second to the status API, far below its published plans.
	statusRate = 5
)
