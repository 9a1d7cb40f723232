package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Namespace of every metric.
const Namespace = "Lapseguard"

// The metrics: every name that dashboard and alarms may use.
const (
	RunCompleted      = "RunCompleted"
	RunDuration       = "RunDuration"
	DomainsDue        = "DomainsDue"
	DomainsChecked    = "DomainsChecked"
	DomainsByPhase    = "DomainsByPhase"
	DomainsUnknown    = "DomainsUnknown"
	DomainsUnseen     = "DomainsUnseen"
	HostsNotCovered   = "HostsNotCovered"
	ItemsSkipped      = "ItemsSkipped"
	Unverified        = "Unverified"
	WouldUnverify     = "WouldUnverify"
	Held              = "Held"
	HoldsOpen         = "HoldsOpen"
	HoldsStale        = "HoldsStale"
	ModeDiffers       = "ModeDiffers"
	BreakerTripped    = "BreakerTripped"
	RecoveryOpen      = "RecoveryOpen"
	RecoveryClosed    = "RecoveryClosed"
	Closings          = "Closings"
	WouldClose        = "WouldClose"
	Openings          = "Openings"
	RegistryFailing   = "RegistryFailing"
	ListFailing       = "ListFailing"
	CanaryCompleted   = "CanaryCompleted"
	UpstreamErrors    = "UpstreamErrors"
	UpstreamThrottled = "UpstreamThrottled"
	UpstreamFailing   = "UpstreamFailing"
	UpstreamsSilent   = "UpstreamsSilent"
	ListAge           = "ListAge"
)

// The dimensions. Every value of a dimension is a metric that costs money each month, so their number is bounded.
const (
	DimPhase    = "Phase"    // lifecycle.Phases
	DimReason   = "Reason"   // registry.Reasons
	DimUpstream = "Upstream" // Upstreams
)

// Unit is CloudWatch's word for what a value counts.
type Unit string

// The units in use.
const (
	Count   Unit = "Count"
	Seconds Unit = "Seconds"
)

// Metric says what a metric means, for the dashboard, the price and the reader.
type Metric struct {
	Name      string
	Unit      Unit
	Dimension string // empty: none
	Hours     int    // hours of a usual day in which it is written: CloudWatch charges a metric by the hour
	Means     string
}

// All lists every metric.
func All() []Metric {
	return []Metric{
		{RunCompleted, Count, "", 1, "1 when every message of a daily run was answered"},
		{RunDuration, Seconds, "", 1, "from the start of a run until it was complete"},
		{DomainsDue, Count, "", 1, "domains that the run was to look at"},
		{DomainsChecked, Count, "", 1, "looks that the completed run took; a domain asked of two upstreams counts twice"},
		{DomainsByPhase, Count, DimPhase, 1, "watched domains in each phase, as the run found them stored"},
		{DomainsUnknown, Count, "", 1, "watched domains of which nothing could be believed for a week"},
		{DomainsUnseen, Count, "", 1, "watched domains whose lapse nobody would see: their zone need not show it, and nobody can be asked"},
		{HostsNotCovered, Count, "", 1, "e-mail hosts of the registry that cannot be watched"},
		{ItemsSkipped, Count, "", 1, "stored domains left alone, as a newer version wrote them or they are damaged"},
		{Unverified, Count, DimReason, 2, "domains whose addresses were marked"},
		{WouldUnverify, Count, DimReason, 1, "the same in observe mode"},
		{Held, Count, "", 4, "new holds"},
		{HoldsOpen, Count, "", 4, "holds that wait for a decision"},
		{HoldsStale, Count, "", 4, "of these, for longer than three days"},
		{ModeDiffers, Count, "", 4, "1 when the parameter Mode and the kill switch say different things"},
		{BreakerTripped, Count, "", 1, "classes over the breaker's limit"},
		{RecoveryOpen, Count, "", 1, "answers, the daily probe's among them, by which marked addresses can still recover their accounts"},
		{RecoveryClosed, Count, "", 1, "watched domains at which account recovery is to be closed, as the run found them"},
		{Closings, Count, "", 2, "domains at which recovery was closed"},
		{WouldClose, Count, "", 1, "the same in observe mode"},
		{Openings, Count, "", 2, "domains at which it was opened again"},
		{RegistryFailing, Count, "", 1, "calls that failed and will be made again"},
		{ListFailing, Count, "", 1, "runs whose list could not be read or could not be believed"},
		{CanaryCompleted, Count, "", 1, "1 when the day's synthetic domain reached its dry run at the registry"},
		{UpstreamErrors, Count, DimUpstream, 4, "questions that an upstream failed to answer"},
		{UpstreamThrottled, Count, "", 2, "questions that an upstream refused as too many (HTTP 429 and its like)"},
		{UpstreamFailing, Count, "", 6, "messages, but small ones to small upstreams, whose upstream failed for most of what was asked"},
		{UpstreamsSilent, Count, "", 1, "upstreams without an answer to believe for two days"},
		{ListAge, Count, "", 4, "days since the date of the older of two lists: of public suffixes (fanout), of RDAP servers (checker)"},
	}
}

// Metrics writes metrics to a log stream. A nil *Metrics discards them. Safe for concurrent use. No caller learns of a
// metric that could not be written, as no step may fail for it: the log does.
type Metrics struct {
	mu    sync.Mutex
	w     io.Writer
	now   func() time.Time
	log   *slog.Logger
	known map[string]Metric
}

// NewMetrics writes to w, one JSON line for each Emit, and to log what it could not write.
func NewMetrics(w io.Writer, now func() time.Time, log *slog.Logger) *Metrics {
	m := &Metrics{w: w, now: now, log: log, known: map[string]Metric{}}
	for _, k := range All() {
		m.known[k.Name] = k
	}
	return m
}

// Emit writes values without dimensions. A name that All does not list, or lists with a dimension, is not written.
func (m *Metrics) Emit(values map[string]float64) { m.EmitBy("", "", values) }

// EmitBy writes values for one value of a dimension, and not without it: that would be one more metric to pay for.
// A metric that All lists without this dimension is not written.
func (m *Metrics) EmitBy(dimension, value string, values map[string]float64) {
	if m == nil || len(values) == 0 {
		return
	}
	if err := m.write(dimension, value, values); err != nil {
		m.log.Error("metrics_not_written", "metrics", slices.Sorted(maps.Keys(values)), "error", err)
	}
}

func (m *Metrics) write(dimension, value string, values map[string]float64) error {
	type metric struct {
		Name string
		Unit Unit
	}
	set := []string{}
	line := map[string]any{}
	if dimension != "" {
		set = []string{dimension}
		line[dimension] = value
	}
	var metrics []metric
	for _, name := range slices.Sorted(maps.Keys(values)) {
		k, ok := m.known[name]
		if !ok || k.Dimension != dimension {
			return fmt.Errorf("metric %q with dimension %q is not listed", name, dimension)
		}
		line[name] = values[name]
		metrics = append(metrics, metric{name, k.Unit})
	}
	line["_aws"] = map[string]any{
		"Timestamp":         m.now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{"Namespace": Namespace, "Dimensions": [][]string{set}, "Metrics": metrics}},
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
