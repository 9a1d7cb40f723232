// Package template reads template.yaml, the one place that defines resources, for those who must agree
// with it: the tests that hold it against the code, and whatever runs the functions locally.
package template

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a template in bytes (CloudFormation takes 1 MB from S3).
const maxFile = 1 << 20

// Call is an intrinsic function left as it stands: !Ref X is {"Ref", "X"}, !GetAtt A.B is {"GetAtt",
// "A.B"}, !If [a, b, c] is {"If", []any{...}}.
type Call struct {
	Fn  string
	Arg any
}

// Template is a parsed template. Values are string, int, float64, bool, nil, []any, map[string]any and
// Call. It must not be changed; then it is safe for concurrent use.
type Template struct {
	Root map[string]any
}

// Open finds template.yaml in the working directory or the nearest folder above it, and parses it. A test
// of any package of this module finds it so.
func Open() (*Template, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	return Load(filepath.Join(dir, "template.yaml"))
}

// Dir is the repository's root: the nearest folder upward from the working directory with a template.yaml.
func Dir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("template: find the working directory: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "template.yaml")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("template: no template.yaml here or in any folder above")
		}
		dir = parent
	}
}

// Load parses the template in a file.
func Load(path string) (*Template, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return t, nil
}

// Parse parses a template. YAML aliases are an error: CloudFormation does not take them
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html).
func Parse(data []byte) (*Template, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("template: %d bytes are more than %d", len(data), maxFile)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("template: empty")
	}
	v, err := value(doc.Content[0])
	if err != nil {
		return nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("template: not a mapping")
	}
	return &Template{Root: root}, nil
}

// value turns a node into plain Go values and Calls.
func value(n *yaml.Node) (any, error) {
	if fn, ok := strings.CutPrefix(n.Tag, "!"); ok && !strings.HasPrefix(fn, "!") {
		plain := *n
		plain.Tag = ""
		if n.Kind == yaml.ScalarNode {
			return Call{Fn: fn, Arg: n.Value}, nil
		}
		arg, err := value(&plain)
		return Call{Fn: fn, Arg: arg}, err
	}
	switch n.Kind {
	case yaml.MappingNode:
		return mapping(n)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			v, err := value(c)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case yaml.ScalarNode:
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, fmt.Errorf("template: line %d: %w", n.Line, err)
		}
		return v, nil
	default:
		return nil, fmt.Errorf("template: line %d: an alias, which CloudFormation does not take", n.Line)
	}
}

func mapping(n *yaml.Node) (any, error) {
	m := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if _, twice := m[key.Value]; twice {
			return nil, fmt.Errorf("template: line %d: %s stands there twice", key.Line, key.Value)
		}
		v, err := value(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		m[key.Value] = v
	}
	return m, nil
}

// Get walks mappings by their keys; nil where there is nothing.
func (t *Template) Get(path ...string) any {
	return walk(t.Root, path...)
}

func walk(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// Property is a property of a resource; nil where there is none.
func (t *Template) Property(resource string, path ...string) any {
	return walk(t.Get("Resources", resource, "Properties"), path...)
}

// Resources are the logical names of the resources of a type, sorted; all resources for "".
func (t *Template) Resources(kind string) []string {
	all, _ := t.Get("Resources").(map[string]any)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if kind == "" || walk(all[name], "Type") == kind {
			names = append(names, name)
		}
	}
	return names
}

// FunctionID is the logical name of the function whose code is in functions/<folder>.
func FunctionID(folder string) string {
	if folder == "" {
		return ""
	}
	return strings.ToUpper(folder[:1]) + folder[1:] + "Function"
}

// Env is what the template sets for the function in functions/<folder>, the global variables included.
func (t *Template) Env(folder string) map[string]any {
	env := map[string]any{}
	global, _ := t.Get("Globals", "Function", "Environment", "Variables").(map[string]any)
	own, _ := t.Property(FunctionID(folder), "Environment", "Variables").(map[string]any)
	maps.Copy(env, global)
	maps.Copy(env, own)
	return env
}

// EnvNames are the names of the variables that the function in functions/<folder> gets, sorted; none for
// an unknown folder.
func (t *Template) EnvNames(folder string) []string {
	if t.Get("Resources", FunctionID(folder)) == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.Env(folder)))
}

// EnvDefaults are the variables of a function whose value is known before a deployment, with that value:
// literals, and references to parameters with a default.
func (t *Template) EnvDefaults(folder string) map[string]string {
	known := map[string]string{}
	for name, v := range t.Env(folder) {
		if c, ok := v.(Call); ok {
			parameter, _ := c.Arg.(string)
			v = t.Get("Parameters", parameter, "Default")
			if c.Fn != "Ref" || v == nil {
				continue
			}
		}
		known[name] = fmt.Sprint(v)
	}
	return known
}

// Queue is what local stand-ins of an SQS queue must imitate.
type Queue struct {
	FIFO              bool
	VisibilityTimeout int    // seconds
	Retention         int    // seconds
	DeadLetters       string // logical name of the queue for messages that failed MaxReceive times; may be empty
	MaxReceive        int
}

// Queue reads a queue by its logical name. Absent properties are zero.
func (t *Template) Queue(name string) Queue {
	fifo, _ := t.Property(name, "FifoQueue").(bool)
	return Queue{
		FIFO:              fifo,
		VisibilityTimeout: number(t.Property(name, "VisibilityTimeout")),
		Retention:         number(t.Property(name, "MessageRetentionPeriod")),
		DeadLetters:       target(t.Property(name, "RedrivePolicy", "deadLetterTargetArn")),
		MaxReceive:        number(t.Property(name, "RedrivePolicy", "maxReceiveCount")),
	}
}

// Schedule is an event of EventBridge Scheduler.
type Schedule struct {
	Function   string // logical name
	Event      string // its name in the function's Events
	Expression string // rate(...) or cron(...); the default where it is a parameter
	Input      string // JSON that the function gets
	DeadLetter string // logical name of the queue for events that could not be delivered
}

// Schedules are all schedules, by function, then event.
func (t *Template) Schedules() []Schedule {
	var list []Schedule
	for _, f := range t.Resources("AWS::Serverless::Function") {
		events, _ := t.Property(f, "Events").(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(events)) {
			p := walk(events[name], "Properties")
			if walk(events[name], "Type") != "ScheduleV2" {
				continue
			}
			expression := walk(p, "ScheduleExpression")
			if c, ok := expression.(Call); ok {
				parameter, _ := c.Arg.(string)
				expression = t.Get("Parameters", parameter, "Default")
			}
			list = append(list, Schedule{
				Function: f, Event: name,
				Expression: text(expression),
				Input:      text(walk(p, "Input")),
				DeadLetter: target(walk(p, "DeadLetterConfig", "Arn")),
			})
		}
	}
	return list
}

// Statement is one statement of a role's policies.
type Statement struct {
	Sid     string
	Actions []string
	// Resources as text: "GetAtt DomainsTable.Arn", "Sub ${DomainsTable.Arn}/index/attention".
	Resources []string
	// Keys are patterns of the partition keys that it is about (dynamodb:LeadingKeys); nil: every one.
	Keys []string
	// Conditions are the operators of its condition with their keys, as text.
	Conditions []string
}

// Covers tells whether the statement is about items of a partition key. An asterisk stands at a pattern's end alone.
func (s Statement) Covers(pk string) bool {
	if s.Keys == nil {
		return true
	}
	return slices.ContainsFunc(s.Keys, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return pattern == pk || open && strings.HasPrefix(pk, prefix)
	})
}

// leading are the operator and the key of the one condition that statements have.
const leading = "ForAllValues:StringLike dynamodb:LeadingKeys"

// conditions reads a statement's condition.
func conditions(condition any) (names, keys []string) {
	operators, _ := condition.(map[string]any)
	for _, operator := range slices.Sorted(maps.Keys(operators)) {
		on, _ := operators[operator].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(on)) {
			names = append(names, operator+" "+key)
			if operator+" "+key == leading {
				keys = append([]string{}, texts(on[key])...)
			}
		}
	}
	return names, keys
}

// Statements are all statements of a role; conditional ones count as there.
func (t *Template) Statements(role string) []Statement {
	var list []Statement
	policies, _ := t.Property(role, "Policies").([]any)
	for _, policy := range policies {
		raw, _ := walk(policy, "PolicyDocument", "Statement").([]any)
		for _, s := range raw {
			if c, ok := s.(Call); ok {
				if args, ok := c.Arg.([]any); ok && c.Fn == "If" && len(args) == 3 {
					s = args[1]
				}
			}
			st := Statement{Sid: text(walk(s, "Sid")), Actions: texts(walk(s, "Action")), Resources: texts(walk(s, "Resource"))}
			st.Conditions, st.Keys = conditions(walk(s, "Condition"))
			list = append(list, st)
		}
	}
	return list
}

// Allowed tells whether the function in functions/<folder> may do an action ("dynamodb:PutItem") on the
// resource with that logical name ("DomainsTable"), or on an index of it ("DomainsTable/index/attention").
// No emulator enforces policies, so whoever records what a function really calls can ask here. pk is the partition key
// of the item; empty for what has none.
func (t *Template) Allowed(folder, action, resource, pk string) bool {
	return t.allowed(folder, action, resource, func(s Statement) bool { return s.Covers(pk) })
}

// AllowedSome is Allowed for one key or the other: for who cannot tell what key a call is about.
func (t *Template) AllowedSome(folder, action, resource string) bool {
	return t.allowed(folder, action, resource, func(Statement) bool { return true })
}

func (t *Template) allowed(folder, action, resource string, covers func(Statement) bool) bool {
	base, rest, _ := strings.Cut(resource, "/")
	want := "GetAtt " + base + ".Arn"
	if rest != "" {
		want = "Sub ${" + base + ".Arn}/" + rest
	}
	for _, s := range t.Statements(target(t.Property(FunctionID(folder), "Role"))) {
		if slices.Contains(s.Actions, action) && slices.Contains(s.Resources, want) && covers(s) {
			return true
		}
	}
	return false
}

// texts flattens a string, a Call or a list of them; of an If both branches count.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case Call:
		if branches, ok := v.Arg.([]any); ok && v.Fn == "If" && len(branches) == 3 {
			return texts(branches[1:])
		}
		return []string{v.Fn + " " + fmt.Sprint(v.Arg)}
	case []any:
		var list []string
		for _, e := range v {
			list = append(list, texts(e)...)
		}
		return list
	}
	return nil
}

// target is the logical name that a !Ref or !GetAtt points to.
func target(v any) string {
	c, _ := v.(Call)
	name, _, _ := strings.Cut(text(c.Arg), ".")
	if c.Fn != "Ref" && c.Fn != "GetAtt" {
		return ""
	}
	return name
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func number(v any) int {
	n, _ := v.(int)
	return n
}
