package upgrade

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// merge returns an object with changes.
func merge(into, change kubeObject) kubeObject {
	out := kubeObject{}
	for k, v := range into {
		out[k] = v
	}
	for k, v := range change {
		before, _ := out[k].(kubeObject)
		if now, is := v.(kubeObject); is {
			out[k] = merge(before, now)
		} else {
			out[k] = v
		}
	}
	return out
}

func specOf(o kubeObject) kubeObject {
	spec, _ := o["spec"].(kubeObject)
	return spec
}

// frozenARC is a cluster in which everything of a swap is saved, and its state.
func frozenARC(t *testing.T) (*Upgrade, *api, *fakeHelm, State) {
	t.Helper()
	controller := controllerAt("arc-systems", "arc-systems", "arc")
	metadata(controller)["uid"] = "uid-arc"
	specOf(controller)["replicas"] = 2
	set := versioned(setAt("a", "runners", "a", "runners"), "0.13.1")
	metadata(set)["uid"] = "uid-runners"
	u, a, helm := upgradingWith(t, append(crdObjects("Established"), controller, set)...)
	s := inPlaceSituation("0.13.1", "0.14.2")
	s.Found, s.live = s.Found[:2], s.live[:1]
	state := savedSwap(s, false)
	state.Releases[0].Controllers[0].Selector = metav1.LabelSelector{MatchLabels: map[string]string{"app": "arc"}}
	state.secrets = map[string]secret{}
	state.Target.Controller.path = "/charts/controller"
	var err error
	if state.Swap.crds, err = readCRDs(t.Context(), u.Client); err != nil {
		t.Fatal(err)
	}
	return u, a, helm, *state
}

func versioned(o kubeObject, version string) kubeObject {
	metadata(o)["labels"] = kubeObject{arc.LabelVersion: version}
	return o
}

// freeze stops the controller, waits for its Pods, and finds a scale set that is new.
func TestFreeze(t *testing.T) {
	u, a, _, state := frozenARC(t)
	if err := u.freeze(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if replicas := specOf(a.get(controllerAt("arc-systems", "", "")))["replicas"]; fmt.Sprint(replicas) != "0" {
		t.Errorf("%v replicas", replicas)
	}
	a.put(versioned(setAt("b", "new", "b", "new"), "0.13.1"))
	if err := u.freeze(t.Context(), state); err == nil || !strings.Contains(err.Error(), "scale set new in namespace b was created after the upgrade was planned") {
		t.Errorf("a new set: %v", err)
	}
	state.Releases[0].Controllers[0].Watches = []string{"a"}
	if err := u.freeze(t.Context(), state); err != nil {
		t.Errorf("a new set that is not watched: %v", err)
	}
	// The set of this name is another one.
	a.take(setAt("a", "runners", "", ""))
	a.put(versioned(setAt("a", "runners", "a", "runners"), "0.13.1"))
	if err := u.freeze(t.Context(), state); err == nil || !strings.Contains(err.Error(), "scale set runners in namespace a was created after") {
		t.Errorf("another set: %v", err)
	}
	a.put(kind("Pod", "arc-systems", "old", kubeObject{"labels": kubeObject{"app": "arc"}}))
	u.Helm.Timeout = 300 * time.Millisecond
	if err := u.freeze(t.Context(), state); err == nil || !strings.Contains(err.Error(), "waiting until the old controller's Pods are gone") {
		t.Errorf("a Pod is left: %v", err)
	}
}

// Nothing goes forward while the new controller would delete a scale set.
func TestGoForward(t *testing.T) {
	for want, change := range map[string]func(*api){
		"": func(*api) {},
		"scale set runners in namespace a has the version \"0.13.1\"": func(a *api) {
			old := versioned(setAt("a", "runners", "a", "runners"), "0.13.1")
			metadata(old)["uid"] = "uid-runners"
			a.put(old)
		},
		"was created after the upgrade was planned": func(a *api) { a.put(versioned(setAt("b", "new", "b", "new"), "0.14.2")) },
		"deployment arc-systems/arc has 1 replica again": func(a *api) {
			c := controllerAt("arc-systems", "arc-systems", "arc")
			specOf(c)["replicas"] = 1
			a.put(c)
		},
		"the old controller's Pods": func(a *api) {
			a.put(kind("Pod", "arc-systems", "old", kubeObject{"labels": kubeObject{"app": "arc"}}))
		},
	} {
		u, a, _, state := frozenARC(t)
		u.Helm.Timeout = 300 * time.Millisecond
		controller := controllerAt("arc-systems", "arc-systems", "arc")
		specOf(controller)["replicas"] = 0
		a.put(controller)
		set := versioned(setAt("a", "runners", "a", "runners"), "0.14.2")
		metadata(set)["uid"] = "uid-runners"
		a.put(set)
		change(a)
		a.Writes = nil
		err := u.goForward(t.Context(), &state)
		if want == "" {
			if err != nil || !state.Swap.Forward || len(a.Writes) != 1 {
				t.Errorf("%v, %v", err, a.Writes)
			}
			s, err := look(t.Context(), u.Client, "arc-systems")
			if err != nil || !s.Saved.forward() {
				t.Errorf("not saved: %+v, %v", s.Saved, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(a.Writes) > 0 || state.Swap.Forward {
			t.Errorf("%q: %v, wrote %v", want, err, a.Writes)
		}
	}
}

// The state of a swap comes back with its CRDs, and one that says too little is refused.
func TestSwapState(t *testing.T) {
	u, a, _, state := frozenARC(t)
	if err := save(t.Context(), u.Client, state); err != nil {
		t.Fatal(err)
	}
	s, err := look(t.Context(), u.Client, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state.Swap, s.Saved.Swap, cmp.AllowUnexported(Swap{})); diff != "" || s.Saved.Way != BySwap {
		t.Errorf("(-want +got):\n%s", diff)
	}
	data, err := encode(state)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data["arc-systems"][stateKey])
	for want, broken := range map[string]string{
		"it does not say how far it is":        strings.Replace(text, `"way": "freeze-and-swap"`, `"way": "helm-upgrade"`, 1),
		"only arc-cleanup/upgrade/v3 is known": strings.Replace(text, inPlaceVersion, stateVersion, 1),
		"only arc-cleanup/upgrade/v2 is known": strings.Replace(text, `"way": "freeze-and-swap"`, `"way": "?"`, 1),
	} {
		if _, err := decode(map[string][]byte{stateKey: []byte(broken)}, "arc-systems"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	data["arc-systems"][crdsKey] = []byte("x")
	a.take(kind("Secret", "arc-systems", SecretName, nil))
	if err := put(t.Context(), u.Client, "arc-systems", data["arc-systems"], map[string]secret{}); err != nil {
		t.Fatal(err)
	}
	if _, err := look(t.Context(), u.Client, ""); err == nil || !strings.Contains(err.Error(), "its key crds.gz") {
		t.Errorf("broken CRDs: %v", err)
	}
}

// What was saved of a release that is gone is forgotten with the rest.
func TestForgetsReleasesThatAreGone(t *testing.T) {
	u, a, _, state := frozenARC(t)
	if err := save(t.Context(), u.Client, state); err != nil {
		t.Fatal(err)
	}
	s := inPlaceSituation("0.13.1", "0.14.2")
	s.Found, s.live, s.Saved, s.secrets = s.Found[:1], nil, &state, state.secrets
	p := newPlan(s)
	if last := p.Steps[len(p.Steps)-1]; last.Kind != Forget || len(p.State.Releases) != 1 {
		t.Fatalf("steps %v", steps(p))
	}
	if err := forget(t.Context(), u.Client, p.State); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"a", "arc-systems"} {
		if a.get(kind("Secret", namespace, SecretName, nil)) != nil {
			t.Errorf("the Secret in %s is left", namespace)
		}
	}
}

// newCRDs are the CRDs of a chart, as helm show prints them.
func newCRDs(t *testing.T, names ...string) (text string) {
	t.Helper()
	for _, name := range names {
		o := kubeObject{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"metadata": kubeObject{"name": name, "annotations": kubeObject{"of": "new"}}, "spec": kubeObject{"group": arc.Group, "of": "new"},
		}
		one, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		text += "---\n" + string(one) + "\n"
	}
	return text
}

// The CRDs become those of the chart, and what they were again.
func TestCRDsThereAndBack(t *testing.T) {
	u, a, helm, state := frozenARC(t)
	for _, crd := range crdObjects("Established") {
		metadata(crd)["labels"] = kubeObject{"of": "old"}
		crd["spec"] = kubeObject{"group": arc.Group, "of": "old", "x": 1}
		a.put(crd)
	}
	crd := crdObjects("Established")[0]
	var err error
	if state.Swap.crds, err = readCRDs(t.Context(), u.Client); err != nil {
		t.Fatal(err)
	}
	helm.write("crds", newCRDs(t, arc.CRDs()...))
	if err := u.applyCRDs(t.Context(), state.Target.Controller); err != nil {
		t.Fatal(err)
	}
	if now := a.get(crd); specOf(now)["of"] != "new" || metadata(now)["annotations"] == nil {
		t.Errorf("applied: %v", now)
	}
	if err := u.restoreCRDs(t.Context(), state.Swap.crds.Items); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(kubeObject{"group": arc.Group, "of": "old", "x": 1.0}, specOf(a.get(crd))); diff != "" || metadata(a.get(crd))["annotations"] != nil {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	a.Writes = nil
	if err := u.restoreCRDs(t.Context(), state.Swap.crds.Items[1:]); err == nil || len(a.Writes) > 0 {
		t.Errorf("three of four: %v", err)
	}
	// Whoever may write Secrets beside the controller can write this one, too.
	for _, forged := range []kubeObject{{"group": "example.com"}, {"group": arc.Group, "conversion": kubeObject{"strategy": "Webhook"}}} {
		crds := state.Swap.crds.DeepCopy()
		crds.Items[2].Object["spec"] = forged
		if err := u.restoreCRDs(t.Context(), crds.Items); err == nil || !strings.Contains(err.Error(), "is of the group") || len(a.Writes) > 0 {
			t.Errorf("forged: %v", err)
		}
	}
	for want, text := range map[string]string{
		`they are [], and ARC has`:        "",
		`and ARC has`:                     newCRDs(t, append(arc.CRDs(), "others.example.com")...),
		"a Namespace x is among them":     "kind: Namespace\nmetadata: {name: x}\n",
		`they are ["autoscalinglisteners`: newCRDs(t, arc.CRDs()[1:]...),
		"a ConfigMap x is among them":     newCRDs(t, arc.CRDs()...) + "---\nkind: ConfigMap\nmetadata: {name: x}\n",
		"not YAML":                        "{",
	} {
		helm.write("crds", text)
		if err := u.applyCRDs(t.Context(), state.Target.Controller); err == nil || !strings.Contains(err.Error(), want) || len(a.Writes) > 0 {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// The old controller starts again only if it deletes nothing.
func TestThaw(t *testing.T) {
	u, a, _, state := frozenARC(t)
	controller := controllerAt("arc-systems", "arc-systems", "arc")
	metadata(controller)["uid"] = "uid-arc"
	specOf(controller)["replicas"] = 0
	a.put(merge(controller, kubeObject{"status": kubeObject{"readyReplicas": 2}}))
	if err := u.thaw(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if replicas := specOf(a.get(controller))["replicas"]; fmt.Sprint(replicas) != "2" {
		t.Errorf("%v replicas", replicas)
	}
	u.Helm.Timeout = 300 * time.Millisecond
	a.put(merge(controller, kubeObject{"status": kubeObject{"readyReplicas": 1}}))
	if err := u.thaw(t.Context(), state); err == nil || !strings.Contains(err.Error(), "deployment arc-systems/arc is not ready after") {
		t.Errorf("one of two: %v", err)
	}
	a.put(versioned(setAt("b", "new", "b", "new"), "0.14.2"))
	a.Writes = nil
	if err := u.thaw(t.Context(), state); err == nil || !strings.Contains(err.Error(), `scale set new in namespace b has the version "0.14.2"`) || len(a.Writes) > 0 {
		t.Errorf("a set of the new version: %v", err)
	}
}

// A revision at which Helm was stopped is marked as failed, in the record and its label.
func TestUnlock(t *testing.T) {
	record := helmRecord{namespace: "a", name: "runners", status: "pending-upgrade", revision: 2, objects: []kubeObject{setAt("", "set", "a", "runners")}}.object(t)
	u, a, _ := upgradingWith(t, record)
	state := theState()
	p := &Plan{State: state, Steps: []Step{{Unlock, state.Releases[1], ""}}}
	if stopped := u.Run(t.Context(), p); stopped != nil {
		t.Fatal(stopped)
	}
	var is []*helm.Record
	err := release.Each(t.Context(), u.Client, "a", "runners", func(r *helm.Record, err error) {
		if err != nil {
			t.Error(err)
		}
		is = append(is, r)
	})
	if err != nil || len(is) != 1 || is[0].Status != helm.Failed || string(is[0].Config) != `{"of":"the user"}` || is[0].Manifest == "" {
		t.Errorf("%+v, %v", is, err)
	}
	if labels := metadata(a.get(record))["labels"].(kubeObject); labels["status"] != "failed" {
		t.Errorf("labels %v", labels)
	}
	a.Writes = nil
	if stopped := u.Run(t.Context(), p); stopped != nil || len(a.Writes) > 0 {
		t.Errorf("once more: %v, %v", stopped, a.Writes)
	}
}

// The commands of a swap do what its steps do, and a controller that does not come up is explained.
func TestCommandsOfASwap(t *testing.T) {
	u, _, _, state := frozenARC(t)
	u.Helm.Binary = "helm"
	s := inPlaceSituation("0.13.1", "0.14.2")
	s.Found, s.live = s.Found[:2], s.live[:1]
	s.Saved = &state
	p := newPlan(s)
	want := []string{
		"kubectl scale deployment arc --replicas 0 --namespace arc-systems",
		"kubectl wait --for delete pod --selector app=arc --namespace arc-systems --timeout 2s",
		"helm show crds /charts/controller | kubectl apply --server-side --force-conflicts --field-manager arc-cleanup-upgrade --filename -",
		"kubectl wait --for condition=Established --timeout 2s crd/ephemeralrunners.actions.github.com crd/ephemeralrunnersets.actions.github.com " +
			"crd/autoscalinglisteners.actions.github.com crd/autoscalingrunnersets.actions.github.com",
		`kubectl get secret arc-cleanup-upgrade --namespace a --output 'jsonpath={.data.values\.runners\.gz}' | base64 -d | gunzip | ` +
			"helm upgrade runners /charts/scale-set --namespace a --reset-values --values - --server-side=false --timeout 2s",
	}
	p.Steps = p.Steps[:3]
	if diff := cmp.Diff(want, u.Commands(p, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	abort := newAbort(Situation{Saved: &state, running: s.running, Found: []Found{s.Found[0], of(s.Found[1], "0.14.2", helm.Deployed)}})
	want = []string{
		"helm rollback runners 3 --namespace a --no-hooks --timeout 2s",
		`kubectl get secret arc-cleanup-upgrade --namespace arc-systems --output 'jsonpath={.data.crds\.gz}' | base64 -d | gunzip | kubectl replace --filename -`,
		"kubectl scale deployment arc --replicas 2 --namespace arc-systems",
	}
	if diff := cmp.Diff(want, u.Commands(abort, 0)[:3]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	stuck := &Plan{State: state, Steps: []Step{{UpgradeRelease, state.Releases[0], ""}, {UpgradeRelease, state.Releases[1], ""}}}
	if help := strings.Join(u.Help(stuck, 0), "\n"); !strings.Contains(help, "No scale set is deleted, and running jobs go on. Do not run `helm rollback`") || !strings.Contains(help, "kubectl logs deployment/arc --namespace arc-systems") {
		t.Errorf("help: %s", help)
	}
	frozen := &Plan{State: state, Steps: []Step{{CRDs, state.Releases[0], ""}, {Forward, state.Releases[0], ""}}}
	for step := range frozen.Steps {
		if help := strings.Join(u.Help(frozen, step), "\n"); !strings.Contains(help, "arc-cleanup upgrade --abort --namespace arc-systems") {
			t.Errorf("help before it is forward: %s", help)
		}
	}
	if help := u.Help(stuck, 1); help != nil {
		t.Errorf("help for a scale set: %v", help)
	}
}
