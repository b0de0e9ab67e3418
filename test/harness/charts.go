package harness

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// LeaveOutPods gives the product copies of ARC's charts, below dir, whose CRDs leave out what ARC itself does not look at:
// descriptions, and the schemas of Pods. That is 99 % of them. To create and delete the four CRDs of a chart, an API server
// computes for six seconds; for one, if they are short. A suite of a hundred installations that is not about a Pod's fields
// takes half the time.
func (p *Product) LeaveOutPods(dir string) error {
	if err := os.CopyFS(dir, os.DirFS(p.arcCharts)); err != nil {
		return fmt.Errorf("copying ARC's charts: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "crds", "*.yaml"))
	if err != nil {
		return fmt.Errorf("looking for CRDs: %w", err)
	}
	for _, file := range files {
		if err := shorten(file); err != nil {
			return fmt.Errorf("shortening the CRD %s: %w", file, err)
		}
	}
	p.arcCharts = dir
	return nil
}

func shorten(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd any
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return err
	}
	if text, err = yaml.Marshal(withoutPods(crd)); err != nil {
		return err
	}
	// "helm show crds" of Helm 3 puts nothing between two files.
	return os.WriteFile(file, append([]byte("---\n"), text...), 0o600)
}

// withoutPods is a part of a CRD without descriptions, where anything goes for an object that has containers.
func withoutPods(part any) any {
	switch part := part.(type) {
	case map[string]any:
		if properties, is := part["properties"].(map[string]any); is && properties["containers"] != nil {
			return map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
		}
		short := map[string]any{}
		for key, value := range part {
			if _, text := value.(string); text && key == "description" {
				continue
			}
			short[key] = withoutPods(value)
		}
		return short
	case []any:
		for i, value := range part {
			part[i] = withoutPods(value)
		}
	}
	return part
}
