package report

import (
	"math"
	"strings"
	"testing"
)

func TestPrint(t *testing.T) {
	for _, tc := range []struct {
		name string
		line Line
		word string
		met  bool
	}{
		{"least, met", Line{Got: 2, Bound: 2}, "passed", true},
		{"least, missed", Line{Got: 1.99, Bound: 2}, "MISSED", false},
		{"most, met", Line{Got: 110, Bound: 110, AtMost: true}, "passed", true},
		{"most, missed", Line{Got: 110.1, Bound: 110, AtMost: true}, "MISSED", false},
		{"none at all", Line{Got: 0, AtMost: true, Format: "%.0f"}, "at most 0", true},
		{"one too many", Line{Got: 1, AtMost: true}, "MISSED", false},
		{"shown only", Line{Got: 7, Note: "beside it"}, "beside it", true},
		{"no number", Line{Got: math.NaN(), Bound: 1}, "MISSED", false},
		{"no number at most", Line{Got: math.NaN(), Bound: 1, AtMost: true}, "MISSED", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			if met := Print(&out, []Line{{What: "first", Got: 1}, tc.line}); met != tc.met || !strings.Contains(out.String(), tc.word) {
				t.Errorf("met %v:\n%s", met, out.String())
			}
		})
	}
}

func TestMedianAndRatio(t *testing.T) {
	if got := Median([]float64{9, 1, 2}); got != 2 {
		t.Error(got)
	}
	if got := Median([]float64{4, 1, 2, 9}); got != 3 {
		t.Error(got)
	}
	if got := Median(nil); got != 0 {
		t.Error(got)
	}
	if got := Ratio([]float64{10, 40, 30}, []float64{5, 10, 10}); got != 3 {
		t.Error(got)
	}
}
