package dns

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

// TestAppendQuery compares with the library, which is slower.
func TestAppendQuery(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 61) + "."
	for _, q := range []query{
		{name: "foo.com.", kind: mdns.TypeNS}, {name: ".", kind: mdns.TypeSOA, recurse: true},
		{name: "xn--bcher-kva.example.", kind: mdns.TypeMX, recurse: true}, {name: long, kind: mdns.TypeA},
	} {
		message := mdns.Msg{
			MsgHdr:   mdns.MsgHdr{Id: 0xabcd, RecursionDesired: q.recurse},
			Question: []mdns.Question{{Name: q.name, Qtype: q.kind, Qclass: mdns.ClassINET}},
		}
		message.SetEdns0(udpSize, false)
		memory := bytes.Repeat([]byte{0xff}, maxQuery)
		got, err := appendQuery(memory[:0], 0xabcd, q)
		if want := packed(&message); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n got %x\nwant %x", q.name, err, got, want)
		}
	}
	for _, name := range []string{long + "c.", strings.Repeat("a", 64) + ".", "a..b.", "no-dot"} {
		if got, err := appendQuery(make([]byte, 0, maxQuery), 1, query{name: name, kind: mdns.TypeNS}); err == nil {
			t.Errorf("%q became %x", name, got)
		}
	}
}

// referral is the right answer to a question of the tests below.
func referral(question *mdns.Msg) []byte {
	name := question.Question[0].Name
	return packed(reply(question, "ns:"+name+" 1 IN NS ns."+name))
}

func referred(name string) outcome {
	return outcome{outcome: source.Observed, form: "referral", ns: []string{"ns." + name}, said: "NS ns." + name}
}

func checkAllReferred(t *testing.T, got []source.Observation) {
	t.Helper()
	for i := range got {
		check(t, got[i], referred(fmt.Sprintf("d%d.com", i)))
	}
}

// TestBatchOutOfOrder: answers find their questions whatever the order they come in, and repeated ones do no harm.
func TestBatchOutOfOrder(t *testing.T) {
	var mu sync.Mutex
	var kept [][]byte
	s := serve(t, func(question *mdns.Msg, _ bool) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, referral(question))
		if len(kept) < 8 {
			return nil
		}
		out := append(slices.Clone(kept), kept[0])
		slices.Reverse(out)
		kept = nil
		return out
	})
	c := client(t, Config{Servers: []string{s.address}, InFlight: 16, Tries: 1})
	// All of them from one port: what the server kept of another one it would answer to the wrong port.
	checkAllReferred(t, c.Delegations(deadline(t), questions(64)))
	if n := len(s.history()); n != 64 {
		t.Errorf("asked %d times", n)
	}
}

// TestBatchLeavesTheHardCases: what is lost, truncated, refused or broken the first time is asked again elsewhere,
// and no other question suffers.
func TestBatchLeavesTheHardCases(t *testing.T) {
	first := serve(t, func(question *mdns.Msg, overTCP bool) [][]byte {
		switch name := question.Question[0].Name; {
		case overTCP:
			return [][]byte{referral(question)}
		case strings.HasSuffix(name, "1.com."):
			return nil
		case strings.HasSuffix(name, "2.com."):
			return [][]byte{packed(reply(question, "tc"))}
		case strings.HasSuffix(name, "3.com."):
			return [][]byte{packed(reply(question, "REFUSED"))}
		case strings.HasSuffix(name, "4.com."):
			packet := referral(question)
			return [][]byte{packet[:len(packet)-3]}
		}
		return [][]byte{referral(question)}
	})
	second := serve(t, func(question *mdns.Msg, _ bool) [][]byte { return [][]byte{referral(question)} })
	c := client(t, Config{Servers: []string{first.address, second.address}, InFlight: 16, Timeout: brief})
	checkAllReferred(t, c.Delegations(deadline(t), questions(60)))
	if n := len(second.history()); n == 0 || n > 60 {
		t.Errorf("asked the other server %d times", n)
	}
	for _, asked := range second.history() {
		if !strings.ContainsAny(strings.TrimSuffix(asked, ".com. NS rd=false")[len(asked)-len("x.com. NS rd=false"):], "134") {
			t.Errorf("the other server was needlessly asked %s", asked)
		}
	}
}

// TestBatchAgreesWithSingleQuestions: what an answer means does not depend on the way it was asked for.
func TestBatchAgreesWithSingleQuestions(t *testing.T) {
	kinds := [][]string{
		{"aa", "NXDOMAIN", "ns:com." + soaOf}, {"aa", "ns:com." + soaOf}, {"NXDOMAIN"}, {"SERVFAIL"}, {"REFUSED"}, {"NOTAUTH"},
		{"ns:. 1 IN NS a.example."}, {"FORMERR"}, {"aa", "NXDOMAIN", "ns:org." + soaOf}, {"com. 1 IN DNAME example."}, {"tc"},
	}
	script := func(question *mdns.Msg, overTCP bool) [][]byte {
		var n int
		name := question.Question[0].Name
		_, _ = fmt.Sscanf(name, "d%d.com.", &n)
		switch n %= len(kinds) + 2; {
		case n < len(kinds):
			return [][]byte{packed(reply(question, kinds[n]...))}
		case n == len(kinds):
			return [][]byte{packed(reply(question, "aa", name+" 1 IN NS ns."+name))}
		}
		return [][]byte{referral(question)}
	}
	servers := []string{serve(t, script).address, serve(t, script).address}
	c := client(t, Config{Servers: servers, InFlight: 16})
	all := questions(5 * (len(kinds) + 2))
	for i, got := range c.Delegations(deadline(t), all) {
		want := c.Delegation(deadline(t), all[i].Name, all[i].Suffix)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", all[i].Name, d)
		}
	}
}

// TestBatchForgeries: an answer must have the ID and the question. What does not is passed over, and many of
// them lead to TCP.
func TestBatchForgeries(t *testing.T) {
	for name, junk := range map[string]func(*mdns.Msg) []byte{
		"another ID": func(question *mdns.Msg) []byte {
			forged := reply(question, "aa", "NXDOMAIN")
			forged.Id ^= 0x5555
			return packed(forged)
		},
		"another question": func(question *mdns.Msg) []byte {
			forged := reply(question, "aa", "NXDOMAIN")
			forged.Question[0].Name = "other.com."
			return packed(forged)
		},
		"a question": func(question *mdns.Msg) []byte { return packed(question) },
		"short":      func(*mdns.Msg) []byte { return []byte{0, 1} },
	} {
		for _, many := range []int{1, 2 * maxStrays} {
			t.Run(fmt.Sprint(name, " ", many), func(t *testing.T) {
				s := serve(t, func(question *mdns.Msg, overTCP bool) [][]byte {
					var packets [][]byte
					if !overTCP && question.Question[0].Name == "d5.com." {
						packets = slices.Repeat([][]byte{junk(question)}, many)
					}
					return append(packets, referral(question))
				})
				c := client(t, Config{Servers: []string{s.address}, InFlight: 16, Tries: 1})
				checkAllReferred(t, c.Delegations(deadline(t), questions(40)))
				if overTCP := slices.Contains(s.history(), "tcp d5.com. NS rd=false"); overTCP != (many > 1) {
					t.Errorf("over TCP: %v", overTCP)
				}
			})
		}
	}
}

// TestBatchChangesItsPort: a source port serves maxUses questions at most.
func TestBatchChangesItsPort(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	uses := map[string]int{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, readSize)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			uses[from.String()]++
			question := new(mdns.Msg)
			if question.Unpack(buffer[:n]) == nil {
				_, _ = packets.WriteTo(referral(question), from)
			}
		}
	}()
	c := client(t, Config{Servers: []string{packets.LocalAddr().String()}})
	checkAllReferred(t, c.Delegations(deadline(t), questions(3*maxUses)))
	packets.Close()
	<-ended
	for from, n := range uses {
		if n > maxUses || n > 64 {
			t.Errorf("%d questions from %s", n, from)
		}
	}
	if len(uses) < 3 {
		t.Errorf("%d source ports", len(uses))
	}
}

// TestBatchServerDown: one of two servers is gone, or silent; the other answers everything.
func TestBatchServerDown(t *testing.T) {
	for name, dead := range map[string]string{"refusing": "127.0.0.1:9", "silent": serve(t, silent).address} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(question *mdns.Msg, _ bool) [][]byte { return [][]byte{referral(question)} })
			c := client(t, Config{Servers: []string{dead, s.address}, InFlight: 16, Timeout: brief})
			checkAllReferred(t, c.Delegations(deadline(t), questions(100)))
		})
	}
}

// TestBatchDeadZone: a zone that nobody answers for is asked little, however many questions there are: a window
// in each lane at a time, and none once enough were silent (16 here, and what the other lane had begun).
func TestBatchDeadZone(t *testing.T) {
	s := serve(t, silent)
	c := client(t, Config{Servers: []string{s.address}, InFlight: 8, Timeout: brief, Tries: 1})
	counts := map[source.Cause]int{}
	for _, o := range c.Delegations(deadline(t), questions(12*maxUses)) {
		counts[o.Cause]++
	}
	if asked := len(s.history()); asked > 20 || counts[source.CauseTimeout] != asked || counts[source.CauseNotAsked] != 12*maxUses-asked {
		t.Errorf("asked %d, causes %v", asked, counts)
	}
}

// TestBatchCancelled: what was not answered when the caller gave up was not asked; what was, stays.
func TestBatchCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := serve(t, func(question *mdns.Msg, _ bool) [][]byte {
		if question.Question[0].Name == "d9.com." {
			cancel()
			return nil
		}
		if question.Question[0].Name > "d7" {
			return nil
		}
		return [][]byte{referral(question)}
	})
	c := client(t, Config{Servers: []string{s.address}})
	got := c.Delegations(ctx, questions(1000))
	counts := map[source.Cause]int{}
	for _, o := range got {
		counts[o.Cause]++
	}
	if counts[source.CauseNotAsked] == 0 || counts[""]+counts[source.CauseNotAsked] != len(got) {
		t.Errorf("causes %v", counts)
	}
}

// TestBatchBadQuestions: a name that is no name, or not of its suffix, is its own failure.
func TestBatchBadQuestions(t *testing.T) {
	s := serve(t, func(question *mdns.Msg, _ bool) [][]byte { return [][]byte{referral(question)} })
	c := client(t, Config{Servers: []string{s.address}})
	all := questions(20)
	all[3].Name, all[11].Name = "d3.org", strings.Repeat("a", 64)+".com"
	for i, o := range c.Delegations(deadline(t), all) {
		if i == 3 || i == 11 {
			check(t, o, outcome{outcome: source.Unknown, cause: source.CauseInternal})
			continue
		}
		check(t, o, referred(all[i].Name))
	}
}

// TestPartsTakeTurns: no suffix comes first as a whole, and few questions are no part.
func TestPartsTakeTurns(t *testing.T) {
	all := append(questions(2*maxUses+minBatch), Question{"foo.net", "net"})
	for i := range minBatch {
		all = append(all, Question{fmt.Sprintf("e%d.org", i), "org"})
	}
	c := call{questions: all}
	var got []string
	for _, p := range c.parts() {
		got = append(got, fmt.Sprint(p.suffix, " ", len(p.indices)))
	}
	if want := []string{fmt.Sprint("com ", maxUses), "org 8", fmt.Sprint("com ", maxUses), "com 8"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// BenchmarkDelegations is the tripwire against a server in the same process, which costs more than it does.
func BenchmarkDelegations(b *testing.B) {
	s := serve(b, func(question *mdns.Msg, _ bool) [][]byte { return [][]byte{referral(question)} })
	c := client(b, Config{Servers: []string{s.address}})
	all := questions(512)
	b.ReportAllocs()
	for b.Loop() {
		for _, o := range c.Delegations(b.Context(), all) {
			if o.Outcome != source.Observed {
				b.Fatal(o.Cause)
			}
		}
	}
}
