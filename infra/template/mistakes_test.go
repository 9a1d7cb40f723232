package template

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mistakes are made one at a time; the named check must notice each with these words.
var mistakes = []struct {
	check, old, new, words string
}{
	{"build", "CodeUri: functions/checker/", "CodeUri: .", "CheckerFunction: CodeUri"},
	{"build", "Timeout: 900", "ReservedConcurrentExecutions: 1", "reserves concurrency"},
	{"build", "Architectures: [arm64]", "Architectures: [!Ref Architecture]", "which the Makefile cannot read"},
	{"roles", "      PermissionsBoundary: !If [HasBoundary, !Ref PermissionsBoundary, !Ref AWS::NoValue]\n", "", "takes no permissions boundary"},
	{"roles", "Role: !GetAtt CheckerRole.Arn", "Role: !GetAtt FanoutRole.Arn", "shares the role"},
	{"roles", "Resource: !GetAtt RecordsTable.Arn", `Resource: "*"`, "wildcard"},
	{"roles", `"dynamodb:Scan", `, `"dynamodb:*", `, "wildcard"},
	{"roles", "Description: What checker may do.", "ManagedPolicyArns: [x]", "managed policies"},
	{"roles", "              StringEquals: { \"aws:SourceAccount\": !Ref AWS::AccountId }\n", "", "aws:SourceAccount"},
	{"roles", "${AWS::StackName}-applier:*", "${AWS::StackName}-fanout:*", "ApplierRole: aws:SourceArn"},
	{"roles", ":schedule-group/default", ":schedule-group/*", "FanoutScheduleRole: aws:SourceArn"},
	{"roles", "            RoleArn: !GetAtt ApplierScheduleRole.Arn\n", "", "another's, or SAM's"},
	{"roles", "RoleArn: !GetAtt ApplierScheduleRole.Arn", "RoleArn: !GetAtt FanoutScheduleRole.Arn", "another's, or SAM's"},
	{"secrets", "\"kms:EncryptionContext:PARAMETER_ARN\"", "\"kms:EncryptionContext:X\"", "decrypts more than its token"},
	{"secrets", "!If [HasListToken, !Ref RegistryListTokenParameter, !Ref RegistryTokenParameter]", "!Ref RegistryTokenParameter", "only list"},
	{"queues", "{ \"aws:PrincipalAccount\": !Ref AWS::AccountId }", "{ \"aws:PrincipalAccount\": \"1\" }", "keeps other accounts out"},
	{"queues", "{ \"aws:SourceAccount\": !Ref AWS::AccountId }\n              Bool", "{ \"aws:SourceAccount\": \"1\" }\n              Bool", "for another account"},
	{"queues", "            Effect: Deny", "            Effect: Allow", "allows somebody"},
	{"tables", "      DeletionProtectionEnabled: true", "      DeletionProtectionEnabled: false", "one call deletes it"},
	{"permission", `["sqs:ReceiveMessage", `, `[`, "receiving is checker's alone"},
	{"permission", `Action: ["dynamodb:GetItem", `, `Action: ["dynamodb:Scan", "dynamodb:GetItem", `, "Scan is fanout's alone"},
	{"permission", `["dependents/*"]`, `["dependents/*", "decision/*"]`, "checker: may DeleteItem what decides (decision/a.com)"},
	{"permission", `{ "dynamodb:LeadingKeys": ["budgets", "current", "denied"] }`, `{ "dynamodb:LeadingKeys": ["budgets", "current", "denied", "guard"] }`, "checker: may GetItem what decides (guard)"},
	{"roles", `["depends/*", "dependents/*"]`, `["*"]`, "more than one kind"},
	{"roles", `"ForAllValues:StringLike": { "dynamodb:LeadingKeys": ["budgets", "current", "denied"] }`, `"ForAllValues:StringNotLike": { "dynamodb:LeadingKeys": ["budgets", "current", "denied"] }`, "a condition on ForAllValues:StringNotLike"},
	{"permission", "parameter/${AWS::StackName}/mode", "parameter/${AWS::StackName}/mood", "LAPSEGUARD_MODE_PARAMETER"},
	{"permission", "/index/attention", "/index/other", "do not go together"},
	{"logs", "      RetentionInDays: !Ref LogRetentionDays\n  CheckerLogs", "  CheckerLogs", "kept for ever"},
	{"logs", "Resource: !GetAtt ApplierLogs.Arn", "Resource: !GetAtt FanoutLogs.Arn", "may not write its log"},
	{"failures", "DeadLetterConfig: { Arn: !GetAtt FailuresQueue.Arn }", "", "undelivered event"},
	{"failures", "OnFailure: { Type: SQS, Destination: !GetAtt FailuresQueue.Arn }", "OnFailure: { Type: SQS }", "goes nowhere"},
	{"failures", "Resource: !GetAtt FailuresQueue.Arn", "Resource: !GetAtt ChecksQueue.Arn", "may not send to FailuresQueue"},
	{"schedules", "rate(15 minutes)", "rate(15 minute)", "bad expression"},
	{"schedules", `{"action":"tick"}`, `{"action":"tock"}`, "schedules are"},
	{"schedules", "Name: !Sub ${AWS::StackName}-applier-tick", "Name: tick", "not this stack's own"},
	{"queues", "SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false", "not encrypted"},
	{"queues", "-dead-letters.fifo", "-dead-letters", "ends in .fifo"},
	{"queues", "FifoThroughputLimit: perMessageGroupId", "FifoThroughputLimit: perQueue", "FifoThroughputLimit"},
	{"queues", "maxReceiveCount: 5", "maxReceiveCount: 1", "maxReceiveCount"},
	{"mapping", "VisibilityTimeout: 1800", "VisibilityTimeout: 1799", "VisibilityTimeout 1799"},
	{"mapping", "BatchSize: 10", "BatchSize: 11", "BatchSize 11"},
	{"mapping", "[ReportBatchItemFailures]", "[]", "no partial answers"},
	{"tables", "AttributeName: ttl, Enabled: true", "AttributeName: expires, Enabled: true", "TTL attribute"},
	{"tables", "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "no PITR"},
	{"tables", "SSEEnabled: true }", "SSEEnabled: false }", "no SSE"},
	{"tables", "DeletionPolicy: Retain", "DeletionPolicy: Delete", "goes with the stack"},
	{"tables", "{ AttributeName: pd, KeyType: RANGE }", "{ AttributeName: pk, KeyType: RANGE }", "the index's keys"},
	{"tables", "IndexName: attention", "IndexName: other", "not the one that applier asks"},
	{"alarms", "Value: !Ref CheckerFunction }", "Value: !Ref FanoutFunction }", "no alarm watches AWS/Lambda/Errors CheckerFunction"},
	{"alarms", "EvaluationPeriods: 26", "EvaluationPeriods: 25", "want 26 h"},
	{"alarms", "TreatMissingData: breaching", "TreatMissingData: notBreaching", "TreatMissingData"},
	{"alarms", "AlarmActions: [!Ref AlarmTopic]", "AlarmActions: []", "tells nobody"},
	{"alarms", "RUNBOOK: Recovery.", "", "no heading"},
	{"parameters", "[1-4][0-9]{3}|5000)$", "[1-9][0-9]{3})$", "BreakerCount: 5001 is allowed"},
	{"parameters", "^([1-9]|[1-8][0-9]|90)$", "^[0-9.]+$", "BaselineDays: 0 is allowed"},
	{"parameters", "[0-5]?[0-9] ([01]?[0-9]|2[0-3])", "[0-9]{1,2} [0-9]{1,2}", "cron(75 30 * * ? *) is allowed"},
	{"parameters", "^([1-9]|[1-5][0-9]|6[0-4])$", "^[1-3]$", "Segments: the default"},
	{"parameters", "Default: fastly", "Default: other", "StatusApi: the default other"},
	{"parameters", "AllowedPattern: ^(off|https?://\\S+)$", "AllowedPattern: off|https?://\\S+", "open at an end"},
	{"parameters", "RdapRate, DnsServers", "DnsServers", "RdapRate: stands 0 times"},
	{"variables", "LAPSEGUARD_SEGMENTS: !Ref Segments", "LAPSEGUARD_SEGMENT: !Ref Segments", "fanout gets"},
	{"variables", "Default: observe", "Default: enforce", "observe must be the default"},
	{"variables", "  AlarmTopic: #", "  ModeParameter: { Type: AWS::SSM::Parameter }\n  AlarmTopic: #", "turn the kill switch back"},
	{"variables", "MODE_PARAMETER: !Sub /${AWS::StackName}/mode", "MODE_PARAMETER: /mode", "which make mode turns"},
	{"alarms", "MetricName: Throttles", "MetricName: Throttle", "no alarm watches AWS/Lambda/Throttles"},
	{"alarms", "MetricName: ModeDiffers", "MetricName: ModeDiffer", "no alarm watches Lapseguard/ModeDiffers"},
	{"dashboard", `["Lapseguard", "HoldsOpen"],`, "", "HoldsOpen: not on the dashboard"},
	{"dashboard", `["Lapseguard", "DomainsByPhase", "Phase", "grace"],`, "", "DomainsByPhase: the dashboard lacks Phase grace"},
	{"dashboard", `"Phase", "grace"]`, `"Phase", "graze"]`, "no Phase graze"},
	{"dashboard", `["Lapseguard", "RunDuration"]`, `["Lapseguard", "RunTime"]`, "RunTime: no such metric"},
	{"dashboard", "MetricName: HoldsStale", "MetricName: HoldsOld", "HoldsOld: no such metric"},
	{"dashboard", `"${DeadLettersAlarm.Arn}",`, "", "DeadLettersAlarm: not on the dashboard"},
	{"dashboard", `"${ChecksQueue.QueueName}"]`, `"${CheckQueue.QueueName}"]`, "${CheckQueue.QueueName}: no such resource"},
	{"outputs", "  AlarmTopicArn:\n    Description", "  AlarmTopic:\n    Description", "no output AlarmTopicArn"},
}

func TestSeededMistakes(t *testing.T) {
	good := original(t)
	for _, m := range mistakes {
		if !strings.Contains(good, m.old) {
			t.Errorf("%s: the template has no %q any more", m.check, m.old)
			continue
		}
		tpl, err := Parse([]byte(strings.Replace(good, m.old, m.new, 1)))
		if err != nil {
			t.Errorf("%s: %q: %v", m.check, m.new, err)
			continue
		}
		found := strings.Join(checks[m.check](tpl), "\n")
		if !strings.Contains(found, m.words) {
			t.Errorf("%s: %q in place of %q gives %q, want %q", m.check, m.new, m.old, found, m.words)
		}
	}
}

func TestEveryCheckCanFail(t *testing.T) {
	seeded := map[string]bool{}
	for _, m := range mistakes {
		seeded[m.check] = true
	}
	for name := range checks {
		if !seeded[name] {
			t.Errorf("no mistake shows that check %q can fail", name)
		}
	}
}

func original(t *testing.T) string {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
