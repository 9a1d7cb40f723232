package refregistry

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// What follows is the site as its users meet it: what they sign in with, sessions, and verifying an address in one.
// It is here so that the end of a closing can be tried.

// What a session is begun with.
const (
	Password     = "password"
	SecurityKey  = "key" // a passkey, or an account at an identity provider
	SecondFactor = "second_factor"
	ByMail       = "mail" // a link in a mail; no credential
)

// Why an account is reported to the registry's staff.
const (
	// SetByMail: a credential was set by mail through a closed address, at its continuous_until or later.
	SetByMail = "set_by_mail"
	// NoWayIn: mail is the sign-in here, and no session or key is older than continuous_until.
	NoWayIn = "no_way_in"
)

// ErrClosed refuses what would open recovery through a closed address without proof of an older way in.
var ErrClosed = errors.New("recovery through this address is closed: verify it in a session begun with an older password, key or second factor")

// Closing binds, or bound, one address.
type Closing struct {
	Address, Domain               string    // the domain that bound it
	Since, ContinuousUntil, Ended time.Time // UTC; Ended is zero while it lasts
	How, Who                      string    // open, holder or staff; of the staff who and why
}

// Report is an account that the staff should look at.
type Report struct {
	At      time.Time
	Account int64
	Address string
	Why     string // SetByMail, NoWayIn
}

// SetCredential is the holder setting a password, key or second factor at a time, not by mail. It replaces the one of
// its kind.
func (s *Server) SetCredential(ctx context.Context, account int64, kind string, at time.Time) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return setCredential(ctx, tx, account, kind, at, sql.NullInt64{})
	})
}

func setCredential(ctx context.Context, tx *sql.Tx, account int64, kind string, at time.Time, via sql.NullInt64) error {
	if kind != Password && kind != SecurityKey && kind != SecondFactor {
		return fmt.Errorf("set a credential: there is no kind %q", kind)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO credentials (account, kind, set_at, via) VALUES (?, ?, ?, ?)
ON CONFLICT (account, kind) DO UPDATE SET set_at = excluded.set_at, via = excluded.via`, account, kind, at.UnixMicro(), via)
	if err != nil {
		return fmt.Errorf("set a credential: %w", err)
	}
	return nil
}

// SignIn begins a session with one of the account's credentials. That it works while recovery is closed is the point.
func (s *Server) SignIn(ctx context.Context, account int64, kind string) (id string, err error) {
	err = s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var at int64
		var via sql.NullInt64
		row := tx.QueryRowContext(ctx, `SELECT set_at, via FROM credentials WHERE account = ? AND kind = ?`, account, kind)
		if err := row.Scan(&at, &via); err != nil {
			return fmt.Errorf("sign in to account %d with a %s: %w", account, kind, err)
		}
		id, err = beginSession(ctx, tx, session{account: account, kind: kind, setAt: at, via: via})
		return err
	})
	return id, err
}

type session struct {
	account int64
	kind    string
	setAt   int64
	via     sql.NullInt64
}

func beginSession(ctx context.Context, tx *sql.Tx, in session) (string, error) {
	id := rand.Text()
	_, err := tx.ExecContext(ctx, `INSERT INTO sessions (id, account, kind, set_at, via) VALUES (?, ?, ?, ?, ?)`, id, in.account, in.kind, in.setAt, in.via)
	if err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	return id, nil
}

func readSession(ctx context.Context, tx *sql.Tx, id string) (session, error) {
	var in session
	err := tx.QueryRowContext(ctx, `SELECT account, kind, set_at, via FROM sessions WHERE id = ?`, id).Scan(&in.account, &in.kind, &in.setAt, &in.via)
	if err != nil {
		return in, fmt.Errorf("read a session: %w", err)
	}
	return in, nil
}

// ChangeCredential sets a credential in a session. One that a mail began, or a credential set by mail, leaves its mark
// on the new one: else a thief would wash it off.
func (s *Server) ChangeCredential(ctx context.Context, id, kind string) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		in, err := readSession(ctx, tx, id)
		if err != nil {
			return err
		}
		return setCredential(ctx, tx, in.account, kind, s.cfg.Now(), in.via)
	})
}

// MailCode mails a second factor to a verified address of the session's account. It works while recovery is closed: who
// reads it has signed in already.
func (s *Server) MailCode(ctx context.Context, id, address string) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		in, err := readSession(ctx, tx, id)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO mails (at, account, address, kind, token)
SELECT ?, account, address, 'second_factor', ? FROM addresses WHERE account = ? AND address = ? AND verified`,
			s.cfg.Now().UnixMicro(), rand.Text(), in.account, address)
		if err != nil {
			return errors.New("mail a code: the database failed") // its text may quote the address
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.New("mail a code: the account has no such verified address")
		}
		return nil
	})
}

// EnterCode uses a mailed second factor up; it is good in a session of the same account alone, and makes the session
// no older and no stronger than what it was begun with.
func (s *Server) EnterCode(ctx context.Context, id, token string) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		in, err := readSession(ctx, tx, id)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE mails SET used = 1 WHERE token = ? AND token <> '' AND kind = 'second_factor' AND account = ? AND NOT used`, token, in.account)
		if err != nil {
			return fmt.Errorf("use a code up: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.New("enter a code: it is not valid")
		}
		return nil
	})
}

// VerifyIn is the holder verifying an address of theirs again, in a session. A closed one opens, it alone, when the
// session was begun with a credential older than its continuous_until; otherwise nothing changes, the error is
// ErrClosed, and an account with a credential set by mail through the address since then is reported.
func (s *Server) VerifyIn(ctx context.Context, id, address string) error {
	refused := false
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		in, err := readSession(ctx, tx, id)
		if err != nil {
			return err
		}
		var target int64
		if err := tx.QueryRowContext(ctx, `SELECT id FROM addresses WHERE account = ? AND address = ?`, in.account, address).Scan(&target); err != nil {
			return errors.New("verify an address: the account has no such address")
		}
		if err := reportSetByMail(ctx, tx, s.cfg.Now(), `a.id = ?`, target); err != nil {
			return err
		}
		var oldest sql.NullInt64
		row := tx.QueryRowContext(ctx, `SELECT min(continuous_until) FROM closings WHERE address = ? AND ended_at IS NULL`, target)
		if err := row.Scan(&oldest); err != nil {
			return fmt.Errorf("verify an address: %w", err)
		}
		if oldest.Valid && (in.kind == ByMail || in.setAt >= oldest.Int64) {
			refused = true
			return touch(ctx, tx, s.cfg.Now(), `id = ?`, target) // the report shows in the list
		}
		if err := letOut(ctx, tx, s.cfg.Now(), "holder", "", `id = ?`, target); err != nil {
			return err
		}
		return verify(ctx, tx, s.cfg.Now(), s.cfg.Now(), `id = ?`, target)
	})
	if err == nil && refused {
		return ErrClosed
	}
	return err
}

// LetOut is the registry's staff opening one account, whose holder lost the password while recovery was closed, say.
// Who did it and why is recorded.
func (s *Server) LetOut(ctx context.Context, account int64, who, why string) error {
	if who == "" || why == "" {
		return errors.New("let an account out: say who does it, and why")
	}
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return letOut(ctx, tx, s.cfg.Now(), "staff", who+": "+why, `account = ?`, account)
	})
}

// letOut ends the closings of the addresses of where, and remembers of which gap; a repeated closing leaves them out.
func letOut(ctx context.Context, tx *sql.Tx, now time.Time, how, who, where string, arg any) error {
	//nolint:gosec // where is one of this package's constants
	_, err := tx.ExecContext(ctx, `UPDATE closings SET ended_at = ?, how = ?, who = ?,
	gap = (SELECT max(r.since, closings.since) FROM recovery r WHERE r.domain = closings.domain)
WHERE ended_at IS NULL AND address IN (SELECT id FROM addresses WHERE `+where+`)`, now.UnixMicro(), how, who, arg)
	if err != nil {
		return fmt.Errorf("let out: %w", err)
	}
	// What was said in the site is over where no address of the account is closed by that domain any more.
	//nolint:gosec // where is one of this package's constants
	_, err = tx.ExecContext(ctx, `DELETE FROM notices WHERE account IN (SELECT account FROM addresses WHERE `+where+`)
	AND key LIKE 'recovery:%' AND NOT EXISTS (SELECT 1 FROM closings c JOIN addresses a ON a.id = c.address
		WHERE a.account = notices.account AND c.ended_at IS NULL AND 'recovery:' || c.domain = notices.key)`, arg)
	if err != nil {
		return fmt.Errorf("take notices back: %w", err)
	}
	return touch(ctx, tx, now, where, arg)
}

// Closings is everything that was ever closed, oldest first.
func (s *Server) Closings(ctx context.Context) ([]Closing, error) {
	return query(ctx, s.db, `SELECT a.address, c.domain, c.since, c.continuous_until, c.ended_at, c.how, c.who
FROM closings c JOIN addresses a ON a.id = c.address ORDER BY c.id`,
		func(rows *sql.Rows) (c Closing, err error) {
			var since, until, ended sql.NullInt64
			err = rows.Scan(&c.Address, &c.Domain, &since, &until, &ended, &c.How, &c.Who)
			c.Since, c.ContinuousUntil, c.Ended = instant(since), instant(until), instant(ended)
			return c, err
		})
}

// Reports is what the staff should look at, oldest first.
func (s *Server) Reports(ctx context.Context) ([]Report, error) {
	return query(ctx, s.db, `SELECT r.at, r.account, a.address, r.why FROM reports r JOIN addresses a ON a.id = r.address ORDER BY r.id`,
		func(rows *sql.Rows) (r Report, err error) {
			var at int64
			err = rows.Scan(&at, &r.Account, &r.Address, &r.Why)
			r.At = time.UnixMicro(at).UTC()
			return r, err
		})
}

// IsClosed tells of one address whether recovery through it is closed by a closing; an unverified one cannot recover
// an account either.
func (s *Server) IsClosed(ctx context.Context, address string) (is bool, err error) {
	err = s.db.QueryRowContext(context.WithoutCancel(ctx), `SELECT `+closed+` FROM addresses a WHERE address = ?`, address).Scan(&is)
	if err != nil {
		return false, errors.New("there is no such address")
	}
	return is, nil
}
