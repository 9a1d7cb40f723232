package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/canary"
	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/source/rdap"
)

// listsCommand tells how old the lists are that the guard rests on.
type listsCommand struct {
	Bootstrap string   `help:"A bootstrap file in RFC 9224 form, to be compared with the built-in one." placeholder:"FILE"`
	Suffixes  string   `help:"A Public Suffix List, to be compared with the built-in one." placeholder:"FILE"`
	Fetch     string   `help:"Fetch the newest ones into this folder first, and compare with those." placeholder:"FOLDER"`
	From      []string `hidden:"" default:"${lists}"`
}

// listSources are where the lists are published: the bootstrap, then the suffixes.
var listSources = []string{rdap.DefaultBootstrap, "https://publicsuffix.org/list/public_suffix_list.dat"}

const (
	listTime    = 20 * time.Second
	maxListSize = 8 << 20
	// shownTLDs bounds the TLDs that are named where there are many.
	shownTLDs = 20
)

// Run prints what is built in, how old it is, and what changed since.
func (c *listsCommand) Run(ctx context.Context, s streams) error {
	if c.Fetch != "" {
		if err := c.fetch(ctx, s.out); err != nil {
			return err
		}
	}
	builtin, err := rdap.Builtin()
	if err != nil {
		return fmt.Errorf("the built-in bootstrap: %w", err)
	}
	supplement, err := rdap.Supplement()
	if err != nil {
		return err //nolint:wrapcheck // it names the list
	}
	listed, err := time.Parse(time.DateOnly, domain.ListDate)
	if err != nil {
		return fmt.Errorf("date of the public suffix list: %w", err)
	}
	fmt.Fprintf(s.out, "RDAP bootstrap      %s, %d TLDs\n", dated(builtin.Published), len(builtin.Servers))
	if err := c.compareBootstrap(s.out, builtin); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "RDAP supplement     %s, %d TLDs that IANA does not list\n", dated(supplement.Published), len(supplement.Servers))
	fmt.Fprintf(s.out, "Public Suffix List  %s\n", dated(listed))
	if err := c.compareSuffixes(s.out); err != nil {
		return err
	}
	return controls(s.out, builtin)
}

func dated(at time.Time) string {
	return fmt.Sprintf("of %s, %d days old", at.Format(time.DateOnly), int(time.Since(at)/(24*time.Hour)))
}

// fetch fetches the lists; without a network it says what it would fetch.
func (c *listsCommand) fetch(ctx context.Context, out io.Writer) error {
	if err := os.MkdirAll(c.Fetch, 0o750); err != nil {
		return fmt.Errorf("folder of the lists: %w", err)
	}
	for i, from := range c.From {
		to := filepath.Join(c.Fetch, path.Base(from))
		err := fetchList(ctx, from, to)
		if offline := (*url.Error)(nil); errors.As(err, &offline) {
			fmt.Fprintf(out, "would fetch %s to %s, but: %s\n", from, to, harmless(err.Error()))
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "fetched %s to %s\n", from, to)
		if i == 0 {
			c.Bootstrap = to
		} else {
			c.Suffixes = to
		}
	}
	return nil
}

// fetchList fetches one list whole, or leaves the file as it was.
func fetchList(ctx context.Context, from, to string) error {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", from, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err //nolint:wrapcheck // it names the URL
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxListSize+1))
	switch {
	case err != nil:
		return fmt.Errorf("fetch %s: %w", from, err)
	case res.StatusCode != http.StatusOK || len(body) > maxListSize:
		return fmt.Errorf("fetch %s: %s, %d bytes", from, res.Status, len(body))
	}
	if err := os.WriteFile(to+".part", body, 0o600); err != nil {
		return fmt.Errorf("keep %s: %w", from, err)
	}
	if err := os.Rename(to+".part", to); err != nil {
		return fmt.Errorf("keep %s: %w", from, err)
	}
	return nil
}

func (c *listsCommand) compareBootstrap(out io.Writer, builtin rdap.Directory) error {
	if c.Bootstrap == "" {
		return nil
	}
	data, err := os.ReadFile(c.Bootstrap)
	if err != nil {
		return fmt.Errorf("the bootstrap to compare with: %w", err)
	}
	other, err := rdap.ReadDirectory(data)
	if err != nil {
		return fmt.Errorf("the bootstrap %s: %w", c.Bootstrap, err)
	}
	more, gone, moved := builtin.Changes(other)
	fmt.Fprintf(out, "  %s: %s, %d TLDs\n", harmless(c.Bootstrap), dated(other.Published), len(other.Servers))
	for _, change := range []struct {
		what string
		tlds []string
	}{{"more", more}, {"gone", gone}, {"at another server", moved}} {
		fmt.Fprintf(out, "  %s: %s\n", change.what, some(change.tlds))
	}
	return nil
}

// listVersion is a suffix list's own date.
var listVersion = regexp.MustCompile(`(?m)^// VERSION: (\d{4}-\d\d-\d\d)`)

func (c *listsCommand) compareSuffixes(out io.Writer) error {
	if c.Suffixes == "" {
		return nil
	}
	data, err := os.ReadFile(c.Suffixes)
	if err != nil {
		return fmt.Errorf("the suffix list to compare with: %w", err)
	}
	version := listVersion.FindSubmatch(data)
	if version == nil {
		return fmt.Errorf("the suffix list %s has no VERSION", c.Suffixes)
	}
	more, gone := domain.ListChanges(string(data))
	fmt.Fprintf(out, "  %s: of %s\n  more: %s\n  gone: %s\n", harmless(c.Suffixes), version[1], some(more), some(gone))
	return nil
}

// controls tells how many zones and servers have names whose answer is known.
func controls(out io.Writer, builtin rdap.Directory) error {
	set, err := canary.NewReal(nil, "free")
	if err != nil {
		return fmt.Errorf("control names: %w", err)
	}
	zones, tlds := set.Zones(), map[string]bool{}
	for zone := range zones {
		tlds[zone[strings.LastIndexByte(zone, '.')+1:]] = true
	}
	var without []string
	known, servers := map[string]bool{}, map[string]bool{}
	for tld, base := range builtin.Servers {
		servers[base] = true
		if tlds[tld] {
			known[base] = true
		} else {
			without = append(without, tld)
		}
	}
	slices.Sort(without)
	_, err = fmt.Fprintf(out, "Control names       for %d zones, of which %d have a candidate alone (dropped when it is denied for a week)\n"+
		"  TLDs with an RDAP server and without one: %s\n  RDAP servers without one: %d of %d\n",
		len(zones), len(zones)-set.Confirmed(), some(without), len(servers)-len(known), len(servers))
	return err //nolint:wrapcheck // of the output itself
}

// some names the first of many.
func some(tlds []string) string {
	text := fmt.Sprint(len(tlds))
	if len(tlds) > 0 {
		text += " (" + strings.Join(tlds[:min(len(tlds), shownTLDs)], " ")
		if len(tlds) > shownTLDs {
			text += " ..."
		}
		text += ")"
	}
	return harmless(text)
}
