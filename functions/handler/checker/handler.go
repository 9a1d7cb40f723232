// Package checker answers messages: it asks one upstream one kind of question about many domains, folds the
// answers into their state, writes what changed, and sends the questions that the answers raise.
package checker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
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
// A message that cannot be read goes to the dead letters at once: no attempt will ever answer it, and received as often as
// it takes to get there by itself it would keep its group waiting for hours.
func (h *Handler) group(ctx context.Context, current string, messages []events.SQSMessage) (back []events.SQSMessage) {
	for i, raw := range messages {
		m, err := queue.Decode([]byte(raw.Body))
		if err == nil && h.Ask[m.Kind] == nil {
			err = fmt.Errorf("no source for questions of kind %q", m.Kind)
		}
		unreadable := err != nil
		if unreadable && h.bury(ctx, raw, err) {
			continue
		}
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

// bury puts a message to the dead letters; false: it goes back, alone.
func (h *Handler) bury(ctx context.Context, raw events.SQSMessage, why error) bool {
	if err := h.DeadLetters.Bury(ctx, raw); err != nil {
		h.Log.ErrorContext(ctx, "message_not_buried", "message", raw.MessageId, "error", err)
		return false
	}
	h.Log.ErrorContext(ctx, "message_buried", "message", raw.MessageId, "group", raw.Attributes["MessageGroupId"], "error", why)
	return true
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
	known := newSubjects(h.Store, m.Domains)
	obs := h.confirm(actx, m, known, h.believe(actx, m, known, ask.Ask(actx, m)))
	cancel()
	h.measure(m, obs)
	h.doubtParking(ctx, m, known, obs)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("asking %s/%s was cut off: %w", m.Kind, m.Upstream, err) // an answer that was not waited for is no answer
	}
	answered, rest, wait := split(m, obs, func(i int) bool { return h.urgent(ctx, m, known, i) })
	if m.Look {
		report.unasked, rest.Domains = len(rest.Domains), nil // a second look is sent anew, by its own time
	}
	lost := rest
	if hopeless(m, obs) {
		rest.Domains = nil
	}
	if len(rest.Domains) > 0 {
		report.parked = len(rest.Domains)
		if rest, err = h.park(ctx, rest, wait); err != nil {
			return err
		}
	}
	visits, err := h.fold(ctx, m, known, answered, &report)
	if err != nil {
		return err
	}
	if len(rest.Domains) < len(lost.Domains) {
		h.giveUp(ctx, m, lost, obs, &report)
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
	dropped, broken, skipped, unasked, givenUp         int
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
		"given_up", r.givenUp, "dropped", r.dropped, "unasked", r.unasked, "broken", r.broken, "skipped", r.skipped, "causes", json.RawMessage(causes), "error", err)
}
