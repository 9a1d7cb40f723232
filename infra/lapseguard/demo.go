package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/infra/host"
	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/scenario"
	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// place is where a demonstration lives.
type place struct {
	Dir string `name:"state" aliases:"dir" default:".lapseguard/demo" help:"Folder or file of a local store, of a demonstration or of serve."`
	Log bool   `help:"Write the guard's JSON log to standard error."`
}

type demoCommand struct {
	place
	Fresh bool `help:"Begin anew."`
	All   bool `help:"List every domain, also those about which nothing is to be done."`
}

// tickEvery is the quarter-hourly schedule (template.yaml; a test compares), dailyAt the daily one's hour, UTC.
const (
	tickEvery = 15 * time.Minute
	dailyAt   = 3
	token     = "demo-token" // #nosec G101 -- of a server on loopback that lives as long as this process
)

// clock is the demonstration's time, kept in a file so that a killed run goes on where it was.
type clock struct {
	path string
	unix atomic.Int64 // seconds: the simulated internet reads it while it answers
}

func (c *clock) now() time.Time { return time.Unix(c.unix.Load(), 0).UTC() }

func (c *clock) set(at time.Time) error {
	c.unix.Store(at.Unix())
	temp := c.path + ".new"
	if err := os.WriteFile(temp, []byte(at.Format(time.RFC3339)), 0o600); err != nil {
		return fmt.Errorf("keep the clock: %w", err)
	}
	if err := os.Rename(temp, c.path); err != nil {
		return fmt.Errorf("keep the clock: %w", err)
	}
	return nil
}

// stage is everything that a demonstration consists of.
type stage struct {
	scenario *scenario.Scenario
	accounts []scenario.Account
	clock    *clock
	resumed  bool
	net      *sim.Internet
	registry *refregistry.Server
	web      *http.Server
	host     *host.Host
}

// open sets the stage.
func (p place) open(ctx context.Context, s streams) (st *stage, err error) {
	st = &stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close())
		}
	}()
	if st.scenario, err = scenario.Load(); err != nil {
		return st, err
	}
	if st.accounts, err = st.scenario.Accounts(); err != nil {
		return st, err
	}
	if err = os.MkdirAll(p.Dir, 0o700); err != nil {
		return st, fmt.Errorf("folder of the demonstration: %w", err)
	}
	if err = st.readClock(filepath.Join(p.Dir, "clock"), st.scenario.Start); err != nil {
		return st, err
	}
	log := slog.New(slog.DiscardHandler)
	if p.Log {
		log = telemetry.NewLogger(s.err, slog.LevelInfo)
	}
	world, err := st.scenario.World()
	if err != nil {
		return st, err
	}
	if st.net, err = sim.New(world, sim.Config{Now: st.clock.now, Log: log, Silence: 40 * time.Millisecond}); err != nil {
		return st, err
	}
	if err = st.net.Start(ctx); err != nil {
		return st, err
	}
	client, err := st.openRegistry(ctx, filepath.Join(p.Dir, "registry.db"), log)
	if err != nil {
		return st, err
	}
	st.host, err = host.Open(ctx, host.Config{
		Path: filepath.Join(p.Dir, guardFile), List: client, Registry: client, Mode: applier.Enforce, Workers: 8, CanaryLabel: "lapseguard-canary", Log: log, Now: st.clock.now,
		Limits: safety.Limits{Count: 30, Share: 0.02},
		Sources: checker.Sources{Contact: "demo", Bootstrap: st.net.BootstrapURL(), Canaries: st.scenario.Canaries, RDAPRate: 1e6, DNSServers: st.net.DNSAddrs(), DNSTimeout: 400 * time.Millisecond,
			RDAPTimeout: 10 * time.Second, StatusURL: st.net.StatusURL(checker.Fastly), StatusAPI: checker.Fastly, Log: log, Now: st.clock.now},
	})
	if err == nil {
		st.host.Applier.Mode = p.mode
	}
	return st, err
}

// readClock reads the simulated time that a run before left, or begins at start.
func (st *stage) readClock(path string, start time.Time) error {
	st.clock = &clock{path: path}
	st.clock.unix.Store(start.Unix())
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		var at time.Time
		at, err = time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
		st.clock.unix.Store(at.Unix())
	}
	if err != nil {
		return fmt.Errorf("the simulated clock cannot be read, begin anew: %w", err)
	}
	st.resumed = true
	return nil
}

// openRegistry starts the reference registry on loopback, filled with the scenario's accounts.
func (st *stage) openRegistry(ctx context.Context, path string, log *slog.Logger) (*registry.Client, error) {
	var err error
	if st.registry, err = refregistry.Open(refregistry.Config{Path: path, Token: token, Now: st.clock.now, Log: log}); err != nil {
		return nil, err
	}
	known, err := st.registry.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 {
		if err := st.registry.Load(ctx, st.rows); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("reference registry: %w", err)
	}
	st.web = &http.Server{Handler: st.registry.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go st.web.Serve(l) //nolint:errcheck // ends with Close
	return registry.New(registry.Config{URL: "http://" + l.Addr().String(), UserAgent: telemetry.UserAgent("demo"),
		Token: func(context.Context, bool) (string, error) { return token, nil }, Log: log})
}

// rows yields the accounts as they are at the start.
func (st *stage) rows(yield func(refregistry.Row) bool) {
	for _, a := range st.accounts {
		row := refregistry.Row{Address: a.Address, VerifiedAt: a.At}
		if a.At.After(st.scenario.Start) {
			row.Unverified, row.VerifiedAt = true, time.Time{}
		}
		if !yield(row) {
			return
		}
	}
}

func (st *stage) close() error {
	var errs []error
	if st.host != nil {
		errs = append(errs, st.host.Close())
	}
	if st.web != nil {
		errs = append(errs, st.web.Close())
	}
	if st.registry != nil {
		errs = append(errs, st.registry.Close())
	}
	if st.net != nil {
		st.net.Close()
	}
	return errors.Join(errs...)
}

// Run plays the scenario to its end, or, where it was played already, its last day once more.
func (c *demoCommand) Run(ctx context.Context, s streams) (err error) {
	if c.Fresh {
		if err := os.RemoveAll(c.Dir); err != nil {
			return fmt.Errorf("begin anew: %w", err)
		}
	}
	st, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	fmt.Fprintf(s.err, "%d accounts on %d domains, %d simulated days; state in %s\n", len(st.accounts), len(st.scenario.Domains), st.scenario.Days, c.Dir)
	before, err := st.registry.Calls(ctx)
	if err != nil {
		return err
	}
	if err := st.play(ctx, s.err); err != nil {
		return err
	}
	return st.report(ctx, s, len(before), c.All)
}

// end is the last tick: six hours after the last daily run, when second looks have come back.
func (st *stage) end() time.Time {
	return st.scenario.Start.AddDate(0, 0, st.scenario.Days).Add(6 * time.Hour)
}

func (st *stage) play(ctx context.Context, progress io.Writer) error {
	if !st.clock.now().Before(st.end()) {
		fmt.Fprintln(progress, "played already: the last day once more")
		if err := st.host.Day(ctx); err != nil {
			return err
		}
		_, err := st.host.Tick(ctx)
		return err
	}
	if st.resumed {
		fmt.Fprintf(progress, "going on at %s\n", st.clock.now().Format("2006-01-02 15:04"))
	}
	acted, held := 0, 0
	line := liveOn(progress)
	defer line.clear()
	for at := st.clock.now().Truncate(tickEvery); !at.After(st.end()); at = at.Add(tickEvery) {
		if err := st.clock.set(at); err != nil {
			return err
		}
		if err := st.holders(ctx, at); err != nil {
			return err
		}
		res, err := st.tick(ctx, at)
		if err != nil {
			return fmt.Errorf("at %s: %w", at.Format("2006-01-02 15:04"), err)
		}
		acted, held = acted+res.Acted, held+res.Held
		if at.Hour() == dailyAt && at.Minute() == 0 {
			line.show(fmt.Sprintf("day %2d of %d: %d domains unverified and %d held so far", int(at.Sub(st.scenario.Start).Hours()/24), st.scenario.Days, acted, held))
		}
	}
	return nil
}

// holders lets those account holders verify whose time has come.
func (st *stage) holders(ctx context.Context, at time.Time) error {
	for _, a := range st.accounts {
		if !a.Again.Equal(at) {
			continue
		}
		err := st.registry.Verify(ctx, a.Address, at)
		if errors.Is(err, refregistry.ErrClosed) {
			err = st.signedIn(ctx, a, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// signedIn has a holder verify an address through which recovery is closed: in a session begun with the account's
// password. Who made the account after control was interrupted is refused, and stays unverified.
func (st *stage) signedIn(ctx context.Context, a scenario.Account, at time.Time) error {
	all, err := st.registry.Addresses(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s refregistry.AddressState) bool { return s.Address == a.Address })
	set := at
	if a.At.Before(st.scenario.Start) {
		set = st.scenario.Start.AddDate(-1, 0, 0)
	}
	if err := st.registry.SetCredential(ctx, all[i].Account, "password", set); err != nil {
		return err
	}
	session, err := st.registry.SignIn(ctx, all[i].Account, "password")
	if err != nil {
		return err
	}
	if err := st.registry.VerifyIn(ctx, session, a.Address); !errors.Is(err, refregistry.ErrClosed) {
		return err
	}
	return nil
}

// tick is what the schedules do at one quarter of an hour.
func (st *stage) tick(ctx context.Context, at time.Time) (applier.Result, error) {
	if at.Hour() == dailyAt && at.Minute() == 0 {
		if err := st.host.Day(ctx); err != nil {
			return applier.Result{}, err
		}
	} else if _, err := st.host.Fanout.Handle(ctx, fanout.Event{Action: "resume"}); err != nil {
		return applier.Result{}, err
	}
	return st.host.Tick(ctx)
}
