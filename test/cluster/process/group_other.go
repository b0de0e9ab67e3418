//go:build !linux

package process

import "syscall"

// groupAttributes make the process the leader of its own group.
func groupAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
