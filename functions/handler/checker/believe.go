package checker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

const (
	// trustFor is how long an upstream that was right about known names is believed: about one invocation.
	trustFor = 5 * time.Minute
	// knownAsked is how many names known to be registered are asked: one of them may have trouble of its own.
	knownAsked = 3
	// crowd is how many names that a zone delegated before must all be gone or parked at once for the zone's servers,
	// and not the names, to be in doubt.
	crowd = 5
)

// trust remembers which upstreams were right about known names, and when.
type trust struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (t *trust) fresh(key string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	age := now.Sub(t.at[key])
	return age >= 0 && age < trustFor
}

func (t *trust) note(key string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil {
		t.at = map[string]time.Time{}
	}
	t.at[key] = now
}

// believe puts names whose answer is known to an upstream that has bad news. Bad news from one that is wrong about
// them is no news: unknown, and asked again later.
func (h *Handler) believe(ctx context.Context, m queue.Message, known *subjects, obs []source.Observation) []source.Observation {
	doubt := map[string]string{} // by zone: why its bad news does not count, or ""
	if why := h.doubtZone(ctx, m, h.lostEverything(ctx, m, known, obs)); why != "" {
		doubt[m.Upstream] = why
	}
	for i, o := range obs {
		if !bad(m.Domains[i].Name, o) || m.Domains[i].Name == "" {
			continue
		}
		z := zone(m, m.Domains[i].Name)
		why, asked := doubt[z]
		if !asked {
			why = h.doubt(ctx, m, z)
			doubt[z] = why
		}
		if why != "" {
			obs[i] = source.Observation{Source: o.Source, Server: o.Server, At: o.At, Outcome: source.Unknown, Cause: source.CauseNotBelieved, Said: o.Said}
		}
	}
	for z, why := range doubt {
		if why != "" {
			h.Log.ErrorContext(ctx, "upstream_not_believed", "kind", m.Kind, "upstream", m.Upstream, "zone", z, "why", why)
		}
	}
	return obs
}

// confirm puts the names whose recovery is closed, and that the zone now delegates as before, to the upstream's surer way:
// opening is the dangerous direction.
func (h *Handler) confirm(ctx context.Context, m queue.Message, known *subjects, obs []source.Observation) []source.Observation {
	sure, ok := h.Ask[m.Kind].(Confirmer)
	if !ok {
		return obs
	}
	var places []int
	again := m
	again.Domains = nil
	for i, o := range obs {
		if o.Outcome != source.Observed || o.Delegation == nil {
			continue
		}
		if d, err := known.domain(ctx, i); err == nil && d.State.WouldOpen(o.Delegation.NS) {
			places, again.Domains = append(places, i), append(again.Domains, m.Domains[i])
		}
	}
	if len(places) == 0 {
		return obs
	}
	for i, o := range sure.Confirm(ctx, again) {
		obs[places[i]] = o
	}
	return obs
}

// bad is canary.Bad, a delegation to a parking company, and what the TLD's own words say of a deletion (".nl: in
// quarantine").
func bad(name string, o source.Observation) bool {
	if canary.Bad(o) || parked(o) || o.Registration == nil {
		return canary.Bad(o) || parked(o)
	}
	n, _ := domain.Parse(name)
	own := lifecycle.TLDOf(n.Suffix).Words
	return slices.ContainsFunc(o.Registration.Statuses, func(s string) bool {
		w, ok := own.Means(s)
		return ok && deletion(w)
	})
}

// deletion tells whether a word is of a deletion that is under way.
func deletion(w lifecycle.Word) bool {
	return w == lifecycle.WordRedemption || w == lifecycle.WordPendingDelete || w == lifecycle.WordRestore
}

// zone is what one canary answers for: a zone's servers, a registry's TLD, the status API as a whole.
func zone(m queue.Message, name string) string {
	switch m.Kind {
	case queue.KindDelegation:
		return m.Upstream
	case queue.KindRDAP:
		return lastLabel(name)
	default:
		return ""
	}
}

// doubt asks the upstream about names known to be registered and a name known to be free, and says why its bad
// news does not count; empty: it does. Without a known name there is nothing to compare with: then two looks must agree
// (lifecycle.Facts.Control).
func (h *Handler) doubt(ctx context.Context, m queue.Message, zone string) string {
	set := h.Known[m.Kind]
	if set == nil {
		return ""
	}
	known, suffix := h.known(set, m, zone)
	key := string(m.Kind) + "/" + m.Upstream + "/" + zone
	candidate := set.Candidate(zone)
	if m.Kind == queue.KindRDAP {
		candidate = set.CandidateBelow(zone)
	}
	if len(known) == 0 && candidate != "" && !h.dropped(ctx, key, candidate) {
		known = []string{candidate}
		_, suffix, _ = strings.Cut(candidate, ".")
	} else {
		candidate = ""
	}
	if len(known) == 0 || h.trust.fresh(key, h.Now()) {
		return ""
	}
	known = known[:min(len(known), knownAsked)]
	ask := func(names ...string) []source.Observation {
		q := m
		q.Domains = nil
		for _, name := range names {
			q.Domains = append(q.Domains, queue.Entry{Name: name})
		}
		return h.Ask[m.Kind].Ask(ctx, q)
	}
	answers := ask(set.Free(suffix), known[0])
	if free := answers[0]; canary.Good(free) && (free.Delegation == nil || free.Delegation.Form == source.FormReferral) {
		// A zone with a wildcard has some record for every name; only a delegation would be a lie.
		return "it knows a name that nobody registered: " + free.Said
	}
	right := func(i int, o source.Observation) bool { return canary.Good(o) && !bad(known[i], o) }
	if answers = answers[1:]; !right(0, answers[0]) && len(known) > 1 {
		answers = append(answers, ask(known[1:]...)...) // the first may have trouble of its own
	}
	var said []string
	for i, o := range answers {
		if right(i, o) {
			h.trust.note(key, h.Now())
			if candidate != "" {
				h.noted(ctx, h.book().Admitted(ctx, key, candidate))
			}
			return ""
		}
		said = append(said, known[i]+": "+o.Said)
	}
	if candidate != "" && answers[0].Outcome != source.Unknown && h.deny(ctx, key, candidate, answers[0].Said) {
		return ""
	}
	return "it does not know names that are registered: " + strings.Join(said, "; ")
}

// dropped tells whether a candidate for a control name was denied for so long that it is none. Where that cannot be read,
// it is asked.
func (h *Handler) dropped(ctx context.Context, upstream, name string) bool {
	d, err := h.book().Denied(ctx, upstream, name)
	h.noted(ctx, err)
	return !d.Dropped.IsZero()
}

// deny notes that an upstream that is right about a free name denies a candidate, and tells whether it is none any more.
func (h *Handler) deny(ctx context.Context, upstream, name, said string) bool {
	d, first, err := h.book().Deny(ctx, upstream, name, h.Now())
	h.noted(ctx, err)
	if first {
		h.Log.WarnContext(ctx, "control_name_dropped", "upstream", upstream, "name", name, "denied_since", d.Since, "said", said)
	}
	return !d.Dropped.IsZero()
}

// noted logs that what is known of a candidate could not be read or written: it is found out anew with the next bad news.
func (h *Handler) noted(ctx context.Context, err error) {
	if err != nil {
		h.Log.ErrorContext(ctx, "control_name_not_noted", "error", err)
	}
}

// known gives the registered names that the upstream must know, and the suffix below which a free one is asked.
// Registries run many TLDs on one server: where a TLD has no name of its own, another's on that server speaks
// for it.
func (h *Handler) known(set *canary.Set, m queue.Message, zone string) (names []string, suffix string) {
	switch m.Kind {
	case queue.KindDelegation:
		return set.Zone(zone), zone
	case queue.KindRDAP:
		names = set.TLD(zone)
		for _, name := range set.All() {
			if len(names) > 0 {
				break
			}
			if base, _, ok := h.Servers.Server(lastLabel(name)); ok && base == m.Upstream {
				names = append(names, name)
			}
		}
	default:
		names = set.All()
	}
	if len(names) > 0 {
		_, suffix, _ = strings.Cut(names[0], ".")
	}
	return names, suffix
}

// lostEverything are the names that the zone delegated when it was last asked and now never heard of, or gives to a
// parking company, when not one is left.
func (h *Handler) lostEverything(ctx context.Context, m queue.Message, known *subjects, obs []source.Observation) (lost []string) {
	if m.Kind != queue.KindDelegation || slices.ContainsFunc(obs, func(o source.Observation) bool { return canary.Good(o) && !parked(o) }) {
		return nil
	}
	for i, o := range obs {
		d, err := known.domain(ctx, i)
		if err != nil || d.State.Deleg == lifecycle.DelegationUnknown || d.State.Deleg == lifecycle.DelegationGone || d.State.Deleg == lifecycle.DelegationParked {
			continue
		}
		if o.Outcome == source.Absent || parked(o) {
			lost = append(lost, m.Domains[i].Name)
		}
	}
	return lost
}

// parked tells whether an answer gives a name to a parking company.
func parked(o source.Observation) bool {
	return o.Outcome == source.Observed && o.Delegation != nil && lifecycle.Parking(o.Delegation.NS)
}

const (
	// parkedHome is how many names of a message, and which part of it, must be on a parking company's name servers in their
	// holders' hands for the list of such companies to be in doubt.
	parkedHome     = 25
	parkedHomePart = 0.1
)

// doubtParking raises an alarm where the list of parking companies names a DNS host that many use: who was there before is
// at home and nothing is done about it, but who moves there would be taken for lapsed.
func (h *Handler) doubtParking(ctx context.Context, m queue.Message, known *subjects, obs []source.Observation) {
	n, example := 0, ""
	for i, o := range obs {
		if m.Kind != queue.KindDelegation || !parked(o) {
			continue
		}
		if d, err := known.domain(ctx, i); err == nil && d.State.Home == source.Fingerprint(o.Delegation.NS) {
			n, example = n+1, o.Delegation.NS[0]
		}
	}
	if n >= parkedHome && float64(n) >= parkedHomePart*float64(len(obs)) {
		h.Log.ErrorContext(ctx, "parking_list_doubtful", "zone", m.Upstream, "at_home", n, "of", len(obs), "for_example", example)
		h.Metrics.Emit(map[string]float64{telemetry.BreakerTripped: 1})
	}
}

// doubtZone says why a zone's bad news does not count, of which a message lost all names; empty: it does. A crowd is
// remembered for a day, so that what is left of it in messages of fewer names does not pass. Where no name of the zone
// is known to be registered, a crowd that comes in parts is one too.
func (h *Handler) doubtZone(ctx context.Context, m queue.Message, lost []string) string {
	if len(lost) == 0 {
		return ""
	}
	if set := h.Known[m.Kind]; len(lost) < crowd && set != nil && len(set.Zone(m.Upstream)) > 0 {
		d, err := h.book().Doubt(ctx, m.Upstream)
		if err != nil {
			return "whether it lost everything could not be read: " + err.Error()
		}
		return lostAtOnce(d.V, h.Now())
	}
	d, err := h.book().AddDoubt(ctx, m.Upstream, lost, crowd, h.Now())
	if err != nil {
		return "whether it lost everything could not be noted: " + err.Error()
	}
	return lostAtOnce(d, h.Now())
}

func lostAtOnce(d records.Doubt, now time.Time) string {
	if n := d.Lost(now); n >= crowd {
		return fmt.Sprintf("all names that it delegated before are gone at once, or parked: %d and more within a day", n)
	}
	return ""
}
