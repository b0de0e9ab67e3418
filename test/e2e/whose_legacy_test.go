package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestWhoseLegacy: of two legacy releases in a namespace only the webhooks of the one
// that is uninstalled go; and what is said about its runners can be done.
func TestWhoseLegacy(t *testing.T) {
	l := newLab(t)
	l.legacyCRDs()
	template := map[string]any{"spec": map[string]any{"repository": "acme/app"}}
	l.legacyObject("RunnerDeployment", "d", nil, map[string]any{"template": template})
	alone := l.legacyObject("Runner", "alone", nil, map[string]any{"repository": "acme/app"}, runnerFinalizer)
	l.legacyPod("alone", &alone, false)
	l.eventually("the runner runs", func() bool {
		pod, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, "alone", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	})
	webhooks := func(release string) harness.Object {
		l.made(fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: %[1]s, annotations: {meta.helm.sh/release-name: %[1]s, meta.helm.sh/release-namespace: %[2]s}}
webhooks:
- name: mutate.runner.actions.summerwind.dev
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore # so that the test can write; nobody answers either way
  clientConfig: {service: {namespace: %[2]s, name: nobody, path: /mutate}}
  rules: [{apiGroups: [actions.summerwind.dev], apiVersions: [v1alpha1], operations: [CREATE, UPDATE], resources: [runners]}]
`, release, controllerNamespace))
		return harness.Object{Resource: "mutatingwebhookconfigurations", Name: release}
	}
	ours, theirs := webhooks("ours"), webhooks("theirs")
	legacy := func(args ...string) (string, int) {
		return l.console(slices.Concat([]string{"run", "--yes", "--scope", "legacy", "--release", "ours", "--release-namespace", controllerNamespace, "--grace", "2s"}, args)...)
	}

	out, code := legacy("--scale-sets", "delete", "--busy-runners", "refuse")
	if code != 3 || !strings.Contains(out, "the runner stays when its job is over; delete it then: ") {
		t.Errorf("a runner that may have a job: exit code %d\n%s", code, out)
	}
	l.asTold(4, out)
	out, code = legacy()
	if code != 3 {
		t.Errorf("a live RunnerDeployment: exit code %d\n%s", code, out)
	}
	l.asTold(4, out)
	if out, code := legacy("--busy-runners", "force"); code != 0 {
		t.Errorf("nothing is live: exit code %d\n%s", code, out)
	}
	if l.everything()[ours] {
		t.Errorf("%s is left", ours)
	}
	l.nothingLeft(theirs)
}
