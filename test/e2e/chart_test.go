package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/product"
)

// hookChart is the folder of the chart arc-cleanup.
func hookChart() string { return filepath.Join(built.Root, "charts", "arc-cleanup") }

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
			l.pushChart(major, built.ARCChart(product.ControllerChart), arc)
			umbrella := l.TempDir()
			chart := fmt.Sprintf(`apiVersion: v2
name: arc
version: 1.0.0
dependencies:
  - {name: %s, version: 0.6.1, repository: %q}
  - {name: arc-cleanup, version: %s, repository: %q, condition: arc-cleanup.enabled}
`, product.ControllerChart, arc, version, charts)
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
	for _, file := range []string{"Chart.yaml", "README.md", "values.yaml", "values.schema.json", "templates/job.yaml", "templates/_rbac.tpl", "templates/NOTES.txt"} {
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
// strict validation of fields and without writing.
func TestChartIsValid(t *testing.T) {
	l := newLab(t)
	for _, ns := range []string{"controllers", "runners"} {
		if err := l.createNamespace(ns); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.client.CoreV1().Namespaces().Delete(l.ctx, ns, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	if err := l.createNamespace(controllerNamespace); err != nil {
		t.Fatal(err)
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
	out, err := built.Helm(l.ctx, major, l.Kubeconfig(), "template", "arc", hookChart(), "--namespace", controllerNamespace, "--values", values).Output()
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
		if err == io.EOF {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// kubernetesVersions are the versions a cluster may have, each as the module that holds
// its kinds, and that module's checksum.
var kubernetesVersions = map[string]string{
	"v0.29.15": "h1:zCBOXKCtz9Hl8boKUGs8zbtZEP6pc7O8Ov3ma+gnS6o=",
	"v0.30.14": "h1:D81QZvBtv897JU4HRsx4YoaCDnzeZSvB8eApgmbtXVA=",
	"v0.31.14": "h1:d4/G0xfksNIbMWH7ghjzOwC5bTAwQ20gABTjZw7fLlQ=",
	"v0.32.13": "h1:FxVdGzgrWW8QBprX/xJjoxs9tE06UJIbuy8IfNoxn0c=",
	"v0.33.13": "h1:gyirIFpLEF9RltmrUkkObQFkxeumU2hRcxiDsVfrf1w=",
	"v0.34.13": "h1:47Nf1YByDhpYtyOB9zd56FB9bEDxsozH1ic3VyU7zV0=",
	"v0.35.10": "h1:HXF+042qTnXFFISMiuMHiM5yN2lVonVQQAkpIWxSGPk=",
	"v0.36.6":  "h1:/nxcosTtar7svq4xjpzMPirzoShNK2+nSZ7AGDL6c3k=",
	"v0.37.2":  "h1:sgFtyRZukGkOrsu+QgS7LYnbFFJ5ut3MchdBNduD//E=",
}

// TestChartOfEveryKubernetes: no object has a field that one of the versions does
// not know, or of another type. What a field may hold is checked by the API
// server that runs, in TestChartIsValid.
func TestChartOfEveryKubernetes(t *testing.T) {
	l := newLab(t)
	enroller, err := os.ReadFile(filepath.Join(built.Root, "internal", "hook", "testdata", "enroller.golden.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects := parseObjects(t, enroller)
	for _, values := range chartVariants(t) {
		objects = append(objects, l.variant(4, values)...)
	}
	for version, sum := range kubernetesVersions {
		t.Run(version, func(t *testing.T) {
			kinds := kindsOf(t, version, sum)
			for _, o := range objects {
				if err := check(kinds, o); err != nil {
					t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
			// The check finds what it is for.
			bad := objects[len(objects)-1].DeepCopy()
			bad.Object["sepc"] = map[string]any{}
			if check(kinds, bad) == nil {
				t.Error("an unknown field is taken for a known one")
			}
		})
	}
}

func check(kinds *typed.Parser, o *unstructured.Unstructured) error {
	gvk := o.GroupVersionKind()
	group, _, _ := strings.Cut(gvk.Group, ".")
	if group == "" {
		group = "core"
	}
	kind := kinds.Type(strings.Join([]string{"io.k8s.api", group, gvk.Version, gvk.Kind}, "."))
	if !kind.IsValid() {
		return fmt.Errorf("%s is no kind of this version", gvk)
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return err
	}
	_, err = kind.FromYAML(typed.YAMLObject(text))
	return err
}

// kindsOf reads the kinds of a version of Kubernetes: client-go has them, as a
// string, for server-side apply.
func kindsOf(t *testing.T, version, sum string) *typed.Parser {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "k8s.io/client-go@"+version).Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil {
		t.Fatalf("fetching client-go %s: %v %v %s", version, err, jsonErr, module.Error)
	}
	if module.Sum != sum {
		t.Fatalf("client-go %s has the checksum %s, want %s", version, module.Sum, sum)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(module.Dir, "applyconfigurations", "internal", "internal.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && strings.HasPrefix(lit.Value, "`types:") {
			text, err = strconv.Unquote(lit.Value)
		}
		return text == "" && err == nil
	})
	if text == "" || err != nil {
		t.Fatalf("client-go %s does not have the kinds where they are looked for: %v", version, err)
	}
	kinds, err := typed.NewParser(typed.YAMLObject(text))
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}
