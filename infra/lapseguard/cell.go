package main

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// harmless writes what cannot be printed as an escape: nothing steers a terminal, nothing reorders a line, and two
// names that differ in a hidden sign look different. Line breaks stay.
func harmless(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}

// cell makes words of other parties fit for a cell of a table: harmless, in one line, no e-mail address.
func cell(s string) string {
	return address.ReplaceAllString(strings.ReplaceAll(harmless(s), "\n", `\n`), "[masked]")
}

// formula finds where a spreadsheet would take text for a formula: at the start of a cell, and behind a semicolon,
// which separates cells where the comma is the decimal sign
// (https://owasp.org/www-community/attacks/CSV_Injection).
var formula = regexp.MustCompile(`(^|;)([\s"']*)([=+\-@＝＋－＠|%])`)

// csvCell is a cell that every spreadsheet takes for text: the apostrophe says so.
func csvCell(s string) string { return formula.ReplaceAllString(cell(s), `$1'$2$3`) }

// plainJSON escapes what encoding/json leaves as it is and a terminal does not: controls above 0x7e and format signs.
// The JSON's meaning stays the same.
func plainJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		if r == '\n' || unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		hi, lo := r, rune(-1)
		if r > 0xffff {
			hi, lo = 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff
		}
		out = append(out, hex4(hi)...)
		if lo >= 0 {
			out = append(out, hex4(lo)...)
		}
	}
	return out
}

func hex4(r rune) string { return `\u` + strconv.FormatInt(int64(r)|0x10000, 16)[1:] }
