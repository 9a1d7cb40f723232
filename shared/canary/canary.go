// Package canary holds names whose answer is known beforehand. An upstream that says of a name known to be
// registered that it is not, or of a name that cannot be registered that it is, is out of order: its bad news
// about other names is not believed. Pure.
package canary

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/source"
)

//go:embed canaries.txt
var builtin string

// Builtin are the names that are known to be registered on the real internet.
func Builtin() []string {
	var names []string
	for line := range strings.Lines(builtin) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			names = append(names, line)
		}
	}
	return names
}

// Set is the names for one upstream, or for all that speak about the same internet.
type Set struct {
	names func() []domain.Name
	label string
	real  bool // its upstreams speak about the real internet
}

// New checks the names, which must be registrable domains. The label makes names that are known to be free, below
// any public suffix: it should be long and not to be guessed, so that nobody registers one.
func New(names []string, label string) (*Set, error) {
	list, err := parse(names)
	if err != nil {
		return nil, err
	}
	return &Set{names: func() []domain.Name { return list }, label: label}, nil
}

// NewReal is New with the Builtin names beside those given. They are read when first needed: a cold start does
// not wait for them.
func NewReal(names []string, label string) (*Set, error) {
	given, err := parse(names)
	if err != nil {
		return nil, err
	}
	return &Set{label: label, real: true, names: sync.OnceValue(func() []domain.Name {
		builtin, err := parse(Builtin())
		if err != nil {
			panic("the built-in list: " + err.Error()) // it is part of the program, and a test reads it
		}
		return slices.Concat(given, builtin)
	})}, nil
}

func parse(names []string) ([]domain.Name, error) {
	list := make([]domain.Name, 0, len(names))
	for _, n := range names {
		parsed, reason := domain.Parse(n)
		if reason != "" || parsed.Registrable != parsed.Host {
			return nil, fmt.Errorf("canary %q: give a registrable domain, such as example.com (%s)", n, reason)
		}
		list = append(list, parsed)
	}
	return list, nil
}

// Zone gives the registered names directly below a public suffix, in the order given to New.
func (s *Set) Zone(suffix string) []string {
	return s.registered(func(n domain.Name) bool { return n.Suffix == suffix })
}

// TLD gives the registered names of a top-level domain.
func (s *Set) TLD(tld string) []string {
	return s.registered(func(n domain.Name) bool { return n.Suffix[strings.LastIndexByte(n.Suffix, '.')+1:] == tld })
}

// All gives every registered name.
func (s *Set) All() []string { return s.registered(func(domain.Name) bool { return true }) }

func (s *Set) registered(match func(domain.Name) bool) []string {
	var names []string
	for _, n := range s.names() {
		if match(n) {
			names = append(names, n.Registrable)
		}
	}
	return names
}

// Free is a name below a public suffix that nobody registered.
func (s *Set) Free(suffix string) string { return s.label + "." + suffix }

// Bad tells whether an answer speaks for a lapse: no such domain, a registry's word that it is being deleted, or name
// servers that do not have the zone.
// An Unknown answer says nothing.
func Bad(o source.Observation) bool {
	switch {
	case o.Outcome == source.Absent:
		return true
	case o.Outcome == source.Observed && o.Registration != nil:
		return slices.ContainsFunc(o.Registration.Statuses, func(s string) bool {
			return s == "redemption period" || s == "pending delete" || s == "pending restore"
		})
	case o.Outcome == source.Observed && o.Market != nil:
		return slices.ContainsFunc(o.Market.Tokens, func(t string) bool {
			return t == "deleting" || t == "expiring" || t == "inactive" || t == "undelegated"
		})
	case o.Outcome == source.Observed && o.Service != nil:
		return o.Service.Serves == source.Lame
	default:
		return false
	}
}

// Good tells whether an answer says that a name is registered and in use.
func Good(o source.Observation) bool {
	undecided := o.Registration != nil && o.Registration.Undecided() || o.Service != nil && o.Service.Serves == source.Unreachable
	return o.Outcome == source.Observed && !Bad(o) && !undecided
}
