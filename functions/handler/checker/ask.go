package checker

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/dns"
)

// Delegations asks the zone's servers about all domains of a message at once.
type Delegations struct{ Client *dns.Client }

// Ask implements asker.
func (a Delegations) Ask(ctx context.Context, m queue.Message) []source.Observation {
	questions := make([]dns.Question, len(m.Domains))
	for i, e := range m.Domains {
		questions[i] = dns.Question{Name: e.Name, Suffix: m.Upstream}
	}
	return a.Client.Delegations(ctx, questions)
}

// confirmedAtOnce is how many delegations are confirmed at a time: they are few, but for a zone that comes back.
const confirmedAtOnce = 16

// Confirm implements Confirmer.
func (a Delegations) Confirm(ctx context.Context, m queue.Message) []source.Observation {
	obs := make([]source.Observation, len(m.Domains))
	slots := make(chan struct{}, confirmedAtOnce)
	var wg sync.WaitGroup
	for i, e := range m.Domains {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			obs[i] = a.Client.Confirm(ctx, dns.Question{Name: e.Name, Suffix: m.Upstream})
		})
	}
	wg.Wait()
	return obs
}

// OneByOne asks an upstream about one domain after another, within its rate, a few at a time. After Patience
// failures in a row the upstream is left alone: the rest is not asked.
type OneByOne struct {
	Source source.Source
	Lookup func(ctx context.Context, name, tld string) source.Observation
	// Budget is what all checkers together may ask; nil: this process is the only one that asks, at Rate.
	Budget *Budget
	// Rate is questions a second and upstream; a message's Share takes its part of it.
	Rate float64
	// AtOnce bounds the questions under way.
	AtOnce   int
	Patience int
	Now      func() time.Time

	mu       sync.Mutex
	limiters map[string]*rate.Limiter
}

// limiter is the upstream's bucket. It starts with a single token: each invocation begins anew, and must not
// begin with a burst.
func (a *OneByOne) limiter(m queue.Message) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.limiters[m.Group]
	if l == nil {
		if a.limiters == nil {
			a.limiters = map[string]*rate.Limiter{}
		}
		l = rate.NewLimiter(rate.Limit(a.Rate*max(m.Share, 0.01)), 1)
		a.limiters[m.Group] = l
	}
	return l
}

// pace lets a question wait for its turn; its error is that there is none.
type pace interface {
	Wait(ctx context.Context) error
}

// pace is the upstream's, for the questions of a message.
func (a *OneByOne) pace(m queue.Message) pace {
	if a.Budget == nil {
		return a.limiter(m)
	}
	return a.Budget.turns(m.Upstream, len(m.Domains), a.Now)
}

// Ask implements asker.
func (a *OneByOne) Ask(ctx context.Context, m queue.Message) []source.Observation {
	obs := make([]source.Observation, len(m.Domains))
	pace := a.pace(m)
	var (
		mu     sync.Mutex
		next   int
		faults int
		wg     sync.WaitGroup
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(obs) || faults >= a.Patience {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range min(max(a.AtOnce, 1), len(obs)) {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				obs[i] = a.one(ctx, pace, m, m.Domains[i].Name)
				mu.Lock()
				if faults++; obs[i].Outcome != source.Unknown || !upstreamFault(obs[i].Cause) {
					faults = 0
				}
				if obs[i].Cause == source.CauseRateLimited || obs[i].Slower {
					faults = a.Patience // it said so: no further question
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t, shared := pace.(*turns)
	away := a.Budget.learn(ctx, m.Upstream, obs, shared && t.wasSilent(), a.Now())
	if shared {
		away = max(away, t.away())
	}
	for i := range obs {
		if obs[i].Source == "" {
			obs[i] = a.notAsked(m)
		}
		if obs[i].Cause == source.CauseNotAsked {
			obs[i].RetryAfter = away
		}
	}
	return obs
}

func (a *OneByOne) one(ctx context.Context, p pace, m queue.Message, name string) source.Observation {
	if err := p.Wait(ctx); err != nil {
		return a.notAsked(m)
	}
	return a.Lookup(ctx, name, name[strings.LastIndexByte(name, '.')+1:])
}

func (a *OneByOne) notAsked(m queue.Message) source.Observation {
	return source.Observation{Source: a.Source, Server: m.Upstream, At: a.Now(), Outcome: source.Unknown, Cause: source.CauseNotAsked, Said: "not asked"}
}
