package bill

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/template"
)

// limits are what a million domains may cost a month, in US dollars: the daily watch, and with the looks between the runs
// that bring recovery back soon after it was closed.
const watchLimit, looksLimit = 10, 2

func TestAMillionDomainsCostAtMostTenDollarsAndTheirLooksTwo(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	m := Assumptions()
	for _, tt := range []struct {
		name string
		kind Kind
		most float64
	}{{"the daily watch", WithoutLooks, watchLimit}, {"with its looks between the runs", Usual, watchLimit + looksLimit}} {
		last := 0.0
		for _, n := range []int{1000, 100_000, 1_000_000} {
			lines, err := m.Bill(tpl, n, tt.kind)
			if err != nil {
				t.Fatal(err)
			}
			sum, err := Total(lines)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				if l.Quantity < 0 {
					t.Errorf("%d domains: %s: %v", n, l.What, l.Quantity)
				}
			}
			t.Logf("%s of %d domains: %.2f dollars", tt.name, n, sum)
			if sum <= last || sum > tt.most {
				t.Errorf("%s of %d domains costs %.2f dollars a month, want more than %.2f and at most %.0f", tt.name, n, sum, last, tt.most)
			}
			last = sum
		}
	}
}

func TestEveryAssumptionAndPriceIsPrintedAndUsed(t *testing.T) {
	var out bytes.Buffer
	if err := Print(&out); err != nil {
		t.Fatal(err)
	}
	for name, a := range Assumptions() {
		if !strings.Contains(out.String(), a.text) {
			t.Errorf("the assumption %s is not printed", name)
		}
	}
	source, err := os.ReadFile("model.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prices() {
		if !strings.Contains(string(source), `"`+p.key+`"`) {
			t.Errorf("the price %s is not used", p.key)
		}
	}
	for name := range Assumptions() {
		if !strings.Contains(string(source), `m["`+name+`"].value`) {
			t.Errorf("the assumption %s is not used", name)
		}
	}
	if _, err := time.Parse(time.DateOnly, PricesOf); err != nil || !strings.Contains(out.String(), PricesOf) || !strings.Contains(out.String(), PricesIn) {
		t.Errorf("date %q and region %q of the prices: %v", PricesOf, PricesIn, err)
	}
}

// TestTheModelIsTheCodes: what could not be imported is compared.
func TestTheModelIsTheCodes(t *testing.T) {
	dir, err := template.Dir()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(dir, "functions", "handler", "fanout", "dispatch.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`maxBuffered = ([0-9_]+)`).FindSubmatch(source)
	if found == nil || strings.ReplaceAll(string(found[1]), "_", "") != "60000" || maxBuffered != 60_000 {
		t.Errorf("fanout holds back %s domains, the model %d", found, maxBuffered)
	}
	sum := 0.0
	for _, s := range zones() {
		sum += s
	}
	if sum < 0.999 || sum > 1.001 {
		t.Errorf("the zones' shares add up to %v", sum)
	}
	if got, least := dispatch(100_000, 100), 1000; got < least || got > 4*least {
		t.Errorf("100,000 domains fill %d messages of at most 100", got)
	}
}
