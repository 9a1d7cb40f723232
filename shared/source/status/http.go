package status

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// causeOfError names what kept an answer from coming; a caller that gave up did not wait for it.
func causeOfError(err error) lifecycle.Cause {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return lifecycle.CauseNotAsked
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return lifecycle.CauseTimeout
	}
	return lifecycle.CauseUnreachable
}

// causeOfStatus names what a status other than 200 says. Redirects are never followed: they would carry the token
// elsewhere.
func causeOfStatus(status int) lifecycle.Cause {
	switch {
	case status == http.StatusTooManyRequests:
		return lifecycle.CauseRateLimited
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusUnavailableForLegalReasons:
		return lifecycle.CauseForbidden
	case status >= 500:
		return lifecycle.CauseServerError
	case status >= 400:
		return lifecycle.CauseBadRequest
	case status >= 300:
		return lifecycle.CauseRedirect
	}
	return lifecycle.CauseMalformed
}

// retryAfter reads the header (RFC 9110 section 10.2.3): seconds or a date. What it cannot read, and the past, is
// zero; it is never more than MaxRetryAfter.
func retryAfter(header string, now time.Time) time.Duration {
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
