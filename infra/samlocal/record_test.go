package samlocal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lapseguard/lapseguard/infra/template"
)

// maxRequest bounds a recorded request: DynamoDB takes 16 MB at most.
const maxRequest = 17 << 20

// recorder stands between the containers and the servers and notes what is called.
type recorder struct {
	mu    sync.Mutex
	calls map[call]int
	errs  []error
}

// call is one action on one resource: {"dynamodb:PutItem", "lapseguard-records"}, {"GET", "/v1/email-domains"}.
type call struct{ action, resource string }

// proxy passes requests on to an emulator of AWS and notes them.
func (r *recorder) proxy(t *testing.T, target string) http.Handler {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	next := httputil.NewSingleHostReverseProxy(u)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxRequest))
		if err != nil {
			r.note(nil, err)
			return
		}
		r.note(awsCalls(q.Header.Get("X-Amz-Target"), body))
		q.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, q)
	})
}

// plain notes requests of a server that is none of AWS's, by method and path.
func (r *recorder) plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.note([]call{{q.Method, q.URL.Path}}, nil)
		next.ServeHTTP(w, q)
	})
}

func (r *recorder) note(calls []call, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[call]int{}
	}
	for _, c := range calls {
		r.calls[c]++
	}
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// take gives what was called since the last time, and forgets it.
func (r *recorder) take(t *testing.T) map[call]int {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.errs {
		t.Errorf("recording: %v", err)
	}
	calls := r.calls
	r.calls, r.errs = nil, nil
	return calls
}

// sentence is what was called, in words.
func sentence(calls map[call]int) string {
	list := slices.SortedFunc(maps.Keys(calls), func(a, b call) int {
		return cmp.Or(strings.Compare(a.action, b.action), strings.Compare(a.resource, b.resource))
	})
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = fmt.Sprintf("%s %s ×%d", c.action, c.resource, calls[c])
	}
	return strings.Join(parts, ", ")
}

// awsCalls are the actions, as IAM names them, of one request in AWS's JSON protocol.
func awsCalls(target string, body []byte) ([]call, error) {
	service, operation, _ := strings.Cut(target, ".")
	var in struct {
		TableName, IndexName, QueueURL, Name string
		RequestItems                         map[string]json.RawMessage
		TransactItems                        []map[string]struct{ TableName string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	switch {
	case service == "DynamoDB_20120810" && in.TransactItems != nil:
		var calls []call
		for _, item := range in.TransactItems {
			for kind, what := range item {
				action := map[string]string{"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}[kind]
				calls = append(calls, call{"dynamodb:" + action, what.TableName})
			}
		}
		return calls, nil
	case service == "DynamoDB_20120810" && in.RequestItems != nil:
		var calls []call
		for table := range in.RequestItems {
			calls = append(calls, call{"dynamodb:" + operation, table})
		}
		return calls, nil
	case service == "DynamoDB_20120810" && in.IndexName != "":
		return []call{{"dynamodb:" + operation, in.TableName + "/index/" + in.IndexName}}, nil
	case service == "DynamoDB_20120810":
		return []call{{"dynamodb:" + operation, in.TableName}}, nil
	case service == "AmazonSQS":
		return []call{{"sqs:" + strings.TrimSuffix(operation, "Batch"), in.QueueURL[strings.LastIndexByte(in.QueueURL, '/')+1:]}}, nil
	case service == "AmazonSSM":
		return []call{{"ssm:" + operation, in.Name}}, nil
	default:
		return nil, fmt.Errorf("%q is no service that the template allows", target)
	}
}

// allowed tells whether the template's role of a function allows what it was seen to call: no emulator does.
// names leads from a resource's name here to the template's name for it.
func allowed(tpl *template.Template, folder string, c call, names map[string]string) bool {
	base, rest, _ := strings.Cut(c.resource, "/index/")
	logical := names[base]
	switch {
	case strings.HasPrefix(c.action, "ssm:"):
		for _, s := range tpl.Statements(strings.TrimSuffix(template.FunctionID(folder), "Function") + "Role") {
			for _, r := range s.Resources {
				if slices.Contains(s.Actions, c.action) && strings.HasSuffix(r, ":parameter"+names[c.resource]) {
					return true
				}
			}
		}
		return false
	case rest != "":
		return tpl.AllowedSome(folder, c.action, logical+"/index/"+rest)
	default:
		return tpl.AllowedSome(folder, c.action, logical) // the emulated account holds calls to their keys
	}
}

func TestAWSCalls(t *testing.T) {
	for name, c := range map[string]struct {
		target, body string
		want         []call
	}{
		"item":        {"DynamoDB_20120810.GetItem", `{"TableName":"d"}`, []call{{"dynamodb:GetItem", "d"}}},
		"index":       {"DynamoDB_20120810.Query", `{"TableName":"d","IndexName":"i"}`, []call{{"dynamodb:Query", "d/index/i"}}},
		"batch":       {"DynamoDB_20120810.BatchGetItem", `{"RequestItems":{"d":{}}}`, []call{{"dynamodb:BatchGetItem", "d"}}},
		"transaction": {"DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"d"}},{"Delete":{"TableName":"r"}}]}`, []call{{"dynamodb:PutItem", "d"}, {"dynamodb:DeleteItem", "r"}}},
		"queue":       {"AmazonSQS.SendMessageBatch", `{"QueueUrl":"http://h/0/q.fifo"}`, []call{{"sqs:SendMessage", "q.fifo"}}},
		"parameter":   {"AmazonSSM.GetParameter", `{"Name":"/a/b"}`, []call{{"ssm:GetParameter", "/a/b"}}},
		"other":       {"AmazonSNS.Publish", `{}`, nil},
		"no JSON":     {"AmazonSSM.GetParameter", `x`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := awsCalls(c.target, []byte(c.body))
			if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestAllowed(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"d": "DomainsTable", "q": "ChecksQueue", "/token": "${RegistryTokenParameter}", "/mode": switchName}
	for _, c := range []struct {
		folder string
		call   call
		want   bool
	}{
		{"fanout", call{"dynamodb:Scan", "d"}, true},
		{"checker", call{"dynamodb:Scan", "d"}, false},
		{"applier", call{"dynamodb:Query", "d/index/attention"}, true},
		{"applier", call{"dynamodb:Query", "d"}, false},
		{"applier", call{"sqs:SendMessage", "q"}, true},
		{"applier", call{"ssm:GetParameter", "/mode"}, true},
		{"fanout", call{"ssm:GetParameter", "/token"}, true},
		{"fanout", call{"ssm:GetParameter", "/mode"}, false},
		{"fanout", call{"ssm:GetParameter", "/other"}, false},
	} {
		if got := allowed(tpl, c.folder, c.call, names); got != c.want {
			t.Errorf("%s, %v: %v, want %v", c.folder, c.call, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		out string
		ok  bool
	}{
		"an answer":      {`{"run":"x"}`, true},
		"nothing":        {"", false},
		"words":          {"Init failed", false},
		"an error":       {`{"errorType":"errorString","errorMessage":"no"}`, false},
		"another answer": {`[1]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			var answer map[string]any
			if err := judge(nil, []byte(c.out), &answer); (err == nil) != c.ok {
				t.Errorf("judged %v", err)
			}
		})
	}
}
