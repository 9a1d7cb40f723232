package refregistry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// send does a request by hand. The response is held against the contract; whether the request fits it is returned.
func (r *rig) send(t *testing.T, method, path string, header http.Header, body string) (resp *http.Response, data []byte, fits error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		req.Body = nil
	}
	req.Header = header
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if data, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	input, fits := r.spec.Request(t.Context(), method, path, header, []byte(body))
	if input != nil {
		if err := r.spec.Response(t.Context(), input, resp.StatusCode, resp.Header, data); err != nil {
			t.Error(err)
		}
	}
	return resp, data, fits
}

func headers() http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
}

// object is a sound body to be spoilt.
func object() map[string]any {
	return map[string]any{
		"verified_before": "2026-01-15T12:00:00Z", "max_addresses": 10, "reason": "domain_lapsed", "phase": "redemption",
		"evidence": []any{"seen"}, "run": "r", "key": "k", "advice": map[string]any{"code": "add_other_address", "text": "Do."},
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What the document forbids, the registry refuses, and what the registry refuses, the document forbids.
func TestDocumentAndRegistryAgreeOnBadRequests(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	path := "/v1/email-domains/lapsed.example/unverify"
	if resp, data, fits := r.send(t, "POST", "/v1/email-domains/other.example/unverify", headers(), encode(t, object())); resp.StatusCode != 200 || fits != nil {
		t.Fatalf("the unspoilt request: %d %s %v", resp.StatusCode, data, fits)
	}
	bodies := map[string]string{"empty": "", "array": "[]", "cut": `{"run":`, "null": "null"}
	for name := range object() {
		o := object()
		delete(o, name)
		bodies["without "+name] = encode(t, o)
	}
	for name, value := range map[string]any{
		"verified_before": "yesterday", "max_addresses": 0, "reason": "because", "phase": "", "evidence": nil, "run": "",
		"key": "a/b", "advice": map[string]any{"code": "Add!", "text": "Do."}, "exposed_since": 5, "dry_run": "yes",
	} {
		o := object()
		o[name] = value
		bodies["bad "+name] = encode(t, o)
	}
	for name, change := range map[string]func(map[string]any){
		"dry run with a key": func(o map[string]any) { o["dry_run"] = true },
		"long key":           func(o map[string]any) { o["key"] = strings.Repeat("k", 321) },
		"long run":           func(o map[string]any) { o["run"] = strings.Repeat("r", 101) },
		"long sentence":      func(o map[string]any) { o["evidence"] = []any{strings.Repeat("e", 2001)} },
		"many sentences":     func(o map[string]any) { o["evidence"] = slices.Repeat([]any{"e"}, 33) },
		"long advice":        func(o map[string]any) { o["advice"] = map[string]any{"code": "c", "text": strings.Repeat("a", 1001)} },
		"float":              func(o map[string]any) { o["max_addresses"] = 1.5 },
		"text for a number":  func(o map[string]any) { o["max_addresses"] = "10" },
	} {
		o := object()
		change(o)
		bodies[name] = encode(t, o)
	}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		resp, data, fits := r.send(t, "POST", path, headers(), bodies[name])
		if resp.StatusCode != http.StatusBadRequest || fits == nil {
			t.Errorf("%s: %d %s; the document says %v", name, resp.StatusCode, data, fits)
		}
	}
	for _, target := range []string{
		"/v1/email-domains?limit=0", "/v1/email-domains?limit=10001", "/v1/email-domains?limit=ten", "/v1/email-domains?after=",
		"/v1/email-domains?after=a%40b", "/v1/email-domains?changed_since=yesterday", "/v1/email-domains?after=" + strings.Repeat("a", 256),
	} {
		if resp, data, fits := r.send(t, "GET", target, headers(), ""); resp.StatusCode != http.StatusBadRequest || fits == nil {
			t.Errorf("%.60s: %d %s; the document says %v", target, resp.StatusCode, data, fits)
		}
	}
	for _, domain := range []string{"Lapsed.example", "lapsed.example.", "example", "lapsed..example", "b%C3%BCcher.example", "a@lapsed.example", "-.example", "*.example"} {
		resp, data, fits := r.send(t, "POST", "/v1/email-domains/"+domain+"/unverify", headers(), encode(t, object()))
		if resp.StatusCode != http.StatusBadRequest || fits == nil {
			t.Errorf("%s: %d %s; the document says %v", domain, resp.StatusCode, data, fits)
		}
	}
	if resp, _, fits := r.send(t, "POST", "/v1/unverifications/a%20b/restore", headers(), ""); resp.StatusCode != http.StatusBadRequest || fits == nil {
		t.Error(resp.StatusCode, fits)
	}
	if got := r.unverified(t); got != nil {
		t.Fatalf("%v: a bad request changed something", got)
	}
}

func TestRefusalsOfHTTP(t *testing.T) {
	r := newRig(t, nil)
	path := "/v1/email-domains/lapsed.example/unverify"
	anonymous := http.Header{"Content-Type": {"application/json"}}
	text := headers()
	text.Set("Content-Type", "text/plain")
	for _, c := range []struct {
		method, path string
		header       http.Header
		body         string
		status       int
		name, value  string
	}{
		{"GET", "/v1/email-domains", http.Header{}, "", 401, "Www-Authenticate", `Bearer realm="admin"`},
		{"POST", path, anonymous, encode(t, object()), 401, "Www-Authenticate", `Bearer realm="admin"`},
		{"POST", "/v1/unverifications/k/restore", anonymous, "", 401, "Www-Authenticate", `Bearer realm="admin"`},
		{"GET", path, headers(), "", 405, "Allow", "POST"},
		{"DELETE", "/v1/email-domains", headers(), "", 405, "Allow", "GET"},
		{"POST", path, text, encode(t, object()), 415, "Content-Type", "application/problem+json"},
		{"POST", path, headers(), `{"run":"` + strings.Repeat("r", adminapi.MaxBody) + `"}`, 413, "Content-Type", "application/problem+json"},
		{"GET", "/v1/else", headers(), "", 404, "Content-Type", "application/problem+json"},
	} {
		resp, data, _ := r.send(t, c.method, c.path, c.header, c.body)
		if resp.StatusCode != c.status || resp.Header.Get(c.name) != c.value || !bytes.Contains(data, []byte(`"status":`)) {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, resp.StatusCode, resp.Header, data)
		}
	}
}

// A check that accepts everything proves nothing: spoilt responses are found.
func TestTheContractFindsBadResponses(t *testing.T) {
	r := newRig(t, nil)
	list, err := r.spec.Request(t.Context(), "GET", "/v1/email-domains?limit=10", headers(), nil)
	if err != nil {
		t.Fatal(err)
	}
	un, err := r.spec.Request(t.Context(), "POST", "/v1/email-domains/lapsed.example/unverify", headers(), []byte(encode(t, object())))
	if err != nil {
		t.Fatal(err)
	}
	plain, prob := http.Header{"Content-Type": {"application/json"}}, http.Header{"Content-Type": {"application/problem+json"}}
	for _, c := range []struct {
		name   string
		list   bool
		status int
		header http.Header
		body   string
		good   bool
	}{
		{"page", true, 200, plain, `{"hosts":[{"host":"a.example","addresses":1,"oldest":null,"newest":null}],"as_of":"2026-01-01T00:00:00Z","complete":true}`, true},
		{"an address", true, 200, plain, `{"hosts":[{"host":"u@a.example","addresses":1,"oldest":null,"newest":null}],"as_of":"2026-01-01T00:00:00Z","complete":true}`, false},
		{"complete with next", true, 200, plain, `{"hosts":[{"host":"a.example","addresses":1,"oldest":null,"newest":null}],"next":"a.example","as_of":"2026-01-01T00:00:00Z","complete":true}`, false},
		{"negative", true, 200, plain, `{"hosts":[{"host":"a.example","addresses":-1,"oldest":null,"newest":null}],"as_of":"2026-01-01T00:00:00Z","complete":true}`, false},
		{"bad time", true, 200, plain, `{"hosts":[],"as_of":"yesterday","complete":true}`, false},
		{"closed", true, 200, plain, `{"recovery":true,"hosts":[{"host":"a.example","addresses":0,"oldest":null,"newest":null,"closed":{"addresses":1,"since":"2026-01-01T00:00:00Z","continuous_until":"2026-01-01T00:00:00Z"}}],"as_of":"2026-01-01T00:00:00Z","complete":true}`, true},
		{"none closed", true, 200, plain, `{"recovery":true,"hosts":[{"host":"a.example","addresses":0,"oldest":null,"newest":null,"closed":{"addresses":0,"since":"2026-01-01T00:00:00Z","continuous_until":"2026-01-01T00:00:00Z"}}],"as_of":"2026-01-01T00:00:00Z","complete":true}`, false},
		{"answer", false, 200, plain, `{"changed":1,"already_unverified":0,"kept_verified_later":0,"recovery":"closed","more":1}`, true},
		{"unlisted recovery", false, 200, plain, `{"changed":1,"already_unverified":0,"kept_verified_later":0,"recovery":"shut"}`, false},
		{"count missing", false, 200, plain, `{"changed":1,"already_unverified":0,"recovery":"closed"}`, false},
		{"other type for 409", false, 409, prob, `{"type":"about:blank","title":"t","status":409}`, false},
		{"409", false, 409, prob, `{"type":"` + registry.TypeKeyReused + `","title":"t","status":409}`, true},
		{"503", false, 503, prob, `{"type":"about:blank","title":"t","status":503}`, true},
		{"not a problem", false, 503, plain, `{}`, false},
	} {
		input := un
		if c.list {
			input = list
		}
		if err := r.spec.Response(t.Context(), input, c.status, c.header, []byte(c.body)); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The document and the code name the same problems, recoveries and reasons.
func TestDocumentNamesWhatTheCodeNames(t *testing.T) {
	r := newRig(t, nil)
	text := r.spec.Doc.Info.Description
	for _, kind := range []string{
		registry.TypeMalformed, registry.TypeUnauthorized, registry.TypeForbidden, registry.TypeUnknownKey, registry.TypeKeyReused,
		registry.TypeRestored, registry.TypeInProgress, registry.TypeOutdated, registry.TypePublicSuffix, registry.TypeTooMany,
	} {
		if !strings.Contains(text, "`"+kind+"`") {
			t.Errorf("%s is not described", kind)
		}
	}
	schemas := r.spec.Doc.Components.Schemas
	reasons := schemas["Unverify"].Value.Properties["reason"].Value.Enum
	if fmt.Sprint(reasons) != fmt.Sprint(registry.Reasons()) {
		t.Errorf("reasons: %v, %v", reasons, registry.Reasons())
	}
	recoveries := schemas["Answer"].Value.Properties["recovery"].Value.Enum
	if fmt.Sprint(recoveries) != fmt.Sprint([]registry.Recovery{registry.RecoveryClosed, registry.RecoveryOpen, registry.RecoveryUnknown}) {
		t.Errorf("recoveries: %v", recoveries)
	}
	for _, desired := range []registry.Recovery{registry.RecoveryClosed, registry.RecoveryOpen} {
		if !slices.Contains(schemas["SetRecovery"].Value.Properties["desired"].Value.Enum, any(string(desired))) {
			t.Errorf("no desired %s", desired)
		}
	}
	if reason := schemas["SetRecovery"].Value.Properties["reason"].Value.Description; !strings.Contains(reason, "`"+string(registry.ReasonInterrupted)+"`") {
		t.Errorf("%s is not described", registry.ReasonInterrupted)
	}
	if n := schemas["Page"].Value.Properties["hosts"].Value.MaxItems; n == nil || *n != registry.MaxPage {
		t.Errorf("largest page: %v", n)
	}
}

// What the client would let through is what the document allows: its check of a request against the schema's.
func FuzzCheckAgreesWithTheDocument(f *testing.F) {
	f.Add("lapsed.example", "k", "redemption", "domain_lapsed", "run", "add_other_address", "Do.", 5, false)
	f.Add("a_b.xn--p1ai", "a.b:lapse:1", "pending delete", "canary", "r", "c", "t", 1, true)
	f.Add("lapsed.example\n", "k\n", "grace\n", "domain_in_grace", "run", "c\n", "t", 1, false)
	spec, err := loadSpec()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, domain, key, phase, reason, run, code, text string, most int, dry bool) {
		in := registry.Request{
			Domain: domain, VerifiedBefore: day(1), MaxAddresses: most, Reason: registry.Reason(reason), Phase: phase, Evidence: []string{},
			Run: run, Key: key, DryRun: dry, Advice: registry.Advice{Code: code, Text: text},
		}
		if in.Check() != nil {
			return
		}
		body := encode(t, in)
		if _, err := spec.Request(t.Context(), "POST", "/v1/email-domains/"+domain+"/unverify", headers(), []byte(body)); err != nil {
			t.Fatal(err)
		}
	})
}

// The same for a recovery request.
func FuzzRecoveryCheckAgreesWithTheDocument(f *testing.F) {
	f.Add("lapsed.example", "closed", "redemption", "domain_lapsed", "run", "renew_domain", "Do.", 5, int64(2), int64(2), int64(1), false)
	f.Add("a_b.xn--p1ai", "open", "", "", "", "", "", -1, int64(2), int64(9), int64(-1), true)
	f.Add("lapsed.example\n", "closed", "grace\n", "domain_in_grace\n", "run", "c\n", "t", 1, int64(3), int64(2), int64(1), false)
	spec, err := loadSpec()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, domain, desired, phase, reason, run, code, text string, most int, asOf, since, until int64, dry bool) {
		in := registry.RecoveryRequest{
			Domain: domain, Desired: registry.Recovery(desired), AsOf: time.Unix(asOf, 0), Since: time.Unix(since, 0), ContinuousUntil: time.Unix(until, 0),
			MaxAddresses: most, Reason: registry.Reason(reason), Phase: phase, Evidence: []string{}, Run: run, DryRun: dry,
			Advice: registry.Advice{Code: code, Text: text},
		}
		if in.Check() != nil || in.Desired == registry.RecoveryOpen { // an open is sent without most of this
			return
		}
		body := encode(t, in)
		if _, err := spec.Request(t.Context(), "PUT", "/v1/email-domains/"+domain+"/recovery", headers(), []byte(body)); err != nil {
			t.Fatal(err)
		}
	})
}
