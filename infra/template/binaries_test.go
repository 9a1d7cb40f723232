package template

import (
	"slices"
	"strings"
	"testing"
)

// TestBinariesCarryNothingLocal: what stands in for AWS on one machine is dead weight in a deployed function, which
// loads its binary at every cold start.
func TestBinariesCarryNothingLocal(t *testing.T) {
	t.Parallel()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, p := range goList(t, dir) {
		paths = append(paths, p.ImportPath)
		for _, local := range []string{"go.etcd.io/bbolt", modulePath + "/infra/", modulePath + "/shared/queue/local", modulePath + "/shared/store/bolt"} {
			if strings.HasPrefix(p.ImportPath, local) {
				t.Errorf("a function carries %s", p.ImportPath)
			}
		}
	}
	for _, deployed := range []string{modulePath + "/shared/queue/sqs", modulePath + "/shared/store/dynamo"} {
		if !slices.Contains(paths, deployed) {
			t.Errorf("no function carries %s: the list is not the functions'", deployed)
		}
	}
}
