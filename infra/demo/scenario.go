// Package demo holds the bundled scenario: two weeks of a small registry, the internet its addresses live on, and
// what the guard has to have done at the end.
package demo

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

//go:embed scenario.yaml
var scenarioFile []byte

// Scenario is scenario.yaml; the file says what its parts mean. Every Offset counts from Start.
type Scenario struct {
	Start time.Time `yaml:"start"` // UTC, the first daily run
	Days  int       `yaml:"days"`  // one daily run each
	// BaselineDays is over how many days the guard has to spread its first looks at registries.
	BaselineDays int            `yaml:"baseline_days"`
	StatusToken  string         `yaml:"status_token"`
	TLDs         map[string]TLD `yaml:"tlds"`
	Baseline     Step           `yaml:"baseline"` // how every domain is before its timeline
	Outages      []Outage       `yaml:"outages"`
	Domains      []Domain       `yaml:"domains"`
	Hosts        []Host         `yaml:"hosts"`
}

// TLD is a top-level domain's RDAP server: see sim.TLD.
type TLD struct {
	RDAP    sim.Listing `yaml:"rdap"`
	Dialect sim.Dialect `yaml:"dialect"`
	Why     string      `yaml:"why"`
}

// Outage is a time in which an upstream answers everything alike: see sim.Outage.
type Outage struct {
	Upstream string `yaml:"upstream"`
	From     Offset `yaml:"from"`
	To       Offset `yaml:"to"`
	Answer   string `yaml:"answer"`
}

// Domain is a registrable domain, its history, the addresses at or below it, and what is to come of them.
type Domain struct {
	Name      string    `yaml:"name"`
	Row       string    `yaml:"row"` // an ID of Rows
	Why       string    `yaml:"why"` // one line for a reader
	Timeline  []Step    `yaml:"timeline"`
	Addresses []Address `yaml:"addresses"`
	Expect    Expect    `yaml:"expect"`
}

// Host is an e-mail host without a registrable domain that could be watched. Nothing is to come of its addresses.
type Host struct {
	Host      string        `yaml:"host"`
	Row       string        `yaml:"row"`
	Why       string        `yaml:"why"`
	Reason    domain.Reason `yaml:"reason"`
	Addresses []Address     `yaml:"addresses"`
}

// Address is one verified address, an account of its own.
type Address struct {
	User string `yaml:"user"` // the part before the @, once in a domain
	Host string `yaml:"host"` // empty: the domain's, or the Host's, name
	// Verified is before Start, or within the simulation: then the address is new at that moment.
	Verified Moment `yaml:"verified"`
	// Again is when its holder verifies it again, within the simulation.
	Again *Offset `yaml:"again"`
}

// Expect is what stands at the end of the simulated days, in enforce mode with GRACE_ACTION=hold.
type Expect struct {
	Phase lifecycle.Phase `yaml:"phase"`
	// Action is what became of it: Unverify where the registry was told in this lapse, Hold where a person is asked.
	Action lifecycle.Action `yaml:"action"`
	Reason lifecycle.Reason `yaml:"reason"` // optional
	// Unverified are the users whose addresses the registry has marked unverified; all others are verified.
	Unverified []string `yaml:"unverified"`
}

// Load reads the bundled scenario. The error lists everything that is wrong with it.
func Load() (*Scenario, error) { return Read(bytes.NewReader(scenarioFile)) }

// maxScenario bounds a scenario file in bytes.
const maxScenario = 4 << 20

// Read reads a scenario and checks all of it; unknown keys are errors.
func Read(r io.Reader) (*Scenario, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxScenario+1))
	if err != nil {
		return nil, fmt.Errorf("read the scenario: %w", err)
	}
	if len(data) > maxScenario {
		return nil, fmt.Errorf("read the scenario: more than %d bytes", maxScenario)
	}
	s := &Scenario{}
	if err := strict(data, s); err != nil {
		return nil, fmt.Errorf("read the scenario: %w", err)
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("the scenario is wrong:\n%w", err)
	}
	return s, nil
}

// End is when the simulated days are over.
func (s *Scenario) End() time.Time { return s.Start.AddDate(0, 0, s.Days) }

// World is the internet of the scenario.
func (s *Scenario) World() sim.World {
	w := sim.World{Start: s.Start, TLDs: map[string]sim.TLD{}, StatusToken: s.StatusToken}
	for name, t := range s.TLDs {
		w.TLDs[name] = sim.TLD{RDAP: t.RDAP, Dialect: t.Dialect}
	}
	for _, o := range s.Outages {
		w.Outages = append(w.Outages, sim.Outage{Upstream: o.Upstream, From: time.Duration(o.From), To: time.Duration(o.To), Answer: o.Answer})
	}
	for _, d := range s.Domains {
		steps := []sim.Step{s.Baseline.sim(s.Start)}
		steps[0].From = -24 * time.Hour // before everything: a timeline may begin with the start
		for _, step := range d.Timeline {
			steps = append(steps, step.sim(s.Start))
		}
		w.Domains = append(w.Domains, sim.Domain{Name: d.Name, Steps: steps})
	}
	return w
}

// Account is an address as the registry knows it at the start.
type Account struct {
	Address    string
	VerifiedAt time.Time // UTC; zero: unknown
}

// Accounts are the addresses that are verified before the simulation starts, in the file's order.
func (s *Scenario) Accounts() []Account {
	var list []Account
	s.each(func(address string, a Address) {
		if a.Verified.Unknown || a.Verified.Offset < 0 {
			list = append(list, Account{Address: address, VerifiedAt: a.Verified.time(s.Start)})
		}
	})
	return list
}

// Verification is a holder proving control of an address during the simulation.
type Verification struct {
	At      time.Time // UTC
	Address string
	New     bool // not among Accounts: to be added; else it is verified again
}

// Verifications are in the order in which they happen.
func (s *Scenario) Verifications() []Verification {
	var list []Verification
	s.each(func(address string, a Address) {
		if !a.Verified.Unknown && a.Verified.Offset >= 0 {
			list = append(list, Verification{At: a.Verified.time(s.Start), Address: address, New: true})
		}
		if a.Again != nil {
			list = append(list, Verification{At: a.Again.after(s.Start), Address: address})
		}
	})
	slices.SortStableFunc(list, func(a, b Verification) int { return a.At.Compare(b.At) })
	return list
}

// Unverified are the addresses that the registry has to have marked unverified at the end, sorted.
func (s *Scenario) Unverified() []string {
	var list []string
	for _, d := range s.Domains {
		for _, a := range d.Addresses {
			if slices.Contains(d.Expect.Unverified, a.User) {
				list = append(list, a.at(d.Name))
			}
		}
	}
	slices.Sort(list)
	return list
}

// each visits every address.
func (s *Scenario) each(visit func(address string, a Address)) {
	for _, d := range s.Domains {
		for _, a := range d.Addresses {
			visit(a.at(d.Name), a)
		}
	}
	for _, h := range s.Hosts {
		for _, a := range h.Addresses {
			visit(a.at(h.Host), a)
		}
	}
}

// at is the whole address.
func (a Address) at(host string) string {
	if a.Host != "" {
		host = a.Host
	}
	return a.User + "@" + host
}

// strict decodes one YAML document; unknown and repeated keys are errors.
func strict(data []byte, v any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil {
		return err //nolint:wrapcheck // says the line
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// strictNode is strict for a part of a document; a decoder forgets its strictness inside UnmarshalYAML.
func strictNode(n *yaml.Node, v any) error {
	data, err := yaml.Marshal(n)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	if err := strict(data, v); err != nil {
		return fmt.Errorf("line %d: %s", n.Line, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return nil
}
