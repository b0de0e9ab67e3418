package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// ExampleCharts copies the examples' charts to root/examples/charts, as in the repository, with ARC's charts of here for
// those of GitHub. Their dependencies are not built.
func (p *Product) ExampleCharts(root string) error {
	for _, name := range []string{"arc", "arc-runner-set"} {
		from, to := filepath.Join(p.Root, "examples", "charts", name), filepath.Join(root, "examples", "charts", name)
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return err
		}
		file := filepath.Join(to, "Chart.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if text, err = p.localDependencies(text); err != nil {
			return fmt.Errorf("pointing %s to the charts of here: %w", file, err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *Product) localDependencies(text []byte) ([]byte, error) {
	var chart map[string]any
	if err := yaml.Unmarshal(text, &chart); err != nil {
		return nil, err
	}
	dependencies, _ := chart["dependencies"].([]any)
	if len(dependencies) != 2 {
		return nil, fmt.Errorf("it has %d dependencies, not 2", len(dependencies))
	}
	for _, d := range dependencies {
		d := d.(map[string]any)
		if strings.HasPrefix(d["repository"].(string), "file://") {
			d["repository"] = "file://" + p.HookChart
		} else {
			d["repository"], d["version"] = "file://"+p.ARCChart(d["name"].(string)), "0.6.1"
		}
	}
	return yaml.Marshal(chart)
}

// HookRuns watches for the Jobs of hooks. The function that it returns ends that, and returns their names in the order in
// which they were created.
func HookRuns(ctx context.Context, t testing.TB, client kubernetes.Interface) func() []string {
	t.Helper()
	w, err := client.BatchV1().Jobs("").Watch(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup"})
	if err != nil {
		t.Fatal(err)
	}
	var counting sync.WaitGroup
	var runs []string
	seen := map[types.UID]bool{}
	counting.Go(func() {
		for e := range w.ResultChan() {
			if j, ok := e.Object.(*batchv1.Job); ok && e.Type == watch.Added && !seen[j.UID] {
				seen[j.UID] = true
				runs = append(runs, j.Name)
			}
		}
	})
	return func() []string {
		w.Stop()
		counting.Wait()
		return runs
	}
}

// RunnerLives reports whether a runner of the namespace, and a listener, run.
func RunnerLives(ctx context.Context, client kubernetes.Interface, namespace string) bool {
	running := func(namespace, component string) bool {
		pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
			LabelSelector: "app.kubernetes.io/component=" + component, FieldSelector: "status.phase=Running",
		})
		return err == nil && len(pods.Items) > 0
	}
	return running(namespace, "runner") && running("", "runner-scale-set-listener")
}
