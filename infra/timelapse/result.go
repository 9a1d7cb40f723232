package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
)

// Column is one policy in one world.
type Column struct {
	Name string `json:"name"`
	All  Totals `json:"all"` // but for the mail host of many
	// Of these, those in which control passed unseen, those in TLDs where no lapse can be seen, and those in which nothing
	// differed after it.
	Unseen Totals `json:"unseen"`
	Blind  Totals `json:"blind"`
	Alike  Totals `json:"alike"`
	// UnseenShare are the missed among the unseen, of all takeovers, in percent, each kind counted at its true rate.
	UnseenShare float64 `json:"unseen_missed_percent"`
	// Plain are those whose first sign could be believed at sight, but for the unseen and the alike.
	Plain Totals            `json:"plain"`
	Many  Totals            `json:"many"` // those who use the mail host of many
	Kinds map[string]Totals `json:"kinds"`
	TLDs  map[string]Totals `json:"tlds"`
	fates []Fate
}

// Load is how much work a policy makes, in a world at true rates. Years are domain-years.
type Load struct {
	Domains    int     `json:"domains"`
	Days       int     `json:"days"`
	Holds      float64 `json:"holds_per_1000_years"`
	HoldsOpen  int     `json:"holds_open_at_the_end"`
	HoldMedian float64 `json:"hold_median_h"`
	HoldMax    float64 `json:"hold_max_h"`
	Unverified float64 `json:"unverified_per_1000_years"`
	Closed     float64 `json:"closed_per_1000_years"`
	Unlapsed   float64 `json:"closed_without_a_lapse_per_1000_years"` // domains that never lapsed, and were closed
	// UnlapsedBy are these by what closed them first.
	UnlapsedBy map[string]float64 `json:"closed_without_a_lapse_by_cause"`
	// ShutDays are the days in which holders were shut out although their mail worked, by what closed them, per 1,000
	// domain-years.
	ShutDays  map[string]float64 `json:"shut_days_per_1000_years"`
	ShutHours float64            `json:"shut_median_h"` // from where a holder's mail worked to where recovery was open
	BackHours float64            `json:"back_median_h"` // the same, of those that are open in the end
	RDAP      float64            `json:"rdap_per_year"`
	Status    float64            `json:"status_api_per_year"`
	Zone      float64            `json:"delegation_questions_per_year"`
	Looks     float64            `json:"looks_between_runs_per_year"`
	Failed    float64            `json:"zone_answers_that_failed_per_year"` // for a moment: what is asked again in six hours
	MX        float64            `json:"mx_questions_per_year"`
	Own       float64            `json:"own_server_questions_per_year"`
	Reads     float64            `json:"items_read_per_domain_day"`
	Scanned   float64            `json:"items_scanned_per_domain_day"`
	Writes    float64            `json:"items_written_per_domain_day"`
	History   float64            `json:"history_entries_per_year"`
	Missed    int                `json:"missed"`
	Takeovers int                `json:"takeovers"`
	Wrong     int                `json:"wrong"`
}

// Trace is what was so, what was seen and what was decided about one domain.
type Trace struct {
	Fate  Fate     `json:"fate"`
	Rule  string   `json:"rule"` // the reason of the last verdict
	Lines []string `json:"lines"`
}

// Result is what a simulation came to.
type Result struct {
	Size    Size     `json:"size"`
	Options string   `json:"options"` // of the guard, in words
	Digest  string   `json:"digest"`  // of the guard's decisions
	Columns []Column `json:"columns"` // the guard first
	Load    *Load    `json:"load,omitempty"`
	Traces  []Trace  `json:"traces"` // every miss and every wrong of the guard, and who was shut out for long
	Kinds   []KindCount
}

// ourName is the guard's column.
const ourName = "lapseguard"

// manyKind is the kind that would drown all others, if it were summed up with them.
const manyKind = "mail-host-of-many"

func newColumn(name string, w *World, fates []Fate) Column {
	alike := map[string]bool{}
	for _, k := range w.Kinds {
		alike[k.Name] = k.Alike
	}
	c := Column{Name: name, fates: fates, Kinds: map[string]Totals{}, TLDs: map[string]Totals{}}
	c.All = Sum(fates, func(f Fate) bool { return f.Kind != manyKind })
	c.Unseen = Sum(fates, func(f Fate) bool { return f.Unseen && f.Kind != manyKind && !alike[f.Kind] })
	c.Blind = Sum(fates, func(f Fate) bool { return f.Blind && f.Kind != manyKind && !alike[f.Kind] })
	c.Alike = Sum(fates, func(f Fate) bool { return alike[f.Kind] })
	c.Plain = Sum(fates, func(f Fate) bool {
		return !f.Disturbed && !f.Unseen && !f.Blind && f.Kind != manyKind && !alike[f.Kind]
	})
	c.Many = Sum(fates, func(f Fate) bool { return f.Kind == manyKind })
	c.UnseenShare = unseenShare(w, fates)
	for _, f := range fates {
		if _, done := c.Kinds[f.Kind]; !done {
			c.Kinds[f.Kind] = Sum(fates, func(g Fate) bool { return g.Kind == f.Kind })
		}
		if _, done := c.TLDs[f.Suffix]; !done {
			c.TLDs[f.Suffix] = Sum(fates, func(g Fate) bool { return g.Suffix == f.Suffix && g.Kind != manyKind })
		}
	}
	return c
}

// unseenShare is how many percent of all takeovers were missed because control passed between two daily looks. Rare kinds
// are oversampled, those that pass unseen the most: each takeover counts as often as its kind is true.
func unseenShare(w *World, fates []Fate) float64 {
	count := map[string]int{}
	for _, f := range fates {
		count[f.Kind]++
	}
	weight, alike := map[string]float64{}, map[string]bool{}
	for _, k := range w.Kinds {
		weight[k.Name], alike[k.Name] = w.expected(k, len(fates), 365)/float64(max(count[k.Name], 1)), k.Alike
	}
	missed, all := 0.0, 0.0
	for _, f := range fates {
		if f.Takeover {
			all += weight[f.Kind]
		}
		if f.Missed && f.Unseen && !alike[f.Kind] {
			missed += weight[f.Kind]
		}
	}
	return 100 * missed / max(all, 1e-9)
}

// newLoad measures a run.
func newLoad(p *Population, r *GuardRun) Load {
	years := float64(p.Size.Domains) * float64(p.Size.Days) / 365
	domainDays := float64(p.Size.Domains) * float64(p.Size.Days)
	l := Load{Domains: p.Size.Domains, Days: p.Size.Days}
	var stood []float64
	l.HoldsOpen, stood = holdsStood(r.Decisions, p.end)
	l.Holds = 1000 * float64(len(stood)) / years
	slices.Sort(stood)
	l.HoldMedian, l.HoldMax = quantile(stood, 0.5), quantile(stood, 1)
	for _, d := range r.Decisions {
		l.Unverified += 1000 / years * float64(one(d.What == "unverified"))
		l.Closed += 1000 / years * float64(one(d.What == "closed"))
	}
	l.RDAP, l.Status = float64(asked(r.Asked[queue.KindRDAP]))/years, float64(asked(r.Asked[queue.KindStatus]))/years
	l.Zone, l.MX = float64(asked(r.Asked[queue.KindDelegation]))/years, float64(asked(r.Asked[queue.KindMail]))/years
	l.Looks, l.Failed = float64(r.Looks)/years, float64(r.Failed)/years
	l.Own = ownQuestions * float64(asked(r.Asked[queue.KindServers])) / years
	l.Reads, l.Writes, l.Scanned = float64(r.Reads)/domainDays, float64(r.Writes)/domainDays, float64(r.Scanned)/domainDays
	l.History = float64(r.History) / years
	fates := r.Ledger.Fates()
	closed, why := map[string]bool{}, map[string]string{}
	for _, d := range r.Decisions {
		if d.What == "closed" && !closed[d.Domain] {
			closed[d.Domain], why[d.Domain] = true, d.Reason
		}
	}
	l.ShutDays, l.UnlapsedBy = map[string]float64{}, map[string]float64{}
	for _, f := range fates {
		if f.Shut > 0 {
			l.ShutDays[cmp.Or(why[f.Domain], "unverified")] += 1000 / years * f.Shut / 24
		}
		if !f.Lapsed && closed[f.Domain] {
			l.Unlapsed += 1000 / years
			l.UnlapsedBy[why[f.Domain]] += 1000 / years
		}
	}
	l.BackHours = Sum(fates, func(f Fate) bool { return !f.Still }).ShutHours
	t := Sum(fates, func(Fate) bool { return true })
	l.Missed, l.Takeovers, l.Wrong, l.ShutHours = t.Missed, t.Takeovers, t.Wrong, t.ShutHours
	return l
}

// ownQuestions is what it takes to ask a domain's own name servers: its zone, and two of them. Their addresses are those
// of few DNS hosts, and kept.
const ownQuestions = 3

// holdsStood is for how many hours each hold stood, in no order; those that are open at the end count until then.
func holdsStood(decisions []Decision, end time.Time) (open int, hours []float64) {
	since := map[string]time.Time{}
	for _, d := range decisions {
		at, stands := since[d.Domain]
		switch {
		case d.What == "held" && !stands:
			since[d.Domain] = d.At
		case stands && (d.What == "hold_ended" || d.What == "unverified" || strings.HasPrefix(d.What, "operator")):
			hours = append(hours, d.At.Sub(at).Hours())
			delete(since, d.Domain)
		}
	}
	for _, at := range since {
		hours = append(hours, end.Sub(at).Hours())
	}
	return len(since), hours
}

// longShut is from how many hours on a trace tells why a holder was shut out.
const longShut = 24

// told tells whether a trace explains what became of the domain.
func (f Fate) told() bool { return f.Missed || f.Wrong > 0 || f.Shut > longShut || f.Left }

// traces tells of every miss, every wrong and every long shutting out of the guard.
func traces(p *Population, r *GuardRun, fates []Fate, also string) []Trace {
	var all []Trace
	for _, f := range fates {
		if f.told() || f.Domain == also {
			all = append(all, newTrace(p, r, f))
		}
	}
	slices.SortStableFunc(all, func(a, b Trace) int {
		return cmp.Or(cmp.Compare(a.Fate.Kind, b.Fate.Kind), cmp.Compare(a.Fate.Domain, b.Fate.Domain))
	})
	return all
}

// line is one line of a trace, with its time.
type line struct {
	at   time.Time
	text string
}

func newTrace(p *Population, r *GuardRun, f Fate) Trace {
	t := Trace{Fate: f}
	d := p.Find(f.Domain)
	var lines []line
	for _, s := range d.Spans {
		lines = append(lines, line{s.From, "IS    " + s.What + state(s.View)})
	}
	for i, a := range d.Accounts {
		lines = append(lines, line{a.Verified, fmt.Sprintf("IS    address %d is verified%s", i, map[bool]string{true: " by the next owner"}[a.Other])})
	}
	for _, e := range r.Histories[f.Domain] {
		lines = append(lines, line{e.At, "GUARD " + told(e)})
		if e.Reason != "" {
			t.Rule = string(e.Reason)
		}
	}
	for _, c := range r.Ledger.changes[d] {
		if !c.usable() {
			lines = append(lines, line{c.at, fmt.Sprintf("IS    address %d can recover nothing any more", c.account)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	for _, l := range lines {
		t.Lines = append(t.Lines, l.at.Format("2006-01-02 15:04")+" "+l.text)
	}
	return t
}

func state(v View) string {
	if v.Owner == Nobody {
		return ""
	}
	return fmt.Sprintf(" (%s; NS %s; MX %s; registry %q)", v.Owner, strings.Join(v.NS, " "), strings.Join(v.MX, " "), v.Statuses)
}

func told(e records.Entry) string {
	text := fmt.Sprintf("%s: %s -> %s, %s (%s)", e.What, e.Before, e.After, e.Action, e.Reason)
	for _, w := range e.Evidence {
		text += fmt.Sprintf("; %s said %s", w.Source, w.Said)
	}
	return text
}

// table is what the guard did about each domain, for who looks for a pattern.
func (r Result) table() string {
	var b strings.Builder
	b.WriteString("domain\tkind\ttakeover\tunseen\tmissed\tlate_h\thours\twrong\tshut_h\tleft\n")
	for _, f := range r.Columns[0].fates {
		fmt.Fprintf(&b, "%s\t%s\t%t\t%t\t%t\t%.1f\t%.1f\t%d\t%.1f\t%t\n", f.Domain, f.Kind, f.Takeover, f.Unseen, f.Missed, f.Late, f.Hours, f.Wrong, f.Shut, f.Left)
	}
	return b.String()
}

// write puts the result into a folder: result.md, result.json, result.svg, fates.tsv and decisions.txt.
func (r Result) write(dir string, decisions []Decision) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("folder of the result: %w", err)
	}
	body, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	var record strings.Builder
	if err := WriteDecisions(&record, decisions); err != nil {
		return err
	}
	for name, text := range map[string]string{"result.json": string(body) + "\n", "result.md": r.markdown(), "result.svg": r.picture(), "fates.tsv": r.table(), "decisions.txt": record.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	return nil
}
