package upgrade

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// api is an API server in memory: objects by path, with UIDs, resourceVersions and
// selectors, without finalizers.
type api struct {
	mu      sync.Mutex
	version int
	objects map[string]map[string]any
	watched map[chan map[string]any]string
	writes  []string
	// fault may answer a request ("PUT /api/v1/...") instead.
	fault func(request string) int
	// may holds the ServiceAccounts ("ns:name") with a controller's rights.
	may map[string]bool
	// reviews counts the questions for such rights.
	reviews int
}

// kubeObject is a Kubernetes object, as a test has it.
type kubeObject = map[string]any

func newAPI(t *testing.T, objects ...kubeObject) (*api, *kube.Client) {
	t.Helper()
	a := &api{objects: map[string]map[string]any{}, watched: map[chan map[string]any]string{}, may: map[string]bool{"arc-systems:arc": true}}
	for _, o := range objects {
		a.put(o)
	}
	server := httptest.NewServer(a)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

var plurals = map[string]string{
	"Lease":  "apis/coordination.k8s.io/v1/leases",
	"Secret": "api/v1/secrets", "ConfigMap": "api/v1/configmaps", "Pod": "api/v1/pods", "Namespace": "api/v1/namespaces",
	"Deployment":               "apis/apps/v1/deployments",
	"AutoscalingListener":      "apis/actions.github.com/v1alpha1/autoscalinglisteners",
	"AutoscalingRunnerSet":     "apis/actions.github.com/v1alpha1/autoscalingrunnersets",
	"CustomResourceDefinition": "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}

var known = map[string]bool{}

func init() {
	for _, plural := range plurals {
		known["/"+plural] = true
	}
}

func metadata(o kubeObject) map[string]any { return o["metadata"].(map[string]any) }

// pathOf is where an object is served.
func pathOf(o kubeObject) string {
	plural := plurals[o["kind"].(string)]
	i := strings.LastIndex(plural, "/")
	m := metadata(o)
	if namespace, _ := m["namespace"].(string); namespace != "" {
		return fmt.Sprintf("/%s/namespaces/%s%s/%s", plural[:i], namespace, plural[i:], m["name"])
	}
	return fmt.Sprintf("/%s/%s", plural, m["name"])
}

func (a *api) put(o kubeObject) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set(pathOf(o), o)
}

// set stores an object; with the lock.
func (a *api) set(path string, o kubeObject) {
	a.version++
	m := metadata(o)
	if m["uid"] == nil {
		m["uid"] = fmt.Sprintf("uid-%d", a.version)
	}
	m["resourceVersion"] = fmt.Sprint(a.version)
	a.objects[path] = o
	a.tell("ADDED", path, o)
}

func (a *api) take(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.objects[path]
	delete(a.objects, path)
	a.tell("DELETED", path, o)
}

func (a *api) tell(event, path string, o kubeObject) {
	for stream, list := range a.watched {
		if listOf(path) == list {
			stream <- map[string]any{"type": event, "object": partial(o)}
		}
	}
}

func (a *api) get(o kubeObject) kubeObject {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objects[pathOf(o)]
}

// listOf is the list that holds a path's object.
func listOf(path string) string { return path[:strings.LastIndex(path, "/")] }

// everywhere is the list in all namespaces.
var inNamespace = regexp.MustCompile(`/namespaces/[^/]+/`)

func everywhere(list string) string { return inNamespace.ReplaceAllString(list, "/") }

func partial(o kubeObject) map[string]any {
	return map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": o["metadata"]}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	request := r.Method + " " + r.URL.Path
	if a.fault != nil {
		if code := a.fault(request); code != 0 {
			answer(w, code, nil)
			return
		}
	}
	if r.URL.Query().Get("watch") != "" {
		a.stream(w, r)
		return
	}
	if r.URL.Query().Get("dryRun") != "" || r.Method == http.MethodDelete && strings.Contains(string(body), `"dryRun":["All"]`) {
		answer(w, http.StatusOK, kubeObject{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": map[string]any{}})
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "reviews") {
		a.writes = append(a.writes, request)
	}
	switch r.Method {
	case http.MethodGet:
		a.read(w, r)
	case http.MethodPost:
		a.create(w, r.URL.Path, body)
	case http.MethodPut:
		var o kubeObject
		_ = json.Unmarshal(body, &o)
		now, m := a.objects[r.URL.Path], metadata(o)
		switch {
		case now == nil:
			answer(w, http.StatusNotFound, nil)
		case m["resourceVersion"] != metadata(now)["resourceVersion"] || m["uid"] != metadata(now)["uid"]:
			answer(w, http.StatusConflict, nil)
		default:
			a.set(r.URL.Path, o)
			answer(w, http.StatusOK, o)
		}
	case http.MethodDelete:
		var options metav1.DeleteOptions
		_ = json.Unmarshal(body, &options)
		now := a.objects[r.URL.Path]
		switch {
		case now == nil:
			answer(w, http.StatusNotFound, nil)
		case options.Preconditions == nil || *options.Preconditions.UID != types.UID(metadata(now)["uid"].(string)):
			answer(w, http.StatusConflict, nil)
		default:
			delete(a.objects, r.URL.Path)
			a.tell("DELETED", r.URL.Path, now)
			answer(w, http.StatusOK, now)
		}
	case http.MethodPatch:
		a.patch(w, r, body)
	default:
		answer(w, http.StatusMethodNotAllowed, nil)
	}
}

func (a *api) read(w http.ResponseWriter, r *http.Request) {
	if o := a.objects[r.URL.Path]; o != nil {
		answer(w, http.StatusOK, o)
		return
	}
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		answer(w, http.StatusBadRequest, nil)
		return
	}
	list := strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata")
	// A name under a list that is known is an object that is not there.
	if known[listOf(everywhere(r.URL.Path))] {
		answer(w, http.StatusNotFound, nil)
		return
	}
	items := []any{}
	for path, o := range a.objects {
		in := listOf(path)
		if !strings.Contains(r.URL.Path, "/namespaces/") {
			in = everywhere(in)
		}
		set := labels.Set{}
		if l, is := metadata(o)["labels"].(map[string]any); is {
			for k, v := range l {
				set[k] = fmt.Sprint(v)
			}
		}
		if in != r.URL.Path || !selector.Matches(set) {
			continue
		}
		if list {
			items = append(items, partial(o))
		} else {
			items = append(items, o)
		}
	}
	kind, version := "List", "v1"
	if list {
		kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	answer(w, http.StatusOK, map[string]any{"kind": kind, "apiVersion": version, "metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version)}, "items": items})
}

func (a *api) create(w http.ResponseWriter, path string, body []byte) {
	var o kubeObject
	_ = json.Unmarshal(body, &o)
	if strings.HasSuffix(path, "reviews") {
		spec, _ := o["spec"].(map[string]any)
		user, _ := spec["user"].(string)
		if user != "" {
			a.reviews++
		}
		o["status"] = map[string]any{"allowed": user == "" || a.may[strings.TrimPrefix(user, "system:serviceaccount:")]}
		answer(w, http.StatusCreated, o)
		return
	}
	path += "/" + metadata(o)["name"].(string)
	if a.objects[path] != nil {
		answer(w, http.StatusConflict, metav1.Status{Reason: metav1.StatusReasonAlreadyExists})
		return
	}
	a.set(path, o)
	answer(w, http.StatusCreated, o)
}

// stream sends what happens to a list's objects.
func (a *api) stream(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("sendInitialEvents") != "" {
		answer(w, http.StatusUnprocessableEntity, nil) // the client lists, then
		return
	}
	events := make(chan map[string]any, 100)
	a.mu.Lock()
	a.watched[events] = r.URL.Path
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.watched, events)
		a.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			_ = json.NewEncoder(w).Encode(e)
			w.(http.Flusher).Flush()
		}
	}
}

func answer(w http.ResponseWriter, code int, body any) {
	reasons := map[int]metav1.StatusReason{
		http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusConflict: metav1.StatusReasonConflict,
		http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusUnprocessableEntity: metav1.StatusReasonInvalid,
	}
	if status, is := body.(metav1.Status); is || body == nil {
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		status.Status, status.Code, status.Message = metav1.StatusFailure, int32(code), http.StatusText(code)
		if status.Reason == "" {
			status.Reason = reasons[code]
		}
		body = status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
