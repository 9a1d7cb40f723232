package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTimeout bounds one call, body included; a page of 10,000 hosts may be counted while we wait.
	DefaultTimeout = 30 * time.Second
	// MaxRetryAfter is the longest Retry-After that is taken at its word.
	MaxRetryAfter = 24 * time.Hour
	// maxPageBody bounds a page: 10,000 hosts of the greatest length are half of it.
	maxPageBody = 8 << 20
	// maxBody bounds every other answer.
	maxBody = 64 << 10
	// maxToken bounds a token; HTTP servers take about 8 KB of headers.
	maxToken = 4096
)

// Config of a Client.
type Config struct {
	// URL is the API's base, such as https://registry.example/admin. http is taken for this machine alone.
	URL string
	// Token gives the bearer token. It is called for each request, so it should keep what it read; fresh asks
	// it to read again, after the registry refused the token.
	Token func(ctx context.Context, fresh bool) (string, error)
	// Transport does the requests; nil is a transport of the client's own with the standard library's defaults.
	Transport http.RoundTripper
	// Timeout bounds one request and its answer; 0 is DefaultTimeout.
	Timeout time.Duration
	// UserAgent is sent as it is; it should name a contact.
	UserAgent string
	// Log takes warnings; nil discards them. No token and no body is ever logged.
	Log *slog.Logger
}

// Client speaks the admin API. It is immutable and safe for concurrent use.
type Client struct {
	cfg  Config
	base string // without a trailing slash
	http *http.Client
}

// New checks the configuration; its errors say what to set. It does not reach for the registry.
func New(cfg Config) (*Client, error) {
	base, err := checkURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Token == nil {
		return nil, errors.New("registry: no token: set Config.Token to a function that reads the admin API's bearer token")
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("registry: timeout %s: set a positive one, or 0 for %s", cfg.Timeout, DefaultTimeout)
	}
	if strings.ContainsFunc(cfg.UserAgent, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errors.New("registry: the user agent holds a control character: set one line of text")
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "lapseguard")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
		if t, ok := http.DefaultTransport.(*http.Transport); ok {
			cfg.Transport = t.Clone()
		}
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{
		Transport: cfg.Transport,
		Timeout:   cfg.Timeout,
		// A redirect would take the token to a place that nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// checkURL gives the base without a trailing slash. The URL itself stays out of the errors: a mistaken one may
// hold a password.
func checkURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "", errors.New("registry: no URL: set the admin API's base URL, such as https://registry.example/admin")
	case err != nil, u.Host == "", u.Opaque != "":
		return "", errors.New("registry: the URL cannot be read: set the admin API's base URL, such as https://registry.example/admin")
	case u.User != nil:
		return "", errors.New("registry: the URL holds a user: take it out; the API is opened by a bearer token")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("registry: the URL has a query or a fragment: set the base URL alone")
	case u.Scheme == "http" && !thisMachine(u.Hostname()):
		return "", fmt.Errorf("registry: http to %s would show the token to the network: set an https URL; http is taken for localhost alone", u.Hostname())
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("registry: scheme %q: set an https URL", u.Scheme)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// thisMachine: loopback, and the name under which a container reaches the machine that runs it (sam local).
func thisMachine(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost" || host == "host.docker.internal"
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	body         []byte
	limit        int64 // of the answer's body, in bytes
}

// answer is what came back with 200 or 202.
type answer struct {
	status     int
	retryAfter time.Duration
	body       []byte
}

// do sends a call, and once more with a fresh token after a 401. Everything but 200 and 202 is an error.
func (c *Client) do(ctx context.Context, in call) (answer, error) {
	var err error
	var tried []string
	for _, fresh := range []bool{false, true} {
		var token string
		if token, err = c.token(ctx, fresh); err != nil {
			return answer{}, err
		}
		var out answer
		tried = append(tried, token)
		if out, err = c.once(ctx, in, tried); err == nil {
			return out, nil
		}
		var p *Problem
		if !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
			return answer{}, err
		}
		if !fresh {
			c.cfg.Log.WarnContext(ctx, "registry_token_refused", "path", in.path, "next", "read the token again and repeat once")
		}
	}
	return answer{}, err
}

func (c *Client) token(ctx context.Context, fresh bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	token, err := c.cfg.Token(ctx, fresh)
	if err != nil {
		return "", fmt.Errorf("read the registry's token: %w", err)
	}
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", badToken{}
	}
	return token, nil
}

// once sends a call with the last of the tokens. None of them comes back in an error, also where the other side
// repeats it.
func (c *Client) once(ctx context.Context, in call, tokens []string) (answer, error) {
	target := c.base + in.path
	if len(in.query) > 0 {
		target += "?" + in.query.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var body io.Reader
	if in.body != nil {
		body = bytes.NewReader(in.body)
	}
	req, err := http.NewRequestWithContext(ctx, in.method, target, body)
	if err != nil {
		return answer{}, broken("build the request", err)
	}
	req.Header.Set("Authorization", "Bearer "+tokens[len(tokens)-1])
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if in.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, broken("no answer", err, tokens...)
	}
	defer func() { _ = resp.Body.Close() }()
	wait := retryAfter(resp.Header)
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusAccepted:
		return answer{status: resp.StatusCode, retryAfter: wait}, nil
	default:
		return answer{}, readProblem(resp, wait, tokens)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, in.limit+1))
	switch {
	case err != nil:
		return answer{}, broken("the answer broke off", err, tokens...)
	case int64(len(data)) > in.limit:
		return answer{}, badAnswer(fmt.Sprintf("longer than %d bytes", in.limit))
	}
	return answer{status: resp.StatusCode, body: data}, nil
}

// retryAfter reads Retry-After (RFC 9110 section 10.2.3); a date counts from the answer's own Date, so that no
// clock but the registry's takes part. 0 when absent or unreadable.
func retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, MaxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
