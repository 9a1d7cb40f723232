// Package local is a durable queue inside the process, in place of SQS FIFO and its event source mapping.
package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// Buckets of Queue.
const (
	bucketWaiting = "queue/waiting" // seq(8) -> letter
	bucketDead    = "queue/dead"    // seq(8) -> letter
	bucketDedup   = "queue/dedup"   // group NUL dedup id -> until(8, Unix nanoseconds)
	bucketOld     = "queue/old"     // until(8) seq(8) -> key in bucketDedup
)

// moveAtOnce is how many messages one transaction moves or forgets: what it holds in memory.
const moveAtOnce = 100

// Config of New. Zero values are those of the deployed queue.
type Config struct {
	Visibility  time.Duration // until a message comes again; 30 minutes
	MaxReceive  int           // receives before a message is a dead letter; 5
	DedupWindow time.Duration // 5 minutes
	Workers     int           // batches at a time, of different groups; 1
	Now         func() time.Time
}

// Queue is a durable queue inside the process that behaves as SQS FIFO with an event source mapping does:
// messages of a group come in order, one batch of a group at a time, up to queue.BatchSize a batch; what failed comes
// again after the visibility time-out, and after MaxReceive receives is a dead letter.
//
// Messages and their receive counts are in the file before Send and the handler's call; a kill at any moment
// loses none. Leases are in memory: a process that died holds none, so its messages are visible at once when the
// queue is opened again. Unlike SQS it keeps messages for ever, and a handler that takes longer than Visibility
// keeps its messages.
//
// One Queue serves a file; it is safe for concurrent use.
type Queue struct {
	db  *bbolt.DB
	cfg Config

	mu     sync.Mutex
	groups map[string]*localGroup
	ready  []*localGroup // every group with messages once, the one that waits longest first
	wake   chan struct{} // closed and replaced when something becomes visible
}

var _ queue.Sender = (*Queue)(nil)

// localGroup is the order of a group's messages, and since when it must wait.
type localGroup struct {
	name  string
	seqs  []uint64
	busy  bool      // a batch with its messages is being handled
	until time.Time // messages that failed are invisible until then, and block those behind them
}

// letter is a stored message: one line of JSON, and the body as it was sent.
type letter struct {
	Body     []byte    `json:"-"`
	Group    string    `json:"group"`
	Dedup    string    `json:"dedup"`
	Sent     time.Time `json:"sent"`
	First    time.Time `json:"first,omitzero"` // first received
	Receives int       `json:"receives,omitempty"`
}

// New opens the queue in db, which it may share with a store: it has buckets of its own.
func New(db *bbolt.DB, cfg Config) (*Queue, error) {
	if cfg.Visibility <= 0 {
		cfg.Visibility = 30 * time.Minute
	}
	if cfg.MaxReceive <= 0 {
		cfg.MaxReceive = 5
	}
	if cfg.DedupWindow <= 0 {
		cfg.DedupWindow = 5 * time.Minute
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 1
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Queue{db: db, cfg: cfg, groups: map[string]*localGroup{}, wake: make(chan struct{})}
	err := db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketWaiting, bucketDead, bucketDedup, bucketOld} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return fmt.Errorf("make bucket %s: %w", name, err)
			}
		}
		return tx.Bucket([]byte(bucketWaiting)).ForEach(func(k, v []byte) error {
			m, err := readLetter(v)
			if err != nil {
				return err
			}
			l.add(m.Group, binary.BigEndian.Uint64(k))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	return l, nil
}

func readLetter(v []byte) (letter, error) {
	var m letter
	head, body, ok := bytes.Cut(v, []byte("\n"))
	if err := json.Unmarshal(head, &m); err != nil {
		return m, fmt.Errorf("stored message is damaged: %w", err)
	}
	if !ok {
		return m, errors.New("stored message is damaged: no body")
	}
	m.Body = bytes.Clone(body) // v is only valid within the transaction
	return m, nil
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func writeLetter(b *bbolt.Bucket, seq uint64, m letter) error {
	head, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	return b.Put(seqKey(seq), append(append(head, '\n'), m.Body...))
}

// add puts a message at the end of its group. The caller holds mu, or is alone.
func (l *Queue) add(group string, seq uint64) {
	g := l.groups[group]
	if g == nil {
		g = &localGroup{name: group}
		l.groups[group] = g
		l.ready = append(l.ready, g)
	}
	g.seqs = append(g.seqs, seq)
}

// signal wakes workers that wait. The caller holds mu.
func (l *Queue) signal() {
	close(l.wake)
	l.wake = make(chan struct{})
}

// Send implements Sender: all messages in one transaction. A message that can never be sent, and those behind
// it in its group, are in failed; the others are sent all the same.
func (l *Queue) Send(ctx context.Context, messages []queue.Message) (failed []queue.Message, err error) {
	if err := ctx.Err(); err != nil {
		return messages, fmt.Errorf("send %d messages: %w", len(messages), err)
	}
	var letters []letter
	var errs []error
	blocked := map[string]bool{}
	now := l.cfg.Now().UTC()
	for _, m := range messages {
		body, err := queue.Encode(m)
		if err != nil || blocked[m.Group] {
			blocked[m.Group] = true
			failed = append(failed, m)
			errs = append(errs, err)
			continue
		}
		letters = append(letters, letter{Body: body, Group: m.Group, Dedup: queue.DedupID(m), Sent: now})
	}
	// The lock is held throughout, so that the order in memory is that of the file.
	l.mu.Lock()
	defer l.mu.Unlock()
	seqs := make([]uint64, len(letters))
	err = l.db.Update(func(tx *bbolt.Tx) error {
		for i, m := range letters {
			var err error
			if seqs[i], err = l.store(tx, m, now); err != nil {
				return err
			}
		}
		return forgetDedup(tx, now)
	})
	if err != nil {
		return messages, fmt.Errorf("send %d messages: %w", len(messages), err)
	}
	for i, seq := range seqs {
		if seq != 0 {
			l.add(letters[i].Group, seq)
		}
	}
	l.signal()
	if len(failed) > 0 {
		return failed, fmt.Errorf("send: %d of %d messages failed: %w", len(failed), len(messages), errors.Join(errs...))
	}
	return nil, nil
}

// store writes a message and gives its number; 0 when it is a repetition, which is dropped.
func (l *Queue) store(tx *bbolt.Tx, m letter, now time.Time) (uint64, error) {
	dedup, old := tx.Bucket([]byte(bucketDedup)), tx.Bucket([]byte(bucketOld))
	key := []byte(m.Group + "\x00" + m.Dedup)
	if v := dedup.Get(key); len(v) == 8 && now.UnixNano() < int64(binary.BigEndian.Uint64(v)) {
		return 0, nil
	}
	waiting := tx.Bucket([]byte(bucketWaiting))
	seq, err := waiting.NextSequence()
	if err != nil {
		return 0, fmt.Errorf("number a message: %w", err)
	}
	until := binary.BigEndian.AppendUint64(nil, uint64(now.Add(l.cfg.DedupWindow).UnixNano()))
	if err := errors.Join(dedup.Put(key, until), old.Put(append(until, seqKey(seq)...), key), writeLetter(waiting, seq, m)); err != nil {
		return 0, fmt.Errorf("store a message: %w", err)
	}
	return seq, nil
}

// forgetDedup removes some ids whose window is over.
func forgetDedup(tx *bbolt.Tx, now time.Time) error {
	dedup, old := tx.Bucket([]byte(bucketDedup)), tx.Bucket([]byte(bucketOld))
	c := old.Cursor()
	for range moveAtOnce {
		k, key := c.First()
		if k == nil || int64(binary.BigEndian.Uint64(k)) > now.UnixNano() {
			return nil
		}
		// The id may have been sent again since, with a later end.
		if v := dedup.Get(key); len(v) == 8 && string(v) == string(k[:8]) {
			if err := dedup.Delete(key); err != nil {
				return fmt.Errorf("forget an id: %w", err)
			}
		}
		if err := c.Delete(); err != nil {
			return fmt.Errorf("forget an id: %w", err)
		}
	}
	return nil
}

// Depth counts messages.
type Depth struct {
	Waiting int // not yet handled, those being handled included
	Dead    int
}

// Depth tells how much is in the queue.
func (l *Queue) Depth(ctx context.Context) (Depth, error) {
	if err := ctx.Err(); err != nil {
		return Depth{}, fmt.Errorf("count messages: %w", err)
	}
	var d Depth
	l.mu.Lock()
	for _, g := range l.groups {
		d.Waiting += len(g.seqs)
	}
	l.mu.Unlock()
	err := l.db.View(func(tx *bbolt.Tx) error {
		d.Dead = tx.Bucket([]byte(bucketDead)).Stats().KeyN
		return nil
	})
	if err != nil {
		return Depth{}, fmt.Errorf("count messages: %w", err)
	}
	return d, nil
}

// DeadLetter is a message that failed MaxReceive times.
type DeadLetter struct {
	MessageID string
	Group     string
	Body      []byte
	Sent      time.Time
	Receives  int
}

// DLQ lists dead letters, oldest first, at most limit.
func (l *Queue) DLQ(ctx context.Context, limit int) ([]DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	var dead []DeadLetter
	err := l.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketDead)).Cursor()
		for k, v := c.First(); k != nil && len(dead) < limit; k, v = c.Next() {
			m, err := readLetter(v)
			if err != nil {
				return err
			}
			dead = append(dead, DeadLetter{messageID(binary.BigEndian.Uint64(k)), m.Group, m.Body, m.Sent, m.Receives})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return dead, nil
}

// Redrive puts all dead letters back at the end of their groups, in order, as if never received, and tells how
// many. The reason why they failed should be gone.
func (l *Queue) Redrive(ctx context.Context) (int, error) {
	total := 0
	for {
		if err := ctx.Err(); err != nil {
			return total, fmt.Errorf("redrive: %w", err)
		}
		n, err := l.redriveSome()
		total += n
		if err != nil {
			return total, fmt.Errorf("redrive: %w", err)
		}
		if n == 0 {
			return total, nil
		}
	}
}

func (l *Queue) redriveSome() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var seqs []uint64
	var groups []string
	err := l.db.Update(func(tx *bbolt.Tx) error {
		waiting, c := tx.Bucket([]byte(bucketWaiting)), tx.Bucket([]byte(bucketDead)).Cursor()
		for k, v := c.First(); k != nil && len(seqs) < moveAtOnce; k, v = c.First() {
			m, err := readLetter(v)
			if err != nil {
				return err
			}
			seq, err := waiting.NextSequence()
			if err != nil {
				return err
			}
			m.Receives, m.First = 0, time.Time{}
			if err := errors.Join(writeLetter(waiting, seq, m), c.Delete()); err != nil {
				return err
			}
			seqs, groups = append(seqs, seq), append(groups, m.Group)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i, seq := range seqs {
		l.add(groups[i], seq)
	}
	if len(seqs) > 0 {
		l.signal()
	}
	return len(seqs), nil
}
