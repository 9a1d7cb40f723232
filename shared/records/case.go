package records

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	return Matter{Domain: NewDomain(name, 0)}, nil
}

// Matters reads those of the domains that are stored, with their cases, by name: in one batch. With a Newer come those
// of which both can be read.
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
	cases, recoveries := map[string]Of[decision.Case]{}, map[string]Of[Recovery]{}
	for _, it := range items {
		if it.Table == store.Domains {
			d, err := ParseDomain(it)
			if n := (*Newer)(nil); errors.As(err, &n) {
				skipped.Names = append(skipped.Names, it.PK)
				continue
			}
			if err != nil {
				return nil, err
			}
			found[d.Name] = Matter{Domain: d}
			continue
		}
		if it.SK == skRecovery {
			r, err := decode[Recovery](it)
			if err != nil {
				return nil, err
			}
			recoveries[it.PK] = r
			continue
		}
		c, err := decode[decision.Case](it)
		if c.V.Schema > decision.Schema || err != nil && newer(it.Data, decision.Schema) {
			skipped.Names = append(skipped.Names, strings.TrimPrefix(it.PK, casePrefix))
			continue
		}
		if err != nil {
			return nil, err
		}
		cases[it.PK] = c
	}
	for _, name := range skipped.Names {
		delete(found, name)
	}
	for name, m := range found {
		c, ok := cases[caseKey(name).PK]
		if !ok {
			c = Of[decision.Case]{V: adopted(m.Domain), item: store.Item{Key: caseKey(name)}}
		}
		m.Case = c
		if m.Recovery, ok = recoveries[caseKey(name).PK]; !ok {
			m.Recovery = Of[Recovery]{item: store.Item{Key: recoveryKey(name)}}
		}
		found[name] = m
	}
	if len(skipped.Names) > 0 {
		return found, &skipped
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
