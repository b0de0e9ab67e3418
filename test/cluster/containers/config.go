package containers

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed config
var templates embed.FS

// Files are the kubelet's, made by the cluster.
type Files struct{ CA, Cert, Key string }

// Configure writes what containerd and the kubelet read into the folder config of
// Dir, as containerd.toml and kubelet.yaml.
func (s *Sandbox) Configure(files Files) error {
	plugins, err := networkPluginDir()
	if err != nil {
		return err
	}
	values := struct {
		Files
		Dir, Cgroup, Socket, Config, Registry, Plugins, Pause, PodCIDR string
	}{files, s.Dir, s.cgroup, s.Socket(), s.config(""), registryURL, plugins, PauseImage, podCIDR}
	for name, file := range map[string]string{
		"containerd.toml": "containerd.toml",
		"kubelet.yaml":    "kubelet.yaml",
		"network.json":    filepath.Join("network", "10-bridge.conflist"),
		"hosts.toml":      filepath.Join("registries", "_default", "hosts.toml"),
		"resolv.conf":     "resolv.conf",
	} {
		text, err := template.ParseFS(templates, "config/"+name)
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := text.Execute(&b, values); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		path := s.config(file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sandbox) config(name string) string { return filepath.Join(s.Dir, "config", name) }

// Socket is where containerd listens.
func (s *Sandbox) Socket() string { return filepath.Join(s.Dir, "containerd.sock") }

// ContainerdArgs start containerd after Configure.
func (s *Sandbox) ContainerdArgs() []string { return []string{"--config", s.config("containerd.toml")} }

// KubeletArgs start the kubelet after Configure.
func (s *Sandbox) KubeletArgs(kubeconfig, node string) []string {
	return []string{
		"--config=" + s.config("kubelet.yaml"),
		"--kubeconfig=" + kubeconfig,
		"--hostname-override=" + node,
		"--node-ip=" + NodeAddress,
		"--root-dir=" + filepath.Join(s.Dir, "kubelet"),
	}
}
