package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/infra/scenario"
	"github.com/lapseguard/lapseguard/infra/sim"
)

// another is a registry in another language and the internet around it, for a guard in a process of its own. Everybody
// goes by the guard's clock.
type another struct {
	bin, dir, state string
	start           time.Time
	now             func() time.Time
	db              *sql.DB
	env, args       []string
}

func startAnother(t *testing.T, bin string) *another {
	t.Helper()
	sc, err := scenario.Load()
	if err != nil {
		t.Fatal(err)
	}
	a := &another{bin: bin, dir: t.TempDir()}
	a.state = filepath.Join(a.dir, "state")
	if err := os.MkdirAll(a.state, 0o700); err != nil {
		t.Fatal(err)
	}
	st := stage{}
	if err := st.readClock(filepath.Join(a.state, "clock"), sc.Start); err != nil {
		t.Fatal(err)
	}
	if err := st.clock.set(sc.Start); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time {
		b, err := os.ReadFile(st.clock.path)
		if at, bad := time.Parse(time.RFC3339, strings.TrimSpace(string(b))); err == nil && bad == nil {
			return at
		}
		return sc.Start
	}
	a.start, a.now = sc.Start, now
	world, err := sc.World()
	if err != nil {
		t.Fatal(err)
	}
	net, err := sim.New(world, sim.Config{Now: now, Silence: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := net.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(net.Close)
	url := a.startRegistry(t, sc, st.clock.path)
	a.args = []string{"serve", "--state", a.state, "--registry", url, "--from", sc.Start.Format(time.RFC3339), "--until", sc.Start.AddDate(0, 0, 3).Format(time.RFC3339),
		"--bootstrap", net.BootstrapURL(), "--dns-servers", net.DNSAddr(), "--status-url", net.StatusURL(checker.Fastly), "--canaries", strings.Join(sc.Canaries, ","),
		"--rdap-rate", "100000", "--breaker-count", "30", "--breaker-share", "2", "--baseline-days", "1"}
	a.env = append(os.Environ(), "LAPSEGUARD_REGISTRY_TOKEN=hundred-lines")
	if err := os.WriteFile(filepath.Join(a.state, "mode"), []byte("enforce\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// startRegistry starts testdata/registry.py, filled with the scenario's addresses.
func (a *another) startRegistry(t *testing.T, sc *scenario.Scenario, clock string) (url string) {
	t.Helper()
	file := filepath.Join(a.dir, "registry.db")
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/registry.py", file)
	cmd.Env = append(os.Environ(), "REGISTRY_TOKEN=hundred-lines", "REGISTRY_CLOCK="+clock)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("python3 is needed: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if a.db, err = sql.Open("sqlite", file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.db.Close() })
	accounts, err := sc.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := a.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, acc := range accounts {
		var at any
		if !acc.At.IsZero() {
			at = acc.At.UTC().Format(time.RFC3339)
		}
		_, host, _ := strings.Cut(acc.Address, "@")
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO addresses (address, host, verified, at) VALUES (?, lower(?), ?, ?)", acc.Address, host, !acc.At.After(sc.Start), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// serve starts the guard.
func (a *another) serve(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, a.bin, a.args...)
	cmd.Env = a.env
	return cmd
}

// unverified are the ids of addresses that were unverified and the key by which, and how often each key did something.
func (a *another) unverified(t *testing.T) (lost []string, calls map[string]int) {
	t.Helper()
	rows, err := a.db.QueryContext(t.Context(), "SELECT id, key FROM addresses WHERE NOT verified AND key IS NOT NULL ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		var key string
		if err := rows.Scan(&id, &key); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(key, ":")
		lost = append(lost, fmt.Sprintf("%d %s", id, name))
	}
	calls = map[string]int{}
	done, err := a.db.QueryContext(t.Context(), "SELECT key, count(*) FROM calls WHERE changed > 0 GROUP BY key")
	if err != nil {
		t.Fatal(err)
	}
	defer done.Close()
	for done.Next() {
		var key string
		var n int
		if err := done.Scan(&key, &n); err != nil {
			t.Fatal(err)
		}
		calls[key] = n
	}
	if err := errors.Join(rows.Err(), done.Err()); err != nil {
		t.Fatal(err)
	}
	return lost, calls
}

func TestServe(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "lapseguard")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Run("ten kills", func(t *testing.T) { servesThroughTenKills(t, bin) })
	t.Run("read while it runs", func(t *testing.T) { servesAndIsRead(t, bin) })
}

// servesThroughTenKills: three simulated days against a registry in another language. A guard that is killed ten
// times did in the end what one did that was left alone, and nothing of it twice.
func servesThroughTenKills(t *testing.T, bin string) {
	calm := startAnother(t, bin)
	if out, err := calm.serve(t.Context()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, _ := calm.unverified(t)
	if len(want) == 0 {
		t.Fatal("nothing was unverified in three days")
	}
	a := startAnother(t, bin)
	seed := uint64(time.Now().UnixNano()) //nolint:forbidigo // a new series each time; it is logged
	t.Logf("seed %d; %d addresses are to be unverified", seed, len(want))
	random := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- moments, not secrets
	const days, kills = 3, 10
	for i := range kills { // one in each tenth of the three days
		tenth := days * 24 * time.Hour / kills
		moment := a.start.Add(time.Duration(i) * tenth).Add(time.Duration(random.Int64N(int64(tenth - tickEvery))))
		a.killedAfter(t, moment, time.Duration(random.IntN(150))*time.Millisecond)
	}
	if out, err := a.serve(t.Context()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, calls := a.unverified(t)
	if !slices.Equal(got, want) {
		t.Errorf("unverified\n%q, want\n%q", got, want)
	}
	for key, n := range calls {
		if n != 1 {
			t.Errorf("%s changed addresses %d times", key, n)
		}
	}
}

// killedAfter starts the guard and kills it a while after its clock passed a moment: anywhere in a tick.
func (a *another) killedAfter(t *testing.T, moment time.Time, while time.Duration) {
	t.Helper()
	cmd := a.serve(t.Context())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for a.now().Before(moment) {
		select {
		case err := <-ended:
			t.Fatalf("it ended (%v) before %s", err, moment)
		case <-time.After(time.Millisecond):
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended (%v) before it was killed, after %s", err, moment)
	case <-time.After(while):
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	t.Logf("killed at %s", a.now().Format("2 January 15:04"))
}

// servesAndIsRead: one lock; a report and a status beside it; a clean stop.
func servesAndIsRead(t *testing.T, bin string) {
	a := startAnother(t, bin)
	a.args = slices.Replace(slices.Clone(a.args), 7, 9, "--until", "2099-01-01T00:00:00Z")
	cmd := a.serve(t.Context())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for { // until the first copy is there
		if _, err := os.Stat(filepath.Join(a.state, guardFile+copySuffix)); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	page := filepath.Join(a.dir, "report.html")
	if _, stderr, code := demonstrate(t, "report", "--state", a.state, "--html", page); code != 0 {
		t.Errorf("report: %s", stderr)
	}
	if out, stderr, code := demonstrate(t, "status", "--state", a.state); code != 0 || !strings.Contains(out, "enforce") {
		t.Errorf("status: %s%s", out, stderr)
	}
	second := a.serve(t.Context())
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "another lapseguard is running") {
		t.Errorf("a second one: %v\n%s", err, out)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it did not stop cleanly: %v", err)
	}
}
