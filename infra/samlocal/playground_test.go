package samlocal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/records"
)

// envPlay names the folder in which `make local-up` has the playground; empty: nobody plays.
const envPlay = "LAPSEGUARD_PLAYGROUND"

// playEvery is how often the playground looks for what its folder asks of it.
const playEvery = 200 * time.Millisecond

// TestPlayground is what TestSamLocalInvoke plays in, without its steps: it stays until the folder has a file "stop",
// and answers a file "look" with "looked". make local-up, local-look and local-down write them.
func TestPlayground(t *testing.T) {
	dir := os.Getenv(envPlay)
	if dir == "" {
		t.Skipf("NOT RUN here: the playground, which make local-up starts (%s=FOLDER)", envPlay)
	}
	s := buildFunctions(t, dir)
	now := time.Now()
	p := &play{cloud: openCloud(t, s.root, world(now), rows(now)), sam: s, root: s.root}
	s.env = p.environment(t, dir)
	p.put(t, "ready", p.lines())
	tick := time.NewTicker(playEvery)
	defer tick.Stop()
	for range tick.C {
		if _, err := os.Stat(filepath.Join(dir, "stop")); err == nil {
			return
		}
		if err := os.Remove(filepath.Join(dir, "look")); err == nil {
			p.put(t, "looked", p.look(t))
		}
	}
}

// put writes a file of the playground whole: whoever waits for it reads no half of it.
func (p *play) put(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(p.sam.dir, name)
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
}

// clean goes before each line: nobody's credentials are found, so that the emulators, which keep accounts apart by the
// key, see the one in which the tables are.
const clean = "env -u AWS_PROFILE -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN AWS_DEFAULT_REGION=" + region +
	" AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true SAM_CLI_TELEMETRY=0"

// lines are the commands for this machine's processor.
func (p *play) lines() string {
	var b strings.Builder
	line := func(words ...string) {
		quoted := append([]string{clean, p.sam.bin}, p.sam.args(words...)...)
		for i, w := range quoted[1:] {
			if strings.Contains(w, " ") {
				quoted[i+1] = "'" + w + "'"
			}
		}
		fmt.Fprintf(&b, "  %s\n", strings.Join(quoted, " "))
	}
	fmt.Fprintf(&b, "Emulators, registry and a simulated internet run, for %s; %s is in redemption.\n\nA day, in this order:\n\n", p.sam.arch, lost)
	for _, step := range [][2]string{{"fanout", "fanout-run.json"}, {"checker", "checker-delegation.json"}, {"applier", "applier-tick.json"}} {
		line("invoke", template.FunctionID(step[0]), "-e", filepath.Join(p.root, "infra", "events", step[1]))
	}
	fmt.Fprint(&b, "\nThe queue's messages, which `make local-look` takes out and puts there ten at a time, as the event source does:\n\n")
	line("invoke", template.FunctionID("checker"), "-e", filepath.Join(p.sam.dir, "queue.json"))
	fmt.Fprint(&b, "\nOr as a server, for `aws lambda invoke --endpoint-url http://127.0.0.1:3001 --function-name FanoutFunction ...`:\n\n")
	line("start-lambda")
	return b.String()
}

// look shows table, queue and registry in words. The queue's next messages are taken out, into an event for checker.
func (p *play) look(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, "table:")
	for _, name := range addressed {
		d, err := records.In(p.store).Domain(t.Context(), name)
		if err != nil || !d.Known() {
			fmt.Fprintf(&b, "  %-14s not listed yet (FanoutFunction lists it)\n", name)
			continue
		}
		fmt.Fprintf(&b, "  %-14s %s, %s; to do: %s\n", name, d.State.Phase, d.State.Deleg, d.Action)
	}
	batch := p.receive(t)
	if len(batch.Records) == 0 {
		fmt.Fprintln(&b, "queue: empty")
	} else {
		data, err := json.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		p.put(t, "queue.json", string(data))
		p.remove(t, batch)
		fmt.Fprintf(&b, "queue: %s; now in %s, for checker\n", groups(batch), filepath.Join(p.sam.dir, "queue.json"))
	}
	all, err := p.registry.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verified, of := map[string]int{}, map[string]int{}
	for _, a := range all {
		of[a.Domain]++
		if a.Verified {
			verified[a.Domain]++
		}
	}
	fmt.Fprintln(&b, "registry:")
	for _, name := range addressed {
		fmt.Fprintf(&b, "  %-14s %d of %d addresses verified\n", name, verified[name], of[name])
	}
	calls, err := p.registry.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		dry := ""
		if c.DryRun {
			dry = ", a dry run"
		}
		fmt.Fprintf(&b, "  called: %s of %s%s: %d changed\n", c.Op, c.Domain, dry, c.Changed)
	}
	return b.String()
}
