package checker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
)

const (
	// maxDeps bounds how many hosts of one domain are followed: a hostile MX set must not fill the table.
	maxDeps = 20
	// maxNew bounds how many hosts one domain brings in arrivalsFor, for each way to depend: it must not fill it
	// over time either, by another set each day.
	maxNew      = 2 * maxDeps
	arrivalsFor = 30 * 24 * time.Hour
	// maxWatched bounds the hosts remembered as watched; providers repeat, and are read once in watchedFor. That is
	// far below lifecycle.Daily, for which a host must be alone before it is forgotten.
	maxWatched = 20_000
	watchedFor = time.Hour
	// maxGone bounds the dependents that are found to have left in one look at a host.
	maxGone = 100
	// forgotten is in the place of a fingerprint whose dependencies were taken out of their hosts' lists: whoever is
	// back in the registry's list notes them anew.
	forgotten = "forgotten"
)

// dependency is what a domain depends on for its mail: the registrable domains of its MX hosts, or of its name
// servers. Whoever has one of those reads the domain's mail.
type dependency struct {
	on       records.DependsOn
	now, old []string
	arrivals records.Arrivals
}

// foldMail folds an MX answer: which registrable domains the domain's mail depends on.
func (h *Handler) foldMail(ctx context.Context, v *visit) error {
	s := &v.after.State
	if v.obs.Outcome == source.Unknown || v.obs.Mail == nil {
		now := lifecycle.At(h.Now())
		s.NextMail, v.changed = now.Add(lifecycle.Daily), true
		if s.MailWatched(now) { // it may be who bought the name that is not heard
			s.NextMail = now.Add(lifecycle.RetryLook)
			if d := &v.after; d.NextLook <= now || d.NextLook > s.NextMail {
				d.NextLook = s.NextMail
			}
		}
		heard := s.Service.At != 0 && now.Since(s.Service.At) < lifecycle.RetryLook
		if v.after.Listed && !heard && h.Ask[queue.KindServers] != nil {
			v.ask = append(v.ask, source.SourceServers) // who has no MX to tell may not serve the zone at all
		}
		return nil
	}
	if s.NextMail != 0 {
		s.NextMail = 0
		v.changed = true
	}
	before := *s
	*s = lifecycle.SeeMail(*s, v.obs, h.facts(v.name, v.after), lifecycle.At(h.Now()))
	v.changed = v.changed || lifecycle.Changed(before, *s)
	if lifecycle.MailInDoubt(*s, h.facts(v.name, v.after), lifecycle.At(h.Now())) {
		s.NextRDAP = min(s.NextRDAP, lifecycle.At(h.Now())) // stays due until the registry answers
		v.ask, v.changed = append(v.ask, source.SourceRDAP), true
	}
	hosts := registrables(v.obs.Mail.Hosts, v.name.Registrable)
	fp := source.Fingerprint(hosts)
	if s.MailSet == fp {
		return nil
	}
	s.MailSet = fp
	v.changed = true
	return h.depend(ctx, v, records.DependsMail, hosts)
}

// foldServers notes whose name servers the domain is delegated to, when they changed.
func (h *Handler) foldServers(ctx context.Context, v *visit) error {
	if !v.after.Listed || v.obs.Delegation == nil || v.before.State.NS == v.after.State.NS {
		return nil
	}
	return h.depend(ctx, v, records.DependsServers, registrables(v.obs.Delegation.NS, v.name.Registrable))
}

// registrables are the registrable domains of hosts, without own.
func registrables(hosts []string, own string) []string {
	var names []string
	for _, host := range hosts {
		if n, reason := domain.Parse(host); reason == "" && n.Registrable != own {
			names = append(names, n.Registrable)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// depend notes a dependency that changed. A domain that no longer depends on the host that lapsed is out of danger.
func (h *Handler) depend(ctx context.Context, v *visit, on records.DependsOn, now []string) error {
	now = now[:min(len(now), maxDeps)]
	deps, err := h.dependencies(ctx, v, on)
	if err != nil {
		return err
	}
	old := deps[on]
	now, seen, err := h.admit(ctx, v, on, now, old)
	if err != nil {
		return err
	}
	v.deps = &dependency{on: on, now: now, old: old, arrivals: seen}
	deps[on] = now
	lapsed := v.after.State.MailLapsed
	if lapsed != "" && slices.Contains(old, lapsed) && !slices.Contains(slices.Concat(deps[records.DependsMail], deps[records.DependsServers]), lapsed) {
		v.after.State = lifecycle.LeftMailHost(v.after.State, lifecycle.At(h.Now()))
		v.after.MailHostBack()
	}
	return nil
}

// admit keeps of the hosts those that were followed before, and as many new ones as the domain may still bring.
func (h *Handler) admit(ctx context.Context, v *visit, on records.DependsOn, now, old []string) (kept []string, seen records.Arrivals, err error) {
	at := lifecycle.At(h.Now())
	if !firstLook(v.before.State, on) {
		if seen, err = h.book().Arrivals(ctx, v.after.Name, on); err != nil {
			return nil, seen, fmt.Errorf("%w: %w", errRead, err)
		}
	}
	if seen.Since == 0 || at.Since(seen.Since) >= arrivalsFor {
		seen = records.Arrivals{Since: at}
	}
	refused := 0
	for _, host := range now {
		switch {
		case slices.Contains(old, host):
		case seen.N < maxNew:
			seen.N++
		default:
			refused++
			continue
		}
		kept = append(kept, host)
	}
	if refused > 0 {
		h.Log.WarnContext(ctx, "dependencies_bounded", "domain", v.after.Name, "on", on, "not_followed", refused,
			"meaning", "it came to depend on more hosts within a month than anybody's mail does")
	}
	return kept, seen, nil
}

func firstLook(s lifecycle.State, on records.DependsOn) bool {
	return on == records.DependsServers && s.NS == "" && s.Deleg == lifecycle.DelegationUnknown || on == records.DependsMail && s.MailSet == ""
}

// dependencies are those noted before; a first look, at a domain that is in no danger, need not ask for them.
func (h *Handler) dependencies(ctx context.Context, v *visit, on records.DependsOn) (map[records.DependsOn][]string, error) {
	s := v.before.State
	if firstLook(s, on) && s.MailLapsed == "" {
		return map[records.DependsOn][]string{}, nil
	}
	deps, err := h.book().Dependencies(ctx, v.after.Name)
	if err != nil {
		err = fmt.Errorf("%w: %w", errRead, err)
	}
	return deps, err
}

// dependWrites notes on whom the domain depends, and at each of these that it does; the lists lie outside the
// scanned table.
func (h *Handler) dependWrites(v visit) []store.Write {
	if v.deps == nil {
		return nil
	}
	name, expires := v.after.Name, time.Time{} // nothing renews an entry while the set stays as it is: it goes when that changes
	writes := []store.Write{
		records.PutDependencies(name, v.deps.on, v.deps.now, expires),
		records.PutArrivals(name, v.deps.on, v.deps.arrivals, v.deps.arrivals.Since.Time().Add(arrivalsFor)),
	}
	for _, dep := range v.deps.now {
		writes = append(writes, records.Record(records.DependentsPK(dep), name+"/"+string(v.deps.on), map[string]any{"at": h.Now().UTC()}, expires))
	}
	for _, dep := range v.deps.old {
		if !slices.Contains(v.deps.now, dep) {
			writes = append(writes, records.Forget(records.DependentsPK(dep), name+"/"+string(v.deps.on)))
		}
	}
	return writes
}

// watched remembers hosts that are known to be under watch. It is safe for concurrent use.
type watched struct {
	mu    sync.Mutex
	names map[string]time.Time // when it was seen to be
}

func (w *watched) has(name string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.names[name]
	return ok && now.Sub(at) < watchedFor
}

func (w *watched) add(name string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names == nil || len(w.names) >= maxWatched {
		w.names = map[string]time.Time{}
	}
	w.names[name] = now
}

// foldAlone forgets a mail host that nobody depends on any more: once a week it is looked for a dependent, and where
// there is none, again a day later. Whoever comes to depend on it in between finds it under watch, and says so.
func (h *Handler) foldAlone(ctx context.Context, v *visit, now, began lifecycle.Instant) error {
	d := &v.after
	weekly := d.Alone == 0 && lifecycle.IsMailDay(d.Name, began)
	if !d.MailHost || v.obs.Source != source.SourceDelegation || !weekly && (d.Alone == 0 || now.Since(d.Alone) < lifecycle.Daily) {
		return nil
	}
	somebody, err := h.somebodyDepends(ctx, d.Name)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errRead, err)
	case somebody && d.Alone == 0:
		return nil
	case somebody:
		d.Alone = 0
	case d.Alone == 0:
		d.Alone = now
	case d.Action.Weight() >= lifecycle.Hold.Weight():
		return nil // a person is asked about it: that ends with the verdict, and only applier ends it
	default:
		if d.MailHost, d.Told = false, 0; d.Watched() { // for addresses of its own
			d.Alone = 0
		}
	}
	v.changed = true
	return nil
}

// somebodyDepends looks for a dependent that is itself under watch, and takes those that are not off the list.
func (h *Handler) somebodyDepends(ctx context.Context, host string) (bool, error) {
	n := 0
	for dep, err := range h.book().Dependents(ctx, host) {
		if err != nil {
			return false, fmt.Errorf("who depends on %s: %w", host, err)
		}
		if n++; n > maxGone {
			return true, nil // the rest another time
		}
		d, err := h.book().Domain(ctx, dep.Name)
		if newer := (*records.Newer)(nil); errors.As(err, &newer) {
			return true, nil // what it depends on cannot be read, so that it still does
		}
		if err != nil || d.Watched() {
			return true, err //nolint:wrapcheck // says which domain
		}
		gone := []store.Write{records.Forget(records.DependentsPK(host), dep.Name+"/"+string(dep.On))}
		if d.Known() {
			d.State.MailSet, d.State.NS = forgotten, forgotten
			gone = append(gone, d.Put())
		}
		if err := h.Store.Write(ctx, gone...); errors.Is(err, store.ErrConflict) {
			return true, nil // somebody writes it just now
		} else if err != nil {
			return false, fmt.Errorf("forget that %s depends on %s: %w", dep.Name, host, err)
		}
	}
	return false, nil
}

// watchMailHosts puts the domains that others depend on under watch, once however many depend on them.
func (h *Handler) watchMailHosts(ctx context.Context, visits []visit) error {
	for _, v := range visits {
		if v.deps == nil {
			continue
		}
		for _, dep := range v.deps.now {
			if h.watched.has(dep, h.Now()) {
				continue
			}
			if err := h.watchMailHost(ctx, dep); err != nil {
				return fmt.Errorf("watch %s, which the mail of %s depends on: %w", dep, v.after.Name, err)
			}
			h.watched.add(dep, h.Now())
		}
	}
	return nil
}

func (h *Handler) watchMailHost(ctx context.Context, name string) error {
	_, err := h.book().Update(ctx, name, func(d *records.Domain) ([]store.Write, bool, error) {
		if d.MailHost && d.Alone == 0 {
			return nil, false, nil
		}
		if !d.Known() {
			*d = records.NewDomain(name, lifecycle.At(h.Now()))
		}
		d.MailHost, d.Alone = true, 0
		return nil, true, nil
	})
	if newer := (*records.Newer)(nil); errors.As(err, &newer) { // whoever wrote it watches it
		h.skip(ctx, newer)
		return nil
	}
	return err
}

// mailDue tells whether the domain's MX set is to be asked now: weekly, when the tripwire moved, and the day after a
// failure. The day of the week follows from the name, and is that on which the run began: a stored time would cost a
// write for every quiet look.
func (h *Handler) mailDue(d *records.Domain, before lifecycle.State, now, began lifecycle.Instant) bool {
	s := &d.State
	if h.Ask[queue.KindMail] == nil || !d.Listed || s.Deleg == lifecycle.DelegationGone || s.Deleg == lifecycle.DelegationUnknown {
		return false
	}
	failed := s.NextMail != 0 && s.NextMail <= now
	watched := s.MailWatched(now) && (s.Control.MXAt <= s.DelegSince || now.Since(s.Control.MXAt) >= lifecycle.Daily)
	return failed || watched || h.mailDay(d, began) || moved(before, *s)
}

// mailDay tells whether it is the day of a domain's MX and of its own name servers.
func (h *Handler) mailDay(d *records.Domain, began lifecycle.Instant) bool {
	atOnce := d.State.MailSet == "" && h.BaselineDays <= 0
	return atOnce || lifecycle.IsMailDay(d.Name, began)
}

// moved tells whether the tripwire found other name servers.
func moved(before, after lifecycle.State) bool { return before.NS != "" && before.NS != after.NS }
