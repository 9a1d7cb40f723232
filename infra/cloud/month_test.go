package cloud

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/infra/cost/bill"
	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/records"
)

// The domains of the three bad days to which something happens, on the second and on the third.
const (
	lapsedSecond = "second.com" // in redemption from the second day on
	lapsedThird  = "third.net"  // from the third day on
	onHoldADay   = "hold.org"   // out of DNS on the second day, back on the third
)

// badCrowd lapses at once on the second day: more than the breaker lets pass of one class, which is badCount/2.
var badCrowd = []string{"one.org", "two.org", "three.org", "four.org", "five.org", "six.org"}

const badCount = 8

// heldLater are out of DNS from the third day on, and on hold: what is looked at between the runs.
var heldLater = []string{"held-one.com", "held-two.com", "held-three.net", "held-four.org"}

// badSeed chooses the calls that are spoilt. Any other must do as well.
const badSeed = 1

// stepsOfADay are when the day's schedules fire, seen from the run: each quarter of an hour at first, seldom later, for
// nothing is due then.
var stepsOfADay = []time.Duration{
	0, 15 * time.Minute, time.Hour, 7 * time.Hour, 14 * time.Hour, 21 * time.Hour,
}

// names of domains to which nothing happens.
func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("quiet-%03d.%s", i, []string{"com", "net", "org"}[i%3]))
	}
	return all
}

const quietOnes = 90

// badWorld is the internet of the three days.
func badWorld(start time.Time) sim.World {
	w := world(start)
	asEver := w.Domains[0].Steps[0]
	redemption := sim.Step{Delegation: sim.Delegation{Answer: sim.Gone}, Status: sim.Status{Words: "inactive expiring"},
		RDAP: sim.RDAP{Registration: sim.Registration{Statuses: []string{"redemption period", "pending delete"}}}}
	held := sim.Step{From: day - time.Hour, Delegation: sim.Delegation{Answer: sim.Gone}, RDAP: sim.RDAP{Registration: sim.Registration{Statuses: []string{"client hold"}}}}
	back := asEver
	back.From = 2*day - time.Hour
	second, third, crowded := redemption, redemption, redemption
	second.From, third.From, crowded.From = day-time.Hour, 2*day-time.Hour, day-time.Hour
	crowded.RDAP.Statuses = []string{"pending delete"}
	w.Domains = slices.DeleteFunc(w.Domains, func(d sim.Domain) bool { return len(d.Steps) > 1 })
	add := func(name string, steps ...sim.Step) {
		w.Domains = append(w.Domains, sim.Domain{Name: name, Steps: append([]sim.Step{asEver}, steps...)})
	}
	for _, name := range names(quietOnes) {
		add(name)
	}
	for _, name := range badCrowd {
		add(name, crowded)
	}
	add(lapsedSecond, second)
	add(lapsedThird, third)
	add(onHoldADay, held, back)
	held.From = 2*day - time.Hour
	for _, name := range heldLater {
		add(name, held)
	}
	return w
}

func badRows() (rows []refregistry.Row) {
	for _, name := range slices.Concat(names(quietOnes), badCrowd, heldLater, []string{lapsedSecond, lapsedThird, onHoldADay}) {
		longAgo := time.Now().Add(-400 * day)
		rows = append(rows, refregistry.Row{Address: "dee@" + name, VerifiedAt: longAgo}, refregistry.Row{Address: "eli@mail." + name, VerifiedAt: longAgo})
	}
	return rows
}

// buildLate compiles the functions as build does, with a clock that is ahead by what a file says: nothing else differs.
func buildLate(t *testing.T, root, ahead string) (zips map[string]string) {
	t.Helper()
	zips = map[string]string{}
	dir := t.TempDir()
	replaced := map[string]string{}
	for _, folder := range folders {
		path := filepath.Join(root, "functions", folder, "main.go")
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), "time.Now") {
			t.Fatalf("%s has no clock", path)
		}
		late := strings.ReplaceAll(string(source), "time.Now", "late") + fmt.Sprintf(`
func late() time.Time {
	said, err := os.ReadFile(%q)
	if err != nil {
		panic(err)
	}
	ahead, err := time.ParseDuration(string(said))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead)
}
`, ahead)
		replaced[path] = filepath.Join(dir, folder+".go")
		if err := os.WriteFile(replaced[path], []byte(late), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		out := filepath.Join(dir, folder, "bootstrap")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", out, "./functions/"+folder)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOFLAGS=")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s with another clock: %v\n%s", folder, err, said)
		}
		zips[folder] = filepath.Join(dir, folder+".zip")
		if err := pack(zips[folder], out); err != nil {
			t.Fatalf("package %s: %v", folder, err)
		}
	}
	return zips
}

// month is one internet and one clock, and the accounts that live with them.
type month struct {
	net      *internet
	clock    string // file that says how far ahead the functions' clock is
	accounts map[string]*cloud
}

// set moves the clock of all on.
func (m *month) set(t *testing.T, ahead time.Duration) {
	t.Helper()
	m.net.ahead.Store(int64(ahead))
	next := m.clock + ".next"
	if err := os.WriteFile(next, []byte(ahead.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, m.clock); err != nil {
		t.Fatal(err)
	}
}

// account deploys the product in an account of its own, where calls meet f.
func (m *month) account(t *testing.T, name, root string, zips map[string]string, f *faults) {
	t.Helper()
	c := open(t, m.net, m.net.now, badRows())
	front := httptest.NewServer(f.before(c.registry.Handler()))
	t.Cleanup(front.Close)
	c.admin = front.URL
	c.upload(t, root, zips)
	c.more = map[string]string{"BreakerCount": strconv.Itoa(badCount)}
	c.deploy(t)
	c.gate.faults = f
	c.set(t, c.outputs["ModeParameterName"], "enforce", ssmtypes.ParameterTypeString)
	url := c.outputs["ChecksQueueUrl"]
	in := &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"VisibilityTimeout": fmt.Sprint(shortVisibility)}}
	if _, err := c.sqs.SetQueueAttributes(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	c.retries = map[string]int{}
	for logical, r := range c.expect(t).Resources {
		if n, ok := r.Properties["MaximumRetryAttempts"].(float64); ok && r.Type == "AWS::Lambda::EventInvokeConfig" {
			c.retries[strings.ToLower(logical[:strings.Index(logical, "Function")])] = int(n)
		}
	}
	m.accounts[name] = c
}

// fire invokes a function as its schedule does: what fails is tried again as often as Lambda tries.
func (c *cloud) fire(t *testing.T, folder, event string) {
	t.Helper()
	var out struct{ Payload, FunctionError string }
	for try := range c.retries[folder] + 1 {
		c.call(t, "lambda", "invoke", in{"FunctionName": c.physical[template.FunctionID(folder)], "Payload": event}, &out)
		if out.FunctionError == "" {
			return
		}
		t.Logf("%s %s, try %d: %s", folder, event, try+1, out.Payload)
		out.FunctionError = ""
	}
}

// emptied waits until the queue of checks is empty in every account.
func (m *month) emptied(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for name, c := range m.accounts {
		for deadline := time.Now().Add(time.Minute); c.depth(t, c.outputs["ChecksQueueUrl"]) > 0; {
			if time.Now().After(deadline) || ctx.Err() != nil {
				t.Fatalf("%s: the queue does not empty", name)
			}
			pauseFor(t, pollEvery)
		}
	}
}

// aDay fires the schedules of a day. The clock stands at each step until what it brought is done.
func (m *month) aDay(t *testing.T, n int) {
	for _, after := range stepsOfADay {
		m.set(t, time.Duration(n)*day+after)
		for _, c := range m.accounts {
			c.fire(t, "fanout", map[bool]string{true: `{"action":"run"}`, false: `{"action":"resume"}`}[after == 0])
		}
		m.emptied(t)
		for _, c := range m.accounts {
			c.fire(t, "applier", `{"action":"tick"}`)
		}
		m.emptied(t)
	}
	for name, c := range m.accounts {
		run := c.run(t).V
		tally, err := records.In(c.store).Balance(t.Context(), run.ID)
		t.Logf("%s: run %s, %d watched, complete: %t; %d messages answered, missing %v, %v", name, run.ID, run.Watched, run.Complete, tally.Answered, tally.Missing, err)
		if !run.Complete || m.net.now().Sub(run.Started.Time()) >= day {
			t.Errorf("%s: day %d has no complete run: %+v", name, n+1, run)
		}
	}
}

// stands is what became of everything, without the times and counts of how it came to be.
func (c *cloud) stands(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	addresses, err := c.registry.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range addresses {
		closed, err := c.registry.IsClosed(t.Context(), a.Address)
		if err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprintf("address %d at %s", i, a.Domain)] = fmt.Sprintf("verified %t %s, closed %t", a.Verified, a.Why, closed)
	}
	changed := map[string]int{} // by whichever call of those that were one
	for _, call := range c.calls(t) {
		changed[call.Op+" "+call.Domain] += call.Changed
	}
	for what, n := range changed {
		// A closing that failed once comes after the unverify that did not, and finds nothing left to bind.
		name, closed := strings.CutPrefix(what, "recovery closed ")
		if _, both := changed["unverify "+name]; closed && both {
			continue
		}
		out[what] = fmt.Sprintf("%d addresses", n)
	}
	for _, name := range slices.Concat(names(quietOnes), badCrowd, heldLater, []string{lapsedSecond, lapsedThird, onHoldADay}) {
		m, err := records.In(c.store).Matter(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		d := m.Domain
		out[name] = fmt.Sprintf("%s %s %s by %s, asked for %s (%s), acted %t, recovery closed %t, case %s", d.State.Phase, d.State.Deleg, d.State.Reg, d.State.RegServer,
			d.Action, d.Reason, d.Acted, d.Closed != 0, m.Case.V.Status)
	}
	for h, err := range records.In(c.store).Holds(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out["hold of "+h.V.Domain] = h.V.Class
	}
	for _, q := range []string{"DeadLettersQueueUrl", "FailuresQueueUrl"} {
		out[q] = fmt.Sprint(c.depth(t, c.outputs[q]))
	}
	return out
}

// TestThreeBadDays is three days of the deployed product in two accounts under one clock and one internet: in one of
// them 2 % of all calls to AWS and to the registry are throttled or cut. Every day's run is complete in both, and what
// became of everything is the same.
func TestThreeBadDays(t *testing.T) {
	root, err := template.Dir()
	if err != nil {
		t.Fatal(err)
	}
	m := &month{net: openInternet(t, badWorld(time.Now())), clock: filepath.Join(t.TempDir(), "ahead"), accounts: map[string]*cloud{}}
	m.set(t, 0)
	zips := buildLate(t, root, m.clock)
	f := &faults{seed: badSeed, oneIn: 50, done: map[fault]map[string]int{}}
	m.account(t, "as ever", root, zips, nil)
	m.account(t, "bad days", root, zips, f)
	m.accounts["as ever"].gate.meter = newMeter(m.accounts["as ever"].physical["DomainsTable"])
	for _, c := range m.accounts {
		defer c.say(t)
	}
	for n := range 3 {
		m.aDay(t, n)
	}
	f.tell(t)
	without, with := m.accounts["as ever"].stands(t), m.accounts["bad days"].stands(t)
	if diff := cmp.Diff(without, with); diff != "" {
		t.Errorf("it does not stand as without faults (-without +with):\n%s", diff)
	}
	for _, key := range []string{"unverify " + lapsedSecond, "unverify " + lapsedThird, "recovery open " + onHoldADay, "hold of " + badCrowd[0]} {
		if without[key] == "" {
			t.Errorf("nothing came of it without faults: %s", key)
		}
	}
	m.billed(t, m.accounts["as ever"])
}

// billed compares what calls are charged with, as the emulators count it, with what the bill takes for them: a quiet tick,
// which costs less than the bill's, and one that sends looks at domains whose recovery is closed.
func (m *month) billed(t *testing.T, c *cloud) {
	t.Helper()
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	last := 2*day + stepsOfADay[len(stepsOfADay)-1]
	for _, tc := range []struct {
		name         string
		ahead        time.Duration
		looks, least float64 // at least so many looks, and which part of the bill
	}{{"a quiet tick", last + time.Minute, 0, 0}, {"a tick with looks", last + 6*time.Hour + 2*time.Minute, 3, 0.5}} {
		m.set(t, tc.ahead)
		c.gate.meter.reset()
		c.fire(t, "applier", `{"action":"tick"}`)
		m.emptied(t)
		units, looks := c.gate.meter.sums()
		t.Logf("%s, %.0f looks:\n%s", tc.name, looks, c.gate.meter.told())
		if looks < tc.looks || tc.looks == 0 && looks > 0 {
			t.Errorf("%s: %.0f looks", tc.name, looks)
		}
		want := map[string]float64{}
		for _, l := range bill.Assumptions().Lines(tpl, bill.Day{Ticks: 1, Looks: looks, Item: 800}) {
			if !strings.HasPrefix(l.What, bill.Polls) { // Lambda's own calls do not pass here
				want[l.Price] += l.Quantity
			}
		}
		for _, key := range []string{"dynamodb/read", "dynamodb/write", "dynamodb-ia/read", "dynamodb-ia/write", "sqs/fifo"} {
			// Half as much again, and some: a crowd's tick does more than a look's.
			if units[key] > want[key]*1.5+8 || units[key] < want[key]*tc.least-2 {
				t.Errorf("%s: %s %.1f units, the bill has %.1f", tc.name, key, units[key], want[key])
			}
		}
	}
}
