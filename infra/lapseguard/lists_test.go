package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListsFetchAndCompare: what is fetched is compared with what is built in; what cannot be fetched is named.
func TestListsFetchAndCompare(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/dns.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"publication":"2026-11-01T00:00:00Z","services":[[["com"],["https://rdap.example/"]],[["brandnew"],["https://rdap.example/"]]]}`))
	})
	mux.HandleFunc("/list.dat", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("// VERSION: 2026-11-02_1\n// ===BEGIN ICANN DOMAINS===\ncom\nbrandnew\n// ===END ICANN DOMAINS===\nprivate.example\n"))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	var out bytes.Buffer
	dir := t.TempDir()
	c := listsCommand{Fetch: dir, From: []string{server.URL + "/dns.json", server.URL + "/list.dat"}}
	if err := c.Run(t.Context(), streams{&out, &out}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fetched", "dns.json: of 2026-11-01", "more: 1 (brandnew)", "at another server: 1 (com)", "list.dat: of 2026-11-02", "Control names", "TLDs that IANA does not list"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "private.example") {
		t.Error("a private suffix is compared")
	}
	before, err := os.ReadFile(filepath.Join(dir, "dns.json"))
	if err != nil {
		t.Fatal(err)
	}
	server.Close() // the network is gone
	out.Reset()
	if err := c.Run(t.Context(), streams{&out, &out}); err != nil || strings.Count(out.String(), "would fetch "+server.URL) != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
	if after, err := os.ReadFile(filepath.Join(dir, "dns.json")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("what was fetched before is spoilt: %v", err)
	}
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	c.From = []string{broken.URL + "/dns.json"}
	if err := c.Run(t.Context(), streams{&out, &out}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a page that is not there: %v", err)
	}
}
