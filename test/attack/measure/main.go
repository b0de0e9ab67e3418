// Command measure runs a command in its own place, and appends the memory and time that the
// command used to a file. It is small on purpose: Linux also counts the memory that the parent had
// at the start, so a test cannot measure a command that it starts itself.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// Usage is what one command took. The memory is the most that it, or a process it
// waited for, had at a time.
type Usage struct {
	KiB     int64
	Seconds float64
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: measure FILE COMMAND [ARG...]")
		os.Exit(2)
	}
	code, err := measure(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		code = 1
	}
	os.Exit(code)
}

func measure(file string, args []string) (int, error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	usage := Usage{Seconds: time.Since(start).Seconds()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		usage.KiB = r.Maxrss
	}
	line, err := json.Marshal(usage)
	if err != nil {
		return 0, err
	}
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), out.Close()
}
