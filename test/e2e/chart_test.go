package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// hookChart is the folder of the chart arc-cleanup, with the image named.
func hookChart() string { return built.HookChart }

// chartVariants are the files with values that the chart is tried with.
func chartVariants(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(hookChart(), "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values to try the chart with: %v", err)
	}
	return files
}

// TestChartLint runs helm lint --strict of both Helms over every variant.
func TestChartLint(t *testing.T) {
	l := newLab(t)
	for _, major := range []int{3, 4} {
		for _, values := range chartVariants(t) {
			l.mustHelm(major, "lint", "--strict", hookChart(), "--values", values)
		}
	}
}

// TestChartRefusesUnknownValues: a typing error is refused by name, whichever
// Helm it is and wherever the chart is in the tree.
func TestChartRefusesUnknownValues(t *testing.T) {
	l := newLab(t)
	for _, major := range []int{3, 4} {
		for set, where := range map[string]string{"polcy.grace=1s": "polcy", "policy.gracePeriod=1s": "gracePeriod", "image.name=x": "name"} {
			out, err := l.helm(major, "template", "arc", hookChart(), "--set", set)
			if err == nil || !strings.Contains(out, "arc-cleanup") || !strings.Contains(out, "additional properties '"+where+"' not allowed") {
				t.Errorf("helm %d, --set %s: %v", major, set, err)
			}
		}
	}
}

// A pushed chart is what users install: from a registry, by itself and as a
// dependency, with both Helms.
func TestChartFromARegistry(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			host := l.registry()
			charts := "oci://" + host + "/charts"
			version := l.pushChart(major, hookChart(), charts)
			files := l.mustHelm(major, "pull", charts+"/arc-cleanup", "--version", version, "--plain-http", "--untar", "--untardir", t.TempDir())
			if !strings.Contains(files, "Digest: sha256:") {
				t.Errorf("the registry's answer has no digest:\n%s", files)
			}

			// By itself, after ARC: nothing is there to do, and nothing stays.
			l.mustHelm(major, "install", "cleanup", charts+"/arc-cleanup", "--version", version, "--plain-http",
				"--namespace", controllerNamespace, "--create-namespace")
			if hooks := l.mustHelm(major, "get", "hooks", "cleanup", "--namespace", controllerNamespace); !strings.Contains(hooks, "kind: Job") {
				t.Errorf("the release has no hook:\n%s", hooks)
			}
			l.mustHelm(major, "uninstall", "cleanup", "--namespace", controllerNamespace)

			// As a dependency, ARC's own chart from the registry too.
			arc := "oci://" + host + "/actions"
			l.pushChart(major, built.ARCChart(harness.ControllerChart), arc)
			umbrella := l.TempDir()
			chart := fmt.Sprintf(`apiVersion: v2
name: arc
version: 1.0.0
dependencies:
  - {name: %s, version: 0.6.1, repository: %q}
  - {name: arc-cleanup, version: %s, repository: %q, condition: arc-cleanup.enabled}
`, harness.ControllerChart, arc, version, charts)
			if err := os.WriteFile(filepath.Join(umbrella, "Chart.yaml"), []byte(chart), 0o600); err != nil {
				t.Fatal(err)
			}
			l.mustHelm(major, "dependency", "build", umbrella, "--plain-http")
			off := l.mustHelm(major, "template", "arc", umbrella, "--set", "arc-cleanup.enabled=false")
			if strings.Contains(off, "arc-hookjob") {
				t.Error("arc-cleanup.enabled=false does not switch the dependency off")
			}
			l.mustHelm(major, "install", "arc", umbrella, "--namespace", controllerNamespace)
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			l.nothingLeft()
		})
	}
}

// registry is an OCI registry on loopback, for the time of the test, and its
// address.
func (l *lab) registry() string {
	l.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	l.Cleanup(server.Close)
	return strings.Replace(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", "localhost", 1)
}

// pushChart packages a chart and pushes it below an address; it returns the
// chart's version.
func (l *lab) pushChart(major int, chart, to string) string {
	l.Helper()
	dir := l.TempDir()
	l.mustHelm(major, "package", chart, "--destination", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		l.Fatalf("helm package made %v, %v", files, err)
	}
	l.mustHelm(major, "push", files[0], to, "--plain-http")
	return strings.TrimPrefix(strings.TrimSuffix(filepath.Base(files[0]), ".tgz"), filepath.Base(chart)+"-")
}

// TestChartPackage looks into the package: what a user gets, and nothing that is
// only there for us.
func TestChartPackage(t *testing.T) {
	l := newLab(t)
	dir := l.TempDir()
	l.mustHelm(4, "package", hookChart(), "--destination", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("helm package made %v, %v", files, err)
	}
	out, err := exec.CommandContext(l.ctx, "tar", "-tzf", files[0]).Output()
	if err != nil {
		t.Fatal(err)
	}
	list := string(out)
	for _, file := range []string{"Chart.yaml", "README.md", "values.yaml", "values.schema.json", "templates/job.yaml", "templates/_rights.tpl", "templates/NOTES.txt"} {
		if !strings.Contains(list, "arc-cleanup/"+file+"\n") {
			t.Errorf("%s is not in the package", file)
		}
	}
	for _, not := range []string{"/tests/", "/ci/", ".gotmpl"} {
		if strings.Contains(list, not) {
			t.Errorf("%s is in the package", not)
		}
	}
}

// TestChartIsValid lets the API server check every object of every variant, with
// strict validation of fields and without writing. Other versions of Kubernetes:
// test/schemas.
func TestChartIsValid(t *testing.T) {
	l := newLab(t)
	for _, ns := range []string{"controllers", "flux-system", "records", "runners", "systems-a", "systems-b", "team-a", "team-b"} {
		if err := l.createNamespace(ns); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// Its own context is over by then.
			if err := l.client.CoreV1().Namespaces().Delete(context.WithoutCancel(l.ctx), ns, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	for _, major := range []int{3, 4} {
		for _, values := range chartVariants(t) {
			objects := l.variant(major, values)
			for _, o := range objects {
				resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
				_, err := l.dynamic.Resource(resource).Namespace(o.GetNamespace()).Create(l.ctx, o, metav1.CreateOptions{
					DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
				})
				if err != nil {
					t.Errorf("helm %d, %s: %s %s: %v", major, filepath.Base(values), o.GetKind(), o.GetName(), err)
				}
			}
			if empty := strings.HasPrefix(filepath.Base(values), "disabled"); empty != (len(objects) == 0) {
				t.Errorf("helm %d, %s: %d objects", major, filepath.Base(values), len(objects))
			}
		}
	}
}

// variant renders the chart with a file of values.
func (l *lab) variant(major int, values string) []*unstructured.Unstructured {
	l.Helper()
	out, err := built.Helm(l.ctx, major, l.Kubeconfig(), "template", "arc", hookChart(), "--namespace", controllerNamespace, "--kube-version", "1.37", "--values", values).Output()
	if err != nil {
		l.Fatalf("helm template: %v", err)
	}
	return parseObjects(l.T, out)
}

func parseObjects(t *testing.T, stream []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case len(o.Object) == 0:
		case o.IsList():
			// As Argo CD, kustomize and kubeconform do.
			list, err := o.ToList()
			if err != nil {
				t.Fatal(err)
			}
			for i := range list.Items {
				objects = append(objects, &list.Items[i])
			}
		default:
			objects = append(objects, o)
		}
	}
}
