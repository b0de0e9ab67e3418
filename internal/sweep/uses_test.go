package sweep

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Wherever a spec can name a Secret or a ServiceAccount, it is found.
func TestNamesIn(t *testing.T) {
	t.Parallel()
	const spec = `
githubConfigSecret: github
proxy: {http: {credentialSecretRef: proxy}}
template:
  spec:
    serviceAccountName: account
    imagePullSecrets: [{name: pull}, {name: pull-2}]
    volumes:
    - {name: volume, secret: {secretName: mounted}}
    - {name: volume, projected: {sources: [{secret: {name: projected}}, {configMap: {name: config}}]}}
    - {name: volume, csi: {nodePublishSecretRef: {name: csi}}}
    containers:
    - name: container
      env: [{name: E, valueFrom: {secretKeyRef: {name: key, key: x}}}, {name: F, value: value}]
      envFrom: [{secretRef: {name: from}}, {configMapRef: {name: config}}]
    initContainers:
    - envFrom: [{secretRef: {name: init}}]
maxRunners: 5
`
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(spec), &parsed); err != nil {
		t.Fatal(err)
	}
	want := []string{"account", "csi", "from", "github", "init", "key", "mounted", "projected", "proxy", "pull", "pull-2"}
	if diff := cmp.Diff(want, slices.Compact(slices.Sorted(slices.Values(namesIn(parsed))))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A Secret or a ServiceAccount keeps its finalizer while a Pod that may still run uses it, or a template does.
func TestAPodKeepsWhatItUses(t *testing.T) {
	t.Parallel()
	mounts := func(name string) map[string]any {
		return map[string]any{"volumes": []any{map[string]any{"name": "v", "secret": map[string]any{"secretName": name}}}}
	}
	pulls := map[string]any{"imagePullSecrets": []any{map[string]any{"name": "held"}}}
	account := map[string]any{"serviceAccountName": "held"}
	ended := func(phase string) kubetest.Item {
		it := item("pod runners/job", "", "", mounts("held"))
		it.Rest["status"] = map[string]any{"phase": phase}
		return it
	}
	tests := map[string]struct {
		left string // what is to be freed
		by   kubetest.Item
		kept string
	}{
		"a volume":          {"secret", item("pod runners/job", "", "", mounts("held")), "the Pod job uses it"},
		"an image":          {"secret", item("pod runners/job", "", "", pulls), "the Pod job uses it"},
		"an account":        {"sa", item("pod runners/job", "", "", account), "the Pod job uses it"},
		"another":           {"secret", item("pod runners/job", "", "", mounts("other")), ""},
		"another namespace": {"secret", item("pod others/job", "", "", mounts("held")), ""},
		"it runs":           {"secret", ended("Running"), "the Pod job uses it"},
		"it has ended":      {"secret", ended("Succeeded"), ""},
		"it has failed":     {"secret", ended("Failed"), ""},
		"a template": {
			"secret", item("ars runners/other", "", "", map[string]any{"template": map[string]any{"spec": pulls}}), "the scale set other names it",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := item(test.left+" runners/held", "", "", nil, kubetest.Finalizers(arc.CleanupProtectionFinalizer), kubetest.Deleting)
			left.Deleted = &metav1.Time{Time: time.Now().Add(-time.Hour)}
			_, c := kubetest.New(t, append(cluster(), left, test.by)...)
			said := said(Plan(t.Context(), c, Scope{}))
			want := "free " + left.Resource.Resource + "/held"
			if test.kept != "" {
				want = "keep " + left.Resource.Resource + "/held: " + test.kept
			}
			if !slices.Contains(said, want) {
				t.Errorf("%q, want %q", said, want)
			}
		})
	}
}

// A namespace that does not exist is no namespace without work. One that may not be asked about is none that
// is missing.
func TestANamespaceThatDoesNotExist(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		scope   []string
		fault   int
		verdict plan.Verdict
	}{
		"it exists":         {[]string{"empty"}, 0, plan.Done},
		"it does not":       {[]string{"runner"}, 0, plan.Refused},
		"one of two":        {[]string{"runners", "runner"}, 0, plan.Refused},
		"not to be asked":   {[]string{"runner"}, http.StatusForbidden, plan.Done},
		"it cannot be read": {[]string{"runner"}, http.StatusBadRequest, plan.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, append(cluster(), kubetest.Whole(kubetest.Object("ns empty"))...)...)
			a.Fault = func(request string) int {
				if request == "GET ns runner" {
					return test.fault
				}
				return 0
			}
			a.React = live
			r := Run(t.Context(), c, Scope{Namespaces: test.scope})
			if r.Verdict != test.verdict {
				t.Fatalf("%s, want %s: %q", r.Verdict, test.verdict, r.Refusals)
			}
			if test.verdict == plan.Refused && (len(r.Refusals) != 1 || r.Refusals[0].Message != "the namespace runner does not exist" || len(a.Written()) > 0) {
				t.Errorf("refused %q, wrote %q", r.Refusals, a.Written())
			}
		})
	}
}
