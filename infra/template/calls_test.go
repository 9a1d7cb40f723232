package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a function calls is read from its source: from main on, every function that is mentioned counts as called,
// and a call through an interface as a call of every type of this module that implements it. So a call can be
// found that never happens, but none is missed.

const (
	modulePath = "github.com/lapseguard/lapseguard"
	servicePkg = "github.com/aws/aws-sdk-go-v2/service/"
)

// jsonTarget is the header X-Amz-Target of a call made without the SDK's client of that service.
var (
	jsonTarget = regexp.MustCompile(`^"(AmazonSSM|AmazonSQS|DynamoDB_20120810)\.([A-Z][A-Za-z]+)"$`)
	// queryAction begins the body of a call by the older protocol, in which SNS is asked.
	queryAction  = regexp.MustCompile(`^"Action=([A-Z][A-Za-z]+)&Version=2010-03-31&"$`)
	jsonServices = map[string]string{"AmazonSSM": "ssm", "AmazonSQS": "sqs", "DynamoDB_20120810": "dynamodb"}
)

// program is the type-checked source of the functions and what they import of this module.
type program struct {
	fset    *token.FileSet
	pkgs    map[string]*types.Package // module packages from source
	info    types.Info
	bodies  map[types.Object][]ast.Node // of functions; initialisers of variables stand under their package's nil func
	inits   map[string][]ast.Node
	imports map[string][]string
	types   []types.Type // every named type of the module, and its pointer
}

type listed struct {
	ImportPath, Dir, Export string
	GoFiles, Imports        []string
}

// goList lists the functions' packages with all they depend on, dependencies first.
func goList(t *testing.T, dir string) []listed {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Imports", "-tags", "lambda.norpc"}
	for _, f := range folders {
		args = append(args, "./functions/"+f)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		// The test's cache sees what this process opens, not what go list reads.
		if _, err := os.ReadDir(p.Dir); err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func loadProgram(t *testing.T) *program {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	list := goList(t, dir)
	exports := map[string]string{}
	for _, p := range list {
		exports[p.ImportPath] = p.Export
	}
	p := &program{
		fset: token.NewFileSet(), pkgs: map[string]*types.Package{}, bodies: map[types.Object][]ast.Node{},
		inits: map[string][]ast.Node{}, imports: map[string][]string{},
		info: types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}},
	}
	gc := importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	from := importerFunc(func(path string) (*types.Package, error) {
		if pkg := p.pkgs[path]; pkg != nil {
			return pkg, nil
		}
		return gc.Import(path)
	})
	for _, l := range list {
		if strings.HasPrefix(l.ImportPath, modulePath) {
			p.check(t, l, from)
		}
	}
	return p
}

type importerFunc func(path string) (*types.Package, error)

func (f importerFunc) Import(path string) (*types.Package, error) { return f(path) }

// check parses and type-checks a package and notes its functions.
func (p *program) check(t *testing.T, l listed, from types.Importer) {
	t.Helper()
	var files []*ast.File
	for _, name := range l.GoFiles {
		f, err := parser.ParseFile(p.fset, filepath.Join(l.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	conf := types.Config{Importer: from}
	pkg, err := conf.Check(l.ImportPath, p.fset, files, &p.info)
	if err != nil {
		t.Fatalf("%s: %v", l.ImportPath, err)
	}
	p.pkgs[l.ImportPath], p.imports[l.ImportPath] = pkg, l.Imports
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				p.bodies[p.info.Defs[fn.Name]] = append(p.bodies[p.info.Defs[fn.Name]], fn.Body)
				continue
			}
			p.inits[l.ImportPath] = append(p.inits[l.ImportPath], d)
		}
	}
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		if tn, ok := scope.Lookup(name).(*types.TypeName); ok && !types.IsInterface(tn.Type()) {
			p.types = append(p.types, tn.Type(), types.NewPointer(tn.Type()))
		}
	}
}

// reach is what one function's main reaches.
type reach struct {
	p       *program
	seen    map[types.Object]bool
	within  map[string]bool // import closure
	actions map[string]bool
	deletes bool // some code asks the store to delete
}

// actions are the calls of AWS services that the function in functions/<folder> can come to, as IAM names them.
func (p *program) actions(folder string) []string {
	r := &reach{p: p, seen: map[types.Object]bool{}, within: map[string]bool{}, actions: map[string]bool{}}
	main := modulePath + "/functions/" + folder
	r.enter(main)
	r.object(p.pkgs[main].Scope().Lookup("main"))
	if !r.deletes {
		delete(r.actions, "dynamodb:DeleteItem") // the store can delete, and nobody asks it to
	}
	return slices.Sorted(maps.Keys(r.actions))
}

// enter takes up a package and what it imports: their variables are initialised whoever calls what.
func (r *reach) enter(pkg string) {
	if r.within[pkg] || r.p.pkgs[pkg] == nil {
		return
	}
	r.within[pkg] = true
	for _, imported := range r.p.imports[pkg] {
		r.enter(imported)
	}
	for _, n := range r.p.inits[pkg] {
		r.node(pkg, n)
	}
}

func (r *reach) object(o types.Object) {
	fn, ok := o.(*types.Func)
	if !ok || r.seen[fn.Origin()] {
		return
	}
	fn = fn.Origin()
	r.seen[fn] = true
	r.action(fn)
	if fn.Pkg() == nil {
		return
	}
	if recv := fn.Signature().Recv(); recv != nil && types.IsInterface(recv.Type()) {
		r.implementations(fn, recv.Type())
	}
	for _, body := range r.p.bodies[fn] {
		r.node(fn.Pkg().Path(), body)
	}
}

// implementations follows a call through an interface to every type that may stand behind it.
func (r *reach) implementations(fn *types.Func, iface types.Type) {
	i, ok := iface.Underlying().(*types.Interface)
	if !ok {
		return
	}
	for _, t := range r.p.types {
		if !types.Implements(t, i) {
			continue
		}
		if o, _, _ := types.LookupFieldOrMethod(t, true, fn.Pkg(), fn.Name()); o != nil && o.Pkg() != nil && r.within[o.Pkg().Path()] {
			r.object(o)
		}
	}
}

func (r *reach) node(pkg string, n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			r.object(r.p.info.Uses[n])
		case *ast.CompositeLit:
			r.literal(pkg, n)
		case *ast.BasicLit:
			if m := jsonTarget.FindStringSubmatch(n.Value); m != nil {
				r.actions[jsonServices[m[1]]+":"+m[2]] = true
			}
			if m := queryAction.FindStringSubmatch(n.Value); m != nil {
				r.actions["sns:"+m[1]] = true
			}
		}
		return true
	})
}

// action notes a call of an AWS service: an operation takes an input of its name.
func (r *reach) action(fn *types.Func) {
	params := fn.Signature().Params()
	for i := range params.Len() {
		ptr, ok := params.At(i).Type().(*types.Pointer)
		if !ok {
			continue
		}
		named, ok := ptr.Elem().(*types.Named)
		if !ok || named.Obj().Pkg() == nil || !strings.HasPrefix(named.Obj().Pkg().Path(), servicePkg) {
			continue
		}
		op, isInput := strings.CutSuffix(named.Obj().Name(), "Input")
		if !isInput || op != fn.Name() {
			continue
		}
		switch action := path.Base(named.Obj().Pkg().Path()) + ":" + op; action {
		case "dynamodb:TransactWriteItems": // allowed by what is in it, see literal
		case "sqs:SendMessageBatch":
			r.actions["sqs:SendMessage"] = true
		default:
			r.actions[action] = true
		}
	}
}

// literal notes the parts of a transaction, and writes that delete.
func (r *reach) literal(pkg string, n *ast.CompositeLit) {
	named, ok := types.Unalias(r.p.info.Types[n].Type).(*types.Named)
	if !ok || named.Obj().Pkg() == nil {
		return
	}
	switch in, name := named.Obj().Pkg().Path(), named.Obj().Name(); {
	case in == servicePkg+"dynamodb/types" && slices.Contains([]string{"Put", "Delete", "Update"}, name):
		r.actions["dynamodb:"+name+"Item"] = true
	case in == servicePkg+"dynamodb/types" && name == "ConditionCheck":
		r.actions["dynamodb:ConditionCheckItem"] = true
	case in == modulePath+"/shared/store" && name == "Write" && pkg != in+"/dynamo":
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok && fmt.Sprint(kv.Key) == "Delete" {
				r.deletes = true
			}
		}
	}
}

// serviceSide is what a role needs although no code of the function calls it: Lambda does, in its name.
func serviceSide(t *Template, folder string) []string {
	list := []string{"logs:CreateLogStream", "logs:PutLogEvents"}
	id := FunctionID(folder)
	events, _ := t.Property(id, "Events").(map[string]any)
	for _, e := range events {
		if walk(e, "Type") == "SQS" {
			list = append(list, "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
		}
	}
	if t.Property(id, "EventInvokeConfig", "DestinationConfig", "OnFailure") != nil {
		list = append(list, "sqs:SendMessage")
	}
	return list
}

// checkCalls holds what each function calls against what its role allows: nothing missing, nothing too much.
func checkCalls(t *Template, calls map[string][]string) []string {
	var p problems
	for _, f := range folders {
		needs := map[string]string{}
		for _, a := range serviceSide(t, f) {
			needs[a] = "Lambda"
		}
		for _, a := range calls[f] {
			needs[a] = "the code"
		}
		if slices.Contains(calls[f], "ssm:GetParameter") {
			needs["kms:Decrypt"] = "SSM"
		}
		allowed := map[string]bool{}
		for _, s := range t.Statements(target(t.Property(FunctionID(f), "Role"))) {
			for _, a := range s.Actions {
				allowed[a] = true
				p.want(needs[a] != "", "%s/%s: allows %s, which nothing calls", f, s.Sid, a)
			}
		}
		for _, a := range slices.Sorted(maps.Keys(needs)) {
			p.want(allowed[a], "%s: no policy allows %s, which %s calls", f, a, needs[a])
		}
	}
	return p
}

// callMistakes are made one at a time in the template; each must be noticed with these words.
var callMistakes = []struct{ old, new, words string }{
	{`["sqs:SendMessage"]`, `["sqs:SendMessage", "sqs:PurgeQueue"]`, "allows sqs:PurgeQueue, which nothing calls"},
	{`["dynamodb:Scan", `, `[`, "fanout: no policy allows dynamodb:Scan, which the code calls"},
	{`["dynamodb:GetItem", "dynamodb:PutItem"]`, `["dynamodb:Scan", "dynamodb:GetItem", "dynamodb:PutItem"]`, "checker/KeepDomains: allows dynamodb:Scan, which nothing calls"},
	{`Action: ["ssm:GetParameter"]`, `Action: ["ssm:GetParameters"]`, "no policy allows ssm:GetParameter, which the code calls"},
	{`Action: ["sns:Publish"]`, `Action: ["sns:Subscribe"]`, "applier: no policy allows sns:Publish, which the code calls"},
	{`"sqs:ReceiveMessage", `, ``, "checker: no policy allows sqs:ReceiveMessage, which Lambda calls"},
}

// TestPoliciesAllowWhatIsCalledAndNothingElse: no emulator enforces policies, so this is where a missing one shows.
func TestPoliciesAllowWhatIsCalledAndNothingElse(t *testing.T) {
	program := loadProgram(t)
	calls := map[string][]string{}
	for _, f := range folders {
		calls[f] = program.actions(f)
		t.Logf("%s calls %v", f, calls[f])
	}
	for _, problem := range checkCalls(open(t), calls) {
		t.Error(problem)
	}
	good := original(t)
	for _, m := range callMistakes {
		tpl, err := Parse([]byte(strings.Replace(good, m.old, m.new, 1)))
		if err != nil || !strings.Contains(good, m.old) {
			t.Errorf("%q is not in the template: %v", m.old, err)
			continue
		}
		if found := strings.Join(checkCalls(tpl, calls), "\n"); !strings.Contains(found, m.words) {
			t.Errorf("%q in place of %q gives %q, want %q", m.new, m.old, found, m.words)
		}
	}
}
