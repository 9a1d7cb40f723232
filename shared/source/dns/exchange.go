package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

const (
	// udpSize is the EDNS size that passes every path unfragmented (DNS flag day 2020).
	udpSize = 1232
	// readSize also takes servers that send more than they were asked to.
	readSize = 4096
	// maxStrays is how many packets that do not answer the question are passed over in one exchange
	// before it goes on over TCP: somebody may be guessing.
	maxStrays = 16
	// maxUses and maxKept bound how long a source port stays in use, and how many a worker holds. A new port costs a
	// few microseconds in 64 questions; who guesses at a port has as little time as that.
	maxUses = 64
	maxKept = 8
)

// headerSize is that of RFC 1035 section 4.1.1.
const headerSize = 12

// query is one question of class IN.
type query struct {
	name    string // with its trailing dot
	kind    uint16
	recurse bool
	tries   int    // at different servers
	stream  bool   // over TCP from the first
	random  uint64 // the case of its letters, see setCase
}

// worker asks one question at a time over sockets that it keeps, one per server. A connected socket
// spares a dial per question, and the kernel drops packets of other senders.
type worker struct {
	dialer net.Dialer
	offset int // the server that the next question goes to, modulo their number
	kept   map[string]*socket
	folds  *folding
	in     []byte
	out    []byte
}

type socket struct {
	net.Conn
	uses int
}

func newWorker(offset int, folds *folding) *worker {
	return &worker{offset: offset, kept: map[string]*socket{}, folds: folds, in: make([]byte, readSize), out: make([]byte, 512)}
}

func (w *worker) close() {
	for server := range w.kept {
		w.drop(server)
	}
}

func (w *worker) drop(server string) {
	if kept := w.kept[server]; kept != nil {
		_ = kept.Close() // nothing is buffered in a UDP socket
		delete(w.kept, server)
	}
}

// exchange asks over UDP and, where the answer does not fit, over TCP. The message it returns has the
// question's ID and question, is whole, and is not truncated.
func (w *worker) exchange(ctx context.Context, server string, q query) (*mdns.Msg, source.Cause) {
	if q.stream {
		return w.overTCP(ctx, server, q)
	}
	answer, cause := w.overUDP(ctx, server, q)
	if cause != source.CauseNone {
		w.drop(server) // a late answer must not meet the next question
	}
	if cause != source.CauseTruncated {
		return answer, cause
	}
	answer, cause = w.overTCP(ctx, server, q)
	if cause == source.CauseTimeout || cause == source.CauseUnreachable {
		cause = source.CauseTruncated
	}
	return answer, cause
}

func (w *worker) overUDP(ctx context.Context, server string, q query) (*mdns.Msg, source.Cause) {
	packet, id, err := w.pack(&q)
	if err != nil {
		return nil, source.CauseInternal
	}
	conn, err := w.socketTo(ctx, server)
	if err != nil {
		return nil, causeOf(err)
	}
	stop := endWith(ctx, conn)
	defer func() {
		if !stop() {
			w.drop(server) // its deadline is, or is about to be, set in the past
		}
	}()
	if _, err := conn.Write(packet); err != nil {
		return nil, causeOf(err)
	}
	for strays := range maxStrays {
		n, err := conn.Read(w.in)
		if err != nil {
			cause := causeOf(err)
			if cause == source.CauseTimeout && strays > 0 {
				cause = source.CauseMalformed // something came, but not an answer to the question
			}
			return nil, cause
		}
		answer, ours, err := decode(w.in[:n], id, q)
		switch {
		case !ours:
			continue
		case forgeable(answer, w.in[:n], q) && !w.folds.known(server):
			return nil, source.CauseTruncated // TCP tells whether it is the server's way, or a guess
		case err != nil:
			return nil, source.CauseMalformed
		case answer.Truncated:
			return nil, source.CauseTruncated
		}
		return answer, source.CauseNone
	}
	return nil, source.CauseTruncated
}

func (w *worker) overTCP(ctx context.Context, server string, q query) (*mdns.Msg, source.Cause) {
	packet, id, err := w.pack(&q)
	if err != nil {
		return nil, source.CauseInternal
	}
	conn, err := w.dialer.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, causeOf(err)
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(packet))) // at most 512 bytes
	if _, err := conn.Write(append(framed, packet...)); err != nil {
		return nil, causeOf(err)
	}
	for range maxStrays {
		message, err := readFramed(conn)
		if err != nil {
			return nil, causeOf(err)
		}
		answer, ours, err := decode(message, id, q)
		switch {
		case !ours:
			continue
		case err != nil:
			return nil, source.CauseMalformed
		case answer.Truncated:
			return nil, source.CauseTruncated
		}
		if forgeable(answer, message, q) {
			w.folds.learn(server)
		}
		return answer, source.CauseNone
	}
	return nil, source.CauseMalformed
}

// readFramed reads one message of RFC 7766; its length prefix bounds it at 64 KiB.
func readFramed(conn net.Conn) ([]byte, error) {
	var prefix [2]byte
	if _, err := io.ReadFull(conn, prefix[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(prefix[:]))
	_, err := io.ReadFull(conn, message)
	return message, err
}

// socketTo returns the kept socket to a server, or a new one, with a new source port from time to time.
func (w *worker) socketTo(ctx context.Context, server string) (*socket, error) {
	kept := w.kept[server]
	if kept != nil && kept.uses < maxUses {
		kept.uses++
		return kept, nil
	}
	w.drop(server)
	if len(w.kept) >= maxKept {
		w.close()
	}
	conn, err := w.dialer.DialContext(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	w.kept[server] = &socket{Conn: conn, uses: 1}
	return w.kept[server], nil
}

// endWith makes the connection's reads and writes fail when the context ends, until the returned function
// is called; that reports false if the context ended first.
func endWith(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// pack builds the packet with a random ID and in random case. It is valid until the worker's next pack.
func (w *worker) pack(q *query) ([]byte, uint16, error) {
	var random [randomSize]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	id := binary.BigEndian.Uint16(random[:])
	q.random = binary.BigEndian.Uint64(random[2:])
	packet, err := appendQuery(w.out[:0], id, *q)
	return packet, id, err
}

// forgeable tells of an answer that its question is not in the case in which it was asked. One without a question
// only ever means "unknown".
func forgeable(answer *mdns.Msg, packet []byte, q query) bool {
	if answer != nil && len(answer.Question) == 0 {
		return false
	}
	return !sameCase(packet, q.random)
}

// randomSize is what a question takes of randomness, in bytes: its ID, and the case of its letters.
const randomSize = 2 + 8

// maxQuery is the size that any query has room in: header, name, type and class, and an OPT record of 11 bytes.
const maxQuery = headerSize + 255 + 4 + 11

// appendQuery writes a query (RFC 1035 section 4.1) into the memory behind packet, which has maxQuery bytes.
func appendQuery(packet []byte, id uint16, q query) ([]byte, error) {
	flags := byte(0)
	if q.recurse {
		flags = 1 // RD
	}
	packet = packet[:maxQuery]
	copy(packet, []byte{byte(id >> 8), byte(id), flags, 0, 0, 1, 0, 0, 0, 0, 0, 1})
	end, err := mdns.PackDomainName(q.name, packet, headerSize, nil, false)
	if err != nil {
		return nil, err
	}
	if end > headerSize+255 {
		return nil, errName
	}
	setCase(packet[headerSize:end], q.random)
	packet = binary.BigEndian.AppendUint16(packet[:end], q.kind)
	packet = binary.BigEndian.AppendUint16(packet, mdns.ClassINET)
	packet = append(packet, 0, 0, byte(mdns.TypeOPT)) // EDNS (RFC 6891 section 6.1.2), of the root
	packet = binary.BigEndian.AppendUint16(packet, udpSize)
	return append(packet, 0, 0, 0, 0, 0, 0), nil // version 0, no flags, no options
}

var (
	errCounts = errors.New("dns: the message has fewer records than its header says")
	errName   = errors.New("dns: a name of more than 255 bytes (RFC 1035 section 2.3.4)")
	errEmpty  = errors.New("dns: a record without data")
)

// decode reads a packet. ours tells whether it answers the question that was asked (ID, question, and the
// bits of a reply); with ours, err tells that it cannot be read.
func decode(packet []byte, id uint16, q query) (answer *mdns.Msg, ours bool, err error) {
	if len(packet) < headerSize || binary.BigEndian.Uint16(packet) != id {
		return nil, false, nil
	}
	const replyAndOpcode, reply = 0xf8, 0x80
	if packet[2]&replyAndOpcode != reply {
		return nil, false, nil
	}
	answer = new(mdns.Msg)
	if err := answer.Unpack(packet); err != nil {
		return nil, asksFor(packet, q), err
	}
	if len(answer.Question) == 0 {
		// Some servers refuse without repeating the question. It only ever means "unknown".
		return answer, answer.Rcode != mdns.RcodeSuccess && answer.Rcode != mdns.RcodeNameError, nil
	}
	if asked := answer.Question[0]; len(answer.Question) != 1 || !matches(asked, q) {
		return nil, false, nil
	}
	// The library takes a packet that ends early for a shorter message.
	if len(answer.Answer) != int(binary.BigEndian.Uint16(packet[6:])) ||
		len(answer.Ns) != int(binary.BigEndian.Uint16(packet[8:])) ||
		len(answer.Extra) != int(binary.BigEndian.Uint16(packet[10:])) {
		return nil, true, errCounts
	}
	for _, section := range [][]mdns.RR{answer.Answer, answer.Ns} {
		if slices.ContainsFunc(section, hollow) {
			return nil, true, errEmpty
		}
	}
	return answer, true, nil
}

// hollow tells of a record whose data end before the name in them: the library takes it, as dynamic updates have
// records without data, and leaves the name empty.
func hollow(record mdns.RR) bool {
	switch r := record.(type) {
	case *mdns.NS:
		return r.Ns == ""
	case *mdns.MX:
		return r.Mx == ""
	case *mdns.CNAME:
		return r.Target == ""
	case *mdns.DNAME:
		return r.Target == ""
	default:
		return record.Header().Rdlength == 0
	}
}

// asksFor reads nothing but the question of a packet that cannot be read whole.
func asksFor(packet []byte, q query) bool {
	name, end, err := mdns.UnpackDomainName(packet, headerSize)
	if err != nil || len(packet) < end+4 {
		return false
	}
	return matches(mdns.Question{
		Name:   name,
		Qtype:  binary.BigEndian.Uint16(packet[end:]),
		Qclass: binary.BigEndian.Uint16(packet[end+2:]),
	}, q)
}

func matches(asked mdns.Question, q query) bool {
	return asked.Qtype == q.kind && asked.Qclass == mdns.ClassINET && strings.EqualFold(asked.Name, q.name)
}

// causeOf tells silence from everything else that a socket reports.
func causeOf(err error) source.Cause {
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout() {
		return source.CauseTimeout
	}
	return source.CauseUnreachable
}
