package keycloak

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
)

// Defaults of Config.
const (
	DefaultFresh    = time.Hour
	DefaultMaxAge   = 24 * time.Hour
	DefaultSweep    = 10 * time.Minute
	DefaultPatience = 20 * time.Second
)

// Standing tells whether a domain is in service again, under the registration that it had before a time: neither
// registered anew nor handed over since. An error means that nobody knows.
type Standing func(ctx context.Context, domain string, before time.Time) (bool, error)

// Config of a Server.
type Config struct {
	Admin *Admin
	Path  string // of the journal's SQLite file; ":memory:" keeps nothing. One server for each file.
	Token string // the guard's bearer token
	// Standing is asked before a holder's new verification of the same address lifts a quarantine; nil: it never does.
	Standing Standing
	// Delegated tells whether the zone above delegates a domain to name servers that are no parking: its holder is then
	// offered to verify again. nil: nobody is.
	Delegated func(ctx context.Context, domain string) (bool, error)
	// Fresh is how old the counts get before they are made anew; older than MaxAge they are not given out.
	Fresh, MaxAge time.Duration
	Sweep         time.Duration // between looks at the quarantined
	// Patience is how long a caller waits for work; what takes longer is answered 202 and finished by Run.
	Patience time.Duration
	// IsPublicSuffix tells of a canonical domain whether names of many owners lie below it; nil asks the
	// ICANN section of the Public Suffix List.
	IsPublicSuffix func(domain string) bool
	Now            func() time.Time // required
	Log            *slog.Logger     // nil discards
}

// Server is the adapter. It is safe for concurrent use; changes are made one request at a time.
type Server struct {
	cfg     Config
	journal *journal
	turn    chan struct{} // holds one token: whoever has it may change accounts
	stale   chan struct{} // holds one when the counts should be made anew soon

	askedMu sync.Mutex
	asked   map[string]asked
}

// Open opens or creates the journal.
func Open(cfg Config) (*Server, error) {
	switch {
	case cfg.Admin == nil:
		return nil, errors.New("keycloak adapter: no Keycloak")
	case cfg.Path == "":
		return nil, errors.New("keycloak adapter: set the journal's path")
	case len(cfg.Token) < 16:
		return nil, errors.New("keycloak adapter: set the guard's token, of 16 characters or more")
	case cfg.Now == nil:
		return nil, errors.New("keycloak adapter: set a clock")
	}
	cfg.Fresh = cmp.Or(cfg.Fresh, DefaultFresh)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, DefaultMaxAge)
	cfg.Sweep = cmp.Or(cfg.Sweep, DefaultSweep)
	cfg.Patience = cmp.Or(cfg.Patience, DefaultPatience)
	if cfg.IsPublicSuffix == nil {
		cfg.IsPublicSuffix = adminapi.IsPublicSuffix
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	j, err := openJournal(cfg.Path)
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, journal: j, turn: make(chan struct{}, 1), stale: make(chan struct{}, 1), asked: map[string]asked{}}, nil
}

// Close closes the journal.
func (s *Server) Close() error { return s.journal.db.Close() }

// Handler serves the admin API under /v1.
func (s *Server) Handler() http.Handler {
	return adminapi.Handler(adminapi.Config{Token: s.cfg.Token, Patience: s.cfg.Patience, Failed: failed, Log: s.cfg.Log}, backend{s})
}

// backend is the admin API's view of the adapter.
type backend struct{ *Server }

// Run counts, finishes what was begun and looks after the quarantined, until ctx ends.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(s.cfg.Sweep)
	defer tick.Stop()
	for {
		s.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.stale:
		}
	}
}

func (s *Server) round(ctx context.Context) {
	err := s.Sweep(ctx)
	_, countErr := s.Count(ctx)
	for what, err := range map[string]error{"sweep_failed": err, "count_failed": countErr} {
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, what, "error", err, "next", "it is tried again")
		}
	}
}

// recount asks Run for a new count.
func (s *Server) recount() {
	select {
	case s.stale <- struct{}{}:
	default:
	}
}

// take waits for the turn to change accounts; it fails when ctx ends first.
func (s *Server) take(ctx context.Context) (release func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}

// errBusy: other work took all the time that the caller had.
var errBusy = errors.New("another change is under way")
