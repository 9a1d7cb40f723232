package fanout

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// newerItem is a stored domain as a later version may write it: of another number, and of other types.
const newerItem = `{"v":99,"s":"otherwise"}`

// upgrade makes stored domains such that a newer version wrote.
func (w *world) upgrade(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		it, err := w.Store.Get(t.Context(), records.DomainKey(name))
		if err != nil {
			t.Fatal(err)
		}
		it.Data = []byte(newerItem)
		if err := w.Store.Write(t.Context(), store.Write{Item: it}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestANewerItemStopsNeitherSyncNorDispatch: it is skipped, counted and left alone.
func TestANewerItemStopsNeitherSyncNorDispatch(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.list.set(fmt.Sprintf("example-%03d.com", i), 1, long)
	}
	w.day(t)
	w.upgrade(t, "example-000.com", "example-001.com")
	w.list.set("example-000.com", 5, long) // both changed, one left, and so did others
	delete(w.list.hosts, "example-001.com")
	w.list.set("example-002.com", 7, long)
	delete(w.list.hosts, "example-003.com")
	w.list.set("example-new.com", 1, long)
	var stats bytes.Buffer
	w.Metrics = telemetry.NewMetrics(&stats, w.Now, slog.New(slog.DiscardHandler))
	w.clock.advance(8 * 24 * 3600e9)
	res := w.day(t)
	if !res.Finished || res.Watched != 38 {
		t.Errorf("%+v, want 38 of 40 watched: two were skipped, one left, one is new", res)
	}
	run, err := w.book().Run(t.Context())
	if err != nil || !run.V.Sync.Believed || run.V.Skipped != 2 {
		t.Errorf("%+v %v", run.V, err)
	}
	if w.domain(t, "example-002.com").Addresses != 7 || w.domain(t, "example-003.com").Listed || !w.domain(t, "example-new.com").Listed {
		t.Error("the changes of others were not taken over")
	}
	for _, name := range []string{"example-000.com", "example-001.com"} {
		if it, err := w.Store.Get(t.Context(), records.DomainKey(name)); err != nil || string(it.Data) != newerItem {
			t.Errorf("%s was written over: %s %v", name, it.Data, err)
		}
	}
	if !strings.Contains(stats.String(), `"ItemsSkipped":2`) {
		t.Errorf("not counted: %s", &stats)
	}
	h, err := w.book().Host(t.Context(), "example-000.com")
	if err != nil || h.V.Addresses != 1 {
		t.Errorf("%+v %v: a change that was not taken over must be found again", h.V, err)
	}
}
