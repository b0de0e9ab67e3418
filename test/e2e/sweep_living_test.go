package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

var ephemeralRunnerSets = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "ephemeralrunnersets"}

const (
	tenantNamespace = "sweep-tenant"
	// goneListener is the name of a listener whose scale set is gone.
	goneListener = "gone-754b578d-listener"
	// laterFinalizer is what a later ARC puts on its runner sets, and the controller of the tests never removes.
	laterFinalizer = "ephemeralrunnerset.actions.github.com/finalizer"
	protection     = "actions.github.com/cleanup-protection"
)

// older makes everything older than a second, in times of whole seconds.
const older = 2 * time.Second

// TestSweepOfALivingARC: beside a controller that works, exactly what nobody uses goes. The scale set, its
// listener and its busy runner stay what they are, and so does what a tenant has forged.
func TestSweepOfALivingARC(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)
	old := l.oldRunnerSet()
	l.forgottenObjects()
	l.forgedObjects(old)
	// The set's runner of now is busy, and so is the old runner set's.
	pod := l.busyPod(old.GetUID())
	time.Sleep(older)
	before := l.everything()
	sweep := func(args ...string) (string, int) {
		t.Helper()
		return l.hookjob(append([]string{"sweep", "--all-namespaces", "--older-than", "1s"}, args...)...)
	}

	// Looking writes nothing.
	out, code := sweep()
	if diff := difference(before, l.everything()); code != 7 || len(diff) > 0 {
		t.Fatalf("exit code %d, changed:\n%s", code, strings.Join(diff, "\n"))
	}
	for _, want := range []string{
		goneListener, "its scale set arc-runners/gone is gone", "has job \"launch\" of acme/rocket", "it does not grant what ARC grants to a listener",
		"no controller will remove the finalizer", "it is not in the namespace of the controller", "no scale set owns it",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q", want)
		}
	}

	// The job of the old runner set's runner is not over: that stays.
	gone := []string{
		"-autoscalinglisteners arc-systems/" + goneListener,
		"-rolebindings arc-runners/" + goneListener, "-rolebindings arc-runners/gone-manager",
		"-roles arc-runners/" + goneListener, "-roles arc-runners/gone-manager",
		"-serviceaccounts arc-runners/gone-no-permission",
	}
	if out, code := sweep("--yes"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if diff := difference(before, l.everything()); !slices.Equal(diff, gone) {
		t.Errorf("changed:\n%s\nwant\n%s", strings.Join(diff, "\n"), strings.Join(gone, "\n"))
	}
	l.stillRuns(pod, "the sweep")

	// The job ends, and the controller lets the old runner go. What it does not know is left to the sweep.
	l.endOldJob(old)
	if out, code := sweep("--yes"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if _, err := l.dynamic.Resource(ephemeralRunnerSets).Namespace(runnerNamespace).Get(l.ctx, old.GetName(), metav1.GetOptions{}); err == nil {
		t.Error("the old runner set is still there")
	}
	l.stillRuns(pod, "the sweep of the old runner set")
	if out, code := sweep(); code != 0 || !strings.Contains(out, "keep") {
		t.Errorf("exit code %d: a third sweep finds something to do\n%s", code, out)
	}
}

// TestSweepReplacesAListener: a listener with an older controller's image is made again, with that of now,
// and the busy runner runs on.
func TestSweepReplacesAListener(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)
	l.giveJob()
	pod := l.runnerPod(runnerNamespace)
	was := l.oneListener()
	image, _, _ := unstructured.NestedString(was.Object, "spec", "image")
	if _, err := l.dynamic.Resource(listeners).Namespace(controllerNamespace).
		Patch(l.ctx, was.GetName(), types.MergePatchType, []byte(`{"spec":{"image":"older:0.6.0"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(older)
	if out, code := l.hookjob("sweep", "--namespace", runnerNamespace, "--older-than", "1s", "--yes"); code != 0 || !strings.Contains(out, "its image is older:0.6.0") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	is := l.oneListener()
	if now, _, _ := unstructured.NestedString(is.Object, "spec", "image"); is.GetUID() == was.GetUID() || now != image || is.GetName() != was.GetName() {
		t.Errorf("the listener is %s of %s, and was %s of %s", is.GetUID(), now, was.GetUID(), image)
	}
	l.stillRuns(pod, "the sweep")
	l.awaitRunner(runnerNamespace)
}

// TestSweepAsACronJob: the chart's CronJob has the rights that it needs, in the whole cluster or in two
// namespaces, and goes with its release.
func TestSweepAsACronJob(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)
	for name, values := range map[string][]string{
		"in the whole cluster": nil,
		"in two namespaces":    {"--set", "watchNamespaces={" + runnerNamespace + "}"},
	} {
		before := l.everything()
		l.mustHelm(4, append([]string{
			"install", "sweeper", hookChart(), "--namespace", controllerNamespace, "--set", "enabled=false", "--set", "sweep.enabled=true",
		}, values...)...)
		l.forgottenObjects()
		l.runCronJob("sweeper-arc-cleanup-sweep")
		l.mustHelm(4, "uninstall", "sweeper", "--namespace", controllerNamespace)
		// Kubernetes deletes the Job's Pod after the Job.
		var diff []string
		l.eventually("nothing of the sweep is left", func() bool {
			diff = difference(before, l.everything())
			return len(diff) == 0
		})
		if len(diff) > 0 {
			t.Errorf("%s: changed:\n%s", name, strings.Join(diff, "\n"))
		}
	}
}

// runCronJob runs a CronJob's Job at once, for what is a second old, and waits until it has succeeded.
func (l *lab) runCronJob(name string) {
	l.Helper()
	cron, err := l.client.BatchV1().CronJobs(controllerNamespace).Get(l.ctx, name, metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	isController := true
	job := &batchv1.Job{Spec: cron.Spec.JobTemplate.Spec}
	job.Name = name + "-now"
	job.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: name, UID: cron.UID, Controller: &isController}}
	container := &job.Spec.Template.Spec.Containers[0]
	container.Args = append(container.Args, "--older-than=1s")
	time.Sleep(older)
	if _, err := l.client.BatchV1().Jobs(controllerNamespace).Create(l.ctx, job, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
	l.eventually("the sweep has ended", func() bool {
		now, err := l.client.BatchV1().Jobs(controllerNamespace).Get(l.ctx, job.Name, metav1.GetOptions{})
		if err == nil && now.Status.Failed > 0 {
			l.Fatal("the sweep has failed")
		}
		return err == nil && now.Status.Succeeded == 1
	})
}

// oneListener returns the listener beside the controller.
func (l *lab) oneListener() unstructured.Unstructured {
	l.Helper()
	found, err := l.dynamic.Resource(listeners).Namespace(controllerNamespace).List(l.ctx, metav1.ListOptions{})
	if err != nil || len(found.Items) != 1 {
		l.Fatalf("%d listeners, %v", len(found.Items), err)
	}
	return found.Items[0]
}

// oldRunnerSet changes the scale set while its controller is away. The controller makes another runner set
// then, and deletes the first, whose runner is busy. The first has a finalizer of a later ARC, as after an
// upgrade that was taken back.
func (l *lab) oldRunnerSet() *unstructured.Unstructured {
	l.Helper()
	runner := l.giveJob()
	l.scaleController(0)
	sets := l.dynamic.Resource(ephemeralRunnerSets).Namespace(runnerNamespace)
	old, err := sets.Get(l.ctx, runner.GetOwnerReferences()[0].Name, metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	finalizers := fmt.Sprintf(`{"metadata":{"finalizers":[%q,%q]}}`, old.GetFinalizers()[0], laterFinalizer)
	if _, err := sets.Patch(l.ctx, old.GetName(), types.MergePatchType, []byte(finalizers), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
	change := `{"spec":{"template":{"metadata":{"annotations":{"changed":"yes"}}}}}`
	if _, err := l.dynamic.Resource(runnerSets).Namespace(runnerNamespace).
		Patch(l.ctx, "runners", types.MergePatchType, []byte(change), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
	l.scaleController(1)
	l.eventually("the listener serves another runner set, which has a runner", func() bool {
		listeners, err := l.dynamic.Resource(listeners).Namespace(controllerNamespace).List(l.ctx, metav1.ListOptions{})
		if err != nil || len(listeners.Items) != 1 {
			return false
		}
		served, _, _ := unstructured.NestedString(listeners.Items[0].Object, "spec", "ephemeralRunnerSetName")
		now, err := sets.Get(l.ctx, old.GetName(), metav1.GetOptions{})
		return err == nil && now.GetDeletionTimestamp() != nil && served != old.GetName() && listeners.Items[0].GetDeletionTimestamp() == nil && len(l.podsOf(old.GetUID())) > 0
	})
	return old
}

// scaleController scales the controller and waits until it is so.
func (l *lab) scaleController(replicas int) {
	l.Helper()
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	deployments := l.client.AppsV1().Deployments(controllerNamespace)
	if _, err := deployments.Patch(l.ctx, "arc-gha-rs-controller", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
	l.eventually("the controller is scaled", func() bool {
		d, err := deployments.Get(l.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
		pods, podsErr := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=gha-rs-controller"})
		return err == nil && podsErr == nil && int(d.Status.ReadyReplicas) == replicas && len(pods.Items) == replicas
	})
}

// podsOf returns the Pods that run of runners which another runner set than this one has.
func (l *lab) podsOf(other types.UID) (found []corev1.Pod) {
	l.Helper()
	runners, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	for _, r := range runners.Items {
		pod, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, r.GetName(), metav1.GetOptions{})
		if err == nil && r.GetOwnerReferences()[0].UID != other && pod.Status.Phase == corev1.PodRunning {
			found = append(found, *pod)
		}
	}
	return found
}

// busyPod gives a job to the runner that the old runner set does not have, and returns its Pod.
func (l *lab) busyPod(old types.UID) *corev1.Pod {
	l.Helper()
	pods := l.podsOf(old)
	if len(pods) != 1 {
		l.Fatalf("%d Pods", len(pods))
	}
	status := `{"status":{"jobRequestId":8,"jobRepositoryName":"acme/rocket","jobDisplayName":"land"}}`
	if _, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).
		Patch(l.ctx, pods[0].Name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		l.Fatal(err)
	}
	return &pods[0]
}

// endOldJob ends the job of the old runner set's runner, and waits until the controller has done its part.
func (l *lab) endOldJob(old *unstructured.Unstructured) {
	l.Helper()
	runners, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	l.GitHub().SetMode(github.OK)
	for _, r := range runners.Items {
		if r.GetOwnerReferences()[0].UID != old.GetUID() {
			continue
		}
		if err := l.KillPod(runnerNamespace, r.GetName(), "runner"); err != nil {
			l.Fatal(err)
		}
	}
	l.eventually("of the old runner set only the later finalizer is left", func() bool {
		now, err := l.dynamic.Resource(ephemeralRunnerSets).Namespace(runnerNamespace).Get(l.ctx, old.GetName(), metav1.GetOptions{})
		return err == nil && slices.Equal(now.GetFinalizers(), []string{laterFinalizer})
	})
}

// listenerRights makes the Role and the RoleBinding that ARC makes for a listener. More rules make them
// something else.
func (l *lab) listenerRights(namespace, name string, more ...rbacv1.PolicyRule) {
	l.Helper()
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"auto-scaling-listener-namespace": controllerNamespace, "auto-scaling-listener-name": name,
		"actions.github.com/scale-set-name": "gone", "actions.github.com/scale-set-namespace": namespace,
	}}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: append([]rbacv1.PolicyRule{
		{APIGroups: []string{"actions.github.com"}, Resources: []string{"ephemeralrunnersets"}, ResourceNames: []string{"gone-1"}, Verbs: []string{"patch"}},
		{APIGroups: []string{"actions.github.com"}, Resources: []string{"ephemeralrunners", "ephemeralrunners/status"}, Verbs: []string{"patch"}},
	}, more...)}
	l.createRights(namespace, role, rbacv1.Subject{Kind: "ServiceAccount", Namespace: controllerNamespace, Name: name})
}

// createRights creates a Role and a RoleBinding of its name and metadata.
func (l *lab) createRights(namespace string, role *rbacv1.Role, subject rbacv1.Subject) {
	l.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: role.ObjectMeta, Subjects: []rbacv1.Subject{subject},
		RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: role.Name},
	}
	_, err := l.client.RbacV1().Roles(namespace).Create(l.ctx, role, metav1.CreateOptions{})
	if err == nil {
		_, err = l.client.RbacV1().RoleBindings(namespace).Create(l.ctx, binding, metav1.CreateOptions{})
	}
	if err != nil {
		l.Fatal(err)
	}
}

// forgottenObjects makes what ARC forgets: the listener of a set that is gone, the rights of such a
// listener, and protected objects that were deleted after their set.
func (l *lab) forgottenObjects() {
	l.Helper()
	l.create(l.listenerOfNone(controllerNamespace))
	l.listenerRights(runnerNamespace, goneListener)
	protected := metav1.ObjectMeta{Name: "gone-manager", Finalizers: []string{protection}}
	l.createRights(runnerNamespace, &rbacv1.Role{ObjectMeta: protected}, rbacv1.Subject{Kind: "ServiceAccount", Namespace: controllerNamespace, Name: "arc-gha-rs-controller"})
	protected.Name = "gone-no-permission"
	if _, err := l.client.CoreV1().ServiceAccounts(runnerNamespace).Create(l.ctx, &corev1.ServiceAccount{ObjectMeta: protected}, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
	for _, err := range []error{
		l.client.RbacV1().Roles(runnerNamespace).Delete(l.ctx, "gone-manager", metav1.DeleteOptions{}),
		l.client.RbacV1().RoleBindings(runnerNamespace).Delete(l.ctx, "gone-manager", metav1.DeleteOptions{}),
		l.client.CoreV1().ServiceAccounts(runnerNamespace).Delete(l.ctx, "gone-no-permission", metav1.DeleteOptions{}),
	} {
		if err != nil {
			l.Fatal(err)
		}
	}
}

// listenerOfNone is the listener of a scale set that is not there.
func (l *lab) listenerOfNone(namespace string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingListener",
		"metadata": map[string]any{"name": goneListener, "namespace": namespace},
		"spec": map[string]any{
			"autoscalingRunnerSetName": "gone", "autoscalingRunnerSetNamespace": runnerNamespace, "ephemeralRunnerSetName": "gone-1",
			"githubConfigUrl": l.GitHub().ConfigURL(), "githubConfigSecret": "gone", "image": "arc:1", "runnerScaleSetId": int64(99),
		},
	}}
}

// forgedObjects makes what a tenant may make in its own namespace, and in that of the runners what only
// looks like something that is forgotten.
func (l *lab) forgedObjects(old *unstructured.Unstructured) {
	l.Helper()
	if err := l.createNamespace(tenantNamespace); err != nil {
		l.Fatal(err)
	}
	l.create(l.listenerOfNone(tenantNamespace))
	set := &unstructured.Unstructured{Object: map[string]any{"apiVersion": old.GetAPIVersion(), "kind": old.GetKind(), "spec": old.Object["spec"]}}
	set.SetName("forged")
	set.SetNamespace(tenantNamespace)
	set.SetLabels(old.GetLabels())
	if err := unstructured.SetNestedField(set.Object, int64(0), "spec", "replicas"); err != nil {
		l.Fatal(err)
	}
	l.create(set)
	secrets := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}
	l.listenerRights(tenantNamespace, "forged", secrets)
	l.listenerRights(runnerNamespace, "forged", secrets)
	alive := metav1.ObjectMeta{Name: "not-deleted", Finalizers: []string{protection}}
	if _, err := l.client.CoreV1().ServiceAccounts(runnerNamespace).Create(l.ctx, &corev1.ServiceAccount{ObjectMeta: alive}, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
}

// difference lists what is there before or after only, but for what follows the time.
func difference(before, after map[harness.Object]bool) (out []string) {
	for o := range before {
		if !after[o] {
			out = append(out, "-"+o.String())
		}
	}
	for o := range after {
		if !before[o] {
			out = append(out, "+"+o.String())
		}
	}
	slices.Sort(out)
	return out
}
