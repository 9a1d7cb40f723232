package keycloak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
	"github.com/lapseguard/lapseguard/shared/domain"
)

const (
	// DefaultPage is accounts or events in one answer of Keycloak's.
	DefaultPage = 500
	// maxShifts bounds how often in a row a page is read again because accounts moved.
	maxShifts = 20
	// eventMargin covers dateFrom's whole days, in whatever time zone Keycloak counts them.
	eventMargin = 48 * time.Hour
)

// eachPage gives f every account, page after page, in bounded memory. Accounts that come or go meanwhile move the
// others between pages: each page overlaps the one before by an account, and where that does not fit, reading goes
// back a page. So f may see an account twice, and misses none that was there all the time, unless more than a page
// of them vanish at one moment.
func (a *Admin) eachPage(ctx context.Context, q accountQuery, f func(page []account) error) error {
	first, last, shifts := 0, "", 0
	for {
		overlap := 0
		if last != "" {
			overlap = 1
		}
		q.first, q.max = first-overlap, a.cfg.Page+overlap
		page, err := a.accounts(ctx, q)
		if err != nil {
			return err
		}
		if overlap == 1 && (len(page) == 0 || page[0].ID != last) {
			if shifts++; shifts > maxShifts {
				return errors.New("list accounts: they move faster than they can be read")
			}
			first, last = max(0, first-a.cfg.Page), ""
			continue
		}
		whole := len(page) == q.max
		page = page[overlap:]
		if err := f(page); err != nil {
			return err
		}
		if !whole {
			return nil
		}
		if overlap == 1 {
			shifts = 0
		}
		first, last = first+len(page), page[len(page)-1].ID
	}
}

// Count is what a count of all accounts found.
type Count struct {
	AsOf      time.Time // its start
	Addresses int       // verified, not in quarantine
	Hosts     int
	Unknown   int // of the addresses: verified at a time that nobody knows
	EventsOff bool
	Skipped   int // what Keycloak holds for an address and is none
}

// Count counts the hosts anew. Until it has ended, the list is the old one.
func (s *Server) Count(ctx context.Context) (Count, error) {
	c := Count{AsOf: s.cfg.Now().UTC()}
	on, err := s.learnTimes(ctx)
	if err != nil {
		return c, err
	}
	c.EventsOff = !on
	err = s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(exec(ctx, tx, "begin a count", `DELETE FROM counting`), exec(ctx, tx, "begin a count", `DELETE FROM seen`))
	})
	if err != nil {
		return c, err
	}
	err = s.cfg.Admin.eachPage(ctx, accountQuery{}, func(page []account) error {
		return s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			for _, u := range page {
				if err := s.countOne(ctx, tx, u, &c); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return c, err
	}
	if err := s.publish(ctx, c.AsOf); err != nil {
		return c, err
	}
	row := s.journal.db.QueryRowContext(ctx, `SELECT coalesce(sum(addresses), 0), count(*), coalesce(sum(addresses - known), 0) FROM counting`)
	if err := row.Scan(&c.Addresses, &c.Hosts, &c.Unknown); err != nil {
		return c, fmt.Errorf("journal: sum up: %w", err)
	}
	s.cfg.Log.InfoContext(ctx, "counted", "addresses", c.Addresses, "hosts", c.Hosts, "time_unknown", c.Unknown, "no_address", c.Skipped)
	if c.EventsOff {
		s.cfg.Log.WarnContext(ctx, "events_off", "means", "every verification time is unknown",
			"next", "in the realm's settings save user events, VERIFY_EMAIL and UPDATE_EMAIL among them")
	}
	return c, nil
}

// countOne adds an account that this count has not seen yet.
func (s *Server) countOne(ctx context.Context, tx *sql.Tx, u account, c *Count) error {
	host, ok := domain.HostOf(u.Email)
	if !ok || !adminapi.ValidHost(host) {
		if u.Verified {
			c.Skipped++
		}
		return nil
	}
	if !ascii(host) { // it is listed under the name that mail goes to, and found again by its spelling
		to := mailHost(host)
		if err := exec(ctx, tx, "note a spelling", `INSERT INTO spellings VALUES (?, ?) ON CONFLICT (spelling) DO UPDATE SET host = excluded.host`, host, to); err != nil {
			return err
		}
		host = to
	}
	if !u.Verified { // it is read for its spelling: Keycloak lets it recover its account too
		return nil
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO seen SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM marks WHERE account = ?1 AND state = ?2) ON CONFLICT DO NOTHING`, u.ID, marked)
	if err != nil {
		return fmt.Errorf("journal: count an account: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err //nolint:wrapcheck // this driver's never fails
	}
	return exec(ctx, tx, "count an account", `
INSERT INTO counting (host, addresses, known, oldest, newest)
SELECT ?1, 1, count(at), min(at), max(at) FROM verified WHERE account = ?2 AND hash = ?3
ON CONFLICT (host) DO UPDATE SET addresses = addresses + 1, known = known + excluded.known,
  oldest = coalesce(min(oldest, excluded.oldest), oldest, excluded.oldest), newest = coalesce(max(newest, excluded.newest), newest, excluded.newest)`,
		host, u.ID, s.journal.hash(u.Email))
}

// publish makes a count the list; what differs from the list before changed at the time of this count.
func (s *Server) publish(ctx context.Context, asOf time.Time) error {
	return s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(
			exec(ctx, tx, "publish", `
INSERT INTO hosts SELECT host, addresses, known, oldest, newest, ?1 FROM counting c
WHERE NOT EXISTS (SELECT 1 FROM hosts h WHERE h.host = c.host AND h.addresses = c.addresses AND h.known = c.known
  AND h.oldest IS c.oldest AND h.newest IS c.newest)
ON CONFLICT (host) DO UPDATE SET addresses = excluded.addresses, known = excluded.known, oldest = excluded.oldest,
  newest = excluded.newest, changed_at = excluded.changed_at`, asOf.UnixMicro()),
			exec(ctx, tx, "publish", `UPDATE hosts SET addresses = 0, known = 0, oldest = NULL, newest = NULL, changed_at = ?1
WHERE addresses > 0 AND NOT EXISTS (SELECT 1 FROM counting c WHERE c.host = hosts.host)`, asOf.UnixMicro()),
			setTime(ctx, tx, "as_of", asOf))
	})
}

// learnTimes reads the verifications since the last time. Where some may have been missed, because events are off or
// were deleted before they were read, everything known is forgotten: a later verification would be unknown, and its
// address taken for an old one. It tells whether events are on.
func (s *Server) learnTimes(ctx context.Context) (on bool, err error) {
	on, expire, err := s.cfg.Admin.eventsConfig(ctx)
	if err != nil {
		return false, err
	}
	last, err := s.journal.time(ctx, "events_read")
	if err != nil {
		return false, err
	}
	now := s.cfg.Now().UTC()
	if !on || expire > 0 && !last.IsZero() && now.Sub(last) >= expire {
		err := s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(exec(ctx, tx, "forget times", `DELETE FROM verified`), exec(ctx, tx, "forget times", `DELETE FROM meta WHERE k = 'events_read'`))
		})
		if !on || err != nil {
			return on, err
		}
		last = time.Time{}
	}
	q := eventQuery{types: []string{actionVerify, actionUpdate}, max: s.cfg.Admin.cfg.Page}
	if !last.IsZero() {
		q.since = last.Add(-eventMargin)
	}
	for { // newest first: what happens meanwhile only moves older ones to later pages
		page, err := s.cfg.Admin.events(ctx, q)
		if err != nil {
			return on, err
		}
		if err := s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.learn(ctx, tx, page) }); err != nil {
			return on, err
		}
		if len(page) < q.max {
			break
		}
		q.first += len(page)
	}
	return on, s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error { return setTime(ctx, tx, "events_read", now) })
}

func (s *Server) learn(ctx context.Context, tx *sql.Tx, page []event) error {
	for _, e := range page {
		address := e.address()
		if address == "" || e.User == "" {
			continue
		}
		err := exec(ctx, tx, "note a verification", `INSERT INTO verified VALUES (?, ?, ?)
ON CONFLICT (account, hash) DO UPDATE SET at = max(at, excluded.at)`, e.User, s.journal.hash(address), e.at().UnixMicro())
		if err != nil {
			return err
		}
	}
	return nil
}

// verifiedAt is when an account's present address was last verified; zero when that is unknown.
func (s *Server) verifiedAt(ctx context.Context, u account) (time.Time, error) {
	var at int64
	err := s.journal.db.QueryRowContext(ctx, `SELECT at FROM verified WHERE account = ? AND hash = ?`, u.ID, s.journal.hash(u.Email)).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("journal: read a verification: %w", err)
	}
	return time.UnixMicro(at).UTC(), nil
}
