// Command timelapse lets a seeded world of domains live through a year on an injected clock, under the guard (its real
// handlers over the embedded store) and under other registries' policies, and tells what each missed, whom it wronged
// and how much work it made. world.yaml holds the world's parameters.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// command is what `make simulate` runs.
type command struct {
	Seed    uint64 `default:"1" help:"Of the world: the same seed gives the same world and the same decisions."`
	Seeds   int    `default:"1" help:"How many worlds, from the seed on."`
	Domains int    `default:"2000" help:"Domains behind accounts."`
	Days    int    `default:"365" help:"Days that the world lives."`
	People  string `default:"nobody" enum:"nobody,right,approve" help:"Who decides holds: nobody; somebody rightly within a day; somebody approves everything."`
	Status  bool   `help:"The guard asks the status API."`
	Unknown bool   `help:"The registry knows no verification time."`
	Lever   bool   `default:"true" negatable:"" help:"The registry can close account recovery, and open it again."`
	Only    string `help:"Print everything about one domain."`
	Load    bool   `default:"true" negatable:"" help:"Measure load in a second world, at true rates."`
	Out     string `default:".lapseguard/simulate" help:"Folder of the result: result.md, result.json, result.svg, decisions.txt."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var c command
	kong.Parse(&c, kong.Name("timelapse"), kong.Description("A year of domains in minutes."))
	err := c.run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "timelapse:", err)
		os.Exit(1)
	}
}

// run plays each seed and prints its result.
func (c command) run(ctx context.Context, out, progress io.Writer) error {
	w, err := LoadWorld()
	if err != nil {
		return err
	}
	for seed := c.Seed; seed < c.Seed+uint64(max(c.Seeds, 1)); seed++ {
		s := Simulation{World: w, Size: Size{Domains: c.Domains, Days: c.Days, Seed: seed, Oversampled: true, Unknown: c.Unknown},
			Policy: Policy{Status: c.Status, Without: !c.Lever}, People: People(c.People), Load: c.Load && c.Only == "", Only: c.Only, Progress: progress}
		r, decisions, err := s.Play(ctx)
		if err != nil {
			return err
		}
		if c.Only != "" {
			fmt.Fprint(out, only(r, c.Only))
			continue
		}
		fmt.Fprintln(out, r.markdown())
		if err := r.write(c.Out, decisions); err != nil {
			return err
		}
		fmt.Fprintf(progress, "result.md, result.json, result.svg and decisions.txt are in %s\n", c.Out)
	}
	return nil
}

// only is the trace of one domain.
func only(r Result, name string) string {
	for _, t := range r.Traces {
		if t.Fate.Domain == name {
			return t.markdown()
		}
	}
	return fmt.Sprintf("no domain %s in this world: decisions.txt and result.json name those of the last one\n", name)
}
