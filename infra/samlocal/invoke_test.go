package samlocal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
)

// envRun, set to 1, runs the test that needs a Docker engine; make test-sam sets it.
const envRun = "LAPSEGUARD_SAM"

func TestMain(m *testing.M) {
	if os.Getenv(envRun) != "1" {
		os.Exit(m.Run())
	}
	os.Exit(emulator.Main(m, emulator.DynamoDB, emulator.Ministack))
}

// lost is the domain in redemption; addressed are those that the registry lists. canary is known to be registered.
const (
	lost   = "example.com"
	canary = "canary.com" // LAPSEGUARD_CANARIES of env.local.json
)

var addressed = []string{"example.com", "example.net", "example.org", "iana.com"}

// world: example.com is in redemption and out of its zone; nothing happens to the others.
func world(now time.Time) sim.World {
	w := sim.World{Start: now.Add(-time.Hour), TLDs: map[string]sim.TLD{"com": {RDAP: sim.Listed}, "net": {RDAP: sim.Listed}, "org": {RDAP: sim.Listed}}}
	for _, name := range append([]string{canary}, addressed...) {
		step := sim.Step{
			Delegation: sim.Delegation{NS: []string{"ns1.hoster.net", "ns2.hoster.net"}},
			RDAP: sim.RDAP{Registration: sim.Registration{
				Statuses: []string{"active"}, Registered: now.AddDate(-6, 0, 0), Expires: now.AddDate(0, 8, 0), Registrar: "292",
			}},
		}
		if name == lost {
			step.Delegation.Answer = sim.Gone
			step.RDAP.Statuses, step.RDAP.Expires = []string{"redemption period"}, now.AddDate(0, 0, -50)
		}
		w.Domains = append(w.Domains, sim.Domain{Name: name, Steps: []sim.Step{step}})
	}
	return w
}

// rows are the registry's addresses: two at each domain verified long ago, and one at the lost domain verified
// just now, which whoever holds the domain now may have done: it is not the guard's to judge.
func rows(now time.Time) []refregistry.Row {
	list := []refregistry.Row{{Address: "late@" + lost, VerifiedAt: now}}
	for _, d := range addressed {
		list = append(list, refregistry.Row{Address: "ann@" + d, VerifiedAt: now.AddDate(-2, 0, 0)}, refregistry.Row{Address: "ben@" + d, VerifiedAt: now.AddDate(-1, 0, 0)})
	}
	return list
}

// play is the test's steps on one cloud.
type play struct {
	*cloud
	sam  *sam
	root string
	tpl  *template.Template
}

// TestSamLocalInvoke plays one day: fanout lists and asks, checker answers what is in the queue, applier reports
// in observe mode and, after the switch is turned, acts.
func TestSamLocalInvoke(t *testing.T) {
	if os.Getenv(envRun) != "1" {
		t.Skipf("NOT RUN here: sam local invoke in containers, which make test-sam runs (%s=1)", envRun)
	}
	s := buildFunctions(t, t.TempDir())
	now := time.Now()
	p := &play{cloud: openCloud(t, s.root, world(now), rows(now)), sam: s, root: s.root}
	s.env = p.environment(t, s.dir)
	var err error
	if p.tpl, err = template.Open(); err != nil {
		t.Fatal(err)
	}
	t.Logf("containers reach this machine as host.docker.internal, %s", p.host)
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"fanout", p.fanout}, {"checker", p.checker}, {"checker with a malformed message", p.malformed},
		{"checker until the queue is empty", p.drain}, {"applier in observe mode", p.observe}, {"applier in enforce mode", p.enforce},
		{"fanout has nothing to resume", p.resume},
	} {
		if !t.Run(step.name, step.do) {
			t.Fatalf("%s failed: the steps after it rest on it", step.name)
		}
	}
}

// invoke invokes a function with an event of infra/events and shows what it called.
func (p *play) invoke(t *testing.T, folder, event string, answer any) {
	t.Helper()
	if !filepath.IsAbs(event) {
		event = filepath.Join(p.root, "infra", "events", event)
	}
	p.seen.take(t)
	p.sam.invoke(t, template.FunctionID(folder), event, answer)
	calls := p.seen.take(t)
	t.Logf("it called: %s", sentence(calls))
	names := p.names()
	for c := range calls {
		if !slices.Contains([]string{"GET", "POST", "PUT"}, c.action) && !allowed(p.tpl, folder, c, names) {
			t.Errorf("%s called %s on %s, which its role in template.yaml does not allow", folder, c.action, c.resource)
		}
	}
}

func (p *play) fanout(t *testing.T) {
	var res fanout.Result
	p.invoke(t, "fanout", "fanout-run.json", &res)
	if !res.Finished || res.Listed != len(addressed) || res.Watched != len(addressed)+1 {
		t.Errorf("fanout answered %+v, want %d listed, these and a synthetic one watched, and finished", res, len(addressed))
	}
	for _, name := range addressed {
		if d := p.domain(t, name); !d.Listed || d.Addresses < 2 {
			t.Errorf("table: %s is listed: %v, with %d addresses", name, d.Listed, d.Addresses)
		}
	}
	t.Logf("table: %d domains with their numbers of addresses", len(addressed))
}

func (p *play) checker(t *testing.T) {
	var res events.SQSEventResponse
	p.invoke(t, "checker", "checker-delegation.json", &res)
	if res.BatchItemFailures == nil || len(res.BatchItemFailures) > 0 {
		t.Errorf("checker gave back %v, want an empty list", res.BatchItemFailures)
	}
	for zone, name := range map[string]string{"dns:com": lost, "dns:org": "example.org"} {
		asked := p.net.AskedAbout(zone, name)
		if len(asked) == 0 {
			t.Fatalf("nobody asked %s about %s", zone, name)
		}
		t.Logf("%s was asked about %s and answered %s", zone, name, asked[0].Answer)
	}
	if len(p.net.AskedAbout("dns:com", canary)) == 0 {
		t.Errorf("nobody asked dns:com about %s before its bad news was believed", canary)
	}
	if d := p.domain(t, lost); d.State.Deleg != lifecycle.DelegationGone || d.Action != lifecycle.Confirm && d.Action != lifecycle.Watch {
		t.Errorf("table: %s is %q, action %q: DNS alone is no reason to act", lost, d.State.Deleg, d.Action)
	}
}

func (p *play) malformed(t *testing.T) {
	var res events.SQSEventResponse
	p.invoke(t, "checker", "checker-malformed.json", &res)
	if res.BatchItemFailures == nil || len(res.BatchItemFailures) > 0 {
		t.Errorf("checker gave back %v: nothing will ever read it, and it keeps its group waiting", res.BatchItemFailures)
	}
	if dead := p.receiveFrom(t, p.deadURL); len(dead.Records) != 1 || dead.Records[0].Body != "not a message" {
		t.Errorf("dead letters: %+v, want what cannot be read", dead.Records)
	}
}

// drain does what the event source mapping does: it hands the queue's messages to checker and deletes them.
func (p *play) drain(t *testing.T) {
	for round := 1; ; round++ {
		batch := p.receive(t)
		if len(batch.Records) == 0 {
			break
		}
		if round > 6 {
			t.Fatalf("the queue is not empty after %d batches: %s", round-1, groups(batch))
		}
		t.Logf("queue, batch %d: %s", round, groups(batch))
		data, err := json.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		event := filepath.Join(p.sam.dir, fmt.Sprintf("queue-%d.json", round))
		if err := os.WriteFile(event, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var res events.SQSEventResponse
		p.invoke(t, "checker", event, &res)
		if len(res.BatchItemFailures) > 0 {
			t.Fatalf("checker gave back %v", res.BatchItemFailures)
		}
		p.remove(t, batch)
	}
	d := p.domain(t, lost)
	t.Logf("table: %s is in phase %q, action %q, confidence %q", lost, d.State.Phase, d.Action, d.Confidence)
	if d.State.Phase != lifecycle.Redemption || d.Action != lifecycle.Unverify || !d.Unsettled() {
		t.Errorf("table: %s is in phase %q, action %q, unsettled %v; want redemption, unverify, true", lost, d.State.Phase, d.Action, d.Unsettled())
	}
	for _, name := range addressed {
		if d := p.domain(t, name); name != lost && d.Action == lifecycle.Unverify {
			t.Errorf("table: %s is to be unverified", name)
		}
	}
}

func (p *play) observe(t *testing.T) {
	var res applier.Result
	p.invoke(t, "applier", "applier-tick.json", &res)
	if res.Mode != applier.Observe {
		t.Errorf("applier ran in mode %q, the parameter says observe", res.Mode)
	}
	if calls := p.calls(t); len(calls) != 1 || !calls[0].DryRun || calls[0].Changed != 0 {
		t.Fatalf("the registry's log: %+v, want one dry run for %s", calls, lost)
	}
	if closings := p.closings(t); len(closings) != 1 || !closings[0].DryRun {
		t.Errorf("the registry's log: %+v, want one dry run of a closing of %s", closings, lost)
	}
	p.verified(t, map[string]bool{})
	if c := p.matter(t, lost).Case.V; c.Status != decision.Reported || c.Told != c.Key() {
		t.Errorf("table: %s is %s, told %q; want its decision reported, and still pending", lost, c.At(), c.Told)
	}
	t.Logf("registry: one dry run for %s, nothing changed; table: reported, still pending", lost)
}

func (p *play) enforce(t *testing.T) {
	p.setMode(t, "enforce")
	var res applier.Result
	p.invoke(t, "applier", "applier-tick.json", &res)
	if res.Mode != applier.Enforce || res.Acted != 1 {
		t.Errorf("applier answered %+v, want mode enforce and one domain acted on", res)
	}
	if calls := p.calls(t); len(calls) != 2 || calls[1].DryRun || calls[1].Changed != 2 {
		t.Fatalf("the registry's log: %+v, want a second call that changes two addresses at %s", calls, lost)
	}
	if closings := p.closings(t); len(closings) != 2 || closings[1].DryRun || closings[1].Op != "recovery closed" {
		t.Errorf("the registry's log: %+v, want recovery at %s closed for real", closings, lost)
	}
	p.verified(t, map[string]bool{"ann@" + lost: true, "ben@" + lost: true})
	if m := p.matter(t, lost); m.Case.V.Status != decision.Done || !m.Domain.Acted {
		t.Errorf("table: %s is %s; want its decision done", lost, m.Case.V.At())
	}
	t.Logf("registry: the two addresses at %s that were verified before the lapse are unverified, %d others are not; table: done", lost, len(rows(time.Time{}))-2)
}

func (p *play) resume(t *testing.T) {
	var res fanout.Result
	p.invoke(t, "fanout", "fanout-resume.json", &res)
	if !res.Finished || res.Run == "" {
		t.Errorf("fanout answered %+v, want the run of before, finished", res)
	}
	if batch := p.receive(t); len(batch.Records) > 0 {
		t.Errorf("queue: %s, though nothing was to be sent", groups(batch))
	}
}

// calls is the registry's log of what changes addresses at the lost domain. Whatever else is there must be the synthetic domain's dry run.
func (p *play) calls(t *testing.T) []refregistry.Call {
	t.Helper()
	all, err := p.registry.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var own []refregistry.Call
	for _, c := range all {
		switch {
		case c.Domain == lost && strings.HasPrefix(c.Op, "recovery"):
		case c.Domain == lost:
			own = append(own, c)
		case !c.DryRun || c.Changed != 0 || !strings.HasPrefix(c.Domain, "lapseguard-"):
			t.Errorf("the registry's log: %+v is neither for %s nor a dry run for a synthetic domain", c, lost)
		}
	}
	return own
}

// closings is the registry's log of recovery at the lost domain.
func (p *play) closings(t *testing.T) []refregistry.Call {
	t.Helper()
	all, err := p.registry.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(c refregistry.Call) bool { return c.Domain != lost || !strings.HasPrefix(c.Op, "recovery") })
}

// verified checks every address in the registry. Errors name the domain alone.
func (p *play) verified(t *testing.T, except map[string]bool) {
	t.Helper()
	all, err := p.registry.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Verified == except[a.Address] {
			t.Errorf("registry: an address at %s is verified: %v, want %v", a.Domain, a.Verified, !except[a.Address])
		}
	}
}
