package e2e

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// The legacy chart, and what its controller makes (controllers/actions.summerwind.net
// of ARC).
const (
	legacyChart        = "actions-runner-controller"
	runnerFinalizer    = "runner.actions.summerwind.dev"
	podFinalizer       = "actions.summerwind.dev/runner-pod"
	linkedFinalizer    = "actions.summerwind.dev/linked-resources"
	unregisteredByName = "actions-runner/unregistration-complete-timestamp"
)

// TestLegacy is the uninstall of the legacy controller when it does not run: its
// webhooks, which nobody answers, refuse every update of a Runner, and nobody else
// clears the finalizers of Runners and Pods.
func TestLegacy(t *testing.T) {
	l := newLab(t)
	l.legacyRunners()
	l.mustHelm(4, append([]string{
		"install", "legacy", built.ARCChart(legacyChart), "--namespace", controllerNamespace, "--create-namespace", "--skip-crds",
		"--set", "certManagerEnabled=false",
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.scaleSets=delete",
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.grace=5s",
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.budget=20s",
	}, viaPostRenderer...)...)
	runners := l.legacy("runners")
	_, err := runners.Patch(l.ctx, "idle", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Fatalf("the webhooks are not in the way: %v", err)
	}

	out, err := l.helm(4, "uninstall", "legacy", "--namespace", controllerNamespace)
	if err == nil || !strings.Contains(out, "runner busy in namespace arc-runners is busy with a job, as far as arc-cleanup can tell") {
		t.Fatalf("a Pod runs, which may have a job: %v\n%s", err, out)
	}
	if !strings.Contains(out, "refused, nothing was written: ") {
		t.Error("something was written")
	}
	if _, err := runners.Get(l.ctx, "busy", metav1.GetOptions{}); err != nil {
		t.Errorf("its Runner: %v", err)
	}

	// As the controller says that GitHub has removed the runner.
	patch := []byte(`{"metadata":{"annotations":{"` + unregisteredByName + `":"2026-01-02T03:04:05Z"}}}`)
	if _, err := l.client.CoreV1().Pods(runnerNamespace).Patch(l.ctx, "busy", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	out = l.mustHelm(4, "uninstall", "legacy", "--namespace", controllerNamespace)
	if !strings.Contains(out, "done; also there: the Lease actions-runner-controller in namespace "+controllerNamespace+", if it exists: ") || strings.Contains(out, "registered at GitHub") {
		t.Errorf("the terminal does not show the hook's verdict:\n%s", out)
	}
	l.nothingLeft()
}

// TestLegacyByHand: the release is gone, by a helm uninstall without a hook.
func TestLegacyByHand(t *testing.T) {
	l := newLab(t)
	l.legacyRunners()
	l.mustHelm(3, "install", "legacy", built.ARCChart(legacyChart), "--namespace", controllerNamespace, "--create-namespace", "--skip-crds", "--set", "certManagerEnabled=false")
	l.mustHelm(3, "uninstall", "legacy", "--namespace", controllerNamespace)
	if out, code := l.hookjob("run", "--all-namespaces", "--yes", "--scope", "legacy"); code != 3 || !strings.Contains(out, "kubectl delete runnerdeployment.actions.summerwind.dev d --namespace arc-runners") {
		t.Errorf("while runners are installed: exit code %d\n%s", code, out)
	}
	out, code := l.hookjob("run", "--all-namespaces", "--yes", "--scope", "legacy", "--scale-sets", "delete", "--busy-runners", "force")
	if code != 0 || !strings.Contains(lastLine(out), `"verdict":"done"`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// legacyCRDs creates those of the legacy chart.
func (l *lab) legacyCRDs() {
	l.Helper()
	found, err := built.CRDs(legacyChart)
	if err != nil || len(found) != 5 {
		l.Fatalf("%d CRDs, %v", len(found), err)
	}
	for _, crd := range found {
		if _, err := l.dynamic.Resource(crds).Create(l.ctx, crd, metav1.CreateOptions{}); err != nil {
			l.Fatal(err)
		}
	}
}

// legacyRunners makes the legacy CRDs, a RunnerDeployment with an idle runner and a
// busy one, and a RunnerSet, as the controller would have.
func (l *lab) legacyRunners() {
	l.Helper()
	l.legacyCRDs()
	template := map[string]any{"spec": map[string]any{"repository": "acme/app"}}
	d := l.legacyObject("RunnerDeployment", "d", nil, map[string]any{"template": template})
	set := l.legacyObject("RunnerReplicaSet", "d-1", &d, map[string]any{"template": template, "selector": map[string]any{}})
	l.legacyObject("HorizontalRunnerAutoscaler", "d", nil, map[string]any{"scaleTargetRef": map[string]any{"name": "d"}})
	statefulSet := l.legacyObject("RunnerSet", "s", nil, map[string]any{"repository": "acme/app", "serviceName": "s", "selector": map[string]any{}, "template": map[string]any{}})

	idle := l.legacyObject("Runner", "idle", &set, map[string]any{"repository": "acme/app"}, runnerFinalizer)
	l.legacyPod("idle", &idle, true, podFinalizer, linkedFinalizer)
	busy := l.legacyObject("Runner", "busy", &set, map[string]any{"repository": "acme/app"}, runnerFinalizer)
	l.legacyPod("busy", &busy, false, podFinalizer)
	l.eventually("the busy runner runs", func() bool {
		pod, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, "busy", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	})
	job := metav1.ObjectMeta{Name: "idle-job", Labels: map[string]string{"runner-pod": "idle"}}
	if _, err := l.client.CoreV1().Secrets(runnerNamespace).Create(l.ctx, &corev1.Secret{ObjectMeta: job}, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}

	labels := map[string]string{"runnerset-name": "s"}
	sts, err := l.client.AppsV1().StatefulSets(runnerNamespace).Create(l.ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "s-1", OwnerReferences: []metav1.OwnerReference{statefulSet}},
		Spec: appsv1.StatefulSetSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Finalizers: []string{podFinalizer}},
				Spec:       legacyPodSpec(true),
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	l.eventually("the RunnerSet has a Pod", func() bool {
		_, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, sts.Name+"-0", metav1.GetOptions{})
		return err == nil
	})
}

func (l *lab) legacy(resource string) dynamic.ResourceInterface {
	gvr := schema.GroupVersionResource{Group: "actions.summerwind.dev", Version: "v1alpha1", Resource: resource}
	return l.dynamic.Resource(gvr).Namespace(runnerNamespace)
}

// legacyObject makes a custom resource and returns what its children say of it.
func (l *lab) legacyObject(kind, name string, owner *metav1.OwnerReference, spec map[string]any, finalizers ...string) metav1.OwnerReference {
	l.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "actions.summerwind.dev/v1alpha1", "kind": kind, "spec": spec}}
	u.SetName(name)
	u.SetFinalizers(finalizers)
	if owner != nil {
		u.SetOwnerReferences([]metav1.OwnerReference{*owner})
	}
	var made *unstructured.Unstructured
	var err error
	tries := 0
	l.eventually("a "+kind+" is made", func() bool {
		made, err = l.legacy(strings.ToLower(kind)+"s").Create(l.ctx, u, metav1.CreateOptions{})
		if tries++; err != nil && tries%50 == 0 {
			l.Log(err)
		}
		return err == nil
	})
	return metav1.OwnerReference{APIVersion: u.GetAPIVersion(), Kind: kind, Name: name, UID: made.GetUID(), Controller: new(true), BlockOwnerDeletion: new(true)}
}

func (l *lab) legacyPod(name string, owner *metav1.OwnerReference, gated bool, finalizers ...string) {
	l.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"actions-runner": ""}, Finalizers: finalizers, OwnerReferences: []metav1.OwnerReference{*owner}},
		Spec:       legacyPodSpec(gated),
	}
	if _, err := l.client.CoreV1().Pods(runnerNamespace).Create(l.ctx, pod, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
}

// legacyPodSpec is a runner's; a gated one comes to no node.
func legacyPodSpec(gated bool) corev1.PodSpec {
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64(1)),
		Containers: []corev1.Container{{
			Name: "runner", Image: "ghcr.io/actions/actions-runner:latest", Command: []string{"/home/runner/run.sh"},
		}},
	}
	if gated {
		spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/never"}}
	}
	return spec
}
