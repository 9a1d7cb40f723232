package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// small is an internet of one zone: names that start with "gone" are out of it, and their registry says that
// they are in redemption; every other name is delegated and registered, but those that start with "lame" are served by
// nobody, and those that start with "claim" by a DNS host that gives them away.
type small struct {
	dns, bootstrap  string
	dnsAsked, rdaps atomic.Int64
	at100           func() // called with the hundredth RDAP question
}

func startSmall(t *testing.T) *small {
	t.Helper()
	s := &small{}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(s.serveDNS)}
	go srv.ActivateAndServe()
	t.Cleanup(func() { _ = srv.Shutdown() })
	s.dns = conn.LocalAddr().String()
	web := httptest.NewServer(http.HandlerFunc(s.serveRDAP))
	t.Cleanup(web.Close)
	s.bootstrap = filepath.Join(t.TempDir(), "bootstrap.json")
	doc := fmt.Sprintf(`{"version":"1.0","publication":"2026-01-01T00:00:00Z","services":[[["com"],[%q]]]}`, web.URL+"/")
	if err := os.WriteFile(s.bootstrap, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *small) serveDNS(w dns.ResponseWriter, q *dns.Msg) {
	if q.Question[0].Qtype == dns.TypeNS {
		s.dnsAsked.Add(1)
	}
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	soa, _ := dns.NewRR("com. 60 IN SOA a.example. b.example. 1 1 1 1 1")
	lame := strings.HasPrefix(name, "lame") || strings.HasPrefix(name, "claim")
	switch {
	case q.Question[0].Qtype == dns.TypeSOA && lame:
		m.Rcode = dns.RcodeRefused
	case q.Question[0].Qtype == dns.TypeMX && lame:
		m.Rcode = dns.RcodeServerFailure
	case q.Question[0].Qtype == dns.TypeSOA:
		rr, _ := dns.NewRR(name + " 60 IN SOA a.example. b.example. 1 1 1 1 1")
		m.Authoritative, m.Answer = true, append(m.Answer, rr)
	case q.Question[0].Qtype == dns.TypeNS && strings.HasPrefix(name, "claim"):
		rr, _ := dns.NewRR(name + " 60 IN NS ns1.linode.com.")
		m.Ns = append(m.Ns, rr)
	case q.Question[0].Qtype == dns.TypeMX:
		rr, _ := dns.NewRR(name + " 60 IN MX 10 mx." + name)
		m.Answer = append(m.Answer, rr)
	case strings.HasPrefix(name, "gone"):
		m.Rcode, m.Authoritative = dns.RcodeNameError, true
		m.Ns = append(m.Ns, soa)
	default:
		rr, _ := dns.NewRR(name + " 60 IN NS ns1.host.example.")
		m.Ns = append(m.Ns, rr)
	}
	_ = w.WriteMsg(m)
}

func (s *small) serveRDAP(w http.ResponseWriter, r *http.Request) {
	if s.rdaps.Add(1) == 100 && s.at100 != nil {
		s.at100()
		<-r.Context().Done() // the answer never comes
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/domain/")
	status := "active"
	if strings.HasPrefix(name, "gone") {
		status = "redemption period"
	}
	w.Header().Set("Content-Type", "application/rdap+json")
	if strings.HasPrefix(name, "free") {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errorCode":404}`)
		return
	}
	fmt.Fprintf(w, `{"objectClassName":"domain","ldhName":%q,"status":[%q],"events":[{"eventAction":"registration","eventDate":"2015-01-01T00:00:00Z"},
		{"eventAction":"expiration","eventDate":"2031-01-01T00:00:00Z"}]}`, name, status)
}

func (s *small) environ(t *testing.T) {
	t.Helper()
	for k, v := range map[string]string{
		"LAPSEGUARD_RDAP_BOOTSTRAP": s.bootstrap, "LAPSEGUARD_DNS_SERVERS": s.dns, "LAPSEGUARD_STATUS_URL": "off", "LAPSEGUARD_RDAP_RATE": "100000",
	} {
		t.Setenv(k, v)
	}
}

func writeEmails(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "emails.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func audit(t *testing.T, ctx context.Context, args ...string) (rows []row, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, append([]string{"audit", "--format", "json"}, args...), streams{&out, &errs})
	dec := json.NewDecoder(&out)
	for dec.More() {
		var r row
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows, errs.String(), code
}

func TestAuditOfAThousandDomains(t *testing.T) {
	s := startSmall(t)
	s.environ(t)
	var csv strings.Builder
	csv.WriteString("verified_at,name,email\n")
	for i := range 1000 {
		word := "site"
		if i%50 == 0 {
			word = "gone"
		}
		fmt.Fprintf(&csv, "2022-05-01T00:00:00Z,someone,user%d@%s%04d.com\n", i, word, i)
	}
	csv.WriteString("2022-05-01,x,user@[192.0.2.7]\nnull,x,user@sub.site0001.com\n")
	state := t.TempDir()
	rows, stderr, code := audit(t, t.Context(), "--emails", writeEmails(t, csv.String()), "--state", state, "--now", "2026-03-01T12:00:00Z")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	by := map[lifecycle.Action]int{}
	for _, r := range rows {
		by[r.Action]++
		if r.Action == lifecycle.Unverify && (r.Phase != lifecycle.Redemption || len(r.Evidence) < 2 || r.Confidence != lifecycle.High) {
			t.Errorf("row %+v", r)
		}
	}
	if len(rows) != 1001 || by[lifecycle.Unverify] != 20 || by[lifecycle.None] != 981 {
		t.Errorf("%d rows, actions %v", len(rows), by)
	}
	last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
	for _, want := range []string{`took \d`, `memory \d+ MiB`, `delegation/com 1000`, `rdap/http\S+ 1000`} {
		if !regexp.MustCompile(want).MatchString(last) {
			t.Errorf("the last line %q lacks %s", last, want)
		}
	}
	if strings.Contains(stderr, "@") {
		t.Error("an address got into the output")
	}
	if left, _ := os.ReadDir(state); len(left) != 0 {
		t.Errorf("a finished audit left %v", left)
	}
}

func TestAuditWithoutDNSConfirms(t *testing.T) {
	s := startSmall(t)
	s.environ(t)
	t.Setenv("LAPSEGUARD_DNS_SERVERS", closedPort(t))
	rows, stderr, code := audit(t, t.Context(), "--emails", writeEmails(t, "email\na@gone1.com\na@site1.com\n"), "--state", t.TempDir(), "--park", "10ms")
	if code != 0 || len(rows) != 2 {
		t.Fatalf("exit %d, rows %+v, %s", code, rows, stderr)
	}
	for _, r := range rows {
		if r.Action == lifecycle.Unverify {
			t.Errorf("unverify on the registry's word alone at the first look: %+v", r)
		}
		if r.Domain == "gone1.com" && r.Action != lifecycle.Confirm {
			t.Errorf("gone1.com: %+v, want confirm", r)
		}
	}
}

// TestAuditThatHeardNobodyFails: its report is there, and no script takes it for a clean one.
func TestAuditThatHeardNobodyFails(t *testing.T) {
	s := startSmall(t)
	s.environ(t)
	nobody := "http://" + closedPort(t)
	t.Setenv("LAPSEGUARD_DNS_SERVERS", closedPort(t))
	t.Setenv("LAPSEGUARD_STATUS_URL", nobody)
	rows, stderr, code := audit(t, t.Context(), "--emails", writeEmails(t, "email\na@example.co.uk\na@host.invalid\n"), "--state", t.TempDir(), "--park", "10ms")
	if code != 3 || len(rows) != 2 || !strings.Contains(stderr, "nothing can be concluded") {
		t.Fatalf("exit %d, rows %+v, %s", code, rows, stderr)
	}
}

// TestAuditThatHeardOneWitnessConcludes: one witness is too few to conclude from, and yet somebody.
func TestAuditThatHeardOneWitnessConcludes(t *testing.T) {
	s := startSmall(t)
	s.environ(t)
	t.Setenv("LAPSEGUARD_DNS_SERVERS", closedPort(t))
	rows, stderr, code := audit(t, t.Context(), "--emails", writeEmails(t, "email\na@free1.com\n"), "--state", t.TempDir(), "--park", "10ms")
	if code != 0 || len(rows) != 1 || rows[0].Confidence != lifecycle.NoConfidence || strings.Contains(stderr, "nothing can be concluded") {
		t.Fatalf("exit %d, rows %+v, %s", code, rows, stderr)
	}
}

// closedPort is an address on which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func TestAuditRefusesWhatItCannotRead(t *testing.T) {
	for name, tc := range map[string]struct{ csv, want string }{
		"empty":          {"", "header, such as email,verified_at"},
		"no column":      {"name;contact\nx;y\n", "separated by ;"},
		"a header alone": {"email,verified_at\n", "no line holds an address: there is nothing below the header"},
		"no address":     {"email\nnobody\n", "no line holds an address (1 lines cannot be read; line 2: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := audit(t, t.Context(), "--emails", writeEmails(t, tc.csv), "--state", t.TempDir())
			if code == 0 || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "a@b.com") {
				t.Errorf("exit %d: %s", code, stderr)
			}
		})
	}
}

// TestAuditFindsZonesThatNobodyServes, by the DNS host at which anybody can claim them, in each format.
func TestAuditFindsZonesThatNobodyServes(t *testing.T) {
	s := startSmall(t)
	s.environ(t)
	file := writeEmails(t, "email\na@site-a.com\nb@lame.com\nc@claim-b.com\nd@claim-a.com\ne@site-b.com\nf@site-c.com\ng@site-d.com\n")
	rows, stderr, code := audit(t, t.Context(), "--emails", file, "--state", t.TempDir())
	if code != 0 || len(rows) != 7 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	const claim = "no name server serves it: anybody can claim this zone at Linode"
	for i, want := range []row{{Domain: "claim-a.com", Unserved: claim}, {Domain: "claim-b.com", Unserved: claim}, {Domain: "lame.com", Unserved: "no name server serves it"}, {Domain: "site-a.com"}} {
		if rows[i].Domain != want.Domain || rows[i].Unserved != want.Unserved {
			t.Errorf("row %d is %s, %q; want %s, %q", i, rows[i].Domain, rows[i].Unserved, want.Domain, want.Unserved)
		}
	}
	for format, want := range map[string]string{
		"table": "2 registered and delegated, and " + claim + ": claim-a.com claim-b.com\n1 registered and delegated, and no name server serves it: lame.com\n",
		"csv":   claim + "\n", "html": "<li><b>2</b> " + claim + ": <bdi>claim-a.com, claim-b.com</bdi></li>",
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"audit", "--format", format, "--emails", file, "--state", t.TempDir()}, streams{&out, &errs}); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d %s, it lacks %q:\n%s", format, code, errs.String(), want, out.String())
		}
	}
	domains := writeEmails(t, "domain\nsite-a.com\nlame.com\nclaim-b.com\nclaim-a.com\n")
	if rows, stderr, code := audit(t, t.Context(), "--emails", domains, "--state", t.TempDir()); code != 0 || len(rows) != 4 || rows[0].Unserved != claim || rows[1].Unserved != claim || rows[2].Unserved == "" || rows[3].Unserved != "" {
		t.Errorf("a list of domains: exit %d %s, %+v", code, stderr, rows)
	}
	t.Setenv("LAPSEGUARD_OWN_SERVERS", "off")
	rows, _, _ = audit(t, t.Context(), "--emails", file, "--state", t.TempDir())
	if rows[0].Unserved != "" {
		t.Errorf("switched off: %+v", rows[0])
	}
}

func TestAuditGoesOnWhereItWasInterrupted(t *testing.T) {
	s := startSmall(t)
	s.environ(t)
	var csv strings.Builder
	csv.WriteString("email\n")
	for i := range 400 {
		fmt.Fprintf(&csv, "user@site%04d.com\n", i)
	}
	file, state := writeEmails(t, csv.String()), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.at100 = cancel
	if _, _, code := audit(t, ctx, "--emails", file, "--state", state); code == 0 {
		t.Fatal("an interrupted audit ended with success")
	}
	rows, stderr, code := audit(t, t.Context(), "--emails", file, "--state", state)
	if code != 0 || len(rows) != 400 {
		t.Fatalf("exit %d, %d rows: %s", code, len(rows), stderr)
	}
	for _, r := range rows {
		if r.Action != lifecycle.None {
			t.Errorf("%+v", r)
		}
	}
	if n := s.dnsAsked.Load(); n > 1100 { // twice 400, for the delegation and for its servers, and the batch that was cut off once more
		t.Errorf("%d DNS questions for 400 domains in two goes: the audit began anew", n)
	}
}

// TestAuditReadsStandardInputAndSpeaksToCI: what is found is in the exit code where that is asked for, and the same
// file read by other columns is another audit.
func TestAuditReadsStandardInputAndSpeaksToCI(t *testing.T) {
	s := startSmall(t)
	s.environ(t)
	const list = "owner;contact\na@gone1.com;b@fine1.com\n"
	states := map[string]bool{}
	for _, tc := range []struct {
		column string
		exit   bool
		code   int
	}{{"owner", true, 4}, {"owner", false, 0}, {"contact", true, 0}} {
		var out, errs bytes.Buffer
		c := auditCommand{Emails: "-", Format: "json", State: t.TempDir(), Exit: tc.exit, columns: columns{Email: tc.column}, in: strings.NewReader(list),
			upstreams: upstreams{Bootstrap: s.bootstrap, DNS: []string{s.dns}, RDAPRate: 1e5, StatusURL: "off", StatusAPI: "fastly"}}
		err := c.Run(t.Context(), streams{&out, &errs})
		if errors.Is(err, errFound) != (tc.code == 4) || err != nil && tc.code == 0 || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: %v: %s%s", tc.column, err, out.String(), errs.String())
		}
		if strings.Contains(out.String(), "next") {
			t.Errorf("an audit looks once: %s", out.String())
		}
		_, path, _ := strings.Cut(errs.String(), "state in ")
		states[filepath.Base(strings.Fields(path)[0])] = true
	}
	if len(states) != 2 {
		t.Errorf("states %v, want one for each column", states)
	}
}
