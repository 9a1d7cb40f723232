package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"

	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

const typePrefix = `{"__type":"com.amazonaws.dynamodb.v20120810#`

// throttles are the answers by which DynamoDB says that too much is asked of it; the first two are to transactions.
var throttles = []string{
	typePrefix + `TransactionCanceledException","CancellationReasons":[{"Code":"None"},{"Code":"ThrottlingError"}]}`,
	typePrefix + `TransactionCanceledException","CancellationReasons":[{"Code":"ProvisionedThroughputExceeded"},{"Code":"None"}]}`,
	typePrefix + `ProvisionedThroughputExceededException"}`,
	typePrefix + `ThrottlingException"}`,
	typePrefix + `RequestLimitExceeded"}`,
}

// waiting is a store whose throttled calls wait by wait.
func waiting(f transport, wait func(context.Context, time.Duration) error) *dynamo.Store {
	return dynamo.New(dynamodb.New(dynamodb.Options{
		Region: "us-east-1", HTTPClient: f, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), Retryer: quick(),
	}), dynamo.Config{DomainsTable: "domains", RecordsTable: "records", IndexName: "attention", Wait: wait})
}

// everyCall does one of each kind of call.
func everyCall(ctx context.Context, s *dynamo.Store) map[string]func() error {
	return map[string]func() error{
		"transaction": func() error { return s.Write(ctx, put("s", 0, "x"), del("t", 1)) },
		"put":         func() error { return s.Write(ctx, put("s", 0, "x")) },
		"delete":      func() error { return s.Write(ctx, del("s", 1)) },
		"get":         func() error { _, err := s.Get(ctx, key("s")); return err },
		"get many":    func() error { _, err := s.GetMany(ctx, []store.Key{key("s")}); return err },
		"query":       func() error { _, _, err := s.Query(ctx, store.Query{PK: "p", Limit: 1}); return err },
		"scan":        func() error { _, _, err := s.Scan(ctx, 0, 1, "", 1); return err },
		"due":         func() error { _, _, err := s.Due(ctx, 0, time.Unix(1, 0), "", 1); return err },
	}
}

// TestThrottledCallsAreRepeated: a call that was throttled ten times is done in the end, a transaction always as the
// same request, and the waits in between grow and differ.
func TestThrottledCallsAreRepeated(t *testing.T) {
	t.Parallel()
	for i, answer := range throttles {
		var n atomic.Int32
		var waits []time.Duration
		tokens := map[string]bool{}
		s := waiting(func(_ *http.Request, body []byte) (int, string) {
			if _, rest, ok := strings.Cut(string(body), `"ClientRequestToken":"`); ok {
				token, _, _ := strings.Cut(rest, `"`)
				tokens[token] = true
			}
			if n.Add(1) <= 10 {
				return http.StatusBadRequest, answer
			}
			return http.StatusOK, `{"Item":{"pk":{"S":"p"},"sk":{"S":"s"},"v":{"N":"1"},"data":{"S":"{}"}}}`
		}, func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil })
		for name, call := range everyCall(t.Context(), s) {
			if i < 2 && name != "transaction" {
				continue
			}
			n.Store(0)
			waits = nil
			if err := call(); err != nil {
				t.Errorf("%s, throttled by %s: %v", name, answer, err)
			}
			for j, d := range waits {
				if most := min(50*time.Millisecond<<j, 2*time.Second); d < most/2 || d > most {
					t.Errorf("%s: wait %d is %s, want between %s and %s", name, j, d, most/2, most)
				}
			}
		}
		if len(tokens) != 1 {
			t.Errorf("one transaction was sent with %d tokens: DynamoDB takes it for %d", len(tokens), len(tokens))
		}
	}
}

// TestThrottledUntilTheDeadline: what is throttled for as long as there is time ends as what it is, no conflict.
func TestThrottledUntilTheDeadline(t *testing.T) {
	t.Parallel()
	for _, answer := range throttles {
		waits := 0
		s := waiting(func(*http.Request, []byte) (int, string) { return http.StatusBadRequest, answer },
			func(ctx context.Context, _ time.Duration) error {
				if _, ok := ctx.Deadline(); !ok {
					t.Error("it waits without a deadline")
				}
				if waits++; waits == 5 {
					return context.DeadlineExceeded
				}
				return nil
			})
		err := s.Write(t.Context(), put("s", 0, "x"), del("t", 1))
		var api smithy.APIError
		if waits != 5 || !errors.As(err, &api) || errors.Is(err, store.ErrConflict) {
			t.Errorf("after %d waits: %v, want the throttling after 5", waits, err)
		}
	}
}

// TestNoWaitBeyondTheDeadline: a wait that would outlast the caller's time is not begun.
func TestNoWaitBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	calls := 0
	s := waiting(func(*http.Request, []byte) (int, string) { calls++; return http.StatusBadRequest, throttles[0] }, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // less than the first wait
	defer cancel()
	if err := s.Write(ctx, put("s", 0, "x"), del("t", 1)); err == nil || ctx.Err() != nil || calls != 1 {
		t.Errorf("%d calls, %v, context %v: want one call, and its answer before the deadline", calls, err, ctx.Err())
	}
}

// TestARefusalAmongThrottlesStands: other writers' items are not asked for again and again.
func TestARefusalAmongThrottlesStands(t *testing.T) {
	t.Parallel()
	calls := 0
	s := waiting(func(*http.Request, []byte) (int, string) {
		calls++
		return http.StatusBadRequest, typePrefix + `TransactionCanceledException","CancellationReasons":[{"Code":"ThrottlingError"},{"Code":"ConditionalCheckFailed"}]}`
	}, func(context.Context, time.Duration) error { return fmt.Errorf("it waited") })
	if err := s.Write(t.Context(), put("s", 0, "x"), del("t", 1)); !errors.Is(err, store.ErrConflict) || calls != 1 {
		t.Errorf("%d calls, %v: want one, and a conflict", calls, err)
	}
}
