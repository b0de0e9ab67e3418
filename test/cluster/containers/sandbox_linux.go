package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// prefix is followed by the number of the process that removes what has the name.
const prefix = "arc-cleanup-node-"

// sandboxVariable tells the program that it is inside: "CGROUP DIR".
const sandboxVariable = "ARC_CLEANUP_SANDBOX"

// Run runs this program once more, as the first process of namespaces of its
// own, and returns its exit code. Whichever way that process ends, or this one,
// the kernel ends every process in there, and unmounts and unplugs everything.
func Run(ctx context.Context) (int, error) {
	if err := Missing(); err != nil {
		return 0, err
	}
	if err := removeLeft(); err != nil {
		return 0, fmt.Errorf("removing what an earlier run left: %w", err)
	}
	name := prefix + strconv.Itoa(os.Getpid())
	dir := filepath.Join(os.TempDir(), name)
	if err := errors.Join(os.Mkdir(dir, 0o700), makeCgroup(name)); err != nil {
		return 0, errors.Join(err, removeLeft())
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), sandboxVariable+"="+name+" "+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	runtime.LockOSThread() // its death is the parent's to the kernel
	err := cmd.Run()
	runtime.UnlockOSThread()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	err = errors.Join(err, removeLeft())
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("starting a process in namespaces of its own: %w", err)
	}
	return cmd.ProcessState.ExitCode(), err
}

// removeLeft removes this process's cgroups and empty folder, and those of
// processes that were killed before they could.
func removeLeft() error {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // the pattern is a good one
	for _, root := range hierarchies() {
		groups, _ := filepath.Glob(filepath.Join(root, prefix+"*"))
		found = append(found, groups...)
	}
	var errs []error
	for _, dir := range found {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix))
		if err == nil && (pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)) {
			errs = append(errs, removeDirs(dir))
		}
	}
	return errors.Join(errs...)
}

// removeDirs removes folders and never a file: a cgroup's go with it.
func removeDirs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeDirs(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(dir)
}

// Inside prepares the namespaces, if this is the process that Run started.
func Inside(ctx context.Context) (*Sandbox, error) {
	cgroup, dir, ok := strings.Cut(os.Getenv(sandboxVariable), " ")
	if !ok || os.Getpid() != 1 {
		return nil, nil //nolint:nilnil // outside there is neither a sandbox nor anything wrong
	}
	s := &Sandbox{Dir: dir, cgroup: cgroup}
	for _, step := range []func(context.Context) error{s.mount, s.hideSysctls, s.network} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("preparing the sandbox: %w", err)
		}
	}
	// What is temporary is not to be left outside, either.
	return s, os.Setenv("TMPDIR", dir)
}

func (s *Sandbox) mount(context.Context) error {
	// First of all nothing that follows may reach the mounts outside. Then it has
	// to reach those of containers, which the kubelet insists on.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("making mounts shared: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, dir := range []string{s.Dir, "/run", "/var/log"} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	// Paths which containerd and the kubelet have as constants.
	upper, work := filepath.Join(s.Dir, "var-lib"), filepath.Join(s.Dir, "var-lib.work")
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=/var/lib,upperdir=%s,workdir=%s", upper, work)
	if err := syscall.Mount("overlay", "/var/lib", "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting /var/lib: %w", err)
	}
	return nil
}

// hideSysctls gives the kubelet files of its own in place of those settings
// which it changes, and which are the whole machine's.
func (s *Sandbox) hideSysctls(context.Context) error {
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	} {
		path := "/proc/sys/" + name
		value, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		own := filepath.Join(s.Dir, filepath.Base(name))
		if err := os.WriteFile(own, value, 0o600); err != nil {
			return err
		}
		if err := syscall.Mount(own, path, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("hiding %s: %w", path, err)
		}
	}
	return nil
}

func (s *Sandbox) network(ctx context.Context) error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", NodeAddress + "/32", "dev", "lo"},
		{"address", "add", apiAddress + "/32", "dev", "lo"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	return nil
}
