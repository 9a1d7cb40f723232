package rdap

import (
	"bytes"
	"time"
)

// parseDate reads the date of an event. RFC 9083 wants RFC 3339; what is sent has other separators, no offset
// (taken as UTC), offsets without a colon, no time, a zone in brackets, or Java's and HTTP's form. It gives UTC in
// whole seconds, or the zero time for what is no date, and for what cannot be true of a domain: before 1985, the
// year of the first ones, or after 9999.
func parseDate(b []byte) time.Time {
	b, _, _ = bytes.Cut(bytes.TrimSpace(b), []byte("["))
	if len(b) < 8 || len(b) > 40 {
		return time.Time{}
	}
	t, ok := parseISO(b)
	if !ok {
		t = parseWords(string(b))
	}
	if y := t.Year(); y < 1985 || y > 9999 {
		return time.Time{}
	}
	return t
}

// parseISO reads year, month and day, then perhaps a time, then perhaps an offset.
func parseISO(b []byte) (time.Time, bool) {
	s := digits{rest: b}
	year := s.number(4)
	sep := s.skip("-./")
	month := s.number(2)
	if s.skip("-./") != sep {
		return time.Time{}, false
	}
	day := s.number(2)
	var hour, minute, second int
	if s.skip("Tt _") != 0 {
		hour = s.number(2)
		s.skip(":")
		minute = s.number(2)
		if s.skip(":") != 0 || s.digit() {
			second = s.number(2)
			s.fraction()
		}
	}
	offset := s.offset()
	if s.bad || len(s.rest) > 0 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	// A leap second (:60) becomes the next minute's first.
	midnight := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if midnight.Month() != time.Month(month) || midnight.Day() != day {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second-offset, 0, time.UTC), true
}

// parseWords reads the forms that spell the month. A zone is only believed where it is UTC: time.Parse takes
// abbreviations that it does not know for UTC.
func parseWords(s string) time.Time {
	for _, layout := range [...]string{
		time.RFC1123Z, time.RFC1123, time.UnixDate, "02-Jan-2006", "02-Jan-2006 15:04:05", "2-Jan-2006",
	} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		zone, offset := t.Zone()
		if layout != time.RFC1123Z && offset == 0 && zone != "UTC" && zone != "GMT" && zone != "" {
			return time.Time{}
		}
		return t.UTC()
	}
	return time.Time{}
}

// digits reads fixed-width numbers; bad says that something was not as expected.
type digits struct {
	rest []byte
	bad  bool
}

func (s *digits) digit() bool { return len(s.rest) > 0 && s.rest[0] >= '0' && s.rest[0] <= '9' }

func (s *digits) number(width int) int {
	n := 0
	for range width {
		if !s.digit() {
			s.bad = true
			return 0
		}
		n = 10*n + int(s.rest[0]-'0')
		s.rest = s.rest[1:]
	}
	return n
}

// skip takes one byte of set, and gives it, or 0.
func (s *digits) skip(set string) byte {
	if len(s.rest) == 0 || bytes.IndexByte([]byte(set), s.rest[0]) < 0 {
		return 0
	}
	c := s.rest[0]
	s.rest = s.rest[1:]
	return c
}

// fraction drops a fraction of a second.
func (s *digits) fraction() {
	if s.skip(".,") == 0 {
		return
	}
	s.bad = s.bad || !s.digit()
	for s.digit() {
		s.rest = s.rest[1:]
	}
}

// offset reads Z, UTC, GMT, +hh, +hhmm, +hh:mm or nothing, in seconds east.
func (s *digits) offset() int {
	s.rest = bytes.TrimSpace(s.rest)
	switch string(s.rest) {
	case "", "Z", "z", "UTC", "GMT":
		s.rest = nil
		return 0
	}
	sign := s.skip("+-")
	hours, minutes := s.number(2), 0
	if s.skip(":"); len(s.rest) > 0 {
		minutes = s.number(2)
	}
	s.bad = s.bad || sign == 0 || hours > 15 || minutes > 59
	if sign == '-' {
		return -(hours*60 + minutes) * 60
	}
	return (hours*60 + minutes) * 60
}
