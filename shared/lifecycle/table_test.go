package lifecycle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/source"
)

// row is one case of a row of the table "What leads to what": the visits to a domain that was in order a day
// before t0 (or, with fresh, was never looked at), and the whole verdict of the last one.
type row struct {
	name  string
	facts Facts // com, unless set
	fresh bool
	mail  string // a lapsed mail host, known from the start
	steps []step
	want  Verdict
}

// lapsed is the time that goes into a request about a lapse first seen at hour h.
func lapsed(h float64) Instant { return instant(h).Add(-ClockMargin) }

func verdict(p Phase, a Action, c Confidence, r Reason) Verdict {
	return Verdict{Phase: p, Action: a, Confidence: c, Reason: r}
}

func (v Verdict) next(h float64) Verdict   { v.Next = instant(h); return v }
func (v Verdict) before(i Instant) Verdict { v.VerifiedBefore = i; return v }
func (v Verdict) since(i Instant) Verdict  { v.ExposedSince = i; return v }

func runRows(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			f := r.facts
			if f == (Facts{}) {
				f = com
			}
			s := NewState(instant(-day))
			if !r.fresh {
				s = known(t, f)
			}
			s.MailLapsed = r.mail
			got, v := walk(s, f, r.steps...)
			if diff := cmp.Diff(r.want, v); diff != "" {
				t.Errorf("verdict (-want +got):\n%s\n%s", diff, Sentence(got, v))
			}
			if got.Phase != v.Phase {
				t.Errorf("state is %s, verdict %s", got.Phase, v.Phase)
			}
			if again := got.RetryAt != 0 || got.Silent > 0; again != (v.Confidence == NoConfidence) {
				t.Errorf("retry at %s, registry silent %d times, with confidence %s", got.RetryAt, got.Silent, v.Confidence)
			}
		})
	}
}

var (
	de     = Facts{TLD: TLDOf("de"), Authority: AuthorityNone, Oldest: At(verified)}         // described, no RDAP
	ee     = Facts{TLD: TLDOf("ee"), Authority: AuthorityNone, Oldest: At(verified)}         // not described, no RDAP
	no     = Facts{TLD: TLDOf("no"), Authority: AuthorityIANA, Oldest: At(verified)}         // not described
	nl     = Facts{TLD: TLDOf("nl"), Authority: AuthorityIANA, Oldest: At(verified)}         // quarantine
	io     = Facts{TLD: TLDOf("io"), Authority: AuthoritySupplemental, Oldest: At(verified)} // its 404 proves nothing
	stays  = Facts{TLD: TLD{Described: true, FreeWhenAbsent: true, Redemption: 30 * 24 * time.Hour}, Authority: AuthorityIANA, Oldest: At(verified)}
	anyAge = with(com, func(f *Facts) { f.Oldest = 0 })
	optIn  = with(com, func(f *Facts) { f.GraceUnverify = true })
)

func expired(o source.Observation) source.Observation {
	return but(o, func(r *source.Registration) { r.Expires = hour(-day) })
}

func TestRowActive(t *testing.T) {
	runRows(t, []row{
		{name: "registered and delegated", steps: []step{visit(0, home(), rdap())},
			want: verdict(Active, None, High, ReasonDelegated)},
		{name: "first look", fresh: true, steps: []step{visit(0, home(), rdap())},
			want: verdict(Active, None, High, ReasonDelegated)},
		{name: "auto-renewed, delegation unchanged", steps: []step{visit(0, home(), rdap("auto renew period"))},
			want: verdict(Active, None, High, ReasonAutoRenew)},
		{name: "expiry passed, delegation unchanged", steps: []step{visit(0, home(), expired(rdap()))},
			want: verdict(Active, None, High, ReasonDelegated)},
		{name: "quiet day, registry's word of long ago", steps: []step{visit(10*day, home())},
			want: verdict(Active, None, High, ReasonDelegated)},
		{name: "delegated, registry not asked yet", fresh: true, steps: []step{visit(0, home())},
			want: verdict(Active, None, Low, ReasonDelegatedOnly)},
		{name: "delegated, registry not asked yet, next day", fresh: true, steps: []step{visit(0, home()), visit(day, home())},
			want: verdict(Active, None, Low, ReasonDelegatedOnly)},
		{name: "moved, registry not asked since", steps: []step{visit(10*day, moved())},
			want: verdict(Active, None, Low, ReasonDelegatedOnly)},
		{name: "registry alone", fresh: true, steps: []step{visit(0, rdap())},
			want: verdict(Active, None, Medium, ReasonRegistered)},
		{name: "parked, but paid", steps: []step{visit(0, parked(), rdap())},
			want: verdict(Active, None, High, ReasonDelegated)},
		{name: "no RDAP, status active", facts: de, steps: []step{visit(0, home(), status("active"))},
			want: verdict(Active, None, Low, ReasonDelegatedOnly)},
	})
}

func TestRowOutOfService(t *testing.T) {
	out := verdict(Active, Watch, Low, ReasonOutOfService)
	runRows(t, []row{
		{name: "client hold", steps: []step{visit(0, home(), rdap("client hold"))}, want: out},
		{name: "server hold and gone", steps: []step{visit(0, gone(), rdap("server hold"))}, want: out},
		{name: "inactive", steps: []step{visit(0, home(), rdap("inactive"))}, want: out},
		{name: "gone, registered", steps: []step{visit(0, gone(), rdap())}, want: out},
		{name: "no RDAP, gone, status active", facts: de, steps: []step{visit(0, gone(), status("undelegated", "active"))}, want: out},
		{name: "no RDAP, parked, status parked", facts: de, steps: []step{visit(0, parked(), status("active", "parked"))}, want: out},
		{name: "first look: gone and registered, no RDAP", facts: de, fresh: true, steps: []step{visit(0, gone(), status("undelegated", "active"))}, want: out},
	})
}

func TestRowUnknown(t *testing.T) {
	again := func(p Phase, r Reason, h float64) Verdict { return verdict(p, Confirm, NoConfidence, r).next(h + 6) }
	runRows(t, []row{
		{name: "every source unknown", steps: []step{visit(0, allUnknown()...)}, want: again(Active, ReasonUnknownSource, 0)},
		{name: "nothing asked", steps: []step{visit(0)}, want: again(Active, ReasonUnknownSource, 0)},
		{name: "every source unknown in redemption", steps: []step{visit(0, gone(), rdap("redemption period")), visit(day, allUnknown()...)},
			want: again(Redemption, ReasonUnknownSource, day)},
		{name: "DNS alone", steps: []step{visit(10*day, gone())}, want: again(Active, ReasonOneWitness, 10*day)},
		{name: "DNS alone, registry refuses", steps: []step{visit(10*day, gone(), unknown(source.SourceRDAP, source.CauseRateLimited))}, want: again(Active, ReasonOneWitness, 10*day)},
		{name: "DNS alone, parked", steps: []step{visit(10*day, parked())}, want: again(Active, ReasonOneWitness, 10*day)},
		{name: "status API alone: deleting", steps: []step{visit(10*day, status("deleting"))}, want: again(Active, ReasonOneWitness, 10*day)},
		{name: "status API alone: active", steps: []step{visit(10*day, status("active"))}, want: again(Active, ReasonUnknownSource, 10*day)},
		{name: "status and DNS where a registry has the word", steps: []step{visit(10*day, gone(), status("deleting"))}, want: again(Active, ReasonOneWitness, 10*day)},
		{name: "no RDAP, estimate", facts: de, steps: []step{visit(0, gone(), estimate("undelegated", "inactive"))}, want: again(Active, ReasonOneWitness, 0)},
		{name: "no RDAP, unlisted token", facts: de, steps: []step{visit(0, gone(), status("inactive", "surprise"))}, want: again(Active, ReasonOneWitness, 0)},
		{name: "no RDAP, inactive yet delegated", facts: de, steps: []step{visit(0, home(), status("inactive"))}, want: again(Active, ReasonOneWitness, 0)},
		{name: "404 and no answer about the delegation", fresh: true, steps: []step{visit(0, free())}, want: again(PhaseUnknown, ReasonOneWitness, 0)},
		{name: "404 of a server that IANA does not name, and gone", facts: io, steps: []step{visit(0, gone(), free())}, want: verdict(Active, Watch, Low, ReasonOutOfService)},
		{name: "404 of a server that IANA does not name, alone", facts: io, steps: []step{visit(0, free())}, want: again(Active, ReasonUnknownSource, 0)},
		{name: "expired, delegation not heard", fresh: true, steps: []step{visit(0, expired(rdap()))}, want: again(PhaseUnknown, ReasonOneWitness, 0)},
		{name: "in grace, registry silent, back home", steps: []step{visit(0, gone(), expired(rdap())), visit(2*day, home())}, want: again(Grace, ReasonOneWitness, 2*day)},
		{name: "in grace, supplemental server silent, elsewhere by status", facts: io, steps: []step{visit(0, gone(), expired(rdap())), visit(3*day, moved(), status("active"))},
			want: again(Grace, ReasonOneWitness, 3*day)},
		{name: "after an interim, delegation not heard", steps: []step{visit(0, gone(), expired(rdap())), visit(3*day, rdap())},
			want: again(Grace, ReasonUnknownSource, 3*day)},
		{name: "after an interim taken for a renewal, moved, registry silent", steps: []step{
			visit(0, parked(), expired(rdap())), visit(day, parked(), rdap()), visit(5*day, moved())},
			want: again(Active, ReasonOneWitness, 5*day)},
		{name: "no RDAP, in redemption, status unknown", facts: de, steps: []step{
			visit(0, gone(), status("expiring")), visit(7, gone(), status("expiring")), visit(day, home(), status("undelegated"))},
			want: again(Redemption, ReasonOneWitness, day)},
	})
}

func TestRowGrace(t *testing.T) {
	once := func(h float64) Verdict { return verdict(Grace, Confirm, Low, ReasonGraceOnce).next(h + 20) }
	twice := verdict(Grace, Hold, Medium, ReasonGraceTwice).before(lapsed(0))
	registrar := but(rdap(), func(r *source.Registration) { r.RegistrarExpires = hour(-3 * day) })
	runRows(t, []row{
		{name: "expired and gone, once", steps: []step{visit(0, gone(), expired(rdap()))}, want: once(0)},
		{name: "expired at this second", steps: []step{visit(0, gone(), but(rdap(), func(r *source.Registration) { r.Expires = t0 }))}, want: once(0)},
		{name: "expires a second later", steps: []step{visit(0, gone(), but(rdap(), func(r *source.Registration) { r.Expires = t0.Add(time.Second) }))},
			want: verdict(Active, Watch, Low, ReasonOutOfService)},
		{name: "expired and parked, once", steps: []step{visit(0, parked(), expired(rdap()))}, want: once(0)},
		{name: "auto-renewed and gone, once", steps: []step{visit(0, gone(), rdap("auto renew period"))}, want: once(0)},
		{name: "auto-renewed, on hold and gone, once", steps: []step{visit(0, gone(), rdap("auto renew period", "client hold"))}, want: once(0)},
		{name: "registrar's expiry passed and gone, once", steps: []step{visit(0, gone(), registrar)}, want: once(0)},
		{name: "again too early", steps: []step{visit(0, gone(), expired(rdap())), visit(19.9, gone(), expired(rdap()))}, want: once(19.9)},
		{name: "twice, gone", steps: []step{visit(0, gone(), expired(rdap())), visit(20, gone(), expired(rdap()))}, want: twice},
		{name: "twice, first gone, then parked", steps: []step{visit(0, gone(), expired(rdap())), visit(day, parked(), expired(rdap()))}, want: twice},
		{name: "twice with an unknown between", steps: []step{visit(0, gone(), expired(rdap())), visit(6, allUnknown()...), visit(day, gone(), expired(rdap()))}, want: twice},
		{name: "twice on the same day's registry answer", steps: []step{visit(0, gone(), expired(rdap())), visit(21, gone())}, want: twice},
		{name: "home between: once again", steps: []step{
			visit(0, gone(), expired(rdap())), visit(day, home(), expired(rdap())), visit(2*day, gone(), expired(rdap()))}, want: once(2 * day)},
		{name: "twice, unverify opted in", facts: optIn, steps: []step{visit(0, gone(), expired(rdap())), visit(day, gone(), expired(rdap()))},
			want: verdict(Grace, Unverify, Medium, ReasonGraceTwice).before(lapsed(0))},
		{name: "twice, opted in, verification time unknown: held", facts: with(optIn, func(f *Facts) { f.Oldest = 0 }),
			steps: []step{visit(0, gone(), expired(rdap())), visit(day, gone(), expired(rdap()))}, want: twice},
		{name: "twice, opted in, TLD not described: held", facts: with(no, func(f *Facts) { f.GraceUnverify = true }),
			steps: []step{visit(0, gone(), expired(rdap())), visit(day, gone(), expired(rdap()))}, want: twice},
	})
}

func TestRowRestore(t *testing.T) {
	want := verdict(Redemption, Hold, Medium, ReasonRestore)
	runRows(t, []row{
		{name: "pending restore", steps: []step{visit(0, gone(), rdap("pending restore", "redemption period"))}, want: want.before(lapsed(0))},
		{name: "pending restore after redemption", steps: []step{visit(0, gone(), rdap("redemption period")), visit(day, gone(), rdap("pending delete", "pending restore"))},
			want: want.before(lapsed(0))},
	})
}

func TestRowDeleted(t *testing.T) {
	red, pend := rdap("redemption period"), rdap("pending delete")
	sure := func(p Phase) Verdict { return verdict(p, Unverify, High, ReasonDeleted).before(lapsed(0)) }
	alone := verdict(Redemption, Unverify, Medium, ReasonDeletedAlone).before(lapsed(0))
	second := func(h float64) Verdict { return verdict(Redemption, Confirm, Medium, ReasonDeletedAlone).next(h + 6) }
	runRows(t, []row{
		{name: "redemption and gone", steps: []step{visit(0, gone(), red)}, want: sure(Redemption)},
		{name: "redemption beside pending delete, gone", steps: []step{visit(0, gone(), rdap("pending delete", "redemption period"))}, want: sure(Redemption)},
		{name: "pending delete and gone", steps: []step{visit(0, gone(), pend)}, want: sure(PendingDelete)},
		{name: "on the first look", fresh: true, steps: []step{visit(0, gone(), red)}, want: sure(Redemption)},
		{name: "redemption and status expiring", fresh: true, steps: []step{visit(0, red, status("undelegated", "expiring"))}, want: sure(Redemption)},
		{name: "redemption and status deleting", fresh: true, steps: []step{visit(0, red, status("deleting"))}, want: sure(Redemption)},
		{name: "redemption and an estimate", fresh: true, steps: []step{visit(0, red, estimate("deleting"))}, want: second(0)},
		{name: "the date is of the first look", steps: []step{visit(0, gone(), red), visit(31*day, gone(), pend)}, want: sure(PendingDelete)},
		{name: "the date is of the deletion, not of the grace before", steps: []step{visit(0, gone(), expired(rdap())), visit(20*day, gone(), red)},
			want: sure(Redemption).before(lapsed(20 * day))},
		{name: "the date is of the first look that found the deletion", steps: []step{visit(0, gone(), red), visit(day, gone(), red)}, want: sure(Redemption)},
		{name: "verification time unknown counts as older", facts: anyAge, steps: []step{visit(0, gone(), red)}, want: sure(Redemption)},
		{name: "supplemental server and gone", facts: io, steps: []step{visit(0, gone(), red)}, want: sure(Redemption)},
		{name: "registry alone, first look", fresh: true, steps: []step{visit(0, red)}, want: second(0)},
		{name: "registry alone, second look too early", fresh: true, steps: []step{visit(0, red), visit(5.9, red)}, want: second(5.9)},
		{name: "registry alone, second look", fresh: true, steps: []step{visit(0, red), visit(6, red)}, want: alone},
		{name: "registry alone, second look set to 12 h", facts: with(com, func(f *Facts) { f.SecondLook = 12 * time.Hour }), fresh: true,
			steps: []step{visit(0, red), visit(12, red)}, want: alone},
		{name: "registry alone, second look set to nothing: an hour", facts: with(com, func(f *Facts) { f.SecondLook = time.Second }), fresh: true,
			steps: []step{visit(0, red), visit(1, red)}, want: alone},
		{name: "below the floor of an hour", facts: with(com, func(f *Facts) { f.SecondLook = -time.Hour }), fresh: true,
			steps: []step{visit(0, red), visit(0.9, red)}, want: verdict(Redemption, Confirm, Medium, ReasonDeletedAlone).next(1.9)},
		{name: "stale delegation is none", steps: []step{visit(0, home()), visit(1.1*day, red)}, want: second(1.1 * day)},
		{name: "TLD not described: held", facts: no, steps: []step{visit(0, gone(), red)},
			want: verdict(Redemption, Hold, Medium, ReasonUndescribed).before(lapsed(0))},
		{name: "delegation may stay there, and does: second look", facts: stays, steps: []step{visit(0, home(), red)}, want: second(0)},
		{name: "delegation may stay there, status agrees", facts: stays, steps: []step{visit(0, home(), red, status("expiring"))}, want: sure(Redemption)},
	})
}

func TestRowContradiction(t *testing.T) {
	red := rdap("redemption period")
	still := verdict(Redemption, Hold, Contradiction, ReasonStillThere).before(lapsed(0))
	but404 := func(h float64) Verdict {
		return verdict(Active, Confirm, Contradiction, ReasonFreeButThere).next(h + 6)
	}
	runRows(t, []row{
		{name: "redemption yet home", steps: []step{visit(0, home(), red)}, want: still},
		{name: "redemption yet moved", steps: []step{visit(0, moved(), red)}, want: still},
		{name: "redemption yet parked", steps: []step{visit(0, parked(), red)}, want: still},
		{name: "redemption yet home, status agrees", steps: []step{visit(0, home(), red, status("expiring"))}, want: still},
		{name: "redemption yet home, for a day", steps: []step{visit(0, home(), red), visit(day, home(), red)}, want: still},
		{name: "resolved: gone", steps: []step{visit(0, home(), red), visit(6, gone(), red)},
			want: verdict(Redemption, Unverify, High, ReasonDeleted).before(lapsed(0))},
		{name: "404 yet home", steps: []step{visit(0, home(), free())}, want: but404(0)},
		{name: "404 yet home, again", steps: []step{visit(0, home(), free()), visit(19.9, home(), free())}, want: but404(19.9)},
		{name: "404 yet home, for a day", steps: []step{visit(0, home(), free()), visit(20, home(), free())},
			want: verdict(Active, Hold, Contradiction, ReasonFreeButThere).before(lapsed(20))},
		{name: "404 yet home, for a week: the date does not move", steps: []step{visit(0, home(), free()), visit(20, home(), free()), visit(7*day, home(), free())},
			want: verdict(Active, Hold, Contradiction, ReasonFreeButThere).before(lapsed(20))},
	})
}

func TestRowNoRDAP(t *testing.T) {
	first := func(p Phase, h float64) Verdict { return verdict(p, Confirm, Low, ReasonStatusDeleted).next(h + 6) }
	agreed := func(p Phase) Verdict { return verdict(p, Unverify, Medium, ReasonStatusDeleted).before(lapsed(0)) }
	twice := func(token string) []step {
		return []step{visit(0, gone(), status(token)), visit(6, gone(), status(token))}
	}
	runRows(t, []row{
		{name: "expiring, once", facts: de, steps: twice("expiring")[:1], want: first(Redemption, 0)},
		{name: "deleting, once", facts: de, steps: twice("deleting")[:1], want: first(PendingDelete, 0)},
		{name: "inactive, once", facts: de, steps: twice("inactive")[:1], want: first(Released, 0)},
		{name: "expiring, twice", facts: de, steps: twice("expiring"), want: agreed(Redemption)},
		{name: "deleting, twice", facts: de, steps: twice("deleting"), want: agreed(PendingDelete)},
		{name: "inactive, twice", facts: de, steps: twice("inactive"), want: agreed(Released).since(instant(0))},
		{name: "kinds of name set aside", facts: de, steps: []step{visit(0, gone(), status("deleting", "zone", "tld", "suffix"))}, want: first(PendingDelete, 0)},
		{name: "twice too early", facts: de, steps: []step{visit(0, gone(), status("deleting")), visit(5.9, gone(), status("deleting"))}, want: first(PendingDelete, 5.9)},
		{name: "status twice, gone once", facts: de, steps: []step{visit(0, home(), status("deleting")), visit(6, gone(), status("deleting"))}, want: first(PendingDelete, 6)},
		{name: "gone twice, status once", facts: de, steps: []step{visit(0, gone(), status("active")), visit(6, gone(), status("deleting"))}, want: first(PendingDelete, 6)},
		{name: "verification time unknown counts as older", facts: with(de, func(f *Facts) { f.Oldest = 0 }), steps: twice("deleting"), want: agreed(PendingDelete)},
		{name: "not described: held", facts: ee, steps: twice("deleting"), want: verdict(PendingDelete, Hold, Medium, ReasonUndescribed).before(lapsed(0))},
		{name: "supplemental server silent", facts: io, steps: []step{visit(2*day, gone(), status("deleting")), visit(2*day+6, gone(), status("deleting"))},
			want: verdict(PendingDelete, Unverify, Medium, ReasonStatusDeleted).before(lapsed(2 * day))},
		{name: "back home from redemption", facts: de, steps: append(twice("expiring"), visit(5*day, home(), status("active"))),
			want: verdict(Active, None, Medium, ReasonRegistered)},
		{name: "elsewhere after redemption: registered, time unknown", facts: de, steps: append(twice("expiring"), visit(5*day, moved(), status("active"))),
			want: verdict(ReRegistered, Hold, Medium, ReasonReviewNew).before(lapsed(0))},
		{name: "parked after redemption: registered, time unknown", facts: de, steps: append(twice("expiring"), visit(5*day, parked(), status("active", "parked"))),
			want: verdict(ReRegistered, Hold, Medium, ReasonReviewNew).before(lapsed(0))},
		{name: "parked after redemption, next day's quiet look", facts: de, steps: append(twice("expiring"), visit(5*day, parked(), status("active", "parked")), visit(7*day, parked())),
			want: verdict(ReRegistered, Hold, Medium, ReasonReviewNew).before(lapsed(0))},
		{name: "back after pending delete, even at home", facts: de, steps: append(twice("deleting"), visit(5*day, home(), status("active"))),
			want: verdict(ReRegistered, Hold, Medium, ReasonReviewNew).before(lapsed(0))},
		{name: "the same, next day's quiet look", facts: de, steps: append(twice("deleting"), visit(5*day, home(), status("active")), visit(7*day, home())),
			want: verdict(ReRegistered, Hold, Medium, ReasonReviewNew).before(lapsed(0))},
		{name: "parked after release, every address verified since", facts: with(de, func(f *Facts) { f.Oldest = instant(4 * day) }),
			steps: append(twice("inactive"), visit(5*day, parked(), status("active", "parked"))), want: verdict(Active, Watch, Low, ReasonOutOfService)},
		{name: "back after release, every address verified since", facts: with(de, func(f *Facts) { f.Oldest = instant(4 * day) }),
			steps: append(twice("inactive"), visit(5*day, moved(), status("active"))), want: verdict(Active, None, Medium, ReasonRegistered)},
	})
}

func TestRowReleased(t *testing.T) {
	red := rdap("redemption period")
	freed := func(c Confidence, h float64) Verdict {
		return verdict(Released, Unverify, c, ReasonReleased).since(instant(h))
	}
	first := func(h float64) Verdict { return verdict(Released, Confirm, Medium, ReasonReleased).next(h + 6) }
	held := verdict(Released, Hold, Medium, ReasonUndescribed)
	hidden := verdict(Released, Hold, Medium, ReasonQuarantine)
	runRows(t, []row{
		{name: "404 and gone, first look", steps: []step{visit(0, gone(), free())}, want: first(0)},
		{name: "second look too early", steps: []step{visit(0, gone(), free()), visit(5.9, gone(), free())}, want: first(5.9)},
		{name: "second look", steps: []step{visit(0, gone(), free()), visit(6, gone(), free())}, want: freed(Medium, 0).before(lapsed(0))},
		{name: "verification time unknown counts as older", facts: anyAge, steps: []step{visit(0, gone(), free()), visit(6, gone(), free())}, want: freed(Medium, 0).before(lapsed(0))},
		{name: "at once after redemption", steps: []step{visit(0, gone(), red), visit(35*day, gone(), free())}, want: freed(High, 35*day).before(lapsed(0))},
		{name: "at once after pending delete", steps: []step{visit(0, gone(), rdap("pending delete")), visit(5*day, gone(), free())}, want: freed(High, 5*day).before(lapsed(0))},
		{name: "and stays so an hour later", steps: []step{visit(0, gone(), red), visit(35*day, gone(), free()), visit(35*day+1, gone(), free())},
			want: freed(High, 35*day).before(lapsed(0))},
		{name: "second look after grace", steps: []step{visit(0, gone(), expired(rdap())), visit(day, gone(), free())}, want: first(day)},
		{name: "not described: held", facts: no, steps: []step{visit(0, gone(), free()), visit(6, gone(), free())}, want: held.before(lapsed(0))},
		{name: "quarantine: a 404 is not freedom: held", facts: nl, steps: []step{visit(0, gone(), free())}, want: hidden.before(lapsed(0))},
		{name: "quarantine: held on the next day too", facts: nl, steps: []step{visit(0, gone(), free()), visit(day, gone(), free())}, want: hidden.before(lapsed(0))},
		{name: "quarantine: after redemption, at once", facts: nl, steps: []step{visit(0, gone(), red), visit(40*day, gone(), free())}, want: freed(High, 40*day).before(lapsed(0))},
		{name: "quarantine: after grace, held too", facts: nl, steps: []step{visit(0, gone(), expired(rdap())), visit(day, gone(), free())},
			want: hidden.before(lapsed(day))},
	})
}

func TestRowReRegistered(t *testing.T) {
	red := rdap("redemption period")
	anew := func(h float64) source.Observation { return dated(rdap(), hour(h)) }
	sure := func(h float64) Verdict {
		return verdict(ReRegistered, Unverify, High, ReasonReRegistered).before(instant(h)).since(instant(h))
	}
	review := verdict(ReRegistered, Hold, Medium, ReasonReviewNew)
	at := func(i Instant) Verdict { return review.before(i).since(i) }
	first := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	runRows(t, []row{
		{name: "after redemption", steps: []step{visit(0, gone(), red), visit(36*day, moved(), anew(35*day))}, want: sure(35 * day)},
		{name: "after pending delete", steps: []step{visit(0, gone(), rdap("pending delete")), visit(6*day, moved(), anew(5*day))}, want: sure(5 * day)},
		{name: "after release", steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12))}, want: sure(12)},
		{name: "at the old name servers", steps: []step{visit(0, gone(), free()), visit(day, home(), anew(12))}, want: sure(12)},
		{name: "not yet delegated", steps: []step{visit(0, gone(), free()), visit(day, gone(), anew(12))}, want: sure(12)},
		{name: "next day", steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12)), visit(2*day, moved(), anew(12))}, want: sure(12)},
		{name: "registry silent since: not on its word of days ago", steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12)), visit(50*day, moved())},
			want: verdict(ReRegistered, Confirm, NoConfidence, ReasonOneWitness).next(50*day + Weekly.Hours())},
		{name: "registry silent since the zone changed", steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12)), visit(3*day, home())},
			want: verdict(ReRegistered, Confirm, NoConfidence, ReasonOneWitness).next(3*day + Weekly.Hours())},
		{name: "a day after the verification", facts: with(com, func(f *Facts) { f.Oldest = instant(-12) }),
			steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12))}, want: sure(12)},
		{name: "within a day of the verification", facts: with(com, func(f *Facts) { f.Oldest = instant(-11.9) }),
			steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12))}, want: at(instant(12))},
		{name: "every address verified since", facts: with(com, func(f *Facts) { f.Oldest = instant(12) }),
			steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12))}, want: verdict(Active, None, High, ReasonDelegated)},
		{name: "lapse not seen: first scan", fresh: true, steps: []step{visit(0, home(), dated(rdap(), first))}, want: at(At(first))},
		{name: "lapse not seen: the date does not move", fresh: true, steps: []step{visit(0, home(), dated(rdap(), first)), visit(3*day, home(), dated(rdap(), first))}, want: at(At(first))},
		{name: "lapse not seen: a quiet look later", fresh: true, steps: []step{visit(0, home(), dated(rdap(), first)), visit(3*day, home())}, want: at(At(first))},
		{name: "lapse not seen: the date moved", steps: []step{visit(40*day, moved(), anew(20*day))}, want: at(instant(20 * day))},
		{name: "the date moved by hours: two registrars' clocks", steps: []step{visit(0, home(), dated(rdap(), registered.Add(20*time.Hour)))},
			want: verdict(Active, None, High, ReasonDelegated)},
		{name: "verification time unknown, date moved", facts: anyAge, steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12))}, want: at(instant(12))},
		{name: "verification time unknown, the date moved by hours", facts: anyAge, steps: []step{visit(0, home(), dated(rdap(), registered.Add(20*time.Hour)))},
			want: verdict(Active, None, High, ReasonDelegated)},
		{name: "verification time unknown, the date moved by more than a day", facts: anyAge, steps: []step{visit(0, home(), dated(rdap(), registered.Add(25*time.Hour)))},
			want: at(At(registered.Add(25 * time.Hour)))},
		{name: "verification time unknown, nothing moved", facts: anyAge, steps: []step{visit(0, home(), rdap())}, want: verdict(Active, None, High, ReasonDelegated)},
		{name: "time unknown after release", steps: []step{visit(0, gone(), free()), visit(day, moved(), dated(rdap(), time.Time{}))}, want: review.before(lapsed(0))},
		{name: "time unknown after pending delete", steps: []step{visit(0, gone(), rdap("pending delete")), visit(day, moved(), dated(rdap(), time.Time{}))}, want: review.before(lapsed(0))},
		{name: "time unknown, next day", steps: []step{visit(0, gone(), free()), visit(day, moved(), dated(rdap(), time.Time{})), visit(2*day, moved(), dated(rdap(), time.Time{}))},
			want: review.before(lapsed(0))},
		{name: "time unknown, every address verified since", facts: with(com, func(f *Facts) { f.Oldest = instant(1) }),
			steps: []step{visit(0, gone(), free()), visit(day, moved(), dated(rdap(), time.Time{}))}, want: verdict(Active, None, High, ReasonDelegated)},
		{name: "no date at all, nothing seen", fresh: true, steps: []step{visit(0, home(), dated(rdap(), time.Time{}))}, want: verdict(Active, None, High, ReasonDelegated)},
		{name: "a date ahead of us: held, and the request ends now", steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(9*day))}, want: at(instant(day))},
		{name: "TLD not described: held", facts: no, steps: []step{visit(0, gone(), free()), visit(day, moved(), anew(12))}, want: at(instant(12))},
		{name: "404 by mistake, same registration", steps: []step{visit(0, gone(), free()), visit(day, home(), rdap())}, want: verdict(Active, None, High, ReasonDelegated)},
	})
}

func TestRowChangedHands(t *testing.T) {
	review := verdict(ChangedHands, Hold, Medium, ReasonReviewHands)
	watch := verdict(ChangedHands, Watch, Low, ReasonNewControl)
	other := but(rdap(), func(r *source.Registration) { r.Registrar = "1479" })
	handed := but(rdap(), func(r *source.Registration) { r.Transferred = hour(day) })
	transferred := func(o source.Observation, at time.Time) source.Observation {
		return but(o, func(r *source.Registration) { r.Transferred = at })
	}
	sale := []step{visit(0, parked(), expired(rdap())), visit(day, parked(), expired(rdap()))}
	runRows(t, []row{
		{name: "interim, then new name servers", steps: append(sale, visit(9*day, moved(), rdap())), want: review.before(lapsed(0))},
		{name: "interim seen once, then new name servers and registrar", steps: []step{visit(0, gone(), expired(rdap())), visit(day, moved(), other)}, want: review.before(lapsed(0))},
		{name: "next quiet day", steps: append(sale, visit(9*day, moved(), rdap()), visit(12*day, moved())), want: review.before(lapsed(0))},
		{name: "interim, taken for a renewal, then new name servers", steps: append(sale, visit(2*day, parked(), rdap()), visit(9*day, moved(), rdap()), visit(10*day, moved(), rdap())),
			want: review.before(lapsed(day))},
		{name: "without interim: moved, then another registrar", steps: []step{visit(day, moved()), visit(day, other)}, want: watch},
		{name: "without interim: in one visit", steps: []step{visit(day, moved(), other)}, want: watch},
		{name: "without interim: a newer transfer", steps: []step{visit(0, home(), transferred(rdap(), registered)), visit(2*day, moved(), handed)}, want: watch},
		{name: "a transfer date that appears first is no transfer", steps: []step{visit(2*day, moved(), handed)}, want: verdict(Active, None, High, ReasonDelegated)},
		{name: "without interim: quiet look", steps: []step{visit(day, moved(), other), visit(9*day, moved())}, want: watch},
		{name: "without interim: still watched on day 44", steps: []step{visit(0, moved(), other), visit(44*day, moved(), other)}, want: watch},
		{name: "without interim: home after 45 days", steps: []step{visit(0, moved(), other), visit(45*day, moved(), other)}, want: verdict(Active, None, High, ReasonDelegated)},
		{name: "another registrar, same name servers", steps: []step{visit(0, home(), other)}, want: verdict(Active, None, High, ReasonDelegated)},
		{name: "other name servers, same registrar", steps: []step{visit(0, moved(), rdap())}, want: verdict(Active, None, High, ReasonDelegated)},
	})
}

func TestRowMailHost(t *testing.T) {
	held := verdict(Active, Hold, Low, ReasonMailHost).before(lapsed(0))
	const host = "mail-host.example"
	runRows(t, []row{
		{name: "registered and delegated", mail: host, steps: []step{visit(0, home(), rdap())}, want: held},
		{name: "quiet look", mail: host, steps: []step{visit(0, home())}, want: held},
		{name: "registry not fresh", mail: host, steps: []step{visit(0, home()), visit(9*day, home())}, want: held},
		{name: "no RDAP", facts: de, mail: host, steps: []step{visit(0, home(), status("active"))}, want: held},
		{name: "no RDAP, out of service", facts: de, mail: host, steps: []step{visit(0, gone(), status("active"))}, want: held},
		{name: "the date does not move", mail: host, steps: []step{visit(0, home(), rdap()), visit(4*day, home(), rdap())}, want: held},
		{name: "auto-renewed", mail: host, steps: []step{visit(0, home(), rdap("auto renew period"))}, want: held},
		{name: "on hold", mail: host, steps: []step{visit(0, home(), rdap("client hold"))}, want: held},
		{name: "in grace, once", mail: host, steps: []step{visit(0, gone(), expired(rdap()))}, want: verdict(Grace, Hold, Low, ReasonMailHost).before(lapsed(0))},
		{name: "deletion counts for more", mail: host, steps: []step{visit(0, gone(), rdap("redemption period"))},
			want: verdict(Redemption, Unverify, High, ReasonDeleted).before(lapsed(0))},
		{name: "restored, mail host still lapsed: a date of its own", mail: host, steps: []step{visit(0, gone(), rdap("redemption period")), visit(3*day, home(), rdap())},
			want: verdict(Active, Hold, Low, ReasonMailHost).before(lapsed(3 * day))},
		{name: "review of new control stays", mail: host, steps: []step{visit(0, parked(), expired(rdap())), visit(day, moved(), rdap()), visit(3*day, moved())},
			want: verdict(ChangedHands, Hold, Medium, ReasonReviewHands).before(lapsed(0))},
	})
}
