package cloud

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lapseguard/lapseguard/infra/emulator"
)

// in is the input of a call, as boto3 names its fields.
type in = map[string]any

// api calls the emulated AWS through aws.py, one call at a time.
type api struct {
	mu      sync.Mutex
	to      io.Writer
	answers *bufio.Reader
	said    string // path of what the process wrote to standard error
}

// openAPI starts aws.py for the account. It ends with the test.
func openAPI(t *testing.T, who aws.Credentials) *api {
	t.Helper()
	url := emulator.URL(t, emulator.Ministack)
	a := &api{said: filepath.Join(t.TempDir(), "aws.err")}
	stderr, err := os.Create(a.said)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), emulator.Python(t), "aws.py")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "AWS_ENDPOINT_URL=" + url, "AWS_DEFAULT_REGION=" + emulator.Region,
		"AWS_ACCESS_KEY_ID=" + who.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + who.SecretAccessKey, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true", "PYTHONDONTWRITEBYTECODE=1",
	}
	cmd.Stderr, cmd.WaitDelay = stderr, time.Second
	to, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.to, a.answers = to, bufio.NewReader(from)
	t.Cleanup(func() {
		_ = to.Close() // its input ends, and so does it
		_ = cmd.Wait() // or the test's context ended it
		_ = stderr.Close()
	})
	return a
}

// try calls an operation and decodes its answer into out, which may be nil. The error is the service's.
func (a *api) try(t *testing.T, service, operation string, input in, out any) (problem string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if input == nil {
		input = in{}
	}
	if err := json.NewEncoder(a.to).Encode(map[string]any{"service": service, "operation": operation, "in": input}); err != nil {
		a.broken(t, err)
	}
	line, err := a.answers.ReadBytes('\n')
	if err != nil {
		a.broken(t, err)
	}
	var answer struct {
		Out   json.RawMessage `json:"out"`
		Error string          `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatalf("%s %s: %v", service, operation, err)
	}
	if answer.Error == "" && out != nil {
		if err := json.Unmarshal(answer.Out, out); err != nil {
			t.Fatalf("%s %s: %v", service, operation, err)
		}
	}
	return answer.Error
}

// call is try for what must succeed.
func (a *api) call(t *testing.T, service, operation string, input in, out any) {
	t.Helper()
	if problem := a.try(t, service, operation, input, out); problem != "" {
		t.Fatalf("%s %s: %s", service, operation, problem)
	}
}

func (a *api) broken(t *testing.T, err error) {
	t.Helper()
	said, _ := os.ReadFile(a.said) // the error beside it says enough
	t.Fatalf("aws.py ended: %v\n%s", err, said)
}
