package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAlarmTest: who is not confirmed hears nothing, and that is said; otherwise an alarm goes off.
func TestAlarmTest(t *testing.T) {
	needs(t, "make", "bash")
	for name, tt := range map[string]struct {
		topic, subscribed string
		want              []string
		fails             bool
	}{
		"confirmed":        {"arn:aws:sns:x:1:t", "arn:aws:sns:x:1:t:abc", []string{"1 confirmed, 0 not", "goes off now", "set-alarm-state --alarm-name other-dead-letters --state-value ALARM"}, false},
		"one of two":       {"arn:aws:sns:x:1:t", "PendingConfirmation arn:aws:sns:x:1:t:abc", []string{"1 confirmed, 1 not", "hears nothing", "goes off now"}, false},
		"nobody confirmed": {"arn:aws:sns:x:1:t", "PendingConfirmation", []string{"0 confirmed, 1 not", "hears nothing", "Nobody hears"}, true},
		"nobody":           {"arn:aws:sns:x:1:t", "None", []string{"0 confirmed, 0 not", "Nobody hears"}, true},
		"another stack":    {"None", "", []string{"no output AlarmTopicArn"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			aws := "#!/bin/sh\necho \"$AWS_REGION: $*\" >&2\ncase $1 in cloudformation) echo '" + tt.topic + "' ;; sns) echo '" + tt.subscribed + "' ;; esac\n"
			if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(aws), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "make", "-s", "alarm-test", "STACK=other", "REGION=eu-north-1")
			cmd.Dir = "../.."
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if (err != nil) != tt.fails {
				t.Errorf("%v\n%s", err, out)
			}
			for _, want := range append(tt.want, "eu-north-1: cloudformation describe-stacks --stack-name other") {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			if went := strings.Contains(string(out), "set-alarm-state"); went == tt.fails {
				t.Errorf("an alarm went off: %t\n%s", went, out)
			}
		})
	}
}
