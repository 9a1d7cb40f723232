package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestAListIsReadWholeOrRefused: an audit that drops lines in silence is worse than none, and no part of a line that
// is no host may reach a report.
func TestAListIsReadWholeOrRefused(t *testing.T) {
	for name, tc := range map[string]struct{ csv, refused string }{
		"a quote that never closes": {"email,verified_at\n\"a@one.example,\nb@two.example,2020-01-01\nc@three.example,\n", "line 2: "},
		"after blank lines":         {"email,verified_at\n\n\na@one.example,\n\nb@two.example,yesterday\n", "line 6: "},
	} {
		if _, err := readAddresses(strings.NewReader(tc.csv)); err == nil || !strings.Contains(err.Error(), tc.refused) || strings.Contains(err.Error(), "@") {
			t.Errorf("%s: %v, want an error with %q and no address", name, err, tc.refused)
		}
	}
	c, err := readAddresses(strings.NewReader("email\na@one.example/bob.secret\nb@two.example?subject=hi\nc@three.example;d@four.example\ne@five.example\n"))
	if err != nil || c.addresses != 1 || c.unusable != 3 {
		t.Errorf("%d addresses, %d unusable (%v), want 1 and 3", c.addresses, c.unusable, err)
	}
}

// TestTimesThatCannotBeAreUnknown: an oldest verification that lies in the future would hide every lapse.
func TestTimesThatCannotBeAreUnknown(t *testing.T) {
	c, err := readAddresses(strings.NewReader("email,verified_at\na@future.example,2126-01-01\nb@past.example,1969-12-31\nc@mixed.example,2020-01-01\nd@mixed.example,9999-12-31\ne@sound.example,2020-01-01\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n := c.doubt(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)); n != 3 {
		t.Errorf("%d hosts with times that cannot be, want 3", n)
	}
	for _, h := range c.hosts {
		if known := !h.Oldest.IsZero(); known != (h.Host == "sound.example") {
			t.Errorf("%+v", h)
		}
	}
}

func TestUpstreamsThatCanOnlyFailAreRefused(t *testing.T) {
	for name, u := range map[string]upstreams{
		"LAPSEGUARD_RDAP_RATE":   {RDAPRate: 0},
		"RDAP_RATE":              {RDAPRate: math.NaN()},
		"LAPSEGUARD_DNS_SERVERS": {RDAPRate: 2, DNS: []string{"nonsense"}},
	} {
		if err := u.check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want an error that names %s", u, err, name)
		}
	}
	if err := (upstreams{RDAPRate: 2, DNS: []string{"127.0.0.1:53", "[::1]:53"}}).check(); err != nil {
		t.Error(err)
	}
}
