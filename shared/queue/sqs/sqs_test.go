package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/queuetest"
	"github.com/lapseguard/lapseguard/shared/queue/sqs"
)

// fakeSQS answers as refuse says and notes what it took.
type fakeSQS struct {
	mu       sync.Mutex
	requests []*awssqs.SendMessageBatchInput
	taken    []string // names of first domains
	// refuse tells what becomes of an entry at a request (from 1): "" it is taken, "sender" or "service".
	refuse func(request int, name string) string
	err    func(request int) error
}

func (f *fakeSQS) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput, _ ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("a request without a deadline")
	}
	f.requests = append(f.requests, in)
	n := len(f.requests)
	if f.err != nil {
		if err := f.err(n); err != nil {
			return nil, err
		}
	}
	out := &awssqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		m, err := queue.Decode([]byte(*e.MessageBody))
		if err != nil {
			return nil, err
		}
		name := m.Domains[0].Name
		fault := ""
		if f.refuse != nil {
			fault = f.refuse(n, name)
		}
		switch fault {
		case "":
			f.taken = append(f.taken, name)
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
		case "silent":
		default:
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("Code" + fault), SenderFault: fault == "sender"})
		}
	}
	return out, nil
}

type sleeps struct{ d []time.Duration }

func (s *sleeps) sleep(ctx context.Context, d time.Duration) error {
	s.d = append(s.d, d)
	return ctx.Err()
}

func sender(f *fakeSQS) (*sqs.Sender, *sleeps) {
	s := sqs.New(f, "http://queue")
	rec := &sleeps{}
	s.Sleep = rec.sleep
	return s, rec
}

func firsts(messages []queue.Message) []string {
	var names []string
	for _, m := range messages {
		names = append(names, m.Domains[0].Name)
	}
	return names
}

func (f *fakeSQS) of(group string) []string {
	return slices.DeleteFunc(slices.Clone(f.taken), func(n string) bool { return !strings.HasPrefix(n, group) })
}

func wantNames(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestSendRequests(t *testing.T) {
	t.Parallel()
	f := &fakeSQS{}
	s, slept := sender(f)
	var names []string
	for g := 'a'; g < 'a'+13; g++ {
		for i := range 3 {
			names = append(names, fmt.Sprintf("%c%d", g, i))
		}
	}
	failed, err := s.Send(t.Context(), queuetest.Messages(names...))
	if err != nil || failed != nil || len(f.taken) != len(names) || len(slept.d) != 0 {
		t.Fatalf("%v, %v, %d taken", failed, err, len(f.taken))
	}
	for _, in := range f.requests {
		groups := map[string]bool{}
		for _, e := range in.Entries {
			if groups[*e.MessageGroupId] {
				t.Errorf("two messages of group %s in a request", *e.MessageGroupId)
			}
			groups[*e.MessageGroupId] = true
			if m, err := queue.Decode([]byte(*e.MessageBody)); err != nil || *e.MessageDeduplicationId != queue.DedupID(m) || *e.MessageGroupId != m.Group {
				t.Errorf("entry %+v", e)
			}
		}
		if len(in.Entries) > queue.BatchSize || *in.QueueUrl != "http://queue" {
			t.Errorf("%d entries to %s", len(in.Entries), *in.QueueUrl)
		}
	}
	if len(f.requests) > 6 {
		t.Errorf("%d requests for 39 messages of 13 groups", len(f.requests))
	}
	for g := 'a'; g < 'a'+13; g++ {
		wantNames(t, "order", f.of(string(g)), fmt.Sprintf("%c0", g), fmt.Sprintf("%c1", g), fmt.Sprintf("%c2", g))
	}
}

func TestSendRetriesInOrder(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"service", "silent"} {
		f := &fakeSQS{refuse: func(request int, name string) string {
			if name == "a0" && request <= 3 {
				return fault
			}
			return ""
		}}
		s, slept := sender(f)
		failed, err := s.Send(t.Context(), queuetest.Messages("a0", "a1", "b0", "b1"))
		if err != nil || failed != nil {
			t.Fatalf("%s: %v, %v", fault, firsts(failed), err)
		}
		wantNames(t, fault, f.of("a"), "a0", "a1")
		wantNames(t, fault, f.of("b"), "b0", "b1")
		if !slices.Equal(slept.d, []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}) {
			t.Errorf("%s: slept %v", fault, slept.d)
		}
	}
}

func TestSendGivesUp(t *testing.T) {
	t.Parallel()
	f := &fakeSQS{refuse: func(_ int, name string) string {
		return map[string]string{"a1": "service", "b0": "sender"}[name]
	}}
	s, slept := sender(f)
	failed, err := s.Send(t.Context(), queuetest.Messages("a0", "b0", "a1", "c0", "a2", "b1", "c1"))
	if err == nil || !strings.Contains(err.Error(), "Codesender") {
		t.Errorf("error %v", err)
	}
	wantNames(t, "failed", firsts(failed), "b0", "a1", "a2", "b1")
	wantNames(t, "a", f.of("a"), "a0")
	wantNames(t, "b", f.of("b"))
	wantNames(t, "c", f.of("c"), "c0", "c1")
	for _, d := range slept.d {
		if d > 3*time.Second {
			t.Errorf("slept %v", d)
		}
	}
	if len(slept.d) != 5 {
		t.Errorf("slept %v", slept.d)
	}
}

func TestSendLostRequest(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	f := &fakeSQS{err: func(request int) error {
		if request == 2 {
			return lost
		}
		return nil
	}}
	s, _ := sender(f)
	failed, err := s.Send(t.Context(), queuetest.Messages("a0", "a1", "a2"))
	if !errors.Is(err, lost) {
		t.Errorf("error %v", err)
	}
	wantNames(t, "failed", firsts(failed), "a1", "a2")
	wantNames(t, "taken", f.taken, "a0")
}

func TestSendEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeSQS{refuse: func(int, string) string { cancel(); return "service" }}
	s, _ := sender(f)
	failed, err := s.Send(ctx, queuetest.Messages("a0", "b0"))
	if !errors.Is(err, context.Canceled) || len(failed) != 2 || len(f.requests) != 1 {
		t.Errorf("%d failed, %v, %d requests", len(failed), err, len(f.requests))
	}
}
