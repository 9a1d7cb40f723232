// Package scenario is the bundled scenario: a small registry's accounts and what happens to their domains within twelve
// days, with what the guard must have done in the end.
package scenario

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lapseguard/lapseguard/infra/sim"
)

//go:embed scenario.yaml
var text []byte

// Rows of the decision table; the scenario has a domain for each.
func Rows() []string {
	return []string{"auto renew", "out of service", "unknown source", "grace once", "grace twice", "pending restore", "deleted", "deleted alone",
		"contradiction", "status deleted", "released", "re-registered", "re-registered unseen", "changed hands", "mail host", "not served"}
}

// Scenario is the file.
type Scenario struct {
	Start    time.Time `yaml:"start"`
	Days     int       `yaml:"days"`
	Listed   []string  `yaml:"listed"`   // TLDs with an RDAP server
	Unlisted []string  `yaml:"unlisted"` // TLDs without
	Outages  []Outage  `yaml:"outages"`
	Default  Step      `yaml:"default"`
	Canaries []string  `yaml:"canaries"` // in nobody's address, always registered
	Provider []string  `yaml:"providers"`
	Quiet    []string  `yaml:"quiet"`
	Loose    []string  `yaml:"loose"`
	Domains  []Domain  `yaml:"domains"`
}

// Domain is one domain's story.
type Domain struct {
	Name      string   `yaml:"name"`
	Also      []string `yaml:"also"` // other domains with the same story
	Host      string   `yaml:"host"` // as the registry stores it; Name unless given
	Row       string   `yaml:"row"`
	Steps     []Step   `yaml:"steps"`
	Addresses []string `yaml:"addresses"`
	Expect    Expect   `yaml:"expect"`
}

// Expect is what must be true in the end.
type Expect struct {
	Phase      string   `yaml:"phase"`
	Action     string   `yaml:"action"`
	Unverified []string `yaml:"unverified"` // users whose address must be unverified; all others verified
	Closed     bool     `yaml:"closed"`     // recovery through the addresses is closed: nobody is asked
}

// Account is one address of the registry.
type Account struct {
	Address string
	Domain  string    // registrable; empty for hosts that nobody watches
	At      time.Time // verification; zero: the registry does not know
	Again   time.Time // the holder verifies (or, with At after the start, first verifies) then; zero: never
	Lost    bool      // must be unverified in the end
}

// Load reads the bundled scenario.
func Load() (*Scenario, error) { return parse(text) }

func parse(text []byte) (*Scenario, error) {
	var s Scenario
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	s.Domains = eachAlone(s.Domains)
	for _, name := range s.Quiet {
		s.Domains = append(s.Domains, Domain{Name: name, Row: "auto renew", Expect: Expect{Phase: "active", Action: "none"},
			Addresses: []string{"ann -900d", "ben -700d", "cay@mail -500d", "dee -300d", "eli unknown"}})
	}
	for _, d := range s.Domains {
		if !slices.Contains(Rows(), d.Row) {
			return nil, fmt.Errorf("scenario: %s: no row %q", d.Name, d.Row)
		}
	}
	if _, err := s.Accounts(); err != nil {
		return nil, err
	}
	return &s, nil
}

// eachAlone writes out who shares a story.
func eachAlone(shared []Domain) []Domain {
	var all []Domain
	for _, d := range shared {
		names := append([]string{d.Name}, d.Also...)
		for d.Also = nil; len(names) > 0; names = names[1:] {
			d.Name = names[0]
			all = append(all, d)
		}
	}
	return all
}

// World is the scenario's internet.
func (s *Scenario) World() (sim.World, error) {
	w := sim.World{Start: s.Start, TLDs: map[string]sim.TLD{}}
	for _, tld := range s.Unlisted {
		w.TLDs[tld] = sim.TLD{RDAP: sim.NoServer}
	}
	for _, tld := range s.Listed {
		w.TLDs[tld] = sim.TLD{RDAP: sim.Listed, Dialect: map[string]sim.Dialect{"org": sim.EPP, "dev": sim.Upper, "app": sim.OneWord, "net": sim.Offset}[tld]}
	}
	for _, o := range s.Outages {
		w.Outages = append(w.Outages, sim.Outage{Upstream: o.Upstream, From: time.Duration(o.From), To: time.Duration(o.To), Answer: o.Answer})
	}
	for _, name := range slices.Concat(s.Canaries, s.Provider) {
		always, err := s.Default.sim(s.Start)
		if err != nil {
			return w, fmt.Errorf("scenario: %s: %w", name, err)
		}
		w.Domains = append(w.Domains, sim.Domain{Name: name, Steps: []sim.Step{always}})
	}
	for _, d := range s.Domains {
		steps := make([]sim.Step, 0, len(d.Steps)+1)
		for _, step := range append([]Step{s.Default}, d.Steps...) {
			next, err := step.sim(s.Start)
			if err != nil {
				return w, fmt.Errorf("scenario: %s: %w", d.Name, err)
			}
			steps = append(steps, next)
		}
		w.Domains = append(w.Domains, sim.Domain{Name: d.Name, Steps: steps})
	}
	return w, nil
}

// Accounts are the registry's addresses.
func (s *Scenario) Accounts() ([]Account, error) {
	var all []Account
	for _, d := range s.Domains {
		for _, line := range d.Addresses {
			a, user, err := s.account(d, line)
			if err != nil {
				return nil, fmt.Errorf("scenario: %s: %w", d.Name, err)
			}
			a.Lost = slices.Contains(d.Expect.Unverified, user)
			all = append(all, a)
		}
	}
	for _, address := range s.Loose {
		all = append(all, Account{Address: address, At: s.Start.AddDate(-1, 0, 0)})
	}
	return all, nil
}

// account reads "user[@sub] OFFSET|unknown [then OFFSET]".
func (s *Scenario) account(d Domain, line string) (a Account, user string, err error) {
	words := strings.Fields(line)
	if len(words) != 2 && (len(words) != 4 || words[2] != "then") {
		return a, "", fmt.Errorf("address %q: write \"user OFFSET\" or \"user OFFSET then OFFSET\"", line)
	}
	host := d.Host
	if host == "" {
		host = d.Name
	}
	user, sub, below := strings.Cut(words[0], "@")
	if below {
		host = sub + "." + host
	}
	a = Account{Address: user + "@" + host, Domain: d.Name}
	if words[1] != "unknown" {
		o, err := ParseOffset(words[1])
		if err != nil {
			return a, "", err
		}
		if a.At = o.Time(s.Start); a.At.After(s.Start) {
			a.Again = a.At
		}
	}
	if len(words) == 4 {
		o, err := ParseOffset(words[3])
		if err != nil {
			return a, "", err
		}
		a.Again = o.Time(s.Start)
	}
	return a, user, nil
}
