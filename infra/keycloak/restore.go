package keycloak

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"slices"

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
	case !known:
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
	left, err := s.journal.marks(ctx, `WHERE m.key = ? AND m.state = ?`, key, marked)
	if err != nil {
		return adminapi.Reply{}, err
	}
	g, err := s.cfg.Admin.group(ctx)
	if err != nil && !gone(err) {
		return adminapi.Reply{}, err
	}
	for _, m := range left {
		if err := s.unmark(ctx, m, g.ID); err != nil {
			return adminapi.Reply{}, fmt.Errorf("restore %s: %w", key, err)
		}
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

// unmark is the reverse of mark. An address that was verified or changed meanwhile is left as it is; its account
// leaves the quarantine all the same.
func (s *Server) unmark(ctx context.Context, m mark, group string) error {
	u, err := s.cfg.Admin.account(ctx, m.account)
	switch {
	case gone(err):
		return s.journal.setMark(ctx, m.id, deleted)
	case err != nil:
		return err
	}
	state := kept
	if s.journal.hash(u.Email) == m.hash && !u.Verified {
		if m.added {
			u.Actions = without(u.Actions, actionUpdate, actionVerify)
		}
		if err := s.cfg.Admin.set(ctx, m.account, m.counts, u.Actions); err != nil {
			if back, again := s.cfg.Admin.account(ctx, m.account); again != nil || back.Verified != m.counts {
				return err
			}
		}
		state = restored
	}
	if err := s.release(ctx, m.account, group); err != nil {
		return err
	}
	return s.journal.setMark(ctx, m.id, state)
}

// Release lets one account out for good, by its id in Keycloak: an administrator answers for it. Its address stays
// unverified, and the key's restore leaves it alone. Said again it does what is missing; an account that is under no
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
	if err := s.release(ctx, account, g.ID); err != nil {
		return err
	}
	s.recount()
	s.cfg.Log.WarnContext(ctx, "released", "account", account, "marks", len(list))
	return nil
}

// release takes an account out of quarantine, and reads back that it is.
func (s *Server) release(ctx context.Context, id, group string) error {
	if group == "" {
		return nil
	}
	err := s.cfg.Admin.leave(ctx, id, group)
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
