package keycloak

import (
	"slices"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// What other tools undo is answered as open until the sweep has put it back.
func TestWhatOthersUndo(t *testing.T) {
	for name, undo := range map[string]func(f *fake){
		"membership": func(f *fake) { f.user("id-ann").groups = nil },
		"group deleted and made again": func(f *fake) {
			f.mu.Unlock()
			f.deleteGroup()
			f.mu.Lock()
			f.group = &group{ID: "g2", Attributes: map[string][]string{attribute: {attributeValue}}}
		},
		"group deleted":   func(f *fake) { f.mu.Unlock(); f.deleteGroup(); f.mu.Lock() },
		"group attribute": func(f *fake) { f.group = &group{ID: "g"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, small(), nil)
			a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
			wantAnswer(t, a, err, 2, 1, 1)
			want := r.fake.state()
			r.fake.mu.Lock()
			undo(r.fake)
			r.fake.mu.Unlock()
			probe := registry.NewObserver(r.client)
			if a, err := probe.Unverify(t.Context(), request("elsewhere.example", "p")); err != nil || a.Recovery != registry.RecoveryOpen {
				t.Fatalf("before the sweep %+v %v", a, err)
			}
			for range 2 {
				if err := r.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.wantState(t, want)
			}
			if a, err := probe.Unverify(t.Context(), request("elsewhere.example", "p")); err != nil || a.Recovery != registry.RecoveryClosed {
				t.Fatalf("after the sweep %+v %v", a, err)
			}
		})
	}
}

// A flow that was bound back opens every mark: the sweep says so, and does not wait for the next lapse.
func TestSweepReportsAFlowBoundBack(t *testing.T) {
	r := newRig(t, small(), nil)
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	r.fake.mu.Lock()
	r.fake.flows["plain"], r.fake.realm.ResetFlow = resetFlow(false), "plain"
	r.fake.mu.Unlock()
	if err := r.Sweep(t.Context()); err != nil || !strings.Contains(r.log.String(), "recovery_open") {
		t.Fatal(err, r.log)
	}
}

// An administrator lets one account out, and no sweep puts it back.
func TestRelease(t *testing.T) {
	r := newRig(t, small(), nil)
	a, err := r.client.Unverify(t.Context(), request("lapsed.example", "k"))
	wantAnswer(t, a, err, 2, 1, 1)
	for range 2 {
		if err := r.Release(t.Context(), "id-ann"); err != nil {
			t.Fatal(err)
		}
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.fake.state(); strings.Contains(got["ann"], "Q") || got["ben"] != "Q" {
			t.Fatal(got)
		}
	}
	if a, err := registry.NewObserver(r.client).Unverify(t.Context(), request("elsewhere.example", "p")); err != nil || a.Recovery != registry.RecoveryClosed {
		t.Fatalf("%+v %v", a, err)
	}
	if err := r.Release(t.Context(), "id-cay"); err == nil || !strings.Contains(err.Error(), "under no mark") {
		t.Fatal(err)
	}
	if !slices.Contains(r.fake.writes, "DELETE /users/id-ann/groups/g") {
		t.Fatal(r.fake.writes)
	}
}

// Beside alternatives the deny step would do harm: install refuses, show says why it is not there, and one that somebody
// put there does not count.
func TestShowSaysWhatStandsInTheWay(t *testing.T) {
	automatic := []execution{{ID: "1", Requirement: alternative, Provider: "idp-create-user-if-unique"}, {ID: "2", Requirement: alternative, Provider: providerLinkAuto, Index: 1}}
	deny := append(slices.Clone(automatic), execution{ID: "3", Requirement: conditional, SubFlow: true, Name: "deny", Index: 2},
		execution{ID: "4", Requirement: required, Provider: providerCondition, Config: "c", Level: 1}, execution{ID: "5", Requirement: required, Provider: providerDeny, Level: 1, Index: 1})
	for name, flow := range map[string][]execution{"without the step": automatic, "with it": deny} {
		t.Run(name, func(t *testing.T) {
			f := small()
			f.providers, f.flows["broker"] = []provider{{Alias: "other", Enabled: true}}, flow
			r := newRig(t, f, nil)
			g := &Guard{Admin: r.cfg.Admin}
			err := g.Install(t.Context())
			if open, showErr := g.Show(t.Context()); showErr != nil || err == nil || !strings.Contains(err.Error(), "ALTERNATIVE") || !strings.Contains(open, "provider other") || !strings.Contains(open, "ALTERNATIVE") {
				t.Fatalf("install says %v, show %q %v", err, open, showErr)
			}
			if len(f.writes) > 0 {
				t.Fatal("it changed", f.writes)
			}
		})
	}
}
