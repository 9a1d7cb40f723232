package rdap

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Directory is a list of RDAP servers as a person compares it with another.
type Directory struct {
	Published time.Time
	Servers   map[string]string // base URL by TLD
}

// Builtin is IANA's bootstrap as it is part of the program.
func Builtin() (Directory, error) { return ReadDirectory(ianaFile) }

// ReadDirectory reads a bootstrap in RFC 9224 form.
func ReadDirectory(data []byte) (Directory, error) {
	c := Client{cfg: Config{NoSupplemental: true}}
	t, err := c.parse(data)
	if err != nil {
		return Directory{}, err
	}
	return t.directory(), nil
}

func (t *table) directory() Directory {
	d := Directory{Published: t.published, Servers: map[string]string{}}
	for tld, s := range t.servers {
		d.Servers[tld] = s.base
	}
	return d
}

// Supplement is the list of country TLDs' servers that IANA does not name, as it is part of the program; published when
// its newest line was.
func Supplement() (Directory, error) {
	t := &table{servers: map[string]server{}, hosts: map[string]bool{}}
	if err := t.supplement(supplementalFile); err != nil {
		return Directory{}, err
	}
	var file struct {
		Servers []struct {
			Updated string `json:"dateUpdated"`
		} `json:"ccTldRdapServers"`
	}
	if err := json.Unmarshal(supplementalFile, &file); err != nil {
		return Directory{}, fmt.Errorf("the supplemental list: %w", err)
	}
	d := t.directory()
	for _, s := range file.Servers {
		if at, err := time.Parse(time.DateOnly, s.Updated); err == nil && at.After(d.Published) {
			d.Published = at
		}
	}
	return d, nil
}

// Changes are the TLDs that a newer directory has more, has no more, and has at another server, each in order.
func (d Directory) Changes(newer Directory) (more, gone, moved []string) {
	for tld, base := range newer.Servers {
		switch old, ok := d.Servers[tld]; {
		case !ok:
			more = append(more, tld)
		case old != base:
			moved = append(moved, tld)
		}
	}
	for tld := range d.Servers {
		if _, ok := newer.Servers[tld]; !ok {
			gone = append(gone, tld)
		}
	}
	for _, tlds := range [][]string{more, gone, moved} {
		slices.Sort(tlds)
	}
	return more, gone, moved
}
