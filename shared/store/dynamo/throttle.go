package dynamo

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// Waits before a call that DynamoDB throttled, or keys that it left unprocessed, are tried again.
const (
	firstWait = 50 * time.Millisecond
	maxWait   = 2 * time.Second
)

// patiently repeats a call for as long as DynamoDB throttles it and ctx leaves time; the last answer stands. The SDK
// gives up after three attempts, and repeats no transaction that was cancelled for being throttled.
func (s *Store) patiently(ctx context.Context, call func() error) error {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := call()
		if !throttled(err) || s.cfg.Wait(ctx, jitter(wait)) != nil {
			return err
		}
	}
}

// throttled tells whether err says that nothing was done because too much was asked at once. A transaction that
// also met a failed condition is a refusal: to repeat it is useless.
func throttled(err error) bool {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) && !refusal(err) {
		for _, r := range canceled.CancellationReasons {
			switch aws.ToString(r.Code) {
			case "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded":
				return true
			}
		}
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	_, known := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
	return known
}

// jitter spreads the waits of callers that were throttled together: between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2)
}

// pause waits unless ctx would end first: then it says so at once.
func pause(ctx context.Context, d time.Duration) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return context.DeadlineExceeded
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
