// Package nameserver says what is known of name servers by their names alone: which DNS hosts give a zone that nobody set
// up to whoever asks for it, and which names registrars give to hosts that they delete. Pure.
package nameserver

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed providers.tsv
var providersTable string

//go:embed sacrificial.tsv
var sacrificialTable string

// Status is what became of it when somebody tried to claim a zone at a DNS host.
type Status string

// The statuses of providers.tsv.
const (
	Claimable     Status = "claimable"
	ClaimablePaid Status = "claimable-paid"
	Edge          Status = "edge"
	Closed        Status = "closed"
	Safe          Status = "safe"
)

// What became of a name that a registrar gave to a deleted host.
const (
	Anybody Status = "anybody"
	Sink    Status = "sink"
	Nowhere Status = "nowhere"
)

// Fact is a line of one of the tables.
type Fact struct {
	Status   Status
	Name     string   // the DNS host, or the registrar
	Patterns []string // of its name servers' names; * stands for any characters
	Source   string   // by the letters that the table explains
	AsOf     time.Time
}

var (
	providers   = sync.OnceValue(func() []Fact { return must(parse(providersTable, Claimable, ClaimablePaid, Edge, Closed, Safe)) })
	sacrificial = sync.OnceValue(func() []Fact { return must(parse(sacrificialTable, Anybody, Sink, Nowhere)) })
)

func must(facts []Fact, err error) []Fact {
	if err != nil {
		panic(err.Error()) // the tables are part of the program, and a test reads them
	}
	return facts
}

func parse(table string, known ...Status) ([]Fact, error) {
	var facts []Fact
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 5 || !slices.Contains(known, Status(cells[0])) {
			return nil, fmt.Errorf("nameserver: line %q: want status, name, patterns, source and date", line)
		}
		at, err := time.Parse(time.DateOnly, cells[4])
		if err != nil {
			return nil, fmt.Errorf("nameserver: line %q: %w", line, err)
		}
		f := Fact{Status: Status(cells[0]), Name: cells[1], Patterns: strings.Fields(cells[2]), Source: cells[3], AsOf: at}
		for _, p := range f.Patterns {
			if _, err := path.Match(p, ""); err != nil || p != strings.ToLower(p) {
				return nil, fmt.Errorf("nameserver: line %q: pattern %q", line, p)
			}
		}
		facts = append(facts, f)
	}
	return facts, nil
}

// named finds the first fact that the name of a host (canonical) is one of.
func named(facts []Fact, host string) (Fact, bool) {
	for _, f := range facts {
		for _, p := range f.Patterns {
			if ok, _ := path.Match(p, host); ok {
				return f, true
			}
		}
	}
	return Fact{}, false
}

// GivesAway finds among name servers one of a host that gives a zone to whoever asks for it, if only under conditions.
func GivesAway(ns []string) (Fact, bool) {
	for _, host := range ns {
		if f, ok := named(providers(), host); ok && (f.Status == Claimable || f.Status == ClaimablePaid || f.Status == Edge) {
			return f, true
		}
	}
	return Fact{}, false
}

// Sacrificial finds among name servers one that has the name of a deleted host.
func Sacrificial(ns []string) (host string, f Fact, ok bool) {
	for _, host := range ns {
		if f, ok := named(sacrificial(), host); ok {
			return host, f, true
		}
	}
	return "", Fact{}, false
}

// Note says in a few words what is to be known of name servers by their names; empty where nothing is.
func Note(ns []string) string {
	host, f, ok := Sacrificial(ns)
	if !ok {
		return ""
	}
	after := map[Status]string{Anybody: "which anybody may register", Sink: "which that registrar holds", Nowhere: "which nobody serves"}[f.Status]
	return fmt.Sprintf("sacrificial: %s is what %s renames a deleted name server to, below a domain %s", host, f.Name, after)
}

// Claim says who can claim a zone at the DNS host that no server of it serves.
func (f Fact) Claim() string {
	how := map[Status]string{ClaimablePaid: ", after a purchase", Edge: ", under conditions"}[f.Status]
	return fmt.Sprintf("anybody can claim this zone at %s%s", f.Name, how)
}

// ClaimAt is Claim of a DNS host by its name.
func ClaimAt(name string) string {
	i := slices.IndexFunc(providers(), func(f Fact) bool { return f.Name == name })
	if i < 0 { // the table had it once
		return Fact{Name: name}.Claim()
	}
	return providers()[i].Claim()
}
