package checker

import (
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
)

// TestACandidateThatIsDeniedIsDropped: for a week bad news of a zone that denies its candidate does not count; then the
// candidate does not, is told once, and asked no more. One that answers speaks for its zone as any control name.
func TestACandidateThatIsDeniedIsDropped(t *testing.T) {
	w := newWorld(t)
	log := w.logged()
	set, err := canary.NewReal(nil, "free")
	if err != nil {
		t.Fatal(err)
	}
	w.Known = map[queue.Kind]*canary.Set{queue.KindDelegation: set}
	w.add("a-one.academy")
	look := func() lifecycle.Delegated {
		w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: "academy"}, w.entry("a-one.academy"))
		return w.get("a-one.academy").State.Deleg
	}
	w.dns.by["a-one.academy"], w.dns.by["free.academy"] = delegated("ns1.host.net"), gone()
	look()
	w.dns.by["a-one.academy"] = gone()
	start := w.at
	// An upstream that is silent about its candidate does not deny it.
	for day := range 10 {
		w.at = start.AddDate(0, 0, day)
		if got := look(); got != lifecycle.DelegationHome {
			t.Fatalf("day %d: %s, on the word of a silent upstream", day, got)
		}
	}
	w.dns.by["nic.academy"] = gone()
	start = w.at.AddDate(0, 0, 1)
	for day := range 7 {
		w.at = start.AddDate(0, 0, day)
		if got := look(); got != lifecycle.DelegationHome {
			t.Fatalf("day %d: %s, although its candidate is denied", day, got)
		}
	}
	w.at = start.Add(7 * 24 * time.Hour)
	w.dns.asked = nil
	if got := look(); got != lifecycle.DelegationGone || strings.Count(log.String(), "control_name_dropped") != 1 {
		t.Errorf("after a week: %s, %s", got, log)
	}
	w.at = w.at.AddDate(0, 0, 1)
	w.dns.asked = nil
	if look(); len(w.dns.asked) != 1 || strings.Count(log.String(), "control_name_dropped") != 1 {
		t.Errorf("asked %v", w.dns.asked)
	}
	w.dns.by["nic.actor"], w.dns.by["free.actor"], w.dns.by["a-one.actor"] = delegated("ns1.nic.actor"), gone(), gone()
	w.add("a-one.actor")
	w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: "actor"}, w.entry("a-one.actor"))
	if got := w.get("a-one.actor").State.Deleg; got != lifecycle.DelegationGone {
		t.Errorf("a zone that knows its candidate: %s", got)
	}
}

// TestARegistryIsAskedAboutACandidateBelow: its TLD has names at the second level alone, and so has its control name.
func TestARegistryIsAskedAboutACandidateBelow(t *testing.T) {
	w := newWorld(t)
	set, err := canary.NewReal(nil, "free")
	if err != nil {
		t.Fatal(err)
	}
	w.Known = map[queue.Kind]*canary.Set{queue.KindRDAP: set}
	m := queue.Message{Kind: queue.KindRDAP, Upstream: "https://rdap.th.example/"}
	w.rdap.by["free.co.th"], w.rdap.by["google.co.th"] = gone(), gone()
	if why := w.doubt(t.Context(), m, "th"); !strings.Contains(why, "google.co.th") {
		t.Errorf("it denies its candidate: %q", why)
	}
	w.rdap.by["google.co.th"] = registered("active")
	if why := w.doubt(t.Context(), m, "th"); why != "" {
		t.Errorf("it is right about its candidate: %q", why)
	}
	if got := strings.Join(w.rdap.asked, " "); got != "free.co.th google.co.th free.co.th google.co.th" {
		t.Errorf("asked %s", got)
	}
}
