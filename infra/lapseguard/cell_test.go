package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/lapseguard/lapseguard/infra/conform"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// hostileText is what other parties may say: it steers terminals, reorders lines, forges rows and runs formulas.
var hostileText = []string{
	"\x1b]0;owned\x07", "\x1b[2J\x1b[31m", "a\rb", "\x00", "\x7f", "\u009b31m", "\u202egpj.exe", "zero\u200bwidth", "two\nlines", "tab\tbed", "\xff\xfe", "\U000e0041",
	"=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "＠SUM(A1)", " =1+1", "\t=1+1", "\r=1+1", "\n=1+1", `"=1+1`, "x;=1+1", "x; \"-1", "|calc", "%0", "jo@mail.example",
}

func hostileRows() []row {
	rows := make([]row, len(hostileText))
	for i, s := range hostileText {
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		rows[i] = row{
			Domain: s, Hosts: []string{s}, Addresses: 1, Phase: lifecycle.Phase(s), Confidence: lifecycle.Confidence(s), Action: lifecycle.Action(s), Reason: s,
			Evidence: []said{{Source: s, At: at, Said: s}},
		}
	}
	return rows
}

func steers(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && (!unicode.IsPrint(r) || r == unicode.ReplacementChar) })
}

func TestHostileTextIsHarmlessInEveryFormat(t *testing.T) {
	for _, format := range []string{"table", "csv", "json"} {
		var out bytes.Buffer
		if err := writeRows(&out, report{format: format, rows: hostileRows()}); err != nil {
			t.Fatal(err)
		}
		if steers(out.String()) {
			t.Errorf("%s: something that cannot be printed got out: %q", format, out.String())
		}
		if format != "json" && strings.Contains(out.String(), "jo@") {
			t.Errorf("%s: an address got out", format)
		}
	}
}

func TestCellsOfACSVAreText(t *testing.T) {
	var out bytes.Buffer
	if err := writeRows(&out, report{format: "csv", rows: hostileRows()}); err != nil {
		t.Fatal(err)
	}
	for _, comma := range []rune{',', ';'} { // as other countries' spreadsheets split it
		r := csv.NewReader(bytes.NewReader(out.Bytes()))
		r.Comma, r.FieldsPerRecord, r.LazyQuotes = comma, -1, true
		all, err := r.ReadAll()
		if err != nil || comma == ',' && len(all) != len(hostileText)+1 {
			t.Fatalf("%c: %d rows for %d, %v", comma, len(all), len(hostileText), err)
		}
		for _, cells := range all {
			for _, c := range cells {
				if c = strings.TrimLeft(c, " \t\r\n\""); c != "" && strings.ContainsAny(c[:1], "=+-@") || strings.HasPrefix(c, "＝") || strings.HasPrefix(c, "＠") {
					t.Errorf("split at %c: the cell %q is a formula", comma, c)
				}
			}
		}
	}
	if got := csvCell("plain.example"); got != "plain.example" {
		t.Errorf("an honest cell became %q", got)
	}
}

func TestATablesRowsAreItsOwn(t *testing.T) {
	var quiet, loud bytes.Buffer
	mild := hostileRows()[:1]
	mild[0].Domain, mild[0].Reason = "a\nb\nc", "x"
	if err := errors.Join(writeRows(&quiet, report{format: "table"}), writeRows(&loud, report{format: "table", rows: mild})); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(loud.String(), "\nb") {
		t.Errorf("a name forged a row:\n%s", loud.String())
	}
}

func TestJSONSaysTheSame(t *testing.T) {
	for _, s := range hostileText {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(plainJSON(b), &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd\ufffd") && got != s {
			t.Errorf("%q became %q (%v)", s, got, err)
		}
	}
}

func TestHarmlessShowsWhatIsHidden(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[31m": `\x1b[31m`, "a\u202eb": `a\u202eb`, "\xff": `\xff`, "a\nb": "a\nb", "'": "'", "caf\u00e9 \u4e2d": "caf\u00e9 \u4e2d", "\u009b": `\u009b`,
	} {
		if got := harmless(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestHostilePlacesBesideTheReport: findings about a registry, errors, and hosts of a person's own list.
func TestHostilePlacesBesideTheReport(t *testing.T) {
	var out bytes.Buffer
	printFindings(&out, conform.Report{Findings: []conform.Finding{{Level: conform.Wrong, Check: "list", Says: "type \x1b[2J\u202e"}}})
	if steers(out.String()) {
		t.Errorf("finding: %q", out.String())
	}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"explain", "--state", "/nowhere/\x1b[2J", "x.example"}, streams{&out, &errs}); code == 0 || steers(errs.String()) {
		t.Errorf("error: %d %q", code, errs.String())
	}
	s := startSmall(t)
	s.environ(t)
	emails := writeEmails(t, "email\na@\x1b[31mred.com\nb@-1.com\nc@+1.com\nd@\u202emoc.com\ne@site1.com\n")
	for _, format := range []string{"table", "csv"} {
		out.Reset()
		if code := run(t.Context(), []string{"audit", "--emails", emails, "--state", t.TempDir(), "--format", format}, streams{&out, &errs}); code != 0 {
			t.Fatal(errs.String())
		}
		if text := out.String(); steers(text) || !strings.Contains(text, `\x1b[31mred.com`) || format == "csv" && strings.Contains(text, "\n-1") {
			t.Errorf("%s: %q", format, text)
		}
	}
}
