package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// surveyOf reports on a store, and reads the page as a browser would.
func surveyOf(t *testing.T, dir string) (string, *html.Node) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if _, stderr, code := demonstrate(t, "report", "--state", dir, "--html", file); code != 0 {
		t.Fatal(stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), doc
}

func stored(name string, addresses int, phase lifecycle.Phase, action lifecycle.Action) records.Domain {
	d := records.NewDomain(name, ago(0))
	d.Listed, d.Addresses, d.Hosts, d.Action, d.State.Phase = true, addresses, 1, action, phase
	return d
}

func TestTheReportTellsWhatTheStoreHolds(t *testing.T) {
	gone := stored("gone.com", 0, lifecycle.Redemption, lifecycle.Unverify)
	gone.Acted = true
	closing := stored("closing.com", 5, lifecycle.Grace, lifecycle.Watch)
	request := records.Request{Domain: "gone.com", At: present.Add(-20 * time.Hour), Answer: &registry.Answer{Changed: 12}, Restored: &registry.Restored{Restored: 2}}
	dir := storeOf(t,
		stored("fine.com", 100, lifecycle.Active, lifecycle.None).Put(), gone.Put(), closing.Put(),
		stored("sold.com", 3, lifecycle.ChangedHands, lifecycle.Hold).Put(),
		records.Record(records.PKRequest, "gone.com:lapse:1", request, time.Time{}),
		records.Record("decision/closing.com", "recovery", records.Recovery{Since: ago(30 * time.Hour)}, time.Time{}),
		records.PutHold(safety.Hold{Domain: "sold.com", Why: "changed hands: review", Action: "hold", Phase: "changed hands", Addresses: 3, Since: present.Add(-80 * time.Hour)}),
		records.Record(records.PKUpstreams, "delegation/com", records.Upstream{LastGood: ago(50 * time.Hour)}, time.Time{}),
		records.Record(records.PKUpstreams, "delegation/net", records.Upstream{LastGood: ago(time.Hour)}, time.Time{}),
		entry("gone.com", 48*time.Hour, records.Entry{What: "look", Before: lifecycle.Active, After: lifecycle.Redemption, Reason: lifecycle.ReasonDeleted}),
		entry("gone.com", 20*time.Hour, records.Entry{What: "unverified", After: lifecycle.Redemption, Reason: lifecycle.ReasonDeleted}),
		entry("closing.com", 30*time.Hour, records.Entry{What: "closed", After: lifecycle.Grace, Sentence: "out of the zone"}),
	)
	text, doc := surveyOf(t, dir)
	var heads []string
	for _, li := range all(all(doc, "ul")[0], "li") {
		heads = append(heads, textOf(all(li, "b")[0])+" "+textOf(all(li, "span")[0]))
	}
	if want := []string{"100 protected", "5 closed", "10 unverified", "3 at risk"}; !slices.Equal(heads, want) {
		t.Errorf("heads %q, want %q", heads, want)
	}
	for _, want := range []string{
		"bin/lapseguard approve sold.com --by 'your name' --state '" + dir + "'", "longer than three days", "silent for 50 hours", "1 that answer", "10 unverified",
		"2026-03-13 unverified " + string(lifecycle.ReasonDeleted) + " 1", "2026-03-13 closed out of the zone 1", "2026-03-12 redemption 1",
	} {
		if !strings.Contains(spaced(doc), want) {
			t.Errorf("the page lacks %q:\n%s", want, spaced(doc))
		}
	}
	for _, svg := range all(doc, "svg") {
		if attr(svg, "aria-hidden") == "" && (attr(svg, "role") != "img" || attr(svg, "aria-label") == "") {
			t.Errorf("a picture without words: %v", svg.Attr)
		}
	}
	strips := strings.Count(text, `class="strip"`)
	if names := strings.Index(text, "h-lives"); strips != 3 || strings.Contains(text[names:], "fine.com") {
		t.Errorf("%d lives, want 3 and none of a quiet domain", strips)
	}
	if len(all(doc, "script")) != 0 || !strings.Contains(text, "default-src &#39;none&#39;") {
		t.Error("the page needs a script, or may load something")
	}
}

// spaced is the page's text with a space at each end of an element.
func spaced(doc *html.Node) string {
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestTheReportKeepsHostileWordsWords: names, reasons and evidence come from servers that anybody may run.
func TestTheReportKeepsHostileWordsWords(t *testing.T) {
	hostile := append([]string{`"><script>alert(1)</script>`, `' --by x; rm -rf / #`, `$(touch x)`, `mail someone@victim.example`}, hostileText...)
	v := surveyed{now: present, days: 7, local: true, state: "a'b", phases: map[lifecycle.Phase]int{}, upstreams: map[string]records.Upstream{}, parked: map[string]int{}}
	for i, h := range hostile {
		d := stored(h, 1, lifecycle.Phase(h), lifecycle.Action(h))
		d.Reason = lifecycle.Reason(h)
		v.lives = append(v.lives, life{d: d, entries: []records.Entry{{At: present, What: "look", After: lifecycle.Phase(h), Reason: lifecycle.Reason(h), Sentence: h,
			Evidence: []records.Witness{{Server: h, Said: h}}}, {At: present, What: h, Sentence: h, By: h}}})
		v.holds = append(v.holds, safety.Hold{Domain: h, Why: h, Phase: h, Action: h, Sentence: h, Class: h})
		v.upstreams[fmt.Sprintf("rdap/%d%s", i, h)] = records.Upstream{}
	}
	var b bytes.Buffer
	if err := writeSurvey(&b, v); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"script", "img", "a", "base", "iframe", "pre"} {
		if n := len(all(doc, name)); n != 0 {
			t.Errorf("%d <%s>", n, name)
		}
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "href" || a.Key == "src" || a.Key == "style" {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	for _, bad := range []string{"\u202e", "\x1b", "\x00", "victim"} {
		if i := strings.Index(b.String(), bad); i >= 0 {
			t.Errorf("%q got through: %q", bad, b.String()[max(i-80, 0):i+20])
		}
	}
}
