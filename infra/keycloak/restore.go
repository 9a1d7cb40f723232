package keycloak

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

func (s backend) Restore(ctx context.Context, key string) (adminapi.Reply, error) {
	release, err := s.take(ctx)
	if err != nil {
		return adminapi.Reply{}, err
	}
	defer release()
	e, known, err := s.journal.entry(ctx, key)
	switch {
	case err != nil:
		return adminapi.Reply{}, err
	case !known || e.closing:
		return adminapi.Problem(http.StatusNotFound, registry.TypeUnknownKey, "unknown key", "nothing was ever done under it"), nil
	case e.state == working:
		out := adminapi.Problem(http.StatusConflict, registry.TypeInProgress, "the unverify of this key has not finished", "")
		out.After = askAgain
		s.recount()
		return out, nil
	case e.state == restored:
		return adminapi.OK(stdjson.RawMessage(e.restored)), nil
	}
	return s.takeBack(ctx, key)
}

// takeBack opens recovery again for every account that a key quarantined, and verifies those again that it
// unverified and that are as it left them.
func (s *Server) takeBack(ctx context.Context, key string) (adminapi.Reply, error) {
	if err := s.journal.exec(ctx, "begin a restore", `UPDATE journal SET state = ? WHERE key = ?`, restoring, key); err != nil {
		return adminapi.Reply{}, err
	}
	// A closing that is opened before it was carried out leaves planned marks, which may be half done.
	left, err := s.journal.marks(ctx, `WHERE m.key = ? AND m.state IN (?, ?)`, key, marked, planned)
	if err != nil {
		return adminapi.Reply{}, err
	}
	p, err := s.place(ctx)
	if err != nil {
		return adminapi.Reply{}, err
	}
	later := false
	for _, m := range left {
		if out, err := s.linkOut(ctx, m, m.keyAt, p); err != nil {
			return adminapi.Reply{}, err
		} else if out && m.closing {
			later = true
			continue
		}
		if err := s.unmark(ctx, m, p.group); err != nil {
			return adminapi.Reply{}, fmt.Errorf("take back %s: %w", key, err)
		}
	}
	if later {
		return adminapi.Reply{Status: http.StatusAccepted, After: askAgain}, nil
	}
	var out adminapi.Restored
	if out.Restored, err = s.journal.count(ctx, key, restored); err != nil {
		return adminapi.Reply{}, err
	}
	for _, state := range []string{kept, deleted, lifted} {
		n, err := s.journal.count(ctx, key, state)
		if err != nil {
			return adminapi.Reply{}, err
		}
		out.Kept += n
	}
	body, err := stdjson.Marshal(out)
	if err != nil {
		return adminapi.Reply{}, fmt.Errorf("encode the answer: %w", err)
	}
	if err := s.journal.exec(ctx, "write the restore down", `UPDATE journal SET state = ?, restored = ? WHERE key = ?`, restored, string(body), key); err != nil {
		return adminapi.Reply{}, err
	}
	s.recount()
	s.cfg.Log.InfoContext(ctx, "restored", "key", key, "restored", out.Restored, "kept", out.Kept)
	return adminapi.OK(out), nil
}

// linkOut tells whether the link of a reset mail that was sent before a time can still be followed. Outside the group it
// would come alive, and nothing but its age ends it: not the end of all sessions, nor another address.
func (s *Server) linkOut(ctx context.Context, m mark, before time.Time, p place) (out bool, err error) {
	row := s.journal.db.QueryRowContext(ctx, `SELECT count(*) > 0 FROM resets WHERE account = ? AND sent <= ? AND sent > ?`,
		m.account, before.UnixMicro(), s.cfg.Now().Add(-p.links).UnixMicro())
	if err := row.Scan(&out); err != nil {
		return false, fmt.Errorf("journal: look for links: %w", err)
	}
	return out, nil
}

// unmark is the reverse of mark. An address that was verified or changed meanwhile is left as it is; its account
// leaves the quarantine all the same, unless there is another reason for it.
func (s *Server) unmark(ctx context.Context, m mark, group string) error {
	u, err := s.cfg.Admin.account(ctx, m.account)
	switch {
	case gone(err):
		return s.journal.setMark(ctx, m.id, deleted)
	case err != nil:
		return err
	}
	state, err := s.giveBack(ctx, m, u)
	if err != nil {
		return err
	}
	if err := s.release(ctx, m, group); err != nil {
		return err
	}
	return s.journal.setMark(ctx, m.id, state)
}

// giveBack gives an account the flag that it had, and takes the required action that was ours.
func (s *Server) giveBack(ctx context.Context, m mark, u account) (state string, err error) {
	others, err := s.journal.inForce(ctx, m.account)
	if err != nil {
		return "", err
	}
	others = slices.DeleteFunc(others, func(o mark) bool { return o.id == m.id })
	if s.journal.hash(u.Email) != m.hash {
		return kept, nil
	}
	at, err := s.verifiedAt(ctx, u)
	if err != nil {
		return "", err
	}
	if !m.closing && u.Verified && at.After(m.at) {
		return kept, nil
	}
	want, actions := u.Verified || m.counts && (!m.closing || m.added), u.Actions
	if slices.ContainsFunc(others, func(o mark) bool { return !o.closing || o.added }) {
		want = u.Verified // another key unverified it, or another closing offers to verify it
	} else if m.added {
		actions = without(u.Actions, actionUpdate, actionVerify)
	}
	if want != u.Verified || len(actions) != len(u.Actions) {
		if err := s.cfg.Admin.set(ctx, m.account, want, actions); err != nil {
			if back, again := s.cfg.Admin.account(ctx, m.account); again != nil || back.Verified != want {
				return "", err
			}
		}
	}
	return restored, nil
}

// Release lets one account out for good, by its id in Keycloak: an administrator answers for it. An address
// that was unverified stays so, and the key's restore leaves it alone. Said again it does what is missing; an account that is under no
// mark is an error.
func (s *Server) Release(ctx context.Context, account string) error {
	turn, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer turn()
	list, err := s.journal.marks(ctx, `WHERE m.account = ? AND m.state IN (?, ?)`, account, marked, lifted)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("account %s is under no mark: give the id of an account that is in the group %s (it stands in the account's address in Keycloak's console)", account, Group)
	}
	for _, m := range list { // first the journal: a sweep in between puts nobody back whom it does not hold
		if m.closing && m.state == marked {
			if err := s.unoffer(ctx, m); err != nil && !gone(err) {
				return err
			}
		}
		if err := s.journal.setMark(ctx, m.id, lifted); err != nil {
			return err
		}
	}
	g, err := s.cfg.Admin.group(ctx)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.release(ctx, list[0], g.ID); err != nil {
		return err
	}
	s.recount()
	s.cfg.Log.WarnContext(ctx, "released", "account", account, "marks", len(list))
	return nil
}

// release takes a mark's account out of quarantine, unless another mark holds it there, and reads back that it is.
func (s *Server) release(ctx context.Context, m mark, group string) error {
	id := m.account
	others, err := s.journal.inForce(ctx, id)
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(o mark) bool { return o.id == m.id })
	if err := s.tell(ctx, id, others...); err != nil || group == "" || len(others) > 0 {
		return err
	}
	err = s.cfg.Admin.leave(ctx, id, group)
	if err == nil || gone(err) {
		return nil
	}
	if in, again := s.cfg.Admin.member(ctx, id, group); again == nil && !in {
		return nil
	}
	return err
}

func without(list []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(names, s) })
}
