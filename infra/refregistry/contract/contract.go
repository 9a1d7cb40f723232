// Package contract holds traffic between a guard and a registry against the admin API's OpenAPI document.
package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// maxBody bounds what is read of a body, in bytes.
const maxBody = 32 << 20

// Spec is the document, loaded and found valid. It is safe for concurrent use.
type Spec struct {
	Doc    *openapi3.T
	router routers.Router
}

// Load reads infra/registry-admin.openapi.yaml of the module that the working directory is in.
func Load(ctx context.Context) (*Spec, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	loader := &openapi3.Loader{Context: ctx}
	doc, err := loader.LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	if err := doc.Validate(ctx, openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		return nil, fmt.Errorf("%s is not a valid document: %w", path, err)
	}
	doc.Servers = nil // the base is the registry's choice; see Transport
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("paths of %s: %w", path, err)
	}
	return &Spec{Doc: doc, router: router}, nil
}

func find() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the document: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "infra", "registry-admin.openapi.yaml"), nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", errors.New("find the document: run inside the module, where go.mod is")
	}
}

// Transport lets requests through to next and reports every request and response that breaks the contract; it
// changes neither. Only requests under base are looked at. report may be called from several goroutines.
func (s *Spec) Transport(base string, next http.RoundTripper, report func(error)) http.RoundTripper {
	return &transport{spec: s, base: strings.TrimRight(base, "/"), next: next, report: report}
}

type transport struct {
	spec   *Spec
	base   string
	next   http.RoundTripper
	report func(error)
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	path, ok := strings.CutPrefix(r.URL.String(), t.base)
	if !ok {
		return t.next.RoundTrip(r) //nolint:wrapcheck // a transport passes errors on as they are
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
			return nil, errors.Join(fmt.Errorf("read the request: %w", err), r.Body.Close())
		}
		_ = r.Body.Close()
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	input, err := t.spec.Request(r.Context(), r.Method, path, r.Header, body)
	if err != nil {
		t.report(err)
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil || input == nil {
		return resp, err //nolint:wrapcheck // a transport passes errors on as they are
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(data))
	if err != nil { // lost on the way: the reader is to see that too
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data), failing{err}))
		return resp, nil
	}
	if err := t.spec.Response(r.Context(), input, resp.StatusCode, resp.Header, data); err != nil {
		t.report(err)
	}
	return resp, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Request checks a request, given the part of its URL after the base. The input, needed to check the response,
// is nil only if the document knows no such path or method.
func (s *Spec) Request(ctx context.Context, method, path string, header http.Header, body []byte) (*openapi3filter.RequestValidationInput, error) {
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	r.Header = header.Clone()
	route, params, err := s.router.FindRoute(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for name, value := range params { // the router leaves them escaped or not, as the URL was
		if plain, err := url.PathUnescape(value); err == nil {
			params[name] = plain
		}
	}
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{
		MultiError: true, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, AuthenticationFunc: hasBearer,
	}}
	if err := openapi3filter.ValidateRequest(ctx, input); err != nil {
		return input, fmt.Errorf("request %s %s breaks the contract: %w", method, path, err)
	}
	return input, nil
}

// Response checks a response to a request.
func (s *Spec) Response(ctx context.Context, to *openapi3filter.RequestValidationInput, status int, header http.Header, body []byte) error {
	input := &openapi3filter.ResponseValidationInput{RequestValidationInput: to, Status: status, Header: header, Options: to.Options}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(ctx, input); err != nil {
		return fmt.Errorf("response %d to %s %s breaks the contract: %w", status, to.Request.Method, to.Request.URL.Path, err)
	}
	return nil
}

func hasBearer(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	if token, ok := strings.CutPrefix(in.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer "); !ok || token == "" {
		return errors.New("no bearer token")
	}
	return nil
}
