package survey

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestObjectKeepsWhatIdentifiesIt(t *testing.T) {
	now := metav1.Now()
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "runners", Name: "r", UID: "u", Finalizers: []string{"f"}, DeletionTimestamp: &now,
		Labels:      map[string]string{arc.LabelScaleSetName: "set", arc.LabelScaleSetNamespace: "ns"},
		Annotations: map[string]string{"meta.helm.sh/release-name": "rel", "meta.helm.sh/release-namespace": "relns"},
	}}
	want := kubetest.Object("er runners/r", kubetest.Deleting, kubetest.Finalizers("f"), kubetest.Of("runners/set"), kubetest.By("relns/rel"))
	want.UID = "u"
	if diff := cmp.Diff(want, FromMetadata(kubetest.Short["er"], m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Only objects in the controller's namespace may belong to a set in another namespace.
	if got := FromMetadata(kubetest.Short["al"], m).ScaleSet; got != kubetest.Named("ns/set") {
		t.Errorf("a listener's scale set %s", got)
	}
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingListener}}
	if got := FromMetadata(kubetest.Short["pod"], m).ScaleSet; got != kubetest.Named("ns/set") {
		t.Errorf("a listener's Pod's scale set %s", got)
	}
	// A scale set belongs to itself, whatever its labels say.
	if got := FromMetadata(kubetest.Short["ars"], m).ScaleSet; got != kubetest.Named("runners/r") {
		t.Errorf("scale set %s", got)
	}
}

func TestOwnerIsOfARCOrNobody(t *testing.T) {
	owner := func(apiVersion string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: apiVersion, UID: uid}
	}
	tests := map[string]struct {
		owners []metav1.OwnerReference
		want   types.UID
	}{
		"nobody":                     {nil, ""},
		"ARC":                        {[]metav1.OwnerReference{owner("actions.github.com/v1alpha1", "1")}, "1"},
		"a later version of ARC":     {[]metav1.OwnerReference{owner("actions.github.com/v1", "1")}, "1"},
		"another owner":              {[]metav1.OwnerReference{owner("apps/v1", "1")}, ""},
		"a group that looks like it": {[]metav1.OwnerReference{owner("actions.github.com.example.com/v1", "1")}, ""},
		"ARC and another owner":      {[]metav1.OwnerReference{owner("actions.github.com/v1alpha1", "1"), owner("batch/v1", "2")}, ""},
		"an object of ARC twice":     {[]metav1.OwnerReference{owner("actions.github.com/v1alpha1", "1"), owner("actions.github.com/v1alpha1", "1")}, "1"},
		// The garbage collector keeps an object as long as one of its owners exists. ARC gives none two.
		"two objects of ARC":    {[]metav1.OwnerReference{owner("actions.github.com/v1alpha1", "1"), owner("actions.github.com/v1alpha1", "2")}, ""},
		"another owner and ARC": {[]metav1.OwnerReference{owner("batch/v1", "2"), owner("actions.github.com/v1alpha1", "1")}, ""},
	}
	for name, test := range tests {
		m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{OwnerReferences: test.owners}}
		if got := FromMetadata(object.Pods, m).Owner; got != test.want {
			t.Errorf("%s: owner %q, want %q", name, got, test.want)
		}
	}
}

func TestListenerRBACIsKnownByAllItsLabels(t *testing.T) {
	all := []string{arc.LabelListenerName, arc.LabelListenerNamespace, arc.LabelScaleSetName, arc.LabelScaleSetNamespace}
	labelled := func(keys ...string) *metav1.PartialObjectMetadata {
		m := &metav1.PartialObjectMetadata{}
		for _, k := range keys {
			metav1.SetMetaDataLabel(&m.ObjectMeta, k, "x")
		}
		return m
	}
	if !isListenerRBAC(labelled(all...)) {
		t.Error("not known by all its labels")
	}
	for i := range all {
		if isListenerRBAC(labelled(slices.Delete(slices.Clone(all), i, i+1)...)) {
			t.Errorf("known without %s", all[i])
		}
	}
	ownedBy := labelled(all...)
	ownedBy.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1"}}
	if isListenerRBAC(ownedBy) {
		t.Error("known though it has an owner")
	}
}

func TestSurveySortsWhatItFinds(t *testing.T) {
	t.Parallel()
	listener := kubetest.Whole(kubetest.Object("role runners/listener", kubetest.Of("runners/set")))[0]
	listener.Labels[arc.LabelListenerName], listener.Labels[arc.LabelListenerNamespace] = "l", "systems"
	ownedRole := kubetest.Whole(kubetest.Object("role runners/owned", kubetest.Owned("x")))[0]
	unrelated := kubetest.Deployment("web/app", "")
	unrelated.Labels = map[string]string{arc.LabelPartOf: "gha-rs-controller"}
	unrelated.Rest = nil
	set := kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu")))[0]
	set.Rest = map[string]any{"status": map[string]any{"currentRunners": 3, "runningEphemeralRunners": 2}}
	items := append(kubetest.Whole(kubetest.CRDs()...), listener, ownedRole, unrelated, set,
		kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")), kubetest.Down(kubetest.Deployment("team/b", "theirs")))
	items = append(items, kubetest.Whole(
		kubetest.Object("er runners/b"), kubetest.Object("er runners/a"), kubetest.Object("ers runners/s"), kubetest.Object("al systems/l"),
		kubetest.Protected("secret runners/github", kubetest.Owned("al systems/l")), kubetest.Protected("rolebinding runners/kube"),
		kubetest.Object("secret runners/jit", kubetest.Owned("er runners/a")), kubetest.Object("secret runners/theirs"), kubetest.Object("secret runners/foreign", kubetest.Finalizers("example.com/f")),
		kubetest.Object("secret runners/held", kubetest.Deleting, kubetest.Finalizers("example.com/f")), kubetest.Object("secret runners/going", kubetest.Deleting),
		kubetest.Object("pod runners/a", kubetest.Owned("er runners/a")), kubetest.Object("pod runners/theirs"), kubetest.Object("sa systems/l", kubetest.Owned("al systems/l")),
		kubetest.Object("ns runners", kubetest.Deleting), kubetest.Object("ns systems"))...)
	_, c := kubetest.New(t, items...)

	s := Read(t.Context(), c, plantest.ByHand)
	type summary struct {
		CRDs                                        int
		Custom, Protected, ListenerRBAC, Dependents []string
		Held                                        []string
		Controllers                                 []string
		Terminating                                 map[string]plan.Terminating
		Sets                                        map[types.UID]plan.ScaleSetInfo
		Unknown                                     []plan.Unknown
	}
	got := summary{len(s.CRDs), kubetest.Refs(s.Custom), kubetest.Refs(s.Protected), kubetest.Refs(s.ListenerRBAC), kubetest.Refs(s.Dependents), kubetest.Refs(s.Held), nil, s.Terminating, s.Sets, s.Unknown}
	for _, c := range s.Controllers {
		got.Controllers = append(got.Controllers, fmt.Sprintf("%s/%s of %q watches %q, down %q", c.Namespace, c.Name, c.Release.Name, c.Watches, c.Down))
	}
	terminating := plantest.Gone("runners")
	terminating["runners"] = plan.Terminating{Object: terminating["runners"].Object, Pods: []*object.Object{kubetest.Object("pod runners/a", kubetest.Owned("er runners/a")), kubetest.Object("pod runners/theirs")}}
	want := summary{
		CRDs:         4,
		Custom:       []string{"er runners/a", "er runners/b", "ers runners/s", "al systems/l", "ars runners/set"},
		Protected:    []string{"rolebinding runners/kube", "secret runners/github"},
		ListenerRBAC: []string{"role runners/listener"},
		Dependents:   []string{"pod runners/a", "sa systems/l", "secret runners/jit"},
		Held:         []string{"secret runners/held"},
		Controllers:  []string{`systems/arc of "arc" watches [], down ""`, `team/b of "" watches ["theirs"], down "has no ready replica"`},
		Terminating:  terminating,
		Sets:         map[types.UID]plan.ScaleSetInfo{"ars runners/set": {Current: 3, Running: 2, Name: "set"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSurveyKnowsAbsentFromUnknown(t *testing.T) {
	t.Parallel()
	only := func(request string, code int) func(string) int {
		return func(r string) int {
			if r == request {
				return code
			}
			return 0
		}
	}
	crdsBut := func(name string, mods ...kubetest.Change) []kubetest.Item {
		return kubetest.Whole(append(slices.DeleteFunc(kubetest.CRDs(), func(o *object.Object) bool { return strings.HasPrefix(o.Name, name) }), kubetest.Object("crd "+name+"."+arc.Group, mods...))...)
	}
	tests := map[string]struct {
		items []kubetest.Item
		fault func(string) int
		want  []string
	}{
		"no CRD is no ARC":                      {nil, nil, nil},
		"all there":                             {kubetest.Whole(kubetest.CRDs()...), nil, nil},
		"a CRD that is not served":              {kubetest.Whole(kubetest.CRDs()...), only("LIST ers", 404), []string{"ephemeralrunnersets.actions.github.com"}},
		"a CRD on its way out need not be":      {crdsBut("ephemeralrunnersets", kubetest.Deleting), only("LIST ers", 404), nil},
		"a custom resource that may not be":     {kubetest.Whole(kubetest.CRDs()...), only("LIST er", 403), []string{"ephemeralrunners.actions.github.com"}},
		"a core resource that is not there":     {nil, only("LIST secret", 404), []string{"secrets"}},
		"Pods that are not there":               {nil, only("LIST pod", 404), []string{"jobs of runners", "pods"}},
		"Deployments that may not be read":      {nil, only("LIST deploy", 403), []string{"ARC controllers"}},
		"namespaces that may not be read":       {nil, only("LIST ns", 403), []string{"namespaces"}},
		"a CRD that may not be read":            {nil, only("GET crd ephemeralrunners.actions.github.com", 403), []string{"crd ephemeralrunners.actions.github.com"}},
		"scale sets, which are read two ways":   {kubetest.Whole(kubetest.CRDs()...), only("LIST ars", 403), []string{"autoscalingrunnersets.actions.github.com", "autoscalingrunnersets.actions.github.com"}},
		"bindings of roles that may not be":     {nil, only("LIST rolebinding", 403), []string{"rolebindings.rbac.authorization.k8s.io"}},
		"Helm's records, when they are invalid": {nil, only("LIST configmap systems", 422), []string{"the Helm release"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, test.items...)
			a.Fault = test.fault
			o := plantest.InArgo
			s := Read(t.Context(), c, o)
			var got []string
			for _, u := range s.Unknown {
				got = append(got, u.What)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSurveyOfAScaleSetStaysInItsNamespaces(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Object("ars runners/other", kubetest.By("elsewhere/other")))...)...)
	outside := make(chan string, 100)
	a.Fault = func(r string) int {
		switch r {
		case "LIST ars runners", "LIST ers runners", "LIST er runners", "LIST al systems", "LIST deploy systems", "LIST pod runners",
			"LIST rolebinding runners", "LIST role runners", "LIST sa runners", "LIST secret runners", "LIST configmap runners",
			"GET configmap runners/arc-cleanup-off":
			return 0
		}
		outside <- r
		return http.StatusForbidden
	}
	Read(t.Context(), c, plantest.OfSet)
	close(outside)
	for r := range outside {
		t.Errorf("asked for %s, for which the chart grants no right", r)
	}
}

// A listener's dependents are in the controller's namespace, whichever namespace the controller
// watches.
func TestSurveyFindsWhatListenersOwn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		watches string
		want    []string
	}{
		"all namespaces":  {"", []string{"pod runners/r", "pod systems/l", "sa systems/l", "secret systems/l"}},
		"another one":     {"runners", []string{"pod runners/r", "pod systems/l", "sa systems/l", "secret systems/l"}},
		"its own, it all": {"systems", []string{"pod systems/l", "sa systems/l", "secret systems/l"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, c := kubetest.New(t, kubetest.Whole(
				kubetest.Object("pod runners/r", kubetest.Owned("er runners/r")), kubetest.Object("pod systems/l", kubetest.Owned("al systems/l")), kubetest.Object("sa systems/l", kubetest.Owned("al systems/l")),
				kubetest.Object("secret systems/l", kubetest.Owned("al systems/l")), kubetest.Object("secret systems/helm"), kubetest.Object("role systems/owned", kubetest.Owned("x")))...)
			o := plantest.InArgo
			o.WatchNamespaces = kubetest.ListOf(test.watches)
			named := plan.Options{Scope: plan.ScopeController, WatchNamespaces: o.WatchNamespaces, ControllerNamespaces: []string{"systems"}}
			for by, o := range map[string]plan.Options{"a hook": o, "by hand": named} {
				got := kubetest.Refs(Read(t.Context(), c, o).Dependents)
				slices.Sort(got)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", by, diff)
				}
			}
		})
	}
}

func TestForbiddenStaysForbiddenInTheSurvey(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t)
	a.Fault = func(r string) int {
		if r == "LIST pod" {
			return http.StatusForbidden
		}
		return 0
	}
	s := Read(t.Context(), c, plantest.ByHand)
	if len(s.Unknown) != 2 { // Pods, and the jobs that depend on them
		t.Errorf("unknown: %v", s.Unknown)
	}
	for _, u := range s.Unknown {
		if !apierrors.IsForbidden(u.Err) {
			t.Errorf("unknown: %v", u)
		}
	}
}

// Each Deployment that looks like a controller is read exactly once.
func TestReadingControllers(t *testing.T) {
	t.Parallel()
	both := kubetest.Deployment("systems/arc", "")
	both.Labels[arc.LabelPartOf] = "gha-rs-controller"
	odd := kubetest.Deployment("team/odd", "")
	odd.Rest = map[string]any{"spec": "x"}
	no := func(code int, request string) func(string) int { return kubetest.On(code, kubetest.Always, request) }
	for name, test := range map[string]struct {
		items []kubetest.Item
		fault func(string) int
		found int
		want  int // failed reads
	}{
		"by two labels":    {[]kubetest.Item{both, kubetest.Deployment("team/b", "theirs")}, nil, 2, 0},
		"not to be read":   {[]kubetest.Item{both}, no(http.StatusForbidden, "LIST deploy"), 0, 1},
		"of another form":  {[]kubetest.Item{odd}, nil, 0, 1},
		"nothing of ARC's": {kubetest.Whole(kubetest.Object("deploy web/app")), nil, 0, 0},
	} {
		a, c := kubetest.New(t, test.items...)
		a.Fault = test.fault
		s := Read(t.Context(), c, plantest.ByHand)
		if len(s.Controllers) != test.found || len(s.Unknown) != test.want {
			t.Errorf("%s: controllers %+v, unknown %v", name, s.Controllers, s.Unknown)
		}
	}
}

func TestASurveyHasAnOrder(t *testing.T) {
	t.Parallel()
	s := &plan.Survey{
		CRDs: []*object.Object{kubetest.Object("crd b"), kubetest.Object("crd a")}, Custom: []*object.Object{kubetest.Object("ars a/a"), kubetest.Object("er b/a"), kubetest.Object("er a/b"), kubetest.Object("er a/a")},
		Protected: []*object.Object{kubetest.Object("secret a/a"), kubetest.Object("role a/a")}, ListenerRBAC: []*object.Object{kubetest.Object("role b/a"), kubetest.Object("role a/a")},
		Held: []*object.Object{kubetest.Object("secret a/b"), kubetest.Object("secret a/a")}, Dependents: []*object.Object{kubetest.Object("pod b/a"), kubetest.Object("pod a/a")}, Linked: []*object.Object{kubetest.Object("pod b/a"), kubetest.Object("pod a/a")},
	}
	order(s)
	for what, test := range map[string]struct {
		got  []*object.Object
		want []string
	}{
		"CRDs": {s.CRDs, []string{"crd a", "crd b"}}, "custom": {s.Custom, []string{"er a/a", "er a/b", "er b/a", "ars a/a"}},
		"protected": {s.Protected, []string{"role a/a", "secret a/a"}}, "listeners": {s.ListenerRBAC, []string{"role a/a", "role b/a"}},
		"held": {s.Held, []string{"secret a/a", "secret a/b"}}, "dependents": {s.Dependents, []string{"pod a/a", "pod b/a"}}, "linked": {s.Linked, []string{"pod a/a", "pod b/a"}},
	} {
		kubetest.ExpectStrings(t, what, kubetest.Refs(test.got), test.want...)
	}
}

// Dependents are read before their owners: the read of an owner's kind begins after the reads of
// all its dependents.
func TestASurveyReadsChildrenFirst(t *testing.T) {
	t.Parallel()
	for scope, test := range map[string]struct {
		options plan.Options
		items   []kubetest.Item
		core    []string
		kinds   []string
	}{
		"ARC":    {plantest.ByHand, kubetest.Whole(kubetest.CRDs()...), []string{"LIST pod", "LIST secret", "LIST role", "LIST sa"}, []string{"LIST er", "LIST ers", "LIST al", "LIST ars"}},
		"legacy": {plantest.LegacyByHand, kubetest.Whole(kubetest.LegacyCRDs()...), []string{"LIST sts", "LIST role"}, []string{"LIST run", "LIST rrs", "LIST rset", "LIST rd"}},
	} {
		a, c := kubetest.New(t, test.items...)
		var mu sync.Mutex
		under, begun := map[string]bool{}, 0
		a.Fault = func(request string) int {
			mu.Lock()
			defer mu.Unlock()
			core, kind := slices.Contains(test.core, request), slices.Contains(test.kinds, request)
			switch {
			case !core && !kind:
				return 0
			case kind && len(under) > 0:
				t.Errorf("%s: %s while %v is read", scope, request, under)
			case core && begun > 0:
				return 0
			}
			if kind {
				begun++
			}
			under[request] = true
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			delete(under, request)
			return 0
		}
		Read(t.Context(), c, test.options)
		if begun < len(test.kinds) {
			t.Errorf("%s: only %d kinds are read", scope, begun)
		}
	}
}

// A list of whole objects includes all pages.
func TestListHasAllPages(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		next := map[string]string{"": "x", "x": ""}[q.Get("continue")]
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "v1", "kind": "PodList", "metadata": map[string]any{"continue": next},
			"items": []any{map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "after-" + q.Get("continue") + q.Get("limit") + q.Get("labelSelector")}}},
		})
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	pods, err := c.List(t.Context(), object.Pods, "ns", "a=b")
	if err != nil || len(pods) != 2 || pods[0].GetName() != "after-20a=b" || pods[1].GetName() != "after-x20a=b" {
		t.Errorf("%v, error %v", pods, err)
	}
}
