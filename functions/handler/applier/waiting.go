package applier

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// maxHolds bounds the holds that are walked through at once; a crowd beyond them is one class, held as a whole.
const maxHolds = 10_000

// measureHours is how often the open holds are measured: a metric is paid for by the hour in which it is written.
const measureHours = 6

// waiting is what the open holds come to.
type waiting struct {
	open   int           // holds that wait for a person
	stale  []safety.Hold // those of them that wait for longer than safety.StaleHold, oldest first
	pinned int           // domains that an operator holds on purpose
	more   bool          // there are more than maxHolds
}

// words says it to an operator.
func (w waiting) words() string {
	many := ""
	if w.more {
		many = " or more"
	}
	text := fmt.Sprintf("%d%s holds wait for a decision", w.open, many)
	if w.pinned > 0 {
		text += fmt.Sprintf(", %d domains are held by an operator", w.pinned)
	}
	if len(w.stale) > 0 {
		text += "; " + w.staleWords()
	}
	return text
}

// staleWords names the holds that wait for too long.
func (w waiting) staleWords() string {
	names := make([]string, min(len(w.stale), 20))
	for i := range names {
		names[i] = w.stale[i].Domain + " (since " + w.stale[i].Since.Format("2 January") + ")"
	}
	rest := ""
	if n := len(w.stale) - len(names); n > 0 {
		rest = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%d have waited for more than three days: %s%s", len(w.stale), strings.Join(names, ", "), rest)
}

// waiting walks through the holds. With end, it ends those whose risk is gone: a hold never expires while the risk
// stands, and has nothing to ask once it is gone.
func (h *Handler) waiting(ctx context.Context, end bool) (waiting, error) {
	var w waiting
	for after, seen := "", 0; ; {
		items, more, err := h.Store.Query(ctx, store.Holds(after, page))
		if err != nil {
			return w, fmt.Errorf("holds after %q: %w", after, err)
		}
		if err := h.waitingPage(ctx, items, end, &w); err != nil {
			return w, err
		}
		seen += len(items)
		if w.more = more && seen >= maxHolds; !more || w.more {
			break
		}
		after = items[len(items)-1].SK
	}
	slices.SortFunc(w.stale, func(a, b safety.Hold) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Domain, b.Domain)) })
	return w, nil
}

func (h *Handler) waitingPage(ctx context.Context, items []store.Item, end bool, w *waiting) error {
	domains, err := h.domainsOf(ctx, items)
	if err != nil {
		return err
	}
	for _, it := range items {
		var hold safety.Hold
		if err := json.Unmarshal(it.Data, &hold); err != nil {
			return fmt.Errorf("hold of %s: %w", store.Held(it), err)
		}
		d, known := domains[store.Held(it)]
		switch {
		case d.HeldBy != "":
			w.pinned++
		case !known || !atRisk(d):
			if end {
				if err := h.endHold(ctx, it, d); err != nil {
					return err
				}
			}
		case hold.ApprovedAt.IsZero():
			w.open++
			if hold.Stale(h.Now()) {
				w.stale = append(w.stale, hold)
			}
		}
	}
	return nil
}

func (h *Handler) domainsOf(ctx context.Context, holds []store.Item) (map[string]store.Domain, error) {
	keys := make([]store.Key, len(holds))
	for i, it := range holds {
		keys[i] = store.DomainKey(store.Held(it))
	}
	domains := make(map[string]store.Domain, len(keys))
	if len(keys) == 0 {
		return domains, nil
	}
	items, err := h.Store.GetMany(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("domains of %d holds: %w", len(keys), err)
	}
	for _, it := range items {
		d, err := store.ParseDomain(it)
		if err != nil {
			return nil, err
		}
		domains[d.Name] = d
	}
	return domains, nil
}

// atRisk tells whether there still is something to decide about a domain that is held.
func atRisk(d store.Domain) bool {
	return d.Watched() && d.Action.Weight() >= lifecycle.Hold.Weight() && d.Done != d.Key()
}

// endHold removes a hold whose risk is gone. Whoever changed it meanwhile knows better.
func (h *Handler) endHold(ctx context.Context, it store.Item, d store.Domain) error {
	name := store.Held(it)
	entry := store.PutEntry(name, store.Entry{
		At: h.Now().UTC(), What: "hold ended", After: d.State.Phase, Action: d.Action, Reason: d.Reason, Sentence: "nothing is left to decide",
	}, 20)
	writes := []store.Write{{Item: it, Delete: true}, entry}
	if d.Held != "" && d.Done != d.Key() { // the same verdict may come back, and must ask again
		d.Held = ""
		writes = append(writes, d.Put())
	}
	err := h.Store.Write(ctx, writes...)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("end the hold of %s: %w", name, err)
	}
	h.Log.InfoContext(ctx, "hold_ended", "domain", name, "phase", d.State.Phase)
	return nil
}

// holds counts what waits for a person, for the alarm and for the digest.
func (h *Handler) holds(ctx context.Context) (waiting, error) {
	w, err := h.waiting(ctx, true)
	if err != nil {
		return w, err
	}
	if len(w.stale) > 0 {
		h.Log.WarnContext(ctx, "holds_stale", "count", len(w.stale), "oldest", w.stale[0].Domain, "since", w.stale[0].Since.Format(time.RFC3339))
	}
	return w, h.measureHolds(w)
}

func (h *Handler) measureHolds(w waiting) error {
	if h.Now().UTC().Hour()%measureHours != 0 {
		return nil
	}
	return h.Metrics.Emit(map[string]float64{telemetry.HoldsOpen: float64(w.open), telemetry.HoldsStale: float64(len(w.stale))})
}
