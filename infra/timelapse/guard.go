package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/local"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// clock is the simulated time. It is read by whatever answers.
type clock struct{ unix atomic.Int64 }

func (c *clock) now() time.Time   { return time.Unix(c.unix.Load(), 0).UTC() }
func (c *clock) set(at time.Time) { c.unix.Store(at.Unix()) }

// Policy is how the guard is set up in a run.
type Policy struct {
	Status bool // the status API is asked
	// Without the lever: the registry cannot close account recovery and open it again.
	Without bool
}

// Guard is the product: the three functions with store, queue and registry, on the simulated clock.
type Guard struct {
	clock    *clock
	store    *counted
	queue    *local.Queue
	fanout   *fanout.Handler
	checker  *checker.Handler
	applier  *applier.Handler
	registry *refregistry.Server
	handler  http.Handler // of the registry
	record   *Record
	// touched are the domains whose addresses a call may have changed since they were last looked at.
	touched map[string]bool
}

// token opens the admin API of the registry in this process.
const token = "simulated"

// openGuard builds the guard over a population, in an empty folder.
func openGuard(p *Population, policy Policy, u *Upstreams, c *clock, dir string) (g *Guard, err error) {
	g = &Guard{clock: c, record: newRecord(c.now), touched: map[string]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	db, err := bolt.Open(filepath.Join(dir, "guard.db"), bolt.Options{Now: c.now})
	if err != nil {
		return g, err
	}
	g.store = &counted{Store: db}
	if g.queue, err = local.New(db.DB(), local.Config{Workers: 1, Now: c.now}); err != nil {
		return g, err
	}
	if g.registry, err = refregistry.Open(refregistry.Config{Path: ":memory:", Token: token, Now: c.now, WithoutRecovery: policy.Without}); err != nil {
		return g, err
	}
	g.handler = g.registry.Handler()
	client, err := registry.New(registry.Config{URL: "http://localhost", Transport: g, Token: func(context.Context, bool) (string, error) { return token, nil }})
	if err != nil {
		return g, err
	}
	log := slog.New(g.record)
	g.fanout, err = fanout.New(fanout.Config{Store: g.store, Queue: g.queue, List: client, Log: log, Now: c.now, Segments: 1, BaselineDays: baselineDays})
	if err != nil {
		return g, err
	}
	if g.checker, err = g.newChecker(policy, u, c); err != nil {
		return g, err
	}
	apply := applier.To(client)
	apply.Store, apply.Queue, apply.Log, apply.Now, apply.Limits = g.store, g.queue, log, c.now, safety.DefaultLimits()
	apply.Mode = func(context.Context) (applier.Mode, error) { return applier.Enforce, nil }
	g.applier, err = applier.New(apply)
	return g, err
}

// baselineDays is the template's default.
const baselineDays = 14

// newChecker is the checker with the population in place of the network.
func (g *Guard) newChecker(policy Policy, u *Upstreams, c *clock) (*checker.Handler, error) {
	config, err := checker.Sources{
		Contact: "simulated", StatusURL: checker.Off, RDAPRate: 1, CanaryLabel: freeLabel, Log: slog.New(slog.DiscardHandler), Now: c.now,
	}.Config()
	if err != nil {
		return nil, err
	}
	known, err := canary.New(u.Controls(), freeLabel)
	if err != nil {
		return nil, err
	}
	config.Servers, config.Published = u, nil
	config.Known = map[queue.Kind]*canary.Set{queue.KindDelegation: known, queue.KindRDAP: known, queue.KindStatus: known, queue.KindServers: known}
	config.Ask[queue.KindDelegation] = u
	for kind, a := range u.askers(policy.Status) {
		config.Ask[kind] = a
	}
	if policy.Status {
		config.StatusUpstream = checker.Fastly
	}
	config.Store, config.Queue, config.DeadLetters, config.Log, config.BaselineDays = g.store, g.queue, g.queue, slog.New(g.record), baselineDays
	return checker.New(config)
}

// Close closes what is open.
func (g *Guard) Close() error {
	var errs []error
	if g.store != nil {
		errs = append(errs, g.store.Store.(*bolt.Store).Close())
	}
	if g.registry != nil {
		errs = append(errs, g.registry.Close())
	}
	return errors.Join(errs...)
}

// RoundTrip implements http.RoundTripper: the registry is in this process.
func (g *Guard) RoundTrip(r *http.Request) (*http.Response, error) {
	rest, change := strings.CutPrefix(r.URL.Path, "/v1/email-domains/")
	if name, _, ok := strings.Cut(rest, "/"); change && ok {
		g.touched[name] = true
	}
	if strings.HasPrefix(r.URL.Path, "/v1/unverifications/") { // a restore, by its key
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/unverifications/"), ":")
		g.touched[name] = true
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = io.NopCloser(strings.NewReader(""))
	}
	g.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// Day is the daily schedule.
func (g *Guard) Day(ctx context.Context) error {
	for action := "run"; ; action = "resume" {
		res, err := g.fanout.Handle(ctx, fanout.Event{Action: action})
		if err != nil {
			return fmt.Errorf("daily run: %w", err)
		}
		if err := g.drain(ctx); err != nil {
			return err
		}
		if res.Finished {
			return nil
		}
	}
}

// Tick is the quarter-hourly schedule, of fanout and of applier.
func (g *Guard) Tick(ctx context.Context) error {
	if _, err := g.fanout.Handle(ctx, fanout.Event{Action: "resume"}); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if _, err := g.applier.Handle(ctx, applier.Event{Action: "tick"}); err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	return g.drain(ctx)
}

func (g *Guard) drain(ctx context.Context) error {
	stats, err := g.queue.Drain(ctx, g.answer)
	if err == nil {
		err = stats.LastError
	}
	if err != nil {
		return fmt.Errorf("answer messages: %w", err)
	}
	return nil
}

// answer hands a batch to the checker group by group: it answers groups side by side, and which of them is first must
// not decide anything here.
func (g *Guard) answer(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	all := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for len(e.Records) > 0 {
		n := 1
		for n < len(e.Records) && e.Records[n].Attributes["MessageGroupId"] == e.Records[0].Attributes["MessageGroupId"] {
			n++
		}
		r, err := g.checker.Handle(ctx, events.SQSEvent{Records: e.Records[:n]})
		if err != nil {
			return all, err
		}
		all.BatchItemFailures = append(all.BatchItemFailures, r.BatchItemFailures...)
		e.Records = e.Records[n:]
	}
	return all, nil
}

// Operate is an operator's word.
func (g *Guard) Operate(ctx context.Context, action, name string) error {
	_, err := g.applier.Handle(ctx, applier.Event{Action: action, Domain: name, By: "simulated operator"})
	return err //nolint:wrapcheck // it names the action and the domain
}
