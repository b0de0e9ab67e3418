package detect

import (
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// podSpec is what the hook's Pod takes over from a Pod template of ARC.
type podSpec struct {
	Tolerations       []any          `yaml:"tolerations"`
	NodeSelector      map[string]any `yaml:"nodeSelector"`
	Affinity          map[string]any `yaml:"affinity"`
	PriorityClassName string         `yaml:"priorityClassName"`
	ImagePullSecrets  []any          `yaml:"imagePullSecrets"`
}

// values returns the Pod spec as values of the chart arc-cleanup, without those that are empty.
func (p podSpec) values() map[string]any {
	out := map[string]any{}
	if len(p.Tolerations) > 0 {
		out["tolerations"] = p.Tolerations
	}
	if len(p.NodeSelector) > 0 {
		out["nodeSelector"] = p.NodeSelector
	}
	if len(p.Affinity) > 0 {
		out["affinity"] = p.Affinity
	}
	if p.PriorityClassName != "" {
		out["priorityClassName"] = p.PriorityClassName
	}
	if len(p.ImagePullSecrets) > 0 {
		out["imagePullSecrets"] = p.ImagePullSecrets
	}
	return out
}

// podSpecAt decodes the Pod spec under a path of an object. It is empty if there is none, or if the Pod is
// for another operating system than Linux.
func podSpecAt(o manifest.Object, path ...string) (podSpec, error) {
	var (
		spec   podSpec
		system systemSpec
	)
	if err := o.Decode(&system, path...); err != nil || system.excludesLinux() {
		return spec, err
	}
	err := o.Decode(&spec, path...)
	return spec, err
}

// scaleSetPodSpec decides where a scale set's hook runs. The listener is a small Pod of infrastructure,
// like the hook, so the hook follows the listener's template. The runners' template often asks for special
// nodes (GPU, spot, Windows), and an uninstall must not wait for those. From the runners' template it
// takes only what gives the scheduler more choice: the tolerations, if the listener has none, and the pull
// secrets, because the listener's are in the controller's namespace, where the hook cannot use them.
func scaleSetPodSpec(o manifest.Object) (podSpec, error) {
	spec, err := podSpecAt(o, "spec", "listenerTemplate", "spec")
	if err != nil {
		return spec, err
	}
	runner, err := podSpecAt(o, "spec", "template", "spec")
	if len(spec.Tolerations) == 0 {
		spec.Tolerations = runner.Tolerations
	}
	spec.ImagePullSecrets = runner.ImagePullSecrets
	return spec, err
}

// systemLabels are the labels that Kubernetes gives a node for its operating system: the current one, and
// the one from before 1.14.
var systemLabels = []string{"kubernetes.io/os", "beta.kubernetes.io/os"}

// windowsBuild is a label that only Windows nodes have.
const windowsBuild = "node.kubernetes.io/windows-build"

// systemSpec is where a Pod can ask for an operating system.
type systemSpec struct {
	OS           struct{ Name string } `yaml:"os"`
	NodeSelector map[string]string     `yaml:"nodeSelector"`
	Affinity     struct {
		NodeAffinity struct {
			Required struct {
				Terms []nodeTerm `yaml:"nodeSelectorTerms"`
			} `yaml:"requiredDuringSchedulingIgnoredDuringExecution"`
		} `yaml:"nodeAffinity"`
	} `yaml:"affinity"`
}

type nodeTerm struct {
	Expressions []struct {
		Key, Operator string
		Values        []string
	} `yaml:"matchExpressions"`
}

// excludesLinux reports whether the Pod asks for nodes on which the hook's image, which is for Linux, does
// not run.
func (s systemSpec) excludesLinux() bool {
	if s.OS.Name != "" && s.OS.Name != "linux" {
		return true
	}
	if _, asks := s.NodeSelector[windowsBuild]; asks {
		return true
	}
	for _, label := range systemLabels {
		if os, asks := s.NodeSelector[label]; asks && os != "linux" {
			return true
		}
	}
	// For the scheduler, one of several terms is enough.
	terms := s.Affinity.NodeAffinity.Required.Terms
	return len(terms) > 0 && !slices.ContainsFunc(terms, nodeTerm.allowsLinux)
}

func (t nodeTerm) allowsLinux() bool {
	for _, e := range t.Expressions {
		linux := slices.Contains(e.Values, "linux")
		if slices.Contains(systemLabels, e.Key) && (e.Operator == "In" && !linux || e.Operator == "NotIn" && linux) {
			return false
		}
	}
	return true
}
