package bill

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lapseguard/lapseguard/infra/template"
)

// sizes are the registries that the bill is made for, in watched domains.
func sizes() []int { return []int{100_000, 1_000_000} }

// Print writes the bills, what a bad month adds to them, and every assumption.
func Print(w io.Writer) error {
	t, err := template.Open()
	if err != nil {
		return err
	}
	m := Assumptions()
	fmt.Fprintf(w, "List prices of %s in %s, in US dollars, without tax. No free allowance is counted but the one said below.\n\n", PricesOf, PricesIn)
	for _, n := range sizes() {
		if err := printOne(w, m, t, n); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "Assumed, beside the template and the constants in the code:")
	for _, name := range m.names() {
		fmt.Fprintf(w, "  %8.4g  %s\n", m[name].value, m[name].text)
	}
	fmt.Fprintln(w, "\nNot in it: a status API, where one is used (its operator's price).")
	return nil
}

// Total is a bill's sum in US dollars.
func Total(lines []Line) (sum float64, err error) {
	list := map[string]price{}
	for _, p := range prices() {
		list[p.key] = p
	}
	for _, l := range lines {
		p, ok := list[l.Price]
		if !ok {
			return 0, fmt.Errorf("no price for %q", l.Price)
		}
		sum += l.Quantity * p.usd / p.per
	}
	return sum, nil
}

func printOne(w io.Writer, m Model, t *template.Template, domains int) error {
	lines, err := m.Bill(t, domains, Usual)
	if err != nil {
		return err
	}
	sum, err := Total(lines)
	if err != nil {
		return err
	}
	tw := table.NewWriter()
	tw.SetOutputMirror(w)
	tw.SetStyle(table.StyleLight)
	tw.SetTitle(fmt.Sprintf("%d domains: %.2f dollars a month", domains, sum))
	tw.Style().Title.Align = text.AlignLeft
	tw.AppendHeader(table.Row{"what", "a month", "of", "dollars"})
	tw.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}})
	for _, l := range lines {
		for _, p := range prices() {
			if p.key == l.Price {
				tw.AppendRow(table.Row{l.What, number(l.Quantity), p.unit, fmt.Sprintf("%.2f", l.Quantity*p.usd/p.per)})
			}
		}
	}
	tw.Render()
	quiet, err := m.Bill(t, domains, WithoutLooks)
	if err != nil {
		return err
	}
	watch, err := Total(quiet)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Of this %.2f dollars are for the looks between the runs, at domains whose recovery is closed: so that it opens soon.\n", sum-watch)
	if err := bad(w, m, t, domains, sum); err != nil {
		return err
	}
	v, err := m.Day(domains)
	if err != nil {
		return err
	}
	more, err := Total(m.first(t, v))
	fmt.Fprintf(w, "The first month costs %.2f dollars more: everything is written, and every registry is asked about every domain.\n\n", more)
	return err
}

// bad says what a bad month adds.
func bad(w io.Writer, m Model, t *template.Template, domains int, usual float64) error {
	for _, b := range bads {
		lines, err := m.Bill(t, domains, b.kind)
		if err != nil {
			return err
		}
		sum, err := Total(lines)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "A month with %s: %.2f dollars more.\n", b.what, sum-usual)
	}
	return nil
}

// number writes a quantity so that it can be read.
func number(f float64) string {
	switch {
	case f >= 1e6:
		return fmt.Sprintf("%.2f M", f/1e6)
	case f >= 1000:
		return fmt.Sprintf("%.1f k", f/1000)
	default:
		return fmt.Sprintf("%.3g", f)
	}
}
