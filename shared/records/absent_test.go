package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
)

// TestNothingDamagedReadsAsNothing: what stands there and cannot be read is an error to whoever asks for it, or a hold, an
// upstream's outage or a host of the list would be taken for one that never was.
func TestNothingDamagedReadsAsNothing(t *testing.T) {
	b := newBook(t)
	damaged := func(pk, sk, field string) store.Write {
		return Record(pk, sk, map[string]any{field: []string{"damaged"}}, time.Time{})
	}
	write(t, b, damaged(PKUpstreams, "rdap/x", "last_good"), damaged(PKHosts, "old.com", "n"), damaged(hostPK("new.com"), "new.com", "n"),
		damaged(HistoryPK("a.com"), HistorySK(now, 1), "at"), damaged(caseKey("a.com").PK, skRecovery, "since"), damaged(PKGuard, SKClosings, "h"),
		damaged(PKDigest+"/2026-03-02", "x", "changed"), damaged(PKRequest, "a.com:1", "domain"))
	for what, read := range map[string]func(ctx context.Context) error{
		"the upstreams":      func(ctx context.Context) error { _, err := b.Upstreams(ctx); return err },
		"an upstream":        func(ctx context.Context) error { _, err := b.LastGood(ctx, "rdap/x"); return err },
		"a host as it was":   func(ctx context.Context) error { _, err := b.Host(ctx, "old.com"); return err },
		"a host":             func(ctx context.Context) error { _, err := b.Host(ctx, "new.com"); return err },
		"named hosts":        func(ctx context.Context) error { _, err := b.HostsNamed(ctx, []string{"new.com"}); return err },
		"a history":          func(ctx context.Context) error { _, err := b.History(ctx, "a.com", 5); return err },
		"a recovery":         func(ctx context.Context) error { _, err := b.Recovery(ctx, "a.com"); return err },
		"a ledger":           func(ctx context.Context) error { _, err := b.Closings(ctx); return err },
		"a day's lines":      func(ctx context.Context) error { _, err := b.Lines(ctx, "2026-03-02"); return err },
		"a frozen request":   func(ctx context.Context) error { _, err := b.Request(ctx, "a.com:1"); return err },
		"a walk, of the end": func(ctx context.Context) error { return last(b.Hosts(ctx, "", "")) },
	} {
		if err := read(t.Context()); err == nil {
			t.Errorf("%s: read as if there were none", what)
		}
	}
}

func last(walk func(func(Of[Host], error) bool)) (last error) {
	for _, err := range walk {
		last = err
	}
	return last
}

func TestRequestsAreOfOneDomainAndBounded(t *testing.T) {
	b := newBook(t)
	var want []string
	for i := range maxRequests + 1 {
		key := fmt.Sprintf("example.com:%04d", i)
		want = append(want, key)
		write(t, b, Record(PKRequest, key, Request{Domain: "example.com"}, time.Time{}))
	}
	write(t, b, Record(PKRequest, "example.co:0", Request{}, time.Time{}), Record(PKRequest, "example.com.de:0", Request{}, time.Time{}))
	if keys, err := b.Requests(t.Context(), "example.com"); err != nil || !slices.Equal(keys, want[:maxRequests]) {
		t.Errorf("%d keys, want the first %d: %v", len(keys), maxRequests, err)
	}
	if keys, err := b.Requests(t.Context(), "example.co"); err != nil || len(keys) != 1 {
		t.Errorf("%v %v", keys, err)
	}
}

// TestWhoseRecoveryIsMended: the synthetic domain and one that the list does not have are no business of the registry's.
func TestWhoseRecoveryIsMended(t *testing.T) {
	for _, c := range []struct {
		since, closed     lifecycle.Instant
		listed, synthetic bool
		want              bool
	}{
		{7, 0, true, false, true}, {0, 7, true, false, true}, {7, 6, true, false, true},
		{7, 7, true, false, false}, {0, 0, true, false, false}, {7, 0, false, false, false}, {7, 0, true, true, false},
	} {
		d := NewDomain("example.com", 0)
		d.State.Control.Since, d.Closed, d.Listed, d.Synthetic = c.since, c.closed, c.listed, c.synthetic
		if d.Differs() != c.want {
			t.Errorf("%+v: differs %t", c, d.Differs())
		}
	}
}

// TestMattersNamesWhatIsNewer, and gives the others.
func TestMattersNamesWhatIsNewer(t *testing.T) {
	b := newBook(t)
	w := NewDomain("newer.com", 0).Put()
	w.Data = []byte(`{"v":99}`)
	write(t, b, w, lapsing("fine.com").Put())
	found, err := b.Matters(t.Context(), []string{"newer.com", "fine.com", "absent.com"})
	var newer *Newer
	if !errors.As(err, &newer) || !slices.Equal(newer.Names, []string{"newer.com"}) || len(found) != 1 || !found["fine.com"].Domain.Known() {
		t.Errorf("%v, %v", found, err)
	}
	absent, err := b.Matter(t.Context(), "absent.com")
	if want := NewDomain("absent.com", 0); err != nil || absent.Domain.State != want.State {
		t.Errorf("an absent domain is %+v, want %+v: %v", absent.Domain.State, want.State, err)
	}
}
