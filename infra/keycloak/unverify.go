package keycloak

import (
	"context"
	"database/sql"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/registry"
)

func (s backend) Unverify(ctx context.Context, in registry.Request) (adminapi.Reply, error) {
	request, err := adminapi.Fingerprint(in)
	if err != nil {
		return adminapi.Reply{}, err
	}
	release, err := s.take(ctx)
	if err != nil {
		return adminapi.Reply{}, err
	}
	defer release()
	if !in.DryRun {
		switch e, known, err := s.journal.entry(ctx, in.Key); {
		case err != nil:
			return adminapi.Reply{}, err
		case known:
			return s.again(ctx, e, request) // also where a newer list calls the domain a public suffix: what was done stands
		}
	}
	if s.cfg.IsPublicSuffix(in.Domain) {
		return suffix(), nil
	}
	p, err := s.plan(ctx, in)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("unverify %s: %w", in.Domain, err)
	}
	if p.answer.Changed > in.MaxAddresses {
		return adminapi.Problem(http.StatusUnprocessableEntity, registry.TypeTooMany, "too many addresses",
			fmt.Sprintf("%d addresses would change, %d are allowed", p.answer.Changed, in.MaxAddresses)), nil
	}
	if in.DryRun {
		p.answer.Recovery, err = s.recovery(ctx, in.Domain)
		return adminapi.OK(p.answer), err
	}
	if err := s.writeDown(ctx, in, request, p); err != nil {
		return adminapi.Reply{}, err
	}
	return s.work(ctx, in.Key)
}

func suffix() adminapi.Reply {
	return adminapi.Problem(http.StatusUnprocessableEntity, registry.TypePublicSuffix, "public suffix", "names of many owners lie below it")
}

// again answers a key that is known.
func (s *Server) again(ctx context.Context, e entry, request string) (adminapi.Reply, error) {
	switch {
	case e.request != request:
		return adminapi.Problem(http.StatusConflict, registry.TypeKeyReused, "the key belongs to another request", ""), nil
	case e.state == restoring || e.state == restored:
		return adminapi.Problem(http.StatusConflict, registry.TypeRestored, "what was done under this key was taken back", "doing it again needs a new key"), nil
	case e.state == working:
		return s.work(ctx, e.key)
	}
	return adminapi.OK(stdjson.RawMessage(e.answer)), nil
}

// plan is what a request would do, by what Keycloak says now.
type plan struct {
	accounts []account // to be quarantined: those that change, and the unverified ones of before
	over     []int64   // marks of accounts that somebody let out
	answer   adminapi.Answer
}

func (s *Server) plan(ctx context.Context, in registry.Request) (plan, error) {
	var p plan
	found, err := s.at(ctx, in.Domain)
	if err != nil {
		return p, err
	}
	if _, err := s.learnTimes(ctx); err != nil {
		return p, err
	}
	g, err := s.cfg.Admin.group(ctx)
	if err != nil && !gone(err) {
		return p, err
	}
	for _, u := range found {
		closed, verified, err := s.underMark(ctx, u, g.ID, &p)
		if err != nil {
			return p, err
		}
		at, err := s.verifiedAt(ctx, u)
		if err != nil {
			return p, err
		}
		switch older := at.Before(in.VerifiedBefore) && (!at.IsZero() || adminapi.UnknownIsOlder(in.Phase)); {
		case closed:
			p.answer.Already++
		case !verified:
			p.answer.Already++
			// Keycloak lets an unverified address recover its account, and the answer is about the effect.
			if time.UnixMilli(u.Created).Before(in.VerifiedBefore) {
				p.accounts = append(p.accounts, u)
			}
		case older:
			p.answer.Changed++
			p.accounts = append(p.accounts, u)
		default:
			p.answer.Kept++
		}
	}
	return p, nil
}

// underMark tells whether an account is unverified and in quarantine, or will be as soon as there is a group for it,
// and else whether its address counts as verified. One that another tool let out is not in quarantine.
func (s *Server) underMark(ctx context.Context, u account, group string, p *plan) (closed, verified bool, err error) {
	list, err := s.journal.inForce(ctx, u.ID)
	if err != nil {
		return false, false, err
	}
	verified = u.Verified || slices.ContainsFunc(list, func(m mark) bool { return m.offered() && m.hash == s.journal.hash(u.Email) })
	at := slices.IndexFunc(list, func(m mark) bool { return !m.closing })
	if at < 0 || !list[at].closed || group == "" {
		return at >= 0, verified, nil
	}
	in, err := s.cfg.Admin.member(ctx, u.ID, group)
	if err == nil && !in {
		p.over = append(p.over, list[at].id)
	}
	return in, verified, err
}

// offered: the address is verified, and lacks the flag only while its holder is offered to verify it again.
func (m mark) offered() bool { return m.closing && m.added && m.counts }

// at collects the accounts whose address is at a domain or below it, all pages before anything is written, since
// writing moves accounts between pages. Keycloak searches by substring; labels are compared here.
func (s *Server) at(ctx context.Context, name string) ([]account, error) {
	searches, err := s.searches(ctx, name)
	if err != nil {
		return nil, err
	}
	found := map[string]account{}
	for _, search := range searches {
		err := s.cfg.Admin.eachPage(ctx, accountQuery{email: search}, func(page []account) error {
			for _, u := range page {
				if host, ok := domain.HostOf(u.Email); ok && domain.Below(mailHost(host), name) {
					found[u.ID] = u
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]account, 0, len(found))
	for _, u := range found {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b account) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// searches are the substrings that find every address at a domain: its A-labels, their Unicode form, and every other
// spelling of it that the last count met. Before the first count nobody knows the spellings: all accounts are read.
func (s *Server) searches(ctx context.Context, name string) ([]string, error) {
	if asOf, err := s.journal.time(ctx, "as_of"); err != nil || asOf.IsZero() {
		return []string{""}, err
	}
	list := []string{name}
	if u, err := idna.ToUnicode(name); err == nil && u != name {
		list = append(list, u)
	}
	rows, err := s.journal.db.QueryContext(ctx, `SELECT spelling, host FROM spellings`)
	if err != nil {
		return nil, fmt.Errorf("journal: list spellings: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var spelling, host string
		if err := rows.Scan(&spelling, &host); err != nil {
			return nil, fmt.Errorf("journal: list spellings: %w", err)
		}
		if domain.Below(host, name) && !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(spelling, s) }) {
			list = append(list, "@"+spelling)
		}
	}
	return list, rows.Err()
}

// writeDown makes the plan the key's, before anything is done.
func (s *Server) writeDown(ctx context.Context, in registry.Request, request string, p plan) error {
	now := s.cfg.Now().UnixMicro()
	return s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		exposed := int64(0)
		if !in.ExposedSince.IsZero() {
			exposed = in.ExposedSince.UnixMicro()
		}
		err := exec(ctx, tx, "write the key down", `INSERT INTO journal (key, domain, request, before, exposed, words, already, kept, state, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			in.Key, in.Domain, request, in.VerifiedBefore.UnixMicro(), exposed, shorten(adminapi.Words(in.Domain, in.Evidence, time.Time{}, in.Advice)), p.answer.Already, p.answer.Kept, working, now)
		for _, id := range p.over {
			err = errors.Join(err, exec(ctx, tx, "end a mark", `UPDATE marks SET state = ? WHERE id = ?`, lifted, id))
		}
		for _, u := range p.accounts {
			if err != nil {
				return err
			}
			// An account that Keycloak would not change before is tried again, under this key.
			err = errors.Join(
				exec(ctx, tx, "plan a mark", `UPDATE marks SET state = ? WHERE account = ? AND state = ?`, missed, u.ID, barred),
				exec(ctx, tx, "plan a mark", `INSERT INTO marks (key, account, hash, counts, at, state) VALUES (?, ?, ?, ?, ?, ?)`,
					in.Key, u.ID, s.journal.hash(u.Email), u.Verified, now, planned))
		}
		return err
	})
}

// work does what is left of a key's plan, and answers.
func (s *Server) work(ctx context.Context, key string) (adminapi.Reply, error) {
	e, _, err := s.journal.entry(ctx, key)
	if err != nil {
		return adminapi.Reply{}, err
	}
	switch later, err := s.carryOut(ctx, e); {
	case err != nil:
		return adminapi.Reply{}, err
	case later:
		return adminapi.Reply{Status: http.StatusAccepted, After: askAgain}, nil
	}
	return s.finish(ctx, e)
}

// carryOut does what is left of a plan; later: the caller's time ended, and Run goes on.
func (s *Server) carryOut(ctx context.Context, e entry) (later bool, err error) {
	left, err := s.journal.marks(ctx, `WHERE m.key = ? AND m.state = ?`, e.key, planned)
	if err != nil {
		return false, err
	}
	p, err := s.place(ctx)
	if err != nil {
		return false, err
	}
	unclosed, err := s.journal.marks(ctx, `WHERE j.domain = ? AND m.state = ? AND NOT m.closed`, e.domain, marked)
	if err != nil {
		return false, err
	}
	for _, m := range append(left, unclosed...) {
		if err = s.mark(ctx, m, p); err != nil {
			break
		}
	}
	if err == nil {
		err = s.endForms(ctx)
	}
	switch {
	case err == nil:
		return false, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.recount() // which wakes Run
		return true, nil
	}
	return false, fmt.Errorf("close %s: %w", e.domain, err)
}

// place is what a realm makes of a mark.
type place struct {
	group string // the quarantine group; empty: there is none
	// holds: the realm lets nobody sign in by an address that is not verified. A mark leaves the flag there: without it
	// the holder would wait at sign-in for a mail that somebody else reads.
	holds bool
	tells bool          // accounts have the attribute in which their holder is told
	links time.Duration // how long the link of a reset mail can be followed
}

func (s *Server) place(ctx context.Context) (place, error) {
	g, err := s.cfg.Admin.group(ctx)
	if err != nil && !gone(err) {
		return place{}, err
	}
	profile, err := s.cfg.Admin.profile(ctx)
	if err != nil {
		return place{}, err
	}
	r, err := s.cfg.Admin.realm(ctx)
	return place{group: g.ID, holds: r.VerifyEmail, tells: hasNotice(profile), links: r.resetLinks()}, err
}

// finish answers a key whose plan is done.
func (s *Server) finish(ctx context.Context, e entry) (adminapi.Reply, error) {
	a := adminapi.Answer{Already: e.already, Kept: e.kept}
	var err error
	if a.Changed, err = s.journal.count(ctx, e.key, marked); err != nil {
		return adminapi.Reply{}, err
	}
	if a.Recovery, err = s.recovery(ctx, e.domain); err != nil {
		return adminapi.Reply{}, err
	}
	barredOnes, err := s.journal.marks(ctx, `WHERE m.key = ? AND m.state = ?`, e.key, barred)
	if err != nil {
		return adminapi.Reply{}, err
	}
	if len(barredOnes) > 0 {
		a.Recovery = registry.RecoveryOpen
		s.notChanged(ctx, e.domain, len(barredOnes))
	}
	body, err := stdjson.Marshal(a)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("encode the answer: %w", err)
	}
	if err := s.journal.exec(ctx, "write the answer down", `UPDATE journal SET state = ?, answer = ? WHERE key = ?`, done, string(body), e.key); err != nil {
		return adminapi.Reply{}, err
	}
	s.recount()
	s.cfg.Log.InfoContext(ctx, "unverified", "domain", e.domain, "key", e.key, "changed", a.Changed, "already", a.Already, "kept", a.Kept, "recovery", a.Recovery)
	return adminapi.OK(a), nil
}

// recovery says what a mark is worth, by what Keycloak's flows are at this moment.
func (s *Server) recovery(ctx context.Context, name string) (registry.Recovery, error) {
	open, err := s.cfg.Admin.closed(ctx)
	if err != nil {
		return "", err
	}
	if open == "" {
		if open, err = s.notInForce(ctx); err != nil {
			return "", err
		}
		if open == "" {
			return registry.RecoveryClosed, nil
		}
	}
	s.cfg.Log.ErrorContext(ctx, "recovery_open", "domain", name, "why", open, "next", "run the adapter's guard install")
	return registry.RecoveryOpen, nil
}

// mark closes recovery, takes the flag where the key unverifies, and reads back. Each step may have been done before,
// or be answered with an error after it was done: only what is read back counts. An error leaves the mark planned.
//
// No required action is set: whoever reads a mail that an administrator's "send verification mail" or an organisation's
// invitation sends to the address is shown a pending action's form, without a password.
func (s *Server) mark(ctx context.Context, m mark, p place) error {
	u, err := s.cfg.Admin.account(ctx, m.account)
	switch {
	case m.state == marked && (gone(err) || err == nil && s.journal.hash(u.Email) != m.hash):
		return nil // the sweep's to judge
	case gone(err), err == nil && s.journal.hash(u.Email) != m.hash:
		return s.journal.setMark(ctx, m.id, missed)
	case err != nil:
		return err
	}
	var failed error
	if p.group != "" { // without one the mark alone is set, and the answer says that recovery is open
		failed = s.cfg.Admin.join(ctx, m.account, p.group)
	}
	if failed == nil && u.Verified && p.takesFlag(m) {
		failed = s.cfg.Admin.setFlag(ctx, m.account, false)
	}
	if ok, err := s.seen(ctx, m, p); ok {
		if err := s.exposed(ctx, m); err != nil {
			return err
		}
		if p.tells && p.group != "" {
			if err := s.tell(ctx, m.account, m); err != nil {
				return err
			}
		}
		return s.journal.setMarked(ctx, m.id, p.group != "")
	} else if failed == nil {
		failed = err
	}
	switch {
	case gone(failed):
		return s.journal.setMark(ctx, m.id, missed)
	case refused(failed):
		return s.journal.setMark(ctx, m.id, barred)
	case failed == nil:
		return &Error{Doing: "mark an account", cause: errors.New("it says done, and nothing has changed")}
	}
	return failed
}

func (p place) takesFlag(m mark) bool { return !m.closing && !p.holds }

// seen reads back that an account is in quarantine and, where that is asked, unverified.
func (s *Server) seen(ctx context.Context, m mark, p place) (bool, error) {
	u, err := s.cfg.Admin.account(ctx, m.account)
	if err != nil || u.Verified && p.takesFlag(m) {
		return false, err
	}
	if p.group == "" {
		return true, nil
	}
	return s.cfg.Admin.member(ctx, m.account, p.group)
}

// exposed is for an account whose mail somebody else may have read for a while: its sessions end, and where a provider
// signs in to it a person is to look, since providers key on the address.
func (s *Server) exposed(ctx context.Context, m mark) error {
	if m.exposed.IsZero() || m.state == marked {
		return nil
	}
	if err := s.cfg.Admin.logout(ctx, m.account); err != nil {
		return err
	}
	linked, err := s.cfg.Admin.linked(ctx, m.account)
	if err != nil || !linked {
		return err
	}
	s.cfg.Log.ErrorContext(ctx, "account_linked_while_exposed", "domain", m.domain, "account", m.account, "since", m.exposed,
		"means", "an identity provider signs in to it, and may know its owner by the lapsed address", "next", "look at its links; to let it out: keycloak-adapter release ACCOUNT")
	return s.journal.exec(ctx, "note a report", `UPDATE marks SET report = max(report, 1) WHERE id = ?`, m.id)
}
