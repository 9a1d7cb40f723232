package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The checks below are shared by all implementations, so that what one refuses the others refuse too.

// Shard is the partition of the index of due items that a write of name puts it into: 0 <= Shard < Shards. There may
// come to be more of them, as all are read; never fewer: a stored item stays where it is until it is written again.
func Shard(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return int(h.Sum32() % Shards)
}

// Expired tells whether reads must leave out the item at now. An expired item counts as absent for the
// conditions of a Write too, whether or not the store has forgotten it yet.
func (it Item) Expired(now time.Time) bool {
	return !it.Expires.IsZero() && now.Unix() >= it.Expires.Unix()
}

// CheckKey refuses a key that no item can have.
func CheckKey(k Key) error {
	if err := checkText("PK", k.PK); err != nil {
		return err
	}
	switch k.Table {
	case Domains:
		if k.SK != "" {
			return fmt.Errorf("%w: %q has an SK, items of Domains have none", ErrInvalid, k.PK)
		}
		return nil
	case Records:
		return checkText("SK", k.SK)
	default:
		return fmt.Errorf("%w: table %d", ErrInvalid, k.Table)
	}
}

func checkText(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	case len(s) > MaxKey:
		return fmt.Errorf("%w: %s has %d bytes, more than %d", ErrInvalid, what, len(s), MaxKey)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %s %q is not UTF-8", ErrInvalid, what, s)
	default:
		return nil
	}
}

// CheckKeys refuses what GetMany cannot answer, and returns the keys each once.
func CheckKeys(keys []Key) ([]Key, error) {
	if len(keys) > MaxGetMany {
		return nil, fmt.Errorf("%w: %d keys, more than %d", ErrInvalid, len(keys), MaxGetMany)
	}
	seen := make(map[Key]struct{}, len(keys))
	unique := make([]Key, 0, len(keys))
	for _, k := range keys {
		if err := CheckKey(k); err != nil {
			return nil, err
		}
		if _, again := seen[k]; !again {
			seen[k] = struct{}{}
			unique = append(unique, k)
		}
	}
	return unique, nil
}

// CheckWrites refuses a set of writes that no implementation takes.
func CheckWrites(writes []Write) error {
	if len(writes) < 1 || len(writes) > MaxWrites {
		return fmt.Errorf("%w: %d writes, want 1 to %d", ErrInvalid, len(writes), MaxWrites)
	}
	total := 0
	seen := make(map[Key]struct{}, len(writes))
	for _, w := range writes {
		if err := checkWrite(w); err != nil {
			return err
		}
		if _, again := seen[w.Key]; again {
			return fmt.Errorf("%w: two writes to %q %q", ErrInvalid, w.PK, w.SK)
		}
		seen[w.Key] = struct{}{}
		if !w.Delete {
			total += len(w.PK) + len(w.SK) + len(w.Data)
		}
	}
	if total > MaxWriteBytes {
		return fmt.Errorf("%w: %d bytes in one call, more than %d", ErrInvalid, total, MaxWriteBytes)
	}
	return nil
}

func checkWrite(w Write) error {
	if err := CheckKey(w.Key); err != nil {
		return err
	}
	if w.Version < 0 {
		return fmt.Errorf("%w: version %d of %q %q", ErrInvalid, w.Version, w.PK, w.SK)
	}
	if w.Any && w.Table != Records {
		return fmt.Errorf("%w: unconditional write of %q: only Records may be written so", ErrInvalid, w.PK)
	}
	if w.Delete {
		return nil
	}
	switch {
	case len(w.Data) > MaxData:
		return fmt.Errorf("%w: data of %q %q has %d bytes, more than %d", ErrInvalid, w.PK, w.SK, len(w.Data), MaxData)
	case !bytes.HasPrefix(bytes.TrimLeft(w.Data, " \t\r\n"), []byte("{")) || !json.Valid(w.Data) || !utf8.Valid(w.Data):
		return fmt.Errorf("%w: data of %q %q is not one JSON object in UTF-8", ErrInvalid, w.PK, w.SK)
	default:
		return nil
	}
}

// CheckQuery refuses a query that no implementation answers.
func CheckQuery(q Query) error {
	if err := checkText("PK", q.PK); err != nil {
		return err
	}
	for _, bound := range []string{q.After, q.Before} {
		if bound == "" {
			continue
		}
		if err := checkText("bound of SK", bound); err != nil {
			return err
		}
	}
	return checkLimit(q.Limit)
}

// CheckScan refuses a segment that does not exist.
func CheckScan(segment, segments int, cursor string, limit int) error {
	if segments < 1 || segments > MaxSegments || segment < 0 || segment >= segments {
		return fmt.Errorf("%w: segment %d of %d (at most %d)", ErrInvalid, segment, segments, MaxSegments)
	}
	if cursor != "" {
		if err := checkText("cursor", cursor); err != nil {
			return err
		}
	}
	return checkLimit(limit)
}

// CheckDue refuses a shard that does not exist, and parses the cursor, which DueCursor made; an empty
// cursor gives an empty name.
func CheckDue(shard int, cursor string, limit int) (sec int64, name string, err error) {
	if shard < 0 || shard >= Shards {
		return 0, "", fmt.Errorf("%w: shard %d of %d", ErrInvalid, shard, Shards)
	}
	if err := checkLimit(limit); err != nil || cursor == "" {
		return 0, "", err
	}
	at, name, ok := strings.Cut(cursor, "/")
	sec, err = strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || checkText("cursor", name) != nil {
		return 0, "", fmt.Errorf("%w: cursor %q", ErrInvalid, cursor)
	}
	return sec, name, nil
}

// DueCursor is the place in the index after the entry of name at sec (Unix seconds).
func DueCursor(sec int64, name string) string { return fmt.Sprintf("%d/%s", sec, name) }

func checkLimit(limit int) error {
	if limit < 1 || limit > MaxPage {
		return fmt.Errorf("%w: limit %d, want 1 to %d", ErrInvalid, limit, MaxPage)
	}
	return nil
}
