package checker

import (
	"slices"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

var ownNS = []string{"ns1.linode.com", "ns2.linode.com"}

func own(s source.Serves, lame ...string) source.Observation {
	return source.Observation{Outcome: source.Observed, Said: string(s), Service: &source.Service{Serves: s, NS: ownNS, Lame: lame}}
}

// serviceWorld is a world with a resolver, and with customer.com's own name servers, which serve it.
func serviceWorld(t *testing.T) (w *world, resolver, servers *answers) {
	w, resolver = mailWorld(t)
	w.BaselineDays = 14
	servers = &answers{w: w, source: source.SourceServers, by: map[string]source.Observation{}}
	w.Handler.Ask[queue.KindServers] = servers
	w.add("customer.com")
	w.dns.by["customer.com"], w.rdap.by["customer.com"] = delegated(ownNS...), registered("active")
	w.dns.by["linode.com"], w.dns.by["mail-host.net"] = delegated("a.example"), delegated("a.example")
	resolver.by["customer.com"], servers.by["customer.com"] = mx("mx.mail-host.net"), own(source.Served)
	return w, resolver, servers
}

// toMailDay sets the clock to the next day of the domain's MX.
func (w *world) toMailDay(name string) {
	for w.at = w.at.Add(24 * time.Hour); !lifecycle.IsMailDay(name, lifecycle.At(w.at)); w.at = w.at.Add(24 * time.Hour) {
	}
}

// TestOwnServersAreAskedWeekly, on the day of the MX, and a zone that is served costs no write.
func TestOwnServersAreAskedWeekly(t *testing.T) {
	w, _, servers := serviceWorld(t)
	w.toMailDay("customer.com")
	w.ask(queue.Message{}, w.entry("customer.com"))
	servers.asked = nil
	w.count.writes = 0
	for range 14 {
		w.at = w.at.Add(24 * time.Hour)
		w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: "com"}, w.entry("customer.com"))
	}
	if len(servers.asked) != 2 || w.count.writes != 0 {
		t.Errorf("in two weeks its own servers were asked %d times, and it was written %d times", len(servers.asked), w.count.writes)
	}
}

// TestOwnServersAreAskedWhenTheResolverFails, at once, alone in its message or among others.
func TestOwnServersAreAskedWhenTheResolverFails(t *testing.T) {
	w, resolver, servers := serviceWorld(t)
	w.ask(queue.Message{}, w.entry("customer.com"))
	resolver.by["customer.com"] = silence(source.CauseServfail)
	servers.asked = nil
	w.askMail("customer.com")
	if !slices.Equal(servers.asked, []string{"customer.com"}) {
		t.Errorf("asked %q", servers.asked)
	}
	delete(w.Ask, queue.KindServers)
	w.askMail("customer.com")
	if len(servers.asked) != 1 || len(w.parked()) != 0 {
		t.Errorf("switched off: asked %q, parked %v", servers.asked, w.parked())
	}
	// The resolver itself fails.
	w.Handler.Ask[queue.KindServers] = servers
	for _, name := range []string{"b-two.com", "c-three.com"} {
		w.add(name)
	}
	w.askMail("b-two.com", "c-three.com", "customer.com")
	if len(servers.asked) != 1 || len(w.parked()) != 1 {
		t.Errorf("a resolver that fails for all: asked %q, parked %v", servers.asked, w.parked())
	}
}

// TestAZoneThatNobodyServesIsClosed after two looks six hours apart, which NextLook asks for, and is looked at until it
// is served: at a host that gives it away it stays closed.
func TestAZoneThatNobodyServesIsClosed(t *testing.T) {
	for name, lame := range map[string][]string{"given away": ownNS, "elsewhere": {"ns1.hoster.example"}} {
		t.Run(name, func(t *testing.T) {
			w, resolver, servers := serviceWorld(t)
			w.toMailDay("customer.com")
			w.ask(queue.Message{}, w.entry("customer.com"))
			w.at = w.at.Add(7 * 24 * time.Hour)
			resolver.by["customer.com"], servers.by["customer.com"] = silence(source.CauseServfail), own(source.Lame, lame...)
			w.ask(queue.Message{}, w.entry("customer.com"))
			d := w.get("customer.com")
			if d.State.Control.Since != 0 || d.NextLook != lifecycle.At(w.at.Add(6*time.Hour)) {
				t.Fatalf("after one look: closed since %s, next look %s", d.State.Control.Since, d.NextLook)
			}
			w.at = w.at.Add(6 * time.Hour)
			w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Look: true}, w.entry("customer.com"))
			d = w.get("customer.com")
			if d.State.Control.Gap != lifecycle.GapLame || d.NextLook != lifecycle.At(w.at.Add(time.Hour)) {
				t.Fatalf("after two: %+v, next look %s", d.State.Control, d.NextLook)
			}
			entries, err := w.book().History(t.Context(), "customer.com", 20)
			if err != nil || !slices.ContainsFunc(entries, func(e records.Entry) bool {
				return len(e.Evidence) == 1 && e.Evidence[0].Source == source.SourceServers && e.Evidence[0].Said == "lame"
			}) {
				t.Errorf("no evidence of it in %+v: %v", entries, err)
			}
			w.at = w.at.Add(6 * time.Hour)
			resolver.by["customer.com"], servers.by["customer.com"] = mx("mx.mail-host.net"), own(source.Served)
			for range 2 {
				w.ask(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Look: true}, w.entry("customer.com"))
				w.at = w.at.Add(time.Hour)
			}
			if open := w.get("customer.com").State.Control.Since == 0; open != (name == "elsewhere") {
				t.Errorf("served again: %+v", w.get("customer.com").State.Control)
			}
		})
	}
}

// TestNetworkThatAnswersForAllServersIsNotBelieved: where names known to be served are lame too, it is not they.
func TestNetworkThatAnswersForAllServersIsNotBelieved(t *testing.T) {
	w, _, servers := serviceWorld(t)
	w.ask(queue.Message{}, w.entry("customer.com"))
	set, err := canary.New([]string{"known.com"}, "free")
	if err != nil {
		t.Fatal(err)
	}
	w.Handler.Known = map[queue.Kind]*canary.Set{queue.KindServers: set}
	servers.by["customer.com"], servers.by["known.com"] = own(source.Lame, ownNS...), own(source.Lame)
	ask := func() records.Domain {
		w.ask(queue.Message{Kind: queue.KindServers, Upstream: OwnUpstream}, w.entry("customer.com"))
		return w.get("customer.com")
	}
	for _, known := range []source.Serves{source.Lame, source.Unreachable} {
		servers.by["known.com"] = own(known)
		if _, lame := ask().State.Lame(); lame {
			t.Errorf("believed, though known.com is %s", known)
		}
	}
	servers.by["known.com"] = own(source.Served)
	if _, lame := ask().State.Lame(); !lame {
		t.Error("not believed, though a known name is served")
	}
}

// TestOneLameServerIsARemark: nothing is written, nothing more is asked.
func TestOneLameServerIsARemark(t *testing.T) {
	w, resolver, servers := serviceWorld(t)
	w.ask(queue.Message{}, w.entry("customer.com"))
	servers.by["customer.com"] = own(source.Served, ownNS[0])
	w.count.writes, resolver.asked = 0, nil
	w.ask(queue.Message{Kind: queue.KindServers, Upstream: OwnUpstream}, w.entry("customer.com"))
	if w.count.writes != 0 || len(resolver.asked) != 0 {
		t.Errorf("%d writes, the resolver was asked %q", w.count.writes, resolver.asked)
	}
}

// TestAClosedZonesMailIsAskedOnceItIsServed: what opens it is its MX, and who serves none has none to tell.
func TestAClosedZonesMailIsAskedOnceItIsServed(t *testing.T) {
	w, resolver, servers := serviceWorld(t)
	w.ask(queue.Message{}, w.entry("customer.com"))
	for _, said := range []source.Serves{source.Lame, source.Lame, source.Lame, source.Served} {
		w.at = w.at.Add(6 * time.Hour)
		servers.by["customer.com"], resolver.asked = own(said, "ns1.hoster.example"), nil
		w.ask(queue.Message{Kind: queue.KindServers, Upstream: OwnUpstream}, w.entry("customer.com"))
		if asked := len(resolver.asked) > 0; asked != (said == source.Served) {
			t.Errorf("%s, in the gap %q: the resolver was asked %q", said, w.get("customer.com").State.Control.Gap, resolver.asked)
		}
	}
}
