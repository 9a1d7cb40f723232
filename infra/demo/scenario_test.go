package demo

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

func load(t *testing.T) *Scenario {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScenarioHasEveryRow(t *testing.T) {
	s := load(t)
	seen := map[string]int{}
	for _, d := range s.Domains {
		seen[d.Row]++
	}
	for _, h := range s.Hosts {
		seen[h.Row]++
	}
	ids := map[string]bool{}
	for _, r := range Rows() {
		if seen[r.ID] == 0 {
			t.Errorf("no domain shows %s: %s", r.ID, r.Text)
		}
		if ids[r.ID] || r.Text == "" {
			t.Errorf("row %s is there twice or says nothing", r.ID)
		}
		ids[r.ID] = true
	}
}

// TestScenarioHasEveryAnswer: in a timeline, where it is one domain's, not only in an outage.
func TestScenarioHasEveryAnswer(t *testing.T) {
	dns, rdap, status := map[sim.DNSAnswer]bool{}, map[sim.RDAPAnswer]bool{}, map[sim.StatusAnswer]bool{sim.Tokens: true}
	for _, d := range load(t).World().Domains {
		for _, step := range d.Steps {
			dns[step.Delegation.Answer], rdap[step.RDAP.Answer], status[step.Status.Answer] = true, true, true
		}
	}
	for _, a := range sim.DNSAnswers() {
		if !dns[a] {
			t.Errorf("no zone ever answers %q", a)
		}
	}
	for _, a := range sim.RDAPAnswers() {
		if !rdap[a] {
			t.Errorf("no registry ever answers %q", a)
		}
	}
	for _, a := range sim.StatusAnswers() {
		if !status[a] {
			t.Errorf("the status API never answers %q", a)
		}
	}
}

func TestScenarioHasEveryPhaseActionAndDialect(t *testing.T) {
	s := load(t)
	phases, actions, dialects := map[lifecycle.Phase]bool{}, map[lifecycle.Action]bool{}, map[sim.Dialect]bool{}
	for _, d := range s.Domains {
		phases[d.Expect.Phase], actions[d.Expect.Action] = true, true
	}
	for _, tld := range s.TLDs {
		dialects[tld.Dialect] = true
	}
	for _, p := range lifecycle.Phases() {
		if !phases[p] {
			t.Errorf("nothing ends as %s", p)
		}
	}
	for _, a := range []lifecycle.Action{lifecycle.None, lifecycle.Watch, lifecycle.Confirm, lifecycle.Hold, lifecycle.Unverify} {
		if !actions[a] {
			t.Errorf("nothing ends with %s", a)
		}
	}
	for _, d := range []sim.Dialect{sim.Plain, sim.EPP, sim.Upper, sim.OneWord, sim.NoStatus, sim.Offset} {
		if !dialects[d] {
			t.Errorf("no registry speaks %s", d)
		}
	}
}

func TestScenarioIsOfTheSizeThatIsTold(t *testing.T) {
	s := load(t)
	if n := len(s.Accounts()); n < 200 || n > 260 {
		t.Errorf("%d accounts at the start", n)
	}
	if n := len(s.Domains); n < 60 || n > 90 {
		t.Errorf("%d domains", n)
	}
	if s.Days != 14 || !s.End().Equal(time.Date(2026, 3, 16, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("%d days, until %s", s.Days, s.End())
	}
}

// TestTrapsAreAddressesThatAreSpared: the domain lapses or could be taken for lapsed, and somebody stays verified.
func TestTrapsAreAddressesThatAreSpared(t *testing.T) {
	s := load(t)
	unverified := map[string]bool{}
	for _, a := range s.Unverified() {
		unverified[a] = true
	}
	if len(unverified) < 50 {
		t.Errorf("only %d addresses are to be unverified", len(unverified))
	}
	for _, v := range s.Verifications() {
		if unverified[v.Address] {
			t.Errorf("an address verified at %s is expected to be unverified", v.At)
		}
	}
	unknown := 0
	for _, a := range s.Accounts() {
		if a.VerifiedAt.IsZero() {
			unknown++
		}
	}
	if unknown < 3 {
		t.Errorf("%d addresses with an unknown time of verification", unknown)
	}
}

func TestAccountsAndVerifications(t *testing.T) {
	s := mustRead(t, small(`
      - {user: old, verified: -30d}
      - {user: unknown, verified: unknown}
      - {user: late, verified: 1d6h, host: Mail.EXAMPLE.com.}
      - {user: back, verified: -1d12h30m, again: 1d}`, `unverified: [old, unknown]`))
	accounts := s.Accounts()
	want := []Account{
		{"old@example.com", s.Start.AddDate(0, 0, -30)}, {"unknown@example.com", time.Time{}},
		{"back@example.com", s.Start.Add(-36*time.Hour - 30*time.Minute)}, {"a@localhost", s.Start.AddDate(0, 0, -1)},
	}
	if !slices.Equal(accounts, want) {
		t.Errorf("%d accounts are not as written", len(accounts))
	}
	coming := []Verification{
		{s.Start.AddDate(0, 0, 1), "back@example.com", false}, {s.Start.Add(30 * time.Hour), "late@Mail.EXAMPLE.com.", true},
	}
	if !slices.Equal(s.Verifications(), coming) {
		t.Errorf("%d verifications are not as written", len(s.Verifications()))
	}
	if got := s.Unverified(); !slices.Equal(got, []string{"old@example.com", "unknown@example.com"}) {
		t.Errorf("%d expected to be unverified", len(got))
	}
}

func TestWorldBeginsWithTheBaseline(t *testing.T) {
	w := mustRead(t, small("\n      - {user: a, verified: -1d}", "")).World()
	steps := w.Domains[0].Steps
	if len(steps) != 2 || steps[0].From >= 0 || steps[0].RDAP.Registered != w.Start.AddDate(0, 0, -900) || steps[0].RDAP.Answer != sim.Object {
		t.Fatalf("%+v", steps)
	}
	if s := steps[1]; s.From != 24*time.Hour || s.Delegation.Answer != sim.Gone || s.RDAP.Answer != sim.NotFound || !s.Status.Estimate || s.Status.Words != "undelegated" {
		t.Errorf("%+v", s)
	}
}

// small is a scenario of one domain with these addresses and expectations.
func small(addresses, expect string) string {
	return `start: 2026-03-02T03:00:00Z
days: 3
tlds: {com: {rdap: listed}}
baseline: {from: 0d, delegation: [ns1.calmdns.net], rdap: {registered: -900d}}
domains:
  - name: example.com
    row: active
    why: for this test
    timeline: [{from: 1d, delegation: gone, rdap: "404", status: {estimate: undelegated}}]
    addresses:` + addresses + `
    expect: {phase: active, action: none, ` + expect + `}
hosts:
  - {host: localhost, row: special-use, why: for this test, reason: special use, addresses: [{user: a, verified: -1d}]}
`
}

func mustRead(t *testing.T, text string) *Scenario {
	t.Helper()
	s, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReadRefuses: each is the small scenario with one thing wrong, and what the error has to name.
func TestReadRefuses(t *testing.T) {
	good := small("\n      - {user: a, verified: -1d}", "unverified: [a]")
	mustRead(t, good)
	for what, c := range map[string]struct{ old, with, names string }{
		"unknown key":               {"days: 3", "days: 3\ndais: 4", "dais"},
		"unknown key of a domain":   {"row: active", "row: active\n    colour: red", "colour"},
		"unknown key of RDAP facts": {"registered: -900d", "registrd: -900d", "registrd"},
		"unknown key of a status":   {"estimate: undelegated", "guess: undelegated", "guess"},
		"two kinds of status":       {"{estimate: undelegated}", "{estimate: undelegated, error: \"500\"}", "a status is"},
		"two documents":             {"days: 3", "days: 3\n---\ndays: 4", "document"},
		"no start":                  {"start: 2026-03-02T03:00:00Z\n", "", "start"},
		"start elsewhere":           {"03:00:00Z", "03:00:00+02:00", "UTC"},
		"days":                      {"days: 3", "days: 61", "days"},
		"baseline days":             {"days: 3", "days: 3\nbaseline_days: 4", "baseline_days"},
		"row":                       {"row: active", "row: lively", "lively"},
		"why":                       {"why: for this test\n    timeline", "why: \"\"\n    timeline", "why"},
		"name in capitals":          {"name: example.com", "name: Example.com", "canonical"},
		"name below another":        {"name: example.com", "name: mail.example.com", "registrable"},
		"TLD":                       {"name: example.com", "name: example.net", ".net"},
		"DNS answer":                {"delegation: gone", "delegation: went", "went"},
		"RDAP answer":               {`rdap: "404"`, `rdap: "405"`, "405"},
		"offset":                    {"from: 1d", "from: tomorrow", "tomorrow"},
		"step after the end":        {"from: 1d", "from: 3d", "step 0"},
		"step before the start":     {"from: 1d", "from: -1h", "step 0"},
		"phase":                     {"phase: active", "phase: expired", "expired"},
		"action":                    {"action: none", "action: delete", "delete"},
		"expected user":             {"unverified: [a]", "unverified: [b]", "b"},
		"expected twice":            {"unverified: [a]", "unverified: [a, a]", "twice"},
		"host of another":           {"- {user: a, verified: -1d}", "- {user: a, verified: -1d, host: notexample.com}", "elsewhere"},
		"no verification":           {"- {user: a, verified: -1d}", "- {user: a}", "needs a time"},
		"verified after the end":    {"- {user: a, verified: -1d}", "- {user: a, verified: 3d}", "needs a time"},
		"again before":              {"- {user: a, verified: -1d}", "- {user: a, verified: 2d, again: 1d}", "again"},
		"user twice":                {"- {user: a, verified: -1d}", "- {user: a, verified: -1d}\n      - {user: a, verified: -2d}", "twice"},
		"user with a host":          {"- {user: a, verified: -1d}", "- {user: a@b, verified: -1d}", "local part"},
		"host with a domain":        {"host: localhost", "host: example.org", "example.org"},
		"reason":                    {"reason: special use", "reason: malformed", "special use"},
		"host without addresses":    {", addresses: [{user: a, verified: -1d}]", "", "no addresses"},
	} {
		text := strings.Replace(good, c.old, c.with, 1)
		if text == good {
			t.Fatalf("%s: the text has no %q", what, c.old)
		}
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: the error does not name %q: %v", what, c.names, err)
		}
	}
}

func TestReadNamesEverythingThatIsWrong(t *testing.T) {
	text := strings.NewReplacer("row: active", "row: lively", "phase: active", "phase: expired").Replace(small("\n      - {user: a, verified: -1d}", ""))
	_, err := Read(strings.NewReader(text))
	if err == nil || !strings.Contains(err.Error(), "lively") || !strings.Contains(err.Error(), "expired") {
		t.Errorf("%v", err)
	}
}

func TestReadIsBounded(t *testing.T) {
	if _, err := Read(strings.NewReader("# " + strings.Repeat("x", maxScenario))); err == nil {
		t.Error("no error")
	}
}

func TestParseOffset(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0d": 0, "3d": 72 * time.Hour, "+1d6h30m": 30*time.Hour + 30*time.Minute, "-400d": -400 * 24 * time.Hour, "-1d12h": -36 * time.Hour, "15m": 15 * time.Minute,
	} {
		if got, err := ParseOffset(text); err != nil || time.Duration(got) != want {
			t.Errorf("%s: %s, %v", text, time.Duration(got), err)
		}
	}
	for _, text := range []string{"", "+", "3", "d", "3d 4h", "4h3d", "1.5d", "--1d", "999999d", "3w"} {
		if got, err := ParseOffset(text); err == nil {
			t.Errorf("%q is %s", text, time.Duration(got))
		}
	}
}

// FuzzRead: whatever the text, reading it ends, and what is read is whole.
func FuzzRead(f *testing.F) {
	f.Add(small("\n      - {user: a, verified: -1d}", "unverified: [a]"))
	f.Add(small("\n      - {user: a, verified: unknown}", ""))
	f.Add("start: 2026-03-02T03:00:00Z")
	f.Add("domains: [{name: *a}]")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		s.Accounts()
		s.Verifications()
		if _, err := sim.New(s.World(), sim.Config{Now: time.Now}); err != nil {
			t.Error(err)
		}
	})
}
