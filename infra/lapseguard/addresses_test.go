package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestTimesThatCannotBeAreUnknown: an oldest verification that lies in the future would hide every lapse.
func TestTimesThatCannotBeAreUnknown(t *testing.T) {
	c, err := readAddresses(strings.NewReader("email,verified_at\na@future.example,2126-01-01\nb@past.example,1969-12-31\nc@mixed.example,2020-01-01\nd@mixed.example,9999-12-31\ne@sound.example,2020-01-01\n"), columns{})
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
