package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const manifestName = "plugin.yaml"

// Plugin is what is read of a plugin.yaml, of Helm 4's form or of the older one,
// which Helm 3 and Helm 4 read.
type Plugin struct {
	Name            string            `json:"name"`
	Version         string            `json:"version"`
	PlatformCommand []PlatformCommand `json:"platformCommand"`
	RuntimeConfig   struct {
		PlatformCommand []PlatformCommand `json:"platformCommand"`
	} `json:"runtimeConfig"`

	dir  string
	text []byte
}

// PlatformCommand is the command for one platform.
type PlatformCommand struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Command string `json:"command"`
}

func load(dir string) (*Plugin, error) {
	name := filepath.Join(dir, manifestName)
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p := Plugin{dir: dir, text: text}
	if err := yaml.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &p, nil
}

// check sees that the plugin has the version, and on each platform a command, of
// that platform alone, which is in the folder. Helm would say the rest when a user
// installs it, but these only when it is run, and on that platform.
func (p *Plugin) check(version string, platforms []string) error {
	if p.Version != version {
		return fmt.Errorf("version %s, not %s", p.Version, version)
	}
	var bad []error
	for _, platform := range platforms {
		bad = append(bad, p.checkPlatform(platform))
	}
	return errors.Join(bad...)
}

func (p *Plugin) checkPlatform(platform string) error {
	for _, c := range append(p.PlatformCommand, p.RuntimeConfig.PlatformCommand...) {
		if c.OS+"/"+c.Arch != platform {
			continue
		}
		file, inside := strings.CutPrefix(strings.ReplaceAll(c.Command, `\`, "/"), "${HELM_PLUGIN_DIR}/")
		if !inside || strings.Contains(file, " ") {
			return fmt.Errorf("%s: %s is not a file of the plugin, or has arguments", platform, c.Command)
		}
		content, err := fs.ReadFile(os.DirFS(p.dir), path.Clean(file))
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		if built := platformOf(content); built != platform {
			return fmt.Errorf("%s: %s is built for %q", platform, file, built)
		}
		return nil
	}
	return fmt.Errorf("no command for %s", platform)
}

// platformOf is the OS/ARCH a Go program was built for; "" if it is none.
func platformOf(program []byte) string {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return ""
	}
	var os, arch string
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			os = s.Value
		case "GOARCH":
			arch = s.Value
		}
	}
	return os + "/" + arch
}
