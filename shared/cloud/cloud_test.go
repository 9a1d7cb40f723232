package cloud

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func environment(more ...string) func(string) string {
	vars := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session"}
	for i := 0; i < len(more); i += 2 {
		vars[more[i]] = more[i+1]
	}
	return func(name string) string { return vars[name] }
}

func TestLoad(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_SQS", "") // the SDK looks for their names in the process's environment
	cfg, err := Load(environment("AWS_ENDPOINT_URL", "http://all", "AWS_ENDPOINT_URL_SQS", "http://queues", "AWS_ENDPOINT_URL_SSM", "http://params"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || keys.AccessKeyID != "key" || keys.SecretAccessKey != "secret" || keys.SessionToken != "session" || cfg.Region != "eu-west-1" {
		t.Errorf("region %s, keys of another: %v", cfg.Region, err)
	}
	for what, c := range map[string]struct{ got, want string }{
		"DynamoDB": {aws.ToString(dynamodb.NewFromConfig(cfg).Options().BaseEndpoint), "http://all"},
		"SQS":      {aws.ToString(sqs.NewFromConfig(cfg).Options().BaseEndpoint), "http://queues"},
		"SSM":      {NewParameterStore(cfg, time.Now).endpoint, "http://params"},
	} {
		if c.got != c.want {
			t.Errorf("%s is asked at %q, want %q", what, c.got, c.want)
		}
	}
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if _, err := Load(environment(name, "")); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestABrokenAnswerIsAskedForAgain: by the clients that Load configures, whose calls must not fail for one lost packet.
func TestABrokenAnswerIsAskedForAgain(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		answer := `{"QueueUrl":"http://q"}`
		if calls++; calls == 1 {
			w.Header().Set("Content-Length", "23")
			answer = answer[:9]
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	cfg, err := Load(environment("AWS_ENDPOINT_URL_SQS", server.URL))
	if err != nil {
		t.Fatal(err)
	}
	out, err := sqs.NewFromConfig(cfg).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
	if err != nil || aws.ToString(out.QueueUrl) != "http://q" || calls != 2 {
		t.Errorf("%+v, %v after %d calls; want the answer of the second", out, err, calls)
	}
}

func TestEndpointOfARegion(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "https://ssm.eu-west-1.amazonaws.com", "us-gov-west-1": "https://ssm.us-gov-west-1.amazonaws.com",
		"cn-north-1": "https://ssm.cn-north-1.amazonaws.com.cn",
	} {
		cfg, err := Load(environment("AWS_REGION", region))
		if err != nil {
			t.Fatal(err)
		}
		if got := NewParameterStore(cfg, time.Now).endpoint; got != want {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
}

// service is an SSM that answers as told, one after another, and then like the last.
func service(t *testing.T, answers ...func(http.ResponseWriter)) (store *ParameterStore, asked *[]*http.Request) {
	t.Helper()
	asked = new([]*http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		*asked = append(*asked, r)
		answers[min(len(*asked), len(answers))-1](w)
	}))
	t.Cleanup(server.Close)
	cfg, err := Load(environment("AWS_ENDPOINT_URL_SSM", server.URL))
	if err != nil {
		t.Fatal(err)
	}
	return NewParameterStore(cfg, func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }), asked
}

func reply(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestParameterStoreAsks(t *testing.T) {
	s, asked := service(t, reply(200, `{"Parameter":{"Name":"/a/b","Value":"tok"}}`))
	if got, err := s.Get(t.Context(), "/a/b"); got != "tok" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	r := (*asked)[0]
	body, _ := io.ReadAll(r.Body)
	if string(body) != `{"Name":"/a/b","WithDecryption":true}` || r.Method != http.MethodPost || r.URL.Path != "/" {
		t.Errorf("%s %s %s", r.Method, r.URL.Path, body)
	}
	for name, want := range map[string]string{
		"X-Amz-Target": "AmazonSSM.GetParameter", "Content-Type": "application/x-amz-json-1.1", "X-Amz-Date": "20260304T050607Z", "X-Amz-Security-Token": "session",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if auth := r.Header.Get("Authorization"); !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=key/20260304/eu-west-1/ssm/aws4_request, SignedHeaders=") ||
		!strings.Contains(auth, "x-amz-target") || !strings.Contains(auth, "x-amz-security-token") {
		t.Errorf("Authorization: %s", auth)
	}
}

func TestParameterStoreFailures(t *testing.T) {
	good := reply(200, `{"Parameter":{"Value":"tok"}}`)
	for name, c := range map[string]struct {
		answers []func(http.ResponseWriter)
		asked   int
		words   string // of the error; empty: none
	}{
		"a failing service":      {[]func(http.ResponseWriter){reply(500, "oh"), good}, 2, ""},
		"throttled":              {[]func(http.ResponseWriter){reply(400, `{"__type":"ThrottlingException"}`), good}, 2, ""},
		"failing for good":       {[]func(http.ResponseWriter){reply(503, "")}, parameterTries, "503"},
		"no such parameter":      {[]func(http.ResponseWriter){reply(400, `{"__type":"com.amazonaws.ssm#ParameterNotFound"}`)}, 1, "no such parameter"},
		"not allowed":            {[]func(http.ResponseWriter){reply(400, `{"__type":"AccessDeniedException"}`)}, 1, "AccessDenied"},
		"no value":               {[]func(http.ResponseWriter){reply(200, `{"Parameter":{}}`)}, 1, "no value"},
		"cut off":                {[]func(http.ResponseWriter){reply(200, `{"Parameter":{"Value":"to`), good}, 2, ""},
		"larger than a value is": {[]func(http.ResponseWriter){reply(200, `{"Parameter":{"Value":"`+strings.Repeat("x", maxParameter)+`"}}`)}, parameterTries, "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, asked := service(t, c.answers...)
			got, err := s.Get(t.Context(), "/a/b")
			if c.words == "" && (err != nil || got != "tok") || c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), "/a/b")) {
				t.Errorf("got %q, %v", got, err)
			}
			if len(*asked) != c.asked {
				t.Errorf("asked %d times, want %d", len(*asked), c.asked)
			}
		})
	}
}

func TestParameterStoreEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, asked := service(t, func(w http.ResponseWriter) { cancel(); reply(500, "")(w) })
	if _, err := s.Get(ctx, "/a"); err == nil || len(*asked) != 1 {
		t.Errorf("%v, asked %d times", err, len(*asked))
	}
}

// fixed is a parameter store that counts.
type fixed struct {
	value string
	err   error
	reads int
}

func (f *fixed) Get(context.Context, string) (string, error) {
	f.reads++
	return f.value, f.err
}

func TestParameter(t *testing.T) {
	f := &fixed{value: " one\n"}
	p := NewParameter(f, "/a")
	read := func(fresh bool, want string, reads int) {
		t.Helper()
		got, err := p.Value(t.Context(), fresh)
		if got != want || err != nil || f.reads != reads {
			t.Errorf("%q, %v after %d reads; want %q after %d", got, err, f.reads, want, reads)
		}
	}
	read(false, "one", 1)
	f.value = "two"
	read(false, "one", 1)
	read(true, "two", 2)
	f.err = errors.New("down")
	if _, err := p.Value(t.Context(), true); err == nil {
		t.Error("an old value is given for a fresh one")
	}
	read(false, "two", 3)
	if got, err := NewParameter(nil, "").Value(t.Context(), true); got != "" || err != nil {
		t.Errorf("no name: %q, %v", got, err)
	}
}

func TestParseCountsErrors(t *testing.T) {
	var cfg struct {
		N int `env:"N"`
	}
	if err := Parse(&cfg, []string{"N=3", "OTHER="}, func() []error { return []error{nil, nil} }); err != nil || cfg.N != 3 {
		t.Errorf("%+v, %v", cfg, err)
	}
	err := Parse(&cfg, []string{"N=x"}, func() []error { return []error{nil, Positive("M", 0, 5)} })
	if err == nil || !strings.Contains(err.Error(), "in 2 places") || !strings.Contains(err.Error(), "M is 0") {
		t.Errorf("%v", err)
	}
}
