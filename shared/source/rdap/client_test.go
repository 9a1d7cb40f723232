package rdap

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/source"
)

func TestLookupObserved(t *testing.T) {
	var asked *http.Request
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(context.Background())
		respond(200, jsonType, goodBody)(w, r)
	})
	c := newClient(t, srv.URL, func(cfg *Config) { cfg.UserAgent = "guard/1 (+https://guard.example/contact)" })
	got := c.Lookup(t.Context(), "lapsed.example", "example")
	want := source.Observation{
		Source: source.SourceRDAP, Server: srv.URL + "/rdap/", At: noon, Outcome: source.Observed,
		Said: "status: client hold, pending delete; registration 2019-03-01; expiration 2026-03-01",
		Registration: &source.Registration{
			Authoritative: true,
			Statuses:      []string{"client hold", "pending delete"},
			Registered:    time.Date(2019, 3, 1, 10, 0, 0, 0, time.UTC),
			Expires:       time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if asked.Method != "GET" || asked.URL.Path != "/rdap/domain/lapsed.example" ||
		asked.Header.Get("Accept") != jsonType || asked.UserAgent() != "guard/1 (+https://guard.example/contact)" {
		t.Errorf("asked %s %s %v", asked.Method, asked.URL, asked.Header)
	}
}

func TestLookup200(t *testing.T) {
	for _, tc := range []struct {
		name, kind, body string
		want             source.Cause
	}{
		{"error inside", jsonType, `{"errorCode":404,"title":"Not Found"}`, source.CauseErrorInside},
		{"error beside a domain", jsonType, `{"objectClassName":"domain","ldhName":"lapsed.example","errorCode":"500"}`, source.CauseErrorInside},
		{"odd error code", jsonType, `{"objectClassName":"domain","errorCode":{}}`, source.CauseErrorInside},
		{"search results", jsonType, `{"domainSearchResults":[` + goodBody + `]}`, source.CauseSearch},
		{"search results beside a domain", jsonType, `{"nameserverSearchResults":[],` + goodBody[1:], source.CauseSearch},
		{"entities found", jsonType, `{"rdapConformance":["rdap_level_0"],"entitySearchResults":[]}`, source.CauseSearch},
		{"entity", jsonType, `{"objectClassName":"entity","handle":"X"}`, source.CauseWrongClass},
		{"help", jsonType, `{"rdapConformance":["rdap_level_0"],"notices":[]}`, source.CauseWrongClass},
		{"name server", jsonType, `{"objectClassName":"nameserver","ldhName":"lapsed.example"}`, source.CauseWrongClass},
		{"second class", jsonType, `{"objectClassName":"domain","objectClassName":"entity","ldhName":"lapsed.example"}`, source.CauseWrongClass},
		{"no class, no name", jsonType, `{"status":["active"]}`, source.CauseWrongClass},
		{"empty object", jsonType, `{}`, source.CauseWrongClass},
		{"other name", jsonType, `{"objectClassName":"domain","ldhName":"other.example"}`, source.CauseWrongName},
		{"parent", jsonType, `{"objectClassName":"domain","ldhName":"example"}`, source.CauseWrongName},
		{"second name", jsonType, `{"objectClassName":"domain","ldhName":"lapsed.example","ldhName":"other.example"}`, source.CauseWrongName},
		{"other unicode name", jsonType, `{"objectClassName":"domain","ldhName":"lapsed.example","unicodeName":"other.example"}`, source.CauseWrongName},
		{"odd unicode name alone", jsonType, `{"objectClassName":"domain","unicodeName":"a b"}`, source.CauseWrongName},
		{"html", "text/html", "<!doctype html><title>Down</title>", source.CauseHTML},
		{"html said to be json", jsonType, "\r\n <html>", source.CauseHTML},
		{"empty", jsonType, "", source.CauseEmptyBody},
		{"blank", jsonType, " \r\n", source.CauseEmptyBody},
		{"text", "text/plain", "No match for domain", source.CauseNotRDAP},
		{"array", jsonType, `[` + goodBody + `]`, source.CauseMalformed},
		{"null", jsonType, `null`, source.CauseMalformed},
		{"cut off", jsonType, goodBody[:len(goodBody)-3], source.CauseMalformed},
		{"trailing junk", jsonType, goodBody + "}", source.CauseMalformed},
		{"second object", jsonType, goodBody + goodBody, source.CauseMalformed},
		{"bad literal in a skipped member", jsonType, `{"notices":[nul],` + goodBody[1:], source.CauseMalformed},
		{"bad number in a skipped member", jsonType, `{"x":01,` + goodBody[1:], source.CauseMalformed},
		{"control character", jsonType, "{\"x\":\"\x01\"," + goodBody[1:], source.CauseMalformed},
		{"bad vCard of a registrar", jsonType, `{"entities":[{"roles":["registrar"],"vcardArray":["vcard",[[}]]}],` + goodBody[1:], source.CauseMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClient(t, serve(t, respond(200, tc.kind, tc.body)).URL)
			wantCause(t, c.Lookup(t.Context(), "lapsed.example", "example"), tc.want)
		})
	}
}

func TestLookup404(t *testing.T) {
	const rdapError = `{"rdapConformance":["rdap_level_0"],"errorCode":404,"title":"Object not found"}`
	for _, tc := range []struct {
		name, kind, body string
		want             source.Cause // none: absent
	}{
		{"empty", jsonType, "", source.CauseNone},
		{"blank", "text/plain", "\r\n", source.CauseNone},
		{"rdap error", jsonType, rdapError, source.CauseNone},
		{"rdap error sent as text", "text/plain", rdapError, source.CauseNone},
		{"code as a string", jsonType, `{"errorCode":"404"}`, source.CauseNone},
		{"conformance alone", jsonType, `{"rdapConformance":["rdap_level_0"],"notices":[]}`, source.CauseNone},
		{"html", "text/html", "<html>404</html>", source.CauseHTML},
		{"html said to be json", jsonType, "<html>404</html>", source.CauseHTML},
		{"text", "text/plain", "404 page not found", source.CauseNotRDAP},
		{"gateway's json", "application/json", `{"message":"no Route matched with those values"}`, source.CauseNotRDAP},
		{"another code", jsonType, `{"errorCode":429,"title":"slow down"}`, source.CauseErrorInside},
		{"a domain", jsonType, goodBody, source.CauseMalformed},
		{"cut off", jsonType, rdapError[:20], source.CauseMalformed},
		{"trailing junk", jsonType, rdapError + "x", source.CauseMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClient(t, serve(t, respond(404, tc.kind, tc.body)).URL)
			o := c.Lookup(t.Context(), "lapsed.example", "example")
			if tc.want != source.CauseNone {
				wantCause(t, o, tc.want)
				return
			}
			if o.Outcome != source.Absent || o.Cause != source.CauseNone || !strings.HasPrefix(o.Said, "HTTP 404") {
				t.Errorf("got %+v, want absent", o)
			}
		})
	}
}

func TestLookupRefusals(t *testing.T) {
	in90 := noon.Add(90 * time.Second).Format(http.TimeFormat)
	for _, tc := range []struct {
		status int
		retry  string
		want   source.Cause
		after  time.Duration
	}{
		{429, "", source.CauseRateLimited, 0},
		{429, "120", source.CauseRateLimited, 2 * time.Minute},
		{429, in90, source.CauseRateLimited, 90 * time.Second},
		{429, "soon", source.CauseRateLimited, 0},
		{429, "-5", source.CauseRateLimited, 0},
		{429, noon.Add(-time.Hour).Format(http.TimeFormat), source.CauseRateLimited, 0},
		{429, "99999999999999999999999", source.CauseRateLimited, MaxRetryAfter},
		{429, "18446744073709551615", source.CauseRateLimited, MaxRetryAfter},
		{429, "Fri, 31 Dec 9999 23:59:59 GMT", source.CauseRateLimited, MaxRetryAfter},
		{401, "", source.CauseForbidden, 0},
		{403, "60", source.CauseForbidden, time.Minute},
		{451, "", source.CauseForbidden, 0},
		{500, "", source.CauseServerError, 0},
		{503, "30", source.CauseServerError, 30 * time.Second},
		{400, "", source.CauseBadRequest, 0},
		{410, "", source.CauseBadRequest, 0},
		{422, "", source.CauseBadRequest, 0},
		{304, "", source.CauseRedirect, 0},
		{302, "", source.CauseRedirect, 0}, // without a Location
		{202, "", source.CauseNotRDAP, 0},
	} {
		t.Run(http.StatusText(tc.status)+" "+tc.retry, func(t *testing.T) {
			srv := serve(t, respond(tc.status, jsonType, `{"errorCode":1,"title":"go away\u0000\n"}`, "Retry-After", tc.retry))
			o := newClient(t, srv.URL).Lookup(t.Context(), "lapsed.example", "example")
			wantCause(t, o, tc.want)
			if o.RetryAfter != tc.after {
				t.Errorf("RetryAfter %v, want %v", o.RetryAfter, tc.after)
			}
			if tc.status != 304 && !strings.HasSuffix(o.Said, "errorCode 1: go away") {
				t.Errorf("said %q", o.Said)
			}
		})
	}
}

func TestSupplementalProvesNoAbsence(t *testing.T) {
	srv := httptest.NewTLSServer(respond(404, jsonType, `{"errorCode":404}`))
	t.Cleanup(srv.Close)
	c, err := New(Config{Transport: internet(t, srv), Now: at(noon)})
	if err != nil {
		t.Fatal(err)
	}
	wantCause(t, c.Lookup(t.Context(), "lapsed.io", "io"), source.CauseNotAuthority)
	if o := c.Lookup(t.Context(), "lapsed.com", "com"); o.Outcome != source.Absent {
		t.Errorf("com: got %+v, want absent", o)
	}
	wantCause(t, c.Lookup(t.Context(), "lapsed.cn", "cn"), source.CauseNoServer)
}

func TestSupplementalIsBelievedInWhatItSays(t *testing.T) {
	srv := httptest.NewTLSServer(respond(200, jsonType, `{"objectClassName":"domain","status":["active"]}`))
	t.Cleanup(srv.Close)
	c, err := New(Config{Transport: internet(t, srv), Now: at(noon)})
	if err != nil {
		t.Fatal(err)
	}
	o := c.Lookup(t.Context(), "lapsed.io", "io")
	if o.Outcome != source.Observed || o.Registration.Authoritative {
		t.Errorf("got %+v", o)
	}
}

func TestLookupBadQuestion(t *testing.T) {
	srv := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	c := newClient(t, srv.URL)
	for _, q := range [][2]string{
		{"", "example"}, {"lapsed.org", "example"}, {"example", "example"}, {"a/../b.example", "example"},
		{"a b.example", "example"}, {"a..example", "example"}, {".example", "example"}, {"lapsed.example", ""},
		{strings.Repeat("a", 64) + ".example", "example"}, {"a?x=.example", "example"},
	} {
		wantCause(t, c.Lookup(t.Context(), q[0], q[1]), source.CauseInternal)
	}
	wantCause(t, c.Lookup(t.Context(), "lapsed.invalid", "invalid"), source.CauseNoServer)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	wantCause(t, c.Lookup(gone, "lapsed.example", "example"), source.CauseNotAsked)
}

func TestLookupTransportFailures(t *testing.T) {
	hang := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	drip := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, `{"objectClassName":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	reset := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	short := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, goodBody)
	})
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, tc := range []struct {
		name, url string
		want      source.Cause
	}{
		{"silence", hang.URL, source.CauseTimeout},
		{"silence in the body", drip.URL, source.CauseTimeout},
		{"refused", gone.URL, source.CauseUnreachable},
		{"reset", reset.URL, source.CauseUnreachable},
		{"cut off", short.URL, source.CauseUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClient(t, tc.url, func(cfg *Config) {
				if tc.want == source.CauseTimeout {
					cfg.Timeout = 50 * time.Millisecond
				}
			})
			wantCause(t, c.Lookup(t.Context(), "lapsed.example", "example"), tc.want)
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	asked := make(chan struct{})
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	wantCause(t, newClient(t, srv.URL).Lookup(ctx, "lapsed.example", "example"), source.CauseNotAsked)
}

func TestHostileBodies(t *testing.T) {
	huge := `{"x":"` + strings.Repeat("a", 30<<20) + `"}`
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, huge)
	_ = z.Close()
	many := `{"objectClassName":"domain","status":[` + strings.Repeat(`"a",`, 3) + `"s0"`
	for i := range 200 {
		many += fmt.Sprintf(`,"s%d"`, i)
	}
	nested := func(n int) string {
		return `{"objectClassName":"domain","ldhName":"lapsed.example","x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	entities := strings.Repeat(`{"entities":[`, 5000) + strings.Repeat(`]}`, 5000)
	for _, tc := range []struct {
		name string
		h    http.HandlerFunc
		want source.Cause
	}{
		{"30 MB with a length", respond(200, jsonType, huge, "Content-Length", "31457288"), source.CauseTooLarge},
		{"30 MB in chunks", respond(200, jsonType, huge), source.CauseTooLarge},
		{"30 MB in 30 kB", respond(200, jsonType, zipped.String(), "Content-Encoding", "gzip"), source.CauseTooLarge},
		{"30 MB of 404", respond(404, jsonType, huge), source.CauseTooLarge},
		{"30 MB of 503", respond(503, jsonType, huge), source.CauseServerError},
		{"not gzip", respond(200, jsonType, goodBody, "Content-Encoding", "gzip"), source.CauseMalformed},
		{"100,000 deep", respond(200, jsonType, nested(100_000)), source.CauseTooDeep},
		{"100,000 deep and open", respond(200, jsonType, nested(100_000)[:90_000]), source.CauseTooDeep},
		{"100,000 deep in a 404", respond(404, jsonType, nested(100_000)), source.CauseTooDeep},
		{"100,000 deep in a vCard", respond(200, jsonType, `{"entities":[{"vcardArray":`+nested(100_000)+`}]}`), source.CauseTooDeep},
		{"20,000 entities deep", respond(200, jsonType, strings.Repeat(`{"entities":[`, 20_000)+strings.Repeat(`]}`, 20_000)), source.CauseTooDeep},
		{"10,000 deep", respond(200, jsonType, nested(9_999)), source.CauseNone},
		{"10,000 slashes in a name", respond(200, jsonType, `{"`+strings.Repeat("/", 10_000)+`":[x]}`), source.CauseMalformed},
		{"200 statuses", respond(200, jsonType, many+`]}`), source.CauseMalformed},
		{"a name of 300,000 letters", respond(200, jsonType, `{"objectClassName":"domain","ldhName":"`+letters(300_000)+`"}`), source.CauseWrongName},
		{"name servers of 300,000 letters", respond(200, jsonType, `{"objectClassName":"domain","nameservers":["`+letters(300_000)+`"]}`), source.CauseNone},
		{"1,000 deep", respond(200, jsonType, nested(1000)), source.CauseNone},
		{"4,900 entities deep", respond(200, jsonType, `{"objectClassName":"domain","entities":[`+entities[:4900*13]+entities[len(entities)-4900*2:]+`]}`), source.CauseNone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := newClient(t, serve(t, tc.h).URL).Lookup(t.Context(), "lapsed.example", "example")
			if tc.want != source.CauseNone {
				wantCause(t, o, tc.want)
			} else if o.Outcome != source.Observed {
				t.Errorf("got %q %q", o.Cause, o.Said)
			}
		})
	}
}

// letters gives n different letters, the worst case of Punycode.
func letters(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune(rune(0x3400 + i%20000))
	}
	return b.String()
}

func TestBodyAtTheLimit(t *testing.T) {
	srv := serve(t, respond(200, jsonType, goodBody))
	for limit, want := range map[int]source.Outcome{len(goodBody): source.Observed, len(goodBody) - 1: source.Unknown} {
		c := newClient(t, srv.URL, func(cfg *Config) { cfg.MaxBody = int64(limit) })
		if o := c.Lookup(t.Context(), "lapsed.example", "example"); o.Outcome != want {
			t.Errorf("limit %d: got %s %q", limit, o.Outcome, o.Cause)
		}
	}
}

// TestBuffersStartEmpty: what was not decoded does not precede the next answer.
func TestBuffersStartEmpty(t *testing.T) {
	n := 0
	c := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n%2 == 1 {
			respond(200, "text/html", "<html>")(w, r)
			return
		}
		respond(200, jsonType, goodBody)(w, r)
	}).URL)
	for range 4 {
		wantCause(t, c.Lookup(t.Context(), "lapsed.example", "example"), source.CauseHTML)
		if o := c.Lookup(t.Context(), "lapsed.example", "example"); o.Outcome != source.Observed {
			t.Errorf("got %q %q", o.Cause, o.Said)
		}
	}
}

// TestConcurrentLookups lets pooled buffers meet: each answer must be about its own name.
func TestConcurrentLookups(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/rdap/domain/")
		respond(200, jsonType, `{"objectClassName":"domain","ldhName":"`+name+`","nameservers":[{"ldhName":"ns.`+name+`"}]}`)(w, r)
	})
	c := newClient(t, srv.URL)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := strings.Repeat("a", i+1) + ".example"
			for range 50 {
				o := c.Lookup(t.Context(), name, "example")
				if o.Outcome != source.Observed || o.Registration.NameServers[0] != "ns."+name {
					t.Errorf("%s: got %+v", name, o)
				}
			}
		})
	}
	wg.Wait()
}
