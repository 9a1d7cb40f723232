// Command lapseguard runs the guard on one machine: a demonstration, a one-shot audit of a list of addresses,
// and the operator's actions on a local store.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Version kong.VersionFlag `help:"Say which version this is, and which schemas it reads."`

	Demo    demoCommand    `cmd:"" group:"Use it" help:"Play twelve days of a small registry and a simulated internet, and show what the guard did."`
	Audit   auditCommand   `cmd:"" group:"Use it" help:"Look once at the domains of your own addresses, with the real upstreams; changes nothing."`
	Explain explainCommand `cmd:"" group:"Use it" help:"Say in words what is known of a domain, what was done about it and why, and when it is looked at next."`
	Conform conformCommand `cmd:"" group:"Use it" help:"Walk the admin API's contract on your registry, and say in words what is wrong."`
	Holds   holdsCommand   `cmd:"" group:"Use it" help:"List what waits for a decision: to review it, and to approve a class as one list."`

	Serve  serveCommand  `cmd:"" group:"Use it" help:"Guard a registry of your own without AWS: the schedules in this process, begun in observe mode."`
	Report reportCommand `cmd:"" group:"Use it" help:"Write what the guard knows and did as one page for a browser; changes nothing."`

	Lists  listsCommand  `cmd:"" group:"Use it" help:"Say how old the lists are that the guard rests on, what changed since, and which TLDs have no control name."`
	Status statusCommand `cmd:"" group:"Use it" help:"Say where the guard stands: mode, run, holds."`

	Approve approveCommand `cmd:"" group:"Operate the guard on a local store" help:"Approve a held domain, or a whole class as one reviewed list: shows whom it concerns, --yes does it."`
	Trust   trustCommand   `cmd:"" group:"Operate the guard on a local store" help:"End the doubt about a class of which many domains came back after they were unverified."`
	Revoke  revokeCommand  `cmd:"" group:"Operate the guard on a local store" help:"Take the approval of a class back: the breaker judges it again."`
	Hold    domainCommand  `cmd:"" group:"Operate the guard on a local store" help:"Hold a domain: nothing is done about it until its hold is taken off or approved."`
	Unhold  domainCommand  `cmd:"" group:"Operate the guard on a local store" help:"Take a hold off; the domain stays under watch."`
	Recheck domainCommand  `cmd:"" group:"Operate the guard on a local store" help:"Look at a domain with the next tick."`
	Restore restoreCommand `cmd:"" group:"Operate the guard on a local store" help:"Take an unverification back, for the addresses that it changed."`
	Retry   domainCommand  `cmd:"" group:"Operate the guard on a local store" help:"Send an unverification again: the registry closed recovery since, or it was taken back."`
	Close   closeCommand   `cmd:"" group:"Operate the guard on a local store" help:"Close account recovery at a domain, until you open it or its control is in doubt anew."`
	Open    openCommand    `cmd:"" group:"Operate the guard on a local store" help:"Open account recovery at a domain, or everywhere before the guard is taken away; a new gap closes it again."`
	Accept  acceptCommand  `cmd:"" group:"Operate the guard on a local store" help:"Believe the registry's next list, however many hosts it lost."`
	Mode    modeCommand    `cmd:"" group:"Operate the guard on a local store" help:"The kill switch: observe, enforce or stop."`

	Completion completionCommand `cmd:"" group:"Use it" help:"Print the completion for bash, zsh or fish, to be sourced by it."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"Print what may stand at the cursor of a command line."`

	Answer answerCommand `cmd:"" hidden:"" help:"Read a deployed applier's answer from standard input and print its words."`
}

// streams are where a command writes: its result to out, progress and remarks to err.
type streams struct{ out, err io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := run(ctx, os.Args[1:], streams{newScreen(os.Stdout, os.Getenv), newScreen(os.Stderr, os.Getenv)})
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code (0 done, 1 failed, 2 wrong usage, 3 an audit that is done
// and heard nobody, 4 one that found something and was asked to say so, 5 an approval that was only asked about,
// 130 interrupted).
func run(ctx context.Context, args []string, s streams) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("lapseguard"), kong.Writers(s.out, s.err), kong.Exit(func(code int) { exit = code }), kong.Vars{"version": version(), "lists": strings.Join(listSources, ",")},
		kong.Description("Watches the domains behind verified e-mail addresses."), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(s.err, "lapseguard:", harmless(err.Error()))
		return 2
	}
	cmd, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintln(s.err, "lapseguard:", harmless(err.Error()))
		return 2
	}
	cmd.BindTo(ctx, (*context.Context)(nil))
	if err := cmd.Run(s); err != nil {
		if ctx.Err() != nil { // whatever it broke off says of itself
			says := "lapseguard: interrupted"
			if slices.Contains([]string{"demo", "audit", "serve"}, cmd.Selected().Name) {
				says += "; the same command goes on where it stopped"
			}
			fmt.Fprintln(s.err, says)
			return 130
		}
		fmt.Fprintln(s.err, "lapseguard:", harmless(err.Error()))
		switch {
		case errors.Is(err, errHeardNobody):
			return 3
		case errors.Is(err, errFound):
			return 4
		case errors.Is(err, errOnlyAsked):
			return 5
		}
		return 1
	}
	return 0
}
