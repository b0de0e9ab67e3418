// Package containers sets up a node with real containers: Linux namespaces, whose end removes
// everything in them, the configuration of containerd and the kubelet, and a registry.
package containers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	// NodeAddress is the node's own, on loopback: nothing outside of the
	// namespace has to reach it.
	NodeAddress = "10.97.0.1"
	// apiAddress is that of the Service "kubernetes". The API server listens on
	// it, so that no proxy is needed.
	apiAddress = "10.96.0.1"
	podCIDR    = "10.244.0.0/24"
)

// Sandbox is the inside of the namespaces.
type Sandbox struct {
	// Dir is for everybody's files. It is in memory, and gone with the namespaces.
	Dir string
	// cgroup is the name of the Pods' group below the root of every hierarchy.
	cgroup string
}

// programs are those of the system. The kubelet is not among them: it is built.
var programs = []string{"containerd", "containerd-shim-runc-v2", "runc", "ip"}

// networkPlugins are looked for where distributions put them.
var (
	networkPlugins    = []string{"bridge", "host-local", "loopback"}
	networkPluginDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}
)

// Missing says everything that this machine lacks, and nil if Run can work.
func Missing() error {
	if runtime.GOOS != "linux" {
		return errors.New("containers need Linux")
	}
	var missing []error
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("root is needed"))
	}
	packages := false
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing, packages = append(missing, err), true
		}
	}
	if _, err := networkPluginDir(); err != nil {
		missing, packages = append(missing, err), true
	}
	if packages {
		missing = append(missing, errors.New("on Debian and Ubuntu: apt-get install containerd runc containernetworking-plugins iproute2"))
	}
	if err := missingInKernel(); err != nil {
		missing = append(missing, err)
	}
	return errors.Join(missing...)
}

func missingInKernel() error {
	var missing []error
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	if !strings.Contains(string(known), "\toverlay\n") {
		missing = append(missing, errors.New("the kernel has no overlay file system (modprobe overlay)"))
	}
	// The kubelet reads of killed processes there.
	if _, err := os.Stat("/dev/kmsg"); err != nil {
		missing = append(missing, err)
	}
	if err := missingInCgroups(); err != nil {
		missing = append(missing, err)
	}
	return errors.Join(missing...)
}

func networkPluginDir() (string, error) {
	for _, dir := range networkPluginDirs {
		complete := true
		for _, plugin := range networkPlugins {
			if _, err := os.Stat(filepath.Join(dir, plugin)); err != nil {
				complete = false
			}
		}
		if complete {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the network plugins %s are not in any of %s",
		strings.Join(networkPlugins, ", "), strings.Join(networkPluginDirs, ", "))
}
