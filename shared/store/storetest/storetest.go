// Package storetest is the conformance suite of store.Store: every sentence of the contract, for every
// implementation.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/store"
)

// Open gives an empty store that tells the time by now, and closes it when the test is over.
type Open func(t *testing.T, now func() time.Time) store.Store

// start is where the suite's clock begins: far from any real clock, which a store must not ask.
var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// clock is a settable time.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return start.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// Run runs the suite. Each test opens a store of its own.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(f fixture)
	}{
		{"absent", absent},
		{"round trip", roundTrip},
		{"create once", createOnce},
		{"update on version", updateOnVersion},
		{"delete on version", deleteOnVersion},
		{"unconditional", unconditional},
		{"all or none", allOrNone},
		{"keys and tables are apart", keysApart},
		{"write each", writeEach},
		{"get many", getMany},
		{"query bounds", queryBounds},
		{"query pages", queryPages},
		{"query order is by bytes", queryByteOrder},
		{"expiry in reads", expiryReads},
		{"expiry in conditions", expiryConditions},
		{"expiry in ranges", expiryRanges},
		{"scan segments", scanSegments},
		{"scan while writing", scanWhileWriting},
		{"due order and pages", dueOrder},
		{"due is sparse", dueSparse},
		{"limits of keys", limitsOfKeys},
		{"limits of data", limitsOfData},
		{"limits of writes", limitsOfWrites},
		{"limits of ranges", limitsOfRanges},
		{"concurrent creators", concurrentCreators},
		{"concurrent counters", concurrentCounters},
		{"canceled", canceled},
		{"model", model},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &clock{}
			test.run(fixture{t, open(t, c.now), c})
		})
	}
}

type fixture struct {
	*testing.T
	store.Store
	clock *clock
}

func dom(name string) store.Key   { return store.Key{Table: store.Domains, PK: name} }
func rec(pk, sk string) store.Key { return store.Key{Table: store.Records, PK: pk, SK: sk} }

// data is a JSON object of exactly n bytes.
func data(n int) []byte {
	return []byte(`{"x":"` + strings.Repeat("y", n-len(`{"x":""}`)) + `"}`)
}

func text(s string) []byte {
	b, _ := json.Marshal(map[string]string{"x": s}) // a string can always be encoded
	return b
}

func put(k store.Key, version int64, s string) store.Write {
	return store.Write{Item: store.Item{Key: k, Version: version, Data: text(s)}}
}

func del(k store.Key, version int64) store.Write {
	return store.Write{Item: store.Item{Key: k, Version: version}, Delete: true}
}

func (f fixture) write(writes ...store.Write) {
	f.Helper()
	if err := f.Write(f.Context(), writes...); err != nil {
		f.Fatalf("write: %v", err)
	}
}

// refuses checks that a write fails with want and that no item of it changed.
func (f fixture) refuses(want error, writes ...store.Write) {
	f.Helper()
	before := f.states(writes)
	err := f.Write(f.Context(), writes...)
	if !errors.Is(err, want) {
		f.Fatalf("write gave %v, want %v", err, want)
	}
	for _, other := range []error{store.ErrConflict, store.ErrInvalid, store.ErrNotFound} {
		if !errors.Is(want, other) && errors.Is(err, other) {
			f.Fatalf("%v is also %v", err, other)
		}
	}
	if diff := cmp.Diff(before, f.states(writes)); diff != "" {
		f.Fatalf("a refused write changed something (-before +after):\n%s", diff)
	}
}

func (f fixture) states(writes []store.Write) []store.Item {
	f.Helper()
	var items []store.Item
	for _, w := range writes {
		it, err := f.Get(f.Context(), w.Key)
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInvalid) {
			f.Fatalf("get %v: %v", w.Key, err)
		}
		items = append(items, it)
	}
	return items
}

func (f fixture) wants(want store.Item) {
	f.Helper()
	got, err := f.Get(f.Context(), want.Key)
	if err != nil {
		f.Fatalf("get %v: %v", want.Key, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Fatalf("item (-want +got):\n%s", diff)
	}
}

func (f fixture) wantsAbsent(k store.Key) {
	f.Helper()
	it, err := f.Get(f.Context(), k)
	if !errors.Is(err, store.ErrNotFound) {
		f.Fatalf("get %v gave %v, %v, want ErrNotFound", k, it, err)
	}
	if diff := cmp.Diff(store.Item{}, it); diff != "" {
		f.Fatalf("ErrNotFound came with an item: %s", diff)
	}
}

func absent(f fixture) {
	f.wantsAbsent(dom("nowhere.example"))
	f.wantsAbsent(rec("p", "s"))
	items, err := f.GetMany(f.Context(), nil)
	if err != nil || len(items) != 0 {
		f.Errorf("GetMany of nothing: %v, %v", items, err)
	}
	items, more, err := f.Query(f.Context(), store.Query{PK: "p", Limit: 1})
	if err != nil || more || len(items) != 0 {
		f.Errorf("query of nothing: %v, %v, %v", items, more, err)
	}
	items, next, err := f.Scan(f.Context(), 0, 1, "", 1)
	if err != nil || next != "" || len(items) != 0 {
		f.Errorf("scan of nothing: %v, %q, %v", items, next, err)
	}
	if errs := f.WriteEach(f.Context(), nil); len(errs) != 0 {
		f.Errorf("WriteEach of nothing: %v", errs)
	}
}

func roundTrip(f fixture) {
	for _, it := range []store.Item{
		{Key: dom("a.example"), Data: text("plain")},
		{Key: dom("b.example"), Data: text("due"), Due: start.Add(1500 * time.Millisecond)},
		{Key: dom("c.example"), Data: text("both"), Due: time.Unix(-5, 7), Expires: start.Add(90 * time.Minute)},
		{Key: dom("xn--mnchen-3ya.example"), Data: []byte(" {\"k\" : [1, null, \"\\u0000\"]}\n")},
		{Key: rec("p", "s"), Data: text("ü€😀"), Expires: start.Add(time.Hour + 999*time.Millisecond)},
		{Key: rec("p/with/slash", "\x00\x01"), Data: []byte(`{}`)},
		{Key: rec("ü€", "😀"), Data: text("due is ignored"), Due: start},
	} {
		f.write(store.Write{Item: it})
		want := it
		want.Version = 1
		want.Expires = seconds(want.Expires)
		want.Due = seconds(want.Due)
		if want.Table == store.Records {
			want.Due = time.Time{}
		}
		f.wants(want)
	}
}

// seconds is a time as the store gives it back.
func seconds(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Unix(t.Unix(), 0).UTC()
}

func createOnce(f fixture) {
	for _, k := range []store.Key{dom("a.example"), rec("p", "s")} {
		f.write(put(k, 0, "first"))
		f.refuses(store.ErrConflict, put(k, 0, "second"))
		f.wants(store.Item{Key: k, Version: 1, Data: text("first")})
	}
}

func updateOnVersion(f fixture) {
	for _, k := range []store.Key{dom("a.example"), rec("p", "s")} {
		f.refuses(store.ErrConflict, put(k, 1, "on nothing"))
		f.write(put(k, 0, "1"))
		f.write(put(k, 1, "2"))
		f.refuses(store.ErrConflict, put(k, 1, "stale"))
		f.refuses(store.ErrConflict, put(k, 3, "ahead"))
		f.wants(store.Item{Key: k, Version: 2, Data: text("2")})
		it, err := f.Get(f.Context(), k) // what a read gives is what a write takes
		if err != nil {
			f.Fatal(err)
		}
		it.Data = text("3")
		f.write(store.Write{Item: it})
		f.wants(store.Item{Key: k, Version: 3, Data: text("3")})
	}
}

func deleteOnVersion(f fixture) {
	for _, k := range []store.Key{dom("a.example"), rec("p", "s")} {
		f.refuses(store.ErrConflict, del(k, 1))
		f.write(del(k, 0)) // "must not exist" holds
		f.write(put(k, 0, "1"))
		f.refuses(store.ErrConflict, del(k, 0))
		f.refuses(store.ErrConflict, del(k, 2))
		f.write(del(k, 1))
		f.wantsAbsent(k)
		f.write(put(k, 0, "again"))
		f.wants(store.Item{Key: k, Version: 1, Data: text("again")})
	}
}

func unconditional(f fixture) {
	k := rec("p", "s")
	w := put(k, 0, "1")
	w.Any = true
	f.write(w)
	w.Data = text("2")
	f.write(w)
	f.wants(store.Item{Key: k, Version: 1, Data: text("2")})
	d := del(k, 7)
	d.Any = true
	f.write(d)
	f.wantsAbsent(k)
	f.write(d)
	onDomain := put(dom("a.example"), 0, "x")
	onDomain.Any = true
	f.refuses(store.ErrInvalid, onDomain)
	onDomain.Delete = true
	f.refuses(store.ErrInvalid, onDomain)
}

func allOrNone(f fixture) {
	a, b, c := dom("a.example"), rec("p", "b"), rec("p", "c")
	f.write(put(a, 0, "1"), put(b, 0, "1"), put(c, 0, "1"))
	f.write(put(a, 1, "2"), del(b, 1), put(c, 1, "2"))
	f.wants(store.Item{Key: a, Version: 2, Data: text("2")})
	f.wantsAbsent(b)
	for _, losing := range [][]store.Write{
		{put(a, 1, "x"), put(c, 2, "x")}, // first
		{put(a, 2, "x"), put(c, 1, "x")}, // last
		{put(a, 2, "x"), put(c, 0, "x")}, // exists
		{put(a, 2, "x"), put(b, 1, "x")}, // absent
		{put(a, 2, "x"), del(c, 1)},      // delete
		{put(a, 2, "x"), del(b, 1)},      // delete of nothing
		{put(b, 0, "x"), put(a, 9, "x"), del(c, 2)},
	} {
		f.refuses(store.ErrConflict, losing...)
	}
	any1, any2 := put(c, 0, "any"), put(b, 0, "any")
	any1.Any, any2.Any = true, true
	f.refuses(store.ErrConflict, any1, put(a, 1, "x"))
	f.write(any1, any2, put(a, 2, "3"))
	f.wants(store.Item{Key: c, Version: 1, Data: text("any")})
	f.wants(store.Item{Key: b, Version: 1, Data: text("any")})
	f.wants(store.Item{Key: a, Version: 3, Data: text("3")})
}

func keysApart(f fixture) {
	keys := []store.Key{
		dom("a"), dom("ab"), rec("a", "a"), rec("a", "b"), rec("ab", "c"), rec("a", "bc"), rec("b", "a"),
		rec("a\x00", "b"), rec("a", "\x00b"), rec("A", "a"),
	}
	for i, k := range keys {
		f.write(put(k, 0, fmt.Sprint(i)))
	}
	for i, k := range keys {
		f.wants(store.Item{Key: k, Version: 1, Data: text(fmt.Sprint(i))})
	}
	f.write(del(rec("a", "b"), 1))
	f.wants(store.Item{Key: rec("ab", "c"), Version: 1, Data: text("4")})
	items, _, err := f.Query(f.Context(), store.Query{PK: "a", Limit: 10})
	if err != nil {
		f.Fatal(err)
	}
	f.wantsSKs(items, "\x00b", "a", "bc")
}

func (f fixture) wantsSKs(items []store.Item, want ...string) {
	f.Helper()
	got := []string{}
	for _, it := range items {
		got = append(got, it.SK)
	}
	if !slices.Equal(got, want) {
		f.Fatalf("SKs %q, want %q", got, want)
	}
}

func writeEach(f fixture) {
	f.write(put(dom("old.example"), 0, "1"))
	groups := [][]store.Write{
		{put(dom("a.example"), 0, "1"), put(rec("history/a.example", "1"), 0, "1")},
		{put(dom("old.example"), 0, "x"), put(rec("history/old.example", "1"), 0, "1")}, // loses
		{put(dom("old.example"), 1, "2")},
		{},                         // invalid
		{put(dom(""), 0, "x")},     // invalid
		{del(dom("b.example"), 1)}, // loses
		{put(dom("c.example"), 0, "1")},
	}
	for i := range 60 {
		groups = append(groups, []store.Write{put(dom(fmt.Sprintf("n%d.example", i)), 0, "n")})
	}
	errs := f.WriteEach(f.Context(), groups)
	if len(errs) != len(groups) {
		f.Fatalf("%d errors for %d groups", len(errs), len(groups))
	}
	for i, err := range errs {
		want := error(nil)
		switch i {
		case 1, 5:
			want = store.ErrConflict
		case 3, 4:
			want = store.ErrInvalid
		}
		if !errors.Is(err, want) {
			f.Errorf("group %d: %v, want %v", i, err, want)
		}
	}
	f.wants(store.Item{Key: dom("a.example"), Version: 1, Data: text("1")})
	f.wants(store.Item{Key: rec("history/a.example", "1"), Version: 1, Data: text("1")})
	f.wantsAbsent(rec("history/old.example", "1"))
	f.wants(store.Item{Key: dom("old.example"), Version: 2, Data: text("2")})
	f.wants(store.Item{Key: dom("c.example"), Version: 1, Data: text("1")})
	f.wants(store.Item{Key: dom("n59.example"), Version: 1, Data: text("n")})
}

func getMany(f fixture) {
	var groups [][]store.Write
	var keys []store.Key
	want := map[store.Key]int64{}
	for i := range 250 { // three batches, both tables, every fifth absent
		k := dom(fmt.Sprintf("d%d.example", i))
		if i%2 == 1 {
			k = rec("p", fmt.Sprint(i))
		}
		keys = append(keys, k)
		if i%5 != 0 {
			groups = append(groups, []store.Write{put(k, 0, "x")})
			want[k] = 1
		}
	}
	for _, err := range f.WriteEach(f.Context(), groups) {
		if err != nil {
			f.Fatal(err)
		}
	}
	keys = append(keys, keys[1], keys[2]) // twice asked, once answered
	items, err := f.GetMany(f.Context(), keys)
	if err != nil {
		f.Fatal(err)
	}
	got := map[store.Key]int64{}
	for _, it := range items {
		got[it.Key] += it.Version
		if string(it.Data) != string(text("x")) {
			f.Errorf("%v: %s", it.Key, it.Data)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Error(diff)
	}
}

func concurrentCreators(f fixture) {
	var won, lost atomic.Int32
	together(8, func(i int) {
		switch err := f.Write(f.Context(), put(rec("p", "s"), 0, fmt.Sprint(i))); {
		case err == nil:
			won.Add(1)
		case errors.Is(err, store.ErrConflict):
			lost.Add(1)
		default:
			f.Error(err)
		}
	})
	if won.Load() != 1 || lost.Load() != 7 {
		f.Errorf("%d creators won and %d lost, want 1 and 7", won.Load(), lost.Load())
	}
}

// concurrentCounters counts in two items at once: no lost update, and never one without the other.
func concurrentCounters(f fixture) {
	a, b := dom("a.example"), rec("p", "b")
	f.write(put(a, 0, "0"), put(b, 0, "0"))
	const workers, each = 4, 10
	together(workers, func(int) {
		for done := 0; done < each; {
			x, err := f.Get(f.Context(), a)
			if err != nil {
				f.Error(err)
				return
			}
			y, err := f.Get(f.Context(), b)
			if err != nil {
				f.Error(err)
				return
			}
			if x.Version != y.Version {
				continue // between the two reads somebody wrote
			}
			n := fmt.Sprint(x.Version)
			switch err := f.Write(f.Context(), put(a, x.Version, n), put(b, y.Version, n)); {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				f.Error(err)
				return
			}
		}
	})
	want := int64(workers*each + 1)
	f.wants(store.Item{Key: a, Version: want, Data: text(fmt.Sprint(want - 1))})
	f.wants(store.Item{Key: b, Version: want, Data: text(fmt.Sprint(want - 1))})
}

func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func canceled(f fixture) {
	f.write(put(dom("a.example"), 0, "1"))
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	check := func(what string, err error) {
		f.Helper()
		if !errors.Is(err, context.Canceled) {
			f.Errorf("%s: %v, want context.Canceled", what, err)
		}
	}
	_, err := f.Get(ctx, dom("a.example"))
	check("Get", err)
	_, err = f.GetMany(ctx, []store.Key{dom("a.example")})
	check("GetMany", err)
	check("Write", f.Write(ctx, put(dom("b.example"), 0, "1")))
	for i, err := range f.WriteEach(ctx, [][]store.Write{{put(dom("b.example"), 0, "1")}, {}}) {
		if i == 0 {
			check("WriteEach", err)
		} else if !errors.Is(err, store.ErrInvalid) && !errors.Is(err, context.Canceled) {
			f.Errorf("WriteEach of an invalid group: %v", err)
		}
	}
	_, _, err = f.Query(ctx, store.Query{PK: "p", Limit: 1})
	check("Query", err)
	_, _, err = f.Scan(ctx, 0, 1, "", 1)
	check("Scan", err)
	_, _, err = f.Due(ctx, 0, start, "", 1)
	check("Due", err)
	f.wantsAbsent(dom("b.example"))
}
