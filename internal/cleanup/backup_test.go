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

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// written is a scale set with the fields that people and ARC have set.
func written() kubetest.Item {
	it := kubetest.Whole(kubetest.Object("ars runners/set", kubetest.Deleting))[0]
	it.Annotations[arc.AnnotationRunnerScaleSetID] = "7"
	it.Annotations["theirs"] = "x"
	it.Annotations[arc.AnnotationWake] = "3"
	it.Rest = map[string]any{
		"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet",
		"spec":   map[string]any{"githubConfigUrl": "https://github.com/acme", "maxRunners": 5},
		"status": map[string]any{"currentRunners": 3},
	}
	return it
}

func TestABackupCanBeRestored(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(written())...)
	r := Run(t.Context(), c, graced(plantest.Kept(plantest.OfRelease), ample), quiet, Person{})
	if r.Verdict != plan.Done || !strings.Contains(r.Text(10), "arc-cleanup restore --from backup --namespace systems") {
		t.Fatalf("%s", r.Text(10))
	}
	if a.Writes[0] != "POST secret systems" {
		t.Errorf("the first write is %q", a.Writes[0])
	}

	restored, err := Restore(t.Context(), c, "systems", "backup", true)
	if err == nil || !strings.Contains(err.Error(), "set in namespace runners") {
		t.Errorf("without a CRD: %v, error %v", restored, err)
	}
	for _, it := range kubetest.Whole(kubetest.CRDs()...) {
		a.Put(it)
	}
	for _, existed := range []bool{false, true} {
		restored, err = Restore(t.Context(), c, "systems", "backup", true)
		if diff := cmp.Diff([]Restored{{"autoscalingrunnerset.actions.github.com", "runners", "set", existed}}, restored); err != nil || diff != "" {
			t.Errorf("error %v, (-want +got):\n%s", err, diff)
		}
	}
	set := a.Objects["ars runners/set"]
	if set == nil {
		t.Fatalf("there is %q", a.Left())
	}
	want := map[string]any{"githubConfigUrl": "https://github.com/acme", "maxRunners": float64(5)}
	if diff := cmp.Diff(want, set.Rest["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"theirs": "x"}, set.Annotations); diff != "" || set.Rest["status"] != nil {
		t.Errorf("status %v, annotations (-want +got):\n%s", set.Rest["status"], diff)
	}
}

func TestWithoutItsBackupNothingIsBegun(t *testing.T) {
	t.Parallel()
	for code, verdict := range map[int]plan.Verdict{http.StatusForbidden: plan.NotPermitted, http.StatusUnprocessableEntity: plan.Failed} {
		a, c := kubetest.New(t, kubetest.Stuck(written())...)
		a.Fault = kubetest.On(code, kubetest.Always, "POST secret systems")
		r := Run(t.Context(), c, graced(plantest.Kept(plantest.OfRelease), ample), quiet, Person{})
		if r.Verdict != verdict || len(a.Writes) > 0 || !strings.Contains(r.Text(10), "--backup=false") {
			t.Errorf("%d: writes %q\n%s", code, a.Writes, r.Text(10))
		}
	}
}

func TestABackupOfAnEarlierPodIsCompleted(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Whole(kubetest.CRDs()...)...)
	one, two := written(), kubetest.Whole(kubetest.Object("ars runners/other", kubetest.Deleting))[0]
	a.Put(one)
	a.Put(two)
	for i, want := range []struct {
		sets []*object.Object
		name string
	}{
		{[]*object.Object{one.Object}, "backup"},
		{[]*object.Object{one.Object}, "backup"}, // the same Pod again
		{[]*object.Object{one.Object, two.Object}, "backup-2"},
		{[]*object.Object{two.Object}, "backup-2"},
	} {
		secret, err := backUp(t.Context(), c, plantest.Kept(plantest.ByHand).Backup, want.sets)
		if err != nil || secret.Name != want.name {
			t.Errorf("%d: %s, error %v; want %s", i, secret.Name, err, want.name)
		}
	}
}

// The number of backups of an uninstall is limited, and a set that cannot be read is in none.
func TestABackupThatCannotBeMade(t *testing.T) {
	t.Parallel()
	there := func(n int, name string) kubetest.Item {
		it := kubetest.Whole(kubetest.Object("secret systems/" + name))[0]
		var other unstructured.Unstructured
		other.SetAPIVersion("actions.github.com/v1alpha1")
		other.SetKind("AutoscalingRunnerSet")
		other.SetNamespace(fmt.Sprintf("team%d", n))
		other.SetName("set")
		data, err := pack([]unstructured.Unstructured{other})
		if err != nil {
			t.Fatal(err)
		}
		it.Rest = map[string]any{"data": map[string]any{backupKey: base64.StdEncoding.EncodeToString(data)}}
		return it
	}
	all := append(kubetest.Whole(kubetest.CRDs()...), written(), there(1, "backup"))
	for n := 2; n <= backups; n++ {
		all = append(all, there(n, fmt.Sprintf("backup-%d", n)))
	}
	set := written().Object
	a, c := kubetest.New(t, all...)
	if _, err := backUp(t.Context(), c, plantest.Kept(plantest.ByHand).Backup, []*object.Object{set}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("error %v", err)
	}
	for _, request := range []string{"GET ars runners/set", "GET secret systems/backup"} {
		a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, request)
		if secret, err := backUp(t.Context(), c, plantest.Kept(plantest.ByHand).Backup, []*object.Object{set}); !apierrors.IsForbidden(err) {
			t.Errorf("%s refused: %v, error %v", request, secret, err)
		}
	}
	gone := kubetest.Object("ars runners/gone")
	a, c = kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), written())...)
	if _, err := backUp(t.Context(), c, plantest.Kept(plantest.ByHand).Backup, []*object.Object{gone, set}); err != nil || len(a.Writes) != 1 {
		t.Errorf("a set that is gone by now: writes %q, error %v", a.Writes, err)
	}
}

func TestABackupHasABound(t *testing.T) {
	t.Parallel()
	it := written()
	noise := make([]byte, backupBytes)
	_, _ = rand.Read(noise) // never fails
	it.Rest["spec"] = map[string]any{"noise": base64.StdEncoding.EncodeToString(noise)}
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), it)...)
	if _, err := backUp(t.Context(), c, plantest.Kept(plantest.ByHand).Backup, []*object.Object{it.Object}); err == nil || !strings.Contains(err.Error(), "more than a Secret can hold") {
		t.Errorf("error %v", err)
	}
}

// packed is the content of a backup of sets in a namespace.
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

// bomb is small, and huge once it is unpacked.
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

// A backup is trusted for its own namespace only: anyone who may write there can have made it.
func TestABackupSpeaksForItsNamespace(t *testing.T) {
	t.Parallel()
	backup := func(namespace string) kubetest.Item {
		it := kubetest.Whole(kubetest.Object("secret tenant/backup"))[0]
		it.Rest = map[string]any{"data": map[string]any{backupKey: packed(t, namespace, "one", "two")}}
		return it
	}
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), backup("kube-system"))...)
	if _, err := Restore(t.Context(), c, "tenant", "backup", false); !errors.Is(err, ErrElsewhere) || !strings.HasSuffix(err.Error(), ": kube-system") || len(a.Written()) > 0 {
		t.Errorf("error %v, writes %q", err, a.Written())
	}
	if _, err := Restore(t.Context(), c, "tenant", "backup", true); err != nil || len(a.Written()) != 2 {
		t.Errorf("trusted: error %v, writes %q", err, a.Written())
	}
	a, c = kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), backup("tenant"))...)
	if _, err := Restore(t.Context(), c, "tenant", "backup", false); err != nil || len(a.Written()) != 2 {
		t.Errorf("its own: error %v, writes %q", err, a.Written())
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
		return map[string]any{backupKey: base64.StdEncoding.EncodeToString(data)}
	}
	tests := map[string]struct {
		data map[string]any
		want string
	}{
		"another key":  {map[string]any{"x": "eA=="}, "is not a backup of arc-cleanup: it has no key"},
		"not packed":   {map[string]any{backupKey: "eA=="}, "is not a backup of arc-cleanup"},
		"not base64":   {map[string]any{backupKey: "!"}, "is not a backup of arc-cleanup"},
		"too much":     {map[string]any{backupKey: bomb(t)}, "unpacked it has more than"},
		"no name":      {map[string]any{backupKey: packed(t, "systems", "x\x1b[31m")}, "is not the name of an object"},
		"another kind": {other("v1", "Pod"), `"Pod" ns/p: a backup holds nothing but AutoscalingRunnerSets`},
		"of ARC":       {other("actions.github.com/v1alpha1", "EphemeralRunner"), `"EphemeralRunner" ns/p: a backup holds nothing but`},
		"of nobody":    {other("example.com/v1alpha1", "AutoscalingRunnerSet"), `"AutoscalingRunnerSet" ns/p: a backup holds nothing but`},
		"no namespace": {map[string]any{backupKey: packed(t, "x/y", "set")}, "is not the name of an object"},
	}
	for name, test := range tests {
		it := kubetest.Whole(kubetest.Object("secret systems/backup"))[0]
		it.Rest = map[string]any{"data": test.data}
		a, c := kubetest.New(t, it)
		if _, err := Restore(t.Context(), c, "systems", "backup", true); err == nil || !strings.Contains(err.Error(), test.want) || len(a.Writes) > 0 {
			t.Errorf("%s: error %v, writes %q", name, err, a.Writes)
		}
	}
	_, c := kubetest.New(t)
	if _, err := Restore(t.Context(), c, "systems", "nothing", true); err == nil || !strings.Contains(err.Error(), "reading secrets/nothing in namespace systems") {
		t.Errorf("error %v", err)
	}
}

// TestABackupOfLegacyARC: what people wrote of legacy ARC is restored as well.
func TestABackupOfLegacyARC(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{"rd ci/d": "RunnerDeployment", "hra ci/d": "HorizontalRunnerAutoscaler", "rrs ci/d-1": "RunnerReplicaSet", "run ci/r": "Runner"}
	items := kubetest.Whole(kubetest.LegacyCRDs()...)
	for _, it := range kubetest.Whole(kubetest.Family()...) {
		if kind := kinds[kubetest.Ref(it.Object)]; kind != "" {
			it.Rest = map[string]any{"apiVersion": "actions.summerwind.dev/v1alpha1", "kind": kind, "spec": map[string]any{"theirs": it.Name}}
			items = append(items, it)
		}
	}
	a, c := kubetest.New(t, items...)
	o := graced(plantest.Kept(plantest.OfLegacy), ample)
	o.ScaleSets = plan.DeleteScaleSets
	hook := o
	hook.Job = "arc-arc-cleanup"
	for _, phase := range Preview(t.Context(), c, hook, nil).Phases {
		if phase.Name == plan.PhaseBackUp {
			t.Error("the hook has no right to write a Secret")
		}
	}
	r := Run(t.Context(), c, o, quiet, Person{})
	if r.Verdict != plan.Done || a.Writes[0] != "POST secret systems" {
		t.Fatalf("writes %q\n%s", a.Writes, r.Text(10))
	}
	for _, it := range kubetest.Whole(kubetest.LegacyCRDs()...) {
		a.Put(it)
	}
	restored, err := Restore(t.Context(), c, "systems", "backup", true)
	want := []Restored{{"runnerdeployment.actions.summerwind.dev", "ci", "d", false}, {"horizontalrunnerautoscaler.actions.summerwind.dev", "ci", "d", false}}
	if diff := cmp.Diff(want, restored); err != nil || diff != "" {
		t.Errorf("error %v, (-want +got):\n%s", err, diff)
	}
	if rd := a.Objects["rd ci/d"]; rd == nil || !cmp.Equal(rd.Rest["spec"], any(map[string]any{"theirs": "d"})) || len(rd.Finalizers) > 0 {
		t.Errorf("there is %q: %v", a.Left(), rd)
	}
}
