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

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// recorded is what is left of ARC while its release is being uninstalled.
func recorded() []kubetest.Item {
	return kubetest.Stuck(kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest))
}

var building = map[string]any{"jobDisplayName": "build", "jobRepositoryName": "acme/shop"}

// ofSetNamed labels items as part of a scale set.
func ofSetNamed(set string, items ...kubetest.Item) []kubetest.Item {
	for i := range items {
		items[i].ScaleSet = kubetest.Named(set)
		items[i].Labels[arc.LabelScaleSetName], items[i].Labels[arc.LabelScaleSetNamespace] = kubetest.Named(set).Name, kubetest.Named(set).Namespace
	}
	return items
}

// A runner that starts during the survey has a Pod and a Secret whose owner is in no earlier list.
// They are not orphans.
func TestWhatIsNewIsNoOrphan(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")))
	items = append(items, ofSetNamed("runners/set", kubetest.RunnerWithPod("first", building)...)...)
	items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu")))...)
	for _, late := range []string{"LIST pod runners", "LIST secret runners", "LIST er runners", "LIST ers runners"} {
		a, c := kubetest.New(t, items...)
		second := kubetest.On(1, 1, late)
		a.Fault = func(request string) int {
			if second(request) == 0 {
				return 0
			}
			jit := kubetest.Whole(kubetest.Object("secret runners/second", kubetest.Owned("er runners/second")))
			for _, it := range append(ofSetNamed("runners/set", kubetest.RunnerWithPod("second", building)...), jit...) {
				a.Put(it)
			}
			return 0
		}
		o := plantest.OfSet
		o.RequireUninstalling, o.Job, o.Release = false, "", "gpu"
		r := Run(t.Context(), c, graced(o, ample), quiet, Person{})
		for _, write := range a.Written() {
			if strings.Contains(write, "second") {
				t.Errorf("while %s is late: %s\n%s", late, write, r.Text(10))
			}
		}
	}
}

// An owner that exists after all keeps its dependents.
func TestAnOwnerIsLookedForOnceMore(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Object("pod runners/r", kubetest.Owned("er runners/r")))...)...)
	o := plantest.ScaleSetsNamed("set")
	lists := 0
	a.Fault = func(request string) int {
		// As with an API server that lags behind: the owner is missing in the first list only.
		if request == "LIST er runners" {
			if lists++; lists == 2 {
				a.Put(kubetest.Whole(kubetest.Object("er runners/r", kubetest.Of("runners/set")))[0])
			}
		}
		return 0
	}
	h := plan.History{Dependents: map[types.UID]bool{"pod runners/r": true}}
	p := plan.New(survey.Read(t.Context(), c, o), o, h)
	run := &run{client: c, options: o}
	steps := p.Steps(plan.PhaseCollect)
	if len(steps) != 1 || steps[0].Action != plan.Delete {
		t.Fatalf("plan: %q", plantest.Lines(p))
	}
	if err := run.ownersGone(t.Context(), steps); !errors.Is(err, errChanged) {
		t.Errorf("the owner is there: %v", err)
	}
	a.Take("er runners/r")
	if err := run.ownersGone(t.Context(), steps); err != nil {
		t.Errorf("the owner is gone: %v", err)
	}
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST er runners")
	if err := run.ownersGone(t.Context(), steps); err == nil {
		t.Error("that it could not be looked for does not mean that it is gone")
	}
}

// An object that names no scale set may belong to another team's controller.
func TestAnotherControllersListener(t *testing.T) {
	t.Parallel()
	items := kubetest.Stuck(kubetest.Deployment("team/arc", "team-runners"))
	items = append(items, kubetest.Whole(kubetest.Object("secret team/config", kubetest.Owned("al team/new")))...)
	a, c := kubetest.New(t, items...)
	Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	if slices.Contains(a.Written(), "DELETE secret team/config") {
		t.Error("deleted what another controller's listener needs")
	}
}

// A Deployment that looks like a controller but has none of a controller's rights is not one.
func TestADeploymentIsNoController(t *testing.T) {
	t.Parallel()
	const account = "system:serviceaccount:tenant:arc list autoscalingrunnersets in "
	for name, watches := range map[string]string{"it says to watch all": "", "it says to watch the runners": "runners"} {
		a, c := kubetest.New(t, kubetest.Stuck(kubetest.Deployment("tenant/arc", watches))...)
		a.DeniedRights = map[string]bool{account + watches: true}
		if r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{}); r.Verdict != plan.Done || len(r.Kept) > 0 {
			t.Errorf("%s: the CRDs are kept for it:\n%s", name, r.Text(10))
		}
		a, c = kubetest.New(t, kubetest.Stuck(kubetest.Deployment("tenant/arc", watches))...)
		a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "REVIEW "+account+watches)
		if r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{}); len(r.Kept) == 0 {
			t.Errorf("%s: whether it is one cannot be known, and the CRDs are deleted:\n%s", name, r.Text(10))
		}
	}
}

// With namespaceOverride, a release's objects are in another namespace than the release.
func TestASetElsewhere(t *testing.T) {
	t.Parallel()
	const manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set, namespace: runners}\n"
	mine := kubetest.By("releases/gpu")
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Record("releases", "releases", "gpu", "uninstalling", manifest))
	items = append(items, kubetest.Whole(
		kubetest.Object("ars runners/set", mine), kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Deleting),
		kubetest.Protected("secret runners/github", mine, kubetest.Of("runners/set"), kubetest.Deleting))...)
	a, c := kubetest.New(t, items...)
	o := plan.Options{Scope: plan.ScopeScaleSet, Job: "gpu-arc-cleanup", RequireUninstalling: true, ReleaseNamespace: "releases", ControllerNamespaces: []string{"systems"}}
	r := Run(t.Context(), c, graced(o, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	for _, left := range a.Left() {
		if !strings.HasPrefix(left, "crd ") && !strings.Contains(left, "sh.helm.release") {
			t.Errorf("left: %s", left)
		}
	}

	// Without a record, the options name the set and its namespace.
	a, c = kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Object("ars runners/set"), kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Deleting))...)...)
	byName := plan.Options{Scope: plan.ScopeScaleSet, ReleaseNamespace: "releases", ControllerNamespaces: []string{"systems"}, Sets: []identity.Set{kubetest.Named("runners/set")}}
	expect(t, Run(t.Context(), c, graced(byName, ample), quiet, Person{}), outcome{Verdict: plan.Done})
	for _, left := range a.Left() {
		if !strings.HasPrefix(left, "crd ") {
			t.Errorf("named, and left: %s", left)
		}
	}

	// A record alone proves nothing about an object in another namespace.
	theirs := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Record("releases", "releases", "gpu", "uninstalling", manifest))
	theirs = append(theirs, kubetest.Whole(kubetest.Object("ars runners/set"), kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Deleting))...)
	a, c = kubetest.New(t, theirs...)
	Run(t.Context(), c, graced(o, ample), quiet, Person{})
	kubetest.ExpectStrings(t, "writes", a.Written())
}

// Flux keeps the record beside the HelmRelease.
func TestARecordElsewhere(t *testing.T) {
	t.Parallel()
	controller := kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc"))
	controller.Labels[survey.LabelFluxNamespace] = "flux-system"
	controller.Rest["status"] = nil
	items := kubetest.Stuck(controller, kubetest.Record("flux-system", "systems", "arc", "uninstalling", kubetest.ArcManifest))
	_, c := kubetest.New(t, items...)
	r := Run(t.Context(), c, graced(plantest.AsHook, ample), quiet, Person{})
	if r.Verdict != plan.Refused || !strings.Contains(r.Text(10), "set storageNamespace to flux-system") {
		t.Errorf("%s", r.Text(10))
	}
	_, c = kubetest.New(t, items...)
	o := plantest.AsHook
	o.StorageNamespace = "flux-system"
	expect(t, Run(t.Context(), c, graced(o, ample), quiet, Person{}), outcome{Verdict: plan.Done})

	// A record counts only for the namespace in which it is stored: the people of that namespace
	// may have written it.
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Record("systems", "elsewhere", "arc", "uninstalling", kubetest.ArcManifest))...)
	if r := Run(t.Context(), c, graced(plantest.AsHook, ample), quiet, Person{}); r.Verdict != plan.Refused || len(a.Written()) > 0 {
		t.Errorf("%s", r.Text(10))
	}
}

// The post-renderer cannot know that the controller is not in its release's namespace.
func TestAHookInTheWrongNamespace(t *testing.T) {
	t.Parallel()
	controller := kubetest.Deployment("systems/arc", "", kubetest.By("platform/arc"))
	_, c := kubetest.New(t, kubetest.Stuck(controller, kubetest.Record("platform", "platform", "arc", "uninstalling", strings.Replace(kubetest.ArcManifest, "name: arc", "name: arc, namespace: systems", 1)))...)
	r := Run(t.Context(), c, graced(plantest.AsHook, ample), quiet, Person{})
	for _, want := range []string{"give the post-renderer --namespace=platform", "arc-cleanup run --release arc --release-namespace platform --controller-namespace systems && helm uninstall arc --namespace platform --no-hooks"} {
		if r.Verdict != plan.Refused || !strings.Contains(r.Text(10), want) {
			t.Errorf("want %s:\n%s", want, r.Text(10))
		}
	}
}

// If Helm still needs a CRD, it is deleted last of all.
func TestAReleaseThatHoldsScaleSets(t *testing.T) {
	t.Parallel()
	const manifest = kubetest.ArcManifest + "---\napiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set}\n"
	mine := kubetest.By("systems/arc")
	items := func(more ...kubetest.Item) []kubetest.Item {
		all := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Record("systems", "systems", "arc", "uninstalling", manifest))
		return append(append(all, kubetest.Whole(
			kubetest.Object("ars systems/set", mine), kubetest.Object("er systems/r", kubetest.Of("systems/set"), kubetest.Owned("ers systems/s")), kubetest.Object("ers systems/s", kubetest.Of("systems/set"), kubetest.Owned("ars systems/set")),
			kubetest.Protected("secret systems/github", mine, kubetest.Of("systems/set"), kubetest.Deleting))...), more...)
	}
	a, c := kubetest.New(t, items()...)
	expect(t, Run(t.Context(), c, graced(plantest.AsHook, ample), quiet, Person{}), outcome{Verdict: plan.Done})
	writes := a.InOrder()
	if last := writes[len(writes)-1]; last != "DELETE crd "+plan.LastCRD {
		t.Errorf("the last write is %s", last)
	}

	// If anything is held, the CRDs stay for the next `helm uninstall`.
	held := kubetest.Whole(kubetest.Protected("role systems/held", mine, kubetest.Of("systems/set"), kubetest.Deleting, kubetest.Finalizers(arc.CleanupProtectionFinalizer, "example.com/keep")))
	a, c = kubetest.New(t, items(held...)...)
	r := Run(t.Context(), c, graced(plantest.AsHook, 300*time.Millisecond), quiet, Person{})
	if r.Verdict != plan.Residue || slices.ContainsFunc(a.Written(), func(w string) bool { return strings.HasPrefix(w, "DELETE crd") }) {
		t.Errorf("%v\n%s", a.Written(), r.Text(10))
	}

	// The CRDs are gone and Helm has yet to uninstall, so "done" would be wrong.
	_, c = kubetest.New(t, kubetest.Record("systems", "systems", "arc", "uninstalling", manifest))
	r = Run(t.Context(), c, graced(plantest.AsHook, ample), quiet, Person{})
	if r.Verdict != plan.Refused || !strings.Contains(r.Text(10), "    helm uninstall arc --namespace systems --no-hooks\n    arc-cleanup run --release arc --release-namespace systems\n    kubectl delete job arc-arc-cleanup --namespace systems") {
		t.Errorf("%s", r.Text(10))
	}
}

// An object that a finalizer of another tool holds is not gone.
func TestWhatOthersHoldIsLeft(t *testing.T) {
	t.Parallel()
	foreign := kubetest.Finalizers(arc.CleanupProtectionFinalizer, "example.com/keep")
	rbac := kubetest.ListenerRBAC("role runners/held", "runners/set")
	rbac.Finalizers = []string{"example.com/keep"}
	now := metav1.Now()
	rbac.Deleted = &now
	for name, it := range map[string]kubetest.Item{
		"secret":                             kubetest.Whole(kubetest.Protected("secret runners/held", kubetest.Of("runners/set"), kubetest.Deleting, foreign))[0],
		"role":                               rbac,
		"a Secret of a chart without labels": kubetest.Whole(kubetest.Protected("secret runners/held", kubetest.By("runners/gpu"), kubetest.Deleting, foreign))[0],
	} {
		items := append(kubetest.Whole(kubetest.CRDs()...), it)
		items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu"), kubetest.Deleting))...)
		_, c := kubetest.New(t, items...)
		r := Run(t.Context(), c, graced(plantest.ByHand, 300*time.Millisecond), quiet, Person{})
		if r.Verdict != plan.Residue || len(r.Left) != 1 || r.Left[0].Object.Name != "held" {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
	// Anyone can put the label on an object of their own: the report names it, and it blocks
	// nothing.
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Protected("secret tenant/held", kubetest.Of("tenant/set"), kubetest.Deleting, foreign), kubetest.Object("er tenant/r", kubetest.Of("tenant/set"), kubetest.Deleting))...)...)
	if r := Run(t.Context(), c, graced(plantest.ByHand, 300*time.Millisecond), quiet, Person{}); r.Verdict != plan.Done || len(r.Kept) != 1 {
		t.Errorf("%s", r.Text(10))
	}
}

// Right before the CRDs are deleted, the run checks the proof and the other controllers again.
func TestTheLastLookBeforeTheCRDs(t *testing.T) {
	t.Parallel()
	rolledBack := kubetest.Record("systems", "systems", "arc", "deployed", kubetest.ArcManifest)
	for name, change := range map[string]kubetest.Item{
		"a rollback":         rolledBack,
		"another controller": kubetest.Deployment("team/arc", ""),
		"another scale set":  kubetest.Whole(kubetest.Object("ars team/set"))[0],
	} {
		a, c := kubetest.New(t, recorded()...)
		a.React = func(a *kubetest.Server, request string) {
			if strings.HasPrefix(request, "PATCH er ") {
				a.Put(change)
			}
		}
		r := Run(t.Context(), c, graced(plantest.AsHook, ample), quiet, Person{})
		if slices.ContainsFunc(a.Written(), func(w string) bool { return strings.HasPrefix(w, "DELETE crd") }) {
			t.Errorf("%s: deleted the CRDs\n%s", name, r.Text(10))
		}
	}
}

// A mistyped release name does not make another controller this release's, and a note says so.
func TestAMistypedRelease(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")))...)
	o := plantest.OfRelease
	o.Release = "acr"
	p := Preview(t.Context(), c, o, nil)
	if want := []string{"Helm has no record of release acr in namespace systems"}; !slices.Equal(p.Notes, want) || len(p.Phases) > 0 {
		t.Errorf("notes %q, plan %q", p.Notes, plantest.Lines(p))
	}
	_, c = kubetest.New(t, kubetest.Record("systems", "systems", "arc", "deployed", kubetest.ArcManifest))
	if p := Preview(t.Context(), c, plantest.OfRelease, nil); len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "is deployed: Helm is not uninstalling it") {
		t.Errorf("notes %q", p.Notes)
	}
	_, c = kubetest.New(t, kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest))
	if p := Preview(t.Context(), c, plantest.OfRelease, nil); len(p.Notes) != 0 {
		t.Errorf("notes %q", p.Notes)
	}
}

// If the CRDs were not read, "not found" means absent only if the API server does not claim to
// serve the resource.
func TestNotFoundIsNotAbsent(t *testing.T) {
	t.Parallel()
	pod := kubetest.Whole(kubetest.Object("pod runners/r", kubetest.Owned("er runners/r")))
	a, c := kubetest.New(t, append(pod, kubetest.Record("runners", "runners", "set", "uninstalling", ""))...)
	a.Claimed = map[string]bool{arc.EphemeralRunners: true}
	r := Run(t.Context(), c, graced(plantest.OfSet, ample), quiet, Person{})
	if r.Verdict != plan.Failed || len(a.Written()) > 0 || !strings.Contains(r.Text(10), "not found, though the API server says that it serves it in the versions v1alpha1") {
		t.Errorf("%s", r.Text(10))
	}
	_, c = kubetest.New(t, append(pod, kubetest.Record("runners", "runners", "set", "uninstalling", ""))...)
	expect(t, Run(t.Context(), c, graced(plantest.OfSet, ample), quiet, Person{}), outcome{Verdict: plan.Done})
}

// A run out of time names the reads that failed.
func TestWhyTheTimeRanOut(t *testing.T) {
	t.Parallel()
	onItsOwnClock(t, kubetest.Stuck(), func(t *testing.T, a *kubetest.Server, c *kube.Client) {
		a.Fault = kubetest.On(http.StatusInternalServerError, kubetest.Always, "LIST er")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, ErrBudget)
		defer cancel()
		r := Run(ctx, c, graced(plantest.ByHand, ample), quiet, Person{})
		if r.Verdict != plan.Failed || !strings.Contains(r.Text(10), "could not read ephemeralrunners.actions.github.com") || len(a.Written()) > 0 {
			t.Errorf("%s", r.Text(10))
		}
		ctx, stop := context.WithCancelCause(t.Context())
		stop(ErrInterrupted)
		if r := Run(ctx, c, graced(plantest.ByHand, ample), quiet, Person{}); r.Verdict != plan.Interrupted {
			t.Errorf("%s", r.Text(10))
		}
	})
}

// A tenant writes a record that names another team's objects.
func TestAForgedRecord(t *testing.T) {
	t.Parallel()
	const manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: bait}\n---\n" +
		"apiVersion: v1\nkind: Secret\nmetadata: {name: credentials, namespace: monitoring}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	credentials := kubetest.Whole(kubetest.Object("secret monitoring/credentials", kubetest.By("monitoring/prometheus")))
	short, _, _ := strings.Cut(manifest, "---\napiVersion: v1\nkind: Service")
	junk := kubetest.Record("tenant", "tenant", "x", "deployed", manifest)
	junk.Rest["data"] = map[string]any{"release": "eA=="}
	for name, forged := range map[string]kubetest.Item{
		"is none":                        junk,
		"says to be another's release":   kubetest.Record("tenant", "monitoring", "prometheus", "deployed", manifest),
		"says so, and no more than that": kubetest.Record("tenant", "monitoring", "prometheus", "deployed", short),
		"names another's objects":        kubetest.Record("tenant", "tenant", "prometheus", "deployed", manifest),
		"is being uninstalled":           kubetest.Record("tenant", "systems", "arc", "uninstalling", manifest),
		"is pending":                     kubetest.Record("tenant", "tenant", "x", "pending-upgrade", manifest),
	} {
		a, c := kubetest.New(t, append(append(recorded(), forged), credentials...)...)
		r := Run(t.Context(), c, graced(plantest.Uninstalls(plantest.AsHook), ample), quiet, Person{})
		if r.Verdict != plan.Done || slices.Contains(a.Written(), "DELETE secret monitoring/credentials") {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
}

// A kept history is not a release, and a pending release is not touched.
func TestKeptAndPendingReleases(t *testing.T) {
	t.Parallel()
	set := kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu")))
	kept := kubetest.Record("runners", "runners", "old", "uninstalled", gpuManifest)
	a, c := kubetest.New(t, append(append(recorded(), kept, kubetest.Record("runners", "runners", "gpu", "deployed", gpuManifest)), set...)...)
	expect(t, Run(t.Context(), c, graced(plantest.Uninstalls(plantest.AsHook), ample), quiet, Person{}), outcome{Verdict: plan.Done})
	if !slices.Contains(a.Left(), kubetest.Ref(kept.Object)) {
		t.Error("deleted the history that was to be kept")
	}
	a, c = kubetest.New(t, append(append(recorded(), kubetest.Record("runners", "runners", "gpu", "pending-upgrade", gpuManifest)), set...)...)
	r := Run(t.Context(), c, graced(plantest.Uninstalls(plantest.AsHook), ample), quiet, Person{})
	if r.Verdict != plan.Refused || len(a.Written()) > 0 || !strings.Contains(r.Text(10), "is pending") {
		t.Errorf("%s", r.Text(10))
	}
}

// ARC's own ConfigMap belongs to a scale set, by its label.
func TestAScaleSetsConfigMap(t *testing.T) {
	t.Parallel()
	extension := kubetest.Whole(kubetest.Object("configmap runners/kube-hook-extension", kubetest.By("runners/gpu"), kubetest.Of("runners/set")))
	items := append(recorded(), kubetest.Record("runners", "runners", "gpu", "deployed", gpuManifest+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-hook-extension}\n"))
	items = append(append(items, extension...), kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu")))...)
	a, c := kubetest.New(t, items...)
	expect(t, Run(t.Context(), c, graced(plantest.Uninstalls(plantest.AsHook), ample), quiet, Person{}), outcome{Verdict: plan.Done})
	if slices.Contains(a.Left(), "configmap runners/kube-hook-extension") {
		t.Error("ARC's own ConfigMap is left")
	}
}

// Another release's webhooks stay, even in the same namespace.
func TestAnotherReleasesWebhooks(t *testing.T) {
	t.Parallel()
	webhook := func(name, of string) kubetest.Item {
		it := kubetest.Whole(kubetest.Object("mwc "+name, kubetest.By(of)))[0]
		it.Rest = map[string]any{"webhooks": []any{map[string]any{
			"name": "mutate.runner.actions.summerwind.dev", "clientConfig": map[string]any{"service": map[string]any{"namespace": "systems", "name": "gone"}},
		}}}
		return it
	}
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.LegacyCRDs()...), webhook("ours", "systems/arc"), webhook("theirs", "systems/other"))...)
	Run(t.Context(), c, graced(plantest.OfLegacy, ample), quiet, Person{})
	if !slices.Contains(a.Left(), "mwc theirs") || slices.Contains(a.Left(), "mwc ours") {
		t.Errorf("left: %q", a.Left())
	}
}

// Without a record, only Argo CD's mark on this very Job proves that it runs for a deletion.
func TestAJobThatNobodyMadeForADeletion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		id   string
		want plan.Verdict
	}{
		"Argo CD":          {"apps_arc:batch/Job:systems/arc-arc-cleanup", plan.Done},
		"helm template":    {"", plan.Refused},
		"of another Job":   {"apps_arc:batch/Job:systems/other", plan.Refused},
		"of another place": {"apps_arc:batch/Job:team/arc-arc-cleanup", plan.Refused},
	} {
		it := kubetest.Whole(kubetest.Object("job systems/arc-arc-cleanup"))[0]
		it.Annotations[survey.TrackingID] = test.id
		a, c := kubetest.New(t, kubetest.Stuck(it)...)
		r := Run(t.Context(), c, graced(plantest.InArgo, ample), quiet, Person{})
		if r.Verdict != test.want || test.want == plan.Refused && len(a.Written()) > 0 {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "GET job systems/arc-arc-cleanup")
	if r := Run(t.Context(), c, graced(plantest.InArgo, ample), quiet, Person{}); r.Verdict != plan.NotPermitted || len(a.Written()) > 0 {
		t.Errorf("it may not be read: %s", r.Text(10))
	}
}

// A terminal does not execute what a tenant wrote into an annotation.
func TestARegistrationIsShownAsItIs(t *testing.T) {
	t.Parallel()
	r := Registration{Registration: plan.Registration{Object: kubetest.Object("ars tenant/set"), Set: plan.ScaleSetInfo{ID: "7", Name: "x\x1b[2J", URL: "https://github.com/acme"}}}
	if got := r.String(); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// If two releases may have the hook, the run refuses. This is not a failed read.
func TestTwoReleasesOfOneHook(t *testing.T) {
	t.Parallel()
	one, two := kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest), kubetest.Record("systems", "systems", "other", "uninstalling", kubetest.ArcManifest)
	raw, _ := json.Marshal(map[string]any{
		"name": "other", "namespace": "systems", "version": 1, "info": map[string]any{"status": "uninstalling"},
		"hooks": []any{map[string]any{"name": "arc-arc-cleanup", "kind": "Job"}},
	})
	text := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(raw)))
	two.Rest = map[string]any{"kind": "Secret", "type": "helm.sh/release.v1", "data": map[string]any{"release": text}}
	_, c := kubetest.New(t, kubetest.Stuck(one, two)...)
	if p := Preview(t.Context(), c, plantest.AsHook, nil); p.Verdict() != plan.Refused || !strings.Contains(p.Refusals[0].Message, "no proof that anything is being uninstalled") {
		t.Errorf("%q", plantest.Lines(p))
	}
}

// A tenant may create and hold an object that looks like a runner's. The uninstall neither waits
// for it nor fails because of it.
func TestWhatATenantHoldsIsNoResidue(t *testing.T) {
	t.Parallel()
	foreign := kubetest.Finalizers("example.com/keep")
	listeners := kubetest.Whole(kubetest.Object("secret tenant/held", kubetest.Of("runners/set"), kubetest.Owned("al gone"), foreign, kubetest.Deleting))[0]
	listeners.Owners[0].Kind = arc.AutoscalingListener
	for name, it := range map[string]kubetest.Item{
		"a listener's, of another's set":         listeners,
		"a runner's Secret":                      kubetest.Whole(kubetest.Object("secret tenant/held", kubetest.Owned("er gone"), foreign))[0],
		"one that is being deleted":              kubetest.Whole(kubetest.Object("secret tenant/held", kubetest.Owned("er gone"), foreign, kubetest.Deleting))[0],
		"one that names a set":                   kubetest.Whole(kubetest.Object("secret tenant/held", kubetest.Of("tenant/set"), kubetest.Owned("er gone"), foreign, kubetest.Deleting))[0],
		"a Pod":                                  kubetest.Whole(kubetest.Object("pod tenant/held", kubetest.Owned("er gone"), foreign, kubetest.Deleting))[0],
		"a Pod that takes a day to end":          kubetest.Whole(kubetest.Object("pod tenant/held", kubetest.Owned("er gone"), kubetest.Deleting))[0],
		"the ServiceAccount of a listener":       kubetest.Whole(kubetest.Object("sa tenant/held", kubetest.Owned("al gone"), foreign, kubetest.Deleting))[0],
		"a Secret of a set that another one has": kubetest.Whole(kubetest.Object("secret tenant/held", kubetest.Of("runners/set"), kubetest.Owned("er gone"), foreign, kubetest.Deleting))[0],
	} {
		a, c := kubetest.New(t, kubetest.Stuck(it)...)
		r := Run(t.Context(), c, graced(plantest.ByHand, time.Minute), quiet, Person{})
		if r.Verdict != plan.Done || len(r.Kept) != 1 || r.Kept[0].Object.Name != "held" {
			t.Errorf("%s: %s", name, r.Text(10))
		}
		want := []string{kubetest.Ref(it.Object), "role runners/set-manager", "secret runners/theirs"}
		slices.Sort(want)
		if left := a.Left(); !slices.Equal(left, want) {
			t.Errorf("%s: left are %q", name, left)
		}
	}
	// A dependent of a runner that the run has seen is not only the claim of its writer.
	_, c := kubetest.New(t, kubetest.Stuck(kubetest.Whole(kubetest.Object("secret runners/jit", kubetest.Owned("er runners/r"), foreign))...)...)
	if r := Run(t.Context(), c, graced(plantest.ByHand, 300*time.Millisecond), quiet, Person{}); r.Verdict != plan.Residue {
		t.Errorf("%s", r.Text(10))
	}
}

// A hook without proof says where the proof may be. It names a release of another namespace, from
// the controller's annotations, only if that release's record holds the controller. A scale set's
// hook says nothing about the controller's release.
func TestAReleaseElsewhereIsProved(t *testing.T) {
	t.Parallel()
	const uninstalls, override = "helm uninstall arc --namespace releases", "give the post-renderer --namespace=releases"
	overridden := kubetest.Deployment("systems/arc", "", kubetest.By("releases/arc"))
	holds := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: arc, namespace: systems}\n"
	ofSetHook := plan.Options{Scope: plan.ScopeScaleSet, Job: "gpu-arc-cleanup", RequireUninstalling: true, ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}
	besides := plantest.AsHook
	besides.ControllerNamespaces = []string{"releases"}
	for name, test := range map[string]struct {
		options              plan.Options
		items                []kubetest.Item
		override, uninstalls bool
	}{
		"its record holds it":         {plantest.AsHook, []kubetest.Item{overridden, kubetest.Record("releases", "releases", "arc", "deployed", holds)}, true, true},
		"its record holds another":    {plantest.AsHook, []kubetest.Item{overridden, kubetest.Record("releases", "releases", "arc", "deployed", kubetest.ArcManifest)}, true, false},
		"somebody's record says so":   {plantest.AsHook, []kubetest.Item{overridden, kubetest.Record("tenant", "releases", "arc", "deployed", holds)}, true, false},
		"there is no record":          {plantest.AsHook, []kubetest.Item{overridden}, true, false},
		"a scale set's hook":          {ofSetHook, []kubetest.Item{overridden, kubetest.Record("releases", "releases", "arc", "deployed", holds)}, false, false},
		"a controller in its own one": {besides, []kubetest.Item{kubetest.Deployment("releases/arc", "", kubetest.By("releases/arc")), kubetest.Record("releases", "releases", "arc", "deployed", kubetest.ArcManifest)}, false, false},
	} {
		_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), test.items...)...)
		text := Run(t.Context(), c, graced(test.options, ample), quiet, Person{}).Text(10)
		if !strings.Contains(text, "no proof") || strings.Contains(text, override) != test.override || strings.Contains(text, uninstalls) != test.uninstalls {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// A tenant who keeps creating objects that look like ARC's fails no uninstall.
func TestWhatComesUpWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make func(i int) *object.Object
		want plan.Verdict
	}{
		"orphans": {func(i int) *object.Object {
			return kubetest.Object(fmt.Sprint("secret tenant/n", i), kubetest.Owned("er gone"))
		}, plan.Done},
		"protected": {func(i int) *object.Object { return kubetest.Protected(fmt.Sprint("secret tenant/n", i)) }, plan.Done},
		"of a known set": {func(i int) *object.Object {
			return kubetest.Protected(fmt.Sprint("secret runners/n", i), kubetest.Of("runners/set"))
		}, plan.Residue},
		"the same secret": {func(int) *object.Object { return kubetest.Protected("secret tenant/n") }, plan.Residue},
	} {
		a, c := kubetest.New(t, kubetest.Stuck()...)
		lists := 0
		a.Fault = func(request string) int {
			if request == "LIST secret" {
				lists++
				a.Put(kubetest.Whole(test.make(lists))[0])
			}
			return 0
		}
		if r := Run(t.Context(), c, graced(plantest.ByHand, time.Second), quiet, Person{}); r.Verdict != test.want || (len(r.Kept) == 1) != (test.want == plan.Done) {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
}

// An owner in another namespace is no owner: the run does not wait for the object with that owner,
// and the object is no reason for another round.
func TestAnOwnerIsInTheNamespaceOfWhatItOwns(t *testing.T) {
	t.Parallel()
	elsewhere := kubetest.Owned("er runners/r")
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Whole(
		kubetest.Object("secret tenant/held", elsewhere, kubetest.Finalizers("example.com/keep")), kubetest.Object("pod tenant/held", elsewhere, kubetest.Finalizers("example.com/keep")), kubetest.Object("pod tenant/plain", elsewhere))...)...)
	start := time.Now()
	r := Run(t.Context(), c, graced(plantest.ByHand, time.Minute), quiet, Person{})
	if r.Verdict != plan.Done || time.Since(start) > 30*time.Second || slices.Contains(a.Left(), "er runners/r") {
		t.Errorf("%s after %s: %s", r.Verdict, time.Since(start), r.Text(10))
	}
	run := &run{client: c, options: plantest.ByHand}
	_, c = kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Object("er runners/r"))...)...)
	run.client = c
	if err := run.ownersGone(t.Context(), []plan.Step{{Action: plan.Delete, Object: kubetest.Object("pod tenant/plain", elsewhere), Why: plan.OwnerGone}}); err != nil {
		t.Error(err)
	}
}
