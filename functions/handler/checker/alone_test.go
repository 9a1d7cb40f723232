package checker

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
)

// days passes days, and has each of the names looked at by the daily round.
func (w *world) days(n int, names ...string) {
	w.t.Helper()
	for range n {
		w.at = w.at.Add(24 * time.Hour)
		for _, name := range names {
			if w.watching(name) {
				w.ask(queue.Message{Sent: w.at}, w.entry(name))
			}
		}
	}
}

// customer is a world in which customer.com has its mail at provider.net.
func customer(t *testing.T) (*world, *answers) {
	t.Helper()
	w, resolver := mailWorld(t)
	w.BaselineDays = 1 // no MX question but on its day of the week, and by askMail
	w.dns.by["customer.com"], w.dns.by["provider.net"], w.rdap.by["customer.com"] = delegated("ns.customer.com"), delegated("ns.provider.net"), registered("active")
	resolver.by["customer.com"] = mx("mx.provider.net")
	w.quiet("customer.com")
	w.askMail("customer.com")
	return w, resolver
}

func (w *world) watching(name string) bool {
	w.t.Helper()
	d, err := w.book().Domain(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Watched()
}

// TestAHostIsForgottenWhenNobodyDependsOnIt: within eight days out of the daily round, after a month out of the table.
func TestAHostIsForgottenWhenNobodyDependsOnIt(t *testing.T) {
	w, resolver := customer(t)
	w.days(20, "provider.net")
	if !w.watching("provider.net") {
		t.Fatal("it was forgotten while somebody depends on it")
	}
	resolver.by["customer.com"] = mx("mx.customer.com")
	w.askMail("customer.com")
	w.days(1, "provider.net")
	if !w.watching("provider.net") {
		t.Error("forgotten at the first look: somebody may come to depend on it just now")
	}
	w.days(8, "provider.net")
	if w.watching("provider.net") {
		t.Error("nobody depends on it, and it is still watched")
	}
	w.days(31)
	if d, err := w.book().Domain(t.Context(), "provider.net"); err != nil || d.Known() {
		t.Errorf("its item is kept for ever: %v", err)
	}
}

// TestAHostThatAPersonIsAskedAboutStays until the verdict asks no more: its hold would else stand for ever.
func TestAHostThatAPersonIsAskedAboutStays(t *testing.T) {
	w, resolver := customer(t)
	w.days(1, "provider.net")
	resolver.by["customer.com"] = mx()
	w.askMail("customer.com")
	d := w.get("provider.net")
	d.Alone, d.Action = lifecycle.At(w.at), lifecycle.Hold
	v := visit{before: d, after: d, obs: source.Observation{Source: source.SourceDelegation}}
	at := lifecycle.At(w.at.Add(48 * time.Hour))
	if err := w.foldAlone(t.Context(), &v, at, at); err != nil || !v.after.MailHost {
		t.Errorf("%v, %+v", err, v.after)
	}
	if v.after.Action = lifecycle.None; w.foldAlone(t.Context(), &v, at, at) != nil || v.after.MailHost {
		t.Errorf("the verdict asks nothing: %+v", v.after)
	}
}

// TestWhoComesInBetweenKeepsTheHost, though the checker remembers it as watched.
func TestWhoComesInBetweenKeepsTheHost(t *testing.T) {
	w, resolver := customer(t)
	resolver.by["customer.com"] = mx()
	w.askMail("customer.com")
	for range 8 {
		if w.days(1, "provider.net"); w.get("provider.net").Alone != 0 {
			break
		}
	}
	if w.get("provider.net").Alone == 0 {
		t.Fatal("that it is alone was not noted within a week")
	}
	if w.ask(queue.Message{}, w.entry("provider.net")); !w.watching("provider.net") {
		t.Fatal("forgotten by two looks at one day")
	}
	w.quiet("newcomer.com")
	resolver.by["newcomer.com"] = mx("mx.provider.net")
	w.askMail("newcomer.com")
	if d := w.get("provider.net"); d.Alone != 0 {
		t.Error("a newcomer found it alone and did not say so")
	}
	w.days(30, "provider.net")
	if got := w.dependents("provider.net"); !w.watching("provider.net") || !slices.Equal(got, []string{"newcomer.com/mx"}) {
		t.Errorf("watched %t, dependents %v", w.watching("provider.net"), got)
	}
}

// TestWhoLeftTheListDependsOnNothing, until it is back.
func TestWhoLeftTheListDependsOnNothing(t *testing.T) {
	w, _ := customer(t)
	w.days(1, "customer.com")
	w.list("customer.com", false)
	w.days(9, "provider.net")
	if got := w.dependents("provider.net"); w.watching("provider.net") || len(got) != 0 {
		t.Fatalf("watched %t for %v, which is not in the list", w.watching("provider.net"), got)
	}
	w.list("customer.com", true)
	w.days(8, "customer.com")
	if got := w.dependents("provider.net"); !w.watching("provider.net") || !slices.Equal(got, []string{"customer.com/mx"}) {
		t.Errorf("back in the list: watched %t, dependents %v", w.watching("provider.net"), got)
	}
}

func (w *world) list(name string, listed bool) {
	w.t.Helper()
	d := w.get(name)
	d.Listed = listed
	if err := w.Store.Write(w.t.Context(), d.Put()); err != nil {
		w.t.Fatal(err)
	}
}

// TestAHostWithAddressesOfItsOwnStays in the daily round for them.
func TestAHostWithAddressesOfItsOwnStays(t *testing.T) {
	w, resolver := customer(t)
	w.list("provider.net", true)
	resolver.by["customer.com"] = mx()
	w.askMail("customer.com")
	w.days(20, "provider.net")
	if d := w.get("provider.net"); !d.Watched() || d.MailHost || d.Alone != 0 {
		t.Errorf("%+v", d)
	}
}

// TestOneDomainBringsABoundedNumberOfHosts over time, and is heard again after a month.
func TestOneDomainBringsABoundedNumberOfHosts(t *testing.T) {
	w, resolver := customer(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewJSONHandler(&log, nil))
	watched := func() (n int) {
		for i := range 400 {
			if w.watching(fmt.Sprintf("host-%03d.net", i)) {
				n++
			}
		}
		return n
	}
	rotate := func(first, size int) {
		var hosts []string
		for i := range size {
			hosts = append(hosts, fmt.Sprintf("mx.host-%03d.net", first+i))
		}
		resolver.by["customer.com"] = mx(hosts...)
		w.askMail("customer.com")
	}
	for n := range 10 {
		w.at = w.at.Add(24 * time.Hour)
		rotate(20*n, 20)
	}
	if n := watched(); n == 0 || n > maxNew {
		t.Errorf("one domain put %d hosts under watch within ten days, at most %d", n, maxNew)
	}
	if !strings.Contains(log.String(), "dependencies_bounded") {
		t.Error("nobody is told")
	}
	w.at = w.at.Add(arrivalsFor)
	before := watched()
	rotate(300, 5)
	if n := watched() - before; n != 5 {
		t.Errorf("%d of 5 new hosts are watched after a month", n)
	}
}

// TestAHostStaysForADependentThatANewerVersionWrote: nobody here can read what it depends on.
func TestAHostStaysForADependentThatANewerVersionWrote(t *testing.T) {
	w, _ := customer(t)
	w.upgrade("customer.com")
	if somebody, err := w.somebodyDepends(t.Context(), "provider.net"); !somebody || err != nil {
		t.Errorf("%t %v, want a dependent and the host's own look to go on", somebody, err)
	}
	w.untouched("customer.com")
}
