package cloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// meter sums up what calls are charged with: DynamoDB says of each call how many units it took, SQS charges by 64 KB.
type meter struct {
	domains string // name of the table of domains; the other one is infrequent access

	mu    sync.Mutex
	units map[string]float64 // by the price's key, see infra/cost/bill
	calls map[string]float64 // units by folder, operation and price's key, to look at
	looks float64            // domains in messages that applier sent
}

func newMeter(domains string) *meter {
	m := &meter{domains: domains}
	m.reset()
	return m
}

// reset begins anew.
func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.units, m.calls, m.looks = map[string]float64{}, map[string]float64{}, 0
}

func (m *meter) add(folder, operation, key string, n float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.units[key] += n
	m.calls[fmt.Sprintf("%s %s %s", folder, operation, key)] += n
}

// pass has DynamoDB say what a call took, and notes it.
func (m *meter) pass(w http.ResponseWriter, folder, service, operation string, body []byte, pass func(http.ResponseWriter, []byte) error) error {
	if m == nil {
		return pass(w, body)
	}
	switch service {
	case "sqs":
		m.add(folder, operation, "sqs/fifo", math.Max(1, math.Ceil(float64(len(body))/(64<<10))))
		if folder == "applier" {
			m.count(body)
		}
	case "ssm":
		m.add(folder, operation, "ssm/read", 1)
	}
	if service != "dynamodb" {
		return pass(w, body)
	}
	answer := httptest.NewRecorder()
	if err := pass(answer, append([]byte(`{"ReturnConsumedCapacity":"TOTAL",`), bytes.TrimPrefix(bytes.TrimSpace(body), []byte("{"))...)); err != nil {
		return err
	}
	var said struct{ ConsumedCapacity json.RawMessage }
	_ = json.Unmarshal(answer.Body.Bytes(), &said) // an error has none
	type capacity struct {
		TableName     string
		CapacityUnits float64
	}
	var all []capacity
	if json.Unmarshal(said.ConsumedCapacity, &all) != nil {
		all = make([]capacity, 1)
		_ = json.Unmarshal(said.ConsumedCapacity, &all[0])
	}
	way := "write"
	if slices.Contains([]string{"GetItem", "BatchGetItem", "Query", "Scan"}, operation) {
		way = "read"
	}
	for _, c := range all {
		table := "dynamodb-ia/"
		if c.TableName == m.domains {
			table = "dynamodb/"
		}
		m.add(folder, operation, table+way, c.CapacityUnits)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, err := w.Write(answer.Body.Bytes())
	return err
}

// told is the units, sorted, for a log.
func (m *meter) told() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(m.calls)) {
		lines = append(lines, fmt.Sprintf("%s: %.1f", k, m.calls[k]))
	}
	return strings.Join(lines, "\n")
}

// count adds up the domains in a request of messages.
func (m *meter) count(body []byte) {
	var request struct {
		Entries []struct{ MessageBody string }
	}
	_ = json.Unmarshal(body, &request) // it is the SDK's
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range request.Entries {
		if message, err := queue.Decode([]byte(e.MessageBody)); err == nil {
			m.looks += float64(len(message.Domains))
		}
	}
}

// sums are the units by the price's key, and at how many domains applier had checker look.
func (m *meter) sums() (units map[string]float64, looks float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.units), m.looks
}
