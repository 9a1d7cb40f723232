package contract

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The document is a valid one of OpenAPI 3.1, its examples fit its schemas, and it has the three calls.
func TestTheDocumentIsValid(t *testing.T) {
	s, err := Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.Doc.OpenAPI, "3.1.") || s.Doc.Paths.Len() != 4 {
		t.Fatal(s.Doc.OpenAPI, s.Doc.Paths.Len())
	}
	for path, item := range s.Doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Description == "" || op.Responses.Status(http.StatusOK) == nil || op.Responses.Default() == nil {
				t.Errorf("%s %s: without id, description, 200 or default", method, path)
			}
		}
	}
}

// Transport reports, and changes nothing: neither what is sent nor what comes back, a break included.
func TestTransport(t *testing.T) {
	s, err := Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer, cut := "", false
	var sent string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		sent = string(data)
		w.Header().Set("Content-Type", "application/json")
		if cut {
			w.Header().Set("Content-Length", "1000")
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer web.Close()
	const good = `{"hosts":[],"as_of":"2026-01-01T00:00:00Z","complete":true}`
	for _, c := range []struct {
		name, method, path, body, answer string
		cut                              bool
		reports                          int
	}{
		{"good", "GET", "/admin/v1/email-domains", "", good, false, 0},
		{"bad answer", "GET", "/admin/v1/email-domains", "", `{}`, false, 1},
		{"bad request", "GET", "/admin/v1/email-domains?limit=0", "", good, false, 1},
		{"both bad", "POST", "/admin/v1/email-domains/a.example/unverify", `{"run":"r"}`, `{}`, false, 2},
		{"body where none belongs", "POST", "/admin/v1/unverifications/k/restore", `{"run":"r"}`, `{"restored":0,"kept":0}`, false, 1},
		{"no such path", "GET", "/admin/v2", "", good, false, 1},
		{"not the API", "POST", "/reset", `{"x":1}`, `{}`, false, 0},
		{"lost on the way", "GET", "/admin/v1/email-domains", "", good, true, 0},
	} {
		answer, cut = c.answer, c.cut
		var reports []error
		client := &http.Client{Transport: s.Transport(web.URL+"/admin/", http.DefaultTransport, func(err error) { reports = append(reports, err) })}
		req, err := http.NewRequestWithContext(context.Background(), c.method, web.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer x"}, "Content-Type": {"application/json"}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(data) != c.answer || sent != c.body || c.cut != errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: sent %q, got %q, %v", c.name, sent, data, err)
		}
		if len(reports) != c.reports {
			t.Errorf("%s: %v, want %d", c.name, reports, c.reports)
		}
	}
}
