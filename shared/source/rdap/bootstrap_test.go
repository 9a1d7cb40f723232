package rdap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errOffline = errors.New("offline")

var offline = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errOffline })

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

func TestServerOfTheBuiltInFiles(t *testing.T) {
	c, err := New(Config{Transport: offline})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		tld, base         string
		authoritative, ok bool
	}{
		{"com", "https://rdap.verisign.com/com/v1/", true, true},
		{"COM.", "https://rdap.verisign.com/com/v1/", true, true},
		{"kg", "http://rdap.cctld.kg/", true, true},
		{"io", "https://rdap.identitydigital.services/rdap/", false, true},
		{"de", "https://rdap.denic.de/", false, true},
		{"рус", "", true, true},
		{"cn", "", false, false},
		{"", "", false, false},
	} {
		base, authoritative, ok := c.Server(tc.tld)
		if authoritative != tc.authoritative || ok != tc.ok || tc.base != "" && base != tc.base {
			t.Errorf("%s: got %q %v %v", tc.tld, base, authoritative, ok)
		}
	}
	if c, err = New(Config{Transport: offline, NoSupplemental: true}); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := c.Server("io"); ok {
		t.Error("io: the supplemental list is off")
	}
}

func TestConfiguredBootstrapReplacesAll(t *testing.T) {
	path := bootstrapFile(t,
		[2]string{"example co.example", "http://plain.example/a https://secure.example/b"},
		[2]string{"co.example", "http://127.0.0.1:8053"},
		[2]string{"bad", "ftp://x.example/ https://user@x.example/ https:///x https://x.example/?q"})
	c, err := New(Config{Bootstrap: path, Transport: offline})
	if err != nil {
		t.Fatal(err)
	}
	for tld, want := range map[string]string{
		"example": "https://secure.example/b/", "co.example": "http://127.0.0.1:8053/", "me.example": "https://secure.example/b/",
		"com": "", "io": "", "bad": "", "ple": "",
	} {
		if base, authoritative, ok := c.Server(tld); base != want || ok != (want != "") || authoritative != ok {
			t.Errorf("%s: got %q %v %v, want %q", tld, base, authoritative, ok, want)
		}
	}
}

func TestNewRefusesBadBootstraps(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := serve(t, http.NotFound)
	for name, where := range map[string]string{
		"no such file": filepath.Join(dir, "none.json"),
		"a directory":  dir,
		"not JSON":     file("a", "x"),
		"no services":  file("b", `{"services":[]}`),
		"odd services": file("c", `{"services":[[],[["a"]],[["a"],["x"]],[["a"],[]]]}`),
		"too large":    file("d", `{"services":[]}`+strings.Repeat(" ", maxBootstrap)),
		"HTTP 404":     missing.URL,
		"odd scheme":   "ftp://data.example/dns.json",
		"no host":      "https:///dns.json",
	} {
		_, err := New(Config{Bootstrap: where, Timeout: 5 * time.Second})
		if err == nil || !strings.Contains(err.Error(), "RFC 9224") {
			t.Errorf("%s: got %v, want an error with a remedy", name, err)
		}
	}
	if _, err := New(Config{Timeout: -1}); err == nil {
		t.Error("took a negative timeout")
	}
}

// ianaWith is a file of IANA's size in which com has another server.
func ianaWith(base string) string {
	return strings.ReplaceAll(string(ianaFile), "https://rdap.verisign.com/com/v1/", base)
}

func TestRefresh(t *testing.T) {
	now := noon
	var answer *http.Response
	asked := 0
	var log bytes.Buffer
	c, err := New(Config{
		Now: func() time.Time { return now }, Refresh: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked++
			if r.URL.String() != DefaultBootstrap {
				t.Errorf("asked %s", r.URL)
			}
			if answer == nil {
				return nil, errOffline
			}
			return answer, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	base := func() string {
		base, _, _ := c.Server("com")
		return base
	}
	const old, fresh = "https://rdap.verisign.com/com/v1/", "https://fresh.example/"
	step := func(name string, after time.Duration, a *http.Response, want string, wantAsked int) {
		t.Helper()
		now, answer = now.Add(after), a
		if got := base(); got != want || asked != wantAsked {
			t.Errorf("%s: %s after %d requests, want %s after %d", name, got, asked, want, wantAsked)
		}
	}
	step("IANA cannot be reached", 0, nil, old, 1)
	if !strings.Contains(log.String(), "offline") {
		t.Errorf("log: %q", log.String())
	}
	step("a failure counts as the attempt", 59*time.Minute, nil, old, 1)
	step("error page", time.Minute, reply(503, "x"), old, 2)
	step("not the file", time.Hour, reply(200, "<html>"), old, 3)
	step("a crippled file", time.Hour, reply(200, `{"services":[[["com"],["https://evil.example/"]]]}`), old, 4)
	step("the file", time.Hour, reply(200, ianaWith(fresh)), fresh, 5)
	step("not due", 59*time.Minute, reply(200, ianaWith(old)), fresh, 5)
	if _, authoritative, ok := c.Server("io"); authoritative || !ok {
		t.Error("the refresh lost the supplemental list")
	}
	const listed = `"services":[[["io"],["https://rdap.nic.io/"]],`
	step("IANA comes to list io", time.Hour, reply(200, strings.Replace(string(ianaFile), `"services": [`, listed, 1)), old, 6)
	if io, authoritative, _ := c.Server("io"); io != "https://rdap.nic.io/" || !authoritative {
		t.Errorf("the supplemental list overrules IANA: %q %v", io, authoritative)
	}
}

func TestRefreshIsSingleFlightAndBounded(t *testing.T) {
	var asked atomic.Int32
	release := make(chan struct{})
	c, err := New(Config{
		Timeout: 50 * time.Millisecond,
		Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			asked.Add(1)
			<-release // not even the context's end frees it
			return reply(200, ianaWith("https://fresh.example/")), nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, ok := c.Server("com"); !ok {
				t.Error("com has no server")
			}
		})
	}
	wg.Wait() // none waits for the release
	close(release)
	if asked.Load() != 1 {
		t.Errorf("%d requests, want 1", asked.Load())
	}
}

func TestBootstrapFileIsReadAgain(t *testing.T) {
	now := noon
	path := bootstrapFile(t, [2]string{"example", "https://a.example/"})
	c, err := New(Config{Bootstrap: path, Refresh: time.Hour, Now: func() time.Time { return now }, Transport: offline})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(bootstrapFile(t, [2]string{"example", "https://b.example/"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if base, _, _ := c.Server("example"); base != "https://a.example/" {
		t.Error("before it is due:", base)
	}
	now = now.Add(time.Hour)
	if base, _, _ := c.Server("example"); base != "https://b.example/" {
		t.Error("when due:", base)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if base, _, _ := c.Server("example"); base != "https://b.example/" {
		t.Error("when the file is gone:", base)
	}
}

func TestBootstrapByURL(t *testing.T) {
	srv := serve(t, respond(200, "application/json", `{"services":[[["example"],["http://127.0.0.1:1/"]]]}`))
	c, err := New(Config{Bootstrap: srv.URL + "/dns.json"})
	if err != nil {
		t.Fatal(err)
	}
	if base, authoritative, _ := c.Server("example"); base != "http://127.0.0.1:1/" || !authoritative {
		t.Error(base, authoritative)
	}
}

func to(location string) http.HandlerFunc {
	return respond(302, "text/html", "<html>", "Location", location)
}

// redirections are what the hosts of the bootstrap file answer, and what comes of it.
var redirections = []struct {
	name  string
	hosts map[string]http.HandlerFunc // by host and path
	want  source.Cause                // none: observed
}{
	{"within the server", map[string]http.HandlerFunc{
		"rdap.example/domain/lapsed.example":    to("/v1/domain/lapsed.example"),
		"rdap.example/v1/domain/lapsed.example": respond(200, jsonType, goodBody),
	}, source.CauseNone},
	{"to a listed host", map[string]http.HandlerFunc{
		"rdap.example/domain/lapsed.example":  to("https://OTHER.example/domain/lapsed.example"),
		"other.example/domain/lapsed.example": respond(200, jsonType, goodBody),
	}, source.CauseNone},
	{"three", map[string]http.HandlerFunc{
		"rdap.example/domain/lapsed.example":   to("/2/domain/lapsed.example"),
		"rdap.example/2/domain/lapsed.example": to("/3/domain/lapsed.example"),
		"rdap.example/3/domain/lapsed.example": to("/4/domain/lapsed.example"),
		"rdap.example/4/domain/lapsed.example": respond(200, jsonType, goodBody),
	}, source.CauseNone},
	{"for ever", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("/domain/lapsed.example")}, source.CauseRedirect},
	{"to a host not listed", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://evil.example/domain/lapsed.example")}, source.CauseRedirect},
	{"to another port", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://other.example:8443/domain/lapsed.example")}, source.CauseRedirect},
	{"to plain http", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("http://other.example/domain/lapsed.example")}, source.CauseRedirect},
	{"with a user", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://u@other.example/domain/lapsed.example")}, source.CauseRedirect},
	{"to a listed loopback", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://127.0.0.1/domain/lapsed.example")}, source.CauseRedirect},
	{"to a listed mapped loopback", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://[::ffff:127.0.0.1]/domain/lapsed.example")}, source.CauseRedirect},
	{"to a listed private address", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://10.0.0.1/domain/lapsed.example")}, source.CauseRedirect},
	{"to a listed link-local address", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://169.254.169.254/domain/lapsed.example")}, source.CauseRedirect},
	{"to a listed localhost", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://localhost/domain/lapsed.example")}, source.CauseRedirect},
	{"nowhere", map[string]http.HandlerFunc{"rdap.example/domain/lapsed.example": to("https://%zz")}, source.CauseRedirect},
	{"404 of another server", map[string]http.HandlerFunc{
		"rdap.example/domain/lapsed.example":  to("https://other.example/domain/lapsed.example"),
		"other.example/domain/lapsed.example": respond(404, jsonType, `{"errorCode":404}`),
	}, source.CauseNotAuthority},
	{"404 of another page", map[string]http.HandlerFunc{
		"rdap.example/domain/lapsed.example": to("/maintenance"),
		"rdap.example/maintenance":           respond(404, jsonType, ""),
	}, source.CauseNotAuthority},
	{"nameless answer of another page", map[string]http.HandlerFunc{
		"rdap.example/domain/lapsed.example": to("/domain/other.example"),
		"rdap.example/domain/other.example":  respond(200, jsonType, `{"objectClassName":"domain","status":["pending delete"]}`),
	}, source.CauseWrongName},
}

func TestRedirects(t *testing.T) {
	for _, tc := range redirections {
		t.Run(tc.name, func(t *testing.T) {
			var asked atomic.Int32
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				h, ok := tc.hosts[strings.ToLower(r.Host)+r.URL.Path]
				if !ok {
					t.Errorf("asked %s%s", r.Host, r.URL.Path)
					return
				}
				h(w, r)
			}))
			t.Cleanup(srv.Close)
			path := bootstrapFile(t, [2]string{"example", "https://rdap.example/"}, [2]string{"x", "https://other.example"},
				[2]string{"y", "https://127.0.0.1"}, [2]string{"z", "https://10.0.0.1"}, [2]string{"l", "https://localhost/"},
				[2]string{"v", "https://169.254.169.254/"}, [2]string{"w", "https://[::ffff:127.0.0.1]/"})
			c, err := New(Config{Bootstrap: path, Transport: internet(t, srv), Now: at(noon)})
			if err != nil {
				t.Fatal(err)
			}
			o := c.Lookup(t.Context(), "lapsed.example", "example")
			if asked.Load() > 1+maxRedirects {
				t.Errorf("%d requests", asked.Load())
			}
			if tc.want != source.CauseNone {
				wantCause(t, o, tc.want)
			} else if o.Outcome != source.Observed || o.Registration.Authoritative == (tc.name == "to a listed host") {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// TestPlainLoopbackServerMayNotRedirect: that the operator configured a loopback server opens no door for others.
func TestPlainLoopbackServerMayNotRedirect(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/rdap/domain/lapsed.example" {
			t.Errorf("followed to %s", r.URL.Path)
		}
		http.Redirect(w, r, "/else/domain/lapsed.example", http.StatusFound)
	})
	wantCause(t, newClient(t, srv.URL).Lookup(t.Context(), "lapsed.example", "example"), source.CauseRedirect)
}

// TestPlainServerMayMoveToHTTPS: a server that is listed with plain http may redirect to its own https, and only there.
func TestPlainServerMayMoveToHTTPS(t *testing.T) {
	for scheme, want := range map[string]source.Outcome{"https": source.Observed, "http": source.Unknown} {
		c, err := New(Config{
			Bootstrap: bootstrapFile(t, [2]string{"example", "http://plain.example/"}),
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if strings.HasPrefix(r.URL.Path, "/v1/") {
					return reply(200, goodBody), nil
				}
				resp := reply(302, "")
				resp.Header.Set("Location", scheme+"://plain.example/v1/domain/lapsed.example")
				return resp, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if o := c.Lookup(t.Context(), "lapsed.example", "example"); o.Outcome != want {
			t.Errorf("%s: got %+v", scheme, o)
		}
	}
}

// TestRedirectDialsOnlyPublicAddresses is for a listed name that leads to a loopback address.
func TestRedirectDialsOnlyPublicAddresses(t *testing.T) {
	srv := serve(t, respond(200, jsonType, goodBody))
	c := newClient(t, srv.URL)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.direct.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	resp, err = c.followed.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, errNotPublic) || causeOfError(err) != source.CauseRedirect {
		t.Errorf("got %v", err)
	}
}

func TestPublic(t *testing.T) {
	for ip, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "2001:4860:4860::8888": true,
		"127.0.0.1": false, "::1": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "224.0.0.1": false, "255.255.255.255": false,
		"240.0.0.1": false, "198.18.0.1": false, "192.0.2.1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false,
		"ff02::1": false, "::ffff:10.0.0.1": false, "::ffff:100.64.0.1": false, "::ffff:8.8.8.8": true, "64:ff9b::a00:1": false, "2002:a00:1::": false, "::10.0.0.1": false, "2001:db8::1": false,
	} {
		if got := public(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
}

// TestRefreshOutlivesItsCaller: a caller with little time does not spoil the refresh for the next one.
func TestRefreshOutlivesItsCaller(t *testing.T) {
	started, release, fetched := make(chan struct{}), make(chan struct{}), make(chan struct{})
	c, err := New(Config{Now: at(noon), Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		defer close(fetched)
		close(started)
		<-release
		if r.Context().Err() != nil {
			t.Error("the caller's end reached the refresh")
		}
		return reply(200, ianaWith("https://fresh.example/")), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	wantCause(t, c.Lookup(ctx, "lapsed.com", "com"), source.CauseNotAsked)
	close(release)
	<-fetched
	if base, _, _ := c.Server("com"); base != "https://fresh.example/" {
		t.Error(base)
	}
}
