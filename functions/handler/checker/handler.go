// Package checker answers messages: it asks one upstream one kind of question about many domains, folds the
// answers into their state, writes what changed, and sends the questions that the answers raise.
package checker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// asker asks one upstream about many domains: an observation for each name, in order. It respects ctx's
// deadline: what it could not ask is Unknown with CauseNotAsked.
type asker interface {
	Ask(ctx context.Context, m queue.Message) []source.Observation
}

// directory knows which RDAP server answers for a TLD.
type directory interface {
	Server(tld string) (base string, authoritative, ok bool)
}

// Handler orders the steps of answering messages.
type Handler struct {
	Store store.Store
	Queue queue.Sender
	// Ask holds the askers by kind; a kind without one is not asked (the status API switched off).
	Ask     map[queue.Kind]asker
	Servers directory
	// Known holds names whose answer is known, by kind; Trust which upstreams were right about them.
	Known map[queue.Kind]*canary.Set
	Trust Trust
	// Published is when the list of RDAP servers was published; nil: not measured.
	Published func() time.Time
	Metrics   *telemetry.Metrics
	Log       *slog.Logger
	Now       func() time.Time
	// StatusUpstream names the status API in messages; empty: switched off.
	StatusUpstream string
	// GraceUnverify, see lifecycle.Facts.
	GraceUnverify bool
	// BaselineDays spreads the first MX look, over a week at most.
	BaselineDays int
	// Park is how long the rest of a message waits when its upstream did not say; 0: half an hour.
	Park time.Duration
	// Margin is the time before the deadline at which nothing more is asked.
	Margin time.Duration

	watched watched
}

const (
	// parkFor is how long the rest of a message waits when its upstream did not say; it doubles each time.
	parkFor = 30 * time.Minute
	// maxDoublings bounds that to four hours: within a day's run an upstream is tried a few times more.
	maxDoublings = 3
)

// Handle answers a batch. Messages of one group are answered in order; after a failure the rest of that group
// goes back to the queue. The list in the response is never nil.
func (h *Handler) Handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	if len(e.Records) == 0 {
		return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}, nil
	}
	groups := map[string][]events.SQSMessage{}
	for _, m := range e.Records {
		g := m.Attributes["MessageGroupId"]
		groups[g] = append(groups[g], m)
	}
	current, err := h.currentRun(ctx)
	if err != nil {
		return events.SQSEventResponse{}, err
	}
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed = []events.SQSBatchItemFailure{}
	)
	for _, messages := range groups {
		wg.Go(func() {
			back := h.group(ctx, current, messages)
			mu.Lock()
			defer mu.Unlock()
			for _, m := range back {
				failed = append(failed, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
			}
		})
	}
	wg.Wait()
	return events.SQSEventResponse{BatchItemFailures: failed}, nil
}

// book is the guard's records.
func (h *Handler) book() records.Book { return records.In(h.Store) }

func (h *Handler) currentRun(ctx context.Context) (string, error) {
	return h.book().Current(ctx)
}

// group answers one group's messages in order and returns those that go back to the queue.
// A message that cannot be read goes back alone: no attempt will ever answer it, and what is behind it would
// be received as often, and go to the dead letters with it.
func (h *Handler) group(ctx context.Context, current string, messages []events.SQSMessage) (back []events.SQSMessage) {
	for i, raw := range messages {
		m, err := queue.Decode([]byte(raw.Body))
		if err == nil && h.Ask[m.Kind] == nil {
			err = fmt.Errorf("no source for questions of kind %q", m.Kind)
		}
		unreadable := err != nil
		if !unreadable {
			err = h.message(ctx, current, m)
		}
		if err == nil {
			continue
		}
		h.Log.ErrorContext(ctx, "message_failed", "message", raw.MessageId, "kind", m.Kind, "upstream", m.Upstream, "error", err)
		if !unreadable {
			return append(back, messages[i:]...)
		}
		back = append(back, raw)
	}
	return back
}

// message answers one message. Everything it does is harmless when done twice; the marker comes last.
func (h *Handler) message(ctx context.Context, current string, m queue.Message) (err error) {
	report := report{kind: m.Kind, upstream: m.Upstream, run: m.Run, domains: len(m.Domains)}
	defer func() { h.log(ctx, report, err) }()
	if m.Run != "" && m.Run < current {
		report.dropped = len(m.Domains) // the newer run asks again
		return nil
	}
	ask := h.Ask[m.Kind]
	actx, cancel := h.askUntil(ctx)
	obs := h.believe(actx, m, ask.Ask(actx, m))
	cancel()
	if err := h.measure(m, obs); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("asking %s/%s was cut off: %w", m.Kind, m.Upstream, err) // an answer that was not waited for is no answer
	}
	answered, rest, wait := split(m, obs, h.urgent)
	if m.Look {
		report.unasked, rest.Domains = len(rest.Domains), nil // a second look is sent anew, by its own time
	}
	if len(rest.Domains) > 0 {
		report.parked = len(rest.Domains)
		if rest, err = h.park(ctx, rest, wait); err != nil {
			return err
		}
	}
	visits, err := h.fold(ctx, m, answered, &report)
	if err != nil {
		return err
	}
	// Watched first: once the dependency is stored, a repetition finds no change and would watch nobody.
	if err := h.watchMailHosts(ctx, visits); err != nil {
		return err
	}
	if err := h.write(ctx, m, visits); err != nil {
		return err
	}
	raised, err := h.raise(ctx, m, visits)
	if err != nil {
		return err
	}
	report.raised = len(raised)
	return h.mark(ctx, m, rest, raised, report)
}

// askUntil leaves Margin of the invocation's time for writing down what was learned.
func (h *Handler) askUntil(ctx context.Context) (context.Context, context.CancelFunc) {
	if d, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, d.Add(-h.Margin))
	}
	return context.WithCancel(ctx)
}

// answer is one domain's entry with what the upstream said about it.
type answer struct {
	entry queue.Entry
	obs   source.Observation
}

// upstreamFault tells whether a cause speaks of the upstream rather than of the domain.
func upstreamFault(c source.Cause) bool {
	switch c {
	case source.CauseTimeout, source.CauseUnreachable, source.CauseRateLimited, source.CauseForbidden,
		source.CauseServerError, source.CauseServfail, source.CauseRefused, source.CauseNotAsked, source.CauseLame,
		source.CauseNotBelieved:
		return true
	default:
		return false
	}
}

// nonsense is from how many answers in another protocol on they speak of the upstream: one may be a name's own.
const nonsense = 3

// faulty tells which observations speak of the upstream rather than of their domain. Web pages in the place of most
// answers are a proxy or a maintenance page, and come with a status of success.
func faulty(obs []source.Observation) func(source.Observation) bool {
	other := func(o source.Observation) bool {
		switch o.Cause {
		case source.CauseHTML, source.CauseEmptyBody, source.CauseNotRDAP:
			return o.Outcome == source.Unknown
		default:
			return false
		}
	}
	n := 0
	for _, o := range obs {
		if other(o) {
			n++
		}
	}
	most := n >= nonsense && n*2 >= len(obs)
	return func(o source.Observation) bool {
		return o.Outcome == source.Unknown && upstreamFault(o.Cause) || most && other(o)
	}
}

// split parts a message into what was answered and the rest to be parked. Domains that their upstream could not
// answer for are parked when the upstream failed for most of the message, or was not asked for lack of time; a
// lone failure is the domain's own unknown. An urgent domain is not parked for its zone's failure: the registry
// is to be asked all the same.
func split(m queue.Message, obs []source.Observation, urgent func(queue.Message, queue.Entry) bool) (answered []answer, rest queue.Message, wait time.Duration) {
	faults, fault := 0, faulty(obs)
	for _, o := range obs {
		if fault(o) {
			faults++
		}
		wait = max(wait, o.RetryAfter)
	}
	failing := faults*2 >= len(obs)
	rest = m
	rest.Domains = nil
	for i, o := range obs {
		unanswered := o.Outcome == source.Unknown && (fault(o) && failing || o.Cause == source.CauseNotAsked ||
			o.Cause == source.CauseRateLimited || o.Cause == source.CauseNotBelieved)
		if unanswered && !urgent(m, m.Domains[i]) {
			rest.Domains = append(rest.Domains, m.Domains[i])
			continue
		}
		answered = append(answered, answer{m.Domains[i], o})
	}
	return answered, rest, wait
}

// urgent tells whether the registry is due to be asked about a domain, whatever its zone's servers said. What
// cannot be read here is found out when it is judged.
func (h *Handler) urgent(m queue.Message, e queue.Entry) bool {
	if m.Kind != queue.KindDelegation || m.Look {
		return m.Kind == queue.KindDelegation
	}
	d, err := records.ParseDomain(store.Item{Key: records.DomainKey(e.Name), Data: e.Item, Version: e.Version})
	return err == nil && (d.State.NextRDAP <= lifecycle.At(h.Now()) || d.State.Trouble())
}

// park keeps the rest of a message, to be sent again as a new one when its time has come, and gives that new one.
func (h *Handler) park(ctx context.Context, rest queue.Message, wait time.Duration) (queue.Message, error) {
	now := h.Now()
	wait = max(wait, cmp.Or(h.Park, parkFor)<<min(rest.Tries, maxDoublings))
	rest.Tries++
	rest.ID = queue.ContentID(rest)
	due, expires := now.Add(wait), now.Add(records.RunTTL)
	err := h.Store.Write(ctx, records.Record(records.PKParked, records.ParkedSK(due, rest.ID), rest, expires))
	if err == nil {
		err = h.Store.Write(ctx, records.Wake(due, expires))
	}
	if err != nil {
		return rest, fmt.Errorf("park %d domains of %s/%s: %w", len(rest.Domains), rest.Kind, rest.Upstream, err)
	}
	return rest, nil
}

// mark notes that the message was answered. Parked domains count as raised: the run is complete when they are
// answered too.
func (h *Handler) mark(ctx context.Context, m, rest queue.Message, raised []queue.Message, r report) error {
	if m.Run == "" {
		return nil
	}
	marker := records.Marker{Checked: r.checked, Unknown: r.unknown}
	if len(rest.Domains) > 0 {
		raised = append(raised, rest)
	}
	for _, q := range raised {
		marker.Raised = append(marker.Raised, records.SentID{ID: queue.ContentID(q), Upstream: string(q.Kind) + "/" + q.Upstream})
	}
	if err := h.Store.Write(ctx, records.Mark(m.Run, m.ID, marker, h.Now())); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("mark %s as answered: %w", m.ID, err)
	}
	return nil
}

// report is the one log event of a message.
type report struct {
	kind                                               queue.Kind
	upstream, run                                      string
	domains, checked, unknown, changed, parked, raised int
	dropped, broken, unasked                           int
	causes                                             map[source.Cause]int
}

func (h *Handler) log(ctx context.Context, r report, err error) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelError
	}
	causes, _ := json.Marshal(r.causes) // a map of strings to ints cannot fail
	h.Log.Log(ctx, level, "message_answered", "kind", r.kind, "upstream", r.upstream, "run", r.run, "domains", r.domains,
		"checked", r.checked, "unknown", r.unknown, "changed", r.changed, "parked", r.parked, "raised", r.raised,
		"dropped", r.dropped, "unasked", r.unasked, "broken", r.broken, "causes", json.RawMessage(causes), "error", err)
}
