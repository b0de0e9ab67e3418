package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// tenantRights are those of examples/tenant.
func tenantRights(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(built.Root, "examples", "tenant", "rights.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return parseObjects(t, text)
}

// TestTenant installs and uninstalls a scale set as a user who administers only the runners' namespace: with
// the hook, for which examples/tenant grants the missing rights, and without it.
func TestTenant(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		for _, hooked := range []bool{true, false} {
			t.Run(fmt.Sprintf("helm%d hooked %t", major, hooked), func(t *testing.T) {
				l := newLab(t)
				l.installController()
				if err := l.createNamespace(runnerNamespace); err != nil {
					t.Fatal(err)
				}
				var beside []*unstructured.Unstructured // beside the controller: for the hook alone
				for _, o := range tenantRights(t) {
					if o.GetNamespace() == runnerNamespace {
						l.create(o)
					} else {
						beside = append(beside, o)
					}
				}
				as := []string{"--kube-as-user", "jane", "--kube-as-group", "system:authenticated", "--namespace", runnerNamespace}
				install := slices.Concat([]string{"install", "arc-runner-set", built.ARCChart(harness.ScaleSetChart)}, as, l.scaleSetValues(""))
				if major == 4 {
					install = append(install, "--server-side=false")
				}
				if hooked && major == 4 {
					install = append(install, viaPostRenderer...)
				} else if hooked {
					install = append(install, viaHelm3()...)
				}
				l.mustHelm(major, install...)
				l.awaitRunner(runnerNamespace)
				if hooked && major == 3 {
					l.awaitEnrolled("arc-runner-set", runnerNamespace)
				}

				uninstall := slices.Concat([]string{"uninstall", "arc-runner-set"}, as)
				if hooked {
					if out, err := l.helm(major, uninstall...); err == nil || !strings.Contains(out, `"roles" in API group "rbac.authorization.k8s.io" in the namespace "arc-systems"`) {
						t.Errorf("without rights beside the controller: %v\n%s", err, out)
					}
					for _, o := range beside {
						l.create(o)
					}
				}
				out := l.mustHelm(major, uninstall...)
				if said := strings.Contains(out, "done: nothing of this release's scale sets is left"); said != hooked {
					t.Errorf("the hook has run: %t", said)
				}
				sets := l.dynamic.Resource(autoscalingRunnerSets).Namespace(runnerNamespace)
				l.eventually("the scale set is gone", func() bool {
					list, err := sets.List(l.ctx, metav1.ListOptions{})
					return err == nil && len(list.Items) == 0
				})
				if !l.GitHub().Deregistered() {
					t.Error("still registered at GitHub")
				}

				for _, o := range tenantRights(t) {
					if hooked || o.GetNamespace() == runnerNamespace {
						l.deletes(o)
					}
				}
				l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
				if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
					t.Errorf("run: exit code %d\n%s", code, out)
				}
				l.nothingLeft()
			})
		}
	}
}
