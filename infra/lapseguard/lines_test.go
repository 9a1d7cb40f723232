package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"
)

func packed(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func utf16(t *testing.T, e unicode.Endianness, bom unicode.BOMPolicy, s string) string {
	t.Helper()
	out, err := unicode.UTF16(e, bom).NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestListsAsPeopleHaveThem: each of them is the same three addresses at two hosts.
func TestListsAsPeopleHaveThem(t *testing.T) {
	const usual = "email,verified_at\na@one.example,2026-03-01T12:00:00Z\nb@ONE.example,2026-03-02 12:00:00+00\nc@two.example,\n"
	const want = "one.example 2 2026-03-01 2026-03-02, two.example 1 0001-01-01 0001-01-01"
	for name, tc := range map[string]struct {
		text string
		cols columns
	}{
		"usual":               {text: usual},
		"CRLF, no last end":   {text: strings.TrimSuffix(strings.ReplaceAll(usual, "\n", "\r\n"), "\r\n")},
		"byte order mark":     {text: "\ufeff" + usual},
		"semicolon":           {text: strings.ReplaceAll(usual, ",", ";")},
		"tab":                 {text: strings.ReplaceAll(usual, ",", "\t")},
		"bar":                 {text: strings.ReplaceAll(usual, ",", "|")},
		"UTF-16LE":            {text: utf16(t, unicode.LittleEndian, unicode.UseBOM, usual)},
		"UTF-16BE":            {text: utf16(t, unicode.BigEndian, unicode.UseBOM, usual)},
		"UTF-16LE, no mark":   {text: utf16(t, unicode.LittleEndian, unicode.IgnoreBOM, usual)},
		"UTF-16BE, no mark":   {text: utf16(t, unicode.BigEndian, unicode.IgnoreBOM, usual)},
		"gzip":                {text: packed(t, usual)},
		"gzip of UTF-16":      {text: packed(t, utf16(t, unicode.LittleEndian, unicode.UseBOM, usual))},
		"PostgreSQL":          {text: "id\temail_address\tconfirmed_at\n1\ta@one.example\t2026-03-01 12:00:00.123+00\n2\tb@one.example\t2026-03-02 12:00:00+00\n3\tc@two.example\t\\N\n"},
		"MySQL":               {text: "\"email\";\"verified_at\"\n\"a@one.example\";\"2026-03-01 12:00:00\"\n\"b@one.example\";\"2026-03-02 12:00:00\"\n\"c@two.example\";\"0000-00-00 00:00:00\"\n"},
		"Unix time":           {text: "verified_at,email\n1772366400,a@one.example\n1772452800.25,b@one.example\n,c@two.example\n"},
		"columns by name":     {text: "Benutzer;Adresse;Wann\nx;a@one.example;2026-03-01\nx;b@one.example;2026-03-02\nx;c@two.example;\n", cols: columns{Email: "adresse", Time: "Wann"}},
		"columns by number":   {text: "x,a@one.example,2026-03-01\nx,b@one.example,2026-03-02\nx,c@two.example,\n", cols: columns{Email: "2", Time: "3"}},
		"number with header":  {text: "x,y,z\nx,a@one.example,2026-03-01\nx,b@one.example,2026-03-02\nx,c@two.example,\n", cols: columns{Email: "2", Time: "3"}},
		"no header":           {text: "a@one.example,2026-03-01\nb@one.example,2026-03-02\nc@two.example,\n"},
		"domains with counts": {text: "domain,accounts,oldest\none.example,1,2026-03-01\none.example,1,2026-03-02\ntwo.example,1,\n"},
		"lines in a field":    {text: "note,email,verified_at\n\"first\nsecond\",a@one.example,2026-03-01\nx,b@one.example,2026-03-02\nx,c@two.example,\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := readAddresses(strings.NewReader(tc.text), tc.cols)
			if err != nil || c.unusable+c.untimed > 0 {
				t.Fatalf("%v; %d unusable, %d untimed: %q", err, c.unusable, c.untimed, c.shown)
			}
			var got []string
			for _, h := range c.hosts {
				got = append(got, fmt.Sprintf("%s %d %s %s", h.Host, h.Addresses, h.Oldest.Format("2006-01-02"), h.Newest.Format("2006-01-02")))
			}
			if g := strings.Join(got, ", "); g != want {
				t.Errorf("got %s\nwant %s", g, want)
			}
		})
	}
}

// TestAFileThatIsNoListIsToldWhatItIs: the words name the file's kind, and no part of it.
func TestAFileThatIsNoListIsToldWhatItIs(t *testing.T) {
	whole := packed(t, "email\n"+strings.Repeat("secret@one.example\n", 3000))
	for name, tc := range map[string]struct {
		text string
		cols columns
		says string
	}{
		"empty":           {text: "", says: "it is empty"},
		"blank":           {text: "\n\r\n\n", says: "it is empty"},
		"spreadsheet":     {text: "PK\x03\x04secret", says: "spreadsheet"},
		"zstd":            {text: "\x28\xb5\x2f\xfdsecret", says: "looks like zstd"},
		"database":        {text: "SQLite format 3\x00secret", says: "looks like a SQLite database"},
		"binary":          {text: "secret\x00\x01\x02", says: "not text"},
		"half a gzip":     {text: whole[:len(whole)-9], says: "looks like gzip, and is damaged or cut off"},
		"no such column":  {text: "secret;secret@one.example\n", cols: columns{Email: "mail2"}, says: "separated by ;"},
		"nothing fits":    {text: "secret;other\n1;2\n", says: "2 columns, separated by ;"},
		"column too high": {text: "email\n", cols: columns{Email: "2"}, says: "1 columns"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAddresses(strings.NewReader(tc.text), tc.cols)
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want %q and no part of the file", err, tc.says)
			}
		})
	}
}

// TestALineThatCannotBeReadIsNeverTheEnd: it is counted, the first three are shown by number and reason, and no reason
// holds a part of the line.
func TestALineThatCannotBeReadIsNeverTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		text              string
		addresses, unread int
		untimed           int
		first             string
	}{
		"a quote that never closes":   {"email,verified_at\n\"a@secret.example,\nb@two.example,2020-01-01\nc@three.example,\n", 2, 1, 0, "line 2: a quotation mark"},
		"a quote in the other column": {"email,verified_at\na@one.example,\"secret\nb@two.example,2020-01-01\nc@three.example,\n", 2, 1, 0, "line 2: a quotation mark"},
		"two stray quotes":            {"email,verified_at\n\"a@secret.example,\nb@two.example,2020-01-01\nc@three.example,\"\nd@four.example,\n", 2, 2, 0, "line 2: a quotation mark"},
		"a time after blank lines":    {"email,verified_at\n\n\na@one.example,\n\nb@two.example,secret\n", 2, 0, 1, "line 6: its time"},
		"no address":                  {"email\nsecret\n\n\"\"\na@one.example\n", 1, 2, 0, "line 2: it holds no e-mail address"},
		"what follows an address":     {"email\na@one.example/bob.secret\nb@two.example?subject=secret\nc@three.example d@secret.example\ne@five.example\n", 1, 3, 0, "line 2: signs follow"},
		"bytes of no encoding":        {"email\n\xff\xfesecret@one.example\nb@two.example\n", 1, 1, 0, "line 2: it is neither UTF-8"},
		"a line without end":          {"email\n" + strings.Repeat("secret", 1<<18) + "\nb@two.example\n", 1, 1, 0, "line 2: it is longer"},
		"too few fields":              {"id,email\n1\n2,b@two.example\n", 1, 1, 0, "line 2: it is empty"},
		"a count":                     {"domain,count\none.com,secret\ntwo.com,0\nthree.com,5\n", 5, 2, 0, "line 2: its count"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := readAddresses(strings.NewReader(tc.text), columns{})
			if err != nil || c.addresses != tc.addresses || c.unusable != tc.unread || c.untimed != tc.untimed {
				t.Fatalf("%v; %d addresses, %d unread, %d untimed (%q), want %d, %d, %d", err, c.addresses, c.unusable, c.untimed, c.shown, tc.addresses, tc.unread, tc.untimed)
			}
			if len(c.shown) == 0 || !strings.HasPrefix(c.shown[0], tc.first) || strings.Contains(strings.Join(c.shown, ""), "secret") {
				t.Errorf("shown %q, want %q first and no part of a line", c.shown, tc.first)
			}
		})
	}
	c, err := readAddresses(strings.NewReader("email\n"+strings.Repeat("x\n", 9)+"a@one.example\n"), columns{})
	var says bytes.Buffer
	c.remarks(&says)
	if err != nil || len(c.shown) != linesShown || !strings.Contains(says.String(), "9 lines cannot be read") || !strings.Contains(says.String(), "and 6 more") {
		t.Errorf("%v: %q", err, says.String())
	}
}

// TestNoLineIsLostOrDoubled: whatever quotation marks stand in one line, those before and after are read.
func TestNoLineIsLostOrDoubled(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b strings.Builder
		b.WriteString("email,name\n")
		bad := r.IntN(30)
		for i := range 30 {
			name := "x"
			if i == bad {
				name = []string{`"`, `x"`, `"x"y"`, `""`, `"""`, `a "b" c`}[r.IntN(6)]
			}
			fmt.Fprintf(&b, "a@n%02d.example,%s\n", i, name)
		}
		c, err := readAddresses(strings.NewReader(b.String()), columns{})
		if err != nil || c.addresses+c.unusable != 30 || c.addresses < 29 {
			t.Fatalf("%v: %d addresses and %d unusable of 30 in\n%s", err, c.addresses, c.unusable, b.String())
		}
	}
}
