package records

import (
	"context"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/store"
)

// What decides lies in keys that checker, which parses what the whole internet sends, cannot write (template.yaml).
func caseKey(name string) store.Key {
	return store.Key{Table: store.Records, PK: "decision/" + name, SK: string(decision.Unverify)}
}

// Matter is a domain with what was decided about it.
type Matter struct {
	Domain Domain
	Case   Of[decision.Case]
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
	return Matter{Domain: NewDomain(name, 0)}, nil
}

// Matters reads those of the domains that are stored, with their cases, by name: in one batch.
func (b Book) Matters(ctx context.Context, names []string) (map[string]Matter, error) {
	found := make(map[string]Matter, len(names))
	if len(names) == 0 {
		return found, nil
	}
	keys := make([]store.Key, 0, 2*len(names))
	for _, name := range names {
		keys = append(keys, DomainKey(name), caseKey(name))
	}
	items, err := b.GetMany(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read %d domains and what was decided about them: %w", len(names), err)
	}
	cases := map[string]Of[decision.Case]{}
	for _, it := range items {
		if it.Table == store.Domains {
			d, err := ParseDomain(it)
			if err != nil {
				return nil, err
			}
			found[d.Name] = Matter{Domain: d}
			continue
		}
		c, err := decode[decision.Case](it)
		if err != nil {
			return nil, err
		}
		if c.V.Schema > decision.Schema {
			return nil, fmt.Errorf("what was decided in %s was written by a newer version (%d)", it.PK, c.V.Schema)
		}
		cases[it.PK] = c
	}
	for name, m := range found {
		c, ok := cases[caseKey(name).PK]
		if !ok {
			c = Of[decision.Case]{V: adopted(m.Domain), item: store.Item{Key: caseKey(name)}}
		}
		m.Case = c
		found[name] = m
	}
	return found, nil
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
