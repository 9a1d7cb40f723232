package sim

import (
	"cmp"
	"hash/fnv"
	"net"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// recordTTL of everything, in seconds: nobody may keep what the world's clock changes.
const recordTTL = 60

// answerDNS answers like a server of the zone above for NS questions, like a domain's own for SOA, and like a resolver
// for others. server is its place in DNSAddrs.
func (n *Internet) answerDNS(w mdns.ResponseWriter, q *mdns.Msg, server int, stream bool) {
	m := new(mdns.Msg).SetReply(q)
	if len(q.Question) != 1 || q.Question[0].Qclass != mdns.ClassINET {
		m.Rcode = mdns.RcodeFormatError
		_ = w.WriteMsg(m) // who does not wait for the answer does not get it
		return
	}
	at, age := n.now()
	name := strings.TrimSuffix(strings.ToLower(q.Question[0].Name), ".")
	question := dnsQuestion{name: name, kind: q.Question[0].Qtype, age: age}
	source, answer, g := n.judge(question)
	if answer == HalfLame {
		answer = []DNSAnswer{Authority, Refused}[server]
	}
	n.note(at, source, name, string(answer))
	n.write(w, m, reply{dnsQuestion: question, answer: answer, stage: g, stream: stream})
}

type dnsQuestion struct {
	name string
	kind uint16
	age  time.Duration
}

// judge finds out who is asked, how the answer is to be, and about what.
func (n *Internet) judge(q dnsQuestion) (source string, answer DNSAnswer, g stage) {
	registered, g, ok := n.find(q.name, q.age)
	zone := cmp.Or(parent(registered), lastLabel(q.name))
	source = "resolver"
	switch q.kind {
	case mdns.TypeNS:
		source = "dns:" + zone
	case mdns.TypeSOA:
		source = "own"
	}
	kind, about, _ := strings.Cut(source, ":")
	if out, down := n.outage(kind, about, q.age); down {
		return source, DNSAnswer(out), g
	}
	switch {
	case n.isZone(q.name):
		return source, Authority, stage{ns: []string{"a.nic." + q.name}}
	case ok && source == "own":
		return source, g.own, g
	case ok && source == "resolver" && g.own != Authority && g.own != HalfLame:
		return source, Servfail, g
	case ok:
		return source, g.dns, g
	case n.hosts[q.name], strings.HasPrefix(q.name, "a.nic."):
		return source, NoData, stage{}
	}
	return source, Gone, stage{}
}

// isZone: a top-level domain, or a suffix that registered names stand under.
func (n *Internet) isZone(name string) bool {
	if _, known := n.world.TLDs[name]; known {
		return true
	}
	if n.domains[name] != nil {
		return false
	}
	for registered := range n.domains {
		if parent(registered) == name {
			return true
		}
	}
	return false
}

// reply is a question with what is to be said.
type reply struct {
	dnsQuestion
	answer DNSAnswer
	stage
	stream bool
}

// write sends the answer, or what is left of it.
func (n *Internet) write(w mdns.ResponseWriter, m *mdns.Msg, r reply) {
	switch r.answer {
	case Timeout:
		return
	case Malformed:
		_, _ = w.Write(malformed(m))
		return
	case Truncated, TruncatedOnly:
		if m.Truncated = !r.stream; m.Truncated {
			break
		}
		if r.answer == TruncatedOnly {
			_ = w.Close()
			return
		}
		n.fill(m, r)
	default:
		n.fill(m, r)
	}
	_ = w.WriteMsg(m)
}

// fill puts the records into the message.
func (n *Internet) fill(m *mdns.Msg, r reply) {
	registered, _, _ := n.find(r.name, r.age)
	zone := cmp.Or(parent(registered), lastLabel(r.name))
	switch r.answer {
	case Gone:
		m.Rcode, m.Authoritative, m.Ns = mdns.RcodeNameError, true, []mdns.RR{soa(zone)}
	case Lame:
		m.Rcode, m.Ns = mdns.RcodeNameError, []mdns.RR{soa("elsewhere.invalid")}
	case Servfail:
		m.Rcode = mdns.RcodeServerFailure
	case Refused:
		m.Rcode = mdns.RcodeRefused
	case Upward:
		m.Ns = []mdns.RR{ns("", "a.root-servers.net")}
	default:
		n.records(m, r, registered)
	}
}

// records answers about a name that is there.
func (n *Internet) records(m *mdns.Msg, r reply, registered string) {
	switch {
	case r.kind == mdns.TypeNS && r.answer == Authority:
		m.Authoritative = true
		m.Answer = nsSet(r.name, r.ns)
	case r.kind == mdns.TypeNS && (r.answer == Referral || r.answer == Truncated):
		m.Ns = nsSet(registered, r.ns)
		m.Extra = append(m.Extra, glue(r.ns)...)
	case r.kind == mdns.TypeSOA && r.answer == Authority:
		m.Authoritative = true
		m.Answer = []mdns.RR{soa(r.name)}
	case r.kind == mdns.TypeMX && registered != "":
		m.RecursionAvailable = true
		m.Answer = mxSet(r.name, r.mx)
	case r.kind == mdns.TypeA:
		m.RecursionAvailable = true
		m.Answer = []mdns.RR{address(r.name)}
	default:
		m.Authoritative, m.Ns = true, []mdns.RR{soa(cmp.Or(parent(registered), lastLabel(r.name)))}
	}
}

func header(owner string, kind uint16) mdns.RR_Header {
	return mdns.RR_Header{Name: mdns.Fqdn(owner), Rrtype: kind, Class: mdns.ClassINET, Ttl: recordTTL}
}

func soa(zone string) mdns.RR {
	return &mdns.SOA{
		Hdr: header(zone, mdns.TypeSOA), Ns: mdns.Fqdn("a.nic." + zone), Mbox: mdns.Fqdn("hostmaster.nic." + zone),
		Serial: 1, Refresh: 1800, Retry: 900, Expire: 604800, Minttl: recordTTL,
	}
}

func ns(owner, host string) mdns.RR {
	return &mdns.NS{Hdr: header(owner, mdns.TypeNS), Ns: mdns.Fqdn(host)}
}

func nsSet(owner string, hosts []string) []mdns.RR {
	var set []mdns.RR
	for _, host := range hosts {
		set = append(set, ns(owner, host))
	}
	return set
}

// mxSet is the mail hosts by preference; without any, the null MX of RFC 7505.
func mxSet(owner string, hosts []string) []mdns.RR {
	if len(hosts) == 0 {
		return []mdns.RR{&mdns.MX{Hdr: header(owner, mdns.TypeMX), Preference: 0, Mx: "."}}
	}
	var set []mdns.RR
	for i, host := range hosts {
		set = append(set, &mdns.MX{Hdr: header(owner, mdns.TypeMX), Preference: uint16(10 * (i + 1)), Mx: mdns.Fqdn(host)})
	}
	return set
}

func glue(hosts []string) []mdns.RR {
	var set []mdns.RR
	for _, host := range hosts {
		set = append(set, address(host))
	}
	return set
}

// address is a host's, always the same, of the documentation prefix (RFC 5737); a zone's own servers are here.
func address(host string) mdns.RR {
	ip := net.IPv4(127, 0, 0, 1)
	if !strings.HasPrefix(host, "a.nic.") {
		h := fnv.New32a()
		_, _ = h.Write([]byte(host)) // never fails
		ip = net.IPv4(192, 0, 2, byte(1+h.Sum32()%254))
	}
	return &mdns.A{Hdr: header(host, mdns.TypeA), A: ip}
}

// malformed is a reply to the question whose only record ends in the middle.
func malformed(m *mdns.Msg) []byte {
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	packed[7] = 1 // ANCOUNT
	return append(packed, slices.Repeat([]byte{0xff}, 7)...)
}
