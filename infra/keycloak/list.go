package keycloak

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"github.com/lapseguard/lapseguard/infra/adminapi"
)

// List answers from the last whole count, whose time it states, and asks for a new one where that is old.
func (s backend) List(ctx context.Context, in adminapi.ListQuery) (adminapi.Reply, error) {
	asOf, err := s.journal.time(ctx, "as_of")
	if err != nil {
		return adminapi.Reply{}, err
	}
	age := s.cfg.Now().Sub(asOf)
	if age > s.cfg.Fresh {
		s.recount()
	}
	if asOf.IsZero() || age > s.cfg.MaxAge {
		out := adminapi.Problem(http.StatusServiceUnavailable, adminapi.TypeBlank, "no recent count", fmt.Sprintf("the last is of %s", asOf.Format(time.RFC3339)))
		if asOf.IsZero() {
			out = adminapi.Problem(http.StatusServiceUnavailable, adminapi.TypeBlank, "not counted yet", "the first count is under way")
		}
		out.After = askAgain
		return out, nil
	}
	page, err := s.page(ctx, in)
	if err != nil {
		return adminapi.Reply{}, err
	}
	return adminapi.OK(page), nil
}

// page reads the hosts and their time in one transaction, so that they fit each other.
func (s *Server) page(ctx context.Context, in adminapi.ListQuery) (adminapi.Page, error) {
	page := adminapi.Page{Hosts: []adminapi.HostCount{}, Recovery: in.After == ""}
	err := s.journal.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var asOf string
		if err := tx.QueryRowContext(ctx, `SELECT v FROM meta WHERE k = 'as_of'`).Scan(&asOf); err != nil {
			return fmt.Errorf("journal: read as_of: %w", err)
		}
		var err error
		if page.AsOf, err = time.Parse(time.RFC3339Nano, asOf); err != nil {
			return fmt.Errorf("journal: read as_of: %w", err)
		}
		// One host more than asked for tells whether there is a next page.
		query, args := `(addresses > 0 OR closed > 0)`, []any{in.After, in.Limit + 1}
		if !in.Since.IsZero() {
			query, args = `changed_at >= ?3`, append(args, in.Since.UnixMicro())
		}
		//nolint:gosec // one of the two conditions above
		rows, err := tx.QueryContext(ctx, `SELECT host, addresses, known, oldest, newest, closed, since, until, reported FROM hosts WHERE host > ?1 AND `+query+` ORDER BY host LIMIT ?2`, args...)
		if err != nil {
			return fmt.Errorf("journal: list hosts: %w", err)
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
	if page.Complete = len(page.Hosts) <= in.Limit; !page.Complete {
		page.Hosts = page.Hosts[:in.Limit]
		page.Next = &page.Hosts[in.Limit-1].Host
	}
	return page, err
}

func scanHost(rows *sql.Rows) (adminapi.HostCount, error) {
	var h adminapi.HostCount
	var known int
	var oldest, newest, since, until sql.NullInt64
	var closed adminapi.Closed
	if err := rows.Scan(&h.Host, &h.Addresses, &known, &oldest, &newest, &closed.Addresses, &since, &until, &closed.Reported); err != nil {
		return h, fmt.Errorf("journal: read a host: %w", err)
	}
	if known == h.Addresses && oldest.Valid { // one unknown time makes the oldest unknown
		t := time.UnixMicro(oldest.Int64).UTC()
		h.Oldest = &t
	}
	if newest.Valid {
		t := time.UnixMicro(newest.Int64).UTC()
		h.Newest = &t
	}
	if closed.Addresses > 0 {
		closed.Since, closed.ContinuousUntil = time.UnixMicro(since.Int64).UTC(), time.UnixMicro(until.Int64).UTC()
		h.Closed = &closed
	}
	return h, nil
}
