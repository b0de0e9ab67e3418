// Package anchor finds, among rendered manifests, the object of ARC that tells
// whose hook is wanted, and reads from it what the hook has to know.
package anchor

import (
	"cmp"
	"fmt"
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
// AutoscalingRunnerSet.
type Anchor struct {
	Document  manifest.Document
	Root      manifest.Object // of the document; a List holds the object deeper down
	Kind      string
	Name      string
	Namespace string // "" if the object has none
	Scope     string
	Release   string // as far as the object knows
	// Values are those of the chart arc-cleanup that follow from the object.
	Values map[string]any
}

// wholeBelow is the size up to which every document of a stream is parsed, and
// not only those that matter here: several times ARC's own charts. Helm reports
// broken YAML itself, before and after a post-renderer, so this is for those who
// call us in another way; it takes 100 times as long as to look for what matters.
const wholeBelow = 64 << 10

// Find goes through a stream for the anchor, and for a hook of ours. The
// controller wins where both it and a scale set are, a legacy one is in between. What is broken in a document
// that is parsed is a *manifest.SyntaxError.
func Find(stream []byte) (found *Anchor, hooked bool, err error) {
	s := Search{whole: len(stream) <= wholeBelow}
	for d := range manifest.Documents(stream) {
		if err := s.Look(d); err != nil {
			return nil, false, err
		}
	}
	return s.Found(), s.Hooked, nil
}

// A Search is what Find does, document by document. It parses those that may
// matter.
type Search struct {
	// Hooked says that a hook of ours was seen.
	Hooked bool

	whole                        bool // parse every document
	controller, legacy, scaleSet *Anchor
	bindings                     []manifest.Document // that may tell where the scale set's controller is
}

// Look takes the next document.
func (s *Search) Look(d manifest.Document) error {
	if s.wantsBinding(d) {
		s.bindings = append(s.bindings, d.Clone())
	}
	if s.whole || s.wantsObject(d) {
		if err := s.parse(d); err != nil {
			return err
		}
	}
	if s.scaleSet == nil || len(s.bindings) == 0 {
		return nil
	}
	bindings := s.bindings
	s.bindings = nil
	return s.scaleSet.findController(bindings)
}

// Wants reports whether a document may matter. What is found need not be looked
// for again: a large stream may hold thousands of scale sets.
func (s *Search) Wants(d manifest.Document) bool { return s.wantsObject(d) || s.wantsBinding(d) }

// wantsObject knows by its words a document that may matter, before it is parsed: of a
// hook of ours the Job, of what enrols one the Deployment. Helm and every other renderer
// of manifests writes them as they are; a document that hides them behind escapes is
// not seen. The word with the rarest first letter comes first: that it is not there is
// found out at the speed of memory, and this is most of what a large stream takes.
func (s *Search) wantsObject(d manifest.Document) bool {
	return d.Contains("Job", hook.Annotation, hook.Name) ||
		s.controller == nil && s.scaleSet == nil && d.Contains(arc.AutoscalingRunnerSet, arc.Group+"/") ||
		d.Contains("Deployment") && (d.Contains("enroller", hook.Name) ||
			s.controller == nil && d.Contains("gha-r") || // gha-rs-controller, gha-runner-scale-set-controller
			s.controller == nil && s.legacy == nil && d.Contains("/manager", "actions-runner-controller-"))
}

func (s *Search) wantsBinding(d manifest.Document) bool {
	return s.controller == nil &&
		(s.scaleSet == nil || s.scaleSet.Values["controllerNamespace"] == nil) &&
		d.Contains("RoleBinding", "-manager")
}

func (s *Search) parse(d manifest.Document) error {
	root, err := d.Parse()
	if err != nil {
		return err
	}
	for _, o := range root.Items() {
		switch {
		case isHook(o):
			s.Hooked = true
		case s.controller == nil && isController(o):
			s.controller, err = newAnchor(d.Clone(), root, o, Controller)
		case s.legacy == nil && isLegacy(o):
			s.legacy, err = newAnchor(d.Clone(), root, o, Legacy)
		case s.scaleSet == nil && isScaleSet(o):
			s.scaleSet, err = newAnchor(d.Clone(), root, o, ScaleSet)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Found returns the anchor, or nil if there is none.
func (s *Search) Found() *Anchor {
	return cmp.Or(s.controller, s.legacy, s.scaleSet)
}

func isController(o manifest.Object) bool {
	return o.Kind() == "Deployment" && arc.IsControllerPartOf(o.Labels()[arc.LabelPartOf])
}

// isLegacy reports whether an object is the Deployment of the legacy controller, as
// its chart installs it.
func isLegacy(o manifest.Object) bool {
	_, is := legacyController(o)
	return is && arc.IsLegacyChart(o.Labels())
}

// legacyController asks whether a Deployment is of the legacy controller, and which
// namespace it watches. What cannot be read is none.
func legacyController(o manifest.Object) (watches string, is bool) {
	if o.Kind() != "Deployment" {
		return "", false
	}
	var containers []arc.Container
	if node := o.Lookup("spec", "template", "spec", "containers"); node == nil || node.Decode(&containers) != nil {
		return "", false
	}
	return arc.LegacyController(o.Labels(), containers)
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

// podSpecAt decodes the Pod spec at a path of an object, if there is one.
func podSpecAt(o manifest.Object, path ...string) (spec podSpec, err error) {
	if node := o.Lookup(path...); node != nil {
		err = node.Decode(&spec)
	}
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
	a.Values = spec.values()
	a.Values["scope"] = scope
	if watched := o.Labels()[arc.LabelWatchSingleNamespace]; scope == Controller && watched != "" {
		a.Values["watchNamespace"] = watched
	}
	if watched, _ := legacyController(o); scope == Legacy && watched != "" {
		a.Values["watchNamespace"] = watched
	}
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

// findController looks in the documents for the namespace of the controller
// which this scale set belongs to.
func (a *Anchor) findController(bindings []manifest.Document) error {
	for _, d := range bindings {
		root, err := d.Parse()
		if err != nil {
			return err
		}
		for _, o := range root.Items() {
			if namespace := managerNamespace(o); namespace != "" && o.Namespace() == a.Namespace {
				a.Values["controllerNamespace"] = namespace
				return nil
			}
		}
	}
	return nil
}

// managerNamespace returns the namespace of ARC's controller, if the object is
// the RoleBinding that gives the controller its rights in the runners'
// namespace: "<name>-manager", or "-manager-role" in the experimental charts
// (charts/gha-runner-scale-set*/templates/manager_role_binding.yaml).
func managerNamespace(o manifest.Object) string {
	if o.Kind() != "RoleBinding" || !arc.IsManager(o.Name()) {
		return ""
	}
	var subjects []struct{ Namespace string }
	if node := o.Lookup("subjects"); node == nil || node.Decode(&subjects) != nil || len(subjects) == 0 {
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
