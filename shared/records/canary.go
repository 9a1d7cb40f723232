package records

import (
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/source"
)

// CanaryZone is the public suffix that the synthetic domain lies below: its registry answers with authority.
const CanaryZone = "com"

// Canary is the synthetic domain that goes through every hop once a day. PKGuard, "canary".
type Canary struct {
	Name    string            `json:"name"`
	Planted lifecycle.Instant `json:"planted"`
	Run     string            `json:"run"` // that planted it
}

// Lapsing makes the domain the synthetic one: remembered as delegated a day before now, and as about to be deleted
// since its lapse began. What is asked about it from now on decides.
func (d Domain) Lapsing(now, since lifecycle.Instant) Domain {
	before := now.Add(-2 * lifecycle.Freshness) // too old to judge by
	fresh := NewDomain(d.Name, now)
	fresh.Synthetic, fresh.item = true, d.item
	fresh.State.Phase, fresh.State.Since, fresh.State.First = lifecycle.PendingDelete, since, since
	fresh.State.LapseAt, fresh.State.Worst = since, lifecycle.PendingDelete
	fresh.State.Deleg, fresh.State.DelegAt, fresh.State.DelegSince = lifecycle.DelegationHome, before, since
	fresh.State.NS, fresh.State.Home = source.Fingerprint(nil), source.Fingerprint(nil)
	fresh.State.RegServer = "planted by the guard itself"
	fresh.State.Reg, fresh.State.RegAt, fresh.State.RegSince = lifecycle.WordPendingDelete, before, since
	return fresh
}

// Arrived tells whether the synthetic domain came to the verdict that it was planted for, and nobody noted it yet.
func (d Domain) Arrived() bool {
	return d.Synthetic && d.Action == lifecycle.Unverify && d.Settled != d.mark()
}
