// Package store is a key-value contract (Store) with two implementations (DynamoDB, and an embedded file with bbolt) and
// one conformance suite that both pass (storetest). What the records are is shared/records' concern.
package store

import (
	"context"
	"errors"
	"time"
)

// Table is one of the two tables.
type Table uint8

const (
	// Domains holds one small item per watched domain; it is the only table that is scanned.
	Domains Table = iota
	// Records holds everything else: hosts, history, runs, holds, parked messages, leases.
	Records
)

// Key names an item. Domains items have no SK; Records items always have one.
type Key struct {
	Table  Table
	PK, SK string
}

// Item is one stored item. Version makes every write conditional on what was read: 0 means "must not
// exist yet". An Item returned by a read carries the version to write back with.
type Item struct {
	Key
	Data    []byte // one JSON object, at most MaxData bytes
	Version int64
	// Due puts a Domains item into the index of items that need attention, at second granularity;
	// zero keeps it out (the index is sparse). Records ignore it.
	Due time.Time
	// Expires lets the store forget the item some time after; reads never return an expired item.
	// Second granularity, rounded down. Zero: never.
	Expires time.Time
}

// Write is one conditional change: Put (stored afterwards with Version+1) or Delete.
type Write struct {
	Item
	Delete bool
	// Any drops the condition: last writer wins. For Records only, and for keys that are always written
	// so: it stores Version+1 of this Write, not of what was there.
	Any bool
}

// Errors of a Store. Everything else is a failure of the store itself and may be retried.
var (
	// ErrNotFound: there is no such item (or it expired).
	ErrNotFound = errors.New("store: no such item")
	// ErrConflict: an item's version is not the one written with; nothing of that Write call was applied.
	ErrConflict = errors.New("store: item was changed by another writer")
	// ErrInvalid: the call breaks a stated limit (size, key, number of writes); it never succeeds.
	ErrInvalid = errors.New("store: invalid request")
)

// Store is the contract. All implementations are safe for concurrent use, never retry a conflict, and
// respect the context's deadline.
type Store interface {
	// Get reads one item, strongly consistent: it sees every Write that returned before. ErrNotFound if absent.
	Get(ctx context.Context, key Key) (Item, error)
	// GetMany reads up to MaxGetMany items, strongly consistent each, in no order; absent ones are left out.
	GetMany(ctx context.Context, keys []Key) ([]Item, error)
	// Write applies 1 to MaxWrites changes on distinct keys: all or none. ErrConflict if any condition fails.
	// After another error the outcome is unknown: read before trying again.
	Write(ctx context.Context, writes ...Write) error
	// WriteEach applies independent groups, each as Write would, and returns one error (or nil) per group.
	WriteEach(ctx context.Context, groups [][]Write) []error
	// Query returns the Records items of one PK with after < SK (and SK < before, unless before is empty)
	// ascending by SK (descending with newest), at most limit. Strongly consistent. more tells whether items remain.
	Query(ctx context.Context, q Query) (items []Item, more bool, err error)
	// Scan returns a page of the Domains table's segment (0 <= segment < segments); next is empty at the
	// end; a page may be short, or empty, before the end. Eventually consistent; every item that exists throughout the scan is returned at least once.
	Scan(ctx context.Context, segment, segments int, cursor string, limit int) (items []Item, next string, err error)
	// Due returns names of Domains items of a shard (0 <= shard < Shards) whose Due is at or before until,
	// earliest first. It is an index, only a hint: it may lag; read the item before acting.
	Due(ctx context.Context, shard int, until time.Time, cursor string, limit int) (names []string, next string, err error)
}

// Query asks for a range of one PK in Records.
type Query struct {
	PK            string
	After, Before string // exclusive bounds of SK; empty: open
	Newest        bool   // descending by SK
	Limit         int
}
