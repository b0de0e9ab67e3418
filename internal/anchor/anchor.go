// Package anchor finds, among rendered manifests, the object of ARC that tells
// whose hook is wanted, and reads from it what the hook has to know.
package anchor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// Scopes of the chart.
const (
	Controller = "controller"
	ScaleSet   = "scale-set"
	Legacy     = "legacy"
)

// An Anchor is the object that tells whose hook to add: the Deployment of ARC's
// controller or, without one, of the legacy controller or, without that, an
// AutoscalingRunnerSet. Where there are several it is the first, and what the others
// say of namespaces is in it.
type Anchor struct {
	Document  manifest.Document
	Root      manifest.Object // of the document; a List holds the object deeper down
	Kind      string
	Name      string
	Namespace string // "" if the object has none
	Scope     string
	Release   string // as far as the object knows

	pod         map[string]any // the values that follow from the Pod's template
	deployments places         // of the controllers of Scope
	watches     places         // what these watch, unless one watches all
	watchesAll  bool
	sets        places // of the AutoscalingRunnerSets
	managers    places // of the controllers that these belong to
}

// places are namespaces, sorted, each once. "" is that of an object which has none,
// and so is installed into the release's.
type places []string

func (p *places) add(namespaces ...string) {
	all := append(slices.Clone(*p), namespaces...)
	slices.Sort(all)
	*p = slices.Compact(all)
}

// in are the places of a release in a namespace.
func (p places) in(namespace string) (out places) {
	for _, place := range p {
		out.add(cmp.Or(place, namespace))
	}
	return out
}

// Namespaces are those in which the stream has controllers and scale sets, each
// once. The release's is one of them, unless ARC's charts were told another
// (namespaceOverride).
func (a *Anchor) Namespaces() []string {
	var all places
	all.add(slices.Concat(a.deployments, a.sets)...)
	return slices.DeleteFunc(all, func(namespace string) bool { return namespace == "" })
}

// In returns the values of the chart arc-cleanup that follow from the stream, for a
// release in a namespace. What the chart does by itself is left to it.
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
	// A scale set beside a controller that does not watch its namespace.
	runners := slices.Clone(a.watches)
	runners.add(sets...)
	if a.Scope == Controller && len(runners) > len(a.watches) {
		out["runnerNamespaces"] = []string(runners)
	}
	return out
}

// wholeBelow is the size, several times that of ARC's own charts, below which Find parses every document
// of a stream and so reports broken YAML in each. In a larger stream it parses only what may be of ARC:
// Helm reports broken YAML itself, before and after a post-renderer, and parsing takes 100 times as long
// as searching for words.
const wholeBelow = 64 << 10

// maxDocument limits a document that Find parses. No object of Kubernetes is larger: etcd stores 1.5 MiB
// at most. A stream may be a Helm record that a tenant has written, and a parser takes a hundred times
// the memory of its input.
const maxDocument = 2 << 20

// Find searches a stream for the anchor, and for a hook of arc-cleanup that is there already. A controller
// is preferred to a legacy controller, and both to a scale set. A document that Find parses and that is
// not valid YAML is a *manifest.SyntaxError.
func Find(stream []byte) (found *Anchor, hooked bool, err error) {
	var s search
	whole := len(stream) <= wholeBelow
	for d := range manifest.Documents(stream) {
		if !whole && !mayMatter(d) {
			continue
		}
		if len(d.Bytes()) > maxDocument {
			return nil, false, fmt.Errorf("the document in line %d may be an object of ARC and is larger than %d MiB", d.Line(), maxDocument>>20)
		}
		root, err := d.Parse()
		if err != nil {
			return nil, false, err
		}
		for _, o := range root.Items() {
			if err := s.see(d, root, o); err != nil {
				return nil, false, err
			}
		}
	}
	return s.found(), s.hooked, nil
}

// mayMatter reports whether a document may hold an object that Find looks for. It decides by words, which
// Helm and all other renderers write as they are: it misses a document that spells them with escapes.
func mayMatter(d manifest.Document) bool {
	return d.Contains(arc.AutoscalingRunnerSet, arc.Group+"/") ||
		d.Contains("RoleBinding", "-manager", arc.CleanupProtectionFinalizer) ||
		d.Contains("Job", hook.Annotation, hook.Name) ||
		d.Contains("Deployment") && (d.Contains("enroller", hook.Name) ||
			d.Contains("auto-scaling-runner-set-only") || d.Contains(arc.LabelControllerAccount) ||
			d.Contains("/manager", "actions-runner-controller-"))
}

// A search collects what Find finds.
type search struct {
	hooked                       bool // a hook of arc-cleanup is in the stream
	controller, legacy, scaleSet *Anchor
	sets, managers               places
}

// see takes note of one object of a document.
func (s *search) see(d manifest.Document, root, o manifest.Object) (err error) {
	switch namespace := managerNamespace(o); {
	case isHook(o):
		s.hooked = true
	case namespace != "":
		s.managers.add(namespace)
	case isScaleSet(o):
		s.sets.add(o.Namespace())
		err = s.take(&s.scaleSet, d, root, o, ScaleSet)
	case o.Kind() == "Deployment":
		containers := containers(o)
		if watches, is := arc.Controller(o.Labels(), containers); is {
			return s.takeController(&s.controller, d, root, o, Controller, watches)
		}
		if watches, is := arc.LegacyController(o.Labels(), containers); is && arc.IsLegacyChart(o.Labels()) {
			return s.takeController(&s.legacy, d, root, o, Legacy, slices.DeleteFunc([]string{watches}, isNone))
		}
	}
	return err
}

func isNone(namespace string) bool { return namespace == "" }

// take makes the object the anchor of its scope, unless there is one.
func (s *search) take(a **Anchor, d manifest.Document, root, o manifest.Object, scope string) (err error) {
	if *a == nil {
		*a, err = newAnchor(d, root, o, scope)
	}
	return err
}

// takeController notes a controller, and which namespaces it watches; none is all.
func (s *search) takeController(a **Anchor, d manifest.Document, root, o manifest.Object, scope string, watches []string) error {
	if err := s.take(a, d, root, o, scope); err != nil {
		return err
	}
	(*a).deployments.add(o.Namespace())
	(*a).watches.add(watches...)
	(*a).watchesAll = (*a).watchesAll || len(watches) == 0
	return nil
}

// found returns the anchor, or nil if there is none.
func (s *search) found() *Anchor {
	a := cmp.Or(s.controller, s.legacy, s.scaleSet)
	if a != nil {
		a.sets, a.managers = s.sets, s.managers
	}
	return a
}

// containers are those of a Deployment. What cannot be read is none.
func containers(o manifest.Object) (out []arc.Container) {
	if o.Decode(&out, "spec", "template", "spec", "containers") != nil {
		return nil
	}
	return out
}

func isScaleSet(o manifest.Object) bool {
	return o.Kind() == arc.AutoscalingRunnerSet && strings.HasPrefix(o.APIVersion(), arc.Group+"/")
}

// isHook reports whether an object is the hook itself, added before or brought
// along by the chart as a dependency, or what enrols it.
func isHook(o manifest.Object) bool {
	return hook.IsOurs(o.Labels(), o.Annotations()) || hook.IsEnroller(o.Labels())
}

// podSpec is what the hook's Pod takes over.
type podSpec struct {
	Tolerations       []any          `yaml:"tolerations"`
	NodeSelector      map[string]any `yaml:"nodeSelector"`
	Affinity          map[string]any `yaml:"affinity"`
	PriorityClassName string         `yaml:"priorityClassName"`
	ImagePullSecrets  []any          `yaml:"imagePullSecrets"`
}

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

// podSpecAt decodes the Pod spec at a path of an object, if there is one. Of a Pod for
// another operating system nothing is taken.
func podSpecAt(o manifest.Object, path ...string) (podSpec, error) {
	var (
		spec   podSpec
		system systemSpec
	)
	if err := o.Decode(&system, path...); err != nil || system.apart() {
		return spec, err
	}
	err := o.Decode(&spec, path...)
	return spec, err
}

// newAnchor reads what the hook has to know from the anchor.
func newAnchor(d manifest.Document, root, o manifest.Object, scope string) (*Anchor, error) {
	a := &Anchor{
		Document: d, Root: root, Scope: scope,
		Kind: o.Kind(), Name: o.Name(), Namespace: o.Namespace(),
	}
	var spec podSpec
	var err error
	if scope == Controller || scope == Legacy {
		a.Release = o.Labels()[arc.LabelInstance]
		spec, err = podSpecAt(o, "spec", "template", "spec")
	} else {
		a.Release = a.Name
		spec, err = scaleSetPodSpec(o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the Pod template cannot be read: %w", a, err)
	}
	a.pod = spec.values()
	return a, nil
}

// scaleSetPodSpec decides where a scale set's hook runs. The listener is, like
// the hook, a small Pod of infrastructure, so its template is followed. The
// runners' template often asks for special nodes (GPU, spot, Windows), which
// an uninstall must not wait for; only what widens the choice is taken from it:
// tolerations, when the listener has none, and the pull secrets, because those
// of the listener are in the controller's namespace, out of reach.
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

// managerNamespace returns the namespace of ARC's controller, if the object is
// the RoleBinding that gives the controller its rights in the runners'
// namespace: "<name>-manager", or "-manager-role" in the experimental charts
// (charts/gha-runner-scale-set*/templates/manager_role_binding.yaml). Other programs
// have such names too; ARC's finalizer is on its own alone.
func managerNamespace(o manifest.Object) string {
	if o.Kind() != "RoleBinding" || !arc.IsManager(o.Name()) {
		return ""
	}
	var finalizers []string
	if o.Decode(&finalizers, "metadata", "finalizers") != nil || !slices.Contains(finalizers, arc.CleanupProtectionFinalizer) {
		return ""
	}
	var subjects []struct{ Namespace string }
	if o.Decode(&subjects, "subjects") != nil || len(subjects) == 0 {
		return ""
	}
	return subjects[0].Namespace
}

func (a *Anchor) String() string {
	if a.Namespace == "" {
		return a.Kind + " " + a.Name
	}
	return a.Kind + " " + a.Namespace + "/" + a.Name
}
