package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

// runnerImage is that of a runner which ends when its job is over.
const runnerImage = "example.com/legacy-runner"

// runnerID is what the legacy controller notes on a runner's Pod once GitHub knows
// it.
const runnerID = "actions-runner/id"

// TestLegacyLive is the uninstall of a legacy controller that runs. It lets its
// runners finish: it removes the idle one at GitHub, which refuses to let the busy
// one go, so that the uninstall is refused until its job is over.
func TestLegacyLive(t *testing.T) {
	l := newLab(t)
	l.installLegacy(
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.scaleSets=delete",
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.grace=10s", // with less, a busy machine makes the controller look stuck
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.budget=30s",
	)
	over := filepath.Join(t.TempDir(), "over")
	l.SetImage(runnerImage, cluster.Image{Commands: map[string]cluster.Program{
		"": {Path: "/bin/sh", Args: []string{"-c", `trap 'exit 0' TERM; until [ -e "$0" ]; do sleep 0.2 & wait $!; done`, over}},
	}})
	busy := l.legacyRunner("RunnerDeployment", "busy", true)
	idle := []*corev1.Pod{l.legacyRunner("RunnerDeployment", "idle", false), l.legacyRunner("RunnerSet", "set", false)}
	// As long as it is there, scaling down is in vain.
	l.legacyObject("HorizontalRunnerAutoscaler", "idle", nil, map[string]any{
		"scaleTargetRef": map[string]any{"name": "idle"}, "minReplicas": int64(1), "maxReplicas": int64(1),
	})

	refused, err := l.helm(4, "uninstall", "legacy", "--namespace", controllerNamespace)
	if err == nil || strings.Count(refused, " is busy with a job") != 1 || !strings.Contains(refused, "runner "+busy.Name+" in namespace arc-runners is busy with a job") ||
		!strings.Contains(refused, "is currently running a job and cannot be deleted") {
		t.Errorf("the refusal does not name the one runner that has a job, and what GitHub says: %v", err)
	}
	for _, pod := range idle {
		l.removedAtGitHub(pod)
	}
	l.stillRuns(busy, "a refused uninstall")
	if runners := l.GitHub().Runners(); !slices.Equal(runners, []string{busy.Name}) {
		t.Errorf("registered at GitHub: %q", runners)
	}

	l.GitHub().EndJob(busy.Name)
	if err := os.WriteFile(over, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := l.mustHelm(4, "uninstall", "legacy", "--namespace", controllerNamespace)
	if !strings.Contains(out, "done: nothing of legacy ARC is left") {
		t.Errorf("the terminal does not show the hook's verdict:\n%s", out)
	}
	for _, forced := range []string{"removed ARC's finalizers", "registered at GitHub", "webhookconfigurations"} {
		if strings.Contains(refused+out, forced) {
			t.Errorf("the controller was not let finish: %q in\n%s\n%s", forced, refused, out)
		}
	}
	if !l.GitHub().Deregistered() {
		t.Errorf("still registered at GitHub: %q", l.GitHub().Runners())
	}
	l.nothingLeft()
}

// TestLegacyRunnersAlone is the same with Runners that nothing scales, and that do not
// end with their job: there is no way to have such a one finish. Of one that runs
// nobody can say whether it has a job, so it is the user's to delete.
func TestLegacyRunnersAlone(t *testing.T) {
	l := newLab(t)
	l.installLegacy(
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.scaleSets=delete",
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.grace=5s",
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.budget=25s",
	)
	l.SetImage(runnerImage, cluster.Image{Commands: map[string]cluster.Program{
		"": {Path: "/bin/sh", Args: []string{"-c", `trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done`}},
	}})
	pod := l.legacyRunner("Runner", "alone", false)

	refused, err := l.helm(4, "uninstall", "legacy", "--namespace", controllerNamespace)
	if err == nil || !strings.Contains(refused, "runner alone in namespace "+runnerNamespace+" is busy with a job, as far as arc-cleanup can tell") {
		t.Errorf("the refusal does not name the runner: %v\n%s", err, refused)
	}
	if want := "delete it then: kubectl delete runner.actions.summerwind.dev,pod alone --namespace " + runnerNamespace; !strings.Contains(refused, want) {
		t.Errorf("the refusal does not say %q", want)
	}
	l.stillRuns(pod, "a refused uninstall")
	if runners := l.GitHub().Runners(); !slices.Equal(runners, []string{pod.Name}) {
		t.Errorf("registered at GitHub: %q", runners)
	}

	l.asTold(4, refused)
	out := l.mustHelm(4, "uninstall", "legacy", "--namespace", controllerNamespace)
	if !strings.Contains(out, "done: nothing of legacy ARC is left") {
		t.Errorf("the terminal does not show the hook's verdict:\n%s", out)
	}
	// Whether it was removed at GitHub is between the user and ARC: where the runner has
	// ended before the controller looks, the controller takes it for de-registered.
	l.nothingLeft()
}

// installLegacy installs the legacy chart with its own CRDs, and the post-renderer,
// and waits until its controller runs.
func (l *lab) installLegacy(args ...string) {
	l.Helper()
	var ports [2]string
	for i := range ports {
		var err error
		if ports[i], err = cluster.FreePort(); err != nil {
			l.Fatal(err)
		}
	}
	l.mustHelm(4, slices.Concat([]string{
		"install", "legacy", built.ARCChart(legacyChart), "--namespace", controllerNamespace, "--create-namespace",
		"--set", "githubEnterpriseServerURL=" + l.GitHub().URL(),
		"--set", "authSecret.create=true", "--set", "authSecret.github_token=not-a-token",
		"--set", "certManagerEnabled=false", // the chart makes the certificate itself
		"--set", "webhookPort=" + ports[0],
		"--set", "metrics.proxy.enabled=false", "--set", "metrics.port=" + ports[1],
		"--set", "enableLeaderElection=false", // which only works in a container
		"--set", "syncPeriod=2s",
	}, viaPostRenderer, args)...)
	l.connectWebhooks(ports[0])
	l.eventually("the legacy controller runs", func() bool {
		d, err := l.client.AppsV1().Deployments(controllerNamespace).List(l.ctx, metav1.ListOptions{})
		return err == nil && len(d.Items) == 1 && d.Items[0].Status.ReadyReplicas == 1
	})
}

// connectWebhooks lets the API server reach the controller's webhooks. There is no
// network of Services here, and no endpoint can be on loopback; of an external name
// it asks nothing.
func (l *lab) connectWebhooks(port string) {
	l.Helper()
	const name = "legacy-actions-runner-controller"
	_, err := l.client.CoreV1().Services(controllerNamespace).Patch(l.ctx, name+"-webhook", types.MergePatchType,
		[]byte(`{"spec":{"type":"ExternalName","externalName":"localhost"}}`), metav1.PatchOptions{})
	if err != nil {
		l.Fatal(err)
	}
	patch := func(webhooks int) []byte {
		var ops []map[string]any
		for i := range webhooks {
			ops = append(ops, map[string]any{"op": "add", "path": fmt.Sprintf("/webhooks/%d/clientConfig/service/port", i), "value": json.Number(port)})
		}
		text, err := json.Marshal(ops)
		if err != nil {
			l.Fatal(err)
		}
		return text
	}
	configurations := l.client.AdmissionregistrationV1()
	if _, err := configurations.MutatingWebhookConfigurations().Patch(l.ctx, name+"-mutating-webhook-configuration", types.JSONPatchType, patch(4), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
	if _, err := configurations.ValidatingWebhookConfigurations().Patch(l.ctx, name+"-validating-webhook-configuration", types.JSONPatchType, patch(3), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
}

// legacyRunner makes a RunnerDeployment, a RunnerSet or a Runner of its own, and returns the Pod of its
// runner when the controller knows that it is registered at GitHub.
func (l *lab) legacyRunner(kind, name string, busy bool) *corev1.Pod {
	l.Helper()
	config := map[string]any{"repository": "acme/app", "image": runnerImage, "dockerEnabled": false}
	spec := map[string]any{"template": map[string]any{"spec": config}}
	selection := metav1.ListOptions{LabelSelector: "runner-deployment-name=" + name}
	switch kind {
	case "Runner":
		spec, selection = config, metav1.ListOptions{FieldSelector: "metadata.name=" + name}
		spec["ephemeral"] = false
	case "RunnerSet":
		labels := map[string]any{"app": name}
		spec, selection = config, metav1.ListOptions{LabelSelector: "runnerset-name=" + name}
		spec["serviceName"], spec["selector"] = name, map[string]any{"matchLabels": labels}
		spec["template"] = map[string]any{"metadata": map[string]any{"labels": labels}}
	}
	if kind != "Runner" {
		spec["replicas"] = int64(1)
	}
	l.legacyObject(kind, name, nil, spec)
	var pod *corev1.Pod
	find := func() bool {
		pods, err := l.client.CoreV1().Pods(runnerNamespace).List(l.ctx, selection)
		if err != nil || len(pods.Items) != 1 {
			return false
		}
		pod = &pods.Items[0]
		return true
	}
	l.eventually("the runner of "+name+" has a Pod", find)
	l.GitHub().AddRunner(pod.Name, busy)
	l.eventually("the runner of "+name+" runs, and is registered", func() bool {
		return find() && pod.Status.Phase == corev1.PodRunning && pod.Annotations[runnerID] != ""
	})
	return pod
}

// removedAtGitHub fails unless GitHub was asked to remove a runner, and did.
func (l *lab) removedAtGitHub(pod *corev1.Pod) {
	l.Helper()
	for _, call := range l.GitHub().Calls() {
		if call.Method == http.MethodDelete && call.Path == "/api/v3/repos/acme/app/actions/runners/"+pod.Annotations[runnerID] && call.Status == 204 {
			return
		}
	}
	l.Errorf("the runner %s was not removed at GitHub", pod.Name)
}
