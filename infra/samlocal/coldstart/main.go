// Command coldstart measures cold starts under the runtime interface emulator that the SAM CLI brings: from the
// first request to its answer, in which the emulator starts the program, waits for its init and hands it the first
// event. Each round starts the functions and an empty one in another order, so that a busy machine, and the end of
// the one before, slow all of them.
//
// Each function is started twice a round: with an event that it refuses, which shows its own start, and with an
// event of its schedule or queue that finds nothing to do, whose calls of AWS come on top. The endpoints that it
// calls are in this process and answer at once, as on a quiet day.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

type options struct {
	Rounds int     `default:"20" help:"Cold starts of each function."`
	Limit  float64 `default:"1.5" help:"The most that a function may take, times the empty one."`
	Tools  string  `default:".tools" help:"Folder with the SAM CLI."`
	Fail   bool    `help:"Exit 1 when a function takes longer than the limit."`
}

// subject is one function with an event to start on.
type subject struct {
	folder, event string
	refused       bool   // the event is none of the function's
	says          string // part of its answer
}

const empty = "infra/samlocal/empty"

func subjects() []subject {
	return []subject{
		{empty, `{}`, false, ""},
		{"functions/fanout", `[]`, true, "errorMessage"},
		{"functions/checker", `[]`, true, "errorMessage"},
		{"functions/applier", `[]`, true, "errorMessage"},
		{"functions/fanout", `{"action":"resume"}`, false, ""},
		{"functions/checker", `{"Records":[]}`, false, "batchItemFailures"},
		{"functions/applier", `{"action":"tick"}`, false, "nothing to do"},
	}
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Measures cold starts of the functions beside an empty one."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "coldstart:", err)
		os.Exit(1)
	}
}

func (o options) run(ctx context.Context) error {
	rie, err := o.emulator()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lapseguard-coldstart-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing depends on it
	quietDay := guard(time.Now())
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(quietDay, w, r) }))
	defer cloud.Close()

	all := subjects()
	times := make([][]time.Duration, len(all))
	for _, s := range all {
		if err := build(ctx, s, binary(dir, s)); err != nil {
			return err
		}
	}
	for round := range o.Rounds + 1 { // the first one reads the programs into memory and does not count
		for _, k := range rand.Perm(len(all)) {
			d, err := start(ctx, rie, binary(dir, all[k]), all[k], environment(cloud.URL))
			for again := 0; errors.Is(err, errPortTaken) && again < 5; again++ {
				d, err = start(ctx, rie, binary(dir, all[k]), all[k], environment(cloud.URL))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", all[k].folder, err)
			}
			if round > 0 {
				times[k] = append(times[k], d)
			}
		}
	}
	return o.report(dir, all, times)
}

// report prints the medians and the ratios to the first subject, the empty function.
func (o options) report(dir string, all []subject, times [][]time.Duration) error {
	fmt.Printf("%d cold starts each on linux/%s, init plus first event, milliseconds\n\n", o.Rounds, runtime.GOARCH)
	fmt.Printf("%-22s %-20s %7s %10s %10s %6s %6s\n", "", "first event", "median", "lower 10%", "upper 10%", "ratio", "MB")
	var slow []string
	var base time.Duration
	for i, s := range all {
		slices.Sort(times[i])
		n := len(times[i])
		median := times[i][n/2]
		if s.folder == empty {
			base = median
		}
		ratio := float64(median) / float64(base)
		info, err := os.Stat(binary(dir, s))
		if err != nil {
			return fmt.Errorf("look at the program of %s: %w", s.folder, err)
		}
		event := s.event
		if s.refused {
			event += " (refused)"
		}
		fmt.Printf("%-22s %-20s %7.1f %10.1f %10.1f %6.2f %6.1f\n", s.folder, event, ms(median), ms(times[i][n/10]), ms(times[i][n-1-n/10]), ratio, float64(info.Size())/1e6)
		if ratio > o.Limit {
			slow = append(slow, s.folder+" on "+event)
		}
	}
	if len(slow) == 0 {
		fmt.Printf("\nnone takes more than %.1f times the empty function\n", o.Limit)
		return nil
	}
	fmt.Printf("\nmore than %.1f times the empty function: %s\n", o.Limit, strings.Join(slow, ", "))
	if o.Fail {
		return errors.New("a cold start is too slow")
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func binary(dir string, s subject) string { return filepath.Join(dir, filepath.Base(s.folder)) }

// emulator finds the runtime interface emulator in the SAM CLI's package.
func (o options) emulator() (string, error) {
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	pattern := filepath.Join(o.Tools, "sam", "lib", "python*", "site-packages", "samcli", "local", "rapid", "aws-lambda-rie-"+arch)
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 || runtime.GOOS != "linux" {
		return "", fmt.Errorf("no runtime interface emulator at %s: it runs on Linux; make tools installs it", pattern)
	}
	return filepath.Abs(found[0])
}

// build builds as the Makefile does for Lambda.
func build(ctx context.Context, s subject, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid=", "-o", to, "./"+s.folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", s.folder, err, out)
	}
	return nil
}

func environment(cloud string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_ENDPOINT_URL_DYNAMODB=" + cloud, "AWS_ENDPOINT_URL_SQS=" + cloud, "AWS_ENDPOINT_URL_SSM=" + cloud,
		"LAPSEGUARD_TABLE_DOMAINS=domains", "LAPSEGUARD_TABLE_RECORDS=records", "LAPSEGUARD_INDEX_ATTENTION=attention",
		"LAPSEGUARD_QUEUE_URL=" + cloud + "/0/checks.fifo", "LAPSEGUARD_CONTACT=https://example.org/", "LAPSEGUARD_REGISTRY_URL=" + cloud,
		"LAPSEGUARD_REGISTRY_TOKEN_PARAMETER=/token", "LAPSEGUARD_MODE_PARAMETER=/mode",
	}
}

// answer is the table of a guard whose run is complete and whose digest is written, with nothing due, and an SSM
// parameter that says observe.
func answer(quietDay string, w http.ResponseWriter, r *http.Request) {
	asked, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // an asker that hangs up hears nothing
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasSuffix(target, ".GetParameter"):
		fmt.Fprint(w, `{"Parameter":{"Value":"observe"}}`)
	case strings.HasSuffix(target, ".Query") && bytes.Contains(asked, []byte(`"`+records.PKGuard+`"`)):
		fmt.Fprint(w, quietDay)
	default:
		fmt.Fprint(w, `{}`)
	}
}

// guard is the partition with the run.
func guard(now time.Time) string {
	yesterday := now.UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	run := records.Run{ID: "20260302T030000Z", Started: lifecycle.At(now), Sent: true, Complete: true, Watched: 1000}
	var items []string
	for _, it := range []store.Write{
		records.Record(records.PKGuard, records.SKDigest, records.Digested{Day: yesterday}, time.Time{}),
		records.Record(records.PKGuard, records.LeaseSK(applier.Job), records.Lease{}, time.Time{}),
		records.Record(records.PKGuard, records.SKRun, run, time.Time{}),
		records.Record(records.PKGuard, records.SKSynced, records.Synced{}, time.Time{}),
	} {
		items = append(items, fmt.Sprintf(`{"pk":{"S":%q},"sk":{"S":%q},"data":{"S":%q},"v":{"N":"1"}}`, it.PK, it.SK, it.Data))
	}
	return `{"Items":[` + strings.Join(items, ",") + `]}`
}

// errPortTaken: somebody took the port between freeAddress and the emulator.
var errPortTaken = errors.New("the emulator's port was taken meanwhile")

// start runs the emulator with one program, sends the first event and measures until the answer is there.
func start(ctx context.Context, rie, program string, s subject, env []string) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	front, err := freeAddress(ctx)
	if err != nil {
		return 0, err
	}
	back, err := freeAddress(ctx)
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, rie, "--log-level", "error", "--runtime-interface-emulator-address", front, "--runtime-api-address", back, program)
	cmd.Env = env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // then it ends the program too
	cmd.WaitDelay = 2 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the emulator: %w", err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was interrupted
		if err != nil && strings.Contains(log.String(), "address already in use") {
			err = fmt.Errorf("%w: %w", errPortTaken, err)
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, log.String())
		}
	}()
	if err := listening(ctx, front); err != nil {
		return 0, err
	}
	return invoke(ctx, "http://"+front+"/2015-03-31/functions/function/invocations", s)
}

func invoke(ctx context.Context, url string, s subject) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(s.event))
	if err != nil {
		return 0, fmt.Errorf("first event: %w", err)
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, fmt.Errorf("first event: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	took := time.Since(began)
	if err != nil || resp.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"errorMessage"`)) != s.refused || !bytes.Contains(body, []byte(s.says)) {
		return 0, fmt.Errorf("first event: status %d, %s (%w)", resp.StatusCode, body, err)
	}
	return took, nil
}

// listening waits until somebody listens at an address.
func listening(ctx context.Context, address string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the emulator does not listen: %w", err)
		case <-tick.C:
		}
	}
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
