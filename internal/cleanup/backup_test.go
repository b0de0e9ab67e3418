package cleanup

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// kept is options with a backup.
func kept(o Options) Options {
	o.Backup = types.NamespacedName{Namespace: "systems", Name: "backup"}
	return o
}

// leaving is options that leave busy runners to the controller.
func leaving(o Options) Options {
	o.BusyRunners = LeaveBusy
	return o
}

func TestPlanBacksUpWhatPeopleWrote(t *testing.T) {
	t.Parallel()
	set, runner := obj("ars runners/set", deleting), obj("er runners/r", of("runners/set"), deleting)
	theirs := obj("ars team/set")
	tests := map[string]struct {
		survey  Survey
		options Options
		history History
		backup  bool
	}{
		"a set that will be gone":        {Survey{Custom: []*Object{runner, set}}, kept(byHand), History{}, true},
		"not without one":                {Survey{Custom: []*Object{runner}}, kept(byHand), History{}, false},
		"not when it is switched off":    {Survey{Custom: []*Object{set}}, byHand, History{}, false},
		"not of a scale set's uninstall": {Survey{Record: uninstalling(), Custom: []*Object{set}}, kept(ofSet), History{}, false},
		"not twice":                      {Survey{Custom: []*Object{set}}, kept(byHand), History{BackedUp: map[types.UID]bool{set.UID: true}}, false},
		"not what is left to the controller": {
			Survey{Record: uninstalling(), Custom: []*Object{runner, set}, Busy: map[types.UID]Job{runner.UID: {Pod: obj("pod runners/r")}}, Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))}},
			leaving(kept(asHook)),
			History{},
			false,
		},
		"not of another controller's": {Survey{Custom: []*Object{theirs, runner}, Controllers: []ARC{ctrl("team/arc", "team")}}, kept(byHand), History{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			steps := NewPlan(&test.survey, test.options, test.history).steps(BackUp)
			if (len(steps) == 1) != test.backup {
				t.Fatalf("steps %v", steps)
			}
			if test.backup && ref(steps[0].Object) != "secret systems/backup" {
				t.Errorf("%v", steps)
			}
		})
	}
}

// TestPlanRefusesABackupThatNobodyCanMake: in a namespace that is being deleted no Secret
// can be created.
func TestPlanRefusesABackupThatNobodyCanMake(t *testing.T) {
	t.Parallel()
	s := Survey{Custom: []*Object{obj("ars runners/set", deleting)}, Terminating: gone("systems")}
	refusals := NewPlan(&s, kept(byHand), History{}).Refusals
	if len(refusals) != 1 || refusals[0].Message != "the backup of 1 AutoscalingRunnerSets would be in namespace systems, which is being deleted" {
		t.Errorf("%+v", refusals)
	}
	if refusals := NewPlan(&s, byHand, History{}).Refusals; len(refusals) != 0 {
		t.Errorf("without a backup: %+v", refusals)
	}
}

// written is a set as people and ARC have written it.
func written() item {
	it := whole(obj("ars runners/set", deleting))[0]
	it.annotations[arc.AnnotationRunnerScaleSetID] = "7"
	it.annotations["theirs"] = "x"
	it.annotations[arc.AnnotationWake] = "3"
	it.rest = map[string]any{
		"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet",
		"spec":   map[string]any{"githubConfigUrl": "https://github.com/acme", "maxRunners": 5},
		"status": map[string]any{"currentRunners": 3},
	}
	return it
}

func TestABackupCanBeRestored(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(written())...)
	r := Run(t.Context(), c, graced(kept(ofRelease), ample), quiet)
	if r.Verdict != Done || !strings.Contains(r.Text(10), "arc-cleanup restore --from backup --namespace systems") {
		t.Fatalf("%s", r.Text(10))
	}
	if a.writes[0] != "POST secret systems" {
		t.Errorf("the first write is %q", a.writes[0])
	}

	restored, err := Restore(t.Context(), c, "systems", "backup", true)
	if err == nil || !strings.Contains(err.Error(), "runners/set") {
		t.Errorf("without a CRD: %v, error %v", restored, err)
	}
	for _, it := range whole(crdObjects()...) {
		a.put(it)
	}
	for _, existed := range []bool{false, true} {
		restored, err = Restore(t.Context(), c, "systems", "backup", true)
		if diff := cmp.Diff([]Restored{{"autoscalingrunnerset.actions.github.com", "runners", "set", existed}}, restored); err != nil || diff != "" {
			t.Errorf("error %v, (-want +got):\n%s", err, diff)
		}
	}
	set := a.objects["ars runners/set"]
	if set == nil {
		t.Fatalf("there is %q", a.left())
	}
	want := map[string]any{"githubConfigUrl": "https://github.com/acme", "maxRunners": float64(5)}
	if diff := cmp.Diff(want, set.rest["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"theirs": "x"}, set.annotations); diff != "" || set.rest["status"] != nil {
		t.Errorf("status %v, annotations (-want +got):\n%s", set.rest["status"], diff)
	}
}

func TestWithoutItsBackupNothingIsBegun(t *testing.T) {
	t.Parallel()
	for code, verdict := range map[int]Verdict{http.StatusForbidden: NotPermitted, http.StatusUnprocessableEntity: Failed} {
		a, c := newAPI(t, stuck(written())...)
		a.fault = on(code, always, "POST secret systems")
		r := Run(t.Context(), c, graced(kept(ofRelease), ample), quiet)
		if r.Verdict != verdict || len(a.writes) > 0 || !strings.Contains(r.Text(10), "--backup=false") {
			t.Errorf("%d: writes %q\n%s", code, a.writes, r.Text(10))
		}
	}
}

func TestABackupOfAnEarlierPodIsCompleted(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, whole(crdObjects()...)...)
	one, two := written(), whole(obj("ars runners/other", deleting))[0]
	a.put(one)
	a.put(two)
	for i, want := range []struct {
		sets []*Object
		name string
	}{
		{[]*Object{one.Object}, "backup"},
		{[]*Object{one.Object}, "backup"}, // the same Pod again
		{[]*Object{one.Object, two.Object}, "backup-2"},
		{[]*Object{two.Object}, "backup-2"},
	} {
		secret, err := backUp(t.Context(), c, kept(byHand).Backup, want.sets)
		if err != nil || secret.Name != want.name {
			t.Errorf("%d: %s, error %v; want %s", i, secret.Name, err, want.name)
		}
	}
}

// An uninstall has no more than so many backups, and what cannot be read is in none.
func TestABackupThatCannotBeMade(t *testing.T) {
	t.Parallel()
	there := func(n int, name string) item {
		it := whole(obj("secret systems/" + name))[0]
		var other unstructured.Unstructured
		other.SetAPIVersion("actions.github.com/v1alpha1")
		other.SetKind("AutoscalingRunnerSet")
		other.SetNamespace(fmt.Sprintf("team%d", n))
		other.SetName("set")
		data, err := pack([]unstructured.Unstructured{other})
		if err != nil {
			t.Fatal(err)
		}
		it.rest = map[string]any{"data": map[string]any{BackupKey: base64.StdEncoding.EncodeToString(data)}}
		return it
	}
	all := append(whole(crdObjects()...), written(), there(1, "backup"))
	for n := 2; n <= backups; n++ {
		all = append(all, there(n, fmt.Sprintf("backup-%d", n)))
	}
	set := written().Object
	a, c := newAPI(t, all...)
	if _, err := backUp(t.Context(), c, kept(byHand).Backup, []*Object{set}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("error %v", err)
	}
	for _, request := range []string{"GET ars runners/set", "GET secret systems/backup"} {
		a.fault = on(http.StatusForbidden, always, request)
		if secret, err := backUp(t.Context(), c, kept(byHand).Backup, []*Object{set}); !apierrors.IsForbidden(err) {
			t.Errorf("%s refused: %v, error %v", request, secret, err)
		}
	}
	gone := obj("ars runners/gone")
	a, c = newAPI(t, append(whole(crdObjects()...), written())...)
	if _, err := backUp(t.Context(), c, kept(byHand).Backup, []*Object{gone, set}); err != nil || len(a.writes) != 1 {
		t.Errorf("a set that is gone by now: writes %q, error %v", a.writes, err)
	}
}

func TestABackupHasABound(t *testing.T) {
	t.Parallel()
	it := written()
	noise := make([]byte, backupBytes)
	_, _ = rand.Read(noise) // never fails
	it.rest["spec"] = map[string]any{"noise": base64.StdEncoding.EncodeToString(noise)}
	_, c := newAPI(t, append(whole(crdObjects()...), it)...)
	if _, err := backUp(t.Context(), c, kept(byHand).Backup, []*Object{it.Object}); err == nil || !strings.Contains(err.Error(), "more than a Secret can hold") {
		t.Errorf("error %v", err)
	}
}

// packed is what a backup of sets in a namespace holds.
func packed(t *testing.T, namespace string, names ...string) string {
	t.Helper()
	var sets []unstructured.Unstructured
	for _, name := range names {
		var set unstructured.Unstructured
		set.SetAPIVersion("actions.github.com/v1alpha1")
		set.SetKind("AutoscalingRunnerSet")
		set.SetNamespace(namespace)
		set.SetName(name)
		sets = append(sets, set)
	}
	data, err := pack(sets)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(data)
}

// bomb is little, and much when it is unpacked.
func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(make([]byte, unpackedBytes+1)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// A backup speaks for its own namespace: whoever may write there can have made it.
func TestABackupSpeaksForItsNamespace(t *testing.T) {
	t.Parallel()
	backup := func(namespace string) item {
		it := whole(obj("secret tenant/backup"))[0]
		it.rest = map[string]any{"data": map[string]any{BackupKey: packed(t, namespace, "one", "two")}}
		return it
	}
	a, c := newAPI(t, append(whole(crdObjects()...), backup("kube-system"))...)
	if _, err := Restore(t.Context(), c, "tenant", "backup", false); !errors.Is(err, ErrElsewhere) || !strings.HasSuffix(err.Error(), ": kube-system") || len(a.written()) > 0 {
		t.Errorf("error %v, writes %q", err, a.written())
	}
	if _, err := Restore(t.Context(), c, "tenant", "backup", true); err != nil || len(a.written()) != 2 {
		t.Errorf("trusted: error %v, writes %q", err, a.written())
	}
	a, c = newAPI(t, append(whole(crdObjects()...), backup("tenant"))...)
	if _, err := Restore(t.Context(), c, "tenant", "backup", false); err != nil || len(a.written()) != 2 {
		t.Errorf("its own: error %v, writes %q", err, a.written())
	}
}

func TestWhatIsNoBackupIsNotRestored(t *testing.T) {
	t.Parallel()
	other := func(apiVersion, kind string) map[string]any {
		u := unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "p", "namespace": "ns"}}}
		data, err := pack([]unstructured.Unstructured{u})
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{BackupKey: base64.StdEncoding.EncodeToString(data)}
	}
	tests := map[string]struct {
		data map[string]any
		want string
	}{
		"another key":  {map[string]any{"x": "eA=="}, "is not a backup of arc-cleanup: it has no key"},
		"not packed":   {map[string]any{BackupKey: "eA=="}, "is not a backup of arc-cleanup"},
		"not base64":   {map[string]any{BackupKey: "!"}, "is not a backup of arc-cleanup"},
		"too much":     {map[string]any{BackupKey: bomb(t)}, "unpacked it has more than"},
		"no name":      {map[string]any{BackupKey: packed(t, "systems", "x\x1b[31m")}, "is no name of an object"},
		"another kind": {other("v1", "Pod"), `"Pod" ns/p: a backup holds nothing but AutoscalingRunnerSets`},
		"of ARC":       {other("actions.github.com/v1alpha1", "EphemeralRunner"), `"EphemeralRunner" ns/p: a backup holds nothing but`},
		"of nobody":    {other("example.com/v1alpha1", "AutoscalingRunnerSet"), `"AutoscalingRunnerSet" ns/p: a backup holds nothing but`},
		"no namespace": {map[string]any{BackupKey: packed(t, "x/y", "set")}, "is no name of an object"},
	}
	for name, test := range tests {
		it := whole(obj("secret systems/backup"))[0]
		it.rest = map[string]any{"data": test.data}
		a, c := newAPI(t, it)
		if _, err := Restore(t.Context(), c, "systems", "backup", true); err == nil || !strings.Contains(err.Error(), test.want) || len(a.writes) > 0 {
			t.Errorf("%s: error %v, writes %q", name, err, a.writes)
		}
	}
	_, c := newAPI(t)
	if _, err := Restore(t.Context(), c, "systems", "nothing", true); err == nil || !strings.Contains(err.Error(), "reading Secret systems/nothing") {
		t.Errorf("error %v", err)
	}
}

// TestABackupOfLegacyARC: what people wrote of legacy ARC comes back as well.
func TestABackupOfLegacyARC(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{"rd ci/d": "RunnerDeployment", "hra ci/d": "HorizontalRunnerAutoscaler", "rrs ci/d-1": "RunnerReplicaSet", "run ci/r": "Runner"}
	items := whole(legacyCRDs()...)
	for _, it := range whole(family()...) {
		if kind := kinds[ref(it.Object)]; kind != "" {
			it.rest = map[string]any{"apiVersion": "actions.summerwind.dev/v1alpha1", "kind": kind, "spec": map[string]any{"theirs": it.Name}}
			items = append(items, it)
		}
	}
	a, c := newAPI(t, items...)
	o := graced(kept(ofLegacy), ample)
	o.ScaleSets = DeleteScaleSets
	hook := o
	hook.Job = "arc-arc-cleanup"
	for _, phase := range Preview(t.Context(), c, hook).Phases {
		if phase.Name == BackUp {
			t.Error("the hook has no right to write a Secret")
		}
	}
	r := Run(t.Context(), c, o, quiet)
	if r.Verdict != Done || a.writes[0] != "POST secret systems" {
		t.Fatalf("writes %q\n%s", a.writes, r.Text(10))
	}
	for _, it := range whole(legacyCRDs()...) {
		a.put(it)
	}
	restored, err := Restore(t.Context(), c, "systems", "backup", true)
	want := []Restored{{"runnerdeployment.actions.summerwind.dev", "ci", "d", false}, {"horizontalrunnerautoscaler.actions.summerwind.dev", "ci", "d", false}}
	if diff := cmp.Diff(want, restored); err != nil || diff != "" {
		t.Errorf("error %v, (-want +got):\n%s", err, diff)
	}
	if rd := a.objects["rd ci/d"]; rd == nil || !cmp.Equal(rd.rest["spec"], any(map[string]any{"theirs": "d"})) || len(rd.Finalizers) > 0 {
		t.Errorf("there is %q: %v", a.left(), rd)
	}
}
