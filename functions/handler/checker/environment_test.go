package checker

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/infra/template"
)

// TestEnvironmentReadsWhatTheTemplateSets: a variable that only one side knows is a setting without effect.
func TestEnvironmentReadsWhatTheTemplateSets(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	var read, set []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Environment]()) {
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		read = append(read, name)
	}
	for _, name := range tpl.EnvNames("checker") {
		if strings.HasPrefix(name, "LAPSEGUARD_") {
			set = append(set, name)
		}
	}
	slices.Sort(read)
	if !slices.Equal(read, set) {
		t.Errorf("the function reads\n%v\nthe template sets\n%v", read, set)
	}
}

// TestEnvironmentOfADeployment: what the template sets, with its defaults, is an environment that the function starts in,
// and so is every value that a setting is said to have; one beyond is refused.
func TestEnvironmentOfADeployment(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	known := tpl.EnvDefaults("checker")
	var environ []string
	for _, name := range tpl.EnvNames("checker") {
		value, ok := known[name]
		if !ok {
			value = "set-by-the-deployment"
		}
		environ = append(environ, name+"="+value)
	}
	for setting, allowed := range map[string]bool{
		"LAPSEGUARD_OWN_SERVERS=on": true, "LAPSEGUARD_OWN_SERVERS=off": true, "LAPSEGUARD_OWN_SERVERS=yes": false,
		"LAPSEGUARD_GRACE_ACTION=hold": true, "LAPSEGUARD_GRACE_ACTION=unverify": true, "LAPSEGUARD_GRACE_ACTION=none": false,
		"LAPSEGUARD_STATUS_API=fastly": true, "LAPSEGUARD_STATUS_API=domainr-v2": true, "LAPSEGUARD_STATUS_API=domainr": false,
		"LAPSEGUARD_RDAP_RATE=1000": true, "LAPSEGUARD_RDAP_RATE=1001": false, "LAPSEGUARD_RDAP_RATE=0": false,
		"LAPSEGUARD_BASELINE_DAYS=1": true, "LAPSEGUARD_BASELINE_DAYS=90": true, "LAPSEGUARD_BASELINE_DAYS=91": false, "LAPSEGUARD_BASELINE_DAYS=0": false,
	} {
		if _, err := ParseEnvironment(append(slices.Clone(environ), setting)); (err == nil) != allowed {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
