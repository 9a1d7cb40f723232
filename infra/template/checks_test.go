package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// checks says what must hold of the template beyond what CloudFormation itself demands. Each returns
// problems in words; TestSeededMistakes shows that each can fail.
var checks = map[string]func(*Template) []string{
	"build":      checkBuild,
	"roles":      checkRoles,
	"secrets":    checkSecrets,
	"permission": checkPermissions,
	"logs":       checkLogs,
	"failures":   checkFailures,
	"schedules":  checkSchedules,
	"queues":     checkQueues,
	"mapping":    checkMapping,
	"tables":     checkTables,
	"alarms":     checkAlarms,
	"parameters": checkParameters,
	"variables":  checkVariables,
	"outputs":    checkOutputs,
	"dashboard":  checkDashboard,
}

const functionType = "AWS::Serverless::Function"

// folders are the functions by their folder, which is how the rest of the code names them.
var folders = []string{"applier", "checker", "fanout"}

func TestTemplate(t *testing.T) {
	tpl := open(t)
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		t.Run(name, func(t *testing.T) {
			for _, problem := range checks[name](tpl) {
				t.Error(problem)
			}
		})
	}
}

func open(t *testing.T) *Template {
	t.Helper()
	tpl, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// problems collects what is wrong.
type problems []string

func (p *problems) want(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

func checkBuild(t *Template) []string {
	var p problems
	var want []string
	for _, f := range folders {
		want = append(want, FunctionID(f))
	}
	p.want(slices.Equal(t.Resources(functionType), want), "functions are %v, want %v", t.Resources(functionType), want)
	for _, f := range folders {
		id := FunctionID(f)
		// With another CodeUri or BuildMethod SAM builds the wrong thing and says it succeeded.
		p.want(t.Property(id, "CodeUri") == "functions/"+f+"/", "%s: CodeUri %v", id, t.Property(id, "CodeUri"))
		p.want(t.Get("Resources", id, "Metadata", "BuildMethod") == "makefile", "%s: BuildMethod", id)
		p.want(t.Get("Resources", id, "Metadata", "ContextPath") == ".", "%s: ContextPath", id)
		p.want(t.Get("Resources", id, "Metadata", "WorkingDirectory") == ".", "%s: WorkingDirectory", id)
		p.want(number(t.Property(id, "Timeout")) > 0, "%s: no Timeout", id)
		p.want(number(t.Property(id, "MemorySize")) >= 128, "%s: no MemorySize", id)
		// A new account has 10 concurrent executions in all: reserving any can make the deployment fail.
		p.want(t.Property(id, "ReservedConcurrentExecutions") == nil, "%s reserves concurrency", id)
	}
	global := t.Get("Globals", "Function")
	p.want(walk(global, "Runtime") == "provided.al2023", "Runtime %v", walk(global, "Runtime"))
	p.want(walk(global, "Handler") == "bootstrap", "Handler %v", walk(global, "Handler"))
	// A parameter here would be asked by --guided, after the functions were built for another processor.
	one, _ := walk(global, "Architectures").([]any)
	p.want(len(one) == 1 && (one[0] == "arm64" || one[0] == "x86_64"), "Architectures is %v, which the Makefile cannot read", one)
	return p
}

func checkRoles(t *Template) []string {
	var p problems
	users := map[string]string{}
	for _, f := range folders {
		id := FunctionID(f)
		role := target(t.Property(id, "Role"))
		p.want(t.Get("Resources", role, "Type") == "AWS::IAM::Role", "%s: Role %q is not a role of the template", id, role)
		p.want(users[role] == "", "%s: shares the role %s with %s", id, role, users[role])
		users[role] = id
		// With a Role SAM ignores Policies: whoever adds one here would wonder.
		p.want(t.Property(id, "Policies") == nil, "%s: Policies beside Role have no effect", id)
	}
	for _, s := range t.Schedules() {
		role := target(t.Property(s.Function, "Events", s.Event, "Properties", "RoleArn"))
		p.want(role != "" && (users[role] == "" || users[role] == s.Function+"'s schedules"), "%s/%s: the role %q is another's, or SAM's", s.Function, s.Event, role)
		users[role] = s.Function + "'s schedules"
	}
	for _, role := range t.Resources("AWS::IAM::Role") {
		p.want(users[role] != "", "%s: nothing has this role", role)
		p.trust(t, role, users[role])
		boundary, _ := t.Property(role, "PermissionsBoundary").(Call)
		p.want(boundary.Fn == "If" && strings.Contains(fmt.Sprint(boundary.Arg), "{Ref PermissionsBoundary}"), "%s: takes no permissions boundary", role)
		p.want(t.Property(role, "ManagedPolicyArns") == nil, "%s: managed policies allow whole services", role)
		p.want(len(t.Statements(role)) > 0, "%s: no statements", role)
		for _, s := range t.Statements(role) {
			p.want(s.Sid != "", "%s: a statement without Sid", role)
			p.want(len(s.Actions) > 0 && len(s.Resources) > 0, "%s/%s: no action or no resource", role, s.Sid)
			for _, a := range append(s.Actions, s.Resources...) {
				p.want(!strings.Contains(a, "*"), "%s/%s: wildcard in %q", role, s.Sid, a)
			}
			// Whoever reads policies here, and the emulated account's gate, know this condition alone.
			for _, c := range s.Conditions {
				token := s.Sid == "DecryptTokens" && c == "StringEquals kms:EncryptionContext:PARAMETER_ARN" // see checkSecrets
				p.want(c == leading || token, "%s/%s: a condition on %s", role, s.Sid, c)
			}
			for _, k := range s.Keys {
				kind, open := strings.CutSuffix(k, "*")
				p.want(!strings.Contains(kind, "*") && (!open || strings.HasSuffix(kind, "/")), "%s/%s: the keys %q are more than one kind", role, s.Sid, k)
			}
		}
	}
	return p
}

// trust: whoever assumes a role for a service is bound to this account, and to what it acts for.
func (p *problems) trust(t *Template, role, user string) {
	service, within := "lambda.amazonaws.com", ":lambda:"
	if strings.HasSuffix(user, "schedules") {
		service, within = "scheduler.amazonaws.com", ":scheduler:"
	}
	statements, _ := t.Property(role, "AssumeRolePolicyDocument", "Statement").([]any)
	p.want(len(statements) == 1, "%s: %d statements in its trust policy", role, len(statements))
	for _, s := range statements {
		p.want(walk(s, "Principal", "Service") == service, "%s: trusts %v", role, walk(s, "Principal"))
		p.want(walk(s, "Condition", "StringEquals", "aws:SourceAccount") == Call{"Ref", "AWS::AccountId"}, "%s: trusts a service that acts for another account (aws:SourceAccount)", role)
		arns := append(texts(walk(s, "Condition", "ArnLike", "aws:SourceArn")), texts(walk(s, "Condition", "StringEquals", "aws:SourceArn"))...)
		p.want(len(arns) > 0, "%s: trusts a service whatever it acts for (aws:SourceArn)", role)
		for _, arn := range arns {
			p.want(strings.HasPrefix(arn, "Sub arn:${AWS::Partition}"+within+"${AWS::Region}:${AWS::AccountId}:"), "%s: aws:SourceArn %s", role, arn)
			mine := strings.Contains(arn, ":function:${AWS::StackName}-"+strings.ToLower(strings.TrimSuffix(role, "Role")))
			p.want(mine || strings.HasSuffix(arn, ":schedule-group/default") || role == "CheckerRole" && strings.HasSuffix(arn, ":event-source-mapping:*"), "%s: aws:SourceArn %s", role, arn)
		}
	}
}

// checkSecrets: each function reads the one token that it needs, and a key of the operator's own opens that alone.
func checkSecrets(t *Template) []string {
	var p problems
	arn := func(parameter string) Call {
		return Call{"Sub", "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${" + parameter + "}"}
	}
	list := Call{"If", []any{"HasListToken", arn("RegistryListTokenParameter"), arn("RegistryTokenParameter")}}
	for role, token := range map[string]any{"FanoutRole": list, "CheckerRole": arn("StatusTokenParameter"), "ApplierRole": arn("RegistryTokenParameter")} {
		found := false
		policies, _ := t.Property(role, "Policies").([]any)
		for _, policy := range policies {
			raw, _ := walk(policy, "PolicyDocument", "Statement").([]any)
			for _, s := range raw {
				if c, ok := s.(Call); ok {
					s = c.Arg.([]any)[1]
				}
				if slices.Contains(texts(walk(s, "Action")), "kms:Decrypt") {
					found = true
					context := walk(s, "Condition", "StringEquals", "kms:EncryptionContext:PARAMETER_ARN")
					p.want(reflect.DeepEqual(context, token), "%s: decrypts more than its token: %v", role, context)
				}
				if walk(s, "Sid") == "ReadRegistryToken" {
					p.want(reflect.DeepEqual(walk(s, "Resource"), token), "%s: reads %v", role, walk(s, "Resource"))
				}
			}
		}
		p.want(found, "%s: may not decrypt its token", role)
	}
	want := Call{"If", []any{"HasListToken", Call{"Ref", "RegistryListTokenParameter"}, Call{"Ref", "RegistryTokenParameter"}}}
	p.want(reflect.DeepEqual(t.Env("fanout")["LAPSEGUARD_REGISTRY_TOKEN_PARAMETER"], want), "fanout: does not take the token that can only list")
	p.want(t.Get("Parameters", "RegistryListTokenParameter", "Default") == "", "RegistryListTokenParameter: not every registry offers one")
	return p
}

// deciding are partition keys of what decides, one of each kind (shared/records).
var deciding = []string{"guard", "decision/a.com", "holds", "requests", "run/20260302T030000Z", "hosts", "hosts/07", "listed/a.com", "left/20260302T030000Z", "digest", "upstreams"}

// checkPermissions holds each function's variables against its role: what a function is pointed at it may
// use, and it may use nothing else.
func checkPermissions(t *Template) []string {
	var p problems
	for _, f := range folders {
		env := t.Env(f)
		may := map[string][]string{} // resource -> actions
		for _, s := range t.Statements(target(t.Property(FunctionID(f), "Role"))) {
			for _, r := range s.Resources {
				may[r] = append(may[r], s.Actions...)
			}
		}
		has := func(resource, action string) bool { return slices.Contains(may[resource], action) }
		p.want(has("GetAtt DomainsTable.Arn", "dynamodb:PutItem"), "%s: may not write domains", f)
		p.want(has("GetAtt RecordsTable.Arn", "dynamodb:Query"), "%s: may not query records", f)
		for _, pk := range deciding {
			for _, action := range []string{"PutItem", "DeleteItem", "GetItem", "BatchGetItem", "Query"} {
				p.want(f != "checker" || !t.Allowed(f, "dynamodb:"+action, "RecordsTable", pk), "%s: may %s what decides (%s)", f, action, pk)
			}
		}
		p.want(has("GetAtt ChecksQueue.Arn", "sqs:SendMessage"), "%s: may not send checks", f)
		p.want(has("GetAtt DomainsTable.Arn", "dynamodb:Scan") == (f == "fanout"), "%s: Scan is fanout's alone", f)
		p.want(has("GetAtt ChecksQueue.Arn", "sqs:ReceiveMessage") == (f == "checker"), "%s: receiving is checker's alone", f)
		p.want(has("Sub ${DomainsTable.Arn}/index/attention", "dynamodb:Query") == (env["LAPSEGUARD_INDEX_ATTENTION"] != nil),
			"%s: the index and LAPSEGUARD_INDEX_ATTENTION do not go together", f)
		for variable, parameter := range map[string]string{
			"LAPSEGUARD_REGISTRY_TOKEN_PARAMETER": "RegistryTokenParameter",
			"LAPSEGUARD_STATUS_TOKEN_PARAMETER":   "StatusTokenParameter",
			"LAPSEGUARD_MODE_PARAMETER":           "",
		} {
			arn := "Sub arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${" + parameter + "}"
			if parameter == "" {
				arn = "Sub arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/${AWS::StackName}/mode"
			}
			p.want(has(arn, "ssm:GetParameter") == (env[variable] != nil), "%s: %s and the right to read it do not go together", f, variable)
		}
	}
	return p
}

func checkLogs(t *Template) []string {
	var p problems
	for _, f := range folders {
		id := FunctionID(f)
		group := target(t.Property(id, "LoggingConfig", "LogGroup"))
		p.want(t.Get("Resources", group, "Type") == "AWS::Logs::LogGroup", "%s: log group %q is not in the template", id, group)
		p.want(t.Property(group, "RetentionInDays") != nil, "%s: logs are kept for ever", group)
		name := Call{"Sub", "${AWS::StackName}-" + f}
		p.want(t.Property(id, "FunctionName") == name, "%s: FunctionName %v", id, t.Property(id, "FunctionName"))
		p.want(t.Property(group, "LogGroupName") == Call{"Sub", "/aws/lambda/${AWS::StackName}-" + f}, "%s: LogGroupName", group)
		writes := false
		for _, s := range t.Statements(target(t.Property(id, "Role"))) {
			writes = writes || slices.Contains(s.Actions, "logs:PutLogEvents") && slices.Equal(s.Resources, []string{"GetAtt " + group + ".Arn"})
		}
		p.want(writes, "%s: its role may not write its log", id)
	}
	return p
}

// checkFailures: no failed work may vanish.
func checkFailures(t *Template) []string {
	var p problems
	for _, s := range t.Schedules() {
		to := target(t.Property(s.Function, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination"))
		p.want(t.Get("Resources", to, "Type") == "AWS::SQS::Queue", "%s: a failed invocation goes nowhere", s.Function)
		p.want(t.Property(s.Function, "EventInvokeConfig", "MaximumRetryAttempts") != nil, "%s: retries not stated", s.Function)
		p.want(s.DeadLetter == to && to != "", "%s/%s: an undelivered event goes to %q, want %q", s.Function, s.Event, s.DeadLetter, to)
		p.want(!t.Queue(to).FIFO, "%s: Lambda cannot send a failure to a FIFO queue", s.Function)
		sends := false
		for _, st := range t.Statements(target(t.Property(s.Function, "Role"))) {
			sends = sends || slices.Contains(st.Actions, "sqs:SendMessage") && slices.Equal(st.Resources, []string{"GetAtt " + to + ".Arn"})
		}
		p.want(sends, "%s: its role may not send to %s", s.Function, to)
	}
	return p
}

var (
	rate = regexp.MustCompile(`^rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)$`)
	cron = regexp.MustCompile(`^cron\([0-9*,/?-]+( [0-9A-Z*,/?#-]+){5}\)$`)
)

func checkSchedules(t *Template) []string {
	var p problems
	actions := map[string]string{}
	for _, s := range t.Schedules() {
		at := s.Function + "/" + s.Event
		// cfn-lint and SAM take any text here.
		p.want(rate.MatchString(s.Expression) || cron.MatchString(s.Expression), "%s: bad expression %q", at, s.Expression)
		var input struct{ Action string }
		err := json.Unmarshal([]byte(s.Input), &input)
		p.want(err == nil && input.Action != "", "%s: bad input %q", at, s.Input)
		actions[at] = input.Action + " " + s.Expression
		events := t.Property(s.Function, "Events", s.Event, "Properties")
		name, _ := walk(events, "Name").(Call)
		p.want(strings.Contains(text(name.Arg), "${AWS::StackName}"), "%s: the name is not this stack's own", at)
		p.want(walk(events, "RetryPolicy", "MaximumEventAgeInSeconds") != nil, "%s: a late event is delivered up to a day later", at)
	}
	want := map[string]string{
		"FanoutFunction/Daily":  "run " + text(t.Get("Parameters", "DailySchedule", "Default")),
		"FanoutFunction/Resume": "resume rate(15 minutes)",
		"ApplierFunction/Tick":  "tick rate(15 minutes)",
	}
	p.want(maps.Equal(actions, want), "schedules are %v, want %v", actions, want)
	return p
}

func checkQueues(t *Template) []string {
	var p problems
	for _, name := range t.Resources("AWS::SQS::Queue") {
		q := t.Queue(name)
		p.want(t.Property(name, "SqsManagedSseEnabled") == true, "%s: not encrypted", name)
		p.want(q.Retention == 14*24*3600, "%s: keeps messages for %d s, want 14 days", name, q.Retention)
		queueName, _ := t.Property(name, "QueueName").(Call)
		p.want(strings.HasSuffix(text(queueName.Arg), ".fifo") == q.FIFO, "%s: a FIFO queue's name ends in .fifo, and only that", name)
		p.want(strings.HasPrefix(text(queueName.Arg), "${AWS::StackName}-"), "%s: the name is not this stack's own", name)
		if q.DeadLetters != "" {
			p.want(t.Queue(q.DeadLetters).FIFO == q.FIFO, "%s: dead-letter queue of another kind", name)
			p.want(q.MaxReceive == 5, "%s: maxReceiveCount %d, want 5", name, q.MaxReceive)
		}
	}
	guarded := map[string]bool{}
	for _, name := range t.Resources("AWS::SQS::QueuePolicy") {
		queue := target(first(t.Property(name, "Queues")))
		guarded[queue] = p.policy(t, name, queue)
	}
	for _, name := range t.Resources("AWS::SQS::Queue") {
		p.want(guarded[name], "%s: no policy keeps other accounts out", name)
	}
	const checksQueue = "ChecksQueue"
	p.want(t.Queue(checksQueue).FIFO, "%s: not FIFO", checksQueue)
	p.want(t.Queue(checksQueue).DeadLetters == "DeadLettersQueue", "%s: no dead-letter queue", checksQueue)
	// High throughput mode: without it the queue takes 300 requests a second over all groups.
	p.want(t.Property(checksQueue, "DeduplicationScope") == "messageGroup", "%s: DeduplicationScope", checksQueue)
	p.want(t.Property(checksQueue, "FifoThroughputLimit") == "perMessageGroupId", "%s: FifoThroughputLimit", checksQueue)
	p.want(t.Property(checksQueue, "ContentBasedDeduplication") == false, "%s: the sender's id must count", checksQueue)
	return p
}

// policy tells whether a queue's policy refuses other accounts, and services that act for one, and allows nobody.
func (p *problems) policy(t *Template, name, queue string) bool {
	principals, services := false, false
	statements, _ := t.Property(name, "PolicyDocument", "Statement").([]any)
	for _, s := range statements {
		p.want(walk(s, "Effect") == "Deny", "%s: allows somebody: that belongs into a role", name)
		p.want(target(walk(s, "Resource")) == queue, "%s: is about %v", name, walk(s, "Resource"))
		all := walk(s, "Principal") == "*" && walk(s, "Action") == "sqs:*"
		not := walk(s, "Condition", "StringNotEquals")
		service := walk(s, "Condition", "Bool", "aws:PrincipalIsAWSService")
		account := Call{"Ref", "AWS::AccountId"}
		principals = principals || all && service == "false" && walk(not, "aws:PrincipalAccount") == account
		services = services || all && service == "true" && walk(not, "aws:SourceAccount") == account && walk(s, "Condition", "Null", "aws:SourceAccount") == "false"
	}
	p.want(services, "%s: a service may act on it for another account (aws:SourceAccount)", name)
	return principals
}

func checkMapping(t *Template) []string {
	var p problems
	events, _ := t.Property("CheckerFunction", "Events").(map[string]any)
	p.want(len(events) == 1, "CheckerFunction has %d events, want the queue alone", len(events))
	for name, e := range events {
		p.want(walk(e, "Type") == "SQS", "CheckerFunction/%s: not SQS", name)
		e = walk(e, "Properties")
		from := target(walk(e, "Queue"))
		p.want(from == "ChecksQueue", "CheckerFunction/%s: reads %s", name, from)
		size := number(walk(e, "BatchSize"))
		p.want(size == queue.BatchSize && size <= 10, "CheckerFunction/%s: BatchSize %d, want %d", name, size, queue.BatchSize)
		p.want(walk(e, "MaximumBatchingWindowInSeconds") == nil, "CheckerFunction/%s: FIFO has no batching window", name)
		p.want(slices.Equal(texts(walk(e, "FunctionResponseTypes")), []string{"ReportBatchItemFailures"}), "CheckerFunction/%s: no partial answers", name)
		p.want(walk(e, "ScalingConfig", "MaximumConcurrency") == Call{"Ref", "CheckerConcurrency"}, "CheckerFunction/%s: no MaximumConcurrency", name)
		p.want(walk(e, "Enabled") == nil || walk(e, "Enabled") == true, "CheckerFunction/%s: not enabled", name)
		limit := 6 * number(t.Property("CheckerFunction", "Timeout"))
		p.want(t.Queue(from).VisibilityTimeout >= limit, "%s: VisibilityTimeout %d s, want at least %d (6 times the function's)",
			from, t.Queue(from).VisibilityTimeout, limit)
	}
	return p
}

func checkTables(t *Template) []string {
	var p problems
	for _, name := range t.Resources("AWS::DynamoDB::Table") {
		p.want(t.Property(name, "BillingMode") == "PAY_PER_REQUEST", "%s: not on demand", name)
		p.want(t.Property(name, "TimeToLiveSpecification", "Enabled") == true, "%s: no TTL", name)
		p.want(t.Property(name, "TimeToLiveSpecification", "AttributeName") == "ttl", "%s: TTL attribute", name)
		p.want(t.Property(name, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") == true, "%s: no PITR", name)
		p.want(t.Property(name, "SSESpecification", "SSEEnabled") == true, "%s: no SSE", name)
		p.want(t.Property(name, "DeletionProtectionEnabled") == true, "%s: one call deletes it", name)
		p.want(t.Get("Resources", name, "DeletionPolicy") == "Retain", "%s: goes with the stack", name)
		p.want(t.Get("Resources", name, "UpdateReplacePolicy") == "Retain", "%s: goes with a replacement", name)
	}
	p.want(keys(t.Property("DomainsTable", "KeySchema")) == "pk HASH", "DomainsTable: keys %s", keys(t.Property("DomainsTable", "KeySchema")))
	p.want(keys(t.Property("RecordsTable", "KeySchema")) == "pk HASH, sk RANGE", "RecordsTable: keys")
	types := map[any]any{}
	for _, table := range []string{"DomainsTable", "RecordsTable"} {
		list, _ := t.Property(table, "AttributeDefinitions").([]any)
		for _, a := range list {
			types[walk(a, "AttributeName")] = walk(a, "AttributeType")
		}
	}
	p.want(maps.Equal(types, map[any]any{"pk": "S", "sk": "S", "ps": "S", "pd": "N"}), "attributes are %v", types)
	indexes, _ := t.Property("DomainsTable", "GlobalSecondaryIndexes").([]any)
	p.want(len(indexes) == 1, "DomainsTable: %d indexes", len(indexes))
	for _, index := range indexes {
		p.want(keys(walk(index, "KeySchema")) == "ps HASH, pd RANGE", "DomainsTable: the index's keys are %s", keys(walk(index, "KeySchema")))
		p.want(walk(index, "Projection", "ProjectionType") == "KEYS_ONLY", "DomainsTable: the index copies more than keys")
		p.want(walk(index, "IndexName") == t.Env("applier")["LAPSEGUARD_INDEX_ATTENTION"], "the index is not the one that applier asks")
	}
	return p
}

// keys writes a KeySchema as "pk HASH, sk RANGE".
func keys(v any) string {
	list, _ := v.([]any)
	var out []string
	for _, k := range list {
		out = append(out, fmt.Sprint(walk(k, "AttributeName"), " ", walk(k, "KeyType")))
	}
	return strings.Join(out, ", ")
}

func checkAlarms(t *Template) []string {
	var p problems
	watched := map[string]bool{}
	for _, name := range t.Resources("AWS::CloudWatch::Alarm") {
		metric := fmt.Sprint(t.Property(name, "Namespace"), "/", t.Property(name, "MetricName"))
		dimensions, _ := t.Property(name, "Dimensions").([]any)
		for _, d := range dimensions {
			metric += " " + target(walk(d, "Value"))
		}
		watched[metric] = true
		p.want(target(first(t.Property(name, "AlarmActions"))) == "AlarmTopic", "%s: tells nobody", name)
		description := text(t.Property(name, "AlarmDescription"))
		p.want(len(description) >= 120 && len(description) <= 1024, "%s: a description of %d bytes does not say what it means", name, len(description))
		p.want(strings.Contains(description, "RUNBOOK: "), "%s: the description names no heading of the runbook", name)
		p.want(regexp.MustCompile(`(?i)account|domain|lapse`).MatchString(description), "%s: says nothing of accounts or domains", name)
		silence := text(t.Property(name, "TreatMissingData"))
		p.want(silence == map[bool]string{true: "breaching", false: "notBreaching"}[strings.HasSuffix(metric, "/RunCompleted") || strings.HasSuffix(metric, "/CanaryCompleted")], "%s: TreatMissingData %q", name, silence)
		// CloudWatch's limit for periods of an hour and more is seven days in all.
		span := number(t.Property(name, "Period")) * number(t.Property(name, "EvaluationPeriods"))
		p.want(span > 0 && span <= 7*24*3600, "%s: looks at %d s", name, span)
		if strings.HasSuffix(metric, "/RunCompleted") {
			p.want(span == 26*3600 && number(t.Property(name, "Period")) >= 3600, "%s: looks at %d s, want 26 h", name, span)
			p.want(t.Property(name, "ComparisonOperator") == "LessThanThreshold" && number(t.Property(name, "Threshold")) == 1, "%s: threshold", name)
		}
	}
	want := []string{
		"AWS/SQS/ApproximateNumberOfMessagesVisible DeadLettersQueue",
		"AWS/SQS/ApproximateNumberOfMessagesVisible FailuresQueue",
	}
	// The functions write these without dimensions, so an alarm with dimensions would never see them.
	for _, own := range []string{telemetry.RunCompleted, telemetry.BreakerTripped, telemetry.RecoveryOpen, telemetry.RegistryFailing} {
		want = append(want, telemetry.Namespace+"/"+own)
	}
	for _, f := range folders {
		want = append(want, "AWS/Lambda/Errors "+FunctionID(f))
	}
	want = append(want, "AWS/Lambda/Throttles", telemetry.Namespace+"/"+telemetry.ModeDiffers)
	for _, w := range want {
		p.want(watched[w], "no alarm watches %s", w)
	}
	return p
}

func first(v any) any {
	if list, _ := v.([]any); len(list) > 0 {
		return list[0]
	}
	return nil
}

func checkParameters(t *Template) []string {
	var p problems
	all, _ := t.Get("Parameters").(map[string]any)
	shown := map[string]int{}
	groups, _ := t.Get("Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").([]any)
	for _, g := range groups {
		for _, name := range texts(walk(g, "Parameters")) {
			shown[name]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p.want(shown[name] == 1, "%s: stands %d times in the groups of the console", name, shown[name])
		d := text(walk(all[name], "Description"))
		p.want(len(d) >= 20 && strings.HasSuffix(d, "."), "%s: no sentence that describes it", name)
		checkParameter(&p, name, all[name])
	}
	// The code's own ceilings, so that the console refuses what the function would not start with.
	p.want(float64(number(t.Get("Parameters", "BreakerShare", "MaxValue"))) == 100*safety.MaxShare, "BreakerShare: MaxValue is not %v", 100*safety.MaxShare)
	p.want(t.Get("Parameters", "BreakerCount", "Default") == strconv.Itoa(safety.DefaultCount), "BreakerCount: Default is not %d", safety.DefaultCount)
	p.want(t.Get("Parameters", "BreakerShare", "Default") == 100*safety.DefaultShare, "BreakerShare: Default is not %v", 100*safety.DefaultShare)
	for name, bounds := range wholeNumbers {
		checkWhole(&p, name, text(walk(all[name], "AllowedPattern")), bounds)
	}
	schedule := regexp.MustCompile(text(t.Get("Parameters", "DailySchedule", "AllowedPattern")))
	for at, ok := range map[string]bool{"0 0": true, "59 23": true, "05 07": true, "17 3": true, "75 30": false, "60 3": false, "17 24": false, "17 3 ": false} {
		p.want(schedule.MatchString("cron("+at+" * * ? *)") == ok, "DailySchedule: cron(%s * * ? *) is allowed: %t", at, !ok)
	}
	p.want(len(shown) == len(all), "the console shows %d parameters of %d", len(shown), len(all))
	return p
}

// wholeNumbers are the parameters that the functions read as whole numbers, with their least and greatest. Their type
// is String, because CloudFormation takes a fraction for a Number and keeps AllowedPattern for strings.
var wholeNumbers = map[string][2]int{
	"BreakerCount": {1, safety.MaxCount}, "Segments": {1, 64}, "BaselineDays": {1, 90}, "CheckerConcurrency": {2, 1000},
	"AcceptedUnknown": {0, 1_000_000}, "AcceptedNotCovered": {0, 1_000_000},
}

// checkWhole holds a pattern against its numbers, and against what crashes a function at its start.
func checkWhole(p *problems, name, pattern string, bounds [2]int) {
	allowed, err := regexp.Compile(pattern)
	if err != nil || pattern == "" {
		p.want(false, "%s: a whole number needs a pattern", name)
		return
	}
	low, high := bounds[0], bounds[1]
	for n := max(low-2, 0); n <= high+2000; n++ {
		if in := n >= low && n <= high; allowed.MatchString(strconv.Itoa(n)) != in {
			p.want(false, "%s: %d is allowed: %t", name, n, !in)
			return
		}
	}
	for _, s := range []string{"", "-1", "20.5", "14.5", "+3", "1e1", "03", " 3", strconv.Itoa(high * 10)} {
		p.want(!allowed.MatchString(s), "%s: %q is allowed", name, s)
	}
}

// checkParameter: a typo must fail at the deployment, so each has bounds, and its default keeps them.
func checkParameter(p *problems, name string, v any) {
	value := walk(v, "Default")
	if values, ok := walk(v, "AllowedValues").([]any); ok {
		p.want(slices.Contains(values, value), "%s: the default %v is not allowed", name, value)
		return
	}
	if walk(v, "Type") == "Number" {
		low, err1 := strconv.ParseFloat(fmt.Sprint(walk(v, "MinValue")), 64)
		high, err2 := strconv.ParseFloat(fmt.Sprint(walk(v, "MaxValue")), 64)
		n, err3 := strconv.ParseFloat(fmt.Sprint(value), 64)
		p.want(err1 == nil && err2 == nil && err3 == nil, "%s: a number needs MinValue, MaxValue and Default", name)
		p.want(low <= n && n <= high, "%s: the default %v is not allowed", name, value)
		return
	}
	pattern, err := regexp.Compile(text(walk(v, "AllowedPattern")))
	p.want(err == nil && pattern.String() != "", "%s: no AllowedPattern", name)
	p.want(strings.HasPrefix(pattern.String(), "^") && strings.HasSuffix(pattern.String(), "$"), "%s: the pattern is open at an end", name)
	p.want(text(walk(v, "ConstraintDescription")) != "", "%s: says nothing when the pattern refuses", name)
	if value != nil && err == nil {
		p.want(pattern.MatchString(text(value)), "%s: the default %q is not allowed", name, value)
	}
}

// variables that every function gets, and those of its own.
var variables = map[string]string{
	"":       "TABLE_DOMAINS TABLE_RECORDS QUEUE_URL CONTACT",
	"fanout": "REGISTRY_URL REGISTRY_TOKEN_PARAMETER SEGMENTS BASELINE_DAYS RDAP_BOOTSTRAP RDAP_RATE",
	"checker": "DEAD_LETTERS_URL ACCEPTED_SILENT GRACE_ACTION BASELINE_DAYS RDAP_BOOTSTRAP RDAP_RATE DNS_SERVERS DNS_RESOLVER OWN_SERVERS CANARIES " +
		"STATUS_URL STATUS_API STATUS_TOKEN_PARAMETER",
	"applier": "INDEX_ATTENTION REGISTRY_URL REGISTRY_TOKEN_PARAMETER MODE MODE_PARAMETER UNVERIFY_AT " +
		"BREAKER_COUNT BREAKER_SHARE PROTECTED ACCEPTED_SILENT DIGEST_TOPIC",
}

func checkVariables(t *Template) []string {
	var p problems
	for _, f := range folders {
		want := []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_SSM"}
		for _, v := range strings.Fields(variables[""] + " " + variables[f]) {
			want = append(want, "LAPSEGUARD_"+v)
		}
		if f == "applier" {
			want = append(want, "AWS_ENDPOINT_URL_SNS")
		}
		slices.Sort(want)
		p.want(slices.Equal(t.EnvNames(f), want), "%s gets %v, want %v", f, t.EnvNames(f), want)
		for name, value := range t.EnvDefaults(f) {
			p.want(!strings.HasPrefix(name, "AWS_ENDPOINT_URL") || value == "", "%s: %s is %q by default", f, name, value)
		}
	}
	p.want(t.Get("Parameters", "Mode", "Default") == "observe", "Mode: observe must be the default")
	p.want(len(t.Resources("AWS::SSM::Parameter")) == 0, "a parameter of SSM is a resource: an update would turn the kill switch back")
	p.want(t.Env("applier")["LAPSEGUARD_MODE_PARAMETER"] == Call{"Sub", "/${AWS::StackName}/mode"} && t.Get("Outputs", "ModeParameterName", "Value") == Call{"Sub", "/${AWS::StackName}/mode"},
		"the kill switch is not /STACK/mode, which make mode turns")
	p.want(t.Get("Parameters", "GraceAction", "Default") == "hold", "GraceAction: hold must be the default")
	p.want(t.Get("Parameters", "UnverifyAt", "Default") == "pending-delete", "UnverifyAt: pending-delete must be the default")
	return p
}

func checkOutputs(t *Template) []string {
	var p problems
	all, _ := t.Get("Outputs").(map[string]any)
	for name, o := range all {
		p.want(len(text(walk(o, "Description"))) > 10, "%s: no description", name)
	}
	for _, name := range []string{"DomainsTableName", "RecordsTableName", "ChecksQueueUrl", "DeadLettersQueueUrl", "FailuresQueueUrl",
		"ModeParameterName", "AlarmTopicArn", "FanoutFunctionName", "CheckerFunctionName", "ApplierFunctionName"} {
		p.want(all[name] != nil, "no output %s", name)
	}
	return p
}
