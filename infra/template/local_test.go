package template

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// The files for `sam local invoke`, and those beside the template, must agree with it.

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// strict decodes JSON and refuses names that the target does not have.
func strict(t *testing.T, what string, data []byte, to any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestScheduleEvents(t *testing.T) {
	for _, s := range open(t).Schedules() {
		var want, got struct {
			Action string `json:"action"`
		}
		strict(t, s.Event, []byte(s.Input), &want)
		file := strings.ToLower(strings.TrimSuffix(s.Function, "Function")) + "-" + want.Action + ".json"
		strict(t, file, read(t, "infra", "events", file), &got)
		if got != want {
			t.Errorf("%s: %+v, the schedule sends %+v", file, got, want)
		}
	}
}

func TestQueueEvents(t *testing.T) {
	for file, bad := range map[string][]int{"checker-delegation.json": nil, "checker-malformed.json": {0}} {
		var e events.SQSEvent
		strict(t, file, read(t, "infra", "events", file), &e)
		var malformed []int
		for i, r := range e.Records {
			m, err := queue.Decode([]byte(r.Body))
			if err != nil {
				malformed = append(malformed, i)
				continue
			}
			if m.Run != "" {
				t.Errorf("%s: record %d is of run %q, which a newer one supersedes", file, i, m.Run)
			}
			if r.Attributes["MessageGroupId"] != m.Group || r.MessageId != m.ID {
				t.Errorf("%s: record %d is of group %q, its message says %q", file, i, r.Attributes["MessageGroupId"], m.Group)
			}
		}
		if !slices.Equal(malformed, bad) {
			t.Errorf("%s: malformed records %v, want %v", file, malformed, bad)
		}
	}
}

// SAM drops variables that the template does not declare, without a word.
func TestLocalEnvironment(t *testing.T) {
	tpl := open(t)
	var env map[string]map[string]string
	strict(t, "env.local.json", read(t, "infra", "env.local.json"), &env)
	common := env["Parameters"]
	for _, f := range folders {
		names := tpl.EnvNames(f)
		known := tpl.EnvDefaults(f)
		own := env[FunctionID(f)]
		for name := range own {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s is not declared in the template", f, name)
			}
		}
		for name := range common {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s is for all functions, but this one does not declare it", f, name)
			}
		}
		for _, name := range names {
			_, isKnown := known[name]
			if _, isCommon := common[name]; !isKnown && !isCommon && own[name] == "" {
				t.Errorf("%s: %s is known only after a deployment, and env.local.json has no value for it", f, name)
			}
		}
	}
	delete(env, "Parameters")
	for id := range env {
		if !slices.Contains(tpl.Resources(functionType), id) {
			t.Errorf("%s is no function of the template", id)
		}
	}
}

// The store's attribute names are constants of the package; the template's keys must be the same.
func TestAttributesAreTheStores(t *testing.T) {
	source := read(t, "shared", "store", "dynamo", "dynamo.go")
	inCode := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(attr[A-Za-z]+)\s*=\s*"([^"]+)"`).FindAllSubmatch(source, -1) {
		inCode[string(m[1])] = string(m[2])
	}
	tpl := open(t)
	schema := func(table string) string { return keys(tpl.Property(table, "KeySchema")) }
	index := keys(walk(first(tpl.Property("DomainsTable", "GlobalSecondaryIndexes")), "KeySchema"))
	for what, c := range map[string]struct{ got, want string }{
		"domains": {schema("DomainsTable"), inCode["attrPK"] + " HASH"},
		"records": {schema("RecordsTable"), inCode["attrPK"] + " HASH, " + inCode["attrSK"] + " RANGE"},
		"index":   {index, inCode["attrShard"] + " HASH, " + inCode["attrDue"] + " RANGE"},
		"ttl":     {text(tpl.Property("DomainsTable", "TimeToLiveSpecification", "AttributeName")), inCode["attrTTL"]},
	} {
		if c.got != c.want {
			t.Errorf("%s: the template has %q, the store %q", what, c.got, c.want)
		}
	}
}

func TestMakefileBuildsEachFunction(t *testing.T) {
	makefile := string(read(t, "Makefile"))
	for _, f := range folders {
		if rule := "\nbuild-" + FunctionID(f) + ":\n"; !strings.Contains(makefile, rule) {
			t.Errorf("the Makefile has no rule build-%s, which sam build calls", FunctionID(f))
		}
	}
}

func TestSamconfig(t *testing.T) {
	config := string(read(t, "samconfig.toml"))
	for _, line := range []string{"cached = false", "confirm_changeset = true", `capabilities = "CAPABILITY_IAM"`} {
		if !strings.Contains(config, "\n"+line+"\n") {
			t.Errorf("samconfig.toml lacks %q", line)
		}
	}
	for _, word := range []string{"skip_pull_image", "invoke_image"} {
		if strings.Contains(config, word) {
			t.Errorf("samconfig.toml has %s, which would hide Amazon's image from everybody", word)
		}
	}
}
