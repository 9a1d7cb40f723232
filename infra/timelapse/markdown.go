package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tracesShown is how many traces the Markdown has; the JSON has all.
const tracesShown = 12

// markdown is the result as tables.
func (r Result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`make simulate SEED=%d DOMAINS=%d DAYS=%d`; the guard: %s.\n\n", r.Size.Seed, r.Size.Domains, r.Size.Days, r.Options)
	r.policies(&b)
	r.byKind(&b)
	r.byTLD(&b)
	if r.Load != nil {
		r.Load.markdown(&b)
	}
	fmt.Fprintf(&b, "Digest of the guard's decisions: `%s`.\n", r.Digest)
	if len(r.Traces) > 0 {
		fmt.Fprintf(&b, "\n%d domains were missed, wronged or shut out for long; the first of each kind, and all in result.json:\n", len(r.Traces))
	}
	shown := map[string]bool{}
	for _, t := range r.Traces {
		if !t.Fate.Missed && t.Fate.Wrong == 0 {
			continue
		}
		if key := t.Fate.Kind + fmt.Sprint(t.Fate.Missed); shown[key] || len(shown) >= tracesShown {
			continue
		} else {
			shown[key] = true
		}
		b.WriteString("\n" + t.markdown())
	}
	return b.String()
}

func (t Trace) markdown() string {
	what := "missed"
	switch {
	case !t.Fate.Missed && t.Fate.Wrong > 0:
		what = "wronged"
	case !t.Fate.Missed:
		what = "neither missed nor wronged"
	}
	return fmt.Sprintf("%s (%s), %s; the rule that decided last: %s\n\n    %s\n", t.Fate.Domain, t.Fate.Kind, what, t.Rule, strings.Join(t.Lines, "\n    "))
}

func (r Result) policies(b *strings.Builder) {
	row := func(name string, cell func(c Column) string) {
		fmt.Fprintf(b, "| %s |", name)
		for _, c := range r.Columns {
			fmt.Fprintf(b, " %s |", cell(c))
		}
		b.WriteString("\n")
	}
	row("", func(c Column) string { return c.Name })
	b.WriteString("|---|" + strings.Repeat("---:|", len(r.Columns)) + "\n")
	number := func(n int) string { return fmt.Sprint(n) }
	row("takeovers tried", func(c Column) string { return number(c.All.Takeovers) })
	row("**takeovers missed**", func(c Column) string { return "**" + number(c.All.Missed) + "**" })
	row("of these closed within a day after", func(c Column) string { return number(c.All.Soon) })
	row("missed where control passed between two daily looks", func(c Column) string { return number(c.Unseen.Missed) })
	row("of these closed within a day after", func(c Column) string { return number(c.Unseen.Soon) })
	row("of all takeovers, each kind at its true rate, %", func(c Column) string { return hours(c.UnseenShare) })
	row("missed where the zone shows no lapse and nobody can be asked", func(c Column) string { return number(c.Blind.Missed) })
	row("missed where nothing differed that a holder would not change too", func(c Column) string { return number(c.Alike.Missed) })
	row("**missed otherwise**", func(c Column) string {
		return "**" + number(c.All.Missed-c.Unseen.Missed-c.Blind.Missed-c.Alike.Missed) + "**"
	})
	row("**holders unverified wrongly** (domains)", func(c Column) string { return "**" + number(c.All.Wrong) + "**" })
	row("holders shut out while their mail worked", func(c Column) string { return number(c.All.Shut) })
	row("they were shut out for, median h", func(c Column) string { return hours(c.All.ShutHours) })
	row("lost domains with an address still verified", func(c Column) string { return number(c.All.Left) })
	row("first sign to protection, median h", func(c Column) string { return hours(c.All.Median) })
	row("the same, p99", func(c Column) string { return hours(c.All.P99) })
	row("the same without outages and second looks, median h", func(c Column) string { return hours(c.Plain.Median) })
	row("the same, p99", func(c Column) string { return hours(c.Plain.P99) })
	row("of all, longest", func(c Column) string { return hours(c.All.Max) })
	row("a host above the person's limit: takeovers", func(c Column) string { return number(c.Many.Takeovers) })
	row("of these missed", func(c Column) string { return number(c.Many.Missed) })
	b.WriteString("\n")
}

func hours(h float64) string { return fmt.Sprintf("%.1f", h) }

// cells are a kind's (or TLD's) numbers under each policy: missed of takeovers, and wronged.
func (r Result) cells(b *strings.Builder, totals func(c Column) Totals) {
	first := totals(r.Columns[0])
	fmt.Fprintf(b, " %d | %d |", first.Domains, first.Takeovers)
	for _, c := range r.Columns {
		t := totals(c)
		missed, wrong := fmt.Sprint(t.Missed), fmt.Sprint(t.Wrong)
		if t.Takeovers == 0 {
			missed = "-"
		}
		fmt.Fprintf(b, " %s / %s |", missed, wrong)
	}
	b.WriteString("\n")
}

func (r Result) heading(b *strings.Builder, what string) {
	fmt.Fprintf(b, "| %s | domains | takeovers |", what)
	for _, c := range r.Columns {
		fmt.Fprintf(b, " %s: missed / wronged |", c.Name)
	}
	b.WriteString("\n|---|---:|---:|" + strings.Repeat("---:|", len(r.Columns)) + "\n")
}

func (r Result) byKind(b *strings.Builder) {
	r.heading(b, "kind")
	for _, k := range r.Kinds {
		fmt.Fprintf(b, "| %s |", k.Kind)
		r.cells(b, func(c Column) Totals { return c.Kinds[k.Kind] })
	}
	b.WriteString("\n")
}

func (r Result) byTLD(b *strings.Builder) {
	r.heading(b, "TLD")
	for _, suffix := range slices.Sorted(maps.Keys(r.Columns[0].TLDs)) {
		fmt.Fprintf(b, "| %s |", suffix)
		r.cells(b, func(c Column) Totals { return c.TLDs[suffix] })
	}
	b.WriteString("\n")
}

func (l Load) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "At true rates (%d domains, %d days):\n\n| load | |\n|---|---:|\n", l.Domains, l.Days)
	for _, row := range []struct {
		name  string
		value string
	}{
		{"holds per 1,000 domain-years", hours(l.Holds)},
		{"a hold stood for, median h", hours(l.HoldMedian)},
		{"the same, longest", hours(l.HoldMax)},
		{"open at the end", fmt.Sprint(l.HoldsOpen)},
		{"closings per 1,000 domain-years", hours(l.Closed)},
		{"closed without a lapse, per 1,000 domain-years", hours(l.Unlapsed)},
		{"shut out while the mail worked, median h, of all until the end of the year", hours(l.ShutHours)},
		{"back to open, median h, of those that are open then", hours(l.BackHours)},
		{"domains unverified per 1,000 domain-years", hours(l.Unverified)},
		{"registry (RDAP) calls per domain-year", hours(l.RDAP)},
		{"status API calls per domain-year", hours(l.Status)},
		{"delegation questions per domain-year", hours(l.Zone)},
		{"looks between the daily runs per domain-year", hours(l.Looks)},
		{"of these after an answer that failed for a moment", hours(l.Failed)},
		{"MX questions per domain-year", hours(l.MX)},
		{"questions for own name servers per domain-year", hours(l.Own)},
		{"items read per domain-day", fmt.Sprintf("%.2f", l.Reads)},
		{"items scanned per domain-day", fmt.Sprintf("%.2f", l.Scanned)},
		{"items written per domain-day", fmt.Sprintf("%.2f", l.Writes)},
		{"items written per domain-year", hours(365 * l.Writes)},
		{"of these history entries", hours(l.History)},
		{"takeovers missed / tried", fmt.Sprintf("%d / %d", l.Missed, l.Takeovers)},
		{"domains unverified wrongly", fmt.Sprint(l.Wrong)},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", row.name, row.value)
	}
	for _, cause := range slices.Sorted(maps.Keys(l.UnlapsedBy)) {
		fmt.Fprintf(b, "| closed without a lapse, per 1,000 domain-years: %s | %s |\n", cause, hours(l.UnlapsedBy[cause]))
	}
	for _, cause := range slices.Sorted(maps.Keys(l.ShutDays)) {
		fmt.Fprintf(b, "| days shut out while the mail worked, per 1,000 domain-years: %s | %s |\n", cause, hours(l.ShutDays[cause]))
	}
	b.WriteString("\n")
}
