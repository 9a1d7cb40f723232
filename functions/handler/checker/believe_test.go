package checker

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

const freeLabel = "lapseguard-free"

// know makes known.com known to be registered, and gives the log.
func (w *world) know(names ...string) *bytes.Buffer {
	w.t.Helper()
	set, err := canary.New(names, freeLabel)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Known = map[queue.Kind]*canary.Set{queue.KindDelegation: set, queue.KindRDAP: set, queue.KindStatus: set}
	var log bytes.Buffer
	w.Log = slog.New(slog.NewJSONHandler(&log, nil))
	return &log
}

// hear asks an upstream, and gives what is believed of its answers.
func (w *world) hear(m queue.Message, up *answers) []source.Observation {
	return w.believe(w.t.Context(), m, newSubjects(w.Store, m.Domains), up.Ask(w.t.Context(), m))
}

func absent404() source.Observation {
	return source.Observation{Outcome: source.Absent, Said: "404"}
}

func market(tokens ...string) source.Observation {
	return source.Observation{Outcome: source.Observed, Said: strings.Join(tokens, " "), Market: &source.Market{Tokens: tokens, Precise: true}}
}

// TestBadNewsNeedsAKnownName: for each upstream, what it says of names whose answer is known decides whether its
// bad news about another counts.
func TestBadNewsNeedsAKnownName(t *testing.T) {
	wild := delegated("ns.example")
	wild.Delegation.Form = source.FormNoData
	silence := source.Observation{Outcome: source.Unknown, Cause: source.CauseTimeout, Said: "silence"}
	tests := map[string]struct {
		kind        queue.Kind
		bad         source.Observation
		known, free source.Observation
		believed    bool
	}{
		"zone in order":                     {queue.KindDelegation, gone(), delegated("ns.example"), gone(), true},
		"zone that lost everything":         {queue.KindDelegation, gone(), gone(), gone(), false},
		"zone that is silent about it":      {queue.KindDelegation, gone(), silence, gone(), false},
		"zone that delegates anything":      {queue.KindDelegation, gone(), delegated("ns.example"), delegated("ns.sink"), false},
		"zone with a wildcard":              {queue.KindDelegation, gone(), delegated("ns.example"), wild, true},
		"registry in order":                 {queue.KindRDAP, absent404(), registered("active"), absent404(), true},
		"registry that knows nobody":        {queue.KindRDAP, absent404(), absent404(), absent404(), false},
		"registry that deletes everybody":   {queue.KindRDAP, registered("redemption period"), registered("pending delete"), absent404(), false},
		"registry that knows everybody":     {queue.KindRDAP, registered("redemption period"), registered("active"), registered("active"), false},
		"registry that refuses the free":    {queue.KindRDAP, absent404(), registered("active"), silence, true},
		"status API in order":               {queue.KindStatus, market("inactive"), market("active"), market("inactive"), true},
		"status API that calls all expired": {queue.KindStatus, market("expiring"), market("expiring"), market("inactive"), false},
		"status API that calls all free":    {queue.KindStatus, market("inactive"), market("inactive"), market("inactive"), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			log := w.know("known.com")
			up := map[queue.Kind]*answers{queue.KindDelegation: w.dns, queue.KindRDAP: w.rdap, queue.KindStatus: w.statusA}[tt.kind]
			up.by["victim.com"], up.by["known.com"], up.by[freeLabel+".com"] = tt.bad, tt.known, tt.free
			m := queue.Message{Kind: tt.kind, Upstream: "com", Domains: []queue.Entry{{Name: "victim.com"}}}
			obs := w.hear(m, up)
			if got := obs[0].Cause != source.CauseNotBelieved; got != tt.believed {
				t.Errorf("believed: %t, want %t; the log says\n%s", got, tt.believed, log)
			}
			if warned := strings.Contains(log.String(), "upstream_not_believed"); warned == tt.believed {
				t.Errorf("the log tells of doubt: %t, believed: %t", warned, tt.believed)
			}
			if !tt.believed && (obs[0].Outcome != source.Unknown || obs[0].Said != tt.bad.Said) {
				t.Errorf("not believed, and given on as %+v", obs[0])
			}
		})
	}
}

// TestGoodNewsAsksNobody: only bad news costs further questions, and an upstream that was right is believed for a
// few minutes.
func TestGoodNewsAsksNobody(t *testing.T) {
	w := newWorld(t)
	w.know("known.com", "other.net")
	w.dns.by["fine.com"], w.dns.by["victim.com"] = delegated("ns.example"), gone()
	w.dns.by["known.com"], w.dns.by[freeLabel+".com"] = delegated("ns.example"), gone()
	ask := func(name string) int {
		m := queue.Message{Kind: queue.KindDelegation, Upstream: "com", Domains: []queue.Entry{{Name: name}}}
		before := len(w.dns.asked)
		w.hear(m, w.dns)
		return len(w.dns.asked) - before - 1
	}
	if n := ask("fine.com"); n != 0 {
		t.Errorf("good news asked about %d further names", n)
	}
	if n := ask("victim.com"); n != 2 {
		t.Errorf("bad news asked about %d further names, want one registered and one free", n)
	}
	if n := ask("victim.com"); n != 0 {
		t.Errorf("asked about %d further names again at once", n)
	}
	w.at = w.at.Add(trustFor)
	if n := ask("victim.com"); n != 2 {
		t.Errorf("after %v asked about %d further names, want 2", trustFor, n)
	}
}

// TestAnotherTLDOfTheServerSpeaksForIt: registries run many TLDs on one server.
func TestAnotherTLDOfTheServerSpeaksForIt(t *testing.T) {
	w := newWorld(t)
	w.know("known.com")
	w.Servers = oneServer{}
	w.rdap.by["victim.shop"], w.rdap.by["known.com"], w.rdap.by[freeLabel+".com"] = absent404(), absent404(), absent404()
	m := queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Domains: []queue.Entry{{Name: "victim.shop"}}}
	if obs := w.hear(m, w.rdap); obs[0].Cause != source.CauseNotBelieved {
		t.Errorf("a server that lost known.com is believed about .shop: %+v", obs[0])
	}
	m.Upstream = "https://elsewhere.example/"
	if obs := w.hear(m, w.rdap); obs[0].Cause == source.CauseNotBelieved {
		t.Error("a server of which no name is known is doubted")
	}
}

type oneServer struct{}

func (oneServer) Server(string) (string, bool, bool) { return rdapBase, true, true }

// TestDisbelievedNamesAreAskedAgain: they are parked, not judged; the rest of the message is.
func TestDisbelievedNamesAreAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.know("known.com")
	victim, fine := w.add("victim.com"), w.add("fine.com")
	w.rdap.by["victim.com"], w.rdap.by["fine.com"] = absent404(), registered("active")
	w.rdap.by["known.com"], w.rdap.by[freeLabel+".com"] = absent404(), absent404()
	m := queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Group: "rdap/x", Domains: []queue.Entry{victim, fine}}
	if err := w.message(t.Context(), "", m); err != nil {
		t.Fatal(err)
	}
	if d := w.get("victim.com"); d.State.RegAt != 0 || d.State.Phase == lifecycle.Released {
		t.Errorf("bad news that is not believed was judged: %+v", d.State)
	}
	if d := w.get("fine.com"); d.State.RegAt == 0 {
		t.Error("good news in the same message was lost")
	}
	if parked := w.parked(); len(parked) != 1 || len(parked[0].Domains) != 1 || parked[0].Domains[0].Name != "victim.com" {
		t.Errorf("parked %+v, want victim.com alone", parked)
	}
}

// TestWebPagesForMostAnswersAreTheUpstreams: they are parked as any failure; a lone one is its domain's own unknown.
func TestWebPagesForMostAnswersAreTheUpstreams(t *testing.T) {
	page := source.Observation{Outcome: source.Unknown, Cause: source.CauseHTML, Said: "a page"}
	names := []string{"a-one.com", "b-two.com", "c-three.com", "d-four.com"}
	for pages, parked := range map[int]int{1: 0, 2: 0, 3: 3, 4: 4} {
		w := newWorld(t)
		var entries []queue.Entry
		for i, name := range names {
			entries = append(entries, w.add(name))
			w.rdap.by[name] = registered("active")
			if i < pages {
				w.rdap.by[name] = page
			}
		}
		if err := w.message(t.Context(), "", queue.Message{Kind: queue.KindRDAP, Upstream: rdapBase, Group: "rdap/x", Domains: entries}); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range w.parked() {
			n += len(m.Domains)
		}
		if n != parked {
			t.Errorf("%d pages of 4 answers: %d domains parked, want %d", pages, n, parked)
		}
	}
}

// parked is every parked message.
func (w *world) parked() (messages []queue.Message) {
	w.t.Helper()
	items, _, err := w.Store.Query(w.t.Context(), records.Parked("", 10))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, it := range items {
		var m queue.Message
		if err := json.Unmarshal(it.Data, &m); err != nil {
			w.t.Fatal(err)
		}
		messages = append(messages, m)
	}
	return messages
}

func TestSourcesKnowOnlyRealNamesOfRealUpstreams(t *testing.T) {
	tests := map[string]struct {
		s    Sources
		want map[queue.Kind]bool
	}{
		"all real":      {Sources{StatusURL: "https://api.fastly.com/domain-management/v1/tools/status"}, map[queue.Kind]bool{queue.KindDelegation: true, queue.KindServers: true, queue.KindRDAP: true, queue.KindStatus: true}},
		"the default":   {Sources{}, map[queue.Kind]bool{queue.KindDelegation: true, queue.KindServers: true, queue.KindRDAP: true, queue.KindStatus: true}},
		"Domainr":       {Sources{Bootstrap: "boot.json", DNSServers: []string{"127.0.0.1:53"}, StatusURL: "https://api.domainr.com/v2/status"}, map[queue.Kind]bool{queue.KindStatus: true}},
		"other servers": {Sources{Bootstrap: "boot.json", DNSServers: []string{"127.0.0.1:53"}, StatusURL: "http://127.0.0.1/"}, nil},
		"other RDAP":    {Sources{Bootstrap: "boot.json", StatusURL: "http://127.0.0.1/"}, map[queue.Kind]bool{queue.KindDelegation: true, queue.KindServers: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.s.Canaries = []string{"example.com"}
			sets, err := tt.s.known()
			if err != nil {
				t.Fatal(err)
			}
			for kind, set := range sets {
				if got := len(set.All()) > 1; got != tt.want[kind] {
					t.Errorf("%s: real names known: %t, want %t", kind, got, tt.want[kind])
				}
			}
		})
	}
	if _, err := (Sources{Canaries: []string{"co.uk"}}).known(); err == nil || !strings.Contains(err.Error(), "LAPSEGUARD_CANARIES") {
		t.Errorf("a public suffix as a canary: %v", err)
	}
}
