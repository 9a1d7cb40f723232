package records

// What is known of recovery at the registry. What it should be is decided in shared/lifecycle (continuity.go).

import (
	"cmp"
	"context"
	"strings"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// skRecovery stands beside the case of the other lever, under a key that checker can neither read nor write.
const skRecovery = "recovery"

// Recovery is what the registry is known to hold to about account recovery through a domain's addresses.
type Recovery struct {
	// Since is the gap for which it is closed; 0: it is open.
	Since lifecycle.Instant `json:"since,omitempty"`
	Gap   lifecycle.Gap     `json:"gap,omitempty"`
	Sent  lifecycle.Instant `json:"sent,omitempty"`  // the gap as it was told: of a young registration the time of the call
	AsOf  lifecycle.Instant `json:"as_of"`           // of the request that the registry accepted last
	Bound int               `json:"bound,omitempty"` // addresses that the last closing bound
	// Counted is when a closing of it took a unit of the budget last.
	Counted lifecycle.Instant `json:"counted,omitempty"`
	// Would is the gap of which observe mode said what it would do.
	Would lifecycle.Instant `json:"would,omitempty"`
	// Refused is the gap for which the registry refused to close it, and Why what it said.
	Refused lifecycle.Instant `json:"refused,omitempty"`
	Why     string            `json:"why,omitempty"`
	// Word is what an operator said last.
	Word *Word `json:"word,omitempty"`
}

// Unsent stands in Domain.Closed while what an operator said is not carried out, or more addresses are to be bound.
const Unsent lifecycle.Instant = -1

// Word is what an operator said of recovery at a domain.
type Word struct {
	Closed bool              `json:"closed,omitempty"`
	Gap    lifecycle.Instant `json:"gap,omitempty"` // that the domain was in; 0: in none
	At     lifecycle.Instant `json:"at"`
	By     string            `json:"by"`
	Why    string            `json:"why"`
}

// Stands tells whether the operator's word stands for a domain in a gap (0: in none). A new gap goes before it.
func (r Recovery) Stands(gap lifecycle.Instant) bool {
	return r.Word != nil && (gap == 0 || gap == r.Word.Gap)
}

// Wanted is the gap for which recovery at the domain should be closed: by its operator's word while that stands, else by
// its continuity; 0: it should be open.
func (m Matter) Wanted() lifecycle.Instant {
	gap := m.Domain.State.Control.Since
	switch w := m.Recovery.V.Word; {
	case !m.Recovery.V.Stands(gap):
		return gap
	case w.Closed:
		return cmp.Or(gap, w.At)
	default:
		return 0
	}
}

// Held tells whether the registry is known to hold to what is wanted, for every address that was verified until then.
func (m Matter) Held() bool {
	r := m.Recovery.V
	return m.Wanted() == r.Since && r.Sent >= r.Since
}

func recoveryKey(name string) store.Key {
	return store.Key{Table: store.Records, PK: caseKey(name).PK, SK: skRecovery}
}

// Recovery reads it; not Found where nothing was ever closed.
func (b Book) Recovery(ctx context.Context, name string) (Of[Recovery], error) {
	return get[Recovery](ctx, b, caseKey(name).PK, skRecovery)
}

// Recoveries reads those of several domains, by name; where nothing was ever closed it is the zero value.
func (b Book) Recoveries(ctx context.Context, names []string) (map[string]Of[Recovery], error) {
	recoveries := make(map[string]Of[Recovery], len(names))
	keys := make([]store.Key, len(names))
	for i, name := range names {
		keys[i] = recoveryKey(name)
		recoveries[name] = Of[Recovery]{item: store.Item{Key: keys[i]}}
	}
	found, err := many[Recovery](ctx, b, keys)
	for _, r := range found {
		recoveries[strings.TrimPrefix(r.item.PK, casePrefix)] = r
	}
	return recoveries, err
}

// Closings is what the budget for closings counted.
func (b Book) Closings(ctx context.Context) (Of[safety.Ledger], error) {
	return get[safety.Ledger](ctx, b, PKGuard, SKClosings)
}

// Differs tells whether the registry is not known to hold to what recovery through the domain's addresses should be.
func (d Domain) Differs() bool { return d.Listed && !d.Synthetic && d.State.Control.Since != d.Closed }

// differsAt is when that is to be mended: when it was seen (a young registration's gap is dated by the end of its
// youth), or when there may be room again; 0: there is nothing to mend.
func (d Domain) differsAt() lifecycle.Instant {
	if !d.Differs() {
		return 0
	}
	return max(d.State.DelegAt, d.CloseAt, 1)
}
