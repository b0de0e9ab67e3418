//go:build e2enode

package image

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestImageComesLate uninstalls while the image cannot be pulled: nothing happens
// until Helm gives up. Once it can be pulled, the same command works.
func TestImageComesLate(t *testing.T) {
	l := newLab(t)
	l.installController(4, postRenderer(4, "image.tag=late")...)
	l.installScaleSet(4, postRenderer(4)...)
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	before := l.everything()

	out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace, "--timeout", "10s")
	if err == nil {
		t.Error("helm uninstall worked without an image")
	}
	t.Logf("Helm says: %v\n%s", err, out)
	l.checkPull("ghcr.io/arc-cleanup/arc-hookjob:late")
	for o := range before {
		if !l.everything()[o] && o.Resource != "pods" {
			t.Errorf("%s is gone", o)
		}
	}

	repository, _, _ := strings.Cut(image, ":")
	if err := registry.Tag(image, repository+":late"); err != nil {
		t.Fatal(err)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestImageNeverComes is the documented way out where no image can be had.
func TestImageNeverComes(t *testing.T) {
	l := newLab(t)
	l.installController(3)
	values := []string{"image.tag=never", "policy.grace=1s", "policy.budget=5s", "activeDeadlineSeconds=10"}
	args := []string{"enrol", "arc", "--namespace", controllerNamespace}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	if out, code := l.hookjob(args...); code != 0 {
		t.Fatalf("enrol: exit code %d\n%s", code, out)
	}
	out, err := l.helm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	if err == nil || !strings.Contains(out, "DeadlineExceeded") {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}

	out, code := l.hookjob("run", "--yes", "--release", "arc", "-n", controllerNamespace, "--require-uninstalling")
	if code != 0 {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace, "--no-hooks")
	l.nothingLeft()
}

// checkPull sees that `kubectl get pods` names the reason.
func (l *lab) checkPull(image string) {
	l.Helper()
	pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: hookLabel})
	if err != nil || len(pods.Items) != 1 {
		l.Fatalf("%d Pods of the hook, %v", len(pods.Items), err)
	}
	waiting := slices.DeleteFunc(pods.Items[0].Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		w := s.State.Waiting
		return w == nil || w.Reason != "ErrImagePull" && w.Reason != "ImagePullBackOff" || !strings.Contains(w.Message, image)
	})
	if len(waiting) != 1 {
		l.Errorf("the Pod does not say that %s cannot be pulled: %+v", image, pods.Items[0].Status)
	}
}
