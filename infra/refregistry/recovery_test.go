package refregistry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// closeAt closes lapsed.example for a gap that began on a day, all having been well the day before.
func closeAt(since int) registry.RecoveryRequest {
	return registry.RecoveryRequest{
		Domain: "lapsed.example", Desired: registry.RecoveryClosed, AsOf: day(19), Since: day(since), ContinuousUntil: day(since - 1), MaxAddresses: 100,
		Reason: registry.ReasonInterrupted, Phase: "grace", Evidence: []string{"NXDOMAIN"}, RenewableUntil: day(30), Run: "run",
		Advice: registry.Advice{Code: "renew_domain", Text: "Renew it."},
	}
}

func openAgain() registry.RecoveryRequest {
	return registry.RecoveryRequest{Domain: "lapsed.example", Desired: registry.RecoveryOpen, AsOf: day(19)}
}

// set sends a request and wants these counts.
func (r *rig) set(t *testing.T, in registry.RecoveryRequest, changed, kept, closed int) registry.RecoveryAnswer {
	t.Helper()
	a, err := r.client.SetRecovery(t.Context(), in)
	if err != nil || a.Changed != changed || a.KeptLater != kept || a.Closed != closed || a.Recovery != in.Desired {
		t.Fatalf("%+v %v: want %d changed, %d kept, %d closed", a, err, changed, kept, closed)
	}
	return a
}

// bound are the addresses that are closed, in the order of adding.
func (r *rig) bound(t *testing.T) []string {
	t.Helper()
	all, err := r.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range all {
		if is, err := r.IsClosed(t.Context(), a.Address); err != nil {
			t.Fatal(err)
		} else if is {
			got = append(got, a.Address)
		}
	}
	return got
}

func (r *rig) wantBound(t *testing.T, want ...string) {
	t.Helper()
	if got := r.bound(t); !slices.Equal(got, want) {
		t.Fatalf("closed are %d addresses, not %d", len(got), len(want))
	}
}

// user is an account with one address and a password, all of a day.
func (r *rig) user(t *testing.T, address string, verified int) int64 {
	t.Helper()
	id, err := r.AddAccount(t.Context(), "")
	if err == nil {
		err = r.AddAddressTo(t.Context(), id, address, ptr(day(verified)))
	}
	if err == nil {
		err = r.SetCredential(t.Context(), id, Password, day(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (r *rig) session(t *testing.T, account int64, kind string) string {
	t.Helper()
	id, err := r.SignIn(t.Context(), account, kind)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// mailed asks one of the site's ways for a mail, and gives the answer and the newest link to the address.
func (r *rig) mailed(t *testing.T, way, address string) (answer, link string) {
	t.Helper()
	before, _ := r.Mails(t.Context())
	resp, data, _ := r.send(t, "POST", "/"+way, http.Header{"Content-Type": {"application/json"}}, encode(t, map[string]string{"email": address}))
	after, err := r.Mails(t.Context())
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatal(err, resp.StatusCode)
	}
	if len(after) > len(before) {
		link = after[len(after)-1].Token
	}
	return string(data), link
}

func TestClosingBindsWhatWasVerifiedBefore(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@MAIL.lapsed.example.": 2, "c@lapsed.example": 0, "d@lapsed.example": 10, "e@lapsed.example": 11, "f@notlapsed.example": 1, "g@example": 1})
	dry := closeAt(10)
	dry.DryRun = true
	r.set(t, dry, 3, 2, 3)
	r.wantBound(t)
	r.set(t, closeAt(10), 3, 2, 3)
	r.wantBound(t, "a@lapsed.example", "b@MAIL.lapsed.example.", "c@lapsed.example")
	if got := r.unverified(t); len(got) > 0 {
		t.Fatal("a closing unverifies", got)
	}
	// Again, and for an earlier gap: nothing is bound anew, not even what was added.
	if err := r.AddAddress(t.Context(), "late@lapsed.example", nil); err != nil {
		t.Fatal(err)
	}
	for _, since := range []int{10, 9} {
		in := closeAt(since)
		in.MaxAddresses = 1
		r.set(t, in, 0, 3, 3)
	}
	// A later gap binds what was verified in between; those bound keep their own time.
	r.set(t, closeAt(11), 2, 1, 5)
	all, err := r.Closings(t.Context())
	if err != nil || len(all) != 5 || all[0].ContinuousUntil != day(9) || all[0].Since != day(10) || all[3].ContinuousUntil != day(10) {
		t.Fatal(len(all), err)
	}
	for i, want := range []string{"a@lapsed.example", "b@MAIL.lapsed.example.", "c@lapsed.example", "d@lapsed.example", "late@lapsed.example"} {
		if all[i].Address != want {
			t.Errorf("closing %d is of another address", i)
		}
	}
	r.set(t, openAgain(), 5, 6, 0)
	r.set(t, openAgain(), 0, 6, 0)
	r.wantBound(t)
}

func TestNewestAsOfDecides(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	in := closeAt(10)
	in.AsOf = day(15)
	r.set(t, in, 1, 0, 1)
	for _, older := range []registry.RecoveryRequest{openAgain(), closeAt(12)} {
		for _, dry := range []bool{false, true} {
			older.AsOf, older.DryRun = day(15).Add(-time.Microsecond), dry
			_, err := r.client.SetRecovery(t.Context(), older)
			if !registry.IsOutdated(err) {
				t.Fatal(err)
			}
			r.wantBound(t, "a@lapsed.example")
		}
	}
	// A dry run, and a refused request, are not remembered.
	dry := openAgain()
	dry.AsOf, dry.DryRun = day(19), true
	r.set(t, dry, 1, 1, 0)
	same := openAgain()
	same.AsOf = day(15)
	r.set(t, same, 1, 1, 0)
	ahead := closeAt(10)
	ahead.AsOf = r.clock.now().Add(maxAhead + time.Second)
	_, err := r.client.SetRecovery(t.Context(), ahead)
	wantKind(t, err, registry.KindRefused, registry.TypeMalformed)
	// The other domain has an order of its own.
	other := closeAt(3)
	other.Domain, other.AsOf = "other.example", day(4)
	r.set(t, other, 0, 0, 0)
}

func TestClosingIsBounded(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 1})
	in := closeAt(10)
	in.MaxAddresses = 1
	for _, in.DryRun = range []bool{true, false} {
		_, err := r.client.SetRecovery(t.Context(), in)
		if !registry.IsTooMany(err) {
			t.Fatal(err)
		}
	}
	r.wantBound(t)
	in.AsOf = day(11) // not remembered
	in.MaxAddresses = 2
	r.set(t, in, 2, 0, 2)
	in.Domain = "co.uk"
	_, err := r.client.SetRecovery(t.Context(), in)
	wantKind(t, err, registry.KindRefused, registry.TypePublicSuffix)
}

// By no way that mail opens does anybody get in, and nobody sees a difference.
func TestClosedToEveryMail(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MailIsSignIn = true })
	const victim = "victim@lapsed.example"
	account := r.user(t, victim, 1)
	ways := []string{"reset", "link", "support", "signin"}
	var out []string
	answers := map[string]bool{}
	for _, way := range ways {
		answer, link := r.mailed(t, way, victim)
		if link == "" {
			t.Fatalf("%s mails nothing while all is well: the attack below would prove nothing", way)
		}
		out, answers[answer] = append(out, link), true
	}
	r.set(t, closeAt(10), 1, 0, 1)
	for _, way := range ways {
		for _, who := range []string{victim, "nobody@lapsed.example", "nobody@else.example"} {
			answer, link := r.mailed(t, way, who)
			if answers[answer] = true; link != "" {
				t.Errorf("%s still mails", way)
			}
		}
	}
	if len(answers) != 1 {
		t.Error("the answers tell who is closed")
	}
	follow := func(when string) {
		t.Helper()
		for i, link := range out {
			if got := r.followLink(t, link); got != http.StatusBadRequest {
				t.Errorf("%s lives %s: %d", ways[i], when, got)
			}
		}
	}
	follow("while closed")
	if n, err := r.Resets(t.Context(), account); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	// The holder signs in, with a mail as the second factor too.
	id := r.session(t, account, Password)
	if err := r.MailCode(t.Context(), id, victim); err != nil {
		t.Fatal(err)
	}
	mails, _ := r.Mails(t.Context())
	code := mails[len(mails)-1].Token
	if got := r.followLink(t, code); got != http.StatusBadRequest {
		t.Error("a second factor is followed as a link")
	}
	if err := r.EnterCode(t.Context(), id, code); err != nil {
		t.Error(err)
	}
	if err := r.EnterCode(t.Context(), id, code); err == nil {
		t.Error("a code works twice")
	}
	r.set(t, openAgain(), 1, 1, 0)
	follow("after the opening")
	_, link := r.mailed(t, "reset", victim)
	if got := r.followLink(t, link); got != http.StatusNoContent {
		t.Error("open again, the reset does not work", got)
	}
}

func TestHolderOpensOneAddressAndNeverTheDomain(t *testing.T) {
	for _, kind := range []string{Password, SecurityKey, SecondFactor} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, nil)
			holder := r.user(t, "a@lapsed.example", 1)
			if err := errors.Join(r.AddAddressTo(t.Context(), holder, "a2@lapsed.example", ptr(day(1))), r.SetCredential(t.Context(), holder, kind, day(8))); err != nil {
				t.Fatal(err)
			}
			r.user(t, "neighbour@lapsed.example", 1)
			r.set(t, closeAt(10), 3, 0, 3)
			if err := r.VerifyIn(t.Context(), r.session(t, holder, kind), "a@lapsed.example"); err != nil {
				t.Fatal(err)
			}
			r.wantBound(t, "a2@lapsed.example", "neighbour@lapsed.example")
			if err := r.VerifyIn(t.Context(), r.session(t, holder, kind), "neighbour@lapsed.example"); err == nil {
				t.Fatal("a session verifies another account's address")
			}
			r.set(t, closeAt(10), 0, 1, 2) // what the holder let out stays out
			if _, link := r.mailed(t, "reset", "a@lapsed.example"); link == "" {
				t.Error("the opened address recovers nothing")
			}
			if _, link := r.mailed(t, "reset", "neighbour@lapsed.example"); link != "" {
				t.Error("the neighbour is open")
			}
			all, _ := r.Closings(t.Context())
			if all[0].How != "holder" || all[0].Ended != day(20) {
				t.Errorf("%s %s", all[0].How, all[0].Ended)
			}
			r.clock.add(48 * time.Hour)
			again := closeAt(21) // a new gap, after the holder's verification
			again.AsOf = day(22)
			r.set(t, again, 1, 0, 3)
		})
	}
}

// A credential that is not older than continuous_until opens nothing, whoever set it how.
func TestWhatOpensNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MailIsSignIn = true })
	const mine = "a@lapsed.example"
	account := r.user(t, mine, 1)
	r.clock.t = day(9)
	_, signin := r.mailed(t, "signin", mine)
	old := r.session(t, account, Password)
	if err := r.ChangeCredential(t.Context(), old, Password); err != nil { // on the day of continuous_until itself
		t.Fatal(err)
	}
	if got := r.followLink(t, signin); got != http.StatusNoContent {
		t.Fatal(got)
	}
	var byMail string
	if err := r.db.QueryRowContext(t.Context(), `SELECT id FROM sessions WHERE kind = 'mail'`).Scan(&byMail); err != nil {
		t.Fatal(err)
	}
	r.clock.t = day(20)
	r.set(t, closeAt(10), 1, 0, 1)
	for name, id := range map[string]string{"mail": byMail, "a new password": r.session(t, account, Password)} {
		if err := r.VerifyIn(t.Context(), id, mine); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Verify(t.Context(), mine, day(20)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if reports, err := r.Reports(t.Context()); err != nil || len(reports) > 0 {
		t.Error("reported, and yet nothing was set by mail", err)
	}
	all, _ := r.Addresses(t.Context())
	if all[0].VerifiedAt != day(1) {
		t.Error("a verification that opens nothing leaves its time")
	}
	if err := r.VerifyIn(t.Context(), old, mine); err != nil { // begun with the old password
		t.Error(err)
	}
	r.wantBound(t)
}

// A thief who had reset before the closing is not let out, and is reported, also where the thief changed the password
// once more or holds an old account's second factor of a later date.
func TestThiefWhoHadResetIsNotLetOut(t *testing.T) {
	r := newRig(t, nil)
	const victim = "victim@lapsed.example"
	account := r.user(t, victim, 1)
	r.user(t, "neighbour@lapsed.example", 1)
	r.clock.t = day(9).Add(time.Hour)
	_, link := r.mailed(t, "reset", victim)
	if got := r.followLink(t, link); got != http.StatusNoContent {
		t.Fatal(got)
	}
	thief := r.session(t, account, Password)
	if err := errors.Join(r.ChangeCredential(t.Context(), thief, Password), r.ChangeCredential(t.Context(), thief, SecurityKey)); err != nil {
		t.Fatal(err)
	}
	r.clock.t = day(20)
	r.set(t, closeAt(10), 2, 0, 2)
	for _, id := range []string{thief, r.session(t, account, Password), r.session(t, account, SecurityKey)} {
		if err := r.VerifyIn(t.Context(), id, victim); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	r.wantBound(t, victim, "neighbour@lapsed.example")
	reports, err := r.Reports(t.Context())
	if err != nil || len(reports) != 1 || reports[0].Account != account || reports[0].Why != SetByMail {
		t.Fatal(len(reports), err)
	}
	p, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || p.Hosts[0].Closed.Reported != 1 || p.Hosts[0].Closed.Addresses != 2 {
		t.Fatalf("%+v %v", p, err)
	}
}

func TestStaffLetOneAccountOut(t *testing.T) {
	r := newRig(t, nil)
	account := r.user(t, "a@lapsed.example", 1)
	r.user(t, "b@lapsed.example", 1)
	r.set(t, closeAt(10), 2, 0, 2)
	for _, c := range [][2]string{{"", "lost"}, {"who", ""}} {
		if err := r.LetOut(t.Context(), account, c[0], c[1]); err == nil {
			t.Error("nobody, or for no reason")
		}
	}
	if err := r.LetOut(t.Context(), account, "support desk", "lost the password, showed a passport"); err != nil {
		t.Fatal(err)
	}
	all, _ := r.Closings(t.Context())
	if all[0].How != "staff" || all[0].Who != "support desk: lost the password, showed a passport" || all[1].How != "" {
		t.Error("not recorded")
	}
	r.set(t, closeAt(10), 0, 1, 1)
	r.set(t, openAgain(), 1, 2, 0)
	r.set(t, closeAt(10), 1, 1, 1) // closed again for the same gap: let out once is let out
	r.wantBound(t, "b@lapsed.example")
	r.set(t, closeAt(11), 1, 0, 2) // a new gap binds again
	notices, _ := r.Notices(t.Context())
	if n := len(notices); n == 0 {
		t.Error("nobody is told of the new gap")
	}
}

func TestClosingAndUnverifyingDoNotUndoEachOther(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	// Open never undoes an unverify, and an unverified address is closed whatever the state.
	r.set(t, openAgain(), 0, 0, 0)
	if got := r.unverified(t); len(got) != 1 {
		t.Fatal(got)
	}
	// Bound while unverified: the restore verifies it and opens nothing.
	if a := r.set(t, closeAt(10), 0, 0, 0); a.AlreadyUnset != 1 {
		t.Fatalf("%+v", a)
	}
	p, err := r.client.List(t.Context(), "", 10, time.Time{})
	want := registry.Closed{Addresses: 1, Since: day(10), ContinuousUntil: day(9)}
	if err != nil || len(p.Hosts) != 1 || p.Hosts[0] != (registry.HostCount{Host: "lapsed.example", Closed: want}) {
		t.Fatalf("where no verified address is left the list says: %+v %v", p, err)
	}
	if _, err := r.client.Restore(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if got := r.unverified(t); len(got) != 0 {
		t.Fatal(got)
	}
	r.wantBound(t, "a@lapsed.example")
	if _, link := r.mailed(t, "reset", "a@lapsed.example"); link != "" {
		t.Error("a restore opened what is closed")
	}
	// Unverified while closed, opened, and still unverified.
	if _, err := r.client.Unverify(t.Context(), request("lapsed.example", "k2")); err != nil {
		t.Fatal(err)
	}
	r.set(t, openAgain(), 0, 0, 0)
	if _, link := r.mailed(t, "reset", "a@lapsed.example"); link != "" {
		t.Error("open undid an unverify")
	}
}

func TestHolderIsToldElsewhere(t *testing.T) {
	r := newRig(t, nil)
	account := r.user(t, "a@lapsed.example", 1)
	for _, other := range []string{"a@mail.lapsed.example", "a@gone.example", "a@well.example"} {
		if err := r.AddAddressTo(t.Context(), account, other, ptr(day(1))); err != nil {
			t.Fatal(err)
		}
	}
	r.user(t, "alone@lapsed.example", 1)
	gone := closeAt(5)
	gone.Domain = "gone.example"
	r.set(t, gone, 1, 0, 1)
	before, _ := r.Mails(t.Context())
	r.set(t, closeAt(10), 3, 0, 3)
	r.set(t, closeAt(10), 0, 0, 3) // and told once
	mails, _ := r.Mails(t.Context())
	mails = mails[len(before):]
	if len(mails) != 1 || mails[0].Address != "a@well.example" {
		t.Fatalf("%d mails, or to the wrong address", len(mails))
	}
	notices, err := r.Notices(t.Context())
	if err != nil || len(notices) != 3 { // one of gone.example
		t.Fatal(len(notices), err)
	}
	for _, text := range []string{mails[0].Text, notices[1].Text, notices[2].Text} {
		for _, part := range []string{"lapsed.example", "NXDOMAIN", "until 2026-01-30", "Renew it."} {
			if !strings.Contains(text, part) {
				t.Errorf("%q does not say %s", text, part)
			}
		}
	}
	r.set(t, openAgain(), 3, 3, 0)
	if notices, _ := r.Notices(t.Context()); len(notices) != 1 {
		t.Error("the site still says that it is closed", len(notices))
	}
}

func TestWhereMailIsTheSignIn(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MailIsSignIn = true })
	r.clock.t = day(2)
	r.fill(t, map[string]int{"in@lapsed.example": 1, "out@lapsed.example": 1})
	_, link := r.mailed(t, "signin", "in@lapsed.example")
	if got := r.followLink(t, link); got != http.StatusNoContent {
		t.Fatal(got)
	}
	var id string
	if err := r.db.QueryRowContext(t.Context(), `SELECT id FROM sessions`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	r.clock.t = day(20)
	r.set(t, closeAt(10), 2, 0, 2)
	reports, err := r.Reports(t.Context())
	if err != nil || len(reports) != 1 || reports[0].Address != "out@lapsed.example" || reports[0].Why != NoWayIn {
		t.Fatal(len(reports), err)
	}
	if err := r.VerifyIn(t.Context(), id, "in@lapsed.example"); !errors.Is(err, ErrClosed) {
		t.Fatal("a session that a mail began opens, because it is old:", err)
	}
	// The older session stays, and adds a way in; that is newer than the gap and opens nothing by itself.
	if err := r.ChangeCredential(t.Context(), id, SecurityKey); err != nil {
		t.Fatal(err)
	}
	p, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || !p.Recovery || !p.MailIsSignIn {
		t.Fatalf("%+v %v", p, err)
	}
}

// Closed hosts are in their places on pages of any size, and closing and opening are changes.
func TestListNamesWhatIsClosed(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@a.example": 1, "b@lapsed.example": 1, "c@mail.lapsed.example": 1, "d@z.example": 1, "e@zz.lapsed.example": 15})
	r.set(t, closeAt(10), 2, 1, 2)
	if _, err := r.client.Unverify(t.Context(), request("mail.lapsed.example", "k")); err != nil {
		t.Fatal(err)
	}
	want := "a.example 1 0, lapsed.example 1 1, mail.lapsed.example 0 1, z.example 1 0, zz.lapsed.example 1 0"
	for limit := 1; limit <= 6; limit++ {
		var got []string
		for after, first := "", true; first || after != ""; first = false {
			p, err := r.client.List(t.Context(), after, limit, time.Time{})
			if err != nil || p.Recovery != first || p.MailIsSignIn {
				t.Fatal(p, err)
			}
			for _, h := range p.Hosts {
				got = append(got, fmt.Sprint(h.Host, " ", h.Addresses, " ", h.Closed.Addresses))
			}
			after = p.Next
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("in pages of %d: %s", limit, s)
		}
	}
	r.clock.add(time.Hour)
	r.set(t, openAgain(), 1, 2, 0)
	p, err := r.client.List(t.Context(), "", 10, r.clock.now())
	if err != nil || len(p.Hosts) != 2 || p.Hosts[0].Closed.Addresses+p.Hosts[1].Closed.Addresses != 0 || p.Hosts[1].Addresses != 0 {
		t.Fatalf("%+v %v", p.Hosts, err)
	}
	r.clock.add(time.Hour)
	r.set(t, closeAt(11), 1, 1, 1)
	p, err = r.client.List(t.Context(), "", 1, r.clock.now())
	if err != nil || p.Next != "lapsed.example" || p.Hosts[0].Closed != (registry.Closed{Addresses: 1, Since: day(11), ContinuousUntil: day(10)}) {
		t.Fatalf("%+v %v", p, err)
	}
}

func TestSlowClosingIsAcceptedFirst(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SlowOver = 1 })
	r.fill(t, map[string]int{"a@lapsed.example": 1, "b@lapsed.example": 1})
	for range 2 {
		a, err := r.client.SetRecovery(t.Context(), closeAt(10))
		if err != nil || !a.Pending || a.RetryAfter != defaultSlow {
			t.Fatalf("%+v %v", a, err)
		}
	}
	r.clock.add(defaultSlow)
	r.set(t, closeAt(10), 0, 0, 2)
}

// A registry without the call is what it was: nothing in the list, 404, and the rest of the contract.
func TestWithoutRecovery(t *testing.T) {
	r := newRig(t, func(c *Config) { c.WithoutRecovery = true })
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	p, err := r.client.List(t.Context(), "", 10, time.Time{})
	if err != nil || p.Recovery {
		t.Fatal(p, err)
	}
	_, err = r.client.SetRecovery(t.Context(), closeAt(10))
	var problem *registry.Problem
	if !errors.As(err, &problem) || problem.Status != http.StatusNotFound {
		t.Fatal(err)
	}
}

// What the client never sends is refused in words, and changes nothing.
func TestMalformedRecoveryIsRefused(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t, map[string]int{"a@lapsed.example": 1})
	const path = "/v1/email-domains/lapsed.example/recovery"
	sound := `"desired":"closed","as_of":"2026-01-19T00:00:00Z","since":"2026-01-10T00:00:00Z","continuous_until":"2026-01-09T00:00:00Z","max_addresses":5,` +
		`"reason":"canary","phase":"grace","evidence":[],"advice":{"code":"c","text":"t"}`
	for name, body := range map[string]string{
		"nothing": ``, "no object": `[]`, "empty": `{}`, "a member twice": `{` + sound + `,"desired":"open"}`, "cut": `{` + sound,
		"no state": `{"as_of":"2026-01-19T00:00:00Z"}`, "no as_of": `{"desired":"open"}`, "as_of as a number": `{"desired":"open","as_of":5}`,
		"as_of far ahead": `{"desired":"open","as_of":"9999-01-01T00:00:00Z"}`, "as_of of year 1": `{"desired":"open","as_of":"0001-01-02T00:00:00Z"}`,
		"evidence null": strings.Replace(`{`+sound+`}`, `[]`, `null`, 1), "much evidence": strings.Replace(`{`+sound+`}`, `[]`, `["`+strings.Repeat(`","`, 32)+`"]`, 1),
		"long evidence": strings.Replace(`{`+sound+`}`, `[]`, `["`+strings.Repeat(`x`, 2001)+`"]`, 1), "bound as a huge number": strings.Replace(`{`+sound+`}`, `:5,`, `:99999999999999999999,`, 1),
		"no bound": strings.Replace(`{`+sound+`}`, `:5,`, `:0,`, 1), "until after since": strings.Replace(`{`+sound+`}`, `01-09`, `01-11`, 1), "since after as_of": strings.Replace(`{`+sound+`}`, `01-10`, `01-20`, 1),
	} {
		resp, data, _ := r.send(t, "PUT", path, headers(), body)
		if resp.StatusCode != 400 || !strings.Contains(string(data), registry.TypeMalformed) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, data)
		}
	}
	r.wantBound(t)
	if resp, _, _ := r.send(t, "PUT", path, headers(), `{`+sound+`,"later":{"a":[1]}}`); resp.StatusCode != 200 {
		t.Error("a member of a later version is refused", resp.StatusCode)
	}
	r.wantBound(t, "a@lapsed.example")
	if resp, _, _ := r.send(t, "POST", path, headers(), `{`+sound+`}`); resp.StatusCode != 405 || resp.Header.Get("Allow") != "PUT" {
		t.Error(resp.StatusCode)
	}
	reader := headers()
	reader.Set("Authorization", "Bearer a-reader")
	if resp, _, _ := r.send(t, "PUT", path, reader, `{`+sound+`}`); resp.StatusCode != 403 {
		t.Error(resp.StatusCode)
	}
}
