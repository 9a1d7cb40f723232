package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// counted is a person's file, reduced to hosts and counts while it is read: no address is kept.
type counted struct {
	hosts     []registry.HostCount // ascending by host
	addresses int
	unusable  int      // lines without an address
	untimed   int      // lines whose time cannot be read: it counts as unknown
	shown     []string // the first of both, by number and reason: no part of a line
	taken     string   // how the file was read, where it does not say so itself
}

// linesShown is how many lines that cannot be read are shown.
const linesShown = 3

func (c *counted) doubtful(line int, why string) {
	if len(c.shown) < linesShown {
		c.shown = append(c.shown, fmt.Sprintf("line %d: %s", line, why))
	}
}

// columns say which columns a file has its addresses and times in, by name or number; empty: by their usual names.
type columns struct {
	Email string `name:"email-column" placeholder:"NAME" help:"The column with the addresses, by its name or its number (from 1); default: email, or domain for a list of domains."`
	Time  string `name:"time-column" placeholder:"NAME" help:"The column with the time of verification; default: verified_at."`
}

// The names that columns usually have, in lower case.
var (
	emailNames  = []string{"email", "e-mail", "email_address", "mail", "address"}
	domainNames = []string{"domain", "email_domain", "host", "hostname"}
	timeNames   = []string{"verified_at", "email_verified_at", "confirmed_at", "email_confirmed_at", "oldest"}
	countNames  = []string{"addresses", "accounts", "users", "count"}
)

// layout is where a file has what; -1: nowhere.
type layout struct{ email, domain, time, count int }

// readAddresses reads what people have: a CSV of addresses with times, or one of domains with counts; separated by
// comma, semicolon, tab or bar; UTF-8 or UTF-16, packed by gzip or not; with or without a header. A line that cannot be
// read is counted and left out. An error is about the whole file.
func readAddresses(r io.Reader, cols columns) (counted, error) {
	text, err := decoded(r)
	if err != nil {
		return counted{}, err
	}
	c, byHost := counted{}, map[string]*registry.HostCount{}
	l := &lines{r: text, separator: ','}
	first, ok := l.line(0)
	for ok && strings.TrimSpace(first) == "" {
		l.take(1)
		first, ok = l.line(0)
	}
	if !ok {
		if l.end != nil && !errors.Is(l.end, io.EOF) {
			return c, readFailure(l.end)
		}
		return c, errors.New("it is empty: its first line must be a header, such as email,verified_at")
	}
	name := ""
	l.separator, name = separatorOf(first)
	if !utf8.ValidString(first) {
		return c, errUTF8
	}
	header, err := l.split(first)
	if err != nil {
		return c, fmt.Errorf("line %d: %w", l.n+1, err)
	}
	l.width = len(header)
	at, headed, err := cols.find(header, name)
	if err != nil {
		return c, err
	}
	if headed {
		l.take(1)
	} else {
		c.taken = fmt.Sprintf("the first line is no header: column %d is taken for the %s", max(at.email, at.domain)+1, map[bool]string{true: "addresses", false: "domains"}[at.email >= 0])
		if at.time >= 0 {
			c.taken += fmt.Sprintf(", column %d for the time of verification", at.time+1)
		}
	}
	for {
		row, line, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if f := (fatal{}); errors.As(err, &f) {
			return counted{}, fmt.Errorf("after line %d: %w", line, f.error)
		}
		if err != nil {
			c.unusable++
			c.doubtful(line, err.Error())
			continue
		}
		c.add(byHost, row, line, at)
	}
	for _, h := range byHost {
		c.hosts = append(c.hosts, *h)
	}
	slices.SortFunc(c.hosts, func(a, b registry.HostCount) int { return strings.Compare(a.Host, b.Host) })
	return c, nil
}

// find finds the columns in the first line, and says whether that is a header.
func (cols columns) find(header []string, separator string) (at layout, headed bool, err error) {
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = strings.ToLower(strings.TrimSpace(h))
	}
	by := func(usual []string) int {
		for _, u := range usual { // the order of the usual names decides, not that of the columns
			if i := slices.Index(names, u); i >= 0 {
				return i
			}
		}
		return -1
	}
	at = layout{email: by(emailNames), domain: by(domainNames), time: by(timeNames), count: by(countNames)}
	headed = at.email >= 0 || at.domain >= 0
	if !headed {
		at = guessed(header)
	}
	for _, own := range []struct {
		flag, value string
		to          *int
	}{{"--email-column", cols.Email, &at.email}, {"--time-column", cols.Time, &at.time}} {
		if own.value == "" {
			continue
		}
		i := slices.Index(names, strings.ToLower(strings.TrimSpace(own.value)))
		headed = headed || i >= 0
		if n, err := strconv.Atoi(own.value); i < 0 && err == nil && n >= 1 && n <= len(header) {
			i = n - 1
		}
		if i < 0 {
			return at, false, fmt.Errorf("%s %q: the first line has %d columns, separated by %s, and none is called that", own.flag, own.value, len(header), separator)
		}
		*own.to = i
	}
	if cols.Email != "" && !headed { // named by number: a header's cell is no address
		_, isAddress := domain.HostOf(strings.TrimSpace(header[at.email]))
		headed = !isAddress
	}
	switch {
	case at.email >= 0:
		at.domain, at.count = -1, -1
	case at.domain < 0:
		return at, false, fmt.Errorf("the first line has no column \"email\" (or \"domain\"): name the one with the addresses by --email-column; it has %d columns, separated by %s", len(header), separator)
	}
	return at, headed, nil
}

// guessed finds the columns of a file without a header by what its first line holds.
func guessed(first []string) layout {
	at := layout{-1, -1, -1, -1}
	for i, field := range first {
		field = strings.TrimSpace(field)
		_, address := domain.HostOf(field)
		when, err := parseTime(field)
		_, not := domain.Parse(field)
		switch {
		case address && at.email < 0:
			at.email = i
		case err == nil && !when.IsZero() && at.time < 0:
			at.time = i
		case not == "" && at.domain < 0:
			at.domain = i
		}
	}
	return at
}

func (c *counted) add(byHost map[string]*registry.HostCount, row []string, line int, at layout) {
	field := func(i int) string {
		if i < 0 || i >= len(row) {
			return ""
		}
		return strings.TrimSpace(row[i])
	}
	host, why := hostIn(field(at.email), field(at.domain), at.email >= 0)
	if why != "" {
		c.unusable++
		c.doubtful(line, why)
		return
	}
	n := 1
	if given := field(at.count); given != "" {
		var err error
		if n, err = strconv.Atoi(given); err != nil || n < 1 {
			c.unusable++
			c.doubtful(line, "its count is no whole number above 0")
			return
		}
	}
	when, err := parseTime(field(at.time))
	if err != nil {
		c.untimed++
		c.doubtful(line, err.Error())
	}
	c.addresses += n
	host = strings.ToLower(strings.Clone(host))
	h := byHost[host]
	if h == nil {
		byHost[host] = &registry.HostCount{Host: host, Addresses: n, Oldest: when, Newest: when}
		return
	}
	h.Addresses += n
	switch {
	case when.IsZero() || h.Oldest.IsZero():
		h.Oldest = time.Time{} // one unknown makes the oldest unknown
	case when.Before(h.Oldest):
		h.Oldest = when
	}
	if when.After(h.Newest) {
		h.Newest = when
	}
}

// hostIn is a row's host, or why there is none.
func hostIn(address, name string, addresses bool) (host, why string) {
	host, ok := name, name != "" && !strings.Contains(name, "@")
	if addresses {
		host, ok = domain.HostOf(address)
		ok = ok && (strings.Count(address, "@") == 1 || strings.HasPrefix(address, `"`))
	}
	switch {
	case addresses && (address == "" || address == `\N`), !addresses && (name == "" || name == `\N`):
		return "", "it is empty there"
	case !ok && addresses:
		return "", "it holds no e-mail address, or several"
	case !ok:
		return "", "it holds an address where a domain is expected: name the column by --email-column"
	case strings.ContainsAny(host, " \t\r\n,;:<>()\"'/?&=%|") && !strings.HasPrefix(host, "["): // what follows may name a person
		return "", "signs follow the address that no host has"
	}
	return host, ""
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

// timeLayouts are what databases export: RFC 3339, PostgreSQL, MySQL, BigQuery, Ruby, a date.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05 Z07:00",
	"2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly,
}

var errTime = errors.New("its time is in no known form and counts as unknown; known are 2026-03-01T12:00:00Z, 2026-03-01 12:00:00+00, 2026-03-01 and Unix time")

// parseTime reads the times that databases export; empty, null, \N and MySQL's zero date are unknown.
func parseTime(s string) (time.Time, error) {
	if s == "" || s == `\N` || strings.EqualFold(s, "null") || strings.HasPrefix(s, "0000-00-00") {
		return time.Time{}, nil
	}
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		if _, offset := t.Zone(); err == nil && (!strings.HasSuffix(layout, "MST") || offset == 0 && strings.HasSuffix(s, " UTC")) { // other abbreviations are ambiguous
			return t.UTC(), nil
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if strings.Trim(fraction, "0123456789") != "" || len(whole) != 10 && fraction != "" {
		return time.Time{}, errTime
	}
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil && s[0] != '-' && s[0] != '+' {
		switch len(whole) { // of the years 2001 to 2286
		case 10:
			return time.Unix(n, 0).UTC(), nil
		case 13:
			return time.UnixMilli(n).UTC(), nil
		case 16:
			return time.UnixMicro(n).UTC(), nil
		}
	}
	return time.Time{}, errTime
}
