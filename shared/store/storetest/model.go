package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/store"
)

// slowRounds is how many random histories a store behind a network is put through.
const slowRounds = 30

// model compares the store with a map under random operations. Every run of the machine has keys of its own,
// so that one store serves all runs.
func model(f fixture) {
	round := 0
	rapid.Check(f.T, func(r *rapid.T) {
		if round++; round > slowRounds && f.slow() {
			return
		}
		m := &machine{f: f, r: r, items: map[store.Key]store.Item{}, prefix: fmt.Sprintf("m%d", round)}
		r.Repeat(map[string]func(*rapid.T){
			"write": func(r *rapid.T) { m.r = r; m.write() },
			"query": func(r *rapid.T) { m.r = r; m.query() },
			"time": func(r *rapid.T) {
				f.clock.advance(time.Duration(rapid.IntRange(1, 50).Draw(r, "seconds")) * time.Second)
			},
			"": func(*rapid.T) { m.compare() },
		})
	})
}

type machine struct {
	f      fixture
	r      *rapid.T
	prefix string
	items  map[store.Key]store.Item
}

func (m *machine) keys() []store.Key {
	var keys []store.Key
	for i := range 3 {
		keys = append(keys, dom(fmt.Sprintf("%s-%d.example", m.prefix, i)), rec(m.prefix, fmt.Sprint(i)))
	}
	return keys
}

// live is what the model holds of a key now; version 0 when nothing.
func (m *machine) live(k store.Key) store.Item {
	if it := m.items[k]; it.Version > 0 && !it.Expired(m.f.clock.now()) {
		return it
	}
	return store.Item{}
}

func (m *machine) write() {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom(m.keys()), 1, 3, rapid.ID[store.Key]).Draw(m.r, "keys")
	var writes []store.Write
	conflict := false
	for _, k := range keys {
		w := store.Write{Item: store.Item{Key: k, Data: text(rapid.StringMatching(`[a-z]{0,5}`).Draw(m.r, "data"))}}
		w.Version = m.live(k).Version
		if rapid.IntRange(0, 5).Draw(m.r, "stale") == 0 {
			w.Version += 1
		}
		w.Delete = rapid.IntRange(0, 3).Draw(m.r, "delete") == 0
		w.Any = k.Table == store.Records && rapid.IntRange(0, 4).Draw(m.r, "any") == 0
		if rapid.Bool().Draw(m.r, "expires") {
			w.Expires = m.f.clock.now().Add(time.Duration(rapid.IntRange(-1, 40).Draw(m.r, "in")) * time.Second)
		}
		if rapid.Bool().Draw(m.r, "due") {
			w.Due = m.f.clock.now().Add(time.Duration(rapid.IntRange(-9, 9).Draw(m.r, "due in")) * time.Second)
		}
		conflict = conflict || !w.Any && w.Version != m.live(k).Version
		writes = append(writes, w)
	}
	err := m.f.Write(m.f.Context(), writes...)
	if conflict != errors.Is(err, store.ErrConflict) || !conflict && err != nil {
		m.r.Fatalf("write %+v gave %v, conflict is %v", writes, err, conflict)
	}
	if conflict {
		return
	}
	for _, w := range writes {
		it := w.Item
		it.Version++
		if it.Table == store.Records {
			it.Due = time.Time{}
		}
		if m.items[w.Key] = it; w.Delete {
			delete(m.items, w.Key)
		}
	}
}

// compare holds reads and the index against the model.
func (m *machine) compare() {
	items, err := m.f.GetMany(m.f.Context(), m.keys())
	if err != nil {
		m.r.Fatal(err)
	}
	got := map[store.Key]store.Item{}
	for _, it := range items {
		got[it.Key] = it
	}
	for _, k := range m.keys() {
		if diff := cmp.Diff(m.live(k), got[k]); diff != "" {
			m.r.Fatalf("%v (-model +store):\n%s", k, diff)
		}
	}
	for shard := range store.Shards {
		names, _, err := m.f.Due(m.f.Context(), shard, m.f.clock.now(), "", store.MaxPage)
		if err != nil {
			m.r.Fatal(err)
		}
		for _, k := range m.keys() {
			it := m.items[k]
			if k.Table != store.Domains || store.Shard(k.PK) != shard || it.Expired(m.f.clock.now()) {
				continue // an expired item may still be listed, or not
			}
			want := !it.Due.IsZero() && !it.Due.After(m.f.clock.now())
			if slices.Contains(names, k.PK) != want {
				m.r.Fatalf("%s is listed as due: %v, want %v", k.PK, !want, want)
			}
		}
	}
}

func (m *machine) query() {
	bound := rapid.SampledFrom([]string{"", "0", "00", "1", "2"})
	q := store.Query{
		PK: m.prefix, After: bound.Draw(m.r, "after"), Before: bound.Draw(m.r, "before"),
		Newest: rapid.Bool().Draw(m.r, "newest"), Limit: rapid.IntRange(1, 4).Draw(m.r, "limit"),
	}
	var want []store.Item
	for _, k := range m.keys() {
		it := m.live(k)
		if k.Table == store.Records && it.Version > 0 && k.SK > q.After && (q.Before == "" || k.SK < q.Before) {
			want = append(want, it)
		}
	}
	slices.SortFunc(want, func(a, b store.Item) int { return strings.Compare(a.SK, b.SK) })
	if q.Newest {
		slices.Reverse(want)
	}
	wantMore := len(want) > q.Limit
	want = want[:min(len(want), q.Limit)]
	got, more, err := m.f.Query(m.f.Context(), q)
	if err != nil {
		m.r.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || more != wantMore {
		m.r.Fatalf("query %+v: more %v, want %v (-model +store):\n%s", q, more, wantMore, diff)
	}
}
