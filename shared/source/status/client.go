// Package status asks the status API, Fastly Domain Research or its elder Domainr v2, what the market knows about a
// domain. It gives the tokens as they were sent and judges nothing: what an answer is worth is for lifecycle to say.
//
// The API's token goes into requests and nowhere else: not into observations, errors or logs, also where the
// upstream repeats it.
package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

// The APIs.
const (
	Fastly  = "fastly"     // https://www.fastly.com/documentation/reference/api/domain-management/
	Domainr = "domainr-v2" // https://domainr.com/docs/api/v2/status
)

// Defaults of Config.
const (
	DefaultFastlyURL  = "https://api.fastly.com/domain-management/v1/tools/status"
	DefaultDomainrURL = "https://api.domainr.com/v2/status"
	// DefaultTimeout leaves the upstream the 30 s after which it gives its best effort.
	DefaultTimeout   = 35 * time.Second
	DefaultUserAgent = upstream.UserAgent
)

// MaxRetryAfter is the longest time the upstream can send us away for.
const MaxRetryAfter = upstream.MaxRetryAfter

// maxBody bounds an answer, in bytes; real ones have less than 2 kB, offers included.
const maxBody = 256 << 10

// Config of a Client. The zero value asks Fastly, without a token.
type Config struct {
	API string // Fastly or Domainr; default Fastly
	URL string // of the status resource; default: the API's own
	// Token gives the API's token; fresh asks for it anew, past any cache, and is set after the upstream
	// refused the one before. Nil, and an empty token, mean to ask without. It must be safe for concurrent use.
	Token     func(ctx context.Context, fresh bool) (string, error)
	Transport http.RoundTripper // default: one of our own; it must not follow redirects
	Timeout   time.Duration     // for one question, a second attempt included; default 35 s
	UserAgent string            // product and contact
	Now       func() time.Time
	Log       *slog.Logger
}

// Client asks the status API. It is immutable and safe for concurrent use.
type Client struct {
	cfg Config
	url *url.URL
}

// New gives a Client, or an error that says which setting is wrong.
func New(cfg Config) (*Client, error) {
	cfg.API = cmp.Or(cfg.API, Fastly)
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, DefaultUserAgent)
	switch cfg.API {
	case Fastly:
		cfg.URL = cmp.Or(cfg.URL, DefaultFastlyURL)
	case Domainr:
		cfg.URL = cmp.Or(cfg.URL, DefaultDomainrURL)
	default:
		return nil, fmt.Errorf("status: API %q is not known; set it to %q or %q", cfg.API, Fastly, Domainr)
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		// Not quoted: a URL that is wrong may have a token in it.
		return nil, errors.New("status: URL is not a plain http(s) URL; leave it empty for the API's own")
	}
	if cfg.Timeout < 0 {
		return nil, errors.New("status: Timeout must not be negative")
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if u.Scheme == "http" && cfg.Token != nil {
		cfg.Log.Warn("status: the token travels over plain http", "host", u.Host)
	}
	return &Client{cfg: cfg, url: u}, nil
}

// Status asks about name, a registrable domain in canonical form. It never fails: what went wrong is the Cause of
// an Unknown observation. After a 401 or 403 it asks once more if Config.Token has another token by then.
func (c *Client) Status(ctx context.Context, name string) source.Observation {
	o := source.Observation{Source: source.SourceStatus, Server: c.cfg.API, Outcome: source.Unknown}
	switch {
	case name == "":
		o.Cause, o.Said = source.CauseInternal, "no name to ask about"
	case ctx.Err() != nil:
		o.Cause = source.CauseNotAsked
	default:
		ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
		c.try(ctx, name, &o)
	}
	o.At = c.cfg.Now().UTC()
	return o
}

// try asks with the token at hand, then perhaps with a fresh one.
func (c *Client) try(ctx context.Context, name string, o *source.Observation) {
	token, ok := c.token(ctx, false, o)
	if !ok {
		return
	}
	status := c.ask(ctx, name, token, o)
	if status != http.StatusUnauthorized && status != http.StatusForbidden {
		return
	}
	refused := *o
	fresh, ok := c.token(ctx, true, o)
	if *o = refused; ok && fresh != token {
		c.ask(ctx, name, fresh, o)
		o.Said = newSecret(token).said(o.Said) // the old one is no less secret
	}
}

// token gets the token; where it cannot, it says so in o.
func (c *Client) token(ctx context.Context, fresh bool, o *source.Observation) (string, bool) {
	if c.cfg.Token == nil {
		return "", true
	}
	token, err := c.cfg.Token(ctx, fresh)
	token = strings.TrimSpace(token) // parameters and files like to end in a newline
	switch {
	case err != nil && ctx.Err() != nil:
		o.Cause = source.CauseNotAsked
	case err != nil:
		// Its cause is the same for whoever looks at the figures: the API is closed to us.
		o.Cause = source.CauseForbidden
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		o.Cause, err = source.CauseForbidden, errors.New("the token holds characters that no header can carry")
	default:
		return token, true
	}
	o.Said = newSecret(token).said("no token: " + err.Error())
	c.cfg.Log.ErrorContext(ctx, "status: no token", "fresh", fresh, "error", o.Said)
	return "", false
}

// ask sends one request, fills in what came of it, and gives the HTTP status, 0 where there was none.
func (c *Client) ask(ctx context.Context, name, token string, o *source.Observation) int {
	o.Outcome, o.Cause, o.Said, o.RetryAfter = source.Unknown, source.CauseNone, "", 0
	s := newSecret(token)
	req, err := c.request(ctx, name, token)
	if err != nil {
		o.Cause, o.Said = source.CauseInternal, s.said("building the request: "+err.Error())
		return 0
	}
	resp, err := c.cfg.Transport.RoundTrip(req)
	if err != nil {
		o.Cause, o.Said = upstream.CauseOfError(err), s.said(err.Error())
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		// The body only adds words, so that nothing it does matters.
		// Redirects are never followed: they would carry the token elsewhere.
		o.Cause = cmp.Or(upstream.CauseOfStatus(resp.StatusCode), source.CauseMalformed)
		o.RetryAfter = upstream.RetryAfter(resp.Header.Get("Retry-After"), c.cfg.Now())
		o.Said = s.said(fmt.Sprintf("HTTP %d%s", resp.StatusCode, errorWords(body)))
	case len(body) > maxBody:
		o.Cause, o.Said = source.CauseTooLarge, "HTTP 200"
	case err != nil:
		o.Cause, o.Said = upstream.CauseOfError(err), s.said(err.Error())
	default:
		c.read(body, name, s, o)
	}
	return resp.StatusCode
}

// read judges the body of a 200.
func (c *Client) read(body []byte, name string, s secret, o *source.Observation) {
	market, cause := Decode(c.cfg.API, body, name)
	if cause == source.CauseNone && s.among(market.Tokens) {
		cause = source.CauseMalformed
	}
	if o.Cause = cause; cause != source.CauseNone {
		o.Said = s.said("HTTP 200" + errorWords(body))
		return
	}
	o.Outcome, o.Market = source.Observed, &market
	line := "status: " + strings.Join(market.Tokens, " ")
	if !market.Precise {
		line += " (estimate)"
	}
	o.Said = s.said(line)
}

func (c *Client) request(ctx context.Context, name, token string) (*http.Request, error) {
	u := *c.url
	q := u.Query()
	q.Set("domain", name)
	if c.cfg.API == Domainr && token != "" {
		q.Set("client_id", token)
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if c.cfg.API == Fastly && token != "" {
		req.Header.Set("Fastly-Key", token)
	}
	return req, nil
}
