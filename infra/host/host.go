// Package host runs the three functions in one process, with the embedded store and the in-process queue in
// one file: the same handlers, the same order of steps, no cloud.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/local"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// Queue properties, as template.yaml has them (a test compares).
const (
	Visibility = 1800 * time.Second
	MaxReceive = 5
)

// Config of a host.
type Config struct {
	Path          string // of the file that holds table and queue
	Sources       checker.Sources
	List          fanout.Lister
	Registry      *registry.Client // nil: nothing is ever put to a registry
	Mode          applier.Mode
	Limits        safety.Limits
	Protected     []string
	GraceUnverify bool
	BaselineDays  int
	Ahead         int           // see fanout.Config.Ahead
	Park          time.Duration // see checker.Handler.Park; 0: the default
	Workers       int           // message groups answered at the same time
	CanaryLabel   string        // see fanout.Handler; empty: no synthetic domain
	Log           *slog.Logger
	Now           func() time.Time
}

// Host is the three functions with what they share.
type Host struct {
	Store   *bolt.Store
	Queue   *local.Queue
	Fanout  *fanout.Handler
	Checker *checker.Handler
	Applier *applier.Handler
	Counts  *Counts
}

// Open opens the file and builds the handlers. A process that died holds no lease: leases are cleared.
func Open(ctx context.Context, c Config) (*Host, error) {
	db, err := bolt.Open(c.Path, bolt.Options{Now: c.Now})
	if err != nil {
		return nil, err
	}
	h, err := build(c, db)
	if err == nil {
		err = clearLeases(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return h, nil
}

func build(c Config, db *bolt.Store) (*Host, error) {
	q, err := local.New(db.DB(), local.Config{Visibility: Visibility, MaxReceive: MaxReceive, Workers: max(c.Workers, 1), Now: c.Now})
	if err != nil {
		return nil, err
	}
	counts := newCounts()
	sender := countingSender{q, counts}
	check, err := newChecker(c, db, sender, q, counts)
	if err != nil {
		return nil, err
	}
	apply, err := newApplier(c, db, sender)
	if err != nil {
		return nil, err
	}
	fan, err := fanout.New(fanout.Config{Store: db, Queue: sender, List: c.List, Log: c.Log, Now: c.Now, Segments: 1, BaselineDays: c.BaselineDays, CanaryLabel: c.CanaryLabel,
		Ahead: c.Ahead, Rate: fanout.Rates(check.Servers, c.Sources.RDAPRate)})
	if err != nil {
		return nil, err
	}
	return &Host{Store: db, Queue: q, Fanout: fan, Checker: check, Applier: apply, Counts: counts}, nil
}

func newApplier(c Config, db *bolt.Store, q queue.Sender) (*applier.Handler, error) {
	var apply applier.Config
	if c.Registry != nil {
		apply = applier.To(c.Registry)
	}
	apply.Store, apply.Queue, apply.Limits, apply.Protected, apply.Log, apply.Now = db, q, c.Limits, c.Protected, c.Log, c.Now
	apply.Mode = func(context.Context) (applier.Mode, error) { return c.Mode, nil }
	return applier.New(apply)
}

func newChecker(c Config, db *bolt.Store, q queue.Sender, dead queue.DeadLetters, counts *Counts) (*checker.Handler, error) {
	c.Sources.Store = db
	check, err := c.Sources.Config()
	if err != nil {
		return nil, err
	}
	for kind, a := range check.Ask {
		check.Ask[kind] = countingAsker{a, counts}
	}
	check.DeadLetters = dead
	check.Store, check.Queue, check.GraceUnverify, check.BaselineDays, check.Park = db, q, c.GraceUnverify, c.BaselineDays, c.Park
	return checker.New(check)
}

func clearLeases(ctx context.Context, s store.Store) error {
	for _, job := range []string{fanout.Job, applier.Job} {
		w := records.Record(records.PKGuard, records.LeaseSK(job), records.Lease{}, time.Time{})
		if err := s.Write(ctx, w); err != nil {
			return fmt.Errorf("clear the lease of %s: %w", job, err)
		}
	}
	return nil
}

// Close closes the file.
func (h *Host) Close() error { return h.Store.Close() }

// Drain answers messages until none is visible.
func (h *Host) Drain(ctx context.Context) error {
	if _, err := h.Queue.Drain(ctx, h.Checker.Handle); err != nil {
		return fmt.Errorf("answer messages: %w", err)
	}
	return nil
}

// Day runs the daily schedule: fanout to its end, and the queue until it is empty.
func (h *Host) Day(ctx context.Context) error {
	for action := "run"; ; action = "resume" {
		res, err := h.Fanout.Handle(ctx, fanout.Event{Action: action})
		if err != nil {
			return err
		}
		if err := h.Drain(ctx); err != nil {
			return err
		}
		if res.Finished {
			return nil
		}
	}
}

// Tick runs the quarter-hourly schedule, and the queue until it is empty.
func (h *Host) Tick(ctx context.Context) (applier.Result, error) {
	res, err := h.Applier.Handle(ctx, applier.Event{Action: "tick"})
	return res, errors.Join(err, h.Drain(ctx))
}

// Counts counts questions by kind and upstream, for progress and for the last line of an audit.
type Counts struct {
	mu    sync.Mutex
	sent  map[queue.Kind]int
	asked map[queue.Kind]int
	by    map[string]int
	about map[string]int // of by, those about domains: not about control names
}

func newCounts() *Counts {
	return &Counts{sent: map[queue.Kind]int{}, asked: map[queue.Kind]int{}, by: map[string]int{}, about: map[string]int{}}
}

// Progress is how many domains of a kind were sent and how many were answered or given up.
func (c *Counts) Progress(k queue.Kind) (sent, asked int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[k], c.asked[k]
}

// Upstreams is the number of questions put to each upstream, by "kind/upstream".
func (c *Counts) Upstreams() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := make(map[string]int, len(c.by))
	for k, n := range c.by {
		by[k] = n
	}
	return by
}

// Asked is about how many domains each upstream of a kind was asked.
func (c *Counts) Asked(k queue.Kind) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := map[string]int{}
	for upstream, n := range c.about {
		if of, ok := strings.CutPrefix(upstream, string(k)+"/"); ok {
			asked[of] = n
		}
	}
	return asked
}

type countingSender struct {
	queue.Sender
	c *Counts
}

func (s countingSender) Send(ctx context.Context, messages []queue.Message) ([]queue.Message, error) {
	failed, err := s.Sender.Send(ctx, messages)
	if err == nil {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		for _, m := range messages {
			s.c.sent[m.Kind] += len(m.Domains)
		}
	}
	return failed, err //nolint:wrapcheck // counted, not changed
}

type countingAsker struct {
	checker.Asker
	c *Counts
}

func (a countingAsker) Ask(ctx context.Context, m queue.Message) []source.Observation {
	obs := a.Asker.Ask(ctx, m)
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	a.c.asked[m.Kind] += len(obs)
	upstream := string(m.Kind) + "/" + m.Upstream
	for i, o := range obs {
		if o.Cause == source.CauseNotAsked {
			continue
		}
		a.c.by[upstream]++
		if m.Domains[i].Version > 0 {
			a.c.about[upstream]++
		}
	}
	return obs
}
