package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestNotPermitted: whoever may only read is told every right that is missing,
// with the rule that grants it, before anything is written.
func TestNotPermitted(t *testing.T) {
	l := newLab(t)
	l.disaster()
	before := l.everything()

	out, code := l.hookjob("run", "--all-namespaces", "--yes", "--kubeconfig", l.reader())
	if code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	for _, want := range []string{
		"not permitted to patch autoscalingrunnersets.actions.github.com in namespace arc-runners",
		"not permitted to delete customresourcedefinitions.apiextensions.k8s.io ephemeralrunners.actions.github.com",
		`{apiGroups: [\"\"], resources: [secrets], verbs: [patch]}`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not say %s", want)
		}
	}
	after := l.everything()
	for o := range before {
		if !after[o] {
			t.Errorf("%s is gone", o)
		}
	}
	if err := l.client.RbacV1().ClusterRoles().Delete(l.ctx, "reader", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if err := l.client.RbacV1().ClusterRoleBindings().Delete(l.ctx, "reader", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if err := l.client.CoreV1().ServiceAccounts(controllerNamespace).Delete(l.ctx, "reader", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("as administrator: exit code %d", code)
	}
	l.nothingLeft()
}

// reader returns a kubeconfig of a user who may read everything and write nothing.
func (l *lab) reader() string {
	l.Helper()
	meta := metav1.ObjectMeta{Name: "reader"}
	account, err := l.client.CoreV1().ServiceAccounts(controllerNamespace).Create(l.ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"},
	}}}
	if _, err := l.client.RbacV1().ClusterRoles().Create(l.ctx, role, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
	_, err = l.client.RbacV1().ClusterRoleBindings().Create(l.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: account.Namespace, Name: account.Name}},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return l.account(account.Namespace, account.Name)
}

// TestOffSwitch stops a hook that is already draining: the uninstall goes on at
// once, as Helm alone would.
func TestOffSwitch(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	l.installScaleSet(4, append(viaPostRenderer, logsAll...)...)
	l.GitHub().SetMode(github.Down) // so that the drain takes until we let it

	type result struct {
		out string
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := l.helm(4, "uninstall", "runners", "--namespace", runnerNamespace)
		done <- result{out, err}
	}()
	l.hookDrains()
	off := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "arc-cleanup-off"}}
	if _, err := l.client.CoreV1().ConfigMaps(runnerNamespace).Create(l.ctx, off, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil || !strings.Contains(r.out, "off: switched off by the ConfigMap arc-cleanup-off") {
		t.Errorf("helm uninstall: %v\n%s", r.err, r.out)
	}
	// ARC's finalizers are where they were: nothing was forced.
	role := harness.Object{Resource: "roles", Namespace: runnerNamespace, Name: "runners-gha-rs-manager"}
	if !slices.Contains(l.added(), role) {
		t.Errorf("%s is gone, though the hook was switched off", role)
	}
	if err := l.client.CoreV1().ConfigMaps(runnerNamespace).Delete(l.ctx, off.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.GitHub().SetMode(github.OK)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestNudge uninstalls a scale set while GitHub is down: the controller lives and
// does all but the de-registration, and what stays at GitHub is named.
func TestNudge(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	l.installScaleSet(4, append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.grace=15s")...)
	l.GitHub().SetMode(github.Down)

	out := l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	for _, want := range []string{
		"had the controller try again for",
		"had the controller skip GitHub for",
		"scale set runners (id 1) of " + l.GitHub().ConfigURL(),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the terminal does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "could not wake") {
		t.Errorf("the hook may not wake the controller:\n%s", out)
	}
	if strings.Contains(out, "removed ARC's finalizers") {
		t.Errorf("finalizers were removed, though the controller could finish:\n%s", out)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestNudgeWhateverIsInTheWay uninstalls scale sets which GitHub does not let go,
// each for another reason. The controller gets its grace once, and no more than that
// again when it is woken; nudged, it finishes.
func TestNudgeWhateverIsInTheWay(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	const grace = 6 * time.Second
	gitHub := func(mode github.Mode) func() { return func() { l.GitHub().SetMode(mode) } }
	for name, obstruct := range map[string]func(){
		"all is gone at GitHub": gitHub(github.NotFoundOnDelete),
		"the set is gone there": l.GitHub().Reset,
		"a job that still runs": gitHub(github.JobStillRunning),
		"no valid credentials":  gitHub(github.Unauthorized),
		"no credentials": func() {
			secrets := l.client.CoreV1().Secrets(runnerNamespace)
			const name = "runners-gha-rs-github-secret"
			if _, err := secrets.Patch(l.ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := secrets.Delete(l.ctx, name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{T: t, Cluster: l.Cluster, ctx: t.Context(), client: l.client, dynamic: l.dynamic, metadata: l.metadata, before: l.before}
			l.GitHub().SetMode(github.OK)
			l.installScaleSet(4, append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.grace="+grace.String())...)
			obstruct()
			begun := time.Now()
			out := l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
			if took := time.Since(begun); took > 3*grace+harness.Patience(5*time.Second) || strings.Count(out, "no progress for "+grace.String()) > 2 {
				t.Errorf("it took %s, with a grace of %s", took, grace)
			}
			if !strings.Contains(out, "had the controller skip GitHub for") || strings.Contains(out, "removed ARC's finalizers") {
				t.Errorf("the controller was not nudged, or did not finish:\n%s", out)
			}
			if left := l.left(); len(left) > 0 {
				t.Errorf("left:\n%s", lines(left))
			}
		})
	}
	l.GitHub().SetMode(github.OK)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}
