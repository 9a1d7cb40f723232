package cloud

import (
	"archive/zip"
	"compress/flate"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/infra/refregistry"
	"github.com/lapseguard/lapseguard/infra/sim"
	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

const (
	stackName = "lapseguard"
	alarmMail = "alarms@example.org"
	// breakerCount lets two domains of one class pass (half of it): one fewer than the crowd.
	breakerCount = 4
)

// cloud is the deployed product and everything around it.
type cloud struct {
	*api
	cfg      aws.Config
	account  string
	text     string            // of the template, as packaged
	given    map[string]string // the parameters of the deployment
	outputs  map[string]string
	physical map[string]string // what CloudFormation made, by logical name
	made     time.Time         // when the stack was created
	daily    time.Time         // when the daily run is due
	mails    []string          // the morning's, subject and text
	heard    map[string]bool   // alarms that the topic's subscriber was told of: logical name, state
	ear      string            // URL of the subscriber's queue

	store    *dynamo.Store
	sqs      *sqs.Client
	ssm      *ssm.Client
	gate     *gate
	endpoint string // the gate's URL: where the functions find AWS
	registry *refregistry.Server
	admin    string // the registry's URL
	net      *internet
	more     map[string]string // parameters that differ from parameters
	retries  map[string]int    // how often Lambda tries a scheduled invocation again, by folder
	pumped   map[string]int    // how many lines of each function's log pump read
}

// open starts everything that is there before the product, but for the internet.
func open(t *testing.T, net *internet, now func() time.Time, rows []refregistry.Row) *cloud {
	t.Helper()
	c := &cloud{cfg: emulator.Config(t), net: net, pumped: map[string]int{}, heard: map[string]bool{}}
	who, err := c.cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.account, c.api = who.AccessKeyID, openAPI(t, who)
	c.gate, c.endpoint = openGate(t, who)
	c.registry, c.admin = openRegistry(t, now, rows)
	c.sqs, c.ssm = sqs.NewFromConfig(c.cfg), ssm.NewFromConfig(c.cfg)
	c.set(t, "/lapseguard/registry-token", registryToken, ssmtypes.ParameterTypeSecureString)
	c.set(t, "/lapseguard/status-token", statusToken, ssmtypes.ParameterTypeSecureString)
	return c
}

// bucket is the name of the code's: one name space for all accounts.
func (c *cloud) bucket() string { return "lapseguard-code-" + c.account }

func (c *cloud) set(t *testing.T, name, value string, kind ssmtypes.ParameterType) {
	t.Helper()
	in := &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind, Overwrite: aws.Bool(true)}
	if _, err := c.ssm.PutParameter(t.Context(), in); err != nil {
		t.Fatalf("set %s: %v", name, err)
	}
}

// folders of the functions.
var folders = []string{"fanout", "checker", "applier"}

// build compiles the functions for this machine by the rules that `sam build` calls, and puts each into a zip.
func build(t *testing.T, root string) (zips map[string]string) {
	t.Helper()
	zips = map[string]string{}
	for _, folder := range folders {
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "make", "-s", "build-"+template.FunctionID(folder), "ARTIFACTS_DIR="+dir, "GOARCH="+runtime.GOARCH)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", folder, err, out)
		}
		zips[folder] = filepath.Join(dir, folder+".zip")
		if err := pack(zips[folder], filepath.Join(dir, "bootstrap")); err != nil {
			t.Fatalf("package %s: %v", folder, err)
		}
	}
	return zips
}

// pack makes a zip of one program.
func pack(path, program string) error {
	code, err := os.Open(program)
	if err != nil {
		return err
	}
	defer code.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	z := zip.NewWriter(file)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, code); err != nil {
		return err
	}
	return z.Close()
}

// upload is what `sam package` does: the code goes to S3, and its address into the template, in which nothing
// else changes.
func (c *cloud) upload(t *testing.T, root string, zips map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.text = string(text)
	c.here(t)
	c.call(t, "s3", "create_bucket", in{"Bucket": c.bucket()}, nil)
	for folder, path := range zips {
		c.call(t, "s3", "upload_file", in{"Filename": path, "Bucket": c.bucket(), "Key": folder + ".zip"}, nil)
		local := "CodeUri: functions/" + folder + "/"
		if strings.Count(c.text, local) != 1 {
			t.Fatalf("template.yaml does not have %q exactly once", local)
		}
		c.text = strings.Replace(c.text, local, fmt.Sprintf("CodeUri: s3://%s/%s.zip", c.bucket(), folder), 1)
	}
}

// here has the template say this machine's processor, and where the emulators are: no parameter of a deployment.
func (c *cloud) here(t *testing.T) {
	t.Helper()
	for old, now := range map[string]string{
		"Architectures: [arm64]":        "Architectures: [" + map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH] + "]",
		`AWS_ENDPOINT_URL_DYNAMODB: ""`: "AWS_ENDPOINT_URL_DYNAMODB: " + c.endpoint,
		`AWS_ENDPOINT_URL_SQS: ""`:      "AWS_ENDPOINT_URL_SQS: " + c.endpoint, `AWS_ENDPOINT_URL_SSM: ""`: "AWS_ENDPOINT_URL_SSM: " + c.endpoint,
		`AWS_ENDPOINT_URL_SNS: ""`: "AWS_ENDPOINT_URL_SNS: " + c.endpoint,
	} {
		if strings.Count(c.text, old) != 1 {
			t.Fatalf("template.yaml does not have %q exactly once", old)
		}
		c.text = strings.Replace(c.text, old, now, 1)
	}
}

// parameters of the deployment.
func (c *cloud) parameters() map[string]string {
	return map[string]string{
		"RegistryUrl": c.admin, "Contact": "https://example.org/lapseguard", "AlarmEmail": alarmMail,
		"Mode": "enforce", "UnverifyAt": "redemption", "BreakerCount": strconv.Itoa(breakerCount),
		"RdapBootstrapUrl": c.net.BootstrapURL(), "RdapRate": "50", "DnsServers": c.net.DNSAddr(), "DnsResolver": c.net.DNSAddr(),
		"Canaries": strings.Join(canaries, ","), "StatusUrl": c.net.StatusURL(sim.Fastly),
	}
}

// deploy puts the template into the account.
func (c *cloud) deploy(t *testing.T) {
	t.Helper()
	c.given = c.parameters()
	maps.Copy(c.given, c.more)
	c.apply(t, "CREATE", "CREATE_COMPLETE")
	c.made = time.Now()
	c.learn(t)
	index := emulator.NamedTables(t, c.cfg, c.outputs["DomainsTableName"], c.outputs["RecordsTableName"])
	c.store = dynamo.New(dynamodb.NewFromConfig(c.cfg), dynamo.Config{
		DomainsTable: c.outputs["DomainsTableName"], RecordsTable: c.outputs["RecordsTableName"], IndexName: index, Now: time.Now,
	})
}

// apply makes a change set and carries it out, as `sam deploy` does. It gives the logical names of what changed.
func (c *cloud) apply(t *testing.T, kind, done string) (changed []string) {
	t.Helper()
	var list []in
	for k, v := range c.given {
		list = append(list, in{"ParameterKey": k, "ParameterValue": v})
	}
	name := strings.ToLower(kind)
	file := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
		t.Fatal(err)
	}
	// A template of more than 51,200 bytes comes from S3, as sam deploy has it with resolve_s3.
	c.call(t, "s3", "upload_file", in{"Filename": file, "Bucket": c.bucket(), "Key": "template.yaml"}, nil)
	c.call(t, "cloudformation", "create_change_set", in{
		"StackName": stackName, "ChangeSetName": name, "ChangeSetType": kind, "TemplateURL": "https://s3.amazonaws.com/" + c.bucket() + "/template.yaml", "Parameters": list,
		"Capabilities": []string{"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"},
	}, nil)
	var set struct {
		Status, StatusReason string
		Changes              []struct {
			ResourceChange struct{ Action, LogicalResourceID string }
		}
	}
	eventually(t, "change set to "+name+" made", time.Minute, func() (bool, string) {
		c.call(t, "cloudformation", "describe_change_set", in{"StackName": stackName, "ChangeSetName": name}, &set)
		if set.Status == "FAILED" {
			t.Fatalf("change set: %s", set.StatusReason)
		}
		return set.Status == "CREATE_COMPLETE", set.Status
	})
	c.call(t, "cloudformation", "execute_change_set", in{"StackName": stackName, "ChangeSetName": name}, nil)
	eventually(t, "stack: "+done, time.Minute, func() (bool, string) { return c.settled(t, done) })
	c.outputs, c.physical = c.inventory(t)
	for _, r := range set.Changes {
		changed = append(changed, r.ResourceChange.Action+" "+r.ResourceChange.LogicalResourceID)
	}
	slices.Sort(changed)
	return changed
}

// settled tells whether the stack is done. One that failed ends the test, with what failed in it.
func (c *cloud) settled(t *testing.T, done string) (ok bool, now string) {
	t.Helper()
	var list struct {
		Stacks []struct{ StackStatus, StackStatusReason string }
	}
	c.call(t, "cloudformation", "describe_stacks", in{"StackName": stackName}, &list)
	s := list.Stacks[0]
	if strings.HasSuffix(s.StackStatus, "_IN_PROGRESS") || s.StackStatus == done {
		return s.StackStatus == done, s.StackStatus
	}
	var events struct {
		StackEvents []struct{ LogicalResourceID, ResourceStatus, ResourceStatusReason string }
	}
	c.call(t, "cloudformation", "describe_stack_events", in{"StackName": stackName}, &events)
	t.Fatalf("stack: %s %s: %+v", s.StackStatus, s.StackStatusReason, events.StackEvents)
	return false, ""
}

// inventory is what the stack says of itself.
func (c *cloud) inventory(t *testing.T) (outputs, physical map[string]string) {
	t.Helper()
	var list struct {
		Stacks []struct {
			Outputs []struct{ OutputKey, OutputValue string }
		}
	}
	c.call(t, "cloudformation", "describe_stacks", in{"StackName": stackName}, &list)
	outputs, physical = map[string]string{}, map[string]string{}
	for _, o := range list.Stacks[0].Outputs {
		outputs[o.OutputKey] = o.OutputValue
	}
	var resources struct {
		StackResources []struct{ LogicalResourceID, PhysicalResourceID string } // matched whatever the case of the letters
	}
	c.call(t, "cloudformation", "describe_stack_resources", in{"StackName": stackName}, &resources)
	for _, r := range resources.StackResources {
		physical[r.LogicalResourceID] = r.PhysicalResourceID
	}
	return outputs, physical
}
