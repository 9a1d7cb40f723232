package fanout

import (
	"context"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// unknownAfter is how long nothing believable may be known of a domain before it counts as unknown.
const unknownAfter = 7 * 24 * time.Hour

// count counts a watched domain in its segment.
func (h *Handler) count(d records.Domain, name domain.Name, seg *records.Segment) {
	seg.Watched++
	if d.Synthetic {
		return
	}
	if d.Listed {
		seg.Addresses += d.Addresses
	}
	if d.Listed && d.State.Control.Since != 0 {
		seg.Closed++
	}
	if suffix := name.Suffix; h.unseen(d, suffix) {
		if seg.Unseen == nil {
			seg.Unseen = map[string]int{}
		}
		seg.Unseen[suffix]++
	}
	h.countFirst(d, name, seg)
	if seg.Phases == nil {
		seg.Phases = map[lifecycle.Phase]int{}
	}
	seg.Phases[d.State.Phase]++
	if d.State.Phase == lifecycle.PhaseUnknown && lifecycle.At(h.Now()).Since(d.State.First) >= unknownAfter {
		seg.Unknown++
	}
}

// unseen tells whether nobody would see a lapse of a domain: its TLD's zone need not show one, and nobody who could be
// asked, neither its registry nor the status API, ever gave an answer to believe.
func (h *Handler) unseen(d records.Domain, suffix string) bool {
	heard := d.State.RegAt != 0 || d.State.MktAt != 0
	first := time.Duration(h.BaselineDays)*24*time.Hour + unknownAfter // by then everybody was asked
	return d.Listed && !heard && !lifecycle.TLDOf(suffix).Shows && d.State.First != 0 && lifecycle.At(h.Now()).Since(d.State.First) >= first
}

// otherTLDs is where the domains of further TLDs are counted.
const otherTLDs = "others"

// uncovered tells whether a host cannot be watched although somebody could come to own its domain. Addresses at
// literals, reserved names and public suffixes are nobody's to lose.
func uncovered(h records.Host) bool {
	switch domain.Reason(h.Why) {
	case domain.ReasonNotCovered, domain.ReasonUnknownTLD, domain.ReasonMalformed:
		return true
	case domain.ReasonNone, domain.ReasonEmpty, domain.ReasonIPLiteral, domain.ReasonSpecialUse, domain.ReasonPublicSuffix, domain.ReasonSingleLabel:
	}
	return false
}

// moreUncovered is by how many uncovered hosts a host of the list makes more: of a whole list all count, of a list
// of changes what changed.
func moreUncovered(whole bool, c change, there bool) (n int) {
	if there && uncovered(c.now) {
		n++
	}
	if !whole && c.old.Found() && uncovered(c.old.V) {
		n--
	}
	return n
}

// maxNamed bounds the hosts that the log names for one page of the list.
const maxNamed = 50

// nameUncovered names hosts that are new in the list, or changed, and cannot be watched.
func (h *Handler) nameUncovered(ctx context.Context, changes []change) {
	n := 0
	for _, c := range changes {
		if !uncovered(c.now) {
			continue
		}
		if n++; n <= maxNamed {
			h.Log.WarnContext(ctx, "host_not_covered", "host", c.host, "why", c.now.Why, "addresses", c.now.Addresses)
		}
	}
	if n > maxNamed {
		h.Log.WarnContext(ctx, "hosts_not_covered", "count", n, "named", maxNamed)
	}
}

// measure writes what a dispatched run looks at, as it found it stored.
func (h *Handler) measure(ctx context.Context, run *records.Run) error {
	phases := map[lifecycle.Phase]int{}
	unknown := 0
	for n := range run.Segments {
		seg, err := h.book().Segment(ctx, run.ID, n)
		if err != nil {
			return err
		}
		for phase, count := range seg.V.Phases {
			phases[phase] += count
		}
		unknown += seg.V.Unknown
	}
	synced, err := h.book().Synced(ctx)
	if err != nil {
		return err
	}
	for _, phase := range lifecycle.Phases() {
		h.Metrics.EmitBy(telemetry.DimPhase, string(phase), map[string]float64{telemetry.DomainsByPhase: float64(phases[phase])})
	}
	listed, err := time.Parse(time.DateOnly, domain.ListDate)
	if err != nil {
		return fmt.Errorf("date of the public suffix list: %w", err)
	}
	h.Metrics.Emit(map[string]float64{
		telemetry.DomainsDue:      float64(run.Watched),
		telemetry.DomainsUnknown:  float64(unknown),
		telemetry.RecoveryClosed:  float64(run.Closed),
		telemetry.DomainsUnseen:   float64(run.UnseenAll()),
		telemetry.HostsNotCovered: float64(synced.V.Uncovered),
		telemetry.ItemsSkipped:    float64(run.Skipped),
		telemetry.ListAge:         float64(int(h.Now().Sub(listed) / (24 * time.Hour))),
	})
	return nil
}
