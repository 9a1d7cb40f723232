package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

const day = "2006-01-02"

// line is one thing that the day's digest tells.
type line struct {
	What    string `json:"what"`
	Domain  string `json:"domain"`
	Phase   string `json:"phase"`
	Changed int    `json:"changed"`
	Unknown bool   `json:"unknown,omitempty"` // nobody counted
}

func (l line) words() string {
	if l.Unknown {
		return fmt.Sprintf("%s (%s, count unknown)", l.Domain, l.Phase)
	}
	return fmt.Sprintf("%s (%s)", l.Domain, l.Phase)
}

// digestText is a day's digest as stored. PKDigest, SK the day.
type digestText struct {
	Text string `json:"text"`
}

// digested is the last day whose digest is written. PKGuard, digestSK.
type digested struct {
	Day string `json:"day"`
}

const digestSK = "digest"

func (h *Handler) digestLine(d store.Domain, what string, a registry.Answer) store.Write {
	now := h.Now().UTC()
	l := line{What: what, Domain: d.Name, Phase: string(d.State.Phase), Changed: a.Changed, Unknown: a.CountsUnknown}
	return store.Record(store.PKDigest+"/"+now.Format(day), d.Key()+"/"+what, l, now.Add(store.RunTTL))
}

// digest writes yesterday's digest in words, once.
func (h *Handler) digest(ctx context.Context, w waiting) error {
	yesterday := h.Now().UTC().AddDate(0, 0, -1).Format(day)
	var last digested
	mark, err := store.Load(ctx, h.Store, store.PKGuard, digestSK, &last)
	if err != nil && !errors.Is(err, store.ErrNotFound) || last.Day >= yesterday {
		return err
	}
	var run store.Run
	if _, err := store.Load(ctx, h.Store, store.PKGuard, "run", &run); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil // before the first run there is no day to tell of
		}
		return err
	}
	if run.Started.Time().Format(day) > yesterday {
		items, _, err := h.Store.Query(ctx, store.Query{PK: store.PKDigest + "/" + yesterday, Limit: 1})
		if err != nil || len(items) == 0 {
			return err // the guard's first day: nothing to tell of the day before
		}
	}
	text, err := h.words(ctx, yesterday, run)
	if err != nil {
		return err
	}
	if len(w.stale) > 0 {
		text += " Of the holds, " + w.staleWords() + "."
	}
	written := store.Record(store.PKDigest, yesterday, digestText{text}, h.Now().Add(store.HistoryTTL))
	if err := h.Store.Write(ctx, written, store.Save(mark, digested{yesterday})); err != nil {
		return fmt.Errorf("write the digest of %s: %w", yesterday, err)
	}
	h.Log.InfoContext(ctx, "digest", "day", yesterday, "text", text)
	return nil
}

func (h *Handler) words(ctx context.Context, date string, run store.Run) (string, error) {
	byWhat := map[string][]string{}
	addresses := map[string]int{}
	for after, more := "", true; more; {
		var items []store.Item
		var err error
		items, more, err = h.Store.Query(ctx, store.Query{PK: store.PKDigest + "/" + date, After: after, Limit: page})
		if err != nil {
			return "", fmt.Errorf("digest of %s: %w", date, err)
		}
		for _, it := range items {
			after = it.SK
			var l line
			if err := json.Unmarshal(it.Data, &l); err != nil {
				return "", fmt.Errorf("digest of %s: %w", date, err)
			}
			addresses[l.What] += l.Changed
			byWhat[l.What] = append(byWhat[l.What], l.words())
		}
	}
	t, err := time.Parse(day, date)
	if err != nil {
		return "", fmt.Errorf("digest of %q: %w", date, err)
	}
	text := fmt.Sprintf("On %s the guard watched %d domains. ", t.Format("2 January 2006"), run.Watched)
	if len(byWhat) == 0 {
		return text + "Nothing was unverified and nothing needs a decision.", nil
	}
	part := func(what, words string) {
		if names := byWhat[what]; len(names) > 0 {
			slices.Sort(names)
			shown, rest := names[:min(len(names), 20)], ""
			if len(names) > 20 {
				rest = fmt.Sprintf(" and %d more", len(names)-20)
			}
			text += fmt.Sprintf("%s %d: %s%s. ", words, len(names), strings.Join(shown, ", "), rest)
		}
	}
	part(wordUnverified, fmt.Sprintf("Unverified (%d addresses), domains:", addresses[wordUnverified]))
	part(wordWould, fmt.Sprintf("Would have unverified (%d addresses), domains:", addresses[wordWould]))
	part("held", "Held for a decision, domains:")
	return strings.TrimSpace(text), nil
}
