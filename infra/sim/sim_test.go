package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

var start = time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// clock is the world's time, moved by hand.
type clock struct{ age atomic.Int64 }

func (c *clock) now() time.Time      { return start.Add(time.Duration(c.age.Load())) }
func (c *clock) set(d time.Duration) { c.age.Store(int64(d)) }

var home = []string{"ns1.calmdns.net", "ns2.calmdns.net"}

func at(d time.Duration) time.Time { return start.Add(d) }

// one is a domain that stays as it is.
func one(name string, s Step) Domain {
	if s.Delegation.NS == nil {
		s.Delegation.NS = home
	}
	return Domain{Name: name, Steps: []Step{s}}
}

func tlds() map[string]TLD {
	return map[string]TLD{
		"com": {RDAP: Listed}, "org": {RDAP: Listed, Dialect: EPP}, "dev": {RDAP: Listed, Dialect: Upper}, "app": {RDAP: Listed, Dialect: OneWord},
		"no": {RDAP: Listed, Dialect: NoStatus}, "uk": {RDAP: Listed, Dialect: Offset}, "de": {RDAP: Supplemental}, "me": {RDAP: NoServer},
	}
}

// run starts an internet that ends with the test.
func run(t *testing.T, w World) (*Internet, *clock) {
	t.Helper()
	w.Start = start
	if w.TLDs == nil {
		w.TLDs = tlds()
	}
	c := &clock{}
	n, err := New(w, Config{Now: c.now, Silence: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, c
}

// ask puts one DNS question; network is "" for UDP.
func ask(t *testing.T, n *Internet, network, name string, kind uint16) (*mdns.Msg, error) {
	t.Helper()
	q := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind)
	q.RecursionDesired = kind != mdns.TypeNS
	c := &mdns.Client{Net: network, Timeout: 300 * time.Millisecond}
	m, _, err := c.ExchangeContext(t.Context(), q, n.DNSAddr())
	return m, err
}

func mustAsk(t *testing.T, n *Internet, name string, kind uint16) *mdns.Msg {
	t.Helper()
	m, err := ask(t, n, "", name, kind)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// get fetches a URL without following redirects.
func get(t *testing.T, url string, head ...string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp, body, err
}

func object(t *testing.T, url string) map[string]any {
	t.Helper()
	resp, body, err := get(t, url)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %+v", url, err, resp)
	}
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return v
}

func nsOf(rrs []mdns.RR) []string {
	var hosts []string
	for _, rr := range rrs {
		if ns, ok := rr.(*mdns.NS); ok {
			hosts = append(hosts, strings.TrimSuffix(ns.Ns, "."))
		}
	}
	return hosts
}

func TestReferralHasNameServersAndGlueAndNoAuthority(t *testing.T) {
	n, _ := run(t, World{Domains: []Domain{one("example.com", Step{}), one("shop.co.uk", Step{})}})
	m := mustAsk(t, n, "Example.COM", mdns.TypeNS)
	if m.Authoritative || m.Rcode != mdns.RcodeSuccess || len(m.Answer) != 0 || !slices.Equal(nsOf(m.Ns), home) || len(m.Extra) != 2 {
		t.Fatalf("not a referral:\n%s", m)
	}
	if m := mustAsk(t, n, "mail.shop.co.uk", mdns.TypeNS); m.Ns[0].Header().Name != "shop.co.uk." {
		t.Fatalf("a referral below the cut:\n%s", m)
	}
	if got := n.AskedAbout("dns:co.uk", ""); len(got) != 1 || got[0].Answer != string(Referral) || got[0].Name != "mail.shop.co.uk" {
		t.Fatalf("asked: %v", got)
	}
}

func TestGoneHasTheAuthorityOfTheZoneAbove(t *testing.T) {
	n, _ := run(t, World{Domains: []Domain{one("lapsed.co.uk", Step{Delegation: Delegation{Answer: Gone}})}})
	for name, zone := range map[string]string{"lapsed.co.uk": "co.uk.", "never-there.com": "com."} {
		m := mustAsk(t, n, name, mdns.TypeNS)
		if m.Rcode != mdns.RcodeNameError || !m.Authoritative || len(m.Ns) != 1 || m.Ns[0].Header().Name != zone || m.Ns[0].Header().Rrtype != mdns.TypeSOA {
			t.Errorf("%s:\n%s", name, m)
		}
	}
}

func TestUglyDNSAnswers(t *testing.T) {
	var domains []Domain
	for _, a := range DNSAnswers() {
		domains = append(domains, one(strings.ReplaceAll(string(a), " ", "-")+".com", Step{Delegation: Delegation{Answer: a}}))
	}
	n, _ := run(t, World{Domains: domains})
	if m := mustAsk(t, n, "nodata.com", mdns.TypeNS); m.Rcode != mdns.RcodeSuccess || !m.Authoritative || len(m.Answer) != 0 || m.Ns[0].Header().Name != "com." {
		t.Errorf("nodata:\n%s", m)
	}
	if m := mustAsk(t, n, "authority.com", mdns.TypeNS); !m.Authoritative || !slices.Equal(nsOf(m.Answer), home) {
		t.Errorf("authority:\n%s", m)
	}
	if m := mustAsk(t, n, "servfail.com", mdns.TypeNS); m.Rcode != mdns.RcodeServerFailure {
		t.Errorf("servfail:\n%s", m)
	}
	if m := mustAsk(t, n, "refused.com", mdns.TypeNS); m.Rcode != mdns.RcodeRefused {
		t.Errorf("refused:\n%s", m)
	}
	if m := mustAsk(t, n, "lame.com", mdns.TypeNS); m.Rcode != mdns.RcodeNameError || m.Authoritative || m.Ns[0].Header().Name == "com." {
		t.Errorf("lame:\n%s", m)
	}
	if m := mustAsk(t, n, "upward.com", mdns.TypeNS); m.Ns[0].Header().Name != "." {
		t.Errorf("upward:\n%s", m)
	}
	for _, network := range []string{"", "tcp"} {
		if _, err := ask(t, n, network, "timeout.com", mdns.TypeNS); !isTimeout(err) {
			t.Errorf("timeout over %q: %v", network, err)
		}
		if _, err := ask(t, n, network, "malformed.com", mdns.TypeNS); err == nil || isTimeout(err) {
			t.Errorf("malformed over %q: %v", network, err)
		}
	}
	for _, name := range []string{"truncated.com", "truncated-only.com"} {
		if m, err := ask(t, n, "", name, mdns.TypeNS); err != nil || !m.Truncated || len(m.Ns) != 0 {
			t.Errorf("%s over UDP: %v\n%s", name, err, m)
		}
	}
	if m, err := ask(t, n, "tcp", "truncated.com", mdns.TypeNS); err != nil || m.Truncated || !slices.Equal(nsOf(m.Ns), home) {
		t.Errorf("truncated over TCP: %v\n%s", err, m)
	}
	if m, err := ask(t, n, "tcp", "truncated-only.com", mdns.TypeNS); err == nil || isTimeout(err) {
		t.Errorf("truncated only, over TCP: %v\n%s", err, m)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestMailAndHosts(t *testing.T) {
	n, _ := run(t, World{Domains: []Domain{
		one("plain.com", Step{}), one("hosted.com", Step{MX: []string{"mx.post.net"}}), one("silent.com", Step{MX: []string{}}),
		one("lapsed.com", Step{Delegation: Delegation{Answer: Gone}}),
	}})
	for name, want := range map[string]string{"plain.com": "mx.plain.com.", "hosted.com": "mx.post.net.", "silent.com": "."} {
		m := mustAsk(t, n, name, mdns.TypeMX)
		if len(m.Answer) != 1 || m.Answer[0].(*mdns.MX).Mx != want {
			t.Errorf("%s:\n%s", name, m)
		}
	}
	if m := mustAsk(t, n, "lapsed.com", mdns.TypeMX); m.Rcode != mdns.RcodeNameError {
		t.Errorf("lapsed:\n%s", m)
	}
	for _, host := range []string{"ns1.calmdns.net", "mx.post.net", "mail.plain.com"} {
		if m := mustAsk(t, n, host, mdns.TypeA); len(m.Answer) != 1 || m.Answer[0].(*mdns.A).A.IsLoopback() {
			t.Errorf("%s:\n%s", host, m)
		}
	}
	m := mustAsk(t, n, "com", mdns.TypeNS)
	if hosts := nsOf(m.Answer); !m.Authoritative || len(hosts) != 1 || hosts[0] != "a.nic.com" {
		t.Fatalf("the zone itself:\n%s", m)
	}
	if m := mustAsk(t, n, "a.nic.com", mdns.TypeA); len(m.Answer) != 1 || !m.Answer[0].(*mdns.A).A.IsLoopback() {
		t.Errorf("the zone's server:\n%s", m)
	}
}

func TestTimeMovesTheWorld(t *testing.T) {
	n, c := run(t, World{Domains: []Domain{{Name: "example.com", Steps: []Step{
		{Delegation: Delegation{NS: home}, RDAP: RDAP{Registration: Registration{Statuses: []string{"active"}, Registered: at(-900 * day), Registrar: "9994"}}},
		{From: 2 * day, Delegation: Delegation{Answer: Gone}, RDAP: RDAP{Registration: Registration{Statuses: []string{"redemption period"}}}, Status: Status{Words: "undelegated expiring"}},
		{From: 5 * day, RDAP: RDAP{Answer: NotFound}},
		{From: 6 * day, Delegation: Delegation{NS: []string{"ns.new.net"}}, RDAP: RDAP{Answer: Object, New: true, Registration: Registration{Registered: at(6 * day)}}},
	}}}})
	rdap := n.RDAPURL("com") + "domain/example.com"
	for _, step := range []struct {
		age      time.Duration
		rcode    int
		statuses string
		created  time.Time
	}{
		{-day, mdns.RcodeSuccess, "active", at(-900 * day)},
		{2*day - time.Second, mdns.RcodeSuccess, "active", at(-900 * day)},
		{2 * day, mdns.RcodeNameError, "redemption period", at(-900 * day)},
		{6 * day, mdns.RcodeSuccess, "", at(6 * day)},
	} {
		c.set(step.age)
		if m := mustAsk(t, n, "example.com", mdns.TypeNS); m.Rcode != step.rcode {
			t.Errorf("at %s: %s", step.age, mdns.RcodeToString[m.Rcode])
		}
		o := object(t, rdap)
		if got := words(o["status"]); got != step.statuses {
			t.Errorf("at %s: status %q", step.age, got)
		}
		if got := event(o, "registration"); got != step.created.Format(time.RFC3339) {
			t.Errorf("at %s: registered %q", step.age, got)
		}
		if registrar := len(o["entities"].([]any)) == 1; registrar != (step.age < 6*day) {
			t.Errorf("at %s: registrar %v", step.age, o["entities"])
		}
	}
	c.set(5 * day)
	if resp, _, err := get(t, rdap); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("released: %v %v", resp, err)
	}
	if a := n.AskedAbout("rdap:com", "example.com"); len(a) != 5 || !a[4].At.Equal(at(5*day)) || a[4].Answer != "404" {
		t.Errorf("asked: %v", a)
	}
	if counts := n.Counts(); counts["rdap:com"] != 5 || counts["dns:com"] != 4 {
		t.Errorf("counts: %v", counts)
	}
}

func words(v any) string {
	var all []string
	list, _ := v.([]any)
	for _, w := range list {
		all = append(all, w.(string))
	}
	return strings.Join(all, ",")
}

func event(o map[string]any, action string) string {
	for _, e := range o["events"].([]any) {
		if m := e.(map[string]any); m["eventAction"] == action {
			return m["eventDate"].(string)
		}
	}
	return ""
}

func TestDialects(t *testing.T) {
	reg := RDAP{Registration: Registration{Statuses: []string{"pending delete", "server hold"}, Registered: at(0), Registrar: "Norsk Register", Signed: true}}
	var domains []Domain
	for _, tld := range []string{"com", "org", "dev", "app", "no", "uk"} {
		domains = append(domains, one("example."+tld, Step{RDAP: reg}))
	}
	domains = append(domains, one("xn--mhle-0ra.com", Step{RDAP: reg}))
	n, _ := run(t, World{Domains: domains})
	of := func(tld string) map[string]any { return object(t, n.RDAPURL(tld)+"domain/example."+tld) }
	if got := words(of("com")["status"]); got != "pending delete,server hold" {
		t.Errorf("plain: %q", got)
	}
	if got := words(of("org")["status"]); got != "pendingDelete,serverHold" {
		t.Errorf("epp: %q", got)
	}
	if o := of("dev"); o["ldhName"] != "EXAMPLE.DEV." || words(o["status"]) != "PENDING DELETE,SERVER HOLD" {
		t.Errorf("upper: %v", o)
	}
	if got := of("app")["status"]; got != "pending delete, server hold" {
		t.Errorf("string: %v", got)
	}
	if got, there := of("no")["status"]; there {
		t.Errorf("no status: %v", got)
	}
	if got := event(of("uk"), "registration"); got != "2026-03-02T05:00:00+0200" {
		t.Errorf("offset: %s", got)
	}
	o := object(t, n.RDAPURL("com")+"domain/xn--mhle-0ra.com")
	entity := o["entities"].([]any)[0].(map[string]any)
	if o["unicodeName"] != "mühle.com" || o["secureDNS"].(map[string]any)["delegationSigned"] != true || entity["publicIds"] != nil {
		t.Errorf("IDN: %v", o)
	}
}

func TestUglyRDAPAnswers(t *testing.T) {
	want := map[RDAPAnswer]struct {
		status int // 0: no answer
		kind   string
		body   string // a part of it
	}{
		Object: {200, rdapType, `"objectClassName":"domain"`}, NotFound: {404, rdapType, `"errorCode":404`}, NotFoundEmpty: {404, "", ""},
		NotFoundHTML: {404, "text/html", "<html>"}, TooMany: {429, rdapType, `"errorCode":429`}, TooManyRetry: {429, rdapType, `"errorCode":429`},
		Forbidden: {403, "text/html", "<html>"}, ServerError: {500, rdapType, `"errorCode":500`}, Unavailable: {503, "text/html", "<html>"},
		Reset: {}, Silence: {}, WrongName: {200, rdapType, `"ldhName":"another-`}, SearchResult: {200, rdapType, `"domainSearchResults":[`},
		ErrorInside: {200, rdapType, `"errorCode":404`}, Broken: {200, rdapType, `{`}, HTML: {200, "text/html", "<html>"},
		Huge: {200, rdapType, "left long"}, RedirectLoopback: {302, "", ""}, RedirectHTTP: {301, "", ""},
	}
	var domains []Domain
	for _, a := range RDAPAnswers() {
		domains = append(domains, one(strings.ReplaceAll(string(a), " ", "-")+".com", Step{RDAP: RDAP{Answer: a}}))
	}
	n, _ := run(t, World{Domains: domains})
	for _, a := range RDAPAnswers() {
		w := want[a]
		resp, body, err := get(t, n.RDAPURL("com")+"domain/"+strings.ReplaceAll(string(a), " ", "-")+".com")
		switch {
		case (err != nil) != (w.status == 0):
			t.Errorf("%s: %v", a, err)
		case err != nil:
		case resp.StatusCode != w.status || !strings.HasPrefix(resp.Header.Get("Content-Type"), w.kind) || !strings.Contains(string(body), w.body):
			t.Errorf("%s: %d %q %.200s", a, resp.StatusCode, resp.Header.Get("Content-Type"), body)
		case json.Valid(body) == (a == Broken || a == Huge || len(body) == 0 || w.kind == "text/html"):
			t.Errorf("%s: valid JSON: %v", a, json.Valid(body))
		case (resp.Header.Get("Retry-After") != "") != (a == TooManyRetry):
			t.Errorf("%s: Retry-After %q", a, resp.Header.Get("Retry-After"))
		case a == Huge && len(body) < hugeBody:
			t.Errorf("huge is %d bytes", len(body))
		}
	}
	for _, l := range []struct{ a, to string }{{"redirect-loopback", "https://127.0.0.1"}, {"redirect-http", "http://"}} {
		if resp, _, err := get(t, n.RDAPURL("com")+"domain/"+l.a+".com"); err != nil || !strings.HasPrefix(resp.Header.Get("Location"), l.to) {
			t.Errorf("%s: %v", l.a, err)
		}
	}
}

func TestBootstrapNamesListedServersOnly(t *testing.T) {
	n, _ := run(t, World{Domains: []Domain{one("example.de", Step{}), one("example.me", Step{})}})
	resp, body, err := get(t, n.BootstrapURL())
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != string(n.BootstrapJSON()) {
		t.Fatalf("%v %s", err, body)
	}
	var file struct{ Services [][][]string }
	if err := json.Unmarshal(body, &file); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range file.Services {
		got[s[0][0]] = s[1][0]
	}
	if len(got) != 6 || got["com"] != n.RDAPURL("com") || got["de"] != "" || got["me"] != "" {
		t.Errorf("services: %v", got)
	}
	if s := string(n.SupplementalJSON()); !strings.Contains(s, `{"tld":"de","rdapServer":"`+n.RDAPURL("de")+`"}`) || strings.Contains(s, `"me"`) {
		t.Errorf("supplemental: %s", s)
	}
	object(t, n.RDAPURL("de")+"domain/example.de")
	for _, url := range []string{n.RDAPURL("me") + "domain/example.me", n.RDAPURL("com") + "domain/example.de"} {
		if resp, body, _ := get(t, url); resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "<html>") {
			t.Errorf("%s: %d %s", url, resp.StatusCode, body)
		}
	}
}

func TestStatusAPIs(t *testing.T) {
	var domains []Domain
	for _, a := range StatusAnswers() {
		domains = append(domains, one(strings.ReplaceAll(string(a), " ", "-")+".me", Step{Status: Status{Answer: a, Words: "undelegated expiring"}}))
	}
	domains = append(domains, one("guess.me", Step{Status: Status{Words: "undelegated", Estimate: true}}))
	n, _ := run(t, World{Domains: domains, StatusToken: "sesame"})
	fastly := func(name string) (int, string) {
		resp, body, err := get(t, n.StatusURL(Fastly)+"?domain="+name, "Fastly-Key", "sesame")
		if err != nil {
			return 0, ""
		}
		return resp.StatusCode, string(body)
	}
	domainr := func(name string) (int, string) {
		resp, body, err := get(t, n.StatusURL(Domainr)+"?client_id=sesame&domain="+name)
		if err != nil {
			return 0, ""
		}
		return resp.StatusCode, string(body)
	}
	for _, c := range []struct {
		name          string
		code          int
		fastly, other string
	}{
		{"tokens.me", 200, `"status":"undelegated expiring"`, `{"status":[{"domain":"tokens.me","status":"undelegated expiring","summary":"expiring","zone":"me"}]}`},
		{"400.me", 400, `"status":400`, `{"message":"Bad Request"}`},
		{"401.me", 401, `"status":401`, `{"message":"Unauthorized"}`},
		{"429.me", 429, `"status":429`, `{"message":"Too Many Requests"}`},
		{"500.me", 500, `"status":500`, `{"message":"Internal Server Error"}`},
		{"error-inside.me", 200, `"errors":[`, `"errors":[`},
		{"wrong-name.me", 200, `"domain":"another-wrong-name.me"`, `"domain":"another-wrong-name.me"`},
		{"nobody-has-it.me", 200, `"undelegated inactive"`, `"undelegated inactive"`},
		{"silence.me", 0, "", ""},
		{"", 400, `"status":400`, "message"},
	} {
		if code, body := fastly(c.name); code != c.code || !strings.Contains(body, c.fastly) || code != 0 && !json.Valid([]byte(body)) {
			t.Errorf("fastly %s: %d %s", c.name, code, body)
		}
		if code, body := domainr(c.name); code != c.code || !strings.Contains(body, c.other) || code != 0 && !json.Valid([]byte(body)) {
			t.Errorf("domainr %s: %d %s", c.name, code, body)
		}
	}
	if _, body := fastly("malformed.me"); json.Valid([]byte(body)) {
		t.Errorf("malformed: %s", body)
	}
	if _, body := fastly("guess.me"); !strings.Contains(body, `"scope":"estimate"`) {
		t.Errorf("estimate: %s", body)
	}
	if resp, _, _ := get(t, n.StatusURL(Fastly)+"?domain=tokens.me", "Fastly-Key", "wrong"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("wrong key: %d", resp.StatusCode)
	}
	if a := n.AskedAbout("status:fastly", "tokens.me"); len(a) != 2 || a[1].Answer != "unauthorized" {
		t.Errorf("asked: %v", a)
	}
}

func TestOutages(t *testing.T) {
	n, c := run(t, World{
		Domains: []Domain{one("example.com", Step{}), one("example.org", Step{}), one("shop.co.uk", Step{})},
		Outages: []Outage{
			{Upstream: "dns:uk", From: day, To: 2 * day, Answer: "servfail"},
			{Upstream: "rdap:org", From: day, To: 2 * day, Answer: "503"},
			{Upstream: "status", From: day, To: 2 * day, Answer: "500"},
			{Upstream: "resolver", From: day, To: 2 * day, Answer: "refused"},
		},
	})
	look := func() (uk, com, mail, org, status int) {
		r, _, _ := get(t, n.RDAPURL("org")+"domain/example.org")
		s, _, _ := get(t, n.StatusURL(Fastly)+"?domain=example.com")
		return mustAsk(t, n, "shop.co.uk", mdns.TypeNS).Rcode, mustAsk(t, n, "example.com", mdns.TypeNS).Rcode,
			mustAsk(t, n, "example.com", mdns.TypeMX).Rcode, r.StatusCode, s.StatusCode
	}
	for _, age := range []time.Duration{0, day - 1, 2 * day} {
		c.set(age)
		if uk, com, mail, org, status := look(); uk != 0 || com != 0 || mail != 0 || org != 200 || status != 200 {
			t.Errorf("at %s: %d %d %d %d %d", age, uk, com, mail, org, status)
		}
	}
	for _, age := range []time.Duration{day, 2*day - 1} {
		c.set(age)
		if uk, com, mail, org, status := look(); uk != mdns.RcodeServerFailure || com != 0 || mail != mdns.RcodeRefused || org != 503 || status != 500 {
			t.Errorf("at %s: %d %d %d %d %d", age, uk, com, mail, org, status)
		}
	}
}

func TestNewRefusesAWorldThatIsNone(t *testing.T) {
	ok := one("example.com", Step{})
	for what, w := range map[string]World{
		"TLD missing":      {Domains: []Domain{one("example.net", Step{})}},
		"twice":            {Domains: []Domain{ok, ok}},
		"upper case":       {Domains: []Domain{one("Example.com", Step{})}},
		"no history":       {Domains: []Domain{{Name: "example.com"}}},
		"nobody delegated": {Domains: []Domain{{Name: "example.com", Steps: []Step{{}}}}},
		"steps not in order": {Domains: []Domain{{Name: "example.com", Steps: []Step{
			{Delegation: Delegation{NS: home}}, {From: day}, {From: day}}}}},
		"DNS answer":     {Domains: []Domain{one("example.com", Step{Delegation: Delegation{Answer: "maybe"}})}},
		"RDAP answer":    {Domains: []Domain{one("example.com", Step{RDAP: RDAP{Answer: "maybe"}})}},
		"status answer":  {Domains: []Domain{one("example.com", Step{Status: Status{Answer: "maybe"}})}},
		"MX host":        {Domains: []Domain{one("example.com", Step{MX: []string{"Mail.example.com."}})}},
		"listing":        {TLDs: map[string]TLD{"com": {RDAP: "perhaps"}}},
		"dialect":        {TLDs: map[string]TLD{"com": {RDAP: Listed, Dialect: "slang"}}},
		"outage of what": {Outages: []Outage{{Upstream: "whois:com", To: day, Answer: "503"}}},
		"outage how":     {Outages: []Outage{{Upstream: "rdap:com", To: day, Answer: "servfail"}}},
		"outage when":    {Outages: []Outage{{Upstream: "rdap:com", From: day, To: day, Answer: "503"}}},
	} {
		w.Start = start
		if w.TLDs == nil {
			w.TLDs = tlds()
		}
		if _, err := New(w, Config{Now: time.Now}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := New(World{Start: start}, Config{}); err == nil {
		t.Error("no clock: no error")
	}
	if _, err := New(World{}, Config{Now: time.Now}); err == nil {
		t.Error("no start: no error")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	n, err := New(World{Start: start}, Config{Now: time.Now, MaxAsked: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		n.note(start, "dns:com", "example.com", "gone")
	}
	if len(n.Asked()) != 2 || n.Counts()["dns:com"] != 5 {
		t.Errorf("%d kept, %d counted", len(n.Asked()), n.Counts()["dns:com"])
	}
}

func TestCloseWithoutStartAndTwice(t *testing.T) {
	n, err := New(World{Start: start}, Config{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	n.Close()
	ctx, cancel := context.WithCancel(t.Context())
	m, err := New(World{Start: start, TLDs: tlds()}, Config{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	m.Close()
	if _, err := net.DialTimeout("tcp", m.DNSAddr(), time.Second); err == nil {
		t.Error("still open after the context ended")
	}
}

// TestHalfLame: the first server has the zone, the second refuses, and a resolver finds the first.
func TestHalfLame(t *testing.T) {
	n, _ := run(t, World{Domains: []Domain{one("half.com", Step{Own: HalfLame})}})
	for i, want := range []int{mdns.RcodeSuccess, mdns.RcodeRefused} {
		m, _, err := new(mdns.Client).Exchange(new(mdns.Msg).SetQuestion("half.com.", mdns.TypeSOA), n.DNSAddrs()[i])
		if err != nil || m.Rcode != want || m.Authoritative != (i == 0) {
			t.Errorf("server %d: %v\n%s", i, err, m)
		}
	}
	if m := mustAsk(t, n, "half.com", mdns.TypeMX); m.Rcode != mdns.RcodeSuccess || len(m.Answer) != 1 {
		t.Errorf("a resolver:\n%s", m)
	}
}

// FuzzDNS: whatever the packet, the server survives and later answers a proper question.
func FuzzDNS(f *testing.F) {
	q := new(mdns.Msg).SetQuestion("example.com.", mdns.TypeNS)
	packed, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{})
	f.Add(packed[:14])
	n, err := New(World{Start: start, TLDs: tlds(), Domains: []Domain{one("example.com", Step{})}}, Config{Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, packet []byte) {
		m := new(mdns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		n.answerDNS(discard{}, m, 0, false)
		n.answerDNS(discard{}, m, 1, true)
	})
}

// discard is a DNS connection to nowhere; a message must still pack.
type discard struct{ mdns.ResponseWriter }

func (discard) WriteMsg(m *mdns.Msg) error {
	if _, err := m.Pack(); err != nil {
		panic(err)
	}
	return nil
}
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }
