package checker

import (
	"context"
	"errors"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// errRead: the table could not be read.
var errRead = errors.New("the table could not be read")

// subjects are a message's domains as they are stored. Each is decoded once, and read, once too, only where the message
// carries nothing of it. It belongs to one message and is not safe for concurrent use.
type subjects struct {
	store   store.Store
	entries []queue.Entry
	known   []subject
}

type subject struct {
	asked bool
	d     records.Domain
	err   error
}

func newSubjects(s store.Store, entries []queue.Entry) *subjects {
	return &subjects{store: s, entries: entries, known: make([]subject, len(entries))}
}

// domain is the stored domain at a place of the message. store.ErrNotFound: it left the table since the message was
// sent; errRead: the table's failure, not the domain's.
func (s *subjects) domain(ctx context.Context, place int) (records.Domain, error) {
	k := &s.known[place]
	if !k.asked {
		k.asked = true
		k.d, k.err = s.read(ctx, s.entries[place])
	}
	return k.d, k.err
}

func (s *subjects) read(ctx context.Context, e queue.Entry) (records.Domain, error) {
	if len(e.Item) > 0 {
		return records.ParseDomain(store.Item{Key: records.DomainKey(e.Name), Data: e.Item, Version: e.Version})
	}
	it, err := s.store.Get(ctx, records.DomainKey(e.Name))
	if errors.Is(err, store.ErrNotFound) {
		return records.Domain{}, err
	}
	if err != nil {
		return records.Domain{}, fmt.Errorf("%w: %s: %w", errRead, e.Name, err)
	}
	return records.ParseDomain(it)
}
