package store

import (
	"strings"
	"time"
)

// Holds and parked messages stand in PKGuard, beside the run and the leases: one query of it tells whether there is
// anything to do.
const (
	holdPrefix   = "hold/"
	parkedPrefix = "parked/"
)

// HoldSK is the SK of a domain's hold.
func HoldSK(name string) string { return holdPrefix + name }

// Held is the domain of a hold's item.
func Held(it Item) string { return strings.TrimPrefix(it.SK, holdPrefix) }

// Holds asks for the holds after a hold's SK (empty: from the first), by domain.
func Holds(after string, limit int) Query {
	return Query{PK: PKGuard, After: max(after, holdPrefix), Before: behind(holdPrefix), Limit: limit}
}

// ParkedSK is the SK of a message that waits until a time (UTC, to the second).
func ParkedSK(until time.Time, id string) string {
	return parkedPrefix + until.UTC().Format(time.RFC3339) + "/" + id
}

// Parked asks for all parked messages after a message's SK (empty: from the first), earliest first.
func Parked(after string, limit int) Query {
	return Query{PK: PKGuard, After: max(after, parkedPrefix), Before: behind(parkedPrefix), Limit: limit}
}

// ParkedUntil asks for the parked messages whose time has come at now, earliest first.
func ParkedUntil(now time.Time, limit int) Query {
	q := Parked("", limit)
	q.Before = parkedPrefix + now.UTC().Format(time.RFC3339) + behind("/") // behind every ID of this second
	return q
}

// Waits tells whether an item of PKGuard is a hold, or a parked message whose time has come at now.
func Waits(it Item, now time.Time) bool {
	return strings.HasPrefix(it.SK, holdPrefix) || strings.HasPrefix(it.SK, parkedPrefix) && it.SK < ParkedUntil(now, 1).Before
}

// behind is behind everything that begins with prefix.
func behind(prefix string) string {
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1)
}
