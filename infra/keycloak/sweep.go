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
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
)

// Sweep finishes what was begun and interrupted, and looks at every account in quarantine: it lifts the quarantine
// of a holder who proved another address, or the same one again, undoes what somebody else did who only reads the mail,
// offers verification where a domain is back, and reports accounts that were reset by mail.
func (s *Server) Sweep(ctx context.Context) error {
	open, err := s.unfinished(ctx, `state IN (?, ?)`, working, restoring)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range open {
		errs = append(errs, s.alone(ctx, func(ctx context.Context) error { return s.resume(ctx, e) }))
	}
	_, err = s.learnTimes(ctx)
	errs = append(errs, err, s.reportResets(ctx))
	g, err := s.standingGroup(ctx)
	if gone(err) {
		return errors.Join(errs...)
	}
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, s.lookAfter(ctx, g.ID), s.alone(ctx, s.endForms))
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

// notInForce says in words what the journal has for closed and is open: accounts that are not in the group, and those
// that were reset after they were put there. Empty: nothing.
func (s *Server) notInForce(ctx context.Context) (open string, err error) {
	list, err := s.journal.marks(ctx, `WHERE m.state = ?`, marked)
	if err != nil || len(list) == 0 {
		return "", err
	}
	taken, forms := 0, 0
	for _, m := range list {
		if m.report == reportedAfter {
			taken++
		}
		if m.closed && m.forms {
			forms++
		}
	}
	switch {
	case taken > 0:
		return fmt.Sprintf("%d accounts were reset by mail after they were quarantined: judge and release them", taken), nil
	case forms > 0:
		return fmt.Sprintf("in %d accounts a form that was open when they were quarantined may still set a password: run the adapter's guard client, for the role that ends it", forms), nil
	}
	out, err := s.outside(ctx, list)
	if err != nil || out == 0 {
		return "", err
	}
	return fmt.Sprintf("%d accounts that were quarantined are not in the group %s", out, Group), nil
}

// outside counts the marks whose account is not in the group.
func (s *Server) outside(ctx context.Context, list []mark) (int, error) {
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

// resume goes on with what was begun under a key.
func (s *Server) resume(ctx context.Context, e entry) error {
	var err error
	switch {
	case e.state == restoring:
		_, err = s.takeBack(ctx, e.key)
	case e.closing:
		_, err = s.carryClosing(ctx, e)
	default:
		_, err = s.work(ctx, e.key)
	}
	return err
}

func (s *Server) unfinished(ctx context.Context, where string, args ...any) ([]entry, error) {
	//nolint:gosec // where is one of this package's constants
	rows, err := s.journal.db.QueryContext(ctx, `SELECT key, state, domain, closing FROM journal WHERE `+where+` ORDER BY at, key`, args...)
	if err != nil {
		return nil, fmt.Errorf("journal: list open keys: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []entry
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.key, &e.state, &e.domain, &e.closing); err != nil {
			return nil, fmt.Errorf("journal: list open keys: %w", err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// lookAfter compares the group's members with the marks in force. Accounts are read again before they are changed.
func (s *Server) lookAfter(ctx context.Context, group string) error {
	p, err := s.place(ctx)
	if err != nil {
		return err
	}
	list, err := s.journal.marks(ctx, `WHERE m.state = ?`, marked)
	if err != nil {
		return err
	}
	verified, err := s.verifiedSince(ctx)
	if err != nil {
		return err
	}
	marks := map[string][]mark{}
	for _, m := range list {
		marks[m.account] = append(marks[m.account], m)
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
			known := marks[u.ID]
			delete(marks, u.ID)
			if len(known) == 0 {
				unknown++
			}
			for _, m := range known {
				if verified[m.id] || u.Verified && (p.takesFlag(m) || m.added) || s.journal.hash(u.Email) != m.hash || s.offerDiffers(ctx, m) {
					work = append(work, m)
				}
			}
		}
		if len(page) < size {
			break
		}
	}
	for _, list := range marks { // not in the group any more
		work = append(work, list...)
	}
	if unknown > 0 {
		s.cfg.Log.WarnContext(ctx, "quarantined_by_others", "accounts", unknown, "means", "they are in the group "+Group+", and this adapter did not put them there; it leaves them alone")
	}
	var errs []error
	for _, m := range work {
		errs = append(errs, s.alone(ctx, func(ctx context.Context) error { return s.judge(ctx, m, p) }))
	}
	return errors.Join(errs...)
}

// verifiedSince has the marks in force whose address was verified after them.
func (s *Server) verifiedSince(ctx context.Context) (map[int64]bool, error) {
	rows, err := s.journal.db.QueryContext(ctx, `SELECT m.id FROM marks m JOIN verified v ON v.account = m.account AND v.hash = m.hash WHERE m.state = ? AND v.at > m.at`, marked)
	if err != nil {
		return nil, fmt.Errorf("journal: look for verifications: %w", err)
	}
	defer func() { _ = rows.Close() }()
	found := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("journal: look for verifications: %w", err)
		}
		found[id] = true
	}
	return found, rows.Err() //nolint:wrapcheck // this driver's never fails
}

func (s *Server) members(ctx context.Context, group string, first int) ([]account, error) {
	var page []account
	err := s.cfg.Admin.do(ctx, call{doing: "list the quarantine group", method: http.MethodGet, path: "/groups/" + url.PathEscape(group) + "/members",
		query: url.Values{"first": {strconv.Itoa(first)}, "max": {strconv.Itoa(s.cfg.Admin.cfg.Page)}, "briefRepresentation": {"true"}}, out: &page})
	return page, err
}

// judge decides about one quarantined account that is not as it was left.
func (s *Server) judge(ctx context.Context, m mark, p place) error {
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
	in, err := s.cfg.Admin.member(ctx, m.account, p.group)
	if err != nil {
		return err
	}
	same := s.journal.hash(u.Email) == m.hash
	switch {
	case !in && !m.closed:
		return s.mark(ctx, m, p) // there was no group when it was marked
	case !in && same:
		s.cfg.Log.ErrorContext(ctx, "quarantine_lifted_by_others", "domain", m.domain, "account", m.account,
			"means", "its reason stands: it is put back", "next", "to let it out: keycloak-adapter release ACCOUNT")
		if err := s.outAgain(ctx, m.account); err != nil {
			return err
		}
		return s.mark(ctx, m, p)
	case !in:
		if err := s.cfg.Admin.join(ctx, m.account, p.group); err != nil {
			return err
		}
	}
	host, _ := domain.HostOf(u.Email)
	switch {
	case same || domain.Below(mailHost(host), m.domain):
		return s.confirmed(ctx, m, u, p)
	case !u.Verified: // at another address that nobody has proved
		return nil
	}
	return s.moved(ctx, m, u, p)
}

// moved: another address was confirmed. That lifts the quarantine only if it was given in a session in which somebody
// signed in by a credential older than the gap; else it is undone, once a sign-in that was under way has had its time.
func (s *Server) moved(ctx context.Context, m mark, u account, p place) error {
	proof, err := s.proof(ctx, m, u)
	switch {
	case err != nil:
		return err
	case proof.signedIn: // the links that are out are to the address of before, and die with it
		return s.lift(ctx, m, p.group, "another address was verified in a session")
	case !proof.changed.IsZero() && s.cfg.Now().Sub(proof.changed) < graceForProof:
		return nil
	case proof.previous != "":
		err := s.cfg.Admin.setEmail(ctx, m.account, proof.previous, m.counts && !p.takesFlag(m))
		if err == nil {
			err = s.cfg.Admin.logout(ctx, m.account)
		}
		if err == nil {
			s.cfg.Log.ErrorContext(ctx, "change_of_address_undone", "domain", m.domain, "account", m.account,
				"means", "its address was changed by somebody who did not sign in by a credential older than the gap: it has the old one again, and its sessions are ended",
				"next", "if that was the holder: keycloak-adapter release ACCOUNT")
		}
		if !refused(err) {
			return err
		}
	}
	s.cfg.Log.ErrorContext(ctx, "moved_without_proof", "domain", m.domain, "account", m.account,
		"means", "its address was changed, and nobody signed in there by a credential older than the gap: it stays in quarantine",
		"next", "ask the holder by another way; to let it out: keycloak-adapter release ACCOUNT")
	return nil
}

// graceForProof is how long a change of address may wait for the sign-in that it is part of: Keycloak's own limit of a
// sign-in.
const graceForProof = 30 * time.Minute

func (s *Server) lift(ctx context.Context, m mark, group, why string) error {
	if err := s.release(ctx, m, group); err != nil {
		return err
	}
	s.recount()
	s.cfg.Log.InfoContext(ctx, "quarantine_lifted", "domain", m.domain, "account", m.account, "why", why)
	return s.journal.setMark(ctx, m.id, lifted)
}

// confirmed: an address at the domain was confirmed by somebody who reads its mail, or the time to offer that has come
// or gone. The reader is the holder if the address was confirmed in a session begun by a credential older than the gap
// and, for an address that was unverified, if the domain is in service again as before. Otherwise it is as it was.
func (s *Server) confirmed(ctx context.Context, m mark, u account, p place) error {
	proof, err := s.proof(ctx, m, u)
	if err != nil {
		return err
	}
	if proof.signedIn && (m.closing || s.stands(ctx, m)) {
		if out, err := s.linkOut(ctx, m, proof.confirmed, p); out || err != nil {
			return err // the next sweep lifts
		}
		return s.lift(ctx, m, p.group, "its holder verified the address in a session")
	}
	back, known := s.back(ctx, m)
	switch {
	case !known:
		back = m.added
	case back && m.closing: // what unverified the address decides
		list, err := s.journal.inForce(ctx, m.account)
		if err != nil {
			return err
		}
		back = !slices.ContainsFunc(list, func(o mark) bool { return !o.closing })
	}
	if !back {
		if m.added {
			return s.unoffer(ctx, m)
		}
		if u.Verified && p.takesFlag(m) {
			s.cfg.Log.InfoContext(ctx, "marked_again", "domain", m.domain, "account", m.account)
			return s.cfg.Admin.setFlag(ctx, m.account, false)
		}
		return nil
	}
	return s.offer(ctx, m, u)
}

// offer asks the holder at the next sign-in to verify the address, or to give another one. Without the flag, since with
// it Keycloak passes over that; and by UPDATE_EMAIL, since VERIFY_EMAIL lets nobody go on before a mail was read that
// may reach another.
func (s *Server) offer(ctx context.Context, m mark, u account) error {
	if m.added && !u.Verified && slices.Contains(u.Actions, actionUpdate) {
		return nil
	}
	if err := s.journal.exec(ctx, "note an offer", `UPDATE marks SET added = 1 WHERE id = ?`, m.id); err != nil {
		return err
	}
	s.cfg.Log.InfoContext(ctx, "verification_offered", "domain", m.domain, "account", m.account)
	return s.cfg.Admin.set(ctx, m.account, false, append(without(u.Actions, actionUpdate, actionVerify), actionUpdate))
}

// unoffer takes an offer back.
func (s *Server) unoffer(ctx context.Context, m mark) error {
	if !m.added {
		return nil
	}
	u, err := s.cfg.Admin.account(ctx, m.account)
	if err != nil {
		return err
	}
	p, err := s.place(ctx)
	if err != nil {
		return err
	}
	if s.journal.hash(u.Email) == m.hash {
		if err := s.cfg.Admin.set(ctx, m.account, m.counts && !p.takesFlag(m), without(u.Actions, actionUpdate, actionVerify)); err != nil {
			return err
		}
	}
	return s.journal.exec(ctx, "take an offer back", `UPDATE marks SET added = 0 WHERE id = ?`, m.id)
}

// offerDiffers: a domain is back and nothing was offered, or the other way round.
func (s *Server) offerDiffers(ctx context.Context, m mark) bool {
	back, known := s.back(ctx, m)
	return known && back != m.added
}

// asked is what was last heard of a domain.
type asked struct {
	at          time.Time
	back, known bool
}

// How long an answer is kept: the zone above is asked more often than the registry.
const (
	askZone     = time.Hour
	askRegistry = 12 * time.Hour
)

// back tells whether a mark's domain is in service again, so that its holder can be offered to verify: delegated, and
// for one that was unverified as before the lapse. It asks seldom.
func (s *Server) back(ctx context.Context, m mark) (back, known bool) {
	if !m.exposed.IsZero() || s.cfg.Delegated == nil {
		return false, true
	}
	back, known = s.remember("zone "+m.domain, askZone, func() (bool, error) { return s.cfg.Delegated(ctx, m.domain) })
	if !back || !known || m.closing {
		return back, known
	}
	return s.remember("registry "+m.key, askRegistry, func() (bool, error) { return s.standing(ctx, m) })
}

func (s *Server) remember(key string, keep time.Duration, ask func() (bool, error)) (back, known bool) {
	now := s.cfg.Now()
	s.askedMu.Lock()
	defer s.askedMu.Unlock()
	if a, ok := s.asked[key]; ok && now.Sub(a.at) < keep {
		return a.back, a.known
	}
	back, err := ask()
	s.asked[key] = asked{at: now, back: back && err == nil, known: err == nil}
	return back && err == nil, err == nil
}

// stands asks anew whether an unverified address's domain is in service again as before.
func (s *Server) stands(ctx context.Context, m mark) bool {
	if !m.exposed.IsZero() {
		return false
	}
	back, err := s.standing(ctx, m)
	return back && err == nil
}

func (s *Server) standing(ctx context.Context, m mark) (bool, error) {
	if s.cfg.Standing == nil {
		return false, nil
	}
	back, err := s.cfg.Standing(ctx, m.domain, m.before)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "standing_unknown", "domain", m.domain, "error", err)
	}
	return back, err
}

// proof is what the events say of an address since a mark.
type proof struct {
	signedIn  bool // confirmed in a session begun by a credential older than the gap
	confirmed time.Time
	changed   time.Time // the newest change of address
	previous  string    // the address that the mark is about
}

// proof: after the mark, the present address was confirmed in the very session in which somebody signed in here by a
// credential that is older than the gap. Whoever only reads the mail follows the link in a session of their own, in
// which nobody signed in. A sign-in by an identity provider is no proof: providers key on the address.
func (s *Server) proof(ctx context.Context, m mark, u account) (proof, error) {
	q := eventQuery{types: []string{actionVerify, actionUpdate, eventLogin, eventSend}, user: m.account, since: m.at.Add(-eventMargin), max: DefaultPage}
	events, err := s.cfg.Admin.events(ctx, q)
	if err != nil {
		return proof{}, err
	}
	var out proof
	for _, v := range events {
		if v.Type == eventLogin || !v.at().After(m.at) {
			continue
		}
		if v.Type == eventSend { // another address, asked for by somebody who had signed in, and confirmed by its own mail
			if s.journal.hash(u.Email) != m.hash && strings.EqualFold(v.Details["email"], u.Email) && signedInTo(events, v.Details["code_id"], v.at()) {
				out.confirmed = latest(out.confirmed, v.at())
			}
			continue
		}
		if before := v.Details["previous_email"]; v.Type == actionUpdate {
			if s.journal.hash(before) == m.hash {
				out.previous = before
			}
			out.changed = latest(out.changed, v.at())
		}
		if v.Type == actionVerify && v.Details["action"] != "verify-email" || !strings.EqualFold(v.address(), u.Email) {
			continue
		}
		if signedInTo(events, v.Details["code_id"], time.Time{}) {
			out.confirmed = latest(out.confirmed, v.at())
		}
	}
	if !out.confirmed.IsZero() && m.exposed.IsZero() && m.report == 0 {
		out.signedIn, err = s.cfg.Admin.credentialsOlder(ctx, m.account, m.until)
	}
	return out, err
}

// signedInTo: somebody signed in to a session by a credential of this realm; before a time, unless that is zero.
func signedInTo(events []event, session string, before time.Time) bool {
	return session != "" && slices.ContainsFunc(events, func(l event) bool {
		return l.Type == eventLogin && l.Details["code_id"] == session && l.Details["identity_provider"] == "" && (before.IsZero() || l.at().Before(before))
	})
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
