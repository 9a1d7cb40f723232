package applier

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
)

// TestAParkedLookIsSentWhileItIsOfToday: it belongs to no run, and who waited longer is due to be looked at anew.
func TestAParkedLookIsSentWhileItIsOfToday(t *testing.T) {
	for age, sent := range map[time.Duration]int{0: 1, lifecycle.Freshness: 1, lifecycle.Freshness + time.Second: 0} {
		w := newWorld(t)
		m := queue.Message{Schema: queue.Schema, Kind: queue.KindRDAP, Upstream: "https://rdap.example.net/", Group: "rdap/x", Share: 1, Sent: w.at.Add(-age),
			Look: true, Domains: []queue.Entry{{Name: "example-one.com", Item: json.RawMessage(`{}`)}}}
		w.write(records.Record(records.PKParked, records.ParkedSK(w.at, "x"), m, time.Time{}), records.Wake(w.at, time.Time{}))
		w.tick()
		if len(w.out.messages) != sent || sent > 0 && w.out.messages[0].Domains[0].Item != nil {
			t.Errorf("sent %s ago: %+v, want %d as it is stored now", age, w.out.messages, sent)
		}
		if w.tick(); len(w.out.messages) != sent {
			t.Errorf("sent %s ago: sent twice", age)
		}
	}
}
