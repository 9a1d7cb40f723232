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

	mu      sync.Mutex
	callers map[string]string          // function's folder by access key
	grants  map[string]map[string]bool // by folder: action and resource
	seen    map[string]map[string]int
	refused []string
}

// openGate listens on loopback. Until learn it refuses everything.
func openGate(t *testing.T, who aws.Credentials) (g *gate, url string) {
	t.Helper()
	ministack := emulator.URL(t, emulator.Ministack)
	g = &gate{account: who.AccessKeyID, who: who, targets: map[string]string{
		"dynamodb": emulator.URL(t, emulator.DynamoDB), "sqs": ministack, "ssm": ministack,
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
	callers, grants, seen := map[string]string{}, map[string]map[string]bool{}, map[string]map[string]int{}
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

// grantsOf lists what policies allow. There are no wildcards in them: the template's checks see to that.
func grantsOf(policies any) map[string]bool {
	grants := map[string]bool{}
	list, _ := policies.([]any)
	for _, p := range list {
		document, _ := p.(in)["PolicyDocument"].(in)
		statements, _ := document["Statement"].([]any)
		for _, s := range statements {
			s, _ := s.(in)
			for _, action := range flat(s["Action"]) {
				for _, resource := range flat(s["Resource"]) {
					grants[action+" "+resource] = s["Effect"] == "Allow"
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
	calls, err := g.calls(r.Header.Get("X-Amz-Target"), body)
	if err != nil {
		g.refuse(w, err.Error())
		return
	}
	for _, call := range calls {
		if who, ok := g.allowed(m[1], call); !ok {
			g.refuse(w, fmt.Sprintf("%s may not %s", who, call))
			return
		}
	}
	if err := g.pass(r.Context(), w, r.Header, m[2], body); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func (g *gate) allowed(key, call string) (who string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	folder, known := g.callers[key]
	if !known {
		return "somebody unknown", false
	}
	g.seen[folder][call]++
	return folder, g.grants[folder][call]
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

// calls are the actions of one call, as IAM names them, each with its resource.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
func (g *gate) calls(target string, body []byte) (calls []string, err error) {
	service, operation, _ := strings.Cut(target, ".")
	var call struct {
		TableName, IndexName, QueueURL, Name string
		RequestItems                         map[string]json.RawMessage
		TransactItems                        []map[string]struct{ TableName string }
	}
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, fmt.Errorf("a call of %s that is no JSON: %w", target, err)
	}
	where := emulator.Region + ":" + g.account
	table := func(action, name string) {
		calls = append(calls, "dynamodb:"+action+" arn:aws:dynamodb:"+where+":table/"+name)
	}
	switch service {
	case "DynamoDB_20120810":
		for _, item := range call.TransactItems {
			for kind, what := range item {
				table(map[string]string{"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}[kind], what.TableName)
			}
		}
		for name := range call.RequestItems {
			table(operation, name)
		}
		if call.IndexName != "" {
			call.TableName += "/index/" + call.IndexName
		}
		if call.TableName != "" {
			table(operation, call.TableName)
		}
	case "AmazonSQS":
		name := call.QueueURL[strings.LastIndexByte(call.QueueURL, '/')+1:]
		calls = []string{"sqs:" + strings.TrimSuffix(operation, "Batch") + " arn:aws:sqs:" + where + ":" + name}
	case "AmazonSSM":
		calls = []string{"ssm:" + operation + " arn:aws:ssm:" + where + ":parameter" + call.Name}
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
	g := &gate{account: "1", callers: map[string]string{"ASIAX": "fanout"}, seen: map[string]map[string]int{"fanout": {}}, grants: map[string]map[string]bool{
		"fanout": grantsOf([]any{in{"PolicyDocument": in{"Statement": []any{
			in{"Effect": "Allow", "Action": []any{"dynamodb:PutItem", "sqs:SendMessage"}, "Resource": []any{"arn:aws:dynamodb:us-east-1:1:table/t", "arn:aws:sqs:us-east-1:1:q.fifo"}},
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
