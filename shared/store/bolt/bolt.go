// Package bolt keeps the guard's state in one file (bbolt), for runs without AWS: the local host, the
// simulator, a small registry. It implements store.Store and passes the conformance suite storetest.
//
// Durability: the file is written without fsync. A kill -9 at any moment loses nothing that a Write
// returned for and leaves the file whole, because the operating system still holds the pages. A power cut
// or a kernel crash may lose or damage the file; keep a copy, or run on AWS, where that matters.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/lapseguard/lapseguard/shared/store"
)

// format is the version of the file's layout.
const format = 1

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = time.Second

// ErrInUse is returned by Open when another process has the file open.
var ErrInUse = errors.New("another lapseguard is running on this file")

// Options of Open.
type Options struct {
	// Now is the clock that items expire by; nil is time.Now.
	Now func() time.Time
}

// Store is an embedded store.Store. It is safe for concurrent use within one process; a second process is
// refused by Open.
type Store struct {
	db  *bbolt.DB
	now func() time.Time
}

var _ store.Store = (*Store)(nil)

// Open opens or creates the file at path. ErrInUse when another process has it open. The caller must Close it.
func Open(path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoSync: true, NoGrowSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w: stop it first, or name another file", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := db.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return &Store{db: db, now: o.Now}, nil
}

// prepare makes the buckets of a new file, and refuses a file of another layout.
func prepare(tx *bbolt.Tx) error {
	for _, name := range []string{bucketMeta, bucketDomains, bucketRecords, bucketDue, bucketExpiry} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	switch have := meta.Get([]byte("format")); {
	case have == nil:
		if err := meta.Put([]byte("format"), []byte{format}); err != nil {
			return fmt.Errorf("note the format: %w", err)
		}
		return nil
	case len(have) != 1 || have[0] != format:
		return fmt.Errorf("the file has format %v, this program knows %d: use the program that wrote it", have, format)
	default:
		return nil
	}
}

// Close lets go of the file, after the calls under way.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.db.Path(), err)
	}
	return nil
}

// DB is the open file, for others that keep buckets of their own in it (queue/local).
func (s *Store) DB() *bbolt.DB { return s.db }

// view runs fn in a read transaction unless ctx is over.
func (s *Store) view(ctx context.Context, what string, fn func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := s.db.View(fn); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Item, error) {
	var it store.Item
	if err := store.CheckKey(key); err != nil {
		return it, err
	}
	err := s.view(ctx, "read "+key.PK, func(tx *bbolt.Tx) (err error) {
		it, err = read(tx, key, s.now())
		return err
	})
	return it, err
}

// read gives the item, or store.ErrNotFound when there is none or it expired.
func read(tx *bbolt.Tx, key store.Key, now time.Time) (store.Item, error) {
	v := bucket(tx, key.Table).Get(itemKey(key))
	if v == nil {
		return store.Item{}, store.ErrNotFound
	}
	it, err := decode(key, v)
	if err != nil {
		return it, err
	}
	if it.Expired(now) {
		return store.Item{}, store.ErrNotFound
	}
	return it, nil
}

// GetMany implements store.Store. All items are of one moment.
func (s *Store) GetMany(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	keys, err := store.CheckKeys(keys)
	if err != nil {
		return nil, err
	}
	items := make([]store.Item, 0, len(keys))
	err = s.view(ctx, "read many", func(tx *bbolt.Tx) error {
		now := s.now()
		for _, key := range keys {
			it, err := read(tx, key, now)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			items = append(items, it)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// The layout. Keys order as the contract asks: SKs within a PK, times within a shard.
const (
	bucketMeta    = "store/meta"
	bucketDomains = "store/domains" // hash(2) name
	bucketRecords = "store/records" // len(PK)(2) PK SK
	bucketDue     = "store/due"     // shard(1) time(8) name
	bucketExpiry  = "store/expiry"  // time(8) table(1) item key
)

func bucket(tx *bbolt.Tx, t store.Table) *bbolt.Bucket {
	if t == store.Domains {
		return tx.Bucket([]byte(bucketDomains))
	}
	return tx.Bucket([]byte(bucketRecords))
}

// itemKey is the key within the table's bucket. The hash in front of a domain lets a Scan's segment be a
// range of keys.
func itemKey(k store.Key) []byte {
	if k.Table == store.Domains {
		return append(binary.BigEndian.AppendUint16(nil, hash16(k.PK)), k.PK...)
	}
	return append(recordPrefix(k.PK), k.SK...)
}

func recordPrefix(pk string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(pk))), pk...)
}

func dueKey(name string, sec int64) []byte {
	b := appendTime([]byte{byte(store.Shard(name))}, sec)
	return append(b, name...)
}

func expiryKey(k store.Key, sec int64) []byte {
	b := append(appendTime(nil, sec), byte(k.Table))
	return append(b, itemKey(k)...)
}

// appendTime appends Unix seconds so that bytes order as times do, those before 1970 too.
func appendTime(b []byte, sec int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(sec)^1<<63)
}

func readTime(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

// A stored value: flags(1) version(8) due(8) expires(8) data.
const (
	header     = 1 + 3*8
	flagDue    = 1
	flagExpire = 2
)

func encode(it store.Item) []byte {
	b := make([]byte, 1, header+len(it.Data))
	b = binary.BigEndian.AppendUint64(b, uint64(it.Version))
	for i, t := range []time.Time{it.Due, it.Expires} {
		sec := int64(0)
		if !t.IsZero() {
			b[0] |= flagDue << i
			sec = t.Unix()
		}
		b = appendTime(b, sec)
	}
	return append(b, it.Data...)
}

func decode(key store.Key, v []byte) (store.Item, error) {
	if len(v) < header {
		return store.Item{}, fmt.Errorf("stored item of %q %q is damaged: %d bytes", key.PK, key.SK, len(v))
	}
	it := store.Item{Key: key, Version: int64(binary.BigEndian.Uint64(v[1:]))}
	if v[0]&flagDue != 0 {
		it.Due = time.Unix(readTime(v[9:]), 0).UTC()
	}
	if v[0]&flagExpire != 0 {
		it.Expires = time.Unix(readTime(v[17:]), 0).UTC()
	}
	it.Data = append([]byte{}, v[header:]...) // v is only valid within the transaction
	return it, nil
}
