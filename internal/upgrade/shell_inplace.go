package upgrade

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// commandsInPlace returns the shell commands for a step of an upgrade in place.
func (u *Upgrade) commandsInPlace(state State, s Step) (out []string) {
	r := s.Release
	switch s.Kind {
	case Freeze:
		for _, c := range state.Swap.Controllers {
			out = append(out, u.scale(c, 0))
		}
		for _, c := range r.Controllers {
			out = append(out, u.kubectl("wait", "--for", "delete", "pod", "--selector", metav1.FormatLabelSelector(&c.Selector),
				"--namespace", c.Namespace, "--timeout", u.Helm.Timeout.String()))
		}
	case CRDs:
		show := shell.Command(slices.Concat([]string{u.Helm.Binary, "show", "crds"}, state.Target.Controller.reference())...)
		out = append(out, show+" | "+u.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager", fieldManager, "--filename", "-"),
			u.waitForCRDs())
	case Unlock:
		out = append(out, fmt.Sprintf("# release %s is locked by a Helm that was stopped: run arc-cleanup again, which ends that", r))
	case UpgradeRelease:
		out = append(out, u.saved(r, valuesKey(r))+" | "+u.helm(r, u.Helm.upgradeArgs(r, state.Target.of(r).reference())))
	case Forward:
		out = append(out,
			fmt.Sprintf("# Go on only if every scale set has a version like %s: the new controller deletes any other.", state.Target.Controller.Metadata.AppVersion),
			u.kubectl("get", arc.AutoscalingRunnerSets, "--all-namespaces", "--label-columns", arc.LabelVersion))
	case Listeners:
		for _, c := range r.Controllers {
			out = append(out, u.kubectl("delete", arc.AutoscalingListeners, "--all", "--namespace", c.Namespace))
		}
	case Rollback:
		out = append(out, u.helm(r, u.Helm.rollbackArgs(r)))
	case RestoreCRDs:
		out = append(out, u.saved(r, crdsKey)+" | "+u.kubectl("replace", "--filename", "-"))
	case Thaw:
		for _, c := range state.Swap.Controllers {
			out = append(out, u.scale(c, c.Replicas))
		}
	}
	return out
}

func (u *Upgrade) scale(c SavedController, replicas int32) string {
	return u.kubectl("scale", "deployment", c.Name, "--replicas", strconv.Itoa(int(replicas)), "--namespace", c.Namespace)
}
