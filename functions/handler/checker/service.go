package checker

import (
	"context"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

// serversDue tells whether a domain's own name servers are to be asked after a look: in the run of the day of its MX, and
// again while nobody serves its zone. Where the resolver fails for its MX, foldMail asks them.
func (h *Handler) serversDue(d *records.Domain, m queue.Message, now lifecycle.Instant) bool {
	delegated := d.State.Deleg == lifecycle.DelegationHome || d.State.Deleg == lifecycle.DelegationMoved
	return h.Ask[queue.KindServers] != nil && d.Listed && delegated && (!m.Look && h.mailDay(d, lifecycle.At(m.Sent)) || d.State.ServiceDue(now))
}

// foldService folds what a domain's own name servers said of its zone.
func (h *Handler) foldService(ctx context.Context, v *visit, f lifecycle.Facts, now lifecycle.Instant) {
	d, own := &v.after, v.obs.Service
	d.State = lifecycle.SeeService(d.State, v.obs, f, now)
	lookBy(d, v.before.NextLook, now)
	if v.ask = lifecycle.Questions(v.before.State, d.State, f, lifecycle.Verdict{}, now, v.obs.Source, false); len(v.ask) > 0 {
		d.State.NextRDAP = min(d.State.NextRDAP, now) // stays due until the registry answers
	}
	v.changed = lifecycle.Changed(v.before.State, d.State) || v.before.NextLook != d.NextLook
	if own == nil {
		return
	}
	if own.Serves == source.Served && len(own.Lame) > 0 {
		h.Log.InfoContext(ctx, "lame_server", "domain", d.Name, "said", v.obs.Said,
			"meaning", "one of its name servers does not have its zone; the others do, and nothing follows from it")
	}
	if c := d.State.Control; own.Serves == source.Served && c.Gap == lifecycle.GapLame && c.Giver == "" && h.Ask[queue.KindMail] != nil {
		v.ask = append(v.ask, source.SourceMail) // it opens when the MX is as it was
	}
}
