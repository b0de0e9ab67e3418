package process

import "syscall"

// groupAttributes make the process the leader of its own group. The kernel
// kills it with its parent, which covers the moment before the reaper knows.
func groupAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
