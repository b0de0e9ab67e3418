package kubetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// do executes one request. It needs the lock.
func (a *Server) do(q request) (int, any) {
	it := a.Objects[q.object]
	switch {
	case q.kind == "" || !a.served(q.kind):
		return http.StatusNotFound, nil
	case q.verb == "LIST":
		return a.list(q)
	case q.verb == http.MethodPost:
		return a.create(q.kind, q.namespace, q.body)
	case q.sub == "scale" && q.verb == http.MethodPatch:
		return a.scale(strings.TrimSuffix(q.object, "/scale"), q.body)
	case it == nil:
		return http.StatusNotFound, nil
	case q.verb == http.MethodDelete:
		if code := a.remove(it, q.body); code != http.StatusOK {
			return code, nil
		}
	case q.verb == http.MethodPut:
		return a.update(it, q.body)
	case q.verb == http.MethodPatch:
		if code := a.patch(it, q.body); code != http.StatusOK {
			return code, nil
		}
	}
	return http.StatusOK, a.json(it, q.onlyMetadata)
}

func (a *Server) list(q request) (int, any) {
	byLabels, err := labels.Parse(q.labels)
	if err != nil {
		return http.StatusBadRequest, nil
	}
	byFields, err := fields.ParseSelector(q.fields)
	if err != nil {
		return http.StatusBadRequest, nil
	}
	if a.PageSize > 0 && q.limit == 0 {
		return http.StatusBadRequest, nil
	}
	items, next := []any{}, ""
	for i, k := range slices.Sorted(keys(a.Objects)) {
		it := a.Objects[k]
		in := i >= q.first && it.Resource == Short[q.kind] && (q.namespace == "" || it.Namespace == q.namespace)
		if !in || !byLabels.Matches(labels.Set(it.Labels)) || !byFields.Matches(it.fields()) {
			continue
		}
		if a.PageSize > 0 && len(items) == min(q.limit, a.PageSize) {
			next = strconv.Itoa(i)
			break
		}
		items = append(items, a.json(it, q.onlyMetadata))
	}
	kind := map[string]any{"apiVersion": Short[q.kind].GroupVersion().String(), "kind": "KindList"}
	if q.onlyMetadata {
		kind = map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList"}
	}
	kind["items"], kind["metadata"] = items, map[string]any{"resourceVersion": fmt.Sprint(a.version), "continue": next}
	return http.StatusOK, kind
}

// remove deletes the object if its UID fits, and its resourceVersion if the request has one.
func (a *Server) remove(it *Item, body []byte) int {
	var options metav1.DeleteOptions
	if err := json.Unmarshal(body, &options); err != nil || options.Preconditions == nil || *options.Preconditions.UID != it.UID {
		return http.StatusConflict
	}
	if version := options.Preconditions.ResourceVersion; version != nil && *version != fmt.Sprint(it.version) {
		return http.StatusConflict
	}
	if options.PropagationPolicy != nil && *options.PropagationPolicy == metav1.DeletePropagationForeground {
		it.Finalizers = append(slices.Clone(it.Finalizers), metav1.FinalizerDeleteDependents)
	}
	a.delete(it)
	return http.StatusOK
}

// patch applies the patches that package kube sends, and rejects all others. Of a CRD it takes only what is
// applied on the server's side.
func (a *Server) patch(it *Item, body []byte) int {
	if a.apply(it, body) || it.Resource == object.CRDs {
		return http.StatusOK
	}
	var merge struct {
		Metadata struct {
			UID         types.UID
			Annotations map[string]any
		}
		Spec map[string]any
	}
	if json.Unmarshal(body, &merge) != nil {
		return a.patchFinalizers(it, body)
	}
	if merge.Metadata.UID != it.UID {
		return http.StatusConflict
	}
	for k, v := range merge.Metadata.Annotations {
		if text, is := v.(string); is {
			it.Annotations[k] = text
		} else {
			delete(it.Annotations, k)
		}
	}
	if merge.Spec != nil {
		it.mergeSpec(merge.Spec)
	}
	a.changed(it, "MODIFIED")
	return http.StatusOK
}

// apply applies an object on the server's side, if it is one: patches of other kinds name no kind.
func (a *Server) apply(it *Item, body []byte) bool {
	o := unstructured.Unstructured{}
	if json.Unmarshal(body, &o.Object) != nil || o.GetKind() == "" {
		return false
	}
	it.Labels, it.Annotations = o.GetLabels(), o.GetAnnotations()
	if spec, is := o.Object["spec"].(map[string]any); is {
		it.mergeSpec(spec)
	}
	a.changed(it, "MODIFIED")
	return true
}

// mergeSpec changes fields of the spec. An object that was read before keeps its own.
func (it *Item) mergeSpec(change map[string]any) {
	spec, _ := it.Rest["spec"].(map[string]any)
	merged := maps.Clone(spec)
	if merged == nil {
		merged = map[string]any{}
	}
	maps.Copy(merged, change)
	rest := maps.Clone(it.Rest)
	if rest == nil {
		rest = map[string]any{}
	}
	rest["spec"] = merged
	it.Rest = rest
}

func (a *Server) patchFinalizers(it *Item, body []byte) int {
	var ops []struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := json.Unmarshal(body, &ops); err != nil || len(ops) < 3 {
		return http.StatusBadRequest
	}
	var (
		uid          types.UID
		before, want []string
	)
	_ = json.Unmarshal(ops[0].Value, &uid)
	_ = json.Unmarshal(ops[1].Value, &before)
	_ = json.Unmarshal(ops[2].Value, &want)
	if uid != it.UID || !slices.Equal(before, it.Finalizers) {
		return http.StatusUnprocessableEntity
	}
	// A patch may remove the field managers only of an object that this patch removes.
	if len(ops) > 3 && (it.Deleted == nil || len(want) > 0 || len(ops) > 4 || ops[3].Path != "/metadata/managedFields") {
		return http.StatusBadRequest
	}
	it.Finalizers = want
	a.changed(it, "MODIFIED")
	if it.Deleted != nil && len(want) == 0 {
		a.delete(it)
	}
	return http.StatusOK
}

// update replaces an object, if the request has its UID and its resourceVersion: no write of
// arc-cleanup may overwrite what it has not read.
func (a *Server) update(it *Item, body []byte) (int, any) {
	o := unstructured.Unstructured{}
	if err := json.Unmarshal(body, &o.Object); err != nil {
		return http.StatusBadRequest, nil
	}
	if o.GetUID() != it.UID || o.GetResourceVersion() != fmt.Sprint(it.version) {
		return http.StatusConflict, nil
	}
	it.Labels, it.Annotations, it.Finalizers, it.Owners = o.GetLabels(), o.GetAnnotations(), o.GetFinalizers(), o.GetOwnerReferences()
	it.Rest = o.Object
	delete(it.Rest, "metadata")
	a.changed(it, "MODIFIED")
	return http.StatusOK, a.json(it, false)
}

// scale sets the replicas of an object. It needs the lock.
func (a *Server) scale(ref string, body []byte) (int, any) {
	it := a.Objects[ref]
	if it == nil {
		return http.StatusNotFound, nil
	}
	var scale struct{ Spec map[string]any }
	if json.Unmarshal(body, &scale) != nil || scale.Spec["replicas"] == nil {
		return http.StatusBadRequest, nil
	}
	it.mergeSpec(map[string]any{"replicas": scale.Spec["replicas"]})
	a.changed(it, "MODIFIED")
	return http.StatusOK, map[string]any{"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": map[string]any{"name": it.Name, "namespace": it.Namespace}, "spec": scale.Spec}
}

// create creates an object. It needs the lock.
func (a *Server) create(s, namespace string, body []byte) (int, any) {
	var whole map[string]any
	if err := json.Unmarshal(body, &whole); err != nil {
		return http.StatusBadRequest, nil
	}
	if m, is := whole["metadata"].(map[string]any); is && m["name"] == nil && m["generateName"] != nil {
		m["name"] = fmt.Sprint(m["generateName"], a.version)
	}
	it := stored(whole)
	it.Resource, it.Namespace, it.Deleted = Short[s], namespace, nil
	it.UID = types.UID(Ref(it.Object))
	if a.Objects[Ref(it.Object)] != nil {
		return http.StatusConflict, nil
	}
	a.Objects[Ref(it.Object)] = &it
	a.changed(&it, "ADDED")
	return http.StatusOK, a.json(&it, false)
}

func (a *Server) watch(w http.ResponseWriter, r *http.Request, s, namespace string, code int) {
	a.Mu.Lock()
	known := a.served(s)
	switch {
	case code != 0:
	case !known:
		code = http.StatusNotFound
	case r.URL.Query().Get("sendInitialEvents") != "":
		// An API server without streaming lists answers like this.
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
		case e, open := <-events:
			if !open {
				return
			}
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
