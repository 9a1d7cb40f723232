// Package upstream holds what the clients of HTTP upstreams have in common: which cause a failure or a refusal has,
// how long an upstream sends us away for, and how its words become fit for evidence.
package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/source"
)

// UserAgent names the product and a way to its makers (RFC 9110 section 10.1.5).
const UserAgent = "lapseguard (+https://github.com/lapseguard/lapseguard)"

// MaxRetryAfter is the longest time an upstream can send us away for; a longer one is cut to it, so that one
// hostile or mistaken header cannot switch off an upstream.
const MaxRetryAfter = 24 * time.Hour

// CauseOfError names what kept an answer from coming. The deadline is the question's own or the caller's; a caller
// that gave up did not wait for the answer.
func CauseOfError(err error) source.Cause {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return source.CauseNotAsked
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return source.CauseTimeout
	}
	return source.CauseUnreachable
}

// CauseOfStatus names what an HTTP status (RFC 9110 section 15) from 300 on says. For those below it is CauseNone:
// what they are worth depends on the protocol above.
func CauseOfStatus(status int) source.Cause {
	switch {
	case status == http.StatusTooManyRequests:
		return source.CauseRateLimited
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusUnavailableForLegalReasons:
		return source.CauseForbidden
	case status >= 500:
		return source.CauseServerError
	case status >= 400:
		return source.CauseBadRequest
	case status >= 300:
		return source.CauseRedirect
	}
	return source.CauseNone
}

// RetryAfter reads the header of that name (RFC 9110 section 10.2.3): seconds or a date. What it cannot read, and
// the past, is zero; it is never more than MaxRetryAfter.
func RetryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if n, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(MaxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil || !at.After(now) {
		return 0
	}
	return min(at.Sub(now), MaxRetryAfter)
}

// Printable keeps printable ASCII, one space for any run of anything else and none at the ends, at most limit bytes.
// It does not allocate for what is so already.
func Printable(s string, limit int) string {
	if clean(s, limit) {
		return s
	}
	out := make([]byte, 0, min(len(s), limit))
	for i := 0; i < len(s) && len(out) < limit; i++ {
		switch c := s[i]; {
		case c > ' ' && c <= '~':
			out = append(out, c)
		case len(out) > 0 && out[len(out)-1] != ' ':
			out = append(out, ' ')
		}
	}
	return strings.TrimSpace(string(out))
}

// clean says whether Printable would change nothing.
func clean(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	space := true // as if one stood in front
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == ' ' && space {
			return false
		}
		space = s[i] == ' '
	}
	return !space || s == ""
}

// Said makes a line of an upstream's words fit for source.Observation.Said.
func Said(line string) string { return Printable(line, source.MaxSaid) }
