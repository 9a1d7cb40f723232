package main

import (
	"fmt"
	"slices"
	"strings"

	openrdap "github.com/openrdap/rdap"

	"github.com/lapseguard/lapseguard/shared/source"
)

// name is the domain that every question is about; "example" is reserved (RFC 2606).
const name, tld = "lapsed.example", "example"

// body is an answer of about 8.6 kB in the form of RFC 9083, as a large registry gives it: five entities with
// vCards, four name servers with glue, DS, notices, a redaction list.
func body() []byte {
	var b strings.Builder
	b.WriteString(`{"rdapConformance":["rdap_level_0","icann_rdap_technical_implementation_guide_1","redacted"],"objectClassName":"domain",` +
		`"handle":"D123456-EXAMPLE","ldhName":"LAPSED.EXAMPLE","unicodeName":"lapsed.example","links":[` + link("self") + `,` + link("related") + `],` +
		`"status":["client delete prohibited","client transfer prohibited","client update prohibited","server hold"],"events":[`)
	for _, e := range []string{"registration 2019-03-01", "expiration 2027-03-01", "last changed 2026-02-02", "last update of RDAP database 2026-11-24"} {
		i := strings.LastIndexByte(e, ' ')
		fmt.Fprintf(&b, `{"eventAction":%q,"eventDate":"%sT10:00:00Z"},`, e[:i], e[i+1:])
	}
	b.WriteString(`{"eventAction":"transfer","eventDate":"2021-05-05T10:00:00Z"}],` +
		`"secureDNS":{"zoneSigned":true,"delegationSigned":true,"maxSigLife":604800,"dsData":[{"keyTag":12345,"algorithm":13,"digestType":2,` +
		`"digest":"49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC0000"}]},"nameservers":[`)
	for i := range 4 {
		fmt.Fprintf(&b, `{"objectClassName":"nameserver","handle":"H%d","ldhName":"NS%d.LAPSED.EXAMPLE","status":["active","associated"],`+
			`"ipAddresses":{"v4":["192.0.2.%d"],"v6":["2001:db8::%d"]},"links":[%s]}%s`, i, i, i+1, i+1, link("self"), comma(i, 4))
	}
	b.WriteString(`],"entities":[`)
	roles := []string{"registrant", "administrative", "technical", "billing", "registrar"}
	for i, role := range roles {
		fmt.Fprintf(&b, `{"objectClassName":"entity","handle":"C%d-EXAMPLE","roles":[%q],"status":["active"],"remarks":[{"title":"Redacted for privacy",`+
			`"description":["Some of the data in this object has been removed."]}],"links":[%s],"vcardArray":["vcard",[["version",{},"text","4.0"],`+
			`["fn",{},"text","Example Organisation %d"],["adr",{"label":"1 Example Street\nExampletown"},"text",["","","1 Example Street","Exampletown","EX","12345",""]],`+
			`["tel",{"type":["voice"]},"uri","tel:+1.5555550100;ext=%d"],["org",{},"text","Example Organisation"],["url",{},"uri","https://www.example.net/contact"]]]`,
			i, role, link("self"), i, i)
		if role == "registrar" {
			b.WriteString(`,"publicIds":[{"type":"IANA Registrar ID","identifier":"292"}]`)
		}
		b.WriteString(`}` + comma(i, len(roles)))
	}
	b.WriteString(`],"redacted":[`)
	for i := range 6 {
		fmt.Fprintf(&b, `{"name":{"description":"Registrant part %d"},"prePath":"$.entities[?(@.roles[0]=='registrant')].vcardArray[1][%d]",`+
			`"pathLang":"jsonpath","method":"emptyValue","reason":{"description":"Server policy"}}%s`, i, i, comma(i, 6))
	}
	b.WriteString(`],"notices":[`)
	for i := range 3 {
		fmt.Fprintf(&b, `{"title":"Notice %d","description":["For more information on domain status codes, please see the pages of the registry.",`+
			`"The data is provided for information purposes only, and to assist persons in obtaining information about a registration record."],"links":[%s]}%s`,
			i, link("alternate"), comma(i, 3))
	}
	b.WriteString(`],"lang":"en"}`)
	return []byte(b.String())
}

func link(rel string) string {
	return fmt.Sprintf(`{"value":"https://rdap.example.net/domain/lapsed.example","rel":%q,"href":"https://rdap.example.net/domain/lapsed.example","type":"application/rdap+json"}`, rel)
}

func comma(i, n int) string {
	if i == n-1 {
		return ""
	}
	return ","
}

// facts are what both clients must have read from body; they are compared as text.
type facts struct{ name, statuses, expires, servers, signed, registrar string }

var wanted = facts{
	name:     name,
	statuses: "client delete prohibited,client transfer prohibited,client update prohibited,server hold",
	expires:  "2027-03-01", servers: "ns0.lapsed.example,ns1.lapsed.example,ns2.lapsed.example,ns3.lapsed.example",
	signed: "true", registrar: "292",
}

// ourFacts: that the name is the one asked for was judged already.
func ourFacts(r *source.Registration) facts {
	return facts{
		name: name, statuses: strings.Join(r.Statuses, ","), expires: r.Expires.Format("2006-01-02"),
		servers: strings.Join(r.NameServers, ","), signed: fmt.Sprint(r.Signed), registrar: r.Registrar,
	}
}

// theirFacts takes from openrdap's object what a program that watches domains needs.
func theirFacts(d *openrdap.Domain) facts {
	f := facts{name: strings.ToLower(d.LDHName), statuses: strings.Join(d.Status, ",")}
	for _, e := range d.Events {
		if e.Action == "expiration" {
			f.expires, _, _ = strings.Cut(e.Date, "T")
		}
	}
	var servers []string
	for _, ns := range d.Nameservers {
		servers = append(servers, strings.ToLower(ns.LDHName))
	}
	slices.Sort(servers)
	f.servers = strings.Join(servers, ",")
	if d.SecureDNS != nil && d.SecureDNS.DelegationSigned != nil {
		f.signed = fmt.Sprint(*d.SecureDNS.DelegationSigned)
	}
	for _, e := range d.Entities {
		if slices.Contains(e.Roles, "registrar") && len(e.PublicIDs) == 1 {
			f.registrar = e.PublicIDs[0].Identifier
		}
	}
	return f
}

// malformed are bodies that are no JSON, all of them in members that nobody needs, where a decoder that skips
// without looking would take the answer.
func malformed() map[string]string {
	good := string(body())
	in := func(junk string) string { return `{"x":` + junk + `,` + good[1:] }
	return map[string]string{
		"cut off":             good[:len(good)-1],
		"trailing junk":       good + "}",
		"second object":       good + good,
		"open array":          in(`[1,2`),
		"comma too many":      in(`[1,]`),
		"bad literal":         in(`nul`),
		"leading zero":        in(`01`),
		"bad exponent":        in(`1e`),
		"bad escape":          in(`"\x"`),
		"bad unicode escape":  in(`"\u12g4"`),
		"control character":   in("\"\x01\""),
		"unquoted name":       `{x:1,` + good[1:],
		"single quotes":       in(`'a'`),
		"comment":             in(`/**/1`),
		"100,000 deep":        in(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)),
		"100,000 deep, open":  in(strings.Repeat(`{"a":`, 100_000)),
		"array":               `[` + good + `]`,
		"nothing":             ``,
		"a string":            `"` + name + `"`,
		"no colon":            `{"x" 1,` + good[1:],
		"colon for comma":     `{"x":1:` + good[1:],
		"unfinished surrogat": in(`"\ud8"`),
	}
}
