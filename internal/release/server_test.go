package release

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	helm3 "helm.sh/helm/v3/pkg/release"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// server is an API server that holds Secrets and ConfigMaps. It selects, pages and
// refuses stale writes as the real one does.
type server struct {
	*testing.T
	mu      sync.Mutex
	objects []*unstructured.Unstructured
	// fail answers requests for these paths ("secrets", "secrets/NAME") with a code.
	fail map[string]int
	// before runs once, before a write: another writer was faster.
	before func(*server)
	// page is how many objects a list holds at most, whatever is asked for.
	page   int
	reads  int // of single objects
	writes int
	lists  []string // the queries of lists
}

func serve(t *testing.T, objects ...*unstructured.Unstructured) (*server, *kube.Client) {
	t.Helper()
	s := &server{T: t, objects: objects, page: 3}
	http := httptest.NewServer(s)
	t.Cleanup(http.Close)
	c, err := kube.New(&rest.Config{Host: http.URL})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := func(code int, body any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	}
	fail := func(code int) {
		reason := map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound, 409: metav1.StatusReasonConflict}[code]
		answer(code, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason})
	}
	path, namespace := strings.TrimPrefix(r.URL.Path, "/api/v1/"), ""
	if rest, ok := strings.CutPrefix(path, "namespaces/"); ok {
		namespace, path, _ = strings.Cut(rest, "/")
	}
	if code := s.fail[path]; code != 0 {
		fail(code)
		return
	}
	resource, name, one := strings.Cut(path, "/")
	if !one {
		s.list(answer, r, resource, namespace)
		return
	}
	if r.Method == http.MethodPut && s.before != nil {
		before := s.before
		s.before = nil
		before(s)
	}
	i := slices.IndexFunc(s.objects, func(o *unstructured.Unstructured) bool {
		return resource == resourceOf(o) && o.GetNamespace() == namespace && o.GetName() == name
	})
	switch {
	case i < 0:
		fail(http.StatusNotFound)
	case r.Method == http.MethodGet:
		s.reads++
		answer(http.StatusOK, s.objects[i])
	case r.Method == http.MethodPut:
		o := &unstructured.Unstructured{}
		if err := json.NewDecoder(r.Body).Decode(o); err != nil {
			s.Errorf("a write that is no JSON: %v", err)
		}
		if o.GetResourceVersion() != s.objects[i].GetResourceVersion() {
			fail(http.StatusConflict)
			return
		}
		o.SetResourceVersion(o.GetResourceVersion() + "1")
		s.objects[i] = o
		s.writes++
		answer(http.StatusOK, o)
	default:
		s.Errorf("%s %s", r.Method, r.URL)
	}
}

func resourceOf(o *unstructured.Unstructured) string { return strings.ToLower(o.GetKind()) + "s" }

// list answers with the metadata alone, as it is asked for.
func (s *server) list(answer func(int, any), r *http.Request, resource, namespace string) {
	query := r.URL.Query()
	s.lists = append(s.lists, resource+" "+namespace+" "+query.Get("labelSelector")+" "+query.Get("fieldSelector"))
	byLabels, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		s.Errorf("%s: %v", r.URL, err)
		return
	}
	byFields, err := fields.ParseSelector(query.Get("fieldSelector"))
	if err != nil {
		s.Errorf("%s: %v", r.URL, err)
		return
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	if limit == 0 {
		s.Errorf("%s: a list without a limit", r.URL)
	}
	first, _ := strconv.Atoi(query.Get("continue"))
	var items []any
	more := ""
	for i, o := range s.objects {
		kind, _, _ := unstructured.NestedString(o.Object, "type")
		if i < first || resource != resourceOf(o) || namespace != "" && namespace != o.GetNamespace() ||
			!byLabels.Matches(labels.Set(o.GetLabels())) || !byFields.Matches(fields.Set{"type": kind}) {
			continue
		}
		if len(items) == min(limit, s.page) {
			more = strconv.Itoa(i)
			break
		}
		items = append(items, map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o.Object["metadata"]})
	}
	answer(http.StatusOK, map[string]any{
		"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
		"metadata": map[string]any{"continue": more}, "items": items,
	})
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
