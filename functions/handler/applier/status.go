package applier

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// Status is where the guard stands.
type Status struct {
	Mode     Mode      `json:"mode,omitempty"` // empty where only the tables are read
	At       time.Time `json:"at"`
	Run      string    `json:"run,omitempty"` // empty: none has begun
	Started  time.Time `json:"started,omitzero"`
	Watched  int       `json:"watched"`
	Sent     bool      `json:"dispatched"`
	Complete bool      `json:"complete"`
	// First is what is left of the first scan, the server that takes longest first.
	First []records.FirstPart `json:"first_scan,omitempty"`

	Open   int       `json:"holds"`         // that wait for a person
	Many   bool      `json:"more_holds"`    // than were counted
	Pinned int       `json:"pinned"`        // domains that an operator holds on purpose
	Stale  []Waiting `json:"stale_holds"`   // have waited for more than three days, the oldest first
	Lever  bool      `json:"recovery"`      // the registry offers to close account recovery
	Closed int       `json:"closed"`        // domains at which it is to be closed
	Counts int       `json:"closed_in_24h"` // closings that took room
	// Reported counts accounts that the registry names as perhaps taken.
	Reported  int                        `json:"reported"`
	Unseen    map[string]int             `json:"unseen,omitempty"`    // domains whose lapse nobody would see, by TLD
	Approvals map[string]safety.Approval `json:"approvals,omitempty"` // of classes
	Doubted   map[string]time.Time       `json:"doubted,omitempty"`   // classes, since when
}

// Stand reads where the guard stands; the mode is the caller's to say.
func (p *Parts) Stand(ctx context.Context) (Status, error) {
	s := Status{At: p.Now().UTC(), Stale: []Waiting{}}
	stored, err := p.book().Run(ctx)
	if err != nil {
		return s, err
	}
	if run := stored.V; stored.Found() {
		s.Run, s.Started, s.Watched, s.Sent, s.Complete, s.Closed, s.Unseen = run.ID, run.Started.Time(), run.Watched, run.Sent, run.Complete, run.Closed, run.Unseen
		s.First = run.FirstLeft(p.Now())
	}
	w, err := p.waiting(ctx)
	if err != nil {
		return s, err
	}
	s.Open, s.Many, s.Pinned = w.open, w.more, w.pinned
	s.Stale = append(s.Stale, w.stale...)
	synced, err := p.book().Synced(ctx)
	if err != nil {
		return s, err
	}
	s.Lever, s.Reported = synced.V.Recovery, synced.V.Reported
	closings, err := p.book().Closings(ctx)
	if err != nil {
		return s, err
	}
	s.Counts, _ = closings.V.Counted(p.Now())
	ledger, err := p.book().Ledger(ctx)
	s.Approvals, s.Doubted = ledger.V.Standing(p.Now()), ledger.V.Doubted
	return s, err
}

// runLate is when a day's run should have begun again, with two hours to spare.
const runLate = 26 * time.Hour

// Words says it in short lines: what is well in one, what is not with what to do.
func (s Status) Words() string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if s.Mode != "" {
		say("mode %s", s.Mode)
	}
	started := s.Started.UTC().Format("2 January 15:04 UTC")
	switch {
	case s.Run == "":
		say("no daily run has begun yet")
	case s.At.Sub(s.Started) > runLate:
		say("no daily run has begun since %s: see fanout's log", started)
	case s.Complete:
		say("the daily run of %s is complete: %s", started, plural(s.Watched, "domain", "domains"))
	case s.Sent:
		say("the daily run of %s is not complete: %s asked about, and not every answer is there", started, plural(s.Watched, "domain", "domains"))
	default:
		say("the daily run of %s goes on: %s asked about so far", started, plural(s.Watched, "domain", "domains"))
	}
	many := ""
	if s.Many {
		many = " or more"
	}
	switch {
	case s.Open == 0:
		say("nothing waits for a decision")
	case s.Open == 1:
		say("1%s hold waits for a decision: lapseguard holds", many)
	default:
		say("%d%s holds wait for a decision: lapseguard holds", s.Open, many)
	}
	if len(s.Stale) > 0 {
		say("of these %s", staleWords(s.Stale))
	}
	if s.Pinned > 0 {
		say("%s held by an operator", plural(s.Pinned, "domain is", "domains are"))
	}
	if s.Lever {
		say("recovery is closed at %s", plural(s.Closed, "domain", "domains"))
	} else if s.Run != "" {
		say("the registry does not offer to close account recovery")
	}
	if s.Counts > 0 {
		say("%s took room within 24 hours", plural(s.Counts, "closing", "closings"))
	}
	for _, said := range []string{records.FirstWords(s.First), (records.Run{Unseen: s.Unseen}).UnseenWords()} {
		if said != "" {
			say("%s", said)
		}
	}
	if s.Reported > 0 {
		say("the registry reports %s that may have been taken: explain names them by domain", plural(s.Reported, "account", "accounts"))
	}
	for _, class := range slices.Sorted(maps.Keys(s.Doubted)) {
		say("%s is doubtful since %s: nothing of it is unverified until you trust it", class, s.Doubted[class].UTC().Format("2 January 15:04 UTC"))
	}
	for _, class := range slices.Sorted(maps.Keys(s.Approvals)) {
		a := s.Approvals[class]
		say("%s is approved by %s until %s: %d of its list are left, %d a day", class, a.By, a.Until.UTC().Format("2 January 15:04 UTC"), a.Left, a.PerDay)
	}
	return strings.Join(lines, "\n")
}
