// Package refregistry is a complete registry behind the admin API (infra/registry-admin.openapi.yaml): accounts
// and addresses in SQLite, a password reset to attack, and a log of its own. It is the example for those who
// implement the API, and the other side in tests, where its log is evidence independent of the guard's.
//
// Everything an admin call does, its key, its answer and its log line, is one transaction: after a kill at any
// moment all of it happened or nothing did. One connection serialises all calls.
package refregistry

import (
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

//go:embed schema.sql
var schema string

// defaultSlow is how long slow work takes by default.
const defaultSlow = 30 * time.Second

// Config of a Server.
type Config struct {
	Path  string // of the SQLite file; ":memory:" keeps nothing
	Token string // bearer token of the admin API
	// ReadToken, when set, may list and nothing else (403 elsewhere).
	ReadToken string
	Now       func() time.Time // the clock; required
	// RecoveryMode is what an unverified address is worth here, and what answers say. The default, closed, is
	// the only right one. With open a reset goes out to unverified addresses too, as in many account systems;
	// with unknown it does not, and the answers do not commit themselves.
	RecoveryMode registry.Recovery
	// WithoutRecovery does not offer the call that closes recovery, like a registry that has only the other three.
	WithoutRecovery bool
	// MailIsSignIn lets a mail alone sign in (POST /signin), and says so in the list.
	MailIsSignIn bool
	// SlowOver, when positive, makes an unverify or a closing of more addresses slow: 202 until SlowFor has passed.
	SlowOver int
	SlowFor  time.Duration // 0 is 30 seconds
	// IsPublicSuffix tells of a canonical domain whether names of many owners lie below it; nil asks the
	// ICANN section of the Public Suffix List.
	IsPublicSuffix func(domain string) bool
	Log            *slog.Logger // nil discards
}

// Server is the registry. It is safe for concurrent use.
type Server struct {
	cfg Config
	db  *sql.DB
}

// Open opens or creates the registry's file.
func Open(cfg Config) (*Server, error) {
	cfg.RecoveryMode = cmp.Or(cfg.RecoveryMode, registry.RecoveryClosed)
	cfg.SlowFor = cmp.Or(cfg.SlowFor, defaultSlow)
	switch {
	case cfg.Path == "":
		return nil, errors.New("refregistry: no path: set a file's, or :memory: to keep nothing")
	case cfg.Token == "" || cfg.Token == cfg.ReadToken:
		return nil, errors.New("refregistry: set a token, another one than the read token")
	case cfg.Now == nil:
		return nil, errors.New("refregistry: set a clock")
	case cfg.RecoveryMode != registry.RecoveryClosed && cfg.RecoveryMode != registry.RecoveryOpen && cfg.RecoveryMode != registry.RecoveryUnknown:
		return nil, fmt.Errorf("refregistry: recovery mode %q: set closed, open or unknown", cfg.RecoveryMode)
	}
	if cfg.IsPublicSuffix == nil {
		cfg.IsPublicSuffix = adminapi.IsPublicSuffix
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	db, err := sql.Open("sqlite", dsn(cfg.Path))
	if err != nil {
		return nil, fmt.Errorf("refregistry: open %s: %w", cfg.Path, err)
	}
	db.SetMaxOpenConns(1) // and never closed when idle: a database in memory lives as long as its connection
	db.SetMaxIdleConns(1)
	if _, err := db.Exec(schema); err != nil { //nolint:noctx // opening takes no context
		return nil, errors.Join(fmt.Errorf("refregistry: create the tables in %s: %w", cfg.Path, err), db.Close())
	}
	return &Server{cfg: cfg, db: db}, nil
}

// dsn: FULL makes each commit durable before it is answered; IMMEDIATE takes the write lock at once.
func dsn(path string) string {
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)", "cache_size(-65536)"},
	}
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}
	if path == ":memory:" {
		u.Opaque = path
	}
	return u.String()
}

// Close closes the file.
func (s *Server) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("refregistry: close %s: %w", s.cfg.Path, err)
	}
	return nil
}

// Handler serves the admin API under /v1, and for anybody POST /reset, /link, /support, with MailIsSignIn /signin, and
// /reset/confirm, which follows the link that any of them mailed.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	var b adminapi.Backend = lever{backend{s}}
	if s.cfg.WithoutRecovery {
		b = backend{s}
	}
	mux.Handle("/", adminapi.Handler(adminapi.Config{Token: s.cfg.Token, ReadToken: s.cfg.ReadToken, Log: s.cfg.Log}, b))
	for _, way := range []string{wayReset, wayLink, waySupport, waySignIn} {
		if way != waySignIn || s.cfg.MailIsSignIn {
			mux.Handle("/"+way, adminapi.Only(http.MethodPost, s.ask(way)))
		}
	}
	mux.Handle("/reset/confirm", adminapi.Only(http.MethodPost, s.confirm))
	return mux
}

// backend is the admin API's view of the registry.
type backend struct{ *Server }

// tx runs f in a transaction. What was begun is finished: a caller that hangs up does not undo it.
func (s *Server) tx(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) (err error) {
	ctx = context.WithoutCancel(ctx)
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// reversed writes a canonical host with its labels reversed, a dot after each: then everything at a domain or
// below it begins with the domain, and is one range of an index.
func reversed(host string) string {
	labels := strings.Split(host, ".")
	var b strings.Builder
	for i := len(labels) - 1; i >= 0; i-- {
		b.WriteString(labels[i])
		b.WriteByte('.')
	}
	return b.String()
}

// span is the range of reversed hosts at a domain or below it: from <= rev < to.
func span(canonicalDomain string) (from, to string) {
	from = reversed(canonicalDomain)
	return from, from[:len(from)-1] + "/" // the byte after the dot
}

// micro is how times are stored: microseconds since 1970, NULL for unknown.
func micro(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func instant(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}
