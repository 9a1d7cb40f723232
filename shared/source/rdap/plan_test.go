package rdap

import (
	"testing"
	"time"
)

// TestPlan for 100,000 names over five servers; two base URLs on one host are one server.
func TestPlan(t *testing.T) {
	plan := PlanOf(map[string]int{
		"https://rdap.verisign.com/com/v1/": 50_000, "https://rdap.verisign.com/net/v1/": 5_000, "https://rdap.publicinterestregistry.org/rdap/": 20_000,
		"https://rdap.identitydigital.services/rdap/": 12_000, "https://rdap.nominet.uk/uk/": 8_000, "https://rdap.nic.example/": 5_000,
	}, 0.5)
	t.Logf("\n%s", plan)
	want := `rdap.publicinterestregistry.org        20000 questions at 10 a minute (reported): 33.3 hours
rdap.nic.example                        5000 questions at 30 a minute (cautious: its limit is not known): 2.8 hours
rdap.verisign.com                      55000 questions at 600 a minute (practice): 92 minutes
rdap.nominet.uk                         8000 questions at 120 a minute (reported): 67 minutes
rdap.identitydigital.services          12000 questions at 600 a minute (reported): 20 minutes
`
	if got := plan.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if PlanOf(map[string]int{"https://rdap.publicinterestregistry.org/rdap/": 100_000}, 0.5).Takes().Round(24*time.Hour) != 7*24*time.Hour {
		t.Error("100,000 names of .org at 10 a minute are not seven days")
	}
	if (Plan{}).Takes() != 0 || (Plan{}).String() != "" {
		t.Error("an empty plan is something")
	}
	for d, want := range map[time.Duration]string{7 * 24 * time.Hour: "7.0 days", 3 * time.Hour: "3.0 hours", 5 * time.Minute: "5 minutes", 9 * time.Second: "9 seconds"} {
		if got := long(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}
