package keycloak

import (
	"context"
	"crypto/subtle"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/lapseguard/lapseguard/shared/registry"
)

const (
	typeBlank = "about:blank"
	// maxRequest bounds a request's body in bytes: 32 sentences of 2,000 characters, with room left.
	maxRequest = 1 << 20
	// askAgain is Retry-After where nobody knows better.
	askAgain = 30 * time.Second
)

// reply is an answer not yet written.
type reply struct {
	status int
	body   any           // nil: none
	after  time.Duration // 0: no Retry-After
	header map[string]string
}

// problemBody is RFC 9457's object.
type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func problem(status int, kind, title, detail string) reply {
	return reply{status: status, body: problemBody{Type: kind, Title: title, Status: status, Detail: detail}}
}

func malformed(detail string) reply {
	return problem(http.StatusBadRequest, registry.TypeMalformed, "malformed request", detail)
}

func write(w http.ResponseWriter, r reply) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	for name, value := range r.header {
		h.Set(name, value)
	}
	if r.after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((r.after+time.Second-1)/time.Second), 10))
	}
	if r.body == nil {
		w.WriteHeader(r.status)
		return
	}
	kind := "application/json"
	if _, ok := r.body.(problemBody); ok {
		kind = "application/problem+json"
	}
	data, err := stdjson.Marshal(r.body)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", kind)
	w.WriteHeader(r.status)
	_, _ = w.Write(data) // whoever hung up asks again
}

// admin checks method and token, runs a call within the caller's patience, and turns a failure into words.
func (s *Server) admin(method string, f func(ctx context.Context, r *http.Request) (reply, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			p := problem(http.StatusMethodNotAllowed, typeBlank, "method not allowed", "only "+method)
			p.header = map[string]string{"Allow": method}
			write(w, p)
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) != 1 {
			p := problem(http.StatusUnauthorized, registry.TypeUnauthorized, "no valid token", "")
			p.header = map[string]string{"WWW-Authenticate": `Bearer realm="admin"`}
			write(w, p)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.cfg.Patience)
		defer cancel()
		out, err := f(ctx, r)
		if err != nil {
			s.cfg.Log.ErrorContext(ctx, "admin_call_failed", "path", r.URL.Path, "error", err)
			out = failed(err)
		}
		write(w, out)
	})
}

// failed is the answer to a failure: all of them pass, or are mended on this side, and the caller asks again.
func failed(err error) reply {
	out := problem(http.StatusServiceUnavailable, typeBlank, "not done, or not to its end", "ask again with the same key")
	var k *Error
	switch {
	case errors.Is(err, errBusy):
		out = problem(http.StatusServiceUnavailable, typeBlank, "busy with another change", "")
	case errors.As(err, &k):
		out = problem(http.StatusBadGateway, typeBlank, "Keycloak fails", cut(k.Error()))
	}
	out.after = askAgain
	return out
}

// cut keeps a problem's detail within the contract's length.
func cut(s string) string {
	const most = 400
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return strings.ReplaceAll(s, "@", " at ")
}

// readJSON decodes a request's body into v; the reply says why that cannot be.
func readJSON(r *http.Request, v any) (reply, bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return problem(http.StatusUnsupportedMediaType, registry.TypeMalformed, "the body must be application/json", ""), false
	}
	data, err := io.ReadAll(r.Body)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return problem(http.StatusRequestEntityTooLarge, registry.TypeMalformed, "the body is too long", fmt.Sprintf("at most %d bytes", maxRequest)), false
	case err != nil:
		return malformed("the body broke off"), false
	}
	// This decoder refuses duplicate names and invalid UTF-8, and ignores unknown members, as the contract wants.
	if err := json.Unmarshal(data, v); err != nil {
		return malformed("the body is not the JSON object that the contract describes"), false
	}
	return reply{}, true
}
