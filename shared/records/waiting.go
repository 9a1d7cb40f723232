package records

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// Holds, and the times at which parked messages are due, stand in PKGuard beside the run and the leases: one query
// tells whether anything waits. The messages are as large as a message may be and come in crowds, so that they have a
// PK of their own.
const (
	holdPrefix = "hold/"
	wakePrefix = "wake/"
)

// HoldSK is the SK of a domain's hold.
func HoldSK(name string) string { return holdPrefix + name }

// Hold reads a domain's hold.
func (b Book) Hold(ctx context.Context, name string) (Of[safety.Hold], error) {
	return get[safety.Hold](ctx, b, PKGuard, HoldSK(name))
}

// AllHolds walks the holds, by domain.
func (b Book) AllHolds(ctx context.Context) iter.Seq2[Of[safety.Hold], error] {
	return all[safety.Hold](ctx, b, Holds("", page))
}

// Held is the domain of a hold's item.
func Held(it store.Item) string { return strings.TrimPrefix(it.SK, holdPrefix) }

// Holds asks for the holds after a hold's SK (empty: from the first), by domain.
func Holds(after string, limit int) store.Query {
	return store.Query{PK: PKGuard, After: max(after, holdPrefix), Before: behind(holdPrefix), Limit: limit}
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
	return Record(PKGuard, wakePrefix+second(until), struct{}{}, expires)
}

// Woken asks for the times that have come at now, earliest first.
func Woken(now time.Time, limit int) store.Query {
	return store.Query{PK: PKGuard, After: wakePrefix, Before: wakePrefix + second(now) + behind("/"), Limit: limit}
}

// Waits tells whether an item of PKGuard is a hold, or a time that has come at now.
func Waits(it store.Item, now time.Time) bool {
	return strings.HasPrefix(it.SK, holdPrefix) || strings.HasPrefix(it.SK, wakePrefix) && it.SK < Woken(now, 1).Before
}

func second(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// behind is behind everything that begins with prefix.
func behind(prefix string) string {
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1)
}
