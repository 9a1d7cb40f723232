package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source"
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

	MailHost bool              `json:"mh,omitempty"` // other watched domains' mail depends on it: their MX or name servers lie in it
	Told     lifecycle.Instant `json:"tl,omitempty"` // a mail host's lapse was last reported to those domains
	Alone    lifecycle.Instant `json:"al,omitempty"` // first look that found nobody who depends on it any more

	Synthetic bool `json:"sy,omitempty"` // nobody's: it goes through every hop once a day, see Canary

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
		// Where the registry gives no date, the lapse before tells one new registration from the next.
		return fmt.Sprintf("%s:re-registered:%d", d.Name, cmp.Or(d.State.Registered, d.State.LapseAt))
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

// Keys are the keys of every request about a decision up to the last one, oldest first.
func Keys(last string) []string {
	decision, number, _ := strings.Cut(last, retryMark)
	keys := []string{decision}
	n, _ := strconv.Atoi(number) // 0 for the decision itself
	for i := range n {
		keys = append(keys, decision+retryMark+strconv.Itoa(i+1))
	}
	return keys
}

// NextKey leaves the present key behind: what was asked under it stays on record, and the next request has a key of
// its own. The registry's list may lack the domain by then.
func (d *Domain) NextKey() { d.Retried = d.Decision() + retryMark + strconv.Itoa(len(Keys(d.Key()))) }

// Retry opens the decision again, under the next key.
func (d *Domain) Retry() {
	d.NextKey()
	d.Approved, d.Released, d.HeldBy = d.Decision(), "", ""
}

// Pending tells whether the domain is at risk and no outcome was enforced yet. It is a property of the
// state: what observe mode saw is still pending when enforce begins.
func (d Domain) Pending() bool {
	approved := d.Action == lifecycle.Hold && d.Approved == d.Decision()
	known := d.Listed || d.Retried != "" && d.Retried == d.Key()
	stopped := d.HeldBy != "" || d.declined()
	return known && !stopped && (d.Action == lifecycle.Unverify || approved) && d.Done != d.Key()
}

// Unheld tells whether a verdict to hold has no hold recorded yet.
func (d Domain) Unheld() bool {
	return d.Action == lifecycle.Hold && d.Held != d.holdID() && d.HeldBy == "" && !d.Synthetic && !d.declined()
}

// OnHold tells whether the present verdict has its hold recorded.
func (d Domain) OnHold() bool { return d.Held == d.holdID() }

// declined tells whether a person declined to act on the present verdict, whichever witness of it is heard today.
func (d Domain) declined() bool { return d.Released != "" && d.Released == d.releaseID() }

func (d Domain) releaseID() string {
	reason := d.Reason
	if reason == lifecycle.ReasonDeletedAlone || reason == lifecycle.ReasonStatusDeleted {
		reason = lifecycle.ReasonDeleted
	}
	return fmt.Sprintf("%s/%s/%s", d.Decision(), d.State.Phase, reason)
}

// Release notes that a person declined to act on the present verdict. Another verdict, or the next phase, counts anew.
func (d *Domain) Release() {
	d.Approved, d.HeldBy, d.Released = "", "", d.releaseID()
	d.MarkHeld()
}

// toldFor is how long those who depend on a lapsed host count as told: later ones hear of it within a day.
const toldFor = 20 * time.Hour

// Untold tells whether a mail host is in a lapse, or in doubtful hands, of which those who depend on it do not know.
func (d Domain) Untold() bool {
	bad := d.Action == lifecycle.Unverify || d.Action == lifecycle.Hold && d.State.Phase != lifecycle.Active && d.State.Phase != lifecycle.PhaseUnknown
	seen := max(d.State.DelegAt, d.State.RegAt, d.State.MktAt)
	return d.MailHost && bad && (d.Told == 0 || seen.Since(d.Told) >= toldFor)
}

// Recovered tells whether a mail host whose lapse was reported is fine again: who depends on it is to be told.
func (d Domain) Recovered() bool {
	return d.MailHost && d.Told != 0 && d.State.Phase == lifecycle.Active && d.Action != lifecycle.Hold && d.Action != lifecycle.Unverify
}

// MailHostBack takes back what the lapse of a mail host did to a domain that depends on it, or did so until now.
func (d *Domain) MailHostBack() {
	d.State.MailLapsed = ""
	if d.Reason == lifecycle.ReasonMailHost {
		d.Action, d.Confidence, d.Reason = lifecycle.None, lifecycle.Low, lifecycle.ReasonDelegated
	}
}

func (d Domain) holdID() string { return d.Decision() + "/" + string(d.Reason) }

// MarkHeld notes that the hold for the present verdict is recorded.
func (d *Domain) MarkHeld() { d.Held = d.holdID() }

// Watched tells whether the daily round asks about the domain: it is in the list, others' mail depends on it,
// or its addresses were unverified in a lapse that has not come to its end.
func (d Domain) Watched() bool {
	followed := d.Done != "" && d.State.LapseAt != 0 && d.State.Phase != lifecycle.ReRegistered
	return d.Listed || d.MailHost || d.Synthetic || followed || d.Pending()
}

// due is when the applier must look at the domain; zero keeps it out of the index.
func (d Domain) due() time.Time {
	switch {
	case !d.Watched():
		return time.Time{}
	case d.Pending(), d.Arrived():
		return d.State.Since.Time()
	case d.Unheld(), d.Untold(), d.Recovered():
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
	if d.Alone != 0 && !d.Watched() {
		it.Expires = d.Alone.Time().Add(ForgetHost)
	}
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
	PKGuard   = "guard"  // run, leases, breaker, and what waits (see Waits)
	PKParked  = "parked" // messages whose upstream failed
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

// ForgetHost is how long the item of a mail host is kept that nobody depends on.
const ForgetHost = 30 * 24 * time.Hour

// DependentsPK is the PK of the list of domains whose mail depends on host; SK is the domain, a slash, and DependsOn.
func DependentsPK(host string) string { return "dependents/" + host }

// DependsOn is what ties a domain's mail to another domain.
type DependsOn string

// What a domain depends on.
const (
	DependsMail    DependsOn = "mx"
	DependsServers DependsOn = "ns"
)

// DependenciesPK is the PK of the domains that name's mail depends on; SK is DependsOn.
func DependenciesPK(name string) string { return "depends/" + name }

// Dependencies reads on which registrable domains name's mail depends.
func Dependencies(ctx context.Context, s Store, name string) (map[DependsOn][]string, error) {
	items, _, err := s.Query(ctx, Query{PK: DependenciesPK(name), Limit: 10})
	if err != nil {
		return nil, fmt.Errorf("what %s depends on: %w", name, err)
	}
	deps := map[DependsOn][]string{}
	for _, it := range items {
		var d dependencies
		if err := json.Unmarshal(it.Data, &d); err != nil {
			return nil, fmt.Errorf("what %s depends on (%s): %w", name, it.SK, err)
		}
		deps[DependsOn(it.SK)] = d.Hosts
	}
	return deps, nil
}

type dependencies struct {
	Hosts []string `json:"hosts"` // registrable domains
}

// PutDependencies is the write that notes on which registrable domains name's mail depends.
func PutDependencies(name string, on DependsOn, hosts []string, expires time.Time) Write {
	return Record(DependenciesPK(name), string(on), dependencies{Hosts: hosts}, expires)
}

// RunPK is the PK of a run's parts: what was sent, what was answered.
func RunPK(run string) string { return "run/" + run }

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

// Forget is the write that removes a record, whatever its version, there or not.
func Forget(pk, sk string) Write {
	return Write{Any: true, Delete: true, Item: Item{Key: Key{Table: Records, PK: pk, SK: sk}}}
}
