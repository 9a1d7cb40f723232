package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/fnv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/shared/store"
)

// Query implements store.Store.
func (s *Store) Query(ctx context.Context, q store.Query) (items []store.Item, more bool, err error) {
	if err := store.CheckQuery(q); err != nil {
		return nil, false, err
	}
	err = s.view(ctx, "query "+q.PK, func(tx *bbolt.Tx) error {
		now := s.now()
		prefix := recordPrefix(q.PK)
		for k, v := range span(tx.Bucket([]byte(bucketRecords)).Cursor(), prefix, q) {
			it, err := decode(store.Key{Table: store.Records, PK: q.PK, SK: string(k[len(prefix):])}, v)
			if err != nil {
				return err
			}
			if it.Expired(now) {
				continue
			}
			if more = len(items) == q.Limit; more {
				return nil
			}
			items = append(items, it)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, false, err
	}
	return items, more, nil
}

// span walks the keys with prefix within the query's bounds, in the query's direction.
func span(c *bbolt.Cursor, prefix []byte, q store.Query) func(yield func(k, v []byte) bool) {
	inside := func(k []byte) bool {
		sk, ok := bytes.CutPrefix(k, prefix)
		return k != nil && ok && string(sk) > q.After && (q.Before == "" || string(sk) < q.Before)
	}
	if q.Newest {
		return func(yield func(k, v []byte) bool) {
			for k, v := seekBelow(c, prefix, q.Before); inside(k) && yield(k, v); k, v = c.Prev() {
			}
		}
	}
	// No SK is empty, and a NUL is the least byte: this is the first key above After.
	start := append(append([]byte{}, prefix...), q.After...)
	if q.After != "" {
		start = append(start, 0)
	}
	return func(yield func(k, v []byte) bool) {
		for k, v := c.Seek(start); inside(k) && yield(k, v); k, v = c.Next() {
		}
	}
}

// seekBelow goes to the last key with prefix whose rest is below before (any, where that is empty).
func seekBelow(c *bbolt.Cursor, prefix []byte, before string) (k, v []byte) {
	end := append(append([]byte{}, prefix...), before...)
	if before == "" {
		end = append(end, 0xff) // above every UTF-8 text
	}
	if k, _ = c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// Scan implements store.Store. A segment is a range of the hash in front of the keys, so that its reader
// touches no other segment's pages. The cursor is the last name of a page.
func (s *Store) Scan(ctx context.Context, segment, segments int, cursor string, limit int) (items []store.Item, next string, err error) {
	if err := store.CheckScan(segment, segments, cursor, limit); err != nil {
		return nil, "", err
	}
	start := binary.BigEndian.AppendUint16(nil, uint16(segment*hashes/segments))
	end := (segment + 1) * hashes / segments
	if cursor != "" {
		start = append(itemKey(store.Key{Table: store.Domains, PK: cursor}), 0)
	}
	err = s.view(ctx, "scan", func(tx *bbolt.Tx) error {
		now := s.now()
		c := tx.Bucket([]byte(bucketDomains)).Cursor()
		for k, v := c.Seek(start); k != nil && int(binary.BigEndian.Uint16(k)) < end; k, v = c.Next() {
			it, err := decode(keyOf(store.Domains, k), v)
			if err != nil {
				return err
			}
			if it.Expired(now) {
				continue
			}
			if len(items) == limit {
				next = items[limit-1].PK
				return nil
			}
			items = append(items, it)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, "", err
	}
	return items, next, nil
}

// hashes is the number of values that hash16 could have. It has 256 of them: names come in ascending order from
// the registry's list, and then find their place on few pages, however large the table is.
const hashes = 1 << 16

func hash16(name string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	sum := h.Sum32()
	return (uint16(sum>>16) ^ uint16(sum)) &^ 0xff
}

// Due implements store.Store. Here the index never lags.
func (s *Store) Due(ctx context.Context, shard int, until time.Time, cursor string, limit int) (names []string, next string, err error) {
	sec, name, err := store.CheckDue(shard, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	prefix := []byte{byte(shard)}
	start := prefix
	if name != "" {
		start = append(append(appendTime(prefix, sec), name...), 0)
	}
	err = s.view(ctx, "list due items", func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketDue)).Cursor()
		var last int64
		for k, _ := c.Seek(start); bytes.HasPrefix(k, prefix) && readTime(k[1:]) <= until.Unix(); k, _ = c.Next() {
			if len(names) == limit {
				next = store.DueCursor(last, names[limit-1])
				return nil
			}
			last = readTime(k[1:])
			names = append(names, string(k[9:]))
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, "", err
	}
	return names, next, nil
}
