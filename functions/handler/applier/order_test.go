package applier

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// order is that of the files, from what is called first to what everything works with. Who reads them so meets nothing
// before it was used above.
var order = []string{
	"handler.go",     // what it is asked for
	"tick.go",        // the schedule: the order of the steps
	"operator.go",    // what a person decides
	"pull.go",        // recovery closed and opened by a person
	"status.go",      // where it stands
	"quiet.go",       // whether there is anything to do
	"walk.go",        // what is due, and what the breaker says
	"plan.go",        // pure: what is to be done about one domain
	"lever.go",       // recovery closed and opened, as each mode does it
	"closing.go",     // the budget for closings, and whose it is first
	"act.go",         // the registry, as each mode sees it
	"person.go",      // a person is asked
	"tell.go",        // those who depend on a mail host
	"look.go",        // second looks
	"resend.go",      // parked messages whose upstream failed
	"run.go",         // whether a run is whole
	"canary.go",      // the synthetic domain
	"digest.go",      // the day in words
	"waiting.go",     // what waits for a person
	"environment.go", // what it is configured with
	"mode.go",        // what it may do
	"word.go",        // what an operator says, and how it is kept
	"parts.go",       // what every step works with
}

// TestFilesReadTopDown: a file uses what stands in it or below it, never above: no function, type, constant or variable.
func TestFilesReadTopDown(t *testing.T) {
	fset := token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	var names []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files, names = append(files, f), append(names, path)
	}
	if got, want := slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(order)); !slices.Equal(got, want) {
		t.Fatalf("files %v\norder %v", got, want)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", exports(t))}
	pkg, err := conf.Check("applier", fset, files, &info)
	if err != nil {
		t.Fatal(err)
	}
	uses := 0
	for id, obj := range info.Uses {
		if obj.Pkg() != pkg || !obj.Pos().IsValid() {
			continue
		}
		if _, pkgName := obj.(*types.PkgName); pkgName {
			continue
		}
		from, to := fset.Position(id.Pos()), fset.Position(obj.Pos())
		if uses++; slices.Index(order, filepath.Base(from.Filename)) > slices.Index(order, filepath.Base(to.Filename)) {
			t.Errorf("%s:%d uses %s, which stands above, in %s", from.Filename, from.Line, obj.Name(), to.Filename)
		}
	}
	if uses < 500 {
		t.Errorf("only %d uses were found", uses)
	}
}

// exports finds the compiled form of what the package imports.
func exports(t *testing.T) importer.Lookup {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, export, _ := strings.Cut(strings.TrimSpace(line), " ")
		where[path] = export
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(where[path]) }
}
