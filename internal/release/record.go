// Package release reads Helm's own record of a release, and edits the hooks in
// it: the Secret or ConfigMap sh.helm.release.v1.<name>.v<revision> which Helm 3
// and Helm 4 share (helm.sh/helm pkg/storage/driver).
//
// Helm's storage SDK is not used. The types of one major version drop what the
// other has written (apply_method of Helm 4), and it links every typed client of
// Kubernetes, which makes the image 7 MB larger.
package release

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// Uninstalling is the status Helm records before it creates the first
// pre-delete hook (helm.sh/helm pkg/action/uninstall.go).
const Uninstalling = "uninstalling"

// Record is what Helm's storage says of one revision of a release.
type Record struct {
	Name, Namespace string
	Revision        int
	Status          string
	Chart           Chart
	// HookJobs names the Jobs among the revision's hooks.
	HookJobs []string
	// Objects are those the revision's manifest installs, hooks apart.
	Objects []Object
	// Storage is where Helm keeps the release: an object for each revision. Only
	// All and what finds a release by its records tell.
	Storage []kube.Target
}

// Chart is the chart a revision was rendered from.
type Chart struct{ Name, Version, AppVersion string }

// Object is one object of a manifest; Namespace may be empty.
type Object struct{ APIVersion, Kind, Namespace, Name string }

// ErrNotFound is returned when no revision matches.
var ErrNotFound = errors.New("no Helm release found")

// Helm stores a record in a Secret, or in a ConfigMap with HELM_DRIVER=configmap.
var storage = []schema.GroupVersionResource{
	{Version: "v1", Resource: "secrets"},
	{Version: "v1", Resource: "configmaps"},
}

// Get returns the newest revision of a release. The error wraps ErrNotFound when
// neither Secrets nor ConfigMaps hold one.
func Get(ctx context.Context, c *kube.Client, namespace, name string) (*Record, error) {
	records, err := newest(ctx, c, namespace, "name="+name)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: %q in namespace %q", ErrNotFound, name, namespace)
	}
	return &records[0], nil
}

// ByHookJob returns the release whose newest revision has a hook Job of that
// name. A rollback copies the hooks of an older revision, so neither name nor
// revision can be known when the hook is rendered; the Job's own name can. An
// uninstalling release wins where several would match. The error wraps
// ErrNotFound when there is none.
func ByHookJob(ctx context.Context, c *kube.Client, namespace, job string) (*Record, error) {
	records, err := newest(ctx, c, namespace, "")
	if err != nil {
		return nil, err
	}
	var found *Record
	for i, r := range records {
		for _, j := range r.HookJobs {
			if j == job && (found == nil || r.Status == Uninstalling) {
				found = &records[i]
			}
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: none in namespace %q has a hook Job %q", ErrNotFound, namespace, job)
	}
	return found, nil
}

// All returns the newest revision of every release in a namespace ("" is all of
// them).
func All(ctx context.Context, c *kube.Client, namespace string) ([]Record, error) {
	return newest(ctx, c, namespace, "")
}

// newest returns the newest revision of every release in the namespace that the
// label selector admits.
func newest(ctx context.Context, c *kube.Client, namespace, selector string) ([]Record, error) {
	all, err := heads(ctx, c, namespace, selector)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, h := range all {
		s, err := h.read(ctx, c)
		switch {
		case apierrors.IsNotFound(err):
		case errors.Is(err, ErrUnreadable) && selector == "" && h.status != Uninstalling:
			// Somebody else's, whose state must not block this uninstall.
		case err != nil:
			return nil, err
		default:
			s.Storage = h.all
			records = append(records, s.Record)
		}
	}
	return records, nil
}

// serverSide is how Helm 4 says that it applied a revision on the server's side
// (helm.sh/helm/v4 pkg/release/v1/release.go). Helm 3 says nothing.
const serverSide = "ssa"

// head is where the newest revision of a release is stored, by its labels.
type head struct {
	gvr             schema.GroupVersionResource
	namespace, name string
	revision        int
	status          string
	all             []kube.Target
}

// heads finds the newest revision of every release in the namespace ("" is all
// of them) that the label selector admits.
func heads(ctx context.Context, c *kube.Client, namespace, selector string) ([]head, error) {
	owner := "owner=helm"
	if selector != "" {
		owner += "," + selector
	}
	type key struct{ driver, namespace, name string }
	found := map[key]int{}
	var out []head
	for _, gvr := range storage {
		err := c.Each(ctx, gvr, namespace, metav1.ListOptions{LabelSelector: owner}, func(o *metav1.PartialObjectMetadata) error {
			revision, err := strconv.Atoi(o.Labels["version"])
			if err != nil {
				return fmt.Errorf("%s %s/%s: label version: %w", gvr.Resource, o.Namespace, o.Name, err)
			}
			t := kube.Target{Resource: gvr, Namespace: o.Namespace, Name: o.Name, UID: o.UID}
			h := head{gvr, o.Namespace, o.Name, revision, o.Labels["status"], []kube.Target{t}}
			k := key{gvr.Resource, o.Namespace, o.Labels["name"]}
			switch i, seen := found[k]; {
			case !seen:
				found[k] = len(out)
				out = append(out, h)
			case revision > out[i].revision:
				h.all = slices.Concat(out[i].all, h.all)
				out[i] = h
			default:
				out[i].all = append(out[i].all, t)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ErrUnreadable is a record which was had, and is not in Helm's format.
var ErrUnreadable = errors.New("not in Helm's format")

// read reads the revision. The error may be one of Kubernetes, not found among
// them, or ErrUnreadable.
func (h head) read(ctx context.Context, c *kube.Client) (*Revision, error) {
	o, err := h.get(ctx, c)
	if err != nil {
		return nil, err
	}
	return h.decode(o)
}

func (h head) get(ctx context.Context, c *kube.Client) (o *unstructured.Unstructured, err error) {
	err = kube.Retry(ctx, func(ctx context.Context) error {
		o, err = c.Dynamic.Resource(h.gvr).Namespace(h.namespace).Get(ctx, h.name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the Helm record %s/%s: %w", h.namespace, h.name, err)
	}
	return o, nil
}

func (h head) decode(o *unstructured.Unstructured) (*Revision, error) {
	r, err := decode(o)
	if err != nil {
		return nil, fmt.Errorf("reading the Helm record %s/%s: %w: %w", h.namespace, h.name, ErrUnreadable, err)
	}
	r.gvr, r.object = h.gvr, o
	return r, nil
}

// decode undoes what helm.sh/helm pkg/storage/driver/util.go does: JSON, gzip,
// base64; a Secret's data is base64 once more. Only the few fields needed are
// understood, so a record of a later Helm stays readable.
func decode(o *unstructured.Unstructured) (*Revision, error) {
	data, _, err := unstructured.NestedString(o.Object, "data", "release")
	if err != nil {
		return nil, err
	}
	raw := []byte(data)
	if o.GetKind() == "Secret" {
		if raw, err = base64.StdEncoding.DecodeString(data); err != nil {
			return nil, err
		}
	}
	if raw, err = base64.StdEncoding.DecodeString(string(raw)); err != nil {
		return nil, err
	}
	// Helm 2's records were not always compressed; Helm still looks for the magic.
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b, 0x08}) {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		if raw, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	var rec struct {
		Name, Namespace string
		Version         int
		Info            struct{ Status string }
		Chart           struct{ Metadata Chart }
		Config          json.RawMessage
		Hooks           []Hook
		Manifest        string
		ApplyMethod     string `json:"apply_method"`
	}
	if err := json.Unmarshal(raw, &rec); err != nil {
		return nil, err
	}
	r := &Revision{
		Manifest: rec.Manifest, Hooks: rec.Hooks, raw: raw, Config: rec.Config,
		Driver: strings.ToLower(o.GetKind()), ServerSide: rec.ApplyMethod == serverSide,
	}
	r.Record = Record{
		Name: rec.Name, Namespace: rec.Namespace, Revision: rec.Version, Status: rec.Info.Status,
		Chart: rec.Chart.Metadata, Objects: objects(rec.Manifest),
	}
	for _, h := range rec.Hooks {
		if strings.EqualFold(h.Kind, "Job") {
			r.HookJobs = append(r.HookJobs, h.Name)
		}
	}
	return r, nil
}

// objects lists what a manifest installs, as far as it can be read: Helm has
// applied it, so what cannot is nothing that we look for.
func objects(manifest string) (out []Object) {
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for {
		document, err := documents.Read()
		if err != nil {
			return out
		}
		var o struct {
			APIVersion, Kind string
			Metadata         struct{ Namespace, Name string }
		}
		if sigsyaml.Unmarshal(document, &o) == nil && o.Kind != "" {
			out = append(out, Object{o.APIVersion, o.Kind, o.Metadata.Namespace, o.Metadata.Name})
		}
	}
}
