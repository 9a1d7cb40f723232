package nameserver

import (
	"strings"
	"testing"
)

func TestTables(t *testing.T) {
	for _, f := range append(providers(), sacrificial()...) {
		if len(f.Patterns) == 0 || f.Name == "" || f.Source == "" || f.AsOf.IsZero() {
			t.Errorf("%+v lacks something", f)
		}
		for _, p := range f.Patterns {
			if strings.Count(p, ".") < 1 || strings.HasSuffix(p, "*") {
				t.Errorf("%s: %q would match a stranger's names", f.Name, p)
			}
		}
	}
	if n := len(providers()); n < 40 {
		t.Errorf("%d providers were read", n)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		"claimable\tX\tns1.x.com\tT",                  // no date
		"perhaps\tX\tns1.x.com\tT\t2025-03-03",        // no such status
		"claimable\tX\tns1.x.com\tT\tlately",          // no date either
		"claimable\tX\tNS1.x.com\tT\t2025-03-03",      // names are lower case
		"claimable\tX\tns[1.x.com\tT\t2025-03-03",     // no pattern
		"claimable\tX\tns1.x.com\tT\t2025-03-03\tand", // too much
	} {
		if facts, err := parse(line, Claimable); err == nil {
			t.Errorf("%q was taken as %+v", line, facts)
		}
	}
}

func TestGivesAway(t *testing.T) {
	for host, want := range map[string]string{
		"ns2.digitalocean.com": "Digital Ocean", "ns10.dnsmadeeasy.com": "DNSMadeEasy", "ns1abc.name.com": "Name.com",
		"ns-cloud-a1.googledomains.com": "Google Cloud", "ns1-07.azure-dns.com": "Azure (Microsoft)",
		"ns-1536.awsdns-00.co.uk": "", "ada.ns.cloudflare.com": "", "dns1.p01.nsone.net": "", "ns1.example.com": "",
		"ns2.digitalocean.com.example.org": "", "xns2.digitalocean.com": "",
	} {
		f, ok := GivesAway([]string{"ns1.unknown.example", host})
		if f.Name != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", host, f.Name, want)
		}
	}
	f, _ := GivesAway([]string{"ns1.reg.ru"})
	if got := f.Claim(); got != "anybody can claim this zone at Reg.ru, after a purchase" {
		t.Errorf("said %q", got)
	}
	if ClaimAt("Reg.ru") != f.Claim() || ClaimAt("Formerly Known") != "anybody can claim this zone at Formerly Known" {
		t.Errorf("said %q and %q", ClaimAt("Reg.ru"), ClaimAt("Formerly Known"))
	}
}

func TestSacrificial(t *testing.T) {
	for host, want := range map[string]Status{
		"pleasedropthishost15965.example.biz":                   Anybody,
		"dropthishost-8cedef7b-b807-4fc8-9029-351a766325fe.biz": Anybody,
		"ns1.example.com.lamedelegation.org":                    Sink,
		"a1b2.empty.as112.arpa":                                 Nowhere,
		"lamedelegation.org.example.com":                        "",
		"ns1.example.com":                                       "",
	} {
		_, f, ok := Sacrificial([]string{host})
		if f.Status != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", host, f.Status, want)
		}
		if note := Note([]string{"ns1.fine.example", host}); (note != "") != ok || ok && !strings.Contains(note, host) {
			t.Errorf("%s: said %q", host, note)
		}
	}
}
