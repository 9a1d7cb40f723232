package checker

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// TestADeadUpstreamEndsTheRun: after a few tries its message counts as answered, with unknown, and nothing waits.
func TestADeadUpstreamEndsTheRun(t *testing.T) {
	for cause, tries := range map[source.Cause]int{source.CauseTimeout: maxTries, source.CauseServerError: maxTries, source.CauseNotBelieved: maxTries, source.CauseRateLimited: maxPatience, source.CauseNotAsked: maxPatience} {
		w := newWorld(t)
		log := w.logged()
		var entries []queue.Entry
		for _, name := range []string{"a-one.com", "b-two.com", "c-three.com"} {
			entries = append(entries, w.add(name))
			w.rdap.by[name] = silence(cause)
		}
		before := w.get("a-one.com").Version()
		m := queue.Pack(queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Group: "rdap/x", Run: faultyRun, Share: 1, Sent: w.at}, entries)[0]
		sent := records.Sent{IDs: []records.SentID{{ID: m.ID, Upstream: "rdap/" + rdapBase}}}
		if err := w.Store.Write(t.Context(), records.PutSent(faultyRun, 0, 1, sent, w.at)); err != nil {
			t.Fatal(err)
		}
		for try := 0; ; try++ {
			if err := w.message(t.Context(), faultyRun, m); err != nil {
				t.Fatal(err)
			}
			tally, err := w.book().Balance(t.Context(), faultyRun)
			if err != nil {
				t.Fatal(err)
			}
			if len(tally.Missing) == 0 {
				if try != tries || tally.Checked != 3 || tally.Heard() != 0 || !tally.Deaf() {
					t.Errorf("%s: answered after %d tries, want %d: %+v", cause, try, tries, tally)
				}
				break
			}
			if try > tries {
				t.Fatalf("%s: still missing after %d tries: %+v", cause, try, tally)
			}
			parked := w.parked()
			m = parked[len(parked)-1]
			w.at = w.at.Add(parkFor << maxDoublings)
		}
		if w.get("a-one.com").Version() != before {
			t.Errorf("%s: it was written, and nothing was learned", cause)
		}
		if s := log.String(); !strings.Contains(s, "message_given_up") || !strings.Contains(s, `"given_up":3`) || !strings.Contains(s, `"`+string(cause)+`":3`) {
			t.Errorf("%s: the log does not say it: %s", cause, s)
		}
	}
}

// TestAnUpstreamThatAnswersAtAllIsNotGivenUp.
func TestAnUpstreamThatAnswersAtAllIsNotGivenUp(t *testing.T) {
	w := newWorld(t)
	entries := []queue.Entry{w.add("a-one.com"), w.add("b-two.com"), w.add("c-three.com")}
	w.rdap.by["a-one.com"] = registered("active")
	m := queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Group: "rdap/x", Run: faultyRun, Tries: 20, Domains: entries}
	if err := w.message(t.Context(), "", m); err != nil {
		t.Fatal(err)
	}
	if parked := w.parked(); len(parked) != 1 || len(parked[0].Domains) != 2 {
		t.Errorf("parked: %+v", parked)
	}
}

// TestAnAcceptedUpstreamFailsUnsaid: an operator knows.
func TestAnAcceptedUpstreamFailsUnsaid(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		w := newWorld(t)
		var stats bytes.Buffer
		w.Metrics = telemetry.NewMetrics(&stats, w.Now, w.Log)
		if accepted {
			w.AcceptedSilent = []string{"rdap/" + rdapBase}
		}
		m := queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase}
		var obs []source.Observation
		for range manyDomains {
			m.Domains = append(m.Domains, queue.Entry{Name: "a-one.com"})
			obs = append(obs, silence(source.CauseTimeout))
		}
		w.measure(m, obs)
		if told := strings.Contains(stats.String(), "UpstreamFailing"); told == accepted {
			t.Errorf("accepted %t, told %t: %s", accepted, told, stats.String())
		}
	}
}
