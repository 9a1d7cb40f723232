package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/shared/cloud"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

// envChild makes this test binary one of two checkers: what it holds is the bootstrap file.
const envChild = "LAPSEGUARD_TEST_CHECKER"

func TestMain(m *testing.M) {
	if bootstrap := os.Getenv(envChild); bootstrap != "" {
		if err := child(bootstrap); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(emulator.Main(m, emulator.DynamoDB))
}

const (
	checkers  = 2
	questions = 20 // of each checker
	perSecond = 20
)

// child asks as a checker does: with a store of its own on the table that both have.
func child(bootstrap string) error {
	aws, err := cloud.Load(os.Getenv)
	if err != nil {
		return err
	}
	table := dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{DomainsTable: os.Getenv("DOMAINS"), RecordsTable: os.Getenv("RECORDS")})
	c, err := checker.Sources{Bootstrap: bootstrap, RDAPRate: perSecond, StatusURL: checker.Off, Store: table, Now: time.Now, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}.Config()
	if err != nil {
		return err
	}
	base, _, _ := c.Servers.Server("test")
	m := queue.Message{Kind: queue.KindRDAP, Upstream: base, Group: base, Share: 1}
	for i := range questions {
		m.Domains = append(m.Domains, queue.Entry{Name: fmt.Sprintf("%s-%d.test", os.Getenv("WHO"), i)})
	}
	for _, o := range c.Ask[queue.KindRDAP].Ask(context.Background(), m) {
		if o.Outcome != source.Observed {
			return fmt.Errorf("%s: %s", o.Cause, o.Said)
		}
	}
	return nil
}

// TestTwoCheckersOneBudget: two processes at the same time ask one server no faster than one may.
func TestTwoCheckersOneBudget(t *testing.T) {
	cfg := emulator.Config(t)
	domains, records, _ := emulator.Tables(t, cfg)
	key, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var at []time.Time
	by := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		who, _, _ := strings.Cut(name, "-")
		mu.Lock()
		at = append(at, time.Now())
		by[who]++
		mu.Unlock()
		w.Header().Set("Content-Type", "application/rdap+json")
		_, _ = fmt.Fprintf(w, `{"objectClassName":"domain","ldhName":%q,"status":["active"]}`, name)
	}))
	t.Cleanup(server.Close)
	body, _ := json.Marshal(map[string]any{"services": [][][]string{{{"test"}, {server.URL + "/"}}}})
	bootstrap := filepath.Join(t.TempDir(), "dns.json")
	if err := os.WriteFile(bootstrap, body, 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range checkers {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) // #nosec G204 G702 -- this test itself
		cmd.Env = append(os.Environ(), envChild+"="+bootstrap, "WHO="+fmt.Sprint(n), "DOMAINS="+domains, "RECORDS="+records,
			"AWS_ENDPOINT_URL_DYNAMODB="+emulator.URL(t, emulator.DynamoDB), "AWS_REGION="+emulator.Region,
			"AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey, "AWS_EC2_METADATA_DISABLED=true")
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("checker %d: %v\n%s", n, err, out)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(at, time.Time.Compare)
	if len(at) != checkers*questions || by["0"] != questions || by["1"] != questions {
		t.Fatalf("the server counted %d questions, by %v", len(at), by)
	}
	const every = time.Second / perSecond
	took, slack := at[len(at)-1].Sub(at[0]), 4*every // the first may be late by two places, and the last two at once
	t.Logf("%d questions of %d processes in %s: %.1f a second of %d allowed", len(at), checkers, took, float64(len(at)-1)/took.Seconds(), perSecond)
	if want := time.Duration(len(at)-1)*every - slack; took < want {
		t.Errorf("took %s, at least %s were due", took, want)
	}
}
