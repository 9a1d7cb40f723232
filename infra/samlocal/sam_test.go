package samlocal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/infra/template"
)

const (
	buildTimeout  = 10 * time.Minute
	invokeTimeout = 3 * time.Minute // with SAM's first step, which makes an image
	region        = "eu-west-1"
)

// sam is the SAM CLI with a finished build.
type sam struct {
	bin, root, dir string
	arch           string   // as SAM names it: x86_64, arm64
	image          []string // arguments that choose the base image
	env            string   // the file for --env-vars
}

// buildFunctions builds the three functions for the engine's architecture, in a folder of its own.
func buildFunctions(t *testing.T, dir string) *sam {
	t.Helper()
	root, err := template.Dir()
	if err != nil {
		t.Fatal(err)
	}
	tools := os.Getenv(emulator.EnvTools)
	if tools == "" {
		tools = filepath.Join(root, ".tools")
	}
	s := &sam{bin: filepath.Join(tools, "sam", "bin", "sam"), root: root, dir: dir}
	if _, err := os.Stat(s.bin); err != nil {
		t.Fatalf("the SAM CLI is not installed: make tools (%v)", err)
	}
	goarch := strings.TrimSpace(output(t, root, "docker", "version", "-f", "{{.Server.Arch}}"))
	s.arch = map[string]string{"amd64": "x86_64", "arm64": "arm64"}[goarch]
	if s.arch == "" {
		t.Fatalf("the Docker engine runs on %q; Lambda knows amd64 and arm64", goarch)
	}
	s.image = baseImage(t, root, s.arch)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	cmd := s.command(ctx, "build", "--build-dir", filepath.Join(s.dir, "build"))
	cmd.Env = append(cmd.Env, "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sam build: %v\n%s", err, out)
	}
	s.forEngine(t)
	t.Logf("sam build for %s: %.1f s", s.arch, time.Since(began).Seconds())
	return s
}

// forEngine has the built template say the processor that was built for: SAM chooses the container by it.
func (s *sam) forEngine(t *testing.T) {
	t.Helper()
	path := filepath.Join(s.dir, "build", "template.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(Architectures:\s*\n?\s*-? *\[?)(arm64|x86_64)`).ReplaceAll(text, []byte("${1}"+s.arch))
	if !bytes.Contains(text, []byte(s.arch)) {
		t.Fatalf("the built template does not say %s", s.arch)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// baseImage are the arguments for Amazon's image, or for the stand-in that was made in its place.
func baseImage(t *testing.T, root, arch string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "infra", "samlocal", "base-image.sh"), arch)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		t.Fatalf("no base image: %v\n%s", err, words.String())
	}
	name := strings.TrimSpace(out.String())
	t.Logf("base image: %s\n%s", name, words.String())
	args := []string{"--skip-pull-image"}
	if words.Len() > 0 { // never passed with Amazon's: SAM finds that itself
		args = append(args, "--invoke-image", name)
	}
	return args
}

// command is a call of SAM that finds nobody's credentials and tells nobody.
func (s *sam) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Dir = s.root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it removes its container
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "AWS_") || strings.HasPrefix(kv, "LAPSEGUARD_") || strings.HasPrefix(kv, "GOFLAGS=")
	})
	cmd.Env = append(cmd.Env, "AWS_DEFAULT_REGION="+region, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "SAM_CLI_TELEMETRY=0", "__SAM_CLI_APP_DIR="+filepath.Join(s.dir, "sam"))
	return cmd
}

// invoke invokes a function with an event file and decodes its answer. SAM exits with 0 also when the function
// fails: only what the function printed tells.
func (s *sam) invoke(t *testing.T, function, event string, answer any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), invokeTimeout)
	defer cancel()
	cmd := s.command(ctx, s.args("invoke", function, "-e", event)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	began := time.Now()
	err := cmd.Run()
	shown := event
	if rel, err := filepath.Rel(s.root, event); err == nil && filepath.IsLocal(rel) {
		shown = rel
	}
	t.Logf("sam local invoke %s -e %s (%.1f s)\n%s", function, shown, time.Since(began).Seconds(), indent(out.String()))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s -e %s:\n%s", function, shown, indent(log.String()))
		}
	})
	if mark := []byte("@example"); bytes.Contains(out.Bytes(), mark) || bytes.Contains(log.Bytes(), mark) {
		t.Errorf("%s: there is an address in its answer or log", function)
	}
	if err := judge(err, out.Bytes(), answer); err != nil {
		t.Fatalf("%s failed: %v", function, err)
	}
}

// args are those of `sam local` with a subcommand of it.
func (s *sam) args(words ...string) []string {
	return slices.Concat([]string{"local"}, words, []string{
		"-t", filepath.Join(s.dir, "build", "template.yaml"), "--env-vars", s.env,
		"--add-host", "host.docker.internal:host-gateway", "--parameter-overrides", "Mode=enforce UnverifyAt=redemption",
	}, s.image)
}

// judge tells whether what a function printed is an answer, and decodes it.
func judge(exit error, out []byte, answer any) error {
	if exit != nil {
		return exit
	}
	var failure struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(out, &failure); err != nil {
		return fmt.Errorf("no JSON in its answer: %w", err)
	}
	if failure.Type != "" || failure.Message != "" {
		return fmt.Errorf("%s: %s", failure.Type, failure.Message)
	}
	return json.Unmarshal(out, answer)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// hostAddress is where a server must listen for a container to reach it as host.docker.internal: the bridge's
// address, or loopback where the engine runs in a machine of its own that forwards to it (Docker Desktop).
func hostAddress(t *testing.T) string {
	t.Helper()
	candidates := []string{strings.TrimSpace(output(t, "", "docker", "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"))}
	if bridge, err := net.InterfaceByName("docker0"); err == nil {
		addrs, err := bridge.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil {
				candidates = append(candidates, ip.IP.String())
			}
		}
	}
	for _, ip := range candidates {
		if l, err := net.Listen("tcp", net.JoinHostPort(ip, "0")); ip != "" && err == nil {
			_ = l.Close()
			return ip
		}
	}
	return "127.0.0.1"
}

func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out)
}
