package records

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

	item store.Item
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

// Retry opens the decision again, under the next key. The registry's list may lack the domain by then.
func (d *Domain) Retry() {
	d.Retried = d.Decision() + retryMark + strconv.Itoa(len(Keys(d.Key())))
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
func DomainKey(name string) store.Key { return store.Key{Table: store.Domains, PK: name} }

// NewDomain is a domain that was not stored yet.
func NewDomain(name string, baseline lifecycle.Instant) Domain {
	return Domain{Schema: Schema, Name: name, State: lifecycle.NewState(baseline), item: store.Item{Key: DomainKey(name)}}
}

// Newer is the error of a read that met items which a newer version of this program wrote: after a return to the
// version before, or while two are at work. They are left as they are, and the read gave the others.
type Newer struct{ Names []string }

// Error implements error.
func (e *Newer) Error() string {
	return fmt.Sprintf("%d items of a newer schema: this version leaves them alone, first %s", len(e.Names), e.Names[0])
}

// newer tells whether an item that cannot be read has a newer schema, in which all but that number may be otherwise.
func newer(data []byte) bool {
	var v struct {
		Schema int `json:"v"`
	}
	return json.Unmarshal(data, &v) == nil && v.Schema > Schema
}

// ParseDomain reads a stored item, or the copy of it that a message carries. One of a newer schema is a Newer.
func ParseDomain(it store.Item) (Domain, error) {
	d := Domain{}
	err := json.Unmarshal(it.Data, &d)
	if err == nil && (d.Schema > Schema || d.State.Schema > lifecycle.StateSchema) || err != nil && newer(it.Data) {
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
