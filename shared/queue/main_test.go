package queue_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/queuetest"
)

func TestMain(m *testing.M) { os.Exit(emulator.Main(m, emulator.Ministack, emulator.ElasticMQ)) }

func TestMinistack(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Queue {
		t.Parallel()
		cfg := emulator.Config(t)
		url, dead := emulator.NewQueue(t, cfg, emulator.Queue{VisibilitySeconds: 1, MaxReceive: queuetest.MaxReceive})
		return queuetest.NewSQS(sqs.NewFromConfig(cfg), url, dead)
	})
}

func TestElasticMQ(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Queue {
		t.Parallel()
		cfg := emulator.ElasticMQConfig(t)
		url, dead := emulator.NewQueue(t, cfg, emulator.Queue{VisibilitySeconds: 1, MaxReceive: queuetest.MaxReceive})
		return queuetest.NewSQS(sqs.NewFromConfig(cfg), url, dead)
	})
}

// local is a Local with a clock that only tests move.
type local struct {
	*queue.Local
	offset atomic.Int64
}

var begin = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func (l *local) now() time.Time { return begin.Add(time.Duration(l.offset.Load())) }

func (l *local) Drain(ctx context.Context, h queue.Handler) error {
	_, err := l.Local.Drain(ctx, h)
	return err
}

func (l *local) Elapse(context.Context) error {
	// The visibility time-out; the window of deduplication lasts on.
	l.offset.Add(int64(time.Second))
	return nil
}

func (l *local) Dead(ctx context.Context) ([]string, error) {
	dead, err := l.DLQ(ctx, 100)
	var bodies []string
	for _, d := range dead {
		bodies = append(bodies, string(d.Body))
	}
	return bodies, err
}

func (l *local) Redrive(ctx context.Context) error {
	_, err := l.Local.Redrive(ctx)
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

func newLocal(t testing.TB, db *bbolt.DB, cfg queue.LocalConfig) *local {
	t.Helper()
	l := &local{}
	cfg.Now = l.now
	var err error
	if l.Local, err = queue.NewLocal(db, cfg); err != nil {
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
				return newLocal(t, db, queue.LocalConfig{Visibility: time.Second, MaxReceive: queuetest.MaxReceive, Workers: workers})
			})
		})
	}
}
