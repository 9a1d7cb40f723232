package template

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// upgrade makes stored domains such that a newer version wrote, due at once.
func (g *guard) upgrade(names ...string) {
	g.t.Helper()
	for _, name := range names {
		it, err := g.Store.Get(g.t.Context(), records.DomainKey(name))
		if err != nil {
			g.t.Fatal(err)
		}
		it.Data, it.Due = []byte(`{"v":99,"s":"otherwise"}`), g.at.Add(-time.Hour)
		if err := g.Store.Write(g.t.Context(), store.Write{Item: it}); err != nil {
			g.t.Fatal(err)
		}
	}
}

// TestANewerItemStopsNoDecision: it is due before the others, held by a person as one of them is, and skipped.
func TestANewerItemStopsNoDecision(t *testing.T) {
	g := newGuard(t, time.Hour)
	g.run(true)
	if _, err := g.Applier.Handle(t.Context(), applier.Event{Action: "hold", Domain: "example-01.com", By: "test"}); err != nil {
		t.Fatal(err)
	}
	g.upgrade("example-00.com", "example-01.com")
	g.lapse("example-02.com")
	g.pass(26*time.Hour, time.Hour)
	m, err := records.In(g.Store).Matter(t.Context(), "example-02.com")
	if err != nil || m.Case.V.At() != decision.Done {
		t.Errorf("%+v %v: not decided", m, err)
	}
	for _, name := range []string{"example-00.com", "example-01.com"} {
		if it, err := g.Store.Get(t.Context(), records.DomainKey(name)); err != nil || !bytes.HasPrefix(it.Data, []byte(`{"v":99`)) {
			t.Errorf("%s was written over: %s %v", name, it.Data, err)
		}
	}
	if hold, err := records.In(g.Store).Hold(t.Context(), "example-01.com"); err != nil || !hold.Found() {
		t.Errorf("the hold of a domain that cannot be read was ended: %v", err)
	}
	if !strings.Contains(g.stats.String(), `"ItemsSkipped":2`) {
		t.Error("not counted")
	}
}

// TestATableOfNewerItemsIsNoCompleteRun: it looked at nothing.
func TestATableOfNewerItemsIsNoCompleteRun(t *testing.T) {
	g := newGuard(t, time.Hour)
	g.run(true)
	if err := g.tick(); err != nil {
		t.Fatal(err)
	}
	g.upgrade(g.hosts...)
	g.stats.Reset()
	g.pass(26*time.Hour, time.Hour)
	run, err := records.In(g.Store).Run(t.Context())
	if err != nil || run.V.Complete || run.V.Skipped != len(g.hosts) || strings.Contains(g.stats.String(), `"RunCompleted":1`) {
		t.Errorf("%+v %v", run.V, err)
	}
}

// TestANewerParkedMessageStopsNoOther: it waits for the version that can read it.
func TestANewerParkedMessageStopsNoOther(t *testing.T) {
	g := newGuard(t, time.Hour)
	due := g.at.Add(-time.Minute)
	for _, m := range []queue.Message{
		{Schema: queue.Schema + 1, ID: "a", Kind: "of tomorrow", Upstream: "com", Group: "g", Sent: g.at, Domains: []queue.Entry{{Name: "example-00.com"}}},
		queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: g.at}, []queue.Entry{{Name: "example-01.com"}})[0],
	} {
		if err := g.Store.Write(t.Context(), records.Record(records.PKParked, records.ParkedSK(due, m.ID), m, time.Time{})); err != nil {
			t.Fatal(err)
		}
		if err := g.Store.Write(t.Context(), records.Wake(due, time.Time{})); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := g.tick(); err != nil {
			t.Error(err)
		}
	}
	left, _, err := g.Store.Query(t.Context(), records.Parked("", 10))
	if err != nil || len(left) != 1 || !strings.HasSuffix(left[0].SK, "/a") {
		t.Errorf("%+v %v: parked, want the newer message alone", left, err)
	}
}
