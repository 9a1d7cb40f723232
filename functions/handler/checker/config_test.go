package checker

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
