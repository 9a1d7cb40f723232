package status

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/source/internal/upstream"
)

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"domain":"lapsed.example","zone":"example","status":"undelegated inactive","tags":"generic","scope":"estimate","offers":[]}`,
		`{"status":[{"domain":"lapsed.example","zone":"example","status":"active","summary":"active"}]}`,
		`{"type":"about:blank","title":"Bad Request","status":400,"detail":"x"}`,
		`{"message":"no"}`, `{"errors":[{"code":1,"message":"x"}]}`, `{"errors":{"a":["b",{"c":"d"}]}}`, `[]`, `{}`, ``, `{"status":"`,
	} {
		f.Add([]byte(s))
	}
	s := newSecret(secretToken)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, api := range []string{Fastly, Domainr} {
			m, cause := Decode(api, body, "lapsed.example")
			again, cause2 := Decode(api, body, "lapsed.example")
			if cause != cause2 || !cmp.Equal(m, again) {
				t.Fatal("a second reading differs")
			}
			if (cause == source.CauseNone) != (len(m.Tokens) > 0) {
				t.Fatalf("%q with %q", cause, m.Tokens)
			}
			for _, token := range m.Tokens {
				if token == "" || token != strings.ToLower(upstream.Printable(token, maxToken)) {
					t.Fatalf("token %q", token)
				}
			}
		}
		said := s.said("HTTP 400" + errorWords(body))
		if len(said) > source.MaxSaid || said != upstream.Printable(said, source.MaxSaid) || strings.Contains(said, secretToken) {
			t.Fatalf("said %q", said)
		}
	})
}
