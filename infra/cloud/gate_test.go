package cloud

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/infra/template"
)

// maxCall bounds a call: DynamoDB takes 16 MB at most.
const maxCall = 17 << 20

// gate stands between the functions and the emulators, and allows what the caller's role allows, by AWS's rules.
// ministack's own judgement is not used: it wants sqs:SendMessageBatch, which IAM does not know (a batch needs
// sqs:SendMessage), and DynamoDB Local has none.
type gate struct {
	account string
	targets map[string]string // URL by service
	who     aws.Credentials   // of the account, which calls are passed on with
	faults  *faults           // what becomes of the calls on their way
	meter   *meter            // what they are charged with

	mu      sync.Mutex
	callers map[string]string           // function's folder by access key
	grants  map[string]map[string]grant // by folder: action and resource
	seen    map[string]map[string]int
	refused []string
}

// openGate listens on loopback. Until learn it refuses everything.
func openGate(t *testing.T, who aws.Credentials) (g *gate, url string) {
	t.Helper()
	ministack := emulator.URL(t, emulator.Ministack)
	g = &gate{account: who.AccessKeyID, who: who, targets: map[string]string{
		"dynamodb": emulator.URL(t, emulator.DynamoDB), "sqs": ministack, "ssm": ministack, "sns": ministack,
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	t.Cleanup(func() { _ = server.Close() })
	return g, "http://" + l.Addr().String()
}

// learn reads the functions' roles from the account.
func (c *cloud) learn(t *testing.T) {
	t.Helper()
	callers, grants, seen := map[string]string{}, map[string]map[string]grant{}, map[string]map[string]int{}
	for _, folder := range folders {
		f := c.deployed(t, "AWS::Lambda::Function", c.physical[template.FunctionID(folder)])
		arn, role := f["FunctionArn"].(string), f["Role"].(string)
		// How ministack names the session of a function's role.
		sum := sha256.Sum256([]byte(arn + ":" + role))
		callers["ASIA"+strings.ToUpper(hex.EncodeToString(sum[:]))[:16]] = folder
		grants[folder] = grantsOf(c.role(t, role[strings.LastIndexByte(role, '/')+1:])["Policies"])
		seen[folder] = map[string]int{}
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.callers, c.gate.grants, c.gate.seen = callers, grants, seen
}

// grant is what policies say of one action on one resource.
type grant struct {
	denied   bool
	any      bool     // whatever the key
	patterns []string // of the partition keys (dynamodb:LeadingKeys), where it is not any
}

// covers tells whether every key is one that the grant is about. An asterisk stands at a pattern's end alone: the
// template's checks see to that.
func (g grant) covers(keys []string) bool {
	if g.denied || g.any {
		return !g.denied
	}
	like := func(key string) bool {
		return slices.ContainsFunc(g.patterns, func(p string) bool {
			prefix, open := strings.CutSuffix(p, "*")
			return p == key || open && strings.HasPrefix(key, prefix)
		})
	}
	// AWS lets ForAllValues pass where there is no key at all; no call that needs one is without.
	return len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return !like(k) })
}

// grantsOf lists what policies say. There are no wildcards in actions and resources, and one kind of condition: the
// template's checks see to that.
func grantsOf(policies any) map[string]grant {
	grants := map[string]grant{}
	list, _ := policies.([]any)
	for _, p := range list {
		document, _ := p.(in)["PolicyDocument"].(in)
		statements, _ := document["Statement"].([]any)
		for _, s := range statements {
			s, _ := s.(in)
			for _, action := range flat(s["Action"]) {
				for _, resource := range flat(s["Resource"]) {
					g := grants[action+" "+resource]
					condition, conditional := s["Condition"].(in)
					like, _ := condition["ForAllValues:StringLike"].(in)
					switch {
					case s["Effect"] != "Allow":
						g.denied = true
					case conditional:
						g.patterns = append(g.patterns, flat(like["dynamodb:LeadingKeys"])...)
					default:
						g.any = true
					}
					grants[action+" "+resource] = g
				}
			}
		}
	}
	return grants
}

var credential = regexp.MustCompile(`Credential=([A-Z0-9]+)/[0-9]{8}/[a-z0-9-]+/([a-z]+)/aws4_request`)

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
	if err != nil {
		return // the caller went away
	}
	m := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		g.refuse(w, "an unsigned call of "+r.Header.Get("X-Amz-Target"))
		return
	}
	target := r.Header.Get("X-Amz-Target")
	if m[2] == "sns" { // the older protocol names the action in a form
		target = "AmazonSNS.Query"
	}
	calls, err := g.calls(target, body)
	if err != nil {
		g.refuse(w, err.Error())
		return
	}
	for _, call := range calls {
		if who, ok := g.allowed(m[1], call); !ok {
			g.refuse(w, fmt.Sprintf("%s may not %s, keys %q", who, call.what, call.keys))
			return
		}
	}
	_, operation, _ := strings.Cut(target, ".")
	err = g.faults.spoil(w, m[2], operation, body, func(w http.ResponseWriter) error {
		return g.meter.pass(w, g.caller(m[1]), m[2], operation, body, func(w http.ResponseWriter, body []byte) error { return g.pass(r.Context(), w, r.Header, m[2], body) })
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func (g *gate) allowed(key string, c call) (who string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	folder, known := g.callers[key]
	if !known {
		return "somebody unknown", false
	}
	g.seen[folder][c.what]++
	return folder, g.grants[folder][c.what].covers(c.keys)
}

// caller is the folder of the function that has an access key.
func (g *gate) caller(key string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.callers[key]
}

func (g *gate) refuse(w http.ResponseWriter, why string) {
	g.mu.Lock()
	g.refused = append(g.refused, why)
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": "AccessDeniedException", "message": why}) // to a caller that may be gone
}

// pass puts the call to the emulator in the account's own name.
func (g *gate) pass(ctx context.Context, w http.ResponseWriter, header http.Header, service string, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, g.targets[service]+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, name := range []string{"Content-Type", "X-Amz-Target", "Accept-Encoding", "X-Amzn-Query-Mode"} {
		if v := header.Get(name); v != "" {
			q.Header.Set(name, v)
		}
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, g.who, q, hex.EncodeToString(sum[:]), service, emulator.Region, time.Now()); err != nil {
		return err
	}
	a, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.StatusCode)
	_, err = io.Copy(w, a.Body)
	return err
}

// call is an action with its resource, as IAM names them, and the partition keys that it is about.
type call struct {
	what string
	keys []string
}

// keyed are the attributes of a key, or of an item with its key.
type keyed struct {
	PK struct{ S string } `json:"pk"`
}

// asked is what a call says of where it reads and writes.
type asked struct {
	TableName, IndexName, QueueURL, Name string
	Key, Item                            *keyed
	KeyConditionExpression               string
	ExpressionAttributeNames             map[string]string
	ExpressionAttributeValues            map[string]struct{ S string }
	RequestItems                         map[string]struct{ Keys []keyed }
	TransactItems                        []map[string]asked
}

// keys are the partition keys of one item, or of one query.
func (a asked) keys() (keys []string) {
	for _, k := range []*keyed{a.Key, a.Item} {
		if k != nil {
			keys = append(keys, k.PK.S)
		}
	}
	if strings.HasPrefix(a.KeyConditionExpression, "#pk = :pk") && a.ExpressionAttributeNames["#pk"] == "pk" {
		keys = append(keys, a.ExpressionAttributeValues[":pk"].S)
	}
	return keys
}

// transacted is how IAM names what a transaction does to an item.
var transacted = map[string]string{"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}

// calls are the actions of one call, each with its resource.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
func (g *gate) calls(target string, body []byte) (calls []call, err error) {
	service, operation, _ := strings.Cut(target, ".")
	if service == "AmazonSNS" {
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("Action") == "" {
			return nil, fmt.Errorf("a call of %q, which this test does not know", target)
		}
		return []call{{"sns:" + form.Get("Action") + " " + form.Get("TopicArn"), nil}}, nil
	}
	var a asked
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("a call of %s that is no JSON: %w", target, err)
	}
	where := emulator.Region + ":" + g.account
	table := func(action, name string, keys []string) {
		calls = append(calls, call{"dynamodb:" + action + " arn:aws:dynamodb:" + where + ":table/" + name, keys})
	}
	switch service {
	case "DynamoDB_20120810":
		for _, item := range a.TransactItems {
			for kind, what := range item {
				table(transacted[kind], what.TableName, what.keys())
			}
		}
		for name, what := range a.RequestItems {
			var keys []string
			for _, k := range what.Keys {
				keys = append(keys, k.PK.S)
			}
			table(operation, name, keys)
		}
		if a.IndexName != "" {
			a.TableName += "/index/" + a.IndexName
		}
		if a.TableName != "" {
			table(operation, a.TableName, a.keys())
		}
	case "AmazonSQS":
		name := a.QueueURL[strings.LastIndexByte(a.QueueURL, '/')+1:]
		calls = []call{{"sqs:" + strings.TrimSuffix(operation, "Batch") + " arn:aws:sqs:" + where + ":" + name, nil}}
	case "AmazonSSM":
		calls = []call{{"ssm:" + operation + " arn:aws:ssm:" + where + ":parameter" + a.Name, nil}}
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("a call of %q, which this test does not know", target)
	}
	return calls, nil
}

// rolesSuffice: nothing was refused, and what each role allows beside is told.
func (c *cloud) rolesSuffice(t *testing.T) {
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, why := range g.refused {
		t.Errorf("refused: %s", why)
	}
	for _, folder := range folders {
		n, unused := 0, []string{}
		for _, times := range g.seen[folder] {
			n += times
		}
		for call := range g.grants[folder] {
			// The last two are Lambda's own calls, for the event source and the logs.
			if g.seen[folder][call] == 0 && !strings.HasPrefix(call, "logs:") && !strings.Contains(call, "sqs:ReceiveMessage") &&
				!strings.Contains(call, "sqs:DeleteMessage") && !strings.Contains(call, "sqs:GetQueueAttributes") {
				unused = append(unused, call)
			}
		}
		slices.Sort(unused)
		t.Logf("%s: %d calls of %d kinds, all allowed by its role; allowed and not seen today: %v", folder, n, len(g.seen[folder]), unused)
		if n == 0 {
			t.Errorf("%s called nothing", folder)
		}
	}
}

// TestGateRefuses: what no policy allows, and whom it does not know.
func TestGateRefuses(t *testing.T) {
	g := &gate{account: "1", callers: map[string]string{"ASIAX": "fanout"}, seen: map[string]map[string]int{"fanout": {}}, grants: map[string]map[string]grant{
		"fanout": grantsOf([]any{in{"PolicyDocument": in{"Statement": []any{
			in{"Effect": "Allow", "Action": []any{"dynamodb:PutItem", "sqs:SendMessage"}, "Resource": []any{"arn:aws:dynamodb:us-east-1:1:table/t", "arn:aws:sqs:us-east-1:1:q.fifo"}},
			in{
				"Effect": "Allow", "Action": []any{"dynamodb:PutItem", "dynamodb:Query"}, "Resource": "arn:aws:dynamodb:us-east-1:1:table/keys",
				"Condition": in{"ForAllValues:StringLike": in{"dynamodb:LeadingKeys": []any{"seen/*", "parked"}}},
			},
			in{"Effect": "Deny", "Action": "ssm:GetParameter", "Resource": "arn:aws:ssm:us-east-1:1:parameter/a/b"},
		}}}}),
	}}
	for name, c := range map[string]struct {
		key, target, body string
		ok                bool
	}{
		"item":           {"ASIAX", "DynamoDB_20120810.PutItem", `{"TableName":"t"}`, true},
		"batch":          {"ASIAX", "AmazonSQS.SendMessageBatch", `{"QueueUrl":"http://h/1/q.fifo"}`, true},
		"other table":    {"ASIAX", "DynamoDB_20120810.PutItem", `{"TableName":"u"}`, false},
		"index":          {"ASIAX", "DynamoDB_20120810.Query", `{"TableName":"t","IndexName":"i"}`, false},
		"half of a pair": {"ASIAX", "DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"t"}},{"Delete":{"TableName":"t"}}]}`, false},
		"a key":          {"ASIAX", "DynamoDB_20120810.PutItem", `{"TableName":"keys","Item":{"pk":{"S":"seen/a"}}}`, true},
		"a whole key":    {"ASIAX", "DynamoDB_20120810.PutItem", `{"TableName":"keys","Item":{"pk":{"S":"parked"}}}`, true},
		"a longer key":   {"ASIAX", "DynamoDB_20120810.PutItem", `{"TableName":"keys","Item":{"pk":{"S":"parked2"}}}`, false},
		"another key":    {"ASIAX", "DynamoDB_20120810.PutItem", `{"TableName":"keys","Item":{"pk":{"S":"guard"}}}`, false},
		"no key":         {"ASIAX", "DynamoDB_20120810.PutItem", `{"TableName":"keys"}`, false},
		"a query":        {"ASIAX", "DynamoDB_20120810.Query", `{"TableName":"keys","KeyConditionExpression":"#pk = :pk","ExpressionAttributeNames":{"#pk":"pk"},"ExpressionAttributeValues":{":pk":{"S":"seen/b"}}}`, true},
		"another query":  {"ASIAX", "DynamoDB_20120810.Query", `{"TableName":"keys","KeyConditionExpression":"#pk = :pk","ExpressionAttributeNames":{"#pk":"pk"},"ExpressionAttributeValues":{":pk":{"S":"guard"}}}`, false},
		"one of a pair":  {"ASIAX", "DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"keys","Item":{"pk":{"S":"parked"}}}},{"Put":{"TableName":"keys","Item":{"pk":{"S":"guard"}}}}]}`, false},
		"denied":         {"ASIAX", "AmazonSSM.GetParameter", `{"Name":"/a/b"}`, false},
		"other service":  {"ASIAX", "AmazonSNS.Publish", `{}`, false},
		"stranger":       {"ASIAY", "DynamoDB_20120810.PutItem", `{"TableName":"t"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := g.calls(c.target, []byte(c.body))
			ok := err == nil
			for _, call := range calls {
				_, allowed := g.allowed(c.key, call)
				ok = ok && allowed
			}
			if ok != c.ok {
				t.Errorf("%v, %v: allowed %t, want %t", calls, err, ok, c.ok)
			}
		})
	}
}
