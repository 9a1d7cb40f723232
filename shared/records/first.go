package records

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
)

// First is what one registry's server has not been asked yet of the first scan, as a run found it. There are as many as
// the bootstrap has servers, some 600, each of a few bytes.
type First struct {
	Due       int               `json:"d,omitempty"` // by this run
	Later     int               `json:"l,omitempty"` // by later ones
	Until     lifecycle.Instant `json:"u,omitempty"` // the last of the later ones is due
	PerMinute float64           `json:"r"`
}

// Add adds another part of the table's.
func (f First) Add(g First) First {
	return First{Due: f.Due + g.Due, Later: f.Later + g.Later, Until: max(f.Until, g.Until), PerMinute: g.PerMinute}
}

// FirstPart is what is left of the first scan at one server.
type FirstPart struct {
	Server    string    `json:"server"`
	Questions int       `json:"questions"`
	PerMinute float64   `json:"per_minute"`
	Whole     time.Time `json:"whole"` // if it answers
}

// FirstLeft is what is left of the first scan at now, the server that takes longest first: what was due is asked from
// then on, at the server's rate.
func (r Run) FirstLeft(now time.Time) (left []FirstPart) {
	began := r.FirstAt.Time()
	for server, f := range r.First {
		if f.PerMinute <= 0 {
			continue
		}
		takes := func(n int) time.Duration { return time.Duration(float64(n) / f.PerMinute * float64(time.Minute)) }
		asked := min(f.Due, max(0, int(now.Sub(began).Minutes()*f.PerMinute)))
		p := FirstPart{Server: server, Questions: f.Due - asked + f.Later, PerMinute: f.PerMinute, Whole: began.Add(takes(f.Due + f.Later)).UTC()}
		if f.Later > 0 && f.Until.Time().After(p.Whole) {
			p.Whole = f.Until.Time().UTC()
		}
		if p.Questions > 0 {
			left = append(left, p)
		}
	}
	slices.SortFunc(left, func(a, b FirstPart) int {
		return cmp.Or(b.Whole.Compare(a.Whole), cmp.Compare(b.Questions, a.Questions), cmp.Compare(a.Server, b.Server))
	})
	return left
}

// firstNamed bounds the servers that FirstWords names.
const firstNamed = 5

// FirstWords says it in a sentence; empty where nothing is left.
func FirstWords(left []FirstPart) string {
	if len(left) == 0 {
		return ""
	}
	n := 0
	for _, p := range left {
		n += p.Questions
	}
	words := make([]string, 0, firstNamed)
	for _, p := range left[:min(len(left), firstNamed)] {
		words = append(words, fmt.Sprintf("%s %d at %.3g a minute by %s", p.Server, p.Questions, p.PerMinute, p.Whole.Format(firstTime)))
	}
	more := ""
	if rest := len(left) - firstNamed; rest > 0 {
		more = fmt.Sprintf(", and %d more servers, each done before", rest)
	}
	return fmt.Sprintf("the first scan has %d questions to registries left, and is whole by %s if they all answer (%s%s)", n, left[0].Whole.Format(firstTime), strings.Join(words, ", "), more)
}

const firstTime = "2 January 15:04 UTC"

// Slow halves the rates of the servers that refused to be asked so fast, as far as they still count at now.
func (b Book) Slow(ctx context.Context, first map[string]First, now time.Time) error {
	keys := make([]store.Key, 0, len(first))
	for server := range first {
		keys = append(keys, store.Key{Table: store.Records, PK: pkBudgets, SK: server})
	}
	budgets, err := many[Budget](ctx, b, keys)
	for _, r := range budgets {
		f := first[r.SK()]
		f.PerMinute /= float64(int(1) << r.V.Slowed(now))
		first[r.SK()] = f
	}
	return err
}
