package applier

import (
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// TestStatusSaysWhereTheGuardStands: what was stored, read, and said in words.
func TestStatusSaysWhereTheGuardStands(t *testing.T) {
	w, _ := leverWorld(t)
	if err := w.Store.Write(t.Context(), records.Forget(records.PKGuard, records.SKRun)); err != nil {
		t.Fatal(err)
	}
	res := w.must(Event{Action: "status"})
	if s := res.Status; s == nil || s.Run != "" || !s.Started.IsZero() || !strings.Contains(res.Text, "no daily run has begun yet") {
		t.Fatalf("before the first run: %+v", res)
	}
	began := w.at.Add(-time.Hour)
	w.write(records.Record(records.PKGuard, records.SKRun, records.Run{
		ID: w.runID(), Started: lifecycle.At(began), Sent: true, Complete: true, Watched: 7, Closed: 1, Unseen: map[string]int{"ch": 2},
		FirstAt: lifecycle.At(w.at), First: map[string]records.First{"rdap.example.net": {Due: 9, PerMinute: 1}},
	}, time.Time{}))
	w.lapsed("asked.com", func(d *records.Domain) { d.Action, d.Reason = lifecycle.Hold, lifecycle.ReasonReviewNew })
	w.gap("gap.com", lifecycle.GapGone)
	w.tick()
	w.must(Event{Action: "hold", Domain: "gap.com"})
	res = w.must(Event{Action: "status"})
	s := res.Status
	if s.Run != w.runID() || !s.Started.Equal(began) || s.Watched != 7 || !s.Sent || !s.Complete || s.Closed != 1 || s.Unseen["ch"] != 2 || len(s.First) != 1 ||
		s.Open != 1 || s.Many || s.Pinned != 1 || len(s.Stale) != 0 || !s.Lever || s.Counts != 1 || s.Mode != Enforce || res.Held != 1 {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{
		"mode enforce", "the daily run of 2 March 02:30 UTC is complete: 7 domains", "1 hold waits for a decision: lapseguard holds", "1 domain is held by an operator",
		"recovery is closed at 1 domain", "1 closing took room within 24 hours", "the first scan has 9 questions", "nobody would see a lapse of 2: ",
	} {
		if !strings.Contains("\n"+res.Text+"\n", "\n"+want) {
			t.Errorf("%q is not said:\n%s", want, res.Text)
		}
	}
}

// TestStatusWords: what is well, and what is not with what to do.
func TestStatusWords(t *testing.T) {
	at := time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)
	run := func(ago time.Duration, sent, complete bool) Status {
		return Status{At: at, Run: "x", Started: at.Add(-ago), Watched: 2, Sent: sent, Complete: complete}
	}
	for want, s := range map[string]Status{
		"the daily run of 3 March 11:00 UTC goes on: 2 domains asked about so far":                                 run(time.Hour, false, false),
		"the daily run of 3 March 11:00 UTC is not complete: 2 domains asked about, and not every answer is there": run(time.Hour, true, false),
		"the daily run of 2 March 10:00 UTC is complete: 2 domains":                                                run(26*time.Hour, true, true),
		"no daily run has begun since 2 March 09:59 UTC: see fanout's log":                                         run(26*time.Hour+time.Minute, true, true),
		"the registry does not offer to close account recovery":                                                    run(0, true, true),
		"nothing waits for a decision":                                                                             {},
		"1 hold waits for a decision: lapseguard holds":                                                            {Open: 1},
		"2 holds wait for a decision: lapseguard holds":                                                            {Open: 2},
		"10000 or more holds wait for a decision: lapseguard holds":                                                {Open: 10_000, Many: true},
		"of these 1 has waited for more than three days: asked.com (since 3 March)":                                {Open: 1, Stale: []Waiting{{"asked.com", at}}},
		"2 domains are held by an operator":                                                                        {Pinned: 2},
		"recovery is closed at 3 domains":                                                                          {Lever: true, Closed: 3},
		"2 closings took room within 24 hours":                                                                     {Counts: 2},
		"the registry reports 1 account that may have been taken: explain names them by domain":                    {Reported: 1},
		"x/redemption is doubtful since 3 March 12:00 UTC: nothing of it is unverified until you trust it":         {Doubted: map[string]time.Time{"x/redemption": at}},
		"x/redemption is approved by Ada until 3 March 12:00 UTC: 7 of its list are left, 3 a day":                 {Approvals: map[string]safety.Approval{"x/redemption": {By: "Ada", Until: at, Left: 7, PerDay: 3}}},
	} {
		if got := s.Words(); !strings.Contains("\n"+got+"\n", "\n"+want+"\n") {
			t.Errorf("%q is not said:\n%s", want, got)
		}
	}
	quiet := Status{At: at, Run: "x", Started: at, Complete: true, Lever: true}
	if got := quiet.Words(); got != "the daily run of 3 March 12:00 UTC is complete: 0 domains\nnothing waits for a decision\nrecovery is closed at 0 domains" {
		t.Errorf("a quiet day:\n%s", got)
	}
}
