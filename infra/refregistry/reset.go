package refregistry

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// neutral is the answer to every reset, whatever is known of the address.
type neutral struct {
	Message string `json:"message"`
}

// reset is "forgot password": it mails a link to a verified address, and answers the same to all.
func (s *Server) reset(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Email string `json:"email"`
	}
	r.Body = http.MaxBytesReader(w, r.Body, adminapi.MaxBody)
	if out, ok := adminapi.ReadJSON(r, &in); !ok {
		adminapi.Write(w, out)
		return
	}
	err := s.tx(r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO mails (at, account, address, kind, token)
SELECT ?, account, address, 'reset', ? FROM addresses WHERE address = ? AND (verified OR ?)`,
			s.cfg.Now().UnixMicro(), rand.Text(), in.Email, s.open())
		return err //nolint:wrapcheck // replaced below: it may quote the address
	})
	if err != nil {
		s.cfg.Log.ErrorContext(r.Context(), "reset_failed")
	}
	adminapi.Write(w, adminapi.Reply{Status: http.StatusAccepted, Body: neutral{"If this address can recover an account, a link is on its way."}})
}

// confirm follows a reset link. A link to an address that was unverified since is dead.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"token"`
	}
	r.Body = http.MaxBytesReader(w, r.Body, adminapi.MaxBody)
	if out, ok := adminapi.ReadJSON(r, &in); !ok {
		adminapi.Write(w, out)
		return
	}
	switch err := s.follow(r.Context(), in.Token); {
	case errors.Is(err, sql.ErrNoRows):
		adminapi.Write(w, adminapi.Problem(http.StatusBadRequest, adminapi.TypeBlank, "this link is not valid", ""))
	case err != nil:
		s.cfg.Log.ErrorContext(r.Context(), "confirm_failed", "error", err)
		adminapi.Write(w, adminapi.Problem(http.StatusInternalServerError, adminapi.TypeBlank, "internal error", ""))
	default:
		adminapi.Write(w, adminapi.Reply{Status: http.StatusNoContent})
	}
}

// follow uses a link up; sql.ErrNoRows when there is none that is good.
func (s *Server) follow(ctx context.Context, token string) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var mail, account, address int64
		err := tx.QueryRowContext(ctx, `SELECT m.id, a.account, a.id FROM mails m JOIN addresses a ON a.address = m.address
WHERE m.token = ? AND m.token <> '' AND NOT m.used AND (a.verified OR ?)`, token, s.open()).Scan(&mail, &account, &address)
		if err != nil {
			return fmt.Errorf("look for the link: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE mails SET used = 1 WHERE id = ?`, mail); err != nil {
			return fmt.Errorf("use the link up: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE accounts SET resets = resets + 1 WHERE id = ?`, account); err != nil {
			return fmt.Errorf("count the reset: %w", err)
		}
		if !s.open() {
			return nil
		}
		// What makes the flag alone worthless in many systems: following the link verifies the address again.
		return verify(ctx, tx, s.cfg.Now(), s.cfg.Now(), `id = ?`, address)
	})
}

func (s *Server) open() bool { return s.cfg.RecoveryMode == registry.RecoveryOpen }
