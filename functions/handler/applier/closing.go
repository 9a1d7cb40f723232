package applier

import (
	"cmp"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

const (
	// closingOnce is for how long a name that took room for a closing takes none for another: whoever has a few names lapse
	// and come back again and again must not use up what others need.
	closingOnce = 30 * 24 * time.Hour
	// longWatched is from when on a name goes before those that were brought here lately, which cost next to nothing.
	longWatched = 90 * 24 * time.Hour
	// closingPause is how long a closing waits at least that found no room; a day at most, by its place in the order: a crowd
	// of them must not be read by every tick.
	closingPause = time.Hour
)

// closingBudget is the class of a closing, and its limits.
func closingBudget(gap lifecycle.Gap, watched int) (class string, l safety.Limits) {
	l = safety.ClosingLimits(watched)
	if gap == lifecycle.GapMailHost {
		return "dependent", l
	}
	l.ClassCount = l.Count
	return "own", l
}

// takes tells whether a domain's closing takes a unit of the budget: a person's does not, nor a newer gap's, nor one of a
// name that took one lately.
func (p *Parts) takes(m records.Matter) bool {
	r := m.Recovery.V
	counted := r.Counted != 0 && lifecycle.At(p.Now()).Since(r.Counted) < closingOnce
	return r.Since == 0 && m.Wanted() != 0 && !r.Stands(m.Domain.State.Control.Since) && !counted
}

// rank is the place of a domain in the order in which closings get what room there is: those that were watched for long
// first; among them those whose mail goes to somebody else now, then those that the registry itself calls deleted, whose
// mail goes nowhere; whoever only depends on another one after those who lapsed themselves. Of one rank those that were
// watched longest go first.
func rank(d records.Domain, now lifecycle.Instant) int {
	rank := 3
	switch long := now.Since(d.State.First) > longWatched; {
	case long && elsewhere(d.State.Control.Gap):
		rank = 0
	case long && deleted(d.State.Reg):
		rank = 1
	case long:
		rank = 2
	}
	if rank *= 2; d.State.Control.Gap == lifecycle.GapMailHost {
		rank++
	}
	return rank
}

// elsewhere tells whether somebody else has the name in such a gap, and its mail.
func elsewhere(gap lifecycle.Gap) bool {
	return gap == lifecycle.GapReleased || gap == lifecycle.GapNewServers || gap == lifecycle.GapNewMail
}

func deleted(w lifecycle.Word) bool {
	switch w {
	case lifecycle.WordRestore, lifecycle.WordRedemption, lifecycle.WordPendingDelete, lifecycle.WordAbsent:
		return true
	default:
		return false
	}
}

// closings are those of one walk, and what became of those that found no room.
type closings struct {
	ordered bool            // all of them are known: their turn has come
	full    map[string]bool // classes whose budget is used up
	waits   map[string]int  // how many of a class wait, and the first of them
	first   map[string]records.Domain
	since   map[string]lifecycle.Instant // since when they are watched
}

// pause is for how long the next one waits that finds no room: by how many days' budgets are before it.
func (c *closings) pause(class string, limits safety.Limits, watched int) time.Duration {
	behind := time.Duration(c.waits[class]) * safety.Window / time.Duration(limits.Class(watched))
	return min(max(closingPause, behind), safety.Window)
}

// missed notes one that found no room.
func (c *closings) missed(class string, d records.Domain) {
	if c.full[class] = true; c.waits[class] == 0 {
		c.first[class] = d
	}
	c.waits[class]++
}

func newClosings() closings {
	return closings{full: map[string]bool{}, waits: map[string]int{}, first: map[string]records.Domain{}, since: map[string]lifecycle.Instant{}}
}

// sort brings those of each rank into their order.
func (c *closings) sort(ranked map[int][]string) {
	for _, names := range ranked {
		slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(c.since[a], c.since[b]) })
	}
}

// keepFirst leaves the first of the ranked names, as many as a record may hold; the next walk finds the others.
func keepFirst(ranked map[int][]string, most int) map[int][]string {
	kept := map[int][]string{}
	for rank := range ranks {
		names := ranked[rank]
		if names = names[:min(len(names), most)]; len(names) > 0 {
			kept[rank] = names
			most -= len(names)
		}
	}
	return kept
}

// ranks is how many ranks there are.
const ranks = 8
