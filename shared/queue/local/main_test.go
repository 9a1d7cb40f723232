package local_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/local"
	"github.com/lapseguard/lapseguard/shared/queue/queuetest"
)

// clocked is a queue with a clock that only tests move.
type clocked struct {
	*local.Queue
	offset atomic.Int64
}

func (l *clocked) now() time.Time { return queuetest.Begin.Add(time.Duration(l.offset.Load())) }

func (l *clocked) Drain(ctx context.Context, h queue.Handler) error {
	_, err := l.Queue.Drain(ctx, h)
	return err
}

func (l *clocked) Elapse(context.Context) error {
	// The visibility time-out; the window of deduplication lasts on.
	l.offset.Add(int64(time.Second))
	return nil
}

func (l *clocked) Dead(ctx context.Context) ([]string, error) {
	dead, err := l.DLQ(ctx, 100)
	var bodies []string
	for _, d := range dead {
		bodies = append(bodies, string(d.Body))
	}
	return bodies, err
}

func (l *clocked) Redrive(ctx context.Context) error {
	_, err := l.Queue.Redrive(ctx)
	return err
}

func openDB(t testing.TB, path string) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newLocal(t testing.TB, db *bbolt.DB, cfg local.Config) *clocked {
	t.Helper()
	l := &clocked{}
	cfg.Now = l.now
	var err error
	if l.Queue, err = local.New(db, cfg); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLocal(t *testing.T) {
	t.Parallel()
	for name, workers := range map[string]int{"one worker": 1, "four workers": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queuetest.Run(t, func(t *testing.T) queuetest.Queue {
				t.Parallel()
				db := openDB(t, filepath.Join(t.TempDir(), "queue.db"))
				return newLocal(t, db, local.Config{Visibility: time.Second, MaxReceive: queuetest.MaxReceive, Workers: workers})
			})
		})
	}
}
