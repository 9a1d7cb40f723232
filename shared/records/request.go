package records

import (
	"context"
	"iter"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// Request is the frozen request of a decision, and what became of it: a retry is the same request. PK PKRequest, SK the
// key that it carries (decision.Key).
type Request struct {
	Domain   string             `json:"domain"`
	Request  registry.Request   `json:"request"`
	At       time.Time          `json:"at"`
	Answer   *registry.Answer   `json:"answer,omitempty"`
	Restored *registry.Restored `json:"restored,omitempty"` // taken back
	Budget   safety.Unit        `json:"budget,omitzero"`    // that it took
}

// Request reads the request that was sent under a key.
func (b Book) Request(ctx context.Context, key string) (Of[Request], error) {
	r, err := get[Request](ctx, b, PKRequest, key)
	r.V.Request.Domain = r.V.Domain // it is no part of the request's JSON, but of its path
	return r, err
}

// AllRequests walks through the requests about every domain.
func (b Book) AllRequests(ctx context.Context) iter.Seq2[Of[Request], error] {
	return all[Request](ctx, b, store.Query{PK: PKRequest})
}

// maxRequests bounds the keys that Requests gives of one domain.
const maxRequests = 200

// Requests are the keys of every request about a domain.
func (b Book) Requests(ctx context.Context, name string) (keys []string, err error) {
	for it, err := range b.Items(ctx, store.Query{PK: PKRequest, After: name + ":", Before: name + ";", Limit: maxRequests}) {
		if err != nil || len(keys) == maxRequests {
			return keys, err
		}
		keys = append(keys, it.SK)
	}
	return keys, nil
}
