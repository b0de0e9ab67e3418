package e2e

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestControllerIsNoHelp uninstalls a scale set twice: when its controller lives
// and has lost its rights in the runner namespace, and when it has no Pod.
func TestControllerIsNoHelp(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	before := l.added()

	l.installScaleSet(4, append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.grace=1s")...)
	for _, resource := range []string{"rolebindings", "roles"} {
		r := l.metadata.Resource(l.resource(resource)).Namespace(runnerNamespace)
		if _, err := r.Patch(l.ctx, "runners-gha-rs-manager", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := r.Delete(l.ctx, "runners-gha-rs-manager", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	t.Logf("without rights: %s", time.Since(begun))
	// In the controller's namespace too, where what a listener owns is left to a
	// garbage collector that has not learned of its kind yet.
	if left := slices.DeleteFunc(l.added(), func(o harness.Object) bool { return slices.Contains(before, o) }); len(left) > 0 {
		t.Errorf("left:\n%s", lines(left))
	}

	// The controller is given a new set, its rights come with that.
	l.installScaleSet(4, viaPostRenderer...)
	deployments := l.client.AppsV1().Deployments(controllerNamespace)
	scale, err := deployments.GetScale(l.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = 0
	if _, err := deployments.UpdateScale(l.ctx, scale.Name, scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.eventually("no controller runs", func() bool {
		d, err := deployments.Get(l.ctx, scale.Name, metav1.GetOptions{})
		return err == nil && d.Status.Replicas == 0
	})
	// The grace is a minute; ten seconds are the garbage collector's.
	begun = time.Now()
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	if took := time.Since(begun); took > harness.Patience(20*time.Second) {
		t.Errorf("it took %s, though no controller runs", took)
	}

	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// left lists what is in the runner namespace.
func (l *lab) left() []harness.Object {
	l.Helper()
	return slices.DeleteFunc(l.added(), func(o harness.Object) bool { return o.Namespace != runnerNamespace })
}
