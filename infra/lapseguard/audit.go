package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/infra/host"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

type auditCommand struct {
	Emails string        `required:"" type:"existingfile" placeholder:"FILE" help:"CSV with the header email,verified_at (verified_at optional), or a list of domains; - is standard input."`
	Format string        `enum:"table,json,csv,html" default:"table" help:"table, json (one object a domain), csv (a cell that a spreadsheet would take for a formula gets an apostrophe), or html (a page to open in a browser)."`
	Now    string        `help:"Judge as of this time (RFC 3339) instead of the present."`
	Park   time.Duration `hidden:"" default:"5s" help:"How long after a failure its upstream is asked again."`
	State  string        `help:"Folder for the state of an interrupted audit." default:".lapseguard/audit"`
	Keep   bool          `help:"Keep the state of the finished audit, for explain."`
	Log    bool          `help:"Write the guard's JSON log to standard error."`
	Exit   bool          `name:"exit-code" help:"Exit 4 when a domain is to be held or its addresses unverified: for CI."`

	columns
	upstreams
	in io.Reader // in the place of standard input
}

// upstreams are the environment's, under the functions' names.
type upstreams struct {
	Bootstrap string   `env:"LAPSEGUARD_RDAP_BOOTSTRAP" help:"RFC 9224 file or URL in the place of IANA's."`
	RDAPRate  float64  `env:"LAPSEGUARD_RDAP_RATE" default:"0.5" help:"RDAP questions a second to a server whose limit is not known; for the others the program has a list."`
	DNS       []string `name:"dns-servers" env:"LAPSEGUARD_DNS_SERVERS" help:"host:port list that answers in the place of every zone's own servers."`
	Resolver  string   `name:"dns-resolver" env:"LAPSEGUARD_DNS_RESOLVER" help:"Resolver that finds the zones' servers; default: the system's."`
	Own       string   `name:"own-servers" env:"LAPSEGUARD_OWN_SERVERS" enum:"on,off" default:"on" help:"Whether domains' own name servers are asked for their zones."`
	StatusURL string   `env:"LAPSEGUARD_STATUS_URL" default:"off" help:"Status API; off switches it off."`
	StatusAPI string   `env:"LAPSEGUARD_STATUS_API" enum:"fastly,domainr-v2" default:"fastly" help:"fastly or domainr-v2."`
	Token     string   `env:"LAPSEGUARD_STATUS_TOKEN" help:"Key of the status API."`
	Canaries  []string `env:"LAPSEGUARD_CANARIES" help:"Domains known to be registered, asked before an upstream's bad news counts."`
	Contact   string   `env:"LAPSEGUARD_CONTACT" help:"Whom upstreams may write to; goes into the User-Agent."`
}

// check refuses what could only fail, or wait for ever, later.
func (u upstreams) check() error {
	if !(u.RDAPRate > 0) { // NaN too
		return fmt.Errorf("--rdap-rate (LAPSEGUARD_RDAP_RATE) is %v: set questions a second and server, above 0", u.RDAPRate)
	}
	for _, server := range u.DNS {
		if _, port, err := net.SplitHostPort(server); err != nil || port == "" {
			return fmt.Errorf("--dns-servers (LAPSEGUARD_DNS_SERVERS) has %q: write host:port, such as 192.0.2.1:53", server)
		}
	}
	return nil
}

func (u upstreams) sources(log *slog.Logger, now func() time.Time) checker.Sources {
	return checker.Sources{
		Contact: u.Contact, Canaries: u.Canaries, Bootstrap: u.Bootstrap, RDAPRate: u.RDAPRate, DNSServers: u.DNS, Resolver: u.Resolver, OwnServers: u.Own, StatusURL: cmp.Or(u.StatusURL, checker.Off),
		StatusAPI: u.StatusAPI, StatusToken: func(context.Context, bool) (string, error) { return u.Token, nil }, Log: log, Now: now,
	}
}

// ahead is how many domains of the file are ordered by their addresses before the first is asked about.
const ahead = 100_000

// auditRounds is how often domains whose upstream failed are asked again.
const auditRounds = 3

func (c *auditCommand) logger(s streams) *slog.Logger {
	if c.Log {
		return telemetry.NewLogger(s.err, slog.LevelInfo)
	}
	return slog.New(slog.DiscardHandler)
}

// Run looks once at every domain.
func (c *auditCommand) Run(ctx context.Context, s streams) (err error) {
	began := time.Now()
	if err := c.check(); err != nil {
		return err
	}
	now, err := c.clock()
	if err != nil {
		return err
	}
	list, path, err := c.read()
	if err != nil {
		return err
	}
	log := c.logger(s)
	h, err := host.Open(ctx, host.Config{Path: path, Sources: c.sources(log, now), List: &fileList{hosts: list.hosts, now: now}, Park: c.Park, Ahead: ahead, Workers: 16, Log: log, Now: now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	fmt.Fprintf(s.err, "auditing %d addresses at %d hosts; state in %s until it is done\n", list.addresses, len(list.hosts), path)
	if n := list.doubt(now()); n > 0 {
		fmt.Fprintf(s.err, "at %d hosts a verification lies before 1970 or in the future; it counts as unknown\n", n)
	}
	list.remarks(s.err)
	plan, err := firstScan(ctx, h.Store, h.Checker.Servers, list.hosts, c.RDAPRate, now())
	if err != nil {
		return err
	}
	writePlan(s.err, plan, now())
	stop := progress(ctx, s.err, h.Counts, plan)
	err = c.look(ctx, h)
	stop()
	if err != nil {
		return err
	}
	rows, err := auditRows(ctx, h.Store, list.hosts, now())
	if err != nil {
		return err
	}
	if err := writeRows(s.out, report{format: c.Format, rows: rows, asOf: now()}); err != nil {
		return err
	}
	heard := c.remarks(s.err, rows)
	if heard == nil && c.Exit && slices.ContainsFunc(rows, func(r row) bool { return r.Action.Weight() >= lifecycle.Hold.Weight() }) {
		heard = errFound
	}
	summary(s.err, h.Counts, rows, time.Since(began))
	if c.Keep { // under another name: the next audit of the same file asks anew
		kept := strings.TrimSuffix(path, ".db") + "-kept.db"
		if err := os.Rename(path, kept); err != nil {
			return fmt.Errorf("keep the finished audit's state: %w", err)
		}
		path = kept
		fmt.Fprintf(s.err, "lapseguard explain DOMAIN --state %s\n", path)
		return heard
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the finished audit's state: %w", err)
	}
	return heard
}

// errHeardNobody fails an audit that a script would take for a clean one.
var errHeardNobody = errors.New("no upstream gave an answer that can be believed, so that nothing can be concluded: look at the network, and at LAPSEGUARD_DNS_SERVERS and LAPSEGUARD_RDAP_BOOTSTRAP")

// errFound is what --exit-code asks for: the audit went well, and found something.
var errFound = errors.New("domains are to be held, or their addresses unverified (--exit-code)")

// remarks says how the file was read, and what of it was not.
func (c *counted) remarks(w io.Writer) {
	if c.taken != "" {
		fmt.Fprintln(w, c.taken)
	}
	if c.unusable > 0 {
		fmt.Fprintf(w, "%d lines cannot be read as an address and are left out\n", c.unusable)
	}
	if c.untimed > 0 {
		fmt.Fprintf(w, "%d lines have a time that cannot be read; it counts as unknown\n", c.untimed)
	}
	for _, line := range c.shown {
		fmt.Fprintln(w, " ", line)
	}
	if rest := c.unusable + c.untimed - len(c.shown); rest > 0 {
		fmt.Fprintf(w, "  and %d more\n", rest)
	}
}

// clock is the present, or the time given, moving on as the audit does.
func (c *auditCommand) clock() (func() time.Time, error) {
	if c.Now == "" {
		return time.Now, nil
	}
	at, err := parseTime(c.Now)
	if err != nil || at.IsZero() {
		return nil, fmt.Errorf("--now %q is not a time: write 2026-03-01T12:00:00Z", c.Now)
	}
	began := time.Now()
	return func() time.Time { return at.Add(time.Since(began)) }, nil
}

// read reads the addresses and names the state after what the audit is about: another file, another audit.
func (c *auditCommand) read() (counted, string, error) {
	from, name := c.in, "standard input"
	if c.Emails != "-" {
		f, err := os.Open(c.Emails)
		if err != nil {
			return counted{}, "", fmt.Errorf("addresses: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		from, name = f, c.Emails
	} else if from == nil {
		from = os.Stdin
	}
	sum := sha256.New()
	all := io.TeeReader(from, sum)
	list, err := readAddresses(all, c.columns)
	if err == nil {
		_, err = io.Copy(io.Discard, all) // the sum is of the whole file
	}
	if err == nil && len(list.hosts) == 0 {
		err = errors.New("no line holds an address: there is nothing below the header")
		if list.unusable > 0 {
			err = fmt.Errorf("no line holds an address (%d lines cannot be read; %s)", list.unusable, strings.Join(list.shown, "; "))
		}
	}
	if err != nil {
		return counted{}, "", fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(sum, "%s %v %s %s %s %q", c.Now, c.DNS, c.Bootstrap, c.StatusURL, c.StatusAPI, c.columns)
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return counted{}, "", fmt.Errorf("state folder: %w", err)
	}
	return list, filepath.Join(c.State, hex.EncodeToString(sum.Sum(nil)[:8])+".db"), nil
}

// look asks about everything, and again about what an upstream could not answer at first.
func (c *auditCommand) look(ctx context.Context, h *host.Host) error {
	if err := h.Drain(ctx); err != nil { // what an interrupted audit left
		return err
	}
	if err := h.Day(ctx); err != nil {
		return err
	}
	for range auditRounds {
		items, _, err := h.Store.Query(ctx, records.Parked("", 1))
		if err != nil || len(items) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(c.Park):
		}
		if err := h.Applier.ResendParked(ctx); err != nil {
			return err
		}
		if err := h.Drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// auditRows gives one row a registrable domain, and one a host that has none.
func auditRows(ctx context.Context, s store.Store, hosts []registry.HostCount, at time.Time) ([]row, error) {
	silent, err := unanswered(ctx, s)
	if err != nil {
		return nil, err
	}
	byDomain := map[string][]string{}
	var rows []row
	for _, h := range hosts {
		name, reason := domain.Parse(h.Host)
		if reason != "" {
			rows = append(rows, row{Domain: h.Host, Hosts: []string{h.Host}, Addresses: h.Addresses, Phase: lifecycle.PhaseUnknown,
				Confidence: lifecycle.NoConfidence, Action: lifecycle.None, Reason: string(reason), Evidence: []said{}})
			continue
		}
		byDomain[name.Registrable] = append(byDomain[name.Registrable], h.Host)
	}
	for name, hosts := range byDomain {
		r, err := rowOf(ctx, s, name)
		if err != nil {
			return nil, err
		}
		r.Hosts = hosts
		for _, kind := range silent[name] {
			if !slices.ContainsFunc(r.Evidence, func(e said) bool { return e.Source == string(kind) }) {
				r.Evidence = append(r.Evidence, said{string(kind), at, "no answer yet: its upstream failed, refused or was too slow"})
			}
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, byRisk)
	return rows, nil
}

// unanswered tells which questions about a domain its upstreams did not answer to the end.
func unanswered(ctx context.Context, s store.Store) (map[string][]queue.Kind, error) {
	silent := map[string][]queue.Kind{}
	for it, err := range records.In(s).Items(ctx, records.Parked("", 200)) {
		var m queue.Message
		if err == nil {
			err = json.Unmarshal(it.Data, &m)
		}
		if err != nil {
			return nil, fmt.Errorf("read what was not answered: %w", err)
		}
		for _, e := range m.Domains {
			silent[e.Name] = append(silent[e.Name], m.Kind)
		}
	}
	return silent, nil
}

// remarks says what a reader of the report must know of the audit itself; the error is that it heard nobody.
func (c *auditCommand) remarks(w io.Writer, rows []row) error {
	if len(c.Canaries) == 0 && (c.Bootstrap != "" || len(c.DNS) > 0) {
		fmt.Fprintln(w, "Upstreams of your own are believed as they are: LAPSEGUARD_CANARIES names domains that are registered there, and has them asked first.")
	}
	asked := false
	for _, r := range rows {
		if r.heard {
			return nil
		}
		_, why := domain.Parse(r.Domain)
		asked = asked || why == "" // the others have nobody to ask
	}
	if asked {
		return errHeardNobody
	}
	return nil
}

// summary is the last line: what the audit found and what it cost.
func summary(w io.Writer, c *host.Counts, rows []row, took time.Duration) {
	by := map[lifecycle.Action]int{}
	for _, r := range rows {
		by[r.Action]++
	}
	var asked []string
	for upstream, n := range c.Upstreams() {
		asked = append(asked, fmt.Sprintf("%s %d", upstream, n))
	}
	slices.Sort(asked)
	if len(asked) == 0 {
		asked = []string{"none"}
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	fmt.Fprintf(w, "%d domains: %d unverify, %d hold, %d confirm, %d watch, %d none; took %s, memory %d MiB, questions: %s\n", len(rows), by[lifecycle.Unverify],
		by[lifecycle.Hold], by[lifecycle.Confirm], by[lifecycle.Watch], by[lifecycle.None], took.Round(time.Millisecond), mem.Sys>>20, strings.Join(asked, ", "))
}

// fileList is a CSV as a registry's list.
type fileList struct {
	hosts []registry.HostCount
	now   func() time.Time
}

// List implements fanout.Lister; a file has no history, so that every list is whole.
func (l *fileList) List(_ context.Context, after string, limit int, _ time.Time) (registry.Page, error) {
	i, found := slices.BinarySearchFunc(l.hosts, after, func(h registry.HostCount, a string) int { return strings.Compare(h.Host, a) })
	if found {
		i++
	}
	end := min(i+limit, len(l.hosts))
	p := registry.Page{Hosts: l.hosts[i:end], AsOf: l.now(), Complete: end == len(l.hosts)}
	if !p.Complete {
		p.Next = l.hosts[end-1].Host
	}
	return p, nil
}

// progress shows each second how far it is, with the time that the rest of the plan takes, until it is stopped.
func progress(ctx context.Context, w io.Writer, c *host.Counts, plan rdap.Plan) (stop func()) {
	done, finished := make(chan struct{}), make(chan struct{})
	line := liveOn(w)
	go func() {
		defer close(finished)
		defer line.clear()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				line.show(progressLine(c, plan))
			}
		}
	}()
	return func() { close(done); <-finished }
}

func progressLine(c *host.Counts, plan rdap.Plan) string {
	var parts []string
	for _, k := range []queue.Kind{queue.KindDelegation, queue.KindRDAP, queue.KindStatus, queue.KindMail, queue.KindServers} {
		sent, asked := c.Progress(k)
		switch {
		case sent == 0 && asked == 0:
		case asked > sent: // control names, or what an interrupted audit left: how much is to come is not known
			parts = append(parts, fmt.Sprintf("%s %d asked", k, asked))
		default:
			parts = append(parts, fmt.Sprintf("%s %d/%d", k, asked, sent))
		}
	}
	if left := timeLeft(plan, c.Asked(queue.KindRDAP)); left != "" {
		return strings.Join(parts, ", ") + "; " + left
	}
	return strings.Join(parts, ", ")
}

// timeLeft is how long the rest of the plan takes, after so many questions by base URL; empty: what is left is a wait for
// an upstream, or not known.
func timeLeft(plan rdap.Plan, asked map[string]int) string {
	left := plan.Without(asked).Takes().Round(time.Second)
	if left == 0 {
		return ""
	}
	return fmt.Sprintf("about %s left", left)
}
