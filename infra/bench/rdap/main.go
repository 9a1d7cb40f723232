// Command rdap measures the RDAP client against openrdap's: the same answer decoded, and the same question asked over
// keep-alive HTTP of the same loopback server, with one core, in one run and with the answers checked. It exits with 1
// where a bound is missed, and with 2 where it cannot measure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	openrdap "github.com/openrdap/rdap"

	"github.com/lapseguard/lapseguard/infra/bench/internal/report"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
)

// The bounds.
const (
	decodeFactor = 7    // decoded answers a second, in openrdap's
	tripFactor   = 3    // answers a second over HTTP, in openrdap's
	maxAllocs    = 110  // an answer over HTTP
	maxBytes     = 8000 // an answer over HTTP
)

const (
	callers = 16 // of both clients, and the idle connections that both keep
	turns   = 10 // of a round: the two take turns, so that a busy neighbour disturbs both
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == answerFlag {
		if err := answer(); err != nil {
			fmt.Fprintln(os.Stderr, "bench-rdap: answerer:", err)
			os.Exit(2)
		}
		return
	}
	answers := flag.Int("answers", 10_000, "answers a round over HTTP; openrdap gets a third; three times as many are decoded")
	rounds := flag.Int("rounds", 5, "rounds; the medians count")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	met, err := run(ctx, *answers, *rounds)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench-rdap:", err)
		os.Exit(2)
	case !met:
		fmt.Println("\nbench-rdap: a bound was MISSED")
		os.Exit(1)
	}
	fmt.Println("\nbench-rdap: every bound passed")
}

func run(ctx context.Context, answers, rounds int) (met bool, err error) {
	runtime.GOMAXPROCS(1)
	address, stop, err := startAnswerer(ctx)
	if err != nil {
		return false, err
	}
	defer stop()
	ours, theirs, err := clients(address)
	if err != nil {
		return false, err
	}
	b := body()
	fmt.Printf("an answer of %d bytes, %d callers, %d rounds, GOMAXPROCS=1, %s, %d cores, %s\n\n",
		len(b), callers, rounds, runtime.Version(), runtime.NumCPU(), report.Load())
	var decodes, theirDecodes, trips, theirTrips, cpu, theirCPU, allocs, bytes []float64
	for round := range rounds {
		d, td := compare(1, turn{3 * answers, func(i int64) error { return decodeOurs(i, ours, b) }},
			turn{answers / 3, func(i int64) error { return decodeTheirs(i, b) }})
		t, tt := compare(callers, turn{answers, func(i int64) error { return askOurs(ctx, i, ours) }},
			turn{answers / 3, func(i int64) error { return askTheirs(ctx, i, theirs, address) }})
		if err := errors.Join(d.err, td.err, t.err, tt.err); err != nil {
			return false, err
		}
		decodes, theirDecodes = append(decodes, d.rate), append(theirDecodes, td.rate)
		trips, theirTrips = append(trips, t.rate), append(theirTrips, tt.rate)
		cpu, theirCPU = append(cpu, t.cpu), append(theirCPU, tt.cpu)
		allocs, bytes = append(allocs, t.allocs), append(bytes, t.bytes)
		fmt.Printf("round %d: decoded %.0f/s, openrdap %.0f/s; over HTTP %.0f/s, openrdap %.0f/s (%.0f allocs, %.0f B); %s\n",
			round+1, d.rate, td.rate, t.rate, tt.rate, tt.allocs, tt.bytes, report.Load())
	}
	refused, taken := refusals(ours)
	fmt.Println()
	return report.Print(os.Stdout, []report.Line{
		{What: "decoded answers/s", Got: report.Median(decodes), Format: "%.0f"},
		{What: "openrdap: decoded answers/s", Got: report.Median(theirDecodes), Format: "%.0f"},
		{What: "decoding / openrdap", Got: report.Ratio(decodes, theirDecodes), Bound: decodeFactor},
		{What: "answers/s over HTTP", Got: report.Median(trips), Format: "%.0f"},
		{What: "openrdap: answers/s over HTTP", Got: report.Median(theirTrips), Format: "%.0f"},
		{What: "over HTTP / openrdap", Got: report.Ratio(trips, theirTrips), Bound: tripFactor},
		{What: "openrdap's CPU time an answer over HTTP / ours", Got: report.Ratio(theirCPU, cpu), Note: fmt.Sprintf("%.0f us, ours %.0f us", report.Median(theirCPU), report.Median(cpu))},
		{What: "allocations an answer", Got: report.Median(allocs), Format: "%.1f", Bound: maxAllocs, AtMost: true},
		{What: "bytes allocated an answer", Got: report.Median(bytes), Format: "%.0f", Bound: maxBytes, AtMost: true},
		{What: "malformed bodies refused", Got: float64(refused), Format: "%.0f", Bound: float64(len(malformed()))},
		{What: "openrdap: malformed bodies taken", Got: float64(taken), Format: "%.0f", Note: "of the same"},
	}), nil
}

// clients gives ours, told by a bootstrap file of its own where to ask, and openrdap's, with as many idle connections.
func clients(address string) (*rdap.Client, *openrdap.Client, error) {
	folder, err := os.MkdirTemp("", "bench-rdap")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	bootstrap := filepath.Join(folder, "dns.json")
	text := fmt.Appendf(nil, `{"version":"1.0","publication":"2026-11-24T00:00:00Z","services":[[[%q],["http://%s/"]]]}`, tld, address)
	if err := os.WriteFile(bootstrap, text, 0o600); err != nil {
		return nil, nil, err
	}
	ours, err := rdap.New(rdap.Config{Bootstrap: bootstrap})
	if err != nil {
		return nil, nil, err
	}
	theirs := &openrdap.Client{HTTP: &http.Client{
		Timeout:   rdap.DefaultTimeout,
		Transport: &http.Transport{MaxIdleConns: 128, MaxIdleConnsPerHost: 16},
	}}
	return ours, theirs, nil
}

// measured is one client's round.
type measured struct {
	rate          float64 // answers a second
	allocs, bytes float64 // an answer
	cpu           float64 // microseconds of this process an answer; neighbours do not change it much
	err           error   // the first
}

// turn is something to be done n times.
type turn struct {
	n  int
	do func(i int64) error
}

// compare lets two take turns, by so many callers each, and counts what each costs. The first turn warms up.
func compare(callers int, a, b turn) (measured, measured) {
	var sums [2]measured
	for slice := range turns + 1 {
		for k, t := range []turn{a, b} {
			m := measure(max(1, t.n/turns), callers, t.do)
			if sums[k].err == nil {
				sums[k].err = m.err
			}
			if slice > 0 {
				sums[k].add(m)
			}
		}
	}
	return sums[0].mean(), sums[1].mean()
}

// add adds a turn's costs; seconds an answer stand in rate until mean turns them.
func (m *measured) add(other measured) {
	m.rate += 1 / other.rate
	m.cpu += other.cpu
	m.allocs += other.allocs
	m.bytes += other.bytes
}

func (m measured) mean() measured {
	return measured{rate: turns / m.rate, cpu: m.cpu / turns, allocs: m.allocs / turns, bytes: m.bytes / turns, err: m.err}
}

// measure does something n times and counts what it costs.
func measure(n, callers int, do func(i int64) error) measured {
	runtime.GC() // nobody pays for the other's garbage
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, startCPU := time.Now(), cpuTime()
	err := repeat(n, callers, do)
	took, tookCPU := time.Since(start).Seconds(), cpuTime()-startCPU
	runtime.ReadMemStats(&after)
	return measured{
		rate: float64(n) / took, cpu: float64(tookCPU.Microseconds()) / float64(n), err: err,
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n), bytes: float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func repeat(n, callers int, do func(i int64) error) error {
	var next atomic.Int64
	failed := make(chan error, callers)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := do(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

// sampled says whether the facts of the i-th answer are compared, too. That each is a whole answer about the name is
// checked of all; comparing more must not be what is measured.
func sampled(i int64) bool { return i%16 == 0 }

func decodeOurs(i int64, c *rdap.Client, b []byte) error {
	reg, cause := c.Decode(b, name)
	if cause != source.CauseNone {
		return fmt.Errorf("decoding: %s", cause)
	}
	if sampled(i) && ourFacts(&reg) != wanted {
		return fmt.Errorf("decoded %+v", ourFacts(&reg))
	}
	return nil
}

func decodeTheirs(i int64, b []byte) error {
	object, err := openrdap.NewDecoder(b).Decode()
	if err != nil {
		return fmt.Errorf("openrdap: %w", err)
	}
	domain, ok := object.(*openrdap.Domain)
	if !ok || sampled(i) && theirFacts(domain) != wanted {
		return fmt.Errorf("openrdap decoded %+v", object)
	}
	return nil
}

func askOurs(ctx context.Context, i int64, c *rdap.Client) error {
	o := c.Lookup(ctx, name, tld)
	if o.Outcome != source.Observed {
		return fmt.Errorf("asking: %s %s", o.Cause, o.Said)
	}
	if sampled(i) && ourFacts(o.Registration) != wanted {
		return fmt.Errorf("read %+v", ourFacts(o.Registration))
	}
	return nil
}

func askTheirs(ctx context.Context, i int64, c *openrdap.Client, address string) error {
	server := &url.URL{Scheme: "http", Host: address}
	response, err := c.Do(openrdap.NewDomainRequest(name).WithServer(server).WithContext(ctx))
	if err != nil {
		return fmt.Errorf("openrdap: %w", err)
	}
	domain, ok := response.Object.(*openrdap.Domain)
	if !ok || sampled(i) && theirFacts(domain) != wanted {
		return fmt.Errorf("openrdap read %+v", response.Object)
	}
	return nil
}

// refusals counts the malformed bodies that our decoder refuses, and those that openrdap's takes for a domain.
func refusals(c *rdap.Client) (refused, taken int) {
	for title, b := range malformed() {
		if _, cause := c.Decode([]byte(b), name); cause == source.CauseNone {
			fmt.Printf("taken: %s\n", title)
		} else {
			refused++
		}
		if object, err := openrdap.NewDecoder([]byte(b)).Decode(); err == nil {
			if _, ok := object.(*openrdap.Domain); ok {
				taken++
			}
		}
	}
	return refused, taken
}
