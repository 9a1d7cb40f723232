package fanout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

const (
	// pageSize is the largest page of the admin API.
	pageSize = 10_000
	// maxShrink is the share of known hosts that a list may lack and still be believed.
	maxShrink = 0.05
	// wholeEvery is the distance of whole lists; in between only changes are asked for.
	wholeEvery = 7*24*time.Hour - 4*time.Hour
	// acceptedFor is how long an operator's word for a list that shrank waits for it.
	acceptedFor = 48 * time.Hour
	// applyAtOnce bounds the domains in one round of writes: what a store holds for it must not follow the page.
	applyAtOnce = 1000
	// beside is the most writes in a domain's transaction beside its hosts': the domain, its sum, and what reconcile says.
	beside = 6
	// tries bounds the repetitions of a write that met another writer.
	tries = 5
)

// newSync decides what kind of list the run starts from.
func newSync(last records.Synced, now time.Time) records.Sync {
	at := lifecycle.At(now)
	accepted := last.Accepted != 0 && last.Accepted <= at && at.Since(last.Accepted) <= acceptedFor
	// What is said to have happened later than now is not believed: it would put the next whole list off until then.
	ahead := last.WholeAt > at || last.AsOf > at
	whole := last.WholeAt == 0 || !last.Counted || accepted || ahead || at.Since(last.WholeAt) >= wholeEvery
	s := records.Sync{Whole: whole, Known: last.Hosts, Accepted: accepted}
	if !whole {
		s.Since = last.AsOf
	}
	return s
}

// shrunk tells whether the list lacks more known hosts than a day explains, and no operator accepted that.
func shrunk(s records.Sync) bool { return !s.Accepted && float64(s.Gone) > maxShrink*float64(s.Known) }

// change is one host as it was and as the list has it now.
type change struct {
	host string
	old  records.Of[records.Host] // as it is stored, if it is
	now  records.Host
	left bool

	closed registry.Closed   // as the list says
	asOf   lifecycle.Instant // when that was so
}

// syncPage works through one page of the registry's list and moves the run's cursor behind it.
func (h *Handler) syncPage(ctx context.Context, run *records.Run) error {
	s := &run.Sync
	page, err := h.List.List(ctx, s.After, pageSize, s.Since.Time())
	if err != nil {
		return fmt.Errorf("list after %q: %w", s.After, err)
	}
	now := h.Now()
	if page.AsOf.After(now.Add(registry.ClockSkew)) {
		return fmt.Errorf("list after %q: its as_of is %s, and it is %s: changes until then would never be asked for", s.After, page.AsOf.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if s.After == "" {
		s.Recovery, s.MailIsSignIn = page.Recovery, page.MailIsSignIn
		s.AsOf = min(lifecycle.At(page.AsOf), lifecycle.At(now)) // else a clock that is fast loses what changes meanwhile
	}
	changes, err := h.compare(ctx, s, page)
	if err != nil {
		return err
	}
	var stay, left []change
	for _, c := range changes {
		if c.left {
			left = append(left, c)
		} else {
			stay = append(stay, c)
		}
	}
	if err := h.apply(ctx, stay, h.spread(run.Sync)); err != nil {
		return err
	}
	h.nameUncovered(ctx, stay)
	s.Changed += len(stay)
	if err := h.rememberGone(ctx, run, left); err != nil {
		return err
	}
	s.Listed += len(page.Hosts)
	if s.After = page.Next; page.Next == "" {
		s.Listing, s.Believed = true, page.Complete
	}
	return nil
}

// compare finds what differs between a page and the stored hosts of its range. A whole list is merged with the
// stored hosts, both ascending, so that neither is held whole in memory.
func (h *Handler) compare(ctx context.Context, s *records.Sync, page registry.Page) ([]change, error) {
	stored := h.book().Hosts(ctx, s.After, page.Next)
	if !s.Whole {
		var err error
		if stored, err = h.hostsOf(ctx, page.Hosts); err != nil {
			return nil, err
		}
	}
	next, stop := iter.Pull2(stored)
	defer stop()
	var changes []change
	old, err, ok := next()
	for _, hc := range page.Hosts {
		for ; ok && err == nil && old.SK() < hc.Host; old, err, ok = next() {
			changes = append(changes, gone(old))
		}
		if err != nil {
			return nil, err
		}
		c := change{host: hc.Host, old: records.NewHost(hc.Host), closed: hc.Closed, asOf: lifecycle.At(page.AsOf)}
		if ok && old.SK() == hc.Host {
			c.old = old
			old, err, ok = next()
		}
		c.now = hostOf(hc)
		if c.left = hc.Addresses == 0 && c.old.Found(); c.left {
			c.now.Reported = 0
		}
		s.Uncovered += moreUncovered(s.Whole, c, hc.Addresses > 0)
		s.Reported += moreReported(s.Whole, c)
		if c.now != c.old.V && (hc.Addresses > 0 || c.left) {
			changes = append(changes, c)
		}
	}
	for ; ok && err == nil; old, err, ok = next() {
		changes = append(changes, gone(old))
	}
	return changes, err
}

// hostsOf are just the stored hosts of a page of changes.
func (h *Handler) hostsOf(ctx context.Context, page []registry.HostCount) (iter.Seq2[records.Of[records.Host], error], error) {
	names := make([]string, len(page))
	for i, hc := range page {
		names[i] = hc.Host
	}
	stored, err := h.book().HostsNamed(ctx, names)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(stored, func(a, b records.Of[records.Host]) int { return cmp.Compare(a.SK(), b.SK()) })
	return func(yield func(records.Of[records.Host], error) bool) {
		for _, r := range stored {
			if !yield(r, nil) {
				return
			}
		}
	}, nil
}

func gone(old records.Of[records.Host]) change { return change{host: old.SK(), old: old, left: true} }

// hostOf classifies a host of the list.
func hostOf(hc registry.HostCount) records.Host {
	h := records.Host{Addresses: hc.Addresses, Oldest: lifecycle.At(hc.Oldest), Newest: lifecycle.At(hc.Newest)}
	name, reason := domain.Parse(hc.Host)
	h.Domain, h.Why = name.Registrable, string(reason)
	if reason != "" {
		h.Domain = ""
	}
	h.Counted, h.Closed, h.Reported = h.Domain != "", closedSince(hc.Closed), hc.Closed.Reported
	return h
}

// spread is over how many days the first looks at the registry are spread: those of the first list. A domain that is new
// later may be new in its registry too, and is asked about in the same run.
func (h *Handler) spread(s records.Sync) int {
	if s.Known == 0 {
		return h.BaselineDays
	}
	return 0
}

// apply stores new and changed hosts together with their domains: one transaction a domain, so that counts are
// exact whatever happens in between.
func (h *Handler) apply(ctx context.Context, changes []change, spread int) error {
	byDomain := map[string][]change{}
	var order []string
	var loose [][]store.Write // hosts that belong to no watchable domain
	for _, c := range changes {
		name := cmp.Or(c.now.Domain, c.old.V.Domain)
		if name == "" {
			loose = append(loose, []store.Write{c.write()})
			continue
		}
		if len(byDomain[name]) == 0 {
			order = append(order, name)
		}
		byDomain[name] = append(byDomain[name], c)
	}
	if err := errors.Join(h.Store.WriteEach(ctx, loose)...); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("store hosts without a domain: %w", err)
	}
	for names := range slices.Chunk(order, applyAtOnce) {
		if err := h.applyDomains(ctx, names, byDomain, spread); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) applyDomains(ctx context.Context, names []string, changes map[string][]change, spread int) error {
	for try := 0; len(names) > 0; try++ {
		domains, err := h.domains(ctx, names, changes, spread)
		var newer *records.Newer
		if errors.As(err, &newer) { // their hosts stay as they are: the next whole list finds the change again
			h.Log.ErrorContext(ctx, "items_skipped", "error", err) // the run's scan meets and counts them too
			names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(newer.Names, n) })
		} else if err != nil {
			return err
		}
		counts, err := h.book().Counts(ctx, names)
		if err != nil {
			return err
		}
		known, err := h.recoveries(ctx, names, changes)
		if err != nil {
			return err
		}
		groups := make([][]store.Write, len(names))
		hosts := make([]int, len(names)) // of each group
		for i, name := range names {
			d, sum := domains[name], counts[name]
			writes := make([]store.Write, 0, len(changes[name])+beside)
			for _, c := range changes[name] {
				if len(writes) == store.MaxWrites-beside {
					break // the rest of a domain with very many hosts goes with the next round
				}
				d = c.into(d)
				sum.V.Addresses += c.more()
				sum.V.Reported += c.now.Reported - c.old.V.Reported
				writes = append(writes, c.write())
			}
			hosts[i] = len(writes)
			writes = append(writes, h.reconcile(ctx, &d, known[name], changes[name][:hosts[i]])...)
			groups[i] = append(writes, d.Put(), sum.Put())
		}
		var again []string
		for i, err := range h.Store.WriteEach(ctx, groups) {
			name := names[i]
			switch {
			case errors.Is(err, store.ErrConflict) && try < tries:
				if err := h.reread(ctx, changes[name]); err != nil {
					return err
				}
				again = append(again, name)
			case err != nil:
				return fmt.Errorf("store %s and its hosts: %w", name, err)
			case len(changes[name]) > hosts[i]:
				changes[name] = changes[name][hosts[i]:]
				try = 0
				again = append(again, name)
			}
		}
		names = again
	}
	return nil
}

// reread brings changes up to date after another writer was met: what is stored already is no change any more.
func (h *Handler) reread(ctx context.Context, changes []change) error {
	for i, c := range changes {
		old, err := h.book().Host(ctx, c.host)
		if err != nil {
			return err
		}
		changes[i].old = old
	}
	return nil
}

// domains are the stored domains, and new ones for those that are not; an error that is a Newer comes with the others.
func (h *Handler) domains(ctx context.Context, names []string, changes map[string][]change, spread int) (map[string]records.Domain, error) {
	domains, err := h.book().Domains(ctx, names)
	if domains == nil {
		return nil, err
	}
	now := lifecycle.At(h.Now())
	for _, name := range names {
		if _, known := domains[name]; !known {
			addresses := 0
			for _, c := range changes[name] {
				addresses += c.now.Addresses
			}
			domains[name] = records.NewDomain(name, lifecycle.RegistryAt(name, now, spread, addresses))
		}
	}
	return domains, err
}

func (c change) write() store.Write {
	if c.left {
		return c.old.Delete()
	}
	c.old.V = c.now
	return c.old.Put()
}

// more is by how much a host's change raises its domain's sum. A host that an earlier version stored is in no sum yet.
func (c change) more() int {
	n := 0
	if !c.left {
		n = c.now.Addresses
	}
	if c.old.V.Counted {
		n -= c.old.V.Addresses
	}
	return n
}

// into carries a host's change into its domain's sums. Oldest and newest can only widen while other hosts
// share the domain; the registry's own condition (verified_before) keeps that harmless.
func (c change) into(d records.Domain) records.Domain {
	known := c.old.Found() && c.old.V.Domain != ""
	switch {
	case c.left && known:
		d.Hosts--
		d.Addresses -= c.old.V.Addresses
	case c.left:
	case known:
		d.Addresses += c.now.Addresses - c.old.V.Addresses
	default:
		d.Hosts++
		d.Addresses += c.now.Addresses
	}
	if !c.left {
		switch {
		case d.Hosts == 1:
			d.Oldest, d.Newest = c.now.Oldest, c.now.Newest
		default:
			d.Oldest = min(d.Oldest, c.now.Oldest) // 0, unknown, wins
			d.Newest = max(d.Newest, c.now.Newest)
		}
	}
	if c.bindsMore(d.Closed) {
		d.Closed = records.Unsent
	}
	if !d.Listed && d.Hosts > 0 {
		d.State.NS = "" // watched for others until now: whose its name servers are was not noted
	}
	d.Listed = d.Hosts > 0
	return d
}

// rememberGone notes known hosts that the list lacks. They are marked as left only when the whole list is there
// and has not shrunk: until then a truncated list must cost nothing.
func (h *Handler) rememberGone(ctx context.Context, run *records.Run, left []change) error {
	s := &run.Sync
	unexplained, err := h.unexplained(ctx, left)
	if err != nil {
		return err
	}
	s.Gone += unexplained
	if shrunk(*s) {
		return nil
	}
	groups := make([][]store.Write, 0, len(left))
	for _, c := range left {
		groups = append(groups, []store.Write{records.PutLeft(run.ID, c.host, h.Now())})
	}
	if err := errors.Join(h.Store.WriteEach(ctx, groups)...); err != nil {
		return fmt.Errorf("note %d hosts that left: %w", len(left), err)
	}
	return nil
}

// unexplained counts hosts that left although the guard did nothing to their addresses: a host whose addresses
// were unverified leaves the list for that reason.
func (h *Handler) unexplained(ctx context.Context, left []change) (int, error) {
	names := map[string]bool{}
	n := 0
	for _, c := range left {
		if c.old.V.Domain == "" {
			n++
			continue
		}
		names[c.old.V.Domain] = true
	}
	domains, err := h.book().Domains(ctx, slices.Collect(maps.Keys(names)))
	if newer := (*records.Newer)(nil); err != nil && !errors.As(err, &newer) { // one of those counts as unexplained
		return 0, err
	}
	for _, c := range left {
		if c.old.V.Domain != "" && !domains[c.old.V.Domain].Acted {
			n++
		}
	}
	return n, nil
}

// finishSync marks hosts as left, if the list may be believed, and notes where the next sync starts.
func (h *Handler) finishSync(ctx context.Context, run *records.Run) error {
	s := &run.Sync
	empty := s.Whole && s.Listed == 0
	if empty { // a registry without one verified address has no need of a guard: it is rather a registry's error
		h.Log.ErrorContext(ctx, "list_empty", "run", run.ID, "next", "the next run asks for the whole list again; look at what the registry's admin API lists")
	}
	if s.Believed = s.Believed && !shrunk(*s) && (!empty || s.Accepted); s.Believed {
		if err := h.markLeft(ctx, run.ID); err != nil {
			return err
		}
	}
	stored, err := h.book().Synced(ctx)
	if err != nil {
		return err
	}
	synced := &stored.V
	synced.Recovery, synced.MailIsSignIn = s.Recovery, s.MailIsSignIn
	if s.Believed {
		synced.AsOf, synced.Accepted = s.AsOf, 0
		if s.Whole {
			synced.WholeAt, synced.Hosts, synced.Uncovered, synced.Reported, synced.Counted = lifecycle.At(h.Now()), s.Listed, 0, 0, true
		}
		if empty {
			synced.WholeAt = 0
		}
		synced.Uncovered += s.Uncovered
		synced.Reported += s.Reported
	}
	if err := h.Store.Write(ctx, stored.Put()); err != nil {
		return fmt.Errorf("note the end of the sync: %w", err)
	}
	s.Done = true
	return nil
}

func (h *Handler) markLeft(ctx context.Context, run string) error {
	var names []string
	flush := func() error {
		stored, err := h.book().HostsNamed(ctx, names)
		if err != nil {
			return err
		}
		changes := make([]change, len(stored))
		for i, old := range stored {
			changes[i] = gone(old)
		}
		names = names[:0]
		return h.apply(ctx, changes, 0)
	}
	for host, err := range h.book().Left(ctx, run) {
		if err != nil {
			return err
		}
		if names = append(names, host); len(names) == applyAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
