package keycloak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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
	closings, err := s.closings(ctx)
	if err != nil {
		return c, err
	}
	err = s.cfg.Admin.eachPage(ctx, accountQuery{}, func(page []account) error {
		return s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			for _, u := range page {
				if err := s.countOne(ctx, tx, u, closings, &c); err != nil {
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
	row := s.journal.db.QueryRowContext(ctx, `SELECT coalesce(sum(addresses), 0), count(*) FILTER (WHERE addresses > 0), coalesce(sum(addresses - known), 0) FROM counting`)
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
func (s *Server) countOne(ctx context.Context, tx *sql.Tx, u account, closings map[string]shut, c *Count) error {
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
	shut, closed := closings[u.ID]
	closed = closed && shut.hash == s.journal.hash(u.Email)
	if !u.Verified && !closed { // it is read for its spelling: Keycloak lets it recover its account too
		return nil
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING`, u.ID)
	if err != nil {
		return fmt.Errorf("journal: count an account: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err //nolint:wrapcheck // this driver's never fails
	}
	if closed {
		err := exec(ctx, tx, "count a closed account", `INSERT INTO counting (host, addresses, known, closed, since, until, reported) VALUES (?, 0, 0, 1, ?, ?, ?)
ON CONFLICT (host) DO UPDATE SET closed = closed + 1, since = max(coalesce(since, 0), excluded.since), until = coalesce(min(until, excluded.until), excluded.until), reported = reported + excluded.reported`,
			host, shut.since, shut.until, shut.reported)
		if err != nil {
			return err
		}
	}
	if !u.Verified && !shut.counts {
		return nil
	}
	return exec(ctx, tx, "count an account", `
INSERT INTO counting (host, addresses, known, oldest, newest)
SELECT ?1, 1, count(at), min(at), max(at) FROM verified WHERE account = ?2 AND hash = ?3
HAVING NOT EXISTS (SELECT 1 FROM marks m JOIN journal j ON j.key = m.key WHERE m.account = ?2 AND m.state = ?4 AND NOT j.closing)
ON CONFLICT (host) DO UPDATE SET addresses = addresses + 1, known = known + excluded.known,
  oldest = coalesce(min(oldest, excluded.oldest), oldest, excluded.oldest), newest = coalesce(max(newest, excluded.newest), newest, excluded.newest)`,
		host, u.ID, s.journal.hash(u.Email), marked)
}

// publish makes a count the list; what differs from the list before changed at the time of this count.
func (s *Server) publish(ctx context.Context, asOf time.Time) error {
	return s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(
			exec(ctx, tx, "publish", `
INSERT INTO hosts (host, addresses, known, oldest, newest, closed, since, until, reported, changed_at)
SELECT host, addresses, known, oldest, newest, closed, since, until, reported, ?1 FROM counting c
WHERE NOT EXISTS (SELECT 1 FROM hosts h WHERE h.host = c.host AND h.addresses = c.addresses AND h.known = c.known
  AND h.oldest IS c.oldest AND h.newest IS c.newest AND h.closed = c.closed AND h.since IS c.since AND h.until IS c.until AND h.reported = c.reported)
ON CONFLICT (host) DO UPDATE SET addresses = excluded.addresses, known = excluded.known, oldest = excluded.oldest,
  newest = excluded.newest, closed = excluded.closed, since = excluded.since, until = excluded.until, reported = excluded.reported,
  changed_at = excluded.changed_at`, asOf.UnixMicro()),
			exec(ctx, tx, "publish", `UPDATE hosts SET addresses = 0, known = 0, oldest = NULL, newest = NULL, closed = 0, since = NULL, until = NULL, reported = 0, changed_at = ?1
WHERE (addresses > 0 OR closed > 0) AND NOT EXISTS (SELECT 1 FROM counting c WHERE c.host = hosts.host)`, asOf.UnixMicro()),
			setTime(ctx, tx, "as_of", asOf))
	})
}

// learnTimes reads the verifications since the last time. Where some may have been missed, because events are off or
// were deleted before they were read, everything known is forgotten: a later verification would be unknown, and its
// address taken for an old one. It tells whether events are on.
func (s *Server) learnTimes(ctx context.Context) (on bool, err error) {
	kept, err := s.cfg.Admin.eventsConfig(ctx)
	if err != nil {
		return false, err
	}
	on, expire := kept.times, kept.long
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
	q := eventQuery{types: []string{actionVerify, actionUpdate, eventReset, eventPassword, eventSet}, max: s.cfg.Admin.cfg.Page}
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
		if err := s.learnReset(ctx, tx, e); err != nil {
			return err
		}
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

// learnReset notes of a session that a reset was mailed in it, or that a credential was set in it.
func (s *Server) learnReset(ctx context.Context, tx *sql.Tx, e event) error {
	session := e.Details["code_id"]
	if session == "" || e.User == "" {
		return nil
	}
	var column string
	switch e.Type {
	case eventReset:
		column = "sent"
	case eventPassword, eventSet:
		column = "done"
	default:
		return nil
	}
	return exec(ctx, tx, "note a reset", `INSERT INTO resets (session, account, `+column+`) VALUES (?, ?, ?)
ON CONFLICT (session) DO UPDATE SET `+column+` = max(coalesce(`+column+`, 0), excluded.`+column+`)`, session, e.User, e.at().UnixMicro())
}

// What a mark's report says.
const (
	reportedBefore = 1 // reset by mail, or linked to a provider, within the gap or the exposure
	reportedAfter  = 2 // reset by mail after the mark
)

// suspect is a credential that was set in an account under a mark.
type suspect struct {
	mark    int64
	session string
	at      time.Time
}

// suspects are the credentials set within the gap or the exposure, or after the mark, that nobody has judged yet.
func (s *Server) suspects(ctx context.Context) ([]suspect, error) {
	rows, err := s.journal.db.QueryContext(ctx, `SELECT m.id, r.session, r.done FROM marks m JOIN journal j ON j.key = m.key JOIN resets r ON r.account = m.account
WHERE m.state = ? AND NOT r.own AND m.report < CASE WHEN r.done > m.at THEN ? ELSE ? END
  AND r.done >= CASE WHEN j.closing THEN j.until WHEN j.exposed > 0 THEN j.exposed ELSE m.at END ORDER BY r.done DESC`, marked, reportedAfter, reportedBefore)
	if err != nil {
		return nil, fmt.Errorf("journal: look for resets: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []suspect
	for rows.Next() {
		var c suspect
		var at int64
		if err := rows.Scan(&c.mark, &c.session, &at); err != nil {
			return nil, fmt.Errorf("journal: look for resets: %w", err)
		}
		c.at = time.UnixMicro(at).UTC()
		list = append(list, c)
	}
	return list, rows.Err() //nolint:wrapcheck // this driver's never fails
}

// longestSession is how far back the sign-in of a session that set a credential is looked for.
const longestSession = 31 * 24 * time.Hour

// reportResets looks for accounts that were reset by mail within the gap or the exposure, or after the mark, by a form
// that was open. Their sessions end; nothing that their holder does lets them out, and a person is to look.
func (s *Server) reportResets(ctx context.Context) error {
	list, err := s.suspects(ctx)
	if err != nil {
		return err
	}
	for _, c := range list {
		found, err := s.journal.marks(ctx, `WHERE m.id = ?`, c.mark)
		if err != nil || len(found) == 0 {
			return err
		}
		m := found[0]
		level := reportedBefore
		if c.at.After(m.at) {
			level = reportedAfter
		}
		if m.report >= level { // by another credential, just now
			continue
		}
		logins, err := s.cfg.Admin.events(ctx, eventQuery{types: []string{eventLogin}, user: m.account, since: c.at.Add(-longestSession), max: DefaultPage})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(logins, func(l event) bool { return l.Details["code_id"] == c.session && l.at().Before(c.at) }) {
			if err := s.journal.exec(ctx, "note a session", `UPDATE resets SET own = 1 WHERE session = ?`, c.session); err != nil {
				return err
			}
			continue
		}
		if err := s.cfg.Admin.logout(ctx, m.account); err != nil && !gone(err) {
			return err
		}
		s.cfg.Log.ErrorContext(ctx, "account_reset_by_mail", "domain", m.domain, "account", m.account, "after_the_mark", level == reportedAfter,
			"means", "a credential was set without a sign-in while the domain was in doubt, as a mail's link does: it opens nothing, and the account's sessions are ended",
			"next", "ask the holder by another way whether that was them; to let the account out: keycloak-adapter release ACCOUNT")
		if err := s.journal.exec(ctx, "note a report", `UPDATE marks SET report = ? WHERE id = ?`, level, m.id); err != nil {
			return err
		}
		s.recount()
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
