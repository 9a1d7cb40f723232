package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func at() time.Time { return time.UnixMilli(1_790_000_000_123) }

// TestEmbeddedMetricFormat: what CloudWatch needs to read a metric out of a log line.
func TestEmbeddedMetricFormat(t *testing.T) {
	var out bytes.Buffer
	m := NewMetrics(&out, at, slog.New(slog.DiscardHandler))
	m.Emit(map[string]float64{RunDuration: 90.5, RunCompleted: 1})
	m.EmitBy(DimReason, "domain_lapsed", map[string]float64{Unverified: 2})
	want := []string{
		`{"RunCompleted":1,"RunDuration":90.5,"_aws":{"CloudWatchMetrics":[{"Dimensions":[[]],"Metrics":[{"Name":"RunCompleted","Unit":"Count"},{"Name":"RunDuration","Unit":"Seconds"}],"Namespace":"Lapseguard"}],"Timestamp":1790000000123}}`,
		`{"Reason":"domain_lapsed","Unverified":2,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Reason"]],"Metrics":[{"Name":"Unverified","Unit":"Count"}],"Namespace":"Lapseguard"}],"Timestamp":1790000000123}}`,
	}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), strings.Join(want, "\n"))
	}
}

// TestMetricsRefuseWhatIsNotListed, and the log says what was not written.
func TestMetricsRefuseWhatIsNotListed(t *testing.T) {
	for name, emit := range map[string]func(m *Metrics){
		"no such name":            func(m *Metrics) { m.Emit(map[string]float64{"RunComplete": 1}) },
		"a dimension left out":    func(m *Metrics) { m.Emit(map[string]float64{Unverified: 1}) },
		"a dimension too much":    func(m *Metrics) { m.EmitBy(DimReason, "x", map[string]float64{RunCompleted: 1}) },
		"another dimension":       func(m *Metrics) { m.EmitBy(DimPhase, "x", map[string]float64{Unverified: 1}) },
		"one of two is not known": func(m *Metrics) { m.Emit(map[string]float64{RunCompleted: 1, "x": 1}) },
	} {
		var out, log bytes.Buffer
		emit(NewMetrics(&out, at, NewLogger(&log, slog.LevelInfo)))
		if out.Len() > 0 || !strings.Contains(log.String(), "is not listed") {
			t.Errorf("%s: wrote %q, the log says %q", name, &out, &log)
		}
	}
}

func TestNilMetricsAndNoValuesWriteNothing(t *testing.T) {
	var none *Metrics
	var out, log bytes.Buffer
	none.Emit(map[string]float64{RunCompleted: 1})
	NewMetrics(&out, at, NewLogger(&log, slog.LevelInfo)).Emit(nil)
	if out.Len() > 0 || log.Len() > 0 {
		t.Errorf("wrote %q, the log says %q", &out, &log)
	}
}

// TestLinesStayWhole when functions write at the same time: half a line is no metric.
func TestLinesStayWhole(t *testing.T) {
	var out bytes.Buffer
	m := NewMetrics(&out, at, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				m.Emit(map[string]float64{Held: 1})
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Fatalf("broken line %q", l)
		}
	}
	if len(lines) != 400 {
		t.Errorf("%d lines, want 400", len(lines))
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("closed") }

func TestMetricsThatCannotBeWrittenAreToldByTheLog(t *testing.T) {
	var log bytes.Buffer
	NewMetrics(closed{}, at, NewLogger(&log, slog.LevelInfo)).Emit(map[string]float64{Held: 1})
	if !strings.Contains(log.String(), "metrics_not_written") || !strings.Contains(log.String(), Held) {
		t.Errorf("the log says %q", &log)
	}
}

func TestListedMetricsAreSound(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range All() {
		if seen[m.Name] || m.Means == "" || m.Hours < 1 || m.Hours > 24 || m.Unit != Count && m.Unit != Seconds {
			t.Errorf("%+v", m)
		}
		seen[m.Name] = true
	}
	if got := UserAgent("https://example.org/"); got != "lapseguard (+https://example.org/)" || UserAgent("") != "lapseguard" {
		t.Errorf("user agent %q", got)
	}
}
