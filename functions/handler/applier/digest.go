package applier

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
)

func lineWords(l records.Line) string {
	if l.Unknown {
		return fmt.Sprintf("%s (%s, count unknown)", l.Domain, l.Phase)
	}
	return fmt.Sprintf("%s (%s)", l.Domain, l.Phase)
}

// digest writes yesterday's digest in words, once, and mails it where it has something to tell. The mail goes first:
// who dies in between mails twice rather than never.
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
	d, err := told(yesterday, run, lines, p.Now())
	if err != nil {
		return err
	}
	w, err := p.waiting(ctx)
	if err != nil {
		return err
	}
	if len(w.stale) > 0 {
		d.parts = append(d.parts, "Of the holds, "+staleWords(w.stale)+".")
	}
	if p.Mail != nil && len(d.parts) > 0 {
		subject, text := d.mail(w)
		if err := p.Mail.Publish(ctx, subject, text); err != nil {
			return fmt.Errorf("mail the digest of %s: %w", yesterday, err)
		}
	}
	text := d.text()
	written := records.Record(records.PKDigest, yesterday, records.Digest{Text: text}, p.Now().Add(records.HistoryTTL))
	mark.V.Day = yesterday
	if err := p.Store.Write(ctx, written, mark.Put()); err != nil {
		return fmt.Errorf("write the digest of %s: %w", yesterday, err)
	}
	p.Log.InfoContext(ctx, "digest", "day", yesterday, "text", text)
	return nil
}

// day is what there is to tell of a day.
type day struct {
	at     time.Time
	head   string
	counts []string // a few words each
	parts  []string // sentences; empty: nothing happened
}

func (d day) text() string {
	if len(d.parts) == 0 {
		return d.head + " Nothing was closed or unverified, and nothing needs a decision."
	}
	return d.head + " " + strings.Join(d.parts, " ")
}

// mail is the digest as one reads it over a coffee: what happened in the subject, a line for each kind, what waits.
func (d day) mail(w waiting) (subject, text string) {
	counts := d.counts
	waits := "Nothing waits for a decision."
	if w.open > 0 {
		counts = append(slices.Clone(counts), plural(w.open, "waits", "wait"))
		waits = fmt.Sprintf("%s for a decision: `lapseguard holds` lists them, `lapseguard explain DOMAIN` tells each one's story.", plural(w.open, "domain waits", "domains wait"))
	}
	subject = fmt.Sprintf("lapseguard on %s: %s", d.at.Format("2 January"), strings.Join(counts, ", "))
	return subject, d.head + "\n\n" + strings.Join(d.parts, "\n") + "\n\n" + waits + "\n"
}

// kinds are what a day's lines are told as: in a sentence, with the addresses and the domains counted, and in the
// subject of the mail.
var kinds = []struct{ what, sentence, brief string }{
	{wordUnverified, "Unverified %[1]s at %[2]s: ", "unverified"},
	{wordWould, "Would have unverified %[1]s at %[2]s: ", "would be unverified"},
	{wordClosed, "Closed recovery through %[1]s at %[2]s: ", "closed"},
	{wordOpened, "Opened recovery again through %[1]s at %[2]s: ", "opened"},
	{wordWouldClose, "Would have closed recovery through %[1]s at %[2]s: ", "would be closed"},
	{wordWouldOpen, "Would have opened recovery again at %[2]s: ", "would be opened"},
	{"waits", "Closings waited for room in the day's budget, %[3]d of them at last, first of each kind at %[2]s: ", "waited for room"},
	{"reported", "The registry reports accounts as perhaps taken at %[2]s, %[3]d in all: ", "with accounts perhaps taken"},
	{"held", "Held for a decision %[2]s: ", "held"},
}

// namesTold bounds the domains that a sentence names.
const namesTold = 20

// worth is how many addresses a line is about; who does not know counts as many.
func worth(l records.Line) int {
	if l.Unknown {
		return math.MaxInt
	}
	return l.Changed
}

func told(date string, run records.Run, lines []records.Line, now time.Time) (day, error) {
	slices.SortFunc(lines, func(a, b records.Line) int { // what is lost first
		return cmp.Or(cmp.Compare(lifecycle.Phase(b.Phase).Risk(), lifecycle.Phase(a.Phase).Risk()), cmp.Compare(worth(b), worth(a)), cmp.Compare(a.Domain, b.Domain))
	})
	byWhat := map[string][]string{}
	addresses := map[string]int{}
	for _, l := range lines {
		addresses[l.What] += l.Changed
		byWhat[l.What] = append(byWhat[l.What], lineWords(l))
	}
	t, err := time.Parse(records.Day, date)
	if err != nil {
		return day{}, fmt.Errorf("digest of %q: %w", date, err)
	}
	d := day{at: t, head: fmt.Sprintf("On %s the guard watched %d domains.", t.Format("2 January 2006"), run.Watched)}
	if unseen := run.UnseenWords(); unseen != "" {
		d.head += " Of these, " + unseen + "."
	}
	if first := records.FirstWords(run.FirstLeft(now)); first != "" {
		d.head += " " + strings.ToUpper(first[:1]) + first[1:] + "."
	}
	for _, k := range kinds {
		names := byWhat[k.what]
		if len(names) == 0 {
			continue
		}
		shown, rest := names[:min(len(names), namesTold)], ""
		if len(names) > namesTold {
			rest = fmt.Sprintf(" and %d more", len(names)-namesTold)
		}
		n := addresses[k.what]
		words := fmt.Sprintf(k.sentence+"%[4]s%[5]s.", plural(n, "address", "addresses"), plural(len(names), "domain", "domains"), n, strings.Join(shown, ", "), rest)
		d.parts = append(d.parts, words)
		d.counts = append(d.counts, fmt.Sprintf("%d %s", len(names), k.brief))
	}
	return d, nil
}
