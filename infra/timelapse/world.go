package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

//go:embed world.yaml
var worldText []byte

// World is the file of parameters; world.yaml says what each means and where it is from.
type World struct {
	Start    time.Time         `yaml:"start"`
	RunsAt   int               `yaml:"runs_at"`
	WarmUp   int               `yaml:"warm_up_days"`
	Courses  map[string]Course `yaml:"courses"`
	TLDs     []TLD             `yaml:"tlds"`
	Kinds    []Kind            `yaml:"kinds"`
	Least    int               `yaml:"least"`
	Story    Story             `yaml:"story"`
	Accounts Accounts          `yaml:"accounts"`
	Answers  Answers           `yaml:"answers"`
	Faults   []Fault           `yaml:"faults"`
	Peers    struct {
		PyPI     Peer `yaml:"pypi"`
		RubyGems Peer `yaml:"rubygems"`
	} `yaml:"peers"`
}

// Range is a number of days or hours, from and to, both included.
type Range [2]int

// Course is how a registry takes a name from expiry to release. Days.
type Course struct {
	AutoRenew         bool     `yaml:"auto_renew"`
	Grace             Range    `yaml:"grace"`
	OffBeforeDeletion int      `yaml:"off_before_deletion"`
	Redemption        int      `yaml:"redemption"`
	RedemptionSays    []string `yaml:"redemption_says"`
	RedemptionAbsent  bool     `yaml:"redemption_absent"` // the registry answers as if there were no such name
	StaysInZone       bool     `yaml:"stays_in_zone"`
	Pending           int      `yaml:"pending"`
	PendingSays       []string `yaml:"pending_says"`
}

// Listing says who names a TLD's RDAP server.
type Listing string

// The listings.
const (
	ListedIANA         Listing = "iana"
	ListedSupplemental Listing = "supplemental"
	ListedNone         Listing = "none"
)

// TLD is a zone in which names are sold.
type TLD struct {
	Suffix  string  `yaml:"suffix"`
	Share   float64 `yaml:"share"`
	Course  string  `yaml:"course"`
	RDAP    Listing `yaml:"rdap"`
	Server  string  `yaml:"server"`
	Control bool    `yaml:"control"`
}

// Where is a group of TLDs that a kind is played in.
type Where string

// The groups.
const (
	Anywhere          Where = "any"
	InGTLD            Where = "gtld"
	InIANA            Where = "iana"
	InSupplemental    Where = "supplemental"
	InNone            Where = "none"
	InUndescribed     Where = "undescribed"
	country                 = "country"
	minDomains              = 50
	largestGroupShare       = 4
)

// where is the group that a TLD belongs to.
func (t TLD) where() Where {
	switch {
	case !lifecycle.TLDOf(t.Suffix).Described:
		return InUndescribed
	case lifecycle.TLDOf(t.Suffix) == lifecycle.TLDOf("com"):
		return InGTLD
	default:
		return Where(t.RDAP)
	}
}

// country tells whether the TLD is one of a country.
func (t TLD) country() bool { return t.where() != InGTLD }

// in tells whether a kind of that group is played in the TLD.
func (t TLD) in(w Where) bool { return w == Anywhere || t.where() == w }

// Kind is one kind of thing that happens to a domain.
type Kind struct {
	Name   string  `yaml:"name"`
	Where  Where   `yaml:"where"`
	Rate   float64 `yaml:"rate"`   // per domain of its TLDs and year
	Factor float64 `yaml:"factor"` // by how much it is oversampled
	Group  int     `yaml:"group"`  // how many domains one case has; 0: one
	Once   bool    `yaml:"once"`   // one case, in the oversampled world alone
	Alike  bool    `yaml:"alike"`  // the next owner shows nothing that the holder would not show
	Means  string  `yaml:"means"`
}

// Story holds what the kinds have in common.
type Story struct {
	ParkedAfter     Range   `yaml:"parked_after"`
	LateRenewal     Range   `yaml:"late_renewal"`
	AbuseDays       Range   `yaml:"abuse_days"`
	TakenOutDays    Range   `yaml:"taken_out_days"`
	DownHours       Range   `yaml:"servers_down_hours"`
	SoldAfter       Range   `yaml:"sold_after"`
	RestoreAfter    Range   `yaml:"restore_after"`
	TakenAtOnce     float64 `yaml:"taken_at_once"`
	TakenLater      float64 `yaml:"taken_later"`
	TakenAtOnceTrue float64 `yaml:"taken_at_once_true"`
	TakenLaterTrue  float64 `yaml:"taken_later_true"`
	MovedWithMail   float64 `yaml:"moved_with_mail"`
	PortfolioGrace  int     `yaml:"portfolio_grace"`
	ClaimedAfter    Range   `yaml:"claimed_after"`
	LameHours       int     `yaml:"lame_hours"`
	MovingHours     Range   `yaml:"moving_hours"`
	HalfDays        Range   `yaml:"half_days"`
}

// Accounts are the registry's.
type Accounts struct {
	Another      float64 `yaml:"another"`
	Below        float64 `yaml:"below"`
	VerifiedDays Range   `yaml:"verified_days"`
	UnknownTimes float64 `yaml:"unknown_times"`
	Between      float64 `yaml:"between"`
	After        float64 `yaml:"after"`
}

// Answers are how upstreams answer.
type Answers struct {
	Fails         float64 `yaml:"fails"`
	OwnMail       float64 `yaml:"own_mail"`
	Providers     int     `yaml:"providers"`
	DNSHosts      int     `yaml:"dns_hosts"`
	StatusWrong   float64 `yaml:"status_wrong"`
	StatusSilent  float64 `yaml:"status_silent"`
	RegistrarDate float64 `yaml:"registrar_expiration"`
}

// Fault is what an upstream does wrong for some days.
type Fault struct {
	Source    string  `yaml:"source"` // delegation, rdap, or registry: both
	Suffix    string  `yaml:"suffix"`
	From      float64 `yaml:"from"` // share of the simulated time
	Days      int     `yaml:"days"`
	What      string  `yaml:"what"`        // silent, absent, deleted
	NamesADay int     `yaml:"names_a_day"` // of 5,000 domains
}

// Peer is another registry's policy.
type Peer struct {
	EveryDays int      `yaml:"every_days"`
	ADay      int      `yaml:"a_day"`   // addresses that it asks about in a day; 0: all
	AtMost    int      `yaml:"at_most"` // accounts in a run; more: none of them; 0: no limit
	ActsOn    []string `yaml:"acts_on"`
}

// LoadWorld reads the parameters that are built in.
func LoadWorld() (*World, error) { return parseWorld(worldText) }

func parseWorld(text []byte) (*World, error) {
	var w World
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&w); err != nil {
		return nil, fmt.Errorf("world.yaml: %w", err)
	}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("world.yaml: %w", err)
	}
	return &w, nil
}

func (w *World) check() error {
	var errs []error
	for _, t := range w.TLDs {
		if _, ok := w.Courses[t.Course]; !ok {
			errs = append(errs, fmt.Errorf(".%s: there is no course %q", t.Suffix, t.Course))
		}
		if !slices.Contains([]Listing{ListedIANA, ListedSupplemental, ListedNone}, t.RDAP) || (t.Server == "") != (t.RDAP == ListedNone) {
			errs = append(errs, fmt.Errorf(".%s: rdap %q and server %q do not fit", t.Suffix, t.RDAP, t.Server))
		}
	}
	for _, k := range w.Kinds {
		if stories[k.Name] == nil {
			errs = append(errs, fmt.Errorf("kind %q: there is no story for it", k.Name))
		}
		if !slices.ContainsFunc(w.TLDs, func(t TLD) bool { return t.in(k.Where) }) {
			errs = append(errs, fmt.Errorf("kind %q: no TLD is %q", k.Name, k.Where))
		}
	}
	for _, f := range w.Faults {
		known := slices.ContainsFunc(w.TLDs, func(t TLD) bool { return t.Suffix == f.Suffix })
		if !known || !slices.Contains([]string{"rdap", "delegation", "registry"}, f.Source) || !slices.Contains([]string{"silent", "absent", "deleted"}, f.What) {
			errs = append(errs, fmt.Errorf("fault %+v is none", f))
		}
	}
	return errors.Join(errs...)
}

// expected is how many of n domains a kind happens to within days, at its true rate.
func (w *World) expected(k Kind, n, days int) float64 {
	share, all := 0.0, 0.0
	for _, t := range w.TLDs {
		all += t.Share
		if t.in(k.Where) {
			share += t.Share
		}
	}
	return k.Rate * float64(n) * share / all * float64(days) / 365
}

// cases is how many cases of a kind a world of n domains has over some days: at its true rate, or oversampled and
// then Least at least.
func (w *World) cases(k Kind, n, days int, oversampled bool) int {
	if k.Once {
		if oversampled {
			return 1
		}
		return 0
	}
	expected := w.expected(k, n, days)
	if k.Group > 1 {
		expected /= float64(k.Group)
	}
	if !oversampled {
		return int(expected + 0.5)
	}
	least := w.Least
	if k.Group > 1 {
		least = (w.Least + k.Group - 1) / k.Group // each of its domains is a case
	}
	return max(least, int(expected*k.Factor+0.5))
}

// group is how many domains one case of a kind has in a world of n.
func (k Kind) group(n int) int { return max(1, min(k.Group, n/largestGroupShare)) }

// lastLabel is a name's top-level domain.
func lastLabel(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
