package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// maxDays bounds a scenario: a reader waits for it.
const maxDays = 60

// problems gathers everything that is wrong.
type problems []error

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

// validate checks what the types cannot.
func (s *Scenario) validate() error {
	var p problems
	if s.Start.IsZero() || s.Start.Location() != time.UTC {
		p.add("start must be a time in UTC")
	}
	if s.Days < 1 || s.Days > maxDays || s.BaselineDays < 0 || s.BaselineDays > s.Days {
		p.add("days must be 1 to %d, and baseline_days no more than days", maxDays)
	}
	names := map[string]bool{}
	for _, d := range s.Domains {
		if names[d.Name] {
			p.add("%s is there twice", d.Name)
		}
		names[d.Name] = true
		s.validateDomain(d, &p)
	}
	for _, h := range s.Hosts {
		s.validateHost(h, &p)
	}
	if _, err := sim.New(s.World(), sim.Config{Now: time.Now}); err != nil {
		p = append(p, err)
	}
	return errors.Join(p...)
}

func (s *Scenario) validateDomain(d Domain, p *problems) {
	if !domain.ValidRegistrable(d.Name) {
		p.add("%q is no registrable domain in canonical form", d.Name)
	}
	s.validateWords(d.Name, d.Row, d.Why, p)
	for i, step := range d.Timeline {
		if step.From < 0 || !s.within(step.From) {
			p.add("%s: step %d is not within the simulated days", d.Name, i)
		}
	}
	users := s.validateAddresses(d.Name, d.Addresses, p)
	for _, a := range d.Addresses {
		if name, reason := domain.Parse(a.at(d.Name)[len(a.User)+1:]); reason != "" || name.Registrable != d.Name {
			p.add("%s: the host of user %s belongs elsewhere", d.Name, a.User)
		}
	}
	e := d.Expect
	if !slices.Contains(lifecycle.Phases(), e.Phase) {
		p.add("%s: there is no phase %q", d.Name, e.Phase)
	}
	if !slices.Contains([]lifecycle.Action{lifecycle.None, lifecycle.Watch, lifecycle.Confirm, lifecycle.Hold, lifecycle.Unverify}, e.Action) {
		p.add("%s: there is no action %q", d.Name, e.Action)
	}
	for i, user := range e.Unverified {
		if !slices.Contains(users, user) || slices.Contains(e.Unverified[:i], user) {
			p.add("%s: expects something of %s, who is not there or is named twice", d.Name, user)
		}
	}
}

func (s *Scenario) validateHost(h Host, p *problems) {
	name, reason := domain.Parse(h.Host)
	if reason == "" {
		p.add("%s belongs to %s: it is no host without a domain", h.Host, name.Registrable)
	}
	if reason != h.Reason {
		p.add("%s: expects the reason %q, it is %q", h.Host, h.Reason, reason)
	}
	s.validateWords(h.Host, h.Row, h.Why, p)
	s.validateAddresses(h.Host, h.Addresses, p)
	if len(h.Addresses) == 0 {
		p.add("%s has no addresses", h.Host)
	}
	for _, a := range h.Addresses {
		if a.Host != "" {
			p.add("%s: user %s has another host", h.Host, a.User)
		}
	}
}

func (s *Scenario) validateWords(name, row, why string, p *problems) {
	if !slices.ContainsFunc(Rows(), func(r Row) bool { return r.ID == row }) {
		p.add("%s: there is no row %q", name, row)
	}
	if strings.TrimSpace(why) == "" || strings.Contains(strings.TrimSpace(why), "\n") {
		p.add("%s: why is one line that says which case this is", name)
	}
}

// validateAddresses checks the addresses of one entry and gives their users.
func (s *Scenario) validateAddresses(name string, list []Address, p *problems) (users []string) {
	for _, a := range list {
		switch v := a.Verified; {
		case a.User == "" || strings.ContainsAny(a.User, "@ ") || slices.Contains(users, a.User):
			p.add("%s: user %q is empty, no local part, or there twice", name, a.User)
		case !v.Unknown && (v.Offset == 0 || !s.within(v.Offset)):
			p.add("%s: user %s needs a time of verification before or within the simulated days, or unknown", name, a.User)
		case a.Again != nil && (*a.Again <= 0 || *a.Again <= v.Offset || !s.within(*a.Again)):
			p.add("%s: user %s verifies again before the first time, or outside the simulated days", name, a.User)
		}
		users = append(users, a.User)
	}
	return users
}

func (s *Scenario) within(o Offset) bool {
	return time.Duration(o) < time.Duration(s.Days)*24*time.Hour
}
