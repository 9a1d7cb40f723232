package lifecycle_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/source/status"
)

var update = flag.Bool("update", false, "write testdata/corpus.golden anew; then read the difference")

// A corpusCase is what sources answered about one domain, look by look, as testdata/corpus/README.md describes it.
type corpusCase struct {
	name, file, from string
	zone             string // the suffix; the domain is "example" below it
	oldest           lifecycle.Instant
	graceUnverify    bool
	looks            []look
}

type look struct {
	at      time.Time
	answers []rawAnswer
}

// rawAnswer is one source's answer as it came: "rdap 404 text/html" and a body.
type rawAnswer struct {
	words []string
	body  string
}

// TestCorpus judges every case of the corpus from its raw answers, through the clients that run in production, and
// compares what comes of it with a file that a person has read.
func TestCorpus(t *testing.T) {
	cases := readCorpus(t)
	w := newWire(t)
	var golden strings.Builder
	tally := map[string]int{}
	for _, c := range cases {
		golden.WriteString(w.play(t, c, tally))
	}
	corpusIsComplete(t, len(cases), tally)
	file := filepath.Join("testdata", "corpus.golden")
	if *update {
		if err := os.WriteFile(file, []byte(golden.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compareBlocks(t, string(want), golden.String())
}

// corpusIsComplete: each phase, reason and cause that a source can have is among the cases.
func corpusIsComplete(t *testing.T, n int, tally map[string]int) {
	t.Helper()
	if n < 60 {
		t.Errorf("%d cases, want at least 60", n)
	}
	want := []string{"none", "watch", "confirm", "hold", "unverify", "low", "medium", "high", "contradiction"}
	for _, p := range lifecycle.Phases() {
		want = append(want, string(p))
	}
	for _, r := range []lifecycle.Reason{
		lifecycle.ReasonDelegated, lifecycle.ReasonRegistered, lifecycle.ReasonDelegatedOnly, lifecycle.ReasonAutoRenew, lifecycle.ReasonOutOfService,
		lifecycle.ReasonUnknownSource, lifecycle.ReasonOneWitness, lifecycle.ReasonGraceOnce, lifecycle.ReasonGraceTwice, lifecycle.ReasonRestore, lifecycle.ReasonDeleted,
		lifecycle.ReasonDeletedAlone, lifecycle.ReasonStillThere, lifecycle.ReasonStatusDeleted, lifecycle.ReasonReleased, lifecycle.ReasonFreeButThere, lifecycle.ReasonReRegistered,
		lifecycle.ReasonReviewNew, lifecycle.ReasonReviewHands, lifecycle.ReasonNewControl, lifecycle.ReasonQuarantine, lifecycle.ReasonUndescribed,
	} {
		want = append(want, string(r))
	}
	for _, c := range []source.Cause{
		source.CauseTimeout, source.CauseUnreachable, source.CauseServfail, source.CauseRefused, source.CauseLame, source.CauseTruncated, source.CauseMalformed,
		source.CauseTooLarge, source.CauseWrongName, source.CauseWrongClass, source.CauseNotRDAP, source.CauseErrorInside, source.CauseRateLimited,
		source.CauseForbidden, source.CauseServerError, source.CauseBadRequest, source.CauseRedirect, source.CauseNotAuthority, source.CauseNoServer, source.CauseTooDeep, source.CauseSearch, source.CauseEmptyBody, source.CauseHTML,
	} {
		want = append(want, string(c))
	}
	for _, w := range want {
		if tally[w] == 0 {
			t.Errorf("no case has the outcome %q", w)
		}
	}
}

func compareBlocks(t *testing.T, want, got string) {
	t.Helper()
	old := map[string]string{}
	for block := range strings.SplitSeq(want, "\n\n") {
		name, _, _ := strings.Cut(block, "\n")
		old[name] = block
	}
	for block := range strings.SplitSeq(got, "\n\n") {
		name, _, _ := strings.Cut(block, "\n")
		if old[name] != block {
			t.Errorf("got\n%s\n\nwant\n%s\n\n(-update writes the file anew)", block, old[name])
		}
		delete(old, name)
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		t.Errorf("%s: in the golden file, not in the corpus", name)
	}
}

// wire gives the clients of shared/source the answers of the corpus instead of a network.
type wire struct {
	rdap   *rdap.Client
	status *status.Client
	now    atomic.Int64
	answer rawAnswer
}

func newWire(t *testing.T) *wire {
	w := &wire{}
	now := func() time.Time { return time.Unix(w.now.Load(), 0).UTC() }
	var err error
	if w.rdap, err = rdap.New(rdap.Config{Transport: w, Now: now, Log: slog.New(slog.DiscardHandler), MaxBody: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	if w.status, err = status.New(status.Config{Transport: w, Now: now}); err != nil {
		t.Fatal(err)
	}
	return w
}

// RoundTrip answers with what the case says. IANA's bootstrap is not to be had: the built-in one stands.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == "data.iana.org" {
		return nil, errors.New("no network in tests")
	}
	a := w.answer
	switch a.words[1] {
	case "timeout":
		return nil, os.ErrDeadlineExceeded
	case "unreachable":
		return nil, errors.New("connection refused")
	}
	code, err := strconv.Atoi(a.words[1])
	if err != nil {
		return nil, err
	}
	kind := "application/rdap+json"
	if len(a.words) > 2 {
		kind = a.words[2]
	}
	h := http.Header{"Content-Type": {kind}}
	if code/100 == 3 {
		h.Set("Location", a.words[2])
	}
	if code == http.StatusTooManyRequests {
		h.Set("Retry-After", "3600")
	}
	return &http.Response{StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), Request: req}, nil
}

// play runs a case's looks one after the other and writes down the last verdict.
func (w *wire) play(t *testing.T, c corpusCase, tally map[string]int) string {
	t.Helper()
	name := "example." + c.zone
	tld := c.zone[strings.LastIndexByte(c.zone, '.')+1:]
	f := lifecycle.Facts{TLD: lifecycle.TLDOf(c.zone), Authority: lifecycle.AuthorityNone, Oldest: c.oldest, GraceUnverify: c.graceUnverify}
	w.now.Store(c.looks[0].at.Unix())
	if _, named, ok := w.rdap.Server(tld); ok && named {
		f.Authority = lifecycle.AuthorityIANA
	} else if ok {
		f.Authority = lifecycle.AuthoritySupplemental
	}
	s := lifecycle.NewState(lifecycle.At(c.looks[0].at))
	var v lifecycle.Verdict
	var heard []string
	for _, l := range c.looks {
		w.now.Store(l.at.Unix())
		heard = heard[:0]
		var obs []source.Observation
		for _, a := range l.answers {
			o := w.ask(t, c, a, name, tld, l.at)
			obs = append(obs, o)
			tally[string(o.Cause)]++
			heard = append(heard, fmt.Sprintf("  %s, %s: %s", o.Source, strings.TrimSpace(string(o.Outcome)+" "+string(o.Cause)), cmp.Or(o.Said, strings.Join(a.words[1:], " "))))
		}
		s, v = lifecycle.Visit(s, obs, f, lifecycle.At(l.at))
		for _, outcome := range []string{string(v.Phase), string(v.Action), string(v.Confidence), string(v.Reason)} {
			tally[outcome]++
		}
	}
	at := lifecycle.At(c.looks[len(c.looks)-1].at)
	text := fmt.Sprintf("=== %s\n  from %s: %s\n  %s on %s, look %d\n%s\n  => %s, %s, confidence %s: %s\n", c.name, c.file, c.from, name, at, len(c.looks), strings.Join(heard, "\n"),
		v.Phase, v.Action, v.Confidence, v.Reason)
	if v.Action == lifecycle.Unverify {
		exposed := "nobody else can have it yet"
		if v.ExposedSince != 0 {
			exposed = "others can have it since " + v.ExposedSince.String()
		}
		text += fmt.Sprintf("  addresses verified before %s; %s\n", v.VerifiedBefore, exposed)
	}
	_, next := lifecycle.Next(s, f, at)
	return text + "  " + strings.TrimSpace(lifecycle.Sentence(s, v)+" "+lifecycle.Meaning(v)) + "\n  " + next + "\n\n"
}

// ask decodes one raw answer into an observation.
func (w *wire) ask(t *testing.T, c corpusCase, a rawAnswer, name, tld string, at time.Time) source.Observation {
	t.Helper()
	w.answer = a
	switch a.words[0] {
	case "rdap":
		return w.rdap.Lookup(t.Context(), name, tld)
	case "status":
		return w.status.Status(t.Context(), name)
	case "dns":
		return zoneAnswer(t, c, a.words[1:], at)
	}
	t.Fatalf("%s, case %s: no source %q", c.file, c.name, a.words[0])
	return source.Observation{}
}

// zoneAnswer is the zone's answer in words: gone, referral HOST..., authority HOST..., nodata, or a cause.
func zoneAnswer(t *testing.T, c corpusCase, words []string, at time.Time) source.Observation {
	t.Helper()
	o := source.Observation{Source: source.SourceDelegation, Server: c.zone, At: at, Outcome: source.Observed}
	switch words[0] {
	case "gone":
		o.Outcome = source.Absent
	case source.FormReferral, source.FormAuthority, source.FormNoData:
		o.Delegation = &source.Delegation{Form: words[0], NS: words[1:]}
	case "timeout", "servfail", "refused", "lame", "truncated", "malformed":
		o.Outcome, o.Cause = source.Unknown, source.Cause(words[0])
	default:
		t.Fatalf("%s, case %s: no answer of a zone: %q", c.file, c.name, words)
	}
	return o
}

func readCorpus(t *testing.T) []corpusCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "corpus", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	names := map[string]bool{}
	var cases []corpusCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split("\n"+string(text), "\n=== ")[1:] {
			c := parseCase(t, filepath.Base(file), block)
			if names[c.name] {
				t.Errorf("%s: case %s is there twice", c.file, c.name)
			}
			names[c.name] = true
			cases = append(cases, c)
		}
	}
	return cases
}

// quiet is the look that "before: quiet" stands for.
var quiet = time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)

func parseCase(t *testing.T, file, block string) corpusCase {
	t.Helper()
	c := corpusCase{file: file, oldest: lifecycle.At(time.Date(2020, 5, 5, 0, 0, 0, 0, time.UTC))}
	head, rest, _ := strings.Cut(block, "\n--- ")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	c.name = lines[0]
	var before string
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "from":
			c.from = value
		case "zone":
			c.zone = value
		case "before":
			before = value
		case "grace":
			c.graceUnverify = value == "unverify"
		case "verified":
			c.oldest = 0
			if value != "unknown" {
				c.oldest = lifecycle.At(parseTime(t, value))
			}
		default:
			t.Fatalf("%s, case %s: %q", file, c.name, line)
		}
	}
	if before == "quiet" {
		c.looks = []look{{quiet, quietAnswers(c.zone)}}
	}
	for section := range strings.SplitSeq(rest, "\n--- ") {
		first, body, _ := strings.Cut(section, "\n")
		words := strings.Fields(first)
		if len(words) < 3 || c.from == "" || c.zone == "" {
			t.Fatalf("%s, case %s: incomplete at %q", file, c.name, first)
		}
		at := parseTime(t, words[0])
		if n := len(c.looks); n == 0 || !c.looks[n-1].at.Equal(at) {
			c.looks = append(c.looks, look{at: at})
		}
		last := &c.looks[len(c.looks)-1]
		last.answers = append(last.answers, rawAnswer{words[1:], repeated.ReplaceAllStringFunc(strings.TrimSpace(body), repeat)})
	}
	return c
}

// repeated is how a long body is written short: {{70000 times x}}.
var repeated = regexp.MustCompile(`{{(\d+) times (.)}}`)

func repeat(s string) string {
	parts := repeated.FindStringSubmatch(s)
	n, _ := strconv.Atoi(parts[1]) // digits
	return strings.Repeat(parts[2], n)
}

// quietAnswers are those of a domain in order, registered in 2015 and paid until September.
func quietAnswers(zone string) []rawAnswer {
	return []rawAnswer{
		{words: strings.Fields("dns referral ns1.example-host.net ns2.example-host.net")},
		{words: []string{"rdap", "200"}, body: `{"objectClassName": "domain", "ldhName": "example.` + zone + `", "status": ["client transfer prohibited"],
			"events": [{"eventAction": "registration", "eventDate": "2015-03-03T00:00:00Z"}, {"eventAction": "expiration", "eventDate": "2026-09-17T12:00:00Z"}],
			"entities": [{"objectClassName": "entity", "roles": ["registrar"], "publicIds": [{"type": "IANA Registrar ID", "identifier": "146"}]}]}`},
	}
}

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	for _, form := range []string{"2006-01-02T15:04Z", time.DateOnly} {
		if at, err := time.Parse(form, s); err == nil {
			return at
		}
	}
	t.Fatalf("%q is no time", s)
	return time.Time{}
}

// What tld.txt says about whom to ask is what the built-in list of servers says.
func TestTLDFileAgreesWithTheServers(t *testing.T) {
	w := newWire(t)
	text, err := os.ReadFile("tld.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		columns := strings.Split(line, "|")
		if strings.HasPrefix(line, "#") || len(columns) < 2 {
			continue
		}
		for suffix := range strings.FieldsSeq(columns[0]) {
			tld := suffix[strings.LastIndexByte(suffix, '.')+1:]
			if tld == "*" {
				tld = "com"
			}
			_, named, ok := w.rdap.Server(tld)
			want := map[string]bool{"iana": ok && named, "supplemental": ok && !named, "status": !named}
			if ask := strings.TrimSpace(columns[1]); !want[ask] {
				t.Errorf("%s: tld.txt says %s; there is a server: %t, named by IANA: %t", suffix, ask, ok, named)
			}
		}
	}
}
