package dns

import (
	"fmt"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/nameserver"
)

// maxHosts is how many name servers or mail hosts an answer may name. Real delegations have at most 13.
const maxHosts = 64

// verdict is what one answer means.
type verdict struct {
	outcome    source.Outcome
	cause      source.Cause
	said       string
	delegation *source.Delegation
	mail       *source.Mail
	service    *source.Service
}

func unknown(cause source.Cause, said string) verdict {
	return verdict{outcome: source.Unknown, cause: cause, said: clip(said)}
}

// delegated names a name server that has the name of a deleted host before all the others: evidence is short.
func delegated(form string, hosts []string, said string) verdict {
	if note := nameserver.Note(hosts); note != "" {
		said = note + "; " + said
	}
	return verdict{
		outcome:    source.Observed,
		said:       clip(said),
		delegation: &source.Delegation{NS: hosts, Form: form},
	}
}

// judgeDelegation says what an answer to the NS question for name means. lowest is the highest zone whose
// servers may have been asked: an SOA above it is not that of the zone directly above name.
func judgeDelegation(name, lowest string, m *mdns.Msg) verdict {
	if v, failed := judgeCode(m); failed {
		return v
	}
	if v, redirected := judgeDNAME(name, m); redirected {
		return v
	}
	if v, anew := judgeDELEG(name, m); anew {
		return v
	}
	if len(m.Answer) > 0 {
		return judgeAnswer(name, m)
	}
	if m.Rcode == mdns.RcodeNameError {
		return judgeNXDOMAIN(name, lowest, m)
	}
	if v, referred := judgeReferral(name, m); referred {
		return v
	}
	return judgeNoData(name, lowest, m)
}

// judgeCode handles the response codes that say nothing about the name.
func judgeCode(m *mdns.Msg) (verdict, bool) {
	word := mdns.RcodeToString[m.Rcode]
	if word == "" {
		word = fmt.Sprintf("RCODE %d", m.Rcode)
	}
	switch m.Rcode {
	case mdns.RcodeSuccess, mdns.RcodeNameError:
		return verdict{}, false
	case mdns.RcodeServerFailure:
		return unknown(source.CauseServfail, word), true
	case mdns.RcodeRefused, mdns.RcodeNotImplemented:
		return unknown(source.CauseRefused, word), true
	case mdns.RcodeNotAuth:
		return unknown(source.CauseLame, word), true
	default:
		return unknown(source.CauseMalformed, word), true
	}
}

// judgeDNAME: a DNAME above the name (RFC 6672) moves the question to another tree; whatever the code
// then says, it says it of another name. One at the name itself is data of the name.
func judgeDNAME(name string, m *mdns.Msg) (verdict, bool) {
	for _, record := range m.Answer {
		if owner := record.Header().Name; record.Header().Rrtype == mdns.TypeDNAME && !strings.EqualFold(owner, name) {
			return unknown(source.CauseWrongName, "DNAME at "+canonicalHost(owner)), true
		}
	}
	return verdict{}, false
}

// typeDELEG is the type that the draft on extensible delegation (draft-ietf-deleg) tries out.
const typeDELEG = 61440

// judgeDELEG: a delegation without NS records is one, whatever code those get who do not know it. Servers tell them so
// in an extended error (RFC 8914), whose number is not assigned yet.
func judgeDELEG(name string, m *mdns.Msg) (verdict, bool) {
	for _, record := range slices.Concat(m.Answer, m.Ns) {
		if h := record.Header(); h.Rrtype == typeDELEG && strings.EqualFold(h.Name, name) && len(nameServers(name, m.Ns)) == 0 {
			return delegated(source.FormNoData, nil, "DELEG"), true
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*mdns.EDNS0_EDE); ok && strings.EqualFold(strings.TrimSpace(e.ExtraText), "new delegation only") {
				return delegated(source.FormNoData, nil, "new delegation only"), true
			}
		}
	}
	return verdict{}, false
}

// judgeAnswer: records in the answer section are data of the name, if the server has authority for it.
// This comes before NXDOMAIN: behind a CNAME that code is about the CNAME's target (RFC 6604).
func judgeAnswer(name string, m *mdns.Msg) verdict {
	word, found := "", false
	for _, record := range m.Answer {
		header := record.Header()
		if !strings.EqualFold(header.Name, name) || header.Class != mdns.ClassINET {
			continue
		}
		found = true
		if header.Rrtype != mdns.TypeNS && word == "" {
			word = mdns.TypeToString[header.Rrtype]
		}
	}
	switch {
	case !found:
		return unknown(source.CauseWrongName, "answer about "+canonicalHost(m.Answer[0].Header().Name))
	case !m.Authoritative:
		return unknown(source.CauseLame, "answer without authority")
	case m.Rcode == mdns.RcodeNameError && word != "CNAME":
		return unknown(source.CauseMalformed, "NXDOMAIN with records of the name")
	}
	hosts := nameServers(name, m.Answer)
	switch {
	case len(hosts) > maxHosts:
		return unknown(source.CauseTooLarge, fmt.Sprintf("%d NS", len(hosts)))
	case len(hosts) > 0:
		return delegated(source.FormAuthority, hosts, "authority NS "+strings.Join(hosts, " "))
	}
	return delegated(source.FormAuthority, nil, strings.TrimSpace("authority "+word))
}

// judgeNXDOMAIN: absence is believed from a server with authority, or with the SOA of a zone between
// lowest and the name; never against a foreign SOA.
func judgeNXDOMAIN(name, lowest string, m *mdns.Msg) verdict {
	const word = "NXDOMAIN"
	owner, found := soaOwner(m)
	switch {
	case found && enclosing(owner, name, lowest):
		return verdict{outcome: source.Absent, said: word}
	case found:
		return unknown(source.CauseLame, word+" from zone "+canonicalHost(owner))
	case m.Authoritative:
		return verdict{outcome: source.Absent, said: word}
	}
	return unknown(source.CauseLame, word+" without authority")
}

// judgeReferral: NS records in the authority section. Those of the name are its delegation; others are of
// a server that does not serve the zone directly above the name.
func judgeReferral(name string, m *mdns.Msg) (verdict, bool) {
	if hosts := nameServers(name, m.Ns); len(hosts) > maxHosts {
		return unknown(source.CauseTooLarge, fmt.Sprintf("%d NS", len(hosts))), true
	} else if len(hosts) > 0 {
		return delegated(source.FormReferral, hosts, "NS "+strings.Join(hosts, " ")), true
	}
	if _, soa := soaOwner(m); soa {
		return verdict{}, false
	}
	for _, record := range m.Ns {
		if record.Header().Rrtype == mdns.TypeNS {
			return unknown(source.CauseLame, "referral to "+canonicalHost(record.Header().Name)), true
		}
	}
	return verdict{}, false
}

// judgeNoData: the name exists and has no NS records. An empty answer without authority and without an
// SOA says nothing at all.
func judgeNoData(name, lowest string, m *mdns.Msg) verdict {
	const word = "NODATA"
	owner, found := soaOwner(m)
	switch {
	case found && strings.EqualFold(owner, name):
		return delegated(source.FormAuthority, nil, "authority "+word)
	case found && !enclosing(owner, name, lowest):
		return unknown(source.CauseLame, word+" from zone "+canonicalHost(owner))
	case !found && !m.Authoritative:
		return unknown(source.CauseLame, "empty answer without authority")
	}
	return delegated(source.FormNoData, nil, word)
}

// judgeMail says what a resolver's answer to the MX question for name means.
func judgeMail(name string, m *mdns.Msg) verdict {
	if v, failed := judgeCode(m); failed {
		return v
	}
	owner := aliasTarget(name, m.Answer)
	var hosts []string
	null, foreign := false, false
	for _, record := range m.Answer {
		mx, ok := record.(*mdns.MX)
		switch {
		case !ok || mx.Hdr.Class != mdns.ClassINET:
		case !strings.EqualFold(mx.Hdr.Name, owner):
			foreign = true
		case mx.Mx == ".":
			null = true
		default:
			hosts = append(hosts, canonicalHost(mx.Mx))
		}
	}
	hosts = unique(hosts)
	switch _, soa := soaOwner(m); {
	case len(hosts) > maxHosts:
		return unknown(source.CauseTooLarge, fmt.Sprintf("%d MX", len(hosts)))
	case len(hosts) > 0:
		return takesMail(hosts, "MX "+strings.Join(hosts, " "))
	case null:
		return takesMail([]string{"."}, "null MX")
	case foreign:
		return unknown(source.CauseWrongName, "MX of another name")
	case m.Rcode == mdns.RcodeNameError:
		return takesMail(nil, "NXDOMAIN")
	case !soa && len(nameServers("", m.Ns)) > 0:
		return unknown(source.CauseLame, "referral from a resolver")
	}
	return takesMail(nil, "no MX")
}

func takesMail(hosts []string, said string) verdict {
	return verdict{outcome: source.Observed, said: clip(said), mail: &source.Mail{Hosts: hosts}}
}

// maxAliases bounds a chain of CNAMEs; resolvers stop at about as many.
const maxAliases = 8

// aliasTarget follows the CNAMEs of an answer from name.
func aliasTarget(name string, records []mdns.RR) string {
	for range maxAliases {
		next := ""
		for _, record := range records {
			if alias, ok := record.(*mdns.CNAME); ok && strings.EqualFold(alias.Hdr.Name, name) {
				next = alias.Target
			}
		}
		if next == "" {
			return name
		}
		name = next
	}
	return name
}

// nameServers are the canonical targets of the NS records that owner has (of any owner, if it is empty).
func nameServers(owner string, records []mdns.RR) []string {
	var hosts []string
	for _, record := range records {
		ns, ok := record.(*mdns.NS)
		if ok && ns.Hdr.Class == mdns.ClassINET && (owner == "" || strings.EqualFold(ns.Hdr.Name, owner)) {
			hosts = append(hosts, canonicalHost(ns.Ns))
		}
	}
	return unique(hosts)
}

func unique(hosts []string) []string {
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func soaOwner(m *mdns.Msg) (string, bool) {
	for _, record := range m.Ns {
		if header := record.Header(); header.Rrtype == mdns.TypeSOA && header.Class == mdns.ClassINET {
			return header.Name, true
		}
	}
	return "", false
}

// enclosing reports whether zone lies strictly above name, and at or below lowest.
func enclosing(zone, name, lowest string) bool {
	return !strings.EqualFold(zone, name) && mdns.IsSubDomain(zone, name) && mdns.IsSubDomain(lowest, zone)
}

// canonicalHost brings a name in the library's presentation form to lower case without a trailing dot.
// Bytes that no host name has are written \DDD (RFC 1035 section 5.1), so that the result has no space,
// no control character and no dot that is not a separator. The root is ".".
func canonicalHost(name string) string {
	if name == "." {
		return name
	}
	name = strings.TrimSuffix(name, ".")
	var host strings.Builder
	host.Grow(len(name))
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			host.WriteByte(c + 'a' - 'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			host.WriteByte(c)
		case c == '\\' && i+3 < len(name) && isDigit(name[i+1]):
			host.WriteString(name[i : i+4])
			i += 3
		case c == '\\' && i+1 < len(name):
			fmt.Fprintf(&host, `\%03d`, name[i+1])
			i++
		default:
			fmt.Fprintf(&host, `\%03d`, c)
		}
	}
	return host.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// clip keeps evidence within source.MaxSaid. All that is said here is ASCII.
func clip(said string) string {
	if len(said) > source.MaxSaid {
		return said[:source.MaxSaid-3] + "..."
	}
	return said
}
