package refregistry

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

const (
	typeBlank = "about:blank"
	// maxBody bounds a request's body in bytes: 32 sentences of 2,000 characters, with room left.
	maxBody = 1 << 20
)

// reply is an answer not yet written: a status, a body, and with 202 or 409 when to ask again.
type reply struct {
	status int
	body   any // nil: none
	after  time.Duration
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

func (r reply) problemType() string {
	if p, ok := r.body.(problemBody); ok {
		return p.Type
	}
	return ""
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
	data, err := json.Marshal(r.body)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(r.status)
	_, _ = w.Write(data) // whoever hung up asks again
}

// only lets one method pass.
func only(method string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			p := problem(http.StatusMethodNotAllowed, typeBlank, "method not allowed", "only "+method)
			p.header = map[string]string{"Allow": method}
			write(w, p)
			return
		}
		next(w, r)
	})
}

// admin checks the token, runs a call, and turns an unexpected error into a 500 without its text.
func (s *Server) admin(method string, f func(ctx context.Context, r *http.Request) (reply, error)) http.Handler {
	return only(method, func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case ok && same(token, s.cfg.Token):
		case ok && s.cfg.ReadToken != "" && same(token, s.cfg.ReadToken):
			if method != http.MethodGet {
				write(w, problem(http.StatusForbidden, registry.TypeForbidden, "this token may only list", ""))
				return
			}
		default:
			p := problem(http.StatusUnauthorized, registry.TypeUnauthorized, "no valid token", "")
			p.header = map[string]string{"WWW-Authenticate": `Bearer realm="admin"`}
			write(w, p)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		out, err := f(r.Context(), r)
		if err != nil {
			s.cfg.Log.ErrorContext(r.Context(), "admin_call_failed", "path", r.URL.Path, "error", err)
			out = problem(http.StatusInternalServerError, typeBlank, "internal error", "nothing was changed, or all of it: ask again with the same key")
		}
		write(w, out)
	})
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// readJSON decodes a request's body into v; the reply says why that cannot be.
func readJSON(r *http.Request, v any) (reply, bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return problem(http.StatusUnsupportedMediaType, registry.TypeMalformed, "the body must be application/json", ""), false
	}
	data, err := io.ReadAll(r.Body)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return problem(http.StatusRequestEntityTooLarge, registry.TypeMalformed, "the body is too long", fmt.Sprintf("at most %d bytes", maxBody)), false
	case err != nil:
		return malformed("the body broke off"), false
	}
	if err := strict(data, v); err != nil {
		return malformed("the body is not the JSON object that the contract describes"), false
	}
	return reply{}, true
}
