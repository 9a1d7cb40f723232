package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/infra/host"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// serveCommand is the guard without AWS: the deployed handlers, the embedded store, the schedules in this process.
type serveCommand struct {
	Dir string `name:"state" default:".lapseguard/serve" help:"Folder of the table, the queue and the mode. One process at a time."`
	admin
	Count int     `name:"breaker-count" env:"LAPSEGUARD_BREAKER_COUNT" default:"20" help:"Most domains acted on in 24 hours without a person."`
	Share float64 `name:"breaker-share" env:"LAPSEGUARD_BREAKER_SHARE" default:"0.2" help:"Or this percentage of the watched domains, if that is more."`
	Days  int     `name:"baseline-days" env:"LAPSEGUARD_BASELINE_DAYS" default:"14" help:"Over how many days the first look by RDAP is spread."`
	From  string  `hidden:"" help:"Simulate: begin at this time, and do not wait between ticks."`
	Until string  `hidden:"" help:"Simulate: end after this time."`

	upstreams
}

// admin is the registry that is guarded.
type admin struct {
	URL     string   `name:"registry" env:"LAPSEGUARD_REGISTRY_URL" required:"" help:"The admin API's base."`
	Bearer  string   `name:"registry-token" env:"LAPSEGUARD_REGISTRY_TOKEN" required:"" help:"Its bearer token; better in the environment than on the command line."`
	Protect []string `name:"protected" env:"LAPSEGUARD_PROTECTED" help:"Domains never acted on, beside the great mail providers."`
}

func (a admin) client(contact string, log *slog.Logger) (*registry.Client, error) {
	return registry.New(registry.Config{URL: a.URL, UserAgent: telemetry.UserAgent(contact), Log: log,
		Token: func(context.Context, bool) (string, error) { return a.Bearer, nil }})
}

// copySuffix names the copy of a store that is read while the guard has the store itself.
const copySuffix = ".copy"

// Run guards until it is told to stop.
func (c *serveCommand) Run(ctx context.Context, s streams) (err error) {
	log := telemetry.NewLogger(s.err, slog.LevelInfo)
	h, clock, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	mode, err := h.Applier.Mode(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "guarding %s in mode %s; state in %s; lapseguard mode, report, holds and explain --state %s work meanwhile\n", masked(c.URL), mode, c.Dir, c.Dir)
	for ctx.Err() == nil && clock.more() {
		if err := serveTick(ctx, h, clock.now()); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "tick_failed", "error", err.Error()) // the next one goes on where this one stopped
		}
		if err := keepCopy(h.Store.DB(), filepath.Join(c.Dir, guardFile)); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "copy_failed", "error", err.Error())
		}
		if err := clock.wait(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.err, "stopped; the same command goes on where it stopped")
	return nil
}

func (c *serveCommand) open(ctx context.Context, log *slog.Logger) (*host.Host, *schedule, error) {
	limits := safety.Limits{Count: c.Count, Share: c.Share / 100}
	if err := errors.Join(c.check(), limits.Validate()); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("state folder: %w", err)
	}
	at, err := c.schedule()
	if err != nil {
		return nil, nil, err
	}
	client, err := c.client(c.Contact, log)
	if err != nil {
		return nil, nil, err
	}
	h, err := host.Open(ctx, host.Config{
		Path: filepath.Join(c.Dir, guardFile), List: client, Registry: client, Sources: c.sources(log, at.now), Mode: applier.Observe, Limits: limits,
		Protected: c.Protect, BaselineDays: c.Days, Workers: 16, CanaryLabel: "lapseguard-canary", Log: log, Now: at.now,
	})
	if err != nil {
		return nil, nil, err
	}
	if at.sim != nil {
		err = at.sim.set(at.now())
	}
	h.Applier.Mode = place{Dir: c.Dir}.modeOr(applier.Observe)
	if err := errors.Join(err, os.WriteFile(filepath.Join(c.Dir, servedFile), []byte(masked(c.URL)+"\n"), 0o600)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("mark the state folder: %w", err), h.Close())
	}
	return h, at, nil
}

// servedFile marks the state folder of serve; it names the registry.
const servedFile = "registry"

func served(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, servedFile))
	return err == nil
}

// toServed carries an operator's event out on the store of serve, which must not run meanwhile: one lock.
func (o operate) toServed(ctx context.Context, s streams, e applier.Event) (err error) {
	c := serveCommand{Dir: o.Dir, Count: safety.DefaultCount, Share: 100 * safety.DefaultShare, Days: 14, upstreams: upstreams{RDAPRate: 1, StatusURL: "off", StatusAPI: "fastly"},
		admin: admin{URL: os.Getenv("LAPSEGUARD_REGISTRY_URL"), Bearer: os.Getenv("LAPSEGUARD_REGISTRY_TOKEN")}}
	if c.URL == "" || c.Bearer == "" {
		return errors.New("the registry is asked too: set LAPSEGUARD_REGISTRY_URL and LAPSEGUARD_REGISTRY_TOKEN as for lapseguard serve")
	}
	h, _, err := c.open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	return handled(ctx, s, h, e)
}

// serveTick is what the schedules do in a quarter of an hour: the daily run where one is due, else what is left of it,
// and the applier's tick.
func serveTick(ctx context.Context, h *host.Host, now time.Time) error {
	run, err := records.In(h.Store).Run(ctx)
	if err != nil {
		return err
	}
	if err := h.Drain(ctx); err != nil { // what a killed process left
		return err
	}
	if !run.Found() || run.V.Started.Time().Before(lastDaily(now)) {
		err = h.Day(ctx)
	} else if _, err = h.Fanout.Handle(ctx, fanout.Event{Action: "resume"}); err == nil {
		err = h.Drain(ctx)
	}
	_, failed := h.Tick(ctx)
	return errors.Join(err, failed)
}

// lastDaily is when the daily schedule fired last: also while this process was not there to see it.
func lastDaily(now time.Time) time.Time {
	at := time.Date(now.Year(), now.Month(), now.Day(), dailyAt, 0, 0, 0, time.UTC)
	if now.Before(at) {
		at = at.AddDate(0, 0, -1)
	}
	return at
}

// keepCopy brings the store to the disk, and a copy of it beside it for whoever reads while this process has it locked.
func keepCopy(db *bbolt.DB, path string) error {
	if err := db.Sync(); err != nil {
		return fmt.Errorf("bring the store to the disk: %w", err)
	}
	temp := path + copySuffix + ".new"
	err := db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(temp, 0o600) })
	if err == nil {
		err = os.Rename(temp, path+copySuffix)
	}
	if err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	return nil
}

// schedule is the quarter-hours, of the present or simulated.
type schedule struct {
	sim   *clock
	until time.Time
}

func (c *serveCommand) schedule() (*schedule, error) {
	if c.From == "" {
		return &schedule{}, nil
	}
	from, err := given(c.From, time.Time{})
	if err != nil {
		return nil, err
	}
	until, err := given(c.Until, from)
	if err != nil {
		return nil, err
	}
	st := stage{}
	if err := st.readClock(filepath.Join(c.Dir, "clock"), from); err != nil {
		return nil, err
	}
	return &schedule{sim: st.clock, until: until}, nil
}

func (s *schedule) now() time.Time {
	if s.sim != nil {
		return s.sim.now()
	}
	return time.Now().UTC()
}

func (s *schedule) more() bool { return s.sim == nil || !s.sim.now().After(s.until) }

// wait ends with the next quarter of an hour, or with ctx.
func (s *schedule) wait(ctx context.Context) error {
	next := s.now().Truncate(tickEvery).Add(tickEvery)
	if s.sim != nil {
		return s.sim.set(next)
	}
	t := time.NewTimer(time.Until(next))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return nil
}
