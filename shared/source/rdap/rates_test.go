package rdap

import (
	"strings"
	"testing"
	"time"
)

// TestRates: a host is one budget, whatever path a TLD has on it; who is not described is asked cautiously.
func TestRates(t *testing.T) {
	for base, want := range map[string]Rate{
		"https://rdap.publicinterestregistry.org/rdap/": {Server: "rdap.publicinterestregistry.org", PerMinute: 10, Sure: "reported"},
		"https://rdap.nominet.uk/abbvie/":               {Server: "rdap.nominet.uk", PerMinute: 120, Sure: "reported"},
		"https://rdap.centralnic.com/xyz/":              {Server: "rdap.centralnic.com", PerMinute: 120, Sure: "reported"},
		"https://rdap.verisign.com/net/v1/":             {Server: "rdap.verisign.com", PerMinute: 600, Sure: "practice"},
		"https://rdap.example.net/":                     {Server: "rdap.example.net", PerMinute: 30},
		"http://127.0.0.1:8080/rdap/":                   {Server: "127.0.0.1:8080", PerMinute: 30},
	} {
		got := RateOf(base, 0.5)
		if got.Sure != "" && (got.Source == "" || got.Read.IsZero()) {
			t.Errorf("%s: without a source or its date: %+v", base, got)
		}
		got.Source, got.Read = "", time.Time{}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", base, got, want)
		}
	}
	if every := RateOf("https://rdap.norid.no/", 2).Every(); every != 6*time.Second {
		t.Errorf("10 a minute is one every %s", every)
	}
}

// TestRatesAreOfTheBootstrap: a row whose host no TLD has helps nobody.
func TestRatesAreOfTheBootstrap(t *testing.T) {
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]bool{}
	for _, s := range c.builtin().servers {
		hosts[strings.TrimSuffix(s.host, ":443")] = true
	}
	for host := range rates() {
		if !hosts[host] {
			t.Errorf("%s is no server of the bootstrap", host)
		}
	}
}

func TestRatesRefuse(t *testing.T) {
	const good = "https://a.example/ | 10 | reported | somewhere | 2026-11-27\n"
	for name, text := range map[string]string{
		"columns": "https://a.example/ | 10\n", "url": strings.Replace(good, "https://a.example/", "a", 1), "rate": strings.Replace(good, "10", "0", 1),
		"date": strings.Replace(good, "2026-11-27", "today", 1), "twice": good + good, "sure": strings.Replace(good, "reported", "sure", 1),
		"source": strings.Replace(good, "somewhere", "", 1),
	} {
		if _, err := parseRates(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
