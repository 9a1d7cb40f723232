// Package queuetest is the conformance suite of queues: what the functions rely on, held against SQS (by
// emulators, polled as Lambda polls) and against the queue inside the process.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// Queue is a queue with its consumer.
type Queue interface {
	queue.Sender
	// Drain hands out what is visible now, as Lambda does, until nothing is.
	Drain(ctx context.Context, handler queue.Handler) error
	// Elapse lets the visibility time-out pass: the next Drain sees what failed.
	Elapse(ctx context.Context) error
	// Dead gives the bodies of the dead letters.
	Dead(ctx context.Context) ([]string, error)
	// Redrive puts the dead letters back.
	Redrive(ctx context.Context) error
}

// MaxReceive is after how many receives the queues under test make a dead letter.
const MaxReceive = 3

// Open gives an empty queue with MaxReceive that lives as long as the test.
type Open func(t *testing.T) Queue

// Run runs the suite. Each test opens a queue of its own.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(f *fixture)
	}{
		{"delivers once", deliversOnce},
		{"keeps the order of a group", groupOrder},
		{"many messages of many groups", manyGroups},
		{"a failed message comes again before those behind it", partialFailure},
		{"a failure leaves other groups alone", otherGroups},
		{"an error returns the whole batch", wholeBatch},
		{"a message that always fails is a dead letter", deadLetter},
		{"dead letters can be redriven", redrive},
		{"the same message sent twice comes once", dedup},
		{"a message sent anew later comes again", lookAgain},
		{"what the handler sends is delivered", sendsWhileDraining},
		{"messages that cannot be sent", invalid},
		{"the largest message", largest},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&fixture{T: t, q: open(t)})
		})
	}
}

type fixture struct {
	*testing.T
	q    Queue
	mu   sync.Mutex
	seen []string // names of first domains, in order of delivery
}

// message is a message about one domain to a group.
func message(group, name string) queue.Message {
	return queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: group, Run: "r1", Share: 1, Sent: Begin},
		[]queue.Entry{{Name: name}})[0]
}

func (f *fixture) send(messages ...queue.Message) {
	f.Helper()
	failed, err := f.q.Send(f.Context(), messages)
	if err != nil || len(failed) != 0 {
		f.Fatalf("send: %d failed, %v", len(failed), err)
	}
}

// handler notes what comes and fails what fail says.
func (f *fixture) handler(fail func(name string, receives int) bool) queue.Handler {
	return func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(e.Records) < 1 || len(e.Records) > queue.BatchSize {
			f.Errorf("a batch of %d", len(e.Records))
		}
		r := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		blocked := map[string]bool{}
		for _, raw := range e.Records {
			group := raw.Attributes["MessageGroupId"]
			if blocked[group] {
				r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: raw.MessageId})
				continue
			}
			m, err := queue.Decode([]byte(raw.Body))
			if err != nil || m.Group != group {
				f.Errorf("decode in group %q: %v", group, err)
				continue
			}
			receives := 0
			if _, err := fmt.Sscan(raw.Attributes["ApproximateReceiveCount"], &receives); err != nil {
				f.Errorf("receive count: %v", err)
			}
			name := m.Domains[0].Name
			f.seen = append(f.seen, name)
			if fail != nil && fail(name, receives) {
				blocked[group] = true
				r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: raw.MessageId})
			}
		}
		return r, nil
	}
}

func (f *fixture) drain(h queue.Handler) {
	f.Helper()
	if err := f.q.Drain(f.Context(), h); err != nil {
		f.Fatalf("drain: %v", err)
	}
}

func (f *fixture) elapse() {
	f.Helper()
	if err := f.q.Elapse(f.Context()); err != nil {
		f.Fatalf("elapse: %v", err)
	}
}

// wants compares what was seen of the names with a prefix, in order.
func (f *fixture) wants(prefix string, want ...string) {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []string
	for _, name := range f.seen {
		if strings.HasPrefix(name, prefix) {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, want) {
		f.Fatalf("seen %v, want %v", got, want)
	}
}

func deliversOnce(f *fixture) {
	f.send(message("com", "a1"))
	f.drain(f.handler(nil))
	f.elapse()
	f.drain(f.handler(nil))
	f.wants("", "a1")
}

func numbered(prefix string, n int) (names []string, messages []queue.Message) {
	for i := range n {
		name := fmt.Sprintf("%s%02d", prefix, i)
		names = append(names, name)
		messages = append(messages, message(prefix, name))
	}
	return names, messages
}

func groupOrder(f *fixture) {
	names, messages := numbered("a", 23)
	f.send(messages[:12]...)
	f.send(messages[12:]...)
	f.drain(f.handler(nil))
	f.wants("a", names...)
}

func manyGroups(f *fixture) {
	var all []queue.Message
	want := map[string][]string{}
	for i := range 13 {
		prefix := string(rune('a' + i))
		names, messages := numbered(prefix, 5)
		want[prefix] = names
		all = append(all, messages...)
	}
	f.send(all...)
	f.drain(f.handler(nil))
	for prefix, names := range want {
		f.wants(prefix, names...)
	}
}

func partialFailure(f *fixture) {
	_, messages := numbered("a", 4)
	f.send(messages...)
	fail := func(name string, receives int) bool { return name == "a01" && receives == 1 }
	f.drain(f.handler(fail))
	f.wants("a", "a00", "a01") // nothing overtakes it
	f.elapse()
	f.drain(f.handler(fail))
	f.wants("a", "a00", "a01", "a01", "a02", "a03")
}

func otherGroups(f *fixture) {
	_, a := numbered("a", 3)
	_, b := numbered("b", 3)
	f.send(a[0], b[0], a[1], b[1], a[2], b[2])
	fail := func(name string, receives int) bool { return name == "a00" && receives == 1 }
	f.drain(f.handler(fail))
	f.wants("a", "a00")
	f.wants("b", "b00", "b01", "b02")
	f.elapse()
	f.drain(f.handler(fail))
	f.wants("a", "a00", "a00", "a01", "a02")
	f.wants("b", "b00", "b01", "b02")
}

func wholeBatch(f *fixture) {
	_, messages := numbered("a", 3)
	f.send(messages...)
	calls := 0
	h := f.handler(nil)
	failing := func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		if calls++; calls == 1 {
			return events.SQSEventResponse{}, errors.New("no table")
		}
		return h(ctx, e)
	}
	f.drain(failing)
	f.elapse()
	f.drain(failing)
	f.wants("a", "a00", "a01", "a02")
}

// drainDead drains until the poisoned message is a dead letter.
func (f *fixture) drainDead(poison string) {
	f.Helper()
	fail := func(name string, _ int) bool { return name == poison }
	for range MaxReceive + 1 {
		f.drain(f.handler(fail))
		f.elapse()
	}
}

func deadLetter(f *fixture) {
	f.send(message("a", "a-poison"), message("b", "b00"))
	f.drainDead("a-poison")
	f.wants("a", "a-poison", "a-poison", "a-poison") // MaxReceive times
	dead, err := f.q.Dead(f.Context())
	if err != nil || len(dead) != 1 || !strings.Contains(dead[0], "a-poison") {
		f.Fatalf("dead letters %v, %v", dead, err)
	}
	f.send(message("a", "a01")) // its group is free again
	f.drain(f.handler(nil))
	f.wants("a0", "a01")
}

func redrive(f *fixture) {
	f.send(message("a", "a-poison"))
	f.drainDead("a-poison")
	if err := f.q.Redrive(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.drain(f.handler(nil))
	f.wants("a", "a-poison", "a-poison", "a-poison", "a-poison")
	dead, err := f.q.Dead(f.Context())
	if err != nil || len(dead) != 0 {
		f.Fatalf("dead letters %v, %v", dead, err)
	}
}

func dedup(f *fixture) {
	m := message("a", "a00")
	f.send(m, m)
	f.send(m)
	f.drain(f.handler(nil))
	f.send(m) // also once it was handled
	f.drain(f.handler(nil))
	f.wants("a", "a00")
}

func lookAgain(f *fixture) {
	first := message("a", "a00")
	again := first
	again.Sent = Begin.Add(time.Minute)
	if first.ID != queue.ContentID(again) {
		f.Fatal("the time of sending is in the ID")
	}
	f.send(first)
	f.drain(f.handler(nil))
	f.send(again)
	f.drain(f.handler(nil))
	f.send(again)
	f.drain(f.handler(nil))
	f.wants("a", "a00", "a00")
}

func sendsWhileDraining(f *fixture) {
	f.send(message("a", "a00"))
	h := f.handler(nil)
	f.drain(func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		if strings.Contains(e.Records[0].Body, "a00") {
			f.send(message("b", "b00"), message("a", "a01"))
		}
		return h(ctx, e)
	})
	f.wants("a", "a00", "a01")
	f.wants("b", "b00")
}

func invalid(f *fixture) {
	bad := message("a", "a-bad")
	bad.Domains[0].Item = []byte(`{"x":"` + strings.Repeat("x", queue.MaxMessage) + `"}`)
	failed, err := f.q.Send(f.Context(), []queue.Message{
		message("a", "a00"), bad, message("a", "a01"), message("b", "b00"),
	})
	if !errors.Is(err, queue.ErrTooLarge) || len(failed) != 2 || failed[0].Domains[0].Name != "a-bad" || failed[1].Domains[0].Name != "a01" {
		f.Errorf("%d failed, %v: want the bad one and the one behind it", len(failed), err)
	}
	f.drain(f.handler(nil))
	f.wants("a", "a00")
	f.wants("b", "b00")
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	if failed, err := f.q.Send(ctx, []queue.Message{message("a", "a02")}); !errors.Is(err, context.Canceled) || len(failed) != 1 {
		f.Errorf("send after the end: %d failed, %v", len(failed), err)
	}
	if failed, err := f.q.Send(f.Context(), nil); err != nil || len(failed) != 0 {
		f.Errorf("send nothing: %v, %v", failed, err)
	}
}

// largest sends ten messages of the largest size, in one request where the groups allow.
func largest(f *fixture) {
	var messages []queue.Message
	for i := range queue.BatchSize {
		m := message(fmt.Sprintf("g%d", i), fmt.Sprintf("n%d", i))
		m.Domains[0].Item = []byte(`{"x":""}`)
		b, err := queue.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		m.Domains[0].Item = []byte(`{"x":"` + strings.Repeat("<", queue.MaxMessage-len(b)) + `"}`)
		if b, err = queue.Encode(m); err != nil || len(b) != queue.MaxMessage {
			f.Fatalf("%d bytes, %v", len(b), err)
		}
		messages = append(messages, m)
	}
	f.send(messages...)
	f.drain(f.handler(nil))
	for i := range queue.BatchSize {
		f.wants(fmt.Sprintf("n%d", i), fmt.Sprintf("n%d", i))
	}
}
