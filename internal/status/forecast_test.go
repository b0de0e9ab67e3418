package status

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// foretelling starts a server of its own kind: discovery has to name kinds, and admission answers what is
// created with a Status by its kind. Writes that are not dry fail the test.
func foretelling(t *testing.T, objects map[string]any, creations map[string]metav1.Status) *kube.Client {
	t.Helper()
	lists := map[string]metav1.APIResourceList{
		"/api/v1": {APIResources: []metav1.APIResource{
			{Name: "pods/status", Kind: "Pod", Namespaced: true},
			{Name: "serviceaccounts", Kind: "ServiceAccount", Namespaced: true},
			{Name: "secrets", Kind: "Secret", Namespaced: true},
			{Name: "pods", Kind: "Pod", Namespaced: true},
			{Name: "namespaces", Kind: "Namespace"},
		}},
		"/apis/batch/v1": {APIResources: []metav1.APIResource{{Name: "jobs", Kind: "Job", Namespaced: true}}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(code int, body any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(body)
		}
		if list, ok := lists[r.URL.Path]; ok {
			answer(http.StatusOK, list)
			return
		}
		if r.Method == http.MethodPost {
			if r.URL.Query().Get("dryRun") != "All" {
				t.Errorf("%s is written", r.URL.Path)
			}
			var made struct{ Kind string }
			_ = json.NewDecoder(r.Body).Decode(&made)
			if status, ok := creations[made.Kind]; ok {
				answer(int(status.Code), status)
			} else {
				answer(http.StatusCreated, map[string]any{"apiVersion": "v1", "kind": made.Kind})
			}
			return
		}
		switch o := objects[r.URL.Path].(type) {
		case nil:
			answer(http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
		case int:
			answer(o, metav1.Status{Status: metav1.StatusFailure, Code: int32(o), Reason: map[int]metav1.StatusReason{http.StatusForbidden: metav1.StatusReasonForbidden}[o]})
		default:
			answer(http.StatusOK, map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": o})
		}
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func metaOf(managedBy, name, namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Labels:      map[string]string{"app.kubernetes.io/managed-by": managedBy},
		Annotations: map[string]string{"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace},
	}
}

func TestWhatHelmLeaves(t *testing.T) {
	t.Parallel()
	const at = "/api/v1/namespaces/ns/secrets/"
	c := foretelling(t, map[string]any{
		at + "owned": metaOf("Helm", "arc", "ns"), at + "bare": metav1.ObjectMeta{}, at + "moved": metaOf("Helm", "arc", "other"),
		at + "theirs": metaOf("Helm", "b", "ns"), at + "hand": metaOf("kubectl", "arc", "ns"), at + "hidden": http.StatusForbidden,
		at + "broken": http.StatusBadRequest, at + "kept": metav1.ObjectMeta{}, at + "planned": metav1.ObjectMeta{},
		"/api/v1/namespaces/x": metav1.ObjectMeta{},
	}, nil)
	r := &helm.Record{Name: "arc", Namespace: "ns"}
	for _, name := range []string{"owned", "bare", "moved", "theirs", "hand", "hidden", "broken", "gone", "planned", ""} {
		r.Objects = append(r.Objects, helm.Object{APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: name})
	}
	r.Objects = append(r.Objects,
		helm.Object{APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: "kept", Keep: true},
		helm.Object{APIVersion: "v1", Kind: "Namespace", Namespace: "ns", Name: "x"},
		helm.Object{APIVersion: "v1", Kind: "Unknown", Namespace: "ns", Name: "y"},
		helm.Object{APIVersion: "a/b/c", Kind: "Secret", Namespace: "ns", Name: "z"},
	)
	goes := &object.Object{Resource: object.Secrets, Namespace: "ns", Name: "planned"}
	planned := &plan.Plan{Phases: []plan.Phase{{Ranks: [][]plan.Step{{{Action: plan.Delete, Object: goes}}}}}}
	f := NewForecast(t.Context(), c, r, planned)
	got := map[string]string{}
	for _, o := range f.Leaves {
		got[o.Resource+"/"+o.Namespace+"/"+o.Name] = o.Why
	}
	want := map[string]string{
		"namespaces//x":     "it lacks the label app.kubernetes.io/managed-by: Helm, the annotation meta.helm.sh/release-name: arc, the annotation meta.helm.sh/release-namespace: ns",
		"secrets/ns/bare":   "it lacks the label app.kubernetes.io/managed-by: Helm, the annotation meta.helm.sh/release-name: arc, the annotation meta.helm.sh/release-namespace: ns",
		"secrets/ns/moved":  "it lacks the annotation meta.helm.sh/release-namespace: ns",
		"secrets/ns/theirs": "it lacks the annotation meta.helm.sh/release-name: arc",
		"secrets/ns/hand":   "it lacks the label app.kubernetes.io/managed-by: Helm",
		"secrets/ns/hidden": "Helm deletes only what its user may read, and you may not read it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(f.Unknown) != 1 || !strings.Contains(f.Unknown[0], "broken") {
		t.Errorf("unknown: %q", f.Unknown)
	}
	// Of a plan that refuses nothing is deleted.
	planned.Refusals = []plan.Refusal{{}}
	if f := NewForecast(t.Context(), c, r, planned); len(f.Leaves) != len(want)+1 {
		t.Errorf("with a refusal: %v", f.Leaves)
	}
}

func TestTheHooksObjects(t *testing.T) {
	t.Parallel()
	hook := func(kind, rest string) helm.Hook {
		version := map[string]string{"Job": "batch/v1"}[kind]
		if version == "" {
			version = "v1"
		}
		return helm.Hook{Kind: kind, Manifest: "apiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: clean, labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n" + rest}
	}
	r := &helm.Record{Name: "arc", Namespace: "ns", Hooks: []helm.Hook{
		hook("List", "items:\n- {apiVersion: v1, kind: ServiceAccount, metadata: {name: clean}}\n- {apiVersion: v1, kind: Secret, metadata: {name: clean}}\n- {apiVersion: evil.example/v1, kind: Role, metadata: {name: clean}}\n- {apiVersion: v1, kind: ServiceAccount, metadata: {name: clean, namespace: kube-system}}\n- no object\n"), hook("Job", "spec: {template: {metadata: {labels: {a: b}}, spec: {serviceAccountName: clean, containers: []}}}\n"),
		hook("Secret", ""), // no object of the hook
	}}
	no := func(code int32, reason metav1.StatusReason, message string) metav1.Status {
		return metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
	}
	c := foretelling(t, nil, map[string]metav1.Status{
		"ServiceAccount": no(422, metav1.StatusReasonInvalid, `serviceaccounts "clean" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not here`),
		"Job":            no(403, metav1.StatusReasonForbidden, "you may not"),
		"Pod":            no(403, metav1.StatusReasonForbidden, `admission webhook "w" denied the request: no cleaners`),
		"Secret":         no(403, metav1.StatusReasonForbidden, `admission webhook "w" denied the request: no secrets`),
	})
	f := NewForecast(t.Context(), c, r, nil)
	var got []string
	for _, refusal := range f.Refused {
		got = append(got, refusal.Message)
	}
	want := []string{
		`admission refuses to create the hook's Pod "clean-00000", so that helm uninstall fails: the admission webhook w says: no cleaners`,
		`admission refuses to create the hook's ServiceAccount "clean", so that helm uninstall fails: the ValidatingAdmissionPolicy p (binding b) says: not here`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(f.Unknown) != 1 || !strings.Contains(f.Unknown[0], `the hook's Job "clean": creating jobs.batch/clean in namespace ns: you may not`) {
		t.Errorf("unknown: %q", f.Unknown)
	}
	if f := NewForecast(t.Context(), foretelling(t, nil, map[string]metav1.Status{"Job": no(409, metav1.StatusReasonAlreadyExists, "there")}), r, nil); len(f.Refused)+len(f.Unknown) > 0 {
		t.Errorf("%v, %v", f.Refused, f.Unknown)
	}
}

// The report on an uninstall names the objects that Helm would leave, and the writes that admission denies.
func TestForecastIsReported(t *testing.T) {
	t.Parallel()
	denied := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusForbidden,
		Reason: metav1.StatusReasonForbidden, Message: `admission webhook "w" denied the request: no cleaners`,
	}
	const at = "/api/v1/namespaces/ns/secrets/"
	c := foretelling(t, map[string]any{at + "b": metav1.ObjectMeta{}, at + "a": metav1.ObjectMeta{}, at + "broken": http.StatusBadRequest},
		map[string]metav1.Status{"Job": denied})
	rev := &helm.Record{Name: "arc", Namespace: "ns", Status: helm.Deployed}
	for _, name := range []string{"b", "a", "broken"} {
		rev.Objects = append(rev.Objects, helm.Object{APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: name})
	}
	rev.Hooks = []helm.Hook{{Kind: "Job", Manifest: "apiVersion: batch/v1\nkind: Job\nmetadata: {name: clean, labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n"}}
	r := newReader(t.Context(), c, Query{})
	out := Uninstall{Ready: true}
	r.forecast(rev, nil, &out)
	if len(out.Leaves) != 2 || out.Leaves[0].Name != "a" || out.Leaves[1].Name != "b" {
		t.Errorf("leaves %+v", out.Leaves)
	}
	if out.Ready || len(out.Why) != 1 || !strings.Contains(out.Why[0], "no cleaners") {
		t.Errorf("%+v", out)
	}
	if len(r.document.Unknown) != 1 || !strings.HasPrefix(r.document.Unknown[0], "release arc in namespace ns: whether Helm will delete it: reading secrets/broken in namespace ns") || len(r.errs) > 0 {
		t.Errorf("unknown %q, %v", r.document.Unknown, r.errs)
	}
	if r.patience >= previews {
		t.Error("a forecast takes nothing of the patience")
	}
	// There is no forecast for an uninstalled release, and none after the patience has run out.
	rev.Status = helm.Uninstalled
	out = Uninstall{Ready: true}
	r.forecast(rev, nil, &out)
	rev.Status, r.patience = helm.Deployed, 0
	r.forecast(rev, nil, &out)
	if !out.Ready || len(out.Leaves) > 0 {
		t.Errorf("%+v", out)
	}
}

// A request that fails makes its answer unknown, not good.
func TestForecastIsUnknown(t *testing.T) {
	t.Parallel()
	c := serve(t, map[string]int{"DISCOVER batch/v1": http.StatusForbidden, "DISCOVER /v1": http.StatusForbidden})
	rev := &helm.Record{Name: "arc", Namespace: "ns", Objects: []helm.Object{{APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: "x"}}}
	for _, kind := range []string{"batch/v1\nkind: Job", "rbac.authorization.k8s.io/v1\nkind: Role"} {
		rev.Hooks = append(rev.Hooks, helm.Hook{Kind: "x", Manifest: "apiVersion: " + kind + "\nmetadata: {name: clean, labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n"})
	}
	f := NewForecast(t.Context(), c, rev, nil)
	want := []string{
		`whether Helm will delete Secret "x": asking the API server for /api/v1`,
		`whether admission lets Helm create the hook's Job "clean": asking the API server for /apis/batch/v1`,
		`whether admission lets Helm create the hook's Role "clean": rbac.authorization.k8s.io/v1 is not served`,
	}
	all := strings.Join(f.Unknown, "\n")
	for _, w := range want {
		if !strings.Contains(all, w) {
			t.Errorf("not %q in %q", w, all)
		}
	}
	if len(f.Unknown) != len(want) || len(f.Leaves)+len(f.Refused) > 0 {
		t.Errorf("%+v", f)
	}
}

// A ClusterRole of the hook is tried without a namespace.
func TestClusterScopedHookObject(t *testing.T) {
	t.Parallel()
	made := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			made <- r.URL.Path + "?" + r.URL.RawQuery
			_, _ = w.Write([]byte(`{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}`))
			return
		}
		_ = json.NewEncoder(w).Encode(metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "clusterroles", Kind: "ClusterRole"}}})
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	rev := &helm.Record{Name: "arc", Namespace: "ns", Hooks: []helm.Hook{{Kind: "ClusterRole", Manifest: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: clean, labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n"}}}
	if f := NewForecast(t.Context(), c, rev, nil); len(f.Unknown)+len(f.Refused) > 0 {
		t.Errorf("%+v", f)
	}
	if got := <-made; got != "/apis/rbac.authorization.k8s.io/v1/clusterroles?dryRun=All" {
		t.Errorf("created at %s", got)
	}
}
