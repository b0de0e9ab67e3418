package release

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	helm3 "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// server is an API server that holds Secrets and ConfigMaps, in lists of few a page.
type server struct {
	*testing.T
	*kubetest.Server
}

func serve(t *testing.T, objects ...*unstructured.Unstructured) (*server, *kube.Client) {
	t.Helper()
	a, c := kubetest.New(t)
	a.PageSize = 3
	s := &server{t, a}
	s.put(objects...)
	return s, c
}

func (s *server) put(objects ...*unstructured.Unstructured) {
	for _, o := range objects {
		s.Put(kubetest.Stored(o.Object)[0])
	}
}

// fail lets requests ("GET secret ns/a") fail with a code.
func (s *server) fail(codes map[string]int) {
	s.Fault = func(request string) int { return codes[request] }
}

// only is the only object that is stored.
func (s *server) only() *unstructured.Unstructured {
	s.Helper()
	refs := s.Left()
	if len(refs) != 1 {
		s.Fatalf("%q are stored", refs)
	}
	return &unstructured.Unstructured{Object: s.Get(refs[0])}
}

// read returns the reads of single objects ("GET") or of lists ("LIST") so far.
func (s *server) read(verb string) (out []string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, r := range s.Reads {
		if rest, is := strings.CutPrefix(r, verb+" "); is {
			out = append(out, rest)
		}
	}
	return out
}

// secret and configMap store a release as Helm does (helm.sh/helm
// pkg/storage/driver: newSecretsObject, newConfigMapsObject), but for what is
// changed.
func secret(r *helm3.Release, changes ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	return store("Secret", r, changes)
}

func configMap(r *helm3.Release, changes ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	return store("ConfigMap", r, changes)
}

func store(kind string, r *helm3.Release, changes []func(*unstructured.Unstructured)) *unstructured.Unstructured {
	name := fmt.Sprintf("sh.helm.release.v1.%s.v%d", r.Name, r.Version)
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": kind,
		"metadata": map[string]any{
			"name": name, "namespace": r.Namespace, "uid": name, "resourceVersion": "1",
			"labels": map[string]any{"name": r.Name, "owner": "helm", "version": strconv.Itoa(r.Version), "status": r.Info.Status.String(), "team": "a"},
		},
	}}
	if kind == "Secret" {
		o.Object["type"] = "helm.sh/release.v1"
	}
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	holding(string(raw))(o)
	for _, change := range changes {
		change(o)
	}
	return o
}

// holding puts another body into a record.
func holding(raw string) func(*unstructured.Unstructured) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(raw))
	_ = w.Close()
	return data(base64.StdEncoding.EncodeToString(b.Bytes()))
}

// data puts text under data.release, as it is stored in a ConfigMap.
func data(text string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		if o.GetKind() == "Secret" {
			text = base64.StdEncoding.EncodeToString([]byte(text))
		}
		o.Object["data"] = map[string]any{"release": text}
	}
}

// packed is what is under data.release, as it is stored in a ConfigMap.
func packed(o *unstructured.Unstructured) string {
	text, _, _ := unstructured.NestedString(o.Object, "data", "release")
	if o.GetKind() == "Secret" {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			panic(err)
		}
		text = string(raw)
	}
	return text
}

func labelled(key, value string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) { set(o, value, "metadata", "labels", key) }
}

func named(name string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) { o.SetName(name) }
}

func in(namespace string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) { o.SetNamespace(namespace) }
}

func typed(kind string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) { set(o, kind, "type") }
}

func set(o *unstructured.Unstructured, value string, path ...string) {
	if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		panic(err)
	}
}
