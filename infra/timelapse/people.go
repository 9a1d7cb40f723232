package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// people are those who decide holds.
type people struct {
	p    *Population
	who  People
	open map[string]time.Time // holds that wait, by domain, since
	seen int                  // decisions heard of
}

func newPeople(p *Population, who People) *people {
	return &people{p: p, who: who, open: map[string]time.Time{}}
}

// hear follows the record: which holds stand.
func (o *people) hear(r *Record) {
	for _, d := range r.decisions[o.seen:] {
		switch {
		case d.What == "held":
			if _, stands := o.open[d.Domain]; !stands {
				o.open[d.Domain] = d.At
			}
		case d.What == "hold_ended", d.What == "unverified", strings.HasPrefix(d.What, "operator"):
			delete(o.open, d.Domain)
		}
	}
	o.seen = len(r.decisions)
}

// decide is the morning's work: each hold that waits.
func (o *people) decide(ctx context.Context, g *Guard) error {
	if o.who == NobodyThere {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o.open)) {
		action := "approve"
		if o.who == Right && !o.lost(name) {
			action = "unhold"
		}
		if err := g.Operate(ctx, action, name); err != nil {
			g.record.Events["operator refused"]++ // it ended meanwhile, or is protected: he reads that and goes on
		}
		delete(o.open, name)
	}
	o.hear(g.record)
	return nil
}

// lost tells what a person finds out by asking around: whether the holder has lost the name, or will.
func (o *people) lost(name string) bool {
	d := o.p.Find(name)
	return d != nil && (!d.Taken.IsZero() || !d.Lost.IsZero())
}
