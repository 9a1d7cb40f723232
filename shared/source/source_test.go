package source_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lapseguard/lapseguard/shared/source"
)

// TestSourcesDoNotJudge: a source that knows what its answer leads to could shape it. Of this module it may import
// names of domains, and what is below this folder.
func TestSourcesDoNotJudge(t *testing.T) {
	t.Parallel()
	const module = "github.com/lapseguard/lapseguard/"
	read := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		read++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			own, ok := strings.CutPrefix(name, module)
			if ok && own != "shared/domain" && own != "shared/source" && !strings.HasPrefix(own, "shared/source/") {
				t.Errorf("%s imports %s", path, own)
			}
		}
		return nil
	})
	if err != nil || read < 10 {
		t.Fatalf("%d files read: %v", read, err)
	}
}

func TestFingerprint(t *testing.T) {
	set := []string{"ns2.example", "ns1.example"}
	fp := source.Fingerprint(set)
	if len(fp) != 16 {
		t.Errorf("%q is not 8 bytes", fp)
	}
	if set[0] != "ns2.example" {
		t.Error("the argument was sorted")
	}
	if source.Fingerprint([]string{"ns1.example", "ns2.example", "ns1.example"}) != fp {
		t.Error("order or repetition matters")
	}
	if source.Fingerprint([]string{"ns1.example"}) == fp || source.Fingerprint(nil) == fp {
		t.Error("other sets have the same fingerprint")
	}
	if source.Fingerprint(nil) == "" || source.Fingerprint(nil) != source.Fingerprint([]string{}) {
		t.Error("the empty set has no fingerprint of its own")
	}
}
