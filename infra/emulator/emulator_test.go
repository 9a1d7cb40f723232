package emulator

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(m.Run()) // the helper starts one itself
	}
	os.Exit(Main(m, DynamoDB, Ministack, ElasticMQ))
}

func TestAccountsAreApart(t *testing.T) {
	t.Parallel()
	one, two := Config(t), Config(t)
	domains, records, index := Tables(t, one)
	url, dead := NewQueue(t, one, Queue{VisibilitySeconds: 1})
	if domains == records || index == "" || url == dead {
		t.Errorf("tables %q %q, index %q, queues %q %q", domains, records, index, url, dead)
	}
	for i, cfg := range []aws.Config{one, two} {
		tables, err := dynamodb.NewFromConfig(cfg).ListTables(t.Context(), &dynamodb.ListTablesInput{})
		if err != nil {
			t.Fatal(err)
		}
		queues, err := sqs.NewFromConfig(cfg).ListQueues(t.Context(), &sqs.ListQueuesInput{})
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 - 2*i; len(tables.TableNames) != want || len(queues.QueueUrls) != want {
			t.Errorf("account %d has tables %v and queues %v, want %d of each", i, tables.TableNames, queues.QueueUrls, want)
		}
	}
}

func TestElasticMQ(t *testing.T) {
	t.Parallel()
	cfg := ElasticMQConfig(t)
	url, _ := NewQueue(t, cfg, Queue{VisibilitySeconds: 1})
	queues, err := sqs.NewFromConfig(cfg).ListQueues(t.Context(), &sqs.ListQueuesInput{})
	if err != nil || !strings.Contains(strings.Join(queues.QueueUrls, " "), url) {
		t.Errorf("%v, %v", queues, err)
	}
}

func TestNotInstalled(t *testing.T) {
	t.Parallel()
	for _, s := range []Service{DynamoDB, Ministack, ElasticMQ} {
		_, err := launch(s, t.TempDir(), t.TempDir())
		if err == nil || !strings.Contains(err.Error(), "make tools") || !strings.Contains(err.Error(), string(s)) || !strings.Contains(err.Error(), EnvNone) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := launch("moto", t.TempDir(), t.TempDir()); err == nil {
		t.Error("an unknown service was started")
	}
}

// What a service said before it failed is in the error.
func TestFailsToStart(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	bin := filepath.Join(tools, "ministack", "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"no module named x, AWS=$AWS_ACCESS_KEY_ID\" >&2\nexit 3\n"
	if err := os.WriteFile(filepath.Join(bin, "ministack"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := launch(Ministack, tools, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ready(); err == nil || !strings.Contains(err.Error(), "no module named x, AWS=\n") || !strings.Contains(err.Error(), "exited") {
		t.Errorf("error %v", err)
	}
	p.kill()
}

func TestTail(t *testing.T) {
	t.Parallel()
	var out tail
	for i := range 3000 {
		fmt.Fprintf(&out, "line %d\n", i)
	}
	if s := out.String(); len(s) != tailBytes || !strings.HasSuffix(s, "line 2999\n") {
		t.Errorf("%d bytes, the end is %q", len(s), s[len(s)-20:])
	}
}

// The SDK's body can write itself to a connection, which is what must not be seen.
func TestPlainBody(t *testing.T) {
	t.Parallel()
	seen := ""
	c := plainBody{clientFunc(func(r *http.Request) (*http.Response, error) {
		if _, ok := r.Body.(io.WriterTo); ok {
			t.Error("the body is an io.WriterTo")
		}
		b, err := io.ReadAll(r.Body)
		seen = string(b)
		return nil, err
	})}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1", strings.NewReader("text"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Body.(io.WriterTo); !ok {
		t.Error("the body was none before: the test is blind")
	}
	if _, err := c.Do(r); err != nil || seen != "text" {
		t.Errorf("body %q, %v", seen, err)
	}
}

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// helperEnv makes this test binary a process that starts a service and waits to be killed.
const helperEnv = "EMULATOR_TEST_HELPER"

// A test binary that is killed takes its services with it.
func TestDiesWithParent(t *testing.T) {
	if os.Getenv(helperEnv) != "" {
		stop, err := start([]Service{Ministack})
		defer stop()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("url", running.urls[Ministack])
		select {} // until it is killed
	}
	t.Parallel()
	URL(t, Ministack) // installed, or the test is skipped
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process with its parent")
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDiesWithParent$", "-test.v=false")
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, url := bufio.NewScanner(out), ""
	for url == "" && lines.Scan() {
		url, _ = strings.CutPrefix(lines.Text(), "url ")
	}
	if !answers(ctx, url, "AmazonSQS.ListQueues", "sqs") {
		t.Fatalf("%q does not answer", url)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for answers(ctx, url, "AmazonSQS.ListQueues", "sqs") {
	}
	if ctx.Err() != nil {
		t.Errorf("%s still answers", url)
	}
}
