package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
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
	m := NewMetrics(&out, at)
	if err := m.Emit(map[string]float64{RunDuration: 90.5, RunCompleted: 1}); err != nil {
		t.Fatal(err)
	}
	if err := m.EmitBy(DimReason, "domain_lapsed", map[string]float64{Unverified: 2}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"RunCompleted":1,"RunDuration":90.5,"_aws":{"CloudWatchMetrics":[{"Dimensions":[[]],"Metrics":[{"Name":"RunCompleted","Unit":"Count"},{"Name":"RunDuration","Unit":"Seconds"}],"Namespace":"Lapseguard"}],"Timestamp":1790000000123}}`,
		`{"Reason":"domain_lapsed","Unverified":2,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Reason"]],"Metrics":[{"Name":"Unverified","Unit":"Count"}],"Namespace":"Lapseguard"}],"Timestamp":1790000000123}}`,
	}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), strings.Join(want, "\n"))
	}
}

func TestMetricsRefuseWhatIsNotListed(t *testing.T) {
	var out bytes.Buffer
	m := NewMetrics(&out, at)
	for name, err := range map[string]error{
		"no such name":            m.Emit(map[string]float64{"RunComplete": 1}),
		"a dimension left out":    m.Emit(map[string]float64{Unverified: 1}),
		"a dimension too much":    m.EmitBy(DimReason, "x", map[string]float64{RunCompleted: 1}),
		"another dimension":       m.EmitBy(DimPhase, "x", map[string]float64{Unverified: 1}),
		"one of two is not known": m.Emit(map[string]float64{RunCompleted: 1, "x": 1}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if out.Len() > 0 {
		t.Errorf("written all the same: %s", &out)
	}
}

func TestNilMetricsAndNoValuesWriteNothing(t *testing.T) {
	var none *Metrics
	var out bytes.Buffer
	if err := errors.Join(none.Emit(map[string]float64{RunCompleted: 1}), NewMetrics(&out, at).Emit(nil)); err != nil || out.Len() > 0 {
		t.Errorf("%v, wrote %q", err, &out)
	}
}

// TestLinesStayWhole when functions write at the same time: half a line is no metric.
func TestLinesStayWhole(t *testing.T) {
	var out bytes.Buffer
	m := NewMetrics(&out, at)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_ = m.Emit(map[string]float64{Held: 1})
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

func TestAFailingLogIsAnError(t *testing.T) {
	if err := NewMetrics(closed{}, at).Emit(map[string]float64{Held: 1}); err == nil {
		t.Error("no error")
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
