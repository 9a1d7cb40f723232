package refregistry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// whole reads all pages.
func (r *rig) whole(t *testing.T, limit int, since time.Time) (hosts []registry.HostCount, asOf time.Time) {
	t.Helper()
	for after, n := "", 0; ; n++ {
		p, err := r.client.List(t.Context(), after, limit, since)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			asOf = p.AsOf
		}
		hosts = append(hosts, p.Hosts...)
		if after = p.Next; after == "" {
			if !p.Complete {
				t.Fatal("the last page is not complete")
			}
			return hosts, asOf
		}
		if p.Complete || len(p.Hosts) != limit {
			t.Fatalf("page %d: complete %t, %d hosts", n, p.Complete, len(p.Hosts))
		}
	}
}

// model counts by hand.
func (r *rig) model(t *testing.T) map[string]registry.HostCount {
	t.Helper()
	all, err := r.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]registry.HostCount{}
	unknown := map[string]bool{}
	for _, a := range all {
		if !a.Verified {
			continue
		}
		host := a.Address[strings.LastIndexByte(a.Address, '@')+1:]
		h := hosts[host]
		h.Host = host
		h.Addresses++
		if a.VerifiedAt.IsZero() {
			unknown[host] = true
		} else {
			if h.Oldest.IsZero() || a.VerifiedAt.Before(h.Oldest) {
				h.Oldest = a.VerifiedAt
			}
			if a.VerifiedAt.After(h.Newest) {
				h.Newest = a.VerifiedAt
			}
		}
		hosts[host] = h
	}
	for host := range unknown {
		h := hosts[host]
		h.Oldest = time.Time{}
		hosts[host] = h
	}
	return hosts
}

func ascending(hosts map[string]registry.HostCount) []registry.HostCount {
	return slices.SortedFunc(maps.Values(hosts), func(a, b registry.HostCount) int { return cmp.Compare(a.Host, b.Host) })
}

// Whatever is done to the registry, the pages of the list, of any size, are the whole as counted by hand; and
// applying each list of changes to the list before it gives that too.
func TestListPagesConcatenateToTheWhole(t *testing.T) {
	hosts := []string{"a.example", "A.example", "b.example", "m.b.example", "b\u00fccher.example", "\U0001f4ee.example", "z-.example", "z.example", "[192.0.2.1]", "odd_host"}
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, nil)
		known := map[string]registry.HostCount{}
		var asOf time.Time
		for step := range rapid.IntRange(1, 6).Draw(rt, "steps") {
			for i := range rapid.IntRange(0, 8).Draw(rt, "added") {
				at := rapid.SampledFrom([]*time.Time{nil, ptr(day(1)), ptr(day(5)), ptr(day(16)), ptr(day(9).Add(123456 * time.Microsecond))}).Draw(rt, "at")
				address := fmt.Sprintf("u%d-%d@%s", step, i, rapid.SampledFrom(hosts).Draw(rt, "host"))
				if err := r.AddAddress(t.Context(), address, at); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.Bool().Draw(rt, "unverify") {
				in := request(rapid.SampledFrom([]string{"b.example", "a.example", "z.example"}).Draw(rt, "domain"), fmt.Sprint("k", step))
				in.MaxAddresses = 100
				if _, err := r.client.Unverify(t.Context(), in); err != nil {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "restore") {
					if _, err := r.client.Restore(t.Context(), in.Key); err != nil {
						rt.Fatal(err)
					}
				}
			}
			limit := rapid.IntRange(1, 12).Draw(rt, "limit")
			got, _ := r.whole(t, limit, time.Time{})
			want := r.model(t)
			if !slices.Equal(got, ascending(want)) {
				rt.Fatalf("pages of %d: %v, want %v", limit, got, ascending(want))
			}
			var changes []registry.HostCount
			if step == 0 {
				changes, asOf = r.whole(t, limit, time.Time{})
			} else {
				changes, asOf = r.whole(t, limit, asOf)
			}
			for _, h := range changes {
				known[h.Host] = h
				if h.Addresses == 0 {
					delete(known, h.Host)
				}
			}
			if !maps.Equal(known, want) {
				rt.Fatalf("changes lead to %v, want %v", known, want)
			}
			if rapid.Bool().Draw(rt, "time passes") {
				r.clock.add(time.Second)
			}
		}
	})
}

func TestListOfChangesNamesWhatChangedAndWhatLeft(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@stays.example": 1})
	r.clock.add(time.Hour)
	_, asOf := r.whole(t, 10, time.Time{})
	r.clock.add(time.Hour)
	if got, _ := r.whole(t, 10, asOf.Add(time.Microsecond)); got != nil {
		t.Fatal(got)
	}
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	got, _ := r.whole(t, 10, asOf)
	if len(got) != 1 || got[0] != (registry.HostCount{Host: "lapsed.example"}) {
		t.Fatal(got)
	}
}

func TestListOfAnEmptyRegistryIsComplete(t *testing.T) {
	r := newRig(t, nil)
	if got, asOf := r.whole(t, 10, time.Time{}); got != nil || !asOf.Equal(day(20)) {
		t.Fatal(got, asOf)
	}
}

// A registry of a million addresses at 100,000 hosts: one page of 10,000.
func BenchmarkListPage(b *testing.B) {
	s, err := Open(Config{Path: b.TempDir() + "/registry.db", Token: token, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	account, err := s.AddAccount(b.Context(), "one")
	if err != nil {
		b.Fatal(err)
	}
	err = s.Load(b.Context(), func(yield func(Row) bool) {
		for i := range 1_000_000 {
			if !yield(Row{Account: account, Address: fmt.Sprintf("u%d@h%06d.example", i, i%100_000), VerifiedAt: day(1).Add(time.Duration(i) * time.Second)}) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	after := "h050000.example"
	for b.Loop() {
		page, err := s.page(b.Context(), adminapi.ListQuery{After: after, Limit: registry.MaxPage})
		if err != nil || len(page.Hosts) != registry.MaxPage {
			b.Fatal(len(page.Hosts), err)
		}
	}
}
