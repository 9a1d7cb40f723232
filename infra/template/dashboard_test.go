package template

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// widget is a part of the dashboard.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title, Region, Stat, Query string
		Period                     int
		Alarms                     []string
		Metrics                    [][]any
	}
}

// shown is a metric with at most one dimension, as a widget or an alarm names it.
type shown struct{ namespace, name, dimension, value string }

// dimensionValues are all values that a dimension can have.
func dimensionValues(dimension string) []string {
	var list []string
	switch dimension {
	case telemetry.DimPhase:
		for _, p := range lifecycle.Phases() {
			list = append(list, string(p))
		}
	case telemetry.DimReason:
		for _, r := range registry.Reasons() {
			list = append(list, string(r))
		}
	case telemetry.DimUpstream:
		list = checker.Upstreams()
	}
	return list
}

func widgets(t *Template, p *problems) []widget {
	body, _ := t.Property("Dashboard", "DashboardBody").(Call)
	var d struct{ Widgets []widget }
	if err := json.Unmarshal([]byte(text(body.Arg)), &d); err != nil {
		p.want(false, "DashboardBody: %v", err)
	}
	return d.Widgets
}

func metricsOf(w widget) []shown {
	var list []shown
	for _, row := range w.Properties.Metrics {
		var words []string
		for _, word := range row {
			if s, ok := word.(string); ok {
				words = append(words, s)
			}
		}
		words = append(words, "", "")
		list = append(list, shown{words[0], words[1], words[2], words[3]})
	}
	return list
}

// checkDashboard holds dashboard and alarms against the metrics that the code has, in both directions.
func checkDashboard(t *Template) []string {
	var p problems
	known := map[string]telemetry.Metric{}
	for _, m := range telemetry.All() {
		known[m.Name] = m
		p.want(len(dimensionValues(m.Dimension)) <= 10, "%s: more than ten values of %s", m.Name, m.Dimension)
	}
	check := func(where string, s shown) {
		if s.namespace != telemetry.Namespace {
			return
		}
		m, ok := known[s.name]
		p.want(ok, "%s: %s: no such metric", where, s.name)
		p.want(!ok || m.Dimension == s.dimension, "%s: %s has the dimension %q, not %q", where, s.name, m.Dimension, s.dimension)
		p.want(s.dimension == "" || slices.Contains(dimensionValues(s.dimension), s.value), "%s: %s: no %s %s", where, s.name, s.dimension, s.value)
	}
	seen := map[shown]bool{}
	var alarms []string
	for _, w := range widgets(t, &p) {
		p.want(w.Properties.Title != "" && w.X+w.Width <= 24 && w.Height > 0, "widget %q: no title or no place", w.Properties.Title)
		alarms = append(alarms, w.Properties.Alarms...)
		for _, s := range metricsOf(w) {
			check("widget "+w.Properties.Title, s)
			seen[s] = true
		}
	}
	for _, m := range telemetry.All() {
		values := append(dimensionValues(m.Dimension), "")
		for _, v := range values[:max(len(values)-1, 1)] {
			s := shown{telemetry.Namespace, m.Name, m.Dimension, v}
			if m.Dimension == "" {
				p.want(seen[s], "%s: not on the dashboard", m.Name)
			}
			p.want(seen[s], "%s: the dashboard lacks %s %s", m.Name, m.Dimension, v)
		}
	}
	for _, name := range t.Resources("AWS::CloudWatch::Alarm") {
		check(name, shown{text(t.Property(name, "Namespace")), text(t.Property(name, "MetricName")), "", ""})
		p.want(slices.Contains(alarms, "${"+name+".Arn}"), "%s: not on the dashboard", name)
	}
	body, _ := t.Property("Dashboard", "DashboardBody").(Call)
	for _, ref := range regexp.MustCompile(`\$\{[^}]*\}`).FindAllString(text(body.Arg), -1) {
		name, _, _ := strings.Cut(strings.Trim(ref, "${}"), ".")
		p.want(strings.HasPrefix(name, "AWS::") || t.Get("Resources", name) != nil, "%s: no such resource", ref)
	}
	return p
}

// TestAlarmsNameAHeadingOfTheRunbook that is there.
func TestAlarmsNameAHeadingOfTheRunbook(t *testing.T) {
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile(filepath.Join(dir, "infra", "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	tpl := open(t)
	for _, name := range tpl.Resources("AWS::CloudWatch::Alarm") {
		found := regexp.MustCompile(`RUNBOOK: ([A-Z][A-Za-z ]*)\.$`).FindStringSubmatch(text(tpl.Property(name, "AlarmDescription")))
		if found == nil || !regexp.MustCompile(`(?m)^#+ `+found[1]+`$`).Match(runbook) {
			t.Errorf("%s: the description ends in no heading of the runbook: %q", name, found)
		}
	}
}

// TestEveryMetricIsWrittenSomewhere: a name in the list that no function writes is an alarm that never fires.
func TestEveryMetricIsWrittenSomewhere(t *testing.T) {
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "functions", "handler", "*", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var source strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	for _, m := range telemetry.All() {
		if !regexp.MustCompile(`\btelemetry\.` + m.Name + `\b`).MatchString(source.String()) {
			t.Errorf("no function writes %s", m.Name)
		}
	}
}
