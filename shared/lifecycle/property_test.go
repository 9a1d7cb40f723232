package lifecycle

import (
	cmpx "cmp"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/source"
)

// Generators. Histories are made by visits, so that every state is one that can come about.

func genFacts(t *rapid.T) Facts {
	f := Facts{
		TLD: TLD{Described: rapid.Bool().Draw(t, "described"), OffInDeletion: rapid.Bool().Draw(t, "off"), FreeWhenAbsent: rapid.Bool().Draw(t, "free"),
			Ask: rapid.SampledFrom([]source.Source{source.SourceRDAP, source.SourceRDAP, source.SourceStatus}).Draw(t, "ask"), Words: rapid.SampledFrom([]Words{"", "", "pending delete = redemption period", "something new = on hold"}).Draw(t, "own words"),
			Redemption: time.Duration(rapid.IntRange(0, 3).Draw(t, "redemption")) * 15 * 24 * time.Hour, Release: time.Duration(rapid.IntRange(0, 40).Draw(t, "path")) * 24 * time.Hour},
		Authority:     rapid.SampledFrom([]Authority{AuthorityIANA, AuthorityIANA, AuthoritySupplemental, AuthorityNone}).Draw(t, "authority"),
		Oldest:        rapid.SampledFrom([]Instant{0, At(verified), instant(-100 * day), instant(5 * day), instant(20 * day)}).Draw(t, "oldest"),
		GraceUnverify: rapid.Bool().Draw(t, "grace"),
	}
	f.SecondLook = time.Duration(rapid.IntRange(0, 20).Draw(t, "second look")) * time.Hour
	return f
}

var genNS = rapid.SampledFrom([][]string{homeNS, homeNS, movedNS, parkedNS, nil})

func genDelegation(t *rapid.T) source.Observation {
	if rapid.Bool().Draw(t, "gone") {
		return gone()
	}
	o := ns(genNS.Draw(t, "ns"))
	o.Delegation.Form = rapid.SampledFrom([]string{source.FormReferral, source.FormAuthority, source.FormNoData}).Draw(t, "form")
	return o
}

// genWords are what a registry says: one of the words that judgement knows, with others beside it.
var genWords = rapid.SampledFrom([][]string{
	{}, {"active"}, {"client transfer prohibited"}, {"auto renew period"}, {"auto renew period", "client hold"}, {"client hold"}, {"inactive"},
	{"pending restore"}, {"redemption period"}, {"pending delete", "redemption period"}, {"pending delete"}, {"something new"},
})

func genDates(t *rapid.T, o source.Observation) source.Observation {
	when := rapid.SampledFrom([]time.Time{{}, registered, hour(-90 * day), hour(-2), hour(3 * day), hour(15 * day), hour(100 * day)})
	return but(o, func(r *source.Registration) {
		r.Registered = when.Draw(t, "registered")
		r.Expires = when.Draw(t, "expires")
		r.RegistrarExpires = when.Draw(t, "registrar expires")
		r.Transferred = when.Draw(t, "transferred")
		r.Registrar = rapid.SampledFrom([]string{"", "146", "1479"}).Draw(t, "registrar")
	})
}

func genRDAP(t *rapid.T) source.Observation {
	if rapid.IntRange(0, 4).Draw(t, "404") == 0 {
		return free()
	}
	return genDates(t, rdap(genWords.Draw(t, "words")...))
}

func genStatus(t *rapid.T) source.Observation {
	o := status(rapid.SampledFrom([]string{"active", "inactive", "expiring", "deleting", "undelegated", "premium", "zone", "odd"}).Draw(t, "token"), "zone")
	o.Market.Precise = rapid.IntRange(0, 3).Draw(t, "estimate") != 0
	return o
}

func genUnknown(t *rapid.T) source.Observation {
	o := unknown(rapid.SampledFrom([]source.Source{source.SourceDelegation, source.SourceRDAP, source.SourceStatus, source.SourceMail}).Draw(t, "source"),
		rapid.SampledFrom([]source.Cause{source.CauseTimeout, source.CauseRateLimited, source.CauseServfail, source.CauseNotAuthority, source.CauseNone}).Draw(t, "cause"))
	return o
}

// genGood are answers of different sources.
func genGood(t *rapid.T) []source.Observation {
	var obs []source.Observation
	which := rapid.IntRange(1, 7).Draw(t, "sources")
	if which&1 != 0 {
		obs = append(obs, genDelegation(t))
	}
	if which&2 != 0 {
		obs = append(obs, genRDAP(t))
	}
	if which&4 != 0 {
		obs = append(obs, genStatus(t))
	}
	return obs
}

func genUnknowns(t *rapid.T) []source.Observation {
	return rapid.SliceOfN(rapid.Custom(genUnknown), 1, 4).Draw(t, "unknown")
}

// genState makes a few visits over days and gives the state and the hour of the next visit.
func genState(t *rapid.T, f Facts) (State, float64) {
	h := -day
	s := NewState(instant(h))
	for range rapid.IntRange(0, 6).Draw(t, "visits") {
		obs := genGood(t)
		if rapid.IntRange(0, 9).Draw(t, "silence") == 0 {
			obs = genUnknowns(t)
		}
		s, _ = Visit(s, at(hour(h), obs), f, instant(h))
		if rapid.IntRange(0, 15).Draw(t, "mail host") == 0 {
			s.MailLapsed = "mail-host.example"
		}
		h += rapid.SampledFrom([]float64{0, 1, 6, 7, 20, day, 40, 9 * day, 60 * day}).Draw(t, "pause")
	}
	return s, h
}

// With the delegation gone, a worse word of the registry never gives a lower phase; for one word, a delegation that
// is gone never asks for less than one at home. Given are a TLD whose absence the registry has the authority to
// state, and addresses that were verified under the registration that the registry states: otherwise "registered"
// can be the worst word of all. The status API is silent.
func TestWorseIsNeverLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		f.Authority, f.Oldest = AuthorityIANA, At(verified)
		s, h := genState(t, f)
		dates := genDates(t, rdap())
		dates.Registration.Registered = registered
		s.Registered, s.Moved = At(registered), 0
		if s.Home == "" {
			s.Home = source.Fingerprint(homeNS)
		}
		hosts := homeNS
		for _, set := range [][]string{movedNS, parkedNS, {}} {
			if source.Fingerprint(set) == s.Home {
				hosts = set
			}
		}
		judged := func(d source.Observation, words ...string) Verdict {
			r := but(dates, func(r *source.Registration) { r.Statuses = words })
			if words == nil {
				r = free()
			}
			_, v := Visit(s, at(hour(h), []source.Observation{d, r}), f, instant(h))
			return v
		}
		words := [][]string{{"active"}, {"auto renew period"}, {"redemption period"}, {"pending delete"}, nil}
		for i, w := range words {
			away := judged(gone(), w...)
			if i > 0 {
				if better := judged(gone(), words[i-1]...); better.Phase.Risk() > away.Phase.Risk() {
					t.Errorf("gone: %v gives %s, %v gives %s", words[i-1], better.Phase, w, away.Phase)
				}
			}
			if in := judged(ns(hosts), w...); in.Action.Weight() > away.Action.Weight() {
				t.Errorf("%v: home asks for %s (%s), gone for %s (%s)", w, in.Action, in.Reason, away.Action, away.Reason)
			}
		}
	})
}

func TestUnknownNeverActs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, h := genState(t, f)
		unknowns := genUnknowns(t)
		next, v := Visit(s, at(hour(h), unknowns), f, instant(h))
		if again := cmpx.Or(next.RetryAt, next.NextRDAP); v.Action != Confirm || v.Confidence != NoConfidence || v.Phase != s.Phase || v.Next != again {
			t.Errorf("%+v in phase %s", v, s.Phase)
		}
		if other := func(o source.Observation) bool { return o.Source != source.SourceRDAP }; slices.ContainsFunc(unknowns, other) {
			if v.Next != instant(h+6) {
				t.Errorf("looked at again at %s", v.Next)
			}
		} else {
			s.NextRDAP, s.Silent = next.NextRDAP, s.Silent+1 // how long the registry is left alone is not what is thought of the domain
		}
		s.RetryAt, s.First = next.RetryAt, next.First
		if diff := cmp.Diff(s, next); diff != "" {
			t.Errorf("an unknown changed the state:\n%s", diff)
		}
	})
}

func TestUnknownBesideAnswersChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, h := genState(t, f)
		good := at(hour(h), genGood(t))
		if !slices.ContainsFunc(good, func(o source.Observation) bool { return credible(o, f.authority()) }) {
			return // then there is nothing that would not be known
		}
		more := slices.Concat(at(hour(h), genUnknowns(t)), good, at(hour(h), genUnknowns(t)))
		a, va := Visit(s, good, f, instant(h))
		b, vb := Visit(s, more, f, instant(h))
		if diff := cmp.Diff(va, vb) + cmp.Diff(a, b); diff != "" {
			t.Errorf("unknown answers changed the outcome:\n%s", diff)
		}
	})
}

func TestOrderOfAnswersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, h := genState(t, f)
		obs := at(hour(h), genGood(t))
		if rapid.Bool().Draw(t, "two registries' answers") { // of different servers, or of different seconds
			second := genRDAP(t)
			second.Server, second.At = "https://rdap.example/", hour(h).Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "later"))*time.Second)
			obs = append(obs, second)
		}
		other := rapid.Permutation(obs).Draw(t, "order")
		a, va := Visit(s, obs, f, instant(h))
		b, vb := Visit(s, other, f, instant(h))
		if diff := cmp.Diff(va, vb) + cmp.Diff(a, b); diff != "" {
			t.Errorf("another order, another outcome:\n%s", diff)
		}
	})
}

// The same visit twice: a message that is delivered twice does no harm.
func TestVisitTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, h := genState(t, f)
		obs := at(hour(h), genGood(t))
		if !slices.ContainsFunc(obs, func(o source.Observation) bool { return credible(o, f.authority()) }) {
			return // a question in vain counts twice: the registry is left alone for longer
		}
		once, v := Visit(s, obs, f, instant(h))
		twice, w := Visit(once, obs, f, instant(h))
		if once.RetryAt != 0 && twice.RetryAt != 0 {
			twice.RetryAt = once.RetryAt // it follows the registry's turn, which the first time moved on
		}
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Errorf("the second time changed the state:\n%s", diff)
		}
		if v.Action != w.Action || v.Phase != w.Phase || v.VerifiedBefore != w.VerifiedBefore || v.ExposedSince != w.ExposedSince {
			t.Errorf("first %+v, then %+v", v, w)
		}
	})
}

func TestStateSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, _ := genState(t, f)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if back != s {
			t.Errorf("%+v became %+v", s, back)
		}
	})
}

// What every verdict keeps to, whatever came before.
func TestVerdictKeepsItsPromises(t *testing.T) {
	may := allowed()
	rapid.Check(t, func(t *rapid.T) {
		f := genFacts(t)
		s, h := genState(t, f)
		obs := at(hour(h), genGood(t))
		next, v := Visit(s, obs, f, instant(h))
		keepsPromises(t, next, v, f, instant(h))
		if s.Phase != next.Phase && !may[[2]Phase{s.Phase, next.Phase}] {
			t.Errorf("%s became %s", s.Phase, next.Phase)
		}
	})
}

type failer interface{ Errorf(string, ...any) }

// keepsPromises audits one verdict against what the design says of all of them.
func keepsPromises(t failer, s State, v Verdict, f Facts, now Instant) {
	fresh := func(at Instant) bool { return at != 0 && now.Since(at) <= Freshness }
	out := []Word{WordRedemption, WordPendingDelete, WordAbsent}
	registry := fresh(s.RegAt) && slices.Contains(out, s.Reg)
	stands := slices.Contains(out, s.Reg) && s.RegAt >= s.DelegSince // the registry's last word, while the zone says the same
	market := fresh(s.MktAt) && s.MktFine && slices.Contains(out, s.Mkt) && (f.Authority != AuthorityIANA || stands) && fresh(s.DelegAt) && s.Deleg == DelegationGone
	again := fresh(s.RegAt) && v.Phase == ReRegistered && f.Oldest != 0 && s.Registered.Since(f.Oldest) >= Margin && s.Registered <= now
	grace := fresh(s.RegAt) && fresh(s.DelegAt) && v.Phase == Grace && f.GraceUnverify && f.Oldest != 0 && (s.Deleg == DelegationGone || s.Deleg == DelegationParked)
	if v.Action == Unverify {
		if !registry && !market && !again && !grace {
			t.Errorf("unverify without a good witness: %+v from %+v", v, s)
		}
		if !f.TLD.Described {
			t.Errorf("unverify in a TLD that nobody described: %+v", v)
		}
		if v.Confidence != High && v.Confidence != Medium {
			t.Errorf("unverify with confidence %s", v.Confidence)
		}
		if v.VerifiedBefore == 0 {
			t.Errorf("unverify without a date: %+v", v)
		}
	}
	if v.VerifiedBefore > now || v.ExposedSince > now {
		t.Errorf("a date ahead of now: %+v", v)
	}
	if (v.Action == Confirm) != (v.Next > now) {
		t.Errorf("confirm means a next look, and only confirm: %+v", v)
	}
	if v.Phase != s.Phase {
		t.Errorf("state says %s, verdict %s", s.Phase, v.Phase)
	}
}
