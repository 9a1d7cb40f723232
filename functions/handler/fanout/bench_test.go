package fanout

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// generated is a list of n hosts that exists only a page at a time.
type generated int

func (n generated) List(_ context.Context, after string, limit int, _ time.Time) (registry.Page, error) {
	start := 0
	if after != "" {
		if _, err := fmt.Sscanf(after, "d%08d.com", &start); err != nil {
			return registry.Page{}, err
		}
		start++
	}
	end := min(start+limit, int(n))
	p := registry.Page{AsOf: long, Complete: end == int(n)}
	for i := start; i < end; i++ {
		p.Hosts = append(p.Hosts, registry.HostCount{Host: fmt.Sprintf("d%08d.com", i), Addresses: 1, Oldest: long, Newest: long})
	}
	if !p.Complete {
		p.Next = p.Hosts[len(p.Hosts)-1].Host
	}
	return p, nil
}

type counter struct{ n atomic.Int64 }

func (c *counter) Send(_ context.Context, m []queue.Message) ([]queue.Message, error) {
	c.n.Add(int64(len(m)))
	return nil, nil
}

// heapMiB samples the live heap in use while a benchmark runs; its highest value says whether memory grows with the list.
func heapMiB(stop <-chan struct{}) <-chan float64 {
	out := make(chan float64, 1)
	go func() {
		var peak uint64
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			select {
			case <-stop:
				out <- float64(peak) / (1 << 20)
				return
			case <-tick.C:
			}
		}
	}()
	return out
}

func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		for _, step := range []string{"sync", "dispatch"} {
			b.Run(fmt.Sprintf("%s/%d", step, n), func(b *testing.B) { benchmarkStep(b, step, n) })
		}
	}
}

// benchmarkStep times one step of a first run over n domains, everything new.
func benchmarkStep(b *testing.B, step string, n int) {
	for range b.N {
		b.StopTimer()
		w := newWorld(b)
		w.Handler.List, w.Handler.Queue = generated(n), &counter{}
		run, err := w.begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		stop := make(chan struct{})
		heap := heapMiB(stop)
		sync := func() {
			for !run.Sync.Listing {
				if err := w.syncPage(b.Context(), &run); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.finishSync(b.Context(), &run); err != nil {
				b.Fatal(err)
			}
		}
		if step == "dispatch" {
			sync()
		}
		b.StartTimer()
		if step == "sync" {
			sync()
		} else if err := w.dispatch(b.Context(), &run); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		close(stop)
		b.ReportMetric(<-heap, "MiB-heap")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/domain")
		b.StartTimer()
	}
}
