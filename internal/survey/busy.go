package survey

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Unfinished selects the Pods whose containers run or may still run.
const Unfinished = "status.phase!=Succeeded,status.phase!=Failed"

// Busy finds the runners of namespaces ("" is all of them) that have a job, by the UID of the
// EphemeralRunner. A runner is busy while its Pod runs and its status names a job. Busy reads only
// runners with such a Pod in full: stuck runners, of which there may be thousands, have none.
func Busy(ctx context.Context, c *kube.Client, namespaces []string) (map[types.UID]plan.Job, error) {
	// The key is the Pod, not the owner, because a Pod elsewhere may name the same owner.
	pods := map[*object.Object]types.UID{}
	for _, namespace := range namespaces {
		err := c.Each(ctx, object.Pods, namespace, metav1.ListOptions{FieldSelector: Unfinished}, func(m *metav1.PartialObjectMetadata) error {
			for _, owner := range m.OwnerReferences {
				if owner.Kind == arc.EphemeralRunner {
					pods[FromMetadata(object.Pods, m)] = owner.UID
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var (
		g     errgroup.Group
		mu    sync.Mutex
		found = map[types.UID]plan.Job{}
	)
	g.SetLimit(kube.Workers)
	for pod, uid := range pods {
		g.Go(func() error {
			// A runner and its Pod have the same name
			// (controllers/actions.github.com/resourcebuilder.go, newEphemeralRunnerPod).
			runner, err := c.Get(ctx, arc.Resource(arc.EphemeralRunners), pod.Namespace, pod.Name)
			switch {
			case apierrors.IsNotFound(err):
				return nil
			case err != nil:
				return err
			case runner.GetUID() != uid:
				return nil
			}
			if j, ok := job(runner); ok {
				j.Pod = pod
				mu.Lock()
				defer mu.Unlock()
				found[uid] = j
			}
			return nil
		})
	}
	return found, g.Wait()
}

// job reads the job from a runner's status. Any of the fields proves that there is a job, because
// versions of ARC differ in which they set first. A field of an unexpected type counts too, because
// a busy runner that is taken for idle would be killed.
func job(runner *unstructured.Unstructured) (j plan.Job, has bool) {
	text := func(field string) string {
		s, _, err := unstructured.NestedString(runner.Object, "status", field)
		has = has || err != nil || s != ""
		return s
	}
	j = plan.Job{Repository: text("jobRepositoryName"), Workflow: text("jobWorkflowRef"), Name: text("jobDisplayName")}
	text("jobId")
	for _, field := range []string{"jobRequestId", "workflowRunId"} {
		n, _, err := unstructured.NestedInt64(runner.Object, "status", field)
		has = has || err != nil || n != 0
	}
	return j, has
}
