package conform

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/refregistry"
)

// siteOf puts the test hooks in front of the reference registry; its first address is the test account.
func siteOf(t *testing.T, s *refregistry.Server) http.Handler {
	t.Helper()
	holder := "u0@" + test
	all, err := s.Addresses(t.Context())
	if err != nil || all[0].Address != holder {
		t.Fatal("no test account", err)
	}
	if err := s.SetCredential(t.Context(), all[0].Account, refregistry.Password, now().AddDate(0, 0, -1)); err != nil {
		t.Fatal(err)
	}
	post := func(path string, in any) (int, string) {
		data, _ := json.Marshal(in)
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(data))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		return rec.Code, rec.Body.String()
	}
	mux := http.NewServeMux()
	hook := func(path string, f func(in map[string]string) any) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			var in map[string]string
			_ = json.NewDecoder(r.Body).Decode(&in)
			_ = json.NewEncoder(w).Encode(f(in))
		})
	}
	hook("/ask", func(in map[string]string) any {
		who := map[string]string{"test": holder, "nobody": "nobody@" + test}[in["account"]]
		before, _ := s.Mails(t.Context())
		_, answer := post("/reset", map[string]string{"email": who})
		after, _ := s.Mails(t.Context())
		out := asked{Answer: answer}
		if len(after) > len(before) {
			out.Link = after[len(after)-1].Token
		}
		return out
	})
	hook("/follow", func(in map[string]string) any {
		status, _ := post("/reset/confirm", map[string]string{"token": in["link"]})
		return map[string]bool{"followed": status == http.StatusNoContent}
	})
	hook("/verify", func(map[string]string) any {
		id, err := s.SignIn(t.Context(), all[0].Account, refregistry.Password)
		return map[string]bool{"verified": err == nil && s.VerifyIn(t.Context(), id, holder) == nil}
	})
	return mux
}

func isClosing(r *http.Request, b map[string]any) bool {
	return r.Method == http.MethodPut && b["desired"] == "closed" && b["dry_run"] == nil
}

// overLever runs the requests that close and open through a spoil, and every other past it.
func overLever(s spoil) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		spoilt := s.over(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "rehearsal") {
				spoilt.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// send asks a handler as the guard would.
func send(next http.Handler, method, path string, body map[string]any) {
	data, _ := json.Marshal(body)
	r := httptest.NewRequest(method, path, bytes.NewReader(data))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	next.ServeHTTP(httptest.NewRecorder(), r)
}

type leverDefect struct {
	registry func(next http.Handler) http.Handler                        // nil: sound
	site     func(s *refregistry.Server, site http.Handler) http.Handler // nil: sound
	found    string
}

// answering replaces one member of what a hook answers.
func answering(path, member string, value any, when func(in string) bool) func(s *refregistry.Server, site http.Handler) http.Handler {
	return func(_ *refregistry.Server, site http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(data))
			rec := httptest.NewRecorder()
			site.ServeHTTP(rec, r)
			var out map[string]any
			_ = json.Unmarshal(rec.Body.Bytes(), &out)
			if r.URL.Path == path && when(string(data)) {
				out[member] = value
			}
			_ = json.NewEncoder(w).Encode(out)
		})
	}
}

func leverDefects() map[string]leverDefect {
	return map[string]leverDefect{
		"lets a link that is out live": {site: answering("/follow", "followed", true, func(string) bool { return true }), found: "recovery-mail"},
		"lets a dead link come alive": {site: func(s *refregistry.Server, site http.Handler) http.Handler {
			n := 0
			return answering("/follow", "followed", true, func(string) bool { n++; return n == 2 })(s, site)
		}, found: "recovery-open"},
		"opens on an older as_of": {registry: overLever(spoil{request: func(_ *http.Request, b map[string]any) {
			if b["desired"] == "open" {
				b["as_of"] = now().Add(time.Minute)
			}
		}}), found: "recovery-outdated"},
		"unverifies": {registry: func(next http.Handler) http.Handler {
			return spoil{request: func(r *http.Request, b map[string]any) {
				if isClosing(r, b) && b["max_addresses"] == float64(1000) {
					send(next, http.MethodPost, unverifyPath(test), map[string]any{"verified_before": now(), "max_addresses": 1000, "reason": "canary", "phase": "redemption",
						"evidence": []string{}, "run": "r", "key": "spoil", "advice": map[string]any{"code": "c", "text": "t"}})
				}
			}}.over(next)
		}, found: "recovery-still-verified"},
		"binds addresses verified later": {registry: overLever(spoil{request: func(_ *http.Request, b map[string]any) {
			if b["since"] != nil {
				b["since"] = now()
			}
		}}), found: "recovery-verified-later"},
		"binds names that only end alike": {registry: overLever(spoil{answer: func(r *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if n, ok := b["changed"].(float64); ok && n > 0 {
				b["changed"] = n + 1
			}
			return status, b
		}}), found: "recovery-binds"},
		"answers differently":           {site: answering("/ask", "answer", "recovery is closed", func(in string) bool { return strings.Contains(in, `"test"`) }), found: "recovery-mail"},
		"mails while closed":            {site: answering("/ask", "link", "alive", func(string) bool { return true }), found: "recovery-mail"},
		"forgets the state in the list": {registry: forgetsClosed, found: "recovery-list"},
		"opens the whole domain for one holder": {site: func(s *refregistry.Server, site http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				all, _ := s.Addresses(r.Context())
				for _, a := range all {
					if r.URL.Path == "/verify" {
						_ = s.LetOut(r.Context(), a.Account, "nobody", "a defect")
					}
				}
				site.ServeHTTP(w, r)
			})
		}, found: "recovery-holder"},
		"lets no holder out": {site: answering("/verify", "verified", false, func(string) bool { return true }), found: "recovery-holder"},
		"does not know max_addresses": {registry: overLever(spoil{request: func(_ *http.Request, b map[string]any) {
			if b["max_addresses"] != nil {
				b["max_addresses"] = 1000
			}
		}}), found: "recovery-max-addresses"},
		"closes in a dry run": {registry: overLever(spoil{request: func(_ *http.Request, b map[string]any) {
			if b["desired"] == "closed" {
				delete(b, "dry_run")
			}
		}}), found: "recovery-max-addresses"},
		"binds anew when asked again": {registry: overLever(spoil{answer: func(_ *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
			if b["changed"] == float64(0) && b["recovery"] == "closed" {
				b["changed"] = 1
			}
			return status, b
		}}), found: "recovery-repeat"},
		"takes a closing without since": {registry: func(next http.Handler) http.Handler {
			return spoil{request: func(r *http.Request, b map[string]any) {
				if r.Method == http.MethodPut && b["since"] == nil {
					b["since"] = now()
				}
			}}.over(next)
		}, found: "recovery-form"},
		"stays closed": {registry: overLever(spoil{request: func(_ *http.Request, b map[string]any) {
			if b["desired"] == "open" {
				b["dry_run"] = true
			}
		}}), found: "recovery-open"},
	}
}

func forgetsClosed(next http.Handler) http.Handler {
	return spoil{answer: func(r *http.Request, status int, _ http.Header, b map[string]any) (int, map[string]any) {
		hosts, _ := b["hosts"].([]any)
		for _, h := range hosts {
			delete(h.(map[string]any), "closed")
		}
		return status, b
	}}.over(next)
}

// Each defect of the lever is found by the check that is there for it.
func TestBrokenLeversAreFound(t *testing.T) {
	for name, d := range leverDefects() {
		t.Run(name, func(t *testing.T) {
			s := sound(t, nil)
			admin, hooks := s.Handler(), siteOf(t, s)
			if d.site != nil {
				hooks = d.site(s, hooks)
			}
			if d.registry != nil {
				admin = d.registry(admin)
			}
			web := httptest.NewServer(hooks)
			defer web.Close()
			r := look(t, admin, func(c *Config) { c.Site = web.URL })
			var found []string
			for _, f := range r.Findings {
				if f.Level == Wrong {
					found = append(found, f.Check)
				}
			}
			if !slices.Contains(found, d.found) {
				t.Errorf("%s is not among what was found: %v", d.found, r.Findings)
			}
		})
	}
}

// A registry without the lever is walked as before, and conforms.
func TestRegistryWithoutTheLeverConforms(t *testing.T) {
	r := look(t, sound(t, func(c *refregistry.Config) { c.WithoutRecovery = true }).Handler(), nil)
	if !r.OK() || len(r.Findings) > 0 || len(r.Checks) != 21 {
		t.Fatal(len(r.Checks), r.Findings)
	}
}

// A walk that breaks off opens recovery again, and a site that answers nonsense is an error that names the hook.
func TestBrokenSiteIsAnErrorAndRecoveryOpens(t *testing.T) {
	for name, answer := range map[string]string{"no JSON": "hello", "twice": `{"link":"a","link":"b"}`, "huge": `{"answer":"` + strings.Repeat("x", maxSite) + `"}`} {
		s := sound(t, nil)
		hooks := siteOf(t, s)
		web := httptest.NewServer(s.Handler())
		defer web.Close()
		asks := 0
		broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asks++; asks == 1 {
				hooks.ServeHTTP(w, r)
				return
			}
			_, _ = io.WriteString(w, answer)
		}))
		defer broken.Close()
		_, err := Walk(t.Context(), Config{URL: web.URL, Token: token, Domain: test, Site: broken.URL, Now: now, Key: func() string { return "conform:1" }})
		if err == nil || !strings.Contains(err.Error(), "/ask") {
			t.Errorf("%s: %v", name, err)
		}
		all, _ := s.Closings(t.Context())
		if len(all) != 3 || slices.ContainsFunc(all, func(c refregistry.Closing) bool { return c.Ended.IsZero() }) {
			t.Errorf("%s: %d closings, or one that lasts", name, len(all))
		}
	}
	_, err := Walk(t.Context(), Config{URL: "http://127.0.0.1:1", Token: token, Now: now, Site: "http://127.0.0.1:1"})
	if err == nil || errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
