package template

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var eventCall = regexp.MustCompile(`Log\.(?:ErrorContext|WarnContext)\(ctx, "([a-z_]+)"`)

// TestRunbookNamesWhatCallsForAPerson: each alarm of the template and each event of the level WARN or ERROR has its row.
func TestRunbookNamesWhatCallsForAPerson(t *testing.T) {
	book, err := os.ReadFile("../RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md") // its operator may keep the alarms there
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\|[^|\n]*`[^|\n]*\\|").FindAllString(string(book)+"\n"+string(readme), -1)
	named := func(name string) bool {
		return slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, "`"+name+"`") })
	}
	events := map[string]bool{}
	out, err := exec.CommandContext(t.Context(), "grep", "-rhoE", `Log\.(ErrorContext|WarnContext)\(ctx, "[a-z_]+"`, "--include=*.go", "../../functions", "../../shared").Output()
	if err != nil {
		t.Fatalf("find the events: %v", err)
	}
	for _, m := range eventCall.FindAllStringSubmatch(string(out), -1) {
		events[m[1]] = true
	}
	if len(events) < 30 {
		t.Fatalf("%d events found", len(events))
	}
	for name := range events {
		if !named(name) {
			t.Errorf("infra/RUNBOOK.md has no row for the event %s", name)
		}
	}
	tpl := open(t)
	alarms := tpl.Resources("AWS::CloudWatch::Alarm")
	if len(alarms) < 15 {
		t.Fatalf("%d alarms found", len(alarms))
	}
	for _, id := range alarms {
		text := strings.Join(texts(tpl.Property(id, "AlarmName")), "")
		if !named(text[strings.LastIndexByte(text, '}')+2:]) {
			t.Errorf("no row for the alarm %s", text)
		}
	}
}
