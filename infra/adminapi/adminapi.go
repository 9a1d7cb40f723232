// Package adminapi is the server's half of the admin API (infra/registry-admin.openapi.yaml): it checks token,
// method and form of each call, hands it to a Backend, and writes what comes back. The reference registry and the
// Keycloak adapter share it; a registry in Go may use it as it is.
package adminapi

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// MaxBody bounds a request's body in bytes: 32 sentences of 2,000 characters, with room left.
const MaxBody = 1 << 20

// Backend does what the API asks. An error becomes Config.Failed's answer, and is logged.
type Backend interface {
	List(ctx context.Context, q ListQuery) (Reply, error)
	Unverify(ctx context.Context, r registry.Request) (Reply, error)
	Restore(ctx context.Context, key string) (Reply, error)
}

// RecoveryBackend is a Backend that closes and opens recovery too. A handler over one offers that call; its List
// says so on the first page.
type RecoveryBackend interface {
	Backend
	SetRecovery(ctx context.Context, r registry.RecoveryRequest) (Reply, error)
}

// Config of a handler.
type Config struct {
	Token string // bearer token that may do everything
	// ReadToken, when set, may list and nothing else (403 elsewhere).
	ReadToken string
	// Patience bounds one call's work; a caller that hangs up does not end it. 0: the work ends with the call.
	Patience time.Duration
	// Failed is the answer to a failure; nil: 500 without the error's text.
	Failed func(error) Reply
	Log    *slog.Logger
}

// Handler serves the API under /v1, and 404 elsewhere.
func Handler(cfg Config, b Backend) http.Handler {
	if cfg.Failed == nil {
		cfg.Failed = func(error) Reply {
			return Problem(http.StatusInternalServerError, TypeBlank, "internal error", "nothing was changed, or all of it: ask again with the same key")
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/email-domains", cfg.call(http.MethodGet, func(ctx context.Context, r *http.Request) (Reply, error) {
		q, wrong := parseList(r.URL.Query())
		if wrong != "" {
			return Malformed(wrong), nil
		}
		return b.List(ctx, q)
	}))
	mux.Handle("/v1/email-domains/{domain}/unverify", cfg.call(http.MethodPost, func(ctx context.Context, r *http.Request) (Reply, error) {
		in, out, ok := parseUnverify(r)
		if !ok {
			return out, nil
		}
		return b.Unverify(ctx, in)
	}))
	if rb, ok := b.(RecoveryBackend); ok {
		mux.Handle("/v1/email-domains/{domain}/recovery", cfg.call(http.MethodPut, func(ctx context.Context, r *http.Request) (Reply, error) {
			in, out, ok := parseRecovery(r)
			if !ok {
				return out, nil
			}
			return rb.SetRecovery(ctx, in)
		}))
	}
	mux.Handle("/v1/unverifications/{key}/restore", cfg.call(http.MethodPost, func(ctx context.Context, r *http.Request) (Reply, error) {
		key := r.PathValue("key")
		if !registry.ValidKey(key) {
			return Malformed("the key does not fit the contract"), nil
		}
		return b.Restore(ctx, key)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		Write(w, Problem(http.StatusNotFound, TypeBlank, "no such resource", ""))
	})
	return mux
}

// Only lets one method pass.
func Only(method string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			p := Problem(http.StatusMethodNotAllowed, TypeBlank, "method not allowed", "only "+method)
			p.Header = map[string]string{"Allow": method}
			Write(w, p)
			return
		}
		next(w, r)
	})
}

// call checks the token, runs a call, and turns an unexpected error into an answer.
func (c Config) call(method string, f func(ctx context.Context, r *http.Request) (Reply, error)) http.Handler {
	return Only(method, func(w http.ResponseWriter, r *http.Request) {
		if out, ok := c.allowed(method, r); !ok {
			Write(w, out)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		ctx, cancel := r.Context(), context.CancelFunc(func() {})
		if c.Patience > 0 {
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), c.Patience)
		}
		defer cancel()
		out, err := f(ctx, r)
		if err != nil {
			c.Log.ErrorContext(ctx, "admin_call_failed", "path", r.URL.Path, "error", err)
			out = c.Failed(err)
		}
		Write(w, out)
	})
}

func (c Config) allowed(method string, r *http.Request) (refusal Reply, ok bool) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case bearer && same(token, c.Token):
		return Reply{}, true
	case bearer && c.ReadToken != "" && same(token, c.ReadToken):
		return Problem(http.StatusForbidden, registry.TypeForbidden, "this token may only list", ""), method == http.MethodGet
	default:
		p := Problem(http.StatusUnauthorized, registry.TypeUnauthorized, "no valid token", "")
		p.Header = map[string]string{"WWW-Authenticate": `Bearer realm="admin"`}
		return p, false
	}
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
