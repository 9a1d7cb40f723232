package checker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/store"
)

// ResolverUpstream names the resolver that MX questions go to.
const ResolverUpstream = "resolver"

// raise sends the questions that the answers raised, as messages to the next upstreams.
func (h *Handler) raise(ctx context.Context, m queue.Message, visits []visit) ([]queue.Message, error) {
	type target struct {
		kind     queue.Kind
		upstream string
	}
	entries := map[target][]queue.Entry{}
	var order []target
	for _, v := range visits {
		for _, source := range v.ask {
			t := target{}
			t.kind, t.upstream = h.upstream(source, v.name)
			if t.upstream == "" {
				continue // switched off
			}
			if len(entries[t]) == 0 {
				order = append(order, t)
			}
			entries[t] = append(entries[t], queue.Entry{Name: v.after.Name, Version: v.after.Version(), Item: json.RawMessage(v.after.Data())})
		}
	}
	var raised []queue.Message
	for _, t := range order {
		raised = append(raised, queue.Pack(queue.Message{
			Kind: t.kind, Upstream: t.upstream, Group: queue.Group(t.kind, t.upstream), Run: m.Run, Look: m.Look, Share: 1, Sent: m.Sent,
		}, entries[t])...)
	}
	if len(raised) == 0 {
		return nil, nil
	}
	if _, err := h.Queue.Send(ctx, raised); err != nil {
		return nil, fmt.Errorf("send %d raised messages: %w", len(raised), err)
	}
	return raised, nil
}

func (h *Handler) upstream(s lifecycle.Source, name domain.Name) (queue.Kind, string) {
	switch s {
	case lifecycle.SourceRDAP:
		base, _, _ := h.Servers.Server(lastLabel(name.Registrable))
		return queue.KindRDAP, base
	case lifecycle.SourceStatus:
		return queue.KindStatus, h.StatusUpstream
	case lifecycle.SourceMail:
		return queue.KindMail, ResolverUpstream
	default:
		return queue.KindDelegation, name.Suffix
	}
}

func lastLabel(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// foldMail folds an MX answer: which registrable domains the domain's mail depends on.
func (h *Handler) foldMail(v *visit) {
	now := lifecycle.At(h.Now())
	s := &v.after.State
	if v.obs.Outcome == lifecycle.Unknown || v.obs.Mail == nil {
		return
	}
	var deps []string
	for _, host := range v.obs.Mail.Hosts {
		if n, reason := domain.Parse(host); reason == "" && n.Registrable != v.name.Registrable {
			deps = append(deps, n.Registrable)
		}
	}
	slices.Sort(deps)
	deps = slices.Compact(deps)
	s.NextMail = now.Add(lifecycle.MailLook)
	if fp := lifecycle.Fingerprint(deps); s.MailSet != fp {
		s.MailSet, v.deps = fp, deps
	}
	v.changed = true
}

// dependentTTL forgets who depended on a mail host when nothing renewed the entry for a year.
const dependentTTL = 365 * 24 * time.Hour

// maxDeps bounds how many mail hosts of one domain are followed: a hostile MX set must not fill the table.
const maxDeps = 20

// mailWrites notes on whom the domain's mail depends; the list lies outside the scanned table.
func (h *Handler) mailWrites(v visit) []store.Write {
	var writes []store.Write
	for _, dep := range v.deps[:min(len(v.deps), maxDeps)] {
		writes = append(writes, store.Record(store.DependentsPK(dep), v.after.Name, map[string]any{"at": h.Now().UTC()}, h.Now().Add(dependentTTL)))
	}
	return writes
}

// watchMailHosts puts mail hosts' domains under watch, once however many depend on them.
func (h *Handler) watchMailHosts(ctx context.Context, visits []visit) error {
	for _, v := range visits {
		for _, dep := range v.deps[:min(len(v.deps), maxDeps)] {
			if err := h.watchMailHost(ctx, dep); err != nil {
				return fmt.Errorf("watch %s, mail host of %s: %w", dep, v.after.Name, err)
			}
		}
	}
	return nil
}

func (h *Handler) watchMailHost(ctx context.Context, name string) error {
	for range 4 {
		d, err := store.GetDomain(ctx, h.Store, name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			d = store.NewDomain(name, lifecycle.At(h.Now()))
		case err != nil:
			return err
		case d.MailHost:
			return nil
		}
		d.MailHost = true
		if err = h.Store.Write(ctx, d.Put()); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// mailDue tells whether the domain's MX set is to be asked now: weekly, and when the tripwire moved. The first
// time is spread over a week.
func (h *Handler) mailDue(d *store.Domain, before lifecycle.State, now lifecycle.Instant) bool {
	s := &d.State
	if h.Ask[queue.KindMail] == nil || !d.Listed || s.Deleg == lifecycle.DelegationGone || s.Deleg == lifecycle.DelegationUnknown {
		return false
	}
	if s.NextMail == 0 {
		s.NextMail = lifecycle.BaselineAt(d.Name, now, min(h.BaselineDays, 7))
	}
	return s.NextMail <= now || before.NS != "" && before.NS != s.NS
}
