package records

import (
	"context"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

// HistoryPK is the PK of a domain's history; SK is HistorySK of the time.
func HistoryPK(name string) string { return "history/" + name }

// HistorySK orders history entries by time.
func HistorySK(at time.Time, n int) string {
	return fmt.Sprintf("%s/%03d", at.UTC().Format("20060102T150405.000000000"), n)
}

// Witness is what one source said, as history keeps it.
type Witness struct {
	Source source.Source  `json:"source"`
	Server string         `json:"server,omitempty"`
	At     time.Time      `json:"at"`
	Said   string         `json:"said"`
	Cause  source.Cause   `json:"cause,omitempty"`
	Result source.Outcome `json:"result"`
}

// Entry is one entry of a domain's history: a change, with the evidence that made it.
type Entry struct {
	At         time.Time            `json:"at"`
	What       string               `json:"what"` // "look", "unverified", "held", "restored", …
	Before     lifecycle.Phase      `json:"before,omitempty"`
	After      lifecycle.Phase      `json:"after,omitempty"`
	Action     lifecycle.Action     `json:"action,omitempty"`
	Confidence lifecycle.Confidence `json:"confidence,omitempty"`
	Reason     lifecycle.Reason     `json:"reason,omitempty"`
	Sentence   string               `json:"sentence,omitempty"`
	Evidence   []Witness            `json:"evidence,omitempty"`
	By         string               `json:"by,omitempty"`
	Answer     *registry.Answer     `json:"answer,omitempty"`
	Request    string               `json:"request,omitempty"` // id of the invocation in which an operator acted
	First      bool                 `json:"-"`                 // a first look at which all was well: kept for FirstTTL
}

// HistoryTTL is how long history is kept: two years cover an account holder's question about last year's lapse.
const HistoryTTL = 2 * 365 * 24 * time.Hour

// FirstTTL is how long the entry of a first look is kept at which all was well: the domain's state says the same for as long
// as it is so, and every domain has two of them.
const FirstTTL = 90 * 24 * time.Hour

// PutEntry is the write that appends to a domain's history; n tells apart entries of one moment.
func PutEntry(name string, e Entry, n int) store.Write {
	ttl := HistoryTTL
	if e.First {
		ttl = FirstTTL
	}
	return store.Write{Any: true, Item: store.Item{
		Key:  store.Key{Table: store.Records, PK: HistoryPK(name), SK: HistorySK(e.At, n)},
		Data: mustJSON(e), Expires: e.At.Add(ttl),
	}}
}

// History reads a domain's newest entries first, at most limit.
func (b Book) History(ctx context.Context, name string, limit int) ([]Entry, error) {
	var entries []Entry
	for r, err := range all[Entry](ctx, b, store.Query{PK: HistoryPK(name), Newest: true, Limit: limit}) {
		if err != nil {
			return nil, err
		}
		if entries = append(entries, r.V); len(entries) == limit {
			break
		}
	}
	return entries, nil
}
