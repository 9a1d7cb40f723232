package applier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/records"
)

func lineWords(l records.Line) string {
	if l.Unknown {
		return fmt.Sprintf("%s (%s, count unknown)", l.Domain, l.Phase)
	}
	return fmt.Sprintf("%s (%s)", l.Domain, l.Phase)
}

// digest writes yesterday's digest in words, once.
func (p *Parts) digest(ctx context.Context) error {
	yesterday := p.Now().UTC().AddDate(0, 0, -1).Format(records.Day)
	mark, err := p.book().Digested(ctx)
	if err != nil || mark.V.Day >= yesterday {
		return err
	}
	stored, err := p.book().Run(ctx)
	run := stored.V
	if err != nil || !stored.Found() {
		return err // before the first run there is no day to tell of
	}
	lines, err := p.book().Lines(ctx, yesterday)
	if err != nil || run.Started.Time().Format(records.Day) > yesterday && len(lines) == 0 {
		return err // the guard's first day: nothing to tell of the day before
	}
	text, err := words(yesterday, run, lines)
	if err != nil {
		return err
	}
	w, err := p.waiting(ctx)
	if err != nil {
		return err
	}
	if len(w.stale) > 0 {
		text += " Of the holds, " + staleWords(w.stale) + "."
	}
	written := records.Record(records.PKDigest, yesterday, records.Digest{Text: text}, p.Now().Add(records.HistoryTTL))
	mark.V.Day = yesterday
	if err := p.Store.Write(ctx, written, mark.Put()); err != nil {
		return fmt.Errorf("write the digest of %s: %w", yesterday, err)
	}
	p.Log.InfoContext(ctx, "digest", "day", yesterday, "text", text)
	return nil
}

func words(date string, run records.Run, lines []records.Line) (string, error) {
	byWhat := map[string][]string{}
	addresses := map[string]int{}
	for _, l := range lines {
		addresses[l.What] += l.Changed
		byWhat[l.What] = append(byWhat[l.What], lineWords(l))
	}
	t, err := time.Parse(records.Day, date)
	if err != nil {
		return "", fmt.Errorf("digest of %q: %w", date, err)
	}
	text := fmt.Sprintf("On %s the guard watched %d domains. ", t.Format("2 January 2006"), run.Watched)
	if len(byWhat) == 0 {
		return text + "Nothing was closed or unverified, and nothing needs a decision.", nil
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
	part(wordClosed, fmt.Sprintf("Recovery closed (%d addresses), domains:", addresses[wordClosed]))
	part(wordOpened, fmt.Sprintf("Recovery opened again (%d addresses), domains:", addresses[wordOpened]))
	part(wordWouldClose, fmt.Sprintf("Would have closed recovery (%d addresses), domains:", addresses[wordWouldClose]))
	part(wordWouldOpen, "Would have opened recovery again, domains:")
	part("waits", "Closings that waited for room in the day's budget, first of each kind:")
	part("reported", fmt.Sprintf("Accounts that the registry reports as perhaps taken (%d), domains:", addresses["reported"]))
	part("held", "Held for a decision, domains:")
	return strings.TrimSpace(text), nil
}
