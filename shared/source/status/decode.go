package status

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/net/idna"

	"github.com/lapseguard/lapseguard/shared/source"
)

// Limits of what an answer may say before it is no longer credible: there are some 25 tokens, the longest has 12
// letters.
const (
	maxTokens = 32
	maxToken  = 64   // bytes
	maxWords  = 2048 // bytes of error text that are looked at
)

// wire is an answer of either API, or an error of one: Fastly's is RFC 9457 with an integer status, Domainr's has
// a message, both may have errors within a success.
type wire struct {
	Domain  string         `json:"domain"`
	Status  jsontext.Value `json:"status"` // Fastly: the tokens; Domainr: a list; in an error: an integer
	Scope   string         `json:"scope"`
	Title   jsontext.Value `json:"title"`
	Detail  jsontext.Value `json:"detail"`
	Message jsontext.Value `json:"message"`
	Msg     jsontext.Value `json:"msg"`
	Errors  jsontext.Value `json:"errors"`
}

// entry is one element of Domainr's list.
type entry struct {
	Domain string `json:"domain"`
	Status string `json:"status"`
}

// Decode reads the body of a 200 of an API (Fastly or Domainr) about name, a canonical domain. On a cause other than
// CauseNone the market is empty. It is strict (no repeated members, UTF-8 only, nothing after the
// object): there is one upstream, and an answer it garbles is no evidence.
func Decode(api string, body []byte, name string) (source.Market, source.Cause) {
	var w wire
	if err := json.Unmarshal(body, &w); err != nil {
		return source.Market{}, source.CauseMalformed
	}
	var e entry
	var cause source.Cause
	precise := true
	switch {
	case filled(w.Errors):
		return source.Market{}, source.CauseErrorInside
	case api == Domainr && w.Status.Kind() == '[':
		e, cause = pick(w.Status, name)
	case api == Fastly && w.Status.Kind() == '"':
		cause = w.only(&e, name)
		// Any scope that is not known to ask the registry is taken for one that does not.
		precise = w.Scope == "" || strings.EqualFold(w.Scope, "precise")
	case filled(w.Title) || filled(w.Message) || filled(w.Msg) || filled(w.Detail):
		return source.Market{}, source.CauseErrorInside
	default:
		return source.Market{}, source.CauseMalformed
	}
	if cause != source.CauseNone {
		return source.Market{}, cause
	}
	tokens, ok := words(e.Status)
	if !ok {
		return source.Market{}, source.CauseMalformed
	}
	return source.Market{Tokens: tokens, Precise: precise}, source.CauseNone
}

// only takes Fastly's single answer.
func (w *wire) only(e *entry, name string) source.Cause {
	e.Domain = w.Domain
	if err := json.Unmarshal(w.Status, &e.Status); err != nil || w.Domain == "" {
		return source.CauseMalformed
	}
	if !same(w.Domain, name) {
		return source.CauseWrongName
	}
	return source.CauseNone
}

// pick takes the entry about name; two of them contradict each other, or say nothing more.
func pick(list jsontext.Value, name string) (entry, source.Cause) {
	var entries []entry
	if err := json.Unmarshal(list, &entries); err != nil || len(entries) == 0 {
		return entry{}, source.CauseMalformed
	}
	about := slices.DeleteFunc(entries, func(e entry) bool { return !same(e.Domain, name) })
	switch len(about) {
	case 0:
		return entry{}, source.CauseWrongName
	case 1:
		return about[0], source.CauseNone
	}
	return entry{}, source.CauseMalformed
}

// words splits the tokens, in lower case and as they were ordered: the last has precedence. Unlisted ones stay.
func words(status string) ([]string, bool) {
	tokens := strings.Fields(strings.ToLower(status))
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return nil, false
	}
	for _, t := range tokens {
		if len(t) > maxToken || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, false
		}
	}
	return tokens, true
}

// lookup is IDNA as a resolver applies it (UTS 46, non-transitional).
var lookup = idna.New(idna.MapForLookup(), idna.VerifyDNSLength(true), idna.StrictDomainName(true))

// same compares a name of an answer with the canonical one that was asked for.
func same(got, asked string) bool {
	got = strings.TrimSuffix(got, ".")
	if strings.EqualFold(got, asked) {
		return true
	}
	if len(got) > 1024 { // no name is longer, and IDNA's work grows with the square of the length
		return false
	}
	got, err := lookup.ToASCII(got)
	return err == nil && got == asked
}

// filled says whether a member is there and holds something.
func filled(v jsontext.Value) bool {
	switch strings.Join(strings.Fields(string(v)), "") {
	case "", "null", "[]", "{}", `""`, "false", "0":
		return false
	}
	return true
}

// errorWords gives the words of an error object as ": title; detail", or nothing.
func errorWords(body []byte) string {
	var w wire
	if json.Unmarshal(body, &w) != nil {
		return ""
	}
	var said strings.Builder
	for _, v := range []jsontext.Value{w.Title, w.Detail, w.Message, w.Msg, w.Errors} {
		var a any
		if filled(v) && json.Unmarshal(v, &a) == nil {
			say(&said, a, 0)
		}
	}
	if said.Len() == 0 {
		return ""
	}
	return ": " + said.String()
}

// say writes the strings of a value, shallow ones only, in a fixed order.
func say(out *strings.Builder, v any, depth int) {
	if depth > 3 || out.Len() > maxWords {
		return
	}
	switch v := v.(type) {
	case string:
		if out.Len() > 0 {
			out.WriteString("; ")
		}
		out.WriteString(v)
	case []any:
		for _, e := range v {
			say(out, e, depth+1)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			say(out, v[k], depth+1)
		}
	}
}
