package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

const (
	// MaxPage is the largest limit of List.
	MaxPage = 10_000
	// MaxAddresses is the most addresses that a host or an answer may count: a hundred times what the largest
	// registries have. More is a mistake, and sums of it would overflow.
	MaxAddresses = 1_000_000_000
	// ClockSkew is how far the registry's clock may be ahead of another.
	ClockSkew = 24 * time.Hour
	// maxHost is the longest host in bytes (RFC 5321 section 4.5.3.1.2).
	maxHost = 255
)

type wireHost struct {
	Host      string      `json:"host"`
	Addresses *int        `json:"addresses"`
	Oldest    *time.Time  `json:"oldest"`
	Newest    *time.Time  `json:"newest"`
	Closed    *wireClosed `json:"closed"`
}

type wireClosed struct {
	Addresses       *int       `json:"addresses"`
	Since           *time.Time `json:"since"`
	ContinuousUntil *time.Time `json:"continuous_until"`
	Reported        int        `json:"reported"`
}

type wirePage struct {
	Hosts        []wireHost `json:"hosts"`
	Next         string     `json:"next"`
	Complete     bool       `json:"complete"`
	AsOf         time.Time  `json:"as_of"`
	Recovery     bool       `json:"recovery"`
	MailIsSignIn bool       `json:"mail_is_sign_in"`
}

// List reads the page of hosts after a host (empty: from the start), at most limit (1 to MaxPage). With a
// non-zero changedSince only what changed at that time or later, hosts that left (0 addresses) among it.
// A page that does not fit the contract is an error as a whole: a list half believed is worse than none.
func (c *Client) List(ctx context.Context, after string, limit int, changedSince time.Time) (Page, error) {
	page, err := c.list(ctx, after, limit, changedSince)
	if err != nil {
		return Page{}, fmt.Errorf("list e-mail domains after %q: %w", clean(after, maxHost), err)
	}
	return page, nil
}

func (c *Client) list(ctx context.Context, after string, limit int, changedSince time.Time) (Page, error) {
	switch {
	case limit < 1 || limit > MaxPage:
		return Page{}, invalidRequest(fmt.Sprintf("limit %d is not from 1 to %d", limit, MaxPage))
	case after != "" && !validHost(after):
		return Page{}, invalidRequest("the cursor is no host")
	}
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		query.Set("after", after)
	}
	if !changedSince.IsZero() {
		query.Set("changed_since", changedSince.UTC().Format(time.RFC3339Nano))
	}
	out, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/email-domains", query: query, limit: maxPageBody})
	if err != nil {
		return Page{}, err
	}
	if out.status != http.StatusOK {
		return Page{}, badAnswer(fmt.Sprintf("status %d to a list", out.status))
	}
	page, doubtful, err := parsePage(out.body, after, limit, !changedSince.IsZero())
	if doubtful > 0 {
		c.cfg.Log.WarnContext(ctx, "registry_times_not_believed", "hosts", doubtful, "after", clean(after, maxHost),
			"meaning", "a verification time before 1970 or later than the list itself; it counts as unknown")
	}
	return page, err
}

// parsePage reads and checks a page. It counts the hosts with times that are not believed: one such time in a
// registry's records is no reason to watch nothing at all, but an oldest verification that lies in the future would
// make every lapse look earlier than it.
func parsePage(data []byte, after string, limit int, changes bool) (page Page, doubtful int, err error) {
	wire, err := checkPage(data, limit)
	if err != nil {
		return Page{}, 0, err
	}
	page = Page{Hosts: make([]HostCount, len(wire.Hosts)), Next: wire.Next, Complete: wire.Complete, AsOf: wire.AsOf.UTC(),
		Recovery: wire.Recovery, MailIsSignIn: wire.MailIsSignIn}
	before := after
	for i, h := range wire.Hosts {
		if problem := h.check(before, changes); problem != "" {
			return Page{}, 0, badAnswer(fmt.Sprintf("host %d of the page: %s", i+1, problem)) // by number: it may be an address
		}
		before = h.Host
		oldest, okOldest := instant(h.Oldest, page.AsOf)
		newest, okNewest := instant(h.Newest, page.AsOf)
		if !okOldest || !okNewest {
			oldest, newest = time.Time{}, time.Time{}
			doubtful++
		}
		page.Hosts[i] = HostCount{Host: h.Host, Addresses: *h.Addresses, Oldest: oldest, Newest: newest, Closed: h.Closed.count()}
	}
	return page, doubtful, nil
}

// checkPage reads a page and checks what stands beside its hosts.
func checkPage(data []byte, limit int) (wirePage, error) {
	var wire wirePage
	if err := json.Unmarshal(data, &wire); err != nil {
		return wire, badAnswer("the page is not the JSON that the contract describes") // the error quotes the body
	}
	switch n := len(wire.Hosts); {
	case wire.Hosts == nil:
		return wire, badAnswer("no hosts")
	case n > limit:
		return wire, badAnswer(fmt.Sprintf("%d hosts where %d were asked for", n, limit))
	case wire.AsOf.IsZero():
		return wire, badAnswer("no as_of")
	case wire.Next != "" && wire.Complete:
		return wire, badAnswer("complete, and yet there is a next page")
	case wire.Next != "" && (n == 0 || wire.Next != wire.Hosts[n-1].Host):
		return wire, badAnswer("next is not the page's last host")
	}
	return wire, nil
}

func (h wireHost) check(before string, changes bool) string {
	switch {
	case !validHost(h.Host):
		return "not a host"
	case h.Host <= before:
		return "not ascending, or not after the cursor"
	case h.Addresses == nil:
		return "no number of addresses"
	case *h.Addresses < 0:
		return "a negative number of addresses"
	case *h.Addresses > MaxAddresses:
		return fmt.Sprintf("more than %d addresses", MaxAddresses)
	case *h.Addresses == 0 && !changes && h.Closed == nil:
		return "no addresses, in a list of hosts in use"
	case h.Oldest != nil && h.Newest != nil && h.Oldest.After(*h.Newest):
		return "the oldest verification is newer than the newest"
	}
	return h.Closed.check()
}

func (c *wireClosed) check() string {
	switch {
	case c == nil:
		return ""
	case c.Addresses == nil || *c.Addresses < 1 || *c.Addresses > MaxAddresses:
		return "closed, and yet no number of closed addresses that can be"
	case c.Since == nil || c.Since.IsZero() || c.ContinuousUntil == nil || c.ContinuousUntil.IsZero():
		return "closed without since or continuous_until"
	case c.ContinuousUntil.After(*c.Since):
		return "closed with a continuous_until after since"
	case strange(*c.Since) || strange(*c.ContinuousUntil):
		return "closed at a time before 1970 or after the year 9999"
	case c.Reported < 0:
		return "a negative number of reported accounts"
	}
	return ""
}

func (c *wireClosed) count() Closed {
	if c == nil {
		return Closed{}
	}
	return Closed{Addresses: *c.Addresses, Since: c.Since.UTC(), ContinuousUntil: c.ContinuousUntil.UTC(), Reported: c.Reported}
}

// validHost is the contract's pattern, no more: what a host is worth is decided by package domain.
func validHost(s string) bool {
	return s != "" && len(s) <= maxHost && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == '@' || unicode.IsSpace(r) || unicode.IsControl(r) })
}

// instant is a verification time, zero when it is unknown; false when it cannot be one.
func instant(t *time.Time, asOf time.Time) (time.Time, bool) {
	switch {
	case t == nil || t.IsZero():
		return time.Time{}, true
	case t.Unix() <= 0 || t.After(asOf.Add(ClockSkew)):
		return time.Time{}, false
	}
	return t.UTC(), true
}
