package safety

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/domain"
)

func TestHoldStale(t *testing.T) {
	h := Hold{Since: t0}
	for after, want := range map[time.Duration]bool{0: false, StaleHold: false, StaleHold + 1: true, -time.Hour: false} {
		if got := h.Stale(t0.Add(after)); got != want {
			t.Errorf("after %s: %t", after, got)
		}
	}
	h.ApprovedAt = t0.Add(time.Hour)
	if h.Stale(t0.Add(30 * 24 * time.Hour)) {
		t.Error("an approved hold waits for nobody")
	}
}

func TestHoldAffecting(t *testing.T) {
	given := []string{"b.example", "a.example", "b.example"}
	h := Hold{}.Affecting(given)
	if !slices.Equal(h.Affected, []string{"a.example", "b.example"}) || given[0] != "b.example" {
		t.Errorf("%v of %v", h.Affected, given)
	}
	var many []string
	for i := range 3 * MaxAffected {
		many = append(many, fmt.Sprintf("%04d.example", i))
	}
	for n, want := range map[int]int{0: 0, MaxAffected: MaxAffected, MaxAffected + 1: MaxAffected, 3 * MaxAffected: MaxAffected} {
		if got := len(Hold{}.Affecting(many[:n]).Affected); got != want {
			t.Errorf("%d of %d", got, n)
		}
	}
}

func TestHoldSurvivesJSON(t *testing.T) {
	h := Hold{
		Domain: "lapsed.example", Why: "why", Reason: "reason", Phase: "grace", Action: "hold", Confidence: "medium", Sentence: "evidence", Since: t0, Class: redemption,
		DecisionID: "lapsed.example:lapse:1", Addresses: 3, ApprovedBy: "Ada", ApprovedAt: t0, Affected: []string{"a.example"},
	}
	for _, h := range []Hold{h, {Since: t0}} {
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var back Hold
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, back); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
		if h.ApprovedAt.IsZero() && strings.Contains(string(text), "approved") {
			t.Errorf("undecided, and yet %s", text)
		}
	}
}

func TestProtected(t *testing.T) {
	mine := []string{"Example.ORG.", " *.corp.example ", "", "."}
	for name, want := range map[string]bool{
		"gmail.com": true, "GMail.com.": true, "googlemail.com": true, "outlook.com": true, "hotmail.co.uk": true, "yahoo.co.jp": true, "icloud.com": true, "me.com": true,
		"proton.me": true, "gmx.net": true, "web.de": true, "qq.com": true, "163.com": true, "mail.ru": true, "yandex.ru": true, "fastmail.com": true, "aol.com": true,
		"zoho.com": true, "naver.com": true, "users.noreply.github.com": true, "privaterelay.appleid.com": true,
		"example.org": true, "mail.example.org": true, "corp.example": true, "a.corp.example": true,
		"notgmail.com": false, "gmail.com.evil.example": false, "com": false, "": false, ".": false, "lapsed.example": false, "org": false, "gmail": false,
	} {
		if got := Protected(name, mine); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
	if Protected("example.org", nil) {
		t.Error("example.org is protected by nobody")
	}
}

// Every line of the data file is a registrable domain, written once and in canonical form.
func TestProtectedList(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(protectedList) {
		line, _, _ = strings.Cut(line, "#")
		for name := range strings.FieldsSeq(line) {
			if seen[name] {
				t.Errorf("%s stands there twice", name)
			}
			seen[name] = true
			if parsed, reason := domain.Parse(name); reason != "" || parsed.Registrable != name {
				t.Errorf("%s: registrable is %q (%s)", name, parsed.Registrable, reason)
			}
		}
	}
	if len(seen) < 200 {
		t.Errorf("only %d domains", len(seen))
	}
}
