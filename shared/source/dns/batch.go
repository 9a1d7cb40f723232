package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/lapseguard/lapseguard/shared/source"
)

const (
	// lanes is how many sockets one Delegations call sends on at once; more were slower, whatever the number of
	// questions in flight.
	lanes = 2
	// minBatch is the fewest questions under one suffix that are sent in batches.
	minBatch = 8
	// maxRead is how many packets are taken from a socket at once.
	maxRead = 32
)

// call is one call of Delegations. Its first pass sends the questions of a suffix in batches, one system call for
// many packets. What that leaves, because the answer did not come, was truncated or cannot be believed, is asked
// once more by itself.
type call struct {
	client       *Client
	questions    []Question
	observations []source.Observation // without an Outcome: not answered yet
	again        []again
	silent       silence
}

// again says that a question whose first answer is no answer is to be put to another server.
type again struct {
	wanted bool
	offset int // of that server
}

// part are questions under one suffix that share a socket, and so a source port.
type part struct {
	suffix  string
	indices []int
}

// parts divides the questions, a part of each suffix in turn, so that a dead zone does not come first as a whole.
func (c *call) parts() []part {
	bySuffix := map[string][]int{}
	var order []string
	for i, q := range c.questions {
		if bySuffix[q.Suffix] == nil {
			order = append(order, q.Suffix)
		}
		bySuffix[q.Suffix] = append(bySuffix[q.Suffix], i)
	}
	var parts []part
	for len(order) > 0 {
		var left []string
		for _, suffix := range order {
			indices := bySuffix[suffix]
			if len(indices) < minBatch {
				continue // the second pass asks them
			}
			n := min(maxUses, len(indices))
			parts = append(parts, part{suffix: suffix, indices: indices[:n]})
			bySuffix[suffix] = indices[n:]
			left = append(left, suffix)
		}
		order = left
	}
	return parts
}

// firstPass works through the parts, each on a socket of its own. A part that only waits for its last answers
// makes room for the next.
func (c *call) firstPass(ctx context.Context) {
	window := max(1, c.client.inFlight/lanes)
	lane := make(chan struct{}, min(lanes, c.client.inFlight))
	var group sync.WaitGroup
	defer group.Wait()
	for _, p := range c.parts() {
		select {
		case lane <- struct{}{}:
		case <-ctx.Done():
			return
		}
		leave := sync.OnceFunc(func() { <-lane })
		group.Go(func() {
			defer leave()
			c.ask(ctx, p, window, leave)
		})
	}
}

// ask finds the zone and asks the questions of a part. What it leaves without an observation is for the second pass.
func (c *call) ask(ctx context.Context, p part, window int, sent func()) {
	if ctx.Err() != nil || c.silent.tooLong(p.suffix) {
		return
	}
	w := c.client.take()
	zone := c.client.zoneAbove(ctx, w, p.suffix)
	offset := w.offset
	w.offset++ // the next part goes to another server
	c.client.put(w)
	if zone.cause != source.CauseNone {
		return
	}
	dialer := net.Dialer{Timeout: c.client.timeout}
	server := zone.servers[offset%len(zone.servers)]
	conn, err := dialer.DialContext(ctx, "udp", server)
	if err != nil {
		return
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	b := batch{call: c, part: p, zone: zone, server: server, offset: offset, window: window, conn: conn.(*net.UDPConn)}
	b.packets = ipv4.NewPacketConn(b.conn)
	b.flights = make(map[uint16]*flight, window)
	buffers := c.client.buffers.Get().(*buffers)
	defer c.client.buffers.Put(buffers)
	b.run(ctx, buffers, sent)
}

// buffers are the packets of one system call, kept for reuse.
type buffers struct {
	in, out []ipv4.Message
	random  []byte
}

func newBuffers() *buffers {
	messages := func(n, size int) []ipv4.Message {
		all, memory := make([]ipv4.Message, n), make([]byte, n*size)
		for i := range all {
			all[i].Buffers = [][]byte{memory[i*size : (i+1)*size : (i+1)*size]}
		}
		return all
	}
	return &buffers{
		in: messages(maxRead, readSize), out: messages(maxInFlight, maxQuery), random: make([]byte, randomSize*maxInFlight),
	}
}

// flight is a question under way.
type flight struct {
	index   int // of the question
	query   query
	due     time.Time
	strays  int // packets with its ID that answer another question
	settled bool
}

// batch asks the questions of one part over one connected socket, window of them at once.
type batch struct {
	call    *call
	part    part
	zone    zone
	server  string
	offset  int // of the server
	window  int
	conn    *net.UDPConn
	packets *ipv4.PacketConn

	next    int // of part.indices, to be sent
	flights map[uint16]*flight
	waiting []*flight // in the order in which they were sent, settled ones among them
	silent  int       // how many in a row nobody answered
	strays  int       // packets with an ID that was not sent, or is answered, or in another case than asked
}

// run sends and receives until every question is answered or given up. sent is called when there is none left
// to send.
func (b *batch) run(ctx context.Context, buffers *buffers, sent func()) {
	for {
		if b.next < len(b.part.indices) {
			if err := b.send(buffers); err != nil {
				b.giveUp(causeWithin(ctx, err))
				return
			}
		}
		if b.next == len(b.part.indices) {
			sent()
		}
		if len(b.flights) == 0 {
			return
		}
		n, err := b.receive(ctx, buffers)
		if err != nil {
			if cause := causeWithin(ctx, err); cause != source.CauseTimeout {
				b.giveUp(cause)
				return
			}
		}
		for i := range n {
			b.take(buffers.in[i].Buffers[0][:buffers.in[i].N])
			if b.strays >= maxStrays {
				// Somebody may be guessing: what is under way is asked from other ports, and in the end over TCP.
				b.giveUp(source.CauseTruncated)
				return
			}
		}
		b.expire()
		if b.silent >= b.window {
			b.part.indices = b.part.indices[:b.next] // this server does not answer; others may
		}
	}
}

// causeWithin is causeOf, but for the caller's end: that reaches the socket as a deadline in the past.
func causeWithin(ctx context.Context, err error) source.Cause {
	if ctx.Err() != nil {
		return source.CauseNotAsked
	}
	return causeOf(err)
}

// send fills the window. A question that cannot be packed has its observation at once.
func (b *batch) send(buffers *buffers) error {
	free := min(b.window-len(b.flights), len(b.part.indices)-b.next)
	due := time.Now().Add(b.call.client.timeout) // of the socket, not of any observation
	random := buffers.random[:randomSize*free]
	_, _ = rand.Read(random) // never fails (crypto/rand)
	n := 0
	for k := range free {
		index := b.part.indices[b.next]
		b.next++
		id := binary.BigEndian.Uint16(random[randomSize*k:])
		for b.flights[id] != nil {
			id++
		}
		q, ok := delegationQuery(b.call.questions[index])
		q.random = binary.BigEndian.Uint64(random[randomSize*k+2:])
		packet, err := appendQuery(buffers.out[n].Buffers[0][:0], id, q)
		if !ok || err != nil {
			b.observe(index, unknown(source.CauseInternal, ""))
			continue
		}
		buffers.out[n].Buffers[0] = packet
		n++
		f := &flight{index: index, query: q, due: due}
		b.flights[id] = f
		b.waiting = append(b.waiting, f)
	}
	for out := buffers.out[:n]; len(out) > 0; {
		done, err := b.packets.WriteBatch(out, 0)
		if err != nil {
			return err
		}
		out = out[done:]
	}
	return nil
}

// receive waits until a packet came or the oldest question is due.
func (b *batch) receive(ctx context.Context, buffers *buffers) (int, error) {
	for b.waiting[0].settled {
		b.waiting = b.waiting[1:]
	}
	if err := b.conn.SetReadDeadline(b.waiting[0].due); err != nil {
		return 0, err
	}
	if ctx.Err() != nil { // it may have ended before that deadline took the place of its own
		return 0, ctx.Err()
	}
	return b.packets.ReadBatch(buffers.in, 0)
}

// take judges a packet. What does not answer a question under way settles nothing.
func (b *batch) take(packet []byte) {
	if len(packet) < headerSize {
		b.strays++
		return
	}
	id := binary.BigEndian.Uint16(packet)
	f := b.flights[id]
	if f == nil {
		b.strays++
		return
	}
	answer, ours, err := decode(packet, id, f.query)
	if !ours {
		f.strays++
		b.strays++
		return
	}
	delete(b.flights, id)
	b.silent = 0
	guess := forgeable(answer, packet, f.query) && !b.call.client.folds.known(b.server)
	switch {
	case guess: // the second pass asks over TCP
		b.strays++
		b.settle(f, unknown(source.CauseTruncated, ""))
	case err != nil:
		b.settle(f, unknown(source.CauseMalformed, ""))
	case answer.Truncated:
		b.settle(f, unknown(source.CauseTruncated, ""))
	default:
		b.settle(f, b.call.client.guarded(b.call.questions[f.index].Name, func() verdict {
			return judgeDelegation(f.query.name, b.zone.lowest, answer)
		}))
	}
}

// expire settles the questions that are due.
func (b *batch) expire() {
	now := time.Now()
	for len(b.waiting) > 0 && (b.waiting[0].settled || !b.waiting[0].due.After(now)) {
		f := b.waiting[0]
		b.waiting = b.waiting[1:]
		if f.settled {
			continue
		}
		cause := source.CauseTimeout
		if f.strays > 0 {
			cause = source.CauseMalformed // something came, but not an answer to the question
		}
		b.silent++
		b.forget(f)
		b.settle(f, unknown(cause, ""))
	}
}

func (b *batch) forget(f *flight) {
	for id, other := range b.flights {
		if other == f {
			delete(b.flights, id)
			return
		}
	}
}

// giveUp settles everything under way; what was not sent yet is for the second pass.
func (b *batch) giveUp(cause source.Cause) {
	for _, f := range b.waiting {
		if !f.settled {
			b.settle(f, unknown(cause, ""))
		}
	}
}

// settle notes what an answer, or its absence, means, and whether another server may know better.
func (b *batch) settle(f *flight, v verdict) {
	f.settled = true
	if v.outcome == source.Unknown {
		switch {
		case v.cause == source.CauseNotAsked, v.cause == source.CauseInternal:
		case v.cause == source.CauseTruncated:
			b.call.again[f.index] = again{wanted: true, offset: b.offset} // over TCP
		default:
			b.call.again[f.index] = again{wanted: b.call.client.tries > 1, offset: b.offset + 1}
		}
	}
	b.call.silent.heard(b.part.suffix, v.cause)
	b.observe(f.index, v)
}

func (b *batch) observe(index int, v verdict) {
	b.call.observations[index] = b.call.client.observe(source.SourceDelegation, b.zone.name, v)
}
