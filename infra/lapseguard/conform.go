package main

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/infra/conform"
)

type conformCommand struct {
	URL    string `arg:"" help:"The admin API's base, as the guard is given it."`
	Token  string `env:"LAPSEGUARD_REGISTRY_TOKEN" required:"" help:"Its bearer token; better in the environment than on the command line."`
	Domain string `help:"A domain of your own with verified test addresses at it, below it, and at a host whose name only ends alike. They are unverified and restored. Without it nothing is changed."`
	JUnit  string `name:"junit" placeholder:"FILE" help:"Write what was checked as JUnit's XML too."`
	Site   string `help:"The base of three test hooks, POST /ask, /follow and /verify, that show what mail opens while recovery is closed; infra/RUNBOOK.md, The registry's half, describes them."`
}

// Run walks the contract and says what is wrong; its error, and so exit code 1, means that something is.
func (c *conformCommand) Run(ctx context.Context, s streams) error {
	key := func() string { return "conform:" + strings.ToLower(rand.Text()) }
	line := liveOn(s.err)
	report, err := conform.Walk(ctx, conform.Config{URL: c.URL, Token: c.Token, Domain: c.Domain, Site: c.Site, Now: time.Now, Key: key,
		Progress: func(check string) { line.show("checking " + check) }})
	line.clear()
	if report.Refused {
		err := errors.New("the registry refuses the token, so nothing was checked: set LAPSEGUARD_REGISTRY_TOKEN as the registry has it")
		if c.JUnit != "" {
			err = errors.Join(err, writeJUnit(c.JUnit, report))
		}
		return err
	}
	printFindings(s.out, report)
	if passed := passedOf(report); len(passed) > 0 {
		screenOf(s.out).words("passed: " + harmless(strings.Join(passed, ", ")))
	}
	if c.JUnit != "" {
		err = errors.Join(err, writeJUnit(c.JUnit, report))
	}
	if err != nil {
		return fmt.Errorf("the walk broke off: %w", err)
	}
	if !report.OK() {
		return errors.New("the registry does not keep the contract")
	}
	fmt.Fprintf(s.out, "%d checks, nothing wrong. What no answer shows: try with a mail sink to recover the account of an unverified address.\n", len(report.Checks))
	return nil
}

// passedOf are the checks about which there is nothing to say.
func passedOf(r conform.Report) (names []string) {
	for _, name := range r.Checks {
		if !slices.ContainsFunc(r.Findings, func(f conform.Finding) bool { return f.Check == name }) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// junit is as much of JUnit's XML as CI systems read.
type junit struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Failure *junitSays `xml:"failure"`
	Skipped *junitSays `xml:"skipped"`
	Output  string     `xml:"system-out,omitempty"`
}

type junitSays struct {
	Message string `xml:"message,attr"`
}

func writeJUnit(path string, r conform.Report) error {
	suite := junit{Name: "lapseguard conform"}
	names := slices.Clone(r.Checks)
	for _, f := range r.Findings { // also what could not be tried
		if !slices.Contains(names, f.Check) {
			names = append(names, f.Check)
		}
	}
	for _, name := range names {
		c := junitCase{Class: "conform", Name: harmless(name)}
		for _, f := range r.Findings {
			switch says := &(junitSays{harmless(f.Says)}); {
			case f.Check != name:
			case f.Level == conform.Wrong:
				c.Failure = says
			case f.Level == conform.NotChecked:
				c.Skipped = says
			default:
				c.Output += string(f.Level) + ": " + says.Message + "\n"
			}
		}
		if c.Failure != nil {
			c.Skipped = nil
			suite.Failures++
		} else if c.Skipped != nil {
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Tests = len(suite.Cases)
	b, err := xml.MarshalIndent(suite, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append([]byte(xml.Header), append(b, '\n')...), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
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
