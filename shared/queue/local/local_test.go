package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/local"
	"github.com/lapseguard/lapseguard/shared/queue/queuetest"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// names of the first domains of an event's messages.
func names(t testing.TB, e events.SQSEvent) []string {
	t.Helper()
	var list []string
	for _, r := range e.Records {
		m, err := queue.Decode([]byte(r.Body))
		if err != nil {
			t.Error(err)
			continue
		}
		list = append(list, m.Domains[0].Name)
	}
	return list
}

func back(ids ...string) events.SQSEventResponse {
	r := events.SQSEventResponse{}
	for _, id := range ids {
		r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
	}
	return r
}

func wantNames(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func fresh(t testing.TB, cfg local.Config) *clocked {
	t.Helper()
	return newLocal(t, openDB(t, filepath.Join(t.TempDir(), "queue.db")), cfg)
}

func (l *clocked) mustSend(t testing.TB, names ...string) {
	t.Helper()
	if failed, err := l.Send(t.Context(), queuetest.Messages(names...)); err != nil || failed != nil {
		t.Fatal(failed, err)
	}
}

func (l *clocked) drain(t testing.TB, h queue.Handler) local.Stats {
	t.Helper()
	s, err := l.Queue.Drain(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLocalBatches(t *testing.T) {
	t.Parallel()
	l := fresh(t, local.Config{})
	var sent []string
	for i := range 12 {
		sent = append(sent, fmt.Sprintf("a%02d", i))
	}
	l.mustSend(t, append(sent, "b0", "c0")...)
	var batches [][]string
	s := l.drain(t, func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		batches = append(batches, names(t, e))
		r := e.Records[0]
		if r.EventSource != "aws:sqs" || r.Attributes["ApproximateReceiveCount"] != "1" || len(r.Attributes["SequenceNumber"]) != 20 ||
			r.Attributes["SentTimestamp"] != fmt.Sprint(queuetest.Begin.UnixMilli()) || r.Attributes["MessageDeduplicationId"] == "" {
			t.Errorf("record %+v", r)
		}
		return events.SQSEventResponse{}, nil // a nil list is success, as in Lambda
	})
	if len(batches) != 2 || len(batches[0]) != 10 || s.Batches != 2 || s.Handled != 14 || s.Failed != 0 || !s.NextVisible.IsZero() {
		t.Errorf("batches %v, %+v", batches, s)
	}
	if d, err := l.Depth(t.Context()); err != nil || d != (local.Depth{}) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestLocalNextVisible(t *testing.T) {
	t.Parallel()
	l := fresh(t, local.Config{Visibility: time.Hour})
	l.mustSend(t, "a0", "b0")
	failing := func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		return back(e.Records[0].MessageId), nil
	}
	s := l.drain(t, failing)
	if want := queuetest.Begin.Add(time.Hour); s.Failed != 1 || s.Handled != 1 || !s.NextVisible.Equal(want) {
		t.Errorf("%+v", s)
	}
	l.mustSend(t, "a1") // behind the one that failed
	l.offset.Store(int64(time.Hour - 1))
	if s := l.drain(t, failing); s.Batches != 0 {
		t.Errorf("too early: %+v", s)
	}
	l.offset.Store(int64(time.Hour))
	ok := func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		wantNames(t, "batch", names(t, e), "a0", "a1")
		return back(), nil
	}
	if s := l.drain(t, ok); s.Batches != 1 || s.Handled != 2 {
		t.Errorf("in time: %+v", s)
	}
}

// What an answer that makes no sense, an error and a panic have in common: the whole batch comes again.
func TestLocalWholeBatch(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]queue.Handler{
		"unknown id": func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
			return back(e.Records[1].MessageId, "nobody"), nil
		},
		"empty id": func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) { return back(""), nil },
		"error": func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
			return back(), errors.New("no table")
		},
		"panic": func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) { panic("oh") },
	} {
		l := fresh(t, local.Config{MaxReceive: 1})
		l.mustSend(t, "a0", "b0", "b1")
		s := l.drain(t, h)
		if s.Failed != 3 || s.Handled != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if failed := name == "error" || name == "panic"; failed != (s.Errors == 1) || failed != (s.LastError != nil) {
			t.Errorf("%s: %+v", name, s)
		}
		l.offset.Add(int64(time.Hour))
		if s := l.drain(t, h); s.DeadLettered != 3 || s.Batches != 0 || !s.NextVisible.IsZero() {
			t.Errorf("%s, again: %+v", name, s)
		}
	}
}

// Many dead letters at the head of a group do not hide what stands behind them.
func TestLocalManyDead(t *testing.T) {
	t.Parallel()
	l := fresh(t, local.Config{MaxReceive: 1})
	var sent []string
	for i := range 230 {
		sent = append(sent, fmt.Sprintf("a%03d", i))
	}
	l.mustSend(t, sent...)
	failed := errors.New("no table")
	rounds := 0
	for rounds = 0; rounds < 100; rounds++ {
		s := l.drain(t, func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) { return back(), failed })
		if s.NextVisible.IsZero() {
			break
		}
		l.offset.Add(int64(time.Hour))
	}
	dead, err := l.DLQ(t.Context(), 1000)
	if err != nil || len(dead) != 230 || dead[0].Receives != 1 || dead[0].Group != "a" || dead[0].MessageID == dead[1].MessageID {
		t.Fatalf("%d dead letters after %d rounds, %v", len(dead), rounds, err)
	}
	if some, err := l.DLQ(t.Context(), 7); err != nil || len(some) != 7 {
		t.Errorf("%d of at most 7, %v", len(some), err)
	}
	if n, err := l.Queue.Redrive(t.Context()); n != 230 || err != nil {
		t.Errorf("redriven %d, %v", n, err)
	}
	var got []string
	l.drain(t, func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		got = append(got, names(t, e)...)
		return back(), nil
	})
	wantNames(t, "redriven", got, sent...)
}

func TestLocalDedupWindow(t *testing.T) {
	t.Parallel()
	l := fresh(t, local.Config{})
	count := 0
	h := func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		count += len(e.Records)
		return back(), nil
	}
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{0, 1}, {5*time.Minute - 1, 1}, {5 * time.Minute, 2}, {10*time.Minute - 1, 2}, {10 * time.Minute, 3}} {
		l.offset.Store(int64(step.at))
		l.mustSend(t, "a0")
		l.drain(t, h)
		if count != step.want {
			t.Errorf("at %s: %d deliveries, want %d", step.at, count, step.want)
		}
	}
}

func TestLocalWorkers(t *testing.T) {
	t.Parallel()
	l := fresh(t, local.Config{Workers: 3})
	var sent []string
	for _, g := range []string{"a", "b", "c"} {
		for i := range 30 {
			sent = append(sent, fmt.Sprintf("%s%02d", g, i))
		}
	}
	l.mustSend(t, sent...)
	var mu sync.Mutex
	inside := map[string]int{}
	met := make(chan struct{}) // closed when three batches are being handled at once
	first := map[string]bool{}
	var got []string
	s := l.drain(t, func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		group := e.Records[0].Attributes["MessageGroupId"]
		mu.Lock()
		inside[group]++
		if inside[group] > 1 {
			t.Errorf("two batches of group %s at once", group)
		}
		if first[group] = true; len(first) == 3 {
			select {
			case <-met:
			default:
				close(met)
			}
		}
		mu.Unlock()
		select {
		case <-met:
		case <-ctx.Done():
		}
		mu.Lock()
		defer mu.Unlock()
		inside[group]--
		got = append(got, names(t, e)...)
		return back(), nil
	})
	if s.Handled != 90 {
		t.Errorf("%+v", s)
	}
	for _, g := range []string{"a", "b", "c"} {
		of := slices.DeleteFunc(slices.Clone(got), func(n string) bool { return n[:1] != g })
		if !slices.IsSorted(of) || len(of) != 30 {
			t.Errorf("group %s: %v", g, of)
		}
	}
}

// The end of the context lets the batch under way finish, and begins no other.
func TestLocalDrainEnds(t *testing.T) {
	t.Parallel()
	l := fresh(t, local.Config{Workers: 2})
	l.mustSend(t, "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a-next")
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	s, err := l.Queue.Drain(ctx, func(ctx context.Context, _ events.SQSEvent) (events.SQSEventResponse, error) {
		calls++
		cancel()
		<-ctx.Done()
		return back(), nil
	})
	if !errors.Is(err, context.Canceled) || calls != 1 || s.Handled != 10 {
		t.Errorf("%d calls, %+v, %v", calls, s, err)
	}
	if d, err := l.Depth(t.Context()); err != nil || d.Waiting != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// A queue that is opened again has everything that was not done, at once, with its receive count.
func TestLocalReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shared.db")
	open := func() (*bolt.Store, *clocked) {
		s, err := bolt.Open(path, bolt.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		return s, newLocal(t, s.DB(), local.Config{MaxReceive: 2})
	}
	s, l := open()
	if err := s.Write(t.Context(), store.Write{Item: store.Item{Key: store.Key{Table: store.Records, PK: "p", SK: "s"}, Data: []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	l.mustSend(t, "a0", "a1", "b0")
	l.drain(t, func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		return back(e.Records[1].MessageId), nil // a1; b0 is done
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l = open()
	l.mustSend(t, "b0", "a2") // b0 is still known as sent
	got := l.drain(t, func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		wantNames(t, "after reopening", names(t, e), "a1", "a2")
		if e.Records[0].Attributes["ApproximateReceiveCount"] != "2" {
			t.Errorf("receive count %s", e.Records[0].Attributes["ApproximateReceiveCount"])
		}
		return back(e.Records[0].MessageId), nil
	})
	if got.Failed != 2 {
		t.Errorf("%+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l = open()
	defer s.Close()
	if got := l.drain(t, func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) { return back(), nil }); got.DeadLettered != 1 || got.Handled != 1 {
		t.Errorf("%+v", got)
	}
}

// killEnv makes this test binary the process that is to be killed.
const killEnv = "QUEUE_TEST_KILL"

// TestLocalKilled kills a process at work, many times, and finds that nothing it took is lost: every message
// whose sending was confirmed is handled, in order, however often its process died.
func TestLocalKilled(t *testing.T) {
	if path := os.Getenv(killEnv); path != "" {
		workUntilKilled(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	var confirmed []string
	handled := map[string]bool{}
	for round := range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestLocalKilled$", "-test.v=false")
		cmd.Env = append(os.Environ(), killEnv+"="+path, fmt.Sprintf("ROUND=%d", round), "LAPSEGUARD_NO_EMULATORS=1", "LAPSEGUARD_STRICT=")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			what, name, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "sent":
				confirmed = append(confirmed, name)
			case "handled":
				handled[name] = true
			}
			if n++; n == 37+13*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		cancel()
	}
	l := newLocal(t, openDB(t, path), local.Config{MaxReceive: 1000})
	var last []string
	l.drain(t, func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		last = append(last, names(t, e)...)
		return back(), nil
	})
	if !slices.IsSorted(last) {
		t.Errorf("out of order: %v", last)
	}
	for _, name := range last {
		handled[name] = true
	}
	if len(confirmed) < 50 {
		t.Errorf("only %d were sent: the test is blind", len(confirmed))
	}
	for _, name := range confirmed {
		if !handled[name] {
			t.Errorf("%s was sent and is lost", name)
		}
	}
}

// workUntilKilled sends and handles, and says so on stdout after each step.
func workUntilKilled(t *testing.T, path string) {
	l := newLocal(t, openDB(t, path), local.Config{MaxReceive: 1000})
	for i := 0; ; i++ {
		name := fmt.Sprintf("a%s-%06d", os.Getenv("ROUND"), i)
		l.mustSend(t, name)
		fmt.Println("sent", name)
		if i%7 != 6 {
			continue
		}
		l.drain(t, func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
			for _, n := range names(t, e) {
				fmt.Println("handled", n)
			}
			return back(), nil
		})
	}
}

func BenchmarkLocalSend(b *testing.B) {
	l := fresh(b, local.Config{})
	var n atomic.Int64
	for b.Loop() {
		m := queuetest.Base(queue.KindDelegation)
		m.Run = fmt.Sprint(n.Add(1))
		if _, err := l.Send(b.Context(), queue.Pack(m, queuetest.Entries(150, 300))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLocalDrain(b *testing.B) {
	l := fresh(b, local.Config{})
	n := 0
	for b.Loop() {
		var all []queue.Message
		for range 100 {
			m := queuetest.Base(queue.KindDelegation)
			n++
			m.Run, m.Group = fmt.Sprint(n), fmt.Sprint(n%20)
			all = append(all, queue.Pack(m, queuetest.Entries(10, 300))...)
		}
		if _, err := l.Send(b.Context(), all); err != nil {
			b.Fatal(err)
		}
		l.drain(b, func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) { return back(), nil })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/message")
}
