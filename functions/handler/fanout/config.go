package fanout

import (
	"context"
	"log/slog"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// Lister is the registry's list: the admin API's client, or a file.
type Lister interface {
	List(ctx context.Context, after string, limit int, changedSince time.Time) (registry.Page, error)
}

// Config is what a Handler works with.
type Config struct {
	Store store.Store
	Queue queue.Sender
	List  Lister
	Log   *slog.Logger
	// Metrics may be nil.
	Metrics *telemetry.Metrics
	Now     func() time.Time
	// Segments of the table scanned in parallel.
	Segments int
	// BaselineDays spreads the first RDAP look at new domains.
	BaselineDays int
	// Rate gives the RDAP server that is asked about a domain and how fast it may be (see Rates); nil: the first scan has
	// no plan.
	Rate func(domain.Name) (rdap.Rate, bool)
	// Ahead is how many domains are held back to be sent by their addresses, those with most first; 0: a run's are sent
	// as they are found, because the first scan's order is that of its days.
	Ahead int
	// CanaryLabel names the synthetic domain: it should be long and not to be guessed, so that nobody registers it.
	// It is stored with the first run; empty: no synthetic domain.
	CanaryLabel string
	// Margin is the time before the deadline at which no further page is begun.
	Margin time.Duration
}

// Handler orders the steps of a run.
type Handler struct{ Config }

// New builds a handler; the error names what c lacks.
func New(c Config) (*Handler, error) {
	if err := handler.Complete(c, "Metrics", "Rate"); err != nil {
		return nil, err
	}
	return &Handler{c}, nil
}
