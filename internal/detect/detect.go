// Package detect finds ARC in a stream of rendered manifests: Search looks for its controller, a scale
// set, or a hook that is there already. It reads from them what the hook needs.
// arc/controller.go and arc/legacy.go say by which flags and labels a Deployment is a controller of ARC.
package detect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// wholeBelow is the size, several times that of ARC's own charts, below which Search parses every document
// of a stream and so reports broken YAML in each. In a larger stream it parses only what may be of ARC:
// Helm reports broken YAML itself, before and after a post-renderer, and parsing takes 100 times as long
// as searching for words.
const wholeBelow = 64 << 10

// maxDocument limits a document that Search parses. No object of Kubernetes is larger: etcd stores 1.5 MiB
// at most. A stream may be a Helm record that a tenant has written, and a parser takes a hundred times
// the memory of its input.
const maxDocument = 2 << 20

// maxRecord limits how much of a Helm record Find parses. A tenant can write any number of records, and
// status reads each: without this limit, one of a few kilobytes (16 MiB of small documents, compressed)
// takes seconds.
const maxRecord = 2 << 20

// fewNodes is how many nodes more than bytes a stream may have, since a short alias may stand for a long text.
const fewNodes = 100_000

// Find is Search in the manifest of a Helm record, or in what Helm renders from one: a tenant may have
// written it. It parses maxRecord at most.
func Find(stream []byte) (found *Anchor, hooked bool, err error) {
	return Search(stream, maxRecord)
}

// Search searches a stream for the anchor, and for a hook of arc-cleanup that is there already. It is an
// error if more than limit bytes may be of ARC. A document that Search parses and that is not valid YAML is
// a *manifest.SyntaxError.
func Search(stream []byte, limit int) (found *Anchor, hooked bool, err error) {
	var s search
	whole, parsed, nodes := len(stream) <= wholeBelow, 0, 0
	for d := range manifest.Documents(stream) {
		if !whole && !mayMatter(d) {
			continue
		}
		if len(d.Bytes()) > maxDocument {
			return nil, false, fmt.Errorf("the document in line %d may be an object of ARC and is larger than %d MiB", d.Line(), maxDocument>>20)
		}
		if parsed += len(d.Bytes()); parsed > limit {
			return nil, false, fmt.Errorf("more than %d MiB of it may be objects of ARC", limit>>20)
		}
		root, err := d.Parse()
		if err != nil {
			return nil, false, err
		}
		for _, o := range root.Items() {
			// Without aliases a document has fewer nodes than bytes. With aliases, a few kilobytes can stand for billions of nodes.
			if nodes += o.Size(parsed + fewNodes); nodes >= parsed+fewNodes {
				return nil, false, fmt.Errorf("the document in line %d: its aliases stand for more than the document may have", d.Line())
			}
			if err := s.see(d, root, o); err != nil {
				return nil, false, err
			}
		}
	}
	return s.found(), s.hooked, nil
}

// mayMatter reports whether a document may have an object that Search looks for. It decides by words, which
// Helm and all other renderers write as they are: it misses a document that spells them with escapes.
func mayMatter(d manifest.Document) bool {
	return d.Contains(arc.AutoscalingRunnerSet, arc.Group+"/") ||
		d.Contains("RoleBinding", "-manager", arc.CleanupProtectionFinalizer) ||
		d.Contains("Job", helm.AnnotationHook, chart.Name) ||
		d.Contains("Deployment") && (d.Contains("enroller", chart.Name) ||
			d.Contains("auto-scaling-runner-set-only") || d.Contains(arc.LabelControllerAccount) ||
			d.Contains("/manager", "actions-runner-controller-"))
}

// A search collects what Search finds.
type search struct {
	hooked                       bool // a hook of arc-cleanup is in the stream
	controller, legacy, scaleSet *Anchor
	sets, managers               places
}

// see takes note of one object of a document.
func (s *search) see(d manifest.Document, root, o manifest.Object) error {
	switch namespace := managerNamespace(o); {
	case chart.IsOurs(o.Labels(), o.Annotations()), chart.IsEnroller(o.Labels()):
		s.hooked = true
	case namespace != "":
		s.managers.add(namespace)
	case arc.IsScaleSet(o.APIVersion(), o.Kind()):
		s.sets.add(o.Namespace())
		return take(&s.scaleSet, d, root, o, ScaleSet)
	case o.Kind() == "Deployment":
		containers := containers(o)
		if watches, is := arc.Controller(o.Labels(), containers); is {
			return takeController(&s.controller, d, root, o, Controller, watches)
		}
		if watches, is := arc.LegacyController(o.Labels(), containers); is && arc.IsLegacyChart(o.Labels()) {
			return takeController(&s.legacy, d, root, o, Legacy, slices.DeleteFunc([]string{watches}, isNone))
		}
	}
	return nil
}

// take makes the object the anchor of its scope, unless there is one.
func take(a **Anchor, d manifest.Document, root, o manifest.Object, scope string) (err error) {
	if *a == nil {
		*a, err = newAnchor(d, root, o, scope)
	}
	return err
}

// takeController does the same for a controller, and notes which namespaces it watches: without any, all.
func takeController(a **Anchor, d manifest.Document, root, o manifest.Object, scope string, watches []string) error {
	if err := take(a, d, root, o, scope); err != nil {
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

// containers returns the containers of a Deployment, or none if they cannot be read: such a Deployment is
// not ARC's.
func containers(o manifest.Object) (out []arc.Container) {
	if o.Decode(&out, "spec", "template", "spec", "containers") != nil {
		return nil
	}
	return out
}

// managerNamespace returns the namespace of ARC's controller if the object is the RoleBinding that gives
// the controller its rights in the runners' namespace: "<name>-manager", or "-manager-role" in the
// experimental charts (charts/gha-runner-scale-set*/templates/manager_role_binding.yaml). Other programs
// use such names too, but only ARC's RoleBinding has ARC's finalizer.
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
