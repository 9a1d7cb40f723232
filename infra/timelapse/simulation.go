package main

import (
	"context"
	"fmt"
	"github.com/lapseguard/lapseguard/shared/source"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Simulation is one seed: the guard and the other policies in an oversampled world, and the guard's load in one at
// true rates.
type Simulation struct {
	World    *World
	Size     Size
	Policy   Policy
	People   People
	Load     bool
	Only     string // a domain whose every answer is kept
	Progress io.Writer
}

// Play plays it.
func (s Simulation) Play(ctx context.Context) (Result, []Decision, error) {
	p, err := Populate(s.World, s.Size)
	if err != nil {
		return Result{}, nil, err
	}
	r := Result{Size: s.Size, Options: s.words(), Kinds: p.Kinds()}
	var run *GuardRun
	var answers []line
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		run, err = play(gctx, p, Options{Policy: s.Policy, People: s.People, Only: s.Only, Tell: s.tell(), Saw: func(o source.Observation) {
			answers = append(answers, line{o.At, fmt.Sprintf("ASKED %s: %s (%s%s)", o.Source, o.Said, o.Outcome, cause(o))})
		}})
		return err
	})
	if s.Load {
		group.Go(func() (err error) {
			r.Load, err = s.load(gctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return r, nil, err
	}
	r.Columns = []Column{newColumn(ourName, s.World, run.Ledger.Fates())}
	for _, peer := range []struct {
		name   string
		policy *Peer
	}{{"PyPI", &s.World.Peers.PyPI}, {"RubyGems", &s.World.Peers.RubyGems}, {"none", nil}} {
		r.Columns = append(r.Columns, newColumn(peer.name, s.World, playPeer(p, peer.name, peer.policy).Ledger.Fates()))
	}
	r.Digest = Digest(run.Decisions)
	r.Traces = traces(p, run, r.Columns[0].fates, s.Only)
	if s.Only != "" {
		r.keepAnswers(s.Only, answers)
	}
	return r, run.Decisions, nil
}

func cause(o source.Observation) string {
	if o.Cause == source.CauseNone {
		return ""
	}
	return ": " + string(o.Cause)
}

// keepAnswers puts every answer about a domain into its trace, by time.
func (r *Result) keepAnswers(name string, answers []line) {
	for i, t := range r.Traces {
		if t.Fate.Domain != name {
			continue
		}
		merged := make([]string, 0, len(t.Lines)+len(answers))
		for _, l := range t.Lines {
			for len(answers) > 0 && answers[0].at.Format("2006-01-02 15:04") < l[:16] {
				merged = append(merged, answers[0].at.Format("2006-01-02 15:04")+" "+answers[0].text)
				answers = answers[1:]
			}
			merged = append(merged, l)
		}
		for _, a := range answers {
			merged = append(merged, a.at.Format("2006-01-02 15:04")+" "+a.text)
		}
		r.Traces[i].Lines = merged
	}
}

// load is the guard's work in a world at true rates.
func (s Simulation) load(ctx context.Context) (*Load, error) {
	size := s.Size
	size.Oversampled = false
	p, err := Populate(s.World, size)
	if err != nil {
		return nil, err
	}
	run, err := play(ctx, p, Options{Policy: s.Policy, People: s.People})
	if err != nil {
		return nil, err
	}
	l := newLoad(p, run)
	return &l, nil
}

// words says what the guard was set to.
func (s Simulation) words() string {
	words := []string{map[People]string{NobodyThere: "nobody at the keyboard", Right: "each hold decided rightly within a day", Approver: "each hold approved within a day"}[s.People]}
	words = append(words, "status API "+map[bool]string{true: "on", false: "off"}[s.Policy.Status])
	if s.Policy.Without {
		words = append(words, "a registry that cannot close recovery")
	}
	if s.Size.Unknown {
		words = append(words, "no verification time known")
	}
	return strings.Join(words, ", ")
}

// tell shows progress, ten lines a run at most.
func (s Simulation) tell() func(day, holds int) {
	if s.Progress == nil {
		return nil
	}
	began := time.Now()
	fmt.Fprintf(s.Progress, "seed %d: %d domains, %d days; the guard: %s\n", s.Size.Seed, s.Size.Domains, s.Size.Days, s.words())
	return func(day, holds int) {
		if step := max(s.Size.Days/10, 1); day > 0 && day%step == 0 {
			fmt.Fprintf(s.Progress, "  day %3d of %d, %d holds wait (%d s)\n", day, s.Size.Days, holds, int(time.Since(began).Seconds()))
		}
	}
}
