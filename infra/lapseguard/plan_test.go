package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

type orgOnly struct{}

func (orgOnly) Server(tld string) (string, bool, bool) {
	return "https://rdap.publicinterestregistry.org/rdap/", true, tld == "org"
}

// TestFirstScan: a domain is asked about once, whatever hosts it has, and an interrupted scan goes on where it was.
func TestFirstScan(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	hosts := []registry.HostCount{{Host: "localhost"}, {Host: "a.test"}, {Host: "mail.d-0.org"}}
	for i := range 100 {
		hosts = append(hosts, registry.HostCount{Host: fmt.Sprintf("d-%d.org", i)})
	}
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for answered, want := range map[int]string{
		0:  "2026-11-27 12:10 UTC, if they all answer:\nrdap.publicinterestregistry.org          100 questions at 10 a minute (reported): 10 minutes\n",
		70: "2026-11-27 12:03 UTC, if they all answer:\nrdap.publicinterestregistry.org           30 questions at 10 a minute (reported): 3 minutes\n",
		90: "",
	} {
		for i := range 100 {
			d, err := records.In(s).Domain(t.Context(), fmt.Sprintf("d-%d.org", i))
			if err != nil {
				t.Fatal(err)
			}
			if d.State.RegAt = 0; i < answered {
				d.State.RegAt = lifecycle.At(now)
			}
			if err := s.Write(t.Context(), d.Put()); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := firstScan(t.Context(), s, orgOnly{}, hosts, 0.5, now)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if writePlan(&out, plan, now); !strings.HasSuffix(out.String(), want) || (want == "") != (out.Len() == 0) {
			t.Errorf("%d answered: %q", answered, out.String())
		}
	}
}

// TestTheTimeLeftIsThePlans: it is of what the registry was not asked yet, whoever asked before, and no rate since the start.
func TestTheTimeLeftIsThePlans(t *testing.T) {
	plan := rdap.PlanOf(map[string]int{"https://rdap.publicinterestregistry.org/rdap/": 30, "https://rdap.verisign.com/com/v1/": 100}, 0.5)
	for asked, want := range map[int]string{0: "about 3m0s left", 10: "about 2m0s left", 29: "about 6s left", 30: "", 40: ""} {
		line := timeLeft(plan, map[string]int{"https://rdap.publicinterestregistry.org/rdap/": asked, "https://rdap.verisign.com/com/v1/": 100})
		if line != want {
			t.Errorf("%d asked: %q", asked, line)
		}
	}
	if plan.Takes() != 3*time.Minute {
		t.Error("the plan itself was changed")
	}
}
