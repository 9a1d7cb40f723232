// Package sqs sends messages to SQS FIFO.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// How SQS sends.
const (
	maxRequest  = 1 << 20 // bytes of one SendMessageBatch
	sendTimeout = 30 * time.Second
	sendTries   = 6 // attempts at a message that SQS could not take for reasons of its own
	firstPause  = 100 * time.Millisecond
	maxPause    = 3 * time.Second
)

// batchSender is the one call of SQS that is needed; *awssqs.Client has it.
type batchSender interface {
	SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput, opts ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error)
}

// Sender sends messages to an SQS FIFO queue. It is safe for concurrent use; order within a group holds among the
// messages of one Send.
type Sender struct {
	client batchSender
	url    string
	// Sleep waits between attempts and ends early with ctx. Tests replace it before the first Send.
	Sleep func(ctx context.Context, d time.Duration) error
}

var _ queue.Sender = (*Sender)(nil)

// New makes a sender to the queue at url. The client is to repeat lost requests (the SDK does); entries that
// SQS refuses are repeated here.
func New(client batchSender, url string) *Sender {
	return &Sender{client: client, url: url, Sleep: sleep}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// outgoing is a message on its way. After an error nothing of its group is sent.
type outgoing struct {
	message queue.Message
	body    string
	tries   int
	sent    bool
	err     error
}

// Send implements queue.Sender. A request holds at most one message of a group: SQS may refuse one entry of a request
// and take the next, which must not overtake it. That costs nothing where messages are as large as a billed
// request, and upstreams with many messages have many groups. A message that can never be sent, and those
// behind it in its group, are in failed; the other groups are sent all the same.
func (s *Sender) Send(ctx context.Context, messages []queue.Message) (failed []queue.Message, err error) {
	all, lanes := prepare(messages)
	for err == nil && len(lanes) > 0 {
		batch := nextBatch(lanes)
		var tries int
		if tries, err = s.request(ctx, batch); err == nil && tries > 0 {
			err = s.Sleep(ctx, min(firstPause<<(tries-1), maxPause))
		}
		lanes = advance(lanes)
	}
	errs := []error{err}
	for _, o := range all {
		if !o.sent {
			failed = append(failed, o.message)
			errs = append(errs, o.err)
		}
	}
	if len(failed) == 0 {
		return nil, nil
	}
	return failed, fmt.Errorf("send to SQS: %d of %d messages failed: %w", len(failed), len(messages), errors.Join(errs...))
}

// prepare encodes messages and sorts them into lanes, one for each group in order of appearance.
func prepare(messages []queue.Message) (all []*outgoing, lanes [][]*outgoing) {
	byGroup := map[string]int{}
	for _, m := range messages {
		body, err := queue.Encode(m)
		o := &outgoing{message: m, body: string(body), err: err}
		all = append(all, o)
		i, known := byGroup[m.Group]
		if !known {
			i = len(lanes)
			byGroup[m.Group] = i
			lanes = append(lanes, nil)
		}
		lanes[i] = append(lanes[i], o)
	}
	return all, advance(lanes)
}

// advance leaves what is still to be sent: lanes lose what was sent at their head, and end at an error.
func advance(lanes [][]*outgoing) [][]*outgoing {
	var rest [][]*outgoing
	for _, l := range lanes {
		if len(l) > 0 && l[0].sent {
			l = l[1:]
		}
		if len(l) > 0 && l[0].err == nil {
			rest = append(rest, l)
		}
	}
	return rest
}

// nextBatch takes the heads of as many lanes as a request may hold.
func nextBatch(lanes [][]*outgoing) []*outgoing {
	var batch []*outgoing
	size := 0
	for _, l := range lanes {
		if len(batch) == queue.BatchSize || size+len(l[0].body) > maxRequest {
			break
		}
		batch = append(batch, l[0])
		size += len(l[0].body)
	}
	return batch
}

// request sends a batch and notes the outcome of each message. tries is how often the most often refused one of
// those to be repeated was tried; err is about the request as a whole, which may or may not have arrived.
func (s *Sender) request(ctx context.Context, batch []*outgoing) (tries int, err error) {
	in := &awssqs.SendMessageBatchInput{QueueUrl: &s.url}
	for i, o := range batch {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: &o.body,
			MessageGroupId: aws.String(o.message.Group), MessageDeduplicationId: aws.String(queue.DedupID(o.message)),
		})
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	out, err := s.client.SendMessageBatch(ctx, in)
	if err != nil {
		return 0, err
	}
	for _, ok := range out.Successful {
		if o := entry(batch, ok.Id); o != nil {
			o.sent = true
		}
	}
	for _, f := range out.Failed {
		if o := entry(batch, f.Id); o != nil && f.SenderFault {
			o.err = fmt.Errorf("%s: %s: %s", o.message.ID, aws.ToString(f.Code), aws.ToString(f.Message))
		}
	}
	for _, o := range batch {
		if o.sent || o.err != nil {
			continue
		}
		if o.tries++; o.tries == sendTries {
			o.err = fmt.Errorf("%s: refused %d times", o.message.ID, o.tries)
			continue
		}
		tries = max(tries, o.tries)
	}
	return tries, nil
}

// entry finds the message that an answer's id speaks of.
func entry(batch []*outgoing, id *string) *outgoing {
	i, err := strconv.Atoi(aws.ToString(id))
	if err != nil || i < 0 || i >= len(batch) {
		return nil
	}
	return batch[i]
}
