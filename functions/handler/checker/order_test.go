package checker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
)

// asks are the domains of the registry's messages of a group, in their order.
func (o *outbox) asks(group string) (names []string) {
	for _, m := range o.messages {
		if m.Kind == queue.KindRDAP && m.Group == group {
			for _, e := range m.Domains {
				names = append(names, e.Name)
			}
		}
	}
	return names
}

// TestTheFirstScanBeginsWithWhatLooksLost: gone, parked and lame domains do not wait for their place, and their questions
// lie in a group that overtakes the others', who come by their addresses.
func TestTheFirstScanBeginsWithWhatLooksLost(t *testing.T) {
	w, _, servers := serviceWorld(t)
	var due, waiting []queue.Entry
	for i := range 5 {
		name := fmt.Sprintf("well-%d.com", i)
		w.add(name)
		w.dns.by[name] = delegated("ns1.host.example")
		d := w.get(name)
		d.Addresses = 10 + i
		if err := w.Store.Write(t.Context(), d.Put()); err != nil {
			t.Fatal(err)
		}
		due = append(due, w.entry(name))
	}
	for name, o := range map[string]source.Observation{"gone.com": gone(), "parked.com": delegated("ns1.sedoparking.com", "ns2.sedoparking.com"), "lame.com": delegated(ownNS...), "quiet.com": delegated(ownNS...)} {
		waiting = append(waiting, w.quiet(name))
		w.dns.by[name] = o
	}
	servers.by["lame.com"], servers.by["quiet.com"] = own(source.Lame, ownNS...), own(source.Served)
	w.out.messages = queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: w.at}, slices.Concat(due, waiting))
	all := func(more ...queue.Message) (raised []queue.Message) {
		w.out.messages = nil
		w.handle(more...)
		return w.out.messages
	}
	all(w.out.messages...)
	const ordinary, first = "rdap/" + rdapBase, "rdap/" + rdapBase + "/first"
	if got := strings.Join(w.out.asks(ordinary), " "); got != "well-4.com well-3.com well-2.com well-1.com well-0.com" {
		t.Errorf("in the order of %s", got)
	}
	got := w.out.asks(first)
	if slices.Sort(got); !slices.Equal(got, []string{"gone.com", "parked.com"}) {
		t.Errorf("at once: %v", got)
	}
	for _, name := range []string{"lame.com", "quiet.com"} {
		all(queue.Pack(queue.Message{Kind: queue.KindServers, Upstream: OwnUpstream, Share: 1, Sent: w.at}, []queue.Entry{w.entry(name)})...)
		if got := w.out.asks(first); (len(got) == 1) != (name == "lame.com") || len(w.out.asks(ordinary)) > 0 {
			t.Errorf("after the servers of %s: %v", name, got)
		}
	}
	if due := w.get("lame.com").State.NextRDAP.Time(); due.After(w.at) {
		t.Errorf("lame.com is not due before %s", due)
	}
	w.rdap.by["lame.com"] = registered("active")
	w.ask(queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase}, w.entry("lame.com"))
	w.at = w.at.Add(time.Hour)
	all(queue.Pack(queue.Message{Kind: queue.KindServers, Upstream: OwnUpstream, Share: 1, Sent: w.at}, []queue.Entry{w.entry("lame.com")})...)
	if got := w.out.asks(first); len(got) > 0 {
		t.Errorf("asked already, and again: %v", got)
	}
}
