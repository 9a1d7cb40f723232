package queuetest

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/queue/sqs"
)

// SQS is a queue in SQS, polled as Lambda's event source mapping polls: up to ten messages a batch, which are
// deleted unless the answer names them. The visibility time-out should be a second: the suite waits it out.
type SQS struct {
	queue.Sender
	client    *awssqs.Client
	url, dead string
	wait      int32 // seconds that the next receive may wait for a message
}

// longPoll outlasts the visibility time-out, in seconds. A receive ends when a message is there, not later.
const longPoll = 2

// NewSQS is the queue at url with its dead-letter queue.
func NewSQS(client *awssqs.Client, url, dead string) *SQS {
	return &SQS{Sender: sqs.New(client, url), client: client, url: url, dead: dead}
}

// Drain implements Queue.
func (s *SQS) Drain(ctx context.Context, handler queue.Handler) error {
	for {
		messages, err := s.receive(ctx, s.url, s.wait)
		s.wait = 0
		if err != nil || len(messages) == 0 {
			return err
		}
		var e events.SQSEvent
		for _, m := range messages {
			e.Records = append(e.Records, events.SQSMessage{
				MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes, EventSource: "aws:sqs",
			})
		}
		response, err := handler(ctx, e)
		if err != nil {
			continue
		}
		failed := map[string]bool{}
		for _, f := range response.BatchItemFailures {
			failed[f.ItemIdentifier] = true
		}
		for _, m := range messages {
			if failed[*m.MessageId] {
				continue
			}
			if err := s.remove(ctx, s.url, m); err != nil {
				return err
			}
		}
	}
}

func (s *SQS) receive(ctx context.Context, url string, wait int32) ([]types.Message, error) {
	out, err := s.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: queue.BatchSize, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return out.Messages, nil
}

func (s *SQS) remove(ctx context.Context, url string, m types.Message) error {
	_, err := s.client.DeleteMessage(ctx, &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
	if err != nil {
		return fmt.Errorf("delete %s: %w", *m.MessageId, err)
	}
	return nil
}

// Elapse implements Queue: the next receive waits for what becomes visible.
func (s *SQS) Elapse(context.Context) error {
	s.wait = longPoll
	return nil
}

// Dead implements Queue, once: what it lists is invisible for a while.
func (s *SQS) Dead(ctx context.Context) ([]string, error) {
	var bodies []string
	for {
		messages, err := s.receive(ctx, s.dead, 0)
		if err != nil || len(messages) == 0 {
			return bodies, err
		}
		for _, m := range messages {
			bodies = append(bodies, *m.Body)
		}
	}
}

// Redrive implements Queue. The emulators do not move messages by themselves, so it is done as an operator's
// script would: sent anew, then deleted.
func (s *SQS) Redrive(ctx context.Context) error {
	for {
		messages, err := s.receive(ctx, s.dead, 0)
		if err != nil || len(messages) == 0 {
			return err
		}
		for _, m := range messages {
			group, id := m.Attributes["MessageGroupId"], "redrive-"+*m.MessageId
			_, err := s.client.SendMessage(ctx, &awssqs.SendMessageInput{QueueUrl: &s.url, MessageBody: m.Body, MessageGroupId: &group, MessageDeduplicationId: &id})
			if err != nil {
				return fmt.Errorf("redrive %s: %w", *m.MessageId, err)
			}
			if err := s.remove(ctx, s.dead, m); err != nil {
				return err
			}
		}
	}
}
