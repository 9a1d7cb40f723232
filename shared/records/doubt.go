package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/store"
)

// doubtFor is how long a zone is remembered to have lost a name: until the next daily run has asked it again.
const doubtFor = 26 * time.Hour

// Doubt is what a zone lost lately, in messages in which it lost everything. It lies beside the budgets: checkers share it.
type Doubt struct {
	Names []Missed `json:"names"`
}

// Missed is a name that a zone delegated before.
type Missed struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// Lost is how many names the zone lost of late.
func (d Doubt) Lost(now time.Time) (n int) {
	for _, m := range d.Names {
		if now.Sub(m.At) < doubtFor {
			n++
		}
	}
	return n
}

func doubtSK(zone string) string { return "zone/" + zone }

// Doubt reads what a zone lost lately.
func (b Book) Doubt(ctx context.Context, zone string) (Of[Doubt], error) {
	return get[Doubt](ctx, b, pkBudgets, doubtSK(zone))
}

// AddDoubt notes names that a zone lost, whoever else does so at the same time: enough of them, no more.
func (b Book) AddDoubt(ctx context.Context, zone string, names []string, enough int, now time.Time) (Doubt, error) {
	for {
		r, err := b.Doubt(ctx, zone)
		if err != nil {
			return Doubt{}, err
		}
		kept := slices.DeleteFunc(r.V.Names, func(m Missed) bool { return now.Sub(m.At) >= doubtFor || slices.Contains(names, m.Name) })
		for _, name := range names {
			if len(kept) < enough {
				kept = append(kept, Missed{name, now.UTC()})
			}
		}
		r.V.Names = kept
		// Who loses has seen another one win, so that this ends.
		switch err := b.Write(ctx, r.Until(now.Add(2*doubtFor)).Put()); {
		case errors.Is(err, store.ErrConflict):
		case err != nil:
			return Doubt{}, fmt.Errorf("note what the zone %s lost: %w", zone, err)
		default:
			return r.V, nil
		}
	}
}
