package dns

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/source"
)

func TestCaseOfAName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`([a-z0-9_-]{1,63}\.){1,3}`).Draw(t, "name")
		random := rapid.Uint64().Draw(t, "random")
		packet := make([]byte, headerSize+255)
		end, err := mdns.PackDomainName(name, packet, headerSize, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		packet = packet[:end]
		before := bytes.Clone(packet)
		setCase(packet[headerSize:], random)
		if !sameCase(packet, random) || !bytes.Equal(bytes.ToLower(packet), before) {
			t.Fatalf("%x became %x", before, packet)
		}
		setCase(packet[headerSize:], ^random)
		if letters := strings.ContainsFunc(name, func(r rune) bool { return 'a' <= r && r <= 'z' }); letters && sameCase(packet, random) {
			t.Fatalf("%x passes for its contrary", packet)
		}
		setCase(packet[headerSize:], 0)
		if !bytes.Equal(packet, before) {
			t.Fatalf("%x is not lower case", packet)
		}
		for cut := range packet {
			sameCase(packet[:cut], random) // must not panic, and is no copy without its end
		}
	})
	compressed := append(make([]byte, headerSize), 1, 'a', 0xc0, headerSize)
	if sameCase(compressed, 0) || sameCase(nil, 0) || sameCase(compressed[:headerSize], 0) {
		t.Error("what cannot be read passes for a copy")
	}
}

// TestQuestionsGoOutInRandomCase: by themselves and in batches, the same name differently each time.
func TestQuestionsGoOutInRandomCase(t *testing.T) {
	s := serve(t, func(question *mdns.Msg, _ bool) [][]byte { return [][]byte{referral(question)} })
	c := client(t, Config{Servers: []string{s.address}})
	many := slices.Repeat([]Question{{"a-rather-long-name.com", "com"}}, 40)
	for _, o := range c.Delegations(deadline(t), many) {
		check(t, o, referred("a-rather-long-name.com"))
	}
	for range 10 {
		check(t, c.Delegation(deadline(t), "a-rather-long-name.com", "com"), referred("a-rather-long-name.com"))
	}
	if n := len(s.spellings()); n < 45 {
		t.Errorf("%d spellings in 50 questions", n)
	}
}

// longName has letters enough that nobody guesses their case.
var longName = []Question{{"a-name-with-letters-enough-to-be-sure-of-it.com", "com"}}

// TestAForgeryInTheWrongCaseIsNotBelieved though it has the ID, the port and the name: the question goes over TCP.
func TestAForgeryInTheWrongCaseIsNotBelieved(t *testing.T) {
	for name, wrong := range map[string]func(*mdns.Msg) []byte{
		"NXDOMAIN":  func(q *mdns.Msg) []byte { return packed(reply(q, "aa", "NXDOMAIN", "ns:com."+soaOf)) },
		"truncated": func(q *mdns.Msg) []byte { return packed(reply(q, "tc")) },
		"malformed": func(q *mdns.Msg) []byte { p := referral(q); return p[:len(p)-3] },
	} {
		t.Run(name, func(t *testing.T) {
			forger := serve(t, func(question *mdns.Msg, overTCP bool) [][]byte {
				if overTCP {
					return [][]byte{referral(question)}
				}
				return [][]byte{wrong(question)}
			})
			forger.fold(false)
			c := client(t, Config{Servers: []string{forger.address}, InFlight: 16, Tries: 1})
			for _, o := range append(c.Delegations(deadline(t), slices.Repeat(longName, 60)), c.Delegation(deadline(t), longName[0].Name, "com")) {
				check(t, o, referred(longName[0].Name))
			}
			if c.folds.known(forger.address) {
				t.Error("a forger taught the client that the server folds the case")
			}
		})
	}
}

// TestAServerThatFoldsTheCase is heard all the same: it says so over TCP, once.
func TestAServerThatFoldsTheCase(t *testing.T) {
	s := serve(t, func(question *mdns.Msg, _ bool) [][]byte { return [][]byte{referral(question)} })
	s.fold(true)
	c := client(t, Config{Servers: []string{s.address}, InFlight: 16})
	for _, o := range c.Delegations(deadline(t), slices.Repeat(longName, 300)) {
		check(t, o, referred(longName[0].Name))
	}
	first := len(s.history())
	if tcp := s.over("tcp"); tcp == 0 || tcp > 16 {
		t.Errorf("%d questions over TCP, want one for each that was under way", tcp)
	}
	checkAllReferred(t, c.Delegations(deadline(t), questions(300)))
	check(t, c.Delegation(deadline(t), "d0.com", "com"), referred("d0.com"))
	if n := len(s.history()) - first; n != 301 || s.over("tcp") > 16 {
		t.Errorf("%d questions for 301, %d over TCP, once the server was known", n, s.over("tcp"))
	}
	// Known for one server, it is no excuse for another.
	other := serve(t, says("aa", "NXDOMAIN"))
	other.fold(false)
	c.servers = []string{other.address}
	if o := c.Delegation(deadline(t), longName[0].Name, "com"); o.Outcome != source.Absent || other.over("tcp") != 1 {
		t.Errorf("%+v after %d questions over TCP", o, other.over("tcp"))
	}
}
