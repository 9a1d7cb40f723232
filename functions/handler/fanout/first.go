package fanout

import (
	"context"
	"fmt"
	"strings"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
)

// Rates tells which RDAP server is asked about a domain, and how fast it may be, where one is asked; cautious is the rate
// of servers that nobody described, in questions a second.
func Rates(servers interface {
	Server(tld string) (base string, authoritative, ok bool)
}, cautious float64) func(domain.Name) (rdap.Rate, bool) {
	return func(name domain.Name) (rdap.Rate, bool) {
		base, authoritative, ok := servers.Server(name.Suffix[strings.LastIndexByte(name.Suffix, '.')+1:])
		if !ok || !lifecycle.RegistryAsked(name.Suffix, authoritative) {
			return rdap.Rate{}, false
		}
		return rdap.RateOf(base, cautious), true
	}
}

// countFirst counts a domain whose registry was never asked about it.
func (h *Handler) countFirst(d records.Domain, name domain.Name, seg *records.Segment) {
	if h.Rate == nil || d.State.RegAt != 0 || d.State.Silent > 0 {
		return
	}
	rate, ok := h.Rate(name)
	if !ok {
		return
	}
	if seg.First == nil {
		seg.First = map[string]records.First{}
	}
	f := records.First{PerMinute: rate.PerMinute, Due: 1}
	if at := d.State.NextRDAP; at > lifecycle.At(h.Now()) && !d.State.LooksLost() {
		f.Due, f.Later, f.Until = 0, 1, at
	}
	seg.First[rate.Server] = seg.First[rate.Server].Add(f)
}

// planFirst adds the segments' counts up, with the rates at which the servers can be asked now, and tells the plan.
func (h *Handler) planFirst(ctx context.Context, run *records.Run, segments []records.Segment) error {
	run.First, run.FirstAt = map[string]records.First{}, lifecycle.At(h.Now())
	for _, seg := range segments {
		for server, f := range seg.First {
			run.First[server] = run.First[server].Add(f)
		}
	}
	if err := h.book().Slow(ctx, run.First, h.Now()); err != nil {
		return fmt.Errorf("plan the first scan: %w", err)
	}
	if left := run.FirstLeft(h.Now()); len(left) > 0 {
		h.Log.InfoContext(ctx, "first_scan", "run", run.ID, "whole", left[0].Whole, "servers", len(left), "longest", left[:min(len(left), maxNamed)])
	}
	return nil
}
