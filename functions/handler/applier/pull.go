package applier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// lists is the registry's list, as the client has it.
type lists interface {
	List(ctx context.Context, after string, limit int, changedSince time.Time) (registry.Page, error)
}

var (
	errNotOffered = errors.New("the registry does not offer to close account recovery: its list does not say so")
	errOnlyOpened = errors.New("a protected domain is never closed")
)

// pull closes recovery at a domain, or opens it, by an operator's word: in every mode, for it is a person's. It stands
// until control of the domain is in doubt anew. The word is written down before it is sent, so that who dies in between
// is taken up by a tick.
func (p *Parts) pull(ctx context.Context, w word, m records.Matter) (string, error) {
	closing := w.action == actClose
	err := check("why", "reason", w.why, maxWhy)
	v, viewErr := p.view(ctx, records.Run{})
	call, can := p.Restorer.(recovers)
	switch {
	case err != nil:
	case viewErr != nil:
		err = viewErr
	case !can || !v.synced.Recovery:
		err = errNotOffered
	case closing && safety.Protected(m.Domain.Name, p.Protected):
		err = errOnlyOpened
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", w.action, m.Domain.Name, err)
	}
	m, err = p.said(ctx, w, m)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", w.action, m.Domain.Name, err)
	}
	m, ok, err := p.setRecovery(ctx, call, m, "")
	switch {
	case err != nil:
		return "", fmt.Errorf("%s %s: %w", w.action, m.Domain.Name, err)
	case !ok:
		return fmt.Sprintf("noted: %s %s. The registry has not done it yet; the next tick asks again, and under stop say it again", w.action, m.Domain.Name), nil
	case closing:
		return fmt.Sprintf("closed: recovery through %d addresses at %s, until you open it, or control of it is in doubt anew and shown again", m.Recovery.V.Bound, m.Domain.Name), nil
	default:
		return fmt.Sprintf("opened: recovery at %s; no tick closes it for what is known now, a new gap does", m.Domain.Name), nil
	}
}

// said writes an operator's word down.
func (p *Parts) said(ctx context.Context, w word, m records.Matter) (records.Matter, error) {
	gap, now := m.Domain.State.Control.Since, lifecycle.At(p.Now())
	m.Recovery.V.Word = &records.Word{Closed: w.action == actClose, Gap: gap, At: now, By: w.by, Why: w.why}
	writes := []store.Write{m.Recovery.Put(), records.PutEntry(m.Domain.Name, p.entry(ctx, w, m.Domain, w.why), 40)}
	d, err := p.book().Update(ctx, m.Domain.Name, func(d *records.Domain) ([]store.Write, bool, error) {
		if d.Closed, d.CloseAt = records.Unsent, 0; d.Asks() {
			d.Settled = "" // it is answered: the hold ends
		}
		return writes, d.Known(), nil
	})
	if err == nil && !d.Known() {
		err = p.Store.Write(ctx, writes...)
	}
	if err != nil {
		return m, err //nolint:wrapcheck // the caller says what of which domain
	}
	if d.Known() {
		m.Domain = d
	}
	m.Recovery = m.Recovery.Stored()
	p.logAction(ctx, w, m.Domain.Name, "")
	return m, nil
}

// openAll opens whatever the registry's list says is closed, as one does before the guard is taken away. What is left
// when time is up is found by saying it again.
func (p *Parts) openAll(ctx context.Context, w word) (string, error) {
	list, can := p.Restorer.(lists)
	if !can {
		return "", fmt.Errorf("open all: %w", errNotOffered)
	}
	opened, after := 0, ""
	for {
		page, err := list.List(ctx, after, registry.MaxPage, time.Time{})
		if err != nil {
			return "", fmt.Errorf("open all, after %d domains: %w", opened, err)
		}
		for _, name := range closedAt(page) {
			if p.late(ctx) {
				return fmt.Sprintf("opened: %d domains, and time is up; say it again for the rest", opened), nil
			}
			m, err := p.book().Matter(ctx, name)
			if err == nil {
				_, err = p.pull(ctx, w, m)
			}
			if err != nil {
				return "", fmt.Errorf("open all, after %d domains: %w", opened, err)
			}
			opened++
		}
		if after = page.Next; after == "" && opened == 0 {
			return "", errors.New("open all: the registry holds nothing closed")
		} else if after == "" {
			return fmt.Sprintf("opened: all %d domains that the registry held closed", opened), nil
		}
	}
}

// closedAt are the domains of a page's hosts at which recovery is closed.
func closedAt(page registry.Page) (names []string) {
	seen := map[string]bool{}
	for _, h := range page.Hosts {
		name, reason := domain.Parse(h.Host)
		if h.Closed.Addresses == 0 || reason != "" || seen[name.Registrable] {
			continue
		}
		seen[name.Registrable] = true
		names = append(names, name.Registrable)
	}
	return names
}
