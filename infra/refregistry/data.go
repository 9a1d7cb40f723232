package refregistry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/domain"
)

// What follows is not the API: it fills the registry and looks into it, for tests and simulations. No error
// quotes an address.

// Row is one address of a bulk load.
type Row struct {
	Account    int64  // 0: an account of its own
	Address    string // with its @
	Unverified bool
	VerifiedAt time.Time // zero: unknown
}

// AddressState is one address as it stands.
type AddressState struct {
	Account    int64
	Address    string
	Domain     string // the canonical host
	Verified   bool
	Why        string    // reason of the unverify, empty while verified
	VerifiedAt time.Time // UTC; zero: unknown. Kept while unverified
	Key        string    // of the unverify that changed it
}

// Call is one line of the registry's own log: an unverify, restore or recovery request that was understood.
type Call struct {
	At          time.Time
	Op          string // unverify, restore, recovery closed, recovery open
	Domain, Key string
	Run         string
	DryRun      bool
	Status      int    // of the answer
	Problem     string // its type, where it was one
	Repeated    bool   // a known key, answered from the journal; a state that stood already
	Changed     int    // addresses that this very call changed
}

// Mail is one mail in the sink.
type Mail struct {
	At      time.Time
	Account int64
	Address string
	Kind    string // reset, link, support, signin, second_factor, notice
	Token   string // of a link or code
	Used    bool
	Text    string // of a notice
}

// Notice waits for an account's next sign-in.
type Notice struct {
	At              time.Time
	Account         int64
	Key, Code, Text string
}

// AddAccount creates an account without addresses.
func (s *Server) AddAccount(ctx context.Context, name string) (id int64, err error) {
	err = s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		id, err = addAccount(ctx, tx, name)
		return err
	})
	return id, err
}

// AddAddress adds a verified address with an account of its own; nil is verified at an unknown time.
func (s *Server) AddAddress(ctx context.Context, address string, verifiedAt *time.Time) error {
	return s.AddAddressTo(ctx, 0, address, verifiedAt)
}

// AddAddressTo adds a verified address to an account.
func (s *Server) AddAddressTo(ctx context.Context, account int64, address string, verifiedAt *time.Time) error {
	row := Row{Account: account, Address: address}
	if verifiedAt != nil {
		row.VerifiedAt = *verifiedAt
	}
	return s.Load(ctx, slices.Values([]Row{row}))
}

// Load adds many addresses in one transaction, about 100,000 a second.
func (s *Server) Load(ctx context.Context, rows iter.Seq[Row]) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var last sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT max(id) FROM addresses`).Scan(&last); err != nil {
			return fmt.Errorf("load addresses: %w", err)
		}
		insert, err := tx.PrepareContext(ctx, `INSERT INTO addresses (account, address, host, rev, verified, verified_at) VALUES (?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return fmt.Errorf("load addresses: %w", err)
		}
		defer func() { _ = insert.Close() }()
		n := 0
		for row := range rows {
			if n++; insertRow(ctx, tx, insert, row) != nil {
				return fmt.Errorf("load address %d: it is no address, known already, or its account is not there", n)
			}
		}
		return touch(ctx, tx, s.cfg.Now(), `id > ? AND verified`, last.Int64)
	})
}

func insertRow(ctx context.Context, tx *sql.Tx, insert *sql.Stmt, row Row) error {
	host, ok := domain.HostOf(row.Address)
	if !ok || !adminapi.ValidHost(host) {
		return errors.New("no address")
	}
	if row.Account == 0 {
		var err error
		if row.Account, err = addAccount(ctx, tx, ""); err != nil {
			return err
		}
	}
	_, err := insert.ExecContext(ctx, row.Account, row.Address, host, reversed(adminapi.Canonical(host)), !row.Unverified, micro(row.VerifiedAt))
	return err //nolint:wrapcheck // the caller discards the text, which may quote the address
}

func addAccount(ctx context.Context, tx *sql.Tx, name string) (int64, error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO accounts (name) VALUES (?)`, name)
	if err != nil {
		return 0, fmt.Errorf("add an account: %w", err)
	}
	return res.LastInsertId() //nolint:wrapcheck // this driver's never fails
}

// Verify is the holder proving control of an address at a time: whatever unverified it before is over. A mail that was
// read is no more than that: a closed address stays as it is (ErrClosed); see VerifyIn.
func (s *Server) Verify(ctx context.Context, address string, at time.Time) error {
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var is bool
		if err := tx.QueryRowContext(ctx, `SELECT `+closed+` FROM addresses a WHERE address = ?`, address).Scan(&is); err == nil && is {
			return ErrClosed
		}
		return verify(ctx, tx, s.cfg.Now(), at, `address = ?`, address)
	})
}

func verify(ctx context.Context, tx *sql.Tx, now, at time.Time, where string, arg any) error {
	//nolint:gosec // where is one of this package's constants
	res, err := tx.ExecContext(ctx, `UPDATE addresses SET verified = 1, verified_at = ?, why = '', key = '' WHERE `+where, micro(at), arg)
	if err != nil {
		return errors.New("verify an address: the database failed")
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.New("verify an address: there is no such address")
	}
	return touch(ctx, tx, now, where, arg)
}

// IsVerified tells of one address whether it is verified, and otherwise for which reason not.
func (s *Server) IsVerified(ctx context.Context, address string) (verified bool, why string, err error) {
	err = s.db.QueryRowContext(context.WithoutCancel(ctx), `SELECT verified, why FROM addresses WHERE address = ?`, address).Scan(&verified, &why)
	if err != nil {
		return false, "", errors.New("there is no such address")
	}
	return verified, why, nil
}

// Addresses lists every address in the order in which they were added.
func (s *Server) Addresses(ctx context.Context) ([]AddressState, error) {
	return query(ctx, s.db, `SELECT account, address, host, verified, why, verified_at, key FROM addresses ORDER BY id`,
		func(rows *sql.Rows) (a AddressState, err error) {
			var at sql.NullInt64
			err = rows.Scan(&a.Account, &a.Address, &a.Domain, &a.Verified, &a.Why, &at, &a.Key)
			a.Domain, a.VerifiedAt = adminapi.Canonical(a.Domain), instant(at)
			return a, err
		})
}

// Calls is the registry's log, oldest first. It survives the process.
func (s *Server) Calls(ctx context.Context) ([]Call, error) {
	return query(ctx, s.db, `SELECT at, op, domain, key, run, dry_run, status, problem, repeated, changed FROM calls ORDER BY id`,
		func(rows *sql.Rows) (c Call, err error) {
			var at int64
			err = rows.Scan(&at, &c.Op, &c.Domain, &c.Key, &c.Run, &c.DryRun, &c.Status, &c.Problem, &c.Repeated, &c.Changed)
			c.At = time.UnixMicro(at).UTC()
			return c, err
		})
}

// Mails is what was mailed, oldest first.
func (s *Server) Mails(ctx context.Context) ([]Mail, error) {
	return query(ctx, s.db, `SELECT at, account, address, kind, token, used, text FROM mails ORDER BY id`,
		func(rows *sql.Rows) (m Mail, err error) {
			var at int64
			err = rows.Scan(&at, &m.Account, &m.Address, &m.Kind, &m.Token, &m.Used, &m.Text)
			m.At = time.UnixMicro(at).UTC()
			return m, err
		})
}

// Notices is what waits for accounts in the site, oldest first.
func (s *Server) Notices(ctx context.Context) ([]Notice, error) {
	return query(ctx, s.db, `SELECT at, account, key, code, text FROM notices ORDER BY id`,
		func(rows *sql.Rows) (n Notice, err error) {
			var at int64
			err = rows.Scan(&at, &n.Account, &n.Key, &n.Code, &n.Text)
			n.At = time.UnixMicro(at).UTC()
			return n, err
		})
}

// Resets is how often an account's password was set by a link: takeovers, when the guard did nothing.
func (s *Server) Resets(ctx context.Context, account int64) (n int, err error) {
	if err := s.db.QueryRowContext(context.WithoutCancel(ctx), `SELECT resets FROM accounts WHERE id = ?`, account).Scan(&n); err != nil {
		return 0, fmt.Errorf("resets of account %d: %w", account, err)
	}
	return n, nil
}

func query[T any](ctx context.Context, db *sql.DB, text string, scan func(*sql.Rows) (T, error)) ([]T, error) {
	rows, err := db.QueryContext(context.WithoutCancel(ctx), text)
	if err != nil {
		return nil, fmt.Errorf("look into the registry: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("look into the registry: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look into the registry: %w", err)
	}
	return all, nil
}
