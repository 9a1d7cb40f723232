package demo

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lapseguard/lapseguard/infra/sim"
)

// Step is what is so from a moment on. A part that is not set stays as it was.
type Step struct {
	From       Offset      `yaml:"from"`
	Delegation *Delegation `yaml:"delegation"`
	RDAP       *RDAP       `yaml:"rdap"`
	Status     *Status     `yaml:"status"`
	MX         []string    `yaml:"mx"` // empty: null MX
}

// sim turns the offsets into times.
func (s Step) sim(start time.Time) sim.Step {
	step := sim.Step{From: time.Duration(s.From), MX: s.MX}
	if s.Delegation != nil {
		step.Delegation = sim.Delegation(*s.Delegation)
	}
	if s.Status != nil {
		step.Status = sim.Status(*s.Status)
	}
	if r := s.RDAP; r != nil {
		at := func(o *Offset) time.Time {
			if o == nil {
				return time.Time{}
			}
			return o.after(start)
		}
		step.RDAP = sim.RDAP{Answer: r.Answer, New: r.New, Registration: sim.Registration{
			Statuses: r.Statuses, Registered: at(r.Registered), Expires: at(r.Expires), RegistrarExpires: at(r.RegistrarExpires),
			Transferred: at(r.Transferred), Registrar: r.Registrar, NS: r.NS, Signed: r.Signed,
		}}
	}
	return step
}

// Delegation is written as a list of name servers, or as an answer's name.
type Delegation sim.Delegation

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Delegation) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Decode(&d.Answer) //nolint:wrapcheck // says the line
	}
	d.Answer = sim.Referral
	return n.Decode(&d.NS) //nolint:wrapcheck // says the line
}

// RDAP is written as the facts that change, or as an ugly answer's name. Facts make the server answer with them.
type RDAP struct {
	Answer           sim.RDAPAnswer `yaml:"-"`
	New              bool           `yaml:"new"` // another registration: nothing is kept of the one before
	Statuses         []string       `yaml:"statuses"`
	Registered       *Offset        `yaml:"registered"`
	Expires          *Offset        `yaml:"expires"`
	RegistrarExpires *Offset        `yaml:"registrar_expires"`
	Transferred      *Offset        `yaml:"transferred"`
	Registrar        string         `yaml:"registrar"`
	NS               []string       `yaml:"ns"`
	Signed           bool           `yaml:"signed"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (r *RDAP) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		r.Answer = sim.RDAPAnswer(n.Value) // 404 is a number to YAML
		return nil
	}
	type facts RDAP // without this method
	if err := strictNode(n, (*facts)(r)); err != nil {
		return err
	}
	r.Answer = sim.Object
	return nil
}

// Status is written as tokens, as {estimate: tokens}, or as {error: an ugly answer's name}.
type Status sim.Status

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Status) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Words = n.Value
		return nil
	}
	var form struct {
		Estimate string           `yaml:"estimate"`
		Error    sim.StatusAnswer `yaml:"error"`
	}
	if err := strictNode(n, &form); err != nil {
		return err
	}
	if (form.Estimate == "") == (form.Error == "") {
		return fmt.Errorf("line %d: a status is tokens, {estimate: tokens} or {error: name}", n.Line)
	}
	s.Words, s.Estimate, s.Answer = form.Estimate, form.Estimate != "", form.Error
	return nil
}

// Offset is a time relative to the scenario's start: 3d, +1d6h30m, -400d, 0d.
type Offset time.Duration

func (o Offset) after(start time.Time) time.Time { return start.Add(time.Duration(o)) }

var offsetForm = regexp.MustCompile(`^([+-]?)(?:(\d{1,5})d)?(?:(\d{1,2})h)?(?:(\d{1,2})m)?$`)

// ParseOffset reads an Offset: an optional sign, then days, hours and minutes, at least one of them.
func ParseOffset(text string) (Offset, error) {
	parts := offsetForm.FindStringSubmatch(text)
	if parts == nil || parts[2]+parts[3]+parts[4] == "" {
		return 0, fmt.Errorf("%q is no offset: write 3d, 1d6h30m or -400d", text)
	}
	var sum time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		n, _ := strconv.Atoi("0" + parts[2+i]) // digits, at most five
		sum += time.Duration(n) * unit
	}
	if parts[1] == "-" {
		sum = -sum
	}
	return Offset(sum), nil
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (o *Offset) UnmarshalYAML(n *yaml.Node) error {
	parsed, err := ParseOffset(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*o = parsed
	return nil
}

// Moment is an Offset, or unknown.
type Moment struct {
	Offset  Offset
	Unknown bool
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (m *Moment) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "unknown" {
		m.Unknown = true
		return nil
	}
	return m.Offset.UnmarshalYAML(n)
}

func (m Moment) time(start time.Time) time.Time {
	if m.Unknown {
		return time.Time{}
	}
	return m.Offset.after(start)
}
