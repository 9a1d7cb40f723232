package main

import (
	_ "embed"
	"fmt"
	"strings"
)

// Expected is what the guard is known to come to in CI's size, in one run: a digest of its decisions, and what it missed
// and whom it wronged, by kind. expected.tsv has a run without and one with the status API, and one with it at a registry
// that cannot close recovery; it is written anew by
//
//	go test ./infra/timelapse -run TestQuarter -update
//
// and a change of it belongs into the commit of the rule that changed.
type Expected struct {
	Digest string
	Kinds  map[string]Totals // Domains, Takeovers, Missed, Wrong, Shut
}

//go:embed expected.tsv
var expectedText string

// ciSize is what CI plays: a quarter of a small world.
func ciSize() Size { return Size{Domains: 400, Days: 91, Seed: 1, Oversampled: true} }

const (
	expectedHead = "# What the guard comes to in CI's size, see expected.go: run, kind, domains, takeovers, missed, wronged, shut out\n"
	digestForm   = "%s\tdigest\t%s\n"
	expectedForm = "%s\t%s\t%d\t%d\t%d\t%d\t%d\n"
)

// format is a run's part of the file.
func (e Expected) format(run string, kinds []KindCount) string {
	var b strings.Builder
	fmt.Fprintf(&b, digestForm, run, e.Digest)
	for _, k := range kinds {
		t := e.Kinds[k.Kind]
		fmt.Fprintf(&b, expectedForm, run, k.Kind, t.Domains, t.Takeovers, t.Missed, t.Wrong, t.Shut)
	}
	return b.String()
}

// parseExpected reads a run's part of the file.
func parseExpected(text, run string) (Expected, error) {
	e := Expected{Kinds: map[string]Totals{}}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, run+"\t") {
			continue
		}
		if _, err := fmt.Sscanf(line, digestForm, new(string), &e.Digest); err == nil {
			continue
		}
		var kind string
		var t Totals
		if _, err := fmt.Sscanf(line, expectedForm, new(string), &kind, &t.Domains, &t.Takeovers, &t.Missed, &t.Wrong, &t.Shut); err != nil {
			return e, fmt.Errorf("expected.tsv, %q: %w", strings.TrimSpace(line), err)
		}
		e.Kinds[kind] = t
	}
	return e, nil
}

// differences says where a run of the guard came to something else than expected, kind by kind.
func (e Expected) differences(c Column, kinds []KindCount) []string {
	var all []string
	for _, k := range kinds {
		want, got := e.Kinds[k.Kind], c.Kinds[k.Kind]
		for _, n := range []struct {
			what      string
			want, got int
		}{
			{"domains", want.Domains, got.Domains}, {"takeovers", want.Takeovers, got.Takeovers}, {"missed", want.Missed, got.Missed},
			{"wronged", want.Wrong, got.Wrong}, {"shut out", want.Shut, got.Shut},
		} {
			if n.want != n.got {
				all = append(all, fmt.Sprintf("%s: %s %d, expected %d", k.Kind, n.what, n.got, n.want))
			}
		}
	}
	return all
}
