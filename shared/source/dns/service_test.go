package dns

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

const ownSOA = "example.com. 60 IN SOA ns1.example.net. hostmaster.example.net. 1 1800 900 604800 60"

// serves is a name's own server that has its zone.
var serves = says("aa", ownSOA)

// world is example.com, delegated by com's server to servers of its own at 127.0.0.10 and up, one script each; a nil one
// is not there. The seam lets addresses of loopback pass for public.
type world struct {
	*Client
	zone, resolver *server
	own            []*server
}

func serviceWorld(t *testing.T, config Config, scripts ...script) world {
	t.Helper()
	var w world
	var ns, as []string
	for i := range scripts {
		host := fmt.Sprintf("ns%d.hoster.example.", i+1)
		ns = append(ns, "ns:example.com. 60 IN NS "+host)
		as = append(as, fmt.Sprintf("%s 60 IN A 127.0.0.%d", host, 10+i))
	}
	w.zone = serve(t, says(ns...))
	_, port, _ := net.SplitHostPort(w.zone.address)
	for i, script := range scripts {
		if script == nil {
			w.own = append(w.own, nil)
			continue
		}
		w.own = append(w.own, serveOn(t, fmt.Sprintf("127.0.0.%d:%s", 10+i, port), script))
	}
	w.resolver = serve(t, records(append(as, "com. 3600 IN NS a.nic.com.", "a.nic.com. 60 IN A 127.0.0.1")...))
	if config.Timeout == 0 {
		config.Timeout = 200 * time.Millisecond
	}
	w.Client = ownServers(t, w.resolver, w.zone, config)
	w.reachable = func(a netip.Addr) bool { return a.IsLoopback() }
	return w
}

var exampleCom = Question{Name: "example.com", Suffix: "com"}

// wantService checks the outcome, and that what is said is fit for evidence.
func wantService(t *testing.T, o source.Observation, want source.Serves, said ...string) {
	t.Helper()
	if o.Outcome != source.Observed || o.Service == nil || o.Service.Serves != want || o.Source != source.SourceServers {
		t.Fatalf("%s %s %q %+v, want %s", o.Outcome, o.Cause, o.Said, o.Service, want)
	}
	for _, s := range said {
		if !strings.Contains(o.Said, s) {
			t.Errorf("said %q, want %q in it", o.Said, s)
		}
	}
	if len(o.Said) > source.MaxSaid || strings.ContainsFunc(o.Said, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("said %q: not fit for evidence", o.Said)
	}
}

func TestServiceOfOneServer(t *testing.T) {
	long := strings.Repeat("x", 60)
	big := []string{"aa", ownSOA}
	for i := range 300 {
		big = append(big, fmt.Sprintf("ex:%s%d.example.com. 60 IN TXT %q", long, i, long))
	}
	cut := func(q *mdns.Msg, tcp bool) [][]byte {
		if !tcp {
			return [][]byte{packed(reply(q, "tc"))}
		}
		return serves(q, tcp)
	}
	wrongID := func(q *mdns.Msg, _ bool) [][]byte {
		m := reply(q, "REFUSED")
		m.Id++
		return [][]byte{packed(m)}
	}
	tests := map[string]struct {
		script script
		want   source.Serves
		said   string
	}{
		"served":                      {serves, source.Served, "served: ns1.hoster.example"},
		"served by alias":             {says("aa", "example.com. 60 IN CNAME example.org."), source.Served, ""},
		"served, in a strange way":    {says("aa", "ns:"+ownSOA), source.Served, ""},
		"served over TCP":             {cut, source.Served, ""},
		"huge over TCP":               {func(q *mdns.Msg, tcp bool) [][]byte { return hugeOverTCP(q, tcp, big) }, source.Served, ""},
		"REFUSED":                     {says("REFUSED"), source.Lame, "lame: ns1.hoster.example REFUSED"},
		"SERVFAIL":                    {says("SERVFAIL"), source.Lame, "SERVFAIL"},
		"NOTAUTH":                     {says("NOTAUTH"), source.Lame, "NOTAUTH"},
		"no such zone":                {says("aa", "NXDOMAIN"), source.Lame, "NXDOMAIN"},
		"without authority":           {says(ownSOA), source.Lame, "answer without authority"},
		"empty without authority":     {says(), source.Lame, "empty answer without authority"},
		"referral to the root":        {says("ns:. 60 IN NS a.root-servers.net."), source.Lame, "referral"},
		"referral to itself":          {says("ns:example.com. 60 IN NS ns1.hoster.example."), source.Lame, "referral"},
		"the zone above alone":        {says("aa", "ns:com. 60 IN SOA a. b. 1 2 3 4 5"), source.Lame, "only zone com"},
		"silent":                      {silent, source.Unreachable, "unreachable: ns1.hoster.example timeout"},
		"not there":                   {nil, source.Unreachable, "unreachable"},
		"wrong id":                    {wrongID, source.Unreachable, ""},
		"another name":                {says("aa", "example.org. 60 IN SOA a. b. 1 2 3 4 5"), source.Unreachable, "another name"},
		"format error":                {says("FORMERR"), source.Unreachable, "code 1"},
		"not implemented":             {says("NOTIMP"), source.Unreachable, "code 4"},
		"empty with authority":        {says("aa"), source.Unreachable, "empty answer"},
		"NXDOMAIN that has it":        {says("aa", "NXDOMAIN", ownSOA), source.Unreachable, ""},
		"cut, and TCP cut again":      {says("tc"), source.Unreachable, "truncated"},
		"forged case":                 {func(q *mdns.Msg, _ bool) [][]byte { return [][]byte{packed(inUpper(reply(q, "REFUSED")))} }, source.Unreachable, ""},
		"random data":                 {noise, source.Unreachable, ""},
		"the question, then nonsense": {afterQuestion([]byte{0xc0, 0x0c, 0, 6}), source.Unreachable, "malformed"},
		"a name that points at itself": {afterQuestion([]byte{0xc0, 0x1d, 0, 6, 0, 1, 0, 0, 0, 1, 0, 0}),
			source.Unreachable, "malformed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := serviceWorld(t, Config{}, test.script)
			o := w.Service(deadline(t), exampleCom)
			wantService(t, o, test.want, test.said)
			if lame := slices.Equal(o.Service.Lame, []string{"ns1.hoster.example"}); lame != (test.want == source.Lame) {
				t.Errorf("lame are %q", o.Service.Lame)
			}
			if w.own[0] == nil {
				return
			}
			for _, asked := range w.own[0].history() {
				if !strings.HasSuffix(asked, " example.com. SOA rd=false") {
					t.Errorf("it was asked %q", asked)
				}
			}
			if n := len(w.own[0].history()); n > 2*ownTries {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
}

// hugeOverTCP answers with as much as fits into a message of TCP, and cut short over UDP.
func hugeOverTCP(q *mdns.Msg, tcp bool, lines []string) [][]byte {
	if !tcp {
		return [][]byte{packed(reply(q, "tc"))}
	}
	m := reply(q, lines...)
	return [][]byte{packed(m)}
}

// inUpper has the question in upper case, as one who guesses at it might: serve gives it the case that was asked, unless
// the packet's own question is another name.
func inUpper(m *mdns.Msg) *mdns.Msg {
	m.Question[0].Name = "EXAMPLE.ORG."
	return m
}

// noise is a packet of random data that begins like a reply to the question.
func noise(q *mdns.Msg, _ bool) [][]byte {
	packet := make([]byte, 700)
	_, _ = rand.Read(packet)
	copy(packet, []byte{byte(q.Id >> 8), byte(q.Id), 0x84, 0})
	return [][]byte{packet}
}

// afterQuestion is a reply that has one answer, of these bytes.
func afterQuestion(tail []byte) script {
	return func(q *mdns.Msg, _ bool) [][]byte {
		packet := packed(reply(q, "aa"))
		packet[7] = 1
		return [][]byte{append(packet, tail...)}
	}
}

func TestServiceOfManyServers(t *testing.T) {
	refuses := says("REFUSED")
	tests := map[string]struct {
		scripts []script
		want    source.Serves
		lame    int
	}{
		"one lame among good ones":     {[]script{refuses, serves, serves}, source.Served, 1},
		"one good among lame ones":     {[]script{refuses, refuses, serves}, source.Served, 2},
		"all lame":                     {[]script{refuses, says("SERVFAIL"), says("NXDOMAIN")}, source.Lame, 3},
		"one lame, the others silent":  {[]script{silent, refuses, nil}, source.Lame, 1},
		"one serves, the other silent": {[]script{silent, serves}, source.Served, 0},
		"all silent":                   {[]script{silent, silent}, source.Unreachable, 0},
		"as many as are asked":         {slices.Repeat([]script{refuses}, maxOwn), source.Lame, maxOwn},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := serviceWorld(t, Config{}, test.scripts...)
			o := w.Service(deadline(t), exampleCom)
			wantService(t, o, test.want)
			if len(o.Service.Lame) != test.lame || len(o.Service.NS) != len(test.scripts) {
				t.Errorf("%d of %d are lame, want %d", len(o.Service.Lame), len(o.Service.NS), test.lame)
			}
		})
	}
}

// TestServiceBounds: whoever writes the delegation decides neither how many servers are asked nor how often.
func TestServiceBounds(t *testing.T) {
	t.Run("more servers than are asked", func(t *testing.T) {
		w := serviceWorld(t, Config{}, slices.Repeat([]script{says("REFUSED")}, maxOwn+5)...)
		o := w.Service(deadline(t), exampleCom)
		if o.Outcome != source.Unknown || o.Cause != source.CauseTooLarge {
			t.Errorf("%s %s %+v", o.Outcome, o.Cause, o.Service)
		}
		asked := 0
		for _, own := range w.own {
			asked += len(own.history())
		}
		if asked != maxOwn {
			t.Errorf("%d questions to %d servers", asked, len(w.own))
		}
	})
	t.Run("many names of one address", func(t *testing.T) {
		w := serviceWorld(t, Config{}, says("REFUSED"), nil, nil)
		w.resolver.follow(func(q *mdns.Msg, tcp bool) [][]byte {
			name := q.Question[0].Name
			return records("com. 60 IN NS a.nic.com.", "a.nic.com. 60 IN A 127.0.0.1", name+" 60 IN A 127.0.0.10")(q, tcp)
		})
		o := w.Service(deadline(t), exampleCom)
		wantService(t, o, source.Lame)
		if n := len(w.own[0].history()); n != 1 || len(o.Service.Lame) != 3 {
			t.Errorf("one server was asked %d times for three names; lame: %q", n, o.Service.Lame)
		}
	})
	t.Run("a silent server is left alone", func(t *testing.T) {
		at := time.Unix(1_790_000_000, 0)
		w := serviceWorld(t, Config{Timeout: 20 * time.Millisecond, Now: func() time.Time { return at }}, silent)
		for range 3 * quietAfter {
			wantService(t, w.Service(deadline(t), exampleCom), source.Unreachable)
		}
		if n := len(w.own[0].history()); n != quietAfter*ownTries {
			t.Errorf("it was asked %d times", n)
		}
		at = at.Add(quietFor)
		w.own[0].follow(serves)
		wantService(t, w.Service(deadline(t), exampleCom), source.Served)
	})
	t.Run("addresses are kept", func(t *testing.T) {
		w := serviceWorld(t, Config{}, serves, serves)
		for range 5 {
			wantService(t, w.Service(deadline(t), exampleCom), source.Served)
		}
		if n := len(w.resolver.history()); n != 4 { // com's servers and their address, and two of its own
			t.Errorf("the resolver was asked %d times: %q", n, w.resolver.history())
		}
	})
	t.Run("the caller's deadline", func(t *testing.T) {
		w := serviceWorld(t, Config{Timeout: time.Minute}, says("REFUSED"), silent)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if o := w.Service(ctx, exampleCom); o.Outcome != source.Unknown || o.Cause != source.CauseNotAsked {
			t.Errorf("%s %s %+v", o.Outcome, o.Cause, o.Service)
		}
	})
}

// TestServiceDifferentEachTime: what one server says is its word of that moment and nothing is kept of it.
func TestServiceDifferentEachTime(t *testing.T) {
	turn := 0
	w := serviceWorld(t, Config{}, func(q *mdns.Msg, tcp bool) [][]byte {
		turn++
		return []script{says("REFUSED"), serves, says("FORMERR"), says("FORMERR"), says("SERVFAIL")}[(turn-1)%5](q, tcp)
	})
	for _, want := range []source.Serves{source.Lame, source.Served, source.Unreachable, source.Lame, source.Lame, source.Served} {
		wantService(t, w.Service(deadline(t), exampleCom), want)
	}
}

// TestServiceAtPublicAddressesOnly: with the seam closed, what a delegation names on loopback is never asked.
func TestServiceAtPublicAddressesOnly(t *testing.T) {
	for _, glue := range []bool{false, true} {
		w := serviceWorld(t, Config{}, says("REFUSED"))
		w.reachable = Public
		if glue {
			w.zone.follow(says("ns:example.com. 60 IN NS ns1.example.com.", "ex:ns1.example.com. 60 IN A 127.0.0.10"))
		}
		wantService(t, w.Service(deadline(t), exampleCom), source.Unreachable, "no public address")
		if n := len(w.own[0].history()); n != 0 {
			t.Errorf("it was asked %d times", n)
		}
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "198.41.0.4": true, "172.32.0.1": true, "100.128.0.1": true, "2001:500:2::c": true, "2620:fe::fe": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"127.0.0.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false, "192.0.0.8": false,
		"192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "192.88.99.1": false,
		"224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::8.8.8.8": false, "::ffff:8.8.8.8": false, "::ffff:10.0.0.1": false, "64:ff9b::808:808": false,
		"64:ff9b:1::1": false, "100::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fc00::1": false, "fd00:ec2::254": false,
		"ff02::1": false, "2001:db8::1": false, "2001::1": false, "2001:10::1": false, "2002:808:808::1": false, "3fff::1": false, "5f00::1": false,
		"2606:4700::1111%1": false,
	} {
		if got := Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// TestServiceOfGlue: the address of a server below the name itself is the zone above's to give; the resolver cannot have it.
func TestServiceOfGlue(t *testing.T) {
	w := serviceWorld(t, Config{}, says("REFUSED"))
	w.zone.follow(says("ns:example.com. 60 IN NS ns1.example.com.", "ex:ns1.example.com. 60 IN A 127.0.0.10"))
	wantService(t, w.Service(deadline(t), exampleCom), source.Lame, "ns1.example.com REFUSED")
	// Glue of other names is not the zone's business, and is not taken.
	w.zone.follow(says("ns:example.com. 60 IN NS ns9.hoster.example.", "ex:ns9.hoster.example. 60 IN A 127.0.0.10"))
	wantService(t, w.Service(deadline(t), exampleCom), source.Unreachable, "no address")
}

func TestServiceOfTheZoneAbove(t *testing.T) {
	tests := map[string]struct {
		zone script
		want outcome
	}{
		"gone":   {says("aa", "NXDOMAIN", "ns:com. 60 IN SOA a. b. 1 2 3 4 5"), outcome{outcome: source.Unknown, cause: source.CauseNoServer, said: "delegated to nobody"}},
		"nodata": {says("aa", "ns:com. 60 IN SOA a. b. 1 2 3 4 5"), outcome{outcome: source.Unknown, cause: source.CauseNoServer, said: "delegated to nobody"}},
		"fails":  {says("SERVFAIL"), outcome{outcome: source.Unknown, cause: source.CauseServfail, said: "SERVFAIL"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := serviceWorld(t, Config{}, serves)
			w.zone.follow(test.zone)
			o := w.Service(deadline(t), exampleCom)
			if o.Outcome != test.want.outcome || o.Cause != test.want.cause || o.Said != test.want.said || len(w.own[0].history()) > 0 {
				t.Errorf("%s %s %q; it was asked %q", o.Outcome, o.Cause, o.Said, w.own[0].history())
			}
		})
	}
	w := serviceWorld(t, Config{}, silent)
	w.zone.follow(says("aa", "example.com. 60 IN NS ns1.hoster.example."))
	wantService(t, w.Service(deadline(t), exampleCom), source.Served, "zone above")
}

// TestServiceEvidence: the provider that gives the zone away, and a registrar's renaming, come before the servers.
func TestServiceEvidence(t *testing.T) {
	w := serviceWorld(t, Config{}, says("REFUSED"), says("REFUSED"))
	w.zone.follow(says("ns:example.com. 60 IN NS ns1.digitalocean.com.", "ns:example.com. 60 IN NS dropthishost-1.biz."))
	w.resolver.follow(records("com. 3600 IN NS a.nic.com.", "a.nic.com. 60 IN A 127.0.0.1",
		"ns1.digitalocean.com. 60 IN A 127.0.0.10", "dropthishost-1.biz. 60 IN A 127.0.0.11"))
	wantService(t, w.Service(deadline(t), exampleCom), source.Lame, "anybody can claim this zone at Digital Ocean; sacrificial: dropthishost-1.biz")
	if o := w.Delegation(deadline(t), "example.com", "com"); !strings.HasPrefix(o.Said, "sacrificial: dropthishost-1.biz is what GoDaddy") {
		t.Errorf("the delegation says %q", o.Said)
	}
}

// TestServiceInPlace: servers in the place of all servers are asked for the zone too.
func TestServiceInPlace(t *testing.T) {
	s := serve(t, func(q *mdns.Msg, tcp bool) [][]byte {
		if q.Question[0].Qtype == mdns.TypeNS {
			return says("ns:example.com. 60 IN NS ns1.hoster.example.", "ns:example.com. 60 IN NS ns2.hoster.example.")(q, tcp)
		}
		return says("REFUSED")(q, tcp)
	})
	c := client(t, Config{Servers: []string{s.address}})
	o := c.Service(deadline(t), exampleCom)
	wantService(t, o, source.Lame)
	if len(o.Service.Lame) != 2 || len(s.history()) != 2 {
		t.Errorf("lame: %q; asked: %q", o.Service.Lame, s.history())
	}
}

// FuzzService reads whatever a server sends: it never breaks, and nothing but a message about this zone, or a plain
// refusal, is a word of the server's.
func FuzzService(f *testing.F) {
	q := query{name: "example.com.", kind: mdns.TypeSOA}
	question := new(mdns.Msg).SetQuestion(q.name, q.kind)
	question.Id = 7
	for _, lines := range [][]string{{"aa", ownSOA}, {"REFUSED"}, {"aa", "NXDOMAIN"}, {"ns:. 60 IN NS a."}, {"aa", "ns:com. 60 IN SOA a. b. 1 2 3 4 5"}, {ownSOA}} {
		f.Add(packed(reply(question, lines...)))
	}
	f.Add(afterQuestion([]byte{0xc0, 0x1d, 0, 6})(question, false)[0])
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, ours, err := decode(packet, 7, q)
		if !ours || err != nil {
			return
		}
		word := judgeSOA(q.name, m)
		switch word.serves {
		case source.Served:
			if !m.Authoritative && len(m.Answer) > 0 {
				t.Errorf("served without authority: %s", m)
			}
		case source.Lame:
			if m.Authoritative && m.Rcode == mdns.RcodeSuccess && len(m.Answer) > 0 {
				t.Errorf("lame with an answer of authority: %s", m)
			}
		case source.Unreachable:
		default:
			t.Errorf("no word: %q", word.serves)
		}
		v := judgeOwn([]string{"ns1.example.net"}, []ownWord{word})
		if len(v.said) > source.MaxSaid || strings.ContainsFunc(v.said, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("said %q", v.said)
		}
	})
}
