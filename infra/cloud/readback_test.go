package cloud

import (
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/lapseguard/lapseguard/infra/template"
)

// depth is the number of messages in a queue, in flight or not.
func (c *cloud) depth(t *testing.T, url string) int {
	t.Helper()
	names := []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}
	out, err := c.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		v, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			t.Fatal(err)
		}
		n += v
	}
	return n
}

// logEvent is one line of a function's log.
type logEvent struct {
	EventID, Message string
}

// log reads what a function wrote, whole.
func (c *cloud) log(t *testing.T, folder string) []logEvent {
	t.Helper()
	var out struct{ Events []logEvent }
	name := strings.TrimSuffix(template.FunctionID(folder), "Function") + "Logs"
	c.call(t, "logs", "filter_log_events", in{"logGroupName": c.physical[name]}, &out)
	return out.Events
}

// say prints the end of each function's log where the test failed.
func (c *cloud) say(t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, folder := range folders {
		events := c.log(t, folder)
		for _, e := range events[max(0, len(events)-60):] {
			if strings.HasPrefix(e.Message, "{") {
				t.Logf("%s: %s", folder, e.Message)
			}
		}
	}
}

// invocations counts how often a function ran.
func (c *cloud) invocations(t *testing.T, folder string) int {
	t.Helper()
	n := 0
	for _, e := range c.log(t, folder) {
		if strings.HasPrefix(e.Message, "START ") {
			n++
		}
	}
	return n
}

// noAddress: the guard's tables and logs hold domains and counts.
func (c *cloud) noAddress(t *testing.T) {
	all, err := c.registry.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		events := c.log(t, folder)
		if len(events) == 0 {
			t.Errorf("%s has no log", folder)
		}
		for _, e := range events {
			for i, a := range all {
				if strings.Contains(e.Message, a.Address) {
					t.Errorf("the log of %s has address %d", folder, i)
				}
			}
		}
	}
}
