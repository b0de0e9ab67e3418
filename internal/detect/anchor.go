package detect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// The chart's values for its value scope.
const (
	Controller = "controller"
	ScaleSet   = "scale-set"
	Legacy     = "legacy"
)

// An Anchor is the object that tells whose hook to add: the Deployment of ARC's controller; without one,
// the Deployment of the legacy controller; without that, an AutoscalingRunnerSet. If a stream has several,
// the first one is the anchor, and the anchor knows the namespaces of the others.
type Anchor struct {
	Document  manifest.Document
	Root      manifest.Object // of the document; the object may be an item of a List
	Kind      string
	Name      string
	Namespace string // "" if the object has none
	Scope     string
	Release   string // "" if the object does not name it
	Version   string // of ARC, by the object's label; "" if it has none

	pod         map[string]any // the values that follow from the Pod template
	deployments places         // the namespaces of the controllers of Scope
	watches     places         // the namespaces that these controllers watch
	watchesAll  bool           // one of these controllers watches all namespaces
	sets        places         // the namespaces of the AutoscalingRunnerSets
	managers    places         // the namespaces of the controllers of these sets
}

// places are namespaces: sorted, each once. "" is the namespace of an object that names none: the
// release's namespace.
type places []string

func (p *places) add(namespaces ...string) {
	all := append(slices.Clone(*p), namespaces...)
	slices.Sort(all)
	*p = slices.Compact(all)
}

// in returns the places for a release in a namespace.
func (p places) in(namespace string) (out places) {
	for _, place := range p {
		out.add(cmp.Or(place, namespace))
	}
	return out
}

// newAnchor reads from an object what the hook has to know.
func newAnchor(d manifest.Document, root, o manifest.Object, scope string) (*Anchor, error) {
	a := &Anchor{
		Document: d, Root: root, Scope: scope,
		Kind: o.Kind(), Name: o.Name(), Namespace: o.Namespace(), Version: o.Labels()[arc.LabelVersion],
	}
	var spec podSpec
	var err error
	if scope == ScaleSet {
		a.Release = a.Name
		spec, err = scaleSetPodSpec(o)
	} else {
		a.Release = o.Labels()[arc.LabelInstance]
		spec, err = podSpecAt(o, "spec", "template", "spec")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the Pod template cannot be read: %w", a, err)
	}
	a.pod = spec.values()
	return a, nil
}

// Namespaces returns the namespaces in which the stream has controllers and scale sets. The release's
// namespace is one of them, unless namespaceOverride of ARC's charts is set.
func (a *Anchor) Namespaces() []string {
	var all places
	all.add(slices.Concat(a.deployments, a.sets)...)
	return slices.DeleteFunc(all, isNone)
}

func isNone(namespace string) bool { return namespace == "" }

// In returns the values of the chart arc-cleanup that follow from the stream, for a release in a
// namespace. A value that equals what the chart assumes is left out.
func (a *Anchor) In(namespace string) map[string]any {
	out := maps.Clone(a.pod)
	out["scope"] = a.Scope
	set := func(value string, p places) {
		if len(p) > 0 && !slices.Equal(p, places{namespace}) {
			out[value] = []string(p)
		}
	}
	sets, managers := a.sets.in(namespace), a.managers.in(namespace)
	switch a.Scope {
	case ScaleSet:
		set("controllerNamespaces", managers)
		set("runnerNamespaces", sets)
		return out
	case Controller:
		managers.add(a.deployments.in(namespace)...)
		set("controllerNamespaces", managers)
	}
	if a.watchesAll {
		return out
	}
	out["watchNamespaces"] = []string(a.watches)
	// The stream may also have a scale set in a namespace that its controller does not watch.
	runners := slices.Clone(a.watches)
	runners.add(sets...)
	if a.Scope == Controller && len(runners) > len(a.watches) {
		out["runnerNamespaces"] = []string(runners)
	}
	return out
}

func (a *Anchor) String() string {
	if a.Namespace == "" {
		return a.Kind + " " + a.Name
	}
	return a.Kind + " " + a.Namespace + "/" + a.Name
}
