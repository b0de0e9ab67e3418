package upgrade

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

func upgradingWith(t *testing.T, objects ...kubeObject) (*Upgrade, *api, *fakeHelm) {
	t.Helper()
	a, c := newAPI(t, objects...)
	helm := newHelm(t)
	return &Upgrade{
		Client: c, Helm: &Helm{Binary: filepath.Join(helm.dir, "helm"), Timeout: 2 * time.Second, major: 4},
		BusyRunners: plan.WaitForBusy, Grace: time.Second, Budget: 20 * time.Second, Log: zerolog.Nop(),
	}, a, helm
}

func crdObjects(condition string) (out []kubeObject) {
	for _, name := range arc.CRDs() {
		out = append(out, kind("CustomResourceDefinition", "", name, kubeObject{
			"status": map[string]any{"conditions": []any{map[string]any{"type": condition, "status": "True"}}},
		}))
	}
	return out
}

// theState is the state of an upgrade of a controller and a scale set.
func theState() State {
	s := saved(false, installed("arc-systems", "arc", ""), installed("a", "runners", ""))
	s.Releases[0].Controllers = []Controller{
		{Namespace: "arc-systems", Name: "arc", Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "arc"}}},
		{Namespace: "control", Name: "second", Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "second"}}},
	}
	s.Releases[1].Sets = append(s.Releases[1].Sets, (&Controller{Namespace: "a", Name: "set"}).key())
	s.secrets = map[string]secret{}
	return *s
}

// An upgrade does not record that the first half is done while a Pod of an old controller is left.
func TestMarkUninstalledWaitsForPods(t *testing.T) {
	labelled := func(namespace, app string) kubeObject {
		return kind("Pod", namespace, app, kubeObject{"labels": map[string]any{"app": app}})
	}
	for _, left := range []kubeObject{labelled("arc-systems", "arc"), labelled("control", "second")} {
		u, a, _ := upgradingWith(t, labelled("arc-systems", "another"), labelled("elsewhere", "arc"), left)
		u.Helm.Timeout = time.Second
		if err := u.markUninstalled(t.Context(), theState()); err == nil || !strings.Contains(err.Error(), "waiting until the old controller's Pods are gone") || len(a.Writes) > 0 {
			t.Errorf("%v: %v, wrote %v", left["metadata"], err, a.Writes)
		}
		u.Helm.Timeout = time.Minute
		early := make(chan int, 1)
		go func() {
			time.Sleep(300 * time.Millisecond)
			a.Mu.Lock()
			early <- len(a.Writes)
			a.Mu.Unlock()
			a.take(left)
		}()
		if err := u.markUninstalled(t.Context(), theState()); err != nil || <-early > 0 {
			t.Errorf("%v: %v, or noted too early", left["metadata"], err)
		}
		s, err := look(t.Context(), u.Client, "arc-systems")
		if err != nil || s.Saved == nil || !s.Saved.Uninstalled {
			t.Errorf("not noted: %+v, %v", s.Saved, err)
		}
	}
	u, a, _ := upgradingWith(t)
	bad := theState()
	bad.Releases[0].Controllers[0].Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "x", Operator: "?"}}
	if err := u.markUninstalled(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "selector of Deployment arc-systems/arc") || len(a.Writes) > 0 {
		t.Errorf("an invalid selector: %v", err)
	}
}

// A cleanup that keeps CRDs or does not finish stops the upgrade.
func TestEngineStops(t *testing.T) {
	other := controllerAt("team", "team", "other")
	u, a, helm := upgradingWith(t, append(crdObjects("Established"), other)...)
	a.May["team:arc"] = true
	state := theState()
	p := &Plan{State: state, Steps: []Step{{Clean, state.Releases[0], ""}, {Uninstall, state.Releases[0], ""}}}
	stopped := u.Run(t.Context(), p)
	if stopped == nil || stopped.Step != 0 || stopped.Report == nil || !strings.Contains(stopped.Error(), "clean of release arc in namespace arc-systems: ") || !strings.Contains(stopped.Error(), "was kept: ") {
		t.Fatalf("%+v", stopped)
	}
	if len(helm.said()) > 0 || a.get(crdObjects("x")[0]) == nil {
		t.Errorf("and went on: %v", helm.said())
	}
	// A scale set that no release has installed.
	u, _, _ = upgradingWith(t, append(crdObjects("Established"), setAt("a", "stray", "a", "nobody"))...)
	if stopped := u.Run(t.Context(), p); stopped == nil || stopped.Step != 0 || stopped.Report.Verdict != plan.Refused || !strings.Contains(stopped.Error(), "the cleanup ended with refused") {
		t.Errorf("%+v", stopped)
	}
	u, a, helm = upgradingWith(t, crdObjects("Established")...)
	if stopped := u.Run(t.Context(), p); stopped != nil || a.get(crdObjects("x")[0]) != nil {
		t.Errorf("with nothing in the way: %v", stopped)
	}
	if diff := cmp.Diff([]string{"uninstall arc"}, helm.said()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The cleanup keeps and names objects that a tenant holds. They do not stop the upgrade.
func TestWhatATenantHoldsDoesNotStopIt(t *testing.T) {
	u, a, helm := upgradingWith(t, append(crdObjects("Established"), heldAt("tenant"))...)
	state := theState()
	p := &Plan{State: state, Steps: []Step{{Clean, state.Releases[0], ""}, {Uninstall, state.Releases[0], ""}}}
	if stopped := u.Run(t.Context(), p); stopped != nil || a.get(heldAt("tenant")) == nil {
		t.Errorf("%v", stopped)
	}
	if diff := cmp.Diff([]string{"uninstall arc"}, helm.said()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The second half runs to its end, and stops where Helm fails.
func TestRun(t *testing.T) {
	record := func(name string) kubeObject {
		return helmRecord{namespace: "a", name: name, objects: []kubeObject{setAt("", "set", "a", name)}}.object(t)
	}
	begin := func() (*Upgrade, *api, *fakeHelm, *Plan) {
		u, a, helm := upgradingWith(t, append(crdObjects("Established"), record("runners"))...)
		state := theState()
		if err := save(t.Context(), u.Client, state); err != nil {
			t.Fatal(err)
		}
		state.Releases[1].Hooks, _ = enrol.Parse([]byte(ourHook))
		set := setAt("", "set", "a", "runners")
		set["metadata"].(map[string]any)["labels"] = map[string]any{"app.kubernetes.io/version": "2"}
		helm.renders("runners", set)
		helm.renders("arc", controllerAt("arc-systems", "arc-systems", "arc"))
		arc, runners := state.Releases[0], state.Releases[1]
		return u, a, helm, &Plan{State: state, Steps: []Step{
			{Remove, arc, ""}, {Install, arc, ""}, {Ready, arc, ""}, {Remove, runners, ""}, {Install, runners, ""}, {Enrol, runners, ""}, {Forget, arc, ""},
		}}
	}
	u, a, fake, p := begin()
	if stopped := u.Run(t.Context(), p); stopped != nil {
		t.Fatal(stopped)
	}
	want := []string{"uninstall arc", "template arc", "install arc", "uninstall runners", "template runners", "install runners"}
	if diff := cmp.Diff(want, fake.said()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if values := fake.read("stdin.install.runners"); values != `{"of": "1"}` {
		t.Errorf("installed with the values %q", values)
	}
	revision := 0
	if err := release.Each(t.Context(), u.Client, "a", "runners", func(r *helm.Record, err error) {
		if err != nil || len(r.Hooks) != 1 {
			t.Errorf("enrolled: %+v, %v", r, err)
		}
		revision++
	}); err != nil || revision != 1 {
		t.Errorf("%d records, %v", revision, err)
	}
	for _, namespace := range []string{"a", "arc-systems"} {
		if a.get(kind("Secret", namespace, SecretName, nil)) != nil {
			t.Errorf("the state is left in %s", namespace)
		}
	}

	for fail, step := range map[string]int{"uninstall.arc": 0, "template.arc": 1, "install.arc": 1, "uninstall.runners": 3, "template.runners": 4, "install.runners": 4} {
		u, a, fake, p := begin()
		fake.write("fail."+fail, "")
		stopped := u.Run(t.Context(), p)
		if stopped == nil || stopped.Step != step || !strings.Contains(stopped.Error(), "told to fail") || stopped.Report != nil {
			t.Errorf("%s fails: %+v", fail, stopped)
		}
		if said := fake.said(); said[len(said)-1] != strings.ReplaceAll(fail, ".", " ") {
			t.Errorf("%s fails, and it went on: %v", fail, said)
		}
		if a.get(kind("Secret", "a", SecretName, nil)) == nil {
			t.Errorf("%s fails, and the state is gone", fail)
		}
	}

	// A tenant changes the saved values after the check.
	u, _, fake, p = begin()
	fake.renders("runners", setAt("kube-system", "set", "a", "runners"))
	stopped := u.Run(t.Context(), p)
	if stopped == nil || stopped.Step != 4 || !strings.Contains(stopped.Error(), "it would install the AutoscalingRunnerSet set in namespace kube-system, which has none of its scale sets and controllers") {
		t.Errorf("%v", stopped)
	}
	if slices.Contains(fake.said(), "install runners") {
		t.Error("and installed it")
	}

	// An installation that broke off is freed before Helm uninstalls it.
	u, _, fake, p = begin()
	a, u.Client = newAPI(t, crdObjects("Established")...)
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "LIST er") {
			return http.StatusForbidden
		}
		return 0
	}
	if stopped := u.Run(t.Context(), &Plan{State: p.State, Steps: p.Steps[3:]}); stopped == nil || stopped.Report == nil || len(fake.said()) > 0 {
		t.Errorf("%+v, %v", stopped, fake.said())
	}
	if stopped := u.Run(t.Context(), &Plan{State: p.State, Steps: []Step{{"?", p.State.Releases[0], ""}}}); stopped == nil || !strings.Contains(stopped.Error(), `no step is called "?"`) {
		t.Errorf("%v", stopped)
	}
}

// The state is saved before anything else. If that fails, nothing changes.
func TestRunSaves(t *testing.T) {
	u, a, helm := upgradingWith(t)
	state := theState()
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "POST secret a") {
			return http.StatusForbidden
		}
		return 0
	}
	p := &Plan{State: state, Steps: []Step{{Save, state.Releases[0], ""}, {Uninstall, state.Releases[0], ""}}}
	if stopped := u.Run(t.Context(), p); stopped == nil || stopped.Step != 0 || len(u.Commands(p, stopped.Step)) > 0 || len(helm.said()) > 0 || len(a.Writes) > 0 {
		t.Errorf("%v, %v, %v", stopped, helm.said(), a.Writes)
	}
	a.Fault = nil
	if stopped := u.Run(t.Context(), p); stopped != nil || len(a.Writes) != 2 {
		t.Errorf("%v, %v", stopped, a.Writes)
	}
	s, err := look(t.Context(), u.Client, "arc-systems")
	if err != nil || s.Saved == nil || s.Saved.Uninstalled {
		t.Errorf("%+v, %v", s.Saved, err)
	}
}

func TestReady(t *testing.T) {
	u, _, _ := upgradingWith(t, crdObjects("Established")...)
	if err := u.ready(t.Context()); err != nil {
		t.Error(err)
	}
	deleting := crdObjects("Established")
	metadata(deleting[3])["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	for name, objects := range map[string][]kubeObject{"absent": nil, "one is missing": crdObjects("Established")[1:], "not established": crdObjects("NamesAccepted"), "going": deleting} {
		u, a, _ := upgradingWith(t, objects...)
		u.Helm.Timeout = 400 * time.Millisecond
		if err := u.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "is not served after") {
			t.Errorf("%s: %v", name, err)
		}
		a.Fault = func(string) int { return http.StatusForbidden }
		if err := u.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "reading customresourcedefinitions.apiextensions.k8s.io/") {
			t.Errorf("%s, forbidden: %v", name, err)
		}
	}
}
