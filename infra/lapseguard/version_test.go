package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestVersionIsTheChangelogs: what a user reports is what the file at the top level describes.
func TestVersionIsTheChangelogs(t *testing.T) {
	data, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+)`).FindSubmatch(data)
	if newest == nil || string(newest[1]) != release {
		t.Errorf("the newest entry of CHANGELOG.md is %q, the program says %q", newest, release)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--version"}, streams{&out, &out}); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.HasPrefix(out.String(), "lapseguard "+release+" (commit ") || !strings.Contains(out.String(), "schema of items 1, of messages 1)") {
		t.Errorf("said %q", &out)
	}
}
