package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// load reads a record of PK/SK into v and returns the item to write back with.
func load(ctx context.Context, s store.Store, pk, sk string, v any) (store.Item, error) {
	key := store.Key{Table: store.Records, PK: pk, SK: sk}
	it, err := s.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Item{Key: key}, err
	}
	if err != nil {
		return it, fmt.Errorf("read %s %s: %w", pk, sk, err)
	}
	if err := json.Unmarshal(it.Data, v); err != nil {
		return it, fmt.Errorf("read %s %s: %w", pk, sk, err)
	}
	return it, nil
}

// save is the write of v in the place of it, on its version.
func save(it store.Item, v any) store.Write {
	w := records.Record(it.PK, it.SK, v, it.Expires)
	w.Any, w.Version = false, it.Version
	return w
}

// getDomain reads a domain's item; ErrNotFound when it is not watched.
func getDomain(ctx context.Context, s store.Store, name string) (records.Domain, error) {
	d, err := records.In(s).Domain(ctx, name)
	if err == nil && !d.Known() {
		err = fmt.Errorf("read %s: %w", name, store.ErrNotFound)
	}
	return d, err
}
