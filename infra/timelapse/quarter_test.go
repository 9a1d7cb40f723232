//go:build !race

// The race detector makes tens of minutes of these minutes: `make simulate-check` runs them without it. The handlers that
// they run are tested with it elsewhere.

package main

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

var update = flag.Bool("update", false, "write expected.tsv anew")

// runs are those of expected.tsv: without and with the status API, and with it at a registry that cannot close recovery.
var runs = []struct {
	name   string
	policy Policy
}{{"off", Policy{}}, {"on", Policy{Status: true}}, {"without", Policy{Status: true, Without: true}}}

func world(t *testing.T) *World {
	t.Helper()
	w, err := LoadWorld()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// replayed is a domain of CI's world whose every answer the test asks for.
const replayed = "deleted-parked-0"

// TestQuarter plays CI's size, in each of the runs, and holds it against expected.tsv: the digest of all decisions, and what was missed and who was wronged, by kind. That every answer about one domain is kept changes nothing.
func TestQuarter(t *testing.T) {
	texts := make([]string, len(runs))
	t.Cleanup(func() {
		if !*update || t.Failed() {
			return
		}
		if err := os.WriteFile("expected.tsv", []byte(expectedHead+strings.Join(texts, "")), 0o600); err != nil {
			t.Error(err)
		}
	})
	for i, run := range runs {
		t.Run(run.name, func(t *testing.T) {
			t.Parallel()
			w := world(t)
			p, err := Populate(w, ciSize())
			if err != nil {
				t.Fatal(err)
			}
			name := nameOf(p, replayed)
			r, decisions, err := Simulation{World: w, Size: ciSize(), People: NobodyThere, Policy: run.policy, Only: name}.Play(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range w.Kinds {
				if n := r.Columns[0].Kinds[k.Name].Domains; n < w.Least {
					t.Errorf("kind %s has %d cases, fewer than %d", k.Name, n, w.Least)
				}
			}
			checkTrace(t, only(r, name))
			checkLame(t, run.policy, r, p, decisions)
			texts[i] = Expected{Digest: Digest(decisions), Kinds: r.Columns[0].Kinds}.format(run.name, r.Kinds)
			if !*update {
				holdAgainst(t, run.name, r)
			}
		})
	}
}

// checkLame: with the lever no zone is taken that nobody served. Who was not lost is never closed for that, or open again
// within a day after an outage of a day.
func checkLame(t *testing.T, policy Policy, r Result, p *Population, decisions []Decision) {
	t.Helper()
	claimed := r.Columns[0].Kinds["lame-claimed"]
	if want := (map[bool]int{true: claimed.Takeovers})[policy.Without]; claimed.Takeovers < 10 || claimed.Missed != want || claimed.Wrong != 0 {
		t.Errorf("zones that nobody served: %+v", claimed)
	}
	for i, d := range decisions {
		if d.What != "closed" || d.Reason != string(lifecycle.GapLame) {
			continue
		}
		switch kind := p.Find(d.Domain).Kind; kind {
		case "lame-claimed", "lame-outage-giving":
		case "lame-outage":
			open := slices.IndexFunc(decisions[i:], func(o Decision) bool { return o.Domain == d.Domain && o.What == "opened" })
			if open < 0 || decisions[i+open].At.Sub(d.At) > 48*time.Hour {
				t.Errorf("%s was closed on %s, and not open again within a day of its outage's end", d.Domain, d.At)
			}
		default:
			t.Errorf("%s (%s) was closed on %s: not served", d.Domain, kind, d.At)
		}
	}
}

func holdAgainst(t *testing.T, run string, r Result) {
	t.Helper()
	want, err := parseExpected(expectedText, run)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range want.differences(r.Columns[0], r.Kinds) {
		t.Errorf("%s: %s", run, d)
	}
	if r.Digest != want.Digest {
		t.Errorf("%s: the decisions' digest is %s, expected %s: a rule decides otherwise; compare decisions.txt of make simulate before and after", run, r.Digest, want.Digest)
	}
}

// checkTrace: what was so, what was asked, what was decided.
func checkTrace(t *testing.T, trace string) {
	t.Helper()
	for _, want := range []string{"IS    parked", "ASKED delegation: ", "ASKED rdap: ", "GUARD look: ", "the rule that decided last: "} {
		if !strings.Contains(trace, want) {
			t.Errorf("the trace has no %q:\n%s", want, trace)
		}
	}
	lines := slices.DeleteFunc(strings.Split(trace, "\n"), func(l string) bool { return !strings.HasPrefix(l, "    2") })
	times := make([]string, len(lines))
	for i, l := range lines {
		times[i] = l[4:20]
	}
	if !slices.IsSorted(times) {
		t.Error("the trace is not in the order of time")
	}
}

func nameOf(p *Population, label string) string {
	for _, d := range p.Domains {
		if strings.HasPrefix(d.Name, label+".") {
			return d.Name
		}
	}
	return ""
}

// TestBrokenRules breaks a rule of the product, and TestQuarter must fail and say where. It is a program of its own each
// time, built with the broken file in the place of the whole one.
func TestBrokenRules(t *testing.T) {
	if *update || os.Getenv("LAPSEGUARD_BROKEN") != "" {
		return // this is the program with the broken rule
	}
	for _, c := range []struct {
		name, file, whole, broken string
		run                       string   // in which it must show
		where                     []string // what the failure must name
	}{
		{
			"redemption is read as active", "shared/lifecycle/observe.go", "case WordRestore, WordRedemption, WordPendingDelete,", "case WordRestore, WordPendingDelete,",
			"without", []string{"without: restored: wronged 0,"},
		},
		{
			"a second look never comes", "shared/lifecycle/cadence.go", "SecondLook = 6 * time.Hour", "SecondLook = 100_000 * time.Hour",
			"without", []string{"without: cc-none: missed "},
		},
		{
			"a breaker without a limit", "shared/safety/limits.go", "n := min(max(count, MinCount), MaxCount)", "n := 1 << 30",
			"without", []string{"without: quiet: wronged "},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := withBroken(t, c.run, c.file, c.whole, c.broken)
			if err == nil {
				t.Fatal("the instrument did not notice")
			}
			t.Logf("where it shows:\n%s", got)
			for _, w := range c.where {
				if !strings.Contains(got, w) {
					t.Errorf("nothing says %q", w)
				}
			}
		})
	}
}

// withBroken plays a run of TestQuarter over a broken rule and gives what failed.
func withBroken(t *testing.T, run, file, whole, broken string) (failures string, err error) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, filepath.FromSlash(file))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), whole) != 1 {
		t.Fatalf("%s has no single %q any more: break the rule where it is now", file, whole)
	}
	dir := t.TempDir()
	replaced, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{replaced: strings.Replace(string(text), whole, broken, 1), overlay: string(list)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-overlay="+overlay, "-run=^TestQuarter$/^"+run+"$", ".")
	cmd.Env = append(os.Environ(), "LAPSEGUARD_BROKEN=1")
	out, err := cmd.CombinedOutput()
	var lines []string
	for line := range strings.Lines(string(out)) {
		if _, said, ok := strings.Cut(line, "_test.go:"); ok {
			lines = append(lines, strings.TrimSpace(said))
		}
	}
	if err != nil && len(lines) == 0 {
		t.Fatalf("it failed for another reason:\n%s", out)
	}
	return strings.Join(lines, "\n"), err
}
