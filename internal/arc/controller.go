package arc

import (
	"slices"
	"strings"
)

// Container holds the fields by which the containers of ARC's controllers are recognised.
type Container struct {
	Image   string   `json:"image"   yaml:"image"`
	Command []string `json:"command" yaml:"command"`
	Args    []string `json:"args"    yaml:"args"`
}

// flag returns the value of a flag in the container's command, by the rules of Go's package flag:
// one or two dashes, the value after "=" or in the next argument, and the last occurrence counts.
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

// scaleSetsOnly reports whether the container runs ARC's program for scale sets and for nothing
// else. The charts of all versions set this flag, including 0.2.0 and the experimental ones
// (charts/gha-runner-scale-set-controller*/templates), and no value removes it.
func (c Container) scaleSetsOnly() bool {
	value, is := c.flag("auto-scaling-runner-set-only")
	return is && value != "false"
}

// Controller says whether a Deployment is a controller of scale sets, and which namespaces it
// watches; none means all. It ignores the part-of label, because the chart's value `labels` and
// kustomize can change it and every version has another mark as well. If flag and label name
// different namespaces, the flag counts, because the program obeys it. The label serves for a
// program whose flags are not visible, for example in a shell script.
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

// ControllerSelectors returns label selectors for the Deployments that may be a controller of scale
// sets. There are two because a selector cannot say "or". The first finds those of chart 0.4.0 and
// later, whatever other labels were changed. The second finds older ones, and those whose unknown
// labels a tool has removed.
func ControllerSelectors() []string {
	return []string{
		LabelControllerAccount,
		LabelPartOf + " in (gha-rs-controller,gha-runner-scale-set-controller,actions-runner-controller-2)",
	}
}

// Lease returns the name of the Lease with which a controller's replicas elect a leader, in the
// controller's namespace; "" if they elect none. Neither the controller nor Helm deletes it
// (main.go, the flags of leader election).
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

// defaultLease is the name that both programs use by default.
const defaultLease = "actions-runner-controller"

// LeaseGroup returns the API group of the controller to which a Lease belongs, or "" if it is not a
// Lease of ARC. The Lease's name is the only clue. The charts for scale sets use the name of their
// Deployment, which by default ends in the chart's name.
func LeaseGroup(name string) string {
	switch {
	case name == defaultLease:
		return LegacyGroup
	case strings.HasSuffix("-"+name, "-gha-rs-controller"), strings.HasSuffix("-"+name, "-gha-runner-scale-set-controller"):
		return Group
	}
	return ""
}

// ControllerImage returns the image of the container that runs ARC's program for scale sets, or of the
// only container; "" if it is not known.
func ControllerImage(containers []Container) string {
	for _, c := range containers {
		if c.scaleSetsOnly() {
			return c.Image
		}
	}
	if len(containers) == 1 {
		return containers[0].Image
	}
	return ""
}

// Eventual reports whether the controller makes no new listener while a scale set has runners
// (controllers/actions.github.com/autoscalingrunnerset_controller.go, drainingJobs).
func Eventual(containers []Container) bool {
	for _, c := range containers {
		if strategy, _ := c.flag("update-strategy"); strategy == "eventual" {
			return true
		}
	}
	return false
}

// ImageVersion returns the version in an image's tag, which is the controller's own if the image is ARC's;
// "" if it has none.
func ImageVersion(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name := image[strings.LastIndex(image, "/")+1:]
	_, tag, _ := strings.Cut(name, ":")
	return tag
}
