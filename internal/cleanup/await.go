package cleanup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rs/zerolog"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// await waits until the objects of the steps are gone. For scale sets in a drain, it also waits for
// what their controller creates meanwhile.
func (r *run) await(ctx context.Context, log zerolog.Logger, phase plan.PhaseName, steps []plan.Step, patience time.Duration) error {
	type place struct {
		gvr       schema.GroupVersionResource
		namespace string
		field     string
	}
	uids := map[types.UID]bool{}
	sets := map[types.NamespacedName]bool{}
	var places []place // children first, as in the plan
	watch := func(p place) {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	for _, s := range steps {
		uids[s.Object.UID] = true
		p := place{gvr: s.Object.Resource, namespace: s.Object.Namespace}
		switch {
		case p.gvr == object.CRDs, p.gvr == object.Namespaces:
			// RBAC grants the right to watch CRDs by name, and there may be thousands of
			// namespaces.
			p.field = "metadata.name=" + s.Object.Name
		case phase == plan.PhaseBusy:
			p.field = survey.Unfinished
		case p.gvr == arc.Resource(arc.AutoscalingRunnerSets):
			sets[s.Object.ScaleSet] = true
			watch(place{gvr: arc.Resource(arc.EphemeralRunners), namespace: p.namespace})
			watch(place{gvr: arc.Resource(arc.EphemeralRunnerSets), namespace: p.namespace})
		}
		watch(p)
	}
	var selections []kube.Selection
	for _, p := range places {
		selections = append(selections, kube.Selection{
			Resource: p.gvr, Namespace: p.namespace, Fields: p.field,
			Match: func(m *metav1.PartialObjectMetadata) bool {
				return uids[m.UID] || sets[survey.FromMetadata(p.gvr, m).ScaleSet]
			},
		})
	}
	return r.client.WaitGone(ctx, selections, patience, func(left int, examples []string) {
		r.setDone(max(0, r.now.Total-left))
		if left == 0 {
			return
		}
		level := r.pace.next(time.Now())
		if more := left - len(examples); more > 0 {
			examples = append(examples, fmt.Sprintf("%d more", more))
		}
		e := log.WithLevel(level)
		if deadline, ok := ctx.Deadline(); ok {
			e = e.Stringer("budget", time.Until(deadline).Round(time.Second))
		}
		e.Msg(shell.Visible(phase.Row().Doing + ": " + strings.Join(examples, ", ")))
	})
}
