package upgrade

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// A record that a tenant has written does not make Helm touch anything else than scale sets, nor a state a
// Deployment that is no controller.
func TestForgedRecordsAndStates(t *testing.T) {
	t.Parallel()
	set := helm.Object{APIVersion: "actions.github.com/v1alpha1", Kind: "AutoscalingRunnerSet", Namespace: "a", Name: "runners"}
	for want, objects := range map[string][]helm.Object{
		"":                                    {set, {APIVersion: "v1", Kind: "Secret", Namespace: "a", Name: "x"}, {APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role", Namespace: "a", Name: "x"}},
		"the ClusterRole x in namespace a":    {set, {APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Namespace: "a", Name: "x"}},
		"the Namespace x in namespace a":      {{APIVersion: "v1", Kind: "Namespace", Namespace: "a", Name: "x"}},
		"the Secret x in namespace elsewhere": {set, {APIVersion: "v1", Kind: "Secret", Namespace: "elsewhere", Name: "x"}},
		"the Secret x in namespace a":         {{APIVersion: "example.com/v1", Kind: "Secret", Namespace: "a", Name: "x"}},
	} {
		for _, version := range []string{"0.13.1", "0.14.1"} {
			s := inPlaceSituation(version, "0.14.2")
			s.Found[1].record = &helm.Record{Objects: objects, Revision: 7}
			p := newPlan(s)
			if want == "" && len(p.Refusals) > 0 || want != "" && (len(p.Refusals) != 1 ||
				!strings.Contains(p.Refusals[0].Message, "the record of release runners in namespace a (revision 7) has "+want)) {
				t.Errorf("%s, %q: %+v", version, want, p.Refusals)
			}
		}
	}

	for name, change := range map[string]func(*SavedController){
		"another namespace": func(c *SavedController) { c.Namespace = "kube-system" },
		"another name":      func(c *SavedController) { c.Name = "coredns" },
		"another UID":       func(c *SavedController) { c.UID = "x" },
	} {
		s := inPlaceSituation("0.13.1", "0.14.2")
		s.Saved = savedSwap(s, false)
		change(&s.Saved.Swap.Controllers[0])
		for _, p := range []*Plan{newPlan(s), newAbort(s)} {
			if len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, "which is no controller of release arc in namespace arc-systems") || len(p.Steps) > 0 {
				t.Errorf("%s: %+v", name, p.Refusals)
			}
		}
	}
}

// A release is not taken back to a revision that has anything else.
func TestAbortChecksRevisions(t *testing.T) {
	for _, forged := range []bool{false, true} {
		old := []kubeObject{setAt("", "runners", "a", "runners")}
		if forged {
			old = append(old, kind("Namespace", "", "kube-system", nil))
		}
		u, _, _, state := frozenARC(t)
		chart := func(name, version string) string {
			return `{"metadata": {"name": "` + name + `", "version": "` + version + `", "appVersion": "` + version + `"}}`
		}
		state.Releases[1].Revision = 1
		state.Releases[1].Sets = []types.NamespacedName{{Namespace: "a", Name: "runners"}}
		controller := controllerAt("arc-systems", "arc-systems", "arc")
		metadata(controller)["uid"] = "uid-arc"
		set := versioned(setAt("a", "runners", "a", "runners"), "0.14.2")
		_, c := newAPI(t, append(crdObjects("Established"), controller, set,
			helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{controller}, chart: chart("controller", "0.13.1")}.object(t),
			helmRecord{namespace: "a", name: "runners", objects: old, chart: chart("scale-set", "0.13.1")}.object(t),
			helmRecord{namespace: "a", name: "runners", revision: 2, objects: old[:1], chart: chart("scale-set", "0.14.2")}.object(t))...)
		u.Client = c
		if err := save(t.Context(), u.Client, state); err != nil {
			t.Fatal(err)
		}
		s, err := look(t.Context(), u.Client, "")
		if err != nil {
			t.Fatal(err)
		}
		p := newAbort(s)
		if diff := cmp.Diff([]string{"rollback runners", "restore-crds arc", "thaw arc", "forget arc"}, steps(p)); diff != "" || len(p.Refusals) > 0 {
			t.Fatalf("%+v\n%s", p.Refusals, diff)
		}
		for i := range s.Found {
			s.Found[i].Revision = 1 // which is what this Helm sees
		}
		if err := u.checkRollbacks(t.Context(), s, p); err != nil {
			t.Fatal(err)
		}
		if refused := len(p.Refusals) == 1 && strings.Contains(p.Refusals[0].Message, "(revision 1) has the Namespace kube-system"); refused != forged {
			t.Errorf("forged %t: %+v", forged, p.Refusals)
		}
	}
}
