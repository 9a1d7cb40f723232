package rdap

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// decodes expects that a domain object with the given members can be read.
func decodes(t *testing.T, members string) source.Registration {
	t.Helper()
	return decodesAs(t, "lapsed.example", `"ldhName":"lapsed.example",`+members)
}

func decodesAs(t *testing.T, name, members string) source.Registration {
	t.Helper()
	c := newClient(t, "http://127.0.0.1:1")
	reg, cause := c.Decode([]byte(`{"objectClassName":"domain",`+members+`}`), name)
	if cause != source.CauseNone {
		t.Fatalf("%s: %s", members, cause)
	}
	return reg
}

func TestDecodeBigBody(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:1")
	got, cause := c.Decode(bigBody(), "lapsed.example")
	want := source.Registration{
		Statuses:   []string{"client delete prohibited", "client transfer prohibited", "client update prohibited", "server hold"},
		Registered: time.Date(2019, 3, 1, 10, 0, 0, 0, time.UTC), Expires: time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC),
		Registrar: "292", Signed: true, DS: []string{"12345 13 2 49fd46e6c4b45c55d4ac49fd46e6c4b45c55d4ac49fd46e6c4b45c55d4ac0000"},
		NameServers: []string{"ns0.lapsed.example", "ns1.lapsed.example", "ns2.lapsed.example", "ns3.lapsed.example"},
	}
	if d := cmp.Diff(want, got); d != "" || cause != source.CauseNone {
		t.Error(cause, d)
	}
}

func TestDecodeNames(t *testing.T) {
	for _, tc := range []struct{ asked, members string }{
		{"lapsed.example", `"ldhName":"LAPSED.Example"`},
		{"lapsed.example", `"ldhName":"lapsed.example."`},
		{"lapsed.example", `"ldhName":"\u006capsed.example"`},
		{"lapsed.example", `"\u006cdhName":"lapsed.example"`},
		{"lapsed.example", `"ldhName":null`},
		{"lapsed.example", `"ldhName":""`},
		{"lapsed.example", `"handle":"X"`},
		{"xn--bcher-kva.example", `"ldhName":"XN--BCHER-KVA.EXAMPLE"`},
		{"xn--bcher-kva.example", `"ldhName":"Bücher.example"`},
		{"xn--bcher-kva.example", `"unicodeName":"BÜCHER.example."`},
		{"xn--bcher-kva.example", `"ldhName":"xn--bcher-kva.example","unicodeName":"bu\u0308cher.example"`},
		{"xn--strae-oqa.example", `"unicodeName":"straße.example"`},
		{"xn--bcher-kva.example", `"ldhName":"xn--bcher-kva.example","unicodeName":"b` + "\xfc" + `cher.example"`}, // Latin-1
		{"xn--bcher-kva.example", `"unicodeName":"b` + "\xfc" + `cher.example","ldhName":"xn--bcher-kva.example"`},
	} {
		decodesAs(t, tc.asked, tc.members)
	}
	c := newClient(t, "http://127.0.0.1:1")
	reg, cause := c.Decode([]byte(`{"ldhName":"lapsed.example","status":"active"}`), "lapsed.example") // no class
	if cause != source.CauseNone || len(reg.Statuses) != 1 {
		t.Error(cause, reg)
	}
	if _, cause := c.Decode([]byte("\xef\xbb\xbf"+goodBody), "lapsed.example"); cause != source.CauseNone {
		t.Error("byte order mark:", cause)
	}
}

func TestDecodeStatuses(t *testing.T) {
	for _, tc := range []struct {
		members string
		want    []string
	}{
		{`"status":["pendingDelete","PENDING DELETE","pending_delete"]`, []string{"pending delete"}},
		{`"status":["redemptionPeriod","pendingDelete"]`, []string{"pending delete", "redemption period"}},
		{`"status":"clientHold"`, []string{"client hold"}},
		{`"status":"active, serverHold"`, []string{"active", "server hold"}},
		{`"status":["CLIENTTRANSFERPROHIBITED"]`, []string{"client transfer prohibited"}},
		{`"status":["ok","linked","inactive"]`, []string{"active", "associated", "inactive"}},
		{`"status":["autoRenewPeriod","pendingRestore"]`, []string{"auto renew period", "pending restore"}},
		{`"status":["clientHold https://icann.org/epp#clientHold","https://icann.org/epp#serverHold"]`, []string{"client hold", "server hold"}},
		{`"status":["In Quarantine","toBeSuspended"]`, []string{"in quarantine", "to be suspended"}},
		{`"status":["pending delete\u0000\n"]`, []string{"pending delete"}},
		{"\"status\":[\"gel\xf6scht\"]", []string{"gel scht"}},
		{`"status":[null,7,{},["active"],"active"]`, []string{"7", "active"}},
		{`"status":null`, nil}, {`"status":{}`, nil}, {`"status":[]`, nil}, {`"x":1`, nil},
		{`"status":["active"],"status":["pendingDelete"]`, []string{"active", "pending delete"}},
	} {
		if got := decodes(t, tc.members).Statuses; !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.members, got, tc.want)
		}
	}
	for key, word := range rdapWords {
		if got := statusWord([]byte(word)); got != word || string(compact(nil, []byte(key))) != key {
			t.Errorf("%q became %q", word, got)
		}
	}
}

func TestDecodeEvents(t *testing.T) {
	const margin = `{"eventAction":"registration","eventDate":"2026-11-25T11:59:00Z"}`
	for _, tc := range []struct {
		name, events string
		want         source.Registration
	}{
		{"all", `[{"eventDate":"2020-01-02","eventAction":"Registration"},{"eventAction":"EXPIRATION","eventDate":"2027-01-02"},
			{"eventAction":"registrar expiration","eventDate":"2026-01-02"},{"eventAction":"transfer","eventDate":"2025-01-02"}]`,
			source.Registration{Registered: day(2020, 1, 2), Expires: day(2027, 1, 2), RegistrarExpires: day(2026, 1, 2), Transferred: day(2025, 1, 2)}},
		{"whole names only", `[{"eventAction":"reregistration","eventDate":"2025-01-02"},{"eventAction":"soft expiration","eventDate":"2025-01-02"},
			{"eventAction":"last changed","eventDate":"2025-01-02"},{"eventAction":"registrations","eventDate":"2025-01-02"}]`, source.Registration{}},
		{"latest registration", `[{"eventAction":"registration","eventDate":"2024-01-02"},{"eventAction":"registration","eventDate":"2010-01-02"}]`,
			source.Registration{Registered: day(2024, 1, 2)}},
		{"future registration", `[{"eventAction":"registration","eventDate":"2010-01-02"},{"eventAction":"registration","eventDate":"2027-01-02"}]`,
			source.Registration{Registered: day(2010, 1, 2)}},
		{"within a day", `[` + margin + `]`, source.Registration{Registered: time.Date(2026, 11, 25, 11, 59, 0, 0, time.UTC)}},
		{"future transfer", `[{"eventAction":"transfer","eventDate":"2027-01-02"}]`, source.Registration{}},
		{"latest expiration", `[{"eventAction":"expiration","eventDate":"2027-01-02"},{"eventAction":"expiration","eventDate":"2026-01-02"}]`,
			source.Registration{Expires: day(2027, 1, 2)}},
		{"latest deletion of the past", `[{"eventAction":"deletion","eventDate":"2024-01-02"},{"eventAction":"Deletion","eventDate":"2025-01-02"},
			{"eventAction":"deletion","eventDate":"2027-01-02"}]`, source.Registration{Deleted: day(2025, 1, 2)}},
		{"future deletion", `[{"eventAction":"deletion","eventDate":"2027-01-02"}]`, source.Registration{}},
		{"no deletion", `[{"eventAction":"soft deletion","eventDate":"2020-01-02"},{"eventAction":"deletions","eventDate":"2020-01-02"}]`, source.Registration{}},
		{"odd date beside a good one", `[{"eventAction":"registration","eventDate":false},{"eventAction":"expiration","eventDate":"2027-01-02"}]`,
			source.Registration{Expires: day(2027, 1, 2)}},
		{"one event, no list", `{"eventAction":"expiration","eventDate":"2027-01-02"}`, source.Registration{Expires: day(2027, 1, 2)}},
		{"odd kinds", `[null,3,"x",[],{},{"eventAction":"registration"},{"eventDate":"2020-01-02"},{"eventAction":[],"eventDate":{}}]`, source.Registration{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, decodes(t, `"events":`+tc.events)); d != "" {
				t.Error(d)
			}
		})
	}
	inner := `"entities":[{"roles":["registrant"],"events":[{"eventAction":"registration","eventDate":"2025-01-02"}]}]`
	if got := decodes(t, inner); !got.Registered.IsZero() {
		t.Error("took a contact's registration for the domain's")
	}
}

func TestDecodeRegistrar(t *testing.T) {
	const vcard = `"vcardArray":["vcard",[["version",{},"text","4.0"],["adr",{},"text",["","",""]],["fn",{},"text","Ex\u0061mple\n Registrar"]]]`
	for _, tc := range []struct{ name, entities, want string }{
		{"id", `[{"roles":["registrar"],"publicIds":[{"type":"IANA Registrar ID","identifier":"292"}],"handle":"X",` + vcard + `}]`, "292"},
		{"id after", `[{"publicIds":[{"identifier":292,"type":"iana registrar id"}],"roles":["Registrar"]}]`, "292"},
		{"no list", `{"publicIds":{"identifier":"292","type":"IANA Registrar ID"},"roles":"registrar"}`, "292"},
		{"other id", `[{"roles":["registrar"],"publicIds":[{"type":"VAT","identifier":"1"}],"handle":"REG42"}]`, "REG42"},
		{"fn before handle", `[{"roles":["registrar"],"handle":"REG42",` + vcard + `}]`, "Example Registrar"},
		{"fn of another shape", `[{"roles":["registrar"],"handle":"REG42","vcardArray":["vcard",[["fn"],"fn",7,["fn",{},"text",["a"]]]]}]`, "REG42"},
		{"nested", `[{"roles":["registrant"],"handle":"A","entities":[{"roles":["technical"],"entities":[{"roles":["registrar"],"handle":"REG42"}]}]}]`, "REG42"},
		{"outer before inner", `[{"roles":["reseller"],"entities":[{"roles":["registrar"],"handle":"INNER"}]},{"roles":["registrar"],"handle":"OUTER"}]`, "OUTER"},
		{"id before name", `[{"roles":["registrar"],"handle":"NAMED"},{"roles":["reseller"],"entities":[{"roles":["registrar"],"publicIds":[{"type":"IANA Registrar ID","identifier":"7"}]}]}]`, "7"},
		{"nameless before named", `[{"roles":["registrar"]},{"roles":["registrar"],"handle":"REG42"}]`, "REG42"},
		{"first of two", `[{"roles":["registrar"],"handle":"A"},{"roles":["registrar"],"handle":"B"}]`, "A"},
		{"none", `[{"roles":["registrant"],"handle":"A"},null,3]`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := decodes(t, `"entities":`+tc.entities).Registrar; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDecodeNameServersAndDNSSEC(t *testing.T) {
	got := decodes(t, `"nameservers":[{"ldhName":"NS2.EXAMPLE.NET."},{"unicodeName":"ns.bücher.example"},{"ldhName":"ns1.example.net"},
		"ns2.example.net",{"ldhName":"not a host"},{"ldhName":"."},{},null],"secureDNS":{"zoneSigned":false,"delegationSigned":true}`)
	want := []string{"ns.xn--bcher-kva.example", "ns1.example.net", "ns2.example.net"}
	if !slices.Equal(got.NameServers, want) || !got.Signed {
		t.Errorf("got %q %v", got.NameServers, got.Signed)
	}
	for member, want := range map[string]bool{
		`"secureDNS":{"delegationSigned":"True"}`: true, `"secureDNS":{"delegationSigned":false}`: false,
		`"secureDNS":{"zoneSigned":true}`: false, `"secureDNS":[]`: false, `"secureDNS":null`: false,
	} {
		if got := decodes(t, member).Signed; got != want {
			t.Errorf("%s: %v", member, got)
		}
	}
}

func TestDecodeDS(t *testing.T) {
	digest := strings.Repeat("0A", 32)
	for members, want := range map[string][]string{
		`{"keyTag":12345,"algorithm":13,"digestType":2,"digest":"` + digest + `"}`:  {"12345 13 2 " + strings.ToLower(digest)},
		`{"keyTag":"7","algorithm":"8","digestType":"1","digest":"ab cd","x":[{}]}`: {"7 8 1 abcd"},
		`[{"keyTag":9,"algorithm":8,"digestType":1,"digest":"ff"},{"keyTag":10,"algorithm":8,"digestType":1,"digest":"FF"},
			{"digest":"ff","digestType":1,"algorithm":8,"keyTag":9}]`: {"10 8 1 ff", "9 8 1 ff"},
		`{"keyTag":65536,"algorithm":8,"digestType":1,"digest":"ff"}`:                    nil,
		`{"keyTag":-1,"algorithm":8,"digestType":1,"digest":"ff"}`:                       nil,
		`{"keyTag":"007","algorithm":8,"digestType":1,"digest":"ff"}`:                    nil,
		`{"keyTag":1e3,"algorithm":8,"digestType":1,"digest":"ff"}`:                      nil,
		`{"keyTag":1,"algorithm":256,"digestType":1,"digest":"ff"}`:                      nil,
		`{"keyTag":1,"algorithm":8,"digestType":"SHA-256","digest":"ff"}`:                nil,
		`{"keyTag":1,"algorithm":8,"digestType":1,"digest":"xyz"}`:                       nil,
		`{"keyTag":1,"algorithm":8,"digestType":1,"digest":""}`:                          nil,
		`{"keyTag":1,"algorithm":8,"digestType":1}`:                                      nil,
		`{"keyTag":1,"algorithm":8,"digestType":1,"digest":"` + digest + digest + `ff"}`: nil,
		`null`: nil, `[null,3,"x",[]]`: nil,
	} {
		if got := decodes(t, `"secureDNS":{"delegationSigned":true,"dsData":`+members+`}`).DS; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", members, got, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	clock := func(h, m, s int) time.Time { return time.Date(2026, 3, 1, h, m, s, 0, time.UTC) }
	for in, want := range map[string]time.Time{
		"2026-03-01T10:20:30Z":               clock(10, 20, 30),
		"2026-03-01t10:20:30z":               clock(10, 20, 30),
		"2026-03-01T10:20:30.123456789Z":     clock(10, 20, 30),
		"2026-03-01T10:20:30,5Z":             clock(10, 20, 30),
		"2026-03-01T10:20:60Z":               clock(10, 21, 0),
		"2026-03-01T10:20:30+0000":           clock(10, 20, 30),
		"2026-03-01T10:20:30+09:00":          clock(1, 20, 30),
		"2026-03-01T10:20:30-0530":           clock(15, 50, 30),
		"2026-03-01T10:20:30+02":             clock(8, 20, 30),
		"2026-03-01T10:20:30":                clock(10, 20, 30),
		"2026-03-01 10:20:30":                clock(10, 20, 30),
		"2026-03-01 10:20:30 UTC":            clock(10, 20, 30),
		"2026-03-01T10:20Z":                  clock(10, 20, 0),
		"2026-03-01T10:20Z[UTC]":             clock(10, 20, 0),
		"2026-03-01T19:20+09:00[Asia/Seoul]": clock(10, 20, 0),
		"20260301T102030Z":                   clock(10, 20, 30),
		"2026-03-01":                         clock(0, 0, 0),
		" 2026.03.01 ":                       clock(0, 0, 0),
		"2026/03/01":                         clock(0, 0, 0),
		"20260301":                           clock(0, 0, 0),
		"2026-03-01Z":                        clock(0, 0, 0),
		"01-Mar-2026":                        clock(0, 0, 0),
		"Sun, 01 Mar 2026 10:20:30 GMT":      clock(10, 20, 30),
		"Sun, 01 Mar 2026 10:20:30 +0100":    clock(9, 20, 30),
		"Sun Mar  1 10:20:30 UTC 2026":       clock(10, 20, 30),
		"9999-12-31T23:59:59Z":               time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"9999-12-31T23:59:59-01:00":          {}, // the year 10000 in UTC
		"294247-01-10T04:00:54Z":             {},
		"+294247-01-10T04:00:54.775Z":        {},
		"0001-01-01T00:00:00Z":               {},
		"1970-01-01T00:00:00Z":               {},
		"-0001-11-30T00:00:00Z":              {},
		"2026-02-29":                         {},
		"2026-13-01":                         {},
		"2026-00-00T00:00:00Z":               {},
		"2026-03-01T25:00:00Z":               {},
		"2026-03-01T10:20:61Z":               {},
		"2026-03-01T10:20:30X":               {},
		"2026-03-01T10:20:30+99:00":          {},
		"2026-03-01Tnoon":                    {},
		"2026-03.01":                         {},
		"01/03/2026":                         {},
		"Sun Mar  1 10:20:30 CET 2026":       {},
		"1772360430":                         {},
		"false":                              {},
		"never":                              {},
		"No expiration":                      {},
		"":                                   {},
		"2026-03-01T10:20:30." + strings.Repeat("1", 1000): {},
	} {
		if got := parseDate([]byte(in)); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
}

func TestSaid(t *testing.T) {
	var all []string
	for _, w := range rdapWords {
		all = append(all, w)
	}
	slices.Sort(all)
	r := source.Registration{Statuses: slices.Compact(all), Registered: noon, Expires: noon, RegistrarExpires: noon}
	got := saidRegistration(&r)
	if len(got) > source.MaxSaid || !strings.HasSuffix(got, "; registrar expiration 2026-11-24") || !strings.Contains(got, ", ...; registration") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	r.Statuses = []string{"client delete prohibited", "client transfer prohibited", "client update prohibited",
		"pending delete", "server delete prohibited", "server transfer prohibited", "server update prohibited"}
	if got := saidRegistration(&r); !strings.HasPrefix(got, "status: pending delete, client delete") {
		t.Errorf("what matters is not first: %q", got)
	}
	if got := saidRegistration(&source.Registration{}); got != "status: none" {
		t.Error(got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(bigBody())
	for _, s := range []string{
		goodBody, goodBody + "x", `{}`, `[]`, `{"errorCode":404}`, "\xef\xbb\xbf{}", `{"status":"A\u0000b,c"}`,
		`{"objectClassName":"domain","entities":[{"roles":["registrar"],"vcardArray":["vcard",[["fn",{},"text","x"]]]}]}`,
		`{"objectClassName":"domain","events":[{"eventAction":"expiration","eventDate":"2026-03-01T10:20:60+0100"}]}`,
		`{"objectClassName":"domain","nameservers":["ns.b` + "\xc3\xbc" + `cher.example"],"ldhName":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	c := newClient(f, "http://127.0.0.1:1")
	f.Fuzz(func(t *testing.T, body []byte) {
		reg, cause := c.Decode(body, "lapsed.example")
		valid := jsontext.Value(strings.TrimPrefix(string(body), "\xef\xbb\xbf")).IsValid(lenient, repetitive)
		if !valid && cause == source.CauseNone {
			t.Fatal("took malformed JSON")
		}
		again, cause2 := c.Decode(body, "lapsed.example")
		if cause != cause2 || !cmp.Equal(reg, again) {
			t.Fatal("a second reading differs")
		}
		if cause != source.CauseNone && !cmp.Equal(reg, source.Registration{}) {
			t.Fatal("a refused answer left something")
		}
		for _, list := range [][]string{reg.Statuses, reg.NameServers, reg.DS} {
			if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) || len(list) > maxList {
				t.Fatalf("not sorted and unique: %q", list)
			}
		}
		for _, s := range append(slices.Concat(reg.Statuses, reg.NameServers, reg.DS), reg.Registrar, saidRegistration(&reg)) {
			if s != upstream.Printable(s, source.MaxSaid+maxName) {
				t.Fatalf("not printable: %q", s)
			}
		}
		if got := saidRegistration(&reg); len(got) > source.MaxSaid {
			t.Fatalf("%d bytes said", len(got))
		}
	})
}
