package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/scenario"
	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// report prints the table and compares the registry with the scenario. earlier is the number of calls that the
// registry had logged before this run. Domains about which nothing is to be done are counted, or listed with everything.
func (st *stage) report(ctx context.Context, s streams, earlier int, everything bool) error {
	addresses, err := st.registry.Addresses(ctx)
	if err != nil {
		return err
	}
	calls, err := st.registry.Calls(ctx)
	if err != nil {
		return err
	}
	wrong := st.wrongAddresses(addresses)
	lost := map[string]int{}
	for i, a := range addresses {
		if !a.Verified && a.Key != "" {
			lost[st.accounts[i].Domain]++
		}
	}
	domains := slices.Clone(st.scenario.Domains)
	slices.SortFunc(domains, func(a, b scenario.Domain) int { return riskOf(a, lost).before(riskOf(b, lost)) })
	var rows [][]string
	quiet, closed := 0, 0
	for _, d := range domains {
		row, bad, err := st.line(ctx, d, lost[d.Name])
		if err != nil {
			return err
		}
		wrong = append(wrong, bad...)
		if d.Expect.Closed {
			closed++
		}
		if lifecycle.Action(d.Expect.Action).Weight() < lifecycle.Hold.Weight() && len(bad) == 0 && lost[d.Name] == 0 && !wasUnserved(d) {
			if quiet++; !everything {
				continue
			}
		}
		rows = append(rows, row)
	}
	if err := screenOf(s.out).grid([]string{"domain", "action", "lost", "phase", "held for, or on which evidence"}, rows); err != nil {
		return err
	}
	if !everything {
		fmt.Fprintf(s.out, "and %d domains about which nothing is to be done (demo --all lists them).\n\n", quiet)
	}
	changing := 0
	for _, c := range calls[earlier:] {
		if c.Changed > 0 {
			changing++
		}
	}
	wrong = append(wrong, twice(calls)...)
	screenOf(s.out).words(fmt.Sprintf("%d addresses at %d domains; %d unverified, and recovery closed at %d domains. The registry's log has %d calls, %d new in this run, of which %d changed addresses.",
		len(addresses), len(domains), sum(lost), closed, len(calls), len(calls)-earlier, changing))
	if len(wrong) > 0 {
		for _, w := range wrong {
			fmt.Fprintln(s.out, "NOT AS THE SCENARIO SAYS:", w)
		}
		return fmt.Errorf("%d things are not as the scenario says", len(wrong))
	}
	fmt.Fprintln(s.out, "Every address is as the scenario says.")
	fmt.Fprint(s.out, nextSteps)
	return nil
}

const nextSteps = `
Next:
  bin/lapseguard explain auctioned.com          what is known of it, and what was done
  bin/lapseguard holds                          what waits for you
  bin/lapseguard audit --emails addresses.csv   your own addresses; changes nothing
`

func riskOf(d scenario.Domain, lost map[string]int) risk {
	r := risk{lifecycle.Action(d.Expect.Action), lifecycle.Phase(d.Expect.Phase), len(d.Addresses), d.Name, one(wasUnserved(d))}
	if lost[d.Name] > 0 { // also where the domain is fine by now
		r.action = lifecycle.Unverify
	}
	return r
}

// wasUnserved: nobody served its zone, and it is not as it was.
func wasUnserved(d scenario.Domain) bool { return d.Row == "not served" && d.Expect.Closed }

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// wrongAddresses compares each address with what the scenario says of it. Addresses are named by their number.
func (st *stage) wrongAddresses(addresses []refregistry.AddressState) (wrong []string) {
	if len(addresses) != len(st.accounts) {
		return []string{fmt.Sprintf("the registry has %d addresses, the scenario %d", len(addresses), len(st.accounts))}
	}
	for i, a := range addresses {
		if want := !st.accounts[i].Lost; a.Verified != want {
			wrong = append(wrong, fmt.Sprintf("address %d, at %s: verified %t, want %t", i+1, a.Domain, a.Verified, want))
		}
	}
	return wrong
}

// twice finds keys by which the registry's addresses were changed more than once.
func twice(calls []refregistry.Call) (wrong []string) {
	n := map[string]int{}
	for _, c := range calls {
		if c.Op == "unverify" && c.Changed > 0 {
			if n[c.Key]++; n[c.Key] == 2 {
				wrong = append(wrong, "addresses were unverified twice by key "+c.Key)
			}
		}
	}
	return wrong
}

// line is a domain's row, and what of it is not as the scenario says.
func (st *stage) line(ctx context.Context, d scenario.Domain, lost int) ([]string, []string, error) {
	r, err := rowOf(ctx, st.host.Store, d.Name)
	if errors.Is(err, store.ErrNotFound) {
		return []string{d.Name, "not watched", "", "", ""}, []string{d.Name + " is not watched"}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := records.In(st.host.Store).Matter(ctx, d.Name)
	if err != nil {
		return nil, nil, err
	}
	held := ""
	hold, err := records.In(st.host.Store).Hold(ctx, d.Name)
	if err != nil {
		return nil, nil, err
	}
	if hold.Found() && m.Domain.Action.Weight() >= lifecycle.Hold.Weight() && m.Case.V.Status != decision.Done {
		held = hold.V.Why
	}
	action := string(r.Action)
	if m.Domain.Acted && lost > 0 {
		action = "unverified"
	}
	var wrong []string
	if string(r.Phase) != d.Expect.Phase || string(r.Action) != d.Expect.Action {
		wrong = append(wrong, fmt.Sprintf("%s: %s, %s (%s); want %s, %s", d.Name, r.Phase, r.Action, r.Reason, d.Expect.Phase, d.Expect.Action))
	}
	closed := m.Recovery.V.Since != 0
	if closed && held == "" && action != "unverified" {
		action = "closed"
	}
	if closed != d.Expect.Closed {
		wrong = append(wrong, fmt.Sprintf("%s: recovery closed %t, want %t", d.Name, closed, d.Expect.Closed))
	}
	if d.Expect.Action == string(lifecycle.Hold) && held == "" && !closed && len(d.Addresses) > 0 {
		wrong = append(wrong, d.Name+": no hold is recorded")
	}
	return []string{d.Name, action, fmt.Sprintf("%d of %d", lost, len(d.Addresses)), string(r.Phase), cmp.Or(cell(held), cell(r.Unserved), brief(r))}, wrong, nil
}

// brief is the evidence in a few words.
func brief(r row) string {
	lines := make([]string, len(r.Evidence))
	for i, e := range r.Evidence {
		first, _, _ := strings.Cut(cell(e.Said), ";")
		lines[i] = e.Source + ": " + text.Trim(strings.TrimPrefix(first, "status: "), 100)
	}
	return strings.Join(lines, "\n")
}
