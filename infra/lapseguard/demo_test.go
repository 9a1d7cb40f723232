package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/scenario"
	"github.com/lapseguard/lapseguard/infra/template"
)

// demonstrate runs a command on a demonstration's folder in this process.
func demonstrate(t *testing.T, args ...string) (out, stderr string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{&o, &e})
	return o.String(), e.String(), code
}

// tableOf is the part of the output that must be the same each time.
func tableOf(out string) string {
	table, _, _ := strings.Cut(out, "addresses at ")
	return regexp.MustCompile(`(?m)^\d+ $`).ReplaceAllString(table, "")
}

func TestDemoTwiceAndRestore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	first, stderr, code := demonstrate(t, "demo", "--dir", dir)
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, first, stderr)
	}
	again, stderr, code := demonstrate(t, "demo", "--dir", dir)
	if code != 0 {
		t.Fatalf("second run: exit %d\n%s\n%s", code, again, stderr)
	}
	if tableOf(first) != tableOf(again) {
		t.Errorf("the second run's table differs:\n%s\n%s", tableOf(first), tableOf(again))
	}
	if !strings.Contains(again, "of which 0 changed addresses") {
		t.Errorf("the second run unverified again:\n%s", again[strings.Index(again, "addresses at "):])
	}
	if steps := strings.Index(first, "bin/lapseguard audit --emails"); steps < 0 || strings.Contains(first, " none ") || !strings.Contains(first, "somebody may have claimed this zone at Digital Ocean") {
		t.Errorf("want the dangerous rows, with the zone that nobody served, and then the next step:\n%s", first)
	}
	checkUnserved(t, dir)
	if strings.Contains(first+again+stderr, "@") {
		t.Error("an address got into the output")
	}
	out, stderr, code := demonstrate(t, "restore", "--dir", dir, "deleted-two.org", "--by", "test")
	if code != 0 || !strings.Contains(out, "restored 2 addresses at deleted-two.org") {
		t.Errorf("restore: exit %d %s %s", code, out, stderr)
	}
	out, stderr, code = demonstrate(t, "explain", "--state", dir, "deleted-two.org")
	for _, want := range []string{"deleted-two.org is about to be released", "It marked 2 addresses", "That was taken back: 2 addresses are verified again", "By test (request local-", "from active to pending delete"} {
		if code != 0 || !strings.Contains(folded(out), want) {
			t.Errorf("explain: exit %d %s, it lacks %q:\n%s", code, stderr, want, out)
		}
	}
	checkManyRestored(t, dir)
	if out, stderr, code := demonstrate(t, "restore", "--dir", dir, "on-hold.com"); code == 0 {
		t.Errorf("restored what was never unverified: %s %s", out, stderr)
	}
	if out, _, code := demonstrate(t, "status", "--dir", dir); code != 0 || !strings.Contains(out, "holds wait") {
		t.Errorf("status: %d %s", code, out)
	}
}

// checkManyRestored: first it says at which domains a class was acted on within a time, and does it with their number alone.
func checkManyRestored(t *testing.T, dir string) {
	t.Helper()
	many := []string{"restore", "--dir", dir, "--class", "127.0.0.1/pending delete", "--since", "2026-03-01T00:00:00Z", "--by", "test"}
	for _, step := range []struct {
		more []string
		want string
		code int
	}{
		{[]string{"--until", "2026-03-01T01:00:00Z"}, "nothing of", 0},
		{nil, "would take back what was done at 2 domains", 0},
		{[]string{"--reviewed", "3"}, "2", 1},
		{[]string{"--reviewed", "2"}, "taken back at 2 domains", 0},
		{nil, "nothing of", 0},
	} {
		out, stderr, code := demonstrate(t, append(slices.Clone(many), step.more...)...)
		if code != step.code || !strings.Contains(out+stderr, step.want) {
			t.Errorf("%v: exit %d %s %s, want %q", step.more, code, out, stderr, step.want)
		}
	}
}

// checkUnserved: recovery through the zones that a DNS host gives away was closed before somebody claimed them, and never
// opened; where an honest outage closed it, it was open again within a day.
func checkUnserved(t *testing.T, dir string) {
	t.Helper()
	sc, err := scenario.Load()
	if err != nil {
		t.Fatal(err)
	}
	registry, err := refregistry.Open(refregistry.Config{Path: filepath.Join(dir, "registry.db"), Token: token, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	calls, err := registry.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shut, opened := map[string]time.Time{}, map[string]time.Time{}
	for _, c := range calls {
		switch {
		case c.Status != http.StatusOK && c.Status != http.StatusAccepted:
		case c.Op == "recovery closed" && shut[c.Domain].IsZero():
			shut[c.Domain] = c.At
		case c.Op == "recovery open":
			opened[c.Domain] = c.At
		}
	}
	claimed, honest := 0, 0
	for _, d := range sc.Domains {
		if d.Row != "not served" {
			continue
		}
		back := d.Steps[len(d.Steps)-1].From.Time(sc.Start)
		closed, open := shut[d.Name], opened[d.Name]
		switch {
		case strings.HasPrefix(d.Name, "forgotten-"), strings.HasPrefix(d.Name, "left-"):
			claimed++
			if closed.IsZero() || closed.After(back) || !open.IsZero() {
				t.Errorf("%s: closed %s, opened %s; somebody had it from %s on", d.Name, closed, open, back)
			}
		case !d.Expect.Closed:
			honest++
			if !closed.IsZero() && (open.IsZero() || open.Sub(back) > 24*time.Hour) {
				t.Errorf("%s: closed %s, opened %s; it was served again from %s on", d.Name, closed, open, back)
			}
		}
	}
	if claimed != 10 || honest != 7 {
		t.Errorf("%d zones were claimed, and %d were honestly out; want 10 and 7", claimed, honest)
	}
}

// TestKilledAtAnyMoment kills the process ten times at random moments: the next run goes on, and in the end every
// address is as the scenario says and nothing was done twice.
func TestKilledAtAnyMoment(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "lapseguard")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "demo")
	seed := uint64(time.Now().UnixNano()) //nolint:forbidigo // a new series each time; it is logged
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- moments, not secrets
	for n := range 10 {
		cmd := exec.CommandContext(t.Context(), bin, "demo", "--dir", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			t.Logf("run %d ended before it was killed: %v", n, err)
		case <-time.After(time.Duration(300+random.IntN(1500)) * time.Millisecond):
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			<-done
		}
	}
	out, stderr, code := demonstrate(t, "demo", "--dir", dir)
	if code != 0 {
		t.Fatalf("after ten kills: exit %d\n%s\n%s", code, out, stderr)
	}
}

// TestSchedulesAreTheTemplates: the demonstration ticks as the deployed schedules do.
func TestSchedulesAreTheTemplates(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, s := range tpl.Schedules() {
		found[s.Function+"/"+s.Event] = s.Expression
	}
	if want := fmt.Sprintf("rate(%d minutes)", int(tickEvery.Minutes())); found["ApplierFunction/Tick"] != want || found["FanoutFunction/Resume"] != want {
		t.Errorf("schedules %v, want %s for tick and resume", found, want)
	}
	// The minute may differ: a deployment stays away from the full hour, when everybody asks.
	if want := regexp.MustCompile(fmt.Sprintf(`^cron\(\d+ %d \* \* \? \*\)$`, dailyAt)); !want.MatchString(found["FanoutFunction/Daily"]) {
		t.Errorf("daily schedule %q, want %s", found["FanoutFunction/Daily"], want)
	}
}
