package checker

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

// TestSourcesThatCannotBeAskedAreNamed: no checker begins without one of them.
func TestSourcesThatCannotBeAskedAreNamed(t *testing.T) {
	for want, s := range map[string]Sources{
		"DNS: ":               {DNSTimeout: -1, StatusURL: Off},
		"RDAP: ":              {Bootstrap: filepath.Join(t.TempDir(), "none.json"), StatusURL: Off},
		"status API: ":        {StatusAPI: "whois"},
		"LAPSEGUARD_CANARIES": {Canaries: []string{"co.uk"}, StatusURL: Off},
	} {
		if c, err := s.Config(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// TestWhoIsAsked: all of them by default; the registries within the budgets that a table holds, if there is one.
func TestWhoIsAsked(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, c := range []struct {
		s               Sources
		status, servers bool
	}{{Sources{}, true, true}, {Sources{Store: db, OwnServers: "on"}, true, true}, {Sources{StatusURL: Off, OwnServers: "OFF"}, false, false}} {
		got, err := c.s.Config()
		if err != nil {
			t.Fatal(err)
		}
		_, status := got.Ask[queue.KindStatus]
		_, servers := got.Ask[queue.KindServers]
		registry, ok := got.Ask[queue.KindRDAP].(*OneByOne)
		if status != c.status || servers != c.servers || !ok || (registry.Budget != nil) != (c.s.Store != nil) || got.Ask[queue.KindMail] == nil || got.Ask[queue.KindDelegation] == nil {
			t.Errorf("%+v: %+v", c.s, got.Ask)
		}
	}
}

// TestEverythingThatIsToBeConfirmedIsAnswered, by a zone that nobody serves too.
func TestEverythingThatIsToBeConfirmedIsAnswered(t *testing.T) {
	c, err := Sources{StatusURL: Off, DNSServers: []string{"127.0.0.1:9"}, DNSTimeout: 50 * time.Millisecond, Now: time.Now}.Config()
	if err != nil {
		t.Fatal(err)
	}
	m := queue.Message{Kind: queue.KindDelegation, Upstream: "com", Domains: make([]queue.Entry, 2*confirmedAtOnce)}
	for i := range m.Domains {
		m.Domains[i].Name = "example.com"
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i, o := range c.Ask[queue.KindDelegation].(Confirmer).Confirm(ctx, m) {
		if o.Source != source.SourceDelegation || o.Outcome != source.Unknown || o.Cause == "" {
			t.Errorf("%d: %+v", i, o)
		}
	}
}
