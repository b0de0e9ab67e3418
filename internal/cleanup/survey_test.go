package cleanup

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
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
	if diff := cmp.Diff(want, object(short["er"], m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Only what lives beside the controller is of a set in another namespace.
	if got := object(short["al"], m).ScaleSet; got != named("ns/set") {
		t.Errorf("a listener's scale set %s", got)
	}
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingListener}}
	if got := object(short["pod"], m).ScaleSet; got != named("ns/set") {
		t.Errorf("a listener's Pod's scale set %s", got)
	}
	// A scale set belongs to itself, whatever its labels say.
	if got := object(short["ars"], m).ScaleSet; got != named("runners/r") {
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
		if got := object(podResource, m).Owner; got != test.want {
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
func refs(objects []*Object) (out []string) {
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
	unrelated := deployment(ctrl("web/app", ""))
	unrelated.labels = map[string]string{arc.LabelPartOf: "gha-rs-controller"}
	unrelated.rest = nil
	set := whole(obj("ars runners/set", by("runners/gpu")))[0]
	set.rest = map[string]any{"status": map[string]any{"currentRunners": 3, "runningEphemeralRunners": 2}}
	items := append(whole(crdObjects()...), listener, ownedRole, unrelated, set,
		deployment(ctrl("systems/arc", "", by("systems/arc"))), deployment(dead(ctrl("team/b", "theirs"))))
	items = append(items, whole(
		obj("er runners/b"), obj("er runners/a"), obj("ers runners/s"), obj("al systems/l"),
		protected("secret runners/github", owned("al systems/l")), protected("rolebinding runners/kube"),
		obj("secret runners/jit", owned("er runners/a")), obj("secret runners/theirs"), obj("secret runners/foreign", finalizers("example.com/f")),
		obj("pod runners/a", owned("er runners/a")), obj("pod runners/theirs"), obj("sa systems/l", owned("al systems/l")),
		obj("ns runners", deleting), obj("ns systems"))...)
	_, c := newAPI(t, items...)

	s := survey(t.Context(), c, byHand)
	type summary struct {
		CRDs                                        int
		Custom, Protected, ListenerRBAC, Dependents []string
		Controllers                                 []string
		Terminating                                 map[string]Terminating
		Sets                                        map[types.UID]ScaleSetInfo
		Unknown                                     []Unknown
	}
	got := summary{len(s.CRDs), refs(s.Custom), refs(s.Protected), refs(s.ListenerRBAC), refs(s.Dependents), nil, s.Terminating, s.Sets, s.Unknown}
	for _, c := range s.Controllers {
		got.Controllers = append(got.Controllers, fmt.Sprintf("%s/%s of %q watches %q, down %q", c.Namespace, c.Name, c.Release.Name, c.Watches, c.Down))
	}
	want := summary{
		CRDs:         4,
		Custom:       []string{"er runners/a", "er runners/b", "ers runners/s", "al systems/l", "ars runners/set"},
		Protected:    []string{"rolebinding runners/kube", "secret runners/github"},
		ListenerRBAC: []string{"role runners/listener"},
		Dependents:   []string{"pod runners/a", "sa systems/l", "secret runners/jit"},
		Controllers:  []string{`systems/arc of "arc" watches [], down ""`, `team/b of "" watches ["theirs"], down "has no ready replica"`},
		Terminating:  gone("runners"),
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
		return whole(append(slices.DeleteFunc(crdObjects(), func(o *Object) bool { return strings.HasPrefix(o.Name, name) }), obj("crd "+name+"."+arc.Group, mods...))...)
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
	a, c := newAPI(t, whole(crdObjects()...)...)
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
