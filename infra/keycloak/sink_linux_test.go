package keycloak

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is every mailbox of the world: SMTP on loopback.
type sink struct {
	listener net.Listener
	mu       sync.Mutex
	mails    map[string][]string // links, by recipient
	arrived  chan struct{}       // closed and made anew with each mail
}

func newSink(t *testing.T) *sink {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{listener: l, mails: map[string][]string{}, arrived: make(chan struct{})}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); served.Wait() })
	return s
}

func (s *sink) port() string {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return port
}

func (s *sink) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(io.LimitReader(c, 1<<20))
	fmt.Fprint(c, "220 sink\r\n")
	to := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(strings.TrimSpace(line), ":"); strings.ToUpper(verb) {
		case "RCPT TO":
			to = strings.Trim(strings.Fields(rest)[0], "<>")
		case "DATA":
			fmt.Fprint(c, "354 go on\r\n")
			var text bytes.Buffer
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimRight(line, "\r\n") == "." {
					break
				}
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			s.deliver(to, text.Bytes())
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		}
		fmt.Fprint(c, "250 fine\r\n")
	}
}

var linkForm = regexp.MustCompile(`http://[^\s"<>]+action-token[^\s"<>]+`)

func (s *sink) deliver(to string, text []byte) {
	link := ""
	if m, err := mail.ReadMessage(bytes.NewReader(text)); err == nil {
		link = linkForm.FindString(html.UnescapeString(plainText(m))) // organisations write entities into plain text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails[to] = append(s.mails[to], link)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// plainText is a mail's first part, decoded.
func plainText(m *mail.Message) string {
	_, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	parts := multipart.NewReader(m.Body, params["boundary"])
	part, err := parts.NextPart()
	if err != nil {
		return ""
	}
	text, _ := io.ReadAll(part)
	return string(text)
}

// count is how many mails an address has got.
func (s *sink) count(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails[address])
}

// link waits for an address's mail number n, counted from 1, and gives the link in it.
func (s *sink) link(t *testing.T, address string, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		s.mu.Lock()
		list, arrived := s.mails[address], s.arrived
		s.mu.Unlock()
		if len(list) >= n {
			if list[n-1] == "" {
				t.Fatal("a mail without a link")
			}
			return list[n-1]
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			t.Fatalf("mail %d did not come", n)
		}
	}
}
