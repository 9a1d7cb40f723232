package records

import (
	"context"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// PKs of Records.
const (
	PKHosts   = "hosts"
	PKGuard   = "guard"  // run, leases, breaker, how far applier walked
	PKParked  = "parked" // messages whose upstream failed
	PKDigest  = "digest"
	PKRequest = "requests" // frozen requests and their answers, by decision
	PKBroken  = "broken"   // domains that broke the program
)

// SKs of PKGuard, beside the leases and what waits.
const (
	SKRun     = "run"
	SKSynced  = "synced"
	SKBreaker = "breaker"
	SKCanary  = "canary"
	SKDigest  = "digest"
	SKWalk    = "walk"
	// SKClosings is the budget for closing recovery.
	SKClosings = "closings"
)

// Run is the current daily run.
func (b Book) Run(ctx context.Context) (Of[Run], error) { return get[Run](ctx, b, PKGuard, SKRun) }

// Synced is what the next sync starts from.
func (b Book) Synced(ctx context.Context) (Of[Synced], error) {
	return get[Synced](ctx, b, PKGuard, SKSynced)
}

// Ledger is what the breaker counted.
func (b Book) Ledger(ctx context.Context) (Of[safety.Ledger], error) {
	return get[safety.Ledger](ctx, b, PKGuard, SKBreaker)
}

// Canary is the synthetic domain.
func (b Book) Canary(ctx context.Context) (Of[Canary], error) {
	return get[Canary](ctx, b, PKGuard, SKCanary)
}

// Walk is how far applier got in what is due, when that does not fit one invocation.
type Walk struct {
	Shard   int                 `json:"shard,omitempty"`   // of the index of due items
	Cursor  string              `json:"cursor,omitempty"`  // in that shard
	Whole   bool                `json:"whole,omitempty"`   // it came to the end: what it found can be judged
	Pending map[string]int      `json:"pending,omitempty"` // decisions that the breaker judges, by class
	Names   map[string][]string `json:"names,omitempty"`   // what is to be put to the registry, by class; "": approved
	// Closings are the domains at which recovery is to be closed, by their rank: the budget is theirs in that order.
	Closings map[int][]string `json:"closings,omitempty"`
}

// Walk reads it.
func (b Book) Walk(ctx context.Context) (Of[Walk], error) { return get[Walk](ctx, b, PKGuard, SKWalk) }

// Line is one thing that the day's digest tells.
type Line struct {
	What    string `json:"what"`
	Domain  string `json:"domain"`
	Phase   string `json:"phase"`
	Changed int    `json:"changed"`
	Unknown bool   `json:"unknown,omitempty"` // nobody counted
}

// Day is how records name a day.
const Day = "2006-01-02"

// PutLine is the write of a line of the digest of at's day; a line of the same key is one.
func PutLine(at time.Time, key string, l Line) store.Write {
	at = at.UTC()
	return Record(PKDigest+"/"+at.Format(Day), key+"/"+l.What, l, at.Add(RunTTL))
}

// Lines are a day's lines.
func (b Book) Lines(ctx context.Context, day string) (lines []Line, err error) {
	for r, err := range all[Line](ctx, b, store.Query{PK: PKDigest + "/" + day}) {
		if err != nil {
			return nil, err
		}
		lines = append(lines, r.V)
	}
	return lines, nil
}

// Digest is a day in words.
type Digest struct {
	Text string `json:"text"`
}

// Digest reads a day's.
func (b Book) Digest(ctx context.Context, day string) (Of[Digest], error) {
	return get[Digest](ctx, b, PKDigest, day)
}

// Digested is the last day whose digest is written.
type Digested struct {
	Day string `json:"day"`
}

// Digested reads it.
func (b Book) Digested(ctx context.Context) (Of[Digested], error) {
	return get[Digested](ctx, b, PKGuard, SKDigest)
}

// Upstreams reads what is known of every upstream, by kind/upstream.
func (b Book) Upstreams(ctx context.Context) (map[string]Upstream, error) {
	known := map[string]Upstream{}
	for r, err := range all[Upstream](ctx, b, store.Query{PK: PKUpstreams}) {
		if err != nil {
			return nil, err
		}
		known[r.SK()] = r.V
	}
	return known, nil
}

// LastGood is when an upstream last gave an answer that could be believed; 0: never, or it is not known.
func (b Book) LastGood(ctx context.Context, upstream string) (lifecycle.Instant, error) {
	r, err := get[Upstream](ctx, b, PKUpstreams, upstream)
	return r.V.LastGood, err
}
