package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/infra/emulator"
)

// expected is the template as CloudFormation has it after SAM's transform, with references followed here and not
// by the emulator, so that what was deployed can be held against it.
type expected struct {
	t          *testing.T
	Parameters map[string]struct{ Default any }
	Conditions map[string]any
	Resources  map[string]resource
	Outputs    map[string]struct{ Value any }
	given      map[string]string
	account    string
	physical   map[string]string
}

type resource struct {
	Type           string
	Properties     map[string]any
	Condition      string
	DeletionPolicy string
}

// expect translates the packaged template.
func (c *cloud) expect(t *testing.T) *expected {
	t.Helper()
	e := &expected{t: t, given: c.given, account: c.account, physical: c.physical}
	c.call(t, "sam", "translate", in{"text": c.text}, e)
	return e
}

// nothing is AWS::NoValue: whatever holds it leaves it out.
type nothing struct{}

// value follows the references in a value. Whatever this does not understand ends the test.
func (e *expected) value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if fn, arg, ok := intrinsic(v); ok {
			return e.call(fn, arg)
		}
		out := map[string]any{}
		for k, x := range v {
			if x = e.value(x); x != (nothing{}) {
				out[k] = x
			}
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			if x = e.value(x); x != (nothing{}) {
				out = append(out, x)
			}
		}
		return out
	default:
		return v
	}
}

func intrinsic(m map[string]any) (fn string, arg any, ok bool) {
	for k, v := range m {
		if len(m) == 1 && (k == "Ref" || k == "Condition" && fmt.Sprintf("%T", v) == "string" || strings.HasPrefix(k, "Fn::")) {
			return k, v, true
		}
	}
	return "", nil, false
}

func (e *expected) call(fn string, arg any) any {
	list, _ := arg.([]any)
	switch fn {
	case "Ref":
		return e.ref(arg.(string))
	case "Fn::GetAtt":
		if s, ok := arg.(string); ok {
			logical, name, _ := strings.Cut(s, ".")
			list = []any{logical, name}
		}
		return e.attribute(list[0].(string), list[1].(string))
	case "Fn::Sub":
		return e.sub(arg)
	case "Fn::If":
		if e.holds(list[0].(string)) {
			return e.value(list[1])
		}
		return e.value(list[2])
	case "Fn::Join":
		var parts []string
		for _, p := range e.value(list[1]).([]any) {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, list[0].(string))
	case "Condition":
		return e.holds(arg.(string))
	case "Fn::Equals":
		return scalar(e.value(list[0])) == scalar(e.value(list[1]))
	case "Fn::Not":
		return e.value(list[0]) == false
	case "Fn::And":
		return !slices.Contains(e.value(arg).([]any), any(false))
	case "Fn::Or":
		return slices.Contains(e.value(arg).([]any), any(true))
	}
	e.t.Fatalf("the template calls %s, which this test cannot follow", fn)
	return nil
}

func (e *expected) holds(condition string) bool {
	v, ok := e.value(e.Conditions[condition]).(bool)
	if !ok {
		e.t.Fatalf("condition %s is neither true nor false", condition)
	}
	return v
}

func (e *expected) ref(name string) any {
	switch name {
	case "AWS::NoValue":
		return nothing{}
	case "AWS::StackName":
		return stackName
	case "AWS::Region":
		return emulator.Region
	case "AWS::AccountId":
		return e.account
	case "AWS::Partition":
		return "aws"
	}
	if p, ok := e.Parameters[name]; ok {
		if v, ok := e.given[name]; ok {
			return v
		}
		return p.Default
	}
	if e.physical[name] == "" {
		e.t.Fatalf("the template refers to %s, which was not made", name)
	}
	return e.physical[name]
}

// attribute is what GetAtt gives, from names and the rules of ARNs.
func (e *expected) attribute(logical, name string) string {
	kind, physical := e.Resources[logical].Type, fmt.Sprint(e.ref(logical))
	if kind == "AWS::SQS::Queue" {
		physical = physical[strings.LastIndexByte(physical, '/')+1:] // of its URL
	}
	where := emulator.Region + ":" + e.account
	switch kind + "." + name {
	case "AWS::SQS::Queue.Arn":
		return "arn:aws:sqs:" + where + ":" + physical
	case "AWS::SQS::Queue.QueueName":
		return physical
	case "AWS::DynamoDB::Table.Arn":
		return "arn:aws:dynamodb:" + where + ":table/" + physical
	case "AWS::Lambda::Function.Arn":
		return "arn:aws:lambda:" + where + ":function:" + physical
	case "AWS::IAM::Role.Arn":
		return "arn:aws:iam::" + e.account + ":role/" + physical
	case "AWS::Logs::LogGroup.Arn":
		return "arn:aws:logs:" + where + ":log-group:" + physical + ":*"
	case "AWS::CloudWatch::Alarm.Arn":
		return "arn:aws:cloudwatch:" + where + ":alarm:" + physical
	case "AWS::SNS::Topic.TopicArn":
		return physical
	case "AWS::SNS::Topic.TopicName":
		return physical[strings.LastIndexByte(physical, ':')+1:]
	}
	e.t.Fatalf("the template asks for %s of %s (%s), which this test does not know", name, logical, kind)
	return ""
}

// sub is Fn::Sub, with or without names of its own.
func (e *expected) sub(arg any) string {
	own := map[string]any{}
	if list, ok := arg.([]any); ok {
		arg = list[0]
		own = e.value(list[1]).(map[string]any)
	}
	parts := strings.Split(arg.(string), "${")
	out := parts[0]
	for _, p := range parts[1:] {
		name, rest, _ := strings.Cut(p, "}")
		logical, attribute, dotted := strings.Cut(name, ".")
		switch v, is := own[name]; {
		case is:
			out += scalar(v)
		case strings.HasPrefix(name, "!"):
			out += "${" + name[1:] + "}"
		case dotted:
			out += e.attribute(logical, attribute)
		default:
			out += scalar(e.ref(name))
		}
		out += rest
	}
	return out
}

// scalar is a value as a text: AWS gives numbers and truth values back as either.
func scalar(v any) string {
	b, err := json.Marshal(v)
	if s, ok := v.(string); ok || err != nil {
		return s
	}
	return string(b)
}

// texts makes every scalar a text and every text of JSON what it says, so that forms of the same are equal.
func texts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = texts(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = texts(x)
		}
		return out
	case string:
		var inside any
		if strings.HasPrefix(v, "{") && json.Unmarshal([]byte(v), &inside) == nil {
			return texts(inside)
		}
	}
	return scalar(v)
}
