package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// pageOf renders rows and parses what came out.
func pageOf(t *testing.T, rows []row) (string, *html.Node) {
	t.Helper()
	var b bytes.Buffer
	at := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	if err := writeRows(&b, report{format: "html", rows: rows, asOf: at}); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), doc
}

// all finds the elements of a name.
func all(doc *html.Node, name string) (found []*html.Node) {
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			found = append(found, n)
		}
	}
	return found
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// textOf is what a reader sees of an element, spaces folded.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func someRows() []row {
	at := time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)
	return []row{
		{Domain: "gone.com", Hosts: []string{"gone.com", "mail.gone.com"}, Addresses: 12, Phase: lifecycle.Redemption, Action: lifecycle.Unverify, Confidence: lifecycle.High,
			Reason: string(lifecycle.ReasonDeleted), Evidence: []said{{"delegation", at, "NXDOMAIN"}, {"rdap", at, "status: redemption period"}}},
		{Domain: "sold.org", Hosts: []string{"sold.org"}, Addresses: 1, Phase: lifecycle.ChangedHands, Action: lifecycle.Hold, Confidence: lifecycle.Medium, Reason: string(lifecycle.ReasonReviewHands)},
		{Domain: "fine.net", Hosts: []string{"fine.net"}, Addresses: 3, Phase: lifecycle.Active, Action: lifecycle.None, Confidence: lifecycle.High, Reason: string(lifecycle.ReasonDelegated)},
	}
}

// TestPageStructure holds the page against what a reader is to find: a bar with its counts, a table by risk, and
// each row's evidence inside it.
func TestPageStructure(t *testing.T) {
	text, doc := pageOf(t, someRows())
	if len(all(doc, "table")) != 1 || len(all(doc, "h1")) != 1 || len(all(doc, "main")) != 1 {
		t.Fatal("want one heading, one main part, one table")
	}
	if html := all(doc, "html")[0]; attr(html, "lang") != "en" {
		t.Error("no language")
	}
	var heads []string
	for _, th := range all(doc, "th") {
		heads = append(heads, textOf(th)+"/"+attr(th, "data-key")+"/"+attr(th, "aria-sort")+"/"+attr(th, "scope"))
	}
	if want := []string{"Domain/domain//col", "Action/risk/descending/col", "Phase///col", "Addresses/addresses//col"}; !slices.Equal(heads, want) {
		t.Errorf("columns %q, want %q", heads, want)
	}
	bar := all(doc, "svg")[0]
	if got, want := attr(bar, "aria-label"), "Domains by phase: 1 changed hands, 1 redemption, 1 active"; got != want || attr(bar, "role") != "img" {
		t.Errorf("the bar says %q, want %q", got, want)
	}
	if n := len(all(bar, "rect")); n != 3 {
		t.Errorf("%d parts of the bar, want 3", n)
	}
	var got []string
	for _, tr := range all(all(doc, "tbody")[0], "tr") {
		details := all(tr, "details")
		if len(details) != 1 || details[0].FirstChild.Data != "summary" || attr(details[0], "open") != "" {
			t.Fatalf("a row does not unfold: %s", textOf(tr))
		}
		got = append(got, attr(tr, "data-rank")+" "+attr(tr, "data-n")+" | "+textOf(tr))
	}
	want := []string{
		"0 12 | gone.com deleted, by the registry and a second witness delegation 2026-03-14 03:00 UTCNXDOMAINrdap 2026-03-14 03:00 UTCstatus: redemption period " +
			"Confidence high. Addresses at gone.com, mail.gone.com. unverify redemption 12 addresses",
		"1 1 | sold.org changed hands after an interim: review account No source said anything about it. Confidence medium. hold changed hands 1 address",
		"2 3 | fine.net registered and delegated No source said anything about it. Confidence high. none active 3 addresses",
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(text, "3 domains with 16 verified addresses") {
		t.Error("the counts are missing")
	}
}

// TestPageKeepsHostileWordsWords: evidence comes from servers that anybody may run.
func TestPageKeepsHostileWordsWords(t *testing.T) {
	hostile := []string{
		`<script>alert(1)</script>`, `</script><script src=//evil.example/x></script>`, `<img src=x onerror=alert(1)>`, `"><svg onload=alert(1)>`,
		`'onmouseover='alert(1)`, `</bdi></dd></dl></details></td></tr></table><h1>Nothing to see</h1>`, `</style><style>body{display:none}</style>`,
		`<!-- `, `--> <![CDATA[`, `{{.Policy}}`, `javascript:alert(1)`, `<base href=http://evil.example/>`, `&lt;b&gt;`, "\u202egpj.exe", "\x1b]0;x\x07", "\x00",
		`mail to someone@victim.example now`, `<a href="mailto:someone@victim.example">`,
	}
	var rows []row
	for i, h := range hostile {
		rows = append(rows, row{Domain: "d" + h, Hosts: []string{h, "x"}, Addresses: i, Phase: lifecycle.Phase(h), Action: lifecycle.Action(h), Confidence: lifecycle.Confidence(h),
			Reason: h, Evidence: []said{{h, time.Time{}, h}}})
	}
	text, doc := pageOf(t, rows)
	allowed := strings.Fields("html head meta title style body header h1 h2 p main section svg rect ul li b span table thead tr th tbody td details summary bdi div dl dt dd time script")
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.CommentNode:
			t.Errorf("a comment: %s", n.Data)
		case n.Type == html.ElementNode && !slices.Contains(allowed, n.Data):
			t.Errorf("an element that the page does not have: <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || slices.Contains([]string{"src", "href", "style", "action", "srcdoc", "formaction"}, a.Key) {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	for name, want := range map[string]int{"script": 1, "style": 1, "h1": 1, "table": 1, "meta": 5, "details": len(hostile)} {
		if n := len(all(doc, name)); n != want {
			t.Errorf("%d <%s>, want %d", n, name, want)
		}
	}
	for i, dd := range all(doc, "dd") {
		if want := strings.Join(strings.Fields(masked(hostile[i])), " "); textOf(dd) != want {
			t.Errorf("evidence reads %q, want %q", textOf(dd), want)
		}
	}
	if strings.ContainsAny(text, "\u202e\x1b\x00") {
		t.Error("signs that steer a reader's screen got through")
	}
	withoutCSS := strings.Replace(text, pageCSS, "", 1)
	if strings.Contains(withoutCSS, "@") || strings.Contains(text, "victim.example") {
		t.Error("an address got into the page")
	}
}

// TestPageLoadsNothing: the policy forbids everything but the style and the script that are in the page.
func TestPageLoadsNothing(t *testing.T) {
	text, doc := pageOf(t, someRows())
	var policy string
	for _, m := range all(doc, "meta") {
		if attr(m, "http-equiv") == "Content-Security-Policy" {
			policy = attr(m, "content")
		}
	}
	script, style := all(doc, "script")[0].FirstChild.Data, all(doc, "style")[0].FirstChild.Data
	want := fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", digest(style), digest(script))
	if policy != want {
		t.Errorf("policy %q\nwant   %q", policy, want)
	}
	if script != pageJS || style != pageCSS {
		t.Error("script or style were changed on their way")
	}
	if found := regexp.MustCompile(`(?i)https?:|//[a-z]|url\(|@import|@font-face|fetch|XMLHttp|eval`).FindString(strings.ReplaceAll(text, `http-equiv`, "")); found != "" {
		t.Errorf("the page holds %q: it is to load nothing", found)
	}
}

// TestPageOfALargeRegistry keeps what matters and says what it leaves out.
func TestPageOfALargeRegistry(t *testing.T) {
	var rows []row
	for i := range 20 {
		rows = append(rows, row{Domain: fmt.Sprintf("gone%d.com", i), Action: lifecycle.Unverify, Phase: lifecycle.Redemption, Addresses: 1})
	}
	for i := range maxQuiet + 7 {
		rows = append(rows, row{Domain: fmt.Sprintf("fine%d.com", i), Action: lifecycle.None, Phase: lifecycle.Active, Addresses: 1})
	}
	slices.SortFunc(rows, byRisk)
	text, doc := pageOf(t, rows)
	if n := len(all(all(doc, "tbody")[0], "tr")); n != maxQuiet+20 {
		t.Errorf("%d rows, want %d", n, maxQuiet+20)
	}
	for _, want := range []string{fmt.Sprintf("%d domains with", maxQuiet+27), "<p class=\"note\">7 domains for which nothing is to be done are left out"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestAuditAsPage goes the whole way, from a list of addresses to the page.
func TestAuditAsPage(t *testing.T) {
	startSmall(t).environ(t)
	file := writeEmails(t, "email\na@gone1.com\nb@mail.site2.com\nc@localhost\n")
	out, stderr, code := demonstrate(t, "audit", "--format", "html", "--emails", file, "--state", t.TempDir(), "--now", "2026-03-01T12:00:00Z")
	if code != 0 || !strings.HasPrefix(out, "<!doctype html>") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	doc, err := html.Parse(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tr := range all(all(doc, "tbody")[0], "tr") {
		got = append(got, textOf(all(tr, "bdi")[0])+" "+attr(tr, "data-n"))
	}
	if want := []string{"gone1.com 1", "site2.com 1", "localhost 1"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	if text := textOf(doc); !strings.Contains(text, "status: redemption period") || !strings.Contains(text, "As of 2026-03-01 12:0") {
		t.Errorf("the page lacks evidence or time: %s", text)
	}
	if strings.Contains(strings.Replace(out, pageCSS, "", 1), "@") {
		t.Error("an address got into the page")
	}
}

func BenchmarkPage(b *testing.B) {
	rows := slices.Repeat(someRows(), 334)
	for b.Loop() {
		var w bytes.Buffer
		if err := writeHTML(&w, rows, time.Time{}); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(w.Len()))
	}
}
