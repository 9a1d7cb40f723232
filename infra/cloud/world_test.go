package cloud

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/sim"
)

const (
	registryToken = "registry-token" // of a server that lives as long as the test
	statusToken   = "status-token"
	day           = 24 * time.Hour
	// later is when the second half of the story plays, on the internet's clock. Everything else lives in real
	// time: the internet's clock only says which chapter it answers from.
	later = 30 * day
)

// The domains to which something happens later.
const (
	lapsed   = "lapsed.com"   // deleted: in redemption and out of DNS
	onHold   = "on-hold.com"  // out of DNS, and registered all the same
	newcomer = "newcomer.net" // verified at after the first run
)

// crowd lapses at once: more than the breaker lets pass of one class.
var crowd = []string{"crowd-one.org", "crowd-two.org", "crowd-three.org"}

// quiet domains are those to which nothing happens: enough that a quarter of all leaves room for every closing.
var quiet = []string{"alder.com", "birch.com", "cedar.com", "dogwood.net", "elm.net", "fir.org", "gum.org", "hazel.org", "ivy.com", "juniper.com", "kapok.net",
	"larch.org", "maple.org", "nutmeg.com", "oak.net", "pine.org", "quince.com", "rowan.net"}

// canaries are known to be registered; nobody has an address at them.
var canaries = []string{"canary.com", "canary.net", "canary.org"}

// world is the internet from start on.
func world(start time.Time) sim.World {
	w := sim.World{Start: start, StatusToken: statusToken, TLDs: map[string]sim.TLD{
		"com": {RDAP: sim.Listed}, "net": {RDAP: sim.Listed}, "org": {RDAP: sim.Listed, Dialect: sim.EPP},
	}}
	asEver := sim.Step{Delegation: sim.Delegation{NS: []string{"ns1.hoster.example", "ns2.hoster.example"}}, RDAP: sim.RDAP{
		Answer:       sim.Object,
		Registration: sim.Registration{Statuses: []string{"active"}, Registered: start.Add(-2000 * day), Expires: start.Add(200 * day), Registrar: "292"},
	}, MX: []string{"mx.hoster.net"}}
	redemption := sim.Step{From: later, Delegation: sim.Delegation{Answer: sim.Gone}, Status: sim.Status{Words: "inactive expiring"},
		RDAP: sim.RDAP{Registration: sim.Registration{Statuses: []string{"redemption period", "pending delete"}}}}
	held := sim.Step{From: later, Delegation: sim.Delegation{Answer: sim.Gone},
		RDAP: sim.RDAP{Registration: sim.Registration{Statuses: []string{"client hold"}}}}
	dropped := redemption // a later phase: a class of its own to the breaker
	dropped.RDAP = sim.RDAP{Registration: sim.Registration{Statuses: []string{"pending delete"}}}
	add := func(name string, steps ...sim.Step) {
		w.Domains = append(w.Domains, sim.Domain{Name: name, Steps: append([]sim.Step{asEver}, steps...)})
	}
	for _, name := range slices.Concat(quiet, canaries, []string{newcomer, "hoster.net"}) {
		add(name)
	}
	for _, name := range crowd {
		add(name, dropped)
	}
	add(lapsed, redemption)
	add(onHold, held)
	return w
}

// internet is the simulated one, with a clock that can be moved on.
type internet struct {
	*sim.Internet
	ahead atomic.Int64
}

func (n *internet) now() time.Time { return time.Now().Add(time.Duration(n.ahead.Load())) }

func openInternet(t *testing.T, w sim.World) *internet {
	t.Helper()
	n := &internet{}
	var err error
	n.Internet, err = sim.New(w, sim.Config{Now: n.now})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// Addresses at the domain that lapses.
var (
	old   = []string{"ann@" + lapsed, "ben@mail." + lapsed, "cay@" + lapsed} // verified before it lapsed; the last at an unknown time
	fresh = "new@" + lapsed                                                  // verified while it lapses, by whoever can read its mail
)

// rows are the registry's addresses in the beginning.
func rows() []refregistry.Row {
	longAgo := time.Now().Add(-400 * day)
	rows := []refregistry.Row{{Address: old[0], VerifiedAt: longAgo}, {Address: old[1], VerifiedAt: longAgo}, {Address: old[2]}, {Address: fresh, VerifiedAt: time.Now()}}
	for i, name := range slices.Concat(quiet, crowd, []string{onHold}) {
		rows = append(rows, refregistry.Row{Address: "dee@" + name, VerifiedAt: longAgo}, refregistry.Row{Address: fmt.Sprintf("eli%d@mail.%s", i, name), VerifiedAt: longAgo})
	}
	return rows
}

// openRegistry serves the reference registry on loopback, filled.
func openRegistry(t *testing.T, now func() time.Time, rows []refregistry.Row) (r *refregistry.Server, url string) {
	t.Helper()
	r, err := refregistry.Open(refregistry.Config{Path: ":memory:", Token: registryToken, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Load(t.Context(), slices.Values(rows)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	t.Cleanup(func() { _ = server.Close() })
	return r, "http://" + l.Addr().String()
}

// recovers tells whether the registry would mail a reset link to an address, by asking for one.
func recovers(t *testing.T, r *refregistry.Server, url, address string) bool {
	t.Helper()
	before, err := r.Mails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/reset", strings.NewReader(fmt.Sprintf(`{"email":%q}`, address)))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	after, err := r.Mails(t.Context())
	if err != nil || a.StatusCode != http.StatusAccepted {
		t.Fatalf("ask for a reset: status %d, %v", a.StatusCode, err)
	}
	return len(after) > len(before)
}
