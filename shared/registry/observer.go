package registry

import (
	"context"
	"errors"
)

// Observer has Unverify as a Client has it and never changes anything: it asks for a dry run.
type Observer struct {
	client *Client
}

// NewObserver observes through a client.
func NewObserver(c *Client) *Observer { return &Observer{client: c} }

// Unverify tells what the request would change. A registry that refuses, fails or knows no dry run makes no
// error: the answer then has CountsUnknown. Only the end of ctx is an error, and a request that the contract
// forbids, since enforce mode would meet it too.
func (o *Observer) Unverify(ctx context.Context, r Request) (Answer, error) {
	r.Key, r.DryRun = "", true
	a, err := o.client.Unverify(ctx, r)
	var invalid invalidRequest
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil || errors.As(err, &invalid):
		return Answer{}, err
	}
	o.client.cfg.Log.WarnContext(ctx, "registry_dry_run_failed", "domain", r.Domain, "kind", string(Kind(err)), "error", err)
	return Answer{Recovery: RecoveryUnknown, CountsUnknown: true}, nil
}
