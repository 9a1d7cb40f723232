package lifecycle

import (
	"cmp"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// Facts are what judgement needs beside state and answers.
type Facts struct {
	TLD TLD
	// Authority is what the RDAP server of this TLD is worth; without IANA's word the status API stands in.
	Authority Authority
	// Oldest is the oldest verification time among the domain's addresses; 0 when any is unknown.
	Oldest Instant
	// GraceUnverify: the operator opted in to unverify in the grace period (GRACE_ACTION=unverify).
	GraceUnverify bool
	// Control: names whose answer is known are asked of the zone before its bad news is believed.
	Control bool
	// SecondLook is the distance of the two looks that must agree; 0 is the default SecondLook. Below
	// MinSecondLook it counts as MinSecondLook.
	SecondLook time.Duration
}

// Authority is what is known of a TLD's RDAP server.
type Authority string

// The authorities.
const (
	AuthorityNone         Authority = "none"         // no server is known
	AuthoritySupplemental Authority = "supplemental" // a server that IANA does not name: its 404 proves nothing
	AuthorityIANA         Authority = "iana"         // named by IANA's bootstrap file (RFC 9224)
)

// authority is what the TLD's RDAP server is worth to judgement: a supplemental one that the TLD's data says not to
// ask is none.
func (f Facts) authority() Authority {
	if f.Authority == AuthoritySupplemental && f.TLD.Ask == source.SourceStatus {
		return AuthorityNone
	}
	return f.Authority
}

// RegistryAsked tells whether the RDAP server of a suffix is asked at all; authoritative: IANA's bootstrap names it.
func RegistryAsked(suffix string, authoritative bool) bool {
	f := Facts{TLD: TLDOf(suffix), Authority: AuthoritySupplemental}
	return authoritative || f.authority() != AuthorityNone
}

// noRDAP: no server has the authority to say that a name is absent.
func (f Facts) noRDAP() bool { return f.authority() != AuthorityIANA }

func (f Facts) secondLook() time.Duration {
	if f.SecondLook == 0 {
		return SecondLook
	}
	return max(f.SecondLook, MinSecondLook)
}

// Verdict is what a visit came to.
type Verdict struct {
	Phase      Phase
	Action     Action
	Confidence Confidence
	Reason     Reason
	// Next is when the domain is to be looked at again outside the daily round; 0: the daily round is enough.
	Next Instant
	// VerifiedBefore and ExposedSince go into the request of an unverify: addresses verified before the first
	// were verified by whoever held the domain then; since the second others may hold it (0: nobody yet).
	VerifiedBefore, ExposedSince Instant
}

// Visit folds the observations of one visit into the state and judges it. It is a pure function; the order of
// the observations does not matter. A visit in which every source is unknown changes neither phase nor
// milestones and asks for another look.
//
// Of the TLD's facts (tld.txt) it uses: Words, for what a status means; Described, OffInDeletion and Redemption, for
// whether a deletion is believed; FreeWhenAbsent, for whether a 404 is; Ask, for whether an RDAP server counts;
// Release, for when the registry is asked next.
func Visit(s State, obs []source.Observation, f Facts, now Instant) (State, Verdict) {
	next, good := observe(s, obs, f)
	if !good {
		next = unheard(next, obs, now)
		return next, Verdict{Phase: next.Phase, Action: Confirm, Confidence: NoConfidence, Reason: ReasonUnknownSource, Next: cmp.Or(next.RetryAt, next.NextRDAP)}
	}
	j := judge{s: next, f: f, now: now}
	v := j.decide()
	if begins := v.Phase.lapsing() && !s.Phase.lapsing(); begins || v.Phase == Active && v.Action == Hold && s.Phase != Active {
		j.s = j.s.afresh() // a new lapse is not judged, nor dated, by the milestones of an earlier one
		v = j.decide()
	}
	next = j.settle(v)
	next.RetryAt = 0
	if v.Confidence == NoConfidence {
		next.RetryAt = v.Next
	}
	registry := func(o source.Observation) bool {
		return credible(o, f.authority()) && (o.Source == source.SourceRDAP || o.Source == source.SourceStatus && f.authority() == AuthorityNone)
	}
	if next = control(s, next, f, now); slices.ContainsFunc(obs, registry) {
		next.Silent = 0
		next.NextRDAP = nextRDAP(next, f.TLD, now)
	}
	return next, v
}

// judge holds one judgement's input. Its methods read one row of the decision table each.
type judge struct {
	s   State
	f   Facts
	now Instant
}

func (j judge) fresh(at Instant) bool { return at != 0 && j.now.Since(at) <= Freshness }

// delegation is the fresh word of the zone above, DelegationUnknown when it is stale or was never heard.
func (j judge) delegation() Delegated {
	if !j.fresh(j.s.DelegAt) {
		return DelegationUnknown
	}
	return j.s.Deleg
}

// registry is the registry's word: a fresh one, or the last, while the zone says what it said when that was given. What
// is done about it asks for a fresh one (Freshness); what is thought of a domain does not change with an answer's age.
func (j judge) registry() Word {
	stands := j.s.RegAt >= j.s.DelegSince && j.s.DelegSince != 0 && j.fresh(j.s.DelegAt)
	if j.s.RegAt == 0 || !stands && !j.fresh(j.s.RegAt) {
		return WordNone
	}
	return j.s.Reg
}

// market is the fresh and precise word of the status API.
func (j judge) market() Word {
	if !j.fresh(j.s.MktAt) || !j.s.MktFine {
		return WordNone
	}
	return j.s.Mkt
}

func (j judge) decide() Verdict {
	switch j.registry() {
	case WordRestore:
		return j.hold(Redemption, evidence{registry: true}, ReasonRestore)
	case WordRedemption:
		return j.deleted(Redemption)
	case WordPendingDelete:
		return j.deleted(PendingDelete)
	case WordAbsent:
		return j.absent()
	case WordRegistered, WordOnHold, WordInactive, WordAutoRenew:
		return j.registered()
	case WordNone, WordUndecided:
	}
	return j.withoutRegistry()
}

// deleted: the registry says that the name is on its way out. Where nobody described the TLD, or it is said to know
// no such time, what the word means is for a person to find out.
func (j judge) deleted(p Phase) Verdict {
	d := j.delegation()
	there := d == DelegationHome || d == DelegationMoved || d == DelegationParked
	second := d == DelegationGone || slices.Contains([]Word{WordRedemption, WordPendingDelete}, j.market())
	e := evidence{registry: true, other: second, against: there && j.f.TLD.OffInDeletion}
	switch {
	case e.against:
		return j.hold(p, e, ReasonStillThere)
	case !j.f.TLD.Described, p == Redemption && j.f.TLD.Redemption == 0:
		return j.hold(p, evidence{registry: true}, ReasonUndescribed)
	case second:
		return j.unverify(p, e, ReasonDeleted)
	case j.s.RegAt.Since(j.s.RegSince) >= j.f.secondLook():
		return j.unverify(p, e, ReasonDeletedAlone)
	default:
		return j.confirm(p, e, ReasonDeletedAlone, j.f.secondLook())
	}
}

// absent: the authoritative server says that there is no such object. That the zone has none either is no second
// witness, for both come from one database; a deletion that was seen before is.
func (j judge) absent() Verdict {
	deleted := j.s.Worst == Redemption || j.s.Worst == PendingDelete
	e := evidence{registry: true, other: deleted, against: j.delegation() != DelegationGone}
	switch d := j.delegation(); {
	case d == DelegationUnknown:
		return j.confirm(j.s.Phase, evidence{}, ReasonOneWitness, RetryLook)
	case e.against && j.s.RegAt.Since(j.s.RegSince) >= GraceLook:
		return j.hold(j.s.Phase, e, ReasonFreeButThere)
	case e.against:
		return j.confirm(j.s.Phase, e, ReasonFreeButThere, RetryLook)
	case !j.f.TLD.Described:
		return j.hold(Released, evidence{registry: true}, ReasonUndescribed)
	case !j.f.TLD.FreeWhenAbsent && !deleted:
		return j.hold(Released, e, ReasonQuarantine)
	case deleted, j.s.RegAt.Since(j.s.RegSince) >= j.f.secondLook():
		return j.unverify(Released, e, ReasonReleased)
	default:
		return j.confirm(Released, e, ReasonReleased, j.f.secondLook())
	}
}

// expired tells whether the registry says that the registration's end has passed, paid or not.
func (j judge) expired() bool {
	return j.registry() == WordAutoRenew || j.passed(j.s.Expires) || j.passed(j.s.RegistrarExpires)
}

// registered: the registry says that somebody holds the name. Who, and since when?
func (j judge) registered() Verdict {
	if v, ok := j.reRegistered(); ok {
		return v
	}
	d := j.delegation()
	off := d == DelegationGone || d == DelegationParked
	twice := j.s.GraceAt != 0 && j.s.DelegAt.Since(j.s.GraceAt) >= GraceLook
	signs := evidence{registry: true, other: true, sign: true, again: twice || j.s.Interim != 0 && d == DelegationMoved}
	switch {
	case off && j.expired() && twice:
		if j.f.GraceUnverify && j.f.TLD.Described && j.f.Oldest != 0 {
			return j.unverify(Grace, signs, ReasonGraceTwice)
		}
		return j.hold(Grace, signs, ReasonGraceTwice)
	case off && j.expired() && j.s.MailLapsed != "":
		return j.hold(Grace, evidence{other: true, sign: true}, ReasonMailHost)
	case off && j.expired():
		return j.confirm(Grace, signs, ReasonGraceOnce, GraceLook)
	case j.s.Interim != 0 && d == DelegationMoved:
		return j.hold(ChangedHands, signs, ReasonReviewHands)
	case j.s.Interim != 0 && d == DelegationUnknown:
		return j.confirm(j.s.Phase, evidence{}, ReasonUnknownSource, RetryLook)
	case d == DelegationUnknown && j.expired():
		return j.confirm(j.s.Phase, evidence{}, ReasonOneWitness, RetryLook)
	case j.s.MailLapsed != "":
		return j.hold(Active, evidence{other: true, sign: true}, ReasonMailHost)
	case d != DelegationUnknown && j.newControl():
		return j.watchNewControl()
	case d == DelegationUnknown && j.newControl(): // an unknown answer ends no watch
		return j.confirm(j.s.Phase, evidence{}, ReasonUnknownSource, RetryLook)
	case d == DelegationGone, j.registry() == WordOnHold, j.registry() == WordInactive:
		return j.say(Active, Watch, evidence{registry: true, sign: true}, ReasonOutOfService)
	case d == DelegationUnknown:
		return j.say(Active, None, evidence{registry: true}, ReasonRegistered)
	case j.registry() == WordAutoRenew:
		return j.say(Active, None, evidence{registry: true, other: true}, ReasonAutoRenew)
	default:
		return j.say(Active, None, evidence{registry: true, other: true}, ReasonDelegated)
	}
}

// watchNewControl is the verdict on new control that no gap explains: most likely its holder moved it.
func (j judge) watchNewControl() Verdict {
	return j.say(ChangedHands, Watch, evidence{registry: true, other: true, sign: true}, ReasonNewControl)
}

// newControl: the name servers and the registration changed lately, both.
func (j judge) newControl() bool {
	return j.s.Deleg == DelegationMoved && j.s.ControlAt != 0 && j.now.Since(j.s.ControlAt) < NewControl
}

func (j judge) passed(expiry Instant) bool { return expiry != 0 && expiry <= j.now }

// reRegistered judges a registration date that is later than the oldest verification. Where the TLD's words are
// not described, what we took for a lapse may have been none.
func (j judge) reRegistered() (Verdict, bool) {
	seen := j.s.Worst == Redemption || j.s.Worst == PendingDelete || j.s.Worst == Released
	again := j.s.Moved != 0 || seen && j.s.Registered > j.s.LapseAt
	sure := seen && again && j.f.TLD.Described && j.s.Registered <= j.now
	switch after := j.s.Registered.Since(j.f.Oldest); {
	case j.s.Registered == 0:
		return j.registeredSometime()
	case j.f.Oldest != 0 && after <= 0:
		return Verdict{}, false // every address was verified under this registration
	case j.f.Oldest == 0 && !again:
		return Verdict{}, false // nothing says that the registration is newer than the addresses
	case j.f.Oldest != 0 && after >= Margin && sure:
		return j.since(j.unverify(ReRegistered, evidence{registry: true, other: seen}, ReasonReRegistered)), true
	default:
		return j.since(j.hold(ReRegistered, evidence{registry: true}, ReasonReviewNew)), true
	}
}

// since dates the request of a re-registered domain by the registration.
func (j judge) since(v Verdict) Verdict {
	if v.Action == Confirm {
		return v
	}
	v.VerifiedBefore = min(j.s.Registered, j.now)
	v.ExposedSince = v.VerifiedBefore
	return v
}

// registeredSometime judges a name that nobody could restore any more and that is registered again, nobody says
// since when. It is settled when every address was verified since.
func (j judge) registeredSometime() (Verdict, bool) {
	gone := j.s.Phase == PendingDelete || j.s.Phase == Released || j.s.Phase == ReRegistered
	if !gone || j.f.Oldest > j.s.LapseAt {
		return Verdict{}, false
	}
	return j.hold(ReRegistered, evidence{registry: true}, ReasonReviewNew), true
}

// withoutRegistry: no registry to ask, or it gave no answer that is still fresh.
func (j judge) withoutRegistry() Verdict {
	d, m := j.delegation(), j.market()
	lapsing := map[Word]Phase{WordRedemption: Redemption, WordPendingDelete: PendingDelete, WordAbsent: Released}
	there := d == DelegationHome || d == DelegationMoved || d == DelegationParked
	quiet := j.s.Phase == Active || j.s.Phase == PhaseUnknown || j.s.Phase == ChangedHands && j.s.Interim == 0
	switch p, bad := lapsing[m]; {
	case bad && d == DelegationGone && j.f.noRDAP():
		return j.deletedByStatus(p)
	case m == WordRegistered && (d == DelegationGone || d == DelegationParked) && j.f.noRDAP() && quiet:
		return j.unlessMail(Watch, evidence{other: true, sign: true}, ReasonOutOfService)
	case m == WordRegistered && there && j.f.noRDAP() && j.s.Phase.lapsing() && j.s.Phase != Grace:
		return j.backByStatus(d)
	case bad, d == DelegationGone, d == DelegationParked && j.s.Phase != ReRegistered, j.s.Phase.lapsing(), j.s.Interim != 0 && d == DelegationMoved && quiet:
		return j.confirm(j.s.Phase, evidence{}, ReasonOneWitness, RetryLook)
	case j.s.MailLapsed != "" && quiet:
		return j.hold(Active, evidence{other: true, sign: true}, ReasonMailHost)
	case d == DelegationUnknown:
		return j.confirm(j.s.Phase, evidence{}, ReasonUnknownSource, RetryLook)
	case j.s.Phase == PhaseUnknown && !j.newControl():
		return j.say(Active, None, evidence{other: true}, ReasonDelegatedOnly)
	default: // the zone delegates it: registered, whatever else; the phase stays
		return j.keep()
	}
}

// deletedByStatus: no registry can be asked; the status API says deleted, and the zone that it is gone. Both
// must have said so twice.
func (j judge) deletedByStatus(p Phase) Verdict {
	e := evidence{other: true, again: min(j.s.MktAt.Since(j.s.MktSince), j.s.DelegAt.Since(j.s.DelegSince)) >= j.f.secondLook()}
	switch {
	case !e.again:
		return j.confirm(p, e, ReasonStatusDeleted, j.f.secondLook())
	case !j.f.TLD.Described:
		return j.hold(p, e, ReasonUndescribed)
	default:
		return j.unverify(p, e, ReasonStatusDeleted)
	}
}

// backByStatus: no registry can be asked; after a deletion the status API and the zone both say that somebody
// has the name. A return home from redemption is a restore; else it may be anybody's new registration.
func (j judge) backByStatus(d Delegated) Verdict {
	switch restored := j.s.Phase == Redemption && d == DelegationHome; {
	case !restored && j.f.Oldest <= j.s.LapseAt:
		return j.hold(ReRegistered, evidence{other: true, again: true}, ReasonReviewNew)
	case d == DelegationParked:
		return j.unlessMail(Watch, evidence{other: true, sign: true}, ReasonOutOfService)
	case j.s.MailLapsed == "" && j.newControl():
		return j.watchNewControl()
	default:
		return j.unlessMail(None, evidence{other: true, again: true}, ReasonRegistered) // as before the lapse, or as verified since
	}
}

// unlessMail is the verdict on a domain whose holder has it, unless its mail host lapsed.
func (j judge) unlessMail(a Action, e evidence, r Reason) Verdict {
	if j.s.MailLapsed != "" {
		return j.hold(Active, evidence{other: true, sign: true}, ReasonMailHost)
	}
	return j.say(Active, a, e, r)
}

// keep is the verdict of a quiet look between two looks at the registry.
func (j judge) keep() Verdict {
	switch j.s.Phase {
	case ChangedHands:
		if j.s.Interim != 0 {
			return j.hold(ChangedHands, evidence{registry: true, other: true, sign: true, again: true}, ReasonReviewHands)
		}
		return j.watchNewControl()
	case ReRegistered:
		switch v, still := j.reRegistered(); {
		case still && v.Action == Unverify, !still && j.s.Deleg == DelegationParked: // not on a registry's word of days ago
			return j.confirm(ReRegistered, evidence{}, ReasonOneWitness, RetryLook)
		case still:
			return v
		}
	case Active, Grace, Redemption, PendingDelete, Released, PhaseUnknown:
	}
	switch {
	case j.s.MailLapsed == "" && j.newControl():
		return j.watchNewControl()
	case j.s.Reg == WordNone && j.s.Silent >= inVain:
		return j.unlessMail(None, evidence{other: true}, ReasonSilent)
	case j.s.Reg == WordNone || j.s.Reg == WordUndecided || j.s.Deleg == DelegationMoved:
		return j.unlessMail(None, evidence{other: true}, ReasonDelegatedOnly)
	default:
		return j.unlessMail(None, evidence{registry: true, other: true}, ReasonDelegated)
	}
}

// say is a verdict that asks nothing of anybody: its confidence follows from the evidence, as all confidences do.
func (j judge) say(p Phase, a Action, e evidence, r Reason) Verdict {
	return Verdict{Phase: p, Action: a, Confidence: e.confidence(), Reason: r}
}

func (j judge) hold(p Phase, e evidence, r Reason) Verdict {
	v := j.say(p, Hold, e, r)
	v.VerifiedBefore = j.stageAt(p).Add(-ClockMargin)
	return v
}

func (j judge) confirm(p Phase, e evidence, r Reason, after time.Duration) Verdict {
	v := j.say(p, Confirm, e, r)
	v.Next = j.now.Add(after)
	return v
}

// unverify rests on a fresh word of somebody. What was decided stays meanwhile, and is not acted on (Freshness).
func (j judge) unverify(p Phase, e evidence, r Reason) Verdict {
	// Fresh and precise, or none; of grace, in which its holder renews within hours, the registry alone knows.
	market := p != Grace && slices.Contains([]Word{WordRedemption, WordPendingDelete, WordAbsent}, j.market())
	if !j.fresh(j.s.RegAt) && !market {
		return j.confirm(j.s.Phase, evidence{}, ReasonOneWitness, min(Weekly, max(RetryLook, j.s.NextRDAP.Since(j.now))))
	}
	v := j.hold(p, e, r)
	v.Action = Unverify
	switch {
	case p == Released && j.registry() == WordAbsent:
		v.ExposedSince = j.s.RegSince
	case p == Released:
		v.ExposedSince = j.s.MktSince
	}
	return v
}

// lapseAt is when the current lapse was first observed: now, if this visit is the one; for a change of hands the
// interim, if the lapse before it was taken for a renewal.
func (j judge) lapseAt(p Phase) Instant {
	switch {
	case j.s.LapseAt != 0:
		return min(j.s.LapseAt, j.now)
	case p == ChangedHands && j.s.Interim != 0:
		return min(j.s.Interim, j.now)
	default:
		return j.now
	}
}

// stageAt is when the stage of the lapse was first observed that a request is about: before the deletion, or after it.
// Who verified in between had the domain still.
func (j judge) stageAt(p Phase) Instant {
	switch {
	case !p.deleted():
		return j.lapseAt(p)
	case j.s.Deleted != 0:
		return min(j.s.Deleted, j.now)
	case j.s.Phase.deleted() && j.s.LapseAt != 0: // stored by a version that did not note it
		return j.lapseAt(p)
	default:
		return j.now
	}
}

// settle writes the verdict's consequences into the state: phase, milestones, and what counts as home.
func (j judge) settle(v Verdict) State {
	s := j.s
	if w := j.registry(); v.Phase == ReRegistered && s.Phase.lapsing() && (w == WordNone || w == WordUndecided) {
		s.Registered = 0 // the date we had is the old registration's
	}
	if v.Phase != s.Phase {
		s.Phase, s.Since = v.Phase, j.now
	}
	if v.Phase.lapsing() || v.Action == Hold && s.LapseAt == 0 {
		s.LapseAt = j.lapseAt(v.Phase) // a hold dates its request too: approved days later it must not have moved
	}
	switch {
	case v.Phase.deleted():
		s.Deleted = j.stageAt(v.Phase)
	case v.Phase == Grace: // restored, and not renewed yet
		s.Deleted = 0
	}
	deleted := s.Worst == Redemption || s.Worst == PendingDelete // a release after a deletion stays one
	if v.Phase.lapsing() && v.Phase.Risk() > s.Worst.Risk() && !(deleted && v.Phase == Released) {
		s.Worst = v.Phase
	}
	if v.Phase == ReRegistered || v.Phase.Risk() >= Redemption.Risk() && v.Phase.lapsing() {
		s.Interim, s.GraceAt = 0, 0 // what follows a deletion is a restore or a new registration, no hand-over
	}
	if v.Phase == Grace && v.Confidence != NoConfidence {
		if s.GraceAt == 0 {
			s.GraceAt = j.now
		}
		s.Interim = j.now
	}
	if v.Phase == Active && (v.Action == None || v.Action == Watch) {
		s = j.renewed(s)
	}
	return s
}

// renewed ends a lapse: the registry, or the zone, says that the same holder has the name.
func (j judge) renewed(s State) State {
	s = s.afresh()
	if s.Deleg == DelegationHome {
		s.Interim = 0
	}
	return j.settled(s)
}

// settled takes other name servers for the holder's, with no gap open: once the registry, where there is one, spoke
// since, which may know of another registrar, and the resolver, which may know another MX. Those of a parking service, on which the name was first seen, become home if the registry says that it has not expired.
func (j judge) settled(s State) State {
	a := j.f.authority()
	heard := a != AuthorityIANA && a != AuthoritySupplemental || s.RegAt >= s.DelegSince && s.Reg != WordUndecided
	heard = heard && (s.Control.MX == "" || s.Control.MXAt >= s.DelegSince)
	paid := s.Home == "" && s.Interim == 0 && j.registry() == WordRegistered && !j.expired()
	since := cmp.Or(s.Control.Since, s.Control.Away)
	continuous := since == 0 || j.verifiedSince(since)
	if continuous && s.Deleg == DelegationMoved && heard || s.Deleg == DelegationParked && paid {
		s.Home, s.Deleg = s.NS, DelegationHome
	}
	return s
}

// afresh is the state without the milestones of a lapse. The interim stays until the delegation is home.
func (s State) afresh() State {
	s.LapseAt, s.Deleted, s.Worst, s.GraceAt, s.Moved = 0, 0, "", 0, 0
	return s
}

// Questions names the next source to ask after a visit that asked asked, given the state before and after it:
// the registry after the delegation, when its look is due, when the tripwire moved, or when the domain is in
// trouble; the status API only where it can be the second witness of a deletion, or where no registry has the
// authority, or none that the TLD's data says to ask (TLD.Ask). look asks every source that can be asked, due or not.
// Of a domain that looks lost the registry is asked for the first time at once, also after its own name servers.
// Sources are asked one after the other, so that each answer is judged with those before it.
func Questions(before, after State, f Facts, v Verdict, now Instant, asked source.Source, look bool) []source.Source {
	tripped := before.Deleg != DelegationUnknown && (before.Deleg != after.Deleg || before.NS != after.NS)
	opening := after.openingDue() != 0 && after.openingDue() <= now
	unheard := before.RetryAt != 0 && after.RetryAt != 0 // once is a mishap; a zone that stays silent has the registry asked in its place
	urgent := after.Silent == 0 && (opening || (after.Trouble() || unheard) && (after.RegAt == 0 || now.Since(after.RegAt) >= after.pause()))
	due := look || tripped || urgent || after.NextRDAP <= now || after.askedFirst()
	switch {
	case asked == source.SourceServers && after.askedFirst() && f.authority() != AuthorityNone:
		return []source.Source{source.SourceRDAP}
	case asked == source.SourceDelegation && due && f.authority() != AuthorityNone:
		return []source.Source{source.SourceRDAP}
	case asked == source.SourceDelegation && due:
		return []source.Source{source.SourceStatus}
	case asked == source.SourceRDAP && (v.Reason == ReasonDeletedAlone || f.authority() != AuthorityIANA && after.Deleg != DelegationHome):
		return []source.Source{source.SourceStatus}
	default:
		return nil
	}
}
