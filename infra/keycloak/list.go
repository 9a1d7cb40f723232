package keycloak

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lapseguard/lapseguard/shared/registry"
)

type hostCount struct {
	Host      string     `json:"host"`
	Addresses int        `json:"addresses"`
	Oldest    *time.Time `json:"oldest"`
	Newest    *time.Time `json:"newest"`
}

type pageBody struct {
	Hosts    []hostCount `json:"hosts"`
	Next     *string     `json:"next"`
	Complete bool        `json:"complete"`
	AsOf     time.Time   `json:"as_of"`
}

type listQuery struct {
	after string
	limit int
	since time.Time // zero: everything in use
}

func parseList(q url.Values) (listQuery, string) {
	in := listQuery{after: q.Get("after"), limit: registry.MaxPage}
	if q.Has("after") && !validHost(in.after) {
		return in, "after must be a host"
	}
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 1 || n > registry.MaxPage {
			return in, "limit must be from 1 to 10000"
		}
		in.limit = n
	}
	if q.Has("changed_since") {
		t, err := time.Parse(time.RFC3339Nano, q.Get("changed_since"))
		if err != nil {
			return in, "changed_since must be a time as in RFC 3339"
		}
		in.since = t
	}
	return in, ""
}

// list answers from the last whole count, whose time it states, and asks for a new one where that is old.
func (s *Server) list(ctx context.Context, r *http.Request) (reply, error) {
	in, wrong := parseList(r.URL.Query())
	if wrong != "" {
		return malformed(wrong), nil
	}
	asOf, err := s.journal.time(ctx, "as_of")
	if err != nil {
		return reply{}, err
	}
	age := s.cfg.Now().Sub(asOf)
	if age > s.cfg.Fresh {
		s.recount()
	}
	if asOf.IsZero() || age > s.cfg.MaxAge {
		out := problem(http.StatusServiceUnavailable, typeBlank, "no recent count", fmt.Sprintf("the last is of %s", asOf.Format(time.RFC3339)))
		if asOf.IsZero() {
			out = problem(http.StatusServiceUnavailable, typeBlank, "not counted yet", "the first count is under way")
		}
		out.after = askAgain
		return out, nil
	}
	page, err := s.page(ctx, in)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: page}, nil
}

// page reads the hosts and their time in one transaction, so that they fit each other.
func (s *Server) page(ctx context.Context, in listQuery) (pageBody, error) {
	page := pageBody{Hosts: []hostCount{}}
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
		query, args := `addresses > 0`, []any{in.after, in.limit + 1}
		if !in.since.IsZero() {
			query, args = `changed_at >= ?3`, append(args, in.since.UnixMicro())
		}
		//nolint:gosec // one of the two conditions above
		rows, err := tx.QueryContext(ctx, `SELECT host, addresses, known, oldest, newest FROM hosts WHERE host > ?1 AND `+query+` ORDER BY host LIMIT ?2`, args...)
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
	if page.Complete = len(page.Hosts) <= in.limit; !page.Complete {
		page.Hosts = page.Hosts[:in.limit]
		page.Next = &page.Hosts[in.limit-1].Host
	}
	return page, err
}

func scanHost(rows *sql.Rows) (hostCount, error) {
	var h hostCount
	var known int
	var oldest, newest sql.NullInt64
	if err := rows.Scan(&h.Host, &h.Addresses, &known, &oldest, &newest); err != nil {
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
	return h, nil
}
