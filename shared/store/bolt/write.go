package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/shared/store"
)

// maxForget is how many expired items one transaction removes: the work of forgetting is spread over the
// writes that come anyway, faster than they can add.
const maxForget = 64

// Write implements store.Store.
func (s *Store) Write(ctx context.Context, writes ...store.Write) error {
	return s.WriteEach(ctx, [][]store.Write{writes})[0]
}

// WriteEach implements store.Store: all groups in one transaction of the file, each with its own conditions.
func (s *Store) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	errs := make([]error, len(groups))
	if len(groups) == 0 {
		return errs
	}
	err := ctx.Err()
	if err == nil {
		err = s.db.Update(func(tx *bbolt.Tx) error {
			now := s.now()
			for i, group := range groups {
				if err := ctx.Err(); err != nil {
					return err
				}
				var fatal error
				if errs[i], fatal = writeGroup(tx, group, now); fatal != nil {
					return fatal
				}
			}
			return forget(tx, now)
		})
	}
	if err != nil { // nothing was applied, of no group; what could never succeed is still said as such
		for i, e := range errs {
			if !errors.Is(e, store.ErrInvalid) {
				errs[i] = fmt.Errorf("write: %w", err)
			}
		}
	}
	return errs
}

// writeGroup applies a group or, when a condition fails, nothing of it. fatal ends the transaction.
func writeGroup(tx *bbolt.Tx, writes []store.Write, now time.Time) (refused, fatal error) {
	if err := store.CheckWrites(writes); err != nil {
		return err, nil
	}
	before := make([]*store.Item, len(writes))
	for i, w := range writes {
		old, err := stored(tx, w.Key)
		if err != nil {
			return nil, err
		}
		before[i] = old
		version := int64(0)
		if old != nil && !old.Expired(now) {
			version = old.Version
		}
		if !w.Any && version != w.Version {
			return fmt.Errorf("%w: %q %q has version %d, not %d", store.ErrConflict, w.PK, w.SK, version, w.Version), nil
		}
	}
	for i, w := range writes {
		if err := apply(tx, w, before[i]); err != nil {
			return nil, fmt.Errorf("write %q %q: %w", w.PK, w.SK, err)
		}
	}
	return nil, nil
}

// stored is what the file holds, expired or not; nil when it holds nothing.
func stored(tx *bbolt.Tx, key store.Key) (*store.Item, error) {
	v := bucket(tx, key.Table).Get(itemKey(key))
	if v == nil {
		return nil, nil
	}
	it, err := decode(key, v)
	return &it, err
}

// apply changes the item and its entries in both indexes.
func apply(tx *bbolt.Tx, w store.Write, old *store.Item) error {
	if old != nil {
		if err := unindex(tx, *old); err != nil {
			return err
		}
	}
	if w.Delete {
		return bucket(tx, w.Table).Delete(itemKey(w.Key))
	}
	it := w.Item
	it.Version++
	if it.Table != store.Domains {
		it.Due = time.Time{}
	}
	if err := bucket(tx, it.Table).Put(itemKey(it.Key), encode(it)); err != nil {
		return err
	}
	return index(tx, it)
}

func index(tx *bbolt.Tx, it store.Item) error {
	if !it.Due.IsZero() {
		if err := tx.Bucket([]byte(bucketDue)).Put(dueKey(it.PK, it.Due.Unix()), nil); err != nil {
			return err
		}
	}
	if !it.Expires.IsZero() {
		return tx.Bucket([]byte(bucketExpiry)).Put(expiryKey(it.Key, it.Expires.Unix()), nil)
	}
	return nil
}

func unindex(tx *bbolt.Tx, it store.Item) error {
	if !it.Due.IsZero() {
		if err := tx.Bucket([]byte(bucketDue)).Delete(dueKey(it.PK, it.Due.Unix())); err != nil {
			return err
		}
	}
	if !it.Expires.IsZero() {
		return tx.Bucket([]byte(bucketExpiry)).Delete(expiryKey(it.Key, it.Expires.Unix()))
	}
	return nil
}

// forget removes up to maxForget expired items, oldest first.
func forget(tx *bbolt.Tx, now time.Time) error {
	c := tx.Bucket([]byte(bucketExpiry)).Cursor()
	var due [][]byte
	for k, _ := c.First(); k != nil && readTime(k) <= now.Unix() && len(due) < maxForget; k, _ = c.Next() {
		due = append(due, bytes.Clone(k))
	}
	for _, k := range due {
		key := keyOf(store.Table(k[8]), k[9:])
		old, err := stored(tx, key)
		if err != nil {
			return err
		}
		if old == nil {
			return fmt.Errorf("the file is damaged: %q %q expires and does not exist", key.PK, key.SK)
		}
		if err := apply(tx, store.Write{Item: store.Item{Key: key}, Delete: true}, old); err != nil {
			return fmt.Errorf("forget %q %q: %w", key.PK, key.SK, err)
		}
	}
	return nil
}

// keyOf is the inverse of itemKey.
func keyOf(t store.Table, k []byte) store.Key {
	if t == store.Domains {
		return store.Key{Table: t, PK: string(k[2:])}
	}
	n := int(k[0])<<8 | int(k[1])
	return store.Key{Table: t, PK: string(k[2 : 2+n]), SK: string(k[2+n:])}
}
