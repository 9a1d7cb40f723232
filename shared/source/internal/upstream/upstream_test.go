package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lapseguard/lapseguard/shared/source"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestCauseOfError(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want source.Cause
	}{
		{fmt.Errorf("asking: %w", context.Canceled), source.CauseNotAsked},
		{fmt.Errorf("asking: %w", context.DeadlineExceeded), source.CauseTimeout},
		{fmt.Errorf("reading: %w", os.ErrDeadlineExceeded), source.CauseTimeout}, // a net.Error
		{errors.New("connection reset"), source.CauseUnreachable},
	} {
		if got := CauseOfError(tc.err); got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestCauseOfStatus(t *testing.T) {
	for status, want := range map[int]source.Cause{
		200: source.CauseNone, 202: source.CauseNone, 204: source.CauseNone, 299: source.CauseNone,
		300: source.CauseRedirect, 304: source.CauseRedirect, 399: source.CauseRedirect,
		400: source.CauseBadRequest, 401: source.CauseForbidden, 403: source.CauseForbidden,
		404: source.CauseBadRequest, 429: source.CauseRateLimited, 451: source.CauseForbidden,
		499: source.CauseBadRequest, 500: source.CauseServerError, 503: source.CauseServerError,
		999: source.CauseServerError,
	} {
		if got := CauseOfStatus(status); got != want {
			t.Errorf("%d: got %q, want %q", status, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "1.5": 0, "0": 0, " 120 ": 2 * time.Minute, "86400": 24 * time.Hour,
		"86401": MaxRetryAfter, "18446744073709551615": MaxRetryAfter, "99999999999999999999999": MaxRetryAfter,
		noon.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		noon.Format(http.TimeFormat):                       0,
		noon.Add(-time.Hour).Format(http.TimeFormat):       0,
		noon.Add(25 * time.Hour).Format(http.TimeFormat):   MaxRetryAfter,
		"Fri, 31 Dec 9999 23:59:59 GMT":                    MaxRetryAfter,
	} {
		if got := RetryAfter(header, noon); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, tc := range []struct {
		in    string
		limit int
		want  string
	}{
		{"", 9, ""}, {" ", 9, ""}, {"\x00", 9, ""}, {"a b", 9, "a b"}, {"a  b", 9, "a b"}, {" a b ", 9, "a b"},
		{"a\r\n\tb", 9, "a b"}, {"a\x7fb", 9, "a b"}, {"bücher", 9, "b cher"}, {"~!", 9, "~!"},
		{"abc", 2, "ab"}, {"a b", 2, "a"}, {"abc", 3, "abc"}, {"abc", 0, ""},
	} {
		if got := Printable(tc.in, tc.limit); got != tc.want {
			t.Errorf("%q at most %d: got %q, want %q", tc.in, tc.limit, got, tc.want)
		}
	}
	if got := Said(strings.Repeat("a", 1000)); len(got) != source.MaxSaid {
		t.Errorf("%d bytes said", len(got))
	}
}

// TestPrintableProperties: the short way for clean words and the long way agree, and nothing else gets out.
func TestPrintableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOfN(rapid.SampledFrom([]byte("ab ~\x00\n\x7f\xc3")), 0, 12).Draw(t, "in"))
		limit := rapid.IntRange(0, 13).Draw(t, "limit")
		got := Printable(in, limit)
		if len(got) > limit || got != Printable(got, limit) || got != strings.TrimSpace(got) || strings.Contains(got, "  ") {
			t.Fatalf("%q at most %d: %q", in, limit, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q at most %d: %q", in, limit, got)
		}
	})
}
