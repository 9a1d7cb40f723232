package dns

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/lapseguard/lapseguard/shared/source"
)

// records answers like a resolver out of a list of records.
func records(lines ...string) script {
	return func(question *mdns.Msg, _ bool) [][]byte {
		var found []string
		for _, line := range lines {
			record, err := mdns.NewRR(line)
			if err != nil {
				panic(err)
			}
			asked := question.Question[0]
			if strings.EqualFold(record.Header().Name, asked.Name) && record.Header().Rrtype == asked.Qtype {
				found = append(found, line)
			}
		}
		return [][]byte{packed(reply(question, found...))}
	}
}

// ownServers is a client that finds the zones' servers through a resolver, on a port where they listen.
func ownServers(t *testing.T, resolver, zoneServer *server, config Config) *Client {
	t.Helper()
	config.Resolver = resolver.address
	c := client(t, config)
	_, c.zonePort, _ = net.SplitHostPort(zoneServer.address)
	return c
}

func TestFindsTheZoneAbove(t *testing.T) {
	resolver := serve(t, records(
		"uk. 3600 IN NS ns1.nic.uk.", "ns1.nic.uk. 60 IN A 127.0.0.1",
		"ac.uk. 3600 IN NS ns.ja.net.", "ns.ja.net. 60 IN A 127.0.0.1", "ns.ja.net. 60 IN AAAA 2001:db8::1",
	))
	zoneServer := serve(t, says("aa", "NXDOMAIN"))
	c := ownServers(t, resolver, zoneServer, Config{})
	for suffix, zone := range map[string]string{"ac.uk": "ac.uk", "co.uk": "uk", "uk": "uk"} {
		got := c.Delegation(deadline(t), "foo."+suffix, suffix)
		check(t, got, outcome{outcome: source.Absent, said: "NXDOMAIN"})
		if got.Server != zone {
			t.Errorf("zone above foo.%s is %q, want %q", suffix, got.Server, zone)
		}
	}
	for _, asked := range resolver.history() {
		if !strings.HasSuffix(asked, "rd=true") || strings.Contains(asked, "foo.") {
			t.Errorf("the resolver was asked %q", asked)
		}
	}
	for _, asked := range zoneServer.history() {
		if !strings.HasSuffix(asked, "NS rd=false") {
			t.Errorf("the zone's server was asked %q", asked)
		}
	}
}

// TestAbsenceOfTheWrongZone: with the zone known, the SOA of a zone above it proves nothing.
func TestAbsenceOfTheWrongZone(t *testing.T) {
	resolver := serve(t, records("ac.uk. 3600 IN NS ns.ja.net.", "ns.ja.net. 60 IN A 127.0.0.1"))
	c := ownServers(t, resolver, serve(t, says("aa", "NXDOMAIN", "ns:uk."+soaOf)), Config{})
	got := c.Delegation(deadline(t), "foo.ac.uk", "ac.uk")
	check(t, got, outcome{outcome: source.Unknown, cause: source.CauseLame, said: "NXDOMAIN from zone uk"})
}

func TestZoneNotFound(t *testing.T) {
	tests := map[string]struct {
		resolver script
		want     source.Cause
	}{
		"nobody":            {records(), source.CauseNoServer},
		"no such name":      {says("NXDOMAIN"), source.CauseNoServer},
		"no address":        {records("com. 1 IN NS ns.example."), source.CauseNoServer},
		"IPv6 only":         {records("com. 1 IN NS ns.example.", "ns.example. 1 IN AAAA 2001:db8::1"), source.CauseNoServer},
		"no real address":   {records("com. 1 IN NS ns.example.", "ns.example. 1 IN A 0.0.0.0"), source.CauseNoServer},
		"NS of another":     {says("org. 1 IN NS ns.example."), source.CauseNoServer},
		"silent resolver":   {silent, source.CauseTimeout},
		"failing resolver":  {says("SERVFAIL"), source.CauseServfail},
		"refusing resolver": {says("REFUSED"), source.CauseRefused},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			resolver := serve(t, tt.resolver)
			c := ownServers(t, resolver, resolver, Config{Timeout: brief, Tries: 1, InFlight: 4})
			got := c.Delegation(deadline(t), "foo.com", "com")
			check(t, got, outcome{outcome: source.Unknown, cause: tt.want})
			if got.Server != "com" {
				t.Errorf("server %q", got.Server)
			}
			before := len(resolver.history())
			c.Delegations(deadline(t), questions(20))
			if after := len(resolver.history()); after != before {
				t.Errorf("the failed search was repeated: %v", resolver.history()[before:])
			}
		})
	}
}

func TestZoneIsSearchedOnceAndAges(t *testing.T) {
	resolver := serve(t, records("com. 7200 IN NS ns.example.", "ns.example. 1 IN A 127.0.0.1"))
	var now atomic.Int64
	clock := func() time.Time { return noon.Add(time.Duration(now.Load())) }
	c := ownServers(t, resolver, serve(t, says("aa", "NXDOMAIN")), Config{Now: clock})
	want := []string{"udp com. NS rd=true", "udp ns.example. A rd=true"}
	for _, step := range []struct {
		after    time.Duration
		searches int
	}{{0, 1}, {2*time.Hour - 1, 1}, {2 * time.Hour, 2}, {4*time.Hour - 1, 2}, {4 * time.Hour, 3}} {
		now.Store(int64(step.after))
		for _, observation := range c.Delegations(deadline(t), questions(200)) {
			if observation.Outcome != source.Absent {
				t.Fatalf("after %s: %+v", step.after, observation)
			}
		}
		if got := resolver.history(); !slices.Equal(got, slices.Repeat(want, step.searches)) {
			t.Fatalf("after %s the resolver was asked %v", step.after, got)
		}
	}
}

func TestZoneTTLBounds(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"com. 1 IN NS ns.example.": minZoneTTL, "com. 9999999 IN NS ns.example.": maxZoneTTL, "com. 3600 IN NS ns.example.": time.Hour,
	} {
		resolver := serve(t, records(line, "ns.example. 1 IN A 127.0.0.1"))
		c := client(t, Config{Resolver: resolver.address})
		if found := c.findZone(deadline(t), newWorker(0, new(folding)), "com"); found.ttl != want || found.cause != "" {
			t.Errorf("%s: %+v", line, found)
		}
	}
}

// TestImpatientSearcher: whoever waits for a search that ran out of time searches again.
func TestImpatientSearcher(t *testing.T) {
	resolver := serve(t, records("com. 7200 IN NS ns.example.", "ns.example. 1 IN A 127.0.0.1"))
	c := ownServers(t, resolver, serve(t, says("aa", "NXDOMAIN")), Config{})
	entry, mine := c.zones.entry("com", noon)
	if !mine {
		t.Fatal("the entry is somebody else's")
	}
	done := make(chan source.Observation)
	go func() { done <- c.Delegation(deadline(t), "foo.com", "com") }()
	entry.zone = zone{cause: source.CauseNotAsked}
	close(entry.ready)
	check(t, <-done, outcome{outcome: source.Absent, said: "NXDOMAIN"})
}

func TestManyServersOfAZone(t *testing.T) {
	resolver := serve(t, records(append(many(13, "com. 7200 IN NS ns%d.example."),
		many(13, "ns%[1]d.example. 1 IN A 127.0.0.%[1]d")...)...))
	c := client(t, Config{Resolver: resolver.address})
	found := c.findZone(deadline(t), newWorker(0, new(folding)), "com")
	if len(found.servers) != maxServers || len(resolver.history()) != 1+maxServers {
		t.Errorf("%v, asked %v", found.servers, resolver.history())
	}
}
