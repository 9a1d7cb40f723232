package rdap

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

// maxRedirects is how many redirects are followed for one question.
const maxRedirects = 3

// Why a redirect is not followed.
var (
	errRedirect  = errors.New("a redirect that may not be followed")
	errNotPublic = errors.New("the address is not public")
)

// hop is one question on its way: whom it was put to, and where redirects took it.
type hop struct {
	table        *table
	server       server
	name         string
	sameServer   bool // the answer comes from the server that was asked
	sameQuestion bool // the answer's URL still ends in domain/NAME
}

// get sends the question and follows redirects, each judged before it is followed.
func (c *Client) get(ctx context.Context, h *hop) (*http.Response, error) {
	u, err := url.Parse(h.server.base + "domain/" + h.name)
	if err != nil {
		return nil, err
	}
	h.sameServer, h.sameQuestion = true, true
	via := c.direct
	for n := 0; ; n++ {
		req, err := c.request(ctx, u, "application/rdap+json")
		if err != nil {
			return nil, err
		}
		resp, err := via.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		location := resp.Header.Get("Location")
		if location == "" || !redirects(resp.StatusCode) {
			return resp, nil
		}
		_ = resp.Body.Close()
		to, err := u.Parse(location)
		switch {
		case err != nil:
			return nil, errRedirect
		case n == maxRedirects:
			return nil, fmt.Errorf("%w: more than %d", errRedirect, maxRedirects)
		case !h.mayFollow(to):
			return nil, fmt.Errorf("%w: to %s://%s", errRedirect, to.Scheme, to.Host)
		}
		u, via = to, c.followed
		h.sameServer = hostPort(u) == h.server.host
		h.sameQuestion = strings.HasSuffix(strings.ToLower(u.Path), "/domain/"+h.name)
	}
}

func (c *Client) request(ctx context.Context, u *url.URL, accept string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Accept": {accept}, "User-Agent": {c.cfg.UserAgent}}
	return req, nil
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// mayFollow allows https to a host of the bootstrap file, or to the host that was asked, and never an address that
// is not public, however the server that was asked is configured. A server without TLS, whose words anybody on the way
// may have written, leads nowhere but to itself.
func (h *hop) mayFollow(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	if u.Scheme != "https" || u.User != nil || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil && !public(ip) {
		return false
	}
	key := hostPort(u)
	if own, _, err := net.SplitHostPort(h.server.host); strings.HasPrefix(h.server.base, "http://") && (err != nil || host != own) {
		return false
	}
	return h.table.hosts[key] || key == h.server.host
}

// hostPort is the URL's host in lower case with its port, the scheme's own where none is given.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// notPublic are the addresses that no redirect may lead to, beyond those that netip names: the "not globally
// reachable" entries of IANA's special-purpose registries (RFC 6890), and prefixes that embed an IPv4 address.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// public says whether an address is one of the open internet.
func public(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// onlyPublic is a dialer's control: it sees the address after the name was resolved.
func onlyPublic(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr()) {
		return errNotPublic
	}
	return nil
}

type dialControl func(ctx context.Context, network, address string, conn syscall.RawConn) error

func newTransport(timeout time.Duration, control dialControl) *http.Transport {
	dialer := &net.Dialer{Timeout: timeout, ControlContext: control}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout,
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		ReadBufferSize:         16 << 10, // most answers arrive in one read
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// causeOfError names what kept an answer from coming.
func causeOfError(err error) source.Cause {
	switch {
	case errors.Is(err, errRedirect), errors.Is(err, errNotPublic):
		return source.CauseRedirect
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return source.CauseMalformed
	}
	return upstream.CauseOfError(err)
}
