// Package dynamo keeps the guard's state in two DynamoDB tables. It implements store.Store and passes the
// conformance suite storetest.
//
// Attributes: pk and sk (Records only) are the key, data (S) the JSON, v (N) the version, ttl (N, Unix
// seconds, the tables' TTL attribute) when the item expires. Items of Domains that need attention also have
// ps (S, the shard) and pd (N, Unix seconds), the key of a sparse KEYS_ONLY index.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/lapseguard/lapseguard/shared/store"
)

// Names of attributes; template.yaml defines the keys among them.
const (
	attrPK    = "pk"
	attrSK    = "sk"
	attrData  = "data"
	attrV     = "v"
	attrTTL   = "ttl"
	attrShard = "ps"
	attrDue   = "pd"
)

// Limits of this implementation.
const (
	batchGet    = 100              // keys of one BatchGetItem
	readers     = 8                // BatchGetItems at a time in one GetMany
	writers     = 16               // groups at a time in one WriteEach
	callTimeout = 20 * time.Second // one call with the SDK's retries
)

// Config of New.
type Config struct {
	DomainsTable, RecordsTable string
	IndexName                  string // of the sparse index on DomainsTable; needed by Due only
	// Now is the clock that items expire by; nil is time.Now.
	Now func() time.Time
	// Wait lets time pass before a throttled call is repeated, or returns ctx's error; nil waits for real.
	Wait func(ctx context.Context, d time.Duration) error
}

// Store is a store.Store in DynamoDB. It is safe for concurrent use.
type Store struct {
	client *dynamodb.Client
	cfg    Config
}

var _ store.Store = (*Store)(nil)

// New makes a Store. It calls nothing.
func New(client *dynamodb.Client, cfg Config) *Store {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = pause
	}
	return &Store{client: client, cfg: cfg}
}

func (s *Store) table(t store.Table) *string {
	if t == store.Domains {
		return &s.cfg.DomainsTable
	}
	return &s.cfg.RecordsTable
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Item{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var out *dynamodb.GetItemOutput
	err := s.patiently(ctx, func() (err error) {
		out, err = s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: s.table(key.Table), Key: keyAttrs(key), ConsistentRead: aws.Bool(true),
		})
		return err
	})
	if err != nil {
		return store.Item{}, fmt.Errorf("read %q %q: %w", key.PK, key.SK, err)
	}
	if len(out.Item) == 0 {
		return store.Item{}, store.ErrNotFound
	}
	it, err := decode(key.Table, out.Item)
	if err != nil {
		return store.Item{}, err
	}
	if it.Expired(s.cfg.Now()) {
		return store.Item{}, store.ErrNotFound
	}
	return it, nil
}

type attrs = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func keyAttrs(k store.Key) attrs {
	a := attrs{attrPK: text(k.PK)}
	if k.Table == store.Records {
		a[attrSK] = text(k.SK)
	}
	return a
}

// encode gives the attributes of an item as a Put stores them.
func encode(it store.Item) attrs {
	a := keyAttrs(it.Key)
	a[attrData] = text(string(it.Data))
	a[attrV] = number(it.Version)
	if !it.Expires.IsZero() {
		a[attrTTL] = number(it.Expires.Unix())
	}
	if it.Table == store.Domains && !it.Due.IsZero() {
		a[attrShard] = text(strconv.Itoa(store.Shard(it.PK)))
		a[attrDue] = number(it.Due.Unix())
	}
	return a
}

// decode validates what the table holds: somebody else may have written to it.
func decode(t store.Table, a attrs) (store.Item, error) {
	it := store.Item{Key: store.Key{Table: t}}
	var data string
	var due, expires int64
	for _, f := range []struct {
		name     string
		text     *string
		number   *int64
		optional bool
	}{
		{name: attrPK, text: &it.PK}, {name: attrSK, text: &it.SK, optional: t == store.Domains},
		{name: attrData, text: &data}, {name: attrV, number: &it.Version},
		{name: attrTTL, number: &expires, optional: true}, {name: attrDue, number: &due, optional: true},
	} {
		ok := false
		switch v := a[f.name].(type) {
		case nil:
			ok = f.optional
		case *types.AttributeValueMemberS:
			if ok = f.text != nil; ok {
				*f.text = v.Value
			}
		case *types.AttributeValueMemberN:
			if ok = f.number != nil; ok {
				n, err := strconv.ParseInt(v.Value, 10, 64)
				*f.number, ok = n, err == nil
			}
		}
		if !ok {
			return store.Item{}, fmt.Errorf("stored item of %q %q is damaged: attribute %s", it.PK, it.SK, f.name)
		}
	}
	it.Data = []byte(data)
	if a[attrTTL] != nil {
		it.Expires = time.Unix(expires, 0).UTC()
	}
	if a[attrDue] != nil && t == store.Domains {
		it.Due = time.Unix(due, 0).UTC()
	}
	return it, nil
}

// countAttempts notes in *n how often a call was sent. The SDK tells it only on success.
func countAttempts(n *int) func(*dynamodb.Options) {
	count := middleware.FinalizeMiddlewareFunc("CountAttempts", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		*n++
		return next.HandleFinalize(ctx, in)
	})
	return func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(count, "Retry", middleware.After)
		})
	}
}

// refusal tells whether err says that a condition failed, or that another transaction on the same items was
// under way; neither applied anything.
func refusal(err error) bool {
	var api smithy.APIError // by its name: the SDK has a type for it only where it expects it
	if errors.As(err, &api) && (api.ErrorCode() == "ConditionalCheckFailedException" || api.ErrorCode() == "TransactionConflictException") {
		return true
	}
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		return false
	}
	for _, r := range canceled.CancellationReasons {
		switch aws.ToString(r.Code) {
		case "ConditionalCheckFailed", "TransactionConflict":
			return true
		}
	}
	return false
}
