// Package records are the guard's records, typed, on a key-value store (shared/store). Who reads one that is absent
// gets its zero value: what was never written was never decided, counted or seen.
package records

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/lapseguard/lapseguard/shared/store"
)

// page is how many records are read at once.
const page = 1000

// Book is the records of one store.
type Book struct{ store.Store }

// In gives the records of a store.
func In(s store.Store) Book { return Book{s} }

// Of is a record as it was read, with what it takes to write it back.
type Of[T any] struct {
	V    T
	item store.Item
}

// Found tells whether there is such a record.
func (r Of[T]) Found() bool { return r.item.Version != 0 }

// SK is the record's sort key: its name within its kind.
func (r Of[T]) SK() string { return r.item.SK }

// Put stores the record on the condition that nobody changed it since it was read.
func (r Of[T]) Put() store.Write {
	r.item.Data = mustJSON(r.V)
	return store.Write{Item: r.item}
}

// Stored is the record as it is after its Put succeeded.
func (r Of[T]) Stored() Of[T] { r.item.Version++; return r }

// Until is the record with the time at which it may be forgotten; the zero time: never.
func (r Of[T]) Until(expires time.Time) Of[T] { r.item.Expires = expires; return r }

// Delete removes the record on the same condition as Put.
func (r Of[T]) Delete() store.Write { return store.Write{Item: r.item, Delete: true} }

// decode reads an item into a record.
func decode[T any](it store.Item) (Of[T], error) {
	r := Of[T]{item: it}
	if err := json.Unmarshal(it.Data, &r.V); err != nil {
		return r, fmt.Errorf("read %s %s: %w", it.PK, it.SK, err)
	}
	return r, nil
}

// get reads a record; absent, it is the zero value, and its Put creates it.
func get[T any](ctx context.Context, b Book, pk, sk string) (Of[T], error) {
	key := store.Key{Table: store.Records, PK: pk, SK: sk}
	it, err := b.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return Of[T]{item: store.Item{Key: key}}, nil
	}
	if err != nil {
		return Of[T]{}, fmt.Errorf("read %s %s: %w", pk, sk, err)
	}
	return decode[T](it)
}

// many reads those of the records that are there, in no order.
func many[T any](ctx context.Context, b Book, keys []store.Key) ([]Of[T], error) {
	if len(keys) == 0 {
		return nil, nil
	}
	items, err := b.GetMany(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read %d of %s: %w", len(keys), keys[0].PK, err)
	}
	records := make([]Of[T], len(items))
	for i, it := range items {
		if records[i], err = decode[T](it); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Items walks what a query asks for, a page at a time, from its first to its last. An error ends it.
func (b Book) Items(ctx context.Context, q store.Query) iter.Seq2[store.Item, error] {
	if q.Limit == 0 {
		q.Limit = page
	}
	return func(yield func(store.Item, error) bool) {
		for more := true; more; {
			var items []store.Item
			var err error
			if items, more, err = b.Query(ctx, q); err != nil {
				yield(store.Item{}, fmt.Errorf("read %s after %q: %w", q.PK, q.After, err))
				return
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
				if q.Newest {
					q.Before = it.SK
				} else {
					q.After = it.SK
				}
			}
		}
	}
}

// all walks the records of a kind that a query asks for.
func all[T any](ctx context.Context, b Book, q store.Query) iter.Seq2[Of[T], error] {
	return func(yield func(Of[T], error) bool) {
		for it, err := range b.Items(ctx, q) {
			var r Of[T]
			if err == nil {
				r, err = decode[T](it)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// tries bounds the repetitions of a change that meets another writer.
const tries = 5

// Update reads a domain, has it changed, and writes it with what else change wants written; met by another writer it
// does so again. A domain that is absent is given as it would be created (Known says which). Without writes, and
// wanted, nothing is written.
func (b Book) Update(ctx context.Context, name string, change func(d *Domain) (more []store.Write, wanted bool, err error)) (Domain, error) {
	for range tries {
		d, err := b.Domain(ctx, name)
		if err != nil {
			return d, err
		}
		more, wanted, err := change(&d)
		if err != nil || !wanted {
			return d, err
		}
		switch err := b.Write(ctx, append([]store.Write{d.Put()}, more...)...); {
		case err == nil:
			return d.Stored(), nil
		case !errors.Is(err, store.ErrConflict):
			return d, fmt.Errorf("store %s: %w", name, err)
		}
	}
	return Domain{}, fmt.Errorf("store %s: %w", name, store.ErrConflict)
}

// Record is an unconditional write of v: the last writer wins.
func Record(pk, sk string, v any, expires time.Time) store.Write {
	return store.Write{Any: true, Item: store.Item{Key: store.Key{Table: store.Records, PK: pk, SK: sk}, Data: mustJSON(v), Expires: expires}}
}

// Forget is the write that removes a record, whatever its version, there or not.
func Forget(pk, sk string) store.Write {
	return store.Write{Any: true, Delete: true, Item: store.Item{Key: store.Key{Table: store.Records, PK: pk, SK: sk}}}
}

// mustJSON encodes our own structs of plain fields, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}
