package template

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/infra/host"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// guard is the whole product in one process, between a registry and an internet in memory.
type guard struct {
	*host.Host
	t         *testing.T
	at        time.Time
	stats     *bytes.Buffer
	log       *bytes.Buffer
	native    []point // what AWS itself would measure
	hosts     []string
	listErr   error
	status    int // of the registry's answers
	recovery  string
	turned    string                        // what the kill switch says
	answers   map[string]source.Observation // by "kind name"
	used      *used
	broken    map[string]bool // functions whose table fails
	bootstrap string
	silent    queue.Kind // an upstream that answers nothing
}

const canaryLabel = "lapseguard-nobody-registers-this"

// start is a day on which every list is young.
func start() time.Time { return time.Date(2026, 11, 2, 3, 17, 0, 0, time.UTC) }

func newGuard(t *testing.T, bootstrapAge time.Duration, change ...func(*host.Config)) *guard {
	g := &guard{
		t: t, at: start(), stats: &bytes.Buffer{}, log: &bytes.Buffer{}, status: http.StatusOK, recovery: "closed",
		answers: map[string]source.Observation{}, broken: map[string]bool{}, used: &used{by: map[string]bool{}},
	}
	for i := range 40 {
		g.hosts = append(g.hosts, fmt.Sprintf("example-%02d.com", i))
	}
	g.bootstrap = filepath.Join(t.TempDir(), "bootstrap.json")
	text := fmt.Sprintf(`{"publication":%q,"services":[[["com"],["https://rdap.example.net/"]]]}`, g.at.Add(-bootstrapAge).Format(time.RFC3339))
	if err := os.WriteFile(g.bootstrap, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(api.Close)
	reg, err := registry.New(registry.Config{URL: api.URL, Token: func(context.Context, bool) (string, error) { return "token", nil }})
	if err != nil {
		t.Fatal(err)
	}
	log := telemetry.NewLogger(g.log, slog.LevelDebug)
	cfg := host.Config{
		Path: filepath.Join(t.TempDir(), "guard.db"), List: g, Registry: reg, Mode: applier.Enforce, Limits: safety.DefaultLimits(),
		BaselineDays: 1, Workers: 1, CanaryLabel: canaryLabel, Log: log, Now: g.now,
		Sources: checker.Sources{
			Contact: "https://example.org/", Bootstrap: g.bootstrap, DNSServers: []string{"127.0.0.1:9"}, RDAPRate: 2, StatusURL: checker.Off,
			CanaryLabel: canaryLabel, Log: log, Now: g.now,
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	h, err := host.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	g.Host = h
	h.Checker.Ask[queue.KindDelegation], h.Checker.Ask[queue.KindRDAP] = g, g
	delete(h.Checker.Ask, queue.KindMail)
	delete(h.Checker.Ask, queue.KindServers)
	metrics := telemetry.NewMetrics(g.stats, g.now, log)
	h.Fanout.Metrics, h.Checker.Metrics, h.Applier.Metrics = metrics, metrics, metrics
	g.turned = string(applier.Enforce)
	h.Applier.Differ = applier.Differ(applier.Enforce, func(context.Context, bool) (string, error) { return g.turned, nil })
	h.Fanout.Store = &recorder{h.Fanout.Store, "fanout", g}
	h.Checker.Store = &recorder{h.Checker.Store, "checker", g}
	h.Applier.Store = &recorder{h.Applier.Store, "applier", g}
	return g
}

func (g *guard) now() time.Time { return g.at }

// List is the registry's list of e-mail domains.
func (g *guard) List(context.Context, string, int, time.Time) (registry.Page, error) {
	p := registry.Page{AsOf: g.at, Complete: true}
	for _, h := range g.hosts {
		p.Hosts = append(p.Hosts, registry.HostCount{Host: h, Addresses: 1, Oldest: start().AddDate(-3, 0, 0), Newest: start().AddDate(-3, 0, 0)})
	}
	return p, g.listErr
}

// serve is the registry's admin API.
func (g *guard) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(g.status)
	_ = json.NewEncoder(w).Encode(map[string]any{"changed": 1, "already_unverified": 0, "kept_verified_later": 0, "recovery": g.recovery})
}

// Ask is every upstream: what answers has, else a registered domain in service, and nothing for the synthetic one.
func (g *guard) Ask(_ context.Context, m queue.Message) []source.Observation {
	obs := make([]source.Observation, len(m.Domains))
	for i, e := range m.Domains {
		o, ok := g.answers[string(m.Kind)+" "+e.Name]
		switch {
		case m.Kind == g.silent:
			o = source.Observation{Outcome: source.Unknown, Cause: source.CauseTimeout, Said: "silence"}
		case ok:
		case strings.HasPrefix(e.Name, canaryLabel):
			o = source.Observation{Outcome: source.Absent, Said: "no such name"}
		case m.Kind == queue.KindDelegation:
			o = source.Observation{Outcome: source.Observed, Said: "NS", Delegation: &source.Delegation{NS: []string{"ns1.example.net"}, Form: source.FormReferral}}
		default:
			o = registeredAs("active")
		}
		o.Source, o.Server, o.At = source.SourceDelegation, m.Upstream, g.at
		if m.Kind == queue.KindRDAP {
			o.Source = source.SourceRDAP
		}
		obs[i] = o
	}
	return obs
}

func registeredAs(status string) source.Observation {
	return source.Observation{Outcome: source.Observed, Said: status, Registration: &source.Registration{
		Authoritative: true, Statuses: []string{status}, Registered: start().AddDate(-10, 0, 0), Expires: start().AddDate(0, 6, 0), Registrar: "292",
	}}
}

// lapse deletes domains: redemption by the registry's word, and gone from the zone.
func (g *guard) lapse(names ...string) {
	for _, n := range names {
		g.answers["delegation "+n] = source.Observation{Outcome: source.Absent, Said: "NXDOMAIN"}
		g.answers["rdap "+n] = registeredAs("redemption period")
	}
}

// run is the daily schedule; drain is whether checker works.
func (g *guard) run(drain bool) {
	g.t.Helper()
	if err := g.fan("run"); err != nil {
		g.t.Fatal(err)
	}
	if drain {
		g.drain()
	}
}

func (g *guard) fan(action string) error {
	_, err := g.Fanout.Handle(g.t.Context(), fanout.Event{Action: action})
	g.invoked("FanoutFunction", err)
	return err
}

func (g *guard) drain() {
	g.t.Helper()
	if err := g.Drain(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	g.depth()
}

// tick is applier's schedule, with what it sends.
func (g *guard) tick() error {
	g.t.Helper()
	_, err := g.Applier.Handle(g.t.Context(), applier.Event{Action: "tick"})
	g.invoked("ApplierFunction", err)
	g.drain()
	return err
}

// pass lets the clock go by step by step, with a tick at each, and the daily run at its time.
func (g *guard) pass(d, step time.Duration) {
	g.t.Helper()
	for end := g.at.Add(d); g.at.Before(end); {
		next := g.at.Add(step)
		daily := time.Date(g.at.Year(), g.at.Month(), g.at.Day(), 3, 17, 0, 0, time.UTC)
		if !daily.After(g.at) {
			daily = daily.AddDate(0, 0, 1)
		}
		if !daily.After(next) {
			g.at = daily
			g.run(true)
		}
		g.at = next
		if err := g.tick(); err != nil {
			g.t.Fatal(err)
		}
	}
}

// invoked is what AWS measures of an invocation.
func (g *guard) invoked(function string, err error) {
	failed := 0.0
	if err != nil {
		failed = 1
	}
	g.native = append(g.native, point{"AWS/Lambda", "Errors", function, g.at, failed})
}

// depth is what AWS measures of the queues.
func (g *guard) depth() {
	g.t.Helper()
	d, err := g.Queue.Depth(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	g.native = append(g.native, point{"AWS/SQS", "ApproximateNumberOfMessagesVisible", "DeadLettersQueue", g.at, float64(d.Dead)})
}

// point is one value of a metric without dimensions of its own; resource is what AWS's own metrics are about.
type point struct {
	namespace, name, resource string
	at                        time.Time
	value                     float64
}

// points reads the metrics out of the log, as CloudWatch does: those without dimensions, which alarms watch.
func (g *guard) points() []point {
	g.t.Helper()
	list := append([]point{}, g.native...)
	for lines := bufio.NewScanner(bytes.NewReader(g.stats.Bytes())); lines.Scan(); {
		var line map[string]any
		var head struct {
			AWS struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		if err := errors.Join(json.Unmarshal(lines.Bytes(), &line), json.Unmarshal(lines.Bytes(), &head)); err != nil {
			g.t.Fatal(err)
		}
		for _, d := range head.AWS.CloudWatchMetrics {
			for _, m := range d.Metrics {
				v, ok := line[m.Name].(float64)
				if !ok {
					g.t.Fatalf("%s has no value: %s", m.Name, lines.Text())
				}
				if len(d.Dimensions) == 1 && len(d.Dimensions[0]) == 0 {
					list = append(list, point{d.Namespace, m.Name, "", time.UnixMilli(head.AWS.Timestamp), v})
				}
			}
		}
	}
	return list
}

// used are the calls of AWS that the store's calls stand for, as "folder action resource key".
type used struct {
	mu sync.Mutex
	by map[string]bool
}

func (u *used) note(folder, action, resource, pk string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if kind, _, below := strings.Cut(pk, "/"); below {
		pk = kind + "/x" // one of a kind
	}
	u.by[folder+" "+action+" "+resource+" "+pk] = true
}

// recorder notes what a function asks of the store, and fails where the world says so.
type recorder struct {
	store.Store
	folder string
	g      *guard
}

var errBroken = errors.New("the table does not answer")

func (r *recorder) err() error {
	if r.g.broken[r.folder] {
		return errBroken
	}
	return nil
}

func (r *recorder) note(action string, t store.Table, pk string) {
	if t == store.Domains {
		pk = ""
	}
	r.g.used.note(r.folder, action, map[store.Table]string{store.Domains: "DomainsTable", store.Records: "RecordsTable"}[t], pk)
}

func (r *recorder) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if err := r.err(); err != nil {
		return store.Item{}, err
	}
	r.note("dynamodb:GetItem", k.Table, k.PK)
	return r.Store.Get(ctx, k)
}

func (r *recorder) GetMany(ctx context.Context, keys []store.Key) ([]store.Item, error) {
	for _, k := range keys {
		r.note("dynamodb:BatchGetItem", k.Table, k.PK)
	}
	return r.Store.GetMany(ctx, keys)
}

func (r *recorder) Write(ctx context.Context, writes ...store.Write) error {
	if err := r.err(); err != nil {
		return err
	}
	for _, w := range writes {
		if w.Delete {
			r.note("dynamodb:DeleteItem", w.Table, w.PK)
		} else {
			r.note("dynamodb:PutItem", w.Table, w.PK)
		}
	}
	return r.Store.Write(ctx, writes...)
}

func (r *recorder) WriteEach(ctx context.Context, groups [][]store.Write) []error {
	errs := make([]error, len(groups))
	for i, group := range groups {
		errs[i] = r.Write(ctx, group...)
	}
	return errs
}

func (r *recorder) Query(ctx context.Context, q store.Query) ([]store.Item, bool, error) {
	r.note("dynamodb:Query", store.Records, q.PK)
	return r.Store.Query(ctx, q)
}

func (r *recorder) Scan(ctx context.Context, segment, segments int, cursor string, limit int) ([]store.Item, string, error) {
	r.note("dynamodb:Scan", store.Domains, "")
	return r.Store.Scan(ctx, segment, segments, cursor, limit)
}

func (r *recorder) Due(ctx context.Context, shard int, until time.Time, cursor string, limit int) ([]string, string, error) {
	r.g.used.note(r.folder, "dynamodb:Query", "DomainsTable/index/attention", "")
	return r.Store.Due(ctx, shard, until, cursor, limit)
}
