package applier

// The other half of parking: checker (park.go) writes down what waits and until when; here it is sent again.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// resendParked sends parked messages whose time has come, as new messages. Those of a superseded run are
// dropped: the newer run asks again.
func (p *Parts) resendParked(ctx context.Context) (int, error) {
	run, err := p.book().Run(ctx)
	if err != nil {
		return 0, err
	}
	current := run.V.ID
	woken, _, err := p.Store.Query(ctx, records.Woken(p.Now(), page)) // before the messages, see records.Wake
	if err != nil {
		return 0, err
	}
	due := records.ParkedUntil(p.Now(), page)
	sent := 0
	for more := true; more && !p.late(ctx); {
		var items []store.Item
		items, more, err = p.Store.Query(ctx, due)
		if err != nil {
			return sent, err
		}
		for _, it := range items {
			due.After = it.SK
			switch err := p.resend(ctx, it, current); {
			case errors.Is(err, queue.ErrSchema): // it waits for the version that can read it
				p.Log.ErrorContext(ctx, "parked_skipped", "message", it.SK, "error", err)
				woken = nil
			case err != nil:
				return sent, err
			default:
				sent++
			}
		}
		if !more {
			err = p.forget(ctx, woken)
		}
	}
	return sent, err
}

// forget takes away the times whose messages are all sent.
func (p *Parts) forget(ctx context.Context, woken []store.Item) error {
	groups := make([][]store.Write, len(woken))
	for i, it := range woken {
		groups[i] = []store.Write{{Item: it, Delete: true, Any: true}}
	}
	if err := errors.Join(p.Store.WriteEach(ctx, groups)...); err != nil {
		return fmt.Errorf("forget when parked messages were due: %w", err)
	}
	return nil
}

func (p *Parts) resend(ctx context.Context, it store.Item, current string) error {
	var m queue.Message
	if err := json.Unmarshal(it.Data, &m); err != nil {
		return fmt.Errorf("parked message %s: %w", it.SK, err)
	}
	stale := m.Run != "" && m.Run < current || m.Run == "" && p.Now().Sub(m.Sent) > lifecycle.Freshness
	if stale {
		p.Log.InfoContext(ctx, "parked_dropped", "kind", m.Kind, "upstream", m.Upstream, "run", m.Run, "not_looked_at", len(m.Domains))
	} else {
		for i := range m.Domains {
			m.Domains[i].Item = nil // the state moved on while the message was parked: the checker reads it
		}
		if _, err := p.Queue.Send(ctx, []queue.Message{m}); err != nil {
			return fmt.Errorf("send parked message %s: %w", it.SK, err)
		}
	}
	err := p.Store.Write(ctx, store.Write{Item: it, Delete: true})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("delete parked message %s: %w", it.SK, err)
	}
	return nil
}

// ResendParked sends what is parked and due, outside a tick: a one-shot audit has no schedule.
func (p *Parts) ResendParked(ctx context.Context) error {
	_, err := p.resendParked(ctx)
	return err
}
