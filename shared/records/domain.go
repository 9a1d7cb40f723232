package records

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
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

	// What applier notes here for the others. What was decided lies elsewhere, see Case.
	Acted    bool   `json:"ac,omitempty"` // addresses at it were unverified
	Returned bool   `json:"rn,omitempty"` // its holder had it again after that, and its class was told
	Settled  string `json:"st,omitempty"` // the verdict that needs no further look at it; see Settle
	// Closed is the gap (State.Control.Since) that was carried out; 0: recovery is open. A hint: what the registry is
	// known to hold to is in Recovery.
	Closed lifecycle.Instant `json:"cl,omitempty"`
	// CloseAt is when a closing that found no room in its budget is tried again; 0: at once.
	CloseAt lifecycle.Instant `json:"ca,omitempty"`

	// Wide is the gap for which so many addresses would be closed that a person decides, Shuts how many.
	Wide  lifecycle.Instant `json:"wi,omitempty"`
	Shuts int               `json:"sh,omitempty"`

	// Turns is when the verdict asks for something else although nothing new is heard of the domain; 0: never.
	Turns lifecycle.Instant `json:"tu,omitempty"`

	// As an earlier version kept decisions here; see Matter.
	OldDone     string `json:"dn,omitempty"`
	OldReleased string `json:"rl,omitempty"`
	OldHeldBy   string `json:"hb,omitempty"`

	item store.Item
}

// Decision names what the present verdict is about.
func (d Domain) Decision() decision.ID { return decision.Of(d.Name, d.State) }

// Class is what the breaker counts together: who said it, and what.
func (d Domain) Class() string {
	return cmp.Or(d.State.RegServer, "status") + "/" + string(d.State.Phase)
}

// Verdict is the stored verdict as decisions judge it. Nobody's domain asks for nothing.
func (d Domain) Verdict() decision.Verdict {
	v := decision.Verdict{
		ID: d.Decision(), Action: d.Action, Phase: d.State.Phase, Reason: d.Reason, Class: d.Class(), Listed: d.Listed, Watched: d.Watched(),
	}
	if d.Synthetic {
		v.Action = lifecycle.None
	}
	return v
}

// again in Settled has applier look at the domain at each tick.
const again = "?"

// mark names the present verdict, and what bears on it, in a few letters.
func (d Domain) mark() string {
	h := fnv.New64a()
	fmt.Fprint(h, d.Decision(), d.State.Phase, d.Action, d.Reason, d.Class(), d.Listed, d.watched())
	if d.Asks() {
		fmt.Fprint(h, d.Wide)
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// Asks tells whether a person is to decide about closing recovery for what the domain is in: its gap would shut out too
// many, and a second look found it still.
func (d Domain) Asks() bool {
	seen := max(d.State.DelegAt, d.State.RegAt, d.State.MktAt)
	return d.Wide != 0 && d.Wide == d.State.Control.Since && seen.Since(d.Wide) >= lifecycle.SecondLook
}

// Settle notes that the present verdict was looked at: the domain is due again when another one is stored, or, if
// something is still open about it, at once.
func (d *Domain) Settle(open bool) {
	switch {
	case open:
		d.Settled = again
	case d.Action.Weight() < lifecycle.Hold.Weight() && !d.Asks(), !d.watched():
		d.Settled = ""
	default:
		d.Settled = d.mark()
	}
}

// Unsettled tells whether the present verdict is one that applier has to look at.
func (d Domain) Unsettled() bool {
	if d.Settled != "" {
		return d.Settled != d.mark()
	}
	return !d.Synthetic && d.watched() && (d.Action.Weight() >= lifecycle.Hold.Weight() || d.Asks())
}

// toldFor is how long those who depend on a lapsed host count as told: later ones hear of it within a day.
const toldFor = 20 * time.Hour

// Untold tells whether a mail host is in a lapse, or in doubtful hands, of which those who depend on it do not know.
func (d Domain) Untold() bool {
	bad := d.Action == lifecycle.Unverify || d.Action == lifecycle.Hold && d.State.Phase != lifecycle.Active && d.State.Phase != lifecycle.PhaseUnknown || d.State.Control.Since != 0
	seen := max(d.State.DelegAt, d.State.RegAt, d.State.MktAt)
	return d.MailHost && bad && (d.Told == 0 || seen.Since(d.Told) >= toldFor)
}

// Recovered tells whether a mail host whose lapse was reported is fine again: who depends on it is to be told.
func (d Domain) Recovered() bool {
	return d.MailHost && d.Told != 0 && d.State.Control.Since == 0 && d.State.Phase == lifecycle.Active && d.Action != lifecycle.Hold && d.Action != lifecycle.Unverify
}

// CameBack tells whether a domain whose addresses were unverified shows as its holder's again, of which its class was not
// told.
func (d Domain) CameBack() bool {
	return d.Acted && !d.Returned && d.State.Phase == lifecycle.Active && d.State.LapseAt == 0
}

// MailHostBack takes back what the lapse of a mail host did to a domain that depends on it, or did so until now.
func (d *Domain) MailHostBack() {
	d.State.MailLapsed = ""
	if d.Reason == lifecycle.ReasonMailHost {
		d.Action, d.Confidence, d.Reason = lifecycle.None, lifecycle.Low, lifecycle.ReasonDelegated
	}
}

// Watched tells whether the daily round asks about the domain: it is in the list, others' mail depends on it, its
// addresses were unverified in a lapse that has not come to its end, or something is open about it.
func (d Domain) Watched() bool { return d.watched() || d.Settled == again }

func (d Domain) watched() bool {
	followed := (d.Acted || d.OldDone != "") && d.State.LapseAt != 0 && d.State.Phase != lifecycle.ReRegistered
	return d.Listed || d.MailHost || d.Synthetic || followed
}

// due is when the applier must look at the domain; zero keeps it out of the index.
func (d Domain) due() time.Time {
	if d.Unsettled() || d.Arrived() || d.Untold() || d.Recovered() || d.CameBack() {
		return d.State.Since.Time()
	}
	var first lifecycle.Instant
	for _, at := range []lifecycle.Instant{d.differsAt(), d.NextLook, d.Turns} {
		if d.Watched() && at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first.Time()
}

// DomainKey is the key of a domain's item.
func DomainKey(name string) store.Key { return store.Key{Table: store.Domains, PK: name} }

// NewDomain is a domain that was not stored yet.
func NewDomain(name string, baseline lifecycle.Instant) Domain {
	return Domain{Schema: Schema, Name: name, State: lifecycle.NewState(baseline), item: store.Item{Key: DomainKey(name)}}
}

// ParseDomain reads a stored item, or the copy of it that a message carries. One of a newer schema is a Newer.
func ParseDomain(it store.Item) (Domain, error) {
	d := Domain{}
	err := json.Unmarshal(it.Data, &d)
	if err == nil && (d.Schema > Schema || d.State.Schema > lifecycle.StateSchema) || err != nil && newer(it.Data, Schema) {
		return Domain{}, &Newer{Names: []string{it.PK}}
	}
	if err != nil {
		return d, fmt.Errorf("stored item of %q: %w", it.PK, err)
	}
	if d.Schema != Schema || d.State.Schema != lifecycle.StateSchema {
		return d, fmt.Errorf("stored item of %q: schema %d/%d is not known to this version", it.PK, d.Schema, d.State.Schema)
	}
	d.Name, d.item = it.PK, it
	return d, nil
}

// Domain reads a domain's item. One that is not watched is given as NewDomain would, and not Known.
func (b Book) Domain(ctx context.Context, name string) (Domain, error) {
	it, err := b.Get(ctx, DomainKey(name))
	if errors.Is(err, store.ErrNotFound) {
		return NewDomain(name, 0), nil
	}
	if err != nil {
		return Domain{}, fmt.Errorf("read %s: %w", name, err)
	}
	return ParseDomain(it)
}

// Domains reads those of the domains that are stored, by name. With a Newer come those that can be read.
func (b Book) Domains(ctx context.Context, names []string) (map[string]Domain, error) {
	domains := make(map[string]Domain, len(names))
	if len(names) == 0 {
		return domains, nil
	}
	keys := make([]store.Key, len(names))
	for i, name := range names {
		keys[i] = DomainKey(name)
	}
	items, err := b.GetMany(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read %d domains: %w", len(keys), err)
	}
	var skipped Newer
	for _, it := range items {
		d, err := ParseDomain(it)
		if n := (*Newer)(nil); errors.As(err, &n) {
			skipped.Names = append(skipped.Names, n.Names...)
			continue
		}
		if err != nil {
			return nil, err
		}
		domains[d.Name] = d
	}
	if len(skipped.Names) > 0 {
		return domains, &skipped
	}
	return domains, nil
}

// Known tells whether the domain is stored.
func (d Domain) Known() bool { return d.item.Version != 0 }

// Version is the version the domain was read at, and Data its stored form.
func (d Domain) Version() int64 { return d.item.Version }

// Put is the write that stores the domain on the condition that nobody changed it since it was read.
func (d Domain) Put() store.Write {
	it := d.item
	it.Data, it.Due = mustJSON(d), d.due()
	it.Expires = time.Time{}
	if d.Alone != 0 && !d.Watched() {
		it.Expires = d.Alone.Time().Add(ForgetHost)
	}
	return store.Write{Item: it}
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
