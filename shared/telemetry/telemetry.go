// Package telemetry writes the guard's two outputs: JSON log events, and metrics in CloudWatch's embedded
// metric format, which need no agent: CloudWatch reads them out of the log
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Namespace of every metric.
const Namespace = "Lapseguard"

// The metrics. Dashboard and alarms use these names.
const (
	RunCompleted    = "RunCompleted"    // 1 when every message of a daily run was answered
	DomainsChecked  = "DomainsChecked"  // domains that the completed run looked at
	Unverified      = "Unverified"      // domains whose addresses were marked
	WouldUnverify   = "WouldUnverify"   // the same in observe mode
	Held            = "Held"            // new holds
	BreakerTripped  = "BreakerTripped"  // classes over the limit
	RecoveryOpen    = "RecoveryOpen"    // marked, but the registry says that recovery is still open
	RegistryFailing = "RegistryFailing" // calls that failed and will be tried again
)

// NewLogger writes JSON events, one a line, to w; in Lambda w is standard output.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// Metrics writes metrics to a log stream. A nil *Metrics discards them. Safe for concurrent use.
type Metrics struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
}

// NewMetrics writes to w, one JSON line for each Emit.
func NewMetrics(w io.Writer, now func() time.Time) *Metrics { return &Metrics{w: w, now: now} }

// Emit writes values without dimensions: every dimension value is a metric that costs money each month.
func (m *Metrics) Emit(values map[string]float64) error {
	if m == nil || len(values) == 0 {
		return nil
	}
	type metric struct{ Name, Unit string }
	line := map[string]any{}
	var metrics []metric
	for name, v := range values {
		line[name] = v
		metrics = append(metrics, metric{name, "Count"})
	}
	line["_aws"] = map[string]any{
		"Timestamp":         m.now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{"Namespace": Namespace, "Dimensions": [][]string{{}}, "Metrics": metrics}},
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode metrics: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// UserAgent names the product and whom to write to about it, as polite clients do.
func UserAgent(contact string) string {
	if contact == "" {
		return "lapseguard"
	}
	return "lapseguard (+" + contact + ")"
}
