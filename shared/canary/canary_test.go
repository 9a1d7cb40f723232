package canary

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

func TestAnUndecidedAnswerIsNeitherGoodNorBad(t *testing.T) {
	o := source.Observation{Outcome: source.Observed, Registration: &source.Registration{Deleted: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}}
	if Good(o) || Bad(o) {
		t.Errorf("good %t, bad %t", Good(o), Bad(o))
	}
}

func TestBuiltin(t *testing.T) {
	names := Builtin()
	set, err := New(names, "free")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 40 || len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("%d names, some twice or too few", len(names))
	}
	for _, tld := range []string{"com", "net", "org", "io", "de", "uk", "jp", "ru", "cn"} {
		if len(set.TLD(tld)) == 0 {
			t.Errorf("no name is known in .%s", tld)
		}
	}
	if got := set.Zone("co.uk"); !slices.Equal(got, []string{"google.co.uk", "bbc.co.uk"}) {
		t.Errorf("known in co.uk: %v", got)
	}
	if got := set.Zone("uk"); len(got) != 0 {
		t.Errorf("known directly in .uk: %v", got)
	}
	if got := set.Free("co.uk"); got != "free.co.uk" {
		t.Errorf("free: %s", got)
	}
}

func TestNewReal(t *testing.T) {
	set, err := NewReal([]string{"example.com"}, "free")
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Zone("com"); len(got) < 2 || got[0] != "example.com" || len(set.All()) != 1+len(Builtin()) {
		t.Errorf("known in com: %v, in all %d", got, len(set.All()))
	}
	if _, err := NewReal([]string{"co.uk"}, "free"); err == nil {
		t.Error("a suffix is taken as a canary")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, name := range []string{"", "com", "co.uk", "www.example.com", "no name", "127.0.0.1", strings.Repeat("x", 300) + ".com"} {
		if _, err := New([]string{name}, "free"); err == nil {
			t.Errorf("%q is taken as a canary", name)
		}
	}
}

func TestBad(t *testing.T) {
	reg := func(s ...string) source.Observation {
		return source.Observation{Outcome: source.Observed, Registration: &source.Registration{Statuses: s}}
	}
	market := func(s ...string) source.Observation {
		return source.Observation{Outcome: source.Observed, Market: &source.Market{Tokens: s}}
	}
	for _, tt := range []struct {
		o         source.Observation
		bad, good bool
	}{
		{source.Observation{Outcome: source.Absent}, true, false},
		{source.Observation{Outcome: source.Unknown, Cause: source.CauseTimeout}, false, false},
		{source.Observation{Outcome: source.Observed, Delegation: &source.Delegation{Form: source.FormReferral}}, false, true},
		{reg("active"), false, true},
		{reg("client hold"), false, true},
		{reg("active", "redemption period"), true, false},
		{reg("pending delete"), true, false},
		{reg("pending restore"), true, false},
		{market("active"), false, true},
		{market("inactive"), true, false},
		{market("zone", "expiring"), true, false},
	} {
		if Bad(tt.o) != tt.bad || Good(tt.o) != tt.good {
			t.Errorf("%+v: bad %t, good %t", tt.o, Bad(tt.o), Good(tt.o))
		}
	}
}

// TestCandidates: nearly every zone has a name; one that is known goes before a candidate; a simulated internet has none.
func TestCandidates(t *testing.T) {
	set, err := NewReal(nil, "free")
	if err != nil {
		t.Fatal(err)
	}
	if set.Candidate("academy") != "nic.academy" || set.Candidate("com") != "" || set.Candidate("co.zz") != "" || len(set.Zones()) < 1000 ||
		set.Candidate("th") != "" || set.CandidateBelow("th") != "google.co.th" || set.CandidateBelow("academy") != "nic.academy" || set.CandidateBelow("com") != "" {
		t.Errorf("%q, %q, %d zones", set.Candidate("academy"), set.Candidate("com"), len(set.Zones()))
	}
	for zone, name := range candidateOf() {
		if label, rest, ok := strings.Cut(name, "."); !ok || rest != zone || label == "" || strings.ToLower(name) != name {
			t.Errorf("the candidate of %q is %q", zone, name)
		}
	}
	simulated, err := New([]string{"control.com"}, "free")
	if err != nil || simulated.Candidate("academy") != "" || simulated.CandidateBelow("th") != "" || len(simulated.Zones()) != 1 {
		t.Errorf("%v, %q, %v", err, simulated.Candidate("academy"), simulated.Zones())
	}
}
