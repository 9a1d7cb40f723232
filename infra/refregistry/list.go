package refregistry

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lapseguard/lapseguard/shared/registry"
)

// maxHost is the longest host in bytes (RFC 5321 section 4.5.3.1.2).
const maxHost = 255

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

func (s *Server) list(ctx context.Context, r *http.Request) (reply, error) {
	in, wrong := parseList(r.URL.Query())
	if wrong != "" {
		return malformed(wrong), nil
	}
	page, err := s.page(ctx, in)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: page}, nil
}

func (s *Server) page(ctx context.Context, in listQuery) (pageBody, error) {
	page := pageBody{Hosts: []hostCount{}}
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The clock is read inside: with one connection every change is either in this page or later than it.
		page.AsOf = s.cfg.Now().UTC()
		query, args := listInUse, []any{in.after, in.limit + 1}
		if !in.since.IsZero() {
			query, args = listChanged, append(args, in.since.UnixMicro())
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
	if page.Complete = len(page.Hosts) <= in.limit; !page.Complete {
		page.Hosts = page.Hosts[:in.limit]
		page.Next = &page.Hosts[in.limit-1].Host
	}
	return page, nil
}

func scanHost(rows *sql.Rows) (hostCount, error) {
	var h hostCount
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

func validHost(s string) bool {
	return s != "" && len(s) <= maxHost && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == '@' || unicode.IsSpace(r) || unicode.IsControl(r) })
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
