package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/store"
)

const casePrefix = "decision/"

// What decides lies in keys that checker, which parses what the whole internet sends, cannot write (template.yaml).
func caseKey(name string) store.Key {
	return store.Key{Table: store.Records, PK: casePrefix + name, SK: string(decision.Unverify)}
}

// Matter is a domain with what was decided about it, and what the registry is known to hold to.
type Matter struct {
	Domain   Domain
	Case     Of[decision.Case]
	Recovery Of[Recovery]
}

// Matter reads a domain and its case; a domain that is not watched is not Known.
func (b Book) Matter(ctx context.Context, name string) (Matter, error) {
	found, err := b.Matters(ctx, []string{name})
	if err != nil {
		return Matter{}, err
	}
	if m, ok := found[name]; ok {
		return m, nil
	}
	recovery, err := b.Recovery(ctx, name)
	return Matter{Domain: NewDomain(name, 0), Recovery: recovery}, err
}

// Matters reads those of the domains that are stored, with their cases, by name: in one batch. With a Newer come those
// of which all can be read.
func (b Book) Matters(ctx context.Context, names []string) (map[string]Matter, error) {
	found := make(map[string]Matter, len(names))
	if len(names) == 0 {
		return found, nil
	}
	keys := make([]store.Key, 0, 3*len(names))
	for _, name := range names {
		keys = append(keys, DomainKey(name), caseKey(name), recoveryKey(name))
	}
	items, err := b.GetMany(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read %d domains and what was decided about them: %w", len(names), err)
	}
	var skipped Newer
	stored := make(map[store.Key]store.Item, len(items))
	for _, it := range items {
		stored[it.Key] = it
	}
	for _, name := range names {
		it, ok := stored[DomainKey(name)]
		if !ok {
			continue
		}
		m, err := matter(it, stored)
		if n := (*Newer)(nil); errors.As(err, &n) {
			skipped.Names = append(skipped.Names, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		found[name] = m
	}
	if len(skipped.Names) > 0 {
		return found, &skipped
	}
	return found, nil
}

// matter puts together what is stored about one domain.
func matter(domain store.Item, stored map[store.Key]store.Item) (m Matter, err error) {
	if m.Domain, err = ParseDomain(domain); err != nil {
		return m, err
	}
	name := m.Domain.Name
	if m.Case, err = part[decision.Case](stored, caseKey(name)); err != nil {
		return m, err
	}
	if m.Case.V.Schema > decision.Schema {
		return m, &Newer{Names: []string{name}}
	}
	if !m.Case.Found() {
		m.Case.V = adopted(m.Domain)
	}
	m.Recovery, err = part[Recovery](stored, recoveryKey(name))
	return m, err
}

// part is one record of what is stored; absent, it is the zero value, and its Put creates it.
func part[T any](stored map[store.Key]store.Item, key store.Key) (Of[T], error) {
	it, ok := stored[key]
	if !ok {
		return Of[T]{item: store.Item{Key: key}}, nil
	}
	r, err := decode[T](it)
	if err != nil && newer(it.Data, decision.Schema) {
		return r, &Newer{Names: []string{key.PK}}
	}
	return r, err
}

// adopted is the case of a domain as an earlier version kept it in the domain's item: what keeps the guard from acting.
// Approvals are not adopted: checker can write that item.
func adopted(d Domain) decision.Case {
	return decision.Adopt(d.OldDone, d.OldReleased, d.OldHeldBy)
}

// PutCase is the write of a case, whatever stood there.
func PutCase(name string, c decision.Case) store.Write {
	k := caseKey(name)
	return Record(k.PK, k.SK, c, time.Time{})
}
