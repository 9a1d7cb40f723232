package dns

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("", 3600))

// brief is the time given to servers that stay silent. Those that answer take microseconds; the rest is for
// a busy machine.
const brief = 400 * time.Millisecond

func client(t testing.TB, config Config) *Client {
	t.Helper()
	if config.Now == nil {
		config.Now = func() time.Time { return noon }
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

const soaOf = " 900 IN SOA a.example. b.example. 1 2 3 4 5"

// outcome is an expected observation: its form, or its cause.
type outcome struct {
	outcome source.Outcome
	cause   source.Cause
	form    string
	ns      []string
	said    string
}

func check(t *testing.T, got source.Observation, want outcome) {
	t.Helper()
	form, ns := "", []string(nil)
	if got.Delegation != nil {
		form, ns = got.Delegation.Form, got.Delegation.NS
	}
	if got.Outcome != want.outcome || got.Cause != want.cause || form != want.form ||
		!slices.Equal(ns, want.ns) || got.Said != want.said {
		t.Errorf("got %s %q %s %v %q\nwant %+v", got.Outcome, got.Cause, form, ns, got.Said, want)
	}
	if (got.Delegation != nil) != (got.Outcome == source.Observed) || got.Mail != nil {
		t.Errorf("pointers do not fit outcome %s", got.Outcome)
	}
	if got.Source != source.SourceDelegation || !got.At.Equal(noon) || got.At.Location() != time.UTC {
		t.Errorf("source %s at %s", got.Source, got.At)
	}
}

func TestDelegationOutcomes(t *testing.T) {
	const name, suffix = "foo.co.uk", "co.uk"
	gone := func(said string) outcome { return outcome{outcome: source.Absent, said: said} }
	not := func(cause source.Cause, said string) outcome {
		return outcome{outcome: source.Unknown, cause: cause, said: said}
	}
	is := func(form, said string, ns ...string) outcome {
		return outcome{outcome: source.Observed, form: form, ns: ns, said: said}
	}
	tests := map[string]struct {
		lines []string
		want  outcome
	}{
		"referral": {
			[]string{"ns:foo.co.uk. 1 IN NS B.Example.NET.", "ns:FOO.co.uk. 1 IN NS a.example.net.", "ns:foo.co.uk. 1 IN NS b.example.net.", "ex:a.example.net. 1 IN A 192.0.2.1"},
			is("referral", "NS a.example.net b.example.net", "a.example.net", "b.example.net"),
		},
		"referral with the authority bit": {[]string{"aa", "ns:foo.co.uk. 1 IN NS a.example."}, is("referral", "NS a.example", "a.example")},
		"referral with DS of the child":   {[]string{"ns:foo.co.uk. 1 IN DS 1 8 2 00", "ns:foo.co.uk. 1 IN NS a.example."}, is("referral", "NS a.example", "a.example")},
		"parent and child hosted":         {[]string{"aa", "foo.co.uk. 1 IN NS b.example.", "foo.co.uk. 1 IN NS a.example."}, is("authority", "authority NS a.example b.example", "a.example", "b.example")},
		"address in the zone":             {[]string{"aa", "foo.co.uk. 1 IN A 192.0.2.1"}, is("authority", "authority A")},
		"alias":                           {[]string{"aa", "foo.co.uk. 1 IN CNAME bar.example."}, is("authority", "authority CNAME")},
		"alias of a missing name":         {[]string{"aa", "NXDOMAIN", "foo.co.uk. 1 IN CNAME bar.example.", "ns:example." + soaOf}, is("authority", "authority CNAME")},
		"answer without authority":        {[]string{"foo.co.uk. 1 IN NS a.example."}, not(source.CauseLame, "answer without authority")},
		"answer of another name":          {[]string{"aa", "bar.co.uk. 1 IN NS a.example."}, not(source.CauseWrongName, "answer about bar.co.uk")},
		"nodata":                          {[]string{"aa", "ns:co.uk." + soaOf}, is("nodata", "NODATA")},
		"nodata of the zone further up":   {[]string{"aa", "ns:uk." + soaOf}, is("nodata", "NODATA")},
		"nodata, SOA without authority":   {[]string{"ns:co.uk." + soaOf}, is("nodata", "NODATA")},
		"nodata without SOA":              {[]string{"aa"}, is("nodata", "NODATA")},
		"nodata of the child":             {[]string{"aa", "ns:foo.co.uk." + soaOf}, is("authority", "authority NODATA")},
		"nodata of the root":              {[]string{"aa", "ns:." + soaOf}, not(source.CauseLame, "NODATA from zone .")},
		"nodata of a stranger":            {[]string{"aa", "ns:example.org." + soaOf}, not(source.CauseLame, "NODATA from zone example.org")},
		"nothing without authority":       {nil, not(source.CauseLame, "empty answer without authority")},
		"nxdomain":                        {[]string{"aa", "NXDOMAIN", "ns:co.uk." + soaOf}, gone("NXDOMAIN")},
		"nxdomain without SOA":            {[]string{"aa", "NXDOMAIN"}, gone("NXDOMAIN")},
		"nxdomain by SOA":                 {[]string{"NXDOMAIN", "ns:CO.uk." + soaOf}, gone("NXDOMAIN")},
		"nxdomain by nobody":              {[]string{"NXDOMAIN"}, not(source.CauseLame, "NXDOMAIN without authority")},
		"nxdomain of the root":            {[]string{"aa", "NXDOMAIN", "ns:." + soaOf}, not(source.CauseLame, "NXDOMAIN from zone .")},
		"nxdomain of a stranger":          {[]string{"aa", "NXDOMAIN", "ns:com." + soaOf}, not(source.CauseLame, "NXDOMAIN from zone com")},
		"nxdomain of the child itself":    {[]string{"aa", "NXDOMAIN", "ns:foo.co.uk." + soaOf}, not(source.CauseLame, "NXDOMAIN from zone foo.co.uk")},
		"nxdomain with records":           {[]string{"aa", "NXDOMAIN", "foo.co.uk. 1 IN NS a.example."}, not(source.CauseMalformed, "NXDOMAIN with records of the name")},
		"nxdomain behind a DNAME":         {[]string{"aa", "NXDOMAIN", "co.uk. 1 IN DNAME example.", "foo.co.uk. 0 IN CNAME foo.example."}, not(source.CauseWrongName, "DNAME at co.uk")},
		"DNAME at the name":               {[]string{"aa", "foo.co.uk. 1 IN DNAME example."}, is("authority", "authority DNAME")},
		"servfail":                        {[]string{"SERVFAIL"}, not(source.CauseServfail, "SERVFAIL")},
		"refused":                         {[]string{"REFUSED"}, not(source.CauseRefused, "REFUSED")},
		"notimp":                          {[]string{"NOTIMP"}, not(source.CauseRefused, "NOTIMP")},
		"formerr":                         {[]string{"FORMERR"}, not(source.CauseMalformed, "FORMERR")},
		"notauth":                         {[]string{"NOTAUTH"}, not(source.CauseLame, "NOTAUTH")},
		"upward referral":                 {[]string{"ns:. 1 IN NS a.root-servers.net."}, not(source.CauseLame, "referral to .")},
		"referral to itself":              {[]string{"ns:co.uk. 1 IN NS a.example."}, not(source.CauseLame, "referral to co.uk")},
		"referral for another name":       {[]string{"ns:bar.co.uk. 1 IN NS a.example."}, not(source.CauseLame, "referral to bar.co.uk")},
		"referral below the name":         {[]string{"ns:x.foo.co.uk. 1 IN NS a.example."}, not(source.CauseLame, "referral to x.foo.co.uk")},
		"referral in another class":       {[]string{"aa", "ns:foo.co.uk. 1 CH NS a.example."}, not(source.CauseLame, "referral to foo.co.uk")},
		"hostile name servers": {
			[]string{`ns:foo.co.uk. 1 IN NS a\ b\000c\"\.d.Example.`, "ns:foo.co.uk. 1 IN NS ."},
			is("referral", `NS . a\032b\000c\034\046d.example`, ".", `a\032b\000c\034\046d.example`),
		},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			s := serve(t, says(tt.lines...))
			c := client(t, Config{Servers: []string{s.address}})
			got := c.Delegation(deadline(t), name, suffix)
			check(t, got, tt.want)
			if got.Server != suffix {
				t.Errorf("server %q", got.Server)
			}
			if asked := s.history()[0]; asked != "udp foo.co.uk. NS rd=false" {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

func many(n int, format string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(format, i)
	}
	return lines
}

func TestTruncated(t *testing.T) {
	overTCP := func(lines ...string) script {
		return func(question *mdns.Msg, tcp bool) [][]byte {
			if !tcp {
				return [][]byte{packed(reply(question, "tc"))}
			}
			if lines == nil {
				return nil
			}
			return [][]byte{packed(reply(question, lines...))}
		}
	}
	tests := map[string]struct {
		script script
		check  func(source.Observation) bool
	}{
		"had over TCP": {overTCP(many(60, "ns:foo.com. 1 IN NS ns%02d.a-rather-long-name-of-a-provider.example.")...), func(o source.Observation) bool {
			return o.Outcome == source.Observed && len(o.Delegation.NS) == 60 && len(o.Said) == source.MaxSaid
		}},
		"huge set":           {overTCP(many(1500, "ns:foo.com. 1 IN NS ns%d.example.")...), hasCause(source.CauseTooLarge)},
		"huge set in answer": {overTCP(append(many(1500, "foo.com. 1 IN NS ns%d.example."), "aa")...), hasCause(source.CauseTooLarge)},
		"truncated again":    {overTCP("tc"), hasCause(source.CauseTruncated)},
		"silent over TCP":    {overTCP(), hasCause(source.CauseTruncated)},
		"absent over TCP":    {overTCP("aa", "NXDOMAIN"), func(o source.Observation) bool { return o.Outcome == source.Absent }},
		"truncated NXDOMAIN": {says("aa", "NXDOMAIN", "tc"), hasCause(source.CauseTruncated)},
		"malformed over TCP": {tcpRaw([]byte("nonsense")), hasCause(source.CauseTruncated)},
		"cut short over TCP": {tcpCut, hasCause(source.CauseMalformed)},
		"larger than promised": {says(many(40, "ns:foo.com. 1 IN NS ns%02d.a-rather-long-name-of-a-provider.example.")...), func(o source.Observation) bool {
			return o.Outcome == source.Observed && len(o.Delegation.NS) == 40
		}},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			s := serve(t, tt.script)
			limit := 20 * time.Second
			if strings.HasPrefix(title, "silent") {
				limit = brief
			}
			c := client(t, Config{Servers: []string{s.address}, Timeout: limit, Tries: 1})
			if got := c.Delegation(deadline(t), "foo.com", "com"); !tt.check(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func hasCause(cause source.Cause) func(source.Observation) bool {
	return func(o source.Observation) bool { return o.Outcome == source.Unknown && o.Cause == cause }
}

func tcpRaw(packet []byte) script {
	return func(question *mdns.Msg, tcp bool) [][]byte {
		if !tcp {
			return [][]byte{packed(reply(question, "tc"))}
		}
		return [][]byte{packet}
	}
}

func tcpCut(question *mdns.Msg, tcp bool) [][]byte {
	if !tcp {
		return [][]byte{packed(reply(question, "tc"))}
	}
	packet := packed(reply(question, "ns:foo.com. 1 IN NS a.example."))
	return [][]byte{packet[:len(packet)-3]}
}

func TestHostilePackets(t *testing.T) {
	change := func(edit func(packet []byte) []byte) script {
		return func(question *mdns.Msg, _ bool) [][]byte {
			return [][]byte{edit(packed(reply(question, "aa", "NXDOMAIN")))}
		}
	}
	tests := map[string]struct {
		script script
		want   source.Cause
	}{
		"silence":  {silent, source.CauseTimeout},
		"wrong id": {change(func(p []byte) []byte { p[0] ^= 1; return p }), source.CauseMalformed},
		"wrong question": {func(question *mdns.Msg, _ bool) [][]byte {
			m := reply(question, "aa", "NXDOMAIN")
			m.Question[0].Name = "bar.com."
			return [][]byte{packed(m)}
		}, source.CauseMalformed},
		"wrong type": {func(question *mdns.Msg, _ bool) [][]byte {
			m := reply(question, "aa", "NXDOMAIN")
			m.Question[0].Qtype = mdns.TypeA
			return [][]byte{packed(m)}
		}, source.CauseMalformed},
		"no question": {func(question *mdns.Msg, _ bool) [][]byte {
			m := reply(question, "aa", "NXDOMAIN")
			m.Question = nil
			return [][]byte{packed(m)}
		}, source.CauseMalformed},
		"refusal without question": {func(question *mdns.Msg, _ bool) [][]byte {
			m := reply(question, "REFUSED")
			m.Question = nil
			return [][]byte{packed(m)}
		}, source.CauseRefused},
		"the question itself": {change(func(p []byte) []byte { p[2] &^= 0x80; return p }), source.CauseMalformed},
		"another opcode":      {change(func(p []byte) []byte { p[2] |= 0x28; return p }), source.CauseMalformed},
		"empty":               {change(func([]byte) []byte { return nil }), source.CauseMalformed},
		"header only":         {change(func(p []byte) []byte { return p[:headerSize] }), source.CauseMalformed},
		"counts that lie":     {change(func(p []byte) []byte { p[9] = 7; return p }), source.CauseMalformed},
		"cut at a record": {func(question *mdns.Msg, _ bool) [][]byte {
			whole := packed(reply(question, "aa", "ns:foo.com. 1 IN NS a.example."))
			empty := packed(reply(question, "aa"))
			return [][]byte{whole[:len(empty)]}
		}, source.CauseMalformed},
		"pointer loop": {change(func(p []byte) []byte { p[7] = 1; return append(p, 0xc0, byte(len(p)), 0, 2, 0, 1) }), source.CauseMalformed},
		"record without data": {change(func(p []byte) []byte { // an NS record of foo.com with no name in it
			p[3] &^= 0x0f
			p[9] = 1
			return append(p, 0xc0, headerSize, 0, 2, 0, 1, 0, 0, 0, 1, 0, 0)
		}), source.CauseMalformed},
		"noise": {func(*mdns.Msg, bool) [][]byte { return [][]byte{make([]byte, 600), {1, 2, 3}} }, source.CauseMalformed},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel() // most of them wait for the timeout
			s := serve(t, tt.script)
			c := client(t, Config{Servers: []string{s.address}, Timeout: brief, Tries: 1})
			check(t, c.Delegation(deadline(t), "foo.com", "com"), outcome{outcome: source.Unknown, cause: tt.want, said: saidOf(tt.want)})
		})
	}
}

func saidOf(cause source.Cause) string {
	if cause == source.CauseRefused {
		return "REFUSED"
	}
	return ""
}

// TestForgeriesBeforeTheAnswer: what does not answer the question is passed over, and the answer counts.
func TestForgeriesBeforeTheAnswer(t *testing.T) {
	forged := func(n int) script {
		return func(question *mdns.Msg, tcp bool) [][]byte {
			var packets [][]byte
			if !tcp {
				for i := range n {
					forgery := reply(question, "aa", "NXDOMAIN")
					forgery.Id += uint16(i + 1)
					packets = append(packets, packed(forgery))
				}
			}
			return append(packets, packed(reply(question, "ns:foo.com. 1 IN NS a.example.")))
		}
	}
	for _, n := range []int{1, maxStrays - 1, maxStrays, 4 * maxStrays} {
		s := serve(t, forged(n))
		c := client(t, Config{Servers: []string{s.address}})
		got := c.Delegation(deadline(t), "foo.com", "com")
		check(t, got, outcome{outcome: source.Observed, form: "referral", ns: []string{"a.example"}, said: "NS a.example"})
		if overTCP := strings.HasPrefix(s.history()[len(s.history())-1], "tcp"); overTCP != (n >= maxStrays) {
			t.Errorf("%d forgeries: asked %v", n, s.history())
		}
	}
}

func TestLateAnswerDoesNotMeetTheNextQuestion(t *testing.T) {
	var first atomic.Pointer[mdns.Msg]
	s := serve(t, func(question *mdns.Msg, _ bool) [][]byte {
		if first.CompareAndSwap(nil, question) {
			return nil
		}
		late := packed(reply(first.Load(), "aa", "NXDOMAIN"))
		return [][]byte{late, packed(reply(question, "ns:foo.com. 1 IN NS a.example."))}
	})
	c := client(t, Config{Servers: []string{s.address}, Timeout: brief})
	got := c.Delegation(deadline(t), "foo.com", "com")
	check(t, got, outcome{outcome: source.Observed, form: "referral", ns: []string{"a.example"}, said: "NS a.example"})
}

func TestNextServerAfterAFailure(t *testing.T) {
	for title, bad := range map[string]script{
		"silent": silent, "servfail": says("SERVFAIL"), "refused": says("REFUSED"), "lame": says("NXDOMAIN"),
	} {
		t.Run(title, func(t *testing.T) {
			first, second := serve(t, bad), serve(t, says("aa", "NXDOMAIN"))
			c := client(t, Config{Servers: []string{first.address, second.address}, Timeout: brief})
			check(t, c.Delegation(deadline(t), "foo.com", "com"), outcome{outcome: source.Absent, said: "NXDOMAIN"})
			check(t, c.Delegation(deadline(t), "bar.com", "com"), outcome{outcome: source.Absent, said: "NXDOMAIN"})
			if n := len(first.history()); n != 1 {
				t.Errorf("the bad server was asked %d times: %v", n, first.history())
			}
		})
	}
}

func TestTries(t *testing.T) {
	s := serve(t, says("SERVFAIL"))
	c := client(t, Config{Servers: []string{s.address}, Tries: 3})
	check(t, c.Delegation(deadline(t), "foo.com", "com"), outcome{outcome: source.Unknown, cause: source.CauseServfail, said: "SERVFAIL"})
	if n := len(s.history()); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

func TestUnreachable(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets.Close()
	c := client(t, Config{Servers: []string{packets.LocalAddr().String()}})
	check(t, c.Delegation(deadline(t), "foo.com", "com"), outcome{outcome: source.Unknown, cause: source.CauseUnreachable})
}

func TestBadQuestions(t *testing.T) {
	s := serve(t, says("aa", "NXDOMAIN"))
	c := client(t, Config{Servers: []string{s.address}})
	for _, q := range []Question{
		{"", ""}, {"com", "com"}, {"foo.org", "com"}, {"foo.com", ""}, {"foocom", "com"},
		{"a..com", "com"}, {strings.Repeat("a", 64) + ".com", "com"},
	} {
		check(t, c.Delegation(deadline(t), q.Name, q.Suffix), outcome{outcome: source.Unknown, cause: source.CauseInternal})
	}
	if asked := s.history(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestContextEnds(t *testing.T) {
	s := serve(t, silent)
	c := client(t, Config{Servers: []string{s.address}, Timeout: time.Minute})
	notAsked := outcome{outcome: source.Unknown, cause: source.CauseNotAsked}
	for _, limit := range []time.Duration{-1, brief} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		check(t, c.Delegation(ctx, "foo.com", "com"), notAsked)
		for _, observation := range c.Delegations(ctx, questions(100)) {
			check(t, observation, notAsked)
		}
		cancel()
	}
}

func questions(n int) []Question {
	all := make([]Question, n)
	for i := range all {
		all[i] = Question{Name: fmt.Sprintf("d%d.com", i), Suffix: "com"}
	}
	return all
}

func TestDelegationsKeepTheirPlaces(t *testing.T) {
	byName := func(question *mdns.Msg, _ bool) [][]byte {
		name := question.Question[0].Name
		if strings.HasPrefix(name, "d7") {
			return [][]byte{packed(reply(question, "aa", "NXDOMAIN"))}
		}
		return [][]byte{packed(reply(question, "ns:"+name+" 1 IN NS ns."+name))}
	}
	servers := []*server{serve(t, byName), serve(t, byName)}
	c := client(t, Config{Servers: []string{servers[0].address, servers[1].address}, InFlight: 8})
	for range 2 { // the second time over kept sockets
		for i, got := range c.Delegations(deadline(t), questions(1500)) {
			name := fmt.Sprintf("d%d.com", i)
			want := outcome{outcome: source.Observed, form: "referral", ns: []string{"ns." + name}, said: "NS ns." + name}
			if strings.HasPrefix(name, "d7") {
				want = outcome{outcome: source.Absent, said: "NXDOMAIN"}
			}
			check(t, got, want)
		}
	}
	if a, b := len(servers[0].history()), len(servers[1].history()); a+b != 3000 || a == 0 || b == 0 {
		t.Errorf("asked %d and %d", a, b)
	}
	if none := c.Delegations(deadline(t), nil); len(none) != 0 {
		t.Errorf("%d answers to no question", len(none))
	}
}

// TestSilentZoneLeavesTimeForOthers: a dead zone's rest is not asked, the other zone's questions are.
func TestSilentZoneLeavesTimeForOthers(t *testing.T) {
	s := serve(t, func(question *mdns.Msg, _ bool) [][]byte {
		if strings.HasSuffix(question.Question[0].Name, ".com.") {
			return nil
		}
		return [][]byte{packed(reply(question, "aa", "NXDOMAIN"))}
	})
	c := client(t, Config{Servers: []string{s.address}, InFlight: 4, Timeout: brief, Tries: 1})
	got := c.Delegations(deadline(t), append(questions(400), Question{"foo.org", "org"}))
	counts := map[source.Cause]int{}
	for _, observation := range got {
		counts[observation.Cause]++
	}
	if got[400].Outcome != source.Absent || counts[source.CauseTimeout] < 8 || counts[source.CauseTimeout] > 12 ||
		counts[source.CauseTimeout]+counts[source.CauseNotAsked] != 400 {
		t.Errorf("last %+v, causes %v", got[400], counts)
	}
}

func TestPanicIsOneDomainsOwn(t *testing.T) {
	c := client(t, Config{Servers: []string{"127.0.0.1:9"}})
	v := c.guarded("foo.com", func() verdict { panic("boom") })
	if v.outcome != source.Unknown || v.cause != source.CauseInternal {
		t.Errorf("got %+v", v)
	}
}

func TestMail(t *testing.T) {
	tests := map[string]struct {
		lines []string
		hosts []string
		said  string
		cause source.Cause
	}{
		"set":                 {[]string{"foo.com. 1 IN MX 10 MX2.Example.", "foo.com. 1 IN MX 5 mx1.example.", "foo.com. 1 IN MX 20 mx1.example."}, []string{"mx1.example", "mx2.example"}, "MX mx1.example mx2.example", ""},
		"null":                {[]string{"foo.com. 1 IN MX 0 ."}, []string{"."}, "null MX", ""},
		"null beside others":  {[]string{"foo.com. 1 IN MX 0 .", "foo.com. 1 IN MX 5 mx1.example."}, []string{"mx1.example"}, "MX mx1.example", ""},
		"none":                {[]string{"ns:foo.com." + soaOf}, nil, "no MX", ""},
		"no such name":        {[]string{"NXDOMAIN", "ns:com." + soaOf}, nil, "NXDOMAIN", ""},
		"behind an alias":     {[]string{"foo.com. 1 IN CNAME bar.com.", "bar.com. 1 IN CNAME baz.com.", "baz.com. 1 IN MX 5 mx1.example."}, []string{"mx1.example"}, "MX mx1.example", ""},
		"alias loop":          {[]string{"foo.com. 1 IN CNAME bar.com.", "bar.com. 1 IN CNAME foo.com."}, nil, "no MX", ""},
		"of another name":     {[]string{"bar.com. 1 IN MX 5 mx1.example."}, nil, "MX of another name", source.CauseWrongName},
		"servfail":            {[]string{"SERVFAIL"}, nil, "SERVFAIL", source.CauseServfail},
		"refused":             {[]string{"REFUSED"}, nil, "REFUSED", source.CauseRefused},
		"not a resolver":      {[]string{"ns:com. 1 IN NS a.example."}, nil, "referral from a resolver", source.CauseLame},
		"more than is honest": {many(maxHosts+1, "foo.com. 1 IN MX 5 mx%d.e."), nil, "65 MX", source.CauseTooLarge},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			s := serve(t, says(tt.lines...))
			c := client(t, Config{Resolver: s.address})
			got := c.Mail(deadline(t), "foo.com")
			want := source.Observation{Source: source.SourceMail, Server: "resolver", At: noon.UTC(), Outcome: source.Observed, Said: tt.said}
			if tt.cause != "" {
				want.Outcome, want.Cause = source.Unknown, tt.cause
			} else {
				want.Mail = &source.Mail{Hosts: tt.hosts, Own: len(tt.hosts) == 0}
				if want.Mail.Own {
					want.Mail.Addresses = []string{}
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			if asked := s.history()[0]; asked != "udp foo.com. MX rd=true" {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

// Of hosts at or below the name, and of the name itself where there is no MX, the addresses are asked.
func TestMailAddresses(t *testing.T) {
	at := func(records map[string][]string) script {
		return func(q *mdns.Msg, tcp bool) [][]byte {
			return says(records[q.Question[0].Name+" "+mdns.TypeToString[q.Question[0].Qtype]]...)(q, tcp)
		}
	}
	soa := []string{"ns:foo.com." + soaOf}
	for title, tt := range map[string]struct {
		records map[string][]string
		want    source.Mail
		asked   int
	}{
		"a provider's": {map[string][]string{"foo.com. MX": {"foo.com. 1 IN MX 5 mx.notfoo.com."}}, source.Mail{Hosts: []string{"mx.notfoo.com"}}, 1},
		"its own": {map[string][]string{
			"foo.com. MX": {"foo.com. 1 IN MX 5 mx.foo.com.", "foo.com. 1 IN MX 9 mx.example."}, "mx.foo.com. A": {"mx.foo.com. 1 IN A 192.0.2.9", "mx.foo.com. 1 IN A 192.0.2.1"}, "mx.foo.com. AAAA": {"mx.foo.com. 1 IN AAAA 2001:db8::1"},
		}, source.Mail{Hosts: []string{"mx.example", "mx.foo.com"}, Own: true, Addresses: []string{"192.0.2.1", "192.0.2.9", "2001:db8::1"}}, 3},
		"itself": {map[string][]string{
			"foo.com. MX": {"foo.com. 1 IN MX 5 foo.com."}, "foo.com. A": {"foo.com. 1 IN A 192.0.2.1"}, "foo.com. AAAA": soa,
		}, source.Mail{Hosts: []string{"foo.com"}, Own: true, Addresses: []string{"192.0.2.1"}}, 3},
		"none": {map[string][]string{"foo.com. MX": soa, "foo.com. A": {"foo.com. 1 IN A 192.0.2.1"}, "foo.com. AAAA": soa}, source.Mail{Own: true, Addresses: []string{"192.0.2.1"}}, 3},
		"null": {map[string][]string{"foo.com. MX": {"foo.com. 1 IN MX 0 ."}}, source.Mail{Hosts: []string{"."}}, 1},
		"nowhere": {map[string][]string{"foo.com. MX": {"foo.com. 1 IN MX 5 mx.foo.com."}, "mx.foo.com. A": soa, "mx.foo.com. AAAA": soa},
			source.Mail{Hosts: []string{"mx.foo.com"}, Own: true, Addresses: []string{}}, 3},
		"not to be had": {map[string][]string{
			"foo.com. MX": {"foo.com. 1 IN MX 5 mx.foo.com."}, "mx.foo.com. A": {"mx.foo.com. 1 IN A 192.0.2.1"}, "mx.foo.com. AAAA": {"SERVFAIL"},
		}, source.Mail{Hosts: []string{"mx.foo.com"}, Own: true}, 4},
		"more than is honest": {map[string][]string{"foo.com. MX": many(maxOwnMail+1, "foo.com. 1 IN MX 5 mx%d.foo.com.")},
			source.Mail{Hosts: []string{"mx0.foo.com", "mx1.foo.com", "mx2.foo.com", "mx3.foo.com", "mx4.foo.com", "mx5.foo.com", "mx6.foo.com", "mx7.foo.com", "mx8.foo.com"}, Own: true}, 1},
	} {
		t.Run(title, func(t *testing.T) {
			s := serve(t, at(tt.records))
			got := client(t, Config{Resolver: s.address}).Mail(deadline(t), "foo.com")
			if got.Mail == nil || !reflect.DeepEqual(*got.Mail, tt.want) || len(s.history()) != tt.asked {
				t.Errorf("got %+v after %v, want %+v after %d questions", got.Mail, s.history(), tt.want, tt.asked)
			}
		})
	}
}

// Two servers of the zone must agree, and the second is asked over TCP.
func TestConfirm(t *testing.T) {
	const home, other = "ns:foo.com. 1 IN NS a.example.", "ns:foo.com. 1 IN NS b.example."
	silent := func(*mdns.Msg, bool) [][]byte { return nil }
	for title, tt := range map[string]struct {
		first, second script
		outcome       source.Outcome
		cause         source.Cause
	}{
		"both":                 {says(home), says(home), source.Observed, ""},
		"the second differs":   {says(home), says(other), source.Unknown, source.CauseDisagree},
		"the second has none":  {says(home), says("aa", "NXDOMAIN"), source.Unknown, source.CauseDisagree},
		"the second is silent": {says(home), silent, source.Observed, ""}, // the first is asked, over TCP
		"neither over TCP": {func(q *mdns.Msg, tcp bool) [][]byte {
			if tcp {
				return nil
			}
			return says(home)(q, tcp)
		}, silent, source.Unknown, source.CauseTimeout},
	} {
		t.Run(title, func(t *testing.T) {
			first, second := serve(t, tt.first), serve(t, tt.second)
			c := client(t, Config{Servers: []string{first.address, second.address}, Timeout: 200 * time.Millisecond})
			got := c.Confirm(deadline(t), Question{"foo.com", "com"})
			if got.Outcome != tt.outcome || got.Cause != tt.cause {
				t.Errorf("%s (%s): %s, want %s (%s)", got.Outcome, got.Cause, got.Said, tt.outcome, tt.cause)
			}
			if first.over("tcp")+second.over("tcp") == 0 || first.over("udp") != 1 || second.over("udp") != 0 {
				t.Errorf("asked %v and %v", first.history(), second.history())
			}
		})
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []Config{
		{Servers: []string{""}}, {Servers: []string{":53"}}, {Servers: []string{"a:b:c"}}, {Servers: []string{"192.0.2.1:"}},
		{Resolver: "a:b:c"}, {Resolver: "r", Tries: -1}, {Resolver: "r", Tries: maxTries + 1},
		{Resolver: "r", InFlight: maxInFlight + 1}, {Resolver: "r", Timeout: -1},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("New(%+v) has no error", bad)
		}
	}
	for server, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5353": "192.0.2.1:5353", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]:5353": "[2001:db8::1]:5353", "resolver": "resolver:53",
	} {
		if got, err := hostPort(server); got != want || err != nil {
			t.Errorf("hostPort(%q) = %q, %v", server, got, err)
		}
	}
}

func TestSystemResolver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if _, err := resolverAddress("", file); err == nil {
		t.Error("no error without a file")
	}
	for content, want := range map[string]string{
		"search example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n": "192.0.2.53:53", "# empty\n": "",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := resolverAddress("", file); got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v", content, got, err)
		}
	}
}

// BenchmarkDelegation asks over loopback, in the way one message of the queue is worked on. The server
// shares the processors.
func BenchmarkDelegation(b *testing.B) {
	s := serve(b, func(question *mdns.Msg, _ bool) [][]byte {
		name := question.Question[0].Name
		return [][]byte{packed(reply(question, "ns:"+name+" 1 IN NS a.example.", "ns:"+name+" 1 IN NS b.example."))}
	})
	c := client(b, Config{Servers: []string{s.address}})
	all := questions(1000)
	b.ReportAllocs()
	for b.Loop() {
		for _, observation := range c.Delegations(b.Context(), all) {
			if observation.Outcome != source.Observed {
				b.Fatal(observation)
			}
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(all))/b.Elapsed().Seconds(), "questions/s")
}
