package main

import "golang.org/x/sys/unix"

// widenPipes lets the pipes on stdin and stdout hold a mebibyte, the most that
// Linux allows everybody (fs.pipe-max-size), and not 64 KiB: most of the time
// for a large stream goes into switching between the two ends of a pipe. What
// is no pipe stays as it is.
func widenPipes() {
	for _, fd := range []int{unix.Stdin, unix.Stdout} {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, 1<<20)
	}
}
