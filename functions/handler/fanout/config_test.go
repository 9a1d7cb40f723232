package fanout

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/infra/template"
)

// TestConfigReadsWhatTheTemplateSets: a variable that only one side knows is a setting without effect.
func TestConfigReadsWhatTheTemplateSets(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	var read, set []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		read = append(read, name)
	}
	for _, name := range tpl.EnvNames("fanout") {
		if strings.HasPrefix(name, "LAPSEGUARD_") {
			set = append(set, name)
		}
	}
	slices.Sort(read)
	if !slices.Equal(read, set) {
		t.Errorf("the function reads\n%v\nthe template sets\n%v", read, set)
	}
}

// TestConfigOfADeployment: what the template sets, with its defaults, is an environment that the function starts in.
func TestConfigOfADeployment(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	known := tpl.EnvDefaults("fanout")
	var environ []string
	for _, name := range tpl.EnvNames("fanout") {
		value, ok := known[name]
		if !ok {
			value = "set-by-the-deployment"
		}
		environ = append(environ, name+"="+value)
	}
	if c, err := ParseConfig(environ); err != nil || c.Segments != 4 || c.BaselineDays != 14 {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = ParseConfig(append(environ, "LAPSEGUARD_SEGMENTS=0", "LAPSEGUARD_BASELINE_DAYS=91"))
	if err == nil || !strings.Contains(err.Error(), "in 2 places") {
		t.Errorf("two wrong settings: %v", err)
	}
}
