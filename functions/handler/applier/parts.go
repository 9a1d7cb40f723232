package applier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// page is how many items a step reads at once.
const page = 200

// settleTime is how long the breaker waits for a run to be whole before it judges what is there.
const settleTime = 6 * time.Hour

// What history calls it.
const (
	wordUnverified = "unverified"
	wordWould      = "would unverify"
	wordClosed     = "closed"
	wordOpened     = "opened"
	wordWouldClose = "would close"
	wordWouldOpen  = "would open"
)

// restorer takes an unverification back.
type restorer interface {
	Restore(ctx context.Context, key string) (registry.Restored, error)
}

// Poster sends the morning's mail; cloud.Topic does. A message may arrive twice.
type Poster interface {
	Publish(ctx context.Context, subject, text string) error
}

// Parts are what every step works with.
type Parts struct {
	Store    store.Store
	Queue    queue.Sender
	Restorer restorer
	Mail     Poster // of the morning's digest; nil: it stands in the log alone
	Limits   safety.Limits
	// Protected domains are never acted on, beside the built-in great mail providers.
	Protected []string
	// AcceptedSilent are upstreams (kind/upstream, as the log names them) of which an operator knows that they are dead.
	AcceptedSilent []string
	// UnverifyEarly: a deleted domain is unverified while its holder can still have it back, although recovery is closed.
	UnverifyEarly bool
	// Differ tells whether the kill switch says something else than the configured mode; nil: there is one key alone.
	Differ  func(ctx context.Context) (bool, error)
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	Now     func() time.Time
	// Margin is the time before the deadline at which no further domain is begun.
	Margin time.Duration
}

func (p *Parts) book() records.Book { return records.In(p.Store) }

func (p *Parts) late(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ok && time.Until(d) < p.Margin
}

// change is what becomes of a matter: its case, what is noted at the domain, and what else is written with it.
type change struct {
	Case decision.Case
	Edit func(*records.Domain)
	With []store.Write
}

// carry writes a change, in one transaction with the count of what the breaker holds. False where the domain was
// changed meanwhile: what is there then is judged by the next tick.
func (p *Parts) carry(ctx context.Context, m records.Matter, c change) (records.Matter, bool, error) {
	before := m.Case.V
	m.Case.V = c.Case
	if c.Edit != nil {
		c.Edit(&m.Domain)
	}
	m.Domain.OldDone, m.Domain.OldReleased, m.Domain.OldHeldBy = "", "", ""
	m.Domain.Settle(c.Case.Open())
	writes := append([]store.Write{m.Domain.Put(), m.Case.Put()}, c.With...)
	counted, err := p.counted(ctx, before, c.Case)
	if err != nil {
		return m, false, err
	}
	err = p.Store.Write(ctx, append(writes, counted...)...)
	if errors.Is(err, store.ErrConflict) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("store what was decided about %s: %w", m.Domain.Name, err)
	}
	m.Domain, m.Case = m.Domain.Stored(), m.Case.Stored()
	return m, true, nil
}

// counted is the write that counts what the breaker holds, if that changed.
func (p *Parts) counted(ctx context.Context, before, after decision.Case) ([]store.Write, error) {
	was, is := before.Counts() && before.Status == decision.Held, after.Counts() && after.Status == decision.Held
	if was == is && (!is || before.Class == after.Class) {
		return nil, nil
	}
	ledger, err := p.book().Ledger(ctx)
	if err != nil {
		return nil, err
	}
	if was {
		ledger.V = ledger.V.Count(before.Class, -1)
	}
	if is {
		ledger.V = ledger.V.Count(after.Class, 1)
	}
	return []store.Write{ledger.Put()}, nil
}

// put stores what is noted at a domain. After a conflict the next tick finds it again.
func (p *Parts) put(ctx context.Context, d records.Domain) error {
	if err := p.Store.Write(ctx, d.Put()); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("store %s: %w", d.Name, err)
	}
	return nil
}

// advice is what an account holder is told.
func advice() registry.Advice {
	return registry.Advice{
		Code: "add_other_address",
		Text: "Add a verified address at another domain, and a second factor, here and at your mail provider.",
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// skip leaves alone what a newer version wrote.
func (p *Parts) skip(ctx context.Context, newer *records.Newer) {
	p.Log.ErrorContext(ctx, "items_skipped", "error", newer)
	p.Metrics.Emit(map[string]float64{telemetry.ItemsSkipped: float64(len(newer.Names))})
}
