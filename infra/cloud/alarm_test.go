package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Four things about alarms differ from CloudWatch, and are done here in ministack's place:
//
//   - it makes no metrics of the embedded metric format in a log: pump reads the functions' log groups, as
//     CloudWatch does, and puts what their lines say with PutMetricData;
//   - it judges an alarm when a value arrives, so that silence never breaches: a value of zero stands for it;
//   - it has no metrics of queues: the test measures the queue and puts the value;
//   - it looks at no dimensions, so that an error of one function is one of all three.

// subscribe makes a queue and subscribes it to the alarms' topic.
func (c *cloud) subscribe(t *testing.T) {
	t.Helper()
	var queue struct{ QueueURL string }
	c.call(t, "sqs", "create_queue", in{"QueueName": "ear"}, &queue)
	c.ear = queue.QueueURL
	arn := c.one(t, "sqs", "get_queue_attributes", in{"QueueUrl": c.ear, "AttributeNames": []string{"QueueArn"}}, "Attributes")["QueueArn"]
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q,
		"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, arn, c.outputs["AlarmTopicArn"])
	c.call(t, "sqs", "set_queue_attributes", in{"QueueUrl": c.ear, "Attributes": in{"Policy": policy}}, nil)
	c.call(t, "sns", "subscribe", in{"TopicArn": c.outputs["AlarmTopicArn"], "Protocol": "sqs", "Endpoint": arn}, nil)
}

// listen takes what the topic's subscriber was told: alarms, and the morning's mails.
func (c *cloud) listen(t *testing.T) {
	t.Helper()
	out, err := c.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.ear, MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range out.Messages {
		var envelope struct{ Subject, Message string }
		var alarm struct{ AlarmName, NewStateValue, AlarmDescription string }
		if err := json.Unmarshal([]byte(*m.Body), &envelope); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(envelope.Subject, "lapseguard on ") {
			c.mails = append(c.mails, envelope.Subject+"\n"+envelope.Message)
		} else if err := json.Unmarshal([]byte(envelope.Message), &alarm); err != nil {
			t.Fatal(err)
		} else if c.heard[alarm.AlarmName+" "+alarm.NewStateValue] = true; alarm.AlarmDescription == "" {
			t.Errorf("%s does not say what it means", alarm.AlarmName)
		}
		if _, err := c.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &c.ear, ReceiptHandle: m.ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
	}
}

// morningMail: the applier mailed what yesterday had to tell, once, to the alarms' topic.
func (c *cloud) morningMail(t *testing.T) {
	eventually(t, "the morning's mail is heard", time.Minute, func() (bool, string) {
		c.listen(t)
		return len(c.mails) > 0, fmt.Sprint(c.mails)
	})
	if m := c.mails[0]; len(c.mails) != 1 || !strings.Contains(m, "1 held, ") || !strings.Contains(m, "Held for a decision 1 domain: yesterday.com (redemption).") {
		t.Errorf("mails %q", c.mails)
	}
}

// hears waits until the topic's subscriber is told that an alarm is in a state.
func (c *cloud) hears(t *testing.T, logical, state string) {
	t.Helper()
	want := c.physical[logical] + " " + state
	eventually(t, "the topic's subscriber heard: "+want, time.Minute, func() (bool, string) {
		c.listen(t)
		return c.heard[want], fmt.Sprint(c.heard)
	})
	if got := c.state(t, logical); got != state {
		t.Errorf("%s is %s, want %s", logical, got, state)
	}
}

func (c *cloud) alarm(t *testing.T, logical string) in {
	t.Helper()
	return c.one(t, "cloudwatch", "describe_alarms", in{"AlarmNames": []string{c.physical[logical]}}, "MetricAlarms")
}

func (c *cloud) state(t *testing.T, logical string) any {
	t.Helper()
	return c.alarm(t, logical)["StateValue"]
}

// put gives an alarm's metric a value.
func (c *cloud) put(t *testing.T, logical string, value int) {
	t.Helper()
	a := c.alarm(t, logical)
	c.call(t, "cloudwatch", "put_metric_data", in{"Namespace": a["Namespace"], "MetricData": []in{
		{"MetricName": a["MetricName"], "Dimensions": a["Dimensions"], "Value": value},
	}}, nil)
}

// embedded is a line of the embedded metric format; the values are members beside _aws.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type embedded struct {
	AWS *struct {
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
}

// pump puts the metrics of the functions' logs, each line once, and tells how many.
func (c *cloud) pump(t *testing.T) {
	t.Helper()
	metrics := 0
	for _, folder := range folders {
		lines := c.log(t, folder)
		for _, text := range lines[c.pumped[folder]:] {
			var line embedded
			if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &line) == nil && line.AWS != nil {
				metrics += c.putEmbedded(t, text, line)
			}
		}
		c.pumped[folder] = len(lines)
	}
	t.Logf("read %d values from the functions' logs and put them into CloudWatch, as ministack does not", metrics)
	if metrics == 0 {
		t.Error("the functions' logs have no metrics")
	}
}

func (c *cloud) putEmbedded(t *testing.T, text string, line embedded) (n int) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatal(err)
	}
	for _, d := range line.AWS.CloudWatchMetrics {
		for _, set := range d.Dimensions {
			dimensions := []in{}
			for _, name := range set {
				dimensions = append(dimensions, in{"Name": name, "Value": fmt.Sprint(members[name])})
			}
			for _, m := range d.Metrics {
				value, ok := members[m.Name].(float64)
				if !ok {
					t.Errorf("metric %s has no value: %s", m.Name, text)
				}
				c.call(t, "cloudwatch", "put_metric_data", in{"Namespace": d.Namespace, "MetricData": []in{
					{"MetricName": m.Name, "Dimensions": dimensions, "Value": value, "Unit": m.Unit},
				}}, nil)
				n++
			}
		}
	}
	return n
}

// alarmAtFirst: right after the deployment no run is complete.
func (c *cloud) alarmAtFirst(t *testing.T) {
	c.subscribe(t)
	for _, logical := range c.alarms(t, "LessThan") { // what has to happen, and has not
		c.put(t, logical, 0)
		c.hears(t, logical, "ALARM")
	}
	for _, logical := range c.alarms(t, "GreaterThan") {
		if c.least(t, logical) {
			c.put(t, logical, int(c.alarm(t, logical)["Threshold"].(float64))+1)
			c.hears(t, logical, "ALARM")
		}
	}
	if state := c.state(t, "NoCompleteRunAlarm"); state != "ALARM" {
		t.Errorf("the alarm for no complete run is %v", state)
	}
}

// least tells whether an alarm judges the least value of a period: it goes off before a function says the least, or not for
// as long as the period is. ModeDiffers is measured in the first hour of each.
func (c *cloud) least(t *testing.T, logical string) bool {
	t.Helper()
	return c.alarm(t, logical)["Statistic"] == "Minimum"
}

// alarms are those with one metric whose comparison begins with a word.
func (c *cloud) alarms(t *testing.T, comparison string) (names []string) {
	t.Helper()
	for logical, r := range c.expect(t).Resources {
		word, _ := r.Properties["ComparisonOperator"].(string)
		if r.Type == "AWS::CloudWatch::Alarm" && r.Properties["MetricName"] != nil && strings.HasPrefix(word, comparison) {
			names = append(names, logical)
		}
	}
	slices.Sort(names)
	return names
}

// alarmOfEach: a value beyond its threshold makes every other alarm heard.
func (c *cloud) alarmOfEach(t *testing.T) {
	heard := 0
	for _, logical := range c.alarms(t, "GreaterThan") {
		if c.least(t, logical) {
			heard++ // at first
			continue
		}
		if c.state(t, logical) != "ALARM" {
			c.put(t, logical, int(c.alarm(t, logical)["Threshold"].(float64))+1)
		}
		c.hears(t, logical, "ALARM")
		heard++
	}
	for logical, r := range c.expect(t).Resources {
		if r.Type == "AWS::CloudWatch::Alarm" && r.Properties["MetricName"] == nil {
			t.Logf("%s judges an expression, which ministack cannot", logical)
		}
	}
	t.Logf("%d alarms went off and reached the subscriber", heard+len(c.alarms(t, "LessThan")))
}

func (c *cloud) alarmEnds(t *testing.T) {
	least := slices.DeleteFunc(c.alarms(t, "GreaterThan"), func(logical string) bool { return !c.least(t, logical) })
	if metrics, want := c.metrics(t), len(c.alarms(t, "LessThan"))+len(least); metrics > want {
		t.Fatalf("ministack knows %d metrics of the functions, %d from here: it reads logs by now, and this test need not", metrics, want)
	}
	c.pump(t)
	c.hears(t, "NoCompleteRunAlarm", "OK")
	if state := c.state(t, "BreakerTrippedAlarm"); state == "ALARM" {
		t.Error("the breaker's alarm stands on a day on which nothing happened")
	}
}

// metrics counts the metrics in the functions' namespace.
func (c *cloud) metrics(t *testing.T) int {
	t.Helper()
	var list struct{ Metrics []in }
	c.call(t, "cloudwatch", "list_metrics", in{"Namespace": c.alarm(t, "NoCompleteRunAlarm")["Namespace"]}, &list)
	return len(list.Metrics)
}

func (c *cloud) alarmOfBreaker(t *testing.T) {
	c.pump(t)
	c.hears(t, "BreakerTrippedAlarm", "ALARM")
}

func (c *cloud) alarmOfDeadLetters(t *testing.T) {
	c.put(t, "DeadLettersAlarm", c.depth(t, c.outputs["DeadLettersQueueUrl"]))
	c.hears(t, "DeadLettersAlarm", "ALARM")
}
