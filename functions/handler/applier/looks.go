package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/store"
)

// page is how many items a step reads at once.
const page = 200

// resendParked sends parked messages whose time has come, as new messages. Those of a superseded run are
// dropped: the newer run asks again.
func (h *Handler) resendParked(ctx context.Context) (int, error) {
	current, err := h.runID(ctx)
	if err != nil {
		return 0, err
	}
	woken, _, err := h.Store.Query(ctx, store.Woken(h.Now(), page)) // before the messages, see store.Wake
	if err != nil {
		return 0, err
	}
	due := store.ParkedUntil(h.Now(), page)
	sent := 0
	for more := true; more && !h.late(ctx); {
		var items []store.Item
		items, more, err = h.Store.Query(ctx, due)
		if err != nil {
			return sent, err
		}
		for _, it := range items {
			if err := h.resend(ctx, it, current); err != nil {
				return sent, err
			}
			sent++
		}
		if !more {
			err = h.forget(ctx, woken)
		}
	}
	return sent, err
}

// forget takes away the times whose messages are all sent.
func (h *Handler) forget(ctx context.Context, woken []store.Item) error {
	groups := make([][]store.Write, len(woken))
	for i, it := range woken {
		groups[i] = []store.Write{{Item: it, Delete: true, Any: true}}
	}
	if err := errors.Join(h.Store.WriteEach(ctx, groups)...); err != nil {
		return fmt.Errorf("forget when parked messages were due: %w", err)
	}
	return nil
}

func (h *Handler) resend(ctx context.Context, it store.Item, current string) error {
	var m queue.Message
	if err := json.Unmarshal(it.Data, &m); err != nil {
		return fmt.Errorf("parked message %s: %w", it.SK, err)
	}
	stale := m.Run != "" && m.Run < current || m.Run == "" && h.Now().Sub(m.Sent) > lifecycle.Freshness
	if stale {
		h.Log.InfoContext(ctx, "parked_dropped", "kind", m.Kind, "upstream", m.Upstream, "run", m.Run, "not_looked_at", len(m.Domains))
	} else {
		for i := range m.Domains {
			m.Domains[i].Item = nil // the state moved on while the message was parked: the checker reads it
		}
		if _, err := h.Queue.Send(ctx, []queue.Message{m}); err != nil {
			return fmt.Errorf("send parked message %s: %w", it.SK, err)
		}
	}
	err := h.Store.Write(ctx, store.Write{Item: it, Delete: true})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("delete parked message %s: %w", it.SK, err)
	}
	return nil
}

func (h *Handler) runID(ctx context.Context) (string, error) {
	var run store.Run
	_, err := store.Load(ctx, h.Store, store.PKGuard, "run", &run)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return run.ID, err
}

// findings is what a survey of the due items came to: counts, not items, so that a bad day fits into memory.
type findings struct {
	complete bool           // the whole index was seen
	pending  map[string]int // by class
	holds    int
	looks    int
	arrived  *store.Domain // the synthetic domain, at its last hop
}

// survey walks the index of due items once: second looks are sent, the rest is counted.
func (h *Handler) survey(ctx context.Context) (findings, error) {
	f := findings{pending: map[string]int{}}
	err := h.eachDue(ctx, func(d store.Domain) error {
		now := lifecycle.At(h.Now())
		if d.Pending() { // stale ones too: of a crowd whose upstream answers for a few at a time, those few are no less a crowd
			f.pending[class(d)]++
		}
		if d.Arrived() {
			f.arrived = &d
		}
		if d.Unheld() || d.Untold() || d.Recovered() {
			f.holds++
		}
		if d.NextLook != 0 && d.NextLook <= now || d.Pending() && h.stale(d) && d.LookSent.Add(lifecycle.RetryLook) <= now {
			if err := h.look(ctx, d); err != nil {
				return err
			}
			f.looks++
		}
		return nil
	})
	f.complete = err == nil
	return f, err
}

// eachDue reads every due item consistently and hands it on; the index is only a hint.
func (h *Handler) eachDue(ctx context.Context, do func(store.Domain) error) error {
	for shard := range store.Shards {
		for cursor, first := "", true; first || cursor != ""; first = false {
			names, next, err := h.Store.Due(ctx, shard, h.Now(), cursor, page)
			if err != nil {
				return fmt.Errorf("due items of shard %d: %w", shard, err)
			}
			cursor = next
			for _, name := range names {
				if h.late(ctx) {
					return errors.New("too many due items for one invocation; the next one goes on")
				}
				d, err := store.GetDomain(ctx, h.Store, name)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				if err := do(d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// look sends a second look and notes when to ask again should it bring no answer.
func (h *Handler) look(ctx context.Context, d store.Domain) error {
	name, reason := domain.Parse(d.Name)
	now := h.Now()
	if reason != "" { // a newer list of suffixes: the domain's own trouble, which must not stop the others
		h.Log.ErrorContext(ctx, "domain_not_registrable", "domain", d.Name, "reason", reason)
		d.LookSent, d.NextLook = lifecycle.At(now), 0
		return h.put(ctx, d)
	}
	m := queue.Message{Kind: queue.KindDelegation, Upstream: name.Suffix, Group: queue.Group(queue.KindDelegation, name.Suffix), Share: 1, Look: true, Sent: now}
	if _, err := h.Queue.Send(ctx, queue.Pack(m, []queue.Entry{{Name: d.Name}})); err != nil {
		return fmt.Errorf("send a look at %s: %w", d.Name, err)
	}
	d.LookSent = lifecycle.At(now)
	d.NextLook = d.LookSent.Add(lifecycle.RetryLook)
	if err := h.Store.Write(ctx, d.Put()); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("note the look at %s: %w", d.Name, err)
	}
	return nil
}

// stale tells whether the evidence behind a decision is too old to act on.
func (h *Handler) stale(d store.Domain) bool {
	now := lifecycle.At(h.Now())
	newest := evidenceAt(d)
	return newest == 0 || now.Since(newest) > lifecycle.Freshness
}

// evidenceAt is when the newest witness spoke who bears the verdict out. A deletion that was decided stays while
// nothing can be believed (see the checker's carryVerdict); who meanwhile says otherwise does not make it fresh.
func evidenceAt(d store.Domain) lifecycle.Instant {
	reg, mkt := d.State.RegAt, d.State.MktAt
	switch d.State.Phase {
	case lifecycle.Redemption, lifecycle.PendingDelete, lifecycle.Released:
		if !deleted(d.State.Reg) {
			reg = 0
		}
		if !deleted(d.State.Mkt) {
			mkt = 0
		}
	default:
	}
	return max(reg, mkt)
}

func deleted(w lifecycle.Word) bool {
	switch w {
	case lifecycle.WordRestore, lifecycle.WordRedemption, lifecycle.WordPendingDelete, lifecycle.WordAbsent:
		return true
	default:
		return false
	}
}

func (h *Handler) late(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ok && time.Until(d) < h.Margin
}

// ResendParked sends what is parked and due, outside a tick: a one-shot audit has no schedule.
func (h *Handler) ResendParked(ctx context.Context) error {
	_, err := h.resendParked(ctx)
	return err
}
