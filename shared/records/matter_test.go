package records

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

func lapsing(name string) Domain {
	at := lifecycle.At(now)
	d := NewDomain(name, at)
	d.Listed, d.Hosts = true, 1
	d.State.Phase, d.State.Since, d.State.LapseAt, d.State.RegServer = lifecycle.Redemption, at, at, "rdap.example.net"
	d.Action, d.Confidence, d.Reason = lifecycle.Unverify, lifecycle.High, lifecycle.ReasonDeleted
	return d
}

func due(t *testing.T, b Book) string {
	t.Helper()
	names, _, err := b.Due(t.Context(), 0, now, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// A domain is due while its verdict was not looked at, and again when anything about it changes.
func TestASettledDomainIsDueAgainWhenItsVerdictChanges(t *testing.T) {
	for what, edit := range map[string]func(*Domain){
		"another action":   func(d *Domain) { d.Action = lifecycle.Hold },
		"another reason":   func(d *Domain) { d.Reason = lifecycle.ReasonDeletedAlone },
		"another phase":    func(d *Domain) { d.State.Phase = lifecycle.PendingDelete },
		"another lapse":    func(d *Domain) { d.State.LapseAt++ },
		"another server":   func(d *Domain) { d.State.RegServer = "rdap.other.example" },
		"renewed":          func(d *Domain) { d.Action = lifecycle.None },
		"it left the list": func(d *Domain) { d.Listed = false },
	} {
		b := newBook(t)
		d := lapsing("example-one.com")
		write(t, b, d.Put())
		if due(t, b) != "example-one.com" {
			t.Fatal("a new verdict is not due")
		}
		d = d.Stored()
		d.Settle(false)
		write(t, b, d.Put())
		if got := due(t, b); got != "" || d.Unsettled() {
			t.Fatalf("settled, and due: %q", got)
		}
		d = d.Stored()
		edit(&d)
		write(t, b, d.Put())
		if due(t, b) != "example-one.com" {
			t.Errorf("%s, and it is not due", what)
		}
		d = d.Stored()
		d.Addresses++
		d.Settle(false)
		if d.Unsettled() {
			t.Errorf("%s, settled, and due", what)
		}
	}
}

func TestWhatIsOpenStaysDue(t *testing.T) {
	d := lapsing("example-one.com")
	d.Settle(true)
	if d.Listed = false; !d.Unsettled() || !d.Watched() || d.due().IsZero() {
		t.Error("open, and not due")
	}
	d.Settle(false)
	if d.Settled != "" || d.Watched() || !d.due().IsZero() {
		t.Error("in no list, nothing open, and due")
	}
	d.Acted = true
	if !d.Watched() {
		t.Error("what was acted on is followed until its lapse ends")
	}
	d.State.LapseAt = 0
	if d.Watched() {
		t.Error("its lapse ended")
	}
	quiet := lapsing("example-two.com")
	quiet.Action = lifecycle.Watch
	if quiet.Settle(false); quiet.Settled != "" || quiet.Unsettled() {
		t.Error("a quiet domain needs no mark")
	}
}

// Domains come with their cases; one that has none adopts what an earlier version kept in the domain's item, but no
// approval: checker writes that item.
func TestMatters(t *testing.T) {
	b := newBook(t)
	one, two, old := lapsing("example-one.com"), lapsing("example-two.com"), lapsing("example-old.com")
	old.OldDone, old.OldHeldBy = string(old.Decision()), "Ada"
	write(t, b, one.Put(), two.Put(), old.Put(), PutCase("example-two.com", decision.Case{}.Judge(two.Verdict())), PutCase("example-gone.com", decision.Case{}))
	found, err := b.Matters(t.Context(), []string{"example-gone.com", "example-one.com", "example-two.com", "example-old.com"})
	if err != nil || len(found) != 3 {
		t.Fatalf("%v %v", found, err)
	}
	if found["example-one.com"].Case.Found() || found["example-two.com"].Case.V.Status != decision.Pending || !found["example-two.com"].Case.Found() {
		t.Errorf("%+v", found)
	}
	if c := found["example-old.com"].Case.V; c.Status != decision.Pinned || len(c.Done()) != 1 {
		t.Errorf("%+v", c)
	}
	if m, err := b.Matter(t.Context(), "nobody.com"); err != nil || m.Domain.Known() || m.Domain.Name != "nobody.com" {
		t.Errorf("%+v %v", m, err)
	}
	write(t, b, PutCase("example-one.com", decision.Case{Schema: decision.Schema + 1}))
	if _, err := b.Matter(t.Context(), "example-one.com"); err == nil || !errors.As(err, new(*Newer)) {
		t.Errorf("%v", err)
	}
}

// The balance counts answers that an earlier version noted beside what was sent.
func TestBalance(t *testing.T) {
	b := newBook(t)
	ids := Sent{IDs: []SentID{{"a", "rdap/x"}, {"b", "rdap/x"}, {"c", "delegation/com"}}}
	write(t, b, PutSent("r", 0, 1, ids, now), Mark("r", "a", Marker{Checked: 3, Unknown: 1, Raised: []SentID{{"d", "status/y"}}}, now),
		Record(RunPK("r"), "m/b", Marker{Checked: 2}, time.Time{}), Record(RunPK("r"), "c/0", Segment{Watched: 7}, time.Time{}))
	tally, err := b.Balance(t.Context(), "r")
	if err != nil || tally.Answered != 2 || tally.Checked != 5 || tally.Missing["delegation/com"] != 1 || tally.Missing["status/y"] != 1 || tally.Good["rdap/x"] != 4 {
		t.Errorf("%+v %v", tally, err)
	}
}

func TestCounts(t *testing.T) {
	b := newBook(t)
	counts, err := b.Counts(t.Context(), []string{"a.com", "b.com"})
	if err != nil || len(counts) != 2 {
		t.Fatal(counts, err)
	}
	a := counts["a.com"]
	a.V.Addresses = 4
	write(t, b, a.Put())
	if counts, err = b.Counts(t.Context(), []string{"a.com", "b.com"}); err != nil || counts["a.com"].V.Addresses != 4 || counts["b.com"].Found() {
		t.Errorf("%+v %v", counts, err)
	}
	for name, want := range map[string]int{"a.com": 4, "b.com": 0} {
		if n, err := b.Listed(t.Context(), name); err != nil || n.Addresses != want {
			t.Errorf("%s: %+v %v", name, n, err)
		}
	}
}

func TestHoldsAndWakesAreWalkedByThemselves(t *testing.T) {
	b := newBook(t)
	write(t, b, Wake(now.Add(-time.Minute), time.Time{}), Wake(now, time.Time{}), Wake(now.Add(time.Second), time.Time{}))
	n := 0
	for _, err := range b.Items(t.Context(), Woken(now, 1)) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 2 {
		t.Errorf("%d times have come, want 2", n)
	}
}
