package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":            {[]string{"--help"}, 0, "guard install"},
		"no realm":        {[]string{"--url=http://127.0.0.1:1", "guard", "show", "--password=x"}, 2, "--realm"},
		"no secret":       {[]string{"--url=http://127.0.0.1:1", "--realm=r", "serve", "--token=0123456789abcdef"}, 2, "--secret"},
		"plain http":      {[]string{"--url=http://id.example", "--realm=r", "guard", "show", "--password=x"}, 1, "set an https URL"},
		"nobody is there": {[]string{"--url=http://127.0.0.1:1", "--realm=r", "guard", "show", "--password=x"}, 1, "does not answer"},
		"a short token":   {[]string{"--url=http://127.0.0.1:1", "--realm=r", "serve", "--secret=s", "--token=short"}, 1, "16 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{"KEYCLOAK_URL", "KEYCLOAK_REALM", "KEYCLOAK_CLIENT_SECRET", "LAPSEGUARD_REGISTRY_TOKEN"} {
				t.Setenv(v, "") // which puts it back in the end
				_ = os.Unsetenv(v)
			}
			var out bytes.Buffer
			if code := run(t.Context(), c.args, streams{&out, &out}); code != c.code || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit %d, want %d; it says:\n%s", code, c.code, &out)
			}
		})
	}
}
