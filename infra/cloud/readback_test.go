package cloud

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/infra/template"
)

// notRead are properties that ministack drops, or gives nobody back; dropped looks at them in the translated
// template. A type without properties is dropped whole.
var notRead = map[string][]string{
	"AWS::DynamoDB::Table":           {"TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification", "TableClass"},
	"AWS::Lambda::Function":          {"Code", "Tags"},
	"AWS::Lambda::EventInvokeConfig": nil,
}

// readBack holds every property of every resource in the template against what the account has.
func (c *cloud) readBack(t *testing.T) {
	e := c.expect(t)
	read, types := 0, map[string]int{}
	for _, logical := range slices.Sorted(maps.Keys(e.Resources)) {
		r := e.Resources[logical]
		if r.Condition != "" && !e.holds(r.Condition) {
			if c.physical[logical] != "" {
				t.Errorf("%s was made, though %s does not hold", logical, r.Condition)
			}
			continue
		}
		if c.physical[logical] == "" {
			t.Errorf("%s was not made", logical)
			continue
		}
		types[r.Type]++
		skip, known := notRead[r.Type]
		if known && skip == nil {
			continue
		}
		got := c.deployed(t, r.Type, c.physical[logical])
		for name, want := range e.value(r.Properties).(map[string]any) {
			have, ok := got[name]
			if !ok {
				if !slices.Contains(skip, name) {
					t.Errorf("%s (%s): %s cannot be read back: read it in deployed, or name it in notRead and look at it in dropped", logical, r.Type, name)
				}
				continue
			}
			read++
			if diff := cmp.Diff(texts(want), texts(have)); diff != "" {
				t.Errorf("%s (%s): %s differs (-template +account):\n%s", logical, r.Type, name, diff)
			}
		}
	}
	for name, o := range e.Outputs {
		if want := e.value(o.Value); want != c.outputs[name] {
			t.Errorf("output %s is %q, want %q", name, c.outputs[name], want)
		}
	}
	t.Logf("%d properties of %d resources and %d outputs compared: %v", read, len(e.Resources), len(e.Outputs), types)
}

// deployed reads one resource from the account, with its properties named as in CloudFormation.
func (c *cloud) deployed(t *testing.T, kind, physical string) in {
	t.Helper()
	switch kind {
	case "AWS::DynamoDB::Table":
		return c.table(t, physical)
	case "AWS::SQS::Queue":
		a := c.one(t, "sqs", "get_queue_attributes", in{"QueueUrl": physical, "AttributeNames": []string{"All"}}, "Attributes")
		a["QueueName"] = physical[strings.LastIndexByte(physical, '/')+1:]
		return a
	case "AWS::SQS::QueuePolicy": // named after its queue in the template
		logical := strings.Split(physical, "-")
		url := c.physical[strings.TrimSuffix(logical[len(logical)-2], "Policy")]
		return in{"Queues": []any{url}, "PolicyDocument": c.one(t, "sqs", "get_queue_attributes", in{"QueueUrl": url, "AttributeNames": []string{"All"}}, "Attributes")["Policy"]}
	case "AWS::Lambda::Function":
		return c.one(t, "lambda", "get_function", in{"FunctionName": physical}, "Configuration")
	case "AWS::Lambda::EventSourceMapping":
		m := c.one(t, "lambda", "get_event_source_mapping", in{"UUID": physical})
		arn := m["FunctionArn"].(string)
		m["FunctionName"] = arn[strings.LastIndexByte(arn, ':')+1:]
		return m
	case "AWS::Scheduler::Schedule":
		return c.one(t, "scheduler", "get_schedule", in{"Name": physical})
	case "AWS::CloudWatch::Alarm":
		return c.one(t, "cloudwatch", "describe_alarms", in{"AlarmNames": []string{physical}}, "MetricAlarms")
	case "AWS::CloudWatch::Dashboard":
		return c.one(t, "cloudwatch", "get_dashboard", in{"DashboardName": physical})
	case "AWS::Logs::LogGroup":
		g := c.one(t, "logs", "describe_log_groups", in{"logGroupNamePrefix": physical}, "logGroups")
		return in{"LogGroupName": g["logGroupName"], "RetentionInDays": g["retentionInDays"]}
	case "AWS::SNS::Topic":
		return in{"TopicName": physical[strings.LastIndexByte(physical, ':')+1:]}
	case "AWS::SNS::Subscription":
		return c.one(t, "sns", "list_subscriptions", nil, "Subscriptions") // the only one by then
	case "AWS::IAM::Role":
		return c.role(t, physical)
	}
	t.Errorf("%s %s cannot be read back", kind, physical)
	return nil
}

// one calls an operation and gives the part of its answer at path; of a list the first.
func (c *cloud) one(t *testing.T, service, operation string, input in, path ...string) in {
	t.Helper()
	var v any
	c.call(t, service, operation, input, &v)
	for _, p := range path {
		m, _ := v.(in)
		v = m[p]
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
	}
	m, ok := v.(in)
	if !ok {
		t.Fatalf("%s %s %v: no %v in the answer", service, operation, input, path)
	}
	return m
}

// table leaves out what is not set: that is what a stack's table must not lack unseen.
func (c *cloud) table(t *testing.T, name string) in {
	t.Helper()
	table := c.one(t, "dynamodb", "describe_table", in{"TableName": name}, "Table")
	billing, _ := table["BillingModeSummary"].(in)
	table["BillingMode"] = billing["BillingMode"]
	ttl := c.one(t, "dynamodb", "describe_time_to_live", in{"TableName": name}, "TimeToLiveDescription")
	if ttl["TimeToLiveStatus"] == "ENABLED" {
		table["TimeToLiveSpecification"] = in{"AttributeName": ttl["AttributeName"], "Enabled": true}
	}
	if class, ok := table["TableClassSummary"].(in); ok {
		table["TableClass"] = class["TableClass"]
	}
	pitr := c.one(t, "dynamodb", "describe_continuous_backups", in{"TableName": name}, "ContinuousBackupsDescription", "PointInTimeRecoveryDescription")
	if pitr["PointInTimeRecoveryStatus"] == "ENABLED" {
		table["PointInTimeRecoverySpecification"] = in{"PointInTimeRecoveryEnabled": true}
	}
	return table
}

func (c *cloud) role(t *testing.T, name string) in {
	t.Helper()
	role := c.one(t, "iam", "get_role", in{"RoleName": name}, "Role")
	var policies struct{ PolicyNames []string }
	c.call(t, "iam", "list_role_policies", in{"RoleName": name}, &policies)
	var list []any
	for _, p := range policies.PolicyNames {
		policy := c.one(t, "iam", "get_role_policy", in{"RoleName": name, "PolicyName": p})
		list = append(list, in{"PolicyName": p, "PolicyDocument": policy["PolicyDocument"]})
	}
	role["Policies"] = list
	var attached struct {
		AttachedPolicies []struct{ PolicyArn string }
	}
	c.call(t, "iam", "list_attached_role_policies", in{"RoleName": name}, &attached)
	if len(attached.AttachedPolicies) > 0 {
		t.Errorf("role %s has managed policies: %+v", name, attached)
	}
	return role
}

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

// log reads what a function wrote, line by line; a later call gives the same and more.
func (c *cloud) log(t *testing.T, folder string) (lines []string) {
	t.Helper()
	var out struct{ Events []struct{ Message string } }
	name := strings.TrimSuffix(template.FunctionID(folder), "Function") + "Logs"
	c.call(t, "logs", "filter_log_events", in{"logGroupName": c.physical[name]}, &out)
	for _, e := range out.Events {
		lines = append(lines, e.Message)
	}
	return lines
}

// say prints the end of each function's log where the test failed.
func (c *cloud) say(t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, folder := range folders {
		lines := c.log(t, folder)
		for _, line := range lines[max(0, len(lines)-60):] {
			t.Logf("%s: %s", folder, line)
		}
	}
}

// logged are the lines of a function's log that have a text in them.
func (c *cloud) logged(t *testing.T, folder, text string) []string {
	t.Helper()
	return slices.DeleteFunc(c.log(t, folder), func(line string) bool { return !strings.Contains(line, text) })
}

// invocations counts how often a function ran.
func (c *cloud) invocations(t *testing.T, folder string) int {
	t.Helper()
	return len(c.logged(t, folder, "START RequestId"))
}

// noAddress: the guard's tables and logs hold domains and counts.
func (c *cloud) noAddress(t *testing.T) {
	all, err := c.registry.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string][]string{}
	for _, folder := range folders {
		kept["log of "+folder] = c.log(t, folder)
	}
	for _, table := range []string{"DomainsTableName", "RecordsTableName"} {
		kept[table] = c.items(t, c.outputs[table])
	}
	for where, texts := range kept {
		if len(texts) == 0 {
			t.Errorf("%s: there is nothing", where)
		}
		for i, a := range all {
			if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, a.Address) }) {
				t.Errorf("%s has address %d", where, i)
			}
		}
	}
}

// items are the texts in all items of a table.
func (c *cloud) items(t *testing.T, table string) (texts []string) {
	t.Helper()
	pages := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(c.cfg), &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			for _, v := range item {
				if s, ok := v.(*dynamodbtypes.AttributeValueMemberS); ok { // all else is numbers
					texts = append(texts, s.Value)
				}
			}
		}
	}
	return texts
}
