package status

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// record is a release as its record holds it.
type record struct {
	name, namespace string
	storage         string // where the record is, if elsewhere
	status          release.Status
	manifest        string
	hooks           []map[string]string
	broken          bool // what is stored is no record
}

func (r record) object() map[string]any {
	body, err := json.Marshal(map[string]any{
		"name": r.name, "namespace": r.namespace, "version": 1, "info": map[string]any{"status": r.status}, "manifest": r.manifest, "hooks": r.hooks,
	})
	if err != nil {
		panic(err)
	}
	data := base64.StdEncoding.EncodeToString(body)
	if r.broken {
		data = "!"
	}
	storage := r.namespace
	if r.storage != "" {
		storage = r.storage
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
		"metadata": map[string]any{
			"name": "sh.helm.release.v1." + r.name + ".v1", "namespace": storage,
			"labels": map[string]string{"owner": "helm", "name": r.name, "version": "1", "status": string(r.status)},
		},
		"data": map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))},
	}
}

// serve is an API server with these records, and nothing else.
func serve(t *testing.T, fail map[string]int, records ...record) *kube.Client {
	t.Helper()
	return serveMore(t, fail, nil, records...)
}

// serveMore has further objects, by the path of their list.
func serveMore(t *testing.T, fail map[string]int, more map[string][]map[string]any, records ...record) *kube.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(code int, body any) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(body)
		}
		parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/")
		namespace := ""
		if parts[0] == "namespaces" && len(parts) > 1 {
			namespace, parts = parts[1], parts[2:]
		}
		if code := max(fail[strings.Join(parts, "/")], fail[r.URL.Path]); code != 0 {
			answer(code, metav1.Status{Status: metav1.StatusFailure, Code: int32(code), Reason: metav1.StatusReasonForbidden})
			return
		}
		for list, objects := range more {
			if r.URL.Path == list {
				answer(http.StatusOK, map[string]any{"kind": "List", "apiVersion": "v1", "items": objects})
				return
			}
			for _, o := range objects {
				if m := o["metadata"].(map[string]any); r.URL.Path == list+"/"+m["name"].(string) {
					answer(http.StatusOK, o)
					return
				}
			}
			if strings.HasPrefix(r.URL.Path, list+"/") {
				answer(http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
				return
			}
		}
		if r.URL.Query().Get("dryRun") != "" {
			answer(http.StatusOK, map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": map[string]any{}})
			return
		}
		byLabels, _ := labels.Parse(r.URL.Query().Get("labelSelector"))
		byFields, _ := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
		items := []any{}
		for _, record := range records {
			o := record.object()
			m := o["metadata"].(map[string]any)
			if parts[0] != "secrets" || namespace != "" && m["namespace"] != namespace {
				continue
			}
			if len(parts) == 2 && parts[1] == m["name"] {
				answer(http.StatusOK, o)
				return
			}
			if byLabels.Matches(labels.Set(m["labels"].(map[string]string))) && byFields.Matches(fields.Set{"type": "helm.sh/release.v1"}) {
				items = append(items, map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": m})
			}
		}
		switch {
		case r.Method == http.MethodPost:
			answer(http.StatusOK, map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": true}})
		case len(parts) == 2, strings.HasPrefix(r.URL.Path, "/apis/actions.github.com"), strings.HasPrefix(r.URL.Path, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"):
			answer(http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
		default:
			answer(http.StatusOK, map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "items": items})
		}
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const set = `apiVersion: actions.github.com/v1alpha1
kind: AutoscalingRunnerSet
metadata: {name: set}
`

// hooked are the hooks of a release with the Job of ours, whose arguments are these.
func hooked(args ...string) []map[string]string {
	quoted, _ := json.Marshal(append([]string{"run"}, args...))
	return []map[string]string{{"name": "hook", "kind": "Job", "manifest": fmt.Sprintf(
		"metadata: {labels: {app.kubernetes.io/name: arc-cleanup, helm.sh/chart: arc-cleanup-1}, annotations: {helm.sh/hook: pre-delete}}\nspec: {template: {spec: {containers: [{args: %s}]}}}\n", quoted)}}
}

// options understands "--NAME=VALUE" of what matters here.
func options(args []string) (plan.Options, error) {
	o := plan.Options{Scope: plan.ScopeScaleSet, RequireUninstalling: true, ScaleSets: plan.RefuseScaleSets}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "--job":
			o.Job = value
		case "--release-namespace":
			o.ReleaseNamespace = value
		case "--storage-namespace":
			o.StorageNamespace = value
		case "--no-proof":
			o.RequireUninstalling = false
		default:
			return o, errors.New("unknown: " + arg)
		}
	}
	return o, nil
}

// What status says of a release's uninstall is what the hook will find, and every
// command works in the state in which it is printed.
func TestUninstall(t *testing.T) {
	t.Parallel()
	mine := hooked("--job=hook", "--release-namespace=ns")
	plain := func(status release.Status) record {
		return record{name: "arc", namespace: "ns", status: status, manifest: set}
	}
	with := func(status release.Status, hooks []map[string]string) record {
		r := plain(status)
		r.hooks = hooks
		return r
	}
	flux := with(release.Deployed, mine)
	flux.storage = "flux-system"
	unhooked := flux
	unhooked.hooks = nil
	labelled := plain(release.Deployed)
	labelled.manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata:\n  name: set\n  labels: {helm.toolkit.fluxcd.io/name: the-set}\n"
	overridden := plain(release.Deployed)
	overridden.manifest += "---\nkind: ConfigMap\nmetadata: {name: e, namespace: elsewhere, labels: {app.kubernetes.io/name: arc-cleanup, app.kubernetes.io/component: enroller}}\ndata: {hooks.json: '[]'}\n"
	other := func(status release.Status) record {
		return record{name: "other", namespace: "ns", status: status, hooks: mine}
	}
	both := func(name string, status release.Status) record {
		hooks := hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=tenant")
		r := record{name: name, namespace: "ns", storage: "tenant", status: status, hooks: hooks}
		if name == "arc" {
			r.manifest = set
		}
		return r
	}
	const without = "without the hook, ARC's CRDs stay, and so do finalizers that no controller clears"
	const rendered = "this revision was rendered without it"
	const enrol = "arc-cleanup enrol arc --namespace ns"
	tests := map[string]struct {
		records []record
		hook    Hook
		ready   bool
		why, do []string
	}{
		"with the hook": {[]record{with(release.Deployed, mine)}, Hook{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"failed":        {[]record{with(release.Failed, mine)}, Hook{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"asks no proof": {[]record{with(release.Deployed, hooked("--no-proof", "--release-namespace=ns"))}, Hook{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"asks no proof, and speaks for another namespace": {[]record{with(release.Deployed, hooked("--no-proof", "--release-namespace=other"))}, Hook{State: Present, Chart: "arc-cleanup-1"}, false, []string{"its hook is for a release in namespace other, and it is in ns"}, []string{enrol}},
		"deployed":       {[]record{plain(release.Deployed)}, Hook{State: Absent, Why: rendered}, false, []string{without}, []string{enrol}},
		"upgrade failed": {[]record{plain(release.Failed)}, Hook{State: Absent, Why: rendered}, false, []string{without}, []string{enrol}},
		"being upgraded": {[]record{plain(release.PendingUpgrade)}, Hook{State: Absent, Why: rendered}, false, []string{
			without, "release arc in namespace ns is pending-upgrade (revision 1): Helm is at work on it, and would overwrite the edit; try again when Helm has finished; if it was stopped, `helm rollback arc --namespace ns` ends that",
		}, nil},
		"being uninstalled": {[]record{plain(release.Uninstalling)}, Hook{State: Absent, Why: rendered}, false, []string{
			without, "release arc in namespace ns is uninstalling (revision 1): it is being uninstalled with its present hooks; `helm uninstall arc --namespace ns` goes on with that, and `arc-cleanup run` removes what it leaves of ARC",
		}, nil},
		"uninstalled, with its history": {[]record{with(release.Uninstalled, mine)}, Hook{State: Present, Chart: "arc-cleanup-1"}, false, []string{"it is uninstalled, and only its history is kept"}, nil},
		"of Flux":                       {[]record{labelled}, Hook{State: Absent, Why: rendered}, false, []string{without, `Flux's HelmRelease "the-set" would undo an enrolment`}, []string{"make arc-cleanup a dependency of its chart"}},
		"of Flux, with a log to print": {
			[]record{func() record {
				r := labelled
				r.hooks = hooked("--job=hook", "--release-namespace=ns")
				r.hooks[0]["manifest"] = strings.Replace(r.hooks[0]["manifest"], "annotations: {", "annotations: {helm.sh/hook-output-log-policy: hook-failed, ", 1)
				return r
			}()},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`Flux's helm-controller panics over a hook whose log is to be printed: the deletion of HelmRelease "the-set" would not end`},
			[]string{"set storageNamespace: ns among the values of arc-cleanup"},
		},
		"of Flux, with none": {
			[]record{func() record {
				r := labelled
				r.hooks = hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=ns")
				return r
			}()},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			true, nil, nil,
		},
		"of Flux, stored elsewhere": {
			[]record{flux},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook looks for Helm's record in namespace ns, and it is in flux-system: it would refuse"},
			[]string{"set storageNamespace: flux-system among the values of arc-cleanup"},
		},
		"of Flux, stored elsewhere, without the hook": {
			[]record{unhooked},
			Hook{State: Absent, Why: rendered},
			false,
			[]string{without, "its record is in namespace flux-system, where it cannot be enrolled"},
			[]string{"make arc-cleanup a dependency of its chart, with storageNamespace: flux-system"},
		},
		"of Flux, and told so": {[]record{func() record {
			r := flux
			r.hooks = hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=flux-system")
			return r
		}()}, Hook{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"told another storage": {
			[]record{with(release.Deployed, hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=flux-system"))},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook looks for Helm's record in namespace flux-system, and it is in ns: it would refuse"},
			[]string{"set storageNamespace: ns among the values of arc-cleanup"},
		},
		"rendered for another namespace": {
			[]record{with(release.Deployed, hooked("--job=hook", "--release-namespace=elsewhere"))},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook is for a release in namespace elsewhere, and it is in ns"},
			[]string{enrol},
		},
		"another Job's hook": {
			[]record{with(release.Deployed, hooked("--job=another", "--release-namespace=ns"))},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`its hook looks for a release with a hook Job "another", which this one does not have: it would refuse`},
			[]string{enrol},
		},
		"the enroller is elsewhere": {[]record{overridden}, Hook{State: Absent, Why: "release arc is in namespace ns, and its enroller in elsewhere (namespaceOverride), where the record is not; add --post-renderer-args=--namespace --post-renderer-args=ns to the command line of Helm, or use `arc-cleanup enrol arc --namespace ns`"}, false, []string{without}, []string{enrol}},
		"arguments nobody knows": {
			[]record{with(release.Deployed, hooked("--what"))},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook is not understood: the hook of release arc in namespace ns: unknown: --what"},
			nil,
		},
		"beside a release with the same Job": {
			[]record{with(release.Deployed, mine), other(release.Deployed)},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			true,
			[]string{`release other, which is deployed, has a hook Job "hook" as well`},
			nil,
		},
		"beside one that is being uninstalled": {
			[]record{other(release.Uninstalling), with(release.Deployed, mine)},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`release other, which is uninstalling, has a hook Job "hook" as well`},
			[]string{"helm uninstall other --namespace ns"},
		},
		"beside one that is being uninstalled, says who may write elsewhere": {
			[]record{both("other", release.Uninstalling), both("arc", release.Deployed)},
			Hook{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`release other, which is uninstalling, has a hook Job "hook" as well`},
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Read(t.Context(), serve(t, nil, test.records...), Query{Options: options})
			if err != nil || len(d.Releases) != 1 {
				t.Fatalf("%+v, %v", d, err)
			}
			got := d.Releases[0]
			if got.Hook != test.hook || got.Uninstall.Ready != test.ready {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff(slices.Concat(test.why, []string{"do:"}, test.do), slices.Concat(got.Uninstall.Why, []string{"do:"}, got.Uninstall.Do)); diff != "" {
				t.Error(diff)
			}
			if (got.Storage != "") != (test.records[0].storage != "") {
				t.Errorf("stored in %q", got.Storage)
			}
		})
	}
}

// One object that somebody has labelled, or broken, hides nothing else, and makes
// nothing uncertain but itself.
func TestOneBadRecord(t *testing.T) {
	t.Parallel()
	good := record{name: "arc", namespace: "ns", status: release.Deployed, manifest: set}
	tests := map[string]struct {
		bad  record
		fail map[string]int
		want string
		err  bool
	}{
		"nobody can read": {record{name: "bad", namespace: "tenant", status: release.Deployed, broken: true}, nil, "not in Helm's format", false},
		"no YAML":         {record{name: "bad", namespace: "tenant", status: release.Deployed, manifest: set + "---\nkind: [\n"}, nil, "the manifest of release bad in namespace tenant", false},
		"forbidden":       {record{name: "bad", namespace: "tenant", status: release.Deployed}, map[string]int{"secrets/sh.helm.release.v1.bad.v1": 403}, "reading secrets/sh.helm.release.v1.bad.v1 in namespace tenant", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Read(t.Context(), serve(t, test.fail, test.bad, good), Query{Options: options})
			if (err != nil) != test.err || len(d.Unknown) != 1 || !strings.Contains(d.Unknown[0], test.want) {
				t.Errorf("%v, unknown: %v", err, d.Unknown)
			}
			if len(d.Releases) != 1 || d.Releases[0].Name != "arc" {
				t.Errorf("%+v", d.Releases)
			}
		})
	}
	t.Run("not to be listed", func(t *testing.T) {
		t.Parallel()
		d, err := Read(t.Context(), serve(t, map[string]int{"secrets": 403}, good), Query{Options: options})
		if err == nil || len(d.Releases) != 0 || !slices.ContainsFunc(d.Unknown, func(u string) bool { return strings.HasPrefix(u, "listing secrets in all namespaces") }) {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

func TestQuery(t *testing.T) {
	t.Parallel()
	c := serve(t, nil,
		record{name: "b", namespace: "ns", status: release.Deployed, manifest: set},
		record{name: "a", namespace: "ns", status: release.Deployed, manifest: set},
		record{name: "a", namespace: "other", status: release.Deployed, manifest: set},
		record{name: "web", namespace: "other", status: release.Deployed, manifest: "kind: Pod\n"},
	)
	for q, want := range map[[2]string][]string{
		{"", ""}:    {"ns/a", "ns/b", "other/a"},
		{"ns", ""}:  {"ns/a", "ns/b"},
		{"", "a"}:   {"ns/a", "other/a"},
		{"ns", "a"}: {"ns/a"},
	} {
		d, err := Read(t.Context(), c, Query{Namespace: q[0], Release: q[1], Options: options})
		var got []string
		for _, r := range d.Releases {
			got = append(got, r.Namespace+"/"+r.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	}
}

// An off switch, and what the hook would refuse, are said, with what to do.
func TestNotReady(t *testing.T) {
	t.Parallel()
	mine := record{name: "arc", namespace: "ns", status: release.Deployed, manifest: set, hooks: hooked("--job=hook", "--release-namespace=ns")}
	off := map[string][]map[string]any{"/api/v1/namespaces/ns/configmaps": {{
		"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]any{"name": survey.OffSwitch, "namespace": "ns"},
	}}}
	d, err := Read(t.Context(), serveMore(t, nil, off, mine), Query{Options: options})
	if err != nil || d.Releases[0].Uninstall.Ready || !slices.Contains(d.Releases[0].Uninstall.Why, "the hook is switched off by the ConfigMap "+survey.OffSwitch) {
		t.Errorf("off: %+v, %v", d.Releases, err)
	}
	d, err = Read(t.Context(), serve(t, map[string]int{"/apis/rbac.authorization.k8s.io/v1/namespaces/ns/roles": 403}, mine), Query{Options: options})
	if err != nil || d.Releases[0].Uninstall.Ready || len(d.Releases[0].Uninstall.Why) == 0 || len(d.Releases[0].Uninstall.Do) == 0 {
		t.Errorf("refused: %+v, %v", d.Releases, err)
	}

	// It may be the one that has the same hook Job: the hook would not go on.
	broken := record{name: "broken", namespace: "ns", status: release.Uninstalling, broken: true}
	d, err = Read(t.Context(), serve(t, nil, mine, broken), Query{Options: options})
	if !errors.Is(err, release.ErrUnreadable) || len(d.Releases) != 1 || d.Releases[0].Uninstall.Ready || len(d.Releases[0].Uninstall.Why) != 1 || len(d.Unknown) != 2 {
		t.Errorf("beside a record that nobody can read: %+v, %v", d, err)
	}

	unknown := mine
	unknown.hooks = hooked("--what")
	d, err = Read(t.Context(), serve(t, nil, unknown), Query{Options: options})
	if err != nil || len(d.Unknown) != 1 {
		t.Errorf("arguments nobody knows: %v, %v", d.Unknown, err)
	}
	large := mine
	large.hooks = nil
	large.manifest += "---\nkind: ConfigMap\nmetadata: {name: arc-cleanup\ndata: {hooks.json: [}\n---\n# " + strings.Repeat("x", 100<<10) + "\n"
	d, err = Read(t.Context(), serve(t, nil, large), Query{Options: options})
	if err != nil || len(d.Unknown) != 1 || len(d.Releases) != 1 || d.Releases[0].Hook.State != Absent {
		t.Errorf("an enroller nobody can read: %+v, %v", d, err)
	}
}

// What cannot be listed is not absent.
func TestNotToBeListed(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/apis/actions.github.com/v1alpha1/autoscalingrunnersets": "listing autoscalingrunnersets.actions.github.com in all namespaces: ",
		"/apis/actions.github.com/v1alpha1/ephemeralrunners":      "listing ephemeralrunners.actions.github.com in all namespaces",
		"/api/v1/namespaces":                       "listing namespaces",
		"/apis/rbac.authorization.k8s.io/v1/roles": "could not read roles.rbac.authorization.k8s.io",
	} {
		d, err := Read(t.Context(), serve(t, map[string]int{path: 403}), Query{Options: options})
		if err == nil || !slices.ContainsFunc(d.Unknown, func(u string) bool { return strings.HasPrefix(u, want) }) {
			t.Errorf("%s: %v, %v", path, d.Unknown, err)
		}
	}
}

// Only a Job of ours that runs something is the hook.
func TestJobOf(t *testing.T) {
	t.Parallel()
	const metadata = "metadata: {labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n"
	const runs = metadata + "spec: {template: {spec: {containers: [{args: [run]}]}}}\n"
	for name, hook := range map[string]map[string]string{
		"a Pod":           {"name": "hook", "kind": "Pod", "manifest": runs},
		"no container":    {"name": "hook", "kind": "Job", "manifest": metadata},
		"of another form": {"name": "hook", "kind": "Job", "manifest": metadata + "spec: {template: {spec: {containers: [{args: 1}]}}}\n"},
		"somebody else's": {"name": "hook", "kind": "Job", "manifest": strings.Replace(runs, "arc-cleanup", "other", 1)},
	} {
		d, err := Read(t.Context(), serve(t, nil, record{name: "arc", namespace: "ns", status: release.Deployed, manifest: set, hooks: []map[string]string{hook}}), Query{Options: options})
		if err != nil || len(d.Releases) != 1 || d.Releases[0].Hook.State != Absent {
			t.Errorf("%s: %+v, %v", name, d.Releases, err)
		}
	}
}

// A scale set is a release's when it names it, and the record in that release's
// namespace has it. Whoever writes one of the two alone says nothing.
func TestAReleaseIsNamedWhereItsRecordHasTheSet(t *testing.T) {
	t.Parallel()
	names := func(name, namespace, release, of string) map[string]any {
		return map[string]any{"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1", "metadata": map[string]any{
			"name": name, "namespace": namespace, "uid": namespace + name,
			"annotations": map[string]any{"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": of},
		}}
	}
	elsewhere := strings.Replace(set, "name: set", "name: set, namespace: tenant", 1)
	c := serveMore(t, nil, map[string][]map[string]any{"/apis/actions.github.com/v1alpha1/autoscalingrunnersets": {
		names("set", "ns", "rel", "ns"),
		names("set", "tenant", "payments", "payments"), // no record of payments has it
		names("old", "tenant", "rel", "ns"),            // nor has the one of rel
		names("set", "flux", "stored", "flux"),         // anybody might store one anywhere
		names("set", "gone", "uninstalled", "gone"),
		names("set", "mute", "", ""),
	}},
		record{name: "rel", namespace: "ns", status: release.Deployed, manifest: set},
		record{name: "payments", namespace: "payments", storage: "tenant", status: release.Deployed, manifest: elsewhere},
		record{name: "claims", namespace: "tenant", status: release.Deployed, manifest: elsewhere},
		record{name: "stored", namespace: "flux", storage: "flux-system", status: release.Deployed, manifest: set},
		record{name: "uninstalled", namespace: "gone", status: release.Uninstalled, manifest: set},
		record{name: "mute", namespace: "mute", status: release.Deployed, manifest: set},
	)
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range d.ScaleSets {
		got[s.Namespace+"/"+s.Name] = s.ReleaseNamespace + "/" + s.Release
	}
	if diff := cmp.Diff(map[string]string{
		"ns/set": "ns/rel", "tenant/set": "/", "tenant/old": "/", "flux/set": "/", "gone/set": "/", "mute/set": "/",
	}, got); diff != "" {
		t.Error(diff)
	}
}

// A tenant may store any number of records: the rest of the picture is not lost to
// them, and each is named with the command that looks at it alone.
func TestPreviewsHaveAnEnd(t *testing.T) {
	t.Parallel()
	of := newReader(t.Context(), serve(t, nil,
		record{name: "a", namespace: "ns", status: release.Deployed, manifest: set, hooks: hooked("--job=hook", "--release-namespace=ns")},
	), Query{Options: options})
	of.patience = 0
	of.releases()
	u := of.document.Releases[0].Uninstall
	if u.Ready || !slices.Equal(u.Do, []string{"arc-cleanup status a --namespace ns"}) || len(u.Why) != 1 {
		t.Errorf("%+v", u)
	}
	of.patience = previews
	of.releases()
	if of.patience >= previews {
		t.Error("a preview takes nothing of the patience")
	}
}

// What is there, what hangs, and what holds it.
func TestSetsAndStuck(t *testing.T) {
	t.Parallel()
	const deleted = "2026-01-02T03:04:05Z"
	arc := "/apis/actions.github.com/v1alpha1/"
	runners := []map[string]any{{
		"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1",
		"metadata": map[string]any{
			"name": "live", "namespace": "ns", "uid": "1",
			"annotations": map[string]any{"meta.helm.sh/release-name": "rel", "meta.helm.sh/release-namespace": "relns"},
		},
		"status": map[string]any{"currentRunners": 3, "runningEphemeralRunners": 2},
	}, {
		"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1",
		"metadata": map[string]any{"name": "stuck", "namespace": "old", "uid": "2", "deletionTimestamp": deleted, "finalizers": []string{"autoscalingrunnerset.actions.github.com/finalizer", "c/d"}},
	}, {
		"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1",
		"metadata": map[string]any{"name": "later", "namespace": "waits", "uid": "3"},
	}}
	c := serveMore(t, nil, map[string][]map[string]any{
		arc + "autoscalingrunnersets": runners,
		"/api/v1/namespaces": {
			{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "ns"}},
			{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "old", "deletionTimestamp": deleted}},
			{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "slow", "deletionTimestamp": deleted}},
			{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "waits", "deletionTimestamp": deleted}},
		},
	})
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil || len(d.Unknown) > 0 {
		t.Errorf("what refuses is no unknown: %v, %v", d.Unknown, err)
	}
	if diff := cmp.Diff([]ScaleSet{
		{Namespace: "ns", Name: "live", Runners: 3, Busy: 2}, // the release has no record
		{Namespace: "old", Name: "stuck", Deleting: true},
		{Namespace: "waits", Name: "later"},
	}, d.ScaleSets); diff != "" {
		t.Error(diff)
	}
	var stuck []string
	for _, o := range d.Stuck {
		stuck = append(stuck, fmt.Sprintf("%s %s/%s %t: %s", o.Resource, o.Namespace, o.Name, o.Since != nil, o.Why))
	}
	if diff := cmp.Diff([]string{
		"namespaces /old true: is Terminating, and held by 1 of ARC's custom resources",
		"namespaces /waits true: is Terminating, and has 1 of ARC's custom resources, which Kubernetes deletes after the namespace's Pods",
		"autoscalingrunnersets.actions.github.com old/stuck true: is being deleted, and held by autoscalingrunnerset.actions.github.com/finalizer, c/d",
	}, stuck); diff != "" {
		t.Error(diff)
	}
}

// What a run by hand would take away is named as well, each object once.
func TestOrphans(t *testing.T) {
	t.Parallel()
	protected := map[string]any{"name": "manager", "namespace": "ns", "uid": "1", "finalizers": []string{"actions.github.com/cleanup-protection"}}
	c := serveMore(t, nil, map[string][]map[string]any{
		"/apis/rbac.authorization.k8s.io/v1/roles": {{"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": protected}},
	})
	d, err := Read(t.Context(), c, Query{Options: options})
	want := []Object{{Resource: "roles.rbac.authorization.k8s.io", Namespace: "ns", Name: "manager", Why: "no controller looks after it"}}
	if diff := cmp.Diff(want, d.Stuck); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

// TestStuckLegacy: of what hangs it does not matter which ARC it is of.
func TestStuckLegacy(t *testing.T) {
	t.Parallel()
	const deleted, group = "2026-01-02T03:04:05Z", "/apis/actions.summerwind.dev"
	c := serveMore(t, nil, map[string][]map[string]any{
		group + "/v1alpha1/runners": {{
			"kind": "Runner", "apiVersion": "actions.summerwind.dev/v1alpha1",
			"metadata": map[string]any{"name": "r", "namespace": "ci", "uid": "1", "deletionTimestamp": deleted, "finalizers": []string{"runner.actions.summerwind.dev"}},
		}},
		"/api/v1/namespaces":                  {{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "ci", "deletionTimestamp": deleted}}},
		"/apis/coordination.k8s.io/v1/leases": {{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": map[string]any{"name": "actions-runner-controller", "namespace": "ci"}}},
	})
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil || len(d.Unknown) > 0 {
		t.Errorf("unknown: %v, %v", d.Unknown, err)
	}
	var stuck []string
	for _, o := range d.Stuck {
		stuck = append(stuck, fmt.Sprintf("%s %s/%s: %s", o.Resource, o.Namespace, o.Name, o.Why))
	}
	if diff := cmp.Diff([]string{
		"namespaces /ci: is Terminating, and held by 1 of ARC's custom resources",
		"runners.actions.summerwind.dev ci/r: is being deleted, and held by runner.actions.summerwind.dev",
	}, stuck); diff != "" {
		t.Error(diff)
	}
	if len(d.Remains) != 1 || !strings.HasPrefix(d.Remains[0].What, "the Lease actions-runner-controller in namespace ci") {
		t.Errorf("beside: %v", d.Remains)
	}
}

// Whoever may read ARC's kinds only is told that legacy ARC's could not be read where
// the API server serves them, and not where there is none.
func TestStatusWithoutRightsOnLegacyARC(t *testing.T) {
	t.Parallel()
	const group = "/apis/actions.summerwind.dev"
	fail := map[string]int{}
	for _, gvr := range arc.LegacyResources() {
		fail[group+"/"+gvr.Version+"/"+gvr.Resource] = http.StatusForbidden
	}
	d, err := Read(t.Context(), serveMore(t, fail, nil), Query{Options: options})
	if err != nil || len(d.Unknown) > 0 {
		t.Errorf("there is none: %q, %v", d.Unknown, err)
	}
	fail[group] = http.StatusInternalServerError
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if d, err = Read(ctx, serveMore(t, fail, nil), Query{Options: options}); err == nil || len(d.Unknown) == 0 {
		t.Error("whether there is any is not known")
	}
}
