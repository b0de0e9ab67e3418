package postrender

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

const hookAnnotation = "helm.sh/hook"

// Scopes of the chart.
const (
	scopeController = "controller"
	scopeScaleSet   = "scale-set"
	scopeLegacy     = "legacy"
)

// An anchor is the object that tells whose hook to add: the Deployment of ARC's
// controller or, without one, of the legacy controller or, without that, an
// AutoscalingRunnerSet.
type anchor struct {
	document  manifest.Document
	root      *yaml.RNode // of the document; a List holds the object deeper down
	kind      string
	name      string
	namespace string // "" if the object has none
	scope     string
	release   string // as far as the object knows
	values    map[string]any
}

// Marks by which a document may be one that matters, before it is parsed. Helm
// and every other renderer of manifests writes these words as they are; a
// document that hides them behind escapes is not seen.
var (
	controllerMarks     = [][]string{{"Deployment", "gha-rs-controller"}, {"Deployment", "gha-runner-scale-set-controller"}}
	legacyMarks         = [][]string{{"Deployment", "actions-runner-controller-", "/manager"}}
	scaleSetMarks       = [][]string{{arc.AutoscalingRunnerSet, arc.Group + "/"}}
	hookMarks           = [][]string{{hook.Name, hookAnnotation}}
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

// isLegacy reports whether an object is the Deployment of the legacy controller, as
// its chart installs it.
func isLegacy(o *yaml.RNode) bool {
	_, is := legacyController(o)
	return is && arc.IsLegacyChart(o.GetLabels())
}

// legacyController asks whether a Deployment is of the legacy controller, and which
// namespace it watches. What cannot be read is none.
func legacyController(o *yaml.RNode) (watches string, is bool) {
	if o.GetKind() != "Deployment" {
		return "", false
	}
	node, err := o.Pipe(yaml.Lookup("spec", "template", "spec", "containers"))
	if err != nil || node == nil {
		return "", false
	}
	var containers []arc.Container
	if err := node.YNode().Decode(&containers); err != nil {
		return "", false
	}
	return arc.LegacyController(o.GetLabels(), containers)
}

func isScaleSet(o *yaml.RNode) bool {
	return o.GetKind() == arc.AutoscalingRunnerSet && strings.HasPrefix(o.GetApiVersion(), arc.Group+"/")
}

// isHook reports whether an object is the hook itself, added before or brought
// along by the chart as a dependency.
func isHook(o *yaml.RNode) bool {
	return o.GetLabels()[hook.LabelName] == hook.Name && o.GetAnnotations()[hookAnnotation] != ""
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
func newAnchor(d manifest.Document, root, o *yaml.RNode, scope string) (*anchor, error) {
	a := &anchor{
		document: d, root: root, scope: scope,
		kind: o.GetKind(), name: o.GetName(), namespace: o.GetNamespace(),
	}
	var spec podSpec
	var err error
	if scope == scopeController || scope == scopeLegacy {
		a.release = o.GetLabels()[arc.LabelInstance]
		spec, err = podSpecAt(o, "spec", "template", "spec")
	} else {
		a.release = a.name
		spec, err = scaleSetPodSpec(o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the Pod template cannot be read: %w", a, err)
	}
	a.values = spec.values()
	a.values["scope"] = scope
	if watched := o.GetLabels()[arc.LabelWatchSingleNamespace]; scope == scopeController && watched != "" {
		a.values["watchNamespace"] = watched
	}
	if watched, _ := legacyController(o); scope == scopeLegacy && watched != "" {
		a.values["watchNamespace"] = watched
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
func (a *anchor) findController(bindings []manifest.Document) error {
	for _, d := range bindings {
		root, err := d.Parse()
		if err != nil {
			return err
		}
		for _, o := range objects(root) {
			if namespace := managerNamespace(o); namespace != "" && o.GetNamespace() == a.namespace {
				a.values["controllerNamespace"] = namespace
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

func (a *anchor) String() string {
	if a.namespace == "" {
		return a.kind + " " + a.name
	}
	return a.kind + " " + a.namespace + "/" + a.name
}
