package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// Schema is the version of the records below; an item with a newer one is refused, not guessed at.
const Schema = 1

// Domain is the scanned item of one registrable domain: what the registry's list says of it, what the guard
// knows, and how far its last verdict was carried out.
type Domain struct {
	Schema int    `json:"v"`
	Name   string `json:"-"`

	// From the registry's list.
	Listed    bool              `json:"l,omitempty"`
	Hosts     int               `json:"h,omitempty"` // hosts in use at or below the domain
	Addresses int               `json:"n,omitempty"` // verified addresses at them
	Oldest    lifecycle.Instant `json:"o,omitempty"` // oldest verification; 0 when any is unknown
	Newest    lifecycle.Instant `json:"w,omitempty"`

	MailHost bool `json:"mh,omitempty"` // other watched domains receive their mail through it

	State lifecycle.State `json:"s"`

	// The last verdict.
	Action         lifecycle.Action     `json:"a,omitempty"`
	Confidence     lifecycle.Confidence `json:"c,omitempty"`
	Reason         lifecycle.Reason     `json:"y,omitempty"`
	VerifiedBefore lifecycle.Instant    `json:"vb,omitempty"`
	ExposedSince   lifecycle.Instant    `json:"es,omitempty"`
	NextLook       lifecycle.Instant    `json:"nx,omitempty"`
	LookSent       lifecycle.Instant    `json:"lk,omitempty"` // second look sent

	// What was carried out, by decision (see Decision).
	Done     string `json:"dn,omitempty"` // enforced
	Would    string `json:"wd,omitempty"` // reported by observe mode
	Held     string `json:"hd,omitempty"` // a hold was recorded
	Approved string `json:"ap,omitempty"` // a person approved

	// What an operator said beside that.
	Retried  string `json:"rt,omitempty"` // the key under which a decision that was carried out is repeated (see Key)
	Released string `json:"rl,omitempty"` // the verdict that a person declined to act on
	HeldBy   string `json:"hb,omitempty"` // who holds the domain, whatever the verdict

	item Item
}

// Decision names one thing to be done once: a domain and the lapse (or the new registration) it is about.
func (d Domain) Decision() string {
	if d.State.Phase == lifecycle.ReRegistered {
		return fmt.Sprintf("%s:re-registered:%d", d.Name, d.State.Registered)
	}
	return fmt.Sprintf("%s:lapse:%d", d.Name, d.State.LapseAt)
}

// retryMark stands between a decision and the number of its repetition.
const retryMark = ":retry:"

// Key names the request to the registry about the present decision. A repetition that an operator asked for has a
// key of its own: under a known key the registry answers what it answered before.
func (d Domain) Key() string {
	if strings.HasPrefix(d.Retried, d.Decision()+retryMark) {
		return d.Retried
	}
	return d.Decision()
}

// Keys are the keys of every request about the present decision so far, oldest first.
func (d Domain) Keys() []string {
	keys := []string{d.Decision()}
	n, _ := strconv.Atoi(strings.TrimPrefix(d.Key(), d.Decision()+retryMark)) // 0 for the decision itself
	for i := range n {
		keys = append(keys, d.Decision()+retryMark+strconv.Itoa(i+1))
	}
	return keys
}

// Retry opens the decision again, under the next key. The registry's list may lack the domain by then.
func (d *Domain) Retry() {
	d.Retried = d.Decision() + retryMark + strconv.Itoa(len(d.Keys()))
	d.Approved = d.Decision()
}

// Pending tells whether the domain is at risk and no outcome was enforced yet. It is a property of the
// state: what observe mode saw is still pending when enforce begins.
func (d Domain) Pending() bool {
	approved := d.Action == lifecycle.Hold && d.Approved == d.Decision()
	known := d.Listed || d.Retried != "" && d.Retried == d.Key()
	stopped := d.HeldBy != "" || d.Released == d.holdID()
	return known && !stopped && (d.Action == lifecycle.Unverify || approved) && d.Done != d.Key()
}

// Unheld tells whether a verdict to hold has no hold recorded yet.
func (d Domain) Unheld() bool {
	return d.Action == lifecycle.Hold && d.Held != d.holdID() && d.HeldBy == ""
}

// OnHold tells whether the present verdict has its hold recorded.
func (d Domain) OnHold() bool { return d.Held == d.holdID() }

// Release notes that a person declined to act on the present verdict. Another verdict counts anew.
func (d *Domain) Release() {
	d.Approved, d.HeldBy, d.Released = "", "", d.holdID()
	d.MarkHeld()
}

// Recovered tells whether a mail host that was held for its lapse is fine again: who depends on it is to be told.
func (d Domain) Recovered() bool {
	return d.MailHost && d.Held != "" && d.State.Phase == lifecycle.Active && d.Action != lifecycle.Hold
}

func (d Domain) holdID() string { return d.Decision() + "/" + string(d.Reason) }

// MarkHeld notes that the hold for the present verdict is recorded.
func (d *Domain) MarkHeld() { d.Held = d.holdID() }

// Watched tells whether the daily round asks about the domain: it is in the list, others' mail depends on it,
// or its addresses were unverified in a lapse that has not come to its end.
func (d Domain) Watched() bool {
	followed := d.Done != "" && d.State.LapseAt != 0 && d.State.Phase != lifecycle.ReRegistered
	return d.Listed || d.MailHost || followed || d.Pending()
}

// due is when the applier must look at the domain; zero keeps it out of the index.
func (d Domain) due() time.Time {
	switch {
	case !d.Watched():
		return time.Time{}
	case d.Pending():
		return d.State.Since.Time()
	case d.Unheld(), d.Recovered():
		return d.State.Since.Time()
	case d.NextLook != 0:
		return d.NextLook.Time()
	default:
		return time.Time{}
	}
}

// DomainKey is the key of a domain's item.
func DomainKey(name string) Key { return Key{Table: Domains, PK: name} }

// NewDomain is a domain that was not stored yet.
func NewDomain(name string, baseline lifecycle.Instant) Domain {
	return Domain{Schema: Schema, Name: name, State: lifecycle.NewState(baseline), item: Item{Key: DomainKey(name)}}
}

// ParseDomain reads a stored item, or the copy of it that a message carries.
func ParseDomain(it Item) (Domain, error) {
	d := Domain{}
	if err := json.Unmarshal(it.Data, &d); err != nil {
		return d, fmt.Errorf("stored item of %q: %w", it.PK, err)
	}
	if d.Schema != Schema || d.State.Schema != lifecycle.StateSchema {
		return d, fmt.Errorf("stored item of %q: schema %d/%d is not known to this version", it.PK, d.Schema, d.State.Schema)
	}
	d.Name, d.item = it.PK, it
	return d, nil
}

// GetDomain reads a domain's item; ErrNotFound when it is not watched.
func GetDomain(ctx context.Context, s Store, name string) (Domain, error) {
	it, err := s.Get(ctx, DomainKey(name))
	if err != nil {
		return Domain{}, fmt.Errorf("read %s: %w", name, err)
	}
	return ParseDomain(it)
}

// Version is the version the domain was read at, and Data its stored form.
func (d Domain) Version() int64 { return d.item.Version }

// Put is the write that stores the domain on the condition that nobody changed it since it was read.
func (d Domain) Put() Write {
	it := d.item
	it.Data, it.Due = mustJSON(d), d.due()
	it.Expires = time.Time{}
	return Write{Item: it}
}

// Stored is the domain as it is after its Put succeeded.
func (d Domain) Stored() Domain {
	w := d.Put()
	d.item = w.Item
	d.item.Version++
	return d
}

// Data is the domain's stored form, as messages carry it.
func (d Domain) Data() []byte { return mustJSON(d) }

// mustJSON encodes our own structs of plain fields, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}

// Host is one e-mail host of the registry's list, as last synced. PK "hosts", SK the host.
type Host struct {
	Addresses int               `json:"n"`
	Oldest    lifecycle.Instant `json:"o,omitempty"`
	Newest    lifecycle.Instant `json:"w,omitempty"`
	Domain    string            `json:"d,omitempty"` // registrable domain; empty: see Why
	Why       string            `json:"y,omitempty"` // reason why the host cannot be watched
}

// PKs of Records.
const (
	PKHosts   = "hosts"
	PKGuard   = "guard" // run, leases, breaker: the guard's own few items
	PKParked  = "parked"
	PKHolds   = "holds"
	PKDigest  = "digest"
	PKRequest = "requests" // frozen requests and their answers, by decision
	PKBroken  = "broken"   // domains that broke the program
)

// HistoryPK is the PK of a domain's history; SK is HistorySK of the time.
func HistoryPK(name string) string { return "history/" + name }

// HistorySK orders history entries by time.
func HistorySK(at time.Time, n int) string {
	return fmt.Sprintf("%s/%03d", at.UTC().Format("20060102T150405.000000000"), n)
}

// DependentsPK is the PK of the list of domains whose mail goes through host.
func DependentsPK(host string) string { return "dependents/" + host }

// RunPK is the PK of a run's parts: what was sent, what was answered.
func RunPK(run string) string { return "run/" + run }

// Witness is what one source said, as history keeps it.
type Witness struct {
	Source lifecycle.Source  `json:"source"`
	Server string            `json:"server,omitempty"`
	At     time.Time         `json:"at"`
	Said   string            `json:"said"`
	Cause  lifecycle.Cause   `json:"cause,omitempty"`
	Result lifecycle.Outcome `json:"result"`
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
}

// HistoryTTL is how long history is kept: two years cover an account holder's question about last year's lapse.
const HistoryTTL = 2 * 365 * 24 * time.Hour

// PutEntry is the write that appends to a domain's history; n tells apart entries of one moment.
func PutEntry(name string, e Entry, n int) Write {
	return Write{Any: true, Item: Item{
		Key:  Key{Table: Records, PK: HistoryPK(name), SK: HistorySK(e.At, n)},
		Data: mustJSON(e), Expires: e.At.Add(HistoryTTL),
	}}
}

// History reads a domain's newest entries first.
func History(ctx context.Context, s Store, name string, limit int) ([]Entry, error) {
	items, _, err := s.Query(ctx, Query{PK: HistoryPK(name), Newest: true, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", name, err)
	}
	entries := make([]Entry, 0, len(items))
	for _, it := range items {
		var e Entry
		if err := json.Unmarshal(it.Data, &e); err != nil {
			return nil, fmt.Errorf("history of %s: %w", name, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Load reads a record of PK/SK into v and returns the item to write back with; ErrNotFound leaves v alone and
// returns an item that creates it.
func Load(ctx context.Context, s Store, pk, sk string, v any) (Item, error) {
	key := Key{Table: Records, PK: pk, SK: sk}
	it, err := s.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Item{Key: key}, err
	}
	if err != nil {
		return it, fmt.Errorf("read %s %s: %w", pk, sk, err)
	}
	if err := json.Unmarshal(it.Data, v); err != nil {
		return it, fmt.Errorf("read %s %s: %w", pk, sk, err)
	}
	return it, nil
}

// Save is the write of v in the place of it, on its version.
func Save(it Item, v any) Write {
	it.Data = mustJSON(v)
	return Write{Item: it}
}

// Record is an unconditional write of v.
func Record(pk, sk string, v any, expires time.Time) Write {
	return Write{Any: true, Item: Item{Key: Key{Table: Records, PK: pk, SK: sk}, Data: mustJSON(v), Expires: expires}}
}
