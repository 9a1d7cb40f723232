package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/shared/store"
)

func (f fixture) query(q store.Query, more bool, want ...string) {
	f.Helper()
	items, m, err := f.Query(f.Context(), q)
	if err != nil {
		f.Fatalf("query %+v: %v", q, err)
	}
	if m != more {
		f.Fatalf("query %+v: more is %v, want %v", q, m, more)
	}
	f.wantsSKs(items, want...)
}

func (f fixture) fill(pk string, sks ...string) {
	f.Helper()
	var writes []store.Write
	for _, sk := range sks {
		writes = append(writes, put(rec(pk, sk), 0, sk))
	}
	f.write(writes...)
}

func queryBounds(f fixture) {
	f.fill("p", "a", "b", "c", "d", "e")
	f.fill("o", "c")
	f.fill("q", "c")
	q := func(after, before string) store.Query {
		return store.Query{PK: "p", After: after, Before: before, Limit: 9}
	}
	f.query(q("", ""), false, "a", "b", "c", "d", "e")
	f.query(q("b", ""), false, "c", "d", "e")
	f.query(q("", "d"), false, "a", "b", "c")
	f.query(q("a", "e"), false, "b", "c", "d")
	f.query(q("a", "b"), false)
	f.query(q("b", "b"), false)
	f.query(q("d", "b"), false)
	f.query(q("bb", "dd"), false, "c", "d")
	f.query(q("b", "bb"), false)
	f.query(q("e", ""), false)
	f.query(q("", "a"), false)
	newest := func(after, before string) store.Query {
		return store.Query{PK: "p", After: after, Before: before, Newest: true, Limit: 9}
	}
	f.query(newest("", ""), false, "e", "d", "c", "b", "a")
	f.query(newest("b", ""), false, "e", "d", "c")
	f.query(newest("", "d"), false, "c", "b", "a")
	f.query(newest("a", "e"), false, "d", "c", "b")
	f.query(newest("d", "b"), false)
	f.query(store.Query{PK: "z", Newest: true, Limit: 9}, false)
	f.query(store.Query{PK: "q", Newest: true, Limit: 9}, false, "c")
	f.query(store.Query{PK: "a", Newest: true, Limit: 9}, false)
}

func queryPages(f fixture) {
	f.fill("p", "a", "b", "c", "d", "e")
	q := store.Query{PK: "p", Limit: 2}
	f.query(q, true, "a", "b")
	q.After = "b"
	f.query(q, true, "c", "d")
	q.After = "d"
	f.query(q, false, "e")
	f.query(store.Query{PK: "p", Limit: 5}, false, "a", "b", "c", "d", "e")
	f.query(store.Query{PK: "p", Limit: 4, Newest: true}, true, "e", "d", "c", "b")
	f.query(store.Query{PK: "p", Limit: 3, After: "a", Before: "e"}, false, "b", "c", "d")
	f.query(store.Query{PK: "p", Limit: 2, After: "a", Before: "e"}, true, "b", "c")
	f.query(store.Query{PK: "p", Limit: 2, Before: "e", Newest: true}, true, "d", "c")
	f.query(store.Query{PK: "p", Limit: 2, Before: "c", Newest: true}, false, "b", "a")
	// A page of large items takes DynamoDB several answers.
	for i := range 4 {
		f.write(store.Write{Item: store.Item{Key: rec("large", fmt.Sprint(i)), Data: data(store.MaxData)}})
	}
	f.query(store.Query{PK: "large", Limit: 9}, false, "0", "1", "2", "3")
}

func queryByteOrder(f fixture) {
	want := []string{"\x00", "0", "00", "1", "10", "2", "A", "a", "a\x00", "a\x01", "aa", "b", "é", "€", "\uffee", "😀"}
	shuffled := slices.Clone(want)
	slices.Reverse(shuffled)
	f.fill("p", shuffled...)
	f.query(store.Query{PK: "p", Limit: 99}, false, want...)
	f.query(store.Query{PK: "p", Limit: 99, After: "a"}, false, want[8:]...)
	f.query(store.Query{PK: "p", Limit: 99, Before: "b", After: "a\x00"}, false, "a\x01", "aa")
	f.query(store.Query{PK: "p", Limit: 99, Newest: true}, false, shuffled...)
}

// expires is a write of an item that expires after d.
func (f fixture) expires(k store.Key, d time.Duration) store.Write {
	w := put(k, 0, "temporary")
	w.Expires = f.clock.now().Add(d)
	return w
}

func expiryReads(f fixture) {
	a, b := dom("a.example"), rec("p", "s")
	f.write(f.expires(a, time.Minute), f.expires(b, time.Minute))
	f.clock.advance(time.Minute - time.Second)
	f.wants(store.Item{Key: a, Version: 1, Data: text("temporary"), Expires: start.Add(time.Minute)})
	f.clock.advance(time.Second)
	f.wantsAbsent(a)
	f.wantsAbsent(b)
	items, err := f.GetMany(f.Context(), []store.Key{a, b})
	if err != nil || len(items) != 0 {
		f.Errorf("GetMany of expired items: %v, %v", items, err)
	}
}

func expiryConditions(f fixture) {
	for _, k := range []store.Key{dom("a.example"), rec("p", "s")} {
		f.write(f.expires(k, time.Minute))
		f.refuses(store.ErrConflict, put(k, 0, "too early"))
		f.clock.advance(time.Minute)
		f.refuses(store.ErrConflict, put(k, 1, "too late"))
		f.refuses(store.ErrConflict, del(k, 1))
		f.write(put(k, 0, "anew")) // it counts as absent
		f.wants(store.Item{Key: k, Version: 1, Data: text("anew")})
		f.clock.advance(time.Hour)
		f.wants(store.Item{Key: k, Version: 1, Data: text("anew")}) // the old expiry is gone with the old item

		w := f.expires(k, time.Minute) // an update may give it an end, and take it away
		w.Version = 1
		f.write(w)
		f.write(put(k, 2, "kept"))
		f.clock.advance(time.Hour)
		f.write(put(rec("unrelated", fmt.Sprint(k.Table)), 0, "x")) // a store may tidy up now
		f.wants(store.Item{Key: k, Version: 3, Data: text("kept")})
	}
	k := rec("p", "deleted")
	f.write(f.expires(k, time.Minute))
	f.clock.advance(time.Minute)
	f.write(del(k, 0))
	f.wantsAbsent(k)
}

func expiryRanges(f fixture) {
	for i := range 6 {
		k := rec("p", fmt.Sprint(i))
		d := dom(fmt.Sprintf("d%d.example", i))
		if i%2 == 0 {
			f.write(f.expires(k, time.Minute), f.expires(d, time.Minute))
		} else {
			f.write(put(k, 0, "stays"), put(d, 0, "stays"))
		}
	}
	f.query(store.Query{PK: "p", Limit: 6}, false, "0", "1", "2", "3", "4", "5")
	f.clock.advance(time.Minute)
	f.query(store.Query{PK: "p", Limit: 2}, true, "1", "3")
	f.query(store.Query{PK: "p", Limit: 3}, false, "1", "3", "5")
	f.query(store.Query{PK: "p", Limit: 1, After: "3"}, false, "5")
	f.query(store.Query{PK: "p", Limit: 2, Newest: true}, true, "5", "3")
	seen := f.scanAll(1, 1)
	if len(seen) != 3 || seen["d1.example"] != 1 || seen["d3.example"] != 1 || seen["d5.example"] != 1 {
		f.Errorf("scan gave %v", seen)
	}
	// More than a store forgets at once; and what did not expire is still there.
	var groups [][]store.Write
	for i := range 200 {
		groups = append(groups, []store.Write{f.expires(rec("many", fmt.Sprint(i)), time.Second)})
	}
	f.WriteEach(f.Context(), groups)
	f.clock.advance(time.Hour)
	for i := range 5 {
		f.write(put(rec("later", fmt.Sprint(i)), 0, "x"))
	}
	f.query(store.Query{PK: "many", Limit: 9}, false)
	f.query(store.Query{PK: "p", Limit: 3}, false, "1", "3", "5")
	f.query(store.Query{PK: "later", Limit: 9}, false, "0", "1", "2", "3", "4")
}

// scanAll counts how often each name is returned by a scan of all segments.
func (f fixture) scanAll(segments, limit int) map[string]int {
	f.Helper()
	seen := map[string]int{}
	for s := range segments {
		for cursor, first := "", true; first || cursor != ""; first = false {
			items, next, err := f.Scan(f.Context(), s, segments, cursor, limit)
			if err != nil {
				f.Fatalf("scan: %v", err)
			}
			if len(items) > limit {
				f.Fatalf("%d items, more than the limit of %d", len(items), limit)
			}
			if next != "" && next == cursor {
				f.Fatalf("the scan stands still at %q", cursor)
			}
			for _, it := range items {
				seen[it.PK]++
				if it.Version < 1 || it.Table != store.Domains || len(it.Data) == 0 {
					f.Fatalf("scan gave %+v", it)
				}
			}
			cursor = next
		}
	}
	return seen
}

func (f fixture) fillDomains(n int) {
	f.Helper()
	var groups [][]store.Write
	for i := range n {
		groups = append(groups, []store.Write{put(dom(fmt.Sprintf("d%d.example", i)), 0, "x")})
	}
	for _, err := range f.WriteEach(f.Context(), groups) {
		if err != nil {
			f.Fatal(err)
		}
	}
}

func scanSegments(f fixture) {
	const n = 120
	f.fillDomains(n)
	f.fill("p", "records", "are", "not", "scanned")
	for _, segments := range []int{1, 3, 4, 64, store.MaxSegments} {
		if segments == store.MaxSegments && f.slow() {
			continue
		}
		limit := 7
		seen := f.scanAll(segments, limit)
		if len(seen) != n {
			f.Errorf("%d segments: %d items, want %d", segments, len(seen), n)
		}
		for name, times := range seen {
			if times != 1 {
				f.Errorf("%d segments: %s came %d times", segments, name, times)
			}
		}
	}
	f.scanAll(1, store.MaxPage)
}

// slow tells that calls go over a network: thousands of them take too long.
func (f fixture) slow() bool {
	_, embedded := f.Store.(interface{ Close() error })
	return !embedded
}

// scanWhileWriting changes items during a scan: those that exist throughout come at least once.
func scanWhileWriting(f fixture) {
	const n = 60
	f.fillDomains(n)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("d%d.example", i%n)
			it, err := f.Get(f.Context(), dom(name))
			if err == nil {
				it.Data = text(strings.Repeat("z", i%500))
				err = f.Write(f.Context(), store.Write{Item: it}, put(dom(fmt.Sprintf("new%d.example", i)), 0, "x"))
			}
			if err != nil {
				f.Error(err)
				return
			}
		}
	})
	for range 3 {
		seen := f.scanAll(2, 5)
		for i := range n {
			if seen[fmt.Sprintf("d%d.example", i)] == 0 {
				f.Errorf("d%d.example was not scanned", i)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// due lists a shard by pages.
func (f fixture) due(shard int, until time.Time, limit int) []string {
	f.Helper()
	var all []string
	for cursor, first := "", true; first || cursor != ""; first = false {
		names, next, err := f.Due(f.Context(), shard, until, cursor, limit)
		if err != nil {
			f.Fatalf("due: %v", err)
		}
		if len(names) > limit {
			f.Fatalf("%d names, more than the limit of %d", len(names), limit)
		}
		all = append(all, names...)
		cursor = next
	}
	return all
}

func dueAt(name string, version int64, at time.Time) store.Write {
	w := put(dom(name), version, "due")
	w.Due = at
	return w
}

func dueOrder(f fixture) {
	want := make([][]string, store.Shards)
	var groups [][]store.Write
	for i := range 40 {
		name := fmt.Sprintf("d%02d.example", i)
		at := start.Add(time.Duration(i) * time.Second)
		if i == 0 {
			at = time.Unix(-100, 0) // before 1970 comes first
		}
		groups = append(groups, []store.Write{dueAt(name, 0, at)})
		if i <= 30 {
			want[store.Shard(name)] = append(want[store.Shard(name)], name)
		}
	}
	slices.Reverse(groups)
	for _, err := range f.WriteEach(f.Context(), groups) {
		if err != nil {
			f.Fatal(err)
		}
	}
	until := start.Add(30*time.Second + 999*time.Millisecond) // inclusive, by the second
	for shard := range store.Shards {
		if len(want[shard]) == 0 {
			f.Fatalf("no name falls into shard %d: the test is blind", shard)
		}
		for _, limit := range []int{1, 3, 100} {
			if got := f.due(shard, until, limit); !slices.Equal(got, want[shard]) {
				f.Errorf("shard %d by %d: %v, want %v", shard, limit, got, want[shard])
			}
		}
	}
	// Names due at the same second: all of them, across pages.
	same := map[string]bool{}
	at := start.Add(-time.Hour)
	for i := range 12 {
		name := fmt.Sprintf("same%d.example", i)
		f.write(dueAt(name, 0, at))
		same[name] = true
	}
	for shard := range store.Shards {
		for _, name := range f.due(shard, at, 2) {
			delete(same, name)
		}
	}
	if len(same) != 0 {
		f.Errorf("not listed: %v", same)
	}
}

func dueSparse(f fixture) {
	const name = "a.example"
	shard := store.Shard(name)
	wants := func(until time.Time, want ...string) {
		f.Helper()
		for s := range store.Shards {
			got := f.due(s, until, 10)
			if s == shard && !slices.Equal(got, want) || s != shard && len(got) != 0 {
				f.Fatalf("shard %d lists %v, want %v in shard %d", s, got, want, shard)
			}
		}
	}
	far := start.Add(1000 * time.Hour)
	f.write(put(dom(name), 0, "not due"))
	wants(far)
	f.write(dueAt(name, 1, start))
	wants(far, name)
	wants(start.Add(-time.Second))
	f.write(dueAt(name, 2, start.Add(time.Hour))) // moved, not doubled
	wants(far, name)
	wants(start)
	f.write(put(dom(name), 3, "no longer due"))
	wants(far)
	f.write(dueAt(name, 4, start))
	f.refuses(store.ErrConflict, dueAt(name, 4, start.Add(time.Hour)))
	wants(start, name)
	f.write(del(dom(name), 5))
	wants(far)
}

func limitsOfKeys(f fixture) {
	long := strings.Repeat("k", store.MaxKey)
	for _, k := range []store.Key{dom(long), rec(long, long), rec(strings.Repeat("é", store.MaxKey/2), "s")} {
		f.write(put(k, 0, "x"))
		f.wants(store.Item{Key: k, Version: 1, Data: text("x")})
	}
	f.query(store.Query{PK: long, Before: long, Limit: 1}, false)
	for _, k := range []store.Key{
		dom(""), dom(long + "k"), {Table: store.Domains, PK: "a", SK: "s"}, dom("\xff"),
		rec("", "s"), rec("p", ""), rec(long+"k", "s"), rec("p", long+"k"), rec("\xff", "s"), rec("p", "a\xc3"),
		{Table: 2, PK: "p", SK: "s"},
	} {
		f.refuses(store.ErrInvalid, put(k, 0, "x"))
		f.refuses(store.ErrInvalid, del(k, 0))
		if _, err := f.Get(f.Context(), k); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("get %.20q: %v", k, err)
		}
		if _, err := f.GetMany(f.Context(), []store.Key{dom("fine.example"), k}); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("get many %.20q: %v", k, err)
		}
	}
	many := make([]store.Key, store.MaxGetMany+1)
	for i := range many {
		many[i] = dom("same.example")
	}
	if _, err := f.GetMany(f.Context(), many); !errors.Is(err, store.ErrInvalid) {
		f.Errorf("%d keys: %v", len(many), err)
	}
	if items, err := f.GetMany(f.Context(), many[1:]); err != nil || len(items) != 0 {
		f.Errorf("%d keys: %v, %v", len(many)-1, items, err)
	}
}

func limitsOfData(f fixture) {
	for i, k := range []store.Key{dom("a.example"), rec(strings.Repeat("p", store.MaxKey), strings.Repeat("s", store.MaxKey))} {
		w := store.Write{Item: store.Item{Key: k, Data: data(store.MaxData), Expires: start.Add(time.Hour), Due: start}}
		f.write(w)
		it, err := f.Get(f.Context(), k)
		if err != nil || string(it.Data) != string(w.Data) {
			f.Errorf("%d: %d bytes came back as %d, %v", i, store.MaxData, len(it.Data), err)
		}
		w.Version, w.Data = 1, data(store.MaxData+1)
		f.refuses(store.ErrInvalid, w)
	}
	for _, bad := range []string{"", " ", "null", "1", `"text"`, "[]", "{", `{"a":1}{}`, `{"a":}`, "{\"a\":\"\xff\"}"} {
		f.refuses(store.ErrInvalid, store.Write{Item: store.Item{Key: rec("p", "s"), Data: []byte(bad)}})
	}
	f.refuses(store.ErrInvalid, put(rec("p", "s"), -1, "x"))
}

func limitsOfWrites(f fixture) {
	if err := f.Write(f.Context()); !errors.Is(err, store.ErrInvalid) {
		f.Errorf("no writes: %v", err)
	}
	var writes []store.Write
	for i := range store.MaxWrites + 1 {
		writes = append(writes, put(rec("p", fmt.Sprintf("%03d", i)), 0, "x"))
	}
	f.refuses(store.ErrInvalid, writes...)
	f.write(writes[1:]...)
	f.query(store.Query{PK: "p", Limit: 1}, true, "001")
	f.refuses(store.ErrInvalid, put(rec("q", "s"), 0, "1"), put(rec("q", "s"), 0, "2"))
	f.refuses(store.ErrInvalid, put(rec("q", "s"), 0, "1"), del(rec("q", "s"), 0))
	f.refuses(store.ErrInvalid, put(rec("q", "s"), 0, "1"), put(rec("q", ""), 0, "1")) // one invalid spoils all

	// As many bytes as a call may have, and one more.
	var large []store.Write
	rest := store.MaxWriteBytes
	for i := 0; rest > 0; i++ {
		k := rec("large", fmt.Sprint(i))
		n := min(store.MaxData, rest-len(k.PK)-len(k.SK))
		large = append(large, store.Write{Item: store.Item{Key: k, Data: data(n)}})
		rest -= n + len(k.PK) + len(k.SK)
	}
	last := len(large) - 1
	over := slices.Clone(large)
	over[last].Data = data(len(large[last].Data) + 1)
	f.refuses(store.ErrInvalid, over...)
	f.write(large...)
}

func limitsOfRanges(f fixture) {
	ctx := f.Context()
	long := strings.Repeat("k", store.MaxKey+1)
	for i, q := range []store.Query{
		{Limit: 1}, {PK: long, Limit: 1}, {PK: "p"}, {PK: "p", Limit: -1}, {PK: "p", Limit: store.MaxPage + 1},
		{PK: "p", After: long, Limit: 1}, {PK: "p", Before: long, Limit: 1}, {PK: "p", After: "\xff", Limit: 1},
	} {
		if _, _, err := f.Query(ctx, q); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("query %d: %v", i, err)
		}
	}
	for _, s := range []struct {
		segment, segments int
		cursor            string
		limit             int
	}{{0, 0, "", 1}, {-1, 1, "", 1}, {1, 1, "", 1}, {0, store.MaxSegments + 1, "", 1}, {0, 1, "", 0}, {0, 1, "", store.MaxPage + 1}, {0, 1, long, 1}} {
		if _, _, err := f.Scan(ctx, s.segment, s.segments, s.cursor, s.limit); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("scan %d of %d by %d: %v", s.segment, s.segments, s.limit, err)
		}
	}
	for _, d := range []struct {
		shard  int
		cursor string
		limit  int
	}{{-1, "", 1}, {store.Shards, "", 1}, {0, "", 0}, {0, "", store.MaxPage + 1}, {0, "x", 1}, {0, "1x/a", 1}, {0, "1/", 1}} {
		if _, _, err := f.Due(ctx, d.shard, start, d.cursor, d.limit); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("due %+v: %v", d, err)
		}
	}
	f.query(store.Query{PK: "p", Limit: store.MaxPage}, false)
	if _, _, err := f.Due(ctx, store.Shards-1, start, "", store.MaxPage); err != nil {
		f.Error(err)
	}
}
