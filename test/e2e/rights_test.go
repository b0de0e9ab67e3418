package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestRightsAreOneHook: Helm has two hooks, a List and the Job, however it got them;
// creates all that is in the List, deletes it after a hook that failed as after one
// that did its work, and copies it with a rollback. Helm 4 takes a List apart where
// the chart is a dependency and there is a post-renderer: then they are hooks of their
// own, and do the same.
func TestRightsAreOneHook(t *testing.T) {
	t.Parallel()
	apart := []string{"ClusterRole", "ClusterRoleBinding", "Job", "Role", "RoleBinding", "ServiceAccount"}
	for _, test := range []struct {
		name  string
		major int
		via   string
		want  []string
	}{
		{"enrolled", 3, "enrol", []string{"Job", "List", "ServiceAccount"}},
		{"enrolled", 4, "enrol", []string{"Job", "List", "ServiceAccount"}},
		{"a post-renderer", 3, "post-renderer", []string{"Job", "List", "ServiceAccount"}},
		{"a post-renderer", 4, "post-renderer", []string{"Job", "List", "ServiceAccount"}},
		{"a dependency", 3, "dependency", []string{"Job", "List", "ServiceAccount"}},
		{"a dependency", 4, "dependency", []string{"Job", "List", "ServiceAccount"}},
		{"a dependency and a post-renderer", 4, "both", apart},
	} {
		t.Run(fmt.Sprintf("helm%d %s", test.major, test.name), func(t *testing.T) {
			l := newLab(t)
			chart, args := built.ARCChart(harness.ControllerChart), []string(nil)
			if test.via == "dependency" || test.via == "both" {
				chart = l.umbrella()
			}
			enrols := test.via == "post-renderer" && test.major == 3
			if enrols {
				args = viaHelm3()
			} else if test.via == "post-renderer" || test.via == "both" {
				args = viaPostRenderer
			}
			l.mustHelm(test.major, slices.Concat([]string{"install", "arc", chart, "--namespace", controllerNamespace, "--create-namespace"}, args)...)
			if test.via == "enrol" {
				if out, code := l.hookjob("enrol", "arc", "--namespace", controllerNamespace); code != 0 {
					t.Fatalf("enrol: exit code %d\n%s", code, out)
				}
			}
			if enrols {
				l.awaitEnrolled("arc", controllerNamespace)
			}
			l.mustHelm(test.major, "rollback", "arc", "1", "--namespace", controllerNamespace)
			if enrols {
				l.awaitEnrolled("arc", controllerNamespace)
			}
			l.awaitController()
			if kinds := l.hookKinds(test.major, "arc", controllerNamespace); !slices.Equal(kinds, test.want) {
				t.Errorf("the hooks are %v, want %v", kinds, test.want)
			}

			l.installScaleSet(test.major)
			if out, err := l.helm(test.major, "uninstall", "arc", "--namespace", controllerNamespace); err == nil {
				t.Fatalf("the hook has not refused:\n%s", out)
			}
			if left := l.hookRights(); len(left) > 0 {
				t.Errorf("after a refusal there are %v", left)
			}
			l.mustHelm(test.major, "uninstall", "runners", "--namespace", runnerNamespace)
			l.mustHelm(test.major, "uninstall", "arc", "--namespace", controllerNamespace)
			if left := l.hookRights(); len(left) > 0 {
				t.Errorf("at the end there are %v", left)
			}
			if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 { // the set's uninstall had no hook
				t.Errorf("run: exit code %d\n%s", code, out)
			}
			l.nothingLeft()
		})
	}
}

// hookKinds are the kinds of a release's hooks as Helm has them, sorted.
func (l *lab) hookKinds(major int, release, namespace string) (kinds []string) {
	l.Helper()
	out, err := l.helmCommand(major, "get", "hooks", release, "--namespace", namespace).Output()
	if err != nil {
		l.Fatalf("helm get hooks: %v", err)
	}
	for _, document := range documents(out) {
		var o struct{ Kind string }
		unmarshal(l.T, document, &o)
		if o.Kind != "" {
			kinds = append(kinds, o.Kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// hookRights are what there is of the hook's rights, by kind and name.
func (l *lab) hookRights() (found []string) {
	l.Helper()
	for _, kind := range []string{"serviceaccounts", "roles", "rolebindings", "clusterroles", "clusterrolebindings"} {
		list, err := l.dynamic.Resource(l.resource(kind)).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component!=enroller"})
		if err != nil {
			l.Fatal(err)
		}
		for _, o := range list.Items {
			found = append(found, kind+" "+o.GetName())
		}
	}
	return found
}

// TestRightsWithoutAJob: where Kubernetes refuses the hook's Job, both Helms leave the
// rights that they had created for it, until the next uninstall.
func TestRightsWithoutAJob(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			l.install(major)
			if out, code := l.hookjob("enrol", "arc", "--namespace", controllerNamespace); code != 0 {
				t.Fatalf("enrol: exit code %d\n%s", code, out)
			}
			rules := parseObjects(t, []byte(`
apiVersion: v1
kind: ResourceQuota
metadata: {name: no-jobs, namespace: arc-systems}
spec: {hard: {count/jobs.batch: "0"}}
`))
			for _, o := range rules {
				l.create(o)
			}
			l.eventually("no Job is taken", func() bool {
				q, err := l.client.CoreV1().ResourceQuotas(controllerNamespace).Get(l.ctx, "no-jobs", metav1.GetOptions{})
				return err == nil && len(q.Status.Hard) > 0
			})
			if out, err := l.helm(major, "uninstall", "arc", "--namespace", controllerNamespace); err == nil || !strings.Contains(out, "exceeded quota") {
				t.Errorf("the Job was taken: %v\n%s", err, out)
			}
			if left := l.hookRights(); len(left) != 5 {
				t.Errorf("Helm has left %v", left)
			}
			for _, o := range rules {
				l.deletes(o)
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			l.nothingLeft()
		})
	}
}
