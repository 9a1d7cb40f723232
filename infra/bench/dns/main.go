// Command dns measures the tripwire against a naive client, which dials for each question, on a loopback name server
// with a large zone, in one run and with every answer checked. It exits with 1 where a bound is missed, and with 2
// where it cannot measure. dnsperf's rate on the same server stands beside them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/infra/bench/internal/report"
	"github.com/lapseguard/lapseguard/shared/source"
	tripwire "github.com/lapseguard/lapseguard/shared/source/dns"
)

const (
	workers = 64 // of both clients
	factor  = 2  // the least the tripwire's rate may be, in naive clients
	timeout = 3 * time.Second
)

func main() {
	delegations := flag.Int("delegations", 100_000, "in the zone; each is asked once a round, and a ninth as many absent names")
	rounds := flag.Int("rounds", 5, "rounds; the medians count")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	met, err := run(ctx, *delegations, *rounds)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench-dns:", err)
		os.Exit(2)
	case !met:
		fmt.Println("\nbench-dns: a bound was MISSED")
		os.Exit(1)
	}
	fmt.Println("\nbench-dns: every bound passed")
}

// rates are questions a second, by round.
type rates struct {
	cores          int
	ours, naive    []float64
	wrong, wrongBy float64 // answers not as expected, or lost
}

func run(ctx context.Context, delegations, rounds int) (met bool, err error) {
	perf, err := find("dnsperf")
	if err != nil {
		return false, err
	}
	folder, err := os.MkdirTemp("", "bench-dns")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	list := questions(delegations)
	queries := filepath.Join(folder, "queries")
	if err := writeZone(filepath.Join(folder, "zone"), list); err != nil {
		return false, err
	}
	if err := writeQueries(queries, list); err != nil {
		return false, err
	}
	address, stop, err := serve(ctx, folder)
	if err != nil {
		return false, err
	}
	defer stop()
	fmt.Printf("%d delegations, %d questions a round, %d rounds, %s, %d cores, %s\n\n",
		delegations, len(list), rounds, runtime.Version(), runtime.NumCPU(), report.Load())

	all, one := rates{cores: runtime.GOMAXPROCS(0)}, rates{cores: 1}
	var perfRates []float64
	for round := range rounds {
		for _, r := range []*rates{&all, &one} {
			if err := r.measure(ctx, address, list); err != nil {
				return false, err
			}
		}
		rate, lost, err := dnsperf(ctx, perf, address, queries)
		if err != nil {
			return false, err
		}
		perfRates = append(perfRates, rate)
		fmt.Printf("round %d: tripwire %.0f/s, naive %.0f/s; with one core %.0f/s, %.0f/s; dnsperf %.0f/s, %.0f lost; %s\n", round+1,
			all.ours[round], all.naive[round], one.ours[round], one.naive[round], rate, lost, report.Load())
	}
	fmt.Println()
	lines := append(all.lines(), one.lines()...)
	return report.Print(os.Stdout, append(lines,
		report.Line{What: "dnsperf, answers/s", Got: report.Median(perfRates), Format: "%.0f", Note: "checks no answer"},
		report.Line{What: "tripwire / dnsperf", Got: report.Ratio(all.ours, perfRates), Note: "same server and questions"})), nil
}

func (r *rates) lines() []report.Line {
	title := func(s string) string { return fmt.Sprintf("GOMAXPROCS=%d: %s", r.cores, s) }
	return []report.Line{
		{What: title("tripwire, answers/s"), Got: report.Median(r.ours), Format: "%.0f"},
		{What: title("naive, answers/s"), Got: report.Median(r.naive), Format: "%.0f"},
		{What: title("tripwire / naive"), Got: report.Ratio(r.ours, r.naive), Bound: factor},
		{What: title("tripwire: wrong or lost"), Got: r.wrong, Format: "%.0f", AtMost: true},
		{What: title("naive: wrong or lost"), Got: r.wrongBy, Format: "%.0f", Note: "of all rounds"},
	}
}

// measure lets each client ask every question once.
func (r *rates) measure(ctx context.Context, address string, list []question) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.cores))
	asked := asked(list)
	runtime.GC() // nobody pays for the other's garbage
	start := time.Now()
	client, err := tripwire.New(tripwire.Config{Servers: []string{address}, InFlight: workers, Timeout: timeout})
	if err != nil {
		return err
	}
	observations := client.Delegations(ctx, asked)
	client.Close()
	r.ours = append(r.ours, float64(len(list))/time.Since(start).Seconds())
	for i, o := range observations {
		if !right(list[i], o) {
			r.wrong++
		}
	}
	runtime.GC()
	start = time.Now()
	wrong := naive(ctx, address, list)
	r.naive = append(r.naive, float64(len(list))/time.Since(start).Seconds())
	r.wrongBy += float64(wrong)
	return ctx.Err()
}

// right compares an observation with what the zone holds.
func right(q question, o source.Observation) bool {
	if q.want == nil {
		return o.Outcome == source.Absent
	}
	return o.Outcome == source.Observed && o.Delegation.Form == source.FormReferral && q.same(o.Delegation.NS)
}

// naive is the client that comes to mind first: so many workers, each dials for each question.
func naive(ctx context.Context, address string, list []question) (wrong int64) {
	var next, bad atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			client := mdns.Client{Timeout: timeout}
			for i := next.Add(1) - 1; i < int64(len(list)); i = next.Add(1) - 1 {
				query := new(mdns.Msg).SetQuestion(list[i].name+".", mdns.TypeNS).SetEdns0(1232, false)
				query.RecursionDesired = false
				answer, _, err := client.ExchangeContext(ctx, query, address)
				if err != nil || !list[i].answeredBy(answer) {
					bad.Add(1)
				}
			}
		})
	}
	group.Wait()
	return bad.Load()
}

func (q question) answeredBy(answer *mdns.Msg) bool {
	if q.want == nil {
		return answer.Rcode == mdns.RcodeNameError
	}
	var hosts []string
	for _, record := range answer.Ns {
		if ns, ok := record.(*mdns.NS); ok {
			hosts = append(hosts, strings.TrimSuffix(strings.ToLower(ns.Ns), "."))
		}
	}
	slices.Sort(hosts)
	return q.same(hosts)
}
