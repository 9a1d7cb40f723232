// Command keycloak-adapter serves lapseguard's registry admin API in front of a Keycloak realm (serve), and puts the
// step into the realm that keeps quarantined accounts from being recovered by mail (guard).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/lapseguard/lapseguard/infra/keycloak"
	"github.com/lapseguard/lapseguard/shared/source/dns"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

type commands struct {
	URL   string `name:"url" env:"KEYCLOAK_URL" required:"" help:"Keycloak's base, such as https://id.example."`
	Realm string `env:"KEYCLOAK_REALM" required:"" help:"The realm whose accounts are protected."`

	Serve   serveCommand   `cmd:"" help:"Serve the registry admin API."`
	Release releaseCommand `cmd:"" help:"Let one account out of the quarantine, by its id: its recovery is open from then on. On the adapter's machine, over its journal."`
	Guard   guardCommand   `cmd:"" help:"The deny step in the realm's reset flow: install, remove, show; and the adapter's service account."`
}

// streams are where a command writes: its result to out, its log to err.
type streams struct{ out, err io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code (0 done, 1 failed, 2 wrong usage).
func run(ctx context.Context, args []string, s streams) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("keycloak-adapter"), kong.Writers(s.out, s.err), kong.Exit(func(code int) { exit = code }),
		kong.Description("lapseguard's registry admin API in front of Keycloak."), kong.UsageOnError())
	if err != nil {
		fmt.Fprintln(s.err, "keycloak-adapter:", err)
		return 2
	}
	cmd, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintln(s.err, "keycloak-adapter:", err)
		return 2
	}
	cmd.BindTo(ctx, (*context.Context)(nil))
	if err := cmd.Run(&c, s); err != nil {
		fmt.Fprintln(s.err, "keycloak-adapter:", err)
		return 1
	}
	return 0
}

type serveCommand struct {
	ClientID string        `env:"KEYCLOAK_CLIENT_ID" default:"lapseguard" help:"Service account of the realm."`
	Secret   string        `env:"KEYCLOAK_CLIENT_SECRET" required:"" help:"Its secret; better in the environment than on the command line."`
	Token    string        `env:"LAPSEGUARD_REGISTRY_TOKEN" required:"" help:"Bearer token that the guard must show, 16 characters or more."`
	Listen   string        `default:"127.0.0.1:8321" help:"Address to serve on."`
	Cert     string        `help:"File of a TLS certificate chain; without it, a proxy in front must do TLS."`
	Key      string        `help:"File of its key."`
	Journal  string        `default:"keycloak-adapter.db" help:"File of keys and marks. Keep it, and back it up: without it nothing can be restored."`
	Fresh    time.Duration `default:"1h" help:"Count all accounts anew when the counts are older."`
	Sweep    time.Duration `default:"10m" help:"Look at the quarantined this often."`
	Contact  string        `help:"Whom RDAP servers may write to, for the few questions about domains that may be back."`
	RDAP     string        `name:"rdap-bootstrap" env:"LAPSEGUARD_RDAP_BOOTSTRAP" help:"File or URL in the form of RFC 9224 in the place of IANA's."`
	DNS      []string      `name:"dns-servers" env:"LAPSEGUARD_DNS_SERVERS" help:"host:port list that answers in the place of every zone's servers."`
}

// Run serves until the process is told to end.
func (c *serveCommand) Run(ctx context.Context, all *commands, s streams) (err error) {
	log := telemetry.NewLogger(s.err, slog.LevelInfo)
	admin, err := keycloak.NewAdmin(keycloak.AdminConfig{URL: all.URL, Realm: all.Realm, ClientID: c.ClientID, Secret: c.Secret, Now: time.Now})
	if err != nil {
		return err
	}
	witnesses, closeDNS, err := c.witnesses(log)
	if err != nil {
		return err
	}
	defer closeDNS()
	adapter, err := keycloak.Open(keycloak.Config{Admin: admin, Path: c.Journal, Token: c.Token, Standing: witnesses.Standing, Delegated: witnesses.Delegated, Fresh: c.Fresh, Sweep: c.Sweep, Now: time.Now, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, adapter.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var background sync.WaitGroup
	background.Go(func() { adapter.Run(ctx) })
	defer background.Wait()
	defer cancel()
	return c.serve(ctx, adapter, log)
}

func (c *serveCommand) serve(ctx context.Context, adapter *keycloak.Server, log *slog.Logger) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	web := &http.Server{Handler: adapter.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	stopped := context.AfterFunc(ctx, func() {
		last, done := context.WithTimeout(context.WithoutCancel(ctx), keycloak.DefaultPatience+5*time.Second)
		defer done()
		_ = web.Shutdown(last) // what is under way is in the journal
	})
	defer stopped()
	log.Info("serving", "address", l.Addr().String(), "tls", c.Cert != "")
	if c.Cert != "" {
		err = web.ServeTLS(l, c.Cert, c.Key)
	} else {
		err = web.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

func (c *serveCommand) witnesses(log *slog.Logger) (keycloak.Witnesses, func(), error) {
	r, err := rdap.New(rdap.Config{Bootstrap: c.RDAP, UserAgent: telemetry.UserAgent(c.Contact), Now: time.Now, Log: log})
	if err != nil {
		return keycloak.Witnesses{}, nil, fmt.Errorf("RDAP: %w", err)
	}
	d, err := dns.New(dns.Config{Servers: c.DNS, Now: time.Now, Log: log})
	if err != nil {
		return keycloak.Witnesses{}, nil, fmt.Errorf("DNS: %w", err)
	}
	return keycloak.Witnesses{Registration: r.Lookup, Delegation: d.Delegation}, d.Close, nil
}

type releaseCommand struct {
	Account  string `arg:"" help:"The account's id in Keycloak (not its name or address)."`
	ClientID string `env:"KEYCLOAK_CLIENT_ID" default:"lapseguard" help:"Service account of the realm."`
	Secret   string `env:"KEYCLOAK_CLIENT_SECRET" required:"" help:"Its secret; better in the environment than on the command line."`
	Journal  string `default:"keycloak-adapter.db" type:"existingfile" help:"The adapter's file of keys and marks; the adapter may be running."`
}

// Run lets the account out, and says so.
func (c *releaseCommand) Run(ctx context.Context, all *commands, s streams) (err error) {
	admin, err := keycloak.NewAdmin(keycloak.AdminConfig{URL: all.URL, Realm: all.Realm, ClientID: c.ClientID, Secret: c.Secret, Now: time.Now})
	if err != nil {
		return err
	}
	adapter, err := keycloak.Open(keycloak.Config{Admin: admin, Path: c.Journal, Token: "release-serves-nothing", Now: time.Now, Log: telemetry.NewLogger(s.err, slog.LevelInfo)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, adapter.Close()) }()
	if err := adapter.Release(ctx, c.Account); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "released: recovery through its address is open, and the address stays unverified until its holder verifies it")
	return nil
}

type guardCommand struct {
	Install guardInstall `cmd:"" help:"Make the quarantine group, and put the deny step behind the mails that recover an account. Run twice, nothing more changes."`
	Remove  guardRemove  `cmd:"" help:"Bind the flows again that were bound before, and delete the copies."`
	Show    guardShow    `cmd:"" help:"Say whether recovery is closed to the quarantined; exit 1 when it is open."`
	Client  guardClient  `cmd:"" help:"Make the adapter's service account with the roles that it needs, and print its secret."`
}

// administrator signs in as one. The password is used once, and lies nowhere.
type administrator struct {
	User     string `env:"KEYCLOAK_ADMIN_USER" default:"admin" help:"An administrator."`
	Password string `env:"KEYCLOAK_ADMIN_PASSWORD" required:"" help:"The password; better in the environment than on the command line."`
	From     string `name:"admin-realm" default:"master" help:"The realm that the administrator is of."`
}

func (a administrator) guard(all *commands, s streams) (*keycloak.Guard, *int, error) {
	admin, err := keycloak.NewAdmin(keycloak.AdminConfig{URL: all.URL, Realm: all.Realm, TokenRealm: a.From, Username: a.User, Password: a.Password, Now: time.Now})
	if err != nil {
		return nil, nil, err
	}
	changes := 0
	return &keycloak.Guard{Admin: admin, Say: func(change string) { changes++; fmt.Fprintln(s.out, change) },
		Warn: func(what string) { fmt.Fprintln(s.out, "note:", what) }}, &changes, nil
}

type guardInstall struct{ administrator }

// Run installs the deny step and says what changed.
func (c *guardInstall) Run(ctx context.Context, all *commands, s streams) error {
	g, changes, err := c.guard(all, s)
	if err != nil {
		return err
	}
	if err := g.Install(ctx); err != nil {
		return err
	}
	if *changes == 0 {
		fmt.Fprintln(s.out, "nothing to change")
	}
	if err := show(ctx, g, s); err != nil {
		return err
	}
	fmt.Fprintln(s.out, keycloak.StaysOpen())
	return nil
}

type guardRemove struct{ administrator }

// Run takes the deny step out.
func (c *guardRemove) Run(ctx context.Context, all *commands, s streams) error {
	g, changes, err := c.guard(all, s)
	if err != nil {
		return err
	}
	if err := g.Remove(ctx); err != nil {
		return err
	}
	if *changes == 0 {
		fmt.Fprintln(s.out, "nothing to change")
	}
	fmt.Fprintln(s.out, "The required action UPDATE_EMAIL, the accounts' attribute and the realm's keys named lapseguard stay: sessions depend on the keys.")
	return nil
}

type guardShow struct{ administrator }

// Run says what is open.
func (c *guardShow) Run(ctx context.Context, all *commands, s streams) error {
	g, _, err := c.guard(all, s)
	if err != nil {
		return err
	}
	return show(ctx, g, s)
}

func show(ctx context.Context, g *keycloak.Guard, s streams) error {
	open, err := g.Show(ctx)
	if err != nil {
		return err
	}
	if open != "" {
		return fmt.Errorf("recovery is open: %s", open)
	}
	fmt.Fprintln(s.out, "recovery by mail is closed to the members of", keycloak.Group)
	return nil
}

type guardClient struct {
	administrator
	ID string `name:"client" default:"lapseguard" help:"The client's id."`
}

// Run makes the service account.
func (c *guardClient) Run(ctx context.Context, all *commands, s streams) error {
	g, _, err := c.guard(all, streams{out: s.err, err: s.err})
	if err != nil {
		return err
	}
	secret, err := g.EnsureClient(ctx, c.ID)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, secret)
	return nil
}
