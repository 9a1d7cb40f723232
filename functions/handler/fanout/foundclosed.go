package fanout

import (
	"context"
	"fmt"
	"slices"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

// recoveries reads what is known of the domains at which the list says that recovery is closed.
func (h *Handler) recoveries(ctx context.Context, names []string, changes map[string][]change) (map[string]records.Of[records.Recovery], error) {
	closed := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !slices.ContainsFunc(changes[name], func(c change) bool { return c.closed.Addresses > 0 })
	})
	return h.book().Recoveries(ctx, closed)
}

// reconcile compares what the list says of recovery at a domain with what is known here. A domain that is closed and of
// which nothing is known, as in a table that is new or was emptied, is taken for closed: nobody remembers how it looked
// in its holder's hands, so that its holder, the registry's staff or an operator alone open it. Accounts that the
// registry reports are told.
func (h *Handler) reconcile(ctx context.Context, d *records.Domain, known records.Of[records.Recovery], changes []change) (writes []store.Write) {
	var since, until lifecycle.Instant
	addresses, reported := 0, 0
	for _, c := range changes {
		reported += c.now.Reported - c.old.V.Reported
		ours := known.V.Since != 0 || known.V.AsOf >= c.asOf || d.State.Control.Since != 0
		if c.closed.Addresses == 0 || ours {
			continue
		}
		addresses += c.closed.Addresses
		since = max(since, lifecycle.At(c.closed.Since))
		if at := lifecycle.At(c.closed.ContinuousUntil); until == 0 || at < until {
			until = at
		}
	}
	now := h.Now().UTC()
	if addresses > 0 {
		d.State = lifecycle.FoundClosed(d.State, since, until)
		d.Closed = since
		known.V.Since, known.V.Sent, known.V.Gap, known.V.AsOf, known.V.Bound = since, since, lifecycle.GapFound, changes[0].asOf, addresses
		h.Log.WarnContext(ctx, "found_closed", "domain", d.Name, "addresses", addresses, "since", since.String())
		writes = append(writes, known.Put(), records.PutEntry(d.Name, records.Entry{
			At: now, What: "found closed", After: d.State.Phase, Sentence: lifecycle.GapSentence(d.State),
		}, 50))
	}
	if reported > 0 {
		h.Log.WarnContext(ctx, "accounts_reported", "domain", d.Name, "accounts", reported)
		writes = append(writes, records.PutLine(now, d.Name, records.Line{What: "reported", Domain: d.Name, Phase: string(d.State.Phase), Changed: reported}),
			records.PutEntry(d.Name, records.Entry{
				At: now, What: "reported", After: d.State.Phase,
				Sentence: fmt.Sprintf("the registry reports %d accounts that may have been taken: a credential was set by mail after control was interrupted", reported),
			}, 51))
	}
	return writes
}

// moreReported is by how many reported accounts a host of the list makes more, see moreUncovered.
func moreReported(whole bool, c change) int {
	if whole {
		return c.now.Reported
	}
	return c.now.Reported - c.old.V.Reported
}

// bindsMore tells whether addresses may have been verified before the gap that is carried out, and after it was told: of
// a registration whose youth is not over.
func (c change) bindsMore(closed lifecycle.Instant) bool {
	more := c.now.Addresses > c.old.V.Addresses || c.now.Newest != c.old.V.Newest
	return closed > 0 && more && !c.left && c.now.Newest < closed
}

// closedSince is when a host's newest closing began, 0: none.
func closedSince(c registry.Closed) lifecycle.Instant {
	if c.Addresses == 0 {
		return 0
	}
	return max(lifecycle.At(c.Since), 1)
}
