package applier

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// since sets how long a domain in a gap has been watched.
func (w *world) since(name string, gap lifecycle.Gap, days int) {
	w.gap(name, gap)
	w.change(name, func(d *records.Domain) {
		d.State.First = lifecycle.At(w.at).Add(-time.Duration(days) * 24 * time.Hour)
		if gap != lifecycle.GapDeleted {
			d.State.Reg = lifecycle.WordRegistered
		}
	})
}

// back is a domain whose gap is over.
func (w *world) back(name string) {
	w.change(name, func(d *records.Domain) { d.State.Control = lifecycle.Continuity{} })
}

func (l *lever) closedNames() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(l.closed)) {
		if l.closed[name] {
			names = append(names, name)
		}
	}
	return names
}

// Of more closings than a day has room for: those watched for long go first, of these those whose mail goes to somebody
// else, then those that the registry calls deleted, and whoever only depends on another one last. What waits is said, and follows in that order.
func TestWhoIsClosedFirst(t *testing.T) {
	w, l := leverWorld(t)
	for i := range 12 {
		w.since(fmt.Sprintf("a-new-%d.com", i), lifecycle.GapDeleted, 10+i)
	}
	for i := range 6 {
		w.since(fmt.Sprintf("b-old-%d.com", i), lifecycle.GapGone, 100)
		w.since(fmt.Sprintf("c-old-dependent-%d.com", i), lifecycle.GapMailHost, 100)
		w.since(fmt.Sprintf("d-old-deleted-%d.com", i), lifecycle.GapDeleted, 100)
	}
	for i, gap := range []lifecycle.Gap{lifecycle.GapReleased, lifecycle.GapNewServers, lifecycle.GapNewMail} {
		w.since(fmt.Sprintf("e-old-elsewhere-%d.com", i), gap, 95)
	}
	res := w.tick()
	var asked strings.Builder
	for _, r := range l.asked {
		asked.WriteString(r.Domain[:1])
	}
	if got := asked.String(); got != "eeeddddddb" {
		t.Errorf("the first day: %s", got)
	}
	if res.Waiting != 23 || !strings.Contains(w.log.String(), `"closings_wait","class":"own","count":17`) || !strings.Contains(w.stats.String(), `"BreakerTripped":1`) {
		t.Errorf("what waits is not said: %+v", res)
	}
	w.at = w.at.Add(25 * time.Hour)
	w.tick()
	if got := len(l.closedNames()); got != 20 {
		t.Errorf("after the second day: %d", got)
	}
	w.at = w.at.Add(25 * time.Hour)
	w.tick()
	for _, name := range []string{"b-old-4.com", "b-old-5.com", "c-old-dependent-4.com", "a-new-11.com", "a-new-5.com"} {
		if !l.closed[name] {
			t.Errorf("the third day left %s open: %v", name, l.closedNames())
		}
	}
	if l.closed["a-new-0.com"] {
		t.Error("the name that was watched for the shortest time was not the last")
	}
}

// Five hundred names of one attacker, lapsing and coming back day by day, delay nobody else by more than a day: neither
// in the first round, nor once each of them took its room.
func TestRecycledNamesDelayNobody(t *testing.T) {
	w, l := leverWorld(t)
	attacker := func(i int) string { return fmt.Sprintf("attacker-%03d.com", i) }
	for day := range 8 {
		for i := range 500 {
			switch {
			case day == 0:
				w.since(attacker(i), lifecycle.GapGone, 0)
			case day%2 == 1:
				w.back(attacker(i))
			default:
				w.change(attacker(i), func(d *records.Domain) {
					d.State.Control = lifecycle.Continuity{Since: lifecycle.At(w.at), Gap: lifecycle.GapGone}
				})
			}
		}
		victims := []string{fmt.Sprintf("old-%d.com", day), fmt.Sprintf("young-%d.com", day)}
		w.since(victims[0], lifecycle.GapGone, 365)
		w.since(victims[1], lifecycle.GapDeleted, day+30)
		for range 24 {
			w.tick()
			w.at = w.at.Add(time.Hour)
		}
		for _, name := range victims {
			if !l.closed[name] {
				t.Fatalf("on day %d %s is not closed after a day", day, name)
			}
		}
	}
}

// A name takes room once in thirty days.
func TestANameTakesRoomOnceInThirtyDays(t *testing.T) {
	w, l := leverWorld(t)
	taken := func() int {
		ledger, err := w.book().Closings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n, _ := ledger.V.Counted(w.at)
		return n
	}
	w.gap("a.com", lifecycle.GapGone)
	for range 3 { // a registry that fails costs room once
		l.fails = &registry.Problem{Status: 503}
		w.tick()
	}
	l.fails = nil
	for day, want := range []int{1, 0, 0, 0, 0, 0, 1, 0} {
		w.change("a.com", func(d *records.Domain) {
			d.State.Control = lifecycle.Continuity{Since: lifecycle.At(w.at), Gap: lifecycle.GapGone}
		})
		w.tick()
		if !l.closed["a.com"] || taken() != want {
			t.Errorf("round %d: closed %t, %d taken, want %d", day, l.closed["a.com"], taken(), want)
		}
		w.back("a.com")
		w.tick()
		w.at = w.at.Add(5 * 24 * time.Hour)
	}
}

// One cause that would shut out more than half a percent of the addresses and more than a hundred waits for a second look
// and a person: one hold, at the cause, and none at those who depend on it.
func TestAWideCauseIsAPersonsToDecide(t *testing.T) {
	w, l := leverWorld(t)
	run, err := w.book().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run.V.Addresses = 4000
	w.write(run.Put())
	begun := lifecycle.At(w.at)
	w.lapsed("wide-host.net", func(d *records.Domain) {
		quiet(d)
		d.Listed, d.MailHost = false, true
		d.State.Control = lifecycle.Continuity{Since: begun, Until: begun, Gap: lifecycle.GapGone}
	})
	w.lapsed("narrow-host.net", func(d *records.Domain) {
		quiet(d)
		d.Listed, d.MailHost = false, true
		d.State.Control = lifecycle.Continuity{Since: begun, Until: begun, Gap: lifecycle.GapGone}
	})
	for i := range 34 { // three addresses each
		w.lapsed(fmt.Sprintf("wide-%02d.com", i), quiet)
		w.dependsOn(fmt.Sprintf("wide-%02d.com", i), "wide-host.net")
	}
	w.lapsed("narrow.com", quiet)
	w.dependsOn("narrow.com", "narrow-host.net")
	w.gap("large.com", lifecycle.GapGone)
	w.listed("large.com", 101)
	for range 4 {
		w.tick()
	}
	if got := l.closedNames(); !slices.Equal(got, []string{"narrow.com"}) || len(w.holds()) != 0 {
		t.Fatalf("after the first look closed %v, held %v", got, w.holds())
	}
	w.at = w.at.Add(7 * time.Hour)
	for _, name := range []string{"wide-host.net", "large.com"} {
		w.change(name, func(d *records.Domain) { d.State.DelegAt = lifecycle.At(w.at) })
	}
	for range 3 {
		w.tick()
	}
	if got := w.holds(); !slices.Equal(got, []string{"large.com", "wide-host.net"}) {
		t.Fatalf("after the second look held: %v", got)
	}
	if h, _ := w.held("wide-host.net"); !strings.Contains(h.Why, "102 of 4000 addresses") || len(h.Affected) != 34 {
		t.Errorf("%+v", h)
	}
	w.says("close", "wide-host.net")
	w.says("close", "large.com")
	w.at = w.at.Add(7 * time.Hour)
	for range 3 {
		w.tick()
	}
	if got := l.closedNames(); len(got) != 1+34+2 || len(w.holds()) != 0 {
		t.Errorf("a person closed them: %d closed, held %v", len(got), w.holds())
	}
	if closings, err := w.book().Closings(t.Context()); err != nil {
		t.Error(err)
	} else if n, _ := closings.V.Counted(w.at); n != 1 {
		t.Errorf("%d of them took room", n)
	}
}
