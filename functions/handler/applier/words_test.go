package applier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// TestADayInWords: what is lost first, who does not know how much before who does, and no more names than one reads.
func TestADayInWords(t *testing.T) {
	line := func(what, domain string, phase lifecycle.Phase, n int) records.Line {
		return records.Line{What: what, Domain: domain, Phase: string(phase), Changed: n}
	}
	unknown := line(wordUnverified, "unknown.com", lifecycle.Redemption, 0)
	unknown.Unknown = true
	lines := []records.Line{
		line(wordUnverified, "b-two.com", lifecycle.Redemption, 2), line(wordUnverified, "a-two.com", lifecycle.Redemption, 2), line(wordUnverified, "three.com", lifecycle.Redemption, 3),
		line(wordUnverified, "taken.com", lifecycle.ReRegistered, 1), unknown, line(wordOpened, "back.com", lifecycle.Active, 1), line("waits", "waits.com", lifecycle.Active, 12),
		line("reported", "reported.com", lifecycle.Active, 4), line("of another version", "x.com", lifecycle.Active, 4),
	}
	for i := range 21 {
		lines = append(lines, line("held", fmt.Sprintf("held-%02d.com", i), lifecycle.Grace, 0))
	}
	at := time.Date(2026, 3, 3, 3, 0, 0, 0, time.UTC)
	d, err := told("2026-03-02", records.Run{Watched: 7, Unseen: map[string]int{"ch": 1}, FirstAt: lifecycle.At(at), First: map[string]records.First{"rdap.example.net": {Due: 9, PerMinute: 1}}}, lines, at)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.head, "On 2 March 2026 the guard watched 7 domains. Of these, nobody would see a lapse of 1: ") || !strings.Contains(d.head, " The first scan has 9 questions") || !strings.HasSuffix(d.head, ".") {
		t.Errorf("head %q", d.head)
	}
	for i, want := range []string{
		"Unverified 8 addresses at 5 domains: taken.com (re-registered), unknown.com (redemption, count unknown), three.com (redemption), a-two.com (redemption), b-two.com (redemption).",
		"Opened recovery again through 1 address at 1 domain: back.com (active).",
		"Closings waited for room in the day's budget, 12 of them at last, first of each kind at 1 domain: waits.com (active).",
		"The registry reports accounts as perhaps taken at 1 domain, 4 in all: reported.com (active).",
	} {
		if d.parts[i] != want {
			t.Errorf("%q\nwant %q", d.parts[i], want)
		}
	}
	if last := d.parts[len(d.parts)-1]; len(d.parts) != 5 || !strings.HasPrefix(last, "Held for a decision 21 domains: held-00.com (grace), ") || !strings.HasSuffix(last, ", held-19.com (grace) and 1 more.") {
		t.Errorf("%d parts, the last %q", len(d.parts), last)
	}
	subject, text := d.mail(waiting{open: 2})
	if subject != "lapseguard on 2 March: 5 unverified, 1 opened, 1 waited for room, 1 with accounts perhaps taken, 21 held, 2 wait" {
		t.Errorf("subject %q", subject)
	}
	if want := d.head + "\n\n" + strings.Join(d.parts, "\n") + "\n\n2 domains wait for a decision: `lapseguard holds` lists them, `lapseguard explain DOMAIN` tells each one's story.\n"; text != want {
		t.Errorf("%q\nwant %q", text, want)
	}
	if subject, text = d.mail(waiting{}); strings.Contains(subject, "wait,") || strings.HasSuffix(subject, "wait") || !strings.HasSuffix(text, "\n\nNothing waits for a decision.\n") {
		t.Errorf("%q %q", subject, text)
	}
	if got := d.text(); got != d.head+" "+strings.Join(d.parts, " ") {
		t.Errorf("%q", got)
	}
	quiet, err := told("2026-03-02", records.Run{Watched: 7}, nil, at)
	if got := quiet.text(); err != nil || got != "On 2 March 2026 the guard watched 7 domains. Nothing was closed or unverified, and nothing needs a decision." {
		t.Errorf("%q %v", got, err)
	}
	if _, err := told("yesterday", records.Run{}, nil, at); err == nil {
		t.Error("a day that is none")
	}
}

// TestTheDigestIsToldOnce a day, however often there is work; of the guard's first day there is nothing to tell.
func TestTheDigestIsToldOnce(t *testing.T) {
	w := newWorld(t)
	post := &posted{}
	w.Mail = post
	w.lapsed("first.com", nil)
	w.tick() // yesterday there was no guard
	if d, err := w.book().Digest(t.Context(), "2026-03-01"); err != nil || d.Found() || len(post.texts) != 0 {
		t.Errorf("%+v %v, mailed %q", d.V, err, post.subjects)
	}
	w.at = w.at.AddDate(0, 0, 1)
	for i := range 3 {
		w.lapsed(fmt.Sprintf("example-%d.com", i), nil)
		w.tick()
		w.at = w.at.Add(15 * time.Minute)
	}
	if d, err := w.book().Digest(t.Context(), "2026-03-02"); err != nil || !d.Found() || len(post.texts) != 1 {
		t.Errorf("%+v %v, mailed %q", d.V, err, post.subjects)
	}
}

// TestStaleHoldsAreNamed, up to twenty.
func TestStaleHoldsAreNamed(t *testing.T) {
	var stale []Waiting
	for i := range 22 {
		stale = append(stale, Waiting{fmt.Sprintf("h%02d.com", i), time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)})
	}
	for n, want := range map[int][2]string{
		1:  {"1 has waited for more than three days: h00.com (since 2 March)", "(since 2 March)"},
		2:  {"2 have waited for more than three days: h00.com (since 2 March), h01.com", "h01.com (since 2 March)"},
		20: {"20 have waited for more than three days: h00.com", "h19.com (since 2 March)"},
		22: {"22 have waited for more than three days: h00.com", "h19.com (since 2 March) and 2 more"},
	} {
		if got := staleWords(stale[:n]); !strings.HasPrefix(got, want[0]) || !strings.HasSuffix(got, want[1]) {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// TestWhomAnApprovalConcerns: those with most to lose first, up to fifty by name.
func TestWhomAnApprovalConcerns(t *testing.T) {
	var held []safety.Hold
	for i := range 52 {
		held = append(held, safety.Hold{Domain: fmt.Sprintf("h%02d.com", i), Addresses: 1})
	}
	held[7].Addresses = 9
	got := strings.Split(wouldApproveAll("x/redemption", held), "\n")
	if len(got) != 52 || got[0] != "would approve: 52 domains of x/redemption, 60 accounts (by verified address)" || got[1] != "h07.com, 9 accounts" || got[2] != "h00.com, 1 account" ||
		got[50] != "h49.com, 1 account" || got[51] != "and 2 more: lapseguard holds lists them" {
		t.Errorf("%q", got)
	}
	if got := wouldApproveAll("x/redemption", held[:50]); strings.Count(got, "\n") != 50 || strings.Contains(got, "more") {
		t.Errorf("%q", got)
	}
}

// TestADryRunOfARestoreNamesAHundred, and says how many more.
func TestADryRunOfARestoreNamesAHundred(t *testing.T) {
	for n, want := range map[int]string{100: "h099.com. Nothing is changed yet", 102: "h099.com and 2 more. Nothing is changed yet"} {
		w := newWorld(t)
		for i := range n {
			name := fmt.Sprintf("h%03d.com", i)
			w.write(records.Record(records.PKRequest, name+":lapse:1", records.Request{Domain: name, At: w.at, Budget: safety.Unit{Class: "x/redemption"}}, time.Time{}))
		}
		res := w.must(Event{Action: "restore", Class: "x/redemption", Since: w.at})
		if !strings.HasPrefix(res.Text, fmt.Sprintf("would take back what was done at %d domains of x/redemption: h000.com, h001.com", n)) || !strings.Contains(res.Text, want) {
			t.Errorf("%d: %q", n, res.Text)
		}
	}
}

// TestWhoWasAskedIsSaidSo: a question is answered as one, and nothing else is.
func TestWhoWasAskedIsSaidSo(t *testing.T) {
	w := newWorld(t)
	w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
	w.tick()
	if res := w.must(Event{Action: "approve", Domain: "asked.com", Ask: true}); !res.Asked || !strings.HasPrefix(res.Text, "would approve: 1 domain, 3 accounts (by verified address)\nasked.com, redemption: ") || !strings.Contains(res.Text, "\nheld since 2 March 03:30 UTC: ") {
		t.Errorf("%+v", res)
	}
	if res, err := w.say(Event{Action: "approve", Domain: "nowhere.com", Ask: true}); err == nil || res.Asked {
		t.Errorf("%+v %v", res, err)
	}
	if res := w.must(Event{Action: "approve", Domain: "asked.com", Why: "seen"}); res.Asked || !strings.Contains(res.Text, "unverified (seen)") {
		t.Errorf("%+v", res)
	}
}

// TestAKillSwitchThatCannotBeReadIsTold in the hours in which it is measured.
func TestAKillSwitchThatCannotBeReadIsTold(t *testing.T) {
	for hour, told := range map[int]bool{6: true, 7: false, 12: true} {
		w, _ := newQuiet(t)
		w.at = time.Date(2026, 3, 2, hour, 30, 0, 0, time.UTC)
		w.Differ = Differ(Enforce, func(context.Context, bool) (string, error) { return "", errLost })
		if _, err := w.Handle(t.Context(), Event{Action: "tick"}); errors.Is(err, errLost) != told {
			t.Errorf("at %d: %v", hour, err)
		}
	}
}
