package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/infra/conform"
)

type conformCommand struct {
	URL    string `arg:"" help:"The admin API's base, as the guard is given it."`
	Token  string `env:"LAPSEGUARD_REGISTRY_TOKEN" required:"" help:"Its bearer token; better in the environment than on the command line."`
	Domain string `help:"A domain of your own with verified test addresses at it, below it, and at a host whose name only ends alike. They are unverified and restored. Without it nothing is changed."`
	Site   string `help:"The base of three test hooks, POST /ask, /follow and /verify, that show what mail opens while recovery is closed; infra/RUNBOOK.md, The registry's half, describes them."`
}

// Run walks the contract and says what is wrong; its error, and so exit code 1, means that something is.
func (c *conformCommand) Run(ctx context.Context, s streams) error {
	key := func() string { return "conform:" + strings.ToLower(rand.Text()) }
	report, err := conform.Walk(ctx, conform.Config{URL: c.URL, Token: c.Token, Domain: c.Domain, Site: c.Site, Now: time.Now, Key: key,
		Progress: func(check string) { fmt.Fprintln(s.err, "checking", check) }})
	printFindings(s.out, report)
	if err != nil {
		return fmt.Errorf("the walk broke off: %w", err)
	}
	if !report.OK() {
		return errors.New("the registry does not keep the contract")
	}
	fmt.Fprintf(s.out, "%d checks, nothing wrong. What no answer shows: try with a mail sink to recover the account of an unverified address.\n", len(report.Checks))
	return nil
}

func printFindings(out io.Writer, r conform.Report) {
	for _, level := range []conform.Level{conform.NotChecked, conform.Doubtful, conform.Wrong} {
		for _, f := range r.Findings {
			if f.Level == level {
				fmt.Fprintf(out, "%-11s  %s: %s\n", f.Level, f.Check, harmless(f.Says))
			}
		}
	}
}
