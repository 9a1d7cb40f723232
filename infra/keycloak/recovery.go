package keycloak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// maxAhead is how far an as_of may lie ahead of this clock: accepted, it locks every later request out until then.
const maxAhead = time.Hour

// SetRecovery closes recovery through a domain's addresses, or opens it. A closing is a key of the journal that no
// caller can give, and its accounts are marks: in the quarantine group for one reason more, which is all that it
// changes in Keycloak. They leave when the last reason goes.
func (s backend) SetRecovery(ctx context.Context, in registry.RecoveryRequest) (adminapi.Reply, error) {
	if s.cfg.IsPublicSuffix(in.Domain) {
		return suffix(), nil
	}
	if in.AsOf.After(s.cfg.Now().Add(maxAhead)) {
		return adminapi.Malformed("as_of is more than an hour ahead of this adapter's clock: set yours, or every later request would be refused"), nil
	}
	release, err := s.take(ctx)
	if err != nil {
		return adminapi.Reply{}, err
	}
	defer release()
	last, err := s.journal.recovery(ctx, in.Domain)
	if err != nil {
		return adminapi.Reply{}, err
	}
	if last.desired != "" && in.AsOf.Before(last.asOf) {
		return adminapi.Outdated(last.asOf), nil
	}
	if !in.DryRun { // an opening that was interrupted ends before anything is bound anew
		if later, err := s.resumeClosings(ctx, in.Domain, restoring); later || err != nil {
			return accepted(later), err
		}
	}
	p, err := s.planRecovery(ctx, in, last)
	switch {
	case err != nil:
		return adminapi.Reply{}, fmt.Errorf("set recovery at %s: %w", in.Domain, err)
	case in.Desired == registry.RecoveryClosed && p.answer.Changed > in.MaxAddresses:
		return adminapi.Problem(http.StatusUnprocessableEntity, registry.TypeTooMany, "too many addresses",
			fmt.Sprintf("%d addresses would change, %d are allowed", p.answer.Changed, in.MaxAddresses)), nil
	case in.DryRun:
		return s.recoveryAnswer(ctx, in, p)
	}
	if err := s.accept(ctx, in, last, p); err != nil {
		return adminapi.Reply{}, err
	}
	state := working
	if in.Desired == registry.RecoveryOpen {
		state = restoring
	}
	if later, err := s.resumeClosings(ctx, in.Domain, state); later || err != nil {
		return accepted(later), err
	}
	s.recount()
	s.cfg.Log.InfoContext(ctx, "recovery_set", "domain", in.Domain, "desired", in.Desired, "changed", p.answer.Changed, "closed", p.answer.Closed, "kept", p.answer.Kept)
	return s.recoveryAnswer(ctx, in, p)
}

func accepted(later bool) adminapi.Reply {
	if !later {
		return adminapi.Reply{}
	}
	return adminapi.Reply{Status: http.StatusAccepted, After: askAgain}
}

func (s *Server) recoveryAnswer(ctx context.Context, in registry.RecoveryRequest, p recoveryPlan) (adminapi.Reply, error) {
	p.answer.Recovery = registry.RecoveryOpen
	if in.Desired == registry.RecoveryClosed {
		var err error
		if p.answer.Recovery, err = s.recovery(ctx, in.Domain); err != nil {
			return adminapi.Reply{}, err
		}
		if p.answer.Recovery == registry.RecoveryClosed {
			barredOnes, err := s.journal.marks(ctx, `WHERE j.domain = ? AND j.closing AND m.state = ?`, in.Domain, barred)
			if err != nil {
				return adminapi.Reply{}, err
			}
			if len(barredOnes) > 0 {
				s.notChanged(ctx, in.Domain, len(barredOnes))
				p.answer.Recovery = registry.RecoveryOpen
			}
		}
	}
	return adminapi.OK(p.answer), nil
}

// recoveryState is what was last accepted for a domain; desired is empty where nothing was.
type recoveryState struct {
	desired     registry.Recovery
	asOf, since time.Time
	key         string
}

func (j *journal) recovery(ctx context.Context, domain string) (recoveryState, error) {
	var out recoveryState
	var asOf, since int64
	row := j.db.QueryRowContext(ctx, `SELECT desired, as_of, since, key FROM recovery WHERE domain = ?`, domain)
	if err := row.Scan(&out.desired, &asOf, &since, &out.key); errors.Is(err, sql.ErrNoRows) {
		return out, nil
	} else if err != nil {
		return out, fmt.Errorf("journal: read the state of recovery: %w", err)
	}
	out.asOf, out.since = time.UnixMicro(asOf).UTC(), time.UnixMicro(since).UTC()
	return out, nil
}

// newGap: the request closes, and not for the gap that is closed already, nor for an earlier one.
func (l recoveryState) newGap(in registry.RecoveryRequest) bool {
	return in.Desired == registry.RecoveryClosed && (l.desired != registry.RecoveryClosed || in.Since.Truncate(time.Microsecond).After(l.since))
}

// recoveryPlan is what a request would do, by what Keycloak says now.
type recoveryPlan struct {
	accounts []account // to be bound
	verified map[string]bool
	answer   adminapi.RecoveryAnswer
}

func (s *Server) planRecovery(ctx context.Context, in registry.RecoveryRequest, last recoveryState) (recoveryPlan, error) {
	p := recoveryPlan{verified: map[string]bool{}}
	found, err := s.at(ctx, in.Domain)
	if err != nil {
		return p, err
	}
	if _, err := s.learnTimes(ctx); err != nil {
		return p, err
	}
	newGap := last.newGap(in)
	for _, u := range found {
		h, err := s.held(ctx, u, in)
		if err != nil {
			return p, err
		}
		binds := false
		if newGap && !h.bound && !h.out {
			at, err := s.verifiedAt(ctx, u)
			if err != nil {
				return p, err
			}
			// Keycloak lets an unverified address recover its account; one that was made since is its maker's affair.
			binds = at.Before(in.Since) && (h.verified || time.UnixMilli(u.Created).Before(in.Since))
		}
		closed := h.otherwise || in.Desired == registry.RecoveryClosed && (h.bound || binds)
		if binds {
			p.accounts = append(p.accounts, u)
			p.verified[u.ID] = h.verified
		}
		switch {
		case !h.verified:
			p.answer.Already++
			continue
		case closed:
			p.answer.Closed++
		default:
			p.answer.Kept++
		}
		if binds || in.Desired == registry.RecoveryOpen && h.bound {
			p.answer.Changed++
		}
	}
	return p, nil
}

// held is what the journal says of an account's present address.
type held struct {
	verified  bool // unless a key unverified it
	bound     bool // by this domain
	otherwise bool // by another domain's closing
	out       bool // let out of this gap by its holder or the staff
}

func (s *Server) held(ctx context.Context, u account, in registry.RecoveryRequest) (held, error) {
	h := held{verified: u.Verified}
	list, err := s.journal.marks(ctx, `WHERE m.account = ? AND m.hash = ?`, u.ID, s.journal.hash(u.Email))
	for _, m := range list {
		active := m.state == marked || m.state == planned || m.state == barred
		switch {
		case !m.closing && m.state == marked:
			h.verified = false
			return h, err
		case !m.closing:
		case m.domain == in.Domain && m.state == lifted:
			h.out = h.out || !m.before.Before(in.Since)
		case active && m.domain == in.Domain:
			h.bound, h.verified = true, h.verified || m.offered()
		case active:
			h.otherwise, h.verified = true, h.verified || m.offered()
		}
	}
	return h, err
}

// closingKey is the journal's key of a closing. It has a space in it, which no caller's key can have.
func closingKey(in registry.RecoveryRequest) string {
	return fmt.Sprintf("closing %s %s", in.Domain, in.AsOf.Format(time.RFC3339Nano))
}

// accept writes the state down and what is to be done for it, before anything is done.
func (s *Server) accept(ctx context.Context, in registry.RecoveryRequest, last recoveryState, p recoveryPlan) error {
	now := s.cfg.Now().UnixMicro()
	key, since := last.key, last.since.UnixMicro()
	return s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if last.newGap(in) {
			key, since = closingKey(in), in.Since.UnixMicro()
			err := exec(ctx, tx, "write the closing down", `INSERT INTO journal (key, domain, request, before, closing, until, words, already, kept, state, at) VALUES (?, ?, '', ?, 1, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET state = excluded.state, before = excluded.before, until = excluded.until, words = excluded.words`,
				key, in.Domain, since, in.ContinuousUntil.UnixMicro(), shorten(adminapi.Words(in.Domain, in.Evidence, in.RenewableUntil, in.Advice)), p.answer.Already, p.answer.Kept, working, now)
			if err != nil {
				return err
			}
		}
		for _, u := range p.accounts {
			err := exec(ctx, tx, "plan a closing", `INSERT INTO marks (key, account, hash, counts, at, state) VALUES (?, ?, ?, ?, ?, ?)`,
				key, u.ID, s.journal.hash(u.Email), p.verified[u.ID], now, planned)
			if err != nil {
				return err
			}
		}
		if in.Desired == registry.RecoveryOpen {
			err := exec(ctx, tx, "begin to open", `UPDATE journal SET state = ?, at = ? WHERE domain = ? AND closing AND state IN (?, ?)`, restoring, now, in.Domain, working, done)
			if err != nil {
				return err
			}
		}
		return exec(ctx, tx, "write the state of recovery down", `INSERT INTO recovery (domain, desired, as_of, since, key) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (domain) DO UPDATE SET desired = excluded.desired, as_of = excluded.as_of, since = excluded.since, key = excluded.key`,
			in.Domain, in.Desired, in.AsOf.UnixMicro(), since, key)
	})
}

// resumeClosings goes on with what was begun for a domain's recovery and is in a state; later: the caller's time ended.
func (s *Server) resumeClosings(ctx context.Context, domain, state string) (later bool, err error) {
	list, err := s.unfinished(ctx, `domain = ? AND closing AND state = ?`, domain, state)
	if err != nil {
		return false, err
	}
	for _, e := range list {
		wait := false
		if state == restoring {
			var out adminapi.Reply
			out, err = s.takeBack(ctx, e.key)
			wait = out.Status == http.StatusAccepted
		} else {
			wait, err = s.carryClosing(ctx, e)
		}
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.recount()
			return true, nil
		}
		if err != nil {
			return false, err
		}
		later = later || wait
	}
	return later, nil
}

// carryClosing does what is left of a closing.
func (s *Server) carryClosing(ctx context.Context, e entry) (later bool, err error) {
	if later, err := s.carryOut(ctx, e); later || err != nil {
		return later, err
	}
	if err := s.reportResets(ctx); err != nil {
		return false, err
	}
	return false, s.journal.exec(ctx, "end a closing", `UPDATE journal SET state = ? WHERE key = ? AND state = ?`, done, e.key, working)
}

// notChanged says that Keycloak would not change accounts.
func (s *Server) notChanged(ctx context.Context, domain string, accounts int) {
	s.cfg.Log.ErrorContext(ctx, "accounts_not_changed", "domain", domain, "accounts", accounts,
		"means", "Keycloak will not change them (another directory keeps them?): their recovery is open")
}

// shut is what is closed of an account, in force now.
type shut struct {
	hash         string
	counts       bool // it counts as verified
	since, until int64
	reported     bool
}

// closings are the accounts under a closing in force, by id.
func (s *Server) closings(ctx context.Context) (map[string]shut, error) {
	list, err := s.journal.marks(ctx, `WHERE m.state = ? AND j.closing`, marked)
	if err != nil {
		return nil, err
	}
	out := make(map[string]shut, len(list))
	for _, m := range list {
		c, again := out[m.account]
		if !again {
			c = shut{hash: m.hash, until: m.until.UnixMicro()}
		}
		c.counts = c.counts || m.offered()
		c.since, c.until = max(c.since, m.before.UnixMicro()), min(c.until, m.until.UnixMicro())
		c.reported = c.reported || m.report > 0
		out[m.account] = c
	}
	return out, nil
}
