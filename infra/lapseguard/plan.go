package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
	"github.com/lapseguard/lapseguard/shared/store"
)

// firstScan is the plan of what the registries' servers have not answered yet about the domains of hosts: it is made from
// the state, so that an interrupted audit has the plan of what is left.
func firstScan(ctx context.Context, s store.Store, servers checker.Directory, hosts []registry.HostCount, cautious float64, now time.Time) (rdap.Plan, error) {
	rate := fanout.Rates(servers, cautious)
	questions, seen := map[string]int{}, map[string]bool{}
	for _, h := range hosts {
		name, reason := domain.Parse(h.Host)
		if reason != "" || seen[name.Registrable] {
			continue
		}
		seen[name.Registrable] = true
		r, ok := rate(name)
		if !ok {
			continue
		}
		d, err := records.In(s).Domain(ctx, name.Registrable)
		if err != nil {
			return nil, fmt.Errorf("plan the first scan: %w", err)
		}
		if d.State.RegAt == 0 {
			questions[r.Server]++
		}
	}
	plan := rdap.PlanOf(questions, cautious)
	for i, part := range plan {
		budget, err := records.In(s).Budget(ctx, part.Server)
		if err != nil {
			return nil, fmt.Errorf("plan the first scan: %w", err)
		}
		plan[i].PerMinute /= float64(int(1) << budget.V.Slowed(now))
	}
	return plan, nil
}

// worthPlanning is from when on somebody who waits wants to know for how long.
const worthPlanning = 2 * time.Minute

// writePlan says what a scan that takes long asks whom, at which rate, and when it is done.
func writePlan(w io.Writer, p rdap.Plan, now time.Time) {
	if p.Takes() < worthPlanning {
		return
	}
	fmt.Fprintf(w, "The registries' servers are asked no faster than each of them allows; whole by %s, if they all answer:\n%s",
		now.Add(p.Takes()).UTC().Format("2006-01-02 15:04 UTC"), p)
}
