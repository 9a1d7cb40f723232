package status

import (
	"net/url"
	"strings"

	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

// secret is a token in the forms in which it may come back to us.
type secret struct {
	forms []string
}

func newSecret(token string) secret {
	if token == "" {
		return secret{}
	}
	return secret{forms: []string{token, url.QueryEscape(token), url.PathEscape(token)}}
}

// said makes a line fit for an observation: printable, without the token, at most source.MaxSaid bytes. The
// token goes before the line is cut, lest half of it stays.
func (s secret) said(line string) string {
	line = upstream.Printable(line, len(line))
	for _, form := range s.forms {
		line = hide(line, form)
	}
	return upstream.Said(line)
}

// hide replaces form, also in other case.
func hide(line, form string) string {
	var out strings.Builder
	for len(line) >= len(form) {
		if strings.EqualFold(line[:len(form)], form) {
			out.WriteString("[token]")
			line = line[len(form):]
			continue
		}
		out.WriteByte(line[0])
		line = line[1:]
	}
	return out.String() + line
}

// among says whether the secret is one of the words of an answer, or, where it is long enough for that not to be
// chance, in one.
func (s secret) among(words []string) bool {
	for _, w := range words {
		for _, form := range s.forms {
			form = strings.ToLower(form)
			if w == form || len(form) >= 8 && strings.Contains(w, form) {
				return true
			}
		}
	}
	return false
}
