package applier

import (
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

var (
	planNow = time.Date(2026, 3, 2, 3, 30, 0, 0, time.UTC)
	planAt  = lifecycle.At(planNow)
)

// planned is a domain that was deleted and seen to be just now, of a registry that closes recovery.
func planned(edit func(*view, *records.Matter)) (view, records.Matter) {
	v := view{now: planNow, run: records.Run{Complete: true}, synced: records.Synced{Recovery: true}}
	d := records.NewDomain("example-one.com", planAt)
	d.Listed, d.Action, d.Reason = true, lifecycle.Unverify, lifecycle.ReasonDeleted
	d.State.Phase, d.State.Since, d.State.LapseAt, d.State.Reg, d.State.RegAt, d.State.RegSince = lifecycle.Redemption, planAt, planAt, lifecycle.WordRedemption, planAt, planAt
	m := records.Matter{Domain: d}
	if edit != nil {
		edit(&v, &m)
	}
	return v, m
}

// TestWhatCountsAsClosed, so that who waits harms nobody.
func TestWhatCountsAsClosed(t *testing.T) {
	gap := func(m *records.Matter) { m.Domain.State.Control.Since = planAt.Add(-25 * time.Hour) }
	none := func(m *records.Matter) { m.Domain.State.LapseAt = 0 }
	for what, c := range map[string]struct {
		edit func(*view, *records.Matter)
		want bool
	}{
		"a lapse that was just seen": {nil, true},
		"a lapse of almost a day":    {func(_ *view, m *records.Matter) { m.Domain.State.LapseAt = planAt.Add(time.Second - 24*time.Hour) }, true},
		"a lapse of a day":           {func(_ *view, m *records.Matter) { m.Domain.State.LapseAt = planAt.Add(-24 * time.Hour) }, false},
		"nothing":                    {func(_ *view, m *records.Matter) { none(m) }, false},
		"no lever":                   {func(v *view, _ *records.Matter) { v.synced.Recovery = false }, false},
		"a gap of more than a day":   {func(_ *view, m *records.Matter) { gap(m) }, false},
		"closed":                     {func(_ *view, m *records.Matter) { gap(m); m.Recovery.V.Since = 7 }, true},
		"an operator's word": {func(_ *view, m *records.Matter) {
			gap(m)
			m.Recovery.V.Word = &records.Word{Gap: m.Domain.State.Control.Since}
		}, true},
		"an operator's word about another gap": {func(_ *view, m *records.Matter) { gap(m); m.Recovery.V.Word = &records.Word{Gap: 7} }, false},
		"who has no address there":             {func(_ *view, m *records.Matter) { gap(m); m.Domain.Listed = false }, true},
		"nor a gap":                            {func(_ *view, m *records.Matter) { none(m); m.Domain.Listed = false }, false},
		"it waits for room":                    {func(_ *view, m *records.Matter) { gap(m); m.Domain.CloseAt = planAt }, true},
		"it waited for room for a day":         {func(_ *view, m *records.Matter) { gap(m); m.Domain.CloseAt = planAt.Add(-24 * time.Hour) }, false},
		"refused": {func(_ *view, m *records.Matter) {
			gap(m)
			m.Recovery.V.Refused, m.Domain.CloseAt = m.Domain.State.Control.Since, planAt
		}, false},
		"refused for another gap": {func(_ *view, m *records.Matter) { gap(m); m.Recovery.V.Refused, m.Domain.CloseAt = 7, planAt }, true},
		"a person is to decide": {func(_ *view, m *records.Matter) {
			gap(m)
			m.Domain.Wide, m.Domain.CloseAt = m.Domain.State.Control.Since, planAt
		}, false},
		"observe mode said that it would": {func(v *view, m *records.Matter) {
			gap(m)
			v.observe = true
			m.Recovery.V.Would = m.Domain.State.Control.Since
		}, true},
		"observe mode said it of another gap":       {func(v *view, m *records.Matter) { gap(m); v.observe = true; m.Recovery.V.Would = 7 }, false},
		"enforce mode does not go by what it said":  {func(_ *view, m *records.Matter) { gap(m); m.Recovery.V.Would = m.Domain.State.Control.Since }, false},
		"observe mode, no gap, and it said nothing": {func(v *view, m *records.Matter) { none(m); v.observe = true }, false},
	} {
		v, m := planned(c.edit)
		if got := v.closed(m); got != c.want {
			t.Errorf("%s: closed %t", what, got)
		}
	}
}

// TestWhatALeverIsFor: where a mail alone signs in, what takes the mail away; elsewhere everything.
func TestWhatALeverIsFor(t *testing.T) {
	for _, c := range []struct {
		gap  lifecycle.Gap
		want bool
	}{
		{lifecycle.GapNone, true}, {lifecycle.GapGone, true}, {lifecycle.GapParked, true}, {lifecycle.GapDeleted, true}, {lifecycle.GapReleased, true},
		{lifecycle.GapNewServers, false}, {lifecycle.GapMailHost, false}, {lifecycle.GapLame, false}, {lifecycle.GapYoung, false},
	} {
		v, m := planned(func(v *view, m *records.Matter) {
			v.synced.MailIsSignIn, m.Domain.State.Control = true, lifecycle.Continuity{Since: 7, Gap: c.gap}
		})
		if got := v.closable(m); got != c.want {
			t.Errorf("%q: %t", c.gap, got)
		}
		m.Recovery.V.Since = 7
		if !v.closable(m) {
			t.Errorf("%q, and closed: it could not be opened", c.gap)
		}
		m.Recovery.V.Since, m.Recovery.V.Word = 0, &records.Word{Gap: 7}
		if !v.closable(m) {
			t.Errorf("%q, by an operator's word: it could not be closed", c.gap)
		}
		m.Recovery.V.Word, v.synced.MailIsSignIn = nil, false
		if !v.closable(m) {
			t.Errorf("%q, where a mail alone does not sign in", c.gap)
		}
		if v.synced = (records.Synced{MailIsSignIn: true}); v.closable(m) {
			t.Errorf("%q, without a lever", c.gap)
		}
	}
}

// TestWhenANameIsLost: what follows at once, what by the TLD's rules, what never.
func TestWhenANameIsLost(t *testing.T) {
	for what, c := range map[string]struct {
		edit  func(*view, *records.Matter)
		final bool
	}{
		"redemption":                         {nil, false},
		"redemption, by the operator's wish": {func(v *view, _ *records.Matter) { v.early = true }, true},
		"pending delete":                     {func(_ *view, m *records.Matter) { m.Domain.State.Phase = lifecycle.PendingDelete }, true},
		"registered anew":                    {func(_ *view, m *records.Matter) { m.Domain.State.Phase = lifecycle.ReRegistered }, true},
		"released":                           {func(_ *view, m *records.Matter) { m.Domain.State.Phase = lifecycle.Released }, true},
		"in quarantine": {func(_ *view, m *records.Matter) {
			m.Domain.State.Phase, m.Domain.Reason = lifecycle.Released, lifecycle.ReasonQuarantine
		}, false},
		"in quarantine, by the wish": {func(v *view, m *records.Matter) {
			v.early = true
			m.Domain.State.Phase, m.Domain.Reason = lifecycle.Released, lifecycle.ReasonQuarantine
		}, false},
		"grace": {func(_ *view, m *records.Matter) { m.Domain.State.Phase = lifecycle.Grace }, false},
		"pending delete, seen in a minute": {func(_ *view, m *records.Matter) {
			m.Domain.State.Phase, m.Domain.State.Since = lifecycle.PendingDelete, planAt.Add(time.Minute)
		}, false},
		"active, by the wish, and not lapsed": {func(v *view, m *records.Matter) { v.early, m.Domain.State.Phase = true, lifecycle.Active }, false},
	} {
		v, m := planned(c.edit)
		if got := v.verdict(m).Final; got != c.final {
			t.Errorf("%s: lost %t", what, got)
		}
	}
}

// TestHowFreshEvidenceIs: of a deletion that of who says deleted; a day old is fresh, older is not.
func TestHowFreshEvidenceIs(t *testing.T) {
	old, older := planAt.Add(-24*time.Hour), planAt.Add(-24*time.Hour-time.Second)
	for what, c := range map[string]struct {
		edit  func(*view, *records.Matter)
		stale bool
	}{
		"just now":  {nil, false},
		"a day old": {func(_ *view, m *records.Matter) { m.Domain.State.RegAt = old }, false},
		"older":     {func(_ *view, m *records.Matter) { m.Domain.State.RegAt = older }, true},
		"none":      {func(_ *view, m *records.Matter) { m.Domain.State.RegAt = 0 }, true},
		"older, and the status API says so": {func(_ *view, m *records.Matter) {
			m.Domain.State.RegAt, m.Domain.State.Mkt, m.Domain.State.MktAt = older, lifecycle.WordPendingDelete, old
		}, false},
		"older, and the status API says otherwise": {func(_ *view, m *records.Matter) {
			m.Domain.State.RegAt, m.Domain.State.Mkt, m.Domain.State.MktAt = older, lifecycle.WordRegistered, old
		}, true},
		"the registry says otherwise": {func(_ *view, m *records.Matter) { m.Domain.State.Reg = lifecycle.WordRegistered }, true},
		"the same in the grace period": {func(_ *view, m *records.Matter) {
			m.Domain.State.Phase, m.Domain.State.Reg = lifecycle.Grace, lifecycle.WordRegistered
		}, false},
	} {
		v, m := planned(c.edit)
		if got := v.stale(m.Domain); got != c.stale {
			t.Errorf("%s: stale %t", what, got)
		}
	}
}

// TestWhatALookDecides: a decision that waits for fresh evidence, and a second look after six hours.
func TestWhatALookDecides(t *testing.T) {
	open := func(m *records.Matter) {
		m.Domain.State.LapseAt, m.Domain.State.Phase = planAt.Add(-48*time.Hour), lifecycle.PendingDelete
	}
	for what, c := range map[string]struct {
		edit          func(*view, *records.Matter)
		look, decides bool
	}{
		"fresh": {func(_ *view, m *records.Matter) { open(m) }, false, false},
		"stale": {func(_ *view, m *records.Matter) { open(m); m.Domain.State.RegAt = planAt.Add(-25 * time.Hour) }, true, true},
		"stale, and just asked": {func(_ *view, m *records.Matter) {
			open(m)
			m.Domain.State.RegAt, m.Domain.LookSent = planAt.Add(-25*time.Hour), planAt
		}, false, false},
		"stale, and asked long ago": {func(_ *view, m *records.Matter) {
			open(m)
			m.Domain.State.RegAt, m.Domain.LookSent = planAt.Add(-25*time.Hour), planAt.Add(-lifecycle.RetryLook)
		}, true, true},
		"a look is due": {func(_ *view, m *records.Matter) { m.Domain.Action, m.Domain.NextLook = lifecycle.Watch, planAt }, true, false},
		"a look is due later": {func(_ *view, m *records.Matter) {
			m.Domain.Action, m.Domain.NextLook = lifecycle.Watch, planAt.Add(time.Second)
		}, false, false},
		"a second look, at once": {func(_ *view, m *records.Matter) { m.Domain.Action, m.Domain.NextLook = lifecycle.Confirm, planAt }, true, false},
		"a second look, after six hours": {func(_ *view, m *records.Matter) {
			m.Domain.Action, m.Domain.NextLook, m.Domain.State.RegAt = lifecycle.Confirm, planAt, planAt.Add(-6*time.Hour)
		}, true, true},
		"a second look, of a silent witness": {func(_ *view, m *records.Matter) {
			m.Domain.Action, m.Domain.NextLook, m.Domain.State.RegAt, m.Domain.State.Silent = lifecycle.Confirm, planAt, planAt.Add(-6*time.Hour), 1
		}, true, false},
	} {
		v, m := planned(c.edit)
		if s := v.plan(m); s.Look != c.look || s.Decides != c.decides {
			t.Errorf("%s: look %t, decides %t", what, s.Look, s.Decides)
		}
	}
}

// TestWhatWaits: what a person approved by itself, for its look; everything, for the run that found it, six hours at most.
func TestWhatWaits(t *testing.T) {
	for what, c := range map[string]struct {
		edit func(*view, *records.Matter, *decision.Case)
		want bool
	}{
		"pending":              {func(*view, *records.Matter, *decision.Case) {}, false},
		"stale":                {func(_ *view, m *records.Matter, _ *decision.Case) { m.Domain.State.RegAt = 0 }, true},
		"the run is not whole": {func(v *view, _ *records.Matter, _ *decision.Case) { v.run.Complete = false }, true},
		"nor after almost six hours": {func(v *view, m *records.Matter, _ *decision.Case) {
			v.run.Complete = false
			m.Domain.State.Since = planAt.Add(time.Second - 6*time.Hour)
		}, true},
		"nor after six hours": {func(v *view, m *records.Matter, _ *decision.Case) {
			v.run.Complete = false
			m.Domain.State.Since = planAt.Add(-6 * time.Hour)
		}, false},
		"approved, its look is on its way": {func(_ *view, m *records.Matter, c *decision.Case) {
			c.Status, m.Domain.LookSent = decision.Approved, planAt.Add(time.Second)
		}, true},
		"approved, its look is answered": {func(_ *view, m *records.Matter, c *decision.Case) {
			c.Status, m.Domain.LookSent = decision.Approved, planAt
		}, false},
		"its look is answered by the status API": {func(_ *view, m *records.Matter, c *decision.Case) {
			c.Status, m.Domain.LookSent, m.Domain.State.MktAt = decision.Approved, planAt.Add(time.Second), planAt.Add(time.Second)
		}, false},
		"approved with its class": {func(_ *view, m *records.Matter, c *decision.Case) {
			c.Status, c.ClassApproved, m.Domain.LookSent = decision.Approved, 7, planAt.Add(time.Second)
		}, false},
		"a repetition of what was done": {func(_ *view, m *records.Matter, c *decision.Case) {
			c.Status, c.DoneAt, m.Domain.LookSent = decision.Approved, 7, planAt.Add(time.Second)
		}, false},
		"pending, and a look of another is about": {func(_ *view, m *records.Matter, _ *decision.Case) { m.Domain.LookSent = planAt.Add(time.Second) }, false},
	} {
		v, m := planned(nil)
		d := decision.Case{Decision: decision.Decision{Status: decision.Pending}}
		c.edit(&v, &m, &d)
		if got := v.waits(m.Domain, d); got != c.want {
			t.Errorf("%s: waits %t", what, got)
		}
	}
}

// TestWhenADomainTurns: at the first time to come at which its verdict asks for something else.
func TestWhenADomainTurns(t *testing.T) {
	day := 24 * time.Hour
	for what, c := range map[string]struct {
		edit func(*view, *records.Matter)
		want lifecycle.Instant
	}{
		"just seen":                     {nil, planAt.Add(day)},
		"seen two days ago":             {func(_ *view, m *records.Matter) { m.Domain.State.LapseAt = planAt.Add(-2 * day) }, planAt.Add(7 * day)},
		"at this very moment":           {func(_ *view, m *records.Matter) { m.Domain.State.LapseAt = planAt.Add(-day) }, planAt.Add(7 * day)},
		"no lever":                      {func(v *view, _ *records.Matter) { v.synced.Recovery = false }, 0},
		"nothing is to be done":         {func(_ *view, m *records.Matter) { m.Domain.Action = lifecycle.Watch }, 0},
		"a gap is older than its lapse": {func(_ *view, m *records.Matter) { m.Domain.State.Control.Since = planAt.Add(-time.Hour) }, planAt.Add(day - time.Hour)},
		"seen eight days ago, by a .nl": {func(_ *view, m *records.Matter) {
			m.Domain.Name = "a.nl"
			m.Domain.State.LapseAt, m.Domain.State.RegSince, m.Domain.State.Deleted = planAt.Add(-8*day), planAt.Add(-8*day), planAt.Add(-8*day)
		}, planAt.Add(30 * day)},
		"all of it is past, of a .com": {func(_ *view, m *records.Matter) {
			m.Domain.State.Phase, m.Domain.State.LapseAt, m.Domain.State.RegSince = lifecycle.PendingDelete, planAt.Add(-8*day), planAt.Add(-8*day)
		}, 0},
		"its registry said so yesterday": {func(_ *view, m *records.Matter) {
			m.Domain.State.LapseAt, m.Domain.State.RegSince = planAt.Add(-2*day), planAt.Add(-day)
		}, planAt.Add(6 * day)},
	} {
		v, m := planned(c.edit)
		if got := v.turns(m); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

// TestTheBreakersCountFollowsItsHolds, from one class to another in one step too.
func TestTheBreakersCountFollowsItsHolds(t *testing.T) {
	held := func(class string) decision.Case {
		return decision.Case{Decision: decision.Decision{Status: decision.Held, Cause: decision.ByBreaker, Class: class}}
	}
	asked := decision.Case{Decision: decision.Decision{Status: decision.Held, Cause: decision.ByVerdict, Class: "a"}}
	pending := decision.Case{Decision: decision.Decision{Status: decision.Pending, Class: "a"}}
	for _, c := range []struct {
		before, after decision.Case
		a, b          int
	}{
		{pending, held("a"), 6, 5}, {held("a"), pending, 4, 5}, {held("a"), held("b"), 4, 6}, {held("a"), held("a"), 5, 5}, {pending, asked, 5, 5}, {asked, held("b"), 5, 6}, {held("b"), asked, 5, 4},
	} {
		w := newWorld(t)
		w.write(records.Record(records.PKGuard, records.SKBreaker, safety.Ledger{Held: map[string]int{"a": 5, "b": 5}}, time.Time{}))
		writes, err := w.counted(t.Context(), c.before, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if len(writes) > 0 {
			w.write(writes...)
		}
		if l, err := w.book().Ledger(t.Context()); err != nil || l.V.Held["a"] != c.a || l.V.Held["b"] != c.b || len(writes) > 0 != (c.a != 5 || c.b != 5) {
			t.Errorf("%s %s to %s %s: %v, %d writes, %v", c.before.Status, c.before.Class, c.after.Status, c.after.Class, l.V.Held, len(writes), err)
		}
	}
}
