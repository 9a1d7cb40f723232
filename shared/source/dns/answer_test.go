package dns

import (
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

// FuzzAnswer feeds packets to everything that reads them, and states what holds for all.
func FuzzAnswer(f *testing.F) {
	question := new(mdns.Msg)
	question.SetQuestion("foo.co.uk.", mdns.TypeNS)
	question.Id = 7
	for _, lines := range [][]string{
		{"ns:foo.co.uk. 1 IN NS a.example.", "ns:foo.co.uk. 1 IN NS b.example."},
		{"aa", "foo.co.uk. 1 IN NS a.example.", "ex:a.example. 1 IN A 192.0.2.1"},
		{"aa", "NXDOMAIN", "ns:co.uk." + soaOf},
		{"aa", "ns:co.uk." + soaOf},
		{"aa", "NXDOMAIN", "co.uk. 1 IN DNAME example.", "foo.co.uk. 0 IN CNAME foo.example."},
		{"foo.co.uk. 1 IN MX 5 mx.example.", "foo.co.uk. 1 IN MX 0 ."},
		{"SERVFAIL"}, {"REFUSED", "tc"}, {`ns:foo.co.uk. 1 IN NS \000\ \".example.`},
	} {
		f.Add(packed(reply(question, lines...)))
	}
	f.Add([]byte{0, 7, 0x80, 0})
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, kind := range []uint16{mdns.TypeNS, mdns.TypeMX} {
			answer, ours, err := decode(packet, 7, query{name: "foo.co.uk.", kind: kind})
			if !ours || err != nil {
				continue
			}
			checkVerdict(t, answer, judgeDelegation("foo.co.uk.", "uk.", answer))
			checkVerdict(t, answer, judgeMail("foo.co.uk.", answer))
			zoneHosts("uk.", answer)
			addressesIn(answer)
		}
	})
}

func checkVerdict(t *testing.T, m *mdns.Msg, v verdict) {
	t.Helper()
	if len(v.said) > source.MaxSaid || strings.ContainsFunc(v.said, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("said %q", v.said)
	}
	switch v.outcome {
	case source.Observed:
		if v.cause != "" || (v.delegation == nil) == (v.mail == nil) {
			t.Errorf("observed %+v", v)
		}
	case source.Absent:
		_, soa := soaOwner(m)
		if m.Rcode != mdns.RcodeNameError || !m.Authoritative && !soa || len(m.Answer) > 0 || v.delegation != nil || v.mail != nil {
			t.Errorf("absent by %v", m)
		}
	case source.Unknown:
		if v.cause == "" || v.delegation != nil || v.mail != nil {
			t.Errorf("unknown %+v", v)
		}
	default:
		t.Errorf("outcome %q", v.outcome)
	}
	var hosts []string
	if v.delegation != nil {
		hosts = v.delegation.NS
	} else if v.mail != nil {
		hosts = v.mail.Hosts
	}
	if len(hosts) > maxHosts || !slices.IsSorted(hosts) || len(slices.Compact(slices.Clone(hosts))) != len(hosts) {
		t.Errorf("hosts %q", hosts)
	}
	for _, host := range hosts {
		if host == "" || host != strings.ToLower(host) || strings.ContainsAny(host, " \"\n\x00") || len(host) > 1 && strings.HasSuffix(host, ".") {
			t.Errorf("host %q", host)
		}
	}
}

// TestSameDelegationSameFingerprint: order, case, repetition, TTL, DS and glue are not the delegation.
func TestSameDelegationSameFingerprint(t *testing.T) {
	question := new(mdns.Msg)
	question.SetQuestion("foo.co.uk.", mdns.TypeNS)
	fingerprint := func(lines ...string) string {
		v := judgeDelegation("foo.co.uk.", "uk.", reply(question, lines...))
		if v.delegation == nil {
			t.Fatalf("%q: %s", lines, v.cause)
		}
		return source.Fingerprint(v.delegation.NS)
	}
	want := fingerprint("ns:foo.co.uk. 1 IN NS a.foo.co.uk.", "ns:foo.co.uk. 1 IN NS b.example.")
	for _, lines := range [][]string{
		{"ns:foo.co.uk. 9 IN NS b.example.", "ns:foo.co.uk. 9 IN NS a.foo.co.uk."},
		{"ns:FOO.co.UK. 1 IN NS A.Foo.Co.Uk.", "ns:foo.co.uk. 1 IN NS B.EXAMPLE."},
		{"ns:foo.co.uk. 1 IN NS a.foo.co.uk.", "ns:foo.co.uk. 1 IN NS b.example.", "ns:foo.co.uk. 1 IN NS a.foo.co.uk."},
		{"ns:foo.co.uk. 1 IN NS a.foo.co.uk.", "ns:foo.co.uk. 1 IN NS b.example.", "ex:a.foo.co.uk. 1 IN A 192.0.2.1", "ex:a.foo.co.uk. 1 IN AAAA 2001:db8::1"},
		{"ns:foo.co.uk. 1 IN NS a.foo.co.uk.", "ns:foo.co.uk. 1 IN NS b.example.", "ns:foo.co.uk. 1 IN DS 1 8 2 00ff"},
		{"aa", "foo.co.uk. 1 IN NS b.example.", "foo.co.uk. 1 IN NS a.foo.co.uk."}, // the server hosts the child, too
	} {
		if got := fingerprint(lines...); got != want {
			t.Errorf("%q has another fingerprint", lines)
		}
	}
	for _, lines := range [][]string{
		{"ns:foo.co.uk. 1 IN NS a.foo.co.uk."},
		{"ns:foo.co.uk. 1 IN NS a.foo.co.uk.", "ns:foo.co.uk. 1 IN NS c.example."},
		{"ns:foo.co.uk. 1 IN NS a.foo.co.uk.", "ns:foo.co.uk. 1 IN NS b.example.", "ns:foo.co.uk. 1 IN NS c.example."},
	} {
		if got := fingerprint(lines...); got == want {
			t.Errorf("%q has the same fingerprint", lines)
		}
	}
}

func TestCanonicalHost(t *testing.T) {
	for name, want := range map[string]string{
		"A.Example.": "a.example", ".": ".", "_x.b-1.": "_x.b-1", `a\.b.c.`: `a\046b.c`, `\000\255.c.`: `\000\255.c`,
		`a\ b.`: `a\032b`, `a;b.`: `a\059b`, `\"\\.`: `\034\092`, "": "",
	} {
		if got := canonicalHost(name); got != want {
			t.Errorf("canonicalHost(%q) = %q, want %q", name, got, want)
		}
	}
}
