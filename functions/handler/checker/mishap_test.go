package checker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

// failPut fails one write of one domain item.
type failPut struct {
	store.Store
	name string
	n    int
}

func (f *failPut) Write(ctx context.Context, w ...store.Write) error {
	if len(w) == 1 && w[0].Table == store.Domains && w[0].PK == f.name && f.n > 0 {
		f.n--
		return errors.New("throttled")
	}
	return f.Store.Write(ctx, w...)
}

func TestAMailHostIsWatchedAfterARedelivery(t *testing.T) {
	w, resolver := mailWorld(t)
	w.quiet("customer.com")
	resolver.by["customer.com"] = mx("mx.mail-host.net")
	w.Store = &failPut{Store: w.Store, name: "mail-host.net", n: 1}
	m := queue.Message{Kind: queue.KindMail, Upstream: ResolverUpstream, Share: 1, Sent: w.at}
	ms := queue.Pack(m, []queue.Entry{w.entry("customer.com")})
	if res := w.handle(ms...); len(res.BatchItemFailures) != 1 {
		t.Fatalf("first: %v", res)
	}
	if res := w.handle(ms...); len(res.BatchItemFailures) != 0 {
		t.Fatalf("redelivered: %v", res)
	}
	if got := w.dependents("mail-host.net"); len(got) != 1 {
		t.Fatalf("dependents %v", got)
	}
	if d, err := w.book().Domain(t.Context(), "mail-host.net"); err != nil || !d.MailHost {
		t.Errorf("the mail host is never watched: %v", err)
	}
	w.at = w.at.Add(7 * 24 * time.Hour)
	w.askMail("customer.com")
	if d, err := w.book().Domain(t.Context(), "mail-host.net"); err != nil || !d.MailHost {
		t.Errorf("a week later it is not either: %v", err)
	}
}

func TestDependentsAreRememberedForYears(t *testing.T) {
	w, resolver := mailWorld(t)
	w.quiet("customer.com")
	resolver.by["customer.com"] = mx("mx.mail-host.net")
	for range 54 {
		w.askMail("customer.com")
		w.at = w.at.Add(7 * 24 * time.Hour)
	}
	if got := w.dependents("mail-host.net"); len(got) != 1 {
		t.Errorf("after 54 weekly MX looks nobody depends on the host: %v", got)
	}
}

func TestServersChangedDuringAHoldAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.dns.by["customer.com"], w.rdap.by["customer.com"] = delegated("ns.old-host.net"), registered("active")
	w.ask(queue.Message{}, w.add("customer.com"))
	w.at = w.at.Add(24 * time.Hour)
	w.dns.by["customer.com"], w.rdap.by["customer.com"] = gone(), registered("client hold")
	w.ask(queue.Message{}, w.entry("customer.com"))
	w.at = w.at.Add(24 * time.Hour)
	w.dns.by["customer.com"], w.rdap.by["customer.com"] = delegated("ns.new-host.net"), registered("active")
	w.ask(queue.Message{}, w.entry("customer.com"))
	if got := w.dependents("old-host.net"); len(got) != 0 {
		t.Errorf("it moved away and still counts as a dependent: %v", got)
	}
}

func TestDoubtOutlastsParking(t *testing.T) {
	w := newWorld(t)
	var entries []queue.Entry
	names := []string{"a-one.com", "b-two.com", "c-three.com", "d-four.com", "e-five.com", "f-six.com"}
	for _, name := range names {
		w.dns.by[name], w.rdap.by[name] = delegated("ns1.host.example"), registered("active")
		entries = append(entries, w.add(name))
	}
	w.ask(queue.Message{}, entries...)
	w.at = w.at.Add(24 * time.Hour)
	entries = nil
	for _, name := range names {
		w.dns.by[name] = gone()
		entries = append(entries, w.entry(name))
	}
	w.ask(queue.Message{Run: "20260303T030000Z"}, entries...)
	if d := w.get("a-one.com"); d.State.Deleg != lifecycle.DelegationHome {
		t.Fatalf("%+v", d)
	}
	p := w.parked()
	for i := range p[0].Domains {
		p[0].Domains[i].Item = nil // as the applier resends it
	}
	w.at = w.at.Add(30 * time.Minute)
	w.handle(p[0])
	if d := w.get("a-one.com"); d.State.Deleg != lifecycle.DelegationHome {
		t.Errorf("half an hour later the same zone, still without all six, is believed: %s", d.State.Deleg)
	}
}

func TestATLDsOwnWordsAreBadNews(t *testing.T) {
	w := newWorld(t)
	w.know("known.nl")
	w.rdap.by["victim.nl"], w.rdap.by["known.nl"], w.rdap.by[freeLabel+".nl"] = registered("in quarantine"), registered("in quarantine"), absent404()
	m := queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Domains: []queue.Entry{{Name: "victim.nl"}}}
	if obs := w.believe(t.Context(), m, w.rdap.Ask(t.Context(), m)); obs[0].Cause != source.CauseNotBelieved {
		t.Error("a .nl server that has everybody in quarantine is believed")
	}
}

type failGet struct {
	store.Store
	n int
}

func (f *failGet) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if k.Table == store.Domains && f.n > 0 {
		f.n--
		return store.Item{}, errors.New("throttled")
	}
	return f.Store.Get(ctx, k)
}

func TestAThrottledReadIsNotTheDomainsFault(t *testing.T) {
	w := newWorld(t)
	w.add("a-one.com")
	w.dns.by["a-one.com"] = gone()
	w.Store = &failGet{Store: w.Store, n: 1}
	m := queue.Message{Kind: queue.KindDelegation, Upstream: "com", Share: 1, Sent: w.at, Run: "20260302T030000Z"}
	ms := queue.Pack(m, []queue.Entry{{Name: "a-one.com"}}) // as a parked message or a second look comes
	res := w.handle(ms...)
	_, err := w.Store.Get(t.Context(), store.Key{Table: store.Records, PK: records.RunPK(m.Run), SK: "m/" + ms[0].ID})
	if len(res.BatchItemFailures) == 0 && err == nil {
		t.Error("a read that was throttled: the answer is thrown away, the message is done and counts as answered")
	}
}
