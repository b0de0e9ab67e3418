// Package anchor finds, among rendered manifests, the object of ARC that tells
// whose hook is wanted, and reads from it what the hook has to know.
package anchor

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// Scopes of the chart.
const (
	Controller = "controller"
	ScaleSet   = "scale-set"
)

// An Anchor is the object that tells whose hook to add: the Deployment of ARC's
// controller or, without one, an AutoscalingRunnerSet.
type Anchor struct {
	Document  manifest.Document
	Root      *yaml.RNode // of the document; a List holds the object deeper down
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
// controller wins where both it and a scale set are. What is broken in a document
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

	whole                bool // parse every document
	controller, scaleSet *Anchor
	bindings             []manifest.Document // that may tell where the scale set's controller is
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

func (s *Search) wantsObject(d manifest.Document) bool {
	return mayBe(d, hookMarks) ||
		s.controller == nil && mayBe(d, controllerMarks) ||
		s.controller == nil && s.scaleSet == nil && mayBe(d, scaleSetMarks)
}

func (s *Search) wantsBinding(d manifest.Document) bool {
	return s.controller == nil &&
		(s.scaleSet == nil || s.scaleSet.Values["controllerNamespace"] == nil) &&
		mayBe(d, managerBindingMarks)
}

func (s *Search) parse(d manifest.Document) error {
	root, err := d.Parse()
	if err != nil {
		return err
	}
	for _, o := range objects(root) {
		switch {
		case isHook(o):
			s.Hooked = true
		case s.controller == nil && isController(o):
			s.controller, err = newAnchor(d.Clone(), root, o, Controller)
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
	if s.controller != nil {
		return s.controller
	}
	return s.scaleSet
}

// Marks by which a document may be one that matters, before it is parsed. Helm
// and every other renderer of manifests writes these words as they are; a
// document that hides them behind escapes is not seen.
var (
	controllerMarks     = [][]string{{"Deployment", "gha-rs-controller"}, {"Deployment", "gha-runner-scale-set-controller"}}
	scaleSetMarks       = [][]string{{arc.AutoscalingRunnerSet, arc.Group + "/"}}
	hookMarks           = [][]string{{hook.Name, hook.Annotation}, {hook.Name, "enroller"}}
	managerBindingMarks = [][]string{{"RoleBinding", "-manager"}}
)

func mayBe(d manifest.Document, marks [][]string) bool {
	for _, m := range marks {
		if d.Contains(m...) {
			return true
		}
	}
	return false
}

// objects returns the document's object, or those of a List.
func objects(root *yaml.RNode) []*yaml.RNode {
	if root == nil || root.YNode().Kind != yaml.MappingNode {
		return nil
	}
	if strings.HasSuffix(root.GetKind(), "List") {
		if items, err := root.Pipe(yaml.Lookup("items")); err == nil && items != nil {
			if list, err := items.Elements(); err == nil {
				return list
			}
		}
	}
	return []*yaml.RNode{root}
}

func isController(o *yaml.RNode) bool {
	return o.GetKind() == "Deployment" && arc.IsControllerPartOf(o.GetLabels()[arc.LabelPartOf])
}

func isScaleSet(o *yaml.RNode) bool {
	return o.GetKind() == arc.AutoscalingRunnerSet && strings.HasPrefix(o.GetApiVersion(), arc.Group+"/")
}

// isHook reports whether an object is the hook itself, added before or brought
// along by the chart as a dependency, or what enrols it.
func isHook(o *yaml.RNode) bool {
	return hook.IsOurs(o.GetLabels(), o.GetAnnotations()) || hook.IsEnroller(o.GetLabels())
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
func podSpecAt(o *yaml.RNode, path ...string) (podSpec, error) {
	var spec podSpec
	node, err := o.Pipe(yaml.Lookup(path...))
	if err != nil || node == nil {
		return spec, err
	}
	err = node.YNode().Decode(&spec)
	return spec, err
}

// newAnchor reads what the hook has to know from the anchor.
func newAnchor(d manifest.Document, root, o *yaml.RNode, scope string) (*Anchor, error) {
	a := &Anchor{
		Document: d, Root: root, Scope: scope,
		Kind: o.GetKind(), Name: o.GetName(), Namespace: o.GetNamespace(),
	}
	var spec podSpec
	var err error
	if scope == Controller {
		a.Release = o.GetLabels()[arc.LabelInstance]
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
	if watched := o.GetLabels()[arc.LabelWatchSingleNamespace]; scope == Controller && watched != "" {
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
func scaleSetPodSpec(o *yaml.RNode) (podSpec, error) {
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
		for _, o := range objects(root) {
			if namespace := managerNamespace(o); namespace != "" && o.GetNamespace() == a.Namespace {
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
func managerNamespace(o *yaml.RNode) string {
	if o.GetKind() != "RoleBinding" || !arc.IsManager(o.GetName()) {
		return ""
	}
	subject, err := o.Pipe(yaml.Lookup("subjects", "0", "namespace"))
	if err != nil || subject == nil {
		return ""
	}
	return yaml.GetValue(subject)
}

func (a *Anchor) String() string {
	if a.Namespace == "" {
		return a.Kind + " " + a.Name
	}
	return a.Kind + " " + a.Namespace + "/" + a.Name
}
