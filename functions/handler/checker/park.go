// Package checker answers messages: it asks one upstream one kind of question about many domains, folds the
// answers into their state, writes what changed, and sends the questions that the answers raise.
package checker

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
)

const (
	// parkFor is how long the rest of a message waits when its upstream did not say; it doubles each time.
	parkFor = 30 * time.Minute
	// maxDoublings bounds that to four hours: within a day's run an upstream is tried a few times more.
	maxDoublings = 3
	// maxTries is how often a message is parked whose upstream is dead: after three and a half hours it counts as
	// answered, with unknown, so that the run comes to its end. The next run asks anew.
	maxTries = 3
	// maxPatience is the same where the upstream lives and puts us off, for over fifteen hours.
	maxPatience = 6
)

// answer is what the upstream said about one domain, by its place in the message.
type answer struct {
	place int
	obs   source.Observation
}

// upstreamFault tells whether a cause speaks of the upstream rather than of the domain.
func upstreamFault(c source.Cause) bool {
	switch c {
	case source.CauseTimeout, source.CauseUnreachable, source.CauseRateLimited, source.CauseForbidden,
		source.CauseServerError, source.CauseServfail, source.CauseRefused, source.CauseNotAsked, source.CauseLame,
		source.CauseNotBelieved:
		return true
	default:
		return false
	}
}

// nonsense is from how many answers in another protocol on they speak of the upstream: one may be a name's own.
const nonsense = 3

// faulty tells which observations speak of the upstream rather than of their domain. Web pages in the place of most
// answers are a proxy or a maintenance page, and come with a status of success.
func faulty(obs []source.Observation) func(source.Observation) bool {
	other := func(o source.Observation) bool {
		switch o.Cause {
		case source.CauseHTML, source.CauseEmptyBody, source.CauseNotRDAP:
			return o.Outcome == source.Unknown
		default:
			return false
		}
	}
	n := 0
	for _, o := range obs {
		if other(o) {
			n++
		}
	}
	most := n >= nonsense && n*2 >= len(obs)
	return func(o source.Observation) bool {
		return o.Outcome == source.Unknown && upstreamFault(o.Cause) || most && other(o)
	}
}

// few names for which the resolver fails are not the resolver's failure: nobody may serve them.
const few = 3

// split parts a message into what was answered and the rest to be parked. Domains that their upstream could not
// answer for are parked when the upstream failed for most of the message, or was not asked for lack of time; a
// lone failure is the domain's own unknown. An urgent domain is not parked for its zone's failure: the registry
// is to be asked all the same.
func split(m queue.Message, obs []source.Observation, urgent func(place int) bool) (answered []answer, rest queue.Message, wait time.Duration) {
	faults, fault := 0, faulty(obs)
	for _, o := range obs {
		if fault(o) {
			faults++
		}
		wait = max(wait, o.RetryAfter)
	}
	failing := faults*2 >= len(obs) && (m.Kind != queue.KindMail || faults >= few)
	rest = m
	rest.Domains = nil
	for i, o := range obs {
		unanswered := o.Outcome == source.Unknown && (fault(o) && failing || o.Cause == source.CauseNotAsked ||
			o.Cause == source.CauseRateLimited || o.Cause == source.CauseNotBelieved)
		if unanswered && !urgent(i) {
			rest.Domains = append(rest.Domains, m.Domains[i])
			continue
		}
		answered = append(answered, answer{i, o})
	}
	return answered, rest, wait
}

// urgent tells whether the registry is due to be asked about a domain, whatever its zone's servers said. What the
// message carries nothing of is found out when it is judged.
func (h *Handler) urgent(ctx context.Context, m queue.Message, known *subjects, place int) bool {
	if m.Kind != queue.KindDelegation || m.Look {
		return m.Kind == queue.KindDelegation
	}
	if len(m.Domains[place].Item) == 0 {
		return false
	}
	d, err := known.domain(ctx, place)
	return err == nil && (d.State.NextRDAP <= lifecycle.At(h.Now()) || d.State.Trouble())
}

// hopeless tells whether a message was parked often enough and not one of its domains was answered this time either.
func hopeless(m queue.Message, obs []source.Observation) bool {
	dead := false
	for _, o := range obs {
		switch {
		case o.Outcome != source.Unknown:
			return false
		case o.Cause == source.CauseRateLimited:
			return m.Tries >= maxPatience
		case o.Cause != source.CauseNotAsked:
			dead = true
		}
	}
	return m.Tries >= maxPatience || dead && m.Tries >= maxTries
}

// giveUp counts the rest of a message as answered with unknown. Nothing is noted at its domains: what was due stays due.
func (h *Handler) giveUp(ctx context.Context, m, rest queue.Message, obs []source.Observation, r *report) {
	for i, o := range obs { // in the order of the rest
		if r.givenUp < len(rest.Domains) && m.Domains[i].Name == rest.Domains[r.givenUp].Name {
			r.givenUp++
			r.causes[o.Cause]++
		}
	}
	r.checked += r.givenUp
	r.unknown += r.givenUp
	h.Log.WarnContext(ctx, "message_given_up", "kind", rest.Kind, "upstream", rest.Upstream, "run", rest.Run, "domains", r.givenUp, "tries", rest.Tries)
}

// park keeps the rest of a message, to be sent again as a new one when its time has come, and gives that new one.
func (h *Handler) park(ctx context.Context, rest queue.Message, wait time.Duration) (queue.Message, error) {
	now := h.Now()
	wait = max(wait, cmp.Or(h.Park, parkFor)<<min(rest.Tries, maxDoublings))
	rest.Tries++
	rest.ID = queue.ContentID(rest)
	due, expires := now.Add(wait), now.Add(records.RunTTL)
	err := h.Store.Write(ctx, records.Record(records.PKParked, records.ParkedSK(due, rest.ID), rest, expires))
	if err == nil {
		err = h.Store.Write(ctx, records.Wake(due, expires))
	}
	if err != nil {
		return rest, fmt.Errorf("park %d domains of %s/%s: %w", len(rest.Domains), rest.Kind, rest.Upstream, err)
	}
	return rest, nil
}
