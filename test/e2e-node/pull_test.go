//go:build e2enode

package e2enode

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestImageComesLate uninstalls while the image cannot be pulled: nothing happens
// until Helm gives up. Once it can be pulled, the same command works.
func TestImageComesLate(t *testing.T) {
	l := newLab(t)
	l.installController(4, postRenderer(4, "image.tag=late")...)
	before := l.everything()

	out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace, "--timeout", "10s")
	if err == nil || !strings.Contains(out, "Job in progress\ncontext deadline exceeded") {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}
	l.checkPull(harness.HookImage + ":late")
	after := l.everything()
	for o := range before {
		if !after[o] {
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

	out, code := l.hookjob("run", "--yes", "--release", "arc", "--release-namespace", controllerNamespace, "--require-uninstalling")
	if code != 0 {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace, "--no-hooks")
	l.deleteHook()
	l.nothingLeft()
}

// deleteHook is the documented
//
//	kubectl delete job,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding --all-namespaces \
//	  --selector app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/instance=arc,app.kubernetes.io/component!=enroller
func (l *lab) deleteHook() {
	l.Helper()
	const rbac = "rbac.authorization.k8s.io"
	selected := metav1.ListOptions{LabelSelector: hookLabel + ",app.kubernetes.io/instance=arc,app.kubernetes.io/component!=enroller"}
	for _, kind := range []schema.GroupVersionResource{
		{Group: "batch", Version: "v1", Resource: "jobs"},
		{Version: "v1", Resource: "serviceaccounts"},
		{Group: rbac, Version: "v1", Resource: "roles"},
		{Group: rbac, Version: "v1", Resource: "rolebindings"},
		{Group: rbac, Version: "v1", Resource: "clusterroles"},
		{Group: rbac, Version: "v1", Resource: "clusterrolebindings"},
	} {
		found, err := l.metadata.Resource(kind).List(l.ctx, selected)
		if err != nil {
			l.Fatal(err)
		}
		for _, o := range found.Items {
			background := metav1.DeletePropagationBackground
			err := l.metadata.Resource(kind).Namespace(o.Namespace).Delete(l.ctx, o.Name, metav1.DeleteOptions{PropagationPolicy: &background})
			if err != nil {
				l.Fatal(err)
			}
		}
	}
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
