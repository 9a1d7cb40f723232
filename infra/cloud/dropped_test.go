package cloud

import (
	"slices"
	"strings"
	"testing"
)

// dropped looks in the translated template for what ministack does not carry over from a stack: time to live,
// point-in-time recovery, encryption and class of tables, what is kept of a deleted stack, concurrency, what becomes of
// failed invocations. Policies are looked at too: the gate enforces those of the functions alone.
func (c *cloud) dropped(t *testing.T) {
	e := c.expect(t)
	t.Log("ministack drops TTL, PITR, SSE, table class, reserved concurrency and event invoke configs of a stack; these were read in the translated template")
	for logical, r := range e.Resources {
		p, _ := e.value(r.Properties).(map[string]any)
		switch r.Type {
		case "AWS::DynamoDB::Table":
			same(t, logical, "time to live", p["TimeToLiveSpecification"], in{"AttributeName": "ttl", "Enabled": true})
			same(t, logical, "point-in-time recovery", p["PointInTimeRecoverySpecification"], in{"PointInTimeRecoveryEnabled": true})
			same(t, logical, "encryption", p["SSESpecification"], in{"SSEEnabled": true})
			if class := p["TableClass"]; class != nil && class != "STANDARD" && class != "STANDARD_INFREQUENT_ACCESS" {
				t.Errorf("%s: there is no table class %v", logical, class)
			}
			same(t, logical, "deletion policy", r.DeletionPolicy, "Retain")
		case "AWS::Lambda::Function":
			// An account's pool may be ten: what is reserved for one is taken from all.
			same(t, logical, "reserved concurrency", p["ReservedConcurrentExecutions"], nil)
			own := strings.TrimSuffix(logical, "Function") + "Role"
			same(t, logical, "role", p["Role"], e.attribute(own, "Arn"))
		case "AWS::Lambda::EventInvokeConfig":
			failures := in{"OnFailure": in{"Destination": e.attribute("FailuresQueue", "Arn")}}
			same(t, logical, "destination", p["DestinationConfig"], failures)
		case "AWS::SSM::Parameter":
			t.Errorf("%s: an update of the stack would write it again", logical)
		case "AWS::IAM::Role":
			c.policies(t, e, logical, p)
		}
	}
}

func same(t *testing.T, logical, what string, got, want any) {
	t.Helper()
	if scalar(texts(got)) != scalar(texts(want)) {
		t.Errorf("%s: %s is %s, want %s", logical, what, scalar(got), scalar(want))
	}
}

// policies: every role says whom it serves, and allows named actions on resources of this very stack.
func (c *cloud) policies(t *testing.T, e *expected, logical string, p map[string]any) {
	t.Helper()
	if p["ManagedPolicyArns"] != nil {
		t.Errorf("%s brings managed policies", logical)
	}
	trust := scalar(p["AssumeRolePolicyDocument"])
	service := "lambda.amazonaws.com"
	if strings.HasSuffix(logical, "ScheduleRole") {
		service = "scheduler.amazonaws.com"
	}
	if strings.Count(trust, "amazonaws.com") != 1 || !strings.Contains(trust, `"`+service+`"`) {
		t.Errorf("%s may be taken by others than %s: %s", logical, service, trust)
	}
	mine := []string{":parameter" + scalar(e.ref("RegistryTokenParameter")), ":parameter" + scalar(e.ref("StatusTokenParameter")), ":parameter/" + stackName + "/mode"}
	for name, physical := range e.physical {
		if kind := e.Resources[name].Type; kind != "AWS::IAM::Role" && kind != "AWS::CloudWatch::Alarm" {
			mine = append(mine, physical[strings.LastIndexAny(physical, "/:")+1:])
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if k == "Resource" {
					for _, arn := range flat(x) {
						if !slices.ContainsFunc(mine, func(m string) bool { return strings.Contains(arn, m) }) {
							t.Errorf("%s reaches %s, which is not this stack's", logical, arn)
						}
					}
				}
				if k == "Action" && slices.ContainsFunc(flat(x), func(a string) bool { return strings.Contains(a, "*") }) {
					t.Errorf("%s allows %v", logical, x)
				}
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(p["Policies"])
}

// flat is a text or a list of texts as a list.
func flat(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, x := range list {
		out = append(out, scalar(x))
	}
	return out
}
