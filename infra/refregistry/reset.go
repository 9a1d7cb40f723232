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

// What a mail can do for who asks. Its kind in the sink is the way.
const (
	wayReset   = "reset"   // "forgot password"
	wayLink    = "link"    // join an account at an identity provider that names the address
	waySupport = "support" // the form that support sends
	waySignIn  = "signin"  // a magic link
)

// ask mails a link to a verified address that is not closed, and answers the same to all.
func (s *Server) ask(way string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
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
SELECT ?, account, address, ?, ? FROM addresses a WHERE address = ? AND (verified AND NOT `+closed+` OR ?)`,
				s.cfg.Now().UnixMicro(), way, rand.Text(), in.Email, s.open())
			return err //nolint:wrapcheck // replaced below: it may quote the address
		})
		if err != nil {
			s.cfg.Log.ErrorContext(r.Context(), "reset_failed")
		}
		adminapi.Write(w, adminapi.Reply{Status: http.StatusAccepted, Body: neutral{"If this address can recover an account, a link is on its way."}})
	}
}

// confirm follows a link. One to an address that was unverified or closed since is dead.
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
		var way string
		err := tx.QueryRowContext(ctx, `SELECT m.id, m.kind, a.account, a.id FROM mails m JOIN addresses a ON a.address = m.address
WHERE m.token = ? AND m.token <> '' AND m.kind <> 'second_factor' AND NOT m.used AND (a.verified AND NOT `+closed+` OR ?)`, token, s.open()).
			Scan(&mail, &way, &account, &address)
		if err != nil {
			return fmt.Errorf("look for the link: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE mails SET used = 1 WHERE id = ?`, mail); err != nil {
			return fmt.Errorf("use the link up: %w", err)
		}
		if err := s.carryThrough(ctx, tx, way, account, sql.NullInt64{Int64: address, Valid: true}); err != nil {
			return err
		}
		if !s.open() {
			return nil
		}
		// What makes the flag alone worthless in many systems: following the link verifies the address again.
		return verify(ctx, tx, s.cfg.Now(), s.cfg.Now(), `id = ?`, address)
	})
}

// carryThrough does what a link is for; whatever it sets is marked with the address that the mail went to.
func (s *Server) carryThrough(ctx context.Context, tx *sql.Tx, way string, account int64, via sql.NullInt64) error {
	switch way {
	case waySignIn:
		_, err := beginSession(ctx, tx, session{account: account, kind: ByMail, setAt: s.cfg.Now().UnixMicro(), via: via})
		return err
	case wayLink:
		return setCredential(ctx, tx, account, SecurityKey, s.cfg.Now(), via)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE accounts SET resets = resets + 1 WHERE id = ?`, account); err != nil {
		return fmt.Errorf("count the reset: %w", err)
	}
	return setCredential(ctx, tx, account, Password, s.cfg.Now(), via)
}

func (s *Server) open() bool { return s.cfg.RecoveryMode == registry.RecoveryOpen }
