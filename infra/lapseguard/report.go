package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

// row is one domain of an audit.
type row struct {
	Domain     string               `json:"domain"`
	Hosts      []string             `json:"hosts"`
	Addresses  int                  `json:"addresses"`
	Phase      lifecycle.Phase      `json:"phase"`
	Confidence lifecycle.Confidence `json:"confidence"`
	Action     lifecycle.Action     `json:"action"`
	Reason     string               `json:"reason"`
	Evidence   []said               `json:"evidence"`
	// Unserved: none of its name servers has its zone, and who may claim it; empty: not so.
	Unserved string `json:"unserved,omitempty"`

	unserved int // unservedRisk

	heard bool // at least one upstream gave an answer that can be believed
}

// said is one source's word in a row.
type said struct {
	Source string    `json:"source"`
	At     time.Time `json:"at"`
	Said   string    `json:"said"`
}

// rowOf reads a domain's row out of the store.
func rowOf(ctx context.Context, s store.Store, name string) (row, error) {
	d, err := records.In(s).Domain(ctx, name)
	if err == nil && !d.Known() {
		err = fmt.Errorf("read %s: %w", name, store.ErrNotFound)
	}
	if err != nil {
		return row{}, err
	}
	r := row{
		Domain: name, Addresses: d.Addresses, Phase: d.State.Phase, Confidence: d.Confidence, Action: d.Action, Reason: string(d.Reason), Evidence: []said{},
	}
	r.Unserved = lifecycle.Unserved(d.State)
	r.unserved = unservedRisk(d.State)
	if d.Action == "" { // its upstream did not answer in time
		r.Action, r.Confidence, r.Reason = lifecycle.Confirm, lifecycle.NoConfidence, string(lifecycle.ReasonUnknownSource)
	}
	entries, err := records.In(s).History(ctx, name, 20)
	if err != nil {
		return row{}, err
	}
	r.heard = d.Confidence != "" && d.Confidence != lifecycle.NoConfidence
	seen := map[source.Source]bool{}
	for _, e := range entries {
		for _, w := range e.Evidence {
			r.heard = r.heard || w.Result != source.Unknown
			if !seen[w.Source] {
				seen[w.Source] = true
				r.Evidence = append(r.Evidence, said{string(w.Source), w.At, masked(words(w))})
			}
		}
	}
	slices.SortFunc(r.Evidence, func(a, b said) int { return cmp.Compare(a.Source, b.Source) })
	return r, nil
}

func words(w records.Witness) string {
	if w.Cause != "" && w.Said == "" {
		return string(w.Cause)
	}
	if w.Cause != "" {
		return string(w.Cause) + ": " + w.Said
	}
	return w.Said
}

// risk is what orders domains wherever they are listed: by what is to be done, then by how far the domain is lost, then
// by whether anybody can have its zone, then by how many accounts are lost with it.
type risk struct {
	action    lifecycle.Action
	phase     lifecycle.Phase
	addresses int
	domain    string
	unserved  int // whether somebody else can have its zone
}

// before puts what matters first.
func (a risk) before(b risk) int {
	return cmp.Or(cmp.Compare(b.action.Weight(), a.action.Weight()), cmp.Compare(b.phase.Risk(), a.phase.Risk()), cmp.Compare(b.unserved, a.unserved), cmp.Compare(b.addresses, a.addresses), cmp.Compare(a.domain, b.domain))
}

func byRisk(a, b row) int {
	return risk{a.Action, a.Phase, a.Addresses, a.Domain, a.unserved}.before(risk{b.Action, b.Phase, b.Addresses, b.Domain, b.unserved})
}

// unservedRisk orders domains by whether anybody can have their zone.
func unservedRisk(s lifecycle.State) int {
	switch giver, lame := s.Lame(); {
	case giver != "" || s.Control.Giver != "":
		return 2
	case lame:
		return 1
	default:
		return 0
	}
}

// unserved are the domains of a finding, by what can be said of all of them: those that anybody can claim first.
type unserved struct {
	Says    string
	Domains []string
}

func allUnserved(rows []row) []unserved {
	by := map[string]*unserved{}
	var order []row
	for _, r := range rows {
		switch f := by[r.Unserved]; {
		case r.Unserved == "":
		case f == nil:
			by[r.Unserved] = &unserved{r.Unserved, []string{r.Domain}}
			order = append(order, r)
		default:
			f.Domains = append(f.Domains, r.Domain)
		}
	}
	slices.SortFunc(order, func(a, b row) int {
		return cmp.Or(b.unserved-a.unserved, cmp.Compare(a.Unserved, b.Unserved))
	})
	var all []unserved
	for _, r := range order {
		slices.Sort(by[r.Unserved].Domains)
		all = append(all, *by[r.Unserved])
	}
	return all
}

// why is a row's reason, with its finding.
func (r row) why() string {
	if r.Unserved == "" {
		return r.Reason
	}
	return r.Reason + "; " + r.Unserved
}

// report is an audit's outcome: rows by risk.
type report struct {
	format string
	rows   []row
	asOf   time.Time
}

// writeRows writes rows in the format asked for.
func writeRows(w io.Writer, r report) error {
	switch r.format {
	case "json":
		return writeJSON(w, r.rows)
	case "csv":
		return writeCSV(w, r.rows)
	case "html":
		return writeHTML(w, r.rows, r.asOf)
	case "table":
		return writeTable(w, r.rows)
	default:
		return errors.New("unknown format: use table, json, csv or html")
	}
}

func writeJSON(w io.Writer, rows []row) error {
	for _, r := range rows {
		b, err := json.Marshal(r)
		if err == nil {
			_, err = w.Write(append(plainJSON(b), '\n'))
		}
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

func writeCSV(w io.Writer, rows []row) error {
	out := csv.NewWriter(w)
	lines := [][]string{{"domain", "hosts", "addresses", "phase", "confidence", "action", "reason", "evidence", "unserved"}}
	for _, r := range rows {
		line := []string{r.Domain, strings.Join(r.Hosts, " "), strconv.Itoa(r.Addresses), string(r.Phase), string(r.Confidence),
			string(r.Action), r.Reason, evidenceWords(r), r.Unserved}
		for i := range line {
			line[i] = csvCell(line[i])
		}
		lines = append(lines, line)
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func evidenceWords(r row) string {
	parts := make([]string, len(r.Evidence))
	for i, e := range r.Evidence {
		parts[i] = e.Source + " " + e.At.Format("2006-01-02 15:04") + ": " + e.Said
	}
	return strings.Join(parts, " | ")
}

func writeTable(w io.Writer, rows []row) error {
	lines := make([][]string, len(rows))
	for i, r := range rows {
		evidence := make([]string, len(r.Evidence))
		for j, e := range r.Evidence {
			evidence[j] = cell(e.Source + ": " + e.Said)
		}
		lines[i] = []string{cell(r.Domain), cell(string(r.Action)), strconv.Itoa(r.Addresses), cell(string(r.Phase)), cell(r.why()), strings.Join(evidence, "\n")}
	}
	if err := screenOf(w).grid([]string{"domain", "action", "addr.", "phase", "why", "evidence"}, lines, 2); err != nil {
		return err
	}
	for _, f := range allUnserved(rows) {
		if _, err := fmt.Fprintf(w, "%d registered and delegated, and %s: %s\n", len(f.Domains), cell(f.Says), cell(strings.Join(f.Domains, " "))); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// wrapLines wraps each line at words; lines stay apart.
func wrapLines(lines []string, width int) string {
	wrapped := make([]string, len(lines))
	for i, l := range lines {
		wrapped[i] = text.WrapSoft(l, width)
	}
	return strings.Join(wrapped, "\n")
}
