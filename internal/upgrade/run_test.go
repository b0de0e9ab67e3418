package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
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
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// fakeHelm is a Helm that notes what it is told, renders what it finds in a file of
// the release's name, and fails where one says so.
type fakeHelm struct {
	t   *testing.T
	dir string
}

const fakeScript = `dir="$(dirname "$0")"
echo "$@" >> "$dir/log"
cat > "$dir/stdin.$1.$2" < /dev/stdin
if [ -e "$dir/fail.$1.$2" ]; then echo "told to fail" >&2; exit 1; fi
case "$1" in
version) echo v4.3.1 ;;
history) echo '[{"revision":1}]' ;;
show) cat "$3/Chart.yaml" ;;
template) cat "$dir/rendered.$2" 2>/dev/null || true ;;
esac
`

func newHelm(t *testing.T) *fakeHelm {
	t.Helper()
	return &fakeHelm{t, filepath.Dir(script(t, fakeScript))}
}

func (f *fakeHelm) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeHelm) renders(release string, objects ...kubeObject) {
	f.t.Helper()
	text := ""
	for _, o := range objects {
		one, err := json.Marshal(o)
		if err != nil {
			f.t.Fatal(err)
		}
		text += "---\n" + string(one) + "\n"
	}
	f.write("rendered."+release, text)
}

// said are the first two words of each command, and what was on the input of one.
func (f *fakeHelm) said() []string {
	f.t.Helper()
	log, _ := os.ReadFile(filepath.Join(f.dir, "log"))
	out := []string{}
	for line := range strings.Lines(string(log)) {
		out = append(out, strings.Join(strings.Fields(line)[:2], " "))
	}
	return out
}

func (f *fakeHelm) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.dir, name))
	return string(text)
}

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

// theState is one of a controller and a scale set, as it is while an upgrade runs.
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

// That the first half is over is not noted while a Pod of an old controller is left.
func TestMarkUninstalledWaitsForPods(t *testing.T) {
	labelled := func(namespace, app string) kubeObject {
		return kind("Pod", namespace, app, kubeObject{"labels": map[string]any{"app": app}})
	}
	for _, left := range []kubeObject{labelled("arc-systems", "arc"), labelled("control", "second")} {
		u, a, _ := upgradingWith(t, labelled("arc-systems", "another"), labelled("elsewhere", "arc"), left)
		u.Helm.Timeout = time.Second
		if err := u.markUninstalled(t.Context(), theState()); err == nil || !strings.Contains(err.Error(), "waiting until the old controller's Pods are gone") || len(a.writes) > 0 {
			t.Errorf("%v: %v, wrote %v", left["metadata"], err, a.writes)
		}
		u.Helm.Timeout = time.Minute
		early := make(chan int, 1)
		go func() {
			time.Sleep(300 * time.Millisecond)
			a.mu.Lock()
			early <- len(a.writes)
			a.mu.Unlock()
			a.take(pathOf(left))
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
	if err := u.markUninstalled(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "selector of Deployment arc-systems/arc") || len(a.writes) > 0 {
		t.Errorf("a selector that is none: %v", err)
	}
}

// What the engine keeps, or does not come to the end of, stops the upgrade.
func TestEngineStops(t *testing.T) {
	other := controllerAt("team", "team", "other")
	u, a, helm := upgradingWith(t, append(crdObjects("Established"), other)...)
	a.may["team:arc"] = true
	state := theState()
	p := &Plan{State: state, Steps: []Step{{Clean, state.Releases[0], ""}, {Uninstall, state.Releases[0], ""}}}
	stopped := u.Run(t.Context(), p)
	if stopped == nil || stopped.Step != 0 || stopped.Report == nil || !strings.Contains(stopped.Error(), "clean of release arc in namespace arc-systems: ") || !strings.Contains(stopped.Error(), "was kept: ") {
		t.Fatalf("%+v", stopped)
	}
	if len(helm.said()) > 0 || a.get(crdObjects("x")[0]) == nil {
		t.Errorf("and went on: %v", helm.said())
	}
	// A scale set that nobody has installed.
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

// heldAt is what a tenant has made to look like ARC's, and holds.
func heldAt(namespace string) kubeObject {
	o := kind("Secret", namespace, "held", kubeObject{"labels": map[string]any{arc.LabelScaleSetName: "set"}, "deletionTimestamp": "2026-01-02T03:04:05Z"})
	metadata(o)["finalizers"] = []any{"example.com/keep"}
	return o
}

// What a tenant holds is kept and named by the engine, and stops nobody's upgrade.
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

// A whole second half, and where it stops when Helm does.
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
	u, a, helm, p := begin()
	if stopped := u.Run(t.Context(), p); stopped != nil {
		t.Fatal(stopped)
	}
	want := []string{"uninstall arc", "template arc", "install arc", "uninstall runners", "template runners", "install runners"}
	if diff := cmp.Diff(want, helm.said()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if values := helm.read("stdin.install.runners"); values != `{"of": "1"}` {
		t.Errorf("installed with the values %q", values)
	}
	revision := 0
	if err := release.Each(t.Context(), u.Client, "a", "runners", func(r *release.Revision, err error) {
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
		u, a, helm, p := begin()
		helm.write("fail."+fail, "")
		stopped := u.Run(t.Context(), p)
		if stopped == nil || stopped.Step != step || !strings.Contains(stopped.Error(), "told to fail") || stopped.Report != nil {
			t.Errorf("%s fails: %+v", fail, stopped)
		}
		if said := helm.said(); said[len(said)-1] != strings.ReplaceAll(fail, ".", " ") {
			t.Errorf("%s fails, and it went on: %v", fail, said)
		}
		if a.get(kind("Secret", "a", SecretName, nil)) == nil {
			t.Errorf("%s fails, and the state is gone", fail)
		}
	}

	// The values have been changed meanwhile, by who may write where they lie.
	u, _, helm, p = begin()
	helm.renders("runners", setAt("kube-system", "set", "a", "runners"))
	stopped := u.Run(t.Context(), p)
	if stopped == nil || stopped.Step != 4 || !strings.Contains(stopped.Error(), "it would install the AutoscalingRunnerSet set in namespace kube-system, which has none of its scale sets and controllers") {
		t.Errorf("%v", stopped)
	}
	if slices.Contains(helm.said(), "install runners") {
		t.Error("and installed it")
	}

	// An installation that broke off is freed before Helm uninstalls it.
	u, _, helm, p = begin()
	a, u.Client = newAPI(t)
	a.fault = func(request string) int {
		if strings.HasSuffix(request, "ephemeralrunners") {
			return http.StatusForbidden
		}
		return 0
	}
	if stopped := u.Run(t.Context(), &Plan{State: p.State, Steps: p.Steps[3:]}); stopped == nil || stopped.Report == nil || len(helm.said()) > 0 {
		t.Errorf("%+v, %v", stopped, helm.said())
	}
	if stopped := u.Run(t.Context(), &Plan{State: p.State, Steps: []Step{{"?", p.State.Releases[0], ""}}}); stopped == nil || !strings.Contains(stopped.Error(), `no step is called "?"`) {
		t.Errorf("%v", stopped)
	}
}

// A save comes before anything else, and a failed one changes nothing.
func TestRunSaves(t *testing.T) {
	u, a, helm := upgradingWith(t)
	state := theState()
	a.fault = func(request string) int {
		if strings.HasPrefix(request, "POST /api/v1/namespaces/a/secrets") {
			return http.StatusForbidden
		}
		return 0
	}
	p := &Plan{State: state, Steps: []Step{{Save, state.Releases[0], ""}, {Uninstall, state.Releases[0], ""}}}
	if stopped := u.Run(t.Context(), p); stopped == nil || stopped.Step != 0 || len(u.Commands(p, stopped.Step)) > 0 || len(helm.said()) > 0 || len(a.writes) > 0 {
		t.Errorf("%v, %v, %v", stopped, helm.said(), a.writes)
	}
	a.fault = nil
	if stopped := u.Run(t.Context(), p); stopped != nil || len(a.writes) != 2 {
		t.Errorf("%v, %v", stopped, a.writes)
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
		a.fault = func(string) int { return http.StatusForbidden }
		if err := u.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "reading customresourcedefinitions.apiextensions.k8s.io/") {
			t.Errorf("%s, forbidden: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	controllerNow := func() kubeObject {
		d := controllerAt("arc-systems", "arc-systems", "arc")
		metadata(d)["labels"].(map[string]any)["app.kubernetes.io/version"] = "2"
		return d
	}
	setNow := func(namespace string) kubeObject {
		s := setAt(namespace, "set", "a", "runners")
		metadata(s)["labels"] = map[string]any{"app.kubernetes.io/version": "2"}
		return s
	}
	objects := join(arcAt(t), runnersAt(t), crdObjects("Established"))
	gone := func(revision int) kubeObject {
		return helmRecord{namespace: "b", name: "runners", revision: revision, objects: []kubeObject{setAt("", "gone", "b", "runners")}}.object(t)
	}
	single := controllerAt("arc-systems", "arc-systems", "arc", "--watch-single-namespace=a")
	off := kind("ConfigMap", "arc-systems", survey.OffSwitch, nil)
	other := controllerAt("team", "team", "other")
	metadata(other)["annotations"] = map[string]any{}
	tests := map[string]struct {
		objects  []kubeObject
		change   func(*fakeHelm)
		saved    *State
		refused  []string // in each
		confirm  string
		notes    string
		rendered []string
		err      string
	}{
		"changed by a post-renderer": {
			objects: objects, change: func(h *fakeHelm) { h.renders("runners", setNow("a")) }, rendered: []string{"arc", "runners", "runners"},
			confirm: "release runners in namespace a is not what its chart renders",
		},
		"more than scale sets": {
			objects: join(objects[:3], []kubeObject{helmRecord{namespace: "a", name: "runners", objects: []kubeObject{objects[2], {"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "cache"}}}}.object(t)}, crdObjects("Established")), rendered: []string{"arc", "runners"},
			refused: []string{"Service cache"},
		},
		"a record of no scale set": {
			objects: join(objects, []kubeObject{gone(1), gone(2)}), rendered: []string{"arc", "runners"},
			notes: "release runners in namespace b does not come back: none of the scale sets in its record exists",
		},
		"all is well": {objects: objects, rendered: []string{"arc", "runners"}},
		"a Lease, which the new controller takes": {
			objects:  join(objects, []kubeObject{kind("Lease", "arc-systems", "arc-gha-rs-controller", nil)}),
			rendered: []string{"arc", "runners"},
		},
		"a legacy runner's Pod": {
			objects: join(objects, []kubeObject{legacyPod()}), rendered: []string{"arc", "runners"},
			notes: "of ARC this does not upgrade 1 Pods with finalizers of legacy ARC, which --scope legacy removes, as pods/old in namespace ci",
		},
		"it does not render": {
			objects: objects, change: func(h *fakeHelm) { h.write("fail.template.runners", "") }, rendered: []string{"arc", "runners"},
			refused: []string{"release runners in namespace a does not render from the chart"},
		},
		"another namespace": {
			objects: objects, change: func(h *fakeHelm) { h.renders("runners", setNow("kube-system")) }, rendered: []string{"arc", "runners"},
			refused: []string{"release runners in namespace a would install the AutoscalingRunnerSet set in namespace kube-system"},
		},
		"another namespace, which the record names": {
			objects: join(arcAt(t), []kubeObject{objects[2], helmRecord{namespace: "a", name: "runners", objects: []kubeObject{objects[2], setAt("kube-system", "set", "a", "runners")}}.object(t)}, crdObjects("Established")),
			change:  func(h *fakeHelm) { h.renders("runners", setNow("kube-system")) }, rendered: []string{"arc", "runners"},
			refused: []string{"release runners in namespace a would install the AutoscalingRunnerSet set in namespace kube-system"},
		},
		"the controller, in another namespace": {
			objects: objects, change: func(h *fakeHelm) {
				d := controllerNow()
				metadata(d)["namespace"] = "kube-system"
				h.renders("arc", d)
			}, rendered: []string{"arc", "runners"},
			refused: []string{"release arc in namespace arc-systems would install the Deployment arc in namespace kube-system"},
		},
		"a single-namespace controller that would watch all": {
			objects: join([]kubeObject{single, helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{single}, chart: `{"metadata": {"name": "controller", "version": "1"}}`}.object(t)}, objects[2:]), rendered: []string{"arc", "runners"},
			refused: []string{`release arc in namespace arc-systems would watch the namespaces [], and watches ["a"]`},
		},
		"its record says that it watches all": {
			objects: join([]kubeObject{single, objects[1]}, objects[2:]), rendered: []string{"arc", "runners"},
			refused: []string{`release arc in namespace arc-systems would watch the namespaces [], and watches ["a"]`},
		},
		"it watches what it did": {
			objects: join([]kubeObject{single, objects[1]}, objects[2:]), rendered: []string{"arc", "runners"},
			change: func(h *fakeHelm) {
				d := controllerNow()
				d["spec"] = single["spec"]
				h.renders("arc", d, kind("Secret", "a", "of-the-watched", nil))
			},
		},
		"Helm sees another release": {objects: objects, change: func(h *fakeHelm) { h.write("fail.history.arc", "") }, err: "told to fail"},
		"switched off": {
			objects: append(slices.Clone(objects), off), rendered: []string{"arc"},
			refused: []string{"the cleanup is switched off by the ConfigMap"},
		},
		"somebody else uses the CRDs": {
			objects: append(slices.Clone(objects), other), rendered: []string{"arc"},
			refused: slices.Repeat([]string{"has to be deleted, and would be kept"}, 4),
		},
		"a tenant holds something": {objects: append(slices.Clone(objects), heldAt("tenant")), rendered: []string{"arc", "runners"}},
		"without CRDs":             {objects: objects[:2], rendered: []string{"arc"}},
		"rendered before": {
			objects: objects, saved: saved(false, installed("arc-systems", "arc", ""), installed("a", "runners", "")), rendered: nil,
		},
		"for another target": {
			objects: objects, saved: &State{Target: target("3"), Releases: []Release{installed("arc-systems", "arc", "").Release}}, rendered: []string{"arc", "runners"},
		},
	}
	for name, test := range tests {
		u, a, helm := upgradingWith(t, test.objects...)
		a.may["team:arc"] = true
		helm.renders("arc", controllerNow())
		helm.renders("runners", setNow("a"))
		if test.change != nil {
			test.change(helm)
		}
		s, err := look(t.Context(), u.Client, "")
		if err != nil {
			t.Fatal(err)
		}
		s.Target, s.Saved = target("2"), test.saved
		for i := range s.Found {
			if test.confirm == "" || s.Found[i].Controller {
				s.Found[i].record = nil // what explain does has a test of its own
			}
		}
		p := newPlan(s)
		if len(p.Refusals) > 0 {
			t.Fatalf("%s: %+v", name, p.Refusals)
		}
		err = u.check(t.Context(), s, p)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || p.Cleanup == nil || len(p.Refusals) != len(test.refused) || (len(p.Steps) == 0) != (len(test.refused) > 0) {
			t.Errorf("%s: %v, steps %v, refusals %+v", name, err, steps(p), p.Refusals)
			continue
		}
		for i, r := range p.Refusals {
			if !strings.Contains(r.Message, test.refused[i]) || r.Verdict != plan.Refused {
				t.Errorf("%s: refused: %s", name, r.Message)
			}
		}
		confirm := ""
		for _, c := range p.Confirm {
			confirm += c.Message
		}
		if notes := strings.Join(p.Notes, "\n"); !strings.Contains(confirm, test.confirm) || test.confirm == "" && confirm != "" || test.saved == nil && notes != test.notes {
			t.Errorf("%s: confirm %q, notes %q", name, confirm, notes)
		}
		var rendered []string
		for _, said := range helm.said() {
			if of, is := strings.CutPrefix(said, "template "); is {
				rendered = append(rendered, of)
			}
		}
		slices.Sort(rendered)
		if diff := cmp.Diff(test.rendered, rendered); diff != "" {
			t.Errorf("%s: rendered (-want +got):\n%s", name, diff)
		}
		if len(a.writes) > 0 {
			t.Errorf("%s: wrote %v", name, a.writes)
		}
	}

	// Interrupted, it says so, and not what could not be had any more.
	interrupted, a, _ := upgradingWith(t, objects...)
	s, err := look(t.Context(), interrupted.Client, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	a.fault = func(request string) int {
		if strings.HasSuffix(request, "/ephemeralrunners") {
			cancel(cause)
		}
		return 0
	}
	s.Target = target("2")
	p := newPlan(s)
	if err := interrupted.check(ctx, s, p); !errors.Is(err, cause) || len(p.Refusals) > 0 {
		t.Errorf("%v, %v", p.Refusals, err)
	}

	// In the second half the cleanup has nothing left to do.
	u, _, helm := upgradingWith(t, objects...)
	if s, err = look(t.Context(), u.Client, ""); err != nil {
		t.Fatal(err)
	}
	s.Target, s.Saved = target("2"), saved(true, s.Found[1])
	p = newPlan(s)
	if err := u.check(t.Context(), s, p); err != nil || p.Cleanup != nil || len(p.Refusals) > 0 || fmt.Sprint(helm.said()) != "[history arc]" {
		t.Errorf("%v, %v, %v, %v", p.Refusals, p.Cleanup, err, helm.said())
	}
}

// What anybody may have written on an object of theirs stops no upgrade.
func TestWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	kept := func(group, resource string) plan.Finding {
		o := &object.Object{}
		o.Resource.Group, o.Resource.Resource = group, resource
		return plan.Finding{Object: o}
	}
	all := []plan.Finding{kept("", "secrets"), kept("apiextensions.k8s.io", "customresourcedefinitions"), kept("", "pods"), kept("actions.github.com", "ephemeralrunners")}
	var got []string
	for _, k := range inTheWay(all) {
		got = append(got, k.Object.Resource.Resource)
	}
	if diff := cmp.Diff([]string{"customresourcedefinitions", "ephemeralrunners"}, got); diff != "" || len(all) != 4 {
		t.Error(diff)
	}
}

// legacyPod is what legacy ARC has left.
func legacyPod() kubeObject {
	o := kind("Pod", "ci", "old", nil)
	metadata(o)["finalizers"] = []any{"actions.summerwind.dev/runner-pod"}
	return o
}
