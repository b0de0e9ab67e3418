// Package process starts programs in process groups of their own. However the calling program
// ends, no process and no folder is left behind.
package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// reaper reads which process groups there are ("+ 12", "- 12") and, when the
// writer of these lines has gone, kills what is left and removes the folder.
const reaper = `
groups=
while read -r change group; do
	rest=
	for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done
	groups=$rest
	[ "$change" = "-" ] || groups="$groups $group"
done
for g in $groups; do kill -9 "-$g"; done
[ -z "$1" ] && exit
for try in 1 2 3 4 5; do rm -rf "$1" && exit; sleep 1; done
`

// Keeper starts processes and outlives nobody: a small shell process in a
// session of its own does its work if this program is killed.
type Keeper struct {
	reaper  *exec.Cmd
	starts  chan func()
	mu      sync.Mutex // guards changes and running
	changes io.WriteCloser
	running map[*Process]struct{}
}

// NewKeeper also removes the folder at the end, unless its name is empty.
func NewKeeper(remove string) (*Keeper, error) {
	cmd := exec.Command("/bin/sh", "-c", reaper, "reaper", remove)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	cmd.Dir = "/"
	changes, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the reaper: %w", err)
	}
	k := &Keeper{reaper: cmd, changes: changes, starts: make(chan func()), running: map[*Process]struct{}{}}
	go k.startLoop()
	return k, nil
}

// startLoop starts every process from one thread, which lives as long as the
// keeper: the kernel's signal on the death of a parent is per thread.
func (k *Keeper) startLoop() {
	runtime.LockOSThread()
	for start := range k.starts {
		start()
	}
}

// Process is a program that was started, with all of its descendants.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts the command in a process group of its own.
func (k *Keeper) Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = groupAttributes()
	p := &Process{cmd: cmd, done: make(chan struct{})}
	failed := make(chan error)
	k.starts <- func() { failed <- k.start(p) }
	if err := <-failed; err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait() //nolint:errcheck // ProcessState has all there is to know
		p.Kill()   // its descendants
		k.mu.Lock()
		delete(k.running, p)
		fmt.Fprintf(k.changes, "- %d\n", cmd.Process.Pid)
		k.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}

func (k *Keeper) start(p *Process) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	k.running[p] = struct{}{}
	_, err := fmt.Fprintf(k.changes, "+ %d\n", p.cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("telling the reaper: %w", err)
	}
	return nil
}

// Close kills what still runs and lets the reaper finish. No Start may follow.
func (k *Keeper) Close() error {
	k.mu.Lock()
	left := make([]*Process, 0, len(k.running))
	for p := range k.running {
		left = append(left, p)
	}
	k.mu.Unlock()
	for _, p := range left {
		p.Kill()
	}
	for _, p := range left {
		<-p.Done()
	}
	close(k.starts)
	k.changes.Close() //nolint:errcheck // the reaper has gone, then
	if err := k.reaper.Wait(); err != nil {
		return fmt.Errorf("ending the reaper: %w", err)
	}
	return nil
}

// Terminate asks the process to end; what becomes of its descendants is its
// own affair until it has ended.
func (p *Process) Terminate() { p.signal(p.cmd.Process.Pid, syscall.SIGTERM) }

// Kill ends the process and all of its descendants.
func (p *Process) Kill() { p.signal(-p.cmd.Process.Pid, syscall.SIGKILL) }

func (p *Process) signal(pid int, signal syscall.Signal) {
	select {
	case <-p.done: // the number may belong to somebody else by now
	default:
		syscall.Kill(pid, signal) //nolint:errcheck // it ended meanwhile
	}
}

// PID is the number of the process, and of its process group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is what the process ended with: 128 and the signal's number for a
// signal, as in a shell. It is valid once Done is closed.
func (p *Process) ExitCode() int {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Tail returns the last lines of a log, for an error message.
func Tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
