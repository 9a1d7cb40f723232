package cloud

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
)

// TestCloud is two days of the deployed product. The steps build upon each other: the first that fails is the last.
func TestCloud(t *testing.T) {
	root, err := template.Dir()
	if err != nil {
		t.Fatal(err)
	}
	c := open(t)
	c.upload(t, root, build(t, root))
	c.deploy(t)
	defer c.say(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"prepared as an operator does", c.prepare},
		{"a first run by hand", c.firstRun},
		{"the internet moves on", c.moveOn},
		{"the daily schedule fires", c.dailyRun},
		{"the applier's schedule fires", c.tick},
		{"the registry was told", c.told},
		{"the crowd is held", c.crowdHeld},
		{"the poison is in the dead letters", c.poisonDead},
		{"no address left the registry", c.noAddress},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
}

// shortVisibility is in the place of the template's half hour: five receives would take two and a half hours.
const shortVisibility = 4

const poison = "not a message"

// prepare turns the second key to enforce, and puts a message into the queue that no version can read.
func (c *cloud) prepare(t *testing.T) {
	c.set(t, c.outputs["ModeParameterName"], "enforce", ssmtypes.ParameterTypeString)
	url := c.outputs["ChecksQueueUrl"]
	in := &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"VisibilityTimeout": fmt.Sprint(shortVisibility)}}
	if _, err := c.sqs.SetQueueAttributes(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	_, err := c.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String(poison), MessageGroupId: aws.String("poison"), MessageDeduplicationId: aws.String("poison"),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// invoke runs a function as an operator does.
func (c *cloud) invoke(t *testing.T, folder, event string) string {
	t.Helper()
	var out struct{ Payload, FunctionError string }
	c.call(t, "lambda", "invoke", in{"FunctionName": c.physical[template.FunctionID(folder)], "Payload": event}, &out)
	if out.FunctionError != "" {
		t.Fatalf("%s %s: %s %s", folder, event, out.FunctionError, out.Payload)
	}
	return out.Payload
}

// run is the current run as stored.
func (c *cloud) run(t *testing.T) (run store.Run, it store.Item) {
	t.Helper()
	it, err := store.Load(t.Context(), c.store, store.PKGuard, "run", &run)
	if err != nil {
		t.Fatal(err)
	}
	return run, it
}

// answered waits until every message of the current run has its answer.
func (c *cloud) answered(t *testing.T) {
	t.Helper()
	eventually(t, "every message of the run answered", time.Minute, func() (bool, string) {
		run, _ := c.run(t)
		tally, err := store.Balance(t.Context(), c.store, run.ID)
		return err == nil && run.Sent && tally.Answered > 0 && len(tally.Missing) == 0, word(tally, err)
	})
}

// firstRun: all is well, and nothing is done.
func (c *cloud) firstRun(t *testing.T) {
	t.Log(c.invoke(t, "fanout", `{"action":"run"}`))
	c.answered(t)
	t.Log(c.invoke(t, "applier", `{"action":"tick"}`))
	run, _ := c.run(t)
	if want := len(quiet) + len(crowd) + 2; !run.Complete || run.Watched != want {
		t.Errorf("run %+v; want it complete, %d domains", run, want)
	}
	calls, err := c.registry.Calls(t.Context())
	if err != nil || len(calls) != 0 {
		t.Errorf("the registry was called: %+v, %v", calls, err)
	}
}

// moveOn: domains lapse, an account holder verifies an address elsewhere, and the day passes: the stored run is
// made two hours older, for runs are an hour apart at least.
func (c *cloud) moveOn(t *testing.T) {
	c.net.ahead.Store(int64(later + time.Minute))
	if err := c.registry.AddAddress(t.Context(), "fay@"+newcomer, aws.Time(time.Now())); err != nil {
		t.Fatal(err)
	}
	run, it := c.run(t)
	run.Started = run.Started.Add(-2 * time.Hour)
	if err := c.store.Write(t.Context(), store.Save(it, run)); err != nil {
		t.Fatal(err)
	}
}

// dailyRun waits for the schedule that the parameter DailySchedule set.
func (c *cloud) dailyRun(t *testing.T) {
	before, _ := c.run(t)
	if !time.Now().Before(c.daily) {
		t.Fatalf("it is past %s: the steps before took too long on this machine", c.daily.Format("15:04:05"))
	}
	eventually(t, c.given["DailySchedule"]+" started a run", time.Until(c.daily)+30*time.Second, func() (bool, string) {
		run, _ := c.run(t)
		return run.ID > before.ID, run.ID
	})
	c.answered(t)
	if run, _ := c.run(t); run.Watched <= before.Watched || run.Sync.Whole {
		t.Errorf("run %+v; want the newcomer in it, by a list of changes", run)
	}
}

// every sets a schedule to once a minute and leaves the rest of it as it is.
func (c *cloud) every(t *testing.T, logical string) {
	t.Helper()
	var s in
	c.call(t, "scheduler", "get_schedule", in{"Name": c.physical[logical]}, &s)
	update := in{"ScheduleExpression": "rate(1 minute)"}
	for _, k := range []string{"Name", "GroupName", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target", "State", "Description"} {
		update[k] = s[k]
	}
	c.call(t, "scheduler", "update_schedule", update, nil)
}

// tick: the quarter of an hour is made a minute, which has passed since the deployment.
func (c *cloud) tick(t *testing.T) {
	runs := c.invocations(t, "fanout")
	c.every(t, "ApplierFunctionTick")
	c.every(t, "FanoutFunctionResume")
	eventually(t, "the applier's schedule completed the run", 90*time.Second, func() (bool, string) {
		run, _ := c.run(t)
		return run.Complete, fmt.Sprintf("%+v", run)
	})
	eventually(t, "the registry was asked", 90*time.Second, func() (bool, string) {
		calls, err := c.registry.Calls(t.Context())
		return err == nil && len(calls) > 0, word(calls, err)
	})
	eventually(t, "the resuming schedule fired", 90*time.Second, func() (bool, string) {
		n := c.invocations(t, "fanout")
		return n > runs, fmt.Sprint(n)
	})
}

// told: one call, which changed what was verified before the lapse and nothing else.
func (c *cloud) told(t *testing.T) {
	calls, err := c.registry.Calls(t.Context())
	if err != nil || len(calls) != 1 || calls[0].Domain != lapsed || calls[0].Changed != len(old) || calls[0].DryRun {
		t.Fatalf("the registry's log: %+v, %v; want one unverify of %d addresses at %s", calls, err, len(old), lapsed)
	}
	all, err := c.registry.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range all {
		if lost := slices.Contains(old, a.Address); lost == a.Verified {
			t.Errorf("address %d, at %s: verified %t", i, a.Domain, a.Verified)
		}
	}
	for i, address := range append(slices.Clone(old), fresh) {
		if got, want := recovers(t, c.registry, c.admin, address), address == fresh; got != want {
			t.Errorf("address %d of %s recovers its account: %t, want %t", i, lapsed, got, want)
		}
	}
	d, err := store.GetDomain(t.Context(), c.store, lapsed)
	if err != nil || d.State.Phase != lifecycle.Redemption || d.Done == "" || d.Pending() {
		t.Errorf("%s: %+v, %v; want it in redemption and done with", lapsed, d, err)
	}
}

// crowdHeld: the breaker holds the class whole, and the domain that is only on hold is watched.
func (c *cloud) crowdHeld(t *testing.T) {
	items, _, err := c.store.Query(t.Context(), store.Query{PK: store.PKHolds, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]safety.Hold{}
	for _, it := range items {
		var h safety.Hold
		if err := json.Unmarshal(it.Data, &h); err != nil {
			t.Fatal(err)
		}
		held[h.Domain] = h
	}
	if got := slices.Sorted(maps.Keys(held)); !slices.Equal(got, slices.Sorted(slices.Values(crowd))) {
		t.Errorf("held: %v, want %v", got, crowd)
	}
	for name, h := range held {
		if !strings.Contains(h.Why, "allowed for one class") {
			t.Errorf("%s is held for: %s", name, h.Why)
		}
	}
	d, err := store.GetDomain(t.Context(), c.store, onHold)
	if err != nil || d.State.Phase != lifecycle.Active || d.Pending() {
		t.Errorf("%s: %+v, %v; want it active, under watch", onHold, d, err)
	}
}

// poisonDead: five attempts, then the dead letters; the day went on meanwhile.
func (c *cloud) poisonDead(t *testing.T) {
	url := c.outputs["DeadLettersQueueUrl"]
	eventually(t, "the poison is in the dead-letter queue, and the queue of checks is empty", time.Minute, func() (bool, string) {
		dead, checks := c.depth(t, url), c.depth(t, c.outputs["ChecksQueueUrl"])
		return dead == 1 && checks == 0, fmt.Sprintf("%d dead, %d in the queue", dead, checks)
	})
	out, err := c.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
	if err != nil || len(out.Messages) != 1 || *out.Messages[0].Body != poison {
		t.Errorf("dead letters: %+v, %v", out, err)
	}
	if n := c.depth(t, c.outputs["FailuresQueueUrl"]); n != 0 {
		t.Errorf("%d scheduled invocations failed for good", n)
	}
}
