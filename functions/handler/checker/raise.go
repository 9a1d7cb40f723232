package checker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/source"
)

const (
	// ResolverUpstream names the resolver that MX questions go to.
	ResolverUpstream = "resolver"
	// OwnUpstream names domains' own name servers, all together: each is asked for few names.
	OwnUpstream = "own"
	// firstGroup is the group of a registry's questions about what looks lost. They overtake the others', and share their
	// server's budget.
	firstGroup = "first"
)

// raise sends the questions that the answers raised, as messages to the next upstreams.
func (h *Handler) raise(ctx context.Context, m queue.Message, visits []visit) ([]queue.Message, error) {
	type target struct {
		kind     queue.Kind
		upstream string
		first    bool
	}
	entries := map[target][]queue.Entry{}
	var order []target
	// Who has more addresses is asked first; the order within a message is kept.
	visits = slices.SortedStableFunc(slices.Values(visits), func(a, b visit) int { return cmp.Compare(b.after.Addresses, a.after.Addresses) })
	for _, v := range visits {
		for _, kind := range v.ask {
			t := target{}
			t.kind, t.upstream = h.upstream(kind, v.name)
			t.first = t.kind == queue.KindRDAP && v.after.State.LooksLost()
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
		group := queue.Group(t.kind, t.upstream)
		if t.first {
			group = queue.Group(t.kind, t.upstream, firstGroup)
		}
		raised = append(raised, queue.Pack(queue.Message{
			Kind: t.kind, Upstream: t.upstream, Group: group, Run: m.Run, Look: m.Look, Share: 1, Sent: m.Sent,
		}, entries[t])...)
	}
	if len(raised) == 0 {
		return nil, nil
	}
	for i, q := range raised {
		if q.Kind == queue.KindServers {
			// Millions of servers are no upstream that a rate would spare, and a silent one keeps its message waiting.
			raised[i].Group = queue.Group(q.Kind, q.Upstream, q.ID[:1])
		}
	}
	if _, err := h.Queue.Send(ctx, raised); err != nil {
		return nil, fmt.Errorf("send %d raised messages: %w", len(raised), err)
	}
	return raised, nil
}

func (h *Handler) upstream(s source.Source, name domain.Name) (queue.Kind, string) {
	switch s {
	case source.SourceRDAP:
		base, _, _ := h.Servers.Server(lastLabel(name.Registrable))
		return queue.KindRDAP, base
	case source.SourceStatus:
		return queue.KindStatus, h.StatusUpstream
	case source.SourceMail:
		return queue.KindMail, ResolverUpstream
	case source.SourceServers:
		return queue.KindServers, OwnUpstream
	default:
		return queue.KindDelegation, name.Suffix
	}
}

func lastLabel(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
