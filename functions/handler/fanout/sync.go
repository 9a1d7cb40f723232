package fanout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
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
	// tries bounds the repetitions of a write that met another writer.
	tries = 5
)

// newSync decides what kind of list the run starts from.
func newSync(last store.Synced, now time.Time) store.Sync {
	at := lifecycle.At(now)
	accepted := last.Accepted != 0 && last.Accepted <= at && at.Since(last.Accepted) <= acceptedFor
	// What is said to have happened later than now is not believed: it would put the next whole list off until then.
	ahead := last.WholeAt > at || last.AsOf > at
	whole := last.WholeAt == 0 || accepted || ahead || at.Since(last.WholeAt) >= wholeEvery
	s := store.Sync{Whole: whole, Known: last.Hosts, Accepted: accepted}
	if !whole {
		s.Since = last.AsOf
	}
	return s
}

// shrunk tells whether the list lacks more known hosts than a day explains, and no operator accepted that.
func shrunk(s store.Sync) bool { return !s.Accepted && float64(s.Gone) > maxShrink*float64(s.Known) }

// change is one host as it was and as the list has it now.
type change struct {
	host string
	old  store.Host
	item store.Item // of old; version 0 when new
	now  store.Host
	left bool
}

// syncPage works through one page of the registry's list and moves the run's cursor behind it.
func (h *Handler) syncPage(ctx context.Context, run *store.Run) error {
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
	if err := h.apply(ctx, stay); err != nil {
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
func (h *Handler) compare(ctx context.Context, s *store.Sync, page registry.Page) ([]change, error) {
	stored := newHosts(h.Store, s.After, page.Next)
	if !s.Whole {
		var err error
		if stored, err = newListedHosts(ctx, h.Store, page.Hosts); err != nil {
			return nil, err
		}
	}
	var changes []change
	old, ok, err := stored.next(ctx)
	for _, hc := range page.Hosts {
		for ; ok && err == nil && old.host < hc.Host; old, ok, err = stored.next(ctx) {
			changes = append(changes, gone(old))
		}
		if err != nil {
			return nil, err
		}
		c := change{host: hc.Host, item: store.Item{Key: hostKey(hc.Host)}}
		if ok && old.host == hc.Host {
			c = old
			old, ok, err = stored.next(ctx)
		}
		c.now = hostOf(hc)
		c.left = hc.Addresses == 0 && c.item.Version != 0
		s.Uncovered += moreUncovered(s.Whole, c, hc.Addresses > 0)
		if c.now != c.old && (hc.Addresses > 0 || c.left) {
			changes = append(changes, c)
		}
	}
	for ; ok && err == nil; old, ok, err = stored.next(ctx) {
		changes = append(changes, gone(old))
	}
	return changes, err
}

func gone(c change) change { c.left = true; return c }

func hostKey(host string) store.Key {
	return store.Key{Table: store.Records, PK: store.PKHosts, SK: host}
}

// hostOf classifies a host of the list.
func hostOf(hc registry.HostCount) store.Host {
	h := store.Host{Addresses: hc.Addresses, Oldest: lifecycle.At(hc.Oldest), Newest: lifecycle.At(hc.Newest)}
	name, reason := domain.Parse(hc.Host)
	h.Domain, h.Why = name.Registrable, string(reason)
	if reason != "" {
		h.Domain = ""
	}
	return h
}

// apply stores new and changed hosts together with their domains: one transaction a domain, so that counts are
// exact whatever happens in between.
func (h *Handler) apply(ctx context.Context, changes []change) error {
	byDomain := map[string][]change{}
	var order []string
	var loose [][]store.Write // hosts that belong to no watchable domain
	for _, c := range changes {
		name := cmp.Or(c.now.Domain, c.old.Domain)
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
		if err := h.applyDomains(ctx, names, byDomain); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) applyDomains(ctx context.Context, names []string, changes map[string][]change) error {
	for try := 0; len(names) > 0; try++ {
		domains, err := h.domains(ctx, names)
		if err != nil {
			return err
		}
		groups := make([][]store.Write, len(names))
		for i, name := range names {
			d := domains[name]
			writes := make([]store.Write, 0, len(changes[name])+1)
			for _, c := range changes[name] {
				if len(writes) == store.MaxWrites-1 {
					break // the rest of a domain with very many hosts goes with the next round
				}
				d = c.into(d)
				writes = append(writes, c.write())
			}
			groups[i] = append(writes, d.Put())
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
			case len(changes[name]) > len(groups[i])-1:
				changes[name] = changes[name][len(groups[i])-1:]
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
		var old store.Host
		it, err := store.Load(ctx, h.Store, store.PKHosts, c.host, &old)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		changes[i].old, changes[i].item = old, it
	}
	return nil
}

func (h *Handler) domains(ctx context.Context, names []string) (map[string]store.Domain, error) {
	keys := make([]store.Key, len(names))
	domains := make(map[string]store.Domain, len(names))
	now := lifecycle.At(h.Now())
	for i, name := range names {
		keys[i] = store.DomainKey(name)
		domains[name] = store.NewDomain(name, lifecycle.BaselineAt(name, now, h.BaselineDays))
	}
	items, err := h.Store.GetMany(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read %d domains: %w", len(keys), err)
	}
	for _, it := range items {
		d, err := store.ParseDomain(it)
		if err != nil {
			return nil, err
		}
		domains[d.Name] = d
	}
	return domains, nil
}

func (c change) write() store.Write {
	if c.left {
		return store.Write{Item: c.item, Delete: true}
	}
	return store.Save(c.item, c.now)
}

// into carries a host's change into its domain's sums. Oldest and newest can only widen while other hosts
// share the domain; the registry's own condition (verified_before) keeps that harmless.
func (c change) into(d store.Domain) store.Domain {
	known := c.item.Version != 0 && c.old.Domain != ""
	switch {
	case c.left && known:
		d.Hosts--
		d.Addresses -= c.old.Addresses
	case c.left:
	case known:
		d.Addresses += c.now.Addresses - c.old.Addresses
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
	if !d.Listed && d.Hosts > 0 {
		d.State.NS = "" // watched for others until now: whose its name servers are was not noted
	}
	d.Listed = d.Hosts > 0
	return d
}

// rememberGone notes known hosts that the list lacks. They are marked as left only when the whole list is there
// and has not shrunk: until then a truncated list must cost nothing.
func (h *Handler) rememberGone(ctx context.Context, run *store.Run, left []change) error {
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
		groups = append(groups, []store.Write{store.Record(leftPK(run.ID), c.host, struct{}{}, h.Now().Add(store.RunTTL))})
	}
	if err := errors.Join(h.Store.WriteEach(ctx, groups)...); err != nil {
		return fmt.Errorf("note %d hosts that left: %w", len(left), err)
	}
	return nil
}

// unexplained counts hosts that left although the guard did nothing to their addresses: a host whose addresses
// were unverified leaves the list for that reason.
func (h *Handler) unexplained(ctx context.Context, left []change) (int, error) {
	keys := map[store.Key]bool{}
	n := 0
	for _, c := range left {
		if c.old.Domain == "" {
			n++
			continue
		}
		keys[store.DomainKey(c.old.Domain)] = true
	}
	items, err := h.Store.GetMany(ctx, slices.Collect(maps.Keys(keys)))
	if err != nil {
		return 0, fmt.Errorf("domains of hosts that left: %w", err)
	}
	acted := map[string]bool{}
	for _, it := range items {
		d, err := store.ParseDomain(it)
		if err != nil {
			return 0, err
		}
		acted[d.Name] = d.Done != ""
	}
	for _, c := range left {
		if c.old.Domain != "" && !acted[c.old.Domain] {
			n++
		}
	}
	return n, nil
}

func leftPK(run string) string { return "left/" + run }

// finishSync marks hosts as left, if the list may be believed, and notes where the next sync starts.
func (h *Handler) finishSync(ctx context.Context, run *store.Run) error {
	s := &run.Sync
	if s.Believed = s.Believed && !shrunk(*s); s.Believed {
		if err := h.markLeft(ctx, run.ID); err != nil {
			return err
		}
	}
	var synced store.Synced
	it, err := store.Load(ctx, h.Store, store.PKGuard, "synced", &synced)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if s.Believed {
		synced.AsOf, synced.Accepted = s.AsOf, 0
		if s.Whole {
			synced.WholeAt, synced.Hosts, synced.Uncovered = lifecycle.At(h.Now()), s.Listed, 0
		}
		synced.Uncovered += s.Uncovered
	}
	if err := h.Store.Write(ctx, store.Save(it, synced)); err != nil {
		return fmt.Errorf("note the end of the sync: %w", err)
	}
	s.Done = true
	return nil
}

func (h *Handler) markLeft(ctx context.Context, run string) error {
	for after, more := "", true; more; {
		var items []store.Item
		var err error
		items, more, err = h.Store.Query(ctx, store.Query{PK: leftPK(run), After: after, Limit: 1000})
		if err != nil {
			return fmt.Errorf("hosts that left: %w", err)
		}
		keys := make([]store.Key, len(items))
		for i, it := range items {
			keys[i], after = hostKey(it.SK), it.SK
		}
		stored, err := h.Store.GetMany(ctx, keys)
		if err != nil {
			return fmt.Errorf("hosts that left: %w", err)
		}
		changes := make([]change, len(stored))
		for i, it := range stored {
			changes[i] = change{host: it.SK, item: it, left: true}
			if err := json.Unmarshal(it.Data, &changes[i].old); err != nil {
				return fmt.Errorf("stored host %q: %w", it.SK, err)
			}
		}
		if err := h.apply(ctx, changes); err != nil {
			return err
		}
	}
	return nil
}

// hosts walks stored hosts in ascending order.
type hosts struct {
	s             store.Store
	after, before string
	buf           []store.Item
	done          bool
}

// newHosts walks the hosts with after < host <= end (an empty end is open).
func newHosts(s store.Store, after, end string) *hosts {
	if end != "" {
		end += "\x00" // the bound is exclusive; nothing sorts between a host and itself with a zero byte
	}
	return &hosts{s: s, after: after, before: end}
}

// newListedHosts holds just the stored hosts of a page of changes.
func newListedHosts(ctx context.Context, s store.Store, page []registry.HostCount) (*hosts, error) {
	keys := make([]store.Key, len(page))
	for i, hc := range page {
		keys[i] = hostKey(hc.Host)
	}
	items, err := s.GetMany(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("stored hosts of a page of changes: %w", err)
	}
	slices.SortFunc(items, func(a, b store.Item) int { return cmp.Compare(a.SK, b.SK) })
	return &hosts{s: s, buf: items, done: true}, nil
}

func (w *hosts) next(ctx context.Context) (change, bool, error) {
	if len(w.buf) == 0 && !w.done {
		items, more, err := w.s.Query(ctx, store.Query{PK: store.PKHosts, After: w.after, Before: w.before, Limit: 1000})
		if err != nil {
			return change{}, false, fmt.Errorf("stored hosts after %q: %w", w.after, err)
		}
		w.buf, w.done = items, !more
		if len(items) > 0 {
			w.after = items[len(items)-1].SK
		}
	}
	if len(w.buf) == 0 {
		return change{}, false, nil
	}
	it := w.buf[0]
	w.buf = w.buf[1:]
	c := change{host: it.SK, item: it}
	if err := json.Unmarshal(it.Data, &c.old); err != nil {
		return c, false, fmt.Errorf("stored host %q: %w", it.SK, err)
	}
	return c, true, nil
}
