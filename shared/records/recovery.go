package records

import (
	"context"

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
	AsOf  lifecycle.Instant `json:"as_of"`           // of the request that the registry accepted last
	Bound int               `json:"bound,omitempty"` // addresses that the last closing bound
	// Would is the gap of which observe mode said what it would do.
	Would lifecycle.Instant `json:"would,omitempty"`
	// Refused is the gap for which the registry refused to close it, and Why what it said.
	Refused lifecycle.Instant `json:"refused,omitempty"`
	Why     string            `json:"why,omitempty"`
}

func recoveryKey(name string) store.Key {
	return store.Key{Table: store.Records, PK: caseKey(name).PK, SK: skRecovery}
}

// Recovery reads it; not Found where nothing was ever closed.
func (b Book) Recovery(ctx context.Context, name string) (Of[Recovery], error) {
	return get[Recovery](ctx, b, caseKey(name).PK, skRecovery)
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
