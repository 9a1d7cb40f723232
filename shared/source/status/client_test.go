package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/source"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const secretToken = "Abc123+/Def456=XYZ" // changes when it is escaped

func fixed(token string) func(context.Context, bool) (string, error) {
	return func(context.Context, bool) (string, error) { return token, nil }
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func respond(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// newClient gives a client of api at url, and what it logs.
func newClient(t testing.TB, api, url string, change ...func(*Config)) (*Client, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	cfg := Config{
		API: api, URL: url, Token: fixed(secretToken), Timeout: 5 * time.Second,
		Now: func() time.Time { return noon }, Log: slog.New(slog.NewJSONHandler(&log, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, &log
}

// clean fails where a token is in any of the texts, in any form or half of it.
func clean(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, form := range []string{secretToken[:6], url.QueryEscape(secretToken)[:9], secretToken[11:]} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				t.Errorf("the token is in %q", text)
			}
		}
	}
}

func wantCause(t *testing.T, o source.Observation, want source.Cause) {
	t.Helper()
	if o.Outcome != source.Unknown || o.Cause != want || o.Market != nil {
		t.Errorf("got %s %q (%q), want unknown %q", o.Outcome, o.Cause, o.Said, want)
	}
	if len(o.Said) > source.MaxSaid {
		t.Errorf("%d bytes said", len(o.Said))
	}
	clean(t, o.Said)
}

func TestFastly(t *testing.T) {
	var asked *http.Request
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(context.Background())
		respond(200, "application/json", `{"domain":"lapsed.example","zone":"example","status":"undelegated Inactive","tags":"generic","offers":[{"price":"1"}]}`)(w, r)
	})
	c, log := newClient(t, Fastly, at+"/status", func(cfg *Config) {
		cfg.UserAgent = "guard/1"
		cfg.Token = fixed(" " + secretToken + "\n")
	})
	want := source.Observation{
		Source: source.SourceStatus, Server: "fastly", At: noon, Outcome: source.Observed,
		Said: "status: undelegated inactive", Market: &source.Market{Tokens: []string{"undelegated", "inactive"}, Precise: true},
	}
	if d := cmp.Diff(want, c.Status(t.Context(), "lapsed.example")); d != "" {
		t.Error(d)
	}
	if asked.URL.RequestURI() != "/status?domain=lapsed.example" || asked.Header.Get("Fastly-Key") != secretToken || asked.UserAgent() != "guard/1" {
		t.Errorf("asked %s %v", asked.URL, asked.Header)
	}
	clean(t, log.String())
}

func TestDomainr(t *testing.T) {
	var asked *http.Request
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(context.Background())
		respond(200, "application/json", `{"status":[{"domain":"www.example","status":"active"},{"domain":"LAPSED.example.","zone":"example","status":"active expiring","summary":"expiring"}]}`)(w, r)
	})
	c, log := newClient(t, Domainr, at)
	o := c.Status(t.Context(), "lapsed.example")
	want := &source.Market{Tokens: []string{"active", "expiring"}, Precise: true}
	if d := cmp.Diff(want, o.Market); d != "" || o.Server != "domainr-v2" {
		t.Error(d, o)
	}
	q := asked.URL.Query()
	if q.Get("domain") != "lapsed.example" || q.Get("client_id") != secretToken || asked.Header.Get("Fastly-Key") != "" {
		t.Errorf("asked %s %v", asked.URL, asked.Header)
	}
	clean(t, log.String())
}

const head = `{"domain":"lapsed.example",`

// answers are bodies of a 200 and what they are taken for.
var answers = []struct {
	name, api, body string
	tokens          []string // empty: unknown with cause
	precise         bool
	cause           source.Cause
}{
	{"unlisted tokens", Fastly, head + `"status":"active quantum-held"}`, []string{"active", "quantum-held"}, true, ""},
	{"both", Fastly, head + `"status":"inactive active"}`, []string{"inactive", "active"}, true, ""},
	{"unknown is for others to judge", Fastly, head + `"status":"undelegated unknown"}`, []string{"undelegated", "unknown"}, true, ""},
	{"odd spaces", Fastly, head + `"status":"  active\t zone\n"}`, []string{"active", "zone"}, true, ""},
	{"estimate", Fastly, head + `"status":"undelegated","scope":"estimate"}`, []string{"undelegated"}, false, ""},
	{"precise", Fastly, head + `"status":"undelegated","scope":"precise"}`, []string{"undelegated"}, true, ""},
	{"unlisted scope", Fastly, head + `"status":"undelegated","scope":"guess"}`, []string{"undelegated"}, false, ""},
	{"message beside an answer", Fastly, head + `"status":"active","message":"v2 ends soon","errors":[]}`, []string{"active"}, true, ""},
	{"U-label", Fastly, `{"domain":"LAPSED.EXAMPLE.","status":"active"}`, []string{"active"}, true, ""},
	{"no scope in v2", Domainr, `{"status":[{"domain":"lapsed.example","status":"active"}],"errors":null}`, []string{"active"}, true, ""},

	{"other domain", Fastly, `{"domain":"other.example","status":"active"}`, nil, false, source.CauseWrongName},
	{"other domain, long", Fastly, `{"domain":"` + strings.Repeat("ü", 100_000) + `","status":"active"}`, nil, false, source.CauseWrongName},
	{"no domain", Fastly, `{"status":"active"}`, nil, false, source.CauseMalformed},
	{"domain not a string", Fastly, `{"domain":7,"status":"active"}`, nil, false, source.CauseMalformed},
	{"no status", Fastly, head + `"zone":"example"}`, nil, false, source.CauseMalformed},
	{"empty status", Fastly, head + `"status":""}`, nil, false, source.CauseMalformed},
	{"blank status", Fastly, head + `"status":" \n"}`, nil, false, source.CauseMalformed},
	{"status null", Fastly, head + `"status":null}`, nil, false, source.CauseMalformed},
	{"status a number", Fastly, head + `"status":200}`, nil, false, source.CauseMalformed},
	{"status a list", Fastly, head + `"status":["active"]}`, nil, false, source.CauseMalformed},
	{"status an object", Fastly, head + `"status":{}}`, nil, false, source.CauseMalformed},
	{"repeated status", Fastly, head + `"status":"active","status":"deleting"}`, nil, false, source.CauseMalformed},
	{"control characters", Fastly, head + `"status":"active \u0000x"}`, nil, false, source.CauseMalformed},
	{"letters beyond ASCII", Fastly, head + `"status":"aktivé"}`, nil, false, source.CauseMalformed},
	{"long token", Fastly, head + `"status":"` + strings.Repeat("a", 65) + `"}`, nil, false, source.CauseMalformed},
	{"many tokens", Fastly, head + `"status":"` + strings.Repeat("a ", 33) + `"}`, nil, false, source.CauseMalformed},
	{"the token as a token", Fastly, head + `"status":"active ` + secretToken + `"}`, nil, false, source.CauseMalformed},
	{"not UTF-8", Fastly, head + "\"status\":\"active\",\"x\":\"\xff\"}", nil, false, source.CauseMalformed},
	{"trailing junk", Fastly, head + `"status":"active"}}`, nil, false, source.CauseMalformed},
	{"cut off", Fastly, head + `"status":"active"`, nil, false, source.CauseMalformed},
	{"html", Fastly, `<html>`, nil, false, source.CauseMalformed},
	{"nothing", Fastly, ``, nil, false, source.CauseMalformed},
	{"list", Fastly, `[]`, nil, false, source.CauseMalformed},
	{"100,000 deep", Fastly, head + `"status":"active","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, nil, false, source.CauseMalformed},
	{"too large", Fastly, head + `"status":"active"}` + strings.Repeat(" ", maxBody), nil, false, source.CauseTooLarge},
	{"problem in a 200", Fastly, `{"type":"about:blank","title":"Bad Request","status":400,"detail":"domain"}`, nil, false, source.CauseErrorInside},
	{"message in a 200", Fastly, `{"message":"no"}`, nil, false, source.CauseErrorInside},
	{"errors beside an answer", Fastly, head + `"status":"inactive","errors":[{"code":500}]}`, nil, false, source.CauseErrorInside},

	{"v2: errors in a 200", Domainr, `{"status":[],"errors":[{"code":400,"detail":"bad","message":"invalid"}]}`, nil, false, source.CauseErrorInside},
	{"v2: errors beside an answer", Domainr, `{"status":[{"domain":"lapsed.example","status":"inactive"}],"errors":["x"]}`, nil, false, source.CauseErrorInside},
	{"v2: message", Domainr, `{"message":"You are not subscribed"}`, nil, false, source.CauseErrorInside},
	{"v2: empty list", Domainr, `{"status":[]}`, nil, false, source.CauseMalformed},
	{"v2: other domain", Domainr, `{"status":[{"domain":"other.example","status":"inactive"}]}`, nil, false, source.CauseWrongName},
	{"v2: nameless", Domainr, `{"status":[{"status":"inactive"}]}`, nil, false, source.CauseWrongName},
	{"v2: twice", Domainr, `{"status":[{"domain":"lapsed.example","status":"inactive"},{"domain":"lapsed.example","status":"active"}]}`, nil, false, source.CauseMalformed},
	{"v2: empty status", Domainr, `{"status":[{"domain":"lapsed.example","status":""}]}`, nil, false, source.CauseMalformed},
	{"v2: odd status", Domainr, `{"status":[{"domain":"lapsed.example","status":7}]}`, nil, false, source.CauseMalformed},
	{"v2: Fastly's form", Domainr, head + `"status":"active"}`, nil, false, source.CauseMalformed},
	{"v2's form at Fastly", Fastly, `{"status":[{"domain":"lapsed.example","status":"active"}]}`, nil, false, source.CauseMalformed},
}

func TestAnswers(t *testing.T) {
	for _, tc := range answers {
		t.Run(tc.name, func(t *testing.T) {
			c, log := newClient(t, tc.api, serve(t, respond(200, "application/json", tc.body)))
			o := c.Status(t.Context(), "lapsed.example")
			clean(t, log.String())
			if tc.cause != "" {
				wantCause(t, o, tc.cause)
				return
			}
			if o.Outcome != source.Observed || !slices.Equal(o.Market.Tokens, tc.tokens) || o.Market.Precise != tc.precise {
				t.Errorf("got %+v %+v", o, o.Market)
			}
		})
	}
}

func TestUnicodeNameInTheAnswer(t *testing.T) {
	c, _ := newClient(t, Fastly, serve(t, respond(200, "application/json", `{"domain":"Bücher.example","status":"active"}`)))
	if o := c.Status(t.Context(), "xn--bcher-kva.example"); o.Outcome != source.Observed {
		t.Error(o)
	}
}

func TestErrors(t *testing.T) {
	echo := url.QueryEscape(secretToken)
	for _, tc := range []struct {
		status     int
		kind, body string
		retry      string
		want       source.Cause
		after      time.Duration
		said       string
	}{
		{400, "application/problem+json", `{"type":"about:blank","title":"Bad Request","status":400,"detail":"domain \u0000must be valid"}`, "", source.CauseBadRequest, 0, "HTTP 400: Bad Request; domain must be valid"},
		{400, "application/json", `{"message":"missing domain"}`, "", source.CauseBadRequest, 0, "HTTP 400: missing domain"},
		{400, "application/json", `{"errors":[{"title":"b","detail":"a"},"c",{"x":{"y":{"z":"too deep"}}}]}`, "", source.CauseBadRequest, 0, "HTTP 400: a; b; c"},
		{404, "text/html", `<html>`, "", source.CauseBadRequest, 0, "HTTP 404"},
		{401, "application/json", `{"msg":"Provided credentials are missing or invalid: ` + secretToken + `"}`, "", source.CauseForbidden, 0, "HTTP 401: Provided credentials are missing or invalid: [token]"},
		{403, "application/json", `{"message":"` + strings.Repeat("x", source.MaxSaid-20) + ` ` + secretToken + `"}`, "", source.CauseForbidden, 0, ""},
		{403, "application/json", `{"message":"` + strings.ToLower(secretToken) + ` ` + echo + `"}`, "", source.CauseForbidden, 0, "HTTP 403: [token] [token]"},
		{451, "application/json", ``, "", source.CauseForbidden, 0, "HTTP 451"},
		{429, "application/json", `{}`, "", source.CauseRateLimited, 0, "HTTP 429"},
		{429, "application/json", `{}`, "90", source.CauseRateLimited, 90 * time.Second, "HTTP 429"},
		{429, "application/json", `{}`, noon.Add(time.Minute).Format(http.TimeFormat), source.CauseRateLimited, time.Minute, "HTTP 429"},
		{429, "application/json", `{}`, "999999999999999999999", source.CauseRateLimited, MaxRetryAfter, "HTTP 429"},
		{429, "application/json", `{}`, "-1", source.CauseRateLimited, 0, "HTTP 429"},
		{429, "application/json", `{}`, noon.Add(-time.Minute).Format(http.TimeFormat), source.CauseRateLimited, 0, "HTTP 429"},
		{503, "text/html", strings.Repeat("x", 2*maxBody), "30", source.CauseServerError, 30 * time.Second, "HTTP 503"},
		{204, "application/json", ``, "", source.CauseMalformed, 0, "HTTP 204"},
		{304, "application/json", ``, "", source.CauseRedirect, 0, "HTTP 304"},
	} {
		for _, api := range []string{Fastly, Domainr} {
			t.Run(fmt.Sprint(api, " ", tc.status, " ", tc.retry), func(t *testing.T) {
				c, log := newClient(t, api, serve(t, respond(tc.status, tc.kind, tc.body, "Retry-After", tc.retry)))
				o := c.Status(t.Context(), "lapsed.example")
				wantCause(t, o, tc.want)
				clean(t, log.String())
				if o.RetryAfter != tc.after || tc.said != "" && o.Said != tc.said {
					t.Errorf("got %v %q, want %v %q", o.RetryAfter, o.Said, tc.after, tc.said)
				}
			})
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	thief := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("followed") })
	for _, api := range []string{Fastly, Domainr} {
		c, _ := newClient(t, api, serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}))
		wantCause(t, c.Status(t.Context(), "lapsed.example"), source.CauseRedirect)
	}
}

func TestFreshTokenAfterRefusal(t *testing.T) {
	const old, good = "old-token-0123456789", secretToken
	for _, tc := range []struct {
		name   string
		status int
		fresh  string
		err    error
		asked  int
		tokens []bool // as the token function was called
		want   source.Cause
	}{
		{"401, another token", 401, good, nil, 2, []bool{false, true}, ""},
		{"403, another token", 403, good, nil, 2, []bool{false, true}, ""},
		{"another that is refused too", 401, "wrong-0123456789", nil, 2, []bool{false, true}, source.CauseForbidden},
		{"the same token", 401, old, nil, 1, []bool{false, true}, source.CauseForbidden},
		{"none to be had", 401, "", errors.New("no parameter"), 1, []bool{false, true}, source.CauseForbidden},
		{"451 is not about the token", 451, good, nil, 1, []bool{false}, source.CauseForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := 0
			at := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				if r.Header.Get("Fastly-Key") == good {
					respond(200, "application/json", `{"domain":"lapsed.example","status":"active"}`)(w, r)
					return
				}
				// It repeats both tokens.
				respond(tc.status, "application/json", `{"msg":"`+old+" "+r.Header.Get("Fastly-Key")+`"}`)(w, r)
			})
			var called []bool
			c, log := newClient(t, Fastly, at, func(cfg *Config) {
				cfg.Token = func(_ context.Context, fresh bool) (string, error) {
					called = append(called, fresh)
					if fresh {
						return tc.fresh, tc.err
					}
					return old, nil
				}
			})
			o := c.Status(t.Context(), "lapsed.example")
			if tc.want != "" {
				wantCause(t, o, tc.want)
			} else if o.Outcome != source.Observed || o.Cause != "" {
				t.Errorf("got %+v", o)
			}
			if asked != tc.asked || !slices.Equal(called, tc.tokens) {
				t.Errorf("%d requests, token calls %v", asked, called)
			}
			if text := o.Said + log.String(); strings.Contains(text, old) || strings.Contains(text, "wrong-0123456789") {
				t.Errorf("a token is in %q", text)
			}
		})
	}
}

func TestNoToken(t *testing.T) {
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := r.Header["Fastly-Key"]; ok || r.URL.Query().Has("client_id") {
			t.Error("sent a token")
		}
		respond(200, "application/json", `{"domain":"lapsed.example","status":"active"}`)(w, r)
	})
	for _, token := range []func(context.Context, bool) (string, error){nil, fixed(""), fixed(" \n")} {
		c, _ := newClient(t, Fastly, at, func(cfg *Config) { cfg.Token = token })
		if o := c.Status(t.Context(), "lapsed.example"); o.Outcome != source.Observed {
			t.Error(o)
		}
	}
	never := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked without the token") })
	for name, token := range map[string]func(context.Context, bool) (string, error){
		"error": func(context.Context, bool) (string, error) {
			return secretToken, errors.New("no access to " + secretToken)
		},
		"two lines":               fixed(secretToken + "\nX-Other: 1"),
		"letters beyond a header": fixed(secretToken + "ü"),
	} {
		t.Run(name, func(t *testing.T) {
			c, log := newClient(t, Fastly, never, func(cfg *Config) { cfg.Token = token })
			o := c.Status(t.Context(), "lapsed.example")
			wantCause(t, o, source.CauseForbidden)
			if !strings.HasPrefix(o.Said, "no token: ") || !strings.Contains(log.String(), "no token") {
				t.Errorf("said %q, logged %q", o.Said, log)
			}
			clean(t, log.String())
		})
	}
}

func TestTransportFailures(t *testing.T) {
	hang := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	drip := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"domain":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	short := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"domain":"lapsed.example","status":"active"}`)
	})
	for _, tc := range []struct {
		name, url string
		timeout   time.Duration
		want      source.Cause
	}{
		{"silence", hang, 50 * time.Millisecond, source.CauseTimeout},
		{"silence in the body", drip, 50 * time.Millisecond, source.CauseTimeout},
		{"refused", gone.URL, 5 * time.Second, source.CauseUnreachable},
		{"cut off", short, 5 * time.Second, source.CauseUnreachable},
	} {
		for _, api := range []string{Fastly, Domainr} {
			t.Run(tc.name+" "+api, func(t *testing.T) {
				c, log := newClient(t, api, tc.url, func(cfg *Config) { cfg.Timeout = tc.timeout })
				wantCause(t, c.Status(t.Context(), "lapsed.example"), tc.want)
				clean(t, log.String())
			})
		}
	}
	// A transport that puts the URL into its errors, as http.Client would.
	c, _ := newClient(t, Domainr, "https://api.example/", func(cfg *Config) {
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New("reset")}
		})
	})
	wantCause(t, c.Status(t.Context(), "lapsed.example"), source.CauseUnreachable)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCallerGivesUp(t *testing.T) {
	asked := make(chan struct{})
	c, _ := newClient(t, Fastly, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	wantCause(t, c.Status(ctx, "lapsed.example"), source.CauseNotAsked)
	wantCause(t, c.Status(ctx, "lapsed.example"), source.CauseNotAsked) // would close asked again
	wantCause(t, c.Status(t.Context(), ""), source.CauseInternal)
}

func TestNew(t *testing.T) {
	for _, cfg := range []Config{
		{API: "whois"}, {URL: "api.example"}, {URL: "ftp://api.example"}, {URL: "https://" + url.QueryEscape(secretToken) + "@api.example/"},
		{URL: "https://%zz/?client_id=" + secretToken}, {Timeout: -1},
	} {
		_, err := New(cfg)
		if err == nil {
			t.Errorf("took %+v", cfg)
			continue
		}
		clean(t, err.Error())
	}
	for api, want := range map[string]string{"": DefaultFastlyURL, Fastly: DefaultFastlyURL, Domainr: DefaultDomainrURL} {
		c, err := New(Config{API: api})
		if err != nil || c.url.String() != want || c.cfg.Timeout != DefaultTimeout {
			t.Errorf("%q: %v %v", api, c, err)
		}
	}
	c, log := newClient(t, Fastly, "http://api.example/x?a=b")
	if !strings.Contains(log.String(), "plain http") {
		t.Error("no warning about plain http")
	}
	req, err := c.request(t.Context(), "a&b=c", secretToken)
	if err != nil || req.URL.RawQuery != "a=b&domain=a%26b%3Dc" {
		t.Error(err, req.URL)
	}
}
