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
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The clock is read inside: with one connection every change is either in this page or later than it.
		page.AsOf = s.cfg.Now().UTC()
		query, args := listInUse, []any{in.After, in.Limit + 1}
		if !in.Since.IsZero() {
			query, args = listChanged, append(args, in.Since.UnixMicro())
		}
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("list hosts: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			h, err := scanHost(rows)
			if err != nil {
				return err
			}
			page.Hosts = append(page.Hosts, h)
		}
		return rows.Err()
	})
	if err != nil {
		return page, err
	}
	if page.Complete = len(page.Hosts) <= in.Limit; !page.Complete {
		page.Hosts = page.Hosts[:in.Limit]
		page.Next = &page.Hosts[in.Limit-1].Host
	}
	return page, nil
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
