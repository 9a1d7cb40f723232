package checker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

func mx(hosts ...string) source.Observation {
	return source.Observation{Outcome: source.Observed, Said: "MX", Mail: &source.Mail{Hosts: hosts}}
}

// mailWorld is a world with a resolver.
func mailWorld(t *testing.T) (*world, *answers) {
	w := newWorld(t)
	resolver := &answers{w: w, source: source.SourceMail, by: map[string]source.Observation{}}
	w.Handler.Ask[queue.KindMail] = resolver
	return w, resolver
}

func (w *world) askMail(names ...string) {
	w.t.Helper()
	var entries []queue.Entry
	for _, n := range names {
		entries = append(entries, w.entry(n))
	}
	w.ask(queue.Message{Kind: queue.KindMail, Upstream: ResolverUpstream}, entries...)
}

// dependents lists who is noted as depending on a host.
func (w *world) dependents(host string) (names []string) {
	w.t.Helper()
	items, _, err := w.Store.Query(w.t.Context(), store.Query{PK: records.DependentsPK(host), Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, it := range items {
		names = append(names, it.SK)
	}
	return names
}

// TestMailAndNameServersAreWatched: the registrable domains of MX hosts and name servers are noted and watched,
// the domain's own is not.
func TestMailAndNameServersAreWatched(t *testing.T) {
	w, resolver := mailWorld(t)
	e := w.add("customer.com")
	w.dns.by["customer.com"] = delegated("ns1.dns-host.net", "ns2.dns-host.net", "ns.customer.com")
	w.rdap.by["customer.com"] = registered("active")
	w.dns.by["dns-host.net"], w.dns.by["mail-host.net"] = delegated("a.example"), delegated("a.example")
	resolver.by["customer.com"] = mx("mx1.eu.mail-host.net", "mx2.eu.mail-host.net", "mail.customer.com", "localhost")
	w.ask(queue.Message{}, e)
	w.askMail("customer.com")
	for host, want := range map[string]string{"dns-host.net": "customer.com/ns", "mail-host.net": "customer.com/mx"} {
		if got := w.dependents(host); !slices.Equal(got, []string{want}) {
			t.Errorf("dependents of %s: %v, want %s", host, got, want)
		}
		if d := w.get(host); !d.MailHost || d.Listed || !d.Watched() {
			t.Errorf("%s is not watched as a mail host: %+v", host, d)
		}
	}
	if got := w.dependents("customer.com"); len(got) != 0 || w.get("customer.com").MailHost {
		t.Errorf("a domain depends on itself: %v", got)
	}
}

// TestWhoMovesAwayIsForgotten, at the host it left, and is no longer in danger from it.
func TestWhoMovesAwayIsForgotten(t *testing.T) {
	w, resolver := mailWorld(t)
	w.quiet("customer.com")
	resolver.by["customer.com"] = mx("mx.old-host.net")
	w.askMail("customer.com")
	d := w.get("customer.com")
	d.State.MailLapsed, d.Action, d.Reason = "old-host.net", lifecycle.Hold, lifecycle.ReasonMailHost
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	resolver.by["customer.com"] = mx("mx.new-host.net")
	w.askMail("customer.com")
	if d := w.get("customer.com"); d.State.MailLapsed != "" || d.Action != lifecycle.None {
		t.Errorf("it moved away from the host that lapsed: %+v", d)
	}
	if old, now := w.dependents("old-host.net"), w.dependents("new-host.net"); len(old) != 0 || len(now) != 1 {
		t.Errorf("dependents: old host %v, new host %v", old, now)
	}
}

// TestWhoStillDependsStaysInDanger: the MX set changed, and the lapsed host still has the name servers.
func TestWhoStillDependsStaysInDanger(t *testing.T) {
	w, resolver := mailWorld(t)
	e := w.add("customer.com")
	w.dns.by["customer.com"], w.rdap.by["customer.com"] = delegated("ns.old-host.net"), registered("active")
	w.ask(queue.Message{}, e)
	resolver.by["customer.com"] = mx("mx.old-host.net")
	w.askMail("customer.com")
	d := w.get("customer.com")
	d.State.MailLapsed, d.Action, d.Reason = "old-host.net", lifecycle.Hold, lifecycle.ReasonMailHost
	if err := w.Store.Write(t.Context(), d.Put()); err != nil {
		t.Fatal(err)
	}
	resolver.by["customer.com"] = mx()
	w.askMail("customer.com")
	if d := w.get("customer.com"); d.State.MailLapsed != "old-host.net" || d.Action != lifecycle.Hold {
		t.Errorf("its name servers are still the lapsed host's: %+v", d)
	}
	if got := w.dependents("old-host.net"); !slices.Equal(got, []string{"customer.com/ns"}) {
		t.Errorf("dependents %v", got)
	}
}

// TestAProviderIsLookedAtOnce however many depend on it, and a hostile MX set follows a bounded number of hosts.
func TestAProviderIsLookedAtOnce(t *testing.T) {
	w, resolver := mailWorld(t)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("customer-%02d.com", i))
		w.quiet(names[i])
		resolver.by[names[i]] = mx("mx.provider.net")
	}
	w.askMail(names[:25]...)
	before := w.count.gets
	w.askMail(names[25:]...)
	if n := w.count.gets - before - 25; n > 0 { // the test reads each customer
		t.Errorf("%d reads of domains for 25 more customers of a known provider", n)
	}
	if got := w.dependents("provider.net"); len(got) != 50 {
		t.Errorf("%d dependents, want 50", len(got))
	}
	var hosts []string
	for i := range 500 {
		hosts = append(hosts, fmt.Sprintf("mx.host-%03d.net", i))
	}
	resolver.by["customer-00.com"] = mx(hosts...)
	w.askMail("customer-00.com")
	deps, err := w.book().Dependencies(t.Context(), "customer-00.com")
	if err != nil || len(deps[records.DependsMail]) != maxDeps {
		t.Errorf("%d hosts are followed (%v), want %d", len(deps[records.DependsMail]), err, maxDeps)
	}
}
