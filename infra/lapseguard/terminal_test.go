package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what is shown (-want +got; -update writes it):\n%s", path, diff)
	}
}

// widths are those that output is held to; 0 is a pipe.
var widths = []int{0, 80, 100, 120}

func tooWide(t *testing.T, out string, width int) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if n := text.StringWidthWithoutEscSequences(line); width > 0 && n > width {
			t.Errorf("%d columns where %d are: %s", n, width, line)
		}
	}
}

func shownRows() []row {
	at := time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)
	rows := append(someRows(), row{Domain: "a-domain-with-quite-a-long-name-for-a-terminal.example.co.uk", Addresses: 1204, Phase: lifecycle.Grace, Action: lifecycle.Watch,
		Reason: string(lifecycle.ReasonDeleted), Evidence: []said{{"delegation", at, "ns1.parking.example ns2.parking.example ns3.parking.example"}, {"rdap", at, "status: auto renew period, client transfer prohibited"}}})
	return rows
}

func TestTablesFit(t *testing.T) {
	since := time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)
	dir := storeOf(t,
		records.PutHold(safety.Hold{Domain: "auctioned.com", Since: since, Phase: "changed hands", Addresses: 1, Class: "rdap.verisign.com/changed hands", Action: string(lifecycle.Hold), Why: string(lifecycle.ReasonReviewHands)}),
		records.PutHold(safety.Hold{Domain: "free-to-take.com", Since: since, Phase: "released", Addresses: 240, Class: "rdap.verisign.com/released", Action: string(lifecycle.Unverify), Why: "more than 30 domains of the class in 24 hours"}),
	)
	d := lapsed("gone.com")
	gone := storeOf(t, d.Put(), records.PutHold(safety.Hold{Domain: d.Name, Since: present.Add(-80 * time.Hour), Phase: "redemption", Addresses: 2, Class: d.Class(), DecisionID: string(d.Decision()), Why: "more than 30 domains of the class in 24 hours"}),
		records.Record(records.PKGuard, "run", records.Run{ID: "r", Started: ago(time.Hour), Sent: true, Complete: true, Watched: 1204}, time.Time{}))
	for _, width := range widths {
		var out bytes.Buffer
		to := screen{Writer: &out, width: width}
		if err := writeRows(to, report{format: "table", rows: shownRows()}); err != nil {
			t.Fatal(err)
		}
		tooWide(t, out.String(), width)
		golden(t, fmt.Sprintf("audit-%03d.txt", width), out.String())
		out.Reset()
		if code := run(t.Context(), []string{"holds", "--state", dir}, streams{to, io.Discard}); code != 0 {
			t.Fatal(code)
		}
		tooWide(t, out.String(), width)
		golden(t, fmt.Sprintf("holds-%03d.txt", width), out.String())
		for _, args := range [][]string{{"explain", "gone.com", "--state", gone}, {"status", "--state", gone}} {
			out.Reset()
			if code := run(t.Context(), args, streams{to, io.Discard}); code != 0 {
				t.Fatal(code)
			}
			tooWide(t, out.String(), width)
			golden(t, fmt.Sprintf("%s-%03d.txt", args[0], width), out.String())
		}
	}
}

// TestColourIsAMeaning: and it is for terminals alone.
func TestColourIsAMeaning(t *testing.T) {
	show := func(colour bool) string {
		var out bytes.Buffer
		if err := writeRows(screen{Writer: &out, width: 100, colour: colour}, report{format: "table", rows: shownRows()}); err != nil {
			t.Fatal(err)
		}
		tooWide(t, out.String(), 100)
		return out.String()
	}
	loud, plain := show(true), show(false)
	if !strings.Contains(loud, lostColour+"unverify"+plainColour) || !strings.Contains(loud, doubtColour+"hold"+plainColour) || text.StripEscape(loud) != plain {
		t.Errorf("%s\n%s", loud, plain)
	}
	if strings.Contains(plain, "\x1b") {
		t.Errorf("%q", plain)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	env := map[string]string{"COLUMNS": "100"}
	if s := newScreen(f, func(k string) string { return env[k] }); s.colour || s.live || s.width != 100 {
		t.Errorf("a file is %+v", s)
	}
}

func TestProgressIsOneLineOnATerminal(t *testing.T) {
	var tty, pipe bytes.Buffer
	for _, to := range []io.Writer{screen{Writer: &tty, width: 20, live: true}, &pipe} {
		l := liveOn(to)
		for _, words := range []string{"one", "two, which is longer than the line", "two, which is longer than the line", "three"} {
			l.show(words)
		}
		l.clear()
	}
	if got := tty.String(); strings.Contains(got, "\n") || !strings.HasSuffix(got, "\r\x1b[Kthree\r\x1b[K") {
		t.Errorf("%q", got)
	}
	if got := pipe.String(); strings.Count(got, "\n") != 3 || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// TestAnInterruptionIsOneSentence: and says that the command goes on only where it does.
func TestAnInterruptionIsOneSentence(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	const goesOn = "lapseguard: interrupted; the same command goes on where it stopped\n"
	for want, args := range map[string][]string{
		"lapseguard: interrupted\n": {"conform", "http://127.0.0.1:1", "--token=x"},
		goesOn:                      {"demo", "--state", t.TempDir()},
	} {
		var out, stderr bytes.Buffer
		code := run(ctx, args, streams{&out, &stderr})
		if code != 130 || out.Len() != 0 || !strings.HasSuffix("\n"+stderr.String(), "\n"+want) || strings.Contains(stderr.String(), "context canceled") {
			t.Errorf("%v: exit %d %q %q", args, code, &out, &stderr)
		}
	}
}
