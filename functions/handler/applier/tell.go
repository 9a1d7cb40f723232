package applier

// Who depends on a mail host is found by checker (depend.go); here those are told that it lapsed, or is back.

import (
	"context"
	"errors"
	"slices"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/store"
)

// tellDependents notes the lapse (or, with an empty lapsed, the recovery) of a mail host at every domain whose mail
// depends on it, and names those that did not know. They are held by their next judgement; nothing is ever done to them
// without a person.
func (p *Parts) tellDependents(ctx context.Context, mailHost, lapsed string, since lifecycle.Instant) (names []string, err error) {
	for dep, err := range p.book().Dependents(ctx, mailHost) {
		if err != nil {
			return names, err
		}
		anew, err := p.tellDependent(ctx, dep.Name, mailHost, lapsed, since)
		if newer := (*records.Newer)(nil); errors.As(err, &newer) {
			p.skip(ctx, newer)
		} else if err != nil {
			return names, err
		}
		if anew {
			names = append(names, dep.Name)
		}
	}
	return names, nil
}

func (p *Parts) tellDependent(ctx context.Context, name, mailHost, lapsed string, since lifecycle.Instant) (anew bool, err error) {
	_, err = p.book().Update(ctx, name, func(d *records.Domain) ([]store.Write, bool, error) {
		if !d.Known() {
			return nil, false, nil
		}
		host := lapsed
		if host == "" && d.State.MailLapsed == mailHost {
			var err error
			if host, err = p.otherLapsed(ctx, name, mailHost); err != nil {
				return nil, false, err
			}
		}
		newer := host == mailHost && d.State.MailLapsed == host && since > d.State.Control.Since
		if known := d.State.MailLapsed; !newer && (known == host || host == "" && known != mailHost || host == mailHost && known != "") {
			return nil, false, nil // it knows, or what it knows is the lapse of another host
		}
		anew = true
		d.MailHostBack()
		d.State = lifecycle.MailHost(d.State, host, since, lifecycle.At(p.Now()))
		if host != "" && d.Action.Weight() < lifecycle.Hold.Weight() {
			d.Action, d.Confidence, d.Reason = lifecycle.Hold, lifecycle.Low, lifecycle.ReasonMailHost
			if d.State.LapseAt == 0 {
				d.State.LapseAt = lifecycle.At(p.Now()) // as the next judgement would, so that it is the same hold
			}
		}
		return []store.Write{records.PutEntry(name, records.Entry{
			At: p.Now().UTC(), What: "mail host " + mailHost, After: d.State.Phase, Action: d.Action, Reason: d.Reason,
		}, 30)}, true, nil
	})
	return anew, err
}

// otherLapsed finds another host that name's mail depends on and whose lapse was reported, now that one is back.
func (p *Parts) otherLapsed(ctx context.Context, name, back string) (string, error) {
	deps, err := p.book().Dependencies(ctx, name)
	if err != nil {
		return "", err
	}
	hosts := slices.Concat(deps[records.DependsMail], deps[records.DependsServers])
	domains, err := p.book().Domains(ctx, hosts)
	if newer := (*records.Newer)(nil); errors.As(err, &newer) {
		p.skip(ctx, newer)
	} else if err != nil {
		return "", err
	}
	for _, host := range hosts {
		if d, ok := domains[host]; ok && host != back && d.Told != 0 {
			return host, nil
		}
	}
	return "", nil
}
