//go:build !linux

package emulator

import (
	"os"
	"syscall"
)

// dieWithParent asks for nothing: only Linux can end a process with its parent.
func dieWithParent() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) {
	_ = p.Kill() // it may have ended already
}
