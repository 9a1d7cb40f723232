package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// counted is a person's CSV, reduced to hosts and counts while it is read: no address is kept.
type counted struct {
	hosts     []registry.HostCount // ascending by host
	addresses int
	unusable  int // lines without an address
}

// readAddresses reads `email,verified_at` (header in any order, verified_at optional, RFC 3339 or a date).
func readAddresses(r io.Reader) (counted, error) {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord, rows.ReuseRecord, rows.TrimLeadingSpace, rows.LazyQuotes = -1, true, true, true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return counted{}, errors.New("the file is empty: its first line must be the header email,verified_at")
	}
	if err != nil {
		return counted{}, fmt.Errorf("header: %w", err)
	}
	email, verified := -1, -1
	for i, name := range header {
		switch strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))) {
		case "email":
			email = i
		case "verified_at":
			verified = i
		}
	}
	if email < 0 {
		return counted{}, errors.New("the first line has no column \"email\": write the header email,verified_at (in any order)")
	}
	c := counted{}
	byHost := map[string]*registry.HostCount{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // the row itself may hold an address
			line := 0
			if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
				line = parse.StartLine
			}
			return counted{}, fmt.Errorf("line %d: cannot be read as CSV", line)
		}
		line, _ := rows.FieldPos(0)
		if email < len(row) && strings.ContainsAny(row[email], "\r\n") { // it swallowed the lines after it
			return counted{}, fmt.Errorf("line %d: a quotation mark opens there and never closes", line)
		}
		if err := c.add(byHost, row, email, verified); err != nil {
			return counted{}, fmt.Errorf("line %d: %w", line, err)
		}
	}
	for _, h := range byHost {
		c.hosts = append(c.hosts, *h)
	}
	slices.SortFunc(c.hosts, func(a, b registry.HostCount) int { return strings.Compare(a.Host, b.Host) })
	return c, nil
}

func (c *counted) add(byHost map[string]*registry.HostCount, row []string, email, verified int) error {
	if email >= len(row) || strings.TrimSpace(row[email]) == "" {
		c.unusable++
		return nil
	}
	address := strings.TrimSpace(row[email])
	host, ok := domain.HostOf(address)
	several := strings.Count(address, "@") > 1 && !strings.HasPrefix(address, `"`)
	if !ok || several || strings.ContainsAny(host, " \t,;:<>()\"'/?&=%|") && !strings.HasPrefix(host, "[") { // what follows may name a person
		c.unusable++
		return nil
	}
	host = strings.ToLower(strings.Clone(host))
	var at time.Time
	if verified >= 0 && verified < len(row) {
		var err error
		if at, err = parseTime(strings.TrimSpace(row[verified])); err != nil {
			return err
		}
	}
	c.addresses++
	h := byHost[host]
	if h == nil {
		byHost[host] = &registry.HostCount{Host: host, Addresses: 1, Oldest: at, Newest: at}
		return nil
	}
	h.Addresses++
	switch {
	case at.IsZero() || h.Oldest.IsZero():
		h.Oldest = time.Time{} // one unknown makes the oldest unknown
	case at.Before(h.Oldest):
		h.Oldest = at
	}
	if at.After(h.Newest) {
		h.Newest = at
	}
	return nil
}

// doubt makes verification times unknown that cannot be: before 1970, or later than now. It counts the hosts.
func (c *counted) doubt(now time.Time) (n int) {
	for i, h := range c.hosts {
		past := !h.Oldest.IsZero() && h.Oldest.Unix() <= 0
		if past || h.Newest.After(now.Add(registry.ClockSkew)) {
			c.hosts[i].Oldest, c.hosts[i].Newest = time.Time{}, time.Time{}
			n++
		}
	}
	return n
}

// parseTime reads the times that databases export (RFC 3339, PostgreSQL, MySQL, Unix time); empty, null, \N and MySQL's
// zero date are unknown.
func parseTime(s string) (time.Time, error) {
	if s == "" || s == `\N` || strings.EqualFold(s, "null") || strings.HasPrefix(s, "0000-00-00") {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && s[0] != '-' && s[0] != '+' {
		switch len(s) { // of the years 2001 to 2286
		case 10:
			return time.Unix(n, 0).UTC(), nil
		case 13:
			return time.UnixMilli(n).UTC(), nil
		case 16:
			return time.UnixMicro(n).UTC(), nil
		}
	}
	return time.Time{}, errors.New("verified_at is not a time: write 2026-03-01T12:00:00Z, 2026-03-01 12:00:00+00, 2026-03-01 or Unix time")
}
