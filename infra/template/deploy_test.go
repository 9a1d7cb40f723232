package template

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is what `make deploy` and `sam build` need of one, with a sam that writes down what it was asked.
func checkout(t *testing.T, architecture string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"Makefile", "samconfig.toml"} {
		if err := os.WriteFile(filepath.Join(dir, name), read(t, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(string(read(t, "template.yaml")), "Architectures: [arm64]", "Architectures: ["+architecture+"]", 1)
	if err := os.WriteFile(filepath.Join(dir, "template.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sam := "#!/bin/sh\necho \"$@\" >>'" + dir + "/asked'\n"
	if err := os.WriteFile(filepath.Join(dir, "sam"), []byte(sam), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func maker(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "GOARCH=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestTheProcessorIsTheTemplates: what is built and what is deployed cannot differ, whatever anybody answers.
func TestTheProcessorIsTheTemplates(t *testing.T) {
	for architecture, want := range map[string]string{"arm64": "GOARCH=arm64", "x86_64": "GOARCH=amd64"} {
		if out := maker(t, checkout(t, architecture), "-n", "build-FanoutFunction", "ARTIFACTS_DIR=x"); !strings.Contains(out, want) {
			t.Errorf("Architectures: [%s]: built by %s", architecture, out)
		}
	}
	for _, name := range []string{"Architecture", "EndpointDynamoDB", "EndpointSqs", "EndpointSsm", "EndpointSns"} {
		if open(t).Get("Parameters", name) != nil {
			t.Errorf("--guided asks for %s", name)
		}
	}
}

// TestDeployAsksOnce, and what is answered goes beside samconfig.toml, which is tracked.
func TestDeployAsksOnce(t *testing.T) {
	dir := checkout(t, "arm64")
	asked := func() string {
		maker(t, dir, "deploy")
		b, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(dir, "asked"))
		return string(b)
	}
	file := filepath.Join(dir, "deployed.toml")
	want := "build --config-file " + file + "\ndeploy --config-file " + file
	for range 2 { // a first one that was broken off has answered nothing
		if got := asked(); got != want+" --guided\n" {
			t.Errorf("the first deployment: %s", got)
		}
	}
	answers, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(answers, "\n[x]\nparameter_overrides = \"Contact=x\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := asked(); got != want+"\n" {
		t.Errorf("the next deployment: %s", got)
	}
	tracked, err := os.ReadFile(filepath.Join(dir, "samconfig.toml"))
	if err != nil || string(tracked) != string(read(t, "samconfig.toml")) {
		t.Errorf("samconfig.toml was written: %v", err)
	}
	if !strings.Contains(string(read(t, ".gitignore")), "\n/deployed.toml\n") {
		t.Error("git does not ignore deployed.toml")
	}
}
