package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"os"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

type reportCommand struct {
	tables
	HTML string `required:"" name:"html" placeholder:"FILE" help:"The page to write; - is standard output."`
	Days int    `default:"30" help:"How many days the charts go back, at most 90."`
}

// Run writes what the store holds as one page. It changes nothing.
func (c *reportCommand) Run(ctx context.Context, s streams) (err error) {
	if c.Days < 1 || c.Days > 90 {
		return fmt.Errorf("--days is %d: 1 to 90", c.Days)
	}
	st, now, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	v, err := survey(ctx, st, now, c.Days)
	if err != nil {
		return err
	}
	v.local = c.Domains == ""
	v.state = c.State
	if c.HTML == "-" {
		return writeSurvey(s.out, v)
	}
	f, err := os.CreateTemp(dirOf(c.HTML), ".report-*")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed by then
	if err := errors.Join(writeSurvey(f, v), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), c.HTML); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	fmt.Fprintf(s.err, "open %s in a browser\n", c.HTML)
	return nil
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, os.PathSeparator); i >= 0 {
		return path[:i+1]
	}
	return "."
}

// Bounds of what a page shows.
const (
	maxTimelines = 500
	maxEntries   = 50
)

// surveyed is a store at one moment.
type surveyed struct {
	now   time.Time
	days  int
	local bool
	state string

	run       records.Run
	watched   int
	addresses int
	protected int // at domains about which nothing is open
	closed    int // recovery is closed
	lost      int // unverified, and not taken back
	atRisk    int // something is to be decided or done
	phases    map[lifecycle.Phase]int
	lives     []life // of what is not quiet, by risk
	leftOut   int
	holds     []safety.Hold
	upstreams map[string]records.Upstream
	parked    map[string]int // messages that wait, by upstream
}

// life is one domain's.
type life struct {
	d       records.Domain
	entries []records.Entry // oldest first
	closed  bool            // at the registry
	changed int             // addresses unverified, and not restored
}

func (l life) risk() risk {
	r := risk{l.d.Action, l.d.State.Phase, l.d.Addresses, l.d.Name, unservedRisk(l.d.State)}
	if l.changed > 0 { // also where the domain is fine by now
		r.action = lifecycle.Unverify
	}
	return r
}

// quiet tells whether there is nothing to tell of a domain.
func quiet(d records.Domain) bool {
	return d.Action.Weight() < lifecycle.Watch.Weight() && !d.Acted && d.Closed == 0 && d.State.Control.Since == 0 && d.State.Phase.Risk() <= lifecycle.Active.Risk()
}

// survey reads a store: every domain's item once, and the history of those that are not quiet.
func survey(ctx context.Context, s store.Store, now time.Time, days int) (surveyed, error) {
	v := surveyed{now: now.UTC(), days: days, phases: map[lifecycle.Phase]int{}, parked: map[string]int{}}
	book := records.In(s)
	run, err := book.Run(ctx)
	if err != nil {
		return v, err
	}
	v.run = run.V
	for cursor := ""; ; {
		items, next, err := s.Scan(ctx, 0, 1, cursor, store.MaxPage)
		if err != nil {
			return v, fmt.Errorf("read the domains: %w", err)
		}
		for _, it := range items {
			d, err := records.ParseDomain(it)
			if newer := (*records.Newer)(nil); errors.As(err, &newer) {
				continue
			}
			if err != nil {
				return v, err
			}
			v.count(listing{d})
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if err := v.tellApart(ctx, book); err != nil {
		return v, err
	}
	slices.SortFunc(v.lives, func(a, b life) int { return a.risk().before(b.risk()) })
	v.leftOut = max(len(v.lives)-maxTimelines, 0)
	v.lives = v.lives[:len(v.lives)-v.leftOut]
	for i := range v.lives {
		if err := v.follow(ctx, book, &v.lives[i]); err != nil {
			return v, err
		}
	}
	slices.SortFunc(v.lives, func(a, b life) int { return a.risk().before(b.risk()) })
	if v.holds, err = readHolds(ctx, s, ""); err != nil {
		return v, err
	}
	if v.upstreams, err = book.Upstreams(ctx); err != nil {
		return v, err
	}
	silent, err := unanswered(ctx, s)
	for _, kinds := range silent {
		for _, k := range kinds {
			v.parked[string(k)]++
		}
	}
	return v, err
}

func (v *surveyed) count(d listing) {
	if d.Synthetic || !d.Watched() {
		return
	}
	v.watched++
	v.phases[d.State.Phase]++
	v.addresses += d.listed()
	if quiet(d.Domain) {
		v.protected += d.listed()
		return
	}
	v.lives = append(v.lives, life{d: d.Domain})
}

// tellApart tells the accounts of what is not quiet apart. What the registry is known to hold to says what is closed: the
// domain's own mark is there without the lever too.
func (v *surveyed) tellApart(ctx context.Context, book records.Book) error {
	for some := range slices.Chunk(v.lives, store.MaxPage) {
		names := make([]string, len(some))
		for i, l := range some {
			names[i] = l.d.Name
		}
		recoveries, err := book.Recoveries(ctx, names)
		if err != nil {
			return fmt.Errorf("read what is closed: %w", err)
		}
		for i := range some {
			l := &some[i]
			l.closed = recoveries[l.d.Name].V.Since > 0
			n := listing{l.d}.listed()
			switch {
			case l.closed:
				v.closed += n
			case l.d.Action.Weight() >= lifecycle.Hold.Weight():
				v.atRisk += n
			default:
				v.protected += n
			}
		}
	}
	return nil
}

// listing is a domain as the registry's list has it.
type listing struct{ records.Domain }

// listed is how many verified addresses the list has at it.
func (d listing) listed() int {
	if !d.Listed {
		return 0
	}
	return d.Addresses
}

func (v *surveyed) follow(ctx context.Context, book records.Book, l *life) error {
	entries, err := book.History(ctx, l.d.Name, maxEntries)
	if err != nil {
		return err
	}
	slices.Reverse(entries)
	l.entries = entries
	keys, err := book.Requests(ctx, l.d.Name)
	if err != nil {
		return err
	}
	for _, key := range keys {
		r, err := book.Request(ctx, key)
		if err != nil {
			return err
		}
		if a := r.V.Answer; a != nil && !a.CountsUnknown {
			l.changed += a.Changed
			if r.V.Restored != nil {
				l.changed -= r.V.Restored.Restored
			}
		}
	}
	l.changed = max(l.changed, 0)
	v.lost += l.changed
	return nil
}

// event is a thing that the charts count.
type event struct{ day, what, why string }

// events are those of the days shown: what was done, and each change of phase.
func (v surveyed) events() (done, changes map[event]int) {
	done, changes = map[event]int{}, map[event]int{}
	first := v.day(0)
	for _, l := range v.lives {
		for _, e := range l.entries {
			day := e.At.UTC().Format(time.DateOnly)
			if day < first {
				continue
			}
			switch e.What {
			case "look":
				if e.Before != e.After && e.After != "" && (e.Before != lifecycle.PhaseUnknown && e.Before != "" || e.After != lifecycle.Active) {
					changes[event{day, string(e.After), ""}]++
				}
			case "unverified", "would unverify", "closed", "would close", "opened", "would open", "held", "restored":
				done[event{day, e.What, cmp.Or(string(e.Reason), e.Sentence)}]++
			}
		}
	}
	return done, changes
}

// day is the i-th day shown.
func (v surveyed) day(i int) string {
	return v.now.AddDate(0, 0, i-v.days+1).Format(time.DateOnly)
}

// command is what an operator types, for a store of either kind.
func (v surveyed) command(verb, domain string) string {
	switch {
	case !plainName(domain):
		return ""
	case !v.local && verb == "explain":
		return "bin/lapseguard explain " + domain + " --domains-table TABLE --records-table TABLE"
	case !v.local:
		return "make " + verb + " DOMAIN=" + domain + " BY='your name'"
	case verb == "explain":
		return "bin/lapseguard explain " + domain + v.flag()
	default:
		return "bin/lapseguard " + verb + " " + domain + " --by 'your name'" + v.flag()
	}
}

func (v surveyed) flag() string {
	if v.state == defaultState {
		return ""
	}
	return " --state '" + strings.ReplaceAll(masked(v.state), "'", `'\''`) + "'"
}

// plainName tells whether a name means nothing to a shell.
func plainName(s string) bool {
	return s != "" && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}
