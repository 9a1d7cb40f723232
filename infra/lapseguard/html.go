package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// maxQuiet bounds the rows for which nothing is to be done, so that a browser opens the page of a large registry
// quickly. Every other row is there.
const maxQuiet = 5000

// page is what page.html shows. What other parties said is plain strings: html/template escapes them.
type page struct {
	Policy     string // the content security policy: nothing but this style and this script
	Style      template.HTML
	Script     template.HTML
	AsOf       string
	Domains    int
	Addresses  int
	Phases     []share
	PhaseWords string
	Actions    []tally
	LeftOut    int
	Unserved   []pageUnserved
	Rows       []pageRow
}

// share is a phase's part of the bar, in thousandths.
type share struct {
	Name, Class string
	Count       int
	X, Width    float64
}

// pageUnserved is a finding: domains whose name servers do not have their zone.
type pageUnserved struct {
	Says    string
	Count   int
	Domains string
	More    int
}

// maxNamed bounds the domains that a finding names; each is in the table below as well.
const maxNamed = 200

type tally struct {
	Name, Says string
	Count      int
}

type pageRow struct {
	Rank                                        int
	Domain, Hosts, Action, Phase, Class, Reason string
	Confidence                                  string
	Addresses                                   int
	Evidence                                    []pageWords
}

type pageWords struct{ Source, At, Said string }

// writeHTML writes the rows, sorted by risk, as one self-contained page.
func writeHTML(w io.Writer, rows []row, asOf time.Time) error {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := t.Execute(w, newPage(rows, asOf)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func newPage(rows []row, asOf time.Time) page {
	p := page{
		Policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", digest(pageCSS), digest(pageJS)),
		Style:  template.HTML("<style>" + pageCSS + "</style>"),  // #nosec G203 -- files of this program
		Script: template.HTML("<script>" + pageJS + "</script>"), // #nosec G203 -- files of this program
		AsOf:   lifecycle.At(asOf).String(), Domains: len(rows),
	}
	phases, actions, quiet := map[lifecycle.Phase]int{}, map[lifecycle.Action]int{}, 0
	for i, r := range rows {
		p.Addresses += r.Addresses
		phases[r.Phase]++
		actions[r.Action]++
		if r.Action == lifecycle.None && r.Unserved == "" {
			if quiet++; quiet > maxQuiet {
				p.LeftOut++
				continue
			}
		}
		p.Rows = append(p.Rows, newPageRow(i, r))
	}
	for _, f := range allUnserved(rows) {
		n := min(len(f.Domains), maxNamed)
		p.Unserved = append(p.Unserved, pageUnserved{masked(f.Says), len(f.Domains), masked(strings.Join(f.Domains[:n], ", ")), len(f.Domains) - n})
	}
	p.Phases = shares(phases, len(rows))
	var said []string
	for _, s := range p.Phases {
		if s.Count > 0 {
			said = append(said, fmt.Sprintf("%d %s", s.Count, s.Name))
		}
	}
	p.PhaseWords = "Domains by phase: " + strings.Join(said, ", ")
	for _, a := range []tally{
		{Name: string(lifecycle.Unverify), Says: "the evidence is enough to mark the addresses"},
		{Name: string(lifecycle.Hold), Says: "a person decides"},
		{Name: string(lifecycle.Confirm), Says: "a second look is needed before anything may be believed"},
		{Name: string(lifecycle.Watch), Says: "out of service although registered"},
		{Name: string(lifecycle.None), Says: "registered and in service, or nothing that can be watched"},
	} {
		a.Count = actions[lifecycle.Action(a.Name)]
		p.Actions = append(p.Actions, a)
	}
	return p
}

func newPageRow(rank int, r row) pageRow {
	out := pageRow{
		Rank: rank, Domain: masked(r.Domain), Action: masked(string(r.Action)), Phase: masked(string(r.Phase)), Class: phaseClass(r.Phase), Reason: masked(r.why()),
		Confidence: masked(string(r.Confidence)), Addresses: r.Addresses,
	}
	if len(r.Hosts) > 1 || len(r.Hosts) == 1 && r.Hosts[0] != r.Domain {
		out.Hosts = masked(strings.Join(r.Hosts, ", "))
	}
	for _, e := range r.Evidence {
		out.Evidence = append(out.Evidence, pageWords{Source: masked(e.Source), At: lifecycle.At(e.At).String(), Said: masked(e.Said)})
	}
	return out
}

// shares lays the phases side by side, the worst first.
func shares(n map[lifecycle.Phase]int, all int) []share {
	var bar []share
	x := 0.0
	phases := lifecycle.Phases()
	for i := range phases {
		p := phases[len(phases)-1-i]
		s := share{Name: string(p), Class: phaseClass(p), Count: n[p], X: x, Width: 1000 * float64(n[p]) / float64(max(all, 1))}
		x += s.Width
		bar = append(bar, s)
	}
	return bar
}

func phaseClass(p lifecycle.Phase) string {
	return "p-" + strings.ReplaceAll(masked(string(p)), " ", "-")
}

// digest is a hash source of CSP (https://www.w3.org/TR/CSP3/#grammardef-hash-source).
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
