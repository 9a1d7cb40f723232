package records

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// TestHostsAreSpread: an ascending list is written to many partitions, none of them above its share, is walked in
// order, and hosts that an earlier version stored in one partition are found, changed and removed where they are.
func TestHostsAreSpread(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "guard.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	b, ctx := In(s), t.Context()
	const n = 4000
	written := map[string]int{}
	var want []string
	for i := range n {
		name := fmt.Sprintf("example-%04d.com", i)
		want = append(want, name)
		w := NewHost(name).Put()
		if i%100 == 0 { // as an earlier version did
			w.PK = PKHosts
		}
		written[w.PK]++
		if err := s.Write(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	for pk, got := range written {
		if got > n/10 {
			t.Errorf("%d of %d in partition %s", got, n, pk)
		}
	}
	walk := func(after, end string) (got []string) {
		for r, err := range b.Hosts(ctx, after, end) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.SK())
		}
		return got
	}
	if got := walk("", ""); !slices.Equal(got, want) {
		t.Errorf("walked %d, want %d in order", len(got), n)
	}
	if got := walk(want[99], want[300]); !slices.Equal(got, want[100:301]) {
		t.Errorf("walked %v", got)
	}
	named, err := b.HostsNamed(ctx, want[:700])
	if err != nil || len(named) != 700 {
		t.Errorf("%d of 700 by name, %v", len(named), err)
	}
	for _, name := range []string{want[0], want[1]} {
		r, err := b.Host(ctx, name)
		if err != nil || !r.Found() {
			t.Fatalf("%s: %+v %v", name, r, err)
		}
		r.V.Addresses = 7
		if err := s.Write(ctx, r.Put()); err != nil {
			t.Fatal(err)
		}
		if r, err = b.Host(ctx, name); err != nil || r.V.Addresses != 7 {
			t.Errorf("%s: %+v %v", name, r, err)
		}
		if err := s.Write(ctx, r.Delete()); err != nil {
			t.Fatal(err)
		}
	}
	if got := walk("", ""); !slices.Equal(got, want[2:]) {
		t.Errorf("walked %d after two were removed", len(got))
	}
	if r, err := b.Host(ctx, "absent.example"); err != nil || r.Found() || r.Put().PK == PKHosts {
		t.Errorf("%+v %v", r, err)
	}
}

// TestAHostStaysWhereItIs: where it is stored follows from its name, and must not change from one version to the next.
func TestAHostStaysWhereItIs(t *testing.T) {
	for host, pk := range map[string]string{"example.com": "hosts/06", "mail.example.org": "hosts/14", "a.example": "hosts/08"} {
		if got := NewHost(host).Put().PK; got != pk {
			t.Errorf("%s is looked for in %s, and was stored in %s", host, got, pk)
		}
	}
}
