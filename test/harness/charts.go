package harness

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// LeaveOutPods gives the product copies of ARC's charts, below dir, whose CRDs leave out what ARC itself does not look at:
// descriptions, and the schemas of Pods. That is 99 % of them. To create and delete the four CRDs of a chart, an API server
// computes for six seconds; for one, if they are short. A suite of a hundred installations that is not about a Pod's fields
// takes a quarter less time.
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

// CRDs are those of one of ARC's charts.
func (p *Product) CRDs(chart string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(p.ARCChart(chart), "crds", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("looking for the CRDs of %s: %w", chart, err)
	}
	crds := make([]*unstructured.Unstructured, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		crds[i] = &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, crds[i]); err != nil {
			return nil, fmt.Errorf("reading the CRD %s: %w", file, err)
		}
	}
	return crds, nil
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
