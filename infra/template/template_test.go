package template

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const small = `
Parameters:
  Share: { Type: Number, Default: 0.2 }
  Url: { Type: String }
Globals:
  Function:
    Environment: { Variables: { COMMON: !Ref Table, SHARED: "1" } }
Resources:
  ProbeFunction:
    Type: AWS::Serverless::Function
    Properties:
      Environment:
        Variables: { SHARE: !Ref Share, URL: !Ref Url, SHARED: "2", EMPTY: "", COUNT: 3, ARN: !GetAtt Table.Arn }
      Events:
        Tick: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(1 hour), Input: '{}', DeadLetterConfig: { Arn: !GetAtt Dead.Arn } } }
        Queue: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn } }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      FifoQueue: true
      VisibilityTimeout: 60
      MessageRetentionPeriod: 120
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5 }
`

func parse(t *testing.T, s string) *Template {
	t.Helper()
	tpl, err := Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

func TestAccessors(t *testing.T) {
	tpl := parse(t, small)
	if got, want := tpl.EnvNames("probe"), []string{"ARN", "COMMON", "COUNT", "EMPTY", "SHARE", "SHARED", "URL"}; !slices.Equal(got, want) {
		t.Errorf("EnvNames: %v, want %v", got, want)
	}
	if got := tpl.EnvNames("other"); got != nil {
		t.Errorf("EnvNames of no function: %v", got)
	}
	if got, want := tpl.EnvDefaults("probe"), map[string]string{"COUNT": "3", "EMPTY": "", "SHARE": "0.2", "SHARED": "2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("EnvDefaults: %v, want %v", got, want)
	}
	if got, want := tpl.Queue("Work"), (Queue{FIFO: true, VisibilityTimeout: 60, Retention: 120, DeadLetters: "Dead", MaxReceive: 5}); got != want {
		t.Errorf("Queue: %+v, want %+v", got, want)
	}
	if got, want := tpl.Schedules(), []Schedule{{"ProbeFunction", "Tick", "rate(1 hour)", "{}", "Dead"}}; !slices.Equal(got, want) {
		t.Errorf("Schedules: %+v, want %+v", got, want)
	}
	if got, want := tpl.Property("Work", "RedrivePolicy", "deadLetterTargetArn"), (Call{"GetAtt", "Dead.Arn"}); got != want {
		t.Errorf("GetAtt: %v, want %v", got, want)
	}
	if got := tpl.Get("Resources", "Work", "Properties", "FifoQueue", "deeper"); got != nil {
		t.Errorf("a path through a scalar: %v", got)
	}
}

func TestAllowed(t *testing.T) {
	tpl := open(t)
	for _, c := range []struct {
		folder, action, resource, pk string
		want                         bool
	}{
		{"fanout", "dynamodb:Scan", "DomainsTable", "", true},
		{"checker", "dynamodb:Scan", "DomainsTable", "", false},
		{"fanout", "dynamodb:Scan", "RecordsTable", "", false},
		{"applier", "dynamodb:Query", "DomainsTable/index/attention", "", true},
		{"applier", "dynamodb:Query", "DomainsTable", "", false},
		{"other", "dynamodb:GetItem", "DomainsTable", "a.com", false},
		{"applier", "dynamodb:PutItem", "RecordsTable", "decision/a.com", true},
		{"checker", "dynamodb:PutItem", "RecordsTable", "decision/a.com", false},
		{"checker", "dynamodb:PutItem", "RecordsTable", "guard", false},
		{"checker", "dynamodb:PutItem", "RecordsTable", "history/a.com", true},
		{"checker", "dynamodb:PutItem", "RecordsTable", "parked", true},
		{"checker", "dynamodb:PutItem", "RecordsTable", "parked2", false},
		{"checker", "dynamodb:PutItem", "RecordsTable", "", false},
		{"checker", "dynamodb:GetItem", "RecordsTable", "current", true},
		{"checker", "dynamodb:GetItem", "RecordsTable", "run/1", false},
	} {
		if got := tpl.Allowed(c.folder, c.action, c.resource, c.pk); got != c.want {
			t.Errorf("%s may %s on %s %s: %v, want %v", c.folder, c.action, c.resource, c.pk, got, c.want)
		}
	}
}

func TestParseKeepsCalls(t *testing.T) {
	tpl := parse(t, `a: !If [C, !Ref X, { b: !Sub "${Y}-z" }]`)
	want := Call{"If", []any{"C", Call{"Ref", "X"}, map[string]any{"b": Call{"Sub", "${Y}-z"}}}}
	if got := tpl.Get("a"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, words string }{
		"nothing":   {"", "empty"},
		"a list":    {"- a", "not a mapping"},
		"an alias":  {"a: &x { b: 1 }\nc: *x", "alias"},
		"a merge":   {"a: &x { b: 1 }\nc: { <<: *x }", "alias"},
		"a double":  {"a: 1\na: 2", "twice"},
		"no YAML":   {"a: [", "yaml"},
		"too large": {"a: " + strings.Repeat("x", maxFile), "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("error %v, want one with %q", err, c.words)
			}
		})
	}
}

func TestDirFindsTheNearestFolderAbove(t *testing.T) {
	outer := t.TempDir()
	inner := filepath.Join(outer, "a")
	for _, dir := range []string{outer, inner} {
		if err := os.MkdirAll(filepath.Join(dir, "b", "c"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "template.yaml"), []byte(small), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(inner, "b", "c"))
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := resolved(t, dir), resolved(t, inner); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	tpl, err := Open()
	if err != nil || tpl.EnvNames("probe") == nil {
		t.Errorf("Open: %v, %v", tpl, err)
	}
}

// resolved follows links: a temporary folder is one on some systems.
func resolved(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
