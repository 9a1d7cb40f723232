package applier

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// maxHolds bounds the holds that are walked through at once; a crowd beyond them is one class, held as a whole.
const maxHolds = 10_000

// measureHours is how often the open holds are measured: a metric is paid for by the hour in which it is written.
const measureHours = 6

// waiting is what the open holds come to.
type waiting struct {
	open   int       // holds that wait for a person; what the breaker holds of a class is one
	stale  []Waiting // those of them that wait for longer than safety.StaleHold, oldest first
	pinned int       // domains that an operator holds on purpose
	more   bool      // there are more than maxHolds
}

// Waiting is a hold that has waited for long: of a domain, or of a class.
type Waiting struct {
	Domain string    `json:"domain"`
	Since  time.Time `json:"since"`
}

// staleWords names the holds that wait for too long.
func staleWords(stale []Waiting) string {
	names := make([]string, min(len(stale), 20))
	for i := range names {
		names[i] = stale[i].Domain + " (since " + stale[i].Since.Format("2 January") + ")"
	}
	rest, have := "", "have"
	if n := len(stale) - len(names); n > 0 {
		rest = fmt.Sprintf(" and %d more", n)
	}
	if len(stale) == 1 {
		have = "has"
	}
	return fmt.Sprintf("%d %s waited for more than three days: %s%s", len(stale), have, strings.Join(names, ", "), rest)
}

// waiting walks through the holds: what they come to is asked a few times a day, not by each tick.
func (p *Parts) waiting(ctx context.Context) (waiting, error) {
	var w waiting
	n := 0
	classes := map[string]bool{}
	for h, err := range p.book().Holds(ctx) {
		if err != nil {
			return w, err
		}
		if n++; n > maxHolds {
			w.more = true
			break
		}
		switch hold := h.V; {
		case hold.Pinned:
			w.pinned++
		case hold.ApprovedAt.IsZero() && hold.Breaker && classes[hold.Class]: // one hold a class
		case hold.ApprovedAt.IsZero():
			what := hold.Domain
			if hold.Breaker {
				classes[hold.Class], what = true, hold.Class
			}
			w.open++
			if hold.Stale(p.Now()) {
				w.stale = append(w.stale, Waiting{what, hold.Since})
			}
		}
	}
	slices.SortFunc(w.stale, func(a, b Waiting) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Domain, b.Domain)) })
	return w, nil
}

// measuring tells whether the open holds are measured now.
func (p *Parts) measuring() bool { return p.Now().UTC().Hour()%measureHours == 0 }

// measureHolds counts what waits for a person, for the alarm.
func (p *Parts) measureHolds(ctx context.Context) error {
	if !p.measuring() {
		return nil
	}
	w, err := p.waiting(ctx)
	if err != nil {
		return err
	}
	if len(w.stale) > 0 {
		p.Log.WarnContext(ctx, "holds_stale", "count", len(w.stale), "oldest", w.stale[0].Domain, "since", w.stale[0].Since.Format(time.RFC3339))
	}
	p.Metrics.Emit(map[string]float64{telemetry.HoldsOpen: float64(w.open), telemetry.HoldsStale: float64(len(w.stale))})
	return nil
}

// measureMode tells the alarm whether the two keys differ, when the open holds are measured.
func (p *Parts) measureMode(ctx context.Context) error {
	if p.Differ == nil || !p.measuring() {
		return nil
	}
	differ, err := p.Differ(ctx)
	if err != nil {
		return fmt.Errorf("kill switch: %w", err)
	}
	value := 0.0
	if differ {
		value = 1
	}
	p.Metrics.Emit(map[string]float64{telemetry.ModeDiffers: value})
	return nil
}
