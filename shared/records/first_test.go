package records

import (
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// TestFirstLeft: what was due is asked at its server's rate, what is due later waits for its day, and whole is when both are
// done; 100,000 names at 10 a minute take seven days.
func TestFirstLeft(t *testing.T) {
	began := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	run := Run{FirstAt: lifecycle.At(began), First: map[string]First{
		"rdap.org.example": {Due: 100_000, PerMinute: 10},
		"rdap.com.example": {Due: 600, Later: 60, Until: lifecycle.At(began.AddDate(0, 0, 3)), PerMinute: 600},
		"rdap.tiny":        {Due: 1, PerMinute: 30},
		"rdap.broken":      {Due: 1},
	}}
	for after, want := range map[time.Duration]string{
		0: "the first scan has 100661 questions to registries left, and is whole by 7 December 22:40 UTC if they all answer (rdap.org.example 100000 at 10 a minute by 7 December 22:40 UTC, " +
			"rdap.com.example 660 at 600 a minute by 4 December 00:00 UTC, rdap.tiny 1 at 30 a minute by 1 December 00:00 UTC)",
		time.Hour: "the first scan has 99460 questions to registries left, and is whole by 7 December 22:40 UTC if they all answer (rdap.org.example 99400 at 10 a minute by 7 December 22:40 UTC, " +
			"rdap.com.example 60 at 600 a minute by 4 December 00:00 UTC)",
		-time.Hour:         "has 100661 questions",
		7 * 24 * time.Hour: "has 60 questions",
	} {
		if got := FirstWords(run.FirstLeft(began.Add(after))); !strings.Contains(got, want) {
			t.Errorf("after %s: %s", after, got)
		}
	}
	if got := FirstWords((Run{}).FirstLeft(began)); got != "" {
		t.Errorf("nothing left: %q", got)
	}
	for _, server := range []string{"a", "b", "c", "d"} {
		run.First[server] = First{Later: 1, Until: lifecycle.At(began.AddDate(0, 0, 1)), PerMinute: 1}
	}
	if got := FirstWords(run.FirstLeft(began)); !strings.Contains(got, ", and 2 more servers, each done before)") {
		t.Error(got)
	}
}

// TestUnseenWords name the TLDs with most domains.
func TestUnseenWords(t *testing.T) {
	unseen := map[string]int{}
	if got := (Run{Unseen: unseen}).UnseenWords(); got != "" {
		t.Error(got)
	}
	unseen["ch"] = 2
	if got := (Run{Unseen: unseen}).UnseenWords(); !strings.HasPrefix(got, "nobody would see a lapse of 2: ") || !strings.HasSuffix(got, "(ch 2)") {
		t.Error(got)
	}
	for _, tld := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "z"} {
		unseen[tld] = 1
	}
	unseen["z"] = 3
	if got := (Run{Unseen: unseen}).UnseenWords(); !strings.HasPrefix(got, "nobody would see a lapse of 14: ") || !strings.HasSuffix(got, "(z 3, ch 2, a 1, b 1, c 1, d 1, e 1, f 1, g 1, h 1, and 1 more TLDs)") {
		t.Error(got)
	}
	delete(unseen, "i")
	if got := (Run{Unseen: unseen}).UnseenWords(); !strings.HasSuffix(got, ", h 1)") {
		t.Error(got)
	}
}

// TestPartsOfTheFirstScanAddUp.
func TestPartsOfTheFirstScanAddUp(t *testing.T) {
	got := First{Due: 1, Later: 2, Until: 7, PerMinute: 10}.Add(First{Due: 10, Later: 20, Until: 5, PerMinute: 10})
	if want := (First{Due: 11, Later: 22, Until: 7, PerMinute: 10}); got != want || (First{}).Add(got) != want {
		t.Errorf("%+v", got)
	}
}
