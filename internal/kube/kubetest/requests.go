package kubetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (a *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.isAboutServer(w, r) {
		return
	}
	q := read(r)
	code, says := a.told(&q)
	if q.verb == "WATCH" {
		a.Mu.Lock()
		a.Reads = append(a.Reads, q.selecting())
		a.Mu.Unlock()
		a.watch(w, r, q.kind, q.namespace, code)
		return
	}
	a.Mu.Lock()
	var answer any
	if code == 0 {
		code, answer = a.answer(q)
	}
	done := code == http.StatusOK && !q.dry && q.writes()
	switch {
	case done:
		a.Writes = append(a.Writes, q.String())
	case code == http.StatusOK && !q.writes():
		a.Reads = append(a.Reads, q.selecting())
	case code != http.StatusOK:
		answer = status(code, q.verb, cmp.Or(says, q.String()+" is refused"))
	}
	react := a.React
	text, _ := json.Marshal(answer)
	a.Mu.Unlock()
	if react != nil && done && q.verb != http.MethodPost {
		react(a, q.String())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(text)
}

// isAboutServer answers a request that is not about an object.
func (a *Server) isAboutServer(w http.ResponseWriter, r *http.Request) bool {
	// A group, a group and its version, or the version of the group without a name.
	group, isGroup := strings.CutPrefix(strings.Replace(r.URL.Path, "/api/", "/apis//", 1), "/apis/")
	switch {
	case strings.HasSuffix(r.URL.Path, "subjectaccessreviews"):
		a.review(w, r)
	case r.URL.Path == "/version":
		_, _ = w.Write([]byte("{}"))
	case isGroup && strings.Count(group, "/") < 2:
		a.discover(w, group)
	default:
		return false
	}
	return true
}

// answer executes a request, unless it is a dry run. It needs the lock.
func (a *Server) answer(q request) (int, any) {
	switch {
	case !q.dry:
		return a.do(q)
	case q.verb != http.MethodPost && a.Objects[q.object] == nil:
		return http.StatusNotFound, nil
	}
	return http.StatusOK, json.RawMessage(`{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {}}`)
}

// request is a request as the server has parsed it.
type request struct {
	verb            string // an HTTP method, LIST or WATCH
	kind, namespace string // the resource's short name
	object          string // the reference; of a list only resource and namespace
	sub             string // the subresource
	labels, fields  string
	limit, first    int // of a page of a list
	body            []byte
	onlyMetadata    bool
	dry             bool
}

func (q *request) writes() bool {
	return q.verb == http.MethodDelete || q.verb == http.MethodPatch || q.verb == http.MethodPost || q.verb == http.MethodPut
}

// String returns the request as tests name it.
func (q *request) String() string {
	if q.dry {
		return "DRY " + q.verb + " " + q.object
	}
	return q.verb + " " + q.object
}

// selecting returns the request with its selectors.
func (q *request) selecting() string {
	return strings.TrimSpace(q.String() + " " + strings.TrimSpace(q.labels+" "+q.fields))
}

func read(r *http.Request) request {
	kind, namespace, name, sub := Parse(r.URL.Path)
	values := r.URL.Query()
	q := request{
		verb: r.Method, kind: kind, namespace: namespace, sub: sub, labels: values.Get("labelSelector"), fields: values.Get("fieldSelector"),
		onlyMetadata: strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata"),
	}
	if r.Method != http.MethodGet {
		q.body, _ = io.ReadAll(r.Body)
	}
	q.object = strings.TrimSpace(kind + " " + namespace)
	if name != "" {
		q.object = kind + " " + strings.TrimPrefix(namespace+"/"+name, "/")
	}
	if sub != "" {
		q.object += "/" + sub
	}
	q.limit, _ = strconv.Atoi(values.Get("limit"))
	q.first, _ = strconv.Atoi(values.Get("continue"))
	if values.Get("watch") != "" {
		q.verb = "WATCH"
	} else if q.verb == http.MethodGet && name == "" {
		q.verb = "LIST"
	}
	q.dry = values.Get("dryRun") != "" || q.verb == http.MethodDelete && strings.Contains(string(q.body), `"dryRun":["All"]`)
	return q
}

// told returns the answer that the test prescribes: a status code, or admission's message.
func (a *Server) told(q *request) (code int, says string) {
	a.Mu.Lock()
	fault, wet := a.Fault, *q
	wet.dry = false
	says = cmp.Or(a.Admission[q.String()], a.Admission[wet.String()])
	a.Mu.Unlock()
	if fault != nil {
		code = fault(q.String())
	}
	if says != "" {
		code = http.StatusUnprocessableEntity
	}
	return code, says
}

// status returns the Status of a failed request.
func status(code int, verb, message string) metav1.Status {
	reason := reasons[code]
	if verb == http.MethodPost && code == http.StatusConflict {
		reason = metav1.StatusReasonAlreadyExists
	}
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: message,
	}
}

// discover returns the resources of a group that the server serves, and their version.
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

// review answers an access review: no if DeniedRights holds the write of this client or, as
// "system:serviceaccount:... delete pods in NS", of another account.
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
	denied, fault := a.DeniedRights[who], a.Fault
	if account, is := strings.CutPrefix(review.Spec.User, "system:serviceaccount:"); is && a.May != nil {
		denied = !a.May[account]
	}
	a.Reviews = append(a.Reviews, who)
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
