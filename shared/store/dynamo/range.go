package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/lapseguard/lapseguard/shared/store"
)

// GetMany implements store.Store, in batches of 100, some at a time.
func (s *Store) GetMany(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	keys, err := store.CheckKeys(keys)
	if err != nil {
		return nil, err
	}
	parts := make([][]store.Item, (len(keys)+batchGet-1)/batchGet)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i := range parts {
		batch := keys[i*batchGet : min((i+1)*batchGet, len(keys))]
		g.Go(func() (err error) {
			parts[i], err = s.getBatch(ctx, batch)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read %d items: %w", len(keys), err)
	}
	items := make([]store.Item, 0, len(keys))
	for _, p := range parts {
		items = append(items, p...)
	}
	return items, nil
}

// getBatch asks until every key is answered; ctx ends it.
func (s *Store) getBatch(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	request := map[string]types.KeysAndAttributes{}
	for _, k := range keys {
		table := *s.table(k.Table)
		r := request[table]
		r.ConsistentRead = aws.Bool(true)
		r.Keys = append(r.Keys, keyAttrs(k))
		request[table] = r
	}
	var items []store.Item
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		out, err := s.batchGetItem(ctx, request)
		if err != nil {
			return nil, err
		}
		now := s.cfg.Now()
		for _, t := range []store.Table{store.Domains, store.Records} {
			for _, a := range out.Responses[*s.table(t)] {
				it, err := decode(t, a)
				if err != nil {
					return nil, err
				}
				if !it.Expired(now) {
					items = append(items, it)
				}
			}
		}
		if request = out.UnprocessedKeys; len(request) == 0 {
			return items, nil
		}
		if err := s.cfg.Wait(ctx, jitter(wait)); err != nil {
			return nil, err
		}
	}
}

func (s *Store) batchGetItem(ctx context.Context, request map[string]types.KeysAndAttributes) (*dynamodb.BatchGetItemOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var out *dynamodb.BatchGetItemOutput
	err := s.patiently(ctx, func() (err error) {
		out, err = s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: request})
		return err
	})
	return out, err
}

// Query implements store.Store.
func (s *Store) Query(ctx context.Context, q store.Query) (items []store.Item, more bool, err error) {
	if err := store.CheckQuery(q); err != nil {
		return nil, false, err
	}
	if q.Before != "" && q.After >= q.Before {
		return nil, false, nil
	}
	in := s.queryInput(q)
	for {
		// One more than asked for tells whether items remain. Expired ones and bounds are left out, and so
		// may take another page.
		in.Limit = aws.Int32(int32(q.Limit + 1 - len(items)))
		out, err := s.query(ctx, in)
		if err != nil {
			return nil, false, fmt.Errorf("query %q: %w", q.PK, err)
		}
		now := s.cfg.Now()
		for _, a := range out.Items {
			it, err := decode(store.Records, a)
			if err != nil {
				return nil, false, err
			}
			if it.Expired(now) || it.SK == q.After || it.SK == q.Before {
				continue
			}
			if len(items) == q.Limit {
				return items, true, nil
			}
			items = append(items, it)
		}
		if len(out.LastEvaluatedKey) == 0 {
			return items, false, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// queryInput states the bounds. DynamoDB takes one condition on the sort key, and of those with two bounds
// only an inclusive one.
func (s *Store) queryInput(q store.Query) *dynamodb.QueryInput {
	expression := "#pk = :pk"
	names := map[string]string{"#pk": attrPK}
	values := attrs{":pk": text(q.PK)}
	if q.After != "" {
		values[":after"] = text(q.After)
	}
	if q.Before != "" {
		values[":before"] = text(q.Before)
	}
	if len(values) > 1 {
		names["#sk"] = attrSK
	}
	switch {
	case q.After != "" && q.Before != "":
		expression += " AND #sk BETWEEN :after AND :before"
	case q.After != "":
		expression += " AND #sk > :after"
	case q.Before != "":
		expression += " AND #sk < :before"
	}
	return &dynamodb.QueryInput{
		TableName: &s.cfg.RecordsTable, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(!q.Newest),
		KeyConditionExpression: &expression, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}
}

func (s *Store) query(ctx context.Context, in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var out *dynamodb.QueryOutput
	err := s.patiently(ctx, func() (err error) {
		out, err = s.client.Query(ctx, in)
		return err
	})
	return out, err
}

// Scan implements store.Store. The cursor is the last name that DynamoDB evaluated.
func (s *Store) Scan(ctx context.Context, segment, segments int, cursor string, limit int) (items []store.Item, next string, err error) {
	if err := store.CheckScan(segment, segments, cursor, limit); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &dynamodb.ScanInput{
		TableName: &s.cfg.DomainsTable, Limit: aws.Int32(int32(limit)),
		Segment: aws.Int32(int32(segment)), TotalSegments: aws.Int32(int32(segments)),
	}
	if cursor != "" {
		in.ExclusiveStartKey = attrs{attrPK: text(cursor)}
	}
	var out *dynamodb.ScanOutput
	err = s.patiently(ctx, func() (err error) {
		out, err = s.client.Scan(ctx, in)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("scan segment %d of %d: %w", segment, segments, err)
	}
	now := s.cfg.Now()
	for _, a := range out.Items {
		it, err := decode(store.Domains, a)
		if err != nil {
			return nil, "", err
		}
		if !it.Expired(now) {
			items = append(items, it)
		}
	}
	if len(out.LastEvaluatedKey) == 0 {
		return items, "", nil
	}
	pk, ok := out.LastEvaluatedKey[attrPK].(*types.AttributeValueMemberS)
	if !ok || pk.Value == "" {
		return nil, "", fmt.Errorf("scan segment %d of %d: the answer's last key has no %s", segment, segments, attrPK)
	}
	return items, pk.Value, nil
}

// Due implements store.Store. The index is eventually consistent.
func (s *Store) Due(ctx context.Context, shard int, until time.Time, cursor string, limit int) (names []string, next string, err error) {
	sec, name, err := store.CheckDue(shard, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	in := &dynamodb.QueryInput{
		TableName: &s.cfg.DomainsTable, IndexName: &s.cfg.IndexName, Limit: aws.Int32(int32(limit)),
		KeyConditionExpression:    aws.String("#ps = :ps AND #pd <= :until"),
		ExpressionAttributeNames:  map[string]string{"#ps": attrShard, "#pd": attrDue},
		ExpressionAttributeValues: attrs{":ps": text(strconv.Itoa(shard)), ":until": number(until.Unix())},
	}
	if name != "" {
		in.ExclusiveStartKey = attrs{attrPK: text(name), attrShard: text(strconv.Itoa(shard)), attrDue: number(sec)}
	}
	out, err := s.query(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("list due items of shard %d: %w", shard, err)
	}
	for _, a := range out.Items {
		pk, ok := a[attrPK].(*types.AttributeValueMemberS)
		if !ok {
			return nil, "", fmt.Errorf("list due items of shard %d: an entry has no %s", shard, attrPK)
		}
		names = append(names, pk.Value)
	}
	if len(out.LastEvaluatedKey) == 0 {
		return names, "", nil
	}
	next, err = dueCursor(out.LastEvaluatedKey)
	if err != nil {
		return nil, "", fmt.Errorf("list due items of shard %d: %w", shard, err)
	}
	return names, next, nil
}

func dueCursor(last attrs) (string, error) {
	pk, ok := last[attrPK].(*types.AttributeValueMemberS)
	pd, numeric := last[attrDue].(*types.AttributeValueMemberN)
	if !ok || !numeric {
		return "", fmt.Errorf("the answer's last key %v is incomplete", last)
	}
	sec, err := strconv.ParseInt(pd.Value, 10, 64)
	if err != nil {
		return "", fmt.Errorf("the answer's last key: %w", err)
	}
	return store.DueCursor(sec, pk.Value), nil
}
