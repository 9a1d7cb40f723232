package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func token(context.Context, bool) (string, error) { return "secret-token", nil }

// serve is a client of a registry that f plays.
func serve(t testing.TB, f http.HandlerFunc, change func(*Config)) *Client {
	t.Helper()
	web := httptest.NewServer(f)
	t.Cleanup(web.Close)
	cfg := Config{URL: web.URL + "/admin/", Token: token, UserAgent: "lapseguard (+https://example.org)"}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// says answers everything alike.
func says(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func sound() Request {
	return Request{
		Domain: "lapsed.example", VerifiedBefore: time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)), MaxAddresses: 5,
		Reason: ReasonLapsed, Phase: "pending delete", Run: "r", Key: "lapsed.example:lapse:1", Advice: Advice{Code: "c", Text: "t"},
	}
}

func TestNewSaysWhatToSet(t *testing.T) {
	for _, c := range []struct {
		url    string
		remedy string // empty: fine
	}{
		{"https://registry.example", ""},
		{"https://registry.example/a/b/", ""},
		{"http://localhost:8080", ""},
		{"http://127.0.0.2:8080/x", ""},
		{"http://[::1]:8080", ""},
		{"http://host.docker.internal:8080", ""},
		{"", "set the admin API's base URL"},
		{"registry.example", "set the admin API's base URL"},
		{"https://", "set the admin API's base URL"},
		{"https:registry.example", "set the admin API's base URL"},
		{"https://bad host", "set the admin API's base URL"},
		{"http://registry.example", "set an https URL"},
		{"http://localhost.example", "set an https URL"},
		{"http://10.0.0.1", "set an https URL"},
		{"ftp://registry.example", "set an https URL"},
		{"https://user:pass@registry.example", "take it out"},
		{"https://registry.example?x=1", "set the base URL alone"},
		{"https://registry.example#x", "set the base URL alone"},
	} {
		_, err := New(Config{URL: c.url, Token: token})
		if c.remedy == "" && err != nil || c.remedy != "" && (err == nil || !strings.Contains(err.Error(), c.remedy)) {
			t.Errorf("%q: %v", c.url, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass") {
			t.Errorf("the password is in the error")
		}
	}
	for _, cfg := range []Config{{}, {Timeout: -1, Token: token}, {UserAgent: "a\r\nb", Token: token}} {
		cfg.URL = "https://registry.example"
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	var got *http.Request
	var body map[string]any
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "unverify") {
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
		}
		says(200, "application/json", `{"changed":1,"already_unverified":2,"kept_verified_later":3,"recovery":"closed","restored":4,"kept":5}`)(w, r)
	}, nil)
	in := sound()
	in.Evidence = append([]string{"mail to who@ever.example", strings.Repeat("x", 3000)}, make([]string, 50)...)
	a, err := c.Unverify(t.Context(), in)
	if err != nil || a != (Answer{Changed: 1, AlreadyUnset: 2, KeptLater: 3, Recovery: RecoveryClosed}) {
		t.Fatal(a, err)
	}
	if got.URL.Path != "/admin/v1/email-domains/lapsed.example/unverify" || got.Header.Get("Authorization") != "Bearer secret-token" ||
		got.UserAgent() != "lapseguard (+https://example.org)" || got.Header.Get("Content-Type") != "application/json" {
		t.Fatal(got.URL, got.Header)
	}
	evidence, _ := body["evidence"].([]any)
	if body["verified_before"] != "2026-01-01T00:00:00Z" || body["exposed_since"] != nil || body["dry_run"] != nil || len(evidence) != 32 ||
		evidence[0] != "mail to [masked]" || len(evidence[1].(string)) != 2000 {
		t.Fatal(body)
	}
	r, err := c.Restore(t.Context(), in.Key)
	if err != nil || r != (Restored{Restored: 4, Kept: 5}) || got.URL.Path != "/admin/v1/unverifications/lapsed.example:lapse:1/restore" || got.ContentLength != 0 {
		t.Fatal(r, err, got.URL)
	}
	_, _ = c.List(t.Context(), "b\u00fccher.example&x", 7, time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC))
	if q := got.URL.Query(); q.Get("after") != "b\u00fccher.example&x" || q.Get("limit") != "7" || q.Get("changed_since") != "2026-01-01T00:00:00.000000005Z" {
		t.Fatal(q)
	}
}

func TestTokenIsReadAgainOnceAfter401(t *testing.T) {
	for _, good := range []string{"new", "never"} {
		var mu sync.Mutex
		var asked []bool
		var bodies []string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			mu.Lock()
			bodies = append(bodies, string(b))
			mu.Unlock()
			if r.Header.Get("Authorization") != "Bearer "+good {
				says(401, "application/problem+json", `{"type":"`+TypeUnauthorized+`","title":"no","status":401}`)(w, r)
				return
			}
			says(200, "application/json", `{"changed":0,"already_unverified":0,"kept_verified_later":0,"recovery":"closed"}`)(w, r)
		}, func(cfg *Config) {
			cfg.Token = func(_ context.Context, fresh bool) (string, error) {
				asked = append(asked, fresh)
				if fresh {
					return "new", nil
				}
				return "old", nil
			}
		})
		_, err := c.Unverify(t.Context(), sound())
		if want := map[string]ErrorKind{"new": KindNone, "never": KindUnauthorized}[good]; Kind(err) != want {
			t.Fatal(err)
		}
		if fmt.Sprint(asked) != "[false true]" || len(bodies) != 2 || bodies[0] != bodies[1] || bodies[0] == "" {
			t.Fatal(asked, bodies)
		}
	}
}

func TestTokenThatCannotBeOne(t *testing.T) {
	for _, bad := range []string{"", "two words", "line\n", "\"t\u00e9\"", strings.Repeat("t", 5000)} {
		c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") }, func(cfg *Config) {
			cfg.Token = func(context.Context, bool) (string, error) { return bad, nil }
		})
		_, err := c.Unverify(t.Context(), sound())
		if Kind(err) != KindUnauthorized || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%v", err)
		}
	}
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") }, func(cfg *Config) {
		cfg.Token = func(context.Context, bool) (string, error) { return "", errors.New("ssm is away") }
	})
	if _, err := c.Restore(t.Context(), "k"); Kind(err) != KindRetryable || !strings.Contains(err.Error(), "ssm is away") {
		t.Error(err)
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   string
		body   string
		want   ErrorKind
	}{
		{500, "text/plain", "alice@mail.example", KindRetryable},
		{502, "text/html", "<b>alice@mail.example</b>", KindRetryable},
		{503, "application/problem+json", `{"type":"about:blank","title":"busy alice@mail.example","status":503}`, KindRetryable},
		{429, "application/problem+json", `{"title":"slow","detail":"\u0022alice b\u0022@mail.example"}`, KindRetryable},
		{408, "", "", KindRetryable},
		{425, "", "", KindRetryable},
		{409, "application/problem+json", `{"type":"` + TypeKeyReused + `"}`, KindConflict},
		{409, "application/problem+json", `{"type":"` + TypeRestored + `"}`, KindConflict},
		{409, "application/problem+json", `{"type":"` + TypeInProgress + `"}`, KindRetryable},
		{409, "text/plain", "alice@mail.example", KindRetryable},
		{422, "application/problem+json", `{"type":"` + TypeTooMany + `","detail":"alice@mail.example and 3"}`, KindRefused},
		{400, "application/problem+json", `alice@mail.example`, KindRetryable},
		{404, "application/problem+json", `{"type":"mailto:alice@mail.example"}`, KindRetryable},
		{401, "", "", KindUnauthorized},
		{403, "application/problem+json", `{"detail":"alice\uff20mail.example alice%40mail.example"}`, KindUnauthorized},
		{302, "text/html", "alice@mail.example", KindRetryable},
		{204, "", "", KindRetryable},
		{200, "application/json", `{"changed":"alice@mail.example"}`, KindRetryable},
		{200, "application/json", `{"changed":1,"alice@mail.example":1,"alice@mail.example":2}`, KindRetryable},
		{200, "application/json", `{"changed":-1,"already_unverified":0,"kept_verified_later":0,"recovery":"closed"}`, KindRetryable},
		{200, "application/json", `{"changed":1,"already_unverified":0,"recovery":"closed"}`, KindRetryable},
		{200, "application/json", `{"changed":1,"already_unverified":0,"kept_verified_later":0,"recovery":"closed"} alice@mail.example`, KindRetryable},
		{200, "application/json", strings.Repeat(" ", maxBody) + `{"changed":1,"already_unverified":0,"kept_verified_later":0,"recovery":"closed"}`, KindRetryable},
		{200, "application/json", ``, KindRetryable},
	} {
		var log bytes.Buffer
		asked := 0
		client := serve(t, func(w http.ResponseWriter, r *http.Request) { asked++; says(c.status, c.kind, c.body)(w, r) }, func(cfg *Config) { cfg.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
		_, err := client.Unverify(t.Context(), sound())
		if Kind(err) != c.want || err == nil {
			t.Errorf("%d %s: %v is %q, want %q", c.status, c.body, err, Kind(err), c.want)
			continue
		}
		if want := map[bool]int{true: 2, false: 1}[c.status == 401]; asked != want {
			t.Errorf("%d: asked %d times", c.status, asked)
		}
		if text := err.Error() + log.String(); strings.Contains(text, "alice") || strings.Contains(text, "secret-token") {
			t.Errorf("%d: an address or the token got out: %s", c.status, text)
		}
		if !strings.Contains(err.Error(), "lapsed.example") {
			t.Errorf("%v: which domain?", err)
		}
	}
	if Kind(nil) != KindNone || Kind(errors.New("else")) != KindRetryable {
		t.Error("nil or unknown")
	}
}

// TestOnlyTheContractsWordsRefuse: a gateway has the same statuses, and knows nothing of the registry's decision.
func TestOnlyTheContractsWordsRefuse(t *testing.T) {
	const prob = "application/problem+json"
	for _, c := range []struct {
		status     int
		kind, body string
		want       ErrorKind
	}{
		{404, "text/html", "<h1>Not Found</h1>", KindRetryable},
		{409, "application/json", `{"message":"Conflict"}`, KindRetryable},
		{422, "text/plain", "", KindRetryable},
		{405, "", "", KindRetryable},
		{413, "text/html", "", KindRetryable},
		{404, prob, `{"type":"about:blank","title":"Not Found","status":404}`, KindRetryable},
		{409, prob, `{"type":"about:blank","title":"Conflict","status":409}`, KindRetryable},
		{422, prob, `{"title":"no type is about:blank (RFC 9457 section 4.2.1)"}`, KindRetryable},
		{422, prob, `{"type":"urn:lapseguard:problem:else"}`, KindRetryable},
		{422, prob, `{"type":"https://gateway.example/errors/unprocessable"}`, KindRetryable},
		{422, "application/json", `{"type":"` + TypeTooMany + `"}`, KindRetryable}, // no problem, by its media type
		{404, prob, `{"type":"` + TypeTooMany + `"}`, KindRetryable},               // a word beside its status
		{409, prob, `{"type":"` + TypePublicSuffix + `"}`, KindRetryable},
		{500, prob, `{"type":"` + TypeKeyReused + `"}`, KindRetryable},
		{400, prob, `{"type":"` + TypeMalformed + `"}`, KindRefused},
		{413, prob, `{"type":"` + TypeMalformed + `"}`, KindRefused},
		{415, prob, `{"type":"` + TypeMalformed + `"}`, KindRefused},
		{404, prob, `{"type":"` + TypeUnknownKey + `"}`, KindRefused},
		{409, prob, `{"type":"` + TypeKeyReused + `"}`, KindConflict},
		{409, prob, `{"type":"` + TypeRestored + `"}`, KindConflict},
		{422, prob, `{"type":"` + TypePublicSuffix + `"}`, KindRefused},
		{422, prob, `{"type":"` + TypeTooMany + `"}`, KindRefused},
	} {
		_, err := serve(t, says(c.status, c.kind, c.body), nil).Unverify(t.Context(), sound())
		if got := Kind(err); got != c.want {
			t.Errorf("%d %s %s: %q, want %q", c.status, c.kind, c.body, got, c.want)
		}
	}
}

func TestWhatProvesThatNothingWasDone(t *testing.T) {
	for want, answers := range map[bool][]*Problem{
		true: {{Status: 400, Type: TypeMalformed}, {Status: 422, Type: TypePublicSuffix}, {Status: 422, Type: TypeTooMany}},
		false: {
			{Status: 409, Type: TypeKeyReused}, {Status: 409, Type: TypeRestored}, {Status: 409, Type: TypeInProgress}, {Status: 404, Type: TypeUnknownKey},
			{Status: 422, Type: typeNothingToSay}, {Status: 422}, {Status: 409, Type: TypeTooMany}, {Status: 500, Type: TypeTooMany},
		},
	} {
		for _, p := range answers {
			if got := NothingDone(fmt.Errorf("unverify: %w", p)); got != want {
				t.Errorf("%d %s: %t", p.Status, p.Type, got)
			}
		}
	}
	if NothingDone(nil) || NothingDone(errors.New("connection reset")) || !NothingDone(invalidRequest("x")) {
		t.Error("beside the problems")
	}
}

func TestProblemKeepsStatusWordsAndRetryAfter(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "120")
		says(422, "application/problem+json; charset=utf-8", `{"type":"`+TypeTooMany+`","title":"too many","detail":"9, 8\u0000\u001b[31m allowed `+strings.Repeat("d\u00e9", 400)+`"}`)(w, r)
	}, nil)
	_, err := c.Unverify(t.Context(), sound())
	var p *Problem
	if !errors.As(err, &p) || p.Status != 422 || p.Type != TypeTooMany || p.Title != "too many" || p.RetryAfter != 2*time.Minute {
		t.Fatalf("%+v", p)
	}
	if !strings.HasPrefix(p.Detail, "9, 8 [31m allowed") || len(p.Detail) > maxText || strings.ContainsRune(p.Detail, '\ufffd') {
		t.Fatalf("%q", p.Detail)
	}
}

func TestRetryAfter(t *testing.T) {
	const now = "Sun, 06 Nov 1994 08:49:37 GMT"
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, " 5 ": 5 * time.Second, "-5": 0, "5.5": 0, "soon": 0, "99999999999999999999": 0, "1000000": MaxRetryAfter,
		"Sun, 06 Nov 1994 08:50:37 GMT": time.Minute, "Sun, 06 Nov 1994 08:48:37 GMT": 0, "Tue, 06 Dec 2094 08:48:37 GMT": MaxRetryAfter,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}, "Date": {now}}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {now}}); got != 0 {
		t.Error(got)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("followed, token and all")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}, nil)
	if _, err := c.Unverify(t.Context(), sound()); Kind(err) != KindRetryable {
		t.Error(err)
	}
}

func TestSilenceEnds(t *testing.T) {
	release := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		_, _ = io.WriteString(w, `{"changed":1,`)
		_ = http.NewResponseController(w).Flush()
		<-release // the rest never comes
	}, func(cfg *Config) { cfg.Timeout = 50 * time.Millisecond })
	t.Cleanup(func() { close(release) })
	_, err := c.Unverify(t.Context(), sound())
	if Kind(err) != KindRetryable || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestHostileBelowHTTPIsMasked(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 alice@mail.example\r\n\r\n")
		_ = conn.Close()
	}, nil)
	_, err := c.Unverify(t.Context(), sound())
	if Kind(err) != KindRetryable || strings.Contains(err.Error(), "alice") || !strings.Contains(err.Error(), "masked") {
		t.Error(err)
	}
}

func TestAccepted(t *testing.T) {
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "": defaultWait} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(202)
		}, nil)
		a, err := c.Unverify(t.Context(), sound())
		if err != nil || !a.Pending || a.RetryAfter != want || a.Recovery != RecoveryUnknown {
			t.Errorf("%+v %v", a, err)
		}
		if _, err := c.Restore(t.Context(), "k"); Kind(err) != KindRetryable {
			t.Error(err)
		}
		if _, err := c.List(t.Context(), "", 1, time.Time{}); Kind(err) != KindRetryable {
			t.Error(err)
		}
		if a, err := NewObserver(c).Unverify(t.Context(), sound()); err != nil || !a.CountsUnknown || a.Pending {
			t.Errorf("%+v %v", a, err)
		}
	}
}

func TestRecoveryThatIsNotListedIsUnknown(t *testing.T) {
	for sent, want := range map[string]Recovery{
		`"closed"`: RecoveryClosed, `"open"`: RecoveryOpen, `"unknown"`: RecoveryUnknown, `"CLOSED"`: RecoveryUnknown, `"partly"`: RecoveryUnknown, `""`: RecoveryUnknown, `null`: RecoveryUnknown,
	} {
		a, err := parseAnswer([]byte(`{"changed":1,"already_unverified":0,"kept_verified_later":0,"recovery":` + sent + `}`))
		if err != nil || a.Recovery != want {
			t.Errorf("%s: %+v %v", sent, a, err)
		}
	}
}

func TestRegistryThatChangedTooManyIsToldOf(t *testing.T) {
	var log bytes.Buffer
	c := serve(t, says(200, "application/json", `{"changed":6,"already_unverified":0,"kept_verified_later":0,"recovery":"closed"}`),
		func(cfg *Config) { cfg.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	if a, err := c.Unverify(t.Context(), sound()); err != nil || a.Changed != 6 || !strings.Contains(log.String(), "registry_exceeded_bound") {
		t.Fatal(a, err, log.String())
	}
}

func TestRequestThatDoesNotFitIsNotSent(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") }, nil)
	for name, change := range map[string]func(*Request){
		"upper case": func(r *Request) { r.Domain = "Lapsed.example" }, "dot": func(r *Request) { r.Domain = "lapsed.example." },
		"one label": func(r *Request) { r.Domain = "example" }, "path": func(r *Request) { r.Domain = "a.example/../b.example" },
		"address": func(r *Request) { r.Domain = "alice@lapsed.example" }, "no domain": func(r *Request) { r.Domain = "" },
		"no time": func(r *Request) { r.VerifiedBefore = time.Time{} }, "no bound": func(r *Request) { r.MaxAddresses = 0 },
		"reason": func(r *Request) { r.Reason = "because" }, "phase": func(r *Request) { r.Phase = "" }, "run": func(r *Request) { r.Run = "" },
		"no key": func(r *Request) { r.Key = "" }, "slash": func(r *Request) { r.Key = "a/b" }, "both": func(r *Request) { r.DryRun = true },
		"no advice": func(r *Request) { r.Advice = Advice{} }, "advice": func(r *Request) { r.Advice.Text = "write to alice@lapsed.example" },
	} {
		in := sound()
		change(&in)
		if _, err := c.Unverify(t.Context(), in); Kind(err) != KindRefused || strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Restore(t.Context(), "a/../b"); Kind(err) != KindRefused {
		t.Error(err)
	}
	for _, limit := range []int{0, -1, MaxPage + 1} {
		if _, err := c.List(t.Context(), "", limit, time.Time{}); Kind(err) != KindRefused {
			t.Error(err)
		}
	}
	if _, err := c.List(t.Context(), "alice@lapsed.example", 1, time.Time{}); Kind(err) != KindRefused || strings.Contains(err.Error(), "alice") {
		t.Error(err)
	}
}

// TestNoTokenComesBackInAnError, whatever the other side repeats.
func TestNoTokenComesBackInAnError(t *testing.T) {
	const old, next = "old-token/with+signs", "new-token/with+signs"
	for _, status := range []int{400, 401, 403, 409, 422, 500} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			echo := r.Header.Get("Authorization") + " " + old + " " + url.QueryEscape(next) + " " + strings.ToUpper(next)
			says(status, "application/problem+json", fmt.Sprintf(`{"type":%q,"title":%q,"detail":%q,"status":%d}`, echo, echo, strings.Repeat("x", maxText-20)+echo, status))(w, r)
		}, func(cfg *Config) {
			cfg.Token = func(_ context.Context, fresh bool) (string, error) {
				if fresh {
					return next, nil
				}
				return old, nil
			}
		})
		_, err := c.Unverify(t.Context(), sound())
		if err == nil {
			t.Fatalf("%d: no error", status)
		}
		text := strings.ToLower(err.Error())
		for _, token := range []string{old, next} {
			if status != 401 && token == next {
				continue // never sent
			}
			if strings.Contains(text, token) || strings.Contains(text, strings.ToLower(url.QueryEscape(token))) || strings.Contains(text, token[:8]) {
				t.Errorf("%d: %s", status, err)
			}
		}
	}
}

func TestObserver(t *testing.T) {
	var body Request
	status := 200
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body = Request{}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		says(status, "application/json", `{"changed":4,"already_unverified":0,"kept_verified_later":1,"recovery":"open"}`)(w, r)
	}, nil)
	o := NewObserver(c)
	a, err := o.Unverify(t.Context(), sound())
	if err != nil || a != (Answer{Changed: 4, KeptLater: 1, Recovery: RecoveryOpen}) || !body.DryRun || body.Key != "" {
		t.Fatalf("%+v %v %+v", a, err, body)
	}
	for _, status = range []int{401, 404, 409, 422, 500} {
		a, err := o.Unverify(t.Context(), sound())
		if err != nil || a != (Answer{Recovery: RecoveryUnknown, CountsUnknown: true}) || !body.DryRun || body.Key != "" {
			t.Fatalf("%d: %+v %v %+v", status, a, err, body)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Unverify(ctx, sound()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
