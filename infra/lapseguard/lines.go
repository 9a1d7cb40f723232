package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Bounds of a line, and of how many lines a quoted field may run over before its quotation mark counts as stray.
const (
	maxLine     = 1 << 20
	maxFolded   = 20
	peekedBytes = 4096
)

// foreign are files that are no text, by how they begin, and what to do about each.
var foreign = []struct{ magic, says string }{
	{"PK\x03\x04", "it looks like zip or a spreadsheet (.xlsx): save it as CSV"},
	{"\xd0\xcf\x11\xe0", "it looks like an old spreadsheet (.xls): save it as CSV"},
	{"\x28\xb5\x2f\xfd", "it looks like zstd: unpack it first, such as zstdcat FILE | lapseguard audit --emails -"},
	{"BZh", "it looks like bzip2: unpack it first, such as bzcat FILE | lapseguard audit --emails -"},
	{"\xfd7zXZ\x00", "it looks like xz: unpack it first, such as xzcat FILE | lapseguard audit --emails -"},
	{"SQLite format 3\x00", "it looks like a SQLite database: export the two columns as CSV"},
	{"PGDMP", "it looks like a PostgreSQL dump: export the two columns with \\copy as CSV"},
	{"PAR1", "it looks like Parquet: export the two columns as CSV"},
	{"%PDF", "it looks like PDF: save it as CSV"},
}

// decoded unpacks gzip and turns UTF-16 into UTF-8, by how the file begins; a byte order mark goes.
func decoded(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, peekedBytes)
	if start, _ := b.Peek(2); bytes.Equal(start, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, errors.New("it looks like gzip, and cannot be unpacked")
		}
		b = bufio.NewReaderSize(z, peekedBytes)
	}
	start, err := b.Peek(peekedBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readFailure(err)
	}
	for _, f := range foreign {
		if bytes.HasPrefix(start, []byte(f.magic)) {
			return nil, errors.New(f.says)
		}
	}
	endian, utf16 := unicode.LittleEndian, true
	switch {
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}):
	case bytes.HasPrefix(start, []byte{0xfe, 0xff}):
		endian = unicode.BigEndian
	case len(start) > 3 && start[1] == 0 && start[3] == 0 && start[0] != 0:
	case len(start) > 3 && start[0] == 0 && start[2] == 0 && start[1] != 0:
		endian = unicode.BigEndian
	case bytes.IndexByte(start, 0) >= 0:
		return nil, errors.New("it is not text: it holds zero bytes")
	default:
		utf16 = false
	}
	if utf16 {
		return bufio.NewReaderSize(transform.NewReader(b, unicode.UTF16(endian, unicode.UseBOM).NewDecoder()), peekedBytes), nil
	}
	if bytes.HasPrefix(start, []byte("\ufeff")) {
		_, _ = b.Discard(len("\ufeff"))
	}
	return b, nil
}

func readFailure(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		return errors.New("it looks like gzip, and is damaged or cut off: what follows is missing")
	}
	return fmt.Errorf("read: %w", err)
}

// lines reads records line by line: whatever is wrong with one, the next is read.
type lines struct {
	r         *bufio.Reader
	separator rune
	width     int // fields of the header
	n         int // of the line that was read last
	ahead     []string
	end       error
}

// errStray and errLong are what is wrong with a line; neither quotes it.
var (
	errStray = errors.New("a quotation mark opens there and never closes")
	errLong  = errors.New("it is longer than a megabyte")
	errUTF8  = errors.New("it is neither UTF-8 nor UTF-16: save the file as UTF-8")
)

// line gives the i-th line ahead, without taking it.
func (l *lines) line(i int) (string, bool) {
	for len(l.ahead) <= i && l.end == nil {
		s, err := l.read()
		if l.end = err; err == nil || s != "" {
			l.ahead = append(l.ahead, s)
		}
	}
	if i < len(l.ahead) {
		return l.ahead[i], true
	}
	return "", false
}

func (l *lines) read() (string, error) {
	var b strings.Builder
	for {
		part, err := l.r.ReadSlice('\n')
		if b.Len() <= maxLine {
			b.Write(part)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return strings.TrimRight(b.String(), "\r\n"), err
		}
	}
}

// next gives a record's fields and its first line's number; io.EOF is the end, another error is this line's alone
// unless fatal.
func (l *lines) next() (fields []string, at int, err error) {
	for {
		s, ok := l.line(0)
		if !ok {
			if errors.Is(l.end, io.EOF) {
				return nil, l.n, io.EOF
			}
			return nil, l.n, fatal{readFailure(l.end)}
		}
		if strings.TrimSpace(s) != "" {
			break
		}
		l.take(1)
	}
	at = l.n + 1
	fields, n, err := l.record()
	l.take(n)
	return fields, at, err
}

type fatal struct{ error }

func (l *lines) take(n int) { l.ahead, l.n = l.ahead[n:], l.n+n }

// record reads the record that begins with the line ahead, and says how many lines it takes. A quotation mark that
// would swallow the lines after it takes its own line alone.
func (l *lines) record() ([]string, int, error) {
	first, _ := l.line(0)
	switch {
	case len(first) > maxLine:
		return nil, 1, errLong
	case !utf8.ValidString(first):
		return nil, 1, errUTF8
	case !strings.Contains(first, `"`):
		return strings.Split(first, string(l.separator)), 1, nil
	}
	whole := first
	for n := 1; ; n++ {
		if strings.Count(whole, `"`)%2 == 0 {
			fields, err := l.split(whole)
			if n == 1 && err == nil {
				return fields, 1, nil
			}
			if err == nil && len(fields) == l.width {
				return fields, n, nil
			}
		}
		s, ok := l.line(n)
		if !ok || n >= maxFolded {
			return nil, 1, errStray
		}
		whole += "\n" + s
	}
}

func (l *lines) split(s string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(s))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = l.separator, -1, l.separator != '\t', true
	fields, err := r.Read()
	if err != nil {
		return nil, errStray
	}
	return fields, nil
}

// separators are what may stand between fields, and how to name each.
var separators = []struct {
	sign rune
	name string
}{{',', ","}, {';', ";"}, {'\t', "tab"}, {'|', "|"}}

// separatorOf is what the first line has most of.
func separatorOf(line string) (sign rune, name string) {
	sign, name = separators[0].sign, separators[0].name
	most := 0
	for _, s := range separators {
		if n := strings.Count(line, string(s.sign)); n > most {
			sign, name, most = s.sign, s.name, n
		}
	}
	return sign, name
}
