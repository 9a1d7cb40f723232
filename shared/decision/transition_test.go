package decision

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The diagrams of README.md draw what Transitions lists, arrow by arrow.
func TestReadmeDrawsTheTransitions(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[Transition]bool{}
	for line := range strings.Lines(string(text)) {
		from, rest, ok := strings.Cut(strings.TrimSpace(line), " --> ")
		to, on, labelled := strings.Cut(rest, " : ")
		if !ok || !labelled {
			continue
		}
		if from == "any" {
			from = ""
		}
		for _, s := range []string{from, to} {
			if s != "" && !slices.Contains(Statuses(), Status(s)) {
				t.Errorf("README.md: %q is no status", s)
			}
		}
		drawn[Transition{Status(from), Event(on), Status(to)}] = true
	}
	for _, tr := range Transitions() {
		if !drawn[tr] {
			t.Errorf("README.md does not draw %+v", tr)
		}
		delete(drawn, tr)
	}
	for tr := range drawn {
		t.Errorf("README.md draws %+v, which Transitions does not list", tr)
	}
}

// One status and one event lead to one status.
func TestTransitionsDoNotContradict(t *testing.T) {
	type row struct {
		from Status
		on   Event
	}
	seen := map[row]bool{}
	for _, tr := range Transitions() {
		if seen[row{tr.From, tr.On}] || seen[row{"", tr.On}] {
			t.Errorf("two rows for %s, %s", tr.From, tr.On)
		}
		seen[row{tr.From, tr.On}] = true
	}
}

// By trying every event in every status until no new kind of case turns up, each row of the table is found, and every
// change of status is a row.
func TestTransitionsAreTheCodes(t *testing.T) {
	rows := map[[2]Status]bool{}
	for _, tr := range Transitions() {
		for _, from := range Statuses() {
			if tr.From == from || tr.From == "" {
				rows[[2]Status{from, tr.To}] = true
			}
		}
	}
	found := map[[2]Status]bool{}
	seen := map[string]bool{}
	for todo := []Case{{}}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, step := range steps() {
			n := step.do(c)
			pair := [2]Status{c.At(), n.At()}
			if found[pair] = true; pair[0] != pair[1] && !rows[pair] && !through(rows, pair) {
				t.Errorf("%s became %s by %q, which Transitions does not list", pair[0], pair[1], step.name)
			}
			if k := kind(n); !seen[k] && len(n.Past) < 3 && n.Retries < 2 {
				seen[k] = true
				todo = append(todo, n)
			}
		}
	}
	for pair := range rows {
		if pair[0] != pair[1] && !found[pair] {
			t.Errorf("Transitions lists %s to %s, which was not found", pair[0], pair[1])
		}
	}
}

// through: one verdict can move a case by two rows (another stage, and what that asks for; pending, and protected), and
// a case that is taken up again has the status in which it was left.
func through(rows map[[2]Status]bool, pair [2]Status) bool {
	for _, mid := range []Status{Idle, Pending} {
		if rows[[2]Status{pair[0], mid}] && rows[[2]Status{mid, pair[1]}] {
			return true
		}
	}
	return slices.Contains([]Status{Approved, Declined, Done, Restored}, pair[1])
}

func kind(c Case) string {
	var b strings.Builder
	for _, d := range append([]Decision{c.Decision}, c.Past...) {
		b.WriteString(string(d.ID) + "|" + string(d.At()) + "|" + string(d.Cause) + "|" + d.Verdict + "|" + d.Class + "|")
		if d.ClassApproved != 0 {
			b.WriteString("class")
		}
		if d.DoneAt != 0 {
			b.WriteString("done")
		}
		b.WriteString(string(rune('0'+d.Retries)) + ";")
	}
	return b.String()
}
