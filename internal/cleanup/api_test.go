package cleanup

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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// api is an API server in memory, as far as finalizers, deletion, UIDs, watches
// and CRDs go.
type api struct {
	mu      sync.Mutex
	version int
	objects map[string]*item
	streams map[chan string]stream
	writes  []string

	// fault may answer a request ("DELETE er runners/a") instead of the server.
	fault func(request string) (status int)
	// denied holds the writes ("patch secrets") an access review says no to.
	denied map[string]bool
	// says holds what admission answers to a request ("DELETE er runners/a"), dry or not,
	// and only dry ("DRY DELETE er runners/a"), with the code of a policy.
	says map[string]string
	// claimed holds the resources that are served, by what the server says of itself.
	claimed map[string]bool
	// unknown are resources of a group that are served, and which nobody here knows.
	unknown map[string][]string
	// react is called, without the lock, after each write.
	react func(a *api, request string)
}

// item is an object: what a client sees of it, and what only whole reads show.
type item struct {
	*object.Object
	labels, annotations map[string]string
	owners              []metav1.OwnerReference
	rest                map[string]any // spec, status, data
	deleted             *metav1.Time
}

// fields are those that a field selector may name.
func (it *item) fields() fields.Set {
	set := fields.Set{"metadata.name": it.Name}
	for field, at := range map[string][]string{"type": {"type"}, "status.phase": {"phase"}, "spec.nodeName": {"spec", "nodeName"}} {
		set[field], _, _ = unstructured.NestedString(it.rest, at...)
	}
	return set
}

type stream struct{ short, namespace string }

func newAPI(t *testing.T, items ...item) (*api, *kube.Client) {
	t.Helper()
	a := &api{objects: map[string]*item{}, streams: map[chan string]stream{}}
	for _, it := range items {
		a.put(it)
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

// whole turns objects as surveys have them into objects as the API has them.
func whole(objects ...*object.Object) (out []item) {
	for _, o := range objects {
		it := item{Object: o, labels: map[string]string{}, annotations: map[string]string{}}
		if o.ScaleSet.Name != "" {
			it.labels[arc.LabelScaleSetName], it.labels[arc.LabelScaleSetNamespace] = o.ScaleSet.Name, o.ScaleSet.Namespace
		}
		if o.Release.Name != "" {
			it.annotations[arc.AnnotationReleaseName], it.annotations[arc.AnnotationReleaseNamespace] = o.Release.Name, o.Release.Namespace
		}
		if o.Keep {
			it.annotations["helm.sh/resource-policy"] = "keep"
		}
		if o.Owner != "" {
			group := arc.Group
			switch kind, _, _ := strings.Cut(string(o.Owner), " "); kind {
			case "run", "rrs", "rset", "rd":
				group = arc.LegacyGroup
			case "sts":
				group = "apps"
			}
			it.owners = []metav1.OwnerReference{{APIVersion: group + "/v1alpha1", UID: o.Owner}}
		}
		if o.Deleting {
			now := metav1.Now()
			it.deleted = &now
		}
		out = append(out, it)
	}
	return out
}

// deployment is a controller that runs, as the API has it. It watches one namespace, or
// all of them.
func deployment(name, watches string, mods ...with) item {
	o := obj("deploy "+name, mods...)
	it := whole(o)[0]
	it.labels[arc.LabelControllerAccount] = o.Name
	args := []any{"--auto-scaling-runner-set-only"}
	if watches != "" {
		args = append(args, "--watch-single-namespace="+watches)
	}
	it.rest = map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{"app": o.Name}},
		"template": map[string]any{"spec": map[string]any{
			"serviceAccountName": o.Name,
			"containers":         []any{map[string]any{"name": "manager", "command": []any{"/manager"}, "args": args}},
		}},
	}}
	it.rest["status"] = map[string]any{"readyReplicas": 1}
	return it
}

// down is a controller without a replica that is ready.
func down(controller item) item {
	delete(controller.rest, "status")
	return controller
}

func (a *api) put(it item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects[ref(it.Object)] = &it
	a.changed(&it, "ADDED")
}

// take removes objects, as a controller or the garbage collector would.
func (a *api) take(refs ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range refs {
		if it := a.objects[r]; it != nil {
			it.Finalizers = nil
			a.delete(it)
		}
	}
}

// claim says which resources are served, whether there are CRDs or not.
func (a *api) claim(resources ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.claimed = map[string]bool{}
	for _, r := range resources {
		a.claimed[r] = true
	}
}

// left names what there is, CRDs apart.
func (a *api) left() (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r := range a.objects {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

func (a *api) written() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Clone(a.writes)
	slices.Sort(out)
	return out
}

// inOrder are the writes as they came.
func (a *api) inOrder() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.writes)
}

// served reports whether the API server knows the resource.
func (a *api) served(s string) bool {
	if group := short[s].Group; group != arc.Group && group != arc.LegacyGroup {
		return true
	}
	return a.objects["crd "+short[s].GroupResource().String()] != nil
}

// delete removes what no finalizer holds, and marks the rest; with the lock.
func (a *api) delete(it *item) {
	name := ref(it.Object)
	if it.Resource == object.CRDs {
		for _, r := range slices.Sorted(keys(a.objects)) {
			if o := a.objects[r]; o != nil && o.Resource.GroupResource().String() == it.Name {
				a.delete(o)
			}
		}
		for _, o := range a.objects {
			if o.Resource.GroupResource().String() == it.Name {
				it.Finalizers = []string{"customresourcecleanup.apiextensions.k8s.io"}
				break
			}
		}
	}
	if len(it.Finalizers) > 0 {
		if it.deleted == nil {
			now := metav1.Now()
			it.deleted = &now
			a.changed(it, "MODIFIED")
		}
		return
	}
	delete(a.objects, name)
	a.changed(it, "DELETED")
	// The CRD goes with the last of its objects.
	if crd := a.objects["crd "+it.Resource.GroupResource().String()]; crd != nil && crd.deleted != nil {
		crd.Finalizers = nil
		a.delete(crd)
	}
}

func keys(m map[string]*item) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// changed tells whoever watches; with the lock.
func (a *api) changed(it *item, kind string) {
	a.version++
	for c, s := range a.streams {
		if short[s.short] == it.Resource && (s.namespace == "" || s.namespace == it.Namespace) {
			body, _ := json.Marshal(map[string]any{"type": kind, "object": a.json(it, true)})
			c <- string(body)
		}
	}
}

func (a *api) json(it *item, onlyMetadata bool) map[string]any {
	m := metav1.ObjectMeta{
		Name: it.Name, Namespace: it.Namespace, UID: it.UID, Labels: it.labels, Annotations: it.annotations,
		OwnerReferences: it.owners, Finalizers: it.Finalizers, DeletionTimestamp: it.deleted, ResourceVersion: fmt.Sprint(a.version),
	}
	if onlyMetadata {
		return map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": m}
	}
	out := map[string]any{"apiVersion": it.Resource.GroupVersion().String(), "kind": "Kind", "metadata": m}
	for k, v := range it.rest {
		out[k] = v
	}
	return out
}

// parse reads /apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME.
func parse(path string) (s, namespace, name string) {
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
	for candidate, gvr := range short {
		if gvr.Group == group && gvr.Resource == parts[0] {
			s = candidate
		}
	}
	if len(parts) > 1 {
		name = parts[1]
	}
	return s, namespace, name
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "subjectaccessreviews") {
		a.review(w, r)
		return
	}
	if group, is := strings.CutPrefix(r.URL.Path, "/apis/"); is && strings.Count(group, "/") < 2 {
		a.discover(w, group)
		return
	}
	s, namespace, name := parse(r.URL.Path)
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
	a.mu.Lock()
	fault, says := a.fault, a.says[request]
	dry := q.Get("dryRun") != "" || verb == http.MethodDelete && strings.Contains(string(body), `"dryRun":["All"]`)
	if dry {
		request = "DRY " + request
		if says == "" {
			says = a.says[request]
		}
	}
	a.mu.Unlock()
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
	a.mu.Lock()
	var answer any
	switch {
	case code != 0:
	case dry && verb != http.MethodPost && a.objects[named] == nil:
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
		a.writes = append(a.writes, request)
	}
	react := a.react
	text, _ := json.Marshal(answer)
	a.mu.Unlock()
	if react != nil && code == http.StatusOK && !dry && (verb == http.MethodDelete || verb == http.MethodPatch) {
		react(a, request)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(text)
}

// discover answers what of a group is served, and in which version.
func (a *api) discover(w http.ResponseWriter, group string) {
	group, version, _ := strings.Cut(group, "/")
	resources := []metav1.APIResource{}
	a.mu.Lock()
	if fault := a.fault; fault != nil {
		if code := fault(strings.TrimSuffix("DISCOVER "+group+"/"+version, "/")); code != 0 {
			a.mu.Unlock()
			w.WriteHeader(code)
			return
		}
	}
	for s, gvr := range short {
		if gvr.Group == group && (a.served(s) || a.claimed[gvr.Resource]) {
			resources = append(resources, metav1.APIResource{Name: gvr.Resource})
		}
	}
	for _, name := range a.unknown[group] {
		resources = append(resources, metav1.APIResource{Name: name}, metav1.APIResource{Name: name + "/status"})
	}
	a.mu.Unlock()
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
func (a *api) review(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Spec struct {
			User               string
			ResourceAttributes struct{ Verb, Group, Resource, Namespace, Name string }
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&review)
	asked := review.Spec.ResourceAttributes
	a.mu.Lock()
	who := asked.Verb + " " + asked.Resource
	if review.Spec.User != "" {
		who = fmt.Sprintf("%s %s in %s", review.Spec.User, who, asked.Namespace)
	}
	denied, fault := a.denied[who], a.fault
	a.mu.Unlock()
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
func (a *api) do(verb, s, namespace, named, labelSelector, fieldSelector string, onlyMetadata bool, body []byte) (int, any) {
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
		for _, k := range slices.Sorted(keys(a.objects)) {
			it := a.objects[k]
			if it.Resource != short[s] || (namespace != "" && it.Namespace != namespace) || !selector.Matches(labels.Set(it.labels)) {
				continue
			}
			if !fieldSelector.Matches(it.fields()) {
				continue
			}
			items = append(items, a.json(it, onlyMetadata))
		}
		kind := map[string]any{"apiVersion": short[s].GroupVersion().String(), "kind": "KindList"}
		if onlyMetadata {
			kind = map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList"}
		}
		kind["items"], kind["metadata"] = items, map[string]any{"resourceVersion": fmt.Sprint(a.version)}
		return http.StatusOK, kind
	}
	if verb == http.MethodPost {
		return a.create(s, namespace, body)
	}
	it := a.objects[named]
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
					it.annotations[k] = text
				} else {
					delete(it.annotations, k)
				}
			}
			if merge.Spec != nil {
				it.rest = map[string]any{"spec": merge.Spec}
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
		if len(ops) > 3 && (it.deleted == nil || len(want) > 0 || len(ops) > 4 || ops[3].Path != "/metadata/managedFields") {
			return http.StatusBadRequest, nil
		}
		it.Finalizers = want
		a.changed(it, "MODIFIED")
		if it.deleted != nil && len(want) == 0 {
			a.delete(it)
		}
	}
	return http.StatusOK, a.json(it, onlyMetadata)
}

// create makes an object; with the lock.
func (a *api) create(s, namespace string, body []byte) (int, any) {
	var whole map[string]any
	_ = json.Unmarshal(body, &whole)
	m, _ := whole["metadata"].(map[string]any)
	text := fmt.Sprintf("%s %s/%s", s, namespace, m["name"])
	if a.objects[text] != nil {
		return http.StatusConflict, nil
	}
	it := &item{Object: obj(text, finalizers()), labels: map[string]string{}, annotations: map[string]string{}, rest: whole}
	for k, v := range m {
		if annotations, ok := v.(map[string]any); ok && k == "annotations" {
			for name, value := range annotations {
				it.annotations[name] = fmt.Sprint(value)
			}
		}
	}
	delete(whole, "metadata")
	a.objects[ref(it.Object)] = it
	a.changed(it, "ADDED")
	return http.StatusOK, a.json(it, false)
}

func (a *api) watch(w http.ResponseWriter, r *http.Request, s, namespace string, code int) {
	a.mu.Lock()
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
		a.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reasons[code]})
		return
	}
	events := make(chan string, 1000)
	a.streams[events] = stream{s, namespace}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.streams, events)
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
