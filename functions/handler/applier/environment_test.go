package applier

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
	for _, name := range tpl.EnvNames("applier") {
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
// and so is every value that a setting is said to have; another one is refused.
func TestEnvironmentOfADeployment(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	known := tpl.EnvDefaults("applier")
	var environ []string
	for _, name := range tpl.EnvNames("applier") {
		value, ok := known[name]
		if !ok {
			value = "set-by-the-deployment"
		}
		environ = append(environ, name+"="+value)
	}
	for setting, allowed := range map[string]bool{
		"LAPSEGUARD_MODE=observe": true, "LAPSEGUARD_MODE=enforce": true, "LAPSEGUARD_MODE=stop": true, "LAPSEGUARD_MODE=on": false,
		"LAPSEGUARD_UNVERIFY_AT=pending-delete": true, "LAPSEGUARD_UNVERIFY_AT=redemption": true, "LAPSEGUARD_UNVERIFY_AT=grace": false,
		"LAPSEGUARD_BREAKER_COUNT=1": true, "LAPSEGUARD_BREAKER_COUNT=0": false, "LAPSEGUARD_BREAKER_SHARE=0.2": true, "LAPSEGUARD_BREAKER_SHARE=90": false,
	} {
		c, err := ParseEnvironment(append(slices.Clone(environ), setting))
		if (err == nil) != allowed {
			t.Errorf("%s: %v", setting, err)
		}
		if setting == "LAPSEGUARD_BREAKER_SHARE=0.2" && c.Limits().Share != 0.002 {
			t.Errorf("%s: %+v", setting, c.Limits())
		}
	}
}
