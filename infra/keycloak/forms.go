package keycloak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// formsKeys is the algorithm by which Keycloak signs what it keeps for itself: the cookie that every form belongs to,
// among others.
const formsKeys = "HS512"

// keys are a realm's, as far as they matter here.
type keys struct {
	Active map[string]string `json:"active"` // key by algorithm
	Keys   []struct {
		Priority int64 `json:"providerPriority"`
	} `json:"keys"`
}

func (a *Admin) keys(ctx context.Context) (keys, error) {
	var k keys
	return k, a.do(ctx, call{doing: "read the realm's keys", method: http.MethodGet, path: "/keys", out: &k})
}

// endForms gives the realm a new key for what Keycloak signs for itself, and reads back that it is the active one. Only
// by the active one a browser comes back to a form, so that all forms that are open end: whoever is at a sign-in page
// begins it again. Everything else that the keys of before have signed stays good: sessions, tokens, mailed links.
func (a *Admin) endForms(ctx context.Context, now time.Time) error {
	before, err := a.keys(ctx)
	if err != nil {
		return err
	}
	priority := int64(0)
	for _, k := range before.Keys {
		priority = max(priority, k.Priority)
	}
	failed := a.do(ctx, call{doing: "give the realm a new key", method: http.MethodPost, path: "/components", in: map[string]any{
		"name": "lapseguard " + now.UTC().Format(time.RFC3339), "providerType": "org.keycloak.keys.KeyProvider", "providerId": "hmac-generated",
		"config": map[string][]string{"priority": {strconv.FormatInt(priority+1, 10)}, "algorithm": {formsKeys}}}})
	after, err := a.keys(ctx)
	switch {
	case err == nil && after.Active[formsKeys] != "" && after.Active[formsKeys] != before.Active[formsKeys]:
		return nil // whatever was answered
	case failed != nil:
		return failed
	case err != nil:
		return err
	}
	return &Error{Doing: "give the realm a new key", cause: errors.New("it says done, and nothing has changed")}
}

// formsMargin is how long before a mark a reset counts at least that may have opened a form. A form does not end by
// itself: to show it again is to keep it.
const formsMargin = 24 * time.Hour

// endForms ends the forms that may be open in accounts put into quarantine just now: somebody who followed the link of a
// reset mail before would still set a password, since the deny step lies behind the link, and not behind the form. It
// ends them where a reset was mailed since the gap began, or where Keycloak keeps no record of that. It is the last work
// of a turn: a form may be opened as long as an account is out of the group.
func (s *Server) endForms(ctx context.Context) error {
	const fresh = `m.state = ? AND m.closed AND m.forms`
	list, err := s.journal.marks(ctx, `WHERE `+fresh, marked)
	if err != nil || len(list) == 0 {
		return err
	}
	if _, err := s.learnTimes(ctx); err != nil { // of what was mailed up to now
		return err
	}
	kept, err := s.cfg.Admin.eventsConfig(ctx)
	if err != nil {
		return err
	}
	open := len(list)
	if kept.resets {
		row := s.journal.db.QueryRowContext(ctx, `SELECT count(DISTINCT m.id) FROM marks m JOIN journal j ON j.key = m.key JOIN resets r ON r.account = m.account
WHERE `+fresh+` AND r.sent >= min(m.at - ?, CASE WHEN j.closing THEN j.until ELSE j.before END, CASE WHEN j.exposed > 0 THEN j.exposed ELSE m.at END)`,
			marked, formsMargin.Microseconds())
		if err := row.Scan(&open); err != nil {
			return fmt.Errorf("journal: look for resets: %w", err)
		}
	}
	if open > 0 {
		switch err := s.cfg.Admin.endForms(ctx, s.cfg.Now()); {
		case status(err) == http.StatusForbidden: // it is tried again, and the answer is open meanwhile
			s.cfg.Log.ErrorContext(ctx, "forms_not_ended", "domain", list[0].domain, "accounts", open, "error", err, "next", "run the adapter's guard client")
			return nil
		case err != nil:
			return err
		}
		s.cfg.Log.WarnContext(ctx, "forms_ended", "domain", list[0].domain, "accounts", open, "resets_known", kept.resets,
			"means", "a reset was mailed to them since the gap began, or nobody knows: the realm has a new key, and who was at a sign-in page begins again")
	}
	return s.journal.exec(ctx, "note that forms ended", `UPDATE marks SET forms = 0 WHERE state = ? AND closed AND forms`, marked)
}

// outAgain notes that forms may have been opened in an account that was out of the group.
func (s *Server) outAgain(ctx context.Context, account string) error {
	return s.journal.exec(ctx, "note forms", `UPDATE marks SET forms = 1 WHERE account = ? AND state = ?`, account, marked)
}

// setMarked notes a mark that was seen in Keycloak. Forms may be open unless another mark has kept the account in the
// group, and has seen to them.
func (j *journal) setMarked(ctx context.Context, id int64, closed bool) error {
	return j.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return exec(ctx, tx, "note a mark", `UPDATE marks SET state = ?1, closed = ?2, forms = NOT EXISTS (
  SELECT 1 FROM marks o WHERE o.account = marks.account AND o.id <> marks.id AND o.state = ?1 AND o.closed AND NOT o.forms) WHERE id = ?3`, marked, closed, id)
	})
}
