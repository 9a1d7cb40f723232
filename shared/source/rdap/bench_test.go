package rdap

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/lapseguard/lapseguard/shared/source"
)

func BenchmarkDecode(b *testing.B) {
	c := newClient(b, "http://127.0.0.1:1")
	body := bigBody()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, cause := c.Decode(body, "lapsed.example"); cause != source.CauseNone {
			b.Fatal(cause)
		}
	}
}

// BenchmarkLookup is a round trip over loopback HTTP/1.1 with keep-alive. The answerer is a bare socket that
// allocates nothing, so that the figures are the client's.
func BenchmarkLookup(b *testing.B) {
	c := newClient(b, "http://"+answerer(b, bigBody()))
	b.ReportAllocs()
	for b.Loop() {
		o := c.Lookup(context.Background(), "lapsed.example", "example")
		if o.Outcome != source.Observed {
			b.Fatal(o.Cause, o.Said)
		}
	}
}

func answerer(b *testing.B, body []byte) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	answer := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", jsonType, len(body)), body...)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerAll(conn, answer)
		}
	}()
	return l.Addr().String()
}

// answerAll sends the answer after each empty line.
func answerAll(conn net.Conn, answer []byte) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 2 {
			continue
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
