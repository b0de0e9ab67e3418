// Package release reads Helm's own record of a release, and edits the hooks in it. The record is the
// Secret or ConfigMap sh.helm.release.v1.<name>.v<revision>, in a format that Helm 3 and Helm 4 share
// (helm.sh/helm pkg/storage/driver).
//
// A record counts only for the place where it is stored. Its name and revision have to be the same in the
// object's name, in its labels and in the record; so does the namespace, unless the caller names another
// one as the storage. Other objects with Helm's labels are skipped, as if they did not exist.
//
// Helm's storage SDK is not used. It links every typed client of Kubernetes, which makes the image 7 MB
// larger.
package release

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Place is the namespace of a release, and the namespace of its record; "" means the release's.
type Place struct{ Namespace, Storage string }

func (p Place) storage() string { return cmp.Or(p.Storage, p.Namespace) }

// secretType and namePrefix have the version of the only format
// (helm.sh/helm pkg/storage/storage.go, pkg/storage/driver/secrets.go).
const (
	secretType = "helm.sh/release.v1"
	namePrefix = "sh.helm.release.v1."
)

// ErrNotFound is returned if no revision matches.
var ErrNotFound = errors.New("no Helm release found")

// ErrAmbiguous is returned if several releases match and only one can be meant.
var ErrAmbiguous = errors.New("more than one Helm release")

// ErrUnreadable is returned for a record with Helm's name and type whose content is too large or not in
// Helm's format.
var ErrUnreadable = errors.New("not in Helm's format")

// errForeign is an object that is named like a record of one release and holds something else.
var errForeign = errors.New("not a record of the release it is named after")

// Get returns the newest revision of a release, without its texts. The error wraps ErrNotFound if neither Secrets nor
// ConfigMaps hold one.
func Get(ctx context.Context, c *kube.Client, at Place, name string) (*helm.Record, error) {
	all, err := histories(ctx, c, at.storage(), name, storage...)
	if err != nil {
		return nil, err
	}
	var others []string
	for _, h := range all {
		r, _, err := h.newest(ctx, c)
		switch {
		case isNone(err):
		case err != nil:
			return nil, err
		case r.Namespace != at.Namespace:
			others = append(others, r.Namespace)
		default:
			r.Shrink()
			return r, nil
		}
	}
	err = fmt.Errorf("%w: %q in namespace %q", ErrNotFound, name, at.Namespace)
	if at.storage() != at.Namespace {
		err = fmt.Errorf("%w, stored in namespace %q", err, at.storage())
	}
	if len(others) > 0 {
		err = fmt.Errorf("%w; the record of that name is of a release in namespace %q", err, others[0])
	}
	return nil, err
}

// ByHookJob returns the release whose newest revision has a hook Job of that name. A rollback copies the
// hooks of an older revision, so neither the release's name nor the revision is known when the hook is
// rendered, but the Job's own name is. If several releases match, one that is being uninstalled wins. Two
// that are being uninstalled are ErrAmbiguous. The error wraps ErrNotFound if there is none.
func ByHookJob(ctx context.Context, c *kube.Client, at Place, job string) (*helm.Record, error) {
	all, err := WithHookJob(ctx, c, at, job)
	if err != nil {
		return nil, err
	}
	var uninstalling []*helm.Record
	var names []string
	for _, r := range all {
		if r.Status == helm.Uninstalling {
			uninstalling = append(uninstalling, r)
			names = append(names, fmt.Sprintf("%s (%s)", r.Name, r.Storage[len(r.Storage)-1]))
		}
	}
	switch {
	case len(uninstalling) > 1:
		return nil, fmt.Errorf("%w: %s are being uninstalled in namespace %q, and each has a hook Job %q",
			ErrAmbiguous, strings.Join(names, " and "), at.Namespace, job)
	case len(uninstalling) == 1:
		return uninstalling[0], nil
	case len(all) > 0:
		return all[0], nil
	case at.storage() != at.Namespace:
		return nil, fmt.Errorf("%w: none in namespace %q, stored in namespace %q, has a hook Job %q",
			ErrNotFound, at.Namespace, at.storage(), job)
	}
	return nil, fmt.Errorf("%w: none in namespace %q has a hook Job %q", ErrNotFound, at.Namespace, job)
}

// WithHookJob returns all releases whose newest revision has a hook Job of that name, without texts. A record that cannot
// be understood is an error if its release is being uninstalled: it may be another match. All other such
// records are skipped: they must not block an uninstall.
func WithHookJob(ctx context.Context, c *kube.Client, at Place, job string) ([]*helm.Record, error) {
	all, err := histories(ctx, c, at.storage(), "", storage...)
	if err != nil {
		return nil, err
	}
	var found []*helm.Record
	for _, h := range all {
		r, _, err := h.newest(ctx, c)
		switch {
		case isNone(err):
		case errors.Is(err, ErrUnreadable) && h[0].status != helm.Uninstalling:
		case err != nil:
			return nil, err
		case r.Namespace == at.Namespace && slices.Contains(r.HookJobs, job):
			r.Shrink()
			found = append(found, r)
		}
	}
	return found, nil
}

// Installing returns the newest revision of the release if its manifest has a matching object, else nil. It
// is for advice only: a record that cannot be read counts as one without the object.
func Installing(ctx context.Context, c *kube.Client, at Place, name string, is func(helm.Object) bool) *helm.Record {
	for _, d := range storage {
		all, err := histories(ctx, c, at.storage(), name, d)
		if err != nil {
			continue
		}
		for _, h := range all {
			r, _, err := h.newest(ctx, c)
			if err == nil && r.Namespace == at.Namespace && r.Status.Installed() && slices.ContainsFunc(r.Objects, is) {
				return r
			}
		}
	}
	return nil
}

// Each calls do for the newest revision of each release that is stored in a namespace ("" means all
// namespaces), or of the release of that name, one after the other. If a record cannot be read, do gets
// the error. A record that is gone by then is skipped.
func Each(ctx context.Context, c *kube.Client, namespace, name string, do func(*helm.Record, error)) error {
	return each(ctx, c, namespace, name, func(r *helm.Record, _ *unstructured.Unstructured, err error) { do(r, err) })
}

// each calls do with the object that holds the record, too.
func each(ctx context.Context, c *kube.Client, namespace, name string, do func(*helm.Record, *unstructured.Unstructured, error)) error {
	all, err := histories(ctx, c, namespace, name, storage...)
	if err != nil {
		return err
	}
	for _, h := range all {
		if r, o, err := h.newest(ctx, c); !isNone(err) {
			do(r, o, err)
		}
	}
	return nil
}

func isNone(err error) bool { return errors.Is(err, errForeign) || apierrors.IsNotFound(err) }

// Helm stores a record in a Secret, or in a ConfigMap with HELM_DRIVER=configmap.
var storage = []driver{
	{object.Secrets, "type=" + secretType},
	{object.ConfigMaps, ""},
}

// driver is a way to store records, in Helm's terms.
type driver struct {
	schema.GroupVersionResource
	fields string
}

// history lists where Helm keeps a release: an entry for each revision, the newest first.
type history []entry

// entry is where a revision is stored, with what its labels say.
type entry struct {
	object.Object
	revision int
	status   helm.Status
}

// histories finds the releases that are stored in a namespace ("" means all namespaces), or the release of
// that name, by the names and labels that Helm gives records.
func histories(ctx context.Context, c *kube.Client, namespace, name string, in ...driver) ([]history, error) {
	selector := labels.Set{"owner": "helm"}
	if name != "" {
		selector["name"] = name
	}
	type key struct{ driver, namespace, name string }
	found := map[key]int{}
	var out []history
	for _, s := range in {
		options := metav1.ListOptions{LabelSelector: selector.String(), FieldSelector: s.fields}
		err := c.Each(ctx, s.GroupVersionResource, namespace, options, func(o *metav1.PartialObjectMetadata) error {
			of, revision, ok := outside(o)
			if !ok || name != "" && of != name {
				return nil
			}
			e := entry{
				object.Object{Resource: s.GroupVersionResource, Namespace: o.Namespace, Name: o.Name, UID: o.UID},
				revision, helm.Status(o.Labels["status"]),
			}
			k := key{s.Resource, o.Namespace, of}
			i, seen := found[k]
			if !seen {
				i = len(out)
				found[k] = i
				out = append(out, nil)
			}
			out[i] = append(out[i], e)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, h := range out {
		slices.SortFunc(h, func(a, b entry) int { return cmp.Compare(b.revision, a.revision) })
	}
	return out, nil
}

// outside returns the release and the revision that an object's labels and name say, if Helm names and
// labels records like that.
func outside(o metav1.Object) (release string, revision int, ok bool) {
	release, version := o.GetLabels()["name"], o.GetLabels()["version"]
	revision, err := strconv.Atoi(version)
	return release, revision, err == nil && version == strconv.Itoa(revision) && release != "" &&
		o.GetName() == namePrefix+release+".v"+version
}

// newest reads the newest revision. It skips objects that turn out not to be Helm's; the error is
// errForeign if there is nothing else. It may also be ErrUnreadable, or an error of the API server, such as
// NotFound.
func (h history) newest(ctx context.Context, c *kube.Client) (*helm.Record, *unstructured.Unstructured, error) {
	for i, e := range h {
		r, o, err := e.read(ctx, c)
		if errors.Is(err, errForeign) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, e := range slices.Backward(h[i:]) {
			r.Storage = append(r.Storage, e.Object)
		}
		return r, o, nil
	}
	return nil, nil, errForeign
}

func (e entry) read(ctx context.Context, c *kube.Client) (*helm.Record, *unstructured.Unstructured, error) {
	o, err := c.Get(ctx, e.Resource, e.Namespace, e.Name)
	if err != nil {
		return nil, nil, err
	}
	r, err := decode(o)
	if err != nil {
		err = fmt.Errorf("reading the Helm record %s/%s: %w: %w", e.Namespace, e.Name, ErrUnreadable, err)
	}
	return r, o, err
}

// decode reads the record in an object. The error is errForeign if the object's name and labels contradict
// the record.
func decode(o *unstructured.Unstructured) (*helm.Record, error) {
	name, revision, ok := outside(o)
	kind, _, _ := unstructured.NestedString(o.Object, "type")
	if !ok || o.GetKind() == "Secret" && kind != secretType {
		return nil, errForeign
	}
	text, _, err := unstructured.NestedString(o.Object, "data", "release")
	data := []byte(text)
	if err == nil && o.GetKind() == "Secret" {
		data, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil {
		return nil, err
	}
	r, err := helm.Decode(data)
	if err != nil {
		return nil, err
	}
	if r.Name != name || r.Revision != revision {
		return nil, errForeign
	}
	r.StorageNamespace, r.Driver = o.GetNamespace(), strings.ToLower(o.GetKind())
	return r, nil
}
