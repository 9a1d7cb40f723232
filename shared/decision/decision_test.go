package decision

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
)

const name = "example.org"

func state(p lifecycle.Phase) lifecycle.State { return lifecycle.State{Phase: p, LapseAt: 1000} }

// verdict is one about a listed domain in a phase.
func verdict(p lifecycle.Phase, a lifecycle.Action, r lifecycle.Reason) Verdict {
	return Verdict{ID: Of(name, state(p)), Action: a, Phase: p, Reason: r, Class: "rdap.example/" + string(p), Listed: true, Watched: true, ListRead: 1}
}

var (
	deleted  = verdict(lifecycle.Redemption, lifecycle.Unverify, lifecycle.ReasonDeleted)
	alone    = verdict(lifecycle.Redemption, lifecycle.Unverify, lifecycle.ReasonDeletedAlone)
	pendDel  = verdict(lifecycle.PendingDelete, lifecycle.Unverify, lifecycle.ReasonDeleted)
	restore  = verdict(lifecycle.Redemption, lifecycle.Hold, lifecycle.ReasonRestore)
	grace    = verdict(lifecycle.Grace, lifecycle.Hold, lifecycle.ReasonGraceTwice)
	graceAct = verdict(lifecycle.Grace, lifecycle.Unverify, lifecycle.ReasonGraceTwice)
	fine     = verdict(lifecycle.Active, lifecycle.None, lifecycle.ReasonDelegated)
	again    = verdict(lifecycle.Redemption, lifecycle.Confirm, lifecycle.ReasonDeletedAlone)
)

func with(v Verdict, edit func(*Verdict)) Verdict { edit(&v); return v }

func protected(v *Verdict) { v.Protected = true }

type step struct {
	name string
	do   func(Case) Case
}

func must(c Case, err error) Case { _ = err; return c }

// steps are all the things that can happen to a case.
func steps() []step {
	s := []step{
		{"report", func(c Case) Case {
			if !c.Open() {
				return c
			}
			return c.Report()
		}},
		{"answer", func(c Case) Case { return c.Answer(0, 50) }},
		{"refuse", func(c Case) Case { return c.Refuse(deleted) }},
		{"trip", func(c Case) Case { return c.Hold(ByBreaker, deleted) }},
		{"fit", Case.Fit},
		{"over", Case.Over},
		{"approve", func(c Case) Case { return must(c.Approve(deleted)) }},
		{"approve the class", func(c Case) Case { n, _ := c.ApproveWith(deleted.Class, 7); return n }},
		{"release", func(c Case) Case { return must(c.Release(deleted)) }},
		{"pin", func(c Case) Case { return c.Pin("on-call") }},
		{"restore", func(c Case) Case { return c.Restore(c.Key()) }},
		{"retry", func(c Case) Case { return must(c.Retry(deleted)) }},
	}
	for _, v := range []Verdict{deleted, pendDel, restore, grace, graceAct, fine, with(deleted, protected)} {
		s = append(s, step{fmt.Sprintf("judge %s %s %t", v.Action, v.name(), v.Protected), func(c Case) Case { return c.Judge(v) }})
	}
	return s
}

func (c Case) want(t *testing.T, s Status, by Cause) {
	t.Helper()
	if c.At() != s || c.Cause != by {
		t.Errorf("%s by %q, want %s by %q: %+v", c.At(), c.Cause, s, by, c)
	}
}

func TestAVerdictIsPutToTheRegistryOnce(t *testing.T) {
	c := Case{}.Judge(fine)
	c.want(t, Idle, "")
	c = c.Judge(deleted)
	c.want(t, Pending, "")
	c = c.Answer(2, 2000).Judge(pendDel)
	c.want(t, Done, "")
	if c.Open() || c.DoneAt != 2000 || c.Kept != 2 {
		t.Errorf("%+v", c)
	}
}

// Approving "grace" says nothing about "redemption": the stages of one lapse are two decisions.
func TestAnApprovalInTheGracePeriodDoesNotDisarmTheDeletion(t *testing.T) {
	c := must(Case{}.Judge(grace).Approve(grace)).Answer(2, 2000)
	c.want(t, Done, "")
	c = c.Judge(deleted)
	c.want(t, Pending, "")
	if keys := [2]string{c.Past[0].Key(), c.Key()}; keys[0] == keys[1] || !registry.ValidKey(keys[0]) || !registry.ValidKey(keys[1]) {
		t.Errorf("keys %q", keys)
	}
	must(Case{}.Judge(grace).Approve(grace)).Judge(deleted).want(t, Pending, "")
	must(Case{}.Judge(grace).Release(grace)).Judge(deleted).want(t, Pending, "")
}

// The second stage is sent if the first kept addresses, or the list names some that was read since.
func TestTheSecondStageIsSentIfTheFirstKeptAddresses(t *testing.T) {
	first := func(kept int) Case { return must(Case{}.Judge(grace).Approve(grace)).Answer(kept, 2000) }
	first(3).Judge(deleted).want(t, Pending, "")
	first(0).Judge(deleted).want(t, Idle, "")
	first(0).Judge(with(deleted, func(v *Verdict) { v.ListRead = 2000 })).want(t, Pending, "")
	other := with(deleted, func(v *Verdict) { v.ID = Of(name, lifecycle.State{Phase: lifecycle.Redemption, LapseAt: 9000}) })
	first(0).Judge(other).want(t, Pending, "")
	taken := first(0)
	taken = taken.Restore(taken.Key())
	taken.Judge(deleted).want(t, Pending, "")
}

// TestWhenAHoldEnds is README.md's table.
func TestWhenAHoldEnds(t *testing.T) {
	byVerdict := Case{}.Judge(restore)
	byBreaker := Case{}.Judge(deleted).Hold(ByBreaker, deleted)
	guarded := Case{}.Judge(with(deleted, protected))
	refused := Case{}.Judge(deleted).Refuse(deleted)
	other := with(restore, func(v *Verdict) { v.Reason = lifecycle.ReasonStillThere })
	for what, c := range map[string]struct {
		got  Case
		want Status
		by   Cause
	}{
		"verdict":                              {byVerdict, Held, ByVerdict},
		"verdict, heard again":                 {byVerdict.Judge(restore), Held, ByVerdict},
		"verdict, a later phase":               {byVerdict.Judge(with(restore, func(v *Verdict) { v.Phase = lifecycle.PendingDelete })), Held, ByVerdict},
		"verdict, another look asked":          {byVerdict.Judge(again), Idle, ""},
		"verdict, unverify":                    {byVerdict.Judge(deleted), Pending, ""},
		"verdict, another reason":              {byVerdict.Judge(other), Held, ByVerdict},
		"verdict, class fits":                  {byVerdict.Fit(), Held, ByVerdict},
		"breaker":                              {byBreaker, Held, ByBreaker},
		"breaker, heard again":                 {byBreaker.Judge(alone), Held, ByBreaker},
		"breaker, fits":                        {byBreaker.Fit(), Pending, ""},
		"breaker, another class":               {byBreaker.Judge(pendDel), Pending, ""},
		"breaker, verdict asks":                {byBreaker.Judge(restore), Held, ByVerdict},
		"breaker, renewed":                     {byBreaker.Judge(fine), Idle, ""},
		"breaker, left the list":               {byBreaker.Judge(with(deleted, func(v *Verdict) { v.Listed = false })), Idle, ""},
		"protected":                            {guarded, Held, ByProtected},
		"protected still":                      {guarded.Judge(with(alone, protected)), Held, ByProtected},
		"protected no more":                    {guarded.Judge(deleted), Pending, ""},
		"refused":                              {refused, Held, ByRegistry},
		"refused, heard again":                 {refused.Judge(alone), Held, ByRegistry},
		"refused, class fits":                  {refused.Fit(), Held, ByRegistry},
		"refused, the next phase":              {refused.Judge(pendDel), Pending, ""},
		"approved and refused, same verdict":   {must(byVerdict.Approve(restore)).Refuse(restore).Judge(restore), Held, ByRegistry},
		"approved and protected":               {must(byVerdict.Approve(restore)).Judge(with(restore, protected)), Held, ByProtected},
		"approved, renewed":                    {must(byVerdict.Approve(restore)).Judge(fine), Idle, ""},
		"declined":                             {must(byBreaker.Release(deleted)).Judge(alone), Declined, ""},
		"declined, the next phase":             {must(byBreaker.Release(deleted)).Judge(pendDel), Pending, ""},
		"declined, the verdict asks something": {must(byBreaker.Release(deleted)).Judge(restore), Held, ByVerdict},
		"declined, risk gone and back":         {must(byBreaker.Release(deleted)).Judge(again).Judge(deleted), Declined, ""},
		"pinned":                               {byVerdict.Pin("on-call").Judge(deleted).Judge(fine).Judge(grace), Pinned, ""},
		"pinned and released":                  {must(byVerdict.Pin("on-call").Release(deleted)).Judge(deleted), Pending, ""},
		"pinned and approved":                  {must(byVerdict.Pin("on-call").Approve(fine)).Judge(deleted), Approved, ""},
		"a mail host that nobody lists":        {Case{}.Judge(with(restore, func(v *Verdict) { v.Listed = false })), Held, ByVerdict},
		"nobody watches it":                    {byVerdict.Judge(with(restore, func(v *Verdict) { v.Listed, v.Watched = false, false })), Idle, ""},
	} {
		t.Run(what, func(t *testing.T) { c.got.want(t, c.want, c.by) })
	}
}

func TestWhatAPersonApprovedDoesNotCount(t *testing.T) {
	p := Case{}.Judge(deleted)
	held := p.Hold(ByBreaker, deleted)
	if !p.Counts() || !held.Counts() || !p.Report().Counts() {
		t.Error("what is pending, reported or held by the breaker counts")
	}
	if must(p.Approve(deleted)).Counts() || must(held.Approve(deleted)).Counts() || (Case{}).Judge(restore).Counts() {
		t.Error("what was approved, or a verdict holds, does not")
	}
}

// The approval of a class covers what the breaker held of it, by name, and ends with the approval.
func TestAClassIsApprovedByName(t *testing.T) {
	held := Case{}.Judge(deleted).Hold(ByBreaker, deleted)
	c, ok := held.ApproveWith(deleted.Class, 77)
	if c.want(t, Approved, ""); !ok || c.ClassApproved != 77 || c.Class != deleted.Class {
		t.Errorf("%t %+v", ok, c)
	}
	if later := c.Judge(pendDel); later.Status != Approved || later.Class != deleted.Class {
		t.Errorf("the next phase of the same stage: %+v", later)
	}
	c.Over().want(t, Pending, "")
	must(c.Approve(deleted)).Over().want(t, Approved, "")
	for what, c := range map[string]Case{
		"pending": Case{}.Judge(deleted), "held by its verdict": Case{}.Judge(restore), "protected": Case{}.Judge(with(deleted, protected)),
		"refused": Case{}.Judge(deleted).Refuse(deleted), "idle": Case{}.Judge(fine), "of another class": Case{}.Judge(pendDel).Hold(ByBreaker, pendDel),
	} {
		if n, ok := c.ApproveWith(deleted.Class, 77); ok || !reflect.DeepEqual(n, c) {
			t.Errorf("%s was approved with the class", what)
		}
	}
}

func TestWhatAnOperatorCannotHave(t *testing.T) {
	done := Case{}.Judge(deleted).Answer(0, 50)
	for what, c := range map[string]struct {
		do   func() (Case, error)
		want string
	}{
		"approve what is protected": {func() (Case, error) { return Case{}.Approve(with(deleted, protected)) }, "protected"},
		"approve what was done":     {func() (Case, error) { return done.Approve(deleted) }, "retry"},
		"approve nothing":           {func() (Case, error) { return Case{}.Judge(fine).Approve(fine) }, "nothing about it waits"},
		"release nothing":           {func() (Case, error) { return Case{}.Judge(fine).Release(fine) }, "no hold stands"},
		"release what was done":     {func() (Case, error) { return done.Release(deleted) }, "no hold stands"},
		"retry what was not done":   {func() (Case, error) { return Case{}.Judge(deleted).Retry(deleted) }, "nothing was unverified"},
		"retry what is over":        {func() (Case, error) { return done.Retry(fine) }, "is active now"},
	} {
		if _, err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a refusal that says %q", what, err, c.want)
		}
	}
}

// A repetition has a key of its own, and the earlier keys stay known.
func TestKeys(t *testing.T) {
	c := Case{}.Judge(deleted).Answer(0, 50)
	c = c.Restore(c.Key())
	c.want(t, Restored, "")
	c = must(c.Retry(deleted))
	if want := []string{"example.org:lapse:1000", "example.org:lapse:1000:retry:1"}; !slices.Equal(c.Keys(), want) || c.Key() != want[1] {
		t.Errorf("%q, %q", c.Keys(), c.Key())
	}
	if unlisted := c.Judge(with(deleted, func(v *Verdict) { v.Listed = false })); !unlisted.Open() {
		t.Errorf("a repetition that an operator asked for, at a domain that left the list: %+v", unlisted)
	}
	pinned := must(c.Pin("on-call").Release(deleted)).Judge(deleted)
	if pinned.Status != Done || pinned.Key() != c.Key() {
		t.Errorf("a repetition that a pin ended is sent under a key that was used: %+v", pinned)
	}
}

func TestWhatWasDoneEarlierIsKnownAndTakenBack(t *testing.T) {
	c := must(Case{}.Judge(grace).Approve(grace)).Answer(1, 50).Judge(deleted).Answer(0, 90)
	if done := c.Done(); len(done) != 2 || done[0].ID != deleted.ID || done[1].ID != grace.ID {
		t.Fatalf("%+v", c.Done())
	}
	before := c
	c = c.Restore(c.Done()[1].Key())
	if c.Status != Done || c.Past[0].Status != Restored || before.Past[0].Status != Done {
		t.Errorf("%+v, before %+v", c, before)
	}
	if c.Judge(grace).want(t, Restored, ""); c.Judge(grace).Judge(deleted).Status != Done {
		t.Error("taken up again, a decision is as it was left")
	}
}

func TestObserveModeReportsAndEnforceFindsItPending(t *testing.T) {
	c := Case{}.Judge(deleted).Report()
	if c.want(t, Reported, ""); !c.Open() || c.Told != c.Key() {
		t.Errorf("%+v", c)
	}
	c.Answer(0, 50).want(t, Done, "")
	approved := must(Case{}.Judge(restore).Approve(restore)).Report()
	if approved.want(t, Approved, ""); approved.Told != approved.Key() {
		t.Errorf("%+v", approved)
	}
}

func TestACaseRemembersOnlySoMuch(t *testing.T) {
	var c Case
	for i := range 3 * maxPast {
		v := with(deleted, func(v *Verdict) {
			v.ID = Of(name, lifecycle.State{Phase: lifecycle.Redemption, LapseAt: lifecycle.Instant(1 + i)})
		})
		c = c.Judge(v).Answer(0, 50)
	}
	if len(c.Past) != maxPast {
		t.Errorf("%d", len(c.Past))
	}
}

func TestOfEachPhase(t *testing.T) {
	s := lifecycle.State{LapseAt: 1, Registered: 2}
	for _, p := range lifecycle.Phases() {
		s.Phase = p
		want := map[lifecycle.Phase]string{lifecycle.ReRegistered: "x:re-registered:2", lifecycle.Redemption: "x:lapse:1", lifecycle.PendingDelete: "x:lapse:1", lifecycle.Released: "x:lapse:1"}[p]
		if want == "" {
			want = "x:before-deletion:1"
		}
		if got := Of("x", s); string(got) != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
	s.Registered = 0
	if s.Phase = lifecycle.ReRegistered; Of("x", s) != "x:re-registered:1" {
		t.Error(Of("x", s))
	}
}

// TestWhateverHappens plays any sequence of events.
func TestWhateverHappens(t *testing.T) {
	all := steps()
	byName := map[string]step{}
	names := make([]string, len(all))
	for i, s := range all {
		names[i], byName[s.name] = s.name, s
	}
	rapid.Check(t, func(t *rapid.T) {
		var c Case
		approved := map[ID]bool{} // by a person, and not used up
		done := map[ID]int{}      // by retries
		for _, what := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 40).Draw(t, "events") {
			before := c
			c = byName[what].do(c)
			check(t, what, before, c, approved, done)
		}
	})
}

func check(t *rapid.T, what string, before, c Case, approved map[ID]bool, done map[ID]int) {
	fail := func(why string) {
		t.Helper()
		t.Fatalf("%s: %s\nbefore %+v\nafter  %+v", what, why, before, c)
	}
	if what == "approve" || what == "approve the class" || what == "retry" {
		approved[c.ID] = approved[c.ID] || c.Status == Approved
	}
	for _, d := range append([]Decision{c.Decision}, c.Past...) {
		if d.Status == Approved && !approved[d.ID] {
			fail("approved, and nobody approved this stage")
		}
		if n, was := done[d.ID]; was && d.Open() && d.Retries <= n {
			fail("carried out, and open again under the same key")
		}
	}
	if what == "answer" && before.Open() {
		done[c.ID] = c.Retries
		delete(approved, c.ID)
	}
	if (c.Status == Held) != (c.Cause != "") {
		fail("a hold without a cause, or a cause without a hold")
	}
	if before.Status == Pinned && c.Open() && what != "approve" {
		fail("pinned, and open again without a person")
	}
	if (c.Status == Pinned) != (c.By != "") {
		fail("pinned by nobody")
	}
	if strings.HasPrefix(what, "judge") {
		for _, s := range steps() {
			if s.name == what && !reflect.DeepEqual(s.do(c), c) {
				fail("the same verdict again changes something")
			}
		}
	}
	if c.ClassApproved != 0 && c.Status != Approved {
		fail("approved with its class, and not approved")
	}
	if c.Counts() && c.Status == Approved || c.Status == Done && c.DoneAt == 0 {
		fail("what it says contradicts itself")
	}
	seen := map[ID]bool{}
	for _, d := range append([]Decision{c.Decision}, c.Past...) {
		if seen[d.ID] && c.Status != Pinned {
			fail("one decision twice")
		}
		seen[d.ID] = true
	}
}

// What an earlier version kept is adopted as what keeps the guard from acting.
func TestAdopt(t *testing.T) {
	done := Adopt("example.org:lapse:1000:retry:2", "", "")
	if c := done.Judge(deleted); c.Status != Done || c.Key() != "example.org:lapse:1000:retry:2" || len(c.Keys()) != 3 {
		t.Errorf("%+v", c)
	}
	Adopt("", "example.org:lapse:1000/"+deleted.name(), "").Judge(alone).want(t, Declined, "")
	Adopt("", "example.org:lapse:1000/"+deleted.name(), "").Judge(pendDel).want(t, Pending, "")
	if c := Adopt("", "", "Ada").Judge(deleted); c.Status != Pinned || c.By != "Ada" {
		t.Errorf("%+v", c)
	}
	Adopt("", "", "").Judge(deleted).want(t, Pending, "")
}

// A repetition that a person approved leaves what was done, when its risk is gone before it was sent.
func TestARepetitionThatCameToNothing(t *testing.T) {
	c := must(Case{}.Judge(deleted).Answer(0, 50).Retry(deleted))
	c = c.Judge(again)
	if c.want(t, Done, ""); c.Judge(deleted).Open() {
		t.Error("it is sent by itself when the risk is back")
	}
}

// TestAPinForgetsApprovals: it ends them, and what an approved repetition had done before stays done.
func TestAPinForgetsApprovals(t *testing.T) {
	first := Decision{ID: Of(name, state(lifecycle.Grace)), Status: Approved}
	second := Decision{ID: Of(name, state(lifecycle.Redemption)), Status: Approved, DoneAt: 7, Retries: 1}
	c := Case{Past: []Decision{first, second}}.Pin("on-call")
	if len(c.Past) != 1 || c.Past[0].ID != second.ID || c.Past[0].Status != Done {
		t.Errorf("%+v", c.Past)
	}
}

// TestARepetitionIsForWhatIsAtLeastHeld: of a domain that a person is asked about too, but of none that is fine again.
func TestARepetitionIsForWhatIsAtLeastHeld(t *testing.T) {
	done := Case{}.Judge(deleted).Answer(0, 50)
	for v, want := range map[Verdict]bool{deleted: true, restore: true, again: false, fine: false} {
		if _, err := done.Retry(v); (err == nil) != want {
			t.Errorf("%s %s: %v", v.Action, v.Phase, err)
		}
	}
}

// TestARefusalUsesUpAnApprovalOfTheClass: the hold that follows is a hold of its own.
func TestARefusalUsesUpAnApprovalOfTheClass(t *testing.T) {
	c, ok := Case{}.Judge(deleted).Hold(ByBreaker, deleted).ApproveWith(deleted.Class, 7)
	if c = c.Refuse(deleted); !ok || c.Status != Held || c.Cause != ByRegistry || c.ClassApproved != 0 {
		t.Errorf("%+v", c.Decision)
	}
}

// Where recovery is closed nobody is asked, but about an account that may have been taken, and about what contradicts
// itself for long; and what can be had back is not unverified.
func TestWhatIsAskedWhileRecoveryIsClosed(t *testing.T) {
	closed := func(v *Verdict) { v.Closed = true }
	final := func(v *Verdict) { v.Closed, v.Final = true, true }
	lasts := func(v *Verdict) { v.Closed, v.Lasts = true, true }
	hold := func(p lifecycle.Phase, r lifecycle.Reason) Verdict { return verdict(p, lifecycle.Hold, r) }
	for _, c := range []struct {
		v    Verdict
		edit func(*Verdict)
		want Status
	}{
		{deleted, closed, Idle},
		{deleted, final, Pending},
		{alone, closed, Idle},
		{pendDel, final, Pending},
		{graceAct, final, Idle},
		{grace, closed, Idle},
		{restore, lasts, Idle},
		{verdict(lifecycle.Released, lifecycle.Unverify, lifecycle.ReasonReleased), final, Pending},
		{verdict(lifecycle.ReRegistered, lifecycle.Unverify, lifecycle.ReasonReRegistered), final, Pending},
		{hold(lifecycle.ReRegistered, lifecycle.ReasonReviewNew), closed, Held},
		{hold(lifecycle.Released, lifecycle.ReasonQuarantine), closed, Idle},
		{hold(lifecycle.Released, lifecycle.ReasonQuarantine), final, Pending},
		{hold(lifecycle.Released, lifecycle.ReasonUndescribed), final, Idle},
		{hold(lifecycle.ChangedHands, lifecycle.ReasonReviewHands), lasts, Idle},
		{hold(lifecycle.Active, lifecycle.ReasonMailHost), closed, Idle},
		{hold(lifecycle.Redemption, lifecycle.ReasonStillThere), closed, Idle},
		{hold(lifecycle.Redemption, lifecycle.ReasonStillThere), lasts, Held},
		{hold(lifecycle.Active, lifecycle.ReasonFreeButThere), closed, Idle},
		{hold(lifecycle.Active, lifecycle.ReasonFreeButThere), lasts, Held},
		{fine, closed, Idle},
	} {
		open, v := Case{}.Judge(c.v), with(c.v, c.edit)
		if got := (Case{}).Judge(v).At(); got != c.want {
			t.Errorf("%s, %s, final %t, lasts %t: %s, want %s", v.Phase, v.Reason, v.Final, v.Lasts, got, c.want)
		}
		if got := open.Judge(v).At(); got != c.want { // what was asked before the closing ends
			t.Errorf("%s, %s, asked before: %s, want %s", v.Phase, v.Reason, got, c.want)
		}
		if c.want == Idle && c.v.Action.Weight() >= lifecycle.Hold.Weight() {
			must(Case{}.Judge(v).Approve(v)).Judge(v).want(t, Approved, "") // but a person may have it done
		}
	}
}
