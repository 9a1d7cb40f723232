package sqs

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// oneSender is the one call of SQS that is needed; *awssqs.Client has it.
type oneSender interface {
	SendMessage(ctx context.Context, in *awssqs.SendMessageInput, opts ...func(*awssqs.Options)) (*awssqs.SendMessageOutput, error)
}

// DeadLetters is the queue that SQS moves failed messages to, at a URL, for messages that need not fail as often first.
type DeadLetters struct {
	client oneSender
	url    string
}

var _ queue.DeadLetters = (*DeadLetters)(nil)

// NewDeadLetters gives the FIFO queue at url.
func NewDeadLetters(client oneSender, url string) *DeadLetters { return &DeadLetters{client, url} }

// Bury implements queue.DeadLetters. The message keeps its body, group and deduplication id, as one that SQS moves does.
func (d *DeadLetters) Bury(ctx context.Context, m events.SQSMessage) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	_, err := d.client.SendMessage(ctx, &awssqs.SendMessageInput{
		QueueUrl: &d.url, MessageBody: &m.Body,
		MessageGroupId: aws.String(m.Attributes["MessageGroupId"]), MessageDeduplicationId: aws.String(m.Attributes["MessageDeduplicationId"]),
	})
	if err != nil {
		return fmt.Errorf("bury message %s: %w", m.MessageId, err)
	}
	return nil
}
