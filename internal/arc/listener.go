package arc

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/rand"
)

// ListenerNames returns the names that the listener of a scale set has before ARC 0.13.1 and since. The
// controller knows a set's listener by its name alone, so it forgets a listener of another name
// (controllers/actions.github.com/resourcebuilder.go, scaleSetListenerName).
func ListenerNames(namespace, set, runnerGroup, configURL string) (before, since string) {
	name := func(hashed string) string {
		h := fnv.New32a()
		_, _ = h.Write([]byte(hashed)) // a hash never fails
		suffix := rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
		return fmt.Sprintf("%s-%s-listener", set, suffix[:min(len(suffix), listenerHash)])
	}
	return name(namespace), name(namespace + "@" + runnerGroup + "@" + configURL)
}

// listenerHash is how much of the hash is in a listener's name.
const listenerHash = 8

// ListenerName returns the name that a controller of this version gives to a set's listener; "" if the
// version is not known.
func ListenerName(version, namespace, set, runnerGroup, configURL string) string {
	before, since := ListenerNames(namespace, set, runnerGroup, configURL)
	switch order, known := compareVersions(version, "0.13.1"); {
	case !known:
		return ""
	case order < 0:
		return before
	}
	return since
}

// ListenersShare reports whether the listeners of a scale set share objects that the controller deletes
// with any of them, or if the version is not known: the ServiceAccount before ARC 0.12, and the Secret of
// the proxy before 0.13.1. Since then all of a listener's objects are named after it
// (controllers/actions.github.com/resourcebuilder.go, newScaleSetListenerServiceAccount,
// proxyListenerSecretName).
func ListenersShare(version string) bool {
	order, known := compareVersions(version, "0.13.1")
	return !known || order < 0
}

// compareVersions orders two versions of ARC by their numbers. ARC's releases have three.
func compareVersions(a, b string) (order int, known bool) {
	numbers := func(version string) (out []int) {
		for _, part := range strings.Split(version, ".") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 0 {
				return nil
			}
			out = append(out, n)
		}
		return out
	}
	x, y := numbers(a), numbers(b)
	return slices.Compare(x, y), len(x) == 3 && len(y) == 3
}

// Rule is a rule of a Role.
type Rule struct {
	APIGroups     []string `json:"apiGroups"`
	Resources     []string `json:"resources"`
	ResourceNames []string `json:"resourceNames"`
	Verbs         []string `json:"verbs"`
}

// IsListenerRole reports whether a Role grants exactly what a listener needs. All versions grant the same
// (controllers/actions.github.com/resourcebuilder.go, rulesForListenerRole).
func IsListenerRole(rules []Rule) bool {
	if len(rules) != 2 || len(rules[0].ResourceNames) != 1 {
		return false
	}
	want := []Rule{
		{[]string{Group}, []string{EphemeralRunnerSets}, rules[0].ResourceNames, []string{"patch"}},
		{[]string{Group}, []string{EphemeralRunners, EphemeralRunners + "/status"}, nil, []string{"patch"}},
	}
	return slices.EqualFunc(rules, want, func(a, b Rule) bool {
		return slices.Equal(a.APIGroups, b.APIGroups) && slices.Equal(a.Resources, b.Resources) &&
			slices.Equal(a.ResourceNames, b.ResourceNames) && slices.Equal(a.Verbs, b.Verbs)
	})
}

// ControllerEnvironment is what a controller's container says to the program beside its flags.
type ControllerEnvironment struct {
	Container
	Env []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
}

// ListenerImage returns the image that a controller gives to new listeners: that of its own container,
// which the chart writes into a variable (main.go). It is "" if it is not certain: the chart's value `env`
// can set the variable a second time, and a value can be read from elsewhere or contain other variables.
func ListenerImage(containers []ControllerEnvironment) string {
	var values []string
	for _, c := range containers {
		for _, e := range c.Env {
			if e.Name == "CONTROLLER_MANAGER_CONTAINER_IMAGE" {
				values = append(values, e.Value)
			}
		}
	}
	if len(values) != 1 || strings.Contains(values[0], "$") {
		return ""
	}
	return values[0]
}

// UpdatesLate reports whether a controller makes no new listener while runners are busy (the flag
// --update-strategy eventual; controllers/actions.github.com/autoscalingrunnerset_controller.go,
// drainingJobs).
func UpdatesLate(containers []ControllerEnvironment) bool {
	return slices.ContainsFunc(containers, func(c ControllerEnvironment) bool {
		value, _ := c.flag("update-strategy")
		return value == "eventual"
	})
}

// ControllerVersion returns a controller's version: what the chart writes into the label of its Pods. If
// the image has the tag of another version, the version is not known: "".
func ControllerVersion(podLabels map[string]string, image string) string {
	version := podLabels[LabelVersion]
	image, _, _ = strings.Cut(image, "@")
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if order, known := compareVersions(tag, version); tagged && (!known || order != 0) {
		return ""
	}
	return version
}

// PendingAtGitHub says what a controller has to do at GitHub before it looks at a set's listener; "" if
// nothing (controllers/actions.github.com/autoscalingrunnerset_controller.go, Reconcile). It tries for as
// long as GitHub refuses, for example a runner group that does not exist.
func PendingAtGitHub(annotations map[string]string, group, name string) string {
	differs := func(is, wanted string) bool { return is == "" || wanted != "" && !strings.EqualFold(is, wanted) }
	id, err := strconv.Atoi(annotations[AnnotationRunnerScaleSetID])
	switch {
	case err != nil || id <= 0:
		return "it has no ID"
	case differs(annotations[AnnotationRunnerGroupName], group):
		return "its runner group differs"
	case differs(cmp.Or(annotations[AnnotationRunnerScaleSetName], annotations[AnnotationOldName]), name):
		return "its name differs"
	}
	return ""
}

// cleanupAnnotations begins the annotations of an AutoscalingRunnerSet that name what its controller
// frees of CleanupProtectionFinalizer: these objects, in the set's namespace, and no others
// (controllers/actions.github.com/autoscalingrunnerset_controller.go,
// removeFinalizersFromDependentResources).
const cleanupAnnotations = Group + "/cleanup-"

// Frees returns the names of the objects that the controller frees with a set.
func Frees(annotations map[string]string) (names []string) {
	for key, name := range annotations {
		if strings.HasPrefix(key, cleanupAnnotations) {
			names = append(names, name)
		}
	}
	return names
}
