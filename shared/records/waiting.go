package records

import (
	"context"
	"iter"
	"time"

	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// PKs of what waits. Each has one of its own: holds are written by applier alone, the times at which parked messages
// are due by checker, and the messages are as large as a message may be and come in crowds.
const (
	pkHolds = "holds"
	pkWakes = "wakes"
)

// Hold reads a domain's hold.
func (b Book) Hold(ctx context.Context, name string) (Of[safety.Hold], error) {
	return get[safety.Hold](ctx, b, pkHolds, name)
}

// PutHold is the write of a hold, whatever stood there.
func PutHold(h safety.Hold) store.Write { return Record(pkHolds, h.Domain, h, time.Time{}) }

// EndHold is the write that takes a domain's hold off, there or not.
func EndHold(name string) store.Write { return Forget(pkHolds, name) }

// Holds walks the holds, by domain.
func (b Book) Holds(ctx context.Context) iter.Seq2[Of[safety.Hold], error] {
	return all[safety.Hold](ctx, b, store.Query{PK: pkHolds})
}

// ParkedSK is the SK of a message that waits until a time (UTC, to the second).
func ParkedSK(until time.Time, id string) string { return second(until) + "/" + id }

// Parked asks for all parked messages after a message's SK (empty: from the first), earliest first.
func Parked(after string, limit int) store.Query {
	return store.Query{PK: PKParked, After: after, Limit: limit}
}

// ParkedUntil asks for the parked messages whose time has come at now, earliest first.
func ParkedUntil(now time.Time, limit int) store.Query {
	return store.Query{PK: PKParked, Before: second(now) + behind("/"), Limit: limit} // behind every ID of this second
}

// Wake notes that a message is due at until. It is written after the message, and read before messages are: who has
// seen it sees the message too, and can take it away when that is sent.
func Wake(until, expires time.Time) store.Write {
	return Record(pkWakes, second(until), struct{}{}, expires)
}

// Woken asks for the times that have come at now, earliest first.
func Woken(now time.Time, limit int) store.Query {
	return store.Query{PK: pkWakes, Before: second(now) + behind("/"), Limit: limit}
}

func second(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// behind is behind everything that begins with prefix.
func behind(prefix string) string {
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1)
}
