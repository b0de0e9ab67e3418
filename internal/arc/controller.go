package arc

import (
	"slices"
	"strings"
)

// Container is what tells one controller's container from another's.
type Container struct {
	Image   string   `json:"image"   yaml:"image"`
	Command []string `json:"command" yaml:"command"`
	Args    []string `json:"args"    yaml:"args"`
}

// flag returns what the container's command gives to a flag, as Go's package flag
// reads it: with one dash or two, the value behind "=" or in the next argument, and the
// last one counts.
func (c Container) flag(name string) (value string, is bool) {
	args := slices.Concat(c.Command, c.Args)
	for i, arg := range args {
		key, v, assigned := strings.Cut(arg, "=")
		if key != "-"+name && key != "--"+name {
			continue
		}
		if !assigned && i+1 < len(args) {
			v = args[i+1]
		}
		value, is = v, true
	}
	return value, is
}

// scaleSetsOnly reports whether the container runs ARC's program for scale sets, and
// for nothing else. The chart of every version gives it this flag, 0.2.0 and the
// experimental ones too (charts/gha-runner-scale-set-controller*/templates), and no
// value takes it away.
func (c Container) scaleSetsOnly() bool {
	value, is := c.flag("auto-scaling-runner-set-only")
	return is && value != "false"
}

// Controller says whether a Deployment is that of a controller of scale sets, and
// which namespaces it watches; none is all. Its part-of label does not count: the
// chart's value `labels` and kustomize change it, and no version has that mark only.
// Where flag and label name different namespaces the flag counts, since it is what the
// program obeys; the label is for a program whose flags are out of sight, as in a
// shell's script.
func Controller(labels map[string]string, containers []Container) (watches []string, is bool) {
	for _, c := range containers {
		if !c.scaleSetsOnly() {
			continue
		}
		is = true
		namespace, _ := c.flag("watch-single-namespace")
		if namespace == "" {
			return nil, true
		}
		watches = append(watches, namespace)
	}
	if is || labels[LabelControllerAccount] == "" {
		return watches, is
	}
	if namespace := labels[LabelWatchSingleNamespace]; namespace != "" {
		watches = []string{namespace}
	}
	return watches, true
}

// ControllerSelectors select, one after the other, the Deployments that may be a
// controller of scale sets. A selector cannot say "or". The first finds those of
// chart 0.4.0 and later whatever other labels were changed, the second the older ones,
// and those from which a tool took what it did not know.
func ControllerSelectors() []string {
	return []string{
		LabelControllerAccount,
		LabelPartOf + " in (gha-rs-controller,gha-runner-scale-set-controller,actions-runner-controller-2)",
	}
}

// Lease returns the name of the Lease by which the replicas of a controller elect a
// leader, in its own namespace; "" if they do not. Nobody deletes it: neither the
// controller when it ends, nor Helm (main.go, the flags of leader election).
func Lease(containers []Container) string {
	for _, c := range containers {
		if elects, is := c.flag("enable-leader-election"); !is || elects == "false" {
			continue
		}
		if id, _ := c.flag("leader-election-id"); id != "" {
			return id
		}
		return defaultLease
	}
	return ""
}

// defaultLease is the one that both programs take unless they are told another.
const defaultLease = "actions-runner-controller"

// LeaseGroup is the group whose controller a Lease is of, by its name alone: that is all
// that is left of it. "" is none of ARC's. The charts for scale sets give the name of
// their Deployment, which ends in the chart's unless somebody has changed it.
func LeaseGroup(name string) string {
	switch {
	case name == defaultLease:
		return LegacyGroup
	case strings.HasSuffix("-"+name, "-gha-rs-controller"), strings.HasSuffix("-"+name, "-gha-runner-scale-set-controller"):
		return Group
	}
	return ""
}
