package checker

import (
	"context"
	"log/slog"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler"
	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// Asker asks one upstream about many domains: an observation for each name, in order. It respects ctx's
// deadline: what it could not ask is Unknown with CauseNotAsked.
type Asker interface {
	Ask(ctx context.Context, m queue.Message) []source.Observation
}

// Confirmer asks a second and surer way, for answers on which recovery could be opened: an observation for each name, in
// order. An asker that is none is believed at once.
type Confirmer interface {
	Confirm(ctx context.Context, m queue.Message) []source.Observation
}

// Directory knows which RDAP server answers for a TLD.
type Directory interface {
	Server(tld string) (base string, authoritative, ok bool)
}

// Config is what a Handler works with. Upstreams, Log and Now come from Sources.Config.
type Config struct {
	Store store.Store
	Queue queue.Sender
	// DeadLetters gets messages of a newer schema at once.
	DeadLetters queue.DeadLetters
	// Ask holds the askers by kind; a kind without one is not asked (the status API switched off).
	Ask     map[queue.Kind]Asker
	Servers Directory
	// Known holds names whose answer is known, by kind; a kind without any is believed.
	Known map[queue.Kind]*canary.Set
	// Published is when the list of RDAP servers was published; nil: not measured.
	Published func() time.Time
	// Metrics may be nil.
	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Now     func() time.Time
	// StatusUpstream names the status API in messages; empty: switched off.
	StatusUpstream string
	// GraceUnverify, see lifecycle.Facts.
	GraceUnverify bool
	// AcceptedSilent are upstreams (kind/upstream, as the log names them) of which an operator knows that they are dead.
	AcceptedSilent []string
	// BaselineDays spreads the first MX look, over a week at most.
	BaselineDays int
	// Park is how long the rest of a message waits when its upstream did not say; 0: half an hour.
	Park time.Duration
	// Margin is the time before the deadline at which nothing more is asked.
	Margin time.Duration
}

// Handler orders the steps of answering messages.
type Handler struct {
	Config
	trust   trust // which upstreams were right about known names
	watched watched
}

// New builds a handler; the error names what c lacks.
func New(c Config) (*Handler, error) {
	if err := handler.Complete(c, "Known", "Published", "Metrics"); err != nil {
		return nil, err
	}
	return &Handler{Config: c}, nil
}
