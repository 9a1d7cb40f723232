package local

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS gives the body's MD5 to its consumers
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// Stats is what a Drain did.
type Stats struct {
	Batches      int // calls of the handler
	Handled      int // messages that are done
	Failed       int // messages that will come again, by receives
	DeadLettered int // messages that failed for the last time
	Errors       int // batches that came back whole, for the handler's error
	// LastError is the last of the handler's errors.
	LastError error
	// NextVisible is when the next message becomes visible; zero when none is waiting.
	NextVisible time.Time
}

// delivery is one received message.
type delivery struct {
	seq    uint64
	letter letter
}

// Drain hands out messages, those that the handler sends meanwhile too, until none is visible; Workers batches
// at a time. What failed is invisible until Stats.NextVisible at the earliest. An error of the handler is no
// error of Drain. When ctx ends, no further batch is begun, those under way are waited for, and ctx's error is
// returned.
func (l *Queue) Drain(ctx context.Context, handler queue.Handler) (Stats, error) {
	parent := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &drain{l: l, handler: handler}
	var wg sync.WaitGroup
	errs := make([]error, l.cfg.Workers)
	for i := range errs {
		wg.Go(func() {
			if errs[i] = d.work(ctx); errs[i] != nil {
				cancel() // the file failed: the others would fare no better
			}
		})
	}
	wg.Wait()
	d.stats.NextVisible = l.nextVisible()
	if err := parent.Err(); err != nil {
		return d.stats, fmt.Errorf("drain the queue: %w", err)
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return d.stats, fmt.Errorf("drain the queue: %w", err)
		}
	}
	return d.stats, nil
}

// drain is one call of Drain.
type drain struct {
	l       *Queue
	handler queue.Handler
	mu      sync.Mutex
	stats   Stats
	busy    int // batches being handled, of this drain
}

// work handles batches until none is visible and none is under way that could make one visible.
func (d *drain) work(ctx context.Context) error {
	for {
		batch, wake, err := d.receive(ctx)
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			err := d.handle(ctx, batch)
			d.done()
			if err != nil {
				return err
			}
			continue
		}
		if wake == nil {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

// receive takes a batch, or tells what to wait for; neither when the drain is over.
func (d *drain) receive(ctx context.Context) ([]delivery, <-chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.l
	l.mu.Lock()
	wake := l.wake
	l.mu.Unlock()
	batch, dead, err := l.receive(ctx)
	for d.stats.DeadLettered += dead; len(batch) == 0 && dead > 0 && err == nil; d.stats.DeadLettered += dead {
		batch, dead, err = l.receive(ctx) // what stood behind the dead letters
	}
	switch {
	case err != nil:
		return nil, nil, err
	case len(batch) > 0:
		d.busy++
		d.stats.Batches++
		return batch, nil, nil
	case d.busy > 0:
		return nil, wake, nil
	default:
		return nil, nil, nil
	}
}

// done notes the end of a batch and wakes those who wait for it.
func (d *drain) done() {
	d.mu.Lock()
	d.busy--
	d.mu.Unlock()
	d.l.mu.Lock()
	d.l.signal()
	d.l.mu.Unlock()
}

// handle calls the handler and settles the batch.
func (d *drain) handle(ctx context.Context, batch []delivery) error {
	response, err := d.call(ctx, batch)
	back := failures(batch, response, err)
	if err := d.l.settle(batch, back); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Failed += len(back)
	d.stats.Handled += len(batch) - len(back)
	if err != nil {
		d.stats.Errors++
		d.stats.LastError = err
	}
	return nil
}

// call turns a panic into an error: one batch must not take the queue with it.
func (d *drain) call(ctx context.Context, batch []delivery) (r events.SQSEventResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	var e events.SQSEvent
	for _, m := range batch {
		e.Records = append(e.Records, record(m))
	}
	return d.handler(ctx, e)
}

func messageID(seq uint64) string { return fmt.Sprintf("local-%d", seq) }

// record is a message as Lambda passes it on.
func record(m delivery) events.SQSMessage {
	sum := md5.Sum(m.letter.Body) //nolint:gosec // see the import
	return events.SQSMessage{
		MessageId: messageID(m.seq), ReceiptHandle: fmt.Sprintf("%d/%d", m.seq, m.letter.Receives),
		Body: string(m.letter.Body), Md5OfBody: hex.EncodeToString(sum[:]),
		Attributes: map[string]string{
			"ApproximateReceiveCount":          strconv.Itoa(m.letter.Receives),
			"ApproximateFirstReceiveTimestamp": millis(m.letter.First),
			"SentTimestamp":                    millis(m.letter.Sent),
			"MessageGroupId":                   m.letter.Group,
			"MessageDeduplicationId":           m.letter.Dedup,
			"SequenceNumber":                   fmt.Sprintf("%020d", m.seq),
		},
		MessageAttributes: map[string]events.SQSMessageAttribute{},
		EventSource:       "aws:sqs", EventSourceARN: "arn:aws:sqs:local:000000000000:checks.fifo", AWSRegion: "local",
	}
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// failures are the messages of a batch that come again: all after an error, or after an answer that names a
// message that is not in the batch; else those named, and those behind them in their group.
func failures(batch []delivery, r events.SQSEventResponse, err error) []delivery {
	if err != nil {
		return batch
	}
	named := map[string]bool{}
	for _, f := range r.BatchItemFailures {
		named[f.ItemIdentifier] = true
	}
	known := 0
	blocked := map[string]bool{}
	var back []delivery
	for _, m := range batch {
		if named[messageID(m.seq)] {
			known++
			blocked[m.letter.Group] = true
		}
		if blocked[m.letter.Group] {
			back = append(back, m)
		}
	}
	if known != len(named) {
		return batch
	}
	return back
}

// receive takes up to queue.BatchSize visible messages, in order within each group, whose groups are then busy. It
// counts the receive in the file, and moves what was received too often to the dead letters.
func (l *Queue) receive(ctx context.Context) (batch []delivery, dead int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil { // under the lock: who waited for it must not begin a batch after the end
		return nil, 0, err
	}
	now := l.cfg.Now().UTC()
	var visible, taken []*localGroup
	for _, g := range l.ready {
		if !g.busy && !g.until.After(now) && len(visible) < queue.BatchSize {
			visible = append(visible, g)
		}
	}
	if len(visible) == 0 {
		return nil, 0, nil
	}
	buried := map[*localGroup]int{}
	err = l.db.Update(func(tx *bbolt.Tx) error {
		for _, g := range visible {
			if len(batch) == queue.BatchSize {
				return nil
			}
			got, n, err := l.take(tx, g, queue.BatchSize-len(batch), now)
			if err != nil {
				return err
			}
			if n > 0 {
				buried[g] = n
				dead += n
			}
			if len(got) > 0 {
				taken = append(taken, g)
				batch = append(batch, got...)
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("receive: %w", err)
	}
	for g, n := range buried {
		g.seqs = g.seqs[n:]
		l.drop(g)
	}
	for _, g := range taken {
		g.busy = true
		l.requeue(g)
	}
	return batch, dead, nil
}

// take reads up to n messages at the head of a group, past those that become dead letters, which are counted.
func (l *Queue) take(tx *bbolt.Tx, g *localGroup, n int, now time.Time) (got []delivery, dead int, err error) {
	waiting, letters := tx.Bucket([]byte(bucketWaiting)), tx.Bucket([]byte(bucketDead))
	for _, seq := range g.seqs {
		if len(got) == n || dead == moveAtOnce {
			break
		}
		m, err := readLetter(waiting.Get(seqKey(seq)))
		if err != nil {
			return nil, 0, fmt.Errorf("message %d of %s: %w", seq, g.name, err)
		}
		if m.Receives >= l.cfg.MaxReceive {
			if len(got) > 0 {
				break // its turn comes when it is at the head
			}
			if err := errors.Join(writeLetter(letters, seq, m), waiting.Delete(seqKey(seq))); err != nil {
				return nil, 0, err
			}
			dead++
			continue
		}
		if m.Receives++; m.Receives == 1 {
			m.First = now
		}
		if err := writeLetter(waiting, seq, m); err != nil {
			return nil, 0, err
		}
		got = append(got, delivery{seq, m})
	}
	return got, dead, nil
}

// requeue puts a group behind the others. The caller holds mu.
func (l *Queue) requeue(g *localGroup) {
	l.ready = slices.DeleteFunc(l.ready, func(o *localGroup) bool { return o == g })
	l.ready = append(l.ready, g)
}

// drop forgets a group without messages. The caller holds mu.
func (l *Queue) drop(g *localGroup) {
	if len(g.seqs) == 0 {
		delete(l.groups, g.name)
		l.ready = slices.DeleteFunc(l.ready, func(o *localGroup) bool { return o == g })
	}
}

// settle deletes what is done, and makes the rest invisible for a while.
func (l *Queue) settle(batch, back []delivery) error {
	again := map[uint64]bool{}
	for _, m := range back {
		again[m.seq] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.cfg.Now().UTC().Add(l.cfg.Visibility)
	err := l.db.Update(func(tx *bbolt.Tx) error {
		for _, m := range batch {
			if again[m.seq] {
				continue
			}
			if err := tx.Bucket([]byte(bucketWaiting)).Delete(seqKey(m.seq)); err != nil {
				return fmt.Errorf("delete message %d: %w", m.seq, err)
			}
		}
		return nil
	})
	for _, m := range batch {
		g := l.groups[m.letter.Group]
		if g == nil {
			continue // the last of its group was dropped
		}
		g.busy = false
		switch {
		case err != nil || again[m.seq]:
			g.until = until
		default:
			g.seqs = slices.DeleteFunc(g.seqs, func(s uint64) bool { return s == m.seq })
			l.drop(g)
		}
	}
	return err
}

// nextVisible is when the earliest message that waits becomes visible; zero when none waits.
func (l *Queue) nextVisible() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now().UTC()
	var next time.Time
	for _, g := range l.groups {
		at := g.until
		if at.Before(now) {
			at = now
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}
