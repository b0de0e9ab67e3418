// Package kubetest is an API server in memory, for the errors that a real one does not
// produce on demand, and short names for the objects in it.
package kubetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Server is an API server in memory, as far as finalizers, deletion, UIDs, watches
// and CRDs go.
type Server struct {
	Mu      sync.Mutex
	version int
	Objects map[string]*Item
	Streams map[chan string]Stream
	Writes  []string

	// Fault may answer a request ("DELETE er runners/a") instead of the server.
	Fault func(request string) (status int)
	// Denied holds the writes ("patch secrets") an access review says no to.
	Denied map[string]bool
	// Says holds what admission answers to a request ("DELETE er runners/a"), dry or not,
	// and only dry ("DRY DELETE er runners/a"), with the code of a policy.
	Says map[string]string
	// Claimed holds the resources that are served, by what the server says of itself.
	Claimed map[string]bool
	// Unknown are resources of a group that are served, and which nobody here knows.
	Unknown map[string][]string
	// React is called, without the lock, after each write.
	React func(a *Server, request string)
}

type Stream struct{ short, namespace string }

func New(t *testing.T, items ...Item) (*Server, *kube.Client) {
	t.Helper()
	a := &Server{Objects: map[string]*Item{}, Streams: map[chan string]Stream{}}
	for _, it := range items {
		a.Put(it)
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

func (a *Server) Put(it Item) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	a.Objects[Ref(it.Object)] = &it
	a.changed(&it, "ADDED")
}

// Take removes objects, as a controller or the garbage collector would.
func (a *Server) Take(refs ...string) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	for _, r := range refs {
		if it := a.Objects[r]; it != nil {
			it.Finalizers = nil
			a.delete(it)
		}
	}
}

// Claim says which resources are served, whether there are CRDs or not.
func (a *Server) Claim(resources ...string) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	a.Claimed = map[string]bool{}
	for _, r := range resources {
		a.Claimed[r] = true
	}
}

// Left names what there is, CRDs apart.
func (a *Server) Left() (out []string) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	for r := range a.Objects {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

func (a *Server) Written() []string {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	out := slices.Clone(a.Writes)
	slices.Sort(out)
	return out
}

// InOrder are the writes as they came.
func (a *Server) InOrder() []string {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	return slices.Clone(a.Writes)
}

// served reports whether the API server knows the resource.
func (a *Server) served(s string) bool {
	if group := Short[s].Group; group != arc.Group && group != arc.LegacyGroup {
		return true
	}
	return a.Objects["crd "+Short[s].GroupResource().String()] != nil
}

// delete removes what no finalizer holds, and marks the rest; with the lock.
func (a *Server) delete(it *Item) {
	name := Ref(it.Object)
	if it.Resource == object.CRDs {
		for _, r := range slices.Sorted(keys(a.Objects)) {
			if o := a.Objects[r]; o != nil && o.Resource.GroupResource().String() == it.Name {
				a.delete(o)
			}
		}
		for _, o := range a.Objects {
			if o.Resource.GroupResource().String() == it.Name {
				it.Finalizers = []string{"customresourcecleanup.apiextensions.k8s.io"}
				break
			}
		}
	}
	if len(it.Finalizers) > 0 {
		if it.Deleted == nil {
			now := metav1.Now()
			it.Deleted = &now
			a.changed(it, "MODIFIED")
		}
		return
	}
	delete(a.Objects, name)
	a.changed(it, "DELETED")
	// The CRD goes with the last of its objects.
	if crd := a.Objects["crd "+it.Resource.GroupResource().String()]; crd != nil && crd.Deleted != nil {
		crd.Finalizers = nil
		a.delete(crd)
	}
}

func keys(m map[string]*Item) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// changed tells whoever watches; with the lock.
func (a *Server) changed(it *Item, kind string) {
	a.version++
	for c, s := range a.Streams {
		if Short[s.short] == it.Resource && (s.namespace == "" || s.namespace == it.Namespace) {
			body, _ := json.Marshal(map[string]any{"type": kind, "object": a.json(it, true)})
			c <- string(body)
		}
	}
}

func (a *Server) json(it *Item, onlyMetadata bool) map[string]any {
	m := metav1.ObjectMeta{
		Name: it.Name, Namespace: it.Namespace, UID: it.UID, Labels: it.Labels, Annotations: it.Annotations,
		OwnerReferences: it.Owners, Finalizers: it.Finalizers, DeletionTimestamp: it.Deleted, ResourceVersion: fmt.Sprint(a.version),
	}
	if onlyMetadata {
		return map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": m}
	}
	out := map[string]any{"apiVersion": it.Resource.GroupVersion().String(), "kind": "Kind", "metadata": m}
	for k, v := range it.Rest {
		out[k] = v
	}
	return out
}

// Parse reads /apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME.
func Parse(path string) (s, namespace, name string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	group := ""
	if parts[0] == "apis" {
		group, parts = parts[1], parts[3:]
	} else {
		parts = parts[2:]
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		namespace, parts = parts[1], parts[2:]
	}
	for candidate, gvr := range Short {
		if gvr.Group == group && gvr.Resource == parts[0] {
			s = candidate
		}
	}
	if len(parts) > 1 {
		name = parts[1]
	}
	return s, namespace, name
}

func (a *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "subjectaccessreviews") {
		a.review(w, r)
		return
	}
	if group, is := strings.CutPrefix(r.URL.Path, "/apis/"); is && strings.Count(group, "/") < 2 {
		a.discover(w, group)
		return
	}
	s, namespace, name := Parse(r.URL.Path)
	q, body := r.URL.Query(), []byte(nil)
	if r.Method != http.MethodGet {
		body, _ = io.ReadAll(r.Body)
	}
	named := strings.TrimSpace(s + " " + namespace)
	if name != "" {
		named = s + " " + strings.TrimPrefix(namespace+"/"+name, "/")
	}
	verb := r.Method
	if q.Get("watch") != "" {
		verb = "WATCH"
	} else if verb == http.MethodGet && name == "" {
		verb = "LIST"
	}
	request := verb + " " + named
	a.Mu.Lock()
	fault, says := a.Fault, a.Says[request]
	dry := q.Get("dryRun") != "" || verb == http.MethodDelete && strings.Contains(string(body), `"dryRun":["All"]`)
	if dry {
		request = "DRY " + request
		if says == "" {
			says = a.Says[request]
		}
	}
	a.Mu.Unlock()
	code := 0
	if fault != nil {
		code = fault(request)
	}
	if says != "" {
		code = http.StatusUnprocessableEntity
	}
	if verb == "WATCH" {
		a.watch(w, r, s, namespace, code)
		return
	}
	a.Mu.Lock()
	var answer any
	switch {
	case code != 0:
	case dry && verb != http.MethodPost && a.Objects[named] == nil:
		code = http.StatusNotFound
	case dry:
		code, answer = http.StatusOK, json.RawMessage(`{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {}}`)
	default:
		code, answer = a.do(verb, s, namespace, named, q.Get("labelSelector"), q.Get("fieldSelector"),
			strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata"), body)
	}
	if code != http.StatusOK {
		reason := reasons[code]
		if verb == http.MethodPost && code == http.StatusConflict {
			reason = metav1.StatusReasonAlreadyExists
		}
		answer = metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
			Code: int32(code), Reason: reason, Message: cmp.Or(says, request+" is refused"),
		}
	} else if !dry && (verb == http.MethodDelete || verb == http.MethodPatch || verb == http.MethodPost) {
		a.Writes = append(a.Writes, request)
	}
	react := a.React
	text, _ := json.Marshal(answer)
	a.Mu.Unlock()
	if react != nil && code == http.StatusOK && !dry && (verb == http.MethodDelete || verb == http.MethodPatch) {
		react(a, request)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(text)
}

// discover answers what of a group is served, and in which version.
func (a *Server) discover(w http.ResponseWriter, group string) {
	group, version, _ := strings.Cut(group, "/")
	resources := []metav1.APIResource{}
	a.Mu.Lock()
	if fault := a.Fault; fault != nil {
		if code := fault(strings.TrimSuffix("DISCOVER "+group+"/"+version, "/")); code != 0 {
			a.Mu.Unlock()
			w.WriteHeader(code)
			return
		}
	}
	for s, gvr := range Short {
		if gvr.Group == group && (a.served(s) || a.Claimed[gvr.Resource]) {
			resources = append(resources, metav1.APIResource{Name: gvr.Resource})
		}
	}
	for _, name := range a.Unknown[group] {
		resources = append(resources, metav1.APIResource{Name: name}, metav1.APIResource{Name: name + "/status"})
	}
	a.Mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case len(resources) == 0:
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
	case version == "":
		_ = json.NewEncoder(w).Encode(metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: group + "/v1alpha1", Version: "v1alpha1"}}})
	default:
		_ = json.NewEncoder(w).Encode(metav1.APIResourceList{GroupVersion: group + "/" + version, APIResources: resources})
	}
}

// review answers whether a write is allowed: unless it is denied, to us or (as
// "system:serviceaccount:... delete pods in NS") to somebody else.
func (a *Server) review(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Spec struct {
			User               string
			ResourceAttributes struct{ Verb, Group, Resource, Namespace, Name string }
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&review)
	asked := review.Spec.ResourceAttributes
	a.Mu.Lock()
	who := asked.Verb + " " + asked.Resource
	if review.Spec.User != "" {
		who = fmt.Sprintf("%s %s in %s", review.Spec.User, who, asked.Namespace)
	}
	denied, fault := a.Denied[who], a.Fault
	a.Mu.Unlock()
	if fault != nil {
		if code := fault("REVIEW " + who); code != 0 {
			w.WriteHeader(code)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"status": map[string]any{"allowed": !denied},
	})
}

var reasons = map[int]metav1.StatusReason{
	http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound,
	http.StatusConflict: metav1.StatusReasonConflict, http.StatusUnprocessableEntity: metav1.StatusReasonInvalid,
	http.StatusInternalServerError: metav1.StatusReasonInternalError,
}

// do is one request; with the lock.
func (a *Server) do(verb, s, namespace, named, labelSelector, fieldSelector string, onlyMetadata bool, body []byte) (int, any) {
	if s == "" || !a.served(s) {
		return http.StatusNotFound, nil
	}
	if verb == "LIST" {
		selector, err := labels.Parse(labelSelector)
		if err != nil {
			return http.StatusBadRequest, nil
		}
		fieldSelector, err := fields.ParseSelector(fieldSelector)
		if err != nil {
			return http.StatusBadRequest, nil
		}
		items := []any{}
		for _, k := range slices.Sorted(keys(a.Objects)) {
			it := a.Objects[k]
			if it.Resource != Short[s] || (namespace != "" && it.Namespace != namespace) || !selector.Matches(labels.Set(it.Labels)) {
				continue
			}
			if !fieldSelector.Matches(it.fields()) {
				continue
			}
			items = append(items, a.json(it, onlyMetadata))
		}
		kind := map[string]any{"apiVersion": Short[s].GroupVersion().String(), "kind": "KindList"}
		if onlyMetadata {
			kind = map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList"}
		}
		kind["items"], kind["metadata"] = items, map[string]any{"resourceVersion": fmt.Sprint(a.version)}
		return http.StatusOK, kind
	}
	if verb == http.MethodPost {
		return a.create(s, namespace, body)
	}
	it := a.Objects[named]
	if it == nil {
		return http.StatusNotFound, nil
	}
	switch verb {
	case http.MethodDelete:
		var options metav1.DeleteOptions
		if err := json.Unmarshal(body, &options); err != nil || options.Preconditions == nil || *options.Preconditions.UID != it.UID {
			return http.StatusConflict, nil
		}
		if *options.PropagationPolicy == metav1.DeletePropagationForeground {
			it.Finalizers = append(slices.Clone(it.Finalizers), metav1.FinalizerDeleteDependents)
		}
		a.delete(it)
	case http.MethodPatch:
		if it.Resource == object.CRDs {
			break
		}
		var merge struct {
			Metadata struct {
				UID         types.UID
				Annotations map[string]any
			}
			Spec map[string]any
		}
		if json.Unmarshal(body, &merge) == nil {
			if merge.Metadata.UID != it.UID {
				return http.StatusConflict, nil
			}
			for k, v := range merge.Metadata.Annotations {
				if text, is := v.(string); is {
					it.Annotations[k] = text
				} else {
					delete(it.Annotations, k)
				}
			}
			if merge.Spec != nil {
				it.Rest = map[string]any{"spec": merge.Spec}
			}
			break
		}
		var ops []struct {
			Op, Path string
			Value    json.RawMessage
		}
		if err := json.Unmarshal(body, &ops); err != nil || len(ops) < 3 {
			return http.StatusBadRequest, nil
		}
		var (
			uid          types.UID
			before, want []string
		)
		_ = json.Unmarshal(ops[0].Value, &uid)
		_ = json.Unmarshal(ops[1].Value, &before)
		_ = json.Unmarshal(ops[2].Value, &want)
		if uid != it.UID || !slices.Equal(before, it.Finalizers) {
			return http.StatusUnprocessableEntity, nil
		}
		// Only of what is about to go may the managers of fields be forgotten.
		if len(ops) > 3 && (it.Deleted == nil || len(want) > 0 || len(ops) > 4 || ops[3].Path != "/metadata/managedFields") {
			return http.StatusBadRequest, nil
		}
		it.Finalizers = want
		a.changed(it, "MODIFIED")
		if it.Deleted != nil && len(want) == 0 {
			a.delete(it)
		}
	}
	return http.StatusOK, a.json(it, onlyMetadata)
}

// create makes an object; with the lock.
func (a *Server) create(s, namespace string, body []byte) (int, any) {
	var whole map[string]any
	_ = json.Unmarshal(body, &whole)
	m, _ := whole["metadata"].(map[string]any)
	text := fmt.Sprintf("%s %s/%s", s, namespace, m["name"])
	if a.Objects[text] != nil {
		return http.StatusConflict, nil
	}
	it := &Item{Object: Object(text, Finalizers()), Labels: map[string]string{}, Annotations: map[string]string{}, Rest: whole}
	for k, v := range m {
		if annotations, ok := v.(map[string]any); ok && k == "annotations" {
			for name, value := range annotations {
				it.Annotations[name] = fmt.Sprint(value)
			}
		}
	}
	delete(whole, "metadata")
	a.Objects[Ref(it.Object)] = it
	a.changed(it, "ADDED")
	return http.StatusOK, a.json(it, false)
}

func (a *Server) watch(w http.ResponseWriter, r *http.Request, s, namespace string, code int) {
	a.Mu.Lock()
	known := a.served(s)
	switch {
	case code != 0:
	case !known:
		code = http.StatusNotFound
	case r.URL.Query().Get("sendInitialEvents") != "":
		// As an API server without the streaming of lists.
		code = http.StatusUnprocessableEntity
	}
	if code != 0 {
		a.Mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reasons[code]})
		return
	}
	events := make(chan string, 1000)
	a.Streams[events] = Stream{s, namespace}
	a.Mu.Unlock()
	defer func() {
		a.Mu.Lock()
		defer a.Mu.Unlock()
		delete(a.Streams, events)
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			_, _ = fmt.Fprintln(w, e)
			_ = flush.Flush()
		case <-time.After(time.Minute):
			return
		}
	}
}

// On answers these requests with a status code, the first n times.
func On(code, n int, requests ...string) func(string) int {
	return func(r string) int {
		if n > 0 && slices.Contains(requests, r) {
			n--
			return code
		}
		return 0
	}
}

const Always = 1 << 30
