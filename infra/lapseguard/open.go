package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/lapseguard/lapseguard/shared/domain"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

// guardFile is the file of table and queue in a demonstration's folder.
const guardFile = "guard.db"

// defaultState is the folder of a demonstration, which commands read where none is named.
const defaultState = ".lapseguard/demo"

// find gives the file of a local store: the path itself, or the one store in the folder.
func find(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no store at %s: run `lapseguard demo`, or an audit with --keep, or name another with --state", path)
	}
	if err != nil {
		return "", fmt.Errorf("local store: %w", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	guard := filepath.Join(path, guardFile)
	if _, err := os.Stat(guard); err == nil {
		return guard, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.db"))
	if err != nil {
		return "", fmt.Errorf("local store in %s: %w", path, err)
	}
	switch len(files) {
	case 0:
		return "", fmt.Errorf("the folder %s holds no store: run `lapseguard demo`, or an audit with --keep, or name another with --state", path)
	case 1:
		return files[0], nil
	default:
		return "", fmt.Errorf("the folder %s holds several stores: name one with --state: %s", path, strings.Join(files, ", "))
	}
}

// openStore opens an existing local store as of its own clock: a demonstration's stands still between its runs.
func openStore(path string) (s *bolt.Store, now time.Time, err error) {
	file, err := find(path)
	if err != nil {
		return nil, now, err
	}
	now = time.Now().UTC()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(file), "clock"))
	switch {
	case err == nil:
		if now, err = time.Parse(time.RFC3339, strings.TrimSpace(string(b))); err != nil {
			return nil, now, fmt.Errorf("clock of the local store: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, now, fmt.Errorf("clock of the local store: %w", err)
	}
	s, err = bolt.Open(file, bolt.Options{Now: func() time.Time { return now }})
	if _, missing := os.Stat(file + copySuffix); errors.Is(err, bolt.ErrInUse) && missing == nil { // serve has it: read its copy, at most a tick old
		s, err = bolt.Open(file+copySuffix, bolt.Options{Now: func() time.Time { return now }})
	}
	return s, now, err
}

// tables say which store is read: a local one, or a deployed guard's.
type tables struct {
	State   string `aliases:"dir" default:".lapseguard/demo" help:"Folder or file of a local store: of a demonstration, of serve, or of an audit with --keep."`
	Domains string `name:"domains-table" and:"tables" help:"Read a deployed guard instead: the stack's output DomainsTableName."`
	Records string `name:"records-table" and:"tables" help:"And its output RecordsTableName."`
}

// cloudTime bounds what is asked of a deployed guard.
const cloudTime = time.Minute

// open gives the store, its present, and what closes it.
func (t tables) open(ctx context.Context) (store.Store, time.Time, func() error, error) {
	if t.Domains == "" {
		st, now, err := openStore(t.State)
		if err != nil {
			return nil, now, nil, err
		}
		return st, now, st.Close, nil
	}
	now := time.Now().UTC()
	aws, err := loadAWS(ctx)
	if err != nil {
		return nil, now, nil, err
	}
	st := dynamo.New(dynamodb.NewFromConfig(aws), dynamo.Config{DomainsTable: t.Domains, RecordsTable: t.Records})
	return st, now, func() error { return nil }, nil
}

// hostOf takes what a person writes: a domain, a host below one, or a whole address, of which only the host is used.
func hostOf(s string) string {
	s = strings.TrimSpace(s)
	if host, ok := domain.HostOf(s); ok {
		return host
	}
	return s
}

// registrable maps it to the domain that is watched.
func registrable(s string) (domain.Name, error) {
	name, reason := domain.Parse(hostOf(s))
	if reason != "" {
		return name, fmt.Errorf("%q is not a domain that can be watched: %s", masked(hostOf(s)), reason)
	}
	return name, nil
}

// address is what looks like an e-mail address, in the spellings of @ that Unicode has.
var address = regexp.MustCompile(`\S*[@\x{ff20}\x{fe6b}]\S*`)

// quotedAddress is the same within a string of JSON, which it does not leave.
var quotedAddress = regexp.MustCompile(`[^\s"\\]*[@\x{ff20}\x{fe6b}][^\s"\\]*`)

// masked makes words of other parties fit to be shown: no e-mail address, and nothing that steers a terminal.
func masked(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return address.ReplaceAllString(s, "[masked]")
}

// given is the time a person named, or the other where none is named.
func given(now string, other time.Time) (time.Time, error) {
	if now == "" {
		return other, nil
	}
	at, err := parseTime(now)
	if err != nil || at.IsZero() {
		return other, fmt.Errorf("--now %q is not a time: write 2026-03-01T12:00:00Z", now)
	}
	return at, nil
}
