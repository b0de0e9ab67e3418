package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

// A rollout is a chart which a GitOps tool installs, by one of the examples.
type rollout struct {
	tool, name, namespace, storage, chart string
	values                                map[string]any
}

// job is the name of its hook's Job.
func (r rollout) job() string {
	if r.name == "arc-runner-set" {
		return r.name + "-arc-cleanup-scale-set"
	}
	return r.name + "-arc-cleanup"
}

// rollouts are those of all examples.
func rollouts(t *testing.T) []rollout {
	t.Helper()
	var out []rollout
	for _, text := range documents(readExample(t, "argocd", "arc.yaml")) {
		var o struct {
			Spec struct {
				Destination struct{ Namespace string }
				Source      struct {
					Path string
					Helm struct {
						ReleaseName  string
						ValuesObject map[string]any
					}
				}
			}
		}
		unmarshal(t, text, &o)
		s := o.Spec.Source
		out = append(out, rollout{"argocd", s.Helm.ReleaseName, o.Spec.Destination.Namespace, "", s.Path, s.Helm.ValuesObject})
	}
	for _, text := range documents(readExample(t, "flux", "arc.yaml")) {
		var o struct {
			Kind     string
			Metadata struct{ Namespace string }
			Spec     struct {
				ReleaseName, TargetNamespace string

				Chart  struct{ Spec struct{ Chart string } }
				Values map[string]any
			}
		}
		unmarshal(t, text, &o)
		if o.Kind == "HelmRelease" {
			out = append(out, rollout{"flux", o.Spec.ReleaseName, o.Spec.TargetNamespace, o.Metadata.Namespace, o.Spec.Chart.Spec.Chart, o.Spec.Values})
		}
	}
	// test/tools runs helmfile itself.
	var h struct {
		HelmDefaults struct {
			Wait          bool `json:"wait"`
			DeleteWait    bool `json:"deleteWait"`
			DeleteTimeout int  `json:"deleteTimeout"`
		} `json:"helmDefaults"`
		Releases []struct {
			Name      string           `json:"name"`
			Namespace string           `json:"namespace"`
			Chart     string           `json:"chart"`
			Needs     []string         `json:"needs"`
			Values    []map[string]any `json:"values"`

			DisableValidationOnInstall bool `json:"disableValidationOnInstall"`
		} `json:"releases"`
	}
	if err := yaml.UnmarshalStrict(readExample(t, "helmfile", "helmfile.yaml"), &h); err != nil {
		t.Fatal(err)
	}
	for _, r := range h.Releases {
		var values map[string]any
		if len(r.Values) > 0 {
			values = r.Values[0]
		}
		out = append(out, rollout{"helmfile", r.Name, r.Namespace, r.Namespace, filepath.Join("examples", "helmfile", r.Chart), values})
	}
	return out
}

func readExample(t *testing.T, parts ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(example(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func unmarshal(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// exampleCharts copies the examples' charts into a folder laid out as the
// repository, with ARC's charts of here for those of GitHub.
func (l *lab) exampleCharts() string {
	l.Helper()
	root := l.TempDir()
	if err := built.ExampleCharts(root); err != nil {
		l.Fatal(err)
	}
	for _, name := range []string{"arc", "arc-runner-set"} {
		l.mustHelm(4, "dependency", "build", filepath.Join(root, "examples", "charts", name))
	}
	return root
}

// TestExampleGitOpsRenders renders every rollout with both Helms: the hook is in
// it, once, and knows what it has to.
func TestExampleGitOpsRenders(t *testing.T) {
	l := newLab(t)
	root := l.exampleCharts()
	all := rollouts(t)
	if len(all) != 6 {
		t.Fatalf("%d rollouts, want two of each tool", len(all))
	}
	for _, r := range all {
		for _, major := range []int{3, 4} {
			var args []string
			for _, o := range l.render(major, root, r) {
				if o.GetKind() == "Job" {
					if len(args) > 0 || o.GetAnnotations()["helm.sh/hook"] != "pre-delete" {
						t.Errorf("%s %s: a second Job, or no hook", r.tool, r.name)
					}
					containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
					args, _, _ = unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
				}
			}
			want := []string{"--release-namespace=" + r.namespace, "--job=" + r.job()}
			scaleSet := r.name == "arc-runner-set"
			if scaleSet {
				want = append(want, "--scope=scale-set", "--controller-namespace=arc-systems")
			} else {
				want = append(want, "--scope=controller")
			}
			if r.tool == "flux" {
				want = append(want, "--storage-namespace="+r.storage)
			}
			// Only where there is no record of a release.
			if r.tool == "argocd" {
				want = append(want, "--require-uninstalling=false")
			} else {
				want = append(want, "--require-uninstalling=true")
			}
			if scaleSet && r.tool == "argocd" {
				want = append(want, "--scale-set=arc-runner-set")
			}
			for _, w := range want {
				if !slices.Contains(args, w) {
					t.Errorf("%s %s, Helm %d: no argument %s of the hook's Job in %v", r.tool, r.name, major, w, args)
				}
			}
		}
	}
}

// render is what helm template makes of a rollout, with CRDs, as Argo CD has it.
func (l *lab) render(major int, root string, r rollout) []*unstructured.Unstructured {
	l.Helper()
	values, err := yaml.Marshal(r.values)
	if err != nil {
		l.Fatal(err)
	}
	file := filepath.Join(l.TempDir(), "values.yaml")
	if err := os.WriteFile(file, values, 0o600); err != nil {
		l.Fatal(err)
	}
	text, err := l.helmCommand(major,
		"template", r.name, filepath.Join(root, r.chart), "--namespace", r.namespace, "--values", file, "--include-crds", "--kube-version", "1.37",
	).Output()
	if err != nil {
		l.Fatalf("helm template %s: %v", r.name, err)
	}
	return parseObjects(l.T, text)
}

// TestExampleGitOpsIsValid has the API server look at what Argo CD and Flux are
// given, by their own CRDs: every field is known and has a value it may have.
func TestExampleGitOpsIsValid(t *testing.T) {
	l := newLab(t)
	argo, err := cluster.ArgoCDCRDs(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	flux, err := cluster.FluxCRDs(l.ctx, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range slices.Concat(flux, argo) {
		crd := &unstructured.Unstructured{}
		unmarshal(t, text, &crd.Object)
		l.create(crd)
	}
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	for _, file := range []string{"argocd", "flux"} {
		for _, text := range documents(readExample(t, file, "arc.yaml")) {
			o := &unstructured.Unstructured{}
			unmarshal(t, text, &o.Object)
			o.SetNamespace("default") // the namespace has to be there
			name := fmt.Sprintf("%s %s/%s", file, o.GetKind(), o.GetName())
			l.eventually(name+" is served", func() bool {
				_, err = l.resourceOf(o).Create(l.ctx, o, dry)
				return !apierrors.IsNotFound(err)
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			_ = unstructured.SetNestedField(o.Object, true, "spec", "unheardOf")
			if _, err := l.resourceOf(o).Create(l.ctx, o, dry); err == nil {
				t.Errorf("%s: a field that there is not was let in, so that this test proves nothing", name)
			}
		}
	}
}

// TestExampleHelmfile does what helmfile has Helm do, which is also what Flux does
// with Helm's SDK: one after the other, and back.
func TestExampleHelmfile(t *testing.T) {
	l := newLab(t)
	root, runs := l.exampleCharts(), l.hookRuns()
	var releases []rollout
	for _, r := range rollouts(t) {
		if r.tool == "helmfile" {
			releases = append(releases, r)
		}
	}
	for _, r := range releases {
		args := []string{"upgrade", "--install", r.name, filepath.Join(root, r.chart), "--namespace", r.namespace, "--create-namespace", "--wait", "--timeout", "300s"}
		if r.name == "arc-runner-set" {
			args = append(args, l.scaleSetValues("gha-runner-scale-set.")...)
		}
		l.mustHelm(3, args...)
	}
	l.awaitRunner(runnerNamespace)
	for _, r := range slices.Backward(releases) {
		l.mustHelm(3, "uninstall", r.name, "--namespace", r.namespace)
	}
	if got := runs(); got["arc-arc-cleanup"] != 1 || got["arc-runner-set-arc-cleanup-scale-set"] != 1 {
		t.Errorf("hooks ran that often: %v", got)
	}
	if !l.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	l.nothingLeft()
}
