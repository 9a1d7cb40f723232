package emulator

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/logging"

	"github.com/lapseguard/lapseguard/infra/template"
)

// Region that the emulators are asked in.
const Region = "us-east-1"

// secret is every account's secret key.
const secret = "secret" // #nosec G101 -- of emulators on loopback

// URL is where a service that Main started listens. The test is skipped where emulators are left out.
func URL(t testing.TB, s Service) string {
	t.Helper()
	if running.skip {
		t.Skipf("needs %s, left out for %s=1", s, EnvNone)
	}
	url := running.urls[s]
	if url == "" {
		t.Fatalf("%s is not started: name it in this package's TestMain, emulator.Main(m, ...)", s)
	}
	return url
}

// Python is the Python that runs ministack, which has boto3 and aws-sam-translator. The test is skipped where
// emulators are left out.
func Python(t testing.TB) string {
	t.Helper()
	URL(t, Ministack)
	tools, err := toolsDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tools, "ministack", "bin", "python")
}

// Config is the SDK's configuration for a fresh, empty account: DynamoDB from DynamoDB Local, all else from
// ministack. Both keep accounts apart, so tests that use it may run in parallel. It reads no environment but
// AWS_ENDPOINT_URL*, which must not be set. The test is skipped where emulators are left out.
func Config(t testing.TB) aws.Config {
	t.Helper()
	e := endpoints{}
	for id, s := range map[string]Service{"DynamoDB": DynamoDB, "SQS": Ministack, "SSM": Ministack, "CloudFormation": Ministack} {
		if running.skip || running.urls[s] != "" {
			e[id] = URL(t, s)
		}
	}
	cfg := newConfig()
	cfg.ConfigSources = []any{e}
	return cfg
}

// ElasticMQConfig is the SDK's configuration for ElasticMQ. It has one account: name queues apart, as NewQueue does.
func ElasticMQConfig(t testing.TB) aws.Config {
	t.Helper()
	cfg := newConfig()
	cfg.BaseEndpoint = aws.String(URL(t, ElasticMQ))
	return cfg
}

func newConfig() aws.Config {
	key := fmt.Sprint(100000000000 + running.account.Add(1)) // twelve digits: ministack takes it for the account
	return aws.Config{
		Region:      Region,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
		HTTPClient:  plainBody{awshttp.NewBuildableClient()},
		Logger:      logging.Nop{}, // DynamoDB Local's errors carry a wrong checksum, each is a warning
	}
}

// endpoints tells the SDK where each service is, by service id.
type endpoints map[string]string

// GetServiceBaseEndpoint implements the SDK's source of endpoints.
func (e endpoints) GetServiceBaseEndpoint(_ context.Context, id string) (string, bool, error) {
	url, ok := e[id]
	return url, ok, nil
}

// plainBody hides io.WriterTo of a request's body, as production does (shared/cloud): with it the SDK can close
// a body that net/http still reads from, and take the answer for lost.
type plainBody struct{ next aws.HTTPClient }

// Do implements aws.HTTPClient.
func (c plainBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.next.Do(r)
}

// Tables makes the two tables as template.yaml defines them (keys, index; no TTL, which would make tests depend
// on the emulator's clock) and returns their names and the index's.
func Tables(t testing.TB, cfg aws.Config) (domains, records, index string) {
	t.Helper()
	n := running.account.Add(1)
	domains, records = fmt.Sprintf("DomainsTable-%d", n), fmt.Sprintf("RecordsTable-%d", n)
	return domains, records, NamedTables(t, cfg, domains, records)
}

// NamedTables is Tables under given names, for a fresh account.
func NamedTables(t testing.TB, cfg aws.Config, domains, records string) (index string) {
	t.Helper()
	tmpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	client := dynamodb.NewFromConfig(cfg)
	for logical, name := range map[string]string{"DomainsTable": domains, "RecordsTable": records} {
		in := tableInput(t, tmpl, logical, name)
		if _, err := client.CreateTable(t.Context(), in); err != nil {
			t.Fatalf("create %s: %v", logical, err)
		}
		for _, g := range in.GlobalSecondaryIndexes {
			index = *g.IndexName
		}
	}
	return index
}

func tableInput(t testing.TB, tmpl *template.Template, logical, name string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest}
	for _, a := range list(tmpl.Property(logical, "AttributeDefinitions")) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(str(t, a["AttributeName"])), AttributeType: types.ScalarAttributeType(str(t, a["AttributeType"])),
		})
	}
	in.KeySchema = keySchema(t, tmpl.Property(logical, "KeySchema"))
	for _, g := range list(tmpl.Property(logical, "GlobalSecondaryIndexes")) {
		projection, _ := g["Projection"].(map[string]any)
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String(str(t, g["IndexName"])), KeySchema: keySchema(t, g["KeySchema"]),
			Projection: &types.Projection{ProjectionType: types.ProjectionType(str(t, projection["ProjectionType"]))},
		})
	}
	return in
}

func keySchema(t testing.TB, v any) []types.KeySchemaElement {
	var keys []types.KeySchemaElement
	for _, k := range list(v) {
		keys = append(keys, types.KeySchemaElement{
			AttributeName: aws.String(str(t, k["AttributeName"])), KeyType: types.KeyType(str(t, k["KeyType"])),
		})
	}
	if len(keys) == 0 {
		t.Fatal("template.yaml: a table or index has no KeySchema")
	}
	return keys
}

func list(v any) []map[string]any {
	raw, _ := v.([]any)
	var out []map[string]any
	for _, e := range raw {
		m, _ := e.(map[string]any)
		out = append(out, m)
	}
	return out
}

func str(t testing.TB, v any) string {
	s, ok := v.(string)
	if !ok || s == "" {
		t.Fatalf("template.yaml: %v where a text is wanted", v)
	}
	return s
}

// Queue says where NewQueue differs from template.yaml.
type Queue struct {
	VisibilitySeconds int // time-out; tests wait it out in real time
	MaxReceive        int // receives before the dead-letter queue; 0: as template.yaml says
	// Name of the queue, for a fresh account; empty: a name of its own.
	Name string
}

// NewQueue makes the queue of checks and its dead-letter queue as template.yaml defines them (but for retention
// and encryption, which the emulators do not have) and returns their URLs.
func NewQueue(t testing.TB, cfg aws.Config, q Queue) (url, dead string) {
	t.Helper()
	tmpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	const logical = "ChecksQueue"
	defined := tmpl.Queue(logical)
	if q.MaxReceive == 0 {
		q.MaxReceive = defined.MaxReceive
	}
	client := sqs.NewFromConfig(cfg)
	n := running.account.Add(1)
	dead = createQueue(t, client, fmt.Sprintf("dead-%d.fifo", n), nil)
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]string{
		"VisibilityTimeout": fmt.Sprint(q.VisibilitySeconds),
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`, out.Attributes["QueueArn"], q.MaxReceive),
	}
	for _, name := range []string{"ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"} {
		attributes[name] = fmt.Sprint(tmpl.Property(logical, name))
	}
	url = createQueue(t, client, cmp.Or(q.Name, fmt.Sprintf("checks-%d.fifo", n)), attributes)
	return url, dead
}

func createQueue(t testing.TB, client *sqs.Client, name string, attributes map[string]string) string {
	t.Helper()
	all := map[string]string{"FifoQueue": "true"}
	maps.Copy(all, attributes)
	out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: all})
	if err != nil {
		t.Fatalf("create queue %s: %v", name, err)
	}
	return *out.QueueUrl
}
