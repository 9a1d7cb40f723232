// Package report prints what a comparison measured: one line a bound, and whether it was met, in words.
package report

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// Line is one thing that was measured. Without a Bound it is only shown.
type Line struct {
	What   string
	Got    float64
	Format string // of Got and Bound, as in package fmt; empty: "%.2f"
	Bound  float64
	AtMost bool   // Bound is the most that may be; otherwise the least
	Note   string // shown behind a line without Bound
}

// Missed says whether the bound was not met. A Got that is no number meets none.
func (l Line) Missed() bool {
	if l.Bound == 0 && !l.AtMost {
		return false
	}
	if l.AtMost {
		return !(l.Got <= l.Bound)
	}
	return !(l.Got >= l.Bound)
}

// Print writes the table, and reports whether every bound was met.
func Print(out io.Writer, lines []Line) bool {
	met := true
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "what\tmeasured\tbound\tresult")
	for _, l := range lines {
		format := l.Format
		if format == "" {
			format = "%.2f"
		}
		bound, result := "", l.Note
		if l.Bound != 0 || l.AtMost {
			side, word := "at least ", "passed"
			if l.AtMost {
				side = "at most "
			}
			if l.Missed() {
				word, met = "MISSED", false
			}
			bound, result = side+fmt.Sprintf(format, l.Bound), word
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.What, fmt.Sprintf(format, l.Got), bound, result)
	}
	_ = table.Flush()
	return met
}

// Median is the middle value, or the mean of the two in the middle; of nothing it is 0.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Ratio is the median of the rounds' own ratios: neighbours on a busy machine slow both sides of a round.
func Ratio(ours, theirs []float64) float64 {
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		ratios = append(ratios, ours[i]/theirs[i])
	}
	return Median(ratios)
}

// Load says how busy the machine is: the figures of a busy one are lower, and its ratios wider.
func Load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return "load " + first
}
