package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/refregistry"
)

// conform says in words what is wrong, by its exit code too.
func TestConformCommand(t *testing.T) {
	s, err := refregistry.Open(refregistry.Config{Path: ":memory:", Token: token, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	old := time.Now().AddDate(-1, 0, 0)
	for _, a := range []string{"a@rehearsal.org", "b@mail.rehearsal.org", "c@notrehearsal.org"} {
		if err := s.AddAddress(t.Context(), a, &old); err != nil {
			t.Fatal(err)
		}
	}
	junit := filepath.Join(t.TempDir(), "junit.xml")
	broken := false
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		s.Handler().ServeHTTP(w, r)
	}))
	defer web.Close()
	for _, c := range []struct {
		broken bool
		args   []string
		code   int
		says   string
	}{
		{false, []string{web.URL, "--token=" + token, "--domain=rehearsal.org"}, 0, "passed: "},
		{false, []string{web.URL, "--token=" + token, "--domain=rehearsal.org", "--site=http://127.0.0.1:1"}, 1, "the site's /ask"},
		{false, []string{web.URL, "--token=" + token}, 0, "NOT CHECKED  unverify: nothing was unverified"},
		{true, []string{web.URL, "--token=" + token, "--junit=" + junit}, 1, "WRONG        token: GET /v1/email-domains is answered 200, not 401: it came with"},
		{false, []string{"http://127.0.0.1:1", "--token=" + token}, 1, "the walk broke off"},
		{false, []string{web.URL, "--token=another", "--junit=" + junit + ".2"}, 1, "lapseguard: the registry refuses the token, so nothing was checked: set LAPSEGUARD_REGISTRY_TOKEN as the registry has it\n"},
		{false, []string{web.URL}, 1, "no token"},
	} {
		t.Setenv("LAPSEGUARD_REGISTRY_TOKEN", "")
		broken = c.broken
		var out bytes.Buffer
		code := run(t.Context(), append([]string{"conform"}, c.args...), streams{&out, &out})
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s", c.args, code, c.code, c.says, &out)
		}
		if strings.Contains(c.says, "refuses the token") && out.String() != c.says {
			t.Errorf("a refused token is one line, not\n%s", &out)
		}
	}
	b, err := os.ReadFile(junit)
	if err != nil || !strings.Contains(string(b), `<testcase classname="conform" name="token">`) || !strings.Contains(string(b), "<failure message=") || !strings.Contains(string(b), "<skipped message=") {
		t.Errorf("%v: %s", err, b)
	}
}
