package containers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const cgroups = "/sys/fs/cgroup"

// unified tells cgroup v2 from the separate hierarchies of v1.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers"))
	return err == nil
}

// hierarchies are the roots of what is mounted.
func hierarchies() []string {
	if unified() {
		return []string{cgroups}
	}
	found, _ := filepath.Glob(filepath.Join(cgroups, "*", "cgroup.procs")) // the pattern is a good one
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

func missingInCgroups() error {
	controllers := func(name string) error {
		_, err := os.Stat(filepath.Join(cgroups, name, "cgroup.procs"))
		return err
	}
	if unified() {
		enabled, err := os.ReadFile(filepath.Join(cgroups, "cgroup.subtree_control"))
		if err != nil {
			return err
		}
		controllers = func(name string) error {
			if !slices.Contains(strings.Fields(string(enabled)), name) {
				return fmt.Errorf("the cgroup controller %s is not enabled for children of %s", name, cgroups)
			}
			return nil
		}
	}
	return errors.Join(controllers("cpu"), controllers("cpuset"), controllers("memory"), controllers("pids"))
}

// makeCgroup makes the group below which the kubelet makes its own.
func makeCgroup(name string) error {
	for _, root := range hierarchies() {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("making the Pods' cgroup: %w", err)
		}
		// A new group of v1 may use no processor and no memory node.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(root, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), value, 0o600)
			}
			if err != nil {
				return fmt.Errorf("making the Pods' cgroup: %w", err)
			}
		}
	}
	return nil
}

// Cgroup is what the kernel knows of one container.
type Cgroup struct{ sandbox, container string }

// Cgroup is a container's, by its id without "containerd://".
func (s *Sandbox) Cgroup(container string) Cgroup { return Cgroup{s.cgroup, container} }

// read reads a file of a controller; v1 and v2 call it differently.
func (c Cgroup) read(controller, v1, v2 string) (string, error) {
	root, file := filepath.Join(cgroups, controller), v1
	if unified() {
		root, file = cgroups, v2
	}
	found, err := filepath.Glob(filepath.Join(root, c.sandbox, "kubepods", "*", "pod*", c.container, file))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("container %s: %d cgroups with %s: %w", c.container, len(found), file, fs.ErrNotExist)
	}
	content, err := os.ReadFile(found[0])
	return strings.TrimSpace(string(content)), err
}

func (c Cgroup) number(controller, v1, v2 string) (int64, error) {
	text, err := c.read(controller, v1, v2)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// MemoryLimit is in bytes.
func (c Cgroup) MemoryLimit() (int64, error) {
	return c.number("memory", "memory.limit_in_bytes", "memory.max")
}

// MemoryPeak is the most that was charged, in bytes, cached pages of files
// included.
func (c Cgroup) MemoryPeak() (int64, error) {
	return c.number("memory", "memory.max_usage_in_bytes", "memory.peak")
}

// MemoryOwn is what the processes themselves hold now, in bytes, without pages
// that could be read again from a file.
func (c Cgroup) MemoryOwn() (int64, error) {
	stat, err := c.read("memory", "memory.stat", "memory.stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(stat) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "anon" || name == "rss" {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, errors.New("memory.stat says nothing of anonymous memory")
}

// CPUQuota is how many processors the container may use.
func (c Cgroup) CPUQuota() (float64, error) {
	quota, err := c.read("cpu", "cpu.cfs_quota_us", "cpu.max")
	if err != nil {
		return 0, err
	}
	var of string
	if unified() {
		quota, of, _ = strings.Cut(quota, " ")
	} else if of, err = c.read("cpu", "cpu.cfs_period_us", ""); err != nil {
		return 0, err
	}
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil {
		return 0, err
	}
	period, err := strconv.ParseFloat(of, 64)
	return q / period, err
}

// Process is the number of the container's process, of which there is one.
func (c Cgroup) Process() (int, error) {
	pids, err := c.read("pids", "cgroup.procs", "cgroup.procs")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(pids)
}
