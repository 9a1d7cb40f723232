package dns

import (
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

// TestDELEGIsADelegation: without NS records, and whatever code its server has for those who do not know the type.
func TestDELEGIsADelegation(t *testing.T) {
	deleg := func(name string) mdns.RR {
		return &mdns.RFC3597{Hdr: mdns.RR_Header{Name: name, Rrtype: typeDELEG, Class: mdns.ClassINET, Ttl: 60}, Rdata: "00"}
	}
	soa, _ := mdns.NewRR("com. 60 IN SOA a.com. b.com. 1 1 1 1 1")
	ns, _ := mdns.NewRR("a.com. 60 IN NS ns1.a-host.net.")
	told := &mdns.OPT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeOPT}, Option: []mdns.EDNS0{&mdns.EDNS0_EDE{ExtraText: "New Delegation Only"}}}
	for name, tt := range map[string]struct {
		rcode     int
		ns, extra []mdns.RR
		want      string // the form; empty: absent
	}{
		"alone":                 {mdns.RcodeSuccess, []mdns.RR{deleg("a.com.")}, nil, source.FormNoData},
		"beside NS":             {mdns.RcodeSuccess, []mdns.RR{deleg("a.com."), ns}, nil, source.FormReferral},
		"NXDOMAIN, and told so": {mdns.RcodeNameError, []mdns.RR{soa}, []mdns.RR{told}, source.FormNoData},
		"another's":             {mdns.RcodeNameError, []mdns.RR{soa, deleg("b.com.")}, nil, ""},
	} {
		m := &mdns.Msg{MsgHdr: mdns.MsgHdr{Rcode: tt.rcode}, Ns: tt.ns, Extra: tt.extra}
		v := judgeDelegation("a.com.", "com.", m)
		if tt.want == "" && v.outcome != source.Absent || tt.want != "" && (v.outcome != source.Observed || v.delegation.Form != tt.want) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
