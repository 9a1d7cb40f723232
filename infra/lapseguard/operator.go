package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/infra/host"
)

// operate is what the operator's actions have in common. They are one mechanism: an event for the applier, which
// carries it out, here on the local store, or, printed by --event, in the cloud.
type operate struct {
	place
	Event bool `help:"Only print the event, as the deployed applier takes it: sam remote invoke ApplierFunction --event-file -"`
}

// who states who decided.
type who struct {
	By string `required:"" env:"LAPSEGUARD_BY" placeholder:"NAME" help:"Your name, for the history (no e-mail address)."`
}

func (w who) check() error {
	return stated("--by", w.By, maxBy)
}

// stated checks what is kept in the history: it holds no address.
func stated(flag, words string, most int) error {
	switch {
	case strings.TrimSpace(words) == "":
		return errors.New(flag + " is empty: say who decides, and why")
	case masked(words) != words:
		return errors.New(flag + " holds an e-mail address or signs that cannot be printed: it is kept in the history")
	case len(words) > most:
		return fmt.Errorf("%s is longer than %d bytes", flag, most)
	}
	return nil
}

const maxBy, maxWhy = 100, 300

// domainCommand is an action about one domain: its name is the action.
type domainCommand struct {
	operate
	who
	Domain string `arg:"" help:"Domain, or an e-mail host below one."`
}

// Run carries the action out.
func (c *domainCommand) Run(ctx context.Context, s streams, k *kong.Context) error {
	e, err := c.event(k.Selected().Name)
	if err != nil {
		return err
	}
	return c.send(ctx, s, e)
}

func (c *domainCommand) event(action string) (applier.Event, error) {
	if err := c.check(); err != nil {
		return applier.Event{}, err
	}
	name, err := registrable(c.Domain)
	if err != nil {
		return applier.Event{}, err
	}
	return applier.Event{Action: action, Domain: name.Registrable, By: c.By}, nil
}

// closeCommand closes recovery at a domain, for a reason.
type closeCommand struct {
	domainCommand
	Reason string `required:"" placeholder:"WORDS" help:"Why, for the history (no e-mail address)."`
}

// Run closes.
func (c *closeCommand) Run(ctx context.Context, s streams) error {
	e, err := c.event("close")
	if err != nil {
		return err
	}
	e.Why = c.Reason
	if err := stated("--reason", c.Reason, maxWhy); err != nil {
		return err
	}
	return c.send(ctx, s, e)
}

// openCommand opens recovery at a domain, or at all that are closed.
type openCommand struct {
	operate
	who
	Domain string `arg:"" optional:"" help:"Domain, or an e-mail host below one."`
	All    bool   `help:"Everything that the registry holds closed, as before the stack is removed: switch to stop first."`
	Reason string `required:"" placeholder:"WORDS" help:"Why, for the history (no e-mail address)."`
}

// Run opens.
func (c *openCommand) Run(ctx context.Context, s streams) error {
	e, err := c.event()
	if err != nil {
		return err
	}
	return c.send(ctx, s, e)
}

func (c *openCommand) event() (applier.Event, error) {
	if (c.Domain == "") != c.All {
		return applier.Event{}, errors.New("open what? Name a domain, or --all")
	}
	if err := errors.Join(c.check(), stated("--reason", c.Reason, maxWhy)); err != nil || c.All {
		return applier.Event{Action: "open", All: true, By: c.By, Why: c.Reason}, err
	}
	one := domainCommand{operate: c.operate, who: c.who, Domain: c.Domain}
	e, err := one.event("open")
	e.Why = c.Reason
	return e, err
}

// restoreCommand can name an earlier decision, or what was done of a class within a time.
type restoreCommand struct {
	operate
	who
	Domain   string `arg:"" optional:"" help:"Domain, or an e-mail host below one."`
	Decision string `help:"Which decision (explain names it); default: the domain's last."`
	Class    string `help:"Take back what was done of a class instead (such as rdap.verisign.com/redemption). First it only says what that is."`
	Since    string `placeholder:"TIME" help:"With --class: what was sent from then on (2026-03-01T00:00:00Z)."`
	Until    string `placeholder:"TIME" help:"With --class: and before then; default: until now."`
	Reviewed int    `placeholder:"N" help:"With --class: how many domains it said; only with this number anything is done."`
}

// Run takes decisions back.
func (c *restoreCommand) Run(ctx context.Context, s streams) error {
	e, err := c.event()
	if err != nil {
		return err
	}
	return c.send(ctx, s, e)
}

func (c *restoreCommand) event() (applier.Event, error) {
	many := c.Since != "" || c.Until != "" || c.Reviewed != 0
	switch {
	case c.Class == "" && c.Domain == "":
		return applier.Event{}, errors.New("restore what? Name a domain, or --class with --since")
	case c.Class != "" && (c.Domain != "" || c.Decision != ""):
		return applier.Event{}, errors.New("restore either a domain or a --class, not both")
	case c.Class == "" && many:
		return applier.Event{}, errors.New("--since, --until and --reviewed belong to --class")
	case c.Class == "":
		one := domainCommand{operate: c.operate, who: c.who, Domain: c.Domain}
		e, err := one.event("restore")
		e.Decision = c.Decision
		return e, err
	case masked(c.Class) != c.Class:
		return applier.Event{}, errors.New("--class is not a class: write it as the hold does")
	}
	e := applier.Event{Action: "restore", Class: c.Class, Count: c.Reviewed, By: c.By}
	for name, at := range map[string]struct {
		said string
		into *time.Time
	}{"since": {c.Since, &e.Since}, "until": {c.Until, &e.Until}} {
		if at.said == "" && name == "until" {
			continue
		}
		t, err := time.Parse(time.RFC3339, at.said)
		if err != nil {
			return applier.Event{}, fmt.Errorf("--%s: give a time such as 2026-03-01T00:00:00Z", name)
		}
		*at.into = t
	}
	return e, c.check()
}

// approveCommand approves one domain, or a whole class as one reviewed list.
type approveCommand struct {
	operate
	who
	Domain   string `arg:"" optional:"" help:"Domain, or an e-mail host below one."`
	Reason   string `placeholder:"WORDS" help:"Why, for the history (no e-mail address)."`
	Yes      bool   `help:"Approve it. Without, it only says how many domains and accounts are concerned."`
	Class    string `help:"Approve a whole class instead, as its holds name it (such as rdap.verisign.com/redemption)."`
	Reviewed int    `placeholder:"N" help:"With --class: how many domains the list has that you reviewed."`
	PerDay   int    `placeholder:"N" help:"With --class: how many of them may be acted on a day."`
}

// Run approves.
func (c *approveCommand) Run(ctx context.Context, s streams) error {
	e, err := c.event()
	if err != nil {
		return err
	}
	return c.send(ctx, s, e)
}

func (c *approveCommand) event() (applier.Event, error) {
	switch {
	case c.Class == "" && c.Domain == "":
		return applier.Event{}, errors.New("approve what? Name a domain, or --class with --reviewed and --per-day")
	case c.Class != "" && c.Domain != "":
		return applier.Event{}, errors.New("approve either a domain or a --class, not both")
	case c.Class == "" && (c.Reviewed != 0 || c.PerDay != 0):
		return applier.Event{}, errors.New("--reviewed and --per-day belong to --class")
	case c.Reason != "" && stated("--reason", c.Reason, maxWhy) != nil:
		return applier.Event{}, stated("--reason", c.Reason, maxWhy)
	case c.Class == "":
		one := domainCommand{operate: c.operate, who: c.who, Domain: c.Domain}
		e, err := one.event("approve")
		e.Why, e.Ask = c.Reason, !c.Yes
		return e, err
	case c.Reviewed < 1 || c.PerDay < 1:
		return applier.Event{}, errors.New("--class needs --reviewed (the length of the list that you reviewed) and --per-day")
	case masked(c.Class) != c.Class:
		return applier.Event{}, errors.New("--class is not a class: write it as the hold does")
	}
	return applier.Event{Action: "approve", Class: c.Class, Count: c.Reviewed, PerDay: c.PerDay, By: c.By, Why: c.Reason, Ask: !c.Yes}, c.check()
}

// revokeCommand takes the approval of a class back.
type revokeCommand struct {
	operate
	who
	Class string `arg:"" help:"The class, as it was approved."`
}

// Run revokes.
func (c *revokeCommand) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.send(ctx, s, applier.Event{Action: "revoke", Class: c.Class, By: c.By})
}

// trustCommand ends the doubt about a class.
type trustCommand struct {
	operate
	who
	Class string `arg:"" help:"The class, as status and the log name it."`
}

// Run trusts.
func (c *trustCommand) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.send(ctx, s, applier.Event{Action: "trust", Class: c.Class, By: c.By})
}

// acceptCommand accepts a list that shrank.
type acceptCommand struct {
	operate
	who
}

// Run accepts.
func (c *acceptCommand) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.send(ctx, s, applier.Event{Action: "accept", By: c.By})
}

// statusCommand reads where the guard stands, out of a local store or the deployed tables.
type statusCommand struct {
	tables
	Event  bool   `help:"Only print the event, as the deployed applier takes it: its answer knows the mode as well."`
	Format string `enum:"table,json" default:"table" help:"table (lines of words), or json."`
}

// Run says where the guard stands.
func (c *statusCommand) Run(ctx context.Context, s streams) (err error) {
	if c.Event {
		return writeEvent(s.out, applier.Event{Action: "status"})
	}
	ctx, cancel := context.WithTimeout(ctx, cloudTime)
	defer cancel()
	st, now, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	status, err := (&applier.Parts{Store: st, Now: func() time.Time { return now }}).Stand(ctx)
	if err != nil {
		return err
	}
	if c.Domains == "" {
		if status.Mode, err = modeOf(c.State); err != nil {
			return err
		}
	}
	return writeStatus(s.out, status, c.Format)
}

func writeStatus(w io.Writer, status applier.Status, format string) error {
	if format == "json" {
		return writeObject(w, status)
	}
	to := screenOf(w)
	for line := range strings.SplitSeq(masked(status.Words()), "\n") {
		to.words(line)
	}
	return nil
}

// writeObject writes one JSON object, fit to be shown.
func writeObject(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", quotedAddress.ReplaceAll(plainJSON(b), []byte("[masked]")))
	}
	if err != nil {
		return fmt.Errorf("write the JSON: %w", err)
	}
	return nil
}

// modeOf is the mode of a local store: a demonstration acts unless it is told otherwise, serve begins by watching.
func modeOf(state string) (applier.Mode, error) {
	file, err := find(state)
	if err != nil {
		return "", err
	}
	if filepath.Base(file) != guardFile {
		return "", nil // an audit's: nothing acts on it
	}
	dir, first := filepath.Dir(file), applier.Enforce
	if served(dir) {
		first = applier.Observe
	}
	return place{Dir: dir}.readMode(first)
}

// guarded is the folder of the local store that an action is about.
func (p place) guarded() (string, error) {
	file, err := find(p.Dir)
	if err != nil {
		return "", err
	}
	if filepath.Base(file) != guardFile {
		return "", fmt.Errorf("%s is the store of an audit: nobody acts on it, so there is nothing to decide", file)
	}
	return filepath.Dir(file), nil
}

// send has the applier carry an event out and prints its answer.
func (o operate) send(ctx context.Context, s streams, e applier.Event) (err error) {
	if o.Event {
		return writeEvent(s.out, e)
	}
	if o.Dir, err = o.guarded(); err != nil {
		return err
	}
	if served(o.Dir) {
		return o.toServed(ctx, s, e)
	}
	st, err := o.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if !e.Ask { // each decision has a moment of its own, by which history keeps it
		if err := st.clock.set(st.clock.now().Add(time.Second)); err != nil {
			return err
		}
	}
	return handled(ctx, s, st.host, e)
}

// handled has an applier carry an event out and prints its answer.
func handled(ctx context.Context, s streams, h *host.Host, e applier.Event) error {
	res, err := h.Applier.Handle(lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: localID()}), e)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, masked(res.Text))
	return unless(res)
}

// errOnlyAsked is no success: a script that meant to approve must notice.
var errOnlyAsked = errors.New("nothing is approved yet: the same with --yes (make: YES=1) does it")

func unless(res applier.Result) error {
	if res.Asked {
		return errOnlyAsked
	}
	return nil
}

// localID is what history keeps in the place of a Lambda invocation's id.
func localID() string { return "local-" + strings.ToLower(rand.Text()[:12]) }

func writeEvent(w io.Writer, e applier.Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s\n", b); err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	return nil
}

// answerCommand reads what the deployed applier answered to an event.
type answerCommand struct {
	Format string `enum:"table,json," default:"" help:"json: a status as an object."`
	in     io.Reader
}

// maxAnswer bounds an answer: Lambda's own limit for a synchronous one is 6 MB.
const maxAnswer = 6 << 20

// Run prints the answer's words, and fails where the function failed.
func (c *answerCommand) Run(s streams) error {
	in := c.in
	if in == nil {
		in = os.Stdin
	}
	b, err := io.ReadAll(io.LimitReader(in, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer of the applier: %w", err)
	}
	var a struct {
		applier.Result

		Failure string `json:"errorMessage"`
	}
	switch err := json.Unmarshal(b, &a); {
	case len(strings.TrimSpace(string(b))) == 0:
		return errors.New("the applier gave no answer; what went wrong stands above")
	case err != nil:
		return errors.New("the applier's answer cannot be read: " + masked(string(b[:min(len(b), 500)])))
	case a.Failure != "":
		return errors.New("the applier refused: " + masked(a.Failure))
	}
	if a.Status != nil {
		return writeStatus(s.out, *a.Status, c.Format)
	}
	fmt.Fprintln(s.out, masked(a.Text))
	return unless(a.Result)
}

// modeCommand is the kill switch.
type modeCommand struct {
	place
	Mode  string `arg:"" optional:"" default:"" enum:"observe,enforce,stop," help:"observe (report only), enforce, or stop (no call to the registry at all); nothing shows the mode."`
	Stack string `help:"That of a deployed stack instead: its SSM parameter /STACK/mode."`
}

// Run switches the mode, which the applier reads before it acts, or shows it.
func (c *modeCommand) Run(ctx context.Context, s streams) error {
	if c.Stack != "" {
		return c.deployed(ctx, s)
	}
	dir, err := c.guarded()
	if err != nil {
		return err
	}
	where := "the local store in " + c.Dir
	c.Dir = dir
	if c.Mode == "" {
		mode, err := modeOf(dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "mode %s: %s\n", mode, where)
		return nil
	}
	if err := c.local(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "mode %s: %s obeys from its next tick on\n", c.Mode, where)
	return nil
}

func (c *modeCommand) local() error {
	if err := os.WriteFile(filepath.Join(c.Dir, "mode"), []byte(c.Mode+"\n"), 0o600); err != nil {
		return fmt.Errorf("switch the mode: %w", err)
	}
	return nil
}

func (c *modeCommand) deployed(ctx context.Context, s streams) error {
	ctx, cancel := context.WithTimeout(ctx, cloudTime)
	defer cancel()
	aws, err := loadAWS(ctx)
	if err != nil {
		return err
	}
	name, yes := "/"+c.Stack+"/mode", true
	if c.Mode == "" {
		got, err := ssm.NewFromConfig(aws).GetParameter(ctx, &ssm.GetParameterInput{Name: &name})
		if err != nil {
			return fmt.Errorf("read the mode of stack %s: %w", c.Stack, err)
		}
		fmt.Fprintf(s.out, "mode %s: stack %s, unless its parameter Mode is more careful\n", masked(*got.Parameter.Value), c.Stack)
		return nil
	}
	_, err = ssm.NewFromConfig(aws).PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: &c.Mode, Overwrite: &yes, Type: types.ParameterTypeString})
	if err != nil {
		return fmt.Errorf("switch the mode of stack %s: %w", c.Stack, err)
	}
	fmt.Fprintf(s.out, "mode %s: stack %s obeys from its next tick on\n", c.Mode, c.Stack)
	return nil
}

// mode is the demonstration's: it acts unless it is told otherwise.
func (p place) mode(ctx context.Context) (applier.Mode, error) { return p.modeOr(applier.Enforce)(ctx) }

// modeOr reads the local kill switch before each tick acts, as the deployed applier reads its own.
func (p place) modeOr(first applier.Mode) func(context.Context) (applier.Mode, error) {
	return func(context.Context) (applier.Mode, error) { return p.readMode(first) }
}

func (p place) readMode(first applier.Mode) (applier.Mode, error) {
	b, err := os.ReadFile(filepath.Join(p.Dir, "mode"))
	if errors.Is(err, fs.ErrNotExist) {
		return first, nil
	}
	if err != nil {
		return applier.Stop, fmt.Errorf("kill switch: %w", err)
	}
	switch m := applier.Mode(strings.TrimSpace(string(b))); m {
	case applier.Observe, applier.Enforce, applier.Stop:
		return m, nil
	default:
		return applier.Stop, fmt.Errorf("kill switch says %q: write observe, enforce or stop into %s", m, filepath.Join(p.Dir, "mode"))
	}
}
