package template

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/source"
)

// causes brings about, for each alarm of the template, what it is there for.
var causes = map[string]func(g *guard){
	"DeadLettersAlarm": func(g *guard) {
		m := queue.Message{Kind: queue.KindStatus, Upstream: "nobody", Share: 1, Sent: g.at} // the status API is off
		if _, err := g.Queue.Send(g.t.Context(), queue.Pack(m, []queue.Entry{{Name: "example-00.com"}})); err != nil {
			g.t.Fatal(err)
		}
		for range 6 {
			g.drain()
			g.at = g.at.Add(31 * time.Minute) // it is visible again
		}
	},
	"FailuresAlarm": func(g *guard) {
		g.broken["fanout"] = true
		attempts, _ := open(g.t).Property("FanoutFunction", "EventInvokeConfig", "MaximumRetryAttempts").(int)
		for range attempts {
			if g.fan("run") == nil {
				return
			}
		}
		if g.fan("run") != nil { // the last attempt: Lambda puts the event into the queue
			g.native = append(g.native, point{"AWS/SQS", "ApproximateNumberOfMessagesVisible", "FailuresQueue", g.at, 1})
		}
	},
	"FanoutErrorsAlarm":  func(g *guard) { g.broken["fanout"] = true; _ = g.fan("resume") },
	"ApplierErrorsAlarm": func(g *guard) { g.broken["applier"] = true; _ = g.tick() },
	"CheckerErrorsAlarm": func(g *guard) {
		g.broken["checker"] = true
		_, err := g.Checker.Handle(g.t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "1", Body: "{}"}}})
		g.invoked("CheckerFunction", err)
	},
	"ThrottledAlarm": func(g *guard) {
		for range 3 { // of no function: the pool is the account's
			g.at = g.at.Add(15 * time.Minute)
			g.native = append(g.native, point{"AWS/Lambda", "Throttles", "", g.at, 2})
		}
	},
	"ModeDiffersAlarm": func(g *guard) {
		g.turned = "observe" // and the configuration says enforce
		g.pass(32*time.Hour, time.Hour)
	},
	"NoCompleteRunAlarm": func(g *guard) {
		for range 27 { // ticks, and no daily run
			g.at = g.at.Add(time.Hour)
			_ = g.tick()
		}
	},
	"CanaryAlarm": func(g *guard) {
		g.status = http.StatusServiceUnavailable
		for range 30 {
			g.at = g.at.Add(time.Hour)
			if g.at.Hour() == 4 {
				g.run(true)
			}
			_ = g.tick()
		}
	},
	"BreakerTrippedAlarm": func(g *guard) {
		g.lapse(g.hosts[:15]...)
		g.pass(24*time.Hour, time.Hour)
	},
	"RegistryFailingAlarm": func(g *guard) {
		g.lapse("example-00.com")
		g.status = http.StatusInternalServerError
		g.at = g.at.Add(20 * time.Hour)
		g.run(true)
		for range 5 {
			g.at = g.at.Add(15 * time.Minute)
			_ = g.tick()
		}
	},
	"RecoveryOpenAlarm": func(g *guard) {
		g.recovery = "open"
		g.lapse("example-00.com")
		g.pass(24*time.Hour, time.Hour)
	},
	"ListFailingAlarm": func(g *guard) {
		g.listErr = errors.New("502")
		g.pass(24*time.Hour, time.Hour)
	},
	"QueueAgeAlarm": func(g *guard) {
		g.at = g.at.Add(24 * time.Hour)
		g.run(false)
		sent := g.at
		for range 8 { // checker does not work
			g.at = g.at.Add(time.Hour)
			d, err := g.Queue.Depth(g.t.Context())
			for quarter := range 4 {
				at := g.at.Add(time.Duration(quarter) * 15 * time.Minute)
				if err == nil && d.Waiting > 0 {
					g.native = append(g.native, point{"AWS/SQS", "ApproximateAgeOfOldestMessage", "ChecksQueue", at, at.Sub(sent).Seconds()})
				}
			}
		}
	},
	"UpstreamFailingAlarm": func(g *guard) {
		g.silent = queue.KindRDAP
		g.pass(26*time.Hour, 30*time.Minute)
		g.pass(4*time.Hour, 30*time.Minute)
	},
	"UpstreamsSilentAlarm": func(g *guard) {
		g.silent = queue.KindRDAP
		g.pass(4*24*time.Hour, time.Hour)
	},
	"HoldsStaleAlarm": func(g *guard) {
		g.lapse("example-00.com")
		g.answers["rdap example-00.com"] = registeredAs("pending restore")
		g.pass(safety.StaleHold+2*24*time.Hour, time.Hour)
	},
	"DomainsUnknownAlarm": func(g *guard) {
		for _, kind := range []string{"delegation", "rdap"} {
			g.answers[kind+" example-99.com"] = source.Observation{Outcome: source.Unknown, Cause: source.CauseMalformed, Said: "noise"}
		}
		g.hosts = append(g.hosts, "example-99.com")
		g.pass(9*24*time.Hour, 3*time.Hour)
	},
	"HostsNotCoveredAlarm": func(g *guard) {
		g.hosts = append(g.hosts, "example.uk.com")
		g.pass(8*24*time.Hour, 3*time.Hour)
	},
	"ItemsSkippedAlarm": func(g *guard) {
		g.run(true)
		g.upgrade("example-00.com") // and then somebody rolls back
		g.pass(24*time.Hour, 3*time.Hour)
	},
	"ListsOldAlarm": func(g *guard) { g.pass(24*time.Hour, time.Hour) }, // the world begins with an old list
}

// alarm is an alarm as the template has it.
type alarm struct {
	namespace, metric, resource, stat string
	period                            time.Duration
	of, breaching                     int
	threshold                         float64
	less, missing                     bool // compared with <; missing data counts as breaching
}

func alarmOf(t *testing.T, tpl *Template, id string) alarm {
	t.Helper()
	a := alarm{
		namespace: text(tpl.Property(id, "Namespace")), metric: text(tpl.Property(id, "MetricName")), stat: text(tpl.Property(id, "Statistic")),
		period: time.Duration(number(tpl.Property(id, "Period"))) * time.Second, of: number(tpl.Property(id, "EvaluationPeriods")),
		less:    tpl.Property(id, "ComparisonOperator") == "LessThanThreshold",
		missing: tpl.Property(id, "TreatMissingData") == "breaching",
	}
	if a.breaching = number(tpl.Property(id, "DatapointsToAlarm")); a.breaching == 0 {
		a.breaching = a.of
	}
	if list, ok := tpl.Property(id, "Dimensions").([]any); ok && len(list) == 1 {
		a.resource = target(walk(list[0], "Value"))
	}
	threshold := tpl.Property(id, "Threshold")
	if c, ok := threshold.(Call); ok {
		threshold = tpl.Get("Parameters", text(c.Arg), "Default")
	}
	f, err := strconv.ParseFloat(fmt.Sprint(threshold), 64)
	if err != nil || !a.less && tpl.Property(id, "ComparisonOperator") != "GreaterThanThreshold" {
		t.Fatalf("%s: threshold %v, %v", id, threshold, tpl.Property(id, "ComparisonOperator"))
	}
	a.threshold = f
	return a
}

// fires evaluates an alarm at a time as CloudWatch does: the newest periods, each with its statistic.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
func (a alarm) fires(points []point, now time.Time) bool {
	values := map[int64][]float64{}
	for _, p := range points {
		if p.namespace == a.namespace && p.name == a.metric && p.resource == a.resource {
			n := p.at.Unix() / int64(a.period/time.Second)
			values[n] = append(values[n], p.value)
		}
	}
	current, bad := now.Unix()/int64(a.period/time.Second), 0
	for n := current - int64(a.of) + 1; n <= current; n++ {
		v, ok := values[n], len(values[n]) > 0
		if !ok && a.missing || ok && a.crosses(v) {
			bad++
		}
	}
	return bad >= a.breaching
}

func (a alarm) crosses(values []float64) bool {
	v := slices.Max(values)
	if a.stat == "Minimum" {
		v = slices.Min(values)
	}
	if a.stat == "Sum" {
		v = 0
		for _, x := range values {
			v += x
		}
	}
	if a.less {
		return v < a.threshold
	}
	return v > a.threshold
}

// firing are the alarms that fire at some time from a moment on.
func (g *guard) firing(tpl *Template, from time.Time) []string {
	points := g.points()
	var list []string
	for _, id := range tpl.Resources("AWS::CloudWatch::Alarm") {
		a := alarmOf(g.t, tpl, id)
		for at := from; !at.After(g.at.Add(time.Minute)); at = at.Add(5 * time.Minute) {
			if a.fires(points, at) {
				list = append(list, id)
				break
			}
		}
	}
	return list
}

// allow tells which alarms may go off beside the one that is meant, because its cause is theirs too.
var also = map[string]string{
	"FailuresAlarm":        "FanoutErrorsAlarm",
	"NoCompleteRunAlarm":   "CanaryAlarm",
	"CanaryAlarm":          "ApplierErrorsAlarm",
	"RegistryFailingAlarm": "ApplierErrorsAlarm CanaryAlarm",
	"QueueAgeAlarm":        "NoCompleteRunAlarm CanaryAlarm",
	"UpstreamFailingAlarm": "NoCompleteRunAlarm CanaryAlarm",
	"UpstreamsSilentAlarm": "NoCompleteRunAlarm CanaryAlarm UpstreamFailingAlarm",
}

// TestEachAlarmsCauseMakesItFire, and no other alarm but those that share the cause.
func TestEachAlarmsCauseMakesItFire(t *testing.T) {
	tpl := open(t)
	for _, id := range tpl.Resources("AWS::CloudWatch::Alarm") {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			cause := causes[id]
			if cause == nil {
				t.Fatal("nothing brings this alarm about")
			}
			age := 10 * 24 * time.Hour
			if id == "ListsOldAlarm" {
				age = 61 * 24 * time.Hour
			}
			g := newGuard(t, age)
			g.run(true)
			g.pass(4*time.Hour, time.Hour)
			from := g.at
			cause(g)
			fired := g.firing(tpl, from)
			if !slices.Contains(fired, id) {
				t.Errorf("its cause does not make it fire; metrics:\n%s", tail(g.stats.String()))
			}
			for _, other := range fired {
				if other != id && !strings.Contains(also[id], other) {
					t.Errorf("%s fires too", other)
				}
			}
			g.allowed(tpl)
		})
	}
	for _, id := range slices.Sorted(maps.Keys(causes)) {
		if tpl.Get("Resources", id) == nil {
			t.Errorf("%s: a cause without an alarm", id)
		}
	}
}

// TestNoAlarmInAQuietWeek: alarms that cry every day are not heard on the day that counts.
func TestNoAlarmInAQuietWeek(t *testing.T) {
	tpl := open(t)
	g := newGuard(t, 10*24*time.Hour)
	g.run(true)
	g.pass(26*time.Hour, 15*time.Minute)
	from := g.at
	g.lapse("example-00.com") // a lapse that is acted on is no alarm
	g.pass(8*24*time.Hour, time.Hour)
	if fired := g.firing(tpl, from); len(fired) > 0 {
		t.Errorf("%v fire; metrics:\n%s", fired, tail(g.stats.String()))
	}
	if !strings.Contains(g.stats.String(), `"Reason":"domain_lapsed","Unverified":1`) {
		t.Error("the lapse was not acted on")
	}
	g.allowed(tpl)
}

// TestRolesAllowOperatorsActions: what an operator sends needs no right that ticks do not need.
func TestRolesAllowOperatorsActions(t *testing.T) {
	g := newGuard(t, 10*24*time.Hour)
	g.run(true)
	g.lapse("example-00.com")
	g.answers["rdap example-01.com"] = registeredAs("pending restore")
	g.answers["delegation example-01.com"] = g.answers["delegation example-00.com"]
	g.recovery = "open"
	g.pass(26*time.Hour, time.Hour)
	const crowd = 12 // more than the breaker lets pass of one class
	for i := range crowd {
		g.lapse(fmt.Sprintf("example-%02d.com", 10+i))
	}
	g.pass(26*time.Hour, time.Hour)
	for _, e := range []applier.Event{
		{Action: "status"}, {Action: "retry", Domain: "example-00.com"}, {Action: "tick"}, {Action: "recheck", Domain: "example-00.com"},
		{Action: "hold", Domain: "example-02.com"}, {Action: "unhold", Domain: "example-02.com"}, {Action: "approve", Domain: "example-01.com"}, {Action: "tick"},
		{Action: "accept"}, {Action: "approve", Class: "rdap.example.net/redemption", Count: crowd, PerDay: 1}, {Action: "revoke", Class: "rdap.example.net/redemption"},
	} {
		e.By = "on-call"
		if _, err := g.Applier.Handle(t.Context(), e); err != nil {
			t.Errorf("%s %s: %v", e.Action, e.Domain, err)
		}
	}
	g.allowed(open(t))
}

// allowed holds what the functions asked of the tables against their roles.
func (g *guard) allowed(tpl *Template) {
	g.t.Helper()
	for _, u := range slices.Sorted(maps.Keys(g.used.by)) {
		part := append(strings.Fields(u), "")
		if !tpl.Allowed(part[0], part[1], part[2], part[3]) {
			g.t.Errorf("%s calls %s on %s %s, and its role does not allow it", part[0], part[1], part[2], part[3])
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-3000):] }
