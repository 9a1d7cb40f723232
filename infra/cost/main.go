// Command cost prints what the stack costs a month: list prices with their date and region, volumes from the
// product's own constants, every assumption. make cost runs it.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lapseguard/lapseguard/infra/template"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

// sizes are the registries that the bill is made for, in watched domains.
func sizes() []int { return []int{100_000, 1_000_000} }

func run(w io.Writer) error {
	t, err := template.Open()
	if err != nil {
		return err
	}
	m := assumptions()
	fmt.Fprintf(w, "List prices of %s in %s, in US dollars, without tax. No free allowance is counted but the one said below.\n\n", PricesOf, PricesIn)
	for _, n := range sizes() {
		if err := print(w, m, t, n); err != nil {
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

// total is a bill's sum in US dollars.
func total(lines []line) (sum float64, err error) {
	list := map[string]price{}
	for _, p := range prices() {
		list[p.key] = p
	}
	for _, l := range lines {
		p, ok := list[l.price]
		if !ok {
			return 0, fmt.Errorf("no price for %q", l.price)
		}
		sum += l.quantity * p.usd / p.per
	}
	return sum, nil
}

func print(w io.Writer, m model, t *template.Template, domains int) error {
	lines, err := m.bill(t, domains)
	if err != nil {
		return err
	}
	sum, err := total(lines)
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
			if p.key == l.price {
				tw.AppendRow(table.Row{l.what, number(l.quantity), p.unit, fmt.Sprintf("%.2f", l.quantity*p.usd/p.per)})
			}
		}
	}
	tw.Render()
	v, err := m.volumes(domains)
	if err != nil {
		return err
	}
	more, err := total(m.first(t, v))
	fmt.Fprintf(w, "The first month costs %.2f dollars more: everything is written, and every registry is asked about every domain.\n\n", more)
	return err
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
