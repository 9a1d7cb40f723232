package main

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// counted counts what a store is asked for, in items: what DynamoDB charges for.
type counted struct {
	store.Store
	reads, writes, scanned, history atomic.Int64
}

// wrote counts writes, and those of history entries among them.
func (c *counted) wrote(writes []store.Write) {
	c.writes.Add(int64(len(writes)))
	for _, w := range writes {
		if strings.HasPrefix(w.Item.PK, records.HistoryPK("")) {
			c.history.Add(1)
		}
	}
}

func (c *counted) Get(ctx context.Context, key store.Key) (store.Item, error) {
	c.reads.Add(1)
	return c.Store.Get(ctx, key) //nolint:wrapcheck // counted, not changed
}

func (c *counted) GetMany(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	c.reads.Add(int64(len(keys)))
	return c.Store.GetMany(ctx, keys) //nolint:wrapcheck // counted, not changed
}

func (c *counted) Write(ctx context.Context, writes ...store.Write) error {
	c.wrote(writes)
	return c.Store.Write(ctx, writes...) //nolint:wrapcheck // counted, not changed
}

func (c *counted) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	for _, g := range groups {
		c.wrote(g)
	}
	return c.Store.WriteEach(ctx, groups)
}

func (c *counted) Query(ctx context.Context, q store.Query) ([]store.Item, bool, error) {
	items, more, err := c.Store.Query(ctx, q)
	c.reads.Add(max(1, int64(len(items))))
	return items, more, err //nolint:wrapcheck // counted, not changed
}

func (c *counted) Scan(ctx context.Context, segment, segments int, cursor string, limit int) ([]store.Item, string, error) {
	items, next, err := c.Store.Scan(ctx, segment, segments, cursor, limit)
	c.scanned.Add(int64(len(items)))
	return items, next, err //nolint:wrapcheck // counted, not changed
}

func (c *counted) Due(ctx context.Context, shard int, until time.Time, cursor string, limit int) ([]string, string, error) {
	names, next, err := c.Store.Due(ctx, shard, until, cursor, limit)
	c.reads.Add(max(1, int64(len(names))))
	return names, next, err //nolint:wrapcheck // counted, not changed
}
