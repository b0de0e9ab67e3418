package cleanup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

func TestObjectKeepsWhatIdentifiesIt(t *testing.T) {
	now := metav1.Now()
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "runners", Name: "r", UID: "u", Finalizers: []string{"f"}, DeletionTimestamp: &now,
		Labels:      map[string]string{arc.LabelScaleSetName: "set", arc.LabelScaleSetNamespace: "ns"},
		Annotations: map[string]string{"meta.helm.sh/release-name": "rel", "meta.helm.sh/release-namespace": "relns"},
	}}
	want := obj("er runners/r", deleting, finalizers("f"), of("runners/set"), by("relns/rel"))
	want.UID = "u"
	if diff := cmp.Diff(want, fromMetadata(short["er"], m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Only what lives beside the controller is of a set in another namespace.
	if got := fromMetadata(short["al"], m).ScaleSet; got != named("ns/set") {
		t.Errorf("a listener's scale set %s", got)
	}
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingListener}}
	if got := fromMetadata(short["pod"], m).ScaleSet; got != named("ns/set") {
		t.Errorf("a listener's Pod's scale set %s", got)
	}
	// A scale set belongs to itself, whatever its labels say.
	if got := fromMetadata(short["ars"], m).ScaleSet; got != named("runners/r") {
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
		"somebody else":              {[]metav1.OwnerReference{owner("apps/v1", "1")}, ""},
		"a group that looks like it": {[]metav1.OwnerReference{owner("actions.github.com.example.com/v1", "1")}, ""},
		"ARC and somebody else":      {[]metav1.OwnerReference{owner("actions.github.com/v1alpha1", "1"), owner("batch/v1", "2")}, ""},
		"somebody else and ARC":      {[]metav1.OwnerReference{owner("batch/v1", "2"), owner("actions.github.com/v1alpha1", "1")}, ""},
	}
	for name, test := range tests {
		m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{OwnerReferences: test.owners}}
		if got := fromMetadata(object.Pods, m).Owner; got != test.want {
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

// refs names objects.
func refs(objects []*object.Object) (out []string) {
	for _, o := range objects {
		out = append(out, ref(o))
	}
	return out
}

func TestSurveySortsWhatItFinds(t *testing.T) {
	t.Parallel()
	listener := whole(obj("role runners/listener", of("runners/set")))[0]
	listener.labels[arc.LabelListenerName], listener.labels[arc.LabelListenerNamespace] = "l", "systems"
	ownedRole := whole(obj("role runners/owned", owned("x")))[0]
	unrelated := deployment("web/app", "")
	unrelated.labels = map[string]string{arc.LabelPartOf: "gha-rs-controller"}
	unrelated.rest = nil
	set := whole(obj("ars runners/set", by("runners/gpu")))[0]
	set.rest = map[string]any{"status": map[string]any{"currentRunners": 3, "runningEphemeralRunners": 2}}
	items := append(whole(crdObjects()...), listener, ownedRole, unrelated, set,
		deployment("systems/arc", "", by("systems/arc")), down(deployment("team/b", "theirs")))
	items = append(items, whole(
		obj("er runners/b"), obj("er runners/a"), obj("ers runners/s"), obj("al systems/l"),
		protected("secret runners/github", owned("al systems/l")), protected("rolebinding runners/kube"),
		obj("secret runners/jit", owned("er runners/a")), obj("secret runners/theirs"), obj("secret runners/foreign", finalizers("example.com/f")),
		obj("secret runners/held", deleting, finalizers("example.com/f")), obj("secret runners/going", deleting),
		obj("pod runners/a", owned("er runners/a")), obj("pod runners/theirs"), obj("sa systems/l", owned("al systems/l")),
		obj("ns runners", deleting), obj("ns systems"))...)
	_, c := newAPI(t, items...)

	s := survey(t.Context(), c, byHand)
	type summary struct {
		CRDs                                        int
		Custom, Protected, ListenerRBAC, Dependents []string
		Held                                        []string
		Controllers                                 []string
		Terminating                                 map[string]Terminating
		Sets                                        map[types.UID]ScaleSetInfo
		Unknown                                     []Unknown
	}
	got := summary{len(s.CRDs), refs(s.Custom), refs(s.Protected), refs(s.ListenerRBAC), refs(s.Dependents), refs(s.Held), nil, s.Terminating, s.Sets, s.Unknown}
	for _, c := range s.Controllers {
		got.Controllers = append(got.Controllers, fmt.Sprintf("%s/%s of %q watches %q, down %q", c.Namespace, c.Name, c.Release.Name, c.Watches, c.Down))
	}
	terminating := gone("runners")
	terminating["runners"] = Terminating{Object: terminating["runners"].Object, Pods: []*object.Object{obj("pod runners/a", owned("er runners/a")), obj("pod runners/theirs")}}
	want := summary{
		CRDs:         4,
		Custom:       []string{"er runners/a", "er runners/b", "ers runners/s", "al systems/l", "ars runners/set"},
		Protected:    []string{"rolebinding runners/kube", "secret runners/github"},
		ListenerRBAC: []string{"role runners/listener"},
		Dependents:   []string{"pod runners/a", "sa systems/l", "secret runners/jit"},
		Held:         []string{"secret runners/held"},
		Controllers:  []string{`systems/arc of "arc" watches [], down ""`, `team/b of "" watches ["theirs"], down "has no ready replica"`},
		Terminating:  terminating,
		Sets:         map[types.UID]ScaleSetInfo{"ars runners/set": {Current: 3, Running: 2, Name: "set"}},
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
	crdsBut := func(name string, mods ...with) []item {
		return whole(append(slices.DeleteFunc(crdObjects(), func(o *object.Object) bool { return strings.HasPrefix(o.Name, name) }), obj("crd "+name+"."+arc.Group, mods...))...)
	}
	tests := map[string]struct {
		items []item
		fault func(string) int
		want  []string
	}{
		"no CRD is no ARC":                      {nil, nil, nil},
		"all there":                             {whole(crdObjects()...), nil, nil},
		"a CRD that is not served":              {whole(crdObjects()...), only("LIST ers", 404), []string{"ephemeralrunnersets.actions.github.com"}},
		"a CRD on its way out need not be":      {crdsBut("ephemeralrunnersets", deleting), only("LIST ers", 404), nil},
		"a custom resource that may not be":     {whole(crdObjects()...), only("LIST er", 403), []string{"ephemeralrunners.actions.github.com"}},
		"a core resource that is not there":     {nil, only("LIST secret", 404), []string{"secrets"}},
		"Pods that are not there":               {nil, only("LIST pod", 404), []string{"jobs of runners", "pods"}},
		"Deployments that may not be read":      {nil, only("LIST deploy", 403), []string{"ARC controllers"}},
		"namespaces that may not be read":       {nil, only("LIST ns", 403), []string{"namespaces"}},
		"a CRD that may not be read":            {nil, only("GET crd ephemeralrunners.actions.github.com", 403), []string{"crd ephemeralrunners.actions.github.com"}},
		"scale sets, which are read two ways":   {whole(crdObjects()...), only("LIST ars", 403), []string{"autoscalingrunnersets.actions.github.com", "autoscalingrunnersets.actions.github.com"}},
		"bindings of roles that may not be":     {nil, only("LIST rolebinding", 403), []string{"rolebindings.rbac.authorization.k8s.io"}},
		"Helm's records, when they are invalid": {nil, only("LIST configmap systems", 422), []string{"the Helm release"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := newAPI(t, test.items...)
			a.fault = test.fault
			o := inArgo
			s := survey(t.Context(), c, o)
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
	a, c := newAPI(t, append(whole(crdObjects()...), whole(obj("ars runners/other", by("elsewhere/other")))...)...)
	outside := make(chan string, 100)
	a.fault = func(r string) int {
		switch r {
		case "LIST ars runners", "LIST ers runners", "LIST er runners", "LIST al systems", "LIST deploy systems", "LIST pod runners",
			"LIST rolebinding runners", "LIST role runners", "LIST sa runners", "LIST secret runners", "LIST configmap runners",
			"GET configmap runners/arc-cleanup-off":
			return 0
		}
		outside <- r
		return http.StatusForbidden
	}
	survey(t.Context(), c, ofSet)
	close(outside)
	for r := range outside {
		t.Errorf("asked for %s, for which the chart grants no right", r)
	}
}

// What a controller's listeners own is beside it, whatever namespace it watches.
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
			_, c := newAPI(t, whole(
				obj("pod runners/r", owned("er runners/r")), obj("pod systems/l", owned("al systems/l")), obj("sa systems/l", owned("al systems/l")),
				obj("secret systems/l", owned("al systems/l")), obj("secret systems/helm"), obj("role systems/owned", owned("x")))...)
			o := inArgo
			o.WatchNamespaces = list1(test.watches)
			named := Options{Scope: Controller, WatchNamespaces: o.WatchNamespaces, ControllerNamespaces: []string{"systems"}}
			for by, o := range map[string]Options{"a hook": o, "by hand": named} {
				got := refs(survey(t.Context(), c, o).Dependents)
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
	a, c := newAPI(t)
	a.fault = func(r string) int {
		if r == "LIST pod" {
			return http.StatusForbidden
		}
		return 0
	}
	s := survey(t.Context(), c, byHand)
	if len(s.Unknown) != 2 { // Pods, and with them who is busy
		t.Errorf("unknown: %v", s.Unknown)
	}
	for _, u := range s.Unknown {
		if !apierrors.IsForbidden(u.Err) {
			t.Errorf("unknown: %v", u)
		}
	}
}

// What cannot be asked about is unknown, whatever the time.
func TestWhetherItIsServedIsNotKnown(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t)
	a.fault = on(http.StatusForbidden, always, "DISCOVER "+arc.Group)
	o := ofSet
	o.RequireUninstalling, o.Job, o.Release = false, "", "gpu"
	if s := survey(t.Context(), c, o); len(s.Unknown) != 1 || s.Unknown[0].What != "whether actions.github.com is served" || !apierrors.IsForbidden(s.Unknown[0].Err) {
		t.Errorf("unknown %v", s.Unknown)
	}
	// Where the CRDs' absence was read there is no doubt.
	if s := survey(t.Context(), c, byHand); len(s.Unknown) > 0 {
		t.Errorf("unknown %v", s.Unknown)
	}
	a, c = newAPI(t)
	a.claimed = map[string]bool{arc.EphemeralRunners: true}
	ctx, cancel := context.WithCancelCause(t.Context())
	var asked atomic.Int32
	a.fault = func(request string) int {
		if strings.HasPrefix(request, "DISCOVER ") {
			asked.Add(1)
			time.AfterFunc(50*time.Millisecond, func() { cancel(ErrInterrupted) })
		}
		return 0
	}
	s := survey(ctx, c, o)
	last := s.Unknown[len(s.Unknown)-1]
	if last.What != "whether actions.github.com is served" || !errors.Is(last.Err, ErrInterrupted) {
		t.Errorf("unknown %v", s.Unknown)
	}
	if n := asked.Load(); n > 8 { // two requests every 500 ms
		t.Errorf("asked %d times", n)
	}

	// What has just gone may be served for a moment.
	a, c = newAPI(t)
	a.claimed = map[string]bool{arc.EphemeralRunners: true}
	a.fault = func(request string) int {
		if request == "DISCOVER "+arc.Group+"/v1alpha1" {
			time.AfterFunc(50*time.Millisecond, func() { a.claim() })
		}
		return 0
	}
	if s := survey(t.Context(), c, o); len(s.Unknown) > 0 {
		t.Errorf("unknown %v", s.Unknown)
	}
}

// Deployments that look like controllers are read one by one, each once.
func TestReadingControllers(t *testing.T) {
	t.Parallel()
	both := deployment("systems/arc", "")
	both.labels[arc.LabelPartOf] = "gha-rs-controller"
	odd := deployment("team/odd", "")
	odd.rest = map[string]any{"spec": "x"}
	no := func(code int, request string) func(string) int { return on(code, always, request) }
	for name, test := range map[string]struct {
		items []item
		fault func(string) int
		found int
		want  int // unknown
	}{
		"by two labels":    {[]item{both, deployment("team/b", "theirs")}, nil, 2, 0},
		"gone by now":      {[]item{both}, no(http.StatusNotFound, "GET deploy systems/arc"), 0, 0},
		"not to be read":   {[]item{both}, no(http.StatusForbidden, "GET deploy systems/arc"), 0, 1},
		"of another form":  {[]item{odd}, nil, 0, 1},
		"nothing of ARC's": {whole(obj("deploy web/app")), no(http.StatusForbidden, "GET deploy web/app"), 0, 0},
	} {
		a, c := newAPI(t, test.items...)
		a.fault = test.fault
		s := survey(t.Context(), c, byHand)
		if len(s.Controllers) != test.found || len(s.Unknown) != test.want {
			t.Errorf("%s: controllers %+v, unknown %v", name, s.Controllers, s.Unknown)
		}
	}
}

func TestASurveyHasAnOrder(t *testing.T) {
	t.Parallel()
	s := &Survey{
		CRDs: []*object.Object{obj("crd b"), obj("crd a")}, Custom: []*object.Object{obj("ars a/a"), obj("er b/a"), obj("er a/b"), obj("er a/a")},
		Protected: []*object.Object{obj("secret a/a"), obj("role a/a")}, ListenerRBAC: []*object.Object{obj("role b/a"), obj("role a/a")},
		Held: []*object.Object{obj("secret a/b"), obj("secret a/a")}, Dependents: []*object.Object{obj("pod b/a"), obj("pod a/a")}, Linked: []*object.Object{obj("pod b/a"), obj("pod a/a")},
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
		expectStrings(t, what, refs(test.got), test.want...)
	}
}

// What is owned is read before its owners: no kind is begun before the one whose
// owner it may be is over.
func TestASurveyReadsChildrenFirst(t *testing.T) {
	t.Parallel()
	for scope, test := range map[string]struct {
		options Options
		items   []item
		core    []string
		kinds   []string
	}{
		"ARC":    {byHand, whole(crdObjects()...), []string{"LIST pod", "LIST secret", "LIST role", "LIST sa"}, []string{"LIST er", "LIST ers", "LIST al", "LIST ars"}},
		"legacy": {legacyByHand, whole(legacyCRDs()...), []string{"LIST sts", "LIST role"}, []string{"LIST run", "LIST rrs", "LIST rset", "LIST rd"}},
	} {
		a, c := newAPI(t, test.items...)
		var mu sync.Mutex
		under, begun := map[string]bool{}, 0
		a.fault = func(request string) int {
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
		survey(t.Context(), c, test.options)
		if begun < len(test.kinds) {
			t.Errorf("%s: only %d kinds are read", scope, begun)
		}
	}
}

// A list of whole objects has all its pages.
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
	pods, err := list(t.Context(), c, object.Pods, "ns", "a=b")
	if err != nil || len(pods) != 2 || pods[0].GetName() != "after-20a=b" || pods[1].GetName() != "after-x20a=b" {
		t.Errorf("%v, error %v", pods, err)
	}
}
