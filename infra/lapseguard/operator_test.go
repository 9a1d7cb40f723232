package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// TestEvents: with --event a command prints what the deployed applier takes, and does nothing.
func TestEvents(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, tc := range []struct{ args, want string }{
		{"status", `{"action":"status"}`},
		{"approve|mail.Example.org|--by=Jo", `{"action":"approve","domain":"example.org","by":"Jo","ask":true}`},
		{"approve|mail.Example.org|--by=Jo|--yes|--reason=seen at the registrar", `{"action":"approve","domain":"example.org","by":"Jo","why":"seen at the registrar"}`},
		{"hold|example.org|--by=Jo", `{"action":"hold","domain":"example.org","by":"Jo"}`},
		{"unhold|bücher.example.com|--by=Jo", `{"action":"unhold","domain":"example.com","by":"Jo"}`},
		{"recheck|bücher.org.|--by=Jo", `{"action":"recheck","domain":"xn--bcher-kva.org","by":"Jo"}`},
		{"retry|example.org|--by=Jo", `{"action":"retry","domain":"example.org","by":"Jo"}`},
		{"restore|example.org|--by=Jo", `{"action":"restore","domain":"example.org","by":"Jo"}`},
		{"restore|example.org|--by=Jo|--decision=example.org:lapse:1", `{"action":"restore","domain":"example.org","decision":"example.org:lapse:1","by":"Jo"}`},
		{"restore|--class=rdap.example/redemption|--since=2026-03-01T22:00:00Z|--by=Jo", `{"action":"restore","by":"Jo","class":"rdap.example/redemption","since":"2026-03-01T22:00:00Z"}`},
		{"restore|--class=rdap.example/redemption|--since=2026-03-01T22:00:00Z|--until=2026-03-02T08:00:00Z|--reviewed=12|--by=Jo", `{"action":"restore","by":"Jo","class":"rdap.example/redemption","count":12,"since":"2026-03-01T22:00:00Z","until":"2026-03-02T08:00:00Z"}`},
		{"approve|--class=rdap.example/redemption|--reviewed=310|--per-day=40|--by=Jo|--yes", `{"action":"approve","by":"Jo","class":"rdap.example/redemption","count":310,"per_day":40}`},
		{"revoke|rdap.example/redemption|--by=Jo", `{"action":"revoke","by":"Jo","class":"rdap.example/redemption"}`},
		{"trust|rdap.example/redemption|--by=Jo", `{"action":"trust","by":"Jo","class":"rdap.example/redemption"}`},
		{"close|mail.example.org|--by=Jo|--reason=reported as sold", `{"action":"close","domain":"example.org","by":"Jo","why":"reported as sold"}`},
		{"open|example.org|--by=Jo|--reason=a false alarm", `{"action":"open","domain":"example.org","by":"Jo","why":"a false alarm"}`},
		{"open|--all|--by=Jo|--reason=the guard goes", `{"action":"open","by":"Jo","why":"the guard goes","all":true}`},
		{"accept|--by=Jo", `{"action":"accept","by":"Jo"}`},
		{"hold|example.org|--by=O'Neil \"$(x)\" `y`; \\", `{"action":"hold","domain":"example.org","by":"O'Neil \"$(x)\" ` + "`y`" + `; \\"}`},
	} {
		out, stderr, code := demonstrate(t, append(strings.Split(tc.args, "|"), "--event", "--state", none)...)
		if code != 0 || out != tc.want+"\n" {
			t.Errorf("%s: exit %d %s\n%s, want\n%s", tc.args, code, stderr, out, tc.want)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("printing an event made a store")
	}
}

func TestOperatorIsRefused(t *testing.T) {
	for args, want := range map[string]string{
		"approve|--by=Jo": "approve what?",
		"approve|x.com|--class=c|--reviewed=1|--per-day=1|--by=Jo":               "not both",
		"approve|--class=c|--by=Jo":                                              "--class needs --reviewed",
		"approve|x.com|--reviewed=3|--by=Jo":                                     "belong to --class",
		"restore|--by=Jo":                                                        "restore what?",
		"restore|x.com|--class=c|--since=2026-03-01T22:00:00Z|--by=Jo":           "not both",
		"restore|--class=c|--since=2026-03-01T22:00:00Z|--decision=d|--by=Jo":    "not both",
		"restore|x.com|--reviewed=3|--by=Jo":                                     "belong to --class",
		"restore|--class=c|--by=Jo":                                              "--since: give a time",
		"restore|--class=c|--since=yesterday|--by=Jo":                            "--since: give a time",
		"restore|--class=c|--since=2026-03-01T22:00:00Z|--until=now|--by=Jo":     "--until: give a time",
		"restore|--class=jo@victim.example|--since=2026-03-01T22:00:00Z|--by=Jo": "--class is not a class",
		"restore|--class=c|--since=2026-03-01T22:00:00Z":                         "missing flags: --by",
		"open|--by=Jo|--reason=r":                                                "open what?",
		"open|x.com|--all|--by=Jo|--reason=r":                                    "open what?",
		"close|x.com|--by=Jo":                                                    "missing flags: --reason",
		"close|x.com|--by=Jo|--reason=jo@victim.example said so":                 "--reason holds",
		"approve|x.com|--by=Jo|--reason=jo@victim.example":                       "--reason holds",
		"approve|x.com":                               "missing flags: --by",
		"approve|x.com|--by= ":                        "--by is empty",
		"hold|x.com|--by=jo@victim.example":           "--by holds an e-mail address",
		"hold|x.com|--by=Jo\x1b[2J":                   "--by holds",
		"revoke|c|--by=jo@victim.example":             "--by holds",
		"hold|x.com|--by=" + strings.Repeat("x", 101): "longer than 100",
		"hold|x.com; rm -rf /|--by=Jo":                "not a domain that can be watched: malformed",
		"hold|$(touch x).com|--by=Jo":                 "malformed",
		"hold|co.uk|--by=Jo":                          "public suffix",
		"hold|\"a b\"@victim.example|--by=Jo":         "not a domain that can be watched",
		"mode|off":                                    "must be one of",
		"status|x":                                    "unexpected argument",
	} {
		out, stderr, code := demonstrate(t, append(strings.Split(args, "|"), "--state", t.TempDir())...)
		if code == 0 || out != "" || !strings.Contains(stderr, want) || strings.Contains(stderr, "@victim") {
			t.Errorf("%s: exit %d %q %q, want %q", args, code, out, stderr, want)
		}
	}
}

// TestActionsOnALocalStore goes through a person's decisions about one domain, and reads them in its history.
func TestActionsOnALocalStore(t *testing.T) {
	d := lapsed("gone.com")
	crowd := lapsed("crowd.com")
	dir := storeOf(t, d.Put(), crowd.Put(), records.PutCase(crowd.Name, decision.Case{}.Judge(crowd.Verdict()).Hold(decision.ByBreaker, crowd.Verdict())),
		records.PutHold(safety.Hold{Domain: crowd.Name, Class: crowd.Class(), Since: present}))
	do := func(want string, args ...string) {
		t.Helper()
		out, stderr, code := demonstrate(t, append(args, "--state", dir)...)
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("%v: exit %d %s %s, want %q", args, code, out, stderr, want)
		}
	}
	do(`{"domain":"crowd.com"`, "holds", "--format", "json")
	do("held: nothing will be unverified at gone.com", "hold", "mail.gone.com", "--by", "Jo")
	do("Jo holds it", "explain", "gone.com")
	do("unheld: the hold on gone.com is off", "unhold", "gone.com", "--by", "Jo")
	if out, stderr, code := demonstrate(t, "approve", "gone.com", "--by", "Kim", "--state", dir); code != 5 || !strings.Contains(out, "would approve: 1 domain, ") || !strings.Contains(stderr, "nothing is approved yet") {
		t.Errorf("asked: exit %d %s %s", code, out, stderr)
	}
	do("approved: gone.com will be looked at again", "approve", "gone.com", "--by", "Kim", "--yes", "--reason", "the registrar confirmed it")
	do("the registrar confirmed it", "explain", "gone.com")
	do("recheck: gone.com will be looked at", "recheck", "gone.com", "--by", "Kim")
	do("approved: the 1 domains of rdap.example/redemption that are held now, 40 a day", "approve", "--class", "rdap.example/redemption", "--reviewed", "1", "--per-day", "40", "--by", "Kim", "--yes")
	do("rdap.example/redemption is approved by Kim", "status")
	do("revoked: rdap.example/redemption", "revoke", "rdap.example/redemption", "--by", "Kim")
	do("mode enforce", "status")
	do("mode enforce: the local store", "mode")
	do(`"mode":"enforce"`, "status", "--format", "json")
	file := filepath.Join(dir, guardFile) // a folder and its file are the same store to every command
	for _, args := range [][]string{{"status"}, {"holds"}, {"explain", "gone.com"}, {"mode"}, {"recheck", "gone.com", "--by", "Jo"}, {"report", "--html", "-"}} {
		if out, stderr, code := demonstrate(t, append(args, "--state", file)...); code != 0 {
			t.Errorf("%v by its file: exit %d %s %s", args, code, out, stderr)
		}
	}
	out, _, _ := demonstrate(t, "explain", "gone.com", "--state", dir)
	if n := len(regexp.MustCompile(`By (Jo|Kim) \(request local-[a-z0-9]{12}\)\.`).FindAllString(strings.Join(strings.Fields(out), " "), -1)); n != 5 {
		t.Errorf("%d of 5 decisions stand in the history with name and request:\n%s", n, out)
	}
	for _, args := range [][]string{{"retry", "gone.com", "--by", "Jo"}, {"holds", "--class", "none/such"}, {"restore", "gone.com", "--by", "Jo"}, {"recheck", "stranger.com", "--by", "Jo"}} {
		if out, stderr, code := demonstrate(t, append(args, "--state", dir)...); code != 1 || out != "" || stderr == "" {
			t.Errorf("%v: exit %d %q %q", args, code, out, stderr)
		}
	}
}

func TestActionsMakeNoStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{{"status"}, {"recheck", "x.com", "--by", "Jo"}, {"mode", "stop"}, {"holds"}} {
		if _, stderr, code := demonstrate(t, append(args, "--state", dir)...); code != 1 || !strings.Contains(stderr, "there is no store at") {
			t.Errorf("%v: exit %d %s", args, code, stderr)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("an action made a store")
	}
}

// TestKillSwitch: in stop mode nothing is put to the registry, whatever is pending; in enforce mode it is.
func TestKillSwitch(t *testing.T) {
	d := lapsed("gone.com")
	run := records.Run{ID: "r", Started: ago(time.Hour), Sent: true, Complete: true, Watched: 1000}
	dir := storeOf(t, d.Put(), records.Record(records.PKGuard, "run", run, time.Time{}))
	tick := func() applier.Result {
		t.Helper()
		st, err := place{Dir: dir}.open(t.Context(), streams{io.Discard, io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		defer st.close()
		res, err := st.host.Applier.Handle(t.Context(), applier.Event{Action: "tick"})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for _, tc := range []struct {
		mode  string
		acted int
	}{{"stop", 0}, {"observe", 1}, {"enforce", 1}} {
		if out, stderr, code := demonstrate(t, "mode", tc.mode, "--state", dir); code != 0 || !strings.Contains(out, "mode "+tc.mode) {
			t.Fatalf("exit %d %s %s", code, out, stderr)
		}
		if res := tick(); string(res.Mode) != tc.mode || res.Acted != tc.acted {
			t.Errorf("mode %s: %+v, want %d acted", tc.mode, res, tc.acted)
		}
		s, _, err := openStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		now, err := records.In(s).Matter(t.Context(), "gone.com")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil || now.Domain.Acted != (tc.mode == "enforce") || (now.Case.V.Told != "") != (tc.mode != "stop") {
			t.Errorf("mode %s: would %q, done %q, %v", tc.mode, now.Case.V.Told, now.Case.V.At(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "mode"), []byte("whatever"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := (place{Dir: dir}).mode(context.Background()); m != applier.Stop || err == nil {
		t.Errorf("a kill switch that cannot be read gives %s, %v; want stop", m, err)
	}
}

// TestDeployedKillSwitch writes the stack's SSM parameter.
func TestDeployedKillSwitch(t *testing.T) {
	var asked string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		asked = r.Header.Get("X-Amz-Target") + " " + string(b)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"Version":2,"Parameter":{"Name":"/lapseguard/mode","Value":"observe"}}`)
	}))
	defer web.Close()
	for k, v := range map[string]string{"AWS_ENDPOINT_URL_SSM": web.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(k, v)
	}
	out, stderr, code := demonstrate(t, "mode", "stop", "--stack", "lapseguard")
	if code != 0 || !strings.Contains(out, "mode stop: stack lapseguard") {
		t.Fatalf("exit %d %s %s", code, out, stderr)
	}
	if out, stderr, code := demonstrate(t, "mode", "--stack", "lapseguard"); code != 0 || !strings.Contains(out, "mode observe: stack lapseguard") || !strings.Contains(asked, "AmazonSSM.GetParameter") {
		t.Errorf("alone: exit %d %s %s %s", code, out, stderr, asked)
	}
	if _, stderr, code := demonstrate(t, "mode", "stop", "--stack", "lapseguard"); code != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{"AmazonSSM.PutParameter", `"Name":"/lapseguard/mode"`, `"Value":"stop"`, `"Overwrite":true`} {
		if !strings.Contains(asked, want) {
			t.Errorf("asked %s, which lacks %s", asked, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	for in, want := range map[string]struct {
		out, err string
		code     bool
	}{
		`{"text":"recheck: x.com will be looked at","acted":0}`:                   {out: "recheck: x.com will be looked at\n", code: true},
		`{"errorMessage":"approve \"x.com\": no such domain","errorType":"wrap"}`: {err: `the applier refused: approve "x.com": no such domain`},
		``:           {err: "gave no answer"},
		`<html>`:     {err: "cannot be read"},
		`{"text":1}`: {err: "cannot be read"},
	} {
		var out strings.Builder
		err := (&answerCommand{in: strings.NewReader(in)}).Run(streams{&out, io.Discard})
		if (err == nil) != want.code || out.String() != want.out || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: %q, %v", in, out.String(), err)
		}
	}
}

func TestHolds(t *testing.T) {
	hold := func(name, class string, action lifecycle.Action, days int) safety.Hold {
		return safety.Hold{Domain: name, Class: class, Action: string(action), Phase: "redemption", Addresses: 3, Why: "a crowd", Since: present.AddDate(0, 0, -days)}
	}
	put := func(h safety.Hold) store.Write {
		return records.PutHold(h)
	}
	many := hold("many.com", "b/redemption", lifecycle.Unverify, 1)
	many.Addresses = 40
	done := hold("approved.com", "a/redemption", lifecycle.Unverify, 1)
	done.ApprovedAt = present
	dir := storeOf(t, put(hold("new.com", "a/redemption", lifecycle.Unverify, 1)), put(hold("old.com", "a/redemption", lifecycle.Unverify, 4)), put(hold("sold.com", "a/changed hands", lifecycle.Hold, 2)), put(many), put(done))
	out, stderr, code := demonstrate(t, "holds", "--state", dir)
	if code != 0 {
		t.Fatal(stderr)
	}
	order := regexp.MustCompile(`(?s)many\.com.*new\.com.*old\.com.*sold\.com`)
	if !order.MatchString(out) || strings.Contains(out, "approved.com") {
		t.Errorf("want the holds that wait, by what is lost:\n%s", out)
	}
	if want := "lapseguard approve --class 'a/redemption' \\\n    --reviewed 2 --per-day 2 --by NAME"; !strings.Contains(out, want) || strings.Contains(out, "--class 'a/changed hands'") {
		t.Errorf("want %q, and nothing of what only one by one can be decided:\n%s", want, out)
	}
	if out, _, _ := demonstrate(t, "holds", "--state", dir, "--class", "a/changed hands"); !strings.Contains(out, "sold.com") || strings.Contains(out, "new.com") {
		t.Errorf("one class:\n%s", out)
	}
	if out, _, _ := demonstrate(t, "holds", "--state", storeOf(t)); !strings.Contains(out, "Nothing waits for a decision.") {
		t.Errorf("none:\n%s", out)
	}
}

// TestHelpNamesEveryCommand: the help is where an operator looks first.
func TestHelpNamesEveryCommand(t *testing.T) {
	out, _, code := demonstrate(t, "--help")
	if code != 0 {
		t.Fatal(code)
	}
	for _, name := range strings.Fields("demo audit explain holds report serve status completion approve revoke trust hold unhold recheck restore retry accept mode") {
		if !regexp.MustCompile(`(?m)^  ` + name + ` {2,}[A-Z]`).MatchString(out) {
			t.Errorf("the help does not name %s:\n%s", name, out)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 81 {
			t.Errorf("longer than a terminal: %s", line)
		}
	}
}
