package scenario

import (
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/infra/sim"
)

func TestScenarioIsWhole(t *testing.T) {
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := s.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	if len(accounts) < 180 || len(s.Domains) < 60 {
		t.Errorf("%d accounts on %d domains, want about 200 on 60", len(accounts), len(s.Domains))
	}
	rows, answers, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, d := range s.Domains {
		if names[d.Name] {
			t.Errorf("%s is there twice", d.Name)
		}
		names[d.Name], rows[d.Row] = true, true
		for _, step := range d.Steps {
			answers[step.Status], answers[step.DNS] = true, true
		}
	}
	for _, r := range Rows() {
		if !rows[r] {
			t.Errorf("no domain for the row %q", r)
		}
	}
	for _, a := range sim.DNSAnswers() {
		if !answers[string(a)] && a != sim.Referral {
			t.Errorf("no zone answers with %q", a)
		}
	}
	for _, a := range sim.RDAPAnswers() {
		if !answers[string(a)] && a != sim.Object {
			t.Errorf("no registry answers with %q", a)
		}
	}
	if len(s.Outages) == 0 {
		t.Error("no outage")
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"unknown field": "start: 2026-01-01T00:00:00Z\ncolour: red\n",
		"unknown row":   "domains: [{name: a.com, row: luck}]",
		"bad address":   "domains: [{name: a.com, row: released, addresses: [alice]}]",
		"bad offset":    "domains: [{name: a.com, row: released, addresses: [alice tomorrow]}]",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "scenario") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
