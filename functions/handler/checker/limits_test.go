package checker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// TestWhoBringsTooManyHostsKeepsThoseItHad, wherever they stand among the new ones.
func TestWhoBringsTooManyHostsKeepsThoseItHad(t *testing.T) {
	w := newWorld(t)
	d := records.NewDomain("customer.com", 0)
	d.State.MailSet = "known"
	full := records.Arrivals{N: maxNew - 1, Since: lifecycle.At(w.at)}
	if err := w.Store.Write(t.Context(), records.PutArrivals(d.Name, records.DependsMail, full, time.Time{})); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration][]string{0: {"a-new.net", "c-old.net"}, arrivalsFor: {"a-new.net", "b-new.net", "c-old.net"}} {
		w.at = w.at.Add(after)
		kept, seen, err := w.admit(t.Context(), &visit{before: d, after: d}, records.DependsMail, []string{"a-new.net", "b-new.net", "c-old.net"}, []string{"c-old.net"})
		if err != nil || !slices.Equal(kept, want) || seen.N > maxNew {
			t.Errorf("after %s: %v, %+v %v; want %v", after, kept, seen, err, want)
		}
		w.at = w.at.Add(-after)
	}
}

// TestEachDomainsMailHasItsDayOfTheWeek: of the runs of a year each seventh.
func TestEachDomainsMailHasItsDayOfTheWeek(t *testing.T) {
	w := newWorld(t)
	w.BaselineDays = 14
	for i := range 30 {
		d := records.NewDomain(fmt.Sprintf("example-%02d.com", i), 0)
		last := -7
		for day := range 364 {
			if w.mailDay(&d, lifecycle.At(w.at.AddDate(0, 0, day))) {
				if day-last != 7 && last >= 0 || last < 0 && day > 6 {
					t.Fatalf("%s: on day %d, and before that on day %d", d.Name, day, last)
				}
				last = day
			}
		}
		if last < 357 {
			t.Errorf("%s: last on day %d", d.Name, last)
		}
	}
}

// TestWhoseInvocationEndsGetsNoTurn: the place is there, and its time is not come.
func TestWhoseInvocationEndsGetsNoTurn(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &Budget{Store: db, Log: slog.New(slog.DiscardHandler), Rate: func(base string) rdap.Rate { return rdap.RateOf(base, 0.1) }}
	ctx, stop := context.WithCancelCause(t.Context())
	turns := b.turns("https://a.example/", 2, time.Now)
	if err := turns.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	ended := errors.New("time is up")
	stop(ended)
	if err := turns.Wait(ctx); !errors.Is(err, ended) {
		t.Errorf("%v", err)
	}
}
