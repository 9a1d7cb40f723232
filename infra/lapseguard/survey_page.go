package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
)

//go:embed survey.html
var surveyHTML string

//go:embed survey.css
var surveyCSS string

// surveyPage is what survey.html shows.
type surveyPage struct {
	Policy     string // nothing but this style
	Style      template.HTML
	AsOf, Run  string
	Heads      []head
	Holds      []holdPart
	Phases     []share
	PhaseWords string
	Charts     []chart
	Upstreams  []upstreamPart // that are silent
	Answering  []upstreamPart
	Parked     string
	Lives      []lifePart
	LeftOut    int
}

type head struct {
	Name, Class, Says string
	Count             int
}

type holdPart struct {
	Domain, Action, Phase, Addresses, Since, Why, Sentence string
	Stale                                                  bool
	Commands                                               []string
}

type upstreamPart struct{ Name, Last, State, Class string }

type lifePart struct {
	Domain, Action, Meta, Words string
	Parts, Marks                []share
	Entries                     [][]string // words, and what each source said
	Commands                    []string
}

// chart is one of bars by day, with the same as words and as a table.
type chart struct {
	Title, Words string
	Top, Total   int
	Reasons      bool
	Bars         []bar
	Ticks        []tick
	Key          []share
	Rows         []chartRow
}

type bar struct {
	Class, Says string
	X, Y, W, H  float64
}

type tick struct {
	X            float64
	Anchor, Says string
}

type chartRow struct {
	Day, What, Why string
	Count          int
}

func writeSurvey(w io.Writer, v surveyed) error {
	t, err := template.New("survey").Parse(surveyHTML)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := t.Execute(w, newSurveyPage(v)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func newSurveyPage(v surveyed) surveyPage {
	css := pageCSS + surveyCSS
	p := surveyPage{
		Policy: fmt.Sprintf("default-src 'none'; style-src '%s'; base-uri 'none'; form-action 'none'", digest(css)),
		Style:  template.HTML("<style>" + css + "</style>"), // #nosec G203 -- files of this program
		AsOf:   lifecycle.At(v.now).String(), LeftOut: v.leftOut, Phases: shares(v.phases, v.watched),
		Heads: []head{
			{"protected", "protected", "verified addresses at domains about which nothing is open", v.protected},
			{"closed", "closed", "their recovery is closed until control of the domain is shown", v.closed},
			{"unverified", "unverified", "marked by the guard, and not taken back", v.lost},
			{"at risk", "risk", "something about their domain is to be done or decided", v.atRisk},
		},
	}
	p.Run = fmt.Sprintf("%s with %s are watched.", count(v.watched, "domain", "domains"), count(v.addresses, "verified address", "verified addresses"))
	switch {
	case v.run.ID == "":
		p.Run += " No daily run has begun."
	case v.run.Complete:
		p.Run += fmt.Sprintf(" The daily run of %s is complete.", v.run.Started)
	default:
		p.Run += fmt.Sprintf(" The daily run of %s is not complete.", v.run.Started)
	}
	p.PhaseWords = "Domains by phase: " + tallied(p.Phases)
	for _, h := range v.holds {
		verbs := []string{"explain", "approve", "unhold"}
		if h.Why == safety.WhyProtected { // no approval has it acted on
			verbs = []string{"explain", "unhold"}
		}
		p.Holds = append(p.Holds, holdPart{
			Domain: masked(h.Domain), Action: masked(h.Action), Phase: masked(h.Phase), Addresses: count(h.Addresses, "address", "addresses"), Since: lifecycle.At(h.Since).String(),
			Why: masked(h.Why), Sentence: masked(h.Sentence), Stale: h.Stale(v.now), Commands: v.commands(h.Domain, verbs...),
		})
	}
	done, changes := v.events()
	p.Charts = []chart{
		v.chart("What was done, by day", "Nothing was closed, opened, unverified or held", done, []string{"unverified", "closed", "opened", "held", "restored"}, wordClass, true),
		v.chart("How domains changed phase, by day", "No domain changed its phase", changes, phaseNames(), func(s string) string { return phaseClass(lifecycle.Phase(s)) }, false),
	}
	p.Upstreams, p.Answering, p.Parked = v.upstreamParts()
	for _, l := range v.lives {
		p.Lives = append(p.Lives, v.lifePart(l))
	}
	return p
}

func (v surveyed) commands(domain string, verbs ...string) (all []string) {
	for _, verb := range verbs {
		if c := v.command(verb, domain); c != "" {
			all = append(all, c)
		}
	}
	return all
}

func tallied(parts []share) string {
	var said []string
	for _, s := range parts {
		if s.Count > 0 {
			said = append(said, fmt.Sprintf("%d %s", s.Count, s.Name))
		}
	}
	return cmp.Or(strings.Join(said, ", "), "none")
}

func phaseNames() (names []string) {
	for _, p := range slices.Backward(lifecycle.Phases()) {
		names = append(names, string(p))
	}
	return names
}

// wordClass is what observe mode would do in the colour of its doing.
func wordClass(what string) string {
	return "w-" + map[string]string{"would unverify": "unverified", "would close": "closed", "would open": "opened"}[what] + map[bool]string{true: what}[!strings.HasPrefix(what, "would ")]
}

// sameKind puts observe mode's words to those of enforce mode.
func sameKind(what string) string { return strings.TrimPrefix(wordClass(what), "w-") }

func (v surveyed) chart(title, none string, events map[event]int, kinds []string, class func(string) string, reasons bool) chart {
	c := chart{Title: title, Reasons: reasons}
	days, sums, total := map[string]map[string]int{}, map[string]int{}, 0
	for _, e := range slices.SortedFunc(maps.Keys(events), func(a, b event) int {
		return cmp.Or(cmp.Compare(b.day, a.day), cmp.Compare(a.what, b.what), cmp.Compare(a.why, b.why))
	}) {
		n := events[e]
		kind := e.what
		if reasons {
			kind = sameKind(kind)
		}
		if days[e.day] == nil {
			days[e.day] = map[string]int{}
		}
		days[e.day][kind] += n
		sums[kind] += n
		total += n
		c.Rows = append(c.Rows, chartRow{e.day, masked(e.what), masked(e.why), n})
	}
	c.Total, c.Top = total, 1
	for _, of := range days {
		sum := 0
		for _, n := range of {
			sum += n
		}
		c.Top = max(c.Top, sum)
	}
	for _, k := range kinds {
		if sums[k] > 0 {
			c.Key = append(c.Key, share{Name: k, Class: class(k), Count: sums[k]})
		}
	}
	c.Words = fmt.Sprintf("%s in %s.", none, count(v.days, "day", "days"))
	if total > 0 {
		c.Words = fmt.Sprintf("%s, %s to %s: %s; at most %d in a day.", title, v.day(0), v.day(v.days-1), tallied(c.Key), c.Top)
	}
	step := 960 / float64(v.days)
	for i := range v.days {
		day, y := v.day(i), 150.0
		x := 40 + step*float64(i)
		for _, k := range kinds {
			if n := days[day][k]; n > 0 {
				h := 130 * float64(n) / float64(c.Top)
				y -= h
				c.Bars = append(c.Bars, bar{class(k), fmt.Sprintf("%s: %d %s", day, n, k), x + step*.1, y, step * .8, h})
			}
		}
	}
	c.Ticks = []tick{{40, "start", v.day(0)}, {1000, "end", v.day(v.days - 1)}}
	return c
}

// lateAfter is how old the last good answer of an upstream may be that is asked daily.
const lateAfter = 36 * time.Hour

func (v surveyed) upstreamParts() (silent, answering []upstreamPart, parked string) {
	for _, name := range slices.Sorted(maps.Keys(v.upstreams)) {
		u := upstreamPart{Name: masked(name), Last: "never", State: "no answer that could be believed", Class: "late"}
		if at := v.upstreams[name].LastGood; at != 0 {
			u.Last = at.String()
			u.State, u.Class = "answers", ""
			age := v.now.Sub(at.Time())
			switch daily := strings.HasPrefix(name, "delegation/"); {
			case age > lateAfter && daily:
				u.State, u.Class = fmt.Sprintf("silent for %d hours", int(age.Hours())), "late"
			case age > lateAfter:
				u.State = fmt.Sprintf("not asked, or silent, for %d hours", int(age.Hours()))
			}
		}
		if u.Class == "" {
			answering = append(answering, u)
		} else {
			silent = append(silent, u)
		}
	}
	var waits []string
	for _, kind := range slices.Sorted(maps.Keys(v.parked)) {
		waits = append(waits, fmt.Sprintf("%d %s", v.parked[kind], kind))
	}
	if len(waits) > 0 {
		parked = "Questions that wait for an upstream to answer again: " + strings.Join(waits, ", ") + "."
	}
	return silent, answering, parked
}

func (v surveyed) lifePart(l life) lifePart {
	d := l.d
	p := lifePart{Domain: masked(d.Name), Action: masked(string(cmp.Or(d.Action, lifecycle.None))), Commands: v.commands(d.Name, "explain", "recheck", "hold")}
	parts := []string{string(d.State.Phase), count(d.Addresses, "address", "addresses")}
	if l.closed {
		parts = append(parts, "closed")
	}
	if l.changed > 0 {
		p.Action = "unverified"
		parts = append(parts, fmt.Sprintf("%d unverified", l.changed))
	}
	p.Meta = masked(strings.Join(append(parts, string(d.Reason)), ", "))
	p.Parts, p.Marks, p.Words = v.strip(l)
	for _, e := range slices.Backward(l.entries) {
		p.Entries = append(p.Entries, strings.Split(masked(tellEntry(e)), "\n"))
	}
	return p
}

// strip is a domain's life as bars in the colours of its phases, with a mark wherever something was done.
func (v surveyed) strip(l life) (parts, marks []share, words string) {
	if len(l.entries) == 0 {
		return nil, nil, masked(l.d.Name) + ": nothing is told of it yet"
	}
	from := l.entries[0].At
	long := max(v.now.Sub(from), time.Hour).Seconds()
	x := func(at time.Time) float64 { return 1000 * min(max(at.Sub(from).Seconds()/long, 0), 1) }
	phase, since := cmp.Or(l.entries[0].Before, lifecycle.PhaseUnknown), from
	said := []string{}
	end := func(until time.Time) {
		if w := x(until) - x(since); w > 0 {
			parts = append(parts, share{Name: masked(fmt.Sprintf("%s from %s", phase, lifecycle.At(since))), Class: phaseClass(phase), X: x(since), Width: w})
		}
	}
	for _, e := range l.entries {
		if after := cmp.Or(e.After, phase); after != phase {
			end(e.At)
			phase, since = after, e.At
			said = append(said, fmt.Sprintf("%s from %s", phase, lifecycle.At(since)))
		}
		if e.What != "look" {
			marks = append(marks, share{Name: fmt.Sprintf("%s: %s", lifecycle.At(e.At), masked(e.What)), Class: "mark", X: min(x(e.At), 996)})
			said = append(said, fmt.Sprintf("%s on %s", masked(e.What), lifecycle.At(e.At)))
		}
	}
	end(v.now)
	return parts, marks, masked(l.d.Name + ": " + cmp.Or(strings.Join(said, "; "), string(phase)))
}
