package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/refregistry/contract"
)

const (
	token = "a-token-for-tests"
	test  = "rehearsal.example"
)

func now() time.Time { return time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC) }

// sound is the reference registry with test addresses and others.
func sound(t *testing.T, change func(*refregistry.Config)) *refregistry.Server {
	t.Helper()
	cfg := refregistry.Config{Path: ":memory:", Token: token, Now: now}
	if change != nil {
		change(&cfg)
	}
	s, err := refregistry.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	at := now().AddDate(0, -1, 0)
	for i, host := range []string{test, test, "mail." + test, "not" + test, "a.example", "b.example", "c.example", "d.example", "e.example", "f.example"} {
		var when *time.Time
		if i != 1 { // one of unknown time
			when = &at
		}
		if err := s.AddAddress(t.Context(), fmt.Sprintf("u%d@%s", i, host), when); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// look walks over a handler.
func look(t *testing.T, h http.Handler, change func(*Config)) Report {
	t.Helper()
	web := httptest.NewServer(h)
	defer web.Close()
	cfg := Config{URL: web.URL, Token: token, Domain: test, Now: now, Key: func() string { return "conform:1" },
		Wait: func(context.Context, time.Duration) error { return nil }}
	if change != nil {
		change(&cfg)
	}
	r, err := Walk(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The reference registry has nothing wrong, every check is tried, all traffic fits the OpenAPI document, and the
// registry is in the end as it was.
func TestReferenceRegistryConforms(t *testing.T) {
	spec, err := contract.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := sound(t, nil)
	hooks := httptest.NewServer(siteOf(t, s))
	defer hooks.Close()
	before, _ := s.Addresses(t.Context())
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	var sent, broken int
	r, err := Walk(t.Context(), Config{URL: web.URL + "/", Token: token, Domain: test, Site: hooks.URL, Now: now, Key: func() string { return "conform:1" },
		Transport: spec.Transport(web.URL, http.DefaultTransport, func(err error) {
			if strings.HasPrefix(err.Error(), "response") {
				broken++
				t.Error(err)
			}
			sent++ // requests that are malformed on purpose
		})})
	if err != nil || !r.OK() || len(r.Findings) > 0 || len(r.Checks) != 33 {
		t.Fatalf("%v: %d checks, %v", err, len(r.Checks), r.Findings)
	}
	if sent == broken {
		t.Error("no malformed request was sent")
	}
	after, _ := s.Addresses(t.Context())
	before[0].VerifiedAt = now() // the holder did that
	if !slices.Equal(before, after) {
		t.Error("the registry is not as it was before")
	}
}

func TestRegistryWithSlowWorkConforms(t *testing.T) {
	var late atomic.Int64
	clock := func() time.Time { return now().Add(time.Duration(late.Load())) }
	s := sound(t, func(c *refregistry.Config) { c.SlowOver, c.SlowFor, c.Now = 1, 30*time.Second, clock })
	r := look(t, s.Handler(), func(c *Config) {
		c.Now, c.Wait = clock, func(_ context.Context, d time.Duration) error { late.Add(int64(d)); return nil }
	})
	if !r.OK() {
		t.Fatal(r.Findings)
	}
}

func TestWithoutADomainNothingChanges(t *testing.T) {
	s := sound(t, nil)
	r := look(t, s.Handler(), func(c *Config) { c.Domain = "" })
	if !r.OK() || len(r.Findings) != 1 || r.Findings[0].Level != NotChecked {
		t.Fatal(r.Findings)
	}
	calls, err := s.Calls(t.Context())
	if err != nil || slices.ContainsFunc(calls, func(c refregistry.Call) bool { return c.Changed > 0 }) {
		t.Fatal(calls, err)
	}
}

// spoil changes requests and answers of a sound registry. Each function may be nil.
type spoil struct {
	request func(r *http.Request, body map[string]any) // body is nil where the request's is no object
	answer  func(r *http.Request, status int, h http.Header, body map[string]any) (int, map[string]any)
	whole   func(next http.Handler) http.Handler
}

func (s spoil) over(next http.Handler) http.Handler {
	if s.whole != nil {
		return s.whole(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		var body map[string]any
		if json.Unmarshal(data, &body) == nil && s.request != nil && body != nil && !bytes.Contains(data, []byte(`"run":"b"`)) {
			s.request(r, body)
			data, _ = json.Marshal(body)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		status, out := rec.Code, rec.Body.Bytes()
		if s.answer != nil {
			var object map[string]any
			_ = json.Unmarshal(out, &object)
			status, object = s.answer(r, status, rec.Header(), object)
			out, _ = json.Marshal(object)
		}
		for k, v := range rec.Header() {
			if k != "Content-Length" {
				w.Header()[k] = v
			}
		}
		w.WriteHeader(status)
		_, _ = w.Write(out)
	})
}

func isList(r *http.Request) bool { return r.Method == http.MethodGet }

func real(body map[string]any) bool { return body["key"] != nil }

// broken are servers with one defect each, and the check that must find it.
func broken() map[string]struct {
	spoil
	found string
} {
	type defect = struct {
		spoil
		found string
	}
	return map[string]defect{
		"takes names that only end alike": {spoil{answer: func(r *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if n, ok := b["changed"].(float64); ok && strings.Contains(r.URL.Path, test) && n > 0 {
				b["changed"] = n + 1
			}
			return status, b
		}}, "whole-labels"},
		"leaves out what lies below": {spoil{answer: func(_ *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if n, ok := b["changed"].(float64); ok && n == 3 {
				b["changed"] = 2
			}
			return status, b
		}}, "whole-labels"},
		"does not look at verified_before": {spoil{request: func(_ *http.Request, b map[string]any) {
			if b["verified_before"] == "1990-01-01T00:00:00Z" {
				b["verified_before"], b["phase"] = now(), "redemption"
			}
		}}, "verified-before"},
		"does not know max_addresses": {spoil{request: func(_ *http.Request, b map[string]any) {
			if n, ok := b["max_addresses"].(float64); ok && n > 0 {
				b["max_addresses"] = 1000
			}
		}}, "max-addresses"},
		"changes in a dry run": {spoil{whole: wet}, "unverify"},
		"forgets keys":         {spoil{whole: forgetful}, "repeat"},
		"takes a key for anything": {spoil{answer: func(_ *http.Request, status int, h http.Header, b map[string]any) (int, map[string]any) {
			if b["type"] == "urn:lapseguard:problem:key-reused" {
				h.Set("Content-Type", "application/json")
				return 200, map[string]any{"changed": 3, "already_unverified": 0, "kept_verified_later": 0, "recovery": "closed"}
			}
			return status, b
		}}, "key-reused"},
		"lists addresses": {spoil{answer: func(r *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if hosts, ok := b["hosts"].([]any); ok && isList(r) && len(hosts) > 0 {
				hosts[0].(map[string]any)["host"] = "a@a.example"
			}
			return status, b
		}}, "list"},
		"calls every page complete": {spoil{answer: func(r *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if isList(r) && b["hosts"] != nil {
				b["complete"] = true
			}
			return status, b
		}}, "list-pages"},
		"begins each page with the cursor": {spoil{whole: overlapping}, "list-pages"},
		"opens to any token": {spoil{request: nil, whole: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Authorization", "Bearer "+token)
				next.ServeHTTP(w, r)
			})
		}}, "token"},
		"answers errors in HTML": {spoil{answer: func(_ *http.Request, status int, h http.Header, b map[string]any) (int, map[string]any) {
			if status >= 400 {
				h.Set("Content-Type", "text/html")
			}
			return status, b
		}}, "token"},
		"sells public suffixes": {spoil{answer: func(_ *http.Request, status int, h http.Header, b map[string]any) (int, map[string]any) {
			if b["type"] == "urn:lapseguard:problem:public-suffix" {
				h.Set("Content-Type", "application/json")
				return 200, map[string]any{"changed": 0, "already_unverified": 0, "kept_verified_later": 0, "recovery": "closed"}
			}
			return status, b
		}}, "public-suffix"},
		"leaves recovery open": {spoil{answer: func(_ *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if b["changed"] != nil {
				b["recovery"] = "open"
			}
			return status, b
		}}, "unverify"},
		"restores once and then nothing": {spoil{whole: restoresOnce}, "restore"},
		"does a restored key again": {spoil{answer: func(_ *http.Request, status int, h http.Header, b map[string]any) (int, map[string]any) {
			if b["type"] == "urn:lapseguard:problem:restored" {
				h.Set("Content-Type", "application/json")
				return 200, map[string]any{"changed": 3, "already_unverified": 0, "kept_verified_later": 0, "recovery": "closed"}
			}
			return status, b
		}}, "after-restore"},
		"keeps the unverified in the list": {spoil{whole: stuckList}, "list-left"},
		"falls over a member it does not know": {spoil{whole: func(next http.Handler) http.Handler {
			return spoil{answer: nil, request: func(r *http.Request, b map[string]any) {
				if b["later_version"] != nil {
					delete(b, "run")
				}
			}}.over(next)
		}}, "tolerance"},
		"takes an absent time for all times": {spoil{request: func(_ *http.Request, b map[string]any) {
			if b["verified_before"] == nil {
				b["verified_before"] = now()
			}
		}}, "malformed"},
	}
}

// forgetful does every request as a new one.
func forgetful(next http.Handler) http.Handler {
	var n atomic.Int64
	return spoil{request: func(_ *http.Request, b map[string]any) {
		if real(b) && b["dry_run"] == nil {
			b["key"] = fmt.Sprint("k", n.Add(1))
		}
	}}.over(next)
}

// wet carries dry runs out.
func wet(next http.Handler) http.Handler {
	var n atomic.Int64
	return spoil{request: func(_ *http.Request, b map[string]any) {
		if b["dry_run"] == true && b["key"] == nil {
			delete(b, "dry_run")
			b["key"] = fmt.Sprint("dry", n.Add(1))
		}
	}}.over(next)
}

// overlapping repeats the last host of the page before.
func overlapping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		spoil{answer: func(r *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if hosts, ok := b["hosts"].([]any); ok && after != "" {
				b["hosts"] = append([]any{map[string]any{"host": after, "addresses": 1, "oldest": nil, "newest": nil}}, hosts...)
			}
			return status, b
		}}.over(next).ServeHTTP(w, r)
	})
}

func restoresOnce(next http.Handler) http.Handler {
	var n atomic.Int64
	return spoil{answer: func(_ *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
		if b["restored"] != nil && n.Add(1) > 1 {
			b["restored"] = 0
		}
		return status, b
	}}.over(next)
}

// stuckList answers its first whole list for ever, as of the present.
func stuckList(next http.Handler) http.Handler {
	var first atomic.Pointer[[]any]
	return spoil{answer: func(r *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
		hosts, ok := b["hosts"].([]any)
		if ok && strings.Contains(r.URL.RawQuery, "limit=10000") && !strings.Contains(r.URL.RawQuery, "changed_since") {
			first.CompareAndSwap(nil, &hosts)
			b["hosts"] = *first.Load()
		}
		return status, b
	}}.over(next)
}

// Each defect is found by the check that is there for it, and told in words.
func TestBrokenServersAreFound(t *testing.T) {
	for name, b := range broken() {
		t.Run(name, func(t *testing.T) {
			r := look(t, b.over(sound(t, nil).Handler()), nil)
			var found []string
			for _, f := range r.Findings {
				if f.Level == Wrong {
					found = append(found, f.Check)
				}
				if strings.Contains(f.Says, "@") && !strings.Contains(f.Says, "an @") && !strings.Contains(f.Says, "last @") {
					t.Error("an address in a finding")
				}
			}
			if !slices.Contains(found, b.found) {
				t.Errorf("%s is not among what was found: %v", b.found, r.Findings)
			}
		})
	}
}

func TestUnreachableRegistryIsAnError(t *testing.T) {
	r, err := Walk(t.Context(), Config{URL: "http://127.0.0.1:1", Token: token, Now: now})
	if err == nil || len(r.Findings) > 0 {
		t.Fatal(r, err)
	}
	for _, c := range []Config{{}, {URL: "x", Token: token, Now: now}, {URL: "http://127.0.0.1", Now: now}, {URL: "http://127.0.0.1", Token: token},
		{URL: "http://127.0.0.1", Token: token, Now: now, Domain: "Co.UK", Key: func() string { return "k" }}} {
		if _, err := Walk(t.Context(), c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// A walk that is broken off restores the test addresses.
func TestBrokenOffWalkRestores(t *testing.T) {
	s := sound(t, nil)
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	_, err := Walk(t.Context(), Config{URL: web.URL, Token: token, Domain: test, Now: now, Key: func() string { return "conform:1" },
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			calls, _ := s.Calls(r.Context())
			if len(calls) > 0 && calls[len(calls)-1].Repeated && !strings.HasSuffix(r.URL.Path, "/restore") {
				return nil, errors.New("cut off")
			}
			return http.DefaultTransport.RoundTrip(r)
		})})
	if err == nil {
		t.Fatal("nothing was cut off")
	}
	all, _ := s.Addresses(t.Context())
	for i, a := range all {
		if !a.Verified {
			t.Errorf("address %d is still unverified", i)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
