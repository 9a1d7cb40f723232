package fanout

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

const (
	// scanPage is the number of items read at once.
	scanPage = 500
	// maxBuffered is how many domains a segment holds back to fill messages; then it sends and notes its place.
	maxBuffered = 60_000
	// maxSent ends a stretch by its messages: their names are one record, and its size is limited (store.MaxData). A
	// page of the scan and the zones at hand may add some.
	maxSent = 3000
	// stretchFor ends a stretch by the clock: what an invocation that is cut off has to do again.
	stretchFor = time.Minute
)

// zoneGroups gives large zones several message groups, which share the zone's budget. One group is worked on
// by one invocation at a time, and a request takes one message of a group: ten groups fill a request.
var zoneGroups = map[string]int{"com": queue.BatchSize, "net": 4, "org": 4}

// dispatch sends the tripwire's question about every watched domain; of a run that is sent already, about those that
// were never looked at.
func (h *Handler) dispatch(ctx context.Context, run *records.Run) error {
	g, gctx := errgroup.WithContext(ctx)
	segments := make([]records.Segment, run.Segments)
	for n := range run.Segments {
		g.Go(func() (err error) {
			segments[n], err = h.segment(gctx, run, n, place(run, n))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	run.Watched, run.Closed, run.Addresses, run.Skipped, run.Unseen = 0, 0, 0, 0, map[string]int{}
	for _, seg := range segments {
		run.Watched += seg.Watched
		run.Closed += seg.Closed
		for suffix, n := range seg.Unseen {
			if run.Unseen[suffix] += n; len(run.Unseen) > maxNamed {
				delete(run.Unseen, suffix)
				run.Unseen[otherTLDs] += n
			}
		}
		run.Addresses += seg.Addresses
		run.Skipped += seg.Skipped
	}
	if err := h.planFirst(ctx, run, segments); err != nil {
		return err
	}
	run.Sent = true
	return nil
}

// segment dispatches one segment from where it stood. Message ids follow from content, so that what is sent
// twice after a crash is the same message, or another one with the same domains: asked twice, never lost.
func (h *Handler) segment(ctx context.Context, run *records.Run, n, at int) (records.Segment, error) {
	seg, err := h.book().Segment(ctx, run.ID, at)
	if err != nil {
		return seg.V, err
	}
	seg = seg.Until(h.Now().Add(records.RunTTL))
	for !seg.V.Done {
		if h.late(ctx) {
			return seg.V, errDeadline
		}
		if err := h.stretch(ctx, run, n, at, &seg); err != nil {
			return seg.V, fmt.Errorf("dispatch segment %d: %w", n, err)
		}
	}
	return seg.V, nil
}

// place is where a segment's place is kept: a second pass over the table has places of its own.
func place(run *records.Run, n int) int {
	if run.Sent {
		return run.Segments + n
	}
	return n
}

// stretch scans until enough domains are buffered or sent, or time is up, sends them all, and notes the place.
func (h *Handler) stretch(ctx context.Context, run *records.Run, n, at int, stored *records.Of[records.Segment]) error {
	seg := &stored.V
	began := h.Now()
	zones := map[pile][]found{}
	var ids records.Sent
	var ready []queue.Message
	full := func() bool { return len(ids.IDs)+len(ready)+len(zones) >= maxSent }
	for buffered := 0; buffered < max(maxBuffered, h.Ahead) && !seg.Done && !full(); {
		items, next, err := h.Store.Scan(ctx, n, run.Segments, seg.Cursor, scanPage)
		if err != nil {
			return err
		}
		for _, item := range items {
			e, p, ok := h.entry(ctx, run, item, seg)
			if !ok {
				continue
			}
			zones[p] = append(zones[p], e)
			if buffered++; len(zones[p]) == queue.MaxDelegation && h.Ahead == 0 {
				ready = append(ready, h.pack(run, p.zone, zones[p], len(ids.IDs)+len(ready))...)
				buffered -= len(zones[p])
				delete(zones, p)
			}
			if len(ready) >= queue.BatchSize {
				if err := h.sendAll(ctx, ready, &ids); err != nil {
					return err
				}
				ready = nil
			}
		}
		seg.Cursor, seg.Done = next, next == ""
		if h.late(ctx) || h.Now().Sub(began) >= stretchFor {
			break
		}
	}
	ready = append(ready, h.packAll(run, zones, len(ids.IDs)+len(ready))...)
	if err := h.sendAll(ctx, ready, &ids); err != nil {
		return err
	}
	seg.Part++
	if err := h.Store.Write(ctx, stored.Put(), records.PutSent(run.ID, at, seg.Part, ids, h.Now())); err != nil {
		return fmt.Errorf("note the place: %w", err)
	}
	*stored = stored.Stored()
	return nil
}

// found is a domain to be asked about.
type found struct {
	queue.Entry

	addresses int
}

// pile is what goes into the same messages: domains of a zone, those apart that will raise further questions. Else nearly
// every message would raise three, for a few of its domains each.
type pile struct {
	zone   string
	raises bool
}

func (p pile) compare(q pile) int {
	if c := cmp.Compare(p.zone, q.zone); c != 0 || p.raises == q.raises {
		return c
	} else if q.raises {
		return -1
	}
	return 1
}

// packAll makes messages of what is left of the zones, or was held back: of those the ones with the most addresses first,
// in a message as among them.
func (h *Handler) packAll(run *records.Run, zones map[pile][]found, turn int) []queue.Message {
	type part struct {
		zone    string
		domains []found
	}
	var parts []part
	for _, p := range slices.SortedFunc(maps.Keys(zones), pile.compare) {
		if h.Ahead > 0 {
			slices.SortStableFunc(zones[p], func(a, b found) int { return cmp.Compare(b.addresses, a.addresses) })
		}
		for domains := range slices.Chunk(zones[p], queue.MaxDelegation) {
			parts = append(parts, part{p.zone, domains})
		}
	}
	if h.Ahead > 0 {
		slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.domains[0].addresses, a.domains[0].addresses) })
	}
	var messages []queue.Message
	for _, p := range parts {
		messages = append(messages, h.pack(run, p.zone, p.domains, turn+len(messages))...)
	}
	return messages
}

// entry is a domain's part of a message and the pile it goes to; the segment counts it.
func (h *Handler) entry(ctx context.Context, run *records.Run, it store.Item, seg *records.Segment) (e found, p pile, ok bool) {
	d, err := records.ParseDomain(it)
	if err != nil {
		h.Log.ErrorContext(ctx, "item_skipped", "domain", it.PK, "error", err)
		seg.Skipped++
		return e, p, false
	}
	name, reason := domain.Parse(d.Name)
	if !d.Watched() || reason != "" {
		return e, p, false
	}
	h.count(d, name, seg)
	if run.Sent && d.State.First != 0 {
		return e, p, false
	}
	p = pile{name.Suffix, h.Ahead == 0 && lifecycle.Raises(d.Name, d.State, run.Started)}
	return found{queue.Entry{Name: d.Name, Version: it.Version, Item: json.RawMessage(it.Data)}, d.Addresses}, p, true
}

// pack makes messages to a zone; turn spreads them over the zone's groups.
func (h *Handler) pack(run *records.Run, zone string, domains []found, turn int) []queue.Message {
	entries := make([]queue.Entry, len(domains))
	for i, d := range domains {
		entries[i] = d.Entry
	}
	groups := max(zoneGroups[zone], 1)
	group := queue.Group(queue.KindDelegation, zone)
	if groups > 1 {
		group = queue.Group(queue.KindDelegation, zone, strconv.Itoa(turn%groups))
	}
	return queue.Pack(queue.Message{
		Kind: queue.KindDelegation, Upstream: zone, Group: group, Run: run.ID, Share: 1 / float64(groups), Sent: run.Started.Time(),
	}, entries)
}

func (h *Handler) sendAll(ctx context.Context, messages []queue.Message, ids *records.Sent) error {
	if len(messages) == 0 {
		return nil
	}
	if _, err := h.Queue.Send(ctx, messages); err != nil {
		return fmt.Errorf("send %d messages: %w", len(messages), err)
	}
	for _, m := range messages {
		ids.IDs = append(ids.IDs, records.SentID{ID: m.ID, Upstream: string(m.Kind) + "/" + m.Upstream})
	}
	return nil
}

// late tells whether too little time is left to begin another piece of work.
func (h *Handler) late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < h.Margin
}
