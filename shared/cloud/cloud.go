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
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/caarlos0/env/v11"
)

// Load reads the SDK's configuration from the environment. Endpoints come from AWS_ENDPOINT_URL_*.
func Load(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return cfg, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	cfg.HTTPClient = plainBody{cfg.HTTPClient}
	return cfg, nil
}

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

// parameterReader is the one call of SSM that is needed.
type parameterReader interface {
	GetParameter(ctx context.Context, in *ssm.GetParameterInput, opts ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
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
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: &p.name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", fmt.Errorf("read SSM parameter %s: %w", p.name, err)
	}
	if out.Parameter == nil || out.Parameter.Value == nil {
		return "", fmt.Errorf("read SSM parameter %s: it has no value", p.name)
	}
	p.value, p.known = strings.TrimSpace(*out.Parameter.Value), true
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
