package main

import (
	"fmt"
	"runtime/debug"

	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
)

// release is the version of the newest entry of CHANGELOG.md; a test compares.
const release = "0.1.0"

// version says which program this is: the release, the commit it was built from where the build knows it, and the
// newest schemas that it reads of items and of messages.
func version() string {
	commit, dirty, compiler := "unknown", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		compiler = info.GoVersion
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = ", changed since"
			}
		}
	}
	return fmt.Sprintf("lapseguard %s (commit %s%s, %s; schema of items %d, of messages %d)", release, commit, dirty, compiler, records.Schema, queue.Schema)
}
