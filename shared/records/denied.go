package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/store"
)

// pkDenied is the candidates for control names that their upstreams deny.
const pkDenied = "denied"

// DeniedFor is how long a candidate must be denied before it is no control name.
const DeniedFor = 7 * 24 * time.Hour

// deniedTTL is after how long a candidate that was dropped gets another chance.
const deniedTTL = 365 * 24 * time.Hour

// Denied is a candidate for a control name whose upstream, right about a free name, does not know it.
type Denied struct {
	Since   time.Time `json:"since"`
	Dropped time.Time `json:"dropped,omitzero"` // it counts no more
}

// Denied reads what is known of an upstream's denying a candidate.
func (b Book) Denied(ctx context.Context, upstream, name string) (Denied, error) {
	r, err := get[Denied](ctx, b, pkDenied, upstream+" "+name)
	return r.V, err
}

// Deny notes that an upstream denied a candidate at now, and tells what is known of that. The first word of its being
// dropped is told once.
func (b Book) Deny(ctx context.Context, upstream, name string, now time.Time) (d Denied, first bool, err error) {
	r, err := get[Denied](ctx, b, pkDenied, upstream+" "+name)
	if err != nil {
		return Denied{}, false, err
	}
	if before := r.V; before.Since.IsZero() {
		r.V.Since = now.UTC()
	} else if before.Dropped.IsZero() && now.Sub(before.Since) >= DeniedFor {
		r.V.Dropped, first = now.UTC(), true
	} else {
		return before, false, nil
	}
	switch err := b.Write(ctx, r.Until(now.Add(deniedTTL)).Put()); {
	case errors.Is(err, store.ErrConflict): // another checker notes the same
		return r.V, false, nil
	case err != nil:
		return r.V, false, fmt.Errorf("note that %s denies %s: %w", upstream, name, err)
	}
	return r.V, first, nil
}

// Admitted notes that an upstream knows a candidate that it denied before.
func (b Book) Admitted(ctx context.Context, upstream, name string) error {
	r, err := get[Denied](ctx, b, pkDenied, upstream+" "+name)
	if err != nil || r.V.Since.IsZero() {
		return err
	}
	r.V = Denied{}
	if err := b.Write(ctx, r.Put()); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("note that %s knows %s: %w", upstream, name, err)
	}
	return nil
}
