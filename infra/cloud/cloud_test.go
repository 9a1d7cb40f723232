package cloud

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/safety"
)

// TestCloud is two days of the deployed product. The steps build upon each other: the first that fails is the last.
func TestCloud(t *testing.T) {
	root, err := template.Dir()
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, openInternet(t, world(time.Now())), time.Now, rows())
	c.upload(t, root, build(t, root))
	c.deploy(t)
	defer c.say(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"the account has what the template says", c.readBack},
		{"what the emulator drops is in the translated template", c.dropped},
		{"prepared as an operator does", c.prepare},
		{"the alarm stands until the first complete run", c.alarmAtFirst},
		{"a first run by hand", c.firstRun},
		{"a complete run ends the alarm", c.alarmEnds},
		{"the internet moves on", c.moveOn},
		{"another hour for the daily run changes its schedule alone", c.reschedule},
		{"the daily schedule fires", c.dailyRun},
		{"the applier's schedule fires", c.tick},
		{"the registry was told", c.told},
		{"the crowd is held", c.crowdHeld},
		{"the morning's mail is heard", c.morningMail},
		{"the breaker's alarm is heard", c.alarmOfBreaker},
		{"the poison is in the dead letters", c.poisonDead},
		{"the dead letters' alarm is heard", c.alarmOfDeadLetters},
		{"every other alarm is heard", c.alarmOfEach},
		{"the checker's role decides nothing", c.checkerDecidesNothing},
		{"each function's role sufficed", c.rolesSuffice},
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

// prepare turns the second key to enforce, and puts a message into the queue that no version can read. The checker
// is kept from the queue meanwhile, so that it gets this message and the run's in one batch.
func (c *cloud) prepare(t *testing.T) {
	c.mapping(t, false)
	c.set(t, c.outputs["ModeParameterName"], "enforce", ssmtypes.ParameterTypeString)
	url := c.outputs["ChecksQueueUrl"]
	in := &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"VisibilityTimeout": fmt.Sprint(shortVisibility)}}
	if _, err := c.sqs.SetQueueAttributes(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	_, err := c.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String(poison), MessageGroupId: aws.String("delegation/com/0"), MessageDeduplicationId: aws.String("poison"),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) mapping(t *testing.T, enabled bool) {
	t.Helper()
	c.call(t, "lambda", "update_event_source_mapping", in{"UUID": c.physical["CheckerFunctionChecks"], "Enabled": enabled}, nil)
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
func (c *cloud) run(t *testing.T) records.Of[records.Run] {
	t.Helper()
	run, err := records.In(c.store).Run(t.Context())
	if err != nil || !run.Found() {
		t.Fatal(run, err)
	}
	return run
}

// answered waits until every message of the current run has its answer.
func (c *cloud) answered(t *testing.T) {
	t.Helper()
	eventually(t, "every message of the run answered", 2*time.Minute, func() (bool, string) {
		run := c.run(t).V
		tally, err := records.In(c.store).Balance(t.Context(), run.ID)
		return err == nil && run.Sent && tally.Answered > 0 && len(tally.Missing) == 0, word(tally, err)
	})
}

// firstRun: all is well, and nothing is done.
func (c *cloud) firstRun(t *testing.T) {
	t.Log(c.invoke(t, "fanout", `{"action":"run"}`))
	if n := c.depth(t, c.outputs["ChecksQueueUrl"]); n < 4 {
		t.Errorf("%d messages are in the queue, want the poison and one for each zone at least", n)
	}
	c.mapping(t, true)
	c.answered(t)
	c.buried(t)
	t.Log(c.invoke(t, "applier", `{"action":"tick"}`))
	run := c.run(t).V
	if want := len(quiet) + len(crowd) + 2; !run.Complete || run.Watched < want { // and the day's canary
		t.Errorf("run %+v; want it complete, %d domains at least", run, want)
	}
	for _, name := range slices.Concat(quiet, crowd, []string{lapsed, onHold}) {
		if d, err := records.In(c.store).Domain(t.Context(), name); err != nil || d.State.Deleg == lifecycle.DelegationUnknown {
			t.Errorf("%s was not looked at: %+v, %v", name, d, err)
		}
	}
	if calls := c.calls(t); len(calls) != 0 {
		t.Errorf("the registry was called: %+v", calls)
	}
}

// buried looks for a batch of which one message went to the dead letters and the others were answered for good.
func (c *cloud) buried(t *testing.T) {
	t.Helper()
	answered, buried := 0, 0
	for _, line := range c.log(t, "checker") {
		switch {
		case strings.HasPrefix(line, "START "):
			answered, buried = 0, 0
		case strings.Contains(line, `"msg":"message_buried"`):
			buried++
		case strings.Contains(line, `"msg":"message_answered"`):
			answered++
		case strings.HasPrefix(line, "END ") && buried == 1 && answered > 0:
			t.Logf("one message of a batch was buried, %d were answered and not seen again", answered)
			return
		}
	}
	t.Error("no message of a batch was buried while the others were answered")
}

// calls are the registry's log without dry runs: a canary puts one through every day.
func (c *cloud) calls(t *testing.T) []refregistry.Call {
	t.Helper()
	calls, err := c.registry.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(calls, func(call refregistry.Call) bool { return call.DryRun })
}

// moveOn: domains lapse, an account holder verifies an address elsewhere, and the day passes: the stored run is
// made two hours older, for runs are an hour apart at least.
func (c *cloud) moveOn(t *testing.T) {
	c.net.ahead.Store(int64(later + time.Minute))
	if err := c.registry.AddAddress(t.Context(), "fay@"+newcomer, aws.Time(time.Now())); err != nil {
		t.Fatal(err)
	}
	run := c.run(t)
	run.V.Started = run.V.Started.Add(-2 * time.Hour)
	yesterday := records.PutLine(time.Now().AddDate(0, 0, -1), "yesterday", records.Line{What: "held", Domain: "yesterday.com", Phase: string(lifecycle.Redemption)})
	if err := c.store.Write(t.Context(), run.Put(), yesterday); err != nil {
		t.Fatal(err)
	}
}

// reschedule updates the stack with another time for the daily run: the next full minute. ministack looks at its
// schedules every ten seconds, and a schedule that it never looked at is never due.
func (c *cloud) reschedule(t *testing.T) {
	earliest := c.made.Add(11 * time.Second)
	if soon := time.Now().Add(2 * time.Second); soon.After(earliest) {
		earliest = soon
	}
	c.daily = earliest.UTC().Truncate(time.Minute).Add(time.Minute)
	c.given["DailySchedule"] = fmt.Sprintf("cron(%d %d * * ? *)", c.daily.Minute(), c.daily.Hour())
	if changed := c.apply(t, "UPDATE", "UPDATE_COMPLETE"); !slices.Equal(changed, []string{"Modify FanoutFunctionDaily"}) {
		t.Errorf("the change set has %v", changed)
	}
	if mode := c.one(t, "ssm", "get_parameter", in{"Name": c.outputs["ModeParameterName"]}, "Parameter"); mode["Value"] != "enforce" {
		t.Errorf("the update set the second key to %v", mode["Value"])
	}
	var attributes struct{ Attributes map[string]string }
	c.call(t, "sqs", "get_queue_attributes", in{"QueueUrl": c.outputs["ChecksQueueUrl"], "AttributeNames": []string{"VisibilityTimeout"}}, &attributes)
	if got := attributes.Attributes["VisibilityTimeout"]; got != fmt.Sprint(shortVisibility) {
		t.Errorf("the update touched the queue: its time-out is %s", got)
	}
}

// dailyRun waits for the schedule that the parameter DailySchedule set.
func (c *cloud) dailyRun(t *testing.T) {
	before := c.run(t).V
	eventually(t, c.given["DailySchedule"]+" started a run", time.Until(c.daily)+time.Minute, func() (bool, string) {
		run := c.run(t).V
		return run.ID > before.ID, run.ID
	})
	c.answered(t)
	if run := c.run(t).V; run.Watched <= before.Watched || run.Sync.Whole {
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
		run := c.run(t).V
		return run.Complete, fmt.Sprintf("%+v", run)
	})
	eventually(t, "the applier acted on one domain", 90*time.Second, func() (bool, string) {
		ticks := c.logged(t, "applier", `"msg":"tick"`)
		return slices.ContainsFunc(ticks, func(m string) bool { return strings.Contains(m, `"acted":1,`) }), fmt.Sprint(ticks)
	})
	eventually(t, "the resuming schedule fired", 90*time.Second, func() (bool, string) {
		n := c.invocations(t, "fanout")
		return n > runs, fmt.Sprint(n)
	})
}

// told: recovery was closed once at each domain whose control is not continuous, before anything final; then one
// unverify, which changed what was verified before the lapse and nothing else.
func (c *cloud) told(t *testing.T) {
	var final, closed []string
	for _, call := range c.calls(t) {
		switch {
		case call.Op == "unverify" && call.Domain == lapsed && call.Changed == len(old):
			final = append(final, call.Domain)
		case call.Op == "recovery closed" && call.Status == 200 && len(final) == 0:
			closed = append(closed, call.Domain)
		default:
			t.Errorf("the registry's log has %+v", call)
		}
	}
	if slices.Sort(closed); len(final) != 1 || !slices.Contains(closed, lapsed) || len(slices.Compact(slices.Clone(closed))) != len(closed) {
		t.Fatalf("recovery was closed at %v, then addresses unverified at %v; want %s once in both", closed, final, lapsed)
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
		if recovers(t, c.registry, c.admin, address) { // one that was verified since stays verified, and is closed
			t.Errorf("address %d of %s recovers its account", i, lapsed)
		}
	}
	m, err := records.In(c.store).Matter(t.Context(), lapsed)
	if err != nil || m.Domain.State.Phase != lifecycle.Redemption || !m.Domain.Acted || m.Case.V.Status != decision.Done {
		t.Errorf("%s: %+v, %v; want it in redemption and done with", lapsed, m, err)
	}
}

// crowdHeld: the breaker holds the class whole, and the domain that is only on hold is watched.
func (c *cloud) crowdHeld(t *testing.T) {
	held := map[string]safety.Hold{}
	for h, err := range records.In(c.store).Holds(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		held[h.V.Domain] = h.V
	}
	if got := slices.Sorted(maps.Keys(held)); !slices.Equal(got, slices.Sorted(slices.Values(crowd))) {
		t.Errorf("held: %v, want %v", got, crowd)
	}
	for name, h := range held {
		if !strings.Contains(h.Why, "allowed for one class") {
			t.Errorf("%s is held for: %s", name, h.Why)
		}
	}
	d, err := records.In(c.store).Domain(t.Context(), onHold)
	if err != nil || d.State.Phase != lifecycle.Active || d.Unsettled() {
		t.Errorf("%s: %+v, %v; want it active, under watch", onHold, d, err)
	}
}

// poisonDead: what nobody can read went to the dead letters; the day went on meanwhile.
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
