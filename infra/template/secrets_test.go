package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/infra/host"
	"github.com/lapseguard/lapseguard/shared/cloud"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// vault is SSM's parameters, and what they open. It repeats every token that it is shown in whatever it refuses.
type vault struct {
	mu     sync.Mutex
	values map[string]string // by parameter
	reads  map[string]int
	shown  map[string]bool // every token that was ever in use
	fail   int             // status of a failing registry; 0: it works
	calls  map[string]int
	rotate func(where string, n int) // called after each answered call
}

const (
	registryToken = "/lapseguard/registry-token"
	statusToken   = "/lapseguard/status-token"
)

func (v *vault) set(name, value string) {
	v.values[name] = value
	v.shown[value] = true
}

// ssm answers GetParameter; a failing one repeats the value in its words.
func (v *vault) ssm(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var in struct{ Name string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	v.reads[in.Name]++
	if v.fail == http.StatusTeapot {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"AccessDeniedException","message":"not %s"}`, v.values[in.Name])
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]string{"Value": v.values[in.Name]}})
}

// opens answers 401, with the token in it, unless the right one is shown.
func (v *vault) opens(w http.ResponseWriter, name, shown string) bool {
	if shown == v.values[name] {
		return true
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, `{"type":"urn:lapseguard:problem:unauthorized","title":"no token %s","detail":"%s","msg":"%s","status":401}`, shown, shown, shown)
	return false
}

// registry is the admin API.
func (v *vault) registry(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	shown := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !v.opens(w, registryToken, shown) {
		return
	}
	where := "unverify"
	if r.Method == http.MethodGet {
		where = "list"
	}
	if v.fail != 0 {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(v.fail)
		fmt.Fprintf(w, `{"type":"about:%s","title":"%s","detail":"you sent %s","status":%d}`, shown, shown, shown, v.fail)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if where == "list" {
		_ = json.NewEncoder(w).Encode(map[string]any{"complete": true, "next": "", "as_of": start(), "hosts": []map[string]any{
			{"host": "example-00.com", "addresses": 1, "oldest": start().AddDate(-3, 0, 0), "newest": start().AddDate(-3, 0, 0)},
			{"host": "example-01.it", "addresses": 1}, {"host": "example-02.it", "addresses": 1},
		}})
	} else {
		fmt.Fprint(w, `{"changed":1,"already_unverified":0,"kept_verified_later":0,"recovery":"closed"}`)
	}
	v.done(where)
}

// status is the status API.
func (v *vault) status(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.opens(w, statusToken, r.Header.Get("Fastly-Key")) {
		return
	}
	if v.fail != 0 {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprintf(w, `{"msg":"%s"}`, r.Header.Get("Fastly-Key"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"domain":%q,"zone":"it","status":"active"}`, r.URL.Query().Get("domain"))
	v.done("status")
}

func (v *vault) done(where string) {
	v.calls[where]++
	if v.rotate != nil {
		v.rotate(where, v.calls[where])
	}
}

// guarded is a guard whose tokens come from the vault, as the deployed functions have them.
func (v *vault) guarded(t *testing.T) (*guard, string) {
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	ssm, path := serve(v.ssm), ""
	parameters := func(now func() time.Time) *cloud.ParameterStore {
		return cloud.NewParameterStore(aws.Config{
			Region: "us-east-1", BaseEndpoint: &ssm, HTTPClient: http.DefaultClient, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		}, now)
	}
	g := newGuard(t, time.Hour, func(c *host.Config) {
		reg, err := registry.New(registry.Config{URL: serve(v.registry), Token: cloud.NewParameter(parameters(c.Now), registryToken).Value, Log: c.Log})
		if err != nil {
			t.Fatal(err)
		}
		c.Registry, c.List, path = reg, reg, c.Path
		c.Sources.StatusURL, c.Sources.StatusAPI = serve(v.status), checker.Fastly
		c.Sources.StatusToken = cloud.NewParameter(parameters(c.Now), statusToken).Value
	})
	return g, path
}

func newVault() *vault {
	v := &vault{values: map[string]string{}, reads: map[string]int{}, shown: map[string]bool{}, calls: map[string]int{}}
	v.set(registryToken, "registry-secret-of-monday")
	v.set(statusToken, "status-secret-of-monday")
	return v
}

// silentAbout fails where a token is in anything that was written.
func (v *vault) silentAbout(t *testing.T, where string, text []byte) {
	t.Helper()
	for token := range v.shown {
		for _, form := range []string{token, token[:len(token)-4]} {
			if i := bytes.Index(bytes.ToLower(text), []byte(form)); i >= 0 {
				t.Errorf("%s holds a token: …%s…", where, text[max(0, i-80):min(len(text), i+20)])
				break
			}
		}
	}
}

// TestTokensAreReadOnceAndAgainWhenRotated in the middle of a run, without a deployment; and none is in what is written.
func TestTokensAreReadOnceAndAgainWhenRotated(t *testing.T) {
	t.Parallel()
	v := newVault()
	g, path := v.guarded(t)
	v.rotate = func(where string, n int) {
		switch {
		case where == "list" && n == 2: // between the second day's list and its unverify
			v.set(registryToken, "registry-secret-of-tuesday")
		case where == "status" && n == 1: // between two domains of a message
			v.set(statusToken, "status-secret-of-tuesday")
		}
	}
	g.run(true)
	g.pass(20*time.Hour, time.Hour) // the second day's run is in it
	g.lapse("example-00.com")
	g.pass(24*time.Hour, time.Hour)
	if v.calls["unverify"] == 0 || v.calls["status"] < 2 || v.calls["list"] < 2 {
		t.Fatalf("calls %v, log:\n%s", v.calls, tail(g.log.String()))
	}
	if v.reads[registryToken] != 2 || v.reads[statusToken] != 2 {
		t.Errorf("SSM was read %v times, want each token once and again after its rotation", v.reads)
	}
	if d := g.domain("example-02.it"); d.State.Mkt == lifecycle.WordNone {
		t.Error("the status API's answer after the rotation did not arrive")
	}
	v.silentEverywhere(t, g, path)
}

// TestNoTokenIsWrittenWhenEverythingFails, at debug level, and the other side repeats what it was shown.
func TestNoTokenIsWrittenWhenEverythingFails(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusUnprocessableEntity, http.StatusForbidden, http.StatusTeapot} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			v := newVault()
			g, path := v.guarded(t)
			if status != http.StatusTeapot { // then SSM fails from the beginning
				g.run(true)
				g.pass(4*time.Hour, time.Hour)
			}
			v.mu.Lock()
			v.fail = status
			v.mu.Unlock()
			g.lapse("example-00.com")
			for range 30 {
				g.at = g.at.Add(time.Hour)
				if g.at.Hour() == 4 {
					g.run(true)
				}
				_ = g.tick()
			}
			for _, want := range map[int][]string{
				http.StatusInternalServerError: {"registry_failed", "sync_failed"}, http.StatusUnprocessableEntity: {`"held"`},
				http.StatusForbidden: {"registry_failed"}, http.StatusTeapot: {"sync_failed"},
			}[status] {
				if !strings.Contains(g.log.String(), want) {
					t.Errorf("the log lacks %s: this tests nothing", want)
				}
			}
			v.silentEverywhere(t, g, path)
		})
	}
}

func (g *guard) domain(name string) records.Domain {
	g.t.Helper()
	d, err := records.In(g.Store).Domain(g.t.Context(), name)
	if err != nil {
		g.t.Fatal(err)
	}
	return d
}

// silentEverywhere greps log, metrics, table and queue.
func (v *vault) silentEverywhere(t *testing.T, g *guard, path string) {
	t.Helper()
	v.silentAbout(t, "the log", g.log.Bytes())
	v.silentAbout(t, "a metric", g.stats.Bytes())
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("example-00.com")) && v.fail != http.StatusTeapot {
		t.Error("the file does not hold what was stored: this tests nothing")
	}
	v.silentAbout(t, "the table or the queue", data)
}
