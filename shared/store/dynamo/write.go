package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/lapseguard/lapseguard/shared/store"
)

// Write implements store.Store: one change is a conditional put or delete, several are a transaction (which
// costs twice as much, and carries a token by which DynamoDB knows a repeated request).
func (s *Store) Write(ctx context.Context, writes ...store.Write) error {
	if err := store.CheckWrites(writes); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write %q: %w", writes[0].PK, err)
	}
	var err error
	switch {
	case len(writes) > 1:
		err = s.transact(ctx, writes)
	case writes[0].Delete:
		err = s.delete(ctx, writes[0])
	default:
		err = s.put(ctx, writes[0])
	}
	if refusal(err) {
		return fmt.Errorf("%w: %q %q (%d writes)", store.ErrConflict, writes[0].PK, writes[0].SK, len(writes))
	}
	if err != nil {
		return fmt.Errorf("write %q %q (%d writes): %w", writes[0].PK, writes[0].SK, len(writes), err)
	}
	return nil
}

// WriteEach implements store.Store, a bounded number of groups at a time.
func (s *Store) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	errs := make([]error, len(groups))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(writers, len(groups)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = s.Write(ctx, groups[i]...)
			}
		})
	}
	for i := range groups {
		next <- i
	}
	close(next)
	wg.Wait()
	return errs
}

// condition is what must hold for a write, in DynamoDB's terms. An expired item that DynamoDB did not
// remove yet counts as absent.
type condition struct {
	expression *string
	names      map[string]string
	values     attrs
}

func (s *Store) condition(w store.Write) condition {
	now := number(s.cfg.Now().Unix())
	switch {
	case w.Any:
		return condition{}
	case w.Version == 0:
		return condition{
			aws.String("attribute_not_exists(#pk) OR #ttl <= :now"),
			map[string]string{"#pk": attrPK, "#ttl": attrTTL}, attrs{":now": now},
		}
	default:
		return condition{
			aws.String("#v = :v AND (attribute_not_exists(#ttl) OR #ttl > :now)"),
			map[string]string{"#v": attrV, "#ttl": attrTTL}, attrs{":v": number(w.Version), ":now": now},
		}
	}
}

func newItem(w store.Write) attrs {
	it := w.Item
	it.Version++
	return encode(it)
}

// put writes one item. When the answer to an attempt got lost, the SDK's next attempt meets the item that the
// first one stored: that is success, not a conflict. (Should another writer have replaced the item in between,
// the conflict stands.)
func (s *Store) put(ctx context.Context, w store.Write) error {
	item, c, attempts := newItem(w), s.condition(w), 0
	err := s.patiently(ctx, func() error {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: s.table(w.Table), Item: item,
			ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, countAttempts(&attempts))
		return err
	})
	var failed *types.ConditionalCheckFailedException
	if attempts > 1 && errors.As(err, &failed) && maps.EqualFunc(failed.Item, item, sameValue) {
		return nil
	}
	return err
}

func sameValue(a, b types.AttributeValue) bool { return reflect.DeepEqual(a, b) }

// delete removes one item. When the answer to an attempt got lost and the item is gone at the next attempt,
// the first one removed it.
func (s *Store) delete(ctx context.Context, w store.Write) error {
	c, attempts := s.condition(w), 0
	err := s.patiently(ctx, func() error {
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: s.table(w.Table), Key: keyAttrs(w.Key),
			ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, countAttempts(&attempts))
		return err
	})
	var failed *types.ConditionalCheckFailedException
	if attempts > 1 && errors.As(err, &failed) && len(failed.Item) == 0 {
		return nil
	}
	return err
}

func (s *Store) transact(ctx context.Context, writes []store.Write) error {
	items := make([]types.TransactWriteItem, len(writes))
	for i, w := range writes {
		c := s.condition(w)
		if w.Delete {
			items[i].Delete = &types.Delete{
				TableName: s.table(w.Table), Key: keyAttrs(w.Key),
				ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			}
			continue
		}
		items[i].Put = &types.Put{
			TableName: s.table(w.Table), Item: newItem(w),
			ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}
	}
	token := rand.Text() // the same each time: an attempt may have been done although its answer was lost
	return s.patiently(ctx, func() error {
		_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: &token})
		return err
	})
}
