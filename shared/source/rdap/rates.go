package rdap

import (
	_ "embed"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed rates.txt
var ratesFile string

// Rate is how fast one server may be asked, and how that is known.
type Rate struct {
	Server    string  // the host: one budget for all names below it
	PerMinute float64 // questions
	Sure      string  // "published", "reported", "practice"; empty: nobody said, the rate is a cautious one
	Source    string
	Read      time.Time
}

// Every is the distance of two questions.
func (r Rate) Every() time.Duration { return time.Duration(float64(time.Minute) / r.PerMinute) }

// rates are the servers whose limit is known, by host; read once.
var rates = sync.OnceValue(func() map[string]Rate {
	list, err := parseRates(ratesFile)
	if err != nil {
		panic("rates.txt: " + err.Error()) // it is part of the program, and a test reads it
	}
	return list
})

// RateOf gives the rate of the server with a base URL; of one that nobody described, cautious, in questions a second.
func RateOf(base string, cautious float64) Rate {
	host := base
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		host = strings.ToLower(u.Host)
	}
	if r, ok := rates()[host]; ok {
		return r
	}
	return Rate{Server: host, PerMinute: 60 * cautious}
}

func parseRates(text string) (map[string]Rate, error) {
	list := map[string]Rate{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != 5 {
			return nil, fmt.Errorf("%q: %d columns in the place of 5", line, len(f))
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		u, err := url.Parse(f[0])
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("%q is no base URL", f[0])
		}
		r := Rate{Server: strings.ToLower(u.Host), Sure: f[2], Source: f[3]}
		if r.PerMinute, err = strconv.ParseFloat(f[1], 64); err != nil || !(r.PerMinute > 0) {
			return nil, fmt.Errorf("%s: %q is no rate", f[0], f[1])
		}
		if r.Read, err = time.Parse(time.DateOnly, f[4]); err != nil {
			return nil, fmt.Errorf("%s: %w", f[0], err)
		}
		if _, twice := list[r.Server]; twice || r.Source == "" || r.Sure != "published" && r.Sure != "reported" && r.Sure != "practice" {
			return nil, fmt.Errorf("%s: named twice, without a source, or %q sure", f[0], r.Sure)
		}
		list[r.Server] = r
	}
	return list, nil
}
