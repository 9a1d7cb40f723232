package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lapseguard/lapseguard/infra/sim"
)

// Offset is a time relative to the scenario's start, written as days and hours: -400d, 3d, 2d6h.
type Offset time.Duration

var offsetForm = regexp.MustCompile(`^(-?)(\d+)d(?:(\d+)h)?$`)

// ParseOffset reads an Offset.
func ParseOffset(s string) (Offset, error) {
	m := offsetForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is no offset: write days and hours such as -400d or 2d6h", s)
	}
	days, _ := strconv.Atoi(m[2])  // digits by the form
	hours, _ := strconv.Atoi(m[3]) // digits, or nothing: zero
	d := time.Duration(days)*24*time.Hour + time.Duration(hours)*time.Hour
	if m[1] == "-" {
		d = -d
	}
	return Offset(d), nil
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (o *Offset) UnmarshalYAML(n *yaml.Node) (err error) {
	*o, err = ParseOffset(n.Value)
	return err
}

// Time is the offset in a scenario that started at start.
func (o Offset) Time(start time.Time) time.Time { return start.Add(time.Duration(o)) }

// Outage is a time in which an upstream ("rdap:org", "dns:net") answers nothing but a failure.
type Outage struct {
	Upstream string `yaml:"upstream"`
	From     Offset `yaml:"from"`
	To       Offset `yaml:"to"`
	Answer   string `yaml:"answer"`
}

// Step is how a domain answers from a time on. A field left out stays as it was in the step before.
type Step struct {
	From Offset `yaml:"from"`
	// DNS is the zone's answer (sim.DNSAnswer), or the delegated name servers, separated by spaces.
	DNS string `yaml:"dns"`
	// Status is the registry's answer (sim.RDAPAnswer), or RDAP status words, separated by commas.
	Status string `yaml:"status"`
	// Market is the status API's tokens.
	Market string `yaml:"market"`
	MX     string `yaml:"mx"`
	// Own is what the domain's own name servers answer (sim.Step.Own).
	Own string `yaml:"own"`

	Registered       string `yaml:"registered"`
	Expires          string `yaml:"expires"`
	RegistrarExpires string `yaml:"registrar_expires"`
	Transferred      string `yaml:"transferred"`
	Registrar        string `yaml:"registrar"`
}

// sim is the step as the simulated internet takes it.
func (s Step) sim(start time.Time) (sim.Step, error) {
	out := sim.Step{From: time.Duration(s.From), Own: sim.DNSAnswer(s.Own), Status: sim.Status{Words: s.Market}}
	switch {
	case slices.Contains(sim.DNSAnswers(), sim.DNSAnswer(s.DNS)):
		out.Delegation.Answer = sim.DNSAnswer(s.DNS)
	case s.DNS != "":
		out.Delegation.NS = strings.Fields(s.DNS)
	}
	switch {
	case slices.Contains(sim.RDAPAnswers(), sim.RDAPAnswer(s.Status)):
		out.RDAP.Answer = sim.RDAPAnswer(s.Status)
	case s.Status != "":
		out.RDAP.Answer, out.RDAP.Statuses = sim.Object, strings.Split(s.Status, ", ")
	}
	if s.MX != "" {
		out.MX = strings.Fields(s.MX)
	}
	out.RDAP.Registrar = s.Registrar
	for _, f := range []struct {
		text string
		to   *time.Time
	}{
		{s.Registered, &out.RDAP.Registered}, {s.Expires, &out.RDAP.Expires}, {s.RegistrarExpires, &out.RDAP.RegistrarExpires}, {s.Transferred, &out.RDAP.Transferred},
	} {
		if f.text == "" {
			continue
		}
		o, err := ParseOffset(f.text)
		if err != nil {
			return out, err
		}
		*f.to = o.Time(start)
	}
	return out, nil
}
