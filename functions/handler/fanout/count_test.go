package fanout

import (
	"fmt"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/records"
)

func (w *world) counted(t *testing.T, name string) int {
	t.Helper()
	sum, err := w.book().Listed(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return sum.Addresses
}

// TestSumsFollowTheList: what bounds a request is summed up from the registry's list alone, whatever stands in the
// domain's item, and in one transaction with the hosts, also where a domain has more of them than a transaction takes.
func TestSumsFollowTheList(t *testing.T) {
	w := newWorld(t)
	const hosts = 250
	for i := range hosts {
		w.list.set(fmt.Sprintf("h%03d.big.com", i), 2, long)
	}
	w.list.set("small.com", 3, long)
	w.list.set("mail.small.com", 4, long)
	w.day(t)
	if big, small := w.counted(t, "big.com"), w.counted(t, "small.com"); big != 2*hosts || small != 7 {
		t.Fatalf("big.com %d, small.com %d", big, small)
	}
	d := w.domain(t, "small.com")
	d.Addresses = 1_000_000 // by whoever can write the item
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	w.list.set("mail.small.com", 1, long)
	w.list.set("h000.big.com", 0, time.Time{})
	w.day(t)
	if big, small := w.counted(t, "big.com"), w.counted(t, "small.com"); big != 2*hosts-2 || small != 4 {
		t.Errorf("after a change: big.com %d, small.com %d", big, small)
	}
}

// TestHostsOfAnEarlierVersionAreSummedUp by a whole list, which the first run after the update asks for, and once.
func TestHostsOfAnEarlierVersionAreSummedUp(t *testing.T) {
	w := newWorld(t)
	w.list.set("small.com", 3, long)
	w.list.set("mail.small.com", 4, long)
	w.day(t)
	synced, err := w.book().Synced(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	synced.V.Counted = false
	if err := w.Store.Write(t.Context(), synced.Put(), records.Record("listed/small.com", "count", records.Count{}, time.Time{})); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"small.com", "mail.small.com"} {
		h, err := w.book().Host(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		h.V.Counted = false
		if err := w.Store.Write(t.Context(), h.Put()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		w.day(t)
		if n, d := w.counted(t, "small.com"), w.domain(t, "small.com"); n != 7 || d.Addresses != 7 || d.Hosts != 2 {
			t.Errorf("%d, domain %+v", n, d)
		}
	}
}
