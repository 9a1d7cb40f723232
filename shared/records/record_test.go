package records

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

var now = time.Date(2026, 3, 2, 3, 30, 0, 0, time.UTC)

func newBook(t *testing.T) Book {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "guard.db"), bolt.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return In(s)
}

func write(t *testing.T, b Book, writes ...store.Write) {
	t.Helper()
	if err := b.Write(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
}

// What was never written is the zero value, and its Put creates it, once.
func TestAnAbsentRecord(t *testing.T) {
	b := newBook(t)
	run, err := b.Run(t.Context())
	if err != nil || run.Found() || run.V.ID != "" {
		t.Fatalf("%+v %v", run, err)
	}
	run.V.ID = "a"
	write(t, b, run.Put())
	if err := b.Write(t.Context(), run.Put()); !errors.Is(err, store.ErrConflict) {
		t.Errorf("created twice: %v", err)
	}
	run = run.Stored()
	run.V.ID = "b"
	write(t, b, run.Put())
	if got, err := b.Run(t.Context()); err != nil || got.V.ID != "b" {
		t.Errorf("%+v %v", got, err)
	}
	d, err := b.Domain(t.Context(), "example-one.com")
	if err != nil || d.Known() || d.Name != "example-one.com" || d.State.Schema == 0 {
		t.Errorf("%+v %v", d, err)
	}
	if r, err := b.Request(t.Context(), "x"); err != nil || r.Found() {
		t.Errorf("%+v %v", r, err)
	}
}

func TestADamagedRecordIsAnError(t *testing.T) {
	b := newBook(t)
	write(t, b, Record(PKGuard, SKRun, map[string]any{"id": 7}, time.Time{}), Record(PKGuard, "x", struct{}{}, time.Time{}), Record("holds", "a.com", map[string]any{"domain": 7}, time.Time{}))
	if _, err := b.Run(t.Context()); err == nil {
		t.Error("a run that cannot be read is no run")
	}
	n := 0
	for _, err := range b.Holds(t.Context()) {
		if n++; err == nil {
			t.Error("a hold that cannot be read was given")
		}
	}
	if n != 1 {
		t.Errorf("%d steps after an error", n)
	}
}

// A walk sees everything, whatever the page, in both directions, and ends when its reader has enough.
func TestItemsWalksPages(t *testing.T) {
	b := newBook(t)
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("%02d", i))
		write(t, b, Record("p", want[i], struct{}{}, time.Time{}))
	}
	for _, limit := range []int{1, 5, 24, 25, 26, 0} {
		for _, newest := range []bool{false, true} {
			var got []string
			for it, err := range b.Items(t.Context(), store.Query{PK: "p", Limit: limit, Newest: newest}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, it.SK)
			}
			if newest {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d, newest %t: %v", limit, newest, got)
			}
		}
	}
	n := 0
	for range b.Items(t.Context(), store.Query{PK: "p", Limit: 2}) {
		if n++; n == 3 {
			break
		}
	}
	var down Book
	down.Store = failing(b)
	for _, err := range down.Items(t.Context(), store.Query{PK: "p"}) {
		if !errors.Is(err, errDown) {
			t.Errorf("%v", err)
		}
	}
}

var errDown = errors.New("the table is down")

type failing struct{ store.Store }

func (failing) Query(context.Context, store.Query) ([]store.Item, bool, error) {
	return nil, false, errDown
}

// crossed writes the domain between a read and the write that follows, so many times.
type crossed struct {
	store.Store
	t    *testing.T
	left int
}

func (c *crossed) Get(ctx context.Context, k store.Key) (store.Item, error) {
	it, err := c.Store.Get(ctx, k)
	if c.left--; c.left >= 0 {
		d, perr := In(c.Store).Domain(ctx, k.PK)
		if perr != nil {
			c.t.Fatal(perr)
		}
		d.Hosts++
		write(c.t, In(c.Store), d.Put())
	}
	return it, err
}

func TestUpdateGivesWayToAnotherWriter(t *testing.T) {
	for _, test := range []struct {
		others int
		fails  bool
	}{{0, false}, {1, false}, {tries - 1, false}, {tries, true}} {
		b := newBook(t)
		d, err := In(&crossed{b.Store, t, test.others}).Update(t.Context(), "example-one.com", func(d *Domain) ([]store.Write, bool, error) {
			d.Addresses++
			return []store.Write{PutEntry(d.Name, Entry{At: now, What: "look"}, 0)}, true, nil
		})
		if (err != nil) != test.fails || test.fails && !errors.Is(err, store.ErrConflict) {
			t.Fatalf("%d other writers: %v", test.others, err)
		}
		got, err := b.Domain(t.Context(), "example-one.com")
		if err != nil || got.Hosts != test.others || !test.fails && (got.Addresses != 1 || got.Version() != d.Version()) {
			t.Errorf("%d other writers: %+v, given %+v, %v", test.others, got, d, err)
		}
		if entries, _ := b.History(t.Context(), "example-one.com", 9); (len(entries) == 0) != test.fails {
			t.Errorf("%d other writers: history %v", test.others, entries)
		}
	}
	b := newBook(t)
	if _, err := b.Update(t.Context(), "x.com", func(*Domain) ([]store.Write, bool, error) { return nil, false, nil }); err != nil {
		t.Error(err)
	}
	if _, err := b.Update(t.Context(), "x.com", func(*Domain) ([]store.Write, bool, error) { return nil, true, errDown }); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if d, _ := b.Domain(t.Context(), "x.com"); d.Known() {
		t.Error("written although nothing was wanted")
	}
}

func TestHistoryIsKept(t *testing.T) {
	for first, want := range map[bool]time.Duration{false: HistoryTTL, true: FirstTTL} {
		if got := PutEntry("a.com", Entry{At: now, First: first}, 0).Item.Expires; !got.Equal(now.Add(want)) {
			t.Errorf("a first look at which all was well: %t, kept until %s, want %s", first, got, now.Add(want))
		}
	}
}

func TestHistoryIsNewestFirstAndBounded(t *testing.T) {
	b := newBook(t)
	for i := range 5 {
		write(t, b, PutEntry("a.com", Entry{At: now.Add(time.Duration(i) * time.Hour), What: fmt.Sprint(i)}, 0))
	}
	for limit, want := range map[int]int{1: 1, 3: 3, 5: 5, 9: 5} {
		entries, err := b.History(t.Context(), "a.com", limit)
		if err != nil || len(entries) != want || entries[0].What != "4" {
			t.Errorf("%d: %+v %v", limit, entries, err)
		}
	}
}
