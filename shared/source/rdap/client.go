// Package rdap asks registries' RDAP servers (RFC 9082, 9083) about domains and reduces their answers to what
// judgement needs. It concludes little: only a 404 in RDAP's own form from the very server that IANA's bootstrap
// (RFC 9224) names for the TLD is absence; whatever else is not an answer about the name is unknown, with a cause.
package rdap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

// Defaults of Config.
const (
	DefaultBootstrap = "https://data.iana.org/rdap/dns.json"
	DefaultTimeout   = 10 * time.Second
	DefaultRefresh   = 24 * time.Hour
	DefaultMaxBody   = 1 << 20 // bytes; real answers have 1 to 30 kB
	DefaultUserAgent = upstream.UserAgent
)

// MaxRetryAfter is the longest time an upstream can send us away for.
const MaxRetryAfter = upstream.MaxRetryAfter

// Config of a Client. The zero value asks the servers that IANA names, and those of the supplemental list.
type Config struct {
	// Bootstrap is a file path or an http(s) URL in RFC 9224 form that replaces IANA's file and the
	// supplemental list. Its servers count as authoritative; they may be loopback or plain http.
	Bootstrap string
	// NoSupplemental leaves out the ccTLD servers that IANA does not list.
	NoSupplemental bool
	// Transport carries the requests. Nil means one of our own that refuses to follow a redirect to an
	// address that is not public, also where the address is behind a name; a Transport given here is
	// trusted to do so itself. It must not follow redirects.
	Transport http.RoundTripper
	Timeout   time.Duration // for one lookup with its redirects, and for one refresh; default 10 s
	Refresh   time.Duration // the bootstrap is read again at most once in this time; default 24 h
	UserAgent string        // product and contact
	MaxBody   int64         // bytes, after decompression; default 1 MiB
	Now       func() time.Time
	Log       *slog.Logger
}

// Client asks RDAP servers. It is immutable but for the bootstrap table, which is replaced as a whole, and safe
// for concurrent use.
type Client struct {
	cfg      Config
	direct   http.RoundTripper // to a server that the bootstrap names
	followed http.RoundTripper // to where a redirect leads

	table atomic.Pointer[table]
	// builtin is the table of the embedded files, read once.
	builtin func() *table
	due     atomic.Int64 // when the table is read again, in Unix nanoseconds
	flight  singleflight.Group
	pool    sync.Pool // of *reader
}

// New gives a Client. A configured bootstrap is read at once, and an error if it cannot be.
func New(cfg Config) (*Client, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Refresh = cmp.Or(cfg.Refresh, DefaultRefresh)
	cfg.MaxBody = cmp.Or(cfg.MaxBody, DefaultMaxBody)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, DefaultUserAgent)
	if cfg.Timeout < 0 || cfg.Refresh < 0 || cfg.MaxBody < 0 {
		return nil, errors.New("rdap: Timeout, Refresh and MaxBody must not be negative")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, direct: cfg.Transport, followed: cfg.Transport}
	if cfg.Transport == nil {
		c.direct, c.followed = newTransport(cfg.Timeout, nil), newTransport(cfg.Timeout, onlyPublic)
	}
	c.pool.New = func() any { return newReader() }
	c.builtin = sync.OnceValue(c.readBuiltin)
	if err := c.start(); err != nil {
		return nil, err
	}
	return c, nil
}

// Server gives the base URL of the RDAP server for a TLD (or a longer suffix: the longest entry decides), whether
// that server is the one with authority, and whether there is any. It may refresh the bootstrap first, which takes
// no longer than Config.Timeout.
func (c *Client) Server(tld string) (base string, authoritative, ok bool) {
	s, ok := c.current(context.Background()).find(tld)
	return s.base, s.authoritative, ok
}

// Lookup asks the server of tld about name, a registrable domain in canonical form (lower case, A-labels) under
// tld. It never fails: what went wrong is the Cause of an Unknown observation.
func (c *Client) Lookup(ctx context.Context, name, tld string) source.Observation {
	o := source.Observation{Source: source.SourceRDAP, Outcome: source.Unknown}
	asked, ok := hostName(name)
	zone := canonicalName(tld)
	// Another TLD's server would answer 404, and be believed.
	if !ok || zone == "" || !strings.HasSuffix(asked, "."+zone) {
		c.cfg.Log.ErrorContext(ctx, "rdap: not a name of this TLD", "domain", name, "tld", tld)
		o.At, o.Cause, o.Said = c.cfg.Now().UTC(), source.CauseInternal, "not a host name under the TLD"
		return o
	}
	t := c.current(ctx)
	s, ok := t.find(zone)
	switch {
	case !ok:
		o.Cause = source.CauseNoServer
	case ctx.Err() != nil:
		o.Server, o.Cause = s.base, source.CauseNotAsked
	default:
		o.Server = s.base
		c.ask(ctx, t, s, asked, &o)
	}
	o.At = c.cfg.Now().UTC()
	return o
}

// ask sends the question and fills in what came of it.
func (c *Client) ask(ctx context.Context, t *table, s server, name string, o *source.Observation) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	h := hop{table: t, server: s, name: name}
	resp, err := c.get(ctx, &h)
	if err != nil {
		o.Cause, o.Said = causeOfError(err), upstream.Said(err.Error())
		return
	}
	defer func() { _ = resp.Body.Close() }()

	r := c.pool.Get().(*reader)
	defer c.release(r)
	switch resp.StatusCode {
	case http.StatusOK:
		c.read200(r, resp, h, o)
	case http.StatusNotFound:
		c.read404(r, resp, h, o)
	default:
		c.readRefusal(r, resp, o)
	}
}

// read200 judges an answer with status 200.
func (c *Client) read200(r *reader, resp *http.Response, h hop, o *source.Observation) {
	if o.Cause = r.fill(resp, c.cfg.MaxBody); o.Cause != source.CauseNone {
		o.Said = "HTTP 200"
		return
	}
	if o.Cause = r.kind(resp); o.Cause != source.CauseNone {
		o.Said = upstream.Said("HTTP 200 " + resp.Header.Get("Content-Type"))
		return
	}
	a := answer{asked: h.name, now: c.cfg.Now()}
	if o.Cause = r.decode(&a); o.Cause == source.CauseNone {
		o.Cause = a.cause()
	}
	o.Slower, o.RetryAfter = a.slower, upstream.RetryAfter(resp.Header.Get("Retry-After"), c.cfg.Now())
	if o.Cause == source.CauseNone && a.name == nameAbsent && !h.sameQuestion {
		// A redirect led elsewhere, and the answer does not say whom it is about.
		o.Cause = source.CauseWrongName
	}
	if o.Cause != source.CauseNone {
		o.Said = a.saidError(http.StatusOK)
		return
	}
	reg := a.reg
	reg.Authoritative = h.server.authoritative && h.sameServer
	o.Outcome, o.Said, o.Registration = source.Observed, saidRegistration(&reg), &reg
}

// read404 judges a 404. It is absence only where the server of the bootstrap itself says so about this name, with
// an empty body or in RDAP's own form (RFC 9083 section 6); anything else may come from something in between.
func (c *Client) read404(r *reader, resp *http.Response, h hop, o *source.Observation) {
	o.Said = "HTTP 404"
	if o.Cause = r.fill(resp, c.cfg.MaxBody); o.Cause != source.CauseNone {
		return
	}
	if kind := r.kind(resp); kind != source.CauseEmptyBody {
		if o.Cause = kind; kind != source.CauseNone {
			o.Said = upstream.Said("HTTP 404 " + resp.Header.Get("Content-Type"))
			return
		}
		a := answer{asked: h.name, now: c.cfg.Now()}
		if o.Cause = r.decode(&a); o.Cause == source.CauseNone {
			o.Cause = a.cause404()
		}
		o.Said = a.saidError(http.StatusNotFound)
	}
	switch {
	case o.Cause != source.CauseNone:
	case !h.server.authoritative || !h.sameServer || !h.sameQuestion:
		o.Cause = source.CauseNotAuthority
	default:
		o.Outcome = source.Absent
	}
}

// readRefusal judges every other status. The body only adds words, so that nothing it does matters.
func (c *Client) readRefusal(r *reader, resp *http.Response, o *source.Observation) {
	o.Cause = cmp.Or(upstream.CauseOfStatus(resp.StatusCode), source.CauseNotRDAP)
	o.RetryAfter = upstream.RetryAfter(resp.Header.Get("Retry-After"), c.cfg.Now())
	a := answer{now: c.cfg.Now()}
	if r.fill(resp, min(c.cfg.MaxBody, maxRefusal)) == source.CauseNone && r.kind(resp) == source.CauseNone {
		_ = r.decode(&a)
	}
	o.Said = a.saidError(resp.StatusCode)
}

// maxRefusal is how much of a refusal's body is read, in bytes: enough for its title, and to keep the connection.
const maxRefusal = 64 << 10

// Decode reduces the body of a 200 answer about name, as Lookup does; on a cause other than CauseNone the
// registration is empty. Authoritative stays false: the body cannot know.
func (c *Client) Decode(body []byte, name string) (source.Registration, source.Cause) {
	r := c.pool.Get().(*reader)
	defer c.release(r)
	r.buf.Write(body)
	a := answer{asked: name, now: c.cfg.Now()}
	cause := r.decode(&a)
	if cause == source.CauseNone {
		cause = a.cause()
	}
	if cause != source.CauseNone {
		return source.Registration{}, cause
	}
	return a.reg, source.CauseNone
}

// release gives a reader back to the pool, unless one huge answer made it too large to keep.
func (c *Client) release(r *reader) {
	if r.buf.Cap() > maxPooled {
		return
	}
	r.reset()
	c.pool.Put(r)
}

// maxPooled is the largest body buffer that is kept for reuse, in bytes.
const maxPooled = 64 << 10

// saidError is a short line about an answer that is not a registration.
func (a *answer) saidError(status int) string {
	line := fmt.Sprintf("HTTP %d", status)
	if len(a.errorCode) > 0 && string(a.errorCode) != fmt.Sprint(status) {
		line += ", errorCode " + string(a.errorCode)
	}
	if len(a.title) > 0 {
		line += ": " + string(a.title)
	}
	return upstream.Said(line)
}
