package fanout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
)

// directory has one server for org, and an unofficial one, which is not asked, for ru.
type directory struct{}

func (directory) Server(tld string) (base string, authoritative, ok bool) {
	switch tld {
	case "org":
		return "https://rdap.publicinterestregistry.org/rdap/", true, true
	case "com":
		return "https://rdap.nic.example/com/", true, true
	case "ru":
		return "https://rdap.ru.example/", false, true
	default:
		return "", false, false
	}
}

// TestTheFirstScanHasAPlan: every run counts what no registry was asked about yet, by server, at the rate that the server
// takes at present; once every domain was asked there is none.
func TestTheFirstScanHasAPlan(t *testing.T) {
	w := newWorld(t)
	w.BaselineDays, w.CanaryLabel, w.Rate = 14, "lapseguard-x", Rates(directory{}, 0.5)
	for i := range 30 {
		w.list.set(fmt.Sprintf("d-%02d.org", i), 1, long)
	}
	for _, host := range []string{"many.com", "mail.many.com", "one.ru", "one.de"} {
		w.list.set(host, 500, long)
	}
	_, _, log := w.observed()
	at := w.clock.at.Add(24 * time.Hour)
	w.day(t)
	run := w.run(t)
	org, com := run.First["rdap.publicinterestregistry.org"], run.First["rdap.nic.example"]
	if len(run.First) != 2 || org.Due != 0 || org.Later != 30 || org.PerMinute != 10 || com.Due+com.Later != 1 || com.PerMinute != 30 {
		t.Fatalf("%+v", run.First)
	}
	if until := org.Until.Time(); until.After(at.AddDate(0, 0, 14)) || until.Before(at.AddDate(0, 0, 12)) {
		t.Errorf("the last at %s", until)
	}
	if !strings.Contains(log.String(), `"msg":"first_scan"`) || !strings.Contains(log.String(), `"questions":30,"per_minute":10`) {
		t.Errorf("the log says %s", log)
	}
	for i := range 20 { // ten were asked, five of them in vain; ten look lost
		d := w.domain(t, fmt.Sprintf("d-%02d.org", i))
		switch {
		case i < 5:
			d.State.RegAt = lifecycle.At(w.clock.at)
		case i < 10:
			d.State.Silent = 1
		default:
			d.State.Deleg = lifecycle.DelegationGone
		}
		if err := w.Store.Write(t.Context(), d.Put()); err != nil {
			t.Fatal(err)
		}
	}
	err := w.book().ChangeBudget(t.Context(), "rdap.publicinterestregistry.org", func(b *records.Budget) { b.Refuse(w.clock.at, 0, true) })
	if err != nil {
		t.Fatal(err)
	}
	w.day(t)
	if org := w.run(t).First["rdap.publicinterestregistry.org"]; org.Due+org.Later != 20 || org.Due < 10 || org.PerMinute != 5 {
		t.Errorf("the day after, at half the rate: %+v", org)
	}
}

// TestWhatIsHeldBackIsSentByItsAddresses, over zones and messages; what is not, as it is found.
func TestWhatIsHeldBackIsSentByItsAddresses(t *testing.T) {
	for _, held := range []int{0, 10_000} {
		w := newWorld(t)
		w.Ahead, w.Segments, w.BaselineDays = held, 1, 0
		addresses := map[string]int{}
		for i := range 700 {
			host := fmt.Sprintf("d-%03d.%s", i, []string{"com", "info"}[i%2])
			addresses[host] = 1 + (i*7919)%1000
			w.list.set(host, addresses[host], long)
		}
		w.day(t)
		var order []int
		groups := map[string]bool{}
		for _, m := range w.out.messages {
			groups[m.Group] = true
			if m.Kind != queue.KindDelegation {
				t.Fatalf("%+v", m)
			}
			for i, e := range m.Domains {
				if i > 0 && addresses[m.Domains[i-1].Name] < addresses[e.Name] && held > 0 {
					t.Fatalf("%s after %s", e.Name, m.Domains[i-1].Name)
				}
			}
			order = append(order, addresses[m.Domains[0].Name])
		}
		delete(groups, "delegation/info")
		for group := range groups {
			if n := strings.TrimPrefix(group, "delegation/com/"); len(n) != 1 || n < "0" || n > "9" {
				t.Errorf("held %d: the group %q is none of com's ten", held, group)
			}
		}
		if len(groups) != 3 { // its messages take turns
			t.Errorf("held %d: %v", held, groups)
		}
		byAddresses := slices.IsSortedFunc(order, func(a, b int) int { return b - a })
		if len(w.out.domains()) != 700 || len(order) < 5 || byAddresses != (held > 0) {
			t.Errorf("held %d: %d domains, messages begin at %v", held, len(w.out.domains()), order)
		}
	}
}

// TestFirstLooksFollowTheAddresses of all hosts of a domain on a page.
func TestFirstLooksFollowTheAddresses(t *testing.T) {
	w := newWorld(t)
	w.BaselineDays = 14
	for i := range 50 {
		w.list.set(fmt.Sprintf("one-%02d.com", i), 1, long)
		w.list.set(fmt.Sprintf("two-%02d.com", i), 1, long)
		w.list.set(fmt.Sprintf("mail.two-%02d.com", i), 1, long)
	}
	w.day(t)
	var last, first lifecycle.Instant
	for i := range 50 {
		last = max(last, w.domain(t, fmt.Sprintf("two-%02d.com", i)).State.NextRDAP)
		if at := w.domain(t, fmt.Sprintf("one-%02d.com", i)).State.NextRDAP; first == 0 || at < first {
			first = at
		}
	}
	if last > first {
		t.Errorf("one with two addresses at %s, one with one at %s", last, first)
	}
}
