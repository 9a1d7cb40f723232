package dns

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	mdns "github.com/miekg/dns"
)

// script says which packets a question is answered with: none is silence.
type script func(question *mdns.Msg, overTCP bool) [][]byte

// server is a DNS server on loopback, UDP and TCP on one port, that follows a script and remembers. The script sees
// the question in lower case; its answers have it in the case that was asked.
type server struct {
	address string
	script  script

	folds    bool // answers in lower case
	foldsUDP bool // over UDP alone, as a forger would who did not see the question

	mu    sync.Mutex
	asked []string          // "udp example.com. NS rd=false"
	cases map[string][]byte // names as they were asked
}

func serve(t testing.TB, script script) *server {
	t.Helper()
	return serveOn(t, "127.0.0.1:0", script)
}

func serveOn(t testing.TB, address string, script script) *server {
	t.Helper()
	var packets net.PacketConn
	var streams net.Listener
	for range 20 { // the port of the one may be taken for the other
		var err error
		if packets, err = net.ListenPacket("udp", address); err != nil {
			t.Fatal(err)
		}
		if streams, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			break
		}
		packets.Close()
	}
	if streams == nil {
		t.Fatal("no port is free for both UDP and TCP")
	}
	s := &server{address: packets.LocalAddr().String(), script: script, cases: map[string][]byte{}}
	var group sync.WaitGroup
	group.Go(func() { s.overUDP(packets) })
	group.Go(func() { s.overTCP(streams, &group) })
	t.Cleanup(func() {
		packets.Close()
		streams.Close()
		group.Wait()
	})
	return s
}

func (s *server) overUDP(packets net.PacketConn) {
	buffer := make([]byte, 65535)
	for {
		n, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return
		}
		for _, packet := range s.answer(buffer[:n], false) {
			_, _ = packets.WriteTo(packet, from)
		}
	}
}

func (s *server) overTCP(streams net.Listener, group *sync.WaitGroup) {
	for {
		conn, err := streams.Accept()
		if err != nil {
			return
		}
		group.Go(func() {
			defer conn.Close()
			question, err := readFramed(conn)
			if err != nil {
				return
			}
			answers := s.answer(question, true)
			for _, packet := range answers {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
			}
			if len(answers) == 0 {
				_, _ = io.Copy(io.Discard, conn) // silent until the client gives up
			}
		})
	}
}

// fold has the server answer in lower case from now on: always, or over UDP alone.
func (s *server) fold(overTCP bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folds, s.foldsUDP = overTCP, true
}

// follow has the server follow another script from now on.
func (s *server) follow(script script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// spellings are the names as they were asked.
func (s *server) spellings() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	spellings := map[string]bool{}
	for _, name := range s.cases {
		spellings[string(name)] = true
	}
	return spellings
}

func (s *server) answer(packet []byte, overTCP bool) [][]byte {
	question := new(mdns.Msg)
	if question.Unpack(packet) != nil || len(question.Question) != 1 {
		return nil
	}
	network, recurse := "udp", " rd=false"
	if overTCP {
		network = "tcp"
	}
	if question.RecursionDesired {
		recurse = " rd=true"
	}
	asked := &question.Question[0]
	asked.Name = strings.ToLower(asked.Name)
	name, key := questionOf(packet)
	s.mu.Lock()
	s.cases[key] = append([]byte(nil), name...)
	s.asked = append(s.asked, network+" "+asked.Name+" "+mdns.TypeToString[asked.Qtype]+recurse)
	folds := s.folds || s.foldsUDP && !overTCP
	script := s.script
	s.mu.Unlock()
	answers := script(question, overTCP)
	if !folds {
		for _, answer := range answers {
			s.copyCase(answer)
		}
	}
	return answers
}

// questionOf is the part of a packet that names its question, and under what it is remembered: ID and lower case.
func questionOf(packet []byte) (name []byte, key string) {
	end := headerSize
	for end < len(packet) && packet[end] != 0 {
		end += 1 + int(packet[end])
	}
	if end >= len(packet) {
		return nil, ""
	}
	name = packet[headerSize:end]
	return name, string(packet[:2]) + strings.ToLower(string(name))
}

// copyCase gives the question of a reply the case that it was asked in, if it was asked.
func (s *server) copyCase(answer []byte) {
	name, key := questionOf(answer)
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(name, s.cases[key])
}

// history is what was asked so far.
func (s *server) history() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// reply builds an answer out of zone file lines: "aa", "tc", a response code's name, or a record, in the
// section that the prefix "an:" (default), "ns:" or "ex:" names.
func reply(question *mdns.Msg, lines ...string) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetReply(question)
	for _, line := range lines {
		section := &m.Answer
		if rest, ok := strings.CutPrefix(line, "ns:"); ok {
			line, section = rest, &m.Ns
		} else if rest, ok := strings.CutPrefix(line, "ex:"); ok {
			line, section = rest, &m.Extra
		}
		if code, ok := mdns.StringToRcode[line]; ok {
			m.Rcode = code
		} else if line == "aa" {
			m.Authoritative = true
		} else if line == "tc" {
			m.Truncated = true
		} else {
			record, err := mdns.NewRR(line)
			if err != nil || record == nil {
				panic("bad record in a test: " + line)
			}
			*section = append(*section, record)
		}
	}
	return m
}

func packed(m *mdns.Msg) []byte {
	packet, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return packet
}

// says is the script that answers every question with the same lines.
func says(lines ...string) script {
	return func(question *mdns.Msg, _ bool) [][]byte { return [][]byte{packed(reply(question, lines...))} }
}

// over is how many questions came that way.
func (s *server) over(network string) (n int) {
	for _, asked := range s.history() {
		if strings.HasPrefix(asked, network+" ") {
			n++
		}
	}
	return n
}

func silent(*mdns.Msg, bool) [][]byte { return nil }
