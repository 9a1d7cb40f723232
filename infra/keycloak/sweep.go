package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/domain"
)

// Sweep finishes what was begun and interrupted, and looks at every account in quarantine: it lifts the quarantine
// of a holder who proved another address, or the same one where the domain is in service again, and marks again an
// address that somebody confirmed who may be its domain's new owner.
func (s *Server) Sweep(ctx context.Context) error {
	open, err := s.unfinished(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range open {
		errs = append(errs, s.alone(ctx, func(ctx context.Context) error {
			do := s.work
			if e.state == restoring {
				do = s.takeBack
			}
			_, err := do(ctx, e.key)
			return err
		}))
	}
	g, err := s.standingGroup(ctx)
	if gone(err) {
		return errors.Join(errs...)
	}
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, s.lookAfter(ctx, g.ID))
	list, err := s.journal.marks(ctx, `WHERE m.state = ? AND m.closed`, marked)
	if err == nil && len(list) > 0 { // a flow that was bound back is seen here, and not at the next lapse
		_, err = s.recovery(ctx, list[0].domain)
	}
	return errors.Join(append(errs, err)...)
}

// standingGroup reads the quarantine group. One that was there, and that marks in force depend on, is made again: other
// tools delete what they do not know.
func (s *Server) standingGroup(ctx context.Context) (group, error) {
	g, err := s.cfg.Admin.group(ctx)
	if err != nil && !gone(err) || err == nil && g.sound() {
		return g, err
	}
	list, journalErr := s.journal.marks(ctx, `WHERE m.state = ? AND m.closed`, marked)
	if journalErr != nil || len(list) == 0 {
		return g, errors.Join(err, journalErr)
	}
	did, err := s.cfg.Admin.ensureGroup(ctx)
	if err != nil {
		return g, err
	}
	s.cfg.Log.ErrorContext(ctx, "quarantine_group_restored", "did", did, "means", "another tool deleted or changed it: recovery was open meanwhile")
	return s.cfg.Admin.group(ctx)
}

// notInForce counts the marks whose account is not in the group: what the journal says is closed, and is open.
func (s *Server) notInForce(ctx context.Context) (int, error) {
	list, err := s.journal.marks(ctx, `WHERE m.state = ?`, marked)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	g, err := s.cfg.Admin.group(ctx)
	if gone(err) {
		return len(list), nil
	}
	if err != nil {
		return 0, err
	}
	in := map[string]bool{}
	size := s.cfg.Admin.cfg.Page
	for first := 0; ; first += size {
		page, err := s.members(ctx, g.ID, first)
		if err != nil {
			return 0, err
		}
		for _, u := range page {
			in[u.ID] = true
		}
		if len(page) < size {
			break
		}
	}
	out := 0
	for _, m := range list {
		if in[m.account] {
			continue
		}
		switch _, err := s.cfg.Admin.account(ctx, m.account); {
		case err == nil:
			out++
		case !gone(err): // a deleted account is not to be recovered
			return 0, err
		}
	}
	return out, nil
}

// alone runs f when it is its turn, and so that it may take as long as a call of the API.
func (s *Server) alone(ctx context.Context, f func(ctx context.Context) error) error {
	release, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	return f(ctx)
}

func (s *Server) unfinished(ctx context.Context) ([]entry, error) {
	rows, err := s.journal.db.QueryContext(ctx, `SELECT key, state FROM journal WHERE state IN (?, ?)`, working, restoring)
	if err != nil {
		return nil, fmt.Errorf("journal: list open keys: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []entry
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.key, &e.state); err != nil {
			return nil, fmt.Errorf("journal: list open keys: %w", err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// lookAfter compares the group's members with the marks in force. Accounts are read again before they are changed.
func (s *Server) lookAfter(ctx context.Context, group string) error {
	list, err := s.journal.marks(ctx, `WHERE m.state = ?`, marked)
	if err != nil {
		return err
	}
	marks := map[string]mark{}
	for _, m := range list {
		marks[m.account] = m
	}
	unknown := 0
	var work []mark
	size := s.cfg.Admin.cfg.Page
	for first := 0; ; first += size {
		page, err := s.members(ctx, group, first)
		if err != nil {
			return err
		}
		for _, u := range page {
			m, known := marks[u.ID]
			delete(marks, u.ID)
			switch {
			case !known:
				unknown++
			case u.Verified || s.journal.hash(u.Email) != m.hash:
				work = append(work, m)
			}
		}
		if len(page) < size {
			break
		}
	}
	for _, m := range marks { // not in the group any more
		work = append(work, m)
	}
	if unknown > 0 {
		s.cfg.Log.WarnContext(ctx, "quarantined_by_others", "accounts", unknown, "means", "they are in the group "+Group+", and this adapter did not put them there; it leaves them alone")
	}
	var errs []error
	for _, m := range work {
		errs = append(errs, s.alone(ctx, func(ctx context.Context) error { return s.judge(ctx, m, group) }))
	}
	return errors.Join(errs...)
}

func (s *Server) members(ctx context.Context, group string, first int) ([]account, error) {
	var page []account
	err := s.cfg.Admin.do(ctx, call{doing: "list the quarantine group", method: http.MethodGet, path: "/groups/" + url.PathEscape(group) + "/members",
		query: url.Values{"first": {strconv.Itoa(first)}, "max": {strconv.Itoa(s.cfg.Admin.cfg.Page)}, "briefRepresentation": {"true"}}, out: &page})
	return page, err
}

// judge decides about one quarantined account that is not as it was left.
func (s *Server) judge(ctx context.Context, m mark, group string) error {
	u, err := s.cfg.Admin.account(ctx, m.account)
	if gone(err) {
		return s.journal.setMark(ctx, m.id, deleted)
	}
	if err != nil {
		return err
	}
	if now, err := s.journal.marks(ctx, `WHERE m.id = ? AND m.state = ?`, m.id, marked); err != nil || len(now) == 0 {
		return err // it was restored meanwhile
	}
	in, err := s.cfg.Admin.member(ctx, m.account, group)
	if err != nil {
		return err
	}
	host, _ := domain.HostOf(u.Email)
	switch {
	case !in && !m.closed:
		return s.mark(ctx, m, group) // there was no group when it was marked
	case !in && s.journal.hash(u.Email) == m.hash:
		s.cfg.Log.ErrorContext(ctx, "quarantine_lifted_by_others", "domain", m.domain, "account", m.account,
			"means", "its reason stands: it is put back", "next", "to let it out: keycloak-adapter release ACCOUNT")
		return s.mark(ctx, m, group)
	case !u.Verified && !in: // at another address that nobody has proved
		return s.cfg.Admin.join(ctx, m.account, group)
	case !u.Verified:
		return nil
	case !domain.Below(adminapi.Canonical(host), m.domain):
		return s.moved(ctx, m, u, group)
	}
	return s.confirmed(ctx, m, u, group)
}

// moved: another address was confirmed. A required action's form opens by a mail to the lapsed address too, without a
// password; so the quarantine is lifted only if the new address was given in a session in which somebody signed in.
func (s *Server) moved(ctx context.Context, m mark, u account, group string) error {
	proven, err := s.signedIn(ctx, m, u)
	if err != nil {
		return err
	}
	if proven {
		return s.lift(ctx, m, group, "another address was verified in a session")
	}
	s.cfg.Log.ErrorContext(ctx, "moved_without_proof", "domain", m.domain, "account", m.account,
		"means", "its address was changed, and nobody signed in there by a credential older than the gap: it stays in quarantine",
		"next", "ask the holder by another way; to let it out: keycloak-adapter release ACCOUNT")
	return s.cfg.Admin.join(ctx, m.account, group)
}

func (s *Server) lift(ctx context.Context, m mark, group, why string) error {
	if err := s.release(ctx, m.account, group); err != nil {
		return err
	}
	s.recount()
	s.cfg.Log.InfoContext(ctx, "quarantine_lifted", "domain", m.domain, "account", m.account, "why", why)
	return s.journal.setMark(ctx, m.id, lifted)
}

// confirmed: an address at the lapsed domain was confirmed by somebody who reads its mail. That is the holder only
// if the domain is in service again as before, and if the link was followed in the session in which the holder gave
// the password. Otherwise it is unverified again, and the holder asked for such a proof, or for another address.
func (s *Server) confirmed(ctx context.Context, m mark, u account, group string) error {
	back := false
	if s.cfg.Standing != nil {
		var err error
		if back, err = s.cfg.Standing(ctx, m.domain, m.before); err != nil {
			s.cfg.Log.WarnContext(ctx, "standing_unknown", "domain", m.domain, "error", err)
			back = false
		}
	}
	ask := actionUpdate
	if back {
		proven, err := s.signedIn(ctx, m, u)
		if err != nil {
			return err
		}
		if proven {
			return s.lift(ctx, m, group, "the domain is in service again, and its holder verified the address in a session")
		}
		ask = actionVerify
	}
	actions := without(u.Actions, actionUpdate, actionVerify)
	s.cfg.Log.InfoContext(ctx, "marked_again", "domain", m.domain, "account", m.account, "asks", ask)
	if err := s.journal.exec(ctx, "note a mark", `UPDATE marks SET added = 1 WHERE id = ?`, m.id); err != nil {
		return err
	}
	return s.cfg.Admin.set(ctx, m.account, false, append(actions, ask))
}

// signedIn: after the mark, the present address was confirmed in the very session in which somebody signed in here by a
// credential that is older than the gap. Whoever only reads the mail follows the link in a session of their own, in
// which nobody signed in. A sign-in by an identity provider is no proof: providers key on the address.
func (s *Server) signedIn(ctx context.Context, m mark, u account) (bool, error) {
	q := eventQuery{types: []string{actionVerify, actionUpdate, "LOGIN"}, user: m.account, since: m.at.Add(-eventMargin), max: DefaultPage}
	events, err := s.cfg.Admin.events(ctx, q)
	if err != nil {
		return false, err
	}
	for _, v := range events {
		if v.Type == actionVerify && v.Details["action"] != "verify-email" || !v.at().After(m.at) || !strings.EqualFold(v.address(), u.Email) {
			continue
		}
		session := v.Details["code_id"]
		if session != "" && slices.ContainsFunc(events, func(l event) bool {
			return l.Type == "LOGIN" && l.Details["code_id"] == session && l.Details["identity_provider"] == "" && !l.at().Before(v.at())
		}) {
			return s.cfg.Admin.credentialsOlder(ctx, m.account, m.before)
		}
	}
	return false, nil
}
