//go:build !linux

package upgrade

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
