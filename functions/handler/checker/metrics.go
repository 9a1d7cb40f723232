package checker

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// Upstreams are the values of telemetry.DimUpstream: the largest of a kind, and the others. Each costs money every month; the
// log's message_answered names all of them.
func Upstreams() []string {
	return []string{"delegation/com", "delegation/other", "rdap/rdap.verisign.com", "rdap/other", "mail/resolver", "status"}
}

// large are upstreams besides whose failures count with few domains in a message too.
var large = []string{"delegation/net", "delegation/org", "rdap/rdap.publicinterestregistry.org", "rdap/rdap.identitydigital.services"}

// upstreamName is the value of telemetry.DimUpstream for a message's upstream: one of Upstreams.
func upstreamName(m queue.Message) string {
	name := wholeName(m)
	if kind, _, _ := strings.Cut(name, "/"); !slices.Contains(Upstreams(), name) {
		return kind + "/other"
	}
	return name
}

// wholeName names a message's upstream by its kind, and what it is asked at.
func wholeName(m queue.Message) string {
	kind, name := string(m.Kind), m.Upstream
	switch m.Kind {
	case queue.KindRDAP:
		if u, err := url.Parse(m.Upstream); err == nil {
			name = u.Hostname()
		}
	case queue.KindMail:
		return "mail/resolver"
	case queue.KindStatus:
		return "status"
	case queue.KindServers:
		return "delegation/other" // what it does not answer, zones did not: their own servers have no failure that is ours
	case queue.KindDelegation:
	}
	return kind + "/" + name
}

// manyDomains is from how many domains on a message's failure is an alarm's business, where its upstream is not told
// apart: among hundreds of small servers one or the other is always out of order, and told after two days.
const manyDomains = 10

// measure writes what an upstream failed to answer. A message that was not asked for lack of time is no failure of
// the upstream.
func (h *Handler) measure(m queue.Message, obs []source.Observation) {
	faults, throttled, fault := 0, 0, faulty(obs)
	for _, o := range obs {
		if !fault(o) || o.Cause == source.CauseNotAsked {
			continue
		}
		faults++
		if o.Cause == source.CauseRateLimited {
			throttled++
		}
	}
	values := map[string]float64{}
	if faults > 0 {
		values[telemetry.UpstreamErrors] = float64(faults)
	}
	h.Metrics.EmitBy(telemetry.DimUpstream, upstreamName(m), values)
	whole := map[string]float64{}
	if throttled > 0 {
		whole[telemetry.UpstreamThrottled] = float64(throttled)
	}
	heavy := len(obs) >= manyDomains || !strings.HasSuffix(upstreamName(m), "/other") || slices.Contains(large, wholeName(m))
	heavy = heavy && !slices.Contains(h.AcceptedSilent, string(m.Kind)+"/"+m.Upstream)
	if faults*2 >= len(obs) && faults > 0 && heavy {
		whole[telemetry.UpstreamFailing] = 1
	}
	if m.Kind == queue.KindRDAP && h.Published != nil {
		if at := h.Published(); !at.IsZero() {
			whole[telemetry.ListAge] = float64(int(h.Now().Sub(at) / (24 * time.Hour)))
		}
	}
	h.Metrics.Emit(whole)
}
