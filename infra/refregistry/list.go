package refregistry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
)

// The list, streamed from a covering index; one host more than asked for tells whether there is a next page.
const (
	listInUse = `
SELECT host, count(*), count(verified_at), min(verified_at), max(verified_at)
FROM addresses WHERE verified AND host > ?1 GROUP BY host ORDER BY host LIMIT ?2`
	listChanged = `
SELECT h.host, count(a.host), count(a.verified_at), min(a.verified_at), max(a.verified_at)
FROM hosts h LEFT JOIN addresses a ON a.host = h.host AND a.verified
WHERE h.host > ?1 AND h.changed_at >= ?3 GROUP BY h.host ORDER BY h.host LIMIT ?2`
	// What is closed at the hosts that come next, also where nothing verified is left.
	listClosed = `
SELECT a.host, count(DISTINCT a.id), max(c.since), min(c.continuous_until),
	(SELECT count(DISTINCT r.account) FROM reports r JOIN addresses b ON b.id = r.address
	 JOIN closings d ON d.address = b.id AND d.ended_at IS NULL AND d.since = r.since WHERE b.host = a.host AND r.why = 'set_by_mail')
FROM closings c JOIN addresses a ON a.id = c.address
WHERE c.ended_at IS NULL AND a.host > ?1 AND (?2 = '' OR a.host <= ?2) GROUP BY a.host ORDER BY a.host LIMIT ?3`
)

func (b backend) List(ctx context.Context, q adminapi.ListQuery) (adminapi.Reply, error) {
	page, err := b.page(ctx, q)
	if err != nil {
		return adminapi.Reply{}, err
	}
	return adminapi.OK(page), nil
}

func (s *Server) page(ctx context.Context, in adminapi.ListQuery) (adminapi.Page, error) {
	page := adminapi.Page{Hosts: []adminapi.HostCount{}}
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		// The clock is read inside: with one connection every change is either in this page or later than it.
		page.AsOf = s.cfg.Now().UTC()
		query, args := listInUse, []any{in.After, in.Limit + 1}
		if !in.Since.IsZero() {
			query, args = listChanged, append(args, in.Since.UnixMicro())
		}
		if page.Hosts, err = readHosts(ctx, tx, query, args); err != nil || s.cfg.WithoutRecovery {
			return err
		}
		last, most := "", in.Limit+1
		if n := len(page.Hosts); n == most || !in.Since.IsZero() && n > 0 { // what lies beyond is not for this page
			last = page.Hosts[n-1].Host
		}
		if !in.Since.IsZero() {
			most = -1 // the closed hosts are more than those that changed
		}
		closed, err := readClosed(ctx, tx, in.After, last, most)
		if err != nil {
			return err
		}
		page.Hosts = withClosed(page.Hosts, closed, !in.Since.IsZero(), in.Limit+1)
		return nil
	})
	if err != nil {
		return page, err
	}
	if page.Complete = len(page.Hosts) <= in.Limit; !page.Complete {
		page.Hosts = page.Hosts[:in.Limit]
		page.Next = &page.Hosts[in.Limit-1].Host
	}
	if in.After == "" {
		page.Recovery, page.MailIsSignIn = !s.cfg.WithoutRecovery, s.cfg.MailIsSignIn
	}
	return page, nil
}

func readHosts(ctx context.Context, tx *sql.Tx, query string, args []any) ([]adminapi.HostCount, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	hosts := []adminapi.HostCount{}
	for rows.Next() {
		h, err := scanHost(rows)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, rows.Err() //nolint:wrapcheck // the caller says what it was doing
}

func readClosed(ctx context.Context, tx *sql.Tx, after, last string, most int) ([]adminapi.HostCount, error) {
	rows, err := tx.QueryContext(ctx, listClosed, after, last, most)
	if err != nil {
		return nil, fmt.Errorf("list what is closed: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var hosts []adminapi.HostCount
	for rows.Next() {
		h := adminapi.HostCount{Closed: &adminapi.Closed{}}
		var since, until sql.NullInt64
		if err := rows.Scan(&h.Host, &h.Closed.Addresses, &since, &until, &h.Closed.Reported); err != nil {
			return nil, fmt.Errorf("list what is closed: %w", err)
		}
		h.Closed.Since, h.Closed.ContinuousUntil = instant(since), instant(until)
		hosts = append(hosts, h)
	}
	return hosts, rows.Err() //nolint:wrapcheck // the caller says what it was doing
}

// withClosed joins two lists, both ascending: what is closed is added to its host, and where that is not listed it
// becomes an entry of its own, but for a list of changes, which has every host that it needs.
func withClosed(hosts, closed []adminapi.HostCount, changes bool, most int) []adminapi.HostCount {
	all := make([]adminapi.HostCount, 0, len(hosts))
	for i := range hosts {
		for len(closed) > 0 && closed[0].Host < hosts[i].Host {
			if !changes {
				all = append(all, closed[0])
			}
			closed = closed[1:]
		}
		if len(closed) > 0 && closed[0].Host == hosts[i].Host {
			hosts[i].Closed, closed = closed[0].Closed, closed[1:]
		}
		all = append(all, hosts[i])
	}
	if !changes && len(hosts) < most { // else hosts in between may come on a later page
		all = append(all, closed...)
	}
	return all[:min(len(all), most)]
}

func scanHost(rows *sql.Rows) (adminapi.HostCount, error) {
	var h adminapi.HostCount
	var known int
	var oldest, newest sql.NullInt64
	if err := rows.Scan(&h.Host, &h.Addresses, &known, &oldest, &newest); err != nil {
		return h, fmt.Errorf("read a host: %w", err)
	}
	if known == h.Addresses && oldest.Valid { // one unknown time makes the oldest unknown
		t := instant(oldest)
		h.Oldest = &t
	}
	if newest.Valid {
		t := instant(newest)
		h.Newest = &t
	}
	return h, nil
}

// touch notes that hosts changed now.
func touch(ctx context.Context, tx *sql.Tx, now time.Time, where string, args ...any) error {
	//nolint:gosec // where is one of this package's constants
	query := `INSERT INTO hosts (host, changed_at) SELECT DISTINCT host, ? FROM addresses WHERE ` + where +
		` ON CONFLICT (host) DO UPDATE SET changed_at = excluded.changed_at`
	if _, err := tx.ExecContext(ctx, query, append([]any{now.UnixMicro()}, args...)...); err != nil {
		return fmt.Errorf("note changed hosts: %w", err)
	}
	return nil
}
