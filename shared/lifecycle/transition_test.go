package lifecycle

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/source"
)

// explore finds every change of phase that judgement can make: from a domain that nobody looked at, by every
// combination of answers, until no new kind of state turns up.
func explore() map[[2]Phase]bool {
	type node struct {
		s  State
		at float64
	}
	found := map[[2]Phase]bool{}
	for _, f := range []Facts{com, de} {
		seen := map[string]bool{}
		for todo := []node{{NewState(instant(0)), 0}}; len(todo) > 0; {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			h := n.at + 21 // long enough for every second look
			for _, obs := range answersTo(f, h) {
				next, _ := Visit(n.s, at(hour(h), obs), f, instant(h))
				found[[2]Phase{n.s.Phase, next.Phase}] = true
				if k := kind(next); !seen[k] {
					seen[k] = true
					todo = append(todo, node{next, h})
				}
			}
		}
	}
	return found
}

// answersTo are the combinations of answers that the sources can give at hour h.
func answersTo(f Facts, h float64) [][]source.Observation {
	none := source.Observation{}
	registry := []source.Observation{none, rdap(), but(rdap(), func(r *source.Registration) { r.Expires = hour(h - 1) }), rdap("redemption period"), rdap("pending delete"),
		rdap("pending restore"), free(), dated(rdap(), hour(h-2)), but(rdap(), func(r *source.Registration) { r.Registrar = "1479" })}
	market := []source.Observation{none}
	if f.Authority == AuthorityNone {
		registry, market = market, []source.Observation{none, status("active"), status("expiring"), status("deleting"), status("inactive")}
	}
	var all [][]source.Observation
	for _, d := range []source.Observation{none, home(), moved(), parked(), gone()} {
		for _, r := range registry {
			for _, m := range market {
				all = append(all, slices.DeleteFunc([]source.Observation{d, r, m}, func(o source.Observation) bool { return o.Source == "" }))
			}
		}
	}
	return all
}

// kind leaves out of a state what tells times apart.
func kind(s State) string {
	return fmt.Sprint(s.Phase, s.Deleg, s.Home == "", s.Reg, s.Mkt, s.LapseAt != 0, s.Worst, s.GraceAt != 0, s.Interim != 0, s.Moved != 0, s.ControlAt != 0,
		s.Registered == 0, s.Registered > s.LapseAt)
}

// allowed are the pairs that Transitions stands for.
func allowed() map[[2]Phase]bool {
	pairs := map[[2]Phase]bool{}
	for _, t := range Transitions() {
		for _, from := range Phases() {
			if t.From == from || t.From == "" && from != t.To {
				pairs[[2]Phase{from, t.To}] = true
			}
		}
	}
	return pairs
}

// Transitions says what the code does: each is found by exploration, and exploration finds no other.
func TestTransitionsAreTheCodes(t *testing.T) {
	found, want := explore(), allowed()
	for pair := range found {
		if pair[0] != pair[1] && !want[pair] {
			t.Errorf("%s became %s, which Transitions does not list", pair[0], pair[1])
		}
	}
	for pair := range want {
		if !found[pair] {
			t.Errorf("Transitions lists %s to %s, which was not found", pair[0], pair[1])
		}
	}
}

// The diagrams of README.md draw what Transitions lists, arrow by arrow.
func TestReadmeDrawsTheTransitions(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[Transition]bool{}
	for line := range strings.Lines(string(text)) {
		from, rest, ok := strings.Cut(strings.TrimSpace(line), " --> ")
		to, when, labelled := strings.Cut(rest, " : ")
		if ok && labelled && to != "[*]" {
			drawn[Transition{phaseOf(t, from), phaseOf(t, to), when}] = true
		}
	}
	for _, tr := range Transitions() {
		if !drawn[tr] {
			t.Errorf("README.md does not draw %+v", tr)
		}
		delete(drawn, tr)
	}
	for tr := range drawn {
		t.Errorf("README.md draws %+v, which Transitions does not list", tr)
	}
}

// phaseOf reads a name of the diagrams: a phase with underscores, or any.
func phaseOf(t *testing.T, name string) Phase {
	p := Phase(strings.ReplaceAll(name, "_", " "))
	switch {
	case p == "any":
		return ""
	case p == "re registered":
		return ReRegistered
	case !slices.Contains(Phases(), p):
		t.Errorf("README.md: %q is no phase", name)
	}
	return p
}
