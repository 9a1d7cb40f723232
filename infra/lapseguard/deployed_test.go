package main

import (
	"html"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

// TestMain takes the caller's settings of the command away: an audit of theirs must not reach the internet from here.
func TestMain(m *testing.M) {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		ofTests := slices.Contains([]string{"LAPSEGUARD_STRICT", "LAPSEGUARD_NO_EMULATORS", "LAPSEGUARD_TOOLS"}, name)
		if strings.HasPrefix(name, "LAPSEGUARD_") && !ofTests {
			_ = os.Unsetenv(name) // it is set, and so can be unset
		}
	}
	os.Exit(emulator.Main(m, emulator.DynamoDB))
}

// TestDeployedTablesTellTheSame: explain and holds read a deployed guard's tables as they read a local store.
func TestDeployedTablesTellTheSame(t *testing.T) {
	cfg := emulator.Config(t)
	domains, table, index := emulator.Tables(t, cfg)
	deployed := dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{DomainsTable: domains, RecordsTable: table, IndexName: index})
	d := lapsed("gone.com")
	now := time.Now().UTC()
	writes := []store.Write{
		d.Put(), records.PutHold(safety.Hold{Domain: d.Name, Why: "a crowd", Since: present, DecisionID: string(d.Decision()), Class: "a/redemption"}),
		records.PutEntry(d.Name, records.Entry{At: now, What: "recheck", By: "Jo", Sentence: "recheck: soon"}, 0),
	}
	for _, w := range writes {
		if err := deployed.Write(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	local := storeOf(t, writes...)
	keys, err := cfg.Credentials.Retrieve(t.Context()) // the emulator keeps each key's tables apart
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": emulator.URL(t, emulator.DynamoDB), "AWS_REGION": cfg.Region, "AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(k, v)
	}
	for _, args := range [][]string{{"explain", "gone.com", "--now", present.Format(time.RFC3339)}, {"holds"}} {
		want, stderr, code := demonstrate(t, append(args, "--state", local)...)
		if code != 0 {
			t.Fatal(stderr)
		}
		got, stderr, code := demonstrate(t, append(args, "--domains-table", domains, "--records-table", table)...)
		if code != 0 || got != want {
			t.Errorf("%v: exit %d %s\n%s\nwant, as from the local store,\n%s", args, code, stderr, got, want)
		}
	}
	at := []string{"--domains-table", domains, "--records-table", table}
	for want, args := range map[string][]string{"1 hold waits for a decision": {"status"}, `"domain":"gone.com"`: {"explain", "gone.com", "--format", "json"}, `make approve DOMAIN=gone.com BY=`: {"report", "--html", "-"}} {
		out, stderr, code := demonstrate(t, append(args, at...)...)
		if code != 0 || !strings.Contains(html.UnescapeString(out), want) || strings.Contains(out, "mode ") && args[0] == "status" {
			t.Errorf("%v: exit %d %s, want %q\n%s", args, code, stderr, want, out)
		}
	}
	if _, stderr, code := demonstrate(t, "explain", "gone.com", "--domains-table", domains); code != 2 || stderr == "" {
		t.Errorf("one table alone: exit %d %s", code, stderr)
	}
}
