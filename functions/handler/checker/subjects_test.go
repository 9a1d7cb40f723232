package checker

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// TestASubjectIsDecodedOnce: what the message carries later counts for nothing.
func TestASubjectIsDecodedOnce(t *testing.T) {
	w := newWorld(t)
	entries := []queue.Entry{w.add("a-one.com")}
	known := newSubjects(w.Store, entries)
	first, err := known.domain(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	entries[0].Item = json.RawMessage(`{"v":77}`)
	if again, err := known.domain(t.Context(), 0); err != nil || again.Addresses != first.Addresses {
		t.Errorf("decoded again: %+v %v", again, err)
	}
}

// TestAParkedDomainIsReadOnce: doubt, and the judgement after it, share what was read.
func TestAParkedDomainIsReadOnce(t *testing.T) {
	w := newWorld(t)
	var parked []queue.Entry
	for _, name := range []string{"a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com"} {
		w.quiet(name)
		w.dns.by[name] = gone()
		parked = append(parked, queue.Entry{Name: name})
	}
	w.count.gets = 0
	w.handle(queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: w.at}, parked)...)
	if w.count.gets != len(parked) {
		t.Errorf("%d reads of %d domains that the message carried nothing of", w.count.gets, len(parked))
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestAMetricFailsNoMessage: what was learned is stored, whatever becomes of the metric.
func TestAMetricFailsNoMessage(t *testing.T) {
	w := newWorld(t)
	w.Metrics = telemetry.NewMetrics(fullDisk{}, w.Now, w.Log)
	w.dns.by["a-one.com"] = delegated("ns1.host.example")
	w.ask(queue.Message{}, w.add("a-one.com")) // the registry is silent: an upstream's failure is measured
	if w.get("a-one.com").State.DelegAt == 0 {
		t.Error("the answer was lost with a metric")
	}
}
