package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// screen is a writer that knows how wide it is and whether it shows colours. Every other writer is a pipe: a table
// has a line for each row there, for grep and awk.
type screen struct {
	io.Writer

	width  int // 0: a pipe
	live   bool
	colour bool
}

// screenOf is what a writer is.
func screenOf(w io.Writer) screen {
	if s, ok := w.(screen); ok {
		return s
	}
	return screen{Writer: w}
}

// newScreen finds out about the process's own output. NO_COLOR is that of https://no-color.org, and COLUMNS a width that
// is wanted although nobody is there to see it.
func newScreen(f *os.File, env func(string) string) screen {
	s := screen{Writer: f}
	if term.IsTerminal(int(f.Fd())) { // #nosec G115 -- a descriptor
		s.live = env("TERM") != "dumb"
		s.colour = s.live && env("NO_COLOR") == ""
		if s.width, _, _ = term.GetSize(int(f.Fd())); s.width <= 0 { // #nosec G115 -- a descriptor
			s.width = 80
		}
	}
	if n, err := strconv.Atoi(env("COLUMNS")); err == nil && n > 0 {
		s.width = n
	}
	return s
}

// The colours, by meaning.
const (
	lostColour  = "\x1b[1;31m"
	doubtColour = "\x1b[1;33m"
	watchColour = "\x1b[36m"
	quietColour = "\x1b[2m"
	plainColour = "\x1b[0m"
)

// paint colours words by what they mean: an action, or what became of it.
func (s screen) paint(words string) string { return s.paintAs(words, words) }

// paintAs colours words by what another word means.
func (s screen) paintAs(meaning, shown string) string {
	if !s.colour {
		return shown
	}
	for _, c := range []struct {
		sign  string
		words []string
	}{
		{lostColour, []string{string(lifecycle.Unverify), "unverified"}},
		{doubtColour, []string{string(lifecycle.Hold), "closed"}},
		{watchColour, []string{string(lifecycle.Watch), string(lifecycle.Confirm)}},
		{quietColour, []string{string(lifecycle.None)}},
	} {
		for _, w := range c.words {
			if w == meaning {
				return c.sign + shown + plainColour
			}
		}
	}
	return shown
}

// narrowest is how far a column can be narrowed.
const narrowest = 9

// grid writes a table that fits. The widest column gives way first, and wraps; a cell's lines stay apart. In a pipe
// nothing wraps, and a cell has one line.
func (s screen) grid(head []string, rows [][]string, numbers ...int) error {
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.Options{SeparateHeader: s.width > 0}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	if s.width == 0 {
		for _, r := range rows {
			for i := range r {
				r[i] = strings.ReplaceAll(r[i], "\n", " | ")
			}
		}
	}
	widths := fitted(head, rows, s.width)
	head = append([]string(nil), head...)
	right := map[int]bool{}
	for _, n := range numbers {
		right[n] = true
	}
	columns := make([]table.ColumnConfig, len(head))
	for i := range head {
		columns[i] = table.ColumnConfig{Number: i + 1}
		if right[i] {
			columns[i].Align, columns[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.SetColumnConfigs(columns)
	t.AppendHeader(tableRow(head, widths, func(w string) string { return w }))
	for _, r := range rows {
		t.AppendRow(tableRow(r, widths, s.paint))
	}
	if _, err := fmt.Fprintln(s.Writer, t.Render()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func tableRow(cells []string, widths []int, paint func(string) string) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		if widths != nil {
			c = wrapLines(strings.Split(c, "\n"), widths[i])
		}
		row[i] = paint(c)
	}
	return row
}

// fitted are the columns' widths, or nil where nothing bounds them.
func fitted(head []string, rows [][]string, width int) []int {
	if width == 0 {
		return nil
	}
	widths := make([]int, len(head))
	total := 2 * len(head)
	for i := range head {
		widths[i] = text.LongestLineLen(head[i])
		for _, r := range rows {
			widths[i] = max(widths[i], text.LongestLineLen(r[i]))
		}
		total += widths[i]
	}
	for ; total > width; total-- {
		widest := 0
		for i := range widths {
			if widest == 0 && 2*widths[i] >= widths[0] || widest > 0 && widths[i] >= widths[widest] { // a name is read whole
				widest = i
			}
		}
		if widths[widest] <= narrowest {
			break
		}
		widths[widest]--
	}
	return widths
}

// words writes a paragraph that fits.
func (s screen) words(line string) {
	if s.width > 0 {
		line = wrap(line, s.width)
	}
	fmt.Fprintln(s.Writer, line)
}

// live is one line that is written over and over on a terminal; elsewhere each text is a line, and the same one is not
// repeated.
type live struct {
	s    screen
	mu   sync.Mutex
	last string
}

func liveOn(w io.Writer) *live { return &live{s: screenOf(w)} }

func (l *live) show(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line == l.last {
		return
	}
	l.last = line
	if !l.s.live {
		fmt.Fprintln(l.s.Writer, line)
		return
	}
	if l.s.width > 1 {
		line = text.Trim(line, l.s.width-1)
	}
	fmt.Fprint(l.s.Writer, "\r\x1b[K"+line)
}

// clear takes the line away, so that what follows begins at the margin.
func (l *live) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.s.live && l.last != "" {
		fmt.Fprint(l.s.Writer, "\r\x1b[K")
	}
	l.last = ""
}
