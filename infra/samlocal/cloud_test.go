package samlocal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

// switchName is the kill switch's name in the template.
const switchName = "/${AWS::StackName}/mode"

const registryToken = "local-token" // of a server that lives as long as the test

// Ports of infra/env.local.json. Here each is replaced by a free one: somebody may use them.
const (
	portDynamoDB  = "8000"
	portMinistack = "4566"
	portRegistry  = "8080"
	portWeb       = "8081" // the simulated internet's RDAP and bootstrap
	portDNS       = "5300"
)

// cloud is everything around the functions, as this process sees it.
type cloud struct {
	host     string // the address that containers reach
	cfg      aws.Config
	settings map[string]map[string]string // infra/env.local.json
	store    *dynamo.Store
	queue    *sqs.Client
	queueURL string
	deadURL  string // the dead letters
	params   *ssm.Client
	registry *refregistry.Server
	net      *sim.Internet
	seen     recorder
	ports    map[string]string // as the file names it -> as it is
}

// openCloud starts the servers on the address that containers reach, with the tables, the queue and the
// parameters that infra/env.local.json names.
func openCloud(t *testing.T, root string, world sim.World, rows []refregistry.Row) *cloud {
	t.Helper()
	c := &cloud{host: hostAddress(t), cfg: emulator.Config(t), ports: map[string]string{}}
	c.cfg.Region = region
	// What SAM gives a function where it finds no credentials: the emulators keep accounts apart by the key.
	c.cfg.Credentials = credentials.NewStaticCredentialsProvider("defaultkey", "defaultsecret", "")
	data, err := os.ReadFile(filepath.Join(root, "infra", "env.local.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &c.settings); err != nil {
		t.Fatalf("env.local.json: %v", err)
	}
	common := c.settings["Parameters"]
	domains, records := common["LAPSEGUARD_TABLE_DOMAINS"], common["LAPSEGUARD_TABLE_RECORDS"]
	index := emulator.NamedTables(t, c.cfg, domains, records)
	c.store = dynamo.New(dynamodb.NewFromConfig(c.cfg), dynamo.Config{DomainsTable: domains, RecordsTable: records, IndexName: index, Now: time.Now})
	c.queue = sqs.NewFromConfig(c.cfg)
	c.queueURL, _ = emulator.NewQueue(t, c.cfg, emulator.Queue{Name: filepath.Base(common["LAPSEGUARD_QUEUE_URL"]), VisibilitySeconds: 1800})
	c.deadURL, _ = emulator.NewQueue(t, c.cfg, emulator.Queue{Name: filepath.Base(c.settings["CheckerFunction"]["LAPSEGUARD_DEAD_LETTERS_URL"]), VisibilitySeconds: 1800})
	c.params = ssm.NewFromConfig(c.cfg)
	c.set(t, c.settings["FanoutFunction"]["LAPSEGUARD_REGISTRY_TOKEN_PARAMETER"], registryToken, ssmtypes.ParameterTypeSecureString)
	c.setMode(t, "observe")

	c.listen(t, portDynamoDB, c.seen.proxy(t, emulator.URL(t, emulator.DynamoDB)))
	c.listen(t, portMinistack, c.seen.proxy(t, emulator.URL(t, emulator.Ministack)))
	if c.registry, err = refregistry.Open(refregistry.Config{Path: ":memory:", Token: registryToken, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.registry.Close() })
	if err := c.registry.Load(t.Context(), slices.Values(rows)); err != nil {
		t.Fatal(err)
	}
	c.listen(t, portRegistry, c.seen.plain(c.registry.Handler()))
	if c.net, err = sim.New(world, sim.Config{Now: time.Now, Host: c.host}); err != nil {
		t.Fatal(err)
	}
	if err := c.net.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.net.Close)
	_, c.ports[portDNS], _ = net.SplitHostPort(c.net.DNSAddr())
	c.ports[portWeb] = portOf(t, c.net.BootstrapURL())
	return c
}

// listen serves on the address that containers reach, in place of a port of env.local.json.
func (c *cloud) listen(t *testing.T, port string, h http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(c.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	t.Cleanup(func() { _ = server.Close() })
	c.ports[port] = portOf(t, "http://"+l.Addr().String()+"/")
}

func portOf(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r.URL.Port()
}

var hostPort = regexp.MustCompile(`host\.docker\.internal:(\d+)`)

// environment writes env.local.json with the ports of this run.
func (c *cloud) environment(t *testing.T, dir string) string {
	t.Helper()
	data, err := json.Marshal(c.settings)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	text := hostPort.ReplaceAllStringFunc(string(data), func(at string) string {
		port := hostPort.FindStringSubmatch(at)[1]
		used[port] = true
		if c.ports[port] == "" {
			t.Errorf("env.local.json: nothing is known of port %s", port)
		}
		return "host.docker.internal:" + c.ports[port]
	})
	for port := range c.ports {
		if !used[port] {
			t.Errorf("env.local.json does not name port %s", port)
		}
	}
	path := filepath.Join(dir, "env.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// names lead from what things are called here to the template's names.
func (c *cloud) names() map[string]string {
	common, applier := c.settings["Parameters"], c.settings["ApplierFunction"]
	return map[string]string{
		common["LAPSEGUARD_TABLE_DOMAINS"]: "DomainsTable", common["LAPSEGUARD_TABLE_RECORDS"]: "RecordsTable",
		filepath.Base(common["LAPSEGUARD_QUEUE_URL"]): "ChecksQueue", applier["LAPSEGUARD_MODE_PARAMETER"]: switchName,
		applier["LAPSEGUARD_REGISTRY_TOKEN_PARAMETER"]:                              "${RegistryTokenParameter}",
		filepath.Base(c.settings["CheckerFunction"]["LAPSEGUARD_DEAD_LETTERS_URL"]): "DeadLettersQueue",
	}
}

func (c *cloud) set(t *testing.T, name, value string, kind ssmtypes.ParameterType) {
	t.Helper()
	in := &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind, Overwrite: aws.Bool(true)}
	if _, err := c.params.PutParameter(t.Context(), in); err != nil {
		t.Fatalf("set %s: %v", name, err)
	}
}

// setMode turns the kill switch.
func (c *cloud) setMode(t *testing.T, mode string) {
	t.Helper()
	c.set(t, c.settings["ApplierFunction"]["LAPSEGUARD_MODE_PARAMETER"], mode, ssmtypes.ParameterTypeString)
}

// domain reads one domain's item from the table.
func (c *cloud) matter(t *testing.T, name string) records.Matter {
	t.Helper()
	m, err := records.In(c.store).Matter(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (c *cloud) domain(t *testing.T, name string) records.Domain {
	t.Helper()
	return c.matter(t, name).Domain
}

// receive takes what is in the queue, one batch, as the event source mapping would hand it to the function.
func (c *cloud) receive(t *testing.T) events.SQSEvent {
	t.Helper()
	return c.receiveFrom(t, c.queueURL)
}

func (c *cloud) receiveFrom(t *testing.T, url string) events.SQSEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var e events.SQSEvent
	for len(e.Records) < 10 {
		out, err := c.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			e.Records = append(e.Records, events.SQSMessage{
				MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes, Md5OfBody: *m.MD5OfBody,
				EventSource: "aws:sqs", EventSourceARN: "arn:aws:sqs:" + region + ":000000000000:lapseguard-checks.fifo", AWSRegion: region,
			})
		}
	}
	return e
}

// remove deletes what was answered.
func (c *cloud) remove(t *testing.T, e events.SQSEvent) {
	t.Helper()
	for _, m := range e.Records {
		if _, err := c.queue.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &c.queueURL, ReceiptHandle: &m.ReceiptHandle}); err != nil {
			t.Fatalf("delete message: %v", err)
		}
	}
}

// groups are the message groups of a batch, sorted, with how many messages each has.
func groups(e events.SQSEvent) string {
	count := map[string]int{}
	for _, m := range e.Records {
		count[m.Attributes["MessageGroupId"]]++
	}
	var parts []string
	for _, g := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%s ×%d", g, count[g]))
	}
	return strings.Join(parts, ", ")
}
