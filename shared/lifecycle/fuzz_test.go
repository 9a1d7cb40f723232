package lifecycle

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// FuzzVisit throws any stored state and any answers at judgement: it never panics, never unverifies without a good
// witness, and what it stores can be read back.
func FuzzVisit(f *testing.F) {
	seed := func(s State, answers string) {
		text, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte(answers), int64(instant(0)))
	}
	seed(NewState(instant(0)), "\x00\x00\x00\x00")
	seed(known(f, com), "\x01\x02\x03\x04\x05\x06\x07\x08")
	s, _ := walk(known(f, com), com, visit(-1, gone(), rdap("redemption period")))
	seed(s, "\xff\x08\x10\x20\x40\x80")
	s, _ = walk(known(f, com), com, visit(-7, gone(), free()))
	seed(s, "\x00\x09\x02\x00\x01")
	seed(State{Phase: "rubbish", Reg: "rubbish", RegAt: instant(-1), Deleg: "rubbish", Mkt: "rubbish", LapseAt: -1, Worst: "rubbish"}, "rubbish")
	f.Fuzz(func(t *testing.T, stored, answers []byte, now int64) {
		var s State
		if json.Unmarshal(stored, &s) != nil || now < 1 || now > 1<<40 {
			return
		}
		facts, obs := fuzzVisit(answers, now)
		next, v := Visit(s, obs, facts, Instant(now))
		text, err := json.Marshal(next)
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if Sentence(next, v) == "" {
			t.Error("no sentence")
		}
		Questions(s, next, facts, v, Instant(now), source.SourceDelegation, false)
		if v.Action == Unverify {
			keepsPromises(t, next, v, facts, Instant(now))
		}
		good := false
		for _, o := range obs {
			good = good || credible(o, facts.Authority)
		}
		if !good && (v.Action == Unverify || next.Phase != s.Phase) {
			t.Errorf("without an answer %s became %s, %s", s.Phase, next.Phase, v.Action)
		}
	})
}

// fuzzVisit makes facts and answers of bytes, as long as they last.
func fuzzVisit(b []byte, now int64) (Facts, []source.Observation) {
	next := func() int {
		if len(b) == 0 {
			return 0
		}
		n := int(b[0])
		b = b[1:]
		return n
	}
	when := func() time.Time {
		switch n := next(); {
		case n == 0:
			return time.Time{}
		case n < 200:
			return time.Unix(now-int64(n)*int64(n)*3600, 0)
		case len(b) >= 8:
			i := int64(binary.LittleEndian.Uint64(b)) // any time at all
			b = b[8:]
			return time.Unix(i%(1<<50), 0)
		default:
			return time.Unix(now+int64(n)*3600, 0)
		}
	}
	bits := next()
	f := Facts{
		TLD:       TLD{Described: bits&1 == 0, OffInDeletion: bits&2 == 0, FreeWhenAbsent: bits&4 == 0, Redemption: time.Duration(bits>>6) * 24 * time.Hour},
		Authority: []Authority{AuthorityIANA, AuthoritySupplemental, AuthorityNone, "rubbish"}[bits>>3&3], GraceUnverify: bits&32 != 0,
		Oldest: At(when()), SecondLook: time.Duration(next()-20) * time.Hour,
	}
	if f.SecondLook < 0 { // as good as any byte, and keeps the others where they are
		f.TLD.Ask, f.TLD.Words = source.SourceStatus, "pending delete = redemption period, rubbish = pending delete"
	}
	words := []string{"active", "auto renew period", "client hold", "inactive", "pending restore", "redemption period", "pending delete", "rubbish"}
	tokens := []string{"active", "inactive", "expiring", "deleting", "undelegated", "premium", "zone", "rubbish"}
	var obs []source.Observation
	for len(b) > 0 && len(obs) < 6 {
		n := next()
		o := source.Observation{Source: []source.Source{source.SourceDelegation, source.SourceRDAP, source.SourceStatus, source.SourceMail}[n&3], At: time.Unix(now-int64(n>>5)*3600, 0)}
		o.Outcome = []source.Outcome{source.Observed, source.Observed, source.Absent, source.Unknown}[n>>2&3]
		switch k := next(); {
		case o.Outcome != source.Observed:
		case o.Source == source.SourceDelegation:
			o.Delegation = &source.Delegation{NS: [][]string{homeNS, movedNS, parkedNS, nil}[k&3], Form: source.FormReferral}
		case o.Source == source.SourceRDAP:
			o.Registration = &source.Registration{
				Statuses: []string{words[k&7]}, Registered: when(), Expires: when(), RegistrarExpires: when(), Transferred: when(), Registrar: strings.Repeat("1", k>>6),
			}
		case o.Source == source.SourceStatus:
			o.Market = &source.Market{Tokens: []string{tokens[k&7], tokens[k>>3&7]}, Precise: k&64 == 0}
		}
		obs = append(obs, o)
	}
	return f, obs
}
