package records

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
)

// Run is the current daily run, resumable at each of its fields. It is one item: PKGuard, "run".
type Run struct {
	ID       string            `json:"id"` // its start, sortable
	Started  lifecycle.Instant `json:"at"`
	Sync     Sync              `json:"sync"`
	Segments int               `json:"segments"`
	Sent     bool              `json:"sent"`             // every segment is dispatched
	Complete bool              `json:"complete"`         // every message was answered
	Watched  int               `json:"watched"`          // domains dispatched
	Closed   int               `json:"closed,omitempty"` // of these: control is not continuous
	// Addresses are those at the watched domains.
	Addresses int `json:"addresses,omitempty"`
	// Unseen counts by TLD the domains whose lapse nobody would see.
	Unseen map[string]int `json:"unseen,omitempty"`
	// First is what is left of the first scan, by RDAP server, at FirstAt.
	First   map[string]First  `json:"first,omitempty"`
	FirstAt lifecycle.Instant `json:"first_at,omitempty"`
	Skipped int               `json:"skipped,omitempty"` // items that this version cannot read
	Canary  string            `json:"canary,omitempty"`  // the synthetic domain that this run planted
}

// Blind tells whether the run had to skip more domains than it asked about: it is no complete one, whatever was answered.
func (r Run) Blind() bool { return r.Skipped > r.Watched }

// UnseenAll is how many domains there are whose lapse nobody would see.
func (r Run) UnseenAll() (n int) {
	for _, c := range r.Unseen {
		n += c
	}
	return n
}

// UnseenWords names their TLDs, the largest first; empty where there are none.
func (r Run) UnseenWords() string {
	if len(r.Unseen) == 0 {
		return ""
	}
	tlds := slices.SortedFunc(maps.Keys(r.Unseen), func(a, b string) int { return cmp.Or(cmp.Compare(r.Unseen[b], r.Unseen[a]), cmp.Compare(a, b)) })
	words := make([]string, 0, len(tlds))
	for _, tld := range tlds[:min(len(tlds), 10)] {
		words = append(words, fmt.Sprintf("%s %d", tld, r.Unseen[tld]))
	}
	more := ""
	if len(tlds) > 10 {
		more = fmt.Sprintf(", and %d more TLDs", len(tlds)-10)
	}
	return fmt.Sprintf("nobody would see a lapse of %d: their zones need not show it, and nobody can be asked (%s%s)", r.UnseenAll(), strings.Join(words, ", "), more)
}

// Sync is how far the registry's list was worked through.
type Sync struct {
	Whole    bool              `json:"whole"`
	Since    lifecycle.Instant `json:"since,omitempty"` // changed_since of an incremental list
	After    string            `json:"after,omitempty"` // cursor
	AsOf     lifecycle.Instant `json:"as_of,omitempty"` // of the first page
	Listed   int               `json:"listed"`          // hosts in the list
	Known    int               `json:"known"`           // hosts in the table before
	Gone     int               `json:"gone"`            // known hosts that the list does not have
	Changed  int               `json:"changed"`
	Listing  bool              `json:"listing_done"`
	Done     bool              `json:"done"`
	Believed bool              `json:"believed"`           // complete, and not shrunk: hosts that left were marked
	Accepted bool              `json:"accepted,omitempty"` // an operator accepted that the list lost so many
	// Uncovered counts hosts whose domain cannot be watched; of a list of changes, how many more there are.
	Uncovered int `json:"uncovered,omitempty"`
	// Behind: the run was dispatched before the list was worked through. It goes on, and what it brings is asked then.
	Behind bool `json:"behind,omitempty"`
	// Recovery: the first page says that the registry closes account recovery and opens it again. MailIsSignIn: that a
	// mail alone signs in there.
	Recovery     bool `json:"recovery,omitempty"`
	MailIsSignIn bool `json:"mail_is_sign_in,omitempty"`
	// Reported counts accounts that may have been taken; of a list of changes, how many more there are.
	Reported int `json:"reported,omitempty"`
}

// Synced is what the next sync starts from. PKGuard, "synced".
type Synced struct {
	WholeAt lifecycle.Instant `json:"whole_at"`
	AsOf    lifecycle.Instant `json:"as_of"`
	Hosts   int               `json:"hosts"`
	Counted bool              `json:"counted,omitempty"` // every host's addresses are in its domain's Count
	// Uncovered counts hosts whose domain cannot be watched although somebody could come to own it.
	Uncovered int `json:"uncovered,omitempty"`
	// Accepted is when an operator accepted the next list however much it shrank; 0: nobody did.
	Accepted lifecycle.Instant `json:"accepted,omitempty"`
	// Recovery: the registry closes account recovery and opens it again, as its list said last. MailIsSignIn: a mail alone
	// signs in there. Reported: accounts that may have been taken.
	Recovery     bool `json:"recovery,omitempty"`
	MailIsSignIn bool `json:"mail_is_sign_in,omitempty"`
	Reported     int  `json:"reported,omitempty"`
}

// Segment is how far a segment of the table was dispatched. RunPK, "c/N".
type Segment struct {
	Cursor  string `json:"cursor"`
	Part    int    `json:"part"`
	Done    bool   `json:"done"`
	Watched int    `json:"watched"`
	Closed  int    `json:"closed,omitempty"`
	// Addresses are those at the watched domains.
	Addresses int `json:"addresses,omitempty"`
	// Phases counts the watched domains by phase; Unknown those of which nothing could be believed for a week.
	Phases  map[lifecycle.Phase]int `json:"phases,omitempty"`
	Unknown int                     `json:"unknown,omitempty"`
	// Unseen counts by TLD the domains whose lapse nobody would see.
	Unseen map[string]int `json:"unseen,omitempty"`
	// First is what is left of the first scan, by RDAP server.
	First map[string]First `json:"first,omitempty"`
	// Skipped counts items that this version cannot read, of a newer schema or damaged.
	Skipped int `json:"skipped,omitempty"`
}

// Sent lists messages that a run sent. RunPK, "s/…". Answered messages have a Marker: RunPK, "m/ID".
type Sent struct {
	IDs []SentID `json:"ids"`
}

// SentID names a message and the upstream it asks.
type SentID struct {
	ID       string `json:"id"`
	Upstream string `json:"u"` // kind/upstream
}

// Marker says that a message was answered, and which messages it raised.
type Marker struct {
	Checked int      `json:"checked"`
	Unknown int      `json:"unknown"`
	Raised  []SentID `json:"raised,omitempty"`
}

// RunTTL is how long a run's parts are kept.
const RunTTL = 14 * 24 * time.Hour

// Tally is what became of a run's messages.
type Tally struct {
	Answered int            // messages
	Checked  int            // domains looked at
	Missing  map[string]int // messages without an answer, by kind/upstream
	Good     map[string]int // answers that could be believed, by kind/upstream
}

// Heard is how many answers could be believed.
func (t Tally) Heard() (n int) {
	for _, good := range t.Good {
		n += good
	}
	return n
}

// Deaf tells whether most of what the run asked brought no answer to believe: whatever was marked, nobody was watched.
func (t Tally) Deaf() bool { return 2*t.Heard() < t.Checked }

// Balance compares what a run sent with what was answered.
func (b Book) Balance(ctx context.Context, run string) (Tally, error) {
	t := Tally{Missing: map[string]int{}, Good: map[string]int{}}
	sent := map[string]string{}
	markers := map[string]Marker{}
	for _, pk := range []string{RunPK(run), answeredPK(run)} {
		for it, err := range b.Items(ctx, store.Query{PK: pk}) {
			if err != nil {
				return t, err
			}
			ids, err := sentBy(it, markers)
			if err != nil {
				return t, err
			}
			for _, id := range ids {
				sent[id.ID] = id.Upstream
			}
		}
	}
	for id, upstream := range sent {
		m, ok := markers[id]
		if !ok {
			t.Missing[upstream]++
			continue
		}
		t.Answered++
		t.Checked += m.Checked
		t.Good[upstream] += m.Checked - m.Unknown
	}
	return t, nil
}

// sentBy are the messages that a part of a run says were sent; markers are noted.
func sentBy(it store.Item, markers map[string]Marker) ([]SentID, error) {
	switch it.SK[0] {
	case 's':
		r, err := decode[Sent](it)
		return r.V.IDs, err
	case 'm':
		r, err := decode[Marker](it)
		markers[it.SK[2:]] = r.V
		return r.V.Raised, err
	default:
		return nil, nil
	}
}

// Segment reads how far a segment was dispatched.
func (b Book) Segment(ctx context.Context, run string, n int) (Of[Segment], error) {
	return get[Segment](ctx, b, RunPK(run), "c/"+strconv.Itoa(n))
}

// PutSent is the write of what a segment sent in one part.
func PutSent(run string, n, part int, ids Sent, now time.Time) store.Write {
	return Record(RunPK(run), fmt.Sprintf("s/%d/%06d", n, part), ids, now.Add(RunTTL))
}

// Mark notes that a message was answered. It is written once: the first answer counts, another one is a conflict.
func Mark(run, message string, m Marker, now time.Time) store.Write {
	w := Record(answeredPK(run), "m/"+message, m, now.Add(RunTTL))
	w.Any = false
	return w
}

// PKUpstreams is the PK of what is known of upstreams; SK is kind/upstream.
const PKUpstreams = "upstreams"

// Upstream says when an upstream last gave an answer that could be believed.
type Upstream struct {
	LastGood lifecycle.Instant `json:"last_good"`
	Asked    lifecycle.Instant `json:"asked,omitempty"` // start of the first run that asked it
}

// Lease keeps two invocations of one job apart: one conditional item, PKGuard, "lease/JOB".
type Lease struct {
	Until lifecycle.Instant `json:"until"`
}

// LeaseSK is the SK of a job's lease.
func LeaseSK(job string) string { return "lease/" + job }

// maxLease is the longest that a lease is believed: no invocation lasts longer than 15 minutes. What says more was
// written by a wrong clock, and would keep the job still until then.
const maxLease = time.Hour

// ErrLeased: another invocation holds the lease.
var ErrLeased = errors.New("another invocation is at work")

// Lease reads a job's.
func (b Book) Lease(ctx context.Context, job string) (Of[Lease], error) {
	return get[Lease](ctx, b, PKGuard, LeaseSK(job))
}

// TakeLease takes the job's lease until now+d and returns its release. ErrLeased while somebody else has it.
func (b Book) TakeLease(ctx context.Context, job string, now time.Time, d time.Duration) (release func(context.Context) error, err error) {
	l, err := b.Lease(ctx, job)
	if err != nil {
		return nil, err
	}
	if at := lifecycle.At(now); l.V.Until > at && l.V.Until <= at.Add(maxLease) {
		return nil, fmt.Errorf("%s: %w until %s", job, ErrLeased, l.V.Until)
	}
	l.V.Until = lifecycle.At(now.Add(d))
	if err := b.Write(ctx, l.Put()); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return nil, fmt.Errorf("%s: %w", job, ErrLeased)
		}
		return nil, fmt.Errorf("take lease %s: %w", job, err)
	}
	l = l.Stored()
	return func(ctx context.Context) error {
		l.V = Lease{}
		if err := b.Write(ctx, l.Put()); err != nil {
			return fmt.Errorf("release lease %s: %w", job, err)
		}
		return nil
	}, nil
}

// RunPK is the PK of what a run sent and where it stands; what was answered lies apart, for checker writes it.
func RunPK(run string) string { return "run/" + run }

func answeredPK(run string) string { return "answered/" + run }

// Current is the id of the current run: all that checker may read of it.
type Current struct {
	ID string `json:"id"`
}

// PutCurrent is the write that names the current run.
func PutCurrent(id string) store.Write { return Record(pkCurrent, SKRun, Current{id}, time.Time{}) }

const pkCurrent = "current"

// Current reads it.
func (b Book) Current(ctx context.Context) (string, error) {
	r, err := get[Current](ctx, b, pkCurrent, SKRun)
	return r.V.ID, err
}
