package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints what a shell has to know: it asks this program for what may stand at the cursor.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish: source <(lapseguard completion bash), or lapseguard completion fish | source."`
}

// shells are the scripts. Where nothing is said, the shell completes names of files.
var shells = map[string]string{
	"bash": `_lapseguard() {
  local IFS=$'\n'
  COMPREPLY=($("$1" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _lapseguard lapseguard
`,
	"zsh": `#compdef lapseguard
_lapseguard() {
  local -a said
  said=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n $said ]]; then compadd -- $said; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
compdef _lapseguard lapseguard
`,
	"fish": `function __lapseguard
  set -l before (commandline -opc)
  command $before[1] complete -- $before[2..-1] (commandline -ct) 2>/dev/null
end
complete -c lapseguard -f -n '__lapseguard | count >/dev/null' -a '(__lapseguard)'
`,
}

// Run prints the script.
func (c *completionCommand) Run(s streams) error {
	_, err := fmt.Fprint(s.out, shells[c.Shell])
	return err //nolint:wrapcheck // of the output itself
}

// completeCommand is what those scripts ask.
type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words of the line so far; the last one is begun."`
}

// Run prints what may stand in the place of the last word, a line each.
func (c *completeCommand) Run(ctx context.Context, s streams, k *kong.Context) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, w := range candidates(ctx, k.Model.Node, words) {
		fmt.Fprintln(s.out, w)
	}
	return nil
}

// candidates are what may stand in the place of the last word.
func candidates(ctx context.Context, root *kong.Node, words []string) []string {
	begun := ""
	if len(words) > 0 {
		words, begun = words[:len(words)-1], words[len(words)-1]
	}
	node, flag := root, (*kong.Flag)(nil)
	given, positional := map[string]bool{}, 0
	for _, w := range words {
		switch name, _, set := strings.Cut(w, "="); {
		case flag != nil && w == "=": // bash takes it for a word
		case flag != nil:
			flag = nil
		case strings.HasPrefix(w, "--"):
			given[name[2:]] = true
			if f := flagNamed(node, name[2:]); f != nil && !set && !f.IsBool() {
				flag = f
			}
		case node == root:
			i := slices.IndexFunc(root.Children, func(n *kong.Node) bool { return n.Name == w })
			if i < 0 {
				return nil
			}
			node = root.Children[i]
		default:
			positional++
		}
	}
	var all []string
	if flag != nil && begun == "=" {
		begun = ""
	}
	name, _, set := strings.Cut(begun, "=")
	switch {
	case flag != nil:
		all = valuesOf(flag.Value)
	case strings.HasPrefix(begun, "--") && set:
		if f := flagNamed(node, name[2:]); f != nil {
			for _, v := range valuesOf(f.Value) {
				all = append(all, name+"="+v)
			}
		}
	case strings.HasPrefix(begun, "-"):
		for _, f := range flagsOf(node) {
			if !f.Hidden && !given[f.Name] {
				all = append(all, "--"+f.Name)
			}
		}
	case node == root:
		for _, n := range root.Children {
			if !n.Hidden {
				all = append(all, n.Name)
			}
		}
	case positional < len(node.Positional):
		if all = valuesOf(node.Positional[positional]); node.Positional[positional].Name == "domain" {
			all = heldDomains(ctx, words)
		}
	}
	all = slices.DeleteFunc(all, func(w string) bool { return !strings.HasPrefix(w, begun) })
	slices.Sort(all)
	return all
}

func flagsOf(node *kong.Node) []*kong.Flag {
	var all []*kong.Flag
	for _, group := range node.AllFlags(false) {
		all = append(all, group...)
	}
	return all
}

func flagNamed(node *kong.Node, name string) *kong.Flag {
	for _, f := range flagsOf(node) {
		if f.Name == name || slices.Contains(f.Aliases, name) {
			return f
		}
	}
	return nil
}

func valuesOf(v *kong.Value) (all []string) {
	for _, w := range v.EnumSlice() {
		if w != "" {
			all = append(all, w)
		}
	}
	return all
}

// heldDomains are those of a local store that wait for a decision: what one types a domain for.
func heldDomains(ctx context.Context, words []string) (names []string) {
	state := defaultState
	for i, w := range words {
		if s, ok := strings.CutPrefix(w, "--state="); ok {
			state = s
		} else if w == "--state" && i+1 < len(words) {
			state = words[i+1]
		}
	}
	if _, err := os.Stat(state); err != nil {
		return nil
	}
	st, _, err := openStore(state)
	if err != nil {
		return nil // somebody else has it: a completion does not wait
	}
	defer st.Close() //nolint:errcheck // only read
	holds, err := readHolds(ctx, st, "")
	if err != nil {
		return nil
	}
	for _, h := range holds {
		if plainName(h.Domain) {
			names = append(names, h.Domain)
		}
	}
	return names
}
