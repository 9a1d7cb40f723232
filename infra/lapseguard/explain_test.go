package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// present is the clock of the stores below.
var present = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

func ago(d time.Duration) lifecycle.Instant { return lifecycle.At(present.Add(-d)) }

const oneDay = 24 * time.Hour

// lapsed is a domain in redemption for nine days, with two addresses, unverified or not.
func lapsed(name string) records.Domain {
	d := records.NewDomain(name, ago(12*oneDay))
	d.Listed, d.Hosts, d.Addresses, d.Oldest = true, 1, 2, ago(900*oneDay)
	d.State.Phase, d.State.Since, d.State.LapseAt, d.State.Worst = lifecycle.Redemption, ago(9*oneDay), ago(9*oneDay), lifecycle.Redemption
	d.State.Deleg, d.State.DelegAt, d.State.DelegSince = lifecycle.DelegationGone, ago(6*time.Hour), ago(9*oneDay)
	d.State.Reg, d.State.RegAt, d.State.RegSince, d.State.RegServer, d.State.RegAuth = lifecycle.WordRedemption, ago(6*time.Hour), ago(9*oneDay), "rdap.example", true
	d.State.NextRDAP = ago(-14 * time.Hour)
	d.Action, d.Confidence, d.Reason, d.VerifiedBefore = lifecycle.Unverify, lifecycle.High, lifecycle.ReasonDeleted, ago(9*oneDay+5*time.Minute)
	return d
}

// storeOf makes a local store in a folder of its own.
func storeOf(t *testing.T, writes ...store.Write) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := bolt.Open(filepath.Join(dir, guardFile), bolt.Options{Now: func() time.Time { return present }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, w := range writes {
		if err := s.Write(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "clock"), []byte(present.Format(time.RFC3339)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func entry(name string, before time.Duration, e records.Entry) store.Write {
	e.At = present.Add(-before)
	return records.PutEntry(name, e, 0)
}

// folded undoes the wrapping.
func folded(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestExplainTellsTheWholeStory(t *testing.T) {
	d := lapsed("gone.com")
	c := decision.Case{}.Judge(d.Verdict()).Answer(0, ago(8*oneDay))
	d.Acted = true
	asked := records.Request{At: present.Add(-9 * oneDay), Request: registry.Request{Domain: d.Name, VerifiedBefore: d.VerifiedBefore.Time(), MaxAddresses: 7, Reason: registry.ReasonLapsed, Key: c.Key()},
		Answer: &registry.Answer{Changed: 2, KeptLater: 1, Recovery: registry.RecoveryClosed}, Restored: &registry.Restored{Restored: 1, Kept: 1}}
	dir := storeOf(t, d.Put(), records.PutCase(d.Name, c), records.Record(records.PKRequest, c.Key(), asked, time.Time{}),
		entry(d.Name, 12*oneDay, records.Entry{What: "look", After: lifecycle.Active, Action: lifecycle.None, Confidence: lifecycle.High, Reason: lifecycle.ReasonDelegated, Sentence: "It was delegated."}),
		entry(d.Name, 9*oneDay, records.Entry{What: "look", Before: lifecycle.Active, After: lifecycle.Redemption, Action: lifecycle.Unverify, Confidence: lifecycle.High, Reason: lifecycle.ReasonDeleted,
			Sentence: "The registry said so.", Evidence: []records.Witness{{Source: source.SourceRDAP, Server: "https://rdap.example/", Said: "status: redemption period; ask hostmaster@victim.example \x1b[31m"}}}),
		entry(d.Name, 8*oneDay, records.Entry{What: "unverified", After: lifecycle.Redemption, Action: lifecycle.Unverify, Sentence: "The registry said so.", Answer: asked.Answer}),
		entry(d.Name, 7*oneDay, records.Entry{What: "restored", By: "Jo", Request: "4711", Sentence: "restored 1 addresses at gone.com"}))
	out, stderr, code := demonstrate(t, "explain", "mail.Gone.com", "--state", dir)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	parts := strings.Split(out, "\n\n")
	if len(parts) != 7 {
		t.Fatalf("%d paragraphs, want 7:\n%s", len(parts), out)
	}
	// What lifecycle says is tested there.
	v := lifecycle.Verdict{Phase: d.State.Phase, Action: d.Action, Confidence: d.Confidence, Reason: d.Reason}
	parts[1] = strings.Replace(folded(parts[1]), lifecycle.Sentence(d.State, v)+" "+lifecycle.Meaning(v), "…", 1)
	_, next := lifecycle.Next(d.State, account{d: d}.facts(), lifecycle.At(present))
	parts[5] = strings.Replace(folded(parts[5]), next, "…", 1)
	want := []string{
		"mail.gone.com lies below gone.com: that is the domain somebody could register, so it is the one that\nis watched.",
		"gone.com is in redemption: deleted, and not released yet (first seen so on 2026-03-05 09:00 UTC). … The verdict: deleted, by the registry and a second witness. " +
			"It asks to mark its addresses unverified; confidence high. It concerns addresses verified before 2026-03-05 08:55 UTC.",
		"It is watched for 2 verified addresses at 1 host, the oldest verified 2023-09-26 09:00 UTC.",
		"The decision was put to the registry; nothing is pending.",
		`On 2026-03-05 09:00 UTC the registry was asked to mark addresses at gone.com and below that were
verified before 2026-03-05 08:55 UTC (domain_lapsed, at most 7 of them; decision
gone.com:lapse:1772701200). It marked 2 addresses; 1 verified later were left alone; they cannot be
used to recover an account any more. That was taken back: 1 address is verified again, 1 changed
meanwhile and left alone.`,
		"Next look. …",
		`History, newest first:
- 2026-03-07 09:00 UTC: restored 1 addresses at gone.com. By Jo (request 4711).
- 2026-03-06 09:00 UTC: the registry was told to mark the addresses unverified. The registry said
  so. It marked 2 addresses; 1 verified later were left alone; they cannot be used to recover an
  account any more.
- 2026-03-05 09:00 UTC: from active to redemption; deleted, by the registry and a second witness:
  mark its addresses unverified (confidence high). The registry said so.
  rdap (https://rdap.example/) said: status: redemption period; ask [masked] [31m
- 2026-03-02 09:00 UTC: from unknown to active; registered and delegated: do nothing (confidence
  high). It was delegated.
`,
	}
	for i := range want {
		if parts[i] != want[i] {
			t.Errorf("paragraph %d:\n%s\nwant\n%s", i+1, parts[i], want[i])
		}
	}
	if out, _, _ := demonstrate(t, "explain", "gone.com", "--state", dir, "--limit", "1"); strings.Count(out, "\n- ") != 2 || !strings.Contains(out, "Older entries are left out") {
		t.Errorf("with --limit 1 it tells:\n%s", out)
	}
}

func TestExplainWhereItStands(t *testing.T) {
	change := func(f func(*records.Domain)) store.Write {
		d := lapsed("x.com")
		f(&d)
		return d.Put()
	}
	d := lapsed("x.com")
	hold := safety.Hold{Domain: d.Name, Why: "the breaker stopped a crowd", Since: present.Add(-5 * oneDay), Class: "rdap.example/redemption", DecisionID: string(d.Decision())}
	held := records.PutHold(hold)
	caseOf := func(f func(decision.Case) decision.Case) store.Write {
		return records.PutCase(d.Name, f(decision.Case{}.Judge(d.Verdict())))
	}
	approved, err := safety.Ledger{}.Approve(hold.Class, safety.Approval{By: "Jo", At: present, Until: present.Add(oneDay), PerDay: 40, Left: 310})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		writes []store.Write
		want   []string
		not    string
	}{
		"pending": {[]store.Write{change(func(*records.Domain) {})}, []string{"A decision is pending", "Nothing about it was sent"}, "held for a person"},
		"observe": {[]store.Write{change(func(*records.Domain) {}), caseOf(decision.Case.Report)}, []string{"Observe mode has reported"}, ""},
		"held":    {[]store.Write{change(func(*records.Domain) {}), held}, []string{"It has been held for a person since 2026-03-09 09:00 UTC: the breaker stopped a crowd. It has waited longer than three days."}, "approved"},
		"class": {[]store.Write{change(func(*records.Domain) {}), held, records.Record(records.PKGuard, records.SKBreaker, approved, time.Time{}),
			caseOf(func(c decision.Case) decision.Case {
				c, _ = c.Hold(decision.ByBreaker, d.Verdict()).ApproveWith(d.Class(), lifecycle.Instant(approved.Approvals[hold.Class].ID))
				return c
			})},
			[]string{"Its class (rdap.example/redemption) was approved by Jo as one reviewed list, 40 a day; 310 are left."}, ""},
		"earlier hold": {[]store.Write{change(func(d *records.Domain) { d.State.LapseAt++ }), held}, []string{"A hold of an earlier lapse is on record"}, ""},
		"held by":      {[]store.Write{change(func(*records.Domain) {}), held, caseOf(func(c decision.Case) decision.Case { return c.Pin("Jo") })}, []string{"Jo holds it: nothing is done about it until a person decides."}, "pending:"},
		"approved":     {[]store.Write{change(func(*records.Domain) {}), caseOf(func(c decision.Case) decision.Case { c, _ = c.Approve(d.Verdict()); return c })}, []string{"A person approved it"}, ""},
		"mail host": {[]store.Write{change(func(d *records.Domain) { d.MailHost, d.Listed = true, false }), records.Record(records.DependentsPK("x.com"), "a.org/mx", records.Upstream{}, time.Time{}), records.Record(records.DependentsPK("x.com"), "b.org/ns", records.Upstream{}, time.Time{})},
			[]string{"It is watched as a mail host: whoever owns it can read the mail of a.org (by its MX), b.org (by its name servers)."}, "verified address at"},
		"its mail host": {[]store.Write{change(func(d *records.Domain) { d.State.MailLapsed = "mailer.net" })}, []string{"depend on mailer.net, which lapsed"}, ""},
		"left the list": {[]store.Write{change(func(d *records.Domain) { d.Listed = false })}, []string{"lists no verified address there any more, so it is not looked at", "It is not looked at any more."}, "Next look"},
		"recheck":       {[]store.Write{change(func(d *records.Domain) { d.NextLook = ago(0) }), entry("x.com", 0, records.Entry{What: "recheck", By: "Jo", Sentence: "recheck: soon"})}, []string{"Due since 2026-03-14 09:00 UTC: Jo asked for it."}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, stderr, code := demonstrate(t, "explain", "x.com", "--state", storeOf(t, tc.writes...))
			for _, want := range tc.want {
				if code != 0 || !strings.Contains(folded(out), want) {
					t.Errorf("exit %d %s; it lacks %q:\n%s", code, stderr, want, out)
				}
			}
			if tc.not != "" && strings.Contains(folded(out), tc.not) {
				t.Errorf("it says %q:\n%s", tc.not, out)
			}
		})
	}
}

func TestExplainWhatItDoesNotKnow(t *testing.T) {
	dir := storeOf(t)
	for given, want := range map[string]string{
		"nowhere.com":                "nowhere.com is not known: nothing is stored about it. It gets here with the first daily run after the registry's list names a verified address",
		"mail.nowhere.com":           "mail.nowhere.com lies below nowhere.com, which is not known",
		"someone@mail.nowhere.com":   "mail.nowhere.com lies below nowhere.com, which is not known",
		"x.uk.com":                   "it lies below a name that somebody owns and lets",
		"co.uk":                      "it is a suffix under which domains are registered",
		"192.0.2.1":                  "it is an IP address",
		"host.invalid":               "the name is reserved",
		"host.nosuchtoplevel":        "no such top-level domain",
		"a b;touch x":                "it is not a domain",
		"\"a b\"@victim.example\x1b": "not",
	} {
		out, stderr, code := demonstrate(t, "explain", given, "--state", dir)
		if code != 0 || !strings.Contains(folded(out), want) || strings.ContainsAny(out, "@\x1b") {
			t.Errorf("%q: exit %d %s: %q, want %q", given, code, stderr, out, want)
		}
	}
}

func TestExplainFindsTheStore(t *testing.T) {
	dir, empty, two := storeOf(t, lapsed("x.com").Put()), t.TempDir(), t.TempDir()
	for _, name := range []string{"a.db", "b.db"} {
		if err := os.WriteFile(filepath.Join(two, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, stderr, code := demonstrate(t, "explain", "x.com", "--state", filepath.Join(dir, guardFile)); code != 0 || !strings.Contains(out, "in redemption") {
		t.Errorf("by its file: exit %d %s %s", code, out, stderr)
	}
	for path, want := range map[string]string{
		filepath.Join(empty, "none"): "there is no store at", empty: "holds no store", two: "holds several stores",
	} {
		if _, stderr, code := demonstrate(t, "explain", "x.com", "--state", path); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d %s, want %q", path, code, stderr, want)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("looking for a store made one: %v %v", left, err)
	}
	if _, stderr, code := demonstrate(t, "explain", "x.com", "--state", dir, "--now", "soon"); code != 1 || !strings.Contains(stderr, "--now") {
		t.Errorf("exit %d %s", code, stderr)
	}
}

// TestAuditCanBeExplained: an audit's own state tells more than its row.
func TestAuditCanBeExplained(t *testing.T) {
	startSmall(t).environ(t)
	state := t.TempDir()
	rows, stderr, code := audit(t, t.Context(), "--emails", writeEmails(t, "email\na@gone1.com\n"), "--state", state, "--keep", "--now", "2026-03-01T12:00:00Z")
	if code != 0 || len(rows) != 1 || !strings.Contains(stderr, "lapseguard explain DOMAIN --state ") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	out, stderr, code := demonstrate(t, "explain", "gone1.com", "--state", state, "--now", "2026-03-01T12:30:00Z")
	if code != 0 || !strings.Contains(out, "gone1.com is in redemption") || !strings.Contains(out, "A decision is pending") {
		t.Errorf("exit %d %s\n%s", code, stderr, out)
	}
}

// TestJSONIsWhole: an address in words of other parties is masked within its string, and the object stays JSON.
func TestJSONIsWhole(t *testing.T) {
	d := lapsed("gone.com")
	dir := storeOf(t, d.Put(), records.PutHold(safety.Hold{Domain: d.Name, Since: present, Why: "ask|jo\u0040victim.example,\"now\"", DecisionID: string(d.Decision())}),
		records.PutEntry(d.Name, records.Entry{At: present, What: "held", Sentence: "jo\u0040victim.example\x1b[2J"}, 0))
	for _, args := range [][]string{{"explain", "mail.gone.com"}, {"holds"}, {"status"}, {"explain", "stranger.com"}, {"explain", "co.uk"}} {
		out, stderr, code := demonstrate(t, append(args, "--format", "json", "--state", dir)...)
		if code != 0 || !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 || strings.ContainsAny(out, "@\x1b") {
			t.Errorf("%v: exit %d %s\n%s", args, code, stderr, out)
		}
	}
	out, _, _ := demonstrate(t, "explain", "mail.gone.com", "--format", "json", "--state", dir)
	var e explained
	if err := json.Unmarshal([]byte(out), &e); err != nil || !e.Known || e.Domain != "gone.com" || e.Phase != lifecycle.Redemption || e.Action != lifecycle.Unverify || e.Hold == nil || len(e.History) != 1 || e.Addresses != 2 || len(e.Says) < 4 || e.Since.IsZero() {
		t.Errorf("%v %+v", err, e)
	}
}
