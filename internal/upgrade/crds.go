package upgrade

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// fieldManager owns the fields of the CRDs that an upgrade has applied.
const fieldManager = "arc-cleanup-upgrade"

// packCRDs returns the saved CRDs as compressed JSON, and unpackCRDs undoes that.
func (s *Swap) packCRDs() ([]byte, error) {
	text, err := s.crds.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("the CRDs as JSON: %w", err)
	}
	return gzip.Pack(text), nil
}

func (s *Swap) unpackCRDs(data map[string][]byte) error {
	text, err := unpack(data, crdsKey)
	if err != nil {
		return err
	}
	if err := s.crds.UnmarshalJSON(text); err != nil {
		return fmt.Errorf("its key %s: %w", crdsKey, err)
	}
	return nil
}

// readCRDs reads ARC's CRDs as they are. It returns what an upgrade changes of them, in a form that kubectl
// takes.
func readCRDs(ctx context.Context, c *kube.Client) (out unstructured.UnstructuredList, err error) {
	out.SetAPIVersion("v1")
	out.SetKind("List")
	for _, name := range arc.CRDs() {
		is, err := c.Get(ctx, object.CRDs, "", name)
		if err != nil {
			return out, err
		}
		crd := unstructured.Unstructured{Object: map[string]any{"spec": is.Object["spec"]}}
		crd.SetAPIVersion(is.GetAPIVersion())
		crd.SetKind(is.GetKind())
		crd.SetName(name)
		crd.SetLabels(is.GetLabels())
		crd.SetAnnotations(is.GetAnnotations())
		out.Items = append(out.Items, crd)
	}
	return out, nil
}

// crds returns the CRDs of a chart. They have to be ARC's four, and no others.
func (h *Helm) crds(ctx context.Context, c Chart) ([]unstructured.Unstructured, error) {
	out, err := h.run(ctx, helmTime, nil, "", "show", "crds", c.path)
	if err != nil {
		return nil, err
	}
	crds, err := crdsIn(out)
	if err != nil {
		return nil, fmt.Errorf("the CRDs of the chart %s: %w", c.Ref, err)
	}
	return crds, nil
}

func crdsIn(stream []byte) (out []unstructured.Unstructured, err error) {
	for d := range manifest.Documents(stream) {
		var o map[string]any
		if err := yaml.Unmarshal(d.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("not YAML: %w", err)
		}
		if len(o) > 0 {
			out = append(out, unstructured.Unstructured{Object: o})
		}
	}
	return out, onlyARCs(out)
}

// applyCRDs applies a chart's CRDs, and waits until the API server serves them.
func (u *Upgrade) applyCRDs(ctx context.Context, c Chart) error {
	if err := c.unchanged(); err != nil {
		return err
	}
	crds, err := u.Helm.crds(ctx, c)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := u.Client.Apply(ctx, object.CRDs, &crd, fieldManager); err != nil {
			return err
		}
	}
	return u.servesAll(ctx)
}

// servesAll waits until the API server serves the CRDs, and lists every kind once.
func (u *Upgrade) servesAll(ctx context.Context) error {
	if err := u.ready(ctx); err != nil {
		return err
	}
	for _, r := range arc.Resources() {
		err := u.Client.Each(ctx, r, "", metav1.ListOptions{}, func(*metav1.PartialObjectMetadata) error { return nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreCRDs makes the CRDs what they were.
func (u *Upgrade) restoreCRDs(ctx context.Context, saved []unstructured.Unstructured) error {
	if err := onlyARCs(saved); err != nil {
		return fmt.Errorf("the CRDs in the state of the upgrade: %w", err)
	}
	for _, crd := range saved {
		now, err := u.Client.Get(ctx, object.CRDs, "", crd.GetName())
		if err != nil {
			return err
		}
		now.SetLabels(crd.GetLabels())
		now.SetAnnotations(crd.GetAnnotations())
		now.Object["spec"] = crd.Object["spec"]
		if _, err := u.Client.Update(ctx, object.CRDs, now); err != nil {
			return err
		}
	}
	return u.servesAll(ctx)
}

// onlyARCs fails unless the objects are ARC's four CRDs.
func onlyARCs(crds []unstructured.Unstructured) error {
	var names []string
	for _, crd := range crds {
		if crd.GetKind() != "CustomResourceDefinition" || crd.GetAPIVersion() != "apiextensions.k8s.io/v1" {
			return fmt.Errorf("a %s %s is among them", printable(crd.GetKind()), printable(crd.GetName()))
		}
		group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
		conversion, _, _ := unstructured.NestedString(crd.Object, "spec", "conversion", "strategy")
		if group != arc.Group || conversion != "" && conversion != "None" {
			return fmt.Errorf("the CRD %s is of the group %q and has the conversion %q", printable(crd.GetName()), printable(group), printable(conversion))
		}
		names = append(names, crd.GetName())
	}
	want := arc.CRDs()
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		return fmt.Errorf("they are %q, and ARC has %q", names, want)
	}
	return nil
}
