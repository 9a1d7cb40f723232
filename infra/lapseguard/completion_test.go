package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

func TestCandidates(t *testing.T) {
	dir := storeOf(t, records.PutHold(safety.Hold{Domain: "waits.com", Since: present}))
	for line, want := range map[string]string{
		"re":                                     "recheck report restore retry revoke",
		"holds --format ":                        "json table",
		"holds --format j":                       "json",
		"holds --format = j":                     "json",
		"holds --format=":                        "--format=json --format=table",
		"audit --em":                             "--email-column --emails",
		"audit --emails ":                        "",
		"status --state x --fo":                  "--format",
		"status --format json -":                 "--domains-table --event --help --records-table --state --version",
		"mode ":                                  "enforce observe stop",
		"mode stop ":                             "",
		"completion ":                            "bash fish zsh",
		"nothing ":                               "",
		"ans":                                    "",
		"explain --state " + dir + " w":          "waits.com",
		"explain --state=" + dir + " --limit 3 ": "waits.com",
		"explain waits.com ":                     "",
	} {
		out, stderr, code := demonstrate(t, append([]string{"complete", "--"}, strings.Split(line, " ")...)...)
		if got := strings.Join(strings.Fields(out), " "); code != 0 || got != want {
			t.Errorf("%q: exit %d %s, got %q, want %q", line, code, stderr, got, want)
		}
	}
}

// TestBashCompletes has the shell itself complete, and every script parsed by its shell where that is installed.
func TestBashCompletes(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "lapseguard")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	script := `source <("$0" completion bash)
COMP_WORDS=("$0" holds --format = j); COMP_CWORD=4
_lapseguard "$0"
echo "${COMPREPLY[*]}"
COMP_WORDS=("$0" a); COMP_CWORD=1
_lapseguard "$0"
echo "${COMPREPLY[*]}"`
	out, err := exec.CommandContext(t.Context(), "bash", "-euc", script, bin).CombinedOutput()
	if err != nil || string(out) != "json\naccept\napprove\naudit\n" && string(out) != "json\naccept approve audit\n" {
		t.Errorf("%v: %q", err, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		said, stderr, code := demonstrate(t, "completion", shell)
		if code != 0 || !strings.Contains(said, "complete -- ") {
			t.Errorf("%s: exit %d %s%s", shell, code, said, stderr)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed: its script is not parsed here", shell)
			continue
		}
		file := filepath.Join(t.TempDir(), shell)
		if err := os.WriteFile(file, []byte(said), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), path, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", shell, err, out)
		}
	}
}
