package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needs tells a missing tool apart from a test that passed.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("LAPSEGUARD_STRICT") == "1" {
				t.Fatalf("%s is missing", tool)
			}
			t.Skipf("NOT RUN: %s is missing", tool)
		}
	}
}

// remote is a checkout with a sam that writes down what it was asked, in the place of AWS's.
type remote struct{ root, bin, guard string }

func startRemote(t *testing.T) remote {
	t.Helper()
	needs(t, "make", "bash", "go")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := remote{root: root, bin: t.TempDir()}
	r.guard = filepath.Join(r.bin, "lapseguard")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", r.guard, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	r.sam(t, `{"text":"done in words","acted":0}`)
	return r
}

// sam answers with one line.
func (r remote) sam(t *testing.T, answer string) {
	t.Helper()
	script := "#!/bin/sh\nprintf '%s\\n' \"$@\" > '" + r.bin + "/args'\ncat > '" + r.bin + "/event'\necho 'START of the log' >&2\ncat '" + r.bin + "/answer'\n"
	for name, text := range map[string]string{"sam": script, "answer": answer} {
		if err := os.WriteFile(filepath.Join(r.bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func (r remote) make(t *testing.T, args ...string) (out, stderr string, err error) {
	t.Helper()
	for _, old := range []string{"args", "event"} {
		_ = os.Remove(filepath.Join(r.bin, old))
	}
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-C", r.root, "--no-print-directory", "-o", "build", "GUARD=" + r.guard}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+r.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "MAKEFLAGS=", "MAKELEVEL=")
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

func (r remote) got(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.bin, name))
	if err != nil {
		return "nothing"
	}
	return strings.TrimSpace(string(b))
}

func TestMakeSendsTheEvent(t *testing.T) {
	r := startRemote(t)
	for args, want := range map[string]string{
		"status":                                `{"action":"status"}`,
		"approve|DOMAIN=mail.example.org|BY=Jo": `{"action":"approve","domain":"example.org","by":"Jo","ask":true}`,
		"approve|DOMAIN=example.org|BY=Jo|YES=1|REASON=it's seen":       `{"action":"approve","domain":"example.org","by":"Jo","why":"it's seen"}`,
		"approve|CLASS=a b/redemption|REVIEWED=3|PER_DAY=2|BY=Jo|YES=1": `{"action":"approve","by":"Jo","class":"a b/redemption","count":3,"per_day":2}`,
		"revoke|CLASS=a b/redemption|BY=Jo":                             `{"action":"revoke","by":"Jo","class":"a b/redemption"}`,
		"trust|CLASS=a b/redemption|BY=Jo":                              `{"action":"trust","by":"Jo","class":"a b/redemption"}`,
		"hold|DOMAIN=example.org|BY=Jo":                                 `{"action":"hold","domain":"example.org","by":"Jo"}`,
		"unhold|DOMAIN=example.org|BY=Jo":                               `{"action":"unhold","domain":"example.org","by":"Jo"}`,
		"recheck|DOMAIN=example.org|BY=Jo":                              `{"action":"recheck","domain":"example.org","by":"Jo"}`,
		"retry|DOMAIN=example.org|BY=Jo":                                `{"action":"retry","domain":"example.org","by":"Jo"}`,
		"accept|BY=Jo":                                                  `{"action":"accept","by":"Jo"}`,
		"restore|DOMAIN=example.org|BY=Jo|DECISION=k:1":                 `{"action":"restore","domain":"example.org","decision":"k:1","by":"Jo"}`,
	} {
		out, stderr, err := r.make(t, strings.Split(args, "|")...)
		if err != nil || out != "done in words\n" || stderr != "" || r.got(t, "event") != want {
			t.Errorf("%s: %v\n%s%s\nevent %s\nwant  %s", args, err, out, stderr, r.got(t, "event"), want)
		}
		if got, want := r.got(t, "args"), "remote\ninvoke\nApplierFunction\n--stack-name\nlapseguard\n--event-file\n-"; got != want {
			t.Errorf("%s: sam got %q", args, got)
		}
	}
	if out, _, err := r.make(t, "run-now"); err != nil || strings.TrimSpace(out) != `{"text":"done in words","acted":0}` || r.got(t, "event") != `{"action":"run"}` || !strings.Contains(r.got(t, "args"), "invoke\nFanoutFunction\n") {
		t.Errorf("run-now: %v\n%s\nsam got %q, event %s", err, out, r.got(t, "args"), r.got(t, "event"))
	}
	if _, _, err := r.make(t, "status", "STACK=other stack", "REGION=eu-west-1"); err != nil || !strings.Contains(r.got(t, "args"), "--stack-name\nother stack\n--event-file\n-\n--region\neu-west-1") {
		t.Errorf("another stack: %v, sam got %q", err, r.got(t, "args"))
	}
}

// TestMakeRunsNothingThatIsTyped: what an operator pastes may come from a hostile server's evidence.
func TestMakeRunsNothingThatIsTyped(t *testing.T) {
	r := startRemote(t)
	trap := filepath.Join(t.TempDir(), "trap")
	for _, bad := range []string{
		"$(touch TRAP)", "`touch TRAP`", "; touch TRAP", "' ; touch TRAP ; '", "\" ; touch TRAP ; \"", "$(shell touch TRAP)", "$$(touch TRAP)", "${shell touch TRAP}",
		"x\ntouch TRAP", "| touch TRAP", "$(eval x:=$(shell touch TRAP))", "&& touch TRAP #", "--class=x", "-h",
	} {
		bad = strings.ReplaceAll(bad, "TRAP", trap)
		if out, _, err := r.make(t, "recheck", "BY=Jo", "DOMAIN="+bad); err == nil || r.got(t, "event") != "nothing" {
			t.Errorf("DOMAIN=%q was sent: %s, event %s", bad, out, r.got(t, "event"))
		}
		for _, name := range []string{"BY", "DECISION", "STACK", "REGION"} {
			args := []string{"restore", "DOMAIN=example.org", "BY=Jo", name + "=" + bad}
			_, _, _ = r.make(t, args...)
		}
		for _, name := range []string{"CLASS", "REVIEWED", "PER_DAY", "REASON", "YES"} {
			args := []string{"approve", "BY=Jo", "CLASS=c", "REVIEWED=1", "PER_DAY=1", name + "=" + bad}
			_, _, _ = r.make(t, args...)
		}
		_, _, _ = r.make(t, "mode", "MODE="+bad)
		if _, err := os.Stat(trap); err == nil {
			t.Fatalf("%q ran", bad)
		}
	}
	name := `O'Neil "x" $(touch ` + trap + ") `y` $$ \\ é"
	if _, stderr, err := r.make(t, "hold", "DOMAIN=example.org", "BY="+name); err != nil || !strings.Contains(r.got(t, "event"), "O'Neil") || !strings.Contains(r.got(t, "event"), "é") {
		t.Errorf("%v %s: event %s", err, stderr, r.got(t, "event"))
	}
	if _, err := os.Stat(trap); err == nil {
		t.Fatal("the name ran")
	}
}

func TestMakeSaysWhatWentWrong(t *testing.T) {
	r := startRemote(t)
	r.sam(t, `{"errorMessage":"approve \"x.com\": no such domain","errorType":"wrapError"}`)
	if out, stderr, err := r.make(t, "approve", "DOMAIN=x.com", "BY=Jo"); err == nil || out != "" || !strings.Contains(stderr, `the applier refused: approve "x.com"`) || !strings.Contains(stderr, "START of the log") {
		t.Errorf("a refusal: %v %q %q", err, out, stderr)
	}
	r.sam(t, `{"text":"would approve: 1 domain","asked":true}`)
	if out, stderr, err := r.make(t, "approve", "DOMAIN=x.com", "BY=Jo"); err == nil || out != "would approve: 1 domain\n" || !strings.Contains(stderr, "YES=1") || strings.Contains(stderr, "START of the log") {
		t.Errorf("asked: %v %q %q", err, out, stderr)
	}
	r.sam(t, "")
	if _, stderr, err := r.make(t, "status"); err == nil || !strings.Contains(stderr, "gave no answer") {
		t.Errorf("no answer: %v %q", err, stderr)
	}
	for args, want := range map[string]string{"approve|BY=Jo": "approve what?", "hold|DOMAIN=x.com": "--by is empty", "mode|MODE=off": "must be one of"} {
		if _, stderr, err := r.make(t, strings.Split(args, "|")...); err == nil || !strings.Contains(stderr, want) || r.got(t, "event") != "nothing" {
			t.Errorf("%s: %v %q, want %q", args, err, stderr, want)
		}
	}
}

func TestMakeAuditPage(t *testing.T) {
	r := startRemote(t)
	page, trap := filepath.Join(t.TempDir(), "a page.html"), filepath.Join(t.TempDir(), "trap")
	file := writeEmails(t, "email\na@host.invalid\n")
	out, stderr, err := r.make(t, "audit-page", "EMAILS="+file, "PAGE="+page)
	b, readErr := os.ReadFile(page)
	if err != nil || readErr != nil || !strings.Contains(string(b), "host.invalid") || !strings.Contains(out, page) {
		t.Errorf("%v %v %s %s", err, readErr, out, stderr)
	}
	t.Setenv("LAPSEGUARD_DNS_SERVERS", closedPort(t))
	t.Setenv("LAPSEGUARD_RDAP_BOOTSTRAP", startSmall(t).bootstrap)
	silent := writeEmails(t, "email\na@example.co.uk\n")
	if _, _, err := r.make(t, "audit-page", "EMAILS="+silent, "PAGE="+page); err == nil {
		t.Error("an audit that heard nobody passes for a clean one")
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "example.co.uk") {
		t.Errorf("%v: its page is not there", err)
	}
	for _, args := range [][]string{{"EMAILS=$(shell touch " + trap + ")"}, {"EMAILS=; touch " + trap}, {"EMAILS=" + file, "PAGE=$(shell touch " + trap + ")/x"}, {}} {
		if _, _, err := r.make(t, append([]string{"audit-page"}, args...)...); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("what was typed ran")
	}
}

// TestRemoteNamesSam: who has no sam is told what to install.
func TestRemoteNamesSam(t *testing.T) {
	needs(t, "bash")
	root := t.TempDir()
	script, err := os.ReadFile("remote.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "infra", "lapseguard"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "infra", "lapseguard", "remote.sh")
	config := "[default.build.parameters]\nstack_name = \"not this\"\n[default.deploy.parameters]\nstack_name = \"mine\"\nregion = \"eu-north-1\"\n[prod.deploy.parameters]\nstack_name = \"nor this\"\n"
	for name, text := range map[string][]byte{path: script, filepath.Join(root, "samconfig.toml"): []byte(config)} {
		if err := os.WriteFile(name, text, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tools := t.TempDir() // a PATH without sam
	for _, tool := range []string{"bash", "cat", "sed", "head", "dirname", "mktemp", "rm"} {
		at, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(tools, tool)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(arg string) (string, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(tools, "bash"), path, arg)
		cmd.Env, cmd.Stdin = []string{"PATH=" + tools}, strings.NewReader(`{"action":"status"}`)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("lapseguard"); err == nil || !strings.Contains(out, "sam is missing: install the AWS SAM CLI") {
		t.Errorf("without sam: %v %s", err, out)
	}
	for arg, want := range map[string]string{"--stack": "mine\n", "--region": "eu-north-1\n"} {
		if out, err := run(arg); err != nil || out != want {
			t.Errorf("%s: %v %q, want %q", arg, err, out, want)
		}
	}
}
