package keycloak

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/infra/host"
	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source/dns"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
)

// The realm's domains. What becomes of them is in world.
const (
	lapsed  = "lapsed-makers.com"
	renewed = "renewed-tools.com"
	third   = "third-works.net" // lapses when the deny step was taken out
	safe    = "alder-tools.com"
)

// accounts are 30 users on 15 domains, by name.
func accounts() map[string]string {
	at := map[string]string{
		"victim": lapsed, "mover": lapsed, "fallen": lapsed, "linked": lapsed, "later": lapsed, "careless": "mail." + lapsed,
		"alike": "not" + lapsed, "renewer": renewed, "neighbour": renewed, "stolen": renewed, "taken": third, "fourth": third,
		"reh1": "rehearsal.org", "reh2": "rehearsal.org", "reh3": "mail.rehearsal.org", "reh4": "notrehearsal.org",
	}
	for i, d := range []string{safe, "birch-soft.com", "cedar-code.com", "dogwood-lab.com", "elm-works.com", "fir-systems.com", "gum-data.net", "hazel-net.net", "ivy-cloud.net"} {
		at[fmt.Sprintf("quiet%da", i)], at[fmt.Sprintf("quiet%db", i)] = d, d
	}
	return at
}

// world is an internet in which three of the domains lapse. It starts at the first day.
func world(start time.Time) sim.World {
	w := sim.World{Start: start, TLDs: map[string]sim.TLD{"com": {RDAP: sim.Listed}, "net": {RDAP: sim.Listed}, "org": {RDAP: sim.Listed}}}
	alive := sim.Step{From: -5000 * 24 * time.Hour, Delegation: sim.Delegation{NS: []string{"ns1.hoster.example", "ns2.hoster.example"}},
		RDAP: sim.RDAP{Answer: sim.Object, Registration: sim.Registration{Statuses: []string{"active"}, Registered: start.AddDate(-6, 0, 0), Expires: start.AddDate(0, 11, 0), Registrar: "292"}}}
	deleted := func(from time.Duration) sim.Step {
		return sim.Step{From: from, Delegation: sim.Delegation{Answer: sim.Gone}, RDAP: sim.RDAP{Registration: sim.Registration{Statuses: []string{"redemption period"}}}}
	}
	back := alive
	back.From = 60 * time.Hour
	pending := deleted(84 * time.Hour)
	pending.RDAP.Registration.Statuses = []string{"pending delete"}
	history := map[string][]sim.Step{lapsed: {alive, deleted(12 * time.Hour), pending}, renewed: {alive, deleted(12 * time.Hour), back}, third: {alive, deleted(110 * time.Hour)}}
	names := map[string]bool{"canary.com": true, "canary.net": true, "canary.org": true}
	for _, host := range accounts() {
		names[strings.TrimPrefix(host, "mail.")] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		steps := history[name]
		if steps == nil {
			steps = []sim.Step{alive}
		}
		w.Domains = append(w.Domains, sim.Domain{Name: name, Steps: steps})
	}
	return w
}

// stage is a Keycloak with its adapter, attacked; and the guard over a simulated internet.
type stage struct {
	*running
	t       *testing.T
	mail    *sink
	realm   *Admin // the administrator's
	guard   *Guard
	changes []string // what the guard said
	adapter *Server
	url     string // the adapter's
	log     *logs  // the guard's
	now     atomic.Int64
	ahead   atomic.Bool // the adapter's clock is the guard's, else Keycloak's
	net     *sim.Internet
	host    *host.Host
	cut     time.Time // verified_before of the first lapse
	early   string    // a reset link of before the lapse
	dir     string
	whole   context.Context //nolint:containedctx // of the whole test: its steps have shorter ones
	last    []func()        // at the end, in reverse
}

func (s *stage) clock() time.Time { return time.Unix(0, s.now.Load()).UTC() }

func (s *stage) adapterClock() time.Time {
	if s.ahead.Load() {
		return s.clock()
	}
	return time.Now()
}

// count makes the adapter's list anew.
func (s *stage) count(t *testing.T) Count {
	t.Helper()
	c, err := s.adapter.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *stage) address(name string) string { return name + "@" + accounts()[name] }

// user reads an account as the administrator sees it.
func (s *stage) user(name string) (account, bool) {
	s.t.Helper()
	list, err := s.realm.accounts(s.t.Context(), accountQuery{max: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, u := range list {
		if u.Email != "" && strings.HasPrefix(u.Email, name+"@") || name == "mover" && strings.HasPrefix(u.Email, "moved@") {
			full, err := s.realm.account(s.t.Context(), u.ID)
			g, err2 := s.realm.group(s.t.Context())
			if err != nil || err2 != nil {
				s.t.Fatal(err, err2)
			}
			in, err := s.realm.member(s.t.Context(), u.ID, g.ID)
			if err != nil {
				s.t.Fatal(err)
			}
			return full, in
		}
	}
	s.t.Fatalf("no user %s", name)
	return account{}, false
}

func (s *stage) wantUser(name string, verified, quarantined bool, actions ...string) {
	s.t.Helper()
	u, in := s.user(name)
	if u.Verified != verified || in != quarantined || !slices.Equal(u.Actions, actions) && len(u.Actions)+len(actions) > 0 {
		s.t.Fatalf("%s: verified %t, in quarantine %t, asked for %v; want %t, %t, %v", name, u.Verified, in, u.Actions, verified, quarantined, actions)
	}
}

// verify lets a holder sign in and follow the link, in the same browser.
func (s *stage) verify(name string) {
	s.t.Helper()
	n := s.mail.count(s.address(name))
	b := s.browser(s.t)
	b.signIn(name, password(name))
	b.want("You need to verify your email address")
	b.follow(s.mail.link(s.t, s.address(name), n+1))
	if !b.signedIn() {
		s.t.Fatalf("%s is not signed in: %s", name, b.text())
	}
}

// attack is the mailbox's new owner: a reset, its link, a password, a sign-in.
func (s *stage) attack(name string) (won bool) {
	s.t.Helper()
	n := s.mail.count(s.address(name))
	b := s.browser(s.t)
	b.forgot(s.address(name))
	link := s.mail.link(s.t, s.address(name), n+1)
	if !s.browser(s.t).setPassword(link, "the-attacker's") {
		b := s.browser(s.t)
		b.signIn(name, "the-attacker's")
		b.want("Invalid username or password")
		return false
	}
	in := s.browser(s.t)
	in.signIn(name, "the-attacker's")
	return strings.Contains(in.text(), "You need to update your email") || in.signedIn()
}

func TestRealKeycloak(t *testing.T) {
	s := &stage{t: t, running: start(t), mail: newSink(t), log: &logs{}, dir: t.TempDir(), whole: t.Context()}
	t.Cleanup(func() {
		for _, end := range slices.Backward(s.last) {
			end()
		}
	})
	for _, step := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"a realm of 30 accounts on 15 domains", s.setUp},
		{"before the guard's run the attack wins", s.before},
		{"the guard, run twice, changes nothing more", s.installTwice},
		{"the fake is like it", func(t *testing.T) { likeKeycloak(t, s.adapter.cfg.Admin, addReal(t, s.realm)) }},
		{"the adapter keeps the contract", s.contract},
		{"a first day without lapses", s.firstDay},
		{"Keycloak stands still: the guard's work stays pending", s.standstill},
		{"a missing role: the guard's work stays pending", s.missingRole},
		{"the lapse closes recovery", s.lapse},
		{"the attack fails", s.after},
		{"Keycloak's own events say who changed what", s.adminEvents},
		{"a first login by an identity provider is found open, and closed by the guard", s.broker},
		{"a link followed by whoever reads the mail opens nothing", s.careless},
		{"the holder moves to another address", s.move},
		{"the holder of a renewed domain verifies again", s.renew},
		{"a thief who had reset before is not let out", s.fallen},
		{"proof of the loss unverifies", s.lost},
		{"a restore leaves it closed, and the operator opens it", s.restore},
		{"without the deny step the answer is open, and the operator hears of it", s.negative},
		{"with the deny step back it is closed", s.retry},
	} {
		if !t.Run(step.name, func(t *testing.T) { s.t = t; step.do(t) }) {
			t.FailNow()
		}
	}
	s.t = t
}

func (s *stage) setUp(t *testing.T) {
	var users []map[string]any
	early := []string{"mover", "renewer", "reh3"}
	for name, host := range accounts() {
		u := newUser(name, host, !slices.Contains(early, name) && name != "later")
		u["realmRoles"] = []string{"default-roles-" + realmName} // without which nobody may use the account console
		users = append(users, u)
	}
	s.makeRealm(t, map[string]any{"realm": realmName, "users": users, "resetPasswordAllowed": true, "verifyEmail": true, "loginWithEmailAllowed": true,
		"eventsEnabled": true, "adminEventsEnabled": true, "adminEventsDetailsEnabled": true,
		"smtpServer": map[string]string{"host": "127.0.0.1", "port": s.mail.port(), "from": "keycloak@id.example"}})
	s.realm = s.admin(t)
	domains := map[string]bool{}
	for _, h := range accounts() {
		domains[strings.TrimPrefix(h, "mail.")] = true
	}
	if len(users) < 30 || len(domains) < 15 {
		t.Fatal(len(users), len(domains))
	}
	for _, name := range early {
		s.verify(name)
	}
	s.cut = time.Now().UTC().Truncate(time.Second).Add(time.Second) // the guard counts whole seconds
	<-time.After(time.Until(s.cut))
	s.verify("later") // after the lapse will have been seen, by the guard's clock
}

func (s *stage) before(*testing.T) {
	if !s.attack("fallen") || !s.attack("stolen") {
		s.t.Fatal("the attack fails anyway: what follows would prove nothing")
	}
}

func (s *stage) installTwice(t *testing.T) {
	s.guard = &Guard{Admin: s.realm, Say: func(c string) { s.changes = append(s.changes, c) }}
	if open, err := s.guard.Show(t.Context()); err != nil || open == "" {
		t.Fatal(open, err)
	}
	for i, want := range []int{6, 0, 6, 0} { // group, action, attribute, copy, sub-flow, binding; action and attribute stay
		s.changes = nil
		if err := s.guard.Install(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			want -= 2
		}
		if len(s.changes) != want {
			t.Errorf("round %d: %q, want %d changes", i, s.changes, want)
		}
		if open, err := s.guard.Show(t.Context()); err != nil || open != "" {
			t.Fatal(open, err)
		}
		if i != 1 {
			continue
		}
		if err := s.guard.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := s.realm.realm(t.Context()); err != nil || r.ResetFlow != "reset credentials" {
			t.Fatal(r, err)
		}
	}
	secret, err := s.guard.EnsureClient(t.Context(), "lapseguard")
	if err != nil {
		t.Fatal(err)
	}
	said := len(s.changes)
	if again, err := s.guard.EnsureClient(t.Context(), "lapseguard"); err != nil || again != secret || len(s.changes) != said {
		t.Fatal(s.changes, err)
	}
	s.openAdapter(t, secret)
}

// openAdapter starts the adapter, the simulated internet and the guard, which live as long as the whole test.
func (s *stage) openAdapter(t *testing.T, secret string) {
	whole := s.whole
	s.now.Store(s.cut.Add(5*time.Minute - 24*time.Hour).UnixNano())
	var err error
	if s.net, err = sim.New(world(s.clock()), sim.Config{Now: s.clock, Silence: 40 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := s.net.Start(whole); err != nil {
		t.Fatal(err)
	}
	r, err := rdap.New(rdap.Config{Bootstrap: s.net.BootstrapURL(), Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dns.New(dns.Config{Servers: []string{s.net.DNSAddr()}, Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := NewAdmin(AdminConfig{URL: s.running.url, Realm: realmName, ClientID: "lapseguard", Secret: secret, Timeout: 3 * time.Second, Page: 2, Now: time.Now}) // so that even here there are many pages
	if err != nil {
		t.Fatal(err)
	}
	s.adapter, err = Open(Config{Admin: admin, Path: filepath.Join(s.dir, "adapter.db"), Token: guardToken, Now: s.adapterClock, Log: slog.New(slog.NewJSONHandler(s.log, nil)),
		Standing: Witnesses{Registration: r.Lookup, Delegation: d.Delegation}.Standing, Delegated: Witnesses{Delegation: d.Delegation}.Delegated})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.adapter.Handler())
	s.url = web.URL
	s.last = append(s.last, d.Close, web.Close, func() { _ = s.adapter.Close() })
}

func (s *stage) contract(t *testing.T) {
	if c, err := s.adapter.Count(t.Context()); err != nil || c.Addresses != len(accounts()) || c.Unknown != len(accounts())-4 { // four verified by a link, which left events
		t.Fatalf("%+v %v", c, err)
	}
	s.resetLinks(t, linksLast) // else the walk waits five minutes for each that is out
	defer s.resetLinks(t, 5*time.Minute)
	ahead := func() time.Time { return time.Now().Add(3 * time.Minute) } // so that the accounts' passwords are older than the gap
	conforms(t, s.url, "rehearsal.org", s.hooks(t), ahead, func() {
		if _, err := s.adapter.Count(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"reh1", "reh2", "reh3", "reh4"} {
		s.wantUser(name, true, false)
	}
}

func (s *stage) firstDay(t *testing.T) {
	if _, err := s.adapter.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, err := registry.New(registry.Config{URL: s.url, Token: func(context.Context, bool) (string, error) { return guardToken, nil }, Timeout: 25 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(s.log, nil))
	s.host, err = host.Open(s.whole, host.Config{Path: filepath.Join(s.dir, "guard.db"), List: client, Registry: client, Mode: applier.Enforce, Workers: 4, Log: log, Now: s.clock,
		Limits: safety.Limits{Count: 30, Share: safety.MaxShare},
		Sources: checker.Sources{Contact: "test", Bootstrap: s.net.BootstrapURL(), Canaries: []string{"canary.com", "canary.net", "canary.org"}, RDAPRate: 1e6,
			DNSServers: []string{s.net.DNSAddr()}, DNSTimeout: time.Second, RDAPTimeout: time.Second, StatusURL: checker.Off, Log: log, Now: s.clock}})
	if err != nil {
		t.Fatal(err)
	}
	s.last = append(s.last, func() { _ = s.host.Close() })
	s.day(t)
	if r := s.tick(t); r.Acted != 0 {
		t.Fatalf("%+v", r)
	}
}

func (s *stage) day(t *testing.T) {
	t.Helper()
	if err := s.host.Day(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) tick(t *testing.T) applier.Result {
	t.Helper()
	r, err := s.host.Tick(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *stage) sweep(t *testing.T) {
	t.Helper()
	if err := s.adapter.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// pass lets the guard's time pass.
func (s *stage) pass(d time.Duration) { s.now.Add(int64(d)) }

func (s *stage) standstill(t *testing.T) {
	s.early = s.resetMail("victim")
	s.pass(24 * time.Hour)
	s.day(t)
	s.running.stop()
	r := s.tick(t)
	s.running.goOn()
	if r.Acted != 0 {
		t.Fatalf("%+v", r)
	}
	s.wantUser("victim", true, false)
}

func (s *stage) missingRole(t *testing.T) {
	take, give := s.guard.roleMapping(t, "view-events")
	take()
	s.adapter.cfg.Admin.forget()
	s.pass(15 * time.Minute)
	r := s.tick(t)
	give()
	s.adapter.cfg.Admin.forget()
	if r.Acted != 0 || !strings.Contains(s.log.String(), "lacks a role") {
		t.Fatalf("%+v", r)
	}
	s.wantUser("victim", true, false)
}

func (s *stage) lapse(t *testing.T) {
	for range 8 { // the guard waits between tries
		s.pass(15 * time.Minute)
		s.tick(t)
	}
	log := s.log.String()
	for _, domain := range []string{lapsed, renewed} {
		if !strings.Contains(log, `"msg":"closed","domain":"`+domain+`"`) {
			t.Fatalf("%s was not closed\n%s", domain, log)
		}
	}
	for name := range accounts() { // no flag and no required action is touched
		switch name {
		case "victim", "mover", "fallen", "linked", "careless", "later", "renewer", "neighbour", "stolen":
			s.wantUser(name, true, true)
		default:
			s.wantUser(name, true, false)
		}
	}
	if !strings.Contains(log, `"recovery":"closed"`) || strings.Contains(log, `"recovery":"open"`) {
		t.Error("an answer does not say closed")
	}
	if fallen, _ := s.user("fallen"); !strings.Contains(log, `"msg":"account_reset_by_mail","domain":"`+lapsed+`","account":"`+fallen.ID) {
		t.Error("the account that was taken before is not reported")
	}
}

func (s *stage) after(t *testing.T) {
	for _, name := range []string{"victim", "careless", "renewer", "later"} {
		if s.attack(name) {
			t.Fatalf("%s was taken over", name)
		}
	}
	if s.browser(t).setPassword(s.early, "the-attacker's") {
		t.Fatal("a link of before still works")
	}
	known, unknown := s.browser(t).forgot(s.address("victim")), s.browser(t).forgot("nobody@"+lapsed)
	if known != unknown || !strings.Contains(known, "You should receive an email shortly") {
		t.Fatalf("the answers tell accounts apart:\n%s\n%s", known, unknown)
	}
	b := s.browser(t)
	b.signIn("victim", password("victim"))
	if !b.signedIn() || !b.holds() {
		t.Fatalf("the holder does not get in: %s", b.text())
	}
	told, _ := b.account(nil) // and is told
	words := strings.Join(told.Attributes[noticeName], " ")
	if !strings.Contains(words, "at "+lapsed) || !strings.Contains(words, "Seen: ") || strings.Contains(words, "@") {
		t.Fatalf("the account console says %q", words)
	}
	if !slices.Contains(told.Metadata.Attributes, shownAs{Name: noticeName, ReadOnly: true}) {
		t.Fatal("it is not shown as read-only")
	}
	for written, want := range map[string]int{words: http.StatusNoContent, "nothing": http.StatusBadRequest} { // the rest stays the holder's to change
		now, status := b.account(map[string]any{"username": "victim", "email": s.address("victim"), "firstName": "Vic", "lastName": "Tester", "attributes": map[string]any{noticeName: []string{written}}})
		if status != want || strings.Join(now.Attributes[noticeName], " ") != words {
			t.Fatalf("the console's write of %q is answered %d, and it says %q", written, status, now.Attributes[noticeName])
		}
	}
}

// resetMail asks for a reset, and gives the link.
func (s *stage) resetMail(name string) string {
	s.t.Helper()
	n := s.mail.count(s.address(name))
	s.browser(s.t).forgot(s.address(name))
	return s.mail.link(s.t, s.address(name), n+1)
}

func (s *stage) adminEvents(t *testing.T) {
	var events []struct {
		Operation string `json:"operationType"`
		Type      string `json:"resourceType"`
		Path      string `json:"resourcePath"`
		By        struct {
			User string `json:"userId"`
		} `json:"authDetails"`
	}
	err := s.realm.do(t.Context(), call{doing: "read admin events", method: http.MethodGet, path: "/admin-events", query: url.Values{"max": {"1000"}}, out: &events})
	if err != nil {
		t.Fatal(err)
	}
	client, err := s.guard.client(t.Context(), "lapseguard")
	if err != nil {
		t.Fatal(err)
	}
	var me account
	if err := s.realm.do(t.Context(), call{doing: "read the service account", method: http.MethodGet, path: "/clients/" + client + "/service-account-user", out: &me}); err != nil {
		t.Fatal(err)
	}
	victim, _ := s.user("victim")
	later, _ := s.user("later")
	did := map[string]int{}
	for _, e := range events {
		if e.By.User == me.ID && (strings.Contains(e.Path, victim.ID) || strings.Contains(e.Path, later.ID)) {
			did[e.Operation+" "+e.Type+" "+map[bool]string{true: "victim", false: "later"}[strings.Contains(e.Path, victim.ID)]]++
		}
	}
	want := map[string]int{"CREATE GROUP_MEMBERSHIP victim": 1, "CREATE GROUP_MEMBERSHIP later": 1, "UPDATE USER victim": 1, "UPDATE USER later": 1} // the holder is told
	if !maps.Equal(did, want) {
		t.Fatalf("the adapter did %v, want %v", did, want)
	}
}

// linksLast is long enough to follow a link, and short enough to wait for its end.
const linksLast = 10 * time.Second

// resetLinks sets how long the link of a reset mail can be followed.
func (s *stage) resetLinks(t *testing.T, last time.Duration) {
	t.Helper()
	err := s.realm.do(t.Context(), call{doing: "set the life of links", method: http.MethodPut, in: map[string]any{"actionTokenGeneratedByUserLifespan": int(last.Seconds())}})
	if err != nil {
		t.Fatal(err)
	}
}

// hooks are the site's hooks of the conformance walk, before a real Keycloak.
func (s *stage) hooks(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	hook := func(path string, do func(in map[string]string) any) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			var in map[string]string
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			_ = json.NewEncoder(w).Encode(do(in))
		})
	}
	hook("/ask", func(in map[string]string) any {
		if in["account"] == "nobody" {
			return map[string]string{"answer": s.browser(t).forgot("nobody@rehearsal.org")}
		}
		n := s.mail.count(s.address("reh1"))
		answer := s.browser(t).forgot(s.address("reh1"))
		link := s.mail.link(t, s.address("reh1"), n+1)
		if b := s.browser(t); !b.opens(link) { // Keycloak mails it all the same, and refuses it
			link = ""
		}
		return map[string]string{"answer": answer, "link": link}
	})
	hook("/follow", func(in map[string]string) any { return map[string]bool{"followed": s.browser(t).opens(in["link"])} })
	hook("/verify", func(map[string]string) any {
		s.sweep(t) // offers
		b := s.verifySame(t, "reh1", password("reh1"))
		b.signIn("reh1", password("reh1"))
		<-time.After(linksLast) // Keycloak's clock: the mails that the walk asked for
		s.sweep(t)
		u, in := s.user("reh1")
		return map[string]bool{"verified": u.Verified && !in}
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL
}

// verifySame signs in, gives the same address when asked for one, and follows the link in the same browser.
func (s *stage) verifySame(t *testing.T, name, password string) *browser {
	t.Helper()
	address := s.address(name)
	n := s.mail.count(address)
	b := s.browser(t)
	b.signIn(name, password)
	b.want("You need to update your email address")
	b.submit("kc-update-email-form", url.Values{"email": {address}})
	b.want("A confirmation email has been sent")
	b.follow(s.mail.link(t, address, n+1))
	b.want("Email updated")
	return b
}

func (s *stage) careless(t *testing.T) {
	u, _ := s.user("careless")
	n := s.mail.count(s.address("careless"))
	err := s.realm.do(t.Context(), call{doing: "mail", method: http.MethodPut, path: "/users/" + u.ID + "/send-verify-email", in: struct{}{}})
	if err != nil {
		t.Fatal(err)
	}
	attacker := s.browser(t)
	attacker.follow(s.mail.link(t, s.address("careless"), n+1))
	if strings.Contains(attacker.page, "<form") || attacker.holds() {
		t.Fatal("a mail opens something")
	}
	if s.attack("careless") {
		t.Fatal("careless was taken over")
	}
	s.sweep(t)
	s.wantUser("careless", true, true)
}

func (s *stage) move(t *testing.T) {
	const to = "moved@" + safe
	b := s.browser(t)
	b.signIn("mover", password("mover"))
	b.action(actionUpdate)
	b.submit("kc-update-email-form", url.Values{"email": {to}})
	s.wantUser("mover", true, true)
	b.follow(s.mail.link(t, to, 1))
	s.sweep(t)
	s.wantUser("mover", true, false)
	s.browser(t).forgot(to)
	if !s.browser(t).setPassword(s.mail.link(t, to, 2), "second-of-mover") {
		t.Fatal("the holder cannot recover by the new address")
	}
}

func (s *stage) renew(t *testing.T) {
	s.pass(48 * time.Hour)
	s.adapter.forgetAsked()
	s.sweep(t)
	s.wantUser("renewer", false, true, actionUpdate) // offered, as the domain is back under its old registration
	b := s.verifySame(t, "renewer", password("renewer"))
	b.signIn("renewer", password("renewer"))
	s.sweep(t)
	s.wantUser("renewer", true, true) // a link of the attack could still be followed
	s.resetLinks(t, time.Second)      // as minutes later
	s.sweep(t)
	s.resetLinks(t, 5*time.Minute)
	s.wantUser("renewer", true, false)
	if !s.browser(t).setPassword(s.resetMail("renewer"), "second-of-renewer") {
		t.Fatal("the holder cannot recover again")
	}
	s.wantUser("neighbour", false, true, actionUpdate)
	if s.attack("neighbour") {
		t.Fatal("the holder's neighbour at the same domain was taken over")
	}
	s.verifySame(t, "stolen", "the-attacker's") // who had reset it before, and reads its mail
	s.sweep(t)
	s.wantUser("stolen", false, true, actionUpdate)
}

// forgetAsked lets the next sweep ask anew, as hours later.
func (s *Server) forgetAsked() {
	s.askedMu.Lock()
	defer s.askedMu.Unlock()
	clear(s.asked)
}

// fallen was reset by mail before the closing: what its thief does in a session of their own proves nothing.
func (s *stage) fallen(t *testing.T) {
	const to = "thief@" + safe
	b := s.browser(t)
	b.signIn("fallen", "the-attacker's")
	b.action(actionUpdate)
	b.submit("kc-update-email-form", url.Values{"email": {to}})
	b.follow(s.mail.link(t, to, 1))
	s.sweep(t)
	id, in := s.user("thief")
	if !in {
		t.Fatal("the thief is let out")
	}
	s.ahead.Store(true) // from here on the adapter's clock is days ahead, as the guard's
	s.sweep(t)
	if back, in := s.user("fallen"); back.ID != id.ID || !in || b.holds() || !strings.Contains(s.log.String(), "change_of_address_undone") {
		t.Fatal("the thief's change of address is not undone", in)
	}
}

func (s *stage) lost(t *testing.T) {
	s.pass(24 * time.Hour)
	s.count(t)
	s.day(t)
	for range 8 {
		s.pass(15 * time.Minute)
		s.tick(t)
	}
	if log := s.log.String(); !strings.Contains(log, `"msg":"unverified","domain":"`+lapsed+`"`) {
		t.Fatal("not unverified\n" + log)
	}
	s.wantUser("victim", true, true)                       // without the flag this realm would hold the holder at sign-in
	if c := s.count(t); c.Addresses != len(accounts())-4 { // later and mover have verified since
		t.Fatalf("%+v", c)
	}
	if s.attack("victim") {
		t.Fatal("victim was taken over")
	}
}

func (s *stage) restore(t *testing.T) {
	if _, err := s.host.Applier.Handle(t.Context(), applier.Event{Action: "restore", Domain: lapsed, By: "test"}); err != nil {
		t.Fatal(err)
	}
	s.wantUser("victim", true, true)
	r, err := s.host.Applier.Handle(t.Context(), applier.Event{Action: "open", Domain: lapsed, By: "test", Why: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.tick(t)
	s.wantUser("victim", true, false)
	if !s.browser(t).setPassword(s.resetMail("victim"), "second-of-victim") {
		t.Fatalf("recovery is still closed: %+v", r)
	}
	if u, _ := s.user("victim"); u.notice() != "" {
		t.Error("the holder is still told", u.notice())
	}
}

func (s *stage) negative(t *testing.T) {
	if err := s.guard.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.pass(24 * time.Hour)
	s.count(t)
	s.day(t)
	for range 8 {
		s.pass(15 * time.Minute)
		s.tick(t)
	}
	log := s.log.String()
	if !strings.Contains(log, `"recovery":"open"`) {
		t.Fatal("nothing says that recovery is open")
	}
	if !strings.Contains(log, `"level":"ERROR","msg":"recovery_open","domain":"`+third) {
		t.Error("no alarm for the operator")
	}
	if !s.attack("taken") {
		t.Error("the attack fails without the deny step: what was shown above proves nothing")
	}
	if strings.Contains(log, "@") {
		t.Error("an address is in a log")
	}
}

func (s *stage) retry(t *testing.T) {
	if err := s.guard.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.sweep(t)
	if recovery, err := s.adapter.recovery(t.Context(), third); err != nil || recovery != registry.RecoveryClosed || s.attack("fourth") {
		t.Fatalf("recovery is still %s: %v", recovery, err)
	}
}

// roleMapping takes a role from the adapter's service account and gives it back.
func (g *Guard) roleMapping(t *testing.T, name string) (take, give func()) {
	t.Helper()
	client, err := g.client(t.Context(), "lapseguard")
	if err != nil {
		t.Fatal(err)
	}
	management, err := g.client(t.Context(), "realm-management")
	if err != nil {
		t.Fatal(err)
	}
	var me account
	var r role
	if err := g.Admin.do(t.Context(), call{doing: "service account", method: http.MethodGet, path: "/clients/" + client + "/service-account-user", out: &me}); err != nil {
		t.Fatal(err)
	}
	if err := g.Admin.do(t.Context(), call{doing: "role", method: http.MethodGet, path: "/clients/" + management + "/roles/" + name, out: &r}); err != nil {
		t.Fatal(err)
	}
	do := func(method string) func() {
		return func() {
			if err := g.Admin.do(t.Context(), call{doing: "map", method: method, path: "/users/" + me.ID + "/role-mappings/clients/" + management, in: []role{r}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return do(http.MethodDelete), do(http.MethodPost)
}

// forget drops the token, whose roles are those of the moment it was given.
func (a *Admin) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = ""
}

// broker makes another realm an identity provider of this one, at which the mailbox's new owner has accounts.
func (s *stage) broker(t *testing.T) {
	const clientSecret = "a-secret-between-realms"
	var users []map[string]any
	for _, name := range []string{"linked", "victim"} {
		users = append(users, newUser(name, accounts()[name], true))
	}
	s.makeRealm(t, map[string]any{"realm": "other", "users": users, "clients": []map[string]any{{
		"clientId": "broker", "secret": clientSecret, "redirectUris": []string{"*"}, "standardFlowEnabled": true}}})
	other := s.running.url + "/realms/other/protocol/openid-connect/"
	err := s.realm.do(t.Context(), call{doing: "add an identity provider", method: http.MethodPost, path: "/identity-provider/instances", in: map[string]any{
		"alias": "other", "providerId": "oidc", "enabled": true, "config": map[string]string{
			"clientId": "broker", "clientSecret": clientSecret, "clientAuthMethod": "client_secret_post", "defaultScope": "openid email profile",
			"authorizationUrl": other + "auth", "tokenUrl": other + "token", "userInfoUrl": other + "userinfo", "jwksUrl": other + "certs",
			"issuer": s.running.url + "/realms/other", "useJwksUrl": "true", "validateSignature": "true"}}})
	if err != nil {
		t.Fatal(err)
	}
	if open, err := s.guard.Show(t.Context()); err != nil || !strings.Contains(open, "identity provider other") {
		t.Fatal(open, err)
	}
	if !s.link(t, "linked") {
		t.Fatal("the attack fails anyway: what follows would prove nothing")
	}
	for i, want := range []int{3, 0} { // copy, sub-flow, binding
		s.changes = nil
		if err := s.guard.Install(t.Context()); err != nil || len(s.changes) != want {
			t.Fatalf("round %d: %q %v", i, s.changes, err)
		}
	}
	if open, err := s.guard.Show(t.Context()); err != nil || open != "" {
		t.Fatal(open, err)
	}
	if s.link(t, "victim") {
		t.Fatal("victim was taken over by way of an identity provider")
	}
}

// link signs in by the other realm, and asks for the account that is there already; true if that opened it.
func (s *stage) link(t *testing.T, name string) bool {
	t.Helper()
	n := s.mail.count(s.address(name))
	b := s.browser(t)
	q := b.console()
	q.Set("kc_idp_hint", "other")
	b.open(b.base+"/protocol/openid-connect/auth?"+q.Encode(), nil)
	b.submit("kc-form-login", url.Values{"username": {name}, "password": {password(name)}})
	b.want("Account already exists")
	b.submit("kc-register-form", url.Values{"submitAction": {"linkAccount"}})
	b.follow(s.mail.link(t, s.address(name), n+1))
	if strings.Contains(b.text(), "Access denied") {
		return false
	}
	if !b.signedIn() {
		b.want("You need to update your email address")
	}
	return true
}
