package rdap

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

//go:embed iana-rdap-dns.json
var ianaFile []byte

//go:embed rdap-cctld-supplemental.json
var supplementalFile []byte

// maxBootstrap bounds a bootstrap file, in bytes; IANA's has 72 kB.
const maxBootstrap = 8 << 20

// server is one entry of the table.
type server struct {
	base          string // ends in a slash
	host          string // host:port
	authoritative bool
}

// table is what the bootstrap says. It is never changed, only replaced.
type table struct {
	servers map[string]server // by suffix: lower case, A-labels
	hosts   map[string]bool   // host:port that a redirect may lead to

	published time.Time // by the file's own word; zero where it does not say
}

// Published is when the list of servers in use was published, by its own word; zero where it does not say.
func (c *Client) Published() time.Time { return c.known().published }

// find gives the server of the longest entry that tld ends in, label by label (RFC 9224 section 4).
func (t *table) find(tld string) (server, bool) {
	for suffix := canonicalName(tld); suffix != ""; {
		if s, ok := t.servers[suffix]; ok {
			return s, true
		}
		_, suffix, _ = strings.Cut(suffix, ".")
	}
	return server{}, false
}

// start fills the table for the first time.
func (c *Client) start() error {
	if c.cfg.Bootstrap == "" {
		return nil // the built-in file is read when first needed, and due at once: it is as old as the program
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Timeout)
	defer cancel()
	t, err := c.load(ctx)
	if err != nil {
		return fmt.Errorf("rdap: %w; give the path or http(s) URL of a file in RFC 9224 form, or leave it empty for IANA's", err)
	}
	c.table.Store(t)
	c.due.Store(c.cfg.Now().Add(c.cfg.Refresh).UnixNano())
	return nil
}

// current gives the table, refreshed if that is due. All callers wait for one refresh, each no longer than its
// context and Config.Timeout allow; then the table that is there has to do.
func (c *Client) current(ctx context.Context) *table {
	if c.cfg.Now().UnixNano() < c.due.Load() {
		return c.known()
	}
	// Detached: one caller's end must not spoil the refresh for the others.
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	done := c.flight.DoChan("", func() (any, error) {
		c.refresh()
		return nil, nil
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
	return c.known()
}

// known is the last table that could be read: at first the built-in one, where no other is configured.
func (c *Client) known() *table {
	if t := c.table.Load(); t != nil {
		return t
	}
	return c.builtin()
}

// readBuiltin panics on a file that cannot be read: it is part of the program, and a test reads it.
func (c *Client) readBuiltin() *table {
	t, err := c.parse(ianaFile)
	if err != nil {
		panic(fmt.Sprintf("rdap: the built-in bootstrap file: %v", err))
	}
	return t
}

// refresh reads the bootstrap again. On failure the old table stays, until the next time.
func (c *Client) refresh() {
	now := c.cfg.Now()
	if now.UnixNano() < c.due.Load() {
		return // the flight before this one did it
	}
	defer c.due.Store(now.Add(c.cfg.Refresh).UnixNano())
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Timeout)
	defer cancel()
	t, err := c.load(ctx)
	old := c.known()
	if err == nil && c.cfg.Bootstrap == "" && len(t.servers) < len(old.servers)/2 {
		err = fmt.Errorf("it lists %d suffixes where there were %d", len(t.servers), len(old.servers))
	}
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "rdap: bootstrap not refreshed, the old one stays", "error", err.Error())
		return
	}
	c.table.Store(t)
}

// load reads and parses the configured bootstrap, or IANA's.
func (c *Client) load(ctx context.Context) (*table, error) {
	where := c.cfg.Bootstrap
	if where == "" {
		where = DefaultBootstrap
	}
	if !strings.Contains(where, "://") {
		data, err := readFile(where)
		if err != nil {
			return nil, fmt.Errorf("reading the bootstrap file: %w", err)
		}
		return c.named(where, data)
	}
	u, err := url.Parse(where)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the bootstrap is neither a file path nor an http(s) URL")
	}
	data, err := c.fetch(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("fetching the bootstrap file from %s: %w", u.Redacted(), err)
	}
	return c.named(u.Redacted(), data)
}

func (c *Client) named(where string, data []byte) (*table, error) {
	t, err := c.parse(data)
	if err != nil {
		return nil, fmt.Errorf("the bootstrap file %s: %w", where, err)
	}
	return t, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readAll(f)
}

func (c *Client) fetch(ctx context.Context, u *url.URL) ([]byte, error) {
	req, err := c.request(ctx, u, "application/json")
	if err != nil {
		return nil, err
	}
	resp, err := c.direct.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d (redirects are not followed)", resp.StatusCode)
	}
	return readAll(resp.Body)
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBootstrap+1))
	if err == nil && len(data) > maxBootstrap {
		err = fmt.Errorf("more than %d bytes", maxBootstrap)
	}
	return data, err
}

// parse makes a table of a file in RFC 9224 form, and adds the supplemental list where IANA's file is in use.
func (c *Client) parse(data []byte) (*table, error) {
	var file struct {
		Published string       `json:"publication"` // RFC 3339
		Services  [][][]string `json:"services"`    // each: suffixes, base URLs
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("not in RFC 9224 form: %w", err)
	}
	published, _ := time.Parse(time.RFC3339, file.Published) // a date that cannot be read is none
	t := &table{servers: map[string]server{}, hosts: map[string]bool{}, published: published}
	for _, service := range file.Services {
		if len(service) < 2 {
			continue
		}
		base, ok := pick(service[1])
		if !ok {
			continue
		}
		host := hostPort(base)
		t.hosts[host] = true
		if base.Scheme == "http" && base.Port() == "" {
			t.hosts[base.Hostname()+":443"] = true // a redirect to its own https
		}
		for _, suffix := range service[0] {
			if suffix = canonicalName(suffix); suffix != "" {
				t.servers[suffix] = server{base: base.String(), host: host, authoritative: true}
			}
		}
	}
	if len(t.servers) == 0 {
		return nil, errors.New("it names no usable server (RFC 9224: services, each with suffixes and base URLs)")
	}
	if c.cfg.Bootstrap == "" && !c.cfg.NoSupplemental {
		return t, t.supplement(supplementalFile)
	}
	return t, nil
}

// supplement adds the servers of country TLDs that IANA does not list, without authority.
func (t *table) supplement(data []byte) error {
	var file struct {
		Servers []struct {
			TLD  string `json:"tld"`
			Base string `json:"rdapServer"`
		} `json:"ccTldRdapServers"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return fmt.Errorf("the supplemental list: %w", err)
	}
	for _, e := range file.Servers {
		base, ok := pick([]string{e.Base})
		tld := canonicalName(e.TLD)
		if _, listed := t.servers[tld]; !ok || base.Scheme != "https" || tld == "" || listed { // without TLS only where IANA says so
			continue
		}
		t.servers[tld] = server{base: base.String(), host: hostPort(base)}
	}
	return nil
}

// pick gives the first https base URL; plain http only where there is no other.
func pick(bases []string) (*url.URL, bool) {
	var plain *url.URL
	for _, b := range bases {
		u, err := url.Parse(strings.TrimSpace(b))
		if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			continue
		}
		u.Host = strings.ToLower(u.Host)
		if !strings.HasSuffix(u.Path, "/") {
			u = u.JoinPath("/")
		}
		switch {
		case u.Scheme == "https":
			return u, true
		case u.Scheme == "http" && plain == nil:
			plain = u
		}
	}
	return plain, plain != nil
}
