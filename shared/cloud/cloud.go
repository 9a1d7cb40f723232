// Package cloud is what the three functions need of AWS beside the table and the queue: the SDK's
// configuration and parameters from SSM Parameter Store.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/caarlos0/env/v11"
)

// Load is the SDK's configuration from what Lambda puts into a function's environment: region, keys, and
// endpoints (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_*, for emulators). The SDK's own loader also knows profiles and
// single sign-on, which no function has; it costs a cold start two milliseconds and the program 2 MB.
func Load(getenv func(string) string) (aws.Config, error) {
	cfg := aws.Config{
		Region: getenv("AWS_REGION"), ConfigSources: []any{endpoints{getenv}}, HTTPClient: PlainBody(awshttp.NewBuildableClient()), Retryer: persistent,
		Credentials: credentials.NewStaticCredentialsProvider(getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")),
	}
	if url := getenv("AWS_ENDPOINT_URL"); url != "" {
		cfg.BaseEndpoint = &url
	}
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if getenv(name) == "" {
			return cfg, fmt.Errorf("AWS configuration: %s is not set; Lambda sets it", name)
		}
	}
	return cfg, nil
}

// endpoints tells the SDK of AWS_ENDPOINT_URL_*; an empty one is unset.
type endpoints struct{ getenv func(string) string }

// GetServiceBaseEndpoint implements the SDK's source of endpoints, by service id ("DynamoDB", "SSM").
func (e endpoints) GetServiceBaseEndpoint(_ context.Context, id string) (string, bool, error) {
	url := e.getenv("AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(id, " ", "_")))
	return url, url != "", nil
}

// persistent is the SDK's retryer, and calls again also where an answer broke off: the SDK takes that for an answer that
// nobody can read, and gives up. What may be done twice by that, store and queue allow for.
func persistent() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return aws.TrueTernary
			}
			return aws.UnknownTernary
		}))
	})
}

// PlainBody cures a client of the SDK of sending requests twice, see plainBody.
func PlainBody(client aws.HTTPClient) aws.HTTPClient { return plainBody{client} }

// plainBody hides io.WriterTo of a request's body. With it the SDK can close a body that net/http still reads
// from, takes the answer for lost, and does the call a second time (aws-sdk-go-v2 issues 1825, 2737).
type plainBody struct{ next aws.HTTPClient }

func (c plainBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.next.Do(r) //nolint:wrapcheck // a transport passes errors on as they are
}

// parameterReader is SSM's GetParameter; ParameterStore has it.
type parameterReader interface {
	Get(ctx context.Context, name string) (string, error)
}

// Parameter is one SSM parameter, decrypted, read once and again when asked for afresh. Safe for concurrent use.
type Parameter struct {
	client parameterReader
	name   string
	mu     sync.Mutex
	value  string
	known  bool
}

// NewParameter reads the parameter of that name through client; an empty name is an empty value.
func NewParameter(client parameterReader, name string) *Parameter {
	return &Parameter{client: client, name: name, known: name == ""}
}

// Value gives the parameter; fresh reads it again (after a 401: it was rotated; or for the kill switch).
func (p *Parameter) Value(ctx context.Context, fresh bool) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known && (!fresh || p.name == "") {
		return p.value, nil
	}
	value, err := p.client.Get(ctx, p.name)
	if err != nil {
		return "", err
	}
	p.value, p.known = strings.TrimSpace(value), true
	return p.value, nil
}

// Parse fills a config struct (tags of caarlos0/env) from an environment given as NAME=value, empty values being
// unset, and collects everything that is wrong. What check returns may hold nils.
func Parse(cfg any, environ []string, check func() []error) error {
	vars := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && value != "" {
			vars[name] = value
		}
	}
	var errs []error
	if err := env.ParseWithOptions(cfg, env.Options{Environment: vars}); err != nil {
		var all env.AggregateError
		if errors.As(err, &all) {
			errs = append(errs, all.Errors...)
		} else {
			errs = append(errs, err)
		}
	}
	errs = append(errs, check()...)
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("the environment is wrong in %d places; set these variables of the function:\n%w", len(errs), errors.Join(errs...))
}

// Positive says what to set when n is not within 1 and limit.
func Positive(name string, n, limit int) error {
	if n >= 1 && n <= limit {
		return nil
	}
	return fmt.Errorf("%s is %d: set a whole number from 1 to %d", name, n, limit)
}
