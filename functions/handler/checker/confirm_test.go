package checker

import (
	"context"
	"testing"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

// surely is an asker that is also asked the surer way.
type surely struct {
	*answers
	sure  source.Observation
	asked []string
}

func (s *surely) Confirm(_ context.Context, m queue.Message) []source.Observation {
	obs := make([]source.Observation, len(m.Domains))
	for i, e := range m.Domains {
		s.asked = append(s.asked, e.Name)
		obs[i] = s.sure
	}
	return obs
}

// Of a message's names those alone are confirmed whose recovery is closed and that are delegated as before: what the surer
// way says counts.
func TestWhatOpensIsConfirmed(t *testing.T) {
	w := newWorld(t)
	home := []string{"ns.example"}
	state := func(closed bool) lifecycle.State {
		s := lifecycle.State{Schema: lifecycle.StateSchema, Phase: lifecycle.Active, Home: source.Fingerprint(home), NS: source.Fingerprint(home), Deleg: lifecycle.DelegationHome}
		if closed {
			s.Control.Since, s.Control.Gap = 1, lifecycle.GapGone
		}
		return s
	}
	for name, closed := range map[string]bool{"open.com": false, "closed.com": true, "elsewhere.com": true, "gone.com": true, "silent.com": true} {
		d := records.NewDomain(name, lifecycle.At(w.at))
		d.Listed, d.State = true, state(closed)
		if err := w.Store.Write(t.Context(), d.Put()); err != nil {
			t.Fatal(err)
		}
	}
	said := map[string]source.Observation{
		"open.com": delegated(home...), "closed.com": delegated(home...), "elsewhere.com": delegated("ns.other.example"), "gone.com": gone(),
		"silent.com": {Outcome: source.Unknown, Cause: source.CauseTimeout},
	}
	disagree := source.Observation{Outcome: source.Unknown, Cause: source.CauseDisagree}
	asker := &surely{answers: w.dns, sure: disagree}
	w.Ask[queue.KindDelegation] = asker
	m := queue.Message{Kind: queue.KindDelegation, Upstream: "com"}
	var obs []source.Observation
	for _, name := range []string{"open.com", "closed.com", "elsewhere.com", "gone.com", "silent.com"} {
		m.Domains, obs = append(m.Domains, queue.Entry{Name: name}), append(obs, said[name])
	}
	got := w.confirm(t.Context(), m, newSubjects(w.Store, m.Domains), obs)
	if len(asker.asked) != 1 || asker.asked[0] != "closed.com" || got[1].Cause != source.CauseDisagree || got[0].Outcome != source.Observed {
		t.Errorf("asked %v; %+v", asker.asked, got)
	}
}

// The real asker is one.
func TestTheZoneIsAskedTheSurerWay(t *testing.T) {
	c, err := Sources{Contact: "test", StatusURL: Off, DNSServers: []string{"127.0.0.1:9"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Ask[queue.KindDelegation].(Confirmer); !ok {
		t.Error("what opens recovery rests on one server's word")
	}
}
